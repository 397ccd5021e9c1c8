//! Values become JSON exactly as the server's `to_jsonb` has it: the server is asked, for every type it has.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on is to fail")]

mod nested;

use base64::Engine;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::value::RawValue;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::sync::Arc;
use tokio_postgres::SimpleQueryMessage;
use walhook::catalog::Catalog;
use walhook::change::{Column, Relation, ReplicaIdentity};
use walhook::demo::cluster::Cluster;
use walhook::form::{Form, OldValues};
use walhook::postgres::{Address, Session, connect};
use walhook::value::{Type, write_json};

/// Types of our own, beside the server's.
const TYPES: &str = r#"
    create extension hstore;
    create type mood as enum ('sad', 'o''k', 'very "happy"', '', 'null', '😀,{}');
    create domain positive as numeric check (value >= 0);
    create domain tags as text[];
    create domain deeper as tags;
    create type pair as (n int4, t text);
    create domain paired as pair;
    create type "Nested Pair" as (p pair, "list, (of) ""pairs""" pair[], m mood, d date);
    create type empty_row as ();
    create type lonely as (single text);
    create type dropped as (a int4, gone int4, b text);
    alter type dropped drop attribute gone;
    create type text_range as range (subtype = text);
    create table person (id int4 primary key, name text, born date, tags text[]);
"#;

