//! Form events: what a change means in business words.

use crate::change::Datum;
use crate::change::{OldRow, Row};
use crate::form::{BoundField, BoundForm, Lane};
use crate::lsn::Position;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// What happened to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// It appeared.
    Create,
    /// It changed.
    Update,
    /// It was written over as a whole: deleted and inserted under its key in one transaction.
    Merge,
    /// It vanished.
    Delete,
}

impl Verb {
    /// All verbs, in the order in which an entry meets them.
    pub const ALL: [Self; 4] = [Self::Create, Self::Update, Self::Merge, Self::Delete];

    /// The word: `create`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Merge => "merge",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for Verb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Verb {
    type Err = ();

    /// In any letter case.
    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|verb| verb.as_str().eq_ignore_ascii_case(text)).ok_or(())
    }
}

/// What the changes of one transaction share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// Its number in PostgreSQL.
    pub xid: u32,
    /// When it was committed, in microseconds since 1970 UTC.
    pub committed_at_us: i64,
    /// The replication origin that its session had set, if any.
    pub origin: Option<String>,
}

/// One thing that happened to one entry.
#[derive(Clone, Debug)]
pub struct FormEvent {
    /// The form as it was bound when the change was read.
    pub form: Arc<BoundForm>,
    /// What happened.
    pub verb: Verb,
    /// The address of the entry's first change in the transaction.
    pub position: Position,
    /// The transaction.
    pub transaction: Arc<Transaction>,
    /// The entry id.
    pub entry_id: String,
    /// What must stay in order with it.
    pub lane: Lane,
    /// Other lanes that must have come up to this point before this event goes out: those that the entry had under its
    /// old key, or by former rules. Nearly always none.
    pub behind: Vec<Lane>,
    /// The row before, as far as the log tells. `Absent` on create.
    pub old: OldRow,
    /// The row after; none on delete.
    pub new: Option<Row>,
    /// The numbers of the fields (in `form.fields`) that differ. None where the old row is not known; always
    /// none on create and delete.
    pub changed: Option<Vec<usize>>,
    /// On delete: the entry lives on under this id.
    pub renamed_to: Option<String>,
    /// On create: the entry had this id before.
    pub renamed_from: Option<String>,
}

impl FormEvent {
    /// The row that the event is about: the new one, on delete the old one as far as it is known.
    pub fn row(&self) -> Option<&Row> {
        self.new.as_ref().or_else(|| self.old.row())
    }

    /// The record id, where the form maps one and the row has it.
    pub fn record_id(&self) -> Option<&str> {
        match self.row()?.datum(self.form.record_id?) {
            Datum::Text(text) => Some(text),
            Datum::Null | Datum::Unchanged => None,
        }
    }

    /// A field's value after the change (on delete: before it). `Unchanged` means that it is not known.
    pub fn value(&self, field: &BoundField) -> Datum<'_> {
        match (&self.new, &self.old) {
            (Some(new), _) => self.within_limit(new, field),
            (None, OldRow::Full(old)) => self.within_limit(old, field),
            (None, OldRow::Key(old)) if self.form.identifies(field.column) => self.within_limit(old, field),
            (None, OldRow::Key(_) | OldRow::Absent) => Datum::Unchanged,
        }
    }

    /// A field's value before the change. `Unchanged` means that it is not known.
    pub fn old_value(&self, field: &BoundField) -> Datum<'_> {
        self.old.full().map_or(Datum::Unchanged, |old| self.within_limit(old, field))
    }

    fn within_limit<'a>(&self, row: &'a Row, field: &BoundField) -> Datum<'a> {
        match self.form.datum(row, field.column) {
            Datum::Text(text) if text.len() > self.form.form.value_bytes_max => Datum::Unchanged,
            datum => datum,
        }
    }
}
