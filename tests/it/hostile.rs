//! Rows, names and values that break other tools: each arrives or is put aside with a word that says why, and the good
//! row behind it comes in its order.

mod values;

use crate::receiver::{Receiver, Request};
use crate::registration::{arrived, one_by_one};
use crate::running::{Running, Site};
use serde_json::{Value, json};
use walhook::postgres::{Address, Session, connect};

/// A site whose database has the schema, configured with these forms; `WEBHOOK` in them is the head of a webhook that
/// calls the receiver.
async fn start(schema: &str, config: &str) -> (Site, Running, Receiver) {
    let (site, receiver) = (Site::new(schema).await, Receiver::start().await);
    site.configure(&with_receiver(config, &receiver));
    let walhook = site.start().await;
    (site, walhook, receiver)
}

fn with_receiver(config: &str, receiver: &Receiver) -> String {
    config.replace("WEBHOOK", &format!("[[webhooks]]\ncallback.url = {:?}", receiver.url()))
}

/// The bodies that a webhook received, in the order of its sequence.
fn bodies(receiver: &Receiver, webhook: &str) -> Vec<Value> {
    let mut bodies: Vec<Value> = receiver.requests().iter().map(Request::json).collect();
    bodies.retain(|body| body["webhook"] == webhook);
    bodies.sort_by_key(|body| body["sequence"].as_u64());
    bodies
}

fn told(receiver: &Receiver, webhook: &str) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let told = |body: &Value| format!("{} {}", text(&body["event"]), text(&body["entry_id"]));
    bodies(receiver, webhook).iter().map(told).collect()
}

/// The reasons in the quarantine, the newest first.
fn reasons(site: &Site) -> Vec<String> {
    let (code, output) = site.run(&["--json", "queue", "quarantine"]);
    assert_eq!(code, 0, "{output}");
    let listed: Value = serde_json::from_str(&output).unwrap_or_else(|error| panic!("{error}: {output}"));
    let rows = listed.as_array().cloned().unwrap_or_default();
    rows.iter().map(|row| row["reason"].as_str().unwrap_or_else(|| panic!("{row}")).to_owned()).collect()
}

/// A table without a primary key is known by the columns that the form names. Of one that the server could not tell the
/// old row of, inserts alone are published, and the application's updates and deletes go on as before.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_without_a_primary_key_tells_what_the_log_has_of_it() {
    let schema = "create table line (id int, what text);
                  create table full_line (id int, what text); alter table full_line replica identity full";
    let config = r#"
[[forms]]
table = "line"
entry_id = ["id"]
[[forms]]
table = "full_line"
entry_id = ["id"]
WEBHOOK
name = "all"
events = ["line.create", "line.update", "line.delete", "full_line.create", "full_line.update", "full_line.delete"]
"#;
    let (site, walhook, receiver) = start(schema, config).await;
    let session = site.session().await;
    for table in ["line", "full_line"] {
        one_by_one(
            &session,
            &[
                &format!("insert into {table} values (1, 'a')"),
                // which entry is it?
                &format!("insert into {table} values (null, 'nobody')"),
                &format!("insert into {table} values (2, 'b')"),
                &format!("update {table} set what = 'c' where id = 1"),
                &format!("delete from {table} where id = 2"),
                &format!("insert into {table} values (3, 'd')"),
            ],
        )
        .await;
    }
    arrived(&receiver, 8).await;
    assert_eq!(
        told(&receiver, "all"),
        ["create 1", "create 2", "create 3", "create 1", "create 2", "update 1", "delete 2", "create 3"]
    );
    let reasons = reasons(&site);
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons.iter().all(|reason| reason.contains("\"id\"") && reason.contains("NULL")), "{reasons:?}");
    let (_, report) = site.run(&["check"]);
    assert!(report.contains("only creates are told: public.line has no usable replica identity"), "{report}");
    assert_eq!(walhook.stop(), 0);
}

