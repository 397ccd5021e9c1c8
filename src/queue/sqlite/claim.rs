//! Out of the queue: claims, which live in memory, and their ends, which are written.

use super::fault::Fault;
use super::front::Standing;
use super::rows::{outcome_columns, sql, state_code, unsigned_at, verb_at};
use super::writer::Writer;
use crate::delivery::{Body, Claim, DeliveryId, DeliveryNumber, Settled, Settlement, State};
use crate::failpoint;
use crate::form::Lane;
use crate::observe::Observation;
use crate::webhook::WebhookId;
use bytes::Bytes;
use rusqlite::{OptionalExtension, params};
use std::collections::VecDeque;

/// How many bytes of bodies are claimed at once (the last body may go beyond).
const CLAIM_BYTES_MAX: usize = 32 << 20;

/// A claim on its way: its tail is read last, and shared where it can be.
struct Candidate {
    claim: Claim,
    bytes: u64,
    event: i64,
}

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
        let mut tails: Vec<(i64, Bytes)> = Vec::new();
        while claims.len() < claims_max && bytes < CLAIM_BYTES_MAX {
            let Some((webhook, left)) = turns.pop_front() else { break };
            if left == 0 || !self.books.find(webhook).is_some_and(super::books::Book::is_served) {
                continue;
            }
            let Some(candidate) = self.claim_next(webhook, now_us)? else { continue };
            let Candidate { mut claim, bytes: claim_bytes, event } = candidate;
            claim.body.tail = self.tail(event, &mut tails)?;
            bytes += claim.body.head.len() + claim.body.tail.len();
            let standing = Standing { lane: claim.lane, bytes: claim_bytes };
            self.fronts.stand(webhook, claim.number.sequence, standing);
            self.claimed_last = Some(webhook);
            turns.push_back((webhook, left - 1));
            claims.push(claim);
        }
        if !claims.is_empty() {
            failpoint::reach("queue.claim.after");
        }
        Ok(claims)
    }

    fn claim_next(&mut self, webhook: WebhookId, now_us: i64) -> Result<Option<Candidate>, Fault> {
        let Some(book) = self.books.find(webhook) else { return Ok(None) };
        let last_sequence = book.next_sequence - 1;
        while let Some(sequence) = self.fronts.next(&self.connection, webhook, last_sequence, now_us)? {
            let number = DeliveryNumber { webhook, sequence };
            let candidate = self
                .connection
                .prepare_cached(sql!("claim"))?
                .query_row(params![webhook.0.cast_signed(), sequence.cast_signed(), now_us], |row| {
                    candidate_of(number, row)
                })
                .optional()?;
            // one whose lane is claimed comes again when that claim ends
            match candidate {
                Some(candidate) if !self.fronts.is_claimed(webhook, candidate.claim.lane) => {
                    return Ok(Some(candidate));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    /// A body's tail; one that was read just now is shared.
    fn tail(&self, event: i64, tails: &mut Vec<(i64, Bytes)>) -> Result<Bytes, Fault> {
        if let Some((_, tail)) = tails.iter().rev().take(16).find(|(known, _)| *known == event) {
            return Ok(tail.clone());
        }
        let tail: Vec<u8> =
            self.connection.prepare_cached(sql!("tail"))?.query_row(params![event], |row| row.get(0))?;
        let tail = Bytes::from(tail);
        tails.push((event, tail.clone()));
        Ok(tail)
    }

    /// Gives back all claims.
    pub(super) fn void_claims(&mut self) {
        self.fronts.void();
        let webhooks: Vec<_> = self.books.iter().map(|(webhook, _)| webhook).collect();
        self.fronts.forget_candidates(webhooks.into_iter());
    }

    /// Ends a claim.
    pub(super) fn settle(&mut self, settled: &Settled) -> Result<(), Fault> {
        failpoint::reach("queue.settle.before");
        let Settled { claim, attempt, settlement, suspend: _ } = settled;
        let DeliveryNumber { webhook, sequence } = claim.number;
        // a claim that was voided meanwhile may stand again with somebody else
        let Some(standing) = self.fronts.end(webhook, sequence) else { return Ok(()) };
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
        let failures = claim.failures + u32::from(state != State::Delivered);
        let changed = self.connection.prepare_cached(sql!("settle"))?.execute(params![
            webhook.0.cast_signed(),
            sequence.cast_signed(),
            state_code(state),
            due_us,
            now_us,
            failures,
            attempt.number,
        ])?;
        self.keep_books(settled);
        if changed == 0 {
            // given up by an operator meanwhile: it stays so
            let counted = self.connection.prepare_cached(sql!("count_attempt"))?.execute(params![
                webhook.0.cast_signed(),
                sequence.cast_signed(),
                attempt.number,
            ])?;
            if counted > 0 {
                self.insert_attempt(settled)?;
            }
            return self.rouse_lane(webhook, claim.lane);
        }
        self.insert_attempt(settled)?;
        self.books.change(webhook).moves(State::Ready, state, standing.bytes);
        match due_us {
            Some(due_us) => self.fronts.retries(webhook, due_us),
            None if state == State::Blocking => {}
            None => {
                // it held its lane, so nobody else does
                self.promote_next(webhook, claim.lane)?;
                self.open_gates(webhook, sequence)?;
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

fn candidate_of(number: DeliveryNumber, row: &rusqlite::Row<'_>) -> rusqlite::Result<Candidate> {
    let claim = Claim {
        number,
        id: DeliveryId(row.get(0)?),
        attempt: row.get::<_, u32>(4)?.saturating_add(1),
        failures: row.get(3)?,
        replay: row.get(5)?,
        body: Body {
            head: Bytes::from(row.get::<_, Vec<u8>>(7)?),
            tail: Bytes::new(),
            content_type: row.get(12)?,
        },
        form: row.get(8)?,
        verb: verb_at(row, 9)?,
        entry_id: row.get(10)?,
        lane: Lane(unsigned_at(row, 1)?),
        committed_at_us: row.get(11)?,
    };
    Ok(Candidate { claim, bytes: unsigned_at(row, 6)?, event: row.get(2)? })
}
