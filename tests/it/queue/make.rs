//! What the tests put into a queue.

use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use walhook::clock::Clock;
use walhook::delivery::{
    Attempt, Batch, Claim, DeliveryId, HeldBecause, Holder, NewDelivery, NewEvent, NewHeld, Outcome, Settled,
    Settlement, Tail,
};
use walhook::event::Verb;
use walhook::form::Lane;
use walhook::lsn::{Lsn, Position, Progress};
use walhook::queue::{Queue, WebhookRecord};
use walhook::webhook::WebhookId;

/// A clock that a test turns.
#[derive(Clone)]
pub(crate) struct Turned(Arc<AtomicI64>);

impl Turned {
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicI64::new(1_700_000_000_000_000)))
    }

    pub(crate) fn now_us(&self) -> i64 {
        self.0.load(Ordering::SeqCst)
    }

    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(by.as_micros() as i64, Ordering::SeqCst);
    }

    pub(crate) fn set_back(&self, by: Duration) {
        self.0.fetch_sub(by.as_micros() as i64, Ordering::SeqCst);
    }

    pub(crate) fn clock(&self) -> Clock {
        let this = self.clone();
        Clock::new(move || this.now_us())
    }
}

/// Numbers events and deliveries as capture does.
pub(crate) struct Feed {
    commit_lsn: u64,
    sequences: std::collections::BTreeMap<u64, u64>,
    pub(crate) body_bytes: usize,
}

impl Feed {
    pub(crate) fn new() -> Self {
        Self { commit_lsn: 0, sequences: std::collections::BTreeMap::new(), body_bytes: 100 }
    }

    /// Goes on where the queue stands.
    pub(crate) fn after(commit_lsn: u64, next_sequences: &[(u64, u64)]) -> Self {
        let sequences = next_sequences.iter().map(|&(webhook, next)| (webhook, next - 1)).collect();
        Self { commit_lsn, sequences, body_bytes: 100 }
    }

    pub(crate) fn sequence(&self, webhook: u64) -> u64 {
        self.sequences.get(&webhook).copied().unwrap_or_default()
    }

    /// A transaction of one change of an entry for each pair; `(lane, webhooks)`.
    pub(crate) fn transaction(&mut self, changes: &[(u64, &[u64])]) -> Batch {
        self.part(changes, 0, true)
    }

    /// A part of a transaction.
    pub(crate) fn part(&mut self, changes: &[(u64, &[u64])], ordinal: u64, last: bool) -> Batch {
        if ordinal == 0 {
            self.commit_lsn += 100;
        }
        let events = changes
            .iter()
            .enumerate()
            .map(|(number, &(lane, webhooks))| self.event(lane, webhooks, ordinal + number as u64))
            .collect();
        Batch { events, progress: last.then(|| self.progress()), ..Batch::default() }
    }

    pub(crate) fn event(&mut self, lane: u64, webhooks: &[u64], ordinal: u64) -> NewEvent {
        let position = Position { epoch: 0, commit_lsn: Lsn(self.commit_lsn), ordinal };
        let deliveries = webhooks.iter().map(|&webhook| {
            let sequence = self.sequences.entry(webhook).or_insert(0);
            *sequence += 1;
            let mut id = [0; 16];
            id[..8].copy_from_slice(&webhook.to_be_bytes());
            id[8..].copy_from_slice(&sequence.to_be_bytes());
            NewDelivery {
                webhook: WebhookId(webhook),
                sequence: *sequence,
                id: DeliveryId(id),
                head: Bytes::from(format!("head {webhook}/{sequence};")),
                tail: 0,
            }
        });
        NewEvent {
            position,
            form: "Incident".into(),
            verb: Verb::Update,
            entry_id: format!("INC{lane}"),
            lane: Lane(lane),
            behind: vec![],
            xid: 700,
            committed_at_us: 1_600_000_000_000_000 + self.commit_lsn as i64,
            deliveries: deliveries.collect(),
            tails: vec![Tail {
                content_type: "application/json".into(),
                bytes: vec![b'x'; self.body_bytes].into(),
            }],
            was_held: false,
        }
    }

