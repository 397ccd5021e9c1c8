//! The resource `webhooks`.

use super::given::Parameters;
use super::list::{Document, Listing, now};
use super::trouble::{Answer, Trouble};
use super::words::{DataGerry, required};
use crate::admin::Shown;
use crate::admin::gate::Base;
use crate::admin::listed;
use crate::admin::registering::{self, By, wait_for_effect};
use crate::admin::translation::{Native, Words as _, put_in};
use crate::registry;
use crate::webhook::WebhookId;
use axum::Json;
use axum::extract::{Path, State as On};
use axum::http::header::CACHE_CONTROL;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

/// What documents can be looked for by.
const FIELDS: &[&str] = &["public_id", "name", "url", "event_types", "active"];

/// Registers a webhook on all forms; answers with its number alone.
pub(super) async fn create(
    On(shown): On<Shown>,
    by: By,
    Parameters(given): Parameters,
) -> Answer<Json<Value>> {
    let mut native =
        Native::from_iter([("format".to_owned(), "datagerry".into()), ("form".to_owned(), "*".into())]);
    let mut faults = required(&given);
    if let Err(further) = put_in(&DataGerry, &given, &mut native) {
        let known: Vec<String> = faults.iter().map(|fault| fault.field.clone()).collect();
        faults.extend(further.into_iter().filter(|fault| !known.contains(&fault.field)));
    }
    if !faults.is_empty() {
        return Err(faults.into());
    }
    let row = shown.registrar.create(native, &by.0).await?;
    wait_for_effect(&shown, &row).await;
    Ok(Json(json!(row.id().map(|id| id.0))))
}

/// Lists webhooks.
pub(super) async fn list(On(shown): On<Shown>, base: Base, uri: Uri) -> Answer<Response> {
    let listing = Listing::read(uri.query().unwrap_or_default(), FIELDS)?;
    let all = listed::all(&shown).await?;
    let told = all.iter().map(|one| tell(one.id, &one.native, one.is_suspended())).collect();
    let (results, total) = listing.pick(told);
    Ok(listing.answer(results, total, &base, &uri))
}

/// Shows a webhook.
pub(super) async fn show(On(shown): On<Shown>, Path(id): Path<String>) -> Answer<Response> {
    let one = listed::one(&shown, named(&id)?).await?.ok_or_else(|| Trouble::gone(&id))?;
    let document = tell(one.id, &one.native, one.is_suspended());
    Ok(([(CACHE_CONTROL, "no-store")], Json(document)).into_response())
}

/// Changes a webhook: what is not said stays as it is.
pub(super) async fn change(
    On(shown): On<Shown>,
    Path(id): Path<String>,
    Parameters(mut given): Parameters,
) -> Answer<Response> {
    let id = changeable(&shown, &id)?;
    let is_other = |said: &Value| *said != json!(id.0) && *said != json!(id.0.to_string());
    if given.get("public_id").is_some_and(is_other) {
        return Err(Trouble::wrong(format!("public_id is that of the path, {id}, and cannot be changed")));
    }
    let edited = shown.registrar.edit(id, None, |native| {
        // the name that stands for none is none when it comes back
        if !native.contains_key("name") && given.get("name") == Some(&name_of(id)) {
            given.remove("name");
        }
        // a suspended one was shown as not active: who sends that back means it, and any other edit ends the suspension
        Ok::<_, Trouble>(put_in(&DataGerry, &given, native)?)
    });
    let row = edited.await?;
    wait_for_effect(&shown, &row).await;
    let result = tell(id, &registry::masked(&row), false);
    let body = json!({ "result": result, "response_type": "UPDATE", "time": now() });
    Ok((StatusCode::ACCEPTED, Json(body)).into_response())
}

/// Deletes a webhook, and what waits for it.
pub(super) async fn delete(On(shown): On<Shown>, Path(id): Path<String>) -> Answer<Json<bool>> {
    let id = changeable(&shown, &id)?;
    shown.registrar.delete(id, None).await?;
    shown.registrar.registered.go_ahead(id, 0, None);
    Ok(Json(true))
}

/// A webhook as it is answered.
fn tell(id: WebhookId, native: &Native, is_suspended: bool) -> Document {
    let mut told = Document::from_iter([("public_id".to_owned(), id.0.into())]);
    told.extend(DataGerry.show(native));
    if !native.contains_key("name") {
        told.insert("name".into(), name_of(id));
    }
    if is_suspended {
        told.insert("active".into(), false.into());
    }
    told
}

/// What stands for the name of a webhook that has none.
fn name_of(id: WebhookId) -> Value {
    format!("webhook {id}").into()
}

fn named(id: &str) -> Answer<WebhookId> {
    let number = id.parse().ok().filter(|number| i64::try_from(*number).is_ok());
    number.map(WebhookId).ok_or_else(|| Trouble::gone(id))
}

fn changeable(shown: &Shown, id: &str) -> Answer<WebhookId> {
    Ok(registering::changeable(shown, named(id)?.0)?)
}
