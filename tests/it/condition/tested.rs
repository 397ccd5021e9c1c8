//! `walhook condition --test`.

use super::{condition, said};
use std::fs;
use std::path::Path;

/// A file with these cases, and everything else right.
fn file(cases: &str) -> String {
    format!(
        "{{\"form\": {{\"name\": \"Ticket\", \"fields\": [\n\
         {{\"name\": \"id\", \"type\": \"integer\"}},\n\
         {{\"name\": \"status\", \"type\": \"enum\", \"values\": [\"New\", \"Closed\"]}}]}},\n\
         \"cases\": [\n{cases}\n]}}"
    )
}

fn case(text: &str, expectation: &str) -> String {
    let text = serde_json::to_string(text).unwrap();
    format!("{{\"qualification\": {text}, \"operation\": \"update\", \"new\": {{\"id\": 7}}, {expectation}}}")
}

fn test(files: &[&str]) -> (i32, String) {
    let folder = tempfile::tempdir().unwrap();
    let names: Vec<String> = (1..=files.len()).map(|number| format!("{number}.json")).collect();
    for (name, text) in names.iter().zip(files) {
        fs::write(folder.path().join(name), text).unwrap();
    }
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    said(&condition(folder.path(), &[&["--test"], &names[..]].concat()))
}

#[test]
fn the_language_s_own_cases_pass() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/qualification/cases");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    assert!(!files.is_empty());
    let files: Vec<&str> = files.iter().map(|path| path.to_str().unwrap()).collect();
    let (code, text) = said(&condition(&folder, &[&["--test"], &files[..]].concat()));
    assert_eq!(code, 0, "{text}");
    assert!(text.ends_with("cases, all as expected\n"), "{text}");
}

#[test]
fn what_is_not_as_expected_is_shown_with_its_place() {
    let cases = [
        case("'id' = 7", "\"expect\": true"),
        case("'id' = 8", "\"expect\": true, \"id\": \"eight\""),
        case("'status' = \"New\"", "\"expect\": \"false\", \"value\": \"false\""),
        case("'status' = \"New\"", "\"expect\": false"),
        case("'stat' = \"New\"", "\"expect\": false"),
        case("'id' =", "\"expect\": \"error\", \"phase\": \"bind\""),
        case("1 / ('id' - 7) = 1", "\"expect\": \"error\", \"phase\": \"eval\", \"value\": \"error\""),
    ];
    let (code, text) = test(&[&file(&cases.join(",\n")), &file("")]);
    assert_eq!(code, 1);
    for part in [
        "1.json: eight: expected true, got false\n    'id' = 8\n",
        "1.json: number 3: expected false, got unknown\n",
        "1.json: number 5: expected false or unknown, got an error (bind)\n    error: line 1, column 1: ",
        "    1 | 'stat' = \"New\"\n      | ^^^^^^\n",
        "1.json: number 6: expected an error (bind), got an error (parse)\n",
        "7 cases, 4 not as expected\n",
    ] {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
}

/// That a file is refused with 64, and what is said about it.
#[track_caller]
fn refused(text: &str, wanted: &str) {
    let (code, said) = test(&[&file(&case("1 = 1", "\"expect\": true")), text]);
    assert_eq!(code, 64, "{said}");
    assert!(said.starts_with("error: 2.json is no file of cases: "), "{said}");
    assert!(said.contains(wanted), "{wanted}\nis not in\n{said}");
}

#[test]
fn a_file_of_another_shape_is_refused_with_the_place() {
    refused("[]", "expected an object with \"form\" and \"cases\" at line 1 column");
    refused(&file(&case("1 = 1", "\"expects\": true")), "unknown field `expects`");
    refused(&file(&case("1 = 1", "\"expects\": true")), "line 5 column");
    refused(&file(&case("1 = 1", "\"expect\": 1")), "expected true, false or \"error\"");
    refused(
        &file(&case("1 = 1", "\"expect\": true, \"value\": \"unknown\"")),
        "case number 1: expect, value and phase",
    );
    refused(
        &file(&case("1 = 1", "\"expect\": true, \"old\": {\"idd\": 1}")),
        "case number 1: old: form \"Ticket\" has no field \"idd\" (did you mean \"id\"?)",
    );
    refused(&file("").replace("\"enum\"", "\"integer\""), "field \"status\": only an enum has \"values\"");
    refused(&file("").replace("[\"New\", \"Closed\"]", "{}"), "an enum needs \"values\"");
    refused(&file("").replace("\"status\"", "\"id\""), "field \"id\" stands there twice");
    refused(&file("").replace("integer", "int"), "unknown variant `int`");
    refused(&file("").replace("\"cases\"", "\"context\": {\"now\": \"noon\"}, \"cases\""), "context.now: ");
    refused(
        &file("").replace("\"cases\"", "\"context\": {\"time_zone\": \"Mars\"}, \"cases\""),
        "context.time_zone: ",
    );
    refused(
        &file("").replace("\"cases\"", "\"dialect\": \"sql\", \"cases\""),
        "dialect: \"sql\" is not known",
    );

    let (code, said) = test(&[]);
    assert_eq!(code, 64, "no file at all: {said}");
    let folder = tempfile::tempdir().unwrap();
    let (code, said) = super::said(&condition(folder.path(), &["--test", "no.json"]));
    assert_eq!(code, 64);
    assert!(said.contains("no.json cannot be read"), "{said}");
}

#[test]
fn programs_get_the_disagreements_as_json() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("c.json"), file(&case("'id' = 8", "\"expect\": true"))).unwrap();
    let output = condition(folder.path(), &["--json", "--test", "c.json"]);
    assert_eq!(output.status.code(), Some(1));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["cases"], &json["disagreements"][0]["got"]["value"]), (&1.into(), &"false".into()));
}
