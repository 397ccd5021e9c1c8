//! **Text in another DateStyle.** pgoutput sends values as text, and how a session writes dates, intervals, bytes and
//! floats depends on settings that a role or a database may have. `03/02/2026` is then another month, or unreadable
//! and the batch with it; nobody is told. PeerDB began to set DateStyle itself with PeerDB#2399, Electric its display
//! settings with archived-electric-next#220, spock only in 2026 (spock#587).
//!
//! walhook sets all of them on every connection, the replication one included, behind what the address asks for
//! (`postgres::settings`).

use crate::room::{ONE, Room};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_settings_of_the_database_change_no_value() {
    let schema =
        "create table ticket (id int primary key, d date, t timestamptz, i interval, b bytea, f float8);
                  alter database text_of_another_date_style set datestyle = 'SQL, DMY';
                  alter database text_of_another_date_style set intervalstyle = 'sql_standard';
                  alter database text_of_another_date_style set timezone = 'Asia/Kathmandu';
                  alter database text_of_another_date_style set bytea_output = 'escape';
                  alter database text_of_another_date_style set extra_float_digits = -10;
                  alter database text_of_another_date_style set statement_timeout = '2s'";
    let room = Room::open("text_of_another_date_style", schema, ONE).await;
    room.run(&["insert into ticket values (1, '2026-02-03', '2026-02-03 04:05:06.789+02', '1 day 2 hours', '\\x00ff', 0.1::float8 + 0.2::float8)"])
        .await;
    let heard = room.hear("/all", 1).await;
    let expected: Value = json!({
        "id": 1, "d": "2026-02-03", "t": "2026-02-03T02:05:06.789+00:00", "i": "1 day 02:00:00", "b": "AP8=",
        "f": 0.300_000_000_000_000_04,
    });
    assert_eq!(heard[0].body["entry"], expected);
    room.close();
}
