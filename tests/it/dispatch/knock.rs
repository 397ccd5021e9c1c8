//! Knocks at endpoints that let nobody in: how soon deliveries go on when they are back, and what is not done to them
//! meanwhile.

use super::{MemoryQueue, Running, webhook};
use crate::receiver::{Receiver, Reply};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};
use walhook::clock::Clock;
use walhook::delivery::{Body, Claim, DeliveryId, DeliveryNumber, Outcome};
use walhook::dispatch::{Courier, Door};
use walhook::event::Verb;
use walhook::form::Lane;
use walhook::retry::Schedule;
use walhook::transport::{Endpoint, Settings, Transport, Trust};
use walhook::webhook::Webhook;

/// What an endpoint does with who comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nobody is let in.
    Shut,
    /// Knocks are answered, attempts are not let in.
    Deceives,
    /// Everybody is let in, and gets no answer.
    Hangs,
    /// Everybody is let in and refused.
    Refuses,
    Takes,
}

/// How long it takes to be let in, or not to be.
const KNOCK_TIME: Duration = Duration::from_millis(100);

/// Endpoints in virtual time.
struct Town<F> {
    fate: F,
    log: Mutex<Log>,
}

#[derive(Clone, Default)]
struct Log {
    /// When each began, and whether it was a success.
    attempts: Vec<(Instant, bool)>,
    /// Whether the last one of each webhook was not let in.
    shut: BTreeMap<u64, bool>,
    knocks: Vec<Instant>,
    /// At which doors.
    under_way: BTreeSet<String>,
}

impl<F: Fn(u64) -> Fate + Send + Sync> Town<F> {
    fn new(fate: F) -> Arc<Self> {
        Arc::new(Self { fate, log: Mutex::default() })
    }

    fn log(&self) -> Log {
        self.log.lock().unwrap().clone()
    }

    /// How many knocks there are in this time.
    async fn knocks_within(&self, time: Duration) -> usize {
        let before = self.log().knocks.len();
        sleep(time).await;
        self.log().knocks.len() - before
    }
}

impl<F: Fn(u64) -> Fate + Send + Sync> Courier for Town<F> {
    fn attempt<'a>(&'a self, webhook: &'a Arc<Webhook>, _: &'a Claim, _: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let begin = Instant::now();
            let fate = (self.fate)(webhook.id.0);
            let (time, outcome) = match fate {
                Fate::Shut | Fate::Deceives => {
                    (KNOCK_TIME, Outcome::Unreachable { reason: "connection refused".into() })
                }
                Fate::Hangs => (Duration::from_secs(15), Outcome::TimedOut),
                Fate::Refuses => (Duration::from_millis(5), answered(503)),
                Fate::Takes => (Duration::from_millis(5), answered(200)),
            };
            {
                let mut log = self.log.lock().unwrap();
                log.attempts.push((begin, outcome.is_success()));
                log.shut.insert(webhook.id.0, matches!(fate, Fate::Shut | Fate::Deceives));
            }
            sleep(time).await;
            outcome
        })
    }

    fn is_shut(&self, webhook: &Arc<Webhook>) -> bool {
        self.log.lock().unwrap().shut[&webhook.id.0]
    }

    fn door(&self, webhook: &Webhook) -> Door {
        Door(webhook.callback.url.origin().ascii_serialization())
    }

    fn knock<'a>(&'a self, webhook: &'a Webhook) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            let door = self.door(webhook).0;
            let is_alone = {
                let mut log = self.log.lock().unwrap();
                log.knocks.push(Instant::now());
                log.under_way.insert(door.clone())
            };
            assert!(is_alone, "two knocks at {door} at once");
            let _under_way = UnderWay { log: &self.log, door };
            sleep(KNOCK_TIME).await;
            (self.fate)(webhook.id.0) != Fate::Shut
        })
    }
}

/// A knock; it may be given up.
struct UnderWay<'a> {
    log: &'a Mutex<Log>,
    door: String,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.log.lock().unwrap().under_way.remove(&self.door);
    }
}

