//! Dispatch and transport against a real receiver: what is on the wire, and what every answer means.

use super::{MemoryQueue, Running, webhook};
use crate::receiver::{Receiver, Reply, Request};
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use walhook::clock::Clock;
use walhook::delivery::{Body, Claim, DeliveryId, DeliveryNumber, Outcome, Settlement};
use walhook::dispatch::{Courier, HttpCourier};
use walhook::event::Verb;
use walhook::form::Lane;
use walhook::retry::Schedule;
use walhook::transport::{Settings, Transport, Trust};
use walhook::webhook::{Origin, Webhook, WebhookId};

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

fn start(queue: &Arc<MemoryQueue>, webhook: Webhook) -> Running {
    let courier = HttpCourier::new(Transport::new(&Settings::default()).unwrap(), |_| Trust::Operator);
    Running::start(Arc::clone(queue), vec![webhook], Arc::new(courier), Clock::system())
}

/// A webhook whose retries come soon.
fn quick(url: &str) -> Webhook {
    let mut hook = webhook(1, url);
    hook.sending.schedule = Schedule { pauses: vec![Duration::from_millis(20); 3] };
    hook
}

#[track_caller]
fn verify(request: &Request) {
    let names = ["webhook-id", "webhook-timestamp", "webhook-signature"];
    let headers = names.map(|name| (name.parse().unwrap(), request.header(name).unwrap().parse().unwrap()));
    let library = standardwebhooks::Webhook::new(SECRET).unwrap();
    library.verify(&request.body, &headers.into_iter().collect()).unwrap();
}

#[tokio::test]
async fn a_request_says_what_it_is_and_is_signed() {
    let receiver = Receiver::start().await;
    receiver.script(|request| Reply::status(if request.attempt() == 1 { 503 } else { 202 }).body("noted"));
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, [7]);
    let mut hook = quick(&format!("{}?a=b", receiver.url()));
    hook.signing_secrets = vec![SECRET.into()];
    hook.callback.authentication = walhook::auth::check(
        "basic",
        [("username".to_owned(), "walhook".into()), ("password".to_owned(), "Demo123".into())].into(),
    )
    .unwrap();
    let running = start(&queue, hook);
    let requests = receiver.wait_for(2).await;
    queue.wait_until(|queue| queue.delivered(1) == 1).await;
    for request in &requests {
        verify(request);
        assert_eq!((request.method.as_str(), request.path.as_str()), ("POST", "/hook?a=b"));
        assert_eq!(request.text(), "{\"head\":1,\"tail\":2}");
        assert_eq!(request.id(), "msg_00000000000000010000000000000001");
        assert_eq!(request.sequence(), 1);
        assert_eq!(request.header("content-type"), Some("application/json"));
        assert_eq!(request.header("content-length"), Some("19"));
        assert_eq!(request.header("user-agent"), Some(walhook::transport::AGENT));
        assert_eq!(request.header("authorization"), Some("Basic d2FsaG9vazpEZW1vMTIz"));
        assert_eq!(request.header("accept-encoding"), None);
        assert!(!request.is_replay());
    }
    assert_eq!(requests.iter().map(Request::attempt).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(requests[0].connection, requests[1].connection, "the connection was not kept");
    let delivery = &queue.deliveries(1)[0];
    let outcomes: Vec<_> = delivery.attempts.iter().map(|attempt| attempt.outcome.clone()).collect();
    let answered = |status| Outcome::Answered { status, retry_after: None, excerpt: "noted".into() };
    assert_eq!(outcomes, [answered(503), answered(202)]);
    assert_eq!(delivery.attempts[1].number, 2);
    assert!(delivery.attempts[0].started_at_us < delivery.attempts[1].started_at_us);
    let ears = Arc::clone(&running.ears);
    running.stop().await.unwrap();
    assert_eq!(ears.settlements().len(), 2);
    for untold in ["noted", "Demo123", "d2FsaG9vazpEZW1vMTIz", "tail", SECRET] {
        assert!(!ears.text().contains(untold), "{untold} was told");
    }
}

