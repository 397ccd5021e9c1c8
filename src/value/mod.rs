//! The types of columns, and what their values are in JSON.
//!
//! PostgreSQL sends values in their text form; [`write_json`] turns them into exactly what the server's own
//! `to_jsonb` prints. The server is the oracle: a test compares the two for every built-in type. The text form
//! must be that of the settings that walhook gives every session (`DateStyle` ISO, `TimeZone` UTC,
//! `bytea_output` hex, `extra_float_digits` 3); under others values become strings rather than wrong.
//!
//! Three differences are intended:
//!
//! - `bytea` is base64, for the hex form means nothing outside PostgreSQL;
//! - `json` and `jsonb` go out as they were written, with their spaces and, in `json`, their repeated keys and
//!   exponents; and the attributes of a composite keep the order of its type, where `jsonb` sorts them;
//! - a type that somebody gave a cast function to `json` is text all the same, but for `hstore`.

mod array;
mod composite;
mod hstore;
mod json;
mod kind;
mod number;
mod string;

pub use json::write_json;
pub use kind::{Choice, Kind, Moment, Selection};
pub use string::write_string;

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
    /// `hstore` of the extension of that name: an object of strings.
    Hstore,
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

impl Type {
    /// The types that are built into PostgreSQL and whose meaning never changes, by oid (`pg_type.dat`).
    ///
    /// None for types that the catalogue has to describe: arrays, domains, enums, row types, and everything
    /// made by `create type`.
    pub fn built_in(oid: u32) -> Option<Self> {
        Some(match oid {
            16 => Self::Boolean,
            20 | 21 | 23 | 700 | 701 | 1700 => Self::Number,
            1082 => Self::Date,
            1114 => Self::Timestamp,
            1184 => Self::TimestampTz,
            114 | 3802 => Self::Json,
            17 => Self::Bytea,
            // "char", name, text, bpchar, varchar, oid, interval, time, timetz, uuid, inet
            18 | 19 | 25 | 1042 | 1043 | 26 | 1186 | 1083 | 1266 | 2950 | 869 => Self::Text,
            22 => Self::Vector { element: Arc::new(Self::Number) },
            30 => Self::Vector { element: Arc::new(Self::Text) },
            _ => return None,
        })
    }
}
