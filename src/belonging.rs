//! Tables whose rows belong to the entries of a form: notes of a ticket, its custom fields, and tables between the two.

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
    /// It has fields of the entry: custom fields that are rows of their own, or state that is kept apart.
    Supplement(Supplement),
}

/// Fields of an entry that stand in the rows of another table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supplement {
    /// The column that says which field a row is; none where each row has all of them.
    pub attribute: Option<String>,
    /// The fields.
    pub fields: Vec<SuppliedField>,
    /// The number of the first of them among all that the form has from other tables.
    pub first: usize,
}

/// A field of an entry that stands in a row of another table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SuppliedField {
    /// Its name.
    pub name: String,
    /// What stands in the column that says which field a row is.
    pub attribute: Option<String>,
    /// The columns of its value; the first that is not NULL is it.
    pub columns: Vec<String>,
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
    /// Of a supplement: where its fields are.
    pub supplement: Option<BoundSupplement>,
}

/// A supplement bound to the columns of its table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundSupplement {
    /// The column that says which field a row is.
    pub attribute: Option<usize>,
    /// Per field: what stands in that column, and the columns of its value.
    pub fields: Vec<(Option<String>, Vec<usize>)>,
    /// The number of the first of them among all that the form has from other tables.
    pub first: usize,
}
