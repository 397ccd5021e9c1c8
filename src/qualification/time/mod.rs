//! Moments, days and times of day: how they are read, and reckoning with them.
//!
//! A moment is a number of microseconds since 1970 UTC, a day a number of days since 1970-01-01, a time of day a
//! number of microseconds since midnight. PostgreSQL's years go from 4713 BC to 294276 and beyond, so calendar
//! and clock are our own; only time zones are jiff's, and where it knows none, far from now, UTC counts.

use super::Dialect;
use super::number::{ArithmeticError, Number};
use crate::value::Moment;
use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use scan::{Clock, Date, Scanner};

mod scan;

/// `infinity`, as a moment.
pub(super) const INFINITY: i128 = i128::MAX;
/// `-infinity`, as a moment.
pub(super) const NEGATIVE_INFINITY: i128 = i128::MIN;
/// `infinity`, as a day.
pub(super) const DAY_INFINITY: i64 = i64::MAX;
/// `-infinity`, as a day.
pub(super) const DAY_NEGATIVE_INFINITY: i64 = i64::MIN;

const SECOND_US: i128 = 1_000_000;
const DAY_US: i128 = 86_400 * SECOND_US;

/// Moments beyond this, in microseconds, are out of range: some thirty million years.
const INSTANT_MAX: i128 = 1_000_000_000_000_000_000_000;
/// Days and times of day beyond this are out of range.
const COUNT_MAX: i128 = 1_000_000_000_000_000;

/// Reads a moment as it stands in a column. A text without offset is a clock in the dialect's time zone.
pub(super) fn read_instant(stored: &str, moment: Moment, dialect: &Dialect) -> Option<i128> {
    match moment {
        Moment::Epoch => from_epoch(&Number::read(stored)?),
        Moment::Zoned | Moment::Local => {
            read_infinity(stored).or_else(|| written_instant(stored, Date::read_iso, &dialect.time_zone))
        }
    }
}

/// Reads a day as it stands in a column: `2024-06-12`, `0044-03-15 BC`, `infinity`.
pub(super) fn read_date(stored: &str) -> Option<i64> {
    match read_infinity(stored) {
        Some(infinity) => Some(day_of_infinity(infinity)),
        None => written_date(stored, Date::read_iso),
    }
}

/// Reads a time of day as it stands in a column: `09:30:00.5`, with `timetz` the time as written; with `seconds`
/// a number of seconds since midnight.
pub(super) fn read_time(stored: &str, seconds: bool) -> Option<i64> {
    if seconds {
        let since_midnight = Number::read(stored)?.scaled(6)?;
        return (0..=DAY_US).contains(&since_midnight).then_some(since_midnight as i64);
    }
    let mut scanner = Scanner::new(stored);
    let clock = Clock::read(&mut scanner)?;
    scanner.read_offset()?;
    scanner.is_at_end().then_some(clock.since_midnight_us())
}

/// Reads a moment as people write it in a condition. None if it is none.
pub(super) fn literal_instant(text: &str, dialect: &Dialect) -> Option<i128> {
    let text = text.trim_ascii();
    let by_format = |parts: BrokenDownTime| match parts.to_timestamp() {
        Ok(timestamp) => Some(i128::from(timestamp.as_microsecond())),
        Err(_) => {
            let date = parts.to_date().ok()?;
            let time =
                if parts.hour().is_some() { parts.to_time().ok()? } else { jiff::civil::Time::midnight() };
            Some(in_zone(date.to_datetime(time), &dialect.time_zone))
        }
    };
    let read_infinity = || read_infinity(text);
    let read_iso = || written_instant(text, Date::read_iso, &dialect.time_zone);
    let read_american = || written_instant(text, Date::read_american, &dialect.time_zone);
    by_formats(text, dialect, by_format).or_else(read_infinity).or_else(read_iso).or_else(read_american)
}

/// Reads a day as people write it in a condition. None if it is none.
pub(super) fn literal_date(text: &str, dialect: &Dialect) -> Option<i64> {
    let text = text.trim_ascii();
    let by_format = |parts: BrokenDownTime| {
        let date = parts.to_date().ok().filter(|_| parts.hour().is_none())?;
        Some(Date { year: date.year().into(), month: date.month().into(), day: date.day().into() }.number())
    };
    by_formats(text, dialect, by_format)
        .or_else(|| read_date(text))
        .or_else(|| written_date(text, Date::read_american))
}

