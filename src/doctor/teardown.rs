//! Removing what `setup` and `run` made: the slot first, for it holds WAL back.

use super::facts::Facts;
use super::finding::{Finding, Severity};
use super::names::{fill, literal};
use super::plan::{Plan, Step};
use super::{Error, Needs, registration};

const DROP_SLOT: &str = include_str!("../../sql/teardown/drop_slot.sql");
const DROP_PUBLICATION: &str = include_str!("../../sql/teardown/drop_publication.sql");
const REVOKE: &str = include_str!("../../sql/teardown/revoke.sql");
const DROP_ROLE: &str = include_str!("../../sql/teardown/drop_role.sql");

/// What the operator asked for beyond the usual.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Remove the role that `run` logs in as, too.
    pub drop_role: bool,
}

/// The statements that remove what is there. Refused while somebody reads the slot.
pub fn plan(facts: &Facts, needs: &Needs, options: &Options) -> Result<Plan, Error> {
    let mut plan = Plan::default();
    if let Some(slot) = &facts.slot {
        if let Some(active_pid) = slot.active_pid {
            return Err(Error::SlotActive { slot: needs.slot.clone(), active_pid });
        }
        plan.steps.push(removal(
            format!("slot {:?}", needs.slot),
            "drop the slot, so that the server keeps no WAL for it".into(),
            fill(DROP_SLOT, &[("slot", &literal(&needs.slot))]),
            Some("changes that walhook has not read yet are lost to it".into()),
            (!facts.me.may_replicate()).then(|| "needs the replication attribute".into()),
        ));
    }
    for publication in &facts.publications {
        let Some(found) = &publication.found else { continue };
        plan.steps.push(removal(
            format!("publication {:?}", publication.name),
            format!("drop publication {}", publication.quoted),
            fill(DROP_PUBLICATION, &[("publication", &publication.quoted)]),
            None,
            (!found.mine).then(|| "only its owner or a superuser may do this".into()),
        ));
    }
    if let Some((sql, refused)) = registration::removal(facts) {
        plan.steps.push(removal(
            "schema walhook".into(),
            "drop the registration table".into(),
            sql,
            Some("the webhooks that are registered in it are lost".into()),
            refused,
        ));
    }
    let drops_role = options.drop_role && facts.role.is_some();
    plan.steps.extend(revocations(facts, drops_role));
    if drops_role {
        plan.steps.push(removal(
            format!("role {}", facts.role_quoted),
            format!("drop role {}", facts.role_quoted),
            fill(DROP_ROLE, &[("role", &facts.role_quoted)]),
            None,
            (!facts.me.superuser && !facts.me.may_create_roles)
                .then(|| "needs the createrole attribute".into()),
        ));
    }
    let full: Vec<&str> =
        facts.mapped().filter(|table| table.is_full()).map(|table| table.quoted.as_str()).collect();
    if !full.is_empty() {
        plan.remarks.push(Finding::new(
            Severity::Note,
            full.join(", "),
            "keeps its replica identity full, which only its owner can judge; back to the usual with: alter \
             table … replica identity default",
        ));
    }
    Ok(plan)
}

/// Takes back what `setup` grants; before the role goes, everything that it was given by name.
fn revocations(facts: &Facts, everything: bool) -> Vec<Step> {
    let granted_by_setup = |grant: &&super::facts::Grant| {
        grant.on == format!("database {}", facts.server.database_quoted) && grant.privilege == "connect"
            || grant.privilege == "usage"
                && facts
                    .mapped()
                    .chain(facts.files())
                    .any(|table| grant.on == format!("schema {}", table.schema_quoted))
            || grant.privilege == "select"
                && facts
                    .looked_up()
                    .chain(facts.files())
                    .any(|table| grant.on == format!("table {}", table.quoted))
    };
    facts
        .grants
        .iter()
        // those go with it
        .filter(|grant| facts.registration.is_none() || !registration::is_of(&grant.on))
        .filter(|grant| everything || granted_by_setup(grant))
        .map(|grant| {
            let values = [
                ("privilege", grant.privilege.as_str()),
                ("object", &grant.on),
                ("role", &facts.role_quoted),
            ];
            removal(
                format!("role {}", facts.role_quoted),
                format!("take back {} on {}", grant.privilege, grant.on),
                fill(REVOKE, &values),
                None,
                (!grant.mine).then(|| "only the owner may do this".into()),
            )
        })
        .collect()
}

fn removal(
    object: String,
    purpose: String,
    sql: String,
    cost: Option<String>,
    refused: Option<String>,
) -> Step {
    Step {
        object,
        lack: String::new(),
        severity: Severity::Note,
        purpose,
        sql,
        cost,
        alters_table: false,
        refused,
    }
}
