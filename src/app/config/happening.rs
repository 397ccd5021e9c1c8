//! What can happen to the entries of a form: `[[forms.transitions]]`, `emitted`, `[forms.merge]`, `[forms.actor]`.

use super::reader::{Reader, join};
use super::table::Table;
use super::{condition, suggest};
use crate::event::{Verb, Word};
use crate::happening::{Happenings, Merges, Transition};
use crate::rule::{Rule, Template};
use serde_json::{Map, Value};
use std::ops::Range;
use std::sync::Arc;

/// Reads what a form says of it.
pub(super) fn read(reader: &mut Reader<'_>, form: &Table) -> Happenings {
    let transitions = form.tables("transitions");
    let transitions = transitions.into_iter().filter_map(|table| {
        let path = join(&table.path, "verb");
        let verb = word(reader, table.place("verb"), &path, table.text("verb")?)?;
        let field = table.text("field")?.clone();
        Some(Transition { verb, field, from: table.strings("from"), to: table.strings("to") })
    });
    let transitions = transitions.collect();
    let path = join(&form.path, "emitted");
    let emitted: Vec<(Range<usize>, &str)> = form.texts("emitted").collect();
    let emitted = emitted.into_iter().filter_map(|(span, text)| word(reader, span, &path, text));
    let emitted = emitted.collect();
    let rules = rules(reader, form);
    let actor = |key| form.table("actor").and_then(|actor| actor.text(key)).cloned();
    Happenings {
        transitions,
        children: Vec::new(),
        emitted,
        rules,
        merges: merges(form),
        actor: actor("column"),
        actor_name: actor("name"),
    }
}

fn merges(form: &Table) -> Merges {
    let Some(merge) = form.table("merge") else { return Merges::default() };
    Merges {
        origins: merge.strings("origins"),
        delete_insert: merge.flag("delete_insert").copied(),
        markers: merge.strings("marker"),
        target: merge.text("target").cloned(),
        references: merge.text("references").cloned(),
    }
}

/// `[[forms.rules]]`.
fn rules(reader: &mut Reader<'_>, form: &Table) -> Vec<Arc<Rule>> {
    let mut rules: Vec<Arc<Rule>> = Vec::new();
    for table in form.tables("rules") {
        let (path, place) = (join(&table.path, "name"), table.place("name"));
        let Some(name) = table.text("name").and_then(|name| word(reader, place.clone(), &path, name)) else {
            continue;
        };
        if rules.iter().any(|rule| rule.name == name) {
            let message = format!("two rules of the form are named {:?}", name.as_str());
            reader.refuse(place, &path, message, "give one of them another name".to_owned());
        }
        rules.push(Arc::new(Rule {
            name,
            verbs: verbs_of_rule(reader, table, form),
            condition: condition::read(reader, table, "condition"),
            webhooks: table.strings("webhooks"),
            payload: Template(payload(reader, table)),
        }));
    }
    rules
}

/// What has to happen; the form's own words count where it has them.
fn verbs_of_rule(reader: &mut Reader<'_>, table: &Table, form: &Table) -> Vec<Verb> {
    let own = ["transitions", "children"].into_iter().flat_map(|key| form.tables(key));
    let own = own.filter_map(|one| one.text("verb")).map(String::as_str);
    let emitted: Vec<(Range<usize>, &str)> = form.texts("emitted").collect();
    let known: Vec<&str> = Verb::OF_ROWS
        .iter()
        .map(Verb::as_str)
        .chain(own)
        .chain(emitted.iter().map(|(_, word)| *word))
        .collect();
    let events: Vec<(Range<usize>, &str)> = table.texts("events").collect();
    let mut verbs = Vec::new();
    for (span, text) in events {
        match text.parse::<Verb>() {
            Ok(verb) if known.contains(&verb.as_str()) => verbs.push(verb),
            _ => {
                let remedy = suggest::remedy(text, known.iter().copied())
                    .unwrap_or_else(|| format!("choose from {}", known.join(", ")));
                let path = join(&table.path, "events");
                reader.refuse(span, &path, format!("{text:?} is no event of the form"), remedy);
            }
        }
    }
    if verbs.is_empty() { vec![Verb::Create, Verb::Update, Verb::Merge] } else { verbs }
}

fn payload(reader: &mut Reader<'_>, table: &Table) -> Map<String, Value> {
    let Some(json) = table.json("payload") else { return Map::new() };
    match serde_json::from_str(json) {
        Ok(Value::Object(map)) => map,
        _ => {
            let message = "the payload of a rule is a JSON object";
            let remedy = "write it as { text = \"{Number} is urgent\" }".to_owned();
            reader.refuse(table.place("payload"), &join(&table.path, "payload"), message, remedy);
            Map::new()
        }
    }
}

/// Reads a word, which must be none of those that every form has. Several transitions may share one.
pub(super) fn word(reader: &mut Reader<'_>, span: Range<usize>, path: &str, text: &str) -> Option<Word> {
    let word = match text.parse::<Verb>() {
        Ok(Verb::AUTOMATION_RULE) => Err(format!("{text:?} is what the events of rules are called")),
        Ok(Verb::Named(word)) if word.as_str() == text => Ok(word),
        Ok(Verb::Named(_)) => Err("an event has lower case letters only".to_owned()),
        Ok(_) => Err(format!("{text:?} is an event that every form has")),
        Err(error) => Err(error.to_string()),
    };
    let remedy = "choose a word such as \"status-changed\"".to_owned();
    word.map_err(|message| reader.refuse(span, path, message, remedy)).ok()
}
