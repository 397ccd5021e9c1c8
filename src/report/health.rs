//! Whether the stream progresses, and if not, why not.

use super::{QueueReading, WebhookReading};
use crate::lsn::Lsn;
use crate::observe::{Observation, Observer};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A stream that says nothing for so long does not progress: the server answers every status update, and one is
/// sent at least every 10 s.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// A task that has not failed again for so long after its pause is taken to run.
const RELAPSE_MAX: Duration = Duration::from_secs(10);

/// From this share of its limit on, the queue is worth a note, in percent.
const FILLING_PERCENT: u64 = 80;

/// Listens for everything that says how the process does.
#[derive(Debug, Default)]
pub struct Health {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    stream: Stream,
    failures: BTreeMap<&'static str, Failure>,
    broken_forms: BTreeMap<String, String>,
    configuration_refused: bool,
    /// How many row changes were put aside.
    quarantined: u64,
    /// Where the server's log ended when it said so last.
    server_wal_end: Option<Lsn>,
}

/// Where the stream stands.
#[derive(Debug, Default)]
enum Stream {
    #[default]
    NotStarted,
    /// The slot is being created.
    Creating { slot: String },
    /// Somebody else reads the slot.
    InUse { slot: String, active_pid: Option<i32> },
    /// It runs, and was heard of then.
    Running { heard_at: Instant },
}

#[derive(Debug)]
struct Failure {
    what: String,
    at: Instant,
    retry_in: Duration,
}

/// Whether walhook does its work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readiness {
    /// Why not, each a sentence without a full stop. Empty means ready.
    pub reasons: Vec<String>,
    /// What needs attention without being in the way.
    pub notes: Vec<String>,
}

/// How the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamReading {
    /// `not_started`, `creating_slot`, `slot_in_use` or `running`.
    pub standing: &'static str,
    /// Where the server's log ended when it said so last.
    pub server_wal_end: Option<Lsn>,
}

impl Readiness {
    /// Whether it does.
    pub fn is_ready(&self) -> bool {
        self.reasons.is_empty()
    }
}

impl Health {
    /// Nothing has happened yet: not ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether walhook does its work now.
    pub fn readiness(&self, queue: &QueueReading) -> Readiness {
        self.readiness_at(Instant::now(), queue)
    }

    /// How the stream stands.
    pub fn stream(&self) -> StreamReading {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let standing = match &state.stream {
            Stream::NotStarted => "not_started",
            Stream::Creating { .. } => "creating_slot",
            Stream::InUse { .. } => "slot_in_use",
            Stream::Running { .. } => "running",
        };
        StreamReading { standing, server_wal_end: state.server_wal_end }
    }

    fn readiness_at(&self, now: Instant, queue: &QueueReading) -> Readiness {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut readiness = Readiness::default();
        let reasons = &mut readiness.reasons;
        for (task, failure) in &state.failures {
            if *task == "capture" || now < failure.at + failure.retry_in + RELAPSE_MAX {
                reasons.push(format!("{task} is failing: {}", failure.what));
            }
        }
        match &state.stream {
            Stream::NotStarted if state.failures.contains_key("capture") => {}
            Stream::NotStarted => reasons.push("the stream has not started".into()),
            Stream::Creating { slot } => reasons.push(format!(
                "slot {slot:?} is being created: that waits for every open transaction of the server"
            )),
            Stream::InUse { slot, active_pid } => {
                let by = active_pid.map_or_else(String::new, |pid| format!(" by the server's process {pid}"));
                reasons.push(format!("waiting for slot {slot:?}, which is in use{by}"));
            }
            Stream::Running { heard_at } => {
                let silence = now.saturating_duration_since(*heard_at);
                if silence > SILENCE_MAX {
                    reasons.push(format!("the stream has been silent for {} s", silence.as_secs()));
                }
            }
        }
        for (form, reason) in &state.broken_forms {
            reasons.push(format!("form {form:?} is broken: {reason}"));
        }
        let percent = queue.bytes.saturating_mul(100).checked_div(queue.bytes_max).unwrap_or(0);
        if percent >= 100 {
            reasons.push(format!("the queue is full: {} of {} bytes", queue.bytes, queue.bytes_max));
        } else if percent >= FILLING_PERCENT {
            readiness.notes.push(format!("the queue is {percent} % full"));
        }
        for webhook in &queue.webhooks {
            let WebhookReading { name, pending, dead, held, .. } = webhook;
            if !webhook.served && *pending > 0 {
                let note = format!(
                    "webhook {name:?} is not served, {pending} deliveries wait (`walhook webhooks list`)"
                );
                readiness.notes.push(note);
            }
            if *dead > 0 {
                readiness
                    .notes
                    .push(format!("webhook {name:?} has {dead} dead letters (`walhook deliveries list`)"));
            }
            if webhook.broken {
                let note = format!(
                    "webhook {name:?} is broken, {held} events are held (`walhook webhooks show` says why)"
                );
                readiness.notes.push(note);
            } else if *held > 0 {
                let note = format!(
                    "webhook {name:?} could not be judged for {held} events, which are held \
                     (`walhook queue held`)"
                );
                readiness.notes.push(note);
            }
        }
        if state.quarantined > 0 {
            let note = "row changes were put aside since the start (`walhook queue quarantine`)";
            readiness.notes.push(format!("{} {note}", state.quarantined));
        }
        if state.configuration_refused {
            readiness.notes.push("the configuration file was refused; the one before it is in use".into());
        }
        readiness
    }

