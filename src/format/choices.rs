//! What is sent to the letter, where a format leaves a choice and in corner cases. Whole examples are in `golden.rs`.

use super::{Identity, find};
use crate::change::OldRow;
use crate::delivery::{DeliveryId, DeliveryNumber};
use crate::event::{FormEvent, Transaction, Verb};
use crate::form::sample;
use crate::lsn::{Lsn, Position};
use crate::value::Type;
use crate::webhook::{self, Webhook};
use std::sync::Arc;

fn webhook(format: &'static str, payload_fields: &[&str]) -> Webhook {
    let payload_fields = payload_fields.iter().map(|name| (*name).into()).collect();
    Webhook { name: "Escalations".into(), format, payload_fields, ..webhook::sample::webhook(1) }
}

/// An incident with the columns of the product's sample: its id, who submitted it, its status as a number, a
/// description, a GUID and an attachment too large to be sent.
fn event(verb: Verb, old: Option<&[&str]>, new: Option<&[&str]>, changed: Option<&[usize]>) -> FormEvent {
    let columns = [
        ("Entry ID", Type::Text),
        ("Submitter", Type::Text),
        ("Status", Type::Number),
        ("Short Description", Type::Text),
        ("GUID", Type::Text),
        ("Log", Type::Text),
    ];
    let mut form = sample::form("HPD:Help Desk", &columns);
    form.fields[2].id = Some(7);
    form.record_id = Some(4);
    let row = new.or(old).unwrap();
    FormEvent {
        entry_id: row[0].into(),
        form: Arc::new(form),
        verb,
        position: Position { epoch: 0, commit_lsn: Lsn(0x16_B374_D848), ordinal: 3 },
        transaction: Arc::new(Transaction { xid: 741, committed_at_us: 1_795_341_671_123_456, origin: None }),
        lane: crate::form::Lane(0),
        behind: vec![],
        old: old.map_or(OldRow::Absent, |old| OldRow::Full(sample::row(old))),
        new: new.map(sample::row),
        changed: changed.map(<[usize]>::to_vec),
        renamed_to: None,
        renamed_from: None,
        circumstances: crate::event::Circumstances::none(),
    }
}

const NEW: &[&str] = &["000000000000001", "Demo", "0", "New Incident", "AGGAA5V0G7", "long"];
const OLD: &[&str] = &["000000000000001", "Demo", "4", "Old", "AGGAA5V0G7", "long"];

#[track_caller]
fn check(webhook: &Webhook, event: &FormEvent, expected: &str) {
    let format = find(webhook.format).unwrap();
    let number = DeliveryNumber { webhook: webhook.id, sequence: 12 };
    let identity = Identity { id: DeliveryId([0xAB; 16]), number };
    let (mut body, mut tail) = (Vec::new(), Vec::new());
    format.head(webhook, &identity, event, &mut body);
    format.tail(webhook, event, &mut tail);
    body.append(&mut tail);
    let body = String::from_utf8(body).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
    assert_eq!(body, expected.replace('\n', ""));
}

// R-AR-51 R-AR-56
#[test]
fn arsys_create_brings_the_registered_fields_and_the_record_id() {
    let event = event(Verb::Create, None, Some(NEW), None);
    check(
        &webhook("arsys", &["Submitter", "Status", "Short Description"]),
        &event,
        r#"{"webhook_id":"WBH000000000001","entry_event":"create","form_name":"HPD:Help Desk",
"entry_id":"000000000000001","record_id":"AGGAA5V0G7",
"entry_details":{"Submitter":"Demo","Status":0,"Short Description":"New Incident"}}"#,
    );
}