/// As many columns as a table can have: all of them come, in their order.
#[tokio::test(flavor = "multi_thread")]
async fn a_table_of_1600_columns() {
    let columns: Vec<String> = (1..1600).map(|number| format!("c{number} int")).collect();
    let schema = format!(
        "create table wide (id int primary key, {}); alter table wide replica identity full",
        columns.join(", ")
    );
    let config = r#"
[[forms]]
table = "wide"
WEBHOOK
name = "all"
form = "wide"
events = ["create", "update"]
WEBHOOK
name = "last"
form = "wide"
events = ["update"]
condition = "'c1599' CHANGED TO 7"
payload_fields = ["c1599"]
"#;
    let (site, walhook, receiver) = start(&schema, config).await;
    let session = site.session().await;
    let values: Vec<String> = (1..1600).map(|number| number.to_string()).collect();
    one_by_one(
        &session,
        &[
            &format!("insert into wide values (1, {})", values.join(", ")),
            "update wide set c1599 = 7",
            "insert into wide (id) values (2)",
        ],
    )
    .await;
    arrived(&receiver, 4).await;
    assert_eq!(told(&receiver, "all"), ["create 1", "update 1", "create 2"]);
    let all = bodies(&receiver, "all");
    let entry = all[0]["entry"].as_object().unwrap();
    assert_eq!(entry.len(), 1600);
    assert!((1..1600).all(|number| entry[&format!("c{number}")] == number));
    assert_eq!(all[1]["changed"], json!({ "c1599": { "old": 1599, "new": 7 } }));
    assert_eq!(all[2]["entry"].as_object().unwrap().len(), 1600);
    let last = bodies(&receiver, "last");
    assert_eq!(last.len(), 1);
    assert_eq!(last[0]["entry"], json!({ "c1599": 7 }));
    assert_eq!(walhook.stop(), 0);
}

/// Names that need quoting everywhere: in SQL, in conditions, in JSON, in TOML.
const ODD: [&str; 9] =
    ["say \"yes\"", "it's", "a.b", "TR.old", "line\nbreak", "brac]ket[", "Größe ☃", " blank ", "back\\slash"];

/// What a form is called stands in headers and on terminals: it has no control characters.
const FORM: &str = "The \"odd\". 'Form' ü]";

#[tokio::test(flavor = "multi_thread")]
async fn names_with_quotes_dots_and_line_breaks() {
    let sql = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let toml = |name: &str| serde_json::to_string(name).unwrap();
    let in_condition = |name: &str| format!("'{}'", name.replace('\'', "''"));
    let columns: Vec<String> = ODD[1..].iter().map(|name| format!("{} text", sql(name))).collect();
    let (table, key) = ("ta\"b.le\n]ü", ODD[0]);
    let name = format!("\"o.d\"\"d\".{}", sql(table));
    let schema = format!(
        "create schema \"o.d\"\"d\"; create table {name} ({} text, {}, primary key ({0}, {2}));
         alter table {name} replica identity full",
        sql(key),
        columns.join(", "),
        sql(ODD[1]),
    );
    let fields: Vec<String> =
        ODD[2..4].iter().map(|name| format!("{} = {}", toml(&format!("field {name}")), toml(name))).collect();
    let conditions: Vec<String> = ODD
        .iter()
        .enumerate()
        .map(|(number, name)| {
            let field = if (2..4).contains(&number) { format!("field {name}") } else { (*name).to_owned() };
            format!("{} = \"v{number}\"", in_condition(&field))
        })
        .collect();
    let wanted: Vec<String> = ODD[4..].iter().map(|name| toml(name)).collect();
    let config = format!(
        "[[forms]]\nname = {form}\nnoun = \"odd\"\ntable = {table}\nentry_id = [{}, {}]\nignore = [{}]\n\
         [forms.fields]\n{}\n\
         WEBHOOK\nname = \"all\"\nform = {form}\nevents = [\"create\", \"update\", \"delete\"]\n\
         WEBHOOK\nname = \"some\"\nform = {form}\nevents = [\"create\"]\ncondition = {}\npayload_fields = [{}]\n\
         WEBHOOK\nname = \"changed\"\nform = {form}\nevents = [\"update\"]\ncondition = {}\n",
        toml(ODD[0]),
        toml(ODD[1]),
        toml(ODD[7]),
        fields.join("\n"),
        toml(&conditions.join(" AND ")),
        wanted.join(", "),
        toml(&format!("{} CHANGED TO \"new\"", in_condition(ODD[4]))),
        form = toml(FORM),
        table = toml(&name),
    );
    let (site, walhook, receiver) = start(&schema, &config).await;
    let session = site.session().await;
    let values = |first: &str| {
        let rest = (1..ODD.len()).map(|number| format!("'v{number}'"));
        std::iter::once(format!("'{first}'")).chain(rest).collect::<Vec<_>>().join(", ")
    };
    one_by_one(
        &session,
        &[
            &format!("insert into {name} values ({})", values("v0")),
            // bookkeeping alone
            &format!("update {name} set {} = 'x'", sql(ODD[7])),
            &format!("update {name} set {} = 'new'", sql(ODD[4])),
            &format!("insert into {name} values ({})", values("other")),
            &format!("delete from {name} where {} = 'v0'", sql(key)),
        ],
    )
    .await;
    arrived(&receiver, 6).await;
    assert_eq!(told(&receiver, "all"), ["create v0|v1", "update v0|v1", "create other|v1", "delete v0|v1"]);
    let all = bodies(&receiver, "all");
    let field = |number: usize| match number {
        2 | 3 => format!("field {}", ODD[number]),
        _ => ODD[number].to_owned(),
    };
    let entry: serde_json::Map<String, Value> =
        (0..ODD.len()).map(|number| (field(number), json!(format!("v{number}")))).collect();
    assert_eq!(all[0]["entry"], Value::Object(entry));
    assert_eq!(all[0]["form"], FORM);
    assert_eq!(all[1]["changed"][ODD[4]], json!({ "old": "v4", "new": "new" }));
    assert_eq!(
        (told(&receiver, "some"), told(&receiver, "changed")),
        (vec!["create v0|v1".into()], vec!["update v0|v1".into()])
    );
    let some: Vec<String> =
        bodies(&receiver, "some")[0]["entry"].as_object().unwrap().keys().cloned().collect();
    let mut expected: Vec<String> = ODD[4..].iter().map(|name| (*name).to_owned()).collect();
    expected.sort();
    assert_eq!(some, expected);
    let (code, report) = site.run(&["check"]);
    assert_eq!(code, 0, "{report}");
    assert_eq!(walhook.stop(), 0);
}

