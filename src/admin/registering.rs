//! What every interface that registers webhooks needs: who asks, which webhook is meant, and what stands in the way.

use super::Shown;
use super::accounts::Account;
use super::problem::{Answer, Problem, nothing_here, out_of_order};
use crate::queue::WebhookStanding;
use crate::registry::{self, Refusal, Row};
use crate::remedy::{Remediable as _, Remedy};
use crate::webhook::WebhookId;
use axum::http::StatusCode;
use std::collections::HashMap;
use std::time::Duration;

/// How long an answer waits for the log to tell what was written: mostly some milliseconds.
const EFFECT_MAX: Duration = Duration::from_millis(500);

/// Who registers.
pub(super) struct By(pub(super) String);

impl<S: Sync> axum::extract::FromRequestParts<S> for By {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut axum::http::request::Parts,
        _: &S,
    ) -> Result<Self, Self::Rejection> {
        let account = parts.extensions.get::<Account>();
        Ok(Self(account.map_or_else(String::new, |account| account.name.clone())))
    }
}

/// Waits until the log has told of what was just written, or it takes too long.
pub(super) async fn wait_for_effect(shown: &Shown, row: &Row) {
    if let Some(id) = row.id() {
        shown.registrar.registered.wait_for(id, row.version(), EFFECT_MAX).await;
    }
}

pub(super) async fn book(shown: &Shown, id: WebhookId) -> Answer<Option<WebhookStanding>> {
    shown.queue.webhook(id).await.map_err(out_of_order)
}

pub(super) async fn books(shown: &Shown) -> Answer<HashMap<WebhookId, WebhookStanding>> {
    let standings = shown.queue.webhooks().await.map_err(out_of_order)?;
    Ok(standings.into_iter().map(|one| (one.id, one)).collect())
}

pub(super) fn numbered(id: u64) -> Answer<WebhookId> {
    if i64::try_from(id).is_ok() { Ok(WebhookId(id)) } else { Err(nothing_here()) }
}

/// A number that is not of a webhook of the file.
pub(super) fn changeable(shown: &Shown, id: u64) -> Answer<WebhookId> {
    let id = numbered(id)?;
    match shown.webhook_of_file(id) {
        None => Ok(id),
        Some(_) => Err(of_file().detail("change it there, and reload (SIGHUP)")),
    }
}

pub(super) fn of_file() -> Problem {
    Problem::new(StatusCode::CONFLICT, "the webhook is of the configuration file")
}

/// What stands in the way, for the client.
pub(super) fn refused(refusal: &Refusal) -> Problem {
    match refusal {
        Refusal::Faults(faults) => {
            problem_of(StatusCode::UNPROCESSABLE_ENTITY, "the webhook cannot work", faults)
        }
        Refusal::Changed { version } => {
            Problem::new(StatusCode::PRECONDITION_FAILED, "somebody else has changed the webhook")
                .detail(format!("it has version {version} by now: read it again, and change that"))
        }
        Refusal::Gone(id) => nothing_here().detail(format!("there is no registered webhook {id}")),
        Refusal::Duplicate => Problem::new(StatusCode::CONFLICT, "the same webhook is registered already")
            .detail(refusal.to_string()),
        Refusal::Table(error @ registry::Error::NoTable) => {
            Problem::new(StatusCode::CONFLICT, "webhooks cannot be registered here").detail(said(error))
        }
        Refusal::Table(error) if error.remedy() == Remedy::Wait => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the database does not answer").detail(said(error))
        }
        Refusal::Table(error) => {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the database refuses").detail(said(error))
        }
    }
}

fn said(error: &registry::Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let said = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    said + &error.hint().map_or_else(String::new, |hint| format!(" ({hint})"))
}

pub(super) fn problem_of(status: StatusCode, title: &str, faults: &[registry::Fault]) -> Problem {
    faults.iter().fold(Problem::new(status, title), |problem, fault| {
        let place =
            fault.place.as_ref().map_or_else(String::new, |place| format!(" (at byte {})", place.start));
        problem.at(pointer(&fault.field), fault.message.clone() + &place, fault.remedy.clone())
    })
}

/// A field of the native model as a JSON pointer: `callback.url` and `events[2]` are `/callback/url` and `/events/1`.
fn pointer(field: &str) -> String {
    let mut pointer = String::new();
    for part in field.split('.').filter(|part| !part.is_empty()) {
        let (name, index) = match part.strip_suffix(']').and_then(|part| part.split_once('[')) {
            Some((name, index)) => (name, index.parse::<usize>().ok()),
            None => (part, None),
        };
        pointer.extend(["/", &name.replace('~', "~0").replace('/', "~1")]);
        if let Some(index) = index {
            pointer += &format!("/{}", index.saturating_sub(1));
        }
    }
    pointer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_pointers_into_the_body() {
        for (field, expected) in [
            ("", ""),
            ("condition", "/condition"),
            ("callback.url", "/callback/url"),
            ("events[2]", "/events/1"),
            ("signature.secret[1]", "/signature/secret/0"),
        ] {
            assert_eq!(pointer(field), expected);
        }
    }
}
