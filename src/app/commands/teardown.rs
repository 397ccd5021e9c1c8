//! `walhook teardown`.

use super::{Context, database};
use crate::app::cli::Teardown;
use crate::app::failure::{Exit, Failure};
use crate::doctor::facts::Facts;
use crate::doctor::teardown;

/// Prints what removes walhook from the database, or does it. Ends with 1 where something is left for an
/// administrator.
pub async fn perform(context: &Context, arguments: &Teardown) -> Result<Exit, Failure> {
    let config = context.load()?;
    let role = database::role(&config, arguments.role.as_ref())?;
    let needs = database::needs(&config, role.as_ref());
    let session = database::log_in(&config, arguments.database_url.as_ref()).await?;
    let facts = Facts::gather(&session, &needs).await.map_err(Failure::of)?;
    let options = teardown::Options { drop_role: arguments.drop_role };
    let plan = teardown::plan(&facts, &needs, &options).map_err(Failure::of)?;
    database::follow(context, &session, &needs, &plan, arguments.apply).await
}
