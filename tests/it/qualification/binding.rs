//! Binding: what names mean, what is refused and what is said about it, and what an index may look up.

use super::cases::{check_requirements, form};
use proptest::prelude::*;
use std::sync::Arc;
use walhook::change::{Datum, OldRow, ReplicaIdentity, Row};
use walhook::event::Verb;
use walhook::form::{BoundForm, BoundPart, OldValues};
use walhook::qualification::{
    BoundQualification, Case, Dialect, Facts, Fault, Found, Probe, Purpose, Qualification, Requirement,
    Truth, key_of,
};
use walhook::value::{Choice, Kind, Moment, Selection};

const TEXT: Kind = Kind::Text { folds_case: false, padded: false };

fn selection(labels: &[&str]) -> Kind {
    let choice = |(number, label): (usize, &&str)| Choice {
        number: number as i64,
        stored: number.to_string(),
        label: (*label).to_owned(),
    };
    Kind::Selection(Arc::new(Selection { choices: labels.iter().enumerate().map(choice).collect() }))
}

/// Columns: 0 Number (the key), 1 Status, 2 Group, 3 Nick (citext), 4 Count, 5 Code (character(n)), 6 Due, 7 Secret
/// (hidden), 8 cost_type, 9 Cost, 10 Due Date, 11 closed_by, 12 Status History.
fn ticket() -> BoundForm {
    let field = |name: &str, id, kind| (name.to_owned(), id, kind);
    let mut form = form(
        "Ticket",
        vec![
            field("Number", Some(1), TEXT),
            field("Status", Some(7), selection(&["New", "Assigned", "Closed", "closed"])),
            field("Group", None, TEXT),
            field("Nick", None, Kind::Text { folds_case: true, padded: false }),
            field("Count", Some(8), Kind::Number { whole: true }),
            field("Code", None, Kind::Text { folds_case: false, padded: true }),
            field("Due", None, Kind::Instant(Moment::Zoned)),
            field("Secret", None, TEXT),
            field("cost_type", None, TEXT),
            field("Cost", None, Kind::Currency),
            field("due", None, Kind::Date),
            field("closed_by", None, TEXT),
            field("Status History", None, Kind::StatusHistory),
        ],
        Dialect::default(),
    );
    form.fields.remove(7);
    let described = Arc::get_mut(&mut form.form).unwrap();
    described.hidden = vec!["Secret".into()];
    described.unset = vec!["1970-01-01".into()];
    let part = |name: &str, column| BoundPart { name: name.into(), column, kind: TEXT };
    form.parts = vec![part("Cost.TYPE", 8), part("Status History.Closed.USER", 11)];
    form
}

/// The same with only the key in old rows.
fn ticket_with_keys_only() -> BoundForm {
    let mut form = ticket();
    let relation = Arc::get_mut(&mut form.relation).unwrap();
    relation.identity = ReplicaIdentity::Default;
    for (number, column) in relation.columns.iter_mut().enumerate() {
        column.in_identity = number == 0;
    }
    form.uses_old_values = false;
    form
}

const ALL: Purpose<'static> = Purpose::Webhook(&Verb::OF_ROWS);

fn bound(text: &str, form: &BoundForm, purpose: Purpose<'_>) -> BoundQualification {
    let qualification = Qualification::parse(text).unwrap_or_else(|fault| panic!("{}", fault.draw(text)));
    qualification.bind(form, purpose).unwrap_or_else(|faults| panic!("{}", faults.draw(text)))
}

/// What is said about a condition: each fault as `place: message (remedy)`.
fn said(text: &str, form: &BoundForm, purpose: Purpose<'_>) -> Vec<String> {
    let faults =
        Qualification::parse(text).unwrap().bind(form, purpose).map_or_else(|faults| faults.0, |_| vec![]);
    let said = faults.into_iter().map(|fault| {
        let remedy = fault.remedy.map_or_else(String::new, |remedy| format!(" ({remedy})"));
        format!("{}: {}{remedy}", &text[fault.place], fault.message)
    });
    said.collect()
}

