//! `walhook demo`.

use super::Context;
use crate::app::cli::Demo;
use crate::app::failure::{Exit, Failure};

/// Shows everything on a throwaway PostgreSQL.
pub async fn perform(_context: &Context, _arguments: &Demo) -> Result<Exit, Failure> {
    Err(Failure::usage("this build cannot do `demo`"))
}
