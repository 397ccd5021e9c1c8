//! The resource `webhooks`.

use super::pages::{Collection, Resource};
use super::trouble::Trouble;
use super::verification::{self, Demand};
use super::words::{self, Itrp};
use super::{BASES, account, uri};
use crate::admin::gate::Base;
use crate::admin::given::Given;
use crate::admin::listed::{self, Listed};
use crate::admin::nouns::Nouns;
use crate::admin::registering::{self, By, wait_for_effect};
use crate::admin::translation::{Native, Words as _, get, put_in};
use crate::admin::{Message, Shown};
use crate::format::node_id;
use crate::registry::{self, Refusal, Row};
use crate::webhook::WebhookId;
use axum::Json;
use axum::extract::{Path, State as On};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value};
use std::sync::Arc;

const WEBHOOKS: Collection = Collection {
    fields: &["id", "name", "event", "uri", "disabled", "last_error", "created_at", "updated_at"],
    filters: &["id", "name", "event", "uri", "disabled", "source", "sourceID", "created_at", "updated_at"],
};

type Answer<T> = Result<T, Trouble>;

/// Lists all webhooks, the newest first.
pub(super) async fn list(On(shown): On<Shown>, base: Base, uri: Uri) -> Answer<Response> {
    page(&shown, &base, &uri, |_| true).await
}

/// Those that are sent to.
pub(super) async fn list_enabled(On(shown): On<Shown>, base: Base, uri: Uri) -> Answer<Response> {
    page(&shown, &base, &uri, Listed::is_enabled).await
}

/// The others: disabled by somebody, or for their failures.
pub(super) async fn list_disabled(On(shown): On<Shown>, base: Base, uri: Uri) -> Answer<Response> {
    page(&shown, &base, &uri, |one| !one.is_enabled()).await
}

async fn page(shown: &Shown, base: &Base, uri: &Uri, wanted: fn(&Listed) -> bool) -> Answer<Response> {
    let words = words(shown);
    let all = listed::all(shown).await?;
    let wanted = all.iter().rev().filter(|one| wanted(one)).map(|one| tell(shown, &words, one)).collect();
    WEBHOOKS.answer(&format!("{}{}", base.0, uri.path()), uri.query(), wanted)
}

/// Shows a webhook.
pub(super) async fn show(On(shown): On<Shown>, Path(id): Path<String>) -> Answer<Response> {
    answer(&shown, numbered(&id)?).await
}

/// Registers a webhook.
pub(super) async fn create(
    On(shown): On<Shown>,
    by: By,
    base: Base,
    headers: HeaderMap,
    Given(mut given): Given<Map<String, Value>>,
) -> Answer<Response> {
    let mut native = Native::from_iter([("format".to_owned(), "itrp".into())]);
    let mut faults = words::required(&given);
    let missing: Vec<String> = faults.iter().map(|fault| fault.field.clone()).collect();
    complete(&mut given, &headers);
    // an event that is renamed later does not rename the webhook
    if let Some(event) = given.get("event").filter(|event| event.is_string()).cloned()
        && given.get("name").is_none_or(Value::is_null)
    {
        given.insert("name".into(), event);
    }
    if let Err(further) = put_in(&words(&shown), &given, &mut native) {
        faults.extend(further.into_iter().filter(|one| !missing.contains(&one.field)));
    }
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let demand = verification::demand(&shown, None, None, &mut native).await?;
    let row = shown.registrar.create(native, &by.0).await?;
    if let Some(demand) = demand {
        demand.send(&shown, &reached_by(&shown, &base), &row)?;
    }
    wait_for_effect(&shown, &row).await;
    let id = row.id().unwrap_or_default();
    let mut response = answer(&shown, id).await?;
    *response.status_mut() = shown.settings.borrow().itrp.create_status;
    let location = HeaderValue::try_from(format!("{}{}/{id}", base.0, BASES[1]));
    response.headers_mut().extend(location.ok().map(|location| (LOCATION, location)));
    Ok(response)
}

