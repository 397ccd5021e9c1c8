//! Connections to endpoints, kept for the next request.
//!
//! HTTP/1.1 carries one request at a time: a connection belongs to who sends, and comes back when the answer has been
//! read. HTTP/2 carries many: one connection to each origin is shared. What an endpoint closes while nobody uses it
//! is noticed when it is taken again, and another one is used; no byte of the request has been written then.

use super::allowance::{Allowance, Grant};
use super::connect::{Connector, Refusal, Route};
use super::guard::Guard;
use super::request::Parts;
use super::{Error, Settings};
use crate::proxy::Proxy;
use crate::webhook::{Callback, CallbackTls, Origin, Pem};
use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use foldhash::HashMap;
use futures_util::future::{self, FutureExt};
use http::header::HOST;
use http::uri::{Authority, InvalidUri, PathAndQuery, Scheme};
use http::{HeaderValue, Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::error::Error as StdError;
use std::fmt::{self, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How much the streams of one HTTP/2 connection may have sent that is not read yet, in bytes.
const UNREAD_BYTES_MAX: u32 = 1 << 20;

/// Why a request has no answer.
#[derive(Debug)]
pub(super) enum Broken {
    /// There is no connection.
    Connecting(Refusal),
    /// It broke, which all requests on it are told.
    Sending(Arc<hyper::Error>),
}

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connecting(_) => "could not connect",
            Self::Sending(_) => "connection broke",
        })
    }
}

// by hand, for a cause behind an `Arc` could not be told from its own causes
impl StdError for Broken {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Self::Connecting(refusal) => Some(&**refusal),
            Self::Sending(error) => Some(&**error),
        }
    }
}

/// Why a connection has ended, once it has: nothing if it ended as it should.
type Ended = future::Shared<oneshot::Receiver<Arc<hyper::Error>>>;

/// Where requests go.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// How one gets there; its URL is for HTTP/2.
    route: Route,
    /// Path and query, for HTTP/1.1.
    path: Uri,
    host: HeaderValue,
    /// Scheme, host, port, certificates and proxy: who shares connections.
    origin: Arc<str>,
    /// Whether nothing let us in when it was tried last.
    shut: Arc<AtomicBool>,
}

impl Target {
    /// Where a callback leads.
    pub(super) fn of(callback: &Callback) -> Result<Self, InvalidUri> {
        let (url, tls, proxy) = (&callback.url, callback.tls.as_ref(), callback.proxy.as_ref());
        let whole: Uri = url.as_str().parse()?;
        let path = whole.path_and_query().map_or("/", PathAndQuery::as_str);
        let authority = whole.authority().map_or("", Authority::as_str);
        // who has a name in the URL does not want it sent to everybody who may see the host
        let host = authority.rsplit('@').next().unwrap_or_default();
        let origin = format!("{}://{host}", whole.scheme().unwrap_or(&Scheme::HTTP));
        let mut shared = origin.clone();
        // who shows another certificate, trusts others, or goes another way has connections of its own
        if tls.is_some() || proxy.is_some() {
            let _ = write!(shared, " {}", fingerprint(tls, proxy));
        }
        Ok(Self {
            route: Route {
                to: format!("{origin}{path}").parse()?,
                tls: tls.cloned().map(Arc::new),
                proxy: proxy.cloned().map(Arc::new),
            },
            path: path.parse()?,
            host: HeaderValue::try_from(host).unwrap_or(HeaderValue::from_static("")),
            origin: shared.into(),
            shut: Arc::default(),
        })
    }

    /// Whether nothing let us in when it was tried last.
    pub(super) fn is_shut(&self) -> bool {
        self.shut.load(Ordering::Relaxed)
    }
}

/// What tells ways to the same place from each other. It is looked up for every request, and neither key nor password
/// has a place in what is looked up.
fn fingerprint(tls: Option<&CallbackTls>, proxy: Option<&Proxy>) -> String {
    let mut context = digest::Context::new(&digest::SHA256);
    let mut take = |kind: u8, bytes: &[u8]| {
        context.update(&[kind]);
        context.update(&bytes.len().to_be_bytes());
        context.update(bytes);
    };
    let client = tls.and_then(|tls| tls.client.as_ref());
    take(0, &[u8::from(tls.is_some())]);
    let authorities = tls.and_then(|tls| tls.authorities.as_ref());
    for pem in [authorities, client.map(|(certificate, _)| certificate), client.map(|(_, key)| key)] {
        match pem {
            None => take(0, &[]),
            Some(Pem::File(path)) => take(1, path.as_os_str().as_encoded_bytes()),
            Some(Pem::Text(text)) => take(2, text.expose().as_bytes()),
        }
    }
    if let Some(Proxy { url, credentials, named_by }) = proxy {
        // the guard lets the operator's go where it may keep others from
        take(u8::from(*named_by == Origin::File), url.as_str().as_bytes());
        if let Some((user, password)) = credentials {
            take(0, user.as_bytes());
            take(0, password.expose().as_bytes());
        }
    }
    STANDARD.encode(context.finish())
}

/// Connections that share rules about where they may lead.
pub(super) struct Pool(Arc<Shared>);

