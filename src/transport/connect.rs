//! Connections to endpoints: the guard's addresses, TLS, and an allowance for each.

use super::allowance::{Allowance, Allowed};
use super::guard::{Guard, Trust};
use super::{Error, Settings, tunnel};
use crate::proxy::Proxy;
use crate::tls;
use crate::webhook::CallbackTls;
use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

/// Why there is no connection.
pub(super) type Refusal = Box<dyn StdError + Send + Sync>;

/// How long a connection is silent before the kernel asks whether the other side lives, how long it waits between
/// such questions, and how many it asks.
const KEEPALIVE: (Duration, u32) = (Duration::from_secs(15), 3);

/// How long the kernel waits for the other side to take what was sent, before it gives the connection up.
#[cfg(target_os = "linux")]
const UNTAKEN_TIME_MAX: Duration = Duration::from_secs(30);

/// How long a knock may wait to be let in, over all addresses of a name.
const KNOCK_TIME_MAX: Duration = Duration::from_millis(800);

/// To how many addresses of an endpoint a proxy is asked for a tunnel.
const PLACES_MAX: usize = 4;

/// How one gets to an endpoint.
#[derive(Clone, Debug)]
pub(super) struct Route {
    /// The whole URL.
    pub(super) to: Uri,
    /// Certificates of its own.
    pub(super) tls: Option<Arc<CallbackTls>>,
    /// What leads there, if not the network itself.
    pub(super) proxy: Option<Arc<Proxy>>,
}

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    guard: Guard,
    /// To endpoints.
    tcp: HttpConnector<Guard>,
    /// To proxies, by who named them.
    proxies: [(Trust, HttpConnector<Guard>); 2],
    tls: TlsConnector,
    /// The same without HTTP/2.
    proxy_tls: TlsConnector,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(settings: &Settings, guard: Guard) -> Result<Self, Error> {
        let mut tls = tls_config(settings).map_err(Error::Tls)?;
        let proxy_tls = TlsConnector::from(Arc::new(tls.clone()));
        tls.alpn_protocols = protocols();
        Ok(Self {
            tcp: tcp(guard.clone()),
            proxies: [Trust::Operator, Trust::Registered].map(|trust| (trust, tcp(guard.with(trust)))),
            guard,
            tls: TlsConnector::from(Arc::new(tls)),
            proxy_tls,
            timeout: settings.connect_timeout,
        })
    }

    /// Connects to where a route leads. `shut` tells whether the other side has not let us in: meanwhile, afterwards,
    /// and when this was dropped.
    pub(super) async fn connect(&self, route: &Route, shut: &AtomicBool) -> Result<Stream, Refusal> {
        shut.store(true, Ordering::Relaxed);
        let deadline = Instant::now() + self.timeout;
        let stream = match (timeout_at(deadline, self.open(route, None)).await, &route.proxy) {
            (Ok(opened), _) => {
                let is_shut = opened.as_ref().is_err_and(is_shut);
                shut.store(is_shut, Ordering::Relaxed);
                opened?
            }
            (Err(_), None) => return Err(io::Error::from(io::ErrorKind::TimedOut).into()),
            (Err(_), Some(proxy)) => return Err(silent(proxy, self.timeout).into()),
        };
        if route.to.scheme() != Some(&Scheme::HTTPS) {
            return Ok(stream);
        }
        let shaking_hands = async {
            let name = ServerName::try_from(host_of(&route.to))?.to_owned();
            let tls = match &route.tls {
                Some(own) => own_tls(Arc::clone(own)).await?,
                None => self.tls.clone(),
            };
            Ok(Stream::Tls(Box::new(tls.connect(name, stream).await?)))
        };
        let limited = timeout_at(deadline, shaking_hands).await;
        limited.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Whether the place where a route leads lets us in. The connection is closed at once, and nothing is sent to the
    /// endpoint. Only connecting is limited: a look for a name that was given up would go on in a thread of its own, and
    /// with one for every knock there would soon be no thread left.
    pub(super) async fn knock(&self, route: &Route) -> bool {
        let opened = self.open(route, Some(KNOCK_TIME_MAX)).await;
        !opened.is_err_and(|refusal| is_shut(&refusal))
    }

    /// Connects to an endpoint without a word to it; each step may take `limit`.
    async fn open(&self, route: &Route, limit: Option<Duration>) -> Result<Stream, Refusal> {
        let Some(proxy) = &route.proxy else { return connected(&self.tcp, &route.to, limit).await };
        let (host, port) = (route.to.host().unwrap_or_default(), port_of(&route.to));
        let places = if self.guard.leaves_names_to_proxies() {
            vec![format!("{host}:{port}")]
        } else {
            // the tunnel leads to the address that was judged; the name is said in TLS and in the request only
            let judged = self.guard.addresses(host).await?.into_iter().take(PLACES_MAX);
            judged.map(|address| SocketAddr::new(address, port).to_string()).collect()
        };
        let mut last = None;
        for place in places {
            match self.tunnel(proxy, &place, limit).await {
                Err(error) if error.is_of_endpoint() => last = Some(error),
                ended => return Ok(ended?),
            }
        }
        Err(last.map_or_else(|| io::Error::other("the name has no address").into(), Into::into))
    }

    /// Connects to a proxy, and through it to a place.
    async fn tunnel(
        &self,
        proxy: &Proxy,
        place: &str,
        limit: Option<Duration>,
    ) -> Result<Stream, tunnel::Error> {
        let unreachable = |source| tunnel::Error::Unreachable { proxy: proxy.place(), source };
        let trust = Trust::from(proxy.named_by);
        let (_, tcp) = &self.proxies[usize::from(self.proxies[0].0 != trust)];
        let address = Uri::try_from(proxy.url.as_str()).map_err(|error| unreachable(error.into()))?;
        let stream = connected(tcp, &address, limit).await.map_err(unreachable)?;
        let opening = async {
            let mut stream = stream;
            if address.scheme() == Some(&Scheme::HTTPS) {
                let name = ServerName::try_from(host_of(&address).to_owned());
                let name = name.map_err(|error| unreachable(error.into()))?;
                let secured = self.proxy_tls.connect(name, stream).await;
                stream = Stream::Tls(Box::new(secured.map_err(|error| unreachable(error.into()))?));
            }
            tunnel::open(&mut stream, proxy, place).await?;
            Ok(stream)
        };
        match limit {
            None => opening.await,
            Some(limit) => timeout(limit, opening).await.unwrap_or_else(|_| Err(silent(proxy, limit))),
        }
    }
}

