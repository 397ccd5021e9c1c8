//! How a queue is kept, and where it works.

use crate::clock::Clock;
use crate::observe::Observers;
use crate::queue::Error;
use std::sync::Arc;
use std::time::Duration;

/// Where a queue works.
#[derive(Clone, Default)]
pub enum Workplace {
    /// On threads of its own, beside the runtime.
    #[default]
    Threads,
    /// On the runtime it is opened in, between other tasks, which wait for it: so everything happens in an order
    /// that a simulation can repeat. The function says how long the next transaction or read takes.
    Runtime(Arc<dyn Fn() -> Duration + Send + Sync>),
}

impl Workplace {
    /// Does what waits for the disk, where it holds nobody up.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce() -> Result<T, Error> + Send + 'static,
    ) -> Result<T, Error> {
        if let Self::Runtime(pace) = self {
            tokio::time::sleep(pace()).await;
            return work();
        }
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            Err(error) => Err(Error::Storage { action, source: Box::new(error) }),
        }
    }
}

/// How a queue is kept.
#[derive(Clone)]
pub struct Options {
    /// How much the file may hold, in bytes, without space that can be used again. Its write-ahead log, 64 MiB
    /// at rest, comes on top.
    pub bytes_max: u64,
    /// Who is told that it fills or overflows.
    pub observers: Observers,
    /// How many deliveries that are not finished memory knows of, near enough: those beyond stay in the file until there
    /// is room. Each takes some 70 bytes.
    pub known_max: usize,
    /// The clock that pauses are measured by; tests turn it.
    pub clock: Clock,
    /// Where it works.
    pub workplace: Workplace,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            bytes_max: 10 << 30,
            observers: Observers::default(),
            known_max: 400_000,
            clock: Clock::system(),
            workplace: Workplace::default(),
        }
    }
}
