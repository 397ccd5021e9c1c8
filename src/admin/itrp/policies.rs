//! The resource `webhook_policies` ("Webhook Policies API"): how the messages of webhooks are signed, and where the public
//! keys are.

use super::account;
use super::pages::{Collection, Resource};
use super::trouble::Trouble;
use crate::admin::Shown;
use crate::admin::gate::Base;
use crate::admin::given::Given;
use crate::admin::registering::By;
use crate::admin::translation::fault;
use crate::jws::Key;
use crate::policy::Algorithm;
use crate::registry::{self, Fault, PolicyError, PolicyRow, Refusal};
use axum::Json;
use axum::extract::{Path, State as On};
use axum::http::header::{CACHE_CONTROL, LOCATION};
use axum::http::{HeaderValue, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

const POLICIES: Collection = Collection {
    fields: &["id", "name", "created_at", "updated_at"],
    filters: &["id", "name", "disabled", "created_at", "updated_at"],
};

/// The longest audience, in bytes.
const AUDIENCE_BYTES_MAX: usize = 2048;

/// How long receivers may keep a public key, in seconds.
const KEPT: HeaderValue = HeaderValue::from_static("public, max-age=3600");

type Answer<T> = Result<T, Trouble>;

/// Lists all policies, the oldest first.
pub(super) async fn list(On(shown): On<Shown>, base: Base, uri: Uri) -> Answer<Response> {
    page(&shown, &base, &uri, |_| true).await
}

/// Those that webhooks may get.
pub(super) async fn list_enabled(On(shown): On<Shown>, base: Base, uri: Uri) -> Answer<Response> {
    page(&shown, &base, &uri, |one| !one.disabled).await
}

/// Those that no further webhook may get.
pub(super) async fn list_disabled(On(shown): On<Shown>, base: Base, uri: Uri) -> Answer<Response> {
    page(&shown, &base, &uri, |one| one.disabled).await
}

async fn page(shown: &Shown, base: &Base, uri: &Uri, wanted: fn(&PolicyRow) -> bool) -> Answer<Response> {
    let all = match shown.registrar.door.policies(None).await {
        Err(registry::Error::NoTable) => Vec::new(),
        all => all.map_err(Refusal::Table)?,
    };
    let wanted = all.iter().filter(|one| wanted(one)).map(|one| tell(shown, one)).collect();
    POLICIES.answer(&format!("{}{}", base.0, uri.path()), uri.query(), wanted)
}

/// Shows a policy, without its keys.
pub(super) async fn show(On(shown): On<Shown>, Path(id): Path<String>) -> Answer<Response> {
    let policy = find(&shown, &id).await?;
    Ok(no_store(tell(&shown, &policy)))
}

/// Makes a policy. This answer alone has what its receivers verify with: the public key, or the secret that they share.
pub(super) async fn create(
    On(shown): On<Shown>,
    by: By,
    base: Base,
    Given(given): Given<Map<String, Value>>,
) -> Answer<Response> {
    let algorithm = algorithm(given.get("jwt_alg"))?;
    let id = shown.registrar.door.next_policy_id().await.map_err(Refusal::from)?;
    let keys = shown.registrar.keys.borrow().clone();
    // RSA keys take a moment to be found
    let made = tokio::task::spawn_blocking(move || PolicyRow::make(id, algorithm, &by.0, &keys)).await;
    let (mut policy, key) = match made {
        Ok(made) => made?,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    };
    put(&given, &mut policy)?;
    let written = shown.registrar.door.make_policy(&policy).await.map_err(Refusal::from)?;
    let mut told = tell(&shown, &written.ok_or_else(Trouble::not_found)?);
    match Key::read(algorithm, &key).map_err(PolicyError::from)?.public_pem() {
        Some(pem) => told.insert("public_key_pem".into(), pem.into()),
        None => told.insert("secret".into(), key.expose().into()),
    };
    let location = HeaderValue::try_from(format!("{}{}/{id}", base.0, super::POLICIES[1]));
    let mut response = (StatusCode::CREATED, no_store(told)).into_response();
    response.headers_mut().extend(location.ok().map(|location| (LOCATION, location)));
    Ok(response)
}

/// Changes the fields that are given.
pub(super) async fn change(
    On(shown): On<Shown>,
    Path(id): Path<String>,
    Given(given): Given<Map<String, Value>>,
) -> Answer<Response> {
    let mut policy = find(&shown, &id).await?;
    if let Some(other) = given.get("jwt_alg")
        && !other.as_str().is_some_and(|other| other.eq_ignore_ascii_case(&policy.jwt_alg))
    {
        let message = "cannot be changed, for the key is of the algorithm: make another policy";
        return Err(vec![fault("jwt_alg", message, "")].into());
    }
    put(&given, &mut policy)?;
    let written = shown.registrar.door.change_policy(&policy).await.map_err(Refusal::from)?;
    Ok(no_store(tell(&shown, &written.ok_or_else(Trouble::not_found)?)))
}

/// Deletes a policy that no webhook has.
pub(super) async fn delete(On(shown): On<Shown>, Path(id): Path<String>) -> Answer<StatusCode> {
    let policy = find(&shown, &id).await?;
    match shown.registrar.door.delete_policy(policy.id).await {
        Ok(true) => Ok(StatusCode::NO_CONTENT),
        Ok(false) => Err(Trouble::not_found()),
        Err(registry::Error::Rule { .. }) => {
            Err(vec![fault("webhook_policy", "is in use: give its webhooks another one first", "")].into())
        }
        Err(error) => Err(Refusal::Table(error).into()),
    }
}

/// Where the public key of a policy is (OpenID Connect Discovery 1.0, section 3). Open to all.
pub(super) async fn configuration(
    On(shown): On<Shown>,
    Path(name): Path<String>,
    uri: Uri,
) -> Answer<Response> {
    let key = discovered(&shown, &name)?;
    let path = uri.path().trim_end_matches("/.well-known/openid-configuration");
    let issuer = format!("{}{path}", shown.settings.borrow().site);
    let told = json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}/jwks"),
        "id_token_signing_alg_values_supported": [key["alg"]],
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
    });
    Ok(([(CACHE_CONTROL, KEPT)], Json(told)).into_response())
}

