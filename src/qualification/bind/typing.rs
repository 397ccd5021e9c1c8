//! What operands are: which sides can meet in a comparison, and what becomes of the one that adapts.

use super::reference::{choice_number, part_of};
use crate::form::BoundForm;
use crate::qualification::like::{Pattern, fold};
use crate::qualification::number::Number;
use crate::qualification::program::{Clock, Field, Image, Shape, Term, Test, Value};
use crate::qualification::reckon::seconds;
use crate::qualification::time::{literal_date, literal_instant, literal_time};
use crate::qualification::tree::Operator;
use crate::qualification::{Case, Dialect, Fault, Phase, Truth};
use crate::value::Selection;
use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

/// An operand with what it is. Literals and the keywords of time are not settled before they meet something.
#[derive(Clone, Debug)]
pub(crate) struct Draft {
    pub(crate) sort: Sort,
    pub(crate) term: Term,
    pub(crate) place: Range<usize>,
}

/// What an operand is.
#[derive(Clone, Debug)]
pub(crate) enum Sort {
    /// `$NULL$` itself.
    Null,
    /// NULL whatever happens, but not the word: it is compared, not tested for.
    Nothing,
    /// A string literal.
    Quoted(String),
    /// A number literal, as it was written.
    Written {
        text: String,
        whole: bool,
    },
    Text {
        folds_case: bool,
        padded: bool,
    },
    Number {
        whole: bool,
    },
    Selection(Arc<Selection>),
    Temporal(Shape),
    /// `$TIMESTAMP$ - 60`: what it is depends on the other side.
    Moment {
        is_clock: bool,
    },
    /// An amount, with the name of its field.
    Amount(String),
    /// What only NULL can be asked of; the word says what it is.
    Opaque(&'static str),
}

impl Sort {
    /// How it is called in a fault.
    pub(crate) fn called(&self) -> &'static str {
        match self {
            Self::Null | Self::Nothing => "NULL",
            Self::Quoted(_) | Self::Text { .. } => "a text",
            Self::Written { .. } | Self::Number { .. } => "a number",
            Self::Selection(_) => "a selection",
            Self::Temporal(Shape::Instant) | Self::Moment { .. } => "a date/time",
            Self::Temporal(Shape::Date) => "a date",
            Self::Temporal(Shape::Time) => "a time of day",
            Self::Amount(_) => "an amount",
            Self::Opaque(what) => what,
        }
    }

    pub(crate) fn is_number(&self) -> bool {
        matches!(self, Self::Written { .. } | Self::Number { .. } | Self::Selection(_))
    }

    /// Whether it can be a number of seconds or days; a choice cannot.
    pub(crate) fn is_span(&self) -> bool {
        matches!(self, Self::Written { .. } | Self::Number { .. })
    }

    pub(crate) fn is_whole(&self) -> bool {
        match self {
            Self::Written { whole, .. } | Self::Number { whole } => *whole,
            Self::Selection(_) => true,
            _ => false,
        }
    }

    pub(crate) fn folds_case(&self) -> bool {
        matches!(self, Self::Text { folds_case: true, .. })
    }

    fn is_padded(&self) -> bool {
        matches!(self, Self::Text { padded: true, .. })
    }

    /// Of two sides the one with the higher rank says what both are.
    fn rank(&self) -> u8 {
        match self {
            Self::Amount(_) | Self::Opaque(_) => 8,
            Self::Temporal(_) => 7,
            Self::Moment { .. } => 6,
            Self::Text { .. } => 5,
            Self::Selection(_) => 4,
            Self::Number { .. } => 3,
            Self::Written { .. } => 2,
            Self::Quoted(_) => 1,
            Self::Null | Self::Nothing => 0,
        }
    }
}

/// What typing looks at.
#[derive(Clone, Copy)]
pub(crate) struct Typing<'a> {
    pub(crate) form: &'a BoundForm,
}

pub(crate) type Typed<T> = Result<T, Fault>;

pub(crate) fn fault(
    place: &Range<usize>,
    message: impl Into<String>,
    remedy: impl Into<Option<String>>,
) -> Fault {
    Fault { phase: Phase::Bind, place: place.clone(), message: message.into(), remedy: remedy.into() }
}

