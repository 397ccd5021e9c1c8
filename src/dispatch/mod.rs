//! Dispatch: sends what the queue holds, in order per entry, and tells the queue what became of it.
//!
//! It keeps nothing that is not in the queue, so it may be dropped at any moment and started anew: claims that
//! were under way are void then, and their deliveries due again.

mod books;
mod courier;
mod health;
mod knock;
mod rate;
mod signed;
mod tokens;

pub use courier::{Courier, Door, HttpCourier};

use crate::clock::Clock;
use crate::delivery::{Attempt, Claim, Outcome, Settled};
use crate::failpoint;
use crate::observe::{Observation, Observers};
use crate::queue::{Answer, Error, Queue};
use crate::retry::{self, Meaning, Refusals};
use crate::webhook::{Webhook, WebhookId, Webhooks};
use books::Books;
use health::Turn;
use knock::Knocks;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

/// So many attempts that have ended are settled at once: each settlement costs an fsync, and with one for every few
/// attempts these cost more than the attempts. What is not settled is sent again after a crash.
const SETTLED_TOGETHER: usize = 48;

/// How long after a settlement has begun the next one may wait for company.
const SETTLEMENTS_APART: Duration = Duration::from_micros(1500);

/// The limits of dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How many attempts may be under way at once, over all webhooks.
    pub in_flight_max: usize,
    /// How much their bodies may take, in bytes; a single body may be larger.
    pub in_flight_bytes_max: usize,
    /// How long attempts may go on after the shutdown has begun.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { in_flight_max: 1024, in_flight_bytes_max: 32 << 20, grace: Duration::from_secs(10) }
    }
}

/// The task that sends.
pub struct Dispatch {
    /// Where the deliveries are.
    pub queue: Arc<dyn Queue>,
    /// The webhooks as registered now. Deliveries of others are not claimed.
    pub webhooks: watch::Receiver<Arc<Webhooks>>,
    /// Who makes the attempts.
    pub courier: Arc<dyn Courier>,
    /// Who listens.
    pub observers: Observers,
    /// The time of day.
    pub clock: Clock,
    /// The limits.
    pub limits: Limits,
    /// Gives a number from 0 to below 1 for each attempt, by which retries are spread; a simulation gives its own.
    pub jitter: fn() -> f64,
}

impl Dispatch {
    /// Sends until the shutdown, then waits for the attempts under way, but not beyond the grace period.
    /// Ends with an error if the queue fails; then it is to be started anew.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), Error> {
        self.queue.void_claims().await?;
        let mut webhooks = self.webhooks.clone();
        let mut round = Round::new(self);
        round.books.take_over(&webhooks.borrow_and_update().clone(), Instant::now());
        round.books.recall(&self.queue.webhooks().await?);
        loop {
            round.claim().await?;
            let now = Instant::now();
            if round.is_time_to_settle(now) {
                round.settle(now);
            }
            round.knocks.keep_to(&round.books.shut(now));
            let wakes_at = round.books.opens_at(now).into_iter().chain(round.settles_at()).min();
            let has_room = round.books.room() > 0;
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                // before progress, of which there can always be some: who switches a webhook off means now
                () = wait_for_webhooks(&mut webhooks) => {
                    round.books.take_over(&webhooks.borrow_and_update().clone(), Instant::now());
                }
                progress = round.progress() => round.note(progress?).await?,
                () = wait_until(wakes_at) => {}
                () = self.queue.due(), if has_room => {}
            }
        }
        round.finish(Instant::now() + self.limits.grace).await
    }
}

/// Returns when there is a new version; never, if there will be none.
async fn wait_for_webhooks(webhooks: &mut watch::Receiver<Arc<Webhooks>>) {
    if webhooks.changed().await.is_err() {
        pending::<()>().await;
    }
}

async fn wait_until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => pending().await,
    }
}

/// One run of dispatch.
struct Round<'a> {
    dispatch: &'a Dispatch,
    books: Books,
    attempts: JoinSet<Ended>,
    knocks: Knocks,
    /// Attempts that have ended and are not being settled yet.
    ended: Vec<(Settled, Told)>,
    /// The settling under way.
    settling: Option<Answer<'a, ()>>,
    /// When the next one begins at the latest, if there is something to settle.
    settles_at: Instant,
    /// What is told, and which bodies are let go, when it is done.
    told: Vec<Told>,
}

