//! A second evaluator: the rules of the language in the plainest code, with nothing of the first one but the tree.
//!
//! It computes with values that know what they are, knows one form, and instead of one verdict says which ones are
//! right: the order in which parts are judged is nobody's business, nor is whether a failure or an unknown is told
//! where both would stop a delivery.

mod comparison;
mod moment;
mod verdicts;

use super::properties::targets::event::{COLUMNS, Event};
use bigdecimal::{BigDecimal, RoundingMode, Zero};
use comparison::relation;
use moment::{EAST, counted, keyword, moment, within};
use std::str::FromStr;
pub(super) use verdicts::{FAILURE, FALSE, TRUE, UNKNOWN, Verdicts};
use walhook::change::{Datum, OldRow, Row};
use walhook::event::Verb;
use walhook::qualification::{Arithmetic, Condition, Operand, Operator};
use walhook::value::{Kind, Selection};

/// It should have been refused when it was bound.
#[derive(Debug)]
pub(super) struct IllTyped;

type Typed<T> = Result<T, IllTyped>;

/// What an operand is and holds.
#[derive(Clone, Debug)]
struct Item {
    sort: Sort,
    held: Held,
    /// Whether `$TIMESTAMP$` or `$DATE$` is in it, so that it becomes what stands opposite.
    adapts: bool,
}

#[derive(Clone, Debug, PartialEq)]
enum Sort {
    NullWord,
    /// NULL by its nature, but not the word.
    Nothing,
    Quoted,
    /// A number as somebody wrote it.
    Written(String),
    Text {
        folds_case: bool,
        padded: bool,
    },
    Number {
        whole: bool,
    },
    Choice(Selection),
    Moment(Shape),
    Opaque,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Instant,
    Date,
    Time,
}

#[derive(Clone, Debug)]
enum Held {
    Null,
    Text(String),
    /// A number, seconds since 1970 or midnight, or days. Not exact after some divisions.
    Number {
        number: BigDecimal,
        exact: bool,
    },
    /// There is something, but not what its column should hold.
    Unreadable,
    /// It is not known.
    Failed,
}

fn exactly(number: BigDecimal) -> Held {
    Held::Number { number, exact: true }
}

/// The verdicts that are right for a condition and an event.
pub(super) fn judge(condition: &Condition, event: &Event) -> Typed<Verdicts> {
    let both = |one: &Condition, two: &Condition| match (judge(one, event), judge(two, event)) {
        (Ok(one), Ok(two)) => Ok((one, two)),
        _ => Err(IllTyped),
    };
    match condition {
        Condition::And(one, two) => both(one, two).map(|(one, two)| one.and(two)),
        Condition::Or(one, two) => both(one, two).map(|(one, two)| one.or(two)),
        Condition::Not(one) => Ok(judge(one, event)?.not()),
        Condition::Relation { left, operator, right, .. } => relation(left, *operator, right, event),
        Condition::In { value, list, .. } => {
            let mut any = FALSE;
            for element in list {
                any = any.or(relation(value, Operator::Equal, element, event)?);
            }
            Ok(any)
        }
        Condition::Changed { field, from, to, .. } => {
            let (image, column) = find(&field.name).ok_or(IllTyped)?;
            if image != Image::Current {
                return Err(IllTyped);
            }
            let mut verdicts = changed(column, event);
            let side = |prefix: &str| super::trees::field(format!("{prefix}{}", field.name));
            if let Some(from) = from {
                verdicts = verdicts.and(relation(&side("DB."), Operator::Equal, from, event)?);
            }
            if let Some(to) = to {
                verdicts = verdicts.and(relation(&side(""), Operator::Equal, to, event)?);
            }
            Ok(verdicts)
        }
        Condition::External { .. } => Err(IllTyped),
    }
}

fn changed(column: usize, event: &Event) -> Verdicts {
    match event.verb {
        Verb::Delete => FALSE,
        Verb::Create => (now(column, event) != Known::Null).into(),
        Verb::Update | Verb::Merge | Verb::Named(_) => match (now(column, event), before(column, event)) {
            (Known::Not, _) | (_, Known::Not) => FAILURE,
            (now, before) => (now != before).into(),
        },
    }
}

// ---- references

#[derive(Clone, Copy, PartialEq)]
enum Image {
    Current,
    Transaction,
    Database,
}

