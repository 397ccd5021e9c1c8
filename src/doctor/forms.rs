//! What is wrong with a form's table.

use super::facts::{Facts, Named, Table};
use super::finding::{Finding, Mend, Severity};
use super::names::fill;
use super::{happenings, setup};
use crate::belonging::Role;
use crate::form::{Form, OldValues};

const SET_LOGGED: &str = include_str!("../../sql/mend/set_logged.sql");
const MOVE: &str = include_str!("../../sql/setup/move_table.sql");

/// What makes a form's table no good at all.
pub(super) fn unusable(facts: &Facts, number: usize, form: &Form) -> Option<Finding> {
    let object = format!("form {:?}", form.name);
    let name = form.schema.iter().chain([&form.table]).map(String::as_str).collect::<Vec<_>>().join(".");
    let Some(table) = facts.table_of(number) else {
        let several = match &facts.form_tables[number] {
            Named::Several(schemas) => Some(schemas.join(", ")),
            Named::Table(_) | Named::Nothing => None,
        };
        let what = several.as_ref().map_or_else(
            || format!("table {name} does not exist"),
            |schemas| format!("there is a table {name} in several schemas: {schemas}"),
        );
        let mend = Mend::Key(
            "[[forms]] table: a table of this database, as \"schema.table\"; if it was renamed, its new name"
                .into(),
        );
        return Some(Finding::new(Severity::Error, object, what).mended_by(mend));
    };
    let why = table.unpublishable()?;
    let mend = match (table.kind, table.persistence) {
        (_, 'u') => Mend::Sql(fill(SET_LOGGED, &[("table", &table.quoted)]) + ";"),
        ('v' | 'm', _) if !table.behind.is_empty() => {
            Mend::Key(format!("[[forms]] table: what it shows rows of: {}", table.behind.join(", ")))
        }
        ('f', _) => Mend::Do("run walhook beside the server that its rows are stored in".into()),
        (_, 't') => {
            Mend::Key("[[forms]] table: an ordinary one; a temporary one ends with its session".into())
        }
        _ => Mend::Key("[[forms]] table: the table that the rows are stored in".into()),
    };
    let what = format!("{} {why}; it cannot be published", table.quoted);
    Some(Finding::new(Severity::Error, object, what).mended_by(mend))
}

/// Judges the form of that number.
pub(super) fn judge(facts: &Facts, number: usize, form: &Form, findings: &mut Vec<Finding>) {
    let object = format!("form {:?}", form.name);
    if let Some(finding) = unusable(facts, number, form) {
        findings.push(finding);
        return;
    }
    let Some(table) = facts.table_of(number) else { return };
    let before = findings.len();
    files(facts, number, &object, findings);
    if let Some(root) = &table.partition_of {
        let what = format!(
            "{} is a partition of {root}: rows that move to other partitions look deleted, and where the root is \
             published too, nothing comes under this name",
            table.quoted
        );
        let mend = Mend::Key(format!("[[forms]] table = {:?}", root.replace('"', "")));
        findings.push(Finding::new(Severity::Warning, &object, what).mended_by(mend));
    }
    heirs(facts, table, &object, findings);
    columns(form, table, &object, findings);
    entry_id(form, table, &object, findings);
    deleted(form, table, &object, findings);
    supplement(form, table, &object, findings);
    happenings::judge(form, table, &object, findings);
    identity(facts, form, table, &object, findings);
    if findings.len() == before {
        findings.push(Finding::new(
            Severity::Ok,
            object,
            format!("{} gives old and new values", table.quoted),
        ));
    }
}

/// What inherits from a table shows there, and is in the log as what it is: another table.
fn heirs(facts: &Facts, table: &Table, object: &str, findings: &mut Vec<Finding>) {
    let is_told = |heir: &&String| facts.mapped().any(|mapped| mapped.quoted == **heir);
    let silent: Vec<&str> = table.heirs.iter().filter(|heir| !is_told(heir)).map(String::as_str).collect();
    if silent.is_empty() {
        return;
    }
    let what = format!(
        "{} shows rows of tables that inherit from it, and nothing is told of those: {}",
        table.quoted,
        silent.join(", ")
    );
    let mend = Mend::Key("[[forms]]: one more for each of these tables; a webhook may name several".into());
    findings.push(Finding::new(Severity::Warning, object, what).mended_by(mend));
}

