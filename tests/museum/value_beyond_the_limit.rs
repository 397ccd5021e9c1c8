//! **A value beyond somebody's limit.** Kafka takes a megabyte, SQS a quarter, a gateway's queue 128 KB: a change
//! with a large value is refused there for ever, and either stops the stream or is dropped in silence
//! (kentcdodds/kody#1582 had to spill its bodies elsewhere).
//!
//! walhook's bodies have no limit of their own. Where the operator sets one (`value_bytes_max`), the value is left
//! out and named in `unavailable_fields`, and the event arrives.

use crate::room::{ONE, Room, TICKETS, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_event_arrives_and_names_what_was_left_out() {
    let configuration = format!("[capture]\nvalue_bytes_max = \"1MiB\"\n{ONE}");
    let room = Room::open("value_beyond_the_limit", TICKETS, &configuration).await;
    room.run(&[
        "insert into ticket values (1, repeat('x', 1048576))",
        "insert into ticket values (2, repeat('x', 1048577))",
        "update ticket set title = 'short' where id = 2",
    ])
    .await;
    let heard = room.hear("/all", 3).await;
    assert_eq!(told(&heard), ["create 1", "create 2", "update 2"]);
    assert_eq!(heard[0].body["entry"]["title"].as_str().unwrap().len(), 1 << 20);
    assert!(heard[1].body["entry"].get("title").is_none());
    assert_eq!(heard[1].body["unavailable_fields"], serde_json::json!(["title"]));
    assert_eq!(heard[2].body["entry"]["title"], "short");
    room.close();
}
