//! Bodies in the formats of other products, and of CloudEvents: of real changes, with old rows and without.

use crate::bodies::fit;
use crate::python;
use crate::receiver::{Receiver, Request};
use crate::registration::{arrived, one_by_one};
use crate::running::{PATIENCE, Running, Site};
use serde_json::{Value, json};
use std::time::Instant;

/// The same table twice: the log has the old rows of one and the keys of the other.
const SCHEMA: &str = "
    create table server (id int primary key, name text, ram int, notes text);
    alter table server replica identity full;
    create table rack (id int primary key, name text, ram int, notes text);
    alter table server alter column notes set storage external;
    alter table rack alter column notes set storage external";

/// A value that PostgreSQL keeps apart from its row, and leaves out of the log when an update does not touch it.
const LARGE: usize = 100_000;

/// A site with a webhook of that format on both tables, and what arrives of a create, an update and a delete on each,
/// by table. All of it is as the format's schema says.
async fn requests(format: &str) -> (Site, Running, [Vec<Request>; 2]) {
    let (site, receiver) = (Site::new(SCHEMA).await, Receiver::start().await);
    site.configure(&format!(
        "[[forms]]\nname = \"Server\"\ntable = \"server\"\n[[forms]]\nname = \"Rack\"\ntable = \"rack\"\nnoun = \"12\"\n\
         [[webhooks]]\nname = \"all\"\nform = \"*\"\nevents = [\"create\", \"update\", \"delete\"]\n\
         format = \"{format}\"\ncallback.url = \"{}\"\n",
        receiver.url()
    ));
    let walhook = site.start().await;
    let session = site.session().await;
    let mut requests = [Vec::new(), Vec::new()];
    for (table, requests) in ["server", "rack"].into_iter().zip(&mut requests) {
        let before = receiver.count();
        one_by_one(
            &session,
            &[
                &format!("insert into {table} values (7, 'ann', 8, repeat('x', {LARGE}))"),
                &format!("update {table} set ram = 16"),
                &format!("delete from {table}"),
            ],
        )
        .await;
        arrived(&receiver, before + 3).await;
        requests.extend_from_slice(&receiver.requests()[before..]);
    }
    let bodies: Vec<Value> = requests.iter().flatten().map(Request::json).collect();
    fit(format, &bodies);
    (site, walhook, requests)
}

/// The bodies of those, in JSON.
async fn bodies(format: &str) -> (Site, Running, [Vec<Value>; 2]) {
    let (site, walhook, requests) = requests(format).await;
    let is_json = |one: &Request| one.header("content-type") == Some("application/json");
    assert!(requests.iter().flatten().all(is_json));
    (site, walhook, requests.map(|requests| requests.iter().map(Request::json).collect()))
}

