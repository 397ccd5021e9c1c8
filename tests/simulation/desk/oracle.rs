//! What must be told of the desk, from the page of events (`docs/events.md`) alone.

use super::{Change, Desk, HOOKS, MERGED, NOTE, REMOVED, Row, STATUS, State, TABLES, TICKET};
use crate::proof::history::{Committed, Key};
use crate::proof::oracle::{Event, Expected};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// What a session has said so far.
#[derive(Clone, Default)]
struct Said {
    merges: bool,
    actor: Option<String>,
    marks: Vec<String>,
}

impl Said {
    fn take(&mut self, prefix: &str, content: &str) {
        match prefix {
            "walhook.merge" => self.merges = content != "off",
            "walhook.actor" => self.actor = Some(content.to_owned()),
            _ => self.add(content),
        }
    }

    fn add(&mut self, mark: &str) {
        if !self.marks.iter().any(|known| known == mark) {
            self.marks.push(mark.to_owned());
        }
    }

    /// What was said of several changes, holds for what they amount to.
    fn and(&mut self, other: &Self) {
        self.merges |= other.merges;
        if other.actor.is_some() {
            self.actor.clone_from(&other.actor);
        }
        other.marks.iter().for_each(|mark| self.add(mark));
    }

    fn is_excluded(&self) -> bool {
        self.actor.as_deref() == Some("bot") || self.marks.iter().any(|mark| mark == "echo")
    }
}

/// What a ticket goes through in a transaction.
struct Block {
    id: i64,
    before: Option<Row>,
    after: Option<Row>,
    is_touched: bool,
    was_deleted: bool,
    said: Said,
    told: Vec<(&'static str, &'static str, Value, Said)>,
}

/// One thing that is told: verb, body, and what was said of it.
struct Told {
    verb: &'static str,
    body: Map<String, Value>,
    said: Said,
}

/// What both webhooks must get.
pub fn expect(desk: &Desk, history: &[Committed]) -> Vec<Expected> {
    let mut wanted = [Vec::new(), Vec::new()];
    let mut state = State::default();
    for (number, committed) in history.iter().enumerate().skip(desk.first) {
        for block in blocks(desk.changes(number), &mut state) {
            let id = block.id;
            for told in tell(block) {
                let excluded = told.said.is_excluded();
                let event = Arc::new(event(id, told, committed));
                wanted[0].push((Arc::clone(&event), &HOOKS[0], false));
                if !excluded {
                    wanted[1].push((event, &HOOKS[1], false));
                }
            }
        }
    }
    HOOKS.iter().zip(wanted).map(|(hook, wanted)| Expected::new(hook.id, wanted)).collect()
}

/// What happens to each ticket, in the order in which they are met.
fn blocks(changes: &[Change], state: &mut State) -> Vec<Block> {
    let (mut blocks, mut said): (Vec<Block>, _) = (Vec::new(), Said::default());
    fn block<'a>(blocks: &'a mut Vec<Block>, id: i64, now: Option<&Row>) -> &'a mut Block {
        let known = blocks.iter().position(|block| block.id == id);
        let number = known.unwrap_or_else(|| {
            let (before, after) = (now.cloned(), now.cloned());
            let said = Said::default();
            blocks.push(Block {
                id,
                before,
                after,
                is_touched: false,
                was_deleted: false,
                said,
                told: vec![],
            });
            blocks.len() - 1
        });
        &mut blocks[number]
    }
    for change in changes {
        match change {
            Change::Says { prefix: "walhook.emit", content } => {
                let emitted: Value = serde_json::from_str(content).unwrap();
                let id = emitted["entry_id"].as_str().unwrap().parse().unwrap();
                let block = block(&mut blocks, id, state.rows[TICKET].get(&id));
                block.told.push(("escalated", "payload", emitted["payload"].clone(), said.clone()));
            }
            Change::Says { prefix, content } => said.take(prefix, content),
            Change::Row { table, before, after } => {
                let row = after.as_ref().or(before.as_ref()).unwrap();
                let id: i64 = row[0].as_ref().unwrap().parse().unwrap();
                if *table == TICKET {
                    let block = block(&mut blocks, id, before.as_ref());
                    block.is_touched = true;
                    block.was_deleted |= after.is_none();
                    block.after.clone_from(after);
                    block.said.and(&said);
                }
                if *table == NOTE && before.is_none() {
                    let article: i64 = row[1].as_ref().unwrap().parse().unwrap();
                    let ticket = state.ticket_of(article).expect("notes lead to tickets").clone();
                    let ticket_id = ticket[0].as_ref().unwrap().parse().unwrap();
                    let block = block(&mut blocks, ticket_id, Some(&ticket));
                    let child = json!({ "id": id.to_string(), "fields": { "id": id, "article": article } });
                    block.told.push(("note-added", "child", child, said.clone()));
                }
                match after {
                    Some(row) => state.rows[*table].insert(id, row.clone()),
                    None => state.rows[*table].remove(&id),
                };
            }
        }
    }
    blocks
}

