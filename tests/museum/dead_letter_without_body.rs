//! **Retries exhausted, and the body gone.** The last attempt fails, a line is logged, and the event is no more
//! (OpenWA#520; hasura/graphql-engine#2097; Conduit#186). Or there is a dead letter, but it is kept in memory, and a
//! full or restarted one forgets (ashita-ai/tessera#336); or it says that something failed, and not what.
//!
//! walhook's dead letter is the delivery itself: number, id, body and all its attempts stay in the queue's file
//! until somebody replays or drops it (`queue::sqlite::claim`, and `purge`, which leaves them alone).

use crate::room::{ONE, Room, TICKETS};
use serde_json::Value;
use std::time::Instant;
use walhook::demo::receiver::Answer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_survives_a_crash_and_is_replayed_to_the_byte() {
    let configuration = ONE.replace("[SCHEDULE]", "[\"50ms\", \"50ms\"]");
    let mut room = Room::open("dead_letter_without_body", TICKETS, &configuration).await;
    room.answer(|_| Answer::Status(500));
    room.run(&["insert into ticket values (1, 'precious')"]).await;
    let began = Instant::now();
    let list = |room: &Room| -> Vec<Value> {
        let (code, output) = room.command(&["--json", "deliveries", "list", "--state", "dead"]);
        assert_eq!(code, 0, "{output}");
        let list: Value = serde_json::from_str(&output).unwrap();
        list["deliveries"].as_array().unwrap().clone()
    };
    while list(&room).is_empty() {
        assert!(began.elapsed() < crate::room::PATIENCE);
    }
    room.kill().await;
    room.start().await;
    let dead = list(&room);
    assert_eq!((dead.len(), &dead[0]["attempts"]), (1, &Value::from(3)));
    let number = format!("{}/{}", dead[0]["webhook_id"], dead[0]["sequence"]);
    let (code, shown) = room.command(&["deliveries", "show", &number]);
    assert!(code == 0 && shown.contains("precious"), "{shown}");
    room.answer(|_| Answer::Status(204));
    let (code, output) = room.command(&["deliveries", "replay", &number]);
    assert_eq!(code, 0, "{output}");
    // hear compares ids and bodies of all four attempts
    let heard = room.hear("/all", 1).await;
    assert_eq!(heard[0].body["entry"]["title"], "precious");
    assert_eq!(room.receiver.count(), 4);
    room.close();
}
