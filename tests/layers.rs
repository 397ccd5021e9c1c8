//! The house's floors: arrows point down only.
//!
//! The table in `src/lib.rs` says which module stands on which floor; this test reads it there, so the
//! documentation is the rule. Test code (from `#[cfg(test)]` on) and comments do not count.

// a test that cannot read the sources fails either way
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// From the top down, with what a floor's modules may know of each other.
const FLOORS: [(&str, Neighbours); 5] = [
    ("app", Neighbours::Known),
    ("tasks", Neighbours::Unknown),
    ("edges", Neighbours::Unknown),
    ("ground", Neighbours::Known),
    ("words", Neighbours::Known),
];

#[derive(Clone, Copy, PartialEq)]
enum Neighbours {
    Known,
    Unknown,
}

/// What a word has nothing to do with: I/O, clocks, async, randomness, the environment.
const NOT_FOR_WORDS: [&str; 13] = [
    "tokio",
    "async ",
    ".await",
    "std::fs",
    "std::net",
    "std::io::std",
    "std::env",
    "std::process",
    "std::thread",
    "SystemTime",
    "Instant::now",
    "time::Instant",
    "rand::",
];

/// Module and its floor's number, as the table has them.
type Floors = BTreeMap<String, usize>;

fn floors(lib: &str) -> Floors {
    let mut floors = Floors::new();
    for line in lib.lines().filter_map(|line| line.strip_prefix("//! | ")) {
        let cells: Vec<&str> = line.split(" | ").collect();
        let Some(floor) = FLOORS.iter().position(|(name, _)| *name == cells[0]) else { continue };
        for (number, name) in cells[2].split('`').enumerate() {
            if number % 2 == 1 {
                floors.insert(name.to_owned(), floor);
            }
        }
    }
    floors
}

/// The top-level modules that a file mentions. `depth` is the number of modules on its path.
fn mentioned(code: &str, depth: usize, floors: &Floors) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let is_path_start = |at: usize| {
        !code[..at].ends_with(|before: char| before.is_alphanumeric() || matches!(before, '_' | ':'))
    };
    for root in ["crate::", "walhook::"] {
        for (at, _) in code.match_indices(root).filter(|&(at, _)| is_path_start(at)) {
            found.extend(first_names(&code[at + root.len()..]));
        }
    }
    for (at, _) in code.match_indices("super::").filter(|&(at, _)| is_path_start(at)) {
        let mut rest = &code[at..];
        let mut steps = 0;
        while let Some(further) = rest.strip_prefix("super::") {
            rest = further;
            steps += 1;
        }
        if steps >= depth {
            found.extend(first_names(rest));
        }
    }
    found.retain(|name| floors.contains_key(name));
    found
}

/// The first name of a path, or of each path in braces.
fn first_names(rest: &str) -> Vec<String> {
    let name = |text: &str| -> String {
        let text = text.trim_start();
        text.chars().take_while(|&letter| letter.is_alphanumeric() || letter == '_').collect()
    };
    let Some(inside) = rest.strip_prefix('{') else { return vec![name(rest)] };
    let mut names = vec![name(inside)];
    let mut depth = 0;
    for (at, letter) in inside.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => names.push(name(&inside[at + 1..])),
            _ => {}
        }
    }
    names
}

/// A file without its comments and tests.
fn code_of(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines().filter(is_code).map(|line| line.split(" // ").next().unwrap_or(line)).fold(
        String::new(),
        |mut code, line| {
            code.push_str(line);
            code.push('\n');
            code
        },
    )
}

