//! `docs/conditions.md` says the truth: every example is judged, every command run.

use jiff::Timestamp;
use serde_json::{Value, json};
use std::path::Path;
use std::process::Command;
use walhook::app::commands::condition::cases::{Cases, Got, When};
use walhook::app::config::Config;

const DOCUMENT: &str = include_str!("../../../docs/conditions.md");

/// The contents of the blocks in a language.
fn blocks(language: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = DOCUMENT.lines();
    while let Some(line) = lines.next() {
        if let Some(found) = line.strip_prefix("```") {
            let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            if found == language {
                blocks.push(block.join("\n"));
            }
        }
    }
    blocks
}

fn file() -> Value {
    let [file] = &blocks("json")[..] else { panic!("there is one file of cases") };
    serde_json::from_str(file).unwrap()
}

#[test]
fn its_examples_come_out_as_it_says() {
    let mut file = file();
    let event = file["cases"][0].clone();
    let mut count = 0;
    for line in blocks("conditions").iter().flat_map(|block| block.lines()) {
        let (text, wanted) = line.split_once('→').unwrap_or_else(|| panic!("{line} has no verdict"));
        let mut case = event.clone();
        case["qualification"] = text.trim().into();
        file["cases"] = json!([case]);
        let cases = Cases::read(&file.to_string(), Timestamp::UNIX_EPOCH).unwrap();
        let got = cases.judge(&cases.cases[0]);
        let (verdict, part) = match &got {
            Got::Verdict(truth) => (truth.as_str(), ""),
            Got::Error { when: When::Eval, drawn } => ("held", drawn.as_str()),
            Got::Error { drawn, .. } => ("refused", drawn.as_str()),
        };
        let (wanted, wanted_part) = wanted.trim().split_once(": ").unwrap_or((wanted.trim(), ""));
        assert_eq!(verdict, wanted, "{text}\n{part}");
        assert!(part.contains(wanted_part), "{wanted_part:?} is not in\n{part}");
        count += 1;
    }
    assert!(count > 70, "only {count} examples were found");
}

#[test]
fn its_file_of_cases_is_one() {
    let cases = Cases::read(&file().to_string(), Timestamp::UNIX_EPOCH).unwrap();
    for case in &cases.cases {
        let got = cases.judge(case);
        assert!(case.wanted.is(&got), "{}: {got:?}", case.id);
    }
}

#[test]
fn its_commands_print_what_it_shows() {
    let folder = Path::new(env!("CARGO_BIN_EXE_walhook")).parent().unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let consoles = blocks("console");
    assert!(!consoles.is_empty());
    for console in consoles {
        let (command, wanted) = console.split_once('\n').unwrap();
        let output = Command::new("sh").args(["-c", &command[2..]]).env("PATH", &path).output().unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap().trim_end(), wanted, "{command}");
    }
}

#[test]
fn its_configuration_is_taken() {
    for part in blocks("toml") {
        let form = "[[forms]]\nname = \"Help Desk\"\ntable = \"a\"\n";
        let callback = "[webhooks.callback]\nurl = \"http://localhost/\"\n";
        let text = if part.starts_with("[[webhooks]]") {
            format!("{form}{part}\n{callback}")
        } else if part.starts_with("[forms") {
            format!("{form}{part}")
        } else {
            part
        };
        if let Err(problems) = Config::parse(Path::new("walhook.toml"), &text, &|_| None) {
            panic!("{problems}");
        }
    }
}
