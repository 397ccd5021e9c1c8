//! Judging: a bound condition and an event, to a verdict.

mod read;

use super::like::{Pattern, fold};
use super::program::{Amount, Clock, Field, Image, Leaf, Node, Reading, Shape, Term, Test, Value};
use super::reckon::{reckon, seconds};
use super::time::{day_of, midnight, time_of_day, weekday};
use super::tree::{Operator, quoted};
use super::{Dialect, Facts, Failure, Truth};
use crate::change::{Datum, OldRow};
use crate::event::Verb;
use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Range;

type Verdict = Result<Truth, Failure>;

/// The verdict of a whole condition.
///
/// Something that could not be judged counts only where it decides: `false AND` a failure is false, `true OR` a
/// failure is true. At the top, where only true delivers, an unknown operand of AND decides as well. So the order of
/// the operands makes no difference. An index that has looked at one of them may spare an event a failure (`TR.` of a
/// field without old row, compared with a value that it does not have), and changes no delivery.
pub(super) fn judge(program: &Node, facts: &Facts<'_>) -> Verdict {
    let Node::All(nodes) = program else { return node(program, facts) };
    let mut first_failure = None;
    let mut is_unknown = false;
    for operand in nodes {
        match node(operand, facts) {
            Ok(Truth::False) => return Ok(Truth::False),
            Ok(Truth::Unknown) => is_unknown = true,
            Ok(Truth::True) => {}
            Err(failure) => first_failure = first_failure.or(Some(failure)),
        }
    }
    match first_failure {
        _ if is_unknown => Ok(Truth::Unknown),
        Some(failure) => Err(failure),
        None => Ok(Truth::True),
    }
}

fn node(program: &Node, facts: &Facts<'_>) -> Verdict {
    match program {
        Node::All(nodes) => all(nodes.iter().map(|operand| node(operand, facts))),
        Node::Any(nodes) => any(nodes.iter().map(|operand| node(operand, facts))),
        Node::Not(operand) => node(operand, facts).map(|truth| !truth),
        Node::Leaf(leaf) => test(&leaf.test, leaf, facts),
    }
}

/// The verdict of one comparison alone.
pub(super) fn leaf(leaf: &Leaf, facts: &Facts<'_>) -> Verdict {
    test(&leaf.test, leaf, facts)
}

fn all(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    let mut so_far = Ok(Truth::True);
    for verdict in verdicts {
        match (verdict, &so_far) {
            (Ok(Truth::False), _) => return Ok(Truth::False),
            (Ok(truth), Ok(before)) => so_far = Ok(before.and(truth)),
            (Err(failure), Ok(_)) => so_far = Err(failure),
            (_, Err(_)) => {}
        }
    }
    so_far
}

fn any(verdicts: impl Iterator<Item = Verdict>) -> Verdict {
    all(verdicts.map(|verdict| verdict.map(|truth| !truth))).map(|truth| !truth)
}

fn test(asked: &Test, leaf: &Leaf, facts: &Facts<'_>) -> Verdict {
    match asked {
        Test::Fixed(truth) => Ok(*truth),
        Test::Absent { term, wanted } => Ok((is_null(term, facts)? == *wanted).into()),
        Test::Compare { left, operator, right, folds_case } => {
            match known_pair(value(left, facts), value(right, facts))? {
                Some((left, right)) => compare(&left, *operator, &right, *folds_case, leaf),
                None => Ok(Truth::Unknown),
            }
        }
        Test::Like { term, pattern } => match value(term, facts)? {
            Value::Text(text) => Ok(pattern.matches(&text).into()),
            Value::Null => Ok(Truth::Unknown),
            _ => Err(failure(&leaf.place, "LIKE needs a text")),
        },
        Test::LikeOf { term, pattern, folds_case } => {
            match known_pair(value(term, facts), value(pattern, facts))? {
                None => Ok(Truth::Unknown),
                Some((Value::Text(text), Value::Text(pattern))) => {
                    match Pattern::new(&pattern, *folds_case) {
                        Some(pattern) => Ok(pattern.matches(&text).into()),
                        None => Err(failure(&leaf.place, "the pattern of LIKE is too long")),
                    }
                }
                Some(_) => Err(failure(&leaf.place, "LIKE needs texts")),
            }
        }
        Test::Amount(amount) => self::amount(amount, facts),
        Test::Changed(field) => changed(field, facts).map(Truth::from),
        Test::All(tests) => all(tests.iter().map(|part| test(part, leaf, facts))),
        Test::Any(tests) => any(tests.iter().map(|part| test(part, leaf, facts))),
    }
}

