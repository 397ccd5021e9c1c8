//! placeholder
use super::*;
pub(super) async fn perform(_: &Context, _: &cli::Condition, _: usize) -> Result<Exit, Failure> { todo!() }
