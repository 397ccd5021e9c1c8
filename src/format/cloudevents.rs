//! `cloudevents`: events of the CloudEvents specification (1.0.2), as JSON in structured mode.
//!
//! ```json
//! {"specversion": "1.0", "id": "msg_5f0c…", "source": "https://desk.example/forms/HPD%3AHelp%20Desk",
//!  "webhook": "Escalations", "sequence": "00000000000000000012", "type": "walhook.request.update",
//!  "subject": "INC0001", "partitionkey": "INC0001", "time": "2026-11-22T10:01:11.123456Z",
//!  "datacontenttype": "application/json", "data": {"form": "HPD:Help Desk", "noun": "request", …}}
//! ```
//!
//! `data` is the `native` body without `id`, `sequence` and `webhook`, which are attributes here. The source is the form,
//! below the URL of the account where the webhook has one.
//!
//! | extension attribute | what |
//! |---|---|
//! | `sequence` | counts the webhook's deliveries; with leading zeros, for the specification's order is that of texts |
//! | `partitionkey` | the entry id: what has the same one is to stay in order |
//! | `webhook` | the webhook's name |
//! | `test` | true where somebody tries the endpoint, and absent else |
//!
//! Attributes may have neither control characters nor noncharacters: in `subject`, `partitionkey` and `webhook` they are
//! percent-encoded, and `data` has the text as it is. No attribute may be empty: that of an empty entry id is absent.

use super::fields::{write_key, write_text};
use super::{Format, Identity, Told, facts, told};
use crate::event::{FormEvent, Verb};
use crate::webhook::Webhook;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;
use std::io::Write;

/// What is encoded in a segment of a path: all but the unreserved characters (RFC 3986, 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The format.
pub(super) struct CloudEvents;

impl Format for CloudEvents {
    fn name(&self) -> &'static str {
        "cloudevents"
    }

    fn content_type(&self, _webhook: &Webhook, _event: &FormEvent) -> Cow<'static, str> {
        Cow::Borrowed("application/cloudevents+json")
    }

    fn head(&self, webhook: &Webhook, delivery: &Identity, event: &FormEvent, out: &mut Vec<u8>) {
        write!(out, r#"{{"specversion":"1.0","id":"{}""#, delivery.id).expect("a Vec takes every byte");
        write_key("source", out);
        write_text(&source(webhook, event), out);
        write_attribute("webhook", &webhook.name, out);
        write_key("sequence", out);
        // as many digits as the largest number has
        write!(out, r#""{:020}","#, delivery.number.sequence).expect("a Vec takes every byte");
    }

    fn tail(&self, webhook: &Webhook, event: &FormEvent, out: &mut Vec<u8>) {
        out.extend_from_slice(br#""type":"#);
        write_text(&format!("walhook.{}.{}", event.form.form.noun, event.verb), out);
        write_attribute("subject", &event.entry_id, out);
        write_attribute("partitionkey", &event.entry_id, out);
        let end = out.len();
        write_key("time", out);
        if !facts::write_time(event, out) {
            out.truncate(end);
        }
        write_key("datacontenttype", out);
        write_text("application/json", out);
        write_key("data", out);
        out.push(b'{');
        facts::write(webhook, event, out);
        out.extend_from_slice(b"}}");
    }

    fn told(&self, verb: Verb, body: &[u8]) -> Option<Told> {
        told::cloudevents(verb, body)
    }
}

/// Where the event comes from, a URI or, without an account's URL, a reference to one.
fn source(webhook: &Webhook, event: &FormEvent) -> String {
    let site = webhook.account.as_ref().and_then(|account| account.url.as_deref()).unwrap_or_default();
    let form = utf8_percent_encode(&event.form.form.name, RESERVED);
    format!("{}/forms/{form}", site.trim_end_matches('/'))
}

/// Appends an attribute that is a text, unless it is empty.
fn write_attribute(name: &str, text: &str, out: &mut Vec<u8>) {
    if !text.is_empty() {
        write_key(name, out);
        write_text(&allowed(text), out);
    }
}

/// A text as an attribute may have it.
fn allowed(text: &str) -> Cow<'_, str> {
    if !text.contains(is_disallowed) {
        return Cow::Borrowed(text);
    }
    let mut allowed = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        if is_disallowed(character) {
            let mut bytes = [0; 4];
            allowed.extend(utf8_percent_encode(character.encode_utf8(&mut bytes), NON_ALPHANUMERIC));
        } else {
            allowed.push(character);
        }
    }
    Cow::Owned(allowed)
}

/// Whether the type String of CloudEvents does without a character: controls and Unicode's noncharacters.
fn is_disallowed(character: char) -> bool {
    let code = u32::from(character);
    character.is_control() || matches!(code, 0xFDD0..=0xFDEF) || code & 0xFFFE == 0xFFFE
}
