//! What is wrong with the text of a condition, and how it is shown.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;

/// How much of a line is looked at on each side of a place, for drawing; more does not fit a terminal.
const SHOWN_BYTES_MAX: usize = 1024;

/// When a fault shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The text is not in the grammar.
    Parse,
    /// The text does not fit the form.
    Bind,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When it shows.
    pub phase: Phase,
    /// Where in the text, in bytes; an empty range at the end means that something is missing there.
    pub place: Range<usize>,
    /// What is wrong, in lower case without full stop: `there is no field 'Stauts'`.
    pub message: String,
    /// What to write instead: `did you mean 'Status'?`.
    pub remedy: Option<String>,
}

/// All that is wrong, at least one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults(pub Vec<Fault>);

impl Fault {
    /// The fault drawn below its line of the text, with line and column (in characters, from 1) and a caret.
    pub fn draw(&self, text: &str) -> String {
        let place = within(text, &self.place);
        let (line, column) = position(text, place.start);
        // one line of the text, and of a long one no more than is drawn: what a place covers beyond it is not shown
        let before = &text[..place.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let shown_start = line_start.max(floor(text, place.start.saturating_sub(SHOWN_BYTES_MAX)));
        let line_end = text[place.start..].find('\n').map_or(text.len(), |at| place.start + at);
        let shown_end = line_end.min(floor(text, place.start.saturating_add(SHOWN_BYTES_MAX)));
        let shown = text[shown_start..shown_end].trim_end_matches('\r');
        let within_shown = |at: usize| (at - shown_start).min(shown.len());
        let mark = within_shown(place.start)..within_shown(place.end.min(shown_end));
        let snippet = Snippet::source(shown).line_start(line).annotation(AnnotationKind::Primary.span(mark));
        let title = format!("line {line}, column {column}: {}", self.message);
        let mut group = Level::ERROR.primary_title(title).element(snippet);
        if let Some(remedy) = &self.remedy {
            group = group.element(Level::HELP.message(remedy.as_str()));
        }
        Renderer::plain().render(&[group])
    }
}

impl Faults {
    /// All of them drawn, one below the other.
    pub fn draw(&self, text: &str) -> String {
        let drawn: Vec<String> = self.0.iter().map(|fault| fault.draw(text)).collect();
        drawn.join("\n\n")
    }
}

/// Line and column of a byte of a text, both from 1; the column counts characters.
pub fn position(text: &str, byte: usize) -> (usize, usize) {
    let before = &text[..floor(text, byte)];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// A place within the text and on its characters, whatever text it came from.
fn within(text: &str, place: &Range<usize>) -> Range<usize> {
    let start = floor(text, place.start);
    start..floor(text, place.end).max(start)
}

/// The start of the character that a byte belongs to.
fn floor(text: &str, byte: usize) -> usize {
    let byte = byte.min(text.len());
    (0..=byte).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

impl fmt::Display for Fault {
    /// In one line, without the text: `there is no field 'Stauts' (did you mean 'Status'?)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        self.remedy.iter().try_for_each(|remedy| write!(f, " ({remedy})"))
    }
}

impl fmt::Display for Faults {
    /// In one line, without the text.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, fault) in self.0.iter().enumerate() {
            let separator = if number == 0 { "" } else { "; " };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Fault {}

impl std::error::Error for Faults {}
