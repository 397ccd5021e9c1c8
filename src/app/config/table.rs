//! What was read: values of the kinds that were declared, each with its place.

use crate::secret::Secret;
use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

/// A value. What was wrong is noted elsewhere and stands as none.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Text(String),
    Secret(Secret),
    Word(&'static str),
    Flag(bool),
    Whole(u64),
    Duration(Duration),
    Size(u64),
    /// The text of a JSON object.
    Json(String),
    List(Vec<Placed>),
    Table(Table),
}

/// A value with its place.
pub(super) type Placed = (Range<usize>, Option<Value>);

/// A key with its value.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name_span: Range<usize>,
    pub(super) span: Range<usize>,
    /// Whether the file has it, or the default holds.
    pub(super) given: bool,
    pub(super) value: Option<Value>,
}

/// A table. The methods answer with nothing where the key is absent or its value was wrong; asking for another
/// kind than the declared one is a bug.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub(super) span: Range<usize>,
    /// As problems name it: `webhooks[2].callback`.
    pub(super) path: String,
    pub(super) entries: BTreeMap<String, Entry>,
}

macro_rules! declared {
    ($($(#[$doc:meta])* $method:ident -> $variant:ident($type:ty);)*) => {
        $(
            $(#[$doc])*
            pub(super) fn $method(&self, name: &str) -> Option<&$type> {
                match self.value(name)? {
                    Value::$variant(value) => Some(value),
                    other => unreachable!("{}.{name} is declared otherwise: {other:?}", self.path),
                }
            }
        )*
    };
}

impl Table {
    declared! {
        text -> Text(String);
        secret -> Secret(Secret);
        word -> Word(&'static str);
        flag -> Flag(bool);
        whole -> Whole(u64);
        duration -> Duration(Duration);
        size -> Size(u64);
        json -> Json(String);
        list -> List(Vec<Placed>);
        table -> Table(Table);
    }

    pub(super) fn value(&self, name: &str) -> Option<&Value> {
        self.entries.get(name)?.value.as_ref()
    }

    /// Whether the file says something there, right or wrong.
    pub(super) fn says(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|entry| entry.given)
    }

    /// Where a value stands; the table's own place where it is absent.
    pub(super) fn place(&self, name: &str) -> Range<usize> {
        self.entries.get(name).map_or_else(|| self.span.clone(), |entry| entry.span.clone())
    }

    /// The texts of a list, with their places.
    pub(super) fn texts<'a>(
        &'a self,
        name: &'a str,
    ) -> impl Iterator<Item = (Range<usize>, &'a str)> + use<'a> {
        self.list(name).into_iter().flatten().filter_map(move |(span, value)| match value.as_ref()? {
            Value::Text(text) => Some((span.clone(), text.as_str())),
            Value::Word(word) => Some((span.clone(), *word)),
            other => unreachable!("{name} is declared otherwise: {other:?}"),
        })
    }

    /// The texts of a list.
    pub(super) fn strings(&self, name: &str) -> Vec<String> {
        self.texts(name).map(|(_, text)| text.to_owned()).collect()
    }

    /// The spans of time of a list.
    pub(super) fn durations(&self, name: &str) -> Option<Vec<Duration>> {
        let list = self.list(name)?.iter().filter_map(|(_, value)| match value.as_ref()? {
            Value::Duration(duration) => Some(*duration),
            other => unreachable!("{name} is declared otherwise: {other:?}"),
        });
        Some(list.collect())
    }

    /// The tables of a list.
    pub(super) fn tables(&self, name: &str) -> Vec<&Self> {
        let tables = self.list(name).into_iter().flatten().filter_map(|(_, value)| match value.as_ref()? {
            Value::Table(table) => Some(table),
            other => unreachable!("{name} is declared otherwise: {other:?}"),
        });
        tables.collect()
    }
}
