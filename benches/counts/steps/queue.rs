//! Into the queue and out of it, on one thread: what the handing over between threads costs depends on the machine.

use crate::steps::queue::make::{Feed, Turned, claim, delivered, register};
use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use walhook::queue::Queue;
use walhook::queue::sqlite::{Options, SqliteQueue, Workplace};

#[path = "../../../tests/it/queue/make.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod make;

/// How many events are enqueued at once.
const BATCH: u64 = 1000;
/// How many deliveries are claimed and settled at once.
const CLAIMS: usize = 64;

/// Does something with a new queue, in a folder that goes afterwards.
pub(super) fn with_queue<F: Future<Output = ()>>(play: impl FnOnce(Arc<SqliteQueue>) -> F) {
    let folder = tempfile::tempdir().expect("there is a temporary folder");
    // the clocks stand still: nothing that happens depends on how long it takes
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime starts").block_on(async {
        let options = Options {
            clock: Turned::new().clock(),
            workplace: Workplace::Runtime(Arc::new(|| Duration::ZERO)),
            ..Options::default()
        };
        let queue = SqliteQueue::open(&folder.path().join("queue.db"), options).expect("it can be made");
        play(queue).await;
    });
}

/// Batches for so many events, of one webhook and of entries of their own.
fn batches(feed: &mut Feed, events: u64) -> VecDeque<walhook::delivery::Batch> {
    feed.body_bytes = 1000;
    (0..events.div_ceil(BATCH))
        .map(|batch| {
            let lanes = batch * BATCH..events.min((batch + 1) * BATCH);
            // entries come in no order of their lanes
            let lanes: Vec<(u64, &[u64])> =
                lanes.map(|number| (number.wrapping_mul(0x9E37_79B9_7F4A_7C15), &[7][..])).collect();
            feed.transaction(&lanes)
        })
        .collect()
}

pub fn enqueue(prepared: u64, times: u64) {
    with_queue(|queue| async move {
        register(&*queue, &[7]).await;
        let mut batches = batches(&mut Feed::new(), prepared);
        for batch in batches.drain(..times.div_ceil(BATCH) as usize) {
            queue.enqueue(batch).await.expect("it is stored");
        }
        let pending = queue.webhooks().await.expect("it answers")[0].pending;
        assert_eq!(pending, times.div_ceil(BATCH).saturating_mul(BATCH).min(prepared));
        std::mem::forget(batches);
    });
}

pub fn deliver(prepared: u64, times: u64) {
    with_queue(|queue| async move {
        register(&*queue, &[7]).await;
        for batch in batches(&mut Feed::new(), prepared) {
            queue.enqueue(batch).await.expect("it is stored");
        }
        let mut left = times as usize;
        while left > 0 {
            let claims = claim(&*queue, left.min(CLAIMS)).await;
            assert!(!claims.is_empty(), "{left} deliveries are not there");
            left -= claims.len();
            let settled = claims.into_iter().map(delivered).collect();
            queue.settle(settled).await.expect("it is stored");
        }
        assert_eq!(queue.webhooks().await.expect("it answers")[0].delivered, times);
    });
}
