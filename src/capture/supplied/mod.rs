//! Fields of entries that stand in rows of other tables: custom fields that are rows of their own, and state that is kept
//! apart.
//!
//! A change of such a row is an update of the entry. Which value a field has, and which row it stands in, is what the log
//! told last; where it has told nothing, the database is asked, and what it says holds for the fields that did not change:
//! it may be ahead of the log, so it never says what a field was before.

mod held;

use super::database::Bindings;
use super::fold::{ChangeOf, is_entry};
use super::known::Reference;
use super::parents::{End, columns_of, key_alone, next, note, texts};
use super::{Capture, Error};
use crate::belonging::{BoundBelonging, BoundSupplement};
use crate::catalog::Found;
use crate::change::{Datum, OldRow, Row, RowChange};
use crate::form::BoundForm;
use crate::source::Source;
use held::{Fields, Held, Said, Value, advance, of_row, to_row};
use std::sync::Arc;

/// How many rows of one table have fields of one entry, at most; of more, the first.
const ROWS_MAX: usize = 1000;

impl<S: Source, B: Bindings> Capture<'_, S, B>
where
    Error: From<S::Error>,
{
    /// Takes a change of a row that has fields of an entry.
    pub(super) async fn take_supplement(
        &mut self,
        ordinal: u64,
        table: &Arc<BoundForm>,
        belonging: &BoundBelonging,
        change: &RowChange,
    ) -> Result<(), Error> {
        let Some(supplement) = &belonging.supplement else { return Ok(()) };
        let before = self.row_before(table, change).await?;
        self.note_keys(table, change);
        note(&mut self.known, table, &table.key, change);
        let after = match change {
            RowChange::Insert { new } => Some(new.clone()),
            RowChange::Update { new, .. } => Some(before.iter().fold(new.clone(), Row::filled_from)),
            RowChange::Delete { .. } => None,
        };
        let said = read(table, belonging, supplement, before.as_ref(), true)
            .and_then(|before| Ok((before, read(table, belonging, supplement, after.as_ref(), false)?)));
        let (gone, come) = match said {
            Ok(said) => said,
            Err(reason) => {
                let rows = format!("old: {before:?}, new: {after:?}");
                self.put_aside(ordinal, Some(table.form.name.clone()), reason, rows.into());
                return Ok(());
            }
        };
        let id = |row: &Option<Row>| row.as_ref().map(|row| table.entry_id_of(row)).unwrap_or_default();
        let (from, to) = (id(&before), id(&after));
        let gone = gone.map(|(values, fields)| (values, Said { by: from, fields }));
        let come = come.map(|(values, fields)| (values, Said { by: to, fields }));
        match (gone, come) {
            (Some((from, gone)), Some((to, come))) if from != to => {
                self.tell_of(ordinal, table, from, gone, Said::default()).await?;
                self.tell_of(ordinal, table, to, Said::default(), come).await
            }
            (gone, Some((to, come))) => {
                let gone = gone.map(|(_, gone)| gone).unwrap_or_default();
                self.tell_of(ordinal, table, to, gone, come).await
            }
            (Some((from, gone)), None) => self.tell_of(ordinal, table, from, gone, Said::default()).await,
            (None, None) => Ok(()),
        }
    }

    /// The row as it was, as far as it is known.
    async fn row_before(&mut self, table: &BoundForm, change: &RowChange) -> Result<Option<Row>, Error> {
        let (old, new) = match change {
            RowChange::Insert { .. } => return Ok(None),
            RowChange::Update { old, new } => (old, Some(new)),
            RowChange::Delete { old } => (old, None),
        };
        if let Some(row) = old.full() {
            return Ok(Some(row.clone()));
        }
        let Some(row) = old.row().or(new) else { return Ok(None) };
        let Some(values) = texts(table, row, &table.key) else { return Ok(None) };
        let reference = Reference { form: table.form.name.clone(), by: table.key.clone(), values };
        if let Some(known) = self.known.find(&reference) {
            return Ok(Some(known));
        }
        if let Some(kept) = self.kept_row(table, &table.key, &reference.values).await? {
            return Ok(Some(kept));
        }
        Ok(Some(match (old, new) {
            (OldRow::Key(key), None) => key_alone(table, key),
            // an update without old values leaves it where it was, as far as anybody knows
            _ => without_values(table, row),
        }))
    }

    /// Tells what an entry's fields were and are: `gone` stood in the row before, `come` stands in it now.
    async fn tell_of(
        &mut self,
        ordinal: u64,
        table: &Arc<BoundForm>,
        values: Vec<String>,
        gone: Said,
        come: Said,
    ) -> Result<(), Error> {
        let Some(supplement) = supplement_of(table) else { return Ok(()) };
        let mut held = self.held(table, supplement, &values).await?;
        let told = advance(&mut held, &gone, &come);
        self.keep_held(table, &values, &held);
        if told.is_empty() {
            return Ok(());
        }
        let (form, entry) = match self.entry_of(table, values).await {
            Ok(found) => found,
            Err(End::Nowhere) => return Ok(()),
            Err(End::Lost(reason)) => {
                self.put_aside(ordinal, Some(table.form.name.clone()), reason, format!("{told:?}").into());
                return Ok(());
            }
            Err(End::Trouble(error)) => return Err(error),
        };
        let entry = self.with_supplied(&form, entry).await?;
        let mut row = vec![Datum::Unchanged; 2 * form.form.supplied.len()];
        for (field, before, after) in &told {
            let place = 2 * (supplement.first + field);
            row[place] = before.datum();
            row[place + 1] = after.datum();
        }
        if let Some(open) = &mut self.open {
            open.tell(ordinal, &form, ChangeOf::Supplement, entry, row.into_iter().collect());
        }
        Ok(())
    }

    /// A change of an entry's own row, with its fields from other tables behind it.
    pub(super) async fn change_with_supplied(
        &mut self,
        form: &Arc<BoundForm>,
        change: &RowChange,
    ) -> Result<RowChange, Error> {
        Ok(match change {
            RowChange::Insert { new } => {
                self.begin_held(form, new);
                RowChange::Insert { new: self.with_supplied(form, new.clone()).await? }
            }
            RowChange::Update { old: OldRow::Full(old), new } => RowChange::Update {
                old: OldRow::Full(self.with_supplied(form, old.clone()).await?),
                new: wide(form, new, |_| Value::Unknown),
            },
            RowChange::Update { old, new } => {
                RowChange::Update { old: old.clone(), new: self.with_supplied(form, new.clone()).await? }
            }
            RowChange::Delete { old: OldRow::Full(old) } => {
                RowChange::Delete { old: OldRow::Full(self.with_supplied(form, old.clone()).await?) }
            }
            RowChange::Delete { old } => RowChange::Delete { old: old.clone() },
        })
    }

    /// An entry's row with its fields from other tables behind its own.
    pub(super) async fn with_supplied(&mut self, form: &Arc<BoundForm>, row: Row) -> Result<Row, Error> {
        if form.form.supplied.is_empty() {
            return Ok(row);
        }
        let mut values = Vec::with_capacity(form.form.supplied.len());
        for (table, keys) in self.tables_of(form, &row) {
            let Some(supplement) = supplement_of(&table) else { continue };
            let held = match &keys {
                Some(keys) => self.held(&table, supplement, keys).await?,
                None => vec![Held { value: Value::Unknown, ..Held::default() }; supplement.fields.len()],
            };
            values.extend(held.into_iter().map(|held| held.value));
        }
        Ok(wide(form, &row, |field| values.get(field).cloned().unwrap_or(Value::Unknown)))
    }

    /// The tables that have fields of a form, in their order, each with the values by which its rows refer to an entry.
    fn tables_of(&self, form: &BoundForm, row: &Row) -> Vec<(Arc<BoundForm>, Option<Vec<String>>)> {
        let mut names: Vec<&String> = form.form.supplied.iter().map(|field| &field.from).collect();
        names.dedup();
        let tables = names.into_iter().filter_map(|name| self.forms.latest(name));
        let tables = tables.map(|table| {
            let references = table.form.belonging.as_ref().map_or(&[][..], |belonging| &belonging.references);
            let by =
                if references.is_empty() { Some(form.key.clone()) } else { columns_of(form, references) };
            let keys = by.and_then(|by| texts(form, row, &by));
            (table, keys)
        });
        tables.collect()
    }

    /// What is known of the fields that an entry has in a table.
    async fn held(
        &mut self,
        table: &Arc<BoundForm>,
        supplement: &BoundSupplement,
        values: &[String],
    ) -> Result<Vec<Held>, Error> {
        if let Some(row) = self.known.find(&reference(table, values)) {
            return Ok(of_row(&row));
        }
        let mut held = vec![Held::default(); supplement.fields.len()];
        let Some(belonging) = &table.belonging else { return Ok(held) };
        let (by, wanted) = referring(table, belonging, values);
        let is_seen = self.sees_all().await?;
        match self.forms.look_up(table, &by, &wanted, ROWS_MAX).await? {
            Found::Rows(rows) if is_seen => {
                for row in rows {
                    let Ok(Some((_, fields))) = read(table, belonging, supplement, Some(&row), false) else {
                        continue;
                    };
                    let said = Said { by: table.entry_id_of(&row), fields };
                    advance(&mut held, &Said::default(), &said);
                }
                for held in &mut held {
                    held.is_told = false;
                }
                self.keep_held(table, values, &held);
            }
            // nobody may look, or it is from before what the log has told: nothing is known
            Found::Rows(_) | Found::Refused(_) => {
                for held in &mut held {
                    held.value = Value::Unknown;
                }
            }
        }
        Ok(held)
    }

    fn keep_held(&mut self, table: &BoundForm, values: &[String], held: &[Held]) {
        self.known.put(reference(table, values), &to_row(held));
    }

    /// An entry that appears has no fields elsewhere, but those that the log told of before.
    fn begin_held(&mut self, form: &BoundForm, row: &Row) {
        for (table, keys) in self.tables_of(form, row) {
            let count = supplement_of(&table).map(|supplement| supplement.fields.len());
            let (Some(keys), Some(count)) = (keys, count) else { continue };
            if self.known.find(&reference(&table, &keys)).is_none() {
                self.keep_held(&table, &keys, &vec![Held { is_told: true, ..Held::default() }; count]);
            }
        }
    }
}

