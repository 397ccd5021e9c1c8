use super::*;
use crate::form::Lane;
use crate::form::{BoundRule, Form, sample};
use crate::lsn::Lsn;
use crate::qualification::{Purpose, Qualification};
use crate::value::Type;

/// A form over `incident (id, status, note, seen_at, hash)`: `seen_at` is bookkeeping, `hash` is hidden,
/// `-` means NULL.
fn form() -> Arc<BoundForm> {
    bound(&["id", "status", "note", "seen_at", "hash"])
}

fn bound(columns: &[&str]) -> Arc<BoundForm> {
    let typed: Vec<_> = columns.iter().map(|name| (*name, Type::Text)).collect();
    let mut bound = sample::form("Incident", &typed);
    let id = columns.iter().position(|column| *column == "id").unwrap();
    bound.form = Arc::new(Form { unset: vec!["-".into()], ..(*bound.form).clone() });
    bound.fields.retain(|field| field.name != "hash");
    (bound.key, bound.entry_id) = (vec![id], vec![id]);
    bound.ignored = columns.iter().map(|name| matches!(*name, "seen_at" | "hash")).collect();
    Arc::new(bound)
}

/// `1 New x 0 h`: values by column; `-` is NULL in the sense of `unset`, `?` is a large value not sent.
fn row(text: &str) -> Row {
    sample::row(&text.split(' ').collect::<Vec<_>>())
}

fn insert(new: &str) -> RowChange {
    RowChange::Insert { new: row(new) }
}

fn update(old: &str, new: &str) -> RowChange {
    RowChange::Update { old: OldRow::Full(row(old)), new: row(new) }
}

fn blind_update(new: &str) -> RowChange {
    RowChange::Update { old: OldRow::Absent, new: row(new) }
}

fn delete(old: &str) -> RowChange {
    RowChange::Delete { old: OldRow::Full(row(old)) }
}

fn folded(form: &Arc<BoundForm>, changes: Vec<(u64, RowChange)>) -> Option<FormEvent> {
    let transaction = Arc::new(Transaction { xid: 7, committed_at_us: 0, origin: None });
    let changes = changes.into_iter().map(|(place, change)| EntryChange {
        place,
        form: Arc::clone(form),
        marks: None,
        is: ChangeOf::Entry,
        change,
    });
    event_of(changes, &transaction)
}

fn event_of(
    changes: impl IntoIterator<Item = EntryChange>,
    transaction: &Arc<Transaction>,
) -> Option<FormEvent> {
    let mut events = Vec::new();
    fold(changes, transaction, position, &mut events).unwrap();
    assert!(events.len() < 2);
    events.pop()
}

fn position(ordinal: u64) -> Position {
    Position { epoch: 0, commit_lsn: Lsn(9), ordinal }
}

fn told(event: Option<FormEvent>) -> String {
    let Some(event) = event else { return "nothing".into() };
    let mut text = format!("{} {}", event.verb, event.entry_id);
    if let Some(changed) = &event.changed {
        for &number in changed {
            let field = &event.form.fields[number];
            let show = |datum| match datum {
                Datum::Null => "NULL".to_owned(),
                Datum::Unchanged => "?".to_owned(),
                Datum::Text(text) => text.to_owned(),
            };
            let (old, new) = (show(event.old_value(field)), show(event.value(field)));
            text += &format!(" {}:{old}>{new}", field.name);
        }
    }
    for (word, id) in [("from", &event.renamed_from), ("to", &event.renamed_to)] {
        if let Some(id) = id {
            text += &format!(" {word} {id}");
        }
    }
    text
}

#[track_caller]
fn check(changes: Vec<RowChange>, expected: &str) {
    let changes = changes.into_iter().enumerate().map(|(number, change)| (2 * number as u64, change));
    assert_eq!(told(folded(&form(), changes.collect())), expected);
}

#[test]
fn changes_of_one_entry_are_one_event_by_before_and_after() {
    check(vec![insert("1 New x 0 h")], "create 1");
    check(vec![insert("1 New x 0 h"), update("1 New x 0 h", "1 Open x 0 h")], "create 1");
    check(vec![insert("1 New x 0 h"), delete("1 New x 0 h")], "nothing");
    check(vec![update("1 New x 0 h", "1 Open x 0 h")], "update 1 status:New>Open");
    let twice = vec![update("1 New x 0 h", "1 Open x 0 h"), update("1 Open x 0 h", "1 Done y 0 h")];
    check(twice, "update 1 status:New>Done note:x>y");
    check(vec![delete("1 New x 0 h")], "delete 1");
    check(vec![update("1 New x 0 h", "1 Gone x 0 h"), delete("1 Gone x 0 h")], "delete 1");
    check(vec![delete("1 New x 0 h"), insert("1 Open x 0 h")], "merge 1 status:New>Open");
    check(vec![delete("1 New x 0 h"), insert("1 New x 0 h")], "nothing");
    check(vec![delete("1 New x 0 h"), insert("1 Open x 0 h"), delete("1 Open x 0 h")], "delete 1");
    let comes_and_goes = vec![insert("1 New x 0 h"), delete("1 New x 0 h"), insert("1 Open x 0 h")];
    check(comes_and_goes, "create 1");
}

