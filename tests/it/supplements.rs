//! Fields of entries that stand in rows of other tables, and entries that are deleted by a column.

use crate::receiver::{Receiver, Request};
use crate::registration::{arrived, one_by_one};
use crate::running::Site;
use serde_json::{Value, json};

const SCHEMA: &str = "
    create table ticket (id int primary key, title text, queue int);
    create table custom_value (id int primary key, ticket_id int, field_id int, value_text text, value_int int,
        active boolean default true);
    alter table custom_value replica identity full;
    create table ticket_state (ticket_id int primary key, disabled boolean, price numeric(9, 2));
    create table product (sku text primary key, title text, removed boolean not null default false);
    create table product_value (product text, name text, value text, primary key (product, name));
    alter table product replica identity full;
";

const FORMS: &str = r#"
[[forms]]
name = "Ticket"
table = "ticket"
[[forms.transitions]]
verb = "severity-changed"
field = "Severity"
[[forms.attributes]]
table = "custom_value"
parent = "ticket_id"
attribute = "field_id"
value = ["value_text", "value_int"]
where = "'active' = \"true\""
[forms.attributes.fields]
Severity = "42"
Score = "43"
[[forms.extensions]]
table = "ticket_state"
parent = "ticket_id"
[forms.extensions.fields]
Disabled = "disabled"
Price = "price"
[[forms]]
name = "Product"
table = "product"
deleted = { column = "removed", values = "t" }
[[forms.attributes]]
table = "product_value"
parent = "product"
attribute = "name"
value = "value"
[forms.attributes.fields]
Colour = "colour"
"#;

struct Play {
    site: Site,
    walhook: crate::running::Running,
    receiver: Receiver,
}

impl Play {
    /// With tickets and products that were there before.
    async fn start(before: &[&str]) -> Self {
        let (site, receiver) = (Site::new(SCHEMA).await, Receiver::start().await);
        let session = site.session().await;
        one_by_one(&session, before).await;
        site.configure(&format!(
            "{FORMS}\n[[webhooks]]\nname = \"all\"\nevents = [\"ticket.create\", \"ticket.update\", \"ticket.delete\",
             \"ticket.severity-changed\", \"product.create\", \"product.update\", \"product.delete\"]\ncallback.url = \"{0}\"\n\
             [[webhooks]]\nname = \"grave\"\nevents = [\"ticket.update\"]\ncondition = \"'Severity' = \\\"high\\\"\"\n\
             send_unchanged_fields = true\ncallback.url = \"{0}\"\n",
            receiver.url()
        ));
        let walhook = site.start().await;
        Self { site, walhook, receiver }
    }

    async fn run(&self, statements: &[&str]) {
        one_by_one(&self.site.session().await, statements).await;
    }

    /// What came: the event, the entry, and the fields that changed, as `old>new`.
    fn told(&self, webhook: &str) -> Vec<String> {
        let mut bodies: Vec<Value> = self.receiver.requests().iter().map(Request::json).collect();
        bodies.retain(|body| body["webhook"] == webhook);
        bodies.sort_by_key(|body| body["sequence"].as_u64());
        let told = |body: &Value| {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let mut told = format!("{} {}", text(&body["event"]), text(&body["entry_id"]));
            for (field, values) in body["changed"].as_object().into_iter().flatten() {
                let old = values.get("old").map_or_else(|| "?".to_owned(), text);
                told += &format!(" {field}:{old}>{}", text(&values["new"]));
            }
            told
        };
        bodies.iter().map(told).collect()
    }

