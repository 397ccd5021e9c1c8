//! The interface of ITRP, 4me, Xurrent and R-Service as its clients use it.

use crate::receiver::{Receiver, Reply};
use crate::registration::{CONFIG, arrived, one_by_one};
use crate::running::{PATIENCE, Running, Site};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};
use tokio_postgres::types::Json;
use walhook::admin::hashes::TokenHash;

const DESK: &str = "create table ticket (id bigint generated always as identity primary key, state text);
    create table problem (id int primary key, subject text);
    create table request (id int primary key, subject text)";

const FORMS: &str = r#"
[[forms]]
name = "Problem"
table = "problem"
[[forms]]
name = "Request"
table = "request"
"#;

pub(super) struct Answer {
    pub(super) status: u16,
    headers: HeaderMap,
    body: Value,
}

impl Answer {
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(super) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.body);
        self.body
    }
}

pub(super) struct Itrp {
    pub(super) site: Site,
    pub(super) walhook: Running,
    client: Client,
}

impl Itrp {
    pub(super) async fn start(further: &str) -> Self {
        Self::start_on(DESK, FORMS, further).await
    }

    pub(super) async fn start_on(schema: &str, forms: &str, further: &str) -> Self {
        let site = Site::new(schema).await;
        let token = |name: &str, role: &str| {
            let hash = TokenHash::of(name).to_string();
            format!("[[admin.tokens]]\nname = \"{name}\"\ntoken = \"{hash}\"\nrole = \"{role}\"\n")
        };
        let tokens = token("wht_admin", "admin") + &token("wht_viewer", "viewer");
        site.configure(&format!("{further}{tokens}{CONFIG}{forms}"));
        let config = fs::read_to_string(site.config()).unwrap();
        let zoned = config.replacen(
            "[admin]",
            "time_zone = \"America/Chicago\"
[admin]",
            1,
        );
        fs::write(site.config(), zoned).unwrap();
        let (code, output) = site.run(&["setup", "--apply", "--registration"]);
        assert_eq!(code, 0, "{output}");
        let walhook = site.start_again(&[]).await;
        Self { site, walhook, client: Client::new() }
    }

    pub(super) async fn ask_with(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let mut request = self.client.request(method, format!("{}{path}", self.site.base()));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = request.send().await.unwrap();
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let text = answer.text().await.unwrap();
        let body = if text.is_empty() { Value::Null } else { serde_json::from_str(&text).unwrap() };
        Answer { status, headers, body }
    }

    pub(super) async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Answer {
        self.ask_with(method, path, &[("authorization", "Bearer wht_admin")], body.as_ref()).await
    }

    pub(super) async fn get(&self, path: &str) -> Answer {
        self.ask(Method::GET, path, None).await
    }

    /// Registers a webhook; returns its number.
    pub(super) async fn register(&self, webhook: Value) -> u64 {
        self.ask(Method::POST, "/v1/webhooks", Some(webhook)).await.expect(200)["id"].as_u64().unwrap()
    }
}

