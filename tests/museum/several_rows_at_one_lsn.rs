//! **Several rows at one LSN.** `COPY` writes many rows into one WAL record, and logical decoding gives all of
//! them that record's position. Debezium's PostgreSQL connector took a row's LSN for its identity: after the
//! first row the position counted as done, and after a restart in between the rest of the record was skipped
//! (debezium/dbz#1554, mended in 2026; DBZ-6204 is its sister, with Begin, Insert and the Commit before at one
//! LSN). Whoever loaded by `COPY` lost rows in silence.
//!
//! walhook has no positions of rows: a transaction is the unit that is stored and confirmed (`capture::Capture::
//! complete`), a row's place in it is counted (`capture::transaction::Open::count`), and both together are its
//! identity.

use crate::room::{ONE, Room, TICKETS, told};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use walhook::demo::receiver::Answer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_of_a_copy_arrives_though_walhook_dies_among_them() {
    const ROWS: usize = 400;
    let mut room = Room::open("several_rows_at_one_lsn", TICKETS, ONE).await;
    room.run(&["select pg_create_logical_replication_slot('rows_witness', 'pgoutput')"]).await;
    let taken = Arc::new(AtomicU64::new(0));
    for until in [120, 260] {
        let counted = Arc::clone(&taken);
        room.answer(move |_| {
            if counted.fetch_add(1, Ordering::Relaxed) < until {
                Answer::Status(204)
            } else {
                Answer::Silence
            }
        });
        if until == 120 {
            room.run(&[&format!("copy ticket (id) from program 'seq 1 {ROWS}'")]).await;
        }
        room.until_arrived("some of them", |arrivals| arrivals.len() as u64 > until).await;
        room.kill().await;
        room.walhook.start();
    }
    room.answer(|_| Answer::Status(204));
    let heard = room.hear("/all", ROWS).await;
    let expected: Vec<String> = (1..=ROWS).map(|id| format!("create {id}")).collect();
    assert_eq!(told(&heard), expected);

    // the circumstance: rows of the log do share positions
    let shared: i64 = room
        .value(
            "select max(rows) from (select count(*) as rows from pg_logical_slot_get_binary_changes(
                 'rows_witness', null, null, 'proto_version', '1', 'publication_names', 'walhook')
             where get_byte(data, 0) = ascii('I') group by lsn) at_one",
        )
        .await;
    assert!(shared > 1, "{shared}");
    room.run(&["select pg_drop_replication_slot('rows_witness')"]).await;
    room.close();
}
