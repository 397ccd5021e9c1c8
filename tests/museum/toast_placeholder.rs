//! **A TOAST placeholder written as a value.** A large value that an UPDATE leaves alone is not in the log. Tools
//! write `null` for it (outboxx#53, until 2026), or a magic text, `__debezium_unavailable_value`, which then stands
//! in warehouses as the customer's biography (artie-labs/transfer#100, memiiso/debezium-server-iceberg#196); or the
//! UPDATE wins over the INSERT of the same batch, and the value that the INSERT had is gone (ingestr#805).
//!
//! walhook says what it knows: within a transaction the value that was written before, else that of the old row if
//! the log has it, else nothing, and names the field in `unavailable_fields` (`capture::fold`).

use crate::room::{ONE, Room, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_value_that_is_not_in_the_log_is_known_from_elsewhere_or_said_to_be_unknown() {
    let schema = "create table ticket (id int primary key, title text, body text);
                  alter table ticket alter body set storage external";
    let room = Room::open("toast_placeholder", schema, ONE).await;
    let large = "repeat('x', 20000)";
    room.run(&[
        &format!("insert into ticket values (1, 'a', {large})"),
        "update ticket set title = 'b' where id = 1",
        &format!("begin; insert into ticket values (2, 'c', {large}); update ticket set title = 'd' where id = 2; commit"),
        &format!("begin; update ticket set body = {large} || 'y' where id = 1; update ticket set title = 'e' where id = 1; commit"),
        "update ticket set body = null where id = 1",
        "alter table ticket replica identity full",
        "update ticket set title = 'f' where id = 2",
    ])
    .await;
    let heard = room.hear("/all", 6).await;
    let expected = ["create 1", "update 1", "create 2", "update 1", "update 1", "update 2"];
    assert_eq!(told(&heard), expected);
    let length = |number: usize| heard[number].body["entry"]["body"].as_str().map(str::len);
    assert_eq!(length(0), Some(20000));
    // nobody knows: the field is not there, rather than null or made up
    assert!(heard[1].body["entry"].get("body").is_none(), "{}", heard[1].body);
    assert_eq!(heard[1].body["unavailable_fields"], serde_json::json!(["body"]));
    assert_eq!(heard[1].body["entry"]["title"], "b");
    assert_eq!((length(2), &heard[2].body["entry"]["title"]), (Some(20000), &"d".into()));
    assert_eq!((length(3), &heard[3].body["entry"]["title"]), (Some(20001), &"e".into()));
    assert!(heard[4].body["entry"]["body"].is_null() && heard[4].body["entry"].get("body").is_some());
    assert_eq!((length(5), &heard[5].body["entry"]["title"]), (Some(20000), &"f".into()));
    room.close();
}
