//! What is chosen on the command line.

use clap::{Parser, ValueEnum};
use std::path::PathBuf;

/// Measures walhook from the log to the webhook, with its limits beside it in the same run.
#[derive(Debug, Parser)]
#[command(name = "bench-side")]
pub struct Options {
    /// What is measured
    #[arg(value_enum)]
    pub mode: Option<Mode>,
    /// Rows that are written; each mode has its own default, for about a minute on two cores
    #[arg(long)]
    pub rows: Option<u32>,
    /// How often everything is repeated, walhook and its limit in turn
    #[arg(long, default_value_t = 1)]
    pub rounds: usize,
    /// Rows in each transaction
    #[arg(long, default_value_t = 1)]
    pub per_transaction: u32,
    /// Commits in a second, where they come at a rate
    #[arg(long, default_value_t = 200)]
    pub rate: u32,
    /// How long they do, in seconds
    #[arg(long, default_value_t = 15)]
    pub seconds: u32,
    /// How often walhook is killed in a drain
    #[arg(long, default_value_t = 5)]
    pub kills: u32,
    /// How many deliveries wait where memory is measured
    #[arg(long, default_value_t = 100_000)]
    pub waiting: u32,
    /// A file to which each result is appended as a line of JSON
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// The walhook that is measured
    #[arg(long, default_value = env!("CARGO_BIN_EXE_walhook"))]
    pub walhook: PathBuf,
    /// Threads of the bare client; several wake each other for every request, the more so the busier the machine is
    #[arg(long, default_value_t = 1)]
    pub bare_threads: usize,
    /// What cargo says to every bench
    #[arg(long, hide = true)]
    pub bench: bool,
    #[arg(long, hide = true)]
    pub database: Option<String>,
    #[arg(long, hide = true)]
    pub slot: Option<String>,
    #[arg(long, hide = true)]
    pub url: Option<String>,
    #[arg(long, hide = true)]
    pub connections: Option<usize>,
}

impl Options {
    /// How many rows, where the mode has such a default.
    pub fn rows(&self, default: u32) -> u32 {
        self.rows.unwrap_or(default).max(1)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Inserts and updates through one webhook, beside the bare client and pg_recvlogical
    Drain,
    /// From the commit to the arrival at a steady rate, beside the bare client
    Latency,
    /// A condition that no row meets, beside pg_recvlogical
    NothingMatches,
    /// kill -9 during a drain: what comes twice
    Kill,
    /// Resident memory: idle, at a steady rate, with waiting deliveries, after a large transaction
    Memory,
    /// Ten webhooks on the form against one
    FanOut,
    /// One slow endpoint beside the bare client, and many beside what their requests in flight allow
    Slow,
    /// Every tenth entry refused for good: what the others lose
    Failing,
    /// An endpoint comes back to a backlog
    Backlog,
    /// walhook comes back to a queue with a backlog
    Restart,
    /// Everything, one after the other
    All,
    /// The bare client itself: another process of the bench
    #[value(hide = true)]
    BareClient,
}

impl Mode {
    /// What `all` stands for.
    pub const EACH: [Self; 10] = [
        Self::Drain,
        Self::NothingMatches,
        Self::Latency,
        Self::Kill,
        Self::Memory,
        Self::FanOut,
        Self::Slow,
        Self::Failing,
        Self::Backlog,
        Self::Restart,
    ];

    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
