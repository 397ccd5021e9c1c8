//! AR System's words for a webhook.

use crate::admin::nouns::Nouns;
use crate::admin::translation::{Native, Words, fault, get, set};
use crate::catalog::Description;
use crate::event::Verb;
use crate::registry::Fault;
use crate::webhook::WebhookId;
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What an id begins with; twelve digits follow.
const PREFIX: &str = "WBH";

/// Keys of the authentication that are the native ones, too.
const SETTINGS: [&str; 9] = [
    "username",
    "password",
    "accessKey",
    "accessSecretKey",
    "tenantId",
    "authBaseUrl",
    "authAccessTokenPath",
    "authRefreshTokenPath",
    "authHeaderTokenName",
];

/// A webhook's id: `WBH000000000101`.
pub(super) fn id_of(id: WebhookId) -> String {
    format!("{PREFIX}{:012}", id.0)
}

/// The webhook that an id means.
pub(super) fn webhook_of(id: &str) -> Option<WebhookId> {
    let digits = id.strip_prefix(PREFIX).filter(|digits| digits.len() >= 12)?;
    digits.bytes().all(|digit| digit.is_ascii_digit()).then(|| digits.parse().ok().map(WebhookId))?
}

/// The words, on the forms that there are.
pub(in crate::admin) struct ArSystem {
    /// None where no catalogue has been read yet: then names of fields are not judged.
    pub(in crate::admin) described: Option<Arc<Description>>,
}

impl ArSystem {
    /// The name of the form that a noun means.
    fn form_of(&self, noun: &str) -> Option<&str> {
        let forms = &self.described.as_ref()?.forms;
        forms.iter().find(|form| form.form.noun == noun).map(|form| form.form.name.as_str())
    }

    /// The one form that can be shown, with the verbs on it.
    fn form_and_events(&self, native: &Native) -> (Value, Vec<Value>) {
        let events: Vec<&str> = texts(get(native, &["events"]));
        let plain = |noun: Option<&str>| {
            let verbs = events.iter().filter_map(|event| match event.rsplit_once('.') {
                Some((of, verb)) => (noun == Some(of)).then_some(verb),
                None => Some(*event),
            });
            verbs.map(|verb| verb.to_lowercase().into()).collect::<Vec<Value>>()
        };
        let named = texts(get(native, &["forms"])).into_iter().next();
        let named = get(native, &["form"]).as_str().or(named);
        match (named, events.iter().find_map(|event| event.rsplit_once('.'))) {
            (Some(form), _) => (form.into(), plain(None)),
            (None, Some((noun, _))) => (self.form_of(noun).unwrap_or(noun).into(), plain(Some(noun))),
            (None, None) => (Value::Null, plain(None)),
        }
    }

    /// Puts a form in the place of the one that is shown. Others, which cannot be told here, stay.
    fn put_form(&self, name: &str, native: &mut Native) {
        let forms = texts(get(native, &["forms"]));
        let (_, events) = self.form_and_events(native);
        if let ([_, others @ ..], true) = (&*forms, get(native, &["form"]).is_null())
            && !others.is_empty()
        {
            let others = others.iter().copied().filter(|other| *other != name);
            let forms: Vec<&str> = std::iter::once(name).chain(others).collect();
            set(native, &["forms"], json!(forms));
            return;
        }
        let others = pairs_of_others(native);
        if others.is_empty() {
            // pairs of events name forms themselves: they are of the form from now on
            set(native, &["forms"], Value::Null);
            set(native, &["form"], name.into());
            if !events.is_empty() {
                set(native, &["events"], events.into());
            }
        } else {
            let described = Nouns(self.described.clone());
            set(native, &["events"], pairs(described.noun_of(name), &events, others));
        }
    }

    /// Puts events of the form that is shown. Those of others, which cannot be told here, stay, where they are others;
    /// where several forms have the same events, they still have.
    fn put_events(&self, verbs: &[Value], native: &mut Native) {
        let (form, _) = self.form_and_events(native);
        let is_named = !get(native, &["form"]).is_null() || !get(native, &["forms"]).is_null();
        let others = pairs_of_others(native);
        match first_noun(native).filter(|_| !is_named && !others.is_empty()) {
            Some(noun) => {
                let events = pairs(&noun, verbs, others);
                set(native, &["events"], events);
            }
            None => {
                set(native, &["events"], verbs.into());
                if !is_named {
                    set(native, &["form"], form);
                }
            }
        }
    }

