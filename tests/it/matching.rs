//! Conditions on the running program: what they let through, which rows are entries, and what is held when they
//! cannot be judged, until somebody mends the cause.

use crate::running::{PATIENCE, Site};
use serde_json::Value;
use std::sync::Arc;
use std::time::Instant;
use walhook::demo::receiver::{Answer, Arrival, Receiver};
use walhook::postgres::Session;

const SCHEMA: &str = "
    create type urgency as enum ('low', 'high');
    create table incident (
        id integer primary key, kind text not null default 'incident', status integer not null default 0,
        title text, assignee text, count integer, total integer, urgency urgency, vip boolean,
        due timestamptz, big text
    );
    alter table incident replica identity full;
";

const FORM: &str = r#"
[[forms]]
name = "Incident"
table = "incident"
[forms.fields]
Status = { column = "status", id = 7, labels = { 0 = "New", 1 = "Assigned", 5 = "Closed" } }
"#;

/// The program over a table of incidents, and a receiver.
struct Desk {
    site: Site,
    receiver: Receiver,
    session: Session,
}

/// `[[webhooks]]` with a condition.
fn webhook(name: &str, condition: &str) -> String {
    webhook_with(name, condition, "")
}

fn webhook_with(name: &str, condition: &str, rest: &str) -> String {
    format!(
        "[[webhooks]]\nname = {name:?}\nform = \"Incident\"\nevents = [\"create\", \"update\", \"delete\"]\n\
         condition = '''{condition}'''\ncallback.url = \"RECEIVER\"\n{rest}\n"
    )
}

/// Sees everything: what it has, the others have had their chance for.
const WITNESS: &str = "[[webhooks]]\nname = \"witness\"\nform = \"Incident\"\nevents = [\"create\"]\n\
                       callback.url = \"RECEIVER\"\nin_flight_max = 1\n";

impl Desk {
    async fn open() -> Self {
        let receiver = Receiver::start(100_000, Arc::new(|_| Answer::Status(200))).await.unwrap();
        let site = Site::new(SCHEMA).await;
        let session = site.session().await;
        Self { site, receiver, session }
    }

    fn configure(&self, forms: &str, webhooks: &[String]) {
        let text = format!("{forms}\n{WITNESS}\n{}", webhooks.join("\n"));
        self.site.configure(&text.replace("RECEIVER", &self.receiver.url("/hook")));
    }

    async fn sql(&self, sql: &str) {
        self.session.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// What a webhook has received in the order of its sequence: `create 1`.
    fn told(&self, webhook: &str) -> Vec<String> {
        told(&self.receiver.arrivals_from(0), webhook)
    }

    /// Waits until a webhook has received this, as the last of so many.
    async fn wait_for(&self, webhook: &str, expected: &[&str]) {
        let wait = self.receiver.wait_until(|arrivals| told(arrivals, webhook).len() >= expected.len());
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let log =
                std::fs::read_to_string(self.site.folder.path().join("walhook.log")).unwrap_or_default();
            panic!("{webhook}: {expected:?} does not come: {:?}\n{log}", self.told(webhook));
        }
        assert_eq!(self.told(webhook), expected, "{webhook}");
    }

    /// Waits until everything committed so far has been judged and what is due has arrived at the witness.
    async fn fence(&self, id: i64) {
        self.sql(&format!("insert into incident (id, title, kind) values ({id}, 'fence', 'fence')")).await;
        let event = format!("create {id}");
        let wait = self.receiver.wait_until(|arrivals| told(arrivals, "witness").contains(&event));
        tokio::time::timeout(PATIENCE, wait).await.expect("the fence arrives");
    }

    /// A row of `webhooks list`.
    fn standing(&self, webhook: &str) -> Value {
        let (code, output) = self.site.run(&["webhooks", "list", "--json"]);
        assert_eq!(code, 0, "{output}");
        let list: Value = serde_json::from_str(&output).unwrap();
        list.as_array().unwrap().iter().find(|row| row["name"] == webhook).unwrap().clone()
    }

