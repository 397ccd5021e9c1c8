//! Everything worth telling: one vocabulary that logs, metrics, health and tests listen to.
//!
//! No row values, bodies or secrets: names, counts, positions and identifiers only.

use crate::delivery::{DeliveryNumber, Outcome, Settlement};
use crate::event::Verb;
use crate::lsn::{Lsn, Position};
use crate::webhook::WebhookId;
use std::sync::Arc;
use std::time::Duration;

/// Something that happened on the path.
#[derive(Clone, Debug)]
pub enum Observation {
    // --- life of the process
    /// A task could not go on and is started anew after a pause.
    TaskFailed {
        /// `capture`, `dispatch`, `upkeep`, `admin`.
        task: &'static str,
        /// What happened, with its causes.
        error: String,
        /// What to do about it, if somebody has to.
        hint: Option<String>,
        /// Whether somebody has to act.
        call_operator: bool,
        /// The pause.
        retry_in: Duration,
    },
    /// A condition could not be judged for an event, which is held until it can.
    ConditionFailed {
        /// The webhook's name.
        webhook: String,
        /// The form.
        form: String,
        /// The entry.
        entry_id: String,
        /// Why: `division by zero`, and where in the text.
        reason: String,
    },
    /// A webhook's condition does not fit its form any more, or fails again and again: its events are held.
    WebhookBroken {
        /// The webhook's name.
        webhook: String,
        /// Why.
        reason: String,
    },
    /// A broken webhook's condition fits again.
    WebhookMended {
        /// The webhook's name.
        webhook: String,
    },
    /// Held events of a webhook were judged again.
    HeldJudged {
        /// The webhook's name.
        webhook: String,
        /// How many were judged.
        events: u64,
        /// How many of them matched and are deliveries now.
        matched: u64,
    },
    /// A configuration was taken over at run time.
    ConfigurationTakenOver {
        /// How many webhooks it has.
        webhooks: usize,
        /// The parts that differ and take effect at the next start only.
        restart_needed_for: Vec<&'static str>,
    },
    /// A configuration was refused; the old one stays.
    ConfigurationRefused {
        /// The problems, drawn.
        problems: String,
    },
    /// Somebody could not log in to the HTTP surface.
    LoginRefused {
        /// The account, where there is one of that name.
        account: Option<String>,
        /// The address it came from.
        peer: String,
    },
    /// The HTTP surface serves a certificate from now on.
    CertificateTakenOver {
        /// How many days it is still good, where that can be read.
        days_left: Option<i64>,
    },
    /// A certificate of the HTTP surface cannot be used; the one before it stays.
    CertificateRefused {
        /// Why.
        reason: String,
    },
    /// A file with a new sealing key was made.
    KeyFileMade {
        /// The file.
        path: String,
    },
    /// Others than its owner may read the file with the sealing keys.
    KeyFileReadable {
        /// The file.
        path: String,
    },
    /// A mail about a webhook was not taken by the relay.
    MailFailed {
        /// The webhook's name.
        webhook: String,
        /// Why.
        error: String,
        /// The pause; none where it is given up.
        retry_in: Option<Duration>,
    },