/// Every type with its odd values.
const CASES: &[(&str, &[&str])] = &[
    ("bool", &["t", "f"]),
    ("bytea", &["", "\\x00ff", "\\x5c78", "\\x22", "hello \\\\ world"]),
    ("\"char\"", &["a", "", "\\", "\"", "{", "1"]),
    ("name", &["", "user", "A b\"c", "NULL", "éß"]),
    ("int2", &["0", "-32768", "32767"]),
    ("int4", &["0", "-2147483648", "2147483647"]),
    ("int8", &["0", "-9223372036854775808", "9223372036854775807"]),
    ("int2vector", &["", "1", "1 -2 3"]),
    ("oidvector", &["", "1", "1 4294967295"]),
    ("int2vector[]", &["{}", "{\"1 2\",NULL,\"3\"}"]),
    ("oidvector[]", &["{\"1 2\",\"3\"}"]),
    ("oid", &["0", "4294967295"]),
    ("regproc", &["-", "now", "pg_catalog.int4in"]),
    ("regprocedure", &["lower(text)", "-"]),
    ("regoper", &["0", "pg_catalog.||/"]),
    ("regoperator", &["+(int4,int4)"]),
    ("regclass", &["pg_class", "-", "person"]),
    ("regcollation", &["\"C\"", "\"POSIX\""]),
    ("regtype", &["int4", "\"Nested Pair\"", "timestamp with time zone"]),
    ("regrole", &["postgres"]),
    ("regnamespace", &["pg_catalog"]),
    ("regconfig", &["english"]),
    ("regdictionary", &["simple"]),
    (
        "text",
        &[
            "",
            " ",
            "NULL",
            "null",
            "\"",
            "\\",
            "\\\\\"",
            "a\nb\r\tc\u{8}\u{c}",
            "\u{1}\u{1f}\u{7f}",
            "😀 é \u{2028}\u{2029}",
            "{}",
            "{\"a\":1}",
            "(1,2)",
            "a,b",
            "'",
            "\\u0041",
            "</script>",
            "\u{feff}",
            "ﷺ\u{10ffff}",
            "12345678\"12345678\\",
        ],
    ),
    ("varchar(20)", &["", "a b", "ends "]),
    ("char(5)", &["", "a", "ab\"", "é"]),
    ("tid", &["(0,0)", "(4294967295,65535)"]),
    ("xid", &["0", "4294967295"]),
    ("xid8", &["0", "18446744073709551615"]),
    ("cid", &["0", "7"]),
    (
        "json",
        &[
            "null",
            "1",
            "\"a\"",
            "{}",
            "[]",
            " { \"b\" : [1, 2.50, -0.5] ,\n\"a\":\t{\"x\": null}} ",
            "\"\\u00e9\\n\\\"\"",
            "true",
            "{\"a\": 1, \"a\": 2}",
            "123456789012345678901234567890.123456789012345678901234567890",
        ],
    ),
    (
        "jsonb",
        &[
            "null",
            "1e20",
            "1e-7",
            "-0",
            "\"a\\\"b\\\\c\"",
            "{\"b\": [1, 2.50], \"a\": {\"x\": \"😀\"}}",
            "[[[[]]]]",
            "123456789012345678901234567890.123456789012345678901234567890",
            "\"\\u2028\"",
        ],
    ),
    ("jsonpath", &["$", "$.a[*] ? (@.b > 1)", "$.\"a b\""]),
    ("xml", &["<a/>", "<a b=\"c\">d &amp; e</a>"]),
    ("point", &["(0,-0)", "(1e300,-1e-300)", "(NaN,Infinity)"]),
    ("lseg", &["[(0,0),(1,1)]"]),
    ("path", &["[(0,0),(1,1)]", "((0,0),(1,1),(2,0))"]),
    ("box", &["(1,1),(0,0)", "(3.5,4),(1,2)"]),
    ("polygon", &["((0,0),(1,1),(2,0))"]),
    ("line", &["{1,-1,0}"]),
    ("circle", &["<(0,0),1>"]),
    (
        "float4",
        &[
            "0",
            "-0",
            "1",
            "0.1",
            "1e20",
            "1e-7",
            "3.4028235e38",
            "1.17549435e-38",
            "NaN",
            "Infinity",
            "-Infinity",
            "16777216",
            "1234567.9",
        ],
    ),
    (
        "float8",
        &[
            "0",
            "-0",
            "1",
            "0.1",
            "1e15",
            "1e16",
            "123456789012345678",
            "1e-5",
            "1e-4",
            "1.5e-7",
            "5e-324",
            "-1.7976931348623157e308",
            "2.2250738585072014e-308",
            "NaN",
            "Infinity",
            "-Infinity",
            "0.30000000000000004",
        ],
    ),
    (
        "numeric",
        &[
            "0",
            "-0",
            "0.000",
            "12.5000",
            "-12.50",
            "1e20",
            "1e-20",
            "NaN",
            "Infinity",
            "-Infinity",
            ".5",
            "100",
            "1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890",
            "-0.1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890",
        ],
    ),
    ("numeric(12,4)", &["12.5", "0", "-99999999.9999"]),
    ("money", &["0", "-12.5", "1234567.89"]),
    ("macaddr", &["08:00:2b:01:02:03"]),
    ("macaddr8", &["08:00:2b:01:02:03:04:05"]),
    ("inet", &["127.0.0.1", "::1/64", "10.1.2.3/8"]),
    ("cidr", &["10.0.0.0/8", "::/0"]),
    ("aclitem", &["postgres=r*w/postgres", "=r/postgres"]),
    (
        "date",
        &[
            "2024-02-29",
            "0001-01-01",
            "0044-03-15 BC",
            "4713-01-01 BC",
            "5874897-12-31",
            "infinity",
            "-infinity",
        ],
    ),
    ("time", &["00:00:00", "24:00:00", "12:34:56.000001"]),
    ("timetz", &["00:00:00+00", "12:34:56.7-05:30", "23:59:59+15:59:59"]),
    (
        "timestamp",
        &[
            "2024-02-29 12:34:56",
            "2024-02-29 12:34:56.789",
            "0044-03-15 12:00:00 BC",
            "294276-12-31 23:59:59.999999",
            "4713-01-01 00:00:00 BC",
            "infinity",
            "-infinity",
            "10000-01-01 00:00:00",
        ],
    ),
    ("timestamp(3)", &["2024-02-29 12:34:56.7"]),
    (
        "timestamptz",
        &[
            "2024-02-29 12:34:56+05:30",
            "2024-02-29 12:34:56.000001-11",
            "0044-03-15 12:00:00+00 BC",
            "infinity",
            "-infinity",
            "294276-12-31 23:59:59.999999+00",
            "1900-01-01 00:00:00+00:19:32",
        ],
    ),
    ("interval", &["0", "1 year 2 mons -3 days 04:05:06.789", "-00:00:01", "178000000 years", "1 day ago"]),
    ("bit(3)", &["101", "000"]),
    ("varbit", &["", "1", "10101"]),
    ("refcursor", &["", "my cursor"]),
    ("uuid", &["00000000-0000-0000-0000-000000000000", "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"]),
    ("pg_lsn", &["0/0", "16/B374D848", "FFFFFFFF/FFFFFFFF"]),
    ("tsvector", &["", "a:1A fat:2B,4C cat:5D", "'it''s' 'a\\\\b' '\"'"]),
    ("tsquery", &["", "fat & (rat | !cat:AB)", "'a b' <-> 'c'''"]),
    ("txid_snapshot", &["10:20:10,14,15"]),
    ("pg_snapshot", &["10:20:10,14,15"]),
    ("int4range", &["empty", "[1,5)", "(,)", "[5,)"]),
    ("int8range", &["[1,5)"]),
    ("numrange", &["[1.50,2.0]", "(,1e20)"]),
    ("tsrange", &["[2024-01-01 00:00,2024-01-02 12:34:56)"]),
    ("tstzrange", &["[2024-01-01 00:00+05,infinity)"]),
    ("daterange", &["[2024-01-01,infinity]", "[0044-03-15 BC,2024-01-01)"]),
    ("int4multirange", &["{}", "{[1,3),[5,9)}"]),
    ("int8multirange", &["{[1,3)}"]),
    ("nummultirange", &["{[1.5,3)}"]),
    ("tsmultirange", &["{[2024-01-01 00:00,2024-01-02 12:34:56)}"]),
    ("tstzmultirange", &["{[2024-01-01 00:00+00,)}"]),
    ("datemultirange", &["{[2024-01-01,2024-01-03)}"]),
    ("text_range", &["[\"a b\",\"c,d\"]", "[\"\",\"\\\"\\\\\")"]),
    ("hstore", &["", "a=>1, \"b c\"=>NULL, \"\\\"\"=>\"\\\\\"", "\"=>\"=>\", \""]),
    ("mood", &["sad", "o'k", "very \"happy\"", "", "null", "😀,{}"]),
    ("positive", &["1.500", "NaN"]),
    ("tags", &["{}", "{a,\"b c\",NULL}"]),
    ("deeper", &["{{a,b},{c,NULL}}"]),
    ("pair", &["(,)", "(1,)", "(1,\"\")", "(-5,\"a \"\"quoted\"\" \\\\ , (x) é\")", "(1,NULL)"]),
    ("paired", &["(7,\"x y\")"]),
    (
        "\"Nested Pair\"",
        &[
            "(,,,)",
            "(\"(1,\"\"a b\"\")\",\"{\"\"(2,\\\\\"\"\\\\\"\"\\\\\"\"\\\\\"\")\"\",NULL}\",\"very \"\"happy\"\"\",2024-01-01)",
            "(\"(,)\",{},sad,infinity)",
        ],
    ),
    ("empty_row", &["()"]),
    ("lonely", &["()", "(\"\")", "(\"(x)\")"]),
    ("dropped", &["(1,x)"]),
    ("person", &["(1,Ann,1980-02-03,\"{a,\"\"b c\"\"}\")", "(,,,)"]),
    (
        "int4[]",
        &[
            "{}",
            "{1,NULL,3}",
            "{{1,2},{3,4}}",
            "[0:2]={1,2,3}",
            "[-1:0][5:6]={{1,2},{3,NULL}}",
            "{{{{{{1}}}}}}",
        ],
    ),
    (
        "text[]",
        &[
            "{}",
            "{\"\",NULL,\"NULL\",null,\"a b\",\"q\\\"q\",\"b\\\\s\",\"{}\",\",\",\" \"}",
            "{{\"a\nb\",é},{😀,\"\u{2028}\"}}",
        ],
    ),
    ("box[]", &["{(1,1),(0,0);(4,4),(3,3)}", "{}", "{NULL}"]),
    ("jsonb[]", &["{\"{\\\"a\\\": [1, null]}\",\"null\",NULL,\"\\\"x\\\"\"}"]),
    ("pair[]", &["{}", "{\"(1,\\\"a b\\\")\",NULL,\"(,)\"}"]),
    ("tags[]", &["{\"{a,b}\",NULL,\"{}\"}"]),
    ("timestamptz[]", &["{\"2024-02-29 12:34:56+05:30\",infinity,NULL}"]),
    ("float8[]", &["{NaN,-0,1e-7,Infinity}"]),
    ("bytea[]", &["{\"\\\\x00ff\",NULL}"]),
];

