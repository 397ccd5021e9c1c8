//! `walhook resume`.

use super::Context;
use crate::app::cli::Resume;
use crate::app::failure::{Exit, Failure};

/// Goes on after a gap that the operator accepts.
#[allow(clippy::unused_async, reason = "the wiring awaits")]
pub async fn perform(_context: &Context, _arguments: &Resume) -> Result<Exit, Failure> {
    Err(Failure::usage("this build cannot do `resume`"))
}
