//! What an index can look up before a condition is judged.

use super::judge::{Known, after};
use super::like::fold;
use super::program::{Field, Image, Node, Reading, Term, Test, Value};
use super::tree::Operator;
use super::{Facts, Found, Probe, Requirement};
use crate::change::Datum;
use crate::form::BoundForm;
use crate::value::Kind;
use std::borrow::Cow;

/// What must hold of every event that meets a condition that was bound to `form`.
pub(super) fn requirements(node: &Node, form: &BoundForm) -> Vec<Requirement> {
    match node {
        Node::All(nodes) => all(nodes.iter().map(|node| requirements(node, form))),
        Node::Any(nodes) => any(nodes.iter().map(|node| requirements(node, form))),
        Node::Not(_) => Vec::new(),
        Node::Leaf(leaf) => of_test(&leaf.test, form),
    }
}

fn of_test(test: &Test, form: &BoundForm) -> Vec<Requirement> {
    let mut found = Vec::new();
    match test {
        Test::Compare { left, operator, right, folds_case } => {
            if *operator == Operator::Equal {
                found.extend(equality(left, right, *folds_case, form));
                found.extend(equality(right, left, *folds_case, form));
            }
            // no comparison with NULL is true, and what was not set is NULL
            set_by(left, &mut found);
            set_by(right, &mut found);
        }
        Test::Absent { term, wanted: false } | Test::Like { term, .. } => set_by(term, &mut found),
        Test::LikeOf { term, pattern, .. } => {
            set_by(term, &mut found);
            set_by(pattern, &mut found);
        }
        Test::Changed(field) => found.push(Requirement::Changed { column: field.column }),
        Test::All(tests) => return all(tests.iter().map(|test| of_test(test, form))),
        Test::Any(tests) => return any(tests.iter().map(|test| of_test(test, form))),
        Test::Fixed(_) | Test::Absent { wanted: true, .. } | Test::Amount(_) => {}
    }
    found
}

/// All that any of several requires.
fn all(parts: impl Iterator<Item = Vec<Requirement>>) -> Vec<Requirement> {
    let mut found: Vec<Requirement> = Vec::new();
    for requirement in parts.flatten() {
        if !found.contains(&requirement) {
            found.push(requirement);
        }
    }
    found
}

/// What each of several requires; of one column, any of the keys.
fn any(mut parts: impl Iterator<Item = Vec<Requirement>>) -> Vec<Requirement> {
    let Some(mut found) = parts.next() else { return Vec::new() };
    for part in parts {
        if found.is_empty() {
            break;
        }
        found.retain_mut(|kept| match kept {
            Requirement::Changed { .. } => part.contains(kept),
            Requirement::OneOf { probe, keys } => {
                let other = part.iter().find_map(|other| match other {
                    Requirement::OneOf { probe: other, keys } if other == probe => Some(keys),
                    _ => None,
                });
                let Some(other) = other else { return false };
                keys.extend(other.iter().cloned());
                true
            }
        });
    }
    for requirement in &mut found {
        if let Requirement::OneOf { keys, .. } = requirement {
            keys.sort_unstable();
            keys.dedup();
        }
    }
    found
}

/// `'F' = "x"`, and `'TR.F' = "x"`, which is never true but where `'F'` has the value as well.
fn equality(term: &Term, constant: &Term, folds_case: bool, form: &BoundForm) -> Option<Requirement> {
    let (Term::Field(field), Term::Constant(constant)) = (term, constant) else { return None };
    if field.image == Image::Database || !is_looked_up(field, form) || *constant == Value::Null {
        return None;
    }
    let mut key = Vec::new();
    constant.write_key(&mut key);
    let folds_case = folds_case && matches!(constant, Value::Text(_));
    Some(Requirement::OneOf { probe: Probe { column: field.column, folds_case }, keys: vec![key] })
}

/// Whether [`key_of`] reads the column as the field does. A part can give a column another meaning.
fn is_looked_up(field: &Field, form: &BoundForm) -> bool {
    let is_plain = !matches!(field.reading, Reading::Diary | Reading::Member { .. } | Reading::Presence);
    is_plain && kind_of(form, field.column).is_some_and(|kind| Reading::of(kind) == field.reading)
}

/// What a column means, by its field, else by the first part that it is mapped to.
fn kind_of(form: &BoundForm, column: usize) -> Option<&Kind> {
    match form.fields.binary_search_by_key(&column, |field| field.column) {
        Ok(number) => Some(&form.fields[number].kind),
        Err(_) => form.parts.iter().find(|part| part.column == column).map(|part| &part.kind),
    }
}

/// The fields that the transaction must have set for a term to have a value.
fn set_by(term: &Term, found: &mut Vec<Requirement>) {
    match term {
        Term::Field(field) if field.image == Image::Transaction => {
            found.push(Requirement::Changed { column: field.column });
        }
        Term::Negate { term, .. } | Term::Seconds { term, .. } => set_by(term, found),
        Term::Chain { first, steps } => {
            set_by(first, found);
            for step in steps {
                set_by(&step.right, found);
            }
        }
        Term::Field(_) | Term::Constant(_) | Term::Moment { .. } => {}
        Term::Weekday | Term::Operation | Term::User => {}
    }
}

/// Writes the key of an event's value; see [`super::key_of`].
pub(super) fn key_of(probe: &Probe, facts: &Facts<'_>, key: &mut Vec<u8>) -> Found {
    key.clear();
    let text = match after(probe.column, facts) {
        Known::Datum(Datum::Text(text)) => text,
        Known::Datum(Datum::Null) => return Found::Null,
        Known::Datum(Datum::Unchanged) | Known::NotSent | Known::NoOldRow => return Found::Unknown,
    };
    let value = match kind_of(facts.form, probe.column) {
        // the common case, without a look at the dialect or a copy of the kind
        Some(Kind::Text { padded: false, .. }) => Ok(Value::Text(Cow::Borrowed(text))),
        Some(kind) => Reading::of(kind).read(text, &facts.form.form.dialect),
        None => return Found::Unknown,
    };
    match value {
        Ok(Value::Text(text)) if probe.folds_case => key.extend_from_slice(fold(&text).as_bytes()),
        Ok(Value::Null) => return Found::Null,
        Ok(Value::Opaque(_)) | Err(_) => return Found::Unknown,
        Ok(value) => value.write_key(key),
    }
    Found::Key
}
