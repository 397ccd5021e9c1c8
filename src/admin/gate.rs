//! The gate: which requests may come to a route, and as whom.
//!
//! Where accounts are configured, everything behind it needs one. Where none is, the loopback may do everything, so
//! that a first run needs no configuration; but what a browser sends on behalf of some web page is refused.

use super::accounts::{Account, Role};
use super::connections::Peer;
use super::login::{Logins, Refusal};
use super::problem::Problem;
use crate::secret::Secret;
use axum::Router;
use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::header::{HOST, HeaderName, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// What browsers say of where a request comes from (Fetch Metadata).
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const SEC_FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// The name of who asks where no account is configured.
const LOCAL: &str = "local";

/// Stands before routes.
#[derive(Clone)]
pub struct Gate {
    logins: Arc<Logins>,
    /// The listener's address.
    local: SocketAddr,
}

impl Gate {
    pub(super) fn new(logins: Logins, local: SocketAddr) -> Self {
        Self { logins: Arc::new(logins), local }
    }

    /// Puts the routes of an interface behind the gate: each request that comes through has an [`Account`] in its
    /// extensions. What only an administrator may do asks for [`Administrator`].
    pub fn guard(&self, routes: Router) -> Router {
        routes.route_layer(from_fn_with_state(self.clone(), interface))
    }

    /// Puts routes behind the gate that are open to all while no account is configured: metrics.
    pub fn guard_if_accounts(&self, routes: Router) -> Router {
        routes.route_layer(from_fn_with_state(self.clone(), metrics))
    }

    /// Opens a session for whoever has name and password; returns its token. Where no account is configured, the loopback
    /// needs none.
    pub(super) async fn open_session(
        &self,
        name: &str,
        password: Secret,
        peer: Option<IpAddr>,
    ) -> Result<String, Problem> {
        if self.logins.are_needed() {
            return self.logins.open(name, password, peer.ok_or_else(unguarded)?).await.map_err(refused);
        }
        if !self.local.ip().is_loopback() {
            return Err(self.closed());
        }
        Ok(self.logins.open_for_nobody(name))
    }

    /// Ends the session that a request names. Returns whether there was one.
    pub(super) fn close_session(&self, headers: &HeaderMap) -> bool {
        self.logins.close(headers)
    }

    async fn log_in(&self, headers: &HeaderMap, peer: Option<IpAddr>) -> Result<Account, Problem> {
        self.logins.account(headers, peer.ok_or_else(unguarded)?).await.map_err(refused)
    }

    fn closed(&self) -> Problem {
        Problem::new(StatusCode::FORBIDDEN, "no account is configured").detail(format!(
            "{} can be reached by others, so this needs an account: add [[admin.users]] or [[admin.tokens]]",
            self.local
        ))
    }

    /// Who asks where nobody is asked who he is.
    fn unknown(&self, request: &Request) -> Result<Account, Problem> {
        if !self.local.ip().is_loopback() {
            return Err(self.closed());
        }
        if let Some(foreign) = foreign_host(request, self.local) {
            return Err(Problem::new(StatusCode::MISDIRECTED_REQUEST, "this is not the host you mean").detail(
                format!(
                    "the request is for {foreign:?}; without accounts only localhost, IP addresses and {} are answered",
                    self.local
                ),
            ));
        }
        Ok(Account { name: LOCAL.to_owned(), role: Role::Admin })
    }
}

async fn interface(State(gate): State<Gate>, mut request: Request, next: Next) -> Result<Response, Problem> {
    if is_of_another_site(request.method(), request.headers()) {
        return Err(Problem::new(StatusCode::FORBIDDEN, "another site asks")
            .detail("a browser sent this on behalf of a page of another origin, which may not ask here"));
    }
    let account = if gate.logins.are_needed() {
        gate.log_in(request.headers(), peer(&request)).await?
    } else {
        gate.unknown(&request)?
    };
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    let scheme = if gate.logins.is_private() { "https" } else { "http" };
    let base = Base(format!("{scheme}://{host}"));
    request.extensions_mut().insert(base);
    request.extensions_mut().insert(account);
    Ok(next.run(request).await)
}

async fn metrics(State(gate): State<Gate>, request: Request, next: Next) -> Result<Response, Problem> {
    if gate.logins.are_needed() {
        gate.log_in(request.headers(), peer(&request)).await?;
    }
    Ok(next.run(request).await)
}

fn peer(request: &Request) -> Option<IpAddr> {
    request.extensions().get().map(|ConnectInfo(Peer(peer))| peer.ip())
}

/// Whoever may change things: put it among a handler's arguments, and viewers are answered with 403.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administrator(pub Account);

/// How the client reaches us: `https://desk.example:8640`. Absolute links begin with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Base(pub String);

impl<S: Sync> FromRequestParts<S> for Base {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unguarded)
    }
}

