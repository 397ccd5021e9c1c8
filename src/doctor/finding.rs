//! What the doctor says.

use anstyle::{AnsiColor, Style};
use serde_json::{Value, json};
use std::fmt::{self, Write};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// It is as it should be.
    Ok,
    /// Worth knowing.
    Note,
    /// It works, but something is lost or at risk.
    Warning,
    /// It does not work, or harms the application.
    Error,
}

impl Severity {
    /// The word: `warning`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Note => AnsiColor::Cyan.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Error => AnsiColor::Red.on_default().bold(),
        }
    }
}

/// What mends a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mend {
    /// Statements, ready to execute.
    Sql(String),
    /// Statements that take effect when the server restarts.
    SqlAndRestart(String),
    /// A key of the configuration, and what to write there.
    Key(String),
    /// Something to do, in words.
    Do(String),
}

impl Mend {
    fn text(&self) -> &str {
        match self {
            Self::Sql(text) | Self::SqlAndRestart(text) | Self::Key(text) | Self::Do(text) => text,
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What it is about: `publication "walhook"`.
    pub object: String,
    /// What was found, in words.
    pub what: String,
    /// What mends it.
    pub mend: Option<Mend>,
}

impl Finding {
    /// A finding without a mend.
    pub fn new(severity: Severity, object: impl Into<String>, what: impl Into<String>) -> Self {
        Self { severity, object: object.into(), what: what.into(), mend: None }
    }

    /// The same with what mends it.
    pub fn mended_by(mut self, mend: Mend) -> Self {
        self.mend = Some(mend);
        self
    }
}

/// Everything that was looked at.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// In the order of looking.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether something is an error: the command's exit code is 1 then.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.severity == Severity::Error)
    }

    /// How many findings are that bad.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// For programs: `{"ok", "findings": [{"severity", "object", "what", "remedy": {"sql" | "key" | "do"}}]}`.
    pub fn to_json(&self) -> Value {
        let findings = self.findings.iter().map(|finding| {
            let remedy = finding.mend.as_ref().map(|mend| match mend {
                Mend::Sql(sql) => json!({ "sql": sql, "restart": false }),
                Mend::SqlAndRestart(sql) => json!({ "sql": sql, "restart": true }),
                Mend::Key(key) => json!({ "key": key }),
                Mend::Do(text) => json!({ "do": text }),
            });
            json!({
                "severity": finding.severity.as_str(),
                "object": finding.object,
                "what": finding.what,
                "remedy": remedy,
            })
        });
        json!({ "ok": !self.has_errors(), "findings": findings.collect::<Vec<_>>() })
    }
}

impl fmt::Display for Report {
    /// For people, in colour; print it through `anstream`, which leaves the colours out where they do not
    /// belong.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            let style = finding.severity.style();
            let word = finding.severity.as_str();
            let mut what = finding.what.lines();
            let first = what.next().unwrap_or_default();
            writeln!(f, "{style}{word:<8}{style:#} {}: {first}", finding.object)?;
            for line in what {
                writeln!(f, "         {line}")?;
            }
            let Some(mend) = &finding.mend else { continue };
            let lead = match mend {
                Mend::Sql(_) => "remedy: ",
                Mend::SqlAndRestart(_) => "remedy, then restart the server: ",
                Mend::Key(_) => "remedy in the configuration: ",
                Mend::Do(_) => "remedy: ",
            };
            let mut lines = mend.text().lines();
            let bold = Style::new().bold();
            writeln!(f, "         {lead}{bold}{}{bold:#}", lines.next().unwrap_or_default())?;
            for line in lines {
                writeln!(f, "         {bold}{line}{bold:#}")?;
            }
        }
        let mut summary = String::new();
        for severity in [Severity::Error, Severity::Warning, Severity::Note, Severity::Ok] {
            let count = self.count(severity);
            if count > 0 {
                let comma = if summary.is_empty() { "" } else { ", " };
                let s = if count == 1 || severity == Severity::Ok { "" } else { "s" };
                write!(summary, "{comma}{count} {}{s}", severity.as_str())?;
            }
        }
        writeln!(f, "{summary}")
    }
}
