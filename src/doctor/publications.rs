//! The two publications: what they should contain, and the statements that get there.

use super::facts::{Facts, Named, Oid, PublicationFacts, Table};
use super::finding::Severity;
use super::names::fill;
use super::plan::Step;
use std::collections::BTreeSet;

const CREATE: &str = include_str!("../../sql/setup/create_publication.sql");
const CREATE_EMPTY: &str = include_str!("../../sql/setup/create_empty_publication.sql");
const SET: &str = include_str!("../../sql/setup/set_publication.sql");
const ADD: &str = include_str!("../../sql/setup/add_table.sql");
const DROP: &str = include_str!("../../sql/setup/drop_table.sql");
const DROP_SCHEMA: &str = include_str!("../../sql/setup/drop_schema.sql");
const MOVE: &str = include_str!("../../sql/setup/move_table.sql");
const DROP_PUBLICATION: &str = include_str!("../../sql/teardown/drop_publication.sql");

/// What each of the two publications publishes.
const ACTIONS: [&str; 2] = ["insert, update, delete, truncate", "insert"];

/// Which tables belong into which publication: all changes, inserts alone. `full` are tables that will have
/// `REPLICA IDENTITY FULL` by then.
pub(super) fn wanted(facts: &Facts, full: &BTreeSet<Oid>) -> [BTreeSet<Oid>; 2] {
    let mut wanted = [BTreeSet::new(), BTreeSet::new()];
    for table in facts.mapped().filter(|table| table.unpublishable().is_none()) {
        let safe = if full.contains(&table.oid) {
            table.would_be_safe_with_full(facts.server.version_num)
        } else {
            table.is_safe()
        };
        wanted[usize::from(!safe)].insert(table.oid);
    }
    wanted[0].extend(facts.registration.as_ref().map(|table| table.oid));
    wanted
}

/// The statements that bring both publications to what is wanted, dangerous things first.
pub(super) fn steps(facts: &Facts, full: &BTreeSet<Oid>) -> Vec<Step> {
    let wanted = wanted(facts, full);
    let mut steps = Vec::new();
    moves(facts, &wanted, &mut steps);
    for number in [0, 1] {
        let publication = &facts.publications[number];
        match &publication.found {
            // a slot that is older fails while decoding, and capture does well without an empty one
            None if number == 1 && wanted[1].is_empty() && facts.slot.is_some() => {}
            None => steps.push(create(facts, number, &wanted[number], "does not exist")),
            Some(found) if found.all_tables => {
                let out = drop_all_tables(publication);
                let mut create = create(facts, number, &wanted[number], "does not exist any more then");
                create.refused = create.refused.or_else(|| out.refused.clone());
                steps.extend([out, create]);
            }
            Some(_) => content(facts, number, &wanted, &mut steps),
        }
    }
    steps
}

fn named(publication: &PublicationFacts) -> String {
    format!("publication {:?}", publication.name)
}

/// `only` keeps tables that inherit out; they are other tables.
fn list(facts: &Facts, oids: &[Oid]) -> String {
    let names: Vec<String> = oids
        .iter()
        .filter_map(|oid| facts.tables.get(oid))
        .map(|table| format!("only {}", table.quoted))
        .collect();
    names.join(", ")
}

fn plain_list(facts: &Facts, oids: &[Oid]) -> String {
    let names: Vec<&str> =
        oids.iter().filter_map(|oid| facts.tables.get(oid)).map(|table| table.quoted.as_str()).collect();
    names.join(", ")
}