    fn put_fields(&self, value: &Value, native: &mut Native) -> Result<(), Fault> {
        let wrong = |message: String| Err(fault("payload_fields", message, "write a list of names or ids"));
        let fields = match value {
            Value::Null => Vec::new(),
            Value::Array(fields) => fields.clone(),
            _ => return wrong("payload_fields is no list".into()),
        };
        let mut names = Vec::new();
        for field in fields {
            let name = match field {
                Value::String(name) => name,
                Value::Number(id) => id.to_string(),
                other => return wrong(format!("{other} is no field")),
            };
            if !self.has_field(native, &name) {
                return wrong(format!("the form has no field {name:?}"));
            }
            if !names.contains(&name) {
                names.push(name);
            }
        }
        set(native, &["payload_fields"], if names.is_empty() { Value::Null } else { json!(names) });
        Ok(())
    }

    fn has_field(&self, native: &Native, name: &str) -> bool {
        let (form, _) = self.form_and_events(native);
        let Some(described) = &self.described else { return true };
        let mut forms = described.forms.iter().filter(|known| form == *known.form.name).peekable();
        // a form that cannot be bound now is judged by nobody
        forms.peek().is_none()
            || forms
                .flat_map(|form| &form.fields)
                .any(|field| field.name == name || field.id.is_some_and(|id| id.to_string() == name))
    }
}

impl Words for ArSystem {
    const FIELDS: &'static [&'static str] = &[
        "description",
        "form_name",
        "condition",
        "entry_events",
        "payload_fields",
        "enabled",
        "callback",
        "send_attachment_as_reference",
        "send_unchanged_fields",
        "custom_json",
    ];

    fn show(&self, native: &Native) -> Map<String, Value> {
        let or = |value: &Value, default: Value| if value.is_null() { default } else { value.clone() };
        let (form, events) = self.form_and_events(native);
        let mut authentication = match get(native, &["callback", "authentication"]) {
            Value::Object(native) => native.clone(),
            _ => Map::new(),
        };
        authentication.retain(|name, _| name == "type" || SETTINGS.contains(&name.as_str()));
        let scheme = authentication.get("type").and_then(Value::as_str).unwrap_or("NO_AUTH").to_uppercase();
        authentication.insert("type".into(), scheme.into());
        let reference = get(native, &["body", "attachments_as_references"]);
        let mut shown = Map::from_iter([
            ("form_name".to_owned(), form),
            ("condition".to_owned(), or(get(native, &["condition"]), "".into())),
            ("entry_events".to_owned(), events.into()),
            ("payload_fields".to_owned(), or(get(native, &["payload_fields"]), json!([]))),
            ("enabled".to_owned(), or(get(native, &["enabled"]), true.into())),
            (
                "callback".to_owned(),
                json!({ "url": get(native, &["callback", "url"]), "authentication": authentication }),
            ),
            ("send_attachment_as_reference".to_owned(), or(reference, false.into())),
            ("send_unchanged_fields".to_owned(), or(get(native, &["send_unchanged_fields"]), false.into())),
        ]);
        for name in ["description", "custom_json"] {
            let value = get(native, &[name]);
            if !value.is_null() {
                shown.insert(name.to_owned(), value.clone());
            }
        }
        shown
    }

    fn put(&self, field: &str, value: &Value, native: &mut Native) -> Result<(), Fault> {
        match field {
            "form_name" => {
                let Some(name) = value.as_str().filter(|name| !name.is_empty()) else {
                    return Err(missing("form_name"));
                };
                self.put_form(name, native);
            }
            "condition" => {
                let text = text("condition", value)?.filter(|text| !text.trim().is_empty());
                set(native, &["condition"], text.map_or(Value::Null, Value::from));
            }
            "entry_events" => {
                self.put_events(&events(value)?, native);
            }
            "payload_fields" => self.put_fields(value, native)?,
            "callback" => put_callback(&self.show(native)["callback"], value, native)?,
            "send_attachment_as_reference" => {
                flag(field, value)?;
                set(native, &["body", "attachments_as_references"], value.clone());
            }
            "custom_json" => set(native, &["custom_json"], custom_json(value)?),
            "enabled" | "send_unchanged_fields" => {
                flag(field, value)?;
                set(native, &[field], value.clone());
            }
            field => {
                let text = text(field, value)?;
                set(native, &[field], text.map_or(Value::Null, Value::from));
            }
        }
        Ok(())
    }
}

/// What must be there for a new one.
pub(super) fn required(given: &Map<String, Value>) -> Vec<Fault> {
    let callback = given.get("callback").unwrap_or(&Value::Null);
    let lacks = |value: Option<&Value>| {
        value.is_none_or(|value| value.is_null() || value.as_array().is_some_and(Vec::is_empty))
    };
    let mut faults = Vec::new();
    for name in ["form_name", "entry_events"] {
        if lacks(given.get(name)) {
            faults.push(missing(name));
        }
    }
    if lacks(callback.get("url")) {
        faults.push(missing("callback.url"));
    }
    faults
}

