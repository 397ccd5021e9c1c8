//! Tunnels through proxies: CONNECT (RFC 9110 §9.3.6).
//!
//! Requests to http endpoints go through a tunnel as well, rather than to the proxy with the whole URL in their first
//! line: the proxy's credentials stand in the CONNECT alone, never beside what is delivered; there is one kind of
//! connection to keep and to share; and where the guard has judged an address, a tunnel can be asked for exactly that
//! address, while a proxy that gets a URL looks for the name itself. The price: a proxy must allow CONNECT to the port
//! of an http endpoint, too.

use crate::proxy::Proxy;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use std::error::Error as StdError;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// A longer answer to CONNECT is none.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Why there is no tunnel. All of it is of the proxy: the endpoint has not been spoken to.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no connection to the proxy.
    #[error("proxy {proxy} cannot be reached")]
    Unreachable {
        /// Host and port of the proxy.
        proxy: String,
        /// Why.
        #[source]
        source: Box<dyn StdError + Send + Sync>,
    },
    /// It took too long.
    #[error("proxy {proxy} opened no tunnel within {} ms", within.as_millis())]
    Silent {
        /// Host and port of the proxy.
        proxy: String,
        /// What was waited for.
        within: Duration,
    },
    /// The proxy says no.
    #[error("proxy {proxy} refused the tunnel: {}", of_status(*status))]
    Refused {
        /// Host and port of the proxy.
        proxy: String,
        /// Its HTTP status.
        status: u16,
    },
    /// The proxy says something else.
    #[error("proxy {proxy} {what}")]
    Nonsense {
        /// Host and port of the proxy.
        proxy: String,
        /// What it did.
        what: &'static str,
    },
    /// The connection to the proxy broke.
    #[error("proxy {proxy} hung up")]
    Broken {
        /// Host and port of the proxy.
        proxy: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// Whether the proxy, or the endpoint behind it, lets nobody in: it makes sense to knock. Who refuses for another
    /// reason, as for a wrong password, is not asked again and again.
    pub fn is_shut(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } => true,
            Self::Refused { .. } => self.is_of_endpoint(),
            Self::Nonsense { .. } | Self::Broken { .. } => false,
        }
    }

    /// Whether the proxy says that it could not get further: another address of the endpoint may be a better one.
    pub(super) fn is_of_endpoint(&self) -> bool {
        matches!(self, Self::Refused { status: 502..=504, .. })
    }
}

fn of_status(status: u16) -> String {
    let reason = StatusCode::from_u16(status).ok().and_then(|code| code.canonical_reason());
    reason.map_or_else(|| status.to_string(), |reason| format!("{status} {reason}"))
}

/// Asks a proxy, to which there is a connection, for a tunnel to a place: host and port. Afterwards the connection leads
/// there.
pub async fn open<S>(stream: &mut S, proxy: &Proxy, place: &str) -> Result<(), Error>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let broken = |source| Error::Broken { proxy: proxy.place(), source };
    let nonsense = |what| Err(Error::Nonsense { proxy: proxy.place(), what });
    let mut request =
        format!("CONNECT {place} HTTP/1.1\r\nhost: {place}\r\nuser-agent: {}\r\n", super::AGENT);
    if let Some((user, password)) = &proxy.credentials {
        let credentials = STANDARD.encode(format!("{user}:{}", password.expose()));
        request.push_str(&format!("proxy-authorization: Basic {credentials}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut answer = Vec::with_capacity(1024);
    let end = loop {
        if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if answer.len() >= ANSWER_BYTES_MAX {
            return nonsense("answers CONNECT without end");
        }
        if stream.read_buf(&mut answer).await.map_err(broken)? == 0 {
            return Err(broken(io::ErrorKind::UnexpectedEof.into()));
        }
    };
    match status_of(&answer) {
        None => nonsense("does not speak HTTP"),
        // through a tunnel nobody speaks unasked: it would be taken for what the endpoint says
        Some(200..=299) if answer.len() > end => nonsense("says more than that the tunnel is open"),
        Some(200..=299) => Ok(()),
        Some(status) => Err(Error::Refused { proxy: proxy.place(), status }),
    }
}

/// The status in `HTTP/1.1 200 Connection established`.
fn status_of(answer: &[u8]) -> Option<u16> {
    let rest = answer.strip_prefix(b"HTTP/1.")?;
    let (digits, after) =
        rest.strip_prefix(b"0 ").or_else(|| rest.strip_prefix(b"1 "))?.split_at_checked(3)?;
    let ends = after.starts_with(b" ") || after.starts_with(b"\r");
    let is_status = ends && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_status)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::Origin;

    /// What becomes of an answer to CONNECT.
    async fn judged(answer: &[u8]) -> String {
        let proxy = Proxy::parse("http://u:geheim@proxy.example:3128", Origin::File).unwrap();
        let (mut ours, mut theirs) = tokio::io::duplex(64 * 1024);
        theirs.write_all(answer).await.unwrap();
        theirs.shutdown().await.unwrap();
        let judged = match open(&mut ours, &proxy, "receiver.example:443").await {
            Ok(()) => "open".to_owned(),
            Err(error) => error.to_string(),
        };
        drop(ours);
        let mut asked = String::new();
        theirs.read_to_string(&mut asked).await.unwrap();
        assert!(asked.starts_with("CONNECT receiver.example:443 HTTP/1.1\r\nhost: receiver.example:443\r\n"));
        assert!(
            asked.contains("\r\nproxy-authorization: Basic dTpnZWhlaW0=\r\n") && asked.ends_with("\r\n\r\n")
        );
        judged
    }

    #[tokio::test]
    async fn every_answer_to_connect_is_judged() {
        for answer in ["HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\n", "HTTP/1.0 204\r\n\r\n"] {
            assert_eq!(judged(answer.as_bytes()).await, "open");
        }
        for (answer, expected) in [
            ("HTTP/1.1 407 Who\r\n\r\nare you", "refused the tunnel: 407 Proxy Authentication Required"),
            ("HTTP/1.1 599 x\r\n\r\n", "refused the tunnel: 599"),
            ("HTTP/1.1 100 Continue\r\n\r\n", "refused the tunnel: 100 Continue"),
            ("HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 200 OK", "says more than that the tunnel is open"),
            ("HTTP/2 200 OK\r\n\r\n", "does not speak HTTP"),
            ("HTTP/1.1 2000 OK\r\n\r\n", "does not speak HTTP"),
            ("HTTP/1.1 +20 OK\r\n\r\n", "does not speak HTTP"),
            ("SSH-2.0-OpenSSH\r\n\r\n", "does not speak HTTP"),
            ("HTTP/1.1 200 OK\r\n", "hung up"),
            ("", "hung up"),
        ] {
            assert_eq!(judged(answer.as_bytes()).await, format!("proxy proxy.example:3128 {expected}"));
        }
        let endless = format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(20_000));
        let expected = "proxy proxy.example:3128 answers CONNECT without end";
        assert_eq!(judged(endless.as_bytes()).await, expected);
    }
}
