//! The `payload` of a message: what the product says of a change beside the ids. A key without value is left out.
//!
//! | key | what |
//! |---|---|
//! | `note_id`, `note_nodeID` | the note, or other row of a table of the entry's, that the change added |
//! | `source`, `sourceID` | where the entry comes from |
//! | `status`, `previous_status` | the status; on `status-changed`, the one before |
//! | `team`, `member` | `{id, nodeID, name}` |
//!
//! Of time entries and out-of-office periods it has all fields, `cost` apart; of rules and of what the application emits
//! itself, what they say. Keys as in the product's "Webhooks" page.

use super::super::fields::{label_of, wanted, write_datum, write_key, write_number_or_text, write_text};
use super::node_id;
use crate::change::Datum;
use crate::event::{Detail, FormEvent, Verb};
use crate::form::BoundField;
use crate::webhook::Webhook;

/// Nouns of which the product sends all fields.
const WHOLE: [&str; 2] = ["time_entry", "out_of_office_period"];
/// But this one.
const NEVER: &str = "cost";
/// The event that tells the status before.
const STATUS_CHANGED: &str = "status-changed";

/// Appends the payload.
pub(super) fn write(webhook: &Webhook, event: &FormEvent, out: &mut Vec<u8>) {
    let circumstances = &event.circumstances;
    if let Detail::Payload(json) = &circumstances.detail {
        out.extend_from_slice(json.as_bytes());
        return;
    }
    out.push(b'{');
    if WHOLE.contains(&event.form.form.noun.as_str()) {
        write_whole(webhook, event, out);
    } else {
        write_usual(event, out);
    }
    out.push(b'}');
}

fn write_whole(webhook: &Webhook, event: &FormEvent, out: &mut Vec<u8>) {
    for (_, field) in wanted(webhook, event).filter(|(_, field)| !field.name.eq_ignore_ascii_case(NEVER)) {
        let datum = event.value(field);
        if !matches!(datum, Datum::Unchanged | Datum::Null) {
            write_key(&field.name, out);
            write_datum(webhook, field, datum, out);
        }
    }
}

fn write_usual(event: &FormEvent, out: &mut Vec<u8>) {
    if let Detail::Child { id, .. } = &event.circumstances.detail {
        write_key("note_id", out);
        write_number_or_text(id, out);
        write_key("note_nodeID", out);
        write_text(&node_id("note", id), out);
    }
    let named = &event.form.form.itrp;
    for (key, name) in [("source", &named.source), ("sourceID", &named.source_id)] {
        if let Some(text) = text(event, name.as_deref(), key) {
            write_key(key, out);
            write_text(text, out);
        }
    }
    if let Some(field) = field(event, named.status.as_deref(), "status") {
        write_word("status", field, event.value(field), out);
        let is_told = matches!(event.verb, Verb::Named(word) if word.as_str() == STATUS_CHANGED);
        let changes =
            matches!(&event.circumstances.detail, Detail::Transition { field: name } if *name == field.name);
        if is_told && changes {
            write_word("previous_status", field, event.old_value(field), out);
        }
    }
    for (key, id, name) in
        [("team", &named.team, &named.team_name), ("member", &named.member, &named.member_name)]
    {
        let Some(id) = text(event, id.as_deref(), key) else { continue };
        write_key(key, out);
        out.push(b'{');
        write_key("id", out);
        write_number_or_text(id, out);
        write_key("nodeID", out);
        write_text(&node_id(if key == "team" { "team" } else { "person" }, id), out);
        if let Some(name) = text(event, name.as_deref(), &format!("{key}_name")) {
            write_key("name", out);
            write_text(name, out);
        }
        out.push(b'}');
    }
}

/// Appends a value as a word: as people read it, where it is a selection.
fn write_word(key: &str, field: &BoundField, datum: Datum<'_>, out: &mut Vec<u8>) {
    if let Datum::Text(text) = datum {
        write_key(key, out);
        write_text(label_of(field, datum).unwrap_or(text), out);
    }
}

/// The field that was named, else the one called so.
fn field<'a>(event: &'a FormEvent, named: Option<&str>, key: &str) -> Option<&'a BoundField> {
    let fields = &event.form.fields;
    match named {
        Some(name) => fields.iter().find(|field| field.name == name),
        None => fields.iter().find(|field| field.name.eq_ignore_ascii_case(key)),
    }
}

fn text<'a>(event: &'a FormEvent, named: Option<&str>, key: &str) -> Option<&'a str> {
    match event.value(field(event, named, key)?) {
        Datum::Text(text) => Some(text),
        Datum::Null | Datum::Unchanged => None,
    }
}
