//! A row of the registration table, and the native model that it holds.

use super::{SCHEMA, TABLE, secrets};
use crate::change::{self, Datum, Relation};
use crate::sealing::Keys;
use crate::value::{Type, write_json};
use crate::webhook::WebhookId;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// `text[]`.
const TEXT_ARRAY: u32 = 1009;

/// The columns that stand in the native model under their own name.
const PLAIN: [&str; 23] = [
    "name",
    "description",
    "form",
    "forms",
    "events",
    "condition",
    "payload_fields",
    "send_unchanged_fields",
    "custom_json",
    "mail_exceptions_to",
    "exclude",
    "body",
    "product",
    "webhook_policy",
    "enabled",
    "format",
    "schedule",
    "on_exhausted",
    "in_flight_max",
    "per_second_max",
    "timeout",
    "retention",
    "backlog_bytes_max",
];

/// Those that stand in its `callback`.
const CALLBACK: [&str; 5] = ["url", "authentication", "tls", "headers", "proxy"];

/// Whether a relation is the registration table.
pub fn is_table(relation: &Relation) -> bool {
    relation.schema == SCHEMA && relation.name == TABLE
}

/// Why a row says nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a row of the registration table cannot be read: {0}")]
pub struct Unreadable(String);

/// A row: a JSON object by column, as `to_jsonb` gives it.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    columns: Map<String, Value>,
}

impl Row {
    /// Reads the text of a row.
    pub fn read(text: &str) -> Result<Self, Unreadable> {
        match serde_json::from_str(text) {
            Ok(Value::Object(columns)) => Ok(Self { columns }),
            Ok(_) => Err(Unreadable("it is no JSON object".into())),
            Err(error) => Err(Unreadable(error.to_string())),
        }
    }

    /// A row as the log has it.
    pub fn of(relation: &Relation, row: &change::Row) -> Result<Self, Unreadable> {
        let mut columns = Map::new();
        for (number, column) in relation.columns.iter().enumerate() {
            let value = match row.datum(number) {
                Datum::Null => Value::Null,
                Datum::Text(text) => {
                    let mut json = Vec::new();
                    write_json(&type_of(column.type_oid), text, &mut json);
                    serde_json::from_slice(&json)
                        .map_err(|error| Unreadable(format!("column {}: {error}", column.name)))?
                }
                Datum::Unchanged => {
                    return Err(Unreadable(format!(
                        "column {} is not in the log: the table needs replica identity full",
                        column.name
                    )));
                }
            };
            columns.insert(column.name.clone(), value);
        }
        Ok(Self { columns })
    }

    /// The webhook's number.
    pub fn id(&self) -> Option<WebhookId> {
        self.columns.get("id")?.as_u64().map(WebhookId)
    }

    /// Counts the versions of the row.
    pub fn version(&self) -> u64 {
        self.columns.get("version").and_then(Value::as_u64).unwrap_or(0)
    }

    /// Whether it asks to be served.
    pub fn is_enabled(&self) -> bool {
        self.columns.get("enabled") != Some(&Value::Bool(false))
    }

    /// The name that people know it by.
    pub fn name(&self) -> String {
        let own = self.columns.get("name").and_then(Value::as_str).filter(|name| !name.is_empty());
        let unnamed = || format!("webhook {}", self.id().map_or(0, |id| id.0));
        own.map_or_else(unnamed, str::to_owned)
    }

    /// A column's value; NULL where there is no such column.
    pub fn column(&self, name: &str) -> &Value {
        self.columns.get(name).unwrap_or(&Value::Null)
    }

    /// The text of the row.
    pub fn text(&self) -> Arc<str> {
        Value::Object(self.columns.clone()).to_string().into()
    }

    /// Whether the other version differs only in how its secrets are sealed: that is walhook's own hand.
    pub fn is_resealed(&self, before: &Self) -> bool {
        self.column("sealed_at") != before.column("sealed_at")
    }

    /// What it registers, in the shape of the native model. Columns that are NULL do not appear.
    pub fn native(&self) -> Value {
        let mut native = Map::new();
        let copy = |from: &str, to: &mut Map<String, Value>| {
            if let Some(value) = self.columns.get(from).filter(|value| !value.is_null()) {
                to.insert(from.to_owned(), value.clone());
            }
        };
        for name in PLAIN {
            copy(name, &mut native);
        }
        copy("signing", &mut native);
        native.insert("name".into(), Value::String(self.name()));
        let mut callback = Map::new();
        for name in CALLBACK {
            copy(name, &mut callback);
        }
        native.insert("callback".into(), Value::Object(callback));
        match self.column("signing_secrets") {
            Value::Array(secrets) if !secrets.is_empty() => {
                native.insert("signature".into(), json!({ "secret": secrets }));
            }
            _ => {}
        }
        Value::Object(native)
    }

