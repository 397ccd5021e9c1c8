//! Out of the queue: claims, which live in memory, and their ends, which are written.

use super::arrived::Arrived;
use super::fault::Fault;
use super::index::{ClaimStanding, Effect, End};
use super::rows::{outcome_columns, sql, state_code};
use super::writer::Writer;
use crate::delivery::{Claim, DeliveryNumber, Settled, Settlement, State};
use crate::failpoint;
use crate::observe::Observation;
use crate::webhook::WebhookId;
use rusqlite::params;
use std::collections::VecDeque;

/// How many bytes of bodies are claimed at once (the last body may go beyond).
const CLAIM_BYTES_MAX: usize = 32 << 20;

impl Writer {
    /// Claims what is due, round robin over the webhooks with their allowances.
    pub(super) fn claim(
        &mut self,
        claims_max: usize,
        mut allowances: Vec<(WebhookId, usize)>,
    ) -> Result<Vec<Claim>, Fault> {
        failpoint::reach("queue.claim.before");
        let now_us = self.now_us();
        allowances.sort_unstable();
        let after_last = allowances.partition_point(|&(webhook, _)| Some(webhook) <= self.claimed_last);
        allowances.rotate_left(after_last);
        let mut turns = VecDeque::from(allowances);
        let mut claims = Vec::new();
        let mut bytes = 0;
        while claims.len() < claims_max && bytes < CLAIM_BYTES_MAX {
            let Some((webhook, left)) = turns.pop_front() else { break };
            if left == 0 || !self.books.find(webhook).is_some_and(super::books::Book::is_served) {
                continue;
            }
            let Some((sequence, standing)) = self.index.claim(webhook, now_us) else { continue };
            self.fresh_claims.push((webhook, sequence));
            let claim = self.claim_of(DeliveryNumber { webhook, sequence }, standing)?;
            bytes += claim.body.head.len() + claim.body.tail.len();
            self.claimed_last = Some(webhook);
            turns.push_back((webhook, left - 1));
            claims.push(claim);
        }
        if !claims.is_empty() {
            failpoint::reach("queue.claim.after");
        }
        Ok(claims)
    }

    fn claim_of(&mut self, number: DeliveryNumber, standing: ClaimStanding) -> Result<Claim, Fault> {
        let DeliveryNumber { webhook, sequence } = number;
        let home = standing.home;
        let block = self.shelf.block(&self.connection, home.block())?;
        let gone = || Fault::bug(format!("delivery {number} is in no block"));
        let block = block.ok_or_else(gone)?;
        let (delivery, event) = block.at(home.place()).ok_or_else(gone)?;
        let (failures, attempts, replay) = if standing.has_row {
            self.connection
                .prepare_cached(sql!("tried"))?
                .query_row(params![webhook.0.cast_signed(), sequence.cast_signed()], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?))
                })?
        } else {
            (0, 0, false)
        };
        Ok(Claim {
            number,
            id: delivery.id,
            attempt: u32::saturating_add(attempts, 1),
            failures,
            replay,
            body: block.body(delivery),
            form: event.form.clone(),
            verb: event.verb,
            entry_id: event.entry_id.clone(),
            lane: event.lane,
            committed_at_us: event.committed_at_us,
        })
    }

    /// Gives back all claims but those that end with this transaction.
    pub(super) fn void_claims(&mut self) {
        let mut claimed = self.index.claimed();
        claimed.retain(|&(webhook, sequence)| !self.ending.is_settled(webhook, sequence));
        self.index.release(claimed);
    }

    /// Ends a claim.
    pub(super) fn settle(&mut self, settled: &Settled) -> Result<(), Fault> {
        failpoint::reach("queue.settle.before");
        let Settled { claim, attempt, settlement, suspend: _ } = settled;
        let DeliveryNumber { webhook, sequence } = claim.number;
        // a claim that was voided meanwhile may stand again with somebody else
        let Some((standing, is_given_up)) = self.index.standing(webhook, sequence) else { return Ok(()) };
        if !self.ending.settle(webhook, sequence) {
            return Ok(());
        }
        let is_given_up = is_given_up || self.ending.is_given_up(webhook, sequence);
        let now_us = self.now_us();
        let (state, due_us) = match settlement {
            Settlement::Delivered => (State::Delivered, None),
            Settlement::Retry { after } => {
                let after_us = i64::try_from(after.as_micros()).unwrap_or(i64::MAX);
                (State::Retrying, Some(now_us.saturating_add(after_us)))
            }
            Settlement::Dead => (State::Dead, None),
            Settlement::Blocking => (State::Blocking, None),
        };
        self.keep_books(settled);
        let end = match (state, due_us) {
            _ if is_given_up => End::Ended,
            (_, Some(due_us)) => End::Retrying { due_us },
            (State::Blocking, None) => End::Blocking,
            _ => End::Ended,
        };
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
