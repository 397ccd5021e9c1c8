//! What a value means where it is compared: in conditions.
//!
//! [`Type`](super::Type) says what a value becomes in JSON; a kind says whether it is a number, a moment or one of
//! a list of labels, whatever column type it is kept in.

use std::sync::Arc;

/// What a column's values mean in a comparison.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Characters.
    Text {
        /// Whether the database itself compares without letter case (`citext`, non-deterministic collations).
        folds_case: bool,
        /// Whether blanks at the end mean nothing (`character(n)`).
        padded: bool,
    },
    /// A number, exact.
    Number {
        /// Whether it has no fraction by its type: then `/` between such numbers truncates.
        whole: bool,
    },
    /// One of a list of labels, compared by number.
    Selection(Arc<Selection>),
    /// A moment.
    Instant(Moment),
    /// A day.
    Date,
    /// A time of day.
    Time {
        /// Kept as seconds since midnight, not in PostgreSQL's text form.
        seconds: bool,
    },
    /// A diary: its entries, one below the other.
    Diary {
        /// As with text.
        folds_case: bool,
    },
    /// An amount with its currency. The parts are columns of their own, or lie in a JSON object with the keys
    /// `value`, `type`, `date` and `functional`.
    Currency,
    /// When and by whom an entry entered each status, in a JSON object by status number, each with `time` and
    /// `user`. Only its parts can be compared.
    StatusHistory,
    /// A file: there or not.
    Attachment,
    /// What cannot be compared, but with NULL: JSON, arrays, row types, bytes.
    Opaque,
}

/// How a moment is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// `timestamptz`: its text has an offset.
    Zoned,
    /// `timestamp`: a clock in the source's time zone.
    Local,
    /// A number of seconds since 1970 UTC.
    Epoch,
}

/// The values of a selection, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// What can be chosen.
    pub choices: Vec<Choice>,
}

/// One value of a selection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its number: what comparisons compare.
    pub number: i64,
    /// What stands in the column.
    pub stored: String,
    /// What people read.
    pub label: String,
}
