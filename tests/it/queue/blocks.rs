//! Blocks and the lanes in memory, through the queue: what was found to go wrong between the two.

use super::make::{Feed, Turned, claim, delivered, drain, numbers, register};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use walhook::delivery::{DeliveryNumber, State};
use walhook::queue::sqlite::{Options, SqliteQueue, Workplace};
use walhook::queue::{DeliveryRef, Filter, Queue};
use walhook::webhook::WebhookId;

/// A queue whose writer does everything that was brought before it had its turn in one transaction.
fn open_unhurried(path: &Path, time: &Turned) -> Arc<SqliteQueue> {
    let workplace = Workplace::Runtime(Arc::new(|| Duration::from_millis(1)));
    SqliteQueue::open(path, Options { clock: time.clock(), workplace, ..Options::default() }).unwrap()
}

/// The story of a dispatch that was started anew while the last answers of the one before were still to be written:
/// both came into one transaction, the claims were given back, and what had arrived was sent once more. It counted
/// twice among what had ended in its block, so that after the next start the block seemed finished, and what was left
/// of it was never sent. Now a claim that is settled in the same transaction is not given back.
#[tokio::test]
async fn what_is_settled_is_not_given_back_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let time = Turned::new();
    let queue = open_unhurried(&path, &time);
    register(&*queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7]), (2, &[7]), (2, &[7])])).await.unwrap();
    let mut claims = claim(&*queue, 10).await;
    assert_eq!(numbers(&claims), [(7, 1), (7, 2)]);
    claims.truncate(1);
    let settled = queue.settle(claims.into_iter().map(delivered).collect());
    let voided = queue.void_claims();
    settled.await.unwrap();
    voided.await.unwrap();
    let claims = claim(&*queue, 10).await;
    assert_eq!(numbers(&claims), [(7, 2)], "what arrived is not sent again");
    queue.settle(claims.into_iter().map(delivered).collect()).await.unwrap();
    drop(queue);
    tokio::task::yield_now().await;
    let queue = open_unhurried(&path, &time);
    assert_eq!(drain(&*queue).await, [(7, 3)], "what is left of the block");
    let book = queue.webhooks().await.unwrap().remove(0);
    assert_eq!((book.pending, book.delivered), (0, 3));
}

/// The story of a delivery that an operator dropped while its attempt was under way, and of a clock that was set back
/// meanwhile: the lanes were read anew, the claim was forgotten, and the next delivery of the entry went out beside the
/// attempt. Now its lane is held until who works on it is done.
#[tokio::test]
async fn a_dropped_attempt_holds_its_lane_when_the_clock_is_set_back() {
    let folder = tempfile::tempdir().unwrap();
    let time = Turned::new();
    let queue = open_unhurried(&folder.path().join("queue.db"), &time);
    register(&*queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7]), (1, &[7]), (2, &[7])])).await.unwrap();
    let mut claims = claim(&*queue, 10).await;
    assert_eq!(numbers(&claims), [(7, 1), (7, 3)]);
    // a pause that the clock leaves in the future
    let retry = super::make::end(
        claims.pop().unwrap(),
        503,
        walhook::delivery::Settlement::Retry { after: Duration::from_secs(30) },
    );
    queue.settle(vec![retry]).await.unwrap();
    let first = Filter { webhook: Some(WebhookId(7)), sequence: Some(1), ..Filter::default() };
    assert_eq!(queue.drop_deliveries(first).await.unwrap(), 1);
    assert_eq!(numbers(&claim(&*queue, 10).await), []);
    time.set_back(Duration::from_secs(3600));
    register(&*queue, &[7]).await;
    assert_eq!(numbers(&claim(&*queue, 10).await), [], "an attempt of the entry is under way");
    queue.settle(claims.into_iter().map(delivered).collect()).await.unwrap();
    assert_eq!(drain(&*queue).await, [(7, 2)]);
}

/// A file as the version without blocks left it: an event and a delivery of every state, with their attempts.
fn write_former(path: &Path) {
    let old = rusqlite::Connection::open(path).unwrap();
    old.execute_batch(include_str!("../../../src/queue/sqlite/migrations/001.sql")).unwrap();
    old.execute_batch(
        "pragma application_id = 0x77686F6F; pragma user_version = 1; pragma journal_mode = wal;
         update position set commit_lsn = 100, end_lsn = 150, published_event = 8;
         insert into webhook (id, name, enabled, backlog_bytes_max, next_sequence, pending, pending_bytes, dead,
             dead_bytes, delivered, dropped)
         values (7, 'webhook 7', 1, 1000000, 9, 4, 40, 2, 20, 1, 1);
         with recursive number(n) as (select 1 union all select n + 1 from number where n < 9)
         insert into event
         select n, 0, 100, n, 'Incident', 'update', 'INC' || n, case n when 4 then 3 when 7 then 6 else n end, 0, 700, n,
             'application/json', 1, cast('tail' || n as blob)
         from number;
         insert into delivery (webhook, sequence, state, lane, event, gate, due_at_us, since_us, failures, attempts, bytes,
             id, head)
         select 7, column1, column2, column3, column1, column4, column5, 1600000000000000, column6, column6, 10,
             zeroblob(16), cast('head' || column1 as blob)
         from (values (1, 7, 1, null, null, 2), (2, 6, 2, null, null, 1), (3, 4, 3, null, 1700000060000000, 1),
             (4, 2, 3, null, null, 0), (5, 2, 5, 4, null, 0), (6, 5, 6, null, null, 3), (7, 2, 6, null, null, 0),
             (8, 8, 8, null, null, 0), (9, 3, 9, null, null, 0));
         insert into attempt
         select 7, column1, column2, 1600000000000000, 5, 'answered', column3, null, 'said'
         from (values (1, 1, 503), (1, 2, 200), (2, 1, 400), (3, 1, 503));",
    )
    .unwrap();
}

