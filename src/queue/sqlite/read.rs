//! Reading: books, stream, bindings and what is held, on connections that never write.

use super::books::{Book, book_of};
use super::deliveries;
use super::fault::Fault;
use super::rows::{cause_at, position_at, range_of, sql, unsigned_at, verb_at};
use crate::delivery::{Held, HeldRef, HeldWhat, LastTransaction, Quarantined, StreamRecord};
use crate::form::{Lane, LaneRule};
use crate::lsn::{Lsn, Progress};
use crate::queue::{BindingRecord, SequenceRange, WebhookStanding};
use crate::webhook::WebhookId;
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params};

/// What a held event takes in memory beside its content, near enough.
const HELD_OVERHEAD_BYTES: usize = 200;

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

/// The books of all webhooks that are not deleted.
pub(super) fn webhooks(connection: &Connection) -> Result<Vec<WebhookStanding>, Fault> {
    let books: Vec<_> =
        connection.prepare_cached(sql!("load_books"))?.query_map([], book_of)?.collect::<Result<_, _>>()?;
    let served = books.into_iter().filter(|(_, book)| !book.deleted);
    served.map(|(id, book)| standing_of(connection, id, book)).collect()
}

/// One webhook's books; none if there is none, or it is deleted.
pub(super) fn webhook(connection: &Connection, id: WebhookId) -> Result<Option<WebhookStanding>, Fault> {
    let book =
        connection.prepare_cached(sql!("load_book"))?.query_row([id.0.cast_signed()], book_of).optional()?;
    let book = book.filter(|(_, book)| !book.deleted);
    book.map(|(id, book)| standing_of(connection, id, book)).transpose()
}

fn standing_of(connection: &Connection, id: WebhookId, book: Book) -> Result<WebhookStanding, Fault> {
    let oldest_committed_at_us =
        if book.pending > 0 { deliveries::oldest_committed_at_us(connection, id, &book)? } else { None };
    Ok(WebhookStanding {
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
    })
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