/// Reads a time of day as people write it in a condition: `9:00 AM`, `21:30:15`. None if it is none.
pub(super) fn literal_time(text: &str, dialect: &Dialect) -> Option<i64> {
    let text = text.trim_ascii();
    let by_format = |parts: BrokenDownTime| {
        let time = parts.to_time().ok().filter(|_| parts.hour().is_some() && parts.to_date().is_err())?;
        let seconds =
            (i64::from(time.hour()) * 60 + i64::from(time.minute())) * 60 + i64::from(time.second());
        Some(seconds * 1_000_000 + i64::from(time.subsec_nanosecond()) / 1000)
    };
    by_formats(text, dialect, by_format).or_else(|| {
        let mut scanner = Scanner::new(text);
        let clock = Clock::read(&mut scanner)?;
        scanner.is_at_end().then_some(clock.since_midnight_us())
    })
}

/// The moment so many seconds after 1970 UTC; infinite numbers are infinite moments. None if it is out of range.
pub(super) fn from_epoch(seconds: &Number) -> Option<i128> {
    match seconds.to_i64() {
        Some(seconds) => Some(i128::from(seconds) * SECOND_US).filter(|instant| instant.abs() <= INSTANT_MAX),
        None => match seconds.scaled(6) {
            Some(instant) => (instant.abs() <= INSTANT_MAX).then_some(instant),
            None => seconds.infinity().map(|negative| if negative { NEGATIVE_INFINITY } else { INFINITY }),
        },
    }
}

/// A moment so many seconds later. An infinite one stays.
pub(super) fn instant_after(instant: i128, seconds: &Number) -> Result<i128, ArithmeticError> {
    let offset = offset_of(seconds, 6)?;
    if matches!(instant, INFINITY | NEGATIVE_INFINITY) {
        return Ok(instant);
    }
    let later = instant.checked_add(offset).filter(|later| later.abs() <= INSTANT_MAX);
    later.ok_or(ArithmeticError::OutOfRange)
}

/// From `earlier` to `later` in seconds.
pub(super) fn seconds_between(earlier: i128, later: i128) -> Result<Number, ArithmeticError> {
    if [earlier, later].iter().any(|instant| matches!(*instant, INFINITY | NEGATIVE_INFINITY)) {
        return Err(ArithmeticError::NotFinite);
    }
    Ok(Number::from_scaled(later.checked_sub(earlier).ok_or(ArithmeticError::OutOfRange)?, 6))
}

/// A day so many days later, a fraction of a day cut off. An infinite one stays.
pub(super) fn day_after(day: i64, days: &Number) -> Result<i64, ArithmeticError> {
    let offset = offset_of(days, 0)?;
    if matches!(day, DAY_INFINITY | DAY_NEGATIVE_INFINITY) { Ok(day) } else { count_after(day, offset) }
}

/// From `earlier` to `later` in days.
pub(super) fn days_between(earlier: i64, later: i64) -> Result<Number, ArithmeticError> {
    if [earlier, later].iter().any(|day| matches!(*day, DAY_INFINITY | DAY_NEGATIVE_INFINITY)) {
        return Err(ArithmeticError::NotFinite);
    }
    Ok(Number::from_scaled(i128::from(later) - i128::from(earlier), 0))
}

/// A time of day so many seconds later. It does not begin anew at midnight: 23:00 and two hours are 25:00.
pub(super) fn time_after(time: i64, seconds: &Number) -> Result<i64, ArithmeticError> {
    count_after(time, offset_of(seconds, 6)?)
}

/// A time of day as seconds since midnight.
pub(super) fn seconds_of_day(time: i64) -> Number {
    Number::from_scaled(time.into(), 6)
}

/// The day of a moment in a time zone.
pub(super) fn day_of(instant: i128, time_zone: &TimeZone) -> i64 {
    if matches!(instant, INFINITY | NEGATIVE_INFINITY) {
        return day_of_infinity(instant);
    }
    i64::try_from(wall_clock(instant, time_zone).div_euclid(DAY_US)).unwrap_or(DAY_INFINITY)
}

/// The time of day of a moment in a time zone; of an infinite one, midnight.
pub(super) fn time_of_day(instant: i128, time_zone: &TimeZone) -> i64 {
    if matches!(instant, INFINITY | NEGATIVE_INFINITY) {
        return 0;
    }
    wall_clock(instant, time_zone).rem_euclid(DAY_US) as i64 // less than a day
}

/// The moment at which a day begins in a time zone.
pub(super) fn midnight(day: i64, time_zone: &TimeZone) -> i128 {
    match day {
        DAY_INFINITY => INFINITY,
        DAY_NEGATIVE_INFINITY => NEGATIVE_INFINITY,
        day => from_wall_clock(i128::from(day) * DAY_US, time_zone),
    }
}

