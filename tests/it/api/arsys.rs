//! AR System's interface as its clients use it: log in, register, show, change and delete webhooks.

use crate::receiver::{Receiver, Reply};
use crate::registration::{CONFIG, arrived, one_by_one};
use crate::running::{Running, Site};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use walhook::admin::hashes::{PasswordHash, TokenHash};
use walhook::secret::Secret;

/// A help desk whose fields have the names and numbers of the seed's samples.
const DESK: &str = "create table ticket (id bigint generated always as identity primary key, state text);
    alter table ticket replica identity full;
    create table incident (id int primary key, description text, impact int, urgency int, status text);
    alter table incident replica identity full;
    create table person (id int primary key, name text)";

const FORMS: &str = r#"
[[forms]]
name = "HPD:Help Desk"
noun = "request"
table = "incident"
[forms.fields]
Description = { column = "description", id = 1000000000 }
Impact = "impact"
Urgency = "urgency"
Status = { column = "status", id = 7 }
[[forms]]
name = "User"
table = "person"
"#;

pub(super) const PASSWORD: &str = "grass-and-heather";

/// A token for the other interfaces.
pub(super) const TOKEN: &str = "wht_0123456789abcdefghijklmnopqrstuvwxyzABCDEF";

pub(super) struct ArSystem {
    pub(super) site: Site,
    pub(super) walhook: Running,
    client: Client,
    token: String,
}

impl ArSystem {
    pub(super) async fn start() -> Self {
        Self::start_with("", "").await
    }

    /// With further tables and forms.
    pub(super) async fn start_with(tables: &str, forms: &str) -> Self {
        let site = Site::new(&format!("{DESK}; {tables}")).await;
        let hash = PasswordHash::of(&Secret::from(PASSWORD)).unwrap();
        let user = |name: &str, role: &str| {
            format!(
                "[[admin.users]]\nname = \"{name}\"\npassword = \"{}\"\nrole = \"{role}\"\n",
                hash.expose()
            )
        };
        let token = format!(
            "[[admin.tokens]]\nname = \"program\"\ntoken = \"{}\"\nrole = \"admin\"\n",
            TokenHash::of(TOKEN)
        );
        let users = user("Demo", "admin") + &user("guest", "viewer") + &token;
        site.configure(&format!("{users}{CONFIG}{FORMS}{forms}"));
        assert_eq!(site.run(&["setup", "--apply", "--registration"]).0, 0);
        let walhook = site.start_again(&[]).await;
        let mut arsys = Self { site, walhook, client: Client::new(), token: String::new() };
        arsys.token = arsys.log_in("Demo").await;
        arsys
    }

    async fn log_in(&self, name: &str) -> String {
        let form = format!("username={name}&password={PASSWORD}");
        let answer = self
            .raw(Method::POST, "/api/jwt/login", Some(("application/x-www-form-urlencoded", &form)))
            .await;
        assert_eq!(
            (answer.status().as_u16(), &answer.headers()["content-type"]),
            (200, &"text/plain; charset=utf-8".parse().unwrap())
        );
        answer.text().await.unwrap()
    }

    async fn raw(&self, method: Method, path: &str, body: Option<(&str, &str)>) -> Response {
        let mut request = self.client.request(method, format!("{}{path}", self.site.base()));
        if let Some((kind, body)) = body {
            request = request.header("content-type", kind).body(body.to_owned());
        }
        if !self.token.is_empty() {
            request = request.header("authorization", format!("AR-JWT {}", self.token));
        }
        request.send().await.unwrap()
    }

    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let body = body.map(Value::to_string);
        self.answer(method, path, body.as_deref()).await
    }

    /// The answer to a text that may be no JSON.
    pub(super) async fn ask_text(&self, method: Method, path: &str, body: &str) -> (u16, Value) {
        self.answer(method, path, Some(body)).await
    }

    async fn answer(&self, method: Method, path: &str, body: Option<&str>) -> (u16, Value) {
        let answer = self.raw(method, path, body.map(|body| ("application/json", body))).await;
        let status = answer.status().as_u16();
        let text = answer.text().await.unwrap();
        (status, if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() })
    }

    /// Registers a webhook; returns its id out of `location`.
    pub(super) async fn register(&self, webhook: &Value) -> String {
        let body = webhook.to_string();
        let answer = self.raw(Method::POST, WEBHOOKS, Some(("application/json", &body))).await;
        assert_eq!(answer.status(), 201, "{}", answer.text().await.unwrap());
        let location = answer.headers()["location"].to_str().unwrap().to_owned();
        assert_eq!(answer.text().await.unwrap(), "");
        let prefix = format!("{}{WEBHOOKS}/", self.site.base());
        location.strip_prefix(&prefix).unwrap_or_else(|| panic!("{location}")).to_owned()
    }

    pub(super) async fn show(&self, id: &str) -> Value {
        let (status, shown) = self.ask(Method::GET, &format!("{WEBHOOKS}/{id}"), None).await;
        assert_eq!(status, 200, "{shown}");
        shown
    }
}

