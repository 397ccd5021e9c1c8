//! `datagerry`: the bodies of DataGerry's webhooks.
//!
//! ```json
//! {"event_time": {"$date": 1795341671123}, "operation": "UPDATE",
//!  "object_before": {"public_id": 7, "type_id": "server", "active": true, "fields": [{"name": "ram", "value": 8}]},
//!  "object_after": {"public_id": 7, "type_id": "server", "active": true, "fields": [{"name": "ram", "value": 16}]},
//!  "changes": {"old": [{"name": "ram", "value": 8}], "new": [{"name": "ram", "value": 16}]}}
//! ```
//!
//! A create has `object_after` only, a delete `object_before` only; a merge is an update. `public_id` is the entry id,
//! as a number where it is one. `type_id` is the form's noun, likewise: a form whose noun is the number of a type in the
//! product has that number here. `active` is the value of a field of that name, and true where the form has none.
//!
//! What is not known is not made up. Where the log lacks the old row, an update has no `object_before` and no
//! `changes.old`, and `changes.new` are all fields, for nobody can tell which of them changed; a delete has the fields of
//! the key. A field whose large value was not sent is absent. `status`, `version`, `multi_data_sections` and what else
//! the product keeps of its own objects are no facts of a row, and absent.

use super::fields::{wanted, write_datum, write_key, write_text};
use super::{Format, Identity, Told, told};
use crate::change::{Datum, OldRow};
use crate::event::{FormEvent, Verb};
use crate::form::BoundField;
use crate::webhook::Webhook;
use std::io::Write;

/// The format.
pub(super) struct DataGerry;

impl Format for DataGerry {
    fn name(&self) -> &'static str {
        "datagerry"
    }

    fn knows_merge(&self) -> bool {
        false
    }

    fn head(&self, _webhook: &Webhook, _delivery: &Identity, _event: &FormEvent, out: &mut Vec<u8>) {
        out.push(b'{');
    }

    fn tail(&self, webhook: &Webhook, event: &FormEvent, out: &mut Vec<u8>) {
        let milliseconds = event.transaction.committed_at_us.div_euclid(1000);
        write!(out, r#""event_time":{{"$date":{milliseconds}}}"#).expect("a Vec takes every byte");
        write_key("operation", out);
        match operation(event.verb).filter(|_| event.verb != Verb::Merge || event.existed()) {
            Some(word) => write_text(word, out),
            None if event.verb == Verb::Merge => write_text("CREATE", out),
            None => write_text(&event.verb.as_str().to_uppercase(), out),
        }
        // of a delete, what is known of the row before it is what its values are
        let knows_before = event.verb == Verb::Delete || matches!(event.old, OldRow::Full(_));
        let before = |field: &BoundField| match event.verb {
            Verb::Delete => event.value(field),
            Verb::Create | Verb::Update | Verb::Merge | Verb::Named(_) => event.old_value(field),
        };
        let has_before = event.existed() && knows_before;
        write_key("object_before", out);
        write_if(has_before, out, |out| write_object(webhook, event, before, out));
        let after = |field: &BoundField| event.value(field);
        write_key("object_after", out);
        write_if(event.verb != Verb::Delete, out, |out| write_object(webhook, event, after, out));
        write_key("changes", out);
        let is_change = event.existed() && event.verb != Verb::Delete;
        write_if(is_change, out, |out| {
            let changed = event.changed.as_deref();
            let is_meant = |number: &usize| changed.is_none_or(|changed| changed.contains(number));
            out.push(b'{');
            write_key("old", out);
            write_if(changed.is_some(), out, |out| write_fields(webhook, event, is_meant, before, out));
            write_key("new", out);
            write_fields(webhook, event, is_meant, after, out);
            out.push(b'}');
        });
        if let Some(custom_json) = &webhook.custom_json {
            write_key("custom_json", out);
            out.extend_from_slice(custom_json.as_bytes());
        }
        out.push(b'}');
    }

    fn told(&self, verb: Verb, body: &[u8]) -> Option<Told> {
        told::datagerry(verb, body)
    }
}

/// The product's word for what happened; none for a word of the form's own, which is written like one.
pub fn operation(verb: Verb) -> Option<&'static str> {
    match verb {
        Verb::Create => Some("CREATE"),
        Verb::Update | Verb::Merge => Some("UPDATE"),
        Verb::Delete => Some("DELETE"),
        Verb::Named(_) => None,
    }
}

/// Appends a value where there is one, and else null.
fn write_if(is_there: bool, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    if is_there {
        write(out);
    } else {
        out.extend_from_slice(b"null");
    }
}

fn write_object<'a>(
    webhook: &Webhook,
    event: &'a FormEvent,
    value: impl Fn(&BoundField) -> Datum<'a>,
    out: &mut Vec<u8>,
) {
    out.push(b'{');
    write_key("public_id", out);
    write_id(&event.entry_id, out);
    write_key("type_id", out);
    write_id(&event.form.form.noun, out);
    match event.form.fields.iter().find(|field| field.name == "active") {
        None => {
            write_key("active", out);
            out.extend_from_slice(b"true");
        }
        Some(field) => match value(field) {
            Datum::Unchanged => {}
            datum => {
                write_key("active", out);
                write_datum(webhook, field, datum, out);
            }
        },
    }
    write_key("fields", out);
    write_fields(webhook, event, |_| true, value, out);
    out.push(b'}');
}

/// Appends the wanted fields whose values are known.
fn write_fields<'a>(
    webhook: &Webhook,
    event: &'a FormEvent,
    is_meant: impl Fn(&usize) -> bool,
    value: impl Fn(&BoundField) -> Datum<'a>,
    out: &mut Vec<u8>,
) {
    out.push(b'[');
    for (_, field) in wanted(webhook, event).filter(|(number, _)| is_meant(number)) {
        let datum = value(field);
        if datum == Datum::Unchanged {
            continue;
        }
        if out.last() != Some(&b'[') {
            out.push(b',');
        }
        out.push(b'{');
        write_key("name", out);
        write_text(&field.name, out);
        write_key("value", out);
        write_datum(webhook, field, datum, out);
        out.push(b'}');
    }
    out.push(b']');
}

fn write_id(id: &str, out: &mut Vec<u8>) {
    if number_of(id).is_some() { out.extend_from_slice(id.as_bytes()) } else { write_text(id, out) }
}

/// The number that an id is: the product's are whole numbers. None where it is a text that no number is written as.
pub fn number_of(id: &str) -> Option<i64> {
    id.parse().ok().filter(|number: &i64| number.to_string() == id)
}
