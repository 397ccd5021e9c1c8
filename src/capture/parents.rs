//! Rows that belong to the entries of a form, led to them.
//!
//! ```text
//! note ──parent──► article ──parent──► incident
//! child            hop                 form
//! ```
//!
//! Each row on the way is the one that the log told of last, in this transaction or before; where it has told of none, the
//! database is asked. The entry's other fields come with it.

use super::database::Bindings;
use super::fold::{ChangeOf, is_entry};
use super::known::{Known, Reference};
use super::{Capture, Error};
use crate::belonging::{BoundBelonging, On, Role};
use crate::catalog::Found;
use crate::change::{Datum, OldRow, Row, RowChange};
use crate::form::BoundForm;
use crate::source::Source;
use std::sync::Arc;

/// Where a row has led to.
enum Led {
    /// To an entry: its form, and its row as far as it is known.
    To(Arc<BoundForm>, Row),
    /// It belongs to nothing of ours.
    Nowhere,
    /// It cannot be told, for this reason.
    Lost(String),
}

/// Why a way ends before it has come to an entry.
pub(super) enum End {
    Nowhere,
    Lost(String),
    Trouble(Error),
}

impl<S: Source, B: Bindings> Capture<'_, S, B>
where
    Error: From<S::Error>,
{
    /// Takes a change of a row that belongs to the entry of another form.
    pub(super) async fn take_belonging(
        &mut self,
        ordinal: u64,
        child: &Arc<BoundForm>,
        change: &RowChange,
    ) -> Result<(), Error> {
        let (Some(belonging), Some(bound)) = (&child.form.belonging, &child.belonging) else { return Ok(()) };
        let on = match &belonging.role {
            Role::Hop { .. } => {
                self.note_keys(child, change);
                note(&mut self.known, child, &bound.by, change);
                return Ok(());
            }
            Role::Supplement(_) => return self.take_supplement(ordinal, child, bound, change).await,
            Role::Child { on, .. } => *on,
        };
        let row = match (on, change) {
            (On::Insert, RowChange::Insert { new }) => new,
            (On::Update, RowChange::Update { old, new }) if !is_idle(child, old, new) => new,
            (On::Delete, RowChange::Delete { old: OldRow::Full(row) }) => row,
            (On::Delete, RowChange::Delete { old: OldRow::Key(key) }) => &key_alone(child, key),
            _ => return Ok(()),
        };
        let row = match change {
            RowChange::Update { old, .. } => row.clone().filled_from(old.full().unwrap_or(row)),
            RowChange::Insert { .. } | RowChange::Delete { .. } => row.clone(),
        };
        let led = match is_entry(child, Some(&row)) {
            Ok(false) => return Ok(()),
            Ok(true) => self.lead(child, bound, &row).await?,
            Err(reason) => Led::Lost(reason),
        };
        match led {
            Led::To(form, entry) => {
                let entry = self.with_supplied(&form, entry).await?;
                if let Some(open) = &mut self.open {
                    open.tell(ordinal, &form, ChangeOf::Child(Arc::clone(child)), entry, row);
                }
            }
            Led::Nowhere => {}
            Led::Lost(reason) => {
                self.put_aside(ordinal, Some(child.form.name.clone()), reason, format!("{row:?}").into());
            }
        }
        Ok(())
    }

    async fn lead(&mut self, child: &BoundForm, bound: &BoundBelonging, row: &Row) -> Result<Led, Error> {
        match self.follow_up(child, bound, row).await {
            Ok((form, row)) => Ok(Led::To(form, row)),
            Err(End::Nowhere) => Ok(Led::Nowhere),
            Err(End::Lost(reason)) => Ok(Led::Lost(reason)),
            Err(End::Trouble(error)) => Err(error),
        }
    }

    /// Goes from row to row to the entry.
    async fn follow_up(
        &mut self,
        child: &BoundForm,
        bound: &BoundBelonging,
        row: &Row,
    ) -> Result<(Arc<BoundForm>, Row), End> {
        let values = next(child, bound, row)?;
        self.entry_of(child, values).await
    }

    /// Goes on to the entry, from what a row of another table has of the next.
    pub(super) async fn entry_of(
        &mut self,
        child: &BoundForm,
        mut values: Vec<String>,
    ) -> Result<(Arc<BoundForm>, Row), End> {
        let Some(belonging) = &child.form.belonging else { return Err(End::Nowhere) };
        for name in &belonging.through {
            let hop = self.forms.latest(name).ok_or_else(|| End::Lost(format!("{name:?} has no table")))?;
            let Some(bound) = &hop.belonging else { return Err(End::Nowhere) };
            let row = self.find(&hop, &bound.by, &values).await?;
            values = next(&hop, bound, &row)?;
        }
        let unknown = || End::Lost(format!("form {:?} has no table", belonging.form));
        let form = self.forms.latest(&belonging.form).ok_or_else(unknown)?;
        let by = if belonging.references.is_empty() {
            form.key.clone()
        } else {
            columns_of(&form, &belonging.references).ok_or_else(unknown)?
        };
        let entry = match self.find(&form, &by, &values).await {
            // it is gone, or nobody may look: what refers to it tells which it is, where that is enough
            Err(End::Lost(_)) if tells_which(&form, &by) => row_of(&form, &by, &values),
            found => found?,
        };
        Ok((form, entry))
    }

    /// The row that is referred to.
    pub(super) async fn find(
        &mut self,
        form: &Arc<BoundForm>,
        by: &[usize],
        values: &[String],
    ) -> Result<Row, End> {
        let reference = Reference { form: form.form.name.clone(), by: by.to_vec(), values: values.to_vec() };
        if let Some(row) = self.known.find(&reference) {
            return Ok(row);
        }
        let kept = self.kept_row(form, by, values).await.map_err(End::Trouble)?;
        let kept = match kept {
            // nothing else of it is asked for
            Some(row) if form.belonging.is_some() => return Ok(row),
            kept => kept,
        };
        // the entry that had these values may have others by now, and another entry these
        let key = kept.as_ref().and_then(|row| texts(form, row, &form.key));
        let (wanted_by, wanted) = match &key {
            Some(key) => (&form.key[..], &key[..]),
            None => (by, values),
        };
        let table = format!("{}.{}", form.relation.schema, form.relation.name);
        let is_seen = self.sees_all().await.map_err(End::Trouble)?;
        let found = self.forms.look_up(form, wanted_by, wanted, 1).await.map_err(End::Trouble)?;
        let reason = match found {
            Found::Rows(mut rows) => match rows.pop() {
                Some(row) => {
                    // one from before what the log has told is for this once
                    if is_seen && kept.is_none() {
                        self.note_found(form, by, &row);
                    }
                    let row = kept.map_or_else(|| row.clone(), |kept| kept.filled_from(&row));
                    if is_seen {
                        self.known.put(reference, &row);
                    }
                    return Ok(row);
                }
                None => format!("table {table} has no row {}", values.join("|")),
            },
            Found::Refused(reason) => {
                format!("row {} of table {table} cannot be read: {reason}", values.join("|"))
            }
        };
        kept.ok_or(End::Lost(reason))
    }

    /// Takes note of an entry's row, for others that belong to it.
    pub(super) fn note_entry(&mut self, form: &BoundForm, change: &RowChange) {
        if form.form.has_others() {
            self.note_keys(form, change);
            note(&mut self.known, form, &form.key, change);
            for by in references_to(form) {
                note(&mut self.known, form, &by, change);
            }
        }
    }
}