/// An attempt that has ended.
struct Ended {
    claim: Claim,
    webhook: Arc<Webhook>,
    probe: bool,
    /// Whether nobody let it in.
    shut: bool,
    started_at_us: i64,
    duration: Duration,
    outcome: Outcome,
}

/// What is to be told of an attempt once it is on disk.
struct Told {
    webhook: WebhookId,
    body_bytes: usize,
    observation: Observation,
}

/// What a round waits for.
enum Progress {
    Ended(Box<Ended>),
    Settled,
    /// A knock for these was answered.
    Answered(Vec<WebhookId>),
}

impl<'a> Round<'a> {
    fn new(dispatch: &'a Dispatch) -> Self {
        let Limits { in_flight_max, in_flight_bytes_max, .. } = dispatch.limits;
        Self {
            dispatch,
            books: Books::new(in_flight_max, in_flight_bytes_max),
            attempts: JoinSet::new(),
            knocks: Knocks::new(Arc::clone(&dispatch.courier)),
            ended: Vec::new(),
            settling: None,
            settles_at: Instant::now(),
            told: Vec::new(),
        }
    }

    /// Claims what there is room for, and begins the attempts. Half of the room at a time, for the fair shares
    /// grow smaller as it is taken.
    async fn claim(&mut self) -> Result<(), Error> {
        loop {
            let now = Instant::now();
            let claims_max = self.books.room().div_ceil(2);
            if claims_max == 0 {
                return Ok(());
            }
            self.books.ask();
            let books = &self.books;
            let allowance = |webhook| books.allowance(webhook, now);
            let claims = self.dispatch.queue.claim(claims_max, &allowance).await?;
            let had_more = claims.len() == claims_max;
            for claim in claims {
                self.begin(claim, now);
            }
            if !had_more {
                return Ok(());
            }
        }
    }

    fn begin(&mut self, claim: Claim, now: Instant) {
        let start = self.books.start(&claim, now);
        let courier = Arc::clone(&self.dispatch.courier);
        let started_at_us = self.dispatch.clock.now_us();
        self.attempts.spawn(async move {
            let begin = Instant::now();
            let outcome = courier.attempt(&start.webhook, &claim, started_at_us).await;
            let duration = begin.elapsed();
            let books::Start { webhook, probe } = start;
            let shut = !outcome.is_success() && courier.is_shut(&webhook);
            Ended { claim, webhook, probe, shut, started_at_us, duration, outcome }
        });
    }

    /// Whether no more attempts should be waited for that could be settled together with those that have ended.
    fn is_time_to_settle(&self, now: Instant) -> bool {
        let enough = self.attempts.is_empty() || self.ended.len() >= SETTLED_TOGETHER;
        enough || self.settles_at().is_some_and(|settles_at| settles_at <= now)
    }

    /// When to settle although few attempts have ended; never, if there is nothing to settle or it has begun.
    fn settles_at(&self) -> Option<Instant> {
        (self.settling.is_none() && !self.ended.is_empty()).then_some(self.settles_at)
    }

    /// Begins to settle what has ended, all in one, if nothing is being settled.
    fn settle(&mut self, now: Instant) {
        if self.settling.is_none() && !self.ended.is_empty() {
            self.settles_at = now + SETTLEMENTS_APART;
            let (settled, told) = self.ended.drain(..).unzip();
            self.told = told;
            self.settling = Some(self.dispatch.queue.settle(settled));
        }
    }

