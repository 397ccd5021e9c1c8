//! Counts and sizes for Prometheus: names begin with `walhook_` and end in their unit.

use super::QueueReading;
use crate::delivery::{Outcome, Settlement};
use crate::observe::{Observation, Observer};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};
use std::collections::HashSet;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// For the `content-type` header of [`Exposition::OpenMetrics`].
pub const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
/// For the `content-type` header of [`Exposition::Text`].
pub const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

type GaugeU64 = Gauge<u64, AtomicU64>;
type GaugeF64 = Gauge<f64, AtomicU64>;
type Histograms = Family<ByWebhook, Histogram, fn() -> Histogram>;

/// In which of its two languages Prometheus is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Exposition {
    /// The older one, which every tool reads.
    #[default]
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByWebhook {
    webhook: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByTask {
    task: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ByOutcome {
    webhook: String,
    outcome: OutcomeClass,
}

/// The classes that attempts are counted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum OutcomeClass {
    Delivered,
    Redirect,
    ClientError,
    ServerError,
    OddStatus,
    TimedOut,
    Unreachable,
    Refused,
}

impl OutcomeClass {
    fn of(outcome: &Outcome) -> Self {
        match outcome {
            Outcome::Answered { status: 200..=299, .. } => Self::Delivered,
            Outcome::Answered { status: 300..=399, .. } => Self::Redirect,
            Outcome::Answered { status: 400..=499, .. } => Self::ClientError,
            Outcome::Answered { status: 500..=599, .. } => Self::ServerError,
            Outcome::Answered { .. } => Self::OddStatus,
            Outcome::TimedOut => Self::TimedOut,
            Outcome::Unreachable { .. } => Self::Unreachable,
            Outcome::Refused { .. } => Self::Refused,
        }
    }
}

impl EncodeLabelValue for OutcomeClass {
    fn encode(&self, encoder: &mut prometheus_client::encoding::LabelValueEncoder) -> fmt::Result {
        let word = match self {
            Self::Delivered => "delivered",
            Self::Redirect => "redirect",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::OddStatus => "odd_status",
            Self::TimedOut => "timed_out",
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
        };
        fmt::Write::write_str(encoder, word)
    }
}

/// Listens and counts.
pub struct Metrics {
    registry: Registry,
    stream: Stream,
    dispatch: Dispatch,
    queue: Queue,
    task_failures: Family<ByTask, Counter>,
    condition_failures: Family<ByWebhook, Counter>,
    logins_refused: Counter,
    moments: Mutex<Moments>,
}

/// What is told when it is asked for, because it grows by itself.
#[derive(Default)]
struct Moments {
    started: bool,
    heard_at: Option<Instant>,
    lag: Duration,
    probed: HashSet<String>,
}

#[derive(Default)]
struct Stream {
    running: GaugeU64,
    transactions: Counter,
    changes: Counter,
    events: Counter,
    deliveries: Counter,
    quarantined: Counter,
    confirmed: GaugeU64,
    wal_end: GaugeU64,
    lag_bytes: GaugeU64,
    lag_seconds: GaugeF64,
    silence: GaugeF64,
}

struct Dispatch {
    attempts: Family<ByOutcome, Counter>,
    attempt_duration: Histograms,
    since_commit: Histograms,
    dead_letters: Family<ByWebhook, Counter>,
    probed: GaugeU64,
    suspensions: Family<ByWebhook, Counter>,
}

#[derive(Default)]
struct Queue {
    bytes: GaugeU64,
    bytes_max: GaugeU64,
    served: Family<ByWebhook, GaugeU64>,
    pending: Family<ByWebhook, GaugeU64>,
    pending_bytes: Family<ByWebhook, GaugeU64>,
    oldest: Family<ByWebhook, GaugeF64>,
    dead: Family<ByWebhook, GaugeU64>,
    held: Family<ByWebhook, GaugeU64>,
    broken: Family<ByWebhook, GaugeU64>,
}

/// From a millisecond to a minute.
fn attempt_buckets() -> Histogram {
    Histogram::new([0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0])
}

/// From a millisecond to days: a delivery arrives late by the whole schedule at worst.
fn arrival_buckets() -> Histogram {
    Histogram::new([
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3600.0,
        21600.0, 86400.0, 259_200.0,
    ])
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Everything at zero.
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("walhook");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "Which walhook this is", build);
        let stream = Stream::registered(&mut registry);
        let dispatch = Dispatch::registered(&mut registry);
        let queue = Queue::registered(&mut registry);
        let task_failures = Family::default();
        registry.register(
            "task_failures",
            "How often a task failed and was started anew",
            task_failures.clone(),
        );
        let condition_failures = Family::default();
        let help = "How often a condition could not be judged for an event";
        registered(&mut registry, "condition_failures", help, &condition_failures);
        let logins_refused = Counter::default();
        let help = "How often a login to the admin interface was refused";
        registry.register("logins_refused", help, logins_refused.clone());
        Self {
            registry,
            stream,
            dispatch,
            queue,
            task_failures,
            condition_failures,
            logins_refused,
            moments: Mutex::default(),
        }
    }

    /// All metrics as text. The queue's are those of the reading; none leaves them as they were.
    pub fn expose(&self, queue: Option<&QueueReading>, exposition: Exposition) -> Result<String, fmt::Error> {
        // one at a time, so that nobody sees the queue's numbers half replaced
        let moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = queue {
            self.queue.set(queue);
        }
        let silence = moments.heard_at.map_or(Duration::ZERO, |heard_at| heard_at.elapsed());
        self.stream.running.set(u64::from(moments.started));
        self.stream.silence.set(silence.as_secs_f64());
        self.stream.lag_seconds.set(moments.lag.as_secs_f64());
        self.stream.lag_bytes.set(self.stream.wal_end.get().saturating_sub(self.stream.confirmed.get()));
        self.dispatch.probed.set(moments.probed.len() as u64);
        let mut text = String::with_capacity(16 * 1024);
        prometheus_client::encoding::text::encode(&mut text, &self.registry)?;
        Ok(match exposition {
            Exposition::OpenMetrics => text,
            Exposition::Text => in_older_words(&text),
        })
    }

    fn heard(&self, lag: Option<Duration>) {
        let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
        moments.heard_at = Some(Instant::now());
        if let Some(lag) = lag {
            moments.lag = lag;
        }
    }
}

