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

use super::marks::Marks;
use super::told;
use crate::change::{Datum, OldRow, Relation, Row, RowChange};
use crate::event::{Circumstances, Detail, FormEvent, Transaction, Verb};
use crate::form::{BoundForm, Lane};
use crate::lsn::Position;
use crate::qualification::{Facts, Truth};
use std::iter::Chain;
use std::sync::Arc;
use std::{option, vec};

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
    /// The application says something of it: a verb and a JSON object.
    Emitted,
}

impl ChangeOf {
    /// Whether two are the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Entry, Self::Entry) | (Self::Emitted, Self::Emitted) => true,
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

/// What the changes of an entry amount to, in the order in which it is told.
pub(super) type Events = Chain<option::IntoIter<FormEvent>, vec::IntoIter<FormEvent>>;

/// The events that the changes of one entry amount to; mostly one. The changes are in order, all of one
/// identity key, and there is at least one.
pub(super) fn fold(
    changes: impl IntoIterator<Item = EntryChange>,
    transaction: &Arc<Transaction>,
    position_of: impl Fn(u64) -> Position,
) -> Result<Events, Undecided> {
    let (mut entry, mut told): (Option<Entry>, Vec<EntryChange>) = (None, Vec::new());
    for change in changes {
        match (&change.is, &mut entry) {
            (ChangeOf::Entry, None) => entry = Some(Entry::begin(change, &position_of)),
            (ChangeOf::Entry, Some(entry)) => entry.apply(change),
            (ChangeOf::Child(_) | ChangeOf::Emitted, _) => told.push(change),
        }
    }
    let row = entry.as_ref().filter(|_| !told.is_empty()).map(Entry::row);
    let event = match entry {
        Some(entry) => entry.finish(transaction)?,
        None => None,
    };
    let told = if told.is_empty() {
        Vec::new()
    } else {
        told::events(event.as_ref(), row.as_ref(), told, transaction, position_of)?
    };
    let mut events = event.as_ref().map(transitions).unwrap_or_default();
    events.extend(told);
    // a delete is the last that is told of an entry
    let (first, last) = match event {
        Some(event) if event.verb == Verb::Delete => (None, Some(event)),
        event => (event, None),
    };
    events.extend(last);
    Ok(first.into_iter().chain(events))
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
        let is_told = changed.contains(&transition.field)
            && is_meant(&transition.from, event.old_value(field))
            && is_meant(&transition.to, event.value(field));
        is_told.then(|| {
            let detail = Detail::Transition { field: field.name.clone() };
            let circumstances = Circumstances { detail, ..event.circumstances.clone() };
            FormEvent { verb: Verb::Named(transition.verb), circumstances, ..event.clone() }
        })
    });
    told.collect()
}

/// An entry on its way through a transaction.
struct Entry {
    /// The address of its first change.
    position: Position,
    form: Arc<BoundForm>,
    /// Whether it existed before the transaction.
    existed: bool,
    /// The row before the transaction.
    before: OldRow,
    /// The row now.
    now: Option<Row>,
    /// Whether it was deleted on the way.
    was_deleted: bool,
    renamed_from: Option<String>,
    renamed_to: Option<String>,
    /// The lanes in which what came before may wait, beside its own.
    behind: Vec<Lane>,
    /// What sessions said of the changes.
    marks: Marks,
    /// Whether a change was no part of a bulk import.
    has_other_than_bulk: bool,
}

impl Entry {
    fn begin(first: EntryChange, position_of: impl Fn(u64) -> Position) -> Self {
        let existed = match &first.change {
            RowChange::Insert { .. } => false,
            RowChange::Update { .. } => !is_arrival(&first),
            RowChange::Delete { .. } => true,
        };
        let mut entry = Self {
            position: position_of(first.place / 2),
            form: Arc::clone(&first.form),
            existed,
            before: OldRow::Absent,
            now: None,
            was_deleted: false,
            renamed_from: None,
            renamed_to: None,
            behind: Vec::new(),
            marks: Marks::default(),
            has_other_than_bulk: false,
        };
        if let (true, RowChange::Update { old, .. } | RowChange::Delete { old }) = (existed, &first.change) {
            entry.before = old.clone();
        }
        entry.apply(first);
        entry
    }

