//! What is said of tokens that make no condition together.

use super::fault::Fault;
use super::parse::{Either, Parsed, Parser};
use super::refusal::{fault, piece};
use super::token::{Sign, Token};
use super::tree::{Condition, Operand};
use std::ops::Range;

/// Keywords that are often written without their dollar signs.
const KEYWORDS: [&str; 14] = [
    "DATE",
    "DATABASE",
    "GROUPS",
    "OPERATION",
    "ROLES",
    "SCHEMA",
    "SERVER",
    "SERVERTIMESTAMP",
    "TIME",
    "TIMESTAMP",
    "USER",
    "VERSION",
    "WEEKDAY",
    "DEFAULT",
];

impl Parser<'_> {
    fn piece(&self, place: &Range<usize>) -> String {
        piece(self.text, place)
    }

    fn following(&self, steps: usize) -> &Token {
        &self.tokens[(self.at + steps).min(self.tokens.len() - 1)]
    }

    fn previous(&self) -> Option<&Token> {
        self.at.checked_sub(1).map(|at| &self.tokens[at])
    }

    fn says(&self, token: &Token, words: &[&str]) -> bool {
        let said = &self.text[token.place.clone()];
        words.iter().any(|word| word.eq_ignore_ascii_case(said))
    }

    /// The next token does not go on from what was read.
    pub(super) fn misplaced(&self, left: &Parsed) -> Box<Fault> {
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
    fn unconnected(&self, left: &Parsed) -> Box<Fault> {
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

    /// `'F' NOT LIKE`, `'F' !IN`.
    fn not_behind(&self, left: &Parsed) -> Box<Fault> {
        let (not, next) = (self.token(), self.following(1));
        let value = self.piece(&left.place);
        let both = not.place.start..next.place.end;
        let said = self.piece(&both);
        let message = format!("NOT stands before what it denies, not behind {value}");
        match &next.sign {
            Sign::Relation(operator) => {
                let operator = operator.as_str();
                match operator {
                    "=" => fault(both, format!("there is no {said} in a condition"), "write !="),
                    _ => fault(both, message, format!("write NOT {value} {operator} …")),
                }
            }
            Sign::In => fault(both, message, format!("write NOT {value} IN (…)")),
            Sign::Changed => fault(both, message, format!("write NOT {value} CHANGED")),
            _ if self.says(next, &["BETWEEN"]) => fault(
                both,
                "there is no BETWEEN in a condition",
                format!("write ({value} < … OR {value} > …)"),
            ),
            _ if self.says(next, &["NULL"]) => {
                fault(both, "there is no NOT NULL in a condition", format!("write {value} != $NULL$"))
            }
            _ => fault(
                not.place.clone(),
                message,
                "write it before the whole comparison: NOT 'Status' = \"New\"",
            ),
        }
    }

    /// A word where an operator could stand.
    fn word_behind(&self, left: &Parsed) -> Box<Fault> {
        let token = self.token();
        let place = token.place.clone();
        let word = self.piece(&place);
        if let Some(previous) = self.previous().filter(|previous| previous.place.end == place.start) {
            match previous.sign {
                Sign::Text(_) => {
                    let message = format!("the text ends before {word}");
                    return fault(
                        place,
                        message,
                        "a quotation mark that belongs to the text is written twice: \"\"",
                    );
                }
                Sign::Field(_) => {
                    let message = format!("the field name ends before {word}");
                    return fault(
                        place,
                        message,
                        "a quotation mark that belongs to the name is written twice: ''",
                    );
                }
                Sign::Number => {
                    let message = format!("the number ends before {word}");
                    return fault(place, message, "texts stand between quotation marks: \"5d\"");
                }
                _ => {}
            }
        }
        if self.previous_is_dashes() {
            return self.comment();
        }
        let foreign =
            |remedy: String| fault(place.clone(), format!("there is no {word} in a condition"), remedy);
        let value = self.piece(&left.place);
        if matches!(left.reading, Either::Condition(_)) {
            return match word.to_ascii_uppercase().as_str() {
                "FROM" | "TO" => fault(
                    place,
                    format!("{word} belongs behind CHANGED"),
                    "write 'Status' CHANGED FROM \"New\" TO \"Closed\", in this order",
                ),
                "XOR" => foreign("write (a AND NOT b) OR (b AND NOT a)".to_owned()),
                _ => fault(
                    place,
                    format!("AND or OR is missing before {word}"),
                    "write one of them; names of fields stand between quotation marks: 'Status'",
                ),
            };
        }
        match word.to_ascii_uppercase().as_str() {
            "IS" => self.is(&value),
            "ISNULL" => foreign(format!("write {value} = $NULL$")),
            "NOTNULL" => foreign(format!("write {value} != $NULL$")),
            "BETWEEN" => foreign(format!("write {value} >= … AND {value} <= …")),
            "CONTAINS" | "MATCHES" => {
                foreign(format!("write {value} LIKE \"%…%\"; % stands for any characters"))
            }
            "STARTS" | "BEGINS" | "STARTSWITH" => {
                foreign(format!("write {value} LIKE \"…%\"; % stands for any characters"))
            }
            "ENDS" | "ENDSWITH" => foreign(format!("write {value} LIKE \"%…\"; % stands for any characters")),
            "ILIKE" | "SIMILAR" | "REGEXP" | "RLIKE" | "GLOB" => {
                foreign(format!("write {value} LIKE \"…\"; % stands for any characters"))
            }
            "EQ" | "EQUALS" => foreign(format!("write {value} = …")),
            "NE" => foreign(format!("write {value} != …")),
            "LT" => foreign(format!("write {value} < …")),
            "LE" => foreign(format!("write {value} <= …")),
            "GT" => foreign(format!("write {value} > …")),
            "GE" => foreign(format!("write {value} >= …")),
            "MOD" => foreign("write % for the rest of a division".to_owned()),
            "DIV" => foreign("write /".to_owned()),
            "HAS" if self.following(1).sign == Sign::Changed => foreign(format!("write {value} CHANGED")),
            "FROM" | "TO" => fault(
                place,
                format!("{word} belongs behind CHANGED"),
                format!("write {value} CHANGED {} …", word.to_ascii_uppercase()),
            ),
            _ => fault(
                place,
                format!("{word} is no operator"),
                "write one of = != < <= > >= LIKE IN; texts stand between quotation marks: \"New\"",
            ),
        }
    }

    /// `'F' IS NULL`, `'F' IS NOT NULL`, `'F' IS …`.
    fn is(&self, value: &str) -> Box<Fault> {
        let not = self.following(1).sign == Sign::Not;
        let null = self.following(if not { 2 } else { 1 });
        let operator = if not { "!=" } else { "=" };
        let start = self.token().place.start;
        if self.says(null, &["NULL", "EMPTY", "$NULL$"]) {
            let place = start..null.place.end;
            let message = format!("there is no {} in a condition", self.piece(&place));
            return fault(place, message, format!("write {value} {operator} $NULL$"));
        }
        let place = if not { start..self.following(1).place.end } else { self.token().place.clone() };
        let message = format!("there is no {} in a condition", self.piece(&place));
        fault(place, message, format!("write {value} {operator} …"))
    }

    /// The next token begins no condition and no value.
    pub(super) fn no_operand(&self) -> Box<Fault> {
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

    /// A word where a value could stand.
    fn unquoted(&self) -> Box<Fault> {
        let first = self.token().place.clone();
        let word = self.piece(&first);
        if self.following(1).sign == Sign::Open {
            let remedy = "compare the field itself: 'Status' = \"New\"; LIKE and arithmetic are all that is done to values";
            return fault(first, format!("{word}(…) is a function, and conditions have none"), remedy);
        }
        let upper = word.to_ascii_uppercase();
        let compared = self
            .previous()
            .is_some_and(|previous| matches!(previous.sign, Sign::Relation(_) | Sign::Comma | Sign::Word))
            || (self.at >= 2 && self.tokens[self.at - 2].sign == Sign::In);
        match upper.as_str() {
            "NULL" | "NIL" | "NONE" => {
                return fault(
                    first,
                    format!("there is no {word} in a condition"),
                    "write $NULL$: 'Status' = $NULL$",
                );
            }
            "TRUE" | "FALSE" if compared => {
                let number = u8::from(upper == "TRUE");
                let remedy = format!(
                    "a boolean field is a selection: write {number} or \"{}\"",
                    upper.to_ascii_lowercase()
                );
                return fault(first, format!("there is no {word} in a condition"), remedy);
            }
            "TRUE" => {
                return fault(
                    first,
                    "there is no TRUE in a condition",
                    "write 1 = 1, or leave the condition empty: that is always true",
                );
            }
            "FALSE" => return fault(first, "there is no FALSE in a condition", "write 1 = 2"),
            "WHERE" | "IF" | "WHEN" => {
                return fault(first, format!("a condition does not begin with {word}"), "leave it out");
            }
            "SELECT" | "EXISTS" | "CASE" => {
                return fault(
                    first,
                    format!("there is no {word} in a condition"),
                    "a condition asks about one entry, by its fields: 'Status' = \"New\"",
                );
            }
            _ => {}
        }
        // the name may have blanks
        let words =
            self.tokens[self.at..].iter().take_while(|token| matches!(token.sign, Sign::Word | Sign::Number));
        let place = first.start..words.last().map_or(first.end, |last| last.place.end);
        let name = self.piece(&place);
        let message = format!("{name} stands without quotation marks");
        let remedy = match (KEYWORDS.contains(&upper.as_str()), compared) {
            (true, _) => {
                format!("write ${upper}$ for the keyword, '{name}' for a field, \"{name}\" for a text")
            }
            (false, true) => format!("write \"{name}\" for a text, '{name}' for a field"),
            (false, false) => format!("write '{name}': names of fields stand between single quotation marks"),
        };
        fault(place, message, remedy)
    }

    /// A value where a condition has to be.
    pub(super) fn bare(&self, parsed: &Parsed) -> Box<Fault> {
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
    pub(super) fn no_value(&self, parsed: &Parsed) -> Box<Fault> {
        let message = format!("{} is a condition, and a value is needed here", self.piece(&parsed.place));
        fault(
            parsed.place.clone(),
            message,
            "conditions are connected by AND, OR and NOT; they are not compared or reckoned with",
        )
    }

    /// `1 < 2 < 3`.
    pub(super) fn chained(&self, relation: &Parsed) -> Box<Fault> {
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
    pub(super) fn no_list(&self, start: usize) -> Box<Fault> {
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
    pub(super) fn empty_list(&self, open: Range<usize>) -> Box<Fault> {
        fault(
            open.start..self.token().place.end,
            "the list of IN is empty",
            "write at least one value: IN (\"New\")",
        )
    }

    /// Something else behind an element of a list.
    pub(super) fn no_element(&self, element: &Parsed) -> Box<Fault> {
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
    pub(super) fn no_field_changed(&self, place: Range<usize>) -> Box<Fault> {
        let message = format!("CHANGED asks about a field, and {} is none", self.piece(&place));
        fault(place, message, "write 'Status' CHANGED")
    }

    /// EXTERNAL or CHANGED, from `start` on, without a field in brackets.
    pub(super) fn no_bracketed_field(&self, start: usize) -> Box<Fault> {
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
    fn previous_is_dashes(&self) -> bool {
        self.at >= 2
            && matches!(&self.tokens[self.at - 2..self.at], [one, other]
                if one.sign == Sign::Minus && other.sign == Sign::Minus && one.place.end == other.place.start)
    }

    fn comment(&self) -> Box<Fault> {
        let start = self.tokens[self.at - 2].place.start;
        fault(start..start + 2, "a condition has no comments", "leave it out")
    }
}
