//! ChangeGear has no interface to register webhooks by, so its webhooks come by the native one: everything that its page
//! asks for, and what becomes of it.

use super::Caller;
use crate::receiver::{Receiver, Reply, Request};
use crate::registration::{arrived, one_by_one};
use crate::running::{PATIENCE, Site};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const SCHEMA: &str = "create table incident (id int primary key, summary text, company text);
    alter table incident replica identity full;
    create table ci (id int primary key, name text, udf_rack int);
    alter table ci replica identity full";

const CONFIG: &str = r#"
[dispatch]
allow = ["127.0.0.0/8"]
[[forms]]
name = "Incident"
table = "incident"
[[forms]]
name = "Configured Item"
table = "ci"
noun = "ci"
"#;

fn said(request: &Request) -> Value {
    let body = request.json();
    json!([body["Event"], body["EntityType"], body["Entity"]["id"]])
}

/// Entries go out side by side.
fn in_commit_order(receiver: &Receiver) -> Vec<Request> {
    let mut requests = receiver.requests();
    requests.sort_by_key(Request::sequence);
    requests
}

// R-CG-01 R-CG-03 R-CG-11 R-CG-12 R-CG-13 R-CG-14 R-CG-15 R-CG-16 R-CG-17 R-CG-18 R-CG-19 R-CG-20 R-CG-21
#[tokio::test]
async fn a_webhook_with_all_its_fields_does_what_they_say() {
    let site = Site::new(SCHEMA).await;
    site.configure(CONFIG);
    assert_eq!(site.run(&["setup", "--apply", "--registration"]).0, 0);
    let walhook = site.start_again(&[]).await;
    let (session, receiver, api) = (site.session().await, Receiver::start().await, Caller::new(&site.base()));
    let webhook = json!({
        "name": "New incidents and changed CIs to the CMDB",
        "callback": {
            "url": receiver.url(),
            "authentication": { "type": "BASIC", "username": "sync", "password": "grass-and-heather" },
        },
        "events": ["incident.create", "ci.update"],
        "format": "changegear",
        "enabled": true,
    });
    // what cannot work is said before it is saved
    for (key, value, pointer) in [
        ("events", json!(["incident.created"]), "/events/0"),
        ("events", json!(["problem.create"]), "/events/0"),
        ("callback", json!({ "url": "receiver.example" }), "/callback/url"),
    ] {
        let mut wrong = webhook.clone();
        wrong[key] = value;
        let answer = api.post("/webhooks", wrong.clone()).await;
        assert_eq!(
            (answer.status, &answer.json["errors"][0]["pointer"]),
            (422, &json!(pointer)),
            "{wrong}: {}",
            answer.json
        );
    }
    let made = api.post("/webhooks", webhook.clone()).await;
    assert_eq!(made.status, 201, "{}", made.json);
    let path = format!("/webhooks/{}", made.json["id"]);
    let shown = api.well(&path).await;
    for key in ["name", "events", "format", "enabled"] {
        assert_eq!(shown[key], webhook[key], "{shown}");
    }
    assert_eq!(
        shown["callback"],
        json!({ "url": receiver.url(),
            "authentication": { "type": "BASIC", "username": "sync", "password": "********" } })
    );
    let row: String =
        session.query_one("select to_jsonb(w)::text from walhook.webhook w", &[]).await.unwrap().get(0);
    assert!(row.contains("sealed:v1:") && !row.contains("grass-and-heather"), "{row}");

    // the pairs that were chosen, and no others
    let changes = |id: i32| {
        [
            format!("insert into ci values ({id}, 'disk', 1)"),
            format!("insert into incident values ({id}, 'printer', 'ACME')"),
            format!("update incident set summary = 'printer on fire' where id = {id}"),
            format!("update ci set udf_rack = 2 where id = {id}"),
            format!("delete from incident where id = {id}"),
            format!("delete from ci where id = {id}"),
        ]
    };
    let happen = async |id: i32| {
        let changes = changes(id);
        one_by_one(&session, &changes.each_ref().map(String::as_str)).await;
    };
    happen(1).await;
    arrived(&receiver, 2).await;
    let requests = in_commit_order(&receiver);
    assert_eq!(said(&requests[0]), json!(["Create", "Incident", 1]));
    assert_eq!(
        requests[1].json(),
        json!({ "Event": "Update", "EntityType": "Configured Item",
            "Entity": { "id": 1, "name": "disk", "udf_rack": 2 } })
    );
    for request in &requests {
        assert_eq!(
            (&*request.method, request.header("authorization")),
            ("POST", Some("Basic c3luYzpncmFzcy1hbmQtaGVhdGhlcg=="))
        );
    }

    // what was shown is saved with another mark: the password stays
    let mut off = shown;
    off["enabled"] = json!(false);
    let save = async |webhook: &Value| {
        let request = api.request("PUT", &path).header("content-type", "application/json");
        let saved = api.send(request.body(webhook.to_string())).await;
        assert_eq!(saved.status, 200, "{}", saved.json);
        saved.json
    };
    assert_eq!(save(&off).await["status"]["state"], "disabled");
    happen(2).await;
    off["enabled"] = json!(true);
    assert_eq!(save(&off).await["status"]["state"], "enabled");
    happen(3).await;
    arrived(&receiver, 4).await;
    let requests = in_commit_order(&receiver);
    assert_eq!(said(&requests[2]), json!(["Create", "Incident", 3]));
    assert_eq!(said(&requests[3]), json!(["Update", "Configured Item", 3]));
    assert_eq!(requests[3].header("authorization"), Some("Basic c3luYzpncmFzcy1hbmQtaGVhdGhlcg=="));
    // the last answer is counted a moment after it was given
    let delivered = async || api.well(&path).await["status"]["delivered"].as_u64();
    let started = Instant::now();
    while delivered().await < Some(4) && started.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(delivered().await, Some(4), "what happened while it was off is not sent later");

    // it can be tried, and a name may stand there twice
    let tried = api.post(&format!("{path}/test"), Value::Null).await;
    assert_eq!((tried.status, &tried.json["success"]), (200, &json!(true)), "{}", tried.json);
    let trial = receiver.requests()[4].json();
    assert_eq!(
        (&trial["test"], &trial["Event"], &trial["EntityType"]),
        (&json!(true), &json!("Create"), &json!("Incident")),
        "{trial}"
    );
    assert!(trial["Entity"]["summary"].is_string(), "{trial}");
    receiver.reply(Reply::status(401));
    assert_eq!(api.post(&format!("{path}/test"), Value::Null).await.json["success"], false);
    let mut open = webhook;
    open["callback"] = json!({ "url": "https://receiver.example/hook" });
    let made = api.post("/webhooks", open).await;
    assert_eq!(made.status, 201, "{}", made.json);
    assert_eq!(walhook.stop(), 0);
}