#[derive(Clone, Debug, PartialEq)]
enum Known {
    Not,
    Null,
    Text(String),
}

fn find(name: &str) -> Option<(Image, usize)> {
    let named = |name: &str| {
        COLUMNS
            .iter()
            .position(|column| name == column.id.to_string() || name.eq_ignore_ascii_case(column.name))
    };
    if let Some(column) = named(name) {
        return Some((Image::Current, column));
    }
    let (prefix, rest) = name.split_once('.')?;
    let image = match prefix.to_uppercase().as_str() {
        "TR" => Image::Transaction,
        "DB" => Image::Database,
        _ => return None,
    };
    named(rest).map(|column| (image, column))
}

fn in_row(row: &Row, column: usize) -> Known {
    match row.datum(column) {
        Datum::Null => Known::Null,
        Datum::Text(text) => Known::Text(text.to_owned()),
        Datum::Unchanged => Known::Not,
    }
}

fn before(column: usize, event: &Event) -> Known {
    match &event.old {
        OldRow::Full(row) => in_row(row, column),
        OldRow::Key(row) if column == 0 => in_row(row, column),
        OldRow::NoRow => Known::Null,
        OldRow::Key(_) | OldRow::Absent => Known::Not,
    }
}

/// The value in the new row, on delete in the old one.
fn now(column: usize, event: &Event) -> Known {
    match &event.new {
        Some(row) if row.datum(column) == Datum::Unchanged => before(column, event),
        Some(row) => in_row(row, column),
        None => before(column, event),
    }
}

fn known(image: Image, column: usize, event: &Event) -> Known {
    match (image, event.verb) {
        (Image::Current, _) | (Image::Transaction, Verb::Create) => now(column, event),
        (Image::Transaction, Verb::Delete) | (Image::Database, Verb::Create) => Known::Null,
        (Image::Database, _) => before(column, event),
        (Image::Transaction, _) => match (now(column, event), before(column, event)) {
            (Known::Not, _) | (_, Known::Not) => Known::Not,
            (now, before) if now == before => Known::Null,
            (now, _) => now,
        },
    }
}

fn field(name: &str, event: &Event) -> Typed<Item> {
    let (image, column) = find(name).ok_or(IllTyped)?;
    let kind = (COLUMNS[column].kind)();
    let sort = match &kind {
        Kind::Text { folds_case, padded } => Sort::Text { folds_case: *folds_case, padded: *padded },
        Kind::Diary { .. } => Sort::Text { folds_case: false, padded: false },
        Kind::Number { whole } => Sort::Number { whole: *whole },
        Kind::Selection(selection) => Sort::Choice((**selection).clone()),
        Kind::Instant(_) => Sort::Moment(Shape::Instant),
        Kind::Date => Sort::Moment(Shape::Date),
        Kind::Time { .. } => Sort::Moment(Shape::Time),
        _ => Sort::Opaque,
    };
    let held = match known(image, column, event) {
        Known::Not => Held::Failed,
        Known::Null => Held::Null,
        Known::Text(text) => match &sort {
            Sort::Text { padded: true, .. } => Held::Text(text.trim_end_matches(' ').to_owned()),
            Sort::Choice(selection) => {
                let choice = selection.choices.iter().find(|choice| choice.stored == text);
                let number = choice.map(|choice| BigDecimal::from(choice.number));
                number.or_else(|| BigDecimal::from_str(&text).ok()).map_or(Held::Unreadable, exactly)
            }
            Sort::Number { .. } => BigDecimal::from_str(&text).map_or(Held::Unreadable, exactly),
            Sort::Moment(shape) => exactly(moment(&text, *shape, 0).expect("the form holds good dates")),
            _ => Held::Text(text),
        },
    };
    Ok(Item { sort, held, adapts: false })
}

// ---- operands

