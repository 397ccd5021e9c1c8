//! What stands on both sides of a comparison, and LIKE.

use super::moment::{EAST, moment, of_seconds};
use super::verdicts::{FAILURE, FALSE, TRUE, UNKNOWN, Verdicts};
use super::{
    Held, IllTyped, Item, Shape, Sort, Typed, exactly, is_number, is_span, readable, unquoted, value,
};
use crate::qualification::properties::targets::event::Event;
use bigdecimal::BigDecimal;
use std::cmp::Ordering;
use walhook::qualification::{Operand, Operator};
use walhook::value::Selection;

pub(super) fn relation(
    left: &Operand,
    operator: Operator,
    right: &Operand,
    event: &Event,
) -> Typed<Verdicts> {
    let (one, two) = (value(left, Shape::Instant, event), value(right, Shape::Instant, event));
    let (one, two) = (one?, two?);
    let (one, two) = match (&one.sort, &two.sort) {
        (Sort::Moment(shape), _) if !one.adapts && two.adapts => (one.clone(), value(right, *shape, event)?),
        (_, Sort::Moment(shape)) if one.adapts && !two.adapts => (value(left, *shape, event)?, two),
        (Sort::Moment(_), Sort::Quoted) if one.adapts => (value(left, beside(&two), event)?, two),
        (Sort::Quoted, Sort::Moment(_)) if two.adapts => {
            let shape = beside(&one);
            (one, value(right, shape, event)?)
        }
        _ => (one, two),
    };
    let is_test = matches!(operator, Operator::Equal | Operator::NotEqual);
    match (&one.sort, &two.sort) {
        (Sort::NullWord, _) if is_test => return Ok(absence(&two.held, operator)),
        (_, Sort::NullWord) if is_test => return Ok(absence(&one.held, operator)),
        (Sort::NullWord, _) | (_, Sort::NullWord) => return Ok(UNKNOWN),
        _ if operator == Operator::Like => return like(one, two),
        (Sort::Nothing, _) | (_, Sort::Nothing) => return Ok(UNKNOWN),
        _ => {}
    }
    let folds = |item: &Item| matches!(item.sort, Sort::Text { folds_case: true, .. });
    let folds_case = folds(&one) || folds(&two);
    let (one, two) = alike(one, two)?;
    let ordering = match (readable(one), readable(two)) {
        (Held::Null, _) | (_, Held::Null) => return Ok(UNKNOWN),
        (Held::Text(one), Held::Text(two)) if folds_case => one.to_lowercase().cmp(&two.to_lowercase()),
        (Held::Text(one), Held::Text(two)) => one.cmp(&two),
        (Held::Number { number: one, exact }, Held::Number { number: two, exact: also }) => {
            if !exact || !also {
                return Ok(TRUE.or_also(FALSE)); // the last digits are nobody's promise
            }
            one.cmp(&two)
        }
        _ => return Ok(FAILURE),
    };
    Ok(match operator {
        Operator::Equal => ordering == Ordering::Equal,
        Operator::NotEqual => ordering != Ordering::Equal,
        Operator::Less => ordering == Ordering::Less,
        Operator::LessOrEqual => ordering != Ordering::Greater,
        Operator::Greater => ordering == Ordering::Greater,
        Operator::GreaterOrEqual | Operator::Like => ordering != Ordering::Less,
    }
    .into())
}

/// What a keyword of time is beside a quoted one.
fn beside(quoted: &Item) -> Shape {
    match &quoted.held {
        Held::Text(text)
            if moment(text.trim(), Shape::Instant, EAST).is_none()
                && moment(text.trim(), Shape::Time, EAST).is_some() =>
        {
            Shape::Time
        }
        _ => Shape::Instant,
    }
}

fn absence(held: &Held, operator: Operator) -> Verdicts {
    let is_null = match held {
        Held::Null => TRUE,
        Held::Failed => FAILURE,
        _ => FALSE,
    };
    if operator == Operator::Equal { is_null } else { is_null.not() }
}

