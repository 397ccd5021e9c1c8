//! Rows that lead to entries, and are gone or lead elsewhere by the time that what refers to them is read: what the log told
//! of them holds, also when walhook was not there meanwhile.

use super::{FORMS, SCHEMA, bodies, events, start};
use crate::receiver::Receiver;
use crate::registration::{arrived, one_by_one};
use crate::running::Site;
use serde_json::{Value, json};

/// What is told when `before` happens, walhook is stopped, `meanwhile` happens, and walhook is started.
async fn told(
    before: &[&str],
    count: usize,
    meanwhile: &[&str],
    count_after: usize,
) -> (Vec<String>, Vec<Value>) {
    let (site, walhook, receiver) = start().await;
    let session = site.session().await;
    one_by_one(&session, before).await;
    arrived(&receiver, count).await;
    assert_eq!(walhook.stop(), 0);
    one_by_one(&session, meanwhile).await;
    let walhook = site.start().await;
    arrived(&receiver, count + count_after).await;
    let (_, quarantined) = site.run(&["--json", "queue", "quarantine"]);
    assert_eq!(serde_json::from_str::<Value>(&quarantined).unwrap(), json!([]));
    assert_eq!(walhook.stop(), 0);
    (events(&receiver).split_off(count), bodies(&receiver, "all").split_off(count))
}