    fn apply(&mut self, change: EntryChange) {
        if !Arc::ptr_eq(&self.form, &change.form) {
            self.follow(&change.form);
        }
        self.mark(change.marks.as_deref());
        let arrives = is_arrival(&change);
        let leaves = !arrives && changes_key(&change.form, &change.change);
        match change.change {
            RowChange::Insert { new } => self.now = Some(new),
            RowChange::Update { old, new } if leaves => {
                self.renamed_to = Some(self.form.entry_id_of(&new));
                self.vanish(old);
            }
            RowChange::Update { old, new } if arrives => {
                if let Some(old) = old.row() {
                    self.renamed_from = Some(self.form.entry_id_of(old));
                    self.behind = vec![self.form.lane_of(&self.form.key_of(old))];
                }
                self.behind.extend(former_lanes(&self.form, &old));
                self.now = Some(filled(new, None, &old));
            }
            RowChange::Update { old, new } => self.now = Some(filled(new, self.now.as_ref(), &old)),
            RowChange::Delete { old } => self.vanish(old),
        }
    }

    /// What was said of one of its changes holds for what they amount to; who made the last of them, made it.
    fn mark(&mut self, marks: Option<&Marks>) {
        let Some(marks) = marks else {
            self.has_other_than_bulk = true;
            return;
        };
        self.marks.is_merge |= marks.is_merge;
        self.has_other_than_bulk |= !marks.is_bulk;
        if marks.actor.is_some() {
            self.marks.actor.clone_from(&marks.actor);
        }
        for word in &marks.words {
            if !self.marks.words.contains(word) {
                self.marks.words.push(Arc::clone(word));
            }
        }
    }

    fn vanish(&mut self, old: OldRow) {
        self.now = None;
        self.was_deleted = true;
        if self.existed && self.before == OldRow::Absent {
            // an update without old values came first; the key is the same before and after it
            self.before = match old {
                OldRow::Key(key) | OldRow::Full(key) => OldRow::Key(key),
                OldRow::Absent | OldRow::NoRow => OldRow::Absent,
            };
        }
    }

    /// The table changed within the transaction: what is known of the row so far moves to its new columns.
    fn follow(&mut self, form: &Arc<BoundForm>) {
        let (from, to) = (&self.form.relation, &form.relation);
        self.before = match std::mem::take(&mut self.before) {
            OldRow::Absent | OldRow::NoRow => OldRow::Absent,
            OldRow::Key(row) => OldRow::Key(in_columns_of(&row, from, to)),
            OldRow::Full(row) => OldRow::Full(in_columns_of(&row, from, to)),
        };
        self.now = self.now.take().map(|row| in_columns_of(&row, from, to));
        self.form = Arc::clone(form);
    }

    /// The entry as it is now, or was before it vanished; none where it came and went.
    fn row(&self) -> EntryRow {
        let row = match (&self.now, self.existed) {
            (Some(now), _) => Some(now),
            (None, true) => self.before.row(),
            (None, false) => None,
        };
        row.map(|row| (Arc::clone(&self.form), row.clone()))
    }

    fn finish(mut self, transaction: &Arc<Transaction>) -> Result<Option<FormEvent>, Undecided> {
        let position = self.position;
        let of_old_key = std::mem::take(&mut self.behind);
        let mut behind = former_lanes(&self.form, &self.before);
        if let Some(now) = &self.now {
            // a column of a former key may have changed: deliveries may wait under both values
            behind.extend(self.form.former_lanes_of(now, |_| true));
        }
        if self.form.entries.is_some() {
            self.leave_out_other_rows(position)?;
        }
        let mut event = self.amounts_to(transaction, position);
        if let Some(event) = &mut event {
            if event.verb != Verb::Delete {
                behind.extend(of_old_key);
            }
            behind.retain(|lane| *lane != event.lane);
            behind.sort_unstable();
            behind.dedup();
            event.behind = behind;
        }
        Ok(event)
    }

