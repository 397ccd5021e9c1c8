//! `walhook setup`.

use super::{Context, database};
use crate::app::cli::{Setup, Whom};
use crate::app::failure::{Exit, Failure};
use crate::doctor::facts::Facts;
use crate::doctor::setup;
use crate::doctor::{Needs, handover};
use serde_json::json;

/// Prints what the database needs, as a plan or as one file for its administrator, or does it. Ends with 1 where
/// something was left for an administrator or still stands in the way.
pub async fn perform(context: &Context, arguments: &Setup) -> Result<Exit, Failure> {
    let config = context.load()?;
    let role = database::role(&config, arguments.role.as_ref())?;
    let needs = Needs { registrar: arguments.registrar.clone(), ..database::needs(&config, role.as_ref()) };
    let session = database::log_in(&config, arguments.database_url.as_ref()).await?;
    let facts = Facts::gather(&session, &needs).await.map_err(Failure::of)?;
    let options = setup::Options {
        // whoever gets the file has nobody else to make the role
        create_role: arguments.create_role || arguments.sql_for.is_some(),
        replica_identity_full: arguments.replica_identity_full.clone(),
        registration: arguments.registration,
    };
    let plan = setup::plan(&facts, &needs, &options).map_err(Failure::of)?;
    if let Some(Whom::Dba) = arguments.sql_for {
        let file = handover::to_administrator(&facts, &needs, &plan);
        if context.output.json {
            context.output.json(&json!({ "sql": file }))?;
        } else {
            context.output.text(&file)?;
        }
        return Ok(Exit::Well);
    }
    database::follow(context, &session, &needs, &plan, arguments.apply).await
}
