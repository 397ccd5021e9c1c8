//! What a webhook listens to: events on forms, each with each, or as pairs.
//!
//! `form = "Incident"` with `events = ["create"]` names both apart; `events = ["incident.create", "ci.update"]` names
//! pairs, by the forms' nouns. Both may stand together.

use super::reader::{Reader, join};
use super::suggest;
use super::table::Table;
use crate::event::Verb;
use crate::form::Form;
use crate::webhook::Listening;
use std::ops::Range;
use std::sync::Arc;

/// Stands for every form of the configuration.
const ALL: &str = "*";

/// The forms that a webhook listens to, in the order in which they were named, and what it listens to on each.
pub(super) struct Listened {
    pub(super) forms: Vec<Arc<Form>>,
    pub(super) listens: Vec<Listening>,
}

/// An event as somebody wrote it.
enum Named<'a> {
    /// On the forms that are named apart.
    Everywhere(Verb),
    /// On the forms of a noun.
    Of(&'a str, Verb),
}

pub(super) fn read(reader: &mut Reader<'_>, table: &Table, forms: &[Arc<Form>]) -> Listened {
    // also where some of them mean nothing: that is said of them
    let names_forms_itself =
        table.says("events") && table.texts("events").all(|(_, word)| word.contains('.'));
    let apart = named_forms(reader, table, forms, names_forms_itself);
    let named = events(reader, table, forms, &apart);
    let has = |pairs: bool| named.iter().any(|event| matches!(event, Named::Of(..)) == pairs);
    if !apart.is_empty() && has(true) && !has(false) {
        let remedy = "add a plain event, as \"create\", or remove the form".to_owned();
        let message = "every event names its form itself, so none is left for this one";
        let key = if table.says("form") { "form" } else { "forms" };
        reader.refuse(table.place(key), &join(&table.path, key), message, remedy);
    }
    let mut listened = Listened { forms: apart.clone(), listens: Vec::new() };
    for event in &named {
        match event {
            Named::Everywhere(verb) => {
                let meant = apart.iter().filter(|form| form.verbs().contains(verb));
                meant.for_each(|form| listened.add(form, *verb));
            }
            Named::Of(noun, verb) => {
                let meant = forms.iter().filter(|form| form.noun == *noun && form.verbs().contains(verb));
                meant.for_each(|form| listened.add(form, *verb));
            }
        }
    }
    // the order in which somebody wrote them means nothing
    listened.listens.iter_mut().for_each(|one| one.verbs.sort_unstable());
    listened
}

impl Listened {
    fn add(&mut self, form: &Arc<Form>, verb: Verb) {
        if !self.forms.contains(form) {
            self.forms.push(Arc::clone(form));
        }
        match self.listens.iter_mut().find(|one| one.form == form.name) {
            Some(one) if one.verbs.contains(&verb) => {}
            Some(one) => one.verbs.push(verb),
            None => self.listens.push(Listening::to(&form.name, &form.noun, &[verb])),
        }
    }
}

/// The forms that are named apart from the events.
fn named_forms(
    reader: &mut Reader<'_>,
    table: &Table,
    forms: &[Arc<Form>],
    may_lack: bool,
) -> Vec<Arc<Form>> {
    let known = || forms.iter().map(|form| form.name.as_str());
    if table.says("form") && table.says("forms") {
        let remedy = "keep one of the two".to_owned();
        let message = "a webhook has either `form` or `forms`";
        reader.refuse(table.place("form"), &join(&table.path, "form"), message, remedy);
    }
    let nothing = !table.says("form") && !table.says("forms");
    if (nothing && !may_lack) || table.list("forms").is_some_and(Vec::is_empty) {
        let place = if nothing { table.span.clone() } else { table.place("forms") };
        let remedy = match forms.first() {
            Some(form) => format!("add `form = {:?}` or another form", form.name),
            None => "describe a table in [[forms]], and name the form here".to_owned(),
        };
        reader.refuse(place, &join(&table.path, "form"), "the webhook listens to no form", remedy);
    }
    let one = table.text("form").map(|name| (table.place("form"), name.as_str()));
    let several = table.texts("forms").filter(|_| !table.says("form"));
    let mut wanted: Vec<Arc<Form>> = Vec::new();
    for (span, name) in one.into_iter().chain(several) {
        if name == ALL {
            return forms.to_vec();
        }
        let Some(form) = forms.iter().find(|form| form.name == name) else {
            let remedy =
                suggest::remedy(name, known()).unwrap_or_else(|| "describe the form in [[forms]]".to_owned());
            reader.refuse(span, &join(&table.path, "form"), format!("there is no form {name:?}"), remedy);
            continue;
        };
        if wanted.contains(form) {
            let message = format!("form {name:?} stands here twice");
            reader.refuse(span, &join(&table.path, "forms"), message, "remove one of them".to_owned());
        } else {
            wanted.push(Arc::clone(form));
        }
    }
    wanted
}

