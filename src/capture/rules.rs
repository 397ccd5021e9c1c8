//! What automation rules say of events.

use super::fold::Undecided;
use super::index::facts_of;
use crate::change::Datum;
use crate::event::{Circumstances, Detail, FormEvent, Verb};
use crate::form::BoundForm;
use crate::happening::BoundRule;
use crate::qualification::Truth;
use crate::value::write_json;
use serde_json::Value;
use std::sync::Arc;

/// Adds what the rules of the forms say of some events, behind them. Returns what could not be told, with the reasons.
pub(super) fn apply(events: &mut Vec<FormEvent>) -> Vec<Undecided> {
    let mut undecided = Vec::new();
    for number in 0..events.len() {
        let event = &events[number];
        if event.form.happenings.rules.is_empty() {
            continue;
        }
        let mut told = Vec::new();
        for rule in event.form.happenings.rules.iter().filter(|rule| rule.rule.verbs.contains(&event.verb)) {
            // of a change that is an update and a word of the form's own it tells once
            let is_told = |one: &FormEvent| {
                one.position == event.position
                    && one.circumstances.rule.as_deref() == Some(rule.rule.name.as_str())
            };
            if events.iter().any(is_told) {
                continue;
            }
            match holds(rule, event) {
                Ok(true) => told.push(prompted(rule, event)),
                Ok(false) => {}
                Err(reason) => undecided.push(Undecided {
                    form: event.form.form.name.clone(),
                    position: event.position,
                    reason: format!("rule {:?}: {reason}", rule.rule.name.as_str()),
                    rows: format!("old: {:?}, new: {:?}", event.old, event.new),
                }),
            }
        }
        events.extend(told);
    }
    undecided
}

fn holds(rule: &BoundRule, event: &FormEvent) -> Result<bool, String> {
    match &rule.condition {
        None => Ok(true),
        Some(Err(fault)) => Err(fault.clone()),
        Some(Ok(condition)) => match condition.judge(&facts_of(event)) {
            Ok(truth) => Ok(truth == Truth::True),
            Err(failure) => Err(failure.to_string()),
        },
    }
}

fn prompted(rule: &BoundRule, event: &FormEvent) -> FormEvent {
    let payload = rule.rule.payload.fill(&|name| value(&event.form, event, name));
    let circumstances = Circumstances {
        detail: Detail::Payload(payload.to_string()),
        rule: Some(rule.rule.name.as_str().to_owned()),
        told_webhooks: rule.rule.webhooks.clone(),
        ..Circumstances::clone(&event.circumstances)
    };
    FormEvent { verb: Verb::AUTOMATION_RULE, circumstances: Arc::new(circumstances), ..event.clone() }
}

/// A field's value as JSON; null where it is not known.
fn value(form: &BoundForm, event: &FormEvent, name: &str) -> Value {
    let Some(field) = form.fields.iter().find(|field| field.name == name) else {
        return if name == "entry_id" { event.entry_id.as_str().into() } else { Value::Null };
    };
    let Datum::Text(text) = event.value(field) else { return Value::Null };
    let mut json = Vec::new();
    write_json(&field.type_, text, &mut json);
    serde_json::from_slice(&json).unwrap_or_else(|_| text.into())
}
