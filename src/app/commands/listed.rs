//! Webhooks as commands show them: what is registered, and what became of it.

use super::times;
use crate::app::config::{Config, Registrations, write_size};
use crate::app::failure::Failure;
use crate::app::keys::{self, Absent};
use crate::app::output::{Output, printable};
use crate::observe::Observers;
use crate::queue::{WebhookStanding, WebhookState};
use crate::registration::{Registration, Registrations as Stored};
use crate::registry::{self, Interpreter as _, Row};
use crate::webhook::{Webhook, WebhookId};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A webhook.
pub(super) struct Listed {
    pub(super) id: WebhookId,
    name: String,
    /// `file` or `table`; none where neither has it any more.
    origin: Option<&'static str>,
    state: &'static str,
    /// Why it is refused.
    refused: Option<String>,
    /// What was registered, in the shape of the native model.
    registered: Map<String, Value>,
    /// What the queue keeps books of; none where it never could work.
    book: Option<WebhookStanding>,
}

/// All that the file, the queue and the registrations know, by number.
pub(super) fn all(config: &Config, standings: Vec<WebhookStanding>, stored: Stored) -> Vec<Listed> {
    let mut books: BTreeMap<WebhookId, WebhookStanding> =
        standings.into_iter().map(|book| (book.id, book)).collect();
    let mut all: Vec<Listed> =
        config.webhooks.iter().map(|own| of_file(own, books.remove(&own.id))).collect();
    let rows: Vec<&Registration> =
        stored.all.iter().filter(|one| config.webhooks.find(one.id).is_none()).collect();
    let judge = Judge::new(config);
    all.extend(rows.into_iter().map(|one| of_table(one, &judge, books.remove(&one.id))));
    all.extend(books.into_values().map(|book| Listed {
        id: book.id,
        name: book.name.clone(),
        origin: None,
        state: word(&book),
        refused: None,
        registered: Map::new(),
        book: Some(book),
    }));
    all.sort_by_key(|one| one.id);
    all
}

fn of_file(own: &Webhook, book: Option<WebhookStanding>) -> Listed {
    Listed {
        id: own.id,
        name: own.name.clone(),
        origin: Some("file"),
        state: book.as_ref().map_or("new", word),
        refused: None,
        registered: registry::described(own),
        book,
    }
}

fn of_table(registration: &Registration, judge: &Judge, book: Option<WebhookStanding>) -> Listed {
    let row = Row::read(&registration.row).ok();
    // what is served as it stands was judged by those who serve it
    let is_served = book.as_ref().is_some_and(|book| book.state != WebhookState::Disabled);
    let is_doubtful = registration.in_force.is_some() || !is_served;
    let refused = row.as_ref().filter(|_| is_doubtful).and_then(|row| judge.fault(registration.id, row));
    let state = match &book {
        _ if refused.is_some() => "refused",
        Some(book) => word(book),
        None => "new",
    };
    let name = row.as_ref().map_or_else(|| format!("webhook {}", registration.id), Row::name);
    let mut registered = row.as_ref().map(registry::shown).unwrap_or_default();
    registered.retain(|key, _| key != "id" && key != "name");
    Listed { id: registration.id, name, origin: Some("table"), state, refused, registered, book }
}

/// Judges registrations by the configuration, where there is a key for their secrets.
struct Judge(Option<Registrations>);

impl Judge {
    fn new(config: &Config) -> Self {
        let keys = keys::load(&config.secrets, Absent::Refuse, &Observers::default()).ok();
        Self(keys.map(|keys| Registrations::by(config, &keys)))
    }

    fn fault(&self, id: WebhookId, row: &Row) -> Option<String> {
        let faults = self.0.as_ref()?.interpret(id, &row.native()).err()?;
        Some(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
    }
}

impl Listed {
    fn text(&self, field: &str) -> String {
        told(self.registered.get(field).unwrap_or(&Value::Null))
    }

    /// The forms and events in one word: `incident: create update`, `incident.create ci.update`.
    fn listens(&self) -> String {
        let forms = [self.text("form"), self.text("forms")].concat();
        let events = self.text("events").replace(", ", " ");
        if forms.is_empty() { events } else { format!("{forms}: {events}") }
    }

    fn url(&self) -> String {
        self.registered.get("callback").and_then(|callback| callback.get("url")).map(told).unwrap_or_default()
    }

    /// What is wrong with it, the worst first: it is refused, it is broken, its condition failed, its endpoint did.
    fn trouble(&self) -> String {
        let book = self.book.as_ref();
        let held = book.filter(|book| book.held > 0).and_then(|book| book.last_condition_failure.as_ref());
        let broken = book.and_then(|book| book.broken.as_ref());
        let last = book.and_then(|book| book.last_error.as_ref());
        self.refused.as_ref().or(broken).or(held).or(last).cloned().unwrap_or_default()
    }

