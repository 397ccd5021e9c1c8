//! `/webhooks`: registered, changed, switched, tried and deleted while walhook runs.
//!
//! What is registered here stands in the table `walhook.webhook` of the source database and reaches capture through the
//! log, as what is registered by SQL does. Webhooks of the configuration file are shown and cannot be changed.

use super::webhook::{WebhookBody, WebhookShown, describe, describe_own};
use super::{Answer, ProblemBody, out_of_order};
use crate::admin::given::{Asked, Given, Named};
use crate::admin::problem::Problem;
use crate::admin::registering::{
    By, book, books, changeable, numbered, of_file, problem_of, refused, wait_for_effect,
};
use crate::admin::{Message, Shown};
use crate::delivery::Outcome;
use crate::registry::{self, Refusal, Row};
use crate::webhook::WebhookId;
use axum::Json;
use axum::extract::State as On;
use axum::http::header::{CACHE_CONTROL, ETAG, IF_MATCH, LINK, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

const LIMIT_DEFAULT: u16 = 100;
const LIMIT_MAX: u16 = 1000;

/// Which part of the list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct ListQuery {
    /// How many at most.
    #[param(nullable = false, minimum = 1, maximum = 1000, default = 100)]
    limit: Option<u16>,
    /// Where to go on: `next` of the page before.
    #[param(nullable = false)]
    cursor: Option<String>,
}

/// Some webhooks, by number.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct WebhookPage {
    webhooks: Vec<WebhookShown>,
    /// The cursor of the next page; none if this is the last.
    next: Option<String>,
}

/// What became of a request that was sent to try a webhook.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct TestOutcome {
    /// Whether the endpoint took it.
    success: bool,
    /// What became of it, in words.
    outcome: String,
    /// The status of the answer.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    /// The beginning of the answer's body.
    #[schema(nullable = false)]
    #[serde(skip_serializing_if = "Option::is_none")]
    excerpt: Option<String>,
    /// How long it took, in milliseconds.
    duration_ms: u64,
}

/// Lists webhooks by number: those of the configuration file and those that are registered.
#[utoipa::path(
    get,
    path = "/webhooks",
    operation_id = "list_webhooks",
    tag = "webhooks",
    params(ListQuery),
    responses(
        (status = 200, description = "A page; the header `link` names the next.", body = WebhookPage),
        (status = 400, description = "A parameter is wrong.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The queue or the database does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    On(shown): On<Shown>,
    Asked(asked): Asked<ListQuery>,
) -> Answer<(HeaderMap, Json<WebhookPage>)> {
    let wrong = |name: &str, message: &str| {
        Problem::new(StatusCode::BAD_REQUEST, "a parameter is wrong").at(name, message, None)
    };
    let limit = asked.limit.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(wrong("limit", "a page has 1 to 1000 webhooks"));
    }
    let after = match asked.cursor.as_deref().map(str::parse::<u64>) {
        None => 0,
        Some(Ok(after)) if i64::try_from(after).is_ok() => after,
        Some(_) => {
            return Err(wrong("cursor", "this is no cursor; it is `next` of the page before, as it is"));
        }
    };
    let rows = match shown.registrar.door.page(WebhookId(after), u32::from(limit) + 1).await {
        Err(registry::Error::NoTable) => Vec::new(),
        rows => rows.map_err(|error| refused(&Refusal::Table(error)))?,
    };
    let books = books(&shown).await?;
    let mut page: Vec<WebhookShown> = Vec::new();
    for row in &rows {
        page.extend(row.id().map(|id| describe(&shown, row, books.get(&id))));
    }
    let own = shown.webhooks_of_file();
    let own = own.iter().filter(|one| one.id.0 > after);
    page.extend(own.map(|one| describe_own(one, books.get(&one.id))));
    page.sort_by_key(|one| one.id);
    let is_last = page.len() <= usize::from(limit);
    page.truncate(usize::from(limit));
    let next = page.last().filter(|_| !is_last).map(|last| last.id.to_string());
    let mut headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static("no-store"))]);
    if let Some(next) = &next {
        let link = format!("<{}/webhooks?limit={limit}&cursor={next}>; rel=\"next\"", super::BASE);
        headers.extend(HeaderValue::try_from(link).ok().map(|link| (LINK, link)));
    }
    Ok((headers, Json(WebhookPage { webhooks: page, next })))
}

