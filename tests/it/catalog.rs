//! Forms and tables, on a real server and with what its log really says of tables.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod kinds;
mod rules;

use crate::version::lacks;
use bytes::Buf;
use std::sync::Arc;
use walhook::catalog::{BindingStatus, Catalog, Standing};
use walhook::change::{Column, Datum, Relation, ReplicaIdentity, Row};
use walhook::demo::cluster::Cluster;
use walhook::form::{BindingRecord, BoundForm, Field, Fold, Form, OldValues};
use walhook::happening::{Happenings, Merges};
use walhook::postgres::{Address, Session, connect};
use walhook::value::Type;

#[tokio::test]
async fn forms_are_bound_by_what_the_log_says_of_their_tables() {
    let database = Database::start(
        r#"
        create schema helpdesk;
        create domain helpdesk.ticket_number as text check (value ~ '^INC');
        create type helpdesk.mood as enum ('calm', 'cross');
        create type helpdesk.place as (room text, floor int);
        create table helpdesk.incident (
            gone text,
            number helpdesk.ticket_number primary key,
            short_description text,
            upper_description text generated always as (upper(short_description)) stored,
            mood helpdesk.mood,
            place helpdesk.place,
            tags text[],
            password_hash text,
            guid uuid,
            last_seen_at timestamptz
        );
        alter table helpdesk.incident drop column gone;
        create table "user" ("Login Name" text primary key, "order" int);
        create table "item-list" (b int, a text, c text, primary key (a, b));
        alter publication walhook add table helpdesk.incident, "user", "item-list";
        insert into helpdesk.incident (number) values ('INC1');
        insert into "user" values ('ann', 1);
        insert into "item-list" values (1, 'x', 'y');
        "#,
    )
    .await;
    let incident = Form {
        record_id: Some("guid".to_owned()),
        fields: vec![field("Short Description", "short_description"), field("GUID", "guid")],
        hidden: vec!["password_hash".to_owned()],
        ignore: vec!["last_seen_at".to_owned()],
        ..form("helpdesk.incident")
    };
    let mut catalog = database.catalog(vec![incident, form("user"), form("item-list")]).await;
    assert_eq!(faults(catalog.statuses()), [""; 0]);
    let [incident, user, items] = database.bind_log(&mut catalog).await.try_into().unwrap();

    let names: Vec<_> = incident.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["number", "Short Description", "mood", "place", "tags", "GUID", "last_seen_at"]);
    let type_of = |name: &str| &incident.fields.iter().find(|field| field.name == name).unwrap().type_;
    assert_eq!(*type_of("number"), Type::Text);
    assert!(matches!(type_of("place"), Type::Composite(attributes) if attributes[1].type_ == Type::Number));
    assert!(matches!(type_of("tags"), Type::Array { .. }));
    assert_eq!(
        (&incident.key[..], &incident.entry_id[..], incident.record_id),
        (&[0][..], &[0][..], Some(6))
    );
    let ignored: Vec<_> = (0..8).filter(|column| incident.ignored[*column]).collect();
    assert_eq!(ignored, [5, 7], "password_hash and last_seen_at");
    assert!(incident.delete_insert_is_merge && !incident.uses_old_values);

    assert_eq!((user.relation.name.as_str(), user.fields[1].name.as_str()), ("user", "order"));
    let row: Row = [Datum::Text("1"), Datum::Text("x|y"), Datum::Null].into_iter().collect();
    assert_eq!(items.entry_id_of(&row), r"x\|y|1", "in the order of the primary key");
}

