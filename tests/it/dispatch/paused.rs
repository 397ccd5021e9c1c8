//! The loop in virtual time: hours pass in milliseconds, and everything is counted.

use super::{MemoryQueue, Running, webhook};
use crate::receiver::Random;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, advance, sleep};
use walhook::clock::Clock;
use walhook::delivery::{Claim, Outcome, Settlement};
use walhook::dispatch::{Courier, Door, Limits};
use walhook::retry::Schedule;
use walhook::upkeep::Upkeep;
use walhook::webhook::{OnExhausted, Webhook};

const URL: &str = "http://receiver.example/";

/// Does what a script says, and writes down what was attempted.
struct Scripted<F> {
    script: F,
    log: Mutex<Vec<Attempted>>,
    busy: Mutex<BTreeMap<u64, (usize, usize)>>,
}

#[derive(Clone, Debug)]
struct Attempted {
    webhook: u64,
    sequence: u64,
    lane: u64,
    begin: Instant,
    success: bool,
}

type Doing = (Duration, Outcome);

impl<F: Fn(&Claim) -> Doing + Send + Sync> Scripted<F> {
    fn new(script: F) -> Arc<Self> {
        Arc::new(Self { script, log: Mutex::default(), busy: Mutex::default() })
    }

    fn log(&self, webhook: u64) -> Vec<Attempted> {
        let log = self.log.lock().unwrap();
        log.iter().filter(|attempted| attempted.webhook == webhook).cloned().collect()
    }

    /// The most attempts of a webhook that were under way at once.
    fn busy_most(&self, webhook: u64) -> usize {
        self.busy.lock().unwrap()[&webhook].1
    }
}

impl<F: Fn(&Claim) -> Doing + Send + Sync> Courier for Scripted<F> {
    fn attempt<'a>(&'a self, webhook: &'a Arc<Webhook>, claim: &'a Claim, _: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            assert_eq!(webhook.id, claim.number.webhook);
            let id = webhook.id.0;
            {
                let mut busy = self.busy.lock().unwrap();
                let (now, most) = busy.entry(id).or_default();
                *now += 1;
                *most = (*most).max(*now);
            }
            let (pause, outcome) = (self.script)(claim);
            let begin = Instant::now();
            self.log.lock().unwrap().push(Attempted {
                webhook: id,
                sequence: claim.number.sequence,
                lane: claim.lane.0,
                begin,
                success: outcome.is_success(),
            });
            sleep(pause).await;
            self.busy.lock().unwrap().entry(id).and_modify(|(now, _)| *now -= 1);
            outcome
        })
    }

    /// These endpoints let everybody in; of others tells `knock`.
    fn is_shut(&self, _: &Arc<Webhook>) -> bool {
        false
    }

    fn door(&self, webhook: &Webhook) -> Door {
        Door(webhook.name.clone())
    }

    fn knock<'a>(&'a self, _: &'a Webhook) -> BoxFuture<'a, bool> {
        panic!("nobody was kept out")
    }
}

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

fn answered(status: u16) -> Outcome {
    Outcome::Answered { status, retry_after: None, excerpt: String::new() }
}

fn refused_connection() -> Outcome {
    Outcome::Unreachable { reason: "connection refused".into() }
}

/// A clock that goes with tokio's time.
fn clock() -> Clock {
    let begin = Instant::now();
    Clock::new(move || 1_700_000_000_000_000 + begin.elapsed().as_micros() as i64)
}

// R-CG-23 R-NA-04
#[tokio::test(start_paused = true)]
async fn entries_keep_their_order_through_failures_and_go_in_parallel() {
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, (0..2000).map(|number| number * 7 % 50));
    let random = Mutex::new(Random(42));
    let courier = Scripted::new(move |_| {
        let mut random = random.lock().unwrap();
        (ms(5 + random.below(20)), if random.below(10) == 0 { answered(503) } else { answered(200) })
    });
    let running = Running::start(Arc::clone(&queue), vec![webhook(1, URL)], courier.clone(), clock());
    queue.wait_until(|queue| queue.delivered(1) == 2000).await;
    let mut reached: BTreeMap<u64, u64> = BTreeMap::new();
    for attempted in courier.log(1) {
        let last = reached.entry(attempted.lane).or_default();
        assert!(attempted.sequence > *last, "lane {}: {} after {last}", attempted.lane, attempted.sequence);
        if attempted.success {
            *last = attempted.sequence;
        }
    }
    assert_eq!(courier.busy_most(1), 16);
    let attempts: usize = queue.deliveries(1).iter().map(|delivery| delivery.attempts.len()).sum();
    assert_eq!(attempts, courier.log(1).len());
    assert_eq!(running.ears.settlements().len(), attempts);
    running.stop().await.unwrap();
}

