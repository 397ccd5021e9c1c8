//! Registering, for every door: checked before it is written, sealed, and never over somebody else's edit.

use super::{Answer, Door, Error, Fault, Interpreter, Registered, Row, secrets};
use crate::sealing::Keys;
use crate::webhook::{Webhook, WebhookId};
use serde_json::{Map, Value, json};
use std::sync::Arc;
use tokio::sync::watch;

/// What answers tell of a registration beside what was registered: sent back, it means nothing.
const TOLD: [&str; 8] =
    ["id", "version", "created_at", "created_by", "updated_at", "status", "origin", "signing"];

/// How often an edit is tried where others write at the same time.
const EDITS_MAX: u32 = 10;

/// What decides whether a condition fits.
const JUDGED: [&str; 4] = ["condition", "events", "form", "forms"];

/// What stands in the way.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// What was sent is wrong.
    #[error("{}", super::in_one_line(_0))]
    Faults(Vec<Fault>),
    /// Somebody else has written it meanwhile.
    #[error("the webhook has version {version} by now")]
    Changed {
        /// The version that it has.
        version: u64,
    },
    /// There is no such registration.
    #[error("there is no registered webhook {0}")]
    Gone(WebhookId),
    /// The same is registered already, and its format allows it once.
    #[error("a webhook with the same form, events and URL exists, and format arsys allows one")]
    Duplicate,
    /// The table.
    #[error(transparent)]
    Table(Error),
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        match error {
            Error::Rule { is_duplicate: true, .. } => Self::Duplicate,
            Error::Rule { constraint, message, .. } => Self::Faults(vec![Fault {
                field: field_of(&constraint).to_owned(),
                message,
                remedy: None,
                place: None,
            }]),
            error => Self::Table(error),
        }
    }
}

/// The field that a rule of the table is about.
fn field_of(constraint: &str) -> &'static str {
    match constraint {
        "webhook_name_has_255_bytes" => "name",
        "webhook_listens_to_an_event" | "events" => "events",
        "webhook_custom_json_is_an_object" => "custom_json",
        "webhook_url_is_http" | "url" => "callback.url",
        "webhook_authentication_has_a_type" => "callback.authentication",
        "webhook_listens_to_one_form_or_several" => "form",
        "webhook_webhook_policy_fkey" | "webhook_policy_is_enabled" => "webhook_policy",
        _ => "",
    }
}

/// Registers.
#[derive(Clone)]
pub struct Registrar {
    /// The way to the table.
    pub door: Door,
    /// What makes webhooks of registrations now.
    pub interpreter: watch::Receiver<Arc<dyn Interpreter>>,
    /// What seals secrets now.
    pub keys: watch::Receiver<Arc<Keys>>,
    /// What the log has told of.
    pub registered: Registered,
}

impl Registrar {
    /// Registers a webhook. `by` says who does.
    pub async fn create(&self, native: Map<String, Value>, by: &str) -> Result<Row, Refusal> {
        let native = without_told(native);
        let id = self.door.next_id().await?;
        let mut columns = self.columns(id, native, &Map::new())?;
        columns.insert("id".into(), id.0.into());
        columns.insert("created_by".into(), by.into());
        Ok(self.door.insert(&columns).await?)
    }

    /// Puts another registration in the place of one, if it has the expected version.
    pub async fn replace(
        &self,
        id: WebhookId,
        expected: Option<u64>,
        native: Map<String, Value>,
    ) -> Result<Row, Refusal> {
        let native = without_told(native);
        let stored = self.find(id).await?;
        self.write(id, expected, native, &stored).await
    }

    /// Changes some of a registration's fields as a JSON Merge Patch says (RFC 7396), if it has the expected version.
    pub async fn patch(
        &self,
        id: WebhookId,
        expected: Option<u64>,
        patch: Map<String, Value>,
    ) -> Result<Row, Refusal> {
        let patch = without_told(patch);
        let edited = self.edit(id, expected, |native| {
            // who names one of them means it instead of the other
            for (one, other) in [("form", "forms"), ("forms", "form")] {
                if patch.get(one).is_some_and(|value| !value.is_null()) {
                    native.remove(other);
                }
            }
            let mut merged = Value::Object(std::mem::take(native));
            merge(&mut merged, Value::Object(patch.clone()));
            if let Value::Object(merged) = merged {
                *native = merged;
            }
            Ok(())
        });
        edited.await
    }

    /// Changes a registration, if it has the expected version: `edit` gets it in the shape of the native model, with
    /// its secrets masked, and what it leaves masked is kept. Where no version is expected and somebody else writes in
    /// between, as walhook itself does when it seals secrets, it is done again with what stands there then.
    pub async fn edit<R: From<Refusal>>(
        &self,
        id: WebhookId,
        expected: Option<u64>,
        mut edit: impl FnMut(&mut Map<String, Value>) -> Result<(), R>,
    ) -> Result<Row, R> {
        let mut tries = 1;
        loop {
            let stored = self.find(id).await?;
            let mut native = masked(&stored);
            edit(&mut native)?;
            // nobody's edit is written over: what is changed was read before
            let written = self.write(id, Some(expected.unwrap_or(stored.version())), native, &stored).await;
            match written {
                Err(Refusal::Changed { .. }) if expected.is_none() && tries < EDITS_MAX => tries += 1,
                written => return Ok(written?),
            }
        }
    }

