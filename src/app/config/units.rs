//! Spans of time and numbers of bytes as people write them.

use std::fmt::Write as _;
use std::time::Duration;

/// The units of time, each with its milliseconds; longer names first where one begins another.
const TIMES: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

/// The units of size, each with its bytes.
const SIZES: &[(&str, u64)] = &[
    ("B", 1),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
];

/// Why a text is not a span of time or a size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There is nothing.
    #[error("the value is empty")]
    Empty,
    /// A number is missing where one belongs.
    #[error("a number is missing before {0:?}")]
    NoNumber(String),
    /// A number without a unit.
    #[error("the unit is missing after {0}")]
    NoUnit(String),
    /// A unit that does not exist.
    #[error("there is no unit {0:?}")]
    UnknownUnit(String),
    /// More than can be counted.
    #[error("the value is too large")]
    TooLarge,
}

/// Reads a span of time: `500ms`, `2m30s`, `7d`. Units are ms, s, m (minutes), h, d and w.
pub fn duration(text: &str) -> Result<Duration, Error> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(Error::Empty);
    }
    let mut total_ms: u64 = 0;
    while !rest.is_empty() {
        let (number, unit, behind) = quantity(rest)?;
        let (_, ms) = TIMES
            .iter()
            .find(|(name, _)| *name == unit)
            .ok_or_else(|| Error::UnknownUnit(unit.to_owned()))?;
        total_ms = number
            .checked_mul(*ms)
            .and_then(|part| total_ms.checked_add(part))
            // far beyond anything sensible, and still safe to add to every clock
            .filter(|total| *total <= 100 * 366 * 86_400_000)
            .ok_or(Error::TooLarge)?;
        rest = behind.trim_start();
    }
    Ok(Duration::from_millis(total_ms))
}

/// Reads a number of bytes: `500MB`, `10GiB`, `64 KiB`.
pub fn size(text: &str) -> Result<u64, Error> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Error::Empty);
    }
    let (number, unit, behind) = quantity(text)?;
    if !behind.is_empty() {
        return Err(Error::UnknownUnit(format!("{unit}{behind}")));
    }
    let (_, bytes) =
        SIZES.iter().find(|(name, _)| *name == unit).ok_or_else(|| Error::UnknownUnit(unit.to_owned()))?;
    // what a signed 64-bit number cannot hold, no disk holds
    number.checked_mul(*bytes).filter(|bytes| i64::try_from(*bytes).is_ok()).ok_or(Error::TooLarge)
}

/// A number, its unit, and what stands behind.
fn quantity(text: &str) -> Result<(u64, &str, &str), Error> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, rest) = text.split_at(digits);
    if number.is_empty() {
        return Err(Error::NoNumber(text.to_owned()));
    }
    let rest = rest.trim_start();
    let letters = rest.len() - rest.trim_start_matches(|c: char| !c.is_ascii_digit() && c != ' ').len();
    let (unit, behind) = rest.split_at(letters);
    if unit.is_empty() {
        return Err(Error::NoUnit(number.to_owned()));
    }
    Ok((number.parse().map_err(|_| Error::TooLarge)?, unit, behind))
}

/// Writes a span of time as it can be read: `2m30s`.
pub fn write_duration(duration: Duration) -> String {
    let mut ms = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    if ms == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (unit, unit_ms) in TIMES.iter().filter(|(unit, _)| *unit != "w").rev() {
        if ms >= *unit_ms {
            let _ = write!(text, "{}{unit}", ms / unit_ms);
            ms %= unit_ms;
        }
    }
    text
}

/// Writes a number of bytes as it can be read, in the largest unit that divides it: `10GiB`.
pub fn write_size(bytes: u64) -> String {
    let fits = SIZES
        .iter()
        .filter(|(unit, unit_bytes)| {
            *unit != "kB" && bytes >= *unit_bytes && bytes.is_multiple_of(*unit_bytes)
        })
        .max_by_key(|(_, unit_bytes)| *unit_bytes);
    match fits {
        Some((unit, unit_bytes)) => format!("{}{unit}", bytes / unit_bytes),
        None => format!("{bytes}B"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_duration(text: &str, wanted: &str) {
        let got = match duration(text) {
            Ok(duration) => format!("{duration:?}"),
            Err(error) => error.to_string(),
        };
        assert_eq!(got, wanted, "{text:?}");
    }

    #[test]
    fn durations_are_read_as_people_write_them() {
        check_duration("5s", "5s");
        check_duration("2m30s", "150s");
        check_duration("2m 30s", "150s");
        check_duration("7d", "604800s");
        check_duration("1w", "604800s");
        check_duration("500ms", "500ms");
        check_duration("0s", "0ns");
        check_duration("", "the value is empty");
        check_duration("30", "the unit is missing after 30");
        check_duration("s", "a number is missing before \"s\"");
        check_duration("-5s", "a number is missing before \"-5s\"");
        check_duration("5 minutes", "there is no unit \"minutes\"");
        check_duration("1.5h", "there is no unit \".\"");
        check_duration("99999999999999999999s", "the value is too large");
        check_duration("9999999999d", "the value is too large");
        check_duration("5µs", "there is no unit \"µs\"");
    }

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("10GiB", Ok(10 << 30)),
            ("500MB", Ok(500_000_000)),
            ("64 KiB", Ok(65_536)),
            ("0B", Ok(0)),
            ("10", Err(Error::NoUnit("10".into()))),
            ("10G", Err(Error::UnknownUnit("G".into()))),
            ("1GiB2MiB", Err(Error::UnknownUnit("GiB2MiB".into()))),
            ("GiB", Err(Error::NoNumber("GiB".into()))),
            ("8388607TiB", Ok(8_388_607 << 40)),
            ("8388608TiB", Err(Error::TooLarge)),
        ] {
            assert_eq!(size(text), bytes, "{text:?}");
        }
    }

    #[test]
    fn what_is_written_can_be_read() {
        for ms in [0, 1, 999, 1_000, 150_000, 604_800_000, 86_400_001] {
            let wanted = Duration::from_millis(ms);
            assert_eq!(duration(&write_duration(wanted)), Ok(wanted));
        }
        for bytes in [0, 1, 1_000, 1_024, 500_000_000, 10 << 30, 1_025] {
            assert_eq!(size(&write_size(bytes)), Ok(bytes));
        }
        assert_eq!(write_duration(Duration::from_secs(150)), "2m30s");
        assert_eq!(write_size(10 << 30), "10GiB");
    }
}
