//! The rules by which the entries of a form have, and had, their lanes: see [`LaneRule`].

use super::is_of;
use super::table::Table;
use crate::change::RelationId;
use crate::form::{BindingRecord, Form, LaneRule};
use std::cmp::Reverse;
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
    let mut before: Vec<&BindingRecord> = records
        .values()
        .filter(|record| record.form != form.name)
        .filter(|record| {
            record.relation == table.oid || record.table == table.name && record.schema == table.schema
        })
        .filter(|record| !is_served(record, forms))
        .filter(|record| {
            // a form that gets its first name back goes on behind the one that had taken over from it
            let was_this_form = record.rules.iter().any(|rule| rule.form == form.name);
            was_this_form || is_new && !is_taken_over(record, forms, records)
        })
        .collect();
    // who took over last has the rules of all before
    before.sort_by_key(|record| Reverse(record.rules.len()));
    for rule in before.into_iter().flat_map(|record| numbered_as_in(table, record)) {
        rule.put_last(&mut rules);
    }
    rules
}

/// Whether the form of a record is configured, and for what it was then.
fn is_served(record: &BindingRecord, forms: &[Arc<Form>]) -> bool {
    forms.iter().any(|form| form.name == record.form && is_of(record, form))
}

/// Whether another form goes on behind that of a record.
fn is_taken_over(
    record: &BindingRecord,
    forms: &[Arc<Form>],
    records: &BTreeMap<String, BindingRecord>,
) -> bool {
    let heirs = records.values().filter(|heir| heir.form != record.form && is_served(heir, forms));
    heirs.flat_map(|heir| &heir.rules).any(|rule| rule.form == record.form)
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
