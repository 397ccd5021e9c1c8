//! What the changes of an entry amount to, against a model that is written from `docs/events.md` and shares nothing with
//! the fold: it looks at the row before the transaction and the one after it, and at what lay between only where the page
//! says that this counts.

use super::*;
use crate::event::Word;
use crate::form::{Deleted, Form, sample};
use crate::happening::BoundTransition;
use crate::lsn::Lsn;
use crate::qualification::{Purpose, Qualification};
use crate::value::Type;
use proptest::prelude::*;

const COLUMNS: [&str; 6] = ["id", "status", "note", "gone", "merged", "seen_at"];
const STATUS: usize = 1;
const NOTE: usize = 2;
const GONE: usize = 3;
const MERGED: usize = 4;
const SEEN_AT: usize = 5;

/// A row: its values by column; None is NULL.
type Values = [Option<&'static str>; 6];

/// A word, its field, and what that changes from and to; nothing means anything.
type Words = (&'static str, usize, &'static [&'static str], &'static [&'static str]);

const TRANSITIONS: [Words; 4] = [
    ("reopened", STATUS, &["Closed"], &["New", "Open"]),
    ("closed", STATUS, &[], &["Closed"]),
    ("note-changed", NOTE, &[], &[]),
    // it shares its word
    ("closed", NOTE, &["x"], &[]),
];

/// What the operator has said of the form.
#[derive(Clone, Debug)]
struct Told {
    /// Whether `gone` means that an entry is deleted, and which values of it.
    deleted: Option<&'static [&'static str]>,
    /// Whether rows that are New are no entries.
    chooses: bool,
    delete_insert: bool,
    has_marker: bool,
    unchanged_updates: bool,
    /// Whether the table has `REPLICA IDENTITY FULL`.
    is_full: bool,
}

/// What is done.
#[derive(Clone, Debug)]
enum Act {
    /// The row has these values from now on, be it new or not; none: it is deleted.
    Write(Option<Values>),
    /// It is deleted and inserted in one go.
    Replace(Values),
    /// The session says whether what follows are merges.
    Merges(bool),
    /// The application says something of the entry.
    Emit,
}

fn values() -> impl Strategy<Value = Values> {
    let of = |values: &'static [Option<&'static str>]| prop::sample::select(values);
    let columns = (
        of(&[Some("New"), Some("Open"), Some("Closed")]),
        of(&[None, Some("x"), Some("y")]),
        of(&[None, Some("f"), Some("t"), Some("later")]),
        of(&[None, Some("0"), Some("8")]),
        of(&[Some("0"), Some("1")]),
    );
    columns.prop_map(|(status, note, gone, merged, seen_at)| [Some("1"), status, note, gone, merged, seen_at])
}

/// Which values mean that an entry is deleted: there is no such column, any but NULL and false, these.
const DELETED: &[Option<&[&str]>] = &[None, Some(&[]), Some(&["t", "f"])];

fn told() -> impl Strategy<Value = Told> {
    let deleted = prop::sample::select(DELETED);
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), any::<bool>());
    (deleted, flags, prop::bool::weighted(0.8)).prop_map(|(deleted, flags, is_full)| {
        let (chooses, delete_insert, has_marker, unchanged_updates) = flags;
        // which rows are entries is told where old values are
        let is_full = is_full || deleted.is_some() || chooses;
        Told { deleted, chooses, delete_insert, has_marker, unchanged_updates, is_full }
    })
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => values().prop_map(|values| Act::Write(Some(values))),
        2 => Just(Act::Write(None)),
        1 => values().prop_map(Act::Replace),
        1 => any::<bool>().prop_map(Act::Merges),
        2 => Just(Act::Emit),
    ];
    prop::collection::vec(act, 1..7)
}

fn bound(told: &Told) -> Arc<BoundForm> {
    let mut bound = sample::form("Incident", &COLUMNS.map(|name| (name, Type::Text)));
    let deleted = told.deleted.map(|values| Deleted {
        column: "gone".into(),
        values: values.iter().map(|&value| value.into()).collect(),
    });
    bound.form = Arc::new(Form {
        deleted: deleted.clone(),
        unchanged_updates: told.unchanged_updates,
        ..Form::clone(&bound.form)
    });
    bound.deleted = deleted.map(|_| GONE);
    bound.delete_insert_is_merge = told.delete_insert;
    bound.ignored[SEEN_AT] = true;
    bound.happenings.markers = told.has_marker.then_some(MERGED).into_iter().collect();
    bound.happenings.transitions = TRANSITIONS
        .iter()
        .map(|(verb, field, from, to)| BoundTransition {
            verb: Word::new(verb).unwrap(),
            field: *field,
            from: from.iter().map(ToString::to_string).collect(),
            to: to.iter().map(ToString::to_string).collect(),
        })
        .collect();
    if told.chooses {
        let entries = Qualification::parse("'status' != \"New\"").unwrap();
        bound.entries = Some(Arc::new(entries.bind(&bound, Purpose::Entries).unwrap()));
    }
    Arc::new(bound)
}