/// The lists of columns by which rows of other tables refer to a form, beside its key.
pub(super) fn references_to(form: &BoundForm) -> Vec<Vec<usize>> {
    let columns = |names: &Vec<String>| columns_of(form, names);
    let by_merges = form.happenings.references.map(|column| vec![column]);
    let lists = form.form.referred_by.iter().filter_map(columns);
    lists.chain([form.entry_id.clone()]).chain(by_merges).collect()
}

pub(super) fn columns_of(form: &BoundForm, names: &[String]) -> Option<Vec<usize>> {
    names.iter().map(|name| form.relation.columns.iter().position(|column| column.name == *name)).collect()
}

/// An old row of which the log has the key alone: the rest is not NULL but not known.
pub(super) fn key_alone(form: &BoundForm, key: &Row) -> Row {
    let datum = |(column, datum)| if form.identifies(column) { datum } else { Datum::Unchanged };
    key.data().enumerate().map(datum).collect()
}

/// An update that changed bookkeeping only, as far as that is known.
fn is_idle(form: &BoundForm, old: &OldRow, new: &Row) -> bool {
    let Some(old) = old.full() else { return false };
    let differs = |column: usize| match form.datum(new, column) {
        Datum::Unchanged => false,
        datum => datum != form.datum(old, column),
    };
    !(0..form.relation.columns.len()).any(|column| !form.ignored[column] && differs(column))
}