#[tokio::test]
async fn a_replay_says_so_and_goes_on_counting() {
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(422));
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, [7]);
    let running = start(&queue, quick(&receiver.url()));
    queue.wait_until(|queue| queue.deliveries(1)[0].end == Some(Settlement::Dead)).await;
    receiver.reply(Reply::ok());
    queue.replay_one(1, 1);
    let requests = receiver.wait_for(2).await;
    assert!(!requests[0].is_replay() && requests[1].is_replay());
    assert_eq!((requests[1].attempt(), requests[1].id()), (2, requests[0].id()));
    assert_eq!(requests[0].body, requests[1].body);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let receiver = Receiver::start().await;
    receiver.script(|request| match request.attempt() {
        1 => Reply::status(429).header("retry-after", "2"),
        _ => Reply::ok(),
    });
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, [7]);
    let running = start(&queue, quick(&receiver.url()));
    let requests = receiver.wait_for(2).await;
    let pause = requests[1].arrived - requests[0].arrived;
    assert!((Duration::from_millis(1900)..Duration::from_secs(10)).contains(&pause), "{pause:?}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn gone_suspends_until_somebody_enables_and_loses_nothing() {
    let receiver = Receiver::start().await;
    receiver.reply(Reply::status(410));
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, [7, 7]);
    let running = start(&queue, quick(&receiver.url()));
    queue.wait_until(|queue| queue.standing(1).suspended.is_some()).await;
    assert_eq!(queue.standing(1).suspended.as_deref(), Some("the endpoint answered 410 Gone"));
    receiver.reply(Reply::ok());
    queue.enable(1);
    let requests = receiver.wait_for(3).await;
    queue.wait_until(|queue| queue.delivered(1) == 2).await;
    assert_eq!(requests.iter().map(Request::sequence).collect::<Vec<_>>(), [1, 1, 2]);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn new_credentials_and_urls_hold_at_once() {
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    old.reply(Reply::status(401));
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, [7]);
    let mut hook = webhook(1, &old.url());
    hook.sending.schedule = Schedule { pauses: vec![Duration::from_millis(50); 1000] };
    let running = start(&queue, hook.clone());
    old.wait_for(2).await;
    hook.callback.url = new.url().parse().unwrap();
    hook.callback.authentication =
        walhook::auth::check("BEARER", [("token".to_owned(), "t0ken".into())].into()).unwrap();
    running.register(vec![hook]);
    let requests = new.wait_for(1).await;
    assert_eq!(requests[0].header("authorization"), Some("Bearer t0ken"));
    queue.wait_until(|queue| queue.delivered(1) == 1).await;
    running.stop().await.unwrap();
}

pub(crate) fn claim(body: Body) -> Claim {
    Claim {
        number: DeliveryNumber { webhook: WebhookId(1), sequence: 1 },
        id: DeliveryId([1; 16]),
        attempt: 1,
        failures: 0,
        replay: false,
        body,
        form: "Incident".into(),
        verb: Verb::Create,
        entry_id: "1".into(),
        lane: Lane(1),
        committed_at_us: 0,
    }
}

pub(crate) fn body(head: &'static str, tail: &'static str) -> Body {
    Body {
        head: Bytes::from_static(head.as_bytes()),
        tail: Bytes::from_static(tail.as_bytes()),
        content_type: "application/json".into(),
    }
}

/// One attempt.
async fn send(url: &str, trust: Trust, settings: &Settings) -> Outcome {
    let transport = Transport::new(settings).unwrap();
    let mut hook = webhook(1, url);
    hook.sending.timeout = Duration::from_millis(700);
    let endpoint = transport.prepare(&hook, trust).unwrap();
    let claim = claim(body("{", "}"));
    transport.send(&endpoint, &claim, &claim.body, http::HeaderMap::new(), 0).await
}

