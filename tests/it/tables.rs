//! Every kind of table: either it works, or `check` says why not and what comes nearest.

use crate::receiver::{Receiver, Request};
use crate::registration::{arrived, one_by_one};
use crate::running::Site;
use std::fmt::Write;

/// What works.
const SCHEMA: &str = r#"
    create table event (id int, at date, what text, primary key (id, at)) partition by range (at);
    create table event_2025 partition of event for values from ('2025-01-01') to ('2026-01-01');
    create table event_2026 (at date not null, what text, gone int, id int not null);
    alter table event_2026 drop column gone;
    create table person (id int primary key, name text);
    create table agent (team text, primary key (id)) inherits (person);
    create schema "Help Desk";
    create table "Help Desk"."Incident.Form" (id int primary key, status text);
    create table ticket (id int primary key, title text);
    create table thread (id int primary key, ticket_id int references ticket);
    create table mail (id int primary key, thread_id int references thread);
    create table part (id int primary key, mail_id int references mail, body text);
    create table journal (id int, what text);
"#;

/// A form over each, and a webhook that listens to all.
const FORMS: &str = r#"
[[forms]]
table = "event"
[[forms]]
table = "person"
[[forms]]
table = "agent"
[[forms]]
name = "Incident"
table = '"Help Desk"."Incident.Form"'
[[forms]]
table = "ticket"
[[forms.children]]
verb = "part-added"
table = "part"
parent = "mail_id"
[[forms.children.through]]
table = "mail"
parent = "thread_id"
[[forms.children.through]]
table = "thread"
parent = "ticket_id"
[[forms]]
table = "journal"
entry_id = ["id"]
"#;

