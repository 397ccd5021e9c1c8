//! `walhook condition --test`.

use super::cases::{Case, Cases, Got};
use crate::app::failure::{Exit, Failure};
use crate::app::output::Output;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A larger file is none that somebody has written.
const FILE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Judges the cases of files and shows those that are not as expected.
pub(super) fn perform(output: Output, paths: &[PathBuf], now: Timestamp) -> Result<Exit, Failure> {
    let files = paths.iter().map(|path| read(path, now)).collect::<Result<Vec<_>, _>>()?;
    let (mut count, mut listed) = (0, Vec::new());
    for (path, cases) in paths.iter().zip(&files) {
        count += cases.cases.len();
        let judged = cases.cases.iter().map(|case| (case, cases.judge(case)));
        listed.extend(judged.filter(|(case, got)| !case.wanted.is(got)).map(|(case, got)| (path, case, got)));
    }
    let wrong = listed.len();
    if output.json {
        let disagreements =
            listed.iter().map(|(path, case, got)| to_json(path, case, got)).collect::<Value>();
        output.json(&json!({ "cases": count, "disagreements": disagreements }))?;
    } else {
        for (path, case, got) in &listed {
            output.text(&describe(path, case, got))?;
        }
        let cases = if count == 1 { "case" } else { "cases" };
        output.text(&match wrong {
            0 => format!("{count} {cases}, all as expected"),
            wrong => format!("{count} {cases}, {wrong} not as expected"),
        })?;
    }
    Ok(if wrong == 0 { Exit::Well } else { Exit::No })
}

fn read(path: &Path, now: Timestamp) -> Result<Cases, Failure> {
    let unreadable = |error| {
        Failure::new(
            Exit::Usage,
            std::io::Error::other(format!("{} cannot be read: {error}", path.display())),
        )
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > FILE_BYTES_MAX {
        return Err(Failure::usage(format!("{} has {size} bytes", path.display())));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    Cases::read(&text, now).map_err(|error| {
        Failure::usage(format!("{} is no file of cases: {error}", path.display()))
            .hint("docs/conditions.md shows what such a file looks like")
    })
}

fn describe(path: &Path, case: &Case, got: &Got) -> String {
    let mut text = format!("{}: {}: expected {}, got {got}\n", path.display(), case.id, case.wanted);
    let shown = match got {
        Got::Verdict(_) => &case.text,
        Got::Error { drawn, .. } => drawn,
    };
    for line in shown.lines() {
        let _ = writeln!(text, "    {line}");
    }
    text
}

fn to_json(path: &Path, case: &Case, got: &Got) -> Value {
    let (got, drawn) = match got {
        Got::Verdict(truth) => (json!({ "value": truth.as_str() }), None),
        Got::Error { when, drawn } => (json!({ "value": "error", "phase": when.as_str() }), Some(drawn)),
    };
    json!({
        "file": path.display().to_string(),
        "id": case.id,
        "qualification": case.text,
        "expected": case.wanted.to_string(),
        "got": got,
        "error": drawn,
    })
}
