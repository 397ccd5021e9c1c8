//! A process that is killed while it works: everything it had an answer for is there, and nothing half.

use super::make::{Feed, claim, delivered, drain, end, register};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;
use walhook::delivery::{Batch, Held, HeldBecause, HeldWhat, Holder, Settlement};
use walhook::form::Lane;
use walhook::lsn::Lsn;
use walhook::queue::sqlite::{Options, SqliteQueue};
use walhook::queue::{Filter, Queue, WebhookStanding};
use walhook::webhook::WebhookId;

const CHILD: &str = "WALHOOK_TEST_QUEUE_CHILD";
/// Deliveries in a transaction of the child.
const IN_TRANSACTION: u64 = 7;
/// Events of a transaction of the child that are held for the webhook below, each in a lane of its own.
const HELD_IN_TRANSACTION: u64 = 3;
/// When they are judged, those in lane 0 do not match.
const HOLDER: WebhookId = WebhookId(8);

/// What the child does when it is one: enqueues and settles, and says what it has answers for, until it is
/// killed. In an ordinary run it does nothing.
#[tokio::test]
async fn child() {
    let Ok(path) = std::env::var(CHILD) else { return };
    let queue = SqliteQueue::open(Path::new(&path), Options::default()).unwrap();
    let books = queue.webhooks().await.unwrap();
    if books.is_empty() {
        register(&*queue, &[7, 8]).await;
    }
    let next = |number: usize| books.get(number).map_or(1, |books| books.next_sequence);
    let mut feed = Feed::after((next(0) - 1) / IN_TRANSACTION * 100, &[(7, next(0)), (8, next(1))]);
    let settling = Arc::clone(&queue);
    let settle = async move {
        loop {
            for (number, claim) in claim(&*settling, 20).await.into_iter().enumerate() {
                let (webhook, sequence) = (claim.number.webhook, claim.number.sequence);
                let settled = match number % 5 {
                    4 => end(claim, 500, Settlement::Retry { after: Duration::from_millis(1) }),
                    _ => delivered(claim),
                };
                let is_end = settled.settlement == Settlement::Delivered;
                settling.settle(vec![settled]).await.unwrap();
                if is_end && webhook != HOLDER {
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
                let mut part = feed.part(&lanes[..4], 0, false);
                hold(&feed, &mut part, 0..2);
                queue.enqueue(part).await.unwrap();
                let mut part = feed.part(&lanes[4..], 4, true);
                hold(&feed, &mut part, 2..HELD_IN_TRANSACTION);
                queue.enqueue(part).await.unwrap();
            } else {
                let mut transaction = feed.transaction(&lanes);
                hold(&feed, &mut transaction, 0..HELD_IN_TRANSACTION);
                queue.enqueue(transaction).await.unwrap();
            }
            // one in four is judged at once, and what had come before with it
            if feed.sequence(7).is_multiple_of(4) {
                let held = queue.held(HOLDER, None, usize::MAX).await.unwrap();
                queue.enqueue(judge(&mut feed, &held)).await.unwrap();
            }
            println!("\nenqueued {}", feed.sequence(7));
        }
    };
    tokio::join!(settle, enqueue);
}

fn hold(feed: &Feed, batch: &mut Batch, lanes: std::ops::Range<u64>) {
    let holder = Holder { webhook: HOLDER, cause: HeldBecause::Broken };
    batch.held.extend(lanes.map(|lane| feed.held(lane, vec![holder.clone()], 100 + lane)));
}

fn judge(feed: &mut Feed, held: &[Held]) -> Batch {
    let matches = |held: &&Held| matches!(held.what, HeldWhat::Event { lane, .. } if lane != Lane(0));
    Batch {
        events: held.iter().filter(matches).map(|held| feed.judged(held)).collect(),
        released: held.iter().map(|held| held.held).collect(),
        progress: Some(feed.progress()),
        ..Batch::default()
    }
}

/// Each transaction's held events are there as a whole, or have become deliveries in commit order as a whole.
async fn check_held(queue: &SqliteQueue, books: &WebhookStanding, transactions: u64) {
    let held = queue.held(HOLDER, None, usize::MAX).await.unwrap();
    assert_eq!(books.held, held.len() as u64);
    assert_eq!(books.held_bytes, 100 * books.held);
    assert_eq!(books.held % HELD_IN_TRANSACTION, 0, "half a transaction is held");
    let judged = transactions - books.held / HELD_IN_TRANSACTION;
    assert_eq!(books.next_sequence - 1, judged * (HELD_IN_TRANSACTION - 1), "half a judgement");
    let all = |lanes: std::ops::Range<u64>, from: u64, to: u64| -> Vec<_> {
        let of = move |number| lanes.clone().map(move |lane| (Lsn(number * 100), 100 + lane));
        (from + 1..=to).flat_map(of).collect()
    };
    let positions: Vec<_> =
        held.iter().map(|held| (held.position.commit_lsn, held.position.ordinal)).collect();
    assert_eq!(positions, all(0..HELD_IN_TRANSACTION, judged, transactions));
    let filter = Filter { webhook: Some(HOLDER), ..Filter::default() };
    let found = queue.deliveries(filter, usize::MAX >> 1).await.unwrap();
    let found: BTreeMap<_, _> = found
        .iter()
        .map(|found| (found.number.sequence, (found.position.commit_lsn, found.position.ordinal)))
        .collect();
    assert_eq!(found.into_values().collect::<Vec<_>>(), all(1..HELD_IN_TRANSACTION, 0, judged));
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
        let [books, holder] = <[_; 2]>::try_from(queue.webhooks().await.unwrap()).unwrap();
        let last = books.next_sequence - 1;
        check_held(&queue, &holder, last / IN_TRANSACTION).await;
        assert!(last >= enqueued, "{last} of {enqueued}");
        assert_eq!(last % IN_TRANSACTION, 0, "half a transaction");
        assert!(books.delivered >= ended.len() as u64);
        assert_eq!(books.pending + books.delivered, last);
        let filter = Filter { webhook: Some(books.id), ..Filter::default() };
        let all = queue.deliveries(filter, usize::MAX >> 1).await.unwrap();
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
        for (_, sequence) in drain(&*queue).await.into_iter().filter(|&(webhook, _)| webhook == 7) {
            assert!(all.insert(sequence));
        }
    }
    let holder = queue.webhooks().await.unwrap().remove(1);
    assert!(holder.next_sequence > 20, "{holder:?}");
    let check = rusqlite::Connection::open(&path).unwrap();
    let contents = check
        .query_row("select count(*) from held_event", [], |row| row.get::<_, i64>(0).map(i64::cast_unsigned));
    assert_eq!(contents, Ok(holder.held), "each is held by one webhook");
    assert_eq!(check.query_row("pragma integrity_check", [], |row| row.get(0)), Ok("ok".to_owned()));
}
