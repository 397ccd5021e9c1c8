//! What a request gives of a webhook: parameters of the query, and a JSON object or a form in the body. The body counts
//! where both say something.

use crate::admin::given::{bytes_of, is_json, read};
use crate::admin::problem::Problem;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use serde_json::{Map, Value};

/// The fields of a webhook by name, as they were written.
pub(super) struct Parameters(pub(super) Map<String, Value>);

impl<S: Sync> FromRequest<S> for Parameters {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let mut given = form(parts.uri.query().unwrap_or_default().as_bytes());
        let body = bytes_of(body).await?;
        let said = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let is_form = said.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
        if body.is_empty() {
            return Ok(Self(given));
        }
        if is_form {
            given.extend(form(&body));
        } else if is_json(&parts.headers) {
            let further: Option<Map<String, Value>> = read(&body)?;
            given.extend(further.unwrap_or_default());
        } else {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body cannot be read").detail(
                "send parameters in the query, or a body as application/json or application/x-www-form-urlencoded",
            ));
        }
        Ok(Self(given))
    }
}

/// A form's values by name; a name that stands there several times has a list.
fn form(encoded: &[u8]) -> Map<String, Value> {
    let mut values = Map::new();
    for (name, value) in url::form_urlencoded::parse(encoded) {
        let value = Value::String(value.into_owned());
        match values.get_mut(&*name) {
            None => drop(values.insert(name.into_owned(), value)),
            Some(Value::Array(list)) => list.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
        }
    }
    values
}
