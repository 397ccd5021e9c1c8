//! Automation rules: what webhooks are told when something happens and a condition holds.

use crate::receiver::{Receiver, Request};
use crate::registration::{arrived, one_by_one};
use crate::running::Site;
use serde_json::{Value, json};

const SCHEMA: &str = "
    create table ticket (id int primary key, state text, urgency int);
    alter table ticket replica identity full;
";

const FORM: &str = r#"
[[forms]]
name = "Ticket"
table = "ticket"
[[forms.rules]]
name = "urgent"
condition = "'urgency' > 3"
webhooks = "pager"
payload = { text = "{entry_id} is {state}, urgency {urgency}", urgency = "{urgency}", by = ["rule", 1] }
[[forms.rules]]
name = "closed"
events = "update"
condition = "'state' = \"closed\" AND 'DB.state' != \"closed\""
"#;

fn payloads(receiver: &Receiver, webhook: &str) -> Vec<Value> {
    let mut bodies: Vec<Value> = receiver.requests().iter().map(Request::json).collect();
    bodies.retain(|body| body["webhook"] == webhook);
    bodies.sort_by_key(|body| body["sequence"].as_u64());
    assert!(bodies.iter().all(|body| body["event"] == "automation_rule"), "{bodies:?}");
    bodies.iter().map(|body| body["payload"].clone()).collect()
}

// R-XU-25
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_tells_its_webhooks_what_it_says() {
    let (site, receiver) = (Site::new(SCHEMA).await, Receiver::start().await);
    let webhook = |name: &str| {
        format!(
            "[[webhooks]]\nname = \"{name}\"\nform = \"Ticket\"\nevents = [\"automation_rule\"]\n\
             callback.url = \"{}\"\n",
            receiver.url()
        )
    };
    site.configure(&format!("{FORM}{}{}", webhook("pager"), webhook("desk")));
    let walhook = site.start().await;
    let session = site.session().await;
    one_by_one(
        &session,
        &[
            "insert into ticket values (1, 'new', 3)",
            "insert into ticket values (2, 'new', 4)",
            // both rules at once
            "update ticket set state = 'closed', urgency = 5 where id = 2",
            "update ticket set urgency = 1 where id = 2",
            "delete from ticket where id = 1",
        ],
    )
    .await;
    arrived(&receiver, 4).await;
    let text = |text: &str, urgency: i32| json!({ "text": text, "urgency": urgency, "by": ["rule", 1] });
    let expected = [text("2 is new, urgency 4", 4), text("2 is closed, urgency 5", 5), json!({})];
    assert_eq!(payloads(&receiver, "pager"), expected);
    assert_eq!(payloads(&receiver, "desk"), [json!({})]);
    let ids: std::collections::BTreeSet<String> =
        receiver.requests().iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(ids.len(), 4);
    assert_eq!(walhook.stop(), 0);
}

/// A rule that has words for both an update and a part of it told both, and both deliveries were called the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_rule_tells_of_a_change_once_whatever_it_is_called() {
    let (site, receiver) = (Site::new(SCHEMA).await, Receiver::start().await);
    site.configure(&format!(
        "[[forms]]\nname = \"Ticket\"\ntable = \"ticket\"\nemitted = [\"escalated\"]\n[[forms.transitions]]\nverb = \"state-changed\"\n\
         field = \"state\"\n[[forms.rules]]\nname = \"urgent\"\nevents = [\"update\", \"state-changed\", \"escalated\"]\n\
         payload = {{ state = \"{{state}}\" }}\n[[webhooks]]\nname = \"all\"\nform = \"Ticket\"\nevents = [\"automation_rule\"]\n\
         callback.url = \"{}\"\n",
        receiver.url()
    ));
    let walhook = site.start().await;
    one_by_one(
        &site.session().await,
        &[
            "insert into ticket values (1, 'new', 3)",
            "update ticket set state = 'open'",
            "update ticket set urgency = 4",
            // two things are said of it, beside the change
            "begin; update ticket set state = 'closed';
             select pg_logical_emit_message(true, 'walhook.emit', '{\"form\": \"Ticket\", \"entry_id\": \"1\", \"event\": \"escalated\"}');
             select pg_logical_emit_message(true, 'walhook.emit', '{\"form\": \"Ticket\", \"entry_id\": \"1\", \"event\": \"escalated\"}');
             commit",
            "update ticket set state = 'last'",
        ],
    )
    .await;
    arrived(&receiver, 6).await;
    let states: Vec<Value> =
        payloads(&receiver, "all").iter().map(|payload| payload["state"].clone()).collect();
    assert_eq!(states, ["open", "open", "closed", "closed", "closed", "last"]);
    let ids: std::collections::BTreeSet<String> =
        receiver.requests().iter().map(|request| request.id().to_owned()).collect();
    assert_eq!(ids.len(), 6);
    assert_eq!(walhook.stop(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_does_not_fit_is_told_and_nothing_else_waits_for_it() {
    let (site, receiver) = (Site::new(SCHEMA).await, Receiver::start().await);
    let form = FORM.replace("{urgency}\", by", "{Urgent}\", by");
    site.configure(&format!(
        "{form}[[webhooks]]\nname = \"all\"\nform = \"Ticket\"\nevents = [\"create\", \"automation_rule\"]\n\
         callback.url = \"{}\"\n",
        receiver.url()
    ));
    let walhook = site.start().await;
    let (code, output) = site.run(&["check"]);
    assert_ne!(code, 0, "{output}");
    assert!(
        output.contains("its payload names \"Urgent\", and form \"Ticket\" has no such field"),
        "{output}"
    );
    one_by_one(&site.session().await, &["insert into ticket values (1, 'new', 5)"]).await;
    arrived(&receiver, 1).await;
    assert_eq!(receiver.requests()[0].json()["event"], "create");
    let (_, quarantine) = site.run(&["queue", "quarantine", "--json"]);
    assert!(quarantine.contains("rule \\\"urgent\\\": its payload names"), "{quarantine}");
    assert_eq!(walhook.stop(), 0);
}

#[test]
fn a_rule_that_means_nothing_is_refused() {
    for (keys, expected) in [
        ("name = \"Urgent\"", "an event has lower case letters only"),
        ("name = \"urgent\"\nevents = [\"closed\"]", "\"closed\" is no event of the form"),
        ("name = \"urgent\"\npayload = \"[1]\"", "payload"),
        ("name = \"urgent\"\ncondition = \"'state' =\"", "condition"),
        ("name = \"urgent\"\n[[forms.rules]]\nname = \"urgent\"", "two rules of the form are named"),
    ] {
        let text = format!("[[forms]]\nname = \"Ticket\"\ntable = \"ticket\"\n[[forms.rules]]\n{keys}\n");
        let problems = walhook::app::config::Config::parse("w.toml".as_ref(), &text, &|_| None).err();
        let problems = problems.map(|problems| problems.to_string()).unwrap_or_default();
        assert!(problems.contains(expected), "{keys}: {problems}");
    }
}