/// The noun of the first pair, whose form is the one that is shown.
fn first_noun(native: &Native) -> Option<String> {
    let pair = texts(get(native, &["events"])).into_iter().find_map(|event| event.rsplit_once('.'));
    pair.map(|(noun, _)| noun.to_owned())
}

/// The pairs whose form is not the one that is shown.
fn pairs_of_others(native: &Native) -> Vec<String> {
    let shown = first_noun(native);
    let is_other =
        |event: &&str| event.rsplit_once('.').is_some_and(|(noun, _)| Some(noun) != shown.as_deref());
    texts(get(native, &["events"])).into_iter().filter(is_other).map(str::to_owned).collect()
}

/// Pairs of a noun, and behind them those of others.
fn pairs(noun: &str, verbs: &[Value], others: Vec<String>) -> Value {
    let mut pairs: Vec<String> =
        verbs.iter().filter_map(Value::as_str).map(|verb| format!("{noun}.{verb}")).collect();
    for other in others {
        if !pairs.contains(&other) {
            pairs.push(other);
        }
    }
    json!(pairs)
}

fn missing(field: &str) -> Fault {
    fault(field, format!("{field} is missing"), "")
}

fn texts(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

fn text(field: &str, value: &Value) -> Result<Option<String>, Fault> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        _ => Err(fault(field, format!("{field} is no text"), "")),
    }
}

fn flag(field: &str, value: &Value) -> Result<(), Fault> {
    if value.is_boolean() { Ok(()) } else { Err(fault(field, format!("{field} is true or false"), "")) }
}

/// Events in any letter case, each once, in the order in which they were given.
fn events(value: &Value) -> Result<Vec<Value>, Fault> {
    let known = || format!("write some of {}", Verb::OF_ROWS.map(|verb| verb.to_string()).join(", "));
    let wrong = |message: String| fault("entry_events", message, &known());
    let Some(given) = value.as_array() else { return Err(wrong("entry_events is no list".into())) };
    let mut events: Vec<Verb> = Vec::new();
    for event in given {
        let verb = event.as_str().and_then(|word| word.parse::<Verb>().ok());
        let Some(verb) = verb else {
            return Err(wrong(format!("{event} is no event")));
        };
        if !events.contains(&verb) {
            events.push(verb);
        }
    }
    if events.is_empty() {
        return Err(wrong("no event is named".into()));
    }
    Ok(events.into_iter().map(|verb| Value::from(verb.as_str())).collect())
}

/// An object, or the text of one.
fn custom_json(value: &Value) -> Result<Value, Fault> {
    let read = match value {
        Value::String(text) if text.trim().is_empty() => Value::Null,
        Value::String(text) => serde_json::from_str(text).unwrap_or(Value::Bool(false)),
        value => value.clone(),
    };
    match read {
        Value::Null | Value::Object(_) => Ok(read),
        _ => Err(fault("custom_json", "custom_json is no JSON object", "write {\"key\": value}")),
    }
}

fn put_callback(shown: &Value, given: &Value, native: &mut Native) -> Result<(), Fault> {
    let Value::Object(given) = given else { return Err(fault("callback", "callback is no object", "")) };
    if let Some(url) = given.get("url").filter(|url| **url != shown["url"]) {
        let Some(url) = url.as_str().filter(|url| !url.is_empty()) else {
            return Err(missing("callback.url"));
        };
        set(native, &["callback", "url"], normalised(url).into());
    }
    match given.get("authentication").filter(|given| **given != shown["authentication"]) {
        None => {}
        Some(Value::Null) => set(native, &["callback", "authentication"], json!({ "type": "NO_AUTH" })),
        Some(Value::Object(given)) => {
            let scheme = given.get("type").and_then(Value::as_str).unwrap_or("NO_AUTH").to_uppercase();
            let mut authentication = match get(native, &["callback", "authentication"]) {
                // of the same kind, what cannot be told here stays
                Value::Object(stored) if shown["authentication"]["type"] == *scheme => stored.clone(),
                _ => Map::new(),
            };
            authentication.retain(|name, _| !SETTINGS.contains(&name.as_str()));
            authentication.insert("type".to_owned(), scheme.into());
            for name in SETTINGS {
                if let Some(value) = given.get(name).filter(|value| !value.is_null()) {
                    authentication.insert(name.to_owned(), value.clone());
                }
            }
            set(native, &["callback", "authentication"], authentication.into());
        }
        Some(_) => return Err(fault("callback.authentication", "authentication is no object", "")),
    }
    Ok(())
}

/// Scheme and host in small letters: whether two URLs are the same does not depend on those.
fn normalised(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (format!("{user}@"), host),
        None => (String::new(), authority),
    };
    format!("{}://{user}{}{path}", scheme.to_lowercase(), host.to_lowercase())
}
