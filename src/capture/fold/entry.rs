//! An entry on its way through a transaction: from its row changes to the one event that they amount to.

use super::{
    EntryChange, EntryRow, Undecided, changes_key, differing_columns, fields_of, in_columns_of, is_arrival,
    is_entry, is_false, which,
};
use crate::capture::marks::Marks;
use crate::change::{Datum, OldRow, Row, RowChange};
use crate::event::{Circumstances, FormEvent, Transaction, Verb};
use crate::form::{BoundForm, Lane};
use crate::lsn::Position;
use std::sync::Arc;

/// An entry on its way through a transaction.
pub(super) struct Entry {
    /// The address of its first change.
    position: Position,
    form: Arc<BoundForm>,
    /// Whether it existed before the transaction.
    existed: bool,
    /// The row before the transaction.
    before: OldRow,
    /// The row before, where it was there and no entry. That is rare, and rows are large.
    left_out: Option<Box<Row>>,
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
    /// Whether its own row did not change: what differs stands in rows of other tables.
    is_only_supplied: bool,
    /// Of the fields from other tables that have been met: what they were before the transaction.
    supplied: Vec<Option<Row>>,
}

impl Entry {
    pub(super) fn begin(first: EntryChange, position_of: impl Fn(u64) -> Position) -> Self {
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
            left_out: None,
            now: None,
            was_deleted: false,
            renamed_from: None,
            renamed_to: None,
            behind: Vec::new(),
            marks: Marks::default(),
            has_other_than_bulk: false,
            is_only_supplied: false,
            supplied: Vec::new(),
        };
        if let (true, RowChange::Update { old, .. } | RowChange::Delete { old }) = (existed, &first.change) {
            entry.before = old.clone();
        }
        entry.apply(first);
        entry
    }

    /// An entry whose own row did not change: as it was met last.
    pub(super) fn of_base(first: &EntryChange, position_of: impl Fn(u64) -> Position) -> Self {
        let base = match &first.change {
            RowChange::Update { old, .. } => old.row().cloned(),
            RowChange::Insert { .. } | RowChange::Delete { .. } => None,
        };
        Self {
            position: position_of(first.place / 2),
            form: Arc::clone(&first.form),
            existed: true,
            before: base.clone().map_or(OldRow::Absent, OldRow::Full),
            left_out: None,
            now: base,
            was_deleted: false,
            renamed_from: None,
            renamed_to: None,
            behind: Vec::new(),
            marks: Marks::default(),
            has_other_than_bulk: false,
            is_only_supplied: true,
            supplied: Vec::new(),
        }
    }

    /// A row of another table has fields of the entry. What they were before the first of these changes, they were before
    /// the transaction.
    pub(super) fn supply(&mut self, change: EntryChange) {
        if !Arc::ptr_eq(&self.form, &change.form) {
            self.follow(&change.form);
        }
        self.mark(change.marks.as_deref());
        let RowChange::Update { new: told, .. } = change.change else { return };
        let count = self.form.form.supplied.len();
        self.supplied.resize(count, None);
        let said = (0..count).map(|field| (field, told.datum(2 * field), told.datum(2 * field + 1)));
        let is_said = |(_, before, after): &(usize, Datum<'_>, Datum<'_>)| {
            !matches!((before, after), (Datum::Unchanged, Datum::Unchanged))
        };
        let said: Vec<_> = said.filter(is_said).collect();
        let own = self.form.own_columns();
        if let OldRow::Full(row) = &self.before {
            let news = said.iter().filter(|(field, ..)| self.supplied[*field].is_none());
            let news: Vec<_> = news.map(|(field, before, _)| (own + field, *before)).collect();
            self.before = OldRow::Full(with(row, &news));
        }
        if let Some(row) = &self.now {
            let news: Vec<_> = said.iter().map(|(field, _, after)| (own + field, *after)).collect();
            self.now = Some(with(row, &news));
        }
        for (field, before, _) in said {
            self.supplied[field].get_or_insert_with(|| [before].into_iter().collect());
        }
    }

    /// What of the row before is known although the log has no old row: the fields from other tables.
    fn known_by_supplied(&self) -> Option<Row> {
        let now = self.now.as_ref().filter(|_| self.existed && !self.supplied.is_empty())?;
        let own = self.form.own_columns();
        let datum = |(column, datum): (usize, _)| match column.checked_sub(own) {
            Some(field) => {
                self.supplied.get(field).and_then(Option::as_ref).map_or(datum, |row| row.datum(0))
            }
            None if self.form.identifies(column) => datum,
            None => Datum::Unchanged,
        };
        Some(now.data().enumerate().map(datum).collect())
    }

    pub(super) fn apply(&mut self, change: EntryChange) {
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
    pub(super) fn row(&self) -> EntryRow {
        let row = match (&self.now, self.existed) {
            (Some(now), _) => Some(now),
            (None, true) => self.before.row(),
            (None, false) => None,
        };
        row.map(|row| (Arc::clone(&self.form), row.clone()))
    }

    /// Adds the event that the changes amount to, if it is one.
    pub(super) fn finish(
        mut self,
        transaction: &Arc<Transaction>,
        events: &mut Vec<FormEvent>,
    ) -> Result<(), Undecided> {
        let of_old_key = std::mem::take(&mut self.behind);
        let mut behind = former_lanes(&self.form, &self.before);
        if let Some(now) = &self.now {
            // a column of a former key may have changed: deliveries may wait under both values
            behind.extend(self.form.former_lanes_of(now, |_| true));
        }
        if self.form.chooses_rows() {
            self.leave_out_other_rows(self.position)?;
        }
        if let Some(event) = self.amounts_to(transaction, events)? {
            if event.verb != Verb::Delete {
                behind.extend(of_old_key);
            }
            behind.retain(|lane| *lane != event.lane);
            behind.sort_unstable();
            behind.dedup();
            event.behind = behind;
        }
        Ok(())
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
            self.left_out = self.before.full().filter(|_| self.existed).cloned().map(Box::new);
            self.before = OldRow::Absent;
        }
        self.existed = was;
        Ok(())
    }

    fn amounts_to<'e>(
        mut self,
        transaction: &Arc<Transaction>,
        events: &'e mut Vec<FormEvent>,
    ) -> Result<Option<&'e mut FormEvent>, Undecided> {
        if !self.form.uses_old_values
            && !self.is_only_supplied
            && let OldRow::Full(row) = self.before
        {
            self.before = OldRow::Key(row);
        }
        if self.before.full().is_none()
            && let Some(row) = self.known_by_supplied()
        {
            self.before = OldRow::Full(row);
        }
        let changed = match (&self.now, self.before.full()) {
            (Some(new), Some(old)) => Some(differing_columns(&self.form, old, new)),
            _ => None,
        };
        let verb = match (self.existed, self.now.is_some()) {
            (false, false) => return Ok(None),
            (true, false) => Verb::Delete,
            (true, true) if self.amounts_to_nothing(changed.as_deref()) => return Ok(None),
            (_, true) if self.is_merge(transaction) => Verb::Merge,
            (false, true) => Verb::Create,
            (true, true) => Verb::Update,
        };
        let Some(row) = self.now.as_ref().or_else(|| self.before.row()) else { return Ok(None) };
        which(&self.form, row, self.position)?;
        let key = self.form.key_of(row);
        let entry_id = self.form.entry_id_of(row);
        if verb != Verb::Delete && self.renamed_from.is_none() {
            // the entry id need not be the identity key; where it is not, it can change alone
            let before = self.before.full().filter(|old| self.form.says_which(old));
            let before = before.map(|old| self.form.entry_id_of(old));
            self.renamed_from = before.filter(|before| *before != entry_id);
        }
        events.push(FormEvent {
            verb,
            position: self.position,
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
        });
        Ok(events.last_mut())
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
            // it was marked before it was an entry
            None => self.left_out.as_ref().map_or(Datum::Null, |row| self.form.datum(row, column)),
        };
        let now = self.form.datum(now, column);
        now != before && matches!(now, Datum::Text(text) if !is_false(text))
    }

    fn circumstances(&self, verb: Verb) -> Arc<Circumstances> {
        let happenings = &self.form.happenings;
        let is_plain = self.marks.actor.is_none()
            && self.marks.words.is_empty()
            && self.has_other_than_bulk
            && happenings.actor.is_none()
            && happenings.actor_name.is_none()
            && (verb != Verb::Merge || happenings.target.is_none());
        if is_plain {
            return Circumstances::none();
        }
        let row = self.now.as_ref().or_else(|| self.before.full());
        let value = |column: Option<usize>| match self.form.datum(row?, column?) {
            Datum::Text(text) => Some(text.to_owned()),
            Datum::Null | Datum::Unchanged => None,
        };
        let said = self.marks.actor.as_deref().map(str::to_owned);
        Arc::new(Circumstances {
            actor_name: if said.is_some() { None } else { value(happenings.actor_name) },
            actor: said.or_else(|| value(happenings.actor)),
            marks: self.marks.words.iter().map(|word| (**word).to_owned()).collect(),
            is_bulk: !self.has_other_than_bulk,
            merged_into: if verb == Verb::Merge { value(happenings.target) } else { None },
            ..Circumstances::default()
        })
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

/// A new row with the large values that the update did not touch: the latest known in the transaction, then
/// the old row's.
pub(super) fn filled(new: Row, known: Option<&Row>, old: &OldRow) -> Row {
    let new = match known {
        Some(known) => new.filled_from(known),
        None => new,
    };
    match old.full() {
        Some(old) => new.filled_from(old),
        None => new,
    }
}

/// A row with other values in some columns.
fn with(row: &Row, values: &[(usize, Datum<'_>)]) -> Row {
    let datum =
        |(column, datum)| values.iter().find(|(one, _)| *one == column).map_or(datum, |(_, value)| *value);
    row.data().enumerate().map(datum).collect()
}
