//! **An acknowledgement timer ahead of durability.** Clients of the replication protocol must speak up every few
//! seconds, or they are cut off, and it is tempting to say then what was *received*: pg-logical-replication's
//! timer did (kibae/pg-logical-replication#11, #22), drasi-core, faucet-stream and laminardb did until 2026
//! (drasi-core#178, faucet-stream#81, laminardb#209). The server takes it for "kept", throws its log away, and a
//! crash in that moment loses all that was only in memory.
//!
//! Its sister is **the keepalive that is confirmed before the queue has flushed**: the server says how far it is,
//! and the client repeats it. pgjdbc does so by itself since 42.7.0 (pgjdbc#2941), which lost changes in
//! YugabyteDB's connector (yugabyte-db#33306); Spice confirmed the end of an *empty* transaction while the one
//! before it was not yet written (spiceai#11582).
//!
//! In walhook only a `Durable` can be confirmed, and only the queue makes one, after its fsync
//! (`queue::sqlite`); timers and keepalives have nothing else to say (`source::pump`).

use crate::room::{ONE, Room, TICKETS, told};

/// A transaction is received and cannot be stored: somebody else holds the queue's file. walhook goes on talking to
/// the server, dies, and the transaction must come again.
async fn a_received_transaction(name: &'static str, noise: &[&str]) {
    let schema = format!("{TICKETS}; create table other (text text)");
    let mut room = Room::open(name, &schema, ONE).await;
    room.run(&["insert into ticket values (1)"]).await;
    room.hear("/all", 1).await;
    let file = rusqlite::Connection::open(room.folder.join("walhook.db")).unwrap();
    file.busy_timeout(crate::room::PATIENCE).unwrap();
    file.execute_batch("begin immediate").unwrap();
    let before = room.wal_end().await;
    room.run(&["insert into ticket values (2)"]).await;
    room.run(noise).await;
    // the log's end may be a page's head that nobody sends: what was written last lies before it
    let received = room.wal_end().await - 64;
    room.until_received_and_told(received).await;
    let confirmed = room.confirmed().await;
    assert!(confirmed <= before, "{confirmed:X} is confirmed, but only {before:X} is stored");
    room.kill().await;
    file.execute_batch("rollback").unwrap();
    room.start().await;
    let heard = room.hear("/all", 2).await;
    assert_eq!(told(&heard), ["create 1", "create 2"]);
    room.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_only_received_is_not_confirmed_by_a_timer() {
    a_received_transaction("timer_ahead_of_durability", &[]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_only_received_is_not_confirmed_by_keepalives_and_empty_transactions() {
    let noise = "insert into other select repeat('x', 1000) from generate_series(1, 500)";
    a_received_transaction("keepalive_ahead_of_durability", &[noise, noise, noise]).await;
}
