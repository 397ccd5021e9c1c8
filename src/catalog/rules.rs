//! The rules by which the entries of a form have, and had, their lanes: see [`LaneRule`].

use super::is_of;
use super::table::Table;
use crate::change::RelationId;
use crate::form::{BindingRecord, Form, LaneRule};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The rules that a form's entries had so far, at the table that it stands for now: its own, and where it takes that
/// table over from a form that has it no more, that form's.
pub(super) fn rules_at(
    table: &Table,
    form: &Form,
    forms: &[Arc<Form>],
    records: &BTreeMap<String, BindingRecord>,
) -> Vec<LaneRule> {
    let own = records.get(&form.name).map_or_else(Vec::new, |record| numbered_as_in(table, record));
    if own.iter().any(|rule| rule.form == form.name) {
        return own;
    }
    let was_here = |record: &&BindingRecord| {
        record.relation == table.oid || record.table == table.name && record.schema == table.schema
    };
    let before = records.values().filter(|record| record.form != form.name && !is_served(record, forms));
    let mut rules = Vec::new();
    for rule in before.filter(was_here).flat_map(|record| numbered_as_in(table, record)).chain(own) {
        rule.put_last(&mut rules);
    }
    rules
}

/// Takes the rules from the records of forms that others go on for. So one that gets its first name back finds them with
/// the one that had them last, and one that is new beside others finds none.
pub(super) fn hand_over(records: &mut BTreeMap<String, BindingRecord>, forms: &[Arc<Form>]) {
    let served = records.values().filter(|record| is_served(record, forms));
    let taken_over: BTreeSet<String> =
        served.flat_map(|record| &record.rules).map(|rule| rule.form.clone()).collect();
    for record in records.values_mut().filter(|record| !is_served(record, forms)) {
        if taken_over.contains(&record.form) {
            record.rules.clear();
        }
    }
}

/// Whether the form of a record is configured, and for what it was then.
fn is_served(record: &BindingRecord, forms: &[Arc<Form>]) -> bool {
    forms.iter().any(|form| form.name == record.form && is_of(record, form))
}

/// A record's rules at a table: their columns are known by number where it is the record's own, else by name.
pub(super) fn rules_in(record: Option<&BindingRecord>, relation: RelationId) -> Vec<LaneRule> {
    let Some(record) = record else { return Vec::new() };
    if record.relation == relation {
        return record.rules.clone();
    }
    record.rules.iter().cloned().map(|rule| renumbered(rule, |_| 0)).collect()
}

/// Notes in a form's record that a rule is used, which a table of the log has led to. One that was used before and goes
/// on stays where it is: otherwise two tables, of which one has taken the other's place, would change places for ever.
pub(super) fn note(record: &mut BindingRecord, relation: RelationId, rule: LaneRule, goes_on: bool) {
    if goes_on && record.rules.iter().any(|known| known.is_like(&rule)) {
        return;
    }
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