/// Fields as DataGerry's bodies have them.
fn fields(named: &[(&str, Value)]) -> Value {
    named.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

// R-DG-01 R-DG-05 R-DG-10 R-DG-11 R-DG-12 R-DG-13 R-DG-14 R-DG-15 R-DG-22
#[tokio::test(flavor = "multi_thread")]
async fn datagerry_bodies_tell_of_a_real_object() {
    let (site, walhook, [known, blind]) = bodies("datagerry").await;
    let notes = json!("x".repeat(LARGE));
    let object = |type_id: Value, ram: i32| {
        let fields = fields(&[
            ("id", json!(7)),
            ("name", json!("ann")),
            ("ram", json!(ram)),
            ("notes", notes.clone()),
        ]);
        json!({ "public_id": 7, "type_id": type_id, "active": true, "fields": fields })
    };
    let check = |body: &Value, operation: &str, before: Value, after: Value, changes: Value| {
        let time = body["event_time"]["$date"].as_i64().unwrap();
        assert!(time > 1_700_000_000_000, "milliseconds since 1970: {time}");
        let expected = json!({ "event_time": { "$date": time }, "operation": operation, "object_before": before,
            "object_after": after, "changes": changes });
        assert_eq!(*body, expected);
    };
    let server = |ram| object(json!("server"), ram);
    check(&known[0], "CREATE", Value::Null, server(8), Value::Null);
    let changes = json!({ "old": fields(&[("ram", json!(8))]), "new": fields(&[("ram", json!(16))]) });
    check(&known[1], "UPDATE", server(8), server(16), changes);
    check(&known[2], "DELETE", server(16), Value::Null, Value::Null);

    check(&blind[0], "CREATE", Value::Null, object(json!(12), 8), Value::Null);
    let small = fields(&[("id", json!(7)), ("name", json!("ann")), ("ram", json!(16))]);
    let after = json!({ "public_id": 7, "type_id": 12, "active": true, "fields": small });
    check(&blind[1], "UPDATE", Value::Null, after, json!({ "old": null, "new": small }));
    let key = json!({ "public_id": 7, "type_id": 12, "active": true, "fields": fields(&[("id", json!(7))]) });
    check(&blind[2], "DELETE", key, Value::Null, Value::Null);

    // conditions are judged for what these bodies tell
    let started = Instant::now();
    let verdicts = |condition: &str| -> Vec<Value> {
        let (code, text) = site.run(&["--json", "condition", "--form", "Server", "--sample", "9", condition]);
        assert_eq!(code, 0, "{text}");
        let judged: Value = serde_json::from_str(&text).unwrap();
        judged["events"].as_array().unwrap().iter().map(|one| one["verdict"].clone()).collect()
    };
    while verdicts("1 = 1").len() < 3 {
        assert!(started.elapsed() < PATIENCE);
    }
    assert_eq!(verdicts("'ram' = 16 AND 'DB.ram' = 8"), [json!("false"), json!("true"), json!("false")]);
    assert_eq!(walhook.stop(), 0);
}

// R-CG-01 R-CG-03 R-CG-04 R-CG-05 R-CG-06 R-CG-08 R-CG-09 R-CG-22
#[tokio::test(flavor = "multi_thread")]
async fn changegear_bodies_bring_the_whole_ticket() {
    let (_site, walhook, [known, blind]) = bodies("changegear").await;
    let notes = json!("x".repeat(LARGE));
    let entity = |ram: i32| json!({ "id": 7, "name": "ann", "ram": ram, "notes": notes });
    let body = |event: &str, module: &str, entity: Value| json!({ "Event": event, "EntityType": module, "Entity": entity });
    let partial = |event: &str, entity: Value| {
        let mut body = body(event, "Rack", entity);
        body["partial"] = json!(true);
        body
    };
    assert_eq!(
        known,
        [
            body("Create", "Server", entity(8)),
            body("Update", "Server", entity(16)),
            body("Delete", "Server", entity(16))
        ]
    );
    assert_eq!(
        blind,
        [
            body("Create", "Rack", entity(8)),
            partial("Update", json!({ "id": 7, "name": "ann", "ram": 16 })),
            partial("Delete", json!({ "id": 7 })),
        ]
    );
    assert_eq!(walhook.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn cloudevents_are_read_by_their_own_library() {
    let (_site, walhook, [known, blind]) = requests("cloudevents").await;
    let (update, of_blind) = (known[1].json(), blind[1].json());
    assert!(
        blind
            .iter()
            .chain(&known)
            .all(|one| one.header("content-type") == Some("application/cloudevents+json"))
    );
    // as `native` has it
    let data = |form: &str, noun: &str, event: &str, body: &Value| {
        json!({ "form": form, "noun": noun, "event": event, "entry_id": "7", "committed_at": body["time"],
            "lsn": body["data"]["lsn"], "xid": body["data"]["xid"] })
    };
    let mut expected = json!({
        "specversion": "1.0",
        "id": known[1].id(),
        "source": "/forms/Server",
        "webhook": "all",
        "sequence": "00000000000000000002",
        "type": "walhook.server.update",
        "subject": "7",
        "partitionkey": "7",
        "time": update["time"],
        "datacontenttype": "application/json",
        "data": data("Server", "server", "update", &update),
    });
    expected["data"]["changed"] = json!({ "ram": { "old": 8, "new": 16 } });
    expected["data"]["entry"] = json!({ "id": 7, "name": "ann", "ram": 16, "notes": "x".repeat(LARGE) });
    assert_eq!(update, expected);
    assert!(update["data"]["lsn"].is_string() && update["data"]["xid"].is_number());
    let mut expected = data("Rack", "12", "update", &of_blind);
    expected["entry"] = json!({ "id": 7, "name": "ann", "ram": 16 });
    expected["unavailable_fields"] = json!(["notes"]);
    assert_eq!(of_blind["data"], expected);

    let messages: Vec<Value> =
        known.iter().chain(&blind).map(|one| json!({ "headers": one.headers, "body": one.text() })).collect();
    // it does refuse
    let broken = [("\"source\":\"/forms/Server\"", "\"source\":\"\""), ("\"webhook\"", "\"web_hook\"")].map(
        |(from, to)| json!({ "headers": known[0].headers, "body": known[0].text().replacen(from, to, 1) }),
    );
    let messages = json!(messages.into_iter().chain(broken).collect::<Vec<_>>()).to_string();
    if let Some(said) = python::play("cloudevents", "formats/with_cloudevents.py", &[], &messages) {
        let said = said.as_array().unwrap();
        for (said, request) in said.iter().zip(known.iter().chain(&blind)) {
            assert_eq!(*said, json!({ "event": request.json() }));
        }
        assert_eq!(said.len(), 8);
        for (said, attribute) in said[6..].iter().zip(["'source'", "'web_hook'"]) {
            assert!(said["refused"].as_str().unwrap().contains(attribute), "{said}");
        }
    }
    assert_eq!(walhook.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_is_as_the_schema_of_its_format_says() {
    for format in ["native", "arsys", "itrp"] {
        let (_site, walhook, requests) = requests(format).await;
        assert_eq!(requests.map(|requests| requests.len()), [3, 3], "{format}");
        assert_eq!(walhook.stop(), 0);
    }
}
