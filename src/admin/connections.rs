//! Connections to the HTTP surface: so many at once, and none that stays without a word.

use super::certificates::Served;
use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use rustls::ServerConfig;
use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, Sleep};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// How many connections there may be at once; further ones wait in the system's queue.
const CONNECTIONS_MAX: usize = 128;

/// How long a connection may say nothing.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// How many handshakes may be under way at once; the oldest gives way to a further one.
const HANDSHAKES_MAX: usize = 256;

/// How long a handshake may take, with the wait for a place.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// A listener with these limits.
pub(super) struct Limited {
    listener: TcpListener,
    served: watch::Receiver<Served>,
    places: Arc<Semaphore>,
    handshakes: JoinSet<Option<(Connection, SocketAddr)>>,
    /// The oldest first.
    under_way: VecDeque<AbortHandle>,
}

impl Limited {
    pub(super) fn new(listener: TcpListener, served: watch::Receiver<Served>) -> Self {
        Self {
            listener,
            served,
            places: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            handshakes: JoinSet::new(),
            under_way: VecDeque::new(),
        }
    }

    /// Begins a handshake beside the others, so that a slow one is in nobody's way.
    fn greet(&mut self, stream: TcpStream, peer: SocketAddr, config: Arc<ServerConfig>) {
        self.under_way.retain(|handshake| !handshake.is_finished());
        while self.under_way.len() >= HANDSHAKES_MAX {
            if let Some(oldest) = self.under_way.pop_front() {
                oldest.abort();
            }
        }
        let places = Arc::clone(&self.places);
        let greeted = async move {
            let stream = TlsAcceptor::from(config).accept(stream).await.ok()?;
            let place = places.acquire_owned().await.ok()?;
            Some((Connection::new(Stream::Tls(Box::new(stream)), place), peer))
        };
        let in_time = async { tokio::time::timeout(HANDSHAKE_MAX, greeted).await.ok().flatten() };
        self.under_way.push_back(self.handshakes.spawn(in_time));
    }
}

/// The next connection; over TLS it needs no place before its handshake is done.
async fn accepted(
    listener: &mut TcpListener,
    places: &Arc<Semaphore>,
    is_plain: bool,
) -> (TcpStream, SocketAddr, Option<OwnedSemaphorePermit>) {
    let mut place = None;
    if is_plain {
        place = Some(Arc::clone(places).acquire_owned().await.expect("nobody closes the semaphore"));
    }
    let (stream, peer) = Listener::accept(listener).await;
    (stream, peer, place)
}

impl Listener for Limited {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        loop {
            let is_plain = self.served.borrow().is_none();
            tokio::select! {
                Some(greeted) = self.handshakes.join_next() => {
                    if let Ok(Some(connection)) = greeted {
                        return connection;
                    }
                }
                (stream, peer, place) = accepted(&mut self.listener, &self.places, is_plain) => {
                    let config = self.served.borrow().clone();
                    match (config, place) {
                        (None, Some(place)) => return (Connection::new(Stream::Plain(stream), place), peer),
                        (Some(config), _) => self.greet(stream, peer, config),
                        // the certificate was taken away in this moment; the client may come again
                        (None, None) => {}
                    }
                }
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// The address of who is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

impl Connected<IncomingStream<'_, Limited>> for Peer {
    fn connect_info(stream: IncomingStream<'_, Limited>) -> Self {
        Self(*stream.remote_addr())
    }
}

/// What the bytes go through.
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Does the same with either.
macro_rules! with_either {
    ($connection:expr, $stream:ident => $does:expr) => {
        match &mut $connection.stream {
            Stream::Plain(stream) => {
                let $stream = Pin::new(stream);
                $does
            }
            Stream::Tls(stream) => {
                let $stream = Pin::new(stream.as_mut());
                $does
            }
        }
    };
}

/// A connection that ends when nothing has been read or written for a while.
pub(super) struct Connection {
    stream: Stream,
    silence: Pin<Box<Sleep>>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(stream: Stream, place: OwnedSemaphorePermit) -> Self {
        Self { stream, silence: Box::pin(tokio::time::sleep(SILENCE_MAX)), _place: place }
    }

    /// Passes on what was reached, or says that it took too long.
    fn unless_silent<T>(
        &mut self,
        context: &mut Context<'_>,
        reached: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if reached.is_ready() {
            self.silence.as_mut().reset(Instant::now() + SILENCE_MAX);
            return reached;
        }
        match self.silence.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = with_either!(self, stream => stream.poll_read(context, buffer));
        self.unless_silent(context, read)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = with_either!(self, stream => stream.poll_write(context, bytes));
        self.unless_silent(context, written)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = with_either!(self, stream => stream.poll_flush(context));
        self.unless_silent(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let ended = with_either!(self, stream => stream.poll_shutdown(context));
        self.unless_silent(context, ended)
    }
}