#[track_caller]
fn refused(text: &str, expected: &[&str]) {
    assert_eq!(said(text, &ticket(), ALL), expected, "{text}");
}

/// Values of the columns in order; those that are missing are NULL. `?` is a large value that was not sent.
fn row(words: &[&str]) -> Row {
    let datum = |word: &&'static str| match *word {
        "NULL" => Datum::Null,
        "?" => Datum::Unchanged,
        word => Datum::Text(word),
    };
    let words: Vec<&'static str> =
        words.iter().map(|word| &*Box::leak(word.to_string().into_boxed_str())).collect();
    words.iter().map(datum).collect()
}

fn judged(text: &str, form: &BoundForm, verb: Verb, old: &OldRow, new: Option<&Row>) -> String {
    let facts = Facts { form, verb, old, new, committed_at_us: 0, user: None };
    match bound(text, form, Purpose::Webhook(&[verb])).judge(&facts) {
        Ok(truth) => truth.to_string(),
        Err(failure) => format!("{}: {failure}", &text[failure.place.clone()]),
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once_and_what_to_write_instead() {
    refused(
        "'Stauts' = 1 OR 'Count' = \"five\" AND 'Due' > \"13/45/2024\"",
        &[
            "'Stauts': the form \"Ticket\" has no field 'Stauts' (did you mean 'Status'?)",
            "\"five\": \"five\" is no number, and beside it stands one (write a number without quotation marks, or \
             compare with a text field)",
            "\"13/45/2024\": \"13/45/2024\" is no date and time (write \"2024-06-12 09:30:00\", \
             \"06/12/2024 9:30 AM\" or seconds since 1970)",
        ],
    );
    refused(
        "'TR.Stauts' = 1",
        &["'TR.Stauts': the form \"Ticket\" has no field 'TR.Stauts' (did you mean 'TR.Status'?)"],
    );
    refused(
        "'Group' = 'Front Office'",
        &[
            "'Front Office': the form \"Ticket\" has no field 'Front Office' (single quotation marks hold the name of a \
           field; write \"Front Office\" for a text, or give the name its column in [forms.fields])",
        ],
    );
    refused(
        "'Status' = \"Asigned\"",
        &["\"Asigned\": there is no choice \"Asigned\" (did you mean \"Assigned\"?)"],
    );
    refused(
        "'Status' = \"Nonesuch\"",
        &[
            "\"Nonesuch\": there is no choice \"Nonesuch\" (write one of \"New\", \"Assigned\", \"Closed\" or \"closed\")",
        ],
    );
    refused(
        "'Status' = \"CLOSED\"",
        &[
            "\"CLOSED\": \"CLOSED\" could be \"Closed\" or \"closed\" (write the label in the letter case of the one that \
           is meant)",
        ],
    );
    refused(
        "'DUE' = $NULL$",
        &[
            "'DUE': 'DUE' could be 'Due' or 'due' (write the name in the letter case of the one that is meant)",
        ],
    );
    refused(
        "'secret' = \"x\"",
        &[
            "'secret': the column \"Secret\" is hidden, and a hidden column is no field (take it out of \"hidden\" of \
           the form \"Ticket\", or leave it out of the condition)",
        ],
    );
    refused(
        "'Status' LIKE \"C%\"",
        &[
            "'Status': LIKE is for character and diary fields, and this is a selection (compare with its labels: = \
           \"New\", or IN (\"New\", \"Assigned\"))",
        ],
    );
    refused(
        "'Group' * 2 = 4",
        &[
            "'Group': * reckons with numbers, and this is a text (use a number field; only + works on texts: it joins \
           them)",
        ],
    );
    refused(
        "$DEFAULT$ = 1",
        &["$DEFAULT$: $DEFAULT$ cannot stand in a qualification (198) (write the value itself)"],
    );
    refused(
        "$TIMESTMP$ = 1",
        &["$TIMESTMP$: $TIMESTMP$ is neither a keyword nor a field (did you mean $TIMESTAMP$?)"],
    );
    refused("$Grup$ = 1", &["$Grup$: $Grup$ is neither a keyword nor a field (did you mean $Group$?)"]);
    refused(
        "EXTERNAL('Group')",
        &[
            "EXTERNAL('Group'): EXTERNAL takes a condition from the data, where it cannot be checked beforehand (write \
           the condition itself)",
        ],
    );
    refused(
        "'Cost' < \"5 USD\"",
        &[
            "'Cost' < \"5 USD\": the amount 'Cost' can only be compared as a whole: = and != with \"12.50 USD\" or \
           $NULL$ (compare a part of it: 'Cost.VALUE', 'Cost.TYPE', 'Cost.DATE')",
        ],
    );
    refused(
        "'Due' = 'Group'",
        &["'Due' = 'Group': a date/time cannot be compared with a text (compare values of one type)"],
    );
    refused(
        "CHANGED('DB.Count')",
        &["'DB.Count': CHANGED looks at the old and the new value by itself (write the name of \
         the field alone, without TR. and DB.)"],
    );
}

#[test]
fn a_name_that_is_none_here_leads_to_the_one_that_is() {
    let mut form = ticket();
    form.fields[2].name = "Assigned Group".into();
    for (name, remedy) in [
        ("group", "the form has another name for this column: write 'Assigned Group'"),
        ("DB.Group", "the form has another name for this column: write 'DB.Assigned Group'"),
        ("OLD.Status", "write 'DB.Status'"),
        ("new.count", "write 'count'"),
        (
            "Price.TYPE",
            "single quotation marks hold the name of a field; write \"Price.TYPE\" for a text, or give the name its \
             column in [forms.parts]",
        ),
    ] {
        let message = format!("'{name}': the form \"Ticket\" has no field '{name}' ({remedy})");
        assert_eq!(said(&format!("'{name}' = $NULL$"), &form, ALL), [message]);
    }
    assert_eq!(
        said("'count.type' = \"USD\"", &form, ALL),
        [
            "'count.type': 'Count' is no amount and has no part \"type\" (a part with a column of its own stands in \
             [forms.parts]: \"Count.TYPE\" = \"…\")"
        ]
    );
}

#[test]
fn what_only_a_client_has_is_a_warning() {
    let condition = bound("$BROWSER$ = $NULL$ AND $os$ = $NULL$ AND $GROUPS$ = $NULL$", &ticket(), ALL);
    let warnings: Vec<_> = condition.warnings().iter().map(|warning| warning.message.as_str()).collect();
    assert_eq!(
        warnings,
        [
            "$BROWSER$ is NULL: only a client of AR System has it",
            "$OS$ is NULL: only a client of AR System has it"
        ]
    );
}

/// What is said of a condition that fits and is hardly meant, each as `place: message (remedy)`.
fn doubted(text: &str, purpose: Purpose<'_>) -> Vec<String> {
    let condition = bound(text, &ticket(), purpose);
    let say = |warning: &Fault| format!("{}: {warning}", &text[warning.place.clone()]);
    condition.warnings().iter().map(say).collect()
}

#[test]
fn what_would_never_be_true_is_a_warning() {
    for (text, said) in [
        (
            r#""Status" = "New""#,
            r#""Status": "Status" is a text here, and no field (write 'Status' for the field)"#,
        ),
        (
            r#""tr.group" LIKE "x%""#,
            r#""tr.group": "tr.group" is a text here, and no field (write 'tr.group' for the field)"#,
        ),
        (
            r#"'Group' = "$USER$""#,
            r#""$USER$": "$USER$" is a text here, and stands for nothing else (write $USER$ without quotation marks)"#,
        ),
        (
            r#"'Group' IN ("x", "$Nick$")"#,
            r#""$Nick$": "$Nick$" is a text here, and stands for nothing else (write $Nick$ without quotation marks)"#,
        ),
        (r#"$OPERATION$ = "UPDATE""#, r#""UPDATE": $OPERATION$ is never "UPDATE" (write "SET")"#),
        (
            r#"$operation$ IN ("SET", "insert")"#,
            r#""insert": $OPERATION$ is never "insert" (write "CREATE")"#,
        ),
        (r#""set" != $OPERATION$"#, r#""set": $OPERATION$ is never "set" (write "SET")"#),
        (
            r#"$OPERATION$ = "GET""#,
            r#""GET": $OPERATION$ is never "GET" (it is one of CREATE, SET, MERGE, DELETE)"#,
        ),
        (r#"$WEEKDAY$ = "Sat""#, r#""Sat": $WEEKDAY$ is never "Sat" (write "Saturday")"#),
        (
            "'Group' != $USER$",
            "$USER$: $USER$ is NULL: the log does not say who made a change (compare the field that the application \
             keeps it in)",
        ),
    ] {
        assert_eq!(doubted(text, ALL), [said], "{text}");
    }
    let doubted_on = |text, verb: Verb| doubted(text, Purpose::Webhook(&[verb]));
    assert_eq!(
        doubted_on("'DB.Status' = 1", Verb::Create),
        [
            "'DB.Status': 'DB.Status' is NULL on create, which has no row before (listen to other events as well, or \
             leave TR. and DB. out)"
        ]
    );
    assert_eq!(
        doubted_on("'TR.Status' = 1", Verb::Delete),
        [
            "'TR.Status': 'TR.Status' is NULL on delete, which has no row after (listen to other events as well, or \
             leave TR. and DB. out)"
        ]
    );
}

#[test]
fn what_may_well_be_meant_is_no_warning() {
    for text in [
        r#""x" = "y""#,
        r#"'Group' = "Status""#,
        r#"'Group' = "$5$""#,
        r#"'Group' = "costs $""#,
        r#"$OPERATION$ = "SET" OR $OPERATION$ LIKE "up%" OR $WEEKDAY$ != "Sunday""#,
        "'DB.Status' = 1 AND 'TR.Status' = 2",
    ] {
        assert_eq!(doubted(text, ALL), [""; 0], "{text}");
    }
    assert_eq!(doubted("'TR.Status' = 1", Purpose::Webhook(&[Verb::Create])), [""; 0]);
    assert_eq!(doubted("'DB.Status' = 1", Purpose::Webhook(&[Verb::Delete])), [""; 0]);
}

#[test]
fn what_the_old_row_would_not_have_is_refused_with_the_statement_that_mends_it() {
    let mut form = ticket_with_keys_only();
    let sql = "alter table \"public\".\"help_desk\" replica identity full;";
    let check = |form: &BoundForm, text: &str, verbs: &[Verb], expected: &[String]| {
        assert_eq!(said(text, form, Purpose::Webhook(verbs)), expected, "{text} on {verbs:?}");
    };
    let needs = |name: &str| {
        format!("{name}: {name} needs the row before the change, and the log does not have it ({sql})")
    };
    let unknown = |name: &str| {
        format!("{name}: {name} is not known on delete: the log has only the key of the old row ({sql})")
    };
    check(
        &form,
        "'TR.Count' = 1 OR 'DB.Count' = 1",
        &[Verb::Update],
        &[needs("'TR.Count'"), needs("'DB.Count'")],
    );
    check(&form, "CHANGED('Count')", &[Verb::Merge], &[needs("'Count'")]);
    check(&form, "'Count' = 1", &[Verb::Delete, Verb::Create], &[unknown("'Count'")]);
    check(&form, "'DB.Count' = 1", &[Verb::Delete], &[unknown("'DB.Count'")]);
    check(&form, "'TR.Count' = 1", &[Verb::Delete], &[]);
    check(&form, "'Number' = \"1\" OR 'DB.Number' = \"1\"", &[Verb::Delete], &[]);
    check(&form, "'TR.Count' = 1 OR 'DB.Count' = 1 OR CHANGED('Count')", &[Verb::Create], &[]);
    check(&form, "'Count' = 1", &[Verb::Create, Verb::Update, Verb::Merge], &[]);

    Arc::get_mut(&mut form.form).unwrap().old_values = OldValues::None;
    let none = format!(
        "'DB.Count': 'DB.Count' needs the row before the change, and the log does not have it (the form \"Ticket\" has \
         old_values = \"none\": set it to \"auto\", and the table to full: {sql})"
    );
    check(&form, "'DB.Count' = 1", &[Verb::Update], &[none]);
}

#[test]
fn which_rows_are_entries_depends_on_the_row_alone() {
    let form = ticket();
    for text in [
        "'TR.Count' = 1",
        "'DB.Count' = 1",
        "CHANGED('Count')",
        "$OPERATION$ = \"SET\"",
        "$USER$ = \"Ann\"",
        "'Due' < $TIMESTAMP$",
        "'Due' < $DATE$",
        "$TIME$ < \"9:00\"",
        "$WEEKDAY$ = \"Monday\"",
    ] {
        let said = said(text, &form, Purpose::Entries);
        assert!(
            said.len() == 1 && said[0].contains("cannot decide which rows are entries"),
            "{text}: {said:?}"
        );
    }
    let text = "'Count' = 1 AND $SCHEMA$ = \"Ticket\" AND 'Due' > 0";
    assert_eq!(said(text, &form, Purpose::Entries), [""; 0]);
    let expected = "'Count': 'Count' is not in the replica identity: nobody could tell whether the old row was an \
                    entry (alter table \"public\".\"help_desk\" replica identity full;)";
    let with_keys = ticket_with_keys_only();
    assert_eq!(said("'Count' = 1 OR 'Number' = \"1\"", &with_keys, Purpose::Entries), [expected]);
}

#[test]
fn old_rows_are_known_as_far_as_they_go() {
    let form = ticket_with_keys_only();
    let key = OldRow::Key(row(&["N1"]));
    assert_eq!(judged("'Number' = \"N1\"", &form, Verb::Delete, &key, None), "true");
    assert_eq!(judged("'DB.Number' = \"N1\"", &form, Verb::Delete, &key, None), "true");
    assert_eq!(judged("'TR.Count' = $NULL$", &form, Verb::Delete, &key, None), "true");
    // bound where whole old rows were expected, judged where they are not
    let whole = ticket();
    let facts =
        Facts { form: &form, verb: Verb::Delete, old: &key, new: None, committed_at_us: 0, user: None };
    let failure = bound("'Count' = $NULL$", &whole, ALL).judge(&facts).unwrap_err();
    assert_eq!(
        failure.to_string(),
        "'Count' is not available: the log has no old value of it; it needs replica identity full"
    );
}

#[test]
fn large_values_that_were_not_sent_are_taken_from_the_old_row_or_not_at_all() {
    let form = ticket();
    let new = row(&["N1", "1", "?"]);
    let old = OldRow::Full(row(&["N1", "1", "Front Office"]));
    assert_eq!(judged("'Group' = \"Front Office\"", &form, Verb::Update, &old, Some(&new)), "true");
    assert_eq!(judged("'TR.Group' = $NULL$", &form, Verb::Update, &old, Some(&new)), "true");
    assert_eq!(judged("CHANGED('Group')", &form, Verb::Update, &old, Some(&new)), "false");
    assert_eq!(
        judged(
            "'Status' = 1 AND 'Group' = \"Front Office\"",
            &form,
            Verb::Update,
            &OldRow::Absent,
            Some(&new)
        ),
        "'Group': 'Group' is not available: a large value that the update did not touch is not in the log"
    );
    assert_eq!(
        judged(
            "'Status' = 0 AND 'Group' = \"Front Office\"",
            &form,
            Verb::Update,
            &OldRow::Absent,
            Some(&new)
        ),
        "false"
    );
}

#[test]
fn values_that_mean_null_are_null() {
    let form = ticket();
    let new = row(&["N1", "1", "G", "n", "1", "c", "NULL", "s", "USD", "NULL", "1970-01-01"]);
    assert_eq!(judged("'due' = $NULL$", &form, Verb::Create, &OldRow::Absent, Some(&new)), "true");
    assert_eq!(judged("'due' < \"2024-01-01\"", &form, Verb::Create, &OldRow::Absent, Some(&new)), "unknown");
}

#[test]
fn blanks_at_the_end_of_padded_columns_mean_nothing() {
    let form = ticket();
    let new = row(&["N1", "1", "ab ", "n", "1", "ab   "]);
    for (text, expected) in [
        ("'Code' = \"ab\"", "true"),
        ("'Code' = \"ab  \"", "true"),
        ("'Code' < \"ab!\"", "true"),
        ("'Code' LIKE \"%b\"", "true"),
        ("'Group' = \"ab\"", "false"),
        ("'Code' + \"x\" = \"abx\"", "true"),
    ] {
        assert_eq!(judged(text, &form, Verb::Create, &OldRow::Absent, Some(&new)), expected, "{text}");
    }
}

#[test]
fn parts_with_columns_of_their_own_come_before_json() {
    let form = ticket();
    let new = row(&[
        "N1",
        "2",
        "G",
        "n",
        "1",
        "c",
        "NULL",
        "s",
        "USD",
        r#"{"value": 5, "type": "EUR"}"#,
        "NULL",
        "Ann",
        "{}",
    ]);
    for (text, expected) in [
        ("'Cost.TYPE' = \"USD\"", "true"),
        ("'cost.type' = \"USD\"", "true"),
        ("'Cost.VALUE' = 5", "true"),
        ("'Cost' = \"5 USD\"", "true"),
        ("'Cost' = \"5 EUR\"", "false"),
        ("'Status History.Closed.USER' = \"Ann\"", "true"),
        ("'Status History.2.USER' = \"Ann\"", "true"),
        ("'Status History.New.USER' = $NULL$", "true"),
    ] {
        assert_eq!(judged(text, &form, Verb::Create, &OldRow::Absent, Some(&new)), expected, "{text}");
    }
}

#[test]
fn each_comparison_is_explained_whether_it_decided_or_not() {
    let form = ticket();
    let text = "NOT ('Status' = \"New\" OR 'Count' IN (1, 2)) AND ('Group' = \"G\" OR 'Count' / 0 = 1) AND CHANGED('Nick')";
    let new = row(&["N1", "1", "NULL", "n", "2"]);
    let old = OldRow::Full(row(&["N1", "1", "NULL", "m", "2"]));
    let facts =
        Facts { form: &form, verb: Verb::Update, old: &old, new: Some(&new), committed_at_us: 0, user: None };
    let condition = bound(text, &form, ALL);
    let said: Vec<String> = condition
        .explain(&facts)
        .into_iter()
        .map(|leaf| {
            let verdict = leaf.verdict.map_or_else(
                |failure| format!("{failure} in {}", &text[failure.place.clone()]),
                |truth| truth.to_string(),
            );
            format!("{}: {verdict}", &text[leaf.place])
        })
        .collect();
    assert_eq!(
        said,
        [
            "'Status' = \"New\": false",
            "'Count' IN (1, 2): true",
            "'Group' = \"G\": unknown",
            "'Count' / 0 = 1: division by zero in 'Count' / 0",
            "CHANGED('Nick'): true",
        ]
    );
    assert_eq!(condition.judge(&facts), Ok(Truth::False));
}

/// What an index may look up: `column=keys` and `column changed`.
fn required(text: &str) -> String {
    let requirements = bound(text, &ticket(), ALL).requirements();
    let said = requirements.iter().map(|requirement| match requirement {
        Requirement::OneOf { probe, keys } => {
            let fold = if probe.folds_case { "~" } else { "" };
            format!("{}{fold}={}", probe.column, keys.len())
        }
        Requirement::Changed { column } => format!("{column} changed"),
    });
    said.collect::<Vec<_>>().join(", ")
}

#[test]
fn what_an_index_may_look_up() {
    for (text, expected) in [
        ("", ""),
        ("'Group' = \"G\"", "2=1"),
        ("\"G\" = 'Group'", "2=1"),
        ("'Status' = \"New\" AND ('Group' = \"G\" AND 'Count' > 5)", "1=1, 2=1"),
        ("'Group' IN (\"G\", \"H\")", "2=2"),
        ("'Group' = \"G\" OR 'Group' = \"H\"", "2=2"),
        ("'Group' = \"G\" OR 'Group' = \"G\"", "2=1"),
        ("'Group' = \"G\" OR 'Status' = 1", ""),
        ("('Group' = \"G\" AND 'Count' = 1) OR ('Status' = 1 AND 'Group' = \"H\")", "2=2"),
        ("'Group' IN (\"G\", $NULL$)", ""),
        ("'Group' = $NULL$", ""),
        ("'Group' != \"G\"", ""),
        ("NOT 'Group' = \"G\"", ""),
        ("'Group' LIKE \"G\"", ""),
        ("'Nick' = \"N\"", "3~=1"),
        ("'Group' = 'Nick'", ""),
        ("'DB.Group' = \"G\"", ""),
        ("'TR.Group' = \"G\"", "2=1, 2 changed"),
        ("'TR.Group' IN (\"G\", \"H\")", "2=2, 2 changed"),
        ("'TR.Group' != $NULL$", "2 changed"),
        ("'TR.Group' = $NULL$", ""),
        ("NOT 'TR.Group' = \"G\"", ""),
        ("'TR.Count' + 1 > 5", "4 changed"),
        ("'TR.Group' LIKE \"G%\"", "2 changed"),
        ("'TR.Status' != 'DB.Status'", "1 changed"),
        ("CHANGED('Count')", "4 changed"),
        ("'Count' CHANGED FROM 1 TO 2", "4 changed, 4=1"),
        ("CHANGED('Count') OR 'TR.Count' > 1", "4 changed"),
        ("CHANGED('Count') OR CHANGED('Group')", ""),
        ("'Cost.TYPE' = \"USD\"", "8=1"),
        ("'Cost.VALUE' = 5", ""),
        ("'Due' = \"2024-06-12\"", "6=1"),
    ] {
        assert_eq!(required(text), expected, "{text}");
    }
    // equal values, equal keys, however they are written
    let keys = |text: &str| bound(text, &ticket(), ALL).requirements();
    assert_eq!(keys("'Count' = 1"), keys("1.0 = 'Count'"));
    assert_eq!(keys("'Count' = \"1\""), keys("'Count' = 1e0"));
    assert_eq!(keys("'Status' = \"Assigned\""), keys("'Status' = 1.0"));
    assert_eq!(keys("'Nick' = \"Ann\""), keys("'Nick' = \"aNN\""));
    assert_eq!(keys("'Code' = \"a\""), keys("'Code' = \"a  \""));
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    /// Whatever the index finds or does not find by a key, `=` says the same.
    #[test]
    fn keys_agree_with_equality(
        column in 0..6_usize,
        stored in prop_oneof!["[aAäÄ ]{0,3}", "[0-3]", "0?[0-3](\\.0{0,2})?", "-?[0-9]{1,20}(\\.[0-9]{1,3})?", Just("1e0".to_owned())],
        wanted in prop_oneof!["[aAäÄ ]{0,3}", "[0-3]", "0?[0-3](\\.0{0,2})?", "New|ASSIGNED|closed"],
        is_insensitive in any::<bool>(),
    ) {
        let mut form = ticket();
        if is_insensitive {
            let dialect = Dialect { case: Case::Insensitive, ..Dialect::default() };
            Arc::get_mut(&mut form.form).unwrap().dialect = Arc::new(dialect);
        }
        let name = form.fields[column].name.clone();
        let text = format!("'{name}' = {}", quoted(&wanted));
        let bound = Qualification::parse(&text).unwrap().bind(&form, ALL);
        prop_assume!(bound.is_ok());
        let bound = bound.unwrap();
        let data = (0..6).map(|number| if number == column { Datum::Text(&stored) } else { Datum::Null });
        let new: Row = data.collect();
        let old = OldRow::Absent;
        let facts =
            Facts { form: &form, verb: Verb::Create, old: &old, new: Some(&new), committed_at_us: 0, user: None };
        let requirements = bound.requirements();
        let [Requirement::OneOf { probe, keys }] = requirements.as_slice() else { panic!("{requirements:?}") };
        let mut key = b"of another event".to_vec();
        match (key_of(probe, &facts, &mut key), bound.judge(&facts)) {
            (Found::Key, Ok(truth)) => prop_assert_eq!(keys.contains(&key), truth == Truth::True, "{} {:?}", text, stored),
            (Found::Unknown, Err(_)) => {}
            (found, verdict) => prop_assert!(false, "{text} {stored:?}: {found:?} {verdict:?}"),
        }
    }

    /// An event that meets a condition meets all that is required of it.
    #[test]
    fn requirements_refuse_no_event_that_meets_the_condition(
        parts in prop::collection::vec(
            prop_oneof![
                Just("'Status' = 1"), Just("'TR.Status' = 1"), Just("'DB.Status' = 0"), Just("CHANGED('Status')"),
                Just("'Status' CHANGED TO 1"), Just("'Status' CHANGED FROM 0"), Just("'TR.Group' != $NULL$"),
                Just("'Group' IN (\"a\", \"b\")"), Just("'TR.Group' IN (\"a\", $NULL$)"), Just("'Nick' = \"A\""),
                Just("'TR.Count' + 'DB.Count' > 0"), Just("'Count' = 1"), Just("'Count' = \"2\""), Just("'TR.Nick' LIKE \"%\""),
                Just("'TR.Status' = 'Status'"), Just("'TR.Group' = $NULL$"),
            ],
            1..4,
        ),
        joins in prop::collection::vec(prop_oneof![Just(" AND "), Just(" OR "), Just(" AND NOT ")], 3),
        verb in prop::sample::select(&Verb::OF_ROWS[..]),
        old in row_of_few_values(),
        new in row_of_few_values(),
    ) {
        let mut text = parts[0].to_owned();
        for (part, join) in parts[1..].iter().zip(&joins) {
            text = format!("{text}{join}{part}");
        }
        let form = ticket();
        let old = if verb == Verb::Create { OldRow::Absent } else { OldRow::Full(old) };
        let new = (verb != Verb::Delete).then_some(new);
        let facts = Facts { form: &form, verb, old: &old, new: new.as_ref(), committed_at_us: 0, user: None };
        let bound = bound(&text, &form, ALL);
        if bound.judge(&facts) == Ok(Truth::True) {
            check_requirements(&bound.requirements(), &facts, &text);
        }
    }
}

fn row_of_few_values() -> impl Strategy<Value = Row> {
    let word = |words: &'static [Option<&'static str>]| prop::sample::select(words);
    let columns = (
        word(&[Some("0"), Some("1"), None]),
        word(&[Some("a"), Some("b"), Some("c"), None]),
        word(&[Some("a"), Some("A"), None]),
        word(&[Some("1"), Some("1.0"), Some("2"), None]),
    );
    columns.prop_map(|(status, group, nick, count)| {
        let data = [Some("N1"), status, group, nick, count];
        data.into_iter().map(|text| text.map_or(Datum::Null, Datum::Text)).collect()
    })
}

#[test]
fn a_probe_of_a_column_that_nobody_knows_leaves_it_to_judging() {
    let form = ticket();
    let new = row(&["N1", "1", "G", "n", "1", "c", "NULL", "secret"]);
    let facts = Facts {
        form: &form,
        verb: Verb::Create,
        old: &OldRow::Absent,
        new: Some(&new),
        committed_at_us: 0,
        user: None,
    };
    let mut key = Vec::new();
    assert_eq!(key_of(&Probe { column: 7, folds_case: false }, &facts, &mut key), Found::Unknown);
    assert_eq!(key_of(&Probe { column: 6, folds_case: false }, &facts, &mut key), Found::Null);
}
