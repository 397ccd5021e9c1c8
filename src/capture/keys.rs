//! Keys as the log told of them last, kept with the position: where rows lead that others refer to.
//!
//! The database is ahead of the log: a row that a note refers to may be gone there, or have become another one's, before the
//! note is read. So what the log tells of such rows is kept in the queue, as far as it leads on: of a row between, what it
//! refers to; of an entry that is referred to by something else than its key, which one it is; of a row that has fields of
//! an entry, of which entry and which field. What is told of a transaction counts with its position, and stands here until
//! that is on disk. What is gone leads on until it is purged, with what was delivered in its time.
//!
//! Where only some rows of the table are entries, what decides is kept as well, but for hidden columns: then nothing is. Rows that
//! say all of this in the key that others know them by are not kept.

use super::database::Bindings;
use super::known::Reference;
use super::parents::{columns_of, references_to, tells_which, texts};
use super::{Capture, Error};
use crate::belonging::{BoundBelonging, Role};
use crate::change::{Datum, OldRow, RelationId, Row, RowChange};
use crate::delivery::Batch;
use crate::form::BoundForm;
use crate::keymap::{KeyChange, KeyRef, KeyRow};
use crate::lsn::Lsn;
use crate::source::Source;
use std::collections::{HashMap, VecDeque};

/// What a transaction tells of keys goes to disk before its end when there is so much of it. It is told by a transaction that
/// is committed, behind everything before it: should the process end, the same is told again.
const OPEN_MAX: usize = 20_000;

/// What has been told and is not on disk yet.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// By the transaction that is being read, in its order.
    open: Vec<KeyChange>,
    /// The rows that it told of.
    open_rows: HashMap<KeyRef, KeyRow>,
    /// The rows of transactions that are in the batch.
    batch_rows: HashMap<KeyRef, KeyRow>,
    /// Those of batches that were handed over, each with the position that it ends at.
    under_way: VecDeque<(Lsn, HashMap<KeyRef, KeyRow>)>,
}

impl Keys {
    pub(super) fn tell(&mut self, change: KeyChange) {
        if let KeyChange::Told { key, row } = &change {
            self.open_rows.insert(key.clone(), row.clone());
        }
        self.open.push(change);
    }

    /// Begins a transaction; what another one told that came to no end, did not happen.
    pub(super) fn begin(&mut self) {
        if !self.open.is_empty() {
            self.open.clear();
            self.open_rows.clear();
        }
    }

    /// The transaction is complete: what it told belongs into the batch.
    pub(super) fn complete(&mut self, batch: &mut Batch) {
        if !self.open.is_empty() {
            self.batch_rows.extend(self.open_rows.drain());
            batch.keys.append(&mut self.open);
        }
    }

    /// The batch was handed over, up to this position.
    pub(super) fn handed_over(&mut self, end_lsn: Lsn) {
        if !self.batch_rows.is_empty() {
            self.under_way.push_back((end_lsn, std::mem::take(&mut self.batch_rows)));
        }
    }

    /// Everything up to this position is on disk.
    pub(super) fn durable(&mut self, end_lsn: Lsn) {
        while self.under_way.front().is_some_and(|(lsn, _)| *lsn <= end_lsn) {
            self.under_way.pop_front();
        }
    }

    fn find(&self, key: &KeyRef) -> Option<&KeyRow> {
        let under_way = self.under_way.iter().rev().map(|(_, rows)| rows);
        [&self.open_rows, &self.batch_rows].into_iter().chain(under_way).find_map(|rows| rows.get(key))
    }
}

/// By which columns rows of a form are known to others, and what then leads on.
struct Way {
    by: Vec<usize>,
    leads_on: Vec<usize>,
}

