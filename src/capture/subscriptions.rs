//! Who wants an event, and what each of them gets.

use crate::delivery::{DeliveryId, DeliveryNumber, NewDelivery, NewEvent, Tail};
use crate::event::FormEvent;
use crate::format::{self, Format, Identity, shares_tail};
use crate::queue::WebhookStanding;
use crate::webhook::{Webhook, WebhookId, Webhooks};
use bytes::Bytes;
use std::collections::HashMap;
use std::sync::Arc;

/// The webhooks by the forms they listen to, with the sequence number that each gives next.
pub(super) struct Subscriptions {
    subscribers: Vec<Subscriber>,
    by_form: HashMap<String, Vec<usize>>,
}

struct Subscriber {
    webhook: Arc<Webhook>,
    format: &'static dyn Format,
    next_sequence: u64,
}

impl Subscriptions {
    /// The webhooks as they are registered, with their books from the queue.
    pub(super) fn new(webhooks: &Webhooks, standings: &[WebhookStanding]) -> Self {
        let next: HashMap<WebhookId, u64> = standings.iter().map(|one| (one.id, one.next_sequence)).collect();
        let mut subscriptions = Self { subscribers: Vec::new(), by_form: HashMap::new() };
        for webhook in webhooks.iter().filter(|webhook| webhook.enabled) {
            let format = format::find(webhook.format).expect("formats are checked when a webhook is read");
            for form in &webhook.forms {
                let numbers = subscriptions.by_form.entry(form.clone()).or_default();
                numbers.push(subscriptions.subscribers.len());
            }
            let next_sequence = next.get(&webhook.id).copied().unwrap_or(1);
            subscriptions.subscribers.push(Subscriber {
                webhook: Arc::clone(webhook),
                format,
                next_sequence,
            });
        }
        subscriptions
    }

    /// The event with a delivery for each webhook that wants it; none if nobody does.
    pub(super) fn deliver(&mut self, event: &FormEvent) -> Option<NewEvent> {
        let mut tails: Vec<Tail> = Vec::new();
        let mut deliveries = Vec::new();
        let mut authors: Vec<usize> = Vec::new();
        for &number in self.by_form.get(&event.form.form.name)? {
            if !self.subscribers[number].webhook.wants(event) {
                continue;
            }
            let shared = authors.iter().position(|&author| {
                shares_tail(&self.subscribers[author].webhook, &self.subscribers[number].webhook)
            });
            let subscriber = &mut self.subscribers[number];
            let tail = shared.unwrap_or_else(|| {
                authors.push(number);
                tails.push(subscriber.tail(event));
                tails.len() - 1
            });
            deliveries.push(subscriber.delivery(event, tail));
        }
        if deliveries.is_empty() {
            return None;
        }
        Some(NewEvent {
            position: event.position,
            form: event.form.form.name.clone(),
            verb: event.verb,
            entry_id: event.entry_id.clone(),
            lane: event.lane,
            behind: event.behind,
            xid: event.transaction.xid,
            committed_at_us: event.transaction.committed_at_us,
            tails,
            deliveries,
            was_held: false,
        })
    }
}

impl Subscriber {
    fn tail(&self, event: &FormEvent) -> Tail {
        let mut bytes = Vec::with_capacity(1024);
        self.format.tail(&self.webhook, event, &mut bytes);
        Tail { content_type: self.format.content_type(), bytes: Bytes::from(bytes) }
    }

    fn delivery(&mut self, event: &FormEvent, tail: usize) -> NewDelivery {
        let webhook = self.webhook.id;
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let id = DeliveryId::of(event, webhook);
        let identity = Identity { id, number: DeliveryNumber { webhook, sequence } };
        let mut head = Vec::with_capacity(128);
        self.format.head(&self.webhook, &identity, event, &mut head);
        NewDelivery { webhook, sequence, id, head: Bytes::from(head), tail }
    }
}
