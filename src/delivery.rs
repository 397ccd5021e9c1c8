//! Deliveries: one event for one webhook, its body fixed.

use crate::event::{FormEvent, Verb};
use crate::form::Lane;
use crate::keymap::KeyChange;
use crate::lsn::{Lsn, Position, Progress};
use crate::registration::RegistrationChange;
use crate::webhook::WebhookId;
use bytes::Bytes;
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// The `webhook-id` header: the same on every attempt and after every crash, different for every delivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryId(pub [u8; 16]);

impl DeliveryId {
    /// The identity of what an event is to a webhook: a hash of position, form, event name, entry and webhook.
    pub fn of(event: &FormEvent, webhook: WebhookId) -> Self {
        let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
        let position = event.position;
        hash.update(&position.epoch.to_be_bytes());
        hash.update(&position.commit_lsn.0.to_be_bytes());
        hash.update(&position.ordinal.to_be_bytes());
        hash.update(&webhook.0.to_be_bytes());
        for text in [&event.form.form.name, event.name().as_str(), &event.entry_id] {
            hash.update(&(text.len() as u64).to_be_bytes());
            hash.update(text.as_bytes());
        }
        let digest = hash.finish();
        Self(digest.as_ref()[..16].try_into().expect("a SHA-256 digest has 32 bytes"))
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = *b"msg_00000000000000000000000000000000";
        for (pair, byte) in text[4..].chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        f.write_str(std::str::from_utf8(&text).expect("letters and digits"))
    }
}

impl fmt::Debug for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for DeliveryId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let hex = text.strip_prefix("msg_").filter(|hex| hex.len() == 32 && hex.is_ascii()).ok_or(())?;
        let mut bytes = [0; 16];
        for (number, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&hex[2 * number..2 * number + 2], 16).map_err(|_| ())?;
        }
        Ok(Self(bytes))
    }
}

/// A delivery's name among people: its webhook's number and its sequence number there, written `7/1234`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DeliveryNumber {
    /// The webhook.
    pub webhook: WebhookId,
    /// Counts the webhook's deliveries from 1, without gaps, in commit order.
    pub sequence: u64,
}

impl fmt::Display for DeliveryNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.webhook, self.sequence)
    }
}

/// The body of a delivery: a head of its own and a tail that deliveries of the same event share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body {
    /// The beginning.
    pub head: Bytes,
    /// The rest.
    pub tail: Bytes,
    /// For the `content-type` header; further lines are headers of the message's own, as `link: <…>`.
    pub content_type: String,
}

impl Body {
    /// What the body is, without the message's headers.
    pub fn media_type(&self) -> &str {
        self.content_type.lines().next().unwrap_or_default()
    }

    /// The JSON of a message that has files beside it as parts of their own; none where it is one piece.
    ///
    /// It is the first part: what stands between the first empty line and the next boundary. In JSON no line begins with
    /// two hyphens.
    pub fn entry_part(&self) -> Option<[Bytes; 2]> {
        if !self.media_type().starts_with("multipart/form-data") {
            return None;
        }
        let begin = 4 + self.head.windows(4).position(|four| four == b"\r\n\r\n")?;
        let end = self.tail.windows(4).position(|four| four == b"\r\n--")?;
        Some([self.head.slice(begin..), self.tail.slice(..end)])
    }

    /// The headers of the message's own, by name.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.content_type.lines().skip(1).filter_map(|line| line.split_once(": "))
    }
}

/// What capture gives to the queue: whole transactions, or a part of a large one.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The events with their deliveries, in commit order.
    pub events: Vec<NewEvent>,
    /// Row changes that could not be read.
    pub quarantined: Vec<Quarantined>,
    /// Events that webhooks could not be judged for, in commit order.
    pub held: Vec<NewHeld>,
    /// Held events that have been judged: those that match stand among the events. Only in batches with progress.
    pub released: Vec<HeldRef>,
    /// What became of registrations in its last transaction, in the order in which it was written: they count for what
    /// comes behind the batch. Only in batches with progress.
    pub registrations: Vec<RegistrationChange>,
    /// What its transactions tell of keys, in the order of the log. In a batch without progress they count at once.
    pub keys: Vec<KeyChange>,
    /// How far capture has come with this batch. None means that the transaction goes on: the events are
    /// stored but do not count until a batch with progress arrives, and are gone if the process ends before.
    pub progress: Option<Progress>,
    /// The transaction at the progress's commit LSN, if it was dealt with since the start.
    pub last: Option<LastTransaction>,
}

