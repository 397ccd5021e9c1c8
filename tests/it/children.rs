//! Rows of other tables that belong to entries, and what the application emits itself.

mod gone;

use crate::receiver::{Receiver, Request};
use crate::registration::{arrived, one_by_one};
use crate::running::Site;
use serde_json::{Value, json};
use std::time::Duration;

const SCHEMA: &str = "
    create table incident (id int primary key, number text not null unique, title text, queue int);
    alter table incident replica identity full;
    create table note (id int primary key, incident_id int, internal boolean default false, body text, author text,
        secret text);
    create table problem (id int primary key, title text, level int);
    create table comment (id int primary key, about_type text, about_id int, body text);
    create table attachment (id int primary key, res text, name text);
    create table article (id int primary key, ticket_number text);
    create table article_data (id int primary key, article_id int, part text, body text);
";

const FORMS: &str = r#"
[[forms]]
name = "Incident"
table = "incident"
entry_id = ["number"]
emitted = ["escalated"]
[[forms.children]]
verb = "note-added"
table = "note"
parent = "incident_id"
where = "'internal' = \"false\""
hidden = ["secret"]
actor.column = "author"
[forms.children.fields]
Text = "body"
[[forms.children]]
verb = "note-changed"
on = "update"
table = "note"
parent = "incident_id"
[[forms.children]]
verb = "note-removed"
on = "delete"
table = "note"
parent = "incident_id"
[[forms.children]]
verb = "comment-added"
table = "comment"
parent = "about_id"
kind = { column = "about_type", value = "Incident" }
[[forms.children]]
verb = "file-added"
table = "attachment"
parent = "res"
prefix = "desk.incident,"
[[forms.children]]
verb = "reply-added"
table = "article_data"
parent = "article_id"
where = "'part' = \"body\""
references = "number"
[[forms.children.through]]
table = "article"
parent = "ticket_number"
[[forms]]
name = "Problem"
table = "problem"
emitted = ["escalated"]
[[forms.children]]
verb = "comment-added"
table = "comment"
parent = "about_id"
kind = { column = "about_type", value = "Problem" }
"#;

/// A site with these forms and a webhook that listens to all that can happen.
async fn start() -> (Site, crate::running::Running, Receiver) {
    let (site, receiver) = (Site::new(SCHEMA).await, Receiver::start().await);
    site.configure(&format!(
        "{FORMS}\n[[webhooks]]\nname = \"all\"\nevents = [\"incident.create\", \"incident.update\", \"incident.delete\",
         \"incident.note-added\", \"incident.note-changed\", \"incident.note-removed\", \"incident.comment-added\",
         \"incident.file-added\", \"incident.reply-added\", \"incident.escalated\", \"problem.comment-added\",
         \"problem.escalated\"]\ncallback.url = \"{0}\"\n\
         [[webhooks]]\nname = \"network\"\nevents = [\"incident.note-added\"]\ncondition = \"'queue' = 7\"\n\
         callback.url = \"{0}\"\n",
        receiver.url()
    ));
    let walhook = site.start().await;
    (site, walhook, receiver)
}

fn bodies(receiver: &Receiver, webhook: &str) -> Vec<Value> {
    let mut bodies: Vec<Value> = receiver.requests().iter().map(Request::json).collect();
    bodies.retain(|body| body["webhook"] == webhook);
    bodies.sort_by_key(|body| body["sequence"].as_u64());
    bodies
}

