//! Purging: finished deliveries go, their sequence numbers stay as ranges.

use super::arrived;
use super::block::{Block, Delivery, Event, Home};
use super::fault::Fault;
use super::operate::Sweep;
use super::ranges::append_range;
use super::rows::{sql, unsigned_at};
use super::writer::Writer;
use crate::delivery::State;
use crate::failpoint;
use crate::queue::{EndedBefore, Filter, SequenceRange};
use crate::webhook::WebhookId;
use rusqlite::params;
use std::collections::{BTreeMap, HashSet};

/// How many deliveries are purged at once, near enough: some tens of milliseconds of the writer's time.
const PURGE_STEP: u64 = 4000;
/// How many blocks are looked at for that.
const PURGE_BLOCKS: usize = 64;
/// How many free pages are given back to the file system at once.
const VACUUM_PAGES: i64 = 2000;

/// How far a round has come: blocks of which something stays are not looked at twice in it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Round {
    /// The blocks by the time at which the last of them ended, up to this one.
    Blocks { since_us: i64, block: u64 },
    /// Those of a webhook that keeps what ended for a shorter time than others, up to this number.
    Shorter { webhook: WebhookId, first: u64 },
    /// There is no more.
    Over,
}

impl Round {
    pub(super) const BEGINNING: Self = Self::Blocks { since_us: i64::MIN, block: 0 };
}

impl Writer {
    /// Purges some of what ended before a time: the blocks of which nothing ended since, without what is not finished
    /// or dead. Returns how many deliveries went; 0 means that none is left.
    pub(super) fn purge(&mut self, ended_before_us: i64) -> Result<u64, Fault> {
        self.round = Round::BEGINNING;
        self.purge_each(&EndedBefore { us: ended_before_us, of: BTreeMap::new() }).map(|(purged, _)| purged)
    }

    /// A step of a round in which webhooks may have times of their own. Returns also whether that was the last.
    pub(super) fn purge_each(&mut self, before: &EndedBefore) -> Result<(u64, bool), Fault> {
        failpoint::reach("queue.purge.before");
        self.drop_left_behind()?;
        self.store_ending()?;
        let found = self.ended_blocks(before)?;
        let is_rest = found.len() < PURGE_BLOCKS;
        let (mut purged, mut is_cut) = (0, false);
        let mut ranges = Vec::new();
        for (block, since_us, round) in found {
            is_cut = purged >= PURGE_STEP;
            if is_cut {
                break;
            }
            let is_meant = |one: &Delivery, _: &Event| since_us < before.of(one.webhook);
            purged += self.purge_block(block, &is_meant, &mut ranges)?;
            self.round = round;
        }
        if is_rest && !is_cut {
            self.round = self.next_part(before);
        }
        self.merge_ranges(ranges)?;
        failpoint::reach("queue.purge.after");
        let is_over = matches!(self.round, Round::Over);
        if is_over {
            self.purge_keys(before.us)?;
        }
        if is_over && purged == 0 {
            self.round = Round::BEGINNING;
        }
        Ok((purged, is_over))
    }

    /// Removes a delivery that has ended. Returns whether there was one.
    pub(super) fn purge_one(&mut self, home: Home) -> Result<bool, Fault> {
        self.store_ending()?;
        if Block::read_events(&self.connection, home.block())?.is_none() {
            return Ok(false);
        }
        let mut ranges = Vec::new();
        let is_meant = |one: &Delivery, _: &Event| one.place == home.place();
        let purged = self.purge_block(home.block(), &is_meant, &mut ranges)?;
        self.merge_ranges(ranges)?;
        Ok(purged > 0)
    }

    /// The next blocks of the round, each with the time since when nothing ended in it and how far the round has come
    /// with it.
    fn ended_blocks(&self, before: &EndedBefore) -> Result<Vec<(u64, i64, Round)>, Fault> {
        let limit = PURGE_BLOCKS as i64;
        let found = match self.round {
            Round::Over => Vec::new(),
            Round::Blocks { since_us, block } => self
                .connection
                .prepare_cached(sql!("ended_blocks"))?
                .query_map(params![before.us, limit, since_us, block.cast_signed()], |row| {
                    let (block, since_us) = (unsigned_at(row, 0)?, row.get(1)?);
                    Ok((block, since_us, Round::Blocks { since_us, block }))
                })?
                .collect::<Result<_, _>>()?,
            Round::Shorter { webhook, first } => self
                .connection
                .prepare_cached(sql!("ended_blocks_of"))?
                .query_map(
                    params![before.of(webhook), limit, webhook.0.cast_signed(), first.cast_signed()],
                    |row| {
                        let first = unsigned_at(row, 2)?;
                        Ok((unsigned_at(row, 0)?, row.get(1)?, Round::Shorter { webhook, first }))
                    },
                )?
                .collect::<Result<_, _>>()?,
        };
        Ok(found)
    }

