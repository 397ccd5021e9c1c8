//! `authentication` of a callback: found by its `type`, checked by the scheme itself.

use super::reader::{Reader, join};
use super::table::{Table, Value};
use crate::auth::{self, Scheme, Shape};
use crate::nearby::nearest;
use crate::secret::Secret;
use crate::webhook::Authentication;
use std::collections::BTreeMap;
use std::ops::Range;

/// Planned ones.
const LATER: &[&str] = &["OAUTH2"];

/// Reads a scheme and its settings.
pub(super) fn read(reader: &mut Reader<'_>, table: &Table) -> Option<Authentication> {
    let type_ = table.text("type")?;
    if LATER.iter().any(|later| later.eq_ignore_ascii_case(type_)) {
        let names: Vec<_> = auth::SCHEMES.iter().map(|scheme| scheme.name()).collect();
        let remedy = format!("today there is: {}", names.join(", "));
        let message = format!("{type_:?} is not yet supported");
        reader.refuse(table.place("type"), &join(&table.path, "type"), message, remedy);
        return None;
    }
    let scheme = auth::find(type_);
    let mut settings: BTreeMap<String, Secret> = BTreeMap::new();
    let mut places: BTreeMap<String, (Range<usize>, String)> = BTreeMap::new();
    let mut sound = true;
    for (name, entry) in table.entries.iter().filter(|(name, _)| *name != "type") {
        let is_table = |name: &str| {
            let declared = scheme.and_then(|scheme| scheme.settings().iter().find(|one| one.name == name));
            declared.is_some_and(|setting| setting.shape == Shape::Table)
        };
        match &entry.value {
            // what the operator names himself stands in the table for it, never beside `type`
            Some(Value::Secret(_)) if scheme.is_some_and(|scheme| !declares(scheme, name)) => {
                sound = false;
                let error =
                    auth::Error::Unknown { scheme: scheme.map_or("", Scheme::name), key: name.clone() };
                places.insert(name.clone(), (entry.name_span.clone(), join(&table.path, name)));
                refuse(reader, table, scheme, &places, &error);
            }
            Some(Value::Secret(secret)) => {
                settings.insert(name.clone(), secret.clone());
                places.insert(name.clone(), (entry.name_span.clone(), join(&table.path, name)));
            }
            Some(Value::Table(inner)) if is_table(name) => {
                for (key, entry) in &inner.entries {
                    let Some(Value::Secret(secret)) = &entry.value else {
                        sound = false;
                        continue;
                    };
                    settings.insert(key.clone(), secret.clone());
                    places.insert(key.clone(), (entry.name_span.clone(), join(&inner.path, key)));
                }
            }
            Some(_) => {
                sound = false;
                let message = format!("{name:?} must be a text in quotes, not a TOML table");
                reader.refuse(entry.span.clone(), &join(&table.path, name), message, None);
            }
            None => sound = false,
        }
    }
    match auth::check(type_, settings) {
        Ok(authentication) => Some(authentication),
        // a setting that was wrong has been told and would now be told as missing
        Err(_) if !sound => None,
        Err(errors) => {
            for error in errors {
                refuse(reader, table, scheme, &places, &error);
            }
            None
        }
    }
}

fn declares(scheme: &dyn Scheme, name: &str) -> bool {
    scheme.settings().iter().any(|setting| setting.name == name)
}

fn refuse(
    reader: &mut Reader<'_>,
    table: &Table,
    scheme: Option<&'static dyn Scheme>,
    places: &BTreeMap<String, (Range<usize>, String)>,
    error: &auth::Error,
) {
    let elsewhere = || (table.place(error.key()), join(&table.path, error.key()));
    let (place, path) = places.get(error.key()).cloned().unwrap_or_else(elsewhere);
    let near = match error {
        auth::Error::UnknownScheme { scheme } => {
            nearest(scheme, auth::SCHEMES.iter().map(|scheme| scheme.name()))
        }
        auth::Error::Unknown { key, .. } => {
            let settings = scheme.map_or(&[][..], Scheme::settings);
            nearest(key, settings.iter().map(|setting| setting.name))
        }
        auth::Error::Missing { .. } | auth::Error::Invalid { .. } => None,
    };
    let remedy = near.map_or_else(|| error.hint(), |near| format!("did you mean {near:?}?"));
    reader.refuse(place, &path, error.to_string(), remedy);
}
