//! `/api/jwt`: name and password for a token, which is brought along as `Authorization: AR-JWT …`.

use crate::admin::connections::Peer;
use crate::admin::gate::Gate;
use crate::admin::problem::Problem;
use crate::secret::Secret;
use axum::body::to_bytes;
use axum::extract::{ConnectInfo, Request, State as On};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

/// A name and a password are short.
const BYTES_MAX: usize = 16 * 1024;

/// What logs somebody in. `authString` is accepted and means nothing here.
#[derive(Default)]
struct Credentials {
    username: Option<String>,
    password: Option<Secret>,
}

impl Credentials {
    fn take(&mut self, form: &[u8]) {
        for (name, value) in url::form_urlencoded::parse(form) {
            match &*name {
                "username" => self.username = Some(value.into_owned()),
                "password" => self.password = Some(Secret::from(value.into_owned())),
                _ => {}
            }
        }
    }
}

/// Answers with the bare token. Name and password stand in a form, or in the query, which is told nowhere.
pub(super) async fn log_in(On(gate): On<Gate>, request: Request) -> Result<Response, Problem> {
    let peer = request.extensions().get().map(|ConnectInfo(Peer(peer))| peer.ip());
    let mut credentials = Credentials::default();
    credentials.take(request.uri().query().unwrap_or_default().as_bytes());
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, BYTES_MAX).await.map_err(|_| {
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large")
            .detail(format!("a login has {BYTES_MAX} bytes at most"))
    })?;
    if !body.is_empty() {
        let said = parts.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let kind = said.split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is no form")
                .detail("send it with content-type: application/x-www-form-urlencoded"));
        }
        credentials.take(&body);
    }
    let given = credentials.username.filter(|name| !name.is_empty()).zip(credentials.password);
    let Some((name, password)) = given.filter(|(_, password)| !password.expose().is_empty()) else {
        return Err(Problem::new(StatusCode::UNAUTHORIZED, "authentication failed")
            .detail("a login needs username and password"));
    };
    let token = gate.open_session(&name, password, peer).await?;
    Ok(([(CACHE_CONTROL, "no-store"), (CONTENT_TYPE, "text/plain; charset=utf-8")], token).into_response())
}

/// Ends the session whose token is brought along.
pub(super) async fn log_out(On(gate): On<Gate>, headers: HeaderMap) -> Result<StatusCode, Problem> {
    if gate.close_session(&headers) {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(Problem::new(StatusCode::UNAUTHORIZED, "there is no such session")
            .detail("bring the token as Authorization: AR-JWT"))
    }
}
