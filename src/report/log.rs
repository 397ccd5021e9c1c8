//! The log: observations as lines, for people on a terminal and for machines as JSON.
//!
//! Names, counts, positions and identifiers; never row values, bodies or secrets. What an endpoint answered
//! stays in the queue, for it may repeat the body.

use super::spaced::{Rationed, Spaced};
use super::writer;
pub use super::writer::Flush;
use crate::delivery::Settlement;
use crate::observe::{Observation, Observer};
use anstream::ColorChoice;
use std::io::{self, IsTerminal};
use std::time::{Duration, Instant};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// The environment variable that says what is logged, in `tracing`'s words: `walhook=debug`.
pub const FILTER_VARIABLE: &str = "WALHOOK_LOG";

const FILTER_DEFAULT: &str = "warn,walhook=info";

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people; in colour on a terminal.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// The log could not be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The environment variable is not understood.
    #[error("the value of WALHOOK_LOG is not a filter such as walhook=debug")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// There is no thread for it.
    #[error("the log's thread could not be started")]
    Thread(#[source] io::Error),
    /// Something else logs already.
    #[error("the log was started already")]
    Started(#[source] tracing_subscriber::util::TryInitError),
}

/// Starts the log, on standard error. Keep what it returns until the process ends: dropped, it waits for the
/// last lines.
pub fn init(format: LogFormat) -> Result<Flush, Error> {
    let no_color = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colours = is_coloured(ColorChoice::global(), io::stderr().is_terminal(), no_color);
    let filter = std::env::var(FILTER_VARIABLE).ok().filter(|filter| !filter.is_empty());
    let (subscriber, flush) = subscriber(format, colours, filter.as_deref(), io::stderr())?;
    subscriber.try_init().map_err(Error::Started)?;
    Ok(flush)
}

fn is_coloured(choice: ColorChoice, is_terminal: bool, no_color: bool) -> bool {
    match choice {
        ColorChoice::Never => false,
        ColorChoice::Always | ColorChoice::AlwaysAnsi => true,
        ColorChoice::Auto => is_terminal && !no_color,
    }
}

fn subscriber(
    format: LogFormat,
    colours: bool,
    filter: Option<&str>,
    out: impl io::Write + Send + 'static,
) -> Result<(Box<dyn tracing::Subscriber + Send + Sync>, Flush), Error> {
    let filter = EnvFilter::try_new(filter.unwrap_or(FILTER_DEFAULT)).map_err(Error::Filter)?;
    let (lines, flush) = writer::start(out).map_err(Error::Thread)?;
    let layer = tracing_subscriber::fmt::layer().with_writer(lines).with_target(false).with_ansi(colours);
    let registry = tracing_subscriber::registry().with(filter);
    Ok(match format {
        LogFormat::Human => (Box::new(registry.with(layer)), flush),
        LogFormat::Json => {
            let layer = layer.json().flatten_event(true).with_current_span(false).with_span_list(false);
            (Box::new(registry.with(layer)), flush)
        }
    })
}

/// Writes observations to the log.
#[derive(Debug, Default)]
pub struct Log {
    /// A condition may fail for every event there is.
    condition_failures: Spaced,
    /// And an endpoint may refuse every delivery.
    failed_attempts: Rationed,
    dead_letters: Rationed,
    /// And somebody may try passwords.
    refused_logins: Spaced,
}

impl Observer for Log {
    fn observe(&self, observation: &Observation) {
        match observation {
            Observation::TaskFailed { .. }
            | Observation::ConfigurationTakenOver { .. }
            | Observation::ConfigurationRefused { .. }
            | Observation::KeyFileMade { .. }
            | Observation::KeyFileReadable { .. }
            | Observation::MailFailed { .. } => process(observation),
            Observation::LoginRefused { .. }
            | Observation::CertificateTakenOver { .. }
            | Observation::CertificateRefused { .. } => self.surface(observation),
            Observation::QueueFilling { percent } => {
                tracing::warn!(percent, "the queue is filling");
            }
            Observation::BacklogOverflowed { webhook } => {
                tracing::warn!(webhook, "the backlog is at its limit: what comes now is kept without body");
            }
            Observation::Attempted { .. } => self.attempt(observation),
            Observation::EndpointProbed { .. }
            | Observation::EndpointRecovered { .. }
            | Observation::WebhookSuspended { .. } => dispatch(observation),
            Observation::Registered { .. }
            | Observation::RegistrationRefused { .. }
            | Observation::RegistrationsUnanswered { .. }
            | Observation::Unregistered { .. }
            | Observation::DeletedDropped { .. } => registration(observation),
            Observation::ConditionFailed { .. }
            | Observation::WebhookBroken { .. }
            | Observation::WebhookMended { .. }
            | Observation::HeldJudged { .. } => self.condition(observation),
            _ => capture(observation),
        }
    }
}

impl Log {
    fn surface(&self, observation: &Observation) {
        match observation {
            Observation::LoginRefused { account, peer } => {
                let Some(left_out) = self.refused_logins.says(peer, Instant::now()) else { return };
                let unsaid = (left_out > 0).then_some(left_out);
                let account = account.as_deref();
                tracing::warn!(account, peer, unsaid, "a login to the admin interface was refused");
            }
            Observation::CertificateTakenOver { days_left: Some(days_left) } if *days_left < 14 => {
                tracing::warn!(days_left, "the certificate of the admin interface is in use and ends soon");
            }
            Observation::CertificateTakenOver { days_left } => {
                tracing::info!(days_left, "the certificate of the admin interface is in use");
            }
            Observation::CertificateRefused { reason } => {
                let hint = "mend the files of [admin] tls; they are read again when they change";
                tracing::error!(
                    reason,
                    hint,
                    "the certificate of the admin interface cannot be used; the one before it stays"
                );
            }
            _ => {}
        }
    }

    fn attempt(&self, observation: &Observation) {
        let Observation::Attempted {
            number,
            webhook,
            form,
            verb,
            entry_id,
            attempt,
            outcome,
            settlement,
            duration,
            since_commit,
        } = observation
        else {
            return;
        };
        let ms = duration.as_millis() as u64;
        let says = |rationed: &Rationed| rationed.says(webhook, Instant::now());
        // as a text it stands in quotes where a line is for people, for it has spaces
        match settlement {
            Settlement::Delivered => tracing::debug!(
                delivery = %number, webhook, form, event = %verb, entry_id, attempt, outcome = outcome.to_string(),
                ms, since_commit_ms = since_commit.as_millis() as u64, "delivered"
            ),
            Settlement::Retry { after } => {
                let Some(left_out) = says(&self.failed_attempts) else { return };
                let unsaid = (left_out > 0).then_some(left_out);
                tracing::info!(
                    delivery = %number, webhook, form, event = %verb, entry_id, attempt,
                    outcome = outcome.to_string(), ms, retry_in_s = in_seconds(*after), unsaid,
                    "an attempt failed and is tried again"
                );
            }
            Settlement::Dead | Settlement::Blocking => {
                let Some(left_out) = says(&self.dead_letters) else { return };
                let unsaid = (left_out > 0).then_some(left_out);
                tracing::warn!(
                    delivery = %number, webhook, form, event = %verb, entry_id, attempt,
                    outcome = outcome.to_string(), ms, unsaid,
                    blocks_entry = matches!(settlement, Settlement::Blocking), "a delivery became a dead letter"
                );
            }
        }
    }

    fn condition(&self, observation: &Observation) {
        match observation {
            Observation::ConditionFailed { webhook, form, entry_id, reason } => {
                let Some(left_out) = self.condition_failures.says(webhook, Instant::now()) else { return };
                let unsaid = (left_out > 0).then_some(left_out);
                let hint = "a condition or a table that is mended lets it flow, walhook queue drop-held gives it up; walhook queue held lists all";
                tracing::error!(
                    webhook,
                    form,
                    entry_id,
                    reason,
                    unsaid,
                    hint,
                    "a condition could not be judged; the event is held"
                );
            }
            Observation::WebhookBroken { webhook, reason } => {
                let hint = "change the condition, or the table back";
                tracing::error!(
                    webhook,
                    reason,
                    hint,
                    "the webhook is broken; its events are held until it is mended"
                );
            }
            Observation::WebhookMended { webhook } => {
                self.condition_failures.forget(webhook);
                tracing::info!(webhook, "the webhook's condition fits again");
            }
            Observation::HeldJudged { webhook, events, matched } => {
                tracing::info!(webhook, events, matched, "held events were judged again");
            }
            _ => {}
        }
    }
}

fn process(observation: &Observation) {
    match observation {
        Observation::TaskFailed { task, error, hint, call_operator, retry_in } => {
            let retry_in_s = in_seconds(*retry_in);
            let hint = hint.as_deref();
            if *call_operator {
                tracing::error!(task, error, hint, retry_in_s, "a task failed and needs somebody to act");
            } else {
                tracing::warn!(task, error, hint, retry_in_s, "a task failed and is tried again");
            }
        }
        Observation::ConfigurationTakenOver { webhooks, restart_needed_for } => {
            tracing::info!(webhooks, "the configuration was taken over");
            if !restart_needed_for.is_empty() {
                let parts = restart_needed_for.join(", ");
                tracing::warn!(parts, "these parts differ and take effect at the next start only");
            }
        }
        Observation::ConfigurationRefused { problems } => {
            tracing::error!(problems, "the configuration was refused; the one before it stays in use");
        }
        Observation::MailFailed { webhook, error, retry_in: Some(pause) } => {
            let retry_in_s = in_seconds(*pause);
            tracing::warn!(webhook, error, retry_in_s, "a mail was not taken and is tried again");
        }
        Observation::MailFailed { webhook, error, retry_in: None } => {
            tracing::error!(webhook, error, "a mail was not taken for a day and is given up");
        }
        Observation::KeyFileMade { path } => {
            let hint = "keep a copy of it: what it sealed is lost without it";
            tracing::info!(path, hint, "a file with a new sealing key was made");
        }
        Observation::KeyFileReadable { path } => {
            let hint = format!("make it private with: chmod 0600 {path}");
            tracing::warn!(path, hint, "the file with the sealing keys can be read by others");
        }
        _ => {}
    }
}

fn capture(observation: &Observation) {
    match observation {
        Observation::SlotBeingCreated { slot } => {
            tracing::info!(slot, "creating the slot; that waits for every open transaction of the server");
        }
        Observation::SlotInUse { slot, active_pid } => {
            tracing::warn!(slot, active_pid, "the slot is in use; waiting for it");
        }
        Observation::StreamStarted { slot, from } => tracing::info!(slot, %from, "the stream runs"),
        Observation::TransactionsEnqueued { transactions, changes, events, deliveries, .. } => {
            tracing::debug!(transactions, changes, events, deliveries, "transactions enqueued");
        }
        Observation::Confirmed { end_lsn } => tracing::debug!(%end_lsn, "confirmed"),
        Observation::ServerWalEnd { wal_end } => tracing::trace!(%wal_end, "the server's log ends"),
        Observation::FormBound { form, table } => {
            tracing::info!(form, table, "a form was bound to its table");
        }
        Observation::FormBroken { form, reason } => {
            tracing::error!(form, reason, "a form no longer fits its table");
        }
        Observation::Quarantined { position, form, reason } => {
            let form = form.as_deref();
            tracing::error!(%position, form, reason, "a row change could not be read and was put aside");
        }
        Observation::AttachmentMissing { form, entry_id, field, reason } => {
            tracing::warn!(form, entry_id, field, reason, "an attachment could not be sent with its event");
        }
        Observation::Truncated { form } => {
            tracing::warn!(form, "the table was truncated: there are no delete events for its rows");
        }
        Observation::TransactionStaged { xid, changes } => {
            tracing::info!(xid, changes, "a large transaction is being staged on disk");
        }
        _ => {}
    }
}

fn dispatch(observation: &Observation) {
    match observation {
        Observation::EndpointProbed { webhook, failures, outcome } => {
            let outcome = outcome.to_string();
            tracing::warn!(
                webhook,
                failures,
                outcome,
                "the endpoint seems dead; one delivery at a time probes it"
            );
        }
        Observation::EndpointRecovered { webhook } => tracing::info!(webhook, "the endpoint answers again"),
        Observation::WebhookSuspended { webhook, reason } => {
            let hint = "once the endpoint is well again: walhook webhooks enable";
            tracing::error!(webhook, reason, hint, "the webhook was suspended");
        }
        _ => {}
    }
}

fn registration(observation: &Observation) {
    match observation {
        Observation::Registered { id, webhook } => {
            tracing::info!(id = id.0, webhook, "a webhook was registered");
        }
        Observation::RegistrationRefused { id, webhook, reason } => {
            let hint = "mend the row; walhook.status shows it too";
            tracing::warn!(id = id.0, webhook, reason, hint, "a registration cannot work");
        }
        Observation::RegistrationsUnanswered { reason, hint } => {
            tracing::warn!(reason, hint, "registrations are not answered");
        }
        Observation::Unregistered { id } => tracing::info!(id = id.0, "a webhook was deleted"),
        Observation::DeletedDropped { id, dropped } => {
            tracing::info!(id = id.0, dropped, "what was queued for a deleted webhook is dropped");
        }
        _ => {}
    }
}

/// To the millisecond: more digits are noise.
fn in_seconds(pause: Duration) -> f64 {
    pause.as_millis() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{DeliveryNumber, Outcome};
    use crate::event::Verb;
    use crate::webhook::WebhookId;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Page(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Page {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: Option<&str>, observation: &Observation) -> String {
        logged_all(format, filter, std::slice::from_ref(observation))
    }

    fn logged_all(format: LogFormat, filter: Option<&str>, observations: &[Observation]) -> String {
        let page = Page::default();
        let (subscriber, flush) = subscriber(format, false, filter, page.clone()).unwrap();
        let log = Log::default();
        tracing::subscriber::with_default(subscriber, || {
            for observation in observations {
                log.observe(observation);
            }
        });
        drop(flush);
        let bytes = page.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    fn attempted(settlement: Settlement) -> Observation {
        Observation::Attempted {
            number: DeliveryNumber { webhook: WebhookId(7), sequence: 12 },
            webhook: "Escalations".into(),
            form: "HPD:Help Desk".into(),
            verb: Verb::Update,
            entry_id: "INC1".into(),
            attempt: 3,
            outcome: Outcome::Answered {
                status: 422,
                retry_after: None,
                excerpt: "your field Password = hunter2 is wrong".into(),
            },
            settlement,
            duration: Duration::from_millis(15),
            since_commit: Duration::from_millis(40),
        }
    }

    #[test]
    fn a_line_of_json_has_the_facts_beside_the_message() {
        let line = logged(LogFormat::Json, None, &attempted(Settlement::Dead));
        let json: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(json["level"], "WARN");
        assert_eq!(json["message"], "a delivery became a dead letter");
        assert_eq!(json["delivery"], "7/12");
        assert_eq!(json["outcome"], "422 Unprocessable Entity");
        assert_eq!(json["ms"], 15);
    }

    #[test]
    fn a_line_for_people_can_be_taken_apart() {
        let after = Duration::from_nanos(824_528_538);
        let line = logged(LogFormat::Human, None, &attempted(Settlement::Retry { after }));
        assert!(line.contains(" outcome=\"422 Unprocessable Entity\" ms=15 retry_in_s=0.824"), "{line}");
    }

    #[test]
    fn what_an_endpoint_answered_is_not_logged() {
        for format in [LogFormat::Human, LogFormat::Json] {
            let line = logged(format, Some("trace"), &attempted(Settlement::Dead));
            assert!(line.contains("INC1") && !line.contains("hunter2"), "{line}");
        }
    }

    #[test]
    fn what_goes_well_is_silent_unless_asked_for() {
        assert_eq!(logged(LogFormat::Human, None, &attempted(Settlement::Delivered)), "");
        let line = logged(LogFormat::Human, Some("walhook=debug"), &attempted(Settlement::Delivered));
        assert!(line.contains("DEBUG delivered"), "{line}");
    }

    #[test]
    fn a_condition_that_fails_for_every_event_is_said_once_in_a_while() {
        let failed = |webhook: &str| Observation::ConditionFailed {
            webhook: webhook.into(),
            form: "Incident".into(),
            entry_id: "INC1".into(),
            reason: "division by zero".into(),
        };
        let mut observations = vec![failed("a"); 10_000];
        observations.push(failed("b"));
        let lines = logged_all(LogFormat::Json, None, &observations);
        let lines: Vec<serde_json::Value> =
            lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert_eq!((&lines[0]["webhook"], &lines[0]["reason"]), (&"a".into(), &"division by zero".into()));
        assert_eq!(lines[1]["webhook"], "b");
        // once it was mended, the next is news again
        let mended = Observation::WebhookMended { webhook: "a".into() };
        let lines = logged_all(LogFormat::Human, None, &[failed("a"), mended, failed("a")]);
        assert_eq!(lines.matches("the event is held").count(), 2, "{lines}");
        assert_eq!(lines.matches("fits again").count(), 1, "{lines}");
    }

    /// It had named a number, where every other line names the webhook.
    #[test]
    fn an_overflow_names_its_webhook() {
        let line =
            logged(LogFormat::Human, None, &Observation::BacklogOverflowed { webhook: "pager".into() });
        assert!(line.contains("webhook=\"pager\""), "{line}");
    }

    /// `--color` had held for everything but the log.
    #[test]
    fn colours_are_where_the_operator_wants_them() {
        assert!(is_coloured(ColorChoice::Auto, true, false));
        assert!(!is_coloured(ColorChoice::Auto, true, true));
        assert!(!is_coloured(ColorChoice::Auto, false, false));
        assert!(is_coloured(ColorChoice::Always, false, true));
        assert!(!is_coloured(ColorChoice::Never, true, false));
    }

    #[test]
    fn a_wrong_filter_is_refused() {
        let error = subscriber(LogFormat::Human, false, Some("walhook=loud"), io::sink()).err().unwrap();
        assert_eq!(error.to_string(), "the value of WALHOOK_LOG is not a filter such as walhook=debug");
    }
}
