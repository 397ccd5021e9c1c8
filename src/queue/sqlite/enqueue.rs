//! Into the queue: events and their deliveries, published when their transaction is complete.

use super::fault::Fault;
use super::held;
use super::lanes::lanes_column;
use super::rows::{sql, state_code};
use super::writer::{Published, Writer};
use crate::delivery::{Batch, LastTransaction, NewDelivery, NewEvent, State};
use crate::failpoint;
use crate::lsn::{Durable, Progress};
use crate::observe::Observation;
use crate::queue::Error;
use crate::webhook::WebhookId;
use rusqlite::params;
use std::collections::BTreeMap;

/// How many deliveries an unfinished transaction leaves behind that are thrown away at once.
const DISCARD_STEP: i64 = 2000;
/// What finished deliveries are purged at once when the queue is full.
const ROOM_STEPS_MAX: usize = 100;

/// How much of memory and disk a batch takes, near enough.
pub(super) fn footprint_bytes(batch: &Batch) -> usize {
    let event = |event: &NewEvent| {
        let tails: usize = event.tails.iter().map(|tail| tail.bytes.len()).sum();
        let heads: usize = event.deliveries.iter().map(|delivery| delivery.head.len() + 200).sum();
        tails + heads + event.entry_id.len() + 100
    };
    let quarantined: usize = batch.quarantined.iter().map(|row| row.bytes.len() + 100).sum();
    let held: usize = batch.held.iter().map(held::footprint_bytes).sum();
    batch.events.iter().map(event).sum::<usize>() + quarantined + held
}

