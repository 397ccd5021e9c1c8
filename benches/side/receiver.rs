//! A lean receiver in a thread of its own: reads a request, finds the mark in its body, notes it, answers.
//!
//! It is part of every limit that is measured over HTTP, so it does little: no header but the length, no copies.

use crate::book::{Arrival, Book};
use bytes::{Buf, BytesMut};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as StdListener};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

const ACCEPTED: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";
const REFUSED: &[u8] = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n";
/// How a row's mark begins in a body: the last one is the row as it is now.
const MARK: &[u8] = b"\"mark\":\"";
/// The runtime's timers go in such steps, and round up: on average they take about so much longer.
const TIMER_STEP: Duration = Duration::from_millis(1);
/// Longer requests than this are not ours.
const REQUEST_BYTES_MAX: usize = 1 << 20;

/// How it answers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// How long it thinks before each answer.
    pub pause: Duration,
    /// Every so many entries, one is refused.
    pub refused_each: Option<u32>,
}

/// The receiver. Begins down; closes everything when dropped.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    serving: Option<(CancellationToken, JoinHandle<()>)>,
}

struct Shared {
    manner: Manner,
    book: Mutex<Book>,
    accepted: AtomicUsize,
    requests: AtomicUsize,
    body_bytes: AtomicU64,
    paused_us: AtomicU64,
}

impl Receiver {
    /// Takes a port of the loopback; nobody listens there yet.
    pub fn new(book: Book, manner: Manner) -> io::Result<Self> {
        let address = StdListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let shared = Shared {
            manner,
            book: Mutex::new(book),
            accepted: AtomicUsize::new(0),
            requests: AtomicUsize::new(0),
            body_bytes: AtomicU64::new(0),
            paused_us: AtomicU64::new(0),
        };
        Ok(Self { address, shared: Arc::new(shared), serving: None })
    }

    /// Listens, in a new thread.
    pub fn up(&mut self) -> io::Result<()> {
        let listener = StdListener::bind(self.address)?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (shared, closing) = (Arc::clone(&self.shared), CancellationToken::new());
        let closed = closing.clone();
        let thread = std::thread::Builder::new().name("receiver".to_owned()).spawn(move || {
            runtime.block_on(async {
                let Ok(listener) = TcpListener::from_std(listener) else { return };
                tokio::select! {
                    () = closed.cancelled() => {}
                    () = listen(&listener, &shared) => {}
                }
            });
        })?;
        self.serving = Some((closing, thread));
        Ok(())
    }

    /// Closes the port and every connection.
    pub fn down(&mut self) {
        if let Some((closing, thread)) = self.serving.take() {
            closing.cancel();
            // it has no way to panic but a bug, which its thread has told by then
            let _ = thread.join();
        }
    }

    /// The address of a webhook's endpoint.
    pub fn url(&self, webhook: usize) -> String {
        format!("http://{}/{webhook}", self.address)
    }

    /// How many expected deliveries were accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Acquire)
    }

    /// How many requests came so far.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::Acquire)
    }

    /// How many bytes a body had on average.
    pub fn mean_body_bytes(&self) -> f64 {
        self.shared.body_bytes.load(Ordering::Acquire) as f64 / self.requests().max(1) as f64
    }

    /// How long it is to pause before each answer.
    pub fn pause(&self) -> Duration {
        self.shared.manner.pause
    }

    /// How long it has really paused on average, for a timer may be late.
    pub fn mean_pause(&self) -> Duration {
        let requests = self.requests().max(1) as u64;
        Duration::from_micros(self.shared.paused_us.load(Ordering::Acquire) / requests)
    }

    pub fn book(&self) -> MutexGuard<'_, Book> {
        self.shared.book()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.down();
    }
}

async fn listen(listener: &TcpListener, shared: &Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                let shared = Arc::clone(shared);
                connections.spawn(async move {
                    // a connection that breaks is the sender's business
                    let _ = shared.serve(stream).await;
                });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn serve(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let mut read = BytesMut::with_capacity(16 * 1024);
        loop {
            let Some((head, whole)) = framed(&read)? else {
                if stream.read_buf(&mut read).await? == 0 {
                    return Ok(());
                }
                continue;
            };
            let answer = self.judge(&read[..head], &read[head..whole]);
            read.advance(whole);
            if !self.manner.pause.is_zero() {
                let began = Instant::now();
                tokio::time::sleep(self.manner.pause.saturating_sub(TIMER_STEP)).await;
                self.paused_us.fetch_add(began.elapsed().as_micros() as u64, Ordering::AcqRel);
            }
            stream.write_all(answer).await?;
        }
    }

    fn judge(&self, head: &[u8], body: &[u8]) -> &'static [u8] {
        self.requests.fetch_add(1, Ordering::AcqRel);
        self.body_bytes.fetch_add(body.len() as u64, Ordering::AcqRel);
        let mut book = self.book();
        let Some(mut arrival) = arrival(head, body) else {
            book.note_strange();
            return ACCEPTED;
        };
        arrival.is_refused = self.manner.refused_each.is_some_and(|each| arrival.entry.is_multiple_of(each));
        book.note(arrival);
        self.accepted.store(book.accepted(), Ordering::Release);
        if arrival.is_refused { REFUSED } else { ACCEPTED }
    }
}

/// Where the head ends and where the whole request does; none while there is not enough.
fn framed(read: &[u8]) -> io::Result<Option<(usize, usize)>> {
    let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") else {
        if read.len() > REQUEST_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        return Ok(None);
    };
    let head = end + 4;
    let length = read[..end]
        .split(|byte| *byte == b'\n')
        .find_map(|line| {
            let (name, value) = line.split_at_checked(b"content-length:".len())?;
            name.eq_ignore_ascii_case(b"content-length:").then_some(value)
        })
        .and_then(|value| std::str::from_utf8(value).ok()?.trim().parse::<usize>().ok())
        .filter(|length| *length <= REQUEST_BYTES_MAX)
        .ok_or(io::ErrorKind::InvalidData)?;
    Ok((read.len() >= head + length).then_some((head, head + length)))
}

/// Reads the webhook from the path and the rest from the mark: `entry.step.microseconds`.
fn arrival(head: &[u8], body: &[u8]) -> Option<Arrival> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let path = head.split(|byte| *byte == b' ').nth(1)?;
    let webhook = std::str::from_utf8(path.strip_prefix(b"/")?).ok()?.parse().ok()?;
    let begins = body.windows(MARK.len()).rposition(|window| window == MARK)? + MARK.len();
    let length = body[begins..].iter().position(|byte| *byte == b'"')?;
    let mark = std::str::from_utf8(&body[begins..begins + length]).ok()?;
    let mut parts = mark.split('.');
    Some(Arrival {
        webhook,
        entry: parts.next()?.parse().ok()?,
        step: parts.next()?.parse().ok()?,
        is_refused: false,
        at_us: now.as_micros() as u64,
        written_us: parts.next()?.parse().ok()?,
    })
}
