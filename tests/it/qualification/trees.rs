//! Invented conditions.

use proptest::prelude::*;
use walhook::qualification::{Arithmetic, Condition, Operand, Operator, Reference};

/// Any tree that the grammar has, of up to some fifty tokens.
pub(super) fn condition() -> impl Strategy<Value = Condition> {
    let names = any_text().prop_filter("names are not empty", |name| !name.is_empty());
    conditions((operand(), operand()).boxed(), names.boxed())
}

/// Conditions over these pairs of operands, and these fields.
pub(super) fn conditions(
    sides: BoxedStrategy<(Operand, Operand)>,
    field: BoxedStrategy<String>,
) -> impl Strategy<Value = Condition> {
    let reference = field.prop_map(|name| Reference { name, place: 0..0 });
    let relation = (sides.clone(), operator()).prop_map(|((left, right), operator)| Condition::Relation {
        left,
        operator,
        right,
        place: 0..0,
    });
    let list = prop::collection::vec(sides.clone(), 1..4).prop_map(|sides| {
        let (mut values, list): (Vec<Operand>, Vec<Operand>) = sides.into_iter().unzip();
        Condition::In { value: values.swap_remove(0), list, place: 0..0 }
    });
    let changed =
        (reference.clone(), sides, 0..4_u8).prop_map(|(field, (from, to), which)| Condition::Changed {
            field,
            from: (which % 2 == 1).then_some(from),
            to: (which >= 2).then_some(to),
            place: 0..0,
        });
    let external = reference.prop_map(|reference| Condition::External { reference, place: 0..0 });
    let leaf = prop_oneof![24 => relation, 4 => list, 2 => changed, 1 => external];
    leaf.prop_recursive(4, 12, 2, |inner| {
        prop_oneof![
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Condition::And(Box::new(a), Box::new(b))),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| Condition::Or(Box::new(a), Box::new(b))),
            inner.prop_map(|a| Condition::Not(Box::new(a))),
        ]
    })
}

/// Sums over these values.
pub(super) fn operands(leaf: impl Strategy<Value = Operand> + 'static) -> impl Strategy<Value = Operand> {
    leaf.prop_recursive(3, 6, 2, |inner| {
        let arithmetic = (inner.clone(), arithmetic(), inner.clone()).prop_map(|(left, operator, right)| {
            Operand::Arithmetic { left: Box::new(left), operator, right: Box::new(right), place: 0..0 }
        });
        let negated = inner.prop_map(|operand| Operand::Negate { operand: Box::new(operand), place: 0..0 });
        prop_oneof![4 => arithmetic, 1 => negated]
    })
}

pub(super) fn number(text: impl Into<String>) -> Operand {
    Operand::Number { text: text.into(), place: 0..0 }
}

pub(super) fn text(text: impl Into<String>) -> Operand {
    Operand::Text { text: text.into(), place: 0..0 }
}

pub(super) fn field(name: impl Into<String>) -> Operand {
    Operand::Reference(Reference { name: name.into(), place: 0..0 })
}

pub(super) fn dollar(name: impl Into<String>) -> Operand {
    Operand::Dollar { name: name.into(), place: 0..0 }
}

fn operand() -> impl Strategy<Value = Operand> {
    operands(prop_oneof![
        prop::sample::select(vec!["0", "1.", ".5", "007", "1e5", "2.5E-3", "99999999999999999999"])
            .prop_map(number),
        any_text().prop_map(text),
        any_text().prop_filter("names are not empty", |name| !name.is_empty()).prop_map(field),
        prop::sample::select(vec!["NULL", "user", "Short Description", "a'b\"c", "\n"]).prop_map(dollar),
    ])
}

/// Texts, most of them awkward.
fn any_text() -> impl Strategy<Value = String> {
    let awkward = [
        "",
        "'",
        "\"",
        "''",
        "\"\"",
        "Status",
        "TR.Status",
        " ",
        "\\",
        "a'b\"c",
        "OR",
        "$",
        "\n",
        "数値",
        "--",
    ];
    prop_oneof![prop::sample::select(awkward.to_vec()).prop_map(str::to_owned), any::<String>()]
}

fn operator() -> impl Strategy<Value = Operator> {
    use Operator::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, Like, NotEqual};
    prop::sample::select(vec![Equal, NotEqual, Less, LessOrEqual, Greater, GreaterOrEqual, Like])
}

fn arithmetic() -> impl Strategy<Value = Arithmetic> {
    use Arithmetic::{Add, Divide, Modulo, Multiply, Subtract};
    prop::sample::select(vec![Add, Subtract, Multiply, Divide, Modulo])
}
