//! What was measured: said at once, written as JSON lines, compared at the end.

use crate::Trouble;
use comfy_table::{CellAlignment, Table, presets};
use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;

/// Named figures, in the order in which they are shown.
pub type Values = Vec<(&'static str, f64)>;

/// One run's figures.
struct Figure {
    series: String,
    round: usize,
    values: Values,
    is_valid: bool,
}

/// A ratio, or a figure alone, and what is to be reached.
pub struct Comparison {
    pub value: &'static str,
    pub of: String,
    /// What it is divided by; none for the figure itself.
    pub to: Option<String>,
    pub target: Target,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    AtLeast(f64),
    AtMost(f64),
    /// Nothing was promised.
    None,
}

impl Target {
    fn said(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("at least {bound}"),
            Self::AtMost(bound) => format!("at most {bound}"),
            Self::None => String::new(),
        }
    }

    fn is_met(self, value: f64) -> Option<bool> {
        match self {
            Self::AtLeast(bound) => Some(value >= bound),
            Self::AtMost(bound) => Some(value <= bound),
            Self::None => None,
        }
    }
}

/// All figures of a mode.
pub struct Results {
    mode: String,
    machine: Value,
    json: Option<File>,
    figures: Vec<Figure>,
}

impl Results {
    /// Results go to standard output, and to a file if one is named (behind what is in it).
    pub fn new(mode: &str, machine: Value, json: Option<&Path>) -> Result<Self, Trouble> {
        let json = json.map(|path| OpenOptions::new().create(true).append(true).open(path)).transpose()?;
        Ok(Self { mode: mode.to_owned(), machine, json, figures: Vec::new() })
    }

    /// Takes a run's figures. A fault makes them invalid: they are shown, and compared with nothing.
    pub fn add(
        &mut self,
        series: &str,
        round: usize,
        values: Values,
        fault: Option<String>,
    ) -> Result<(), Trouble> {
        let shown: Vec<String> =
            values.iter().map(|(name, value)| format!("{name} {}", short(*value))).collect();
        let mut line = format!("round {round}  {series:<36}  {}", shown.join("  "));
        if let Some(fault) = &fault {
            line.push_str(&format!("  INVALID: {fault}"));
        }
        println!("{line}");
        if let Some(file) = &mut self.json {
            let figures: Map<String, Value> =
                values.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
            let line = json!({
                "mode": self.mode, "series": series, "round": round, "figures": figures, "fault": fault,
                "load": crate::machine::load(), "machine": self.machine,
            });
            writeln!(file, "{line}")?;
        }
        self.figures.push(Figure { series: series.to_owned(), round, values, is_valid: fault.is_none() });
        Ok(())
    }

    /// Whether every run was valid.
    pub fn are_valid(&self) -> bool {
        self.figures.iter().all(|figure| figure.is_valid)
    }

    /// The medians of each series, then the comparisons; both as Markdown.
    pub fn say(&self, comparisons: &[Comparison]) {
        println!("\n{}", self.medians());
        if !comparisons.is_empty() {
            println!("\n{}", self.compared(comparisons));
        }
    }

    fn medians(&self) -> Table {
        let mut names: Vec<&'static str> = Vec::new();
        let mut series: Vec<&str> = Vec::new();
        for figure in &self.figures {
            if !series.contains(&figure.series.as_str()) {
                series.push(&figure.series);
            }
            for (name, _) in &figure.values {
                if !names.contains(name) {
                    names.push(name);
                }
            }
        }
        let header = ["median [range]"].into_iter().chain(names.iter().copied());
        let mut table = table(header.map(str::to_owned).collect());
        for series in series {
            let cells = names.iter().map(|name| spread(self.values(series, name)));
            table.add_row(std::iter::once(series.to_owned()).chain(cells).collect::<Vec<_>>());
        }
        table
    }

    fn compared(&self, comparisons: &[Comparison]) -> Table {
        let header = ["figure", "of", "to", "ratio [range]", "target", ""];
        let mut table = table(header.map(str::to_owned).to_vec());
        for comparison in comparisons {
            let values = self.ratios(comparison);
            let met = median(values.clone()).and_then(|median| comparison.target.is_met(median));
            table.add_row([
                comparison.value.to_owned(),
                comparison.of.clone(),
                comparison.to.clone().unwrap_or_default(),
                spread(values),
                comparison.target.said(),
                met.map_or("", |met| if met { "met" } else { "missed" }).to_owned(),
            ]);
        }
        table
    }

    /// A series' valid values of that name, by round.
    fn values(&self, series: &str, name: &str) -> Vec<f64> {
        self.by_round(series, name).into_iter().map(|(_, value)| value).collect()
    }

    fn by_round(&self, series: &str, name: &str) -> Vec<(usize, f64)> {
        self.figures
            .iter()
            .filter(|figure| figure.is_valid && figure.series == series)
            .filter_map(|figure| {
                let (_, value) = figure.values.iter().find(|(known, _)| *known == name)?;
                Some((figure.round, *value))
            })
            .collect()
    }

    /// Each round's value by the other one of the same round: what disturbs the machine disturbs both.
    fn ratios(&self, comparison: &Comparison) -> Vec<f64> {
        let of = self.by_round(&comparison.of, comparison.value);
        let Some(to) = &comparison.to else { return of.into_iter().map(|(_, value)| value).collect() };
        let to = self.by_round(to, comparison.value);
        of.into_iter()
            .filter_map(|(round, value)| {
                let (_, limit) = to.iter().find(|(other, _)| *other == round)?;
                (*limit > 0.0).then_some(value / limit)
            })
            .collect()
    }
}

fn table(header: Vec<String>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], *upper) } else { *upper })
}

fn spread(values: Vec<f64>) -> String {
    let min = values.iter().copied().min_by(f64::total_cmp);
    let max = values.iter().copied().max_by(f64::total_cmp);
    match (values.len(), median(values), min, max) {
        (0, ..) => String::new(),
        (1, Some(value), ..) => short(value),
        (_, Some(median), Some(min), Some(max)) => {
            format!("{} [{}–{}]", short(median), short(min), short(max))
        }
        _ => String::new(),
    }
}

/// As many digits as mean something.
fn short(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
