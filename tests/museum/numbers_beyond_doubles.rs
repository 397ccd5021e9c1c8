//! **JSON numbers beyond doubles.** A `bigint` beyond 2^53 or a `numeric` of thirty digits is a number in JSON, and
//! most parsers on the way round it (wal2json#143; pgcopydb#968 kept six decimals of a double, until 2026). Two ids
//! become one, and one of two entries is lost. JSON that is valid for PostgreSQL and not for a parser (`"\u0000"`,
//! half a surrogate, deep nesting, `1e999`) made pg_replicate fail (supabase/etl#79), and the Farcaster replicator
//! refuse a message again and again (farcasterxyz/hub-monorepo#1753).
//!
//! walhook never makes a number of a number: its digits go from the log into the body as they are, and so does the
//! text of `json` (`value::json`, `value::number`).

use crate::room::{ONE, Room};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_digit_arrives() {
    let schema = "create table ticket (id bigint primary key, n numeric, j jsonb, ns numeric[])";
    let room = Room::open("numbers_beyond_doubles", schema, ONE).await;
    let digits = "1234567890123456789012345678901234567890.123456789012345678901234567890";
    let large = "9".repeat(300);
    room.run(&[
        &format!(
            "insert into ticket values (9007199254740993, {digits}, '{{\"n\": {digits}}}', '{{{digits}}}')"
        ),
        "insert into ticket values (9007199254740992, 1.10, '1.10', null)",
        &format!("insert into ticket values (-9223372036854775808, {large}, '{large}', null)"),
    ])
    .await;
    let heard = room.hear("/all", 3).await;
    let text = |number: usize| String::from_utf8(heard[number].bytes.to_vec()).unwrap();
    assert_eq!(text(0).matches(digits).count(), 3, "{}", text(0));
    assert_eq!(heard[0].body["entry_id"], "9007199254740993");
    assert_eq!(heard[1].body["entry_id"], "9007199254740992");
    assert!(text(1).contains("\"n\":1.10"), "{}", text(1));
    assert!(text(2).matches(&large).count() == 2 && text(2).contains(":-9223372036854775808"), "{}", text(2));
    room.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn json_that_parsers_refuse_stops_nothing() {
    let schema = "create table ticket (id int primary key, j json)";
    let room = Room::open("json_that_parsers_refuse", schema, ONE).await;
    let deep = format!("{}1{}", "[".repeat(2000), "]".repeat(2000));
    let hostile = [r#""\u0000""#, r#""\ud800""#, "1e999999", r#"{"a": 1, "a": 2}"#, deep.as_str(), " 1 "];
    for (number, json) in hostile.iter().enumerate() {
        let insert = format!("insert into ticket values ({}, '{json}')", number + 1);
        room.run(&[&insert]).await;
    }
    room.run(&["insert into ticket values (7, '{}')"]).await;
    // what the receiver makes of it is its own business: here only that it comes, with the text in it
    room.until_arrived("all seven", |arrivals| arrivals.iter().filter(|one| one.is_accepted()).count() >= 7)
        .await;
    let bodies: Vec<String> = room
        .receiver
        .arrivals_from(0)
        .iter()
        .map(|one| String::from_utf8(one.request.body.to_vec()).unwrap())
        .collect();
    for json in hostile {
        assert!(bodies.iter().any(|body| body.contains(json.trim())), "{json:.40} is not as it was written");
    }
    let last: Value =
        serde_json::from_str(bodies.iter().find(|body| body.contains("\"7\"")).unwrap()).unwrap();
    assert_eq!(last["sequence"], 7);
    room.close();
}