fn supplement_of(table: &BoundForm) -> Option<&BoundSupplement> {
    table.belonging.as_ref()?.supplement.as_ref()
}

/// What a row says: the values by which it refers to its entry, and its fields. None where it says nothing. `is_gone`: the
/// row as it was, of which less may be known.
fn read(
    table: &BoundForm,
    belonging: &BoundBelonging,
    supplement: &BoundSupplement,
    row: Option<&Row>,
    is_gone: bool,
) -> Result<Option<(Vec<String>, Fields)>, String> {
    let Some(row) = row else { return Ok(None) };
    let values = match next(table, belonging, row) {
        Ok(values) => values,
        Err(End::Lost(reason)) => return Err(reason),
        Err(End::Nowhere | End::Trouble(_)) => return Ok(None),
    };
    match is_entry(table, Some(row)) {
        Ok(false) => return Ok(None),
        // what it was is not known: it may have been one
        Err(_) if is_gone => {}
        Err(reason) => return Err(reason),
        Ok(true) => {}
    }
    let attribute = supplement.attribute.map(|column| table.datum(row, column));
    if attribute == Some(Datum::Unchanged) {
        return Err("the log does not have the column that says which field the row was".to_owned());
    }
    let fields = supplement.fields.iter().enumerate().filter(|(_, (name, _))| match (attribute, name) {
        (Some(Datum::Text(text)), Some(name)) => text == name,
        (attribute, _) => attribute.is_none(),
    });
    Ok(Some((values, fields.map(|(number, (_, columns))| (number, value(table, row, columns))).collect())))
}