fn events<'a>(
    reader: &mut Reader<'_>,
    table: &'a Table,
    forms: &[Arc<Form>],
    apart: &[Arc<Form>],
) -> Vec<Named<'a>> {
    let path = join(&table.path, "events");
    if table.list("events").is_some_and(Vec::is_empty) {
        let remedy = "write some of \"create\", \"update\", \"merge\", \"delete\"; to switch the webhook off, \
                      write `enabled = false`";
        reader.refuse(table.place("events"), &path, "the webhook listens to no event", remedy.to_owned());
    }
    let mut seen: Vec<String> = Vec::new();
    let mut named = Vec::new();
    for (number, (span, word)) in table.texts("events").enumerate() {
        let Some(event) = event(reader, &format!("{path}[{}]", number + 1), span.clone(), word, forms, apart)
        else {
            continue;
        };
        if seen.iter().any(|known| known.eq_ignore_ascii_case(word)) {
            let message = format!("event {word:?} stands here twice");
            reader.refuse(span, &path, message, "remove one of them".to_owned());
        } else {
            seen.push(word.to_owned());
            named.push(event);
        }
    }
    named
}

fn event<'a>(
    reader: &mut Reader<'_>,
    path: &str,
    span: Range<usize>,
    word: &'a str,
    forms: &[Arc<Form>],
    meant: &[Arc<Form>],
) -> Option<Named<'a>> {
    let (noun, verb) = match word.rsplit_once('.') {
        Some((noun, verb)) => (Some(noun), verb),
        None => (None, word),
    };
    let Some(noun) = noun else {
        let verb = verb_of(reader, path, span, word, verb, meant)?;
        return Some(Named::Everywhere(verb));
    };
    let meant: Vec<_> = forms.iter().filter(|form| form.noun == noun).cloned().collect();
    if meant.is_empty() {
        let known = forms.iter().map(|form| form.noun.as_str());
        let remedy = suggest::remedy(noun, known)
            .unwrap_or_else(|| "describe the table in [[forms]], with this `noun`".to_owned());
        reader.refuse(span, path, format!("no form has the noun {noun:?}"), remedy);
        return None;
    }
    let verb = verb_of(reader, path, span, word, verb, &meant)?;
    Some(Named::Of(noun, verb))
}

/// An event that can happen on one of these forms.
fn verb_of(
    reader: &mut Reader<'_>,
    path: &str,
    span: Range<usize>,
    word: &str,
    verb: &str,
    forms: &[Arc<Form>],
) -> Option<Verb> {
    let mut known: Vec<Verb> = forms.iter().flat_map(|form| form.verbs()).chain(Verb::OF_ROWS).collect();
    known.sort_unstable();
    known.dedup();
    let read = verb.parse::<Verb>().ok().filter(|verb| known.contains(verb));
    if read.is_none() {
        let remedy = suggest::remedy(verb, known.iter().map(Verb::as_str)).unwrap_or_else(|| {
            "add it to the form: in [[forms.transitions]], [[forms.children]] or `emitted`".to_owned()
        });
        let message = match forms {
            [form] => format!("{word:?} is no event of form {:?}", form.name),
            _ => format!("{word:?} is no event"),
        };
        reader.refuse(span, path, message, remedy);
    }
    read
}

#[cfg(test)]
mod tests {
    use crate::app::config::Config;
    use std::path::Path;

    const FORMS: &str = r#"
        [[forms]]
        name = "Incident"
        table = "incident"
        [[forms]]
        name = "Change"
        noun = "ci"
        table = "change"
    "#;

    /// What a webhook with these keys listens to, as `form: verbs`, or what is wrong with it.
    fn listened(keys: &str) -> Result<Vec<String>, String> {
        let webhook = format!(
            "{FORMS}\n[[webhooks]]\nname = \"one\"\ncallback = {{ url = \"https://a.example/\" }}\n{keys}"
        );
        let config = Config::parse(Path::new("walhook.toml"), &webhook, &|_| None);
        let config = config.map_err(|error| error.to_string())?;
        let webhook = config.webhooks.iter().next().unwrap();
        let told = webhook.listens.iter().map(|one| {
            let verbs: Vec<_> = one.verbs.iter().map(ToString::to_string).collect();
            format!("{}: {}", one.form, verbs.join(" "))
        });
        Ok(told.collect())
    }

    #[test]
    fn forms_and_events_each_with_each_or_as_pairs() {
        for (keys, expected) in [
            (
                "forms = [\"Incident\", \"Change\"]\nevents = [\"update\", \"create\"]",
                &["Incident: create update", "Change: create update"][..],
            ),
            ("form = \"*\"\nevents = [\"delete\"]", &["Incident: delete", "Change: delete"]),
            (
                "events = [\"incident.create\", \"ci.update\", \"ci.CREATE\"]",
                &["Incident: create", "Change: create update"],
            ),
            (
                "form = \"Incident\"\nevents = [\"create\", \"ci.update\"]",
                &["Incident: create", "Change: update"],
            ),
        ] {
            assert_eq!(listened(keys).unwrap(), expected, "{keys}");
        }
    }

    #[test]
    fn what_means_nothing_is_told_with_a_remedy() {
        for (keys, expected) in [
            ("events = [\"create\"]", "the webhook listens to no form"),
            ("events = [\"incident.create\", \"create\"]", "the webhook listens to no form"),
            ("form = \"Incident\"\nevents = [\"ci.update\"]", "none is left for this one"),
            ("events = [\"incidnt.create\"]", "did you mean \"incident\"?"),
            ("events = [\"incident.created\"]", "did you mean \"create\"?"),
            ("events = [\"incident.\"]", "\"incident.\" is no event"),
            ("events = [\".create\"]", "no form has the noun \"\""),
            ("events = [\"ci.update\", \"CI.update\"]", "CI.update"),
            ("events = [\"ci.update\", \"ci.Update\"]", "stands here twice"),
        ] {
            let told = listened(keys).unwrap_err();
            assert!(told.contains(expected), "{keys}: {told}");
        }
    }
}
