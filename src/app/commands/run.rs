//! `walhook run`.

use super::Context;
use crate::app::cli;
use crate::app::failure::{Exit, Failure};
use crate::app::keys::{self, Absent};
use crate::app::run::{Parts, run};
use crate::app::signals::Requests;
use crate::observe::{Observer, Observers};
use crate::queue::Queue;
use crate::queue::sqlite::{Options, SqliteQueue};
use crate::report::health::Health;
use crate::report::log::{self, Log, LogFormat};
use crate::report::mail;
use crate::report::metrics::Metrics;
use std::io::IsTerminal as _;
use std::sync::Arc;

/// Reads the log and delivers webhooks, until told to stop.
pub async fn perform(context: &Context, arguments: &cli::Run) -> Result<Exit, Failure> {
    let requests = Requests::listen().map_err(|error| Failure::new(Exit::Bug, error))?;
    let config = Arc::new(context.load()?);
    let _flush = log::init(log_format(context)).map_err(|error| Failure::new(Exit::Usage, error))?;
    let (health, metrics) = (Arc::new(Health::new()), Arc::new(Metrics::new()));
    let mut listeners: Vec<Arc<dyn Observer>> =
        vec![Arc::new(Log::default()), Arc::clone(&health) as _, Arc::clone(&metrics) as _];
    let post = config.mail.as_ref().map(|_| {
        let (mail, post) = mail::begin();
        listeners.push(Arc::new(mail));
        post
    });
    let observers = Observers::new(listeners);
    let options =
        Options { bytes_max: config.queue.bytes_max, observers: observers.clone(), ..Options::default() };
    let queue: Arc<dyn Queue> = SqliteQueue::open(&config.queue.path, options)?;
    // behind the queue: where another walhook has it, nothing is made
    let keys = keys::load(&config.secrets, Absent::Make, &observers).map_err(Failure::of)?;
    let adopt_slot = arguments.adopt_slot;
    run(Parts { requests, config, adopt_slot, queue, keys, observers, health, metrics, post }).await?;
    Ok(Exit::Well)
}

fn log_format(context: &Context) -> LogFormat {
    match context.log_format {
        Some(cli::LogFormat::Human) => LogFormat::Human,
        Some(cli::LogFormat::Json) => LogFormat::Json,
        None if std::io::stderr().is_terminal() => LogFormat::Human,
        None => LogFormat::Json,
    }
}