#[tokio::test]
async fn everything_that_is_wrong_is_told_at_once_with_its_remedy() {
    let database = Database::start(
        "
        create table incident (number text primary key, status text, secret text, up text generated always as (upper(status)) stored);
        create table keyless (a text, b text);
        create table full_keyless (a text, b text);
        alter table full_keyless replica identity full;
        create table keyed (id int primary key, code text not null unique);
        create table nothing (id int primary key);
        alter table nothing replica identity nothing;
        create table unpublished (id int primary key);
        create table unpublished_keyless (a text);
        create view incidents as select * from incident;
        create materialized view counted as select count(*) from incident;
        create unlogged table scratch (id int primary key);
        create temporary table mine (id int primary key);
        create schema one; create schema two;
        create table one.twice (id int primary key);
        create table two.twice (id int primary key);
        alter publication walhook add table incident, full_keyless, keyed, nothing;
        alter publication walhook_inserts add table keyless;
        ",
    )
    .await;
    let entry_id = |table: &str, columns: &[&str]| Form {
        entry_id: columns.iter().map(|column| (*column).to_owned()).collect(),
        ..form(table)
    };
    let twisted = Form {
        record_id: Some("secret".to_owned()),
        hidden: vec!["secret".to_owned(), "pasword".to_owned()],
        ignore: vec!["stats".to_owned()],
        fields: vec![field("status", "number"), field("Up", "up"), field("Up", "nope_at_all")],
        old_values: OldValues::Log,
        ..form("public.incident")
    };
    let forms = vec![
        twisted,
        form("public.incidnt"),
        form("keyed_"),
        form("keyless"),
        entry_id("keyless", &["a"]),
        form("full_keyless"),
        entry_id("full_keyless", &["a"]),
        entry_id("keyed", &["code"]),
        form("nothing"),
        form("unpublished"),
        entry_id("unpublished_keyless", &["a"]),
        form("incidents"),
        form("counted"),
        form("scratch"),
        form("pg_catalog.pg_class"),
        form("twice"),
        form("one.twice"),
    ];
    let catalog = database.catalog(forms).await;
    let expected = [
        r#"public.incident: fields names column "up" of public.incident, which is generated and not in the log: take the column out of fields; map the columns it is computed from"#,
        r#"public.incident: fields names column "nope_at_all", which public.incident does not have: take the column out of fields, or name an existing one"#,
        r#"public.incident: ignore names column "stats", which public.incident does not have: did you mean status?"#,
        r#"public.incident: hidden names column "pasword", which public.incident does not have: take the column out of hidden, or name an existing one"#,
        r#"public.incident: two fields are called "Up": columns "up" and "nope_at_all": give one of the fields another name than "Up""#,
        r#"public.incident: two fields are called "status": columns "number" and "status": give one of the fields another name than "status""#,
        r#"public.incident: column "secret" is hidden but record_id names it: take the column out of hidden, or out of record_id"#,
        r#"public.incident: old_values = "log" needs whole old rows, but the replica identity of public.incident is not FULL: alter table public.incident replica identity full;"#,
        "public.incidnt: table public.incidnt does not exist: did you mean public.incident?",
        "keyed_: table keyed_ does not exist: did you mean keyed?",
        "keyless: public.keyless has no primary key, and the form has no entry_id: set entry_id to columns that identify a row",
        "full_keyless: public.full_keyless has no primary key, and the form has no entry_id: set entry_id to columns that identify a row",
        r#"keyed: column "code" is not in the replica identity of public.keyed, so deletes and updates would not tell the entry: alter table public.keyed replica identity full;"#,
        r#"nothing: column "id" is not in the replica identity of public.nothing, so deletes and updates would not tell the entry: alter table public.nothing replica identity default;"#,
        r#"unpublished: public.unpublished is not in publication "walhook": alter publication "walhook" add table public.unpublished;"#,
        r#"unpublished_keyless: column "a" is not in the replica identity of public.unpublished_keyless, so deletes and updates would not tell the entry: alter table public.unpublished_keyless replica identity full;"#,
        r#"unpublished_keyless: public.unpublished_keyless is not in publication "walhook": alter table public.unpublished_keyless replica identity full; alter publication "walhook" add table public.unpublished_keyless;"#,
        "incidents: public.incidents is a view: its changes are not in the log: map the tables behind it",
        "counted: public.counted is a materialized view: its changes are not in the log: map the tables behind it",
        "scratch: public.scratch is an unlogged table: its changes are not in the log: alter table public.scratch set logged;",
        "pg_catalog.pg_class: pg_catalog.pg_class is a table of PostgreSQL itself: its changes are not in the log: map an ordinary table",
        r#"twice: table twice exists in several schemas: one, two: say which one, such as table = "one.twice""#,
        r#"one.twice: one.twice is not in publication "walhook": alter publication "walhook" add table one.twice;"#,
    ];
    assert_eq!(faults(catalog.statuses()), expected);
}

