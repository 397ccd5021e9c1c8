//! What applications do to their tables, and the events it must make: statement for statement what was seen
//! in help desks, trackers and ERPs.

use crate::running::{Running, Site};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use walhook::demo::receiver::{Answer, Receiver};
use walhook::postgres::Session;

/// The program over a help desk, with a webhook that listens to everything.
struct Desk {
    _site: Site,
    _running: Running,
    receiver: Receiver,
    session: Session,
    seen: usize,
}

const SCHEMA: &str = r#"
    create schema helpdesk;
    create table helpdesk.incident (
        id integer primary key generated always as identity,
        number text unique not null,
        title text, status text, closed_at timestamptz, lock_version integer not null default 0,
        body text, password_hash text, price numeric(12,4)
    );
    alter table helpdesk.incident replica identity full;
    create table helpdesk."Order-Line" (order_no integer, "line" integer, "user" text, primary key (order_no, "line"));
    create table helpdesk.setting (name text, value text);
    alter database postgres set datestyle = 'German, DMY';
    alter role postgres set timezone = 'Asia/Kolkata';
    alter role postgres set extra_float_digits = -3;
    alter role postgres set bytea_output = 'escape';
    alter role postgres set intervalstyle = 'sql_standard';
"#;

const CONFIG: &str = r#"
[[forms]]
name = "Incident"
table = "helpdesk.incident"
entry_id = ["number"]
ignore = ["lock_version"]
hidden = ["password_hash"]
unset = ["1970-01-01 00:00:00+00"]
[[forms]]
name = "Line"
table = "helpdesk.Order-Line"
[[webhooks]]
name = "everything"
forms = ["Incident", "Line"]
events = ["create", "update", "merge", "delete"]
callback.url = "RECEIVER"
"#;

impl Desk {
    async fn open() -> Self {
        let receiver = Receiver::start(100_000, Arc::new(|_| Answer::Status(200))).await.unwrap();
        let site = Site::new(SCHEMA).await;
        site.configure(&CONFIG.replace("RECEIVER", &receiver.url("/hook")));
        let running = site.start().await;
        let session = site.session().await;
        Self { _site: site, _running: running, receiver, session, seen: 0 }
    }

    /// Runs transactions, waits until everything up to a fence has arrived, and returns the bodies in order.
    async fn bodies(&mut self, transactions: &[&str]) -> Vec<Value> {
        for sql in transactions {
            self.session.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
        }
        let fence = "insert into helpdesk.\"Order-Line\" values (-1, coalesce((select max(\"line\") from
            helpdesk.\"Order-Line\" where order_no = -1), 0) + 1, 'fence')";
        self.session.batch_execute(fence).await.unwrap();
        let is_fence = |body: &Value| body["entry"]["user"] == "fence";
        let complete = |bodies: &BTreeMap<u64, Value>| {
            bodies.len() > self.seen
                && bodies
                    .last_key_value()
                    .is_some_and(|(last, body)| *last as usize == bodies.len() && is_fence(body))
        };
        let wait = self.receiver.wait_until(|arrivals| complete(&by_sequence(arrivals)));
        tokio::time::timeout(crate::running::PATIENCE, wait).await.expect("everything arrives");
        let mut bodies: Vec<Value> =
            by_sequence(&self.receiver.arrivals_from(0)).into_values().skip(self.seen).collect();
        self.seen += bodies.len();
        bodies.pop();
        bodies
    }

    async fn check(&mut self, sql: &str, expected: &[&str]) {
        let bodies = self.bodies(&[sql]).await;
        let events: Vec<String> = bodies.iter().map(told).collect();
        assert_eq!(events, expected, "{sql}");
    }
}

fn by_sequence(arrivals: &[walhook::demo::receiver::Arrival]) -> BTreeMap<u64, Value> {
    let bodies =
        arrivals.iter().map(|arrival| serde_json::from_slice::<Value>(&arrival.request.body).unwrap());
    bodies.map(|body| (body["sequence"].as_u64().unwrap(), body)).collect()
}