    fn json(&self) -> Value {
        let mut json = self.registered.clone();
        json.insert("id".into(), self.id.0.into());
        json.insert("name".into(), self.name.clone().into());
        json.insert("origin".into(), self.origin.into());
        json.insert("state".into(), self.state.into());
        json.insert("refused".into(), self.refused.clone().into());
        if let (Some(book), json) = (&self.book, &mut json)
            && let Value::Object(book) = json_of(book)
        {
            json.extend(book);
        }
        Value::Object(json)
    }
}

/// A value for people: texts as they are, lists with commas.
fn told(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(list) => list.iter().map(told).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name}: {}", told(value)))
            .collect::<Vec<_>>()
            .join(", "),
        value => value.to_string(),
    }
}

/// Prints them as a table.
pub(super) fn list(output: Output, all: &[Listed]) -> Result<(), Failure> {
    let now = Timestamp::now();
    let count = |one: &Listed, of: fn(&WebhookStanding) -> u64| one.book.as_ref().map_or(0, of).to_string();
    let row = |one: &Listed| {
        let oldest = one.book.as_ref().and_then(|book| book.oldest_committed_at_us);
        vec![
            one.id.to_string(),
            one.name.clone(),
            one.state.to_owned(),
            one.listens(),
            one.url(),
            count(one, |book| book.pending),
            oldest.map_or_else(String::new, |us| times::age(us, now)),
            count(one, |book| book.dead),
            count(one, |book| book.held),
            count(one, |book| book.delivered),
            one.trouble(),
        ]
    };
    let header = [
        "number",
        "name",
        "state",
        "listens to",
        "url",
        "pending",
        "oldest",
        "dead",
        "held",
        "delivered",
        "last trouble",
    ];
    let json = || all.iter().map(Listed::json).collect();
    output.list(json, &header, all.iter().map(row).collect(), "no webhook is known")
}

/// Prints one with all that is known of it.
pub(super) fn show(output: Output, one: &Listed) -> Result<(), Failure> {
    if output.json {
        return output.json(&one.json());
    }
    let mut lines = vec![
        ("number".to_owned(), one.id.to_string()),
        ("name".to_owned(), one.name.clone()),
        ("origin".to_owned(), one.origin.unwrap_or("registered no more").to_owned()),
        ("state".to_owned(), one.state.to_owned()),
        ("refused".to_owned(), one.refused.clone().unwrap_or_default()),
    ];
    for (field, value) in &one.registered {
        match (field.as_str(), value) {
            ("callback", Value::Object(callback)) => {
                lines.extend(callback.iter().map(|(name, value)| (name.clone(), told(value))));
            }
            _ => lines.push((field.replace('_', " "), told(value))),
        }
    }
    lines.extend(one.book.iter().flat_map(lines_of));
    let mut text = String::new();
    for (word, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "{word:<22} {}", printable(value));
    }
    output.text(&text)
}

fn lines_of(book: &WebhookStanding) -> Vec<(String, String)> {
    let held = match book.held_beyond_limit {
        0 => format!("{} ({})", book.held, write_size(book.held_bytes)),
        beyond => {
            format!("{} ({}; {beyond} beyond the backlog limit)", book.held, write_size(book.held_bytes))
        }
    };
    let lines = [
        ("broken", book.broken.clone().unwrap_or_default()),
        ("next sequence", book.next_sequence.to_string()),
        ("pending", format!("{} ({})", book.pending, write_size(book.pending_bytes))),
        ("oldest", book.oldest_committed_at_us.map_or_else(String::new, times::write)),
        ("dead", book.dead.to_string()),
        ("delivered", book.delivered.to_string()),
        ("dropped", book.dropped.to_string()),
        ("failures", book.failures.to_string()),
        ("failing since", book.failing_since_us.map_or_else(String::new, times::write)),
        ("last error", book.last_error.clone().unwrap_or_default()),
        ("held", held),
        ("held dropped", book.held_dropped.to_string()),
        ("condition failures", book.condition_failures.to_string()),
        ("last condition failure", book.last_condition_failure.clone().unwrap_or_default()),
    ];
    lines.map(|(word, value)| (word.to_owned(), value)).into()
}

fn json_of(book: &WebhookStanding) -> Value {
    json!({
        "next_sequence": book.next_sequence,
        "pending": book.pending,
        "pending_bytes": book.pending_bytes,
        "dead": book.dead,
        "delivered": book.delivered,
        "dropped": book.dropped,
        "failures": book.failures,
        "failing_since": book.failing_since_us.map(times::write),
        "last_error": book.last_error,
        "oldest_committed_at": book.oldest_committed_at_us.map(times::write),
        "broken": book.broken,
        "held": book.held,
        "held_bytes": book.held_bytes,
        "held_beyond_limit": book.held_beyond_limit,
        "held_dropped": book.held_dropped,
        "condition_failures": book.condition_failures,
        "last_condition_failure": book.last_condition_failure,
    })
}

/// How it is served; where it is, but its condition does not fit, that.
fn word(book: &WebhookStanding) -> &'static str {
    match book.state {
        WebhookState::Enabled if book.broken.is_some() => "broken",
        WebhookState::Enabled => "enabled",
        WebhookState::Disabled => "disabled",
        WebhookState::Suspended => "suspended",
        WebhookState::Orphaned => "orphaned",
    }
}
