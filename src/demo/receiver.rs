//! An HTTP receiver in the process: takes webhooks, answers as it is told, and remembers what came and when.
//!
//! It is a small HTTP/1.1 server of its own, because a receiver worth testing against must do what no
//! framework offers: cut a connection before the answer, keep silent, vanish and come back under its port.

use bytes::{Buf, Bytes, BytesMut};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The largest request head that is read, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// The largest request body that is read, in bytes.
const BODY_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    /// The path: which of the endpoints is meant.
    pub path: String,
    /// The headers in order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
    /// When it had been read.
    pub started: Instant,
    /// The same moment by the wall clock.
    pub arrived_at: SystemTime,
}

impl Request {
    /// The first header of that name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With this status, at once.
    Status(u16),
    /// With this status, after a pause.
    Slow(Duration, u16),
    /// Not at all: the connection is cut.
    Cut,
    /// Not at all: the connection stays open until the sender gives up.
    Silence,
}

/// A request and what became of it.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The request.
    pub request: Request,
    /// When its end was decided: just before the answer was written, the connection was cut, or the sender was
    /// found to be gone. None while it is under way.
    pub ended: Option<Instant>,
    /// The status it was answered with. None when cut or given up.
    pub status: Option<u16>,
}

impl Arrival {
    /// Whether it was answered with 2xx.
    pub fn is_accepted(&self) -> bool {
        self.status.is_some_and(|status| (200..300).contains(&status))
    }
}

/// Decides how requests are answered; called for each, in the order of arrival per connection.
pub type Judge = Arc<dyn Fn(&Request) -> Answer + Send + Sync>;

/// The receiver. Ends, and closes its connections, when dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    listening: JoinSet<()>,
}

/// What the connections share.
struct Shared {
    judge: Judge,
    arrivals_max: usize,
    arrivals: Mutex<Vec<Arrival>>,
    count: watch::Sender<u64>,
    connections: watch::Sender<usize>,
}

impl Receiver {
    /// Listens on a free port of the loopback. Keeps the first `arrivals_max` requests; later ones are answered
    /// and counted.
    pub async fn start(arrivals_max: usize, judge: Judge) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let shared = Arc::new(Shared {
            judge,
            arrivals_max,
            arrivals: Mutex::default(),
            count: watch::Sender::new(0),
            connections: watch::Sender::new(0),
        });
        let mut receiver = Self { address: listener.local_addr()?, shared, listening: JoinSet::new() };
        receiver.listen(listener);
        Ok(receiver)
    }

    /// Closes the port and every connection, in the middle of whatever they do.
    pub async fn stop(&mut self) {
        self.listening.shutdown().await;
        let now = Instant::now();
        for arrival in self.shared.arrivals().iter_mut().filter(|arrival| arrival.ended.is_none()) {
            arrival.ended = Some(now);
        }
    }

    /// Listens again on the same port, after [`Receiver::stop`].
    pub async fn start_again(&mut self) -> io::Result<()> {
        let listener = TcpListener::bind(self.address).await?;
        self.listen(listener);
        Ok(())
    }

    /// The URL of an endpoint; the path begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// How many requests have come, kept or not.
    pub fn count(&self) -> u64 {
        *self.shared.count.borrow()
    }

    /// The kept requests from the given one on, counted from 0.
    pub fn arrivals_from(&self, first: usize) -> Vec<Arrival> {
        self.shared.arrivals().get(first..).unwrap_or_default().to_vec()
    }

    /// All kept requests; the receiver begins anew.
    pub fn take_arrivals(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.shared.arrivals())
    }

    /// Tells how many requests have come, at each that comes or ends.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.count.subscribe()
    }

    /// Waits until the kept requests fulfil a condition. Asked anew whenever one comes or ends.
    pub async fn wait_until(&self, condition: impl Fn(&[Arrival]) -> bool) {
        let mut count = self.watch();
        while !condition(&self.shared.arrivals()) {
            if count.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until no connection is open: what a killed sender had sent has been read then, to the last byte.
    pub async fn wait_until_alone(&self) {
        let mut connections = self.shared.connections.subscribe();
        // the sender of the watch lives as long as we do
        let _ = connections.wait_for(|&connections| connections == 0).await;
    }

    fn listen(&mut self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        self.listening.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                tokio::select! {
                    accepted = listener.accept() => {
                        // an error here concerns one connection (reset before it was taken), not the port
                        if let Ok((stream, _)) = accepted {
                            let shared = Arc::clone(&shared);
                            connections.spawn(async move {
                                // a connection that breaks is the sender's business: the next one is judged anew
                                let _ = shared.serve(stream).await;
                            });
                        }
                    }
                    Some(_) = connections.join_next() => {}
                }
            }
        });
    }
}

