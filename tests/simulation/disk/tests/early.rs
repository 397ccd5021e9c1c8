//! What a small transaction brings may be sent while it is on its way to the disk; and what becomes of it if it never
//! gets there.

use super::make::{Feed, Turned, claim, delivered, numbers, register};
use super::queue::{open, run};
use crate::disk::{Disk, Kind};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use walhook::delivery::{Batch, Claim};
use walhook::lsn::Durable;
use walhook::queue::sqlite::SqliteQueue;
use walhook::queue::{Error, Queue};

type Enqueuing = JoinHandle<Result<Option<Durable>, Error>>;

/// A disk whose syncs take until they are let go, and a queue on it.
struct Slow {
    disk: Disk,
    queue: Arc<SqliteQueue>,
    feed: Feed,
}

impl Slow {
    fn new() -> Self {
        let disk = Disk::new(1);
        let queue = open(&disk.path("queue.db"), &Turned::new()).unwrap();
        run(register(&*queue, &[7]));
        disk.holds_syncs(true);
        Self { disk, queue, feed: Feed::new() }
    }

    fn enqueue(&self, batch: &Batch) -> Enqueuing {
        let (queue, batch) = (Arc::clone(&self.queue), batch.clone());
        std::thread::spawn(move || run(queue.enqueue(batch)))
    }

    fn claim(&self) -> Vec<Claim> {
        run(claim(&*self.queue, 10))
    }

    /// A delivery that is claimed while it is on its way to the disk.
    fn sent_early(&mut self) -> (Batch, Enqueuing, Vec<Claim>) {
        let batch = self.feed.transaction(&[(1, &[7])]);
        let enqueuing = self.enqueue(&batch);
        let patience = Instant::now() + Duration::from_secs(20);
        let mut claims = self.claim();
        while claims.is_empty() {
            assert!(Instant::now() < patience, "nothing is shown before it is on disk");
            std::thread::sleep(Duration::from_millis(1));
            claims = self.claim();
        }
        assert!(!enqueuing.is_finished(), "it is on disk already");
        (batch, enqueuing, claims)
    }

    fn settle(&self, claims: Vec<Claim>) {
        run(self.queue.settle(claims.into_iter().map(delivered).collect())).unwrap();
    }

    fn books(&self) -> (u64, u64) {
        let book = run(self.queue.webhooks()).unwrap().remove(0);
        (book.delivered, book.pending)
    }
}

#[test]
fn what_is_on_its_way_to_the_disk_may_be_sent() {
    let mut slow = Slow::new();
    let (_, enqueuing, claims) = slow.sent_early();
    assert_eq!(numbers(&claims), [(7, 1)]);
    slow.disk.holds_syncs(false);
    assert!(enqueuing.join().unwrap().unwrap().is_some());
    assert!(slow.claim().is_empty(), "it is claimed twice");
    slow.settle(claims);
    assert_eq!(slow.books(), (1, 0));
}

/// The first attempt is still under way when the delivery is enqueued again: it must not overtake itself.
#[test]
fn what_was_sent_early_and_undone_is_sent_again_once_the_first_attempt_has_ended() {
    for is_settled in [true, false] {
        let mut slow = Slow::new();
        let (batch, enqueuing, claims) = slow.sent_early();
        slow.disk.fail_nth(Kind::Sync, 1);
        slow.disk.holds_syncs(false);
        assert!(enqueuing.join().unwrap().is_err());
        assert_eq!(slow.books(), (0, 0));
        slow.enqueue(&batch).join().unwrap().unwrap();
        assert!(slow.claim().is_empty(), "two attempts at once");
        if is_settled {
            slow.settle(claims);
        } else {
            run(slow.queue.void_claims()).unwrap();
        }
        let again = slow.claim();
        assert_eq!(numbers(&again), [(7, 1)]);
        assert_eq!((again[0].attempt, again[0].id), (1, batch.events[0].deliveries[0].id));
        slow.settle(again);
        assert_eq!(slow.books(), (1, 0));
    }
}

/// Otherwise a disk that is full would have the same deliveries sent without end.
#[test]
fn nothing_is_sent_early_after_a_transaction_that_failed() {
    let mut slow = Slow::new();
    let batch = slow.feed.transaction(&[(1, &[7])]);
    slow.disk.fail_nth(Kind::Sync, 1);
    slow.disk.holds_syncs(false);
    assert!(slow.enqueue(&batch).join().unwrap().is_err());
    slow.disk.holds_syncs(true);
    let before = slow.disk.counts().writes;
    let enqueuing = slow.enqueue(&batch);
    let patience = Instant::now() + Duration::from_secs(20);
    while slow.disk.counts().writes == before {
        assert!(Instant::now() < patience, "nothing is written");
        std::thread::sleep(Duration::from_millis(1));
    }
    // it is being committed: what is shown early was shown before that
    assert!(slow.claim().is_empty());
    slow.disk.holds_syncs(false);
    enqueuing.join().unwrap().unwrap();
    assert_eq!(numbers(&slow.claim()), [(7, 1)]);
}

#[test]
fn what_was_sent_early_before_a_kill_comes_again_with_its_id() {
    let mut slow = Slow::new();
    let (batch, enqueuing, claims) = slow.sent_early();
    slow.disk.kill();
    slow.disk.holds_syncs(false);
    assert!(enqueuing.join().unwrap().is_err());
    let Slow { disk, queue, .. } = slow;
    drop(queue);
    disk.restart();
    let queue = open(&disk.path("queue.db"), &Turned::new()).unwrap();
    let is_there = !run(claim(&*queue, 10)).is_empty();
    run(queue.void_claims()).unwrap();
    if !is_there {
        run(queue.enqueue(batch)).unwrap();
    }
    let again = run(claim(&*queue, 10));
    assert_eq!((again[0].id, again[0].number), (claims[0].id, claims[0].number));
}
