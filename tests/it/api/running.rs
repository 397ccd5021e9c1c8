//! The API of a running walhook: what it says of real changes, attempts and forms, and what it does to them.

use super::Caller;
use crate::operations::Endpoint;
use crate::running::{PATIENCE, Site};
use serde_json::{Value, json};
use std::time::Instant;

const SCHEMA: &str = "
    create table ticket (id integer primary key, title text, status integer, secret text);
    alter table ticket replica identity full";

const CONFIG: &str = r#"
[[forms]]
name = "Help Desk"
noun = "request"
table = "ticket"
hidden = ["secret"]
[forms.fields]
"Short Description" = { column = "title", id = 8 }
Status = { column = "status", id = 7, labels = { 0 = "New", 5 = "Closed" } }
[[webhooks]]
name = "pager"
form = "Help Desk"
events = ["create", "update"]
schedule = ["100ms"]
retention = "1h"
[webhooks.callback]
url = "RECEIVER"
authentication = { type = "HEADERS", headers = { X-Key = "geheim-4711" } }
[webhooks.signature]
secret = "whsec_MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDA="
"#;

pub(super) struct Running {
    pub(super) site: Site,
    endpoint: Endpoint,
    api: Caller,
    pub(super) walhook: crate::running::Running,
}

pub(super) async fn start() -> Running {
    start_with("", &["setup", "--apply"], None).await
}

/// The same with further configuration, another setup, and who asks.
pub(super) async fn start_with(further: &str, setup: &[&str], token: Option<&str>) -> Running {
    let endpoint = Endpoint::start().await;
    let site = Site::new(SCHEMA).await;
    // the endpoint of the file's webhook is reached directly
    let config = CONFIG.replace("[webhooks.callback]", "[webhooks.callback]\nproxy = \"none\"");
    site.configure(&format!("{further}{}", config.replace("RECEIVER", &endpoint.url())));
    let (code, output) = site.run(setup);
    assert_eq!(code, 0, "{output}");
    let walhook = site.start_again(&[]).await;
    let api = match token {
        Some(token) => Caller::with_token(&site.base(), token),
        None => Caller::new(&site.base()),
    };
    Running { site, endpoint, api, walhook }
}

impl Running {
    pub(super) async fn sql(&self, text: &str) {
        self.site.session().await.batch_execute(text).await.unwrap();
    }

    /// The OpenAPI document.
    pub(super) async fn document(&self) -> String {
        self.api.absolute(&self.site.base(), "/api/v1/openapi.json").await
    }

