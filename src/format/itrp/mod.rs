//! `itrp`: the messages of ITRP, 4me, Xurrent and R-Service.
//!
//! ```json
//! {"webhook_id": 7, "webhook_nodeID": "d2FsaG9vay9XZWJob29rLzc", "account_id": "widget",
//!  "account": "https://desk.example", "name": "Pager", "event": "request.status-changed", "object_id": 70111,
//!  "object_nodeID": "d2FsaG9vay9SZXF1ZXN0LzcwMTEx", "person_id": 42,
//!  "person_nodeID": "d2FsaG9vay9QZXJzb24vNDI", "person_name": "Ellen Brown",
//!  "payload": {"status": "completed", "previous_status": "assigned"}}
//! ```
//!
//! The event is the form's noun with a verb. An entry id that is a number is written as one. Keys as in the product's
//! "Webhooks" page; a node id is, as there, base64url of a path that ends with type and id. Where nobody is known to have
//! made the change, `person_id` is null and `person_name` empty, as in the product's events of the system.
//!
//! The header `X-Xurrent-Delivery` is the delivery's identity as a UUID, the same on every attempt. `Link` says where the
//! entry is found (`canonical`, `resource`) and its note (`related`), as far as the form says it.

mod payload;

use super::fields::{is_number, write_key, write_number_or_text, write_text};
use super::{Format, Identity};
use crate::delivery::{Body, DeliveryId};
use crate::event::{Circumstances, Detail, FormEvent, Verb};
use crate::webhook::Webhook;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::borrow::Cow;
use std::io::Write;

const CONTENT_TYPE: &str = "application/json; charset=utf-8";
const DELIVERY: HeaderName = HeaderName::from_static("x-xurrent-delivery");

/// The format.
pub(super) struct Itrp;

impl Format for Itrp {
    fn name(&self) -> &'static str {
        "itrp"
    }

    fn content_type(&self, webhook: &Webhook, event: &FormEvent) -> Cow<'static, str> {
        let _ = webhook;
        match links(event) {
            None => Cow::Borrowed(CONTENT_TYPE),
            Some(links) => Cow::Owned(format!("{CONTENT_TYPE}\nlink: {links}")),
        }
    }

    fn marks_tests(&self) -> bool {
        // the product has a number of its own for it
        false
    }

    fn header(&self, id: DeliveryId) -> Option<(HeaderName, HeaderValue)> {
        Some((DELIVERY, uuid_of(id).try_into().ok()?))
    }

    fn knows_merge(&self) -> bool {
        false
    }

    fn tells_of_bulk(&self) -> bool {
        false
    }

    fn head(&self, webhook: &Webhook, _delivery: &Identity, _event: &FormEvent, out: &mut Vec<u8>) {
        head(webhook, out);
    }

    fn tail(&self, webhook: &Webhook, event: &FormEvent, out: &mut Vec<u8>) {
        out.extend_from_slice(br#""event":"#);
        write_text(&name_of(event), out);
        write_object("object", &event.form.form.noun, &event.entry_id, out);
        write_person(event, out);
        write_key("payload", out);
        payload::write(webhook, event, out);
        if let Some(custom_json) = &webhook.custom_json {
            write_key("custom_json", out);
            out.extend_from_slice(custom_json.as_bytes());
        }
        out.push(b'}');
    }
}

