//! Dates and times, and the keywords.

use super::{Held, Item, Shape, Sort, exactly, readable};
use crate::qualification::properties::targets::event::{Event, NOW_US};
use bigdecimal::{BigDecimal, RoundingMode};
use walhook::event::Verb;

pub(super) const DAY: i64 = 86_400;
/// The form's time zone lies so far to the east.
pub(super) const EAST: i64 = 2 * 3_600;

/// `2024-06-12`, `06/12/2024`, with or without ` 09:30:00` and ` +00`; `09:30:00`.
pub(super) fn moment(text: &str, shape: Shape, east: i64) -> Option<BigDecimal> {
    let clock = |text: &str| {
        let parts: Vec<i64> = text.split(':').map(|part| part.parse().ok()).collect::<Option<_>>()?;
        let [hours, minutes, seconds] = parts[..] else { return None };
        (hours < 24 && minutes < 60 && seconds < 60).then_some(hours * 3_600 + minutes * 60 + seconds)
    };
    let day = |text: &str| {
        let american = text.split_once('/').and_then(|(month, rest)| {
            let (day, year) = rest.split_once('/')?;
            Some(format!("{year}-{month}-{day}"))
        });
        let text = american.as_deref().unwrap_or(text);
        // a date alone
        let date: jiff::civil::Date = text.parse().ok().filter(|_| text.len() == 10)?;
        Some(i64::from(date.since(jiff::civil::date(1970, 1, 1)).ok()?.get_days()))
    };
    let number = match shape {
        Shape::Time => clock(text)?,
        Shape::Date => day(text)?,
        Shape::Instant => {
            let (date, time) = text.split_once(' ').unwrap_or((text, "00:00:00"));
            let (time, east) = time.strip_suffix("+00").map_or((time, east), |time| (time, 0));
            day(date)? * DAY + clock(time)? - east
        }
    };
    Some(BigDecimal::from(number))
}

/// A number of seconds as a moment: of a date it is the day that it falls on.
pub(super) fn of_seconds(held: Held, shape: Shape) -> Held {
    match within(counted(readable(held), Shape::Instant), Shape::Instant) {
        Held::Number { number, exact } if shape == Shape::Date => {
            let days = (number + BigDecimal::from(EAST)) / BigDecimal::from(DAY);
            Held::Number { number: days.with_scale_round(0, RoundingMode::Floor), exact }
        }
        held => within(held, shape),
    }
}

/// Days are whole, of seconds there are millionths.
pub(super) fn counted(held: Held, shape: Shape) -> Held {
    let scale = if shape == Shape::Date { 0 } else { 6 };
    match held {
        Held::Number { number, exact } => {
            Held::Number { number: number.with_scale_round(scale, RoundingMode::Down), exact }
        }
        held => held,
    }
}

/// Nobody's dates lie some million years away.
pub(super) fn within(held: Held, shape: Shape) -> Held {
    let far = BigDecimal::from(if shape == Shape::Time { 1_000_000_000_i64 } else { 1_000_000_000_000_000 });
    match held {
        Held::Number { number, .. } if number.abs() > far => Held::Failed,
        held => held,
    }
}

pub(super) fn keyword(name: &str, shape: Shape, event: &Event) -> Option<Item> {
    let text = Sort::Text { folds_case: false, padded: false };
    let held = |text: &str| Held::Text(text.to_owned());
    let now = NOW_US / 1_000_000;
    let today = (now + EAST).div_euclid(DAY);
    let clock = |number: i64| (Sort::Moment(shape), exactly(BigDecimal::from(number)));
    let adapts = matches!(name, "TIMESTAMP" | "DATE");
    let (sort, held) = match (name, shape) {
        ("NULL", _) => (Sort::NullWord, Held::Null),
        ("GROUPS" | "BROWSER", _) => (Sort::Nothing, Held::Null),
        ("USER", _) => (text, event.user.map_or(Held::Null, held)),
        ("OPERATION", _) => {
            let word = match event.verb {
                Verb::Create => "CREATE",
                Verb::Update | Verb::Named(_) => "SET",
                Verb::Merge => "MERGE",
                Verb::Delete => "DELETE",
            };
            (text, held(word))
        }
        ("TIMESTAMP", Shape::Instant) => clock(now),
        ("TIMESTAMP", Shape::Time) => clock((now + EAST).rem_euclid(DAY)),
        ("DATE", Shape::Instant) => clock(today * DAY - EAST),
        ("DATE", Shape::Time) => clock(0),
        ("TIMESTAMP" | "DATE", Shape::Date) => clock(today),
        _ => return None,
    };
    Some(Item { sort, held, adapts })
}
