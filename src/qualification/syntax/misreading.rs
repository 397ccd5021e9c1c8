//! What is said of tokens that make no condition together.

use super::parse::{Either, Parsed, Parser};
use super::refusal::{fault, piece};
use super::token::{Sign, Token};
use crate::qualification::fault::Fault;
use crate::qualification::tree::{Condition, Operand};
use std::ops::Range;

impl Parser<'_> {
    pub(crate) fn piece(&self, place: &Range<usize>) -> String {
        piece(self.text, place)
    }

    pub(crate) fn following(&self, steps: usize) -> &Token {
        &self.tokens[(self.at + steps).min(self.tokens.len() - 1)]
    }

    pub(crate) fn previous(&self) -> Option<&Token> {
        self.at.checked_sub(1).map(|at| &self.tokens[at])
    }

    pub(crate) fn says(&self, token: &Token, words: &[&str]) -> bool {
        let said = &self.text[token.place.clone()];
        words.iter().any(|word| word.eq_ignore_ascii_case(said))
    }

    /// The next token does not go on from what was read.
    pub(crate) fn misplaced(&self, left: &Parsed) -> Fault {
        let token = self.token();
        let place = token.place.clone();
        match &token.sign {
            Sign::Wrong(fault) => fault.clone(),
            Sign::Close => {
                fault(place, "this bracket closes none", "leave it out, or open one before it with (")
            }
            Sign::Comma => fault(
                place,
                "a comma stands only in the list of IN (…)",
                "write AND or OR between conditions",
            ),
            Sign::Not if matches!(left.reading, Either::Value(_)) => self.not_behind(left),
            Sign::Word => self.word_behind(left),
            _ => self.unconnected(left),
        }
    }

    /// Two things side by side.
    fn unconnected(&self, left: &Parsed) -> Fault {
        let next = self.token().place.clone();
        match &left.reading {
            Either::Condition(_) => fault(
                next,
                format!("AND or OR is missing behind {}", self.piece(&left.place)),
                "write one before this",
            ),
            Either::Value(_) => {
                let (one, other) = (self.piece(&left.place), self.piece(&next));
                let remedy = match self.token().sign {
                    Sign::Open => "write one of = != < <= > >= LIKE IN".to_owned(),
                    _ => format!("write one of = != < <= > >= LIKE: {one} = {other}"),
                };
                fault(next, format!("an operator is missing between {one} and {other}"), remedy)
            }
        }
    }

    /// The next token begins no condition and no value.
    pub(crate) fn no_operand(&self) -> Fault {
        let token = self.token();
        let place = token.place.clone();
        if let Sign::Wrong(fault) = &token.sign {
            return fault.clone();
        }
        if token.sign == Sign::Word {
            return if self.previous_is_dashes() { self.comment() } else { self.unquoted() };
        }
        if token.sign == Sign::End && self.previous_is_dashes() {
            return self.comment();
        }
        let said = self.piece(&place);
        let Some(previous) = self.previous() else {
            return match token.sign {
                Sign::Plus => fault(place, "a condition does not begin with +", "leave it out"),
                Sign::Close => {
                    fault(place, "this bracket closes none", "leave it out, or open one before it with (")
                }
                _ => fault(
                    place,
                    format!("there is nothing on the left of {said}"),
                    format!("write a condition or a value before it: 'Status' {said} …"),
                ),
            };
        };
        let before = self.piece(&previous.place);
        let both = previous.place.start..place.end;
        match (&previous.sign, &token.sign) {
            (Sign::Open, Sign::Close) => fault(
                both,
                "there is nothing between these brackets",
                "write a condition or a value between them, or leave them out",
            ),
            (Sign::Open, Sign::End) => fault(
                previous.place.clone(),
                "this bracket is not closed",
                "write a condition or a value behind it, and ) where it ends",
            ),
            (_, Sign::Plus) => fault(
                place,
                format!("there is nothing between {before} and +"),
                "numbers have no plus sign before them: leave it out",
            ),
            (Sign::Relation(_), Sign::Relation(_)) => fault(
                both,
                format!("there is nothing between {before} and {said}"),
                "the operators are = != < <= > >= LIKE, each in one piece",
            ),
            (Sign::Not, Sign::Relation(operator)) if operator.as_str() == "=" => {
                fault(both, "there is a blank in !=", "write != in one piece")
            }
            (Sign::Not, Sign::Relation(_) | Sign::In) => fault(
                both,
                format!("there is nothing between {before} and {said}"),
                format!("write the value between them: NOT 'Status' {said} …"),
            ),
            (Sign::Star, Sign::Star) => {
                fault(both, "there is no ** in a condition", "write the multiplication out")
            }
            (Sign::Comma, Sign::Close) => fault(
                previous.place.clone(),
                "there is nothing behind this comma",
                "leave it out, or write one more value",
            ),
            (Sign::And | Sign::Or | Sign::Not, Sign::End | Sign::Close) => fault(
                place,
                format!("there is nothing on the right of {before}"),
                "write a condition there, or leave the word out",
            ),
            (_, Sign::End | Sign::Close) => fault(
                place,
                format!("there is nothing on the right of {before}"),
                "write a value there: \"New\", 7, 'Status' or $NULL$",
            ),
            _ => fault(
                place,
                format!("there is nothing between {before} and {said}"),
                "write a condition or a value between them",
            ),
        }
    }

    /// A value where a condition has to be.
    pub(crate) fn bare(&self, parsed: &Parsed) -> Fault {
        if !matches!(self.token().sign, Sign::End | Sign::And | Sign::Or | Sign::Close | Sign::Comma) {
            return self.misplaced(parsed);
        }
        let said = self.piece(&parsed.place);
        let place = parsed.place.clone();
        match &parsed.reading {
            Either::Value(value) => match **value {
                Operand::Reference(_) => fault(
                    place,
                    format!("the field {said} alone is no condition"),
                    format!("write what it is compared with: {said} = \"New\", or {said} != $NULL$"),
                ),
                _ => fault(
                    place,
                    format!("the value {said} alone is no condition"),
                    format!("write what it is compared with: 'Status' = {said}"),
                ),
            },
            Either::Condition(_) => self.no_value(parsed),
        }
    }

    /// A condition where a value has to be.
    pub(crate) fn no_value(&self, parsed: &Parsed) -> Fault {
        let message = format!("{} is a condition, and a value is needed here", self.piece(&parsed.place));
        fault(
            parsed.place.clone(),
            message,
            "conditions are connected by AND, OR and NOT; they are not compared or reckoned with",
        )
    }

    /// `1 < 2 < 3`.
    pub(crate) fn chained(&self, relation: &Parsed) -> Fault {
        let operator = self.piece(&self.token().place);
        let middle = match &relation.reading {
            Either::Condition(condition) => match &**condition {
                Condition::Relation { right, .. } => self.piece(&right.place()),
                _ => "…".to_owned(),
            },
            Either::Value(_) => "…".to_owned(),
        };
        let message = format!("{operator} cannot go on behind {}", self.piece(&relation.place));
        fault(self.token().place.clone(), message, format!("write AND {middle} {operator} …"))
    }

    /// IN without brackets.
    pub(crate) fn no_list(&self, start: usize) -> Fault {
        if let Sign::Wrong(fault) = &self.token().sign {
            return fault.clone();
        }
        let end = self.previous().map_or(start, |previous| previous.place.end);
        fault(
            end..self.token().place.start.max(end),
            "the list of IN stands in brackets",
            "write IN (\"New\", \"Assigned\")",
        )
    }

    /// `IN ()`.
    pub(crate) fn empty_list(&self, open: Range<usize>) -> Fault {
        fault(
            open.start..self.token().place.end,
            "the list of IN is empty",
            "write at least one value: IN (\"New\")",
        )
    }

    /// Something else behind an element of a list.
    pub(crate) fn no_element(&self, element: &Parsed) -> Fault {
        match &self.token().sign {
            Sign::And | Sign::Or | Sign::Relation(_) | Sign::In | Sign::Changed => {
                let message = format!("{} cannot stand in the list of IN", self.piece(&self.token().place));
                fault(
                    self.token().place.clone(),
                    message,
                    "write values with commas between them, and ) behind the last",
                )
            }
            Sign::Text(_) | Sign::Field(_) | Sign::Number | Sign::Dollar => {
                let message = format!("a comma is missing behind {}", self.piece(&element.place));
                fault(self.token().place.clone(), message, "write one before this")
            }
            _ => self.misplaced(element),
        }
    }

    /// CHANGED behind something that is no field.
    pub(crate) fn no_field_changed(&self, place: Range<usize>) -> Fault {
        let message = format!("CHANGED asks about a field, and {} is none", self.piece(&place));
        fault(place, message, "write 'Status' CHANGED")
    }

    /// EXTERNAL or CHANGED, from `start` on, without a field in brackets.
    pub(crate) fn no_bracketed_field(&self, start: usize) -> Fault {
        if let Sign::Wrong(fault) = &self.token().sign {
            return fault.clone();
        }
        let word = self.text[start..]
            .chars()
            .take_while(char::is_ascii_alphabetic)
            .collect::<String>()
            .to_ascii_uppercase();
        let end = self.previous().map_or(start, |previous| previous.place.end);
        let place = if self.token().sign == Sign::End { start..end } else { self.token().place.clone() };
        let remedy = match word.as_str() {
            "CHANGED" => {
                "write CHANGED('Status'); for several fields, CHANGED('Status') OR CHANGED('Priority')"
            }
            _ => "write EXTERNAL('Field')",
        };
        fault(place, format!("{word} is followed by one field in brackets"), remedy)
    }

    /// Whether the two tokens before are `--`, in one piece.
    pub(crate) fn previous_is_dashes(&self) -> bool {
        self.at >= 2
            && matches!(&self.tokens[self.at - 2..self.at], [one, other]
                if one.sign == Sign::Minus && other.sign == Sign::Minus && one.place.end == other.place.start)
    }

    pub(crate) fn comment(&self) -> Fault {
        let start = self.tokens[self.at - 2].place.start;
        fault(start..start + 2, "a condition has no comments", "leave it out")
    }
}
