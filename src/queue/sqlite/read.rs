//! Reading: lists, details and books, on connections that never write.
//!
//! Every statement reads a bounded window, so that no reader holds the write-ahead log of the file for long.

use super::books::book_of;
use super::fault::Fault;
use super::operate::states_condition;
use super::rows::{attempt_of, cause_at, position_at, range_of, sql, state_at, unsigned_at, verb_at};
use crate::delivery::{
    Body, DeliveryId, DeliveryNumber, Held, HeldRef, HeldWhat, LastTransaction, Outcome, Quarantined, State,
    StreamRecord,
};
use crate::form::{Lane, LaneRule};
use crate::lsn::{Lsn, Progress};
use crate::queue::{
    BindingRecord, DeliveryDetail, DeliveryRef, DeliverySummary, Filter, SequenceRange, WebhookStanding,
};
use crate::webhook::WebhookId;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

/// How many sequence numbers are read through at once.
const WINDOW: u64 = 20_000;
/// What a held event takes in memory beside its content, near enough.
const HELD_OVERHEAD_BYTES: usize = 200;

/// Some sequence numbers of a webhook.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    webhook: WebhookId,
    pub(super) first: u64,
    pub(super) last: u64,
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
}

/// The part of a window that is read at once, beginning where there are deliveries; none if there are none.
pub(super) fn clip(connection: &Connection, window: Window) -> Result<Option<Window>, Fault> {
    let (oldest, newest): (Option<i64>, Option<i64>) = connection
        .prepare_cached(sql!("bounds"))?
        .query_row(params![window.webhook.0.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (Some(oldest), Some(newest)) = (oldest, newest) else { return Ok(None) };
    let first = window.first.max(oldest.cast_unsigned());
    let last = window.last.min(newest.cast_unsigned());
    if first > last {
        return Ok(None);
    }
    Ok(Some(if window.upwards {
        Window { first, last: last.min(first.saturating_add(WINDOW - 1)), ..window }
    } else {
        Window { first: first.max(last.saturating_sub(WINDOW - 1)), last, ..window }
    }))
}

/// A delivery as it was found.
pub(super) struct Found {
    pub(super) summary: DeliverySummary,
    /// What its body takes.
    pub(super) bytes: u64,
}

/// The deliveries in a window that fit, in its order, without their last outcomes.
pub(super) fn summaries(
    connection: &Connection,
    window: Window,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<Found>, Fault> {
    let order = if window.upwards { "" } else { " desc" };
    let mut statement = format!(
        "{}{} order by d.sequence{order} limit ?8",
        sql!("deliveries"),
        states_condition(&filter.states)
    );
    if filter.states == [State::Blocking, State::Dead] {
        statement = statement.replace("delivery d join", "delivery d indexed by delivery_dead join");
    }
    let mut statement = connection.prepare_cached(&statement)?;
    let parameters = params![
        window.webhook.0.cast_signed(),
        window.first.cast_signed(),
        window.last.cast_signed(),
        filter.form,
        filter.entry_id,
        filter.since_us,
        filter.until_us,
        limit as i64,
    ];
    let found = statement.query_map(parameters, found_of)?.collect::<Result<_, _>>()?;
    Ok(found)
}

fn found_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Found> {
    let state = state_at(row, 3)?;
    let due_at_us: Option<i64> = row.get(6)?;
    Ok(Found {
        bytes: unsigned_at(row, 7)?,
        summary: DeliverySummary {
            number: DeliveryNumber {
                webhook: WebhookId(unsigned_at(row, 0)?),
                sequence: unsigned_at(row, 1)?,
            },
            id: DeliveryId(row.get(2)?),
            state,
            form: row.get(8)?,
            verb: verb_at(row, 9)?,
            entry_id: row.get(10)?,
            lane: Lane(unsigned_at(row, 4)?),
            position: position_at(row, 11)?,
            committed_at_us: row.get(14)?,
            attempts: row.get(5)?,
            due_at_us: due_at_us.filter(|_| state == State::Retrying),
            last_outcome: None,
        },
    })
}

/// Deliveries that fit, newest first.
pub(super) fn deliveries(
    connection: &Connection,
    filter: &Filter,
    limit: usize,
) -> Result<Vec<DeliverySummary>, Fault> {
    let mut filter = filter.clone();
    filter.states.sort_unstable();
    filter.states.dedup();
    let mut found = Vec::new();
    for webhook in known(connection, filter.webhook)? {
        let mut left = limit;
        let mut window = Window { upwards: false, ..Window::upwards(webhook, 1, u64::MAX >> 1, &filter) };
        while left > 0
            && let Some(clipped) = clip(connection, window)?
        {
            let here = summaries(connection, clipped, &filter, left)?;
            left -= here.len().min(left);
            found.extend(here.into_iter().map(|found| found.summary));
            window.last = clipped.first - 1;
        }
    }
    found.sort_by_key(|found| {
        std::cmp::Reverse((found.position, found.number.sequence, found.number.webhook))
    });
    found.truncate(limit);
    for found in &mut found {
        found.last_outcome = last_outcome(connection, found.number)?.map(|outcome| outcome.to_string());
    }
    Ok(found)
}

/// The webhooks that are meant.
pub(super) fn known(connection: &Connection, only: Option<WebhookId>) -> Result<Vec<WebhookId>, Fault> {
    match only {
        Some(webhook) => Ok(vec![webhook]),
        None => {
            let mut statement = connection.prepare_cached(sql!("load_books"))?;
            let known = statement.query_map([], book_of)?.map(|book| book.map(|(webhook, _)| webhook));
            Ok(known.collect::<Result<_, _>>()?)
        }
    }
}

fn last_outcome(connection: &Connection, number: DeliveryNumber) -> Result<Option<Outcome>, Fault> {
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
    };
    let Some(number) = number else { return Ok(None) };
    let filter = Filter { sequence: Some(number.sequence), ..Filter::default() };
    let Some(mut summary) =
        deliveries(connection, &Filter { webhook: Some(number.webhook), ..filter }, 1)?.pop()
    else {
        return Ok(None);
    };
    let key = params![number.webhook.0.cast_signed(), number.sequence.cast_signed()];
    let body = connection
        .prepare_cached(sql!("delivery"))?
        .query_row(key, |row| {
            Ok(Body {
                head: Bytes::from(row.get::<_, Vec<u8>>(0)?),
                tail: Bytes::from(row.get::<_, Vec<u8>>(1)?),
                content_type: row.get(2)?,
            })
        })
        .optional()?;
    // purged since the line above
    let Some(body) = body else { return Ok(None) };
    let attempts: Vec<_> =
        connection.prepare_cached(sql!("attempts"))?.query_map(key, attempt_of)?.collect::<Result<_, _>>()?;
    summary.last_outcome = attempts.last().map(|attempt| attempt.outcome.to_string());
    Ok(Some(DeliveryDetail { summary, body, attempts }))
}

fn find(connection: &Connection, id: DeliveryId) -> Result<Option<DeliveryNumber>, Fault> {
    for webhook in known(connection, None)? {
        let mut window = Window { webhook, first: 1, last: u64::MAX >> 1, upwards: false };
        while let Some(clipped) = clip(connection, window)? {
            let sequence: Option<i64> = connection
                .prepare_cached(sql!("find_delivery"))?
                .query_row(
                    params![
                        webhook.0.cast_signed(),
                        clipped.first.cast_signed(),
                        clipped.last.cast_signed(),
                        &id.0[..]
                    ],
                    |row| row.get(0),
                )
                .optional()?;
            if let Some(sequence) = sequence {
                return Ok(Some(DeliveryNumber { webhook, sequence: sequence.cast_unsigned() }));
            }
            window.last = clipped.first - 1;
        }
    }
    Ok(None)
}

/// The books of all webhooks that are not deleted.
pub(super) fn webhooks(connection: &Connection) -> Result<Vec<WebhookStanding>, Fault> {
    let books: Vec<_> =
        connection.prepare_cached(sql!("load_books"))?.query_map([], book_of)?.collect::<Result<_, _>>()?;
    let mut standings = Vec::new();
    for (id, book) in books.into_iter().filter(|(_, book)| !book.deleted) {
        let oldest_committed_at_us = connection
            .prepare_cached(sql!("oldest"))?
            .query_row(params![id.0.cast_signed()], |row| row.get(0))?;
        standings.push(WebhookStanding {
            id,
            state: book.state(),
            name: book.name,
            next_sequence: book.next_sequence,
            pending: book.pending,
            pending_bytes: book.pending_bytes,
            dead: book.dead,
            delivered: book.delivered,
            dropped: book.dropped,
            failures: book.failures,
            failing_since_us: book.failing_since_us,
            last_error: book.last_error,
            oldest_committed_at_us,
            broken: book.broken,
            held: book.held,
            held_bytes: book.held_bytes,
            held_beyond_limit: book.held_beyond,
            held_dropped: book.held_dropped,
            condition_failures: book.condition_failures,
            last_condition_failure: book.last_condition_failure,
        });
    }
    Ok(standings)
}

/// What is remembered of the stream.
pub(super) fn stream(connection: &Connection) -> Result<Option<StreamRecord>, Fault> {
    let record = connection
        .prepare_cached(sql!("stream"))?
        .query_row([], |row| {
            Ok(StreamRecord {
                system_id: row.get(0)?,
                timeline: row.get(1)?,
                database: row.get(2)?,
                slot: row.get(3)?,
                epoch: row.get(4)?,
                creating: row.get(5)?,
                progress: Progress {
                    commit_lsn: Lsn(unsigned_at(row, 6)?),
                    end_lsn: Lsn(unsigned_at(row, 7)?),
                },
            })
        })
        .optional()?;
    Ok(record)
}

/// What the transaction at the stream's commit LSN is recognised by.
pub(super) fn last_transaction(connection: &Connection) -> Result<Option<LastTransaction>, Fault> {
    let known = connection
        .prepare_cached(sql!("last_transaction"))?
        .query_row([], |row| Ok(LastTransaction { xid: row.get(0)?, committed_at_us: row.get(1)? }))
        .optional()?;
    Ok(known)
}

/// The tables that the forms were bound to.
pub(super) fn bindings(connection: &Connection) -> Result<Vec<BindingRecord>, Fault> {
    let bindings = connection
        .prepare_cached(sql!("bindings"))?
        .query_map([], |row| {
            let (columns, rules): (String, String) = (row.get(4)?, row.get(5)?);
            let rules: Vec<(String, Vec<(String, i16)>)> =
                serde_json::from_str(&rules).map_err(|error| super::rows::malformed(5, error.to_string()))?;
            Ok(BindingRecord {
                form: row.get(0)?,
                relation: row.get(1)?,
                schema: row.get(2)?,
                table: row.get(3)?,
                columns: serde_json::from_str(&columns)
                    .map_err(|error| super::rows::malformed(4, error.to_string()))?,
                rules: rules.into_iter().map(|(form, key)| LaneRule { form, key }).collect(),
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(bindings)
}

/// Sequence numbers without deliveries.
pub(super) fn ranges(
    connection: &Connection,
    webhook: Option<WebhookId>,
) -> Result<Vec<SequenceRange>, Fault> {
    let ranges = connection
        .prepare_cached(sql!("ranges"))?
        .query_map(params![webhook.map(|webhook| webhook.0.cast_signed())], range_of)?
        .collect::<Result<_, _>>()?;
    Ok(ranges)
}

/// Row changes that were put aside.
pub(super) fn quarantined(connection: &Connection) -> Result<Vec<Quarantined>, Fault> {
    let quarantined = connection
        .prepare_cached(sql!("quarantined"))?
        .query_map([], |row| {
            Ok(Quarantined {
                position: position_at(row, 0)?,
                form: row.get(3)?,
                reason: row.get(4)?,
                bytes: Bytes::from(row.get::<_, Vec<u8>>(5)?),
            })
        })?
        .collect::<Result<_, _>>()?;
    Ok(quarantined)
}

/// What a webhook holds behind a number, about `bytes_max` of it.
pub(super) fn held(
    connection: &Connection,
    webhook: WebhookId,
    after: Option<u64>,
    bytes_max: usize,
) -> Result<Vec<Held>, Fault> {
    let mut statement = connection.prepare_cached(sql!("held"))?;
    let mut rows = statement.query(params![webhook.0.cast_signed(), after.unwrap_or(0).cast_signed()])?;
    let (mut found, mut bytes) = (Vec::new(), 0);
    while (found.is_empty() || bytes < bytes_max)
        && let Some(row) = rows.next()?
    {
        let held = held_of(row, webhook)?;
        bytes += match &held.what {
            HeldWhat::Event { content, .. } => content.len() + HELD_OVERHEAD_BYTES,
            HeldWhat::Range { .. } => HELD_OVERHEAD_BYTES,
        };
        found.push(held);
    }
    Ok(found)
}

fn held_of(row: &rusqlite::Row<'_>, webhook: WebhookId) -> rusqlite::Result<Held> {
    let held = HeldRef { webhook, number: unsigned_at(row, 0)? };
    let cause = cause_at(row, 1)?;
    if row.get::<_, Option<i64>>(4)?.is_some() {
        let what = HeldWhat::Range { count: unsigned_at(row, 3)?, last: position_at(row, 7)? };
        return Ok(Held { held, cause, position: position_at(row, 4)?, what });
    }
    let what = HeldWhat::Event {
        form: row.get(13)?,
        verb: verb_at(row, 14)?,
        entry_id: row.get(15)?,
        lane: Lane(unsigned_at(row, 16)?),
        committed_at_us: row.get(17)?,
        content: Bytes::from(row.get::<_, Vec<u8>>(18)?),
    };
    Ok(Held { held, cause, position: position_at(row, 10)?, what })
}
