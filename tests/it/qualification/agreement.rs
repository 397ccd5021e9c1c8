//! Two evaluators agree: the one that is used and the plain one of `naive`, over invented conditions and events.

use super::naive::{self, FAILURE, FALSE, TRUE, UNKNOWN, Verdicts};
use super::properties::targets::event::{COLUMNS, EVENT_BYTES, Event, form};
use super::properties::targets::verdict;
use super::trees::{conditions, dollar, field, number, operands, text};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use walhook::event::Verb;
use walhook::qualification::{Operand, Purpose, Qualification};

/// `CASES` and `SEED` choose others.
const CASES: u32 = 10_000;
const SEED: u64 = 20_240_612;

fn number_from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// An operand that is one of these, for a field before or after, too.
fn one_of(fields: &[&'static str], others: Vec<Operand>) -> BoxedStrategy<Operand> {
    let prefixes = prop::sample::select(vec!["", "", "", "TR.", "DB.", "tr."]);
    let fields = (prefixes, prop::sample::select(fields.to_vec()))
        .prop_map(|(prefix, name)| field(format!("{prefix}{name}")));
    prop_oneof![fields, prop::sample::select(others)].boxed()
}

fn numbers() -> BoxedStrategy<Operand> {
    let literals =
        ["0", "1", "2", "3", "5", "7.", "2.5", ".1", "19.90", "5e0", "1e-1", "1.00000000000000000001"];
    let others =
        literals.map(number).into_iter().chain([text("5"), text(" 2.50 "), dollar("NULL"), dollar("GROUPS")]);
    operands(one_of(&["Count", "count", "Price", "Status", "11"], others.collect())).boxed()
}

fn texts() -> BoxedStrategy<Operand> {
    let literals =
        ["", "Bob", "bob", "B%", "_ob", "[A-C]ob", "[^B]%", "5", "CREATE", "SET", "Bob   ", "%\nb", "é"];
    let others = literals.map(text).into_iter();
    let others = others.chain([
        number("5"),
        number("5."),
        dollar("USER"),
        dollar("operation"),
        dollar("NULL"),
        dollar("BROWSER"),
    ]);
    let leaf = one_of(&["Name", "Mail", "Code", "Log", "Name", "8"], others.collect());
    let joined = (leaf.clone(), leaf.clone()).prop_map(|(left, right)| Operand::Arithmetic {
        left: Box::new(left),
        operator: walhook::qualification::Arithmetic::Add,
        right: Box::new(right),
        place: 0..0,
    });
    prop_oneof![5 => leaf, 1 => joined].boxed()
}

fn choices(fields: &[&'static str], labels: &[&str]) -> BoxedStrategy<Operand> {
    let labels = labels.iter().map(|label| text(*label));
    one_of(fields, labels.chain([number("1"), number("4"), text("1"), dollar("NULL")]).collect())
}

fn moments(fields: &[&'static str], literals: &[&str]) -> BoxedStrategy<Operand> {
    let others = literals.iter().map(|literal| text(*literal));
    let others =
        others.chain([dollar("TIMESTAMP"), dollar("DATE"), dollar("NULL"), number("5"), number("30600")]);
    let leaf = one_of(fields, others.collect());
    let steps =
        prop::sample::select(vec![number("1"), number("60"), number("86400"), number("0.5"), field("Count")]);
    let moved =
        (leaf.clone(), steps, any::<bool>()).prop_map(|(left, right, adds)| shifted(left, right, adds));
    prop_oneof![2 => leaf, 1 => moved].boxed()
}

fn shifted(left: Operand, right: Operand, adds: bool) -> Operand {
    use walhook::qualification::Arithmetic::{Add, Subtract};
    let operator = if adds { Add } else { Subtract };
    Operand::Arithmetic { left: Box::new(left), operator, right: Box::new(right), place: 0..0 }
}

/// The two sides of a relation, mostly of one family.
fn sides() -> BoxedStrategy<(Operand, Operand)> {
    let pair = |family: BoxedStrategy<Operand>| (family.clone(), family).boxed();
    let instants = moments(
        &["Create Date", "3"],
        &["2024-06-12 10:30:00", "06/12/2024", "2024-06-12 08:30:00+00", "09:30:00"],
    );
    let dates = moments(&["Due"], &["2024-06-12", "06/13/2024"]);
    let times = moments(&["Start"], &["09:30:00", "10:30:00"]);
    let statuses = choices(&["Status", "7", "status"], &["New", "assigned", "Closed", "4", "3", "9"]);
    let booleans = choices(&["Active", "13"], &["true", "FALSE", "0"]);
    let differences = (instants.clone(), instants.clone(), numbers())
        .prop_map(|(later, earlier, seconds)| (shifted(later, earlier, false), seconds));
    let families = [numbers(), texts(), statuses.clone(), instants.clone(), dates.clone(), times.clone()];
    let all = proptest::strategy::Union::new(families).boxed();
    let names: Vec<Operand> = COLUMNS.iter().map(|column| field(column.name)).collect();
    let presence = (prop::sample::select(names), Just(dollar("null"))).boxed();
    prop_oneof![
        10 => pair(numbers()),
        10 => pair(texts()),
        4 => pair(statuses),
        3 => pair(booleans),
        5 => pair(instants),
        4 => pair(dates),
        4 => pair(times),
        2 => differences,
        4 => presence,
        1 => pair(all),
    ]
    .boxed()
}

#[test]
fn the_plain_evaluator_comes_to_the_same() {
    let form = form();
    let condition = conditions(
        sides(),
        prop::sample::select(vec!["Status", "Count", "Mail", "8", "TR.Name"]).prop_map(str::to_owned).boxed(),
    );
    let event = prop::collection::vec(any::<u8>(), EVENT_BYTES);
    let cases = number_from_environment("CASES").map_or(CASES, |cases| cases as u32);
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(number_from_environment("SEED").unwrap_or(SEED)),
        ..ProptestConfig::default()
    };
    let seen = std::cell::RefCell::new(std::collections::BTreeMap::<&str, u32>::new());
    let judged = TestRunner::new(config).run(&(condition, event), |(tree, bytes)| {
        let event = Event::of(&bytes);
        let text = tree.to_string();
        let read = Qualification::parse(&text).map_err(|fault| TestCaseError::fail(fault.draw(&text)))?;
        let expected = naive::judge(&tree, &event);
        let (word, found) = match read.bind(&form, Purpose::Webhook(&Verb::OF_ROWS)) {
            Err(faults) => {
                prop_assert!(expected.is_err(), "{} but {expected:?}", faults.draw(&text));
                *seen.borrow_mut().entry("ill-typed").or_default() += 1;
                return Ok(());
            }
            Ok(bound) => match verdict(&bound, &event.facts(&form)) {
                Ok(truth) => (truth.as_str(), Verdicts::from(truth)),
                Err(_) => ("failure", FAILURE),
            },
        };
        *seen.borrow_mut().entry(word).or_default() += 1;
        let Ok(expected) = expected else {
            return Err(TestCaseError::fail(format!("{text} is ill-typed, but was bound")));
        };
        prop_assert!(expected.has(found), "{text} came to {word}, not {expected:?}, for {event:?}");
        Ok(())
    });
    if let Err(proptest::test_runner::TestError::Fail(reason, _)) = judged {
        panic!("{reason}");
    }
    // conditions that are all refused, or all false, would prove little
    let seen = seen.into_inner();
    for word in ["true", "false", "unknown", "failure", "ill-typed"] {
        let times = seen.get(word).copied().unwrap_or(0);
        assert!(times > cases / 50, "{word} came {times} times only: {seen:?}");
    }
    assert!(seen["ill-typed"] < cases / 2, "too many are ill-typed: {seen:?}");
}

/// What the verdicts of a condition are made of.
#[test]
fn kleene_s_tables_hold_in_the_plain_evaluator() {
    let event = Event::of(&[]);
    for (text, verdicts) in [
        ("1 = 1", TRUE),
        ("1 = 2 AND 1 / 0 = 1", FALSE),
        ("$GROUPS$ = 1 OR 1 = 1", TRUE),
        ("$GROUPS$ = 1 AND 1 = 1", UNKNOWN),
        ("NOT $GROUPS$ = 1", UNKNOWN),
        ("1 / 0 = 1", FAILURE),
    ] {
        let read = Qualification::parse(text).unwrap();
        let judged = naive::judge(read.root().unwrap(), &event).unwrap();
        assert_eq!(judged, verdicts, "{text}");
    }
}
