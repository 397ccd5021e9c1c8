//! What went wrong, as DataGerry tells it.

use crate::admin::problem::Problem;
use crate::admin::registering;
use crate::registry::{Fault, Refusal};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An answer that tells of trouble.
#[derive(Debug)]
pub(super) struct Trouble {
    status: StatusCode,
    description: String,
    message: String,
}

/// An answer, or trouble.
pub(super) type Answer<T> = Result<T, Trouble>;

impl Trouble {
    pub(super) fn new(status: StatusCode, description: &str, message: impl Into<String>) -> Self {
        Self { status, description: description.to_owned(), message: message.into() }
    }

    /// A request that asks for what cannot be done.
    pub(super) fn wrong(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "the request cannot be understood", message)
    }

    /// There is no webhook of that id.
    pub(super) fn gone(id: &str) -> Self {
        let message = format!("there is no webhook with the public_id {id}");
        Self::new(StatusCode::NOT_FOUND, "Webhook not found!", message)
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        let status = match problem.status() {
            // the product has no other word for what it cannot take
            StatusCode::UNPROCESSABLE_ENTITY | StatusCode::CONFLICT => StatusCode::BAD_REQUEST,
            status => status,
        };
        let words = problem.in_words();
        let rest = words.strip_prefix(problem.title()).and_then(|rest| rest.strip_prefix(": "));
        Self::new(status, problem.title(), rest.unwrap_or(problem.title()))
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Faults(faults) => faults.into(),
            Refusal::Gone(id) => Self::gone(&id.to_string()),
            refusal => registering::refused(&refusal).into(),
        }
    }
}

impl From<Vec<Fault>> for Trouble {
    fn from(faults: Vec<Fault>) -> Self {
        let told = faults.iter().map(|fault| {
            let remedy = fault.remedy.as_ref().map(|remedy| format!(" ({remedy})")).unwrap_or_default();
            format!("{}: {}{remedy}", in_our_words(&fault.field), fault.message)
        });
        Self::new(StatusCode::BAD_REQUEST, "the webhook cannot be saved", told.collect::<Vec<_>>().join("; "))
    }
}

/// The product's name of a field of the native model.
fn in_our_words(field: &str) -> String {
    match (field, field.strip_prefix("events")) {
        ("callback.url", _) => "url".into(),
        (_, Some(rest)) => format!("event_types{rest}"),
        (field, None) => field.to_owned(),
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        let body = json!({
            "status": self.status.as_u16(),
            "response": self.status.canonical_reason().unwrap_or_default(),
            "description": self.description,
            "message": self.message,
        });
        (self.status, Json(body)).into_response()
    }
}

/// A problem in these words.
pub(super) fn of_problem(problem: &Problem) -> Response {
    Trouble::from(problem.clone()).into_response()
}
