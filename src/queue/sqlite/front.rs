//! The fronts: for each webhook, what may be claimed next, as far as memory knows it.
//!
//! Nothing here is the truth. A front holds candidates; a claim reads the delivery itself and passes over what
//! is no longer due. So a front may hold too much, and may be thrown away and read anew at any time, but a
//! delivery that is due must be in it or behind its cursor.

use super::fault::Fault;
use super::rows::sql;
use crate::form::Lane;
use crate::webhook::WebhookId;
use rusqlite::{Connection, params};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

/// How many candidates are read at once.
const READ_AHEAD: usize = 256;
/// How many candidates a front keeps at most before it reads anew.
const CANDIDATES_MAX: usize = 4096;
/// After so many fresh deliveries of a webhook, one that is retried has its turn.
const FRESH_PER_RETRY: u8 = 3;

/// What may be claimed next for one webhook.
#[derive(Debug)]
pub(super) struct Front {
    /// Ready deliveries before the cursor.
    ready: BTreeSet<u64>,
    /// Ready deliveries from here on have not been read.
    scan_from: u64,
    /// Whether there are no ready deliveries from the cursor on.
    exhausted: bool,
    /// Retrying deliveries whose pause is over, by due time.
    due: VecDeque<u64>,
    /// Retrying deliveries up to here, by due time and sequence, have been read.
    due_from: (i64, u64),
    /// When the next pause ends, of those not read.
    next_due_us: Option<i64>,
    /// Fresh deliveries since the last that was retried.
    fresh: u8,
}

impl Front {
    fn new() -> Self {
        Self {
            ready: BTreeSet::new(),
            scan_from: 1,
            exhausted: false,
            due: VecDeque::new(),
            due_from: (i64::MIN, 0),
            next_due_us: Some(i64::MIN),
            fresh: 0,
        }
    }

    /// Whether there may be something to claim that waits for no time.
    fn is_hot(&self) -> bool {
        !self.ready.is_empty() || !self.exhausted || !self.due.is_empty()
    }

    fn is_due(&self, now_us: i64) -> bool {
        !self.due.is_empty() || self.next_due_us.is_some_and(|due_us| due_us <= now_us)
    }

    /// The next candidate.
    fn next(
        &mut self,
        connection: &Connection,
        webhook: WebhookId,
        last_sequence: u64,
        now_us: i64,
    ) -> Result<Option<u64>, Fault> {
        if self.ready.is_empty() && !self.exhausted {
            self.read_ready(connection, webhook, last_sequence)?;
        }
        if self.due.is_empty() && self.is_due(now_us) {
            self.read_due(connection, webhook, now_us)?;
        }
        let retry_first = self.fresh >= FRESH_PER_RETRY || self.ready.is_empty();
        if retry_first && let Some(sequence) = self.due.pop_front() {
            self.fresh = 0;
            return Ok(Some(sequence));
        }
        self.fresh = self.fresh.saturating_add(1);
        Ok(self.ready.pop_first())
    }

    fn read_ready(
        &mut self,
        connection: &Connection,
        webhook: WebhookId,
        last_sequence: u64,
    ) -> Result<(), Fault> {
        let mut statement = connection.prepare_cached(sql!("scan_ready"))?;
        let (from, to) = (self.scan_from.cast_signed(), last_sequence.cast_signed());
        let mut rows = statement.query(params![webhook.0.cast_signed(), from, to, READ_AHEAD as i64])?;
        let mut last = None;
        let mut count = 0;
        while let Some(row) = rows.next()? {
            let sequence = row.get::<_, i64>(0)?.cast_unsigned();
            self.ready.insert(sequence);
            last = Some(sequence);
            count += 1;
        }
        self.exhausted = count < READ_AHEAD;
        self.scan_from = match last {
            Some(last) if !self.exhausted => last + 1,
            _ => last_sequence + 1,
        };
        Ok(())
    }

    fn read_due(&mut self, connection: &Connection, webhook: WebhookId, now_us: i64) -> Result<(), Fault> {
        let mut statement = connection.prepare_cached(sql!("scan_due"))?;
        let (due_us, sequence) = self.due_from;
        let mut rows = statement.query(params![
            webhook.0.cast_signed(),
            due_us,
            sequence.cast_signed(),
            READ_AHEAD as i64
        ])?;
        self.next_due_us = None;
        while let Some(row) = rows.next()? {
            let (due_us, sequence) = (row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned());
            // what lies behind the last one read is read when these are gone
            self.next_due_us = Some(due_us);
            if due_us > now_us {
                break;
            }
            self.due.push_back(sequence);
            self.due_from = (due_us, sequence);
        }
        Ok(())
    }
}