/// The English name of a day of the week.
pub(super) fn weekday(day: i64) -> &'static str {
    const NAMES: [&str; 7] = ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"]; // 1970 began on one
    NAMES[day.rem_euclid(7) as usize]
}

fn read_infinity(text: &str) -> Option<i128> {
    match text.as_bytes().first()? {
        b'i' | b'I' if text.eq_ignore_ascii_case("infinity") => Some(INFINITY),
        b'-' if text.eq_ignore_ascii_case("-infinity") => Some(NEGATIVE_INFINITY),
        _ => None,
    }
}

fn day_of_infinity(instant: i128) -> i64 {
    if instant == INFINITY { DAY_INFINITY } else { DAY_NEGATIVE_INFINITY }
}

/// A text by the first of the configured formats that it has.
fn by_formats<T>(text: &str, dialect: &Dialect, read: impl Fn(BrokenDownTime) -> Option<T>) -> Option<T> {
    let parse = |format: &String| BrokenDownTime::parse(format, text).ok();
    dialect.date_formats.iter().filter_map(parse).find_map(read)
}

/// A day, with or without a clock, with or without an offset.
fn written_instant(
    text: &str,
    read_day: impl Fn(&mut Scanner<'_>) -> Option<Date>,
    time_zone: &TimeZone,
) -> Option<i128> {
    let mut scanner = Scanner::new(text);
    let mut day = read_day(&mut scanner)?;
    let (mut since_midnight, mut offset) = (0, None);
    if scanner.skip_to_clock() {
        since_midnight = Clock::read(&mut scanner)?.since_midnight_us();
        offset = scanner.read_offset()?;
    }
    day.read_era(&mut scanner);
    if !scanner.is_at_end() {
        return None;
    }
    let clock = i128::from(day.number()) * DAY_US + i128::from(since_midnight);
    Some(match offset {
        Some(offset) => clock - i128::from(offset) * SECOND_US,
        None => from_wall_clock(clock, time_zone),
    })
}

fn written_date(text: &str, read_day: impl Fn(&mut Scanner<'_>) -> Option<Date>) -> Option<i64> {
    let mut scanner = Scanner::new(text);
    let mut day = read_day(&mut scanner)?;
    day.read_era(&mut scanner);
    scanner.is_at_end().then(|| day.number())
}

/// The moment at which a clock shows what a clock in UTC shows at `clock`. Where it never does, because it is put
/// forward, or does twice, RFC 5545's reading: as if it had not been put forward, and the first time.
fn from_wall_clock(clock: i128, time_zone: &TimeZone) -> i128 {
    let as_if_utc = i64::try_from(clock).ok().and_then(|clock| Timestamp::from_microsecond(clock).ok());
    match as_if_utc {
        Some(timestamp) => in_zone(TimeZone::UTC.to_datetime(timestamp), time_zone),
        None => clock,
    }
}

fn in_zone(clock: jiff::civil::DateTime, time_zone: &TimeZone) -> i128 {
    let instant = time_zone.to_ambiguous_timestamp(clock).compatible();
    // only the last hours of jiff's calendar have no moment in every zone
    let instant = instant.or_else(|_| TimeZone::UTC.to_timestamp(clock));
    instant.map_or(INSTANT_MAX, |instant| i128::from(instant.as_microsecond()))
}

/// What a clock in a time zone shows, as the moment at which one in UTC does.
fn wall_clock(instant: i128, time_zone: &TimeZone) -> i128 {
    let timestamp = i64::try_from(instant).ok().and_then(|us| Timestamp::from_microsecond(us).ok());
    let offset = timestamp.map_or(0, |timestamp| time_zone.to_offset(timestamp).seconds());
    instant + i128::from(offset) * SECOND_US
}

/// A number of units with so many digits behind the point.
fn offset_of(number: &Number, scale: u32) -> Result<i128, ArithmeticError> {
    let out_of_range =
        if number.is_finite() { ArithmeticError::OutOfRange } else { ArithmeticError::NotFinite };
    number.scaled(scale).ok_or(out_of_range)
}

fn count_after(count: i64, offset: i128) -> Result<i64, ArithmeticError> {
    let sum = i128::from(count).checked_add(offset).filter(|sum| sum.abs() <= COUNT_MAX);
    sum.and_then(|sum| i64::try_from(sum).ok()).ok_or(ArithmeticError::OutOfRange)
}

#[cfg(test)]
mod tests;