#[tokio::test]
async fn renamed_columns_and_tables_are_followed_though_the_log_is_behind() {
    let database = Database::start(
        "create table incident (id int primary key, number text, summary text, secret text, other text);
         alter publication walhook add table incident;
         alter table incident replica identity full;
         insert into incident values (1, 'INC1', 's', 'x', 'o');",
    )
    .await;
    let configured = Form {
        entry_id: vec!["number".to_owned()],
        fields: vec![field("Short Description", "summary")],
        hidden: vec!["secret".to_owned()],
        ..form("incident")
    };
    // Known before, renamed while walhook was down, and again while it reads the log of in between.
    let before = database.catalog(vec![configured.clone()]).await.binding_records();
    database
        .run(
            "alter table incident rename summary to title;
             alter table incident rename secret to token;
             insert into incident values (2, 'INC2', 's', 'x', 'o');
             alter table incident rename number to code;
             alter table incident add secret text;
             alter table incident rename to ticket;
             insert into ticket values (3, 'INC3', 's', 'x', 'o', 'new secret');
             alter table ticket rename title to headline;
             alter table ticket rename token to key;",
        )
        .await;
    let mut catalog = database.catalog_with(vec![configured.clone()], before).await;
    let status = &catalog.statuses()[0];
    assert_eq!(
        (&status.standing, status.table.as_str()),
        (&Standing::Renamed { was: "incident".to_owned() }, "public.ticket")
    );
    let bound = database.bind_log(&mut catalog).await;
    let shown: Vec<Vec<_>> =
        bound.iter().map(|form| form.fields.iter().map(|field| field.name.as_str()).collect()).collect();
    assert_eq!(
        shown,
        [
            vec!["id", "number", "Short Description", "other"],
            vec!["id", "number", "Short Description", "other"],
            vec!["id", "code", "Short Description", "other"],
        ]
    );
    for form in &bound {
        assert_eq!(
            (&form.key[..], &form.entry_id[..], form.ignored[3]),
            (&[0][..], &[1][..], true),
            "{form:?}"
        );
    }
    // After a start everything is still followed, and both secrets stay hidden.
    database.run("insert into ticket values (4, 'INC4', 's', 'x', 'o', 'new secret')").await;
    let mut catalog = database.catalog_with(vec![configured], catalog.binding_records()).await;
    let [form] = database.bind_log(&mut catalog).await.try_into().unwrap();
    assert_eq!(form.ignored, [false, false, false, true, false, true]);
}

/// A migration renamed the key of a table with REPLICA IDENTITY FULL and replaced another column while walhook
/// was behind. The log still had the old names, the catalogue only the new ones, no key was found, and the rows
/// of before the migration went to the quarantine. The names that the key had are remembered now.
#[tokio::test]
async fn a_key_that_was_renamed_among_other_changes_is_found_though_the_log_is_behind() {
    let database = Database::start(
        "create table incident (id int primary key, a int);
         alter publication walhook add table incident;
         alter table incident replica identity full;",
    )
    .await;
    let records = database.catalog(vec![form("incident")]).await.binding_records();
    database
        .run(
            "insert into incident values (1, 1); alter table incident rename id to number;
             alter table incident add b text; alter table incident drop a; insert into incident values (2);",
        )
        .await;
    let mut catalog = database.catalog_with(vec![form("incident")], records).await;
    let keys: Vec<_> = database.bind_log(&mut catalog).await.iter().map(|form| form.key.clone()).collect();
    assert_eq!(keys, [[0], [0]]);
}

#[tokio::test]
async fn a_hidden_column_stays_hidden_even_when_it_is_gone_from_the_catalogue() {
    let database = Database::start(
        "create table person (id int primary key, name text, password text, extra text);
         alter publication walhook add table person;",
    )
    .await;
    let configured = Form { hidden: vec!["password".to_owned()], ..form("person") };
    let records = database.catalog(vec![configured.clone()]).await.binding_records();
    database
        .run(
            "alter table person rename password to token; insert into person values (1, 'Ann', 'secret');
             alter table person drop token;",
        )
        .await;
    let mut catalog = database.catalog_with(vec![configured], records).await;
    assert_eq!(faults(catalog.statuses()).len(), 1);
    assert!(!catalog.statuses()[0].is_broken(), "a dropped column is told, and breaks nothing");
    let [form] = database.bind_log(&mut catalog).await.try_into().unwrap();
    let names: Vec<_> = form.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["id", "name", "extra"]);
}

