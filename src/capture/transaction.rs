//! A transaction on its way in: its row changes of forms, collected until the commit.

use super::fold::{ChangeOf, EntryChange, changes_key, one_update};
use super::marks::Marks;
use super::registry::Said;
use crate::change::{OldRow, Row, RowChange};
use crate::delivery::Quarantined;
use crate::event::Transaction;
use crate::form::{BoundForm, Fold};
use crate::lsn::{Lsn, Position};
use crate::queue::{StagedChange, StagedEntry};
use std::collections::HashMap;
use std::collections::hash_map;
use std::sync::Arc;

/// The transaction that is being read.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) commit_lsn: Lsn,
    pub(super) facts: Transaction,
    pub(super) quarantined: Vec<Quarantined>,
    /// What it says of registrations.
    pub(super) registrations: Vec<Said>,
    /// Whether parts of it are in the queue already: they do not count before the rest is there.
    pub(super) in_parts: bool,
    epoch: u32,
    /// How many row changes have been decoded, of forms or not.
    ordinal: u64,
    changes: Vec<StagedChange>,
    /// What the collected changes hold on to.
    bytes: usize,
    /// What the changes are read by; a change names it by its number.
    readings: Vec<Reading>,
    /// What the session says of the changes that come.
    marks: Option<Arc<Marks>>,
    /// What is on disk already.
    staged_bytes: u64,
}

/// What a change is read by: the form of its entry, as it was bound then, what it is to the entry, and what its session
/// said of it.
#[derive(Clone, Debug)]
struct Reading {
    form: Arc<BoundForm>,
    is: ChangeOf,
    marks: Option<Arc<Marks>>,
}

impl Open {
    pub(super) fn begin(epoch: u32, commit_lsn: Lsn, committed_at_us: i64, xid: u32) -> Self {
        Self {
            commit_lsn,
            facts: Transaction { xid, committed_at_us, origin: None },
            quarantined: Vec::new(),
            registrations: Vec::new(),
            in_parts: false,
            epoch,
            ordinal: 0,
            changes: Vec::new(),
            bytes: 0,
            readings: Vec::new(),
            marks: None,
            staged_bytes: 0,
        }
    }

    /// Counts a row change of whatever table and says its number.
    pub(super) fn count(&mut self) -> u64 {
        self.ordinal += 1;
        self.ordinal - 1
    }

    /// Takes a message that stands among the changes.
    pub(super) fn mark(&mut self, prefix: &str, content: &[u8]) {
        let mut marks = self.marks.as_deref().cloned().unwrap_or_default();
        if marks.take(prefix, content) {
            self.marks = Some(Arc::new(marks));
        }
    }

    /// How many row changes there were.
    pub(super) fn changes_counted(&self) -> u64 {
        self.ordinal
    }

    /// The address of a row change.
    pub(super) fn position(&self, ordinal: u64) -> Position {
        Position { epoch: self.epoch, commit_lsn: self.commit_lsn, ordinal }
    }

    /// Takes a change of a form's table.
    pub(super) fn push(&mut self, ordinal: u64, form: &Arc<BoundForm>, change: RowChange) {
        let place = 2 * ordinal;
        let change = with_its_key(form, change);
        if !changes_key(form, &change) {
            self.collect(place, form, change);
            return;
        }
        // one entry goes and another comes: both halves see the whole change
        self.collect(place, form, change.clone());
        self.collect(place + 1, form, change);
    }

    fn collect(&mut self, place: u64, form: &Arc<BoundForm>, change: RowChange) {
        let row = match &change {
            RowChange::Insert { new } => Some(new),
            RowChange::Update { old, new } if place.is_multiple_of(2) => Some(old.row().unwrap_or(new)),
            RowChange::Update { new, .. } => Some(new),
            RowChange::Delete { old } => old.row(),
        };
        // without key there is no entry: a server does not publish such deletes
        let Some(row) = row else { return };
        let mut key = form.key_of(row);
        if form.form.fold == Fold::Row {
            key.extend_from_slice(&place.to_be_bytes());
        }
        self.keep(place, form, ChangeOf::Entry, key, change);
    }