/// Both of two values; none if one is NULL, for then it does not matter what the other would have been.
fn known_pair<'a>(
    left: Result<Value<'a>, Failure>,
    right: Result<Value<'a>, Failure>,
) -> Result<Option<(Value<'a>, Value<'a>)>, Failure> {
    match (left, right) {
        (Ok(Value::Null), _) | (_, Ok(Value::Null)) => Ok(None),
        (left, right) => Ok(Some((left?, right?))),
    }
}

fn failure(place: &Range<usize>, reason: impl Into<String>) -> Failure {
    Failure { place: place.clone(), reason: reason.into() }
}

/// Whether a term has no value. A column need not be readable for that.
fn is_null(term: &Term, facts: &Facts<'_>) -> Result<bool, Failure> {
    match term {
        Term::Field(field) if !matches!(field.reading, Reading::Member { .. }) => {
            Ok(datum(field, facts)? == Datum::Null)
        }
        term => Ok(value(term, facts)? == Value::Null),
    }
}

fn compare(
    left: &Value<'_>,
    operator: Operator,
    right: &Value<'_>,
    folds_case: bool,
    leaf: &Leaf,
) -> Verdict {
    let ordering = match (left, right) {
        (Value::Null, _) | (_, Value::Null) => return Ok(Truth::Unknown),
        (Value::Text(left), Value::Text(right)) if folds_case => fold(left).cmp(&fold(right)),
        (Value::Text(left), Value::Text(right)) => left.cmp(right),
        (Value::Number(left), Value::Number(right)) => left.cmp(right),
        (Value::Instant(left), Value::Instant(right)) => left.cmp(right),
        (Value::Date(left), Value::Date(right)) => left.cmp(right),
        (Value::Time(left), Value::Time(right)) => left.cmp(right),
        _ => return Err(failure(&leaf.place, "the two sides cannot be compared")),
    };
    let holds = match operator {
        Operator::Equal => ordering == Ordering::Equal,
        Operator::NotEqual => ordering != Ordering::Equal,
        Operator::Less => ordering == Ordering::Less,
        Operator::LessOrEqual => ordering != Ordering::Greater,
        Operator::Greater => ordering == Ordering::Greater,
        Operator::GreaterOrEqual => ordering != Ordering::Less,
        Operator::Like => return Err(failure(&leaf.place, "LIKE needs texts")),
    };
    Ok(holds.into())
}

fn amount(asked: &Amount, facts: &Facts<'_>) -> Verdict {
    if asked.if_changed && !(changed(&asked.value, facts)? || changed(&asked.currency, facts)?) {
        return Ok(Truth::Unknown);
    }
    let number = match field_value(&asked.value, facts)? {
        Value::Null => return Ok(Truth::Unknown),
        Value::Number(number) => number,
        _ => return Err(failure(&asked.value.place, "the value of the amount is not a number")),
    };
    let currency = match field_value(&asked.currency, facts)? {
        Value::Null => return Ok(Truth::Unknown),
        Value::Text(text) => text,
        _ => return Err(failure(&asked.value.place, "the currency of the amount is not a text")),
    };
    let is_same = *number == asked.wanted_value && currency.trim() == asked.wanted_currency;
    Ok((is_same != asked.negated).into())
}

