//! The ends of claims, which are written.

use super::arrived::{self, Arrived};
use super::block::Home;
use super::ending::Ending;
use super::fault::Fault;
use super::front;
use super::index::{self, Effect, End};
use super::journal::Ended;
use super::rows::{outcome_columns, sql, state_code};
use super::writer::Writer;
use crate::delivery::{Attempt, DeliveryNumber, Outcome, Settled, Settlement, State};
use crate::failpoint;
use crate::observe::Observation;
use crate::webhook::WebhookId;
use rusqlite::params;

/// How much of memory and disk the ends of claims take, near enough.
pub(super) fn footprint_bytes(settled: &[Settled]) -> usize {
    let answer = |settled: &Settled| match &settled.attempt.outcome {
        Outcome::Answered { excerpt, .. } => excerpt.len(),
        _ => 0,
    };
    settled.iter().map(|settled| 500 + answer(settled)).sum()
}

/// A delivery that was tried.
struct Tried {
    number: DeliveryNumber,
    home: Home,
    has_row: bool,
    /// How many attempts failed before.
    failures: u32,
    body_bytes: u64,
}

impl Writer {
    /// Gives back all claims but those that end with this transaction.
    pub(super) fn void_claims(&mut self) {
        let mut front = self.front.lock();
        let mut claimed = front.index.claimed();
        claimed.retain(|&(webhook, sequence)| !self.ending.is_settled(webhook, sequence));
        front.index.release(claimed);
        front.forget_all();
    }

    /// Ends a claim.
    pub(super) fn settle(&mut self, settled: &Settled) -> Result<(), Fault> {
        failpoint::reach("queue.settle.before");
        let Settled { claim, attempt, settlement, suspend } = settled;
        let DeliveryNumber { webhook, sequence } = claim.number;
        // a claim that was voided meanwhile may stand again with somebody else
        let mut front = self.front.lock();
        let Some((standing, is_given_up)) = front.index.standing(webhook, sequence) else {
            front.forget(webhook, sequence);
            return Ok(());
        };
        drop(front);
        if !self.ending.settle(webhook, sequence) {
            return Ok(());
        }
        self.keep_books(webhook, attempt, *settlement, suspend.as_deref());
        if is_given_up || self.ending.is_given_up(webhook, sequence) {
            self.effects.push(Effect::Settled { webhook, sequence, end: End::GivenUp });
            // by an operator meanwhile: it stays so, unless it is purged already
            let counted = self.connection.prepare_cached(sql!("count_attempt"))?.execute(params![
                webhook.0.cast_signed(),
                sequence.cast_signed(),
                attempt.number,
            ])?;
            return if counted > 0 { self.insert_attempt(claim.number, attempt) } else { Ok(()) };
        }
        let tried = Tried {
            number: claim.number,
            home: standing.home,
            has_row: standing.has_row,
            failures: claim.failures,
            body_bytes: (claim.body.head.len() + claim.body.tail.len()) as u64,
        };
        let end = self.end_attempt(&tried, attempt, *settlement)?;
        self.effects.push(Effect::Settled { webhook, sequence, end });
        failpoint::reach("queue.settle.after");
        Ok(())
    }

    /// Writes that an attempt has ended.
    fn end_attempt(
        &mut self,
        tried: &Tried,
        attempt: &Attempt,
        settlement: Settlement,
    ) -> Result<End, Fault> {
        let DeliveryNumber { webhook, sequence } = tried.number;
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
        self.books.change(webhook).moves(State::Ready, state, tried.body_bytes);
        let arrived = Arrived::new(tried.home.place(), attempt);
        match arrived.filter(|_| state == State::Delivered && !tried.has_row) {
            Some(arrived) => self.ending.arrived(tried.home, arrived),
            None => {
                self.connection.prepare_cached(sql!("settle"))?.execute(params![
                    webhook.0.cast_signed(),
                    sequence.cast_signed(),
                    tried.home.block().cast_signed(),
                    state_code(state),
                    due_us,
                    now_us,
                    tried.failures + u32::from(state != State::Delivered),
                    attempt.number,
                ])?;
                self.insert_attempt(tried.number, attempt)?;
                if state == State::Delivered {
                    self.ending.other(tried.home.block());
                }
            }
        }
        Ok(end)
    }

    /// Takes over what was noted before this process: ends that the database does not know of.
    pub(super) fn take_over(&mut self, noted: Vec<Ended>) -> Result<(), Fault> {
        if noted.is_empty() {
            return Ok(());
        }
        self.execute("begin immediate")?;
        for ended in noted {
            if let Some(tried) = self.tried_as_noted(&ended)? {
                let (attempt, settlement) = ended.into_end();
                self.keep_books(tried.number.webhook, &attempt, settlement, None);
                self.end_attempt(&tried, &attempt, settlement)?;
                self.ending.settle(tried.number.webhook, tried.number.sequence);
            }
        }
        self.store_ending()?;
        self.ending = Ending::default();
        // nothing is in the index yet: no delivery is below where one was before
        self.books.store(&self.connection, |_, book| Some(book.oldest))?;
        self.execute("commit")
    }

    /// The delivery of an attempt that was noted, unless the database knows of its end.
    fn tried_as_noted(&self, ended: &Ended) -> Result<Option<Tried>, Fault> {
        let (number, home) = (ended.number(), ended.home());
        let Some(block) = self.front.lock().shelf.block(&self.connection, home.block())? else {
            return Ok(None);
        };
        let Some((delivery, _)) = block.at(home.place()).filter(|(delivery, _)| delivery.id == ended.id())
        else {
            return Ok(None);
        };
        let body_bytes = block.body_bytes(delivery);
        let lists = arrived::lists(&self.connection, home.block())?;
        if self.ending.is_settled(number.webhook, number.sequence)
            || lists.iter().any(|arrived| arrived.place == home.place())
        {
            return Ok(None);
        }
        let tried = front::tried(&self.connection, number)?;
        let (failures, attempts, _) = tried.unwrap_or(front::UNTRIED);
        let has_ended = tried.is_some() && index::has_ended(&self.connection, number)?;
        let is_next = !has_ended && ended.attempt_number() == attempts + 1;
        Ok(is_next.then_some(Tried { number, home, has_row: tried.is_some(), failures, body_bytes }))
    }

    fn keep_books(
        &mut self,
        webhook: WebhookId,
        attempt: &Attempt,
        settlement: Settlement,
        suspend: Option<&str>,
    ) {
        let book = self.books.change(webhook);
        if settlement == Settlement::Delivered {
            book.failures = 0;
            book.failing_since_us = None;
            book.last_error = None;
        } else {
            book.failures = book.failures.saturating_add(1);
            book.failing_since_us.get_or_insert(attempt.started_at_us);
            book.last_error = Some(attempt.outcome.to_string());
        }
        if let Some(reason) = suspend {
            // attempts that were under way beside it may suspend it once more
            if !book.suspended {
                let webhook = book.name.clone();
                self.to_tell.push(Observation::WebhookSuspended { webhook, reason: reason.to_owned() });
            }
            book.suspended = true;
            book.last_error = Some(reason.to_owned());
        }
    }

    fn insert_attempt(&self, delivery: DeliveryNumber, attempt: &Attempt) -> Result<(), Fault> {
        let (kind, status, retry_after_s, text) = outcome_columns(&attempt.outcome);
        self.connection.prepare_cached(sql!("insert_attempt"))?.execute(params![
            delivery.webhook.0.cast_signed(),
            delivery.sequence.cast_signed(),
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
