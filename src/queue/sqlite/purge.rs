//! Purging: finished deliveries go, their sequence numbers stay as ranges.

use super::fault::Fault;
use super::operate::Sweep;
use super::ranges::append_range;
use super::rows::{position_at, sql, state_at, unsigned_at};
use super::writer::Writer;
use crate::delivery::State;
use crate::failpoint;
use crate::lsn::Position;
use crate::queue::{Filter, SequenceRange};
use crate::webhook::WebhookId;
use rusqlite::params;
use std::collections::BTreeMap;

/// How many deliveries are purged at once: some tens of milliseconds of the writer's time.
const PURGE_STEP: i64 = 1000;
/// How many free pages are given back to the file system at once.
const VACUUM_PAGES: i64 = 2000;

/// A finished delivery that goes.
struct Ended {
    webhook: WebhookId,
    sequence: u64,
    state: State,
    event: i64,
    event_deliveries: i64,
    position: Position,
}

impl Writer {
    /// Purges some of what ended before a time. Returns how many deliveries went.
    pub(super) fn purge(&mut self, ended_before_us: i64) -> Result<u64, Fault> {
        failpoint::reach("queue.purge.before");
        self.drop_left_behind()?;
        let mut ended: Vec<Ended> = self
            .connection
            .prepare_cached(sql!("ended"))?
            .query_map(params![ended_before_us, PURGE_STEP], |row| {
                Ok(Ended {
                    webhook: WebhookId(unsigned_at(row, 0)?),
                    sequence: unsigned_at(row, 1)?,
                    state: state_at(row, 2)?,
                    event: row.get(3)?,
                    event_deliveries: row.get(4)?,
                    position: position_at(row, 5)?,
                })
            })?
            .collect::<Result<_, _>>()?;
        ended.sort_unstable_by_key(|ended| (ended.webhook, ended.sequence));
        let mut runs: Vec<(WebhookId, u64, u64)> = Vec::new();
        let mut ranges = Vec::new();
        for ended in &ended {
            match runs.last_mut() {
                Some((webhook, _, last)) if *webhook == ended.webhook && *last + 1 == ended.sequence => {
                    *last += 1;
                }
                _ => runs.push((ended.webhook, ended.sequence, ended.sequence)),
            }
            append_range(
                &mut ranges,
                SequenceRange {
                    webhook: ended.webhook,
                    first: ended.sequence,
                    last: ended.sequence,
                    state: ended.state,
                    from: Some(ended.position),
                    to: Some(ended.position),
                },
            );
        }
        for (webhook, first, last) in runs {
            let run = params![webhook.0.cast_signed(), first.cast_signed(), last.cast_signed()];
            self.connection.prepare_cached(sql!("delete_attempts"))?.execute(run)?;
            self.connection.prepare_cached(sql!("delete_deliveries"))?.execute(run)?;
        }
        for range in &ranges {
            self.merge_range(range)?;
        }
        self.purge_events(&ended)?;
        failpoint::reach("queue.purge.after");
        Ok(ended.len() as u64)
    }

    /// Removes the events that no delivery needs any more.
    fn purge_events(&self, ended: &[Ended]) -> Result<(), Fault> {
        let mut events: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
        for ended in ended {
            events.entry(ended.event).or_insert((0, ended.event_deliveries)).0 += 1;
        }
        let mut runs: Vec<(i64, i64)> = Vec::new();
        for (event, (gone, all)) in events {
            if gone < all {
                self.connection.prepare_cached(sql!("keep_event"))?.execute(params![event, gone])?;
                continue;
            }
            match runs.last_mut() {
                Some((_, last)) if *last + 1 == event => *last += 1,
                _ => runs.push((event, event)),
            }
        }
        for (first, last) in runs {
            self.connection.prepare_cached(sql!("delete_events"))?.execute(params![first, last])?;
        }
        Ok(())
    }

    /// Drops what a deletion that was cut off, or a transaction that was under way then, left behind.
    fn drop_left_behind(&mut self) -> Result<(), Fault> {
        let left =
            self.books.iter().find(|(_, book)| book.deleted && book.pending + book.dead + book.held > 0);
        let Some((webhook, book)) = left else { return Ok(()) };
        if book.held > 0 {
            self.drop_held(webhook, None)?;
            return Ok(());
        }
        let filter = Filter { webhook: Some(webhook), ..Filter::default() };
        let (mut dropped, mut rest) = self.sweep(Sweep::Drop, webhook, &filter, None)?;
        while dropped == 0 && rest.is_some() {
            (dropped, rest) = self.sweep(Sweep::Drop, webhook, &filter, rest)?;
        }
        Ok(())
    }

    /// Gives some space back to the file system when much of the file is free. Returns whether there is more.
    pub(super) fn give_back(&self) -> Result<bool, Fault> {
        let number = |pragma| -> Result<i64, Fault> {
            Ok(self.connection.prepare_cached(pragma)?.query_row([], |row| row.get(0))?)
        };
        let (pages, free) = (number("pragma page_count")?, number("pragma freelist_count")?);
        if free <= pages / 4 || free <= VACUUM_PAGES {
            return Ok(false);
        }
        // a step for each page
        let mut statement =
            self.connection.prepare_cached(&format!("pragma incremental_vacuum({VACUUM_PAGES})"))?;
        let mut steps = statement.query([])?;
        while steps.next()?.is_some() {}
        Ok(true)
    }
}
