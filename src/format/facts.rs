//! What walhook knows of an event, as members of a JSON object: the body of `native`, and the data of `cloudevents`.

use super::fields::{wanted, write_datum, write_key, write_text};
use crate::change::Datum;
use crate::event::{Detail, FormEvent};
use crate::webhook::{RecordIdWith, Webhook};
use jiff::Timestamp;
use std::io::Write;

/// Appends the members, the first without a comma before it.
pub(super) fn write(webhook: &Webhook, event: &FormEvent, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""form":"#);
    write_text(&event.form.form.name, out);
    write_key("noun", out);
    write_text(&event.form.form.noun, out);
    write_key("event", out);
    write_text(event.verb.as_str(), out);
    write_key("entry_id", out);
    write_text(&event.entry_id, out);
    let ids = [
        ("record_id", event.record_id().filter(|_| has_record_id(webhook, event))),
        ("renamed_from", event.renamed_from.as_deref()),
        ("renamed_to", event.renamed_to.as_deref()),
        ("merged_into", event.circumstances.merged_into.as_deref()),
    ];
    for (key, id) in ids {
        if let Some(id) = id {
            write_key(key, out);
            write_text(id, out);
        }
    }
    if let Some(changed) = &event.changed {
        write_key("changed", out);
        write_changed(webhook, event, changed, out);
    }
    write_detail(webhook, event, out);
    write_key("entry", out);
    write_entry(webhook, event, out);
    write_transaction(event, out);
    if let Some(custom_json) = &webhook.custom_json {
        write_key("custom_json", out);
        out.extend_from_slice(custom_json.as_bytes());
    }
}

/// Appends when the event was committed as a JSON string (RFC 3339, microseconds, UTC). False where it cannot be said: beyond
/// the year 9999, of a server whose clock is far off.
pub(super) fn write_time(event: &FormEvent, out: &mut Vec<u8>) -> bool {
    match Timestamp::from_microsecond(event.transaction.committed_at_us) {
        Ok(time) => write!(out, r#""{time:.6}""#).is_ok(),
        Err(_) => false,
    }
}

fn has_record_id(webhook: &Webhook, event: &FormEvent) -> bool {
    match webhook.body.record_id {
        RecordIdWith::Usual | RecordIdWith::Always => true,
        RecordIdWith::Create => !event.existed(),
        RecordIdWith::Never => false,
    }
}

/// What an event with a word of the form's own is about.
fn write_detail(webhook: &Webhook, event: &FormEvent, out: &mut Vec<u8>) {
    match &event.circumstances.detail {
        Detail::Entry => {}
        Detail::Transition { field: name } => {
            let Some(field) = event.form.fields.iter().find(|field| field.name == *name) else { return };
            write_key("transition", out);
            out.push(b'{');
            write_key("field", out);
            write_text(name, out);
            for (key, datum) in [("from", event.old_value(field)), ("to", event.value(field))] {
                if datum != Datum::Unchanged {
                    write_key(key, out);
                    write_datum(webhook, field, datum, out);
                }
            }
            out.push(b'}');
        }
        Detail::Child { id, fields } => {
            write_key("child", out);
            out.push(b'{');
            write_key("id", out);
            write_text(id, out);
            write_key("fields", out);
            out.extend_from_slice(fields.as_bytes());
            out.push(b'}');
        }
        Detail::Payload(json) => {
            write_key("payload", out);
            out.extend_from_slice(json.as_bytes());
        }
    }
}

fn write_changed(webhook: &Webhook, event: &FormEvent, changed: &[usize], out: &mut Vec<u8>) {
    out.push(b'{');
    for (_, field) in wanted(webhook, event).filter(|(number, _)| changed.contains(number)) {
        write_key(&field.name, out);
        out.push(b'{');
        for (key, datum) in [("old", event.old_value(field)), ("new", event.value(field))] {
            if datum != Datum::Unchanged {
                write_key(key, out);
                write_datum(webhook, field, datum, out);
            }
        }
        out.push(b'}');
    }
    out.push(b'}');
}

fn write_entry(webhook: &Webhook, event: &FormEvent, out: &mut Vec<u8>) {
    let mut unavailable = Vec::new();
    out.push(b'{');
    for (_, field) in wanted(webhook, event) {
        let datum = event.value(field);
        if datum == Datum::Unchanged {
            unavailable.push(&field.name);
        } else {
            write_key(&field.name, out);
            write_datum(webhook, field, datum, out);
        }
    }
    out.push(b'}');
    if !unavailable.is_empty() {
        write_key("unavailable_fields", out);
        serde_json::to_writer(out, &unavailable).expect("a Vec takes every byte");
    }
}

fn write_transaction(event: &FormEvent, out: &mut Vec<u8>) {
    let transaction = &event.transaction;
    write_key("committed_at", out);
    if !write_time(event, out) {
        out.extend_from_slice(b"null");
    }
    write_key("lsn", out);
    write!(out, r#""{}""#, event.position.commit_lsn).expect("a Vec takes every byte");
    write_key("xid", out);
    write!(out, "{}", transaction.xid).expect("a Vec takes every byte");
    let circumstances = &event.circumstances;
    let texts = [
        ("actor", &circumstances.actor),
        ("actor_name", &circumstances.actor_name),
        ("origin", &transaction.origin),
    ];
    for (key, text) in texts {
        if let Some(text) = text {
            write_key(key, out);
            write_text(text, out);
        }
    }
    if !circumstances.marks.is_empty() {
        write_key("marks", out);
        serde_json::to_writer(&mut *out, &circumstances.marks).expect("a Vec takes every byte");
    }
    if circumstances.is_bulk {
        write_key("bulk", out);
        out.extend_from_slice(b"true");
    }
}
