//! From the row changes of one entry in one transaction to what they mean.
//!
//! Applications create an entry with an INSERT and several UPDATEs, delete it with UPDATE and DELETE, save
//! values that did not change, change and change back. So the changes of one entry within one transaction
//! are one event, by whether the entry existed before and exists after:
//!
//! | before | after | event |
//! |---|---|---|
//! | no | yes | create |
//! | yes | no | delete, with the first old row |
//! | no | no | none |
//! | yes | yes | update from the first old to the last new row; merge if a delete lay between; none if nothing differs |
//!
//! Where only some rows of the table are entries of the form, "exists" means: the row is there and is one of them.
//!
//! Behind the update come the transitions: the events that the form has words for. What is a merge instead of a create
//! or an update, the form says (`[forms.merge]`), and messages in the log do ([`Marks`]).

mod entry;

use super::marks::Marks;
use super::told;
use crate::change::{Datum, OldRow, Relation, Row, RowChange};
use crate::event::{Circumstances, Detail, FormEvent, Transaction, Verb};
use crate::form::BoundForm;
use crate::lsn::Position;
use crate::qualification::{Facts, Truth};
use entry::{Entry, filled};
use std::sync::Arc;

/// A row change as an entry meets it.
#[derive(Clone, Debug)]
pub(super) struct EntryChange {
    /// Where it stands in the transaction: twice the row change's ordinal, plus one for the second half of an
    /// update that changed the key, which is a delete of one entry and a create of another.
    pub(super) place: u64,
    /// The form as it was bound when the change was read.
    pub(super) form: Arc<BoundForm>,
    /// What its session said of it.
    pub(super) marks: Option<Arc<Marks>>,
    /// What it is to the entry.
    pub(super) is: ChangeOf,
    /// The change. One that tells of the entry only has the entry's row, as far as it is known, as its old row's key,
    /// and what is told as the new row.
    pub(super) change: RowChange,
}

/// What a change is to an entry.
#[derive(Clone, Debug)]
pub(super) enum ChangeOf {
    /// Its own row.
    Entry,
    /// A row of that form belongs to it.
    Child(Arc<BoundForm>),
    /// A row of another table that has fields of it. Its old row is the entry's row, as in any that tells of an entry; the
    /// new one has, for each field from other tables, the value before and the one after; where both are unchanged, it
    /// says nothing of that field.
    Supplement,
    /// The application says something of it: a verb and a JSON object.
    Emitted,
}

