//! `changegear`: the bodies of ChangeGear's webhooks.
//!
//! ```json
//! {"Event": "Update", "EntityType": "Incident", "Entity": {"ID": 7, "Summary": "printer", "AssignedTo": 657}}
//! ```
//!
//! `Entity` has all columns, changed or not, as the product's interface shows a ticket; receivers that are written for
//! the product read it alone. The product's own names for event and module are not known: these are walhook's. A merge
//! is an update, and a delete brings the row as it was. Where something of it is not known (of a delete without
//! `REPLICA IDENTITY FULL` all but the key, of an update a large value that the log leaves out) it is absent, and
//! `"partial": true` says so.

use super::fields::{capitalized, wanted, write_datum, write_key, write_text};
use super::{Format, Identity, Told, told};
use crate::change::Datum;
use crate::event::{FormEvent, Verb};
use crate::webhook::Webhook;

/// The format.
pub(super) struct ChangeGear;

impl Format for ChangeGear {
    fn name(&self) -> &'static str {
        "changegear"
    }

    fn knows_merge(&self) -> bool {
        false
    }

    fn head(&self, _webhook: &Webhook, _delivery: &Identity, _event: &FormEvent, out: &mut Vec<u8>) {
        out.push(b'{');
    }

    fn tail(&self, webhook: &Webhook, event: &FormEvent, out: &mut Vec<u8>) {
        out.extend_from_slice(br#""Event":"#);
        let word = match event.verb {
            Verb::Merge if event.existed() => "update",
            Verb::Merge => "create",
            ref verb => verb.as_str(),
        };
        write_text(&capitalized(word), out);
        write_key("EntityType", out);
        write_text(&event.form.form.name, out);
        write_key("Entity", out);
        let mut is_partial = false;
        out.push(b'{');
        for (_, field) in wanted(webhook, event) {
            let datum = event.value(field);
            if datum == Datum::Unchanged {
                is_partial = true;
            } else {
                write_key(&field.name, out);
                write_datum(webhook, field, datum, out);
            }
        }
        out.push(b'}');
        if is_partial {
            write_key("partial", out);
            out.extend_from_slice(b"true");
        }
        if let Some(custom_json) = &webhook.custom_json {
            write_key("custom_json", out);
            out.extend_from_slice(custom_json.as_bytes());
        }
        out.push(b'}');
    }

    fn told(&self, verb: Verb, body: &[u8]) -> Option<Told> {
        told::changegear(verb, body)
    }
}