fn create(facts: &Facts, number: usize, wanted: &BTreeSet<Oid>, lack: &str) -> Step {
    let publication = &facts.publications[number];
    let oids: Vec<Oid> = wanted.iter().copied().collect();
    let tables = list(facts, &oids);
    let values =
        [("publication", publication.quoted.as_str()), ("tables", &tables), ("actions", ACTIONS[number])];
    let what = match (number, oids.is_empty()) {
        (0, false) => format!("publish the changes of {}", plain_list(facts, &oids)),
        (0, true) => "have the publication for tables whose changes can be published".into(),
        (_, false) => format!(
            "publish the inserts of {}, whose updates and deletes would fail if they were published",
            plain_list(facts, &oids)
        ),
        (_, true) => {
            "have the publication for tables without replica identity before the slot exists, even if empty"
                .into()
        }
    };
    let database = &facts.server.database;
    let refused = if facts.me.may_create || facts.me.superuser {
        not_mine(facts, &oids)
    } else {
        Some(format!("needs create on database {database:?}"))
    };
    Step {
        object: named(publication),
        lack: lack.into(),
        severity: Severity::Error,
        purpose: what,
        sql: fill(if oids.is_empty() { CREATE_EMPTY } else { CREATE }, &values),
        cost: None,
        alters_table: false,
        refused,
    }
}

fn drop_all_tables(publication: &PublicationFacts) -> Step {
    Step {
        object: named(publication),
        lack: "is for all tables: the application's updates and deletes fail on every table without replica \
               identity, also on those to come"
            .into(),
        severity: Severity::Error,
        purpose: "remove the publication that is for all tables".into(),
        sql: fill(DROP_PUBLICATION, &[("publication", &publication.quoted)]),
        cost: Some(
            "a slot that exists already cannot be decoded from before its publication; stop walhook".into(),
        ),
        alters_table: false,
        refused: not_my_publication(publication),
    }
}

/// Tables that stand in one publication and belong into the other go over in one transaction.
fn moves(facts: &Facts, wanted: &[BTreeSet<Oid>; 2], steps: &mut Vec<Step>) {
    for (from, to) in [(0, 1), (1, 0)] {
        let (source, target) = (&facts.publications[from], &facts.publications[to]);
        if !alterable(source) || !alterable(target) {
            continue;
        }
        let oids: Vec<Oid> = source
            .tables
            .iter()
            .filter(|table| table.named && wanted[to].contains(&table.oid))
            .map(|table| table.oid)
            .filter(|oid| !target.tables.iter().any(|table| table.oid == *oid))
            .collect();
        for oid in oids {
            let Some(table) = facts.tables.get(&oid) else { continue };
            let tables = list(facts, &[oid]);
            let values = [("from", source.quoted.as_str()), ("to", &target.quoted), ("tables", &tables)];
            let (lack, severity) = if from == 0 {
                (breaks(table), Severity::Error)
            } else {
                (
                    format!("publishes only inserts of {}, which has a replica identity", table.quoted),
                    Severity::Warning,
                )
            };
            steps.push(Step {
                object: named(source),
                lack,
                severity,
                purpose: format!("move {} to publication {:?}", table.quoted, target.name),
                sql: fill(MOVE, &values),
                cost: None,
                alters_table: false,
                refused: not_my_publication(source)
                    .or_else(|| not_my_publication(target))
                    .or_else(|| not_mine(facts, &[oid])),
            });
        }
    }
}

fn alterable(publication: &PublicationFacts) -> bool {
    publication.found.as_ref().is_some_and(|found| !found.all_tables)
}

fn breaks(table: &Table) -> String {
    let others: Vec<&str> =
        table.without_identity.iter().map(String::as_str).filter(|name| *name != table.quoted).collect();
    let place = if others.is_empty() || table.without_identity.contains(&table.quoted) {
        table.quoted.clone()
    } else {
        format!("{} (its partition {})", table.quoted, others.join(", "))
    };
    if table.without_identity.is_empty() {
        return format!(
            "publishes updates and deletes of {place}, which has no primary key: those of its new partitions fail"
        );
    }
    format!("publishes updates and deletes of {place} without replica identity: the application's fail")
}

