//! What a form says of its events and the log cannot tell: transitions and markers want the value before a change, and
//! what vanishes has to say whose it was.

use super::facts::Table;
use super::finding::{Finding, Mend, Severity};
use super::setup;
use crate::belonging::{Belonging, On, Role};
use crate::form::{Form, OldValues};

/// Judges what can happen to the entries of a form, or to rows that belong to them.
pub(super) fn judge(form: &Form, table: &Table, object: &str, findings: &mut Vec<Finding>) {
    // where inserts alone are published, that is told, and nothing else happens
    if !table.is_safe() {
        return;
    }
    if let Some(belonging) = &form.belonging {
        findings.extend(vanishes(belonging, table, object));
        return;
    }
    let has_old_rows = table.is_full() && table.other_identity.is_empty();
    if has_old_rows && form.old_values != OldValues::None {
        return;
    }
    let mend = || {
        let sql = format!("{};\n-- costs: {}", setup::full_step(table).sql, setup::full_cost(table));
        match form.old_values {
            OldValues::None if has_old_rows => Mend::Key("[[forms]] old_values = \"auto\"".into()),
            OldValues::None => Mend::Sql(format!("{sql}\n-- and in [[forms]]: old_values = \"auto\"")),
            OldValues::Auto | OldValues::Log => Mend::Sql(sql),
        }
    };
    let why = if form.old_values == OldValues::None {
        "old_values = \"none\"".to_owned()
    } else {
        format!("{} logs old values only of its key", table.quoted)
    };
    // fields from other tables have the values that were told before
    let is_own = |name: &&str| !form.supplied.iter().any(|field| field.name == **name);
    let transitions = form.happenings.transitions.iter().filter(|one| is_own(&one.field.as_str()));
    let mut verbs: Vec<String> = transitions.map(|one| format!("{} of {:?}", one.verb, one.field)).collect();
    verbs.dedup();
    if !verbs.is_empty() {
        let what = format!("transitions ({}) never happen: {why}", verbs.join(", "));
        findings.push(Finding::new(Severity::Error, object, what).mended_by(mend()));
    }
    let markers = form.happenings.merges.markers.iter().map(String::as_str).filter(is_own);
    let markers: Vec<&str> = markers.collect();
    if !markers.is_empty() {
        let what =
            format!("updates that set {} are told as updates, not as merges: {why}", markers.join(", "));
        findings.push(Finding::new(Severity::Warning, object, what).mended_by(mend()));
    }
}

/// Whether anything that a form tells is better told with old values: rows between lead on as they are, and of children that
/// only appear nothing was before.
pub(super) fn wants_old_values(form: &Form) -> bool {
    let role = form.belonging.as_ref().map(|belonging| &belonging.role);
    !matches!(role, Some(Role::Hop { .. } | Role::Child { on: On::Insert, .. }))
}

/// Of a row that was deleted the log has the replica identity, and that has to say to which entry it belonged.
fn vanishes(belonging: &Belonging, table: &Table, object: &str) -> Option<Finding> {
    let Role::Child { on: On::Delete, verb } = &belonging.role else { return None };
    let kind = belonging.kind.iter().map(|(column, _)| column);
    let is_unknown =
        |column: &&String| table.columns.contains(column) && !table.identity_columns.contains(column);
    let unknown: Vec<&str> =
        belonging.parent.iter().chain(kind).filter(is_unknown).map(String::as_str).collect();
    if table.is_full() && table.other_identity.is_empty() || unknown.is_empty() {
        return None;
    }
    let what = format!(
        "{verb} never happens: a row that is deleted does not say to which entry it belonged ({} is not in the replica \
         identity of {}), and goes to the quarantine",
        unknown.join(", "),
        table.quoted
    );
    let sql = format!("{};\n-- costs: {}", setup::full_step(table).sql, setup::full_cost(table));
    Some(Finding::new(Severity::Error, object, what).mended_by(Mend::Sql(sql)))
}
