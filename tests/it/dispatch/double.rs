//! A queue in memory that has what dispatch and upkeep use: order per lane, claims, pauses in tokio's time,
//! which tests can pause.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};
use walhook::delivery::{
    AcceptedGap, Attempt, Batch, Body, Claim, DeliveryId, DeliveryNumber, Quarantined, Settled, Settlement,
    StreamRecord,
};
use walhook::event::Verb;
use walhook::form::BindingRecord;
use walhook::form::Lane;
use walhook::keymap::{KeyRef, KeyRow};
use walhook::lsn::Durable;
use walhook::queue::{
    Answer, DeliveryDetail, DeliveryRef, DeliverySummary, Error, Filter, Queue, SequenceRange, Size,
    StagedChange, StagedEntry, WebhookRecord, WebhookStanding, WebhookState,
};
use walhook::registration::{Registration, Registrations};
use walhook::webhook::WebhookId;

#[derive(Default)]
pub(crate) struct MemoryQueue {
    state: Mutex<State>,
    news: Notify,
    changed: Notify,
}

#[derive(Default)]
struct State {
    deliveries: Vec<Delivery>,
    standings: BTreeMap<WebhookId, Standing>,
    claim_calls: usize,
    settle_calls: usize,
    settle_pause: Duration,
    settles_until_failure: Option<usize>,
    purges: Vec<i64>,
    purgeable: u64,
}

#[derive(Clone, Default)]
pub(crate) struct Standing {
    pub(crate) failures: u32,
    pub(crate) failing_since_us: Option<i64>,
    pub(crate) suspended: Option<String>,
}

#[derive(Clone)]
pub(crate) struct Delivery {
    pub(crate) number: DeliveryNumber,
    pub(crate) lane: Lane,
    pub(crate) body: Body,
    pub(crate) due: Instant,
    pub(crate) failures: u32,
    pub(crate) replay: bool,
    pub(crate) claimed: bool,
    pub(crate) attempts: Vec<Attempt>,
    /// None while it is not finished.
    pub(crate) end: Option<Settlement>,
}

impl MemoryQueue {
    /// Enqueues a delivery for each of the given lanes.
    pub(crate) fn fill(&self, webhook: u64, lanes: impl IntoIterator<Item = u64>) {
        for lane in lanes {
            self.push(webhook, lane, Bytes::from_static(b"{\"head\":1,"), Bytes::from_static(b"\"tail\":2}"));
        }
    }

    pub(crate) fn push(&self, webhook: u64, lane: u64, head: Bytes, tail: Bytes) {
        let mut state = self.state.lock().unwrap();
        let webhook = WebhookId(webhook);
        let sequence =
            state.deliveries.iter().filter(|delivery| delivery.number.webhook == webhook).count() as u64 + 1;
        state.deliveries.push(Delivery {
            number: DeliveryNumber { webhook, sequence },
            lane: Lane(lane),
            body: Body { head, tail, content_type: "application/json".into() },
            due: Instant::now(),
            failures: 0,
            replay: false,
            claimed: false,
            attempts: vec![],
            end: None,
        });
        self.news.notify_one();
    }

    /// Makes a dead letter due again.
    pub(crate) fn replay_one(&self, webhook: u64, sequence: u64) {
        let mut state = self.state.lock().unwrap();
        let number = DeliveryNumber { webhook: WebhookId(webhook), sequence };
        let delivery = state.find(number);
        delivery.end = None;
        delivery.replay = true;
        delivery.failures = 0;
        delivery.due = Instant::now();
        self.news.notify_one();
    }

    pub(crate) fn settle_pause(&self, pause: Duration) {
        self.state.lock().unwrap().settle_pause = pause;
    }

    /// The settling after so many more fails.
    pub(crate) fn fail_settling_after(&self, settles: usize) {
        self.state.lock().unwrap().settles_until_failure = Some(settles);
    }

    pub(crate) fn purgeable(&self, deliveries: u64) {
        self.state.lock().unwrap().purgeable = deliveries;
    }

