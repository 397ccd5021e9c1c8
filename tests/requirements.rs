//! Every requirement of the five products' interfaces and of the native one has its mark in `requirements.txt`, and what
//! is marked as done is named by a test: in a comment (`R-AR-21`), or in the test's name (`r_ar_21_…`).
//!
//! The name stands where the proof is, so that who changes a test sees what depends on it.

// a test that cannot read the sources fails either way
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const LIST: &str = include_str!("requirements.txt");

/// What there is to say of a requirement.
const MARKS: [&str; 4] = ["done", "later", "impossible", "prose"];

/// By product, as ids name them.
const PRODUCTS: [&str; 6] = ["AR", "CG", "DG", "IT", "NA", "XU"];

/// Marks by id, and what is wrong with the list.
fn read(list: &str) -> (BTreeMap<String, String>, Vec<String>) {
    let (mut marks, mut faults) = (BTreeMap::new(), Vec::new());
    let mut last = String::new();
    for (line, number) in list.lines().zip(1..) {
        if line.starts_with('#') || line.is_empty() {
            continue;
        }
        let mut parts = line.splitn(3, "  ").map(str::trim);
        let (Some(id), Some(mark), Some(words)) = (parts.next(), parts.next(), parts.next()) else {
            faults.push(format!("line {number}: it is no id, mark and words, with two blanks between"));
            continue;
        };
        if !is_id(id) {
            faults.push(format!("line {number}: {id:?} is no id"));
        }
        if !MARKS.contains(&mark) {
            faults.push(format!("line {number}: {mark:?} is none of {}", MARKS.join(", ")));
        }
        if words.is_empty() {
            faults.push(format!("line {number}: {id} has no words"));
        }
        if *id <= *last {
            faults.push(format!("line {number}: {id} does not stand behind {last}, as it should"));
        }
        id.clone_into(&mut last);
        if marks.insert(id.to_owned(), mark.to_owned()).is_some() {
            faults.push(format!("line {number}: {id} is there twice"));
        }
    }
    (marks, faults)
}

fn is_id(id: &str) -> bool {
    let Some((product, number)) = id.strip_prefix("R-").and_then(|rest| rest.split_once('-')) else {
        return false;
    };
    PRODUCTS.contains(&product) && number.len() == 2 && number.bytes().all(|digit| digit.is_ascii_digit())
}

/// The ids that a text names. What begins like one and is none comes as it stands.
fn ids(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for product in PRODUCTS {
        for (begin, shape) in
            [(format!("R-{product}-"), '-'), (format!("r_{}_", product.to_lowercase()), '_')]
        {
            for (at, _) in text.match_indices(&begin) {
                let is_start = !text[..at].ends_with(|before: char| before.is_alphanumeric());
                let rest = &text[at + begin.len()..];
                let number: String = rest.chars().take_while(char::is_ascii_alphanumeric).collect();
                let is_number = number.len() == 2 && number.bytes().all(|digit| digit.is_ascii_digit());
                if is_start && (is_number || shape == '-') {
                    found.push(format!("R-{product}-{number}"));
                }
            }
        }
    }
    found
}

/// The tests' part of a source file below `src`, of which all may be tests.
fn tests_of(text: &str, is_of_tests: bool) -> &str {
    let begins = if is_of_tests { Some(0) } else { text.find("#[cfg(test)]\nmod tests {") };
    begins.map_or("", |begins| &text[begins..])
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// Modules that their parent declares for tests alone.
fn modules_of_tests(sources: &[PathBuf]) -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    for source in sources {
        let text = fs::read_to_string(source).unwrap();
        for (at, mark) in text.match_indices("#[cfg(test)]\n") {
            let further = text[at + mark.len()..].trim_start();
            let (path, further) = match further.strip_prefix("#[path = \"") {
                Some(rest) => {
                    let (path, rest) = rest.split_once("\"]").unwrap();
                    (Some(path), rest.trim_start())
                }
                None => (None, further),
            };
            let line = further.lines().next().unwrap_or_default();
            let Some(name) = line.strip_suffix(';').and_then(|line| line.split("mod ").nth(1)) else {
                continue;
            };
            let folder = source.parent().unwrap();
            let own = source.file_stem().unwrap();
            found.extend(path.map(|path| folder.join(path)));
            found.insert(folder.join(format!("{name}.rs")));
            found.insert(folder.join(own).join(format!("{name}.rs")));
        }
    }
    found
}

