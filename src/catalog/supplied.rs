//! Fields of a form that stand in rows of other tables: columns of its rows behind those of its own table.

use super::Types;
use super::kinds::kind_of;
use crate::change::{Column, Relation};
use crate::form::{BoundField, BoundForm};
use std::sync::Arc;

/// The type of a value that comes from one of several columns, `text`.
pub(super) const TEXT: u32 = 25;

/// Adds these fields to a bound form. Each hides a column of the same name, as any configured field does.
pub(super) fn supply(bound: &mut BoundForm, type_oids: &[u32], types: &Types) {
    let form = Arc::clone(&bound.form);
    if form.supplied.is_empty() {
        return;
    }
    let mut relation = Relation::clone(&bound.relation);
    for (number, supplied) in form.supplied.iter().enumerate() {
        let type_oid = type_oids.get(number).copied().unwrap_or(TEXT);
        let column = relation.columns.len();
        relation.columns.push(Column {
            // no column of the table is called so: it would have to have the form's name
            name: format!("{}.{}", supplied.from, supplied.name),
            type_oid,
            type_modifier: -1,
            in_identity: false,
        });
        bound.ignored.push(false);
        bound.fields.retain(|field| field.name != supplied.name);
        bound.fields.push(BoundField {
            name: supplied.name.clone(),
            id: None,
            column,
            type_: types.type_of(type_oid),
            kind: kind_of(types.kind_of(type_oid), false, None),
        });
    }
    bound.relation = Arc::new(relation);
}