fn events(receiver: &Receiver) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let told = |body: &Value| {
        let child = body["child"]["id"].as_str().map_or_else(String::new, |id| format!(" {id}"));
        format!("{} {}{child}", text(&body["entry_id"]), text(&body["event"]))
    };
    bodies(receiver, "all").iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_belongs_to_an_entry_is_an_event_of_it() {
    let (site, walhook, receiver) = start().await;
    let session = site.session().await;
    one_by_one(
        &session,
        &[
            "insert into incident values (1, 'INC1', 'printer', 7), (2, 'INC2', 'mouse', 8)",
            "insert into note values (10, 1, false, 'on fire', 'jane', 'x'), (11, 1, true, 'hush', 'bob', 'x')",
            "update note set body = 'out' where id = 10",
            "delete from note where id = 10",
            "insert into comment values (20, 'Problem', 2, 'p'), (21, 'Incident', 2, 'i'), (22, 'Other', 2, 'o'),
                (23, 'Incident', null, 'none')",
            "insert into attachment values (30, 'desk.incident,2', 'a.png'), (31, 'party.party,2', 'b.png'), (32, null, 'c')",
            // one reply writes many rows, and one of them is it
            "begin; insert into article values (40, 'INC2'); insert into article_data values (50, 40, 'head', 'h'),
                (51, 40, 'body', 'b'), (52, 40, 'foot', 'f'); commit",
            "insert into article_data values (53, 40, 'body', 'again')",
            // with the entry's own events, in their order
            "begin; insert into incident values (3, 'INC3', 'a', 7); insert into note values (12, 3, false, 'n', null, 'x');
                update incident set title = 'b' where id = 3; commit",
            "begin; insert into note values (13, 3, false, 'm', null, 'x'); update incident set title = 'c' where id = 3; commit",
            "begin; insert into note values (14, 3, false, 'l', null, 'x'); delete from incident where id = 3; commit",
            // it came and went
            "begin; insert into incident values (4, 'INC4', 'a', 7); insert into note values (15, 4, false, 'n', null, 'x');
                delete from incident where id = 4; commit",
            "begin; insert into note values (16, 1, false, 'no', null, 'x'); rollback",
        ],
    )
    .await;
    arrived(&receiver, 19).await;
    let expected = [
        "INC1 create",
        "INC2 create",
        "INC1 note-added 10",
        "INC1 note-changed 10",
        "2 comment-added 20",
        "INC2 comment-added 21",
        "INC2 file-added 30",
        "INC2 reply-added 51",
        "INC2 reply-added 53",
        "INC3 create",
        "INC3 note-added 12",
        "INC3 update",
        "INC3 note-added 13",
        "INC3 note-added 14",
        "INC3 delete",
    ];
    assert_eq!(events(&receiver), expected);
    let all = bodies(&receiver, "all");
    assert_eq!(
        all[2]["child"],
        json!({ "id": "10", "fields": { "id": 10, "incident_id": 1, "internal": false, "Text": "on fire", "author": "jane" } })
    );
    assert_eq!((&all[2]["actor"], &all[2]["entry"]["title"]), (&json!("jane"), &json!("printer")));
    assert_eq!((&all[10]["entry"]["title"], &all[12]["entry"]["title"]), (&json!("b"), &json!("c")));
    assert_eq!(all[12]["changed"], all[11]["changed"]);
    // conditions are about the entry
    let of_network: Vec<Value> =
        bodies(&receiver, "network").iter().map(|body| body["child"]["id"].clone()).collect();
    assert_eq!(of_network, ["10", "12", "13", "14"]);
    // the log has only the key of the note that was deleted, which does not say whose it was
    let (_, told) = site.run(&["--json", "queue", "quarantine"]);
    let told: Value = serde_json::from_str(&told).unwrap_or_default();
    assert!(told.to_string().contains("which entry it belongs"), "{told}");
    assert_eq!(walhook.stop(), 0);
}

/// What was there before walhook, and what it has forgotten, is looked up.
#[tokio::test(flavor = "multi_thread")]
async fn entries_that_the_log_has_not_told_of_are_looked_up() {
    let (site, walhook, receiver) = start().await;
    assert_eq!(walhook.stop(), 0);
    let session = site.session().await;
    session.batch_execute("insert into incident values (1, 'INC1', 'printer', 7)").await.unwrap();
    let walhook = site.start().await;
    arrived(&receiver, 1).await;
    assert_eq!(walhook.stop(), 0);
    session.batch_execute("insert into article values (40, 'INC1')").await.unwrap();
    let walhook = site.start().await;
    one_by_one(
        &session,
        &[
            "insert into note values (10, 1, false, 'on fire', 'jane', 'x')",
            "insert into article_data values (50, 40, 'body', 'b')",
            // it is of no entry, and what follows goes on
            "insert into note values (11, 99, false, 'lost', null, 'x')",
            "insert into note values (12, 1, false, 'x', null, 'x')",
        ],
    )
    .await;
    arrived(&receiver, 6).await;
    assert_eq!(
        events(&receiver),
        ["INC1 create", "INC1 note-added 10", "INC1 reply-added 50", "INC1 note-added 12"]
    );
    let (_, told) = site.run(&["--json", "queue", "quarantine"]);
    assert!(told.contains("table public.incident has no row 99"), "{told}");
    assert_eq!(walhook.stop(), 0);
}

