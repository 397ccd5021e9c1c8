//! `[forms.fields]`.

use super::reader::{Reader, join};
use super::table::{Entry, Table, Value};
use crate::form::{Field, Meaning};

/// Reads the fields of a form, in the order of the file.
pub(super) fn read(reader: &mut Reader<'_>, form: &Table) -> Vec<Field> {
    let Some(map) = form.table("fields") else { return Vec::new() };
    let mut fields: Vec<Field> = Vec::new();
    for (name, entry) in in_file_order(map) {
        let path = join(&map.path, name);
        let Some(field) = field(reader, name, entry, &path) else { continue };
        if field.column.is_empty() {
            reader.refuse(entry.span.clone(), &path, "a column has a name", None);
        }
        if let Some(other) = fields.iter().find(|other| other.column == field.column) {
            let message = format!("column {:?} is field {:?} already", field.column, other.name);
            reader.refuse(entry.span.clone(), &path, message, "remove one of the two".to_owned());
        }
        if let Some(other) = fields.iter().find(|other| field.id.is_some() && other.id == field.id) {
            let message = format!("field {:?} has this id already", other.name);
            let place = match &entry.value {
                Some(Value::Table(table)) => table.place("id"),
                _ => entry.span.clone(),
            };
            reader.refuse(place, &path, message, "give one of the two another `id`".to_owned());
        }
        fields.push(field);
    }
    fields
}

/// The entries of a table in the order of the file, not of the alphabet.
pub(super) fn in_file_order(map: &Table) -> Vec<(&String, &Entry)> {
    let mut entries: Vec<_> = map.entries.iter().collect();
    entries.sort_by_key(|(_, entry)| entry.name_span.start);
    entries
}

fn field(reader: &mut Reader<'_>, name: &str, entry: &Entry, path: &str) -> Option<Field> {
    let plain = |column: &String| Field {
        name: name.to_owned(),
        column: column.clone(),
        id: None,
        labels: Vec::new(),
        meaning: None,
    };
    match entry.value.as_ref()? {
        Value::Text(column) => Some(plain(column)),
        Value::Table(table) => {
            let labels = labels(reader, table, path);
            if table.says("labels") && table.says("kind") {
                let message = "a field with `labels` is a selection and has no other `kind`";
                let remedy = "keep one of the two".to_owned();
                reader.refuse(table.place("kind"), &join(path, "kind"), message, remedy);
            }
            let id = table.whole("id").copied();
            let meaning = table.word("kind").map(|word| meaning(word));
            Some(Field { id, labels, meaning, ..plain(table.text("column")?) })
        }
        other => unreachable!("{path} is declared otherwise: {other:?}"),
    }
}

/// The words of `kind`, and what they mean.
pub(super) const MEANINGS: [(&str, Meaning); 7] = [
    ("text", Meaning::Text),
    ("diary", Meaning::Diary),
    ("currency", Meaning::Currency),
    ("status_history", Meaning::StatusHistory),
    ("attachment", Meaning::Attachment),
    ("epoch", Meaning::Epoch),
    ("seconds_of_day", Meaning::SecondsOfDay),
];

fn meaning(word: &str) -> Meaning {
    let found = MEANINGS.iter().find(|(known, _)| *known == word);
    found.expect("the reader takes only the words that are declared").1
}

/// The texts of a selection, as (what stands in the column, what people read).
fn labels(reader: &mut Reader<'_>, table: &Table, path: &str) -> Vec<(String, String)> {
    let path = join(path, "labels");
    let listed: Vec<_> = match table.value("labels") {
        None => return Vec::new(),
        Some(Value::Table(map)) => {
            let entries = in_file_order(map).into_iter();
            entries
                .map(|(stored, entry)| (stored.clone(), entry.span.clone(), entry.value.as_ref()))
                .collect()
        }
        Some(Value::List(list)) => {
            let numbered = list.iter().enumerate();
            numbered
                .map(|(number, (span, value))| (number.to_string(), span.clone(), value.as_ref()))
                .collect()
        }
        Some(other) => unreachable!("{path} is declared otherwise: {other:?}"),
    };
    if listed.is_empty() {
        let remedy = "write { 0 = \"New\", 1 = \"Assigned\" }, or [\"New\", \"Assigned\"] for 0, 1 and so on";
        reader.refuse(table.place("labels"), &path, "a selection has at least one label", remedy.to_owned());
    }
    let mut labels: Vec<(String, String)> = Vec::new();
    for (stored, span, value) in listed {
        let Some(Value::Text(label)) = value else { continue };
        if label.is_empty() {
            reader.refuse(span, &path, "a label has a text", None);
        } else if let Some((other, _)) = labels.iter().find(|(_, known)| known == label) {
            let message = format!("{other} has the label {label:?} already");
            reader.refuse(span, &path, message, "give one of the two another label".to_owned());
        }
        labels.push((stored, label.clone()));
    }
    labels
}
