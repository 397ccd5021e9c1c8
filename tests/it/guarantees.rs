//! `docs/GUARANTEES.md` says what becomes of each fault, what is seen of it and which test shows it. The page is held
//! against the sources: the tests it names exist, every fault that is played has its line, the words it quotes are
//! walhook's, and its numbers are right.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/GUARANTEES.md";
/// Binaries whose every test is a fault, and so has a line.
const PLAYED: [&str; 2] = ["faults", "museum"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All Rust files under a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// `network::broken` for `tests/faults/network/broken.rs`.
fn module(folder: &Path, file: &Path) -> Vec<String> {
    let path = file.strip_prefix(folder).unwrap().with_extension("");
    let mut words: Vec<String> =
        path.components().map(|part| part.as_os_str().to_string_lossy().into()).collect();
    if words.last().is_some_and(|word| ["main", "mod", "lib"].contains(&word.as_str())) {
        words.pop();
    }
    words
}

/// The tests of a file, by the names that `cargo test` gives them.
fn tests_in(module: &[String], text: &str) -> Vec<String> {
    let mut inner = None;
    let mut is_test = false;
    let mut found = Vec::new();
    for line in text.lines() {
        let word = line.trim_start();
        if line.starts_with('}') {
            inner = None;
        } else if let Some(name) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(" {")) {
            inner = Some(name.to_owned());
        } else if word.starts_with("#[test]") || word.starts_with("#[tokio::test") {
            is_test = true;
        } else if let Some((_, rest)) = word.split_once("fn ").filter(|_| is_test && !word.starts_with("//"))
        {
            let name = rest.split(['(', '<']).next().unwrap().to_owned();
            found.push([module, inner.as_slice(), &[name]].concat().join("::"));
            is_test = false;
        }
    }
    found
}

/// The tests of a binary, those of the shared judge among them.
fn tests_of(binary: &str) -> BTreeSet<String> {
    let folder = if binary == "--lib" { root().join("src") } else { root().join("tests").join(binary) };
    let mut found = BTreeSet::new();
    if !folder.join("main.rs").exists() {
        return found;
    }
    for file in sources(&folder) {
        found.extend(tests_in(&module(&folder, &file), &fs::read_to_string(&file).unwrap()));
    }
    if fs::read_to_string(folder.join("main.rs")).unwrap().contains("../proof/mod.rs") {
        let folder = root().join("tests");
        for file in sources(&folder.join("proof")) {
            found.extend(tests_in(&module(&folder, &file), &fs::read_to_string(&file).unwrap()));
        }
    }
    found
}

/// Rows of the tables whose first column has this name: their cells.
fn rows(page: &str, first: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        let Some(row) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
            inside &= line.starts_with("|-");
            continue;
        };
        let cells: Vec<String> = row.split(" | ").map(str::to_owned).collect();
        if inside {
            found.push(cells);
        } else {
            inside = cells[0] == first;
        }
    }
    assert!(!found.is_empty(), "there is no table of {first:?}");
    found
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// Every binary that the page names, with the filters behind it.
fn filters(page: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for row in rows(page, "fault") {
        assert!(
            row.len() == 5 && row.iter().all(|cell| !cell.trim().is_empty()),
            "a line lacks a cell: {row:?}"
        );
        let commands = quoted(&row[4]);
        assert!(!commands.is_empty(), "no command shows {:?}", row[0]);
        for command in commands {
            let (binary, filters) =
                command.split_once(" -- ").unwrap_or_else(|| panic!("no filter: {command}"));
            found.extend(filters.split(' ').map(|filter| (binary.to_owned(), filter.to_owned())));
        }
    }
    for row in rows(page, "tool") {
        for command in row[2..].iter().flat_map(|cell| quoted(cell)) {
            let Some((_, command)) = command.split_once("cargo test ") else { continue };
            let command = command.strip_prefix("--test ").unwrap_or(command);
            let (binary, filter) = command.split_once(" -- ").unwrap_or((command, ""));
            found.push((binary.to_owned(), filter.to_owned()));
        }
    }
    found
}

#[test]
fn every_command_of_the_page_finds_a_test() {
    let mut binaries = BTreeMap::new();
    let mut missing = Vec::new();
    for (binary, filter) in filters(&read(PAGE)) {
        let tests = binaries.entry(binary.clone()).or_insert_with_key(|binary| tests_of(binary));
        if !tests.iter().any(|test| test.contains(&filter)) {
            missing.push(format!("{binary} -- {filter}"));
        }
    }
    assert!(missing.is_empty(), "no test is found by: {missing:#?}");
}

#[test]
fn every_fault_that_is_played_is_on_the_page() {
    let filters = filters(&read(PAGE));
    let mut missing = Vec::new();
    for binary in PLAYED {
        let tests = tests_of(binary);
        assert!(tests.len() > 30, "{binary}: {tests:?}");
        // a binary alone is a command, and no line of its own
        let filters: Vec<&str> = filters
            .iter()
            .filter(|(named, filter)| named == binary && !filter.is_empty())
            .map(|(_, filter)| filter.as_str())
            .collect();
        let is_told = |test: &&String| filters.iter().any(|filter| test.contains(filter));
        missing.extend(
            tests.iter().filter(|test| !test.starts_with("proof::")).filter(|test| !is_told(test)).cloned(),
        );
    }
    assert!(missing.is_empty(), "these faults have no line in {PAGE}: {missing:#?}");
}

