//! Times in the API: RFC 3339 in UTC, to the microsecond.

use jiff::Timestamp;

/// A time in microseconds since 1970 UTC.
pub fn write(us: i64) -> String {
    Timestamp::from_microsecond(us).map_or_else(|_| us.to_string(), |time| format!("{time:.6}"))
}

/// Microseconds since 1970 UTC; none where it is no time, or says no offset.
pub(super) fn read(text: &str) -> Option<i64> {
    // in a query, `+` is a blank
    text.replace(' ', "+").parse::<Timestamp>().ok().map(Timestamp::as_microsecond)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_comes_back_as_it_was() {
        for text in ["2026-11-22T05:00:00.000000Z", "1970-01-01T00:00:00.000001Z"] {
            assert_eq!(write(read(text).unwrap()), text);
        }
        assert_eq!(read("2026-11-22T06:00:00+01:00"), read("2026-11-22T05:00:00Z"));
        assert_eq!(read("2026-11-22T06:00:00 01:00"), read("2026-11-22T05:00:00Z"), "a forgotten %2B");
        for text in ["", "yesterday", "2026-11-22", "2026-11-22T05:00:00"] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
