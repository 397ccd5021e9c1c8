use super::*;
use proptest::prelude::*;

fn dialect(time_zone: &str, date_formats: &[&str]) -> Dialect {
    Dialect {
        time_zone: TimeZone::get(time_zone).expect("is known"),
        date_formats: date_formats.iter().map(|format| (*format).to_owned()).collect(),
        ..Dialect::default()
    }
}

/// A moment as jiff reads it.
fn at(text: &str) -> i128 {
    text.parse::<Timestamp>().expect("is a timestamp").as_microsecond().into()
}

#[test]
fn stored_moments_are_read() {
    let utc = Dialect::default();
    let check = |stored: &str, expected: &str| {
        assert_eq!(read_instant(stored, Moment::Zoned, &utc), Some(at(expected)), "{stored}");
    };
    check("2024-06-12 09:30:00+00", "2024-06-12T09:30:00Z");
    check("2024-06-12 09:30:00.123456+00", "2024-06-12T09:30:00.123456Z");
    check("2024-06-12 09:30:00.5+05:30", "2024-06-12T04:00:00.5Z");
    check("2024-06-12 09:30:00-03", "2024-06-12T12:30:00Z");
    check("2024-06-12T09:30:00Z", "2024-06-12T09:30:00Z");
    check("2024-06-12T11:30:00+0200", "2024-06-12T09:30:00Z");
    check("2024-06-12T11:30:00.1234567+02:00", "2024-06-12T09:30:00.123456Z");
    check("1890-01-01 00:00:00+00:53:28", "1889-12-31T23:06:32Z");
    check("0044-03-15 00:00:00+00 BC", "-000043-03-15T00:00:00Z");
    check("1969-12-31 23:59:59.999999+00", "1969-12-31T23:59:59.999999Z");
    check("2024-06-12 24:00:00+00", "2024-06-13T00:00:00Z");
    assert_eq!(read_instant("infinity", Moment::Zoned, &utc), Some(INFINITY));
    assert_eq!(read_instant("-infinity", Moment::Local, &utc), Some(NEGATIVE_INFINITY));
    let last = read_instant("294276-12-31 23:59:59.999999+00", Moment::Zoned, &utc);
    assert_eq!(last, Some(9_224_318_015_999_999_999), "as the server counts it");
    let first = read_instant("4714-11-24 00:00:00+00 BC", Moment::Zoned, &utc);
    assert_eq!(first, Some(-210_866_803_200_000_000), "as the server counts it");
    for nonsense in [
        "",
        "x",
        "2024-06-12 09:30:00+",
        "2024-06-12 09:30:00+2",
        "2024-06-12 09:30:00+24",
        "2024-13-01 00:00:00",
        "2024-02-30 00:00:00",
        "0000-01-01 00:00:00",
        "2024-06-12 25:00:00",
        "2024-06-12 24:00:01",
        "2024-06-12 09:60:00",
        "2024-06-12 09:30:60",
        "2024-06-12 09:30:00 AD",
        "2024-06-12 ",
        "2024-06-12T",
        "2023-02-29 00:00:00",
        "1900-02-29 00:00:00",
        "2024-06-1209:30",
        "2024-06-12 09:30:00.+00",
    ] {
        assert_eq!(read_instant(nonsense, Moment::Zoned, &utc), None, "{nonsense}");
    }
}

#[test]
fn a_clock_without_offset_is_in_the_time_zone_of_the_source() {
    let berlin = dialect("Europe/Berlin", &[]);
    let local = |stored| read_instant(stored, Moment::Local, &berlin);
    assert_eq!(local("2024-06-12 11:30:00"), Some(at("2024-06-12T09:30:00Z")));
    assert_eq!(local("2024-12-12 11:30:00"), Some(at("2024-12-12T10:30:00Z")));
    assert_eq!(local("2024-03-31 02:30:00"), Some(at("2024-03-31T01:30:00Z")), "never shown");
    assert_eq!(local("2024-10-27 02:30:00"), Some(at("2024-10-27T00:30:00Z")), "shown twice");
    let utc = Dialect::default();
    for far in ["30000-01-01 00:00:00", "294276-12-31 23:59:59"] {
        assert_eq!(local(far), read_instant(far, Moment::Zoned, &utc), "{far}");
    }
    // the last hours of jiff's calendar
    for edge in ["9999-12-31 23:59:59", "9999-12-30 22:00:00", "9999-12-30 21:59:59"] {
        assert!(
            local(edge).is_some() && read_instant(edge, Moment::Local, &dialect("Asia/Tokyo", &[])).is_some()
        );
    }
}

#[test]
fn moments_can_be_numbers() {
    let utc = Dialect::default();
    let epoch = |stored| read_instant(stored, Moment::Epoch, &utc);
    assert_eq!(epoch("1718184600"), Some(at("2024-06-12T09:30:00Z")));
    assert_eq!(epoch("-1.5"), Some(-1_500_000));
    assert_eq!(epoch("Infinity"), Some(INFINITY));
    assert_eq!(epoch("NaN").or(epoch("1e30")).or(epoch("9223372036854775807")), None);
}