#[test]
fn a_delete_tells_the_first_old_row() {
    let changes = vec![(0, update("1 New x 0 h", "1 Gone x 0 h")), (2, delete("1 Gone x 0 h"))];
    let event = folded(&form(), changes).unwrap();
    assert_eq!(event.value(&event.form.fields[1]), Datum::Text("New"));
}

#[test]
fn what_nobody_may_see_or_cares_for_is_no_event() {
    check(vec![update("1 New x 0 h", "1 New x 0 h")], "nothing");
    check(vec![update("1 New x 0 h", "1 Open x 0 h"), update("1 Open x 0 h", "1 New x 0 h")], "nothing");
    check(vec![update("1 New x 0 h", "1 New x 9 h")], "nothing");
    check(vec![update("1 New x 0 h", "1 New x 0 i")], "nothing");
    check(vec![update("1 New x 0 h", "1 Open x 9 i")], "update 1 status:New>Open seen_at:0>9");
    check(vec![update("1 New - 0 h", "1 New x 0 h")], "update 1 note:NULL>x");
}

#[test]
fn without_old_values_nothing_is_guessed() {
    check(vec![blind_update("1 Open x 0 h")], "update 1");
    check(vec![blind_update("1 Open x 0 h"), delete("1 Open x 0 h")], "delete 1");
    let changes = vec![(0, blind_update("1 Open x 0 h")), (2, delete("1 Open x 0 h"))];
    assert_eq!(folded(&form(), changes).unwrap().old.full(), None);
}

#[test]
fn a_large_value_that_was_not_sent_comes_from_the_transaction_then_from_the_old_row() {
    let event =
        folded(&form(), vec![(0, insert("1 New long 0 h")), (2, blind_update("1 Open ? 0 h"))]).unwrap();
    assert_eq!(event.value(&event.form.fields[2]), Datum::Text("long"));
    check(vec![update("1 New long 0 h", "1 Open ? 0 h")], "update 1 status:New>Open");
    let event = folded(&form(), vec![(0, blind_update("1 Open ? 0 h"))]).unwrap();
    assert_eq!(event.value(&event.form.fields[2]), Datum::Unchanged);
}

#[test]
fn a_new_key_is_a_delete_and_a_create_that_name_each_other() {
    let change = update("1 New x 0 h", "2 New x 0 h");
    let form = form();
    assert!(changes_key(&form, &change));
    assert_eq!(told(folded(&form, vec![(0, change.clone())])), "delete 1 to 2");
    let arrival = folded(&form, vec![(1, change)]).unwrap();
    let old_lane = form.lane_of(&form.key_of(&row("1 New x 0 h")));
    assert_eq!(arrival.behind, [old_lane]);
    assert_eq!(told(Some(arrival)), "create 2 from 1");
}

/// The form, which was called Ticket and had `note` for its key before; and that one as it was then.
fn renamed() -> (Arc<BoundForm>, Arc<BoundForm>) {
    let (now, mut before) = (form(), (*form()).clone());
    let note = now.fields[2].column;
    before.form = Arc::new(Form { name: "Ticket".into(), ..(*before.form).clone() });
    before.key = vec![note];
    let former = vec![BoundRule { form: "Ticket".into(), key: vec![note] }];
    (Arc::new(BoundForm { former, ..(*now).clone() }), Arc::new(before))
}

#[test]
fn an_entry_waits_for_what_it_had_by_a_former_rule() {
    let (form, before) = renamed();
    let lane = |form: &BoundForm, text: &str| form.lane_of(&form.key_of(&row(text)));
    let check = |changes: Vec<(u64, RowChange)>, own: &str, behind: &[Lane]| {
        let event = folded(&form, changes).unwrap();
        let mut behind = behind.to_vec();
        behind.sort_unstable();
        assert_eq!((event.lane, event.behind), (lane(&form, own), behind), "{own}");
    };
    let [x, y] = ["1 New x 0 h", "1 New y 0 h"].map(|text| lane(&before, text));
    check(vec![(0, insert("1 New x 0 h"))], "1 New x 0 h", &[x]);
    check(vec![(0, update("1 New x 0 h", "1 Open x 0 h"))], "1 New x 0 h", &[x]);
    check(vec![(0, delete("1 New x 0 h"))], "1 New x 0 h", &[x]);
    check(vec![(0, blind_update("1 Open x 0 h"))], "1 New x 0 h", &[x]);
    // the former key changes, which is no change of the key now
    check(vec![(0, update("1 New x 0 h", "1 New y 0 h"))], "1 New x 0 h", &[x, y]);
    let twice = vec![(0, update("1 New x 0 h", "1 New z 0 h")), (2, update("1 New z 0 h", "1 New y 0 h"))];
    check(twice, "1 New x 0 h", &[x, y]);
    check(vec![(0, update("1 New x 0 h", "1 New y 0 h")), (2, delete("1 New y 0 h"))], "1 New x 0 h", &[x]);
    // the key changes, and the former one with it
    let change = update("1 New x 0 h", "2 New y 0 h");
    check(vec![(0, change.clone())], "1 New x 0 h", &[x]);
    check(vec![(1, change)], "2 New x 0 h", &[lane(&form, "1 New x 0 h"), x, y]);
}

