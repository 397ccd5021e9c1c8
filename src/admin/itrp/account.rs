//! The account: in the product one of many, here the whole site.

use crate::admin::problem::{Problem, nothing_here};
use crate::admin::{Settings as Site, Shown};
use axum::extract::{Request, State as On};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::sync::Arc;
use tokio::sync::watch;
use url::Url;

/// What programs name their account by, the newest first.
const ACCOUNT: [&str; 3] = ["x-xurrent-account", "x-4me-account", "x-itrp-account"];
/// What programs name themselves by.
const SOURCE: [&str; 3] = ["x-xurrent-source", "x-4me-source", "x-itrp-source"];

/// What the operator says of the interface: `[admin.itrp]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of the account; none means that every name is meant.
    pub account: Option<String>,
    /// The status of the answer to a registration.
    pub create_status: StatusCode,
    /// How receivers reach this site; none means as whoever registers does.
    pub url: Option<Url>,
    /// Whether a webhook has to be verified before it is sent to.
    pub verification: bool,
    /// The zone that times are told in.
    pub time_zone: TimeZone,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            account: None,
            create_status: StatusCode::OK,
            url: None,
            verification: false,
            time_zone: TimeZone::UTC,
        }
    }
}

/// Answers for the account that a request names, and for no other.
pub(super) async fn asked_for(
    On(site): On<watch::Receiver<Arc<Site>>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let own = site.borrow().itrp.account.clone();
    let named = first(request.headers(), ACCOUNT);
    match (own, named) {
        (Some(own), Some(named)) if own != named => Err(nothing_here()),
        _ => Ok(next.run(request).await),
    }
}

/// A time of the database as this account is told it: ISO 8601 by whole seconds, with the zone's offset.
pub(super) fn time(shown: &Shown, written: &str) -> Option<String> {
    let zone = shown.settings.borrow().itrp.time_zone.clone();
    let time: Timestamp = written.parse().ok()?;
    Some(time.to_zoned(zone).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
}

/// The source that a program names in its headers.
pub(super) fn source(headers: &HeaderMap) -> Option<&str> {
    first(headers, SOURCE)
}

fn first<'a>(headers: &'a HeaderMap, names: [&str; 3]) -> Option<&'a str> {
    names.iter().find_map(|name| headers.get(*name)?.to_str().ok()).filter(|text| !text.is_empty())
}