fn tell(block: Block) -> Vec<Told> {
    let is_entry = |row: &Option<Row>| row.clone().filter(|row| row[REMOVED].as_deref() != Some("t"));
    let (was, is) = (is_entry(&block.before), is_entry(&block.after));
    let mut told = Vec::new();
    let mut base = Map::new();
    if !block.is_touched {
        // the rest of it is what the database has by now
        let any = json!({ "$any": true });
        base.insert("entry".into(), any.clone());
        base.insert("unavailable_fields".into(), any);
        base.insert("changed".into(), json!({}));
    } else if let Some(row) = is.as_ref().or(was.as_ref()) {
        base.insert("entry".into(), entry(row));
    }
    if let (true, Some(row)) = (block.is_touched, &is) {
        let changed = was.as_ref().map(|was| changed(was, row));
        // a ticket that comes back may have been merged for long
        let marked =
            row[MERGED].is_some() && block.before.as_ref().is_none_or(|before| before[MERGED] != row[MERGED]);
        let merges = block.said.merges || marked || was.is_some() && block.was_deleted;
        let is_news = changed.as_ref().is_none_or(|changed| !changed.is_empty());
        if let Some(changed) = &changed {
            base.insert("changed".into(), changed.clone().into());
        }
        if is_news {
            let verb = if merges {
                "merge"
            } else if was.is_some() {
                "update"
            } else {
                "create"
            };
            let mut body = base.clone();
            let target = row[MERGED].as_ref().filter(|_| merges);
            if let Some(target) = target {
                body.insert("merged_into".into(), json!(target));
            }
            told.push(Told { verb, body: body.clone(), said: block.said.clone() });
            for verb in was.as_ref().map(|was| transitions(was, row)).unwrap_or_default() {
                let (from, to) = (&was.as_ref().unwrap()[STATUS], &row[STATUS]);
                let mut body = body.clone();
                body.insert("transition".into(), json!({ "field": "status", "from": from, "to": to }));
                told.push(Told { verb, body, said: block.said.clone() });
            }
        }
    }
    let is_of_none = was.is_none() && is.is_none();
    if let (true, true, Some(row)) =
        (is_of_none, block.is_touched, block.after.as_ref().or(block.before.as_ref()))
    {
        base.insert("entry".into(), entry(row));
        base.insert("changed".into(), json!({}));
    }
    if block.before.is_some() || block.after.is_some() {
        // what belongs to no entry is nobody's; what the application says itself is told
        let is_told = |verb: &str| !is_of_none || verb == "escalated";
        for (verb, key, value, said) in block.told.into_iter().filter(|(verb, ..)| is_told(verb)) {
            let mut body = base.clone();
            body.insert(key.into(), value);
            told.push(Told { verb, body, said });
        }
    }
    if let (true, Some(_), None) = (block.is_touched, &was, &is) {
        told.push(Told { verb: "delete", body: base, said: block.said });
    }
    told
}

/// Which words there are for a change of the status.
fn transitions(was: &Row, is: &Row) -> Vec<&'static str> {
    match (was[STATUS].as_deref(), is[STATUS].as_deref()) {
        (was, is) if was == is => vec![],
        (Some("Closed"), Some(_)) => vec!["reopened"],
        (_, Some("Closed")) => vec!["closed"],
        _ => vec![],
    }
}

fn json_of(column: usize, value: Option<&String>) -> Value {
    match (TABLES[TICKET].1[column].1, value) {
        (_, None) => Value::Null,
        (23, Some(text)) => json!(text.parse::<i64>().unwrap()),
        (16, Some(text)) => json!(text == "t"),
        (_, Some(text)) => json!(text),
    }
}

fn entry(row: &Row) -> Value {
    let fields = row
        .iter()
        .enumerate()
        .map(|(column, value)| (TABLES[TICKET].1[column].0.to_owned(), json_of(column, value.as_ref())));
    fields.collect::<Map<_, _>>().into()
}

fn changed(was: &Row, is: &Row) -> Map<String, Value> {
    let differing = (0..was.len()).filter(|&column| was[column] != is[column]);
    let told = differing.map(|column| {
        let of = |row: &Row| json_of(column, row[column].as_ref());
        (TABLES[TICKET].1[column].0.to_owned(), json!({ "old": of(was), "new": of(is) }))
    });
    told.collect()
}

fn event(id: i64, told: Told, committed: &Committed) -> Event {
    let mut body = told.body;
    let committed_at = jiff::Timestamp::from_microsecond(committed.committed_at_us).unwrap();
    let lsn = committed.commit_lsn;
    let facts = [
        ("form", json!("Ticket")),
        ("noun", json!("ticket")),
        ("event", json!(told.verb)),
        ("entry_id", json!(id.to_string())),
        ("lsn", json!(format!("{:X}/{:X}", lsn >> 32, lsn as u32))),
        ("xid", json!(committed.xid)),
        ("committed_at", json!(committed_at.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string())),
        ("actor", json!(told.said.actor)),
        ("marks", json!(told.said.marks)),
    ];
    body.extend(
        facts
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .filter(|(_, value)| *value != json!([])),
    );
    Event {
        key: Key { table: super::PLACE, entry_id: id.to_string().into() },
        verb: told.verb,
        xid: committed.xid,
        commit_lsn: lsn,
        committed_at_us: committed.committed_at_us,
        old: None,
        entry: vec![],
        changed: None,
        renamed_to: None,
        renamed_from: None,
        body: Some(body),
    }
}
