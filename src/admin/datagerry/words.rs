//! DataGerry's words for a webhook.

use super::literal;
use crate::admin::translation::{Native, Words, fault, get, set};
use crate::event::Verb;
use crate::format::datagerry::operation;
use crate::registry::Fault;
use serde_json::{Map, Value, json};

/// The words. `event_types` are shown in capitals, as the product's page has them, and taken in any.
pub(in crate::admin) struct DataGerry;

impl Words for DataGerry {
    const FIELDS: &'static [&'static str] = &["name", "url", "event_types", "active"];

    fn show(&self, native: &Native) -> Map<String, Value> {
        let enabled = get(native, &["enabled"]);
        Map::from_iter([
            ("name".to_owned(), get(native, &["name"]).clone()),
            ("url".to_owned(), get(native, &["callback", "url"]).clone()),
            ("event_types".to_owned(), json!(shown_events(native))),
            ("active".to_owned(), if enabled.is_null() { true.into() } else { enabled.clone() }),
        ])
    }

    fn put(&self, field: &str, value: &Value, native: &mut Native) -> Result<(), Fault> {
        match field {
            "event_types" => put_events(&event_types(value)?, native),
            "active" => set(native, &["enabled"], active(value)?.into()),
            field => {
                let Some(text) = value.as_str().filter(|text| !text.is_empty()) else {
                    return Err(missing(field));
                };
                let path: &[&str] = if field == "url" { &["callback", "url"] } else { &["name"] };
                set(native, path, text.into());
            }
        }
        Ok(())
    }
}

/// What must be there for a new one.
pub(super) fn required(given: &Map<String, Value>) -> Vec<Fault> {
    let is_none = |value: &Value| value.is_null() || value.as_array().is_some_and(Vec::is_empty);
    let lacks = |name: &&&str| given.get(**name).is_none_or(is_none);
    DataGerry::FIELDS.iter().take(3).filter(lacks).map(|name| missing(name)).collect()
}

fn missing(field: &str) -> Fault {
    fault(field, format!("{field} is missing"), "")
}

/// Whether a webhook is to be served: true or false, as JSON or as a text of the page.
fn active(value: &Value) -> Result<bool, Fault> {
    match value {
        Value::Bool(active) => Ok(*active),
        Value::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
        Value::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
        _ => Err(fault("active", "active is true or false", "")),
    }
}

/// The operations that a list of event types names, each once.
fn event_types(value: &Value) -> Result<Vec<&'static str>, Fault> {
    let wrong = |message: String| fault("event_types", message, "write some of create, update, delete");
    let words = match value {
        Value::Array(list) => list.clone(),
        Value::String(text) if text.trim_start().starts_with('[') => {
            let texts =
                literal::texts(text).ok_or_else(|| wrong("event_types is no list of texts".into()))?;
            texts.into_iter().map(Value::String).collect()
        }
        // a form that names one
        Value::String(_) => vec![value.clone()],
        _ => return Err(wrong("event_types is no list".into())),
    };
    let known = ["CREATE", "UPDATE", "DELETE"];
    let mut operations = Vec::new();
    for word in &words {
        let text = word.as_str().unwrap_or_default();
        let Some(operation) = known.into_iter().find(|known| known.eq_ignore_ascii_case(text)) else {
            return Err(wrong(format!("{word} is no event type")));
        };
        if !operations.contains(&operation) {
            operations.push(operation);
        }
    }
    if operations.is_empty() { Err(wrong("no event type is named".into())) } else { Ok(operations) }
}

/// The events of a registration, each with the noun that it is of, if it is a pair.
fn events(native: &Native) -> Vec<(Option<&str>, Verb)> {
    let texts = get(native, &["events"]).as_array().into_iter().flatten().filter_map(Value::as_str);
    let pairs = texts.filter_map(|text| match text.rsplit_once('.') {
        Some((noun, verb)) => Some((Some(noun), verb.parse().ok()?)),
        None => Some((None, text.parse().ok()?)),
    });
    pairs.collect()
}

/// The operations that a registration listens to.
fn shown_events(native: &Native) -> Vec<&'static str> {
    let mut verbs: Vec<Verb> = events(native).into_iter().map(|(_, verb)| verb).collect();
    verbs.sort_unstable();
    let mut shown: Vec<&str> = verbs.into_iter().filter_map(operation).collect();
    shown.dedup();
    shown
}

/// Puts operations into a registration. An update is a merge, too, unless it was one alone before; where nouns are named,
/// each keeps its events as far as they are still wanted, and has those that are new.
fn put_events(wanted: &[&str], native: &mut Native) {
    let shown = shown_events(native);
    let known = events(native);
    let mut nouns: Vec<Option<&str>> = known.iter().map(|(noun, _)| *noun).collect();
    nouns.dedup();
    if nouns.is_empty() {
        nouns.push(None);
    }
    let mut texts: Vec<String> = Vec::new();
    for noun in nouns {
        for verb in Verb::OF_ROWS {
            let Some(word) = operation(verb) else { continue };
            let is_new = !shown.contains(&word);
            if !wanted.contains(&word) || !is_new && !known.contains(&(noun, verb)) {
                continue;
            }
            let text = noun.map_or_else(|| verb.to_string(), |noun| format!("{noun}.{verb}"));
            if !texts.contains(&text) {
                texts.push(text);
            }
        }
    }
    // the product has no words for these, and they stay
    let own = known.iter().filter(|(_, verb)| matches!(verb, Verb::Named(_)));
    texts.extend(
        own.map(|(noun, verb)| noun.map_or_else(|| verb.to_string(), |noun| format!("{noun}.{verb}"))),
    );
    set(native, &["events"], json!(texts));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::translation::put_in;

    #[track_caller]
    fn check(events: Value, given: Value, expected: Value) {
        let mut native = Native::from_iter([("events".to_owned(), events)]);
        let given = Map::from_iter([("event_types".to_owned(), given)]);
        match put_in(&DataGerry, &given, &mut native) {
            Ok(()) => assert_eq!(native["events"], expected),
            Err(faults) => assert_eq!(faults[0].message, expected.as_str().unwrap_or_default()),
        }
    }

    #[test]
    fn event_types_become_events_and_nothing_is_lost() {
        check(json!(null), json!(["CREATE", "update", "create"]), json!(["create", "update", "merge"]));
        check(json!([]), json!("['DELETE', \"create\"]"), json!(["create", "delete"]));
        check(json!([]), json!("delete"), json!(["delete"]));
        // what comes back as it was shown changes nothing
        check(json!(["update"]), json!(["UPDATE"]), json!(["update"]));
        check(json!(["merge", "x.y.create"]), json!(["CREATE", "UPDATE"]), json!(["merge", "x.y.create"]));
        // what is taken away goes everywhere, what is new comes everywhere, and the rest stays
        check(json!(["update"]), json!(["UPDATE", "DELETE"]), json!(["update", "delete"]));
        let pairs = json!(["incident.create", "ci.update", "ci.delete"]);
        check(pairs.clone(), json!(["CREATE"]), json!(["incident.create"]));
        check(
            json!(["incident.create", "ci.create"]),
            json!("['CREATE', 'DELETE']"),
            json!(["incident.create", "incident.delete", "ci.create", "ci.delete"]),
        );
        check(pairs, json!(["CREATED"]), json!("\"CREATED\" is no event type"));
        check(json!([]), json!("['create'"), json!("event_types is no list of texts"));
        check(json!(["create"]), json!([]), json!("no event type is named"));
        check(json!([]), json!(["merge"]), json!("\"merge\" is no event type"));
        check(json!([]), json!({}), json!("event_types is no list"));
    }
}
