//! The durable queue between capture and dispatch.

pub mod sqlite;

use crate::change::{RelationId, RowChange};
use crate::delivery::{
    AcceptedGap, Attempt, Batch, Body, Claim, DeliveryId, DeliveryNumber, Held, HeldRef, LastTransaction,
    Settled, State, StreamRecord,
};
use crate::event::Verb;
use crate::form::{BindingRecord, Lane};
use crate::keymap::{KeyRef, KeyRow};
use crate::lsn::{Durable, Position};
pub use crate::registration::WebhookRecord;
use crate::registration::{Registration, Registrations};
use crate::remedy::{Remediable, Remedy};
use crate::webhook::WebhookId;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What goes wrong with a queue.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another process has it.
    #[error("queue {} is in use by another walhook", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not a walhook queue", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file was written by a later walhook.
    #[error("queue {} has schema version {found}; this walhook knows versions up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
        /// The latest version known here.
        known: u32,
    },
    /// The file was written by an earlier walhook, which has it still.
    #[error("queue {} has schema version {found}, and an earlier walhook works on it", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: u32,
    },
    /// The file is damaged.
    #[error("queue {} is damaged: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// There is none, and a command does not make one.
    #[error("there is no queue at {}", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be opened or made.
    #[error("queue {} cannot be opened", path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The disk has no room.
    #[error("the disk has no room for queue {}", path.display())]
    DiskFull {
        /// The file.
        path: PathBuf,
    },
    /// A backup would have written over something.
    #[error("{} exists already", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// Walhook contradicts itself: a sequence number out of turn, a delivery that was enqueued before.
    #[error("the queue refuses a contradiction, which is a bug of walhook: {reason}")]
    Bug {
        /// What contradicts what.
        reason: String,
    },
    /// It holds as much as it may.
    #[error("the queue holds {bytes} bytes of at most {bytes_max}")]
    Full {
        /// What it holds.
        bytes: u64,
        /// Its limit.
        bytes_max: u64,
    },
    /// The disk or the engine failed.
    #[error("the queue could not {action}")]
    Storage {
        /// What was tried: `enqueue`.
        action: &'static str,
        /// Why it failed.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The queue was closed while it was asked.
    #[error("the queue is closed")]
    Closed,
}

impl Remediable for Error {
    fn remedy(&self) -> Remedy {
        match self {
            Self::InUse { .. }
            | Self::Full { .. }
            | Self::DiskFull { .. }
            | Self::Storage { .. }
            | Self::Closed => Remedy::Wait,
            Self::Foreign { .. }
            | Self::Newer { .. }
            | Self::Older { .. }
            | Self::Damaged { .. }
            | Self::Missing { .. }
            | Self::Unusable { .. }
            | Self::Exists { .. }
            | Self::Bug { .. } => Remedy::CallOperator,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::InUse { .. } => "stop the other one, or give this one a file of its own in `[queue] path`",
            Self::Foreign { .. } => "name another file in `[queue] path`; this one is left as it is",
            Self::Newer { .. } => "run the walhook that wrote it, or a later one",
            Self::Older { .. } => {
                "restart the running walhook with this version, which brings the queue up to date"
            }
            Self::Damaged { .. } => {
                "keep the file and its `-wal` for inspection, check the disk, and put a backup in its place \
                 (`walhook queue backup` makes them)"
            }
            Self::Missing { .. } => "`walhook run` makes it; is `[queue] path` right?",
            Self::Unusable { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => "make the directory, or correct `[queue] path`",
                std::io::ErrorKind::PermissionDenied => {
                    "give the user that runs walhook the right to write the file and its directory"
                }
                std::io::ErrorKind::ReadOnlyFilesystem => "name a file on a writable disk in `[queue] path`",
                _ => "correct `[queue] path`, or what the cause names",
            },
            Self::DiskFull { .. } => "make room on the disk; nothing is lost, capture goes on by itself",
            Self::Full { .. } => {
                "raise `[queue] bytes_max`, or replay, drop or deliver what waits (`walhook deliveries list`)"
            }
            Self::Exists { .. } => "name a file that does not exist",
            Self::Bug { .. } => "please report it, with the log around it",
            Self::Storage { .. } | Self::Closed => return None,
        };
        Some(hint.to_owned())
    }
}

