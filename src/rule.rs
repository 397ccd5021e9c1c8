//! Automation rules: when something happens to an entry and a condition holds, webhooks are told what the operator wrote.

use crate::event::{Verb, Word};
use crate::qualification::Qualification;
use serde_json::{Map, Value};
use std::sync::Arc;

/// A rule, as the operator describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, which no other rule of the form has.
    pub name: Word,
    /// What has to happen.
    pub verbs: Vec<Verb>,
    /// What has to hold; none means that nothing has.
    pub condition: Option<Arc<Qualification>>,
    /// The names of the webhooks that are told; none means all that listen to the rules of the form.
    pub webhooks: Vec<String>,
    /// What they are told.
    pub payload: Template,
}

/// A JSON object in whose texts fields stand in braces: `{"text": "{Number} is {Status}"}`. A text that is one field alone
/// becomes its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template(pub Map<String, Value>);

/// A part of a text.
#[derive(Debug, PartialEq, Eq)]
enum Part<'t> {
    Text(&'t str),
    Field(&'t str),
}

impl Template {
    /// The names of the fields, as often as they stand there.
    pub fn fields(&self) -> Vec<&str> {
        let mut fields = Vec::new();
        self.0.values().for_each(|value| gather(value, &mut fields));
        fields
    }

    /// The object with the fields' values.
    pub fn fill(&self, value_of: &impl Fn(&str) -> Value) -> Value {
        Value::Object(self.0.iter().map(|(key, value)| (key.clone(), fill(value, value_of))).collect())
    }
}

fn gather<'t>(value: &'t Value, fields: &mut Vec<&'t str>) {
    match value {
        Value::String(text) => fields.extend(parts(text).into_iter().filter_map(|part| match part {
            Part::Field(name) => Some(name),
            Part::Text(_) => None,
        })),
        Value::Array(values) => values.iter().for_each(|value| gather(value, fields)),
        Value::Object(values) => values.values().for_each(|value| gather(value, fields)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn fill(value: &Value, value_of: &impl Fn(&str) -> Value) -> Value {
    match value {
        Value::String(text) => match parts(text).as_slice() {
            [Part::Field(name)] => value_of(name),
            parts => Value::String(parts.iter().map(|part| written(part, value_of)).collect()),
        },
        Value::Array(values) => values.iter().map(|value| fill(value, value_of)).collect(),
        Value::Object(values) => {
            Value::Object(values.iter().map(|(key, value)| (key.clone(), fill(value, value_of))).collect())
        }
        other => other.clone(),
    }
}

fn written(part: &Part<'_>, value_of: &impl Fn(&str) -> Value) -> String {
    match part {
        Part::Text(text) => (*text).to_owned(),
        Part::Field(name) => match value_of(name) {
            Value::Null => String::new(),
            Value::String(text) => text,
            other => other.to_string(),
        },
    }
}

/// A text taken apart; a brace that opens and is not closed is text.
fn parts(text: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once('{') {
        let Some((name, behind)) = behind.split_once('}') else { break };
        if !before.is_empty() {
            parts.push(Part::Text(before));
        }
        parts.push(Part::Field(name));
        rest = behind;
    }
    if !rest.is_empty() || parts.is_empty() {
        parts.push(Part::Text(rest));
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn fields_stand_in_braces() {
        let Value::Object(map) = json!({
            "text": "{Number} is {Status}!", "number": "{Number}", "level": 3, "list": ["{Status}", "plain", "{open"],
            "inner": { "empty": "", "gone": "[{Gone}]" }
        }) else {
            unreachable!()
        };
        let template = Template(map);
        let mut fields = template.fields();
        fields.sort_unstable();
        assert_eq!(fields, ["Gone", "Number", "Number", "Status", "Status"]);
        let filled = template.fill(&|name| match name {
            "Number" => json!(17),
            "Status" => json!("New"),
            _ => Value::Null,
        });
        let expected = json!({
            "text": "17 is New!", "number": 17, "level": 3, "list": ["New", "plain", "{open"],
            "inner": { "empty": "", "gone": "[]" }
        });
        assert_eq!(filled, expected);
    }
}
