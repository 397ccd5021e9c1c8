//! A form with a column of each kind, and events out of bytes.

use std::sync::Arc;
use walhook::change::{Column, Datum, OldRow, Relation, ReplicaIdentity, Row};
use walhook::event::Verb;
use walhook::form::{BoundField, BoundForm, Fold, Form, OldValues};
use walhook::qualification::{Dialect, Facts};
use walhook::value::{Choice, Kind, Moment, Selection, Type};

/// A column with the values that it can have; `?` is a value that was not sent.
pub struct Invented {
    /// The name of the field.
    pub name: &'static str,
    /// Its number.
    pub id: u64,
    /// What it holds.
    pub kind: fn() -> Kind,
    /// In PostgreSQL's text form; none is NULL.
    pub values: &'static [Option<&'static str>],
}

/// The columns; the first one is the key.
pub const COLUMNS: [Invented; 13] = [
    Invented { name: "Request ID", id: 1, kind: whole, values: &[Some("1"), Some("2")] },
    Invented {
        name: "Name",
        id: 8,
        kind: text,
        values: &[None, Some(""), Some("Bob"), Some("bob"), Some("Bob%"), Some("5"), Some("a\nb")],
    },
    Invented {
        name: "Mail",
        id: 9,
        kind: folding,
        values: &[None, Some("Bob"), Some("BOB"), Some("É"), Some("?")],
    },
    Invented {
        name: "Code",
        id: 10,
        kind: padded,
        values: &[None, Some("Bob   "), Some("5     "), Some("      ")],
    },
    Invented {
        name: "Count",
        id: 11,
        kind: whole,
        values: &[
            None,
            Some("0"),
            Some("5"),
            Some("-7"),
            Some("3"),
            Some("100000000000000000000"),
            Some("five"),
        ],
    },
    Invented {
        name: "Price",
        id: 12,
        kind: decimal,
        values: &[None, Some("0"), Some("19.90"), Some("2.5"), Some("-0.1"), Some("5")],
    },
    Invented {
        name: "Status",
        id: 7,
        kind: status,
        values: &[None, Some("0"), Some("1"), Some("4"), Some("9")],
    },
    Invented { name: "Active", id: 13, kind: active, values: &[None, Some("t"), Some("f")] },
    Invented {
        name: "Create Date",
        id: 3,
        kind: instant,
        values: &[
            None,
            Some("2024-06-12 08:30:00+00"),
            Some("2024-06-12 22:30:00+00"),
            Some("1970-01-01 00:00:05+00"),
        ],
    },
    Invented {
        name: "Due",
        id: 14,
        kind: date,
        values: &[None, Some("2024-06-12"), Some("2024-06-13"), Some("1970-01-01")],
    },
    Invented {
        name: "Start",
        id: 15,
        kind: time,
        values: &[None, Some("00:00:05"), Some("09:30:00"), Some("10:30:00")],
    },
    Invented { name: "Document", id: 16, kind: || Kind::Opaque, values: &[None, Some("{}"), Some("[1]")] },
    Invented {
        name: "Log",
        id: 17,
        kind: || Kind::Diary { folds_case: false },
        values: &[None, Some("Bob called")],
    },
];

/// When all events happened: 12 June 2024, 10:30 in the form's time zone, two hours east.
pub const NOW_US: i64 = 1_718_181_000 * 1_000_000;

fn text() -> Kind {
    Kind::Text { folds_case: false, padded: false }
}

fn folding() -> Kind {
    Kind::Text { folds_case: true, padded: false }
}

fn padded() -> Kind {
    Kind::Text { folds_case: false, padded: true }
}

fn whole() -> Kind {
    Kind::Number { whole: true }
}

fn decimal() -> Kind {
    Kind::Number { whole: false }
}

fn instant() -> Kind {
    Kind::Instant(Moment::Zoned)
}

fn date() -> Kind {
    Kind::Date
}

fn time() -> Kind {
    Kind::Time { seconds: false }
}

fn status() -> Kind {
    selection(&[(0, "0", "New"), (1, "1", "Assigned"), (4, "4", "Closed"), (7, "7", "3")])
}

fn active() -> Kind {
    selection(&[(0, "f", "false"), (1, "t", "true")])
}

fn selection(choices: &[(i64, &str, &str)]) -> Kind {
    let choice = |&(number, stored, label): &(i64, &str, &str)| Choice {
        number,
        stored: stored.to_owned(),
        label: label.to_owned(),
    };
    Kind::Selection(Arc::new(Selection { choices: choices.iter().map(choice).collect() }))
}

