//! The bytes between us and a server: TCP or a Unix socket, with TLS where the address asks for it.

use super::Error;
use super::address::{Address, Host, Place, SslMode};
use crate::tls::{self, Check, Roots};
use rustls::pki_types::ServerName;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream};
use tokio_postgres::tls::{ChannelBinding, TlsStream};
use tokio_rustls::TlsConnector;

/// A connection's bytes.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: Stream,
    /// For SCRAM-SHA-256-PLUS: the hash of the server's certificate.
    pub(super) end_point: Option<Vec<u8>>,
    opening: Option<Opening>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<tokio_rustls::client::TlsStream<TcpStream>>),
}

/// Which of the two ways to take in `sslmode=allow` and `prefer`, which have a second one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Plain,
    Tls,
}

/// The ways to try for a host, in order: another one is tried if the server refuses the first.
pub(super) fn ways(host: &Host, mode: SslMode) -> &'static [Way] {
    match (&host.place, mode) {
        (Place::Unix(_), _) | (_, SslMode::Disable) => &[Way::Plain],
        (_, SslMode::Allow) => &[Way::Plain, Way::Tls],
        (_, SslMode::Prefer) => &[Way::Tls, Way::Plain],
        (_, SslMode::Require | SslMode::VerifyCa | SslMode::VerifyFull) => &[Way::Tls],
    }
}

/// Opens a wire to a host. `None` where TLS was asked for, the server has none and the mode is content with
/// the other way.
pub(super) async fn dial(address: &Address, host: &Host, way: Way) -> Result<Option<Wire>, Error> {
    let unreachable = |source| Error::Unreachable { host: host.to_string(), source };
    let mut tcp = match &host.place {
        Place::Unix(folder) => {
            let stream = UnixStream::connect(host.socket_path(folder)).await.map_err(unreachable)?;
            return Ok(Some(Wire::new(Stream::Unix(stream), None, true)));
        }
        Place::Tcp(name) => open_tcp(address, host, name).await.map_err(unreachable)?,
    };
    let is_local = tcp.peer_addr().is_ok_and(|peer| peer.ip().is_loopback());
    if way == Way::Plain {
        return Ok(Some(Wire::new(Stream::Tcp(tcp), None, is_local)));
    }
    // SSLRequest; the answer is one byte, and nothing may be read beyond it before the handshake
    let mut request = bytes::BytesMut::new();
    postgres_protocol::message::frontend::ssl_request(&mut request);
    tcp.write_all(&request).await.map_err(unreachable)?;
    match tcp.read_u8().await.map_err(unreachable)? {
        b'S' => {}
        b'N' if address.tls.mode <= SslMode::Prefer => return Ok(None),
        b'N' => return Err(Error::NoTls { host: host.to_string() }),
        _ => {
            return Err(unreachable(io::Error::other(
                "the answer to the request for TLS is not PostgreSQL's",
            )));
        }
    }
    handshake(address, host, tcp).await.map(Some)
}

async fn handshake(address: &Address, host: &Host, tcp: TcpStream) -> Result<Wire, Error> {
    let failed = |source| Error::Tls { host: host.to_string(), source };
    let settings = &address.tls;
    let check = match (settings.mode, &settings.roots) {
        (SslMode::VerifyFull, Some(roots)) => Check::AuthorityAndName(roots.clone()),
        // a file of authorities makes `require` check them, as libpq does for the sake of old set-ups
        (SslMode::VerifyCa | SslMode::Require, Some(Roots::File(path))) => Check::Authority(path.clone()),
        (SslMode::VerifyCa | SslMode::VerifyFull, _) => {
            return Err(Error::Address("no trusted authorities are named (sslrootcert)".to_owned()));
        }
        _ => Check::Nothing,
    };
    let client = settings.client.as_ref().map(|(certificate, key)| (certificate.as_path(), key.as_path()));
    let config = tls::client_config(&check, client)
        .map_err(|source| Error::TlsSetup { host: host.to_string(), source })?;
    let name = match &host.place {
        Place::Tcp(name) => name.clone(),
        Place::Unix(_) => "localhost".to_owned(),
    };
    let name = ServerName::try_from(name).map_err(|error| failed(io::Error::other(error)))?;
    let stream = TlsConnector::from(config).connect(name, tcp).await.map_err(failed)?;
    let certificate = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let end_point = certificate.and_then(|certificate| tls::server_end_point(certificate));
    Ok(Wire::new(Stream::Tls(Box::new(stream)), end_point, true))
}

/// Tries all addresses of a name, as libpq does.
async fn open_tcp(address: &Address, host: &Host, name: &str) -> io::Result<TcpStream> {
    let places: Vec<SocketAddr> = match host.hostaddr.or_else(|| name.parse::<IpAddr>().ok()) {
        Some(ip) => vec![SocketAddr::new(ip, host.port)],
        None => tokio::net::lookup_host((name, host.port)).await?.collect(),
    };
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for place in places {
        let socket = if place.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        socket.set_keepalive(address.keepalives)?;
        match socket.connect(place).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Err(error) => last = error,
        }
    }
    Err(last)
}

