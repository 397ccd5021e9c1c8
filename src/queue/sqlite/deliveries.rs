//! Deliveries as people look at them: a block says what there is, lists and rows say what became of it.
//!
//! Every step reads a bounded number of blocks, so that no reader holds the write-ahead log of the file for long.

use super::arrived::{self, Arrived};
use super::block::{Block, Delivery, Event, Home, Rows};
use super::books::Book;
use super::fault::Fault;
use super::index::Index;
use super::lanes::Stand;
use super::read::known;
use super::rows::{attempt_of, sql, unsigned_at};
use crate::delivery::{Attempt, DeliveryId, DeliveryNumber, Outcome, State};
use crate::queue::{DeliveryDetail, DeliveryRef, DeliverySummary, Filter};
use crate::webhook::WebhookId;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

/// How many blocks are read through at once.
const BLOCKS_STEP: usize = 64;

/// Some sequence numbers of a webhook.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    webhook: WebhookId,
    first: u64,
    last: u64,
    upwards: bool,
}

impl Window {
    /// From a number on, at most up to the last that is wanted.
    pub(super) fn upwards(webhook: WebhookId, from: u64, last: u64, filter: &Filter) -> Self {
        let (first, last) = match filter.sequence {
            Some(sequence) => (from.max(sequence), last.min(sequence)),
            None => (from, last),
        };
        Self { webhook, first, last, upwards: true }
    }

    /// Whether nothing of it is left once it is read up to a number.
    pub(super) fn ends_by(&self, read_to: u64) -> bool {
        self.first > self.last || read_to >= self.last
    }

    fn contains(&self, sequence: u64) -> bool {
        (self.first..=self.last).contains(&sequence)
    }
}

/// A delivery as it was found.
pub(super) struct Found {
    pub(super) summary: DeliverySummary,
    /// What its body takes.
    pub(super) bytes: u64,
    pub(super) block: u64,
}

/// What became of the deliveries of a block.
pub(super) struct Fates {
    arrived: HashMap<u32, Arrived>,
    rows: Rows,
}

impl Fates {
    pub(super) fn of(connection: &Connection, block: &Block) -> Result<Self, Fault> {
        let arrived = arrived::lists(connection, block.id)?;
        let arrived = arrived.into_iter().map(|arrived| (arrived.place, arrived)).collect();
        Ok(Self { arrived, rows: block.rows(connection)? })
    }
}

/// Some of the deliveries in a window that fit, in its order, without their last outcomes; and the number up to which
/// the window was read. Of those that are to be sent, which are behind others is not told: all are called ready.
pub(super) fn summaries(
    connection: &Connection,
    window: Window,
    filter: &Filter,
    limit: usize,
) -> Result<(Vec<Found>, u64), Fault> {
    let (blocks, mut read_to) = blocks_of(connection, window, filter)?;
    let mut found = Vec::new();
    for id in blocks {
        let Some(block) = Block::read_events(connection, id)? else { continue };
        let fates = Fates::of(connection, &block)?;
        let mut take = |(delivery, event): (&Delivery, &Event)| {
            if found.len() == limit
                || delivery.webhook != window.webhook
                || !window.contains(delivery.sequence)
            {
                return;
            }
            let one = found_of(&block, delivery, event, &fates);
            if fits(&one.summary, filter) {
                found.push(one);
            }
        };
        if window.upwards {
            block.iter().for_each(&mut take);
        } else {
            block.iter().rev().for_each(&mut take);
        }
        if found.len() == limit {
            read_to = found.last().map_or(read_to, |last| last.summary.number.sequence);
            break;
        }
    }
    Ok((found, read_to))
}

/// The blocks that have something of a window, in its order, some of them; and the number up to which these go.
fn blocks_of(connection: &Connection, window: Window, filter: &Filter) -> Result<(Vec<u64>, u64), Fault> {
    let Window { webhook, first, last, upwards } = window;
    let end = if upwards { last } else { first };
    if first > last {
        return Ok((Vec::new(), end));
    }
    let is_dead_wanted = |state: &State| matches!(state, State::Dead | State::Blocking);
    let of_dead = !filter.states.is_empty() && filter.states.iter().all(is_dead_wanted);
    let statement = match (of_dead, upwards) {
        (true, true) => sql!("dead_upwards"),
        (true, false) => sql!("dead_downwards"),
        (false, true) => sql!("shares_upwards"),
        (false, false) => sql!("shares_downwards"),
    };
    let limit = if of_dead { 20 * BLOCKS_STEP } else { BLOCKS_STEP };
    let parameters = params![
        webhook.0.cast_signed(),
        first.min(i64::MAX.cast_unsigned()).cast_signed(),
        last.min(i64::MAX.cast_unsigned()).cast_signed(),
        limit as i64
    ];
    let rows: Vec<(u64, u64)> = connection
        .prepare_cached(statement)?
        .query_map(parameters, |row| Ok((unsigned_at(row, 0)?, unsigned_at(row, 1)?)))?
        .collect::<Result<_, _>>()?;
    let read_to = match rows.last() {
        Some(&(_, edge)) if rows.len() == limit => edge.clamp(first, last),
        _ => end,
    };
    let mut blocks: Vec<u64> = rows.into_iter().map(|(block, _)| block).collect();
    blocks.dedup();
    Ok((blocks, read_to))
}