/// The first value that is not NULL.
fn value(table: &BoundForm, row: &Row, columns: &[usize]) -> Value {
    for &column in columns {
        match table.datum(row, column) {
            Datum::Text(text) => return Value::Text(text.to_owned()),
            Datum::Unchanged => return Value::Unknown,
            Datum::Null => {}
        }
    }
    Value::Null
}

/// A row of which only that is known which says where it belongs.
fn without_values(table: &BoundForm, row: &Row) -> Row {
    let belonging = table.belonging.as_ref();
    let is_place = |column: usize| {
        table.identifies(column)
            || belonging.is_some_and(|belonging| {
                belonging.parent.contains(&column)
                    || belonging.kind.as_ref().is_some_and(|(kind, _)| *kind == column)
                    || belonging.supplement.as_ref().is_some_and(|one| one.attribute == Some(column))
            })
    };
    let datum = |(column, datum)| if is_place(column) { datum } else { Datum::Unchanged };
    row.data().enumerate().map(datum).collect()
}

/// The columns by which a table refers to an entry, and their values.
fn referring(table: &BoundForm, belonging: &BoundBelonging, values: &[String]) -> (Vec<usize>, Vec<String>) {
    let mut by = belonging.parent.clone();
    let mut wanted = values.to_vec();
    let prefix = table.form.belonging.as_ref().and_then(|belonging| belonging.prefix.as_deref());
    if let (Some(prefix), Some(first)) = (prefix, wanted.first_mut()) {
        first.insert_str(0, prefix);
    }
    if let Some((column, value)) = &belonging.kind {
        by.push(*column);
        wanted.push(value.clone());
    }
    (by, wanted)
}

/// Under which name it is kept what is known of the fields of an entry.
fn reference(table: &BoundForm, values: &[String]) -> Reference {
    Reference { form: table.form.name.clone(), by: Vec::new(), values: values.to_vec() }
}

/// An entry's own row with the fields from other tables behind it.
fn wide(form: &BoundForm, row: &Row, value: impl Fn(usize) -> Value) -> Row {
    let values: Vec<Value> = (0..form.form.supplied.len()).map(value).collect();
    let own = (0..form.own_columns()).map(|column| row.datum(column));
    own.chain(values.iter().map(Value::datum)).collect()
}
