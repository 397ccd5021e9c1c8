//! A receiver of webhooks that does what a test tells it: answers, refuses, dawdles, breaks off.
//!
//! ```ignore
//! let receiver = Receiver::start().await;
//! receiver.script(|request| if request.attempt() == 1 { Reply::status(503) } else { Reply::ok() });
//! // … something sends to receiver.url() …
//! let requests = receiver.wait_for(2).await;
//! ```

#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// How long [`Receiver::wait_for`] waits before it fails the test.
const PATIENCE: Duration = Duration::from_secs(60);

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
    pub(crate) arrived: Instant,
    /// What it was answered with; 0 if the connection was cut.
    pub(crate) status: u16,
    /// The number of the connection it came by.
    pub(crate) connection: usize,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn id(&self) -> &str {
        self.header("webhook-id").expect("webhook-id")
    }

    pub(crate) fn sequence(&self) -> u64 {
        self.header("walhook-sequence").expect("walhook-sequence").parse().unwrap()
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.header("walhook-attempt").expect("walhook-attempt").parse().unwrap()
    }

    pub(crate) fn is_replay(&self) -> bool {
        self.header("walhook-replay") == Some("1")
    }

    pub(crate) fn was_taken(&self) -> bool {
        (200..300).contains(&self.status)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("a body in UTF-8")
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).expect("a body in JSON")
    }
}

/// What the receiver does with a request.
#[derive(Clone, Debug)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    delay: Duration,
    /// Pauses before every byte of the body.
    byte_pause: Duration,
    end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    KeepAlive,
    /// Closes without an answer.
    Cut,
    /// Says how long the body is, sends half of it and closes.
    CutInBody,
}

impl Reply {
    pub(crate) fn ok() -> Self {
        Self::status(200)
    }

    pub(crate) fn status(status: u16) -> Self {
        Self {
            status,
            headers: vec![],
            body: vec![],
            delay: Duration::ZERO,
            byte_pause: Duration::ZERO,
            end: End::KeepAlive,
        }
    }

    /// Closes the connection without an answer.
    pub(crate) fn cut() -> Self {
        Self { end: End::Cut, ..Self::status(0) }
    }

    /// Answers after an hour.
    pub(crate) fn hang() -> Self {
        Self::ok().delay(Duration::from_secs(3600))
    }

    pub(crate) fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    pub(crate) fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), ..self }
    }

    /// A pause before every byte of the body.
    pub(crate) fn slow_body(self, byte_pause: Duration) -> Self {
        Self { byte_pause, ..self }
    }

    /// Breaks off in the middle of the body.
    pub(crate) fn cut_in_body(self) -> Self {
        Self { end: End::CutInBody, ..self }
    }
}

type Script = Box<dyn FnMut(&Request) -> Reply + Send>;

struct Shared {
    script: Mutex<Script>,
    /// Grows; the watch tells its length.
    requests: Mutex<Vec<Request>>,
    /// The ids of the deliveries that were taken.
    taken: Mutex<BTreeSet<String>>,
    arrived: watch::Sender<usize>,
    busy: Mutex<Busy>,
}

#[derive(Default)]
struct Busy {
    now: usize,
    most: usize,
}

/// An HTTP/1.1 server on the loopback interface, with keep-alive. Dropping it closes everything.
pub(crate) struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    server: JoinSet<()>,
}

impl Receiver {
    /// On a free port; answers everything with 200.
    pub(crate) async fn start() -> Self {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// On a given address: for a receiver that comes back.
    pub(crate) async fn start_on(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.expect("bind");
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            script: Mutex::new(Box::new(|_| Reply::ok())),
            requests: Mutex::default(),
            taken: Mutex::default(),
            arrived: watch::Sender::new(0),
            busy: Mutex::default(),
        });
        let mut server = JoinSet::new();
        server.spawn(serve(listener, Arc::clone(&shared)));
        Self { address, shared, server }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// What is done with requests from now on; called for each, in the order of arrival.
    pub(crate) fn script(&self, script: impl FnMut(&Request) -> Reply + Send + 'static) -> &Self {
        *self.shared.script.lock().unwrap() = Box::new(script);
        self
    }

    /// The same reply for all from now on.
    pub(crate) fn reply(&self, reply: Reply) -> &Self {
        self.script(move |_| reply.clone())
    }

    /// Fails this many requests of a hundred, at random but the same for the same seed: by statuses, cut
    /// connections and answers that break off before they begin.
    pub(crate) fn fail(&self, percent: u64, seed: u64) -> &Self {
        let mut random = Random(seed);
        self.script(move |_| match (random.below(100) < percent, random.below(5)) {
            (false, _) => Reply::ok(),
            (true, 0) => Reply::status(500),
            (true, 1) => Reply::status(503).header("retry-after", "0"),
            (true, 2) => Reply::status(429),
            (true, 3) => Reply::status(404),
            (true, _) => Reply::cut(),
        })
    }