    fn observe_at(&self, now: Instant, observation: &Observation) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match observation {
            Observation::TaskFailed { task, error, hint, retry_in, .. } => {
                if *task == "capture" {
                    state.stream = Stream::NotStarted;
                }
                let hint = hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
                let failure = Failure { what: format!("{error}{hint}"), at: now, retry_in: *retry_in };
                state.failures.insert(task, failure);
            }
            Observation::ConfigurationTakenOver { .. } => {
                state.configuration_refused = false;
                // whoever is still broken is told again; the others may have left the file
                state.broken_forms.clear();
            }
            Observation::ConfigurationRefused { .. } => state.configuration_refused = true,
            Observation::Quarantined { .. } => state.quarantined += 1,
            Observation::SlotBeingCreated { slot } => {
                state.failures.remove("capture");
                state.stream = Stream::Creating { slot: slot.clone() };
            }
            Observation::SlotInUse { slot, active_pid } => {
                state.failures.remove("capture");
                state.stream = Stream::InUse { slot: slot.clone(), active_pid: *active_pid };
            }
            Observation::StreamStarted { .. } => {
                state.failures.remove("capture");
                state.stream = Stream::Running { heard_at: now };
            }
            Observation::TransactionsEnqueued { .. }
            | Observation::TransactionStaged { .. }
            | Observation::ServerWalEnd { .. } => {
                if let Observation::ServerWalEnd { wal_end } = observation {
                    state.server_wal_end = Some(*wal_end);
                }
                if let Stream::Running { heard_at } = &mut state.stream {
                    *heard_at = now;
                }
            }
            Observation::FormBound { form, .. } => {
                state.broken_forms.remove(form);
            }
            Observation::FormBroken { form, reason } => {
                state.broken_forms.insert(form.clone(), reason.clone());
            }
            Observation::Attempted { .. } => {
                state.failures.remove("dispatch");
            }
            _ => {}
        }
    }
}

