//! `[[forms]]`.

use super::reader::{Reader, join};
use super::table::{Table, Value};
use super::{attachments, children, condition, field, happening, supplements};
use crate::attachment::Attachments;
use crate::form::{Deleted, Fold, Form, ItrpFields, OldValues, Part};
use crate::qualification::Dialect;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use url::Url;

/// Reads all forms and checks them against each other.
pub(super) fn read(reader: &mut Reader<'_>, file: &Table, dialect: &Arc<Dialect>) -> Vec<Arc<Form>> {
    let limit = file.table("capture").and_then(|capture| capture.size("value_bytes_max").copied());
    let value_bytes_max = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
    let mut forms = Vec::new();
    let mut seen: BTreeMap<String, Range<usize>> = BTreeMap::new();
    for table in file.tables("forms") {
        let Some(mut form) = form(reader, table, dialect, value_bytes_max) else { continue };
        let mut read_form =
            |reader: &mut Reader<'_>, table: &Table| self::form(reader, table, dialect, value_bytes_max);
        let children = children::read(reader, table, &form.name, &mut read_form);
        form.happenings.children = children.verbs;
        form.referred_by = children.referred_by;
        let supplements = supplements::read(reader, table, &mut form, &mut read_form);
        form.attachments = attachments::read(reader, file, table, &form);
        let place = if table.says("name") { table.place("name") } else { table.place("table") };
        if let Some(first) = seen.insert(form.name.clone(), place.clone()) {
            let message = format!("two forms are named {:?}", form.name);
            let remedy = "give one of them another `name`".to_owned();
            reader.refuse(place, &join(&table.path, "name"), message, remedy);
            reader.point_back(first, "the first one");
        }
        forms.push(Arc::new(form));
        forms.extend(children.forms.into_iter().chain(supplements).map(Arc::new));
    }
    forms
}

fn form(
    reader: &mut Reader<'_>,
    table: &Table,
    dialect: &Arc<Dialect>,
    value_bytes_max: usize,
) -> Option<Form> {
    let (schema, name) = relation(reader, table)?;
    let noun = match table.text("noun") {
        Some(noun) => {
            let fits = !noun.is_empty()
                && noun.chars().all(|c| c.is_lowercase() || c.is_numeric() || c == '_' || c == '-');
            if !fits {
                let message = "a noun has lower case letters, digits, _ and - only";
                let remedy = format!("write {:?}", noun_of(noun));
                reader.refuse(table.place("noun"), &join(&table.path, "noun"), message, remedy);
            }
            noun.clone()
        }
        None => noun_of(&name),
    };
    let form_name = table.text("name").unwrap_or(&name).clone();
    super::name_fits(reader, table, &form_name);
    let form = Form {
        name: form_name,
        noun,
        schema,
        table: name,
        entry_id: columns(reader, table, "entry_id"),
        record_id: table.text("record_id").cloned(),
        old_values: match table.word("old_values") {
            Some(&"log") => OldValues::Log,
            Some(&"none") => OldValues::None,
            _ => OldValues::Auto,
        },
        fold: if table.word("fold") == Some(&"row") { Fold::Row } else { Fold::Transaction },
        ignore: columns(reader, table, "ignore"),
        unset: table.strings("unset"),
        hidden: columns(reader, table, "hidden"),
        fields: field::read(reader, table),
        happenings: happening::read(reader, table),
        itrp: itrp(reader, table),
        belonging: None,
        referred_by: Vec::new(),
        unchanged_updates: table.flag("unchanged_updates") == Some(&true),
        value_bytes_max,
        entries: condition::read(reader, table, "where"),
        parts: parts_of_fields(reader, table),
        supplied: Vec::new(),
        deleted: deleted(table),
        attachments: Attachments::default(),
        dialect: Arc::clone(dialect),
    };
    hidden_stays_hidden(reader, table, &form);
    Some(form)
}

/// `deleted`: a column, or a column with the values that mean it.
fn deleted(form: &Table) -> Option<Deleted> {
    match form.value("deleted")? {
        Value::Text(column) => Some(Deleted { column: column.clone(), values: Vec::new() }),
        Value::Table(deleted) => {
            Some(Deleted { column: deleted.text("column")?.clone(), values: deleted.strings("values") })
        }
        _ => None,
    }
}

fn itrp(reader: &mut Reader<'_>, form: &Table) -> ItrpFields {
    let Some(table) = form.table("itrp") else { return ItrpFields::default() };
    let text = |key: &str| table.text(key).cloned();
    for key in ["canonical", "resource"] {
        let fits = |template: &String| {
            let url = template.replace("{entry_id}", "1");
            Url::parse(&url).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
        };
        if text(key).is_some_and(|template| !fits(&template)) {
            let remedy = "write it as \"https://desk.example/requests/{entry_id}\"".to_owned();
            reader.refuse(table.place(key), &join(&table.path, key), "this is no URL of an entry", remedy);
        }
    }
    ItrpFields {
        status: text("status"),
        source: text("source"),
        source_id: text("sourceID"),
        team: text("team"),
        team_name: text("team_name"),
        member: text("member"),
        member_name: text("member_name"),
        canonical: text("canonical"),
        resource: text("resource"),
    }
}