    async fn wait_until_standing(&self, webhook: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let started = Instant::now();
        loop {
            let standing = self.standing(webhook);
            if fits(&standing) {
                return standing;
            }
            assert!(started.elapsed() < PATIENCE, "{standing}");
            // another process changes it: there is nothing to wait on
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    }
}

fn bodies(arrivals: &[Arrival], webhook: &str) -> Vec<Value> {
    let mut bodies: Vec<Value> = arrivals
        .iter()
        .map(|arrival| serde_json::from_slice::<Value>(&arrival.request.body).unwrap())
        .filter(|body| body["webhook"] == webhook)
        .collect();
    bodies.sort_by_key(|body| body["sequence"].as_u64());
    bodies.dedup_by_key(|body| body["sequence"].as_u64());
    bodies
}

fn told(arrivals: &[Arrival], webhook: &str) -> Vec<String> {
    let tell =
        |body: &Value| format!("{} {}", body["event"].as_str().unwrap(), body["entry_id"].as_str().unwrap());
    bodies(arrivals, webhook).iter().map(tell).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_lets_through_what_meets_it() {
    let desk = Desk::open().await;
    let conditions = [
        ("open", "'Status' != \"Closed\"", vec!["create 1", "update 1", "create 3", "create 9"]),
        ("closing", "'TR.Status' = \"Closed\" AND 'DB.Status' != \"Closed\"", vec!["update 1"]),
        ("ann", "'assignee' = \"ann\"", vec!["update 1", "update 1", "delete 1"]),
        ("not ann", "'assignee' != \"ann\"", vec!["create 3"]),
        ("like", "'title' LIKE \"%print[e]r%\"", vec!["create 1", "update 1", "update 1", "delete 1"]),
        ("reassigned", "'assignee' CHANGED TO \"ann\"", vec!["update 1"]),
        ("high", "'urgency' > \"low\" AND 'vip' = \"true\"", vec!["create 3"]),
        ("sum", "'count' * 2 >= 'total' AND $OPERATION$ = \"CREATE\"", vec!["create 3"]),
        ("due", "'due' < \"2026-01-01\"", vec!["create 3"]),
        ("some", "'id' IN (2, 3)", vec!["create 2", "create 3"]),
    ];
    let webhooks: Vec<String> = conditions.iter().map(|(name, text, _)| webhook(name, text)).collect();
    desk.configure(FORM, &webhooks);
    let running = desk.site.start().await;
    desk.sql("insert into incident (id, title) values (1, 'the printer burns')").await;
    desk.sql("update incident set assignee = 'ann' where id = 1").await;
    desk.sql("update incident set status = 5 where id = 1").await;
    desk.sql("delete from incident where id = 1").await;
    desk.sql("insert into incident (id, status) values (2, 5)").await;
    desk.sql(
        "insert into incident (id, assignee, urgency, vip, count, total, due)
         values (3, 'bob', 'high', true, 5, 9, '2025-12-31 23:00:00+00')",
    )
    .await;
    desk.fence(9).await;
    for (name, _, expected) in &conditions {
        desk.wait_for(name, expected).await;
    }
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_begin_or_cease_to_be_entries_are_created_and_deleted() {
    let desk = Desk::open().await;
    let forms = r#"
[[forms]]
name = "Incident"
table = "incident"
where = "'kind' = \"incident\" OR 'kind' = \"fence\""
[[forms]]
name = "Change"
table = "incident"
where = "'kind' = \"change\" AND 'status' < 9"
[[webhooks]]
name = "changes"
form = "Change"
events = ["create", "update", "merge", "delete"]
callback.url = "RECEIVER"
"#;
    desk.configure(forms, &[webhook("incidents", "'title' != \"fence\"")]);
    let running = desk.site.start().await;
    desk.sql("insert into incident (id, kind, title) values (1, 'incident', 'a'), (2, 'change', 'b'), (3, 'else', 'c')")
        .await;
    desk.sql("update incident set title = title || '!'").await;
    desk.sql("update incident set kind = 'change' where id = 1").await;
    desk.sql("update incident set status = 9 where id = 2").await;
    desk.sql("begin; update incident set kind = 'incident' where id = 1; update incident set kind = 'change' where id = 1; commit")
        .await;
    desk.sql("begin; insert into incident (id, kind) values (4, 'change'); update incident set kind = 'else' where id = 4; commit")
        .await;
    desk.sql("delete from incident").await;
    desk.fence(9).await;
    desk.wait_for("incidents", &["create 1", "update 1", "delete 1"]).await;
    desk.wait_for("changes", &["create 2", "update 2", "create 1", "delete 2", "delete 1"]).await;
    let left = bodies(&desk.receiver.arrivals_from(0), "changes")[3].clone();
    assert_eq!((&left["entry"]["title"], &left["entry"]["status"]), (&"b!".into(), &0.into()));
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_judged_is_held_in_order_and_flows_when_the_condition_is_mended() {
    let desk = Desk::open().await;
    desk.configure(FORM, &[webhook("ratio", "'title' != \"fence\" AND 'total' / 'count' >= 2")]);
    let running = desk.site.start().await;
    desk.sql("insert into incident (id, title, total, count) values (1, 'a', 4, 2)").await;
    desk.sql("insert into incident (id, title, total, count) values (2, 'b', 4, 0)").await;
    desk.sql("update incident set count = 1 where id = 2").await;
    desk.sql("update incident set count = 3 where id = 2").await;
    desk.sql("insert into incident (id, title, total, count) values (3, 'c', 9, 2)").await;
    desk.fence(9).await;
    // other entries go on; the later update of the held one waits, the one that does not match is gone
    desk.wait_for("ratio", &["create 1", "create 3"]).await;
    let standing = desk.standing("ratio");
    assert_eq!((&standing["held"], &standing["condition_failures"]), (&2.into(), &1.into()), "{standing}");
    let said = standing["last_condition_failure"].as_str().unwrap();
    assert!(said.contains("division by zero") && said.contains("'total' / 'count'"), "{said}");
    let (_, listed) = desk.site.run(&["queue", "held"]);
    assert!(listed.contains("division by zero"), "{listed}");
    assert!(desk.site.wait_until_ready(true).await.contains("held"));

    // held events survive a kill, and are held as long as nothing is mended
    running.signal("KILL");
    drop(running);
    let running = desk.site.start_again(&[]).await;
    desk.fence(10).await;
    assert_eq!(desk.told("ratio"), ["create 1", "create 3"]);
    assert_eq!(desk.standing("ratio")["held"], 2);

    desk.configure(
        FORM,
        &[webhook("ratio", "'title' != \"fence\" AND ('count' = 0 OR 'total' / 'count' >= 2)")],
    );
    running.signal("HUP");
    desk.wait_for("ratio", &["create 1", "create 3", "create 2", "update 2"]).await;
    let held = bodies(&desk.receiver.arrivals_from(0), "ratio");
    assert_eq!((&held[2]["entry"]["count"], &held[3]["entry"]["count"]), (&0.into(), &1.into()));
    assert_eq!(held[3]["changed"]["count"]["old"], 0);
    desk.wait_until_standing("ratio", |standing| standing["held"] == 0).await;
    assert_eq!(running.stop(), 0);
}

/// Killed again and again while it judges what was held and goes on with what is new: every event that matches
/// comes under one number, the numbers have no gap, and each entry's events are in order.
#[tokio::test(flavor = "multi_thread")]
async fn kills_while_held_events_flow_lose_and_repeat_nothing() {
    const ENTRIES: u64 = 400;
    let desk = Desk::open().await;
    let ratio = |condition: &str| webhook_with("ratio", condition, "in_flight_max = 64");
    desk.configure(FORM, &[ratio("'total' / 'count' >= 0")]);
    let running = desk.site.start().await;
    // large enough to be judged in several pages
    desk.sql(
        "insert into incident (id, total, count, big)
         select g, 1, g % 2, repeat('x', 15000) from generate_series(1, 400) g",
    )
    .await;
    desk.sql("update incident set count = 1").await;
    // of every second entry the insert failed; its update waits behind
    desk.wait_until_standing("ratio", |standing| standing["held"] == ENTRIES).await;
    desk.configure(FORM, &[ratio("'count' = 0 OR 'total' / 'count' >= 0")]);
    running.signal("KILL");
    drop(running);
    for round in 0..8_u64 {
        let running = desk.site.spawn(&[]);
        desk.sql(&format!("update incident set total = {}", round + 2)).await;
        // how far it comes differs from round to round
        tokio::time::sleep(std::time::Duration::from_millis(120 + 45 * round)).await;
        running.signal("KILL");
        drop(running);
        println!("killed with {} held", desk.standing("ratio")["held"]);
    }
    let running = desk.site.start_again(&[]).await;
    // the even half: create, update of the count; the odd half: create, its count stays; then the rounds
    let expected = ENTRIES + ENTRIES / 2 + 8 * ENTRIES;
    // read only when there may be enough: they are large; the witness has its creates beside them
    let enough = (expected + ENTRIES) as usize;
    let wait = desk.receiver.wait_until(|arrivals| {
        arrivals.len() >= enough && bodies(arrivals, "ratio").len() as u64 >= expected
    });
    let arrived = tokio::time::timeout(PATIENCE, wait).await;
    let bodies = bodies(&desk.receiver.arrivals_from(0), "ratio");
    assert!(arrived.is_ok(), "{} of {expected}, {}", bodies.len(), desk.standing("ratio"));
    let sequences: Vec<u64> = bodies.iter().map(|body| body["sequence"].as_u64().unwrap()).collect();
    assert_eq!(sequences, (1..=expected).collect::<Vec<_>>());
    let mut histories: std::collections::BTreeMap<u64, Vec<String>> = std::collections::BTreeMap::new();
    for body in &bodies {
        let (event, entry) = (body["event"].as_str().unwrap(), &body["entry"]);
        let history = histories.entry(entry["id"].as_u64().unwrap()).or_default();
        history.push(format!("{event} {}/{}", entry["total"], entry["count"]));
    }
    let rounds = (2..10).map(|total| format!("update {total}/1"));
    let even: Vec<String> =
        ["create 1/0", "update 1/1"].map(str::to_owned).into_iter().chain(rounds.clone()).collect();
    let odd: Vec<String> = ["create 1/1".to_owned()].into_iter().chain(rounds).collect();
    assert_eq!(histories.len() as u64, ENTRIES);
    for (id, history) in histories {
        assert_eq!(history, if id % 2 == 0 { even.clone() } else { odd.clone() }, "entry {id}");
    }
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_the_table_no_longer_fits_holds_its_events_until_it_does() {
    let desk = Desk::open().await;
    desk.configure(FORM, &[webhook("titles", "'title' LIKE \"x%\""), webhook("others", "'id' < 5")]);
    let running = desk.site.start().await;
    desk.sql("insert into incident (id, title) values (1, 'x1')").await;
    desk.wait_for("titles", &["create 1"]).await;
    desk.sql("alter table incident rename column title to headline").await;
    desk.sql("insert into incident (id, headline) values (2, 'x2'), (3, 'y3')").await;
    desk.sql("update incident set headline = 'x3' where id = 3").await;
    // the other webhook goes on
    desk.wait_for("others", &["create 1", "create 2", "create 3", "update 3"]).await;
    let standing = desk.wait_until_standing("titles", |standing| standing["held"] == 3).await;
    assert_eq!(standing["state"], "broken", "{standing}");
    running.wait_until_logged("the webhook is broken").await;
    assert_eq!(desk.told("titles"), ["create 1"]);

    // mended from the table's side
    desk.sql("alter table incident rename column headline to title").await;
    desk.sql("update incident set status = 1 where id = 1").await;
    desk.wait_for("titles", &["create 1", "create 2", "update 3", "update 1"]).await;
    let standing = desk.wait_until_standing("titles", |standing| standing["held"] == 0).await;
    assert_eq!(standing["state"], "enabled", "{standing}");

    // and from the condition's
    desk.sql("alter table incident rename column title to headline").await;
    desk.sql("insert into incident (id, headline) values (4, 'x4')").await;
    desk.wait_until_standing("titles", |standing| standing["held"] == 1).await;
    desk.configure(FORM, &[webhook("titles", "'headline' LIKE \"x%\""), webhook("others", "'id' < 5")]);
    running.signal("HUP");
    desk.wait_for("titles", &["create 1", "create 2", "update 3", "update 1", "create 4"]).await;
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn conditions_that_do_not_fit_are_refused_when_they_are_loaded() {
    let desk = Desk::open().await;
    desk.configure(FORM, &[webhook("bad", "'titel' = \"x\" AND 'Status' = \"Opne\"")]);
    let (code, output) = desk.site.run(&["setup", "--apply"]);
    assert_eq!(code, 0, "{output}");
    let running = desk.site.spawn(&[]);
    running.wait_until_logged("did you mean 'title'").await;
    running.wait_until_logged("Opne").await;
    desk.configure(FORM, &[webhook("good", "'title' = \"x\"")]);
    running.signal("HUP");
    desk.site.wait_until_ready(true).await;
    desk.sql("insert into incident (id, title) values (1, 'x')").await;
    desk.wait_for("good", &["create 1"]).await;

    desk.configure(FORM, &[webhook("good", "'titel' = \"x\"")]);
    running.signal("HUP");
    running.wait_until_logged("refused").await;
    desk.sql("insert into incident (id, title) values (2, 'x')").await;
    desk.wait_for("good", &["create 1", "create 2"]).await;
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_condition_that_always_fails_makes_the_webhook_broken() {
    let desk = Desk::open().await;
    desk.configure(FORM, &[webhook("zero", "'id' > 0 AND 'id' / 'status' = 1")]);
    let running = desk.site.start().await;
    desk.sql("insert into incident (id, title) select g, 'x' from generate_series(1, 150) g").await;
    desk.sql("insert into incident (id, status) values (200, 200)").await;
    desk.wait_until_standing("zero", |standing| standing["state"] == "broken" && standing["held"] == 151)
        .await;
    desk.configure(FORM, &[webhook("zero", "'id' = 100 OR 'id' = 200")]);
    running.signal("HUP");
    desk.wait_for("zero", &["create 100", "create 200"]).await;
    desk.wait_until_standing("zero", |standing| standing["state"] == "enabled" && standing["held"] == 0)
        .await;
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_that_were_apart_do_not_make_a_webhook_broken_when_they_are_judged_again() {
    let desk = Desk::open().await;
    desk.configure(FORM, &[webhook("zero", "'id' > 0 AND 'id' / 'status' >= 1")]);
    let running = desk.site.start().await;
    // every second one fails, and 150 failures are held one behind the other
    desk.sql("insert into incident (id, status) select g, g % 2 from generate_series(1, 300) g").await;
    desk.wait_until_standing("zero", |standing| standing["held"] == 150).await;
    running.signal("HUP");
    running.wait_until_logged("was taken over").await;
    desk.sql("insert into incident (id, status) values (301, 1)").await;
    let wait = desk.receiver.wait_until(|arrivals| told(arrivals, "zero").contains(&"create 301".to_owned()));
    tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{}", desk.standing("zero")));
    let standing = desk.standing("zero");
    assert_eq!((&standing["state"], &standing["held"]), (&"enabled".into(), &150.into()), "{standing}");
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_beyond_the_backlogs_limit_is_a_dead_range_in_the_end() {
    let desk = Desk::open().await;
    let limited = |condition| webhook_with("zero", condition, "backlog_bytes_max = \"200KiB\"");
    desk.configure(FORM, &[limited("'id' / 'status' = 1")]);
    let running = desk.site.start().await;
    // one large transaction, staged on disk
    desk.sql("insert into incident (id, title) select g, repeat('x', 1000) from generate_series(1, 20000) g")
        .await;
    let standing = desk.wait_until_standing("zero", |standing| standing["held"] == 20_000).await;
    assert!(standing["held_bytes"].as_u64().unwrap() <= 200 << 10, "{standing}");
    desk.configure(FORM, &[limited("'id' <= 3")]);
    running.signal("HUP");
    desk.wait_for("zero", &["create 1", "create 2", "create 3"]).await;
    let standing = desk.wait_until_standing("zero", |standing| standing["held"] == 0).await;
    let dead = standing["dead"].as_u64().unwrap();
    assert!(dead > 19_000, "{standing}");
    assert_eq!(standing["next_sequence"].as_u64().unwrap(), 3 + dead + 1, "{standing}");
    desk.sql("insert into incident (id, status) values (0, 1)").await;
    let wait = desk.receiver.wait_until(|arrivals| told(arrivals, "zero").contains(&"create 0".to_owned()));
    tokio::time::timeout(PATIENCE, wait).await.unwrap();
    let last = bodies(&desk.receiver.arrivals_from(0), "zero").pop().unwrap();
    assert_eq!(last["sequence"].as_u64().unwrap(), 3 + dead + 1);
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_vanishes_when_the_webhook_no_longer_listens_to_it() {
    let desk = Desk::open().await;
    desk.configure(FORM, &[webhook("zero", "'id' / 'status' = 1")]);
    let running = desk.site.start().await;
    desk.sql("insert into incident (id) values (1), (2)").await;
    desk.sql("update incident set title = 'x' where id = 1").await;
    desk.wait_until_standing("zero", |standing| standing["held"] == 3).await;
    let updates = webhook("zero", "'id' = 1 OR 'id' = 2").replace("\"create\", \"update\"", "\"update\"");
    desk.configure(FORM, &[updates]);
    running.signal("HUP");
    desk.wait_for("zero", &["update 1"]).await;
    desk.wait_until_standing("zero", |standing| standing["held"] == 0).await;
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_for_a_webhook_goes_with_it() {
    let desk = Desk::open().await;
    desk.configure(FORM, &[webhook("zero", "'id' / 'status' = 1")]);
    let running = desk.site.start().await;
    desk.sql("insert into incident (id) values (1), (2)").await;
    desk.wait_until_standing("zero", |standing| standing["held"] == 2).await;
    desk.configure(FORM, &[]);
    running.signal("HUP");
    desk.wait_until_standing("zero", |standing| standing["state"] == "orphaned").await;
    let (code, output) = desk.site.run(&["webhooks", "delete", "zero", "--yes"]);
    assert_eq!(code, 0, "{output}");
    let (_, listed) = desk.site.run(&["queue", "held", "--json"]);
    assert_eq!(serde_json::from_str::<Value>(&listed).unwrap()["held"], serde_json::json!([]), "{listed}");
    assert_eq!(running.stop(), 0);
}
