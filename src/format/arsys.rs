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
//!
//! Files go as parts of their own beside the JSON (`multipart/form-data`) and are not among the details; or the details have
//! a link to each: `{"name", "sizeBytes", "href"}`. Only creates, updates and merges bring some. A field without a file is
//! null. So is one whose file cannot be sent, and then `attachments_missing` says why.

use super::fields::{wanted, wants, write_datum, write_key, write_text};
use super::{Format, Identity, Told, multipart, told};
use crate::attachment::{BoundAttachment, Enclosure, File, hex};
use crate::change::Datum;
use crate::event::{FormEvent, Verb};
use crate::form::BoundField;
use crate::webhook::{RecordIdWith, Webhook};
use std::borrow::Cow;
use std::io::Write;

/// The format.
pub(super) struct Arsys;

impl Format for Arsys {
    fn name(&self) -> &'static str {
        "arsys"
    }

    fn content_type(&self, webhook: &Webhook, event: &FormEvent) -> Cow<'static, str> {
        if parts(webhook, event).is_empty() {
            return Cow::Borrowed("application/json");
        }
        Cow::Owned(multipart::content_type(&event.circumstances.enclosed.boundary))
    }

    fn head(&self, webhook: &Webhook, _delivery: &Identity, event: &FormEvent, out: &mut Vec<u8>) {
        if !parts(webhook, event).is_empty() {
            multipart::begin(&event.circumstances.enclosed.boundary, out);
        }
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
        let parts = parts(webhook, event);
        if event.verb != Verb::Delete {
            write_key("entry_details", out);
            let missing = write_details(webhook, event, &parts, out);
            write_missing(&missing, out);
            // whoever checks a signature can do so of the files by that of the JSON
            if !parts.is_empty() && !webhook.signing_secrets.is_empty() {
                write_key("attachments", out);
                write_hashes(&parts, out);
            }
        }
        if let Some(custom_json) = &webhook.custom_json {
            write_key("custom_json", out);
            out.extend_from_slice(custom_json.as_bytes());
        }
        out.push(b'}');
        let boundary = &event.circumstances.enclosed.boundary;
        for (field, file) in &parts {
            multipart::file(boundary, &field.name, file, out);
        }
        if !parts.is_empty() {
            multipart::end(boundary, out);
        }
    }

    fn files(&self, webhook: &Webhook, event: &FormEvent) -> Vec<usize> {
        let brings_files = matches!(event.verb, Verb::Create | Verb::Update | Verb::Merge);
        let changed = changed(webhook, event);
        let files = event.form.attachments.iter().filter(|file| {
            wants(webhook, &event.form.fields[file.field])
                && changed.is_none_or(|changed| has_changed(event, file, changed))
        });
        files.filter(|_| brings_files).map(|file| file.field).collect()
    }

    fn has_files(&self) -> bool {
        true
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

/// A file has changed if its field has, or what stands beside it: its name, its type, its size.
fn has_changed(event: &FormEvent, file: &BoundAttachment, changed: &[usize]) -> bool {
    let beside = [file.name, file.media_type, file.size];
    let is_of_file =
        |number: &usize| *number == file.field || beside.contains(&Some(event.form.fields[*number].column));
    changed.iter().any(is_of_file)
}

/// Whether a webhook gets links to files: it wants them, or its messages are signed as a whole, which must be JSON.
fn gets_references(webhook: &Webhook) -> bool {
    webhook.body.attachments_as_references || webhook.policy.is_some()
}

/// The files that go as parts, as many as one message may have.
fn parts<'a>(webhook: &Webhook, event: &'a FormEvent) -> Vec<(&'a BoundField, &'a File)> {
    let form = &event.form;
    if form.attachments.is_empty() || gets_references(webhook) {
        return Vec::new();
    }
    let mut room = form.form.attachments.message_bytes_max;
    let mut parts = Vec::new();
    for field in Arsys.files(webhook, event) {
        let Some(Enclosure::File(file)) = event.circumstances.enclosed.of(field) else { continue };
        if let Some(rest) = room.checked_sub(file.bytes.len() as u64) {
            room = rest;
            parts.push((&form.fields[field], file));
        }
    }
    parts
}

