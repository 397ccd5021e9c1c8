//! What the application does: transactions over few entries, so that they meet often, each at its moment.

use crate::proof::history::{Committed, Key, Op, State};
use crate::proof::random::Random;
use crate::proof::workload::{asset, asset_change, incident, incident_change, person};
use crate::proof::world::{ASSET, INCIDENT, PERSON, Val, column};
use crate::registrations::{self, Clerk};
use crate::world::BEGINNING_US;
use std::sync::Arc;

/// A new key, and the columns that give it to a row.
type Renaming = (Key, Vec<(usize, Val)>);

/// A transaction, when it is committed in microseconds since the play began, and what it does, with the rows.
pub struct Transaction {
    pub at_us: u64,
    pub end_lsn: u64,
    pub committed: Committed,
    pub changes: Vec<Change>,
}

/// What a transaction does.
pub enum Change {
    Row(RowChange),
    /// To the registration table.
    Registration(registrations::Change),
}

/// A row change with the rows around it.
pub struct RowChange {
    pub op: Op,
    pub before: Option<Arc<Vec<Val>>>,
    pub after: Option<Arc<Vec<Val>>>,
}

impl Transaction {
    /// What it does to the registration table.
    pub fn registrations(&self) -> impl Iterator<Item = &registrations::Change> {
        self.changes.iter().filter_map(|change| match change {
            Change::Row(_) => None,
            Change::Registration(change) => Some(change),
        })
    }
}

/// Writes the whole script of a play.
pub fn write(seed: u64, transactions: usize) -> Vec<Transaction> {
    let mut random = Random::new(seed, 10);
    let mut clerk = Clerk::new(seed);
    let mut state = State::default();
    let (mut at_us, mut lsn) = (0, 0x0100_0000);
    let mut script = Vec::with_capacity(transactions);
    for number in 0..transactions {
        // mostly a crowd, now and then a pause
        at_us += match random.below(20) {
            0 => 1_000_000 + random.below(20_000_000),
            1..4 => random.below(500_000),
            _ => random.below(4_000),
        };
        lsn += 100 + random.below(4000);
        let mut writer = Writer { state: &mut state, random: &mut random, changes: Vec::new() };
        writer.transaction();
        let rows = writer.changes;
        let ops = rows.iter().map(|change| change.op.clone()).collect();
        let mut changes: Vec<Change> = rows.into_iter().map(Change::Row).collect();
        let mut from = 0;
        for registration in clerk.transaction(number) {
            // before, among and behind the rows, in the order in which they were written
            from += clerk.place(changes.len() - from);
            changes.insert(from, Change::Registration(registration));
            from += 1;
        }
        lsn += 50 * changes.len() as u64;
        let committed = Committed {
            xid: 700 + number as u32,
            commit_lsn: lsn,
            committed_at_us: BEGINNING_US + at_us as i64,
            ops,
        };
        lsn += 48;
        script.push(Transaction { at_us, end_lsn: lsn, committed, changes });
    }
    script
}

struct Writer<'a> {
    state: &'a mut State,
    random: &'a mut Random,
    changes: Vec<RowChange>,
}

impl Writer<'_> {
    fn transaction(&mut self) {
        let actions = match self.random.below(40) {
            0 => 0,
            1 | 2 => 10 + self.random.below(30),
            _ => 1 + self.random.below(4),
        };
        for _ in 0..actions {
            match self.random.below(10) {
                0..5 => self.incident(),
                5..8 => self.asset(),
                _ => self.person(),
            }
        }
    }

    fn exists(&self, key: &Key) -> bool {
        self.state.rows.contains_key(key)
    }

    fn apply(&mut self, op: Op) {
        let (before, after) = self.state.apply(&op);
        self.changes.push(RowChange { op, before, after });
    }

    /// Inserts, updates, deletes, replaces or renames a row of the key, whichever can be done.
    fn act(
        &mut self,
        key: &Key,
        row: fn(&Key, &mut Random) -> Vec<Val>,
        change: fn(&mut Random) -> Vec<(usize, Val)>,
        rename: fn(&mut Random) -> Renaming,
    ) {
        if !self.exists(key) {
            let row = Arc::new(row(key, self.random));
            return self.apply(Op::Insert { table: key.table, row });
        }
        match self.random.below(10) {
            0 => self.apply(Op::Delete { key: key.clone() }),
            1 => {
                self.apply(Op::Delete { key: key.clone() });
                let row = Arc::new(row(key, self.random));
                self.apply(Op::Insert { table: key.table, row });
            }
            2 => {
                let (new, set) = rename(self.random);
                if !self.exists(&new) {
                    self.apply(Op::Rename { key: key.clone(), set });
                }
            }
            3 => self.apply(Op::Update { key: key.clone(), set: vec![] }),
            _ => {
                let set = change(self.random);
                self.apply(Op::Update { key: key.clone(), set });
            }
        }
    }

    fn incident(&mut self) {
        let key = incident_key(self.random);
        self.act(
            &key,
            |key, random| incident(&key.entry_id, random),
            incident_change,
            |random| {
                let new = incident_key(random);
                let set = vec![(0, Val::text(&new.entry_id))];
                (new, set)
            },
        );
    }

    fn asset(&mut self) {
        let row = asset(asset_tag(self.random), self.random);
        let key = Key::of(ASSET, &row);
        self.act(
            &key,
            |key, random| {
                let tag = key.entry_id.rsplit('|').next().unwrap().parse().unwrap();
                asset(tag, random)
            },
            asset_change,
            |random| {
                let row = asset(asset_tag(random), random);
                (Key::of(ASSET, &row), vec![(0, row[0].clone()), (1, row[1].clone())])
            },
        );
    }

    fn person(&mut self) {
        let key = person_key(self.random);
        self.act(
            &key,
            |key, random| person(key.entry_id.parse().unwrap(), random),
            |random| {
                let name = Val::text(random.text(6));
                vec![(column::PERSON_NAME, name), (column::PERSON_ACTIVE, Val::Bool(random.percent(50)))]
            },
            |random| {
                let new = person_key(random);
                let set = vec![(0, Val::Int(new.entry_id.parse().unwrap()))];
                (new, set)
            },
        );
    }
}

fn incident_key(random: &mut Random) -> Key {
    Key { table: INCIDENT, entry_id: format!("INC{}", random.below(9)).into() }
}

fn asset_tag(random: &mut Random) -> i64 {
    9 + random.below(8) as i64
}

fn person_key(random: &mut Random) -> Key {
    Key { table: PERSON, entry_id: (1 + random.below(6)).to_string().into() }
}