/// `form entry event`.
fn told(request: &Request) -> String {
    let body = request.json();
    let word = |key: &str| body[key].as_str().unwrap().to_owned();
    format!("{} {} {}", word("form"), word("entry_id"), word("event"))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_tells_of_works() {
    let (site, receiver) = (Site::new(SCHEMA).await, Receiver::start().await);
    let webhook = format!(
        "[[webhooks]]\nname = \"all\"\nforms = [\"event\", \"person\", \"agent\", \"Incident\", \"ticket\", \
         \"journal\"]\nevents = [\"create\", \"update\", \"delete\", \"part-added\"]\ncallback.url = \"{}\"\n",
        receiver.url()
    );
    site.configure(&format!("{FORMS}{webhook}"));
    let walhook = site.start().await;
    let (exit, checked) = site.run(&["check"]);
    assert_eq!(exit, 0, "{checked}");
    assert!(!checked.contains("inherit"), "both are told of: {checked}");
    let session = site.session().await;
    let played: [(&str, &[&str]); 12] = [
        ("insert into event values (1, '2025-05-05', 'a')", &["event 1|2025-05-05 create"]),
        // columns in another order, and a number that is not used any more
        (
            "alter table event attach partition event_2026 for values from ('2026-01-01') to ('2027-01-01')",
            &[],
        ),
        ("insert into event values (2, '2026-05-05', 'a')", &["event 2|2026-05-05 create"]),
        ("update event set what = 'b' where id = 2", &["event 2|2026-05-05 update"]),
        ("insert into person values (1, 'Ann')", &["person 1 create"]),
        ("insert into agent values (2, 'Ben', 'one')", &["agent 2 create"]),
        ("update person set name = name || '!'", &["person 1 update", "agent 2 update"]),
        (r#"insert into "Help Desk"."Incident.Form" values (1, 'new')"#, &["Incident 1 create"]),
        (
            "with t as (insert into ticket values (7, 'x')), h as (insert into thread values (71, 7)), \
             m as (insert into mail values (711, 71)) insert into part values (7111, 711, 'hello')",
            &["ticket 7 create", "ticket 7 part-added"],
        ),
        ("insert into part values (7112, 711, 'again')", &["ticket 7 part-added"]),
        ("insert into journal values (1, 'x')", &["journal 1 create"]),
        // without a key nothing is published but inserts, and the application is not refused its updates
        ("update journal set what = 'y'", &[]),
    ];
    let mut expected: Vec<&str> = Vec::new();
    for (statement, events) in played {
        one_by_one(&session, &[statement]).await;
        expected.extend(events);
        arrived(&receiver, expected.len()).await;
    }
    let mut requests = receiver.requests();
    requests.sort_by_key(|request| request.json()["sequence"].as_u64());
    let mut found: Vec<String> = requests.iter().map(told).collect();
    // the order of entries among each other is open
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert_eq!(walhook.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_does_not_tell_of_is_refused_with_what_comes_nearest() {
    let schema = r"
        create table ticket (id int primary key, state int);
        create table special (note text) inherits (ticket);
        create table very_special () inherits (special);
        create view open as select * from ticket where state < 5;
        create view urgent as select o.* from open o join person p on p.id = o.id;
        create materialized view counted as select state, count(*) from open group by state;
        create view clock as select now();
        create extension file_fdw;
        create server files foreign data wrapper file_fdw;
        create foreign table passwords (line text) server files options (filename '/dev/null');
        create unlogged table scratch (id int primary key);
        create table keyless (id int);
        create table split (id int, at date) partition by range (at);
        create table split_all partition of split default;
    ";
    let schema = format!("create table person (id int primary key, name text);{schema}");
    let (site, receiver) = (Site::new(&schema).await, Receiver::start().await);
    let session = site.session().await;
    session.batch_execute("create temporary table passing (id int primary key)").await.unwrap();
    let namespace = "select nspname::text from pg_namespace where oid = pg_my_temp_schema()";
    let temporary: String = session.query_one(namespace, &[]).await.unwrap().get(0);
    let tables = ["ticket", "urgent", "counted", "clock", "passwords", "scratch", "keyless", "split_all"];
    let temporary_table = format!("{temporary}.passing");
    let mut forms = String::new();
    for table in tables.into_iter().chain([temporary_table.as_str()]) {
        writeln!(forms, "[[forms]]\ntable = \"{table}\"").unwrap();
    }
    let webhook = format!(
        "[[webhooks]]\nname = \"w\"\nform = \"ticket\"\nevents = [\"create\"]\ncallback.url = \"{}\"\n",
        receiver.url()
    );
    site.configure(&format!("{forms}{webhook}"));
    let (exit, checked) = site.run(&["check"]);
    assert_eq!(exit, 1, "{checked}");
    for (what, remedy) in [
        (
            "form \"ticket\": public.ticket shows rows of tables that inherit from it, and nothing is told of those: \
             public.special, public.very_special",
            "[[forms]]: one more for each of these tables; a webhook may name several",
        ),
        (
            "form \"urgent\": public.urgent is a view; it cannot be published",
            "[[forms]] table: what it shows rows of: public.person, public.ticket",
        ),
        (
            "form \"counted\": public.counted is a materialised view; it cannot be published",
            "[[forms]] table: what it shows rows of: public.ticket",
        ),
        (
            "form \"clock\": public.clock is a view; it cannot be published",
            "[[forms]] table: the table that the rows are stored in",
        ),
        (
            "form \"passwords\": public.passwords is a foreign table; it cannot be published",
            "run walhook beside the server that its rows are stored in",
        ),
        (
            "form \"scratch\": public.scratch is unlogged: its changes are not in the log; it cannot be published",
            "alter table public.scratch set logged;",
        ),
        (
            &format!(
                "form \"passing\": {temporary}.passing is temporary: its changes are not in the log; it cannot be \
                 published"
            ),
            "[[forms]] table: an ordinary one; a temporary one ends with its session",
        ),
        (
            "form \"keyless\": public.keyless has no primary key to take the entry id from",
            "[[forms]] entry_id: some of id",
        ),
        (
            "form \"split_all\": public.split_all is a partition of public.split",
            "[[forms]] table = \"public.split\"",
        ),
    ] {
        let mut lines = checked.lines().skip_while(|line| !line.contains(what));
        assert!(lines.next().is_some(), "{what} is not in\n{checked}");
        let said = lines.next().unwrap_or_default();
        assert!(said.contains(remedy), "{what}: {said}, not {remedy}");
    }

    // nothing is read, so nothing is lost, until the forms are such as can be told of; the application goes on
    let (exit, output) = site.run(&["setup", "--apply"]);
    assert_eq!(exit, 1, "it says what stands in the way: {output}");
    let walhook = site.spawn(&[]);
    site.wait_until_it_says("public.passwords is a foreign table: its changes are not in the log").await;
    one_by_one(
        &session,
        &[
            "insert into ticket values (1, 0)",
            "insert into special values (2, 0, 'x')",
            "insert into scratch values (1)",
            "insert into keyless values (1)",
            "update keyless set id = 2",
            "insert into split values (1, '2026-05-05')",
            "update split set id = 2",
        ],
    )
    .await;
    assert_eq!(receiver.count(), 0);
    assert_eq!(walhook.stop(), 0);
    site.configure(&format!("[[forms]]\ntable = \"ticket\"\n{webhook}"));
    let walhook = site.start_again(&[]).await;
    arrived(&receiver, 1).await;
    assert_eq!(told(&receiver.requests()[0]), "ticket 1 create");
    assert_eq!(walhook.stop(), 0);
}