/// Changes the fields that are given.
pub(super) async fn change(
    On(shown): On<Shown>,
    Path(id): Path<String>,
    base: Base,
    headers: HeaderMap,
    Given(mut given): Given<Map<String, Value>>,
) -> Answer<Response> {
    let id = changeable(&shown, &id)?;
    complete(&mut given, &headers);
    let (row, demand) = loop {
        // else somebody else has written it meanwhile, as walhook itself does when it seals secrets
        if let Some(changed) = change_once(&shown, id, &given).await? {
            break changed;
        }
    };
    if let Some(demand) = demand {
        demand.send(&shown, &reached_by(&shown, &base), &row)?;
    }
    wait_for_effect(&shown, &row).await;
    answer(&shown, id).await
}

/// Changes a webhook as it is now; none where it is not the same any more.
async fn change_once(
    shown: &Shown,
    id: WebhookId,
    given: &Map<String, Value>,
) -> Answer<Option<(Row, Option<Demand>)>> {
    let stored = shown.registrar.find(id).await?;
    let mut native = registry::masked(&stored);
    let before = uri::show(&native);
    put_in(&words(shown), given, &mut native)?;
    let enabled = given.get("disabled").map(|_| *get(&native, &["enabled"]) != false);
    let demand = verification::demand(shown, Some(&before), enabled, &mut native).await?;
    match shown.registrar.replace(id, Some(stored.version()), native).await {
        Err(Refusal::Changed { .. }) => Ok(None),
        row => Ok(Some((row?, demand))),
    }
}

/// Deletes a webhook, and what waits for it.
pub(super) async fn delete(On(shown): On<Shown>, Path(id): Path<String>) -> Answer<StatusCode> {
    let id = changeable(&shown, &id)?;
    shown.registrar.delete(id, None).await?;
    shown.registrar.registered.go_ahead(id, 0, None);
    Ok(StatusCode::NO_CONTENT)
}

/// Sends a made-up event to a webhook, also to one that is disabled. The answer does not wait for the endpoint's.
pub(super) async fn test(On(shown): On<Shown>, Path(id): Path<String>) -> Answer<StatusCode> {
    let id = numbered(&id)?;
    let webhook = match shown.webhook_of_file(id) {
        Some(own) => own,
        None => {
            let row = shown.registrar.find(id).await?;
            Arc::new(shown.registrar.read(&row)?)
        }
    };
    shown.trials.begin((shown.tester)(webhook, Message::Sample))?;
    Ok(StatusCode::NO_CONTENT)
}

/// A webhook as it is answered, in full.
async fn answer(shown: &Shown, id: WebhookId) -> Answer<Response> {
    let one = listed::one(shown, id).await?.ok_or_else(Trouble::not_found)?;
    let mut told = tell(shown, &words(shown), &one);
    let attachments = words::attachments(&one.native);
    told.insert("nodeID".into(), node_id("webhook", &id.to_string()).into());
    if !attachments.is_empty() {
        told.insert("attachments".into(), attachments.into());
    }
    Ok(([(CACHE_CONTROL, "no-store")], Json(told)).into_response())
}

fn tell(shown: &Shown, words: &Itrp, one: &Listed) -> Resource {
    let mut told = words.show(&one.native);
    told.insert("id".into(), one.id.0.into());
    if !one.is_enabled() {
        told.insert("disabled".into(), true.into());
    }
    if let Some(error) = one.last_error() {
        told.insert("last_error".into(), error.into());
    }
    for name in ["created_at", "updated_at"] {
        let written = one.row.as_ref().and_then(|row| row.column(name).as_str());
        let time = written.and_then(|time| account::time(shown, time));
        told.extend(time.map(|time| (name.to_owned(), time.into())));
    }
    told
}

/// What stands in headers counts as given unless the body says it.
fn complete(given: &mut Map<String, Value>, headers: &HeaderMap) {
    if let Some(source) = account::source(headers) {
        given.entry("source").or_insert_with(|| source.into());
    }
}

fn words(shown: &Shown) -> Itrp {
    Itrp { nouns: Nouns(shown.forms.now()) }
}

/// How receivers reach this site.
fn reached_by(shown: &Shown, base: &Base) -> String {
    let settings = shown.settings.borrow();
    if settings.itrp.url.is_some() { settings.site.clone() } else { base.0.clone() }
}

pub(super) fn numbered(id: &str) -> Answer<WebhookId> {
    let id = id.parse().map_err(|_| Trouble::not_found())?;
    Ok(registering::numbered(id)?)
}

fn changeable(shown: &Shown, id: &str) -> Answer<WebhookId> {
    Ok(registering::changeable(shown, numbered(id)?.0)?)
}
