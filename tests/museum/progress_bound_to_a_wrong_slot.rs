//! **Progress bound to a wrong slot.** supabase/etl kept its progress by pipeline, not by slot, and took the
//! greater of it and a new slot's beginning: the new slot began at 40, the old progress said 100, and 40 to 100
//! was skipped (supabase/etl#935, 2026). Where one slot is shared, its confirmation ran past those who were not
//! attached (spiceai/spiceai#11289). With PostgreSQL a wrong slot that is behind costs nothing, one that is
//! ahead costs everything in between.
//!
//! walhook asks two questions of any slot that the configuration names, whatever it was called before: is it of
//! our server, database and timeline, and is it ahead of what the queue holds (`capture::start::decide`)?

use crate::room::{ONE, Room, TICKETS, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_slot_is_taken_where_it_loses_nothing_and_refused_where_it_would() {
    let mut room = Room::open("progress_bound_to_a_wrong_slot", TICKETS, ONE).await;
    room.run(&["insert into ticket values (1)"]).await;
    room.hear("/all", 1).await;
    room.run(&[
        "select pg_create_logical_replication_slot('museum_behind', 'pgoutput')",
        "insert into ticket values (2)",
    ])
    .await;
    room.hear("/all", 2).await;
    let first = room.slot.clone();

    // behind: what is stored already is not delivered twice, nor is what comes left out
    assert_eq!(room.walhook.terminate(), Some(0));
    room.run(&["insert into ticket values (3)"]).await;
    "museum_behind".clone_into(&mut room.slot);
    room.configure(ONE);
    room.start().await;
    room.hear("/all", 3).await;

    // ahead: refused, and the better slot still has everything
    assert_eq!(room.walhook.terminate(), Some(0));
    room.run(&[
        "insert into ticket values (4)",
        "select pg_create_logical_replication_slot('museum_ahead', 'pgoutput')",
        "insert into ticket values (5)",
    ])
    .await;
    "museum_ahead".clone_into(&mut room.slot);
    room.configure(ONE);
    room.walhook.start();
    room.wait_for_log(0, "ahead of our position").await;
    assert_eq!(room.walhook.terminate(), Some(0));
    assert_eq!(room.receiver.count(), 3);
    "museum_behind".clone_into(&mut room.slot);
    room.configure(ONE);
    room.start().await;
    let heard = room.hear("/all", 5).await;
    assert_eq!(told(&heard), ["create 1", "create 2", "create 3", "create 4", "create 5"]);
    assert_eq!(room.receiver.count(), 5, "nothing came twice");
    room.run(&[&format!(
        "select pg_drop_replication_slot('{first}'), pg_drop_replication_slot('museum_ahead')"
    )])
    .await;
    room.close();
}
