//! One condition, one event, columns that somebody writes.

use super::{condition, said};
use std::io::Write as _;
use std::process::{Command, Stdio};

const COLUMNS: &str = "number:text,status:enum(New|Assigned|Closed),count:integer,at:timestamptz";

#[track_caller]
fn check(arguments: &[&str], wanted_code: i32, wanted: &str) {
    let folder = tempfile::tempdir().unwrap();
    let (code, text) = said(&condition(folder.path(), &[&["--columns", COLUMNS], arguments].concat()));
    assert_eq!((code, text.as_str()), (wanted_code, wanted), "{arguments:?}");
}

#[test]
fn the_verdict_is_printed_and_is_the_exit_code() {
    let new = "{\"status\": \"Assigned\", \"count\": 5, \"number\": null}";
    check(&["'status' = 1", "--new", new], 0, "true\n");
    check(&["'status' = \"Closed\"", "--new", new], 1, "false\n");
    check(&["'number' != \"x\"", "--new", new], 1, "unknown\n");
    check(&["", "--event", "create"], 0, "true\n");
    check(&["'TR.count' = 5", "--new", new, "--old", "{\"count\": 4}"], 0, "true\n");
    check(&["'count' = 4", "--event", "delete", "--old", "{\"count\": 4}"], 0, "true\n");
    check(
        &["'number' = $USER$", "--new", "{\"number\": \"Ann\"}", "--user", "Ann"],
        0,
        "true\nwarning: $USER$ is NULL: the log does not say who made a change (compare the field that the application \
         keeps it in)\n",
    );
    let at = "{\"at\": \"2024-06-12 09:30:00+00\"}";
    check(&["$TIMESTAMP$ - 'at' = 60", "--new", at, "--now", "2024-06-12T09:31:00Z"], 0, "true\n");
    check(&["$SCHEMA$ = \"Ticket\"", "--form", "Ticket"], 0, "true\n");
    check(
        &["'count' = 5 AND\n  ('number' = \"x\" OR 1 / 0 = 1)", "--new", new, "--explain"],
        1,
        "  true     'count' = 5\n  unknown  'number' = \"x\"\n  error    division by zero 1 / 0 = 1\n\
         error: line 2, column 22: division by zero\n  |\n2 |   ('number' = \"x\" OR 1 / 0 = 1)\n  |                      ^^^^^\n\
         the condition cannot be judged for this event: the event would be held\n",
    );
}

#[test]
fn a_refused_condition_is_drawn_and_ends_with_64() {
    check(
        &["'stauts' = 1"],
        64,
        "error: line 1, column 1: the form \"form\" has no field 'stauts'\n  |\n1 | 'stauts' = 1\n  | ^^^^^^^^\n  |\n  \
         = help: did you mean 'status'?\n",
    );
    let folder = tempfile::tempdir().unwrap();
    let two = ["--columns", COLUMNS, "'stauts' = 1 AND 'count' = \"x\""];
    let (code, text) = said(&condition(folder.path(), &two));
    assert_eq!((code, text.matches("error: ").count()), (64, 2), "{text}");

    let output = condition(folder.path(), &[&["--json"], &two[..]].concat());
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(64));
    assert_eq!(json["faults"][1]["column"], 28);
    assert_eq!(json["faults"][0]["remedy"], "did you mean 'status'?");
}

#[test]
fn bad_usage_says_what_to_write() {
    let folder = tempfile::tempdir().unwrap();
    for (arguments, wanted) in [
        (&["1 = 1"][..], "name a form of the configuration with --form, or write columns"),
        (&["--columns", "a:text"], "there is no condition to judge"),
        (&["1 = 1", "--columns", "a:txt"], "did you mean \"text\"?"),
        (&["1 = 1", "--columns", "a:text", "--new", "{\"b\": 1}"], "--new: form \"form\" has no field \"b\""),
        (&["1 = 1", "--columns", "a:text", "--new", "[]"], "--new is no JSON object"),
        (&["1 = 1", "--columns", "a:text", "--event", "create", "--old", "{}"], "a create has no row before"),
        (&["1 = 1", "--columns", "a:text", "--event", "delete", "--new", "{}"], "a delete has no row after"),
        (&["1 = 1", "--columns", "a:text", "--now", "noon"], "--now does not understand"),
        (&["1 = 1", "--form", "Ticket"], "the configuration walhook.toml cannot be read"),
    ] {
        let (code, text) = said(&condition(folder.path(), arguments));
        assert_eq!(code, 64, "{arguments:?}: {text}");
        assert!(text.contains(wanted), "{arguments:?}: {text}");
    }
}

#[test]
fn programs_get_everything_as_json() {
    let folder = tempfile::tempdir().unwrap();
    let text = "'status' in (0,1) && $BROWSER$ = $NULL$ AND 'count' / 0 = 1";
    let arguments = ["--json", "--columns", COLUMNS, text, "--new", "{\"status\": \"New\", \"count\": 1}"];
    let output = condition(folder.path(), &arguments);
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(json["normal"], "'status' IN (0, 1) AND $BROWSER$ = $NULL$ AND 'count' / 0 = 1");
    assert_eq!(json["verdict"], serde_json::Value::Null);
    assert_eq!(
        (&json["failure"]["column"], &json["failure"]["message"]),
        (&45.into(), &"division by zero".into())
    );
    assert_eq!(json["warnings"][0]["column"], 22);
    let verdicts: Vec<_> =
        json["parts"].as_array().unwrap().iter().map(|part| part["verdict"].as_str()).collect();
    assert_eq!(verdicts, [Some("true"), Some("true"), None]);
}

#[test]
fn a_condition_comes_from_standard_input_where_it_is_a_dash() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_walhook"));
    command.args(["condition", "-", "--columns", "a:integer", "--new", "{\"a\": 1}"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"'a' =\n1\n").unwrap();
    assert_eq!(said(&child.wait_with_output().unwrap()), (0, "true\n".to_owned()));
}