/// An answer of the queue.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// The queue as capture, dispatch, upkeep and the commands see it.
///
/// Every method that changes something returns after the change is on disk, but for [`settle`](Self::settle). A future that is dropped may or
/// may not have had its effect.
pub trait Queue: Send + Sync {
    // --- for capture

    /// What is remembered of the stream; none before the first start.
    fn stream(&self) -> Answer<'_, Option<StreamRecord>>;

    /// The transaction at the stream's commit LSN; none where that is not known: then only its place is.
    fn last_transaction(&self) -> Answer<'_, Option<LastTransaction>> {
        Box::pin(async { Ok(None) })
    }

    /// Remembers a stream: its intent, its first position, a new timeline. The first position behind an accepted
    /// gap, where the slot had to be made for it, is the end of that gap.
    fn record_stream(&self, record: StreamRecord) -> Answer<'_, ()>;

    /// Ends an epoch: records the gap and the stream that goes on behind it.
    fn accept_gap(&self, gap: AcceptedGap, record: StreamRecord) -> Answer<'_, ()>;

    /// Throws away what an unfinished transaction had left behind, staged changes included. Also called when a
    /// staged transaction has been enqueued wholly, for its staged changes.
    fn discard_unfinished(&self) -> Answer<'_, ()>;

    /// Stores events, deliveries and progress in one durable transaction. Calls take effect in the order in
    /// which they are made, and several under way may share an fsync. With progress, returns the proof that
    /// the source may be told of. Some of the deliveries may be claimed before: if it fails and is tried again, they are
    /// claimed again, and no sooner than the first claims have ended.
    fn enqueue(&self, batch: Batch) -> Answer<'_, Option<Durable>>;

    /// Puts row changes of a transaction that is too large for memory on disk. Not durable: gone with the
    /// process.
    fn stage(&self, changes: Vec<StagedChange>) -> Answer<'_, ()>;

    /// The staged entries in the order of their first changes, those after the given ordinal, whole entries
    /// until about `bytes_max` are reached, at least one if any is left.
    fn staged(&self, after: Option<u64>, bytes_max: usize) -> Answer<'_, Vec<StagedEntry>>;

    /// The tables that the forms were bound to last.
    fn bindings(&self) -> Answer<'_, Vec<BindingRecord>>;

    /// Remembers the table that a form is bound to.
    fn record_binding(&self, binding: BindingRecord) -> Answer<'_, ()>;

    /// What is kept of the row that has a key, or had it last; none where no batch has told of it, or what it told has been
    /// purged since.
    fn key_row(&self, key: KeyRef) -> Answer<'_, Option<KeyRow>>;

    /// Forgets the keys of all tables but these.
    fn keep_key_tables(&self, tables: Vec<RelationId>) -> Answer<'_, ()>;

    // --- for events that could not be judged

    /// The held events of a webhook in commit order, those after the given number, until about `bytes_max` are
    /// reached, at least one if any is left.
    fn held(&self, webhook: WebhookId, after: Option<u64>, bytes_max: usize) -> Answer<'_, Vec<Held>>;

    /// Gives sequence numbers to a held range: they become a dead range, and the held range is gone. The first must
    /// be the webhook's next number, and the range the first of what the webhook holds. A range that is the last may
    /// grow with every enqueue: read its count, and number it before the next.
    fn number_held_range(&self, held: HeldRef, first_sequence: u64) -> Answer<'_, ()>;

    /// Says that a webhook's condition does not fit its forms any more, and why; none that it does again.
    fn mark_broken(&self, webhook: WebhookId, reason: Option<String>) -> Answer<'_, ()>;

    /// Gives up all held events of a webhook. Returns how many events that were. Whoever has read them before and
    /// releases one afterwards gets an error that passes when they are read again, not [`Error::Bug`].
    fn drop_held(&self, webhook: WebhookId) -> Answer<'_, u64>;

    // --- for the registry

    /// The registrations as of the position, and what they are numbered by.
    fn registrations(&self) -> Answer<'_, Registrations>;

    /// Puts registrations in the place of all that it holds: they were read from the table in that epoch. Later ones
    /// come with batches.
    fn load_registrations(&self, epoch: u32, registrations: Vec<Registration>) -> Answer<'_, ()>;

    /// Makes the webhooks known: new ones start at sequence 1, those missing from the list and not deleted
    /// become orphaned, those that come back go on where they were. Returns all, orphans included.
    fn register(&self, webhooks: Vec<WebhookRecord>) -> Answer<'_, Vec<WebhookStanding>>;

    // --- for dispatch

    /// Claims deliveries that are due, each the first of its lane, round robin over the webhooks. For each
    /// webhook with something due, `allowance` says how many it may have; at most `claims_max` in all.
    /// Webhooks that are disabled, suspended or orphaned have none.
    fn claim<'a>(
        &'a self,
        claims_max: usize,
        allowance: &'a (dyn Fn(WebhookId) -> usize + Send + Sync),
    ) -> Answer<'a, Vec<Claim>>;

    /// Ends claims: writes the attempts and what becomes of the deliveries, lets the next of each lane go,
    /// and keeps the webhooks' books (failures in a row, last error, suspension). The answer outlives this process.
    /// Where many end at once it may come before all that is done, a few milliseconds, and a power cut may undo it until
    /// then: a lane's next goes when nothing can. Whoever reads waits for it.
    fn settle(&self, settled: Vec<Settled>) -> Answer<'_, ()>;

    /// Waits until there may be something new to claim: a delivery was enqueued, let go or replayed, a pause
    /// is over, or a webhook was enabled. May wake without need, never misses.
    fn due(&self) -> BoxFuture<'_, ()>;

    /// Gives back all claims: for the start of dispatch, when there can be none that stand.
    fn void_claims(&self) -> Answer<'_, ()>;

    // --- for people

    /// All webhooks that the queue knows, with their books.
    fn webhooks(&self) -> Answer<'_, Vec<WebhookStanding>>;

    /// One webhook with its books; none where the queue does not know it.
    fn webhook(&self, webhook: WebhookId) -> Answer<'_, Option<WebhookStanding>> {
        Box::pin(async move { Ok(self.webhooks().await?.into_iter().find(|one| one.id == webhook)) })
    }

    /// Clears a suspension, or the operator's own disabling.
    fn enable_webhook(&self, webhook: WebhookId) -> Answer<'_, ()>;

    /// Deletes a webhook's books and drops what it had queued. Returns how many were dropped.
    fn delete_webhook(&self, webhook: WebhookId) -> Answer<'_, u64>;

    /// Drops what is queued for a webhook that is deleted. Returns how many were dropped; none if it is not deleted, or
    /// registered again by now.
    fn drop_deleted(&self, webhook: WebhookId) -> Answer<'_, Option<u64>>;

    /// Deliveries that fit, newest first, at most `limit`.
    fn deliveries(&self, filter: Filter, limit: usize) -> Answer<'_, Vec<DeliverySummary>>;

    /// A page of the deliveries that fit, in the order in which they came, newest first: what is behind `after`, and
    /// everything without it. Only so much is read for one: it may be shorter than `limit`, or empty, although there
    /// is a next. What comes meanwhile changes no page behind it.
    fn page(&self, filter: Filter, after: Option<Place>, limit: usize) -> Answer<'_, Page>;

    /// One delivery with its body and attempts.
    fn delivery(&self, which: DeliveryRef) -> Answer<'_, Option<DeliveryDetail>>;

    /// Makes dead letters that fit due again, in commit order. Returns how many.
    fn replay(&self, filter: Filter) -> Answer<'_, u64>;

    /// Gives up deliveries that fit and are not finished, or are dead. Returns how many.
    fn drop_deliveries(&self, filter: Filter) -> Answer<'_, u64>;

    /// Ranges of sequence numbers that are kept without bodies.
    fn ranges(&self, webhook: Option<WebhookId>) -> Answer<'_, Vec<SequenceRange>>;

    /// Row changes that were put aside.
    fn quarantined(&self) -> Answer<'_, Vec<crate::delivery::Quarantined>>;

    /// How full it is.
    fn size(&self) -> Answer<'_, Size>;

    /// Copies the queue to a file, while it is in use.
    fn backup<'a>(&'a self, path: &'a Path) -> Answer<'a, ()>;

    // --- for upkeep

    /// Removes finished deliveries that ended before the given time (microseconds since 1970 UTC), in bounded
    /// steps; their sequence numbers stay as ranges. Returns how many went in this step; 0 means none is left.
    fn purge(&self, ended_before_us: i64) -> Answer<'_, u64> {
        self.purge_each(EndedBefore { us: ended_before_us, of: BTreeMap::new() })
    }

    /// The same, where some webhooks have times of their own.
    fn purge_each(&self, before: EndedBefore) -> Answer<'_, u64>;

    /// Removes a delivery that is finished; its sequence number stays as a range. Returns whether there was one.
    fn purge_one(&self, place: Place) -> Answer<'_, bool>;

    // --- for privacy

    /// Removes all that is kept of an entry: bodies, attempts and held events; its sequence numbers stay as ranges.
    /// What is not finished (waiting, dead or held) is given up where `drop_unfinished` says so; otherwise nothing is
    /// done where there is such. When it returns, nothing of it is left in the file.
    fn purge_entry(&self, entry: EntryRef, drop_unfinished: bool) -> Answer<'_, EntryPurged>;
}