/// A session in a database of a site.
async fn session_in(site: &Site, database: &str) -> Session {
    let address = Address::parse(&site.cluster.url(database)).unwrap();
    connect(&address, "application").await.unwrap()
}

/// In SQL_ASCII nobody looks at bytes: values, keys, labels and even names may be no text.
#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_text_in_values_keys_and_names() {
    let (site, receiver) = (
        Site::new("create database ascii encoding 'SQL_ASCII' template template0 locale 'C'").await,
        Receiver::start().await,
    );
    let session = session_in(&site, "ascii").await;
    session.batch_execute("set client_encoding = 'SQL_ASCII'").await.unwrap();
    let schema = "create table note (id text primary key, title text);
        alter table note replica identity full;
        create table part (id int primary key, note text, what text);
        do $$ begin
            execute E'create table \"M\\374ll\" (id int primary key, \"gr\\366sse\" int)';
            execute E'create type \"f\\344rbe\" as enum (''gr\\374n'')';
        end $$";
    session.batch_execute(schema).await.unwrap();
    let config = with_receiver(
        r#"
[[forms]]
table = "note"
[[forms.children]]
verb = "part-added"
table = "part"
parent = "note"
WEBHOOK
name = "all"
form = "note"
events = ["create", "update", "delete", "part-added"]
WEBHOOK
name = "some"
form = "note"
events = ["create"]
condition = "'title' LIKE \"g%\""
"#,
        &receiver,
    );
    site.configure_source(&site.cluster.url("ascii"), &config);
    let walhook = site.start().await;
    one_by_one(
        &session,
        &[
            "insert into note values ('1', 'good')",
            "insert into note values ('2', E'M\\374ller')",
            "insert into note values (E'k\\374', 'bad key')",
            "insert into note values ('3', 'good')",
            // what was no text is mended: the old row cannot be read, the new one can
            "update note set title = 'mended' where id = '2'",
            "delete from note where title = 'bad key'",
            "insert into part values (1, '3', 'good')",
            "insert into part values (2, '3', E'\\377')",
            "insert into part values (3, E'k\\374', 'of nobody')",
            "insert into part values (4, '3', 'good')",
            "insert into note values ('4', 'good')",
        ],
    )
    .await;
    arrived(&receiver, 8).await;
    let heard = told(&receiver, "all");
    let (creates, rest): (Vec<_>, Vec<_>) = heard.iter().partition(|one| one.starts_with("create"));
    assert_eq!(creates, ["create 1", "create 3", "create 4"]);
    assert_eq!(rest, ["part-added 3", "part-added 3"], "{heard:?}");
    assert_eq!(told(&receiver, "some"), ["create 1", "create 3", "create 4"]);
    let reasons = reasons(&site);
    assert!(reasons.iter().all(|reason| reason.contains("not valid UTF-8")), "{reasons:?}");
    assert_eq!(reasons.len(), 6, "{reasons:?}");
    let (_, report) = site.run(&["check"]);
    assert!(report.contains("quarantine"), "{report}");
    assert_eq!(walhook.stop(), 0);
}