#[tokio::test]
async fn columns_that_the_publication_leaves_out_are_no_fields() {
    let database =
        Database::start("create table person (id int primary key, name text, born date, code text)").await;
    if lacks(&database.cluster, 15, "column lists of publications") {
        return;
    }
    database
        .run("alter publication walhook add table person (id, born, code); insert into person values (1)")
        .await;
    let configured =
        Form { fields: vec![field("Birthday", "born"), field("Name", "name")], ..form("person") };
    let mut catalog = database.catalog(vec![configured]).await;
    assert_eq!(
        faults(catalog.statuses()),
        ["person: fields names column \"name\" of public.person, which the publication leaves out: \
          take the column out of fields, or add it to the publication's column list"]
    );
    let configured = Form { fields: vec![field("Birthday", "born")], ..form("person") };
    catalog.take_over(vec![Arc::new(configured)]).await.unwrap();
    database.run("insert into person values (2); alter table person rename born to birthday").await;
    let [form] = database.bind_log(&mut catalog).await.try_into().unwrap();
    let names: Vec<_> = form.fields.iter().map(|field| field.name.as_str()).collect();
    assert_eq!(names, ["id", "Birthday", "code"]);
}

#[tokio::test]
async fn generated_columns_are_fields_where_they_are_published() {
    let database = Database::start("create table person (id int primary key, name text)").await;
    if lacks(&database.cluster, 18, "generated columns of publications") {
        return;
    }
    database
        .run(
            "alter table person add up text generated always as (upper(name)) stored,
                 add low text generated always as (lower(name)) virtual;
             alter publication walhook add table person;
             insert into person values (1, 'Ann')",
        )
        .await;
    let mut catalog = database.catalog(vec![form("person")]).await;
    let names = |form: &BoundForm| form.fields.iter().map(|field| field.name.clone()).collect::<Vec<_>>();
    let [unpublished] = database.bind_log(&mut catalog).await.try_into().unwrap();
    assert_eq!(names(&unpublished), ["id", "name"]);
    database
        .run("alter publication walhook set (publish_generated_columns = stored); insert into person values (2, 'Bob')")
        .await;
    let mut catalog = database.catalog(vec![form("person")]).await;
    let [published] = database.bind_log(&mut catalog).await.try_into().unwrap();
    assert_eq!(names(&published), ["id", "name", "up"]);
}

#[tokio::test]
async fn columns_come_and_go_while_the_stream_runs() {
    let database = Database::start(
        "create table incident (id int primary key, number text, summary text);
         alter publication walhook add table incident;
         alter table incident replica identity full;
         insert into incident values (1, 'INC1', 's');",
    )
    .await;
    let configured = Form {
        entry_id: vec!["number".to_owned()],
        record_id: Some("id".to_owned()),
        fields: vec![field("Summary", "summary")],
        ..form("incident")
    };
    let mut catalog = database.catalog(vec![configured]).await;
    let mut shown = async |sql: &str| -> (Vec<String>, Option<String>) {
        database.run(sql).await;
        let relation = database.log().await.pop().unwrap();
        let id = relation.id;
        let status = catalog.relation(relation).await.unwrap()[0].clone();
        let names = catalog.forms_of(id).iter().flat_map(|form| &form.fields).map(|field| field.name.clone());
        (names.collect(), status.is_broken().then(|| status.reason()))
    };
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let added = shown(
        "alter table incident add mood text default 'calm'; insert into incident values (2, 'INC2', 's')",
    )
    .await;
    assert_eq!(added, (names(&["id", "number", "Summary", "mood"]), None));
    let dropped = shown("alter table incident drop summary; insert into incident values (3, 'INC3')").await;
    assert_eq!(dropped, (names(&["id", "number", "mood"]), None));
    let clash =
        shown("alter table incident add \"Summary\" text; insert into incident values (4, 'INC4')").await;
    assert_eq!(clash, (names(&["id", "number", "mood"]), None), "the configured name is not given away");
    let broken = shown("alter table incident drop number; insert into incident values (5)").await;
    let reason = "entry_id names column \"number\", which was dropped from public.incident: \
                  take the column out of entry_id, or name an existing one";
    assert_eq!(broken, (names(&[]), Some(reason.to_owned())));
    let table = catalog.statuses()[0].clone();
    assert_eq!((table.is_broken(), table.faults.len()), (true, 2), "{table:?}");
    let id = database.relation_id("incident").await;
    assert_eq!(catalog.broken_of(id).count(), 1);
}