/// Types of `pg_catalog` that no value of can be made by hand; they are text.
const NO_INPUT: &[&str] = &[
    "pg_node_tree",
    "pg_ndistinct",
    "pg_dependencies",
    "pg_mcv_list",
    "pg_brin_bloom_summary",
    "pg_brin_minmax_multi_summary",
    "gtsvector",
];

/// Under which walhook reads the log.
const SETTINGS: &str = "set datestyle = 'ISO'; set timezone = 'UTC'; set intervalstyle = 'postgres';
    set bytea_output = 'hex'; set extra_float_digits = 3; set lc_monetary = 'C'";

// R-AR-06
#[tokio::test]
async fn every_type_of_the_server_becomes_json_as_the_server_has_it() {
    let oracle = Oracle::start().await;
    let covered: BTreeSet<&str> =
        CASES.iter().map(|(name, _)| name.split('(').next().unwrap().trim_matches('"')).collect();
    let all = oracle.session.query(
        "select typname::text, format_type(oid, null) from pg_type
         where typnamespace = 'pg_catalog'::regnamespace and typtype in ('b', 'r', 'm')
           and not (typcategory = 'A' and typname like '\\_%')",
        &[],
    );
    for row in all.await.unwrap() {
        let (name, long): (String, String) = (row.get(0), row.get(1));
        let known = [name.as_str(), long.as_str(), if name == "bpchar" { "char" } else { "" }];
        let is_known = known.iter().any(|name| covered.contains(name) || NO_INPUT.contains(name));
        assert!(is_known, "no case for type {name}");
    }
    let tables: Vec<Table> = CASES
        .iter()
        .enumerate()
        .map(|(number, (type_, values))| {
            Table::of(number, type_, values.iter().map(|value| (*value).to_owned()))
        })
        .collect();
    assert!(oracle.compare(&tables).await > 1000);
}

