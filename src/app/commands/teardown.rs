//! `walhook teardown`.

use super::Context;
use crate::app::cli::Teardown;
use crate::app::failure::{Exit, Failure};

/// Prints what removes walhook from the database, or does it.
pub async fn perform(_context: &Context, _arguments: &Teardown) -> Result<Exit, Failure> {
    Err(Failure::usage("this build cannot do `teardown`"))
}
