//! What columns mean in conditions, as a real server describes them; parts, `where`, and forms bound without a
//! word of the log.

use super::{Database, faults, field, form};
use crate::version::lacks;
use std::sync::Arc;
use walhook::catalog::{Catalog, Fault, Standing};
use walhook::change::{Datum, OldRow, Row};
use walhook::event::Verb;
use walhook::form::{BoundForm, Field, Form, Meaning, Part};
use walhook::qualification::{Dialect, Facts, Purpose, Qualification, Truth};
use walhook::value::{Kind, Moment};

const TEXT: Kind = Kind::TEXT;
const WHOLE: Kind = Kind::Number { whole: true };
const FRACTION: Kind = Kind::Number { whole: false };

#[tokio::test]
async fn every_type_has_its_kind_and_its_values_are_read() {
    let database = Database::start(
        "create domain ticket_number as int check (value > 0);
         create domain short_number as ticket_number;
         create type mood as enum ('calm', 'cross', 'very cross');
         create domain feeling as mood;
         create type place as (room text, floor int);
         create table thing (
             id int primary key, a2 smallint, a8 bigint, o oid, f4 real, f8 double precision, n numeric, n2 numeric(10, 2),
             mo money, b boolean, t text, v varchar(20), c character(5), nm name, d date, ts timestamp,
             tz timestamptz, ti time, tiz timetz, j json, jb jsonb, by bytea, u uuid, ip inet, iv interval,
             arr text[], pl place, rng int4range, pt point, dn short_number, m mood, fe feeling, moods mood[]
         );
         alter table thing replica identity full;
         alter publication walhook add table thing;
         insert into thing values (1, 2, 9000000000, 26, 1.5, 1e-7, 'NaN', 19.90, -1234.5, true, 'Text', 'Var', 'abc', 'nm',
             '2024-06-12', '2024-06-12 09:30', '2024-06-12 09:30+02', '09:30:00.25', '09:30+02', '{}', '{}', 'x',
             'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '10.0.0.1', '1 day', '{a}', row('r', 1), '[1,3)', '(1,2)', 7,
             'cross', 'calm', '{calm}');",
    )
    .await;
    let mut catalog = database.catalog(vec![form("thing")]).await;
    let described = described(&catalog, "thing");
    let [bound] = database.bind_log(&mut catalog).await.try_into().unwrap();
    assert_eq!(*described, *bound, "the catalogue alone says the same as the log");

    let kind = |name: &str| kind_of(&bound, name);
    let padded = Kind::Text { folds_case: false, padded: true };
    for (kind_expected, names) in [
        (WHOLE, &["id", "a2", "a8", "o", "dn"][..]),
        (FRACTION, &["f4", "f8", "n", "n2", "mo"]),
        (TEXT, &["t", "v", "nm", "u", "ip", "iv"]),
        (padded, &["c"]),
        (Kind::Date, &["d"]),
        (Kind::Instant(Moment::Local), &["ts"]),
        (Kind::Instant(Moment::Zoned), &["tz"]),
        (Kind::Time { seconds: false }, &["ti", "tiz"]),
        (Kind::Opaque, &["j", "jb", "by", "arr", "pl", "rng", "pt", "moods"]),
    ] {
        for name in names {
            assert_eq!(kind(name), kind_expected, "{name}");
        }
    }
    assert_eq!(labels(&kind("b")), ["0 f false", "1 t true"]);
    assert_eq!(labels(&kind("m")), ["0 calm calm", "1 cross cross", "2 very cross very cross"]);
    assert_eq!(kind("fe"), kind("m"), "a domain is what it is made of");

    let row = database.row(&bound, "select * from thing").await;
    for condition in [
        "'a8' = 9000000000 AND 'o' = 26 AND 'f4' = 1.5 AND 'f8' = 0.0000001 AND 'n' > 5",
        "'n2' * 2 = 39.8 AND 'mo' = -1234.50 AND 'dn' = 7 AND 'a2' / 3 = 0",
        "'b' = \"true\" AND 'b' = 1 AND 'm' = \"Cross\" AND 'm' > \"calm\" AND 'fe' < 'm'",
        "'c' = \"abc\" AND 'v' LIKE \"V%\" AND 'u' LIKE \"a0eebc99-%\" AND 'nm' = \"nm\"",
        "'d' = \"06/12/2024\" AND 'ts' = \"2024-06-12T09:30:00Z\" AND 'tz' = \"2024-06-12 07:30\"",
        "'ts' - 'tz' = 7200 AND 'ti' = \"9:30:00.25\" AND 'tiz' = \"9:30 AM\"",
        "'j' != $NULL$ AND 'arr' != $NULL$ AND 'pl' != $NULL$",
    ] {
        assert_eq!(judged(&bound, &row, condition), Truth::True, "{condition}");
    }
}

