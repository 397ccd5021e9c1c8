//! Whether who is behind a URI wants its messages: a message `webhook.verify` brings a link, and until somebody follows it
//! the webhook stays disabled ("Verification of Webhooks").
//!
//! While it is open, the registration says under `product.itrp.verification` by which code, until when, and whether the
//! webhook is to be enabled then. An administrator may enable it over another interface all the same.

use super::trouble::Trouble;
use super::{BASES, uri as address};
use crate::admin::hashes::{TokenHash, new_token};
use crate::admin::listed;
use crate::admin::problem::Problem;
use crate::admin::translation::{Native, get, set};
use crate::admin::{Message, Shown};
use crate::registry::{self, Row};
use crate::secret::Secret;
use axum::extract::{Path, State as On};
use axum::http::{StatusCode, Uri};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::sync::Arc;
use url::form_urlencoded;

/// How long the link is good.
const GOOD_FOR: SignedDuration = SignedDuration::from_hours(24);

const OPEN: [&str; 3] = ["product", "itrp", "verification"];

/// A link that has to be sent.
pub(super) struct Demand {
    code: Secret,
    expires_at: Timestamp,
}

/// Whether a registration waits for its verification.
pub(super) fn is_open(native: &Native) -> bool {
    !get(native, &OPEN).is_null()
}

/// Demands a verification of what is about to be written, where the site wants one: of a URI that is new, and of one that
/// was not verified yet, whose last link becomes void. `before` is the URI as it was, `enabled` what the client said of it.
pub(super) async fn demand(
    shown: &Shown,
    before: Option<&str>,
    enabled: Option<bool>,
    native: &mut Native,
) -> Result<Option<Demand>, Trouble> {
    let now_at = address::show(native);
    let is_new = before.is_none_or(|before| before != now_at);
    if !shown.settings.borrow().itrp.verification || !(is_new || is_open(native)) {
        return Ok(None);
    }
    let was_to_be = get(native, &OPEN).get("enable").and_then(Value::as_bool);
    let is_enabled = *get(native, &["enabled"]) != false;
    if is_verified(shown, &now_at).await? {
        if let Some(enable) = enabled.or(was_to_be) {
            set(native, &["enabled"], enable.into());
        }
        set(native, &OPEN, Value::Null);
        return Ok(None);
    }
    let code = new_token()
        .map_err(|_| Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the system gives no random numbers"))?;
    let expires_at = Timestamp::now() + GOOD_FOR;
    let open = json!({
        "code": TokenHash::of(code.expose()).to_string(),
        "expires_at": expires_at.as_second(),
        "enable": enabled.or(was_to_be).unwrap_or(is_enabled),
    });
    set(native, &OPEN, open);
    set(native, &["enabled"], false.into());
    Ok(Some(Demand { code, expires_at }))
}

/// Whether another webhook with that URI is verified already.
async fn is_verified(shown: &Shown, uri: &str) -> Result<bool, Trouble> {
    let all = listed::all(shown).await?;
    Ok(all.iter().any(|one| address::show(&one.native) == uri && !is_open(&one.native)))
}

impl Demand {
    /// Sends the link. `base` is how this site is reached.
    pub(super) fn send(&self, shown: &Shown, base: &str, row: &Row) -> Result<(), Trouble> {
        let id = row.id().unwrap_or_default();
        let (code, expires_at) = (self.code.expose(), self.expires_at.as_second());
        let callback = format!("{base}{}/{id}/verify?code={code}&expires_at={expires_at}", BASES[1]);
        let webhook = Arc::new(shown.registrar.read(row)?);
        Ok(shown.trials.begin((shown.tester)(webhook, Message::Verification { callback }))?)
    }
}

/// Somebody follows a link. Needs no account: the code is known to nobody but who is behind the URI.
pub(super) async fn verify(
    On(shown): On<Shown>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<StatusCode, Trouble> {
    let id = super::webhooks::numbered(&id)?;
    let mut parameters = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    // when the link ends is known here
    let named = parameters.find(|(name, _)| name == "code").map(|(_, code)| code).unwrap_or_default();
    // anybody may ask: the database is asked only by those who know the code
    let known = shown.registrar.registered.find(id).map(|standing| registry::masked(&standing.row));
    if !known.is_some_and(|native| is_code_of(&native, &named)) {
        return Err(Trouble::not_found());
    }
    let edited = shown.registrar.edit(id, None, |native| {
        if !is_code_of(native, &named) {
            return Err(Trouble::not_found());
        }
        let open = get(native, &OPEN);
        if open["expires_at"].as_i64().is_none_or(|end| end < Timestamp::now().as_second()) {
            let message = "This link is not good any more: change the webhook, and another one is sent";
            return Err(Trouble::new(StatusCode::GONE, message));
        }
        let enable = open["enable"].as_bool().unwrap_or(true);
        set(native, &["enabled"], enable.into());
        set(native, &OPEN, Value::Null);
        Ok(())
    });
    edited.await?;
    Ok(StatusCode::NO_CONTENT)
}

fn is_code_of(native: &Native, named: &str) -> bool {
    let code = get(native, &OPEN).get("code").and_then(Value::as_str);
    let code = code.and_then(|code| TokenHash::parse(&Secret::from(code)));
    code.is_some_and(|code| code.is_of(named))
}
