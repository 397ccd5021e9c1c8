//! What a request gives: a JSON body, parameters, names in the path. What is wrong with it is a problem that says where.

use crate::admin::problem::Problem;
use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode};
use serde::de::DeserializeOwned;

/// A larger body is none of ours.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// A JSON body.
pub(super) struct Given<T>(pub(super) T);

impl<T: DeserializeOwned, S: Sync> FromRequest<S> for Given<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        if !is_json(&parts.headers) {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is not said to be JSON")
                .detail("send it with content-type: application/json"));
        }
        read(&bytes_of(body).await?).map(Self)
    }
}

/// Whether the body is said to be JSON, of whatever kind.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = said.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    name == "application/json" || name.starts_with("application/") && name.ends_with("+json")
}

/// A body, if it is not too large.
pub(super) async fn bytes_of(body: Body) -> Result<bytes::Bytes, Problem> {
    to_bytes(body, BODY_BYTES_MAX).await.map_err(|error| {
        let is_too_large = std::error::Error::source(&error)
            .is_some_and(|source| source.to_string().contains("length limit exceeded"));
        if is_too_large || error.to_string().contains("length limit exceeded") {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
                .detail(format!("a body has {BODY_BYTES_MAX} bytes at most"))
        } else {
            Problem::new(StatusCode::BAD_REQUEST, "the body did not arrive")
        }
    })
}

/// A body's value.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path());
        refused(error.inner(), pointer)
    })?;
    json.end().map_err(|error| refused(&error, String::new()))?;
    Ok(value)
}

fn refused(error: &serde_json::Error, pointer: String) -> Problem {
    let said = error.to_string();
    // what it says of the place stands beside it
    let message = said.split(" at line ").next().unwrap_or_default().to_owned();
    let place = format!("line {}, column {}", error.line(), error.column());
    if error.is_data() {
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the body is not what is wanted here")
            .detail(place)
            .at(pointer, message, None)
    } else {
        Problem::new(StatusCode::BAD_REQUEST, "the body is not JSON").detail(format!("{message}: {place}"))
    }
}

fn unknown_key(message: &str) -> Option<&str> {
    message.strip_prefix("unknown field `")?.split('`').next()
}

/// A path of serde's as a JSON pointer (RFC 6901).
fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let part = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(format!("/{index}")),
        Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(part).collect()
}

/// Parameters of the query.
pub(super) struct Asked<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(asked)) => Ok(Self(asked)),
            Err(rejection) => {
                let said = rejection.body_text();
                let message = said.rsplit("query string: ").next().unwrap_or_default();
                let (name, message) = match (unknown_key(message), message.split_once(": ")) {
                    (Some(key), _) => (key, message),
                    (None, Some((name, message))) if !name.contains(' ') => (name, message),
                    _ => ("", message),
                };
                Err(Problem::new(StatusCode::BAD_REQUEST, "a parameter is wrong").at(name, message, None))
            }
        }
    }
}

/// Names in the path.
pub(super) struct Named<T>(pub(super) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Named<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let names = Path::<T>::from_request_parts(parts, state).await;
        names.map(|Path(names)| Self(names)).map_err(|_| super::problem::nothing_here())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::response::IntoResponse as _;
    use serde::Deserialize;
    use serde_json::Value;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        #[allow(dead_code, reason = "only read")]
        inner: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        #[allow(dead_code, reason = "only read")]
        count: u32,
    }

    fn refusal(body: &str) -> (u16, Value) {
        let response = read::<Outer>(body.as_bytes()).unwrap_err().into_response();
        let status = response.status().as_u16();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let bytes = runtime.block_on(to_bytes(response.into_body(), usize::MAX)).unwrap();
        (status, serde_json::from_slice(&bytes).unwrap())
    }

    #[test]
    fn a_body_is_refused_with_the_place() {
        let check = |body: &str, status: u16, detail: &str, pointer: &str| {
            let (found, problem) = refusal(body);
            let said = problem["detail"].as_str().unwrap_or_default();
            assert_eq!((found, said), (status, detail), "{body}: {problem}");
            assert_eq!(problem["errors"][0]["pointer"].as_str().unwrap_or("-"), pointer, "{body}");
        };
        check("", 400, "EOF while parsing a value: line 1, column 0", "-");
        check("{\"inner\":\n [}", 400, "expected value: line 2, column 3", "-");
        check("{\"inner\": []} x", 400, "trailing characters: line 1, column 15", "-");
        check("{\"inner\": [{\"count\": \"x\"}]}", 422, "line 1, column 24", "/inner/0/count");
        check("{\"inner\": [], \"a~b/c\": 1}", 422, "line 1, column 21", "/a~0b~1c");
        check("{\"inner\": [{\"coutn\": 1}]}", 422, "line 1, column 19", "/inner/0/coutn");
        check("[1]", 422, "line 1, column 2", "/0");
        check("{}", 422, "line 1, column 2", "");
        assert!(refusal(&"[".repeat(100_000)).0 >= 400, "no stack is deep enough for everything");
    }
}
