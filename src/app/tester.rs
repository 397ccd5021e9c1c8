//! One request to try a webhook's endpoint with: made as a delivery is, and in no queue.

use crate::admin::{Message, Tester};
use crate::catalog::Latest;
use crate::clock::Clock;
use crate::delivery::{Claim, DeliveryId, DeliveryNumber};
use crate::dispatch::Courier;
use crate::form::Lane;
use crate::format::{Identity, trial, verification};
use crate::webhook::Webhook;
use std::sync::Arc;

/// By way of a courier, for the forms as they are bound when it is asked for. Each request has an identity of its own, so
/// that a receiver does not take it for a repeat.
pub(super) fn tester(courier: Arc<dyn Courier>, forms: Latest, clock: Clock) -> Tester {
    Arc::new(move |webhook, message| {
        let (courier, forms, clock) = (Arc::clone(&courier), forms.clone(), clock.clone());
        Box::pin(async move {
            let now_us = clock.now_us();
            courier.attempt(&webhook, &claim_of(&webhook, &message, &forms, now_us), now_us).await
        })
    })
}

fn claim_of(webhook: &Webhook, message: &Message, forms: &Latest, now_us: i64) -> Claim {
    let id = DeliveryId(rand::random());
    let number = DeliveryNumber { webhook: webhook.id, sequence: 0 };
    let form = webhook.listens.first().map(|one| one.form.clone()).unwrap_or_default();
    let described = forms.now();
    let mut known = described.iter().flat_map(|described| &described.forms);
    let bound = known.find(|known| known.form.name == form);
    Claim {
        number,
        id,
        attempt: 1,
        failures: 0,
        replay: false,
        body: match message {
            Message::Sample => trial::body(webhook, bound, &Identity { id, number }, now_us),
            Message::Verification { callback } => verification(webhook, callback),
        },
        form,
        verb: trial::verb_of(webhook),
        entry_id: trial::ENTRY_ID.to_owned(),
        lane: Lane(0),
        committed_at_us: now_us,
    }
}
