//! The resource `webhook_events`: the log of deliveries that were tried, each once, however often it was.
//!
//! A document's `public_id` is the delivery's place in the queue: it stays the same for as long as the delivery is kept,
//! and later ones have higher numbers.

use super::list::{Document, Listing};
use super::trouble::{Answer, Trouble};
use crate::admin::Shown;
use crate::admin::gate::Base;
use crate::admin::problem::out_of_order;
use crate::delivery::{Outcome, State};
use crate::format::datagerry::{number_of, operation};
use crate::format::{self, Values};
use crate::queue::{DeliveryDetail, DeliveryRef, DeliverySummary, Filter, Place};
use crate::webhook::WebhookId;
use axum::Json;
use axum::extract::{Path, State as On};
use axum::http::header::CACHE_CONTROL;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// How far the log goes back: so many of the newest deliveries are looked at, those that were not tried yet among them.
const DELIVERIES_MAX: usize = 10_000;

/// How many deliveries are read at once.
const STEP: usize = 500;

/// How many documents a page may have.
const LIMIT_MAX: usize = 1000;

/// What the bodies of a page may take, in bytes.
const BODIES_BYTES_MAX: usize = 64 << 20;

/// What documents can be looked for by: what the list says without a look into bodies.
const FIELDS: &[&str] = &["public_id", "webhook_id", "operation", "response_code", "status", "event_time"];

/// What only the body says.
const OF_BODY: [&str; 3] = ["object_before", "object_after", "changes"];

/// Lists what became of the newest deliveries.
pub(super) async fn list(On(shown): On<Shown>, base: Base, uri: Uri) -> Answer<Response> {
    let listing = Listing::read(uri.query().unwrap_or_default(), FIELDS)?;
    if !(1..=LIMIT_MAX).contains(&listing.limit) {
        return Err(Trouble::wrong(format!("limit is 1 to {LIMIT_MAX} here, not {}", listing.limit)));
    }
    let webhook = listing.filter.get("webhook_id").and_then(Value::as_u64).map(WebhookId);
    let tried = tried(&shown, webhook).await?;
    let (mut results, total) = listing.pick(tried);
    if OF_BODY.iter().any(|field| listing.tells(field)) {
        let mut bytes = 0;
        for document in &mut results {
            let place = document.get("public_id").and_then(Value::as_u64).unwrap_or_default();
            // purged in the meantime
            let Some(detail) = find(&shown, Place(place)).await? else { continue };
            bytes += detail.body.head.len() + detail.body.tail.len();
            if bytes > BODIES_BYTES_MAX {
                let message = format!(
                    "the bodies on this page take more than {BODIES_BYTES_MAX} bytes: ask for fewer (limit), or without \
                     objects (projection={{\"object_before\":0,\"object_after\":0,\"changes\":0}})"
                );
                return Err(Trouble::wrong(message));
            }
            document.extend(rows_of(&detail));
        }
    }
    Ok(listing.answer(results, total, &base, &uri))
}

/// Shows what became of a delivery.
pub(super) async fn show(On(shown): On<Shown>, Path(id): Path<String>) -> Answer<Response> {
    let detail = named(&shown, &id).await?;
    let mut document = tell(&detail.summary);
    document.extend(rows_of(&detail));
    Ok(([(CACHE_CONTROL, "no-store")], Json(document)).into_response())
}

/// Removes a delivery from the log. What is not finished, and a dead letter, stays: whoever means to give it up says so
/// elsewhere.
pub(super) async fn delete(On(shown): On<Shown>, Path(id): Path<String>) -> Answer<Json<bool>> {
    let DeliverySummary { place, number, state, .. } = named(&shown, &id).await?.summary;
    if !matches!(state, State::Delivered | State::Dropped) {
        let message = format!(
            "delivery {number} is {}, and only what is finished can be removed from the log: deliver it, or give it up \
             first (walhook deliveries drop {number})",
            state.as_str()
        );
        return Err(Trouble::new(StatusCode::BAD_REQUEST, "the delivery is not finished", message));
    }
    if shown.queue.purge_one(place).await.map_err(out_of_order)? { Ok(Json(true)) } else { Err(gone(&id)) }
}

