//! **Partition root and leaf.** A partitioned table is read by its root and arrives by its leaves, under names that
//! nobody listens to: Spice's shared slot dropped all changes of such tables and confirmed them (spiceai#11290,
//! 2026); Airbyte's sync had no records (airbyte#13442); a list of the leaves of today misses the partition of
//! tomorrow (redpanda-data/connect#4720).
//!
//! walhook publishes the root, by its name, with `publish_via_partition_root`, which holds for partitions to come
//! (`doctor::plan`), and refuses a form whose table is published otherwise (`catalog::check`).

use crate::room::{ONE, Room, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_of_every_partition_come_under_the_roots_name() {
    let schema = "create table ticket (id int, year int, title text, primary key (id, year)) partition by range (year);
                  create table ticket_2025 partition of ticket for values from (2025) to (2026);
                  create table elsewhere (title text, year int not null, id int not null, primary key (id, year))";
    let mut room = Room::open("partition_root_and_leaf", schema, ONE).await;
    if room.major_version() >= 15 {
        // 14 remembers of a table that was written to that it is not published, and leaves its changes out until the
        // stream is started anew
        room.run(&["insert into elsewhere values ('theirs', 2027, 9)"]).await;
    }
    room.run(&[
        "insert into ticket values (1, 2025)",
        // a partition of tomorrow, one with its columns in another order, one below another
        "create table ticket_2026 partition of ticket for values from (2026) to (2027)",
        "insert into ticket values (2, 2026)",
        "alter table ticket attach partition elsewhere for values from (2027) to (2028)",
        "insert into ticket values (3, 2027, 'ours')",
        "create table ticket_old partition of ticket for values from (1990) to (2025) partition by range (year)",
        "create table ticket_1999 partition of ticket_old for values from (1999) to (2000)",
        "insert into ticket_1999 values (4, 1999)",
        "update ticket set title = 'x' where year = 2027 and id = 3",
        "update ticket set year = 2026 where id = 1",
        "delete from ticket where id = 4",
    ])
    .await;
    let heard = room.hear("/all", 8).await;
    let events = told(&heard);
    assert_eq!(
        events[..5],
        ["create 1|2025", "create 2|2026", "create 3|2027", "create 4|1999", "update 3|2027"]
    );
    assert_eq!(events[5..], ["delete 1|2025", "create 1|2026", "delete 4|1999"]);
    assert_eq!(heard[2].body["entry"], serde_json::json!({"id": 3, "year": 2027, "title": "ours"}));
    assert!(heard.iter().all(|one| one.body["form"] == "ticket"));
    let end = room.wal_end().await;
    room.until_confirmed(end - 64).await;
    room.close();
}
