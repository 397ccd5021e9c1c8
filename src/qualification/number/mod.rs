//! Exact decimal numbers.
//!
//! Numbers of up to 18 digits, which is nearly all of them, live in a machine word; others in a
//! [`BigDecimal`]. A number has one form only, so equal numbers are equal bit for bit.

use bigdecimal::num_bigint::BigInt;
use bigdecimal::{BigDecimal, Signed, ToPrimitive, Zero};
use std::cmp::Ordering;
use std::fmt;

/// More digits than these are no number: a text from outside must not cost more than a moment.
const DIGITS_MAX: usize = 131_072;

/// As in PostgreSQL's `numeric`: the digits behind the point, and what an exponent may be.
const EXPONENT_MAX: i64 = 16_383;

/// How many digits a result may have before the point, and how many behind.
const RESULT_DIGITS_MAX: u64 = 150_000;

/// How many significant digits a quotient has at least, if it does not come out even.
const QUOTIENT_DIGITS: i64 = 100;

/// Divisors up to this size are looked at for whether the quotient comes out even.
const EVEN_DIVISOR_BITS_MAX: u64 = 1024;

/// The scale of numbers in a machine word: all powers of ten up to this one fit, too.
const SMALL_SCALE_MAX: u32 = 18;

/// A number as PostgreSQL has them: decimal and exact, or one of the three that are not finite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Number(Value);

/// Canonical: `Small` where it fits, without zeros at the end of a fraction.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    /// `digits` / 10^`scale`.
    Small {
        digits: i64,
        scale: u32,
    },
    Large(BigDecimal),
    Infinity {
        is_negative: bool,
    },
    NaN,
}

/// Why an operation has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ArithmeticError {
    /// The divisor is zero.
    #[error("division by zero")]
    DivisionByZero,
    /// NaN or an infinity cannot be reckoned with.
    #[error("NaN and infinite values cannot be reckoned with")]
    NotFinite,
    /// The result is too large, or has too many digits.
    #[error("the result has too many digits")]
    OutOfRange,
}

