//! The HTTP surface as monitoring sees it.

use futures_util::FutureExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use walhook::admin::{Admin, Shown};
use walhook::delivery::{
    AcceptedGap, Batch, Claim, DeliveryNumber, Outcome, Settled, Settlement, StreamRecord,
};
use walhook::event::Verb;
use walhook::form::BindingRecord;
use walhook::keymap::{KeyRef, KeyRow};
use walhook::lsn::{Durable, Lsn};
use walhook::observe::{Observation, Observers};
use walhook::queue::{
    Answer, DeliveryDetail, DeliveryRef, DeliverySummary, Error, Filter, Queue, SequenceRange, Size,
    StagedChange, StagedEntry, WebhookRecord, WebhookStanding, WebhookState,
};
use walhook::registration::{Registration, Registrations};
use walhook::report::health::Health;
use walhook::report::metrics::Metrics;
use walhook::webhook::WebhookId;

/// A queue that only says how full it is.
struct Full {
    bytes: u64,
    broken: bool,
}

fn answer<'a, T: Send + 'a>(value: T) -> Answer<'a, T> {
    std::future::ready(Ok(value)).boxed()
}

impl Queue for Full {
    fn webhooks(&self) -> Answer<'_, Vec<WebhookStanding>> {
        answer(vec![WebhookStanding {
            id: WebhookId(7),
            name: "Escalations \"now\"\n".into(),
            state: WebhookState::Suspended,
            next_sequence: 12,
            pending: 3,
            pending_bytes: 4096,
            dead: 2,
            delivered: 6,
            dropped: 0,
            failures: 4,
            failing_since_us: None,
            last_error: None,
            oldest_committed_at_us: Some(0),
            broken: Some("field \"Status\" is gone".into()),
            held: 5,
            held_bytes: 0,
            held_beyond_limit: 0,
            held_dropped: 0,
            condition_failures: 0,
            last_condition_failure: None,
        }])
    }

    fn size(&self) -> Answer<'_, Size> {
        if self.broken {
            return std::future::ready(Err(Error::Closed)).boxed();
        }
        answer(Size { bytes: self.bytes, bytes_max: 1000 })
    }

    fn held(&self, _: WebhookId, _: Option<u64>, _: usize) -> Answer<'_, Vec<walhook::delivery::Held>> {
        unreachable!()
    }

    fn number_held_range(&self, _: walhook::delivery::HeldRef, _: u64) -> Answer<'_, ()> {
        unreachable!()
    }

    fn mark_broken(&self, _: WebhookId, _: Option<String>) -> Answer<'_, ()> {
        unreachable!()
    }

    fn drop_held(&self, _: WebhookId) -> Answer<'_, u64> {
        unreachable!()
    }

    fn stream(&self) -> Answer<'_, Option<StreamRecord>> {
        unreachable!()
    }
    fn record_stream(&self, _: StreamRecord) -> Answer<'_, ()> {
        unreachable!()
    }
    fn accept_gap(&self, _: AcceptedGap, _: StreamRecord) -> Answer<'_, ()> {
        unreachable!()
    }
    fn discard_unfinished(&self) -> Answer<'_, ()> {
        unreachable!()
    }
    fn enqueue(&self, _: Batch) -> Answer<'_, Option<Durable>> {
        unreachable!()
    }
    fn stage(&self, _: Vec<StagedChange>) -> Answer<'_, ()> {
        unreachable!()
    }
    fn staged(&self, _: Option<u64>, _: usize) -> Answer<'_, Vec<StagedEntry>> {
        unreachable!()
    }
    fn key_row(&self, _: KeyRef) -> Answer<'_, Option<KeyRow>> {
        unreachable!()
    }
    fn keep_key_tables(&self, _: Vec<u32>) -> Answer<'_, ()> {
        unreachable!()
    }
    fn bindings(&self) -> Answer<'_, Vec<BindingRecord>> {
        unreachable!()
    }
    fn record_binding(&self, _: BindingRecord) -> Answer<'_, ()> {
        unreachable!()
    }
    fn registrations(&self) -> Answer<'_, Registrations> {
        unreachable!()
    }

    fn load_registrations(&self, _: u32, _: Vec<Registration>) -> Answer<'_, ()> {
        unreachable!()
    }

    fn register(&self, _: Vec<WebhookRecord>) -> Answer<'_, Vec<WebhookStanding>> {
        unreachable!()
    }
    fn claim<'a>(
        &'a self,
        _: usize,
        _: &'a (dyn Fn(WebhookId) -> usize + Send + Sync),
    ) -> Answer<'a, Vec<Claim>> {
        unreachable!()
    }
    fn settle(&self, _: Vec<Settled>) -> Answer<'_, ()> {
        unreachable!()
    }
    fn due(&self) -> futures_util::future::BoxFuture<'_, ()> {
        unreachable!()
    }
    fn void_claims(&self) -> Answer<'_, ()> {
        unreachable!()
    }
    fn enable_webhook(&self, _: WebhookId) -> Answer<'_, ()> {
        unreachable!()
    }
    fn delete_webhook(&self, _: WebhookId) -> Answer<'_, u64> {
        unreachable!()
    }
    fn drop_deleted(&self, _: WebhookId) -> Answer<'_, Option<u64>> {
        unreachable!()
    }
    fn deliveries(&self, _: Filter, _: usize) -> Answer<'_, Vec<DeliverySummary>> {
        unreachable!()
    }
    fn delivery(&self, _: DeliveryRef) -> Answer<'_, Option<DeliveryDetail>> {
        unreachable!()
    }
    fn replay(&self, _: Filter) -> Answer<'_, u64> {
        unreachable!()
    }
    fn drop_deliveries(&self, _: Filter) -> Answer<'_, u64> {
        unreachable!()
    }
    fn ranges(&self, _: Option<WebhookId>) -> Answer<'_, Vec<SequenceRange>> {
        unreachable!()
    }
    fn quarantined(&self) -> Answer<'_, Vec<walhook::delivery::Quarantined>> {
        unreachable!()
    }
    fn page(
        &self,
        _: walhook::queue::Filter,
        _: Option<walhook::queue::Place>,
        _: usize,
    ) -> Answer<'_, walhook::queue::Page> {
        unreachable!()
    }
    fn backup<'a>(&'a self, _: &'a Path) -> Answer<'a, ()> {
        unreachable!()
    }
    fn purge_each(&self, _: walhook::queue::EndedBefore) -> Answer<'_, u64> {
        unreachable!()
    }
    fn purge_one(&self, _: walhook::queue::Place) -> Answer<'_, bool> {
        unreachable!()
    }
    fn purge_entry(&self, _: walhook::queue::EntryRef, _: bool) -> Answer<'_, walhook::queue::EntryPurged> {
        unreachable!()
    }
}