/// `schema.table` or `table`, each part as the catalogue has it, in double quotes where it holds a dot.
fn relation(reader: &mut Reader<'_>, table: &Table) -> Option<(Option<String>, String)> {
    let text = table.text("table")?;
    let parts = parts(text).filter(|parts| parts.iter().all(|part| !part.is_empty() && part.len() <= 63));
    match parts.as_deref() {
        Some([name]) => Some((None, name.clone())),
        Some([schema, name]) => Some((Some(schema.clone()), name.clone())),
        _ => {
            let remedy = "write \"schema.table\" with the names as the catalogue has them (letter case counts); \
                          a name with a dot stands in double quotes: 'sales.\"order.line\"'";
            let message = "this names no table";
            reader.refuse(table.place("table"), &join(&table.path, "table"), message, remedy.to_owned());
            None
        }
    }
}

pub(super) fn parts(text: &str) -> Option<Vec<String>> {
    let mut parts = Vec::new();
    let mut rest = text;
    loop {
        if let Some(quoted) = rest.strip_prefix('"') {
            let mut part = String::new();
            let mut from = quoted;
            loop {
                let (before, behind) = from.split_once('"')?;
                part.push_str(before);
                let Some(behind) = behind.strip_prefix('"') else {
                    rest = behind;
                    break;
                };
                part.push('"');
                from = behind;
            }
            parts.push(part);
        } else {
            let end = rest.find('.').unwrap_or(rest.len());
            parts.push(rest[..end].to_owned());
            rest = &rest[end..];
        }
        if rest.is_empty() {
            return Some(parts);
        }
        rest = rest.strip_prefix('.')?;
    }
}

fn noun_of(name: &str) -> String {
    let noun: String = name.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
    noun.to_lowercase()
}

/// A list of columns, none of them twice.
fn columns(reader: &mut Reader<'_>, table: &Table, name: &str) -> Vec<String> {
    let mut columns: Vec<String> = Vec::new();
    for (span, column) in table.texts(name) {
        if column.is_empty() {
            reader.refuse(span, &join(&table.path, name), "a column has a name", None);
        } else if columns.iter().any(|known| known == column) {
            let message = format!("column {column:?} stands here twice");
            reader.refuse(span, &join(&table.path, name), message, "remove one of them".to_owned());
        } else {
            columns.push(column.to_owned());
        }
    }
    columns
}

/// Columns that conditions reach under names of their own, in the order of the file.
fn parts_of_fields(reader: &mut Reader<'_>, table: &Table) -> Vec<Part> {
    let Some(map) = table.table("parts") else { return Vec::new() };
    let fields = table.table("fields");
    let hidden = table.strings("hidden");
    let mut parts = Vec::new();
    for (name, entry) in field::in_file_order(map) {
        let path = join(&map.path, name);
        let Some(Value::Text(column)) = &entry.value else { continue };
        if column.is_empty() {
            reader.refuse(entry.span.clone(), &path, "a column has a name", None);
        }
        if hidden.contains(column) {
            let message = format!("column {column:?} is hidden and cannot be part of a field");
            let remedy = "take it out of `hidden`, or remove the part".to_owned();
            reader.refuse(entry.span.clone(), &path, message, remedy);
        }
        if let Some(field) = fields.and_then(|fields| fields.entries.get(name)) {
            let message = format!("a field is named {name:?} already");
            let remedy = "a part's name has the field's, a dot and the part's: \"Cost.TYPE\"".to_owned();
            reader.refuse(entry.name_span.clone(), &path, message, remedy);
            reader.point_back(field.name_span.clone(), "the field");
        }
        parts.push(Part { name: name.clone(), column: column.clone() });
    }
    parts
}

/// What is hidden must not leave by another door.
fn hidden_stays_hidden(reader: &mut Reader<'_>, table: &Table, form: &Form) {
    let doors =
        [("entry_id", form.entry_id.clone()), ("record_id", form.record_id.iter().cloned().collect())];
    for (key, columns) in doors {
        if let Some(column) = columns.iter().find(|column| form.hidden.contains(column)) {
            let message = format!("column {column:?} is hidden, but would leave in every delivery as {key}");
            let remedy = format!("take it out of `hidden`, or choose another column for `{key}`");
            reader.refuse(table.place(key), &join(&table.path, key), message, remedy);
        }
    }
    let Some(map) = table.table("fields") else { return };
    for field in form.fields.iter().filter(|field| form.hidden.contains(&field.column)) {
        let message = format!("column {:?} is hidden and cannot be a field", field.column);
        let remedy = "take it out of `hidden`, or remove the field".to_owned();
        reader.refuse(map.place(&field.name), &join(&map.path, &field.name), message, remedy);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_named_as_the_catalogue_has_them() {
        let check = |text: &str, wanted: Option<&[&str]>| {
            assert_eq!(
                parts(text),
                wanted.map(|parts| parts.iter().map(ToString::to_string).collect()),
                "{text}"
            );
        };
        check("incident", Some(&["incident"]));
        check("helpdesk.incident", Some(&["helpdesk", "incident"]));
        check("helpdesk.\"order.line\"", Some(&["helpdesk", "order.line"]));
        check("\"a\"\"b\"", Some(&["a\"b"]));
        check("\"HPD:Help Desk\"", Some(&["HPD:Help Desk"]));
        check("\"open", None);
        check("\"a\"b", None);
        check("a.", Some(&["a", ""]));
    }

    #[test]
    fn a_noun_follows_from_the_table() {
        assert_eq!(noun_of("incident"), "incident");
        assert_eq!(noun_of("HPD:Help Desk"), "hpd_help_desk");
    }
}
