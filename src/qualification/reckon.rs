//! Arithmetic over values: numbers, moments, days, times of day, and texts that are joined.

use super::number::{ArithmeticError, Number};
use super::program::{Shape, Value};
use super::time::{
    day_after, day_of, days_between, from_epoch, instant_after, seconds_between, seconds_of_day, time_after,
};
use super::tree::Arithmetic;
use jiff::tz::TimeZone;
use std::borrow::Cow;

/// Texts that are joined may not become longer: rows come from outside.
const JOINED_BYTES_MAX: usize = 16 << 20;

/// One operation. NULL with anything is NULL. `Err` is the reason.
pub(super) fn reckon<'a>(
    left: Value<'a>,
    operator: Arithmetic,
    right: Value<'a>,
    truncates: bool,
) -> Result<Value<'a>, String> {
    let is_sum = operator == Arithmetic::Add;
    let reckoned = match (left, operator, right) {
        (Value::Null, ..) | (.., Value::Null) => Ok(Value::Null),
        (Value::Number(left), operator, Value::Number(right)) => {
            numbers(&left, operator, &right, truncates).map(Value::of_number)
        }
        (Value::Text(left), Arithmetic::Add, Value::Text(right)) => return join(left, &right),
        (Value::Text(left), Arithmetic::Add, Value::Number(right)) => return join(left, &right.to_string()),
        (Value::Number(left), Arithmetic::Add, Value::Text(right)) => {
            return join(Cow::Owned(left.to_string()), &right);
        }
        (Value::Instant(instant), Arithmetic::Add | Arithmetic::Subtract, Value::Number(seconds)) => {
            instant_after(instant, &signed(seconds, is_sum)).map(Value::Instant)
        }
        (Value::Number(seconds), Arithmetic::Add, Value::Instant(instant)) => {
            instant_after(instant, &seconds).map(Value::Instant)
        }
        (Value::Instant(later), Arithmetic::Subtract, Value::Instant(earlier)) => {
            seconds_between(earlier, later).map(Value::of_number)
        }
        (Value::Date(day), Arithmetic::Add | Arithmetic::Subtract, Value::Number(days)) => {
            day_after(day, &signed(days, is_sum)).map(Value::Date)
        }
        (Value::Number(days), Arithmetic::Add, Value::Date(day)) => day_after(day, &days).map(Value::Date),
        (Value::Date(later), Arithmetic::Subtract, Value::Date(earlier)) => {
            days_between(earlier, later).map(Value::of_number)
        }
        (Value::Time(time), Arithmetic::Add | Arithmetic::Subtract, Value::Number(seconds)) => {
            time_after(time, &signed(seconds, is_sum)).map(Value::Time)
        }
        (Value::Number(seconds), Arithmetic::Add, Value::Time(time)) => {
            time_after(time, &seconds).map(Value::Time)
        }
        (Value::Time(later), Arithmetic::Subtract, Value::Time(earlier)) => {
            seconds_of_day(later).subtract(&seconds_of_day(earlier)).map(Value::of_number)
        }
        _ => return Err("these values cannot be reckoned with".to_owned()),
    };
    reckoned.map_err(|error| error.to_string())
}

fn signed(number: Cow<'_, Number>, is_sum: bool) -> Cow<'_, Number> {
    if is_sum { number } else { Cow::Owned(number.negate()) }
}

fn numbers(
    left: &Number,
    operator: Arithmetic,
    right: &Number,
    truncates: bool,
) -> Result<Number, ArithmeticError> {
    match operator {
        Arithmetic::Add => left.add(right),
        Arithmetic::Subtract => left.subtract(right),
        Arithmetic::Multiply => left.multiply(right),
        Arithmetic::Divide if truncates => left.divide(right).map(Number::truncated),
        Arithmetic::Divide => left.divide(right),
        Arithmetic::Modulo => left.modulo(right),
    }
}

fn join<'a>(left: Cow<'a, str>, right: &str) -> Result<Value<'a>, String> {
    if left.len().saturating_add(right.len()) > JOINED_BYTES_MAX {
        return Err("the joined text is longer than 16 MiB".to_owned());
    }
    let mut joined = left.into_owned();
    joined.push_str(right);
    Ok(Value::Text(Cow::Owned(joined)))
}

/// A number of seconds since 1970 as a moment or the day it falls on, or since midnight as a time of day.
pub(super) fn seconds(number: &Number, shape: Shape, zone: &TimeZone) -> Result<Value<'static>, String> {
    let out_of_range = || "the number of seconds is out of range".to_owned();
    match shape {
        Shape::Instant => from_epoch(number).map(Value::Instant).ok_or_else(out_of_range),
        Shape::Date => {
            from_epoch(number).map(|instant| Value::Date(day_of(instant, zone))).ok_or_else(out_of_range)
        }
        Shape::Time => time_after(0, number).map(Value::Time).map_err(|error| error.to_string()),
    }
}