#[tokio::test]
async fn further_headers_are_sent_on_every_attempt_and_take_no_place_of_others() {
    let receiver = Receiver::start().await;
    let transport = Transport::new(&Settings::default()).unwrap();
    let mut hook = webhook(1, &receiver.url());
    let mut headers = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        hook.callback.headers = pairs.collect();
        transport.prepare(&hook, Trust::Operator).unwrap()
    };
    let endpoint = headers(&[("X-Team", "desk"), ("User-Agent", "us"), ("X-Key", "ours")]);
    let credentials = || [("x-key".parse().unwrap(), "secret".parse().unwrap())].into_iter().collect();
    for _ in 0..2 {
        let claim = claim(body("{", "}"));
        let outcome = transport.send(&endpoint, &claim, &claim.body, credentials(), 0).await;
        assert!(outcome.is_success(), "{outcome:?}");
    }
    for request in receiver.requests() {
        for (name, expected) in [("x-team", "desk"), ("user-agent", "us"), ("x-key", "secret")] {
            assert_eq!(request.header(name), Some(expected));
        }
        assert!(request.header("webhook-id").is_some());
    }
    // whoever wrote them around the check gets no further than here
    let endpoint = headers(&[("webhook-id", "x")]);
    let claim = claim(body("{", "}"));
    let outcome = transport.send(&endpoint, &claim, &claim.body, credentials(), 0).await;
    let told = "could not make the request: \"webhook-id\" is set by walhook itself";
    assert_eq!(outcome, Outcome::Refused { reason: told.into() });
    assert_eq!(receiver.count(), 2);
}

// R-NA-05
#[tokio::test]
async fn every_answer_has_an_outcome() {
    let receiver = Receiver::start().await;
    let long = "x".repeat(5000);
    let elsewhere = Receiver::start().await;
    let replies = [
        (Reply::ok(), "Answered { status: 200, retry_after: None, excerpt: \"\" }".to_owned()),
        (
            Reply::status(404).body(long.clone()),
            format!("Answered {{ status: 404, retry_after: None, excerpt: {:?} }}", &long[..1024]),
        ),
        (
            Reply::status(503).header("retry-after", "7").body("later"),
            "Answered { status: 503, retry_after: Some(7s), excerpt: \"later\" }".to_owned(),
        ),
        (
            Reply::status(302).header("location", &elsewhere.url()),
            "Answered { status: 302, retry_after: None, excerpt: \"\" }".to_owned(),
        ),
        (
            Reply::ok().body("half of this").cut_in_body(),
            "Answered { status: 200, retry_after: None, excerpt: \"half o\" }".to_owned(),
        ),
        (Reply::hang(), "TimedOut".to_owned()),
    ];
    for (reply, expected) in replies {
        receiver.reply(reply.clone());
        let outcome = send(&receiver.url(), Trust::Operator, &Settings::default()).await;
        assert_eq!(format!("{outcome:?}"), expected, "{reply:?}");
    }
    assert_eq!(elsewhere.count(), 0, "a redirect was followed");
    // a body that never ends does not hold the attempt beyond its time
    receiver.reply(Reply::ok().body(long).slow_body(Duration::from_millis(100)));
    let outcome = send(&receiver.url(), Trust::Operator, &Settings::default()).await;
    assert!(outcome.is_success(), "{outcome:?}");
    receiver.reply(Reply::cut());
    let outcome = send(&receiver.url(), Trust::Operator, &Settings::default()).await;
    assert!(
        matches!(&outcome, Outcome::Unreachable { reason } if reason.starts_with("connection broke: ")),
        "{outcome:?}"
    );
    let before = receiver.count();
    let address = receiver.stop().await;
    assert_eq!(before, 8, "an attempt is one request");
    let outcome = send(&format!("http://{address}/"), Trust::Operator, &Settings::default()).await;
    assert_eq!(outcome.to_string(), "could not connect: Connection refused (os error 111)");
    let outcome = send("http://no-such-host.invalid/", Trust::Operator, &Settings::default()).await;
    assert!(
        matches!(&outcome, Outcome::Unreachable { reason } if reason.starts_with("could not connect: ")),
        "{outcome:?}"
    );
}

#[tokio::test]
async fn large_bodies_arrive_whole_and_not_in_chunks() {
    let receiver = Receiver::start().await;
    let transport = Transport::new(&Settings::default()).unwrap();
    let mut hook = webhook(1, &receiver.url());
    hook.signing_secrets = vec![SECRET.into()];
    let endpoint = transport.prepare(&hook, Trust::Operator).unwrap();
    let sizes = [(0, 0), (0, 100), (100, 0), (100, 100_000), (3_000_000, 5_000_000)];
    for (head, tail) in sizes {
        let body =
            Body { head: vec![b'h'; head].into(), tail: vec![b't'; tail].into(), content_type: "a/b".into() };
        let now_us = Clock::system().now_us();
        let claim = claim(body);
        let outcome = transport.send(&endpoint, &claim, &claim.body, http::HeaderMap::new(), now_us).await;
        assert!(outcome.is_success(), "{outcome:?}");
    }
    for (request, (head, tail)) in receiver.requests().iter().zip(sizes) {
        assert_eq!(request.body, [vec![b'h'; head], vec![b't'; tail]].concat());
        assert_eq!(request.header("content-length"), Some(&*(head + tail).to_string()));
        assert_eq!(request.header("transfer-encoding"), None);
        verify(request);
    }
}

