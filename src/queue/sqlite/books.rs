//! The webhooks' books in the writer's memory: read once, changed in memory, stored with every transaction.

use super::fault::Fault;
use super::rows::{sql, unsigned_at};
use crate::delivery::State;
use crate::queue::WebhookState;
use crate::webhook::WebhookId;
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, BTreeSet};

/// A webhook's row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Book {
    pub(super) name: String,
    pub(super) enabled: bool,
    pub(super) suspended: bool,
    pub(super) orphaned: bool,
    pub(super) deleted: bool,
    /// Whether further deliveries go into a dead range until some of the backlog is gone.
    pub(super) overflowing: bool,
    pub(super) backlog_bytes_max: u64,
    /// The number of the next delivery, counting only what is published.
    pub(super) next_sequence: u64,
    pub(super) pending: u64,
    pub(super) pending_bytes: u64,
    /// Dead letters, those in dead ranges included.
    pub(super) dead: u64,
    /// What the dead letters' bodies take: they are kept, and so count against the backlog.
    pub(super) dead_bytes: u64,
    pub(super) delivered: u64,
    pub(super) dropped: u64,
    pub(super) failures: u32,
    pub(super) failing_since_us: Option<i64>,
    pub(super) last_error: Option<String>,
    /// The number of the next held event, counting only what is published.
    pub(super) next_held: u64,
    /// Held events, those in ranges included.
    pub(super) held: u64,
    /// How many of them are in ranges.
    pub(super) held_beyond: u64,
    pub(super) held_bytes: u64,
    pub(super) held_dropped: u64,
    /// The number of the last held event that an operator gave up.
    pub(super) held_dropped_to: u64,
    pub(super) condition_failures: u64,
    pub(super) last_condition_failure: Option<String>,
    pub(super) broken: Option<String>,
    /// As stored: a number that no delivery is below that is to be sent some time.
    pub(super) oldest: u64,
}

impl Book {
    /// How the webhook is served; the strongest reason against it wins.
    pub(super) fn state(&self) -> WebhookState {
        match self {
            Self { orphaned: true, .. } => WebhookState::Orphaned,
            Self { enabled: false, .. } => WebhookState::Disabled,
            Self { suspended: true, .. } => WebhookState::Suspended,
            _ => WebhookState::Enabled,
        }
    }

    /// What counts against its backlog, of what is published.
    pub(super) fn backlog_bytes(&self) -> u64 {
        self.pending_bytes + self.dead_bytes + self.held_bytes
    }

    /// Whether its deliveries may be claimed.
    pub(super) fn is_served(&self) -> bool {
        !self.deleted && self.state() == WebhookState::Enabled
    }

    /// A delivery goes from one state to another.
    pub(super) fn moves(&mut self, from: State, to: State, bytes: u64) {
        match from {
            State::Waiting | State::Ready | State::Retrying => {
                self.pending = self.pending.saturating_sub(1);
                self.pending_bytes = self.pending_bytes.saturating_sub(bytes);
            }
            State::Blocking | State::Dead => {
                self.dead = self.dead.saturating_sub(1);
                self.dead_bytes = self.dead_bytes.saturating_sub(bytes);
            }
            State::Delivered | State::Dropped => {}
        }
        match to {
            State::Waiting | State::Ready | State::Retrying => {
                self.pending += 1;
                self.pending_bytes += bytes;
            }
            State::Blocking | State::Dead => {
                self.dead += 1;
                self.dead_bytes += bytes;
            }
            State::Delivered => self.delivered += 1,
            State::Dropped => self.dropped += 1,
        }
    }
}

