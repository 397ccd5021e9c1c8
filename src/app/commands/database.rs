//! What `check`, `setup` and `teardown` share: the way to the database and what is wanted there.

use super::Context;
use crate::app::config::Config;
use crate::app::failure::{Exit, Failure};
use crate::catalog::Catalog;
use crate::doctor::facts::Facts;
use crate::doctor::plan::{self, StepEnd};
use crate::doctor::{Needs, Plan, inserts_publication};
use crate::postgres::{self, Address, Session};

/// What the configuration wants of the database.
pub(super) fn needs(config: &Config, role: Option<&String>) -> Needs {
    Needs {
        forms: config.forms.clone(),
        slot: config.source.slot.clone(),
        publication: config.source.publication.clone(),
        plugin: config.source.plugin.to_owned(),
        role: role.cloned(),
        registrar: None,
    }
}

/// The role that is meant where none is named: the one that the configuration logs in as, also where somebody
/// else does the work.
pub(super) fn role(config: &Config, named: Option<&String>) -> Result<Option<String>, Failure> {
    if named.is_some() {
        return Ok(named.cloned());
    }
    let address = config.source.address().map_err(Failure::of)?;
    Ok(Some(address.user().to_owned()))
}

/// The forms and their tables as the database describes them now.
pub(super) async fn catalog(config: &Config) -> Result<Catalog, Failure> {
    let address = config.source.address().map_err(Failure::of)?;
    let publication = &config.source.publication;
    let publications = [publication.clone(), inserts_publication(publication)];
    Catalog::open(&address, config.forms.clone(), &publications, Vec::new()).await.map_err(Failure::of)
}

/// Logs in: with another address where the operator gave one.
pub(super) async fn log_in(config: &Config, other: Option<&String>) -> Result<Session, Failure> {
    let address = match other {
        Some(url) => Address::parse(url).map_err(Failure::of)?,
        None => config.source.address().map_err(Failure::of)?,
    };
    postgres::connect(&address, "walhook setup").await.map_err(Failure::of)
}

/// Prints a plan, or does it.
pub(super) async fn follow(
    context: &Context,
    session: &Session,
    needs: &Needs,
    plan: &Plan,
    apply: bool,
) -> Result<Exit, Failure> {
    if !apply {
        if context.output.json {
            context.output.json(&plan.to_json())?;
        } else {
            context.output.text(&plan.to_string())?;
            if !plan.is_empty() {
                context.output.note("nothing was done; --apply does it");
            }
        }
        return Ok(Exit::Well);
    }
    let mut ends = Vec::new();
    let applied = plan::apply(session, plan, |step, end| {
        let word = match end {
            StepEnd::Done => "done",
            StepEnd::Left => "left",
        };
        context.output.note(&format!("{word}: {}", step.purpose));
        ends.push((step.clone(), end));
    })
    .await;
    applied.map_err(Failure::of)?;
    let left: Vec<_> =
        ends.into_iter().filter(|(_, end)| *end == StepEnd::Left).map(|(step, _)| step).collect();
    let exit = if left.is_empty() && !plan.has_errors() { Exit::Well } else { Exit::No };
    let rest = Plan { steps: left, remarks: plan.remarks.clone() };
    if context.output.json {
        // what a program wants to know is what is still to be done
        context.output.json(&rest.to_json())?;
    } else if !rest.steps.is_empty() || !rest.remarks.is_empty() {
        context.output.text(&rest.to_string())?;
    } else {
        let database = &Facts::gather(session, needs).await.map_err(Failure::of)?.server.database;
        context.output.text(&format!("database {database:?} is as it should be"))?;
    }
    Ok(exit)
}