pub(super) fn found_of(block: &Block, delivery: &Delivery, event: &Event, fates: &Fates) -> Found {
    let row = fates.rows.get(&(delivery.webhook, delivery.sequence));
    let arrived = fates.arrived.get(&delivery.place);
    let (state, attempts, due_at_us) = match (row, arrived) {
        (Some(row), _) => (row.state, row.attempts, row.due_at_us),
        (None, Some(_)) => (State::Delivered, 1, None),
        (None, None) => (State::Ready, 0, None),
    };
    Found {
        bytes: block.body_bytes(delivery),
        block: block.id,
        summary: DeliverySummary {
            number: DeliveryNumber { webhook: delivery.webhook, sequence: delivery.sequence },
            id: delivery.id,
            place: Home::new(block.id, delivery.place).into(),
            state,
            form: event.form.clone(),
            verb: event.verb,
            entry_id: event.entry_id.clone(),
            lane: event.lane,
            position: event.position,
            committed_at_us: event.committed_at_us,
            attempts,
            replayed: row.is_some_and(|row| row.replay),
            due_at_us: due_at_us.filter(|_| state == State::Retrying),
            last_outcome: arrived.map(|arrived| arrived.attempt().outcome.to_string()),
        },
    }
}

/// Whether a delivery is meant; which of those that are to be sent are behind others is not known here.
pub(super) fn fits(summary: &DeliverySummary, filter: &Filter) -> bool {
    let Filter { webhook: _, sequence: _, states, form, entry_id, since_us, until_us } = filter;
    let is_queued = |state: &State| matches!(state, State::Waiting | State::Ready);
    let fits_state =
        states.contains(&summary.state) || is_queued(&summary.state) && states.iter().any(is_queued);
    (states.is_empty() || fits_state)
        && form.as_ref().is_none_or(|form| *form == summary.form)
        && entry_id.as_ref().is_none_or(|entry_id| *entry_id == summary.entry_id)
        && since_us.is_none_or(|since_us| summary.committed_at_us >= since_us)
        && until_us.is_none_or(|until_us| summary.committed_at_us < until_us)
}

/// Tells which of the deliveries that are to be sent are behind others.
#[derive(Default)]
pub(super) struct Stands(HashMap<WebhookId, foldhash::HashMap<u64, Stand>>);

impl Stands {
    /// Corrects the state of a delivery that is called ready. Returns whether it fits all the same.
    pub(super) fn correct(
        &mut self,
        connection: &Connection,
        summary: &mut DeliverySummary,
        filter: &Filter,
    ) -> Result<bool, Fault> {
        if summary.state != State::Ready {
            return Ok(true);
        }
        let DeliveryNumber { webhook, sequence } = summary.number;
        let stands = match self.0.entry(webhook) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(Index::lanes_of(connection, webhook)?.stands()),
        };
        if stands.get(&sequence) == Some(&Stand::Waiting) {
            summary.state = State::Waiting;
        }
        Ok(filter.states.is_empty() || filter.states.contains(&summary.state))
    }
}

