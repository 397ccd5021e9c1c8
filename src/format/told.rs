//! Bodies read back: what they tell of an event's rows.

use super::multipart;
use crate::event::Verb;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Values in JSON by the names of their fields.
pub type Values = BTreeMap<String, Box<RawValue>>;

/// What a body tells of an event's rows. A field that is in neither is not known.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// The row after the change; nothing on delete.
    pub new: Values,
    /// The row before it; none where the body does not tell what has changed.
    pub old: Option<Values>,
}

/// The part of a `native` body, and of the data of a `cloudevents` body, that is about rows.
#[derive(Deserialize)]
struct Native {
    entry: Values,
    changed: Option<BTreeMap<String, Change>>,
}

#[derive(Deserialize)]
struct Change {
    // `null` is a value, and nothing is none
    #[serde(default, deserialize_with = "present")]
    old: Option<Box<RawValue>>,
}

fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

impl Native {
    /// Fields that are not among the changed ones were before as they are now.
    fn told(self, verb: Verb) -> Told {
        if verb == Verb::Delete {
            return Told { new: Values::new(), old: Some(self.entry) };
        }
        let old = self.changed.map(|changed| {
            let mut old = self.entry.clone();
            old.retain(|field, _| !changed.contains_key(field));
            old.extend(changed.into_iter().filter_map(|(field, change)| Some((field, change.old?))));
            old
        });
        Told { new: self.entry, old }
    }
}

/// What a `native` body tells.
pub(super) fn native(verb: Verb, body: &[u8]) -> Option<Told> {
    let native: Native = serde_json::from_slice(body).ok()?;
    Some(native.told(verb))
}

/// The part of a `cloudevents` body that is about rows.
#[derive(Deserialize)]
struct CloudEvents {
    data: Native,
}

/// What a `cloudevents` body tells: its data is what a `native` body is.
pub(super) fn cloudevents(verb: Verb, body: &[u8]) -> Option<Told> {
    let cloudevents: CloudEvents = serde_json::from_slice(body).ok()?;
    Some(cloudevents.data.told(verb))
}

/// The part of an `arsys` body that is about rows.
#[derive(Deserialize)]
struct Arsys {
    #[serde(default)]
    entry_details: Values,
}

/// What an `arsys` body tells: values after the change, of a delete nothing.
pub(super) fn arsys(body: &[u8]) -> Option<Told> {
    let arsys: Arsys = serde_json::from_slice(multipart::entry(body)).ok()?;
    Some(Told { new: arsys.entry_details, old: None })
}

/// The part of a `datagerry` body that is about rows.
#[derive(Deserialize)]
struct DataGerry {
    object_before: Option<Object>,
    object_after: Option<Object>,
}

#[derive(Deserialize)]
struct Object {
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    name: String,
    value: Box<RawValue>,
}

impl Object {
    fn values(self) -> Values {
        self.fields.into_iter().map(|field| (field.name, field.value)).collect()
    }
}

/// What a `datagerry` body tells: both rows, as far as they are known.
pub(super) fn datagerry(verb: Verb, body: &[u8]) -> Option<Told> {
    let DataGerry { object_before, object_after } = serde_json::from_slice(body).ok()?;
    let new = object_after.map(Object::values);
    // what a delete does not tell of is not known, and what else has no row after it is no body of ours
    if new.is_none() && verb != Verb::Delete {
        return None;
    }
    Some(Told { new: new.unwrap_or_default(), old: object_before.map(Object::values) })
}

/// The part of a `changegear` body that is about rows.
#[derive(Deserialize)]
struct ChangeGear {
    #[serde(rename = "Entity")]
    entity: Values,
}

/// What a `changegear` body tells: the row after the change, of a delete the one before it.
pub(super) fn changegear(verb: Verb, body: &[u8]) -> Option<Told> {
    let ChangeGear { entity } = serde_json::from_slice(body).ok()?;
    let told = match verb {
        Verb::Delete => Told { new: Values::new(), old: Some(entity) },
        Verb::Create | Verb::Update | Verb::Merge | Verb::Named(_) => Told { new: entity, old: None },
    };
    Some(told)
}
