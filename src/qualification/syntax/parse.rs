//! Tokens become a tree.
//!
//! One pass, operators by their power. A bracket can open a condition or a value, and which of them shows only
//! behind it; so every reading is an `Either` until something asks for one of the two. Nothing is read twice.

use super::refusal;
use super::token::{Sign, Token, tokens};
use crate::qualification::fault::Fault;
use crate::qualification::tree::{Arithmetic, Condition, Operand, Operator, Reference};
use std::ops::Range;

/// How deep brackets, NOT and unary minus may lie in each other.
pub(crate) const DEPTH_MAX: usize = 64;

/// The tree of a text; none for a blank one.
pub(crate) fn parse(text: &str) -> Result<Option<Condition>, Box<Fault>> {
    let tokens = tokens(text)?;
    let mut parser = Parser { text, tokens, at: 0, depth: 0 };
    if parser.sign() == &Sign::End {
        return Ok(None);
    }
    let whole = parser.expression(Power::Or)?;
    if parser.sign() != &Sign::End {
        return Err(parser.misplaced(&whole).into());
    }
    parser.condition(whole).map(|condition| Some(*condition))
}

/// How strongly operators hold what stands beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Power {
    Or,
    And,
    Relation,
    Sum,
    Product,
    Unary,
}

/// What was read, brackets included in its place.
pub(crate) struct Parsed {
    pub(crate) reading: Either,
    pub(crate) place: Range<usize>,
}

// boxed, so that the frames of the recursion stay small
pub(crate) enum Either {
    Condition(Box<Condition>),
    Value(Box<Operand>),
}

impl Parsed {
    fn value(value: Operand) -> Self {
        Self { place: value.place(), reading: Either::Value(Box::new(value)) }
    }

    fn condition(condition: Condition, place: Range<usize>) -> Self {
        Self { reading: Either::Condition(Box::new(condition)), place }
    }
}

pub(crate) struct Parser<'a> {
    pub(crate) text: &'a str,
    pub(crate) tokens: Vec<Token>,
    /// The next token.
    pub(crate) at: usize,
    depth: usize,
}

