//! What events of rows of other tables need: the right to look up what they refer to, and old rows that say enough.

use crate::receiver::{Receiver, Request};
use crate::registration::{arrived, one_by_one};
use crate::running::Site;
use serde_json::Value;

const SCHEMA: &str = "
    create role walhook login replication;
    create schema desk;
    create table desk.incident (id int primary key, number text not null unique, title text);
    create table desk.note (id int primary key, incident_id int, body text);
    create table desk.article (id int primary key, incident_id int);
    create table desk.article_data (id int primary key, article_id int, body text);
    create table desk.attribute (id int primary key, incident_id int, name text, value text);
    create table desk.problem (id int primary key, status int, merged_into int);";

const FORMS: &str = r#"
[[forms]]
table = "desk.incident"
[[forms.children]]
verb = "note-added"
table = "desk.note"
parent = "incident_id"
[[forms.children]]
verb = "reply-added"
table = "desk.article_data"
parent = "article_id"
[[forms.children.through]]
table = "desk.article"
parent = "incident_id"
[[forms]]
table = "desk.problem"
"#;

/// A site whose walhook logs in as a role that may do nothing but read the log.
async fn site(forms: &str) -> Site {
    let site = Site::new(SCHEMA).await;
    configure(&site, forms);
    site
}

fn configure(site: &Site, forms: &str) {
    let url = site.cluster.url("postgres").replace("postgres://postgres@", "postgres://walhook@");
    site.configure_source(&url, forms);
}

/// A command of whoever administers the database.
fn as_administrator(site: &Site, command: &[&str]) -> (i32, String) {
    let url = site.cluster.url("postgres");
    site.run(&[command, &["--database-url", &url]].concat())
}

