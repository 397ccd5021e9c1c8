//! The part that formats share: which fields a webhook gets, and how a value is written.

use crate::change::Datum;
use crate::event::FormEvent;
use crate::form::BoundField;
use crate::value::{write_json, write_string};
use crate::webhook::Webhook;

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

/// Appends a value that is known. Asked for one that is not, writes null: callers leave those out.
pub(super) fn write_datum(field: &BoundField, datum: Datum<'_>, out: &mut Vec<u8>) {
    match datum {
        Datum::Text(text) => write_json(&field.type_, text, out),
        Datum::Null | Datum::Unchanged => out.extend_from_slice(b"null"),
    }
}
