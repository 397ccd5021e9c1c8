//! The SQL history: what each transaction did, told by the session that did it, and in which order they were
//! committed, told by a witness in the server.
//!
//! A session knows its own statements and which rows they hit (`returning`). Statements name rows by key and
//! write values by literal; two transactions that touch one row are ordered by its lock, and the lock is
//! released after the commit record is written. So replaying what was hit in commit order gives every row as it
//! was at every moment, and that is checked against the tables at the end.

use super::world::{TABLES, Val};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use tokio_postgres::Client;

/// A row in column order.
pub type Row = Vec<Val>;

/// A row's table and its key as an entry id.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    pub table: usize,
    pub entry_id: Arc<str>,
}

impl Key {
    pub fn of(table: usize, row: &[Val]) -> Self {
        let parts: Vec<String> = TABLES[table].key.iter().map(|&column| row[column].key_text()).collect();
        let entry_id = if let [one] = &parts[..] {
            one.clone()
        } else {
            let escaped = parts.iter().map(|part| part.replace('\\', "\\\\").replace('|', "\\|"));
            escaped.collect::<Vec<_>>().join("|")
        };
        Self { table, entry_id: entry_id.into() }
    }
}

/// One row change that a statement made.
#[derive(Clone, Debug)]
pub enum Op {
    Insert {
        table: usize,
        row: Arc<Row>,
    },
    /// Columns that were written, whatever was there before; none for `set x = x`.
    Update {
        key: Key,
        set: Vec<(usize, Val)>,
    },
    /// The key columns were written too: all of them stand in `set`.
    Rename {
        key: Key,
        set: Vec<(usize, Val)>,
    },
    Delete {
        key: Key,
    },
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Insert { table, row } => write!(f, "insert {}", Key::of(*table, row).entry_id),
            Self::Update { key, set } => {
                write!(
                    f,
                    "update {} columns {:?}",
                    key.entry_id,
                    set.iter().map(|(column, _)| column).collect::<Vec<_>>()
                )
            }
            Self::Rename { key, set } => {
                let parts: Vec<String> = set.iter().map(|(_, val)| val.key_text()).collect();
                write!(f, "rename {} to {}", key.entry_id, parts.join("|"))
            }
            Self::Delete { key } => write!(f, "delete {}", key.entry_id),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Committed,
    RolledBack,
    /// The connection broke during COMMIT.
    Unknown,
}

/// What one session did in one transaction; work undone by a savepoint is not in it.
#[derive(Clone, Debug)]
pub struct Told {
    pub session: i32,
    pub number: i32,
    pub ops: Vec<Op>,
    pub outcome: Outcome,
}

/// A committed transaction as the witness saw it.
#[allow(clippy::struct_field_names)]
#[derive(Clone, Debug, Default)]
pub struct Committed {
    pub xid: u32,
    pub commit_lsn: u64,
    pub committed_at_us: i64,
    pub ops: Vec<Op>,
}

/// Reads the witness slot and puts what the sessions told in commit order.
pub async fn in_commit_order(client: &Client, told: Vec<Told>) -> Vec<Committed> {
    let testimony = testimony(client).await;
    put_in_order(&testimony, told)
}