fn row(values: &Values) -> Row {
    values.iter().map(|value| value.map_or(Datum::Null, Datum::Text)).collect()
}

/// What the log has of the acts, the row being as it is before them; and how it is after them.
fn changes(form: &Arc<BoundForm>, is_full: bool, before: Option<Values>, acts: &[Act]) -> Vec<EntryChange> {
    let old = |values: &Values| {
        if is_full { OldRow::Full(row(values)) } else { OldRow::Absent }
    };
    let deleted = |values: &Values| {
        let mut key = [None; 6];
        key[0] = values[0];
        if is_full { OldRow::Full(row(values)) } else { OldRow::Key(row(&key)) }
    };
    let (mut now, mut marks, mut changes) = (before, None, Vec::new());
    let mut push = |marks: &Option<Arc<Marks>>, is, change| {
        let place = 2 * changes.len() as u64;
        changes.push(EntryChange { place, form: Arc::clone(form), marks: marks.clone(), is, change });
    };
    for act in acts {
        match act {
            Act::Merges(is_merge) => {
                marks = Some(Arc::new(Marks { is_merge: *is_merge, ..Marks::default() }));
            }
            Act::Emit => {
                let entry = now.or(before).unwrap_or([Some("1"), None, None, None, None, None]);
                let told = [Datum::Text("escalated"), Datum::Text("{}")].into_iter().collect();
                let change = RowChange::Update { old: OldRow::Key(row(&entry)), new: told };
                push(&marks, ChangeOf::Emitted, change);
            }
            Act::Write(None) => {
                if let Some(values) = now.take() {
                    push(&marks, ChangeOf::Entry, RowChange::Delete { old: deleted(&values) });
                }
            }
            Act::Write(Some(values)) => {
                let change = match now {
                    Some(known) => RowChange::Update { old: old(&known), new: row(values) },
                    None => RowChange::Insert { new: row(values) },
                };
                push(&marks, ChangeOf::Entry, change);
                now = Some(*values);
            }
            Act::Replace(values) => {
                if let Some(known) = now {
                    push(&marks, ChangeOf::Entry, RowChange::Delete { old: deleted(&known) });
                }
                push(&marks, ChangeOf::Entry, RowChange::Insert { new: row(values) });
                now = Some(*values);
            }
        }
    }
    changes
}