fn registered<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, metric: &M) {
    registry.register(name, help, metric.clone());
}

fn with_unit<M: Metric + Clone>(registry: &mut Registry, name: &str, help: &str, unit: Unit, metric: &M) {
    registry.register_with_unit(name, help, unit, metric.clone());
}

impl Stream {
    fn registered(registry: &mut Registry) -> Self {
        let stream = Self::default();
        registered(registry, "stream_running", "Whether the stream runs (1) or not (0)", &stream.running);
        registered(registry, "transactions", "Transactions read from the log", &stream.transactions);
        registered(registry, "changes", "Row changes read from the log", &stream.changes);
        registered(registry, "events", "Form events made of row changes", &stream.events);
        registered(registry, "deliveries", "Deliveries enqueued", &stream.deliveries);
        registered(registry, "quarantined", "Row changes that could not be read", &stream.quarantined);
        let bytes = || Unit::Bytes;
        let seconds = || Unit::Seconds;
        with_unit(registry, "confirmed_lsn", "Up to where the server may forget", bytes(), &stream.confirmed);
        with_unit(registry, "server_wal_end", "Where the server said its log ends", bytes(), &stream.wal_end);
        let help = "How much of the server's log is not confirmed yet";
        with_unit(registry, "replication_lag", help, bytes(), &stream.lag_bytes);
        let help =
            "From the commit of the last transaction to the moment it was in the queue; 0 when caught up";
        with_unit(registry, "replication_lag", help, seconds(), &stream.lag_seconds);
        let help = "How long nothing has been heard of the stream";
        with_unit(registry, "stream_silence", help, seconds(), &stream.silence);
        stream
    }
}

