//! **An idle publication beside a busy database.** Nothing of ours changes, so nothing is confirmed, so the server
//! keeps its log for us until the disk is full or `max_slot_wal_keep_size` invalidates the slot, and then the next
//! change that *is* ours is lost (supabase/etl#429; singer-io/tap-postgres#78; go-pq-cdc#81; readyset#471).
//! Confirming every keepalive is no cure: see `acknowledgement_ahead_of_durability`.
//!
//! When nothing is under way, walhook stores the position that a keepalive tells and then confirms it
//! (`capture::Capture::take_keepalive`, `hand_over_idle_position`).

use crate::room::{ONE, Room, TICKETS, told};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_position_moves_on_while_only_others_write() {
    let schema = format!("{TICKETS}; create table other (text text)");
    let mut room = Room::open("idle_publication", &schema, ONE).await;
    let noise = "insert into other select repeat('x', 1000) from generate_series(1, 2000)";
    room.run(&[noise, noise]).await;
    let end = room.wal_end().await;
    room.until_confirmed(end - 64).await;
    // and behind it nothing is missing, after a crash of ours
    room.kill().await;
    room.run(&["insert into ticket values (1)"]).await;
    room.start().await;
    assert_eq!(told(&room.hear("/all", 1).await), ["create 1"]);
    room.close();
}
