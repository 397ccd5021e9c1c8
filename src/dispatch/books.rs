//! What dispatch knows of the attempts under way: who may have another one, and when.

use super::health::{Health, Turn};
use super::rate::Rate;
use crate::delivery::Claim;
use crate::queue::WebhookStanding;
use crate::retry::{FailureRun, Meaning};
use crate::webhook::{Webhook, WebhookId, Webhooks};
use foldhash::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// What the clock on the wall may move beside the monotonic one before it counts as set, in microseconds.
const CLOCK_STEP_US: i64 = 60_000_000;

/// How many attempts of a webhook may have ended without being settled. After a crash they are made again, and those
/// under way: that many repeats, and no more, however long the disk takes.
const UNSETTLED_MAX: usize = 72;

/// The books of all webhooks.
pub(super) struct Books {
    in_flight_max: usize,
    in_flight_bytes_max: usize,
    /// Claims that are not settled yet, and the size of their bodies.
    claims: usize,
    bytes: usize,
    /// How large a body may be expected to be: the largest of late.
    body_bytes: usize,
    webhooks: HashMap<WebhookId, Book>,
    /// How often the queue was asked for claims.
    askings: u64,
    /// When these books were begun, by the monotonic clock.
    began: Instant,
    /// What the clock on the wall showed then, as far as is known now; it changes when that clock is set.
    began_us: Option<i64>,
}

/// The books of a webhook.
struct Book {
    webhook: Arc<Webhook>,
    /// Whether it is among the webhooks that are registered now.
    registered: bool,
    under_way: usize,
    /// Claims that are not settled yet, be they under way or ended.
    claims: usize,
    rate: Option<Rate>,
    health: Health,
    /// At which asking for claims the queue last had something due for a dead endpoint.
    due_at_asking: AtomicU64,
    /// Failures in a row over all deliveries, and when the first was, in microseconds since 1970 UTC.
    failures: u32,
    failing_since_us: Option<i64>,
    /// How far the clock on the wall was set since then, in microseconds: that much of its time has not passed.
    clock_moved_us: i64,
}

/// An attempt that may begin.
pub(super) struct Start {
    pub(super) webhook: Arc<Webhook>,
    /// Whether it probes an endpoint that seems dead.
    pub(super) probe: bool,
}

impl Books {
    pub(super) fn new(in_flight_max: usize, in_flight_bytes_max: usize) -> Self {
        Self {
            in_flight_max,
            in_flight_bytes_max,
            claims: 0,
            bytes: 0,
            body_bytes: 1,
            webhooks: HashMap::default(),
            askings: 0,
            began: Instant::now(),
            began_us: None,
        }
    }

    /// Notices that the clock on the wall was set. An endpoint that failed for a minute has not failed for a day
    /// because of that, and must not be suspended.
    pub(super) fn watch_clock(&mut self, now: Instant, now_us: i64) {
        let passed_us = i64::try_from(now.duration_since(self.began).as_micros()).unwrap_or(i64::MAX);
        let began_us = now_us.saturating_sub(passed_us);
        let moved_us = began_us.saturating_sub(*self.began_us.get_or_insert(began_us));
        if moved_us.saturating_abs() < CLOCK_STEP_US {
            return;
        }
        self.began_us = Some(began_us);
        for book in self.webhooks.values_mut().filter(|book| book.failing_since_us.is_some()) {
            book.clock_moved_us = book.clock_moved_us.saturating_add(moved_us);
        }
    }

    /// Takes over a new version of the webhooks. A new URL or new credentials deserve a fresh start.
    pub(super) fn take_over(&mut self, webhooks: &Webhooks, now: Instant) {
        self.webhooks.retain(|id, book| {
            book.registered = webhooks.find(*id).is_some();
            book.registered || book.under_way > 0
        });
        for webhook in webhooks.iter() {
            let book = self.webhooks.entry(webhook.id).or_insert_with(|| Book {
                webhook: Arc::clone(webhook),
                registered: true,
                under_way: 0,
                claims: 0,
                rate: None,
                health: Health::default(),
                due_at_asking: AtomicU64::new(0),
                failures: 0,
                failing_since_us: None,
                clock_moved_us: 0,
            });
            if book.webhook.callback != webhook.callback {
                book.health = Health::default();
            }
            let per_second_max = webhook.sending.per_second_max;
            if book.rate.as_ref().map(Rate::per_second_max) != per_second_max.map(|rate| rate.max(1)) {
                book.rate = per_second_max.map(|per_second_max| Rate::new(per_second_max, now));
            }
            book.webhook = Arc::clone(webhook);
        }
    }

    /// Takes over what the queue knows of failures in a row; it also knows when somebody enabled a webhook
    /// again.
    pub(super) fn recall(&mut self, standings: &[WebhookStanding]) {
        for standing in standings {
            if let Some(book) = self.webhooks.get_mut(&standing.id) {
                let begun_anew = |(known, stored): (i64, i64)| stored > known.saturating_add(CLOCK_STEP_US);
                if book.failing_since_us.zip(standing.failing_since_us).is_none_or(begun_anew) {
                    book.clock_moved_us = 0;
                }
                book.failures = standing.failures;
                book.failing_since_us = standing.failing_since_us;
            }
        }
    }

    /// How many claims there may be in addition, over all webhooks.
    pub(super) fn room(&self) -> usize {
        let bytes = self.in_flight_bytes_max.saturating_sub(self.bytes);
        // one body that is larger than everything must go, too
        let by_bytes = (bytes / self.body_bytes).max(usize::from(self.claims == 0));
        self.free().min(by_bytes)
    }

    /// The queue is asked for claims, and asks back for the allowance of each webhook that has something due.
    pub(super) fn ask(&mut self) {
        self.askings += 1;
    }

