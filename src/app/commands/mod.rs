//! The commands, one file each.

pub mod check;
pub mod condition;
pub mod config;
mod database;
pub mod deliveries;
pub mod demo;
pub mod init;
pub mod key;
mod listed;
pub mod password;
mod purge;
pub mod queue;
mod registering;
pub mod resume;
pub mod run;
pub mod seal;
mod selection;
pub mod setup;
mod tail;
pub mod teardown;
mod times;
pub mod token;
pub mod webhooks;

use super::cli::{Color, Common, LogFormat};
use super::config::Config;
use super::failure::{Exit, Failure};
use super::output::Output;
use crate::queue::Queue;
use crate::queue::sqlite::{Options, SqliteQueue};
use std::path::PathBuf;
use std::sync::Arc;

/// What every command starts from.
#[derive(Clone, Debug)]
pub struct Context {
    /// The configuration file.
    pub config: PathBuf,
    /// Where the output goes.
    pub output: Output,
    /// How the log is written, where the operator chose.
    pub log_format: Option<LogFormat>,
    /// When colours are used.
    pub color: Color,
}

impl Context {
    /// From the options of every command.
    pub fn new(common: Common) -> Self {
        Self {
            config: common.config,
            output: Output { json: common.json },
            log_format: common.log_format,
            color: common.color,
        }
    }

    /// Reads the configuration.
    pub fn load(&self) -> Result<Config, Failure> {
        Ok(Config::load(&self.config)?)
    }

    /// Opens the queue of the configuration, beside a walhook that may be running.
    pub async fn open_queue(&self, config: &Config) -> Result<Arc<dyn Queue>, Failure> {
        let path = config.queue.path.clone();
        let options = Options { bytes_max: config.queue.bytes_max, ..Options::default() };
        // it looks for damage first, which takes its time
        let opened = tokio::task::spawn_blocking(move || SqliteQueue::open_beside(&path, options));
        Ok(opened.await.map_err(|error| Failure::new(Exit::Bug, error))??)
    }
}