/// The ways over a form that are worth keeping.
fn ways(form: &BoundForm) -> Vec<Way> {
    let (Some(belonging), Some(bound)) = (&form.form.belonging, &form.belonging) else {
        let is_kept = |by: &Vec<usize>| !tells_which(form, by);
        // what says whether it is an entry, too
        let decides = form.entries.iter().flat_map(|entries| entries.columns()).chain(form.deleted);
        let mut which: Vec<usize> = form.key.iter().chain(&form.entry_id).copied().chain(decides).collect();
        which.sort_unstable();
        which.dedup();
        let is_shown = |column: &usize| form.fields.iter().any(|field| field.column == *column);
        if form.chooses_rows() && !which.iter().all(is_shown) {
            return Vec::new();
        }
        let mut lists = if form.form.has_others() { references_to(form) } else { Vec::new() };
        if form.form.has_others() {
            lists.push(form.key.clone());
        }
        lists.sort_unstable();
        lists.dedup();
        let kept = lists.into_iter().filter(is_kept);
        return kept.map(|by| Way { by, leads_on: which.clone() }).collect();
    };
    match &belonging.role {
        Role::Child { .. } => Vec::new(),
        Role::Hop { .. } => vec![Way { by: bound.by.clone(), leads_on: place(bound) }],
        Role::Supplement(_) => {
            let way = Way { by: form.key.clone(), leads_on: place(bound) };
            let is_logged =
                |column: &usize| form.relation.columns.get(*column).is_some_and(|one| one.in_identity);
            // the log has them with every old row
            if way.leads_on.iter().all(is_logged) { Vec::new() } else { vec![way] }
        }
    }
}

/// The columns that say where a row belongs.
fn place(bound: &BoundBelonging) -> Vec<usize> {
    let attribute = bound.supplement.as_ref().and_then(|supplement| supplement.attribute);
    bound.parent.iter().copied().chain(bound.kind.iter().map(|(kind, _)| *kind)).chain(attribute).collect()
}

fn key_of(form: &BoundForm, by: &[usize], values: Vec<String>) -> KeyRef {
    let name =
        |&column: &usize| form.relation.columns.get(column).map_or_else(String::new, |one| one.name.clone());
    KeyRef { table: form.relation.id, by: by.iter().map(name).collect(), values }
}

/// What leads on of a row; none where some of it is not known.
fn leading(form: &BoundForm, way: &Way, row: &Row) -> Option<KeyRow> {
    let column = |&column: &usize| {
        let name = form.relation.columns.get(column)?.name.clone();
        match row.datum(column) {
            Datum::Text(text) => Some((name, Some(text.to_owned()))),
            Datum::Null => Some((name, None)),
            Datum::Unchanged => None,
        }
    };
    let columns = way.leads_on.iter().map(column).collect::<Option<_>>()?;
    let entry = form.form.belonging.is_none().then(|| (form.form.name.clone(), form.entry_id_of(row)));
    Some(KeyRow { columns, entry })
}

