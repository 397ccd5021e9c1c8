//! The command line, the configuration and the wiring.

pub mod cli;
pub mod commands;
pub mod config;
pub mod failure;
mod hidden;
mod keys;
mod memory;
pub mod output;
mod run;
pub mod signals;
mod supervise;
mod tester;
mod thread;

use clap::Parser as _;
use cli::{Cli, Color, Command};
use commands::Context;
use failure::{Exit, Failure};
use std::io::{IsTerminal as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Reads the command line, does what it says and answers with the exit code.
pub fn main() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // help and version come this way too
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Well };
        }
    };
    if matches!(cli.command, Command::Run(_)) {
        memory::keep_small();
    }
    match cli.common.color {
        Color::Auto => {}
        Color::Always => anstream::ColorChoice::Always.write_global(),
        Color::Never => anstream::ColorChoice::Never.write_global(),
    }
    let json = cli.common.json;
    // a bug has been told by the panic hook; what is left is the exit code
    match catch_unwind(AssertUnwindSafe(|| perform(cli))) {
        Ok(Ok(exit)) => exit,
        Ok(Err(failure)) if failure.is_closed_pipe() => Exit::Well,
        Ok(Err(failure)) => {
            tell(&failure, json);
            failure.exit
        }
        Err(_) => {
            let _ = writeln!(anstream::stderr(), "error: this is a bug of walhook's; please report it");
            Exit::Bug
        }
    }
}

fn tell(failure: &Failure, json: bool) {
    // where nobody reads, the exit code has to do
    let _ = if json {
        writeln!(anstream::stdout(), "{:#}", failure.to_json())
    } else {
        // anstream takes the colours out again where they are not wanted
        let styled = std::io::stderr().is_terminal()
            || anstream::ColorChoice::global() == anstream::ColorChoice::Always;
        writeln!(anstream::stderr(), "{}", failure.describe(styled))
    };
}

fn perform(cli: Cli) -> Result<Exit, Failure> {
    let context = Context::new(cli.common);
    let runtime = thread::scheduler().map_err(|error| Failure::new(Exit::Unreachable, error))?;
    let exit = runtime.block_on(async {
        match cli.command {
            Command::Run(run) => commands::run::perform(&context, &run).await,
            Command::Demo(demo) => commands::demo::perform(&context, &demo).await,
            Command::Check => commands::check::perform(&context).await,
            Command::Init(init) => commands::init::perform(&context, &init).await,
            Command::Setup(setup) => commands::setup::perform(&context, &setup).await,
            Command::Teardown(teardown) => commands::teardown::perform(&context, &teardown).await,
            Command::Resume(resume) => commands::resume::perform(&context, &resume).await,
            Command::Condition(condition) => commands::condition::perform(&context, &condition).await,
            Command::Deliveries(deliveries) => commands::deliveries::perform(&context, &deliveries).await,
            Command::Webhooks(webhooks) => commands::webhooks::perform(&context, &webhooks).await,
            Command::Queue(queue) => commands::queue::perform(&context, &queue).await,
            Command::Config(config) => commands::config::perform(&context, &config),
            Command::Password => commands::password::perform(&context).await,
            Command::Token => commands::token::perform(&context),
            Command::Key(key) => commands::key::perform(&context, &key),
            Command::Seal(seal) => commands::seal::perform(&context, &seal).await,
        }
    });
    // what still runs has been told to end; a blocked thread must not hold the process
    runtime.shutdown_background();
    exit
}
