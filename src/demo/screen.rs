//! What one sees: lines, one after the other, so that it reads the same on a terminal, in a file and in a log.

use super::desk::{Desk, ENDPOINTS};
use super::ledger::{Came, Summary};
use anstream::{AutoStream, ColorChoice};
use anstyle::{AnsiColor, Style};
use serde_json::Value;
use std::io::{self, Stdout, Write};
use std::time::Duration;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const BAD: Style = AnsiColor::Red.on_default();
const WARM: Style = AnsiColor::Yellow.on_default();
const COOL: Style = AnsiColor::Cyan.on_default();

/// The longest value that is shown whole, in characters.
const VALUE_MAX: usize = 28;

/// Standard output.
pub(super) struct Screen {
    out: AutoStream<Stdout>,
}

impl Screen {
    /// With colours or without.
    pub(super) fn new(color: ColorChoice) -> Self {
        Self { out: AutoStream::new(io::stdout(), color) }
    }

    /// A line as it is.
    pub(super) fn line(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// The first lines.
    pub(super) fn title(&mut self, on_your_server: bool) -> io::Result<()> {
        let place = if on_your_server { "your PostgreSQL" } else { "a throwaway PostgreSQL" };
        self.line(&format!("\n{BOLD}walhook demo{BOLD:#} {DIM}· a help desk on {place}{DIM:#}\n"))
    }

    /// Where everything is.
    pub(super) fn places(&mut self, desk: &Desk) -> io::Result<()> {
        self.line(&format!("  {DIM}database{DIM:#}   {}", desk.place()))?;
        self.line(&format!("  {DIM}walhook{DIM:#}    process {}, beside it", desk.process()))?;
        for (number, endpoint) in ENDPOINTS.iter().enumerate() {
            let label = if number == 0 { "endpoints" } else { "" };
            let (name, wants) = (endpoint.name, endpoint.wants);
            self.line(&format!("  {DIM}{label:<9}{DIM:#}  {COOL}{name:<10}{COOL:#} {wants}"))?;
        }
        Ok(())
    }

    /// A new act.
    pub(super) fn act(&mut self, number: u8, title: &str) -> io::Result<()> {
        self.line(&format!("\n{BOLD}{number}  {title}{BOLD:#}"))
    }

    /// Somebody did something.
    pub(super) fn change(&mut self, who: &str, what: &str) -> io::Result<()> {
        self.line(&format!("\n  {BOLD}{who:<7}{BOLD:#} {what}"))
    }

    /// Something happened beside the application.
    pub(super) fn remark(&mut self, text: &str) -> io::Result<()> {
        self.line(&format!("          {WARM}{text}{WARM:#}"))
    }

    /// Something arrived.
    pub(super) fn came(&mut self, came: &Came) -> io::Result<()> {
        let endpoint = came.path.trim_start_matches('/');
        let told = &came.told;
        let end = match (came.status, came.after) {
            (Some(200..=299), Some(after)) => format!("{GOOD}{:>5} ms{GOOD:#}", after.as_millis()),
            (Some(200..=299), None) => format!("{DIM}a repeat{DIM:#}"),
            (Some(status), _) => format!("{BAD}refused, {status}{BAD:#}"),
            (None, _) => format!("{BAD} cut off{BAD:#}"),
        };
        let replay = if came.replay { format!("  {WARM}replay{WARM:#}") } else { String::new() };
        let fields: Vec<String> = told.fields.iter().map(|field| field_text(field, &told.verb)).collect();
        let fields = fields.join(", ");
        let (verb, entry_id) = (&told.verb, &told.entry_id);
        let line = format!(
            "          {COOL}→ {endpoint:<10}{COOL:#} {verb:<7} {entry_id:<8} {end}{replay}  {fields}"
        );
        self.line(line.trim_end())
    }

    /// The sums.
    pub(super) fn summary(&mut self, summary: &Summary) -> io::Result<()> {
        let Summary { commits, owed, delivered, refused, repeats, surplus, lost, median, ninth } = *summary;
        self.line(&format!("\n{BOLD}   In sum{BOLD:#}\n"))?;
        let mut row = |number: usize, what: &str, style: Style| {
            self.line(&format!("  {style}{number:>6}{style:#}  {what}"))
        };
        row(commits, "transactions committed by the application", BOLD)?;
        row(owed, "deliveries owed to the endpoints", BOLD)?;
        row(delivered, "delivered", GOOD)?;
        row(refused, "requests refused on the way, and tried again or replayed", DIM)?;
        row(repeats, "repeats, recognisable by their webhook-id", DIM)?;
        row(surplus, "deliveries that nobody was owed", if surplus == 0 { GOOD } else { BAD })?;
        row(lost, "lost", if lost == 0 { GOOD } else { BAD })?;
        self.line(&format!(
            "\n          from commit to arrival: {} in the middle, nine of ten within {} {DIM}(outages included){DIM:#}\n",
            milliseconds(median),
            milliseconds(ninth)
        ))
    }

    /// How to play on.
    pub(super) fn invitation(&mut self, desk: &Desk) -> io::Result<()> {
        self.line(&format!("{BOLD}   It stays, to play with.{BOLD:#} Ctrl-C ends it and cleans up.\n"))?;
        for (label, text) in desk.to_play_with() {
            self.line(&format!("  {DIM}{label:<13}{DIM:#} {text}"))?;
        }
        self.line("")
    }
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
}

fn field_text((field, old, new): &(String, Option<Value>, Value), verb: &str) -> String {
    match old {
        Some(old) => format!("{field} {} → {}", value_text(old), value_text(new)),
        None if verb == "update" => format!("{field} → {}", value_text(new)),
        None => field.clone(),
    }
}

fn value_text(value: &Value) -> String {
    let text = match value {
        Value::Null => "∅".to_owned(),
        other => other.to_string(),
    };
    if text.chars().count() <= VALUE_MAX {
        return text;
    }
    text.chars().take(VALUE_MAX - 1).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_shown_short() {
        assert_eq!(value_text(&json!(null)), "∅");
        assert_eq!(value_text(&json!("printer")), "\"printer\"");
        assert_eq!(value_text(&json!("ü".repeat(100))).chars().count(), VALUE_MAX);
        let field = ("Status".to_owned(), Some(json!(0)), json!(1));
        assert_eq!(field_text(&field, "update"), "Status 0 → 1");
    }
}
