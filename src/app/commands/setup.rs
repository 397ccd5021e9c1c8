//! `walhook setup`.

use super::{Context, database};
use crate::app::cli::Setup;
use crate::app::failure::{Exit, Failure};
use crate::doctor::Needs;
use crate::doctor::facts::Facts;
use crate::doctor::setup;

/// Prints what the database needs, or does it. Ends with 1 where something was left for an administrator or still
/// stands in the way.
pub async fn perform(context: &Context, arguments: &Setup) -> Result<Exit, Failure> {
    let config = context.load()?;
    let role = database::role(&config, arguments.role.as_ref())?;
    let needs = Needs { registrar: arguments.registrar.clone(), ..database::needs(&config, role.as_ref()) };
    let session = database::log_in(&config, arguments.database_url.as_ref()).await?;
    let facts = Facts::gather(&session, &needs).await.map_err(Failure::of)?;
    let options = setup::Options {
        create_role: arguments.create_role,
        replica_identity_full: arguments.replica_identity_full.clone(),
        registration: arguments.registration,
    };
    let plan = setup::plan(&facts, &needs, &options).map_err(Failure::of)?;
    database::follow(context, &session, &needs, &plan, arguments.apply).await
}
