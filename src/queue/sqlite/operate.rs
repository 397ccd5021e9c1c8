//! What people do: registering, enabling, deleting webhooks; replaying and dropping deliveries.

use super::fault::Fault;
use super::read::{self, Window};
use super::rows::{range_of, sql, state_code};
use super::writer::Writer;
use crate::delivery::State;
use crate::form::Lane;
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
            let book = self.books.change(webhook.id);
            book.name.clone_from(&webhook.name);
            book.enabled = webhook.enabled;
            book.backlog_bytes_max = webhook.backlog_bytes_max;
            book.orphaned = false;
            book.deleted = false;
        }
        let missing = self
            .books
            .iter()
            .filter(|(webhook, book)| !listed.contains(webhook) && !book.deleted && !book.orphaned);
        for webhook in missing.map(|(webhook, _)| webhook).collect::<Vec<_>>() {
            self.books.change(webhook).orphaned = true;
        }
        for webhook in listed {
            // a webhook that comes back may have deliveries that no front knows
            self.fronts.has_more(webhook);
        }
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
            self.fronts.rouse();
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
        let window = Window::upwards(webhook, from, last, &filter);
        let Some(window) = read::clip(&self.connection, window)? else { return Ok((ranges, None)) };
        let found = read::summaries(&self.connection, window, &filter, SWEEP_STEP)?;
        for found in &found {
            let (sequence, lane) = (found.summary.number.sequence, found.summary.lane);
            match sweep {
                Sweep::Replay => self.replay(webhook, sequence, lane, found.summary.state, found.bytes)?,
                Sweep::Drop => self.give_up(webhook, sequence, lane, found.summary.state, found.bytes)?,
            }
        }
        let next = match found.last() {
            Some(last) if found.len() == SWEEP_STEP => last.summary.number.sequence + 1,
            _ => window.last + 1,
        };
        Ok((ranges + found.len() as u64, (next <= last).then_some(next..=last)))
    }

    fn replay(
        &mut self,
        webhook: WebhookId,
        sequence: u64,
        lane: Lane,
        from: State,
        bytes: u64,
    ) -> Result<(), Fault> {
        self.connection.prepare_cached(sql!("replay"))?.execute(params![
            webhook.0.cast_signed(),
            sequence.cast_signed(),
            self.now_us()
        ])?;
        self.books.change(webhook).moves(from, State::Waiting, bytes);
        self.promote(webhook, lane)
    }

    fn give_up(
        &mut self,
        webhook: WebhookId,
        sequence: u64,
        lane: Lane,
        from: State,
        bytes: u64,
    ) -> Result<(), Fault> {
        self.connection.prepare_cached(sql!("drop"))?.execute(params![
            webhook.0.cast_signed(),
            sequence.cast_signed(),
            self.now_us()
        ])?;
        self.books.change(webhook).moves(from, State::Dropped, bytes);
        self.promote(webhook, lane)?;
        self.open_gates(webhook, sequence)
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

/// The states of a filter as a condition; `d` is the delivery. Numbers only, so that nothing has to be escaped.
pub(super) fn states_condition(states: &[State]) -> String {
    if states.is_empty() {
        return String::new();
    }
    let codes: Vec<String> = states.iter().map(|&state| state_code(state).to_string()).collect();
    format!(" and d.state in ({})", codes.join(", "))
}
