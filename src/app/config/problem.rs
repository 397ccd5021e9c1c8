//! What is wrong with a configuration file: all of it at once, each with its place and its remedy.

use super::masking;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// How many problems are kept and shown. A file of another kind has one in every line, and nobody reads them.
const SHOWN_MAX: usize = 100;

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where, in bytes from the beginning of the file.
    pub span: Range<usize>,
    /// Which key: `webhooks[2].callback.url`; empty where the file is no TOML.
    pub key: String,
    /// What is wrong, without any value that might be secret.
    pub message: String,
    /// What to do.
    pub remedy: Option<String>,
    /// Another place that has to do with it, and what it is.
    pub other: Option<(Range<usize>, &'static str)>,
    /// Where the file's value is not written as it is meant (with escapes or variables): the text that is meant, and
    /// where in it.
    pub inside: Option<(String, Range<usize>)>,
}

/// Everything that is wrong with a file. Its text is the drawing without colours.
#[derive(Clone, PartialEq, Eq)]
pub struct Problems {
    path: PathBuf,
    /// The file with everything secret in it replaced by `*`, byte for byte.
    text: String,
    list: Vec<Problem>,
    /// How many more there are.
    left_out: usize,
}

impl std::error::Error for Problems {}

impl fmt::Debug for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.draw(&Renderer::plain()))
    }
}

impl Problems {
    /// The problems of a file, in the order of their places. `secret` are the places that must not be shown.
    pub(super) fn new(path: &Path, text: &str, secret: &[Range<usize>], mut list: Vec<Problem>) -> Self {
        list.sort_by_key(|problem| (problem.span.start, problem.span.end));
        list.dedup();
        let left_out = list.len().saturating_sub(SHOWN_MAX);
        list.truncate(SHOWN_MAX);
        Self { path: path.to_owned(), text: masking::mask(text, secret), list, left_out }
    }

    /// The problems, of very many the first ones.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len() + self.left_out
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Line and column of a problem, both from 1; the column counts characters.
    pub fn place(&self, problem: &Problem) -> (usize, usize) {
        let start = floor_char_boundary(&self.text, problem.span.start);
        let before = &self.text[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
    }

    /// Draws the problems for a terminal, in colour.
    pub fn draw_styled(&self) -> String {
        self.draw(&Renderer::styled())
    }

    /// The problems as JSON: an object with a list.
    pub fn to_json(&self) -> serde_json::Value {
        let problems: Vec<_> = self
            .iter()
            .map(|problem| {
                let (line, column) = self.place(problem);
                serde_json::json!({
                    "file": self.path.display().to_string(),
                    "line": line,
                    "column": column,
                    "key": problem.key,
                    "message": problem.message,
                    "remedy": problem.remedy,
                })
            })
            .collect();
        serde_json::json!({ "problems": problems })
    }

    fn draw(&self, renderer: &Renderer) -> String {
        let mut drawn: Vec<String> = self.iter().map(|problem| self.draw_one(problem, renderer)).collect();
        if self.left_out > 0 {
            drawn.push(format!("and {} more problems: is this the right file?", self.left_out));
        }
        drawn.join("\n\n")
    }

    fn draw_one(&self, problem: &Problem, renderer: &Renderer) -> String {
        let path = self.path.display().to_string();
        let mark = |span: &Range<usize>| mark_in(&self.text, span);
        let mut snippet = Snippet::source(self.text.as_str())
            .path(path)
            .annotation(AnnotationKind::Primary.span(mark(&problem.span)));
        if let Some((span, label)) = &problem.other {
            snippet = snippet.annotation(AnnotationKind::Context.span(mark(span)).label(*label));
        }
        let mut group = Level::ERROR.primary_title(problem.message.as_str()).element(snippet);
        // variables may have put a password there
        let inside = problem.inside.as_ref().map(|(text, span)| (masking::mask(text, &[]), span));
        if let Some((text, span)) = &inside {
            let mark = mark_in(text, span);
            let snippet = Snippet::source(text.as_str()).annotation(AnnotationKind::Primary.span(mark));
            group = group.element(snippet.path(problem.key.as_str()));
        }
        if let Some(remedy) = &problem.remedy {
            group = group.element(Level::HELP.message(remedy.as_str()));
        }
        renderer.render(&[group])
    }
}

fn mark_in(text: &str, span: &Range<usize>) -> Range<usize> {
    let start = floor_char_boundary(text, span.start);
    let end = floor_char_boundary(text, span.end).max(start);
    // a mark over several lines would draw them all
    let line = text[start..end].find('\n').map_or(end, |at| start + at);
    start..line
}

fn floor_char_boundary(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
