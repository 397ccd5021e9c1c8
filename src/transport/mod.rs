//! Sending deliveries over HTTP: client, address guard, signatures.

mod allowance;
mod answer;
mod connect;
mod guard;
mod pool;
mod request;
pub mod signature;
mod trouble;
pub mod tunnel;

pub use guard::{Forbidden, Resolver, SystemResolver, Trust};

use crate::delivery::{Body, Claim, Outcome};
use crate::failpoint;
use crate::header;
use crate::remedy::{Remediable, Remedy};
use crate::webhook::{Callback, Webhook};
use answer::End;
use bytes::Bytes;
use guard::Guard;
use http::{HeaderMap, Method, Request};
use ipnet::IpNet;
use pool::{Pool, Target};
use request::Parts;
use rustls::pki_types::CertificateDer;
use signature::{KeyError, Signer};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What the `user-agent` header says.
pub const AGENT: &str = concat!("walhook/", env!("CARGO_PKG_VERSION"));

/// What may precede an answer's body, in bytes: its head, and any number of 1xx answers.
const HEAD_BYTES_MAX: u64 = 128 * 1024;

/// How much of an answer is read that is asked for beside the deliveries, in bytes.
const ASKED_BYTES_MAX: usize = 64 * 1024;

/// The headers of an attempt as they may be shown, without those that authenticate: the signature is masked.
pub fn shown_headers(webhook: &Webhook, claim: &Claim, now_us: i64) -> HeaderMap {
    request::shown_headers_of(claim, !webhook.signing_secrets.is_empty(), now_us)
}

/// How the transport works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The networks of `[dispatch] allow`: where webhooks that are not in the operator's file may go although
    /// they are private.
    pub allow: Vec<IpNet>,
    /// How long connecting may take; the webhook's timeout holds over it.
    pub connect_timeout: Duration,
    /// How long a connection that nobody uses is kept.
    pub idle_timeout: Duration,
    /// How many idle connections are kept for each host: as many as dispatch may use at once, for many webhooks may
    /// share one.
    pub idle_per_host_max: usize,
    /// How much of an answer is read, in bytes.
    pub answer_bytes_max: usize,
    /// After how long a silence an HTTP/2 connection is asked whether it lives, and how long it may take to say
    /// so. Other than in HTTP/1.1, a request that had no answer in time does not end its connection: without
    /// the question, all later ones would follow it into a connection that is dead.
    pub ping_interval: Duration,
    /// Authorities whose certificates are trusted, in addition to the system's.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow: Vec::new(),
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            idle_per_host_max: 1024,
            answer_bytes_max: 64 * 1024,
            ping_interval: Duration::from_secs(10),
            authorities: Vec::new(),
        }
    }
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// TLS cannot be set up.
    #[error("TLS cannot be set up for endpoints")]
    Tls(#[source] rustls::Error),
}

impl Remediable for Error {
    fn remedy(&self) -> Remedy {
        Remedy::CallOperator
    }

    fn hint(&self) -> Option<String> {
        Some("install the system's root certificates (Debian: apt-get install ca-certificates)".to_owned())
    }
}

/// Sends deliveries.
pub struct Transport {
    /// For the operator's webhooks.
    operators: (Pool, Guard),
    /// For others. They have connections of their own, so that they cannot use one that leads where they may
    /// not go.
    registered: (Pool, Guard),
    answer_bytes_max: usize,
}

/// A webhook made ready for requests.
pub struct Endpoint {
    /// Where requests go, or why they do not.
    target: Result<Target, String>,
    /// Further headers of each request.
    headers: HeaderMap,
    trust: Trust,
    signer: Signer,
    timeout: Duration,
}

impl Endpoint {
    /// Whether the last try to connect found nobody who let us in: refused, no answer, no such name, no address that
    /// the guard allows. Whoever lets us in and does not go on, be it with TLS or with an answer, is not shut.
    pub fn is_shut(&self) -> bool {
        self.target.as_ref().is_ok_and(Target::is_shut)
    }
}