impl Dispatch {
    fn registered(registry: &mut Registry) -> Self {
        let dispatch = Self {
            attempts: Family::default(),
            attempt_duration: Family::new_with_constructor(attempt_buckets),
            since_commit: Family::new_with_constructor(arrival_buckets),
            dead_letters: Family::default(),
            probed: Gauge::default(),
            suspensions: Family::default(),
        };
        registered(registry, "attempts", "Attempts by webhook and what became of them", &dispatch.attempts);
        let help = "How long attempts took";
        with_unit(registry, "attempt_duration", help, Unit::Seconds, &dispatch.attempt_duration);
        let help = "From the commit of a change to the arrival of its delivery";
        with_unit(registry, "commit_to_arrival", help, Unit::Seconds, &dispatch.since_commit);
        registered(registry, "dead_letters", "Deliveries that became dead letters", &dispatch.dead_letters);
        registered(registry, "endpoints_probed", "Endpoints that seem dead and are probed", &dispatch.probed);
        registered(registry, "suspensions", "How often webhooks were suspended", &dispatch.suspensions);
        dispatch
    }
}

impl Queue {
    fn registered(registry: &mut Registry) -> Self {
        let queue = Self::default();
        let bytes = || Unit::Bytes;
        with_unit(registry, "queue", "What the queue holds", bytes(), &queue.bytes);
        with_unit(registry, "queue_limit", "How much the queue may hold", bytes(), &queue.bytes_max);
        registered(registry, "webhook_served", "Whether the webhook is served (1) or not (0)", &queue.served);
        registered(registry, "queue_pending", "Deliveries that are not finished", &queue.pending);
        let help = "What the bodies of unfinished deliveries take";
        with_unit(registry, "queue_pending", help, bytes(), &queue.pending_bytes);
        let help = "How long ago the oldest unfinished delivery was committed";
        with_unit(registry, "queue_oldest_age", help, Unit::Seconds, &queue.oldest);
        registered(registry, "queue_dead_letters", "Dead letters that wait for an operator", &queue.dead);
        let help = "Events held because a condition could not be judged for them";
        registered(registry, "queue_held", help, &queue.held);
        let help = "Whether the webhook's condition does not fit its forms any more (1) or does (0)";
        registered(registry, "webhook_broken", help, &queue.broken);
        queue
    }

    /// Webhooks that are gone leave the metrics, too.
    fn set(&self, reading: &QueueReading) {
        self.bytes.set(reading.bytes);
        self.bytes_max.set(reading.bytes_max);
        self.served.clear();
        self.pending.clear();
        self.pending_bytes.clear();
        self.oldest.clear();
        self.dead.clear();
        self.held.clear();
        self.broken.clear();
        for webhook in &reading.webhooks {
            let label = ByWebhook { webhook: webhook.name.clone() };
            self.served.get_or_create(&label).set(u64::from(webhook.served));
            self.pending.get_or_create(&label).set(webhook.pending);
            self.pending_bytes.get_or_create(&label).set(webhook.pending_bytes);
            self.oldest.get_or_create(&label).set(webhook.oldest_age.unwrap_or_default().as_secs_f64());
            self.dead.get_or_create(&label).set(webhook.dead);
            self.held.get_or_create(&label).set(webhook.held);
            self.broken.get_or_create(&label).set(u64::from(webhook.broken));
        }
    }
}

/// How long ago a moment was; zero where the server's clock is ahead of ours.
fn age_of(at_us: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    now.saturating_sub(Duration::from_micros(u64::try_from(at_us).unwrap_or(0)))
}