#[test]
fn days_and_times_are_read() {
    assert_eq!(read_date("1970-01-01"), Some(0));
    assert_eq!(read_date("2024-02-29"), Some(19_782));
    assert_eq!(read_date("5874897-12-31"), Some(2_145_042_905));
    assert_eq!(read_date("4714-11-24 BC"), Some(-2_440_588));
    assert_eq!(read_date("infinity"), Some(DAY_INFINITY));
    assert_eq!(read_date("2024-02-29 00:00:00").or(read_date("")), None);
    assert_eq!(read_time("09:30:00.5", false), Some(34_200_500_000));
    assert_eq!(read_time("09:30:00+02", false), Some(34_200_000_000));
    assert_eq!(read_time("24:00:00", false), Some(86_400_000_000));
    assert_eq!(read_time("34200", true), Some(34_200_000_000));
    assert_eq!(read_time("86401", true).or(read_time("-1", true)).or(read_time("34200", false)), None);
}

#[test]
fn people_write_moments_in_many_ways() {
    let utc = Dialect::default();
    let check = |text: &str, expected: &str| {
        assert_eq!(literal_instant(text, &utc), Some(at(expected)), "{text}");
    };
    check("2024-06-12", "2024-06-12T00:00:00Z");
    check(" 2024-06-12 09:30 ", "2024-06-12T09:30:00Z");
    check("2024-06-12T09:30:15.25Z", "2024-06-12T09:30:15.25Z");
    check("2024-06-12T11:30:00+02:00", "2024-06-12T09:30:00Z");
    check("06/12/2024", "2024-06-12T00:00:00Z");
    check("6/2/24", "2024-06-02T00:00:00Z");
    check("06/12/24 9:00:00 AM", "2024-06-12T09:00:00Z");
    check("06/12/24 9:00pm", "2024-06-12T21:00:00Z");
    check("06/12/24 12:30 am", "2024-06-12T00:30:00Z");
    check("06/12/24 12:30 PM", "2024-06-12T12:30:00Z");
    check("06/12/69", "2069-06-12T00:00:00Z");
    check("06/12/70", "1970-06-12T00:00:00Z");
    check("04/01/04", "2004-04-01T00:00:00Z");
    for nonsense in [
        "",
        "13/45/2024",
        "02/30/2024",
        "06/12/2024 25:00",
        "06/12/024",
        "06/12/2",
        "06/12/20245",
        "06/12/0000",
        "06/12/24 13:00 PM",
        "06/12/24 0:30 AM",
        "06-12-2024",
        "2024-6-12",
        "2024/06/12",
        "tomorrow",
        "1718184600",
        "06/12/24 9",
        "06/12/24 9 AM",
        "2024-06-12 09:30:00 XM",
        "12.06.2024",
    ] {
        assert_eq!(literal_instant(nonsense, &utc), None, "{nonsense}");
    }
    let new_york = dialect("America/New_York", &[]);
    assert_eq!(literal_instant("2024-06-12", &new_york), Some(at("2024-06-12T04:00:00Z")));
    assert_eq!(literal_instant("06/12/24 5:00 PM", &new_york), Some(at("2024-06-12T21:00:00Z")));
}

#[test]
fn configured_formats_come_first() {
    let formats = ["%d.%m.%Y %H:%M", "%d.%m.%Y", "%d/%m/%Y", "%H.%M Uhr", "%d.%m.%Y %H:%M %z"];
    let german = dialect("Europe/Berlin", &formats);
    assert_eq!(literal_instant("12.06.2024 11:30", &german), Some(at("2024-06-12T09:30:00Z")));
    assert_eq!(literal_instant("12.06.2024", &german), Some(at("2024-06-11T22:00:00Z")));
    assert_eq!(literal_instant("12.06.2024 11:30 +0000", &german), Some(at("2024-06-12T11:30:00Z")));
    assert_eq!(
        literal_instant("01/02/2024", &german),
        Some(at("2024-01-31T23:00:00Z")),
        "the first of February"
    );
    assert_eq!(literal_instant("2024-06-12 11:30", &german), Some(at("2024-06-12T09:30:00Z")));
    assert_eq!(literal_date("12.06.2024", &german), read_date("2024-06-12"));
    assert_eq!(literal_date("12.06.2024 11:30", &german), None);
    assert_eq!(literal_time("11.30 Uhr", &german), read_time("11:30:00", false));
    assert_eq!(literal_time("12.06.2024 11:30", &german), None);
    assert_eq!(literal_instant("31.02.2024", &dialect("UTC", &["%d.%m.%Y", "%Q%Q", "%"])), None);
}