/// The tables that have the bytes of attachments have to be there.
fn files(facts: &Facts, number: usize, object: &str, findings: &mut Vec<Finding>) {
    let lost = facts
        .file_tables
        .iter()
        .filter(|(form, _, named)| *form == number && matches!(named, Named::Nothing | Named::Several(_)));
    for (_, field, named) in lost {
        let what = match named {
            Named::Several(schemas) => {
                format!("there is such a table in several schemas: {}", schemas.join(", "))
            }
            Named::Table(_) | Named::Nothing => "there is no such table".to_owned(),
        };
        let mend = Mend::Key(format!("[forms.attachments] {field:?}: its table, as \"schema.table\""));
        let what = format!("the table with the bytes of attachment {field:?}: {what}");
        findings.push(Finding::new(Severity::Error, object, what).mended_by(mend));
    }
}

fn columns(form: &Form, table: &Table, object: &str, findings: &mut Vec<Finding>) {
    let named = [
        ("entry_id", form.entry_id.iter().collect::<Vec<_>>()),
        ("record_id", form.record_id.iter().collect()),
        ("ignore", form.ignore.iter().collect()),
        ("hidden", form.hidden.iter().collect()),
        ("fields", form.fields.iter().map(|field| &field.column).collect()),
        ("parts", form.parts.iter().map(|part| &part.column).collect()),
    ];
    for (key, columns) in named {
        for column in columns.into_iter().filter(|column| !table.columns.contains(column)) {
            let what = format!("{} has no column {column:?}", table.quoted);
            let mend = Mend::Key(format!("[[forms]] {key}: one of {}", table.columns.join(", ")));
            findings.push(Finding::new(Severity::Error, object, what).mended_by(mend));
        }
    }
}

/// The entry id of a deleted or renamed row is read from the old row: it must be there.
fn entry_id(form: &Form, table: &Table, object: &str, findings: &mut Vec<Finding>) {
    let id = if form.entry_id.is_empty() { &table.primary_key } else { &form.entry_id };
    if id.is_empty() {
        let what = format!("{} has no primary key to take the entry id from", table.quoted);
        let mend = Mend::Key(format!("[[forms]] entry_id: some of {}", table.columns.join(", ")));
        findings.push(Finding::new(Severity::Error, object, what).mended_by(mend));
        return;
    }
    let known = |column: &String| table.identity_columns.contains(column);
    if table.is_full() || !table.is_safe() || id.iter().all(known) {
        return;
    }
    let what = format!(
        "the entry id ({}) is not in the replica identity of {} ({}): it is unknown when an entry is deleted",
        id.join(", "),
        table.quoted,
        table.identity_columns.join(", ")
    );
    findings.push(Finding::new(Severity::Error, object, what).mended_by(Mend::Sql(
        setup::full_step(table).sql + ";\n-- or leave entry_id out: the primary key then",
    )));
}

/// Whether an entry was deleted before a change is read from the old row.
fn deleted(form: &Form, table: &Table, object: &str, findings: &mut Vec<Finding>) {
    let Some(deleted) = &form.deleted else { return };
    let field = form.fields.iter().find(|field| field.name == deleted.column);
    let column = field.map_or(&deleted.column, |field| &field.column);
    if !is_unknown_before(table, column) {
        return;
    }
    let what = format!(
        "whether an entry was deleted before a change is not known: {column:?} is not in the replica identity of {}",
        table.quoted
    );
    findings.push(
        Finding::new(Severity::Error, object, what).mended_by(Mend::Sql(setup::full_step(table).sql + ";")),
    );
}