#[tokio::test]
async fn the_guard_refuses_names_and_literals_that_lead_inside() {
    let receiver = Receiver::start().await;
    let port = receiver.address().port();
    let none = Settings::default();
    for host in ["localhost", "127.0.0.1", "0x7f.1", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{host}:{port}/");
        let outcome = send(&url, Trust::Registered, &none).await;
        // what a name leads to may change
        let reason = match outcome {
            Outcome::Unreachable { reason } if host == "localhost" => reason,
            Outcome::Refused { reason } if host != "localhost" => reason,
            outcome => panic!("{host}: {outcome:?}"),
        };
        assert!(reason.ends_with("is not public, and [dispatch] allow does not contain it"), "{reason}");
        assert_eq!(reason.contains("of \"localhost\""), host == "localhost", "{reason}");
    }
    assert_eq!(receiver.count(), 0);
    let allow = Settings { allow: vec!["127.0.0.0/8".parse().unwrap()], ..Settings::default() };
    for (trust, settings) in [(Trust::Registered, &allow), (Trust::Operator, &none)] {
        for host in ["localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
            let outcome = send(&format!("http://{host}:{port}/"), trust, settings).await;
            assert!(outcome.is_success(), "{host} for {trust:?}: {outcome:?}");
        }
    }
    let outcome = send("http://169.254.169.254/latest/meta-data", Trust::Operator, &allow).await;
    assert_eq!(outcome.to_string(), "address 169.254.169.254 is refused always: a cloud's metadata service");
}

// R-CG-03 R-IT-25
#[tokio::test]
async fn who_registered_a_webhook_decides_where_it_may_go() {
    let receiver = Receiver::start().await;
    let courier = HttpCourier::new(Transport::new(&Settings::default()).unwrap(), Trust::of);
    for (host, origin, arrives) in [
        ("127.0.0.1", Origin::File, true),
        ("127.0.0.1", Origin::Table, false),
        ("localhost", Origin::Table, false),
        ("localhost", Origin::File, true),
    ] {
        let mut hook = webhook(1, &format!("http://{host}:{}/", receiver.address().port()));
        hook.origin = origin;
        let hook = Arc::new(hook);
        let outcome = courier.attempt(&hook, &claim(body("{", "}")), 0).await;
        assert_eq!(outcome.is_success(), arrives, "{host} of {origin:?}: {outcome:?}");
        assert_eq!(courier.knock(&hook).await, arrives, "{host} of {origin:?}");
    }
    assert_eq!(receiver.count(), 2);
}

#[tokio::test]
async fn a_name_is_checked_although_another_webhook_is_connected_there() {
    let receiver = Receiver::start().await;
    let transport = Transport::new(&Settings::default()).unwrap();
    let hook = webhook(1, &format!("http://localhost:{}/", receiver.address().port()));
    for (trust, arrives) in [(Trust::Operator, true), (Trust::Registered, false)] {
        let endpoint = transport.prepare(&hook, trust).unwrap();
        let claim = claim(body("{", "}"));
        let outcome = transport.send(&endpoint, &claim, &claim.body, http::HeaderMap::new(), 0).await;
        assert_eq!(outcome.is_success(), arrives, "{outcome:?}");
    }
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_no_endpoint() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = certified.signing_key.serialize_der().try_into().unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let mut server = tokio::task::JoinSet::new();
    server.spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        assert!(acceptor.accept(stream).await.is_err(), "the client went on");
    });
    let outcome = send(&format!("https://localhost:{port}/"), Trust::Operator, &Settings::default()).await;
    assert_eq!(
        outcome.to_string(),
        "could not connect: invalid certificate: it is signed by nobody whom this system trusts"
    );
    server.join_next().await.unwrap().unwrap();
}
