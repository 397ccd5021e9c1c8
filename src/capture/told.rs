//! Events that tell of an entry without its row having changed: rows of other tables that belong to it, and what the
//! application says of it itself.
//!
//! They have the entry's row where the transaction has it, and else as much of it as is known: what it is found by.

use super::fold::{ChangeOf, EntryChange, EntryRow, Undecided, is_entry, which};
use super::marks::Marks;
use crate::belonging::Role;
use crate::change::{Datum, OldRow, Row, RowChange};
use crate::event::{Circumstances, Detail, FormEvent, Transaction, Verb};
use crate::form::BoundForm;
use crate::lsn::Position;
use crate::value::{write_json, write_string};
use std::sync::Arc;

/// The events of the changes that tell of one entry, in their order. `event` and `row` are what became of its own row in the
/// same transaction, if that changed.
pub(super) fn events(
    event: Option<&FormEvent>,
    row: Option<&EntryRow>,
    changes: Vec<EntryChange>,
    transaction: &Arc<Transaction>,
    position_of: impl Fn(u64) -> Position,
) -> Result<Vec<FormEvent>, Undecided> {
    let mut events = Vec::with_capacity(changes.len());
    for change in changes {
        let position = position_of(change.place / 2);
        let Some((verb, circumstances)) = meaning(&change) else { continue };
        let (form, row) = match (event, row) {
            (Some(event), _) => {
                // what is told of an entry that appeared is about one that was not there before
                let old = if event.verb == Verb::Create { OldRow::NoRow } else { event.old.clone() };
                let circumstances = Arc::new(circumstances);
                events.push(FormEvent { verb, position, old, circumstances, ..event.clone() });
                continue;
            }
            // it came and went
            (None, Some(None)) => continue,
            (None, Some(Some((form, row)))) => (Arc::clone(form), row.clone()),
            (None, None) => {
                let RowChange::Update { old: OldRow::Key(row), .. } = change.change else { continue };
                (change.form, row)
            }
        };
        let is_emitted = matches!(change.is, ChangeOf::Emitted);
        if let Some(event) = unchanged(&form, row, transaction, position, is_emitted)? {
            events.push(FormEvent { verb, circumstances: Arc::new(circumstances), ..event });
        }
    }
    Ok(events)
}

/// An event of an entry that is as it was; none where the row is no entry of the form, but for what is emitted.
fn unchanged(
    form: &Arc<BoundForm>,
    row: Row,
    transaction: &Arc<Transaction>,
    position: Position,
    is_emitted: bool,
) -> Result<Option<FormEvent>, Undecided> {
    let undecided =
        |reason| Undecided { form: form.form.name.clone(), position, reason, rows: format!("row: {row:?}") };
    match is_entry(form, Some(&row)) {
        Ok(true) => {}
        // who emits it knows of what: the entry may be gone, and nobody need have told of it
        _ if is_emitted => {}
        Ok(false) => return Ok(None),
        Err(reason) => return Err(undecided(reason)),
    }
    which(form, &row, position)?;
    let lane = form.lane_of(&form.key_of(&row));
    let mut behind: Vec<_> = form.former_lanes_of(&row, |_| true).filter(|one| *one != lane).collect();
    behind.sort_unstable();
    behind.dedup();
    Ok(Some(FormEvent {
        verb: Verb::Update,
        position,
        transaction: Arc::clone(transaction),
        entry_id: form.entry_id_of(&row),
        lane,
        behind,
        old: OldRow::Full(row.clone()),
        new: Some(row),
        changed: Some(Vec::new()),
        renamed_to: None,
        renamed_from: None,
        circumstances: Circumstances::none(),
        form: Arc::clone(form),
    }))
}

/// What a change tells.
fn meaning(change: &EntryChange) -> Option<(Verb, Circumstances)> {
    let RowChange::Update { new: row, .. } = &change.change else { return None };
    let marks = change.marks.as_deref();
    match &change.is {
        ChangeOf::Entry | ChangeOf::Supplement => None,
        ChangeOf::Child(child) => {
            let Role::Child { verb, .. } = child.form.belonging.as_ref()?.role else { return None };
            let detail = Detail::Child { id: child.entry_id_of(row), fields: fields_of(child, row) };
            let value = |column: Option<usize>| match child.datum(row, column?) {
                Datum::Text(text) => Some(text.to_owned()),
                Datum::Null | Datum::Unchanged => None,
            };
            let mut circumstances = Circumstances { detail, ..said(marks) };
            if circumstances.actor.is_none() {
                circumstances.actor = value(child.happenings.actor);
                circumstances.actor_name = value(child.happenings.actor_name);
            }
            Some((Verb::Named(verb), circumstances))
        }
        ChangeOf::Emitted => {
            let (Datum::Text(verb), Datum::Text(payload)) = (row.datum(0), row.datum(1)) else { return None };
            Some((
                verb.parse().ok()?,
                Circumstances { detail: Detail::Payload(payload.to_owned()), ..said(marks) },
            ))
        }
    }
}

/// What the session said.
fn said(marks: Option<&Marks>) -> Circumstances {
    let Some(marks) = marks else { return Circumstances::default() };
    Circumstances {
        actor: marks.actor.as_deref().map(str::to_owned),
        is_bulk: marks.is_bulk,
        marks: marks.words.iter().map(|word| (**word).to_owned()).collect(),
        ..Circumstances::default()
    }
}

/// The fields of a row as a JSON object. Values that are not known, or too large, are left out.
fn fields_of(form: &BoundForm, row: &Row) -> String {
    let mut json = vec![b'{'];
    for field in &form.fields {
        let datum = form.datum(row, field.column);
        let is_told = match datum {
            Datum::Text(text) => text.len() <= form.form.value_bytes_max,
            Datum::Null => true,
            Datum::Unchanged => false,
        };
        if !is_told {
            continue;
        }
        if json.len() > 1 {
            json.push(b',');
        }
        write_string(&field.name, &mut json);
        json.push(b':');
        match datum {
            Datum::Text(text) => write_json(&field.type_, text, &mut json),
            Datum::Null | Datum::Unchanged => json.extend_from_slice(b"null"),
        }
    }
    json.push(b'}');
    String::from_utf8(json).expect("JSON of texts is UTF-8")
}
