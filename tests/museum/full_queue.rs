//! **A full queue that makes room.** Memory is bounded by dropping the oldest (OpenHands/software-agent-sdk#3199,
//! inspect_ai#3962), a retention policy removes events whose deliveries are still under way (frain-dev/convoy#1723),
//! a task beyond a cap is dropped (NangoHQ/nango#6250). The endpoint that was down for long is the one that loses.
//!
//! A full walhook removes what is *finished*, and nothing else (`queue::sqlite::purge`). Then reading waits, nothing
//! is confirmed, the server keeps its log, readiness is red and says so; when the endpoint is back everything flows.

use crate::room::{ONE, Room, TICKETS, told};

// R-NA-07
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reading_waits_until_there_is_room_and_nothing_that_waits_is_given_up() {
    const ROWS: usize = 120;
    // the backlog's own limit, a quarter of the queue, would keep what is beyond it without its body
    let configuration = ONE.replace("form = \"ticket\"", "form = \"ticket\"\nbacklog_bytes_max = \"4MiB\"");
    let configuration = format!("[queue]\nbytes_max = \"4MiB\"\nretention = \"1s\"\n{configuration}");
    let mut room = Room::open("full_queue", TICKETS, &configuration).await;
    room.receiver.stop().await;
    for id in 1..=ROWS {
        let insert = format!(
            "insert into ticket select {id}, string_agg(md5(n::text), '') from generate_series(1, 2000) n"
        );
        room.run(&[&insert]).await;
    }
    let end = room.wal_end().await;
    let full = room.wait_for_log(0, "of at most").await;
    assert!(room.confirmed().await < end, "what is not stored must not be confirmed");
    // it stays so through a crash
    room.kill().await;
    room.walhook.start();
    room.wait_for_log(full, "of at most").await;
    let size = room.folder.join("walhook.db").metadata().unwrap().len();
    assert!(size < 8 << 20, "{size}");
    room.receiver.start_again().await.unwrap();
    let heard = room.hear("/all", ROWS).await;
    let expected: Vec<String> = (1..=ROWS).map(|id| format!("create {id}")).collect();
    assert_eq!(told(&heard), expected);
    assert!(heard.iter().all(|one| one.body["entry"]["title"].as_str().unwrap().len() == 64_000));
    room.until_confirmed(end - 64).await;
    room.close();
}