    /// Whether a secret stands in it that is not sealed by the newest key.
    pub fn wants_sealing(&self, keys: &Keys) -> bool {
        let Value::Object(mut native) = self.native() else { return false };
        secrets::wants_sealing(&mut native, keys)
    }

    /// The columns with its secrets sealed by the newest key; none where they are already, or cannot be opened.
    pub fn sealed(&self, keys: &Keys) -> Option<Map<String, Value>> {
        let Value::Object(mut native) = self.native() else { return None };
        secrets::seal(&mut native, self.id()?, keys).then(|| Self::columns_of(&native))
    }

    /// The same row with other values in these columns.
    pub fn with(&self, columns: Map<String, Value>) -> Self {
        let mut row = self.clone();
        row.columns.extend(columns);
        row
    }

    /// The columns that a registration in the shape of the native model fills; those that it does not name are NULL,
    /// which stands for the default.
    pub fn columns_of(native: &Map<String, Value>) -> Map<String, Value> {
        let mut columns = Map::new();
        for name in PLAIN {
            columns.insert(name.into(), native.get(name).cloned().unwrap_or(Value::Null));
        }
        let callback = native.get("callback").and_then(Value::as_object);
        for name in CALLBACK {
            let value = callback.and_then(|callback| callback.get(name)).cloned();
            columns.insert(name.into(), value.unwrap_or(Value::Null));
        }
        let secrets = match native.get("signature").and_then(|signature| signature.get("secret")) {
            Some(Value::String(secret)) => json!([secret]),
            Some(secrets) => secrets.clone(),
            None => Value::Null,
        };
        columns.insert("signing_secrets".into(), secrets);
        columns
    }
}

/// What the types of the table's columns become in JSON. A column of another type was added by somebody, and is text.
fn type_of(oid: u32) -> Type {
    if oid == TEXT_ARRAY {
        return Type::Array { element: Arc::new(Type::Text), delimiter: ',' };
    }
    Type::built_in(oid).unwrap_or(Type::Text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::{Column, ReplicaIdentity};

    fn relation(columns: &[(&str, u32)]) -> Relation {
        let column = |&(name, type_oid): &(&str, u32)| Column {
            name: name.into(),
            type_oid,
            type_modifier: -1,
            in_identity: true,
        };
        Relation {
            id: 1,
            schema: "walhook".into(),
            name: "webhook".into(),
            identity: ReplicaIdentity::Full,
            columns: columns.iter().map(column).collect(),
        }
    }

    #[test]
    fn a_row_of_the_log_is_what_to_jsonb_says_and_holds_the_native_model() {
        let relation = relation(&[
            ("id", 20),
            ("form", 25),
            ("events", 1009),
            ("enabled", 16),
            ("url", 25),
            ("authentication", 3802),
            ("signing_secrets", 1009),
            ("name", 25),
        ]);
        let row: change::Row = [
            Datum::Text("7"),
            Datum::Text("HPD:Help Desk"),
            Datum::Text("{create,\"up\\\"date\"}"),
            Datum::Text("t"),
            Datum::Text("https://receiver.example/"),
            Datum::Text("{\"type\": \"NO_AUTH\"}"),
            Datum::Text("{}"),
            Datum::Null,
        ]
        .into_iter()
        .collect();
        let row = Row::of(&relation, &row).unwrap();
        assert_eq!(row.id(), Some(WebhookId(7)));
        assert_eq!(Row::read(&row.text()).unwrap(), row);
        let native = row.native();
        let expected = json!({
            "name": "webhook 7",
            "form": "HPD:Help Desk",
            "events": ["create", "up\"date"],
            "enabled": true,
            "callback": { "url": "https://receiver.example/", "authentication": { "type": "NO_AUTH" } },
        });
        assert_eq!(native, expected);
        let columns = Row::columns_of(native.as_object().unwrap());
        assert_eq!(columns["url"], "https://receiver.example/");
        assert_eq!(columns["condition"], Value::Null);
    }

    #[test]
    fn a_row_that_the_log_has_only_in_part_is_an_error_with_the_remedy() {
        let relation = relation(&[("id", 20), ("condition", 25)]);
        let row: change::Row = [Datum::Text("7"), Datum::Unchanged].into_iter().collect();
        let error = Row::of(&relation, &row).unwrap_err().to_string();
        assert!(error.contains("column condition") && error.contains("replica identity full"), "{error}");
    }
}