#[tokio::test]
async fn what_waited_before_there_were_blocks_goes_on_as_it_stood() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    write_former(&path);
    let time = Turned::new();
    // as it is carried over, and as it is read after that
    for _ in 0..2 {
        let queue = open_unhurried(&path, &time);
        let mut states: Vec<_> = queue.deliveries(Filter::default(), 100).await.unwrap();
        states.sort_by_key(|summary| summary.number.sequence);
        let states: Vec<_> =
            states.iter().map(|one| (one.number.sequence, one.state, one.attempts)).collect();
        let expected = [
            (1, State::Delivered, 2),
            (2, State::Dead, 1),
            (3, State::Retrying, 1),
            (4, State::Ready, 0),
            (5, State::Ready, 0),
            (6, State::Blocking, 3),
            (7, State::Ready, 0),
            (8, State::Dropped, 0),
        ];
        let is_told = |&(sequence, state, attempts): &(u64, State, u32)| {
            (sequence, if state == State::Waiting { State::Ready } else { state }, attempts)
        };
        assert_eq!(states.iter().map(is_told).collect::<Vec<_>>(), expected);
        let number = DeliveryNumber { webhook: WebhookId(7), sequence: 1 };
        let first = queue.delivery(DeliveryRef::Number(number)).await.unwrap().unwrap();
        assert_eq!(first.attempts.len(), 2);
        assert_eq!((&first.body.head[..], &first.body.tail[..]), (&b"head1"[..], &b"tail1"[..]));
        assert_eq!(numbers(&claim(&*queue, 10).await), [], "each waits for something");
        drop(queue);
        tokio::task::yield_now().await;
    }
    let queue = open_unhurried(&path, &time);
    time.advance(Duration::from_secs(61));
    assert_eq!(
        drain(&*queue).await,
        [(7, 3), (7, 4), (7, 5)],
        "the pause, its lane, and what waited for that lane"
    );
    let dead = Filter { webhook: Some(WebhookId(7)), ..Filter::default() };
    assert_eq!(queue.replay(dead).await.unwrap(), 2);
    assert_eq!(drain(&*queue).await, [(7, 2), (7, 6), (7, 7)]);
    let book = queue.webhooks().await.unwrap().remove(0);
    assert_eq!((book.pending, book.pending_bytes, book.dead, book.delivered, book.dropped), (0, 0, 0, 7, 1));
    while queue.purge(i64::MAX).await.unwrap() > 0 {}
    assert!(queue.deliveries(Filter::default(), 100).await.unwrap().is_empty());
    let ranges = queue.ranges(None).await.unwrap();
    let ranges: Vec<_> = ranges.iter().map(|range| (range.first, range.last, range.state)).collect();
    assert_eq!(ranges, [(1, 7, State::Delivered), (8, 8, State::Dropped)]);
}

/// The story of a transaction that was undone after it had purged: a block that was read in the middle of it stayed in
/// memory without what had been purged, which was then to be sent again, and was found in no block. Now what was read in
/// a transaction that is undone is forgotten.
#[tokio::test]
async fn a_block_is_whole_again_when_its_purge_is_undone() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open_unhurried(&folder.path().join("queue.db"), &Turned::new());
    register(&*queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7]), (2, &[7])])).await.unwrap();
    let held = feed.holding(&[(3, &[7])]);
    queue.enqueue(held.clone()).await.unwrap();
    let claims = claim(&*queue, 1).await;
    let settled = queue.settle(claims.into_iter().map(delivered).collect());
    let purged = queue.purge(i64::MAX);
    let claimed = queue.claim(10, &|_| 10);
    // what is held twice is refused by the file, with everything that came before it
    let refused = queue.enqueue(held);
    settled.await.unwrap_err();
    purged.await.unwrap_err();
    // who claims does so beside the transaction
    assert_eq!(numbers(&claimed.await.unwrap()), [(7, 2)]);
    refused.await.unwrap_err();
    queue.void_claims().await.unwrap();
    assert_eq!(drain(&*queue).await, [(7, 1), (7, 2)]);
}

/// The story of a delivery that was dropped, and purged for want of room, while its attempt was under way: the attempt
/// was written down for nobody, and stayed in the file for ever.
#[tokio::test]
async fn an_attempt_of_what_was_purged_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let queue = open_unhurried(&path, &Turned::new());
    register(&*queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7])])).await.unwrap();
    let claims = claim(&*queue, 1).await;
    assert_eq!(queue.drop_deliveries(Filter::default()).await.unwrap(), 1);
    assert_eq!(queue.purge(i64::MAX).await.unwrap(), 1);
    queue.settle(claims.into_iter().map(delivered).collect()).await.unwrap();
    let file = rusqlite::Connection::open(&path).unwrap();
    for table in ["attempt", "delivery", "block", "content", "share", "arrived"] {
        let left = file.query_row(&format!("select count(*) from {table}"), [], |row| row.get::<_, i64>(0));
        assert_eq!(left, Ok(0), "{table}");
    }
}
