//! A proposal as a configuration file, with comments that say why.

use super::proposal::{ChildProposal, FieldProposal, FormProposal, Proposal};
use std::fmt::Write as _;

/// Selections with more labels have a line for each.
const LABELS_IN_LINE_MAX: usize = 6;

impl Proposal {
    /// The file's text. `source` is what follows `[source]`, `url` an endpoint that is to hear of everything.
    pub fn to_toml(&self, database: &str, source: &str, url: Option<&str>) -> String {
        let made = "Proposed by `walhook init` from the catalogue of the database";
        let mut text = head(made, database, "Correct what it guessed", source);
        for form in &self.forms {
            write_form(&mut text, form);
        }
        let events: Vec<Vec<String>> = self.forms.iter().map(FormProposal::events).collect();
        write_webhook(&mut text, &events, url);
        if !self.left_out.is_empty() {
            text.push_str("\n# --- no forms ---\n#\n");
            for left_out in &self.left_out {
                line(&mut text, &format!("# {} {}.", printed(&left_out.table), printed(&left_out.reason)));
            }
        }
        text
    }
}

/// What the file begins with: how it was made, what to do next, and where the database is.
pub(super) fn head(made: &str, database: &str, first: &str, source: &str) -> String {
    format!(
        "# {made} {}. {first}, then:\n\
         #\n\
         #   walhook setup            what the database needs; --apply does it\n\
         #   walhook check            what is wrong, each with its remedy\n\
         #   walhook run\n\
         #\n\
         # `walhook config example` has every key.\n\n\
         [source]\n{source}",
        printed(database)
    )
}

/// A webhook that hears of all these events, a list for each form; a comment where there is no URL yet.
pub(super) fn write_webhook(text: &mut String, forms: &[Vec<String>], url: Option<&str>) {
    if forms.iter().all(Vec::is_empty) {
        return;
    }
    let mut webhook = String::from("[[webhooks]]\nname = \"everything\"\nevents = [\n");
    for events in forms {
        let events: Vec<String> = events.iter().map(|event| quoted(event)).collect();
        line(&mut webhook, &format!("    {},", events.join(", ")));
    }
    webhook.push_str("]\n");
    let _ = writeln!(webhook, "callback.url = {}", quoted(url.unwrap_or("https://receiver.example/hook")));
    match url {
        Some(_) => {
            text.push_str("\n# Hears of everything; take away what nobody needs.\n");
            text.push_str(&webhook);
        }
        None => {
            text.push_str("\n# Who is to hear of it, and where. Everything, for a start:\n#\n");
            for one in webhook.lines() {
                line(text, &format!("#{one}"));
            }
        }
    }
}

fn write_form(text: &mut String, form: &FormProposal) {
    text.push_str("\n[[forms]]\n");
    if let Some(comment) = &form.comment {
        line(text, &format!("# {}", printed(comment)));
    }
    let _ = writeln!(text, "table = {}", quoted(&form.table));
    let table = form.table.rsplit('.').next().unwrap_or(&form.table);
    if form.name != table {
        let _ = writeln!(text, "name = {}", quoted(&form.name));
        let _ = writeln!(text, "noun = {}", quoted(&form.noun));
    }
    if !form.entry_id.is_empty() {
        let _ = writeln!(text, "entry_id = {}", list(&form.entry_id));
    }
    if let Some(column) = &form.record_id {
        let _ = writeln!(text, "record_id = {}", quoted(column));
    }
    if let Some(number) = &form.number {
        line(text, "# Unique too, and perhaps what people call an entry by. It needs old values in the log.");
        let _ = writeln!(text, "#entry_id = [{}]", quoted(number));
    }
    if let Some(column) = &form.deleted {
        line(text, "# By its name: an entry is deleted where this is set.");
        let _ = writeln!(text, "deleted = {}", quoted(column));
    }
    if let Some(column) = &form.actor {
        line(text, "# By its name: who changed the row.");
        let _ = writeln!(text, "actor.column = {}", quoted(column));
    }
    if !form.ignore.is_empty() {
        line(text, "# By their names: an update of these alone is no news.");
        let _ = writeln!(text, "ignore = {}", list(&form.ignore));
    }
    if !form.hidden.is_empty() {
        line(text, "# By their names: nobody's business.");
        let _ = writeln!(text, "hidden = {}", list(&form.hidden));
    }
    if form.lacks_old_values && (!form.transitions.is_empty() || form.deleted.is_some()) {
        line(
            text,
            "# The log has no old values of this table; what changed, and the words below, need them:",
        );
        line(text, &format!("#   walhook setup --replica-identity-full {} --apply", shell(&form.name)));
    }
    write_fields(text, form);
    if !form.parts.is_empty() {
        text.push_str("[forms.parts]\n");
        for (part, column) in &form.parts {
            let _ = writeln!(text, "{} = {}", basic(part), quoted(column));
        }
    }
    for transition in &form.transitions {
        text.push_str("[[forms.transitions]]\n");
        let _ = writeln!(text, "verb = {}", quoted(&transition.verb));
        let _ = writeln!(text, "field = {}", quoted(&transition.field));
        if !transition.values.is_empty() {
            line(text, &format!("# Any change; or some, by from and to: {}.", list(&transition.values)));
        }
    }
    for child in &form.children {
        write_child(text, child);
    }
}