struct Surface {
    base: String,
    observers: Observers,
    shutdown: CancellationToken,
    server: tokio::task::JoinSet<Result<(), walhook::admin::Error>>,
}

impl Surface {
    async fn with(queue: Full) -> Self {
        let shown = Shown {
            registrar: crate::registration::registrar_of_nobody(),
            tester: Arc::new(|_, _| Box::pin(std::future::pending())),
            health: Arc::new(Health::new()),
            metrics: Arc::new(Metrics::new()),
            queue: Arc::new(queue),
            webhooks: tokio::sync::watch::channel(Arc::default()).1,
            forms: walhook::catalog::Latest::default(),
            trials: walhook::admin::Trials::default(),
            settings: tokio::sync::watch::channel(Arc::default()).1,
        };
        let observers = shown.observers([]);
        let admin = Admin::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let base = format!("http://{}", admin.local_addr());
        let shutdown = CancellationToken::new();
        let mut server = tokio::task::JoinSet::new();
        let (_, access) = tokio::sync::watch::channel(Arc::default());
        server.spawn(admin.serve(shown, access, observers.clone(), shutdown.clone()));
        Self { base, observers, shutdown, server }
    }

    async fn ask(&self, path: &str, accept: &str) -> (u16, String, String) {
        let request = reqwest::Client::new().get(format!("{}{path}", self.base)).header("accept", accept);
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
        (status, content_type, response.text().await.unwrap())
    }
}

fn started() -> Observation {
    Observation::StreamStarted { slot: "walhook".into(), from: Lsn(7) }
}

