//! What can be judged and still is hardly meant: it would never be true, and nobody would be told. It is warned of.

use super::Binder;
use super::reference::resolve;
use super::typing::fault;
use crate::event::Verb;
use crate::qualification::keyword::Keyword;
use crate::qualification::like::fold;
use crate::qualification::program::Image;
use crate::qualification::tree::{Operand, Operator, quoted};
use crate::qualification::{Case, Purpose};
use std::ops::Range;

/// What `$OPERATION$` can be.
const OPERATIONS: [&str; 4] = ["CREATE", "SET", "MERGE", "DELETE"];

/// Other words for what happened, and the one for it here.
const OTHER_WORDS: [(&str, &str); 6] = [
    ("UPDATE", "SET"),
    ("MODIFY", "SET"),
    ("SET ALL", "SET"),
    ("INSERT", "CREATE"),
    ("SUBMIT", "CREATE"),
    ("UPSERT", "MERGE"),
];

const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

impl Binder<'_> {
    /// Looks at the two sides of a comparison.
    pub(super) fn doubt(&mut self, left: &Operand, operator: Operator, right: &Operand) {
        if let (Operand::Text { .. }, Operand::Text { .. }) = (left, right) {
            self.doubt_text_for_field(left);
            self.doubt_text_for_field(right);
        }
        for (one, other) in [(left, right), (right, left)] {
            self.doubt_text_for_keyword(one);
            if matches!(operator, Operator::Equal | Operator::NotEqual) {
                self.doubt_word(one, other);
            }
        }
    }

    /// `"Status" = "New"`: names of columns in double quotes are SQL.
    fn doubt_text_for_field(&mut self, operand: &Operand) {
        let Operand::Text { text, place } = operand else { return };
        if resolve(self.form, text).is_ok() {
            let message = format!("{text:?} is a text here, and no field");
            self.warnings.push(fault(place, message, format!("write {} for the field", quoted(text))));
        }
    }

    /// `"$USER$"`: within quotation marks nothing is put in its place.
    fn doubt_text_for_keyword(&mut self, operand: &Operand) {
        let Operand::Text { text, place } = operand else { return };
        let Some(name) = text.strip_prefix('$').and_then(|rest| rest.strip_suffix('$')) else { return };
        if Keyword::of(name).is_some() || resolve(self.form, name).is_ok() {
            let message = format!("{text:?} is a text here, and stands for nothing else");
            self.warnings.push(fault(place, message, format!("write {text} without quotation marks")));
        }
    }

    /// `$OPERATION$ = "UPDATE"`, `$WEEKDAY$ = "Sat"`.
    fn doubt_word(&mut self, keyword: &Operand, operand: &Operand) {
        let (Operand::Dollar { name, .. }, Operand::Text { text, place }) = (keyword, operand) else {
            return;
        };
        let words: &[&str] = match Keyword::of(name) {
            Some(Keyword::Operation) => &OPERATIONS,
            Some(Keyword::Weekday) => &WEEKDAYS,
            _ => return,
        };
        let folds = self.form.form.dialect.case == Case::Insensitive;
        if words.iter().any(|word| *word == text || (folds && fold(word) == fold(text))) {
            return;
        }
        let folded = fold(text);
        let other = OTHER_WORDS.iter().find(|(other, _)| words.len() == 4 && fold(other) == folded);
        let meant = other.map(|(_, word)| word).or_else(|| {
            let abbreviated = |word: &&&str| text.len() >= 3 && fold(word).starts_with(&*folded);
            words.iter().find(abbreviated)
        });
        let remedy = match meant {
            Some(word) => format!("write {word:?}"),
            None => format!("it is one of {}", words.join(", ")),
        };
        let message = format!("${}$ is never {text:?}", name.to_ascii_uppercase());
        self.warnings.push(fault(place, message, remedy));
    }

    /// `'DB.F'` where there are only creates, `'TR.F'` where there are only deletes.
    pub(super) fn doubt_image(&mut self, image: Image, name: &str, place: &Range<usize>) {
        let Purpose::Webhook(verbs) = self.purpose else { return };
        let only = |verb| !verbs.is_empty() && verbs.iter().all(|one| *one == verb);
        let what = match image {
            Image::Database if only(Verb::Create) => "NULL on create, which has no row before",
            Image::Transaction if only(Verb::Delete) => "NULL on delete, which has no row after",
            _ => return,
        };
        let message = format!("{} is {what}", quoted(name));
        let remedy = "listen to other events as well, or leave TR. and DB. out".to_owned();
        self.warnings.push(fault(place, message, remedy));
    }
}
