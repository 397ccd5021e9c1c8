//! Dispatch on the embedded queue and a real receiver: from enqueuing to the last settlement.

use super::{Running, webhook};
use crate::receiver::{Receiver, Request};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use walhook::clock::Clock;
use walhook::delivery::{Batch, DeliveryId, NewDelivery, NewEvent, State, Tail};
use walhook::dispatch::HttpCourier;
use walhook::event::Verb;
use walhook::form::Lane;
use walhook::lsn::{Lsn, Position, Progress};
use walhook::queue::sqlite::{Options, SqliteQueue};
use walhook::queue::{Filter, Queue, WebhookRecord};
use walhook::retry::Schedule;
use walhook::transport::{Settings, Transport, Trust};
use walhook::webhook::{Webhook, WebhookId};

fn courier() -> Arc<HttpCourier> {
    Arc::new(HttpCourier::new(Transport::new(&Settings::default()).unwrap(), |_| Trust::Operator))
}

async fn open(path: &Path, webhooks: &[Webhook]) -> Arc<SqliteQueue> {
    let queue = SqliteQueue::open(path, Options::default()).unwrap();
    let records = webhooks.iter().map(|webhook| WebhookRecord {
        id: webhook.id,
        name: webhook.name.clone(),
        enabled: webhook.enabled,
        backlog_bytes_max: webhook.sending.backlog_bytes_max,
    });
    queue.register(records.collect()).await.unwrap();
    queue
}

/// Enqueues events, each with a delivery for every webhook, in transactions of a hundred; the entry of an
/// event is its number modulo `entries`.
async fn enqueue(queue: &SqliteQueue, webhooks: &[u64], events: u64, entries: u64) {
    for first in (0..events).step_by(100) {
        let commit_lsn = Lsn(1000 + first);
        let events = (first..events.min(first + 100)).map(|number| {
            let entry = number % entries;
            let deliveries = webhooks.iter().map(|&webhook| NewDelivery {
                webhook: WebhookId(webhook),
                sequence: number + 1,
                id: DeliveryId((u128::from(webhook) << 64 | u128::from(number)).to_be_bytes()),
                head: Bytes::from(format!("{{\"sequence\":{},", number + 1)),
                tail: 0,
            });
            NewEvent {
                was_held: false,
                position: Position { epoch: 0, commit_lsn, ordinal: number - first },
                form: "Incident".into(),
                verb: Verb::Update,
                entry_id: format!("INC{entry}"),
                lane: Lane(entry),
                behind: vec![],
                xid: 700,
                committed_at_us: Clock::system().now_us(),
                deliveries: deliveries.collect(),
                tails: vec![Tail {
                    content_type: "application/json".into(),
                    bytes: format!("\"entry\":{entry}}}").into(),
                }],
            }
        });
        let progress = Progress { commit_lsn, end_lsn: Lsn(commit_lsn.0 + 50) };
        let batch = Batch { events: events.collect(), progress: Some(progress), ..Batch::default() };
        queue.enqueue(batch).await.unwrap().expect("progress was stored");
    }
}

/// Every delivery arrived; per entry, none for the first time before its predecessor had been taken.
#[track_caller]
fn check(requests: &[Request], deliveries: u64) {
    let mut reached: BTreeMap<u64, u64> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let mut ids = BTreeMap::new();
    for request in requests {
        let (sequence, entry) = (request.sequence(), request.json()["entry"].as_u64().unwrap());
        assert_eq!(request.json()["sequence"], sequence);
        assert_eq!(ids.entry(sequence).or_insert_with(|| request.id().to_owned()), request.id());
        let last = reached.entry(entry).or_default();
        assert!(sequence >= *last || taken.contains(&sequence), "entry {entry}: {sequence} after {last}");
        if request.was_taken() {
            *last = (*last).max(sequence);
            taken.insert(sequence);
        }
    }
    assert_eq!(taken, (1..=deliveries).collect());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_disordered_by_failures_and_crashes_of_dispatch() {
    let folder = tempfile::tempdir().unwrap();
    let receivers = [Receiver::start().await, Receiver::start().await];
    let mut hooks = vec![webhook(1, &receivers[0].url()), webhook(2, &receivers[1].url())];
    // nobody listens there
    hooks.push(webhook(3, "http://127.0.0.1:1/"));
    for (hook, receiver) in hooks.iter_mut().zip(&receivers) {
        hook.sending.schedule = Schedule { pauses: vec![Duration::from_millis(20); 100] };
        receiver.fail(10, hook.id.0);
    }
    let queue = open(&folder.path().join("queue.db"), &hooks).await;
    enqueue(&queue, &[1, 2, 3], 1500, 100).await;
    let mut all_ears = Vec::new();
    for crash in 1..=5 {
        let running = Running::start(Arc::clone(&queue), hooks.clone(), courier(), Clock::system());
        receivers[0].wait_for(crash * 200).await;
        all_ears.push(Arc::clone(&running.ears));
        drop(running);
    }
    let running = Running::start(Arc::clone(&queue), hooks, courier(), Clock::system());
    running.ears.wait_until_drained(&*queue, &[1, 2]).await;
    all_ears.push(Arc::clone(&running.ears));
    running.stop().await.unwrap();
    for (id, receiver) in [1, 2].into_iter().zip(&receivers) {
        check(&receiver.requests(), 1500);
        let standing =
            queue.webhooks().await.unwrap().into_iter().find(|webhook| webhook.id.0 == id).unwrap();
        assert_eq!((standing.delivered, standing.dead, standing.failures), (1500, 0, 0));
    }
    // in whichever run: the failures of one are remembered by the next
    let turns: Vec<String> = all_ears.iter().flat_map(|ears| ears.turns()).collect();
    assert!(turns.iter().any(|turn| turn.starts_with("hook 3 died: could not connect")), "{turns:?}");
    let untouched =
        Filter { webhook: Some(WebhookId(3)), states: vec![State::Delivered], ..Filter::default() };
    assert_eq!(queue.deliveries(untouched, 10).await.unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_is_replayed_after_a_restart_of_everything() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let receiver = Receiver::start().await;
    receiver.reply(crate::receiver::Reply::status(422));
    let hooks = vec![webhook(1, &receiver.url())];
    let queue = open(&path, &hooks).await;
    enqueue(&queue, &[1], 3, 1).await;
    let running = Running::start(Arc::clone(&queue), hooks.clone(), courier(), Clock::system());
    running.ears.wait_until_drained(&*queue, &[1]).await;
    running.stop().await.unwrap();
    drop(queue);

    receiver.reply(crate::receiver::Reply::ok());
    let queue = open(&path, &hooks).await;
    let running = Running::start(Arc::clone(&queue), hooks, courier(), Clock::system());
    let dead = Filter { states: vec![State::Dead], ..Filter::default() };
    assert_eq!(queue.replay(dead).await.unwrap(), 3);
    let requests = receiver.wait_for(6).await;
    running.ears.wait_until_drained(&*queue, &[1]).await;
    running.stop().await.unwrap();
    let replays: Vec<_> =
        requests[3..].iter().map(|request| (request.sequence(), request.attempt())).collect();
    assert_eq!(replays, [(1, 2), (2, 2), (3, 2)]);
    assert!(requests[3..].iter().all(Request::is_replay));
}