impl Number {
    /// Reads what PostgreSQL prints for its types of numbers, `money` among them (`-$1,234.50`), and what
    /// conditions have. None where it is none, or longer than any sane number.
    pub(super) fn read(text: &str) -> Option<Self> {
        let text = text.trim_ascii();
        let (is_negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        match unsigned.as_bytes().first()? {
            b'0'..=b'9' | b'.' => read_decimal(is_negative, unsigned),
            b'N' | b'n' if unsigned.eq_ignore_ascii_case("nan") => Some(Self(Value::NaN)),
            b'I' | b'i' if ["infinity", "inf"].iter().any(|word| unsigned.eq_ignore_ascii_case(word)) => {
                Some(Self(Value::Infinity { is_negative }))
            }
            _ => read_money(is_negative, unsigned),
        }
    }

    /// A whole number.
    pub(super) fn from_i64(number: i64) -> Self {
        Self(Value::Small { digits: number, scale: 0 })
    }

    /// `digits` / 10^`scale`.
    pub(super) fn from_scaled(digits: i128, scale: u32) -> Self {
        small(digits, scale).unwrap_or_else(|| large(BigDecimal::new(BigInt::from(digits), i64::from(scale))))
    }

    /// Whether it has no fraction, however it was written.
    pub(super) fn is_whole(&self) -> bool {
        match &self.0 {
            Value::Small { scale, .. } => *scale == 0,
            Value::Large(number) => number.fractional_digit_count() <= 0,
            Value::Infinity { .. } | Value::NaN => false,
        }
    }

    /// The number, if it is whole and fits.
    pub(super) fn to_i64(&self) -> Option<i64> {
        match self.0 {
            Value::Small { digits, scale: 0 } => Some(digits),
            _ => None, // a large one does not fit, or it would be a small one
        }
    }

    /// It times 10^`scale`, what is left of the fraction cut off; none where it does not fit.
    pub(super) fn scaled(&self, scale: u32) -> Option<i128> {
        match &self.0 {
            Value::Small { digits, scale: own } if *own > scale => {
                Some(i128::from(*digits) / power_of_ten(own - scale)?)
            }
            Value::Small { digits, scale: own } => {
                i128::from(*digits).checked_mul(power_of_ten(scale - own)?)
            }
            Value::Large(number) => {
                if integer_digits(number) > 40 {
                    return None;
                }
                number.with_scale(i64::from(scale)).into_bigint_and_scale().0.to_i128()
            }
            Value::Infinity { .. } | Value::NaN => None,
        }
    }

    /// Whether it can be reckoned with.
    pub(super) fn is_finite(&self) -> bool {
        self.rank() == 1
    }

    /// Whether it is negative, if it is an infinity.
    pub(super) fn infinity(&self) -> Option<bool> {
        match self.0 {
            Value::Infinity { is_negative } => Some(is_negative),
            _ => None,
        }
    }

    /// Without its fraction, towards zero.
    pub(super) fn truncated(self) -> Self {
        match self.0 {
            Value::Small { digits, scale } => {
                Self(Value::Small { digits: digits / 10_i64.pow(scale), scale: 0 })
            }
            Value::Large(number) if number.fractional_digit_count() > 0 => large(number.with_scale(0)),
            value => Self(value),
        }
    }

    /// The sum.
    pub(super) fn add(&self, other: &Self) -> Result<Self, ArithmeticError> {
        if let Some(sum) = self.aligned_with(other).and_then(|(one, two, scale)| small(one + two, scale)) {
            return Ok(sum);
        }
        checked(self.finite()? + other.finite()?)
    }

    /// The difference.
    pub(super) fn subtract(&self, other: &Self) -> Result<Self, ArithmeticError> {
        self.add(&other.negate())
    }

    /// The product.
    pub(super) fn multiply(&self, other: &Self) -> Result<Self, ArithmeticError> {
        if let (Value::Small { digits: one, scale: first }, Value::Small { digits: two, scale: second }) =
            (&self.0, &other.0)
            && let Some(product) = small(i128::from(*one) * i128::from(*two), first + second)
        {
            return Ok(product);
        }
        checked(self.finite()? * other.finite()?)
    }

    /// The quotient: exact where it comes out even (by a divisor of a sane size), else to 100 significant
    /// digits at least and to all before the point, cut off rather than rounded, so that [`Self::truncated`]
    /// is right.
    pub(super) fn divide(&self, other: &Self) -> Result<Self, ArithmeticError> {
        if let (Value::Small { digits: one, scale: 0 }, Value::Small { digits: two, scale: 0 }) =
            (&self.0, &other.0)
            && *two != 0
            && let (Some(quotient), Some(0)) = (one.checked_div(*two), one.checked_rem(*two))
        {
            return Ok(Self::from_i64(quotient));
        }
        let (dividend, divisor) = (self.finite()?, other.finite()?);
        if divisor.is_zero() {
            return Err(ArithmeticError::DivisionByZero);
        }
        let (dividend, dividend_scale) = dividend.into_bigint_and_scale();
        let (divisor, divisor_scale) = divisor.into_bigint_and_scale();
        let shift = match digits_to_come_out_even(&dividend, &divisor) {
            Some(digits) => digits,
            None => {
                let lack = decimal_digits(&divisor) as i64 - decimal_digits(&dividend) as i64;
                (QUOTIENT_DIGITS + 2 + lack).max(divisor_scale - dividend_scale).max(0)
            }
        };
        let power = u32::try_from(shift).map_err(|_| ArithmeticError::OutOfRange)?;
        let quotient = dividend * BigInt::from(10).pow(power) / divisor;
        checked(BigDecimal::new(quotient, dividend_scale - divisor_scale + shift))
    }

    /// What is left by a division without fraction; it has the sign of the dividend.
    pub(super) fn modulo(&self, other: &Self) -> Result<Self, ArithmeticError> {
        if let Some((one, two, scale)) = self.aligned_with(other) {
            let rest = one.checked_rem(two).ok_or(ArithmeticError::DivisionByZero)?;
            return Ok(Self::from_scaled(rest, scale));
        }
        let (dividend, divisor) = (self.finite()?, other.finite()?);
        if divisor.is_zero() {
            return Err(ArithmeticError::DivisionByZero);
        }
        let scale = dividend.fractional_digit_count().max(divisor.fractional_digit_count());
        let digits = |number: BigDecimal| number.with_scale(scale).into_bigint_and_scale().0;
        checked(BigDecimal::new(digits(dividend) % digits(divisor), scale))
    }

    /// The number with the other sign.
    pub(super) fn negate(&self) -> Self {
        Self(match &self.0 {
            Value::Small { digits, scale } => match digits.checked_neg() {
                Some(digits) => Value::Small { digits, scale: *scale },
                None => return Self::from_scaled(-i128::from(*digits), *scale),
            },
            Value::Large(number) => return large(-number),
            Value::Infinity { is_negative } => Value::Infinity { is_negative: !is_negative },
            Value::NaN => Value::NaN,
        })
    }

    /// Appends bytes that are the same for equal numbers, and only for them.
    pub(super) fn write_key(&self, key: &mut Vec<u8>) {
        match &self.0 {
            Value::Small { digits, scale } => {
                key.push(*scale as u8); // at most 18
                key.extend_from_slice(&digits.to_be_bytes());
            }
            Value::Large(number) => {
                let (digits, scale) = number.as_bigint_and_scale();
                key.push(b'L');
                key.extend_from_slice(&scale.to_be_bytes());
                key.extend_from_slice(&digits.to_signed_bytes_be());
            }
            Value::Infinity { is_negative } => key.push(if *is_negative { b'-' } else { b'+' }),
            Value::NaN => key.push(b'N'),
        }
    }

    /// Two small numbers as whole ones: both times 10^scale.
    fn aligned_with(&self, other: &Self) -> Option<(i128, i128, u32)> {
        let (Value::Small { digits: one, scale: first }, Value::Small { digits: two, scale: second }) =
            (&self.0, &other.0)
        else {
            return None;
        };
        let scale = *first.max(second);
        // 19 digits and 18 zeros are fewer than the 38 that fit
        let align = |digits: i64, own: u32| i128::from(digits).checked_mul(power_of_ten(scale - own)?);
        Some((align(*one, *first)?, align(*two, *second)?, scale))
    }

    fn finite(&self) -> Result<BigDecimal, ArithmeticError> {
        match &self.0 {
            Value::Small { digits, scale } => Ok(BigDecimal::new(BigInt::from(*digits), i64::from(*scale))),
            Value::Large(number) => Ok(number.clone()),
            Value::Infinity { .. } | Value::NaN => Err(ArithmeticError::NotFinite),
        }
    }

    /// Its place among what is not finite: below all, among them, above, and above that.
    fn rank(&self) -> u8 {
        match self.0 {
            Value::Infinity { is_negative: true } => 0,
            Value::Small { .. } | Value::Large(_) => 1,
            Value::Infinity { is_negative: false } => 2,
            Value::NaN => 3,
        }
    }
}

impl Ord for Number {
    /// As PostgreSQL orders: NaN equals itself and is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        if let Some((one, two, _)) = self.aligned_with(other) {
            return one.cmp(&two);
        }
        match (self.finite(), other.finite()) {
            (Ok(one), Ok(two)) => one.cmp(&two),
            _ => self.rank().cmp(&other.rank()),
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Number {
    /// Without exponent, and without zeros at the end of a fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Value::Small { digits, scale: 0 } => write!(f, "{digits}"),
            Value::Small { digits, scale } => {
                let (sign, digits) = (if *digits < 0 { "-" } else { "" }, digits.unsigned_abs());
                let power = 10_u64.pow(*scale);
                write!(f, "{sign}{}.{:0width$}", digits / power, digits % power, width = *scale as usize)
            }
            Value::Large(number) => number.write_plain_string(f),
            Value::Infinity { is_negative } => {
                f.write_str(if *is_negative { "-Infinity" } else { "Infinity" })
            }
            Value::NaN => f.write_str("NaN"),
        }
    }
}