/// Whether a number literal counts as whole: written without a point, and without a fraction by its exponent.
pub(crate) fn written(text: &str, place: &Range<usize>) -> Typed<Draft> {
    let Some(number) = Number::read(text) else {
        return Err(fault(place, "the number is too long or its exponent too large", None));
    };
    let whole = !text.contains('.') && number.is_whole();
    let sort = Sort::Written { text: text.to_owned(), whole };
    Ok(Draft { sort, term: Term::Constant(Value::of_number(number)), place: place.clone() })
}

pub(crate) fn text_constant(text: impl Into<String>) -> Term {
    Term::Constant(Value::Text(Cow::Owned(text.into())))
}

pub(crate) fn quoted(text: &str, place: &Range<usize>) -> Draft {
    Draft { sort: Sort::Quoted(text.to_owned()), term: text_constant(text), place: place.clone() }
}

impl<'a> Typing<'a> {
    fn dialect(self) -> &'a Dialect {
        &self.form.form.dialect
    }

    /// A comparison of two operands.
    pub(crate) fn relation(
        self,
        left: Draft,
        operator: Operator,
        right: Draft,
        place: &Range<usize>,
    ) -> Typed<Test> {
        let is_test = matches!(operator, Operator::Equal | Operator::NotEqual);
        let wanted = operator == Operator::Equal;
        match (&left.sort, &right.sort) {
            (Sort::Null, _) if is_test => return Ok(absent(right, wanted)),
            (_, Sort::Null) if is_test => return Ok(absent(left, wanted)),
            (Sort::Null, _) | (_, Sort::Null) => return Ok(Test::Fixed(Truth::Unknown)),
            _ if operator == Operator::Like => return self.like(left, right, place),
            (Sort::Nothing, _) | (_, Sort::Nothing) => return Ok(Test::Fixed(Truth::Unknown)),
            _ => {}
        }
        match (&left.sort, &right.sort) {
            (Sort::Amount(name), Sort::Quoted(text)) | (Sort::Quoted(text), Sort::Amount(name))
                if is_test =>
            {
                let (field, literal) =
                    if matches!(left.sort, Sort::Amount(_)) { (&left, &right) } else { (&right, &left) };
                return self.amount(field, name, text, !wanted, &literal.place);
            }
            (Sort::Amount(name), _) | (_, Sort::Amount(name)) => {
                return Err(fault(
                    place,
                    format!(
                        "the amount '{name}' can only be compared as a whole: = and != with \"12.50 USD\" or $NULL$"
                    ),
                    format!("compare a part of it: '{name}.VALUE', '{name}.TYPE', '{name}.DATE'"),
                ));
            }
            (Sort::Opaque(what), _) | (_, Sort::Opaque(what)) => {
                let remedy = if *what == STATUS_HISTORY {
                    "compare a part of it: 'Status History.Closed.TIME', 'Status History.Closed.USER'"
                } else {
                    "write = $NULL$ or != $NULL$"
                };
                return Err(fault(
                    place,
                    format!("{what} cannot be compared, but with $NULL$"),
                    remedy.to_owned(),
                ));
            }
            _ => {}
        }
        let folds_case = self.folds(left.sort.folds_case() || right.sort.folds_case());
        let (left, right) = self.meet(left, right, place)?;
        let (left, right) = if folds_case { (folded(left), folded(right)) } else { (left, right) };
        Ok(Test::Compare { left, operator, right, folds_case })
    }

    /// Whether letter case is folded, where the database says that it does so.
    fn folds(self, in_database: bool) -> bool {
        match self.dialect().case {
            Case::Database => in_database,
            Case::Sensitive => false,
            Case::Insensitive => true,
        }
    }

    fn like(self, left: Draft, right: Draft, place: &Range<usize>) -> Typed<Test> {
        let folds_case = self.folds(left.sort.folds_case() || right.sort.folds_case());
        if !matches!(left.sort, Sort::Text { .. } | Sort::Quoted(_) | Sort::Nothing) {
            let remedy = match left.sort {
                Sort::Selection(_) => "compare with its labels: = \"New\", or IN (\"New\", \"Assigned\")",
                Sort::Amount(_) => "compare a part of it: .VALUE, .TYPE, .DATE",
                _ => "compare with =, !=, <, <=, > or >=",
            };
            return Err(fault(
                &left.place,
                format!("LIKE is for character and diary fields, and this is {}", left.sort.called()),
                remedy.to_owned(),
            ));
        }
        match &right.sort {
            Sort::Nothing => Ok(Test::Fixed(Truth::Unknown)),
            Sort::Quoted(pattern) | Sort::Written { text: pattern, .. } => {
                let pattern = Pattern::new(pattern, folds_case)
                    .ok_or_else(|| fault(&right.place, "the pattern of LIKE is too long", None))?;
                Ok(match left.sort {
                    Sort::Nothing => Test::Fixed(Truth::Unknown),
                    _ => Test::Like { term: left.term, pattern },
                })
            }
            Sort::Text { .. } => Ok(match left.sort {
                Sort::Nothing => Test::Fixed(Truth::Unknown),
                _ => Test::LikeOf { term: left.term, pattern: right.term, folds_case },
            }),
            other => Err(fault(
                if right.place.is_empty() { place } else { &right.place },
                format!("the pattern of LIKE is a text, and this is {}", other.called()),
                "write it in double quotation marks".to_owned(),
            )),
        }
    }

    /// `'Cost' = "12.50 USD"`.
    fn amount(
        self,
        field: &Draft,
        name: &str,
        text: &str,
        negated: bool,
        place: &Range<usize>,
    ) -> Typed<Test> {
        let bad = || {
            let remedy = "write the number, a blank and the three letters of the currency: \"12.50 USD\"";
            fault(place, format!("{text:?} is no amount"), remedy.to_owned())
        };
        let (number, currency) = text.trim().rsplit_once(char::is_whitespace).ok_or_else(bad)?;
        if currency.len() != 3 || !currency.bytes().all(|byte| byte.is_ascii_alphabetic()) {
            return Err(bad());
        }
        let wanted_value = Number::read(number.trim()).ok_or_else(bad)?;
        let Term::Field(whole) = &field.term else { return Err(bad()) };
        let part = |part: &str| {
            let (column, reading) = part_of(self.form, name, part).ok_or_else(bad)?;
            let image = if whole.image == Image::Transaction { Image::Current } else { whole.image };
            Ok(Field { image, column, reading, name: format!("{name}.{part}"), place: whole.place.clone() })
        };
        Ok(Test::Amount(Box::new(crate::qualification::program::Amount {
            if_changed: whole.image == Image::Transaction,
            value: part("VALUE")?,
            currency: part("TYPE")?,
            wanted_value,
            wanted_currency: currency.to_ascii_uppercase(),
            negated,
        })))
    }

    /// Both sides as values of one sort.
    fn meet(self, left: Draft, right: Draft, place: &Range<usize>) -> Typed<(Term, Term)> {
        let leads_left = left.sort.rank() >= right.sort.rank();
        let (leading, other) = if leads_left { (left, right) } else { (right, left) };
        let (leading, other) = match leading.sort.clone() {
            Sort::Temporal(shape) => {
                (leading.term, self.to_temporal(other, shape, leading.sort.called(), place)?)
            }
            Sort::Moment { is_clock } => {
                let shape = self.shape_for(&other, is_clock);
                let mut moment = leading.term;
                settle(&mut moment, shape);
                (moment, self.to_temporal(other, shape, leading.sort.called(), place)?)
            }
            sort @ Sort::Text { .. } => {
                let padded = sort.is_padded();
                (leading.term, to_text(other, padded, place)?)
            }
            Sort::Selection(selection) => (leading.term, to_choice(other, &selection, place)?),
            Sort::Number { .. } | Sort::Written { .. } => (leading.term, to_number(other)?.term),
            _ => (leading.term, other.term), // two string literals
        };
        Ok(if leads_left { (leading, other) } else { (other, leading) })
    }

    /// What a keyword of time is beside a literal or a number.
    fn shape_for(self, other: &Draft, is_clock: bool) -> Shape {
        match &other.sort {
            Sort::Quoted(text)
                if literal_instant(text, self.dialect()).is_none()
                    && literal_time(text, self.dialect()).is_some() =>
            {
                Shape::Time
            }
            sort if sort.is_span() && is_clock => Shape::Time,
            _ => Shape::Instant,
        }
    }

    fn to_temporal(self, draft: Draft, shape: Shape, called: &str, place: &Range<usize>) -> Typed<Term> {
        match draft.sort {
            Sort::Temporal(found) if found == shape => Ok(draft.term),
            Sort::Moment { .. } => {
                let mut term = draft.term;
                settle(&mut term, shape);
                Ok(term)
            }
            Sort::Quoted(text) => self
                .literal(&text, shape)
                .map(Term::Constant)
                .ok_or_else(|| bad_literal(&text, shape, &draft.place)),
            ref sort if sort.is_span() => match &draft.term {
                Term::Constant(Value::Number(number)) => seconds(number, shape, &self.dialect().time_zone)
                    .map(Term::Constant)
                    .map_err(|reason| fault(&draft.place, reason, None)),
                _ => Ok(Term::Seconds { term: Box::new(draft.term), shape, place: draft.place }),
            },
            sort => Err(clash(called, &sort, place)),
        }
    }

    pub(crate) fn literal(self, text: &str, shape: Shape) -> Option<Value<'static>> {
        match shape {
            Shape::Instant => literal_instant(text, self.dialect()).map(Value::Instant),
            Shape::Date => literal_date(text, self.dialect()).map(Value::Date),
            Shape::Time => literal_time(text, self.dialect()).map(Value::Time),
        }
    }
}