    /// How many claims a webhook may have in addition.
    pub(super) fn allowance(&self, webhook: WebhookId, now: Instant) -> usize {
        let Some(book) = self.webhooks.get(&webhook).filter(|book| book.is_served()) else { return 0 };
        if book.health.is_probed() {
            book.due_at_asking.store(self.askings, Ordering::Relaxed);
            return usize::from(book.under_way == 0 && book.opens_at(now).is_none());
        }
        // a share is fair while nobody has more than what is left for others: slow endpoints get fewer slots
        // the more of them there are, and never the last ones
        let fair = self.free().saturating_sub(book.under_way).div_ceil(2);
        let in_flight_max = book.webhook.sending.in_flight_max.max(1);
        let own = in_flight_max.saturating_sub(book.under_way);
        let unsettled = in_flight_max.saturating_add(UNSETTLED_MAX).saturating_sub(book.claims);
        let rated = book.rate.as_ref().map_or(usize::MAX, |rate| rate.allowance(now));
        fair.min(own).min(unsettled).min(rated)
    }

    /// When the first of the webhooks that must wait may go on; none if none must.
    pub(super) fn opens_at(&self, now: Instant) -> Option<Instant> {
        self.webhooks.values().filter(|book| book.is_served()).filter_map(|book| book.opens_at(now)).min()
    }

    /// The webhooks whose endpoints are to be knocked at, in their order, each with when that may begin: they have
    /// something to send, and cannot yet.
    pub(super) fn shut(&self, now: Instant) -> Vec<(&Arc<Webhook>, Instant)> {
        let is_due = |book: &Book| book.due_at_asking.load(Ordering::Relaxed) == self.askings;
        let mut shut: Vec<_> = self
            .webhooks
            .values()
            .filter(|book| book.health.is_probed() && book.is_served() && book.under_way == 0 && is_due(book))
            .filter_map(|book| Some((&book.webhook, book.health.knocks_from(now)?)))
            .collect();
        shut.sort_unstable_by_key(|(webhook, _)| webhook.id);
        shut
    }

    /// A knock at a webhook's endpoint was answered.
    pub(super) fn open(&mut self, webhook: WebhookId, now: Instant) {
        if let Some(book) = self.webhooks.get_mut(&webhook) {
            book.health.open(now);
        }
    }

    /// A claim becomes an attempt.
    pub(super) fn start(&mut self, claim: &Claim, now: Instant) -> Start {
        let size = size_of(claim);
        self.claims += 1;
        self.bytes += size;
        self.body_bytes = size.max(self.body_bytes - self.body_bytes / 64).max(1);
        let book = self
            .webhooks
            .get_mut(&claim.number.webhook)
            .expect("the queue claims only for webhooks that have an allowance");
        book.under_way += 1;
        book.claims += 1;
        if let Some(rate) = &mut book.rate {
            rate.start(now);
        }
        Start { webhook: Arc::clone(&book.webhook), probe: book.health.is_probed() }
    }

    /// The failures of a webhook in a row, before the attempt that has just ended.
    pub(super) fn failure_run(&self, webhook: WebhookId, now_us: i64) -> FailureRun {
        let Some(book) = self.webhooks.get(&webhook) else { return FailureRun::default() };
        let since = book.failing_since_us.map(|since_us| since_us.saturating_add(book.clock_moved_us));
        let lasting_us = since.map_or(0, |since_us| now_us.saturating_sub(since_us));
        FailureRun {
            failures: book.failures,
            lasting: Duration::from_micros(u64::try_from(lasting_us).unwrap_or(0)),
        }
    }

    /// An attempt has ended; it found the endpoint shut, or did not.
    pub(super) fn end(
        &mut self,
        claim: &Claim,
        meaning: Meaning,
        was_probe: bool,
        shut: bool,
        now: Instant,
        now_us: i64,
    ) -> Option<Turn> {
        let book = self.webhooks.get_mut(&claim.number.webhook)?;
        book.under_way -= 1;
        if meaning == Meaning::Success {
            book.failures = 0;
            book.failing_since_us = None;
            book.clock_moved_us = 0;
        } else {
            book.failures = book.failures.saturating_add(1);
            book.failing_since_us.get_or_insert(now_us);
        }
        let turn = book.health.learn(meaning, claim.lane, was_probe, shut, now);
        if !book.registered && book.under_way == 0 {
            self.webhooks.remove(&claim.number.webhook);
        }
        turn
    }

    /// How many failures made an endpoint seem dead.
    pub(super) fn failures(&self, webhook: WebhookId) -> u32 {
        self.webhooks.get(&webhook).map_or(0, |book| book.health.failures())
    }

    /// A claim is settled.
    pub(super) fn settle(&mut self, webhook: WebhookId, body_bytes: usize) {
        self.claims -= 1;
        self.bytes -= body_bytes;
        if let Some(book) = self.webhooks.get_mut(&webhook) {
            // it may have been registered anew meanwhile
            book.claims = book.claims.saturating_sub(1);
        }
    }

    fn free(&self) -> usize {
        self.in_flight_max.saturating_sub(self.claims)
    }
}

impl Book {
    /// Whether it is registered and not switched off. The queue knows this as well, but learns it later.
    fn is_served(&self) -> bool {
        self.registered && self.webhook.enabled
    }

    /// When its limits let another attempt start; none if they do now.
    fn opens_at(&self, now: Instant) -> Option<Instant> {
        let rated = self.rate.as_ref().and_then(|rate| rate.opens_at(now));
        rated.max(self.health.opens_at(now))
    }
}

/// The size of a claim's body, in bytes.
pub(super) fn size_of(claim: &Claim) -> usize {
    claim.body.head.len() + claim.body.tail.len()
}

#[cfg(test)]
#[path = "books_tests.rs"]
mod tests;
