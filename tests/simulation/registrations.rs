//! The registration table of a play: what people write into it, and how the log tells of it.

use crate::forms::{Sent, row};
use crate::proof::random::Random;
use crate::proof::registered::{Fault, Registration, Said, WISHES};
use crate::proof::world::{HOOKS, LARGE_BYTES, TABLES, Val};
use std::collections::BTreeMap;
use std::sync::Arc;
use walhook::change::{Column, OldRow, Relation, RelationId, ReplicaIdentity, RowChange};
use walhook::registry::{Row, SCHEMA, TABLE};
use walhook::source::Message;

/// The table's oid.
pub const OID: RelationId = 16_500;

/// The numbers that are registered.
const IDS: [u64; 3] = [101, 102, 103];

/// Columns with the oids of their types.
const COLUMNS: [(&str, u32); 15] = [
    ("id", 20),
    ("name", 25),
    ("description", 25),
    ("form", 25),
    ("forms", 1009),
    ("events", 1009),
    ("condition", 25),
    ("payload_fields", 1009),
    ("custom_json", 114),
    ("enabled", 16),
    ("format", 25),
    ("url", 25),
    ("schedule", 1009),
    ("timeout", 25),
    ("version", 20),
];

/// Where the large text stands.
const DESCRIPTION: usize = 2;

/// A row of the table.
#[derive(Clone, Debug)]
pub struct Written {
    pub registration: Registration,
    version: i64,
    description: Arc<str>,
}

/// A change of the table.
#[derive(Clone, Debug)]
pub enum Change {
    Insert(Written),
    /// With the row before, and whether the description was written.
    Update {
        before: Written,
        after: Written,
        describes: bool,
    },
    Delete(Written),
    Truncate,
}

impl Written {
    fn new(registration: Registration, random: &mut Random) -> Self {
        let length = if random.percent(40) { LARGE_BYTES } else { 10 };
        Self { registration, version: 1, description: random.text(length).into() }
    }

    fn vals(&self) -> Vec<Val> {
        let Registration { id, wish, enabled, fault } = self.registration;
        let hook = &WISHES[wish];
        let texts = |texts: &[&str]| Val::Tags(texts.iter().map(|text| (*text).to_owned()).collect());
        let optional = |text: Option<&str>| text.map_or(Val::Null, Val::text);
        let forms: Vec<&str> = hook.tables.iter().map(|&table| TABLES[table].form).collect();
        let (form, forms) = match (fault, &forms[..]) {
            (Some(Fault::UnknownForm), _) => (Val::text("no such form"), Val::Null),
            (_, [one]) => (Val::text(one), Val::Null),
            (_, several) => (Val::Null, texts(several)),
        };
        let condition = match fault {
            Some(Fault::BadCondition) => Val::text("'Status' = "),
            _ => optional(hook.condition.as_ref().map(|condition| condition.text)),
        };
        vec![
            Val::Int(id as i64),
            Val::text(hook.name),
            Val::Text(Arc::clone(&self.description)),
            form,
            forms,
            texts(hook.verbs),
            condition,
            texts(hook.payload),
            optional(hook.custom_json),
            Val::Bool(enabled),
            Val::text(hook.format),
            Val::text("http://127.0.0.1:9/registered"),
            texts(&["100ms", "200ms", "500ms"].repeat(20)),
            Val::text("2s"),
            Val::Int(self.version),
        ]
    }

    /// The row as it is read from the table.
    pub fn read(&self) -> Row {
        Row::of(&relation(), &row(&self.vals(), |_| Sent::Value)).unwrap()
    }
}

impl Change {
    pub fn said(&self) -> Said {
        match self {
            Self::Insert(after) | Self::Update { after, .. } => Said::Written(after.registration.clone()),
            Self::Delete(before) => Said::Deleted(before.registration.id),
            Self::Truncate => Said::Emptied,
        }
    }

