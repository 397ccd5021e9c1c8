//! Webhooks that are registered while walhook runs, by ordinary SQL.

use crate::receiver::{Receiver, Reply};
use crate::running::{PATIENCE, Running, Site};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;
use walhook::postgres::{Address, Session};
use walhook::registry::{Door, Registered, Registrar};
use walhook::sealing::{Keys, SealingKey};

const TICKETS: &str = "create table ticket (id bigint generated always as identity primary key, state text)";

pub(crate) const CONFIG: &str = r#"
[dispatch]
allow = ["127.0.0.0/8"]
schedule = ["200ms", "200ms", "200ms"]
[[forms]]
table = "ticket"
"#;

/// What registers webhooks where no database answers.
pub(crate) fn registrar_of_nobody() -> Registrar {
    let address = Address::parse("postgres://nobody@127.0.0.1:1/nowhere").unwrap();
    Registrar {
        door: Door::new(address, "walhook"),
        interpreter: watch::channel(walhook::capture::Registry::default().interpreter).1,
        keys: watch::channel(Arc::new(Keys::new(vec![SealingKey::generate()]).unwrap())).1,
        registered: Registered::default(),
    }
}

/// A site with the registration table, and walhook on it.
pub(crate) async fn start(config: &str) -> (Site, Running) {
    let site = Site::new(TICKETS).await;
    site.configure(config);
    let (code, output) = site.run(&["setup", "--apply", "--registration"]);
    assert_eq!(code, 0, "{output}");
    let running = site.start_again(&[]).await;
    (site, running)
}

/// Each statement in a transaction of its own: several in one call would share one.
pub(crate) async fn one_by_one(session: &Session, statements: &[&str]) {
    for statement in statements {
        session.batch_execute(statement).await.unwrap();
    }
}

async fn number(session: &Session, statement: &str) -> i64 {
    session.query_one(statement, &[]).await.unwrap().get(0)
}

