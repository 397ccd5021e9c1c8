//! Lanes: who goes next when a delivery has ended.
//!
//! In each lane (a webhook's entry) at most one delivery is active: ready, retrying or a blocking dead letter.
//! The others wait, and go by sequence. A gate is a delivery of another lane that must have ended before.

use super::fault::Fault;
use super::rows::{sql, state_at};
use super::writer::Writer;
use crate::delivery::State;
use crate::form::Lane;
use crate::webhook::WebhookId;
use rusqlite::{OptionalExtension, params};

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
        let next: Option<(i64, Option<i64>)> = self
            .connection
            .prepare_cached(sql!("lane_next"))?
            .query_row(params![webhook.0.cast_signed(), lane.0.cast_signed()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })
            .optional()?;
        let Some((sequence, gate)) = next else { return Ok(()) };
        if let Some(gate) = gate {
            let closed: bool = self
                .connection
                .prepare_cached(sql!("gate_is_closed"))?
                .query_row(params![webhook.0.cast_signed(), gate], |row| row.get(0))?;
            if closed {
                return Ok(());
            }
        }
        self.connection
            .prepare_cached(sql!("promote"))?
            .execute(params![webhook.0.cast_signed(), sequence])?;
        self.rouse_delivery(webhook, sequence.cast_unsigned());
        Ok(())
    }

    /// Opens the gates that a delivery was, now that it has ended.
    pub(super) fn open_gates(&mut self, webhook: WebhookId, sequence: u64) -> Result<(), Fault> {
        if !self.has_gates {
            return Ok(());
        }
        let lanes: Vec<i64> = self
            .connection
            .prepare_cached(sql!("gated"))?
            .query_map(params![webhook.0.cast_signed(), sequence.cast_signed()], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        if lanes.is_empty() {
            return Ok(());
        }
        self.connection
            .prepare_cached(sql!("open_gates"))?
            .execute(params![webhook.0.cast_signed(), sequence.cast_signed()])?;
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