fn tcp(guard: Guard) -> HttpConnector<Guard> {
    let mut tcp = HttpConnector::new_with_resolver(guard);
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_keepalive(Some(KEEPALIVE.0));
    tcp.set_keepalive_interval(Some(KEEPALIVE.0));
    tcp.set_keepalive_retries(Some(KEEPALIVE.1));
    #[cfg(target_os = "linux")]
    tcp.set_tcp_user_timeout(Some(UNTAKEN_TIME_MAX));
    tcp
}

async fn connected(tcp: &HttpConnector<Guard>, to: &Uri, limit: Option<Duration>) -> Result<Stream, Refusal> {
    let mut tcp = tcp.clone();
    if limit.is_some() {
        tcp.set_connect_timeout(limit);
    }
    let stream = tcp.call(to.clone()).await?.into_inner();
    Ok(Stream::Plain(Allowed::new(stream, Arc::new(Allowance::new()))))
}

/// Whether nobody let us in.
fn is_shut(refusal: &Refusal) -> bool {
    refusal.downcast_ref::<tunnel::Error>().is_none_or(tunnel::Error::is_shut)
}

fn silent(proxy: &Proxy, within: Duration) -> tunnel::Error {
    tunnel::Error::Silent { proxy: proxy.place(), within }
}

fn host_of(uri: &Uri) -> &str {
    uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
}

fn port_of(uri: &Uri) -> u16 {
    let own = if uri.scheme() == Some(&Scheme::HTTPS) { 443 } else { 80 };
    uri.port_u16().unwrap_or(own)
}

fn tls_config(settings: &Settings) -> Result<ClientConfig, rustls::Error> {
    let authorities = settings.authorities.iter().cloned();
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(authorities, tls::provider())?;
    Ok(ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// TLS with the certificates that an endpoint has of its own, as they stand in their files now.
async fn own_tls(own: Arc<CallbackTls>) -> Result<TlsConnector, Refusal> {
    let config = tokio::task::spawn_blocking(move || tls::endpoint_config(&own)).await??;
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = protocols();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn protocols() -> Vec<Vec<u8>> {
    vec![b"h2".to_vec(), b"http/1.1".to_vec()]
}

/// A connection to an endpoint, or to a proxy that leads there.
pub(super) enum Stream {
    /// As the network has it.
    Plain(Allowed<TcpStream>),
    /// With TLS, inside of what may have TLS itself.
    Tls(Box<TlsStream<Stream>>),
}

impl Stream {
    /// How much the other side may say.
    pub(super) fn allowance(&self) -> &Arc<Allowance> {
        match self {
            Self::Plain(allowed) => allowed.allowance(),
            Self::Tls(stream) => stream.get_ref().0.allowance(),
        }
    }

    /// Whether both sides agreed on HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        match self {
            Self::Plain(_) => false,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol() == Some(b"h2"),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(context, parts),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(context, parts),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}