/// What a status history is called in faults.
pub(crate) const STATUS_HISTORY: &str = "a status history";

fn absent(draft: Draft, wanted: bool) -> Test {
    Test::Absent { term: draft.term, wanted }
}

fn folded(term: Term) -> Term {
    match term {
        Term::Constant(Value::Text(text)) => text_constant(fold(&text).into_owned()),
        term => term,
    }
}

/// Says what the keywords of time in a term are, but for those that have met something already.
pub(crate) fn settle(term: &mut Term, to: Shape) {
    match term {
        Term::Moment { shape, .. } => *shape = shape.or(Some(to)),
        Term::Chain { first, steps } => {
            settle(first, to);
            for step in steps {
                settle(&mut step.right, to);
            }
        }
        _ => {}
    }
}

fn to_text(draft: Draft, padded: bool, place: &Range<usize>) -> Typed<Term> {
    match draft.sort {
        Sort::Text { .. } => Ok(draft.term),
        Sort::Quoted(text) if padded => Ok(text_constant(text.trim_end_matches(' '))),
        Sort::Quoted(_) => Ok(draft.term),
        Sort::Written { text, .. } => Ok(text_constant(text)),
        sort => Err(clash("a text", &sort, place)),
    }
}

fn to_choice(draft: Draft, selection: &Selection, place: &Range<usize>) -> Typed<Term> {
    match &draft.sort {
        Sort::Quoted(label) => match choice_number(selection, label) {
            Ok(number) => Ok(Term::Constant(Value::of_number(Number::from_i64(number)))),
            Err(unresolved) => match Number::read(label) {
                Some(number) => Ok(Term::Constant(Value::of_number(number))),
                None => Err(fault(&draft.place, unresolved.message, unresolved.remedy)),
            },
        },
        sort if sort.is_number() => Ok(draft.term),
        sort => Err(clash("a selection", sort, place)),
    }
}

