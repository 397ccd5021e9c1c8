//! The text of a configuration.

// in the tests a module, for the fuzzer a file of its own
#![allow(unreachable_pub, dead_code)]

use std::path::Path;
use walhook::app::config::{Config, Problems, show};

/// What variables of the environment hold, and every secret of the template. It is no word of any message.
pub const SECRET: &str = "QzX7qzJ4";

/// A file that says everything, with a secret wherever one can stand.
pub const TEMPLATE: &str = include_str!("../template.toml");

/// Any text is a configuration or a list of what is wrong with it, each with its place.
pub fn config(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    match read(&text) {
        Ok(config) => assert!(!show(&config).is_empty()),
        Err(problems) => placed(&problems, &text),
    }
}

/// The signs that slips put in.
const SIGNS: &[u8] = b"\"'=[]{},.#\\\n\r $x:/@\t-0";

/// The template with a slip, but not within its secrets, shows none of them. Where it is (two bytes), how much goes and
/// how many signs come (one byte), and which (two).
pub fn slips(bytes: &[u8]) {
    let mut text = TEMPLATE.as_bytes().to_vec();
    if let &[at_1, at_2, length, one, two, ..] = bytes {
        let at = usize::from(u16::from_be_bytes([at_1, at_2])) % text.len();
        let end = (at + usize::from(length) % 12).min(text.len());
        let signs = [one, two].map(|sign| SIGNS[usize::from(sign) % SIGNS.len()]);
        let (from, to) = (at.saturating_sub(SECRET.len() - 1), (end + SECRET.len() - 1).min(text.len()));
        if text[from..to].windows(SECRET.len()).all(|window| window != SECRET.as_bytes()) {
            text.splice(at..end, signs[..usize::from(length) / 12 % 3].iter().copied());
        }
    }
    shows_no_secret(&String::from_utf8_lossy(&text));
}

/// What is said of a text does not tell what is secret in it.
pub fn shows_no_secret(text: &str) {
    let said = match read(text) {
        Ok(config) => format!("{config:?}\n{}", show(&config)),
        Err(problems) => {
            placed(&problems, text);
            format!("{problems}\n{}\n{}", problems.draw_styled(), problems.to_json())
        }
    };
    assert!(!said.contains(SECRET), "shown:\n{said}\nof:\n{text}");
}

fn read(text: &str) -> Result<Config, Problems> {
    let environment = |name: &str| match name {
        "UNSET" => None,
        "HOST" => Some("receiver.example".to_owned()),
        "SIGNING" => Some(format!("whsec_{}", SECRET.repeat(4))),
        _ => Some(SECRET.to_owned()),
    };
    Config::parse(Path::new("etc/walhook.toml"), text, &environment)
}

fn placed(problems: &Problems, text: &str) {
    assert!(!problems.is_empty(), "refused, and nobody says why");
    let lines = text.split('\n').count();
    for problem in problems.iter() {
        assert!(!problem.message.is_empty());
        assert!(problem.span.start <= problem.span.end && problem.span.end <= text.len(), "{problem:?}");
        let (line, column) = problems.place(problem);
        assert!((1..=lines).contains(&line) && column >= 1, "{line}:{column} of {lines} lines");
        let (message, remedy) = (&problem.message, problem.remedy.as_deref().unwrap_or("-"));
        for text in [message.as_str(), remedy] {
            assert!(!text.contains('\u{1b}'), "{text:?} would act on a terminal");
        }
    }
    assert!(!problems.to_string().is_empty());
    assert_eq!(problems.to_json()["problems"].as_array().map(Vec::len), Some(problems.iter().count()));
}