/// What is told: a line for each event.
fn model(told: &Told, is_by_origin: bool, before: Option<Values>, acts: &[Act]) -> Vec<String> {
    let is_entry = |values: &Values| {
        let is_deleted = match (told.deleted, values[GONE]) {
            (None, _) | (_, None) => false,
            (Some([]), Some(value)) => value != "f",
            (Some(values), Some(value)) => values.contains(&value),
        };
        let is_left_out = told.chooses && values[STATUS] == Some("New");
        !is_deleted && !is_left_out
    };
    let (mut now, mut says_merge) = (before, false);
    let (mut is_touched, mut is_said, mut was_deleted, mut emitted) = (false, false, false, 0);
    for act in acts {
        match act {
            Act::Merges(is_merge) => says_merge = *is_merge,
            Act::Emit => emitted += 1,
            Act::Write(None) if now.is_none() => {}
            Act::Write(values) => {
                was_deleted |= values.is_none();
                (now, is_touched, is_said) = (*values, true, is_said || says_merge);
            }
            Act::Replace(values) => {
                was_deleted |= now.is_some();
                (now, is_touched, is_said) = (Some(*values), true, is_said || says_merge);
            }
        }
    }
    let (was, is) = (before.filter(is_entry), now.filter(is_entry));
    let differing: Vec<usize> = match (&was, &is) {
        (Some(was), Some(is)) => (0..COLUMNS.len()).filter(|&column| was[column] != is[column]).collect(),
        _ => vec![],
    };
    let is_idle = was.is_some()
        && is.is_some()
        && told.is_full
        && if differing.is_empty() { !told.unchanged_updates } else { differing == [SEEN_AT] };
    let is_marked = told.has_marker
        && (was.is_none() || told.is_full)
        && is.is_some_and(|is| {
            // a row that was there and no entry may have been marked for long
            is[MERGED].is_some_and(|value| value != "0")
                && before.is_none_or(|before| before[MERGED] != is[MERGED])
        });
    let is_merge = is_said || is_by_origin || was.is_some() && was_deleted && told.delete_insert || is_marked;
    let show = |values: &Values| values.map(|value| value.unwrap_or("NULL")).join(" ");
    let after = is.as_ref().map(show);
    let mut lines = Vec::new();
    let happened = is_touched && !is_idle;
    match (&was, &is) {
        (None, Some(_)) if happened => {
            lines.push(format!(
                "{} -> {}",
                if is_merge { "merge" } else { "create" },
                after.clone().unwrap()
            ));
        }
        (Some(was), Some(is)) if happened => {
            let verb = if is_merge { "merge" } else { "update" };
            let old = if told.is_full { show(was) } else { "?".to_owned() };
            lines.push(format!("{verb} {old} -> {}", after.clone().unwrap()));
            let mut words = Vec::new();
            for (word, column, from, to) in TRANSITIONS.iter().filter(|_| told.is_full) {
                let fits = |values: &[&str], value: Option<&str>| {
                    values.is_empty() || value.is_some_and(|value| values.contains(&value))
                };
                let is_meant =
                    was[*column] != is[*column] && fits(from, was[*column]) && fits(to, is[*column]);
                if is_meant && !words.contains(word) {
                    words.push(*word);
                }
            }
            lines.extend(words.iter().map(|word| format!("{word} {old} -> {}", after.clone().unwrap())));
        }
        _ => {}
    }
    // the application knows of what it speaks, be it an entry or not; but nobody has heard of one that came and went
    if !is_touched || before.is_some() || now.is_some() {
        lines.extend((0..emitted).map(|_| "escalated".to_owned()));
    }
    if let (Some(was), None) = (&was, &is) {
        let old = if told.is_full { show(was) } else { "?".to_owned() };
        lines.push(format!("delete {old} ->"));
    }
    lines
}

/// What the fold tells, in the same way.
fn folded(form: &Arc<BoundForm>, is_by_origin: bool, changes: Vec<EntryChange>) -> Vec<String> {
    let origin = is_by_origin.then(|| "etl".to_owned());
    let transaction = Arc::new(Transaction { xid: 7, committed_at_us: 0, origin });
    let position = |ordinal| Position { epoch: 0, commit_lsn: Lsn(9), ordinal };
    let mut events = Vec::new();
    if !changes.is_empty() {
        fold(changes, &transaction, position, &mut events).unwrap();
    }
    let show = |row: &Row| {
        let word = |datum| match datum {
            Datum::Null => "NULL".to_owned(),
            Datum::Unchanged => "?".to_owned(),
            Datum::Text(text) => text.to_owned(),
        };
        row.data().map(word).collect::<Vec<_>>().join(" ")
    };
    let line = |event: &FormEvent| {
        assert_eq!(
            (event.entry_id.as_str(), event.lane),
            ("1", form.lane_of(&form.key_of(event.row().unwrap())))
        );
        if matches!(event.circumstances.detail, Detail::Payload(_)) {
            return event.verb.to_string();
        }
        if let Some(changed) = &event.changed {
            let (old, new) = (event.old.full().unwrap(), event.new.as_ref().unwrap());
            let differ: Vec<_> =
                (0..COLUMNS.len()).filter(|&column| old.datum(column) != new.datum(column)).collect();
            assert_eq!(*changed, differ);
        }
        let old = match &event.old {
            OldRow::Full(row) => format!("{} ", show(row)),
            OldRow::Key(_) => "? ".to_owned(),
            OldRow::Absent if event.existed() => "? ".to_owned(),
            OldRow::Absent | OldRow::NoRow => String::new(),
        };
        let new = event.new.as_ref().map(|row| format!(" {}", show(row))).unwrap_or_default();
        format!("{} {old}->{new}", event.verb)
    };
    events.iter().map(line).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4_000))]

    #[test]
    fn what_is_told_is_what_the_page_says(
        told in told(),
        is_by_origin in prop::bool::weighted(0.1),
        before in prop::option::of(values()),
        acts in acts(),
    ) {
        let mut form = BoundForm::clone(&bound(&told));
        let mut described = Form::clone(&form.form);
        described.happenings.merges.origins = vec!["etl".into()];
        form.form = Arc::new(described);
        let form = Arc::new(form);
        let changes = changes(&form, told.is_full, before, &acts);
        prop_assert_eq!(folded(&form, is_by_origin, changes), model(&told, is_by_origin, before, &acts));
    }
}
