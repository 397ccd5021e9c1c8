//! Ends of many attempts at once: the journal has them before the database does.

use super::make::{Feed, Turned, claim, dead, delivered, end, numbers, register};
use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;
use walhook::delivery::{Claim, Settled, Settlement, State};
use walhook::queue::sqlite::{Options, SqliteQueue};
use walhook::queue::{DeliveryRef, Filter, Queue, WebhookStanding};
use walhook::webhook::WebhookId;

/// Deliveries, each the first of its lane; one more waits in the first lane.
const CROWD: u64 = 100;

fn open(folder: &Path, clock: &Turned) -> Arc<SqliteQueue> {
    let options = Options { clock: clock.clock(), ..Options::default() };
    SqliteQueue::open(&folder.join("queue.db"), options).unwrap()
}

async fn crowded(folder: &Path, clock: &Turned) -> (Arc<SqliteQueue>, Vec<Claim>) {
    let queue = open(folder, clock);
    register(&*queue, &[7]).await;
    let lanes: Vec<(u64, &[u64])> = (0..CROWD).chain([0]).map(|lane| (lane, &[7][..])).collect();
    queue.enqueue(Feed::new().transaction(&lanes)).await.unwrap();
    let claims = claim(&*queue, 1000).await;
    assert_eq!(claims.len() as u64, CROWD);
    (queue, claims)
}

/// Two dead letters, five that are tried again, the rest has arrived.
fn ends(claims: Vec<Claim>) -> Vec<Settled> {
    let end = |claim: Claim| match claim.number.sequence {
        10..12 => dead(claim),
        20..25 => end(claim, 500, Settlement::Retry { after: Duration::from_secs(1) }),
        _ => delivered(claim),
    };
    claims.into_iter().map(end).collect()
}

/// What a process leaves that is killed now. Copied by another process, for a file that this one closes loses the locks
/// that SQLite has on it.
fn left_now(folder: &Path) -> TempDir {
    let left = tempfile::tempdir().unwrap();
    for name in ["queue.db", "queue.db-wal", "queue.db.journal"] {
        let copied = Command::new("cp").arg(folder.join(name)).arg(left.path()).status().unwrap();
        assert!(copied.success(), "{name}");
    }
    left
}

async fn book(queue: &SqliteQueue) -> WebhookStanding {
    queue.webhooks().await.unwrap().remove(0)
}

#[tokio::test]
async fn what_was_noted_outlives_the_process_and_is_taken_over_once() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Turned::new());
    let (queue, claims) = crowded(folder.path(), &clock).await;
    queue.settle(ends(claims)).await.unwrap();
    // while the clock stands still, nobody writes it
    let left = left_now(folder.path());
    assert!(claim(&*queue, 1000).await.is_empty(), "a lane goes on, and the end of its head is only noted");
    drop(queue);
    for _ in 0..2 {
        let again = open(left.path(), &clock);
        let book = book(&again).await;
        assert_eq!((book.delivered, book.dead, book.pending), (CROWD - 7, 2, 6));
        assert_eq!(book.failures, 0, "the last one arrived");
        let next = claim(&*again, 1000).await;
        assert_eq!(numbers(&next), [(7, CROWD + 1)]);
        again.void_claims().await.unwrap();
    }
    let again = open(left.path(), &clock);
    clock.advance(Duration::from_secs(1));
    let claims = claim(&*again, 1000).await;
    let retried: Vec<_> = claims.iter().filter(|claim| claim.attempt == 2 && claim.failures == 1).collect();
    assert_eq!(retried.len(), 5);
    for (sequence, state) in [(1, State::Delivered), (10, State::Dead)] {
        let number = walhook::delivery::DeliveryNumber { webhook: WebhookId(7), sequence };
        let found = again.delivery(DeliveryRef::Number(number)).await.unwrap().unwrap();
        assert_eq!((found.summary.state, found.attempts.len()), (state, 1));
    }
}