#[tokio::test]
async fn a_table_that_was_replaced_is_bound_again_when_it_is_published() {
    let database = Database::start(
        "create table incident (id int primary key, a text); alter publication walhook add table incident;
         insert into incident values (1);",
    )
    .await;
    let mut catalog = database.catalog(vec![form("incident")]).await;
    let first = database.bind_log(&mut catalog).await.pop().unwrap();
    // Moved aside, as migration tools do it: the name decides, not the table that had it.
    database
        .run(
            "insert into incident values (2);
             begin; alter table incident rename to incident_old; create table incident (id int primary key, a text); commit;
             insert into incident_old values (3); insert into incident values (3);",
        )
        .await;
    let status = catalog.compare().await.unwrap()[0].clone();
    assert_eq!(
        status.reason(),
        "table public.incident was replaced by a new table of that name: add the new public.incident to the publication; \
         public.incident is not in publication \"walhook\": alter publication \"walhook\" add table public.incident;"
    );
    assert!(status.is_broken());
    assert_eq!(catalog.forms_of(first.relation.id).len(), 1, "what was written before still arrives");
    let bound: Vec<String> =
        database.bind_log(&mut catalog).await.iter().map(|f| f.relation.name.clone()).collect();
    assert_eq!(bound, ["incident"], "incident_old is not the form's table any more");

    database.run("alter publication walhook add table incident; insert into incident values (4);").await;
    assert_eq!(catalog.compare().await.unwrap()[0].standing, Standing::Replaced);
    assert_eq!(catalog.compare().await.unwrap()[0].standing, Standing::Bound, "said once");
    let second = database.bind_log(&mut catalog).await.pop().unwrap();
    assert_ne!(second.relation.id, first.relation.id);

    database.run("drop table incident").await;
    let status = catalog.compare().await.unwrap()[0].clone();
    assert_eq!(status.faults[0].to_string(), "table incident was dropped");
    database.run("create table incident (id int primary key); alter publication walhook add table incident; insert into incident values (1)").await;
    let relation = database.log().await.pop().unwrap();
    let statuses = catalog.relation(relation).await.unwrap();
    assert_eq!(statuses[0].standing, Standing::Replaced, "without waiting for the comparison");
    assert_eq!(catalog.binding_records()[0].relation, database.relation_id("incident").await);

    database.run("alter publication walhook drop table incident").await;
    assert!(
        catalog.compare().await.unwrap()[0].reason().starts_with("public.incident is not in publication")
    );
}