/// Registers a webhook. It gets every change that is committed after it.
#[utoipa::path(
    post,
    path = "/webhooks",
    operation_id = "create_webhook",
    tag = "webhooks",
    request_body = WebhookBody,
    responses(
        (status = 201, description = "It is registered; `location` names it.", body = WebhookShown),
        (status = 400, description = "The body is not JSON.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The same is registered already, or there is no registration table.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is not said to be JSON.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It cannot work; every field that is wrong is named.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn create(
    On(shown): On<Shown>,
    by: By,
    Given(native): Given<Map<String, Value>>,
) -> Answer<Response> {
    let row = shown.registrar.create(native, &by.0).await.map_err(|refusal| refused(&refusal))?;
    let mut response = answer(&shown, &row).await?;
    *response.status_mut() = StatusCode::CREATED;
    let location =
        row.id().and_then(|id| HeaderValue::try_from(format!("{}/webhooks/{id}", super::BASE)).ok());
    response.headers_mut().extend(location.map(|location| (LOCATION, location)));
    Ok(response)
}

/// Shows a webhook. `etag` names the version, for `if-match`.
#[utoipa::path(
    get,
    path = "/webhooks/{id}",
    operation_id = "show_webhook",
    tag = "webhooks",
    params(("id" = u64, Path, description = "Its number.")),
    responses(
        (status = 200, description = "The webhook, with its secrets masked.", body = WebhookShown),
        (status = 404, description = "There is none.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The queue or the database does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(On(shown): On<Shown>, Named(id): Named<u64>) -> Answer<Response> {
    let id = numbered(id)?;
    if let Some(own) = shown.webhook_of_file(id) {
        let book = book(&shown, id).await?;
        return Ok(no_store(Json(describe_own(&own, book.as_ref()))));
    }
    let row = match shown.registrar.find(id).await {
        // nothing is registered where nothing can be
        Err(Refusal::Table(registry::Error::NoTable)) => return Err(super::nothing_here()),
        found => found.map_err(|refusal| refused(&refusal))?,
    };
    answer_at_once(&shown, &row).await
}

/// Puts another registration in the place of one. Fields that are left out have their defaults; a secret that is sent
/// back masked is kept.
#[utoipa::path(
    put,
    path = "/webhooks/{id}",
    operation_id = "replace_webhook",
    tag = "webhooks",
    params(("id" = u64, Path, description = "Its number."), IfMatch),
    request_body = WebhookBody,
    responses(
        (status = 200, description = "It is changed.", body = WebhookShown),
        (status = 400, description = "The body is not JSON.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is none.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is of the configuration file, or the same is registered already.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "Somebody else has changed it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is not said to be JSON.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It cannot work; every field that is wrong is named.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn replace(
    On(shown): On<Shown>,
    Named(id): Named<u64>,
    headers: HeaderMap,
    Given(native): Given<Map<String, Value>>,
) -> Answer<Response> {
    let id = changeable(&shown, id)?;
    let row = shown.registrar.replace(id, expected(&headers)?, native).await;
    answer(&shown, &row.map_err(|refusal| refused(&refusal))?).await
}

/// Changes some fields of a webhook, as a JSON Merge Patch says (RFC 7396): null takes a field back to its default.
#[utoipa::path(
    patch,
    path = "/webhooks/{id}",
    operation_id = "change_webhook",
    tag = "webhooks",
    params(("id" = u64, Path, description = "Its number."), IfMatch),
    request_body(content = Object, content_type = "application/merge-patch+json"),
    responses(
        (status = 200, description = "It is changed.", body = WebhookShown),
        (status = 400, description = "The body is not JSON.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is none.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is of the configuration file, or the same is registered already.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "Somebody else has changed it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is not said to be JSON.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "It cannot work; every field that is wrong is named.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn change(
    On(shown): On<Shown>,
    Named(id): Named<u64>,
    headers: HeaderMap,
    Given(patch): Given<Map<String, Value>>,
) -> Answer<Response> {
    let id = changeable(&shown, id)?;
    let row = shown.registrar.patch(id, expected(&headers)?, patch).await;
    answer(&shown, &row.map_err(|refusal| refused(&refusal))?).await
}

/// Deletes a webhook. It stops at once, and what is queued for it is dropped.
#[utoipa::path(
    delete,
    path = "/webhooks/{id}",
    operation_id = "delete_webhook",
    tag = "webhooks",
    params(("id" = u64, Path, description = "Its number."), IfMatch),
    responses(
        (status = 204, description = "It is deleted."),
        (status = 400, description = "`if-match` is no version.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "There is none.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is of the configuration file.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "Somebody else has changed it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    On(shown): On<Shown>,
    Named(id): Named<u64>,
    headers: HeaderMap,
) -> Answer<StatusCode> {
    let id = changeable(&shown, id)?;
    shown.registrar.delete(id, expected(&headers)?).await.map_err(|refusal| refused(&refusal))?;
    shown.registrar.registered.go_ahead(id, 0, None);
    Ok(StatusCode::NO_CONTENT)
}

/// Switches a webhook on, and ends a suspension: what waits for it goes out.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/enable",
    operation_id = "enable_webhook",
    tag = "webhooks",
    params(("id" = u64, Path, description = "Its number.")),
    responses(
        (status = 200, description = "It is enabled.", body = WebhookShown),
        (status = 404, description = "There is none.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The configuration file disables it.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The queue or the database does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn enable(On(shown): On<Shown>, Named(id): Named<u64>) -> Answer<Response> {
    let id = numbered(id)?;
    if let Some(own) = shown.webhook_of_file(id) {
        if !own.enabled {
            return Err(of_file().detail("it is disabled there: remove `enabled = false`, and reload"));
        }
        shown.queue.enable_webhook(id).await.map_err(out_of_order)?;
        let book = book(&shown, id).await?;
        return Ok(no_store(Json(describe_own(&own, book.as_ref()))));
    }
    switch(&shown, id, true).await
}

/// Switches a webhook off: new changes are not taken, and what is queued waits.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/disable",
    operation_id = "disable_webhook",
    tag = "webhooks",
    params(("id" = u64, Path, description = "Its number.")),
    responses(
        (status = 200, description = "It is disabled.", body = WebhookShown),
        (status = 404, description = "There is none.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "It is of the configuration file.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn disable(On(shown): On<Shown>, Named(id): Named<u64>) -> Answer<Response> {
    let id = changeable(&shown, id)?;
    switch(&shown, id, false).await
}

/// Sends one request to a webhook's endpoint to try it. Nothing is queued, and nothing is tried again.
#[utoipa::path(
    post,
    path = "/webhooks/{id}/test",
    operation_id = "test_webhook",
    tag = "webhooks",
    params(("id" = u64, Path, description = "Its number.")),
    responses(
        (status = 200, description = "What became of the request.", body = TestOutcome),
        (status = 404, description = "There is none.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 409, description = "The registration cannot work.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn test(On(shown): On<Shown>, Named(id): Named<u64>) -> Answer<Response> {
    let id = numbered(id)?;
    let webhook = match shown.webhook_of_file(id) {
        Some(own) => own,
        None => {
            let row = shown.registrar.find(id).await.map_err(|refusal| refused(&refusal))?;
            let read = shown.registrar.read(&row).map_err(|faults| {
                problem_of(StatusCode::CONFLICT, "the registration cannot work", &faults)
            })?;
            Arc::new(read)
        }
    };
    let began = std::time::Instant::now();
    let outcome = (shown.tester)(webhook, Message::Sample).await;
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (status, excerpt) = match &outcome {
        Outcome::Answered { status, excerpt, .. } => (Some(*status), Some(excerpt.clone())),
        _ => (None, None),
    };
    let (success, outcome) = (outcome.is_success(), outcome.to_string());
    Ok(no_store(Json(TestOutcome { success, outcome, status, excerpt, duration_ms })))
}

/// Which version is expected.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "described, and read as a header")]
pub(super) struct IfMatch {
    /// The `etag` that was read: if somebody else has changed the webhook since, nothing is done.
    #[param(rename = "if-match", nullable = false, example = "\"3\"")]
    if_match: Option<String>,
}

/// The version that `if-match` names; none where it names none, or any.
fn expected(headers: &HeaderMap) -> Answer<Option<u64>> {
    let Some(value) = headers.get(IF_MATCH) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    if text == "*" {
        return Ok(None);
    }
    let version =
        text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).and_then(|text| text.parse().ok());
    let version = version.filter(|version: &u64| i64::try_from(*version).is_ok());
    version.map(Some).ok_or_else(|| {
        Problem::new(StatusCode::BAD_REQUEST, "a header is wrong").at(
            "if-match",
            "this is no version of a webhook",
            "send the `etag` of the answer that showed it".to_owned(),
        )
    })
}

async fn switch(shown: &Shown, id: WebhookId, enabled: bool) -> Answer<Response> {
    let row = shown.registrar.switch(id, enabled, None).await.map_err(|refusal| refused(&refusal))?;
    answer(shown, &row).await
}

/// Shows a registration that was just written, once the log has told of it or it takes too long.
async fn answer(shown: &Shown, row: &Row) -> Answer<Response> {
    wait_for_effect(shown, row).await;
    answer_at_once(shown, row).await
}

async fn answer_at_once(shown: &Shown, row: &Row) -> Answer<Response> {
    let book = book(shown, row.id().unwrap_or_default()).await?;
    let body = describe(shown, row, book.as_ref());
    let mut response = no_store(Json(body));
    let etag = HeaderValue::try_from(format!("\"{}\"", row.version())).ok();
    response.headers_mut().extend(etag.map(|etag| (ETAG, etag)));
    Ok(response)
}

fn no_store(body: impl IntoResponse) -> Response {
    ([(CACHE_CONTROL, "no-store")], body).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_quoted_number() {
        let expected_of = |text: &'static str| {
            expected(&HeaderMap::from_iter([(IF_MATCH, HeaderValue::from_static(text))])).ok()
        };
        assert_eq!(expected_of("\"7\""), Some(Some(7)));
        assert_eq!(expected_of("*"), Some(None));
        for wrong in ["7", "\"x\"", "W/\"7\"", "\"99999999999999999999\"", ""] {
            assert_eq!(expected_of(wrong), None, "{wrong}");
        }
    }
}
