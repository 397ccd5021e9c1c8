//! Form events: what a change means in business words.

use crate::attachment::Enclosed;
use crate::change::Datum;
use crate::change::{OldRow, Row};
use crate::form::{BoundField, BoundForm, Lane};
use crate::lsn::Position;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

/// What happened to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verb {
    /// It appeared.
    Create,
    /// It changed.
    Update,
    /// It was written over as a whole: deleted and inserted under its key in one transaction, or what the form
    /// calls a merge.
    Merge,
    /// Something that the form has a word for: `status-changed`, `note-added`.
    Named(Word),
    /// It vanished.
    Delete,
}

impl Verb {
    /// The verbs that every form has, in the order in which an entry meets them. Those with a word of the form's come
    /// before the delete.
    pub const OF_ROWS: [Self; 4] = [Self::Create, Self::Update, Self::Merge, Self::Delete];

    /// A rule of the operator's says that somebody is to be told.
    pub const AUTOMATION_RULE: Self = Self::Named(Word::literal("automation_rule"));

    /// The word: `create`.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Merge => "merge",
            Self::Named(word) => word.as_str(),
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
    type Err = NoWord;

    /// In any letter case. Whether a form has that word, the form knows.
    fn from_str(text: &str) -> Result<Self, NoWord> {
        match Self::OF_ROWS.into_iter().find(|verb| verb.as_str().eq_ignore_ascii_case(text)) {
            Some(verb) => Ok(verb),
            None => Word::new(&text.to_ascii_lowercase()).map(Self::Named),
        }
    }
}

/// A word that a form has for something that happens: lower case letters, digits, `-` and `_`, a letter first, at most
/// [`Word::BYTES_MAX`] of them. It is kept in place, so that a verb is copied like a number.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Word {
    /// Zeroes behind the end: so the order is that of the texts.
    bytes: [u8; Self::BYTES_MAX],
}

/// A text that can be no word for an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "an event has lower case letters, digits, - and _, a letter first, and at most {} of them",
    Word::BYTES_MAX
)]
pub struct NoWord;

impl Word {
    /// The longest word there can be.
    pub const BYTES_MAX: usize = 40;

    /// The word of that text.
    pub fn new(text: &str) -> Result<Self, NoWord> {
        let fits =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_');
        let is_word = text.len() <= Self::BYTES_MAX
            && text.bytes().next().is_some_and(|first| first.is_ascii_lowercase())
            && text.bytes().all(fits);
        if is_word { Ok(Self::literal(text)) } else { Err(NoWord) }
    }

    /// Copies a text that is a word.
    const fn literal(text: &str) -> Self {
        let mut bytes = [0; Self::BYTES_MAX];
        let mut at = 0;
        while at < text.len() {
            bytes[at] = text.as_bytes()[at];
            at += 1;
        }
        Self { bytes }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        let end = self.bytes.iter().position(|byte| *byte == 0).unwrap_or(Self::BYTES_MAX);
        std::str::from_utf8(&self.bytes[..end]).expect("a word is ASCII")
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
    /// The row before, as far as the log tells. `Absent` or `NoRow` on create.
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
    /// Who, how, and what the event tells beside the row.
    pub circumstances: Arc<Circumstances>,
}

/// What is known of a change beside its rows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Circumstances {
    /// Who made it, where a message in the log or a column says so.
    pub actor: Option<String>,
    /// That person's name, where it stands apart.
    pub actor_name: Option<String>,
    /// What sessions were marked with by messages in the log.
    pub marks: Vec<String>,
    /// Whether it is part of a bulk import, as a message in the log says.
    pub is_bulk: bool,
    /// On merge: the entry that this one was merged into, as its column has it.
    pub merged_into: Option<String>,
    /// What an event with a word of the form's own is about.
    pub detail: Detail,
    /// Of [`Verb::AUTOMATION_RULE`]: the name of the rule.
    pub rule: Option<String>,
    /// The names of the webhooks that are told; none means all that listen.
    pub told_webhooks: Vec<String>,
    /// The files that go with it. They are not kept with an event that is held: the row says where they are.
    #[serde(skip)]
    pub enclosed: Enclosed,
}

impl Circumstances {
    /// Nothing is known, as of most changes.
    pub fn none() -> Arc<Self> {
        static NONE: LazyLock<Arc<Circumstances>> = LazyLock::new(Arc::default);
        Arc::clone(&NONE)
    }
}

/// What an event with a word of the form's own is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Detail {
    /// The entry itself.
    #[default]
    Entry,
    /// The change of a field, by its name.
    Transition {
        /// The field.
        field: String,
    },
    /// A row of another table that belongs to the entry.
    Child {
        /// Its key, as an entry id would be written.
        id: String,
        /// Its fields, a JSON object.
        fields: String,
    },
    /// What somebody wanted to be told, a JSON object.
    Payload(String),
}

impl FormEvent {
    /// The row that the event is about: the new one, on delete the old one as far as it is known.
    pub fn row(&self) -> Option<&Row> {
        self.new.as_ref().or_else(|| self.old.row())
    }

    /// What tells it from others of the same change: the verb; of a rule, its name, for several may speak at once.
    pub fn name(&self) -> Verb {
        let rule = self.circumstances.rule.as_deref();
        rule.and_then(|rule| Word::new(rule).ok()).map_or(self.verb, Verb::Named)
    }

    /// Whether the entry was there before.
    pub fn existed(&self) -> bool {
        self.verb != Verb::Create && self.old != OldRow::NoRow
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
            (None, OldRow::Key(_) | OldRow::Absent | OldRow::NoRow) => Datum::Unchanged,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_read_in_any_letter_case_and_stand_in_the_order_in_which_an_entry_meets_them() {
        let mut verbs = ["delete", "Status-Changed", "CREATE", "note-added", "merge", "update"]
            .map(|text| text.parse::<Verb>().unwrap());
        verbs.sort_unstable();
        let texts = verbs.map(|verb| verb.to_string());
        assert_eq!(texts, ["create", "update", "merge", "note-added", "status-changed", "delete"]);
        assert_eq!("automation_rule".parse(), Ok(Verb::AUTOMATION_RULE));
    }

    #[test]
    fn what_is_no_word_is_refused() {
        let longest = "x".repeat(Word::BYTES_MAX);
        assert_eq!(Word::new(&longest).unwrap().as_str(), longest);
        for text in
            ["", "-added", "9lives", "note added", "note.added", "n\0te", "ümlaut", &format!("{longest}x")]
        {
            assert_eq!(text.parse::<Verb>(), Err(NoWord), "{text:?}");
        }
    }
}
