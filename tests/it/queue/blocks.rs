//! Blocks and the lanes in memory, through the queue: what was found to go wrong between the two.

use super::make::{Feed, Turned, claim, delivered, drain, numbers, register};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use walhook::queue::sqlite::{Options, SqliteQueue, Workplace};
use walhook::queue::{Filter, Queue};
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