#[tokio::test]
async fn the_catalogue_alone_describes_a_table_as_the_log_does() {
    let database = Database::start(
        "create table plain (gone int, id int primary key, up int generated always as (1) stored, v varchar(7), n numeric(9, 3));
         alter table plain drop column gone;
         create table by_index (id int primary key, code text not null);
         create unique index by_code on by_index (code);
         alter table by_index replica identity using index by_code;
         create table event (day date, id int, primary key (day, id)) partition by range (day);
         create table event_2024 partition of event for values from ('2024-01-01') to ('2025-01-01');
         alter table event replica identity full;
         create table listed (id int primary key, a text, b text);
         create table keyless (a text);
         create table unpublished (id int primary key);
         alter publication walhook add table plain, by_index, event;
         insert into plain (id) values (1);
         insert into by_index values (1, 'c');
         insert into event values ('2024-05-05', 1);",
    )
    .await;
    let listed = if lacks(&database.cluster, 15, "column lists of publications") { "" } else { "(id, b)" };
    database
        .run(&format!("alter publication walhook add table listed {listed}; insert into listed values (1)"))
        .await;
    let code = Form { entry_id: vec!["code".to_owned()], ..form("by_index") };
    let (keyless, unpublished, missing) = (form("keyless"), form("unpublished"), form("nowhere"));
    let forms = vec![form("plain"), code, form("event"), form("listed"), keyless, unpublished, missing];
    let mut catalog = database.catalog(forms).await;
    let mut bound = database.bind_log(&mut catalog).await;
    bound.retain(|form| form.relation.name != "event_2024");
    assert_eq!(bound.len(), 4);
    for form in bound {
        assert_eq!(*described(&catalog, &form.form.name), *form);
    }
    assert!(matches!(catalog.described("keyless"), Some(Err(Fault::NoEntryId { .. }))));
    assert_eq!(described(&catalog, "unpublished").fields.len(), 1, "conditions can be tried before");
    assert!(catalog.described("nowhere").is_none() && catalog.described("of no form").is_none());
}

#[tokio::test]
async fn an_enum_that_grows_is_noticed_by_the_comparison_and_nothing_else_is() {
    let database = Database::start(
        "create type state as enum ('New', 'Closed');
         create table incident (id int primary key, state state);
         alter publication walhook add table incident;
         insert into incident values (1, 'New');",
    )
    .await;
    let mut catalog = database.catalog(vec![form("incident")]).await;
    let id = database.relation_id("incident").await;
    database.bind_log(&mut catalog).await;
    let both = |catalog: &Catalog| [Arc::clone(&catalog.forms_of(id)[0]), described(catalog, "incident")];

    let before = both(&catalog);
    catalog.compare().await.unwrap();
    catalog.take_over(vec![Arc::new(form("incident"))]).await.unwrap();
    for (before, now) in before.iter().zip(both(&catalog)) {
        assert!(Arc::ptr_eq(before, &now), "nothing has changed");
    }
    for (change, expected) in [
        ("alter type state add value 'Assigned' before 'Closed'", ["New", "Assigned", "Closed"]),
        ("alter type state rename value 'Closed' to 'Done'", ["New", "Assigned", "Done"]),
    ] {
        let before = both(&catalog);
        database.run(change).await;
        catalog.compare().await.unwrap();
        for (before, now) in before.iter().zip(both(&catalog)) {
            assert!(before != &now, "{change}");
            let numbered =
                expected.iter().enumerate().map(|(number, label)| format!("{number} {label} {label}"));
            assert_eq!(labels(&kind_of(&now, "state")), numbered.collect::<Vec<_>>(), "{change}");
        }
    }
}

