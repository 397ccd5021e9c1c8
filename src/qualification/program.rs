//! A condition made ready for judging: names have become columns, constants have been read.

use super::like::Pattern;
use super::number::Number;
use super::tree::{Arithmetic, Operator};
use super::truth::Truth;
use crate::value::{Moment, Selection};
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// A condition. Chains of AND and of OR are lists, so that no text can make it deep.
#[derive(Clone, Debug)]
pub(super) enum Node {
    All(Vec<Node>),
    Any(Vec<Node>),
    Not(Box<Node>),
    Leaf(Leaf),
}

/// What has a verdict of its own in explanations: a relation, IN or CHANGED.
#[derive(Clone, Debug)]
pub(super) struct Leaf {
    pub(super) place: Range<usize>,
    pub(super) test: Test,
}

impl Node {
    /// All leaves, in the order of the text.
    pub(super) fn leaves<'a>(&'a self, into: &mut Vec<&'a Leaf>) {
        match self {
            Self::All(nodes) | Self::Any(nodes) => nodes.iter().for_each(|node| node.leaves(into)),
            Self::Not(node) => node.leaves(into),
            Self::Leaf(leaf) => into.push(leaf),
        }
    }
}

/// What a leaf asks.
#[derive(Clone, Debug)]
pub(super) enum Test {
    /// Whatever the event.
    Fixed(Truth),
    /// Whether there is no value; never unknown.
    Absent {
        term: Term,
        wanted: bool,
    },
    /// Both sides have values of one sort.
    Compare {
        left: Term,
        operator: Operator,
        right: Term,
        folds_case: bool,
    },
    /// LIKE with a pattern that is known.
    Like {
        term: Term,
        pattern: Pattern,
    },
    /// LIKE with a pattern out of the row.
    LikeOf {
        term: Term,
        pattern: Term,
        folds_case: bool,
    },
    /// A whole amount of money.
    Amount(Box<Amount>),
    /// Whether the field differs from what it was.
    Changed(Field),
    All(Vec<Test>),
    Any(Vec<Test>),
}

/// `'Cost' = "12.50 USD"`.
#[derive(Clone, Debug)]
pub(super) struct Amount {
    /// Whether it is about what the transaction has set (`TR.`): one part that changed sets both.
    pub(super) if_changed: bool,
    pub(super) value: Field,
    pub(super) currency: Field,
    pub(super) wanted_value: Number,
    pub(super) wanted_currency: String,
    pub(super) negated: bool,
}

/// What has a value.
#[derive(Clone, Debug)]
pub(super) enum Term {
    Constant(Value<'static>),
    Field(Box<Field>),
    /// `$TIMESTAMP$` and its like, as what stands opposite asks for it; a moment, if nothing does.
    Moment {
        which: Clock,
        shape: Option<Shape>,
    },
    Weekday,
    Operation,
    User,
    Negate {
        term: Box<Term>,
        place: Range<usize>,
    },
    /// From left to right.
    Chain {
        first: Box<Term>,
        steps: Vec<Step>,
    },
    /// A number of seconds as a moment, the day it falls on, or a time of day.
    Seconds {
        term: Box<Term>,
        shape: Shape,
        place: Range<usize>,
    },
}

/// One operation of a chain.
#[derive(Clone, Debug)]
pub(super) struct Step {
    pub(super) operator: Arithmetic,
    pub(super) right: Term,
    /// Whether a quotient loses its fraction: both sides are whole by their types.
    pub(super) truncates: bool,
    pub(super) place: Range<usize>,
}

/// The keywords that adapt to what they are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Clock {
    /// `$TIMESTAMP$` and its other names.
    Timestamp,
    /// `$DATE$`: the beginning of the day.
    Date,
    /// `$TIME$`.
    Time,
}

/// What something temporal is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Instant,
    Date,
    Time,
}

/// A column's value, or a part of it.
#[derive(Clone, Debug)]
pub(super) struct Field {
    pub(super) image: Image,
    pub(super) column: usize,
    pub(super) reading: Reading,
    /// As it was written, for reasons of failures.
    pub(super) name: String,
    pub(super) place: Range<usize>,
}

/// Which row a reference looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Image {
    /// `'F'`: the new row, on delete the old one.
    Current,
    /// `'TR.F'`: what the transaction has set.
    Transaction,
    /// `'DB.F'`: the old row.
    Database,
}

/// How the text of a column becomes a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    Text {
        padded: bool,
    },
    Number,
    Selection(Arc<Selection>),
    Instant(Moment),
    Date,
    Time {
        seconds: bool,
    },
    Diary,
    /// A member of a JSON object.
    Member {
        /// The keys on the way to it.
        path: Vec<String>,
        meaning: Member,
    },
    /// Only whether it is there.
    Presence,
}

/// What a member of a JSON object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Member {
    Text,
    Number,
    Instant,
}

/// What a term comes to. Texts and constants are borrowed where they can be.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Text(Cow<'a, str>),
    Number(Cow<'a, Number>),
    Instant(i128),
    Date(i64),
    Time(i64),
    /// Something that cannot be compared, in PostgreSQL's text form.
    Opaque(&'a str),
}

impl Value<'_> {
    /// Appends a key that equal values share.
    pub(super) fn write_key(&self, key: &mut Vec<u8>) {
        match self {
            Self::Null | Self::Opaque(_) => {}
            Self::Text(text) => key.extend_from_slice(text.as_bytes()),
            Self::Number(number) => number.write_key(key),
            Self::Instant(instant) => key.extend_from_slice(&instant.to_be_bytes()),
            Self::Date(day) => key.extend_from_slice(&day.to_be_bytes()),
            Self::Time(time) => key.extend_from_slice(&time.to_be_bytes()),
        }
    }

    /// A value that nothing borrows from.
    pub(super) fn of_number(number: Number) -> Self {
        Self::Number(Cow::Owned(number))
    }
}