async fn of(answer: reqwest::Response) -> Value {
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

fn ids(list: &Value) -> Vec<u64> {
    list.as_array().unwrap().iter().map(|one| one["id"].as_u64().unwrap()).collect()
}

// R-IT-05 R-IT-08 R-IT-09 R-IT-10 R-IT-11 R-IT-12 R-IT-13 R-IT-14 R-IT-21 R-IT-22 R-IT-24 R-IT-25 R-XU-05 R-XU-06 R-XU-07
// R-XU-08 R-XU-12 R-XU-14 R-XU-15 R-XU-17 R-XU-20 R-XU-21
#[tokio::test]
async fn a_webhook_is_registered_shown_changed_and_deleted() {
    let itrp = Itrp::start("").await;
    let receiver = Receiver::start().await;
    let sample = json!({ "event": "problem.update", "uri": "https://myserver.example.com/mywebhook" });
    let answer = itrp.ask(Method::POST, "/webhooks", Some(sample)).await;
    assert_eq!(answer.header("location"), format!("{}/v1/webhooks/1", itrp.site.base()));
    let created = answer.expect(200);
    assert_eq!((&created["id"], &created["name"]), (&json!(1), &json!("problem.update")));
    assert_eq!(created["uri"], "https://myserver.example.com/mywebhook");
    assert_eq!(created["created_at"], created["updated_at"]);
    let time = created["created_at"].as_str().unwrap();
    // the zone of [source], by whole seconds
    assert!(time.len() == 25 && (time.ends_with("-06:00") || time.ends_with("-05:00")), "{time}");
    let keys: Vec<&String> = created.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["created_at", "event", "id", "name", "nodeID", "updated_at", "uri"]);

    // only what is given changes, and what may not be written is passed over
    let time = created["created_at"].clone();
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let patch = json!({
        "description": "Update requests related to the problem by adding a note.",
        "mail_exceptions_to": "a@example.com, b@example.com",
        "uri": receiver.url().replace("http://", "http://Demo:s%40fe@"),
        "id": 77, "created_at": "2001-01-01T00:00:00Z", "last_error": "x", "attachments": [1],
    });
    let changed = itrp.ask(Method::PATCH, "/v1/webhooks/1", Some(patch)).await.expect(200);
    assert_eq!((&changed["id"], &changed["event"]), (&json!(1), &json!("problem.update")));
    assert_eq!(changed["mail_exceptions_to"], "a@example.com,b@example.com");
    assert_eq!(changed["created_at"], time);
    assert_ne!(changed["updated_at"], time);
    assert_eq!(changed["uri"], receiver.url().replace("http://", "http://Demo:********@"));
    assert_eq!(itrp.get("/webhooks/1").await.expect(200), changed);
    // the very document that was shown changes nothing, the password included
    let same = itrp.ask(Method::PUT, "/webhooks/1", Some(changed.clone())).await.expect(200);
    assert_eq!(same["uri"], changed["uri"]);

    let session = itrp.site.session().await;
    one_by_one(
        &session,
        &["insert into problem values (70111, 'a')", "update problem set subject = 'b' where id = 70111"],
    )
    .await;
    arrived(&receiver, 1).await;
    let request = &receiver.requests()[0];
    let body = request.json();
    assert_eq!((&body["event"], &body["object_id"]), (&json!("problem.update"), &json!(70111)));
    assert_eq!((&body["webhook_id"], &body["name"]), (&json!(1), &json!("problem.update")));
    assert_eq!(request.header("authorization"), Some("Basic RGVtbzpzQGZl"));
    assert_eq!(request.header("x-xurrent-delivery").map(str::len), Some(36));

    let answer = itrp.ask(Method::DELETE, "/webhooks/1", None).await;
    assert_eq!((answer.status, &answer.body), (204, &Value::Null));
    itrp.get("/webhooks/1").await.expect(404);
    session.batch_execute("update problem set subject = 'c'").await.unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(receiver.count(), 1);
}