    // --- capture
    /// The slot is being created; that waits for every open transaction of the server.
    SlotBeingCreated {
        /// Its name.
        slot: String,
    },
    /// Somebody else reads the slot.
    SlotInUse {
        /// Its name.
        slot: String,
        /// The process id of the server's process that holds it.
        active_pid: Option<i32>,
    },
    /// The stream runs.
    StreamStarted {
        /// The slot.
        slot: String,
        /// From where.
        from: Lsn,
    },
    /// A transaction has been enqueued, or found to concern nobody.
    TransactionsEnqueued {
        /// How many transactions.
        transactions: u64,
        /// How many row changes they had.
        changes: u64,
        /// How many form events.
        events: u64,
        /// How many deliveries.
        deliveries: u64,
        /// The commit time of the last, in microseconds since 1970 UTC.
        committed_at_us: i64,
    },
    /// The server was told that it may forget everything up to here.
    Confirmed {
        /// The LSN.
        end_lsn: Lsn,
    },
    /// The server said where its log ends.
    ServerWalEnd {
        /// The LSN.
        wal_end: Lsn,
    },
    /// A form was bound to its table, or bound anew after the table changed.
    FormBound {
        /// The form.
        form: String,
        /// `schema.table`.
        table: String,
    },
    /// A form's table no longer fits it.
    FormBroken {
        /// The form.
        form: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A row change could not be read and was put aside.
    Quarantined {
        /// Its address.
        position: Position,
        /// The form, where known.
        form: Option<String>,
        /// Why.
        reason: String,
    },
    /// A file of an entry cannot be sent with an event; the message says so.
    AttachmentMissing {
        /// The form.
        form: String,
        /// The entry.
        entry_id: String,
        /// The field.
        field: String,
        /// Why.
        reason: String,
    },
    /// A table was truncated: there are no rows in the log, so there are no delete events.
    Truncated {
        /// The form.
        form: String,
    },
    /// A large transaction is being staged on disk.
    TransactionStaged {
        /// Its number.
        xid: u32,
        /// How many row changes so far.
        changes: u64,
    },

    // --- queue
    /// The queue's file grew beyond a share of its limit.
    QueueFilling {
        /// The share, in percent.
        percent: u8,
    },
    /// A webhook's backlog is at its limit: further deliveries are kept without body.
    BacklogOverflowed {
        /// The webhook's name.
        webhook: String,
    },

    // --- dispatch
    /// An attempt has ended.
    Attempted {
        /// The delivery.
        number: DeliveryNumber,
        /// The webhook's name.
        webhook: String,
        /// The form.
        form: String,
        /// What happened to the entry.
        verb: Verb,
        /// The entry.
        entry_id: String,
        /// The number of the attempt.
        attempt: u32,
        /// What became of it.
        outcome: Outcome,
        /// What becomes of the delivery.
        settlement: Settlement,
        /// How long the attempt took.
        duration: Duration,
        /// From the change's commit to the end of the attempt.
        since_commit: Duration,
    },
    /// An endpoint seems dead: from now on one delivery at a time probes it.
    EndpointProbed {
        /// The webhook.
        webhook: String,
        /// How many failures in a row.
        failures: u32,
        /// What became of the last attempt.
        outcome: Outcome,
    },
    /// An endpoint that seemed dead has answered.
    EndpointRecovered {
        /// The webhook.
        webhook: String,
    },
    /// A webhook was registered, or registered otherwise than before.
    Registered {
        /// Its number.
        id: WebhookId,
        /// Its name.
        webhook: String,
    },
    /// A registration cannot work; what was in force before stays so.
    RegistrationRefused {
        /// Its number.
        id: WebhookId,
        /// Its name.
        webhook: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The registration table takes no writes: states are not told there, and secrets not sealed.
    RegistrationsUnanswered {
        /// Why.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
    /// A registration was deleted.
    Unregistered {
        /// The webhook's number.
        id: WebhookId,
    },
    /// What was queued for a deleted webhook is dropped.
    DeletedDropped {
        /// The webhook's number.
        id: WebhookId,
        /// How many deliveries and held events those were.
        dropped: u64,
    },
    /// A webhook was suspended.
    WebhookSuspended {
        /// The webhook.
        webhook: String,
        /// Why.
        reason: String,
    },
}

/// Somebody who listens.
pub trait Observer: Send + Sync {
    /// Takes note. Called on the path: must be quick and must not block.
    fn observe(&self, observation: &Observation);
}

/// Everybody who listens.
#[derive(Clone, Default)]
pub struct Observers(Arc<[Arc<dyn Observer>]>);

impl Observers {
    /// These.
    pub fn new(observers: Vec<Arc<dyn Observer>>) -> Self {
        Self(observers.into())
    }

    /// Tells all of them.
    pub fn tell(&self, observation: Observation) {
        for observer in self.0.iter() {
            observer.observe(&observation);
        }
    }
}
