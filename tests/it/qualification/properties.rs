//! What holds of every condition and of every text, tried with invented ones.

#[path = "../../../fuzz/targets.rs"]
pub(super) mod targets;

use super::trees;
use proptest::prelude::*;
use walhook::qualification::Qualification;

/// Pieces of conditions and of what people take for them.
const PIECES: [&str; 64] = [
    "'Status'",
    "'TR.Count'",
    "''",
    "'",
    "\"New\"",
    "\"",
    "\"\"",
    "1",
    ".5",
    "1.",
    "1e",
    "$NULL$",
    "$USER$",
    "$",
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "LIKE",
    "IN",
    "AND",
    "OR",
    "NOT",
    "and",
    "!",
    "&&",
    "||",
    "(",
    ")",
    ",",
    "+",
    "-",
    "*",
    "/",
    "%",
    "EXTERNAL",
    "CHANGED",
    "FROM",
    "TO",
    "CHANGED('Status')",
    "EXTERNAL('A')",
    "==",
    "<>",
    ";",
    "|",
    "&",
    "IS",
    "NULL",
    "BETWEEN",
    "Status",
    "UPPER",
    "TRUE",
    "--",
    "/*",
    "“",
    "’",
    "≠",
    "\u{feff}",
    "数",
    "\t",
    "\n",
    "\r\n",
];

fn soup() -> impl Strategy<Value = String> {
    let piece = (prop::sample::select(PIECES.to_vec()), prop::sample::select(vec!["", " "]));
    prop::collection::vec(piece, 0..40)
        .prop_map(|pieces| pieces.into_iter().flat_map(|(a, b)| [a, b]).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_is_read_again_as_the_same_tree(tree in trees::condition()) {
        let printed = tree.to_string();
        let read = Qualification::parse(&printed).map_err(|fault| TestCaseError::fail(fault.draw(&printed)))?;
        prop_assert!(read.root().is_some_and(|root| root.same_as(&tree)), "{printed} means something else");
        prop_assert_eq!(read.to_string(), printed);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in any::<Vec<u8>>()) {
        targets::parse(&bytes);
    }

    #[test]
    fn any_pieces_are_read_or_refused(text in soup()) {
        targets::parse(text.as_bytes());
    }

    #[test]
    fn damaged_conditions_are_read_or_refused(
        tree in trees::condition(),
        damages in prop::collection::vec((any::<prop::sample::Index>(), 0..3_u8, prop::sample::select(PIECES.to_vec())), 1..4),
    ) {
        let mut text: Vec<char> = tree.to_string().chars().collect();
        for (at, damage, piece) in damages {
            let at = at.index(text.len() + 1);
            let end = if damage == 0 { at } else { (at + 1).min(text.len()) };
            let instead = if damage == 2 { "" } else { piece };
            text.splice(at..end, instead.chars());
        }
        targets::parse(text.into_iter().collect::<String>().as_bytes());
    }

    #[test]
    fn any_condition_and_any_event_come_to_something(event in any::<[u8; 28]>(), tree in trees::condition()) {
        targets::judge(&[&event[..], tree.to_string().as_bytes()].concat());
    }

    #[test]
    fn any_pieces_and_any_event_come_to_something(event in any::<[u8; 28]>(), text in soup()) {
        targets::judge(&[&event[..], text.as_bytes()].concat());
    }

    #[test]
    fn places_lie_in_their_parents_and_show_what_they_stand_for(tree in trees::condition()) {
        let printed = tree.to_string();
        let read = Qualification::parse(&printed).map_err(|fault| TestCaseError::fail(fault.draw(&printed)))?;
        read.root().map(|root| places::check(root, &printed)).transpose()?;
    }
}

/// Places of trees.
mod places {
    use proptest::prelude::*;
    use std::ops::Range;
    use walhook::qualification::{Condition, Operand, Qualification};

    pub(super) fn check(condition: &Condition, text: &str) -> Result<(), TestCaseError> {
        let (place, operands): (&Range<usize>, Vec<&Operand>) = match condition {
            Condition::And(one, other) | Condition::Or(one, other) => {
                check(one, text)?;
                return check(other, text);
            }
            Condition::Not(one) => return check(one, text),
            Condition::Relation { left, right, place, .. } => (place, vec![left, right]),
            Condition::In { value, list, place } => (place, std::iter::once(value).chain(list).collect()),
            Condition::Changed { from, to, place, .. } => (place, from.iter().chain(to).collect()),
            Condition::External { place, .. } => (place, vec![]),
        };
        // a piece of the text, taken alone, is what stands there
        let alone = Qualification::parse(&text[place.clone()]);
        prop_assert!(alone.is_ok_and(|alone| alone.root().is_some_and(|root| root.same_as(condition))));
        for operand in operands {
            prop_assert!(operand.place().start >= place.start && operand.place().end <= place.end);
            let alone = format!("{} = 1", &text[operand.place()]);
            let same = Qualification::parse(&alone).is_ok_and(|alone| {
                matches!(alone.root(), Some(Condition::Relation { left, .. }) if left.same_as(operand))
            });
            prop_assert!(same, "{alone} is not {operand}");
        }
        Ok(())
    }
}
