//! What programs that listened to AR System get: its documentation's samples, on the running program.

use super::arsys::{ArSystem, WEBHOOKS};
use crate::receiver::{Receiver, Request};
use crate::registration::{arrived, one_by_one};
use reqwest::Method;
use serde_json::{Value, json};

/// The samples' form: a status with numbers, an id with zeros, a GUID.
const SAMPLES: &str =
    "create table sample (id text primary key, submitter text, status int, short text, guid text);
    alter table sample replica identity full;
    create table step (id int primary key, state text);
    alter table step replica identity full";

const FORM: &str = r#"
[[forms]]
name = "Sample:Entry Form"
table = "sample"
record_id = "guid"
[forms.fields]
Submitter = "submitter"
Status = { column = "status", id = 7 }
"Short Description" = "short"
[[forms]]
name = "Step"
table = "step"
fold = "row"
"#;

fn webhook(url: &str, further: &Value) -> Value {
    let mut webhook = json!({
        "form_name": "Sample:Entry Form",
        "entry_events": ["create", "update", "merge", "delete"],
        "callback": { "url": url },
    });
    webhook.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
    webhook
}

/// What came to a path, in order.
fn bodies(receiver: &Receiver, path: &str) -> Vec<Value> {
    let mut requests: Vec<Request> =
        receiver.requests().into_iter().filter(|request| request.path == path).collect();
    requests.sort_by_key(Request::sequence);
    requests.iter().map(Request::json).collect()
}

const SHORT: [&str; 3] = ["Submitter", "Status", "Short Description"];

// R-AR-02 R-AR-04 R-AR-05 R-AR-08 R-AR-50 R-AR-51 R-AR-52 R-AR-56 R-AR-59 R-AR-61 R-AR-62 R-AR-63 R-AR-64 R-AR-66 R-AR-68
// R-AR-69 R-AR-79 R-AR-80 R-AR-83
#[tokio::test]
async fn bodies_are_those_of_the_samples() {
    let arsys = ArSystem::start_with(SAMPLES, FORM).await;
    let (session, receiver) = (arsys.site.session().await, Receiver::start().await);
    session.batch_execute("insert into sample values ('0', 'early', 0, 'before', 'x')").await.unwrap();
    let at = |path: &str| receiver.url().replace("/hook", path);
    let custom = json!({ "action": "AddToLogicalGroup", "group_id": "GGAA5V0GEQ4H5AQV1OPRQU4PTMHF3V" });
    for (path, further) in [
        ("/some", json!({ "payload_fields": SHORT, "custom_json": custom })),
        ("/every", json!({})),
        ("/all", json!({ "payload_fields": ["7", "Short Description"], "send_unchanged_fields": true })),
        ("/new", json!({ "entry_events": ["delete"], "condition": "'Status' = 0" })),
        ("/old", json!({ "entry_events": ["delete"], "condition": "'Status' = 1" })),
    ] {
        arsys.register(&webhook(&at(path), &further)).await;
    }
    one_by_one(
        &session,
        &[
            "insert into sample values ('000000000000001', 'Demo', 0, 'New Incident', 'AGGAA5V0G7')",
            // nothing that was taken back
            "begin; insert into sample values ('2', 'Demo', 0, 'never', 'x'); rollback",
            "begin; savepoint a; update sample set short = 'never'; rollback to a; commit",
            // a copy of the form has no webhooks
            "create table copied (like sample including all); insert into copied select * from sample",
            "update sample set short = 'Updated', guid = 'B' where id = '000000000000001'",
            "update sample set guid = 'C' where id = '000000000000001'",
            "begin; delete from sample where id = '000000000000001';
             insert into sample values ('000000000000001', 'Import', 0, 'Updated', 'C'); commit",
            "delete from sample where id = '000000000000001'",
        ],
    )
    .await;
    arrived(&receiver, 5 + 5 + 5 + 1).await;

    let message = |webhook: u64, event: &str, further: Value| {
        let mut message = json!({
            "webhook_id": format!("WBH{webhook:012}"),
            "entry_event": event,
            "form_name": "Sample:Entry Form",
            "entry_id": "000000000000001",
        });
        message.as_object_mut().unwrap().extend(further.as_object().unwrap().clone());
        message
    };
    let details = |details: Value| json!({ "entry_details": details });
    let with_custom = |mut message: Value| {
        message["custom_json"] = custom.clone();
        message
    };
    let created = json!({ "Submitter": "Demo", "Status": 0, "Short Description": "New Incident" });
    let merged = json!({ "Submitter": "Import", "Status": 0, "Short Description": "Updated" });
    let some: Vec<Value> = [
        message(1, "create", json!({ "record_id": "AGGAA5V0G7", "entry_details": created })),
        // what is registered and has changed, which may be nothing
        message(1, "update", details(json!({ "Short Description": "Updated" }))),
        message(1, "update", details(json!({}))),
        message(1, "merge", details(merged)),
        message(1, "delete", json!({})),
    ]
    .map(with_custom)
    .into();
    assert_eq!(bodies(&receiver, "/some"), some);

    let every = bodies(&receiver, "/every");
    assert_eq!(
        &every[1..3],
        [
            message(2, "update", details(json!({ "Short Description": "Updated", "guid": "B" }))),
            message(2, "update", details(json!({ "guid": "C" }))),
        ]
    );
    assert_eq!(every[4], message(2, "delete", json!({})));
    let all = details(json!({ "Status": 0, "Short Description": "Updated" }));
    assert_eq!(
        &bodies(&receiver, "/all")[1..3],
        [message(3, "update", all.clone()), message(3, "update", all)]
    );
    // a condition on a delete is one on the old row
    assert_eq!(bodies(&receiver, "/new"), [message(4, "delete", json!({}))]);
    assert_eq!(receiver.count(), 16);
    assert_eq!(arsys.walhook.stop(), 0);
}