    /// A transaction of one held event for each pair; `(lane, webhooks that are broken)`.
    pub(crate) fn holding(&mut self, events: &[(u64, &[u64])]) -> Batch {
        self.holding_part(events, 0, true)
    }

    /// A part of such a transaction.
    pub(crate) fn holding_part(&mut self, events: &[(u64, &[u64])], ordinal: u64, last: bool) -> Batch {
        if ordinal == 0 {
            self.commit_lsn += 100;
        }
        let held = events.iter().enumerate().map(|(number, &(lane, webhooks))| {
            let broken = |&webhook| Holder { webhook: WebhookId(webhook), cause: HeldBecause::Broken };
            self.held(lane, webhooks.iter().map(broken).collect(), ordinal + number as u64)
        });
        let held = held.collect();
        Batch { held, progress: last.then(|| self.progress()), ..Batch::default() }
    }

    pub(crate) fn held(&self, lane: u64, holders: Vec<Holder>, ordinal: u64) -> NewHeld {
        NewHeld {
            position: Position { epoch: 0, commit_lsn: Lsn(self.commit_lsn), ordinal },
            form: "Incident".into(),
            verb: Verb::Update,
            entry_id: format!("INC{lane}"),
            lane: Lane(lane),
            committed_at_us: 1_600_000_000_000_000 + self.commit_lsn as i64,
            content: vec![b'h'; self.body_bytes].into(),
            holders,
        }
    }

    /// The delivery of what was held, for a webhook whose condition is true.
    pub(crate) fn judged(&mut self, held: &walhook::delivery::Held) -> NewEvent {
        let walhook::delivery::HeldWhat::Event { lane, committed_at_us, .. } = held.what else {
            panic!("{held:?} is a range")
        };
        let event = self.event(lane.0, &[held.held.webhook.0], 0);
        NewEvent { position: held.position, committed_at_us, was_held: true, ..event }
    }

    pub(crate) fn progress(&self) -> Progress {
        Progress { commit_lsn: Lsn(self.commit_lsn), end_lsn: Lsn(self.commit_lsn + 50) }
    }
}

pub(crate) fn record(id: u64) -> WebhookRecord {
    WebhookRecord {
        id: WebhookId(id),
        name: format!("webhook {id}"),
        enabled: true,
        backlog_bytes_max: 1 << 40,
    }
}

pub(crate) async fn register(queue: &dyn Queue, ids: &[u64]) {
    queue.register(ids.iter().copied().map(record).collect()).await.unwrap();
}

pub(crate) async fn claim(queue: &dyn Queue, claims_max: usize) -> Vec<Claim> {
    queue.claim(claims_max, &|_| usize::MAX).await.unwrap()
}

pub(crate) fn numbers(claims: &[Claim]) -> Vec<(u64, u64)> {
    claims.iter().map(|claim| (claim.number.webhook.0, claim.number.sequence)).collect()
}

/// A claim with the end that an answer brings.
pub(crate) fn end(claim: Claim, status: u16, settlement: Settlement) -> Settled {
    let attempt = Attempt {
        number: claim.attempt,
        started_at_us: 1_700_000_000_000_000,
        duration: Duration::from_millis(3),
        outcome: Outcome::Answered { status, retry_after: None, excerpt: "said".into() },
    };
    Settled { claim, attempt, settlement, suspend: None }
}

pub(crate) fn delivered(claim: Claim) -> Settled {
    end(claim, 200, Settlement::Delivered)
}

pub(crate) fn dead(claim: Claim) -> Settled {
    end(claim, 400, Settlement::Dead)
}

/// Claims what is due and delivers it until nothing is left. Returns the numbers in the order of claiming.
pub(crate) async fn drain(queue: &dyn Queue) -> Vec<(u64, u64)> {
    let mut all = Vec::new();
    loop {
        let claims = claim(queue, 1000).await;
        if claims.is_empty() {
            return all;
        }
        all.extend(numbers(&claims));
        queue.settle(claims.into_iter().map(delivered).collect()).await.unwrap();
    }
}
