//! The part that formats share: which fields a webhook gets, and how a value is written.

use crate::change::Datum;
use crate::event::FormEvent;
use crate::form::BoundField;
use crate::value::{Kind, Type, write_json, write_string};
use crate::webhook::{Selections, Webhook};

/// Whether a webhook asked for a field, by name or by number. Who asks for none gets all.
pub(super) fn wants(webhook: &Webhook, field: &BoundField) -> bool {
    let asked = &webhook.payload_fields;
    asked.is_empty()
        || asked.iter().any(|name| *name == field.name || field.id.is_some_and(|id| name.parse() == Ok(id)))
}

/// The fields that a webhook gets of an event, with their numbers in the form.
pub(super) fn wanted<'a>(
    webhook: &'a Webhook,
    event: &'a FormEvent,
) -> impl Iterator<Item = (usize, &'a BoundField)> {
    event.form.fields.iter().enumerate().filter(|(_, field)| wants(webhook, field))
}

/// Appends `"key":`, with a comma before it where something stands before it.
pub(super) fn write_key(key: &str, out: &mut Vec<u8>) {
    if !matches!(out.last(), Some(b'{' | b'[') | None) {
        out.push(b',');
    }
    write_text(key, out);
    out.push(b':');
}

/// Appends a JSON string.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    write_string(text, out);
}

/// Appends a value that is known, of a selection as the webhook wants it. Asked for one that is not, writes null: callers
/// leave those out.
pub(super) fn write_datum(webhook: &Webhook, field: &BoundField, datum: Datum<'_>, out: &mut Vec<u8>) {
    let label = || label_of(field, datum);
    match webhook.body.selections {
        Selections::Stored => write_stored(field, datum, out),
        Selections::Label => match label() {
            Some(label) => write_text(label, out),
            None => write_stored(field, datum, out),
        },
        Selections::Both => match label() {
            Some(label) => {
                out.push(b'{');
                write_key("value", out);
                write_stored(field, datum, out);
                write_key("label", out);
                write_text(label, out);
                out.push(b'}');
            }
            None => write_stored(field, datum, out),
        },
    }
}

/// What people read for a value of a selection. Those of a `boolean` have no labels of their own.
pub(super) fn label_of<'a>(field: &'a BoundField, datum: Datum<'_>) -> Option<&'a str> {
    let (Kind::Selection(selection), Datum::Text(text)) = (&field.kind, datum) else { return None };
    let choice = selection.by_stored(text).filter(|_| field.type_ != Type::Boolean)?;
    Some(&choice.label)
}

fn write_stored(field: &BoundField, datum: Datum<'_>, out: &mut Vec<u8>) {
    match datum {
        Datum::Text(text) => write_json(&field.type_, text, out),
        Datum::Null | Datum::Unchanged => out.extend_from_slice(b"null"),
    }
}

/// A word with its first letter as at the beginning of a sentence.
pub(super) fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// An integer that every reader of JSON keeps as it is.
pub(super) fn is_number(id: &str) -> bool {
    (1..=15).contains(&id.len())
        && id.bytes().all(|digit| digit.is_ascii_digit())
        && (id == "0" || !id.starts_with('0'))
}

/// Appends an id: as a number where it is one.
pub(super) fn write_number_or_text(id: &str, out: &mut Vec<u8>) {
    if is_number(id) { out.extend_from_slice(id.as_bytes()) } else { write_text(id, out) }
}