// R-IT-02 R-IT-03 R-IT-04 R-IT-05 R-IT-06 R-IT-07 R-IT-20 R-XU-02 R-XU-03 R-XU-04 R-XU-11
#[tokio::test]
async fn all_webhooks_are_listed_page_by_page_and_by_state() {
    let itrp = Itrp::start("").await;
    let receiver = Receiver::start().await;
    receiver.script(|_| Reply::status(404));
    for number in 1..=23 {
        let disabled = if number % 2 == 0 { json!("true") } else { json!(false) };
        let webhook = json!({ "event": "request.create", "uri": receiver.url(), "disabled": disabled });
        assert_eq!(itrp.register(webhook).await, number);
    }
    let answer = itrp.get("/v1/webhooks").await;
    let counts = ["per-page", "current-page", "total-pages", "total-entries"];
    let counts = counts.map(|name| answer.header(&format!("x-pagination-{name}")).to_owned());
    assert_eq!(counts, ["20", "1", "2", "23"]);
    let next = format!("<{}/v1/webhooks?page=2&per_page=20>; rel=\"next\"", itrp.site.base());
    assert!(answer.header("link").starts_with(&next), "{}", answer.header("link"));
    let list = answer.expect(200);
    assert_eq!(ids(&list), (4..=23).rev().collect::<Vec<_>>());
    assert_eq!(list[1]["disabled"], true);
    assert_eq!((list[0].get("disabled"), list[0].get("description")), (None, None));
    // a client follows the link
    assert_eq!(ids(&itrp.get("/v1/webhooks?page=2&per_page=20").await.expect(200)), [3, 2, 1]);
    let enabled = ids(&itrp.get("/webhooks/enabled?per_page=100").await.expect(200));
    let disabled = ids(&itrp.get("/webhooks/disabled?per_page=100").await.expect(200));
    assert_eq!((enabled.len(), disabled.len()), (12, 11));
    assert!(enabled.iter().all(|id| id % 2 == 1) && disabled.iter().all(|id| id % 2 == 0));

    // what an endpoint said last is told until it takes something
    itrp.site.session().await.batch_execute("insert into request values (1, 'a')").await.unwrap();
    arrived(&receiver, 12).await;
    let failed =
        async |itrp: &Itrp| itrp.get("/webhooks?id=23").await.expect(200)[0].get("last_error").cloned();
    let started = Instant::now();
    while failed(&itrp).await.is_none() {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(failed(&itrp).await, Some(json!("404 Not Found")));
    receiver.reply(Reply::ok());
    itrp.site.session().await.batch_execute("insert into request values (2, 'b')").await.unwrap();
    let started = Instant::now();
    while failed(&itrp).await.is_some() {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

// R-IT-15 R-IT-16 R-IT-17 R-IT-18 R-IT-19 R-IT-20 R-XU-09 R-NA-11
#[tokio::test]
async fn a_disabled_webhook_is_tested_and_then_enabled() {
    let itrp = Itrp::start("").await;
    let (session, receiver) = (itrp.site.session().await, Receiver::start().await);
    let webhook = json!({ "event": "problem.create", "uri": receiver.url(), "disabled": true });
    let id = itrp.register(webhook).await;
    session.batch_execute("insert into problem values (1, 'nobody hears of it')").await.unwrap();
    let answer = itrp.ask(Method::POST, &format!("/webhooks/{id}/test"), None).await;
    assert_eq!((answer.status, &answer.body), (204, &Value::Null));
    arrived(&receiver, 1).await;
    let body = receiver.requests()[0].json();
    assert_eq!((&body["object_id"], &body["event"]), (&json!(12345), &json!("problem.create")));
    let path = format!("/webhooks/{id}");
    let enabled = itrp.ask(Method::PATCH, &path, Some(json!({ "disabled": "false" })));
    assert_eq!(enabled.await.expect(200).get("disabled"), None);
    session.batch_execute("insert into problem values (2, 'somebody does')").await.unwrap();
    arrived(&receiver, 2).await;
    assert_eq!(receiver.requests()[1].json()["object_id"], 2);

    // an endpoint that does not answer keeps nobody waiting
    receiver.script(|_| Reply::hang());
    let began = Instant::now();
    itrp.ask(Method::POST, &format!("/webhooks/{id}/test"), None).await.expect(204);
    assert!(began.elapsed() < Duration::from_secs(5));
}

// R-IT-10 R-IT-21 R-IT-22 R-IT-23 R-XU-10 R-XU-12 R-XU-13 R-XU-16 R-XU-18 R-XU-19
#[tokio::test]
async fn what_is_wrong_is_said_field_by_field() {
    let itrp = Itrp::start("").await;
    let refused = async |webhook: Value| {
        let body = itrp.ask(Method::POST, "/v1/webhooks", Some(webhook)).await.expect(422);
        assert!(body["message"].as_str().unwrap().starts_with("Validation failed: "), "{body}");
        let errors = body["errors"].as_array().unwrap().clone();
        errors.iter().map(|error| error.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(refused(json!({})).await, ["event can't be blank", "uri can't be blank"]);
    let with = |field: &str, value: Value| {
        let mut webhook = json!({ "event": "problem.create", "uri": "https://receiver.example/" });
        webhook[field] = value;
        webhook
    };
    for (field, value, said) in [
        ("event", json!("problem"), "event \"problem\" is no event here"),
        ("event", json!("risk.create"), "event "),
        ("event", json!("problem.exploded"), "event "),
        ("event", json!(7), "event "),
        ("uri", json!("receiver.example"), "uri is no absolute URI"),
        ("uri", json!("ftp://receiver.example/"), "uri "),
        ("disabled", json!("perhaps"), "disabled must be true or false"),
        ("description", json!("x".repeat(65_537)), "description is too long"),
        ("mail_exceptions_to", json!("a@example.com,nobody"), "mail_exceptions_to "),
        ("source", json!("x".repeat(31)), "source is too long (maximum is 30 characters)"),
        ("sourceID", json!("x".repeat(129)), "sourceID is too long (maximum is 128 characters)"),
        ("description_attachments", json!("a"), "description_attachments must be a list"),
        ("description", json!("a\u{0}b"), "description it has a NUL character"),
    ] {
        let errors = refused(with(field, value.clone())).await;
        assert!(errors.len() == 1 && errors[0].starts_with(said), "{field} = {value}: {errors:?}");
    }
    assert_eq!(ids(&itrp.get("/webhooks").await.expect(200)), [0_u64; 0]);

    let mut longest = with("description", json!("x".repeat(65_536)));
    longest["source"] = json!("ü".repeat(30));
    longest["sourceID"] = json!("x".repeat(128));
    longest["description_attachments"] = json!([{ "key": "attachments/5/desk.png", "inline": true }]);
    let id = itrp.register(longest.clone()).await;
    let shown = itrp.get(&format!("/webhooks/{id}")).await.expect(200);
    for field in ["description", "source", "sourceID"] {
        assert_eq!(shown[field], longest[field]);
    }
    assert_eq!(shown.get("description_attachments"), None);
    assert_eq!(
        shown["attachments"],
        json!([{ "id": 1, "key": "attachments/5/desk.png", "name": "desk.png" }])
    );
}

// R-IT-01 R-XU-01 R-XU-18
#[tokio::test]
async fn accounts_tokens_methods_and_bodies_get_the_products_answers() {
    let itrp = Itrp::start("[admin.itrp]\naccount = \"widget\"\ncreate_status = 201\n").await;
    let told = |answer: Answer, status: u16| {
        let body = answer.expect(status);
        assert!(body["message"].is_string() && body.get("title").is_none(), "{body}");
        body
    };
    let admin = ("authorization", "Bearer wht_admin");
    let basic = ("authorization", "Basic d2h0X2FkbWluOg==");
    let ask =
        async |headers: &[(&str, &str)]| itrp.ask_with(Method::GET, "/v1/webhooks", headers, None).await;
    told(ask(&[]).await, 401);
    told(ask(&[("authorization", "Bearer wht_wrong")]).await, 401);
    told(ask(&[("authorization", "Bearer wht_viewer")]).await, 403);
    ask(&[admin]).await.expect(200);
    ask(&[basic]).await.expect(200);
    // the first of the names counts
    ask(&[admin, ("x-itrp-account", "widget")]).await.expect(200);
    ask(&[admin, ("x-xurrent-account", "widget"), ("x-4me-account", "other")]).await.expect(200);
    assert_eq!(told(ask(&[admin, ("x-4me-account", "other")]).await, 404)["message"], "Not Found");

    let webhook = json!({ "event": "*.create", "uri": "https://receiver.example/" });
    let post = Method::POST;
    let created =
        itrp.ask_with(post, "/v1/webhooks", &[admin, ("x-4me-source", "my tool")], Some(&webhook)).await;
    let created = created.expect(201);
    assert_eq!((&created["source"], &created["event"]), (&json!("my tool"), &json!("*.create")));

    for path in ["/webhooks/99", "/webhooks/x", "/webhooks/1/nothing", "/v1/webhooks/99/test"] {
        let method = if path.ends_with("test") { Method::POST } else { Method::GET };
        assert_eq!(told(itrp.ask(method, path, None).await, 404)["message"], "Not Found", "{path}");
    }
    told(itrp.ask(Method::DELETE, "/webhooks", None).await, 405);
    told(itrp.get("/webhooks/1/test").await, 405);
    told(itrp.get("/webhooks?per_page=none").await, 400);
    told(itrp.get("/webhooks?colour=red").await, 400);
    for (kind, body, status) in
        [("application/json", "{", 400), ("application/json", "[]", 422), ("text/plain", "{}", 415)]
    {
        let request = itrp.client.post(format!("{}/webhooks", itrp.site.base())).bearer_auth("wht_admin");
        let answer = request.header("content-type", kind).body(body).send().await.unwrap();
        assert_eq!(answer.status(), status, "{body}");
        assert!(of(answer).await["message"].is_string());
    }

    // who guesses has to wait, by whole seconds
    let guess = async || {
        itrp.client.get(format!("{}/webhooks", itrp.site.base())).bearer_auth("wht_guess").send().await
    };
    let started = Instant::now();
    let refused = loop {
        let answer = guess().await.unwrap();
        if answer.status() == 429 {
            break answer;
        }
        assert!(started.elapsed() < PATIENCE);
    };
    assert!(refused.headers()["retry-after"].to_str().unwrap().parse::<u32>().unwrap() > 0);
    assert!(of(refused).await["message"].is_string());
}

#[tokio::test]
async fn two_who_edit_at_once_lose_nothing() {
    let itrp = Itrp::start("").await;
    let id = itrp.register(json!({ "event": "problem.create", "uri": "https://receiver.example/" })).await;
    let path = format!("/webhooks/{id}");
    let edit = async |path: &str, field: &str| {
        for number in 1..=20 {
            let patch = json!({ field: format!("{field} {number}") });
            itrp.ask(Method::PATCH, path, Some(patch)).await.expect(200);
        }
    };
    // a third one over another interface, and one who writes the row itself
    let session = itrp.site.session().await;
    let write = async {
        for _ in 0..20 {
            session.batch_execute("update walhook.webhook set sealed_at = now()").await.unwrap();
        }
    };
    let native = format!("/api/v1{path}");
    tokio::join!(edit(&path, "source"), edit(&path, "description"), edit(&native, "name"), write);
    let shown = itrp.get(&path).await.expect(200);
    for field in ["source", "description", "name"] {
        assert_eq!(shown[field], format!("{field} 20"), "{shown}");
    }
}

/// What a link of a message `webhook.verify` leads to.
async fn follow(callback: &str) -> u16 {
    Client::new().get(callback).send().await.unwrap().status().as_u16()
}

fn callback(receiver: &Receiver, number: usize) -> String {
    let body = receiver.requests()[number].json();
    assert_eq!(body["event"], "webhook.verify", "{body}");
    body["payload"]["callback"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_webhook_is_verified_by_its_endpoint_before_it_is_sent_to() {
    let itrp = Itrp::start("[admin.itrp]\nverification = true\n").await;
    let (session, receiver) = (itrp.site.session().await, Receiver::start().await);
    let id = itrp.register(json!({ "event": "problem.create", "uri": receiver.url() })).await;
    let path = format!("/v1/webhooks/{id}");
    arrived(&receiver, 1).await;
    let first = callback(&receiver, 0);
    assert!(first.starts_with(&format!("{}{path}/verify?code=", itrp.site.base())), "{first}");
    assert_eq!(itrp.get(&path).await.expect(200)["disabled"], true);
    session.batch_execute("insert into problem values (1, 'before')").await.unwrap();

    // nobody learns the code from the table
    let stored = "select product -> 'itrp' -> 'verification' ->> 'code' from walhook.webhook";
    let stored: String = session.query_one(stored, &[]).await.unwrap().get(0);
    assert!(stored.starts_with("sha256:"), "{stored}");

    // neither the client nor a wrong code enables it; each change brings another link, and the one before is void
    let enabled = itrp.ask(Method::PATCH, &path, Some(json!({ "disabled": false }))).await.expect(200);
    assert_eq!(enabled["disabled"], true);
    arrived(&receiver, 2).await;
    let second = callback(&receiver, 1);
    assert_eq!(follow(&first).await, 404);
    let base = format!("{}{path}/verify", itrp.site.base());
    assert_eq!((follow(&base).await, follow(&format!("{base}?code=x")).await), (404, 404));
    assert_eq!(follow(&second).await, 204);
    assert_eq!(itrp.get(&path).await.expect(200).get("disabled"), None);
    assert_eq!(follow(&second).await, 404, "a link is good once");
    session.batch_execute("insert into problem values (2, 'behind')").await.unwrap();
    arrived(&receiver, 3).await;
    assert_eq!(receiver.requests()[2].json()["object_id"], 2);

    // what is verified once is for others, too; another URI is not
    let same = json!({ "event": "problem.update", "uri": receiver.url() });
    let same = itrp.register(same).await;
    assert_eq!(itrp.get(&format!("/v1/webhooks/{same}")).await.expect(200).get("disabled"), None);
    let elsewhere = json!({ "uri": format!("{}/elsewhere", receiver.url()), "disabled": true });
    itrp.ask(Method::PATCH, &path, Some(elsewhere)).await.expect(200);
    arrived(&receiver, 4).await;
    let late = "update walhook.webhook set product = jsonb_set(product, '{itrp,verification,expires_at}', $1) where id = $2";
    let ended = async |seconds: i64| {
        let end = json!(walhook::clock::Clock::system().now_us() / 1_000_000 + seconds);
        session.execute(late, &[&Json(end), &id.cast_signed()]).await.unwrap();
    };
    ended(-1).await;
    assert_eq!(follow(&callback(&receiver, 3)).await, 410);
    ended(3600).await;
    assert_eq!(follow(&callback(&receiver, 3)).await, 204);
    assert_eq!(itrp.get(&path).await.expect(200)["disabled"], true, "it was to be disabled");
}
