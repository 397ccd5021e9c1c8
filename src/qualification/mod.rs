//! Qualifications: conditions over the fields of an entry, in the language of AR System.
//!
//! ```text
//! text ──parse──► Qualification ──bind to a form──► BoundQualification ──judge an event──► true, false, unknown
//! ```
//!
//! Everything that can be wrong with the text alone is found by [`Qualification::parse`]; everything that depends
//! on the form (fields, labels, types, whether old values exist) by [`Qualification::bind`]; what remains is a
//! [`Failure`] of one evaluation. No step has I/O, a clock or a random number.

mod bind;
mod columns;
mod fault;
mod judge;
mod keyword;
mod like;
mod number;
mod program;
mod reckon;
mod requirement;
mod syntax;
mod time;
mod tree;
mod truth;

pub use fault::{Fault, Faults, Phase, position};
pub use tree::{Arithmetic, Condition, Operand, Operator, Reference};
pub use truth::Truth;

use crate::change::{OldRow, Row};
use crate::event::Verb;
use crate::form::BoundForm;
use std::ops::Range;
use std::sync::Arc;

/// A condition as somebody wrote it, free of errors of grammar.
#[derive(Clone, Debug)]
pub struct Qualification {
    text: Arc<str>,
    root: Option<Condition>,
}

impl Qualification {
    /// Reads a condition. A blank text is the condition that is always true.
    pub fn parse(text: &str) -> Result<Self, Fault> {
        let root = syntax::parse(text).map_err(|fault| *fault)?;
        Ok(Self { text: text.into(), root })
    }

    /// The text as it was written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The tree; none for the empty condition.
    pub fn root(&self) -> Option<&Condition> {
        self.root.as_ref()
    }

    /// Finds the fields and gives every part its type. All faults are told at once, in the order of the text.
    pub fn bind(&self, form: &BoundForm, purpose: Purpose<'_>) -> Result<BoundQualification, Faults> {
        let (root, warnings) = bind::bind(self.root.as_ref(), form, purpose)?;
        let requirements = requirement::requirements(&root, form);
        let program = Arc::new(Program { root, warnings, requirements });
        Ok(BoundQualification { source: self.clone(), program })
    }
}

impl PartialEq for Qualification {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Qualification {}

/// What a condition is for; it decides what it may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose<'a> {
    /// Whether a webhook wants an event, for a webhook that listens to these.
    Webhook(&'a [Verb]),
    /// Which rows are entries of the form: about one row, so without `TR.`, `DB.`, CHANGED, and without keywords
    /// that depend on who, when or how.
    Entries,
}

/// How the texts of conditions are read; one for a whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// Whether letter case counts.
    pub case: Case,
    /// For date and time texts without offset, `$DATE$`, `$WEEKDAY$`, and `timestamp` columns.
    pub time_zone: jiff::tz::TimeZone,
    /// Further forms of date and time texts, as strftime has them: `%d.%m.%Y %H:%M`.
    pub date_formats: Vec<String>,
    /// `$SERVER$`.
    pub server: String,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            case: Case::Database,
            time_zone: jiff::tz::TimeZone::UTC,
            date_formats: Vec::new(),
            server: "walhook".to_owned(),
        }
    }
}

/// Whether letter case counts where texts are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Case {
    /// As in the database: it counts but for `citext` columns and non-deterministic collations.
    #[default]
    Database,
    /// It counts.
    Sensitive,
    /// It does not.
    Insensitive,
}

/// What a condition is judged by.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The form that the condition was bound to; the rows are in its columns.
    pub form: &'a BoundForm,
    /// `$OPERATION$`.
    pub verb: Verb,
    /// The row before, as far as it is known.
    pub old: &'a OldRow,
    /// The row after; none on delete.
    pub new: Option<&'a Row>,
    /// `$TIMESTAMP$`, in microseconds since 1970 UTC.
    pub committed_at_us: i64,
    /// `$USER$`.
    pub user: Option<&'a str>,
}

/// Why a condition could not be judged for one event.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Failure {
    /// Where in the text, in bytes.
    pub place: Range<usize>,
    /// Why: `division by zero`.
    pub reason: String,
}

/// A condition with its fields found and its constants read.
#[derive(Clone, Debug)]
pub struct BoundQualification {
    source: Qualification,
    program: Arc<Program>,
}

/// What binding has made, shared by all copies.
#[derive(Debug)]
struct Program {
    root: program::Node,
    warnings: Vec<Fault>,
    requirements: Vec<Requirement>,
}

impl BoundQualification {
    /// What it was made of.
    pub fn qualification(&self) -> &Qualification {
        &self.source
    }

    /// What works but is probably not meant: keywords that only a client of AR System fills. In text order.
    pub fn warnings(&self) -> &[Fault] {
        &self.program.warnings
    }

    /// Whether the event meets the condition. Only [`Truth::True`] delivers.
    ///
    /// What could not be judged is a failure only where it decides: `false AND` a failure is false, `true OR` a
    /// failure is true, and at the top, where only true delivers, `unknown AND` a failure is unknown. So the verdict
    /// does not depend on the order of the text, nor on whether an index has looked at a part of it before.
    pub fn judge(&self, facts: &Facts<'_>) -> Result<Truth, Failure> {
        judge::judge(&self.program.root, facts)
    }

    /// The verdict of each comparison, in the order of the text, whether it decided or not.
    pub fn explain(&self, facts: &Facts<'_>) -> Vec<Explained> {
        let mut leaves = Vec::new();
        self.program.root.leaves(&mut leaves);
        let explained =
            |leaf: &program::Leaf| Explained { place: leaf.place.clone(), verdict: judge::leaf(leaf, facts) };
        leaves.into_iter().map(explained).collect()
    }

    /// The columns that it looks at, each once, in their order.
    pub fn columns(&self) -> Vec<usize> {
        let mut columns = Vec::new();
        self.program.root.columns(&mut columns);
        columns.sort_unstable();
        columns.dedup();
        columns
    }

    /// What must hold of an event for the condition to be true, as far as it can be looked up in an index. An event
    /// that fails any of these tests cannot meet the condition; they are read from the `AND`s at the top.
    pub fn requirements(&self) -> Vec<Requirement> {
        self.program.requirements.clone()
    }
}

impl PartialEq for BoundQualification {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source
    }
}

/// A comparison with its verdict.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// Where in the text, in bytes.
    pub place: Range<usize>,
    /// What it came to.
    pub verdict: Result<Truth, Failure>,
}

/// A test that an index can make for many conditions at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// The value that a plain reference to the column has is one of these, as [`key_of`] writes them.
    OneOf {
        /// The column, and how its values become keys.
        probe: Probe,
        /// The keys.
        keys: Vec<Vec<u8>>,
    },
    /// The column differs between the old and the new row, or the event is a create.
    Changed {
        /// The column.
        column: usize,
    },
}

/// Which column an index looks at, and how its values become keys. Conditions with equal probes share one look.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Probe {
    /// The column.
    pub column: usize,
    /// Whether letter case is folded away.
    pub folds_case: bool,
}

/// What a probe finds in an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A value: its key has been written.
    Key,
    /// NULL: it equals nothing.
    Null,
    /// The value is not known or cannot be read: conditions that ask for it have to be judged one by one.
    Unknown,
}

/// Writes the key of an event's value into `key`, which is cleared before. Values that `=` calls equal have the same
/// key.
pub fn key_of(probe: &Probe, facts: &Facts<'_>, key: &mut Vec<u8>) -> Found {
    requirement::key_of(probe, facts, key)
}
