//! Times as people write and read them.

pub(super) use crate::admin::api::time::write;
use crate::app::config::read_duration;
use crate::app::failure::Failure;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use std::time::Duration;

/// Microseconds since 1970 UTC for `2026-11-22`, `2026-11-22T05:00:00Z`, `2026-11-22 05:00` (local time where no
/// zone is said) or `2h` (that long before `now`).
pub(super) fn read(option: &str, text: &str, now: Timestamp) -> Result<i64, Failure> {
    let wrong = || {
        Failure::usage(format!("--{option} does not understand {text:?}"))
            .hint("write 2026-11-22, 2026-11-22T05:00:00Z, or 2h for two hours ago")
    };
    if let Ok(ago) = read_duration(text) {
        return now.checked_sub(ago).map(Timestamp::as_microsecond).map_err(|_| wrong());
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.as_microsecond());
    }
    let local = text.parse::<jiff::civil::DateTime>().map_err(|_| wrong())?;
    let zoned = local.to_zoned(TimeZone::system()).map_err(|_| wrong())?;
    Ok(zoned.timestamp().as_microsecond())
}

/// In UTC to the second, for tables.
pub(super) fn write_short(us: i64) -> String {
    let time = Timestamp::from_microsecond(us);
    time.map_or_else(|_| us.to_string(), |time| time.strftime("%Y-%m-%d %H:%M:%SZ").to_string())
}

/// How long ago, in its largest unit: `3h`.
pub(super) fn age(us: i64, now: Timestamp) -> String {
    let seconds = u64::try_from((now.as_microsecond() - us) / 1_000_000).unwrap_or(0);
    let largest = [86_400, 3_600, 60, 1].into_iter().find(|unit| seconds >= *unit).unwrap_or(1);
    crate::app::config::write_duration(Duration::from_secs(seconds / largest * largest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let now: Timestamp = "2026-11-22T05:00:00Z".parse().unwrap();
        let check = |text: &str, wanted: &str| {
            let got = read("since", text, now).map_or_else(|failure| failure.error.to_string(), write);
            assert_eq!(got, wanted, "{text:?}");
        };
        check("2h", "2026-11-22T03:00:00.000000Z");
        check("1d12h", "2026-11-20T17:00:00.000000Z");
        check("2026-11-22T05:00:00.5+01:00", "2026-11-22T04:00:00.500000Z");
        check("yesterday", "--since does not understand \"yesterday\"");
        assert!(read("since", "2026-11-22", now).is_ok());
        assert!(read("since", "2026-11-22 05:00", now).is_ok());
        assert_eq!(age(now.as_microsecond() - 7_300_000_000, now), "2h");
        assert_eq!(age(now.as_microsecond() + 5, now), "0s");
        assert_eq!(write_short(now.as_microsecond()), "2026-11-22 05:00:00Z");
    }
}