    /// What an entry was, in the last that came of it.
    fn last(&self, webhook: &str) -> Value {
        let mut bodies: Vec<Value> = self.receiver.requests().iter().map(Request::json).collect();
        bodies.retain(|body| body["webhook"] == webhook);
        bodies.sort_by_key(|body| body["sequence"].as_u64());
        bodies.pop().unwrap()["entry"].clone()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_is_a_row_of_another_table_is_a_field_of_the_entry() {
    let play = Play::start(&[]).await;
    play.run(&[
        "begin; insert into ticket values (1, 'printer', 7); insert into custom_value values (10, 1, 42, 'low', null),
            (11, 1, 43, null, 5), (12, 1, 99, 'unknown', null); commit",
        "update custom_value set value_text = 'high' where id = 10",
        // the old value's row is disabled, and a new one inserted
        "begin; update custom_value set active = false where id = 10;
            insert into custom_value values (13, 1, 42, 'higher', null); commit",
        // or the other way round
        "begin; insert into custom_value values (14, 1, 42, 'highest', null);
            update custom_value set active = false where id = 13; commit",
        "delete from custom_value where id = 11",
        // of no field that is known, and nothing that counts
        "update custom_value set value_text = 'x' where id = 12",
        "update custom_value set value_text = 'x' where id = 10",
        // with the entry's own row, of which the log has no old values
        "begin; update custom_value set value_text = 'low' where id = 14;
            update ticket set title = 'printers' where id = 1; commit",
        // and back again
        "begin; update custom_value set value_text = 'x' where id = 14;
            update custom_value set value_text = 'low' where id = 14; commit",
        "begin; update custom_value set value_text = 'gone' where id = 14; rollback",
    ])
    .await;
    arrived(&play.receiver, 11).await;
    let expected = [
        "create 1",
        "update 1 Severity:low>high",
        "severity-changed 1 Severity:low>high",
        "update 1 Severity:high>higher",
        "severity-changed 1 Severity:high>higher",
        "update 1 Severity:higher>highest",
        "severity-changed 1 Severity:higher>highest",
        "update 1 Score:5>null",
        "update 1 Severity:highest>low queue:?>7 title:?>printers",
        "severity-changed 1 Severity:highest>low queue:?>7 title:?>printers",
    ];
    assert_eq!(play.told("all"), expected);
    let expected = json!({ "id": 1, "title": "printers", "queue": 7, "Severity": "low", "Score": null,
        "Disabled": null, "Price": null });
    assert_eq!(play.last("all"), expected);
    assert_eq!(play.told("grave"), ["update 1 Severity:low>high"]);
    assert_eq!(play.walhook.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn state_that_is_kept_in_another_table_is_of_the_entry() {
    let play = Play::start(&[]).await;
    play.run(&[
        "insert into ticket values (1, 'printer', 7)",
        "insert into ticket_state values (1, false, 9.50)",
        "update ticket_state set price = 10 where ticket_id = 1",
        // another ticket's from now on
        "insert into ticket values (2, 'mouse', 8)",
        "update ticket_state set ticket_id = 2 where ticket_id = 1",
        "begin; delete from ticket_state where ticket_id = 2; delete from ticket where id = 2; commit",
    ])
    .await;
    arrived(&play.receiver, 7).await;
    let expected = [
        "create 1",
        "update 1 Disabled:null>false Price:null>9.5",
        "update 1 Price:9.5>10.0",
        "create 2",
        "update 1 Disabled:false>null Price:10.0>null",
        "update 2 Disabled:null>false Price:null>10.0",
        "delete 2",
    ];
    assert_eq!(play.told("all"), expected);
    assert_eq!(play.walhook.stop(), 0);
}

/// Entries that were there before: what they have elsewhere is asked of the database, but never told as what it was.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_log_has_not_told_is_looked_up_but_never_as_what_was() {
    let play = Play::start(&[
        "insert into ticket values (1, 'printer', 7), (2, 'mouse', 7)",
        "insert into custom_value values (10, 1, 42, 'high', null), (11, 1, 43, null, 5)",
        "insert into ticket_state values (1, false, 9.50), (2, true, 1)",
    ])
    .await;
    play.run(&[
        "update ticket set title = 'printers' where id = 1",
        "update ticket_state set price = 2 where ticket_id = 2",
        "update ticket_state set price = 3 where ticket_id = 2",
    ])
    .await;
    arrived(&play.receiver, 4).await;
    // the second table has no old values: what the first change made of it is not known
    let expected = ["update 1", "update 2 Disabled:?>true Price:?>2.0", "update 2 Price:2.0>3.0"];
    assert_eq!(play.told("all"), expected);
    let expected = json!({ "id": 1, "title": "printers", "queue": 7, "Severity": "high", "Score": "5", "Disabled": false,
        "Price": 9.50 });
    assert_eq!(play.last("grave"), expected);
    assert_eq!(play.walhook.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_entry_is_deleted_by_its_column_and_comes_back() {
    let play = Play::start(&["insert into product values ('a', 'axe', false), ('b', 'bow', true)"]).await;
    play.run(&[
        "update product set title = 'big axe' where sku = 'a'",
        "update product set removed = true, title = 'no axe' where sku = 'a'",
        "update product set title = 'x' where sku = 'a'",
        "update product set removed = false where sku = 'a'",
        "update product set title = 'y' where sku = 'b'",
        "insert into product_value values ('b', 'colour', 'red'), ('a', 'colour', 'blue')",
        "begin; update product set removed = false where sku = 'b'; update product set removed = true where sku = 'b'; commit",
        "delete from product where sku = 'b'",
        "delete from product where sku = 'a'",
    ])
    .await;
    arrived(&play.receiver, 5).await;
    let expected =
        ["update a title:axe>big axe", "delete a", "create a", "update a Colour:?>blue", "delete a"];
    assert_eq!(play.told("all"), expected);
    assert_eq!(play.walhook.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_the_log_would_not_tell_is_refused() {
    let (site, receiver) = (Site::new(SCHEMA).await, Receiver::start().await);
    one_by_one(
        &site.session().await,
        &[
            "alter table product replica identity default",
            "alter table custom_value replica identity default",
        ],
    )
    .await;
    site.configure(&format!(
        "{FORMS}\n[[webhooks]]\nname = \"all\"\nform = \"Product\"\nevents = [\"update\"]\ncallback.url = \"{0}\"\n",
        receiver.url()
    ));
    site.run(&["setup", "--apply"]);
    let (code, output) = site.run(&["check"]);
    assert_ne!(code, 0, "{output}");
    assert!(output.contains("whether an entry was deleted before a change is not known"), "{output}");
    assert!(output.contains("alter table public.product replica identity full;"), "{output}");
    // the key of one table says it all, that of the other does not
    assert!(output.contains("form \"Ticket: attributes 1\": a row that is deleted does not say"), "{output}");
    assert!(!output.contains("form \"Product: attributes 1\": a row that is deleted"), "{output}");
}
