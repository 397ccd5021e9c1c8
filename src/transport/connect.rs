//! Connections to endpoints: the guard's addresses, TLS, and an allowance for each.

use super::allowance::{Allowance, Allowed};
use super::guard::Guard;
use super::{Error, Settings};
use crate::tls;
use futures_util::future::BoxFuture;
use http::Uri;
use http::uri::Scheme;
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use std::error::Error as StdError;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower_service::Service;

type Refusal = Box<dyn StdError + Send + Sync>;

/// How long a connection is silent before the kernel asks whether the other side lives, how long it waits between
/// such questions, and how many it asks.
const KEEPALIVE: (Duration, u32) = (Duration::from_secs(15), 3);

/// How long the kernel waits for the other side to take what was sent, before it gives the connection up.
#[cfg(target_os = "linux")]
const UNTAKEN_TIME_MAX: Duration = Duration::from_secs(30);

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
}

fn tls_config(settings: &Settings) -> Result<ClientConfig, rustls::Error> {
    let authorities = settings.authorities.iter().cloned();
    let verifier = rustls_platform_verifier::Verifier::new_with_extra_roots(authorities, tls::provider())?;
    let mut config = ClientConfig::builder_with_provider(tls::provider())
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Refusal;
    type Future = BoxFuture<'static, Result<Self::Response, Refusal>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Refusal>> {
        self.tcp.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let tcp = self.tcp.call(to.clone());
        let tls = (to.scheme() == Some(&Scheme::HTTPS)).then(|| self.tls.clone());
        let connecting = async move {
            let stream = Allowed::new(tcp.await?.into_inner(), Arc::new(Allowance::new()));
            let Some(tls) = tls else { return Ok(TokioIo::new(Stream::Plain(stream))) };
            let host = to.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
            let name = ServerName::try_from(host)?.to_owned();
            Ok(TokioIo::new(Stream::Tls(Box::new(tls.connect(name, stream).await?))))
        };
        let limited = tokio::time::timeout(self.timeout, connecting);
        Box::pin(async move { limited.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))? })
    }
}

/// A connection to an endpoint.
pub(super) enum Stream {
    /// For `http`.
    Plain(Allowed<TcpStream>),
    /// For `https`.
    Tls(Box<TlsStream<Allowed<TcpStream>>>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        let (allowed, is_http2) = match self {
            Self::Plain(allowed) => (allowed, false),
            Self::Tls(stream) => {
                let (allowed, session) = stream.get_ref();
                (allowed, session.alpn_protocol() == Some(b"h2"))
            }
        };
        let connected = Connected::new().extra(Arc::clone(allowed.allowance()));
        if is_http2 { connected.negotiated_h2() } else { connected }
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