    /// As the log has it.
    pub fn message(&self) -> Message {
        let whole = |written: &Written| row(&written.vals(), |_| Sent::Value);
        let change = match self {
            Self::Truncate => return Message::Truncate { relations: vec![OID] },
            Self::Insert(new) => RowChange::Insert { new: whole(new) },
            Self::Delete(old) => RowChange::Delete { old: OldRow::Full(whole(old)) },
            Self::Update { before, after, describes } => {
                let vals = after.vals();
                let is_left_out =
                    |column: usize| column == DESCRIPTION && !describes && vals[column].is_toasted();
                let sent = |column| if is_left_out(column) { Sent::Unchanged } else { Sent::Value };
                RowChange::Update { old: OldRow::Full(whole(before)), new: row(&vals, sent) }
            }
        };
        Message::Change { relation: OID, change }
    }
}

/// The table as the log describes it.
pub fn relation() -> Relation {
    let column = |&(name, type_oid): &(&str, u32)| Column {
        name: name.to_owned(),
        type_oid,
        type_modifier: -1,
        in_identity: true,
    };
    Relation {
        id: OID,
        schema: SCHEMA.to_owned(),
        name: TABLE.to_owned(),
        identity: ReplicaIdentity::Full,
        columns: COLUMNS.iter().map(column).collect(),
    }
}

/// The table as its changes leave it.
#[derive(Clone, Debug, Default)]
pub struct Table {
    pub rows: BTreeMap<u64, Written>,
}

impl Table {
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Insert(after) | Change::Update { after, .. } => {
                self.rows.insert(after.registration.id, after.clone());
            }
            Change::Delete(before) => drop(self.rows.remove(&before.registration.id)),
            Change::Truncate => self.rows.clear(),
        }
    }
}

/// Writes into the table.
pub struct Clerk {
    random: Random,
    table: Table,
}

impl Clerk {
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed, 11), table: Table::default() }
    }

    /// What a transaction does to the table beside its data.
    pub fn transaction(&mut self, number: usize) -> Vec<Change> {
        let mut changes = Vec::new();
        if !self.random.percent(if number < 3 { 50 } else { 8 }) {
            return changes;
        }
        for _ in 0..=self.random.below(3) {
            self.act(&mut changes);
        }
        changes
    }

    /// A position for a change among others.
    pub fn place(&mut self, count: usize) -> usize {
        self.random.below(count as u64 + 1) as usize
    }

    fn registration(&mut self, id: u64) -> Registration {
        let fault = match self.random.below(20) {
            0 => Some(Fault::UnknownForm),
            1 => Some(Fault::BadCondition),
            _ => None,
        };
        let wish = self.random.below(WISHES.len() as u64) as usize;
        Registration { id, wish, enabled: self.random.percent(85), fault }
    }

    fn act(&mut self, changes: &mut Vec<Change>) {
        let of_file = self.random.percent(10);
        let id = if of_file { self.random.pick(&HOOKS).id } else { *self.random.pick(&IDS) };
        if self.random.percent(3) {
            return self.write(Change::Truncate, changes);
        }
        let Some(before) = self.table.rows.get(&id).cloned() else {
            let registration = self.registration(id);
            let new = Written::new(registration, &mut self.random);
            return self.write(Change::Insert(new), changes);
        };
        let mut after = Written { version: before.version + 1, ..before.clone() };
        let mut describes = false;
        match self.random.below(10) {
            0 | 1 => return self.write(Change::Delete(before), changes),
            2 => {
                self.write(Change::Delete(before), changes);
                let registration = self.registration(id);
                let new = Written::new(registration, &mut self.random);
                return self.write(Change::Insert(new), changes);
            }
            3 | 4 => after.registration.enabled = !before.registration.enabled,
            5 => {
                after.registration.fault =
                    Some(*self.random.pick(&[Fault::UnknownForm, Fault::BadCondition]));
            }
            6 => {
                describes = true;
                after.description = self.random.text(LARGE_BYTES).into();
            }
            _ => after.registration = self.registration(id),
        }
        self.write(Change::Update { before, after, describes }, changes);
    }

    fn write(&mut self, change: Change, changes: &mut Vec<Change>) {
        self.table.apply(&change);
        changes.push(change);
    }
}