/// A number, also out of quotation marks.
pub(crate) fn to_number(draft: Draft) -> Typed<Draft> {
    match &draft.sort {
        Sort::Quoted(text) => written(text.trim(), &draft.place).map_err(|_| {
            let remedy = "write a number without quotation marks, or compare with a text field";
            fault(&draft.place, format!("{text:?} is no number, and beside it stands one"), remedy.to_owned())
        }),
        _ => Ok(draft),
    }
}

fn bad_literal(text: &str, shape: Shape, place: &Range<usize>) -> Fault {
    let (what, forms) = match shape {
        Shape::Instant => {
            ("date and time", "\"2024-06-12 09:30:00\", \"06/12/2024 9:30 AM\" or seconds since 1970")
        }
        Shape::Date => ("date", "\"2024-06-12\" or \"06/12/2024\""),
        Shape::Time => ("time of day", "\"09:30\", \"9:30:00 AM\" or seconds since midnight"),
    };
    fault(place, format!("{text:?} is no {what}"), format!("write {forms}"))
}

fn clash(one: &str, other: &Sort, place: &Range<usize>) -> Fault {
    let remedy = match (one, other) {
        ("a text", Sort::Number { .. }) => {
            "write the number in double quotation marks, or compare number fields"
        }
        ("a text", Sort::Selection(_)) => "compare the selection with a label: 'Status' = \"New\"",
        _ => "compare values of one type",
    };
    fault(place, format!("{one} cannot be compared with {}", other.called()), remedy.to_owned())
}

/// A keyword of time.
pub(crate) fn moment(which: Clock, place: &Range<usize>) -> Draft {
    let term = Term::Moment { which, shape: None };
    Draft { sort: Sort::Moment { is_clock: which == Clock::Time }, term, place: place.clone() }
}