/// `12`, `12.5`, `.5`, `12.`, `1e-7`.
fn read_decimal(is_negative: bool, text: &str) -> Option<Number> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (&text[..at], read_exponent(&text[at + 1..])?),
        None => (text, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let count = whole.len() + fraction.len();
    let is_digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if count == 0 || count > DIGITS_MAX || !is_digits(whole) || !is_digits(fraction) {
        return None;
    }
    let sign = if is_negative { -1 } else { 1 };
    let scale = fraction.len() as i64 - exponent;
    if count <= SMALL_SCALE_MAX as usize {
        let digits = whole.bytes().chain(fraction.bytes());
        let digits = sign * digits.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
        return Some(match u32::try_from(scale) {
            Ok(scale) if scale <= 2 * SMALL_SCALE_MAX => Number::from_scaled(i128::from(digits), scale),
            _ => large(BigDecimal::new(BigInt::from(digits), scale)),
        });
    }
    let digits = BigInt::parse_bytes([whole, fraction].concat().as_bytes(), 10)?;
    Some(large(BigDecimal::new(digits * sign, scale)))
}

fn read_exponent(text: &str) -> Option<i64> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let significant = digits.trim_start_matches('0');
    let exponent = if significant.is_empty() { 0 } else { significant.parse::<i64>().ok()? };
    (exponent <= EXPONENT_MAX).then_some(sign * exponent)
}

