//! `arsys`: the callback bodies of BMC Remedy AR System.
//!
//! ```json
//! {"webhook_id": "WBH000000000001", "entry_event": "update", "form_name": "HPD:Help Desk",
//!  "entry_id": "000000000000001", "entry_details": {"Short Description": "New Incident"}}
//! ```
//!
//! An update brings the wanted fields that changed, or all of them with `send_unchanged_fields` or where the
//! old row is not known. A delete brings the ids only. The record id comes with creates only, as in the
//! product's samples.

use super::fields::{wanted, write_datum, write_key, write_text};
use super::{Format, Identity, Told, told};
use crate::change::Datum;
use crate::event::{FormEvent, Verb};
use crate::webhook::{RecordIdWith, Webhook};
use std::io::Write;

/// The format.
pub(super) struct Arsys;

impl Format for Arsys {
    fn name(&self) -> &'static str {
        "arsys"
    }

    fn head(&self, webhook: &Webhook, _delivery: &Identity, _event: &FormEvent, out: &mut Vec<u8>) {
        write!(out, r#"{{"webhook_id":"WBH{:012}","#, webhook.id.0).expect("a Vec takes every byte");
    }

    fn tail(&self, webhook: &Webhook, event: &FormEvent, out: &mut Vec<u8>) {
        write_key("entry_event", out);
        write_text(event.verb.as_str(), out);
        write_key("form_name", out);
        write_text(&event.form.form.name, out);
        write_key("entry_id", out);
        write_text(&event.entry_id, out);
        let has_record_id = match webhook.body.record_id {
            RecordIdWith::Usual | RecordIdWith::Create => !event.existed(),
            RecordIdWith::Always => event.verb != Verb::Delete,
            RecordIdWith::Never => false,
        };
        if let Some(record_id) = event.record_id().filter(|_| has_record_id) {
            write_key("record_id", out);
            write_text(record_id, out);
        }
        if event.verb != Verb::Delete {
            write_key("entry_details", out);
            write_details(webhook, event, out);
        }
        if let Some(custom_json) = &webhook.custom_json {
            write_key("custom_json", out);
            out.extend_from_slice(custom_json.as_bytes());
        }
        out.push(b'}');
    }

    fn is_empty_update(&self, webhook: &Webhook, event: &FormEvent) -> bool {
        let is_empty =
            |changed: &[usize]| !wanted(webhook, event).any(|(number, _)| changed.contains(&number));
        event.verb == Verb::Update && changed(webhook, event).is_some_and(is_empty)
    }

    fn told(&self, _verb: Verb, body: &[u8]) -> Option<Told> {
        told::arsys(body)
    }
}

/// The fields that the details are restricted to: of an update, and of what the form has a word for, those that changed.
fn changed<'a>(webhook: &Webhook, event: &'a FormEvent) -> Option<&'a [usize]> {
    let is_update = matches!(event.verb, Verb::Update | Verb::Named(_)) && event.existed();
    event.changed.as_deref().filter(|_| is_update && !webhook.send_unchanged_fields)
}

fn write_details(webhook: &Webhook, event: &FormEvent, out: &mut Vec<u8>) {
    let changed = changed(webhook, event);
    out.push(b'{');
    for (number, field) in wanted(webhook, event) {
        if changed.is_some_and(|changed| !changed.contains(&number)) {
            continue;
        }
        let datum = event.value(field);
        if datum != Datum::Unchanged {
            write_key(&field.name, out);
            write_datum(webhook, field, datum, out);
        }
    }
    out.push(b'}');
}
