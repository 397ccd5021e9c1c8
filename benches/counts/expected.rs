//! What the steps should take, as it stands in a file, and what is said of what they take.

use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt::Write;

/// What a step may differ by where nobody has said otherwise.
const TOLERANCE_PERCENT: f64 = 5.0;
/// Another compiler makes other code of the same source. By so much more it must not take, whatever the tolerance.
pub const OTHER_COMPILER_PERCENT: f64 = 10.0;

/// The file.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Expected {
    /// The compiler of the counts: `1.95.0`.
    pub rustc: String,
    /// What it compiled for: `x86_64-unknown-linux-gnu`.
    pub target: String,
    /// By name.
    #[serde(default)]
    pub steps: BTreeMap<String, Count>,
}

/// What is expected of a step.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct Count {
    pub instructions: u64,
    pub tolerance_percent: f64,
}

/// What was measured of a step.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    pub step: &'static str,
    pub per: &'static str,
    pub instructions: u64,
}

/// What compiled the code that was measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiler {
    pub rustc: String,
    pub target: String,
}

impl Compiler {
    /// From what `rustc --version --verbose` says.
    pub fn read(said: &str) -> Option<Self> {
        let line = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
        Some(Self { rustc: line("release: ")?, target: line("host: ")? })
    }
}

impl Expected {
    pub fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }

    /// How much less and more a step may take; none where there is no limit.
    fn bounds(&self, count: Count, compiler: &Compiler) -> (Option<f64>, Option<f64>) {
        let tolerance = count.tolerance_percent;
        match () {
            () if self.target != compiler.target => (None, None),
            () if self.rustc != compiler.rustc => (None, Some(tolerance.max(OTHER_COMPILER_PERCENT))),
            () => (Some(tolerance), Some(tolerance)),
        }
    }

    /// How a step has changed, in percent.
    pub fn change_percent(&self, measured: &Measured) -> Option<f64> {
        let count = self.steps.get(measured.step)?;
        let expected = count.instructions.max(1) as f64;
        Some((measured.instructions as f64 - expected) * 100.0 / expected)
    }

    /// What is wrong with a step, if anything is.
    pub fn fault(&self, measured: &Measured, compiler: &Compiler) -> Option<String> {
        let Measured { step, per, instructions } = measured;
        let takes = format!("{step:?} takes {instructions} instructions per {per}");
        let (Some(count), Some(change)) = (self.steps.get(*step), self.change_percent(measured)) else {
            return Some(format!(
                "{takes}, and nothing is expected of it: write it down (make counts-accept)"
            ));
        };
        let expected = count.instructions;
        match self.bounds(*count, compiler) {
            (_, Some(more)) if change > more => Some(format!(
                "{takes}, expected were {expected}: {change:.1} % more, with a tolerance of {more} %; mend it, or, if it \
                 is worth that, write it down (make counts-accept)"
            )),
            (Some(less), _) if -change > less => Some(format!(
                "{takes}, expected were {expected}: {:.1} % less, with a tolerance of {less} %; write the new count \
                 down, so that it stays (make counts-accept)",
                -change
            )),
            _ => None,
        }
    }

    /// Those of which something is expected and that are no steps (any more).
    pub fn unknown<'a>(&'a self, steps: &'a [&str]) -> impl Iterator<Item = String> {
        let gone = self.steps.keys().filter(|name| !steps.contains(&name.as_str()));
        gone.map(|name| format!("{name:?} is expected, and there is no such step (make counts-accept)"))
    }

    /// What has to be said where another compiler than that of the counts was at work.
    pub fn reservation(&self, compiler: &Compiler) -> Option<String> {
        let Self { rustc, target, .. } = self;
        if *target != compiler.target {
            return Some(format!(
                "the counts were made on {target}, this is {}: nothing was compared",
                compiler.target
            ));
        }
        (*rustc != compiler.rustc).then(|| {
            format!(
                "the counts were made by rustc {rustc}, this is {}: only what takes more than {OTHER_COMPILER_PERCENT} % \
                 more is refused; make counts-accept writes the counts of this compiler down",
                compiler.rustc
            )
        })
    }

    /// The file with what was measured; tolerances stay as they are, and so does what was not measured.
    pub fn accept(&self, measured: &[Measured], steps: &[&str], compiler: &Compiler) -> Self {
        let mut accepted = self.steps.clone();
        accepted.retain(|name, _| steps.contains(&name.as_str()));
        for one in measured {
            let tolerance_percent =
                accepted.get(one.step).map_or(TOLERANCE_PERCENT, |known| known.tolerance_percent);
            accepted.insert(one.step.to_owned(), Count { instructions: one.instructions, tolerance_percent });
        }
        let Compiler { rustc, target } = compiler.clone();
        Self { rustc, target, steps: accepted }
    }

    /// The file's text, steps in the given order.
    pub fn print(&self, steps: &[&str]) -> String {
        let Self { rustc, target, .. } = self;
        let mut text = format!(
            "# The instructions of the steps of a change's path: `make counts` compares, `make counts-accept` writes.\n\
             # docs/PERFORMANCE.md says what is counted and where the tolerances come from.\n\
             rustc = {rustc:?}\ntarget = {target:?}\n\n[steps]\n"
        );
        for (name, count) in steps.iter().filter_map(|name| Some((name, self.steps.get(*name)?))) {
            let Count { instructions, tolerance_percent } = count;
            let _ = writeln!(
                text,
                "{name:?} = {{ instructions = {instructions}, tolerance_percent = {tolerance_percent} }}"
            );
        }
        text
    }
}