#[tokio::test]
async fn partitioned_tables_are_known_by_their_root() {
    let database = Database::start(
        "create table event (day date, id int, note text, primary key (day, id)) partition by range (day);
         create table event_2024 partition of event for values from ('2024-01-01') to ('2025-01-01');
         create table event_2025 partition of event for values from ('2025-01-01') to ('2026-01-01');
         alter publication walhook add table event;
         insert into event values ('2024-05-05', 1, 'n');",
    )
    .await;
    let merges = Merges { delete_insert: Some(true), ..Merges::default() };
    let happenings = Happenings { merges, ..Happenings::default() };
    let explicit = Form { happenings, name: "explicit".to_owned(), ..form("event") };
    let mut catalog = database.catalog(vec![form("event"), explicit, form("event_2024")]).await;
    assert_eq!(
        faults(catalog.statuses()),
        [
            "event_2024: public.event_2024 is a partition of public.event, and its changes are published under that name: map public.event"
        ]
    );
    // The server describes the partition too, but its changes come under the root.
    let mut bound = database.bind_log(&mut catalog).await;
    bound.retain(|form| form.relation.name == "event");
    let merges: Vec<_> =
        bound.iter().map(|form| (form.form.name.as_str(), form.delete_insert_is_merge)).collect();
    assert_eq!(merges, [("event", false), ("explicit", true)]);
    assert_eq!((bound[0].relation.name.as_str(), &bound[0].key[..]), ("event", &[0, 1][..]));

    // FULL on the root alone says nothing of what the partitions write.
    database
        .run("alter table event replica identity full; insert into event values ('2024-05-05', 2, 'n');")
        .await;
    let bound = database.bind_log(&mut catalog).await;
    assert_eq!(bound[0].relation.identity, ReplicaIdentity::Full);
    assert!(!bound[0].uses_old_values && bound[0].key == [0, 1]);
    let wants_old = Form { old_values: OldValues::Log, ..form("event") };
    assert_eq!(
        faults(catalog.take_over(vec![Arc::new(wants_old)]).await.unwrap()),
        [
            "event: old_values = \"log\" needs whole old rows, but the replica identity of public.event is not FULL: \
          alter table public.event replica identity full; alter table public.event_2024 replica identity full; \
          alter table public.event_2025 replica identity full;"
        ]
    );
    database
        .run("alter table event_2024 replica identity full; alter table event_2025 replica identity full;")
        .await;
    assert_eq!(faults(catalog.compare().await.unwrap()), [""; 0]);
    let id = database.relation_id("event").await;
    assert!(catalog.forms_of(id)[0].uses_old_values, "bound anew by the comparison");

    database.run("alter publication walhook set (publish_via_partition_root = false)").await;
    assert_eq!(
        faults(catalog.compare().await.unwrap()),
        ["event: publication \"walhook\" publishes the partitions of public.event under their own names: \
          alter publication \"walhook\" set (publish_via_partition_root = true);"]
    );
}

#[tokio::test]
async fn the_key_is_what_every_old_row_has() {
    let database = Database::start(
        "create table by_index (id int primary key, region text not null, code text not null, note text);
         create unique index by_region on by_index (region, code);
         alter table by_index replica identity using index by_region;
         create table by_pk (id int primary key, code text not null);
         alter table by_pk replica identity full;
         create table keyless (a text, b text);
         alter table keyless replica identity full;
         create table inserts (a text, b text);
         alter publication walhook add table by_index, by_pk, keyless;
         alter publication walhook_inserts add table inserts;
         insert into by_index values (1, 'r', 'c'); insert into by_pk values (1, 'c');
         insert into keyless values ('a', 'b'); insert into inserts values ('a', 'b');",
    )
    .await;
    let with = |table: &str, column: &str| Form { entry_id: vec![column.to_owned()], ..form(table) };
    let forms =
        vec![with("by_index", "code"), with("by_pk", "code"), with("keyless", "b"), with("inserts", "a")];
    let mut catalog = database.catalog(forms).await;
    assert_eq!(faults(catalog.statuses()), [""; 0]);
    let bound = database.bind_log(&mut catalog).await;
    let keys: Vec<_> =
        bound.iter().map(|form| (form.form.name.as_str(), &form.key[..], &form.entry_id[..])).collect();
    assert_eq!(
        keys,
        [
            ("by_index", &[1, 2][..], &[2][..]), // the primary key is not in old rows
            ("by_pk", &[0][..], &[1][..]),
            ("keyless", &[1][..], &[1][..]),
            ("inserts", &[0][..], &[0][..]), // no old rows at all
        ]
    );
    let uses: Vec<bool> = bound.iter().map(|form| form.uses_old_values).collect();
    assert_eq!(uses, [false, true, true, false]);

    // While the stream runs somebody takes the identity away: the form says so, the stream goes on.
    database.run("alter table keyless replica identity nothing; insert into keyless values ('a', 'c')").await;
    let relation = database.log().await.pop().unwrap();
    let id = relation.id;
    let statuses = catalog.relation(relation).await.unwrap();
    assert!(statuses[0].is_broken() && statuses[0].reason().contains("replica identity of public.keyless"));
    assert!(catalog.forms_of(id).is_empty());
}

