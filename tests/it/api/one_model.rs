//! One webhook through several interfaces: what one writes, another reads and edits, and nothing is lost.

use super::Caller;
use super::arsys::{ArSystem, TOKEN, WEBHOOKS};
use crate::receiver::Receiver;
use crate::registration::{arrived, one_by_one};
use reqwest::Method;
use serde_json::{Value, json};

/// What moves on with every version.
const MOVING: [&str; 3] = ["version", "updated_at", "status"];

/// A webhook as the native API shows it, without what moves on.
async fn shown(api: &Caller, path: &str) -> Value {
    let mut shown = api.well(path).await;
    shown.as_object_mut().unwrap().retain(|name, _| !MOVING.contains(&name.as_str()));
    shown
}

async fn send(api: &Caller, method: &str, path: &str, body: &Value) -> Value {
    let request = api.request(method, path).header("content-type", "application/json");
    let answer = api.send(request.body(body.to_string())).await;
    assert_eq!(answer.status, 200, "{method} {path}: {}", answer.json);
    answer.json
}

// R-NA-01 R-NA-09 R-AR-79 R-AR-16
#[tokio::test]
async fn what_ar_system_registered_is_edited_natively_and_nothing_is_lost() {
    let arsys = ArSystem::start().await;
    let (session, receiver) = (arsys.site.session().await, Receiver::start().await);
    let api = Caller::with_token(&arsys.site.base(), TOKEN);
    let id = arsys
        .register(&json!({
            "description": "for the desk",
            "form_name": "HPD:Help Desk",
            "condition": "'Status' != \"Closed\"",
            "entry_events": ["update", "create"],
            "callback": {
                "url": receiver.url(),
                "authentication": { "type": "BASIC", "username": "Demo", "password": "grass:heather" },
            },
            "payload_fields": ["Description", "Status"],
            "send_attachment_as_reference": true,
            "send_unchanged_fields": true,
            "custom_json": { "group_id": 7, "action": null },
        }))
        .await;
    let of_ar_system = arsys.show(&id).await;

    // the very document that is shown, with what only the native API knows
    let mut whole = shown(&api, "/webhooks/1").await;
    assert_eq!(whole["format"], "arsys", "{whole}");
    whole["name"] = json!("Escalations");
    whole["callback"]["headers"] = json!({ "X-Team": "desk" });
    whole["schedule"] = json!(["1s"]);
    whole["mail_exceptions_to"] = json!(["desk@example.org"]);
    whole["signature"] = json!({ "secret": ["whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"] });
    send(&api, "PUT", "/webhooks/1", &whole).await;
    assert_eq!(arsys.show(&id).await, of_ar_system);

    // an edit by AR System keeps them, and an edit by the native API what AR System said
    let path = format!("{WEBHOOKS}/{id}");
    let (status, said) =
        arsys.ask(Method::PUT, &path, Some(&json!({ "description": "for all", "condition": "" }))).await;
    assert_eq!(status, 204, "{said}");
    send(&api, "PATCH", "/webhooks/1", &json!({ "on_exhausted": "block", "description": null })).await;
    let mut expected = whole.clone();
    expected["on_exhausted"] = json!("block");
    expected["signature"]["secret"] = json!(["********"]);
    for gone in ["description", "condition"] {
        expected.as_object_mut().unwrap().remove(gone);
    }
    assert_eq!(shown(&api, "/webhooks/1").await, expected);
    let mut expected = of_ar_system;
    expected["condition"] = json!("");
    expected.as_object_mut().unwrap().remove("description");
    assert_eq!(arsys.show(&id).await, expected);

    // and it is all in force
    one_by_one(&session, &["insert into incident values (1, 'printer', 2, 3, 'Closed')"]).await;
    arrived(&receiver, 1).await;
    let request = &receiver.requests()[0];
    assert_eq!(request.header("authorization"), Some("Basic RGVtbzpncmFzczpoZWF0aGVy"));
    assert_eq!(request.header("x-team"), Some("desk"));
    assert!(request.header("webhook-signature").is_some());
    assert_eq!(request.json()["custom_json"], json!({ "group_id": 7, "action": null }), "{}", request.text());
    assert_eq!(arsys.walhook.stop(), 0);
}

// R-NA-01 R-NA-09
#[tokio::test]
async fn what_was_registered_natively_is_edited_by_ar_system_and_nothing_is_lost() {
    let arsys = ArSystem::start().await;
    let (session, receiver) = (arsys.site.session().await, Receiver::start().await);
    let api = Caller::with_token(&arsys.site.base(), TOKEN);
    let native = json!({
        "name": "Escalations",
        // more forms than AR System's words can tell of
        "events": ["request.update", "person.create"],
        "callback": {
            "url": receiver.url(),
            "authentication": { "type": "BEARER", "token": "grass-and-heather" },
            "headers": { "X-Team": "desk" },
        },
        "signature": { "secret": ["whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"] },
        "product": { "itrp": { "source": "import" }, "nobody": { "x": [1] } },
        "schedule": ["1s"],
        "retention": "1d",
        "custom_json": { "a": { "b": null } },
    });
    let made = api.post("/webhooks", native).await;
    assert_eq!(made.status, 201, "{}", made.json);
    let before = shown(&api, "/webhooks/1").await;
    let id = "WBH000000000001";
    let of_ar_system = arsys.show(id).await;
    assert_eq!(
        (&of_ar_system["form_name"], &of_ar_system["callback"]["authentication"]),
        (&json!("HPD:Help Desk"), &json!({ "type": "BEARER" }))
    );

    let mut edited = of_ar_system.clone();
    edited["description"] = json!("for the desk");
    edited["entry_events"] = json!(["create", "update"]);
    edited["callback"]["url"] = json!(format!("{}?edited", receiver.url()));
    let (status, said) = arsys.ask(Method::PUT, &format!("{WEBHOOKS}/{id}"), Some(&edited)).await;
    assert_eq!(status, 204, "{said}");
    assert_eq!(arsys.show(id).await, edited);
    let mut expected = before;
    expected["description"] = json!("for the desk");
    expected["events"] = json!(["request.create", "request.update", "person.create"]);
    expected["callback"]["url"] = edited["callback"]["url"].clone();
    assert_eq!(shown(&api, "/webhooks/1").await, expected);

    let changes =
        ["insert into incident values (1, 'printer', 2, 3, 'New')", "insert into person values (1, 'Ann')"];
    one_by_one(&session, &changes).await;
    arrived(&receiver, 2).await;
    for request in receiver.requests() {
        assert_eq!(request.header("authorization"), Some("Bearer grass-and-heather"));
        assert_eq!((request.header("x-team"), &*request.path), (Some("desk"), "/hook?edited"));
        assert!(request.header("webhook-signature").is_some());
    }
    assert_eq!(arsys.walhook.stop(), 0);
}