impl Observer for Health {
    fn observe(&self, observation: &Observation) {
        self.observe_at(Instant::now(), observation);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Clocked {
        health: Health,
        now: Instant,
    }

    impl Clocked {
        fn new() -> Self {
            Self { health: Health::new(), now: Instant::now() }
        }

        fn after(&mut self, seconds: u64) -> &mut Self {
            self.now += Duration::from_secs(seconds);
            self
        }

        fn tell(&mut self, observation: Observation) -> &mut Self {
            self.health.observe_at(self.now, &observation);
            self
        }

        #[track_caller]
        fn says(&mut self, reasons: &[&str]) -> &mut Self {
            let queue = QueueReading::default();
            assert_eq!(self.health.readiness_at(self.now, &queue).reasons, reasons);
            self
        }
    }

    fn started() -> Observation {
        Observation::StreamStarted { slot: "walhook".into(), from: Lsn(7) }
    }

    fn failed(task: &'static str, hint: Option<&str>) -> Observation {
        Observation::TaskFailed {
            task,
            error: "the server is away".into(),
            hint: hint.map(Into::into),
            call_operator: false,
            retry_in: Duration::from_secs(5),
        }
    }

    #[test]
    fn the_stream_is_ready_while_something_is_heard_of_it() {
        Clocked::new()
            .says(&["the stream has not started"])
            .tell(started())
            .says(&[])
            .after(30)
            .says(&[])
            .after(1)
            .says(&["the stream has been silent for 31 s"])
            .tell(Observation::ServerWalEnd { wal_end: Lsn(8) })
            .says(&[])
            .after(20)
            .tell(Observation::Confirmed { end_lsn: Lsn(8) })
            .after(20)
            .says(&["the stream has been silent for 40 s"]);
    }

    #[test]
    fn what_waits_for_an_operator_is_noted_without_being_red() {
        let mut clocked = Clocked::new();
        clocked.tell(started()).tell(Observation::Quarantined {
            position: crate::lsn::Position::default(),
            form: None,
            reason: "column number 1 is not valid UTF-8".into(),
        });
        let gone = WebhookReading { name: "pager".into(), pending: 3, ..WebhookReading::default() };
        let refused =
            WebhookReading { name: "archive".into(), served: true, dead: 2, ..WebhookReading::default() };
        let failing = WebhookReading { served: true, held: 4, ..gone.clone() };
        let broken = WebhookReading { broken: true, pending: 0, ..failing.clone() };
        let webhooks = vec![gone, refused, failing, broken];
        let queue = QueueReading { webhooks, ..QueueReading::default() };
        let readiness = clocked.health.readiness_at(clocked.now, &queue);
        assert!(readiness.is_ready());
        assert_eq!(
            readiness.notes,
            [
                "webhook \"pager\" is not served, 3 deliveries wait (`walhook webhooks list`)",
                "webhook \"archive\" has 2 dead letters (`walhook deliveries list`)",
                "webhook \"pager\" could not be judged for 4 events, which are held (`walhook queue held`)",
                "webhook \"pager\" is broken, 4 events are held (`walhook webhooks show` says why)",
                "1 row changes were put aside since the start (`walhook queue quarantine`)",
            ]
        );
    }

    #[test]
    fn capture_fails_until_the_stream_starts_again() {
        Clocked::new()
            .tell(started())
            .tell(failed("capture", Some("start the server")))
            .says(&["capture is failing: the server is away (start the server)"])
            .after(1000)
            .tell(Observation::ServerWalEnd { wal_end: Lsn(8) })
            .says(&["capture is failing: the server is away (start the server)"])
            .tell(started())
            .says(&[]);
    }

    #[test]
    fn another_task_fails_until_it_has_run_for_a_while() {
        Clocked::new()
            .tell(started())
            .tell(failed("dispatch", None))
            .after(14)
            .says(&["dispatch is failing: the server is away"])
            .after(1)
            .says(&[]);
    }

    #[test]
    fn what_the_stream_waits_for_is_said() {
        Clocked::new()
            .tell(Observation::SlotBeingCreated { slot: "s".into() })
            .says(&["slot \"s\" is being created: that waits for every open transaction of the server"])
            .tell(Observation::SlotInUse { slot: "s".into(), active_pid: Some(7) })
            .says(&["waiting for slot \"s\", which is in use by the server's process 7"])
            .tell(started())
            .says(&[]);
    }

    #[test]
    fn a_broken_form_is_red_until_it_is_bound_again() {
        Clocked::new()
            .tell(started())
            .tell(Observation::FormBroken { form: "F".into(), reason: "its table is gone".into() })
            .says(&["form \"F\" is broken: its table is gone"])
            .tell(Observation::FormBound { form: "F".into(), table: "s.t".into() })
            .says(&[]);
    }

    /// An operator took a broken form out of the file, and readiness stayed red until a restart.
    #[test]
    fn a_broken_form_that_left_the_file_is_forgotten() {
        Clocked::new()
            .tell(started())
            .tell(Observation::FormBroken { form: "F".into(), reason: "its table is gone".into() })
            .tell(Observation::ConfigurationTakenOver { webhooks: 1, restart_needed_for: vec![] })
            .says(&[]);
    }

    #[test]
    fn a_full_queue_is_red_and_a_filling_one_is_noted() {
        let health = Health::new();
        health.observe(&started());
        let readiness = |bytes| health.readiness(&QueueReading { bytes, bytes_max: 1000, webhooks: vec![] });
        assert_eq!(readiness(799), Readiness::default());
        assert_eq!(readiness(800).notes, ["the queue is 80 % full"]);
        assert!(readiness(999).is_ready());
        assert_eq!(readiness(1000).reasons, ["the queue is full: 1000 of 1000 bytes"]);
    }
}