#[tokio::test]
async fn forms_share_tables_and_other_tables_concern_nobody() {
    let database = Database::start(
        "create table item (id int primary key, kind text); create table other (id int primary key);
         create schema archive; create table archive.item (id int primary key);
         alter publication walhook add table item, other, archive.item;
         insert into item values (1, 'a'); insert into other values (1); insert into archive.item values (1);",
    )
    .await;
    let second = Form { name: "second".to_owned(), ..form("item") };
    let mut catalog = database.catalog(vec![form("item"), second]).await;
    let relations = database.log().await;
    let mut bound = Vec::new();
    for relation in relations.clone() {
        let statuses = catalog.relation(relation.clone()).await.unwrap();
        bound.push((relation.name, statuses.len()));
    }
    let count = |name: &str, forms| (name.to_owned(), forms);
    assert_eq!(bound, [count("item", 2), count("other", 0), count("item", 0)]);
    assert!(catalog.forms_of(4_000_000_000).is_empty());

    // The log describes a table once; other forms can still be bound to it.
    catalog.take_over(vec![Arc::new(form("other"))]).await.unwrap();
    let bound = relations.iter().map(|relation| catalog.forms_of(relation.id).len());
    assert_eq!(bound.collect::<Vec<_>>(), [0, 1, 0]);
}

#[tokio::test]
async fn a_row_type_that_changed_is_read_again() {
    let database = Database::start(
        "create type place as (room text); create table desk (id int primary key, at place);
         alter publication walhook add table desk; insert into desk values (1, row('r'));",
    )
    .await;
    let mut catalog = database.catalog(vec![form("desk")]).await;
    let attributes = |form: &BoundForm| match &form.fields[1].type_ {
        Type::Composite(attributes) => attributes.iter().map(|a| a.name.clone()).collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let bound = database.bind_log(&mut catalog).await;
    assert_eq!(attributes(&bound[0]), ["room"]);
    database.run("alter type place add attribute floor int").await;
    catalog.compare().await.unwrap();
    assert_eq!(attributes(&catalog.forms_of(bound[0].relation.id)[0]), ["room", "floor"]);
    // Table and type are gone by the time the log of their last changes is read.
    database.run("insert into desk values (2, row('r', 1)); drop table desk; drop type place;").await;
    let relation = database.log().await.pop().unwrap();
    let id = relation.id;
    catalog.compare().await.unwrap();
    catalog.relation(relation.clone()).await.unwrap();
    assert_eq!(attributes(&catalog.forms_of(id)[0]), ["room", "floor"], "known from before");
    let mut catalog = database.catalog_with(vec![form("desk")], catalog.binding_records()).await;
    catalog.relation(relation).await.unwrap();
    let form = &catalog.forms_of(id)[0];
    assert_eq!((&form.fields[1].type_, &form.key[..]), (&Type::Text, &[0][..]), "the log alone is enough");
}

#[tokio::test]
async fn a_lost_session_is_opened_again() {
    let database =
        Database::start("create table item (id int primary key); alter publication walhook add table item")
            .await;
    let mut catalog = database.catalog(vec![form("item")]).await;
    let end = "select pg_terminate_backend(pid) from pg_stat_activity
               where backend_type = 'client backend' and pid <> pg_backend_pid()";
    database.run(end).await;
    // One answer may be that the session has ended.
    while can_move_between_threads(catalog.compare()).await.is_err() {}
    assert_eq!(faults(catalog.statuses()), [""; 0]);
}

/// A database with an application, a log and our publications.
struct Database {
    cluster: Cluster,
    session: Session,
}

impl Database {
    async fn start(sql: &str) -> Self {
        let cluster = Cluster::start(&[]).unwrap();
        let session =
            connect(&Address::parse(&cluster.url("postgres")).unwrap(), "application").await.unwrap();
        let database = Self { cluster, session };
        database
            .run(
                "create publication walhook with (publish_via_partition_root = true);
                 create publication walhook_inserts with (publish = 'insert', publish_via_partition_root = true);",
            )
            .await;
        database.run("select pg_create_logical_replication_slot('log', 'pgoutput')").await;
        database.run(sql).await;
        database
    }

    async fn run(&self, sql: &str) {
        // One statement after the other: sent together they would be one transaction.
        for statement in sql.split_inclusive(';') {
            self.session
                .batch_execute(statement)
                .await
                .unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        }
    }

    async fn catalog(&self, forms: Vec<Form>) -> Catalog {
        self.catalog_with(forms, Vec::new()).await
    }

    async fn catalog_with(&self, forms: Vec<Form>, records: Vec<BindingRecord>) -> Catalog {
        let address = Address::parse(&self.cluster.url("postgres")).unwrap();
        let forms = forms.into_iter().map(Arc::new).collect();
        let publications = ["walhook", "walhook_inserts"].map(str::to_owned);
        Catalog::open(&address, forms, &publications, records).await.unwrap()
    }

    async fn relation_id(&self, table: &str) -> u32 {
        self.session.query_one("select $1::text::regclass::oid", &[&table]).await.unwrap().get(0)
    }

    /// What the log says of tables since it was asked last.
    async fn log(&self) -> Vec<Relation> {
        let query = "select data from pg_logical_slot_get_binary_changes('log', null, null,
            'proto_version', '1', 'publication_names', 'walhook,walhook_inserts')";
        let rows = self.session.query(query, &[]).await.unwrap();
        rows.iter().filter_map(|row| read_relation(row.get(0))).collect()
    }

    /// The bindings that follow from the log, in its order.
    async fn bind_log(&self, catalog: &mut Catalog) -> Vec<Arc<BoundForm>> {
        let mut bound = Vec::new();
        for relation in self.log().await {
            let id = relation.id;
            can_move_between_threads(catalog.relation(relation)).await.unwrap();
            bound.extend_from_slice(catalog.forms_of(id));
        }
        bound
    }
}

