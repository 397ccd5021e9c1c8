//! Arithmetic in conditions: what an operation makes of what its operands are.

use super::typing::{Draft, Sort, Typed, Typing, fault, settle, text_constant, to_number};
use crate::qualification::Fault;
use crate::qualification::number::Number;
use crate::qualification::program::{Shape, Step, Term, Value};
use crate::qualification::reckon::reckon;
use crate::qualification::tree::Arithmetic;
use std::ops::Range;

impl Typing<'_> {
    /// `left operator right`, where `place` is of the whole.
    pub(crate) fn arithmetic(
        self,
        left: Draft,
        operator: Arithmetic,
        right: Draft,
        place: &Range<usize>,
    ) -> Typed<Draft> {
        if operator == Arithmetic::Add && joins(&left.sort, &right.sort) {
            return join(left, right, place);
        }
        let (mut left, mut right) = self.read_literals(left, operator, right)?;
        let is_additive = matches!(operator, Arithmetic::Add | Arithmetic::Subtract);
        let is_difference = operator == Arithmetic::Subtract;
        let sort = match (&left.sort, &right.sort) {
            (Sort::Null | Sort::Nothing, other) | (other, Sort::Null | Sort::Nothing)
                if other.is_number()
                    || matches!(other, Sort::Null | Sort::Nothing)
                    || (is_additive && matches!(other, Sort::Temporal(_) | Sort::Moment { .. })) =>
            {
                Sort::Nothing
            }
            (one, other) if one.is_number() && other.is_number() => {
                Sort::Number { whole: one.is_whole() && other.is_whole() }
            }
            (moment @ (Sort::Temporal(_) | Sort::Moment { .. }), other) if is_additive && other.is_span() => {
                moment.clone()
            }
            (other, moment @ (Sort::Temporal(_) | Sort::Moment { .. }))
                if operator == Arithmetic::Add && other.is_span() =>
            {
                moment.clone()
            }
            (Sort::Temporal(one), Sort::Temporal(other)) if is_difference && one == other => {
                Sort::Number { whole: true }
            }
            (Sort::Temporal(shape), Sort::Moment { .. }) if is_difference => {
                settle(&mut right.term, *shape);
                Sort::Number { whole: true }
            }
            (Sort::Moment { .. }, Sort::Temporal(shape)) if is_difference => {
                settle(&mut left.term, *shape);
                Sort::Number { whole: true }
            }
            (Sort::Moment { .. }, Sort::Moment { .. }) if is_difference => {
                settle(&mut left.term, Shape::Instant);
                settle(&mut right.term, Shape::Instant);
                Sort::Number { whole: true }
            }
            (one, other) => return Err(no_arithmetic(&left, one, operator, &right, other, place)),
        };
        let truncates = operator == Arithmetic::Divide && left.sort.is_whole() && right.sort.is_whole();
        let sort = match sort {
            Sort::Nothing => {
                return Ok(Draft { sort, term: Term::Constant(Value::Null), place: place.clone() });
            }
            sort => sort,
        };
        Ok(Draft {
            sort,
            term: chained(left.term, operator, right.term, truncates, place),
            place: place.clone(),
        })
    }

    /// String literals as what the other side of an operation makes of them.
    fn read_literals(self, left: Draft, operator: Arithmetic, right: Draft) -> Typed<(Draft, Draft)> {
        let temporal = |sort: &Sort| match sort {
            Sort::Temporal(shape) => Some(*shape),
            Sort::Moment { .. } => Some(Shape::Instant),
            _ => None,
        };
        let read = |draft: Draft, other: &Sort| -> Typed<Draft> {
            let Sort::Quoted(text) = &draft.sort else { return Ok(draft) };
            if operator == Arithmetic::Subtract
                && let Some(shape) = temporal(other)
                && let Some(value) = self.literal(text, shape)
            {
                return Ok(Draft {
                    sort: Sort::Temporal(shape),
                    term: Term::Constant(value),
                    place: draft.place,
                });
            }
            to_number(draft)
        };
        let left_sort = left.sort.clone();
        let left = read(left, &right.sort)?;
        Ok((left, read(right, &left_sort)?))
    }
}

