//! Rows written as JSON objects: values by the names of fields or columns.

use super::Values;
use crate::change::{Datum, Row};
use crate::form::BoundForm;
use crate::nearby::remedy as suggestion;
use crate::value::Kind;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A row of a form. A string is the column's text as it is or the label of a selection, a number its text, true and false are t and f, an object
/// or an array is its JSON text. What `values` does not have is NULL.
pub fn row(form: &BoundForm, values: &Values) -> Result<Row, String> {
    if let Some(name) = values.keys().find(|name| column(form, name).is_none()) {
        return Err(unknown(form, name));
    }
    Ok(with_missing(form, values, Datum::Null, stored))
}

/// The same, where what `values` does not have is not known, and what the form does not have (any more) is left
/// aside.
pub fn known_part(form: &BoundForm, values: &Values) -> Row {
    with_missing(form, values, Datum::Unchanged, stored)
}

/// A value of a selection with its label.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Both {
    value: Box<RawValue>,
    #[serde(rename = "label")]
    _label: String,
}

/// Of a selection what stands in the column, where somebody wrote the label.
fn stored(form: &BoundForm, column: usize, text: String) -> String {
    let field = form.fields.iter().find(|field| field.column == column);
    let Some(Kind::Selection(selection)) = field.map(|field| &field.kind) else { return text };
    if selection.by_stored(&text).is_some() {
        return text;
    }
    // both were wanted: the value and its label
    if let Some(value) = serde_json::from_str::<Both>(&text).ok().and_then(|both| self::text(&both.value)) {
        return value;
    }
    let labelled = selection.choices.iter().find(|choice| choice.label == text);
    labelled.map_or(text, |choice| choice.stored.clone())
}

fn with_missing(
    form: &BoundForm,
    values: &Values,
    missing: Datum<'static>,
    stored: impl Fn(&BoundForm, usize, String) -> String,
) -> Row {
    let mut texts: Vec<Option<Option<String>>> = vec![None; form.relation.columns.len()];
    for (name, value) in values {
        if let Some(column) = column(form, name) {
            texts[column] = Some(text(value).map(|text| stored(form, column, text)));
        }
    }
    let data = texts.iter().map(|text| match text {
        None => missing,
        Some(None) => Datum::Null,
        Some(Some(text)) => Datum::Text(text),
    });
    data.collect()
}

fn column(form: &BoundForm, name: &str) -> Option<usize> {
    let by_name = form.fields.iter().find(|field| field.name == name).map(|field| field.column);
    let by_part = || form.parts.iter().find(|part| part.name == name).map(|part| part.column);
    let by_column = || form.relation.columns.iter().position(|column| column.name == name);
    let by_id = || {
        let id: u64 = name.parse().ok()?;
        form.fields.iter().find(|field| field.id == Some(id)).map(|field| field.column)
    };
    by_name.or_else(by_part).or_else(by_column).or_else(by_id)
}

fn unknown(form: &BoundForm, name: &str) -> String {
    let fields = form.fields.iter().map(|field| field.name.as_str());
    let known = fields.chain(form.parts.iter().map(|part| part.name.as_str()));
    let remedy = suggestion(name, known).map_or_else(String::new, |remedy| format!(" ({remedy})"));
    format!("form {:?} has no field {name:?}{remedy}", form.form.name)
}

/// A value as it stands in a column; none is NULL.
fn text(value: &RawValue) -> Option<String> {
    let json = value.get();
    match json {
        "null" => None,
        "true" => Some("t".to_owned()),
        "false" => Some("f".to_owned()),
        _ if json.starts_with('"') => {
            // a lone surrogate is JSON and no text
            Some(serde_json::from_str(json).unwrap_or_else(|_| json.to_owned()))
        }
        _ => Some(json.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::commands::condition::{columns, made};
    use std::sync::Arc;

    #[test]
    fn labels_become_what_stands_in_the_column() {
        let fields = columns::read("id:integer,status:enum(0=New|5=Closed|7=0),b:bool").unwrap();
        let form = made::form("f", fields, Arc::default());
        let texts = |json: &str| {
            let row = row(&form, &serde_json::from_str(json).unwrap()).unwrap();
            format!("{:?}", row.data().collect::<Vec<_>>())
        };
        let wanted = |status, b| format!("{:?}", [Datum::Null, Datum::Text(status), Datum::Text(b)]);
        assert_eq!(texts(r#"{"status": "Closed", "b": true}"#), wanted("5", "t"));
        assert_eq!(texts(r#"{"status": 0, "b": "f"}"#), wanted("0", "f"));
        assert_eq!(texts(r#"{"status": "Done", "b": true}"#), wanted("Done", "t"));
    }

    #[test]
    fn values_become_what_stands_in_the_columns() {
        let mut fields = columns::read("id:integer,b:bool,n:numeric,t:text,o:jsonb,x:text").unwrap();
        fields[2].id = Some(7);
        let form = made::form("f", fields, Arc::default());
        let values: Values = serde_json::from_str(
            r#"{"id": 1, "b": true, "7": 1.00000000000000000000010, "t": "ä\n\"", "o": {"a": [1]}, "x": null}"#,
        )
        .unwrap();
        let row = row(&form, &values).unwrap();
        let texts = ["1", "t", "1.00000000000000000000010", "ä\n\"", "{\"a\": [1]}"].map(Datum::Text);
        assert_eq!(row.data().collect::<Vec<_>>(), [&texts[..], &[Datum::Null]].concat());
        let part = known_part(&form, &serde_json::from_str(r#"{"id": 1, "gone": 2}"#).unwrap());
        assert_eq!((part.datum(0), part.datum(1)), (Datum::Text("1"), Datum::Unchanged));
        let wrong: Values = serde_json::from_str(r#"{"idd": 1}"#).unwrap();
        let said = super::row(&form, &wrong).unwrap_err();
        assert_eq!(said, "form \"f\" has no field \"idd\" (did you mean \"id\"?)");
    }
}
