//! `[source] case`, `time_zone`, `date_formats`: how the texts of conditions are read.

use super::reader::{Reader, join};
use super::table::Table;
use crate::nearby::nearest;
use crate::qualification::{Case, Dialect};
use jiff::civil;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// Every date text of a condition is tried with each.
const DATE_FORMATS_MAX: usize = 16;

/// A longer one is no form of a date.
const DATE_FORMAT_BYTES_MAX: usize = 100;

/// Reads what conditions need to know of the source.
pub(super) fn read(reader: &mut Reader<'_>, table: &Table, slot: &str) -> Dialect {
    Dialect {
        case: match table.word("case") {
            Some(&"sensitive") => Case::Sensitive,
            Some(&"insensitive") => Case::Insensitive,
            _ => Case::Database,
        },
        time_zone: time_zone(reader, table),
        date_formats: date_formats(reader, table),
        server: slot.to_owned(),
    }
}

fn time_zone(reader: &mut Reader<'_>, table: &Table) -> TimeZone {
    let Some(name) = table.text("time_zone") else { return TimeZone::UTC };
    TimeZone::get(name).unwrap_or_else(|_| {
        let path = join(&table.path, "time_zone");
        let message = format!("there is no time zone {name:?}");
        reader.refuse(table.place("time_zone"), &path, message, nearby(name));
        TimeZone::UTC
    })
}

/// The zone that is meant: by its whole name or by its city.
fn nearby(name: &str) -> String {
    let known: Vec<_> = jiff::tz::db().available().collect();
    if known.is_empty() {
        return "this system knows no time zones: install its time zone database (Debian: apt-get install tzdata)"
            .to_owned();
    }
    let names = || known.iter().map(jiff::tz::TimeZoneName::as_str);
    let meant = nearest(name, names()).or_else(|| {
        let near = nearest(city(name), names().map(city))?;
        names().find(|zone| city(zone) == near)
    });
    match meant {
        Some(zone) => format!("did you mean {zone:?}?"),
        None => "write a name of the IANA database, such as \"Europe/Berlin\"".to_owned(),
    }
}

fn city(zone: &str) -> &str {
    zone.rsplit('/').next().unwrap_or(zone)
}

fn date_formats(reader: &mut Reader<'_>, table: &Table) -> Vec<String> {
    let path = join(&table.path, "date_formats");
    let mut formats: Vec<String> = Vec::new();
    for (span, format) in table.texts("date_formats") {
        if let Err(message) = check(format) {
            let remedy = "write it as for strftime: \"%d.%m.%Y %H:%M\"".to_owned();
            reader.refuse(span, &path, message, remedy);
        } else if formats.iter().any(|known| known == format) {
            let message = format!("{format:?} stands here twice");
            reader.refuse(span, &path, message, "remove one of them".to_owned());
        } else {
            formats.push(format.to_owned());
        }
    }
    if formats.len() > DATE_FORMATS_MAX {
        let message = format!("there are {} forms of dates, more than {DATE_FORMATS_MAX}", formats.len());
        reader.refuse(table.place("date_formats"), &path, message, "keep those that are used".to_owned());
    }
    formats
}

/// A form is good that says a date or a time of day, and reads what it has written.
fn check(format: &str) -> Result<(), String> {
    if format.len() > DATE_FORMAT_BYTES_MAX {
        return Err(format!("a form of dates has at most {DATE_FORMAT_BYTES_MAX} bytes"));
    }
    let moment = civil::date(2001, 2, 3).at(16, 5, 6, 0);
    let zoned = moment.to_zoned(TimeZone::UTC).map_err(|error| error.to_string())?;
    let written = strtime::format(format, &zoned)
        .map_err(|error| format!("{format:?} is no form of dates: {error}"))?;
    let read = strtime::parse(format, &written)
        .map_err(|error| format!("{format:?} does not read what it writes ({written:?}): {error}"))?;
    match (read.to_date(), read.to_time()) {
        (Ok(date), _) if date != moment.date() => {
            Err(format!("{format:?} does not say the whole date: {written:?} reads as {date}"))
        }
        (Ok(_), _) => Ok(()),
        // what is not said reads as 0
        (Err(_), Ok(time)) if time.hour() == moment.hour() => Ok(()),
        (Err(error), _) => Err(format!("{format:?} says neither a date nor a time of day: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_says_a_date_or_a_time_and_reads_what_it_writes() {
        for format in ["%d.%m.%Y %H:%M", "%d.%m.%y", "%Y%m%d", "%H.%M", "%I.%M %p", "%d %B %Y %T %z"] {
            assert_eq!(check(format), Ok(()), "{format}");
        }
        for (format, wanted) in [
            ("%Q%", "is no form of dates"),
            ("%Y", "says neither a date"),
            ("today", "says neither a date"),
            ("", "says neither a date"),
            (&"%d".repeat(60), "at most 100 bytes"),
        ] {
            assert!(
                check(format).is_err_and(|error| error.contains(wanted)),
                "{format}: {:?}",
                check(format)
            );
        }
    }

    #[test]
    fn zones_are_found_by_slips_and_by_their_cities() {
        assert_eq!(nearby("Europe/Berln"), "did you mean \"Europe/Berlin\"?");
        assert_eq!(nearby("Berlin"), "did you mean \"Europe/Berlin\"?");
        assert!(nearby("nowhere at all").contains("such as"));
    }
}
