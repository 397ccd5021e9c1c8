//! Whether endpoints can be reached: a connection, by their proxy if they have one, and its TLS handshake; no request.

use super::finding::{Finding, Mend, Severity};
use crate::proxy::{self, Proxy};
use crate::tls;
use crate::transport::tunnel;
use crate::webhook::CallbackTls;
use futures_util::StreamExt;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use url::{Host, Url};

/// How many are tried at once.
const IN_FLIGHT_MAX: usize = 16;

/// A webhook's endpoint.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// The webhook's name.
    pub webhook: String,
    /// Its URL.
    pub url: Url,
    /// What leads there, if not the network itself.
    pub proxy: Option<Proxy>,
    /// The certificates that it has of its own.
    pub tls: Option<CallbackTls>,
}

/// TLS with the certificates that the operating system trusts.
pub fn platform_tls() -> Result<Arc<ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Connects to each endpoint and hangs up. Each may take `timeout`; the findings come in the order given.
pub async fn probe(endpoints: Vec<Endpoint>, tls: Arc<ClientConfig>, timeout: Duration) -> Vec<Finding> {
    futures_util::stream::iter(endpoints)
        .map(|endpoint| {
            let tls = Arc::clone(&tls);
            async move {
                let own = match endpoint.tls.as_ref().map(tls::endpoint_config).transpose() {
                    Ok(own) => own.unwrap_or_else(|| Arc::clone(&tls)),
                    Err(error) => return unusable(&endpoint, &error),
                };
                let result = tokio::time::timeout(timeout, connect(&endpoint, tls, own)).await;
                judge(&endpoint, result.unwrap_or(Err(Trouble::TooLate)), timeout)
            }
        })
        .buffered(IN_FLIGHT_MAX)
        .collect()
        .await
}

fn unusable(endpoint: &Endpoint, error: &tls::Error) -> Finding {
    let object = format!("webhook {:?}", endpoint.webhook);
    let why = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
    Finding::new(Severity::Error, object, format!("{error}{why}")).mended_by(Mend::Key(
        "[webhooks.callback.tls]: PEM files that walhook may read, and a key that nobody else may".into(),
    ))
}

/// Why an endpoint cannot be reached.
enum Trouble {
    TooLate,
    Endpoint(io::Error),
    Proxy(tunnel::Error),
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::TimedOut { Self::TooLate } else { Self::Endpoint(error) }
    }
}

fn judge(endpoint: &Endpoint, result: Result<(), Trouble>, timeout: Duration) -> Finding {
    let object = format!("webhook {:?}", endpoint.webhook);
    // a URL's path, query and user may be secrets
    let place = endpoint.url.origin().ascii_serialization();
    let by = endpoint.proxy.as_ref().map(|proxy| format!(" by proxy {}", proxy.place())).unwrap_or_default();
    let trouble = match result {
        Ok(()) => {
            return Finding::new(Severity::Ok, object, format!("{place} accepts connections{by}"));
        }
        Err(trouble) => trouble,
    };
    let of_url = "[webhooks.callback] url: an address that answers from here";
    let of_proxy = "[webhooks.callback] proxy, or [dispatch] proxy: one that leads there, with user and password if \
                    it asks for them";
    let (why, key) = match trouble {
        Trouble::TooLate => (format!("no connection within {} s{by}", timeout.as_secs()), of_url),
        Trouble::Endpoint(error) => (error.to_string(), of_url),
        Trouble::Proxy(error) => {
            let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
            (format!("{error}{cause}"), of_proxy)
        }
    };
    Finding::new(Severity::Error, object, format!("{place} cannot be reached: {why}"))
        .mended_by(Mend::Key(key.into()))
}

/// What is written and read, with however much TLS around it.
trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

async fn connect(endpoint: &Endpoint, tls: Arc<ClientConfig>, own: Arc<ClientConfig>) -> Result<(), Trouble> {
    let stream = match &endpoint.proxy {
        None => opened(&endpoint.url).await?,
        Some(proxy) => tunnelled(proxy, &endpoint.url, tls).await.map_err(Trouble::Proxy)?,
    };
    if endpoint.url.scheme() == "https" {
        secured(stream, &endpoint.url, own).await?;
    }
    Ok(())
}

async fn tunnelled(proxy: &Proxy, to: &Url, tls: Arc<ClientConfig>) -> Result<Box<dyn Wire>, tunnel::Error> {
    let unreachable =
        |error: io::Error| tunnel::Error::Unreachable { proxy: proxy.place(), source: error.into() };
    let mut stream = opened(&proxy.url).await.map_err(unreachable)?;
    if proxy.url.scheme() == "https" {
        stream = secured(stream, &proxy.url, tls).await.map_err(unreachable)?;
    }
    tunnel::open(&mut stream, proxy, &proxy::authority(to)).await?;
    Ok(stream)
}

async fn opened(url: &Url) -> io::Result<Box<dyn Wire>> {
    let port = url.port_or_known_default().ok_or_else(|| invalid("the URL has no port"))?;
    Ok(Box::new(TcpStream::connect((host(url)?.as_str(), port)).await?))
}

async fn secured(stream: Box<dyn Wire>, url: &Url, tls: Arc<ClientConfig>) -> io::Result<Box<dyn Wire>> {
    let name = ServerName::try_from(host(url)?).map_err(|_| invalid("the host is not a name for TLS"))?;
    Ok(Box::new(TlsConnector::from(tls).connect(name, stream).await?))
}

fn host(url: &Url) -> io::Result<String> {
    Ok(match url.host().ok_or_else(|| invalid("the URL has no host"))? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    })
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, what)
}