    /// All requests so far, in the order of arrival.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.shared.requests.lock().unwrap().clone()
    }

    /// How many requests have arrived so far.
    pub(crate) fn count(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }

    /// The most requests that were waiting for an answer at once.
    pub(crate) fn busy_most(&self) -> usize {
        self.shared.busy.lock().unwrap().most
    }

    /// Forgets the requests so far.
    pub(crate) fn forget(&self) {
        self.shared.requests.lock().unwrap().clear();
        self.shared.taken.lock().unwrap().clear();
        self.shared.arrived.send_replace(0);
    }

    /// Waits until that many requests have arrived, and returns all.
    pub(crate) async fn wait_for(&self, count: usize) -> Vec<Request> {
        self.wait_until(&format!("{count} requests"), |requests| requests.len() >= count).await
    }

    /// Waits until that many different deliveries have been taken, and returns all requests.
    pub(crate) async fn wait_for_taken(&self, count: usize) -> Vec<Request> {
        let taken = |_: &[Request]| self.shared.taken.lock().unwrap().len() >= count;
        self.wait_until(&format!("{count} deliveries taken"), taken).await
    }

    /// Waits until the requests are as they should be, and returns them.
    pub(crate) async fn wait_until(&self, what: &str, fits: impl Fn(&[Request]) -> bool) -> Vec<Request> {
        let mut arrived = self.shared.arrived.subscribe();
        let waiting = async {
            loop {
                arrived.mark_unchanged();
                if fits(&self.shared.requests.lock().unwrap()) {
                    return;
                }
                arrived.changed().await.expect("the receiver lives");
            }
        };
        let in_time = tokio::time::timeout(PATIENCE, waiting).await;
        assert!(in_time.is_ok(), "waited in vain for {what}; {} requests arrived", self.count());
        self.requests()
    }

    /// Closes the port and all connections.
    pub(crate) async fn stop(mut self) -> SocketAddr {
        self.server.shutdown().await;
        self.address
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    for number in 0.. {
        let Ok((stream, _)) = listener.accept().await else { return };
        connections.spawn(converse(stream, number, Arc::clone(&shared)));
        while connections.try_join_next().is_some() {}
    }
}

/// Serves a connection until either side has enough.
async fn converse(stream: TcpStream, number: usize, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    let mut stream = BufReader::new(stream);
    while let Some(mut request) = read_request(&mut stream, number).await {
        let reply = {
            let mut script = shared.script.lock().unwrap();
            let reply = script(&request);
            request.status = reply.status;
            let mut requests = shared.requests.lock().unwrap();
            if let Some(id) = request.header("webhook-id").filter(|_| request.was_taken()) {
                shared.taken.lock().unwrap().insert(id.to_owned());
            }
            requests.push(request);
            shared.arrived.send_replace(requests.len());
            reply
        };
        let busy = Arc::clone(&shared);
        let _guard = BusyGuard::new(&busy);
        if !reply.delay.is_zero() {
            tokio::time::sleep(reply.delay).await;
        }
        if write_reply(&mut stream, &reply).await.is_none() {
            return;
        }
    }
}

struct BusyGuard<'a>(&'a Shared);

impl<'a> BusyGuard<'a> {
    fn new(shared: &'a Shared) -> Self {
        let mut busy = shared.busy.lock().unwrap();
        busy.now += 1;
        busy.most = busy.most.max(busy.now);
        Self(shared)
    }
}

impl Drop for BusyGuard<'_> {
    fn drop(&mut self) {
        self.0.busy.lock().unwrap().now -= 1;
    }
}

async fn read_request(stream: &mut BufReader<TcpStream>, connection: usize) -> Option<Request> {
    let first = read_line(stream).await?;
    let mut words = first.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let line = read_line(stream).await?;
        let Some((name, value)) = line.split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|coding| coding == "chunked") {
        loop {
            let size = usize::from_str_radix(&read_line(stream).await?, 16).ok()?;
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk).await.ok()?;
            body.extend(chunk);
            read_line(stream).await?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = headers.get("content-length") {
        body.resize(length.parse().ok()?, 0);
        stream.read_exact(&mut body).await.ok()?;
    }
    Some(Request { method, path, headers, body, arrived: Instant::now(), status: 0, connection })
}

async fn read_line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    (stream.read_line(&mut line).await.ok()? > 0).then(|| line.trim_end().to_owned())
}

/// None if the connection is to be closed.
async fn write_reply(stream: &mut BufReader<TcpStream>, reply: &Reply) -> Option<()> {
    if reply.end == End::Cut {
        return None;
    }
    let mut head = format!("HTTP/1.1 {} Scripted\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
    for (name, value) in &reply.headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head += "\r\n";
    stream.write_all(head.as_bytes()).await.ok()?;
    if reply.end == End::CutInBody {
        stream.write_all(&reply.body[..reply.body.len() / 2]).await.ok()?;
        stream.flush().await.ok()?;
        return None;
    }
    if reply.byte_pause.is_zero() {
        stream.write_all(&reply.body).await.ok()?;
    } else {
        for byte in &reply.body {
            tokio::time::sleep(reply.byte_pause).await;
            stream.write_all(&[*byte]).await.ok()?;
            stream.flush().await.ok()?;
        }
    }
    stream.flush().await.ok()
}

/// Numbers that look random and are the same for the same seed (SplitMix64, by Sebastiano Vigna).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: u64) -> u64 {
        self.next() % limit
    }
}
