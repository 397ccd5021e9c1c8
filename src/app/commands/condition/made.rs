//! Forms made of what somebody writes, without a database: all columns are fields, the first one is the key, and old
//! rows are whole.

use crate::change::{Column, Relation, ReplicaIdentity};
use crate::form::{BoundField, BoundForm, Fold, Form, OldValues};
use crate::qualification::Dialect;
use crate::value::{Kind, Type};
use std::sync::Arc;

/// A field as somebody describes it.
#[derive(Clone, Debug)]
pub struct MadeField {
    /// Its name; the column has the same.
    pub name: String,
    /// Its number, where it has one.
    pub id: Option<u64>,
    /// What its values mean.
    pub kind: Kind,
}

/// A form of that name with these fields.
pub fn form(name: &str, fields: Vec<MadeField>, dialect: Arc<Dialect>) -> BoundForm {
    let columns: Vec<Column> = fields.iter().map(|field| column(&field.name)).collect();
    let ignored = vec![false; columns.len()];
    let form = Form {
        name: name.to_owned(),
        noun: name.to_owned(),
        schema: None,
        table: name.to_owned(),
        entry_id: Vec::new(),
        record_id: None,
        old_values: OldValues::Auto,
        fold: Fold::Transaction,
        ignore: Vec::new(),
        unset: Vec::new(),
        hidden: Vec::new(),
        fields: Vec::new(),
        happenings: crate::happening::Happenings::default(),
        itrp: crate::form::ItrpFields::default(),
        belonging: None,
        referred_by: vec![],
        unchanged_updates: false,
        value_bytes_max: usize::MAX,
        entries: None,
        supplied: Vec::new(),
        deleted: None,
        attachments: crate::attachment::Attachments::default(),
        parts: Vec::new(),
        dialect,
    };
    let relation = Relation {
        id: 0,
        schema: "public".to_owned(),
        name: name.to_owned(),
        identity: ReplicaIdentity::Full,
        columns,
    };
    let bound = |(column, field): (usize, MadeField)| BoundField {
        name: field.name,
        id: field.id,
        column,
        type_: Type::Text,
        kind: field.kind,
    };
    BoundForm {
        form: Arc::new(form),
        relation: Arc::new(relation),
        fields: fields.into_iter().enumerate().map(bound).collect(),
        key: vec![0],
        former: vec![],
        entry_id: vec![0],
        record_id: None,
        ignored,
        uses_old_values: true,
        delete_insert_is_merge: true,
        happenings: crate::happening::BoundHappenings::default(),
        belonging: None,
        parts: Vec::new(),
        entries: None,
        deleted: None,
        attachments: vec![],
    }
}

fn column(name: &str) -> Column {
    Column { name: name.to_owned(), type_oid: 25, type_modifier: -1, in_identity: true }
}