impl<S: Sync> FromRequestParts<S> for Account {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Problem> {
        parts.extensions.get::<Self>().cloned().ok_or_else(unguarded)
    }
}

impl<S: Sync> FromRequestParts<S> for Administrator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let account = Account::from_request_parts(parts, state).await?;
        if account.role < Role::Admin {
            let detail =
                format!("account {:?} has the role viewer, and this needs the role admin", account.name);
            return Err(Problem::new(StatusCode::FORBIDDEN, "this account may only look").detail(detail));
        }
        Ok(Self(account))
    }
}

/// A route that forgot the gate lets nobody in.
fn unguarded() -> Problem {
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "this is a bug of walhook's; please report it")
        .detail("nobody asked who asks")
}

fn refused(refusal: Refusal) -> Problem {
    let detail = match refusal {
        Refusal::Missing => {
            "log in as one of [[admin.users]] (Basic), or bring a token of [[admin.tokens]] (Bearer)"
        }
        Refusal::Malformed => {
            "the Authorization header cannot be read: it is \"Basic\" and the base64 of name:password, or \"Bearer\" \
             and a token"
        }
        Refusal::Wrong => "the name, the password or the token is wrong",
        Refusal::TooOften(wait) => {
            let seconds = wait.as_millis().div_ceil(1000).max(1) as u64;
            return Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many wrong logins")
                .detail(format!("nothing was looked at; try again in {seconds} s"))
                .header(RETRY_AFTER, HeaderValue::from(seconds));
        }
    };
    Problem::new(StatusCode::UNAUTHORIZED, "this needs an account")
        .detail(detail)
        .header(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"walhook\", charset=\"UTF-8\""))
        .header(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"walhook\""))
}

/// The host that a request is for, where it is none that this listener has by itself. A page of a site can make its
/// own name lead to the loopback (DNS rebinding); what it then sends has that name in it.
fn foreign_host(request: &Request, local: SocketAddr) -> Option<String> {
    let in_headers =
        request.headers().get_all(HOST).iter().map(|host| host.to_str().unwrap_or("?").to_owned());
    let in_uri = request.uri().authority().map(Authority::to_string);
    let hosts: Vec<_> = in_headers.chain(in_uri).collect();
    if hosts.is_empty() {
        return Some(String::new());
    }
    let is_own = |host: &str| {
        let Ok(authority) = host.parse::<Authority>() else { return false };
        let name = authority.host().trim_end_matches('.');
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok() || host == local.to_string()
    };
    hosts.into_iter().find(|host| !is_own(host))
}

/// Whether a browser sent it on behalf of a page of another origin. Following a link from there is no harm.
fn is_of_another_site(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name: &HeaderName| headers.get(name).map(HeaderValue::as_bytes);
    let is_link = method.is_safe() && text(&SEC_FETCH_MODE) == Some(b"navigate");
    let by_site = match text(&SEC_FETCH_SITE) {
        None | Some(b"same-origin" | b"none") => false,
        Some(_) => !is_link,
    };
    let by_origin = headers.get_all(ORIGIN).iter().any(|origin| {
        let origin = origin.to_str().unwrap_or_default();
        let authority = origin.split_once("://").map(|(_, authority)| authority.as_bytes());
        let host = text(&HOST);
        !matches!((authority, host), (Some(authority), Some(host)) if authority.eq_ignore_ascii_case(host))
    });
    by_site || by_origin
}

