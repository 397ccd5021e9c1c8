//! Connections to endpoints: the guard's addresses, TLS, and an allowance for each.

use super::allowance::{Allowance, Allowed};
use super::guard::Guard;
use super::{Error, Settings};
use crate::tls;
use crate::webhook::CallbackTls;
use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
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

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    tcp: HttpConnector<Guard>,
    tls: TlsConnector,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(settings: &Settings, guard: Guard) -> Result<Self, Error> {
        let mut tcp = HttpConnector::new_with_resolver(guard);
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_keepalive(Some(KEEPALIVE.0));
        tcp.set_keepalive_interval(Some(KEEPALIVE.0));
        tcp.set_keepalive_retries(Some(KEEPALIVE.1));
        #[cfg(target_os = "linux")]
        tcp.set_tcp_user_timeout(Some(UNTAKEN_TIME_MAX));
        let tls = tls_config(settings).map_err(Error::Tls)?;
        Ok(Self { tcp, tls: TlsConnector::from(Arc::new(tls)), timeout: settings.connect_timeout })
    }

    /// Connects to where a URL leads. `shut` tells whether the other side has not let us in: meanwhile, afterwards,
    /// and when this was dropped.
    pub(super) async fn connect(
        &self,
        to: &Uri,
        own: Option<&Arc<CallbackTls>>,
        shut: &AtomicBool,
    ) -> Result<Stream, Refusal> {
        shut.store(true, Ordering::Relaxed);
        let connecting = async {
            let tcp = self.tcp.clone().call(to.clone()).await?.into_inner();
            shut.store(false, Ordering::Relaxed);
            let stream = Allowed::new(tcp, Arc::new(Allowance::new()));
            if to.scheme() != Some(&Scheme::HTTPS) {
                return Ok(Stream::Plain(stream));
            }
            let host = to.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
            let name = ServerName::try_from(host)?.to_owned();
            let tls = match own {
                Some(own) => own_tls(Arc::clone(own)).await?,
                None => self.tls.clone(),
            };
            Ok(Stream::Tls(Box::new(tls.connect(name, stream).await?)))
        };
        let limited = tokio::time::timeout(self.timeout, connecting).await;
        limited.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }

    /// Whether the place where a URL leads lets us in. The connection is closed at once, and nothing is sent. Only
    /// connecting is limited: a look for a name that was given up would go on in a thread of its own, and with one
    /// for every knock there would soon be no thread left.
    pub(super) async fn knock(&self, to: &Uri) -> bool {
        let mut tcp = self.tcp.clone();
        tcp.set_connect_timeout(Some(KNOCK_TIME_MAX));
        tcp.call(to.clone()).await.is_ok()
    }
}

fn tls_config(settings: &Settings) -> Result<ClientConfig, rustls::Error> {
    let authorities = settings.authorities.iter().cloned();
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(authorities, tls::provider())?;
    let mut config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = protocols();
    Ok(config)
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

/// A connection to an endpoint.
pub(super) enum Stream {
    /// For `http`.
    Plain(Allowed<TcpStream>),
    /// For `https`.
    Tls(Box<TlsStream<Allowed<TcpStream>>>),
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
