//! The product's words for a webhook.

use super::uri;
use crate::admin::nouns::Nouns;
use crate::admin::translation::{Native, Words, fault, get, set};
use crate::registry::Fault;
use serde_json::{Map, Value, json};

/// The nouns whose entries are told of when they are deleted.
const WITH_DELETE: [&str; 2] = ["out_of_office_period", "time_entry"];
/// What the events of rules are called.
const AUTOMATION_RULE: &str = "automation_rule";
/// The longest description, in bytes.
const DESCRIPTION_BYTES_MAX: usize = 64 * 1024;
/// The longest source, in characters.
const SOURCE_LENGTH_MAX: usize = 30;
/// The longest id there, in characters.
const SOURCE_ID_LENGTH_MAX: usize = 128;

/// The words, on the forms that there are.
pub(in crate::admin) struct Itrp {
    pub(in crate::admin) nouns: Nouns,
}

impl Words for Itrp {
    const FIELDS: &'static [&'static str] = &[
        "name",
        "event",
        "uri",
        "disabled",
        "description",
        "description_attachments",
        "mail_exceptions_to",
        "webhook_policy",
        "webhook_policy_id",
        "source",
        "sourceID",
        "openid_connect_discovery",
        "app_offering_references",
    ];

    fn show(&self, native: &Native) -> Map<String, Value> {
        // what rules say is of no noun
        let pairs = self.nouns.pairs(native).into_iter();
        let mut events: Vec<String> = pairs
            .map(|pair| match pair.split_once('.') {
                Some((_, AUTOMATION_RULE)) => AUTOMATION_RULE.to_owned(),
                _ => pair,
            })
            .collect();
        events.dedup();
        let events = events.join(",");
        let name = get(native, &["name"]);
        let mails = get(native, &["mail_exceptions_to"])
            .as_array()
            .map(|mails| mails.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(","));
        let mut shown = Map::from_iter([
            ("name".to_owned(), if name.is_null() { events.clone().into() } else { name.clone() }),
            ("event".to_owned(), events.into()),
            ("uri".to_owned(), uri::show(native).into()),
        ]);
        let mut tell = |field: &str, value: Value| {
            if !matches!(&value, Value::Null | Value::Bool(false)) && value != "" {
                shown.insert(field.to_owned(), value);
            }
        };
        tell("disabled", (*get(native, &["enabled"]) == false).into());
        tell("description", get(native, &["description"]).clone());
        tell("mail_exceptions_to", mails.into());
        tell("webhook_policy", policy(native));
        for field in ["source", "sourceID", "openid_connect_discovery", "app_offering_references"] {
            tell(field, get(native, &["product", "itrp", field]).clone());
        }
        shown
    }

    fn put(&self, field: &str, value: &Value, native: &mut Native) -> Result<(), Fault> {
        let kept = |native: &mut Native, value: Value| set(native, &["product", "itrp", field], value);
        match field {
            "event" => put_event(value, &self.nouns.pairs(native), native)?,
            "uri" => uri::put(value, native)?,
            "disabled" => {
                let enabled = flag(field, value)?.map(|disabled| !disabled);
                set(native, &["enabled"], enabled.into());
            }
            "description" => {
                let bytes = value.as_str().map_or(0, str::len);
                if bytes > DESCRIPTION_BYTES_MAX {
                    let message =
                        format!("is too long: {bytes} bytes, and {DESCRIPTION_BYTES_MAX} is the maximum");
                    return Err(fault(field, message, ""));
                }
                set(native, &[field], text(field, value, usize::MAX)?);
            }
            "mail_exceptions_to" => {
                let text = text(field, value, usize::MAX)?;
                let mails =
                    text.as_str().unwrap_or_default().split(',').map(str::trim).filter(|one| !one.is_empty());
                let mails: Vec<&str> = mails.collect();
                set(native, &[field], if mails.is_empty() { Value::Null } else { json!(mails) });
            }
            "webhook_policy" | "webhook_policy_id" => {
                let number = value.get("id").unwrap_or(value);
                if !(number.is_null() || number.is_u64()) {
                    return Err(fault("webhook_policy", "must be the id of a webhook policy", ""));
                }
                set(native, &["webhook_policy"], number.clone());
                // what was kept is of another one
                set(native, &["signing"], Value::Null);
            }
            "source" => kept(native, text(field, value, SOURCE_LENGTH_MAX)?),
            "sourceID" => kept(native, text(field, value, SOURCE_ID_LENGTH_MAX)?),
            "openid_connect_discovery" => kept(native, flag(field, value)?.into()),
            // files and offerings are the product's own: which ones they are is kept, and told again
            "description_attachments" | "app_offering_references" => {
                if !matches!(value, Value::Null | Value::Array(_)) {
                    return Err(fault(field, "must be a list", ""));
                }
                kept(native, value.clone());
            }
            field => set(native, &[field], text(field, value, usize::MAX)?),
        }
        Ok(())
    }
}