#[test]
fn a_former_rule_says_nothing_of_a_row_without_its_columns() {
    let (form, before) = renamed();
    let x = before.lane_of(&before.key_of(&row("1 New x 0 h")));
    let key = |text: &str| OldRow::Key(row(text));
    let behind = |change| folded(&form, vec![(0, change)]).unwrap().behind;
    assert_eq!(behind(RowChange::Delete { old: key("1 NULL NULL NULL NULL") }), []);
    assert_eq!(behind(blind_update("1 Open ? 0 h")), []);
    assert_eq!(behind(update("1 New x 0 h", "1 Open ? 0 h")), [x], "it was not sent because it stayed");
    let update = RowChange::Update { old: key("1 NULL NULL NULL NULL"), new: row("1 Open x 0 h") };
    assert_eq!(behind(update), [x]);
}

#[test]
fn a_table_that_changes_within_the_transaction_takes_its_rows_along() {
    let transaction = Arc::new(Transaction { xid: 7, committed_at_us: 0, origin: None });
    let wider = bound(&["status", "id", "added", "note", "seen_at", "hash"]);
    let changes = vec![
        EntryChange {
            place: 0,
            form: form(),
            marks: None,
            is: ChangeOf::Entry,
            change: update("1 New x 0 h", "1 Open x 0 h"),
        },
        EntryChange {
            place: 2,
            form: wider,
            marks: None,
            is: ChangeOf::Entry,
            change: update("Open 1 - x 0 h", "Open 1 a x 0 h"),
        },
    ];
    assert_eq!(told(event_of(changes, &transaction)), "update 1 status:New>Open added:NULL>a");
}

/// The form of rows whose status is Open.
fn open_ones() -> Arc<BoundForm> {
    let mut bound = (*form()).clone();
    let entries = Qualification::parse("'status' = \"Open\"").unwrap();
    bound.entries = Some(Arc::new(entries.bind(&bound, Purpose::Entries).unwrap()));
    Arc::new(bound)
}

#[test]
fn a_row_that_begins_or_ceases_to_be_an_entry_is_created_or_deleted() {
    let form = open_ones();
    let check = |changes: Vec<RowChange>, expected: &str| {
        let changes = changes.into_iter().enumerate().map(|(number, change)| (2 * number as u64, change));
        assert_eq!(told(folded(&form, changes.collect())), expected);
    };
    check(vec![insert("1 New x 0 h")], "nothing");
    check(vec![insert("1 Open x 0 h")], "create 1");
    check(vec![update("1 New x 0 h", "1 New y 0 h")], "nothing");
    check(vec![update("1 New x 0 h", "1 Open x 0 h")], "create 1");
    check(vec![update("1 Open x 0 h", "1 Open y 0 h")], "update 1 note:x>y");
    check(vec![update("1 Open x 0 h", "1 Done x 0 h")], "delete 1");
    check(vec![delete("1 Open x 0 h")], "delete 1");
    check(vec![delete("1 New x 0 h")], "nothing");
    check(vec![delete("1 Open x 0 h"), insert("1 New x 0 h")], "delete 1");
    check(vec![delete("1 New x 0 h"), insert("1 Open x 0 h")], "create 1");
    let to_and_fro = vec![update("1 Open x 0 h", "1 Done x 0 h"), update("1 Done x 0 h", "1 Open y 0 h")];
    check(to_and_fro, "update 1 note:x>y");
    check(vec![insert("1 New x 0 h"), update("1 New x 0 h", "1 Open x 0 h")], "create 1");
    check(vec![insert("1 Open x 0 h"), update("1 Open x 0 h", "1 New x 0 h")], "nothing");

    let left = folded(&form, vec![(0, update("1 Open x 0 h", "1 Done y 0 h"))]).unwrap();
    assert_eq!((left.value(&left.form.fields[1]), &left.new), (Datum::Text("Open"), &None));
    let entered = folded(&form, vec![(0, update("1 New x 0 h", "1 Open x 0 h"))]).unwrap();
    assert_eq!((entered.old, entered.changed), (OldRow::Absent, None));
}

#[test]
fn a_row_that_cannot_be_told_from_entries_is_put_aside() {
    let form = open_ones();
    let transaction = Arc::new(Transaction { xid: 7, committed_at_us: 0, origin: None });
    let change =
        EntryChange { place: 0, form, marks: None, is: ChangeOf::Entry, change: blind_update("1 ? x 0 h") };
    let undecided = fold([change], &transaction, position, &mut Vec::new()).unwrap_err();
    assert!(undecided.rows.contains("Text(\"x\")"), "{}", undecided.rows);
}
