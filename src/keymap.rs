//! Where rows lead that others refer to: what the log has told of keys, kept for when a row is gone, or has become another
//! one, before what refers to it is read.

use crate::change::RelationId;

/// Which row is meant: by some columns of its table, and their values as texts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyRef {
    /// The table.
    pub table: RelationId,
    /// The columns' names.
    pub by: Vec<String>,
    /// Their values.
    pub values: Vec<String>,
}

/// What of a row leads on: the columns by which it refers to another one, or which entry it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyRow {
    /// Names and values; none is NULL.
    pub columns: Vec<(String, Option<String>)>,
    /// The form and the id of the entry that the row is, if it is one: for whoever has everything of it removed.
    pub entry: Option<(String, String)>,
}

/// What the log tells of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyChange {
    /// This row has it now.
    Told {
        /// The key.
        key: KeyRef,
        /// The row.
        row: KeyRow,
    },
    /// No row has it any more. What it led to is kept for a while: what belongs to the row may go behind it.
    Gone {
        /// The key.
        key: KeyRef,
    },
    /// No row of the table is left.
    Emptied {
        /// The table.
        table: RelationId,
    },
}
