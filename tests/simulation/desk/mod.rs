//! A second application in the play: a desk whose tickets are closed and reopened, deleted by a column, merged, called by
//! numbers that change hands, whose notes are two tables away, and which says itself what happens and who does it.
//!
//! It opens when the slot is made: what was there before is known to nobody for certain.

pub mod log;
pub mod oracle;
pub mod story;

use crate::proof::world::Hook;
use std::collections::BTreeMap;
use walhook::change::RelationId;

/// The values of a row, as texts.
pub type Row = Vec<Option<String>>;

/// The tables.
pub const TICKET: usize = 0;
pub const ARTICLE: usize = 1;
pub const NOTE: usize = 2;

/// The columns of tickets.
pub const NUMBER: usize = 1;
pub const STATUS: usize = 2;
pub const REMOVED: usize = 3;
pub const MERGED: usize = 4;

/// Their names and columns, these with the oids of their types. The first is the key. Only tickets have their old rows in the
/// log.
pub const TABLES: [(&str, &[(&str, u32)]); 3] = [
    ("ticket", &[("id", 23), ("number", 25), ("status", 25), ("removed", 16), ("merged", 25)]),
    ("article", &[("id", 23), ("ticket", 25)]),
    ("note", &[("id", 23), ("article", 23)]),
];

/// Where its events stand among the oracle's tables, behind those of the others.
pub const PLACE: usize = 100;

/// The oid of a table.
pub fn oid(table: usize) -> RelationId {
    16_600 + table as u32
}

const fn hook(id: u64, name: &'static str) -> Hook {
    Hook {
        id,
        name,
        path: "/desk",
        format: "native",
        tables: &[],
        verbs: &[],
        payload: &[],
        custom_json: None,
        condition: None,
    }
}

/// One hears everything; the other not what a bot does, or what was marked as an echo.
pub static HOOKS: [Hook; 2] = [hook(11, "desk"), hook(12, "partner")];

/// What the configuration says of it.
pub fn configuration() -> String {
    let form = r#"
[[forms]]
name = "Ticket"
table = "desk.ticket"
deleted = "removed"
emitted = ["escalated"]
merge.marker = "merged"
merge.target = "merged"
[[forms.transitions]]
verb = "reopened"
field = "status"
from = "Closed"
to = ["New", "Open"]
[[forms.transitions]]
verb = "closed"
field = "status"
to = "Closed"
[[forms.children]]
verb = "note-added"
table = "desk.note"
parent = "article"
references = "number"
[[forms.children.through]]
table = "desk.article"
parent = "ticket"
"#;
    let webhook = |hook: &Hook| {
        let exclude =
            if hook.id == HOOKS[1].id { "exclude = { marks = [\"echo\"], actors = [\"bot\"] }" } else { "" };
        format!(
            "[[webhooks]]\nid = {}\nname = {:?}\nform = \"Ticket\"\n\
             events = [\"create\", \"update\", \"merge\", \"delete\", \"reopened\", \"closed\", \"escalated\", \"note-added\"]\n\
             schedule = [{}]\ntimeout = \"2s\"\n{exclude}\ncallback.url = \"http://127.0.0.1:9/desk\"\n",
            hook.id,
            hook.name,
            vec!["\"100ms\", \"200ms\", \"500ms\""; 20].join(", "),
        )
    };
    format!("{form}{}", HOOKS.iter().map(webhook).collect::<String>())
}

/// What the tables hold.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub rows: [BTreeMap<i64, Row>; 3],
}

impl State {
    /// The ticket that is called by a number.
    pub fn called(&self, number: Option<&str>) -> Option<&Row> {
        self.rows[TICKET].values().find(|ticket| ticket[NUMBER].as_deref() == number)
    }

    /// The ticket that a note in an article is of.
    pub fn ticket_of(&self, article: i64) -> Option<&Row> {
        self.called(self.rows[ARTICLE].get(&article)?[1].as_deref())
    }
}

/// What a transaction does.
#[derive(Clone, Debug)]
pub enum Change {
    /// To a row of a table.
    Row { table: usize, before: Option<Row>, after: Option<Row> },
    /// What its session says.
    Says { prefix: &'static str, content: String },
}

/// What the desk does from some transaction of the play on.
#[derive(Debug, Default)]
pub struct Desk {
    /// The transaction that it begins with.
    pub first: usize,
    /// What each does, and the tables after it.
    pub transactions: Vec<(Vec<Change>, State)>,
}

impl Desk {
    /// What a transaction of the play does.
    pub fn changes(&self, transaction: usize) -> &[Change] {
        let number = transaction.checked_sub(self.first);
        number.and_then(|number| self.transactions.get(number)).map_or(&[], |(changes, _)| changes)
    }

    /// The tables when so many transactions of the play are committed.
    pub fn state_after(&self, transactions: usize) -> Option<&State> {
        let last = transactions.checked_sub(self.first + 1)?;
        self.transactions.get(last.min(self.transactions.len().checked_sub(1)?)).map(|(_, state)| state)
    }
}
