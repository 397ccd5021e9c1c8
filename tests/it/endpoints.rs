//! Hostile and broken endpoints. Each case is a row of a table; the real transport and dispatch attempt it on a
//! real socket, all cases of a table at once, beside a healthy neighbour that must not feel them.

mod answers;
mod connections;
mod http2;
mod names;
mod peer;
mod tls;

use crate::dispatch::{MemoryQueue, Running, webhook};
use crate::port;
use crate::receiver::{Receiver, Reply};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use peer::{Log, Peer, Request};
use std::collections::HashMap;
use std::fmt::Write;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use walhook::clock::Clock;
use walhook::delivery::{Outcome, Settlement};
use walhook::dispatch::HttpCourier;
use walhook::retry::Schedule;
use walhook::transport::{Resolver, Settings, Transport, Trust};
use walhook::webhook::WebhookId;

/// The hostile webhooks' timeout.
const TIMEOUT: Duration = Duration::from_secs(2);
/// How long an attempt may take beyond it, where two processors play all sides.
const SLACK: Duration = Duration::from_secs(1);
/// How much an endpoint may get rid of in an attempt: what is read of an answer, and the kernel's buffers.
const TAKEN_BYTES_MAX: usize = 16 << 20;
/// How long a delivery to the neighbour may take; usually it is a twentieth of a second.
const NEIGHBOUR_MAX: Duration = Duration::from_secs(3);
const NEIGHBOUR: u64 = 1;
const NEIGHBOUR_DELIVERIES: u64 = 48;
/// Of who uses up the connection's allowance before he has answered.
const ENDLESS: &str = "connection broke: the endpoint sends without end";
/// An answer that nobody can complain about.
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

type Serve = Arc<dyn Fn(Peer) -> BoxFuture<'static, io::Result<()>> + Send + Sync>;

/// An endpoint, and what must become of the attempts on it.
struct Case {
    name: &'static str,
    serve: Serve,
    tls: Option<Arc<rustls::ServerConfig>>,
    https: bool,
    port: u16,
    listens: bool,
    resets: bool,
    stranger: bool,
    /// What stands in its URL instead of a name.
    literal: Option<&'static str>,
    /// What its name resolves to at each look; the last one goes on.
    looks: Vec<Vec<IpAddr>>,
    /// An attempt ends because enough was read, not because its time is over.
    ends_soon: bool,
    body_bytes: usize,
    deliveries: u64,
    /// Empty if only the end counts: every delivery is taken at last.
    expected: Vec<String>,
}

