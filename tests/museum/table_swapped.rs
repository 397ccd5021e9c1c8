//! **A table swapped for another.** Online migrations build a new table, and rename it into the old one's place. A
//! publication holds the table, not its name: from then on the application writes where nobody listens, the stream
//! is healthy, and nothing comes (a known trap of CDC tools with pg_repack-like migrations; Spice lost the changes of
//! tables that left and came back to its publication, spiceai#11289).
//!
//! walhook binds a form to a table's number, follows a rename, and compares with the catalogue at every start and
//! every minute (`capture::forms`, `catalog`): the new bearer of the name is another table, which nobody publishes.
//! The form is broken, readiness is red, and the remedy is printed.

use crate::room::{ONE, Room, TICKETS, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_table_under_the_old_name_is_red_until_it_is_published() {
    let mut room = Room::open("table_swapped", TICKETS, ONE).await;
    room.run(&["insert into ticket values (1)"]).await;
    room.hear("/all", 1).await;
    room.run(&["begin; create table ticket_new (like ticket including all); insert into ticket_new select * from ticket;
                alter table ticket rename to ticket_old; alter table ticket_new rename to ticket; commit"])
        .await;
    // a restart looks at once; a walhook that goes on, within a minute
    assert_eq!(room.walhook.terminate(), Some(0));
    room.walhook.start();
    room.wait_for_log(0, "to the publication").await;
    let (code, output) = room.command(&["check"]);
    assert!(code == 1 && output.contains("ticket"), "{output}");
    room.run(&["alter publication walhook add table ticket", "insert into ticket values (2)"]).await;
    assert_eq!(room.walhook.terminate(), Some(0));
    room.walhook.start();
    assert_eq!(told(&room.hear("/all", 2).await), ["create 1", "create 2"]);
    room.close();
}
