//! Values that are hard to say in JSON, or too large.

use super::{bodies, reasons, start, told};
use crate::receiver::Request;
use crate::registration::{arrived, one_by_one};
use serde::de::IgnoredAny;
use serde_json::json;

const FORMATS: [&str; 6] = ["native", "cloudevents", "arsys", "itrp", "datagerry", "changegear"];

/// How the bodies of each begin.
const HEADS: [(&str, &str); 6] = [
    ("native", "{\"id\":\"msg_"),
    ("cloudevents", "{\"specversion\""),
    ("arsys", "{\"webhook_id\":\"WBH"),
    ("itrp", "{\"webhook_id\":9"),
    ("datagerry", "{\"event_time\""),
    ("changegear", "{\"Event\""),
];

/// Numbers, times and documents that JSON's own words cannot say, in each format.
#[tokio::test(flavor = "multi_thread")]
async fn values_that_json_cannot_say_are_json_in_every_format() {
    let schema = "create table reading (id int primary key, n numeric, f float8, t timestamptz, d date, j json, b jsonb,
        a float8[], x text); alter table reading replica identity full";
    let webhook = |format: &&str| {
        let events = if *format == "changegear" { r#"["create"]"# } else { r#"["create", "update"]"# };
        format!(
            "WEBHOOK\nname = \"{format}\"\nform = \"reading\"\nformat = \"{format}\"\nevents = {events}\n"
        )
    };
    let config = format!(
        "[[forms]]\ntable = \"reading\"\nitrp.status = \"n\"\nitrp.source = \"j\"\n{}",
        FORMATS.iter().map(webhook).collect::<String>()
    );
    let (site, walhook, receiver) = start(schema, &config).await;
    let session = site.session().await;
    one_by_one(
        &session,
        &[
            "insert into reading values (1, 1, 1, '2026-01-01', '2026-01-01', '1', '1', '{1}', 'good')",
            "insert into reading values (2, 'NaN', 'NaN', 'infinity', '-infinity', '\"NaN\"', '{\"NaN\": \"Infinity\"}',
                '{NaN,Infinity,-Infinity}', 'NaN')",
            "insert into reading values (3, 'Infinity', '-Infinity', '-infinity', 'infinity',
                '{\"a\": 1e999999, \"a\": -0.0, \"z\": \"\\u0000\"}', ('1' || repeat('0', 400))::jsonb, null, E'\\x01\\x1f\"\\\\')",
            "update reading set n = '-Infinity', j = '\"\\ud800\"' where id = 3",
            "insert into reading values (4, 1, 1, '2026-01-01', '2026-01-01', '1', '1', '{1}', 'good')",
        ],
    )
    .await;
    arrived(&receiver, 29).await;
    for request in receiver.requests() {
        // each number as it stands: 1e999999 is one, though no double
        let read = serde_json::from_slice::<IgnoredAny>(&request.body);
        assert!(read.is_ok(), "{read:?}: {}", request.text());
        assert!(std::str::from_utf8(&request.body).is_ok());
    }
    let texts: Vec<String> = receiver.requests().iter().map(Request::text).collect();
    let sent = |format: &str, part: &str| {
        let head = HEADS.iter().find(|(name, _)| *name == format).unwrap().1;
        texts.iter().filter(|text| text.starts_with(head) && text.contains(part)).count()
    };
    for format in ["native", "cloudevents", "arsys", "changegear"] {
        let entry = r#""n":"NaN","f":"NaN","t":"infinity","d":"-infinity","j":"NaN","b":{"NaN": "Infinity"},"a":["NaN","Infinity","-Infinity"],"x":"NaN""#;
        assert_eq!(sent(format, entry), 1, "{format}: {texts:#?}");
        let entry = r#""n":"Infinity","f":"-Infinity","t":"-infinity","d":"infinity","j":{"a": 1e999999, "a": -0.0, "z": "\u0000"},"b":1000"#;
        assert_eq!(sent(format, entry), 1, "{format}: {texts:#?}");
    }
    let field = r#"{"name":"n","value":"NaN"},{"name":"f","value":"NaN"},{"name":"t","value":"infinity"}"#;
    assert_eq!(sent("datagerry", field), 1, "{texts:#?}");
    // texts, as that product has them
    let payload =
        r#""payload":{"source":"{\"a\": 1e999999, \"a\": -0.0, \"z\": \"\\u0000\"}","status":"Infinity"}"#;
    assert_eq!(sent("itrp", payload), 1, "{texts:#?}");
    for format in FORMATS {
        let heard = sent(format, "");
        assert_eq!(heard, if format == "changegear" { 4 } else { 5 }, "{format}: {texts:#?}");
    }
    assert_eq!(reasons(&site), Vec::<String>::new());
    assert_eq!(walhook.stop(), 0);
}

/// What is larger than the operator allows is left out and named; the key still says which entry it is.
#[tokio::test(flavor = "multi_thread")]
async fn values_above_the_limit() {
    let schema = "create table page (id text primary key, body text, raw bytea, tags text[]);
        alter table page replica identity full; alter table page alter body set storage external";
    let config = r#"
[capture]
value_bytes_max = "1KiB"
[[forms]]
table = "page"
WEBHOOK
name = "all"
form = "page"
events = ["create", "update", "delete"]
WEBHOOK
name = "fires"
form = "page"
events = ["create", "update"]
condition = "'body' LIKE \"%fire%\""
"#;
    let (site, walhook, receiver) = start(schema, config).await;
    let session = site.session().await;
    one_by_one(
        &session,
        &[
            "insert into page values ('1', 'fire', '\\x00', '{a}')",
            "insert into page values ('2', repeat('fire', 1000), decode(repeat('00', 5000), 'hex'), array_fill('x'::text, '{2000}'))",
            "update page set body = 'a fire' where id = '2'",
            "insert into page values (repeat('k', 1200), 'fire')",
            "delete from page where id = '2'",
            "insert into page values ('3', 'fire')",
        ],
    )
    .await;
    arrived(&receiver, 11).await;
    let key = "k".repeat(1200);
    let named = |of: &[&str]| -> Vec<String> { of.iter().map(|one| one.replace("KEY", &key)).collect() };
    assert_eq!(
        told(&receiver, "all"),
        named(&["create 1", "create 2", "update 2", "create KEY", "delete 2", "create 3"])
    );
    // conditions see what is left out
    assert_eq!(
        told(&receiver, "fires"),
        named(&["create 1", "create 2", "update 2", "create KEY", "create 3"])
    );
    let all = bodies(&receiver, "all");
    assert_eq!(all[1]["entry"], json!({ "id": "2" }));
    assert_eq!(all[1]["unavailable_fields"], json!(["body", "raw", "tags"]));
    // the old text is too large, the new one is not
    assert_eq!(all[2]["changed"], json!({ "body": { "new": "a fire" } }));
    assert_eq!(
        (&all[2]["entry"]["body"], &all[2]["unavailable_fields"]),
        (&json!("a fire"), &json!(["raw", "tags"]))
    );
    assert_eq!(all[3]["unavailable_fields"], json!(["id"]));
    assert_eq!(all[5]["entry"], json!({ "id": "3", "body": "fire", "raw": null, "tags": null }));
    assert_eq!(reasons(&site), Vec::<String>::new());
    assert_eq!(walhook.stop(), 0);
}