/// Which finished deliveries are purged: those that ended before a time, in microseconds since 1970 UTC.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndedBefore {
    /// The time for all that have none of their own.
    pub us: i64,
    /// The times of webhooks that have one.
    pub of: BTreeMap<WebhookId, i64>,
}

impl EndedBefore {
    /// The time for a webhook.
    pub fn of(&self, webhook: WebhookId) -> i64 {
        self.of.get(&webhook).copied().unwrap_or(self.us)
    }
}

/// An entry, as an operator names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRef {
    /// Its form; none means every form that has an entry of this id.
    pub form: Option<String>,
    /// Its id.
    pub entry_id: String,
}

/// What became of an entry that was to be purged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EntryPurged {
    /// How many deliveries are purged, those that were given up included. 0 where something was not finished and was
    /// not to be given up.
    pub purged: u64,
    /// How many deliveries wait, are due or are under way; given up if that was said.
    pub waiting: u64,
    /// The same for dead letters.
    pub dead: u64,
    /// The same for held events.
    pub held: u64,
    /// Whether nothing was done because of these.
    pub is_refused: bool,
    /// How many row changes of the form are in quarantine, whose entries are not known: they may be of it.
    pub quarantined: u64,
}

/// A row change of a large transaction, on its way to disk.
#[derive(Clone, Debug)]
pub struct StagedChange {
    /// The row change's number in the transaction.
    pub ordinal: u64,
    /// The number of the form in capture's list.
    pub form: u32,
    /// The entry's identity key, as bytes that differ for different keys.
    pub key: Vec<u8>,
    /// By what capture reads it, as it counts that in this transaction.
    pub reading: u32,
    /// The change.
    pub change: RowChange,
}

