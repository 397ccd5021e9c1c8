//! Upkeep: removes what has been finished for long enough, and answers registrations.

mod registrations;

pub use registrations::{Error as RegistrationsError, Registrations, drop_deleted};

use crate::clock::Clock;
use crate::queue::{EndedBefore, Error, Queue};
use crate::webhook::Webhooks;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The pause between two rounds.
pub const PAUSE: Duration = Duration::from_secs(3600);

/// The pause between two steps of a round: dispatch and capture want the queue, too.
const STEP_PAUSE: Duration = Duration::from_millis(20);

/// The task that purges.
pub struct Upkeep {
    /// What is kept up.
    pub queue: Arc<dyn Queue>,
    /// The time of day.
    pub clock: Clock,
    /// How long finished deliveries are kept.
    pub retention: Duration,
    /// The webhooks: some keep theirs for a time of their own.
    pub webhooks: watch::Receiver<Arc<Webhooks>>,
    /// The pause between two rounds.
    pub pause: Duration,
}

impl Upkeep {
    /// Purges at once and then in every pause, until the shutdown. Ends with an error if the queue fails;
    /// then it is to be started anew.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), Error> {
        loop {
            let pause = if self.step().await? == 0 { self.pause } else { STEP_PAUSE };
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    /// One bounded step; returns how many deliveries went.
    async fn step(&self) -> Result<u64, Error> {
        let now_us = self.clock.now_us();
        let before = |retention: Duration| {
            now_us.saturating_sub(i64::try_from(retention.as_micros()).unwrap_or(i64::MAX))
        };
        let webhooks = Arc::clone(&self.webhooks.borrow());
        let of = webhooks.iter().filter_map(|webhook| Some((webhook.id, before(webhook.retention?))));
        let before = EndedBefore { us: before(self.retention), of: of.collect() };
        self.queue.purge_each(before).await
    }
}
