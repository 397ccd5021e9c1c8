//! Webhooks registered, changed, tried and deleted over the API of a running walhook.

use super::{Answer, Caller};
use crate::receiver::{Receiver, Reply};
use crate::registration::{CONFIG, arrived, entries, one_by_one, start};
use crate::running::{PATIENCE, Site};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

async fn send(api: &Caller, method: &str, path: &str, if_match: Option<&str>, body: &Value) -> Answer {
    let mut request = api.request(method, path).header("content-type", "application/json");
    if let Some(version) = if_match {
        request = request.header("if-match", version);
    }
    api.send(request.body(body.to_string())).await
}

fn native(receiver: &Receiver) -> Value {
    json!({
        "name": "pager",
        "form": "ticket",
        "events": ["create"],
        "condition": "'state' = \"new\"",
        "callback": {
            "url": receiver.url(),
            "authentication": { "type": "BASIC", "username": "walhook", "password": "grass-and-heather" },
            "headers": { "X-Team": "desk" },
        },
        "signature": { "secret": ["whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0"] },
    })
}

// R-NA-02
#[tokio::test]
async fn everything_that_a_webhook_can_have_is_registered_and_shown() {
    let (site, _walhook) =
        start(&format!("{CONFIG}[[forms]]\nname = \"person\"\ntable = \"ticket\"\n")).await;
    let api = Caller::new(&site.base());
    let request = reqwest::Client::new().post(format!("{}/v1/webhook_policies", site.base()));
    let made =
        request.header("content-type", "application/json").body(r#"{"jwt_alg": "es384"}"#).send().await;
    assert_eq!(made.unwrap().status(), 201);
    let whole = |authentication: Value| {
        json!({
            "name": "all of it",
            "description": "what can be said",
            "forms": ["ticket", "person"],
            "events": ["create", "update", "merge", "delete"],
            "condition": "'id' > 0",
            "payload_fields": ["state"],
            "send_unchanged_fields": true,
            "custom_json": { "a": [1, null] },
            "mail_exceptions_to": ["desk@example.org"],
            "enabled": false,
            "format": "itrp",
            "callback": {
                "url": "https://receiver.example/hook",
                "authentication": authentication,
                "headers": { "X-Team": "desk" },
            },
            "schedule": ["1s", "1m"],
            "on_exhausted": "block",
            "in_flight_max": 3,
            "per_second_max": 5,
            "timeout": "3s",
            "retention": "1d",
            "backlog_bytes_max": 1000,
            "webhook_policy": 1,
            "product": { "arsys": { "of a later version": true } },
        })
    };
    for (authentication, secrets) in [
        (json!({ "type": "NO_AUTH" }), &[][..]),
        (json!({ "type": "BASIC", "username": "a", "password": "b" }), &["password"]),
        (json!({ "type": "BEARER", "token": "b" }), &["token"]),
        (json!({ "type": "HEADERS", "headers": { "X-Key": "b" } }), &["headers"]),
        (
            json!({ "type": "IMS", "accessKey": "a", "accessSecretKey": "b", "tenantId": "7",
                "authBaseUrl": "https://ims.example" }),
            &["accessSecretKey"],
        ),
    ] {
        let webhook = whole(authentication);
        let made = api.post("/webhooks", webhook.clone()).await;
        assert_eq!(made.status, 201, "{}", made.json);
        let shown = api.well(&format!("/webhooks/{}", made.json["id"])).await;
        for (key, value) in webhook.as_object().unwrap() {
            let mut expected = value.clone();
            for secret in secrets.iter().filter(|_| key == "callback") {
                let masked = &mut expected["authentication"][*secret];
                *masked = if masked.is_object() { json!({ "X-Key": "********" }) } else { json!("********") };
            }
            assert_eq!(shown[key], expected, "{key}");
        }
    }
}

// R-CG-15 R-CG-16 R-NA-09 R-NA-11
#[tokio::test]
async fn a_webhook_is_registered_changed_tried_and_deleted() {
    let (site, walhook) = start(CONFIG).await;
    let (session, receiver, api) = (site.session().await, Receiver::start().await, Caller::new(&site.base()));
    let made = api.post("/webhooks", native(&receiver)).await;
    assert_eq!(made.status, 201, "{}", made.json);
    assert_eq!(
        (&made.headers["location"], &made.headers["etag"]),
        (&"/api/v1/webhooks/1".parse().unwrap(), &"\"1\"".parse().unwrap())
    );
    // the log has told of it before the answer came
    assert_eq!(made.json["status"]["state"], "enabled", "{}", made.json);
    assert_eq!(
        made.json["callback"]["authentication"],
        json!({"type": "BASIC", "username": "walhook", "password": "********"})
    );
    assert_eq!(made.json["signature"]["secret"], json!(["********"]));

    one_by_one(&session, &["insert into ticket (state) values ('old'), ('new')"]).await;
    arrived(&receiver, 1).await;
    let request = &receiver.requests()[0];
    assert_eq!(entries(&receiver), ["2"]);
    assert_eq!(request.header("authorization"), Some("Basic d2FsaG9vazpncmFzcy1hbmQtaGVhdGhlcg=="));
    assert_eq!(request.header("x-team"), Some("desk"));
    assert!(request.header("webhook-signature").is_some());

    // in the table, in the queue and in what walhook writes its secrets are sealed
    let row: String =
        session.query_one("select to_jsonb(w)::text from walhook.webhook w", &[]).await.unwrap().get(0);
    assert!(
        row.contains("sealed:v1:") && !row.contains("grass-and-heather") && !row.contains("c2VjcmV0"),
        "{row}"
    );

    // who has read an older version changes nothing
    let shown = api.get("/webhooks/1").await;
    let version = shown.headers["etag"].to_str().unwrap().to_owned();
    let changed =
        send(&api, "PATCH", "/webhooks/1", Some(&version), &json!({"condition": null, "name": "all"})).await;
    assert_eq!((changed.status, &changed.json["name"]), (200, &json!("all")), "{}", changed.json);
    assert!(changed.json.get("condition").is_none(), "{}", changed.json);
    let late = send(&api, "PUT", "/webhooks/1", Some(&version), &native(&receiver)).await;
    assert_eq!(late.status, 412, "{}", late.json);
    // what was shown can be sent back: the masks keep the secrets
    let mut whole = api.well("/webhooks/1").await;
    whole["events"] = json!(["create", "update"]);
    let put = send(&api, "PUT", "/webhooks/1", None, &whole).await;
    assert_eq!((put.status, &put.json["events"]), (200, &json!(["create", "update"])), "{}", put.json);
    one_by_one(&session, &["update ticket set state = 'newer' where id = 1"]).await;
    arrived(&receiver, 2).await;
    assert_eq!(
        receiver.requests()[1].header("authorization"),
        Some("Basic d2FsaG9vazpncmFzcy1hbmQtaGVhdGhlcg==")
    );

    let tried = api.post("/webhooks/1/test", json!(null)).await;
    assert_eq!((tried.status, &tried.json["success"]), (200, &json!(true)), "{}", tried.json);
    assert_eq!(receiver.requests()[2].json()["test"], json!(true));
    receiver.reply(Reply::status(503).body("closed for lunch"));
    let tried = api.post("/webhooks/1/test", json!(null)).await;
    assert_eq!(
        (&tried.json["success"], &tried.json["status"]),
        (&json!(false), &json!(503)),
        "{}",
        tried.json
    );
    assert_eq!(tried.json["excerpt"], "closed for lunch");

    let off = api.post("/webhooks/1/disable", json!(null)).await;
    assert_eq!(
        (&off.json["enabled"], &off.json["status"]["state"]),
        (&json!(false), &json!("disabled")),
        "{}",
        off.json
    );
    let on = api.post("/webhooks/1/enable", json!(null)).await;
    assert_eq!(on.json["status"]["state"], "enabled", "{}", on.json);

    let gone = api.request("DELETE", "/webhooks/1").send().await.unwrap();
    assert_eq!(gone.status().as_u16(), 204);
    assert_eq!(api.get("/webhooks/1").await.status, 404);
    assert_eq!(walhook.stop(), 0);
    let log = fs::read_to_string(site.folder.path().join("walhook.log")).unwrap();
    assert!(!log.contains("grass-and-heather"), "{log}");
}

// R-CG-13 R-CG-20
#[tokio::test]
async fn what_is_wrong_with_a_webhook_is_said_by_field_and_changes_nothing() {
    let config = format!(
        "{CONFIG}
[[webhooks]]
name = \"own\"
form = \"ticket\"
events = [\"delete\"]
callback.url = \"http://127.0.0.1:9/\"
"
    );
    let (site, walhook) = start(&config).await;
    let (receiver, api) = (Receiver::start().await, Caller::new(&site.base()));
    let check = async |method: &str, path: &str, body: Value, status: u16, pointers: &[&str]| {
        let answer = send(&api, method, path, None, &body).await;
        assert_eq!(answer.status, status, "{method} {path} {body}: {}", answer.json);
        let errors = answer.json["errors"].as_array().cloned().unwrap_or_default();
        let found: Vec<&str> = errors.iter().map(|error| error["pointer"].as_str().unwrap()).collect();
        for pointer in pointers {
            assert!(found.contains(pointer), "{pointer} is not in {}", answer.json);
        }
        answer.json
    };
    let mut wrong = native(&receiver);
    wrong["form"] = json!("tickets");
    wrong["events"] = json!(["create", "created"]);
    wrong["condition"] = json!("'state' = ");
    wrong["callback"]["url"] = json!("ftp://nowhere");
    wrong["callback"]["authentication"] = json!({ "type": "BASIC", "username": "walhook" });
    wrong["colour"] = json!("red");
    wrong["timeout"] = json!(5);
    let said = check(
        "POST",
        "/webhooks",
        wrong,
        422,
        &[
            "/form",
            "/events/1",
            "/condition",
            "/callback/url",
            "/callback/authentication/password",
            "/colour",
            "/timeout",
        ],
    )
    .await;
    assert!(!said.to_string().contains("grass-and-heather"), "{said}");
    check("POST", "/webhooks", json!({}), 422, &["/events", "/callback"]).await;
    check("POST", "/webhooks", json!([]), 422, &[]).await;
    let mut masked = native(&receiver);
    masked["callback"]["authentication"]["password"] = json!("********");
    check("POST", "/webhooks", masked, 422, &["/callback/authentication/password"]).await;
    for (method, path) in [("PUT", "/webhooks/9"), ("PATCH", "/webhooks/9")] {
        check(method, path, native(&receiver), 404, &[]).await;
    }
    check("POST", "/webhooks/9/test", json!(null), 404, &[]).await;
    // AR System's rule, for its format only
    let arsys = json!({"form": "ticket", "events": ["create", "update"], "format": "arsys", "callback": {"url": receiver.url()}});
    check("POST", "/webhooks", arsys.clone(), 201, &[]).await;
    check("POST", "/webhooks", arsys, 409, &[]).await;
    check("POST", "/webhooks", native(&receiver), 201, &[]).await;
    check("POST", "/webhooks", native(&receiver), 201, &[]).await;
    // those of the file are shown, and changed nowhere else
    let listed = api.well("/webhooks").await;
    let all = listed["webhooks"].as_array().unwrap();
    let origins: Vec<&str> = all.iter().map(|one| one["origin"].as_str().unwrap()).collect();
    assert_eq!(origins, ["table", "table", "table", "file"], "{listed}");
    let own = format!("/webhooks/{}", all[3]["id"]);
    check("PATCH", &own, json!({ "name": "mine" }), 409, &[]).await;
    check("POST", &format!("{own}/disable"), json!(null), 409, &[]).await;
    // pages
    let first = api.well("/webhooks?limit=3").await;
    let second = api.well(&format!("/webhooks?limit=3&cursor={}", first["next"].as_str().unwrap())).await;
    assert_eq!(
        (second["webhooks"].as_array().unwrap().len(), &second["next"]),
        (1, &Value::Null),
        "{second}"
    );
    assert_eq!(walhook.stop(), 0);
}

#[tokio::test]
async fn without_a_table_the_api_says_why_it_only_reads() {
    let site = Site::new("create table ticket (id int primary key, state text)").await;
    site.configure(CONFIG);
    let walhook = site.start().await;
    let (receiver, api) = (Receiver::start().await, Caller::new(&site.base()));
    assert_eq!(api.well("/webhooks").await["webhooks"], json!([]));
    assert_eq!(api.get("/webhooks/1").await.status, 404);
    let refused = api.post("/webhooks", native(&receiver)).await;
    assert_eq!(refused.status, 409, "{}", refused.json);
    assert!(
        refused.json["detail"].as_str().unwrap().contains("walhook setup --registration"),
        "{}",
        refused.json
    );
    assert_eq!(walhook.stop(), 0);
}

/// Plain text that comes by SQL is sealed on first sight, and works; keys are changed by having two for a while.
#[tokio::test]
async fn plain_secrets_are_sealed_on_first_sight_and_keys_can_be_changed() {
    let (site, walhook) = start(CONFIG).await;
    let (session, receiver) = (site.session().await, Receiver::start().await);
    let insert = format!(
        "insert into walhook.webhook (form, events, url, authentication)
         values ('ticket', '{{create}}', '{}', '{{\"type\": \"BEARER\", \"token\": \"plain-token\"}}')",
        receiver.url()
    );
    one_by_one(&session, &[&insert]).await;
    let sealed = async |than: &str| {
        let started = Instant::now();
        loop {
            let row = session
                .query_one("select authentication ->> 'token' from walhook.webhook", &[])
                .await
                .unwrap();
            let token: String = row.get(0);
            if token.starts_with("sealed:v1:") && token != than {
                return token;
            }
            assert!(started.elapsed() < PATIENCE, "{token}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let first = sealed("").await;
    one_by_one(&session, &["insert into ticket (state) values ('new')"]).await;
    arrived(&receiver, 1).await;
    assert_eq!(receiver.requests()[0].header("authorization"), Some("Bearer plain-token"));

    let (code, new) = site.run(&["key", "new"]);
    assert_eq!(code, 0, "{new}");
    let new = new.lines().find(|line| line.starts_with("whk_")).unwrap().to_owned();
    let file = site.folder.path().join("walhook.key");
    let old = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("{new}\n{old}")).unwrap();
    walhook.signal("HUP");
    let second = sealed(&first).await;
    fs::write(&file, format!("{new}\n")).unwrap();
    walhook.signal("HUP");
    one_by_one(&session, &["insert into ticket (state) values ('newer')"]).await;
    arrived(&receiver, 2).await;
    assert_eq!(receiver.requests()[1].header("authorization"), Some("Bearer plain-token"));
    assert_eq!(sealed("").await, second);
    assert_eq!(walhook.stop(), 0);
}
