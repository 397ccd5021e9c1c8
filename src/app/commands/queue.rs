//! `walhook queue`.

use super::Context;
use crate::app::cli;
use crate::app::config::write_size;
use crate::app::failure::{Exit, Failure};
use serde_json::json;

/// Looks after the queue's file.
pub async fn perform(context: &Context, command: &cli::Queue) -> Result<Exit, Failure> {
    let cli::Queue::Backup { path } = command;
    let config = context.load()?;
    let queue = context.open_queue(&config).await?;
    queue.backup(path).await?;
    let bytes = std::fs::metadata(path)?.len();
    if context.output.json {
        context.output.json(&json!({ "path": path.display().to_string(), "bytes": bytes }))?;
    } else {
        context.output.text(&format!("{} ({})", path.display(), write_size(bytes)))?;
    }
    Ok(Exit::Well)
}