    /// The times up to which was purged.
    pub(crate) fn purges(&self) -> Vec<i64> {
        self.state.lock().unwrap().purges.clone()
    }

    pub(crate) fn claim_calls(&self) -> usize {
        self.state.lock().unwrap().claim_calls
    }

    pub(crate) fn settle_calls(&self) -> usize {
        self.state.lock().unwrap().settle_calls
    }

    pub(crate) fn standing(&self, webhook: u64) -> Standing {
        self.state.lock().unwrap().standings.get(&WebhookId(webhook)).cloned().unwrap_or_default()
    }

    /// What `enable_webhook` does.
    pub(crate) fn enable(&self, webhook: u64) {
        self.state.lock().unwrap().standings.remove(&WebhookId(webhook));
        self.news.notify_one();
    }

    pub(crate) fn deliveries(&self, webhook: u64) -> Vec<Delivery> {
        let state = self.state.lock().unwrap();
        let all = state.deliveries.iter().filter(|delivery| delivery.number.webhook == WebhookId(webhook));
        all.cloned().collect()
    }

    pub(crate) fn delivered(&self, webhook: u64) -> usize {
        let state = self.state.lock().unwrap();
        let all = state.deliveries.iter().filter(|delivery| delivery.number.webhook == WebhookId(webhook));
        all.filter(|delivery| delivery.end == Some(Settlement::Delivered)).count()
    }

    /// Waits until the deliveries are as they should be.
    pub(crate) async fn wait_until(&self, fits: impl Fn(&Self) -> bool) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if fits(self) {
                return;
            }
            changed.await;
        }
    }
}

impl State {
    fn find(&mut self, number: DeliveryNumber) -> &mut Delivery {
        self.deliveries.iter_mut().find(|delivery| delivery.number == number).unwrap()
    }

    /// The indices of those that can be claimed, round robin over the webhooks.
    fn claimable(&self, now: Instant) -> Vec<usize> {
        let mut seen = std::collections::BTreeSet::new();
        let mut claimable = Vec::new();
        for (index, delivery) in self.deliveries.iter().enumerate() {
            let finished = delivery.end.is_some_and(|end| end != Settlement::Blocking);
            if finished || !seen.insert((delivery.number.webhook, delivery.lane)) {
                continue;
            }
            let suspended = self
                .standings
                .get(&delivery.number.webhook)
                .is_some_and(|standing| standing.suspended.is_some());
            if delivery.end.is_none() && !delivery.claimed && delivery.due <= now && !suspended {
                claimable.push(index);
            }
        }
        let mut turns: BTreeMap<WebhookId, usize> = BTreeMap::new();
        claimable.sort_by_cached_key(|index| {
            let turn = turns.entry(self.deliveries[*index].number.webhook).or_default();
            *turn += 1;
            *turn
        });
        claimable
    }

    fn settle(&mut self, settled: Settled) {
        let Settled { claim, attempt, settlement, suspend } = settled;
        let standing = self.standings.entry(claim.number.webhook).or_default();
        if settlement == Settlement::Delivered {
            *standing = Standing::default();
        } else {
            standing.failures += 1;
            standing.failing_since_us.get_or_insert(attempt.started_at_us);
        }
        if suspend.is_some() {
            standing.suspended = suspend;
        }
        let delivery = self.find(claim.number);
        assert!(delivery.claimed, "{} was settled without a claim", claim.number);
        delivery.claimed = false;
        delivery.attempts.push(attempt);
        match settlement {
            Settlement::Retry { after } => {
                delivery.failures += 1;
                delivery.due = Instant::now() + after;
            }
            end => delivery.end = Some(end),
        }
    }
}

