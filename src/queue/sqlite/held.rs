//! Held events: kept as they are for webhooks that could not be judged for them, once for all who hold them.
//!
//! Each webhook numbers what it holds in commit order and never uses a number twice. Beyond the limit of its backlog
//! a range stands for consecutive events: how many, and the positions of the first and the last.

use super::books::Book;
use super::fault::Fault;
use super::rows::{position_at, sql, unsigned_at};
use super::writer::Writer;
use crate::delivery::{Batch, HeldBecause, HeldRef, NewHeld, State};
use crate::lsn::Position;
use crate::queue::{Error, SequenceRange};
use crate::webhook::WebhookId;
use rusqlite::{OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet};

/// How many held events are given up at once: the writer has others to serve.
const DROP_STEP: i64 = 500;
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

/// A held event that goes.
pub(super) struct Released {
    held: HeldRef,
    event: i64,
    bytes: u64,
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

    /// Finds what a batch releases, and how much room that makes. Changes nothing.
    pub(super) fn find_released(&self, batch: &Batch) -> Result<(Vec<Released>, u64), Fault> {
        if !batch.released.is_empty() && batch.progress.is_none() {
            return Err(Fault::bug("held events were released without progress".into()));
        }
        let mut found = Vec::with_capacity(batch.released.len());
        let mut seen = BTreeSet::new();
        // of each event, who else holds it and what its content takes
        let mut contents: BTreeMap<i64, (i64, u64)> = BTreeMap::new();
        for &held in &batch.released {
            let HeldRef { webhook, number } = held;
            if !seen.insert(held) {
                return Err(Fault::bug(format!("held event {webhook}/{number} was released twice")));
            }
            let row = self
                .connection
                .prepare_cached(sql!("held_one"))?
                .query_row(params![webhook.0.cast_signed(), number.cast_signed()], |row| {
                    let event: Option<i64> = row.get(0)?;
                    Ok((event, unsigned_at(row, 1)?, row.get::<_, Option<i64>>(2)?, row.get(3)?))
                })
                .optional()?;
            let is_published = self.books.find(webhook).is_some_and(|book| number < book.next_held);
            let (event, bytes, holders, content) = match row.filter(|_| is_published) {
                Some((Some(event), bytes, holders, content)) => (event, bytes, holders, content),
                Some((None, ..)) => {
                    let reason = format!("held range {webhook}/{number} was released without numbers");
                    return Err(Fault::bug(reason));
                }
                None => return Err(self.no_such_held(held)),
            };
            let content: Option<i64> = content;
            let left = contents
                .entry(event)
                .or_insert((holders.unwrap_or(0), content.unwrap_or(0).max(0).cast_unsigned()));
            left.0 -= 1;
            found.push(Released { held, event, bytes });
        }
        let freed_bytes = contents.values().filter(|(left, _)| *left <= 0).map(|(_, bytes)| bytes).sum();
        Ok((found, freed_bytes))
    }

    /// Why a held event is not there: an operator may have given it up since capture has read it.
    fn no_such_held(&self, held: HeldRef) -> Fault {
        let HeldRef { webhook, number } = held;
        if self.books.find(webhook).is_some_and(|book| number <= book.held_dropped_to) {
            let source = format!("an operator has dropped {webhook}/{number} meanwhile").into();
            return Fault::Said(Error::Storage { action: "release held events", source });
        }
        Fault::bug(format!("there is no held event {webhook}/{number}"))
    }

    /// Removes a held event of a webhook, and what is held with the last one who holds it.
    pub(super) fn let_go(&mut self, released: &Released) -> Result<(), Fault> {
        let Released { held, event, bytes } = *released;
        self.delete_held(held)?;
        self.connection.prepare_cached(sql!("let_go"))?.execute(params![event])?;
        self.connection.prepare_cached(sql!("delete_held_event"))?.execute(params![event])?;
        let book = self.books.change(held.webhook);
        book.held = book.held.saturating_sub(1);
        book.held_bytes = book.held_bytes.saturating_sub(bytes);
        Ok(())
    }

    fn delete_held(&self, held: HeldRef) -> Result<(), Fault> {
        self.connection
            .prepare_cached(sql!("delete_held"))?
            .execute(params![held.webhook.0.cast_signed(), held.number.cast_signed()])?;
        Ok(())
    }