    /// Takes something that tells of an entry: `entry` is its row as far as it is known, `told` what is told.
    pub(super) fn tell(&mut self, ordinal: u64, form: &Arc<BoundForm>, is: ChangeOf, entry: Row, told: Row) {
        let mut key = form.key_of(&entry);
        if form.form.fold == Fold::Row {
            key.extend_from_slice(&(2 * ordinal).to_be_bytes());
        }
        let change = RowChange::Update { old: OldRow::Key(entry), new: told };
        self.keep(2 * ordinal, form, is, key, change);
    }

    fn keep(&mut self, place: u64, form: &Arc<BoundForm>, is: ChangeOf, key: Vec<u8>, change: RowChange) {
        self.bytes += change.footprint_bytes() + key.len() + size_of::<StagedChange>();
        let is_it = |reading: &Reading| {
            Arc::ptr_eq(&reading.form, form) && reading.is.is(&is) && reading.marks == self.marks
        };
        let reading = self.readings.iter().rposition(is_it).unwrap_or_else(|| {
            self.readings.push(Reading { form: Arc::clone(form), is, marks: self.marks.clone() });
            self.readings.len() - 1
        });
        // the same form bound anew goes on under its first number: an entry's changes stay together
        let first = self.readings.iter().position(|one| has_key_of(&one.form, form)).unwrap_or(reading);
        let (form, reading) = (first as u32, reading as u32);
        self.changes.push(StagedChange { ordinal: place, form, key, reading, change });
    }

    /// What the collected changes hold on to, in bytes.
    pub(super) fn collected_bytes(&self) -> usize {
        self.bytes
    }

    /// What has gone to disk, in bytes.
    pub(super) fn staged_bytes(&self) -> u64 {
        self.staged_bytes
    }

    /// Gives the collected changes away, to be staged on disk. Updates of one entry that follow each other
    /// go as one, so that an entry which is written over and over does not come back larger than memory.
    pub(super) fn take_for_staging(&mut self) -> Vec<StagedChange> {
        let changes = std::mem::take(&mut self.changes);
        let changes = self.together(changes);
        self.staged_bytes += changes.iter().map(|one| one.change.footprint_bytes() as u64).sum::<u64>() + 1;
        self.bytes = 0;
        changes
    }

    /// The changes with updates of one entry that follow each other put together.
    fn together(&self, changes: Vec<StagedChange>) -> Vec<StagedChange> {
        let is_plain = |change: &StagedChange| {
            let Reading { form, is, .. } = &self.readings[change.reading as usize];
            matches!((&change.change, is), (RowChange::Update { .. }, ChangeOf::Entry))
                && !changes_key(form, &change.change)
        };
        let mut last_of: HashMap<(u32, Vec<u8>), usize> = HashMap::new();
        let mut kept: Vec<StagedChange> = Vec::with_capacity(changes.len());
        for change in changes {
            let number = last_of.entry((change.form, change.key.clone())).or_insert(kept.len());
            match kept.get_mut(*number) {
                Some(last) if last.reading == change.reading && is_plain(last) && is_plain(&change) => {
                    one_update(&mut last.change, change.change);
                }
                _ => {
                    *number = kept.len();
                    kept.push(change);
                }
            }
        }
        kept
    }

    /// Whether changes have gone to disk.
    pub(super) fn is_staged(&self) -> bool {
        self.staged_bytes > 0
    }

    /// The collected changes by entry, in the order of the entries' first changes.
    pub(super) fn take_entries(&mut self) -> Vec<StagedEntry> {
        self.bytes = 0;
        by_entry(std::mem::take(&mut self.changes))
    }

    /// A staged change as the fold wants it.
    pub(super) fn entry_change(&self, staged: StagedChange) -> EntryChange {
        let Reading { form, is, marks } = self.readings[staged.reading as usize].clone();
        EntryChange { place: staged.ordinal, form, marks, is, change: staged.change }
    }
}