/// What `src` may say: lines with literals, each literal in one line, without comments and tests.
fn sayings() -> Vec<String> {
    let mut found = Vec::new();
    for file in sources(&root().join("src")) {
        if file.file_stem().is_some_and(|stem| stem.to_string_lossy().ends_with("tests")) {
            continue;
        }
        let text = fs::read_to_string(file).unwrap();
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
        let mut joined = String::new();
        for line in text.lines().map(str::trim_start).filter(|line| !line.starts_with("//")) {
            match line.strip_suffix('\\') {
                Some(line) => joined.push_str(line),
                None => {
                    joined.push_str(line);
                    joined.push('\n');
                }
            }
        }
        found.extend(
            joined.replace("\\\"", "\"").lines().filter(|line| line.contains('"')).map(str::to_owned),
        );
    }
    found
}

/// Whether a line has all of a saying, in order, with anything where it has an ellipsis.
fn says(mut line: &str, saying: &str) -> bool {
    saying.split('…').map(str::trim).all(|part| match line.split_once(part) {
        Some((_, rest)) => {
            line = rest;
            true
        }
        None => false,
    })
}

#[test]
fn every_word_that_is_quoted_is_walhooks() {
    let page = read(PAGE);
    let sayings = sayings();
    let mut missing = Vec::new();
    for row in rows(&page, "fault") {
        for saying in quoted(&row[2]) {
            assert!(saying.trim_matches(['…', ' ']).len() > 5, "too short to be told: {saying}");
            if !sayings.iter().any(|line| says(line, saying)) {
                missing.push(format!("{saying} ({})", row[0]));
            }
        }
    }
    assert!(missing.is_empty(), "nothing in src says: {missing:#?}");
}

/// What a heading is called in an address.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars()
        .filter(|char| char.is_alphanumeric() || " -_".contains(*char))
        .collect::<String>()
        .replace(' ', "-")
}

#[test]
fn every_link_between_the_documents_leads_somewhere() {
    let mut documents = vec!["README.md".to_owned(), "CONTRIBUTING.md".to_owned(), "CHANGELOG.md".to_owned()];
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        documents.push(format!("docs/{}", entry.unwrap().file_name().to_string_lossy()));
    }
    let mut links = BTreeSet::new();
    for document in documents.iter().filter(|name| Path::new(name).extension().is_some_and(|md| md == "md")) {
        let text = read(document);
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if target.starts_with("http") {
                continue;
            }
            let (path, place) = target.split_once('#').unwrap_or((target, ""));
            let folder = Path::new(document).parent().unwrap();
            let led = if path.is_empty() { root().join(document) } else { root().join(folder).join(path) };
            let led = led.canonicalize().unwrap_or_else(|error| panic!("{document}: {target}: {error}"));
            let is_there = place.is_empty()
                || fs::read_to_string(&led)
                    .unwrap()
                    .lines()
                    .any(|l| l.starts_with('#') && anchor(l) == place);
            assert!(is_there, "{document}: {target}: there is no such heading");
            links.insert((
                document.clone(),
                led.strip_prefix(root().canonicalize().unwrap()).unwrap().to_owned(),
            ));
        }
    }
    for (from, to) in [("README.md", PAGE), (PAGE, "README.md")] {
        assert!(links.contains(&(from.to_owned(), to.into())), "{from} does not lead to {to}");
    }
}

#[test]
fn the_laws_the_tools_and_the_numbers_are_as_they_are() {
    let page = read(PAGE);
    let laws = read("tests/proof/laws.rs");
    let (_, laws) = laws.split_once("pub enum Law {").unwrap();
    let laws: Vec<&str> = laws
        .split('}')
        .next()
        .unwrap()
        .lines()
        .map(|line| line.trim().trim_end_matches(','))
        .filter(|line| !line.is_empty() && !line.starts_with("//"))
        .collect();
    assert_eq!(rows(&page, "law").iter().map(|row| row[0].as_str()).collect::<Vec<_>>(), laws);

    let makefile = read("Makefile");
    for command in rows(&page, "tool").iter().flat_map(|row| quoted(&row[3])).chain(["make test"]) {
        let Some(command) = command.strip_prefix("make ") else { continue };
        let (target, settings) = command.split_once(' ').unwrap_or((command, ""));
        assert!(makefile.contains(&format!("\n{target}:")), "there is no make {target}");
        for setting in settings.split_whitespace() {
            let (name, _) = setting.split_once('=').unwrap();
            assert!(makefile.contains(&format!("$({name})")), "make {target} knows no {name}");
        }
    }

    let patches = fs::read_dir(root().join("tests/simulation/mutants")).unwrap().count();
    assert!(patches > 20, "{PAGE} tells of more than 20 patches, there are {patches}");
    let exhibits = read("tests/museum/main.rs").lines().filter(|line| line.starts_with("//! | `")).count();
    let places = walhook::failpoint::NAMES.len();
    for (document, number, what) in [
        (PAGE, exhibits, "ways in which other tools lost changes"),
        (PAGE, places, "named places"),
        ("README.md", places, "named places"),
    ] {
        let told = read(document).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(told.contains(&format!("{number} {what}")), "{document}: there are {number} {what}");
    }
}
