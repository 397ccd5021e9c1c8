//! What an endpoint sends: an answer in HTTP/1.1, or anything else; in place of a handshake, or behind it.

// in the tests a module, for the fuzzer a file of its own
#![allow(unreachable_pub, dead_code)]

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use walhook::delivery::{Body, Claim, DeliveryId, DeliveryNumber, Outcome};
use walhook::event::Verb;
use walhook::form::Lane;
use walhook::retry::Schedule;
use walhook::transport::{Settings, Transport, Trust};
use walhook::webhook::{Authentication, Callback, OnExhausted, Origin, Sending, Webhook, WebhookId};

/// An attempt's time.
const TIMEOUT: Duration = Duration::from_millis(400);
/// How much later it may end where few processors play all sides.
const SLACK: Duration = Duration::from_secs(20);
/// How long the texts are that are kept: bytes of the excerpt, each of which can be replaced by three, and
/// characters of a reason.
const EXCERPT_BYTES_MAX: usize = 3 * 1024;
const REASON_CHARS_MAX: usize = 400;

struct Stage {
    runtime: Runtime,
    transport: Transport,
    listener: TcpListener,
}

thread_local! {
    static STAGE: OnceCell<Stage> = const { OnceCell::new() };
}

/// Whatever is sent, an outcome comes in time, in few words that can be shown. The first byte says whether the endpoint
/// is to speak TLS and whether it leaves the connection open; the others are what it sends.
pub fn answer(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let (tls, stays) = (choice & 1 == 1, choice & 0xf0 == 0xf0);
    STAGE.with(|stage| {
        let stage = stage.get_or_init(Stage::new);
        let began = Instant::now();
        let outcome = stage.runtime.block_on(stage.attempt(bytes, tls, stays));
        assert!(began.elapsed() < TIMEOUT + SLACK, "{:?}", began.elapsed());
        fits(&outcome, bytes, tls);
    });
}

fn fits(outcome: &Outcome, bytes: &[u8], tls: bool) {
    match outcome {
        Outcome::Answered { status, excerpt, .. } => {
            assert!(!tls, "nobody shook hands");
            assert!((200..=999).contains(status) || *status == 101, "{status}");
            // its digits stood in what was sent
            let digits = status.to_string();
            assert!(bytes.windows(3).any(|window| window == digits.as_bytes()), "{status} was never said");
            assert!(excerpt.len() <= EXCERPT_BYTES_MAX && can_be_shown(excerpt), "{excerpt:?}");
        }
        Outcome::Unreachable { reason } | Outcome::Refused { reason } => {
            assert!(!reason.is_empty() && reason.chars().count() <= REASON_CHARS_MAX, "{reason:?}");
            assert!(can_be_shown(reason) && !reason.contains('\n'), "{reason:?}");
        }
        Outcome::TimedOut => {}
    }
}

fn can_be_shown(text: &str) -> bool {
    text.chars().all(|char| matches!(char, '\n' | '\t') || !char.is_control())
}

impl Stage {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (transport, listener) = runtime.block_on(async {
            // an answer to a question that nobody asked is not to meet the next one
            let settings = Settings { idle_per_host_max: 0, ..Settings::default() };
            (Transport::new(&settings).unwrap(), TcpListener::bind("127.0.0.1:0").await.unwrap())
        });
        Self { runtime, transport, listener }
    }

    async fn attempt(&self, bytes: &[u8], tls: bool, stays: bool) -> Outcome {
        let port = self.listener.local_addr().unwrap().port();
        let scheme = if tls { "https" } else { "http" };
        let endpoint =
            self.transport.prepare(&webhook(&format!("{scheme}://127.0.0.1:{port}/hook")), Trust::Operator);
        let endpoint = endpoint.unwrap();
        let claim = claim();
        let sending = self.transport.send(
            &endpoint,
            &claim,
            &claim.body,
            http::HeaderMap::new(),
            1_700_000_000_000_000,
        );
        let answering = async {
            let (mut stream, _) = self.listener.accept().await.unwrap();
            let mut request = [0; 4096];
            // the client may have gone, which is its right
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(bytes).await;
            if stays {
                std::future::pending::<()>().await;
            }
            let _ = stream.shutdown().await;
            while stream.read(&mut request).await.is_ok_and(|length| length > 0) {}
            std::future::pending::<()>().await;
        };
        tokio::select! {
            outcome = sending => outcome,
            () = answering => unreachable!("it waits until the attempt has ended"),
        }
    }
}

fn claim() -> Claim {
    Claim {
        number: DeliveryNumber { webhook: WebhookId(1), sequence: 1 },
        id: DeliveryId([7; 16]),
        attempt: 1,
        failures: 0,
        replay: false,
        body: Body { content_type: "application/json".into(), head: "{".into(), tail: "}".into() },
        form: "Incident".into(),
        verb: Verb::Update,
        entry_id: "INC1".into(),
        lane: Lane(1),
        committed_at_us: 0,
    }
}

fn webhook(url: &str) -> Webhook {
    Webhook {
        id: WebhookId(1),
        origin: Origin::File,
        name: "fuzzed".into(),
        description: None,
        listens: vec![],
        condition: None,
        payload_fields: vec![],
        send_unchanged_fields: false,
        custom_json: None,
        mail_exceptions_to: vec![],
        exclude: walhook::webhook::Exclude::default(),
        body: walhook::webhook::BodyChoices::default(),
        account: None,
        enabled: true,
        format: "native",
        callback: Callback {
            tls: None,
            proxy: None,
            headers: BTreeMap::new(),
            url: url.parse().unwrap(),
            authentication: Authentication { scheme: "NO_AUTH", settings: BTreeMap::new() },
        },
        signing_secrets: vec![],
        policy: None,
        retention: None,
        sending: Sending {
            schedule: Schedule::default(),
            on_exhausted: OnExhausted::Skip,
            in_flight_max: 1,
            per_second_max: None,
            timeout: TIMEOUT,
            backlog_bytes_max: 1 << 20,
        },
    }
}