fn answered(status: u16) -> Outcome {
    Outcome::Answered { status, retry_after: None, excerpt: String::new() }
}

/// A clock that goes with tokio's time.
fn clock() -> Clock {
    let begin = Instant::now();
    Clock::new(move || 1_700_000_000_000_000 + begin.elapsed().as_micros() as i64)
}

const URL: &str = "http://receiver.example/";
const MINUTE: Duration = Duration::from_secs(60);

/// An endpoint that came back after some minutes had its backlog wait for up to half a minute more, until the next
/// probe. The knocks found out what the probes, which cost an attempt each, cannot ask as often.
#[tokio::test(start_paused = true)]
async fn the_first_delivery_goes_out_within_a_second_of_the_endpoints_return() {
    // at any place between two knocks and between two probes
    for after_ms in (0..30_000).step_by(1370) {
        let queue = Arc::new(MemoryQueue::default());
        queue.fill(1, 0..500);
        let back = Instant::now() + 10 * MINUTE + Duration::from_millis(after_ms);
        let town = Town::new(move |_| if Instant::now() < back { Fate::Shut } else { Fate::Takes });
        let running = Running::start(Arc::clone(&queue), vec![webhook(1, URL)], town.clone(), clock());
        let all = queue.wait_until(|queue| queue.delivered(1) == 500);
        timeout(60 * MINUTE, all).await.expect("all are delivered");
        let log = town.log();
        let first = log.attempts.iter().find(|(_, success)| *success).unwrap().0;
        assert!(first <= back + Duration::from_secs(1), "{:?} after it was back", first - back);
        // 16 at once; then after 1, 2, 4, 8, 16 and every 30 seconds, as without knocks
        let failed = log.attempts.iter().filter(|(_, success)| !success).count();
        let expected = 16 + 5 + (600 - 31 + after_ms as usize / 1000) / 30;
        assert!((expected - 2..=expected + 1).contains(&failed), "{failed} instead of {expected}");
        let pauses = log.knocks.windows(2).map(|pair| pair[1] - pair[0]);
        assert!(pauses.min().unwrap() >= Duration::from_millis(499), "knocks are not hammering");
        assert_eq!(running.ears.turns(), ["hook 1 died: connection refused", "hook 1 recovered"]);
        assert_eq!(town.knocks_within(10 * MINUTE).await, 0);
        running.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_lets_in_and_fails_is_not_knocked_at() {
    for fate in [Fate::Hangs, Fate::Refuses] {
        let queue = Arc::new(MemoryQueue::default());
        queue.fill(1, 0..500);
        let town = Town::new(move |_| fate);
        let running = Running::start(Arc::clone(&queue), vec![webhook(1, URL)], town.clone(), clock());
        assert_eq!(town.knocks_within(10 * MINUTE).await, 0);
        let attempts = town.log().attempts.len();
        assert!((30..=42).contains(&attempts), "{attempts} attempts");
        running.stop().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn who_answers_knocks_and_shuts_out_attempts_costs_few_attempts() {
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, 0..500);
    let town = Town::new(|_| Fate::Deceives);
    let running = Running::start(Arc::clone(&queue), vec![webhook(1, URL)], town.clone(), clock());
    sleep(60 * MINUTE).await;
    let attempts = town.log().attempts.len();
    // 16 at once, one every 30 seconds, and in the beginning those that a knock let begin
    assert!((130..=16 + 120 + 12).contains(&attempts), "{attempts} attempts");
    running.stop().await.unwrap();
}

/// Half an hour of retries with long pauses, in which nothing is due.
#[tokio::test(start_paused = true)]
async fn knocks_end_when_there_is_nothing_to_send_or_nobody_to_send_for() {
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, 0..16);
    let town = Town::new(|_| Fate::Shut);
    let mut hook = webhook(1, URL);
    hook.sending.schedule = Schedule { pauses: vec![6000 * MINUTE; 3] };
    let running = Running::start(Arc::clone(&queue), vec![hook.clone()], town.clone(), clock());
    // those under way when it died, and nothing behind them
    assert_eq!(town.knocks_within(30 * MINUTE).await, 0);
    // three probes with pauses between them, and three deliveries that wait for theirs
    queue.fill(1, 100..200);
    sleep(2 * MINUTE).await;
    let knocks = town.knocks_within(MINUTE).await;
    assert!((100..=120).contains(&knocks), "{knocks} knocks in a minute");

    let off = Webhook { enabled: false, ..hook.clone() };
    running.register(vec![off]);
    sleep(KNOCK_TIME).await;
    assert_eq!(town.knocks_within(10 * MINUTE).await, 0, "it is disabled");
    running.register(vec![hook]);
    sleep(MINUTE).await;
    assert!(town.knocks_within(MINUTE).await >= 100, "it is enabled again");
    running.register(vec![]);
    sleep(KNOCK_TIME).await;
    assert_eq!(town.knocks_within(10 * MINUTE).await, 0, "it is deleted");
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn knocks_end_with_the_shutdown() {
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, 0..500);
    let town = Town::new(|webhook| if webhook == 1 { Fate::Shut } else { Fate::Hangs });
    let hooks = vec![webhook(1, URL), webhook(2, "http://elsewhere.example/")];
    let running = Running::start(Arc::clone(&queue), hooks, town.clone(), clock());
    sleep(5 * MINUTE).await;
    assert!(town.knocks_within(MINUTE).await >= 100);
    // the shutdown waits for an attempt, but not with knocks
    queue.fill(2, [1]);
    sleep(Duration::from_millis(10)).await;
    let (begin, knocks) = (Instant::now(), town.log().knocks.len());
    running.stop().await.unwrap();
    assert!(begin.elapsed() >= Duration::from_secs(9), "nothing was waited for");
    assert_eq!(town.log().knocks.len(), knocks);
}

#[tokio::test(start_paused = true)]
async fn webhooks_with_the_same_door_are_knocked_for_together() {
    let queue = Arc::new(MemoryQueue::default());
    let ids = 1..=20;
    let hooks: Vec<_> = ids.clone().map(|id| webhook(id, &format!("{URL}{id}"))).collect();
    ids.clone().for_each(|id| queue.fill(id, 0..50));
    let back = Instant::now() + 5 * MINUTE;
    let town = Town::new(move |_| if Instant::now() < back { Fate::Shut } else { Fate::Takes });
    let running = Running::start(Arc::clone(&queue), hooks, town.clone(), clock());
    sleep(MINUTE).await;
    let knocks = town.knocks_within(MINUTE).await;
    assert!((80..=120).contains(&knocks), "{knocks} knocks in a minute");
    let each = queue.wait_until(|queue| ids.clone().all(|id| queue.delivered(id) > 0));
    timeout(60 * MINUTE, each).await.expect("each gets something");
    assert!(back.elapsed() < Duration::from_secs(2), "{:?} after it was back", back.elapsed());
    running.stop().await.unwrap();
}

fn claim() -> Claim {
    Claim {
        number: DeliveryNumber { webhook: walhook::webhook::WebhookId(1), sequence: 1 },
        id: DeliveryId([1; 16]),
        attempt: 1,
        failures: 0,
        replay: false,
        body: Body {
            head: Bytes::from_static(b"{"),
            tail: Bytes::from_static(b"}"),
            content_type: "a/b".into(),
        },
        form: "Incident".into(),
        verb: Verb::Update,
        entry_id: "1".into(),
        lane: Lane(1),
        committed_at_us: 0,
    }
}

/// What becomes of an attempt, and whether the endpoint is shut then.
async fn attempt(transport: &Transport, endpoint: &Endpoint) -> (String, bool) {
    let claim = claim();
    let outcome = transport.send(endpoint, &claim, &claim.body, http::HeaderMap::new(), 0).await;
    (outcome.to_string(), endpoint.is_shut())
}

fn prepare(transport: &Transport, url: &str) -> Endpoint {
    let mut hook = webhook(1, url);
    hook.sending.timeout = Duration::from_secs(1);
    transport.prepare(&hook, Trust::Operator).unwrap()
}

#[tokio::test]
async fn only_who_lets_nobody_in_is_shut() {
    let receiver = Receiver::start().await;
    let transport = Transport::new(&Settings::default()).unwrap();
    let endpoint = prepare(&transport, &receiver.url());
    for (reply, expected) in [
        (Reply::ok(), "200 OK"),
        (Reply::status(503), "503 Service Unavailable"),
        (Reply::hang(), "timeout"),
        (Reply::cut(), "connection broke: connection closed before message completed"),
    ] {
        receiver.reply(reply);
        assert_eq!(attempt(&transport, &endpoint).await, (expected.to_owned(), false));
    }
    // it is let in, and cannot begin TLS
    let secure = prepare(&transport, &receiver.url().replace("http:", "https:"));
    let (outcome, shut) = attempt(&transport, &secure).await;
    assert!(!shut, "{outcome}");
    let address = receiver.stop().await;
    let refused = ("could not connect: Connection refused (os error 111)".to_owned(), true);
    assert_eq!(attempt(&transport, &endpoint).await, refused);
    let receiver = Receiver::start_on(address).await;
    assert_eq!(attempt(&transport, &endpoint).await, ("200 OK".to_owned(), false));
    drop(receiver);
    let nowhere = prepare(&transport, "http://no-such-host.invalid/");
    let (outcome, shut) = attempt(&transport, &nowhere).await;
    assert!(shut, "{outcome}");
}

/// A port where connecting gets no answer at all, as with a machine that is switched off: its queue of connections
/// that nobody accepts is full.
async fn silent() -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(300), TcpStream::connect(address)).await {
        waiting.push(stream.unwrap());
        assert!(waiting.len() < 100, "the queue is never full");
    }
    (address, listener, waiting)
}

