//! **NaN that drops a batch.** `numeric`, `real` and `double precision` know NaN and infinities, JSON does not.
//! Serialisers throw, and the batch around the value goes with it; or they write `null`, which is another value
//! (wal2json#265; singer-io/tap-postgres#20 made the same of it on purpose; estuary/connectors#2131). Infinite
//! timestamps overflow the nanoseconds that somebody counts them in (debezium/dbz#1833, DBZ-6912), years before
//! Christ and after 9999 do the rest.
//!
//! walhook takes a value's own text from the log and writes what the server's `to_jsonb` would write
//! (`value::json`): text where JSON has no number.

use crate::room::{Room, told};
use serde_json::Value;

const CONFIGURATION: &str = r#"
[[forms]]
table = "sample"
[[webhooks]]
name = "all"
form = "sample"
events = ["create", "update"]
schedule = [SCHEDULE]
callback.url = "RECEIVER/all"
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_that_json_and_calendars_do_not_know_arrive_as_the_server_writes_them() {
    let schema = "create table sample (id int primary key, n numeric, f float8, r real, ns numeric[],
                  t timestamptz, u timestamp, d date, s tstzrange)";
    let mut room = Room::open("not_a_number", schema, CONFIGURATION).await;
    room.run(&[
        "insert into sample values
             (1, 1, 1, 1, '{1}', '2026-01-01', '2026-01-01', '2026-01-01', '[2026-01-01,)'),
             (2, 'NaN', 'NaN', 'NaN', '{NaN,1,NULL}', 'infinity', 'infinity', 'infinity', '[-infinity,infinity]'),
             (3, 'Infinity', 'Infinity', '-Infinity', '{-Infinity}', '-infinity', '-infinity', '-infinity', 'empty'),
             (4, -0.0, '-0', 1e-40, '{}', '4713-01-01 12:00 BC', '0001-01-01 BC', '4713-01-01 BC', '(,)'),
             (5, 1e300, 5e-324, 3.4e38, '{{1,NaN},{2,3}}', '294276-12-31', '294276-12-31', '5874897-12-31', null)",
    ])
    .await;
    let heard = room.hear("/all", 5).await;
    assert_eq!(told(&heard), ["create 1", "create 2", "create 3", "create 4", "create 5"]);
    for one in &heard {
        let entry = one.body["entry_id"].as_str().unwrap();
        let expected: Value =
            room.value(&format!("select to_jsonb(sample) from sample where id = {entry}")).await;
        assert_eq!(one.body["entry"], expected, "entry {entry}");
    }
    assert_eq!(heard[1].body["entry"]["n"], "NaN");
    let end = room.wal_end().await;
    room.until_confirmed(end - 64).await;
    room.close();
}