/// A claim that stands.
#[derive(Clone, Debug)]
pub(super) struct Standing {
    pub(super) lane: Lane,
    /// What its body takes.
    pub(super) bytes: u64,
}

/// All fronts, and the claims that stand.
#[derive(Debug, Default)]
pub(super) struct Fronts {
    by_webhook: BTreeMap<WebhookId, Front>,
    claims: HashMap<(WebhookId, u64), Standing>,
    lanes: HashSet<(WebhookId, Lane)>,
    /// The claims made since the last commit.
    fresh: Vec<(WebhookId, u64)>,
    /// Whether something may have become claimable since this was last asked.
    roused: bool,
}

impl Fronts {
    fn front(&mut self, webhook: WebhookId) -> &mut Front {
        self.by_webhook.entry(webhook).or_insert_with(Front::new)
    }

    /// Forgets the candidates, so that they are read anew.
    pub(super) fn forget_candidates(&mut self, webhooks: impl Iterator<Item = WebhookId>) {
        self.by_webhook = webhooks.map(|webhook| (webhook, Front::new())).collect();
        self.roused = true;
    }

    /// A published delivery became ready.
    pub(super) fn became_ready(&mut self, webhook: WebhookId, sequence: u64) {
        let front = self.front(webhook);
        if front.exhausted || sequence < front.scan_from {
            if front.ready.len() < CANDIDATES_MAX {
                front.ready.insert(sequence);
                front.scan_from = front.scan_from.max(sequence + 1);
            } else {
                front.ready.clear();
                front.scan_from = 1;
                front.exhausted = false;
            }
        }
        self.roused = true;
    }

    /// There are ready deliveries beyond the cursor.
    pub(super) fn has_more(&mut self, webhook: WebhookId) {
        self.front(webhook).exhausted = false;
        self.roused = true;
    }

    /// A delivery is to be tried again.
    pub(super) fn retries(&mut self, webhook: WebhookId, due_us: i64) {
        let front = self.front(webhook);
        front.next_due_us = Some(front.next_due_us.map_or(due_us, |next_us| next_us.min(due_us)));
        if due_us <= front.due_from.0 {
            // the clock went back, or there was no pause
            front.due_from = (due_us - 1, 0);
        }
    }

    /// The next candidate of a webhook, which need not be due any more.
    pub(super) fn next(
        &mut self,
        connection: &Connection,
        webhook: WebhookId,
        last_sequence: u64,
        now_us: i64,
    ) -> Result<Option<u64>, Fault> {
        loop {
            let next = self.front(webhook).next(connection, webhook, last_sequence, now_us)?;
            match next {
                Some(sequence) if self.claims.contains_key(&(webhook, sequence)) => {}
                next => return Ok(next),
            }
        }
    }

    /// Whether a delivery of the lane is claimed.
    pub(super) fn is_claimed(&self, webhook: WebhookId, lane: Lane) -> bool {
        self.lanes.contains(&(webhook, lane))
    }

    /// A claim stands from now on.
    pub(super) fn stand(&mut self, webhook: WebhookId, sequence: u64, standing: Standing) {
        self.lanes.insert((webhook, standing.lane));
        self.claims.insert((webhook, sequence), standing);
        self.fresh.push((webhook, sequence));
    }

    /// A claim ends; none if it does not stand any more.
    pub(super) fn end(&mut self, webhook: WebhookId, sequence: u64) -> Option<Standing> {
        let standing = self.claims.remove(&(webhook, sequence))?;
        self.lanes.remove(&(webhook, standing.lane));
        Some(standing)
    }

    /// The claims made since the last commit are given out.
    pub(super) fn keep_fresh(&mut self) {
        self.fresh.clear();
    }

    /// The claims made since the last commit are not given out: the transaction was undone.
    pub(super) fn end_fresh(&mut self) {
        for (webhook, sequence) in std::mem::take(&mut self.fresh) {
            self.end(webhook, sequence);
        }
    }

    /// Ends all claims.
    pub(super) fn void(&mut self) {
        self.claims.clear();
        self.lanes.clear();
        self.fresh.clear();
    }

    /// Notes that there may be something to claim.
    pub(super) fn rouse(&mut self) {
        self.roused = true;
    }

    /// Whether something may have become claimable since this was last asked.
    pub(super) fn take_roused(&mut self) -> bool {
        std::mem::take(&mut self.roused)
    }

    /// From when on there may be something to claim for a webhook, as far as is known now.
    pub(super) fn hot_from_us(&self, webhook: WebhookId) -> Option<i64> {
        let front = self.by_webhook.get(&webhook)?;
        if front.is_hot() { Some(i64::MIN) } else { front.next_due_us }
    }
}