    /// Where the round goes on behind the part that it is in.
    fn next_part(&self, before: &EndedBefore) -> Round {
        let behind = match self.round {
            Round::Over => return Round::Over,
            Round::Blocks { .. } => None,
            Round::Shorter { webhook, .. } => Some(webhook),
        };
        let shorter = before.of.iter().filter(|(_, us)| **us > before.us).map(|(&webhook, _)| webhook);
        let next = shorter.into_iter().find(|webhook| Some(*webhook) > behind);
        next.map_or(Round::Over, |webhook| Round::Shorter { webhook, first: 0 })
    }

    /// Keeps the numbers of what was purged as ranges.
    pub(super) fn merge_ranges(&mut self, mut ranges: Vec<SequenceRange>) -> Result<(), Fault> {
        ranges.sort_unstable_by_key(|range| (range.webhook, range.first));
        let mut merged = Vec::new();
        for range in ranges {
            append_range(&mut merged, range);
        }
        for range in &merged {
            self.merge_range(range)?;
        }
        Ok(())
    }

    /// Removes from a block what has ended in it and is meant. Returns how many deliveries that were.
    pub(super) fn purge_block(
        &mut self,
        id: u64,
        is_meant: &dyn Fn(&Delivery, &Event) -> bool,
        ranges: &mut Vec<SequenceRange>,
    ) -> Result<u64, Fault> {
        let Some(mut block) = Block::read(&self.connection, id)? else {
            return Err(Fault::bug(format!("block {id} has no content")));
        };
        let mut arrived = arrived::lists(&self.connection, id)?;
        let places: HashSet<u32> = arrived.iter().map(|arrived| arrived.place).collect();
        let rows = block.rows(&self.connection)?;
        let end_of = |one: &Delivery| match rows.get(&(one.webhook, one.sequence)) {
            Some(row) => Some(row.state).filter(|state| matches!(state, State::Delivered | State::Dropped)),
            None => places.contains(&one.place).then_some(State::Delivered),
        };
        let (mut gone, mut ended) = (HashSet::new(), 0);
        for (delivery, event) in block.iter() {
            let (webhook, sequence) = (delivery.webhook, delivery.sequence);
            let Some(state) = end_of(delivery) else { continue };
            if !is_meant(delivery, event) {
                ended += 1;
                continue;
            }
            gone.insert(delivery.place);
            let at = Some(event.position);
            ranges.push(SequenceRange { webhook, first: sequence, last: sequence, state, from: at, to: at });
            if rows.contains_key(&(webhook, sequence)) {
                let key = params![webhook.0.cast_signed(), sequence.cast_signed()];
                self.connection.prepare_cached(sql!("delete_attempts"))?.execute(key)?;
                self.connection.prepare_cached(sql!("delete_delivery"))?.execute(key)?;
            }
        }
        if gone.is_empty() {
            return Ok(0);
        }
        let shares = block.shares();
        block.retain(|one| !gone.contains(&one.place));
        self.front.lock().shelf.remove(id);
        if block.deliveries.is_empty() {
            self.delete_block_with(id, shares.iter().map(|(&webhook, &(first, _))| (webhook, first)))?;
            return Ok(gone.len() as u64);
        }
        arrived.retain(|arrived| !gone.contains(&arrived.place));
        // what stays must not be left behind where it stood, for it may be purged by name one day
        self.overwriting(|writer| {
            let connection = &writer.connection;
            connection.prepare_cached(sql!("delete_arrived"))?.execute(params![id.cast_signed()])?;
            connection.prepare_cached(sql!("shrink_block"))?.execute(params![
                id.cast_signed(),
                block.deliveries.len() as i64,
                ended
            ])?;
            arrived::store_rest(connection, id, &arrived, ended)?;
            writer.delete_shares(shares.iter().map(|(&webhook, &(first, _))| (webhook, first)))?;
            block.store_shares(&writer.connection)?;
            block.store_content(&writer.connection)
        })?;
        Ok(gone.len() as u64)
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
    pub(super) fn drop_left_behind(&mut self) -> Result<(), Fault> {
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
        self.vacuum()?;
        Ok(true)
    }

    /// Gives some of all free space back. Returns whether there is more.
    pub(super) fn give_back_all(&self) -> Result<bool, Fault> {
        let free = || -> Result<i64, Fault> {
            Ok(self.connection.query_row("pragma freelist_count", [], |row| row.get(0))?)
        };
        let before = free()?;
        self.vacuum()?;
        let after = free()?;
        Ok(after > 0 && after < before)
    }

    fn vacuum(&self) -> Result<(), Fault> {
        // a step for each page
        let mut statement =
            self.connection.prepare_cached(&format!("pragma incremental_vacuum({VACUUM_PAGES})"))?;
        let mut steps = statement.query([])?;
        while steps.next()?.is_some() {}
        Ok(())
    }
}
