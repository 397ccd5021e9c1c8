//! DataGerry's interface as its page and its clients use it: webhooks, and the log of their deliveries.

#[path = "datagerry/log.rs"]
mod log;

use crate::receiver::{Receiver, Reply};
use crate::registration::{CONFIG, arrived, one_by_one};
use crate::running::{PATIENCE, Running, Site};
use reqwest::{Client, Method, Response};
use serde_json::{Value, json};
use std::time::Instant;
use walhook::admin::hashes::PasswordHash;
use walhook::secret::Secret;

const PASSWORD: &str = "grass-and-heather";

const SCHEMA: &str = "create table ticket (id int primary key, state text);
    alter table ticket replica identity full;
    create table ci (id int primary key, name text)";

struct DataGerry {
    site: Site,
    walhook: Running,
    client: Client,
    user: &'static str,
}

impl DataGerry {
    /// With `further` configuration behind the forms `ticket` and `ci`.
    async fn start(further: &str) -> Self {
        let site = Site::new(SCHEMA).await;
        let hash = PasswordHash::of(&Secret::from(PASSWORD)).unwrap();
        let user = |name: &str, role: &str| {
            let hash = hash.expose();
            format!("[[admin.users]]\nname = \"{name}\"\npassword = \"{hash}\"\nrole = \"{role}\"\n")
        };
        let users = user("admin", "admin") + &user("guest", "viewer");
        site.configure(&format!("{users}{CONFIG}[[forms]]\ntable = \"ci\"\n{further}"));
        assert_eq!(site.run(&["setup", "--apply", "--registration"]).0, 0);
        let walhook = site.start_again(&[]).await;
        Self { site, walhook, client: Client::new(), user: "admin" }
    }

    async fn send(&self, method: Method, path: &str, body: Option<(&str, &str)>) -> Response {
        let mut request = self.client.request(method, format!("{}/rest{path}", self.site.base()));
        if !self.user.is_empty() {
            request = request.basic_auth(self.user, Some(PASSWORD));
        }
        if let Some((kind, body)) = body {
            request = request.header("content-type", kind).body(body.to_owned());
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.headers()["x-api-version"], "1.0");
        answer
    }

    async fn ask(&self, method: Method, path: &str, body: Option<(&str, &str)>) -> (u16, Value) {
        let answer = self.send(method, path, body).await;
        (answer.status().as_u16(), read(answer).await)
    }

    async fn get(&self, path: &str) -> Value {
        let (status, shown) = self.ask(Method::GET, path, None).await;
        assert_eq!(status, 200, "{path}: {shown}");
        shown
    }

    /// Registers a webhook as the page does; returns its number.
    async fn register(&self, name: &str, url: &str, event_types: &str) -> u64 {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs([("name", name), ("url", url), ("event_types", event_types), ("active", "true")])
            .finish();
        let (status, id) = self.ask(Method::POST, &format!("/webhooks/?{query}"), None).await;
        assert_eq!(status, 200, "{id}");
        id.as_u64().unwrap()
    }

