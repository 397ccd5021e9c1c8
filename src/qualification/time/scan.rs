//! The characters of days and clocks.

/// Goes through a text from its beginning.
pub(crate) struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { rest: text.as_bytes() }
    }

    pub(crate) fn is_at_end(&self) -> bool {
        self.rest.is_empty()
    }

    /// Skips what stands between a day and a clock; false if no clock follows.
    pub(crate) fn skip_to_clock(&mut self) -> bool {
        let behind = match self.rest {
            [b'T' | b't', behind @ ..] => behind,
            [b' ', behind @ ..] => behind.trim_ascii_start(),
            _ => return false,
        };
        let is_clock = behind.first().is_some_and(u8::is_ascii_digit);
        if is_clock {
            self.rest = behind;
        }
        is_clock
    }

    /// Reads `Z`, `+02`, `+0200`, `+02:00`, `+02:00:15` in seconds east of Greenwich; a blank may stand before.
    /// None within if there is none, none at all if it is nonsense.
    #[expect(clippy::option_option, reason = "absent and wrong are two things")]
    pub(crate) fn read_offset(&mut self) -> Option<Option<i64>> {
        let behind = self.rest.trim_ascii_start();
        let sign = match behind.first() {
            Some(b'Z' | b'z') => {
                self.rest = &behind[1..];
                return Some(Some(0));
            }
            Some(b'+') => 1,
            Some(b'-') => -1,
            _ => return Some(None),
        };
        self.rest = &behind[1..];
        let hours = self.read_digits(2, 2)?;
        let (mut minutes, mut seconds) = (0, 0);
        if self.eat(b':') || self.rest.first().is_some_and(u8::is_ascii_digit) {
            minutes = self.read_digits(2, 2)?;
            if self.eat(b':') {
                seconds = self.read_digits(2, 2)?;
            }
        }
        let is_sane = hours < 24 && minutes < 60 && seconds < 60;
        is_sane.then_some(Some(sign * ((hours * 60 + minutes) * 60 + seconds)))
    }

    fn eat(&mut self, byte: u8) -> bool {
        let is_it = self.rest.first() == Some(&byte);
        if is_it {
            self.rest = &self.rest[1..];
        }
        is_it
    }

    /// Reads all digits that stand here, if they are so many.
    fn read_digits(&mut self, min: usize, max: usize) -> Option<i64> {
        let mut number = 0;
        let mut count = 0;
        while let Some(digit) = self.rest.get(count).filter(|byte| byte.is_ascii_digit()) {
            if count == max {
                break;
            }
            number = number * 10 + i64::from(digit - b'0');
            count += 1;
        }
        self.rest = &self.rest[count..];
        (count >= min).then_some(number)
    }
}

/// A day of the calendar, which is Gregorian for all times, as PostgreSQL's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Date {
    /// Astronomical: 0 is 1 BC.
    pub(crate) year: i64,
    pub(crate) month: i64,
    pub(crate) day: i64,
}

impl Date {
    /// `2024-06-12`.
    pub(crate) fn read_iso(scanner: &mut Scanner<'_>) -> Option<Self> {
        let year = scanner.read_digits(4, 7).filter(|year| *year > 0)?;
        let month = scanner.eat(b'-').then(|| scanner.read_digits(2, 2))??;
        let day = scanner.eat(b'-').then(|| scanner.read_digits(2, 2))??;
        Self { year, month, day }.checked()
    }

    /// `06/12/2024`, `6/12/24`: month first. The years 70 to 99 are those of the last century.
    pub(crate) fn read_american(scanner: &mut Scanner<'_>) -> Option<Self> {
        let month = scanner.read_digits(1, 2)?;
        let day = scanner.eat(b'/').then(|| scanner.read_digits(1, 2))??;
        let before = scanner.eat(b'/').then_some(scanner.rest.len())?;
        let year = scanner.read_digits(2, 4)?;
        let year = match (before - scanner.rest.len(), year) {
            (2, 70..) => 1900 + year,
            (2, _) => 2000 + year,
            (4, 1..) => year,
            _ => return None,
        };
        Self { year, month, day }.checked()
    }

    /// Reads ` BC` behind everything else.
    pub(crate) fn read_era(&mut self, scanner: &mut Scanner<'_>) {
        if let [b' ', b'B', b'C'] = scanner.rest {
            scanner.rest = &[];
            self.year = 1 - self.year;
        }
    }

    fn checked(self) -> Option<Self> {
        let days = match self.month {
            4 | 6 | 9 | 11 => 30,
            2 if is_leap(self.year) => 29,
            2 => 28,
            1..=12 => 31,
            _ => return None,
        };
        (1..=days).contains(&self.day).then_some(self)
    }

    /// How many days it is from 1970-01-01. The year is taken to begin in March, so that the day that leap years
    /// have more is its last.
    pub(crate) fn number(self) -> i64 {
        let year = self.year - i64::from(self.month <= 2);
        let months_since_march = (self.month + 9) % 12;
        let day_of_year = (153 * months_since_march + 2) / 5 + self.day - 1;
        let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
        year * 365 + leap_days + day_of_year - 719_468
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

/// What a clock shows.
pub(crate) struct Clock {
    hour: i64,
    minute: i64,
    second: i64,
    microsecond: i64,
}

impl Clock {
    /// `9:30`, `09:30:00`, `09:30:00.123456`, `9:30 PM`. Midnight at the end of a day is 24:00.
    pub(crate) fn read(scanner: &mut Scanner<'_>) -> Option<Self> {
        let hour = scanner.read_digits(1, 2)?;
        let minute = scanner.eat(b':').then(|| scanner.read_digits(2, 2))??;
        let (mut second, mut microsecond) = (0, 0);
        if scanner.eat(b':') {
            second = scanner.read_digits(2, 2)?;
            if scanner.eat(b'.') {
                microsecond = read_fraction(scanner)?;
            }
        }
        let mut clock = Self { hour, minute, second, microsecond };
        if let Some(is_afternoon) = read_half_of_day(scanner) {
            if !(1..=12).contains(&hour) {
                return None;
            }
            clock.hour = hour % 12 + if is_afternoon { 12 } else { 0 };
        }
        let is_last = (clock.hour, minute, second, microsecond) == (24, 0, 0, 0);
        (clock.hour < 24 && minute < 60 && second < 60 || is_last).then_some(clock)
    }

    pub(crate) fn since_midnight_us(&self) -> i64 {
        ((self.hour * 60 + self.minute) * 60 + self.second) * 1_000_000 + self.microsecond
    }
}

/// Digits behind a point, in millionths; what is finer is cut off.
fn read_fraction(scanner: &mut Scanner<'_>) -> Option<i64> {
    let before = scanner.rest.len();
    let digits = scanner.read_digits(1, 6)?;
    let read = (before - scanner.rest.len()) as u32; // at most 6
    while scanner.rest.first().is_some_and(u8::is_ascii_digit) {
        scanner.rest = &scanner.rest[1..];
    }
    Some(digits * 10_i64.pow(6 - read))
}

/// `AM` or `PM`, after blanks or none: whether it is the latter.
fn read_half_of_day(scanner: &mut Scanner<'_>) -> Option<bool> {
    let (is_afternoon, behind) = match scanner.rest.trim_ascii_start() {
        [b'A' | b'a', b'M' | b'm', behind @ ..] => (false, behind),
        [b'P' | b'p', b'M' | b'm', behind @ ..] => (true, behind),
        _ => return None,
    };
    scanner.rest = behind;
    Some(is_afternoon)
}