/// The fields, those with few labels a line each, the others behind them.
fn write_fields(text: &mut String, form: &FormProposal) {
    let (short, long): (Vec<_>, Vec<_>) =
        form.fields.iter().partition(|field| field.labels.len() <= LABELS_IN_LINE_MAX);
    let label = |(value, label): &(String, String)| format!("{} = {}", key(value), quoted(label));
    let explain = |text: &mut String, field: &FieldProposal| {
        if !field.labels.is_empty() {
            line(text, &format!("# Labels from {}; they stay as they are here.", printed(&field.labels_of)));
        }
    };
    let settings = |field: &FieldProposal| {
        let column = Some(format!("column = {}", quoted(&field.column)));
        let id = field.id.map(|id| format!("id = {id}"));
        let kind = field.kind.map(|kind| format!("kind = {}", quoted(kind)));
        column.into_iter().chain(id).chain(kind).collect::<Vec<_>>()
    };
    if !short.is_empty() {
        text.push_str("[forms.fields]\n");
    }
    for field in short {
        explain(text, field);
        let mut settings = settings(field);
        if !field.labels.is_empty() {
            let labels: Vec<String> = field.labels.iter().map(label).collect();
            settings.push(format!("labels = {{ {} }}", labels.join(", ")));
        }
        let _ = writeln!(text, "{} = {{ {} }}", key(&field.name), settings.join(", "));
    }
    for field in long {
        let name = key(&field.name);
        let _ = writeln!(text, "[forms.fields.{name}]\n{}", settings(field).join("\n"));
        explain(text, field);
        let labels: Vec<String> = field.labels.iter().map(label).collect();
        let _ = writeln!(text, "[forms.fields.{name}.labels]\n{}", labels.join("\n"));
    }
}

fn write_child(text: &mut String, child: &ChildProposal) {
    text.push_str("[[forms.children]]\n");
    let _ = writeln!(text, "verb = {}", quoted(&child.verb));
    let _ = writeln!(text, "table = {}", quoted(&child.table));
    match &child.kind {
        Some((column, _)) => line(text, &format!("# {column} says that it belongs to the form.")),
        None => line(text, "# By its foreign key and its name it belongs to the form."),
    }
    let _ = writeln!(text, "parent = {}", one_or_list(&child.parent));
    if !child.references.is_empty() {
        let _ = writeln!(text, "references = {}", one_or_list(&child.references));
    }
    write_kind(text, child.kind.as_ref());
    if let Some(column) = &child.actor {
        let _ = writeln!(text, "actor.column = {}", quoted(column));
    }
    if !child.hidden.is_empty() {
        let _ = writeln!(text, "hidden = {}", list(&child.hidden));
    }
    for hop in &child.through {
        text.push_str("[[forms.children.through]]\n");
        let _ = writeln!(text, "table = {}", quoted(&hop.table));
        if !hop.key.is_empty() {
            let _ = writeln!(text, "key = {}", one_or_list(&hop.key));
        }
        let _ = writeln!(text, "parent = {}", one_or_list(&hop.parent));
        write_kind(text, hop.kind.as_ref());
    }
}

fn write_kind(text: &mut String, kind: Option<&(String, String)>) {
    if let Some((column, value)) = kind {
        let _ = writeln!(text, "kind = {{ column = {}, value = {} }}", quoted(column), quoted(value));
    }
}

/// A line, whatever is in it.
fn line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}

/// A text from the catalogue within a comment: one line.
fn printed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|one| !one.is_control()).collect()
}

/// A text of TOML. `${` would be a variable.
fn quoted(text: &str) -> String {
    basic(&text.replace("${", "$${"))
}

/// A key of TOML.
fn key(name: &str) -> String {
    let is_bare =
        !name.is_empty() && name.chars().all(|one| one.is_ascii_alphanumeric() || matches!(one, '_' | '-'));
    if is_bare { name.to_owned() } else { basic(name) }
}

/// A text in double quotes: a key cannot have several lines.
fn basic(text: &str) -> String {
    let mut quoted = String::from("\"");
    for one in text.chars() {
        match one {
            '"' | '\\' => quoted.extend(['\\', one]),
            one if one.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(one));
            }
            one => quoted.push(one),
        }
    }
    quoted.push('"');
    quoted
}

fn list(texts: &[String]) -> String {
    format!("[{}]", texts.iter().map(|text| quoted(text)).collect::<Vec<_>>().join(", "))
}

fn one_or_list(texts: &[String]) -> String {
    match texts {
        [text] => quoted(text),
        texts => list(texts),
    }
}

/// A word for a shell.
fn shell(text: &str) -> String {
    let is_plain = text.chars().all(|one| one.is_ascii_alphanumeric() || matches!(one, '_' | '-' | '.'));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', "'\\''")) }
}
