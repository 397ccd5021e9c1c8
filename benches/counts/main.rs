//! The instructions that each step of a change's path takes, counted by valgrind's callgrind and compared with what
//! stands in benches/counts/expected.toml: `make counts`. Counts do not depend on how fast or busy the machine is.
//!
//! A step is played in a process of its own, once so often and once twice as often; the difference is what it takes.

// a program of its own: nobody else reaches what its modules share
#![allow(unreachable_pub)]

mod expected;
mod played;
mod sample;
mod steps;
mod valgrind;

use clap::{Parser, Subcommand};
use expected::{Compiler, Expected, Measured};
use std::path::Path;
use std::process::{Command, ExitCode};
use steps::{STEPS, Step};

/// What ends a measurement.
type Trouble = Box<dyn std::error::Error + Send + Sync>;

const EXPECTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/counts/expected.toml");
/// How often each step is played by `cargo test`, to see that it does what it is for.
const FEW: u64 = 40;

/// Counts the instructions of the steps of a change's path.
#[derive(Debug, Parser)]
#[command(name = "counts")]
struct Options {
    #[command(subcommand)]
    mode: Option<Mode>,
    /// What cargo says to every bench
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, Subcommand)]
enum Mode {
    /// Counts, and fails where a step takes more or less than it may
    Check {
        /// Only steps whose name has this in it
        step: Option<String>,
    },
    /// Counts, and writes down what was counted
    Accept {
        /// Only steps whose name has this in it
        step: Option<String>,
    },
    /// Does a step so often: what is counted
    #[command(hide = true)]
    Play { step: String, times: u64 },
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.mode {
        Some(Mode::Check { step }) => check(step.as_deref()),
        Some(Mode::Accept { step }) => accept(step.as_deref()),
        Some(Mode::Play { step, times }) => play(&step, times),
        // `cargo bench` runs every bench without a mode, also where there is no valgrind
        None if options.bench => show(),
        None => {
            println!("each step a few times, to see that it does what it is for: nothing is counted");
            for step in STEPS {
                (step.play)(FEW, FEW);
            }
            Ok(true)
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(trouble) => {
            eprintln!("counts: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn play(name: &str, times: u64) -> Result<bool, Trouble> {
    let step = STEPS.iter().find(|step| step.name == name).ok_or("there is no such step")?;
    (step.play)(step.times, times);
    Ok(true)
}

fn show() -> Result<bool, Trouble> {
    if let Err(trouble) = valgrind::look() {
        println!("{trouble}");
        return Ok(true);
    }
    measure(&expected()?, None)?;
    Ok(true)
}

fn check(part: Option<&str>) -> Result<bool, Trouble> {
    let (expected, compiler) = (expected()?, compiler()?);
    let measured = measure(&expected, part)?;
    let names = names();
    let mut faults: Vec<String> = measured
        .iter()
        .filter_map(|one| expected.fault(one, &compiler))
        .chain(expected.unknown(&names))
        .collect();
    if measured.is_empty() {
        faults.push("there is no such step".into());
    }
    for said in expected.reservation(&compiler).iter().chain(&faults) {
        eprintln!("counts: {said}");
    }
    Ok(faults.is_empty())
}

fn accept(part: Option<&str>) -> Result<bool, Trouble> {
    let (expected, compiler) = (expected()?, compiler()?);
    if part.is_some() && expected.reservation(&compiler).is_some() {
        return Err("the other counts are of another compiler: accept all".into());
    }
    let measured = measure(&expected, part)?;
    std::fs::write(EXPECTED, expected.accept(&measured, &names(), &compiler).print(&names()))?;
    println!("written: {EXPECTED}");
    Ok(true)
}

/// Counts and prints, step by step.
fn measure(expected: &Expected, part: Option<&str>) -> Result<Vec<Measured>, Trouble> {
    valgrind::look()?;
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/counts");
    valgrind::lay_out(&folder)?;
    println!("{:<16}{:>12}  {:<12}{:>12}{:>10}", "step", "instructions", "per", "expected", "change");
    let chosen = |step: &&Step| part.is_none_or(|part| step.name.contains(part));
    let mut measured = Vec::new();
    for step in STEPS.iter().filter(chosen) {
        let instructions = valgrind::count(step, &folder)?;
        let one = Measured { step: step.name, per: step.per, instructions };
        let known = expected.steps.get(step.name).map_or("-".into(), |count| count.instructions.to_string());
        let change = expected.change_percent(&one).map_or("-".into(), |change| format!("{change:+.2} %"));
        println!("{:<16}{instructions:>12}  {:<12}{known:>12}{change:>10}", step.name, step.per);
        measured.push(one);
    }
    Ok(measured)
}

fn names() -> Vec<&'static str> {
    STEPS.iter().map(|step| step.name).collect()
}

fn expected() -> Result<Expected, Trouble> {
    let text = std::fs::read_to_string(EXPECTED).map_err(|error| format!("{EXPECTED}: {error}"))?;
    Expected::parse(&text).map_err(|error| format!("{EXPECTED}: {error}").into())
}

/// The compiler that cargo has just used: it asks the same environment for it.
fn compiler() -> Result<Compiler, Trouble> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let said = Command::new(&rustc).args(["--version", "--verbose"]).output();
    let said =
        said.map_err(|error| format!("{} cannot be asked for its version: {error}", rustc.display()))?;
    let compiler = Compiler::read(&String::from_utf8_lossy(&said.stdout));
    compiler.ok_or_else(|| format!("{} does not say its version", rustc.display()).into())
}