impl Parser<'_> {
    /// The next token, which is not taken.
    pub(crate) fn token(&self) -> &Token {
        // the last token is an end, and ends are not taken
        &self.tokens[self.at]
    }

    fn sign(&self) -> &Sign {
        &self.token().sign
    }

    /// Takes the next token; ends stay.
    fn take(&mut self) -> Range<usize> {
        let place = self.token().place.clone();
        if self.at + 1 < self.tokens.len() {
            self.at += 1;
        }
        place
    }

    fn take_if(&mut self, sign: &Sign) -> bool {
        let next = self.sign() == sign;
        if next {
            self.take();
        }
        next
    }

    /// Takes `word` if it stands here.
    fn take_word(&mut self, word: &str) -> bool {
        let token = self.token();
        let next = token.sign == Sign::Word && self.text[token.place.clone()].eq_ignore_ascii_case(word);
        if next {
            self.take();
        }
        next
    }

    /// Reads as far as operators hold at least as strongly as `least`.
    fn expression(&mut self, least: Power) -> Result<Parsed, Box<Fault>> {
        let mut left = self.prefix()?;
        while let Some(power) = infix(self.sign()).filter(|power| *power >= least) {
            left = match power {
                Power::Or | Power::And => self.connection(left, power)?,
                Power::Relation => self.relation(left)?,
                Power::Sum | Power::Product | Power::Unary => self.arithmetic(left, power)?,
            };
        }
        Ok(left)
    }

    fn connection(&mut self, left: Parsed, power: Power) -> Result<Parsed, Box<Fault>> {
        let start = left.place.start;
        let left = self.condition(left)?;
        self.take();
        let right = self.expression(if power == Power::Or { Power::And } else { Power::Relation })?;
        let place = start..right.place.end;
        let right = self.condition(right)?;
        let connect = if power == Power::Or { Condition::Or } else { Condition::And };
        Ok(Parsed::condition(connect(left, right), place))
    }

    fn arithmetic(&mut self, left: Parsed, power: Power) -> Result<Parsed, Box<Fault>> {
        let operator = match self.sign() {
            Sign::Plus => Arithmetic::Add,
            Sign::Minus => Arithmetic::Subtract,
            Sign::Star => Arithmetic::Multiply,
            Sign::Slash => Arithmetic::Divide,
            _ => Arithmetic::Modulo,
        };
        let start = left.place.start;
        let left = self.value(left)?;
        self.take();
        let right = self.expression(if power == Power::Sum { Power::Product } else { Power::Unary })?;
        let place = start..right.place.end;
        let right = self.value(right)?;
        Ok(Parsed::value(Operand::Arithmetic { left, operator, right, place }))
    }

    /// What asks something of the value on its left. It does not chain.
    fn relation(&mut self, left: Parsed) -> Result<Parsed, Box<Fault>> {
        let relation = match self.sign() {
            Sign::Changed => self.changed_behind(left),
            Sign::In => self.list(left),
            Sign::Relation(operator) => {
                let operator = *operator;
                self.comparison(left, operator)
            }
            _ => return Ok(left),
        }?;
        if matches!(self.sign(), Sign::Relation(_) | Sign::In | Sign::Changed) {
            return Err(self.chained(&relation).into());
        }
        Ok(relation)
    }

    fn comparison(&mut self, left: Parsed, operator: Operator) -> Result<Parsed, Box<Fault>> {
        let start = left.place.start;
        let left = self.value(left)?;
        self.take();
        let right = self.expression(Power::Sum)?;
        let place = start..right.place.end;
        let right = self.value(right)?;
        let relation = Condition::Relation { left: *left, operator, right: *right, place: place.clone() };
        Ok(Parsed::condition(relation, place))
    }

    /// `value IN (a, b)`.
    fn list(&mut self, value: Parsed) -> Result<Parsed, Box<Fault>> {
        let start = value.place.start;
        let value = self.value(value)?;
        self.take();
        let open = self.token().place.clone();
        if !self.take_if(&Sign::Open) {
            return Err(self.no_list(start).into());
        }
        if self.sign() == &Sign::Close {
            return Err(self.empty_list(open).into());
        }
        self.deeper(&open)?;
        let mut list = Vec::new();
        loop {
            let element = self.expression(Power::Sum)?;
            match self.sign() {
                Sign::Comma | Sign::Close => {}
                Sign::End => return Err(refusal::unclosed(open).into()),
                _ => return Err(self.no_element(&element).into()),
            }
            list.push(*self.value(element)?);
            let end = self.token().place.end;
            if self.take_if(&Sign::Close) {
                self.depth -= 1;
                let place = start..end;
                return Ok(Parsed::condition(
                    Condition::In { value: *value, list, place: place.clone() },
                    place,
                ));
            }
            self.take();
        }
    }

    /// `'F' CHANGED FROM x TO y`.
    fn changed_behind(&mut self, field: Parsed) -> Result<Parsed, Box<Fault>> {
        let start = field.place.start;
        let field = match field.reading {
            Either::Value(value) => match *value {
                Operand::Reference(reference) => reference,
                _ => return Err(self.no_field_changed(field.place).into()),
            },
            Either::Condition(_) => return Err(self.no_field_changed(field.place).into()),
        };
        let mut end = self.take().end;
        let from = if self.take_word("FROM") { Some(self.sum(&mut end)?) } else { None };
        let to = if self.take_word("TO") { Some(self.sum(&mut end)?) } else { None };
        let place = start..end;
        Ok(Parsed::condition(Condition::Changed { field, from, to, place: place.clone() }, place))
    }

    fn sum(&mut self, end: &mut usize) -> Result<Operand, Box<Fault>> {
        let sum = self.expression(Power::Sum)?;
        *end = sum.place.end;
        self.value(sum).map(|value| *value)
    }

    /// What begins an expression.
    fn prefix(&mut self) -> Result<Parsed, Box<Fault>> {
        let place = self.token().place.clone();
        match self.sign() {
            Sign::Not => self.not(&place),
            Sign::Minus => self.negation(&place),
            Sign::Open => self.bracket(&place),
            Sign::External | Sign::Changed => self.about_a_field(),
            Sign::Field(_) | Sign::Text(_) | Sign::Number | Sign::Dollar => Ok(self.primary()),
            _ => Err(self.no_operand().into()),
        }
    }

    fn primary(&mut self) -> Parsed {
        let place = self.token().place.clone();
        let text = &self.text[place.clone()];
        let value = match self.sign() {
            Sign::Field(name) => Operand::Reference(Reference { name: name.clone(), place }),
            Sign::Text(content) => Operand::Text { text: content.clone(), place },
            Sign::Dollar => Operand::Dollar { name: text[1..text.len() - 1].to_owned(), place },
            _ => Operand::Number { text: text.to_owned(), place },
        };
        self.take();
        Parsed::value(value)
    }

    fn not(&mut self, place: &Range<usize>) -> Result<Parsed, Box<Fault>> {
        self.deeper(place)?;
        self.take();
        let condition = self.expression(Power::Relation)?;
        self.depth -= 1;
        let place = place.start..condition.place.end;
        let condition = self.condition(condition)?;
        Ok(Parsed::condition(Condition::Not(condition), place))
    }

    fn negation(&mut self, place: &Range<usize>) -> Result<Parsed, Box<Fault>> {
        self.deeper(place)?;
        self.take();
        let operand = self.expression(Power::Unary)?;
        self.depth -= 1;
        let place = place.start..operand.place.end;
        let operand = self.value(operand)?;
        Ok(Parsed::value(Operand::Negate { operand, place }))
    }

    fn bracket(&mut self, open: &Range<usize>) -> Result<Parsed, Box<Fault>> {
        self.deeper(open)?;
        self.take();
        let mut inner = self.expression(Power::Or)?;
        match self.sign() {
            Sign::Close => {}
            Sign::End => return Err(refusal::unclosed(open.clone()).into()),
            _ => return Err(self.misplaced(&inner).into()),
        }
        self.depth -= 1;
        inner.place = open.start..self.take().end;
        Ok(inner)
    }

    /// `EXTERNAL('F')`, `CHANGED('F')`.
    fn about_a_field(&mut self) -> Result<Parsed, Box<Fault>> {
        let changed = self.sign() == &Sign::Changed;
        let start = self.take().start;
        let open = self.token().place.clone();
        if !self.take_if(&Sign::Open) {
            return Err(self.no_bracketed_field(start).into());
        }
        let token = self.token();
        let name = match &token.sign {
            Sign::Field(name) => name.clone(),
            Sign::Dollar if !changed => self.text[token.place.start + 1..token.place.end - 1].to_owned(),
            _ => return Err(self.no_bracketed_field(start).into()),
        };
        let reference = Reference { name, place: self.take() };
        match self.sign() {
            Sign::Close => {}
            Sign::End => return Err(refusal::unclosed(open).into()),
            _ => return Err(self.no_bracketed_field(start).into()),
        }
        let place = start..self.take().end;
        let condition = if changed {
            Condition::Changed { field: reference, from: None, to: None, place: place.clone() }
        } else {
            Condition::External { reference, place: place.clone() }
        };
        Ok(Parsed::condition(condition, place))
    }

    fn condition(&self, parsed: Parsed) -> Result<Box<Condition>, Box<Fault>> {
        match parsed.reading {
            Either::Condition(condition) => Ok(condition),
            Either::Value(_) => Err(self.bare(&parsed).into()),
        }
    }

    fn value(&self, parsed: Parsed) -> Result<Box<Operand>, Box<Fault>> {
        match parsed.reading {
            Either::Value(value) => Ok(value),
            Either::Condition(_) => Err(self.no_value(&parsed).into()),
        }
    }

    fn deeper(&mut self, place: &Range<usize>) -> Result<(), Box<Fault>> {
        if self.depth == DEPTH_MAX {
            return Err(refusal::too_deep(place.clone()).into());
        }
        self.depth += 1;
        Ok(())
    }
}

/// How strongly a sign holds what stands on both its sides; none if it is no operator.
fn infix(sign: &Sign) -> Option<Power> {
    match sign {
        Sign::Or => Some(Power::Or),
        Sign::And => Some(Power::And),
        Sign::Relation(_) | Sign::In | Sign::Changed => Some(Power::Relation),
        Sign::Plus | Sign::Minus => Some(Power::Sum),
        Sign::Star | Sign::Slash | Sign::Percent => Some(Power::Product),
        _ => None,
    }
}
