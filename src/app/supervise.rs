//! A task that fails is told of, waited for and started anew; the others go on.

use crate::observe::{Observation, Observers};
use crate::remedy::{Remediable, Remedy};
use std::future::Future;
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;

/// The pause after a first failure; it doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause, and the one where somebody has to act first.
const LONGEST_PAUSE: Duration = Duration::from_secs(15);
/// Who ran so long was well: its next failure is a first one.
const WELL_AFTER: Duration = Duration::from_secs(60);

/// Runs a task until the shutdown, again and again. A task that returns well before the shutdown wants to be
/// started anew at once (its configuration changed). A pause ends early with `news`: what was in the way may be
/// mended.
pub(super) async fn supervise<E, T, N>(
    task: &'static str,
    observers: &Observers,
    shutdown: &CancellationToken,
    news: impl Fn() -> N,
    mut start: impl FnMut() -> T,
) where
    N: Future<Output = ()>,
    E: Remediable,
    T: Future<Output = Result<(), E>>,
{
    let mut pause = FIRST_PAUSE;
    while !shutdown.is_cancelled() {
        let started = Instant::now();
        let Err(error) = start().await else { continue };
        if started.elapsed() > WELL_AFTER {
            pause = FIRST_PAUSE;
        }
        let call_operator = error.remedy() == Remedy::CallOperator;
        let retry_in = if call_operator { LONGEST_PAUSE } else { pause };
        pause = (2 * pause).min(LONGEST_PAUSE);
        observers.tell(Observation::TaskFailed {
            task,
            error: with_causes(&error),
            hint: error.hint(),
            call_operator,
            retry_in,
        });
        tokio::select! {
            () = tokio::time::sleep(retry_in) => {}
            () = news() => pause = FIRST_PAUSE,
            () = shutdown.cancelled() => {}
        }
    }
}

/// An error and its causes in one line.
pub(super) fn with_causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
}