/// What an operand comes to; `shape` is what the keywords of time are.
fn value(operand: &Operand, shape: Shape, event: &Event) -> Typed<Item> {
    let settled = |sort, held| Ok(Item { sort, held, adapts: false });
    match operand {
        Operand::Number { text, .. } => {
            let number = BigDecimal::from_str(text.trim_end_matches('.')).map_err(|_| IllTyped)?;
            settled(Sort::Written(text.clone()), exactly(number))
        }
        Operand::Text { text, .. } => settled(Sort::Quoted, Held::Text(text.clone())),
        Operand::Reference(reference) => field(&reference.name, event),
        Operand::Dollar { name, .. } => match keyword(&name.to_uppercase(), shape, event) {
            Some(item) => Ok(item),
            None => field(name, event),
        },
        Operand::Negate { operand, .. } => {
            let item = unquoted(value(operand, shape, event)?)?;
            let sort = match item.sort {
                Sort::NullWord | Sort::Nothing => Sort::Nothing,
                Sort::Written(text) => Sort::Written(match text.strip_prefix('-') {
                    Some(positive) => positive.to_owned(),
                    None => format!("-{text}"),
                }),
                sort if is_number(&sort) => Sort::Number { whole: is_whole(&sort) },
                _ => return Err(IllTyped),
            };
            settled(
                sort,
                match readable(item.held) {
                    Held::Number { number, exact } => Held::Number { number: -number, exact },
                    other => other,
                },
            )
        }
        Operand::Arithmetic { left, operator, right, .. } => {
            // both, for both are checked
            let (one, two) = (value(left, shape, event), value(right, shape, event));
            let (one, two) = (one?, two?);
            // beside a moment, a keyword of time is what that is
            let (one, two) = match (&one.sort, &two.sort) {
                (Sort::Moment(other), _) if !one.adapts && two.adapts => {
                    (one.clone(), value(right, *other, event)?)
                }
                (_, Sort::Moment(other)) if one.adapts && !two.adapts => (value(left, *other, event)?, two),
                _ => (one, two),
            };
            arithmetic(one, *operator, two)
        }
    }
}

/// A quoted number as a number, where a number is needed.
fn unquoted(item: Item) -> Typed<Item> {
    let (Sort::Quoted, Held::Text(text)) = (&item.sort, &item.held) else { return Ok(item) };
    let number = BigDecimal::from_str(text.trim()).map_err(|_| IllTyped)?;
    Ok(Item { sort: Sort::Written(text.trim().to_owned()), held: exactly(number), adapts: false })
}

fn is_number(sort: &Sort) -> bool {
    matches!(sort, Sort::Written(_) | Sort::Number { .. } | Sort::Choice(_))
}

/// What can be a number of seconds or days: a choice cannot.
fn is_span(sort: &Sort) -> bool {
    matches!(sort, Sort::Written(_) | Sort::Number { .. })
}

fn is_null(sort: &Sort) -> bool {
    matches!(sort, Sort::NullWord | Sort::Nothing)
}

/// Written or typed without a fraction.
fn is_whole(sort: &Sort) -> bool {
    match sort {
        Sort::Written(text) => {
            !text.contains('.') && BigDecimal::from_str(text).is_ok_and(|number| number.is_integer())
        }
        Sort::Number { whole } => *whole,
        _ => true,
    }
}

/// A value that is used as what it should be.
fn readable(held: Held) -> Held {
    match held {
        Held::Unreadable => Held::Failed,
        held => held,
    }
}

fn joins(one: &Item, two: &Item) -> bool {
    let text = |item: &Item| matches!(item.sort, Sort::Text { .. });
    let word = |item: &Item| item.sort == Sort::Quoted && unquoted(item.clone()).is_err();
    let quoted = |item: &Item| item.sort == Sort::Quoted;
    text(one)
        || text(two)
        || (quoted(one) && (quoted(two) || is_null(&two.sort)))
        || (quoted(two) && is_null(&one.sort))
        || (word(one) && is_number(&two.sort))
        || (word(two) && is_number(&one.sort))
}

