//! What people do: registering, enabling, deleting webhooks; replaying and dropping deliveries.

use super::deliveries::{Found, Window, summaries};
use super::fault::Fault;
use super::index::Effect;
use super::rows::{range_of, sql};
use super::writer::Writer;
use crate::delivery::{DeliveryNumber, State};
use crate::queue::{Filter, WebhookRecord};
use crate::webhook::WebhookId;
use rusqlite::params;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// How many deliveries are replayed or dropped at once: the writer has others to serve.
const SWEEP_STEP: usize = 500;

/// What is done to many deliveries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sweep {
    /// Dead letters become due again.
    Replay,
    /// What is not finished is given up.
    Drop,
}

impl Sweep {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Replay => "replay",
            Self::Drop => "drop deliveries",
        }
    }
}

impl Writer {
    /// Makes webhooks known; those that are missing become orphans.
    pub(super) fn register(&mut self, webhooks: &[WebhookRecord]) {
        let listed: BTreeSet<WebhookId> = webhooks.iter().map(|webhook| webhook.id).collect();
        for webhook in webhooks {
            self.keep_book(webhook);
        }
        let missing = self
            .books
            .iter()
            .filter(|(webhook, book)| !listed.contains(webhook) && !book.deleted && !book.orphaned);
        for webhook in missing.map(|(webhook, _)| webhook).collect::<Vec<_>>() {
            self.books.change(webhook).orphaned = true;
        }
        self.front.lock().index.rouse();
    }

    /// Takes over what a registration says.
    pub(super) fn keep_book(&mut self, webhook: &WebhookRecord) {
        let book = self.books.change(webhook.id);
        book.name.clone_from(&webhook.name);
        book.enabled = webhook.enabled;
        book.backlog_bytes_max = webhook.backlog_bytes_max;
        book.orphaned = false;
        book.deleted = false;
    }

    /// Clears a suspension and a disabling.
    pub(super) fn enable(&mut self, webhook: WebhookId) {
        if self.books.find(webhook).is_some_and(|book| !book.deleted) {
            let book = self.books.change(webhook);
            book.enabled = true;
            if book.suspended {
                book.suspended = false;
                book.failures = 0;
                book.failing_since_us = None;
                book.last_error = None;
            }
            self.front.lock().index.rouse();
        }
    }

    /// Marks a webhook as deleted: nothing of it is claimed any more. Returns the numbers of its last delivery and of
    /// the last event that it holds: those go with it, and not what comes when it is registered anew.
    pub(super) fn mark_deleted(&mut self, webhook: WebhookId) -> Option<(u64, u64)> {
        self.books.find(webhook)?;
        let book = self.books.change(webhook);
        book.deleted = true;
        book.suspended = false;
        book.orphaned = false;
        book.broken = None;
        self.last_of_deleted(webhook)
    }

    /// The numbers of the last delivery and of the last held event of a webhook that is deleted.
    pub(super) fn last_of_deleted(&self, webhook: WebhookId) -> Option<(u64, u64)> {
        let book = self.books.find(webhook).filter(|book| book.deleted)?;
        Some((book.next_sequence - 1, book.next_held - 1))
    }

    /// Replays or drops some of the deliveries that fit, the rest being those that a step before has left. Returns how
    /// many, and what it leaves. What comes between two steps is not meant.
    pub(super) fn sweep(
        &mut self,
        sweep: Sweep,
        webhook: WebhookId,
        filter: &Filter,
        rest: Option<RangeInclusive<u64>>,
    ) -> Result<(u64, Option<RangeInclusive<u64>>), Fault> {
        let Some(book) = self.books.find(webhook) else { return Ok((0, None)) };
        let (from, last) = rest.unwrap_or(1..=book.next_sequence - 1).into_inner();
        let mut ranges = 0;
        if sweep == Sweep::Drop && from <= 1 {
            ranges = self.drop_ranges(webhook, filter)?;
        }
        let mut filter = filter.clone();
        let states: &[State] = match sweep {
            Sweep::Replay => &[State::Blocking, State::Dead],
            Sweep::Drop => &[State::Waiting, State::Ready, State::Retrying, State::Blocking, State::Dead],
        };
        let wanted = |state: &State| filter.states.is_empty() || filter.states.contains(state);
        filter.states = states.iter().copied().filter(wanted).collect();
        if filter.states.is_empty() {
            return Ok((ranges, None));
        }
        // what has ended in this transaction stands in the file before it is read
        self.store_forming()?;
        self.store_ending()?;
        let window = Window::upwards(webhook, from, last, &filter);
        let (found, read_to) = summaries(&self.connection, window, &filter, SWEEP_STEP)?;
        for found in &found {
            match sweep {
                Sweep::Replay => self.replay(found)?,
                Sweep::Drop => self.give_up(found)?,
            }
        }
        let rest = (!window.ends_by(read_to)).then(|| read_to + 1..=last);
        Ok((ranges + found.len() as u64, rest))
    }

    fn replay(&mut self, found: &Found) -> Result<(), Fault> {
        let DeliveryNumber { webhook, sequence } = found.summary.number;
        self.connection.prepare_cached(sql!("replay"))?.execute(params![
            webhook.0.cast_signed(),
            sequence.cast_signed(),
            self.now_us()
        ])?;
        self.books.change(webhook).moves(found.summary.state, State::Waiting, found.bytes);
        let oldest = self.oldest_new.entry(webhook).or_insert(sequence);
        *oldest = sequence.min(*oldest);
        self.touch(webhook, sequence)
    }

    fn give_up(&mut self, found: &Found) -> Result<(), Fault> {
        let DeliveryNumber { webhook, sequence } = found.summary.number;
        self.connection.prepare_cached(sql!("drop"))?.execute(params![
            webhook.0.cast_signed(),
            sequence.cast_signed(),
            found.block.cast_signed(),
            self.now_us()
        ])?;
        self.books.change(webhook).moves(found.summary.state, State::Dropped, found.bytes);
        self.ending.give_up(found.block, webhook, sequence);
        self.touch(webhook, sequence)
    }

    /// Lets the index know what became of a delivery: ours, or that of the process that owns the queue.
    fn touch(&mut self, webhook: WebhookId, sequence: u64) -> Result<(), Fault> {
        if self.owned {
            self.effects.push(Effect::Touched { webhook, sequence });
        } else {
            self.connection
                .prepare_cached(sql!("touch"))?
                .execute(params![webhook.0.cast_signed(), sequence.cast_signed()])?;
        }
        Ok(())
    }

    /// Drops a webhook's dead ranges, where the filter means all of its dead letters.
    fn drop_ranges(&mut self, webhook: WebhookId, filter: &Filter) -> Result<u64, Fault> {
        let all = Filter { webhook: filter.webhook, states: filter.states.clone(), ..Filter::default() };
        if *filter != all || !(filter.states.is_empty() || filter.states.contains(&State::Dead)) {
            return Ok(0);
        }
        let ranges: Vec<_> = self
            .connection
            .prepare_cached(sql!("dead_ranges"))?
            .query_map(params![webhook.0.cast_signed()], range_of)?
            .collect::<Result<_, _>>()?;
        let mut count = 0;
        for mut range in ranges {
            count += range.last - range.first + 1;
            range.state = State::Dropped;
            self.store_range(&range)?;
        }
        if count > 0 {
            let book = self.books.change(webhook);
            book.dead = book.dead.saturating_sub(count);
            book.dropped += count;
        }
        Ok(count)
    }
}
