//! What is needed on the database: role, grants, publications. The slot is made by `run`.

use super::facts::{Facts, Oid, Role, Table};
use super::finding::{Finding, Severity};
use super::names::fill;
use super::plan::{Plan, Step};
use super::{Error, Needs, happenings, publications, registration};
use crate::form::Form;
use std::collections::BTreeSet;

const CREATE_ROLE: &str = include_str!("../../sql/setup/create_role.sql");
const ALTER_ROLE: &str = include_str!("../../sql/setup/alter_role.sql");
const GRANT_RDS: &str = include_str!("../../sql/setup/grant_rds_replication.sql");
const GRANT_CONNECT: &str = include_str!("../../sql/setup/grant_connect.sql");
const GRANT_USAGE: &str = include_str!("../../sql/setup/grant_usage.sql");
const GRANT_SELECT: &str = include_str!("../../sql/setup/grant_select.sql");
const REPLICA_IDENTITY_FULL: &str = include_str!("../../sql/setup/replica_identity_full.sql");

/// What the operator asked for beyond the usual.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Create the role that `run` logs in as, if there is none.
    pub create_role: bool,
    /// Forms whose tables get `REPLICA IDENTITY FULL`: the only thing that alters a table.
    pub replica_identity_full: Vec<String>,
    /// Make the table that webhooks are registered in at run time.
    pub registration: bool,
}

/// The statements that are still missing. An empty plan means that the database is ready.
pub fn plan(facts: &Facts, needs: &Needs, options: &Options) -> Result<Plan, Error> {
    if facts.server.in_recovery {
        return Err(Error::Standby);
    }
    let mut plan = Plan::default();
    plan.remarks.extend(wal_level(facts));
    plan.steps.extend(role_step(facts, options, &mut plan.remarks));
    let role_missing = facts.role.is_none() && plan.steps.iter().all(|step| step.refused.is_some());
    if facts.role.is_some() || options.create_role {
        plan.steps.extend(grants(facts).into_iter().map(|step| {
            let waits = role_missing.then(|| "the role has to be there first".into());
            Step { refused: step.refused.or(waits), ..step }
        }));
    }
    let full = identities(facts, needs, options, &mut plan)?;
    plan.steps.extend(publications::steps(facts, &full));
    plan.steps.extend(registration::steps(facts, options));
    for (number, form) in needs.forms.iter().enumerate() {
        let finding = super::forms::unusable(facts, number, form);
        plan.remarks.extend(finding.map(|finding| Finding { mend: None, ..finding }));
        plan.remarks.extend(facts.table_of(number).and_then(|table| not_altered(facts, form, table, &full)));
    }
    Ok(plan)
}

/// Not a step: it takes a restart of the server, which only its administrator can choose the time of.
fn wal_level(facts: &Facts) -> Option<Finding> {
    let level = &facts.server.wal_level;
    (level != "logical").then(|| {
        let what = format!(
            "is {level}; run needs logical: alter system set wal_level = logical; and a restart of the server"
        );
        Finding::new(Severity::Error, "wal_level", what)
    })
}

fn role_step(facts: &Facts, options: &Options, remarks: &mut Vec<Finding>) -> Option<Step> {
    let object = format!("role {:?}", facts.role_name);
    let Some(role) = &facts.role else {
        if !options.create_role {
            remarks.push(Finding::new(Severity::Error, object, "does not exist; --create-role makes it"));
            return None;
        }
        return Some(Step {
            object,
            lack: "does not exist".into(),
            severity: Severity::Error,
            purpose: format!("have a role that may read the log, and nothing else: {}", facts.role_quoted),
            sql: create_role_sql(facts),
            cost: Some(
                "it has no password yet: set one with \\password in psql, or log in by certificate".into(),
            ),
            alters_table: false,
            refused: (!facts.me.superuser)
                .then(|| "only a superuser may give the replication attribute everywhere".into()),
        });
    };
    replication_step(facts, role, object)
}

/// The statement that makes the role.
pub(super) fn create_role_sql(facts: &Facts) -> String {
    fill(CREATE_ROLE, &[("role", &facts.role_quoted)])
}

/// The statement that lets the role stream the log, if it may not yet.
pub(super) fn replication_step(facts: &Facts, role: &Role, object: String) -> Option<Step> {
    if role.may_replicate() && role.login {
        return None;
    }
    let on_rds = role.rds_replication.is_some() && role.login;
    let template = if on_rds { GRANT_RDS } else { ALTER_ROLE };
    let administers = facts.me.superuser || on_rds && facts.me.may_create_roles;
    Some(Step {
        object,
        lack: if role.login { "may not read the log (no replication attribute)" } else { "may not log in" }
            .into(),
        severity: Severity::Error,
        purpose: "let the role read the log".into(),
        sql: fill(template, &[("role", &role.quoted)]),
        cost: Some("it can read every change of every database of this server then".into()),
        alters_table: false,
        refused: (!administers)
            .then(|| "only a superuser may give the replication attribute everywhere".into()),
    })
}

