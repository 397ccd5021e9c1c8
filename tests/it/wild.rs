//! `docs/MAPPING.md` says the truth: each recipe is played on a schema that behaves as it says, with the recipe's own TOML, and
//! what arrives is what stands there.

use crate::receiver::{Receiver, Request};
use crate::registration::{arrived, one_by_one};
use crate::running::Site;
use serde_json::Value;
use std::path::Path;
use walhook::app::config::Config;

const MAPPING: &str = include_str!("../../docs/MAPPING.md");
const EVENTS: &str = include_str!("../../docs/events.md");
const URL: &str = "https://receiver.example/hook";

/// The blocks of a language in a text.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if let Some(found) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if found == language {
                blocks.push(block.join("\n"));
            }
        }
    }
    blocks
}

/// A recipe: its TOML, and what arrives.
fn recipe(title: &str) -> (String, String) {
    let section = MAPPING.split("\n## ").find(|section| section.lines().next() == Some(title));
    let section = section.unwrap_or_else(|| panic!("there is no recipe {title:?}"));
    let [toml] = &blocks(section, "toml")[..] else { panic!("{title}: one block of TOML") };
    let [text] = &blocks(section, "text")[..] else { panic!("{title}: one block of what arrives") };
    (toml.clone(), text.clone())
}

/// What stands at a place in a body: `changed.title.new`.
fn at<'a>(body: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(body, |value, key| &value[key])
}