/// What a column is called has to be said in JSON and in conditions.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_whose_name_is_no_text_is_refused_before_anything_runs() {
    let site = Site::new("create database ascii encoding 'SQL_ASCII' template template0 locale 'C'").await;
    let session = session_in(&site, "ascii").await;
    session.batch_execute("set client_encoding = 'SQL_ASCII'").await.unwrap();
    let schema = "do $$ begin execute E'create table odd (id int primary key, \"gr\\366sse\" int)'; end $$";
    session.batch_execute(schema).await.unwrap();
    site.configure_source(&site.cluster.url("ascii"), "[[forms]]\ntable = \"odd\"\n");
    for command in [&["setup", "--apply"][..], &["check"]] {
        let (code, said) = site.run(command);
        assert_ne!(code, 0, "{said}");
        assert!(said.contains("the name of a table or column is not valid UTF-8"), "{said}");
    }
    let renamed = r#"do $$ begin execute E'alter table odd rename "gr\366sse" to size'; end $$"#;
    session.batch_execute(renamed).await.unwrap();
    let (code, said) = site.run(&["setup", "--apply"]);
    assert_eq!(code, 0, "{said}");
}

/// While it runs, such a name is made readable, and nobody waits.
#[tokio::test(flavor = "multi_thread")]
async fn a_column_that_gets_such_a_name_while_it_runs_holds_nobody_up() {
    let (site, receiver) = (
        Site::new("create database ascii encoding 'SQL_ASCII' template template0 locale 'C'").await,
        Receiver::start().await,
    );
    let session = session_in(&site, "ascii").await;
    session.batch_execute("set client_encoding = 'SQL_ASCII'").await.unwrap();
    let schema = "create table note (id int primary key, title text);
        create table other (id int primary key, title text);";
    session.batch_execute(schema).await.unwrap();
    let config = with_receiver(
        "[[forms]]\ntable = \"note\"\n[[forms]]\ntable = \"other\"\nWEBHOOK\nname = \"all\"\n\
         events = [\"note.create\", \"other.create\"]\n",
        &receiver,
    );
    site.configure_source(&site.cluster.url("ascii"), &config);
    let walhook = site.start().await;
    one_by_one(
        &session,
        &[
            "insert into note values (1, 'good')",
            "do $$ begin execute E'alter table note rename title to \"gr\\366sse\"'; end $$",
            "insert into note values (2, 'good')",
            "insert into other values (2, 'good')",
            "do $$ begin execute E'alter table note rename \"gr\\366sse\" to title'; end $$",
            "insert into note values (3, 'good')",
            "insert into other values (3, 'good')",
        ],
    )
    .await;
    arrived(&receiver, 5).await;
    assert_eq!(told(&receiver, "all"), ["create 1", "create 2", "create 2", "create 3", "create 3"]);
    let names = |body: &Value| body["entry"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let heard = bodies(&receiver, "all");
    assert_eq!(names(&heard[1]), ["gr\u{fffd}sse", "id"]);
    assert_eq!(names(&heard[4]), ["id", "title"]);
    assert_eq!(reasons(&site), Vec::<String>::new());
    assert_eq!(walhook.stop(), 0);
}