impl Transport {
    /// A transport without any connection yet.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Self::resolving_by(settings, Arc::new(SystemResolver))
    }

    /// A transport that asks this resolver for the addresses of names.
    pub fn resolving_by(settings: &Settings, resolver: Arc<dyn Resolver>) -> Result<Self, Error> {
        let allow: Arc<[IpNet]> = settings.allow.clone().into();
        let pool = |trust| {
            let guard = Guard::new(trust, Arc::clone(&allow), Arc::clone(&resolver));
            Ok((Pool::new(settings, guard.clone())?, guard))
        };
        Ok(Self {
            operators: pool(Trust::Operator)?,
            registered: pool(Trust::Registered)?,
            answer_bytes_max: settings.answer_bytes_max,
        })
    }

    /// Makes a webhook ready. Fails if a signing secret cannot be used. A URL that the guard refuses is no
    /// error here: the attempts say so.
    pub fn prepare(&self, webhook: &Webhook, trust: Trust) -> Result<Endpoint, KeyError> {
        let callback = &webhook.callback;
        let target = self.target(callback, trust);
        let (target, headers) = match header::read_all(&callback.headers, &HeaderMap::new()) {
            Ok(headers) => (target, headers),
            Err(errors) => (Err(told(&errors)), HeaderMap::new()),
        };
        Ok(Endpoint {
            target,
            headers,
            trust,
            signer: Signer::new(&webhook.signing_secrets)?,
            timeout: webhook.sending.timeout,
        })
    }

    /// Makes an attempt: one POST, no redirects, no second try. `body` is the delivery's, or what signs it as a whole. `headers` are those of the body's format and those that
    /// authenticate,
    /// `now_us` the time of day in microseconds since 1970 UTC. Whatever the endpoint does is an outcome.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        claim: &Claim,
        body: &Body,
        headers: HeaderMap,
        now_us: i64,
    ) -> Outcome {
        let target = match &endpoint.target {
            Ok(target) => target,
            Err(reason) => return Outcome::Refused { reason: reason.clone() },
        };
        let deadline = Instant::now() + endpoint.timeout;
        let body_bytes = (body.head.len() + body.tail.len()) as u64;
        // what is on its way when a stream is left comes all the same; and a body wants windows of HTTP/2
        let answer_bytes = HEAD_BYTES_MAX + 2 * self.answer_bytes_max as u64 + body_bytes / 32;
        let mut request = Request::new(Parts::of(body));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = request::headers_of(claim, body, &endpoint.signer, now_us);
        // they may replace what we call ourselves, and those of this attempt replace them
        request.headers_mut().extend(endpoint.headers.clone());
        request.headers_mut().extend(headers);
        failpoint::reach("send.before");
        let (pool, _) = self.pool(endpoint.trust);
        let mut answer = match timeout_at(deadline, pool.send(target, request, answer_bytes)).await {
            Err(_) => return Outcome::TimedOut,
            Ok(Err(error)) => return trouble::outcome_of(&error),
            Ok(Ok(answer)) => answer,
        };
        failpoint::reach("send.answered");
        let (status, headers) = (answer.response.status().as_u16(), answer.response.headers());
        let retry_after = answer::retry_after(headers, now_us);
        let mut excerpt = Vec::new();
        let kept = answer::EXCERPT_BYTES_MAX;
        let reading = answer::read(answer.response.body_mut(), self.answer_bytes_max, kept, &mut excerpt);
        // whoever answers and then dawdles has answered
        if let Ok(End::Reached) = timeout_at(deadline, reading).await {
            pool.keep(target, answer);
        }
        failpoint::reach("send.after");
        Outcome::Answered { status, retry_after, excerpt: answer::text(&excerpt) }
    }

    /// Asks for something beside the deliveries, as for credentials: one POST of JSON to the callback's URL, by the same
    /// way and under the same guard. Gives the body of a good answer; anything else is an outcome.
    pub async fn ask(
        &self,
        callback: &Callback,
        trust: Trust,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Vec<u8>, Outcome> {
        let target = self.target(callback, trust).map_err(|reason| Outcome::Refused { reason })?;
        let deadline = Instant::now() + timeout;
        let mut request = Request::new(Parts::alone(body));
        *request.method_mut() = Method::POST;
        *request.headers_mut() = request::headers_of_question(request.body());
        let (pool, _) = self.pool(trust);
        let asked = pool.send(&target, request, HEAD_BYTES_MAX + 2 * ASKED_BYTES_MAX as u64);
        let mut answer = match timeout_at(deadline, asked).await {
            Err(_) => return Err(Outcome::TimedOut),
            Ok(Err(error)) => return Err(trouble::outcome_of(&error)),
            Ok(Ok(answer)) => answer,
        };
        let status = answer.response.status();
        let mut said = Vec::new();
        let reading = answer::read(answer.response.body_mut(), ASKED_BYTES_MAX, ASKED_BYTES_MAX, &mut said);
        match timeout_at(deadline, reading).await {
            Err(_) => return Err(Outcome::TimedOut),
            Ok(End::Reached) => pool.keep(&target, answer),
            Ok(End::Left) => {}
        }
        if status.is_success() {
            return Ok(said);
        }
        // what is said there may have secrets in it
        Err(Outcome::Answered { status: status.as_u16(), retry_after: None, excerpt: String::new() })
    }

    /// Knocks at an endpoint: whether it lets us in. Nothing is sent. The guard looks at it as it does when something
    /// is.
    pub async fn knock(&self, callback: &Callback, trust: Trust) -> bool {
        match self.target(callback, trust) {
            Ok(target) => self.pool(trust).0.knock(&target).await,
            Err(_) => false,
        }
    }

    fn target(&self, callback: &Callback, trust: Trust) -> Result<Target, String> {
        self.pool(trust).1.check_literal(&callback.url).map_err(|forbidden| forbidden.to_string())?;
        if let Some(proxy) = &callback.proxy {
            let guard = &self.pool(proxy.named_by.into()).1;
            guard
                .check_literal(&proxy.url)
                .map_err(|forbidden| format!("proxy {}: {forbidden}", proxy.place()))?;
        }
        Target::of(callback).map_err(|error| format!("could not make the request: {error}"))
    }

    fn pool(&self, trust: Trust) -> &(Pool, Guard) {
        match trust {
            Trust::Operator => &self.operators,
            Trust::Registered => &self.registered,
        }
    }
}

fn told(errors: &[header::Error]) -> String {
    let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
    format!("could not make the request: {}", errors.join("; "))
}