/// What is wrong with a file; its path is relative to `src`.
fn faults(path: &str, text: &str, floors: &Floors) -> Vec<String> {
    let code = code_of(text);
    let modules: Vec<&str> = path.trim_end_matches(".rs").trim_end_matches("/mod").split('/').collect();
    let module = if modules[0] == "main" { "app" } else { modules[0] };
    let Some(&floor) = floors.get(module) else {
        return vec![format!("{path}: {module:?} stands on no floor of the table in src/lib.rs")];
    };
    let mut faults = Vec::new();
    for other in mentioned(&code, modules.len(), floors) {
        let other_floor = floors[&other];
        let is_neighbour = other != module && other_floor == floor && FLOORS[floor].1 == Neighbours::Unknown;
        if other_floor < floor {
            let (here, there) = (FLOORS[floor].0, FLOORS[other_floor].0);
            faults.push(format!("{path} ({here}) points up to {other:?} ({there})"));
        } else if is_neighbour {
            faults.push(format!("{path} knows its neighbour {other:?} among the {}", FLOORS[floor].0));
        }
    }
    if FLOORS[floor].0 == "words" {
        let banned = NOT_FOR_WORDS.iter().filter(|&&banned| has_word(&code, banned));
        faults.extend(banned.map(|banned| format!("{path} is a word, and has {:?}", banned.trim())));
    }
    faults
}

/// Whether the code has this, not only as the end of a longer name (`Operand::` has nothing to do with `rand::`).
fn has_word(code: &str, wanted: &str) -> bool {
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(wanted).any(|(at, _)| !wanted.starts_with(is_name) || !code[..at].ends_with(is_name))
}

fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn arrows_point_down_only() {
    let src = source();
    let lib = fs::read_to_string(src.join("lib.rs")).unwrap();
    let floors = floors(&lib);
    let mut paths = Vec::new();
    files(&src, &mut paths);
    assert!(paths.len() > 20, "only {} files found", paths.len());
    let mut all = Vec::new();
    for path in paths {
        let name = path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
        if name != "lib.rs" {
            all.extend(faults(&name, &fs::read_to_string(&path).unwrap(), &floors));
        }
    }
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

#[test]
fn every_module_has_its_floor_in_the_table() {
    let lib = fs::read_to_string(source().join("lib.rs")).unwrap();
    let modules: BTreeSet<String> = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect();
    assert_eq!(modules, floors(&lib).into_keys().collect());
}

/// The faults of a planted file, as a test of the test.
fn check(path: &str, text: &str, expected: &[&str]) {
    let lib = fs::read_to_string(source().join("lib.rs")).unwrap();
    assert_eq!(faults(path, text, &floors(&lib)), expected, "{path}: {text}");
}

#[test]
fn an_arrow_that_points_up_is_refused() {
    check(
        "queue/mod.rs",
        "use crate::dispatch::Loop;",
        &["queue/mod.rs (edges) points up to \"dispatch\" (tasks)"],
    );
    check("lsn.rs", "use crate::{event, queue::Queue};", &["lsn.rs (words) points up to \"queue\" (edges)"]);
    check(
        "source/pgoutput.rs",
        "fn f() { super::super::app::run() }",
        &["source/pgoutput.rs (edges) points up to \"app\" (app)"],
    );
    check(
        "postgres/mod.rs",
        "use crate::source::X;",
        &["postgres/mod.rs (ground) points up to \"source\" (edges)"],
    );
}

#[test]
fn neighbours_that_must_not_know_each_other_are_refused() {
    check(
        "queue/a.rs",
        "use crate::format::X;",
        &["queue/a.rs knows its neighbour \"format\" among the edges"],
    );
    check(
        "dispatch/mod.rs",
        "use super::capture::X;",
        &["dispatch/mod.rs knows its neighbour \"capture\" among the tasks"],
    );
    check("postgres/mod.rs", "use crate::tls::X;", &[]);
    check("event.rs", "use crate::change::Row;", &[]);
    check(
        "dispatch/a/b.rs",
        "use super::{super::health, c}; use crate::queue::Queue; // crate::capture",
        &[],
    );
    check(
        "capture/mod.rs",
        "//! like crate::dispatch\n#[cfg(test)]\nmod tests { use crate::dispatch::X; }",
        &[],
    );
}

#[test]
fn a_word_that_touches_the_world_is_refused() {
    check("retry.rs", "use std::time::SystemTime;", &["retry.rs is a word, and has \"SystemTime\""]);
    check("value/json.rs", "use std::fs::File;", &["value/json.rs is a word, and has \"std::fs\""]);
    check("event.rs", "use std::time::Duration;", &[]);
}
