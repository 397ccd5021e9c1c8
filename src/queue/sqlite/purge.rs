//! Purging: finished deliveries go, their sequence numbers stay as ranges.

use super::arrived;
use super::block::Block;
use super::fault::Fault;
use super::operate::Sweep;
use super::ranges::append_range;
use super::rows::{sql, unsigned_at};
use super::writer::Writer;
use crate::delivery::State;
use crate::failpoint;
use crate::queue::{Filter, SequenceRange};
use crate::webhook::WebhookId;
use rusqlite::params;
use std::collections::HashSet;

/// How many deliveries are purged at once, near enough: some tens of milliseconds of the writer's time.
const PURGE_STEP: u64 = 4000;
/// How many blocks are looked at for that.
const PURGE_BLOCKS: usize = 64;
/// How many free pages are given back to the file system at once.
const VACUUM_PAGES: i64 = 2000;

impl Writer {
    /// Purges some of what ended before a time: the blocks of which nothing ended since, without what is not finished
    /// or dead. Returns how many deliveries went.
    pub(super) fn purge(&mut self, ended_before_us: i64) -> Result<u64, Fault> {
        failpoint::reach("queue.purge.before");
        self.drop_left_behind()?;
        self.store_ending()?;
        let blocks: Vec<u64> = self
            .connection
            .prepare_cached(sql!("ended_blocks"))?
            .query_map(params![ended_before_us, PURGE_BLOCKS as i64], |row| unsigned_at(row, 0))?
            .collect::<Result<_, _>>()?;
        let mut purged = 0;
        let mut ranges = Vec::new();
        for id in blocks {
            if purged >= PURGE_STEP {
                break;
            }
            purged += self.purge_block(id, &mut ranges)?;
        }
        ranges.sort_unstable_by_key(|range| (range.webhook, range.first));
        let mut merged = Vec::new();
        for range in ranges {
            append_range(&mut merged, range);
        }
        for range in &merged {
            self.merge_range(range)?;
        }
        failpoint::reach("queue.purge.after");
        Ok(purged)
    }

    /// Removes from a block what has ended in it. Returns how many deliveries that were.
    fn purge_block(&mut self, id: u64, ranges: &mut Vec<SequenceRange>) -> Result<u64, Fault> {
        let Some(mut block) = Block::read(&self.connection, id)? else {
            return Err(Fault::bug(format!("block {id} has no content")));
        };
        let arrived: HashSet<u32> =
            arrived::lists(&self.connection, id)?.into_iter().map(|arrived| arrived.place).collect();
        let rows = block.rows(&self.connection)?;
        let end_of = |webhook, sequence, place| match rows.get(&(webhook, sequence)) {
            Some(row) => Some(row.state).filter(|state| matches!(state, State::Delivered | State::Dropped)),
            None => arrived.contains(&place).then_some(State::Delivered),
        };
        let mut count = 0;
        for (delivery, event) in block.iter() {
            let (webhook, sequence) = (delivery.webhook, delivery.sequence);
            let Some(state) = end_of(webhook, sequence, delivery.place) else { continue };
            count += 1;
            let at = Some(event.position);
            ranges.push(SequenceRange { webhook, first: sequence, last: sequence, state, from: at, to: at });
            if rows.contains_key(&(webhook, sequence)) {
                let key = params![webhook.0.cast_signed(), sequence.cast_signed()];
                self.connection.prepare_cached(sql!("delete_attempts"))?.execute(key)?;
                self.connection.prepare_cached(sql!("delete_delivery"))?.execute(key)?;
            }
        }
        let shares = block.shares();
        block.retain(|one| end_of(one.webhook, one.sequence, one.place).is_none());
        self.front.lock().shelf.remove(id);
        if block.deliveries.is_empty() {
            self.delete_block_with(id, shares.iter().map(|(&webhook, &(first, _))| (webhook, first)))?;
            return Ok(count);
        }
        self.connection.prepare_cached(sql!("delete_arrived"))?.execute(params![id.cast_signed()])?;
        self.connection
            .prepare_cached(sql!("shrink_block"))?
            .execute(params![id.cast_signed(), block.deliveries.len() as i64])?;
        self.delete_shares(shares.iter().map(|(&webhook, &(first, _))| (webhook, first)))?;
        block.store_shares(&self.connection)?;
        block.store_content(&self.connection)?;
        Ok(count)
    }

    /// Removes a block that counts for nothing.
    pub(super) fn delete_block(&mut self, id: u64) -> Result<(), Fault> {
        let shares = match Block::read_events(&self.connection, id)? {
            Some(block) => block.shares(),
            None => return Err(Fault::bug(format!("block {id} has no content"))),
        };
        self.delete_block_with(id, shares.into_iter().map(|(webhook, (first, _))| (webhook, first)))
    }

    fn delete_block_with(
        &mut self,
        id: u64,
        shares: impl Iterator<Item = (WebhookId, u64)>,
    ) -> Result<(), Fault> {
        self.delete_shares(shares)?;
        for statement in [sql!("delete_arrived"), sql!("delete_content"), sql!("delete_block")] {
            self.connection.prepare_cached(statement)?.execute(params![id.cast_signed()])?;
        }
        Ok(())
    }

    fn delete_shares(&self, shares: impl Iterator<Item = (WebhookId, u64)>) -> Result<(), Fault> {
        for (webhook, first) in shares {
            self.connection
                .prepare_cached(sql!("delete_share"))?
                .execute(params![webhook.0.cast_signed(), first.cast_signed()])?;
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
