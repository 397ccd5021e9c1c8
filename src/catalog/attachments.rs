//! Fields of a form that are files, bound to its columns.

use super::fault::{Fault, NoFile};
use super::types::Types;
use crate::attachment::{Attachment, BoundAttachment, Elsewhere, Place};
use crate::form::BoundForm;
use crate::value::Kind;

/// The oids of `bytea` and `oid`.
const BYTEA: u32 = 17;
const OID: u32 = 26;

/// Binds the attachments of a form whose fields are bound, in their order. `column_of` finds a column by its name, or by that
/// of its field.
pub(super) fn attach(
    bound: &mut BoundForm,
    types: &Types,
    column_of: impl Fn(&BoundForm, &str) -> Option<usize>,
) -> Result<(), Fault> {
    let form = std::sync::Arc::clone(&bound.form);
    for attachment in &form.attachments.each {
        let fault = |why| Fault::Attachment { field: attachment.field.clone(), why };
        let column = |name: &Option<String>| {
            let Some(name) = name else { return Ok(None) };
            column_of(bound, name).map(Some).ok_or_else(|| fault(NoFile::NoColumn(name.clone())))
        };
        let own = column_of(bound, &attachment.field);
        let field = own.and_then(|column| bound.fields.iter().position(|field| field.column == column));
        let field = field.ok_or_else(|| fault(NoFile::NoColumn(attachment.field.clone())))?;
        let file = BoundAttachment {
            field,
            name: column(&attachment.name)?,
            media_type: column(&attachment.media_type)?,
            size: column(&attachment.size)?,
            place: place(bound, attachment, bound.fields[field].column, types).map_err(fault)?,
            bytes_max: attachment.bytes_max,
        };
        bound.fields[field].kind = Kind::Attachment;
        bound.attachments.push(file);
    }
    bound.attachments.sort_by_key(|file| file.field);
    Ok(())
}

fn place(bound: &BoundForm, attachment: &Attachment, column: usize, types: &Types) -> Result<Place, NoFile> {
    if let Some(elsewhere) = &attachment.elsewhere {
        if bound.entry_id.len() != 1 {
            return Err(NoFile::ManyIds);
        }
        let schema = elsewhere.schema.clone().unwrap_or_else(|| bound.relation.schema.clone());
        return Ok(Place::Elsewhere(Elsewhere { schema: Some(schema), ..elsewhere.clone() }));
    }
    if column >= bound.own_columns() {
        return Err(NoFile::OtherTable);
    }
    match types.base_of(bound.relation.columns[column].type_oid) {
        BYTEA => Ok(Place::Column),
        OID => Ok(Place::LargeObject),
        _ => Err(NoFile::Type),
    }
}
