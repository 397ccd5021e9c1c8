//! How bodies are written where the format leaves a choice: `[webhooks.body]`.

use crate::receiver::{Receiver, Request};
use crate::registration::{arrived, one_by_one};
use crate::running::Site;
use serde_json::{Value, json};

const SCHEMA: &str = "
    create table incident (id int primary key, guid text, status int, title text);
    alter table incident replica identity full;
";

const FORM: &str = r#"
[[forms]]
name = "HPD:Help Desk"
table = "incident"
record_id = "guid"
[forms.fields]
Status = { column = "status", labels = ["New", "Assigned"] }
"#;

/// A webhook of that name for all events, with these further keys.
fn webhook(receiver: &Receiver, name: &str, keys: &str) -> String {
    format!(
        "[[webhooks]]\nname = \"{name}\"\nform = \"HPD:Help Desk\"\nformat = \"arsys\"\n\
         events = [\"create\", \"update\", \"delete\"]\npayload_fields = [\"Status\"]\n\
         custom_json = {{ name = \"{name}\" }}\ncallback.url = \"{}\"\n{keys}\n",
        receiver.url()
    )
}

// R-AR-57 R-AR-58 R-AR-60
#[tokio::test(flavor = "multi_thread")]
async fn what_a_format_leaves_open_each_webhook_chooses() {
    let (site, receiver) = (Site::new(SCHEMA).await, Receiver::start().await);
    let webhooks = [
        ("usual", ""),
        ("always", "body.record_id = \"always\""),
        ("never", "body.record_id = \"never\""),
        ("label", "body.selections = \"label\""),
        ("both", "body.selections = \"both\""),
        ("skips", "body.skip_empty_updates = true"),
    ];
    let webhooks = webhooks.map(|(name, keys)| webhook(&receiver, name, keys)).concat();
    site.configure(&format!("{FORM}{webhooks}"));
    let walhook = site.start().await;
    one_by_one(
        &site.session().await,
        &[
            "insert into incident values (1, 'G1', 0, 'printer')",
            "update incident set title = 'printers'",
            "update incident set status = 1",
            "delete from incident",
        ],
    )
    .await;
    arrived(&receiver, 6 * 4 - 1).await;
    let told = |name: &str, key: &str| {
        let mut requests = receiver.requests();
        requests.sort_by_key(Request::sequence);
        let bodies = requests.iter().map(Request::json).filter(|body| body["custom_json"]["name"] == name);
        bodies.map(|body| body[key].clone()).collect::<Vec<_>>()
    };
    let null = Value::Null;
    assert_eq!(told("usual", "record_id"), [json!("G1"), null.clone(), null.clone(), null.clone()]);
    assert_eq!(told("always", "record_id"), [json!("G1"), json!("G1"), json!("G1"), null.clone()]);
    assert_eq!(told("never", "record_id"), [const { Value::Null }; 4]);
    let details = |status: [Value; 2]| {
        let [created, changed] = status.map(|status| json!({ "Status": status }));
        [created, json!({}), changed, Value::Null]
    };
    assert_eq!(told("usual", "entry_details"), details([json!(0), json!(1)]));
    assert_eq!(told("label", "entry_details"), details([json!("New"), json!("Assigned")]));
    let both = |value: i32, label: &str| json!({ "value": value, "label": label });
    assert_eq!(told("both", "entry_details"), details([both(0, "New"), both(1, "Assigned")]));
    assert_eq!(told("skips", "entry_event"), ["create", "update", "delete"]);
    assert_eq!(walhook.stop(), 0);
}