impl Observer for Metrics {
    fn observe(&self, observation: &Observation) {
        match observation {
            Observation::TaskFailed { task, .. } => {
                self.task_failures.get_or_create(&ByTask { task }).inc();
                if *task == "capture" {
                    self.moments.lock().unwrap_or_else(PoisonError::into_inner).started = false;
                }
            }
            Observation::LoginRefused { .. } => {
                self.logins_refused.inc();
            }
            Observation::StreamStarted { .. } => {
                self.heard(None);
                self.moments.lock().unwrap_or_else(PoisonError::into_inner).started = true;
            }
            Observation::TransactionsEnqueued {
                transactions,
                changes,
                events,
                deliveries,
                committed_at_us,
            } => {
                self.stream.transactions.inc_by(*transactions);
                self.stream.changes.inc_by(*changes);
                self.stream.events.inc_by(*events);
                self.stream.deliveries.inc_by(*deliveries);
                self.heard(Some(age_of(*committed_at_us)));
            }
            Observation::TransactionStaged { .. } => self.heard(None),
            Observation::Confirmed { end_lsn } => {
                self.stream.confirmed.set(end_lsn.0);
            }
            Observation::ServerWalEnd { wal_end } => {
                self.stream.wal_end.set(wal_end.0);
                let caught_up = self.stream.confirmed.get() >= wal_end.0;
                self.heard(caught_up.then_some(Duration::ZERO));
            }
            Observation::Quarantined { .. } => {
                self.stream.quarantined.inc();
            }
            Observation::ConditionFailed { webhook, .. } => {
                self.condition_failures.get_or_create(&ByWebhook { webhook: webhook.clone() }).inc();
            }
            Observation::Attempted { webhook, outcome, settlement, duration, since_commit, .. } => {
                self.attempted(webhook, outcome, *settlement, *duration, *since_commit);
            }
            Observation::EndpointProbed { webhook, .. } => {
                let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
                moments.probed.insert(webhook.clone());
            }
            Observation::EndpointRecovered { webhook } => {
                let mut moments = self.moments.lock().unwrap_or_else(PoisonError::into_inner);
                moments.probed.remove(webhook);
            }
            Observation::WebhookSuspended { webhook, .. } => {
                self.suspended(webhook);
            }
            _ => {}
        }
    }
}

impl Metrics {
    fn attempted(
        &self,
        webhook: &str,
        outcome: &Outcome,
        settlement: Settlement,
        duration: Duration,
        since_commit: Duration,
    ) {
        let label = ByWebhook { webhook: webhook.to_owned() };
        let by_outcome = ByOutcome { webhook: webhook.to_owned(), outcome: OutcomeClass::of(outcome) };
        self.dispatch.attempts.get_or_create(&by_outcome).inc();
        self.dispatch.attempt_duration.get_or_create(&label).observe(duration.as_secs_f64());
        match settlement {
            Settlement::Delivered => {
                self.dispatch.since_commit.get_or_create(&label).observe(since_commit.as_secs_f64());
            }
            Settlement::Dead | Settlement::Blocking => {
                self.dispatch.dead_letters.get_or_create(&label).inc();
            }
            Settlement::Retry { .. } => {}
        }
    }

    fn suspended(&self, webhook: &str) {
        // nobody probes a suspended webhook's endpoint
        self.moments.lock().unwrap_or_else(PoisonError::into_inner).probed.remove(webhook);
        self.dispatch.suspensions.get_or_create(&ByWebhook { webhook: webhook.to_owned() }).inc();
    }
}

/// OpenMetrics in the older language: counters and infos are named as their samples are, and there are no
/// units and no end mark. <https://prometheus.io/docs/instrumenting/exposition_formats/>
fn in_older_words(openmetrics: &str) -> String {
    let types: std::collections::HashMap<&str, &str> =
        openmetrics.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let sample_name = |name: &str| match types.get(name) {
        Some(&"counter") => format!("{name}_total"),
        Some(&"info") => format!("{name}_info"),
        _ => name.to_owned(),
    };
    let mut text = String::with_capacity(openmetrics.len());
    for line in openmetrics.lines() {
        let described = line
            .strip_prefix("# HELP ")
            .map(|rest| ("HELP", rest))
            .or_else(|| line.strip_prefix("# TYPE ").map(|rest| ("TYPE", rest)));
        if let Some((word, (name, what))) =
            described.and_then(|(word, rest)| Some((word, rest.split_once(' ')?)))
        {
            let what = if word == "TYPE" && what == "info" { "gauge" } else { what };
            text.extend(["# ", word, " ", &sample_name(name), " ", what, "\n"]);
        } else if !line.starts_with("# ") {
            text.extend([line, "\n"]);
        }
    }
    text
}
