//! `walhook queue`.

use super::Context;
use crate::app::cli;
use crate::app::config::write_size;
use crate::app::failure::{Exit, Failure};
use crate::delivery::Quarantined;
use crate::queue::Queue;
use serde_json::{Value, json};
use std::path::Path;

/// Looks after the queue's file.
pub async fn perform(context: &Context, command: &cli::Queue) -> Result<Exit, Failure> {
    let config = context.load()?;
    let queue = context.open_queue(&config).await?;
    match command {
        cli::Queue::Backup { path } => backup(context, &*queue, path).await?,
        cli::Queue::Quarantine => quarantine(context, &*queue).await?,
    }
    Ok(Exit::Well)
}

async fn backup(context: &Context, queue: &dyn Queue, path: &Path) -> Result<(), Failure> {
    queue.backup(path).await?;
    let bytes = std::fs::metadata(path)?.len();
    if context.output.json {
        context.output.json(&json!({ "path": path.display().to_string(), "bytes": bytes }))
    } else {
        context.output.text(&format!("{} ({})", path.display(), write_size(bytes)))
    }
}

async fn quarantine(context: &Context, queue: &dyn Queue) -> Result<(), Failure> {
    let quarantined = queue.quarantined().await?;
    let row = |one: &Quarantined| {
        let form = one.form.clone().unwrap_or_default();
        vec![one.position.to_string(), form, write_size(one.bytes.len() as u64), one.reason.clone()]
    };
    let json = |one: &Quarantined| -> Value {
        json!({
            "position": one.position.to_string(),
            "form": one.form,
            "reason": one.reason,
            "bytes": one.bytes.len(),
        })
    };
    context.output.list(
        || quarantined.iter().map(json).collect(),
        &["position", "form", "size", "reason"],
        quarantined.iter().map(row).collect(),
        "nothing was put aside",
    )
}
