//! Deliveries as they stood in the file before there were blocks: one row for each event and each delivery.

use super::block::Forming;
use super::fault::Fault;
use super::rows::{malformed, position_at, unsigned_at, verb_at};
use crate::delivery::{DeliveryId, NewDelivery, NewEvent, Tail};
use crate::form::Lane;
use crate::webhook::WebhookId;
use bytes::Bytes;
use rusqlite::{Connection, params};

/// States, as they are numbered then and now: those from here on have ended.
const ENDED: i64 = 7;
/// Waiting and ready are one now.
const READY: i64 = 3;

/// Carries what counted over into blocks and removes the tables of before, in the transaction that made the new ones.
pub(super) fn carry_over(connection: &Connection) -> Result<(), Fault> {
    let mut carried = Carried { connection, block: 1, forming: Forming::default(), ended: 0, since_us: 0 };
    let mut events = connection.prepare(
        "select epoch, commit_lsn, ordinal, form, verb, entry_id, lane, xid, committed_at_us, content_type, tail, id
         from former_event where id <= (select published_event from position) order by id",
    )?;
    let mut rows = events.query([])?;
    while let Some(row) = rows.next()? {
        carried.event(row)?;
    }
    carried.finish_block()?;
    drop(rows);
    drop(events);
    connection
        .execute("update position set published_block = ?1", params![carried.block.cast_signed() - 1])?;
    connection.execute_batch(
        "insert into attempt select * from former_attempt as a
             where exists (select 1 from delivery where webhook = a.webhook and sequence = a.sequence);
         drop table former_attempt; drop table former_delivery; drop table former_event;
         alter table position drop column published_event;",
    )?;
    Ok(())
}

/// The block that is being filled.
struct Carried<'a> {
    connection: &'a Connection,
    block: u64,
    forming: Forming,
    /// How many of its deliveries have ended, the last of them when.
    ended: i64,
    since_us: i64,
}

impl Carried<'_> {
    fn event(&mut self, row: &rusqlite::Row<'_>) -> Result<(), Fault> {
        let mut event = NewEvent {
            position: position_at(row, 0)?,
            form: row.get(3)?,
            verb: verb_at(row, 4)?,
            entry_id: row.get(5)?,
            lane: Lane(unsigned_at(row, 6)?),
            behind: Vec::new(),
            xid: row.get(7)?,
            committed_at_us: row.get(8)?,
            // there are as many as there are formats, and this is done once
            tails: vec![Tail {
                content_type: row.get::<_, String>(9)?.into(),
                bytes: Bytes::from(row.get::<_, Vec<u8>>(10)?),
            }],
            deliveries: Vec::new(),
            was_held: true,
        };
        self.deliveries(row.get(11)?, &mut event)?;
        self.forming.push(&event, |_| true);
        if self.forming.is_full() {
            self.finish_block()?;
        }
        Ok(())
    }

    fn deliveries(&mut self, id: i64, event: &mut NewEvent) -> Result<(), Fault> {
        let mut statement = self.connection.prepare_cached(
            "select webhook, sequence, id, head, state, since_us, attempts, replay, behind
             from former_delivery where event = ?1 order by webhook, sequence",
        )?;
        let mut rows = statement.query(params![id])?;
        while let Some(row) = rows.next()? {
            let (webhook, sequence) = (row.get::<_, i64>(0)?, row.get::<_, i64>(1)?);
            let (state, since_us): (i64, i64) = (row.get(4)?, row.get(5)?);
            if state > READY || row.get::<_, i64>(6)? > 0 || row.get(7)? {
                self.connection
                    .prepare_cached(
                        "insert into delivery
                         select webhook, sequence, ?3, max(state, 3), due_at_us, since_us, failures, attempts, replay
                         from former_delivery where webhook = ?1 and sequence = ?2",
                    )?
                    .execute(params![webhook, sequence, self.block.cast_signed()])?;
            }
            if state >= ENDED {
                self.ended += 1;
                self.since_us = self.since_us.max(since_us);
            }
            if let Some(behind) = row.get::<_, Option<String>>(8)? {
                let lanes: Vec<i64> =
                    serde_json::from_str(&behind).map_err(|error| malformed(8, error.to_string()))?;
                event.behind = lanes.into_iter().map(|lane| Lane(lane.cast_unsigned())).collect();
            }
            event.deliveries.push(NewDelivery {
                webhook: WebhookId(webhook.cast_unsigned()),
                sequence: sequence.cast_unsigned(),
                id: DeliveryId(row.get(2)?),
                head: Bytes::from(row.get::<_, Vec<u8>>(3)?),
                tail: 0,
            });
        }
        Ok(())
    }

    fn finish_block(&mut self) -> Result<(), Fault> {
        if self.forming.is_empty() {
            return Ok(());
        }
        self.forming.finish(self.block).store(self.connection, 0)?;
        self.connection
            .prepare_cached("update block set ended = ?2, since_us = ?3 where id = ?1")?
            .execute(params![self.block.cast_signed(), self.ended, self.since_us])?;
        self.block += 1;
        (self.ended, self.since_us) = (0, 0);
        Ok(())
    }
}
