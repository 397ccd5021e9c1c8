//! What is wrong with the text of a condition, and how it is shown.

use std::fmt;
use std::ops::Range;

/// When a fault shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The text is not in the grammar.
    Parse,
    /// The text does not fit the form.
    Bind,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When it shows.
    pub phase: Phase,
    /// Where in the text, in bytes; an empty range at the end means that something is missing there.
    pub place: Range<usize>,
    /// What is wrong, in lower case without full stop: `there is no field 'Stauts'`.
    pub message: String,
    /// What to write instead: `did you mean 'Status'?`.
    pub remedy: Option<String>,
}

/// All that is wrong, at least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Fault {
    /// The fault drawn below its line of the text, with line and column (in characters, from 1) and a caret.
    pub fn draw(&self, text: &str) -> String {
        todo!("{text}")
    }
}

impl fmt::Display for Fault {
    /// In one line, without the text: `line 1, column 3: there is no field 'Stauts' (did you mean 'Status'?)` needs
    /// the text; this is the message and the remedy only.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}