impl Queue for MemoryQueue {
    fn claim<'a>(
        &'a self,
        claims_max: usize,
        allowance: &'a (dyn Fn(WebhookId) -> usize + Send + Sync),
    ) -> Answer<'a, Vec<Claim>> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            state.claim_calls += 1;
            let mut left = BTreeMap::new();
            let mut claims = Vec::new();
            for index in state.claimable(Instant::now()) {
                let delivery = &mut state.deliveries[index];
                let webhook = delivery.number.webhook;
                let left = left.entry(webhook).or_insert_with(|| allowance(webhook));
                if claims.len() == claims_max || *left == 0 {
                    continue;
                }
                *left -= 1;
                delivery.claimed = true;
                claims.push(Claim {
                    number: delivery.number,
                    id: DeliveryId(
                        (u128::from(webhook.0) << 64 | u128::from(delivery.number.sequence)).to_be_bytes(),
                    ),
                    attempt: delivery.attempts.len() as u32 + 1,
                    failures: delivery.failures,
                    replay: delivery.replay,
                    body: delivery.body.clone(),
                    form: "Incident".into(),
                    verb: Verb::Update,
                    entry_id: delivery.lane.0.to_string(),
                    lane: delivery.lane,
                    committed_at_us: 0,
                });
            }
            Ok(claims)
        })
    }

    fn settle(&self, settled: Vec<Settled>) -> Answer<'_, ()> {
        Box::pin(async move {
            let pause = {
                let mut state = self.state.lock().unwrap();
                state.settle_calls += 1;
                if let Some(left) = &mut state.settles_until_failure {
                    if *left == 0 {
                        state.settles_until_failure = None;
                        return Err(Error::Closed);
                    }
                    *left -= 1;
                }
                state.settle_pause
            };
            if !pause.is_zero() {
                sleep(pause).await;
            }
            let mut state = self.state.lock().unwrap();
            for settled in settled {
                state.settle(settled);
            }
            self.news.notify_one();
            self.changed.notify_waiters();
            Ok(())
        })
    }

    fn due(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            let now = Instant::now();
            let next = {
                let state = self.state.lock().unwrap();
                let open =
                    state.deliveries.iter().filter(|delivery| delivery.end.is_none() && !delivery.claimed);
                open.map(|delivery| delivery.due).filter(|due| *due > now).min()
            };
            let pause_over = async {
                match next {
                    Some(next) => sleep_until(next).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.news.notified() => {}
                () = pause_over => {}
            }
        })
    }

    fn void_claims(&self) -> Answer<'_, ()> {
        Box::pin(async move {
            self.state.lock().unwrap().deliveries.iter_mut().for_each(|delivery| delivery.claimed = false);
            Ok(())
        })
    }

    fn webhooks(&self) -> Answer<'_, Vec<WebhookStanding>> {
        Box::pin(async move {
            let state = self.state.lock().unwrap();
            let standings = state.deliveries.iter().map(|delivery| delivery.number.webhook);
            let standings: std::collections::BTreeSet<_> = standings.collect();
            let standings = standings.into_iter().map(|id| {
                let standing = state.standings.get(&id).cloned().unwrap_or_default();
                WebhookStanding {
                    id,
                    name: id.to_string(),
                    state: WebhookState::Enabled,
                    next_sequence: 0,
                    pending: 0,
                    pending_bytes: 0,
                    dead: 0,
                    delivered: 0,
                    dropped: 0,
                    failures: standing.failures,
                    failing_since_us: standing.failing_since_us,
                    last_error: None,
                    oldest_committed_at_us: None,
                    broken: None,
                    held: 0,
                    held_bytes: 0,
                    held_beyond_limit: 0,
                    held_dropped: 0,
                    condition_failures: 0,
                    last_condition_failure: None,
                }
            });
            Ok(standings.collect())
        })
    }

    fn purge_one(&self, _: walhook::queue::Place) -> Answer<'_, bool> {
        not_here()
    }

    fn purge_entry(&self, _: walhook::queue::EntryRef, _: bool) -> Answer<'_, walhook::queue::EntryPurged> {
        not_here()
    }

    fn purge_each(&self, before: walhook::queue::EndedBefore) -> Answer<'_, u64> {
        Box::pin(async move {
            let mut state = self.state.lock().unwrap();
            state.purges.push(before.us);
            let step = state.purgeable.min(100);
            state.purgeable -= step;
            self.changed.notify_waiters();
            Ok(step)
        })
    }

    fn held(&self, _: WebhookId, _: Option<u64>, _: usize) -> Answer<'_, Vec<walhook::delivery::Held>> {
        not_here()
    }

    fn number_held_range(&self, _: walhook::delivery::HeldRef, _: u64) -> Answer<'_, ()> {
        not_here()
    }

    fn mark_broken(&self, _: WebhookId, _: Option<String>) -> Answer<'_, ()> {
        not_here()
    }

    fn drop_held(&self, _: WebhookId) -> Answer<'_, u64> {
        not_here()
    }

    fn stream(&self) -> Answer<'_, Option<StreamRecord>> {
        not_here()
    }

    fn record_stream(&self, _: StreamRecord) -> Answer<'_, ()> {
        not_here()
    }

    fn accept_gap(&self, _: AcceptedGap, _: StreamRecord) -> Answer<'_, ()> {
        not_here()
    }

    fn discard_unfinished(&self) -> Answer<'_, ()> {
        not_here()
    }

    fn enqueue(&self, _: Batch) -> Answer<'_, Option<Durable>> {
        not_here()
    }

    fn stage(&self, _: Vec<StagedChange>) -> Answer<'_, ()> {
        not_here()
    }

    fn staged(&self, _: Option<u64>, _: usize) -> Answer<'_, Vec<StagedEntry>> {
        not_here()
    }

    fn key_row(&self, _: KeyRef) -> Answer<'_, Option<KeyRow>> {
        not_here()
    }

    fn keep_key_tables(&self, _: Vec<u32>) -> Answer<'_, ()> {
        not_here()
    }

    fn bindings(&self) -> Answer<'_, Vec<BindingRecord>> {
        not_here()
    }

    fn record_binding(&self, _: BindingRecord) -> Answer<'_, ()> {
        not_here()
    }

    fn registrations(&self) -> Answer<'_, Registrations> {
        not_here()
    }

    fn load_registrations(&self, _: u32, _: Vec<Registration>) -> Answer<'_, ()> {
        not_here()
    }

    fn register(&self, _: Vec<WebhookRecord>) -> Answer<'_, Vec<WebhookStanding>> {
        not_here()
    }

    fn enable_webhook(&self, _: WebhookId) -> Answer<'_, ()> {
        not_here()
    }

    fn delete_webhook(&self, _: WebhookId) -> Answer<'_, u64> {
        not_here()
    }

    fn drop_deleted(&self, _: WebhookId) -> Answer<'_, Option<u64>> {
        not_here()
    }

    fn deliveries(&self, _: Filter, _: usize) -> Answer<'_, Vec<DeliverySummary>> {
        not_here()
    }

    fn page(
        &self,
        _: Filter,
        _: Option<walhook::queue::Place>,
        _: usize,
    ) -> Answer<'_, walhook::queue::Page> {
        not_here()
    }

    fn delivery(&self, _: DeliveryRef) -> Answer<'_, Option<DeliveryDetail>> {
        not_here()
    }

    fn replay(&self, _: Filter) -> Answer<'_, u64> {
        not_here()
    }

    fn drop_deliveries(&self, _: Filter) -> Answer<'_, u64> {
        not_here()
    }

    fn ranges(&self, _: Option<WebhookId>) -> Answer<'_, Vec<SequenceRange>> {
        not_here()
    }

    fn quarantined(&self) -> Answer<'_, Vec<Quarantined>> {
        not_here()
    }

    fn size(&self) -> Answer<'_, Size> {
        not_here()
    }

    fn backup<'a>(&'a self, _: &'a Path) -> Answer<'a, ()> {
        not_here()
    }
}

fn not_here<'a, T>() -> Answer<'a, T> {
    panic!("dispatch and upkeep do not ask for this")
}
