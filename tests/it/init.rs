//! `walhook init`: what is proposed for a database that nobody has described, and that it works as it stands.

use crate::receiver::{Receiver, Request};
use crate::registration::{arrived, one_by_one};
use crate::running::Site;
use crate::terminal::type_into;
use serde_json::Value;
use std::fs;

/// A help desk as applications make them: numbers for states, parts of parts, bookkeeping, secrets.
const DESK: &str = r#"
    create table schema_migrations (version text primary key);
    create type urgency as enum ('low', 'high');
    create table issue_statuses (id int primary key, name text not null, position int, is_closed boolean);
    insert into issue_statuses values (1, 'New', 1, false), (2, 'In "Progress"', 2, false), (5, 'Closed', 3, true);
    create table users (id int primary key, login text not null unique, name text, password_hash text, mail text,
        last_login timestamptz);
    create table projects (id int primary key, identifier text not null unique, title text);
    create table issues (id int primary key, project_id int not null references projects, number text not null unique,
        status_id int references issue_statuses, urgency urgency, assigned_to_id int references users, title text,
        author_id int references users, updated_by int references users, updated_at timestamptz, deleted_at timestamptz);
    create table journals (id int primary key, issue_id int not null references issues on delete cascade,
        author_id int references users, notes text);
    create table journal_details (id int primary key, journal_id int not null references journals, field text, old text);
    create table watchers (issue_id int references issues, user_id int references users, primary key (issue_id, user_id));
    create table search_log (what text);
    create unlogged table cache (id int primary key);
    create view open_issues as select * from issues where status_id <> 5;
    create materialized view totals as select count(*) from issues;
    create table measured (id int, at date, primary key (id, at)) partition by range (at);
    create table measured_2026 partition of measured for values from ('2026-01-01') to ('2027-01-01');
    create schema crm;
    create table crm.users (id int primary key, "odd ""name"".x" text);
    create table crm."order.line" (id int primary key, ordered date);
    comment on table crm."order.line" is E'lines of\n orders';
"#;

fn init(site: &Site, more: &[&str]) -> (i32, String) {
    let url = site.cluster.url("postgres");
    site.run(&[&["init", "--database-url", &url], more].concat())
}