/// What the witness says of the transactions since it was asked last. For a server that is to forget its log.
pub async fn testimony(client: &Client) -> Vec<Vec<u8>> {
    let query = "select data from pg_logical_slot_get_binary_changes('witness', null, null, \
                 'proto_version', '1', 'publication_names', 'witness')";
    client.query(query, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Puts what the sessions told in the order in which the witness saw it.
pub fn put_in_order(testimony: &[Vec<u8>], told: Vec<Told>) -> Vec<Committed> {
    let mut by_signature: HashMap<(i32, i32), Told> =
        told.into_iter().map(|told| ((told.session, told.number), told)).collect();
    let mut history = Vec::new();
    let mut open = Committed::default();
    for data in testimony {
        match data[0] {
            b'B' => {
                // Begin: LSN of the commit, time in microseconds since 2000, xid
                open = Committed {
                    commit_lsn: u64::from_be_bytes(data[1..9].try_into().unwrap()),
                    committed_at_us: i64::from_be_bytes(data[9..17].try_into().unwrap())
                        + 946_684_800_000_000,
                    xid: u32::from_be_bytes(data[17..21].try_into().unwrap()),
                    ops: Vec::new(),
                };
            }
            b'I' => {
                let signature = signature(&data[1..]);
                let told = by_signature.remove(&signature);
                let told = told.unwrap_or_else(|| panic!("nobody told of transaction {signature:?}"));
                assert_ne!(told.outcome, Outcome::RolledBack, "{signature:?} was rolled back, and is there");
                history.push(Committed { ops: told.ops, ..open.clone() });
            }
            _ => {}
        }
    }
    let lost = by_signature.values().find(|told| told.outcome == Outcome::Committed);
    assert!(lost.is_none(), "the server lost a committed transaction: {lost:?}");
    history
}

/// The two columns of a row of the book. Insert: relation (4 bytes), 'N', number of columns (2), and for each
/// 't', length (4), text.
fn signature(data: &[u8]) -> (i32, i32) {
    let mut rest = &data[7..];
    let mut number = || {
        let length = u32::from_be_bytes(rest[1..5].try_into().unwrap()) as usize;
        let text = std::str::from_utf8(&rest[5..5 + length]).unwrap();
        rest = &rest[5 + length..];
        text.parse().unwrap()
    };
    (number(), number())
}

/// The tables as a history leaves them.
#[derive(Default)]
pub struct State {
    pub rows: HashMap<Key, Arc<Row>>,
}

impl State {
    /// Applies a change; gives the row before and the row after.
    pub fn apply(&mut self, op: &Op) -> (Option<Arc<Row>>, Option<Arc<Row>>) {
        match op {
            Op::Insert { table, row } => {
                let before = self.rows.insert(Key::of(*table, row), Arc::clone(row));
                assert!(before.is_none(), "a row was inserted over another: {row:?}");
                (None, Some(Arc::clone(row)))
            }
            Op::Delete { key } => {
                let before = self.rows.remove(key);
                assert!(before.is_some(), "a row was deleted that is not there: {key:?}");
                (before, None)
            }
            Op::Update { key, set } | Op::Rename { key, set } => {
                let before = self.rows.remove(key);
                let before = before.unwrap_or_else(|| panic!("a row was updated that is not there: {key:?}"));
                let mut after = (*before).clone();
                for (column, val) in set {
                    after[*column] = val.clone();
                }
                let after = Arc::new(after);
                self.rows.insert(Key::of(key.table, &after), Arc::clone(&after));
                (Some(before), Some(after))
            }
        }
    }

    /// Compares itself with the server's tables, every row and every value by `to_jsonb`.
    pub async fn assert_equals_server(&self, client: &Client) {
        for (number, table) in TABLES.iter().enumerate() {
            let rows = client.query(&format!("select to_jsonb(t) from {} t", table.name), &[]).await.unwrap();
            let mine: HashMap<_, _> = self.rows.iter().filter(|(key, _)| key.table == number).collect();
            assert_eq!(mine.len(), rows.len(), "rows of {}", table.name);
            let by_json: std::collections::HashSet<String> =
                rows.iter().map(|row| row.get::<_, serde_json::Value>(0).to_string()).collect();
            for (key, row) in mine {
                let json: serde_json::Map<_, _> = table
                    .columns
                    .iter()
                    .zip(row.iter())
                    .map(|((column, _), val)| ((*column).to_owned(), val.json()))
                    .collect();
                let json = serde_json::Value::Object(json).to_string();
                assert!(by_json.contains(&json), "the history has {key:?} as\n{json}\nthe server does not");
            }
        }
    }
}
