//! `walhook setup`.

use super::Context;
use crate::app::cli::Setup;
use crate::app::failure::{Exit, Failure};

/// Prints what the database needs, or does it.
pub async fn perform(_context: &Context, _arguments: &Setup) -> Result<Exit, Failure> {
    Err(Failure::usage("this build cannot do `setup`"))
}