/// An endpoint that does this with each connection.
fn case<F, Fut>(name: &'static str, serve: F) -> Case
where
    F: Fn(Peer) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = io::Result<()>> + Send + 'static,
{
    Case {
        name,
        serve: Arc::new(move |peer| Box::pin(serve(peer))),
        tls: None,
        https: false,
        port: port::unused(),
        listens: true,
        resets: false,
        stranger: false,
        literal: None,
        looks: vec![vec![IpAddr::from([127, 0, 0, 1])]],
        ends_soon: false,
        body_bytes: 10,
        deliveries: 1,
        expected: vec![],
    }
}

/// An endpoint that answers each request with these bytes and waits for more.
fn answers(name: &'static str, answer: impl Into<Vec<u8>>) -> Case {
    let answer = answer.into();
    case(name, move |mut peer| {
        let answer = answer.clone();
        async move {
            loop {
                peer.request().await?;
                peer.send(&answer).await?;
            }
        }
    })
}

/// An endpoint that answers a request with these bytes and closes.
fn ends_with(name: &'static str, answer: impl Into<Vec<u8>>) -> Case {
    let answer = answer.into();
    case(name, move |mut peer| {
        let answer = answer.clone();
        async move {
            peer.request().await?;
            peer.send(&answer).await
        }
    })
}

impl Case {
    /// The next attempt fails like this, and another one follows.
    fn retried(mut self, outcome: &str) -> Self {
        self.expected.push(format!("retried: {outcome}"));
        self
    }

    /// The next attempt fails like this, and the delivery is a dead letter.
    fn dead(mut self, outcome: &str) -> Self {
        self.expected.push(format!("dead: {outcome}"));
        self
    }

    /// The next attempt succeeds like this.
    fn taken(mut self, outcome: &str) -> Self {
        self.expected.push(format!("taken: {outcome}"));
        self
    }

    fn tls(mut self, config: &Arc<rustls::ServerConfig>) -> Self {
        self.tls = Some(Arc::clone(config));
        self.https = true;
        self
    }

    /// So many deliveries, one after the other.
    fn deliveries(mut self, deliveries: u64) -> Self {
        self.deliveries = deliveries;
        self
    }

    fn body(mut self, bytes: usize) -> Self {
        self.body_bytes = bytes;
        self
    }

    /// Closing a connection resets it.
    fn resets(mut self) -> Self {
        self.resets = true;
        self
    }

    /// Nobody listens.
    fn refuses(mut self) -> Self {
        self.listens = false;
        self
    }

    /// Enough is enough long before the timeout.
    fn ends_soon(mut self) -> Self {
        self.ends_soon = true;
        self
    }

    /// Registered by somebody else than the operator; allowed is 127.0.0.1 alone.
    fn stranger(mut self) -> Self {
        self.stranger = true;
        self
    }

    fn looks(mut self, looks: &[&[&str]]) -> Self {
        let addresses = |look: &&[&str]| look.iter().map(|address| address.parse().unwrap()).collect();
        self.looks = looks.iter().map(addresses).collect();
        self
    }

    fn host(&self) -> String {
        if let Some(literal) = self.literal {
            return literal.to_owned();
        }
        let letters = |char: char| if char.is_ascii_alphanumeric() { char.to_ascii_lowercase() } else { '-' };
        format!("{}.walhook.test", self.name.chars().map(letters).collect::<String>().trim_matches('-'))
    }

    /// Short pauses between the attempts that are expected, a long one after the last. Where none are expected,
    /// as many as it takes.
    fn schedule(&self) -> Schedule {
        if self.expected.is_empty() {
            return Schedule { pauses: vec![Duration::from_millis(20); 100] };
        }
        let retried = self.expected.iter().filter(|expected| expected.starts_with("retried")).count();
        let mut pauses = vec![Duration::from_millis(20); retried];
        pauses.push(Duration::from_secs(3600));
        if self.expected.last().is_some_and(|expected| expected.starts_with("retried")) {
            pauses.remove(0);
        }
        Schedule { pauses }
    }
}

/// Names and what they resolve to, look by look.
struct Names(Mutex<HashMap<String, Vec<Vec<IpAddr>>>>);

impl Resolver for Names {
    fn addresses<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        let mut names = self.0.lock().unwrap();
        let looks = names.get_mut(name).filter(|looks| !looks.is_empty());
        let found = match looks {
            None => Err(io::Error::other("failed to lookup address information: Name or service not known")),
            Some(looks) if looks.len() > 1 => Ok(looks.remove(0)),
            Some(looks) => Ok(looks[0].clone()),
        };
        Box::pin(async move { found })
    }
}

/// What was seen at an endpoint and of it.
struct Report {
    requests: Vec<Request>,
    connections: usize,
}

