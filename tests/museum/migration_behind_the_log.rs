//! **A migration that overtakes the log.** The log describes rows as their table was when they were written, the
//! catalogue as it is. A consumer that was down while a migration ran reads old rows with new eyes: values of a
//! dropped column shift the others, a renamed one is NULL, new types fail to parse (dropped columns in
//! debezium/postgres-decoderbufs#6; ClickHouse's sink wrote NULLs for columns that were there,
//! clickhouse-sink-connector#1433).
//!
//! walhook reads a row by the description that precedes it in the log (`catalog::bind`), also where that changes in
//! the middle of a transaction; names follow the column's number.

use crate::room::{ONE, Room, TICKETS, told};
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_from_before_a_migration_keep_their_values() {
    let mut room = Room::open("migration_behind_the_log", TICKETS, ONE).await;
    // in one transaction, with rows between the steps
    room.run(&["begin; insert into ticket values (1, '11');
          alter table ticket add column extra text default 'old'; insert into ticket values (2, '22', 'x');
          alter table ticket alter column title type int using title::int; insert into ticket values (3, 33, 'y');
          alter table ticket drop column extra; insert into ticket values (4, 44);
          update ticket set title = title + 1 where id = 1; commit"])
        .await;
    let heard = room.hear("/all", 4).await;
    assert_eq!(told(&heard), ["create 1", "create 2", "create 3", "create 4"]);
    let title = |number: usize| heard[number].body["entry"]["title"].to_string().replace('"', "");
    assert_eq!([title(0), title(1), title(2), title(3)], ["12", "22", "33", "44"]);

    // while nobody reads
    assert_eq!(room.walhook.terminate(), Some(0));
    room.run(&[
        "alter table ticket add column a text, add column b text",
        "insert into ticket values (5, 55, 'a', 'b')",
        "alter table ticket drop column a",
        "alter table ticket rename column b to c",
        "alter table ticket add column a int",
        "insert into ticket values (6, 66, 'b', 7)",
        "update ticket set a = 8 where id = 5",
    ])
    .await;
    room.start().await;
    let heard = room.hear("/all", 7).await;
    assert_eq!(told(&heard)[4..], ["create 5", "create 6", "update 5"]);
    // under which of its names a renamed column appears is open; its value is not
    let entry = heard[4].body["entry"].as_object().unwrap();
    assert_eq!(entry["title"], 55);
    let renamed = entry.get("c").or_else(|| entry.get("b"));
    assert_eq!(renamed, Some(&json!("b")), "{entry:?}");
    assert_ne!(entry.get("c"), Some(&json!("a")), "{entry:?}");
    assert_eq!((&heard[5].body["entry"]["a"], &heard[6].body["entry"]["a"]), (&json!(7), &json!(8)));
    room.close();
}
