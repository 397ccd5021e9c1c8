//! What changes mean beside create, update and delete: transitions, merges, who made them, and for whom they are none.

use crate::receiver::Receiver;
use crate::registration::{arrived, one_by_one};
use crate::running::Site;
use serde_json::{Value, json};

const SCHEMA: &str = "
    create table request (
        id int primary key, status int not null default 0, team int, member int,
        merged_into int, is_merged boolean not null default false, changed_by text);
    alter table request replica identity full";

const FORM: &str = r#"
[[forms]]
name = "Request"
table = "request"
[forms.fields]
Status = { column = "status", labels = ["New", "Assigned", "Closed"] }
[[forms.transitions]]
verb = "status-changed"
field = "Status"
[[forms.transitions]]
verb = "closed"
field = "status"
to = "Closed"
[[forms.transitions]]
verb = "reopened"
field = "Status"
from = ["Closed"]
to = ["New", "1"]
[[forms.transitions]]
verb = "team-changed"
field = "team"
[forms.merge]
origins = ["etl"]
marker = ["merged_into", "is_merged"]
target = "merged_into"
[forms.actor]
column = "changed_by"
"#;

fn webhook(name: &str, keys: &str, receiver: &Receiver) -> String {
    format!(
        "[[webhooks]]\nname = \"{name}\"\nform = \"Request\"\ncallback.url = \"{}\"\n{keys}\n",
        receiver.url()
    )
}

/// The bodies that a webhook received, in the order of their sequence.
fn bodies(receiver: &Receiver, webhook: &str) -> Vec<Value> {
    let mut bodies: Vec<Value> = receiver.requests().iter().map(crate::receiver::Request::json).collect();
    bodies.retain(|body| body["webhook"] == webhook);
    bodies.sort_by_key(|body| body["sequence"].as_u64());
    bodies
}

fn events(receiver: &Receiver, webhook: &str) -> Vec<String> {
    let event =
        |body: Value| format!("{} {}", body["entry_id"].as_str().unwrap(), body["event"].as_str().unwrap());
    bodies(receiver, webhook).into_iter().map(event).collect()
}

const ALL: &str = r#"events = ["create", "update", "merge", "delete", "status-changed", "closed", "reopened", "team-changed"]"#;

#[tokio::test(flavor = "multi_thread")]
async fn a_form_has_words_for_the_changes_of_its_fields() {
    let (site, receiver) = (Site::new(SCHEMA).await, Receiver::start().await);
    let pairs = r#"events = ["request.closed"]
condition = "'team' != 9""#;
    let pairs = webhook("closed", pairs, &receiver).replace("form = \"Request\"\n", "");
    site.configure(&format!("{FORM}{}{pairs}", webhook("all", ALL, &receiver)));
    let walhook = site.start().await;
    let session = site.session().await;
    one_by_one(
        &session,
        &[
            "insert into request (id, team) values (1, 5)",
            "update request set status = 1",
            "update request set team = null",
            "update request set team = 9, status = 2",
            "update request set status = 0, changed_by = 'jane'",
            // changed, and changed back: nothing
            "begin; update request set status = 2; update request set status = 0; commit",
            // in one transaction: from the first to the last
            "begin; update request set status = 2, team = 4; update request set status = 2; delete from request; commit",
            "insert into request (id, team, status) values (2, 1, 1)",
            "update request set status = 2",
        ],
    )
    .await;
    arrived(&receiver, 18).await;
    assert_eq!(
        events(&receiver, "all"),
        [
            "1 create",
            "1 update",
            "1 status-changed",
            "1 update",
            "1 team-changed",
            "1 update",
            "1 status-changed",
            "1 closed",
            "1 team-changed",
            "1 update",
            "1 status-changed",
            "1 reopened",
            "1 delete",
            "2 create",
            "2 update",
            "2 status-changed",
            "2 closed",
        ]
    );
    assert_eq!(events(&receiver, "closed"), ["2 closed"]);
    let all = bodies(&receiver, "all");
    assert_eq!(all[2]["transition"], json!({ "field": "Status", "from": 0, "to": 1 }));
    assert_eq!(all[4]["transition"], json!({ "field": "team", "from": 5, "to": null }));
    assert_eq!(all[2]["changed"], all[1]["changed"]);
    assert_eq!((&all[2]["noun"], &all[2]["entry"]["Status"]), (&json!("request"), &json!(1)));
    assert_eq!((&all[9]["actor"], &all[8]["actor"]), (&json!("jane"), &Value::Null));
    let mut ids: Vec<&str> = all.iter().map(|body| body["id"].as_str().unwrap()).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), all.len(), "each has an identity of its own");
    assert_eq!(walhook.stop(), 0);
}

