//! Between another product's words for a webhook and the native model, so that nothing is lost on the way (a webhook may
//! be written by one interface and edited by another).
//!
//! A product shows what its words can express of a webhook. What comes back is compared with that, field by field: a
//! field that is as it was shown changes nothing, whatever of the native model it stands for, and only a field that
//! differs is put into the model. A secret that is shown masked and comes back masked is such a field.

use crate::registry::Fault;
use serde_json::{Map, Value};

/// A registration in the shape of the native model.
pub type Native = Map<String, Value>;

/// A product's words.
pub trait Words {
    /// The fields that can be written, in the order in which they are put into the model.
    const FIELDS: &'static [&'static str];

    /// What the words can express of a registration, by field. A field that says nothing of it may be left out; then it
    /// counts as null.
    fn show(&self, native: &Native) -> Map<String, Value>;

    /// Puts a field into a registration. A fault names the field in the product's words.
    fn put(&self, field: &str, value: &Value, native: &mut Native) -> Result<(), Fault>;
}

/// Puts what differs from what is shown into a registration; fields that are not among the words mean nothing. All that
/// is wrong is told at once.
pub fn put_in<W: Words>(
    words: &W,
    given: &Map<String, Value>,
    native: &mut Native,
) -> Result<(), Vec<Fault>> {
    let shown = words.show(native);
    let mut faults = Vec::new();
    for field in W::FIELDS {
        let Some(value) = given.get(*field) else { continue };
        if value != shown.get(*field).unwrap_or(&Value::Null) {
            faults.extend(words.put(field, value, native).err());
        }
    }
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

/// What is wrong with a field of a product.
pub fn fault(field: &str, message: impl Into<String>, remedy: &str) -> Fault {
    let remedy = (!remedy.is_empty()).then(|| remedy.to_owned());
    Fault { field: field.to_owned(), message: message.into(), remedy, place: None }
}

/// Puts a value at a path of the native model (`callback`, `url`), or takes it away where it is null.
pub fn set(native: &mut Native, path: &[&str], value: Value) {
    let [first, rest @ ..] = path else { return };
    if rest.is_empty() {
        if value.is_null() {
            native.remove(*first);
        } else {
            native.insert((*first).to_owned(), value);
        }
        return;
    }
    let inner = native.entry(*first).or_insert_with(|| Value::Object(Map::new()));
    if !inner.is_object() {
        *inner = Value::Object(Map::new());
    }
    if let Value::Object(inner) = inner {
        set(inner, rest, value);
    }
}

/// The value at a path of the native model; null where there is none.
pub fn get<'a>(native: &'a Native, path: &[&str]) -> &'a Value {
    const NOTHING: &Value = &Value::Null;
    let [first, rest @ ..] = path else { return NOTHING };
    rest.iter().fold(native.get(*first).unwrap_or(NOTHING), |value, name| value.get(name).unwrap_or(NOTHING))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Knows a name and the first event only.
    struct Short;

    impl Words for Short {
        const FIELDS: &'static [&'static str] = &["title", "event"];

        fn show(&self, native: &Native) -> Map<String, Value> {
            let event = get(native, &["events"]).get(0).cloned().unwrap_or_default();
            Map::from_iter([("title".into(), get(native, &["name"]).clone()), ("event".into(), event)])
        }

        fn put(&self, field: &str, value: &Value, native: &mut Native) -> Result<(), Fault> {
            match (field, value) {
                ("title", title) => set(native, &["name"], title.clone()),
                (_, Value::String(event)) => set(native, &["events"], json!([event])),
                (_, _) => return Err(fault("event", "an event is a text", "")),
            }
            Ok(())
        }
    }

    fn native() -> Native {
        let Value::Object(native) = json!({ "name": "a", "events": ["create", "update"] }) else {
            unreachable!()
        };
        native
    }

    #[test]
    fn what_comes_back_as_it_was_shown_changes_nothing() {
        let mut written = native();
        let mut given = Short.show(&written);
        put_in(&Short, &given, &mut written).unwrap();
        assert_eq!(written, native());
        given.insert("title".into(), "b".into());
        given.insert("colour".into(), "red".into());
        put_in(&Short, &given, &mut written).unwrap();
        assert_eq!(Value::Object(written), json!({ "name": "b", "events": ["create", "update"] }));
    }

    #[test]
    fn what_differs_is_put_in_or_told() {
        let mut written = native();
        let Value::Object(given) = json!({ "event": "delete", "title": null }) else { unreachable!() };
        put_in(&Short, &given, &mut written).unwrap();
        assert_eq!(Value::Object(written.clone()), json!({ "events": ["delete"] }));
        let Value::Object(given) = json!({ "event": 7 }) else { unreachable!() };
        assert_eq!(put_in(&Short, &given, &mut written).unwrap_err()[0].field, "event");
    }

    #[test]
    fn a_path_makes_what_it_needs() {
        let mut native = Native::new();
        set(&mut native, &["callback", "url"], "https://a.example/".into());
        assert_eq!(get(&native, &["callback", "url"]), "https://a.example/");
        set(&mut native, &["callback", "url"], Value::Null);
        assert_eq!(get(&native, &["callback", "url", "further"]), &Value::Null);
        assert_eq!(Value::Object(native), json!({ "callback": {} }));
    }
}
