//! What can happen to the entries of a form: `[[forms.transitions]]`, `emitted`, `[forms.merge]`, `[forms.actor]`.

use super::reader::{Reader, join};
use super::table::Table;
use crate::event::{Verb, Word};
use crate::happening::{Happenings, Merges, Transition};
use std::ops::Range;

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
    let actor = |key| form.table("actor").and_then(|actor| actor.text(key)).cloned();
    Happenings {
        transitions,
        children: Vec::new(),
        emitted: emitted.collect(),
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
