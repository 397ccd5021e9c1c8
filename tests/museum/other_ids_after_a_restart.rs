//! **Other ids after a restart.** Repeats are harmless if a receiver can tell them. Where ids are made when an event
//! is read or sent (random, or a counter in memory), the repeat after a crash has another one, and the receiver
//! books twice (reapit/foundations#10832; pgstream#1080 gave its webhooks an idempotency key only in 2026, and none
//! to those of a snapshot); or the counter begins anew, two events share an id, and the receiver drops one.
//!
//! walhook's `webhook-id` is a hash of where the change stands in the log, and of what it means for whom
//! (`delivery::DeliveryId`); the sequence is given in the transaction that stores the event.

use crate::room::{ONE, Room, TICKETS, told};
use std::collections::BTreeMap;
use walhook::demo::receiver::Answer;

// R-NA-03
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_repeat_has_its_id_and_nothing_else_has_it() {
    let mut room = Room::open("other_ids_after_a_restart", TICKETS, ONE).await;
    // never answered: every life sends them again
    room.answer(|_| Answer::Silence);
    room.run(&["insert into ticket select n from generate_series(1, 8) n"]).await;
    for life in 1..=3 {
        room.until_arrived("all of them", |arrivals| arrivals.len() >= 8 * life).await;
        room.kill().await;
        // a deletion and a new entry under the same key are other events
        room.run(&["delete from ticket where id = 1", "insert into ticket values (1)"]).await;
        room.walhook.start();
    }
    room.until_arrived("all of them", |arrivals| arrivals.len() >= 32).await;
    let mut of_id: BTreeMap<String, String> = BTreeMap::new();
    for arrival in room.receiver.arrivals_from(0) {
        let id = arrival.request.header("webhook-id").unwrap().to_owned();
        let body = String::from_utf8(arrival.request.body.to_vec()).unwrap();
        assert_eq!(of_id.entry(id).or_insert(body.clone()), &body);
    }
    assert_eq!(of_id.len(), 8);
    room.answer(|_| Answer::Status(204));
    let heard = room.hear("/all", 14).await;
    assert_eq!(told(&heard)[8..10], ["delete 1", "create 1"]);
    assert!(of_id.keys().all(|id| heard[..8].iter().any(|one| one.id == *id)), "they changed in the end");
    room.close();
}