#[tokio::test]
async fn what_was_noted_is_written_when_somebody_reads_or_the_queue_is_closed() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Turned::new());
    let (queue, claims) = crowded(folder.path(), &clock).await;
    let mut ends = ends(claims);
    let later = ends.split_off(50);
    queue.settle(ends).await.unwrap();
    assert_eq!(book(&queue).await.delivered, 43);
    assert_eq!(numbers(&claim(&*queue, 1000).await), [(7, CROWD + 1)]);
    queue.settle(later).await.unwrap();
    drop(queue);
    std::fs::remove_file(folder.path().join("queue.db.journal")).unwrap();
    assert_eq!(book(&open(folder.path(), &clock)).await.delivered, CROWD - 7);
}

/// A power cut may take the journal, or some of it, and leave anything behind.
#[tokio::test]
async fn what_a_power_cut_takes_of_the_journal_comes_again_in_its_turn() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Turned::new());
    let (queue, mut claims) = crowded(folder.path(), &clock).await;
    let later = claims.split_off(50);
    queue.settle(claims.into_iter().map(delivered).collect()).await.unwrap();
    let first = std::fs::read(folder.path().join("queue.db.journal")).unwrap().len();
    queue.settle(later.into_iter().map(delivered).collect()).await.unwrap();
    let left = left_now(folder.path());
    let journal = std::fs::read(left.path().join("queue.db.journal")).unwrap();
    let mut cuts: BTreeSet<usize> = (0..journal.len()).step_by(97).collect();
    cuts.extend([1, 4, 11, 12, first - 1, first, first + 1, first + 12, journal.len() - 1, journal.len()]);
    for (cut, is_filled) in cuts.into_iter().flat_map(|cut| [(cut, false), (cut, true)]) {
        let left = left_now(folder.path());
        let mut torn = journal[..cut].to_vec();
        if is_filled {
            torn.resize(journal.len(), 0xff);
        }
        std::fs::write(left.path().join("queue.db.journal"), torn).unwrap();
        let again = open(left.path(), &clock);
        let known = if cut < first {
            0
        } else if cut < journal.len() {
            50
        } else {
            CROWD
        };
        let book = book(&again).await;
        assert_eq!((book.delivered, book.pending), (known, CROWD + 1 - known), "cut at {cut}");
        let comes: BTreeSet<u64> =
            claim(&*again, 1000).await.iter().map(|claim| claim.number.sequence).collect();
        let mut expected: BTreeSet<u64> = (known + 1..=CROWD).collect();
        if known > 0 {
            // its lane is that of the first
            expected.insert(CROWD + 1);
        }
        assert_eq!(comes, expected, "cut at {cut}");
    }
}

#[tokio::test]
async fn what_an_operator_gave_up_meanwhile_stays_so() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Turned::new());
    let (queue, claims) = crowded(folder.path(), &clock).await;
    queue.settle(claims.into_iter().map(delivered).collect()).await.unwrap();
    let left = left_now(folder.path());
    drop(queue);
    let options = Options { clock: clock.clock(), ..Options::default() };
    let command = SqliteQueue::open_beside(&left.path().join("queue.db"), options).unwrap();
    assert_eq!(command.drop_deliveries(Filter::default()).await.unwrap(), CROWD + 1);
    drop(command);
    let again = open(left.path(), &clock);
    let book = book(&again).await;
    assert_eq!((book.delivered, book.dropped, book.pending), (0, CROWD + 1, 0));
}

/// A queue that is put in the place of another one finds the other's journal.
#[tokio::test]
async fn the_journal_of_another_queue_says_nothing() {
    let (folder, clock) = (tempfile::tempdir().unwrap(), Turned::new());
    let (queue, claims) = crowded(folder.path(), &clock).await;
    queue.settle(claims.into_iter().map(delivered).collect()).await.unwrap();
    let left = left_now(folder.path());
    let other = tempfile::tempdir().unwrap();
    let another = open(other.path(), &clock);
    register(&*another, &[7]).await;
    let mut feed = Feed::after(1_000, &[(7, 1)]);
    let lanes: Vec<(u64, &[u64])> = (0..CROWD).map(|lane| (lane, &[7][..])).collect();
    let mut others = feed.transaction(&lanes);
    // the same numbers, and another identity
    others.events.iter_mut().for_each(|event| event.deliveries[0].id.0[0] = 1);
    another.enqueue(others).await.unwrap();
    drop(another);
    std::fs::rename(left.path().join("queue.db.journal"), other.path().join("queue.db.journal")).unwrap();
    assert_eq!(book(&open(other.path(), &clock)).await.pending, CROWD);
}
