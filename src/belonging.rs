//! Tables whose rows belong to the entries of a form: notes of a ticket, and tables between the two.

use crate::event::Word;

/// How a table's rows belong to the entries of a form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Belonging {
    /// The name of the form that they belong to.
    pub form: String,
    /// What they are to its entries.
    pub role: Role,
    /// Which columns say to which row of the next table a row belongs: the form's, or that of the first hop.
    pub parent: Vec<String>,
    /// Rows of other tables stand beside those that belong to it: a column that tells them apart, and its value.
    pub kind: Option<(String, String)>,
    /// The reference has this before the key: `party.party,` in `party.party,2`. Others belong elsewhere.
    pub prefix: Option<String>,
    /// The names of the tables between, as forms, from the first on.
    pub through: Vec<String>,
    /// The columns that the last reference means; none means the primary key.
    pub references: Vec<String>,
}

/// What rows are to the entries that they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// A change of one is an event of the entry.
    Child {
        /// The event: `note-added`.
        verb: Word,
        /// Which change.
        on: On,
    },
    /// A row on the way from others to the entry; `by` are the columns by which it is referred to, none for its
    /// primary key.
    Hop {
        /// The columns.
        by: Vec<String>,
    },
}

/// A change of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum On {
    /// It appears.
    Insert,
    /// It changes.
    Update,
    /// It vanishes.
    Delete,
}

/// A belonging bound to the columns of its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundBelonging {
    /// Which columns say to which row a row belongs.
    pub parent: Vec<usize>,
    /// The column that tells rows of other kinds apart, and its value.
    pub kind: Option<(usize, String)>,
    /// Of a hop: the columns by which it is referred to.
    pub by: Vec<usize>,
}
