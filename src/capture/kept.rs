//! An event as it is kept while webhooks cannot be judged for it: its rows with the columns they came in, as JSON,
//! so that people can read it too.

use super::fold::{changed_fields, in_columns_of};
use crate::change::{Column, Datum, OldRow, Relation, ReplicaIdentity, Row};
use crate::delivery::{Held, HeldWhat};
use crate::event::{Circumstances, FormEvent, Transaction, Verb};
use crate::form::{BoundForm, Lane};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What the queue's own columns do not say.
#[derive(Serialize, Deserialize)]
struct Kept {
    xid: u32,
    origin: Option<String>,
    behind: Behind,
    renamed_to: Option<String>,
    renamed_from: Option<String>,
    schema: String,
    table: String,
    relation: u32,
    /// Name, type oid and type modifier.
    columns: Vec<(String, u32, i32)>,
    /// Whether only the key of the old row is known.
    old_is_key: bool,
    /// Whether there was no row before.
    #[serde(default)]
    is_new: bool,
    #[serde(default)]
    circumstances: Circumstances,
    old: Option<Vec<Cell>>,
    new: Option<Vec<Cell>>,
}

/// Other lanes that the event has to wait for.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Behind {
    Lanes(Vec<u64>),
    /// As it was written when there was at most one.
    Lane(Option<u64>),
}

impl Behind {
    fn lanes(self) -> Vec<Lane> {
        match self {
            Self::Lanes(lanes) => lanes.into_iter().map(Lane).collect(),
            Self::Lane(lane) => lane.into_iter().map(Lane).collect(),
        }
    }
}

/// A value: a text, `null`, or `false` for one that was not sent.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Cell {
    Text(String),
    NotSent(bool),
    Null(()),
}