// R-AR-65 R-AR-67 R-AR-80
#[tokio::test]
async fn the_samples_slips_are_told_from_what_it_means() {
    let arsys = ArSystem::start_with(SAMPLES, FORM).await;
    let sample = json!({
        "webhook_id": "WBH000000000107",
        "form_name": "Sample:Entry Form",
        "condition": "",
        "entry_events": ["create", "update", "merge", "delete"],
        "enabled": true,
        "callback": {
            "url": "http://receiver.example:8080/hook",
            "authentication": { "type": "NO_AUTH", "username": null, "password": null, "accessKey": null },
        },
        "payload_fields": ["Short Description"],
        "send_attachment_as_reference": false,
        "send_unchanged_fields": true,
        "_links": {},
    });
    let id = arsys.register(&sample).await;
    let shown = arsys.show(&id).await;
    assert_eq!(shown["callback"]["authentication"], json!({ "type": "NO_AUTH" }));
    assert_eq!(
        (&shown["send_unchanged_fields"], &shown["send_attachment_as_reference"]),
        (&json!(true), &json!(false))
    );

    // as printed, a comma is missing behind the URL: the place is said
    let printed = "{\"form_name\": \"Sample:Entry Form\",\n\"callback\": {\"url\": \"http://receiver.example\"\n\"authentication\": null}}";
    let (status, said) = arsys.ask_text(Method::POST, WEBHOOKS, printed).await;
    assert_eq!(status, 400, "{said}");
    assert!(said.to_string().contains("line 3"), "{said}");

    let large = |bytes: usize| {
        let mut webhook = sample.clone();
        webhook["callback"]["url"] = json!(format!("http://receiver.example/{bytes}"));
        webhook["custom_json"] = json!({ "a": "x".repeat(bytes - 8) });
        webhook
    };
    arsys.register(&large(64 * 1024)).await;
    let (status, said) = arsys.ask(Method::POST, WEBHOOKS, Some(&large(64 * 1024 + 1))).await;
    assert_eq!((status, said[0]["messageType"].as_str()), (400, Some("ERROR")), "{said}");
    assert_eq!(arsys.walhook.stop(), 0);
}

// R-AR-82
#[tokio::test]
async fn changes_of_one_transaction_are_one_message_or_one_each_as_the_form_says() {
    let arsys = ArSystem::start_with(SAMPLES, FORM).await;
    let (session, receiver) = (arsys.site.session().await, Receiver::start().await);
    let at = |path: &str| receiver.url().replace("/hook", path);
    arsys.register(&webhook(&at("/folded"), &json!({}))).await;
    arsys.register(&webhook(&at("/each"), &json!({ "form_name": "Step" }))).await;
    session
        .batch_execute(
            "begin;
             insert into sample values ('1', 'Demo', 0, 'a', 'x'); insert into step values (1, 'a');
             update sample set short = 'b'; update step set state = 'b';
             update sample set short = 'c'; update step set state = 'c';
             commit",
        )
        .await
        .unwrap();
    arrived(&receiver, 4).await;
    let told = |path: &str, field: &str| {
        let told = bodies(&receiver, path);
        let told =
            told.iter().map(|body| format!("{} {}", body["entry_event"], body["entry_details"][field]));
        told.collect::<Vec<_>>().join(", ").replace('"', "")
    };
    assert_eq!(told("/folded", "Short Description"), "create c");
    assert_eq!(told("/each", "state"), "create a, update b, update c");
    assert_eq!(arsys.walhook.stop(), 0);
}