struct Shared {
    connector: Connector,
    http2: http2::Builder<TokioExecutor>,
    idle_timeout: Duration,
    idle_per_host_max: usize,
    origins: Mutex<Origins>,
}

#[derive(Default)]
struct Origins {
    kept: HashMap<Arc<str>, Kept>,
    /// Who reads and writes each connection, and who looks for idle ones: they end with the pool.
    tasks: JoinSet<()>,
    /// Whether a task looks for those that are idle for too long.
    is_swept: bool,
}

/// What is kept of an origin, each with when it was used last.
#[derive(Default)]
struct Kept {
    /// The one used last at the end.
    idle: Vec<(Http1, Instant)>,
    shared: Option<(Http2, Instant)>,
}

struct Http1 {
    sender: http1::SendRequest<Parts>,
    allowance: Arc<Allowance>,
    ended: Ended,
}

#[derive(Clone)]
struct Http2 {
    sender: http2::SendRequest<Parts>,
    allowance: Arc<Allowance>,
    ended: Ended,
}

enum Connection {
    Http1(Http1),
    Http2(Http2),
}

/// An answer whose body can be read.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    /// What the connection may bring until the body has been read.
    _grant: Grant,
    connection: Option<Http1>,
}

impl Pool {
    /// A pool without any connection yet.
    pub(super) fn new(settings: &Settings, guard: Guard) -> Result<Self, Error> {
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            // what an answer's stream may hold unread is what would be read of it
            .initial_stream_window_size(
                u32::try_from(settings.answer_bytes_max).unwrap_or(u32::MAX).min(UNREAD_BYTES_MAX),
            )
            .initial_connection_window_size(UNREAD_BYTES_MAX)
            .keep_alive_interval(settings.ping_interval)
            .keep_alive_timeout(settings.ping_interval)
            // a short timeout leaves a dead connection idle before it was asked
            .keep_alive_while_idle(true);
        Ok(Self(Arc::new(Shared {
            connector: Connector::new(settings, guard)?,
            http2,
            idle_timeout: settings.idle_timeout,
            idle_per_host_max: settings.idle_per_host_max,
            origins: Mutex::default(),
        })))
    }

    /// Sends a request; its answer may bring so many bytes. May be dropped: its connection is closed then, or its
    /// stream reset.
    pub(super) async fn send(
        &self,
        target: &Target,
        mut request: Request<Parts>,
        answer_bytes: u64,
    ) -> Result<Answer, Broken> {
        loop {
            let kept = self.0.take(target);
            let is_kept = kept.is_some();
            let mut connection = match kept {
                Some(connection) => {
                    target.shut.store(false, Ordering::Relaxed);
                    connection
                }
                // rare, and large: apart, so that what every request carries along is small
                None => Box::pin(self.0.connect(target)).await?,
            };
            // before an answer can come
            let grant = connection.allowance().grant(answer_bytes);
            match connection.send(target, request).await {
                Ok(response) => {
                    let connection = connection.alone();
                    return Ok(Answer { response, _grant: grant, connection });
                }
                Err(mut error) => match error.take_message() {
                    // it was closed since it was used last
                    Some(untouched) if is_kept => {
                        request = untouched;
                        self.0.forget(target, &connection);
                    }
                    _ => return Err(Broken::Sending(connection.cause(error.into_error()).await)),
                },
            }
        }
    }

    /// Whether a connection can be made; it is closed at once.
    pub(super) async fn knock(&self, target: &Target) -> bool {
        self.0.connector.knock(&target.route).await
    }

    /// Takes the connection of an answer that has been read to its end, for the next request.
    pub(super) fn keep(&self, target: &Target, answer: Answer) {
        if let Some(connection) = answer.connection {
            self.0.put_back(target, connection);
        }
    }
}

impl Connection {
    fn allowance(&self) -> &Arc<Allowance> {
        match self {
            Self::Http1(connection) => &connection.allowance,
            Self::Http2(connection) => &connection.allowance,
        }
    }

    /// The connection, if it carries one request at a time.
    fn alone(self) -> Option<Http1> {
        match self {
            Self::Http1(connection) => Some(connection),
            Self::Http2(_) => None,
        }
    }

    /// Why the connection broke: a request that it had not begun to write is told only that it was not.
    async fn cause(self, error: hyper::Error) -> Arc<hyper::Error> {
        let (Self::Http1(Http1 { ended, .. }) | Self::Http2(Http2 { ended, .. })) = self;
        let error = Arc::new(error);
        if error.is_canceled() { ended.await.unwrap_or(error) } else { error }
    }