/// Where tests name which requirements.
fn named() -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut tests, mut sources) = (Vec::new(), Vec::new());
    files(&root.join("tests"), &mut tests);
    files(&root.join("src"), &mut sources);
    tests.retain(|path| path.file_name().unwrap() != "requirements.rs");
    let whole: BTreeSet<PathBuf> = modules_of_tests(&sources).into_iter().chain(tests.clone()).collect();
    let mut named: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in tests.into_iter().chain(sources) {
        let text = fs::read_to_string(&path).unwrap();
        let place = path.strip_prefix(root).unwrap().display().to_string();
        for id in ids(tests_of(&text, whole.contains(&path))) {
            named.entry(id).or_default().insert(place.clone());
        }
    }
    named
}

/// What does not agree between the list and the tests.
fn disagreements(
    marks: &BTreeMap<String, String>,
    named: &BTreeMap<String, BTreeSet<String>>,
) -> Vec<String> {
    let unproved = marks.iter().filter(|(id, mark)| *mark == "done" && !named.contains_key(*id));
    let unproved = unproved.map(|(id, _)| format!("{id} is marked as done, and no test names it"));
    let unknown = named.iter().filter(|(id, _)| !marks.contains_key(*id));
    let unknown = unknown.map(|(id, places)| format!("{id} is named in {places:?}, and is not in the list"));
    unproved.chain(unknown).collect()
}

#[test]
fn what_is_done_is_proved_by_a_test() {
    let (marks, mut faults) = read(LIST);
    faults.extend(disagreements(&marks, &named()));
    assert!(faults.is_empty(), "tests/requirements.txt:\n{}", faults.join("\n"));
    for product in PRODUCTS {
        let numbers: Vec<usize> = marks
            .keys()
            .filter_map(|id| id.strip_prefix(&format!("R-{product}-")))
            .map(|number| number.parse().unwrap())
            .collect();
        assert_eq!(numbers, (1..=numbers.len()).collect::<Vec<_>>(), "{product}: one is left out");
    }
}

#[test]
fn a_list_with_faults_is_refused() {
    let faults = |list: &str| read(list).1.join("; ");
    assert_eq!(faults("# head\n\nR-AR-01  done  first\nR-AR-02  later  second\n"), "");
    assert!(faults("R-AR-01 done first").contains("line 1: it is no id, mark and words"));
    assert!(faults("R-AR-1  done  first").contains("\"R-AR-1\" is no id"));
    assert!(faults("R-AR-01  soon  first").contains("\"soon\" is none of done"));
    assert!(faults("R-AR-02  done  b\nR-AR-01  done  a").contains("R-AR-01 does not stand behind R-AR-02"));
    assert!(faults("R-AR-01  done  a\nR-AR-01  done  a").contains("R-AR-01 is there twice"));
}

#[test]
fn names_are_found_where_tests_say_them() {
    assert_eq!(ids("// R-AR-21 R-IT-04, and (R-NA-11)"), ["R-AR-21", "R-IT-04", "R-NA-11"]);
    assert_eq!(ids("async fn r_ar_21_is_proved() {}"), ["R-AR-21"]);
    assert!(ids("fn four_xu_ids() {} let r_ar_rows = xR-AR-21").is_empty());
    assert_eq!(ids("// R-AR-7 R-AR-100"), ["R-AR-7", "R-AR-100"]);
    let source = "//! R-AR-01\n#[cfg(test)]\nmod tests {\n// R-AR-02\n}";
    assert_eq!(ids(tests_of(source, false)), ["R-AR-02"]);
    assert_eq!(ids(tests_of(source, true)), ["R-AR-01", "R-AR-02"]);

    let marks = read("R-AR-01  done  a\nR-AR-02  later  b").0;
    let named = |id: &str| BTreeMap::from([(id.to_owned(), BTreeSet::from(["tests/a.rs".to_owned()]))]);
    assert!(disagreements(&marks, &named("R-AR-01")).is_empty());
    let said = disagreements(&marks, &named("R-AR-03")).join("; ");
    assert!(said.contains("R-AR-01 is marked as done") && said.contains("R-AR-03 is named in"), "{said}");
}
