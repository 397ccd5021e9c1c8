//! **A replica identity that changes in mid-stream.** What the log has of an old row depends on the table's replica
//! identity, and anybody may alter that while the stream runs. RisingWave skipped updates whose old row it missed
//! (risingwave#5892), Sequin's partitions had no `changes` where one of them was set otherwise (sequin#1257), pgstream
//! skips updates and deletes of a table without one (pgstream#911).
//!
//! The log announces a table anew before its first change under another identity; walhook binds the form to that
//! (`catalog::bind`). Old rows that do not have the entry's id cannot name their entry: such a form is broken, which
//! is red and listed, and its changes are kept in the quarantine (`capture::Capture::take_change`).

use crate::room::{ONE, Room, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_arrives_or_is_listed_whatever_the_identity_becomes() {
    let schema = "create table ticket (id int primary key, code text unique not null, title text)";
    let mut room = Room::open("replica_identity_changed", schema, ONE).await;
    room.run(&[
        "insert into ticket values (1, 'a', 'x'), (2, 'b', 'x'), (3, 'c', 'x')",
        "update ticket set title = 'y' where id = 1",
        "alter table ticket replica identity full",
        "begin; update ticket set title = 'z' where id = 1; alter table ticket replica identity default;
         update ticket set title = 'z' where id = 2; commit",
        "delete from ticket where id = 1",
    ])
    .await;
    let heard = room.hear("/all", 7).await;
    let expected = ["create 1", "create 2", "create 3", "update 1", "update 1", "update 2", "delete 1"];
    assert_eq!(told(&heard), expected);
    assert_eq!(heard[4].body["changed"]["title"]["old"], "y");

    // an identity without the entry's id: nobody can say which entry it was
    room.run(&[
        "alter table ticket replica identity using index ticket_code_key",
        "delete from ticket where id = 2",
        "alter table ticket replica identity default",
        "delete from ticket where id = 3",
    ])
    .await;
    let heard = room.hear("/all", 8).await;
    assert_eq!(told(&heard)[7], "delete 3");
    let (code, output) = room.command(&["--json", "queue", "quarantine"]);
    assert_eq!(code, 0, "{output}");
    assert_eq!(output.matches("\"position\"").count(), 1, "the deletion of entry 2 must be listed: {output}");
    let end = room.wal_end().await;
    room.until_confirmed(end - 64).await;
    room.close();
}
