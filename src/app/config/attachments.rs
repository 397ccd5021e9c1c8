//! `[forms.attachments]`: fields that are files, each with the column of the file's name or a table of settings.

use super::field::in_file_order;
use super::form::parts;
use super::reader::{Reader, join};
use super::table::{Table, Value};
use crate::attachment::{Attachment, Attachments, BYTES_MAX_DEFAULT, Elsewhere, MESSAGE_BYTES_MAX_DEFAULT};
use crate::form::Form;

/// Where the settings say which other table has the bytes.
const ELSEWHERE: [&str; 3] = ["table", "key", "column"];

/// Reads those of a form.
pub(super) fn read(reader: &mut Reader<'_>, file: &Table, table: &Table, form: &Form) -> Attachments {
    let limit = file.table("capture").and_then(|capture| capture.size("attachments_bytes_max").copied());
    let message_bytes_max = limit.unwrap_or(MESSAGE_BYTES_MAX_DEFAULT);
    let Some(map) = table.table("attachments") else {
        return Attachments { each: Vec::new(), message_bytes_max };
    };
    let mut each = Vec::new();
    for (field, entry) in in_file_order(map) {
        let path = join(&map.path, field);
        let attachment = match &entry.value {
            Some(Value::Text(name)) => Attachment { name: Some(name.clone()), ..plain(field) },
            Some(Value::Table(table)) => attachment(reader, field, table, &path),
            _ => continue,
        };
        let columns = [&attachment.name, &attachment.media_type, &attachment.size];
        let named = columns.into_iter().flatten().chain([field]);
        for hidden in named.filter(|name| form.hidden.contains(name)) {
            let message = format!("column {hidden:?} is hidden and cannot be part of an attachment");
            let remedy = "take it out of `hidden`, or remove the attachment".to_owned();
            reader.refuse(entry.span.clone(), &path, message, remedy);
        }
        each.push(attachment);
    }
    Attachments { each, message_bytes_max }
}

fn plain(field: &str) -> Attachment {
    Attachment {
        field: field.to_owned(),
        name: None,
        media_type: None,
        size: None,
        elsewhere: None,
        bytes_max: BYTES_MAX_DEFAULT,
    }
}

fn attachment(reader: &mut Reader<'_>, field: &str, table: &Table, path: &str) -> Attachment {
    Attachment {
        name: table.text("name").cloned(),
        media_type: table.text("type").cloned(),
        size: table.text("size").cloned(),
        elsewhere: elsewhere(reader, table, path),
        bytes_max: table.size("bytes_max").copied().unwrap_or(BYTES_MAX_DEFAULT),
        ..plain(field)
    }
}

fn elsewhere(reader: &mut Reader<'_>, settings: &Table, path: &str) -> Option<Elsewhere> {
    let said = ELSEWHERE.iter().find(|key| settings.says(key))?;
    if let Some(lacking) = ELSEWHERE.iter().find(|key| !settings.says(key)) {
        let message = format!("`{said}` stands without `{lacking}`");
        let remedy = "say all three: the table, its column that has the entry id (key), and the one that has the bytes \
                      (column)";
        reader.refuse(settings.place(said), &join(path, said), message, remedy.to_owned());
        return None;
    }
    let text = settings.text("table")?;
    let parts = parts(text).filter(|parts| parts.iter().all(|part| !part.is_empty() && part.len() <= 63));
    let (schema, table) = match parts.as_deref() {
        Some([table]) => (None, table.clone()),
        Some([schema, table]) => (Some(schema.clone()), table.clone()),
        _ => {
            let remedy = "write \"schema.table\" with the names as the catalogue has them".to_owned();
            reader.refuse(settings.place("table"), &join(path, "table"), "this names no table", remedy);
            return None;
        }
    };
    Some(Elsewhere {
        schema,
        table,
        key: settings.text("key")?.clone(),
        column: settings.text("column")?.clone(),
    })
}
