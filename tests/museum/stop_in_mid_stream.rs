//! **An orderly stop that confirms too much.** Crashes are feared, and orderly stops lose data: on a rebalance, a
//! deployment or a checkpoint, what was *read* last is written down as done, and what was on its way is not waited
//! for (flink-cdc#2538: a commit between the snapshot of the state and its completion; supabase/etl#174: states
//! written before the destination had answered; airbyte#12821: rows skipped after a failure).
//!
//! On SIGTERM walhook stores what it has read and confirms it when that is durable (`capture::Capture::follow`);
//! attempts under way have their time to end, and what they did is settled (`dispatch`). What is not stored was not
//! confirmed.

use crate::room::{ONE, Room, TICKETS, told};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn changes_that_come_while_it_is_stopped_and_started_arrive_once() {
    let mut room = Room::open("stop_in_mid_stream", TICKETS, ONE).await;
    let (session, over) = (room.session().await, Arc::new(AtomicBool::new(false)));
    let ends = Arc::clone(&over);
    let work = tokio::task::spawn(async move {
        let mut rows = 0;
        while !ends.load(Ordering::Relaxed) {
            rows += 1;
            session.batch_execute(&format!("insert into ticket values ({rows})")).await.unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(4)).await;
        }
        rows
    });
    for _ in 0..4 {
        let heard = room.receiver.count();
        room.until_arrived("some more", |arrivals| arrivals.len() as u64 > heard + 40).await;
        assert_eq!(room.walhook.terminate(), Some(0), "{}", room.walhook.log_tail());
        room.start().await;
    }
    over.store(true, Ordering::Relaxed);
    let rows: usize = work.await.unwrap();
    let heard = room.hear("/all", rows).await;
    for (number, one) in heard.iter().enumerate() {
        assert_eq!(one.told(), format!("create {}", number + 1));
    }
    assert_eq!(room.receiver.count(), rows as u64, "an orderly stop repeats nothing");
    room.close();
}

/// The stop finds transactions that were read and are not even on their way: the queue's file is in use, and only so
/// many batches may wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_read_and_not_yet_handed_over_is_stored_or_comes_again() {
    let mut room = Room::open("stop_with_full_hands", TICKETS, ONE).await;
    let file = rusqlite::Connection::open(room.folder.join("walhook.db")).unwrap();
    file.busy_timeout(crate::room::PATIENCE).unwrap();
    file.execute_batch("begin immediate").unwrap();
    for id in 1..=12 {
        room.run(&[&format!("insert into ticket values ({id})")]).await;
        let received = room.wal_end().await - 64;
        room.until_received(received).await;
    }
    let release = std::thread::spawn(move || {
        // the stop is to find it in use; when exactly it ends is open
        std::thread::sleep(std::time::Duration::from_millis(500));
        file.execute_batch("rollback").unwrap();
    });
    assert_eq!(room.walhook.terminate(), Some(0), "{}", room.walhook.log_tail());
    release.join().unwrap();
    room.start().await;
    let expected: Vec<String> = (1..=12).map(|id| format!("create {id}")).collect();
    assert_eq!(told(&room.hear("/all", 12).await), expected);
    room.close();
}
