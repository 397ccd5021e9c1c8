//! **TRUNCATE that stalls.** A publication publishes truncations unless told otherwise. pg_replicate answered
//! "message not supported", was restarted at the same place, and never came past it (supabase/etl#99); rivet's
//! capture let it vanish without a word, and reported success over an empty table (rivet#286).
//!
//! There are no rows in the log of a TRUNCATE, so walhook has no delete events to make of it: it says so in the log,
//! for every form of the table, and goes on (`capture::Capture::tell_of_truncation`).

use crate::room::{ONE, Room, TICKETS, told};

// R-DG-03
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_truncation_is_told_of_and_passed() {
    let schema = format!(
        "{TICKETS}; create table note (id int primary key, ticket int references ticket);
         create table unmapped (id int)"
    );
    let mut room = Room::open("truncate_that_stalls", &schema, ONE).await;
    room.run(&[
        "insert into ticket values (1)",
        "truncate ticket cascade",
        "begin; insert into ticket values (2); truncate ticket, note, unmapped; insert into ticket values (3); commit",
        "truncate unmapped",
        "insert into ticket values (4)",
    ])
    .await;
    let end = room.wal_end().await;
    let heard = room.hear("/all", 4).await;
    // the log has no row that says that entry 2 went with its table
    assert_eq!(told(&heard), ["create 1", "create 2", "create 3", "create 4"]);
    let from = room.wait_for_log(0, "the table was truncated").await;
    room.wait_for_log(from, "the table was truncated").await;
    room.until_confirmed(end - 64).await;
    assert!(!room.walhook.log().contains("a task failed"), "{}", room.walhook.log_tail());
    room.close();
}