/// The newest deliveries that were tried.
async fn tried(shown: &Shown, webhook: Option<WebhookId>) -> Answer<Vec<Document>> {
    let filter = Filter { webhook, ..Filter::default() };
    let (mut found, mut after) = (Vec::new(), None);
    // pages may be shorter, or empty, where little of much is meant
    for _ in 0..DELIVERIES_MAX / STEP {
        let page = shown.queue.page(filter.clone(), after, STEP).await.map_err(out_of_order)?;
        found.extend(page.deliveries.iter().filter(|one| one.attempts > 0).map(tell));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    Ok(found)
}

/// A delivery as far as a list knows it.
fn tell(summary: &DeliverySummary) -> Document {
    let code = summary.last_outcome.as_deref().and_then(Outcome::status_of);
    let mut told = Document::from_iter([
        ("public_id".to_owned(), summary.place.0.into()),
        ("webhook_id".to_owned(), summary.number.webhook.0.into()),
        ("event_time".to_owned(), json!({ "$date": summary.committed_at_us.div_euclid(1000) })),
        (
            "operation".to_owned(),
            operation(summary.verb).map_or_else(|| summary.verb.to_string(), str::to_owned).into(),
        ),
        ("response_code".to_owned(), json!(code)),
        // so the product has it; for walhook every 2xx is a success
        ("status".to_owned(), (code == Some(200)).into()),
    ]);
    told.extend(OF_BODY.map(|field| (field.to_owned(), Value::Null)));
    told
}

/// What the body tells: in this format all of it, in others the fields of both rows as far as they stand there. Numbers
/// are kept as JSON programs commonly do; the native interface shows bodies byte for byte.
fn rows_of(detail: &DeliveryDetail) -> Document {
    let body = [&detail.body.head[..], &detail.body.tail[..]].concat();
    if let Ok(Value::Object(mut told)) = serde_json::from_slice(&body)
        && told.contains_key("operation")
        && OF_BODY.iter().all(|field| told.contains_key(*field))
    {
        told.retain(|field, _| OF_BODY.contains(&field.as_str()));
        return told;
    }
    let summary = &detail.summary;
    let told = format::told_of(summary.verb, &body);
    let entry_id = &summary.entry_id;
    let id = number_of(entry_id).map_or_else(|| json!(entry_id), Value::from);
    let object = |values: &Values| {
        let field = |(name, value): (&String, _)| json!({ "name": name, "value": value });
        json!({ "public_id": id, "fields": values.iter().map(field).collect::<Vec<_>>() })
    };
    let mut rows = Document::new();
    if let Some(old) = &told.old {
        rows.insert("object_before".into(), object(old));
    }
    if !told.new.is_empty() {
        rows.insert("object_after".into(), object(&told.new));
    }
    rows
}

async fn find(shown: &Shown, place: Place) -> Answer<Option<DeliveryDetail>> {
    Ok(shown.queue.delivery(DeliveryRef::Place(place)).await.map_err(out_of_order)?)
}

async fn named(shown: &Shown, id: &str) -> Answer<DeliveryDetail> {
    let place = id.parse().ok().filter(|number| i64::try_from(*number).is_ok()).map(Place);
    let Some(place) = place else { return Err(gone(id)) };
    let found = find(shown, place).await?.filter(|found| found.summary.attempts > 0);
    found.ok_or_else(|| gone(id))
}

fn gone(id: &str) -> Trouble {
    let message = format!(
        "there is no delivery with the public_id {id} that was tried; finished ones go after the retention"
    );
    Trouble::new(StatusCode::NOT_FOUND, "Webhook event not found!", message)
}