/// What was proposed, with a place of its own for the HTTP surface.
fn listening(site: &Site, file: &str) {
    let listen = site.base().replace("http://", "");
    fs::write(site.config(), format!("{file}\n[admin]\nlisten = \"{listen}\"\n")).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_proposed_works_as_it_stands() {
    let (site, receiver) = (Site::new(DESK).await, Receiver::start().await);
    let (code, said) = init(&site, &["--yes", "--webhook", &receiver.url()]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("6 forms"), "{said}");
    let file = fs::read_to_string(site.config()).unwrap();
    let line = |text: &str| assert!(file.lines().any(|line| line == text), "{text}");
    for text in [
        "status = { column = \"status_id\", labels = { 1 = \"New\", 2 = \"In \\\"Progress\\\"\", 5 = \"Closed\" } }",
        "deleted = \"deleted_at\"",
        "actor.column = \"updated_by\"",
        "ignore = [\"updated_at\"]",
        "hidden = [\"password_hash\"]",
        "#entry_id = [\"number\"]",
        "verb = \"status-changed\"",
        "verb = \"urgency-changed\"",
        "verb = \"assigned-to-changed\"",
        "verb = \"journal-added\"",
        "verb = \"detail-added\"",
        "actor.column = \"author_id\"",
        "table = \"crm.\\\"order.line\\\"\"",
        "# lines of orders",
        "name = \"crm.users\"",
        "table = \"measured\"",
    ] {
        line(text);
    }
    for (table, reason) in [
        ("schema_migrations", "framework"),
        ("issue_statuses", "labels"),
        ("watchers", "joins issues and users"),
        ("search_log", "no primary key"),
        ("cache", "unlogged"),
        ("open_issues", "view"),
        ("totals", "materialized view"),
    ] {
        let said = file.lines().find(|line| line.starts_with(&format!("# {table} "))).unwrap_or_default();
        assert!(said.contains(reason), "{table}: {said}");
    }
    assert!(!file.contains("measured_2026"), "its root speaks for it");

    // it is enough for everything else
    listening(&site, &file);
    let (code, said) = site.run(&["setup", "--apply", "--replica-identity-full", "issues"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = site.run(&["check"]);
    assert_eq!(code, 0, "{said}");
    let walhook = site.start().await;
    one_by_one(
        &site.session().await,
        &[
            "insert into users values (1, 'jane', 'Jane', 'hush', 'jane@example.org', null)",
            "insert into projects values (1, 'it', 'IT')",
            "insert into issues values (7, 1, 'I-7', 1, 'low', null, 'printer', 1, 1, now(), null)",
            "begin; insert into journals values (1, 7, 1, 'on fire'); insert into journal_details values (1, 1, 'a', 'b'); commit",
            "update issues set status_id = 5, updated_at = now() where id = 7",
            "update issues set updated_at = now() where id = 7",
            "update issues set deleted_at = now() where id = 7",
            "insert into measured values (1, '2026-11-24')",
        ],
    )
    .await;
    arrived(&receiver, 9).await;
    let mut bodies: Vec<Value> = receiver.requests().iter().map(Request::json).collect();
    bodies.sort_by_key(|body| body["sequence"].as_u64());
    let told: Vec<String> = bodies
        .iter()
        .map(|body| format!("{}.{}", body["noun"].as_str().unwrap(), body["event"].as_str().unwrap()))
        .collect();
    assert_eq!(
        told,
        [
            "users.create",
            "projects.create",
            "issues.create",
            "issues.journal-added",
            "issues.detail-added",
            "issues.update",
            "issues.status-changed",
            "issues.delete",
            "measured.create"
        ]
    );
    assert_eq!(bodies[5]["changed"]["status"]["new"], 5);
    assert_eq!(bodies[4]["entry_id"], "7");
    assert!(bodies[0]["entry"].get("password_hash").is_none());
    assert_eq!(walhook.stop(), 0);
}

/// Notes of anything, files of notes, and tasks that may be about something.
#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_one_of_several_is_told_of_each() {
    let schema = r"
        create table tickets (id int primary key, title text);
        create table problem (id int primary key, title text);
        create table note (id int primary key, about_type text not null, about_id int not null, body text, author_id int);
        create table note_file (id int primary key, note_id int not null references note, name text);
        create table task (id int primary key, source_type text, source_id int, title text);
        insert into note values (1, 'App\Models\Ticket', 1, 'old', 1), (2, 'Problem', 1, 'old', 1), (3, 'Planet', 1, '', 1);
        insert into task values (1, 'Problem', 1, 'x'), (2, null, null, 'y');
    ";
    let (site, receiver) = (Site::new(schema).await, Receiver::start().await);
    let (code, said) = init(&site, &["--yes", "--webhook", &receiver.url()]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("3 forms"), "{said}");
    let file = fs::read_to_string(site.config()).unwrap();
    let count = |line: &str| file.lines().filter(|one| *one == line).count();
    assert_eq!(count(r#"kind = { column = "about_type", value = "App\\Models\\Ticket" }"#), 2, "{file}");
    assert_eq!(count(r#"kind = { column = "about_type", value = "Problem" }"#), 2, "{file}");
    assert_eq!(count("# about_type says that it belongs to the form."), 2, "{file}");
    let is_form = |table: &str| file.contains(&format!("[[forms]]\ntable = \"{table}\"\n"));
    assert!(is_form("task") && is_form("tickets") && !is_form("note") && !is_form("note_file"), "{file}");

    listening(&site, &file);
    let walhook = site.start().await;
    let (code, said) = site.run(&["check"]);
    assert_eq!(code, 0, "{said}");
    let work = [
        "insert into tickets values (1, 'x')",
        "insert into problem values (1, 'x')",
        "insert into note values (4, 'App\\Models\\Ticket', 1, 'new', 1)",
        "insert into note_file values (41, 4, 'a.txt')",
        "insert into note values (5, 'Problem', 1, 'new', 1)",
        "insert into task values (3, 'Problem', 1, 'z')",
    ];
    one_by_one(&site.session().await, &work).await;
    arrived(&receiver, work.len()).await;
    let mut told: Vec<String> = receiver
        .requests()
        .iter()
        .map(Request::json)
        .map(|body| format!("{} {} {}", body["noun"], body["entry_id"], body["event"]).replace('"', ""))
        .collect();
    told.sort_unstable();
    assert_eq!(
        told,
        [
            "problem 1 create",
            "problem 1 note-added",
            "task 3 create",
            "tickets 1 create",
            "tickets 1 file-added",
            "tickets 1 note-added",
        ]
    );
    assert_eq!(walhook.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_asks_on_a_terminal_and_writes_over_nothing() {
    let site =
        Site::new("create table ticket (id int primary key); create table person (id int primary key)").await;
    let url = site.cluster.url("postgres");
    let command = site.command(&["init", "--database-url", &url]);
    let (code, screen) = type_into(command, &["3\n", "2\n", "http://127.0.0.1:9/hook\n"]);
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("numbers from 1 to 2"), "{screen}");
    let path = site.config();
    let file = fs::read_to_string(&path).unwrap();
    assert!(file.contains("table = \"ticket\"") && !file.contains("\"person\""), "{file}");
    assert!(file.contains("callback.url = \"http://127.0.0.1:9/hook\""), "{file}");

    let (code, said) = init(&site, &["--yes"]);
    assert_eq!(code, 64, "{said}");
    assert!(said.contains("is there already") && said.contains("--force"), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), file);
    let (code, said) = init(&site, &["--stdout"]);
    assert!(code == 0 && said.contains("table = \"person\""), "{said}");
    let (code, said) = init(&site, &["--force", "--json"]);
    assert_eq!(code, 0, "{said}");
    let described: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(described["forms"][0]["name"], "person");
    assert!(fs::read_to_string(&path).unwrap().contains("table = \"person\""));
    let (code, said) = init(&site, &["--schema", "nowhere", "--force"]);
    assert!(code == 1 && said.contains("has no tables in nowhere"), "{said}");
}

/// A data dictionary as AR System has it, and two forms in it: one with a join form over it, one that keeps nothing.
const ARSYSTEM: &str = r#"
    create table arschema (schemaid int primary key, name text, schematype int);
    create table field ("schemaId" int, "fieldId" int, fieldname text, datatype int, foption int);
    create table field_enum_values (schemaid int, fieldid int, enumid int, value text);
    insert into arschema values (123, 'HPD:Help Desk', 1), (124, 'HPD:Join', 2), (125, 'HPD:Dialog', 4), (126, 'Gone', 1);
    insert into field values (123, 1, 'Request ID', 4, 3), (123, 2, 'Submitter', 4, 1), (123, 4, 'Assigned To', 4, 2),
        (123, 5, 'Last Modified By', 4, 3), (123, 6, 'Modified Date', 7, 3), (123, 7, 'Status', 6, 1),
        (123, 8, 'Short Description', 4, 1), (123, 102, 'Password', 4, 2), (123, 179, 'InstanceId', 4, 3),
        (123, 536870913, 'Cost', 12, 2), (123, 536870914, 'Work Log', 5, 2), (123, 536870915, 'Shown', 4, 4),
        (123, 536870916, 'Short Description', 4, 2), (123, 536870917, 'Photo', 11, 2), (123, 536870918, 'Page', 35, 4);
    insert into field_enum_values values (123, 7, 1, 'Assigned'), (123, 7, 0, 'New'), (123, 7, 10, 'Closed');
    create table t123 (c1 text not null primary key, c2 text, c4 text, c5 text, c6 int, c7 int, "C8" text, c102 text, c179 text,
        c536870913 text, c536870913v numeric(28, 2), c536870913c text, c536870913d int, c536870914 text, c536870916 text);
    alter table t123 replica identity full;
"#;

#[tokio::test(flavor = "multi_thread")]
async fn the_data_dictionary_of_ar_system_says_what_the_forms_are() {
    let (site, receiver) = (Site::new(ARSYSTEM).await, Receiver::start().await);
    let (code, said) = init(&site, &["--preset", "arsystem", "--yes", "--webhook", &receiver.url()]);
    assert_eq!(code, 0, "{said}");
    let file = fs::read_to_string(site.config()).unwrap();
    for text in [
        "table = \"t123\"",
        "name = \"HPD:Help Desk\"",
        "noun = \"hpd_help_desk\"",
        "record_id = \"c179\"",
        "actor.column = \"c5\"",
        "ignore = [\"c5\", \"c6\"]",
        "hidden = [\"c102\"]",
        "\"Request ID\" = { column = \"c1\", id = 1 }",
        "\"Modified Date\" = { column = \"c6\", id = 6, kind = \"epoch\" }",
        "Status = { column = \"c7\", id = 7, labels = { 0 = \"New\", 1 = \"Assigned\", 10 = \"Closed\" } }",
        "\"Short Description\" = { column = \"C8\", id = 8 }",
        "\"Short Description (536870916)\" = { column = \"c536870916\", id = 536870916 }",
        "\"Work Log\" = { column = \"c536870914\", id = 536870914, kind = \"diary\" }",
        "\"Cost.VALUE\" = \"c536870913v\"",
        "\"Cost.TYPE\" = \"c536870913c\"",
        "verb = \"status-changed\"",
        "# HPD:Join is a join form: take the forms that it joins.",
        "# Gone has no table t126 here.",
    ] {
        assert!(file.lines().any(|line| line == text), "{text}\n{file}");
    }
    assert!(!file.contains("Shown") && !file.contains("Dialog") && !file.contains("arschema"), "{file}");
    listening(&site, &file);
    let (code, said) = site.run(&["setup", "--apply"]);
    assert_eq!(code, 0, "{said}");
    let (code, said) = site.run(&["check"]);
    assert_eq!(code, 0, "{said}");
    let walhook = site.start().await;
    one_by_one(
        &site.session().await,
        &[
            "insert into t123 (c1, c2, c6, c7, \"C8\", c102) values ('REQ1', 'jane', 1700000000, 0, 'printer', 'hush')",
            "update t123 set c7 = 10, c5 = 'bob'",
            "update t123 set c5 = 'jane', c6 = 1700000001",
            "delete from t123",
        ],
    )
    .await;
    arrived(&receiver, 4).await;
    let mut bodies: Vec<Value> = receiver.requests().iter().map(Request::json).collect();
    bodies.sort_by_key(|body| body["sequence"].as_u64());
    let told: Vec<&str> = bodies.iter().map(|body| body["event"].as_str().unwrap()).collect();
    assert_eq!(told, ["create", "update", "status-changed", "delete"]);
    assert_eq!((&bodies[1]["entry_id"], &bodies[1]["actor"]), (&"REQ1".into(), &"bob".into()));
    assert_eq!(bodies[0]["entry"]["Short Description"], "printer");
    assert!(!bodies[0].to_string().contains("hush"));
    assert_eq!(walhook.stop(), 0);

    let (code, said) = init(&site, &["--preset", "arsystem", "--stdout", "--schema", "pg_toast"]);
    assert_ne!(code, 0, "{said}");
    site.session().await.batch_execute("drop table field_enum_values").await.unwrap();
    let (code, said) = init(&site, &["--preset", "arsystem", "--stdout"]);
    assert_eq!(code, 69, "{said}");
    assert!(said.contains("there is no table field_enum_values"), "{said}");
}
