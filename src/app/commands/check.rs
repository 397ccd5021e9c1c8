//! `walhook check`.

use super::Context;
use crate::app::failure::{Exit, Failure};

/// Looks for everything that is wrong.
pub async fn perform(_context: &Context) -> Result<Exit, Failure> {
    Err(Failure::usage("this build cannot do `check`"))
}