impl Wire {
    fn new(stream: Stream, end_point: Option<Vec<u8>>, is_private: bool) -> Self {
        Self { stream, end_point, opening: (!is_private).then(Opening::default) }
    }

    /// Whether others could listen: neither TLS nor a way that stays on this machine.
    pub(super) fn is_encrypted(&self) -> bool {
        matches!(self.stream, Stream::Tls(_))
    }
}

/// Watches the server's first message on a wire that others can listen to: a password in clear text is not
/// sent there. It sits here because it must hold for every client that speaks over the wire.
#[derive(Debug, Default)]
struct Opening {
    bytes: Vec<u8>,
}

impl Opening {
    /// Whether the server's first message asks for the password itself (AuthenticationCleartextPassword:
    /// `R`, length 8, code 3). Decided, it answers `Some`.
    fn asks_for_clear_text(&mut self, bytes: &[u8]) -> Option<bool> {
        const CLEAR_TEXT: [u8; 9] = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];
        let missing = CLEAR_TEXT.len() - self.bytes.len();
        self.bytes.extend_from_slice(&bytes[..missing.min(bytes.len())]);
        if CLEAR_TEXT.starts_with(&self.bytes) {
            (self.bytes.len() == CLEAR_TEXT.len()).then_some(true)
        } else {
            Some(false)
        }
    }
}

/// Why the wire was cut: found again in the error that a client makes of it.
#[derive(Debug, thiserror::Error)]
#[error("the server asks for the password in clear text over a connection that is not encrypted")]
struct ClearTextRefused;

/// What an error of reading or writing means.
pub(super) fn broken(host: &str, source: io::Error) -> Error {
    let host = host.to_owned();
    match source.get_ref().and_then(|inner| inner.downcast_ref::<ClearTextRefused>()) {
        Some(refused) => Error::Login { host, reason: refused.to_string() },
        None => Error::Unreachable { host, source },
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        ready!(match &mut this.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        })?;
        if let Some(opening) = &mut this.opening {
            match opening.asks_for_clear_text(&buf.filled()[before..]) {
                None => {}
                Some(false) => this.opening = None,
                Some(true) => return Poll::Ready(Err(io::Error::other(ClearTextRefused))),
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl TlsStream for Wire {
    fn channel_binding(&self) -> ChannelBinding {
        match &self.end_point {
            Some(hash) => ChannelBinding::tls_server_end_point(hash.clone()),
            None => ChannelBinding::none(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::open::Connected;
    use super::super::raw::RawConnection;
    use super::super::{Environment, Session};
    use super::*;

    /// A login at a server that asks for the password itself, over a wire that others may listen to or not;
    /// and what the server hears of it.
    async fn log_in<C: Connected>(is_private: bool) -> (Result<C, Error>, String) {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let address = Address::parse_with("host=db user=u password=secret", &Environment::default()).unwrap();
        let server = async {
            let mut startup = vec![0; 4096];
            let _ = theirs.read(&mut startup).await.unwrap();
            theirs.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).await.unwrap();
            let mut heard = vec![0; 4096];
            let length = theirs.read(&mut heard).await.unwrap_or(0);
            drop(theirs);
            String::from_utf8_lossy(&heard[..length]).into_owned()
        };
        let wire = Wire::new(Stream::Unix(ours), None, is_private);
        tokio::join!(C::log_in(wire, &address, &address.hosts[0], "it"), server)
    }

    #[tokio::test]
    async fn a_password_in_clear_text_is_not_sent_where_others_listen() {
        let (one, heard_of_one) = log_in::<Session>(false).await;
        let (other, heard_of_other) = log_in::<RawConnection>(false).await;
        assert_eq!((heard_of_one.as_str(), heard_of_other.as_str()), ("", ""));
        for error in [one.err(), other.err()] {
            assert!(matches!(error, Some(Error::Login { .. })), "{error:?}");
        }
        assert!(log_in::<Session>(true).await.1.contains("secret"));
        assert!(log_in::<RawConnection>(true).await.1.contains("secret"));
    }

    #[test]
    fn a_request_for_the_clear_password_is_recognised_in_any_pieces() {
        let request = [b'R', 0, 0, 0, 8, 0, 0, 0, 3];
        assert_eq!(Opening::default().asks_for_clear_text(&request), Some(true));
        let mut opening = Opening::default();
        assert_eq!(opening.asks_for_clear_text(&request[..4]), None);
        assert_eq!(opening.asks_for_clear_text(&request[4..]), Some(true));
        assert_eq!(Opening::default().asks_for_clear_text(b"R\0\0\0\x0c\0\0\0\x05salt"), Some(false));
        assert_eq!(Opening::default().asks_for_clear_text(b"E"), Some(false));
    }
}