#[cfg(test)]
mod tests {
    use super::super::accounts::{Access, Accounts, Token};
    use super::super::hashes::TokenHash;
    use super::*;
    use crate::observe::Observers;
    use axum::body::Body;
    use axum::http::header::AUTHORIZATION;
    use axum::routing::{get, post};
    use tokio::sync::watch;
    use tower_service::Service as _;

    /// Routes of all kinds behind the gate of a listener.
    struct House {
        routes: Router,
        _access: watch::Sender<Arc<Access>>,
    }

    impl House {
        fn new(local: &str, with_accounts: bool) -> Self {
            let token = |name: &str, role| Token { name: name.to_owned(), hash: TokenHash::of(name), role };
            let tokens = vec![token("looks", Role::Viewer), token("changes", Role::Admin)];
            let tokens = if with_accounts { tokens } else { Vec::new() };
            let access = Access { accounts: Accounts { users: Vec::new(), tokens }, tls: None };
            let (sender, receiver) = watch::channel(Arc::new(access));
            let gate = Gate::new(Logins::new(receiver, Observers::default()), local.parse().unwrap());
            let api = Router::new()
                .route(
                    "/api",
                    get(async |account: Account| format!("{} {}", account.name, account.role.as_str())),
                )
                .route("/api", post(async |Administrator(account): Administrator| account.name));
            let metrics = Router::new().route("/metrics", get(async || "numbers"));
            let forgotten = Router::new().route("/forgotten", get(async |_: Account| "never"));
            let open = Router::new().route("/healthz", get(async || "ok"));
            let routes = open.merge(forgotten).merge(gate.guard(api)).merge(gate.guard_if_accounts(metrics));
            Self { routes, _access: sender }
        }

        /// The status and the body, for a request line and headers.
        async fn ask(&self, request: &str, headers: &[(&str, &str)]) -> (u16, String) {
            let (method, path) = request.split_once(' ').unwrap();
            let mut request = Request::builder().method(method).uri(path);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            let mut request = request.body(Body::empty()).unwrap();
            request.extensions_mut().insert(ConnectInfo(Peer("127.0.0.1:5000".parse().unwrap())));
            let response = self.routes.clone().call(request).await.unwrap();
            let status = response.status().as_u16();
            let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
            (status, String::from_utf8(body.to_vec()).unwrap())
        }
    }

    const LOOPBACK: &str = "127.0.0.1:8640";
    const HOST_LOCAL: (&str, &str) = ("host", "localhost:8640");
    const LOOKS: (&str, &str) = ("authorization", "Bearer looks");
    const CHANGES: (&str, &str) = ("authorization", "Bearer changes");

    #[tokio::test]
    async fn with_accounts_everything_but_health_needs_one() {
        let house = House::new(LOOPBACK, true);
        for path in ["GET /api", "POST /api", "GET /metrics"] {
            let (status, body) = house.ask(path, &[HOST_LOCAL]).await;
            assert_eq!(status, 401, "{path}");
            assert!(body.contains("log in as one of [[admin.users]]"), "{body}");
        }
        assert_eq!(house.ask("GET /healthz", &[]).await.0, 200);
        assert_eq!(house.ask("GET /metrics", &[LOOKS]).await, (200, "numbers".into()));
        assert_eq!(house.ask("GET /api", &[LOOKS]).await, (200, "looks viewer".into()));
        assert_eq!(house.ask("GET /api", &[CHANGES]).await, (200, "changes admin".into()));
    }

    #[tokio::test]
    async fn a_viewer_may_only_look() {
        let house = House::new(LOOPBACK, true);
        let (status, body) = house.ask("POST /api", &[LOOKS]).await;
        assert_eq!(status, 403);
        assert!(body.contains("has the role viewer, and this needs the role admin"), "{body}");
        assert_eq!(house.ask("POST /api", &[CHANGES]).await, (200, "changes".into()));
    }

