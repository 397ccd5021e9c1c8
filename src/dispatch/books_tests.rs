use super::*;
use crate::delivery::{Body, DeliveryId, DeliveryNumber};
use crate::event::Verb;
use crate::form::Lane;
use crate::webhook::sample;
use bytes::Bytes;

fn webhook(id: u64, in_flight_max: usize, per_second_max: Option<u32>) -> Webhook {
    let mut webhook = sample::webhook(id);
    (webhook.sending.in_flight_max, webhook.sending.per_second_max) = (in_flight_max, per_second_max);
    webhook
}

fn claim(webhook: u64, body_bytes: usize) -> Claim {
    Claim {
        number: DeliveryNumber { webhook: WebhookId(webhook), sequence: 1 },
        id: DeliveryId([0; 16]),
        attempt: 1,
        failures: 0,
        replay: false,
        body: Body {
            head: Bytes::new(),
            tail: vec![b'x'; body_bytes].into(),
            content_type: "text/plain".into(),
        },
        form: "f".into(),
        verb: Verb::Create,
        entry_id: "1".into(),
        lane: Lane(1),
        committed_at_us: 0,
    }
}

fn books(in_flight_max: usize, webhooks: Vec<Webhook>) -> Books {
    let mut books = Books::new(in_flight_max, 1 << 20);
    books.take_over(&webhooks.into_iter().collect(), Instant::now());
    books
}

/// Gives every webhook what it may have, again and again.
fn fill(books: &mut Books, ids: &[u64]) {
    let now = Instant::now();
    while ids.iter().any(|id| books.allowance(WebhookId(*id), now) > 0) {
        for id in ids {
            if books.allowance(WebhookId(*id), now) > 0 {
                books.start(&claim(*id, 1), now);
            }
        }
    }
}

#[test]
fn hanging_endpoints_leave_slots_for_others() {
    let hooks = (0..100).map(|id| webhook(id, 64, None)).collect();
    let mut books = books(128, hooks);
    fill(&mut books, &(0..99).collect::<Vec<_>>());
    assert!(books.allowance(WebhookId(99), Instant::now()) >= 1);
    assert_eq!(books.allowance(WebhookId(0), Instant::now()), 0);
}

#[test]
fn alone_a_webhook_has_its_own_limit_or_half_of_all() {
    for (in_flight_max, own, expected) in [(1024, 16, 16), (20, 16, 10), (1, 16, 1), (2, 1, 1)] {
        let mut books = books(in_flight_max, vec![webhook(1, own, None)]);
        fill(&mut books, &[1]);
        assert_eq!(books.claims, expected);
    }
}

#[test]
fn unknown_and_disabled_webhooks_have_no_allowance() {
    let now = Instant::now();
    let mut off = webhook(2, 16, None);
    off.enabled = false;
    let mut books = books(100, vec![webhook(1, 16, None), off]);
    assert!(books.allowance(WebhookId(1), now) > 0);
    assert_eq!(books.allowance(WebhookId(2), now), 0);
    assert_eq!(books.allowance(WebhookId(3), now), 0);
    books.start(&claim(1, 1), now);
    books.take_over(&Webhooks::default(), now);
    assert_eq!(books.allowance(WebhookId(1), now), 0);
    books.end(&claim(1, 1), Meaning::Success, false, false, now, 0);
    assert!(books.webhooks.is_empty());
}

#[test]
fn large_bodies_take_the_room_of_many() {
    let now = Instant::now();
    let mut books = books(100, vec![webhook(1, 50, None)]);
    assert_eq!(books.room(), 100);
    books.start(&claim(1, 1 << 18), now);
    assert_eq!(books.room(), 3);
    books.start(&claim(1, 1 << 20), now);
    assert_eq!(books.room(), 0);
    books.settle(WebhookId(1), 1 << 20);
    books.settle(WebhookId(1), 1 << 18);
    assert_eq!(books.room(), 1);
}

#[test]
fn what_is_not_settled_is_bounded_however_long_the_disk_takes() {
    let now = Instant::now();
    let mut books = books(100_000, vec![webhook(1, 16, None), webhook(2, 16, None)]);
    let mut ended = 0;
    while books.allowance(WebhookId(1), now) > 0 {
        books.start(&claim(1, 1), now);
        books.end(&claim(1, 1), Meaning::Success, false, false, now, 0);
        ended += 1;
    }
    assert_eq!(ended, UNSETTLED_MAX + 16);
    // another webhook does not feel it
    assert_eq!(books.allowance(WebhookId(2), now), 16);
    books.settle(WebhookId(1), 1);
    assert_eq!(books.allowance(WebhookId(1), now), 1);
}