    /// Deletes a registration, if it has the expected version.
    pub async fn delete(&self, id: WebhookId, expected: Option<u64>) -> Result<Row, Refusal> {
        done(id, self.door.delete(id, expected).await?)
    }

    /// Switches a webhook on or off. On also ends a suspension.
    pub async fn switch(&self, id: WebhookId, enabled: bool, expected: Option<u64>) -> Result<Row, Refusal> {
        let columns = Map::from_iter([("enabled".to_owned(), Value::Bool(enabled))]);
        done(id, self.door.update(id, expected, &columns).await?)
    }

    /// The webhook that a row registers, or all that is wrong with it.
    pub fn read(&self, row: &Row) -> Result<Webhook, Vec<Fault>> {
        self.interpreter.borrow().interpret(row.id().unwrap_or_default(), &row.native())
    }

    /// A registration as it is in the table.
    pub async fn find(&self, id: WebhookId) -> Result<Row, Refusal> {
        self.door.some(&[id]).await?.pop().ok_or(Refusal::Gone(id))
    }

    async fn write(
        &self,
        id: WebhookId,
        expected: Option<u64>,
        native: Map<String, Value>,
        stored: &Row,
    ) -> Result<Row, Refusal> {
        let columns = self.columns(id, native, &native_of(stored))?;
        done(id, self.door.update(id, expected, &columns).await?)
    }

    /// Checks what is to be registered, and gives the columns with its secrets sealed.
    fn columns(
        &self,
        id: WebhookId,
        mut native: Map<String, Value>,
        stored: &Map<String, Value>,
    ) -> Result<Map<String, Value>, Refusal> {
        let mut faults = secrets::unmask(&mut native, stored);
        faults.extend(native.iter().filter(|(_, value)| has_nul(value)).map(|(field, _)| Fault {
            field: field.clone(),
            message: "it has a NUL character, which PostgreSQL cannot store".into(),
            remedy: Some("remove the character \\u0000".into()),
            place: None,
        }));
        let mut complete = native.clone();
        if complete.get("name").is_none_or(Value::is_null) {
            complete.insert("name".into(), format!("webhook {id}").into());
        }
        let interpreter = self.interpreter.borrow().clone();
        match interpreter.interpret(id, &Value::Object(complete)) {
            Err(further) => faults.extend(further),
            // whoever changes something else is not told of it once more
            Ok(webhook) if JUDGED.iter().any(|name| native.get(*name) != stored.get(*name)) => {
                faults.extend(interpreter.misfits(&webhook));
            }
            Ok(_) => {}
        }
        if !faults.is_empty() {
            return Err(Refusal::Faults(faults));
        }
        secrets::seal(&mut native, id, &self.keys.borrow());
        Ok(Row::columns_of(&native))
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(list) => list.iter().any(has_nul),
        Value::Object(object) => object.iter().any(|(key, value)| key.contains('\0') || has_nul(value)),
        _ => false,
    }
}

fn done(id: WebhookId, answer: Answer) -> Result<Row, Refusal> {
    match answer {
        Answer::Done(row) => Ok(row),
        Answer::Changed(row) => Err(Refusal::Changed { version: row.version() }),
        Answer::Gone => Err(Refusal::Gone(id)),
    }
}

fn native_of(row: &Row) -> Map<String, Value> {
    match row.native() {
        Value::Object(native) => native,
        _ => Map::new(),
    }
}

/// A registration in the shape of the native model, with its secrets masked; without a name where it has none of its own.
pub fn masked(row: &Row) -> Map<String, Value> {
    let mut native = native_of(row);
    if row.column("name").is_null() {
        native.remove("name");
    }
    secrets::mask(&mut native);
    native
}

fn without_told(mut native: Map<String, Value>) -> Map<String, Value> {
    native.retain(|name, _| !TOLD.contains(&name.as_str()));
    native
}

/// JSON Merge Patch (RFC 7396).
fn merge(target: &mut Value, patch: Value) {
    let Value::Object(patch) = patch else {
        *target = patch;
        return;
    };
    if !target.is_object() {
        *target = json!({});
    }
    let Value::Object(target) = target else { return };
    for (name, value) in patch {
        if value.is_null() {
            target.remove(&name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), value);
        }
    }
}

/// A registration for people and programs: what was registered with its secrets masked, and what the table says of it.
pub fn shown(row: &Row) -> Map<String, Value> {
    let mut shown = native_of(row);
    secrets::mask(&mut shown);
    for name in ["id", "version", "created_at", "created_by", "updated_at"] {
        shown.insert(name.into(), row.column(name).clone());
    }
    shown
}