/// An event that is kept as it is, because some webhooks cannot be judged for it yet.
#[derive(Clone, Debug)]
pub struct NewHeld {
    /// Its address.
    pub position: Position,
    /// The form's name.
    pub form: String,
    /// What happened.
    pub verb: Verb,
    /// The entry id.
    pub entry_id: String,
    /// What must stay in order with it.
    pub lane: Lane,
    /// When it was committed, in microseconds since 1970 UTC.
    pub committed_at_us: i64,
    /// The event itself, as capture writes it and reads it again.
    pub content: Bytes,
    /// Who waits for it: at least one.
    pub holders: Vec<Holder>,
}

/// A webhook that waits for a held event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// The webhook.
    pub webhook: WebhookId,
    /// Why it waits.
    pub cause: HeldBecause,
}

/// Why an event is held for a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HeldBecause {
    /// Its condition could not be judged for this event.
    Failed {
        /// Why: `division by zero in …`.
        reason: String,
    },
    /// The webhook is broken: its condition does not fit the form any more.
    Broken,
    /// An earlier event of the entry is held.
    Behind,
}

/// A held event of one webhook, as the queue counts them: in commit order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HeldRef {
    /// The webhook.
    pub webhook: WebhookId,
    /// Its number in the queue; later ones have higher numbers.
    pub number: u64,
}

/// A held event as the queue gives it back.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its name.
    pub held: HeldRef,
    /// Why it is held.
    pub cause: HeldBecause,
    /// The address of the first event.
    pub position: Position,
    /// What is held.
    pub what: HeldWhat,
}

/// What is held.
#[derive(Clone, Debug)]
pub enum HeldWhat {
    /// One event.
    Event {
        /// The form's name.
        form: String,
        /// What happened.
        verb: Verb,
        /// The entry id.
        entry_id: String,
        /// What must stay in order with it.
        lane: Lane,
        /// When it was committed, in microseconds since 1970 UTC.
        committed_at_us: i64,
        /// The event as capture wrote it.
        content: Bytes,
    },
    /// Consecutive events beyond the limit of the webhook's backlog, of which only the positions were kept. When
    /// their turn comes they get sequence numbers and become a dead range.
    Range {
        /// How many.
        count: u64,
        /// The address of the last event.
        last: Position,
    },
}

/// An event for the queue.
#[derive(Clone, Debug)]
pub struct NewEvent {
    /// Its address.
    pub position: Position,
    /// The form's name.
    pub form: String,
    /// What happened.
    pub verb: Verb,
    /// The entry id.
    pub entry_id: String,
    /// What must stay in order with it.
    pub lane: Lane,
    /// Other lanes whose deliveries of before must be finished first.
    pub behind: Vec<Lane>,
    /// The transaction's number.
    pub xid: u32,
    /// When it was committed, in microseconds since 1970 UTC.
    pub committed_at_us: i64,
    /// The distinct tails of its deliveries' bodies.
    pub tails: Vec<Tail>,
    /// Its deliveries: at least one, for other events do not come here.
    pub deliveries: Vec<NewDelivery>,
    /// Whether it was held before: then others may have had deliveries of it already.
    pub was_held: bool,
}

/// The shared part of bodies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tail {
    /// For the `content-type` header; further lines are headers of the message's own, as `link: <…>`.
    pub content_type: Cow<'static, str>,
    /// The bytes.
    pub bytes: Bytes,
}

/// A delivery for the queue.
#[derive(Clone, Debug)]
pub struct NewDelivery {
    /// The webhook.
    pub webhook: WebhookId,
    /// Its number there: the next one.
    pub sequence: u64,
    /// Its identity.
    pub id: DeliveryId,
    /// The head of its body.
    pub head: Bytes,
    /// Which of the event's tails goes with it.
    pub tail: usize,
}

/// A row change that could not be read: kept as it came, for an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Quarantined {
    /// The address of the change.
    pub position: Position,
    /// The form, where the table is known.
    pub form: Option<String>,
    /// Why it could not be read.
    pub reason: String,
    /// The log's bytes.
    pub bytes: Bytes,
}

/// A delivery that dispatch has taken on. While it stands, no other delivery of its lane is claimed. Settled
/// by value, so that it cannot be settled twice; dropped unsettled, it is void when dispatch starts anew.
#[derive(Debug)]
pub struct Claim {
    /// Its name.
    pub number: DeliveryNumber,
    /// Its identity.
    pub id: DeliveryId,
    /// The number of this attempt, from 1; goes on counting through replays.
    pub attempt: u32,
    /// How many attempts have failed since the delivery was enqueued or replayed: where its schedule stands.
    pub failures: u32,
    /// Whether this is a replay.
    pub replay: bool,
    /// The body.
    pub body: Body,
    /// What it is about, for observations.
    pub form: String,
    /// What happened.
    pub verb: Verb,
    /// The entry.
    pub entry_id: String,
    /// Its lane.
    pub lane: Lane,
    /// When the change was committed, in microseconds since 1970 UTC.
    pub committed_at_us: i64,
}