/// Plays a recipe: the schema, then, while walhook runs, what the application does.
async fn play(title: &str, schema: &str, statements: &[&str]) {
    let (toml, expected) = recipe(title);
    let (site, receiver) = (Site::new(schema).await, Receiver::start().await);
    assert!(toml.contains(URL), "{title}");
    site.configure(&toml.replace(URL, &receiver.url()));
    let walhook = site.start().await;
    one_by_one(&site.session().await, statements).await;
    let expected: Vec<&str> = expected.lines().collect();
    arrived(&receiver, expected.len()).await;
    // the last statement of each is told of: what should not have come stood before it
    assert_eq!(walhook.stop(), 0);
    let mut bodies: Vec<Value> = receiver.requests().iter().map(Request::json).collect();
    bodies.sort_by_key(|body| body["sequence"].as_u64());
    let heads: Vec<String> = bodies
        .iter()
        .map(|body| format!("{} {}", body["event"].as_str().unwrap(), body["entry_id"].as_str().unwrap()))
        .collect();
    let expected_heads: Vec<&str> =
        expected.iter().map(|line| line.split("  ").next().unwrap_or(line)).collect();
    assert_eq!(heads, expected_heads, "{title}: {bodies:#?}");
    for (body, line) in bodies.iter().zip(&expected) {
        for fact in line.split("  ").skip(1) {
            let (path, value) = fact.split_once(" = ").unwrap_or_else(|| panic!("{title}: {fact}"));
            let value: Value = serde_json::from_str(value).unwrap_or_else(|error| panic!("{fact}: {error}"));
            assert_eq!(*at(body, path), value, "{title}: {line}: {body:#}");
        }
    }
    let (_, quarantine) = site.run(&["--json", "queue", "quarantine"]);
    assert_eq!(quarantine.trim(), "[]", "{title}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_save_is_several_statements() {
    let schema = "create table ticket (id int primary key, number text, title text, status int);
        alter table ticket replica identity full";
    let statements = [
        "begin; insert into ticket values (1); update ticket set number = 'T-1'; update ticket set title = 'printer'; commit",
        "update ticket set title = title",
        "begin; update ticket set title = 'x'; savepoint s; update ticket set number = 'y'; rollback to s;
            update ticket set title = 'printer'; commit",
        "begin; update ticket set title = 'never'; insert into ticket values (2); rollback",
        "begin; update ticket set status = 9; delete from ticket; commit",
    ];
    play("A save is several statements", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bookkeeping() {
    let schema =
        "create table ticket (id int primary key, title text, updated_at timestamptz, lock_version int,
        position int); alter table ticket replica identity full;
        insert into ticket select n, 'keyboard', now(), 0, n from generate_series(1, 20) n";
    let statements = [
        "update ticket set updated_at = clock_timestamp() where id = 1",
        "update ticket set position = position + 1, lock_version = lock_version + 1",
        "update ticket set title = 'mouse', updated_at = clock_timestamp(), lock_version = 2 where id = 2",
    ];
    play("Bookkeeping", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_forms_in_one_table() {
    let schema = "create table ticket (id int primary key, type text, title text);
        alter table ticket replica identity full";
    let statements = [
        "insert into ticket values (1, 'incident', 'a')",
        "insert into ticket values (2, 'request', 'b')",
        "insert into ticket values (3, 'problem', 'c')",
        "update ticket set type = 'request' where id = 1",
    ];
    play("Several forms in one table", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn notes_in_a_table_for_all() {
    let schema =
        "create table ticket (id int primary key, title text); insert into ticket values (1, 'printer');
        create table note (id serial primary key, about_type text, about_id int, internal bool, body text)";
    let statements = [
        "insert into note (about_type, about_id, internal, body) values ('Ticket', 1, true, 'hush')",
        "insert into note (about_type, about_id, internal, body) values ('Person', 1, false, 'nice')",
        "insert into note (about_type, about_id, internal, body) values ('Ticket', 1, false, 'called back')",
    ];
    play("Notes in a table for all", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn type_and_number_in_one_text() {
    let schema =
        "create table ticket (id int primary key, title text); insert into ticket values (1, 'printer');
        create table attachment (id int primary key, resource text, name text, content bytea)";
    let statements = [
        "insert into attachment values (1, 'party.party,1', 'face.png', '\\x00')",
        "insert into attachment values (2, 'desk.ticket,1', 'fire.png', '\\x00')",
    ];
    play("Type and number in one text", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_of_many_rows_several_tables_away() {
    let schema = "create table ticket (id int primary key, number text unique, title text);
        alter table ticket replica identity full; insert into ticket values (1, 'T-1', 'printer');
        create table communication (id int primary key, ticket_number text);
        create table article (id int primary key, communication_id int);
        create table article_part (id int primary key, article_id int, part text, text text)";
    let statements = ["begin; insert into communication values (1, 'T-1'); insert into article values (5, 1);
        insert into article_part values (10, 5, 'head', 'From: jane'), (11, 5, 'body', 'it burns'), (12, 5, 'foot', 'j.');
        commit"];
    play("A reply of many rows, several tables away", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn merged_entries() {
    let schema =
        "create table ticket (id int primary key, title text, merged_into int, merged bool default false);
        alter table ticket replica identity full;
        insert into ticket values (1, 'a'), (2, 'b'), (3, 'c')";
    let statements = [
        "update ticket set merged_into = 2, merged = true where id = 1",
        "begin; update ticket set merged_into = 3, merged = true where id = 2;
            update ticket set merged_into = 3 where merged_into = 2; commit",
        "update ticket set title = 'printer and mouse' where id = 3",
    ];
    play("Merged entries", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn imports() {
    let schema = "create table asset (id int primary key, place text);
        select pg_replication_origin_create('etl')";
    let upsert =
        "insert into asset values (1, 'cellar') on conflict (id) do update set place = excluded.place";
    let statements = [
        "select pg_replication_origin_session_setup('etl')",
        "insert into asset values (1, 'hall')",
        upsert,
        "select pg_replication_origin_session_reset()",
        "begin; select pg_logical_emit_message(true, 'walhook.merge', ''); insert into asset values (2, 'hall'); commit",
        "begin; delete from asset where id = 2; insert into asset values (2, 'attic'); commit",
        "update asset set place = 'garden' where id = 1",
    ];
    play("Imports", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn dates_that_are_unset_and_secrets() {
    let schema = "create table person (id int primary key, name text, left_at timestamp, password_hash text, token text)";
    let statements = [
        "insert into person values (2, 'Bob', '2026-01-01', '$2y$', 't')",
        "insert into person values (1, 'Jane', '1970-01-01', '$2y$', 't')",
    ];
    play("Dates that are unset, and secrets", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_the_rows() {
    let schema = "create table mail (id int primary key, subject text, content bytea)";
    let statements = [
        "insert into mail values (1, 'photo', decode(repeat('00', 3000000), 'hex'))",
        "insert into mail values (2, 'note', 'x')",
    ];
    play("Files in the rows", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn deletes_by_cascade_and_ids_that_come_back() {
    let schema = "create table project (id int primary key); insert into project values (1);
        create table ticket (id int primary key, project int references project on delete cascade);
        create table archive (like ticket including all)";
    let statements = [
        "insert into ticket values (1, 1), (2, 1), (3, 1)",
        "with gone as (delete from ticket where id = 2 returning *) insert into archive select * from gone",
        "with back as (delete from archive where id = 2 returning *) insert into ticket select * from back",
        "cluster ticket using ticket_pkey",
        "delete from project",
    ];
    play("Deletes by cascade, and ids that come back", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_keys_of_all_sorts() {
    let schema = r#"create schema sales; create table sales."order.line" ("Order No" text, "line-no" int,
        "Unit Price" numeric(12, 4), primary key ("Order No", "line-no"))"#;
    let statements = [
        r#"insert into sales."order.line" values ('A', 1, 12.5)"#,
        r#"update sales."order.line" set "Unit Price" = 12.51"#,
    ];
    play("Names and keys of all sorts", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn words_for_what_a_status_means() {
    let schema =
        "create table ticket (id int primary key, status int); alter table ticket replica identity full";
    let statements = [
        "insert into ticket values (1, 0)",
        "update ticket set status = 1",
        "update ticket set status = 2",
        "update ticket set status = 1",
    ];
    play("Words for what a status means", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_systems_that_tell_each_other() {
    let schema = "create table ticket (id int primary key, changed_by text)";
    let statements = [
        "begin; select pg_logical_emit_message(true, 'walhook.mark', 'partner'); insert into ticket values (2, 'jane');
            commit",
        "insert into ticket values (3, 'sync')",
        "insert into ticket values (1, 'jane')",
    ];
    play("Two systems that tell each other", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn custom_fields_as_rows() {
    let schema = "create table ticket (id int primary key, title text, updated_at timestamptz);
        alter table ticket replica identity full;
        create table custom_value (id int primary key, ticket_id int references ticket, field_id int, value_text text,
            value_number numeric, active boolean not null default true);
        alter table custom_value replica identity full";
    let statements = [
        "begin; insert into ticket values (1, 'printer', now());
            insert into custom_value values (10, 1, 42, 'low', null), (11, 1, 43, null, 5), (12, 1, 44, 'other', null); commit",
        "begin; update custom_value set active = false where id = 10;
            insert into custom_value values (13, 1, 42, 'high', null);
            update ticket set updated_at = clock_timestamp(); commit",
        "update custom_value set value_text = 'not listed' where id = 12",
        "update ticket set updated_at = clock_timestamp()",
        "delete from custom_value where id = 11",
    ];
    play("Custom fields as rows", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn state_in_another_table() {
    let schema = "create table product (id int primary key, title text);
        create table product_state (product_id int primary key references product, disabled boolean, price numeric(9, 2))";
    let statements = [
        "begin; insert into product values (1, 'mouse'); insert into product_state values (1, false, 9.5); commit",
        "update product_state set price = 12 where product_id = 1",
        "begin; insert into product values (2, 'printer'); insert into product_state values (2, false, 20); commit",
        "update product_state set disabled = true where product_id = 2",
    ];
    play("State in another table", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn soft_deletes() {
    let schema = "create table ticket (id int primary key, title text, deleted_at timestamptz);
        alter table ticket replica identity full";
    let statements = [
        "insert into ticket values (1, 'printer')",
        "update ticket set title = 'mouse'",
        "update ticket set deleted_at = now()",
        "update ticket set title = 'keyboard'",
        "update ticket set deleted_at = null",
    ];
    play("Soft deletes", schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_row_shows() {
    let table =
        "create table ticket (id int primary key, title text); insert into ticket values (1, 'printer');";
    let schema = format!("{table}{}", include_str!("../../sql/registration.sql"));
    let statements = [
        "begin; select walhook.emit('ticket', '1', 'escalated'); rollback",
        "begin; select walhook.emit('ticket', '1', 'escalated', '{\"level\": 2}'); update ticket set title = 'x'; commit",
    ];
    play("What no row shows", &schema, &statements).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn schema_changes() {
    let schema = "create table ticket (id int primary key, title text)";
    let statements = [
        "insert into ticket values (1, 'printer')",
        "alter table ticket add column place text default 'cellar'",
        "alter table ticket rename title to subject",
        "alter table ticket alter subject type varchar(200)",
        "vacuum full ticket",
        "update ticket set subject = 'printer 2'",
    ];
    play("Schema changes", schema, &statements).await;
}

#[test]
fn every_recipe_is_played() {
    let titles: Vec<&str> =
        MAPPING.split("\n## ").skip(1).filter_map(|section| section.lines().next()).collect();
    assert!(titles.len() > 10, "{titles:?}");
    let unplayed =
        titles.iter().filter(|title| !include_str!("wild.rs").contains(&format!("play({title:?}")));
    assert_eq!(unplayed.collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn the_configuration_of_the_page_about_events_is_one() {
    let text = format!("[source]\nurl = \"postgres://localhost/x\"\n{}", blocks(EVENTS, "toml").join("\n"));
    if let Err(problems) = Config::parse(Path::new("walhook.toml"), &text, &|_| None) {
        panic!("{problems}");
    }
}