/// Capture runs wherever the scheduler puts it.
fn can_move_between_threads<T: Send>(future: T) -> T {
    future
}

/// Reads a Relation message of the protocol.
fn read_relation(mut bytes: &[u8]) -> Option<Relation> {
    fn text(bytes: &mut &[u8]) -> String {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap();
        let text = String::from_utf8(bytes[..end].to_vec()).unwrap();
        bytes.advance(end + 1);
        text
    }
    if bytes.get_u8() != b'R' {
        return None;
    }
    let id = bytes.get_u32();
    let (schema, name) = (text(&mut bytes), text(&mut bytes));
    let identity = match bytes.get_u8() {
        b'f' => ReplicaIdentity::Full,
        b'i' => ReplicaIdentity::Index,
        b'n' => ReplicaIdentity::Nothing,
        _ => ReplicaIdentity::Default,
    };
    let count = bytes.get_u16();
    let column = |_| Column {
        in_identity: bytes.get_u8() & 1 != 0,
        name: text(&mut bytes),
        type_oid: bytes.get_u32(),
        type_modifier: bytes.get_i32(),
    };
    let columns = (0..count).map(column).collect();
    Some(Relation { id, schema, name, identity, columns })
}

/// A form over `table` or `schema.table` with nothing configured.
fn form(table: &str) -> Form {
    let (schema, name) = match table.split_once('.') {
        Some((schema, name)) => (Some(schema.to_owned()), name),
        None => (None, table),
    };
    Form {
        name: table.to_owned(),
        noun: name.to_owned(),
        schema,
        table: name.to_owned(),
        entry_id: Vec::new(),
        record_id: None,
        old_values: OldValues::Auto,
        fold: Fold::Transaction,
        ignore: Vec::new(),
        unset: Vec::new(),
        hidden: Vec::new(),
        fields: Vec::new(),
        happenings: Happenings::default(),
        itrp: walhook::form::ItrpFields::default(),
        belonging: None,
        referred_by: vec![],
        unchanged_updates: false,
        value_bytes_max: 16 << 20,
        entries: None,
        supplied: vec![],
        deleted: None,
        attachments: walhook::attachment::Attachments::default(),
        parts: vec![],
        dialect: Arc::default(),
    }
}

fn field(name: &str, column: &str) -> Field {
    Field { name: name.to_owned(), column: column.to_owned(), id: None, labels: vec![], meaning: None }
}

/// Everything that breaks a form, each with its remedy.
fn faults(statuses: &[BindingStatus]) -> Vec<String> {
    let said = statuses.iter().flat_map(|status| {
        status.faults.iter().map(move |fault| format!("{}: {fault}: {}", status.form, fault.remedy()))
    });
    said.collect()
}