/// The public key of a policy (RFC 7517, section 5). Open to all.
pub(super) async fn keys(On(shown): On<Shown>, Path(name): Path<String>) -> Answer<Response> {
    let key = discovered(&shown, &name)?;
    Ok(([(CACHE_CONTROL, KEPT)], Json(json!({ "keys": [key] }))).into_response())
}

/// The public key of a policy whose webhooks let receivers find it. The database is not asked: anybody may ask for this.
fn discovered(shown: &Shown, name: &str) -> Answer<Value> {
    let webhooks = shown.webhooks.borrow().clone();
    let mut policies = webhooks.iter().filter_map(|webhook| webhook.policy.as_ref());
    let policy = policies.find(|policy| policy.is_discovered && policy.name == name);
    let policy = policy.ok_or_else(Trouble::not_found)?;
    let key = Key::read(policy.algorithm, &policy.key).map_err(PolicyError::from)?;
    key.public_jwk(&policy.name).ok_or_else(Trouble::not_found)
}

async fn find(shown: &Shown, id: &str) -> Answer<PolicyRow> {
    let id: u64 = id.parse().ok().filter(|id| i64::try_from(*id).is_ok()).ok_or_else(Trouble::not_found)?;
    let found = shown.registrar.door.policies(Some(id)).await;
    match found {
        Err(registry::Error::NoTable) => Err(Trouble::not_found()),
        found => found.map_err(Refusal::Table)?.pop().ok_or_else(Trouble::not_found),
    }
}

fn tell(shown: &Shown, policy: &PolicyRow) -> Resource {
    let mut told = Resource::from_iter([
        ("id".to_owned(), policy.id.into()),
        ("name".to_owned(), policy.name.clone().into()),
        ("disabled".to_owned(), policy.disabled.into()),
        ("jwt_alg".to_owned(), policy.jwt_alg.clone().into()),
        ("jwt_audience".to_owned(), policy.jwt_audience.clone().into()),
        ("jwt_claim_expires_in".to_owned(), policy.jwt_claim_expires_in.into()),
    ]);
    for (name, written) in [("created_at", &policy.created_at), ("updated_at", &policy.updated_at)] {
        told.extend(account::time(shown, written).map(|time| (name.to_owned(), time.into())));
    }
    told
}

fn algorithm(given: Option<&Value>) -> Answer<Algorithm> {
    let word = given.and_then(Value::as_str).unwrap_or_default();
    word.parse().map_err(|()| {
        let message = match word {
            "" => "can't be blank",
            "none" => "would leave messages unsigned, which is refused",
            _ => "is not included in the list",
        };
        let known = Algorithm::ALL.map(|one| one.as_str().to_lowercase()).join(", ");
        Trouble::from(vec![fault("jwt_alg", message, &format!("write one of {known}"))])
    })
}

/// Puts the fields that may be written into a policy.
fn put(given: &Map<String, Value>, policy: &mut PolicyRow) -> Answer<()> {
    let mut faults: Vec<Fault> = Vec::new();
    let mut wrong = |field: &str, message: &str| faults.push(fault(field, message, ""));
    match given.get("disabled") {
        None => {}
        Some(Value::Null) => policy.disabled = false,
        Some(Value::Bool(disabled)) => policy.disabled = *disabled,
        Some(_) => wrong("disabled", "must be true or false"),
    }
    match given.get("jwt_audience") {
        None => {}
        Some(Value::Null) => policy.jwt_audience = None,
        Some(Value::String(text)) if text.len() <= AUDIENCE_BYTES_MAX => {
            policy.jwt_audience = Some(text.clone()).filter(|text| !text.is_empty());
        }
        Some(Value::String(_)) => wrong("jwt_audience", "is too long: 2 KB is the maximum"),
        Some(_) => wrong("jwt_audience", "must be a text"),
    }
    match given.get("jwt_claim_expires_in") {
        None => {}
        Some(Value::Null) => policy.jwt_claim_expires_in = None,
        Some(minutes) => match minutes.as_u64().and_then(|minutes| i32::try_from(minutes).ok()) {
            Some(minutes) if minutes > 0 => policy.jwt_claim_expires_in = Some(minutes.cast_unsigned()),
            _ => wrong("jwt_claim_expires_in", "must be a number of minutes from 1"),
        },
    }
    if faults.is_empty() { Ok(()) } else { Err(faults.into()) }
}

fn no_store(told: Resource) -> Response {
    ([(CACHE_CONTROL, "no-store")], Json(told)).into_response()
}
