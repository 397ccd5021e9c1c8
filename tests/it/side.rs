//! The books of the bench: what makes a result worthless must be seen.

#[path = "../../benches/side/book.rs"]
#[allow(dead_code, unreachable_pub)]
mod book;

use book::{Arrival, Book, Expected, Rates, quantile};

fn arrival(webhook: u32, entry: u32, at_us: u64) -> Arrival {
    Arrival { webhook, entry, step: 1, is_refused: false, at_us, written_us: 0 }
}

#[track_caller]
fn check(expected: &Expected, arrivals: &[Arrival], may_repeat: bool, fault: Option<&str>) {
    let mut book = Book::new(expected.clone());
    for arrival in arrivals {
        book.note(*arrival);
    }
    assert_eq!(book.fault(may_repeat).as_deref(), fault);
}

#[test]
fn what_never_came_came_twice_or_was_not_expected_is_a_fault() {
    let two = Expected::plain(1..=2, 1);
    let (first, second) = (arrival(0, 1, 10), arrival(0, 2, 20));
    check(&two, &[second, first], false, None);
    check(&two, &[first], false, Some("1 of 2 never came"));
    check(&two, &[first, second, first], false, Some("1 came again"));
    check(&two, &[first, second, first], true, None);
    check(&two, &[first, second, arrival(0, 3, 30)], true, Some("1 were not expected"));
    check(&two, &[first, second, arrival(1, 1, 30)], true, Some("1 were not expected"));
    check(&two, &[first, second, Arrival { step: 2, ..first }], true, Some("1 were not expected"));
    check(&Expected { webhooks: 2, ..two }, &[first, second], false, Some("2 of 4 never came"));
}

#[test]
fn refused_entries_come_again_by_design_and_count_for_nothing_else() {
    let expected = Expected { refused_each: Some(10), ..Expected::plain(9..=10, 1) };
    let refused = Arrival { is_refused: true, ..arrival(0, 10, 10) };
    assert_eq!((expected.accepted(), expected.deliveries()), (1, 2));
    check(&expected, &[arrival(0, 9, 5), refused, refused], false, None);
    check(&expected, &[arrival(0, 9, 5)], false, Some("1 of 2 never came"));
    let mut book = Book::new(expected);
    for arrival in [refused, arrival(0, 9, 5), refused] {
        book.note(arrival);
    }
    assert_eq!((book.accepted(), book.repeats(), book.began_us()), (1, 0, Some(5)));
}

#[test]
fn rates_count_from_the_first_to_the_last_and_leave_the_ends_out() {
    let mut book = Book::new(Expected::plain(1..=101, 1));
    // one in a millisecond; then the same, but for a long wait before the last
    (1..=101).for_each(|entry| book.note(arrival(0, entry, u64::from(entry) * 1000)));
    let even = Rates { whole: 1000.0, middle: 1000.0, first_s: 0.005, last_s: 0.005 };
    assert_eq!(book.rates(|_| true), Some(even));
    assert_eq!(book.rates(|entry| entry.is_multiple_of(2)).map(|rates| rates.whole), Some(500.0));
    assert_eq!(book.rates(|entry| entry == 1), None, "of one there is no rate");
    let mut late = Book::new(Expected::plain(1..=101, 1));
    (1..=100).for_each(|entry| late.note(arrival(0, entry, u64::from(entry) * 1000)));
    late.note(arrival(0, 101, 1_099_000 + 1000));
    let late = late.rates(|_| true).unwrap();
    assert_eq!((late.middle, late.first_s, late.last_s), (1000.0, 0.005, 1.004));
    assert!((90.0..92.0).contains(&late.whole), "{late:?}");
}

#[test]
fn delays_are_those_of_the_entries_that_are_meant() {
    let mut book = Book::new(Expected::plain(1..=4, 1));
    for (entry, delay_us) in [(1, 9000), (2, 3000), (3, 1000), (4, 2000)] {
        book.note(Arrival { written_us: 1_000_000, ..arrival(0, entry, 1_000_000 + delay_us) });
    }
    let delays = book.delays_ms(2..=4);
    assert_eq!(delays, [1.0, 2.0, 3.0]);
    assert_eq!(
        (quantile(&delays, 0.5), quantile(&delays, 1.0), quantile(&[], 0.5)),
        (Some(2.0), Some(3.0), None)
    );
}