/// What a term comes to.
pub(super) fn value<'a>(term: &'a Term, facts: &Facts<'a>) -> Result<Value<'a>, Failure> {
    match term {
        Term::Constant(constant) => Ok(borrowed(constant)),
        Term::Field(field) => field_value(field, facts),
        Term::Moment { which, shape } => Ok(moment(*which, shape.unwrap_or(Shape::Instant), facts)),
        Term::Weekday => {
            Ok(Value::Text(Cow::Borrowed(weekday(day_of(now(facts), &dialect(facts).time_zone)))))
        }
        Term::Operation => Ok(Value::Text(Cow::Borrowed(match facts.verb {
            Verb::Create => "CREATE",
            Verb::Update | Verb::Named(_) => "SET",
            Verb::Merge => "MERGE",
            Verb::Delete => "DELETE",
        }))),
        Term::User => Ok(facts.user.map_or(Value::Null, |user| Value::Text(Cow::Borrowed(user)))),
        Term::Negate { term, place } => match value(term, facts)? {
            Value::Null => Ok(Value::Null),
            Value::Number(number) => Ok(Value::of_number(number.negate())),
            _ => Err(failure(place, "only a number can be negated")),
        },
        Term::Chain { first, steps } => {
            let mut so_far = value(first, facts);
            for step in steps {
                so_far = known_pair(so_far, value(&step.right, facts)).and_then(|pair| {
                    let Some((left, right)) = pair else { return Ok(Value::Null) };
                    reckon(left, step.operator, right, step.truncates)
                        .map_err(|reason| failure(&step.place, reason))
                });
            }
            so_far
        }
        Term::Seconds { term, shape, place } => match value(term, facts)? {
            Value::Number(number) => {
                seconds(&number, *shape, &dialect(facts).time_zone).map_err(|reason| failure(place, reason))
            }
            Value::Null => Ok(Value::Null),
            _ => Err(failure(place, "seconds have to be a number")),
        },
    }
}

fn borrowed<'a>(constant: &'a Value<'static>) -> Value<'a> {
    match constant {
        Value::Text(text) => Value::Text(Cow::Borrowed(text)),
        Value::Number(number) => Value::Number(Cow::Borrowed(number)),
        constant => constant.clone(),
    }
}

fn dialect<'a>(facts: &Facts<'a>) -> &'a Dialect {
    &facts.form.form.dialect
}

fn now(facts: &Facts<'_>) -> i128 {
    i128::from(facts.committed_at_us)
}

fn moment(which: Clock, shape: Shape, facts: &Facts<'_>) -> Value<'static> {
    let now = now(facts);
    let zone = &dialect(facts).time_zone;
    match (shape, which) {
        (Shape::Instant, Clock::Timestamp | Clock::Time) => Value::Instant(now),
        (Shape::Instant, Clock::Date) => Value::Instant(midnight(day_of(now, zone), zone)),
        (Shape::Date, _) => Value::Date(day_of(now, zone)),
        (Shape::Time, Clock::Timestamp | Clock::Time) => Value::Time(time_of_day(now, zone)),
        (Shape::Time, Clock::Date) => Value::Time(0),
    }
}

fn field_value<'a>(field: &'a Field, facts: &Facts<'a>) -> Result<Value<'a>, Failure> {
    let is_set = field.image == Image::Transaction && !matches!(facts.verb, Verb::Create | Verb::Delete);
    if is_set && matches!(field.reading, Reading::Member { .. }) {
        // a part is set if it differs itself, whatever happened to the rest of its column
        let now = read(field, after(field.column, facts), facts)?;
        return Ok(if read(field, before(field.column, facts), facts)? == now { Value::Null } else { now });
    }
    read(field, Known::Datum(datum(field, facts)?), facts)
}

fn read<'a>(field: &'a Field, known: Known<'a>, facts: &Facts<'a>) -> Result<Value<'a>, Failure> {
    match known.or_failure(field)? {
        Datum::Text(text) => field.reading.read(text, dialect(facts)).map_err(|what| {
            failure(&field.place, format!("the value of {} is not {what}", quoted(&field.name)))
        }),
        Datum::Null | Datum::Unchanged => Ok(Value::Null),
    }
}