fn attempted(outcome: Outcome, settlement: Settlement) -> Observation {
    Observation::Attempted {
        number: DeliveryNumber { webhook: WebhookId(7), sequence: 12 },
        webhook: "Escalations \"now\"\n".into(),
        form: "HPD:Help Desk".into(),
        verb: Verb::Update,
        entry_id: "INC1".into(),
        attempt: 3,
        outcome,
        settlement,
        duration: Duration::from_millis(15),
        since_commit: Duration::from_millis(40),
    }
}

#[tokio::test]
async fn readiness_is_said_with_its_reasons() {
    let surface = Surface::with(Full { bytes: 900, broken: false }).await;
    assert_eq!(
        surface.ask("/healthz", "*/*").await,
        (200, "text/plain; charset=utf-8".into(), "ok\n".into())
    );
    let (status, content_type, body) = surface.ask("/readyz", "*/*").await;
    assert_eq!((status, content_type.as_str()), (503, "application/json"));
    let json: serde_json::Value = serde_json::from_str(&body).unwrap();
    let expected = serde_json::json!({
        "ready": false, "reasons": ["the stream has not started"], "notes": [
            "the queue is 90 % full",
            "webhook \"Escalations \\\"now\\\"\\n\" is not served, 3 deliveries wait (`walhook webhooks list`)",
            "webhook \"Escalations \\\"now\\\"\\n\" has 2 dead letters (`walhook deliveries list`)",
            "webhook \"Escalations \\\"now\\\"\\n\" is broken, 5 events are held (`walhook webhooks show` says why)",
        ],
    });
    assert_eq!(json, expected);
    surface.observers.tell(started());
    let (status, content_type, body) = surface.ask("/readyz", "text/plain").await;
    assert_eq!((status, content_type.as_str()), (200, "text/plain; charset=utf-8"));
    assert!(body.starts_with("ready\nnote: the queue is 90 % full\nnote: webhook"), "{body}");
}

#[tokio::test]
async fn a_queue_that_is_full_or_does_not_answer_is_not_ready() {
    let surface = Surface::with(Full { bytes: 1000, broken: false }).await;
    surface.observers.tell(started());
    let (status, _, body) = surface.ask("/readyz", "text/plain").await;
    assert_eq!(status, 503);
    assert!(body.starts_with("not ready\n- the queue is full: 1000 of 1000 bytes\nnote: webhook"), "{body}");
    let surface = Surface::with(Full { bytes: 0, broken: true }).await;
    surface.observers.tell(started());
    let (status, _, body) = surface.ask("/readyz", "text/plain").await;
    assert_eq!(
        (status, body.as_str()),
        (503, "not ready\n- the queue does not answer: the queue is closed\n")
    );
    assert_eq!(surface.ask("/metrics", "*/*").await.0, 200, "what is counted here is told all the same");
}

