//! Held events: kept as they are for webhooks that could not be judged for them, once for all who hold them.
//!
//! Each webhook numbers what it holds in commit order and never uses a number twice. Beyond the limit of its backlog
//! a range stands for consecutive events: how many, and the positions of the first and the last.

use super::books::Book;
use super::fault::Fault;
use super::rows::sql;
use super::writer::Writer;
use crate::delivery::{Batch, HeldBecause, NewHeld, State};
use crate::failpoint;
use crate::lsn::Position;
use crate::webhook::WebhookId;
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;

/// How much is kept of the reason why an event is held, in bytes: it may quote a long condition.
const REASON_BYTES_MAX: usize = 1000;

/// What an unfinished transaction holds for a webhook.
#[derive(Clone, Debug)]
pub(super) struct HeldPart {
    /// The number of the next.
    next: u64,
    /// How many events, those in ranges included.
    events: u64,
    /// How many are in ranges.
    beyond: u64,
    pub(super) bytes: u64,
    dropped: u64,
    failures: u64,
    last_failure: Option<String>,
    /// What is kept without content.
    pub(super) ranges: Vec<HeldRange>,
}

/// Consecutive held events of a webhook, of which only the positions are kept.
#[derive(Clone, Debug)]
pub(super) struct HeldRange {
    number: u64,
    /// Why the first is held.
    cause: HeldBecause,
    count: u64,
    first: Position,
    last: Position,
}

impl HeldPart {
    pub(super) fn new(book: &Book) -> Self {
        Self {
            next: book.next_held,
            events: 0,
            beyond: 0,
            bytes: 0,
            dropped: 0,
            failures: 0,
            last_failure: None,
            ranges: Vec::new(),
        }
    }

    /// Numbers an event that is kept.
    fn keep(&mut self, bytes: u64) -> u64 {
        self.events += 1;
        self.bytes += bytes;
        self.next += 1;
        self.next - 1
    }

    /// Counts an event beyond the limit of the backlog.
    fn append(&mut self, position: Position, cause: &HeldBecause) {
        self.events += 1;
        self.beyond += 1;
        match self.ranges.last_mut().filter(|range| range.number + 1 == self.next) {
            Some(range) => {
                range.count += 1;
                range.last = position;
            }
            None => {
                let cause = shortened(cause);
                self.ranges.push(HeldRange {
                    number: self.next,
                    cause,
                    count: 1,
                    first: position,
                    last: position,
                });
                self.next += 1;
            }
        }
    }

    /// Makes it count.
    pub(super) fn count_in(&self, book: &mut Book) {
        book.next_held = self.next;
        book.held += self.events;
        book.held_beyond += self.beyond;
        book.held_bytes += self.bytes;
        book.held_dropped += self.dropped;
        book.condition_failures += self.failures;
        if let Some(reason) = &self.last_failure {
            book.last_condition_failure = Some(reason.clone());
        }
    }
}

/// How much of memory and disk a held event takes, near enough.
pub(super) fn footprint_bytes(held: &NewHeld) -> usize {
    let holder = |cause: &HeldBecause| 200 + reason_of(cause).map_or(0, str::len);
    let holders: usize = held.holders.iter().map(|holder_of| holder(&holder_of.cause)).sum();
    held.content.len() + held.entry_id.len() + holders + 200
}

/// A cause as columns: its word and its reason.
fn cause_columns(cause: &HeldBecause) -> (&'static str, Option<&str>) {
    let word = match cause {
        HeldBecause::Failed { .. } => "failed",
        HeldBecause::Broken => "broken",
        HeldBecause::Behind => "behind",
    };
    (word, reason_of(cause))
}

fn reason_of(cause: &HeldBecause) -> Option<&str> {
    match cause {
        HeldBecause::Failed { reason } => Some(beginning(reason)),
        HeldBecause::Broken | HeldBecause::Behind => None,
    }
}

/// What is kept of a reason: whole characters.
fn beginning(reason: &str) -> &str {
    let end = (0..=reason.len().min(REASON_BYTES_MAX)).rev().find(|&end| reason.is_char_boundary(end));
    &reason[..end.unwrap_or(0)]
}

fn shortened(cause: &HeldBecause) -> HeldBecause {
    match reason_of(cause) {
        Some(reason) => HeldBecause::Failed { reason: reason.to_owned() },
        None => cause.clone(),
    }
}

impl Writer {
    /// Checks what only a bug can say of held events, before anything is changed.
    pub(super) fn refuse_contradictory_holders(&self, batch: &Batch) -> Result<(), Fault> {
        for held in &batch.held {
            let at = held.position;
            if held.holders.is_empty() {
                return Err(Fault::bug(format!("nobody holds the held event at {at}")));
            }
            let mut holders = BTreeSet::new();
            for holder in &held.holders {
                let webhook = holder.webhook;
                if self.books.find(webhook).is_none() {
                    return Err(Fault::bug(format!("webhook {webhook} is not registered with the queue")));
                }
                if !holders.insert(webhook) {
                    return Err(Fault::bug(format!("webhook {webhook} holds the event at {at} twice")));
                }
            }
        }
        Ok(())
    }

