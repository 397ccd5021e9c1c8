//! `/healthz` and `/readyz`, which need no account, and `/metrics`.

use super::Shown;
use crate::report::QueueReading;
use crate::report::health::Readiness;
use crate::report::metrics::{Exposition, OPENMETRICS, TEXT};
use axum::extract::State;
use axum::http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

pub(super) fn routes(shown: Shown) -> Router {
    Router::new().route("/healthz", get(healthz)).route("/readyz", get(readyz)).with_state(shown)
}

pub(super) fn metrics_routes(shown: Shown) -> Router {
    Router::new().route("/metrics", get(metrics)).with_state(shown)
}

/// The process is alive: it answers.
async fn healthz() -> Response {
    ([(CACHE_CONTROL, "no-store")], "ok\n").into_response()
}

/// Whether walhook does its work: 200 or 503, with the reasons. Text for those who accept only text.
async fn readyz(State(shown): State<Shown>, headers: HeaderMap) -> Response {
    let readiness = match shown.queue_reading().await {
        Ok(queue) => shown.health.readiness(&queue),
        Err(error) => {
            let mut readiness = shown.health.readiness(&QueueReading::default());
            readiness.reasons.push(format!("the queue does not answer: {}", with_causes(&error)));
            readiness
        }
    };
    let status = if readiness.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = if accepts(&headers, "text/plain") && !accepts(&headers, "application/json") {
        text(&readiness).into_response()
    } else {
        let Readiness { reasons, notes } = &readiness;
        Json(json!({ "ready": readiness.is_ready(), "reasons": reasons, "notes": notes })).into_response()
    };
    (status, [(CACHE_CONTROL, "no-store")], body).into_response()
}

fn text(readiness: &Readiness) -> String {
    let mut text = String::from(if readiness.is_ready() { "ready\n" } else { "not ready\n" });
    for reason in &readiness.reasons {
        text.extend(["- ", reason, "\n"]);
    }
    for note in &readiness.notes {
        text.extend(["note: ", note, "\n"]);
    }
    text
}

/// Numbers for Prometheus; without the queue's, if it does not answer.
async fn metrics(State(shown): State<Shown>, headers: HeaderMap) -> Response {
    let queue = shown.queue_reading().await.ok();
    let (exposition, content_type) = if accepts(&headers, "application/openmetrics-text") {
        (Exposition::OpenMetrics, OPENMETRICS)
    } else {
        (Exposition::Text, TEXT)
    };
    match shown.metrics.expose(queue.as_ref(), exposition) {
        Ok(text) => ([(CONTENT_TYPE, content_type)], text).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// Whether the `Accept` header names a type.
fn accepts(headers: &HeaderMap, type_: &str) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).any(|value| {
        value.split(',').any(|range| range.split(';').next().is_some_and(|name| name.trim() == type_))
    })
}

fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
