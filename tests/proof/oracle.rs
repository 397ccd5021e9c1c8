//! The oracle: from the SQL history alone, the events that must come of it and the bodies that tell of them.
//!
//! It knows walhook's documented rules (fold, ignored and hidden columns, what the log cannot know) and none of
//! its code.

use super::history::{Committed, Key, Op, Row, State};
use super::world::{HOOKS, Hook, TABLES, Val, is_refused};
use serde_json::{Map, Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// A row as far as the log tells it: none means not known.
pub type Known = Vec<Option<Val>>;

/// What must be told of one entry in one transaction.
#[derive(Clone, Debug)]
pub struct Event {
    pub key: Key,
    pub verb: &'static str,
    pub xid: u32,
    pub commit_lsn: u64,
    pub committed_at_us: i64,
    /// The whole row before, where the log has it.
    pub old: Option<Arc<Row>>,
    /// The row after; on delete the one before.
    pub entry: Known,
    /// The columns that differ, where that is known.
    pub changed: Option<Vec<usize>>,
    pub renamed_to: Option<Arc<str>>,
    pub renamed_from: Option<Key>,
    /// The body, where another oracle has made it, but for the webhook's name.
    pub body: Option<Map<String, Value>>,
}

/// The expected deliveries of one webhook: number n has the sequence n + 1.
pub struct Expected {
    pub id: u64,
    pub events: Vec<Arc<Event>>,
    /// For each, the webhook as it was then.
    pub by: Vec<&'static Hook>,
    /// For each, whether it need not arrive: its webhook was deleted behind it, or stands still.
    pub spared: Vec<bool>,
    /// For each, the numbers of those that must be finished before it is first attempted.
    pub behind: Vec<Vec<usize>>,
}

/// What one entry goes through in one transaction.
#[derive(Clone)]
struct Folding {
    key: Key,
    existed: bool,
    old: Option<Arc<Row>>,
    current: Option<Known>,
    deleted: bool,
    renamed_to: Option<Arc<str>>,
    renamed_from: Option<Key>,
}

/// The events of a history, and the tables as it leaves them.
pub fn foretell(history: &[Committed]) -> (Vec<Arc<Event>>, State) {
    let mut state = State::default();
    let mut events = Vec::new();
    for transaction in history {
        // few transactions are large: a linear search would do for the others, a map does for all
        let mut number_of: HashMap<Key, usize> = HashMap::new();
        let mut foldings: Vec<Folding> = Vec::new();
        for op in &transaction.ops {
            fold(op, &mut state, &mut number_of, &mut foldings);
        }
        events.extend(foldings.into_iter().filter_map(|folding| tell(folding, transaction)).map(Arc::new));
    }
    (events, state)
}

fn fold(op: &Op, state: &mut State, number_of: &mut HashMap<Key, usize>, foldings: &mut Vec<Folding>) {
    let (before, after) = state.apply(op);
    let mut open = |key: &Key, before: Option<&Arc<Row>>, foldings: &mut Vec<Folding>| {
        *number_of.entry(key.clone()).or_insert_with(|| {
            foldings.push(Folding {
                key: key.clone(),
                existed: before.is_some(),
                old: before.filter(|_| TABLES[key.table].full).cloned(),
                current: None,
                deleted: false,
                renamed_to: None,
                renamed_from: None,
            });
            foldings.len() - 1
        })
    };
    match op {
        Op::Insert { table, row } => {
            let number = open(&Key::of(*table, row), None, foldings);
            foldings[number].current = Some(row.iter().cloned().map(Some).collect());
        }
        Op::Delete { key } => {
            let number = open(key, before.as_ref(), foldings);
            foldings[number].current = None;
            foldings[number].deleted = true;
        }
        Op::Update { key, set } => {
            let number = open(key, before.as_ref(), foldings);
            let known = known_after(&foldings[number], before.as_ref(), set);
            foldings[number].current = Some(known);
        }
        Op::Rename { key, set } => {
            let number = open(key, before.as_ref(), foldings);
            // what the transaction has shown of the row it has shown under another key
            let folding = Folding { current: None, ..foldings[number].clone() };
            let known = known_after(&folding, before.as_ref(), set);
            let new_key = Key::of(key.table, after.as_deref().unwrap());
            foldings[number].current = None;
            foldings[number].deleted = true;
            foldings[number].renamed_to = Some(Arc::clone(&new_key.entry_id));
            let number = open(&new_key, None, foldings);
            foldings[number].current = Some(known);
            foldings[number].renamed_from = Some(key.clone());
        }
    }
}

/// The row after an update as far as the log tells it: a large value that was not written is not sent, so it is
/// taken from what the transaction has shown of it, else from the whole old row, else it is not known.
fn known_after(folding: &Folding, before: Option<&Arc<Row>>, set: &[(usize, Val)]) -> Known {
    let before = before.expect("an update has a row before");
    let mut known: Known = Vec::with_capacity(before.len());
    for (column, val) in before.iter().enumerate() {
        let shown = || folding.current.as_ref().and_then(|current| current[column].clone());
        let is_told = !val.is_toasted() || TABLES[folding.key.table].full;
        known.push(if is_told { Some(val.clone()) } else { shown() });
    }
    for (column, val) in set {
        known[*column] = Some(val.clone());
    }
    known
}

fn tell(folding: Folding, transaction: &Committed) -> Option<Event> {
    let table = &TABLES[folding.key.table];
    let mut changed = None;
    let verb = match (folding.existed, &folding.current) {
        (false, None) => return None,
        (false, Some(_)) => "create",
        (true, None) => "delete",
        (true, Some(current)) => {
            if let Some(old) = &folding.old {
                let differs = |&column: &usize| current[column].as_ref() != Some(&old[column]);
                let all: Vec<usize> = (0..old.len()).filter(differs).collect();
                let matters =
                    |column: &usize| !table.ignored.contains(column) && !table.hidden.contains(column);
                if !all.iter().any(matters) {
                    return None;
                }
                changed = Some(all.into_iter().filter(|column| !table.hidden.contains(column)).collect());
            }
            if folding.deleted { "merge" } else { "update" }
        }
    };
    let entry = folding.current.clone().unwrap_or_else(|| match &folding.old {
        Some(old) => old.iter().cloned().map(Some).collect(),
        None => key_only(&folding.key, transaction),
    });
    Some(Event {
        verb,
        xid: transaction.xid,
        commit_lsn: transaction.commit_lsn,
        committed_at_us: transaction.committed_at_us,
        old: folding.old,
        entry,
        changed,
        renamed_to: folding.renamed_to.filter(|_| verb == "delete"),
        renamed_from: folding.renamed_from.filter(|_| verb != "delete"),
        key: folding.key,
        body: None,
    })
}

/// A deleted row whose table logs its key only. The values are parsed back from a change of that key.
fn key_only(key: &Key, transaction: &Committed) -> Known {
    let table = &TABLES[key.table];
    let mut known = vec![None; table.columns.len()];
    assert!(!transaction.ops.is_empty());
    let mut part = String::new();
    let mut parts = Vec::new();
    let mut characters = key.entry_id.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' if table.key.len() > 1 => part.extend(characters.next()),
            '|' if table.key.len() > 1 => parts.push(std::mem::take(&mut part)),
            other => part.push(other),
        }
    }
    parts.push(part);
    for (&column, part) in table.key.iter().zip(parts) {
        let is_number = matches!(table.columns[column].0, "tag" | "id");
        known[column] = Some(if is_number { Val::Int(part.parse().unwrap()) } else { Val::text(part) });
    }
    known
}