/// What `walhook.status` says of a webhook, once it says something in the given state.
async fn status(session: &Session, id: i64, state: &str) -> String {
    let started = Instant::now();
    loop {
        let row = session
            .query_one("select state, coalesce(last_error, '') from walhook.status where id = $1", &[&id])
            .await
            .unwrap();
        let (now, error): (String, String) = (row.get(0), row.get(1));
        if now == state {
            return error;
        }
        assert!(started.elapsed() < PATIENCE, "webhook {id} is {now} ({error}), not {state}");
        // another process writes it
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until a receiver has had so many requests.
pub(crate) async fn arrived(receiver: &Receiver, count: usize) {
    let started = Instant::now();
    while receiver.count() < count {
        assert!(started.elapsed() < PATIENCE, "{} of {count} have arrived", receiver.count());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn entries(receiver: &Receiver) -> Vec<String> {
    receiver.requests().iter().map(|one| one.json()["entry_id"].as_str().unwrap().to_owned()).collect()
}

// R-AR-30 R-AR-83
// R-AR-12
#[tokio::test]
async fn a_row_in_psql_is_enough_to_get_webhooks() {
    let (site, walhook) = start(CONFIG).await;
    let (session, receiver) = (site.session().await, Receiver::start().await);
    let url = receiver.url();
    session.batch_execute("insert into ticket (state) values ('before')").await.unwrap();
    // the same transaction's own changes are not meant, those of the next one are
    let registered = format!(
        "begin; insert into ticket (state) values ('with it');
         insert into walhook.webhook (form, events, url) values ('ticket', '{{create}}', '{url}');
         insert into ticket (state) values ('with it, behind'); commit;
         insert into ticket (state) values ('first')"
    );
    session.batch_execute(&registered).await.unwrap();
    arrived(&receiver, 1).await;
    assert_eq!(entries(&receiver), ["4"]);
    let first = receiver.requests()[0].json();
    assert_eq!(
        (&first["webhook"], &first["sequence"]),
        (&Value::from("webhook 1"), &Value::from(1)),
        "{first}"
    );
    assert_eq!(status(&session, 1, "enabled").await, "");

    // changes of a registration count as they are committed, too
    one_by_one(
        &session,
        &[
            "update walhook.webhook set condition = $$'state' = \"wanted\"$$",
            "insert into ticket (state) values ('unwanted'), ('wanted')",
        ],
    )
    .await;
    arrived(&receiver, 2).await;
    assert_eq!(entries(&receiver), ["4", "6"]);
    assert_eq!(receiver.requests()[1].sequence(), 2);

    // and outlive walhook
    drop(walhook);
    session.batch_execute("insert into ticket (state) values ('wanted')").await.unwrap();
    let walhook = site.start_again(&[]).await;
    arrived(&receiver, 3).await;
    assert_eq!(entries(&receiver), ["4", "6", "7"]);
    assert_eq!(receiver.requests()[2].sequence(), 3);
    assert_eq!(walhook.stop(), 0);
}

/// Some events of one form and others of another in one webhook; what is neither is not sent.
// R-CG-01 R-CG-04 R-CG-05 R-CG-17 R-CG-18 R-IT-26 R-XU-27
#[tokio::test]
async fn pairs_of_form_and_event_are_sent_and_nothing_else() {
    let config = format!("{CONFIG}noun = \"incident\"\n[[forms]]\ntable = \"ci\"\n");
    let site = Site::new(&format!("{TICKETS}; create table ci (id int primary key, state text)")).await;
    site.configure(&config);
    assert_eq!(site.run(&["setup", "--apply", "--registration"]).0, 0);
    let walhook = site.start_again(&[]).await;
    let (session, receiver) = (site.session().await, Receiver::start().await);
    let url = receiver.url();
    one_by_one(
        &session,
        &[
            &format!(
                "insert into walhook.webhook (events, url) values ('{{incident.create,ci.update}}', '{url}')"
            ),
            &format!(
                "insert into walhook.webhook (form, events, url) values ('*', '{{delete}}', '{url}/all')"
            ),
            "insert into ci values (7, 'new')",
            "insert into ticket (state) values ('new')",
            "update ticket set state = 'old'",
            "update ci set state = 'old'",
            "delete from ci",
            "delete from ticket",
        ],
    )
    .await;
    arrived(&receiver, 4).await;
    let told = |one: &crate::receiver::Request| {
        let body = one.json();
        let text = |name: &str| body[name].as_str().unwrap().to_owned();
        format!("{} {}.{}", text("webhook"), text("noun"), text("event"))
    };
    let mut all: Vec<String> = receiver.requests().iter().map(told).collect();
    all.sort_unstable();
    let expected = [
        "webhook 1 ci.update",
        "webhook 1 incident.create",
        "webhook 2 ci.delete",
        "webhook 2 incident.delete",
    ];
    assert_eq!(all, expected);
    session
        .batch_execute("insert into walhook.webhook (events, url) values ('{create}', 'https://a.example/')")
        .await
        .unwrap();
    assert!(status(&session, 3, "refused").await.contains("listens to no form"));
    assert_eq!(walhook.stop(), 0);
}

#[tokio::test]
async fn the_table_can_be_made_while_walhook_runs() {
    let site = Site::new(TICKETS).await;
    site.configure(CONFIG);
    let walhook = site.start().await;
    let (session, receiver) = (site.session().await, Receiver::start().await);
    let (code, output) = site.run(&["setup", "--apply", "--registration"]);
    assert_eq!(code, 0, "{output}");
    let insert = format!(
        "insert into walhook.webhook (form, events, url) values ('ticket', '{{create}}', '{}')",
        receiver.url()
    );
    one_by_one(
        &session,
        &["insert into ticket (state) values ('1')", &insert, "insert into ticket (state) values ('2')"],
    )
    .await;
    arrived(&receiver, 1).await;
    assert_eq!(entries(&receiver), ["2"]);
    status(&session, 1, "enabled").await;
    // nothing is left of it when it is removed, and the file's webhooks go on
    session.batch_execute("truncate walhook.webhook cascade").await.unwrap();
    walhook.wait_until_logged("a webhook was deleted").await;
    assert_eq!(walhook.stop(), 0);
    let (code, output) = site.run(&["teardown", "--apply"]);
    assert_eq!(code, 0, "{output}");
    assert_eq!(number(&session, "select count(*) from pg_namespace where nspname = 'walhook'").await, 0);
}

/// On a standby, or where the administrator has switched writes off: deliveries go on, and who registers is told.
#[tokio::test]
async fn a_database_that_takes_no_writes_says_so_and_deliveries_go_on() {
    let (site, walhook) = start(CONFIG).await;
    let (session, receiver) = (site.session().await, Receiver::start().await);
    let url = receiver.url();
    let register =
        format!("insert into walhook.webhook (form, events, url) values ('ticket', '{{create}}', '{url}')");
    session.batch_execute(&register).await.unwrap();
    status(&session, 1, "enabled").await;
    session.batch_execute("alter database postgres set default_transaction_read_only = on").await.unwrap();
    drop(walhook);
    let walhook = site.start_again(&[]).await;
    walhook.wait_until_logged("the database takes no writes now").await;
    let (code, said) = site.run(&[
        "webhooks",
        "add",
        "--form",
        "ticket",
        "--event",
        "create",
        "--url",
        "https://a.example/",
    ]);
    assert!(code != 0 && said.contains("the database takes no writes now"), "{said}");
    assert!(said.contains("target_session_attrs=primary"), "{said}");
    // (this session is from before)
    session.batch_execute("insert into ticket (state) values ('heard')").await.unwrap();
    arrived(&receiver, 1).await;
    assert_eq!(walhook.log().matches("registrations are not answered").count(), 1, "{}", walhook.log());
    assert_eq!(walhook.stop(), 0);
}

/// Somebody else's role registers by SQL, and sees and touches nothing that is not for it.
#[tokio::test]
async fn a_role_that_may_register_does_just_that() {
    let site = Site::new(TICKETS).await;
    site.configure(CONFIG);
    let (session, receiver) = (site.session().await, Receiver::start().await);
    session.batch_execute("create role clerk login").await.unwrap();
    let (code, said) = site.run(&["setup", "--apply", "--registration", "--registrar", "clerk"]);
    assert_eq!(code, 0, "{said}");
    let walhook = site.start_again(&[]).await;
    let address = site.cluster.url("postgres").replace("postgres://postgres@", "postgres://clerk@");
    let clerk = walhook::postgres::connect(&Address::parse(&address).unwrap(), "clerk").await.unwrap();
    let who: String = clerk.query_one("select current_user::text", &[]).await.unwrap().get(0);
    assert_eq!(who, "clerk");
    let url = receiver.url();
    let register =
        format!("insert into walhook.webhook (form, events, url) values ('ticket', '{{create}}', '{url}')");
    clerk.batch_execute(&register).await.unwrap();
    assert_eq!(status(&clerk, 1, "enabled").await, "");
    session.batch_execute("insert into ticket (state) values ('1')").await.unwrap();
    arrived(&receiver, 1).await;
    clerk.batch_execute("update walhook.webhook set enabled = false").await.unwrap();
    status(&clerk, 1, "disabled").await;
    for refused in [
        "select * from ticket",
        "update walhook.webhook_state set state = 'well'",
        "delete from walhook.webhook_state",
        "select * from walhook.policy",
        "alter table walhook.webhook add column a int",
        "drop schema walhook cascade",
        "alter publication walhook drop table walhook.webhook",
        "create table walhook.mine (a int)",
    ] {
        let said = clerk.batch_execute(refused).await.unwrap_err();
        let code = said.code().map_or("", tokio_postgres::error::SqlState::code);
        assert_eq!(code, "42501", "{refused}: {said:?}");
    }
    // who may not look at policies may name one
    one_by_one(
        &session,
        &["insert into walhook.policy (name, jwt_alg, key) values ('a', 'hs256', 'sealed:v1:0:x')"],
    )
    .await;
    clerk.batch_execute("update walhook.webhook set webhook_policy = 1").await.unwrap();
    let named = number(&clerk, "select (signing ->> 'id')::bigint from walhook.webhook").await;
    assert_eq!(named, 1);
    clerk.batch_execute("delete from walhook.webhook").await.unwrap();
    // said once more it does no harm
    assert_eq!(site.run(&["setup", "--apply", "--registrar", "clerk"]).0, 0);
    assert_eq!(walhook.stop(), 0);
}

/// The table was made by hand and written to, and published later: those rows had never come by, and nobody said so.
#[tokio::test]
async fn what_was_written_before_the_table_is_published_is_not_forgotten() {
    let (session, receiver);
    let site = Site::new(TICKETS).await;
    session = site.session().await;
    receiver = Receiver::start().await;
    site.configure(CONFIG);
    let walhook = site.start().await;
    session.batch_execute(include_str!("../../sql/registration.sql")).await.unwrap();
    let register = |form: &str| {
        let url = receiver.url();
        format!("insert into walhook.webhook (form, events, url) values ('{form}', '{{create}}', '{url}')")
    };
    session.batch_execute(&register("ticket")).await.unwrap();
    let (_, said) = site.run(&["check"]);
    assert!(said.contains("walhook does not see what stands in it"), "{said}");
    let (code, said) = site.run(&["setup", "--apply"]);
    assert_eq!(code, 0, "{said}");
    status(&session, 1, "enabled").await;
    session.batch_execute("insert into ticket (state) values ('heard')").await.unwrap();
    arrived(&receiver, 1).await;
    let (_, said) = site.run(&["check"]);
    assert!(!said.contains("not known to walhook"), "{said}");

    // published by hand, without a word to walhook
    one_by_one(
        &session,
        &[
            "alter publication walhook drop table walhook.webhook",
            &register("ticket"),
            "alter publication walhook add table walhook.webhook",
        ],
    )
    .await;
    let (_, said) = site.run(&["check"]);
    assert!(said.contains("webhooks 2 are not known to walhook"), "{said}");
    let remedy = "update walhook.webhook set id = id where id in (2);";
    assert!(said.contains(remedy), "{said}");
    session.batch_execute(remedy).await.unwrap();
    status(&session, 2, "enabled").await;
    assert_eq!(walhook.stop(), 0);
}

#[tokio::test]
async fn a_row_that_cannot_work_is_answered_within_a_second_and_blocks_nothing() {
    let (site, walhook) = start(CONFIG).await;
    let (session, receiver) = (site.session().await, Receiver::start().await);
    let url = receiver.url();
    for (column, value, says) in [
        ("form", "tickets", "there is no form \"tickets\" (did you mean \"ticket\"?)"),
        ("condition", "'state' = ", "condition"),
        ("format", "arsis", "format"),
        ("events", "{created}", "created"),
        ("timeout", "soon", "timeout"),
        ("authentication", "{\"type\": \"BASIC\"}", "username"),
        ("url", "http://user:password@receiver.example/", "credentials"),
    ] {
        let statement = format!(
            "with new as (select jsonb_build_object('form', 'ticket', 'events', '{{create}}'::text[], 'url', '{url}',
                                                    'enabled', true, 'format', 'native', 'on_exhausted', 'skip',
                                                    'authentication', '{{\"type\": \"NO_AUTH\"}}'::jsonb, 'version', 1,
                                                    'created_at', now(), 'created_by', 'me', 'updated_at', now(),
                                                    'id', nextval('walhook.webhook_id_seq')) || $1::jsonb as row)
             insert into walhook.webhook select (jsonb_populate_record(null::walhook.webhook, row)).* from new
             returning id"
        );
        let value = match column {
            "events" => serde_json::json!({ column: ["created"] }),
            "authentication" => serde_json::json!({ column: serde_json::from_str::<Value>(value).unwrap() }),
            _ => serde_json::json!({ column: value }),
        };
        let started = Instant::now();
        let id: i64 = session.query_one(&statement, &[&value]).await.unwrap().get(0);
        let error = status(&session, id, "refused").await;
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        assert!(error.contains(says), "{column}: {error}");
        assert!(!error.contains("password@"), "{error}");
    }
    // a condition that does not fit its form is found without an event
    let broken = format!(
        "insert into walhook.webhook (form, events, url, condition)
         values ('ticket', '{{create}}', '{url}', $$'colour' = \"red\"$$) returning id"
    );
    let broken = number(&session, &broken).await;
    assert!(status(&session, broken, "broken").await.contains("'colour'"));
    let good =
        format!("insert into walhook.webhook (form, events, url) values ('ticket', '{{create}}', '{url}')");
    session.batch_execute(&good).await.unwrap();
    session.batch_execute("insert into ticket (state) values ('new')").await.unwrap();
    arrived(&receiver, 1).await;
    // mended, what was held goes out
    let mend = format!("update walhook.webhook set condition = $$'state' = \"new\"$$ where id = {broken}");
    session.batch_execute(&mend).await.unwrap();
    arrived(&receiver, 2).await;
    assert_eq!(entries(&receiver), ["1", "1"]);
    assert_eq!(status(&session, broken, "enabled").await, "");
    assert_eq!(walhook.stop(), 0);
}

#[tokio::test]
async fn an_edit_that_cannot_work_leaves_what_worked_in_force_unless_it_says_stop() {
    let (site, walhook) = start(CONFIG).await;
    let (session, receiver) = (site.session().await, Receiver::start().await);
    let insert = format!(
        "insert into walhook.webhook (form, events, url) values ('ticket', '{{create}}', '{}')",
        receiver.url()
    );
    session.batch_execute(&insert).await.unwrap();
    let nonsense = "update walhook.webhook set condition = 'nonsense ='";
    one_by_one(&session, &[nonsense, "insert into ticket (state) values ('1')"]).await;
    arrived(&receiver, 1).await;
    assert!(status(&session, 1, "refused").await.contains("condition"));
    // also after a restart
    drop(walhook);
    session.batch_execute("insert into ticket (state) values ('2')").await.unwrap();
    let walhook = site.start_again(&[]).await;
    arrived(&receiver, 2).await;
    one_by_one(
        &session,
        &[
            "update walhook.webhook set enabled = false",
            "insert into ticket (state) values ('3')",
            "update walhook.webhook set enabled = true, condition = null",
            "insert into ticket (state) values ('4')",
        ],
    )
    .await;
    arrived(&receiver, 3).await;
    assert_eq!(entries(&receiver), ["1", "2", "4"]);
    assert_eq!(walhook.stop(), 0);
}

// R-AR-39 R-CG-19 R-IT-14
#[tokio::test]
async fn a_deleted_webhook_stops_at_once_and_a_disabled_one_keeps_its_queue() {
    let (site, walhook) = start(CONFIG).await;
    let (session, dead, receiver) = (site.session().await, Receiver::start().await, Receiver::start().await);
    dead.script(|_| Reply::status(503));
    let insert = format!(
        "insert into walhook.webhook (name, form, events, url, schedule)
         values ('deleted', 'ticket', '{{create}}', '{0}', '{{1h}}'), ('disabled', 'ticket', '{{create}}', '{0}', '{{1h}}')",
        dead.url()
    );
    session.batch_execute(&insert).await.unwrap();
    session.batch_execute("insert into ticket (state) select 'x' from generate_series(1, 20)").await.unwrap();
    arrived(&dead, 2).await;
    one_by_one(
        &session,
        &["delete from walhook.webhook where id = 1", "update walhook.webhook set enabled = false"],
    )
    .await;
    assert!(!status(&session, 2, "disabled").await.is_empty());
    walhook.wait_until_logged("is dropped").await;
    let (_, listed) = site.run(&["webhooks", "list"]);
    assert!(!listed.contains("deleted"), "{listed}");
    // nothing new is taken while it is disabled; what waits goes where it is led when it is enabled
    session.batch_execute("insert into ticket (state) values ('not taken')").await.unwrap();
    let enable = format!("update walhook.webhook set enabled = true, url = '{}'", receiver.url());
    session.batch_execute(&enable).await.unwrap();
    session.batch_execute("insert into ticket (state) values ('taken')").await.unwrap();
    // nothing of what waited is lost, and what came while it was off is not among it
    let known = "select coalesce(pending + delivered, 0) from walhook.status where id = 2";
    let started = Instant::now();
    while !receiver.requests().iter().any(|request| request.sequence() == 21)
        || number(&session, known).await != 21
    {
        assert!(started.elapsed() < PATIENCE, "{:?}", entries(&receiver));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(!entries(&receiver).contains(&"21".to_owned()) && entries(&receiver).contains(&"22".to_owned()));
    assert_eq!(walhook.stop(), 0);
}

// the receiver answers while a command is waited for
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn webhooks_are_registered_changed_tried_and_deleted_from_the_command_line() {
    let (site, walhook) = start(CONFIG).await;
    let (session, receiver) = (site.session().await, Receiver::start().await);
    let url = receiver.url();
    let well = |arguments: &[&str]| {
        let (code, output) = site.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {output}");
        output
    };
    let added = well(&[
        "webhooks", "add", "--form", "ticket", "--event", "create", "--url", &url, "--name", "pager",
        "--json",
    ]);
    assert_eq!(serde_json::from_str::<Value>(&added).unwrap()["id"], 1, "{added}");
    status(&session, 1, "enabled").await;
    one_by_one(&session, &["insert into ticket (state) values ('1')"]).await;
    arrived(&receiver, 1).await;

    let patch = site.folder.path().join("patch.json");
    std::fs::write(&patch, "{\"condition\": \"'state' = \\\"wanted\\\"\", \"description\": \"nights\"}")
        .unwrap();
    let patch = patch.to_str().unwrap();
    assert!(well(&["webhooks", "edit", "pager", patch]).contains("version 2"));
    one_by_one(
        &session,
        &["insert into ticket (state) values ('2')", "insert into ticket (state) values ('wanted')"],
    )
    .await;
    arrived(&receiver, 2).await;
    assert_eq!(entries(&receiver), ["1", "3"]);

    // what is registered and what became of it, for people and for programs
    let shown = well(&["webhooks", "show", "pager"]);
    for part in [
        "origin                 table",
        "ticket",
        "'state' = \"wanted\"",
        "nights",
        &url,
        "delivered              2",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let json: Value = serde_json::from_str(&well(&["webhooks", "show", "1", "--json"])).unwrap();
    assert_eq!(
        (&json["form"], &json["events"], &json["version"], &json["state"], &json["callback"]["url"]),
        (
            &"ticket".into(),
            &serde_json::json!(["create"]),
            &2.into(),
            &"enabled".into(),
            &url.as_str().into()
        ),
        "{json}"
    );
    // a version that cannot work, and one that never could
    one_by_one(
        &session,
        &[
            "update walhook.webhook set condition = $$'state' =$$",
            "insert into walhook.webhook (form, events, url) values ('tickets', '{create}', 'https://a.example/')",
        ],
    )
    .await;
    status(&session, 1, "refused").await;
    status(&session, 2, "refused").await;
    let listed = well(&["webhooks", "list"]);
    assert!(listed.contains("ticket: create") && listed.matches("refused").count() == 2, "{listed}");
    assert!(listed.contains("did you mean \"ticket\"?"), "{listed}");
    one_by_one(
        &session,
        &[
            "update walhook.webhook set condition = null where id = 1",
            "delete from walhook.webhook where id = 2",
        ],
    )
    .await;
    status(&session, 1, "enabled").await;

    assert!(well(&["webhooks", "test", "1"]).contains("200"));
    receiver.reply(Reply::status(401));
    assert_eq!(site.run(&["webhooks", "test", "pager"]).0, 1);
    receiver.reply(Reply::ok());
    well(&["webhooks", "disable", "pager"]);
    status(&session, 1, "disabled").await;
    well(&["webhooks", "enable", "pager"]);
    status(&session, 1, "enabled").await;
    well(&["webhooks", "delete", "pager", "--yes"]);
    walhook.wait_until_logged("was deleted").await;

    for (arguments, says) in [
        (
            vec!["webhooks", "add", "--form", "tickets", "--event", "create", "--url", &url],
            "did you mean \"ticket\"?",
        ),
        (vec!["webhooks", "add", "--form", "ticket"], "needs a form, an event and a URL"),
        (vec!["webhooks", "edit", "77", patch], "there is no registered webhook 77"),
        (vec!["webhooks", "disable", "nobody"], "there is no webhook \"nobody\""),
    ] {
        let (code, output) = site.run(&arguments);
        assert!(code != 0 && output.contains(says), "{arguments:?}: {output}");
    }
    assert_eq!(walhook.stop(), 0);
}

/// Promise P6: registered in one transaction among data changes, a webhook gets exactly the changes that are committed
/// after it. Every registration has a ticket in its transaction, so the log itself says what is after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn exactly_the_changes_committed_after_a_registration_are_sent_through_kills() {
    let receiver = Receiver::start().await;
    let config = format!(
        "{CONFIG}
[[webhooks]]
name = \"witness\"
form = \"ticket\"
events = [\"create\"]
callback.url = \"{}\"
",
        receiver.url()
    );
    let (site, walhook) = start(&config).await;
    let mut tasks = tokio::task::JoinSet::new();
    for worker in 0..3 {
        let session = site.session().await;
        tasks.spawn(async move {
            for turn in 0..150 {
                let statement = format!("insert into ticket (state) values ('data {worker} {turn}')");
                session.batch_execute(&statement).await.unwrap();
            }
        });
    }
    for registrar in 0..2 {
        let session = site.session().await;
        let url = receiver.url();
        tasks.spawn(async move {
            for turn in 0..12 {
                let name = format!("r{registrar} {turn}");
                let register = format!(
                    "begin; insert into ticket (state) values ('{name}');
                     insert into walhook.webhook (name, form, events, url) values ('{name}', 'ticket', '{{create}}', '{url}');
                     insert into ticket (state) values ('{name} too'); commit"
                );
                session.batch_execute(&register).await.unwrap();
                tokio::time::sleep(Duration::from_millis(60)).await;
                if turn % 3 == 2 {
                    // what it no longer wants is as exact as what it wants
                    let disable = format!(
                        "begin; insert into ticket (state) values ('{name} off');
                         update walhook.webhook set enabled = false where name = '{name}'; commit"
                    );
                    session.batch_execute(&disable).await.unwrap();
                }
            }
        });
    }
    let mut walhook = walhook;
    for pause_ms in [150, 300, 220, 450] {
        tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        drop(walhook);
        walhook = site.spawn(&[]);
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
    let session = site.session().await;
    // what was queued when a webhook was disabled goes out when it is enabled
    session.batch_execute("insert into ticket (state) values ('end')").await.unwrap();
    session.batch_execute("update walhook.webhook set enabled = true where not enabled").await.unwrap();
    let states: BTreeMap<String, String> = session
        .query("select id::text, state from ticket", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| (row.get(1), row.get(0)))
        .collect();
    let started = Instant::now();
    while let Err(missing) = all_is_sent(&receiver, &states) {
        assert!(started.elapsed() < PATIENCE, "{missing}: {}", walhook.log());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(walhook.stop(), 0);
}

/// Whether every webhook has got what was committed after its own ticket, up to the one that switched it off, and
/// nothing else; the witness says where in the log each ticket is.
fn all_is_sent(receiver: &Receiver, states: &BTreeMap<String, String>) -> Result<(), String> {
    let mut sent: BTreeMap<String, BTreeMap<String, (u64, u64)>> = BTreeMap::new();
    for request in receiver.requests() {
        let body = request.json();
        let position = position_of(body["lsn"].as_str().unwrap());
        let entry = body["entry_id"].as_str().unwrap().to_owned();
        let webhook = body["webhook"].as_str().unwrap().to_owned();
        sent.entry(webhook).or_default().insert(entry, (position, request.sequence()));
    }
    let Some(all) = sent.get("witness").filter(|all| all.len() == states.len() && sent.len() == 25) else {
        return Err(format!("only {} webhooks were heard", sent.len()));
    };
    for (name, entries) in sent.iter().filter(|(name, _)| *name != "witness") {
        let at = all[&states[name]].0;
        let off = states.get(&format!("{name} off")).map_or(u64::MAX, |entry| all[entry].0);
        let expected: BTreeSet<&String> =
            all.iter().filter(|(_, (lsn, _))| *lsn > at && *lsn <= off).map(|(entry, _)| entry).collect();
        let got: BTreeSet<&String> = entries.keys().collect();
        if got != expected {
            let (missing, wrong) = (expected.difference(&got), got.difference(&expected));
            let (missing, wrong): (Vec<_>, Vec<_>) = (missing.collect(), wrong.collect());
            return Err(format!("webhook {name} was registered at {at:X}: lacks {missing:?}, got {wrong:?}"));
        }
        let sequences: BTreeSet<u64> = entries.values().map(|(_, sequence)| *sequence).collect();
        if sequences != (1..=entries.len() as u64).collect() {
            return Err(format!("webhook {name}: {sequences:?}"));
        }
    }
    Ok(())
}

fn position_of(lsn: &str) -> u64 {
    let (high, low) = lsn.split_once('/').unwrap();
    u64::from_str_radix(high, 16).unwrap() << 32 | u64::from_str_radix(low, 16).unwrap()
}