impl Shared {
    fn arrivals(&self) -> MutexGuard<'_, Vec<Arrival>> {
        self.arrivals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        let _open = Open::note(&self.connections);
        stream.set_nodelay(true)?;
        let mut read = BytesMut::with_capacity(16 * 1024);
        while let Some(request) = read_request(&mut stream, &mut read).await? {
            let answer = (self.judge)(&request);
            let number = self.note(request);
            let status = match answer {
                Answer::Status(status) => Some(status),
                Answer::Slow(pause, status) => tokio::select! {
                    () = tokio::time::sleep(pause) => Some(status),
                    _ = stream.read_buf(&mut read) => None,
                },
                Answer::Cut => None,
                Answer::Silence => {
                    // the sender has nothing more to say: what comes is the end
                    let _ = stream.read_buf(&mut read).await;
                    None
                }
            };
            // decided before the answer is written: the sender may react to it before we come to note it
            self.note_end(number, status);
            let Some(status) = status else { return Ok(()) };
            let answer = format!("HTTP/1.1 {status} {}\r\ncontent-length: 0\r\n\r\n", reason(status));
            stream.write_all(answer.as_bytes()).await?;
        }
        Ok(())
    }

    fn note(&self, request: Request) -> Option<usize> {
        let number = {
            let mut arrivals = self.arrivals();
            let number = arrivals.len();
            (number < self.arrivals_max).then(|| {
                arrivals.push(Arrival { request, ended: None, status: None });
                number
            })
        };
        self.count.send_modify(|count| *count += 1);
        number
    }

    fn note_end(&self, number: Option<usize>, status: Option<u16>) {
        let Some(number) = number else { return };
        if let Some(arrival) = self.arrivals().get_mut(number) {
            arrival.ended = Some(Instant::now());
            arrival.status = status;
        }
        self.count.send_modify(|_| {});
    }
}

/// Counts a connection for as long as it is open, however it ends.
struct Open<'a>(&'a watch::Sender<usize>);

impl<'a> Open<'a> {
    fn note(connections: &'a watch::Sender<usize>) -> Self {
        connections.send_modify(|connections| *connections += 1);
        Self(connections)
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|connections| *connections -= 1);
    }
}

fn reason(status: u16) -> &'static str {
    http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Answer")
}

/// Reads one request; none at the end of the connection.
async fn read_request(stream: &mut TcpStream, read: &mut BytesMut) -> io::Result<Option<Request>> {
    let head_end = loop {
        if let Some(end) = find(read, b"\r\n\r\n") {
            break end;
        }
        if read.len() > HEAD_BYTES_MAX {
            return Err(malformed("the request's head is too long"));
        }
        if stream.read_buf(read).await? == 0 {
            return Ok(None);
        }
    };
    let head = read.split_to(head_end);
    read.advance(4);
    let head = std::str::from_utf8(&head).map_err(|_| malformed("the request's head is not UTF-8"))?;
    let mut lines = head.split("\r\n");
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).unwrap_or("/").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let header = |wanted: &str| headers.iter().find(|(name, _)| name == wanted).map(|(_, value)| value);
    let body = if header("transfer-encoding").is_some_and(|value| value.eq_ignore_ascii_case("chunked")) {
        read_chunks(stream, read).await?
    } else {
        let length = match header("content-length") {
            Some(length) => length.parse().map_err(|_| malformed("the content-length is no number"))?,
            None => 0,
        };
        fill(stream, read, length).await?;
        read.split_to(length).freeze()
    };
    Ok(Some(Request { path, headers, body, started: Instant::now(), arrived_at: SystemTime::now() }))
}

