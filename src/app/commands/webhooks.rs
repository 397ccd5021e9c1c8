//! `walhook webhooks`.

use super::{Context, selection, times};
use crate::app::cli;
use crate::app::config::write_size;
use crate::app::failure::{Exit, Failure};
use crate::app::output::Output;
use crate::queue::{Queue, WebhookStanding, WebhookState};
use jiff::Timestamp;
use serde_json::{Value, json};

/// Lists, enables and deletes webhooks.
pub async fn perform(context: &Context, command: &cli::Webhooks) -> Result<Exit, Failure> {
    let config = context.load()?;
    let queue = context.open_queue(&config).await?;
    let standings = queue.webhooks().await?;
    match command {
        cli::Webhooks::List => list(context.output, &standings)?,
        cli::Webhooks::Enable { webhook } => {
            let standing = selection::webhook(&standings, webhook)?;
            let registered = config.webhooks.find(standing.id);
            if standing.state == WebhookState::Orphaned {
                return Err(Failure::no(format!("webhook {:?} is no longer registered", standing.name))
                    .hint("put it back into the configuration, or `walhook webhooks delete` it"));
            }
            if registered.is_some_and(|webhook| !webhook.enabled) {
                return Err(Failure::no(format!(
                    "webhook {:?} is disabled in the configuration",
                    standing.name
                ))
                .hint(format!("remove `enabled = false` in {}", config.path.display())));
            }
            queue.enable_webhook(standing.id).await?;
            let said =
                format!("webhook {:?} is enabled; {} deliveries wait", standing.name, standing.pending);
            done(context.output, &said, json!({ "webhook": standing.id.0, "enabled": true }))?;
        }
        cli::Webhooks::Delete { webhook, yes } => {
            let standing = selection::webhook(&standings, webhook)?;
            if config.webhooks.find(standing.id).is_some() {
                return Err(Failure::no(format!("webhook {:?} is in the configuration", standing.name))
                    .hint(format!("remove it from {} first", config.path.display())));
            }
            delete(context.output, &*queue, standing, *yes).await?;
        }
    }
    Ok(Exit::Well)
}

async fn delete(
    output: Output,
    queue: &dyn Queue,
    standing: &WebhookStanding,
    yes: bool,
) -> Result<(), Failure> {
    let lost = standing.pending + standing.dead;
    if lost > 0 && !yes {
        let question = format!(
            "delete webhook {:?} and drop {} waiting deliveries and {} dead letters?",
            standing.name, standing.pending, standing.dead
        );
        output.confirm(&question)?;
    }
    let dropped = queue.delete_webhook(standing.id).await?;
    let said = format!("webhook {:?} is deleted; {dropped} deliveries were dropped", standing.name);
    done(output, &said, json!({ "webhook": standing.id.0, "deleted": true, "dropped": dropped }))
}

fn done(output: Output, said: &str, json: Value) -> Result<(), Failure> {
    if output.json { output.json(&json) } else { output.text(said) }
}

fn list(output: Output, standings: &[WebhookStanding]) -> Result<(), Failure> {
    let now = Timestamp::now();
    let rows = standings
        .iter()
        .map(|standing| {
            vec![
                standing.id.to_string(),
                standing.name.clone(),
                word(standing.state).to_owned(),
                standing.pending.to_string(),
                write_size(standing.pending_bytes),
                standing.oldest_committed_at_us.map_or_else(String::new, |us| times::age(us, now)),
                standing.dead.to_string(),
                standing.delivered.to_string(),
                standing.failures.to_string(),
                standing.last_error.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let header = [
        "number",
        "name",
        "state",
        "pending",
        "size",
        "oldest",
        "dead",
        "delivered",
        "failures",
        "last error",
    ];
    output.list(|| standings.iter().map(json_of).collect(), &header, rows, "the queue knows no webhook")
}

fn json_of(standing: &WebhookStanding) -> Value {
    json!({
        "id": standing.id.0,
        "name": standing.name,
        "state": word(standing.state),
        "next_sequence": standing.next_sequence,
        "pending": standing.pending,
        "pending_bytes": standing.pending_bytes,
        "dead": standing.dead,
        "delivered": standing.delivered,
        "dropped": standing.dropped,
        "failures": standing.failures,
        "failing_since": standing.failing_since_us.map(times::write),
        "last_error": standing.last_error,
        "oldest_committed_at": standing.oldest_committed_at_us.map(times::write),
    })
}

fn word(state: WebhookState) -> &'static str {
    match state {
        WebhookState::Enabled => "enabled",
        WebhookState::Disabled => "disabled",
        WebhookState::Suspended => "suspended",
        WebhookState::Orphaned => "orphaned",
    }
}