    /// The log, once it has so many documents, the oldest first.
    async fn events(&self, count: usize) -> Vec<Value> {
        let started = Instant::now();
        loop {
            let listed = self.get("/webhook_events/").await;
            if listed["total"] == count {
                return listed["results"].as_array().unwrap().clone();
            }
            assert!(started.elapsed() < PATIENCE, "{listed}");
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
}

async fn read(answer: Response) -> Value {
    serde_json::from_str(&answer.text().await.unwrap()).unwrap()
}

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

// R-DG-04 R-DG-07 R-DG-09 R-DG-16 R-DG-17 R-DG-18 R-DG-19 R-DG-20 R-DG-21 R-DG-23
#[tokio::test]
async fn webhooks_are_made_shown_changed_and_deleted_as_by_the_page() {
    let datagerry = DataGerry::start("").await;
    let (session, receiver) = (datagerry.site.session().await, Receiver::start().await);
    let id = datagerry.register("Inventory", &receiver.url(), "['CREATE']").await;
    let mut expected = json!({ "public_id": id, "name": "Inventory", "url": receiver.url(),
        "event_types": ["CREATE"], "active": true });
    for path in [format!("/webhooks/{id}"), format!("/webhooks/{id}/")] {
        assert_eq!(datagerry.get(&path).await, expected);
    }
    // new objects of every type arrive, and nothing else
    one_by_one(
        &session,
        &[
            "insert into ticket values (1, 'new')",
            "update ticket set state = 'old'",
            "insert into ci values (7, 'disk')",
        ],
    )
    .await;
    arrived(&receiver, 2).await;
    let bodies: Vec<Value> = receiver.requests().iter().map(crate::receiver::Request::json).collect();
    let mut types: Vec<&str> =
        bodies.iter().map(|body| body["object_after"]["type_id"].as_str().unwrap()).collect();
    types.sort_unstable();
    assert_eq!((types, &bodies[0]["operation"]), (vec!["ci", "ticket"], &json!("CREATE")));

    // what is not said stays, and texts and JSON mean the same
    let changed = async |method: Method, query: &str, body: Option<(&str, &str)>, expected: &Value| {
        let (status, answer) = datagerry.ask(method, &format!("/webhooks/{id}{query}"), body).await;
        assert_eq!((status, &answer["result"]), (202, expected), "{answer}");
        assert_eq!(answer["response_type"], "UPDATE");
        assert!(answer["time"].is_string(), "{answer}");
        assert_eq!(&datagerry.get(&format!("/webhooks/{id}")).await, expected);
    };
    expected["active"] = json!(false);
    let query = format!("?public_id={id}&name=Inventory&event_types=%5B%22CREATE%22%5D&active=False");
    changed(Method::PATCH, &query, None, &expected).await;
    session.batch_execute("insert into ticket values (2, 'not sent')").await.unwrap();
    expected["active"] = json!(true);
    expected["event_types"] = json!(["CREATE", "DELETE"]);
    changed(
        Method::PUT,
        "/",
        Some((JSON, r#"{"active": true, "event_types": ["delete", "Create"]}"#)),
        &expected,
    )
    .await;
    expected["name"] = json!("Inventory 2");
    changed(
        Method::PUT,
        "",
        Some((FORM, "name=Inventory+2&event_types=create&event_types=delete")),
        &expected,
    )
    .await;
    session.batch_execute("delete from ticket where id = 1").await.unwrap();
    arrived(&receiver, 3).await;
    let deleted = receiver.requests()[2].json();
    assert_eq!(
        (&deleted["operation"], &deleted["object_before"]["public_id"]),
        (&json!("DELETE"), &json!(1))
    );

    // lists with what the page needs around them
    for (name, types) in [("a", "['update']"), ("b", "['delete']")] {
        datagerry.register(name, "https://receiver.example/hook", types).await;
    }
    let path = "/webhooks/?limit=2&page=2&sort=name&order=-1";
    let listed = datagerry.send(Method::GET, path, None).await;
    assert_eq!(listed.headers()["x-total-count"], "3");
    let listed: Value = read(listed).await;
    let at =
        |page: u8| format!("{}/rest/webhooks/?limit=2&sort=name&order=-1&page={page}", datagerry.site.base());
    let expected_list = json!({
        "results": [expected],
        "count": 1,
        "total": 3,
        "parameters": { "limit": 2, "page": 2, "sort": "name", "order": -1, "filter": {}, "optional": {} },
        "pager": { "page": 2, "page_size": 2, "total_pages": 2 },
        "pagination": { "current": format!("{}/rest{path}", datagerry.site.base()), "first": at(1), "prev": at(1),
            "next": at(2), "last": at(2) },
        "response_type": "GET",
        "time": listed["time"],
    });
    assert_eq!(listed, expected_list);
    let filtered =
        "/webhooks?filter=%7B%22event_types%22%3A%22DELETE%22%7D&projection=%7B%22public_id%22%3A1%7D";
    assert_eq!(
        datagerry.get(filtered).await["results"],
        json!([{ "public_id": id }, { "public_id": id + 2 }])
    );
    let head = datagerry.send(Method::HEAD, "/webhooks/", None).await;
    assert_eq!((head.status().as_u16(), &head.headers()["x-total-count"]), (200, &"3".parse().unwrap()));
    assert_eq!(head.text().await.unwrap(), "");

    assert_eq!(datagerry.ask(Method::DELETE, &format!("/webhooks/{id}/"), None).await, (200, json!(true)));
    for method in [Method::GET, Method::DELETE] {
        assert_eq!(datagerry.ask(method, &format!("/webhooks/{id}"), None).await.0, 404);
    }
    assert_eq!(datagerry.walhook.stop(), 0);
}

// R-DG-04 R-DG-18 R-DG-19 R-DG-20 R-DG-23
#[tokio::test]
async fn what_is_wrong_is_told_as_the_product_does_and_changes_nothing() {
    let own = "[[webhooks]]\nid = 7777\nname = \"own\"\nform = \"ticket\"\nevents = [\"create\", \"merge\"]\n\
               callback.url = \"http://127.0.0.1:9/\"\n";
    let mut datagerry = DataGerry::start(own).await;
    let well = r#"{"name": "a", "url": "https://a.example/", "event_types": ["create"]}"#;
    let (status, id) = datagerry.ask(Method::POST, "/webhooks", Some((JSON, well))).await;
    assert_eq!(status, 200, "{id}");
    let one = format!("/webhooks/{id}");
    let with = |key: &str, value: Value| {
        let mut webhook: Value = serde_json::from_str(well).unwrap();
        webhook[key] = value;
        webhook.to_string()
    };
    let check = async |method: Method, path: &str, body: Option<(&str, &str)>, status: u16, says: &str| {
        let (found, told) = datagerry.ask(method.clone(), path, body).await;
        assert_eq!((found, &told["status"]), (status, &json!(status)), "{method} {path} {body:?}: {told}");
        assert!(told["response"].is_string() && told["description"].is_string(), "{told}");
        assert!(told["message"].as_str().unwrap().contains(says), "{path} {body:?}: {says} is not in {told}");
    };
    for (body, says) in [
        ("{}".into(), "name: name is missing; url: url is missing; event_types: event_types is missing"),
        (with("name", json!("")), "name"),
        (with("name", json!(7)), "name"),
        (with("url", json!("ftp://a.example/")), "url: "),
        (with("url", json!("")), "url is missing"),
        (with("event_types", json!([])), "event_types is missing"),
        (with("event_types", json!("[]")), "no event type is named"),
        (with("event_types", json!(["created"])), "\"created\" is no event type"),
        (with("event_types", json!("['create'")), "event_types"),
        (with("active", json!("yes")), "active is true or false"),
        (with("active", json!(1)), "active is true or false"),
        ("[]".into(), ""),
        ("{".into(), ""),
    ] {
        check(Method::POST, "/webhooks/", Some((JSON, &body)), 400, says).await;
    }
    let name = Some((JSON, r#"{"name": "b"}"#));
    for (method, path, body, status, says) in [
        (Method::POST, "/webhooks/", Some(("text/plain", "name=a")), 415, "application/json"),
        (Method::PATCH, &*one, Some((JSON, r#"{"public_id": 99}"#)), 400, "public_id"),
        (Method::PATCH, &one, Some((JSON, r#"{"event_types": []}"#)), 400, "no event type"),
        (Method::POST, &one, None, 405, ""),
        (Method::DELETE, "/webhooks/", None, 405, ""),
        (Method::PATCH, "/webhooks/99", name, 404, "99"),
        (Method::DELETE, "/webhooks/99/", None, 404, "99"),
        (Method::GET, "/webhooks/WBH", None, 404, "WBH"),
        (Method::GET, "/webhooks/18446744073709551615", None, 404, ""),
        (Method::GET, "/webhook_events/99", None, 404, "99"),
        (Method::DELETE, "/webhook_events/x", None, 404, "x"),
        (Method::PUT, "/webhook_events/1", None, 405, ""),
        (Method::GET, "/objects/1", None, 404, ""),
        (Method::GET, "/webhooks/?sort=colour", None, 400, "colour"),
        (Method::GET, "/webhook_events/?sort=changes", None, 400, "changes"),
        (Method::GET, "/webhook_events/?limit=0", None, 400, "limit"),
        (Method::GET, "/webhooks/?filter=%5B%7B%22%24match%22%3A%7B%7D%7D%5D", None, 400, "filter"),
        // those of the file are shown, and changed there
        (Method::PATCH, "/webhooks/7777", name, 400, "change it there"),
        (Method::DELETE, "/webhooks/7777", None, 400, "change it there"),
    ] {
        check(method, path, body, status, says).await;
    }
    let own = datagerry.get("/webhooks/7777").await;
    let expected = json!({ "public_id": 7777, "name": "own", "url": "http://127.0.0.1:9/",
        "event_types": ["CREATE", "UPDATE"], "active": true });
    assert_eq!(own, expected);
    assert_eq!(datagerry.get("/webhooks/").await["results"][1], expected);
    let all = datagerry.get("/webhooks/").await;
    assert_eq!((&all["total"], &all["results"][0]["name"]), (&json!(2), &json!("a")), "{all}");

    for (user, status) in [("guest", 403), ("nobody", 401), ("", 401)] {
        datagerry.user = user;
        for path in ["/webhooks/", &one, "/webhook_events/"] {
            let (found, told) = datagerry.ask(Method::GET, path, None).await;
            assert_eq!((found, &told["status"]), (status, &json!(status)), "{path}: {told}");
        }
    }
    assert_eq!(datagerry.walhook.stop(), 0);
}

// R-NA-01: what these words cannot tell is not lost by them
#[tokio::test]
async fn what_others_registered_is_shown_as_far_as_it_can_be_and_nothing_is_lost() {
    let datagerry = DataGerry::start("").await;
    let (session, receiver) = (datagerry.site.session().await, Receiver::start().await);
    let insert = format!(
        "insert into walhook.webhook (events, url, headers, authentication, condition, schedule) values
         ('{{ticket.update,ticket.merge,ci.create}}', '{}', '{{\"X-Team\": \"desk\"}}',
          '{{\"type\": \"BEARER\", \"token\": \"geheim\"}}', '1 = 1', '{{5s}}')",
        receiver.url()
    );
    one_by_one(&session, &[&insert]).await;
    let row = "select to_jsonb(w) - array['version', 'updated_at', 'sealed_at', 'authentication'] from walhook.webhook w";
    let before: Value = session.query_one(row, &[]).await.unwrap().get(0);
    let shown = datagerry.get("/webhooks/1").await;
    assert_eq!(
        (&shown["name"], &shown["event_types"]),
        (&json!("webhook 1"), &json!(["CREATE", "UPDATE"])),
        "{shown}"
    );
    let (status, answer) = datagerry.ask(Method::PUT, "/webhooks/1", Some((JSON, &shown.to_string()))).await;
    assert_eq!((status, &answer["result"]), (202, &shown));
    let after: Value = session.query_one(row, &[]).await.unwrap().get(0);
    assert_eq!(before, after);
    let more = Some((JSON, r#"{"event_types": ["CREATE", "DELETE"]}"#));
    assert_eq!(datagerry.ask(Method::PATCH, "/webhooks/1", more).await.0, 202);
    let after: Value = session.query_one(row, &[]).await.unwrap().get(0);
    assert_eq!(after["events"], json!(["ticket.delete", "ci.create", "ci.delete"]));
    one_by_one(&session, &["insert into ci values (1, 'disk')"]).await;
    arrived(&receiver, 1).await;
    let request = &receiver.requests()[0];
    assert_eq!(
        (request.header("authorization"), request.header("x-team")),
        (Some("Bearer geheim"), Some("desk"))
    );
    assert_eq!(datagerry.walhook.stop(), 0);
}

// R-DG-16 R-DG-24
#[tokio::test]
async fn a_webhook_whose_endpoint_is_gone_is_not_active_until_somebody_says_so() {
    let datagerry = DataGerry::start("").await;
    let (session, gone, well) =
        (datagerry.site.session().await, Receiver::start().await, Receiver::start().await);
    gone.reply(Reply::status(410));
    let id = datagerry.register("gone", &gone.url(), "['create']").await;
    datagerry.register("well", &well.url(), "['create']").await;
    let one = format!("/webhooks/{id}");
    one_by_one(&session, &["insert into ci values (1, 'disk')"]).await;
    let started = Instant::now();
    while datagerry.get(&one).await["active"] == true {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert_eq!(datagerry.get("/webhooks/").await["results"][0]["active"], false);
    // one that fails stops no other, and what comes meanwhile is kept
    one_by_one(&session, &["insert into ci values (2, 'tape')"]).await;
    arrived(&well, 2).await;
    gone.reply(Reply::ok());
    let (status, answer) = datagerry.ask(Method::PATCH, &format!("{one}?active=true"), None).await;
    assert_eq!((status, &answer["result"]["active"]), (202, &json!(true)));
    arrived(&gone, 2).await;
    assert_eq!(datagerry.get(&one).await["active"], true);

    // who sends back that it is not means it
    gone.reply(Reply::status(410));
    one_by_one(&session, &["insert into ci values (3, 'lamp')"]).await;
    while datagerry.get(&one).await["active"] == true {
        assert!(started.elapsed() < PATIENCE);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let shown = datagerry.get(&one).await.to_string();
    assert_eq!(datagerry.ask(Method::PUT, &one, Some((JSON, &shown))).await.0, 202);
    let enabled = "select enabled from walhook.webhook where id = $1";
    let enabled: bool = session.query_one(enabled, &[&id.cast_signed()]).await.unwrap().get(0);
    assert!(!enabled);
    assert_eq!(datagerry.walhook.stop(), 0);
}