    /// A row that is no entry of the form is, for the form, not there.
    fn leave_out_other_rows(&mut self, position: Position) -> Result<(), Undecided> {
        let undecided = |reason| Undecided {
            form: self.form.form.name.clone(),
            position,
            reason,
            rows: format!("old: {:?}, new: {:?}", self.before, self.now),
        };
        // what the log does not tell of the old row is as it is now: the columns that decide are in the identity
        let before = self.before.row().or(self.now.as_ref());
        let was = self.existed && is_entry(&self.form, before).map_err(undecided)?;
        let is = is_entry(&self.form, self.now.as_ref()).map_err(undecided)?;
        if !is
            && let Some(now) = self.now.take()
            && self.before == OldRow::Absent
        {
            // the key is the same before and after an update without old values
            self.before = OldRow::Key(now);
        }
        if !was {
            self.before = OldRow::Absent;
        }
        self.existed = was;
        Ok(())
    }

    fn amounts_to(mut self, transaction: &Arc<Transaction>, position: Position) -> Option<FormEvent> {
        if !self.form.uses_old_values
            && let OldRow::Full(row) = self.before
        {
            self.before = OldRow::Key(row);
        }
        let changed = match (&self.now, self.before.full()) {
            (Some(new), Some(old)) => Some(differing_columns(&self.form, old, new)),
            _ => None,
        };
        let verb = match (self.existed, self.now.is_some()) {
            (false, false) => return None,
            (true, false) => Verb::Delete,
            (true, true) if self.amounts_to_nothing(changed.as_deref()) => return None,
            (_, true) if self.is_merge(transaction) => Verb::Merge,
            (false, true) => Verb::Create,
            (true, true) => Verb::Update,
        };
        let row = self.now.as_ref().or_else(|| self.before.row())?;
        let key = self.form.key_of(row);
        let entry_id = self.form.entry_id_of(row);
        if verb != Verb::Delete && self.renamed_from.is_none() {
            // the entry id need not be the identity key; where it is not, it can change alone
            let before = self.before.full().map(|old| self.form.entry_id_of(old));
            self.renamed_from = before.filter(|before| *before != entry_id);
        }
        Some(FormEvent {
            verb,
            position,
            transaction: Arc::clone(transaction),
            lane: self.form.lane_of(&key),
            entry_id,
            behind: Vec::new(),
            changed: changed.map(|columns| fields_of(&self.form, &columns)),
            circumstances: self.circumstances(verb),
            old: match verb {
                Verb::Create => OldRow::Absent,
                _ if !self.existed => OldRow::NoRow,
                _ => self.before,
            },
            new: self.now,
            renamed_to: self.renamed_to.filter(|_| verb == Verb::Delete),
            renamed_from: self.renamed_from.filter(|_| verb != Verb::Delete),
            form: self.form,
        })
    }

    /// Whether what became of an entry that is there is a merge: the first rule that fits.
    fn is_merge(&self, transaction: &Transaction) -> bool {
        let merges = &self.form.form.happenings.merges;
        self.marks.is_merge
            || transaction.origin.as_ref().is_some_and(|origin| merges.origins.contains(origin))
            || self.existed && self.was_deleted && self.form.delete_insert_is_merge
            || self.form.happenings.markers.iter().any(|&column| self.is_marked(column))
    }

    /// Whether a column was set to something that is neither NULL nor false. Where it is not known what it was before,
    /// it cannot be told.
    fn is_marked(&self, column: usize) -> bool {
        let Some(now) = &self.now else { return false };
        let before = match self.before.full() {
            Some(before) => self.form.datum(before, column),
            None if self.existed => return false,
            None => Datum::Null,
        };
        let now = self.form.datum(now, column);
        now != before && !matches!(now, Datum::Null | Datum::Unchanged | Datum::Text("f" | "0"))
    }

    fn circumstances(&self, verb: Verb) -> Circumstances {
        let row = self.now.as_ref().or_else(|| self.before.full());
        let value = |column: Option<usize>| match self.form.datum(row?, column?) {
            Datum::Text(text) => Some(text.to_owned()),
            Datum::Null | Datum::Unchanged => None,
        };
        let said = self.marks.actor.as_deref().map(str::to_owned);
        Circumstances {
            actor_name: if said.is_some() { None } else { value(self.form.happenings.actor_name) },
            actor: said.or_else(|| value(self.form.happenings.actor)),
            marks: self.marks.words.iter().map(|word| (**word).to_owned()).collect(),
            is_bulk: !self.has_other_than_bulk,
            merged_into: if verb == Verb::Merge { value(self.form.happenings.target) } else { None },
            detail: Detail::Entry,
        }
    }