/// What each webhook must get, in order.
pub fn expect(events: &[Arc<Event>], hooks: &'static [Hook]) -> Vec<Expected> {
    hooks
        .iter()
        .map(|hook| {
            let wanted = events.iter().filter(|event| wants(hook, event));
            Expected::new(hook.id, wanted.map(|event| (Arc::clone(event), hook, false)).collect())
        })
        .collect()
}

/// Whether a webhook wants an event.
pub fn wants(hook: &Hook, event: &Event) -> bool {
    hook.tables.contains(&event.key.table)
        && hook.verbs.contains(&event.verb)
        && hook.condition.as_ref().is_none_or(|condition| (condition.holds)(event))
}

impl Expected {
    /// Of the events in their order, each with the webhook as it was then, and whether it need not arrive.
    pub fn new(id: u64, wanted: Vec<(Arc<Event>, &'static Hook, bool)>) -> Self {
        let mut last: HashMap<&Key, usize> = HashMap::new();
        let mut behind = Vec::with_capacity(wanted.len());
        for (number, (event, ..)) in wanted.iter().enumerate() {
            let old_name = event.renamed_from.as_ref().and_then(|old| last.get(old));
            behind.push(last.get(&event.key).into_iter().chain(old_name).copied().collect());
            last.insert(&event.key, number);
        }
        Self {
            id,
            by: wanted.iter().map(|(_, hook, _)| *hook).collect(),
            spared: wanted.iter().map(|(.., spared)| *spared).collect(),
            events: wanted.into_iter().map(|(event, ..)| event).collect(),
            behind,
        }
    }

    /// Whether the endpoint refuses this one for good, so that it must be a dead letter.
    pub fn is_dead(&self, number: usize) -> bool {
        self.id == HOOKS[2].id && is_refused(&self.events[number].key.entry_id)
    }

    /// The body, without what no oracle can know (`id` is checked against the header).
    pub fn body(&self, number: usize) -> Value {
        let (event, hook) = (&self.events[number], self.by[number]);
        if let Some(mut body) = event.body.clone() {
            body.insert("webhook".into(), json!(hook.name));
            return body.into();
        }
        match hook.format {
            "native" => native(event, hook),
            _ => arsys(event, hook, self.id),
        }
    }
}

fn native(event: &Event, hook: &Hook) -> Value {
    let table = &TABLES[event.key.table];
    let mut entry = Map::new();
    let mut unavailable = Vec::new();
    for (column, field) in visible(event.key.table) {
        match &event.entry[column] {
            Some(val) => drop(entry.insert(field.to_owned(), val.json())),
            None => unavailable.push(json!(field)),
        }
    }
    let mut body = Map::new();
    body.insert("webhook".into(), json!(hook.name));
    body.insert("form".into(), json!(table.form));
    body.insert("noun".into(), json!(table.noun));
    body.insert("event".into(), json!(event.verb));
    body.insert("entry_id".into(), json!(*event.key.entry_id));
    body.insert("entry".into(), entry.into());
    body.insert("lsn".into(), json!(format!("{:X}/{:X}", event.commit_lsn >> 32, event.commit_lsn as u32)));
    body.insert("xid".into(), json!(event.xid));
    let committed_at = jiff::Timestamp::from_microsecond(event.committed_at_us).unwrap();
    body.insert("committed_at".into(), json!(committed_at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()));
    if let Some(Some(guid)) = table.record_id.map(|column| &event.entry[column]) {
        body.insert("record_id".into(), guid.json());
    }
    if let (Some(changed), Some(old)) = (&event.changed, &event.old) {
        let fields = changed.iter().map(|&column| {
            let new = event.entry[column].as_ref().map(Val::json);
            (table.columns[column].1.to_owned(), json!({"old": old[column].json(), "new": new}))
        });
        body.insert("changed".into(), fields.collect::<Map<_, _>>().into());
    }
    if !unavailable.is_empty() {
        body.insert("unavailable_fields".into(), unavailable.into());
    }
    if let Some(to) = &event.renamed_to {
        body.insert("renamed_to".into(), json!(**to));
    }
    if let Some(from) = &event.renamed_from {
        body.insert("renamed_from".into(), json!(*from.entry_id));
    }
    body.into()
}

/// The fields of a form: column numbers and names.
fn visible(table: usize) -> impl Iterator<Item = (usize, &'static str)> {
    let table = &TABLES[table];
    let columns = table.columns.iter().enumerate();
    columns.filter(|(column, _)| !table.hidden.contains(column)).map(|(column, (_, field))| (column, *field))
}

fn arsys(event: &Event, hook: &Hook, id: u64) -> Value {
    let table = &TABLES[event.key.table];
    let mut body = Map::new();
    body.insert("webhook_id".into(), json!(format!("WBH{id:012}")));
    body.insert("form_name".into(), json!(table.form));
    body.insert("entry_event".into(), json!(event.verb));
    body.insert("entry_id".into(), json!(*event.key.entry_id));
    if let Some(custom) = hook.custom_json {
        body.insert("custom_json".into(), serde_json::from_str(custom).unwrap());
    }
    if event.verb == "delete" {
        return body.into();
    }
    if let (true, Some(column)) = (event.verb == "create", table.record_id) {
        body.insert("record_id".into(), event.entry[column].as_ref().map(Val::json).into());
    }
    let wanted = |column: usize, field: &str| {
        let listed = hook.payload.is_empty() || hook.payload.contains(&field);
        let differs =
            event.verb != "update" || event.changed.as_ref().is_none_or(|changed| changed.contains(&column));
        listed && differs
    };
    let details = visible(event.key.table)
        .filter(|&(column, field)| wanted(column, field))
        .filter_map(|(column, field)| Some((field.to_owned(), event.entry[column].as_ref()?.json())));
    body.insert("entry_details".into(), details.collect::<Map<_, _>>().into());
    body.into()
}

#[cfg(test)]
mod tests {
    use super::super::world::{ASSET, INCIDENT, LARGE_BYTES, PERSON, column};
    use super::*;

