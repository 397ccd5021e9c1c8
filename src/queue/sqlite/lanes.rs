//! Lanes: who goes next when a delivery has ended.
//!
//! In each lane (a webhook's entry) at most one delivery is active: ready, retrying or a blocking dead letter.
//! The others wait, and go by sequence. An entry whose lane was another before waits for what is before it in those lanes,
//! too. The last of that is its gate; when that has ended, or an operator has dropped it, the next is looked for.

use super::fault::Fault;
use super::rows::{malformed, sql, state_at};
use super::writer::Writer;
use crate::delivery::State;
use crate::form::Lane;
use crate::webhook::WebhookId;
use rusqlite::{OptionalExtension, params};
use std::collections::BTreeSet;

impl Writer {
    /// Lets the next of a lane go, unless the lane is held.
    pub(super) fn promote(&mut self, webhook: WebhookId, lane: Lane) -> Result<(), Fault> {
        match self.active(webhook, lane)? {
            Some(_) => Ok(()),
            None => self.promote_next(webhook, lane),
        }
    }

    /// Lets the next of a lane go that nobody holds.
    pub(super) fn promote_next(&mut self, webhook: WebhookId, lane: Lane) -> Result<(), Fault> {
        let next: Option<(i64, Option<i64>, Option<String>)> = self
            .connection
            .prepare_cached(sql!("lane_next"))?
            .query_row(params![webhook.0.cast_signed(), lane.0.cast_signed()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?))
            })
            .optional()?;
        let Some((sequence, gate, behind)) = next else { return Ok(()) };
        if let Some(gate) = gate {
            let behind = lanes_in(behind.as_deref())?;
            if let Some(last) = self.last_of(webhook, &behind, sequence.cast_unsigned())? {
                if last != gate {
                    let set = params![webhook.0.cast_signed(), sequence, last];
                    self.connection.prepare_cached(sql!("set_gate"))?.execute(set)?;
                }
                return Ok(());
            }
        }
        self.connection
            .prepare_cached(sql!("promote"))?
            .execute(params![webhook.0.cast_signed(), sequence])?;
        self.rouse_delivery(webhook, sequence.cast_unsigned());
        Ok(())
    }

    /// The last delivery in some lanes before one of another, of those that are not finished.
    pub(super) fn last_of(
        &self,
        webhook: WebhookId,
        lanes: &[Lane],
        before: u64,
    ) -> Result<Option<i64>, Fault> {
        let mut last: Option<i64> = None;
        for lane in lanes {
            let found = self.connection.prepare_cached(sql!("lane_last"))?.query_row(
                params![webhook.0.cast_signed(), lane.0.cast_signed(), before.cast_signed()],
                |row| row.get(0),
            )?;
            last = last.max(found);
        }
        Ok(last)
    }

    /// Opens the gates that a delivery was, now that it has ended.
    pub(super) fn open_gates(&mut self, webhook: WebhookId, sequence: u64) -> Result<(), Fault> {
        if !self.has_gates {
            return Ok(());
        }
        let lanes: BTreeSet<i64> = self
            .connection
            .prepare_cached(sql!("gated"))?
            .query_map(params![webhook.0.cast_signed(), sequence.cast_signed()], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        for lane in lanes {
            self.promote(webhook, Lane(lane.cast_unsigned()))?;
        }
        Ok(())
    }

    /// Makes the active delivery of a lane a candidate again: it was passed over while another was claimed.
    pub(super) fn rouse_lane(&mut self, webhook: WebhookId, lane: Lane) -> Result<(), Fault> {
        if let Some((sequence, state)) = self.active(webhook, lane)?
            && state != State::Blocking
        {
            self.rouse_delivery(webhook, sequence);
        }
        Ok(())
    }

    fn rouse_delivery(&mut self, webhook: WebhookId, sequence: u64) {
        if self.books.find(webhook).is_some_and(|book| sequence < book.next_sequence) {
            self.fronts.became_ready(webhook, sequence);
        } else if let Some(part) = self.unpublished.parts.get_mut(&webhook) {
            // its transaction is not complete yet: a candidate when it is
            part.became_ready(sequence);
        }
    }

    /// The delivery that holds a lane, and its state.
    fn active(&self, webhook: WebhookId, lane: Lane) -> Result<Option<(u64, State)>, Fault> {
        let active = self
            .connection
            .prepare_cached(sql!("lane_active"))?
            .query_row(params![webhook.0.cast_signed(), lane.0.cast_signed()], |row| {
                Ok((row.get::<_, i64>(0)?.cast_unsigned(), state_at(row, 1)?))
            })
            .optional()?;
        Ok(active)
    }
}

/// Lanes as a column.
pub(super) fn lanes_column(lanes: &[Lane]) -> String {
    let lanes: Vec<i64> = lanes.iter().map(|lane| lane.0.cast_signed()).collect();
    serde_json::to_string(&lanes).expect("numbers are JSON")
}

fn lanes_in(column: Option<&str>) -> Result<Vec<Lane>, Fault> {
    let Some(column) = column else { return Ok(Vec::new()) };
    let lanes: Vec<i64> = serde_json::from_str(column).map_err(|error| malformed(2, error.to_string()))?;
    Ok(lanes.into_iter().map(|lane| Lane(lane.cast_unsigned())).collect())
}
