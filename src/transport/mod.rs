//! Sending deliveries over HTTP: client, address guard, signatures.

mod answer;
mod guard;
pub mod signature;
mod trouble;

pub use guard::{Forbidden, Resolver, SystemResolver, Trust};

use crate::delivery::{Body, Claim, Outcome};
use crate::failpoint;
use crate::remedy::{Remediable, Remedy};
use crate::webhook::Webhook;
use bytes::Bytes;
use guard::Guard;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use reqwest::{Certificate, Client, Url};
use rustls::pki_types::CertificateDer;
use signature::{KeyError, Signer};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What the `user-agent` header says.
pub const AGENT: &str = concat!("walhook/", env!("CARGO_PKG_VERSION"));

const WEBHOOK_ID: HeaderName = HeaderName::from_static("webhook-id");
const WEBHOOK_TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const WEBHOOK_SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");
const WALHOOK_SEQUENCE: HeaderName = HeaderName::from_static("walhook-sequence");
const WALHOOK_ATTEMPT: HeaderName = HeaderName::from_static("walhook-attempt");
const WALHOOK_REPLAY: HeaderName = HeaderName::from_static("walhook-replay");

/// Up to this size, head and tail of a body are copied together: cheaper than two writes.
const JOINED_BODY_BYTES_MAX: usize = 64 * 1024;

/// How much the streams of one HTTP/2 connection may have sent that is not read yet, in bytes.
const UNREAD_BYTES_MAX: u32 = 1 << 20;

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
    /// How many idle connections are kept for each host.
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
            idle_per_host_max: 64,
            answer_bytes_max: 64 * 1024,
            ping_interval: Duration::from_secs(10),
            authorities: Vec::new(),
        }
    }
}

/// Why there is no transport.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The HTTP client could not be made.
    #[error("the HTTP client could not be made")]
    Client(#[source] reqwest::Error),
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
    operators: (Client, Guard),
    /// For others. They have connections of their own, so that they cannot use one that leads where they may
    /// not go.
    registered: (Client, Guard),
    answer_bytes_max: usize,
}

/// A webhook made ready for requests.
pub struct Endpoint {
    url: Url,
    trust: Trust,
    forbidden: Option<Forbidden>,
    signer: Signer,
    timeout: Duration,
}

impl Transport {
    /// A transport without any connection yet.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        Self::resolving_by(settings, Arc::new(SystemResolver))
    }

    /// A transport that asks this resolver for the addresses of names.
    pub fn resolving_by(settings: &Settings, resolver: Arc<dyn Resolver>) -> Result<Self, Error> {
        let allow: Arc<[IpNet]> = settings.allow.clone().into();
        let client = |trust| {
            let guard = Guard::new(trust, Arc::clone(&allow), Arc::clone(&resolver));
            let client = client(settings, guard.clone()).map_err(Error::Client)?;
            Ok((client, guard))
        };
        Ok(Self {
            operators: client(Trust::Operator)?,
            registered: client(Trust::Registered)?,
            answer_bytes_max: settings.answer_bytes_max,
        })
    }

    /// Makes a webhook ready. Fails if a signing secret cannot be used. A URL that the guard refuses is no
    /// error here: the attempts say so.
    pub fn prepare(&self, webhook: &Webhook, trust: Trust) -> Result<Endpoint, KeyError> {
        let url = webhook.callback.url.clone();
        Ok(Endpoint {
            forbidden: self.client(trust).1.check_literal(&url).err(),
            url,
            trust,
            signer: Signer::new(&webhook.signing_secrets)?,
            timeout: webhook.sending.timeout,
        })
    }

    /// Makes an attempt: one POST, no redirects, no second try. `credentials` are headers that authenticate,
    /// `now_us` the time of day in microseconds since 1970 UTC. Whatever the endpoint does is an outcome.
    pub async fn send(
        &self,
        endpoint: &Endpoint,
        claim: &Claim,
        credentials: HeaderMap,
        now_us: i64,
    ) -> Outcome {
        if let Some(forbidden) = &endpoint.forbidden {
            return Outcome::Refused { reason: forbidden.to_string() };
        }
        let mut headers = headers_of(claim, endpoint, now_us);
        headers.extend(credentials);
        let deadline = Instant::now() + endpoint.timeout;
        let request = self.client(endpoint.trust).0.post(endpoint.url.clone());
        let request = request.headers(headers).body(body_of(&claim.body));
        failpoint::reach("send.before");
        let mut response = match timeout_at(deadline, request.send()).await {
            Err(_) => return Outcome::TimedOut,
            Ok(Err(error)) => return trouble::outcome_of(&error),
            Ok(Ok(response)) => response,
        };
        failpoint::reach("send.answered");
        let mut excerpt = Vec::new();
        let reading = answer::read(&mut response, self.answer_bytes_max, &mut excerpt);
        // whoever answers and then dawdles has answered
        let _ = timeout_at(deadline, reading).await;
        failpoint::reach("send.after");
        Outcome::Answered {
            status: response.status().as_u16(),
            retry_after: answer::retry_after(response.headers(), now_us),
            excerpt: answer::text(&excerpt),
        }
    }

    fn client(&self, trust: Trust) -> &(Client, Guard) {
        match trust {
            Trust::Operator => &self.operators,
            Trust::Registered => &self.registered,
        }
    }
}

