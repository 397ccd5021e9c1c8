//! The ends of claims, which are written.

use super::arrived::Arrived;
use super::fault::Fault;
use super::index::{Effect, End};
use super::rows::{outcome_columns, sql, state_code};
use super::writer::Writer;
use crate::delivery::{DeliveryNumber, Outcome, Settled, Settlement, State};
use crate::failpoint;
use crate::observe::Observation;
use rusqlite::params;

/// How much of memory and disk the ends of claims take, near enough.
pub(super) fn footprint_bytes(settled: &[Settled]) -> usize {
    let answer = |settled: &Settled| match &settled.attempt.outcome {
        Outcome::Answered { excerpt, .. } => excerpt.len(),
        _ => 0,
    };
    settled.iter().map(|settled| 500 + answer(settled)).sum()
}

impl Writer {
    /// Gives back all claims but those that end with this transaction.
    pub(super) fn void_claims(&mut self) {
        let mut front = self.front.lock();
        let mut claimed = front.index.claimed();
        claimed.retain(|&(webhook, sequence)| !self.ending.is_settled(webhook, sequence));
        front.index.release(claimed);
    }

    /// Ends a claim.
    pub(super) fn settle(&mut self, settled: &Settled) -> Result<(), Fault> {
        failpoint::reach("queue.settle.before");
        let Settled { claim, attempt, settlement, suspend: _ } = settled;
        let DeliveryNumber { webhook, sequence } = claim.number;
        // a claim that was voided meanwhile may stand again with somebody else
        let standing = self.front.lock().index.standing(webhook, sequence);
        let Some((standing, is_given_up)) = standing else { return Ok(()) };
        if !self.ending.settle(webhook, sequence) {
            return Ok(());
        }
        let is_given_up = is_given_up || self.ending.is_given_up(webhook, sequence);
        let now_us = self.now_us();
        let (state, due_us, end) = match settlement {
            Settlement::Delivered => (State::Delivered, None, End::Delivered),
            Settlement::Retry { after } => {
                let after_us = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
                let due_us = now_us.saturating_add(after_us);
                (State::Retrying, Some(due_us), End::Retrying { due_us })
            }
            Settlement::Dead => (State::Dead, None, End::Dead),
            Settlement::Blocking => (State::Blocking, None, End::Blocking),
        };
        self.keep_books(settled);
        let end = if is_given_up { End::GivenUp } else { end };
        self.effects.push(Effect::Settled { webhook, sequence, end });
        if is_given_up {
            // by an operator meanwhile: it stays so, unless it is purged already
            let counted = self.connection.prepare_cached(sql!("count_attempt"))?.execute(params![
                webhook.0.cast_signed(),
                sequence.cast_signed(),
                attempt.number,
            ])?;
            return if counted > 0 { self.insert_attempt(settled) } else { Ok(()) };
        }
        let bytes = (claim.body.head.len() + claim.body.tail.len()) as u64;
        self.books.change(webhook).moves(State::Ready, state, bytes);
        let arrived = Arrived::new(standing.home.place(), attempt);
        match arrived.filter(|_| state == State::Delivered && !standing.has_row) {
            Some(arrived) => self.ending.arrived(standing.home, arrived),
            None => {
                self.connection.prepare_cached(sql!("settle"))?.execute(params![
                    webhook.0.cast_signed(),
                    sequence.cast_signed(),
                    standing.home.block().cast_signed(),
                    state_code(state),
                    due_us,
                    now_us,
                    claim.failures + u32::from(state != State::Delivered),
                    attempt.number,
                ])?;
                self.insert_attempt(settled)?;
                if state == State::Delivered {
                    self.ending.other(standing.home.block());
                }
            }
        }
        failpoint::reach("queue.settle.after");
        Ok(())
    }

    fn keep_books(&mut self, settled: &Settled) {
        let book = self.books.change(settled.claim.number.webhook);
        if settled.settlement == Settlement::Delivered {
            book.failures = 0;
            book.failing_since_us = None;
            book.last_error = None;
        } else {
            book.failures = book.failures.saturating_add(1);
            book.failing_since_us.get_or_insert(settled.attempt.started_at_us);
            book.last_error = Some(settled.attempt.outcome.to_string());
        }
        if let Some(reason) = &settled.suspend {
            // attempts that were under way beside it may suspend it once more
            if !book.suspended {
                let webhook = book.name.clone();
                self.to_tell.push(Observation::WebhookSuspended { webhook, reason: reason.clone() });
            }
            book.suspended = true;
            book.last_error = Some(reason.clone());
        }
    }

    fn insert_attempt(&self, settled: &Settled) -> Result<(), Fault> {
        let attempt = &settled.attempt;
        let (kind, status, retry_after_s, text) = outcome_columns(&attempt.outcome);
        self.connection.prepare_cached(sql!("insert_attempt"))?.execute(params![
            settled.claim.number.webhook.0.cast_signed(),
            settled.claim.number.sequence.cast_signed(),
            attempt.number,
            attempt.started_at_us,
            i64::try_from(attempt.duration.as_micros()).unwrap_or(i64::MAX),
            kind,
            status,
            retry_after_s,
            text,
        ])?;
        Ok(())
    }
}