/// `-operand`.
pub(crate) fn negate(operand: Draft, place: &Range<usize>) -> Typed<Draft> {
    let operand = if matches!(operand.sort, Sort::Quoted(_)) { to_number(operand)? } else { operand };
    let sort = match &operand.sort {
        Sort::Null | Sort::Nothing => Sort::Nothing,
        Sort::Written { text, whole } => Sort::Written {
            text: text.strip_prefix('-').map_or_else(|| format!("-{text}"), str::to_owned),
            whole: *whole,
        },
        sort if sort.is_number() => Sort::Number { whole: sort.is_whole() },
        sort => {
            let message = format!("only a number can be negated, and this is {}", sort.called());
            return Err(fault(&operand.place, message, None));
        }
    };
    let term = match operand.term {
        Term::Constant(Value::Number(number)) => Term::Constant(Value::of_number(number.negate())),
        Term::Constant(Value::Null) => Term::Constant(Value::Null),
        term => Term::Negate { term: Box::new(term), place: place.clone() },
    };
    Ok(Draft { sort, term, place: place.clone() })
}

/// Whether `+` joins texts: unless a string literal is a number beside one.
fn joins(left: &Sort, right: &Sort) -> bool {
    let is_text = |sort: &Sort| matches!(sort, Sort::Text { .. });
    let is_number = |sort: &Sort| sort.is_number();
    match (left, right) {
        (Sort::Quoted(_), Sort::Quoted(_)) => true,
        (Sort::Quoted(text), other) | (other, Sort::Quoted(text)) => {
            is_text(other)
                || (is_number(other) && Number::read(text.trim()).is_none())
                || matches!(other, Sort::Null | Sort::Nothing)
        }
        (one, other) => is_text(one) || is_text(other),
    }
}

fn join(left: Draft, right: Draft, place: &Range<usize>) -> Typed<Draft> {
    let folds_case = left.sort.folds_case() || right.sort.folds_case();
    let mut is_null = false;
    let mut part = |draft: Draft| match draft.sort {
        Sort::Written { text, .. } => Ok(text_constant(text)),
        Sort::Null | Sort::Nothing => {
            is_null = true;
            Ok(draft.term)
        }
        Sort::Text { .. } | Sort::Quoted(_) | Sort::Number { .. } | Sort::Selection(_) => Ok(draft.term),
        sort => Err(fault(
            place,
            format!("{} cannot be joined to a text", sort.called()),
            "join texts and numbers only".to_owned(),
        )),
    };
    let both_quoted = matches!((&left.sort, &right.sort), (Sort::Quoted(_), Sort::Quoted(_)));
    let (left, right) = (part(left)?, part(right)?);
    if is_null {
        return Ok(Draft { sort: Sort::Nothing, term: Term::Constant(Value::Null), place: place.clone() });
    }
    let term = chained(left, Arithmetic::Add, right, false, place);
    let sort = match &term {
        // two literals are one
        Term::Constant(Value::Text(text)) if both_quoted => Sort::Quoted(text.clone().into_owned()),
        _ => Sort::Text { folds_case, padded: false },
    };
    Ok(Draft { sort, term, place: place.clone() })
}

/// An operation behind a term; constants are reckoned at once, where nothing goes wrong.
fn chained(left: Term, operator: Arithmetic, right: Term, truncates: bool, place: &Range<usize>) -> Term {
    if let (Term::Constant(left), Term::Constant(right)) = (&left, &right)
        && let Ok(value) = reckon(left.clone(), operator, right.clone(), truncates)
    {
        return Term::Constant(value);
    }
    let step = Step { operator, right, truncates, place: place.clone() };
    match left {
        Term::Chain { first, mut steps } => {
            steps.push(step);
            Term::Chain { first, steps }
        }
        first => Term::Chain { first: Box::new(first), steps: vec![step] },
    }
}

fn no_arithmetic(
    left: &Draft,
    one: &Sort,
    operator: Arithmetic,
    right: &Draft,
    other: &Sort,
    place: &Range<usize>,
) -> Fault {
    let sign = operator.as_str();
    for (draft, sort) in [(left, one), (right, other)] {
        if matches!(sort, Sort::Text { .. }) {
            return fault(
                &draft.place,
                format!("{sign} reckons with numbers, and this is a text"),
                "use a number field; only + works on texts: it joins them".to_owned(),
            );
        }
        if matches!(sort, Sort::Amount(_)) {
            return fault(
                &draft.place,
                format!("{sign} cannot reckon with a whole amount"),
                "reckon with its value: '….VALUE'".to_owned(),
            );
        }
    }
    fault(
        place,
        format!("{} {sign} {} means nothing", one.called(), other.called()),
        "a number can be added to or taken from a date or time, and one moment from another".to_owned(),
    )
}