#[tokio::test]
async fn columns_that_compare_without_letter_case_do_so_in_conditions() {
    let database = Database::start(
        "create table person (id int primary key, plain text, \"C\" text collate \"C\");
         alter publication walhook add table person;",
    )
    .await;
    let has_citext = database.try_run("create extension citext").await;
    if has_citext {
        database
            .run("create domain mail as citext; alter table person add login citext, add mail mail, add logins citext[];")
            .await;
    } else {
        eprintln!("skipped: this server has no citext");
    }
    let has_icu = database
        .try_run(
            "create collation folded (provider = icu, locale = 'und-u-ks-level2', deterministic = false)",
        )
        .await;
    if has_icu {
        database
            .run("alter table person add name text collate folded, add code character(3) collate folded")
            .await;
    } else {
        eprintln!("skipped: this server has no ICU");
    }
    database.run("insert into person (id, plain) values (1, 'Ann')").await;
    let mut catalog = database.catalog(vec![form("person")]).await;
    let [bound] = database.bind_log(&mut catalog).await.try_into().unwrap();
    assert_eq!(*described(&catalog, "person"), *bound);
    let folded = |padded| Kind::Text { folds_case: true, padded };
    assert_eq!((kind_of(&bound, "plain"), kind_of(&bound, "C")), (TEXT, TEXT));
    if has_citext {
        assert_eq!((kind_of(&bound, "login"), kind_of(&bound, "mail")), (folded(false), folded(false)));
        assert_eq!(kind_of(&bound, "logins"), Kind::Opaque);
        database.run("update person set login = 'ANN'").await;
    }
    if has_icu {
        assert_eq!((kind_of(&bound, "name"), kind_of(&bound, "code")), (folded(false), folded(true)));
    }
    let row = database.row(&bound, "select * from person").await;
    assert_eq!(judged(&bound, &row, "'plain' = \"ANN\""), Truth::False);
    if has_citext {
        assert_eq!(judged(&bound, &row, "'login' = \"ann\" AND 'login' LIKE \"a[M-O]n\""), Truth::True);
    }
}

#[tokio::test]
async fn the_operator_says_what_the_type_does_not() {
    let database = Database::start(
        "create type mood as enum ('calm', 'cross');
         create table incident (
             id int primary key, status int, state character(2), open boolean, mood mood, log text, cost jsonb,
             history jsonb, file text, made bigint, starts int, number int);
         alter publication walhook add table incident;
         insert into incident values (1, 5, 'C', true, 'cross', 'first', '{}', '{}', 'x', 1718184600, 34200, 7);",
    )
    .await;
    let with = |name: &str, column: &str, labels: &[(&str, &str)], meaning| Field {
        labels: labels.iter().map(|(stored, label)| ((*stored).to_owned(), (*label).to_owned())).collect(),
        meaning,
        ..field(name, column)
    };
    let configured = Form {
        fields: vec![
            with("Status", "status", &[("0", "New"), ("5", "Closed")], None),
            with("State", "state", &[("N", "New"), ("C", "Closed")], None),
            with("Open", "open", &[("true", "Yes"), ("false", "No")], None),
            with("Mood", "mood", &[("cross", "Cross!")], None),
            with("Log", "log", &[], Some(Meaning::Diary)),
            with("Cost", "cost", &[], Some(Meaning::Currency)),
            with("Status History", "history", &[], Some(Meaning::StatusHistory)),
            with("File", "file", &[], Some(Meaning::Attachment)),
            with("Made", "made", &[], Some(Meaning::Epoch)),
            with("Starts", "starts", &[], Some(Meaning::SecondsOfDay)),
            with("Number", "number", &[], Some(Meaning::Text)),
        ],
        ..form("incident")
    };
    let mut catalog = database.catalog(vec![configured]).await;
    let [bound] = database.bind_log(&mut catalog).await.try_into().unwrap();
    let kind = |name: &str| kind_of(&bound, name);
    assert_eq!(labels(&kind("Status")), ["0 0 New", "5 5 Closed"]);
    assert_eq!(labels(&kind("State")), ["0 N New", "1 C Closed"]);
    assert_eq!(labels(&kind("Open")), ["0 f No", "1 t Yes"]);
    assert_eq!(labels(&kind("Mood")), ["0 calm calm", "1 cross Cross!"]);
    assert_eq!(kind("Log"), Kind::Diary { folds_case: false });
    assert_eq!((kind("Cost"), kind("Status History")), (Kind::Currency, Kind::StatusHistory));
    assert_eq!((kind("File"), kind("Number")), (Kind::Attachment, TEXT));
    assert_eq!((kind("Made"), kind("Starts")), (Kind::Instant(Moment::Epoch), Kind::Time { seconds: true }));
    let row = database.row(&bound, "select * from incident").await;
    for condition in [
        "'Status' = \"closed\" AND 'State' = \"Closed\" AND 'Open' = \"Yes\" AND 'Mood' = \"Cross!\"",
        "'Made' = \"2024-06-12 09:30\" AND 'Starts' = \"9:30 AM\" AND 'Number' LIKE \"7\" AND 'Log' LIKE \"fi%\"",
    ] {
        assert_eq!(judged(&bound, &row, condition), Truth::True, "{condition}");
    }
}