    /// Waits until an attempt has ended, a settling is done or a knock answered; for ever, if nothing is under way.
    /// May be dropped.
    async fn progress(&mut self) -> Result<Progress, Error> {
        let settling = async {
            match &mut self.settling {
                Some(settling) => settling.await,
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            settled = settling => {
                self.settling = None;
                settled.map(|()| Progress::Settled)
            }
            Some(ended) = self.attempts.join_next() => Ok(Progress::Ended(Box::new(unpanicked(ended)))),
            webhooks = self.knocks.answered() => Ok(Progress::Answered(webhooks)),
        }
    }

    /// Takes note of a progress, and of all attempts that have ended meanwhile.
    async fn note(&mut self, progress: Progress) -> Result<(), Error> {
        let (now, now_us) = (Instant::now(), self.dispatch.clock.now_us());
        match progress {
            Progress::Ended(ended) => self.judge(*ended, now, now_us).await?,
            Progress::Settled => {
                failpoint::reach("dispatch.settled");
                for told in self.told.drain(..) {
                    self.books.settle(told.webhook, told.body_bytes);
                    self.dispatch.observers.tell(told.observation);
                }
            }
            Progress::Answered(webhooks) => {
                for webhook in webhooks {
                    self.books.open(webhook, now);
                }
            }
        }
        while let Some(ended) = self.attempts.try_join_next() {
            self.judge(unpanicked(ended), now, now_us).await?;
        }
        Ok(())
    }

    /// Decides what becomes of a delivery. `now` by the monotonic clock, `now_us` in microseconds since 1970 UTC.
    async fn judge(&mut self, ended: Ended, now: Instant, now_us: i64) -> Result<(), Error> {
        let Ended { claim, webhook, probe, shut, started_at_us, duration, outcome } = ended;
        self.books.watch_clock(now, now_us);
        let random = (self.dispatch.jitter)();
        let decide = |books: &Books| {
            let run = books.failure_run(webhook.id, now_us);
            retry::decide(&webhook, &outcome, claim.failures, run, random)
        };
        let meaning = Meaning::of(&outcome, Refusals::of(&webhook));
        let mut decision = decide(&self.books);
        if decision.suspend.is_some() && meaning != Meaning::Gone {
            // somebody may have enabled the webhook meanwhile, and the failures count from there
            self.books.recall(&self.dispatch.queue.webhooks().await?);
            decision = decide(&self.books);
        }
        match self.books.end(&claim, meaning, probe, shut, now, now_us) {
            Some(Turn::Died) => self.dispatch.observers.tell(Observation::EndpointProbed {
                webhook: webhook.name.clone(),
                failures: self.books.failures(webhook.id),
                outcome: without_excerpt(&outcome),
            }),
            Some(Turn::Recovered) => {
                let recovered = Observation::EndpointRecovered { webhook: webhook.name.clone() };
                self.dispatch.observers.tell(recovered);
            }
            None => {}
        }
        let since_commit_us = u64::try_from(now_us.saturating_sub(claim.committed_at_us)).unwrap_or(0);
        let observation = Observation::Attempted {
            number: claim.number,
            webhook: webhook.name.clone(),
            form: claim.form.clone(),
            verb: claim.verb,
            entry_id: claim.entry_id.clone(),
            attempt: claim.attempt,
            outcome: without_excerpt(&outcome),
            settlement: decision.settlement,
            duration,
            since_commit: Duration::from_micros(since_commit_us),
        };
        let told = Told { webhook: webhook.id, body_bytes: books::size_of(&claim), observation };
        let attempt = Attempt { number: claim.attempt, started_at_us, duration, outcome };
        let retry::Decision { settlement, suspend } = decision;
        self.ended.push((Settled { claim, attempt, settlement, suspend }, told));
        Ok(())
    }

    /// Waits for the attempts under way until the deadline, and settles all that have ended.
    async fn finish(mut self, deadline: Instant) -> Result<(), Error> {
        self.knocks.keep_to(&[]);
        while !self.attempts.is_empty() || self.settling.is_some() || !self.ended.is_empty() {
            self.settle(Instant::now());
            let progress = if self.settling.is_some() {
                self.progress().await
            } else if let Ok(progress) = timeout_at(deadline, self.progress()).await {
                progress
            } else {
                // their claims are void at the next start
                self.attempts.abort_all();
                while let Some(ended) = self.attempts.join_next().await {
                    if !ended.as_ref().is_err_and(JoinError::is_cancelled) {
                        let now_us = self.dispatch.clock.now_us();
                        self.judge(unpanicked(ended), Instant::now(), now_us).await?;
                    }
                }
                continue;
            };
            self.note(progress?).await?;
        }
        Ok(())
    }
}

/// An attempt that panicked is a bug, and not to be caught.
fn unpanicked(ended: Result<Ended, JoinError>) -> Ended {
    ended.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// An outcome as it may be told: what the endpoint wrote can repeat what it was sent.
fn without_excerpt(outcome: &Outcome) -> Outcome {
    match outcome {
        Outcome::Answered { status, retry_after, .. } => {
            Outcome::Answered { status: *status, retry_after: *retry_after, excerpt: String::new() }
        }
        other => other.clone(),
    }
}