/// Deliveries that fit, newest first.
pub(super) fn deliveries(
    connection: &Connection,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<DeliverySummary>, Fault> {
    let mut found = Vec::new();
    let mut stands = Stands::default();
    for webhook in known(connection, filter.webhook)? {
        let Some(newest) = newest(connection, webhook)? else { continue };
        let mut left = limit;
        let mut window = Window { upwards: false, ..Window::upwards(webhook, 1, newest, filter) };
        while left > 0 && window.first <= window.last {
            let (here, read_to) = summaries(connection, window, filter, left)?;
            for Found { mut summary, .. } in here {
                if !stands.correct(connection, &mut summary, filter)? {
                    continue;
                }
                left -= 1;
                found.push(summary);
            }
            window.last = read_to.saturating_sub(1);
        }
    }
    found.sort_by_key(|found| {
        std::cmp::Reverse((found.position, found.number.sequence, found.number.webhook))
    });
    found.truncate(limit);
    for found in found.iter_mut().filter(|found| found.last_outcome.is_none()) {
        found.last_outcome = last_outcome(connection, found.number)?.map(|outcome| outcome.to_string());
    }
    Ok(found)
}

/// The last number of a webhook that counts.
fn newest(connection: &Connection, webhook: WebhookId) -> Result<Option<u64>, Fault> {
    let newest = connection
        .prepare_cached(sql!("newest"))?
        .query_row(params![webhook.0.cast_signed()], |row| unsigned_at(row, 0))
        .optional()?;
    Ok(newest)
}

/// What became of the last attempt on a delivery that has a row of its own.
pub(super) fn last_outcome(
    connection: &Connection,
    number: DeliveryNumber,
) -> Result<Option<Outcome>, Fault> {
    let attempt = connection
        .prepare_cached(sql!("last_attempt"))?
        .query_row(params![number.webhook.0.cast_signed(), number.sequence.cast_signed()], attempt_of)
        .optional()?;
    Ok(attempt.map(|attempt| attempt.outcome))
}

/// One delivery with everything.
pub(super) fn delivery(connection: &Connection, which: DeliveryRef) -> Result<Option<DeliveryDetail>, Fault> {
    let number = match which {
        DeliveryRef::Number(number) => Some(number),
        DeliveryRef::Id(id) => find(connection, id)?,
        DeliveryRef::Place(place) => at(connection, place.into())?,
    };
    let Some(number) = number else { return Ok(None) };
    let filter =
        Filter { webhook: Some(number.webhook), sequence: Some(number.sequence), ..Filter::default() };
    let Some(mut summary) = deliveries(connection, &filter, 1)?.pop() else { return Ok(None) };
    let window = Window::upwards(number.webhook, number.sequence, number.sequence, &filter);
    let Some(&id) = blocks_of(connection, window, &filter)?.0.first() else { return Ok(None) };
    // purged since the lines above
    let Some(block) = Block::read(connection, id)? else { return Ok(None) };
    let Some((delivery, _)) = block.find(number.webhook, number.sequence) else { return Ok(None) };
    let arrived = arrived::lists(connection, id)?.into_iter().find(|arrived| arrived.place == delivery.place);
    let attempts: Vec<Attempt> = match arrived {
        Some(arrived) => vec![arrived.attempt()],
        None => connection
            .prepare_cached(sql!("attempts"))?
            .query_map(params![number.webhook.0.cast_signed(), number.sequence.cast_signed()], attempt_of)?
            .collect::<Result<_, _>>()?,
    };
    summary.last_outcome = attempts.last().map(|attempt| attempt.outcome.to_string());
    Ok(Some(DeliveryDetail { summary, body: block.body(delivery), attempts }))
}

fn at(connection: &Connection, home: Home) -> Result<Option<DeliveryNumber>, Fault> {
    let Some(block) = Block::read_events(connection, home.block())? else { return Ok(None) };
    let number = |one: &Delivery| DeliveryNumber { webhook: one.webhook, sequence: one.sequence };
    Ok(block.at(home.place()).map(|(delivery, _)| number(delivery)))
}

fn find(connection: &Connection, id: DeliveryId) -> Result<Option<DeliveryNumber>, Fault> {
    for webhook in known(connection, None)? {
        let Some(last) = newest(connection, webhook)? else { continue };
        let mut window = Window { webhook, first: 1, last, upwards: false };
        while window.first <= window.last {
            let (blocks, read_to) = blocks_of(connection, window, &Filter::default())?;
            for block in blocks {
                let Some(block) = Block::read_events(connection, block)? else { continue };
                let is_it = |one: &&Delivery| one.id == id && one.webhook == webhook;
                if let Some(delivery) = block.deliveries.iter().find(is_it)
                    && delivery.sequence <= last
                {
                    return Ok(Some(DeliveryNumber { webhook, sequence: delivery.sequence }));
                }
            }
            window.last = read_to.saturating_sub(1);
        }
    }
    Ok(None)
}

/// When the oldest delivery of a webhook that is to be sent some time was committed.
pub(super) fn oldest_committed_at_us(
    connection: &Connection,
    webhook: WebhookId,
    book: &Book,
) -> Result<Option<i64>, Fault> {
    let filter = Filter { states: vec![State::Ready, State::Retrying], ..Filter::default() };
    let mut window = Window::upwards(webhook, book.oldest, book.next_sequence - 1, &filter);
    while window.first <= window.last {
        let (found, read_to) = summaries(connection, window, &filter, 1)?;
        if let Some(found) = found.first() {
            return Ok(Some(found.summary.committed_at_us));
        }
        window.first = read_to + 1;
    }
    Ok(None)
}