/// Which field of which entry a row was that vanishes is read from the old row.
fn supplement(form: &Form, table: &Table, object: &str, findings: &mut Vec<Finding>) {
    let Some(belonging) = &form.belonging else { return };
    let Role::Supplement(supplement) = &belonging.role else { return };
    let places = belonging.parent.iter().chain(&supplement.attribute);
    let unknown: Vec<&str> =
        places.filter(|column| is_unknown_before(table, column)).map(String::as_str).collect();
    if unknown.is_empty() {
        return;
    }
    let what = format!(
        "a row that is deleted does not say which field it was ({} is not in the replica identity of {}): unless the log \
         has told of it before, the deletion goes to the quarantine",
        unknown.join(", "),
        table.quoted
    );
    findings.push(
        Finding::new(Severity::Warning, object, what).mended_by(Mend::Sql(setup::full_step(table).sql + ";")),
    );
}

/// Whether old rows come, without that column of the table.
fn is_unknown_before(table: &Table, column: &String) -> bool {
    table.is_safe()
        && !table.is_full()
        && table.columns.contains(column)
        && !table.identity_columns.contains(column)
}

fn identity(facts: &Facts, form: &Form, table: &Table, object: &str, findings: &mut Vec<Finding>) {
    let step = setup::full_step(table);
    let cost = setup::full_cost(table);
    if !table.is_safe() {
        let why = if table.without_identity.is_empty() {
            format!("{} is partitioned without a primary key", table.quoted)
        } else {
            format!("{} has no usable replica identity", table.without_identity.join(", "))
        };
        let what = format!(
            "only creates are told: {why}, so publishing updates and deletes would make the application's fail"
        );
        let finding = Finding::new(Severity::Warning, object, what);
        findings.push(if table.would_be_safe_with_full(facts.server.version_num) {
            finding.mended_by(Mend::Sql(step.sql + ";" + &into_first(facts, table) + "\n-- costs: " + &cost))
        } else {
            finding.mended_by(Mend::Do(format!("give {} a primary key", table.quoted)))
        });
        return;
    }
    if let Some(loss) = ignored_in_vain(form).filter(|_| form.old_values == OldValues::None) {
        let mend = Mend::Key("[[forms]] old_values = \"auto\"".into());
        let what = format!("old_values = \"none\": {loss}");
        findings.push(Finding::new(Severity::Warning, object, what).mended_by(mend));
    }
    if table.is_full() && !table.other_identity.is_empty() {
        let what = format!(
            "{} has replica identity full, but not its {}: old values are known only of the key",
            table.quoted,
            table.other_identity.join(", "),
        );
        findings.push(Finding::new(Severity::Warning, object, what).mended_by(Mend::Sql(step.sql + ";")));
    } else if table.is_full() {
        let what = format!("{} has replica identity full: {cost}", table.quoted);
        findings.push(Finding::new(Severity::Note, object, what));
    } else if form.old_values == OldValues::Log {
        let what = format!("old_values = \"log\", but {} logs old values only of its key", table.quoted);
        findings.push(
            Finding::new(Severity::Error, object, what)
                .mended_by(Mend::Sql(step.sql + ";\n-- costs: " + &cost)),
        );
    } else if form.old_values == OldValues::Auto && happenings::wants_old_values(form) {
        let mut what = format!(
            "{} logs old values only of its key: updates do not say what changed, deletes carry the key alone",
            table.quoted
        );
        let mut severity = Severity::Note;
        if let Some(loss) = ignored_in_vain(form) {
            what = format!("{what}, {loss}");
            severity = Severity::Warning;
        }
        findings.push(
            Finding::new(severity, object, what).mended_by(Mend::Sql(step.sql + ";\n-- costs: " + &cost)),
        );
    }
}

/// Without old values nobody knows that an update left everything else alone.
fn ignored_in_vain(form: &Form) -> Option<String> {
    let columns = form.ignore.join(", ");
    (!columns.is_empty()).then(|| format!("an update of {columns} alone (`ignore`) is an event all the same"))
}

/// With an identity, the table belongs into the first publication.
fn into_first(facts: &Facts, table: &Table) -> String {
    let [first, inserts] = &facts.publications;
    if !inserts.tables.iter().any(|published| published.named && published.oid == table.oid) {
        return String::new();
    }
    let tables = format!("only {}", table.quoted);
    let values = [("from", inserts.quoted.as_str()), ("to", &first.quoted), ("tables", &tables)];
    format!("\n{};", fill(MOVE, &values))
}