/// Runs a table, and checks everything that holds of every case. The reports come in its order.
async fn run(cases: Vec<Case>, settings: Settings) -> Vec<Report> {
    let begin = Instant::now();
    let queue = Arc::new(MemoryQueue::default());
    let neighbour = Receiver::start().await;
    neighbour.reply(Reply::ok().delay(Duration::from_millis(20)));
    let mut hooks = vec![webhook(NEIGHBOUR, &neighbour.url())];
    hooks[0].sending.in_flight_max = 4;
    let mut names = HashMap::new();
    // whatever they do to a thread, they do to their own
    let elsewhere = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let mut servers = JoinSet::new();
    let mut logs = Vec::new();
    for (case, id) in cases.iter().zip(100..) {
        let log = Arc::new(Log::default());
        let address = SocketAddr::from(([127, 0, 0, 1], case.port));
        if case.listens {
            let listener = elsewhere.spawn(TcpListener::bind(address)).await.unwrap().unwrap();
            let served =
                serve(listener, Arc::clone(&case.serve), case.tls.clone(), case.resets, Arc::clone(&log));
            servers.spawn_on(served, elsewhere.handle());
        }
        logs.push(log);
        names.insert(case.host(), case.looks.clone());
        let scheme = if case.https { "https" } else { "http" };
        let mut hook = webhook(id, &format!("{scheme}://{}:{}/hook", case.host(), case.port));
        hook.sending.timeout = TIMEOUT;
        hook.sending.schedule = case.schedule();
        if case.stranger {
            hook.description = Some("a stranger's".into());
        }
        hooks.push(hook);
        for _ in 0..case.deliveries {
            queue.push(id, 1, Bytes::from_static(b"{"), vec![b'x'; case.body_bytes].into());
        }
    }
    queue.fill(NEIGHBOUR, 0..NEIGHBOUR_DELIVERIES);
    let transport = Transport::resolving_by(&settings, Arc::new(Names(Mutex::new(names)))).unwrap();
    let trust = |webhook: &walhook::webhook::Webhook| match webhook.description {
        None => Trust::Operator,
        Some(_) => Trust::Registered,
    };
    let courier = Arc::new(HttpCourier::new(transport, trust));
    let running = Running::start(Arc::clone(&queue), hooks, courier, Clock::system());
    let is_through = |queue: &MemoryQueue, (case, id): (&Case, u64)| match case.expected.len() {
        0 => queue.delivered(id) as u64 == case.deliveries,
        expected => {
            let attempts = queue.deliveries(id).into_iter().map(|delivery| delivery.attempts.len());
            attempts.sum::<usize>() >= expected
        }
    };
    let finished = queue.wait_until(|queue| {
        queue.delivered(NEIGHBOUR) as u64 == NEIGHBOUR_DELIVERIES
            && cases.iter().zip(100..).all(|case| is_through(queue, case))
    });
    if tokio::time::timeout(Duration::from_secs(60), finished).await.is_err() {
        let late = cases.iter().zip(100..).filter(|case| !is_through(&queue, *case));
        panic!("not attempted in time: {:?}", late.map(|(case, _)| case.name).collect::<Vec<_>>());
    }
    let ears = Arc::clone(&running.ears);
    running.stop().await.unwrap();
    let settlements: HashMap<_, _> = ears
        .settlements()
        .into_iter()
        .map(|(number, attempt, settlement)| ((number, attempt), settlement))
        .collect();
    servers.shutdown().await;
    elsewhere.shutdown_background();

    let mut wrong = String::new();
    let mut slowest = (Duration::ZERO, "none");
    let mut reports = Vec::new();
    for ((case, id), log) in cases.iter().zip(100..).zip(logs) {
        let mut attempts: Vec<_> = queue
            .deliveries(id)
            .into_iter()
            .flat_map(|delivery| {
                let sequence = delivery.number.sequence;
                delivery.attempts.into_iter().map(move |attempt| (sequence, attempt))
            })
            .collect();
        attempts.sort_by_key(|(sequence, attempt)| (*sequence, attempt.number));
        let found: Vec<_> = attempts
            .iter()
            .map(|(sequence, attempt)| {
                let settlement = settlements[&(format!("{}/{sequence}", WebhookId(id)), attempt.number)];
                format!("{}: {}", word(settlement), told(&attempt.outcome))
            })
            .collect();
        let fits = found.len() == case.expected.len()
            && found.iter().zip(&case.expected).all(|(found, expected)| fits(found, expected));
        if !fits && !case.expected.is_empty() {
            writeln!(wrong, "{}:\n  expected {:?}\n  found    {found:?}", case.name, case.expected).unwrap();
        }
        for (_, attempt) in &attempts {
            if attempt.duration > if case.ends_soon { TIMEOUT } else { TIMEOUT + SLACK } {
                writeln!(wrong, "{}: took {:?}", case.name, attempt.duration).unwrap();
            }
            slowest = slowest.max((attempt.duration, case.name));
            if !can_be_shown(&attempt.outcome) {
                writeln!(wrong, "{}: cannot be shown: {:?}", case.name, attempt.outcome).unwrap();
            }
        }
        let requests = log.requests.lock().unwrap().clone();
        if requests.len() > attempts.len() {
            writeln!(wrong, "{}: {} requests in {} attempts", case.name, requests.len(), attempts.len())
                .unwrap();
        }
        let (bytes, connections) = log.sent();
        if bytes > TAKEN_BYTES_MAX * attempts.len() {
            writeln!(wrong, "{}: {bytes} bytes were taken", case.name).unwrap();
        }
        reports.push(Report { requests, connections });
    }
    let mut usual = Duration::ZERO;
    for delivery in queue.deliveries(NEIGHBOUR) {
        usual = usual.max(delivery.attempts[0].duration);
        if delivery.attempts.len() != 1 || usual > NEIGHBOUR_MAX {
            writeln!(wrong, "the neighbour felt it: {:?}", delivery.attempts).unwrap();
        }
    }
    println!(
        "{} cases in {:.1?}; the slowest attempt {:.1?} ({}), the neighbour's {usual:.0?}",
        cases.len(),
        begin.elapsed(),
        slowest.0,
        slowest.1,
    );
    assert!(wrong.is_empty(), "\n{wrong}");
    reports
}