#[tokio::test]
async fn generated_values_become_json_as_the_server_has_it() {
    let oracle = Oracle::start().await;
    let text = r#"[a-z"\\{}(),;: '\n\t\x01\x1f\u{7f}é\u{2028}😀NUL0-9]{0,30}"#;
    let texts = sample(text.prop_map(|text| text), 200);
    let lists = prop::collection::vec(prop::option::of(text.prop_map(|text| text)), 0..5);
    let any_float = any::<u64>().prop_map(f64::from_bits).prop_map(|float| float.to_string());
    let any_real = any::<u32>().prop_map(f32::from_bits).prop_map(|float| float.to_string());
    let times =
        (-4712..250_000_i32, 1..13_u32, 1..29_u32, 0..86_400_u32, 0..1_000_000_u32).prop_map(|parts| {
            let (year, month, day, seconds, micros) = parts;
            let (year, era) = if year > 0 { (year, "") } else { (1 - year, " BC") };
            let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
            format!("{year:04}-{month:02}-{day:02} {hours:02}:{minutes:02}:{seconds:02}.{micros:06}{era}")
        });
    let samples = [
        ("text", texts.clone()),
        ("jsonb", texts.iter().map(|text| serde_json::to_string(text).unwrap()).collect()),
        ("text[]", sample(lists.prop_map(|list| array_literal(&list)), 200)),
        ("float8", sample(any_float, 400)),
        ("float4", sample(any_real, 400)),
        ("float8", sample((-400_i32..400).prop_map(|tenths| format!("1.5e{}", tenths * 3 / 4)), 100)),
        ("numeric", sample("-?[0-9]{1,60}(\\.[0-9]{0,60})?", 200)),
        ("int8", sample(any::<i64>().prop_map(|number| number.to_string()), 100)),
        ("timestamp", sample(times.clone(), 200)),
        ("timestamptz", sample(times.clone(), 200)),
        ("date", sample(times, 100)),
        ("interval", sample("-?[0-9]{1,4} days -?[0-9]{1,3}:[0-5][0-9]:[0-5][0-9]\\.[0-9]{1,6}", 50)),
        (
            "pair",
            sample(
                text.prop_map(|text| format!("(1,\"{}\")", text.replace('\\', "\\\\").replace('"', "\"\""))),
                200,
            ),
        ),
    ];
    let tables: Vec<Table> = samples
        .into_iter()
        .enumerate()
        .map(|(number, (type_, values))| Table::of(number, type_, values.into_iter()))
        .collect();
    assert!(oracle.compare(&tables).await > 5000);
}

