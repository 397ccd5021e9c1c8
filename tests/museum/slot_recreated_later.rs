//! **A slot recreated at a later LSN.** A slot is dropped and made again under its name, by hand, by a tool, or
//! by Patroni after a failover (patroni/patroni#1056, #1749): it begins where the log is now, and what lies
//! between is gone. PostgreSQL says nothing: START_REPLICATION with a position below the slot's is moved forward
//! in silence. So consumers went on, "connected", with a hole.
//!
//! walhook compares its stored position with the slot's before it starts (`capture::start::decide`, and again
//! `source::Control::start`): ahead of ours is a gap. It reads nothing, is red, says so, and goes on when an
//! operator has accepted the gap, which is recorded.

use crate::room::{ONE, Room, TICKETS, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recreated_slot_is_a_gap_that_somebody_must_accept() {
    let mut room = Room::open("slot_recreated_later", TICKETS, ONE).await;
    room.run(&["insert into ticket values (1)"]).await;
    room.hear("/all", 1).await;
    assert_eq!(room.walhook.terminate(), Some(0));
    let recreate = format!("select pg_create_logical_replication_slot('{}', 'pgoutput')", room.slot);
    room.run(&[
        &format!("select pg_drop_replication_slot('{}')", room.slot),
        "insert into ticket values (2, 'nobody keeps this')",
        &recreate,
        "insert into ticket values (3)",
    ])
    .await;
    let at = room.confirmed().await;
    room.walhook.start();
    room.wait_for_log(0, "ahead of our position").await;
    room.wait_for_log(0, "resume --accept-gap").await;
    assert_eq!(room.receiver.count(), 1, "it must not go on by itself");
    assert_eq!(room.confirmed().await, at, "the slot must stay where it is");
    let (code, output) = room.command(&["resume", "--accept-gap"]);
    assert_eq!(code, 0, "{output}");
    let heard = room.hear("/all", 2).await;
    assert_eq!(told(&heard), ["create 1", "create 3"]);
    room.close();
}
