//! `native`: everything walhook knows of an event.
//!
//! ```json
//! {"id": "msg_5f0c…", "sequence": 12, "webhook": "Escalations", "form": "HPD:Help Desk", "noun": "request",
//!  "event": "update", "entry_id": "INC0001", "changed": {"Status": {"old": 1, "new": 4}},
//!  "entry": {"Short Description": "printer on fire", "Status": 4},
//!  "committed_at": "2026-11-22T10:01:11.123456Z", "lsn": "0/16B3748", "xid": 741}
//! ```
//!
//! What is not known is absent: `changed` without the old row, a field whose large value was not sent (it is
//! named in `unavailable_fields`).

use super::fields::write_text;
use super::{Format, Identity, Told, facts, told};
use crate::event::{FormEvent, Verb};
use crate::webhook::Webhook;
use std::io::Write;

/// The format.
pub(super) struct Native;

impl Format for Native {
    fn name(&self) -> &'static str {
        "native"
    }

    fn head(&self, webhook: &Webhook, delivery: &Identity, _event: &FormEvent, out: &mut Vec<u8>) {
        let sequence = delivery.number.sequence;
        write!(out, r#"{{"id":"{}","sequence":{sequence},"webhook":"#, delivery.id)
            .expect("a Vec takes every byte");
        write_text(&webhook.name, out);
        out.push(b',');
    }

    fn tail(&self, webhook: &Webhook, event: &FormEvent, out: &mut Vec<u8>) {
        facts::write(webhook, event, out);
        out.push(b'}');
    }

    fn told(&self, verb: Verb, body: &[u8]) -> Option<Told> {
        told::native(verb, body)
    }
}