#[test]
fn people_write_days_and_times_in_many_ways() {
    let utc = Dialect::default();
    for text in ["2024-06-12", "06/12/2024", "6/12/24", " 06/12/24 "] {
        assert_eq!(literal_date(text, &utc), Some(19_886), "{text}");
    }
    assert_eq!(literal_date("2024-06-12 00:00", &utc).or(literal_date("06/31/2024", &utc)), None);
    for text in ["9:00 PM", "21:00", "21:00:00", "09:00:00.000pm"] {
        assert_eq!(literal_time(text, &utc), Some(75_600_000_000), "{text}");
    }
    assert_eq!(literal_time("12:00 AM", &utc), Some(0));
    for nonsense in ["", "9", "9:0", "25:00", "13:00 AM", "9:00 AMx", "9:00+02"] {
        assert_eq!(literal_time(nonsense, &utc), None, "{nonsense}");
    }
}

#[test]
fn moments_and_days_are_reckoned_with() {
    let number = |text| Number::read(text).expect("is a number");
    let noon = at("2024-06-12T12:00:00Z");
    assert_eq!(instant_after(noon, &number("-60.5")), Ok(at("2024-06-12T11:58:59.5Z")));
    assert_eq!(instant_after(INFINITY, &number("-60")), Ok(INFINITY));
    assert_eq!(instant_after(noon, &number("1e30")), Err(ArithmeticError::OutOfRange));
    assert_eq!(instant_after(noon, &number("NaN")), Err(ArithmeticError::NotFinite));
    assert_eq!(seconds_between(noon, at("2024-06-12T12:00:01.5Z")), Ok(number("1.5")));
    assert_eq!(seconds_between(noon, INFINITY), Err(ArithmeticError::NotFinite));
    assert_eq!(day_after(10, &number("-20.9")), Ok(-10));
    assert_eq!(day_after(DAY_INFINITY, &number("1")), Ok(DAY_INFINITY));
    assert_eq!(day_after(0, &number("1e16")), Err(ArithmeticError::OutOfRange));
    assert_eq!(days_between(3, 10), Ok(number("7")));
    assert_eq!(time_after(86_340_000_000, &number("120")), Ok(86_460_000_000));
    assert_eq!(seconds_of_day(1_500_000), number("1.5"));
    assert_eq!(from_epoch(&number("0.000001")), Some(1));
}

#[test]
fn days_begin_where_the_time_zone_says() {
    let kiritimati = TimeZone::get("Pacific/Kiritimati").expect("is known");
    let noon = at("2024-06-12T12:00:00Z");
    let day = read_date("2024-06-13").expect("is a day");
    assert_eq!(day_of(noon, &kiritimati), day);
    assert_eq!(time_of_day(noon, &kiritimati), 2 * 3_600_000_000);
    assert_eq!(midnight(day, &kiritimati), at("2024-06-12T10:00:00Z"));
    assert_eq!((weekday(day), weekday(0), weekday(-1)), ("Thursday", "Thursday", "Wednesday"));
    assert_eq!(weekday(day_of(noon, &TimeZone::UTC)), "Wednesday");
    // that day began at one o'clock
    let beirut = TimeZone::get("Asia/Beirut").expect("is known");
    let day = read_date("2024-03-31").expect("is a day");
    assert_eq!(midnight(day, &beirut), at("2024-03-30T22:00:00Z"));
    assert_eq!((day_of(INFINITY, &beirut), midnight(DAY_INFINITY, &beirut)), (DAY_INFINITY, INFINITY));
}

proptest! {
    #[test]
    fn the_calendar_is_that_of_jiff(seconds in -377_705_000_000_i64..253_402_000_000, us in 0_i64..1_000_000) {
        let timestamp = Timestamp::from_microsecond(seconds * 1_000_000 + us).expect("is in range");
        let clock = TimeZone::UTC.to_datetime(timestamp);
        prop_assume!(clock.year() > 0);
        let stored = format!("{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{us:06}+00",
            clock.year(), clock.month(), clock.day(), clock.hour(), clock.minute(), clock.second());
        prop_assert_eq!(read_instant(&stored, Moment::Zoned, &Dialect::default()), Some(i128::from(timestamp.as_microsecond())));
        let day = day_of(timestamp.as_microsecond().into(), &TimeZone::UTC);
        prop_assert_eq!(read_date(&stored[..10]), Some(day));
        let name = format!("{:?}", clock.date().weekday());
        prop_assert_eq!(weekday(day), name);
    }

    #[test]
    fn no_text_is_too_strange(text in "[-+0-9/:. TZAMPBC]{0,30}|\\PC{0,20}") {
        let dialect = dialect("Europe/Berlin", &["%d.%m.%Y %H:%M", "%Y%j", "%c", "%s"]);
        let _ = (read_instant(&text, Moment::Local, &dialect), read_date(&text), read_time(&text, false));
        let _ = (literal_instant(&text, &dialect), literal_date(&text, &dialect), literal_time(&text, &dialect));
    }
}
