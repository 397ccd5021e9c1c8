//! Sending deliveries over HTTP: client, address guard, signatures.

mod allowance;
mod answer;
mod connect;
mod guard;
mod request;
pub mod signature;
mod trouble;

pub use guard::{Forbidden, Resolver, SystemResolver, Trust};

use crate::delivery::{Claim, Outcome};
use crate::failpoint;
use crate::remedy::{Remediable, Remedy};
use crate::webhook::Webhook;
use allowance::{Allowance, Grant};
use connect::Connector;
use guard::Guard;
use http::{Extensions, HeaderMap, Method, Request, Response, Uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::{CaptureConnection, capture_connection};
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use ipnet::IpNet;
use request::Parts;
use rustls::pki_types::CertificateDer;
use signature::{KeyError, Signer};
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// What the `user-agent` header says.
pub const AGENT: &str = concat!("walhook/", env!("CARGO_PKG_VERSION"));

/// What may precede an answer's body, in bytes: its head, and any number of 1xx answers.
const HEAD_BYTES_MAX: u64 = 128 * 1024;

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
    operators: (Client<Connector, Parts>, Guard),
    /// For others. They have connections of their own, so that they cannot use one that leads where they may
    /// not go.
    registered: (Client<Connector, Parts>, Guard),
    answer_bytes_max: usize,
}

/// A webhook made ready for requests.
pub struct Endpoint {
    /// Where requests go, or why they do not.
    uri: Result<Uri, String>,
    trust: Trust,
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
            let client = client(settings, guard.clone())?;
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
        let url = &webhook.callback.url;
        let uri = match self.client(trust).1.check_literal(url) {
            Err(forbidden) => Err(forbidden.to_string()),
            Ok(()) => url.as_str().parse().map_err(|error| format!("could not make the request: {error}")),
        };
        Ok(Endpoint {
            uri,
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
        let uri = match &endpoint.uri {
            Ok(uri) => uri.clone(),
            Err(reason) => return Outcome::Refused { reason: reason.clone() },
        };
        let deadline = Instant::now() + endpoint.timeout;
        let body_bytes = (claim.body.head.len() + claim.body.tail.len()) as u64;
        let mut request = Request::new(Parts::of(&claim.body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        *request.headers_mut() = request::headers_of(claim, &endpoint.signer, now_us);
        request.headers_mut().extend(credentials);
        failpoint::reach("send.before");
        // a grant is kept until the answer has been read
        let mut grant = None;
        let sending = self.granted(endpoint.trust, request, body_bytes, &mut grant);
        let mut response = match timeout_at(deadline, sending).await {
            Err(_) => return Outcome::TimedOut,
            Ok(Err(error)) => return trouble::outcome_of(&error),
            Ok(Ok(response)) => response,
        };
        failpoint::reach("send.answered");
        let mut excerpt = Vec::new();
        let reading = answer::read(response.body_mut(), self.answer_bytes_max, &mut excerpt);
        // whoever answers and then dawdles has answered
        let _ = timeout_at(deadline, reading).await;
        failpoint::reach("send.after");
        Outcome::Answered {
            status: response.status().as_u16(),
            retry_after: answer::retry_after(response.headers(), now_us),
            excerpt: answer::text(&excerpt),
        }
    }

    /// Sends a request over a connection whose allowance it raises before an answer can come.
    async fn granted(
        &self,
        trust: Trust,
        mut request: Request<Parts>,
        body_bytes: u64,
        grant: &mut Option<Grant>,
    ) -> Result<Response<Incoming>, legacy::Error> {
        // what is on its way when a stream is left comes all the same; and a body wants windows of HTTP/2
        let answer_bytes = HEAD_BYTES_MAX + 2 * self.answer_bytes_max as u64 + body_bytes / 32;
        let connection = capture_connection(&mut request);
        let mut sending = pin!(self.client(trust).0.request(request));
        poll_fn(|context| {
            let polled = sending.as_mut().poll(context);
            // it takes another connection if one of the pool was closed meanwhile
            if let Some(allowance) = allowance_of(&connection)
                && !grant.as_ref().is_some_and(|grant| grant.is_of(&allowance))
            {
                *grant = Some(allowance.grant(answer_bytes));
            }
            polled
        })
        .await
    }

    fn client(&self, trust: Trust) -> &(Client<Connector, Parts>, Guard) {
        match trust {
            Trust::Operator => &self.operators,
            Trust::Registered => &self.registered,
        }
    }
}

fn allowance_of(connection: &CaptureConnection) -> Option<Arc<Allowance>> {
    let mut extensions = Extensions::new();
    connection.connection_metadata().as_ref()?.get_extras(&mut extensions);
    extensions.remove()
}

fn client(settings: &Settings, guard: Guard) -> Result<Client<Connector, Parts>, Error> {
    let mut builder = Client::builder(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(settings.idle_timeout)
        .pool_max_idle_per_host(settings.idle_per_host_max)
        // what an answer's stream may hold unread is what would be read of it
        .http2_initial_stream_window_size(
            u32::try_from(settings.answer_bytes_max).unwrap_or(u32::MAX).min(UNREAD_BYTES_MAX),
        )
        .http2_initial_connection_window_size(UNREAD_BYTES_MAX)
        .http2_keep_alive_interval(settings.ping_interval)
        .http2_keep_alive_timeout(settings.ping_interval)
        // a short timeout leaves a dead connection idle before it was asked
        .http2_keep_alive_while_idle(true);
    Ok(builder.build(Connector::new(settings, guard)?))
}
