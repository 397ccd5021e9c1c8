//! Knocks at the doors of endpoints that let nobody in, so that the first delivery does not wait for the next probe
//! when they are back. A knock is a connection that is closed at once: no request, no delivery's attempt, no word to
//! the queue or the log.

use super::courier::{Courier, Door};
use super::health::KNOCK_PAUSE;
use crate::webhook::{Webhook, WebhookId};
use std::collections::{BTreeMap, HashMap};
use std::future::pending;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval_at};

/// How many knocks may be under way at once, over all doors.
const AT_ONCE_MAX: usize = 64;

/// The doors that are knocked at, each by a task of its own: the loop of dispatch is woken by an answer only.
pub(super) struct Knocks {
    courier: Arc<dyn Courier>,
    /// End with their door when it is opened.
    tasks: JoinSet<Door>,
    /// With when the knocks at each begin.
    doors: HashMap<Door, (AbortHandle, Instant)>,
    /// Who waits at which door.
    waiting: BTreeMap<WebhookId, (Arc<Webhook>, Door)>,
    at_once: Arc<Semaphore>,
}

impl Knocks {
    /// Nobody waits yet.
    pub(super) fn new(courier: Arc<dyn Courier>) -> Self {
        Self {
            courier,
            tasks: JoinSet::new(),
            doors: HashMap::new(),
            waiting: BTreeMap::new(),
            at_once: Arc::new(Semaphore::new(AT_ONCE_MAX)),
        }
    }

    /// Knocks for these webhooks, in the order of their numbers, each from a moment on, and for no others. A door for
    /// which there are knocks already has no others, unless these begin earlier.
    pub(super) fn keep_to(&mut self, webhooks: &[(&Arc<Webhook>, Instant)]) {
        // as it mostly is, while others keep the loop busy
        let is_as_before = webhooks.len() == self.waiting.len()
            && webhooks.iter().zip(self.waiting.values()).all(|((new, _), (old, _))| Arc::ptr_eq(new, old));
        if is_as_before {
            return;
        }
        let now = Instant::now();
        let mut before = std::mem::take(&mut self.waiting);
        for &(webhook, from) in webhooks {
            let known = before.remove(&webhook.id).filter(|(known, _)| Arc::ptr_eq(known, webhook));
            let (_, door) = known.unwrap_or_else(|| (Arc::clone(webhook), self.courier.door(webhook)));
            if self.doors.get(&door).is_none_or(|(_, begin)| *begin > from.max(now)) {
                self.begin(door.clone(), Arc::clone(webhook), from);
            }
            self.waiting.insert(webhook.id, (Arc::clone(webhook), door));
        }
        let waiting = &self.waiting;
        self.doors.retain(|door, (task, _)| {
            let is_wanted = waiting.values().any(|(_, wanted)| wanted == door);
            if !is_wanted {
                task.abort();
            }
            is_wanted
        });
    }

    fn begin(&mut self, door: Door, webhook: Arc<Webhook>, from: Instant) {
        let (courier, at_once) = (Arc::clone(&self.courier), Arc::clone(&self.at_once));
        let knocked_at = door.clone();
        let task = self.tasks.spawn(async move {
            let mut pauses = interval_at(from, KNOCK_PAUSE);
            pauses.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                pauses.tick().await;
                // it is never closed
                let _permit = at_once.acquire().await;
                if courier.knock(&webhook).await {
                    return knocked_at;
                }
            }
        });
        if let Some((later, _)) = self.doors.insert(door, (task, from)) {
            later.abort();
        }
    }

    /// Waits until a knock is answered, for ever if there are none. Returns who waited at that door; it is not
    /// knocked at any more. May be dropped.
    pub(super) async fn answered(&mut self) -> Vec<WebhookId> {
        while let Some(ended) = self.tasks.join_next().await {
            match ended {
                Ok(door) => {
                    if let Some((task, _)) = self.doors.remove(&door) {
                        // it is another one, if they were given up and begun anew since the answer
                        task.abort();
                    }
                    let waiting = std::mem::take(&mut self.waiting);
                    let (opened, others) =
                        waiting.into_iter().partition(|(_, (_, waited_at))| *waited_at == door);
                    self.waiting = others;
                    return BTreeMap::into_keys(opened).collect();
                }
                // nobody waits there any more
                Err(error) if error.is_cancelled() => {}
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        pending().await
    }
}
