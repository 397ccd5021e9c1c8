//! **Acknowledgement before re-insert.** A gateway takes a message from its queue, fails to deliver it,
//! acknowledges it, and puts it back with a delay: two steps, and who dies between them has lost the webhook.
//! Novu updated its database, and queued the job afterwards (novuhq/novu#12124, 2026); OpenWA kept what waited for
//! its next attempt in memory (rmyndharis/OpenWA#1402).
//!
//! In walhook a delivery never leaves the queue to be tried: a claim is memory, and its end (delivered, again at
//! this time, dead) is one durable transaction together with the attempt's record (`queue::Queue::settle`). Claims
//! of a process that is gone are void.

use crate::room::{ONE, Room, TICKETS, told};
use std::collections::BTreeSet;
use std::time::Duration;
use walhook::demo::receiver::Answer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_survives_death_at_each_of_its_failures() {
    let mut room = Room::open("acknowledgement_before_reinsert", TICKETS, ONE).await;
    room.answer(|_| Answer::Status(503));
    room.run(&["insert into ticket values (1)"]).await;
    // the sooner the death, the less of the failure's end has been written
    for pause_ms in [0, 1, 3, 10, 40] {
        let heard = room.receiver.count();
        room.until_arrived("an attempt", |arrivals| {
            arrivals.len() as u64 > heard && arrivals.iter().all(|arrival| arrival.ended.is_some())
        })
        .await;
        // the moment of death is what is varied: nothing is waited for
        std::thread::sleep(Duration::from_millis(pause_ms));
        room.kill().await;
        room.walhook.start();
    }
    room.answer(|_| Answer::Status(204));
    assert_eq!(told(&room.hear("/all", 1).await), ["create 1"]);
    let arrivals = room.receiver.arrivals_from(0);
    let ids: BTreeSet<_> = arrivals.iter().map(|arrival| arrival.request.header("webhook-id")).collect();
    assert_eq!((ids.len(), arrivals.len() > 5), (1, true));
    room.close();
}
