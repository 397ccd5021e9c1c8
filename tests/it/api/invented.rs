//! The API against requests that schemathesis invents by its OpenAPI document: every answer must be one that the document
//! tells of, and nothing may break.

use super::running::start_with;
use crate::port;
use crate::running::PATIENCE;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// How many requests are invented for each operation and phase; `make schemathesis` invents more.
fn examples() -> String {
    std::env::var("EXAMPLES").unwrap_or_else(|_| "15".into())
}

/// Webhooks are registered for real, and nothing leaves this machine: whoever is registered goes out by a proxy that is
/// not there. An account is asked for, as where it matters.
#[tokio::test(flavor = "multi_thread")]
async fn every_answer_is_one_that_the_document_tells_of() {
    let tool = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/schemathesis/bin/schemathesis");
    if !tool.exists() {
        assert!(
            std::env::var_os("SCHEMATHESIS").is_none(),
            "scripts/schemathesis has not made {}",
            tool.display()
        );
        eprintln!("schemathesis is not there (scripts/schemathesis): the API is not tried by it");
        return;
    }
    let token = "wht_0123456789abcdefghijklmnopqrstuvwxyzABCDEF";
    let hash = walhook::admin::hashes::TokenHash::of(token);
    let further = format!(
        "[[admin.tokens]]\nname = \"inventor\"\ntoken = \"{hash}\"\nrole = \"admin\"\n[dispatch]\nproxy = \"http://127.0.0.1:{}\"\n",
        port::unused()
    );
    let running = start_with(&further, &["setup", "--apply", "--registration"], Some(token)).await;
    running.sql("insert into ticket values (1, 'first', 0, null), (2, 'second', 5, null)").await;
    running.wait_for("pager/2", "delivered").await;
    let document: Value = serde_json::from_str(&running.document().await).unwrap();
    let folder = running.site.folder.path();
    // first whatever the document allows, most of which is refused; then what can be registered
    // (what a filter or a condition must be is more than a schema can say)
    let wild = ("as-it-is.json", document.clone(), "positive_data_acceptance");
    let narrow = ("narrow.json", narrowed(document), "positive_data_acceptance,negative_data_rejection");
    for (name, document, unchecked) in [wild, narrow] {
        std::fs::write(folder.join(name), document.to_string()).unwrap();
        let run = Command::new(&tool)
            .args(["run", name, "--url", &format!("{}/api/v1", running.site.base())])
            .args(["--header", &format!("Authorization: Bearer {token}")])
            .args(["--max-examples", &examples(), "--seed", "7", "--no-color"])
            .args(["--checks", "all", "--exclude-checks", unchecked])
            .current_dir(folder)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stdout).into_owned() + &String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success(), "{name}: {said}");
    }
    let session = running.site.session().await;
    let written = "select pg_stat_get_tuples_inserted('walhook.webhook'::regclass)";
    let started = Instant::now();
    while session.query_one(written, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        assert!(started.elapsed() < PATIENCE, "nothing was ever registered");
        // the server counts a moment later
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    running.wait_for("pager/2", "delivered").await;
    assert_eq!(running.walhook.stop(), 0);
}

/// The document with such values only as this site knows: forms, words, durations, numbers of webhooks.
fn narrowed(mut document: Value) -> Value {
    let schemas = &mut document["components"]["schemas"];
    let fields = schemas["WebhookBody"]["properties"].as_object_mut().unwrap();
    fields.retain(|name, _| !["forms", "product", "signature", "backlog_bytes_max"].contains(&name.as_str()));
    let words = |words: &[&str]| json!({ "type": "string", "enum": words });
    let list = |one: Value| json!({ "type": "array", "items": one, "minItems": 1, "maxItems": 2, "uniqueItems": true });
    for (name, schema) in [
        ("form", words(&["Help Desk", "*"])),
        ("events", list(words(&["create", "update", "merge", "delete", "request.update"]))),
        ("condition", words(&["'Status' = \"New\"", "'Short Description' LIKE \"%a%\""])),
        ("payload_fields", list(words(&["Status", "Short Description", "8"]))),
        ("format", words(&["native", "arsys", "itrp", "datagerry", "changegear"])),
        ("name", json!({ "type": "string", "pattern": "^[a-z]{1,20}$" })),
        ("mail_exceptions_to", list(words(&["desk@example.org", "Boss <boss@example.org>"]))),
        ("on_exhausted", words(&["skip", "block"])),
        ("retention", words(&["1d", "12h"])),
        ("timeout", words(&["5s"])),
        ("schedule", list(words(&["1s", "2m"]))),
    ] {
        fields.insert(name.into(), schema);
    }
    schemas["WebhookBody"]["required"] = json!(["form", "events", "callback"]);
    schemas["CallbackBody"] = json!({
        "type": "object",
        "required": ["url"],
        "properties": {
            "url": { "type": "string", "pattern": "^https://[a-z]{1,9}\\.example/[a-z]{0,9}$" },
            "authentication": { "enum": [
                { "type": "NO_AUTH" },
                { "type": "BASIC", "username": "u", "password": "geheim" },
                { "type": "BEARER", "token": "********" },
            ]},
            "headers": { "enum": [{}, { "X-Team": "desk" }] },
        },
    });
    for (_, path) in document["paths"].as_object_mut().unwrap() {
        for (_, operation) in path.as_object_mut().unwrap() {
            let parameters = operation.get_mut("parameters").and_then(Value::as_array_mut);
            for parameter in parameters.into_iter().flatten() {
                if parameter["name"] == "id" {
                    parameter["schema"] = json!({ "type": "integer", "enum": (1..12).collect::<Vec<_>>() });
                }
            }
        }
    }
    document
}