impl<S: Source, B: Bindings> Capture<'_, S, B>
where
    Error: From<S::Error>,
{
    /// Takes note of what a change of a row says of keys. Before others take note of the row: what they know already is not
    /// told again.
    pub(super) fn note_keys(&mut self, form: &BoundForm, change: &RowChange) {
        for way in ways(form) {
            let (old, new) = match change {
                RowChange::Insert { new } => (None, Some(new.clone())),
                RowChange::Update { old, new } => (
                    Some(old),
                    Some(old.full().map_or_else(|| new.clone(), |old| new.clone().filled_from(old))),
                ),
                RowChange::Delete { old } => (Some(old), None),
            };
            let before = old.and_then(|old| values_before(form, &way.by, old));
            let after = new.as_ref().and_then(|row| texts(form, row, &way.by));
            if let Some(values) = before.filter(|before| Some(before) != after.as_ref()) {
                self.keys.tell(KeyChange::Gone { key: key_of(form, &way.by, values) });
            }
            // an update is no news of what memory has it by already; what is inserted may have been gone
            let is_new = matches!(change, RowChange::Insert { .. });
            if let (Some(row), Some(values)) = (new, after) {
                self.note_way(form, &way, values, &row, is_new);
            }
        }
    }

    /// Takes note of tables that were emptied.
    pub(super) fn note_emptied(&mut self, tables: &[RelationId]) {
        for &table in tables {
            let is_kept = self.forms.of(table).iter().any(|form| !ways(form).is_empty());
            if is_kept && self.open.is_some() {
                self.keys.tell(KeyChange::Emptied { table });
            }
        }
    }

    fn note_way(&mut self, form: &BoundForm, way: &Way, values: Vec<String>, row: &Row, is_new: bool) {
        let Some(leading_on) = leading(form, way, row) else { return };
        let (form_name, by) = (form.form.name.clone(), way.by.clone());
        let reference = Reference { form: form_name, by, values };
        let known = self.known.find(&reference).and_then(|known| leading(form, way, &known));
        if is_new || known.as_ref() != Some(&leading_on) {
            let key = key_of(form, &way.by, reference.values);
            self.keys.tell(KeyChange::Told { key, row: leading_on });
        }
    }

    /// Takes note of a row as the database has it, where the log has told of none.
    pub(super) fn note_found(&mut self, form: &BoundForm, by: &[usize], row: &Row) {
        for way in ways(form).iter().filter(|way| way.by == by) {
            if let (Some(values), Some(row)) = (texts(form, row, by), leading(form, way, row)) {
                self.keys.tell(KeyChange::Told { key: key_of(form, by, values), row });
            }
        }
    }

    /// A row as far as what is kept of its key tells of it, gone or not.
    pub(super) async fn kept_row(
        &mut self,
        form: &BoundForm,
        by: &[usize],
        values: &[String],
    ) -> Result<Option<Row>, Error> {
        if !ways(form).iter().any(|way| way.by == by) {
            return Ok(None);
        }
        let key = key_of(form, by, values.to_vec());
        let kept = match self.keys.find(&key) {
            Some(row) => Some(row.clone()),
            None => self.queue.key_row(key.clone()).await?,
        };
        let Some(kept) = kept else { return Ok(None) };
        let names: Vec<String> = kept.columns.iter().map(|(name, _)| name.clone()).collect();
        // a column that leads on has another name by now: nothing is known
        let Some(columns) = columns_of(form, &names) else { return Ok(None) };
        let datum = |column: usize| {
            if let Some(place) = by.iter().position(|one| *one == column) {
                return values.get(place).map_or(Datum::Unchanged, |value| Datum::Text(value));
            }
            let place = columns.iter().position(|one| *one == column);
            match place.and_then(|place| kept.columns.get(place)) {
                Some((_, Some(value))) => Datum::Text(value),
                Some((_, None)) => Datum::Null,
                None => Datum::Unchanged,
            }
        };
        Ok(Some((0..form.relation.columns.len()).map(datum).collect()))
    }

    /// What is told of keys does not fill memory.
    pub(super) async fn relieve_keys(&mut self) -> Result<(), Error> {
        if self.keys.open.len() < OPEN_MAX {
            return Ok(());
        }
        if let Some(mut open) = self.open.take() {
            self.begin_parts(&mut open);
            self.open = Some(open);
        }
        let keys = std::mem::take(&mut self.keys.open);
        self.queue.enqueue(Batch { keys, ..Batch::default() }).await?;
        self.keys.open_rows.clear();
        Ok(())
    }
}

/// The values by which a row was known before a change; none where they are not known.
fn values_before(form: &BoundForm, by: &[usize], old: &OldRow) -> Option<Vec<String>> {
    let is_logged = |column: &usize| form.relation.columns.get(*column).is_some_and(|one| one.in_identity);
    match old {
        OldRow::Full(row) => texts(form, row, by),
        OldRow::Key(row) if by.iter().all(is_logged) => texts(form, row, by),
        OldRow::Key(_) | OldRow::Absent | OldRow::NoRow => None,
    }
}