    /// Stores an event for those who hold it, or counts it where there is no room in a backlog.
    pub(super) fn hold(&mut self, held: &NewHeld) -> Result<(), Fault> {
        failpoint::reach("queue.hold.before");
        let mut kept = Vec::with_capacity(held.holders.len());
        for holder in &held.holders {
            let reason = reason_of(&holder.cause);
            let bytes = (held.content.len() + reason.map_or(0, str::len)) as u64;
            let book = self.books.find(holder.webhook).expect("checked with the batch");
            let part = self.unpublished.part(holder.webhook, book);
            if let Some(reason) = reason {
                part.held.failures += 1;
                part.held.last_failure = Some(reason.to_owned());
            }
            match part.turns_away(book, bytes) {
                None => kept.push((holder, part.held.keep(bytes), bytes)),
                Some(State::Dead) => part.held.append(held.position, &holder.cause),
                Some(_) => part.held.dropped += 1,
            }
        }
        if kept.is_empty() {
            return Ok(());
        }
        let event = self.insert_held_event(held, kept.len())?;
        for (holder, number, bytes) in kept {
            let (word, reason) = cause_columns(&holder.cause);
            self.connection.prepare_cached(sql!("insert_held"))?.execute(params![
                holder.webhook.0.cast_signed(),
                number.cast_signed(),
                event,
                held.lane.0.cast_signed(),
                word,
                reason,
                bytes.cast_signed(),
            ])?;
        }
        failpoint::reach("queue.hold.after");
        Ok(())
    }

    fn insert_held_event(&mut self, held: &NewHeld, holders: usize) -> Result<i64, Fault> {
        self.unpublished.last_held_event += 1;
        let inserted = self.connection.prepare_cached(sql!("insert_held_event"))?.execute(params![
            self.unpublished.last_held_event,
            held.position.epoch,
            held.position.commit_lsn.0.cast_signed(),
            held.position.ordinal.cast_signed(),
            held.form,
            held.verb.as_str(),
            held.entry_id,
            held.lane.0.cast_signed(),
            held.committed_at_us,
            holders as i64,
            &held.content[..],
        ]);
        match inserted {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                Err(Fault::bug(format!(
                    "the event {} of form {:?} at {} is held already",
                    held.verb, held.form, held.position
                )))
            }
            inserted => {
                inserted?;
                Ok(self.unpublished.last_held_event)
            }
        }
    }

    /// Stores a range, as part of the one before where it goes on.
    pub(super) fn store_held_range(&self, webhook: WebhookId, range: &HeldRange) -> Result<(), Fault> {
        let HeldRange { number, cause, count, first, last } = range;
        let (webhook, number) = (webhook.0.cast_signed(), number.cast_signed());
        let before: Option<(i64, bool)> = self
            .connection
            .prepare_cached(sql!("held_before"))?
            .query_row(params![webhook, number], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let to = (last.epoch, last.commit_lsn.0.cast_signed(), last.ordinal.cast_signed());
        if let Some((before, true)) = before {
            let extended = params![webhook, before, count.cast_signed(), to.0, to.1, to.2];
            self.connection.prepare_cached(sql!("extend_held_range"))?.execute(extended)?;
            return Ok(());
        }
        let (word, reason) = cause_columns(cause);
        self.connection.prepare_cached(sql!("insert_held_range"))?.execute(params![
            webhook,
            number,
            word,
            reason,
            count.cast_signed(),
            first.epoch,
            first.commit_lsn.0.cast_signed(),
            first.ordinal.cast_signed(),
            to.0,
            to.1,
            to.2,
        ])?;
        Ok(())
    }

    /// Throws away some of what is held and not published. Returns whether something may be left.
    pub(super) fn discard_held(&self, step: i64) -> Result<bool, Fault> {
        let published = self.published.held_event;
        for statement in [sql!("delete_held_after"), sql!("delete_held_events_after")] {
            if self.connection.prepare_cached(statement)?.execute(params![published, step])? > 0 {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Says that a webhook is broken, and why; or that it is not any more.
    pub(super) fn mark_broken(&mut self, webhook: WebhookId, reason: Option<String>) -> Result<(), Fault> {
        match self.books.find(webhook) {
            None => Err(Fault::bug(format!("webhook {webhook} is not registered with the queue"))),
            Some(book) if book.broken == reason => Ok(()),
            Some(_) => {
                failpoint::reach("queue.broken.before");
                self.books.change(webhook).broken = reason;
                failpoint::reach("queue.broken.after");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        assert_eq!(beginning("division by zero"), "division by zero");
        assert_eq!(beginning(&"€".repeat(500)), "€".repeat(REASON_BYTES_MAX / 3));
        assert_eq!(beginning(""), "");
    }
}