impl Writer {
    /// Stores a batch; with progress, publishes it and what came before it.
    pub(super) fn enqueue(&mut self, batch: &Batch) -> Result<Option<Durable>, Fault> {
        failpoint::reach(if batch.progress.is_some() { "queue.enqueue.before" } else { "queue.part.before" });
        self.refuse_contradictions(batch)?;
        let (released, freed_bytes) = self.find_released(batch)?;
        if !batch.events.is_empty() || !batch.quarantined.is_empty() || !batch.held.is_empty() {
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
        for event in &batch.events {
            self.insert(event)?;
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
        failpoint::reach(if batch.progress.is_some() { "queue.enqueue.after" } else { "queue.part.after" });
        let Some(progress) = batch.progress else { return Ok(None) };
        failpoint::reach("queue.publish.before");
        self.publish(progress, batch.last)?;
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

    /// Purges finished deliveries until there is room, or refuses. It begins at three quarters of the limit, so
    /// that what is said of a filling queue is about what waits.
    fn make_room(&mut self, bytes: u64) -> Result<(), Fault> {
        let bytes_max = self.options.bytes_max;
        if self.used_bytes()?.saturating_add(bytes) > bytes_max / 4 * 3 {
            self.purge(i64::MAX)?;
        }
        for _ in 0..ROOM_STEPS_MAX {
            if self.used_bytes()?.saturating_add(bytes) <= bytes_max {
                return Ok(());
            }
            if self.purge(i64::MAX)? == 0 {
                break;
            }
        }
        let used_bytes = self.used_bytes()?;
        if used_bytes.saturating_add(bytes) <= bytes_max {
            return Ok(());
        }
        Err(Error::Full { bytes: used_bytes, bytes_max }.into())
    }

    fn insert(&mut self, event: &NewEvent) -> Result<(), Fault> {
        // the event's rows come when their first delivery does: an event that is turned away by all has none
        let mut rows = vec![None; event.tails.len()];
        let mut turned_away = vec![None; event.deliveries.len()];
        let mut uses = vec![0_i64; event.tails.len()];
        for (delivery, turned_away) in event.deliveries.iter().zip(&mut turned_away) {
            let bytes = delivery_bytes(event, delivery);
            let book = self.books.find(delivery.webhook).expect("checked with the batch");
            let part = self.unpublished.part(delivery.webhook, book);
            part.next_sequence = delivery.sequence + 1;
            // what was held is in the queue already, within the limit of the backlog: it is not given up here
            *turned_away = if event.was_held {
                book.deleted.then_some(State::Dropped)
            } else {
                part.turns_away(book, bytes)
            };
            match *turned_away {
                Some(state) => part.turn_away(event, delivery, state),
                None => {
                    part.pending += 1;
                    part.pending_bytes += bytes;
                    uses[delivery.tail] += 1;
                }
            }
        }
        for (delivery, _) in event.deliveries.iter().zip(&turned_away).filter(|(_, away)| away.is_none()) {
            let row = match rows[delivery.tail] {
                Some(row) => row,
                None => self.insert_event(event, delivery.tail, uses[delivery.tail])?,
            };
            rows[delivery.tail] = Some(row);
            self.insert_delivery(event, delivery, row)?;
        }
        Ok(())
    }

    fn insert_event(&mut self, event: &NewEvent, tail: usize, deliveries: i64) -> Result<i64, Fault> {
        self.unpublished.last_event += 1;
        let number = if event.was_held { self.next_tail_number(event)? } else { tail as i64 };
        let inserted = self.connection.prepare_cached(sql!("insert_event"))?.execute(params![
            self.unpublished.last_event,
            event.position.epoch,
            event.position.commit_lsn.0.cast_signed(),
            event.position.ordinal.cast_signed(),
            event.form,
            event.verb.as_str(),
            event.entry_id,
            event.lane.0.cast_signed(),
            number,
            event.xid,
            event.committed_at_us,
            event.tails[tail].content_type,
            deliveries,
            &event.tails[tail].bytes[..],
        ]);
        match inserted {
            Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation) => {
                Err(Fault::bug(format!(
                    "the event {} of form {:?} at {} was enqueued before",
                    event.verb, event.form, event.position
                )))
            }
            inserted => {
                inserted?;
                Ok(self.unpublished.last_event)
            }
        }
    }

    /// A number for a tail beside those that others had of the event while it was held.
    fn next_tail_number(&self, event: &NewEvent) -> Result<i64, Fault> {
        let number = self.connection.prepare_cached(sql!("next_tail_number"))?.query_row(
            params![
                event.position.epoch,
                event.position.commit_lsn.0.cast_signed(),
                event.position.ordinal.cast_signed(),
                event.verb.as_str(),
                event.lane.0.cast_signed(),
            ],
            |row| row.get(0),
        )?;
        Ok(number)
    }

    fn insert_delivery(&mut self, event: &NewEvent, delivery: &NewDelivery, row: i64) -> Result<(), Fault> {
        let webhook = delivery.webhook.0.cast_signed();
        let lane = event.lane.0.cast_signed();
        let gate = self.last_of(delivery.webhook, &event.behind, delivery.sequence)?;
        self.has_gates |= gate.is_some();
        let waits = gate.is_some()
            || self
                .connection
                .prepare_cached(sql!("lane_is_busy"))?
                .query_row(params![webhook, lane], |row| row.get::<_, bool>(0))?;
        let state = if waits { State::Waiting } else { State::Ready };
        self.connection.prepare_cached(sql!("insert_delivery"))?.execute(params![
            webhook,
            delivery.sequence.cast_signed(),
            state_code(state),
            lane,
            row,
            gate,
            delivery_bytes(event, delivery).cast_signed(),
            &delivery.id.0[..],
            &delivery.head[..],
            self.now_us(),
            gate.map(|_| lanes_column(&event.behind)),
        ])?;
        let part = self.unpublished.parts.get_mut(&delivery.webhook).expect("made with the event");
        if state == State::Ready {
            part.became_ready(delivery.sequence);
        }
        Ok(())
    }

    /// Makes everything count that has come so far.
    fn publish(&mut self, progress: Progress, last: Option<LastTransaction>) -> Result<(), Fault> {
        for (webhook, part) in std::mem::take(&mut self.unpublished.parts) {
            let book = self.books.change(webhook);
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
            match part.ready() {
                None => self.fronts.has_more(webhook),
                Some(ready) => ready.iter().for_each(|&sequence| self.fronts.became_ready(webhook, sequence)),
            }
        }
        self.published = Published {
            progress,
            event: self.unpublished.last_event,
            quarantine: self.unpublished.last_quarantine,
            held_event: self.unpublished.last_held_event,
        };
        self.connection.prepare_cached(sql!("store_position"))?.execute(params![
            progress.commit_lsn.0.cast_signed(),
            progress.end_lsn.0.cast_signed(),
            self.published.event,
            self.published.quarantine,
            self.published.held_event,
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
        self.unpublished.parts.clear();
        let webhooks: Vec<_> =
            self.books.iter().map(|(webhook, book)| (webhook, book.next_sequence)).collect();
        for (webhook, next_sequence) in webhooks {
            let rows: Vec<(i64, i64)> = self
                .connection
                .prepare_cached(sql!("unpublished"))?
                .query_map(
                    params![webhook.0.cast_signed(), next_sequence.cast_signed(), DISCARD_STEP],
                    |row| Ok((row.get(0)?, row.get(1)?)),
                )?
                .collect::<Result<_, _>>()?;
            let (Some(first), Some(last)) = (rows.first(), rows.last()) else { continue };
            self.connection.prepare_cached(sql!("delete_deliveries"))?.execute(params![
                webhook.0.cast_signed(),
                first.0,
                last.0
            ])?;
            // a replay may have waited behind one of them
            for lane in rows.iter().map(|row| row.1).collect::<std::collections::BTreeSet<_>>() {
                self.promote(webhook, crate::form::Lane(lane.cast_unsigned()))?;
            }
            return Ok(true);
        }
        let deleted = self
            .connection
            .prepare_cached(sql!("delete_events_after"))?
            .execute(params![self.published.event, DISCARD_STEP])?;
        if deleted > 0 || self.discard_held(DISCARD_STEP)? {
            return Ok(true);
        }
        self.connection
            .prepare_cached(sql!("delete_quarantined_after"))?
            .execute(params![self.published.quarantine])?;
        self.unpublished.last_event = self.published.event;
        self.unpublished.last_quarantine = self.published.quarantine;
        self.unpublished.last_held_event = self.published.held_event;
        Ok(false)
    }
}

fn delivery_bytes(event: &NewEvent, delivery: &NewDelivery) -> u64 {
    (delivery.head.len() + event.tails[delivery.tail].bytes.len()) as u64
}