/// A commit is in the log before sessions see it. An entry that was looked up in between was told as it had been before the
/// event's own transaction. Here the server waits for a standby that never comes.
#[tokio::test(flavor = "multi_thread")]
async fn entries_are_not_looked_up_before_their_transaction_is_seen() {
    let (site, walhook, receiver) = start().await;
    let (writer, session) = (site.session().await, site.session().await);
    // of a large value that has not changed, the log tells nothing: such a row is known by a look only
    let large = "(select string_agg(md5(n::text), '') from generate_series(1, 300) as n)";
    session
        .batch_execute(&format!(
            "alter table problem alter title set storage external; insert into problem values (1, {large}, 1)"
        ))
        .await
        .unwrap();
    one_by_one(&session, &["insert into comment values (1, 'Problem', 1, 'a')"]).await;
    arrived(&receiver, 1).await;
    let other = site.session().await;
    let released = site.hold_commits().await;
    let written = async {
        let update = writer.batch_execute("update problem set level = 2 where id = 1");
        let comment = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            other.batch_execute("insert into comment values (2, 'Problem', 1, 'b')").await
        };
        tokio::try_join!(update, comment)
    };
    let (written, ()) = tokio::join!(written, released);
    written.unwrap();
    arrived(&receiver, 2).await;
    let levels: Vec<_> = bodies(&receiver, "all").iter().map(|body| body["entry"]["level"].clone()).collect();
    assert_eq!(levels, [json!(1), json!(2)]);
    assert_eq!(walhook.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_application_emits_events_of_its_own() {
    let (site, walhook, receiver) = start().await;
    let session = site.session().await;
    let emit = include_str!("../../sql/registration.sql");
    session.batch_execute(emit).await.unwrap();
    one_by_one(
        &session,
        &[
            "insert into incident values (1, 'INC1', 'printer', 7)",
            "begin; select walhook.emit('Incident', 'INC1', 'escalated', '{\"level\": 2}');
                update incident set title = 'fire'; commit",
            "begin; select walhook.emit('Incident', 'INC1', 'escalated'); rollback",
            "select walhook.emit('Problem', 'of no row', 'escalated', null)",
            "select walhook.emit('Incident', 'INC1', 'escalate')",
            "select walhook.emit('Nothing', 'INC1', 'escalated')",
            "select walhook.emit('Incident', 'INC1', 'escalated', '[]')",
            "select pg_logical_emit_message(true, 'walhook.emit', 'x')",
            "select pg_logical_emit_message(false, 'walhook.emit', 'x')",
            "select walhook.emit('Incident', 'INC1', 'escalated')",
        ],
    )
    .await;
    arrived(&receiver, 5).await;
    assert_eq!(
        events(&receiver),
        ["INC1 create", "INC1 update", "INC1 escalated", "of no row escalated", "INC1 escalated"]
    );
    let all = bodies(&receiver, "all");
    assert_eq!((&all[2]["payload"], &all[4]["payload"]), (&json!({ "level": 2 }), &json!({})));
    assert_eq!(all[4]["entry"]["title"], "fire");
    let (_, told) = site.run(&["--json", "queue", "quarantine"]);
    for reason in [
        "did you mean \\\"escalated\\\"?",
        "no form \\\"Nothing\\\"",
        "no JSON object",
        "not what walhook.emit writes",
    ] {
        assert!(told.contains(reason), "{reason}: {told}");
    }
    assert_eq!(walhook.stop(), 0);
}
