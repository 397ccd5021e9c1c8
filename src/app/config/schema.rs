//! The JSON schema of the file, from the declared keys.

use super::declared::FILE;
use super::keys::{Key, Kind, Presence};
use serde_json::{Map, Value, json};

/// A JSON schema (draft 2020-12) for editors. It knows structure, words and ranges; what keys mean for each
/// other only the reader knows.
pub fn schema() -> Value {
    let mut schema = object(FILE);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "walhook.toml".into();
    schema
}

fn object(keys: &[Key]) -> Value {
    let mut properties = Map::new();
    for key in keys.iter().filter(|key| key.works()) {
        let mut property = of(&key.kind);
        property["description"] = key.about.into();
        if let Presence::Default(text) = key.presence
            && let Some(default) = default(text)
        {
            property["default"] = default;
        }
        properties.insert(key.name.to_owned(), property);
    }
    let required: Vec<&str> =
        keys.iter().filter(|key| key.presence == Presence::Required).map(|key| key.name).collect();
    let mut object = json!({ "type": "object", "properties": properties, "additionalProperties": false });
    if !required.is_empty() {
        object["required"] = required.into();
    }
    object
}

/// A default as JSON.
fn default(text: &str) -> Option<Value> {
    let table: Value = toml::from_str(&format!("default = {text}")).ok()?;
    table.get("default").cloned().filter(|value| *value != json!({}))
}

fn of(kind: &Kind) -> Value {
    match kind {
        Kind::Text | Kind::Secret => json!({ "type": "string" }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Whole(min, max) => json!({ "type": "integer", "minimum": min, "maximum": max }),
        Kind::Duration => json!({ "type": "string", "examples": ["30s", "2m30s", "7d"] }),
        Kind::Size => json!({ "type": ["string", "integer"], "examples": ["10GiB", "500MB"] }),
        Kind::Word(words) => json!({ "enum": (words.known)() }),
        Kind::List(inner) => json!({ "type": "array", "items": of(inner) }),
        Kind::OneOrList(inner) => {
            json!({ "anyOf": [of(inner), { "type": "array", "items": of(inner) }] })
        }
        Kind::Table(keys) => object(keys),
        Kind::Tables(keys) => json!({ "type": "array", "items": object(keys) }),
        Kind::Map(inner) => json!({ "type": "object", "additionalProperties": of(inner) }),
        Kind::MapOrList(inner) => {
            let object = json!({ "type": "object", "additionalProperties": of(inner) });
            json!({ "anyOf": [object, { "type": "array", "items": of(inner) }] })
        }
        Kind::TextOrTable(keys) => json!({ "anyOf": [{ "type": "string" }, object(keys)] }),
        Kind::Json => json!({ "type": ["object", "string"] }),
        Kind::Scheme => {
            json!({ "type": "object", "required": ["type"], "properties": { "type": { "type": "string" } } })
        }
        Kind::Later => Value::Null,
    }
}