#[test]
fn a_clock_that_is_set_makes_no_day_of_a_minute() {
    const YEAR_US: i64 = 31_557_600_000_000;
    let check = |jump_us: i64, minutes: u64| {
        let now = Instant::now();
        let mut books = books(100, vec![webhook(1, 50, None)]);
        books.watch_clock(now, YEAR_US);
        books.start(&claim(1, 1), now);
        books.end(&claim(1, 1), Meaning::Passing, false, false, now, YEAR_US);
        let later = Duration::from_secs(60 * minutes);
        let now_us = YEAR_US + later.as_micros() as i64 + jump_us;
        books.watch_clock(now + later, now_us);
        let lasting = books.failure_run(WebhookId(1), now_us).lasting;
        assert!(lasting.abs_diff(later) < Duration::from_secs(2), "{lasting:?} of {later:?}");
    };
    check(0, 1500);
    check(74 * YEAR_US, 1);
    check(-YEAR_US, 1500);
}

#[test]
fn a_new_url_is_a_fresh_start() {
    let now = Instant::now();
    let mut books = books(100, vec![webhook(1, 50, None)]);
    for lane in 0..10 {
        let claim = Claim { lane: Lane(lane), ..claim(1, 1) };
        books.start(&claim, now);
        books.end(&claim, Meaning::Passing, false, false, now, 0);
    }
    assert_eq!(books.allowance(WebhookId(1), now), 0);
    assert_eq!(books.opens_at(now), Some(now + Duration::from_secs(1)));
    books.take_over(&[webhook(1, 40, None)].into_iter().collect(), now);
    assert_eq!(books.allowance(WebhookId(1), now), 0);
    let mut moved = webhook(1, 40, None);
    moved.callback.url = "http://elsewhere.example/".parse().unwrap();
    books.take_over(&[moved].into_iter().collect(), now);
    assert_eq!(books.allowance(WebhookId(1), now), 40);
    assert_eq!(books.failure_run(WebhookId(1), 7).failures, 10);
}

/// Ten lanes' worth of attempts that were not let in.
fn die(books: &mut Books, id: u64, now: Instant) {
    for lane in 0..10 {
        let claim = Claim { lane: Lane(lane), ..claim(id, 1) };
        books.start(&claim, now);
        books.end(&claim, Meaning::Passing, false, true, now, 0);
    }
}

/// For which webhooks there are knocks.
fn knocked_for(books: &Books, now: Instant) -> Vec<u64> {
    books.shut(now).into_iter().map(|(webhook, _)| webhook.id.0).collect()
}

#[test]
fn who_has_something_to_send_and_is_not_let_in_is_knocked_for() {
    let now = Instant::now();
    let mut books = books(100, (1..=4).map(|id| webhook(id, 50, None)).collect());
    for id in [3, 1, 2] {
        die(&mut books, id, now);
    }
    // the queue asks for those that have something due
    books.ask();
    for id in [4, 3, 1] {
        books.allowance(WebhookId(id), now);
    }
    assert_eq!(knocked_for(&books, now), [1, 3]);
    books.ask();
    for id in [4, 3, 2] {
        books.allowance(WebhookId(id), now);
    }
    assert_eq!(knocked_for(&books, now), [2, 3]);
    let mut off = webhook(3, 50, None);
    off.enabled = false;
    books.take_over(&[webhook(1, 50, None), webhook(2, 50, None), off].into_iter().collect(), now);
    assert_eq!(knocked_for(&books, now), [2]);
    // a probe may start, and is under way
    let from = now + Duration::from_millis(500);
    books.open(WebhookId(2), from);
    assert_eq!(books.allowance(WebhookId(2), from), 1);
    assert!(knocked_for(&books, from).is_empty());
    books.start(&claim(2, 1), from);
    assert!(knocked_for(&books, from).is_empty());
    books.end(&claim(2, 1), Meaning::Passing, true, true, from, 0);
    assert_eq!(books.allowance(WebhookId(2), from), 0);
    assert_eq!(knocked_for(&books, from), [2]);
}