    /// Stores an event for those who hold it, or counts it where there is no room in a backlog.
    pub(super) fn hold(&mut self, held: &NewHeld) -> Result<(), Fault> {
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

    /// Gives sequence numbers to a held range, which becomes a dead one.
    pub(super) fn number_held_range(&mut self, held: HeldRef, first_sequence: u64) -> Result<(), Fault> {
        let HeldRef { webhook, number } = held;
        let Some(book) = self.books.find(webhook) else {
            return Err(Fault::bug(format!("webhook {webhook} is not registered with the queue")));
        };
        if self.unpublished.parts.contains_key(&webhook) {
            return Err(Fault::bug(format!(
                "held range {webhook}/{number} was numbered in the middle of a transaction"
            )));
        }
        if first_sequence != book.next_sequence {
            return Err(Fault::bug(format!(
                "held range {webhook}/{number} got number {first_sequence} where {} was to come",
                book.next_sequence
            )));
        }
        let first = self
            .connection
            .prepare_cached(sql!("held_first"))?
            .query_row(params![webhook.0.cast_signed()], |row| {
                let positions =
                    if row.get(1)? { Some((position_at(row, 3)?, position_at(row, 6)?)) } else { None };
                Ok((unsigned_at(row, 0)?, unsigned_at(row, 2)?, positions))
            })
            .optional()?;
        let (count, (from, to)) = match first {
            Some((first, count, Some(positions))) if first == number => (count, positions),
            Some((first, _, None)) if first == number => {
                return Err(Fault::bug(format!("held event {webhook}/{number} is no range")));
            }
            Some((first, ..)) if first < number => {
                return Err(Fault::bug(format!("{webhook}/{first} is held before {webhook}/{number}")));
            }
            _ => return Err(self.no_such_held(held)),
        };
        self.delete_held(held)?;
        self.merge_range(&SequenceRange {
            webhook,
            first: first_sequence,
            last: first_sequence + count - 1,
            state: State::Dead,
            from: Some(from),
            to: Some(to),
        })?;
        let book = self.books.change(webhook);
        book.next_sequence += count;
        book.dead += count;
        book.held = book.held.saturating_sub(count);
        book.held_beyond = book.held_beyond.saturating_sub(count);
        Ok(())
    }

    /// Says that a webhook is broken, and why; or that it is not any more.
    pub(super) fn mark_broken(&mut self, webhook: WebhookId, reason: Option<String>) -> Result<(), Fault> {
        match self.books.find(webhook) {
            None => Err(Fault::bug(format!("webhook {webhook} is not registered with the queue"))),
            Some(book) if book.broken == reason => Ok(()),
            Some(_) => {
                self.books.change(webhook).broken = reason;
                Ok(())
            }
        }
    }

    /// Gives up some of what a webhook holds, up to a number; none means all that is held now. Returns how many
    /// events went, and up to where to go on.
    pub(super) fn drop_held(
        &mut self,
        webhook: WebhookId,
        up_to: Option<u64>,
    ) -> Result<(u64, Option<u64>), Fault> {
        let Some(book) = self.books.find(webhook) else { return Ok((0, None)) };
        let up_to = up_to.unwrap_or(book.next_held - 1);
        let rows: Vec<(u64, Option<i64>, u64, u64)> = self
            .connection
            .prepare_cached(sql!("held_up_to"))?
            .query_map(params![webhook.0.cast_signed(), up_to.cast_signed(), DROP_STEP], |row| {
                Ok((unsigned_at(row, 0)?, row.get(1)?, unsigned_at(row, 2)?, unsigned_at(row, 3)?))
            })?
            .collect::<Result<_, _>>()?;
        let Some(&(last, ..)) = rows.last() else { return Ok((0, None)) };
        let mut dropped = 0;
        for &(number, event, count, bytes) in &rows {
            let held = HeldRef { webhook, number };
            dropped += count;
            match event {
                Some(event) => self.let_go(&Released { held, event, bytes })?,
                None => {
                    self.delete_held(held)?;
                    let book = self.books.change(webhook);
                    book.held = book.held.saturating_sub(count);
                    book.held_beyond = book.held_beyond.saturating_sub(count);
                }
            }
        }
        let book = self.books.change(webhook);
        book.held_dropped += dropped;
        book.held_dropped_to = last;
        Ok((dropped, (last < up_to).then_some(up_to)))
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