/// The message that asks whether a webhook's messages are wanted; if they are, `callback` is to be called.
pub fn verification(webhook: &Webhook, callback: &str) -> Body {
    let mut body = Vec::new();
    head(webhook, &mut body);
    body.extend_from_slice(br#""event":"webhook.verify""#);
    write_object("object", "webhook", &webhook.id.to_string(), &mut body);
    write_key("payload", &mut body);
    body.push(b'{');
    write_key("callback", &mut body);
    write_text(callback, &mut body);
    body.extend_from_slice(b"}}");
    Body { head: body.into(), tail: Bytes::new(), content_type: CONTENT_TYPE.to_owned() }
}

fn head(webhook: &Webhook, out: &mut Vec<u8>) {
    let id = webhook.id.0;
    write!(out, r#"{{"webhook_id":{id}"#).expect("a Vec takes every byte");
    write_key("webhook_nodeID", out);
    write_text(&node_id("webhook", &id.to_string()), out);
    if let Some(account) = &webhook.account {
        write_key("account_id", out);
        write_text(&account.id, out);
        if let Some(url) = &account.url {
            write_key("account", out);
            write_text(url, out);
        }
    }
    write_key("name", out);
    write_text(&webhook.name, out);
    out.push(b',');
}

/// The event as the product names it. What a rule says has no noun there.
fn name_of(event: &FormEvent) -> String {
    let verb = match event.verb {
        Verb::AUTOMATION_RULE => return event.verb.to_string(),
        Verb::Merge if event.existed() => Verb::Update,
        Verb::Merge => Verb::Create,
        verb => verb,
    };
    format!("{}.{verb}", event.form.form.noun)
}

/// Appends the two ids of an object.
fn write_object(key: &str, noun: &str, id: &str, out: &mut Vec<u8>) {
    write_key(&format!("{key}_id"), out);
    write_number_or_text(id, out);
    write_key(&format!("{key}_nodeID"), out);
    write_text(&node_id(noun, id), out);
}

/// Appends who made the change: by number and name, or by name alone.
fn write_person(event: &FormEvent, out: &mut Vec<u8>) {
    let Circumstances { actor, actor_name, .. } = &*event.circumstances;
    let is_id = |actor: &&String| actor_name.is_some() || is_number(actor);
    match actor.as_ref().filter(is_id) {
        Some(id) => write_object("person", "person", id, out),
        None => {
            write_key("person_id", out);
            out.extend_from_slice(b"null");
            write_key("person_nodeID", out);
            out.extend_from_slice(b"null");
        }
    }
    write_key("person_name", out);
    let name = actor_name.as_ref().or_else(|| actor.as_ref().filter(|actor| !is_number(actor)));
    write_text(name.map_or("", String::as_str), out);
}

/// Where the entry and its note are found (RFC 8288); none where nobody said it.
fn links(event: &FormEvent) -> Option<String> {
    let at = |template: &Option<String>| {
        let id = utf8_percent_encode(&event.entry_id, NON_ALPHANUMERIC).to_string();
        template.as_ref().map(|template| template.replace("{entry_id}", &id))
    };
    let (canonical, resource) = (at(&event.form.form.itrp.canonical), at(&event.form.form.itrp.resource));
    let related = match &event.circumstances.detail {
        Detail::Child { id, .. } => {
            resource.as_ref().map(|url| format!("{url}/notes/{}", utf8_percent_encode(id, NON_ALPHANUMERIC)))
        }
        Detail::Entry | Detail::Transition { .. } | Detail::Payload(_) => None,
    };
    let links = [("canonical", canonical), ("resource", resource), ("related", related)];
    let links: Vec<String> =
        links.into_iter().filter_map(|(name, url)| Some(format!("<{}>; rel=\"{name}\"", url?))).collect();
    (!links.is_empty()).then(|| links.join(", "))
}

/// What names an object among all: `service_offering` and 7 are `walhook/ServiceOffering/7`.
pub fn node_id(noun: &str, id: &str) -> String {
    let kind = noun.split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    });
    URL_SAFE_NO_PAD.encode(format!("walhook/{}/{id}", kind.collect::<String>()))
}

/// A delivery's identity as a UUID of version 8 (RFC 9562: bits of the maker's own choice).
fn uuid_of(id: DeliveryId) -> String {
    let mut bytes = id.0;
    bytes[6] = bytes[6] & 0x0F | 0x80;
    bytes[8] = bytes[8] & 0x3F | 0x80;
    let mut text = String::with_capacity(36);
    for (number, byte) in bytes.iter().enumerate() {
        if matches!(number, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text += &format!("{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_written_as_the_product_writes_them() {
        assert_eq!(
            URL_SAFE_NO_PAD.decode(node_id("service_offering", "7")).unwrap(),
            b"walhook/ServiceOffering/7"
        );
        assert_eq!(uuid_of(DeliveryId([0xFF; 16])), "ffffffff-ffff-8fff-bfff-ffffffffffff");
        for (id, expected) in [("0", true), ("12345", true), ("007", false), ("", false), ("1e3", false)] {
            assert_eq!(is_number(id), expected, "{id}");
        }
        assert!(!is_number("9007199254740993"), "beyond what a double holds");
    }
}
