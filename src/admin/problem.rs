//! What went wrong with a request, as `application/problem+json` (RFC 9457).

use axum::Json;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// An answer that says what is wrong, where, and what to do about it.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    title: String,
    detail: Option<String>,
    errors: Vec<Fault>,
    headers: HeaderMap,
}

/// One part of the request that is wrong.
#[derive(Clone, Debug, Serialize)]
struct Fault {
    /// A JSON pointer into the body (`/callback/url`), or the name of a parameter.
    pointer: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// The body. Its `type` is left out, which means `about:blank`: the status says what kind of problem it is.
#[derive(Serialize)]
struct Body {
    title: String,
    status: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
}

impl Problem {
    /// A problem with its status and a title that stays the same from case to case.
    pub fn new(status: StatusCode, title: &str) -> Self {
        Self { status, title: title.to_owned(), detail: None, errors: Vec::new(), headers: HeaderMap::new() }
    }

    /// What is special about this case.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// A part of the request that is wrong: where (a JSON pointer or a parameter's name), what, and what to do.
    pub fn at(
        mut self,
        field: impl Into<String>,
        message: impl Into<String>,
        remedy: impl Into<Option<String>>,
    ) -> Self {
        let fault = Fault { pointer: field.into(), detail: message.into(), remedy: remedy.into() };
        self.errors.push(fault);
        self
    }

    /// A header of the answer.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, title, detail, errors, headers } = self;
        let body = Json(Body { title, status: status.as_u16(), detail, errors });
        let kind = [(CONTENT_TYPE, "application/problem+json"), (CACHE_CONTROL, "no-store")];
        (status, headers, kind, body).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::header::{ALLOW, RETRY_AFTER};
    use serde_json::{Value, json};

    fn answer(problem: Problem) -> (StatusCode, HeaderMap, Value) {
        let (parts, body) = problem.into_response().into_parts();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let body = runtime.block_on(axum::body::to_bytes(body, usize::MAX)).unwrap();
        (parts.status, parts.headers, serde_json::from_slice(&body).unwrap())
    }

    #[test]
    fn a_problem_says_what_is_wrong_where_and_what_to_do() {
        let (status, headers, body) = answer(
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the webhook is wrong")
                .detail("2 fields are wrong")
                .at("/callback/url", "\"ftp\" is not a scheme for webhooks", "write https://".to_owned())
                .at("/events", "no event is named", None)
                .header(RETRY_AFTER, HeaderValue::from_static("3")),
        );
        assert_eq!(status, 422);
        assert_eq!(headers[CONTENT_TYPE], "application/problem+json");
        assert_eq!(headers[RETRY_AFTER], "3");
        let expected = json!({
            "title": "the webhook is wrong",
            "status": 422,
            "detail": "2 fields are wrong",
            "errors": [
                {
                    "pointer": "/callback/url",
                    "detail": "\"ftp\" is not a scheme for webhooks",
                    "remedy": "write https://",
                },
                { "pointer": "/events", "detail": "no event is named" },
            ],
        });
        assert_eq!(body, expected);
    }

    #[test]
    fn a_short_problem_has_a_title_and_a_status_only() {
        let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "this method is not allowed here");
        let (status, headers, body) = answer(problem.header(ALLOW, HeaderValue::from_static("GET")));
        assert_eq!(status, 405);
        assert_eq!(headers[ALLOW], "GET");
        assert_eq!(body, json!({ "title": "this method is not allowed here", "status": 405 }));
    }
}
