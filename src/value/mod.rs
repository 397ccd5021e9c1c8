//! The types of columns, and what their values are in JSON.

mod json;

pub use json::write_json;

use std::sync::Arc;

/// What a type means for us: how its text form is read and what it becomes in JSON.
///
/// The rule is PostgreSQL's `to_jsonb`, except that `bytea` becomes base64. A domain is the type it is based
/// on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `boolean`.
    Boolean,
    /// The integers, `real`, `double precision` and `numeric`.
    Number,
    /// `date`.
    Date,
    /// `timestamp`.
    Timestamp,
    /// `timestamptz`.
    TimestampTz,
    /// `json` and `jsonb`: the text is JSON already.
    Json,
    /// `bytea`, in hex as we ask for it.
    Bytea,
    /// Everything that `to_jsonb` gives as a string: text, enums, ranges, `money`, network addresses and all
    /// types not known here.
    Text,
    /// An array of any depth.
    Array {
        /// The type of its elements.
        element: Arc<Type>,
        /// Between the elements: a comma, for `box` a semicolon.
        delimiter: char,
    },
    /// `int2vector` and `oidvector`, written without braces.
    Vector {
        /// The type of its elements.
        element: Arc<Type>,
    },
    /// A row type.
    Composite(Arc<[Attribute]>),
}

/// An attribute of a row type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attribute {
    /// Its name.
    pub name: String,
    /// Its type.
    pub type_: Type,
}