const DESK: [&str; 2] = [
    "insert into incident values (1, 'INC1', 'printer', 7), (2, 'INC2', 'mouse', 7)",
    "insert into article values (40, 'INC1')",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_row_between_that_is_gone_still_leads_on() {
    let meanwhile =
        ["insert into article_data values (50, 40, 'body', 'b')", "delete from article where id = 40"];
    let (told, bodies) = told(&DESK, 2, &meanwhile, 1).await;
    assert_eq!(told, ["INC1 reply-added 50"]);
    assert_eq!(bodies[0]["entry"]["title"], "printer");
}

#[tokio::test(flavor = "multi_thread")]
async fn so_does_an_entry_that_is_gone() {
    let meanwhile = [
        "insert into article_data values (50, 40, 'body', 'b')",
        "begin; delete from article; delete from incident where id = 1; commit",
        // nobody has cleaned up
        "insert into article_data values (51, 40, 'body', 'c')",
    ];
    let (told, bodies) = told(&DESK, 2, &meanwhile, 3).await;
    assert_eq!(told, ["INC1 reply-added 50", "INC1 delete", "INC1 reply-added 51"]);
    // of the entry nothing else is known
    assert_eq!(bodies[0]["entry"], json!({ "id": 1, "number": "INC1" }));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_between_leads_to_where_it_led_then() {
    let meanwhile = [
        "insert into article_data values (50, 40, 'body', 'b')",
        "update article set ticket_number = 'INC2' where id = 40",
        "insert into article_data values (51, 40, 'body', 'c')",
        "truncate article",
        "insert into article_data values (52, 40, 'body', 'd')",
    ];
    let (told, _) = told(&DESK, 2, &meanwhile, 3).await;
    assert_eq!(told, ["INC1 reply-added 50", "INC2 reply-added 51", "INC2 reply-added 52"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_entry_was_called_by_is_another_ones_now() {
    let meanwhile = [
        "insert into article_data values (50, 40, 'body', 'b')",
        "update incident set number = 'INC9' where id = 1",
        "insert into incident values (3, 'INC1', 'new', 7)",
        "insert into article_data values (51, 40, 'body', 'c')",
    ];
    let (told, bodies) = told(&DESK, 2, &meanwhile, 4).await;
    assert_eq!(told, ["INC1 reply-added 50", "INC9 update", "INC1 create", "INC1 reply-added 51"]);
    assert_eq!((&bodies[0]["entry"]["id"], &bodies[3]["entry"]["id"]), (&json!(1), &json!(3)));
}

/// What the log has not told of is kept when it was found.
#[tokio::test(flavor = "multi_thread")]
async fn rows_from_before_walhook_lead_on_once_they_were_found() {
    let (site, receiver) = (Site::new(SCHEMA).await, Receiver::start().await);
    let session = site.session().await;
    one_by_one(&session, &DESK).await;
    let webhook = format!(
        "[[webhooks]]\nname = \"all\"\nevents = [\"incident.reply-added\"]\ncallback.url = \"{}\"\n",
        receiver.url()
    );
    site.configure(&format!("{FORMS}\n{webhook}"));
    let walhook = site.start().await;
    one_by_one(&session, &["insert into article_data values (50, 40, 'body', 'b')"]).await;
    arrived(&receiver, 1).await;
    assert_eq!(walhook.stop(), 0);
    one_by_one(
        &session,
        &[
            "insert into article_data values (51, 40, 'body', 'c')",
            "delete from article",
            "delete from incident",
        ],
    )
    .await;
    let walhook = site.start().await;
    arrived(&receiver, 2).await;
    assert_eq!(events(&receiver), ["INC1 reply-added 50", "INC1 reply-added 51"]);
    assert_eq!(walhook.stop(), 0);
}

/// The log has only the key of a row that is deleted.
#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_a_row_ends_although_walhook_has_forgotten_it() {
    let schema = "create table ticket (id int primary key, title text);
        create table custom_value (id int primary key, ticket_id int, field_id int, value text)";
    let (site, receiver) = (Site::new(schema).await, Receiver::start().await);
    site.configure(&format!(
        "[[forms]]\nname = \"Ticket\"\ntable = \"ticket\"\n[[forms.attributes]]\ntable = \"custom_value\"\n\
         parent = \"ticket_id\"\nattribute = \"field_id\"\nvalue = \"value\"\n[forms.attributes.fields]\nSeverity = \"42\"\n\
         [[webhooks]]\nname = \"all\"\nform = \"Ticket\"\nevents = [\"create\", \"update\"]\ncallback.url = \"{}\"\n",
        receiver.url()
    ));
    let walhook = site.start().await;
    let session = site.session().await;
    one_by_one(
        &session,
        &["insert into ticket values (1, 'printer')", "insert into custom_value values (5, 1, 42, 'high')"],
    )
    .await;
    arrived(&receiver, 2).await;
    assert_eq!(walhook.stop(), 0);
    let walhook = site.start().await;
    one_by_one(&session, &["delete from custom_value where id = 5"]).await;
    arrived(&receiver, 3).await;
    let last = &bodies(&receiver, "all")[2];
    assert_eq!((&last["event"], &last["entry_id"]), (&json!("update"), &json!("1")));
    assert_eq!((&last["entry"]["title"], &last["entry"]["Severity"]), (&json!("printer"), &Value::Null));
    assert_eq!(walhook.stop(), 0);
}

/// Whether a row is an entry is judged as of the change: a note was lost because its ticket had been closed for good by the
/// time that the note was read.
#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_an_entry_is_told_although_that_is_none_by_now() {
    let schema =
        "create table ticket (id int primary key, kind text, title text, removed boolean default false);
        alter table ticket replica identity full;
        create table note (id int primary key, ticket_id int)";
    let (site, receiver) = (Site::new(schema).await, Receiver::start().await);
    site.configure(&format!(
        "[[forms]]\nname = \"Incident\"\ntable = \"ticket\"\nwhere = '''\"incident\" = 'kind' '''\ndeleted = \"removed\"\n\
         emitted = [\"escalated\"]\n         [[forms.children]]\nverb = \"note-added\"\ntable = \"note\"\nparent = \"ticket_id\"\n[[webhooks]]\nname = \"all\"\n\
         form = \"Incident\"\nevents = [\"create\", \"update\", \"delete\", \"note-added\", \"escalated\"]\ncallback.url = \"{}\"\n",
        receiver.url()
    ));
    let walhook = site.start().await;
    let session = site.session().await;
    let tickets = "insert into ticket select id, 'incident', 'printer' from generate_series(1, 3) as id";
    one_by_one(&session, &[tickets, "insert into ticket values (4, 'task', 'none')"]).await;
    arrived(&receiver, 3).await;
    assert_eq!(walhook.stop(), 0);
    one_by_one(
        &session,
        &[
            "insert into note values (10, 1)",
            "update ticket set removed = true where id = 1",
            "insert into note values (11, 1)",
            "insert into note values (20, 2)",
            "delete from ticket where id = 2",
            "insert into note values (21, 2)",
            "insert into note values (30, 3)",
            "update ticket set kind = 'task' where id = 3",
            "insert into note values (40, 4)",
            "update ticket set kind = 'incident' where id = 4",
            "insert into note values (41, 4)",
            // of an entry that nobody has told of
            "select pg_logical_emit_message(true, 'walhook.emit',
                '{\"form\": \"Incident\", \"entry_id\": \"99\", \"event\": \"escalated\"}')",
        ],
    )
    .await;
    let walhook = site.start().await;
    arrived(&receiver, 13).await;
    let expected = [
        "1 note-added 10",
        "1 delete",
        "2 note-added 20",
        "2 delete",
        // nobody has said of a row that is gone whether it was an entry at last
        "2 note-added 21",
        "3 note-added 30",
        "3 delete",
        "4 create",
        "4 note-added 41",
        "99 escalated",
    ];
    assert_eq!(events(&receiver).split_off(3), expected);
    assert_eq!(walhook.stop(), 0);
}
