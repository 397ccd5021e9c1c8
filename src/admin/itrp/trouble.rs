//! What went wrong, as the product tells it: a message, and where a webhook is refused what is wrong with it.

use crate::admin::problem::Problem;
use crate::admin::registering;
use crate::registry::{Fault, PolicyError, Refusal};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An answer that tells of trouble.
#[derive(Debug)]
pub(super) struct Trouble {
    status: StatusCode,
    told: Told,
}

#[derive(Debug, Serialize)]
struct Told {
    message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<String>,
}

impl Trouble {
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, told: Told { message: message.into(), errors: Vec::new() } }
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "Not Found")
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        if problem.status() == StatusCode::NOT_FOUND {
            return Self::not_found();
        }
        Self::new(problem.status(), problem.in_words())
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Faults(faults) => faults.into(),
            Refusal::Gone(_) => Self::not_found(),
            refusal => registering::refused(&refusal).into(),
        }
    }
}

impl From<PolicyError> for Trouble {
    fn from(error: PolicyError) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl From<Vec<Fault>> for Trouble {
    fn from(faults: Vec<Fault>) -> Self {
        let told = faults.iter().map(|fault| {
            let remedy = fault.remedy.as_ref().map(|remedy| format!(" ({remedy})")).unwrap_or_default();
            format!("{} {}{remedy}", in_our_words(&fault.field), fault.message)
        });
        let errors: Vec<String> = told.collect();
        let message = format!("Validation failed: {}", errors.join("; "));
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, told: Told { message, errors } }
    }
}

/// The product's name of a field of the native model.
fn in_our_words(field: &str) -> &str {
    let end = field.find(['.', '[']).unwrap_or(field.len());
    match &field[..end] {
        "form" | "forms" | "events" => "event",
        "callback" => "uri",
        "enabled" => "disabled",
        "" => "webhook",
        field => field,
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        (self.status, Json(self.told)).into_response()
    }
}

/// A problem in these words.
pub(super) fn of_problem(problem: &Problem) -> Response {
    Trouble::from(problem.clone()).into_response()
}
