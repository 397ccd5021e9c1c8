//! What must hold of any bytes. The fuzzer calls these with what it invents, and the property tests in
//! `tests/it/qualification` on every run of the tests.

// in the tests a module, for the fuzzer a file of its own
#![allow(unreachable_pub, dead_code)]

use walhook::qualification::{Condition, Fault, Qualification};

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
