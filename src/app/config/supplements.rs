//! `[[forms.attributes]]` and `[[forms.extensions]]`: tables whose rows have fields of the entries of a form. Each becomes a
//! form of its own, bound to its table like any other.

use super::children::{ReadForm, kind};
use super::field;
use super::reader::{Reader, join};
use super::table::{Table, Value};
use crate::belonging::{Belonging, Role, Supplement, SuppliedField};
use crate::form::{Form, Supplied};

/// Reads those of a form, and adds their fields to it.
pub(super) fn read(
    reader: &mut Reader<'_>,
    table: &Table,
    form: &mut Form,
    read_form: ReadForm<'_>,
) -> Vec<Form> {
    let mut forms = Vec::new();
    for key in ["attributes", "extensions"] {
        for table in table.tables(key) {
            let Some(mut supplement) = read_form(reader, table) else { continue };
            let fields = fields(reader, table, form);
            supplement.name = format!("{}: {key} {}", form.name, forms.len() + 1);
            supplement.fields.clear();
            supplement.entry_id = table.strings("key");
            let references = table.strings("references");
            if !references.is_empty() && !form.referred_by.contains(&references) {
                form.referred_by.push(references.clone());
            }
            let first = form.supplied.len();
            form.supplied.extend(fields.iter().map(|field| Supplied {
                name: field.name.clone(),
                from: supplement.name.clone(),
                columns: field.columns.clone(),
            }));
            supplement.belonging = Some(Belonging {
                form: form.name.clone(),
                role: Role::Supplement(Supplement {
                    attribute: table.text("attribute").cloned(),
                    fields,
                    first,
                }),
                parent: table.strings("parent"),
                kind: kind(table),
                prefix: table.text("prefix").cloned(),
                through: Vec::new(),
                references,
            });
            forms.push(supplement);
        }
    }
    forms
}

/// The fields that a table has, in the order of the file.
fn fields(reader: &mut Reader<'_>, table: &Table, form: &Form) -> Vec<SuppliedField> {
    let Some(map) = table.table("fields") else { return Vec::new() };
    let columns = table.strings("value");
    let mut fields = Vec::new();
    for (name, entry) in field::in_file_order(map) {
        let Some(Value::Text(text)) = &entry.value else { continue };
        let is_taken = form.fields.iter().any(|field| field.name == *name)
            || form.supplied.iter().any(|field| field.name == *name);
        if is_taken {
            let message = format!("a field is named {name:?} already");
            let remedy = "give one of the two another name".to_owned();
            reader.refuse(entry.name_span.clone(), &join(&map.path, name), message, remedy);
        }
        // of an extension the text is the column
        let (attribute, columns) = if columns.is_empty() {
            (None, vec![text.clone()])
        } else {
            (Some(text.clone()), columns.clone())
        };
        fields.push(SuppliedField { name: name.clone(), attribute, columns });
    }
    fields
}
