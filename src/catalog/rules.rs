//! The rules by which the entries of a form have, and had, their lanes: see [`LaneRule`].

use super::is_of;
use super::table::Table;
use crate::change::RelationId;
use crate::form::{BindingRecord, Form, LaneRule};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The rules that a form's entries had so far, at the table that it stands for now: its own, and where it took that
/// table over from a form that has it no more, that form's.
pub(super) fn rules_at(
    table: &Table,
    form: &Form,
    forms: &[Arc<Form>],
    records: &BTreeMap<String, BindingRecord>,
) -> Vec<LaneRule> {
    let own = records.get(&form.name);
    let mut rules = own.map_or_else(Vec::new, |record| numbered_as_in(table, record));
    let is_new = rules.is_empty();
    for record in records.values().filter(|record| record.form != form.name) {
        let was_here =
            record.relation == table.oid || record.table == table.name && record.schema == table.schema;
        let is_here = forms.iter().any(|other| other.name == record.form && is_of(record, other));
        // a form that gets its first name back goes on behind the one that had taken over from it
        let was_this_form = record.rules.iter().any(|rule| rule.form == form.name);
        if was_here && !is_here && (is_new || was_this_form) {
            for rule in numbered_as_in(table, record) {
                rule.put_last(&mut rules);
            }
        }
    }
    rules
}

/// A record's rules at a table: their columns are known by number where it is the record's own, else by name.
pub(super) fn rules_in(record: Option<&BindingRecord>, relation: RelationId) -> Vec<LaneRule> {
    let Some(record) = record else { return Vec::new() };
    if record.relation == relation {
        return record.rules.clone();
    }
    record.rules.iter().cloned().map(|rule| renumbered(rule, |_| 0)).collect()
}

/// Notes in a form's record that a rule is used, which a table of the log has led to.
pub(super) fn note(record: &mut BindingRecord, relation: RelationId, rule: LaneRule) {
    let rule = if record.relation == relation { rule } else { renumbered(rule, |_| 0) };
    rule.put_first(&mut record.rules);
}

fn numbered_as_in(table: &Table, record: &BindingRecord) -> Vec<LaneRule> {
    if record.relation == table.oid {
        return record.rules.clone();
    }
    let number = |name: &str| table.column(name).map_or(0, |column| column.number);
    record.rules.iter().cloned().map(|rule| renumbered(rule, number)).collect()
}

fn renumbered(mut rule: LaneRule, number: impl Fn(&str) -> i16) -> LaneRule {
    for (name, known) in &mut rule.key {
        *known = number(name);
    }
    rule
}
