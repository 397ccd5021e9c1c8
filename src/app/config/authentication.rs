//! `authentication` of a callback: found by its `type`, checked by the scheme itself.

use super::reader::{Reader, join};
use super::suggest;
use super::table::{Table, Value};
use crate::secret::Secret;
use crate::webhook::Authentication;
use std::collections::BTreeMap;

/// Schemes with their settings; an empty list of settings means any.
const SCHEMES: &[(&str, &[&str])] = &[
    ("NO_AUTH", &[]),
    ("BASIC", &["username", "password"]),
    ("BEARER", &["token"]),
    ("HEADERS", &["headers"]),
];

/// Planned ones.
const LATER: &[&str] = &["IMS", "OAUTH2"];

/// Reads a scheme and its settings.
pub(super) fn read(reader: &mut Reader<'_>, table: &Table) -> Option<Authentication> {
    let type_ = table.text("type")?;
    let path = join(&table.path, "type");
    let found = SCHEMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(type_));
    let Some((scheme, declared)) = found else {
        if LATER.iter().any(|later| later.eq_ignore_ascii_case(type_)) {
            let names: Vec<_> = SCHEMES.iter().map(|(name, _)| *name).collect();
            let remedy = format!("today there is: {}", names.join(", "));
            reader.refuse(table.place("type"), &path, format!("{type_:?} is not yet supported"), remedy);
        } else {
            let remedy = suggest::remedy(type_, SCHEMES.iter().map(|(name, _)| *name));
            let message = format!("there is no authentication {type_:?}");
            reader.refuse(table.place("type"), &path, message, remedy);
        }
        return None;
    };
    let mut settings: BTreeMap<String, Secret> = BTreeMap::new();
    for (name, entry) in table.entries.iter().filter(|(name, _)| *name != "type") {
        if !declared.contains(&name.as_str()) {
            let message = format!("{scheme} has no setting {name:?}");
            let remedy = suggest::remedy(name, declared.iter().copied())
                .unwrap_or_else(|| format!("remove it: {scheme} has no settings"));
            reader.refuse(entry.name_span.clone(), &join(&table.path, name), message, remedy);
            continue;
        }
        match &entry.value {
            Some(Value::Secret(secret)) => {
                settings.insert(name.clone(), secret.clone());
            }
            Some(Value::Table(headers)) => {
                settings.extend(headers.entries.iter().filter_map(|(name, entry)| match &entry.value {
                    Some(Value::Secret(secret)) => Some((name.clone(), secret.clone())),
                    _ => None,
                }));
            }
            _ => {}
        }
    }
    for name in declared.iter().filter(|name| !table.says(name)) {
        let remedy = format!("add `{name} = …`");
        let message = format!("{scheme} needs {name:?}");
        reader.refuse(table.span.clone(), &join(&table.path, name), message, remedy);
    }
    Some(Authentication { scheme, settings })
}