    #[tokio::test]
    async fn a_refusal_says_how_to_log_in() {
        let house = House::new(LOOPBACK, true);
        let request = Request::builder()
            .uri("/api")
            .header(AUTHORIZATION, "Bearer wrong")
            .extension(ConnectInfo(Peer("127.0.0.1:5000".parse().unwrap())));
        let response = house.routes.clone().call(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(response.status(), 401);
        let ways: Vec<_> = response.headers().get_all(WWW_AUTHENTICATE).iter().collect();
        assert_eq!(ways, ["Basic realm=\"walhook\", charset=\"UTF-8\"", "Bearer realm=\"walhook\""]);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }

    #[tokio::test]
    async fn without_accounts_the_loopback_may_do_everything() {
        let house = House::new(LOOPBACK, false);
        assert_eq!(house.ask("GET /metrics", &[("host", "prometheus.example")]).await.0, 200);
        for host in
            ["localhost", "LOCALHOST:8640", "localhost.:1", "127.0.0.1:8640", "[::1]:8640", "192.0.2.1"]
        {
            assert_eq!(house.ask("GET /api", &[("host", host)]).await, (200, "local admin".into()), "{host}");
            assert_eq!(house.ask("POST /api", &[("host", host)]).await.0, 200, "{host}");
        }
    }

    /// A name that an attacker makes lead to the loopback, so that the browser takes his page for ours.
    #[tokio::test]
    async fn without_accounts_another_host_is_refused() {
        let house = House::new(LOOPBACK, false);
        for host in [
            "evil.example",
            "evil.example:8640",
            "localhost.evil.example",
            "",
            "localhost:8640@evil.example",
            "127.0.0.1.evil.example",
        ] {
            assert_eq!(house.ask("GET /api", &[("host", host)]).await.0, 421, "{host}");
        }
        assert_eq!(house.ask("GET /api", &[]).await.0, 421);
        assert_eq!(house.ask("GET /api", &[HOST_LOCAL, ("host", "evil.example")]).await.0, 421);
        assert_eq!(house.ask("GET http://evil.example/api", &[HOST_LOCAL]).await.0, 421);
        let house = House::new(LOOPBACK, true);
        assert_eq!(house.ask("GET /api", &[("host", "walhook.example"), LOOKS]).await.0, 200);
    }

    /// Somebody allowed it for health and metrics; that is not for everybody to register webhooks.
    #[tokio::test]
    async fn without_accounts_an_address_that_others_reach_has_no_interface() {
        let house = House::new("0.0.0.0:8640", false);
        let (status, body) = house.ask("GET /api", &[HOST_LOCAL]).await;
        assert_eq!(status, 403);
        assert!(body.contains("add [[admin.users]] or [[admin.tokens]]"), "{body}");
        assert_eq!(house.ask("GET /metrics", &[]).await.0, 200);
        assert_eq!(house.ask("GET /healthz", &[]).await.0, 200);
    }

    #[tokio::test]
    async fn what_another_site_makes_a_browser_send_is_refused() {
        for with_accounts in [false, true] {
            let house = House::new(LOOPBACK, with_accounts);
            let status = async |request: &str, headers: &[(&str, &str)]| {
                let headers = [&[HOST_LOCAL, CHANGES], headers].concat();
                house.ask(request, &headers).await.0
            };
            for (headers, expected) in [
                (&[][..], 200),
                (&[("sec-fetch-site", "same-origin"), ("origin", "http://localhost:8640")], 200),
                (&[("sec-fetch-site", "none")], 200),
                (&[("sec-fetch-site", "cross-site")], 403),
                // another port of this machine
                (&[("sec-fetch-site", "same-site")], 403),
                (&[("origin", "http://localhost:3000")], 403),
                (&[("origin", "https://evil.example")], 403),
                (&[("origin", "null")], 403),
                (&[("origin", "http://LOCALHOST:8640")], 200),
            ] {
                assert_eq!(status("POST /api", headers).await, expected, "{headers:?}");
                assert_eq!(status("GET /api", headers).await, expected, "{headers:?}");
            }
            let link = [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
            assert_eq!(status("GET /api", &link).await, 200, "a link");
            assert_eq!(status("POST /api", &link).await, 403, "a form");
        }
    }

    #[tokio::test]
    async fn a_route_that_forgot_the_gate_lets_nobody_in() {
        assert_eq!(House::new(LOOPBACK, true).ask("GET /forgotten", &[LOOKS]).await.0, 500);
    }
}
