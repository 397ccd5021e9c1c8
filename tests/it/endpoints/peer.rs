//! The endpoint's side of a connection.

use super::{Case, case};
use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// What happened at an endpoint.
#[derive(Default)]
pub(super) struct Log {
    pub(super) requests: Mutex<Vec<Request>>,
    bytes: AtomicUsize,
    connections: AtomicUsize,
}

impl Log {
    /// Counts a connection, and returns its number from 0.
    pub(super) fn connect(&self) -> usize {
        self.connections.fetch_add(1, Ordering::SeqCst)
    }

    /// How many bytes were sent, over how many connections.
    pub(super) fn sent(&self) -> (usize, usize) {
        (self.bytes.load(Ordering::SeqCst), self.connections.load(Ordering::SeqCst))
    }
}

/// A request as it arrived.
#[derive(Clone, Debug, Default)]
pub(super) struct Request {
    pub(super) line: String,
    /// Names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Vec<u8>,
}

trait Stream: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Stream for S {}

pub(super) struct Peer {
    stream: Pin<Box<dyn Stream>>,
    /// Which connection of the endpoint it is, from 0.
    pub(super) number: usize,
    /// Whether the preface of HTTP/2 has been exchanged.
    pub(super) greeted: bool,
    log: Arc<Log>,
}

impl Peer {
    pub(super) fn new(
        stream: impl AsyncRead + AsyncWrite + Send + 'static,
        number: usize,
        log: Arc<Log>,
    ) -> Self {
        Self { stream: Box::pin(stream), number, greeted: false, log }
    }

    /// The connection itself, for a real server.
    pub(super) fn into_stream(self) -> (impl AsyncRead + AsyncWrite + Send + Unpin, Arc<Log>) {
        (self.stream, self.log)
    }

    /// Reads the line and the headers of a request.
    pub(super) async fn head(&mut self) -> io::Result<Request> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.stream.read_u8().await?);
        }
        let text = String::from_utf8(head).unwrap();
        let mut lines = text.trim_end().split("\r\n");
        let line = lines.next().unwrap().to_owned();
        let headers = lines.map(|line| {
            let (name, value) = line.split_once(": ").unwrap();
            (name.to_ascii_lowercase(), value.to_owned())
        });
        Ok(Request { line, headers: headers.collect(), body: vec![] })
    }

    /// Reads a request.
    pub(super) async fn request(&mut self) -> io::Result<Request> {
        let mut request = self.head().await?;
        let length = request.headers.get("content-length").ok_or(io::ErrorKind::InvalidData)?;
        request.body.resize(length.parse().unwrap(), 0);
        self.stream.read_exact(&mut request.body).await?;
        self.note(request.clone());
        Ok(request)
    }

    /// Counts a request.
    pub(super) fn note(&self, request: Request) {
        self.log.requests.lock().unwrap().push(request);
    }

    pub(super) async fn read(&mut self, bytes: usize) -> io::Result<Vec<u8>> {
        let mut read = vec![0; bytes];
        self.stream.read_exact(&mut read).await?;
        Ok(read)
    }

    pub(super) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        self.log.bytes.fetch_add(bytes.as_ref().len(), Ordering::SeqCst);
        self.stream.flush().await
    }

    /// Sends byte by byte.
    pub(super) async fn trickle(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        for byte in bytes.as_ref() {
            self.send([*byte]).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    /// Sends again and again, until the other side has enough.
    pub(super) async fn flood(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        let many = bytes.as_ref().repeat((16 * 1024 / bytes.as_ref().len()).max(1));
        loop {
            self.send(&many).await?;
            // who floods in this process takes no more than his turn
            tokio::task::yield_now().await;
        }
    }

    /// Waits until the other side hangs up.
    pub(super) async fn linger(&mut self) -> io::Result<()> {
        tokio::io::copy(&mut self.stream, &mut tokio::io::sink()).await.map(drop)
    }
}

/// An endpoint that reads a request, sends these bytes, and then others without end.
pub(super) fn floods(name: &'static str, first: &'static str, then: &'static str) -> Case {
    case(name, move |mut peer| async move {
        peer.request().await?;
        peer.send(first).await?;
        peer.flood(then).await
    })
    .ends_soon()
}