pub(super) const WEBHOOKS: &str = "/api/arsys/v1.0/webhook";

/// The sample of the documentation, for a receiver of the test's own.
fn sample(url: &str) -> Value {
    json!({
        "description": "testWebhook",
        "form_name": "HPD:Help Desk",
        "condition": "'Status' !=\"Closed\"",
        "entry_events": ["create", "update", "merge", "delete"],
        "callback": {
            "url": url,
            "authentication": { "type": "basic", "username": "Demo", "password": "Demo123" },
        },
        "payload_fields": ["Description", "Impact", "Urgency", "Status"],
    })
}

/// Whether an answer is the list of messages that clients look for, and its first number.
fn number(answer: &Value) -> u64 {
    let first = &answer.as_array().unwrap_or_else(|| panic!("{answer}"))[0];
    assert_eq!(first["messageType"], "ERROR", "{answer}");
    assert!(first["messageText"].is_string() && first.get("messageAppendedText").is_some(), "{answer}");
    first["messageNumber"].as_u64().unwrap()
}

// R-AR-11 R-AR-13 R-AR-14 R-AR-15 R-AR-17 R-AR-18 R-AR-19 R-AR-20 R-AR-21 R-AR-23 R-AR-24 R-AR-25 R-AR-26 R-AR-29
// R-AR-30 R-AR-42 R-AR-01
#[tokio::test]
async fn the_sample_is_registered_and_delivers() {
    let arsys = ArSystem::start().await;
    let (session, receiver) = (arsys.site.session().await, Receiver::start().await);
    let id = arsys.register(&sample(&receiver.url())).await;
    assert_eq!(id, "WBH000000000001");
    one_by_one(
        &session,
        &[
            "insert into incident values (1, 'printer', 2, 3, 'Closed')",
            "insert into incident values (2, 'screen', 2, 3, 'New')",
        ],
    )
    .await;
    arrived(&receiver, 1).await;
    let request = &receiver.requests()[0];
    assert_eq!(request.header("authorization"), Some("Basic RGVtbzpEZW1vMTIz"));
    let body = request.json();
    assert_eq!((&body["entry_id"], receiver.count()), (&json!("2"), 1), "{body}");
    let fields: Vec<&str> = body["entry_details"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(fields, ["Description", "Impact", "Status", "Urgency"], "{body}");
    // it outlives walhook
    drop(arsys.walhook);
    let walhook = arsys.site.start_again(&[]).await;
    session.batch_execute("update incident set impact = 1 where id = 2").await.unwrap();
    arrived(&receiver, 2).await;
    assert_eq!(walhook.stop(), 0);
}

// R-AR-32 R-AR-33 R-AR-34 R-AR-35 R-AR-36 R-AR-37 R-AR-38 R-AR-39
#[tokio::test]
async fn a_webhook_is_shown_changed_and_deleted() {
    let arsys = ArSystem::start().await;
    let (session, receiver) = (arsys.site.session().await, Receiver::start().await);
    let id = arsys.register(&sample(&receiver.url())).await;
    let path = format!("{WEBHOOKS}/{id}");
    let shown = arsys.show(&id).await;
    let mut expected = sample(&receiver.url());
    expected["webhook_id"] = json!(id);
    expected["enabled"] = json!(true);
    expected["send_unchanged_fields"] = json!(false);
    expected["send_attachment_as_reference"] = json!(false);
    expected["callback"]["authentication"] =
        json!({ "type": "BASIC", "username": "Demo", "password": "********" });
    expected["_links"] = json!({ "self": [{ "href": format!("{}{path}", arsys.site.base()) }] });
    assert_eq!(shown, expected);

    // the very document that was shown keeps the secrets
    assert_eq!(arsys.ask(Method::PUT, &path, Some(&shown)).await, (204, Value::Null));
    session.batch_execute("insert into incident values (1, 'printer', 2, 3, 'New')").await.unwrap();
    arrived(&receiver, 1).await;
    assert_eq!(receiver.requests()[0].header("authorization"), Some("Basic RGVtbzpEZW1vMTIz"));
    assert_eq!(arsys.show(&id).await, expected);

    // keys that are left out keep their values
    let changes = json!({ "description": "AllFieldsWebhook_Updated", "condition": "", "entry_events": ["Create", "UPDATE", "create"], "enabled": false });
    assert_eq!(arsys.ask(Method::PUT, &path, Some(&changes)).await.0, 204);
    let shown = arsys.show(&id).await;
    expected["description"] = json!("AllFieldsWebhook_Updated");
    expected["condition"] = json!("");
    expected["entry_events"] = json!(["create", "update"]);
    expected["enabled"] = json!(false);
    assert_eq!(shown, expected);
    session.batch_execute("insert into incident values (2, 'not sent', 2, 3, 'New')").await.unwrap();
    assert_eq!(arsys.ask(Method::PUT, &path, Some(&json!({ "enabled": true }))).await.0, 204);
    session.batch_execute("insert into incident values (3, 'sent', 2, 3, 'Closed')").await.unwrap();
    arrived(&receiver, 2).await;
    assert_eq!(receiver.requests()[1].json()["entry_id"], "3");

    let (status, all) = arsys.ask(Method::GET, "/api/arsys/v1/webhook", None).await;
    assert_eq!((status, all.as_array().unwrap().len()), (200, 1), "{all}");
    assert_eq!(arsys.ask(Method::DELETE, &path, None).await, (204, Value::Null));
    for method in [Method::GET, Method::DELETE] {
        let (status, said) = arsys.ask(method, &path, None).await;
        assert_eq!((status, number(&said)), (404, 302), "{said}");
    }
    assert_eq!(arsys.walhook.stop(), 0);
}

// R-AR-31
#[tokio::test]
async fn form_events_and_url_are_registered_once() {
    let arsys = ArSystem::start().await;
    let mut webhook = sample("http://Receiver.Example/hook");
    arsys.register(&webhook).await;
    // neither the order of the events, nor the condition, nor letters of the host make another one
    webhook["entry_events"] = json!(["delete", "merge", "update", "create"]);
    webhook["condition"] = json!("'Impact' = 1");
    webhook["callback"]["url"] = json!("HTTP://receiver.example/hook");
    let (status, said) = arsys.ask(Method::POST, WEBHOOKS, Some(&webhook)).await;
    assert_eq!((status, number(&said)), (400, 382), "{said}");
    webhook["entry_events"] = json!(["create"]);
    let id = arsys.register(&webhook).await;
    let change = json!({ "entry_events": ["create", "update", "merge", "delete"] });
    let (status, said) = arsys.ask(Method::PUT, &format!("{WEBHOOKS}/{id}"), Some(&change)).await;
    assert_eq!((status, number(&said)), (400, 382), "{said}");
    assert_eq!(arsys.walhook.stop(), 0);
}

// R-AR-41 R-AR-34
#[tokio::test]
async fn what_is_left_out_has_its_default() {
    let arsys = ArSystem::start().await;
    let short = json!({
        "form_name": "User",
        "entry_events": ["create"],
        "callback": { "url": "https://receiver.example/hook", "authentication": null },
        "custom_json": "{\"action\": \"none\"}",
        "unknown": 7,
    });
    let id = arsys.register(&short).await;
    let shown = arsys.show(&id).await;
    assert_eq!(
        (
            &shown["condition"],
            &shown["payload_fields"],
            &shown["enabled"],
            &shown["callback"]["authentication"]
        ),
        (&json!(""), &json!([]), &json!(true), &json!({ "type": "NO_AUTH" }))
    );
    assert_eq!(shown["custom_json"], json!({ "action": "none" }));
    assert!(shown.get("description").is_none() && shown.get("unknown").is_none(), "{shown}");
    assert_eq!(arsys.walhook.stop(), 0);
}

// R-AR-22 R-AR-14 R-AR-20 R-AR-26 R-AR-81
#[tokio::test]
async fn what_is_wrong_is_told_as_the_product_does() {
    let arsys = ArSystem::start().await;
    let with = |key: &str, value: Value| {
        let mut webhook = sample("https://receiver.example/hook");
        if value.is_null() {
            webhook.as_object_mut().unwrap().remove(key);
        } else {
            webhook[key] = value;
        }
        webhook
    };
    for (webhook, status, wanted) in [
        (with("form_name", Value::Null), 400, 307),
        (with("form_name", json!("HPD:Help Desks")), 404, 303),
        (with("entry_events", Value::Null), 400, 307),
        (with("entry_events", json!([])), 400, 307),
        (with("entry_events", json!(["created"])), 400, 8000),
        (with("callback", json!({})), 400, 307),
        (with("callback", json!({ "url": "ftp://receiver.example" })), 400, 8000),
        (
            with("callback", json!({ "url": "https://a.example/", "authentication": { "type": "DIGEST" } })),
            400,
            8000,
        ),
        (with("payload_fields", json!(["Impact", "Nothing"])), 400, 314),
        (with("condition", json!("'Status' !=")), 400, 8000),
        (with("condition", json!("'Nothing' = 1")), 400, 8000),
        // the log of that table has no old rows
        (
            json!({ "form_name": "User", "entry_events": ["update", "delete"], "condition": "'DB.name' = \"Ann\"",
                "callback": { "url": "https://receiver.example/hook" } }),
            400,
            8000,
        ),
        (with("enabled", json!("yes")), 400, 8000),
        (with("custom_json", json!("[1]")), 400, 8000),
    ] {
        let (found, said) = arsys.ask(Method::POST, WEBHOOKS, Some(&webhook)).await;
        assert_eq!((found, number(&said)), (status, wanted), "{webhook}: {said}");
    }
    let id = arsys.register(&with("form_name", json!("HPD:Help Desk"))).await;
    let one = format!("{WEBHOOKS}/{id}");
    for (method, path, body, status) in [
        (Method::POST, WEBHOOKS, Some(("application/json", "{")), 400),
        (Method::POST, WEBHOOKS, Some(("application/json", "[]")), 400),
        (Method::POST, WEBHOOKS, Some(("text/plain", "{}")), 415),
        (Method::PATCH, &one, Some(("application/json", "{}")), 405),
        (Method::DELETE, WEBHOOKS, None, 405),
        (Method::GET, "/api/arsys/v1.0/webhook/WBH000000000077", None, 404),
        (Method::GET, "/api/arsys/v1.0/webhook/77", None, 404),
        (Method::GET, "/api/arsys/v1.0/webhook/WBH%00", None, 404),
        (Method::GET, "/api/arsys/v1.0/entry/User", None, 404),
        (Method::PUT, "/api/arsys/v1.0/webhook/WBH000000000077", Some(("application/json", "{}")), 404),
        (Method::GET, "/api/jwt/login", None, 405),
    ] {
        let answer = arsys.raw(method.clone(), path, body).await;
        let (found, text) = (answer.status().as_u16(), answer.text().await.unwrap());
        assert_eq!(found, status, "{method} {path}: {text}");
        number(&serde_json::from_str(&text).unwrap());
    }
    let options = arsys.raw(Method::OPTIONS, WEBHOOKS, None).await;
    assert!(options.headers()["allow"].to_str().unwrap().contains("POST"));
    // nothing of that was registered
    assert_eq!(arsys.ask(Method::GET, WEBHOOKS, None).await.1.as_array().unwrap().len(), 1);
    assert_eq!(arsys.walhook.stop(), 0);
}

// R-AR-10 R-AR-11 R-AR-22
#[tokio::test]
async fn who_is_not_logged_in_or_may_only_look_is_refused() {
    let mut arsys = ArSystem::start().await;
    let well = arsys.token.clone();
    // name and password may stand in the query
    let query = format!("/api/jwt/login?username=Demo&password={PASSWORD}");
    let answer = arsys.raw(Method::POST, &query, None).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.text().await.unwrap().split('.').count(), 3);
    for (form, status) in [
        ("username=Demo&password=wrong", 401),
        ("username=Demo&password=", 401),
        ("username=Demo", 401),
        ("", 401),
    ] {
        let kind = Some(("application/x-www-form-urlencoded", form));
        let answer = arsys.raw(Method::POST, "/api/jwt/login", kind).await;
        assert_eq!(answer.status(), status, "{form}");
        number(&serde_json::from_str(&answer.text().await.unwrap()).unwrap());
    }
    let json = Some(("application/json", "{\"username\": \"Demo\"}"));
    assert_eq!(arsys.raw(Method::POST, "/api/jwt/login", json).await.status(), 415);

    for token in ["", "eyJhbGciOiJub25lIn0.e30.", &well[..well.len() - 1]] {
        arsys.token = token.to_owned();
        let (status, said) = arsys.ask(Method::GET, WEBHOOKS, None).await;
        assert_eq!((status, number(&said)), (401, 623), "{token}: {said}");
    }
    arsys.token = String::new();
    arsys.token = arsys.log_in("guest").await;
    let (status, said) = arsys.ask(Method::GET, WEBHOOKS, None).await;
    assert_eq!((status, number(&said)), (403, 353), "{said}");

    arsys.token = well;
    assert_eq!(arsys.ask(Method::GET, WEBHOOKS, None).await.0, 200);
    assert_eq!(arsys.ask(Method::POST, "/api/jwt/logout", None).await, (204, Value::Null));
    assert_eq!(arsys.ask(Method::GET, WEBHOOKS, None).await.0, 401);
    assert_eq!(arsys.ask(Method::POST, "/api/jwt/logout", None).await.0, 401);
    assert!(!arsys.walhook.log().contains(PASSWORD), "{}", arsys.walhook.log());
    assert_eq!(arsys.walhook.stop(), 0);
}