/// The tables that the role may read, and those that are published.
async fn tables(site: &Site) -> (Vec<String>, Vec<String>) {
    let session = site.session().await;
    let readable = "select relname::text from pg_class where relnamespace = 'desk'::regnamespace and relkind = 'r' \
                    and has_table_privilege('walhook', oid, 'select') order by 1";
    let published = "select tablename::text from pg_publication_tables order by 1";
    let mut names = Vec::new();
    for query in [readable, published] {
        let rows = session.query(query, &[]).await.unwrap();
        names.push(rows.iter().map(|row| row.get(0)).collect());
    }
    let published = names.pop().unwrap();
    (names.pop().unwrap(), published)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_looked_up_may_be_read_and_nothing_else() {
    let site = site(FORMS).await;
    let (_, script) = as_administrator(&site, &["setup"]);
    assert_eq!(script.matches("grant select").count(), 2, "{script}");
    for table in ["article", "incident"] {
        let statement = format!("grant select on table desk.{table} to walhook;");
        assert!(script.contains(&statement), "{script}");
        let (_, report) = site.run(&["check"]);
        assert!(report.contains(&format!("may not read desk.{table}")), "{report}");
        assert!(report.contains(&statement), "{report}");
    }
    let (code, output) = as_administrator(&site, &["setup", "--apply"]);
    assert_eq!(code, 0, "{output}");
    let (readable, published) = tables(&site).await;
    assert_eq!(readable, ["article", "incident"]);
    assert_eq!(published, ["article", "article_data", "incident", "note", "problem"]);
    let (code, report) = site.run(&["check"]);
    assert_eq!(code, 0, "{report}");
    let (_, rest) = as_administrator(&site, &["setup"]);
    assert!(rest.contains("nothing else to do"), "{rest}");
    // rows between, and children that only appear, are told as well without old values
    for (table, are_wanted) in
        [("incident", true), ("article", false), ("article_data", false), ("note", false)]
    {
        let is_missed = report.contains(&format!("desk.{table} logs old values only"));
        assert_eq!(is_missed, are_wanted, "{table}: {report}");
        let is_offered = rest.contains(&format!("desk.{table} has old values in the log only"));
        assert_eq!(is_offered, are_wanted, "{table}: {rest}");
    }

    // fields from other tables are looked up there
    let attributes = "[[forms.attributes]]\ntable = \"desk.attribute\"\nparent = \"incident_id\"\n\
                      attribute = \"name\"\nvalue = \"value\"\nfields = { impact = \"impact\" }\n[[forms]]\ntable = \"desk.problem\"";
    configure(&site, &FORMS.replace("[[forms]]\ntable = \"desk.problem\"", attributes));
    let (code, output) = as_administrator(&site, &["setup", "--apply"]);
    assert_eq!(code, 0, "{output}");
    assert_eq!(tables(&site).await.0, ["article", "attribute", "incident"]);

    let (code, output) = as_administrator(&site, &["teardown", "--apply"]);
    assert_eq!(code, 0, "{output}");
    assert_eq!(tables(&site).await, (vec![], vec![]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_that_is_taken_away_is_missed_where_it_is_needed() {
    let (site, receiver) = (site("").await, Receiver::start().await);
    let webhook = format!(
        "[[webhooks]]\nname = \"all\"\nevents = [\"incident.note-added\", \"incident.reply-added\"]\ncallback.url = {:?}\n",
        receiver.url()
    );
    configure(&site, &format!("{FORMS}{webhook}"));
    let session = site.session().await;
    session
        .batch_execute("insert into desk.incident values (1, 'INC1', 'fire'); insert into desk.article values (10, 1), (11, 1)")
        .await
        .unwrap();
    let (code, output) = as_administrator(&site, &["setup", "--apply"]);
    assert_eq!(code, 0, "{output}");
    let walhook = site.start_again(&[]).await;
    one_by_one(
        &session,
        &[
            "revoke select on desk.article from walhook",
            "insert into desk.article_data values (20, 10, 'nobody knows whose')",
            "insert into desk.note values (30, 1, 'good')",
        ],
    )
    .await;
    arrived(&receiver, 1).await;
    let (_, quarantine) = site.run(&["--json", "queue", "quarantine"]);
    let reason = "row 10 of table desk.article cannot be read: permission denied for table article";
    assert!(quarantine.contains(reason), "{quarantine}");
    let (code, report) = site.run(&["check"]);
    assert_ne!(code, 0, "{report}");
    assert!(report.contains("grant select on table desk.article to walhook;"), "{report}");
    one_by_one(
        &session,
        &[
            "grant select on table desk.article to walhook",
            "insert into desk.article_data values (21, 11, 'a reply')",
        ],
    )
    .await;
    arrived(&receiver, 2).await;
    let bodies: Vec<Value> = receiver.requests().iter().map(Request::json).collect();
    assert_eq!(bodies[1]["child"]["fields"]["body"], "a reply");
    assert!(bodies.iter().all(|body| body["entry"]["number"] == "INC1"), "{bodies:?}");
    assert_eq!(walhook.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_need_old_values_are_told_where_the_log_has_none() {
    let problem = r#"
[[forms]]
table = "desk.problem"
merge.marker = "merged_into"
[[forms.transitions]]
verb = "status-changed"
field = "status"
[[forms.children]]
verb = "note-removed"
table = "desk.note"
parent = "incident_id"
kind = { column = "body", value = "Problem" }
on = "delete"
"#;
    let site = site(problem).await;
    let (code, output) = as_administrator(&site, &["setup", "--apply"]);
    assert_eq!(code, 0, "{output}");
    let (code, report) = site.run(&["check"]);
    assert_ne!(code, 0, "{report}");
    let told = [
        "transitions (status-changed of \"status\") never happen: desk.problem logs old values only of its key",
        "updates that set merged_into are told as updates, not as merges",
        "note-removed never happens",
        "(incident_id, body is not in the replica identity of desk.note)",
        "alter table desk.problem replica identity full;",
        "alter table desk.note replica identity full;",
    ];
    for one in told {
        assert!(report.contains(one), "{one}: {report}");
    }
    let session = site.session().await;
    session
        .batch_execute(
            "alter table desk.problem replica identity full; alter table desk.note replica identity full",
        )
        .await
        .unwrap();
    let (code, report) = site.run(&["check"]);
    assert_eq!(code, 0, "{report}");
    assert!(told.iter().all(|one| !report.contains(one)), "{report}");
    // what the form gives up by itself is mended in the form
    configure(&site, &problem.replace("merge.marker", "old_values = \"none\"\nmerge.marker"));
    let (code, report) = site.run(&["check"]);
    assert_ne!(code, 0, "{report}");
    assert!(report.contains("never happen: old_values = \"none\""), "{report}");
    assert!(report.contains("[[forms]] old_values = \"auto\""), "{report}");
}
