//! The resource `webhook`.

use super::BASES;
use super::trouble::Trouble;
use super::words::{ArSystem, id_of, required, webhook_of};
use crate::admin::Shown;
use crate::admin::gate::Base;
use crate::admin::given::Given;
use crate::admin::listed::{self, Listed};
use crate::admin::registering::{self, By, wait_for_effect};
use crate::admin::translation::{Native, Words as _, put_in, set};
use crate::queue::WebhookState;
use crate::webhook::WebhookId;
use axum::Json;
use axum::extract::{Path, State as On};
use axum::http::header::{ALLOW, CACHE_CONTROL, LOCATION};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

type Answer<T> = Result<T, Trouble>;

fn words(shown: &Shown) -> ArSystem {
    ArSystem { described: shown.forms.now() }
}

/// Registers a webhook; `location` names it.
pub(super) async fn create(
    On(shown): On<Shown>,
    by: By,
    base: Base,
    Given(given): Given<Map<String, Value>>,
) -> Answer<Response> {
    let words = words(&shown);
    let mut native = Native::from_iter([("format".to_owned(), "arsys".into())]);
    let mut faults = required(&given);
    if let Err(further) = put_in(&words, &given, &mut native) {
        faults.extend(
            further
                .into_iter()
                .filter(|one| !faults.iter().any(|known| known.field == one.field))
                .collect::<Vec<_>>(),
        );
    }
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let row = shown.registrar.create(native, &by.0).await?;
    wait_for_effect(&shown, &row).await;
    let location = HeaderValue::try_from(url_of(&base, row.id().unwrap_or_default()));
    let mut response = StatusCode::CREATED.into_response();
    response.headers_mut().extend(location.ok().map(|location| (LOCATION, location)));
    Ok(response)
}

/// Lists all webhooks.
pub(super) async fn list(On(shown): On<Shown>, base: Base) -> Answer<Response> {
    let words = words(&shown);
    let all = listed::all(&shown).await?;
    let told = all.iter().map(|one| tell(&words, &base, one));
    Ok(no_store(Json(told.collect::<Vec<_>>())))
}

/// Shows a webhook.
pub(super) async fn show(On(shown): On<Shown>, Path(id): Path<String>, base: Base) -> Answer<Response> {
    let one = listed::one(&shown, named(&id)?).await?.ok_or_else(|| Trouble::gone(&id))?;
    Ok(no_store(Json(tell(&words(&shown), &base, &one))))
}

/// Changes a webhook: keys that are left out keep their values, and so do secrets that are sent back masked.
pub(super) async fn replace(
    On(shown): On<Shown>,
    Path(id): Path<String>,
    Given(given): Given<Map<String, Value>>,
) -> Answer<StatusCode> {
    let id = changeable(&shown, named(&id)?)?;
    let words = words(&shown);
    // a suspended one was shown as disabled: who sends that back means it
    let stays_off = given.get("enabled") == Some(&Value::Bool(false)) && is_suspended(&shown, id).await?;
    let edited = shown.registrar.edit(id, None, |native| {
        put_in(&words, &given, native)?;
        if stays_off {
            set(native, &["enabled"], false.into());
        }
        Ok::<_, Trouble>(())
    });
    let row = edited.await?;
    wait_for_effect(&shown, &row).await;
    Ok(StatusCode::NO_CONTENT)
}

/// Deletes a webhook, and what waits for it.
pub(super) async fn delete(On(shown): On<Shown>, Path(id): Path<String>) -> Answer<StatusCode> {
    let id = changeable(&shown, named(&id)?)?;
    shown.registrar.delete(id, None).await?;
    shown.registrar.registered.go_ahead(id, 0, None);
    Ok(StatusCode::NO_CONTENT)
}

/// What can be done with all of them.
pub(super) async fn options() -> Response {
    (StatusCode::NO_CONTENT, [(ALLOW, "GET, HEAD, POST, OPTIONS")]).into_response()
}

/// What can be done with one.
pub(super) async fn options_of_one() -> Response {
    (StatusCode::NO_CONTENT, [(ALLOW, "GET, HEAD, PUT, DELETE, OPTIONS")]).into_response()
}

/// A webhook as it is answered.
fn tell(words: &ArSystem, base: &Base, one: &Listed) -> Map<String, Value> {
    let mut told = Map::from_iter([("webhook_id".to_owned(), id_of(one.id).into())]);
    told.extend(words.show(&one.native));
    told.insert("enabled".into(), one.is_enabled().into());
    let link = json!({ "self": [{ "href": url_of(base, one.id) }] });
    told.insert("_links".into(), link);
    told
}

/// Where a webhook is.
fn url_of(base: &Base, id: WebhookId) -> String {
    format!("{}{}/{}", base.0, BASES[0], id_of(id))
}

fn named(id: &str) -> Answer<WebhookId> {
    webhook_of(id).ok_or_else(|| Trouble::gone(id))
}

fn changeable(shown: &Shown, id: WebhookId) -> Answer<WebhookId> {
    Ok(registering::changeable(shown, id.0)?)
}

async fn is_suspended(shown: &Shown, id: WebhookId) -> Answer<bool> {
    Ok(registering::book(shown, id).await?.is_some_and(|book| book.state == WebhookState::Suspended))
}

fn no_store(body: impl IntoResponse) -> Response {
    ([(CACHE_CONTROL, "no-store")], body).into_response()
}