#[tokio::test]
async fn a_machine_that_is_off_is_shut_although_the_attempt_only_says_timeout() {
    let (address, listener, waiting) = silent().await;
    let transport = Transport::new(&Settings::default()).unwrap();
    let endpoint = prepare(&transport, &format!("http://{address}/"));
    assert_eq!(attempt(&transport, &endpoint).await, ("timeout".to_owned(), true));
    let callback = webhook(1, &format!("http://{address}/")).callback;
    // it gives up by itself, and much sooner than an attempt
    let knock = transport.knock(&callback, Trust::Operator);
    assert_eq!(timeout(Duration::from_secs(5), knock).await, Ok(false));
    drop((listener, waiting));
}

#[tokio::test]
async fn a_knock_is_a_connection_without_a_byte_and_only_where_the_guard_lets_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let transport = Transport::new(&Settings::default()).unwrap();
    for host in ["localhost", "127.0.0.1", "0x7f.1", "[::ffff:127.0.0.1]"] {
        let url = webhook(1, &format!("http://{host}:{port}/hook")).callback;
        assert!(!transport.knock(&url, Trust::Registered).await, "{host} leads inside");
        let in_vain = timeout(Duration::from_millis(50), listener.accept()).await;
        assert!(in_vain.is_err(), "a knock at {host} came through");
        assert!(transport.knock(&url, Trust::Operator).await, "{host} is the operator's");
        let (mut stream, _) = listener.accept().await.unwrap();
        assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0, "{host} was sent something");
    }
    let metadata = webhook(1, "http://169.254.169.254/latest/meta-data").callback;
    assert!(!transport.knock(&metadata, Trust::Operator).await);
    drop(listener);
    let url = webhook(1, &format!("http://127.0.0.1:{port}/hook")).callback;
    assert!(!transport.knock(&url, Trust::Operator).await, "nobody is there");
}