/// Reading the log needs no privilege on any table: only the door and the names have to be open, and the tables that others
/// refer to, which are looked up.
pub(super) fn grants(facts: &Facts) -> Vec<Step> {
    let object = format!("role {:?}", facts.role_name);
    let mut steps = Vec::new();
    if facts.role.as_ref().is_some_and(|role| !role.superuser && !role.may_connect) {
        let values = [("database", facts.server.database_quoted.as_str()), ("role", &facts.role_quoted)];
        steps.push(Step {
            object: object.clone(),
            lack: format!("may not connect to database {:?}", facts.server.database),
            severity: Severity::Error,
            purpose: "let the role into the database".into(),
            sql: fill(GRANT_CONNECT, &values),
            cost: None,
            alters_table: false,
            refused: (!facts.me.owns_database && !facts.me.superuser)
                .then(|| format!("only the owner of database {:?} may do this", facts.server.database)),
        });
    }
    let mut schemas = BTreeSet::new();
    for table in facts.mapped().chain(facts.files()) {
        if table.role_sees_schema || !schemas.insert(&table.schema) {
            continue;
        }
        let values = [("schema", table.schema_quoted.as_str()), ("role", &facts.role_quoted)];
        steps.push(Step {
            object: object.clone(),
            lack: format!("may not look up tables by name in schema {}", table.schema_quoted),
            severity: Severity::Error,
            purpose: format!(
                "let the role look up tables of schema {} by name; this opens no rows",
                table.schema_quoted
            ),
            sql: fill(GRANT_USAGE, &values),
            cost: None,
            alters_table: false,
            refused: (!table.may_grant_schema)
                .then(|| format!("only the owner of schema {} may do this", table.schema_quoted)),
        });
    }
    // where it cannot be published nothing comes that could refer to it
    let looked_up = facts.looked_up().filter(|table| table.unpublishable().is_none());
    let looked_up = looked_up.map(|table| {
        let why = "where the log has not told of a row that others refer to, it is looked up there";
        (table, why, "look up rows of", " that others refer to")
    });
    let files =
        facts.files().map(|table| (table, "the bytes of attachments are there", "read attachments in", ""));
    for (table, why, what, which) in looked_up.chain(files).filter(|(table, ..)| !table.role_reads) {
        let values = [("table", table.quoted.as_str()), ("role", &facts.role_quoted)];
        steps.push(Step {
            object: object.clone(),
            lack: format!("may not read {}: {why}", table.quoted),
            severity: Severity::Error,
            purpose: format!("let the role {what} {}{which}", table.quoted),
            sql: fill(GRANT_SELECT, &values),
            cost: Some("it can read all rows of that table then".into()),
            alters_table: false,
            refused: (!table.may_grant)
                .then(|| format!("only the owner of {} ({}) may do this", table.quoted, table.owner)),
        });
    }
    steps
}

/// The tables that the operator wants to have `REPLICA IDENTITY FULL`; returns those that will have it.
fn identities(
    facts: &Facts,
    needs: &Needs,
    options: &Options,
    plan: &mut Plan,
) -> Result<BTreeSet<Oid>, Error> {
    let mut full = BTreeSet::new();
    for name in &options.replica_identity_full {
        let number = needs
            .forms
            .iter()
            .position(|form| form.name == *name)
            .ok_or_else(|| Error::NoSuchForm(name.clone()))?;
        let Some(table) = facts.table_of(number).filter(|table| table.unpublishable().is_none()) else {
            continue;
        };
        let all_full = table.is_full() && table.other_identity.is_empty();
        if all_full || full.contains(&table.oid) {
            continue;
        }
        if !table.would_be_safe_with_full(facts.server.version_num) {
            let why = if table.has_generated && facts.server.version_num >= 180_000 {
                "has generated columns: with identity FULL this server would refuse its updates and deletes"
            } else {
                "is partitioned without a primary key: partitions to come would not inherit the identity, and \
                 their updates and deletes would fail"
            };
            plan.remarks.push(Finding::new(
                Severity::Warning,
                format!("form {name:?}"),
                format!("{} {why}", table.quoted),
            ));
            continue;
        }
        full.insert(table.oid);
        plan.steps.push(full_step(table));
    }
    Ok(full)
}

/// What the operator loses by not altering a table, and what altering it would take.
fn not_altered(facts: &Facts, form: &Form, table: &Table, full: &BTreeSet<Oid>) -> Option<Finding> {
    let all_full = table.is_full() && table.other_identity.is_empty();
    let possible = table.would_be_safe_with_full(facts.server.version_num);
    if all_full || full.contains(&table.oid) || table.unpublishable().is_some() || !possible {
        return None;
    }
    if table.is_safe() && !happenings::wants_old_values(form) {
        return None;
    }
    let (severity, loss) = if table.is_safe() {
        (Severity::Note, "has old values in the log only for its key")
    } else {
        (Severity::Warning, "has no replica identity, so only its inserts are published")
    };
    let step = full_step(table);
    let what = format!(
        "{} {loss}; --replica-identity-full {:?} would execute: {}; cost: {}",
        table.quoted,
        form.name,
        step.sql.replace('\n', " "),
        step.cost.unwrap_or_default()
    );
    Some(Finding::new(severity, format!("form {:?}", form.name), what))
}

/// `REPLICA IDENTITY FULL` for a table and all its partitions.
pub(super) fn full_step(table: &Table) -> Step {
    let statements: Vec<String> = if table.is_full() { &table.other_identity } else { &table.tree }
        .iter()
        .map(|name| fill(REPLICA_IDENTITY_FULL, &[("table", name)]))
        .collect();
    Step {
        object: table.quoted.clone(),
        lack: "has old values in the log only for its key".into(),
        severity: Severity::Note,
        purpose: format!("have all old values of {} in the log", table.quoted),
        sql: statements.join(";\n"),
        cost: Some(full_cost(table) + "; a short exclusive lock"),
        alters_table: true,
        refused: (!table.mine).then(|| {
            format!("only the owner of {} ({}) or a superuser may do this", table.quoted, table.owner)
        }),
    }
}

/// What `REPLICA IDENTITY FULL` costs, in words.
pub(super) fn full_cost(table: &Table) -> String {
    let size = match table.row_bytes {
        Some(bytes) if bytes > 0 => format!(", about {bytes} bytes more for each"),
        _ => String::new(),
    };
    format!("every update and delete writes the whole old row to the WAL as well{size}")
}