type Missing<'a> = Vec<(&'a str, Cow<'a, str>)>;

/// Appends the details, without the files that go as parts. Returns those that cannot be sent, with the reasons.
fn write_details<'a>(
    webhook: &Webhook,
    event: &'a FormEvent,
    parts: &[(&BoundField, &File)],
    out: &mut Vec<u8>,
) -> Missing<'a> {
    let changed = changed(webhook, event);
    let mut missing = Missing::new();
    out.push(b'{');
    let fields = event.form.fields.iter().enumerate();
    for (number, field) in fields.filter(|(_, field)| wants(webhook, field)) {
        if is_file(event, number) {
            missing.extend(write_file(webhook, event, (number, field), parts, out));
        } else if changed.is_none_or(|changed| changed.contains(&number)) {
            let datum = event.value(field);
            if datum != Datum::Unchanged {
                write_key(&field.name, out);
                write_datum(webhook, field, datum, out);
            }
        }
    }
    out.push(b'}');
    missing
}

fn is_file(event: &FormEvent, number: usize) -> bool {
    event.form.attachments.iter().any(|file| file.field == number)
}

/// Appends a field that is a file, if it goes with the event and not as a part. Returns why its file cannot be sent, if it
/// cannot. Few events have any: their code stays out of the way of the other fields.
#[cold]
fn write_file<'a>(
    webhook: &Webhook,
    event: &'a FormEvent,
    (number, field): (usize, &'a BoundField),
    parts: &[(&BoundField, &File)],
    out: &mut Vec<u8>,
) -> Option<(&'a str, Cow<'a, str>)> {
    let goes_apart = parts.iter().any(|(part, _)| part.column == field.column);
    if goes_apart || !Arsys.files(webhook, event).contains(&number) {
        return None;
    }
    let why = match event.circumstances.enclosed.of(number) {
        Some(Enclosure::File(file)) if gets_references(webhook) => {
            write_key(&field.name, out);
            write_reference(file, out);
            return None;
        }
        Some(Enclosure::File(file)) => {
            let limit = event.form.form.attachments.message_bytes_max;
            Some(Cow::Owned(format!(
                "with its {} bytes the message would have more than {limit} of attachments (attachments_bytes_max)",
                file.bytes.len()
            )))
        }
        Some(Enclosure::Missing(why)) => Some(Cow::Borrowed(&**why)),
        // it has not changed, and nobody wants to hear of that
        Some(Enclosure::LeftAlone) if event.existed() && !webhook.send_unchanged_fields => return None,
        Some(Enclosure::LeftAlone) => Some(Cow::Borrowed("it was left alone, and the log does not have it")),
        Some(Enclosure::Nothing) | None => None,
    };
    write_key(&field.name, out);
    out.extend_from_slice(b"null");
    why.map(|why| (&*field.name, why))
}

fn write_reference(file: &File, out: &mut Vec<u8>) {
    out.push(b'{');
    write_key("name", out);
    write_text(&file.name, out);
    write_key("sizeBytes", out);
    write!(out, "{}", file.bytes.len()).expect("a Vec takes every byte");
    if let Some(href) = &file.href {
        write_key("href", out);
        write_text(href, out);
    }
    out.push(b'}');
}

fn write_missing(missing: &Missing<'_>, out: &mut Vec<u8>) {
    if missing.is_empty() {
        return;
    }
    write_key("attachments_missing", out);
    out.push(b'{');
    for (field, why) in missing {
        write_key(field, out);
        write_text(why, out);
    }
    out.push(b'}');
}

fn write_hashes(parts: &[(&BoundField, &File)], out: &mut Vec<u8>) {
    out.push(b'{');
    for (field, file) in parts {
        write_key(&field.name, out);
        out.push(b'{');
        write_key("name", out);
        write_text(&file.name, out);
        write_key("sizeBytes", out);
        write!(out, "{}", file.bytes.len()).expect("a Vec takes every byte");
        write_key("sha256", out);
        write_text(&hex(&file.hash), out);
        out.push(b'}');
    }
    out.push(b'}');
}
