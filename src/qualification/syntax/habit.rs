//! What is said of words and orders of words that other languages have.

use super::parse::{Either, Parsed, Parser};
use super::refusal::fault;
use super::token::Sign;
use crate::qualification::fault::Fault;
use crate::qualification::keyword::Keyword;

impl Parser<'_> {
    /// `'F' NOT LIKE`, `'F' !IN`.
    pub(crate) fn not_behind(&self, left: &Parsed) -> Fault {
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
    pub(crate) fn word_behind(&self, left: &Parsed) -> Fault {
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
    fn is(&self, value: &str) -> Fault {
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

    /// A word where a value could stand.
    pub(crate) fn unquoted(&self) -> Fault {
        let first = self.token().place.clone();
        let word = self.piece(&first);
        let upper = word.to_ascii_uppercase();
        let is_clause = ["WHERE", "IF", "WHEN", "SELECT", "EXISTS", "CASE"].contains(&upper.as_str());
        if self.following(1).sign == Sign::Open && !is_clause {
            let message = format!("{word}(…) is a function, and conditions have none");
            return fault(first, message, in_place_of(&upper).unwrap_or(COMPARE));
        }
        if CLOCKS.contains(&upper.as_str()) {
            let remedy = in_place_of(&upper).unwrap_or(COMPARE);
            return fault(first, format!("there is no {word} in a condition"), remedy);
        }
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
        let remedy = match (Keyword::names().any(|name| name == upper), compared) {
            (true, _) => {
                format!("write ${upper}$ for the keyword, '{name}' for a field, \"{name}\" for a text")
            }
            (false, true) => format!("write \"{name}\" for a text, '{name}' for a field"),
            (false, false) => format!("write '{name}': names of fields stand between single quotation marks"),
        };
        fault(place, message, remedy)
    }
}

/// What is said of a function that nothing else is known of.
const COMPARE: &str =
    "compare the field itself: 'Status' = \"New\"; LIKE and arithmetic are all that is done to values";

/// Functions of SQL that need no brackets.
const CLOCKS: [&str; 6] =
    ["CURRENT_DATE", "CURRENT_TIME", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP", "SYSDATE"];

/// What conditions have where other languages have a function.
fn in_place_of(function: &str) -> Option<&'static str> {
    Some(match function {
        "CLOCK_TIMESTAMP"
        | "CURRENT_TIMESTAMP"
        | "GETDATE"
        | "LOCALTIMESTAMP"
        | "NOW"
        | "SYSDATE"
        | "TRANSACTION_TIMESTAMP" => "write $TIMESTAMP$; a day before is $TIMESTAMP$ - 24 * 60 * 60",
        "CURDATE" | "CURRENT_DATE" | "TODAY" => "write $DATE$",
        "CURRENT_TIME" | "CURTIME" | "LOCALTIME" => "write $TIME$",
        "AGE" | "DATEADD" | "DATEDIFF" | "DATE_ADD" | "DATE_PART" | "DATE_SUB" | "DATE_TRUNC" | "EXTRACT" => {
            "times are reckoned in seconds: 'Create Date' > $TIMESTAMP$ - 24 * 60 * 60"
        }
        "LCASE" | "LOWER" | "UCASE" | "UPPER" => {
            "letter case is left aside with case = \"insensitive\" in [source], or for some letters with \
             LIKE \"[Nn]ew%\""
        }
        "COALESCE" | "IFNULL" | "ISNULL" | "NVL" => {
            "say what becomes of NULL: 'Status' = \"New\" OR 'Status' = $NULL$"
        }
        "CHARINDEX" | "INSTR" | "LEFT" | "POSITION" | "RIGHT" | "STRPOS" | "SUBSTR" | "SUBSTRING" => {
            "write LIKE; % stands for any characters, _ for one"
        }
        _ => return None,
    })
}