fn arithmetic(one: Item, operator: Arithmetic, two: Item) -> Typed<Item> {
    if operator == Arithmetic::Add && joins(&one, &two) {
        return join(one, two);
    }
    let moment = |item: &Item| match item.sort {
        Sort::Moment(shape) => Some(shape),
        _ => None,
    };
    let literal = |item: Item, other: &Item| match (&item.held, moment(other)) {
        (Held::Text(text), Some(shape)) if item.sort == Sort::Quoted && operator == Arithmetic::Subtract => {
            let shape = if other.adapts { Shape::Instant } else { shape };
            match self::moment(text.trim(), shape, EAST) {
                Some(number) => Ok(Item { sort: Sort::Moment(shape), held: exactly(number), adapts: false }),
                None => unquoted(item),
            }
        }
        _ => unquoted(item),
    };
    let (first, second) = (literal(one.clone(), &two)?, literal(two, &one)?);
    let (one, two) = (first, second);
    let additive = matches!(operator, Arithmetic::Add | Arithmetic::Subtract);
    let subtracts = operator == Arithmetic::Subtract;
    let nullable =
        |sort: &Sort| is_null(sort) || is_number(sort) || (additive && matches!(sort, Sort::Moment(_)));
    let sort = match (&one.sort, &two.sort) {
        (a, b) if (is_null(a) && nullable(b)) || (is_null(b) && nullable(a)) => Sort::Nothing,
        (a, b) if is_number(a) && is_number(b) => Sort::Number { whole: is_whole(a) && is_whole(b) },
        (Sort::Moment(shape), b) if additive && is_span(b) => Sort::Moment(*shape),
        (a, Sort::Moment(shape)) if operator == Arithmetic::Add && is_span(a) => Sort::Moment(*shape),
        (Sort::Moment(a), Sort::Moment(b)) if subtracts && a == b => Sort::Number { whole: true },
        _ => return Err(IllTyped),
    };
    if sort == Sort::Nothing {
        return Ok(Item { sort, held: Held::Null, adapts: false });
    }
    let truncates = is_whole(&one.sort) && is_whole(&two.sort);
    let (a, b) = match sort {
        Sort::Moment(shape) => (counted(one.held, shape), counted(two.held, shape)),
        _ => (one.held, two.held),
    };
    let held = match (readable(a), readable(b)) {
        (Held::Null, _) | (_, Held::Null) => Held::Null,
        (Held::Number { number: a, exact }, Held::Number { number: b, exact: also }) => {
            reckon(a, operator, b, truncates, exact && also)
        }
        _ => Held::Failed,
    };
    let held = if let Sort::Moment(shape) = sort { within(held, shape) } else { held };
    Ok(Item { adapts: matches!(sort, Sort::Moment(_)) && (one.adapts || two.adapts), sort, held })
}

fn reckon(one: BigDecimal, operator: Arithmetic, two: BigDecimal, truncates: bool, exact: bool) -> Held {
    let whole = |number: BigDecimal| number.with_scale_round(0, RoundingMode::Down);
    let divides = matches!(operator, Arithmetic::Divide | Arithmetic::Modulo);
    if divides && two.is_zero() {
        return Held::Failed;
    }
    let mut comes_out_even = true;
    let number = match operator {
        Arithmetic::Add => one + two,
        Arithmetic::Subtract => one - two,
        Arithmetic::Multiply => one * two,
        Arithmetic::Divide => {
            let quotient = &one / &two;
            comes_out_even = truncates || &quotient * &two == one;
            if truncates { whole(quotient) } else { quotient }
        }
        Arithmetic::Modulo => {
            let times = whole(&one / &two);
            one - times * two
        }
    };
    Held::Number { number, exact: exact && comes_out_even }
}

fn join(one: Item, two: Item) -> Typed<Item> {
    let joinable = |item: &Item| !matches!(item.sort, Sort::Moment(_) | Sort::Opaque);
    if !joinable(&one) || !joinable(&two) {
        return Err(IllTyped);
    }
    if is_null(&one.sort) || is_null(&two.sort) {
        return Ok(Item { sort: Sort::Nothing, held: Held::Null, adapts: false });
    }
    let folds = |item: &Item| matches!(item.sort, Sort::Text { folds_case: true, .. });
    let sort = match (&one.sort, &two.sort) {
        (Sort::Quoted, Sort::Quoted) => Sort::Quoted,
        _ => Sort::Text { folds_case: folds(&one) || folds(&two), padded: false },
    };
    let held = match (as_text(one), as_text(two)) {
        (Held::Text(one), Held::Text(two)) => Held::Text(one + &two),
        (Held::Null, _) | (_, Held::Null) => Held::Null,
        _ => Held::Failed,
    };
    Ok(Item { sort, held, adapts: false })
}

fn as_text(item: Item) -> Held {
    match (item.sort, readable(item.held)) {
        (Sort::Written(text), _) => Held::Text(text),
        (_, Held::Number { number, .. }) => Held::Text(number.normalized().to_plain_string()),
        (_, held) => held,
    }
}
