//! Into the queue: events and their deliveries, published when their transaction is complete.

use super::block::Block;
use super::fault::Fault;
use super::held;
use super::index::Effect;
use super::keymap;
use super::rows::sql;
use super::writer::{Published, Writer};
use crate::delivery::{Batch, LastTransaction, NewDelivery, NewEvent, State};
use crate::failpoint;
use crate::lsn::{Durable, Progress};
use crate::observe::Observation;
use crate::webhook::WebhookId;
use rusqlite::params;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How many blocks that an unfinished transaction leaves behind are thrown away at once.
const DISCARD_STEP: i64 = 20;

/// How much of memory and disk a batch takes, near enough.
pub(super) fn footprint_bytes(batch: &Batch) -> usize {
    let event = |event: &NewEvent| {
        let tails: usize = event.tails.iter().map(|tail| tail.bytes.len()).sum();
        let heads: usize = event.deliveries.iter().map(|delivery| delivery.head.len() + 200).sum();
        tails + heads + event.entry_id.len() + 100
    };
    let quarantined: usize = batch.quarantined.iter().map(|row| row.bytes.len() + 100).sum();
    let held: usize = batch.held.iter().map(held::footprint_bytes).sum();
    let keys: usize = batch.keys.iter().map(keymap::footprint_bytes).sum();
    batch.events.iter().map(event).sum::<usize>() + quarantined + held + keys
}

impl Writer {
    /// Stores a batch; with progress, publishes it and what came before it.
    pub(super) fn enqueue(&mut self, batch: &Batch) -> Result<Option<Durable>, Fault> {
        failpoint::reach(if batch.progress.is_some() { "queue.enqueue.before" } else { "queue.part.before" });
        self.refuse_contradictions(batch)?;
        let (released, freed_bytes) = self.find_released(batch)?;
        if !released.is_empty() {
            self.early.forbid();
        }
        let brings = !batch.quarantined.is_empty() || !batch.held.is_empty() || !batch.keys.is_empty();
        if brings || !batch.events.is_empty() {
            // what is released makes room for what it becomes
            self.make_room((footprint_bytes(batch) as u64).saturating_sub(freed_bytes))?;
        }
        // from here on memory changes too, so that a failure undoes the whole transaction
        self.books.changes += 1;
        for released in &released {
            self.let_go(released)?;
        }
        for held in &batch.held {
            self.hold(held)?;
        }
        let counts = batch.progress.is_some() && self.unpublished.last_block == self.published.block;
        if !counts {
            // what counts already goes into a block of its own
            self.store_forming()?;
        }
        for event in &batch.events {
            self.insert(event);
            if self.forming.is_full() {
                if counts { self.store_forming()? } else { self.store_part()? }
            }
        }
        for row in &batch.quarantined {
            self.unpublished.last_quarantine += 1;
            self.connection.prepare_cached(sql!("insert_quarantined"))?.execute(params![
                self.unpublished.last_quarantine,
                row.position.epoch,
                row.position.commit_lsn.0.cast_signed(),
                row.position.ordinal.cast_signed(),
                row.form,
                row.reason,
                &row.bytes[..],
            ])?;
        }
        self.tell_keys(&batch.keys)?;
        if !counts {
            self.store_part()?;
        }
        failpoint::reach(if batch.progress.is_some() { "queue.enqueue.after" } else { "queue.part.after" });
        let Some(progress) = batch.progress else { return Ok(None) };
        failpoint::reach("queue.publish.before");
        let transactions = batch.events.iter().filter(|event| !event.was_held).map(|event| event.position);
        if let Some(last) = transactions.map(|position| (position.epoch, position.commit_lsn)).max() {
            self.unpublished.last_transaction = Some(last);
        }
        self.publish(progress, batch.last)?;
        for change in &batch.registrations {
            self.apply(change)?;
        }
        failpoint::reach("queue.publish.after");
        Ok(Some(Durable::after_commit(progress)))
    }

    /// Checks what cannot be but for a bug, before anything is changed.
    fn refuse_contradictions(&self, batch: &Batch) -> Result<(), Fault> {
        let mut expected: BTreeMap<WebhookId, u64> = BTreeMap::new();
        for event in &batch.events {
            if event.deliveries.is_empty() {
                return Err(Fault::bug(format!("the event at {} has no delivery", event.position)));
            }
            for delivery in &event.deliveries {
                let webhook = delivery.webhook;
                let Some(book) = self.books.find(webhook) else {
                    return Err(Fault::bug(format!("webhook {webhook} is not registered with the queue")));
                };
                let part = self.unpublished.parts.get(&webhook);
                let next = expected
                    .entry(webhook)
                    .or_insert_with(|| part.map_or(book.next_sequence, |part| part.next_sequence));
                if delivery.sequence != *next {
                    return Err(Fault::bug(format!(
                        "delivery {webhook}/{} came where {webhook}/{next} was to come",
                        delivery.sequence
                    )));
                }
                if delivery.tail >= event.tails.len() {
                    return Err(Fault::bug(format!("delivery {webhook}/{next} has no tail")));
                }
                *next += 1;
            }
            // what was held may be of any transaction of before
            let transaction = (event.position.epoch, event.position.commit_lsn);
            if !event.was_held && self.unpublished.last_transaction.is_some_and(|last| transaction <= last) {
                return Err(Fault::bug(format!(
                    "the event {} of form {:?} at {} was enqueued before",
                    event.verb, event.form, event.position
                )));
            }
        }
        self.refuse_contradictory_holders(batch)?;
        match batch.progress {
            Some(progress)
                if progress.commit_lsn < self.published.progress.commit_lsn
                    || progress.end_lsn < self.published.progress.end_lsn =>
            {
                Err(Fault::bug(format!(
                    "progress went back from {} to {}",
                    self.published.progress.end_lsn, progress.end_lsn
                )))
            }
            _ => Ok(()),
        }
    }