// R-AR-59 R-AR-61 R-AR-62 R-AR-64 R-AR-68
#[test]
fn arsys_update_brings_the_registered_fields_that_changed() {
    let changed = event(Verb::Update, Some(OLD), Some(NEW), Some(&[2, 3]));
    let head = r#"{"webhook_id":"WBH000000000001","entry_event":"update","form_name":"HPD:Help Desk",
"entry_id":"000000000000001","entry_details":"#;
    let cases: [(&[&str], &str); 4] = [
        (&[], r#"{"Status":0,"Short Description":"New Incident"}}"#),
        (&["Submitter", "Short Description"], r#"{"Short Description":"New Incident"}}"#),
        (&["7"], r#"{"Status":0}}"#),
        (&["Submitter"], "{}}"),
    ];
    for (payload_fields, details) in cases {
        check(&webhook("arsys", payload_fields), &changed, &format!("{head}{details}"));
    }
    let mut all = webhook("arsys", &["Submitter", "Status"]);
    all.send_unchanged_fields = true;
    check(&all, &changed, &format!("{head}{}", r#"{"Submitter":"Demo","Status":0}}"#));
    let blind = event(Verb::Update, None, Some(NEW), None);
    check(
        &webhook("arsys", &["Status", "Submitter"]),
        &blind,
        &format!("{head}{}", r#"{"Submitter":"Demo","Status":0}}"#),
    );
}

// R-AR-52 R-AR-69 R-AR-79
#[test]
fn arsys_delete_brings_the_ids_only() {
    let event = event(Verb::Delete, Some(OLD), None, None);
    let four = r#"{"webhook_id":"WBH000000000001","entry_event":"delete","form_name":"HPD:Help Desk",
"entry_id":"000000000000001""#;
    let mut webhook = webhook("arsys", &[]);
    check(&webhook, &event, &format!("{four}}}"));
    webhook.custom_json = Some(r#"{"action":"AddToLogicalGroup"}"#.into());
    check(&webhook, &event, &format!("{four}{}", r#","custom_json":{"action":"AddToLogicalGroup"}}"#));
}

#[test]
fn itrp_brings_the_ids_and_the_event() {
    let mut event = event(Verb::Update, Some(OLD), Some(NEW), Some(&[2]));
    let head = r#"{"webhook_id":1,"webhook_nodeID":"d2FsaG9vay9XZWJob29rLzE","name":"Escalations","event":"request.update","#;
    let rest = r#","person_id":null,"person_nodeID":null,"person_name":"","payload":{"status":"0"}}"#;
    let text =
        r#""object_id":"000000000000001","object_nodeID":"d2FsaG9vay9SZXF1ZXN0LzAwMDAwMDAwMDAwMDAwMQ""#;
    check(&webhook("itrp", &[]), &event, &format!("{head}{text}{rest}"));
    event.entry_id = "70111".into();
    let number = r#""object_id":70111,"object_nodeID":"d2FsaG9vay9SZXF1ZXN0LzcwMTEx""#;
    check(&webhook("itrp", &[]), &event, &format!("{head}{number}{rest}"));
}

#[test]
fn native_update_brings_what_changed_and_the_entry() {
    let mut large = NEW.to_vec();
    large[5] = "?";
    check(
        &webhook("native", &[]),
        &event(Verb::Update, Some(OLD), Some(&large), Some(&[2, 3])),
        r#"{"id":"msg_abababababababababababababababab","sequence":12,"webhook":"Escalations",
"form":"HPD:Help Desk","noun":"request","event":"update","entry_id":"000000000000001",
"record_id":"AGGAA5V0G7",
"changed":{"Status":{"old":4,"new":0},"Short Description":{"old":"Old","new":"New Incident"}},
"entry":{"Entry ID":"000000000000001","Submitter":"Demo","Status":0,"Short Description":"New Incident",
"GUID":"AGGAA5V0G7"},"unavailable_fields":["Log"],
"committed_at":"2026-11-22T10:01:11.123456Z","lsn":"16/B374D848","xid":741}"#,
    );
}

#[test]
fn native_leaves_out_what_is_not_known_or_not_wanted() {
    let blind = event(Verb::Update, None, Some(NEW), None);
    let head = r#"{"id":"msg_abababababababababababababababab","sequence":12,"webhook":"Escalations",
"form":"HPD:Help Desk","noun":"request","event":"#;
    let foot = r#""committed_at":"2026-11-22T10:01:11.123456Z","lsn":"16/B374D848","xid":741}"#;
    let middle = r#""entry_id":"000000000000001","record_id":"AGGAA5V0G7","entry":{"Status":0},"#;
    check(&webhook("native", &["Status"]), &blind, &format!("{head}\"update\",{middle}{foot}"));
    let gone = event(Verb::Delete, Some(OLD), None, None);
    let middle = middle.replace(r#""Status":0"#, r#""Status":4"#);
    check(&webhook("native", &["Status"]), &gone, &format!("{head}\"delete\",{middle}{foot}"));
}

#[test]
fn datagerry_tells_the_object_before_and_after_and_what_changed() {
    let head = r#"{"event_time":{"$date":1795341671123},"operation":"#;
    let object = |id: &str, fields: &str| {
        format!(r#"{{"public_id":{id},"type_id":"request","active":true,"fields":[{fields}]}}"#)
    };
    let new =
        object(r#""000000000000001""#, r#"{"name":"Status","value":0},{"name":"Submitter","value":"Demo"}"#);
    let old = new.replace(r#""value":0"#, r#""value":4"#);
    let mut webhook = webhook("datagerry", &["Status", "Submitter"]);
    let submitter_last = |event: FormEvent| {
        let mut form = (*event.form).clone();
        form.fields.swap(1, 2);
        FormEvent { form: Arc::new(form), ..event }
    };
    let created = submitter_last(event(Verb::Create, None, Some(NEW), None));
    check(
        &webhook,
        &created,
        &format!(r#"{head}"CREATE","object_before":null,"object_after":{new},"changes":null}}"#),
    );
    let updated = submitter_last(event(Verb::Update, Some(OLD), Some(NEW), Some(&[1, 3])));
    let changes = r#"{"old":[{"name":"Status","value":4}],"new":[{"name":"Status","value":0}]}"#;
    let update =
        format!(r#"{head}"UPDATE","object_before":{old},"object_after":{new},"changes":{changes}}}"#);
    check(&webhook, &updated, &update);
    check(&webhook, &FormEvent { verb: Verb::Merge, ..updated }, &update);
    // without the old row nobody knows what changed
    let all = r#"[{"name":"Status","value":0},{"name":"Submitter","value":"Demo"}]"#;
    check(
        &webhook,
        &submitter_last(event(Verb::Update, None, Some(NEW), None)),
        &format!(
            r#"{head}"UPDATE","object_before":null,"object_after":{new},"changes":{{"old":null,"new":{all}}}}}"#
        ),
    );
    webhook.custom_json = Some(r#"{"a":1}"#.into());
    let gone = submitter_last(event(Verb::Delete, Some(OLD), None, None));
    let delete = format!(r#"{head}"DELETE","object_before":{old},"object_after":null,"changes":null"#);
    check(&webhook, &gone, &format!(r#"{delete},"custom_json":{{"a":1}}}}"#));
}

#[test]
fn datagerry_makes_nothing_up() {
    let form = |noun: &str| {
        let mut form =
            sample::form("Server", &[("id", Type::Number), ("active", Type::Boolean), ("ram", Type::Number)]);
        let mut described = (*form.form).clone();
        described.noun = noun.into();
        form.form = Arc::new(described);
        Arc::new(form)
    };
    let of = |event: FormEvent, noun: &str| FormEvent { form: form(noun), ..event };
    let webhook = webhook("datagerry", &[]);
    let head = r#"{"event_time":{"$date":1795341671123},"operation":"#;
    // ids that are numbers are numbers, the form says whether the object is active, and a large value is left out
    check(
        &webhook,
        &of(event(Verb::Create, None, Some(&["7", "f", "?"]), None), "12"),
        &format!(
            "{head}{}{}",
            r#""CREATE","object_before":null,"object_after":{"public_id":7,"type_id":12,"active":false,"#,
            r#""fields":[{"name":"id","value":7},{"name":"active","value":false}]},"changes":null}"#
        ),
    );
    // a delete of which only the key is known
    let mut gone = of(event(Verb::Delete, Some(&["7", "?", "?"]), None, None), "server");
    let OldRow::Full(key) = gone.old else { unreachable!() };
    gone.old = OldRow::Key(key);
    check(
        &webhook,
        &gone,
        &format!(
            "{head}{}",
            r#""DELETE","object_before":{"public_id":7,"type_id":"server","fields":[{"name":"id","value":7}]},
"object_after":null,"changes":null}"#
        ),
    );
}

#[test]
fn changegear_brings_the_entity_and_says_what_is_partial() {
    let webhook = webhook("changegear", &[]);
    let head = |event: &str| format!(r#"{{"Event":"{event}","EntityType":"HPD:Help Desk","Entity":"#);
    let new = r#"{"Entry ID":"000000000000001","Submitter":"Demo","Status":0,"Short Description":"New Incident",
"GUID":"AGGAA5V0G7","Log":"long"}"#;
    let old = new.replace(r#""Status":0"#, r#""Status":4"#).replace("New Incident", "Old");
    let created = event(Verb::Create, None, Some(NEW), None);
    check(&webhook, &created, &format!("{}{new}}}", head("Create")));
    let updated = event(Verb::Update, Some(OLD), Some(NEW), Some(&[2, 3]));
    check(&webhook, &updated, &format!("{}{new}}}", head("Update")));
    check(&webhook, &FormEvent { verb: Verb::Merge, ..updated }, &format!("{}{new}}}", head("Update")));
    let gone = event(Verb::Delete, Some(OLD), None, None);
    check(&webhook, &gone, &format!("{}{old}}}", head("Delete")));
    let mut large = NEW.to_vec();
    large[5] = "?";
    let blind = event(Verb::Update, None, Some(&large), None);
    let partial =
        format!(r#"{}{}}},"partial":true"#, head("Update"), &new[..new.len() - r#","Log":"long"}"#.len()]);
    check(&webhook, &blind, &format!("{partial}}}"));
    let told_along = Webhook { custom_json: Some(r#"{"a":1}"#.into()), ..webhook };
    check(&told_along, &blind, &format!(r#"{partial},"custom_json":{{"a":1}}}}"#));
    let mut gone = event(Verb::Delete, Some(&["000000000000001", "?", "?", "?", "?", "?"]), None, None);
    let OldRow::Full(key) = gone.old else { unreachable!() };
    gone.old = OldRow::Key(key);
    let key = r#"{"Entry ID":"000000000000001"},"partial":true,"custom_json":{"a":1}}"#;
    check(&told_along, &gone, &format!("{}{key}", head("Delete")));
}

#[test]
fn cloudevents_attributes_are_what_the_specification_allows() {
    let mut webhook = webhook("cloudevents", &["Status"]);
    let mut event = event(Verb::Update, Some(OLD), Some(NEW), Some(&[2]));
    let body = |webhook: &Webhook,
                event: &FormEvent,
                head: [&str; 2],
                attributes: &str,
                entry_id: &str,
                at: &str| {
        let [source, name] = head;
        let expected = format!(
            r#"{{"specversion":"1.0","id":"msg_abababababababababababababababab","source":"{source}/forms/HPD%3AHelp%20Desk",
"webhook":"{name}","sequence":"00000000000000000012","type":"walhook.request.update",{attributes}
"datacontenttype":"application/json","data":{{"form":"HPD:Help Desk","noun":"request","event":"update",
"entry_id":"{entry_id}","record_id":"AGGAA5V0G7","changed":{{"Status":{{"old":4,"new":0}}}},"entry":{{"Status":0}},
"committed_at":{at},"lsn":"16/B374D848","xid":741}}}}"#
        );
        check(webhook, event, &expected);
    };
    let now = r#""2026-11-22T10:01:11.123456Z""#;
    let time = format!(r#""time":{now},"#);
    let attributes = format!(r#""subject":"INC 7ü","partitionkey":"INC 7ü",{time}"#);
    event.entry_id = "INC 7ü".into();
    body(&webhook, &event, ["", "Escalations"], &attributes, "INC 7ü", now);
    // in the source what no path may have is encoded, in texts what no attribute may have
    let url = Some("https://desk.example/".into());
    webhook.account = Some(Arc::new(webhook::Account { id: "widget".into(), url }));
    webhook.name = "a\u{7F}b".into();
    event.entry_id = "1\n\u{FFFE}\u{FDD0}".into();
    let attributes =
        format!(r#""subject":"1%0A%EF%BF%BE%EF%B7%90","partitionkey":"1%0A%EF%BF%BE%EF%B7%90",{time}"#);
    let head = ["https://desk.example", "a%7Fb"];
    body(&webhook, &event, head, &attributes, "1\\n\u{FFFE}\u{FDD0}", now);
    // what would be empty, or is no time, is absent
    event.entry_id.clear();
    body(&webhook, &event, head, &time, "", now);
    let transaction = Transaction { committed_at_us: i64::MAX, ..(*event.transaction).clone() };
    event.transaction = Arc::new(transaction);
    body(&webhook, &event, head, "", "", "null");
}

/// The values that a body tells, each as `field=JSON`.
#[track_caller]
fn told(webhook: &Webhook, event: &FormEvent) -> (String, Option<String>) {
    let format = find(webhook.format).unwrap();
    let number = DeliveryNumber { webhook: webhook.id, sequence: 12 };
    let (mut body, mut tail) = (Vec::new(), Vec::new());
    format.head(webhook, &Identity { id: DeliveryId([0xAB; 16]), number }, event, &mut body);
    format.tail(webhook, event, &mut tail);
    body.append(&mut tail);
    let said = |values: &super::Values| {
        values.iter().map(|(field, value)| format!("{field}={}", value.get())).collect::<Vec<_>>().join(" ")
    };
    let told = format.told(event.verb, &body).unwrap();
    (said(&told.new), told.old.as_ref().map(said))
}

#[test]
fn bodies_tell_what_they_have_when_they_are_read_back() {
    let mut large = NEW.to_vec();
    large[5] = "?";
    let mut old = OLD.to_vec();
    old[3] = "NULL";
    let update = event(Verb::Update, Some(&old), Some(&large), Some(&[2, 3]));
    let native = webhook("native", &["Status", "Short Description", "Submitter", "Log"]);
    let (new, before) = told(&native, &update);
    assert_eq!(new, r#"Short Description="New Incident" Status=0 Submitter="Demo""#);
    assert_eq!(before.unwrap(), r#"Short Description=null Status=4 Submitter="Demo""#);
    let blind = event(Verb::Update, None, Some(NEW), None);
    assert_eq!(told(&webhook("native", &["7"]), &blind), ("Status=0".into(), None));
    let gone = event(Verb::Delete, Some(OLD), None, None);
    assert_eq!(told(&webhook("native", &["7"]), &gone), (String::new(), Some("Status=4".into())));
    for event in [&update, &blind, &gone] {
        assert_eq!(told(&webhook("cloudevents", &["7"]), event), told(&webhook("native", &["7"]), event));
    }
    assert_eq!(told(&webhook("arsys", &["7", "Submitter"]), &update), ("Status=0".into(), None));
    assert_eq!(told(&webhook("arsys", &[]), &gone), (String::new(), None));
    let datagerry = webhook("datagerry", &["Status", "Submitter", "Log"]);
    let known = r#"Status=4 Submitter="Demo""#.to_owned();
    assert_eq!(
        told(&datagerry, &update),
        (r#"Status=0 Submitter="Demo""#.into(), Some(r#"Log="long" Status=4 Submitter="Demo""#.into()))
    );
    assert_eq!(told(&datagerry, &blind), (r#"Log="long" Status=0 Submitter="Demo""#.into(), None));
    assert_eq!(told(&webhook("datagerry", &["7", "Submitter"]), &gone), (String::new(), Some(known.clone())));
    let changegear = webhook("changegear", &["7", "Submitter"]);
    assert_eq!(told(&changegear, &update), (r#"Status=0 Submitter="Demo""#.into(), None));
    assert_eq!(told(&changegear, &gone), (String::new(), Some(known)));
    for format in super::FORMATS {
        for wrong in [&b"no JSON"[..], br#"{"entry": 1, "entry_details": 1}"#] {
            assert!(format.told(Verb::Create, wrong).is_none(), "{}", format.name());
        }
    }
}
