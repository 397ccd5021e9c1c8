//! Texts of values, and those of other types.

#[path = "../../../fuzz/targets/value.rs"]
mod target;

use super::{attack, write_seed, writes_corpus};
use proptest::prelude::*;

/// A text for each type, in the order of the target's types.
const TEXTS: [&str; 20] = [
    "[\"a b\",\"c,d\")",
    "[0:1]={{\"a b\",NULL},{\"q\\\"q\\\\\",é}}",
    "{1,NULL,-0.50,1e+20,NaN}",
    "{(1,1),(0,0);(3,3),(2,2)}",
    "(1,\"a \"\"quoted\"\" \\\\ , (x)\")",
    "(\"{\"\"(1,\\\\\"\"a b\\\\\"\")\"\",NULL}\",t)",
    "{\"(1,\\\"a b\\\")\",NULL,\"(,)\"}",
    "{\"{\\\"[1, {}]\\\",NULL}\",\"{}\"}",
    "()",
    "(\"2024-06-12 08:30:00.5\")",
    "\"a\"=>\"1\", \"b c\"=>NULL, \"\\\"\\\\\"=>\"\"",
    "1 2 -3",
    "-1.5e-07",
    "0044-03-15 12:00:00+05:30 BC",
    "{\"a\":\n [1e5, \"\\u00e9\", null]}",
    "\\x0068ff",
    "t",
    "2024-06-12",
    "{\"\\\\x0068\",NULL}",
    "{\"\\\"a\\\"=>NULL\",\"\"}",
];

#[test]
fn the_seeds_are_these() {
    for (number, text) in TEXTS.iter().enumerate() {
        let seed = [&[number as u8][..], text.as_bytes()].concat();
        if writes_corpus() {
            write_seed("value", &format!("{number:02}"), &seed);
        }
        assert_eq!(super::corpus("value")[number], seed);
    }
    assert_eq!(target::types().len(), TEXTS.len());
}

#[test]
fn any_text_becomes_what_a_naive_reader_makes_of_it() {
    attack("value", 10_000, target::value);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_signs_become_what_a_naive_reader_makes_of_them(
        choice: u8,
        text in r#"[{}()\[\],;:="\\ 0-9a-cNUL>+\-é]{0,30}"#,
    ) {
        target::value(&[&[choice][..], text.as_bytes()].concat());
    }
}