impl ChangeOf {
    /// Whether two are the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Entry, Self::Entry)
            | (Self::Supplement, Self::Supplement)
            | (Self::Emitted, Self::Emitted) => true,
            (Self::Child(one), Self::Child(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

/// Whether an update gave its row another identity key.
pub(super) fn changes_key(form: &BoundForm, change: &RowChange) -> bool {
    match change {
        RowChange::Update { old, new } => old.row().is_some_and(|old| !form.same_key(old, new)),
        RowChange::Insert { .. } | RowChange::Delete { .. } => false,
    }
}

/// Makes two updates of a row that follow each other one, from the first old to the last new row.
pub(super) fn one_update(first: &mut RowChange, second: RowChange) {
    if let (RowChange::Update { new: known, .. }, RowChange::Update { old, new }) = (first, second) {
        *known = filled(new, Some(known), &old);
    }
}

/// It cannot be told whether a row is an entry of the form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Undecided {
    pub(super) form: String,
    pub(super) position: Position,
    pub(super) reason: String,
    /// The rows in question, for people.
    pub(super) rows: String,
}

/// Adds the events that the changes of one entry amount to, in the order in which they are told; mostly one. The changes
/// are in order, all of one identity key, and there is at least one.
pub(super) fn fold(
    changes: impl IntoIterator<Item = EntryChange>,
    transaction: &Arc<Transaction>,
    position_of: impl Fn(u64) -> Position,
    events: &mut Vec<FormEvent>,
) -> Result<(), Undecided> {
    let mut entry: Option<Entry> = None;
    let (mut told, mut supplied) = (Vec::new(), Vec::new());
    for change in changes {
        match (&change.is, &mut entry) {
            (ChangeOf::Entry, None) => entry = Some(Entry::begin(change, &position_of)),
            (ChangeOf::Entry, Some(entry)) => entry.apply(change),
            (ChangeOf::Supplement, _) => supplied.push(change),
            (ChangeOf::Child(_) | ChangeOf::Emitted, _) => told.push(change),
        }
    }
    for change in supplied {
        entry.get_or_insert_with(|| Entry::of_base(&change, &position_of)).supply(change);
    }
    let row = entry.as_ref().filter(|_| !told.is_empty()).map(Entry::row);
    let first = events.len();
    if let Some(entry) = entry {
        entry.finish(transaction, events)?;
    }
    let event = events.get(first);
    let mut others = event.map(transitions).unwrap_or_default();
    if !told.is_empty() {
        others.extend(told::events(event, row.as_ref(), told, transaction, position_of)?);
    }
    if !others.is_empty() {
        events.extend(others);
        // a delete is the last that is told of an entry
        if events[first].verb == Verb::Delete {
            events[first..].rotate_left(1);
        }
    }
    Ok(())
}

/// An entry's row, and the form that it is in the columns of.
pub(super) type EntryRow = Option<(Arc<BoundForm>, Row)>;

/// The words that the form has for what an event changed.
fn transitions(event: &FormEvent) -> Vec<FormEvent> {
    let (Verb::Update | Verb::Merge, Some(changed)) = (event.verb, &event.changed) else { return Vec::new() };
    let told = event.form.happenings.transitions.iter().filter_map(|transition| {
        let field = &event.form.fields[transition.field];
        let is_meant = |values: &[String], datum: Datum<'_>| {
            values.is_empty()
                || matches!(datum, Datum::Text(text) if values.iter().any(|value| value == text))
        };
        // where the log has no old row, fields of the entry's own row may be as they were
        let is_left_out = |old: &Row| old.datum(field.column) == Datum::Unchanged;
        let is_known = field.column >= event.form.own_columns() || !event.old.full().is_some_and(is_left_out);
        let is_told = is_known
            && changed.contains(&transition.field)
            && is_meant(&transition.from, event.old_value(field))
            && is_meant(&transition.to, event.value(field));
        is_told.then(|| {
            let detail = Detail::Transition { field: field.name.clone() };
            let circumstances =
                Arc::new(Circumstances { detail, ..Circumstances::clone(&event.circumstances) });
            FormEvent { verb: Verb::Named(transition.verb), circumstances, ..event.clone() }
        })
    });
    // several fields can share a word: what is told once of a change, is not told twice
    let mut events: Vec<FormEvent> = Vec::new();
    for event in told {
        if !events.iter().any(|known| known.verb == event.verb) {
            events.push(event);
        }
    }
    events
}

/// That a row says which entry it is. A table without a primary key may have some that do not, and so may a column that
/// the application fills later.
pub(super) fn which(form: &BoundForm, row: &Row, position: Position) -> Result<(), Undecided> {
    if form.says_which(row) {
        return Ok(());
    }
    let name = |&column: &usize| format!("{:?}", form.relation.columns[column].name);
    let columns: Vec<String> = form.entry_id.iter().map(name).collect();
    Err(Undecided {
        form: form.form.name.clone(),
        position,
        reason: format!("the row does not say which entry it is: {} is NULL", columns.join(", ")),
        rows: format!("row: {row:?}"),
    })
}

/// Whether a row is there and is an entry of the form.
pub(super) fn is_entry(form: &BoundForm, row: Option<&Row>) -> Result<bool, String> {
    let Some(row) = row else { return Ok(false) };
    if is_deleted(form, row)? {
        return Ok(false);
    }
    let Some(entries) = &form.entries else { return Ok(true) };
    let facts = Facts {
        form,
        verb: Verb::Create,
        old: &OldRow::Absent,
        new: Some(row),
        committed_at_us: 0,
        user: None,
    };
    match entries.judge(&facts) {
        Ok(truth) => Ok(truth == Truth::True),
        Err(failure) => Err(format!("whether the row is an entry cannot be judged: {failure}")),
    }
}

/// Whether a row says that its entry is deleted.
fn is_deleted(form: &BoundForm, row: &Row) -> Result<bool, String> {
    let (Some(column), Some(deleted)) = (form.deleted, &form.form.deleted) else { return Ok(false) };
    match form.datum(row, column) {
        Datum::Null => Ok(false),
        Datum::Text(text) if deleted.values.is_empty() => Ok(!is_false(text)),
        Datum::Text(text) => Ok(deleted.values.iter().any(|value| value == text)),
        Datum::Unchanged => Err(format!(
            "whether the entry is deleted cannot be told: {:?} is not known",
            form.relation.columns[column].name
        )),
    }
}

/// What columns have that say no: PostgreSQL's `boolean`, and numbers that stand for it.
fn is_false(text: &str) -> bool {
    matches!(text, "f" | "0")
}

/// The columns that differ between two rows.
fn differing_columns(form: &BoundForm, old: &Row, new: &Row) -> Vec<usize> {
    let differs = |&column: &usize| match form.datum(new, column) {
        Datum::Unchanged => false,
        datum => datum != form.datum(old, column),
    };
    (0..form.relation.columns.len()).filter(differs).collect()
}

/// The fields of columns, by their numbers.
fn fields_of(form: &BoundForm, columns: &[usize]) -> Vec<usize> {
    let fields = form.fields.iter().enumerate();
    fields.filter(|(_, field)| columns.contains(&field.column)).map(|(number, _)| number).collect()
}

/// The fields that differ between two rows, by their numbers.
pub(super) fn changed_fields(form: &BoundForm, old: &Row, new: &Row) -> Vec<usize> {
    fields_of(form, &differing_columns(form, old, new))
}

/// Whether the change is the second half of an update of the key: the entry under its new key.
fn is_arrival(change: &EntryChange) -> bool {
    change.place % 2 == 1
}

/// A row in the columns that the table has now: those of the same name; a column whose name is new takes the value
/// of the one that stood in its place and is gone, if it has its type, for it was renamed.
pub(super) fn in_columns_of(row: &Row, from: &Relation, to: &Relation) -> Row {
    let place = |relation: &Relation, name: &str| relation.columns.iter().position(|one| one.name == name);
    let renamed = |number: usize| {
        let (was, is) = (from.columns.get(number)?, &to.columns[number]);
        let is_it = from.columns.len() == to.columns.len()
            && was.type_oid == is.type_oid
            && place(to, &was.name).is_none();
        is_it.then_some(number)
    };
    let data = to.columns.iter().enumerate().map(|(number, column)| {
        place(from, &column.name).or_else(|| renamed(number)).map_or(Datum::Null, |place| row.datum(place))
    });
    data.collect()
}

#[cfg(test)]
mod property;
#[cfg(test)]
mod tests;
