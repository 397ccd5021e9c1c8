//! The registration table: a schema of walhook's own, made where the operator says so.

use super::facts::{Facts, Oid, PublicationFacts};
use super::finding::{Finding, Mend, Severity};
use super::names::fill;
use super::plan::Step;
use super::publications;
use super::setup::Options;
use crate::registration::Registrations;
use crate::registry::Row;
use crate::webhook::WebhookId;
use serde::Deserialize;
use std::collections::BTreeSet;

const CREATE: &str = include_str!("../../sql/registration.sql");
const GRANT: &str = include_str!("../../sql/setup/registration_grants.sql");
const GRANT_REGISTRAR: &str = include_str!("../../sql/setup/registrar_grants.sql");
const ANNOUNCE: &str = include_str!("../../sql/setup/announce_registrations.sql");
const PUBLISH: &str = include_str!("../../sql/setup/publish_registration.sql");
const DROP: &str = include_str!("../../sql/teardown/drop_registration.sql");

/// How many webhooks a finding names.
const NAMED_MAX: usize = 10;

const OBJECT: &str = "registration table walhook.webhook";

/// The table as it was found.
#[derive(Clone, Debug, Deserialize)]
pub struct RegistrationTable {
    /// Its oid.
    pub oid: Oid,
    /// Whether the role that asks has its owner's rights.
    pub mine: bool,
    /// Whether the role that `run` logs in as may read it, seal its secrets and answer.
    pub role_may: bool,
}

/// What is missing: the table, with its publication in one transaction so that no row of it is missed; grants.
pub(super) fn steps(facts: &Facts, options: &Options) -> Vec<Step> {
    let publication = &facts.publications[0];
    let publishes = fill(PUBLISH, &[("publication", &publication.quoted)]).trim_end().to_owned();
    let grants = fill(GRANT, &[("role", &facts.role_quoted)]);
    let mut steps = Vec::new();
    match &facts.registration {
        None if options.registration => {
            let may_create = facts.me.may_create || facts.me.superuser;
            let publication_is_mine = publication.found.as_ref().is_none_or(|found| found.mine);
            steps.push(step(
                "does not exist",
                "have the table that webhooks are registered in, and read it through the log",
                format!("begin;\n{}\n{publishes};\n{grants};\ncommit", CREATE.trim_end()),
                if !may_create {
                    Some(format!("needs create on database {:?}", facts.server.database))
                } else if publication_is_mine {
                    None
                } else {
                    Some(format!(
                        "only the owner of publication {:?} or a superuser may do this",
                        publication.name
                    ))
                },
            ));
        }
        None => {}
        Some(table) => {
            let not_mine = (!table.mine).then(|| "only the owner of walhook.webhook may do this".to_owned());
            if !table.role_may {
                steps.push(step(
                    "may not be read or answered by the role",
                    "let the role read registrations, seal their secrets and say what became of them",
                    grants,
                    not_mine.clone(),
                ));
            }
            if !is_full(facts, table.oid) {
                steps.push(step(
                    "has no replica identity full: a value that an update does not touch would be missing",
                    "have whole registrations in the log",
                    "alter table walhook.webhook replica identity full".into(),
                    not_mine.clone(),
                ));
            }
            if !publication.tables.iter().any(|one| one.oid == table.oid) {
                steps.push(step(
                    "is not published: walhook does not see what stands in it",
                    "publish walhook.webhook, and let the log tell of what is registered already",
                    announced(publication, &publishes),
                    publications::not_my_publication(publication).or(not_mine),
                ));
            }
        }
    }
    if let Some(registrar) = &facts.registrar_quoted {
        let there = facts.registration.is_some() || options.registration;
        steps.push(step(
            "is closed to those who register",
            &format!("let {registrar} register webhooks"),
            fill(GRANT_REGISTRAR, &[("registrar", registrar)]),
            match &facts.registration {
                Some(table) if !table.mine => Some("only the owner of walhook.webhook may do this".into()),
                None if !there => Some("the table has to be there first: --registration makes it".into()),
                _ => None,
            },
        ));
    }
    steps
}

/// The table is published and what stands in it told in one transaction: neither may be left over. A publication that
/// was not there is made with the table by a step before.
fn announced(publication: &PublicationFacts, publishes: &str) -> String {
    match &publication.found {
        Some(found) if !found.all_tables => format!("begin;\n{publishes};\n{};\ncommit", ANNOUNCE.trim_end()),
        _ => ANNOUNCE.trim_end().to_owned(),
    }
}

fn is_full(facts: &Facts, oid: Oid) -> bool {
    facts.tables.get(&oid).is_none_or(super::facts::Table::is_full)
}

fn step(lack: &str, purpose: &str, sql: String, refused: Option<String>) -> Step {
    Step {
        object: OBJECT.into(),
        lack: lack.into(),
        severity: Severity::Error,
        purpose: purpose.into(),
        sql,
        cost: None,
        alters_table: false,
        refused,
    }
}

/// What `check` says of registrations that walhook does not know: those that the table has and the queue has not.
pub fn unknown(in_table: &[Row], known: &Registrations) -> Option<Finding> {
    // before the first start nothing is known
    known.epoch?;
    let ids: BTreeSet<WebhookId> = known.all.iter().map(|one| one.id).collect();
    let is_known = |id: WebhookId| ids.contains(&id);
    let unknown: Vec<String> =
        in_table.iter().filter_map(Row::id).filter(|id| !is_known(*id)).map(|id| id.to_string()).collect();
    if unknown.is_empty() {
        return None;
    }
    let (some, rest) = unknown.split_at(unknown.len().min(NAMED_MAX));
    let rest = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    let what = format!(
        "webhooks {}{rest} are not known to walhook: it does not run or is behind, or they were written before the table \
         was published",
        some.join(", ")
    );
    let sql = format!("{} where id in ({});", ANNOUNCE.trim_end(), unknown.join(", "));
    Some(Finding::new(Severity::Warning, OBJECT, what).mended_by(Mend::Sql(sql)))
}

/// What `check` says of it. That there is none is nothing to complain of.
pub(super) fn judge(facts: &Facts, findings: &mut Vec<Finding>) {
    let Some(_) = &facts.registration else { return };
    let steps = steps(facts, &Options::default());
    if steps.is_empty() {
        findings.push(Finding::new(Severity::Ok, OBJECT, "is there"));
    }
    for step in steps {
        let mend = Mend::Sql(step.sql + ";");
        findings.push(Finding::new(step.severity, OBJECT, step.lack).mended_by(mend));
    }
}

/// The statement that removes it with everything that was registered.
pub(super) fn removal(facts: &Facts) -> Option<(String, Option<String>)> {
    let table = facts.registration.as_ref()?;
    let refused = (!table.mine).then(|| "only its owner or a superuser may do this".to_owned());
    Some((DROP.trim_end().to_owned(), refused))
}

/// Whether something that was granted is the registration table's.
pub(super) fn is_of(object: &str) -> bool {
    object == "schema walhook" || object.starts_with("table walhook.")
}
