//! What commands print: tables and texts for people, JSON for programs. A closed pipe is an error that ends
//! the command quietly, never a panic.

use super::failure::Failure;
use comfy_table::presets::NOTHING;
use comfy_table::{ContentArrangement, Table};
use serde_json::Value;
use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

/// The ways out.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    /// Whether a program reads.
    pub json: bool,
}

impl Output {
    /// Prints a text; a line end is added where it has none.
    pub fn text(self, text: &str) -> Result<(), Failure> {
        let mut out = anstream::stdout().lock();
        out.write_all(text.as_bytes())?;
        if !text.ends_with('\n') {
            out.write_all(b"\n")?;
        }
        Ok(out.flush()?)
    }

    /// Prints JSON, indented.
    pub fn json(self, value: &Value) -> Result<(), Failure> {
        self.text(&format!("{value:#}"))
    }

    /// Prints a list: as JSON for programs, else as a table, which fits the terminal if there is one. An empty
    /// table is said in words.
    pub fn list(
        self,
        json: impl FnOnce() -> Value,
        header: &[&str],
        rows: Vec<Vec<String>>,
        empty: &str,
    ) -> Result<(), Failure> {
        if self.json {
            return self.json(&json());
        }
        if rows.is_empty() {
            return self.text(empty);
        }
        self.text(&table(header, rows, terminal_width()))
    }

    /// Prints a note for people beside the output, on standard error; programs do not see it.
    pub fn note(self, text: &str) {
        if !self.json {
            // nobody reads: nothing is lost
            let _ = writeln!(anstream::stderr(), "{text}");
        }
    }

    /// Asks for a yes on the terminal. Without one, the answer is that `--yes` is needed.
    pub fn confirm(self, question: &str) -> Result<(), Failure> {
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            return Err(Failure::usage(format!("not done without a yes: {question}"))
                .hint("there is no terminal to ask on; say --yes if you are sure"));
        }
        let mut stderr = anstream::stderr();
        write!(stderr, "{question} [y/N] ")?;
        stderr.flush()?;
        let mut answer = String::new();
        io::stdin().lock().read_line(&mut answer)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err(Failure::no("not done")),
        }
    }

    /// Asks something on the terminal; an empty answer is none.
    pub fn ask(self, question: &str) -> Result<Option<String>, Failure> {
        let mut stderr = anstream::stderr();
        write!(stderr, "{question} ")?;
        stderr.flush()?;
        let mut answer = String::new();
        if io::stdin().lock().read_line(&mut answer)? == 0 {
            return Err(Failure::no("not done: nobody answers"));
        }
        let answer = answer.trim();
        Ok((!answer.is_empty()).then(|| answer.to_owned()))
    }
}

/// The width of the terminal; none where there is none, for then nothing is cut or folded.
fn terminal_width() -> Option<u16> {
    if !io::stdout().is_terminal() {
        return None;
    }
    // set by shells that export it; 120 is a fair guess where it is not
    Some(std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok()).unwrap_or(120))
}

fn table(header: &[&str], rows: Vec<Vec<String>>, width: Option<u16>) -> String {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header.iter().copied());
    match width {
        Some(width) => table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width),
        None => table.set_content_arrangement(ContentArrangement::Disabled),
    };
    for row in rows {
        table.add_row(row.iter().map(|cell| printable(&in_one_line(cell))));
    }
    let drawn = table.to_string();
    let lines: Vec<&str> = drawn.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// A text for a cell of a table. Of a drawn fault the line of the condition and the carets go, what is said stays.
fn in_one_line(text: &str) -> Cow<'_, str> {
    if !text.contains('\n') {
        return Cow::Borrowed(text);
    }
    let is_drawing = |line: &str| {
        line.trim_start_matches([' ', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9']).starts_with('|')
    };
    let lines = text.lines().filter(|line| !is_drawing(line)).map(str::trim).filter(|line| !line.is_empty());
    let said = lines.map(|line| match line.strip_prefix("= help: ") {
        Some(help) => format!("({help})"),
        None => line.to_owned(),
    });
    Cow::Owned(said.collect::<Vec<_>>().join(" "))
}

/// A text from outside with its control characters made visible, so that it cannot steer the terminal.
pub fn printable(text: &str) -> String {
    let mut printed = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() {
            let _ = write!(printed, "{}", character.escape_default());
        } else {
            printed.push(character);
        }
    }
    printed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drawn_fault_is_one_line_of_a_table() {
        let drawn = "form \"f\": error: line 2, column 12: there is no choice \"x\"\n  |\n2 | 'A' = 1 | 2\n10 | 'S' = \"x\"\n  \
                     |       ^^^\n  |\n  = help: did you mean \"y\"?";
        let wanted = "form \"f\": error: line 2, column 12: there is no choice \"x\" (did you mean \"y\"?)";
        assert!(table(&["why"], vec![vec![drawn.to_owned()]], None).ends_with(wanted));
    }

    #[test]
    fn texts_from_outside_cannot_steer_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\n✓"), "a\\u{1b}[2Jb\\n✓");
    }

    #[test]
    fn a_table_without_a_terminal_is_not_folded() {
        let drawn = table(&["name", "state"], vec![vec!["x".repeat(200), "dead".into()]], None);
        assert_eq!(drawn.lines().count(), 2, "{drawn}");
        assert!(drawn.contains(&"x".repeat(200)));
    }
}