/// What cannot be read back: the queue was written by something else.
#[derive(Debug, thiserror::Error)]
#[error("a held event cannot be read")]
pub(super) struct Unreadable(#[from] serde_json::Error);

/// An event as the queue keeps it.
pub(super) fn write(event: &FormEvent) -> Bytes {
    let BoundForm { relation, fields, parts, key, entry_id, record_id, .. } = &*event.form;
    // what is hidden is not for disks that people look at
    let mut is_kept = vec![false; relation.columns.len()];
    let columns = fields.iter().map(|field| field.column).chain(parts.iter().map(|part| part.column));
    for column in columns.chain(key.iter().chain(entry_id).chain(record_id).copied()) {
        is_kept[column] = true;
    }
    let kept = Kept {
        xid: event.transaction.xid,
        origin: event.transaction.origin.clone(),
        behind: Behind::Lanes(event.behind.iter().map(|lane| lane.0).collect()),
        renamed_to: event.renamed_to.clone(),
        renamed_from: event.renamed_from.clone(),
        schema: relation.schema.clone(),
        table: relation.name.clone(),
        relation: relation.id,
        columns: relation
            .columns
            .iter()
            .map(|column| (column.name.clone(), column.type_oid, column.type_modifier))
            .collect(),
        old_is_key: matches!(event.old, OldRow::Key(_)),
        is_new: event.old == OldRow::NoRow,
        circumstances: Circumstances::clone(&event.circumstances),
        old: event.old.row().map(|row| cells(row, &is_kept)),
        new: event.new.as_ref().map(|row| cells(row, &is_kept)),
    };
    Bytes::from(serde_json::to_vec(&kept).expect("names and texts can be written as JSON"))
}

/// The event in the columns of the form as it is bound now. None where it is no event but a range of them.
pub(super) fn read(held: &Held, form: &Arc<BoundForm>) -> Result<Option<FormEvent>, Unreadable> {
    let HeldWhat::Event { verb, entry_id, lane, committed_at_us, content, .. } = &held.what else {
        return Ok(None);
    };
    let kept: Kept = serde_json::from_slice(content)?;
    let column =
        |(name, type_oid, type_modifier)| Column { name, type_oid, type_modifier, in_identity: false };
    let relation = Relation {
        id: kept.relation,
        schema: kept.schema,
        name: kept.table,
        identity: ReplicaIdentity::Nothing,
        columns: kept.columns.into_iter().map(column).collect(),
    };
    let row = |cells: Vec<Cell>| in_columns_of(&row_of(&cells), &relation, &form.relation);
    let old = match kept.old {
        None if kept.is_new => OldRow::NoRow,
        None => OldRow::Absent,
        Some(cells) if kept.old_is_key => OldRow::Key(row(cells)),
        Some(cells) => OldRow::Full(row(cells)),
    };
    let new = kept.new.map(row);
    let changed = match (&new, old.full()) {
        (Some(new), Some(old)) => Some(changed_fields(form, old, new)),
        _ => None,
    };
    Ok(Some(FormEvent {
        form: Arc::clone(form),
        verb: if kept.circumstances.rule.is_some() { Verb::AUTOMATION_RULE } else { *verb },
        position: held.position,
        transaction: Arc::new(Transaction {
            xid: kept.xid,
            committed_at_us: *committed_at_us,
            origin: kept.origin,
        }),
        entry_id: entry_id.clone(),
        lane: *lane,
        behind: kept.behind.lanes(),
        old,
        new,
        changed,
        renamed_to: kept.renamed_to,
        renamed_from: kept.renamed_from,
        circumstances: Arc::new(kept.circumstances),
    }))
}

fn cells(row: &Row, is_kept: &[bool]) -> Vec<Cell> {
    let cell = |(datum, is_kept): (Datum<'_>, &bool)| match datum {
        _ if !is_kept => Cell::NotSent(false),
        Datum::Null => Cell::Null(()),
        Datum::Unchanged => Cell::NotSent(false),
        Datum::Text(text) => Cell::Text(text.to_owned()),
    };
    row.data().zip(is_kept).map(cell).collect()
}

fn row_of(cells: &[Cell]) -> Row {
    let datum = |cell| match cell {
        &Cell::Null(()) => Datum::Null,
        Cell::NotSent(_) => Datum::Unchanged,
        Cell::Text(text) => Datum::Text(text),
    };
    cells.iter().map(datum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{HeldBecause, HeldRef};
    use crate::event::Verb;
    use crate::form::sample;
    use crate::lsn::{Lsn, Position};
    use crate::value::Type;
    use crate::webhook::WebhookId;

    fn form(columns: &[&str]) -> Arc<BoundForm> {
        let typed: Vec<_> = columns.iter().map(|name| (*name, Type::Text)).collect();
        Arc::new(sample::form("Incident", &typed))
    }

    fn event(old: OldRow, new: &[&str]) -> FormEvent {
        FormEvent {
            form: form(&["id", "status", "note"]),
            verb: Verb::Update,
            position: Position { epoch: 1, commit_lsn: Lsn(9), ordinal: 4 },
            transaction: Arc::new(Transaction { xid: 7, committed_at_us: 11, origin: Some("etl".into()) }),
            entry_id: "1".into(),
            lane: Lane(5),
            behind: vec![Lane(6), Lane(u64::MAX)],
            old,
            new: Some(sample::row(new)),
            changed: Some(vec![]),
            renamed_to: None,
            renamed_from: Some("0".into()),
            circumstances: crate::event::Circumstances::none(),
        }
    }

    fn held(event: &FormEvent) -> Held {
        Held {
            held: HeldRef { webhook: WebhookId(1), number: 1 },
            cause: HeldBecause::Broken,
            position: event.position,
            what: HeldWhat::Event {
                form: "Incident".into(),
                verb: event.verb,
                entry_id: event.entry_id.clone(),
                lane: event.lane,
                committed_at_us: event.transaction.committed_at_us,
                content: write(event),
            },
        }
    }

    #[test]
    fn an_event_comes_back_as_it_was() {
        let old = OldRow::Full(sample::row(&["1", "New", "NULL"]));
        let event = event(old, &["1", "Closed", "?"]);
        let back = read(&held(&event), &event.form).unwrap().unwrap();
        let expected = FormEvent { changed: Some(vec![1]), ..event };
        assert_eq!(format!("{back:?}"), format!("{expected:?}"));
        let blind =
            FormEvent { changed: None, old: OldRow::Key(sample::row(&["1", "NULL", "NULL"])), ..expected };
        let back = read(&held(&blind), &blind.form).unwrap().unwrap();
        assert_eq!(format!("{back:?}"), format!("{blind:?}"));
    }

    /// Walhook once wrote the one lane that an event could have to wait for, or null.
    #[test]
    fn what_was_written_with_one_lane_to_wait_for_can_be_read() {
        let event = event(OldRow::Absent, &["1", "Closed", "x"]);
        let written = String::from_utf8(write(&event).to_vec()).unwrap();
        let now = format!("\"behind\":[6,{}]", u64::MAX);
        for (before, lanes) in [(u64::MAX.to_string(), vec![Lane(u64::MAX)]), ("null".to_owned(), vec![])] {
            assert!(written.contains(&now), "{written}");
            let content = written.replace(&now, &format!("\"behind\":{before}"));
            let mut held = held(&event);
            let HeldWhat::Event { content: kept, .. } = &mut held.what else { unreachable!() };
            *kept = content.into();
            assert_eq!(read(&held, &event.form).unwrap().unwrap().behind, lanes);
        }
    }

    #[test]
    fn what_is_hidden_is_not_kept() {
        let mut form = (*form(&["id", "password_hash", "note"])).clone();
        form.fields.remove(1);
        let shown = event(OldRow::Full(sample::row(&["1", "before", "x"])), &["1", "after", "y"]);
        let event = FormEvent { form: Arc::new(form), ..shown };
        let content = write(&event);
        let text = std::str::from_utf8(&content).unwrap();
        assert!(
            text.contains("password_hash") && !text.contains("before") && !text.contains("after"),
            "{text}"
        );
        let back = read(&held(&event), &event.form).unwrap().unwrap();
        assert_eq!((back.new.unwrap(), back.changed), (sample::row(&["1", "?", "y"]), Some(vec![1])));
    }

    #[test]
    fn it_follows_its_table() {
        let event = event(OldRow::Absent, &["1", "Closed", "x"]);
        let held = held(&event);
        let row = |columns: &[&str]| read(&held, &form(columns)).unwrap().unwrap().new.unwrap();
        assert_eq!(row(&["id", "state", "note"]), sample::row(&["1", "Closed", "x"]));
        assert_eq!(row(&["id", "status", "note", "added"]), sample::row(&["1", "Closed", "x", "NULL"]));
        assert_eq!(row(&["note", "id"]), sample::row(&["x", "1"]));
        assert_eq!(row(&["id", "state", "note", "added"]), sample::row(&["1", "NULL", "x", "NULL"]));
    }
}
