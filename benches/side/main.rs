//! walhook from the log to the webhook, with its limits beside it in the same run: `make bench-side MODE=drain`.
//!
//! The bench starts a throwaway PostgreSQL, the release build of walhook and a lean receiver, and takes turns
//! between walhook and what it is compared to, over copies of one slot, so that all read the same log. Only the
//! ratios within a run mean something: server, receiver and program share the machine. What did not arrive
//! exactly as it should makes a result invalid. docs/PERFORMANCE.md says what the figures are.

// a program of its own: nobody else reaches what its modules share
#![allow(unreachable_pub)]

mod bare;
mod book;
mod machine;
mod modes;
mod options;
mod program;
mod receiver;
mod results;
mod run;
mod stage;
mod webhooks;

use clap::{CommandFactory, Parser};
use options::{Mode, Options};
use results::Results;
use stage::Stage;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// What ends a measurement.
pub type Trouble = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let options = Options::parse();
    match start(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("a result is invalid");
            ExitCode::FAILURE
        }
        Err(trouble) => {
            eprintln!("bench-side: {trouble}");
            ExitCode::FAILURE
        }
    }
}

fn start(options: &Options) -> Result<bool, Trouble> {
    match options.mode {
        Some(Mode::BareClient) => {
            let runtime = match options.bare_threads {
                1 => tokio::runtime::Builder::new_current_thread().enable_all().build()?,
                threads => tokio::runtime::Builder::new_multi_thread()
                    .worker_threads(threads.max(1))
                    .enable_all()
                    .build()?,
            };
            let missing = "the bare client needs --database, --slot, --url and --connections";
            let database = options.database.as_deref().ok_or(missing)?;
            let slot = options.slot.as_deref().ok_or(missing)?;
            let url = options.url.as_deref().ok_or(missing)?;
            let connections = options.connections.ok_or(missing)?;
            runtime.block_on(bare::run(database, slot, url, connections))?;
            Ok(true)
        }
        Some(mode) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let mut terminated = signal(SignalKind::terminate())?;
                // whoever is interrupted stops the server, too, which runs in a group of its own
                tokio::select! {
                    measured = measure(mode, options) => measured,
                    _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
                    _ = terminated.recv() => Err("terminated".into()),
                }
            })
        }
        // `cargo bench` runs every bench without a mode
        None if options.bench => {
            Options::command().print_help()?;
            Ok(true)
        }
        // `cargo test` does, too: a drain of a few rows proves that the bench still measures
        None => {
            println!("a few rows, to see that it measures: the figures mean nothing");
            let few = Options { rows: Some(300), ..Options::parse_from(["bench-side", "drain"]) };
            start(&few)
        }
    }
}

async fn measure(mode: Mode, options: &Options) -> Result<bool, Trouble> {
    let stage = Stage::set().await?;
    let machine = machine::describe(&stage.version().await?);
    println!("{}", machine::line(&machine));
    let modes = if mode == Mode::All { Mode::EACH.to_vec() } else { vec![mode] };
    let mut are_valid = true;
    for mode in modes {
        println!("\n# {}", mode.name());
        let mut results = Results::new(&mode.name(), machine.clone(), options.json.as_deref())?;
        match mode {
            Mode::Drain => modes::drain::measure(&stage, options, &mut results).await?,
            Mode::Latency => modes::latency::measure(&stage, options, &mut results).await?,
            Mode::NothingMatches => modes::nothing_matches::measure(&stage, options, &mut results).await?,
            Mode::Kill => modes::kill::measure(&stage, options, &mut results).await?,
            Mode::Memory => modes::memory::measure(&stage, options, &mut results).await?,
            Mode::FanOut => modes::fan_out::measure(&stage, options, &mut results).await?,
            Mode::Slow => modes::slow::measure(&stage, options, &mut results).await?,
            Mode::Failing => modes::failing::measure(&stage, options, &mut results).await?,
            Mode::Backlog => modes::backlog::measure(&stage, options, &mut results).await?,
            Mode::Restart => modes::backlog::measure_restart(&stage, options, &mut results).await?,
            Mode::All | Mode::BareClient => {}
        }
        are_valid &= results.are_valid();
    }
    Ok(are_valid)
}