#[tokio::test]
async fn metrics_count_what_was_observed() {
    let surface = Surface::with(Full { bytes: 900, broken: false }).await;
    let failed = Outcome::Answered { status: 503, retry_after: None, excerpt: "hunter2".into() };
    let delivered = Outcome::Answered { status: 204, retry_after: None, excerpt: String::new() };
    for observation in [
        started(),
        Observation::TransactionsEnqueued {
            transactions: 2,
            changes: 5,
            events: 3,
            deliveries: 4,
            committed_at_us: 0,
        },
        Observation::ServerWalEnd { wal_end: Lsn(1500) },
        Observation::Confirmed { end_lsn: Lsn(1000) },
        attempted(failed, Settlement::Dead),
        attempted(delivered, Settlement::Delivered),
        Observation::EndpointProbed {
            webhook: "Escalations".into(),
            failures: 3,
            outcome: Outcome::TimedOut,
        },
        Observation::ConditionFailed {
            webhook: "Escalations \"now\"\n".into(),
            form: "HPD:Help Desk".into(),
            entry_id: "INC1".into(),
            reason: "hunter2 is no number".into(),
        },
        Observation::TaskFailed {
            task: "dispatch",
            error: "x".into(),
            hint: None,
            call_operator: false,
            retry_in: Duration::ZERO,
        },
    ] {
        surface.observers.tell(observation);
    }
    let (status, content_type, text) = surface.ask("/metrics", "*/*").await;
    assert_eq!((status, content_type.as_str()), (200, "text/plain; version=0.0.4; charset=utf-8"));
    let webhook = r#"webhook="Escalations \"now\"\n""#;
    for line in [
        format!("walhook_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")),
        "# TYPE walhook_transactions_total counter".into(),
        "walhook_transactions_total 2".into(),
        "walhook_changes_total 5".into(),
        "walhook_events_total 3".into(),
        "walhook_deliveries_total 4".into(),
        "walhook_stream_running 1".into(),
        "walhook_confirmed_lsn_bytes 1000".into(),
        "walhook_replication_lag_bytes 500".into(),
        format!("walhook_attempts_total{{{webhook},outcome=\"server_error\"}} 1"),
        format!("walhook_attempts_total{{{webhook},outcome=\"delivered\"}} 1"),
        format!("walhook_attempt_duration_seconds_count{{{webhook}}} 2"),
        format!("walhook_commit_to_arrival_seconds_bucket{{le=\"0.05\",{webhook}}} 1"),
        format!("walhook_dead_letters_total{{{webhook}}} 1"),
        "walhook_endpoints_probed 1".into(),
        "walhook_task_failures_total{task=\"dispatch\"} 1".into(),
        "walhook_queue_bytes 900".into(),
        "walhook_queue_limit_bytes 1000".into(),
        format!("walhook_queue_pending{{{webhook}}} 3"),
        format!("walhook_queue_pending_bytes{{{webhook}}} 4096"),
        format!("walhook_queue_dead_letters{{{webhook}}} 2"),
        format!("walhook_webhook_served{{{webhook}}} 0"),
        format!("walhook_condition_failures_total{{{webhook}}} 1"),
        format!("walhook_queue_held{{{webhook}}} 5"),
        format!("walhook_webhook_broken{{{webhook}}} 1"),
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(!text.contains("hunter2"));
    lint(&text);
    let (_, content_type, text) =
        surface.ask("/metrics", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5").await;
    assert_eq!(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8");
    assert!(text.ends_with("# EOF\n"));
}

/// What `promtool check metrics` asks for; the tool itself has its say where it is installed.
fn lint(text: &str) {
    let mut described = None;
    for line in text.lines() {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "HELP", name, help] => {
                assert!(!help.is_empty(), "{line}");
                described = Some((*name, ""));
            }
            ["#", "TYPE", name, kind] => {
                assert_eq!(described.map(|(name, _)| name), Some(*name), "help comes before type: {line}");
                assert!(matches!(*kind, "counter" | "gauge" | "histogram"), "{line}");
                assert_eq!(*kind == "counter", name.ends_with("_total"), "{line}");
                described = Some((*name, *kind));
            }
            _ => {
                let (name, kind) = described.expect("a sample comes after its description");
                let sample = line.split(['{', ' ']).next().unwrap();
                let suffix = sample.strip_prefix(name).unwrap_or_else(|| panic!("{line} under {name}"));
                let histogram = matches!(suffix, "_bucket" | "_sum" | "_count");
                assert_eq!(histogram, kind == "histogram", "{line}");
                assert!(name.starts_with("walhook_"), "{line}");
            }
        }
    }
    let promtool = std::process::Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn();
    let Ok(mut promtool) = promtool else {
        return eprintln!("promtool is not installed: its check was left out");
    };
    std::io::Write::write_all(&mut promtool.stdin.take().unwrap(), text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[tokio::test]
async fn it_ends_when_told_even_with_a_connection_that_says_nothing() {
    let mut surface = Surface::with(Full { bytes: 0, broken: false }).await;
    let mut silent =
        tokio::net::TcpStream::connect(surface.base.trim_start_matches("http://")).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut silent, b"GET /healthz HTT").await.unwrap();
    surface.ask("/healthz", "*/*").await;
    surface.shutdown.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(20), surface.server.join_next()).await;
    ended.expect("it ends").unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn an_address_in_use_is_refused() {
    let open = Admin::bind("0.0.0.0:0".parse().unwrap()).await.unwrap();
    let error = Admin::bind(open.local_addr()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("the admin interface could not listen on {}", open.local_addr()));
}