/// `update INC1 status title`: event, entry and the fields that changed.
fn told(body: &Value) -> String {
    let mut text = format!("{} {}", body["event"].as_str().unwrap(), body["entry_id"].as_str().unwrap());
    for field in body["changed"].as_object().into_iter().flatten() {
        text += &format!(" {}", field.0);
    }
    text
}

// R-AR-50 R-AR-82 R-DG-03 R-XU-27
#[tokio::test(flavor = "multi_thread")]
async fn what_applications_do_makes_the_events_that_people_mean() {
    let mut desk = Desk::open().await;
    let cases: &[(&str, &[&str])] = &[
        // a create is an INSERT and one or two UPDATEs of the same row
        (
            "begin; insert into helpdesk.incident (number, title, status) values ('INC1', 'printer', 'new');
             update helpdesk.incident set status = 'open' where number = 'INC1';
             update helpdesk.incident set lock_version = 1 where number = 'INC1'; commit",
            &["create INC1"],
        ),
        // several entries in one transaction: an event each, where each was touched first
        (
            "begin; insert into helpdesk.incident (number) values ('INC2'), ('INC3');
             update helpdesk.incident set status = 'busy' where number = 'INC1';
             update helpdesk.incident set status = 'x' where number = 'INC2';
             update helpdesk.incident set status = 'done', title = 'p' where number = 'INC1'; commit",
            &["create INC2", "create INC3", "update INC1 status title"],
        ),
        // a delete is an UPDATE and a DELETE
        (
            "begin; update helpdesk.incident set status = 'deleted' where number = 'INC2';
             delete from helpdesk.incident where number = 'INC2'; commit",
            &["delete INC2"],
        ),
        // nothing changed, only bookkeeping changed, changed and changed back, only what is hidden changed
        ("update helpdesk.incident set title = title", &[]),
        ("update helpdesk.incident set lock_version = lock_version + 1", &[]),
        (
            "begin; update helpdesk.incident set status = 'tmp' where number = 'INC1';
             update helpdesk.incident set status = 'done' where number = 'INC1'; commit",
            &[],
        ),
        ("update helpdesk.incident set password_hash = 'secret'", &[]),
        // work that was taken back
        ("begin; insert into helpdesk.incident (number) values ('INC8'); rollback", &[]),
        (
            "begin; savepoint a; insert into helpdesk.incident (number) values ('INC8'); rollback to a;
             insert into helpdesk.incident (number) values ('INC7'); release a; commit",
            &["create INC7"],
        ),
        (
            "begin; insert into helpdesk.incident (number) values ('T'); delete from helpdesk.incident where number = 'T'; commit",
            &[],
        ),
        // upserts are plain inserts and updates
        (
            "insert into helpdesk.incident (number, title) values ('INC7', 'up')
             on conflict (number) do update set title = excluded.title",
            &["update INC7 title"],
        ),
        ("insert into helpdesk.incident (number) values ('INC7') on conflict do nothing", &[]),
        ("insert into helpdesk.\"Order-Line\" values (1, 1, 'a')", &["create 1|1"]),
        ("update helpdesk.\"Order-Line\" set \"user\" = 'b' where order_no = 1", &["update 1|1"]),
        // an import: delete and insert of one key
        (
            "begin; delete from helpdesk.\"Order-Line\" where order_no = 1;
             insert into helpdesk.\"Order-Line\" values (1, 1, 'c'); commit",
            &["merge 1|1"],
        ),
        // a new key is a delete and a create
        ("update helpdesk.\"Order-Line\" set \"line\" = 2 where order_no = 1", &["delete 1|1", "create 1|2"]),
        // a table of no form, without primary key: its updates work and make nothing
        ("insert into helpdesk.setting values ('a', 'b'); update helpdesk.setting set value = 'c'", &[]),
        ("delete from helpdesk.setting", &[]),
        // a column comes, a column goes, one is renamed
        ("alter table helpdesk.incident add column severity text default 'low'", &[]),
        ("update helpdesk.incident set severity = 'high' where number = 'INC1'", &["update INC1 severity"]),
        ("alter table helpdesk.incident rename column severity to impact", &[]),
        ("update helpdesk.incident set impact = 'none' where number = 'INC1'", &["update INC1 impact"]),
        ("alter table helpdesk.incident drop column impact", &[]),
        ("update helpdesk.incident set title = 'q' where number = 'INC1'", &["update INC1 title"]),
        ("alter table helpdesk.incident rename to ticket", &[]),
        ("update helpdesk.ticket set title = 'r' where number = 'INC1'", &["update INC1 title"]),
        // there are no rows in the log of a truncate
        ("truncate helpdesk.ticket", &[]),
    ];
    for (sql, expected) in cases {
        desk.check(sql, expected).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bulk_update_of_twenty_entries_is_twenty_events() {
    let mut desk = Desk::open().await;
    let made = desk
        .bodies(&["insert into helpdesk.incident (number, status) select 'B' || n, 'new' from generate_series(1, 20) n"])
        .await;
    assert_eq!(made.len(), 20);
    let updated = desk.bodies(&["update helpdesk.incident set status = 'closed'"]).await;
    let expected: Vec<String> = (1..=20).map(|number| format!("update B{number} status")).collect();
    assert_eq!(updated.iter().map(told).collect::<Vec<_>>(), expected);
}

// R-CG-06 R-CG-09
#[tokio::test(flavor = "multi_thread")]
async fn values_are_the_servers_own_whatever_the_roles_settings() {
    let mut desk = Desk::open().await;
    let large = "(select string_agg(md5(n::text), '') from generate_series(1, 4000) n)";
    let insert = format!(
        "insert into helpdesk.incident (number, closed_at, body, password_hash, price)
         values ('V1', '2026-11-22 10:01:11.5+02', {large}, 'secret', 12.5)"
    );
    let bodies = desk
        .bodies(&[
            &insert,
            "update helpdesk.incident set closed_at = '1970-01-01 00:00:00+00' where number = 'V1'",
            "delete from helpdesk.incident where number = 'V1'",
        ])
        .await;
    assert_eq!(
        bodies.iter().map(told).collect::<Vec<_>>(),
        ["create V1", "update V1 closed_at", "delete V1"]
    );
    let [created, updated, deleted] = &bodies[..] else { panic!() };
    assert_eq!(created["entry"]["closed_at"], "2026-11-22T08:01:11.5+00:00");
    assert_eq!(created["entry"]["price"].to_string(), "12.5");
    assert_eq!(updated["changed"]["closed_at"]["new"], Value::Null);
    // the update did not touch the large value, so the server did not send it: it is in the old row
    assert_eq!(updated["entry"]["body"].as_str().unwrap().len(), 32 * 4000);
    assert_eq!(deleted["entry"]["body"], created["entry"]["body"]);
    for body in &bodies {
        assert!(!body.to_string().contains("secret"));
        assert!(body.get("unavailable_fields").is_none());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_key_names_the_old_one() {
    let mut desk = Desk::open().await;
    let bodies = desk
        .bodies(&[
            "insert into helpdesk.\"Order-Line\" values (5, 1, 'a')",
            "update helpdesk.\"Order-Line\" set \"line\" = 9 where order_no = 5",
        ])
        .await;
    assert_eq!(bodies[1]["renamed_to"], "5|9");
    assert_eq!(bodies[2]["renamed_from"], "5|1");
    assert_eq!(bodies[2]["entry"], serde_json::json!({"order_no": 5, "line": 9, "user": "a"}));
    // with the default identity nothing is guessed
    assert!(bodies[1]["entry"].get("user").is_none());
    assert_eq!(bodies[1]["unavailable_fields"], serde_json::json!(["user"]));
}
