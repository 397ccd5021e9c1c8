//! What must hold of any bytes. The fuzzer calls these with what it invents, and the property tests in
//! `tests/it/qualification` on every run of the tests.

// in the tests a module, for the fuzzer a file of its own
#![allow(unreachable_pub, dead_code)]

#[path = "event.rs"]
pub mod event;

use event::{EVENT_BYTES, Event};
use walhook::change::OldRow;
use walhook::event::Verb;
use walhook::qualification::{
    BoundQualification, Condition, Facts, Failure, Fault, Found, Purpose, Qualification, Requirement, Truth,
    key_of,
};

/// Any bytes are a condition or a fault with a place. What is read can be printed and read again, and is the same
/// then.
pub fn parse(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match Qualification::parse(&text) {
        Ok(read) => reads_back(&read),
        Err(fault) => points_into(&fault, &text),
    }
}

fn reads_back(read: &Qualification) {
    let printed = read.to_string();
    // a text at the limit can be printed longer, with blanks around its operators
    if printed.chars().count() > 8_192 {
        return;
    }
    let again = match Qualification::parse(&printed) {
        Ok(again) => again,
        Err(fault) => panic!("printed, but not read again: {:?}\n{}", read.text(), fault.draw(&printed)),
    };
    let same = match (read.root(), again.root()) {
        (Some(one), Some(other)) => Condition::same_as(one, other),
        (one, other) => one.is_none() && other.is_none(),
    };
    assert!(same, "{:?} means something else than {printed:?}", read.text());
    assert_eq!(again.to_string(), printed, "printed differently the second time");
}

fn points_into(fault: &Fault, text: &str) {
    assert!(text.get(fault.place.clone()).is_some(), "{:?} is no place of {text:?}", fault.place);
    assert!(!fault.message.is_empty() && fault.remedy.is_some(), "{fault:?} says too little");
    assert!(fault.draw(text).contains('^'), "nothing is marked: {}", fault.draw(text));
}

/// Any condition and any event come to faults, a verdict or a failure. What an index would look up does not
/// contradict the verdict.
pub fn judge(bytes: &[u8]) {
    let (event, text) = bytes.split_at(EVENT_BYTES.min(bytes.len()));
    let text = String::from_utf8_lossy(text);
    let Ok(read) = Qualification::parse(&text) else { return };
    let form = event::form();
    match read.bind(&form, Purpose::Webhook(&Verb::OF_ROWS)) {
        Ok(bound) => {
            bound.warnings().iter().for_each(|warning| points_into(warning, &text));
            let event = Event::of(event);
            let _ = verdict(&bound, &event.facts(&form));
        }
        Err(faults) => {
            assert!(!faults.0.is_empty(), "refused, and nobody says why: {text}");
            assert!(
                faults.0.is_sorted_by_key(|fault| fault.place.start),
                "not in the order of the text: {faults:?}"
            );
            for fault in &faults.0 {
                assert!(!fault.message.is_empty() && text.get(fault.place.clone()).is_some(), "{fault:?}");
                assert!(fault.draw(&text).contains('^'));
            }
        }
    }
}

/// Judges, explains and looks up.
pub fn verdict(bound: &BoundQualification, facts: &Facts<'_>) -> Result<Truth, Failure> {
    let text = bound.qualification().text();
    let verdict = bound.judge(facts);
    if let Err(failure) = &verdict {
        assert!(!failure.reason.is_empty() && text.get(failure.place.clone()).is_some(), "{failure:?}");
    }
    for explained in bound.explain(facts) {
        assert!(text.get(explained.place.clone()).is_some(), "{explained:?} stands nowhere in {text:?}");
    }
    // one that could not be judged may be left out by an index that knows better
    let meets = verdict == Ok(Truth::True);
    for requirement in bound.requirements() {
        assert!(!meets || !fails(&requirement, facts), "{text} is met against {requirement:?}");
    }
    verdict
}

/// Whether an index would leave the condition out.
fn fails(requirement: &Requirement, facts: &Facts<'_>) -> bool {
    match requirement {
        Requirement::OneOf { probe, keys } => {
            let mut key = Vec::new();
            match key_of(probe, facts, &mut key) {
                Found::Key => !keys.contains(&key),
                Found::Null => true,
                Found::Unknown => false,
            }
        }
        Requirement::Changed { column } => match (facts.verb, facts.old, facts.new) {
            (Verb::Create, _, _) => false,
            (_, OldRow::Full(old), Some(new)) => {
                let now = new.clone().filled_from(old);
                now.datum(*column) == old.datum(*column)
            }
            (Verb::Delete, _, _) => true,
            _ => false,
        },
    }
}
