//! `itrp`: the messages of ITRP, 4me, Xurrent and R-Service.
//!
//! ```json
//! {"webhook_id": 7, "webhook_nodeID": "d2FsaG9vay9XZWJob29rLzc", "name": "Pager", "event": "request.create",
//!  "object_id": 70111, "object_nodeID": "d2FsaG9vay9SZXF1ZXN0LzcwMTEx", "payload": {}}
//! ```
//!
//! The event is the form's noun with a verb. An entry id that is a number is written as one. Keys as in the product's
//! "Webhooks" page; a node id is, as there, base64url of a path that ends with type and id. The header
//! `X-Xurrent-Delivery` is the delivery's identity as a UUID, the same on every attempt.

use super::fields::{write_key, write_text};
use super::{Format, Identity};
use crate::delivery::{Body, DeliveryId};
use crate::event::FormEvent;
use crate::webhook::Webhook;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::io::Write;

const DELIVERY: HeaderName = HeaderName::from_static("x-xurrent-delivery");

/// The format.
pub(super) struct Itrp;

impl Format for Itrp {
    fn name(&self) -> &'static str {
        "itrp"
    }

    fn content_type(&self) -> &'static str {
        "application/json; charset=utf-8"
    }

    fn marks_tests(&self) -> bool {
        // the product has a number of its own for it
        false
    }

    fn header(&self, id: DeliveryId) -> Option<(HeaderName, HeaderValue)> {
        Some((DELIVERY, uuid_of(id).try_into().ok()?))
    }

    fn head(&self, webhook: &Webhook, _delivery: &Identity, _event: &FormEvent, out: &mut Vec<u8>) {
        head(webhook, out);
    }

    fn tail(&self, webhook: &Webhook, event: &FormEvent, out: &mut Vec<u8>) {
        let noun = &event.form.form.noun;
        out.extend_from_slice(br#""event":"#);
        write_text(&format!("{noun}.{}", event.verb), out);
        write_key("object_id", out);
        if is_number(&event.entry_id) {
            out.extend_from_slice(event.entry_id.as_bytes());
        } else {
            write_text(&event.entry_id, out);
        }
        write_key("object_nodeID", out);
        write_text(&node_id(noun, &event.entry_id), out);
        write_key("payload", out);
        out.extend_from_slice(b"{}");
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
    let id = webhook.id.to_string();
    write_key("object_id", &mut body);
    body.extend_from_slice(id.as_bytes());
    write_key("object_nodeID", &mut body);
    write_text(&node_id("webhook", &id), &mut body);
    write_key("payload", &mut body);
    body.push(b'{');
    write_key("callback", &mut body);
    write_text(callback, &mut body);
    body.extend_from_slice(b"}}");
    Body { head: body.into(), tail: Bytes::new(), content_type: Itrp.content_type().to_owned() }
}

fn head(webhook: &Webhook, out: &mut Vec<u8>) {
    let id = webhook.id.0;
    write!(out, r#"{{"webhook_id":{id}"#).expect("a Vec takes every byte");
    write_key("webhook_nodeID", out);
    write_text(&node_id("webhook", &id.to_string()), out);
    write_key("name", out);
    write_text(&webhook.name, out);
    out.push(b',');
}

/// What names an object among all: `service_offering` and 7 are `walhook/ServiceOffering/7`.
pub fn node_id(noun: &str, id: &str) -> String {
    let kind = noun.split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
    });
    URL_SAFE_NO_PAD.encode(format!("walhook/{}/{id}", kind.collect::<String>()))
}

/// An integer that every reader of JSON keeps as it is.
fn is_number(id: &str) -> bool {
    (1..=15).contains(&id.len())
        && id.bytes().all(|digit| digit.is_ascii_digit())
        && (id == "0" || !id.starts_with('0'))
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