/// The authority of the tests is trusted, strangers may go to 127.0.0.1 only.
fn settings() -> Settings {
    Settings {
        allow: vec!["127.0.0.1/32".parse().unwrap()],
        authorities: vec![tls::authority().certificate.clone()],
        ..Settings::default()
    }
}

async fn serve(
    listener: TcpListener,
    serve: Serve,
    tls: Option<Arc<rustls::ServerConfig>>,
    resets: bool,
    log: Arc<Log>,
) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let number = log.connect();
        if resets {
            stream.set_zero_linger().unwrap();
        }
        connections.spawn(converse(stream, number, Arc::clone(&serve), tls.clone(), Arc::clone(&log)));
    }
}

/// What goes wrong here is what the case is about, or shows in its outcome.
async fn converse(
    stream: TcpStream,
    number: usize,
    serve: Serve,
    tls: Option<Arc<rustls::ServerConfig>>,
    log: Arc<Log>,
) {
    let _ = stream.set_nodelay(true);
    let peer = match tls {
        Some(config) => match TlsAcceptor::from(config).accept(stream).await {
            Ok(stream) => Peer::new(stream, number, log),
            Err(_) => return,
        },
        None => Peer::new(stream, number, log),
    };
    let _ = serve(peer).await;
}

/// Whether a text is as expected; a `*` stands for any text.
fn fits(found: &str, expected: &str) -> bool {
    match expected.split_once('*') {
        Some((begin, end)) => found.strip_prefix(begin).is_some_and(|rest| rest.ends_with(end)),
        None => found == expected,
    }
}

fn word(settlement: Settlement) -> &'static str {
    match settlement {
        Settlement::Delivered => "taken",
        Settlement::Retry { .. } => "retried",
        Settlement::Dead | Settlement::Blocking => "dead",
    }
}

/// An outcome as it stands in `last_error`, with what else was kept of an answer.
fn told(outcome: &Outcome) -> String {
    let mut told = outcome.to_string();
    if let Outcome::Answered { retry_after, excerpt, .. } = outcome {
        if let Some(pause) = retry_after {
            write!(told, ", pause {} s", pause.as_secs()).unwrap();
        }
        if excerpt.len() > 80 {
            write!(told, ", {} bytes", excerpt.len()).unwrap();
        } else if !excerpt.is_empty() {
            write!(told, ", {excerpt:?}").unwrap();
        }
    }
    told
}

/// Whether an outcome is short and does nothing to a terminal.
fn can_be_shown(outcome: &Outcome) -> bool {
    let excerpt = match outcome {
        Outcome::Answered { excerpt, .. } => excerpt,
        _ => "",
    };
    let acts = |char: char| char.is_control() || ('\u{202a}'..='\u{202e}').contains(&char);
    let line = outcome.to_string();
    line.len() < 400
        && !line.contains(acts)
        && excerpt.len() <= 3 * 1024
        && !excerpt.contains(|char| acts(char) && char != '\n' && char != '\t')
}
