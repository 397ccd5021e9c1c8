//! What an operator does: gaps, slots of others, a new configuration at run time, dead letters.

use crate::running::{PATIENCE, Site};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};
use walhook::demo::receiver::{Answer, Arrival, Receiver};

const SCHEMA: &str =
    "create table ticket (id integer primary key, title text); alter table ticket replica identity full";

const CONFIG: &str = r#"
[[forms]]
table = "ticket"
[[webhooks]]
name = "all"
form = "ticket"
events = ["create", "update", "delete"]
schedule = ["200ms", "200ms"]
callback.url = "RECEIVER"
"#;

/// A receiver whose answer can be turned.
pub(crate) struct Endpoint {
    receiver: Receiver,
    status: Arc<AtomicU16>,
}

impl Endpoint {
    pub(crate) async fn start() -> Self {
        let status = Arc::new(AtomicU16::new(200));
        let answer = Arc::clone(&status);
        let judge = Arc::new(move |_: &_| Answer::Status(answer.load(Ordering::Relaxed)));
        Self { receiver: Receiver::start(100_000, judge).await.unwrap(), status }
    }

    pub(crate) fn answers(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    pub(crate) fn url(&self) -> String {
        self.receiver.url("/hook")
    }

    /// The request that arrived last.
    pub(crate) fn last_request(&self) -> walhook::demo::receiver::Request {
        self.receiver.arrivals_from(0).pop().unwrap().request
    }

    /// The entries that arrived and were accepted, without repeats.
    fn accepted(&self) -> BTreeSet<(String, String)> {
        accepted(&self.receiver.arrivals_from(0))
    }

    pub(crate) async fn wait_for(&self, webhook: &str, entry: &str) {
        let wanted = (webhook.to_owned(), entry.to_owned());
        let wait = self.receiver.wait_until(|arrivals| accepted(arrivals).contains(&wanted));
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("{wanted:?} does not arrive"));
    }
}