/// Takes note of a row under the values of some of its columns.
pub(super) fn note(known: &mut Known, form: &BoundForm, by: &[usize], change: &RowChange) {
    let reference = |row: &Row| {
        let values = texts(form, row, by)?;
        Some(Reference { form: form.form.name.clone(), by: by.to_vec(), values })
    };
    let (old, new) = match change {
        RowChange::Insert { new } => (None, Some(new.clone())),
        RowChange::Update { old, new } => {
            let filled = old.full().map_or_else(|| new.clone(), |old| new.clone().filled_from(old));
            (old.full(), Some(filled))
        }
        // what belongs to it may vanish behind it in the same transaction, and still tell of it
        RowChange::Delete { .. } => return,
    };
    let new = new.as_ref();
    if let (Some(before), Some(after)) = (old.and_then(reference), new.and_then(reference))
        && before != after
    {
        known.forget(&before);
    }
    if let Some((row, reference)) = new.and_then(|row| Some((row, reference(row)?))) {
        known.put(reference, row);
    }
}

/// The texts of some columns; none where one is NULL or not known.
pub(super) fn texts(form: &BoundForm, row: &Row, columns: &[usize]) -> Option<Vec<String>> {
    let text = |&column: &usize| match form.datum(row, column) {
        Datum::Text(text) => Some(text.to_owned()),
        Datum::Null | Datum::Unchanged => None,
    };
    columns.iter().map(text).collect()
}

/// The values by which a row refers to the next.
pub(super) fn next(form: &BoundForm, bound: &BoundBelonging, row: &Row) -> Result<Vec<String>, End> {
    let is_unknown = |column: usize| form.datum(row, column) == Datum::Unchanged;
    if let Some((column, value)) = &bound.kind
        && !is_unknown(*column)
        && form.datum(row, *column) != Datum::Text(value)
    {
        return Err(End::Nowhere);
    }
    let kind = bound.kind.iter().map(|(column, _)| *column);
    if bound.parent.iter().copied().chain(kind).any(is_unknown) {
        return Err(End::Lost(
            "the log does not have the columns that say to which entry it belongs".to_owned(),
        ));
    }
    let mut values = texts(form, row, &bound.parent).ok_or(End::Nowhere)?;
    let prefix = form.form.belonging.as_ref().and_then(|belonging| belonging.prefix.as_deref());
    if let (Some(prefix), Some(first)) = (prefix, values.first_mut()) {
        *first = first.strip_prefix(prefix).ok_or(End::Nowhere)?.to_owned();
    }
    Ok(values)
}

/// Whether the values of some columns say which entry a row is, and whether it is one.
pub(super) fn tells_which(form: &BoundForm, by: &[usize]) -> bool {
    !form.chooses_rows()
        && form.key.len() == by.len()
        && form.key.iter().chain(&form.entry_id).all(|column| by.contains(column))
}

/// An entry's row with nothing but what refers to it.
pub(super) fn row_of(form: &BoundForm, by: &[usize], values: &[String]) -> Row {
    let datum = |column: usize| {
        let value = by.iter().position(|one| *one == column).and_then(|place| values.get(place));
        value.map_or(Datum::Unchanged, |value| Datum::Text(value))
    };
    (0..form.relation.columns.len()).map(datum).collect()
}
