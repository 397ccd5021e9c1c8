//! Which comparison made a condition come out as it did.

use crate::qualification::{Condition, Explained, Truth};
use std::ops::Range;

/// The place of the first comparison that decided: of a false AND the first part that is false, of an OR the first of
/// all of them, and so on inwards. None where the condition is empty or could not be judged.
pub(super) fn deciding(root: Option<&Condition>, parts: &[Explained]) -> Option<Range<usize>> {
    let root = root?;
    let verdict = verdict(root, parts)?;
    leaf(root, verdict, parts)
}

fn leaf(condition: &Condition, wanted: Truth, parts: &[Explained]) -> Option<Range<usize>> {
    match condition {
        Condition::And(left, right) | Condition::Or(left, right) => {
            let decides = |side: &Condition| verdict(side, parts) == Some(wanted);
            let side = if decides(left) { left } else { right };
            leaf(side, wanted, parts)
        }
        Condition::Not(inner) => leaf(inner, !wanted, parts),
        leaf => place(leaf).cloned(),
    }
}

/// What a condition comes to by its comparisons; none where one of those that matter could not be judged.
fn verdict(condition: &Condition, parts: &[Explained]) -> Option<Truth> {
    match condition {
        Condition::And(left, right) => match (verdict(left, parts), verdict(right, parts)) {
            (Some(Truth::False), _) | (_, Some(Truth::False)) => Some(Truth::False),
            (left, right) => Some(left?.and(right?)),
        },
        Condition::Or(left, right) => match (verdict(left, parts), verdict(right, parts)) {
            (Some(Truth::True), _) | (_, Some(Truth::True)) => Some(Truth::True),
            (left, right) => Some(left?.or(right?)),
        },
        Condition::Not(inner) => verdict(inner, parts).map(|truth| !truth),
        leaf => {
            let place = place(leaf)?;
            let part = parts.iter().find(|part| part.place == *place)?;
            part.verdict.as_ref().ok().copied()
        }
    }
}

fn place(condition: &Condition) -> Option<&Range<usize>> {
    match condition {
        Condition::Relation { place, .. }
        | Condition::In { place, .. }
        | Condition::Changed { place, .. }
        | Condition::External { place, .. } => Some(place),
        Condition::And(..) | Condition::Or(..) | Condition::Not(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::commands::condition::{bound, columns, made};
    use crate::change::OldRow;
    use crate::event::Verb;
    use crate::format::rows;
    use crate::qualification::Facts;
    use std::sync::Arc;

    #[track_caller]
    fn check(text: &str, wanted: &str) {
        let form = made::form("f", columns::read("a:integer,b:integer,c:integer").unwrap(), Arc::default());
        let bound = bound(&form, text, &[Verb::Create]).unwrap();
        let values = serde_json::from_str(r#"{"a": 1, "b": 2}"#).unwrap();
        let row = rows::row(&form, &values).unwrap();
        let facts = Facts {
            form: &form,
            verb: Verb::Create,
            old: &OldRow::Absent,
            new: Some(&row),
            committed_at_us: 0,
            user: None,
        };
        let place = deciding(bound.qualification().root(), &bound.explain(&facts)).unwrap();
        assert_eq!(&text[place], wanted, "{text}");
    }

    #[test]
    fn the_first_part_that_decides_is_named() {
        check("'a' = 1 AND 'b' = 3 AND 'c' = 1", "'b' = 3");
        check("'a' = 2 OR 'b' = 3", "'a' = 2");
        check("'a' = 1 AND ('a' = 2 OR 'b' = 3)", "'a' = 2");
        check("NOT ('a' = 2 OR 'b' = 2)", "'b' = 2");
        check("'a' = 1 AND 'c' = 1", "'c' = 1");
        check("1 / 0 = 1 AND 'b' IN (5, 6)", "'b' IN (5, 6)");
    }
}