/// What became of an attempt. The endpoint's refusal is data, not an error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The endpoint answered.
    Answered {
        /// The HTTP status.
        status: u16,
        /// What it asked for by `Retry-After`.
        retry_after: Option<Duration>,
        /// The beginning of the answer's body.
        excerpt: String,
    },
    /// No answer in time.
    TimedOut,
    /// No connection, or it broke; or the host's name led nowhere but to addresses that the guard refuses.
    Unreachable {
        /// Why.
        reason: String,
    },
    /// We did not send, and would not if we tried again: the URL names an address that the guard refuses, or the
    /// request cannot be made.
    Refused {
        /// Why.
        reason: String,
    },
}

impl Outcome {
    /// The HTTP status of an outcome that is told by its text; none where no answer came.
    pub fn status_of(text: &str) -> Option<u16> {
        let code = text.split(' ').next()?;
        (code.len() == 3).then(|| code.parse().ok())?
    }

    /// Whether the endpoint took the delivery: 2xx.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Answered { status: 200..=299, .. })
    }
}

impl fmt::Display for Outcome {
    /// As it stands in `last_error`: `404 Not Found`, `timeout`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Answered { status, .. } => {
                let reason =
                    http::StatusCode::from_u16(*status).ok().and_then(|code| code.canonical_reason());
                write!(f, "{status}{}{}", if reason.is_some() { " " } else { "" }, reason.unwrap_or_default())
            }
            Self::TimedOut => f.write_str("timeout"),
            Self::Unreachable { reason } | Self::Refused { reason } => f.write_str(reason),
        }
    }
}

/// The record of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Its number, from 1.
    pub number: u32,
    /// When it began, in microseconds since 1970 UTC.
    pub started_at_us: i64,
    /// How long it took.
    pub duration: Duration,
    /// What became of it.
    pub outcome: Outcome,
}

/// What becomes of a delivery after an attempt. Relative, so that no rule needs to know the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It arrived.
    Delivered,
    /// It is tried again.
    Retry {
        /// After this pause.
        after: Duration,
    },
    /// It is a dead letter, and the later deliveries of its entry go on.
    Dead,
    /// It is a dead letter, and the later deliveries of its entry wait until it is replayed or dropped.
    Blocking,
}

/// A claim with its end.
#[derive(Debug)]
pub struct Settled {
    /// The claim.
    pub claim: Claim,
    /// What was tried.
    pub attempt: Attempt,
    /// What becomes of the delivery.
    pub settlement: Settlement,
    /// If the webhook is to be suspended, why.
    pub suspend: Option<String>,
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Behind another one of its lane.
    Waiting,
    /// To be sent at once.
    Ready,
    /// To be sent again when its pause is over.
    Retrying,
    /// A dead letter that holds its lane.
    Blocking,
    /// A dead letter.
    Dead,
    /// It arrived.
    Delivered,
    /// An operator, or the limit of the backlog, gave it up.
    Dropped,
}

impl State {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Ready,
        Self::Retrying,
        Self::Blocking,
        Self::Dead,
        Self::Delivered,
        Self::Dropped,
    ];

    /// The word: `retrying`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Ready => "ready",
            Self::Retrying => "retrying",
            Self::Blocking => "blocking",
            Self::Dead => "dead",
            Self::Delivered => "delivered",
            Self::Dropped => "dropped",
        }
    }
}

/// What the queue remembers of the stream it is fed from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRecord {
    /// The server cluster's `systemid`; no other cluster's log is accepted.
    pub system_id: String,
    /// The timeline that was read last.
    pub timeline: u32,
    /// The database.
    pub database: String,
    /// The slot's name.
    pub slot: String,
    /// Counts accepted gaps.
    pub epoch: u32,
    /// Whether the slot is only about to be created: the intent is stored before the slot is made.
    pub creating: bool,
    /// How far capture has come.
    pub progress: Progress,
}

/// The transaction that was dealt with last, as it can be recognised when the log is read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastTransaction {
    /// Its number.
    pub xid: u32,
    /// When it was committed, in microseconds since 1970 UTC.
    pub committed_at_us: i64,
}

/// A range of the log that was skipped because an operator accepted it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedGap {
    /// The epoch that ended.
    pub epoch: u32,
    /// What was confirmed before it, or where the log that the server has now left the one that was read.
    pub from: Lsn,
    /// Where the stream goes on. While the slot has yet to be made: where the server's log ended.
    pub to: Lsn,
    /// Why there is a gap.
    pub reason: String,
    /// When it was accepted, in microseconds since 1970 UTC.
    pub accepted_at_us: i64,
}