#[tokio::test]
async fn a_large_text_keeps_every_character() {
    let oracle = Oracle::start().await;
    let text: String = "line \"quoted\" \\ and 😀 é\n\u{1}".chars().cycle().take(10_000_000).collect();
    oracle.compare(&[Table::of(0, "text", [text].into_iter())]).await;
}

/// A table with a column of one type, and with that type inside arrays and rows.
struct Table {
    number: usize,
    type_: String,
    values: Vec<String>,
}

impl Table {
    fn of(number: usize, type_: &str, values: impl Iterator<Item = String>) -> Self {
        Self { number, type_: type_.to_owned(), values: values.collect() }
    }

    fn name(&self) -> String {
        format!("values_{}", self.number)
    }

    /// An array constructor would join these to one array of more dimensions.
    fn is_array(&self) -> bool {
        self.type_.ends_with("[]")
            || ["int2vector", "oidvector", "tags", "deeper"].contains(&self.type_.as_str())
    }

    fn sql(&self) -> String {
        let Self { number, type_, .. } = self;
        let name = self.name();
        let (list, lists) =
            if self.is_array() { ("text", "null") } else { ("{T}[]", "array[{V}, null, {V}]") };
        let mut sql = format!(
            "create type wrap_{number} as (v {type_}, \"odd \"\"name, (x)\" text, list {list});
             create table {name} (id int4 generated always as identity primary key,
                 v {type_}, list {list}, w wrap_{number}, ws wrap_{number}[]);"
        )
        .replace("{T}", type_);
        for value in &self.values {
            let literal = format!("'{}'::{type_}", value.replace('\'', "''"));
            let lists = lists.replace("{V}", &literal);
            let row = format!("row({literal}, 'o\"dd,', {lists})::wrap_{number}");
            let rows = format!("array[{row}, null, row(null, '', null)::wrap_{number}]");
            if value.len() > 1_000_000 {
                write!(sql, "insert into {name} (v) values ({literal});").unwrap();
            } else {
                write!(
                    sql,
                    "insert into {name} (v, list, w, ws) values ({literal}, {lists}, {row}, {rows});"
                )
                .unwrap();
            }
        }
        sql
    }
}

/// A server that is asked for its opinion.
struct Oracle {
    session: Session,
    cluster: Cluster,
}

impl Oracle {
    async fn start() -> Self {
        let cluster = Cluster::start(&[]).unwrap();
        let address = Address::parse(&cluster.url("postgres")).unwrap();
        let session = connect(&address, "oracle").await.unwrap();
        session.batch_execute(SETTINGS).await.unwrap();
        session.batch_execute(TYPES).await.unwrap();
        Self { session, cluster }
    }

    /// Compares all values of the tables; returns how many that were.
    async fn compare(&self, tables: &[Table]) -> usize {
        for table in tables {
            self.session
                .batch_execute(&table.sql())
                .await
                .unwrap_or_else(|error| panic!("{}: {error:?}", table.type_));
        }
        let forms = tables.iter().map(|table| Arc::new(form(&table.name()))).collect();
        let address = Address::parse(&self.cluster.url("postgres")).unwrap();
        let mut catalog = Catalog::open(&address, forms, &["walhook".to_owned()], Vec::new()).await.unwrap();
        let mut compared = 0;
        for table in tables {
            compared += self.compare_table(&mut catalog, table).await;
        }
        compared
    }

    async fn compare_table(&self, catalog: &mut Catalog, table: &Table) -> usize {
        let relation = relation(&self.session, &table.name()).await;
        let id = relation.id;
        catalog.relation(relation).await.unwrap();
        let [form] = catalog.forms_of(id) else { panic!("{} is not bound", table.name()) };
        let columns = ["v", "list", "w", "ws"];
        let both = columns.map(|name| format!("{name}, to_jsonb({name})::text")).join(", ");
        let query = format!("select {both} from {} order by id", table.name());
        let mut compared = 0;
        for message in self.session.simple_query(&query).await.unwrap() {
            let SimpleQueryMessage::Row(row) = message else { continue };
            for (number, name) in columns.iter().enumerate() {
                let (Some(text), Some(expected)) = (row.get(2 * number), row.get(2 * number + 1)) else {
                    continue;
                };
                let field = form.fields.iter().find(|field| field.name == *name).unwrap();
                compare(&table.type_, &field.type_, text, expected);
                compared += 1;
            }
        }
        assert!(compared >= table.values.len());
        compared
    }
}