fn client(settings: &Settings, guard: Guard) -> reqwest::Result<Client> {
    let authorities = settings.authorities.iter().map(|authority| Certificate::from_der(authority));
    Client::builder()
        .tls_certs_merge(authorities.collect::<Result<Vec<_>, _>>()?)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        // a proxy would resolve names itself, behind the guard's back
        .no_proxy()
        .referer(false)
        .dns_resolver(guard)
        .connect_timeout(settings.connect_timeout)
        .pool_idle_timeout(settings.idle_timeout)
        .pool_max_idle_per_host(settings.idle_per_host_max)
        .tcp_nodelay(true)
        // what an answer's stream may hold unread is what would be read of it
        .http2_initial_stream_window_size(
            u32::try_from(settings.answer_bytes_max).unwrap_or(u32::MAX).min(UNREAD_BYTES_MAX),
        )
        .http2_initial_connection_window_size(UNREAD_BYTES_MAX)
        .http2_keep_alive_interval(settings.ping_interval)
        .http2_keep_alive_timeout(settings.ping_interval)
        // a short timeout leaves a dead connection idle before it was asked
        .http2_keep_alive_while_idle(true)
        .build()
}

fn headers_of(claim: &Claim, endpoint: &Endpoint, now_us: i64) -> HeaderMap {
    let timestamp = now_us.div_euclid(1_000_000);
    let mut headers = HeaderMap::with_capacity(12);
    let id = claim.id.to_string();
    headers.insert(WEBHOOK_ID, id.try_into().expect("letters, digits and an underscore"));
    headers.insert(WEBHOOK_TIMESTAMP, timestamp.into());
    if let Some(signature) = endpoint.signer.sign(claim.id, timestamp, &claim.body) {
        headers.insert(WEBHOOK_SIGNATURE, signature);
    }
    headers.insert(WALHOOK_SEQUENCE, claim.number.sequence.into());
    headers.insert(WALHOOK_ATTEMPT, claim.attempt.into());
    if claim.replay {
        headers.insert(WALHOOK_REPLAY, HeaderValue::from_static("1"));
    }
    let content_type = HeaderValue::try_from(claim.body.content_type.as_str());
    headers
        .insert(CONTENT_TYPE, content_type.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(USER_AGENT, HeaderValue::from_static(AGENT));
    headers.insert(CONTENT_LENGTH, (claim.body.head.len() + claim.body.tail.len()).into());
    headers
}

fn body_of(body: &Body) -> reqwest::Body {
    match (body.head.len(), body.tail.len()) {
        (0, _) => body.tail.clone().into(),
        (_, 0) => body.head.clone().into(),
        (head, tail) if head + tail <= JOINED_BODY_BYTES_MAX => {
            Bytes::from([&body.head[..], &body.tail[..]].concat()).into()
        }
        // the content-length header keeps HTTP/1.1 from sending it in chunks
        _ => {
            let parts = [body.head.clone(), body.tail.clone()].map(Ok::<_, std::io::Error>);
            reqwest::Body::wrap_stream(futures_util::stream::iter(parts))
        }
    }
}
