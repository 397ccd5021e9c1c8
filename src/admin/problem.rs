//! What went wrong with a request, as `application/problem+json` (RFC 9457), or in the words of another product's
//! interface ([`told_by`]).

use crate::queue;
use crate::remedy::Remediable as _;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::map_response;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use serde::Serialize;
use std::sync::Arc;

/// An answer that says what is wrong, where, and what to do about it.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    title: String,
    detail: Option<String>,
    errors: Vec<Fault>,
    headers: Box<HeaderMap>,
}

/// One part of the request that is wrong.
#[derive(Clone, Debug, Serialize)]
pub struct Fault {
    /// A JSON pointer into the body (`/callback/url`), or the name of a parameter.
    pub pointer: String,
    /// What is wrong.
    pub detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
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
        Self { status, title: title.to_owned(), detail: None, errors: Vec::new(), headers: Box::default() }
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

    /// The status of the answer.
    pub fn status(&self) -> StatusCode {
        self.status
    }

    /// All of it in one line: the title, what is special about this case, and each part that is wrong.
    pub fn in_words(&self) -> String {
        let detail = self.detail.iter().cloned();
        let faults = self.errors.iter().map(Fault::in_words);
        let rest: Vec<String> = detail.chain(faults).collect();
        if rest.is_empty() { self.title.clone() } else { format!("{}: {}", self.title, rest.join("; ")) }
    }

    /// What stays the same from case to case.
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The parts of the request that are wrong.
    pub fn faults(&self) -> &[Fault] {
        &self.errors
    }

    /// A header of the answer.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }
}

impl Fault {
    fn in_words(&self) -> String {
        let place = if self.pointer.is_empty() { String::new() } else { format!("{}: ", self.pointer) };
        let remedy = self.remedy.as_ref().map_or_else(String::new, |remedy| format!(" ({remedy})"));
        format!("{place}{}{remedy}", self.detail)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let told = Told(Arc::new(self.clone()));
        let Self { status, title, detail, errors, headers } = self;
        let body = Json(Body { title, status: status.as_u16(), detail, errors });
        let kind = [(CONTENT_TYPE, "application/problem+json"), (CACHE_CONTROL, "no-store")];
        let mut response = (status, *headers, kind, body).into_response();
        response.extensions_mut().insert(told);
        response
    }
}

/// An answer, or a problem.
pub type Answer<T> = Result<T, Problem>;

/// The queue does not answer.
pub fn out_of_order(error: queue::Error) -> Problem {
    let causes = std::iter::successors(Some(&error as &dyn std::error::Error), |error| error.source());
    let said = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
    let hint = error.hint().map_or_else(String::new, |hint| format!(" ({hint})"));
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the queue does not answer").detail(said + &hint)
}

/// There is nothing at that path, or of that number.
pub fn nothing_here() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "there is nothing here")
}

/// The problem that an answer tells of, kept beside it.
#[derive(Clone, Debug)]
struct Told(Arc<Problem>);

/// Lets the routes of another product's interface tell of problems in that product's words: those of the gate and of
/// reading the request as well as their own. Headers of the problem are kept.
pub fn told_by(routes: Router, words: fn(&Problem) -> Response) -> Router {
    routes.layer(map_response(move |response: Response| async move {
        let Some(Told(problem)) = response.extensions().get().cloned() else { return response };
        let mut told = words(&problem);
        for (name, value) in problem.headers.iter() {
            told.headers_mut().append(name, value.clone());
        }
        told.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        told
    }))
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

    #[tokio::test]
    async fn another_interface_tells_in_its_own_words() {
        async fn refuses() -> Problem {
            let wrong = Problem::new(StatusCode::BAD_REQUEST, "it is wrong").detail("all of it");
            wrong.at("/a", "is none", "write one".to_owned()).header(ALLOW, HeaderValue::from_static("GET"))
        }
        let routes = Router::new().route("/", axum::routing::get(refuses));
        let mut routes = told_by(routes, |problem| (problem.status(), problem.in_words()).into_response());
        let request = axum::http::Request::get("/").body(axum::body::Body::empty()).unwrap();
        let answer = tower_service::Service::call(&mut routes, request).await.unwrap();
        let (parts, body) = answer.into_parts();
        assert_eq!(
            (parts.status, &parts.headers[ALLOW]),
            (StatusCode::BAD_REQUEST, &HeaderValue::from_static("GET"))
        );
        let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
        assert_eq!(body, "it is wrong: all of it; /a: is none (write one)");
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