fn compare(type_name: &str, type_: &Type, text: &str, expected: &str) {
    let mut out = Vec::new();
    write_json(type_, text, &mut out);
    let written = String::from_utf8(out).unwrap();
    let (ours, mut theirs) = (Json::read(&written), Json::read(expected));
    if type_name.starts_with("bytea") {
        theirs.hex_to_base64();
    }
    if ours != theirs {
        let cut = |text: &str| text.chars().take(2000).collect::<String>();
        panic!("{type_name}: {} became {}, not {}", cut(text), cut(&written), cut(expected));
    }
}

/// JSON with its numbers as they are written, and without the order of keys.
#[derive(Debug, PartialEq)]
enum Json {
    Plain(String),
    String(String),
    Array(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl Json {
    fn read(text: &str) -> Self {
        let text = text.trim();
        match text.as_bytes()[0] {
            b'{' => {
                let object: BTreeMap<String, Box<RawValue>> = serde_json::from_str(text).unwrap();
                Self::Object(object.into_iter().map(|(key, value)| (key, Self::read(value.get()))).collect())
            }
            b'[' => {
                let array: Vec<Box<RawValue>> = serde_json::from_str(text).unwrap();
                Self::Array(array.iter().map(|value| Self::read(value.get())).collect())
            }
            b'"' => Self::String(serde_json::from_str(text).unwrap()),
            _ => {
                let _: Box<RawValue> = serde_json::from_str(text).unwrap();
                Self::Plain(text.to_owned())
            }
        }
    }

    fn hex_to_base64(&mut self) {
        match self {
            Self::Plain(_) => {}
            Self::String(text) => {
                let Some(hex) = text.strip_prefix("\\x") else { return };
                let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
                let bytes: Vec<u8> = (0..hex.len()).step_by(2).map(byte).collect();
                *text = base64::engine::general_purpose::STANDARD.encode(bytes);
            }
            Self::Array(values) => values.iter_mut().for_each(Self::hex_to_base64),
            Self::Object(values) => values.values_mut().for_each(Self::hex_to_base64),
        }
    }
}

fn sample<T>(strategy: impl Strategy<Value = T>, count: usize) -> Vec<T> {
    let mut runner = TestRunner::deterministic();
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

fn array_literal(values: &[Option<String>]) -> String {
    let element = |value: &Option<String>| match value {
        None => "NULL".to_owned(),
        Some(text) => format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"")),
    };
    format!("{{{}}}", values.iter().map(element).collect::<Vec<_>>().join(","))
}

/// A form over a table with nothing configured.
fn form(table: &str) -> Form {
    Form {
        name: table.to_owned(),
        noun: table.to_owned(),
        schema: None,
        table: table.to_owned(),
        entry_id: Vec::new(),
        record_id: None,
        old_values: OldValues::Auto,
        fold: walhook::form::Fold::Transaction,
        ignore: Vec::new(),
        unset: Vec::new(),
        hidden: Vec::new(),
        fields: Vec::new(),
        happenings: walhook::happening::Happenings::default(),
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

/// A table as the log describes it.
async fn relation(session: &Session, table: &str) -> Relation {
    let query = "select attrelid, attname::text, atttypid, atttypmod, attname = 'id' from pg_attribute
        where attrelid = $1::text::regclass and attnum > 0 and not attisdropped order by attnum";
    let rows = session.query(query, &[&table]).await.unwrap();
    let columns = rows.iter().map(|row| Column {
        name: row.get(1),
        type_oid: row.get(2),
        type_modifier: row.get(3),
        in_identity: row.get(4),
    });
    Relation {
        id: rows[0].get(0),
        schema: "public".to_owned(),
        name: table.to_owned(),
        identity: ReplicaIdentity::Default,
        columns: columns.collect(),
    }
}
