//! Programs that others wrote for the products whose interfaces walhook has, as they are on PyPI: pointed at walhook, they
//! work. What they do is in `clients/`, beside this file.

use super::arsys::{ArSystem, PASSWORD};
use super::itrp::Itrp;
use crate::python;
use crate::receiver::Receiver;
use crate::registration::{arrived, one_by_one};
use serde_json::{Value, json};

/// What a client said, by a script of ours.
fn play(folder: &str, script: &str, arguments: &[&str]) -> Option<Value> {
    python::play(folder, &format!("api/clients/{script}"), arguments, "")
}

fn webhook(receiver: &Receiver) -> Value {
    json!({
        "form_name": "HPD:Help Desk",
        "entry_events": ["create"],
        "callback": {
            "url": receiver.url(),
            "authentication": { "type": "basic", "username": "Demo", "password": "Demo123" },
        },
    })
}

// R-AR-10 R-AR-11 R-AR-21 R-AR-32
#[tokio::test(flavor = "multi_thread")]
async fn remedy_py_logs_in_manages_webhooks_and_logs_out() {
    let arsys = ArSystem::start().await;
    let receiver = Receiver::start().await;
    let port = arsys.site.base().rsplit(':').next().unwrap().to_owned();
    let webhook = webhook(&receiver).to_string();
    let arguments = ["127.0.0.1", &port, "Demo", PASSWORD, &webhook];
    let Some(said) = play("remedy", "with_remedy_py.py", &arguments) else { return };
    assert_eq!((&said["wrong"][0], &said["wrong"][1][0]["messageNumber"]), (&json!(401), &json!(623)));
    // walhook has no entries of forms, and says so in the product's way
    assert_eq!((&said["entry"][0], &said["entry"][1][0]["messageType"]), (&json!(404), &json!("ERROR")));
    assert_eq!((&said["created"][0], &said["created"][1]), (&json!(201), &Value::Null), "{said}");
    assert_eq!((&said["shown"][0], &said["shown"][1]["form_name"]), (&json!(200), &json!("HPD:Help Desk")));
    assert_eq!(said["shown"][1]["callback"]["authentication"]["password"], "********");
    assert_eq!((&said["changed"][0], &said["changed"][1]), (&json!(204), &Value::Null));
    assert_eq!(said["again"][1]["description"], "by remedy-py");
    assert_eq!(said["deleted"][0], 204);
    assert_eq!(said["logout"], json!([{}, 204]));
    assert_eq!(said["afterwards"][0], 401);
    assert_eq!(arsys.walhook.stop(), 0);
}

// R-AR-10 R-AR-11 R-AR-22 R-AR-32
#[tokio::test(flavor = "multi_thread")]
async fn remedy_client_logs_in_manages_webhooks_and_logs_out() {
    let arsys = ArSystem::start().await;
    let (session, receiver) = (arsys.site.session().await, Receiver::start().await);
    let arguments = [&arsys.site.base(), "Demo", PASSWORD, &webhook(&receiver).to_string()];
    let Some(said) = play("remedy", "with_remedy_client.py", &arguments) else { return };
    let refused = |name: &str, begin: &str| {
        let text = said[name].as_str().unwrap_or_default();
        assert!(text.starts_with(begin) && text.contains("\"messageNumber\""), "{name}: {said}");
    };
    refused("wrong", "401 - [");
    refused("form", "404 - [");
    assert_eq!((&said["created"], said["list"].as_array().unwrap().len()), (&json!(""), 1), "{said}");
    assert_eq!((&said["changed"], &said["enabled"]), (&json!(""), &json!("")));
    assert_eq!(
        (&said["shown"]["description"], &said["shown"]["enabled"]),
        (&json!("by remedy-client"), &json!(false))
    );
    refused("missing", "404 - [");
    assert_eq!(said["logout"], "");
    refused("afterwards", "401 - [");
    // what it registered is in force
    one_by_one(&session, &["insert into incident values (1, 'printer', 2, 3, 'New')"]).await;
    arrived(&receiver, 1).await;
    assert_eq!(receiver.requests()[0].header("authorization"), Some("Basic RGVtbzpEZW1vMTIz"));
    assert_eq!(arsys.walhook.stop(), 0);
}

// R-XU-01 R-XU-02 R-XU-03 R-XU-05 R-XU-06 R-XU-07 R-XU-08 R-XU-09 R-IT-27 R-XU-24
#[tokio::test(flavor = "multi_thread")]
async fn xurrent_manages_webhooks_and_follows_pages() {
    let itrp = Itrp::start("[admin.itrp]\naccount = \"widget\"\n").await;
    let (session, receiver) = (itrp.site.session().await, Receiver::start().await);
    let arguments = [&*format!("{}/v1", itrp.site.base()), "wht_admin", "widget", &receiver.url()];
    let Some(said) = play("xurrent", "with_xurrent.py", &arguments) else { return };
    assert_eq!((&said["created"]["id"], &said["created"]["disabled"]), (&json!(1), &json!(true)), "{said}");
    assert_eq!(said["shown"], said["created"]);
    assert_eq!(said["tested"], Value::Null);
    assert_eq!(
        (&said["changed"]["description"], said["changed"].get("disabled")),
        (&json!("by xurrent"), None)
    );
    assert_eq!(said["pages"], json!([3, 2, 1]));
    assert_eq!(
        (&said["enabled"], &said["disabled"], &said["deleted"]),
        (&json!(3), &json!([]), &Value::Null)
    );
    assert_eq!((&said["missing"][0], &said["missing"][1]["message"]), (&json!(404), &json!("Not Found")));
    assert_eq!(
        (&said["invalid"][0], &said["invalid"][1]["errors"]),
        (&json!(422), &json!(["uri can't be blank"]))
    );
    assert_eq!((&said["token"][0], &said["account"][0]), (&json!(401), &json!(404)));
    // the test has come, and so does what happens
    arrived(&receiver, 1).await;
    assert_eq!(receiver.requests()[0].json()["object_id"], 12345);
    one_by_one(&session, &["insert into problem values (7, 'printer')"]).await;
    arrived(&receiver, 2).await;
    assert_eq!(receiver.requests()[1].json()["object_id"], 7);
}
