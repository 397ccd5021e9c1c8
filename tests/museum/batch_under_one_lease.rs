//! **One lease for a batch delivered serially.** A worker claims fifty deliveries for a minute, and sends one after
//! the other: a slow endpoint makes the batch outlast its lease, another worker takes the rest, and receivers get
//! everything twice, in parallel and out of order (endatix#956, 2026; reapit/foundations#10832, where the repeats
//! had other ids on top; simplereport#4661).
//!
//! walhook's queue belongs to one process, a claim is for one delivery, and no clock ends it: it lasts until the
//! attempt is settled or the process is gone (`queue::sqlite::claim`).

use crate::room::{ONE, Room, TICKETS};
use std::collections::BTreeSet;
use std::time::Duration;
use walhook::demo::receiver::Answer;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_endpoint_gets_everything_once_and_one_at_a_time_for_each_entry() {
    // MUSEUM_SECONDS=300 outlasts any lease that somebody might think of
    let seconds: usize = std::env::var("MUSEUM_SECONDS").map_or(5, |text| text.parse().unwrap());
    let updates = seconds * 2;
    let configuration = ONE.replace("form = \"ticket\"", "form = \"ticket\"\nin_flight_max = 2");
    let room = Room::open("batch_under_one_lease", TICKETS, &configuration).await;
    room.answer(|_| Answer::Slow(Duration::from_millis(450), 204));
    room.run(&["insert into ticket values (1), (2)"]).await;
    for number in 1..updates {
        room.run(&[&format!("update ticket set title = '{number}'")]).await;
    }
    let all = room.receiver.wait_until(|arrivals| arrivals.len() >= 2 * updates);
    tokio::time::timeout(Duration::from_secs(60 + 2 * seconds as u64), all).await.expect("all of them");
    room.hear("/all", 2 * updates).await;
    let arrivals = room.receiver.arrivals_from(0);
    assert_eq!(arrivals.len(), 2 * updates, "something came twice");
    for entry in ["1", "2"] {
        let of_entry = arrivals.iter().filter(|arrival| {
            let body: serde_json::Value = serde_json::from_slice(&arrival.request.body).unwrap();
            body["entry_id"] == entry
        });
        let times: BTreeSet<_> = of_entry.map(|one| (one.request.started, one.ended.unwrap())).collect();
        let times: Vec<_> = times.into_iter().collect();
        assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0), "two attempts for one entry at once");
    }
    room.close();
}