// R-NA-04
#[tokio::test(start_paused = true)]
async fn a_poisoned_entry_blocks_only_itself() {
    for (on_exhausted, later_are_delivered) in [(OnExhausted::Skip, true), (OnExhausted::Block, false)] {
        let queue = Arc::new(MemoryQueue::default());
        queue.fill(1, (0..100).map(|number| number % 10));
        let courier =
            Scripted::new(|claim| (ms(5), answered(if claim.number.sequence == 4 { 500 } else { 200 })));
        let mut hook = webhook(1, URL);
        hook.sending.on_exhausted = on_exhausted;
        hook.sending.schedule = Schedule { pauses: vec![Duration::from_secs(5); 3] };
        let begin = Instant::now();
        let running = Running::start(Arc::clone(&queue), vec![hook], courier.clone(), clock());
        queue.wait_until(|queue| queue.delivered(1) == 90).await;
        assert!(begin.elapsed() < Duration::from_secs(1), "the others waited {:?}", begin.elapsed());
        queue.wait_until(|queue| queue.deliveries(1)[3].end.is_some()).await;
        assert_eq!(queue.deliveries(1)[3].attempts.len(), 4);
        sleep(Duration::from_secs(60)).await;
        assert_eq!(queue.delivered(1), if later_are_delivered { 99 } else { 90 });
        running.stop().await.unwrap();
    }
}

/// Sends 1,500 deliveries to a quick endpoint beside another one, and returns how long that took.
async fn beside(script: impl Fn(&Claim) -> Doing + Send + Sync + 'static) -> Duration {
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(2, 0..600);
    queue.fill(1, 0..1500);
    let courier = Scripted::new(move |claim: &Claim| match claim.number.webhook.0 {
        1 => (ms(10), answered(200)),
        _ => script(claim),
    });
    let begin = Instant::now();
    let hooks = vec![webhook(1, URL), webhook(2, URL)];
    let running = Running::start(Arc::clone(&queue), hooks, courier.clone(), clock());
    queue.wait_until(|queue| queue.delivered(1) == 1500).await;
    let elapsed = begin.elapsed();
    running.stop().await.unwrap();
    elapsed
}

#[tokio::test(start_paused = true)]
async fn others_do_not_feel_a_dead_or_hanging_endpoint() {
    let alone = beside(|_| (ms(10), answered(200))).await;
    let dead = beside(|_| (ms(1), refused_connection())).await;
    let hanging = beside(|_| (Duration::from_secs(15), Outcome::TimedOut)).await;
    assert!(dead <= alone.mul_f64(1.05), "{dead:?} beside a dead endpoint, {alone:?} without");
    assert!(hanging <= alone.mul_f64(1.05), "{hanging:?} beside a hanging endpoint, {alone:?} without");
}