#[tokio::test]
async fn parts_are_columns_under_names_of_their_own_and_are_followed() {
    let database = Database::start(
        "create table incident (id int primary key, cost numeric, currency text, made bigint, secret text);
         alter publication walhook add table incident;
         insert into incident values (1, 5, 'USD', 1718184600, 'x');",
    )
    .await;
    let part = |name: &str, column: &str| Part { name: name.to_owned(), column: column.to_owned() };
    let made = Field { meaning: Some(Meaning::Epoch), ..field("Made", "made") };
    let configured = Form {
        fields: vec![made],
        parts: vec![part("Cost.VALUE", "cost"), part("Cost.TYPE", "currency"), part("Cost.DATE", "made")],
        ..form("incident")
    };
    let mut catalog = database.catalog(vec![configured.clone()]).await;
    assert_eq!(faults(catalog.statuses()), [""; 0]);
    let [bound] = database.bind_log(&mut catalog).await.try_into().unwrap();
    let parts: Vec<_> =
        bound.parts.iter().map(|part| (&*part.name, part.column, part.kind.clone())).collect();
    let epoch = Kind::Instant(Moment::Epoch);
    assert_eq!(parts, [("Cost.VALUE", 1, FRACTION), ("Cost.TYPE", 2, TEXT), ("Cost.DATE", 3, epoch)]);
    let names: Vec<_> = bound.fields.iter().map(|field| &*field.name).collect();
    assert_eq!(names, ["id", "cost", "currency", "Made", "secret"], "they are fields all the same");

    database.run("alter table incident rename currency to unit; insert into incident values (2)").await;
    let mut catalog = database.catalog_with(vec![configured.clone()], catalog.binding_records()).await;
    let [bound] = database.bind_log(&mut catalog).await.try_into().unwrap();
    assert_eq!((&*bound.parts[1].name, bound.parts[1].column), ("Cost.TYPE", 2));
    assert_eq!(bound.fields[2].name, "unit");

    let wrong = Form {
        parts: vec![part("Cost.VALUE", "costs"), part("S", "secret"), part("Made", "id")],
        hidden: vec!["secret".to_owned()],
        ..configured
    };
    let catalog = database.catalog(vec![wrong]).await;
    assert_eq!(
        faults(catalog.statuses()),
        [
            r#"incident: parts names column "costs", which public.incident does not have: did you mean cost?"#,
            r#"incident: two fields are called "Made": columns "made" and "id": give one of the fields another name than "Made""#,
            r#"incident: column "secret" is hidden but parts names it: take the column out of hidden, or out of parts"#,
        ]
    );
    let described = described(&catalog, "incident");
    assert_eq!(described.parts.iter().map(|part| &*part.name).collect::<Vec<_>>(), ["Made"]);
}

