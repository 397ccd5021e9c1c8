//! Whether endpoints can be reached: a connection and its TLS handshake, no request.

use super::finding::{Finding, Mend, Severity};
use crate::tls;
use crate::webhook::CallbackTls;
use futures_util::StreamExt;
use rustls::pki_types::ServerName;
use rustls_platform_verifier::BuilderVerifierExt;
use std::error::Error as _;
use std::io;
use std::sync::Arc;
use std::time::Duration;
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
    /// The certificates that it has of its own.
    pub tls: Option<CallbackTls>,
}

/// TLS with the certificates that the operating system trusts.
pub fn platform_tls() -> Result<Arc<rustls::ClientConfig>, rustls::Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_platform_verifier()?
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Connects to each endpoint and hangs up. Each may take `timeout`; the findings come in the order given.
pub async fn probe(
    endpoints: Vec<Endpoint>,
    tls: Arc<rustls::ClientConfig>,
    timeout: Duration,
) -> Vec<Finding> {
    futures_util::stream::iter(endpoints)
        .map(|endpoint| {
            let tls = Arc::clone(&tls);
            async move {
                let tls = match endpoint.tls.as_ref().map(tls::endpoint_config).transpose() {
                    Ok(own) => own.unwrap_or(tls),
                    Err(error) => return unusable(&endpoint, &error),
                };
                let result = tokio::time::timeout(timeout, connect(&endpoint.url, tls)).await;
                judge(&endpoint, result.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())), timeout)
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

fn judge(endpoint: &Endpoint, result: io::Result<()>, timeout: Duration) -> Finding {
    let object = format!("webhook {:?}", endpoint.webhook);
    // a URL's path, query and user may be secrets
    let place = endpoint.url.origin().ascii_serialization();
    match result {
        Ok(()) => Finding::new(Severity::Ok, object, format!("{place} accepts connections")),
        Err(error) => {
            let why = if error.kind() == io::ErrorKind::TimedOut {
                format!("no connection within {} s", timeout.as_secs())
            } else {
                error.to_string()
            };
            Finding::new(Severity::Error, object, format!("{place} cannot be reached: {why}"))
                .mended_by(Mend::Key("[webhooks.callback] url: an address that answers from here".into()))
        }
    }
}

async fn connect(url: &Url, tls: Arc<rustls::ClientConfig>) -> io::Result<()> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidInput, what);
    let port = url.port_or_known_default().ok_or_else(|| invalid("the URL has no port"))?;
    let host = match url.host().ok_or_else(|| invalid("the URL has no host"))? {
        Host::Domain(name) => name.to_owned(),
        Host::Ipv4(address) => address.to_string(),
        Host::Ipv6(address) => address.to_string(),
    };
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    if url.scheme() == "https" {
        let name = ServerName::try_from(host).map_err(|_| invalid("the host is not a name for TLS"))?;
        TlsConnector::from(tls).connect(name, stream).await?;
    }
    Ok(())
}
