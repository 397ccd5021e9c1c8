//! A process that is killed while it works: everything it had an answer for is there, and nothing half.

use super::make::{Feed, claim, delivered, drain, end, register};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use walhook::delivery::Settlement;
use walhook::queue::sqlite::{Options, SqliteQueue};
use walhook::queue::{Filter, Queue};

const CHILD: &str = "WALHOOK_TEST_QUEUE_CHILD";
/// Deliveries in a transaction of the child.
const IN_TRANSACTION: u64 = 7;

/// What the child does when it is one: enqueues and settles, and says what it has answers for, until it is
/// killed. In an ordinary run it does nothing.
#[tokio::test]
async fn child() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let queue = SqliteQueue::open(Path::new(&path), Options::default()).unwrap();
    let books = queue.webhooks().await.unwrap();
    if books.is_empty() {
        register(&*queue, &[7]).await;
    }
    let next = books.first().map_or(1, |books| books.next_sequence);
    let mut feed = Feed::after((next - 1) / IN_TRANSACTION * 100, &[(7, next)]);
    let settling = Arc::clone(&queue);
    let settle = async move {
        loop {
            for (number, claim) in claim(&*settling, 20).await.into_iter().enumerate() {
                let sequence = claim.number.sequence;
                let settled = match number % 5 {
                    4 => end(claim, 500, Settlement::Retry { after: Duration::from_millis(1) }),
                    _ => delivered(claim),
                };
                let is_end = settled.settlement == Settlement::Delivered;
                settling.settle(vec![settled]).await.unwrap();
                if is_end {
                    println!("\ndelivered {sequence}");
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let enqueue = async move {
        loop {
            let lanes: Vec<(u64, &[u64])> =
                (0..IN_TRANSACTION).map(|lane| (lane * 3 % 5, &[7][..])).collect();
            // one in three comes in two parts
            if feed.sequence(7).is_multiple_of(3) {
                queue.enqueue(feed.part(&lanes[..4], 0, false)).await.unwrap();
                queue.enqueue(feed.part(&lanes[4..], 4, true)).await.unwrap();
            } else {
                queue.enqueue(feed.transaction(&lanes)).await.unwrap();
            }
            println!("\nenqueued {}", feed.sequence(7));
        }
    };
    tokio::join!(settle, enqueue);
}

#[tokio::test]
async fn what_was_answered_survives_a_kill_and_nothing_is_half() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let (mut enqueued, mut ended) = (0, std::collections::BTreeSet::new());
    for round in 0..6_u64 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "queue::crash::child", "--nocapture", "--test-threads=1"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut left = 40 + round * 37;
        // killed at a moment that depends on how far it has come, then read what it had said before
        while let Some(Ok(line)) = said.next() {
            let mut words = line.split(' ');
            match (words.next(), words.next().and_then(|number| number.parse::<u64>().ok())) {
                (Some("enqueued"), Some(sequence)) => enqueued = sequence,
                (Some("delivered"), Some(sequence)) => assert!(ended.insert(sequence), "{sequence} twice"),
                _ => continue,
            }
            left = left.saturating_sub(1);
            if left == 0 {
                child.kill().unwrap();
            }
        }
        assert!(!child.wait().unwrap().success(), "it ended by itself");
        let queue = SqliteQueue::open(&path, Options::default()).unwrap();
        let books = queue.webhooks().await.unwrap().remove(0);
        let last = books.next_sequence - 1;
        assert!(last >= enqueued, "{last} of {enqueued}");
        assert_eq!(last % IN_TRANSACTION, 0, "half a transaction");
        assert!(books.delivered >= ended.len() as u64);
        assert_eq!(books.pending + books.delivered, last);
        let all = queue.deliveries(Filter::default(), usize::MAX >> 1).await.unwrap();
        assert_eq!(all.len() as u64, last);
        for found in all {
            let is_delivered = found.state == walhook::delivery::State::Delivered;
            assert!(is_delivered || !ended.contains(&found.number.sequence), "{} is back", found.number);
            if is_delivered {
                // the answer may have been on its way when the process was killed
                ended.insert(found.number.sequence);
            }
        }
        enqueued = last;
    }
    assert!(ended.len() > 100, "{} deliveries only", ended.len());
    let queue = SqliteQueue::open(&path, Options::default()).unwrap();
    let mut all = ended;
    while (all.len() as u64) < enqueued {
        for (_, sequence) in drain(&*queue).await {
            assert!(all.insert(sequence));
        }
    }
    let check = rusqlite::Connection::open(&path).unwrap();
    assert_eq!(check.query_row("pragma integrity_check", [], |row| row.get(0)), Ok("ok".to_owned()));
}
