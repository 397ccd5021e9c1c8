//! **A backlog loaded past the memory limit.** An endpoint is down for a night. In the morning the gateway is
//! started again, reads all that waits into memory, is killed for it, is started again (keygen-api#771 with its
//! payloads in Redis; OpenHands/software-agent-sdk#3122). Those that bound their memory drop the oldest instead
//! (inspect_ai#3962).
//!
//! walhook's backlog is on disk; dispatch holds bodies only of attempts under way (`dispatch::Limits`,
//! `in_flight_max`), capture one batch of a transaction's changes (`capture::BATCH_BYTES_MAX`,
//! `IN_MEMORY_BYTES_MAX`).

use crate::room::{ONE, Room, TICKETS, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_greater_than_the_memory_is_gathered_and_delivered() {
    const ROWS: usize = 240;
    const MEMORY_MAX_KB: u64 = 96_000;
    let configuration = ONE.replace("form = \"ticket\"", "form = \"ticket\"\nin_flight_max = 4");
    let mut room = Room::open("backlog_past_memory", TICKETS, &configuration).await;
    room.receiver.stop().await;
    for first in (1..=ROWS).step_by(20) {
        room.run(&[&format!(
            "insert into ticket select n, repeat(md5(n::text), 20000) from generate_series({first}, {first} + 19) n"
        )])
        .await;
    }
    // 240 times 640 kB: 154 MB
    let end = room.wal_end().await;
    room.until_confirmed(end - 64).await;
    room.walhook.note_memory();
    let (gathered_kb, stored) =
        (room.walhook.peak_kb, room.folder.join("walhook.db").metadata().unwrap().len());
    room.kill().await;
    room.walhook.peak_kb = 0;
    room.receiver.start_again().await.unwrap();
    room.start().await;
    let heard = room.hear("/all", ROWS).await;
    room.walhook.note_memory();
    let delivered_kb = room.walhook.peak_kb;
    println!("{} MB stored; at most {gathered_kb} kB gathering, {delivered_kb} kB delivering", stored >> 20);
    assert_eq!(told(&heard).last().unwrap(), &format!("create {ROWS}"));
    assert!(heard.iter().all(|one| one.body["entry"]["title"].as_str().unwrap().len() == 640_000));
    assert!(gathered_kb < MEMORY_MAX_KB && delivered_kb < MEMORY_MAX_KB, "{gathered_kb} {delivered_kb}");
    room.close();
}
