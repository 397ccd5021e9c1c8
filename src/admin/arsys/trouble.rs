//! What went wrong, as AR System tells it: a list of messages.

use crate::admin::problem::Problem;
use crate::admin::registering;
use crate::registry::{Fault, Refusal};
use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// A required field is missing.
const MISSING: u16 = 307;
/// A field does not exist on the form.
const NO_FIELD: u16 = 314;
/// The entry does not exist.
const NO_ENTRY: u16 = 302;
/// The form does not exist.
const NO_FORM: u16 = 303;
/// Access is denied.
const NO_ACCESS: u16 = 353;
/// The values are there already, and the index is unique.
const NOT_UNIQUE: u16 = 382;
/// Nobody is logged in.
const NOT_LOGGED_IN: u16 = 623;
/// A request that cannot be read, or meets no route: no number of the catalogue is known for it.
const UNREADABLE: u16 = 8000;
/// The server cannot answer now.
const OUT_OF_ORDER: u16 = 90;

/// An answer that tells of trouble.
#[derive(Debug)]
pub(super) struct Trouble {
    status: StatusCode,
    messages: Vec<Message>,
}

#[derive(Debug, Serialize)]
struct Message {
    #[serde(rename = "messageType")]
    kind: &'static str,
    #[serde(rename = "messageText")]
    text: String,
    #[serde(rename = "messageAppendedText")]
    appended: Option<String>,
    #[serde(rename = "messageNumber")]
    number: u16,
}

impl Trouble {
    fn new(status: StatusCode, number: u16, text: &str, appended: Option<String>) -> Self {
        let message = Message { kind: "ERROR", text: text.to_owned(), appended, number };
        Self { status, messages: vec![message] }
    }

    /// There is no webhook of that id.
    pub(super) fn gone(id: &str) -> Self {
        let appended = Some(format!("webhook {id:?}"));
        Self::new(StatusCode::NOT_FOUND, NO_ENTRY, "Entry does not exist in database", appended)
    }
}

impl From<Problem> for Trouble {
    fn from(problem: Problem) -> Self {
        let number = match problem.status() {
            StatusCode::UNAUTHORIZED | StatusCode::TOO_MANY_REQUESTS => NOT_LOGGED_IN,
            StatusCode::FORBIDDEN => NO_ACCESS,
            StatusCode::NOT_FOUND => NO_ENTRY,
            status if status.is_server_error() => OUT_OF_ORDER,
            _ => UNREADABLE,
        };
        // a body of the wrong shape is as wrong as one that is no JSON
        let status = match problem.status() {
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        let words = problem.in_words();
        let appended = words.strip_prefix(problem.title()).and_then(|rest| rest.strip_prefix(": "));
        Self::new(status, number, problem.title(), appended.map(str::to_owned))
    }
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Faults(faults) => faults.into(),
            Refusal::Gone(id) => Self::gone(&super::words::id_of(id)),
            Refusal::Duplicate => {
                let appended = "a webhook with the same form, events and URL is registered".to_owned();
                let text =
                    "The value(s) for this entry violate a unique index that has been defined for this form";
                Self::new(StatusCode::BAD_REQUEST, NOT_UNIQUE, text, Some(appended))
            }
            refusal => registering::refused(&refusal).into(),
        }
    }
}

impl From<Vec<Fault>> for Trouble {
    fn from(faults: Vec<Fault>) -> Self {
        let is_of_form = |fault: &Fault| matches!(fault.field.as_str(), "form" | "forms" | "form_name");
        let lacks_form =
            faults.iter().any(|fault| is_of_form(fault) && fault.message.contains("there is no form"));
        let messages = faults.iter().map(|fault| {
            let number = match fault.field.as_str() {
                _ if is_of_form(fault) && lacks_form => NO_FORM,
                _ if fault.message.ends_with("is missing") => MISSING,
                "payload_fields" => NO_FIELD,
                _ => UNREADABLE,
            };
            let remedy = fault.remedy.as_ref().map(|remedy| format!(" ({remedy})")).unwrap_or_default();
            Message {
                kind: "ERROR",
                text: fault.message.clone(),
                appended: Some(format!("{}{remedy}", in_our_words(&fault.field))),
                number,
            }
        });
        let status = if lacks_form { StatusCode::NOT_FOUND } else { StatusCode::BAD_REQUEST };
        Self { status, messages: messages.collect() }
    }
}

/// The product's name of a field of the native model.
fn in_our_words(field: &str) -> String {
    match field {
        "form" | "forms" => "form_name".into(),
        field => match field.strip_prefix("events") {
            Some(rest) => format!("entry_events{rest}"),
            None => field.to_owned(),
        },
    }
}

impl IntoResponse for Trouble {
    fn into_response(self) -> Response {
        (self.status, Json(self.messages)).into_response()
    }
}

/// A problem in these words.
pub(super) fn of_problem(problem: &Problem) -> Response {
    Trouble::from(problem.clone()).into_response()
}