/// All changes of one entry in a large transaction, in order.
#[derive(Clone, Debug)]
pub struct StagedEntry {
    /// The ordinal of its first change.
    pub first: u64,
    /// Its changes.
    pub changes: Vec<StagedChange>,
}

/// Whether a webhook is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookState {
    /// It is.
    Enabled,
    /// The operator switched it off: new changes are not enqueued, what is queued waits.
    Disabled,
    /// Its endpoint is gone or failed for too long: changes go on being enqueued and wait.
    Suspended,
    /// Its registration vanished: what is queued is held until it comes back or is deleted.
    Orphaned,
}

/// A webhook's books.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookStanding {
    /// Its number.
    pub id: WebhookId,
    /// Its name.
    pub name: String,
    /// Whether it is served.
    pub state: WebhookState,
    /// The sequence number of its next delivery.
    pub next_sequence: u64,
    /// How many deliveries wait, are due or are under way.
    pub pending: u64,
    /// How much their bodies take, in bytes.
    pub pending_bytes: u64,
    /// How many dead letters there are.
    pub dead: u64,
    /// How many were delivered, ever.
    pub delivered: u64,
    /// How many were dropped, ever.
    pub dropped: u64,
    /// Failures in a row, over all its deliveries.
    pub failures: u32,
    /// When the first of them was, in microseconds since 1970 UTC.
    pub failing_since_us: Option<i64>,
    /// What became of the last attempt that failed, until one succeeds; or why it is suspended.
    pub last_error: Option<String>,
    /// The commit time of the oldest delivery that is not finished, in microseconds since 1970 UTC.
    pub oldest_committed_at_us: Option<i64>,
    /// Why its condition does not fit its forms, if it is broken.
    pub broken: Option<String>,
    /// How many events are held for it.
    pub held: u64,
    /// How much they take, in bytes; counts against its backlog.
    pub held_bytes: u64,
    /// How many of them are beyond the limit of its backlog: only positions were kept, and their lanes are unknown.
    pub held_beyond_limit: u64,
    /// How many held events were given up by an operator, ever.
    pub held_dropped: u64,
    /// How often its condition could not be judged, ever.
    pub condition_failures: u64,
    /// Why not, the last time.
    pub last_condition_failure: Option<String>,
}