/// The text of a field, of the row that it is about.
fn datum<'a>(field: &Field, facts: &Facts<'a>) -> Result<Datum<'a>, Failure> {
    match (field.image, facts.verb) {
        (Image::Current, _) => after(field.column, facts).or_failure(field),
        (Image::Database, Verb::Create) | (Image::Transaction, Verb::Delete) => Ok(Datum::Null),
        (Image::Database, _) => before(field.column, facts).or_failure(field),
        (Image::Transaction, Verb::Create) => after(field.column, facts).or_failure(field),
        (Image::Transaction, Verb::Update | Verb::Merge | Verb::Named(_)) => {
            let now = after(field.column, facts).or_failure(field)?;
            let was = before(field.column, facts).or_failure(field)?;
            Ok(if now == was { Datum::Null } else { now })
        }
    }
}

/// Whether a field has another value than before; a create has set all that is not NULL.
fn changed(field: &Field, facts: &Facts<'_>) -> Result<bool, Failure> {
    let now = |facts| read_or_text(field, after(field.column, facts), facts);
    match facts.verb {
        Verb::Delete => Ok(false),
        Verb::Create => Ok(now(facts)? != Value::Null),
        Verb::Update | Verb::Merge | Verb::Named(_) => {
            Ok(now(facts)? != read_or_text(field, before(field.column, facts), facts)?)
        }
    }
}

/// A part of a column as its value, a whole column as its text: whether it has changed does not depend on whether
/// it can be read.
fn read_or_text<'a>(field: &'a Field, known: Known<'a>, facts: &Facts<'a>) -> Result<Value<'a>, Failure> {
    if matches!(field.reading, Reading::Member { .. }) {
        return read(field, known, facts);
    }
    Ok(match known.or_failure(field)? {
        Datum::Text(text) => Value::Opaque(text),
        Datum::Null | Datum::Unchanged => Value::Null,
    })
}

/// What the log tells of a value.
#[derive(Clone, Copy)]
pub(super) enum Known<'a> {
    Datum(Datum<'a>),
    /// A large value that the update did not touch.
    NotSent,
    /// The row before is not known, or only its key.
    NoOldRow,
}

impl<'a> Known<'a> {
    fn or_failure(self, field: &Field) -> Result<Datum<'a>, Failure> {
        let name = || quoted(&field.name);
        match self {
            Self::Datum(datum) => Ok(datum),
            Self::NotSent => Err(failure(
                &field.place,
                format!(
                    "{} is not available: a large value that the update did not touch is not in the log",
                    name()
                ),
            )),
            Self::NoOldRow => Err(failure(
                &field.place,
                format!(
                    "{} is not available: the log has no old value of it; it needs replica identity full",
                    name()
                ),
            )),
        }
    }
}

/// A value of the row that the event is about: the new one, on delete the old one.
pub(super) fn after<'a>(column: usize, facts: &Facts<'a>) -> Known<'a> {
    let Some(new) = facts.new else { return before(column, facts) };
    match facts.form.datum(new, column) {
        // it is what it was
        Datum::Unchanged => match facts.old {
            OldRow::Full(_) => before(column, facts),
            OldRow::Key(_) | OldRow::Absent | OldRow::NoRow => Known::NotSent,
        },
        datum => Known::Datum(datum),
    }
}

fn before<'a>(column: usize, facts: &Facts<'a>) -> Known<'a> {
    let row = match facts.old {
        OldRow::Full(row) => row,
        OldRow::Key(row) if facts.form.identifies(column) => row,
        OldRow::NoRow => return Known::Datum(Datum::Null),
        OldRow::Key(_) | OldRow::Absent => return Known::NoOldRow,
    };
    match facts.form.datum(row, column) {
        Datum::Unchanged => Known::NotSent,
        datum => Known::Datum(datum),
    }
}
