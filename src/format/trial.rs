//! The body of an event that did not happen, to try an endpoint with.

use super::{Identity, find};
use crate::change::{Datum, OldRow, Row};
use crate::delivery::Body;
use crate::event::{FormEvent, Transaction, Verb};
use crate::form::{BoundForm, Lane};
use crate::lsn::Position;
use crate::value::{Kind, Type};
use crate::webhook::Webhook;
use bytes::Bytes;
use serde_json::json;
use std::sync::Arc;

/// The entry that the event would be about: ITRP and its heirs name it so.
pub const ENTRY_ID: &str = "12345";

/// The body of a webhook's first event for an entry whose fields have values of their types and mean nothing. It has
/// `"test": true`, but in formats whose products mark tests otherwise. Where the form is not known, it has no fields.
pub fn body(webhook: &Webhook, form: Option<&Arc<BoundForm>>, identity: &Identity, now_us: i64) -> Body {
    let format = find(webhook.format).unwrap_or(super::FORMATS[0]);
    let Some(form) = form else {
        let body = json!({ "webhook": webhook.name, "test": true, "entry_id": ENTRY_ID });
        let content_type = "application/json".to_owned();
        return Body { head: body.to_string().into(), tail: Bytes::new(), content_type };
    };
    let event = event(form, verb_of(webhook), now_us);
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    format.head(webhook, identity, &event, &mut head);
    format.tail(webhook, &event, &mut tail);
    if format.marks_tests() && head.first() == Some(&b'{') {
        head.splice(1..1, *br#""test":true,"#);
    }
    let content_type = format.content_type(webhook, &event).into_owned();
    Body { head: head.into(), tail: tail.into(), content_type }
}

/// What the webhook would hear of first.
pub fn verb_of(webhook: &Webhook) -> Verb {
    let first = webhook.listens.first().and_then(|one| one.verbs.first());
    first.copied().unwrap_or(Verb::Create)
}

fn event(form: &Arc<BoundForm>, verb: Verb, now_us: i64) -> FormEvent {
    let row: Row = (0..form.relation.columns.len()).map(|column| value(form, column)).collect();
    let (old, new) = match verb {
        Verb::Delete => (OldRow::Full(row), None),
        _ => (OldRow::Absent, Some(row)),
    };
    FormEvent {
        form: Arc::clone(form),
        verb,
        position: Position::default(),
        transaction: Arc::new(Transaction { xid: 0, committed_at_us: now_us, origin: None }),
        entry_id: ENTRY_ID.to_owned(),
        lane: Lane(0),
        behind: Vec::new(),
        old,
        new,
        changed: None,
        renamed_to: None,
        renamed_from: None,
        circumstances: crate::event::Circumstances::none(),
    }
}

/// A value that a column could have, in PostgreSQL's text form.
fn value(form: &BoundForm, column: usize) -> Datum<'_> {
    let Some(field) = form.fields.iter().find(|field| field.column == column) else { return Datum::Null };
    if let Kind::Selection(selection) = &field.kind
        && let Some(choice) = selection.choices.first()
    {
        return Datum::Text(&choice.stored);
    }
    let is_id = form.entry_id == [column];
    match field.type_ {
        Type::Number | Type::Text if is_id => Datum::Text(ENTRY_ID),
        Type::Boolean => Datum::Text("t"),
        Type::Number => Datum::Text("1"),
        Type::Date => Datum::Text("2026-01-01"),
        Type::Timestamp => Datum::Text("2026-01-01 12:00:00"),
        Type::TimestampTz => Datum::Text("2026-01-01 12:00:00+00"),
        Type::Json => Datum::Text("{}"),
        Type::Text => Datum::Text("sample"),
        Type::Array { .. } => Datum::Text("{}"),
        Type::Bytea | Type::Hstore | Type::Vector { .. } | Type::Composite(_) => Datum::Null,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::{DeliveryId, DeliveryNumber};
    use crate::form::sample;
    use crate::format::FORMATS;
    use crate::webhook;
    use serde_json::Value;

    // R-NA-11
    #[test]
    fn every_format_has_a_body_for_a_test() {
        let number = DeliveryNumber { webhook: crate::webhook::WebhookId(1), sequence: 0 };
        let identity = Identity { id: DeliveryId([7; 16]), number };
        let columns =
            [("Id", Type::Number), ("Open", Type::Boolean), ("Since", Type::Date), ("Data", Type::Json)];
        let form = Arc::new(sample::form("HPD:Help Desk", &columns));
        for format in FORMATS {
            for verb in Verb::OF_ROWS {
                let mut webhook = Webhook { format: format.name(), ..webhook::sample::webhook(1) };
                webhook.listens[0].verbs = vec![verb];
                let body = super::body(&webhook, Some(&form), &identity, 0);
                let text = [&body.head[..], &body.tail[..]].concat();
                let body: Value = serde_json::from_slice(&text).unwrap();
                let is_marked = body["test"] == true || body["object_id"] == 12345;
                assert!(is_marked, "{}: {body}", format.name());
                assert!(body.to_string().contains(ENTRY_ID), "{}: {body}", format.name());
            }
            let webhook = Webhook { format: format.name(), ..webhook::sample::webhook(1) };
            let body = super::body(&webhook, None, &identity, 0);
            assert_eq!(serde_json::from_slice::<Value>(&body.head).unwrap()["test"], true);
        }
    }
}