    /// Waits until a delivery stands so.
    pub(super) async fn wait_for(&self, number: &str, state: &str) -> Value {
        let started = Instant::now();
        loop {
            let answer = self.api.get(&format!("/deliveries/{number}")).await;
            if answer.json["state"] == state {
                return answer.json;
            }
            assert!(started.elapsed() < PATIENCE, "{number} is not {state}: {}", answer.json);
            // polling another process: there is nothing to wait on
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

// R-NA-10
#[tokio::test(flavor = "multi_thread")]
async fn deliveries_are_shown_replayed_dropped_and_purged() {
    let running = start().await;
    let Running { api, endpoint, .. } = &running;
    running.sql("insert into ticket values (1, 'first', 0, 's3cr3t')").await;
    let shown = running.wait_for("pager/1", "delivered").await;
    let id = shown["webhook_id"].as_u64().unwrap();
    assert_eq!(shown["delivery"], format!("{id}/1"));
    let keys = ["form", "event", "entry_id", "webhook", "sequence", "attempts", "replayed", "last_outcome"];
    let found: Vec<&Value> = keys.iter().map(|key| &shown[*key]).collect();
    let wanted = [
        json!("Help Desk"),
        json!("create"),
        json!("1"),
        json!("pager"),
        json!(1),
        json!(1),
        json!(false),
        json!("200 OK"),
    ];
    assert_eq!(found, wanted.iter().collect::<Vec<_>>());
    let body: Value = serde_json::from_str(shown["body"].as_str().unwrap()).unwrap();
    assert_eq!(
        (&body["entry"]["Short Description"], &shown["body_encoding"]),
        (&json!("first"), &json!("text"))
    );
    let attempt = &shown["history"][0];
    assert_eq!((&attempt["number"], &attempt["status"]), (&json!(1), &json!(200)));

    // the request is the one that arrived, but for what is secret
    let arrived = endpoint.last_request();
    let request = &shown["request"];
    assert_eq!((&request["method"], &request["url"]), (&json!("POST"), &json!(endpoint.url())));
    let headers = request["headers"].as_object().unwrap();
    for (name, value) in headers {
        let sent = arrived.header(name).unwrap_or_else(|| panic!("{name} did not arrive"));
        match name.as_str() {
            "x-key" | "webhook-signature" => assert_eq!(value, "********"),
            _ => assert_eq!(value, sent, "{name}"),
        }
    }
    for name in
        ["webhook-id", "webhook-timestamp", "walhook-sequence", "walhook-attempt", "content-type", "x-key"]
    {
        assert!(headers.contains_key(name), "{name}");
    }
    assert_eq!(arrived.body, shown["body"].as_str().unwrap().as_bytes());
    assert!(!shown.to_string().contains("geheim") && !shown.to_string().contains("s3cr3t"));

    // by its other names, and as the command line has it
    assert_eq!(api.well(&format!("/deliveries/{}", shown["id"].as_str().unwrap())).await, shown);
    assert_eq!(api.well(&format!("/deliveries/{id}/1")).await, shown);
    let (code, output) = running.site.run(&["deliveries", "list", "--json"]);
    assert_eq!(code, 0, "{output}");
    let listed: Value = serde_json::from_str(&output).unwrap();
    assert_eq!(listed["deliveries"], api.well("/deliveries").await["deliveries"]);

    // dead letters
    endpoint.answers(500);
    running.sql("insert into ticket values (2, 'second', 0, null), (3, 'third', 0, null)").await;
    running.wait_for("pager/2", "dead").await;
    let third = running.wait_for("pager/3", "dead").await;
    assert_eq!(third["history"].as_array().unwrap().len(), 2);
    let finished = api.post("/deliveries/pager/1/replay", Value::Null).await;
    assert_eq!(finished.status, 409);
    assert!(finished.json["detail"].as_str().unwrap().contains("pager/1 is delivered"), "{finished:?}");
    assert_eq!(api.post("/deliveries/pager/1/drop", Value::Null).await.status, 409);
    endpoint.answers(200);
    let replayed = api.post("/deliveries/pager/2/replay", Value::Null).await;
    assert_eq!((replayed.status, replayed.json), (200, json!({ "replayed": 1 })));
    let second = running.wait_for("pager/2", "delivered").await;
    assert_eq!((&second["replayed"], &second["attempts"]), (&json!(true), &json!(3)));
    assert_eq!(second["request"]["headers"]["walhook-replay"], "1");
    assert_eq!(endpoint.last_request().header("walhook-replay"), Some("1"));
    let dropped = api.post("/deliveries/drop", json!({ "entry": "3", "form": "Help Desk" })).await;
    assert_eq!(dropped.json, json!({ "dropped": 1 }));
    assert_eq!(running.wait_for("pager/3", "dropped").await["state"], "dropped");

    // privacy
    endpoint.answers(500);
    running.sql("insert into ticket values (4, 'private matter', 0, null)").await;
    running.wait_for("pager/4", "dead").await;
    let purge = json!({ "entry_id": "4", "form": "Help Desk" });
    let refused = api.post("/entries/purge", purge.clone()).await;
    assert_eq!((refused.status, &refused.json["errors"][0]["pointer"]), (409, &json!("/drop_waiting")));
    let mut purge = purge;
    purge["drop_waiting"] = true.into();
    let purged = api.post("/entries/purge", purge).await;
    let wanted = json!({ "purged": 1, "waiting": 0, "dead": 1, "held": 0, "quarantined": 0 });
    assert_eq!((purged.status, &purged.json), (200, &wanted));
    assert_eq!(api.get("/deliveries/pager/4").await.status, 404);
    let queue = std::fs::read(running.site.folder.path().join("walhook.db")).unwrap();
    let has = |text: &str| queue.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("third") && !has("private matter"));
    // by the command line, beside the running one
    let (code, output) = running.site.run(&["deliveries", "purge", "--entry", "3"]);
    assert!(code == 64 && output.contains("--yes"), "{code} {output}");
    let (code, output) = running.site.run(&["deliveries", "purge", "--entry", "3", "--yes", "--json"]);
    assert_eq!(code, 0, "{output}");
    assert_eq!(serde_json::from_str::<Value>(&output).unwrap()["purged"], 1);
    let (code, output) = running.site.run(&["deliveries", "purge", "--entry", "3", "--yes"]);
    assert!(code == 1 && output.contains("keeps nothing of that entry"), "{code} {output}");
    assert_eq!(running.walhook.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn status_forms_and_conditions_are_told() {
    let running = start().await;
    let Running { api, .. } = &running;
    running.sql("insert into ticket values (1, 'first', 0, null)").await;
    running.sql("update ticket set status = 5").await;
    running.wait_for("pager/2", "delivered").await;

    let status = api.well("/status").await;
    assert_eq!((&status["ready"], &status["stream"]["state"]), (&json!(true), &json!("running")));
    assert_eq!(
        (&status["stream"]["slot"], &status["stream"]["database"]),
        (&json!("walhook"), &json!("postgres"))
    );
    assert_eq!(status["webhooks"]["enabled"], 1);
    assert_eq!(
        (&status["deliveries"]["delivered"], &status["deliveries"]["pending"]),
        (&json!(2), &json!(0))
    );
    assert!(
        status["stream"]["lag_bytes"].is_u64() && status["queue"]["bytes"].as_u64() > Some(0),
        "{status}"
    );

    let forms = api.well("/forms").await;
    let form = api.well("/forms/Help%20Desk").await;
    assert_eq!(forms, json!({ "forms": [form], "broken": [] }));
    assert_eq!(
        (&form["table"], &form["noun"], &form["entry_id"]),
        (&json!("public.ticket"), &json!("request"), &json!(["id"]))
    );
    let field =
        |name: &str| form["fields"].as_array().unwrap().iter().find(|field| field["name"] == name).cloned();
    assert_eq!(
        field("Status").unwrap(),
        json!({
            "name": "Status", "column": "status", "id": 7, "type": "number", "kind": "selection",
            "labels": [{ "number": 0, "value": "0", "label": "New" }, { "number": 5, "value": "5", "label": "Closed" }],
        })
    );
    assert_eq!(field("Short Description").unwrap()["type"], "text");
    assert!(!form.to_string().contains("secret"), "hidden columns are nobody's: {form}");
    let unknown = api.get("/forms/Help%20Desc").await;
    assert!(
        unknown.status == 404
            && unknown.json["detail"].as_str().unwrap().contains("did you mean \"Help Desk\"")
    );
    running
        .sql("alter table ticket add urgency text; insert into ticket values (7, 'x', 0, null, 'high')")
        .await;
    running.wait_for("pager/3", "delivered").await;

    let preview = async |mut request: Value| {
        request["form"] = "Help Desk".into();
        api.post("/conditions/preview", request).await
    };
    let answer = preview(json!({
        "condition": "'Status' = \"Closed\" AND 'Short Description' LIKE \"f%\"",
        "event": "update", "old": { "Status": "New" }, "new": { "Status": 5, "title": "first" },
    }))
    .await;
    assert_eq!((answer.status, &answer.json["verdict"]), (200, &json!("true")), "{}", answer.json);
    assert_eq!(answer.json["parts"][1]["offset"], 24);
    let answer = preview(json!({ "condition": "'Status' = \"Closed\"", "new": {} })).await;
    assert_eq!(answer.json["verdict"], "unknown", "{}", answer.json);
    let answer = preview(json!({ "condition": "1 / 'Status' > 1", "new": { "Status": 0 } })).await;
    assert_eq!((answer.status, &answer.json["verdict"]), (200, &Value::Null), "{}", answer.json);
    assert_eq!(answer.json["failure"]["message"], "division by zero");
    let answer = preview(json!({ "condition": "'Stauts' = \"Closed\"" })).await;
    assert_eq!(answer.status, 422);
    let said = answer.json.to_string();
    assert!(
        said.contains("did you mean 'Status'") && said.contains("offset 0") && said.contains('^'),
        "{said}"
    );
    for (request, pointer) in [
        (json!({ "condition": "'Status' = 5", "new": { "Stauts": 1 } }), "/new"),
        (json!({ "condition": "'Status' = 5", "new": [1] }), "/new"),
        (json!({ "condition": "'Status' = 5", "event": "vanish" }), "/event"),
        (json!({ "condition": "'Status' = 5", "event": "create", "old": {} }), "/old"),
        (json!({ "condition": "'Status' = 5", "event": "delete", "new": {} }), "/new"),
        (json!({ "condition": "'Status' = 5", "recent": 0 }), "/recent"),
        (json!({ "condition": "'Status' = 5", "recent": 5, "new": {} }), "/recent"),
        (json!({ "condition": "'Status' = 5", "committed_at": "now" }), "/committed_at"),
        (json!({ "condition": "'secret' = \"x\"" }), "/condition"),
    ] {
        let answer = preview(request.clone()).await;
        let found = &answer.json["errors"][0]["pointer"];
        assert_eq!((answer.status, found), (422, &json!(pointer)), "{request}: {}", answer.json);
    }
    // for what came
    let answer = preview(json!({ "condition": "'Status' = \"Closed\"", "recent": 10 })).await;
    assert_eq!((answer.status, &answer.json["matching"]), (200, &json!(1)), "{}", answer.json);
    let events: Vec<_> = answer.json["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| {
            (
                event["event"].as_str().unwrap(),
                event["entry_id"].as_str().unwrap(),
                event["verdict"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(events, [("create", "7", "false"), ("update", "1", "true"), ("create", "1", "false")]);
    assert_eq!(answer.json["events"][0]["why"], "'Status' = \"Closed\"");

    let document = api.well("/openapi.json").await;
    assert_eq!(document["openapi"], "3.1.0");
    let written: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
    assert_eq!(document, written);
    assert_eq!(running.walhook.stop(), 0);
}