// R-NA-01: what this interface cannot tell is not lost by it
#[tokio::test]
async fn what_others_registered_is_shown_as_far_as_it_can_be_and_nothing_is_lost() {
    let arsys = ArSystem::start().await;
    let (session, receiver) = (arsys.site.session().await, Receiver::start().await);
    receiver.reply(Reply::ok());
    let insert = format!(
        "insert into walhook.webhook (events, url, headers, authentication, schedule, mail_exceptions_to) values
         ('{{request.update,person.create}}', '{}', '{{\"X-Team\": \"desk\"}}', '{{\"type\": \"BEARER\", \"token\": \"geheim\"}}',
          '{{5s}}', '{{desk@example.org}}')",
        receiver.url()
    );
    session.batch_execute(&insert).await.unwrap();
    let row = "select to_jsonb(w) - array['version', 'updated_at', 'sealed_at', 'authentication'] from walhook.webhook w";
    let before: Value = session.query_one(row, &[]).await.unwrap().get(0);
    let mut shown = arsys.show("WBH000000000001").await;
    assert_eq!((&shown["form_name"], &shown["entry_events"]), (&json!("HPD:Help Desk"), &json!(["update"])));
    let put = arsys.ask(Method::PUT, &format!("{WEBHOOKS}/WBH000000000001"), Some(&shown)).await;
    assert_eq!(put, (204, Value::Null));
    let after: Value = session.query_one(row, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
    shown["description"] = json!("edited");
    assert_eq!(arsys.ask(Method::PUT, &format!("{WEBHOOKS}/WBH000000000001"), Some(&shown)).await.0, 204);
    one_by_one(&session, &["insert into person values (1, 'Ann')"]).await;
    arrived(&receiver, 1).await;
    assert_eq!(receiver.requests()[0].header("authorization"), Some("Bearer geheim"));
    assert_eq!(receiver.requests()[0].header("x-team"), Some("desk"));
    assert_eq!(arsys.walhook.stop(), 0);
}