    fn incident(number: &str) -> Op {
        let text = |text: &str| Val::text(text);
        let row = vec![
            text(number),
            text("guid"),
            text("Printer"),
            Val::Int(0),
            Val::Null,
            text(&"x".repeat(LARGE_BYTES)),
            Val::Int(0),
            text("token"),
            Val::Time(0),
        ];
        Op::Insert { table: INCIDENT, row: Arc::new(row) }
    }

    fn asset(tag: i64) -> Op {
        let row = vec![
            Val::text("a|b"),
            Val::Int(tag),
            Val::text("disk"),
            Val::Cents(1250),
            Val::text("n".repeat(LARGE_BYTES)),
        ];
        Op::Insert { table: ASSET, row: Arc::new(row) }
    }

    fn key(table: usize, id: &str) -> Key {
        Key { table, entry_id: id.into() }
    }

    fn update(table: usize, id: &str, set: Vec<(usize, Val)>) -> Op {
        Op::Update { key: key(table, id), set }
    }

    /// Each transaction's events in words: `create INC1`, and for updates the changed columns.
    fn check(transactions: Vec<Vec<Op>>, expected: &[&str]) {
        let history: Vec<Committed> =
            transactions.into_iter().map(|ops| Committed { ops, ..Committed::default() }).collect();
        let (events, _) = foretell(&history);
        let told: Vec<String> = events
            .iter()
            .map(|event| {
                let changed = event.changed.as_ref().map(|changed| format!(" {changed:?}"));
                format!("{} {}{}", event.verb, event.key.entry_id, changed.unwrap_or_default())
            })
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn the_changes_of_an_entry_fold_by_what_was_there_before_and_after() {
        let status = |status: i64| vec![(column::INCIDENT_STATUS, Val::Int(status))];
        let delete = |id: &str| Op::Delete { key: key(INCIDENT, id) };
        check(
            vec![vec![
                incident("1"),
                update(INCIDENT, "1", status(1)),
                incident("2"),
                update(INCIDENT, "1", status(2)),
            ]],
            &["create 1", "create 2"],
        );
        check(vec![vec![incident("1"), delete("1")]], &[]);
        check(
            vec![
                vec![incident("1")],
                vec![update(INCIDENT, "1", status(1)), update(INCIDENT, "1", status(0))],
                vec![update(INCIDENT, "1", status(5)), delete("1")],
            ],
            &["create 1", "delete 1"],
        );
        check(
            vec![
                vec![incident("1")],
                vec![delete("1"), incident("1"), update(INCIDENT, "1", status(3))],
                vec![update(INCIDENT, "1", vec![(column::INCIDENT_SEEN, Val::Int(9))])],
                vec![update(INCIDENT, "1", vec![(column::INCIDENT_TOKEN, Val::text("new"))])],
            ],
            &["create 1", "merge 1 [3]"],
        );
    }

    #[test]
    fn a_renamed_entry_is_a_delete_and_a_create_that_name_each_other() {
        let rename = Op::Rename { key: key(INCIDENT, "1"), set: vec![(0, Val::text("2"))] };
        let history: Vec<Committed> = vec![vec![incident("1")], vec![rename]]
            .into_iter()
            .map(|ops| Committed { ops, ..Committed::default() })
            .collect();
        let (events, _) = foretell(&history);
        assert_eq!(events[1].renamed_to.as_deref(), Some("2"));
        assert_eq!(events[2].renamed_from, Some(key(INCIDENT, "1")));
        assert_eq!(expect(&events, &HOOKS)[0].behind, [vec![], vec![0], vec![1]]);
    }

    #[test]
    fn without_old_values_only_what_the_log_tells_is_known() {
        let id = "a\\|b|1";
        let cost = vec![(column::ASSET_COST, Val::Cents(1))];
        let history: Vec<Committed> = vec![
            vec![asset(1), update(ASSET, id, cost.clone())],
            vec![update(ASSET, id, cost)],
            vec![Op::Delete { key: key(ASSET, id) }],
        ]
        .into_iter()
        .map(|ops| Committed { ops, ..Committed::default() })
        .collect();
        let (events, _) = foretell(&history);
        let notes: Vec<bool> = events.iter().map(|event| event.entry[column::ASSET_NOTE].is_some()).collect();
        assert_eq!(notes, [true, false, false]);
        let body = expect(&events, &HOOKS)[0].body(2);
        assert_eq!(body["entry"], json!({"site": "a|b", "tag": 1}));
        assert_eq!(body["unavailable_fields"], json!(["name", "cost", "note"]));
        assert_eq!(body.get("changed"), None);
    }

    #[test]
    fn the_classic_format_has_the_registered_fields_that_changed() {
        let seen_and_status =
            vec![(column::INCIDENT_SEEN, Val::Int(1)), (column::INCIDENT_STATUS, Val::Int(4))];
        let assigned = vec![(column::INCIDENT_ASSIGNED, Val::text("ada"))];
        let history: Vec<Committed> = vec![
            vec![incident("1")],
            vec![update(INCIDENT, "1", seen_and_status)],
            vec![update(INCIDENT, "1", assigned)],
        ]
        .into_iter()
        .map(|ops| Committed { ops, ..Committed::default() })
        .collect();
        let (events, _) = foretell(&history);
        let classic = &expect(&events, &HOOKS)[1];
        assert_eq!(classic.body(1)["entry_details"], json!({"Status": 4}));
        assert_eq!(classic.body(2)["entry_details"], json!({}));
        assert_eq!(classic.body(0)["record_id"], json!("guid"));
        assert_eq!(classic.body(0)["webhook_id"], json!("WBH000000000002"));
        assert!(expect(&events, &HOOKS)[2].events.is_empty());
        let _ = PERSON;
    }
}