/// Reads a body in chunks (RFC 9112, section 7.1); trailers are read and forgotten.
async fn read_chunks(stream: &mut TcpStream, read: &mut BytesMut) -> io::Result<Bytes> {
    let mut body = BytesMut::new();
    loop {
        let line = read_line(stream, read).await?;
        let size = std::str::from_utf8(&line)
            .ok()
            .and_then(|line| usize::from_str_radix(line.split(';').next()?.trim(), 16).ok())
            .ok_or_else(|| malformed("the size of a chunk is no number"))?;
        if size == 0 {
            while !read_line(stream, read).await?.is_empty() {}
            return Ok(body.freeze());
        }
        if size.saturating_add(body.len()) > BODY_BYTES_MAX {
            return Err(malformed("the request's body is too long"));
        }
        fill(stream, read, size + 2).await?;
        body.extend_from_slice(&read.split_to(size));
        read.advance(2);
    }
}

async fn read_line(stream: &mut TcpStream, read: &mut BytesMut) -> io::Result<BytesMut> {
    loop {
        if let Some(end) = find(read, b"\r\n") {
            let line = read.split_to(end);
            read.advance(2);
            return Ok(line);
        }
        if read.len() > HEAD_BYTES_MAX {
            return Err(malformed("a line of the request is too long"));
        }
        let more = read.len() + 1;
        fill(stream, read, more).await?;
    }
}

/// Reads until so many bytes are there.
async fn fill(stream: &mut TcpStream, read: &mut BytesMut, length: usize) -> io::Result<()> {
    if length > BODY_BYTES_MAX + 2 {
        return Err(malformed("the request's body is too long"));
    }
    while read.len() < length {
        if stream.read_buf(read).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(())
}

fn find(bytes: &[u8], pattern: &[u8]) -> Option<usize> {
    bytes.windows(pattern.len()).position(|window| window == pattern)
}

fn malformed(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn exchange(receiver: &Receiver, request: &str) -> String {
        let mut stream = TcpStream::connect(receiver.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = vec![0; 1024];
        let length = stream.read(&mut answer).await.unwrap_or(0);
        String::from_utf8_lossy(&answer[..length]).into_owned()
    }

    #[tokio::test]
    async fn requests_are_remembered_with_their_bodies_whole_or_in_chunks() {
        let receiver = Receiver::start(10, Arc::new(|_| Answer::Status(204))).await.unwrap();
        let whole = "POST /a HTTP/1.1\r\nContent-Length: 5\r\nwebhook-id: msg_1\r\n\r\nhello";
        let chunks =
            "POST /b HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n";
        for request in [whole, chunks] {
            assert!(exchange(&receiver, request).await.starts_with("HTTP/1.1 204 No Content\r\n"));
        }
        let arrivals = receiver.arrivals_from(0);
        assert_eq!(arrivals[0].request.header("webhook-id"), Some("msg_1"));
        for (arrival, path) in arrivals.iter().zip(["/a", "/b"]) {
            assert_eq!((arrival.request.path.as_str(), &arrival.request.body[..]), (path, &b"hello"[..]));
            assert!(arrival.is_accepted() && arrival.ended.is_some());
        }
    }

    #[tokio::test]
    async fn it_cuts_and_vanishes_and_comes_back_under_its_port() {
        let judge: Judge = Arc::new(|request| match request.path.as_str() {
            "/cut" => Answer::Cut,
            _ => Answer::Silence,
        });
        let mut receiver = Receiver::start(1, judge).await.unwrap();
        assert_eq!(exchange(&receiver, "POST /cut HTTP/1.1\r\n\r\n").await, "");
        receiver.stop().await;
        assert!(TcpStream::connect(receiver.address).await.is_err());
        receiver.start_again().await.unwrap();
        assert_eq!(exchange(&receiver, "POST /cut HTTP/1.1\r\n\r\n").await, "");
        assert_eq!((receiver.count(), receiver.arrivals_from(0).len()), (2, 1), "counted, but not kept");
    }

    #[tokio::test]
    async fn a_sender_that_gives_up_ends_its_request() {
        let receiver = Receiver::start(10, Arc::new(|_| Answer::Silence)).await.unwrap();
        let mut stream = TcpStream::connect(receiver.address).await.unwrap();
        stream.write_all(b"POST / HTTP/1.1\r\n\r\n").await.unwrap();
        receiver.wait_until(|arrivals| arrivals.len() == 1).await;
        assert_eq!(receiver.arrivals_from(0)[0].ended, None);
        drop(stream);
        receiver.wait_until(|arrivals| arrivals[0].ended.is_some()).await;
        assert_eq!(receiver.arrivals_from(0)[0].status, None);
    }
}
