//! The network and the endpoints: requests that are lost on the way, answered late, taken and not answered, refused.

use crate::desk;
use crate::proof::laws::Attempt;
use crate::proof::registered::WISHES;
use crate::proof::world::{HOOKS, is_refused};
use crate::world::{Shared, World};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use walhook::delivery::{Claim, Outcome};
use walhook::dispatch::{Courier, Door};
use walhook::webhook::Webhook;

/// How long walhook waits for an answer.
const TIMEOUT_US: u64 = 2_000_000;

/// How long it takes to be let in, or not to be.
const KNOCK_US: u64 = 300;

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

    fn is_shut(&self, webhook: &Arc<Webhook>) -> bool {
        is_away(&self.world.lock(), webhook.id.0)
    }

    fn door(&self, webhook: &Webhook) -> Door {
        Door(path_of(webhook.id.0).to_owned())
    }

    fn knock<'a>(&'a self, webhook: &'a Webhook) -> BoxFuture<'a, bool> {
        Box::pin(async move {
            sleep(Duration::from_micros(KNOCK_US)).await;
            let mut world = self.world.lock();
            let answered = !is_away(&world, webhook.id.0);
            world.tell(format_args!(
                "knock at {}: {}",
                path_of(webhook.id.0),
                if answered { "let in" } else { "shut" }
            ));
            answered
        })
    }
}

fn path_of(hook: u64) -> &'static str {
    HOOKS.iter().chain(&desk::HOOKS).find(|known| known.id == hook).map_or(WISHES[0].path, |known| known.path)
}

fn is_away(world: &World, hook: u64) -> bool {
    let (path, now_us) = (path_of(hook), world.now_us());
    world.outages.iter().any(|&(away, until_us)| away == path && now_us < until_us)
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
    let answered = |status| Outcome::Answered { status, retry_after: None, excerpt: String::new() };
    let lost = |reason: &str| Outcome::Unreachable { reason: reason.to_owned() };
    let quick_us = 200 + world.fate.below(3000);
    if is_away(world, hook) {
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