/// A row of `load_books.sql`.
pub(super) fn book_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<(WebhookId, Book)> {
    let book = Book {
        name: row.get(1)?,
        enabled: row.get(2)?,
        suspended: row.get(3)?,
        orphaned: row.get(4)?,
        deleted: row.get(5)?,
        overflowing: row.get(6)?,
        backlog_bytes_max: unsigned_at(row, 7)?,
        next_sequence: unsigned_at(row, 8)?,
        pending: unsigned_at(row, 9)?,
        pending_bytes: unsigned_at(row, 10)?,
        dead: unsigned_at(row, 11)?,
        dead_bytes: unsigned_at(row, 12)?,
        delivered: unsigned_at(row, 13)?,
        dropped: unsigned_at(row, 14)?,
        failures: row.get(15)?,
        failing_since_us: row.get(16)?,
        last_error: row.get(17)?,
        next_held: unsigned_at(row, 18)?,
        held: unsigned_at(row, 19)?,
        held_beyond: unsigned_at(row, 20)?,
        held_bytes: unsigned_at(row, 21)?,
        held_dropped: unsigned_at(row, 22)?,
        held_dropped_to: unsigned_at(row, 23)?,
        condition_failures: unsigned_at(row, 24)?,
        last_condition_failure: row.get(25)?,
        broken: row.get(26)?,
        oldest: unsigned_at(row, 27)?,
    };
    Ok((WebhookId(unsigned_at(row, 0)?), book))
}

/// All books, and which of them have to be stored.
#[derive(Debug, Default)]
pub(super) struct Books {
    by_webhook: BTreeMap<WebhookId, Book>,
    changed: BTreeSet<WebhookId>,
    /// Counts changes, so that it can be told whether something made some.
    pub(super) changes: u64,
}

impl Books {
    /// As stored.
    pub(super) fn load(connection: &Connection) -> Result<Self, Fault> {
        let mut statement = connection.prepare_cached(sql!("load_books"))?;
        let by_webhook = statement.query_map([], book_of)?.collect::<Result<_, _>>()?;
        Ok(Self { by_webhook, ..Self::default() })
    }

    /// A webhook's book.
    pub(super) fn find(&self, webhook: WebhookId) -> Option<&Book> {
        self.by_webhook.get(&webhook)
    }

    /// All of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = (WebhookId, &Book)> {
        self.by_webhook.iter().map(|(&webhook, book)| (webhook, book))
    }

    /// A webhook's book, to be changed; a new one where there is none.
    pub(super) fn change(&mut self, webhook: WebhookId) -> &mut Book {
        self.changes += 1;
        self.changed.insert(webhook);
        let new = || Book { next_sequence: 1, next_held: 1, ..Book::default() };
        self.by_webhook.entry(webhook).or_insert_with(new)
    }

    /// Stores what changed. `oldest` says for each webhook a number that no delivery is below that is to be sent some
    /// time, if there is one.
    pub(super) fn store(
        &mut self,
        connection: &Connection,
        oldest: impl Fn(WebhookId, &Book) -> Option<u64>,
    ) -> Result<(), Fault> {
        while let Some(webhook) = self.changed.pop_first() {
            let book = &self.by_webhook[&webhook];
            connection.prepare_cached(sql!("store_book"))?.execute(params![
                webhook.0.cast_signed(),
                book.name,
                book.enabled,
                book.suspended,
                book.orphaned,
                book.deleted,
                book.overflowing,
                book.backlog_bytes_max.cast_signed(),
                book.next_sequence.cast_signed(),
                book.pending.cast_signed(),
                book.pending_bytes.cast_signed(),
                book.dead.cast_signed(),
                book.dead_bytes.cast_signed(),
                book.delivered.cast_signed(),
                book.dropped.cast_signed(),
                book.failures,
                book.failing_since_us,
                book.last_error,
                book.next_held.cast_signed(),
                book.held.cast_signed(),
                book.held_beyond.cast_signed(),
                book.held_bytes.cast_signed(),
                book.held_dropped.cast_signed(),
                book.held_dropped_to.cast_signed(),
                book.condition_failures.cast_signed(),
                book.last_condition_failure,
                book.broken,
                oldest(webhook, book).unwrap_or(book.next_sequence).cast_signed(),
            ])?;
        }
        Ok(())
    }
}
