//! What ends a held event: it was judged, its range got sequence numbers, or an operator gives it up.

use super::fault::Fault;
use super::rows::{position_at, sql, unsigned_at};
use super::writer::Writer;
use crate::delivery::{Batch, HeldRef, State};
use crate::failpoint;
use crate::queue::{Error, SequenceRange};
use crate::webhook::WebhookId;
use rusqlite::{OptionalExtension, params};
use std::collections::{BTreeMap, BTreeSet};

/// How many held events are given up at once: the writer has others to serve.
const DROP_STEP: i64 = 500;

/// A held event that goes.
pub(super) struct Released {
    pub(super) held: HeldRef,
    pub(super) event: i64,
    pub(super) bytes: u64,
}

impl Writer {
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
        failpoint::reach("queue.release.before");
        let Released { held, event, bytes } = *released;
        self.delete_held(held)?;
        self.connection.prepare_cached(sql!("let_go"))?.execute(params![event])?;
        self.connection.prepare_cached(sql!("delete_held_event"))?.execute(params![event])?;
        let book = self.books.change(held.webhook);
        book.held = book.held.saturating_sub(1);
        book.held_bytes = book.held_bytes.saturating_sub(bytes);
        failpoint::reach("queue.release.after");
        Ok(())
    }

    fn delete_held(&self, held: HeldRef) -> Result<(), Fault> {
        self.connection
            .prepare_cached(sql!("delete_held"))?
            .execute(params![held.webhook.0.cast_signed(), held.number.cast_signed()])?;
        Ok(())
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
