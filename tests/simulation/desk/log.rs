//! The desk's tables as walhook meets them: described, bound, in the log and in the database.

use super::{ARTICLE, Change, MERGED, NOTE, REMOVED, Row, STATUS, State, TABLES, TICKET, oid};
use std::sync::Arc;
use walhook::belonging::{BoundBelonging, Role};
use walhook::change::{self, Column, Datum, OldRow, Relation, ReplicaIdentity, RowChange};
use walhook::event::Word;
use walhook::form::{BindingRecord, BoundField, BoundForm, Form, LaneRule};
use walhook::happening::{BoundHappenings, BoundTransition};
use walhook::source::Message;
use walhook::value::{Kind, Type};

/// A table as the log describes it.
pub fn relation(table: usize) -> Relation {
    let (name, columns) = TABLES[table];
    let is_full = table == TICKET;
    let column = |(number, (name, type_oid)): (usize, &(&str, u32))| Column {
        name: (*name).to_owned(),
        type_oid: *type_oid,
        type_modifier: -1,
        in_identity: is_full || number == 0,
    };
    Relation {
        id: oid(table),
        schema: "desk".to_owned(),
        name: name.to_owned(),
        identity: if is_full { ReplicaIdentity::Full } else { ReplicaIdentity::Default },
        columns: columns.iter().enumerate().map(column).collect(),
    }
}

/// The table of a form, if it is one of the desk's.
pub fn table_of(form: &Form) -> Option<usize> {
    match &form.belonging {
        None => (form.name == "Ticket").then_some(TICKET),
        Some(belonging) => Some(if matches!(belonging.role, Role::Hop { .. }) { ARTICLE } else { NOTE }),
    }
}

/// The form at its table.
pub fn bound(form: &Arc<Form>, table: usize) -> BoundForm {
    let columns = TABLES[table].1;
    let field = |(column, (name, type_oid)): (usize, &(&str, u32))| BoundField {
        name: (*name).to_owned(),
        id: None,
        column,
        type_: Type::built_in(*type_oid).unwrap(),
        kind: Kind::built_in(*type_oid).unwrap(),
    };
    let transition = |one: &walhook::happening::Transition| BoundTransition {
        verb: Word::new(one.verb.as_str()).unwrap(),
        field: STATUS,
        from: one.from.clone(),
        to: one.to.clone(),
    };
    let of_tickets = |column: usize| (table == TICKET).then_some(column);
    BoundForm {
        form: Arc::clone(form),
        relation: Arc::new(relation(table)),
        fields: columns.iter().enumerate().map(field).collect(),
        key: vec![0],
        former: vec![],
        entry_id: vec![0],
        record_id: None,
        ignored: vec![false; columns.len()],
        uses_old_values: table == TICKET,
        delete_insert_is_merge: true,
        happenings: BoundHappenings {
            transitions: form.happenings.transitions.iter().map(transition).collect(),
            markers: of_tickets(MERGED).into_iter().collect(),
            target: of_tickets(MERGED),
            ..BoundHappenings::default()
        },
        belonging: (table != TICKET).then(|| BoundBelonging {
            parent: vec![1],
            kind: None,
            by: if table == ARTICLE { vec![0] } else { vec![] },
            supplement: None,
        }),
        parts: vec![],
        entries: None,
        deleted: of_tickets(REMOVED),
        attachments: vec![],
    }
}

/// What is remembered of it.
pub fn record(form: &Form, table: usize) -> BindingRecord {
    BindingRecord {
        form: form.name.clone(),
        relation: oid(table),
        schema: "desk".to_owned(),
        table: TABLES[table].0.to_owned(),
        columns: vec![],
        rules: vec![LaneRule { form: form.name.clone(), key: vec![("id".to_owned(), 1)] }],
    }
}

fn row(values: &Row) -> change::Row {
    values.iter().map(|value| value.as_deref().map_or(Datum::Null, Datum::Text)).collect()
}

/// Rows as the database shows them: those whose columns have these values.
pub fn look_up(
    state: &State,
    table: usize,
    by: &[usize],
    values: &[String],
    rows_max: usize,
) -> Vec<change::Row> {
    let is_meant =
        |row: &&Row| by.iter().zip(values).all(|(column, value)| row[*column].as_ref() == Some(value));
    state.rows[table].values().filter(is_meant).take(rows_max).map(row).collect()
}

/// A change as the log has it.
pub fn message(change: &Change) -> Message {
    let (table, before, after) = match change {
        Change::Says { prefix, content } => {
            let (prefix, content) = ((*prefix).to_owned(), content.clone().into());
            return Message::Logical { transactional: true, prefix, content };
        }
        Change::Row { table, before, after } => (*table, before, after),
    };
    let old = |values: &Row| {
        if table == TICKET {
            return OldRow::Full(row(values));
        }
        let key = values.iter().enumerate().map(|(column, value)| value.clone().filter(|_| column == 0));
        OldRow::Key(row(&key.collect()))
    };
    let change = match (before, after) {
        (None, Some(after)) => RowChange::Insert { new: row(after) },
        (Some(before), None) => RowChange::Delete { old: old(before) },
        (Some(before), Some(after)) => {
            // an update that leaves the key alone
            let old = if table == TICKET { old(before) } else { OldRow::Absent };
            RowChange::Update { old, new: row(after) }
        }
        (None, None) => panic!("no change"),
    };
    Message::Change { relation: oid(table), change }
}