/// The webhooks and entries of what was accepted.
fn accepted(arrivals: &[Arrival]) -> BTreeSet<(String, String)> {
    let bodies = arrivals.iter().filter(|arrival| arrival.is_accepted()).map(|arrival| {
        let body: Value = serde_json::from_slice(&arrival.request.body).unwrap();
        (body["webhook"].as_str().unwrap().to_owned(), body["entry_id"].as_str().unwrap().to_owned())
    });
    bodies.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_vanished_is_a_gap_until_somebody_accepts_it() {
    let endpoint = Endpoint::start().await;
    let site = Site::new(SCHEMA).await;
    site.configure(&CONFIG.replace("RECEIVER", &endpoint.url()));
    let running = site.start().await;
    let session = site.session().await;
    session.batch_execute("insert into ticket values (1)").await.unwrap();
    endpoint.wait_for("all", "1").await;
    assert_eq!(running.stop(), 0);

    session
        .batch_execute("select pg_drop_replication_slot('walhook'); insert into ticket values (2)")
        .await
        .unwrap();
    let running = site.spawn(&[]);
    let said = site.wait_until_it_says("changes may be missing").await;
    assert!(said.contains("resume --accept-gap"), "{said}");

    let (code, output) = site.run(&["resume", "--accept-gap"]);
    assert_eq!(code, 0, "{output}");
    site.wait_until_ready(true).await;
    session.batch_execute("insert into ticket values (3)").await.unwrap();
    endpoint.wait_for("all", "3").await;
    assert!(!endpoint.accepted().contains(&("all".into(), "2".into())), "it was in the gap");
    assert_eq!(running.stop(), 0);
}

/// The server had removed the log that the slot needed. `run` asked for `resume --accept-gap`, which said that
/// there was no gap: nothing told that the slot has to go first.
#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_the_server_invalidated_is_dropped_and_then_a_gap() {
    let endpoint = Endpoint::start().await;
    let site = Site::new(SCHEMA).await;
    site.configure(&CONFIG.replace("RECEIVER", &endpoint.url()));
    site.start().await.stop();
    let session = site.session().await;
    session.batch_execute("alter system set max_slot_wal_keep_size = '1MB'").await.unwrap();
    session.batch_execute("select pg_reload_conf(); create table other (a int)").await.unwrap();
    let started = Instant::now();
    let lost = "select count(*) from pg_replication_slots where wal_status = 'lost'";
    while session.query_one(lost, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(started.elapsed() < PATIENCE, "the slot lives on");
        session.batch_execute("insert into other values (1); select pg_switch_wal()").await.unwrap();
        session.batch_execute("checkpoint").await.unwrap();
    }
    let drop = "select pg_drop_replication_slot('walhook')";
    let (code, output) = site.run(&["resume", "--accept-gap"]);
    assert!(code != 0 && output.contains(drop), "{code} {output}");
    session.batch_execute(drop).await.unwrap();
    let (code, output) = site.run(&["resume", "--accept-gap"]);
    assert_eq!(code, 0, "{output}");
    let running = site.start_again(&[]).await;
    session.batch_execute("insert into ticket values (1)").await.unwrap();
    endpoint.wait_for("all", "1").await;
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_was_moved_by_somebody_else_is_a_gap() {
    let endpoint = Endpoint::start().await;
    let site = Site::new(SCHEMA).await;
    site.configure(&CONFIG.replace("RECEIVER", &endpoint.url()));
    site.start().await.stop();
    let session = site.session().await;
    session.batch_execute("insert into ticket values (1)").await.unwrap();
    let advance = "select pg_replication_slot_advance('walhook', pg_current_wal_lsn())";
    session.batch_execute(advance).await.unwrap();
    let running = site.spawn(&[]);
    site.wait_until_it_says("ahead of our position").await;
    drop(running);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_of_others_is_not_taken_unless_asked_for() {
    let endpoint = Endpoint::start().await;
    let site = Site::new(SCHEMA).await;
    site.configure(&CONFIG.replace("RECEIVER", &endpoint.url()));
    assert_eq!(site.run(&["setup", "--apply"]).0, 0);
    let session = site.session().await;
    let make = "select pg_create_logical_replication_slot('walhook', 'pgoutput')";
    session.batch_execute(make).await.unwrap();
    session.batch_execute("insert into ticket values (1)").await.unwrap();
    let running = site.spawn(&[]);
    running.wait_until_logged("--adopt-slot").await;
    assert_eq!(running.stop(), 0);
    let running = site.start_again(&["--adopt-slot"]).await;
    endpoint.wait_for("all", "1").await;
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_configuration_is_taken_over_and_a_bad_one_refused() {
    let endpoint = Endpoint::start().await;
    let site = Site::new(SCHEMA).await;
    let config = CONFIG.replace("RECEIVER", &endpoint.url());
    site.configure(&config);
    let running = site.start().await;
    let session = site.session().await;
    session.batch_execute("insert into ticket values (1)").await.unwrap();
    endpoint.wait_for("all", "1").await;

    site.configure(&format!("{config}\n[[webhooks]]\nname = \"bad\"\nformm = \"ticket\"\n"));
    running.signal("HUP");
    running.wait_until_logged("formm").await;
    session.batch_execute("insert into ticket values (2)").await.unwrap();
    endpoint.wait_for("all", "2").await;

    let second = config.split("[[webhooks]]").nth(1).unwrap().replace("\"all\"", "\"second\"");
    site.configure(&format!("{config}\n[[webhooks]]{second}"));
    running.signal("HUP");
    let started = Instant::now();
    for id in 3.. {
        // an entry for each try: which transaction is the first for the new webhook is open
        session.batch_execute(&format!("insert into ticket values ({id})")).await.unwrap();
        endpoint.wait_for("all", &id.to_string()).await;
        if endpoint.accepted().iter().any(|(webhook, _)| webhook == "second") {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{}", running.log());
    }
    assert_eq!(running.stop(), 0);
    let repeats = endpoint.receiver.arrivals_from(0).len() - endpoint.accepted().len();
    assert_eq!(repeats, 0, "nothing is sent twice");
}

/// Two forms shared a table. When the column that one of them had its entry id from was dropped, the changes of
/// the other went to the quarantine, too.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_form_does_not_harm_another_one_of_its_table() {
    let endpoint = Endpoint::start().await;
    let site = Site::new(SCHEMA).await;
    let config = CONFIG.replace("RECEIVER", &endpoint.url());
    let by_title = "[[forms]]\nname = \"by title\"\ntable = \"ticket\"\nentry_id = [\"title\"]\n";
    site.configure(&format!("{by_title}{config}"));
    let running = site.start().await;
    let session = site.session().await;
    session.batch_execute("insert into ticket values (1, 'x')").await.unwrap();
    endpoint.wait_for("all", "1").await;
    session.batch_execute("alter table ticket drop column title").await.unwrap();
    session.batch_execute("insert into ticket values (2)").await.unwrap();
    endpoint.wait_for("all", "2").await;
    let reasons = site.wait_until_ready(false).await;
    assert!(reasons.contains("by title"), "{reasons}");
    assert_eq!(running.stop(), 0);
}

/// A webhook was disabled and soon enabled again, and got the changes of in between: they had been read, but their
/// position was not stored yet, and so they were read again for the new configuration.
#[tokio::test(flavor = "multi_thread")]
async fn changes_that_a_disabled_webhook_missed_do_not_come_when_it_is_enabled() {
    let endpoint = Endpoint::start().await;
    let site = Site::new(SCHEMA).await;
    let config = CONFIG.replace("RECEIVER", &endpoint.url());
    site.configure(&config.replace("form = \"ticket\"", "form = \"ticket\"\nenabled = false"));
    let running = site.start().await;
    let session = site.session().await;
    session.batch_execute("insert into ticket values (1)").await.unwrap();
    let read =
        "select coalesce(bool_and(write_lsn >= pg_current_wal_insert_lsn()), false) from pg_stat_replication";
    let started = Instant::now();
    while !session.query_one(read, &[]).await.unwrap().get::<_, bool>(0) {
        assert!(started.elapsed() < PATIENCE, "it is not read");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    site.configure(&config);
    running.signal("HUP");
    for id in 2.. {
        // which transaction is the first for the enabled webhook is open
        session.batch_execute(&format!("insert into ticket values ({id})")).await.unwrap();
        tokio::time::sleep(Duration::from_millis(200)).await;
        if !endpoint.accepted().is_empty() {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "{}", running.log());
    }
    assert_eq!(running.stop(), 0);
    assert!(!endpoint.accepted().contains(&("all".into(), "1".into())), "it was disabled then");
}

/// A new form with a slip in its table's name was taken over with the file, and capture stopped for all forms.
#[tokio::test(flavor = "multi_thread")]
async fn a_new_configuration_whose_forms_do_not_fit_the_database_is_refused() {
    let endpoint = Endpoint::start().await;
    let site = Site::new(SCHEMA).await;
    let config = CONFIG.replace("RECEIVER", &endpoint.url());
    site.configure(&config);
    let running = site.start().await;
    site.configure(&format!("[[forms]]\ntable = \"tickets\"\n{config}"));
    running.signal("HUP");
    running.wait_until_logged("did you mean ticket?").await;
    site.wait_until_ready(true).await;
    let session = site.session().await;
    session.batch_execute("insert into ticket values (1)").await.unwrap();
    endpoint.wait_for("all", "1").await;
    assert!(!running.log().contains("a task failed"), "{}", running.log());
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_letter_is_listed_shown_replayed_and_dropped() {
    let endpoint = Endpoint::start().await;
    endpoint.answers(500);
    let site = Site::new(SCHEMA).await;
    site.configure(&CONFIG.replace("RECEIVER", &endpoint.url()));
    let running = site.start().await;
    let session = site.session().await;
    session.batch_execute("insert into ticket values (1, 'x')").await.unwrap();
    session.batch_execute("insert into ticket values (2, 'y')").await.unwrap();
    let dead = ["--json", "deliveries", "list", "--state", "dead"];
    let started = Instant::now();
    let listed: Value = loop {
        let (code, output) = site.run(&dead);
        assert_eq!(code, 0, "{output}");
        let mut listed: Value = serde_json::from_str(&output).unwrap_or_else(|_| panic!("{output}"));
        let listed = listed["deliveries"].take();
        if listed.as_array().is_some_and(|list| list.len() == 2) {
            break listed;
        }
        assert!(started.elapsed() < PATIENCE, "{output}\n{}", running.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(listed[0]["attempts"], 3);
    let number = |entry: &str| {
        let found = listed.as_array().unwrap().iter().find(|one| one["entry_id"] == entry).unwrap();
        format!("{}/{}", found["webhook_id"], found["sequence"])
    };
    let (code, shown) = site.run(&["deliveries", "show", &number("1")]);
    assert_eq!(code, 0, "{shown}");
    assert!(shown.contains("500"), "{shown}");

    endpoint.answers(200);
    let (code, output) = site.run(&["deliveries", "replay", &number("1")]);
    assert_eq!(code, 0, "{output}");
    endpoint.wait_for("all", "1").await;
    let arrivals = endpoint.receiver.arrivals_from(0);
    let of_one: Vec<_> = arrivals
        .iter()
        .filter(|arrival| String::from_utf8_lossy(&arrival.request.body).contains("\"entry_id\":\"1\""))
        .collect();
    let ids: BTreeSet<_> = of_one.iter().map(|arrival| arrival.request.header("webhook-id")).collect();
    assert_eq!(ids.len(), 1);
    let bodies: BTreeSet<_> = of_one.iter().map(|arrival| &arrival.request.body).collect();
    assert_eq!(bodies.len(), 1, "the body never changes");
    assert_eq!(of_one.last().unwrap().request.header("walhook-replay"), Some("1"));
    assert_eq!(of_one.last().unwrap().request.header("walhook-attempt"), Some("4"));

    let (code, output) = site.run(&["deliveries", "drop", "--yes", &number("2")]);
    assert_eq!(code, 0, "{output}");
    let (_, output) = site.run(&dead);
    assert_eq!(serde_json::from_str::<Value>(&output).unwrap()["deliveries"], serde_json::json!([]));
    assert_eq!(site.run(&["queue", "quarantine"]), (0, "nothing was put aside\n".into()));
    let copy = site.folder.path().join("copy.db");
    let (code, output) = site.run(&["queue", "backup", copy.to_str().unwrap()]);
    assert_eq!(code, 0, "{output}");
    assert!(fs::metadata(copy).unwrap().len() > 0);
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_form_that_never_fitted_its_table_loses_nothing_until_it_is_mended() {
    let endpoint = Endpoint::start().await;
    let site = Site::new(SCHEMA).await;
    let config = CONFIG.replace("RECEIVER", &endpoint.url());
    site.configure(&config);
    assert_eq!(site.run(&["setup", "--apply"]).0, 0);
    site.configure(&config.replace("table = \"ticket\"", "name = \"ticket\"\ntable = \"tiket\""));
    let running = site.spawn(&[]);
    site.wait_until_it_says("tiket").await;
    site.session().await.batch_execute("insert into ticket values (1)").await.unwrap();
    assert_eq!(running.stop(), 0);
    site.configure(&config);
    let running = site.start_again(&[]).await;
    endpoint.wait_for("all", "1").await;
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_publication_that_was_made_anew_is_a_gap_until_somebody_accepts_it() {
    let endpoint = Endpoint::start().await;
    let site = Site::new(SCHEMA).await;
    site.configure(&CONFIG.replace("RECEIVER", &endpoint.url()));
    let running = site.start().await;
    let session = site.session().await;
    session.batch_execute("insert into ticket values (1)").await.unwrap();
    endpoint.wait_for("all", "1").await;
    assert_eq!(running.stop(), 0);
    session.batch_execute("drop publication walhook").await.unwrap();
    // nobody publishes this one
    session.batch_execute("insert into ticket values (2)").await.unwrap();
    session.batch_execute("create publication walhook for table ticket").await.unwrap();
    let running = site.spawn(&[]);
    site.wait_until_it_says("resume --accept-gap").await;
    let (code, output) = site.run(&["resume", "--accept-gap"]);
    assert_eq!(code, 0, "{output}\n{}", running.log());
    site.wait_until_ready(true).await;
    session.batch_execute("insert into ticket values (3)").await.unwrap();
    endpoint.wait_for("all", "3").await;
    assert_eq!(running.stop(), 0);
}