    async fn send(
        &mut self,
        target: &Target,
        mut request: Request<Parts>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Parts>>> {
        match self {
            Self::Http1(Http1 { sender, .. }) => {
                *request.uri_mut() = target.path.clone();
                request.headers_mut().insert(HOST, target.host.clone());
                // who is not ready any more says so when it is asked to send, and gives the request back
                let _ = sender.ready().await;
                sender.try_send_request(request).await
            }
            Self::Http2(Http2 { sender, .. }) => {
                *request.uri_mut() = target.route.to.clone();
                request.headers_mut().remove(HOST);
                sender.try_send_request(request).await
            }
        }
    }
}

impl Shared {
    fn origins(&self) -> MutexGuard<'_, Origins> {
        // nothing here can be left half done
        self.origins.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A kept connection, if there is one that the endpoint has not closed.
    fn take(&self, target: &Target) -> Option<Connection> {
        let mut origins = self.origins();
        let kept = origins.kept.get_mut(&target.origin)?;
        if let Some((connection, used_at)) = &mut kept.shared {
            if !connection.sender.is_closed() {
                *used_at = Instant::now();
                return Some(Connection::Http2(connection.clone()));
            }
            kept.shared = None;
        }
        while let Some((connection, _)) = kept.idle.pop() {
            if !connection.sender.is_closed() {
                return Some(Connection::Http1(connection));
            }
        }
        None
    }

    async fn connect(self: &Arc<Self>, target: &Target) -> Result<Connection, Broken> {
        let connecting = self.connector.connect(&target.route, &target.shut);
        let stream = connecting.await.map_err(Broken::Connecting)?;
        let allowance = Arc::clone(stream.allowance());
        let refused = |error: hyper::Error| Broken::Connecting(error.into());
        if stream.is_http2() {
            let connection = self.greet(stream, allowance).await.map_err(refused)?;
            return Ok(Connection::Http2(self.share(target, connection)));
        }
        let (sender, driver) = http1::handshake(TokioIo::new(stream)).await.map_err(refused)?;
        Ok(Connection::Http1(Http1 { sender, allowance, ended: self.drive(driver) }))
    }

    /// Speaks HTTP/2 from now on.
    async fn greet(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        allowance: Arc<Allowance>,
    ) -> hyper::Result<Http2> {
        let (sender, driver) = self.http2.handshake(TokioIo::new(stream)).await?;
        Ok(Http2 { sender, allowance, ended: self.drive(driver) })
    }

    /// Lets a connection read and write until it ends.
    fn drive(&self, driver: impl Future<Output = hyper::Result<()>> + Send + 'static) -> Ended {
        let (sender, ended) = oneshot::channel();
        let tasks = &mut self.origins().tasks;
        // those that have ended by now are not kept
        while tasks.try_join_next().is_some() {}
        tasks.spawn(async move {
            if let Err(error) = driver.await {
                // most connections end when nobody waits for anything
                drop(sender.send(Arc::new(error)));
            }
        });
        ended.shared()
    }

    /// Shares a connection with all who send there, unless they share another one meanwhile.
    fn share(self: &Arc<Self>, target: &Target, connection: Http2) -> Http2 {
        let mut origins = self.origins();
        self.sweep_later(&mut origins);
        let kept = origins.kept.entry(Arc::clone(&target.origin)).or_default();
        match &mut kept.shared {
            Some((shared, used_at)) if !shared.sender.is_closed() => {
                *used_at = Instant::now();
                shared.clone()
            }
            shared => shared.insert((connection, Instant::now())).0.clone(),
        }
    }

    fn put_back(self: &Arc<Self>, target: &Target, connection: Http1) {
        if connection.sender.is_closed() {
            return;
        }
        let mut origins = self.origins();
        self.sweep_later(&mut origins);
        let idle = &mut origins.kept.entry(Arc::clone(&target.origin)).or_default().idle;
        if idle.len() < self.idle_per_host_max {
            idle.push((connection, Instant::now()));
        }
    }

    /// Does not share a connection any more on which a request could not be sent.
    fn forget(&self, target: &Target, connection: &Connection) {
        let Connection::Http2(connection) = connection else { return };
        if let Some(kept) = self.origins().kept.get_mut(&target.origin) {
            kept.shared.take_if(|(shared, _)| Arc::ptr_eq(&shared.allowance, &connection.allowance));
        }
    }

    fn sweep_later(self: &Arc<Self>, origins: &mut Origins) {
        if !origins.is_swept {
            origins.is_swept = true;
            origins.tasks.spawn(sweep(Arc::downgrade(self), self.idle_timeout));
        }
    }

    /// Closes what nobody has used for long. Returns whether anything is left.
    fn close_idle(&self) -> bool {
        let mut origins = self.origins();
        let is_young = |used_at: &Instant| used_at.elapsed() < self.idle_timeout;
        origins.kept.retain(|_, kept| {
            kept.idle.retain(|(_, used_at)| is_young(used_at));
            // a request that is under way keeps its connection all the same
            kept.shared.take_if(|(_, used_at)| !is_young(used_at));
            !kept.idle.is_empty() || kept.shared.is_some()
        });
        origins.is_swept = !origins.kept.is_empty();
        origins.is_swept
    }
}

/// Looks for idle connections again and again, as long as any is kept.
async fn sweep(pool: Weak<Shared>, idle_timeout: Duration) {
    loop {
        tokio::time::sleep(idle_timeout / 4).await;
        if !pool.upgrade().is_some_and(|pool| pool.close_idle()) {
            break;
        }
    }
}

#[cfg(test)]
#[path = "pool_tests.rs"]
mod tests;