#[tokio::test]
async fn the_condition_of_where_is_bound_with_the_form_and_breaks_it_if_it_does_not_fit() {
    let database = Database::start(
        "create type type as enum ('incident', 'problem');
         create table ticket (id int primary key, type type, title text);
         alter table ticket replica identity full;
         alter publication walhook add table ticket;
         insert into ticket values (1, 'incident', 't');",
    )
    .await;
    let with = |text: &str| Form {
        entries: Some(Arc::new(Qualification::parse(text).unwrap())),
        fields: vec![field("Type", "type")],
        ..form("ticket")
    };
    let mut catalog = database.catalog(vec![with("'Type' = \"incident\"")]).await;
    assert_eq!(faults(catalog.statuses()), [""; 0]);
    let [bound] = database.bind_log(&mut catalog).await.try_into().unwrap();
    let entries = bound.entries.clone().unwrap();
    let row = database.row(&bound, "select * from ticket").await;
    assert_eq!(entries.judge(&facts(&bound, &row)), Ok(Truth::True));

    // The column goes by another name: the field stays. The label goes: the form breaks.
    database.run("alter table ticket rename type to kind").await;
    assert_eq!(faults(catalog.compare().await.unwrap()), [""; 0]);
    database.run("alter type type rename value 'incident' to 'event'").await;
    let id = database.relation_id("ticket").await;
    let status = &catalog.compare().await.unwrap()[0];
    assert_eq!(status.standing, Standing::Broken);
    let reason = status.reason();
    assert!(
        reason.starts_with("where does not fit the form:") && reason.contains("\"incident\""),
        "{reason}"
    );
    assert!(reason.contains('^'), "{reason}");
    assert!(matches!(catalog.described("ticket"), Some(Err(Fault::Entries { .. }))));
    assert!(catalog.forms_of(id).is_empty() && catalog.broken_of(id).count() == 1);

    catalog.take_over(vec![Arc::new(with("'Type' = \"event\""))]).await.unwrap();
    assert_eq!(catalog.forms_of(id).len(), 1, "mended");
    let status = &catalog.take_over(vec![Arc::new(with("'DB.Type' = 1"))]).await.unwrap()[0];
    assert!(status.is_broken(), "only about the row as it is");
}

impl Database {
    /// Whether the server could do it.
    async fn try_run(&self, statement: &str) -> bool {
        self.session.batch_execute(statement).await.is_ok()
    }

    /// The row that a query finds, its columns by name, in those of the form.
    async fn row(&self, form: &BoundForm, query: &str) -> Row {
        let columns: Vec<String> =
            form.relation.columns.iter().map(|column| format!("\"{}\"::text", column.name)).collect();
        let query = format!("select array[{}] from ({query}) row", columns.join(", "));
        let values: Vec<Option<String>> = self.session.query_one(&query, &[]).await.unwrap().get(0);
        values.iter().map(|value| value.as_deref().map_or(Datum::Null, Datum::Text)).collect()
    }
}

fn described(catalog: &Catalog, form: &str) -> Arc<BoundForm> {
    catalog.described(form).expect("there is a table").expect("the form fits it")
}

fn kind_of(form: &BoundForm, name: &str) -> Kind {
    let field = form.fields.iter().find(|field| field.name == name);
    field.unwrap_or_else(|| panic!("no field {name}")).kind.clone()
}

/// The choices of a selection: number, stored text, label.
fn labels(kind: &Kind) -> Vec<String> {
    let Kind::Selection(selection) = kind else { panic!("{kind:?} is no selection") };
    let shown =
        |choice: &walhook::value::Choice| format!("{} {} {}", choice.number, choice.stored, choice.label);
    selection.choices.iter().map(shown).collect()
}

static NOTHING: OldRow = OldRow::Absent;

fn facts<'a>(form: &'a BoundForm, row: &'a Row) -> Facts<'a> {
    Facts { form, verb: Verb::Create, old: &NOTHING, new: Some(row), committed_at_us: 0, user: None }
}

fn judged(form: &BoundForm, row: &Row, condition: &str) -> Truth {
    assert_eq!(*form.form.dialect, Dialect::default());
    let bound = Qualification::parse(condition).unwrap().bind(form, Purpose::Webhook(&[Verb::Create]));
    bound.unwrap_or_else(|faults| panic!("{condition}: {faults:?}")).judge(&facts(form, row)).unwrap()
}