    /// Adds an event to the block that is being formed, but for the deliveries that are turned away.
    fn insert(&mut self, event: &NewEvent) {
        let mut is_kept = vec![true; event.deliveries.len()];
        for (delivery, is_kept) in event.deliveries.iter().zip(&mut is_kept) {
            let bytes = delivery_bytes(event, delivery);
            let book = self.books.find(delivery.webhook).expect("checked with the batch");
            let part = self.unpublished.part(delivery.webhook, book);
            part.next_sequence = delivery.sequence + 1;
            // what was held is in the queue already, within the limit of the backlog: it is not given up here
            let turned_away = if event.was_held {
                book.deleted.then_some(State::Dropped)
            } else {
                part.turns_away(book, bytes)
            };
            match turned_away {
                Some(state) => {
                    *is_kept = false;
                    part.turn_away(event, delivery, state);
                }
                None => {
                    part.pending += 1;
                    part.pending_bytes += bytes;
                }
            }
        }
        self.forming.push(event, |number| is_kept[number]);
    }

    /// Stores the block that is being formed, which counts with this transaction.
    pub(super) fn store_forming(&mut self) -> Result<(), Fault> {
        if let Some(block) = self.store_block()? {
            self.published.block = block.id;
            self.effects.push(Effect::Published(Arc::new(block)));
        }
        Ok(())
    }

    /// Stores the block that is being formed, which counts when its transaction is complete.
    fn store_part(&mut self) -> Result<(), Fault> {
        self.store_block().map(|_| ())
    }

    fn store_block(&mut self) -> Result<Option<Block>, Fault> {
        if self.forming.is_empty() {
            return Ok(None);
        }
        self.unpublished.last_block += 1;
        let block = self.forming.finish(self.unpublished.last_block);
        block.store(&self.connection, self.now_us())?;
        Ok(Some(block))
    }

    /// Makes everything count that has come so far.
    fn publish(&mut self, progress: Progress, last: Option<LastTransaction>) -> Result<(), Fault> {
        for (webhook, part) in std::mem::take(&mut self.unpublished.parts) {
            let book = self.books.change(webhook);
            self.oldest_new.entry(webhook).or_insert(book.next_sequence);
            book.next_sequence = part.next_sequence;
            book.pending += part.pending;
            book.pending_bytes += part.pending_bytes;
            book.dead += part.dead;
            book.dropped += part.dropped;
            book.overflowing = part.overflowing;
            part.held.count_in(book);
            if part.overflowed {
                let webhook = book.name.clone();
                self.to_tell.push(Observation::BacklogOverflowed { webhook });
            }
            for range in &part.held.ranges {
                self.store_held_range(webhook, range)?;
            }
            for range in &part.ranges {
                self.merge_range(range)?;
            }
        }
        if self.unpublished.last_block > self.published.block {
            let (after, up_to) = (self.published.block, self.unpublished.last_block);
            self.effects.push(Effect::PublishedParts { after, up_to });
        }
        self.published = Published {
            progress,
            block: self.unpublished.last_block,
            quarantine: self.unpublished.last_quarantine,
            held_event: self.unpublished.last_held_event,
        };
        // an idle position behind a commit of this transaction leaves that one the last
        let before = self.last_to_store.take().filter(|(commit_lsn, _)| *commit_lsn == progress.commit_lsn);
        self.last_to_store = Some((progress.commit_lsn, last.or(before.and_then(|(_, last)| last))));
        Ok(())
    }

    /// Stores what is being formed, and up to where everything counts.
    pub(super) fn store_position(&mut self) -> Result<(), Fault> {
        self.store_forming()?;
        let Some((_, last)) = self.last_to_store.take() else { return Ok(()) };
        let Published { progress, block, quarantine, held_event } = self.published;
        self.connection.prepare_cached(sql!("store_position"))?.execute(params![
            progress.commit_lsn.0.cast_signed(),
            progress.end_lsn.0.cast_signed(),
            block.cast_signed(),
            quarantine,
            held_event,
            last.map(|last| last.xid),
            last.map(|last| last.committed_at_us),
        ])?;
        Ok(())
    }

    /// Throws away all that is not published.
    pub(super) fn discard_all(&mut self) -> Result<(), Fault> {
        loop {
            self.execute("begin immediate")?;
            let more = self.discard_step()?;
            self.execute("commit")?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Throws away some of what is not published. Returns whether something may be left.
    pub(super) fn discard_step(&mut self) -> Result<bool, Fault> {
        self.store_forming()?;
        self.unpublished.parts.clear();
        let after = params![self.published.block.cast_signed(), DISCARD_STEP];
        let blocks: Vec<u64> = self
            .connection
            .prepare_cached(sql!("blocks_after"))?
            .query_map(after, |row| super::rows::unsigned_at(row, 0))?
            .collect::<Result<_, _>>()?;
        for &id in &blocks {
            self.delete_block(id)?;
        }
        let deleted = blocks.len();
        if deleted > 0 || self.discard_held(DISCARD_STEP)? {
            return Ok(true);
        }
        self.connection
            .prepare_cached(sql!("delete_quarantined_after"))?
            .execute(params![self.published.quarantine])?;
        self.unpublished.last_block = self.published.block;
        self.unpublished.last_quarantine = self.published.quarantine;
        self.unpublished.last_held_event = self.published.held_event;
        Ok(false)
    }
}

fn delivery_bytes(event: &NewEvent, delivery: &NewDelivery) -> u64 {
    (delivery.head.len() + event.tails[delivery.tail].bytes.len()) as u64
}
