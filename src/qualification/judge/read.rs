//! What stands in a column, as a value.

use crate::qualification::Dialect;
use crate::qualification::number::Number;
use crate::qualification::program::{Member, Reading, Value};
use crate::qualification::time::{read_date, read_instant, read_time};
use crate::value::{Kind, Moment, Selection};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

impl Reading {
    /// How values of a kind are read.
    pub(crate) fn of(kind: &Kind) -> Self {
        match kind {
            Kind::Text { padded, .. } => Self::Text { padded: *padded },
            Kind::Number { .. } => Self::Number,
            Kind::Selection(selection) => Self::Selection(selection.clone()),
            Kind::Instant(moment) => Self::Instant(*moment),
            Kind::Date => Self::Date,
            Kind::Time { seconds } => Self::Time { seconds: *seconds },
            Kind::Diary { .. } => Self::Diary,
            Kind::Currency | Kind::StatusHistory | Kind::Attachment | Kind::Opaque => Self::Presence,
        }
    }

    /// The value that a text stands for. `Err` says what the text is not; it does not repeat the text, which may be
    /// secret.
    pub(crate) fn read<'a>(&self, text: &'a str, dialect: &Dialect) -> Result<Value<'a>, &'static str> {
        match self {
            Self::Text { padded: false } => Ok(Value::Text(Cow::Borrowed(text))),
            Self::Text { padded: true } => Ok(Value::Text(Cow::Borrowed(text.trim_end_matches(' ')))),
            Self::Number => number(text),
            Self::Selection(selection) => choice(selection, text),
            Self::Instant(moment) => instant(text, *moment, dialect),
            Self::Date => read_date(text).map(Value::Date).ok_or("a date"),
            Self::Time { seconds } => read_time(text, *seconds).map(Value::Time).ok_or("a time of day"),
            Self::Diary => Ok(Value::Text(diary(text))),
            Self::Member { path, meaning } => member(text, path, *meaning, dialect),
            Self::Presence => Ok(Value::Opaque(text)),
        }
    }
}

fn number(text: &str) -> Result<Value<'static>, &'static str> {
    Number::read(text).map(Value::of_number).ok_or("a number")
}

fn instant(text: &str, moment: Moment, dialect: &Dialect) -> Result<Value<'static>, &'static str> {
    read_instant(text, moment, dialect).map(Value::Instant).ok_or("a date and time")
}

/// The number of a choice. What stands in the column may be a number that is no choice (any more): it is itself.
fn choice(selection: &Selection, text: &str) -> Result<Value<'static>, &'static str> {
    match selection.by_stored(text) {
        Some(choice) => Ok(Value::of_number(Number::from_i64(choice.number))),
        None => Number::read(text).map(Value::of_number).ok_or("one of its choices"),
    }
}

/// The texts of a diary's entries, one below the other.
///
/// A column may hold AR System's own form (entries separated by U+0003, each time, U+0004, user, U+0004, text), a
/// JSON array of strings or of objects with `text`, or just a text.
fn diary(stored: &str) -> Cow<'_, str> {
    if stored.contains('\u{4}') {
        let entries = stored.split('\u{3}').filter(|entry| !entry.is_empty());
        let texts: Vec<&str> =
            entries.map(|entry| entry.splitn(3, '\u{4}').last().unwrap_or(entry)).collect();
        return match texts.as_slice() {
            [only] => Cow::Borrowed(*only),
            texts => Cow::Owned(texts.join("\n")),
        };
    }
    if stored.trim_start().starts_with('[')
        && let Ok(entries) = serde_json::from_str::<Vec<&RawValue>>(stored)
        && let Some(texts) = entries.into_iter().map(entry_text).collect::<Option<Vec<_>>>()
    {
        return Cow::Owned(texts.join("\n"));
    }
    Cow::Borrowed(stored)
}

fn entry_text(entry: &RawValue) -> Option<String> {
    if entry.get().starts_with('{') {
        let object: BTreeMap<String, &RawValue> = serde_json::from_str(entry.get()).ok()?;
        return serde_json::from_str(object.get("text")?.get()).ok();
    }
    serde_json::from_str(entry.get()).ok()
}

/// A member of a JSON object; NULL where it is not there.
fn member<'a>(
    text: &'a str,
    path: &[String],
    meaning: Member,
    dialect: &Dialect,
) -> Result<Value<'a>, &'static str> {
    let mut text = text;
    for key in path {
        let object: BTreeMap<String, &'a RawValue> =
            serde_json::from_str(text).map_err(|_| "a JSON object with its parts")?;
        let found = object.iter().find(|(candidate, _)| candidate.eq_ignore_ascii_case(key));
        match found.map(|(_, value)| value.get()) {
            None | Some("null") => return Ok(Value::Null),
            Some(value) => text = value,
        }
    }
    let is_string = text.starts_with('"');
    let text = if is_string {
        Cow::Owned(serde_json::from_str::<String>(text).map_err(|_| "a text in JSON")?)
    } else {
        Cow::Borrowed(text)
    };
    match meaning {
        Member::Text => Ok(Value::Text(text)),
        Member::Number => number(&text),
        Member::Instant if is_string => instant(&text, Moment::Zoned, dialect),
        Member::Instant => instant(&text, Moment::Epoch, dialect),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diary_is_the_text_of_its_entries() {
        let check = |stored: &str, text: &str| assert_eq!(diary(stored), text, "{stored}");
        check("just a text", "just a text");
        check("1\u{4}Ann\u{4}first\u{3}2\u{4}Bob\u{4}second\u{3}", "first\nsecond");
        check("1\u{4}Ann\u{4}only", "only");
        check(r#"["first", "second"]"#, "first\nsecond");
        check(r#"[{"text": "fi\"rst", "user": "Ann"}, {"text": "second"}]"#, "fi\"rst\nsecond");
        check("[not JSON", "[not JSON");
        check(r#"[{"note": "without text"}]"#, r#"[{"note": "without text"}]"#);
    }
}
