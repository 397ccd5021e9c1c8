//! `walhook run`.

use super::Context;
use crate::app::cli::Run;
use crate::app::failure::{Exit, Failure};

/// Reads the log and delivers webhooks, until told to stop.
#[allow(clippy::unused_async, reason = "the wiring awaits")]
pub async fn perform(_context: &Context, _arguments: &Run) -> Result<Exit, Failure> {
    Err(Failure::usage("this build cannot do `run`"))
}