/// The policy as it is referred to.
fn policy(native: &Native) -> Value {
    let id = get(native, &["webhook_policy"]);
    let name = get(native, &["signing", "name"]);
    if id.is_null() { Value::Null } else { json!({ "id": id, "name": name }) }
}

/// The files of the description: their keys in the product's storage, for walhook stores none.
pub(super) fn attachments(native: &Native) -> Vec<Value> {
    let given = get(native, &["product", "itrp", "description_attachments"]).as_array();
    let attachments = given.into_iter().flatten().filter_map(|one| one.get("key")?.as_str()).zip(1..);
    let told = attachments.map(|(key, id)| {
        let name = key.rsplit('/').next().unwrap_or(key);
        json!({ "id": id, "key": key, "name": name })
    });
    told.collect()
}

/// What must be there for a new one.
pub(super) fn required(given: &Map<String, Value>) -> Vec<Fault> {
    let lacks = |field: &&str| given.get(*field).is_none_or(|value| value.is_null() || *value == "");
    let missing = |field| fault(field, "can't be blank", "");
    ["event", "uri"].into_iter().filter(lacks).map(missing).collect()
}

/// One event, or several with commas between them. What it listens to already, over another interface, it may go on with.
fn put_event(value: &Value, known: &[String], native: &mut Native) -> Result<(), Fault> {
    let wrong = |message: String| fault("event", message, "write noun and verb: request.create");
    if value.as_str().map(str::trim) == Some(AUTOMATION_RULE) {
        set(native, &["forms"], Value::Null);
        set(native, &["form"], "*".into());
        set(native, &["events"], json!([AUTOMATION_RULE]));
        return Ok(());
    }
    let events: Vec<&str> = value.as_str().unwrap_or_default().split(',').map(str::trim).collect();
    if let Some(wrong_one) = events.iter().find(|event| event.split_once('.').is_none()) {
        return Err(wrong(format!("{wrong_one:?} is no event here")));
    }
    let is_unknown_delete = |event: &&&str| {
        !known.iter().any(|known| known == *event)
            && event
                .rsplit_once('.')
                .is_some_and(|(noun, verb)| verb == "delete" && !WITH_DELETE.contains(&noun))
    };
    if let Some(event) = events.iter().find(is_unknown_delete) {
        let message =
            format!("{event:?} is no event here: {} alone tell of deletes", WITH_DELETE.join(" and "));
        return Err(fault("event", message, "listen to it over walhook's own interface"));
    }
    let of_all: Vec<&str> = events.iter().filter_map(|event| event.strip_prefix("*.")).collect();
    set(native, &["forms"], Value::Null);
    let (form, events) = match of_all.len() {
        0 => (Value::Null, events),
        count if count == events.len() => ("*".into(), of_all),
        _ => return Err(wrong("* stands for all nouns and has none beside it".into())),
    };
    set(native, &["form"], form);
    set(native, &["events"], json!(events));
    Ok(())
}

/// A text, or nothing.
fn text(field: &str, value: &Value, length_max: usize) -> Result<Value, Fault> {
    match value {
        Value::Null => Ok(Value::Null),
        Value::String(text) if text.is_empty() => Ok(Value::Null),
        Value::String(text) if text.chars().count() > length_max => {
            Err(fault(field, format!("is too long (maximum is {length_max} characters)"), ""))
        }
        Value::String(text) => Ok(text.as_str().into()),
        _ => Err(fault(field, "must be a text", "")),
    }
}

/// A flag, or the word for it.
fn flag(field: &str, value: &Value) -> Result<Option<bool>, Fault> {
    match value {
        Value::Null => Ok(None),
        Value::Bool(flag) => Ok(Some(*flag)),
        Value::String(word) if word == "true" => Ok(Some(true)),
        Value::String(word) if word == "false" => Ok(Some(false)),
        _ => Err(fault(field, "must be true or false", "")),
    }
}