    /// Whether an entry that existed before and after is as it was, as far as anybody may see.
    fn amounts_to_nothing(&self, changed: Option<&[usize]>) -> bool {
        let Some(columns) = changed else { return false };
        if columns.is_empty() {
            return !self.form.form.unchanged_updates;
        }
        columns.iter().all(|&column| self.form.ignored[column])
    }
}

/// The lanes by former rules that an old row tells of.
fn former_lanes(form: &BoundForm, old: &OldRow) -> Vec<Lane> {
    match old {
        _ if form.former.is_empty() => Vec::new(),
        OldRow::Absent | OldRow::NoRow => Vec::new(),
        OldRow::Key(row) => form.former_lanes_of(row, |column| form.identifies(column)).collect(),
        OldRow::Full(row) => form.former_lanes_of(row, |_| true).collect(),
    }
}

/// Whether a row is there and is an entry of the form.
pub(super) fn is_entry(form: &BoundForm, row: Option<&Row>) -> Result<bool, String> {
    let (Some(row), Some(entries)) = (row, &form.entries) else { return Ok(row.is_some()) };
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

/// A new row with the large values that the update did not touch: the latest known in the transaction, then
/// the old row's.
fn filled(new: Row, known: Option<&Row>, old: &OldRow) -> Row {
    let new = match known {
        Some(known) => new.filled_from(known),
        None => new,
    };
    match old.full() {
        Some(old) => new.filled_from(old),
        None => new,
    }
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
mod tests {
    use super::*;
    use crate::form::{BoundRule, Form, sample};
    use crate::lsn::Lsn;
    use crate::qualification::{Purpose, Qualification};
    use crate::value::Type;

    /// A form over `incident (id, status, note, seen_at, hash)`: `seen_at` is bookkeeping, `hash` is hidden,
    /// `-` means NULL.
    fn form() -> Arc<BoundForm> {
        bound(&["id", "status", "note", "seen_at", "hash"])
    }

    fn bound(columns: &[&str]) -> Arc<BoundForm> {
        let typed: Vec<_> = columns.iter().map(|name| (*name, Type::Text)).collect();
        let mut bound = sample::form("Incident", &typed);
        let id = columns.iter().position(|column| *column == "id").unwrap();
        bound.form = Arc::new(Form { unset: vec!["-".into()], ..(*bound.form).clone() });
        bound.fields.retain(|field| field.name != "hash");
        (bound.key, bound.entry_id) = (vec![id], vec![id]);
        bound.ignored = columns.iter().map(|name| matches!(*name, "seen_at" | "hash")).collect();
        Arc::new(bound)
    }

    /// `1 New x 0 h`: values by column; `-` is NULL in the sense of `unset`, `?` is a large value not sent.
    fn row(text: &str) -> Row {
        sample::row(&text.split(' ').collect::<Vec<_>>())
    }

    fn insert(new: &str) -> RowChange {
        RowChange::Insert { new: row(new) }
    }

    fn update(old: &str, new: &str) -> RowChange {
        RowChange::Update { old: OldRow::Full(row(old)), new: row(new) }
    }

    fn blind_update(new: &str) -> RowChange {
        RowChange::Update { old: OldRow::Absent, new: row(new) }
    }

    fn delete(old: &str) -> RowChange {
        RowChange::Delete { old: OldRow::Full(row(old)) }
    }

    fn folded(form: &Arc<BoundForm>, changes: Vec<(u64, RowChange)>) -> Option<FormEvent> {
        let transaction = Arc::new(Transaction { xid: 7, committed_at_us: 0, origin: None });
        let changes = changes.into_iter().map(|(place, change)| EntryChange {
            place,
            form: Arc::clone(form),
            marks: None,
            is: ChangeOf::Entry,
            change,
        });
        event_of(fold(changes, &transaction, |ordinal| Position { epoch: 0, commit_lsn: Lsn(9), ordinal }))
    }

    fn event_of(events: Result<Events, Undecided>) -> Option<FormEvent> {
        let mut events = events.unwrap();
        let first = events.next();
        assert!(events.next().is_none());
        first
    }

    fn told(event: Option<FormEvent>) -> String {
        let Some(event) = event else { return "nothing".into() };
        let mut text = format!("{} {}", event.verb, event.entry_id);
        if let Some(changed) = &event.changed {
            for &number in changed {
                let field = &event.form.fields[number];
                let show = |datum| match datum {
                    Datum::Null => "NULL".to_owned(),
                    Datum::Unchanged => "?".to_owned(),
                    Datum::Text(text) => text.to_owned(),
                };
                let (old, new) = (show(event.old_value(field)), show(event.value(field)));
                text += &format!(" {}:{old}>{new}", field.name);
            }
        }
        for (word, id) in [("from", &event.renamed_from), ("to", &event.renamed_to)] {
            if let Some(id) = id {
                text += &format!(" {word} {id}");
            }
        }
        text
    }

    #[track_caller]
    fn check(changes: Vec<RowChange>, expected: &str) {
        let changes = changes.into_iter().enumerate().map(|(number, change)| (2 * number as u64, change));
        assert_eq!(told(folded(&form(), changes.collect())), expected);
    }

    #[test]
    fn changes_of_one_entry_are_one_event_by_before_and_after() {
        check(vec![insert("1 New x 0 h")], "create 1");
        check(vec![insert("1 New x 0 h"), update("1 New x 0 h", "1 Open x 0 h")], "create 1");
        check(vec![insert("1 New x 0 h"), delete("1 New x 0 h")], "nothing");
        check(vec![update("1 New x 0 h", "1 Open x 0 h")], "update 1 status:New>Open");
        let twice = vec![update("1 New x 0 h", "1 Open x 0 h"), update("1 Open x 0 h", "1 Done y 0 h")];
        check(twice, "update 1 status:New>Done note:x>y");
        check(vec![delete("1 New x 0 h")], "delete 1");
        check(vec![update("1 New x 0 h", "1 Gone x 0 h"), delete("1 Gone x 0 h")], "delete 1");
        check(vec![delete("1 New x 0 h"), insert("1 Open x 0 h")], "merge 1 status:New>Open");
        check(vec![delete("1 New x 0 h"), insert("1 New x 0 h")], "nothing");
        check(vec![delete("1 New x 0 h"), insert("1 Open x 0 h"), delete("1 Open x 0 h")], "delete 1");
        let comes_and_goes = vec![insert("1 New x 0 h"), delete("1 New x 0 h"), insert("1 Open x 0 h")];
        check(comes_and_goes, "create 1");
    }

    #[test]
    fn a_delete_tells_the_first_old_row() {
        let changes = vec![(0, update("1 New x 0 h", "1 Gone x 0 h")), (2, delete("1 Gone x 0 h"))];
        let event = folded(&form(), changes).unwrap();
        assert_eq!(event.value(&event.form.fields[1]), Datum::Text("New"));
    }

    #[test]
    fn what_nobody_may_see_or_cares_for_is_no_event() {
        check(vec![update("1 New x 0 h", "1 New x 0 h")], "nothing");
        check(vec![update("1 New x 0 h", "1 Open x 0 h"), update("1 Open x 0 h", "1 New x 0 h")], "nothing");
        check(vec![update("1 New x 0 h", "1 New x 9 h")], "nothing");
        check(vec![update("1 New x 0 h", "1 New x 0 i")], "nothing");
        check(vec![update("1 New x 0 h", "1 Open x 9 i")], "update 1 status:New>Open seen_at:0>9");
        check(vec![update("1 New - 0 h", "1 New x 0 h")], "update 1 note:NULL>x");
    }

    #[test]
    fn without_old_values_nothing_is_guessed() {
        check(vec![blind_update("1 Open x 0 h")], "update 1");
        check(vec![blind_update("1 Open x 0 h"), delete("1 Open x 0 h")], "delete 1");
        let changes = vec![(0, blind_update("1 Open x 0 h")), (2, delete("1 Open x 0 h"))];
        assert_eq!(folded(&form(), changes).unwrap().old.full(), None);
    }

    #[test]
    fn a_large_value_that_was_not_sent_comes_from_the_transaction_then_from_the_old_row() {
        let event =
            folded(&form(), vec![(0, insert("1 New long 0 h")), (2, blind_update("1 Open ? 0 h"))]).unwrap();
        assert_eq!(event.value(&event.form.fields[2]), Datum::Text("long"));
        check(vec![update("1 New long 0 h", "1 Open ? 0 h")], "update 1 status:New>Open");
        let event = folded(&form(), vec![(0, blind_update("1 Open ? 0 h"))]).unwrap();
        assert_eq!(event.value(&event.form.fields[2]), Datum::Unchanged);
    }

    #[test]
    fn a_new_key_is_a_delete_and_a_create_that_name_each_other() {
        let change = update("1 New x 0 h", "2 New x 0 h");
        let form = form();
        assert!(changes_key(&form, &change));
        assert_eq!(told(folded(&form, vec![(0, change.clone())])), "delete 1 to 2");
        let arrival = folded(&form, vec![(1, change)]).unwrap();
        let old_lane = form.lane_of(&form.key_of(&row("1 New x 0 h")));
        assert_eq!(arrival.behind, [old_lane]);
        assert_eq!(told(Some(arrival)), "create 2 from 1");
    }

    /// The form, which was called Ticket and had `note` for its key before; and that one as it was then.
    fn renamed() -> (Arc<BoundForm>, Arc<BoundForm>) {
        let (now, mut before) = (form(), (*form()).clone());
        let note = now.fields[2].column;
        before.form = Arc::new(Form { name: "Ticket".into(), ..(*before.form).clone() });
        before.key = vec![note];
        let former = vec![BoundRule { form: "Ticket".into(), key: vec![note] }];
        (Arc::new(BoundForm { former, ..(*now).clone() }), Arc::new(before))
    }

    #[test]
    fn an_entry_waits_for_what_it_had_by_a_former_rule() {
        let (form, before) = renamed();
        let lane = |form: &BoundForm, text: &str| form.lane_of(&form.key_of(&row(text)));
        let check = |changes: Vec<(u64, RowChange)>, own: &str, behind: &[Lane]| {
            let event = folded(&form, changes).unwrap();
            let mut behind = behind.to_vec();
            behind.sort_unstable();
            assert_eq!((event.lane, event.behind), (lane(&form, own), behind), "{own}");
        };
        let [x, y] = ["1 New x 0 h", "1 New y 0 h"].map(|text| lane(&before, text));
        check(vec![(0, insert("1 New x 0 h"))], "1 New x 0 h", &[x]);
        check(vec![(0, update("1 New x 0 h", "1 Open x 0 h"))], "1 New x 0 h", &[x]);
        check(vec![(0, delete("1 New x 0 h"))], "1 New x 0 h", &[x]);
        check(vec![(0, blind_update("1 Open x 0 h"))], "1 New x 0 h", &[x]);
        // the former key changes, which is no change of the key now
        check(vec![(0, update("1 New x 0 h", "1 New y 0 h"))], "1 New x 0 h", &[x, y]);
        let twice =
            vec![(0, update("1 New x 0 h", "1 New z 0 h")), (2, update("1 New z 0 h", "1 New y 0 h"))];
        check(twice, "1 New x 0 h", &[x, y]);
        check(
            vec![(0, update("1 New x 0 h", "1 New y 0 h")), (2, delete("1 New y 0 h"))],
            "1 New x 0 h",
            &[x],
        );
        // the key changes, and the former one with it
        let change = update("1 New x 0 h", "2 New y 0 h");
        check(vec![(0, change.clone())], "1 New x 0 h", &[x]);
        check(vec![(1, change)], "2 New x 0 h", &[lane(&form, "1 New x 0 h"), x, y]);
    }

    #[test]
    fn a_former_rule_says_nothing_of_a_row_without_its_columns() {
        let (form, before) = renamed();
        let x = before.lane_of(&before.key_of(&row("1 New x 0 h")));
        let key = |text: &str| OldRow::Key(row(text));
        let behind = |change| folded(&form, vec![(0, change)]).unwrap().behind;
        assert_eq!(behind(RowChange::Delete { old: key("1 NULL NULL NULL NULL") }), []);
        assert_eq!(behind(blind_update("1 Open ? 0 h")), []);
        assert_eq!(behind(update("1 New x 0 h", "1 Open ? 0 h")), [x], "it was not sent because it stayed");
        let update = RowChange::Update { old: key("1 NULL NULL NULL NULL"), new: row("1 Open x 0 h") };
        assert_eq!(behind(update), [x]);
    }

    #[test]
    fn a_table_that_changes_within_the_transaction_takes_its_rows_along() {
        let transaction = Arc::new(Transaction { xid: 7, committed_at_us: 0, origin: None });
        let wider = bound(&["status", "id", "added", "note", "seen_at", "hash"]);
        let changes = vec![
            EntryChange {
                place: 0,
                form: form(),
                marks: None,
                is: ChangeOf::Entry,
                change: update("1 New x 0 h", "1 Open x 0 h"),
            },
            EntryChange {
                place: 2,
                form: wider,
                marks: None,
                is: ChangeOf::Entry,
                change: update("Open 1 - x 0 h", "Open 1 a x 0 h"),
            },
        ];
        let event = fold(changes, &transaction, |ordinal| Position { ordinal, ..Position::default() });
        assert_eq!(told(event_of(event)), "update 1 status:New>Open added:NULL>a");
    }

    /// The form of rows whose status is Open.
    fn open_ones() -> Arc<BoundForm> {
        let mut bound = (*form()).clone();
        let entries = Qualification::parse("'status' = \"Open\"").unwrap();
        bound.entries = Some(Arc::new(entries.bind(&bound, Purpose::Entries).unwrap()));
        Arc::new(bound)
    }

    #[test]
    fn a_row_that_begins_or_ceases_to_be_an_entry_is_created_or_deleted() {
        let form = open_ones();
        let check = |changes: Vec<RowChange>, expected: &str| {
            let changes = changes.into_iter().enumerate().map(|(number, change)| (2 * number as u64, change));
            assert_eq!(told(folded(&form, changes.collect())), expected);
        };
        check(vec![insert("1 New x 0 h")], "nothing");
        check(vec![insert("1 Open x 0 h")], "create 1");
        check(vec![update("1 New x 0 h", "1 New y 0 h")], "nothing");
        check(vec![update("1 New x 0 h", "1 Open x 0 h")], "create 1");
        check(vec![update("1 Open x 0 h", "1 Open y 0 h")], "update 1 note:x>y");
        check(vec![update("1 Open x 0 h", "1 Done x 0 h")], "delete 1");
        check(vec![delete("1 Open x 0 h")], "delete 1");
        check(vec![delete("1 New x 0 h")], "nothing");
        check(vec![delete("1 Open x 0 h"), insert("1 New x 0 h")], "delete 1");
        check(vec![delete("1 New x 0 h"), insert("1 Open x 0 h")], "create 1");
        let to_and_fro = vec![update("1 Open x 0 h", "1 Done x 0 h"), update("1 Done x 0 h", "1 Open y 0 h")];
        check(to_and_fro, "update 1 note:x>y");
        check(vec![insert("1 New x 0 h"), update("1 New x 0 h", "1 Open x 0 h")], "create 1");
        check(vec![insert("1 Open x 0 h"), update("1 Open x 0 h", "1 New x 0 h")], "nothing");

        let left = folded(&form, vec![(0, update("1 Open x 0 h", "1 Done y 0 h"))]).unwrap();
        assert_eq!((left.value(&left.form.fields[1]), &left.new), (Datum::Text("Open"), &None));
        let entered = folded(&form, vec![(0, update("1 New x 0 h", "1 Open x 0 h"))]).unwrap();
        assert_eq!((entered.old, entered.changed), (OldRow::Absent, None));
    }

    #[test]
    fn a_row_that_cannot_be_told_from_entries_is_put_aside() {
        let form = open_ones();
        let transaction = Arc::new(Transaction { xid: 7, committed_at_us: 0, origin: None });
        let change = EntryChange {
            place: 0,
            form,
            marks: None,
            is: ChangeOf::Entry,
            change: blind_update("1 ? x 0 h"),
        };
        let undecided =
            fold([change], &transaction, |ordinal| Position { ordinal, ..Position::default() }).unwrap_err();
        assert!(undecided.rows.contains("Text(\"x\")"), "{}", undecided.rows);
    }
}