#[tokio::test(start_paused = true)]
async fn many_hanging_endpoints_leave_slots_for_others() {
    let queue = Arc::new(MemoryQueue::default());
    let hooks: Vec<_> = (0..30).map(|id| webhook(id, URL)).collect();
    (1..30).for_each(|id| queue.fill(id, 0..20));
    let courier = Scripted::new(|claim| match claim.number.webhook.0 {
        0 => (ms(10), answered(200)),
        _ => (Duration::from_secs(3600), Outcome::TimedOut),
    });
    let limits = Limits { in_flight_max: 64, ..Limits::default() };
    let running = Running::start_with(Arc::clone(&queue), hooks, courier.clone(), clock(), limits);
    sleep(Duration::from_secs(1)).await;
    let begin = Instant::now();
    queue.fill(0, 0..100);
    queue.wait_until(|queue| queue.delivered(0) == 100).await;
    assert!(begin.elapsed() <= Duration::from_secs(2), "{:?}", begin.elapsed());
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_is_probed_and_recovers() {
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, 0..500);
    let begin = Instant::now();
    let revival = begin + Duration::from_secs(600);
    let courier = Scripted::new(move |_| {
        let alive = Instant::now() >= revival;
        (ms(10), if alive { answered(200) } else { refused_connection() })
    });
    let running = Running::start(Arc::clone(&queue), vec![webhook(1, URL)], courier.clone(), clock());
    queue.wait_until(|queue| queue.delivered(1) == 500).await;
    let log = courier.log(1);
    let probes: Vec<_> = log.iter().filter(|attempted| !attempted.success).collect();
    // 16 at once; then after 1, 2, 4, 8, 16 and every 30 seconds until ten minutes are over
    let expected = 16 + 5 + (600 - 31) / 30;
    assert!((expected - 2..=expected + 2).contains(&probes.len()), "{} instead of {expected}", probes.len());
    for pair in probes[16..].windows(2) {
        assert!(pair[1].begin - pair[0].begin >= Duration::from_secs(1), "two probes at once");
    }
    assert_eq!(running.ears.turns(), ["hook 1 died: connection refused", "hook 1 recovered"]);
    let first = log.iter().find(|attempted| attempted.success).unwrap();
    assert!(first.begin <= revival + Duration::from_secs(30));
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_rate_is_kept() {
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, 0..101);
    let courier = Scripted::new(|_| (ms(1), answered(200)));
    let mut hook = webhook(1, URL);
    hook.sending.per_second_max = Some(10);
    let begin = Instant::now();
    let running = Running::start(Arc::clone(&queue), vec![hook], courier.clone(), clock());
    queue.wait_until(|queue| queue.delivered(1) == 101).await;
    let elapsed = begin.elapsed();
    assert!((ms(9_900)..ms(10_500)).contains(&elapsed), "{elapsed:?}");
    let log = courier.log(1);
    for (number, first) in log.iter().enumerate() {
        let within = log[number..].iter().take_while(|other| other.begin < first.begin + ms(1000)).count();
        assert!(within <= 11, "{within} attempts in a second");
    }
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_idle_loop_sleeps() {
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, 0..20);
    let courier = Scripted::new(|_| (ms(10), refused_connection()));
    let running = Running::start(Arc::clone(&queue), vec![webhook(1, URL)], courier.clone(), clock());
    sleep(Duration::from_secs(3600)).await;
    let (attempts, claims) = (courier.log(1).len(), queue.claim_calls());
    assert!(claims < 6 * attempts, "{claims} calls of claim for {attempts} attempts");
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn attempts_are_settled_together_while_others_go_on() {
    let queue = Arc::new(MemoryQueue::default());
    queue.settle_pause(ms(10));
    queue.fill(1, 0..1000);
    let courier = Scripted::new(|_| (ms(5), answered(200)));
    let begin = Instant::now();
    let running = Running::start(Arc::clone(&queue), vec![webhook(1, URL)], courier.clone(), clock());
    queue.wait_until(|queue| queue.delivered(1) == 1000).await;
    // 16 every 5 ms take 315 ms; waiting for each of these 63 settlings would take 945 ms
    assert!(begin.elapsed() < ms(400), "{:?}", begin.elapsed());
    assert!(queue.settle_calls() < 40, "{} settlings", queue.settle_calls());
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn claims_are_bounded_while_settling_hangs() {
    let queue = Arc::new(MemoryQueue::default());
    queue.settle_pause(Duration::from_secs(3600));
    queue.fill(1, 0..1000);
    let courier = Scripted::new(|_| (ms(5), answered(200)));
    let limits = Limits { in_flight_max: 64, ..Limits::default() };
    let running =
        Running::start_with(Arc::clone(&queue), vec![webhook(1, URL)], courier.clone(), clock(), limits);
    sleep(Duration::from_secs(60)).await;
    assert_eq!(courier.log(1).len(), 64);
    drop(running);
}

#[tokio::test(start_paused = true)]
async fn when_settling_fails_a_new_start_sends_again() {
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, 0..100);
    queue.fail_settling_after(2);
    let courier = Scripted::new(|_| (ms(5), answered(200)));
    let running = Running::start(Arc::clone(&queue), vec![webhook(1, URL)], courier.clone(), clock());
    running.end().await.unwrap_err();
    assert!(queue.delivered(1) < 100);
    let running = Running::start(Arc::clone(&queue), vec![webhook(1, URL)], courier.clone(), clock());
    queue.wait_until(|queue| queue.delivered(1) == 100).await;
    assert!(courier.log(1).len() > 100);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_shutdown_waits_for_attempts_but_not_for_ever() {
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, 0..20);
    let courier = Scripted::new(|claim| {
        let hangs = claim.number.sequence == 1;
        (if hangs { Duration::from_secs(3600) } else { Duration::from_secs(3) }, answered(200))
    });
    let running = Running::start(Arc::clone(&queue), vec![webhook(1, URL)], courier.clone(), clock());
    sleep(ms(100)).await;
    let begin = Instant::now();
    running.stop().await.unwrap();
    assert_eq!(begin.elapsed(), Limits::default().grace);
    // those under way arrived, the hanging one did not, and no further ones were claimed
    assert_eq!(queue.delivered(1), 15);
    assert_eq!(courier.log(1).len(), 16);
    let quick = Scripted::new(|_| (ms(5), answered(200)));
    let running = Running::start(Arc::clone(&queue), vec![webhook(1, URL)], quick.clone(), clock());
    queue.wait_until(|queue| queue.delivered(1) == 20).await;
    assert_eq!(quick.log(1).len(), 5);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_webhook_that_is_gone_or_switched_off_waits() {
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, 0..1000);
    let courier = Scripted::new(|_| (ms(100), answered(200)));
    let running = Running::start(Arc::clone(&queue), vec![webhook(1, URL)], courier.clone(), clock());
    let mut off = webhook(1, URL);
    off.enabled = false;
    for webhooks in [vec![], vec![off]] {
        sleep(ms(250)).await;
        running.register(webhooks);
        sleep(ms(150)).await;
        let attempts = courier.log(1).len();
        sleep(Duration::from_secs(60)).await;
        assert_eq!(courier.log(1).len(), attempts);
        assert_eq!(queue.delivered(1), attempts);
        running.register(vec![webhook(1, URL)]);
    }
    queue.wait_until(|queue| queue.delivered(1) == 1000).await;
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_day_of_failures_suspends_and_enabling_starts_the_count_anew() {
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, 0..60);
    let courier = Scripted::new(|_| (ms(10), answered(503)));
    let mut hook = webhook(1, URL);
    hook.sending.schedule = Schedule { pauses: vec![Duration::from_secs(3600); 1000] };
    let begin = Instant::now();
    let running = Running::start(Arc::clone(&queue), vec![hook], courier.clone(), clock());
    queue.wait_until(|queue| queue.standing(1).suspended.is_some()).await;
    let day = Duration::from_secs(24 * 3600);
    assert!((day..day + Duration::from_secs(600)).contains(&begin.elapsed()), "{:?}", begin.elapsed());
    let attempts = courier.log(1).len();
    sleep(day).await;
    assert_eq!(courier.log(1).len(), attempts);
    queue.enable(1);
    sleep(Duration::from_secs(23 * 3600)).await;
    assert!(queue.standing(1).suspended.is_none());
    assert!(courier.log(1).len() > attempts + 100);
    queue.wait_until(|queue| queue.standing(1).suspended.is_some()).await;
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_delivery_takes_its_schedule_and_becomes_a_dead_letter() {
    let queue = Arc::new(MemoryQueue::default());
    queue.fill(1, [1]);
    let courier = Scripted::new(|_| (ms(10), answered(500)));
    let running = Running::start(Arc::clone(&queue), vec![webhook(1, URL)], courier.clone(), clock());
    queue.wait_until(|queue| queue.deliveries(1)[0].end.is_some()).await;
    let log = courier.log(1);
    let pauses = Schedule::default().pauses;
    assert_eq!(log.len(), pauses.len() + 1);
    for (pair, pause) in log.windows(2).zip(pauses) {
        let waited = pair[1].begin - pair[0].begin;
        assert!(
            (pause.mul_f64(0.8)..=pause.mul_f64(1.2) + ms(20)).contains(&waited),
            "{waited:?} for {pause:?}"
        );
    }
    assert_eq!(queue.deliveries(1)[0].end, Some(Settlement::Dead));
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn upkeep_purges_in_steps_every_hour() {
    let queue = Arc::new(MemoryQueue::default());
    queue.purgeable(250);
    let day_us = 24 * 3600 * 1_000_000;
    let upkeep = Upkeep {
        queue: Arc::clone(&queue) as Arc<dyn walhook::queue::Queue>,
        clock: clock(),
        retention: Duration::from_micros(7 * day_us as u64),
        webhooks: tokio::sync::watch::channel(Arc::default()).1,
        pause: walhook::upkeep::PAUSE,
    };
    let shutdown = tokio_util::sync::CancellationToken::new();
    let mut task = tokio::task::JoinSet::new();
    let token = shutdown.clone();
    task.spawn(async move { upkeep.run(token).await });
    sleep(Duration::from_secs(60)).await;
    assert_eq!(queue.purges().len(), 4);
    assert_eq!(queue.purges()[0], 1_700_000_000_000_000 - 7 * day_us);
    advance(Duration::from_secs(3600)).await;
    queue.wait_until(|queue| queue.purges().len() == 5).await;
    shutdown.cancel();
    task.join_next().await.unwrap().unwrap().unwrap();
}
