//! **One bad receiver that ends the fan-out.** An event has several subscribers, and a loop sends it to one after
//! the other: the first that fails ends the loop, and the others never hear of it (travis-ci#3192 and #5440 for
//! years; webhookdb#237; Octopus#7216 within a batch; formbricks#9123 sent it again to the healthy ones). Or the
//! loop sees only the first page of the subscribers, and those behind it never exist (GaloyMoney/drua#363).
//!
//! In walhook each webhook has a delivery of its own, stored in one transaction with the others' (`queue::Queue::
//! enqueue`), with its own attempts, pauses and limit of what is under way (`dispatch`): none knows of another.

use crate::room::{ONE, Room, TICKETS, told};
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use walhook::demo::receiver::{Answer, Request};

fn webhook(id: u64, url: &str) -> String {
    format!(
        "[[webhooks]]\nid = {id}\nname = \"{id}\"\nform = \"ticket\"\nevents = [\"create\"]\ntimeout = \"1s\"\n\
         schedule = [SCHEDULE]\ncallback.url = \"{url}\"\n"
    )
}

// R-AR-04 R-DG-24
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_good_ones_hear_everything_and_the_bad_ones_too_once_they_are_well() {
    const ROWS: usize = 10;
    let mut configuration = "[[forms]]\ntable = \"ticket\"\n".to_owned();
    let urls = [
        "http://127.0.0.1:9/",
        "http://no-such-host.invalid/",
        "RECEIVER/cuts",
        "RECEIVER/says-nothing",
        "RECEIVER/is-slow",
        "RECEIVER/fails",
        "RECEIVER/good",
        "RECEIVER/refuses",
        "RECEIVER/also-good",
    ];
    for (number, url) in urls.iter().enumerate() {
        configuration += &webhook(number as u64 + 1, url);
    }
    let room = Room::open("bad_receiver_among_good_ones", TICKETS, &configuration).await;
    let well = Arc::new(AtomicBool::new(false));
    let is_well = Arc::clone(&well);
    room.answer(move |request: &Request| match request.path.as_str() {
        _ if is_well.load(Ordering::Relaxed) => Answer::Status(204),
        "/cuts" => Answer::Cut,
        "/says-nothing" => Answer::Silence,
        "/is-slow" => Answer::Slow(Duration::from_millis(1500), 204),
        "/fails" => Answer::Status(500),
        "/refuses" => Answer::Status(401),
        _ => Answer::Status(204),
    });
    room.run(&[&format!("insert into ticket select n from generate_series(1, {ROWS}) n")]).await;
    let expected: Vec<String> = (1..=ROWS).map(|id| format!("create {id}")).collect();
    assert_eq!(told(&room.hear("/good", ROWS).await), expected);
    assert_eq!(told(&room.hear("/also-good", ROWS).await), expected);
    well.store(true, Ordering::Relaxed);
    for path in ["/cuts", "/says-nothing", "/is-slow", "/fails", "/refuses"] {
        assert_eq!(told(&room.hear(path, ROWS).await), expected, "{path}");
    }
    room.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_webhooks_than_any_page_has_all_hear_one_event() {
    const WEBHOOKS: u64 = 250;
    let mut configuration = "[[forms]]\ntable = \"ticket\"\n".to_owned();
    for id in 1..=WEBHOOKS {
        write!(configuration, "{}", webhook(id, &format!("RECEIVER/{id}"))).unwrap();
    }
    let room = Room::open("more_webhooks_than_a_page", TICKETS, &configuration).await;
    room.run(&["insert into ticket values (1)"]).await;
    for id in 1..=WEBHOOKS {
        assert_eq!(told(&room.hear(&format!("/{id}"), 1).await), ["create 1"]);
    }
    room.close();
}

/// One window of 401 at the receiver's side: waxum dropped every event of it for good (imtaqin/waxum#68), pgstream
/// counts all refusals but 429 as final and moves on (xataio/pgstream#1080).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_window_of_refused_credentials_costs_nothing() {
    let room = Room::open("a_window_of_401", TICKETS, ONE).await;
    room.answer(|_| Answer::Status(401));
    room.run(&["insert into ticket values (1)", "insert into ticket values (2)"]).await;
    room.until_arrived("refusals", |arrivals| arrivals.len() > 3).await;
    room.answer(|_| Answer::Status(403));
    room.until_arrived("refusals", |arrivals| arrivals.iter().any(|one| one.status == Some(403))).await;
    room.answer(|_| Answer::Status(404));
    room.until_arrived("refusals", |arrivals| arrivals.iter().any(|one| one.status == Some(404))).await;
    room.answer(|_| Answer::Status(204));
    room.hear("/all", 2).await;
    room.close();
}