/// Both sides as the same sort of value.
fn alike(one: Item, two: Item) -> Typed<(Held, Held)> {
    let rank = |item: &Item| match &item.sort {
        Sort::Opaque => 9,
        Sort::Moment(_) if !item.adapts => 8,
        Sort::Moment(_) => 7,
        Sort::Text { .. } => 6,
        Sort::Choice(_) => 5,
        Sort::Number { .. } => 4,
        Sort::Written(_) => 3,
        _ => 2,
    };
    if rank(&one) < rank(&two) {
        return alike(two, one).map(|(two, one)| (one, two));
    }
    let other = match (&one.sort, &two.sort, &two.held) {
        (Sort::Opaque, ..) => return Err(IllTyped),
        (Sort::Moment(shape), Sort::Moment(other), _) if shape == other => two.held,
        (Sort::Moment(shape), Sort::Quoted, Held::Text(text)) => {
            moment(text.trim(), *shape, EAST).map(exactly).ok_or(IllTyped)?
        }
        (Sort::Moment(shape), sort, _) if is_span(sort) => of_seconds(two.held, *shape),
        (Sort::Text { padded: true, .. }, Sort::Quoted, Held::Text(text)) => {
            Held::Text(text.trim_end_matches(' ').to_owned())
        }
        (Sort::Text { .. }, Sort::Text { .. } | Sort::Quoted, _) => two.held,
        (Sort::Text { .. }, Sort::Written(text), _) => Held::Text(text.clone()),
        (Sort::Choice(selection), Sort::Quoted, Held::Text(label)) => match number_of(selection, label) {
            Some(number) => exactly(number),
            None => unquoted(two)?.held,
        },
        (sort, Sort::Quoted, _) if is_number(sort) => unquoted(two)?.held,
        (sort, other, _) if is_number(sort) && is_number(other) => two.held,
        (Sort::Quoted, Sort::Quoted, _) => two.held,
        _ => return Err(IllTyped),
    };
    Ok((one.held, other))
}

fn number_of(selection: &Selection, label: &str) -> Option<BigDecimal> {
    let choices = &selection.choices;
    let exact = choices.iter().find(|choice| choice.label == label);
    let alike = || choices.iter().find(|choice| choice.label.to_lowercase() == label.to_lowercase());
    exact.or_else(alike).map(|choice| BigDecimal::from(choice.number))
}

fn like(one: Item, two: Item) -> Typed<Verdicts> {
    let folds = |item: &Item| matches!(item.sort, Sort::Text { folds_case: true, .. });
    let folds_case = folds(&one) || folds(&two);
    if !matches!(one.sort, Sort::Text { .. } | Sort::Quoted | Sort::Nothing) {
        return Err(IllTyped);
    }
    let pattern = match &two.sort {
        Sort::Nothing | Sort::Text { .. } | Sort::Quoted => two.held,
        Sort::Written(text) => Held::Text(text.clone()),
        _ => return Err(IllTyped),
    };
    Ok(match (readable(one.held), pattern) {
        (Held::Text(text), Held::Text(pattern)) => {
            let fold = |text: String| if folds_case { text.to_lowercase() } else { text };
            let (text, pattern): (Vec<char>, Vec<char>) =
                (fold(text).chars().collect(), fold(pattern).chars().collect());
            matches(&text, &pattern).into()
        }
        (Held::Null, _) | (_, Held::Null) => UNKNOWN,
        _ => FAILURE,
    })
}

/// By trying everything.
fn matches(text: &[char], pattern: &[char]) -> bool {
    match pattern {
        [] => text.is_empty(),
        ['%', rest @ ..] => (0..=text.len()).any(|skipped| matches(&text[skipped..], rest)),
        ['_', rest @ ..] => !text.is_empty() && matches(&text[1..], rest),
        ['[', rest @ ..] if set(rest).is_some() => {
            let Some((negated, members, rest)) = set(rest) else { return false };
            let Some((first, text)) = text.split_first() else { return false };
            in_set(*first, members) != negated && matches(text, rest)
        }
        [literal, rest @ ..] => text.first() == Some(literal) && matches(&text[1..], rest),
    }
}

/// Whether a set excludes its members, these, and what follows it.
fn set(pattern: &[char]) -> Option<(bool, &[char], &[char])> {
    let negated = pattern.first() == Some(&'^');
    let members = &pattern[usize::from(negated)..];
    // one directly behind the opening is a member
    let end = 1 + members.get(1..)?.iter().position(|c| *c == ']')?;
    Some((negated, &members[..end], &members[end + 1..]))
}

fn in_set(c: char, members: &[char]) -> bool {
    match members {
        [] => false,
        [from, '-', to, rest @ ..] => (*from <= c && c <= *to) || in_set(c, rest),
        [member, rest @ ..] => *member == c || in_set(c, rest),
    }
}
