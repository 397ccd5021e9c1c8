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
    /// A file to which each result is appended as a line of JSON
    #[arg(long)]
    pub json: Option<PathBuf>,
    /// The walhook that is measured
    #[arg(long, default_value = env!("CARGO_BIN_EXE_walhook"))]
    pub walhook: PathBuf,
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
    /// The bare client itself: another process of the bench
    #[value(hide = true)]
    BareClient,
}

impl Mode {
    pub fn name(self) -> String {
        self.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
    }
}
