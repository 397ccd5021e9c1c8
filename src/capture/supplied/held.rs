//! What is known of an entry's fields in another table, and what a change of a row there makes of it.

use crate::change::{Datum, Row};

/// What is known of one field of an entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Held {
    /// Its value.
    pub(super) value: Value,
    /// The row that it stands in.
    pub(super) by: Option<String>,
    /// Whether the log has told it, and not the database.
    pub(super) is_told: bool,
}

/// What a row says: of which fields, by their numbers in the table, and their values as far as they are known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// The row.
    pub(super) by: String,
    pub(super) fields: Fields,
}

/// Fields by their numbers in the table.
pub(super) type Fields = Vec<(usize, Value)>;

/// A value as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Value {
    #[default]
    Null,
    Text(String),
    Unknown,
}

impl Value {
    pub(super) fn datum(&self) -> Datum<'_> {
        match self {
            Self::Null => Datum::Null,
            Self::Text(text) => Datum::Text(text),
            Self::Unknown => Datum::Unchanged,
        }
    }

    pub(super) fn of(datum: Datum<'_>) -> Self {
        match datum {
            Datum::Null => Self::Null,
            Datum::Text(text) => Self::Text(text.to_owned()),
            Datum::Unchanged => Self::Unknown,
        }
    }
}

/// What a row that has come and one that has gone make of what is held: the fields with their values before and after.
pub(super) fn advance(held: &mut [Held], gone: &Said, come: &Said) -> Vec<(usize, Value, Value)> {
    let mut told = Vec::new();
    let before = |held: &Held, field: usize| {
        let said = gone.fields.iter().find(|(one, value)| *one == field && *value != Value::Unknown);
        match said {
            Some((_, value)) => value.clone(),
            None if held.is_told => held.value.clone(),
            None => Value::Unknown,
        }
    };
    // a large value that was not sent has not changed
    for (field, value) in come.fields.iter().filter(|(_, value)| *value != Value::Unknown) {
        let Some(known) = held.get_mut(*field) else { continue };
        told.push((*field, before(known, *field), value.clone()));
        *known = Held { value: value.clone(), by: Some(come.by.clone()), is_told: true };
    }
    let stays = |field: &usize| come.fields.iter().any(|(one, _)| one == field);
    for (field, _) in gone.fields.iter().filter(|(field, _)| !stays(field)) {
        let Some(known) = held.get_mut(*field) else { continue };
        // another row has it by now
        if known.by.as_deref().is_some_and(|by| by != gone.by) {
            continue;
        }
        told.push((*field, before(known, *field), Value::Null));
        *known = Held { is_told: true, ..Held::default() };
    }
    told.retain(|(_, before, after)| before != after);
    told
}

pub(super) fn to_row(held: &[Held]) -> Row {
    let cells = held.iter().flat_map(|held| {
        let by = held.by.as_deref().map_or(Datum::Null, Datum::Text);
        [held.value.datum(), by, if held.is_told { Datum::Text("t") } else { Datum::Null }]
    });
    cells.collect()
}

pub(super) fn of_row(row: &Row) -> Vec<Held> {
    let held = |field: usize| Held {
        value: Value::of(row.datum(3 * field)),
        by: match row.datum(3 * field + 1) {
            Datum::Text(by) => Some(by.to_owned()),
            Datum::Null | Datum::Unchanged => None,
        },
        is_told: row.datum(3 * field + 2) != Datum::Null,
    };
    (0..row.len() / 3).map(held).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `a:0=x`: the row, the field, its value; `?` is one that is not known.
    fn said(text: &str) -> Said {
        let Some((by, fields)) = text.split_once(':') else { return Said::default() };
        let field = |text: &str| {
            let (field, value) = text.split_once('=').unwrap();
            (field.parse().unwrap(), value_of(value))
        };
        Said { by: by.into(), fields: fields.split(' ').map(field).collect() }
    }

    fn value_of(text: &str) -> Value {
        match text {
            "NULL" => Value::Null,
            "?" => Value::Unknown,
            text => Value::Text(text.into()),
        }
    }

    fn told(held: &mut [Held], gone: &str, come: &str) -> String {
        let text = |value: &Value| match value {
            Value::Null => "NULL".to_owned(),
            Value::Unknown => "?".to_owned(),
            Value::Text(text) => text.clone(),
        };
        let told = advance(held, &said(gone), &said(come));
        let told =
            told.iter().map(|(field, before, after)| format!("{field}:{}>{}", text(before), text(after)));
        told.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn values_come_change_and_go() {
        let mut held = vec![Held { is_told: true, ..Held::default() }; 2];
        assert_eq!(told(&mut held, "", "a:0=x"), "0:NULL>x");
        assert_eq!(told(&mut held, "a:0=x", "a:0=y"), "0:x>y");
        assert_eq!(told(&mut held, "a:0=y", "a:0=y"), "");
        // an update without old values, and one that did not send a large value
        assert_eq!(told(&mut held, "a:0=?", "a:0=z"), "0:y>z");
        assert_eq!(told(&mut held, "a:0=?", "a:0=?"), "");
        // the row is of another field now
        assert_eq!(told(&mut held, "a:0=z", "a:1=z"), "1:NULL>z 0:z>NULL");
        assert_eq!(told(&mut held, "a:1=z", ""), "1:z>NULL");
        assert_eq!(told(&mut held, "", "a:7=x"), "", "no such field");
    }

    #[test]
    fn a_row_that_another_has_taken_over_from_says_nothing_when_it_goes() {
        let mut held = vec![Held::default()];
        assert_eq!(told(&mut held, "", "a:0=x"), "0:?>x", "what was before, the log has not told");
        assert_eq!(told(&mut held, "", "b:0=y"), "0:x>y");
        assert_eq!(told(&mut held, "a:0=x", ""), "");
        assert_eq!(told(&mut held, "b:0=?", ""), "0:y>NULL");
    }

    #[test]
    fn what_is_held_comes_back_from_its_row() {
        let mut held = vec![Held::default(); 3];
        told(&mut held, "", "a:0=x 1=NULL");
        assert_eq!(of_row(&to_row(&held)), held);
    }
}