/// `$1,234.50`, in the spelling of most of the world's settings.
fn read_money(is_negative: bool, text: &str) -> Option<Number> {
    let amount = text.strip_prefix(['$', '€', '£', '¥'])?;
    let (whole, fraction) = amount.split_once('.').map_or((amount, None), |(one, two)| (one, Some(two)));
    let mut groups = whole.split(',');
    let first = groups.next()?;
    let is_grouped = !first.is_empty() && groups.all(|group| group.len() == 3);
    if !is_grouped || amount.len() > DIGITS_MAX || amount.contains(['e', 'E']) {
        return None;
    }
    let mut plain = whole.replace(',', "");
    if let Some(fraction) = fraction {
        plain.push('.');
        plain.push_str(fraction);
    }
    read_decimal(is_negative, &plain)
}

fn power_of_ten(exponent: u32) -> Option<i128> {
    10_i128.checked_pow(exponent)
}

/// The number in its small form, if it has one.
fn small(mut digits: i128, mut scale: u32) -> Option<Number> {
    while scale > 0 && digits % 10 == 0 {
        digits /= 10;
        scale -= 1;
        if digits == 0 {
            scale = 0;
        }
    }
    let digits = i64::try_from(digits).ok().filter(|_| scale <= SMALL_SCALE_MAX)?;
    Some(Number(Value::Small { digits, scale }))
}

/// The number in its one form.
fn large(number: BigDecimal) -> Number {
    let number = number.normalized();
    let (digits, scale) = number.as_bigint_and_scale();
    let as_small = match (digits.to_i64(), u32::try_from(scale)) {
        (Some(digits), Ok(scale)) => small(i128::from(digits), scale),
        (Some(digits), Err(_)) if (-18..0).contains(&scale) => power_of_ten(scale.unsigned_abs() as u32)
            .and_then(|power| i128::from(digits).checked_mul(power))
            .and_then(|digits| small(digits, 0)),
        _ => None,
    };
    as_small.unwrap_or(Number(Value::Large(number)))
}

/// A result, if it is of a sane size.
fn checked(number: BigDecimal) -> Result<Number, ArithmeticError> {
    let behind = u64::try_from(number.fractional_digit_count()).unwrap_or(0);
    if integer_digits(&number) > RESULT_DIGITS_MAX || behind > 2 * RESULT_DIGITS_MAX {
        return Err(ArithmeticError::OutOfRange);
    }
    let number = large(number);
    match &number.0 {
        Value::Large(large) if large.fractional_digit_count() > RESULT_DIGITS_MAX as i64 => {
            Err(ArithmeticError::OutOfRange)
        }
        _ => Ok(number),
    }
}

/// How many digits it has before the point, or a few more.
fn integer_digits(number: &BigDecimal) -> u64 {
    let (digits, scale) = number.as_bigint_and_scale();
    u64::try_from(decimal_digits(&digits) as i64 - scale).unwrap_or(0)
}

/// How many decimal digits it has, or one more.
fn decimal_digits(digits: &BigInt) -> u64 {
    digits.bits() * 30_103 / 100_000 + 1
}

/// How many digits have to be added to the dividend for the quotient to come out even; none where it never
/// does, or where finding out would take long.
fn digits_to_come_out_even(dividend: &BigInt, divisor: &BigInt) -> Option<i64> {
    if divisor.bits() > EVEN_DIVISOR_BITS_MAX {
        return None;
    }
    let mut rest = divisor.abs();
    let twos = rest.trailing_zeros()?;
    rest >>= twos;
    let mut fives = 0;
    while (&rest % 5_u32).is_zero() {
        rest /= 5_u32;
        fives += 1;
    }
    (dividend % rest).is_zero().then_some(i64::try_from(twos).ok()?.max(fives))
}

#[cfg(test)]
mod tests;
