//! Deliveries as they are shown, in the API and by the command line.

use super::time;
use crate::auth;
use crate::delivery::{Attempt, Body, Claim, Outcome};
use crate::format;
use crate::queue;
use crate::secret::MASK;
use crate::transport;
use crate::webhook::Webhook;
use axum::http::HeaderMap;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};
use utoipa::ToSchema;

/// A delivery in a list.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_field_names, reason = "the keys of the answer")]
pub struct Delivery {
    /// Its name: the webhook's number and its own.
    #[schema(example = "7/1234")]
    delivery: String,
    /// Its identity, as the header `webhook-id` has it.
    #[schema(example = "msg_000102030405060708090a0b0c0d0e0f")]
    id: String,
    /// The webhook's name; empty if it is gone.
    webhook: String,
    /// The webhook's number.
    webhook_id: u64,
    /// Its number among those of the webhook; every number from 1 on is given once.
    sequence: u64,
    /// Where it stands: `waiting` (behind another of its entry), `ready`, `retrying`, `blocking` (a dead letter that
    /// holds up its entry), `dead`, `delivered`, `dropped`.
    state: &'static str,
    /// The form.
    form: String,
    /// What happened: `create`, `update`, `merge`, `delete`.
    event: String,
    /// The entry.
    entry_id: String,
    /// The address of the change: epoch, commit LSN, number of the change in its transaction.
    position: String,
    /// When it was committed.
    #[schema(format = DateTime)]
    committed_at: String,
    /// How many attempts there were.
    attempts: u32,
    /// Whether somebody has replayed it.
    replayed: bool,
    /// When it is due, where it is retrying.
    #[schema(format = DateTime)]
    due_at: Option<String>,
    /// What became of the last attempt.
    last_outcome: Option<String>,
}

impl Delivery {
    /// A delivery of the webhook of that name.
    pub fn of(summary: &queue::DeliverySummary, webhook: &str) -> Self {
        Self {
            delivery: summary.number.to_string(),
            id: summary.id.to_string(),
            webhook: webhook.to_owned(),
            webhook_id: summary.number.webhook.0,
            sequence: summary.number.sequence,
            state: summary.state.as_str(),
            form: summary.form.clone(),
            event: summary.verb.to_string(),
            entry_id: summary.entry_id.clone(),
            position: summary.position.to_string(),
            committed_at: time::write(summary.committed_at_us),
            attempts: summary.attempts,
            replayed: summary.replayed,
            due_at: summary.due_at_us.map(time::write),
            last_outcome: summary.last_outcome.clone(),
        }
    }
}

/// A delivery with everything.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeliveryDetail {
    /// What a list shows.
    #[serde(flatten)]
    delivery: Delivery,
    /// The body's type.
    content_type: String,
    /// The body, byte for byte: signatures are over it, and numbers keep all their digits.
    body: String,
    /// How the body is written here.
    body_encoding: Encoding,
    /// The request as it was sent last, or will be; none if the webhook is not registered any more.
    request: Option<ShownRequest>,
    /// The attempts, in order.
    history: Vec<ShownAttempt>,
}

/// How bytes are written in JSON.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Encoding {
    /// As they are.
    Text,
    /// In base64, for they are no UTF-8.
    Base64,
}

/// A request; credentials and signature are masked. URL and credentials are those of now.
#[derive(Debug, Serialize, ToSchema)]
struct ShownRequest {
    #[schema(example = "POST")]
    method: &'static str,
    /// Without a password.
    url: String,
    /// Of the last attempt; where there was none, as they would be now.
    headers: BTreeMap<String, String>,
}

/// An attempt.
#[derive(Debug, Serialize, ToSchema)]
struct ShownAttempt {
    /// From 1.
    number: u32,
    /// When it began.
    #[schema(format = DateTime)]
    started_at: String,
    /// How long it took.
    duration_ms: u64,
    /// What became of it, in a few words.
    #[schema(example = "503 Service Unavailable")]
    outcome: String,
    /// The answer's status.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    status: Option<u16>,
    /// The beginning of the answer's body.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    excerpt: Option<String>,
    /// The pause that the answer asked for, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    retry_after_s: Option<u64>,
}

impl DeliveryDetail {
    /// A delivery of the webhook of that name, and of that registration if it is registered.
    pub fn of(detail: &queue::DeliveryDetail, name: &str, webhook: Option<&Webhook>) -> Self {
        let Body { head, tail, content_type: _ } = &detail.body;
        let (body, body_encoding) = match String::from_utf8([&head[..], &tail[..]].concat()) {
            Ok(text) => (text, Encoding::Text),
            Err(error) => (STANDARD.encode(error.as_bytes()), Encoding::Base64),
        };
        Self {
            delivery: Delivery::of(&detail.summary, name),
            content_type: detail.body.media_type().to_owned(),
            body,
            body_encoding,
            request: webhook.map(|webhook| ShownRequest::of(detail, webhook)),
            history: detail.attempts.iter().map(ShownAttempt::of).collect(),
        }
    }
}

impl ShownRequest {
    fn of(detail: &queue::DeliveryDetail, webhook: &Webhook) -> Self {
        let summary = &detail.summary;
        let now_us = || {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
        };
        let last = detail.attempts.last();
        let claim = Claim {
            number: summary.number,
            id: summary.id,
            attempt: last.map_or(1, |attempt| attempt.number),
            failures: 0,
            replay: summary.replayed,
            body: detail.body.clone(),
            form: summary.form.clone(),
            verb: summary.verb,
            entry_id: summary.entry_id.clone(),
            lane: summary.lane,
            committed_at_us: summary.committed_at_us,
        };
        let sent_at_us = last.map_or_else(now_us, |attempt| attempt.started_at_us);
        let mut headers = texts_of(&transport::shown_headers(webhook, &claim, sent_at_us));
        let of_format = format::find(webhook.format).and_then(|format| format.header(claim.id));
        headers.extend(texts_of(&HeaderMap::from_iter(of_format)));
        headers.extend(callback_headers(webhook));
        let mut credentials = HeaderMap::new();
        if let Ok(authenticator) = auth::prepare(&webhook.callback.authentication) {
            authenticator.apply(&mut credentials);
        }
        headers.extend(credentials.keys().map(|name| (name.to_string(), MASK.to_owned())));
        let mut url = webhook.callback.url.clone();
        if url.password().is_some() {
            // a URL with a host takes one
            let _ = url.set_password(Some(MASK));
        }
        Self { method: "POST", url: url.into(), headers }
    }
}

fn callback_headers(webhook: &Webhook) -> impl Iterator<Item = (String, String)> {
    webhook.callback.headers.iter().map(|(name, value)| (name.to_lowercase(), value.clone()))
}

fn texts_of(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |value: &axum::http::HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
}

impl ShownAttempt {
    fn of(attempt: &Attempt) -> Self {
        let (status, excerpt, retry_after) = match &attempt.outcome {
            Outcome::Answered { status, excerpt, retry_after } => {
                (Some(*status), Some(excerpt.clone()), *retry_after)
            }
            _ => (None, None, None),
        };
        Self {
            number: attempt.number,
            started_at: time::write(attempt.started_at_us),
            duration_ms: u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
            outcome: attempt.outcome.to_string(),
            status,
            excerpt,
            retry_after_s: retry_after.map(|pause| pause.as_secs()),
        }
    }
}
