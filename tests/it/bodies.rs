//! The schemas in `docs/bodies`: they describe the examples beside them and what really arrives, and nothing else.
//!
//! That the examples are what is sent, `src/format/golden.rs` sees to.

use crate::python;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/bodies")
}

fn read(path: &Path) -> Value {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn schema(format: &str) -> Value {
    read(&folder().join(format).join("schema.json"))
}

/// The examples of each format, by name.
fn examples() -> BTreeMap<String, BTreeMap<String, Value>> {
    let name = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
    let files =
        |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let formats = files(&folder()).into_iter().filter(|path| path.is_dir());
    let examples = |format: PathBuf| {
        let bodies = files(&format).into_iter().filter(|path| !path.ends_with("schema.json"));
        (name(&format), bodies.map(|path| (name(&path), read(&path))).collect())
    };
    formats.map(examples).collect()
}

/// What is wrong with each body; none where there is nothing to judge by.
fn judge(cases: &[(Value, Vec<&Value>)]) -> Option<Vec<Vec<Vec<String>>>> {
    let cases: Vec<Value> =
        cases.iter().map(|(schema, bodies)| json!({ "schema": schema, "bodies": bodies })).collect();
    let said = python::play("jsonschema", "bodies/with_jsonschema.py", &[], &json!(cases).to_string())?;
    Some(serde_json::from_value(said).unwrap())
}

/// Bodies that arrived are as the schema of their format says.
#[track_caller]
pub(crate) fn fit(format: &str, bodies: &[Value]) {
    assert!(!bodies.is_empty());
    let Some(said) = judge(&[(schema(format), bodies.iter().collect())]) else { return };
    for (faults, body) in said[0].iter().zip(bodies) {
        assert!(faults.is_empty(), "{faults:#?} {body:#}");
    }
}

/// What an example becomes when a key of it is broken, with words for it.
fn broken(schema: &Value, example: &Value) -> Vec<(String, Value)> {
    let changed = |change: &dyn Fn(&mut Map<String, Value>)| {
        let mut body = example.as_object().unwrap().clone();
        change(&mut body);
        Value::Object(body)
    };
    let set = |key: &str, value: Value| changed(&|body| drop(body.insert(key.to_owned(), value.clone())));
    let mut broken = vec![("a key more".to_owned(), set("nobody", json!(1)))];
    for key in example.as_object().unwrap().keys() {
        // no key has a value like this
        broken.push((format!("{key} is 17.5"), set(key, json!(17.5))));
        if schema["required"].as_array().unwrap().contains(&json!(key)) {
            broken.push((format!("no {key}"), changed(&|body| drop(body.remove(key)))));
        }
    }
    broken
}

/// What is wrong further in, or does not go together: the format, the example, the object in it, a key there and its value.
fn broken_within() -> Vec<(&'static str, &'static str, &'static str, &'static str, Value)> {
    let object = json!({ "public_id": 7, "type_id": 1, "fields": [] });
    vec![
        ("native", "update", "", "id", json!("msg_5f0c")),
        ("native", "update", "", "event", json!("Update")),
        ("native", "update", "", "committed_at", json!("2026-11-22 10:01:11+00")),
        ("native", "update", "", "lsn", json!("16-B374D848")),
        ("native", "update", "", "xid", json!(1_u64 << 32)),
        ("native", "update", "", "test", json!(false)),
        ("native", "update", "", "bulk", json!(false)),
        ("native", "update", "/changed", "Status", json!(2)),
        ("native", "update", "/changed/Status", "was", json!(0)),
        ("native", "status-changed", "/transition", "field", json!("")),
        ("native", "status-changed", "/transition", "before", json!(0)),
        ("native", "note-added", "/child", "id", json!(9001)),
        ("native", "note-added", "/child", "text", json!("It is on fire now.")),
        ("native", "note-added", "", "unavailable_fields", json!([])),
        ("cloudevents", "update", "", "specversion", json!("0.3")),
        ("cloudevents", "update", "", "source", json!("/forms/HPD:Help Desk")),
        ("cloudevents", "update", "", "type", json!("request.update")),
        ("cloudevents", "update", "", "sequence", json!("12")),
        ("cloudevents", "update", "", "subject", json!("")),
        ("cloudevents", "update", "", "subject", json!("INC\n")),
        ("cloudevents", "update", "", "time", json!(null)),
        ("cloudevents", "update", "", "no_name", json!("x")),
        ("cloudevents", "update", "/data", "id", json!("msg_abababababababababababababababab")),
        ("cloudevents", "update", "/data/changed/Status", "was", json!(0)),
        ("arsys", "update", "", "webhook_id", json!("WBH7")),
        ("arsys", "delete", "", "entry_details", json!({})),
        ("arsys", "delete", "", "entry_event", json!("update")),
        ("arsys", "create-with-files", "", "attachments", json!({})),
        ("arsys", "create-with-files", "", "attachments_missing", json!({ "Scan": null })),
        ("arsys", "create-with-files", "/attachments/Attachment1", "sha256", json!("4c4b6a3be1314ab8")),
        ("arsys", "create-with-files", "/attachments/Attachment1", "href", json!("https://desk.example/")),
        ("itrp", "update", "", "webhook_nodeID", json!("walhook/Webhook/7")),
        ("itrp", "update", "", "event", json!("update")),
        ("itrp", "update", "", "event", json!("request.merge")),
        ("itrp", "update", "/payload", "status", json!(2)),
        ("itrp", "update", "/payload", "cost", json!("12.50")),
        ("itrp", "update", "/payload/team", "nodeID", json!(null)),
        ("itrp", "webhook.verify", "", "payload", json!({})),
        ("itrp", "webhook.verify", "/payload", "callback", json!("/v1/webhooks/7/verify")),
        ("itrp", "webhook.verify", "", "event", json!("request.update")),
        ("datagerry", "update", "/event_time", "$date", json!("2026-11-22T10:01:11Z")),
        ("datagerry", "update", "", "operation", json!("update")),
        ("datagerry", "update", "", "operation", json!("MERGE")),
        ("datagerry", "update", "", "operation", json!("CREATE")),
        ("datagerry", "update", "", "operation", json!("DELETE")),
        ("datagerry", "update", "", "changes", json!(null)),
        ("datagerry", "create", "", "object_before", object.clone()),
        ("datagerry", "delete", "", "object_before", json!(null)),
        ("datagerry", "delete", "", "object_after", object),
        ("datagerry", "update", "/object_after", "status", json!(true)),
        ("datagerry", "update", "/object_after/fields/0", "name", json!("")),
        ("datagerry", "update", "/changes/old/0", "type", json!("text")),
        ("changegear", "update", "", "Event", json!("update")),
        ("changegear", "update", "", "Event", json!("Merge")),
        ("changegear", "update", "", "partial", json!(false)),
    ]
}

#[test]
fn schemas_describe_the_examples_and_refuse_what_is_broken() {
    let examples = examples();
    assert_eq!(examples.len(), 6, "{:?}", examples.keys());
    let mut cases = Vec::new();
    let mut spoilt: BTreeMap<&str, Vec<(String, Value)>> = BTreeMap::new();
    for (format, name, object, key, value) in broken_within() {
        let mut body = examples[format][name].clone();
        let within = body.pointer_mut(object).unwrap().as_object_mut().unwrap();
        assert_ne!(within.insert(key.to_owned(), value.clone()), Some(value.clone()));
        spoilt.entry(format).or_default().push((format!("{name}{object}/{key} is {value}"), body));
    }
    for (format, bodies) in &examples {
        let schema = schema(format);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema", "{format}");
        let spoilt = spoilt.entry(format).or_default();
        for (name, body) in bodies {
            let broken = broken(&schema, body).into_iter();
            spoilt.extend(broken.map(|(what, body)| (format!("{name}: {what}"), body)));
        }
    }
    for (format, bodies) in &examples {
        cases.push((schema(format), bodies.values().collect()));
        cases.push((schema(format), spoilt[&**format].iter().map(|(_, body)| body).collect()));
    }
    let Some(said) = judge(&cases) else { return };
    for ((format, bodies), said) in examples.iter().zip(said.chunks_exact(2)) {
        for (name, faults) in bodies.keys().zip(&said[0]) {
            assert!(faults.is_empty(), "{format}/{name}.json is not as its schema says: {faults:#?}");
        }
        assert_eq!((said[0].len(), said[1].len()), (bodies.len(), spoilt[&**format].len()));
        for ((what, _), faults) in spoilt[&**format].iter().zip(&said[1]) {
            assert!(!faults.is_empty(), "the schema of {format} takes {what}");
        }
    }
}

#[test]
fn schemas_say_what_each_key_is_and_forget_none() {
    for (format, bodies) in examples() {
        let schema = schema(&format);
        undescribed(&schema, &format);
        assert_eq!(schema["additionalProperties"], false, "{format}");
        // what no example has is not shown to anybody
        let mut keys = schema["properties"].as_object().unwrap().clone();
        keys.retain(|key, _| !bodies.values().any(|body| body.get(key).is_some()));
        assert!(keys.is_empty(), "no example of {format} has {:?}", keys.keys());
    }
    let (mut native, cloudevents) = (schema("native"), schema("cloudevents"));
    for attribute in ["test", "id", "sequence", "webhook"] {
        native["properties"].as_object_mut().unwrap().remove(attribute).unwrap();
    }
    assert_eq!(cloudevents["properties"]["data"]["properties"], native["properties"]);
    assert_eq!(cloudevents["$defs"]["change"], native["$defs"]["change"]);
    assert_eq!(cloudevents["$defs"]["value"], native["$defs"]["value"]);
}

/// Fails where a property has no description.
#[track_caller]
fn undescribed(schema: &Value, place: &str) {
    // what stands under a condition says more of a property, and not again what it is
    let parts = schema.as_object().into_iter().flatten().filter(|(key, _)| *key != "allOf" && *key != "if");
    for (key, part) in parts {
        if key == "properties" {
            for (name, property) in part.as_object().unwrap() {
                assert!(property["description"].is_string(), "{place}/{name} has no description");
            }
        }
        undescribed(part, &format!("{place}/{key}"));
    }
}
