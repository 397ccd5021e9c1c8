//! The network and the endpoints: requests that are lost on the way, answered late, taken and not answered, refused.

use crate::proof::laws::Attempt;
use crate::proof::world::{HOOKS, is_refused};
use crate::world::{Shared, World};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use walhook::delivery::{Claim, Outcome};
use walhook::dispatch::Courier;
use walhook::webhook::Webhook;

/// How long walhook waits for an answer.
const TIMEOUT_US: u64 = 2_000_000;

pub struct Network {
    pub world: Shared,
}

/// What becomes of a request.
struct Fate {
    way_us: u64,
    /// Whether the endpoint takes it.
    accepted: bool,
    outcome: Outcome,
}

impl Courier for Network {
    fn attempt<'a>(&'a self, webhook: &'a Arc<Webhook>, claim: &'a Claim, _: i64) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let hook = webhook.id.0;
            let (number, fate) = {
                let mut world = self.world.lock();
                let fate = fate(&mut world, hook, claim);
                let start = world.now_us();
                let (head, tail) = (&claim.body.head, &claim.body.tail);
                world.attempts.push(Attempt {
                    hook,
                    id: claim.id.to_string(),
                    sequence: claim.number.sequence,
                    replay: claim.replay,
                    body: [&head[..], &tail[..]].concat().into(),
                    start,
                    end: u64::MAX,
                    accepted: false,
                });
                world.tell(format_args!(
                    "request {} attempt {} of {:?}: {} after {} us",
                    claim.number, claim.attempt, claim.entry_id, fate.outcome, fate.way_us
                ));
                (world.attempts.len() - 1, fate)
            };
            let under_way = UnderWay { world: &self.world, number };
            sleep(Duration::from_micros(fate.way_us)).await;
            drop(under_way);
            let mut world = self.world.lock();
            world.attempts[number].accepted = fate.accepted;
            world.tell(format_args!("answer to {}: {}", claim.number, fate.outcome));
            fate.outcome
        })
    }
}

/// A request on its way; it ends with its answer, or when walhook gives it up.
struct UnderWay<'a> {
    world: &'a Shared,
    number: usize,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut world = self.world.lock();
        let now_us = world.now_us();
        world.attempts[self.number].end = now_us;
    }
}

fn fate(world: &mut World, hook: u64, claim: &Claim) -> Fate {
    let now_us = world.now_us();
    let answered = |status| Outcome::Answered { status, retry_after: None, excerpt: String::new() };
    let lost = |reason: &str| Outcome::Unreachable { reason: reason.to_owned() };
    let quick_us = 200 + world.fate.below(3000);
    let path = HOOKS.iter().find(|known| known.id == hook).unwrap().path;
    if world.outages.iter().any(|&(away, until_us)| away == path && now_us < until_us) {
        return Fate { way_us: quick_us, accepted: false, outcome: lost("connection refused") };
    }
    if hook == HOOKS[2].id && is_refused(&claim.entry_id) {
        return Fate { way_us: quick_us, accepted: false, outcome: answered(422) };
    }
    let chance = if world.healed { 999 } else { world.fate.below(1000) };
    let (way_us, accepted, outcome) = match chance {
        0..40 => (quick_us, false, answered(503)),
        40..50 => {
            let retry_after = Some(Duration::from_secs(world.fate.below(3)));
            (quick_us, false, Outcome::Answered { status: 429, retry_after, excerpt: String::new() })
        }
        50..70 => (quick_us, false, lost("connection reset")),
        70..80 => (quick_us, true, lost("connection reset after the request")),
        80..85 => (TIMEOUT_US, true, Outcome::TimedOut),
        85..90 => (TIMEOUT_US, false, Outcome::TimedOut),
        90..150 => (world.fate.below(400_000), true, answered(200)),
        _ => (quick_us, true, answered(204)),
    };
    Fate { way_us, accepted, outcome }
}