/// Whether two bindings are of one form and its key is the same, be it called otherwise by now or in another place: only
/// then do equal keys mean one entry.
fn has_key_of(one: &BoundForm, other: &BoundForm) -> bool {
    fn names(form: &BoundForm) -> impl Iterator<Item = &str> {
        form.key.iter().map(|&column| form.relation.columns[column].name.as_str())
    }
    one.form.name == other.form.name && (one.key == other.key || names(one).eq(names(other)))
}

/// An update whose new row has its key. A key that is long enough to be stored out of line, and that the update left
/// alone, is not in the new row, like any large value; then it is in the old one, which the server sends for it.
fn with_its_key(form: &BoundForm, change: RowChange) -> RowChange {
    match change {
        RowChange::Update { old, new } => {
            let is_key = |column: usize| form.relation.columns.get(column).is_some_and(|one| one.in_identity);
            let new = match old.row() {
                Some(old) => new.filled_in(old, is_key),
                None => new,
            };
            RowChange::Update { old, new }
        }
        change => change,
    }
}

fn by_entry(changes: Vec<StagedChange>) -> Vec<StagedEntry> {
    let mut entries: Vec<StagedEntry> = Vec::with_capacity(changes.len());
    if changes.len() < 2 {
        entries.extend(
            changes.into_iter().map(|change| StagedEntry { first: change.ordinal, changes: vec![change] }),
        );
        return entries;
    }
    let mut numbers: HashMap<(u32, Vec<u8>), usize> = HashMap::with_capacity(changes.len());
    for mut change in changes {
        let key = std::mem::take(&mut change.key);
        match numbers.entry((change.form, key)) {
            hash_map::Entry::Occupied(known) => entries[*known.get()].changes.push(change),
            hash_map::Entry::Vacant(new) => {
                new.insert(entries.len());
                entries.push(StagedEntry { first: change.ordinal, changes: vec![change] });
            }
        }
    }
    entries
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::sample;
    use crate::value::Type;

    fn form(columns: [&str; 3], key: usize) -> Arc<BoundForm> {
        let mut form = sample::form("Incident", &columns.map(|name| (name, Type::Text)));
        form.key = vec![key];
        Arc::new(form)
    }

    /// How many entries two changes are of: of a row under one binding, and of another under the next.
    fn entries(bound: [&Arc<BoundForm>; 2], rows: [[&str; 3]; 2]) -> usize {
        let mut open = Open::begin(0, Lsn(1), 0, 7);
        for (form, row) in bound.into_iter().zip(rows) {
            let ordinal = open.count();
            open.push(ordinal, form, RowChange::Insert { new: sample::row(&row) });
        }
        open.take_entries().len()
    }

    /// While a transaction was read, its table was found to have another key. A row whose new key looked like the former
    /// key of another row was taken for that one's entry, and one event came of the two.
    #[test]
    fn entries_by_different_keys_are_different_though_these_look_alike() {
        let columns = ["id", "code", "b"];
        let (by_code, by_id) = (form(columns, 1), form(columns, 0));
        assert_eq!(entries([&by_code, &by_id], [["7", "1", "x"], ["1", "9", "y"]]), 2);
        assert_eq!(entries([&by_id, &by_id], [["7", "1", "x"], ["7", "1", "y"]]), 1);
    }

    #[test]
    fn an_entry_stays_together_when_its_table_is_altered_within_the_transaction() {
        let before = form(["id", "code", "b"], 0);
        let (renamed, moved) = (form(["number", "code", "b"], 0), form(["b", "id", "added"], 1));
        assert_eq!(entries([&before, &renamed], [["1", "a", "x"], ["1", "a", "y"]]), 1);
        assert_eq!(entries([&before, &moved], [["1", "a", "x"], ["x", "1", "y"]]), 1);
    }
}