/// Brings the content of a publication that exists to what is wanted: out, then set, then in.
fn content(facts: &Facts, number: usize, wanted: &[BTreeSet<Oid>; 2], steps: &mut Vec<Step>) {
    let publication = &facts.publications[number];
    let Some(found) = &publication.found else { return };
    let moved = |oid: &Oid| {
        let other = &facts.publications[1 - number];
        alterable(other) && !other.tables.iter().any(|table| table.oid == *oid)
    };
    let step = |lack: String, severity, purpose: String, sql, refused| Step {
        object: named(publication),
        lack,
        severity,
        purpose,
        sql,
        cost: None,
        alters_table: false,
        refused: not_my_publication(publication).or(refused),
    };
    let name = publication.quoted.as_str();

    let schemas: BTreeSet<&str> = publication
        .tables
        .iter()
        .filter(|table| !table.named)
        .filter_map(|table| facts.tables.get(&table.oid))
        .map(|table| table.schema_quoted.as_str())
        .collect();
    for schema in schemas {
        steps.push(step(
            format!("publishes all tables of schema {schema}, also those to come"),
            Severity::Error,
            format!("publish tables of schema {schema} one by one only"),
            fill(DROP_SCHEMA, &[("publication", name), ("schema", schema)]),
            None,
        ));
    }
    // it may be the table of a form under a new name, which a running walhook follows
    let a_form_is_lost = facts.form_tables.contains(&Named::Nothing);
    for published in publication.tables.iter().filter(|published| published.named) {
        let Some(table) = facts.tables.get(&published.oid) else { continue };
        let only = list(facts, &[published.oid]);
        if wanted[number].contains(&published.oid) {
            if published.column_list || published.row_filter.is_some() {
                let values = [("from", name), ("to", name), ("tables", &only)];
                steps.push(step(
                    format!(
                        "publishes {} with a row filter or a column list: changes are missing",
                        table.quoted
                    ),
                    Severity::Error,
                    format!("publish all rows and columns of {}", table.quoted),
                    fill(MOVE, &values),
                    not_mine(facts, &[published.oid]),
                ));
            }
        } else if !(wanted[1 - number].contains(&published.oid) && moved(&published.oid)) {
            let (lack, severity) = if number == 0 && !table.is_safe() {
                (breaks(table), Severity::Error)
            } else if a_form_is_lost {
                continue;
            } else {
                (format!("publishes {}, which no form needs there", table.quoted), Severity::Warning)
            };
            steps.push(step(
                lack,
                severity,
                format!("publish {} no more", table.quoted),
                fill(DROP, &[("publication", name), ("tables", &only)]),
                None,
            ));
        }
    }
    let set = if number == 0 {
        found.insert && found.update && found.delete && found.truncate
    } else {
        found.insert && !found.update && !found.delete
    };
    if !set || !found.via_root {
        let values = [("publication", name), ("actions", ACTIONS[number])];
        steps.push(step(
            format!("does not publish as it should ({}, via the partition root)", ACTIONS[number]),
            Severity::Error,
            "publish what walhook reads, and no more".into(),
            fill(SET, &values),
            None,
        ));
    }
    let present = |oid: &Oid| publication.tables.iter().any(|table| table.named && table.oid == *oid);
    let comes = |oid: &Oid| {
        let other = &facts.publications[1 - number];
        alterable(other)
            && other.tables.iter().any(|table| table.named && table.oid == *oid)
            && !publication.tables.iter().any(|table| table.oid == *oid)
    };
    // what stands in the registration table has to be told with its publication, which is a step of its own
    let is_apart = |oid: &Oid| facts.registration.as_ref().is_some_and(|table| table.oid == *oid);
    let missing: Vec<Oid> =
        wanted[number].iter().copied().filter(|oid| !present(oid) && !comes(oid) && !is_apart(oid)).collect();
    if !missing.is_empty() {
        let tables = list(facts, &missing);
        steps.push(step(
            format!("does not publish {}", plain_list(facts, &missing)),
            Severity::Error,
            format!("publish {}", plain_list(facts, &missing)),
            fill(ADD, &[("publication", name), ("tables", &tables)]),
            not_mine(facts, &missing),
        ));
    }
}

pub(super) fn not_my_publication(publication: &PublicationFacts) -> Option<String> {
    let mine = publication.found.as_ref().is_none_or(|found| found.mine);
    (!mine)
        .then(|| format!("only the owner of publication {:?} or a superuser may do this", publication.name))
}

fn not_mine(facts: &Facts, oids: &[Oid]) -> Option<String> {
    let table = oids.iter().filter_map(|oid| facts.tables.get(oid)).find(|table| !table.mine)?;
    Some(format!("only the owner of {} ({}) or a superuser may publish it", table.quoted, table.owner))
}