// R-AR-05
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_is_told_by_the_first_rule_that_fits() {
    let (site, receiver) = (Site::new(SCHEMA).await, Receiver::start().await);
    let classic = |name: &str, format: &str, events: &str| {
        webhook(name, &format!("format = \"{format}\"\nevents = {events}"), &receiver)
    };
    let both = r#"["create", "update"]"#;
    site.configure(&format!(
        "{FORM}{}{}{}{}",
        webhook("all", ALL, &receiver),
        classic("data", "datagerry", both),
        classic("gear", "changegear", r#"["create"]"#),
        classic("itrp", "itrp", both),
    ));
    let walhook = site.start().await;
    let session = site.session().await;
    session.batch_execute("select pg_replication_origin_create('etl')").await.unwrap();
    one_by_one(
        &session,
        &[
            "begin; select pg_logical_emit_message(true, 'walhook.merge', ''); insert into request values (1); commit",
            "begin; select pg_logical_emit_message(true, 'walhook.merge', ''); update request set team = 1; commit",
            // behind the rows that came before it, and not when it is not transactional
            "begin; update request set team = 2; select pg_logical_emit_message(true, 'walhook.merge', ''); commit",
            "begin; select pg_logical_emit_message(false, 'walhook.merge', ''); update request set team = 3; commit",
            "select pg_replication_origin_session_setup('etl')",
            "insert into request values (2)",
            "update request set team = 1 where id = 2",
            "delete from request where id = 2",
            "select pg_replication_origin_session_reset()",
            "begin; delete from request; insert into request (id, team) values (1, 7); commit",
            "update request set is_merged = true",
            "update request set is_merged = false",
            "update request set merged_into = 70",
            "insert into request (id, merged_into) values (3, 1)",
        ],
    )
    .await;
    arrived(&receiver, 42).await;
    assert_eq!(
        events(&receiver, "all"),
        [
            "1 merge",
            "1 merge",
            "1 team-changed",
            "1 update",
            "1 team-changed",
            "1 update",
            "1 team-changed",
            "2 merge",
            "2 merge",
            "2 team-changed",
            "2 delete",
            "1 merge",
            "1 team-changed",
            "1 merge",
            "1 update",
            "1 merge",
            "3 merge",
        ]
    );
    let all = bodies(&receiver, "all");
    assert_eq!((&all[15]["merged_into"], &all[13]["merged_into"]), (&json!("70"), &Value::Null));
    assert_eq!((&all[7]["origin"], &all[0]["changed"]), (&json!("etl"), &Value::Null));
    // products that have no word for it hear of a create or an update
    let of_format = |key: &str| -> Vec<Value> {
        let bodies = receiver.requests().into_iter().map(|request| request.json());
        bodies.filter(|body| !body[key].is_null()).map(|body| body[key].clone()).collect()
    };
    let count = |values: &[Value], value: &str| values.iter().filter(|one| **one == *value).count();
    let operations = of_format("operation");
    assert_eq!((count(&operations, "CREATE"), count(&operations, "UPDATE")), (3, 8));
    assert_eq!(of_format("Event"), ["Create", "Create", "Create"]);
    let itrp: Vec<Value> = receiver.requests().iter().map(crate::receiver::Request::json).collect();
    let of_itrp: Vec<Value> =
        itrp.iter().filter(|body| body["webhook_id"].is_number()).map(|body| body["event"].clone()).collect();
    assert_eq!((count(&of_itrp, "request.create"), count(&of_itrp, "request.update")), (3, 8));
    assert_eq!(walhook.stop(), 0);
}

// R-IT-28
#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_does_not_hear_of_those_it_excludes() {
    let (site, receiver) = (Site::new(SCHEMA).await, Receiver::start().await);
    let keys = |exclude: &str| format!("{exclude}\nevents = [\"create\"]");
    site.configure(&format!(
        "{FORM}{}{}{}{}{}",
        webhook("all", &keys(""), &receiver),
        webhook("origins", &keys("exclude.origins = [\"replica\"]"), &receiver),
        webhook("actors", &keys("exclude.actors = [\"jane\", \"sync\"]"), &receiver),
        webhook("marks", &keys("exclude.marks = [\"echo\"]"), &receiver),
        webhook("itrp", &keys("format = \"itrp\""), &receiver),
    ));
    let walhook = site.start().await;
    let session = site.session().await;
    session.batch_execute("select pg_replication_origin_create('replica')").await.unwrap();
    let said = |prefix: &str, content: &str, then: &str| {
        format!(
            "begin; select pg_logical_emit_message(true, 'walhook.{prefix}', '{content}'); {then}; commit"
        )
    };
    one_by_one(
        &session,
        &[
            "insert into request values (1)",
            "select pg_replication_origin_session_setup('replica')",
            "insert into request values (2)",
            "select pg_replication_origin_session_reset()",
            "insert into request (id, changed_by) values (3, 'jane')",
            &said("actor", "sync", "insert into request (id, changed_by) values (4, 'bob')"),
            &said("mark", "echo", "insert into request values (5)"),
            &said("bulk", "", "insert into request values (6), (7)"),
            &said(
                "bulk",
                "on",
                &said("bulk", "off", "insert into request values (8)")
                    .replace("begin; ", "")
                    .replace("; commit", ""),
            ),
        ],
    )
    .await;
    arrived(&receiver, 8 + 7 + 6 + 7 + 6).await;
    let ids = |name: &str| -> Vec<String> {
        bodies(&receiver, name).iter().map(|body| body["entry_id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("all").len(), 8);
    assert_eq!(ids("origins"), ["1", "3", "4", "5", "6", "7", "8"]);
    assert_eq!(ids("actors"), ["1", "2", "5", "6", "7", "8"]);
    assert_eq!(ids("marks"), ["1", "2", "3", "4", "6", "7", "8"]);
    let requests = receiver.requests();
    let itrp =
        requests.iter().map(crate::receiver::Request::json).filter(|body| body["object_id"].is_number());
    let mut itrp: Vec<u64> = itrp.map(|body| body["object_id"].as_u64().unwrap()).collect();
    itrp.sort_unstable();
    assert_eq!(itrp, [1, 2, 3, 4, 5, 8], "an import is silent there");
    let all = bodies(&receiver, "all");
    assert_eq!(
        (&all[4]["marks"], &all[5]["bulk"], &all[3]["actor"]),
        (&json!(["echo"]), &json!(true), &json!("sync"))
    );
    assert_eq!(walhook.stop(), 0);
}

/// The column refers to the other entry by its key, and entries are known by their numbers.
#[tokio::test(flavor = "multi_thread")]
async fn a_merge_names_its_target_by_its_entry_id() {
    let schema = "create table ticket (id int primary key, number text not null, merged_into int);
        alter table ticket replica identity full; insert into ticket values (1, 'T-1')";
    let (site, receiver) = (Site::new(schema).await, Receiver::start().await);
    let form = r#"
[[forms]]
name = "Ticket"
table = "ticket"
entry_id = "number"
merge = { marker = "merged_into", target = "merged_into", references = "id" }
"#;
    let webhook = format!(
        "[[webhooks]]\nname = \"all\"\nevents = [\"ticket.merge\"]\ncallback.url = \"{}\"\n",
        receiver.url()
    );
    site.configure(&format!("{form}{webhook}"));
    let walhook = site.start().await;
    one_by_one(
        &site.session().await,
        &[
            "insert into ticket values (2, 'T-2', 1)",
            // as it is at the end of the transaction
            "begin; insert into ticket values (3, 'T-3', null), (4, 'T-4', 3); update ticket set number = 'T-33' where id = 3; commit",
            "update ticket set merged_into = 4 where id = 2",
            "update ticket set merged_into = 99 where id = 2",
        ],
    )
    .await;
    arrived(&receiver, 4).await;
    let told: Vec<_> = bodies(&receiver, "all")
        .iter()
        .map(|body| (body["entry_id"].clone(), body["merged_into"].clone()))
        .collect();
    let expected =
        [("T-2", json!("T-1")), ("T-4", json!("T-33")), ("T-2", json!("T-4")), ("T-2", Value::Null)];
    assert_eq!(told, expected.map(|(entry, target)| (json!(entry), target)));
    assert_eq!(walhook.stop(), 0);
}
