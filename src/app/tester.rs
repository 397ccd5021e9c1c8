//! One request to try a webhook's endpoint with: made as a delivery is, and in no queue.

use crate::admin::Tester;
use crate::clock::Clock;
use crate::delivery::{Body, Claim, DeliveryId, DeliveryNumber};
use crate::dispatch::Courier;
use crate::event::Verb;
use crate::form::Lane;
use crate::webhook::Webhook;
use serde_json::json;
use std::sync::Arc;

/// By way of a courier. Each request has an identity of its own, so that a receiver does not take it for a repeat.
pub(super) fn tester(courier: Arc<dyn Courier>, clock: Clock) -> Tester {
    Arc::new(move |webhook| {
        let (courier, clock) = (Arc::clone(&courier), clock.clone());
        Box::pin(async move {
            let now_us = clock.now_us();
            courier.attempt(&webhook, &claim_of(&webhook, now_us), now_us).await
        })
    })
}

fn claim_of(webhook: &Webhook, now_us: i64) -> Claim {
    let id = DeliveryId(rand::random());
    let first = webhook.listens.first();
    let form = first.map(|one| one.form.clone()).unwrap_or_default();
    let verb = first.and_then(|one| one.verbs.first().copied()).unwrap_or(Verb::Create);
    let body = json!({
        "id": id.to_string(),
        "sequence": 0,
        "webhook": webhook.name,
        "form": form,
        "event": "test",
        "test": true,
        "entry_id": "",
        "custom_json": webhook.custom_json.as_deref().and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok()),
    });
    Claim {
        number: DeliveryNumber { webhook: webhook.id, sequence: 0 },
        id,
        attempt: 1,
        failures: 0,
        replay: false,
        body: Body {
            head: body.to_string().into(),
            tail: bytes::Bytes::new(),
            content_type: "application/json".into(),
        },
        form,
        verb,
        entry_id: String::new(),
        lane: Lane(0),
        committed_at_us: now_us,
    }
}