/// Which deliveries are meant. Everything that is set must fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this webhook's.
    pub webhook: Option<WebhookId>,
    /// Only this delivery.
    pub sequence: Option<u64>,
    /// Only those in these states; empty means any.
    pub states: Vec<State>,
    /// Only those of this form.
    pub form: Option<String>,
    /// Only those of this entry.
    pub entry_id: Option<String>,
    /// Only those committed at or after, in microseconds since 1970 UTC.
    pub since_us: Option<i64>,
    /// Only those committed before.
    pub until_us: Option<i64>,
}

/// Where a delivery stands among all, in the order in which they came; a number of the backend's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub u64);

/// Some deliveries of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The deliveries, newest first.
    pub deliveries: Vec<DeliverySummary>,
    /// Behind what the next page begins; none if this is the last.
    pub next: Option<Place>,
}

/// One delivery, by one of its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeliveryRef {
    /// `7/1234`.
    Number(DeliveryNumber),
    /// `msg_…`; found by reading through.
    Id(DeliveryId),
    /// Where it stands among all.
    Place(Place),
}

/// A delivery in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliverySummary {
    /// Its name.
    pub number: DeliveryNumber,
    /// Its identity.
    pub id: DeliveryId,
    /// Where it stands among all; it keeps this for as long as it is kept.
    pub place: Place,
    /// Where it stands.
    pub state: State,
    /// The form.
    pub form: String,
    /// What happened.
    pub verb: Verb,
    /// The entry.
    pub entry_id: String,
    /// Its lane.
    pub lane: Lane,
    /// The address of the change.
    pub position: Position,
    /// When it was committed, in microseconds since 1970 UTC.
    pub committed_at_us: i64,
    /// How many attempts there were.
    pub attempts: u32,
    /// Whether somebody has replayed it.
    pub replayed: bool,
    /// When it is due, where it is retrying, in microseconds since 1970 UTC.
    pub due_at_us: Option<i64>,
    /// What became of the last attempt.
    pub last_outcome: Option<String>,
}

/// A delivery with everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeliveryDetail {
    /// What a list shows.
    pub summary: DeliverySummary,
    /// The body.
    pub body: Body,
    /// The attempts, in order.
    pub attempts: Vec<Attempt>,
}

/// Consecutive deliveries of one webhook that share their end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SequenceRange {
    /// The webhook.
    pub webhook: WebhookId,
    /// The first sequence number.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// Their end: `Dead` for those given up by the backlog's limit, else what they were when purged.
    pub state: State,
    /// The position of the first, where it is known.
    pub from: Option<Position>,
    /// The position of the last, where it is known.
    pub to: Option<Position>,
}

/// How full a queue is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// What it holds, in bytes, without space that can be used again.
    pub bytes: u64,
    /// Its limit.
    pub bytes_max: u64,
}