/// The form.
pub fn form() -> BoundForm {
    let column = |column: &Invented| Column {
        name: column.name.to_owned(),
        type_oid: 25,
        type_modifier: -1,
        in_identity: true,
    };
    let time_zone = jiff::tz::TimeZone::fixed(jiff::tz::offset(2));
    let form = Form {
        name: "HPD:Help Desk".to_owned(),
        noun: "request".to_owned(),
        schema: None,
        table: "requests".to_owned(),
        entry_id: vec![],
        record_id: None,
        old_values: OldValues::Auto,
        fold: Fold::Transaction,
        ignore: vec![],
        unset: vec![],
        hidden: vec![],
        fields: vec![],
        happenings: walhook::happening::Happenings::default(),
        itrp: walhook::form::ItrpFields::default(),
        belonging: None,
        referred_by: vec![],
        unchanged_updates: false,
        value_bytes_max: 1 << 20,
        entries: None,
        supplied: vec![],
        deleted: None,
        attachments: walhook::attachment::Attachments::default(),
        parts: vec![],
        dialect: Arc::new(Dialect { time_zone, ..Dialect::default() }),
    };
    let field = |(column, invented): (usize, &Invented)| BoundField {
        name: invented.name.to_owned(),
        id: Some(invented.id),
        column,
        type_: Type::Text,
        kind: (invented.kind)(),
    };
    BoundForm {
        form: Arc::new(form),
        relation: Arc::new(Relation {
            id: 1,
            schema: "public".to_owned(),
            name: "requests".to_owned(),
            identity: ReplicaIdentity::Full,
            columns: COLUMNS.iter().map(column).collect(),
        }),
        fields: COLUMNS.iter().enumerate().map(field).collect(),
        key: vec![0],
        former: vec![],
        entry_id: vec![0],
        record_id: None,
        ignored: vec![false; COLUMNS.len()],
        uses_old_values: true,
        delete_insert_is_merge: true,
        happenings: walhook::happening::BoundHappenings::default(),
        belonging: None,
        parts: vec![],
        entries: None,
        deleted: None,
        attachments: vec![],
    }
}

/// How many bytes an event is made of.
pub const EVENT_BYTES: usize = 2 + 2 * COLUMNS.len();

/// A change of an entry.
#[derive(Debug)]
pub struct Event {
    /// What happened.
    pub verb: Verb,
    /// The row before.
    pub old: OldRow,
    /// The row after.
    pub new: Option<Row>,
    /// Who did it.
    pub user: Option<&'static str>,
}

impl Event {
    /// An event out of [`EVENT_BYTES`] bytes; missing ones are 0.
    pub fn of(bytes: &[u8]) -> Self {
        let byte = |at: usize| usize::from(bytes.get(at).copied().unwrap_or(0));
        let verb = Verb::OF_ROWS[byte(0) % 4];
        let knows_old = verb != Verb::Create;
        let whole = byte(1) % 4 < 2;
        let row = |shift: usize, may_be_unsent: bool| -> Row {
            let value = |(at, column): (usize, &Invented)| {
                // half of the columns stay what they were
                let other = byte(2 + COLUMNS.len() + at);
                let choice = if shift == 1 && other % 2 == 1 { other / 2 } else { byte(2 + at) };
                match column.values[choice % column.values.len()] {
                    None => Datum::Null,
                    Some("?") if may_be_unsent => Datum::Unchanged,
                    Some("?") => Datum::Text("large"),
                    Some(text) => Datum::Text(text),
                }
            };
            COLUMNS.iter().enumerate().map(value).collect()
        };
        let old = match byte(1) % 4 {
            _ if !knows_old => OldRow::Absent,
            0 | 1 => OldRow::Full(row(0, false)),
            2 => OldRow::Key(row(0, false)),
            _ => OldRow::Absent,
        };
        // what was not sent is what it was
        let unsent = whole && verb == Verb::Update && byte(2 + COLUMNS.len() + 2) % 2 == 0;
        let new = (verb != Verb::Delete).then(|| row(1, unsent));
        Self { verb, old, new, user: [None, Some("Bob")][byte(1) / 4 % 2] }
    }

    /// What a condition is judged by.
    pub fn facts<'a>(&'a self, form: &'a BoundForm) -> Facts<'a> {
        Facts {
            form,
            verb: self.verb,
            old: &self.old,
            new: self.new.as_ref(),
            committed_at_us: NOW_US,
            user: self.user,
        }
    }
}
