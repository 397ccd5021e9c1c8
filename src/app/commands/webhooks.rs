//! `walhook webhooks`.

use super::{Context, registering, selection, times};
use crate::app::cli;
use crate::app::config::write_size;
use crate::app::failure::{Exit, Failure};
use crate::app::output::{Output, printable};
use crate::queue::{Queue, WebhookStanding, WebhookState};
use crate::webhook::WebhookId;
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Lists, shows, registers, changes, tries, switches and deletes webhooks.
pub async fn perform(context: &Context, command: &cli::Webhooks) -> Result<Exit, Failure> {
    let config = context.load()?;
    if let cli::Webhooks::Add(arguments) = command {
        registering::add(context, &config, arguments).await?;
        return Ok(Exit::Well);
    }
    let queue = context.open_queue(&config).await?;
    let standings = queue.webhooks().await?;
    let registrations = queue.registrations().await?;
    // what neither the file nor the queue knows can only be in the table
    let is_registered = |id: WebhookId| {
        let is_known = config.webhooks.find(id).is_some() || standings.iter().any(|one| one.id == id);
        !is_known || registrations.all.iter().any(|one| one.id == id)
    };
    // one that no walhook has seen yet is known by its number
    let id_of = |text: &str| match (selection::webhook(&standings, text), text.parse()) {
        (Ok(standing), _) => Ok(standing.id),
        (Err(_), Ok(number)) => Ok(WebhookId(number)),
        (Err(failure), Err(_)) => Err(failure),
    };
    let of_file = |id: WebhookId| match config.webhooks.find(id) {
        None => Ok(id),
        Some(own) => Err(Failure::no(format!("webhook {:?} is in the configuration", own.name))
            .hint(format!("change it in {}", config.path.display()))),
    };
    match command {
        cli::Webhooks::Add(_) => {}
        cli::Webhooks::Edit { webhook, file } => {
            registering::edit(context, &config, of_file(id_of(webhook)?)?, file).await?;
        }
        cli::Webhooks::Disable { webhook } => {
            registering::switch(context, &config, of_file(id_of(webhook)?)?, false).await?;
        }
        cli::Webhooks::Test { webhook } => {
            return registering::test(context, &config, id_of(webhook)?).await;
        }
        cli::Webhooks::Enable { webhook } if is_registered(id_of(webhook)?) => {
            registering::switch(context, &config, id_of(webhook)?, true).await?;
        }
        cli::Webhooks::Delete { webhook, yes } if is_registered(id_of(webhook)?) => {
            let id = id_of(webhook)?;
            let standing = standings.iter().find(|standing| standing.id == id);
            confirm(context.output, standing, *yes)?;
            registering::delete(context, &config, id).await?;
        }
        cli::Webhooks::List => list(context.output, &standings)?,
        cli::Webhooks::Show { webhook } => {
            show(context.output, selection::webhook(&standings, webhook)?)?;
        }
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
            enabled(context.output, standing)?;
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

/// Says what enabling did, and what it does not mend.
fn enabled(output: Output, standing: &WebhookStanding) -> Result<(), Failure> {
    let said = format!("webhook {:?} is enabled; {} deliveries wait", standing.name, standing.pending);
    let json = json!({ "webhook": standing.id.0, "enabled": true, "broken": standing.broken });
    done(output, &said, json)?;
    if let Some(reason) = &standing.broken {
        output.note(&format!(
            "but it is broken: {}; {} events are held until its condition is changed to fit the table, or the \
             table to fit the condition (`walhook check` tells when they do)",
            printable(reason),
            standing.held
        ));
    }
    Ok(())
}

/// Asks before something is lost.
fn confirm(output: Output, standing: Option<&WebhookStanding>, yes: bool) -> Result<(), Failure> {
    let Some(standing) = standing else { return Ok(()) };
    if standing.pending + standing.dead + standing.held > 0 && !yes {
        let question = format!(
            "delete webhook {:?} and drop {} waiting deliveries, {} dead letters and {} held events?",
            standing.name, standing.pending, standing.dead, standing.held
        );
        output.confirm(&question)?;
    }
    Ok(())
}

async fn delete(
    output: Output,
    queue: &dyn Queue,
    standing: &WebhookStanding,
    yes: bool,
) -> Result<(), Failure> {
    confirm(output, Some(standing), yes)?;
    let dropped = queue.delete_webhook(standing.id).await?;
    let said =
        format!("webhook {:?} is deleted; {dropped} deliveries and held events were dropped", standing.name);
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
                word(standing).to_owned(),
                standing.pending.to_string(),
                write_size(standing.pending_bytes),
                standing.oldest_committed_at_us.map_or_else(String::new, |us| times::age(us, now)),
                standing.dead.to_string(),
                standing.held.to_string(),
                standing.delivered.to_string(),
                standing.failures.to_string(),
                trouble(standing),
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
        "held",
        "delivered",
        "failures",
        "last trouble",
    ];
    output.list(|| standings.iter().map(json_of).collect(), &header, rows, "the queue knows no webhook")
}

/// What is wrong with it, the worst first: it is broken, its condition failed, its endpoint did.
fn trouble(standing: &WebhookStanding) -> String {
    let held = if standing.held > 0 { standing.last_condition_failure.as_ref() } else { None };
    standing.broken.as_ref().or(held).or(standing.last_error.as_ref()).cloned().unwrap_or_default()
}

fn show(output: Output, standing: &WebhookStanding) -> Result<(), Failure> {
    if output.json {
        return output.json(&json_of(standing));
    }
    let held = match standing.held_beyond_limit {
        0 => format!("{} ({})", standing.held, write_size(standing.held_bytes)),
        beyond => format!(
            "{} ({}; {beyond} beyond the backlog limit)",
            standing.held,
            write_size(standing.held_bytes)
        ),
    };
    let lines = [
        ("number", standing.id.to_string()),
        ("name", standing.name.clone()),
        ("state", word(standing).to_owned()),
        ("broken", standing.broken.clone().unwrap_or_default()),
        ("next sequence", standing.next_sequence.to_string()),
        ("pending", format!("{} ({})", standing.pending, write_size(standing.pending_bytes))),
        ("oldest", standing.oldest_committed_at_us.map_or_else(String::new, times::write)),
        ("dead", standing.dead.to_string()),
        ("delivered", standing.delivered.to_string()),
        ("dropped", standing.dropped.to_string()),
        ("failures", standing.failures.to_string()),
        ("failing since", standing.failing_since_us.map_or_else(String::new, times::write)),
        ("last error", standing.last_error.clone().unwrap_or_default()),
        ("held", held),
        ("held dropped", standing.held_dropped.to_string()),
        ("condition failures", standing.condition_failures.to_string()),
        ("last condition failure", standing.last_condition_failure.clone().unwrap_or_default()),
    ];
    let mut text = String::new();
    for (word, value) in lines.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = writeln!(text, "{word:<22} {}", printable(value));
    }
    output.text(&text)
}

fn json_of(standing: &WebhookStanding) -> Value {
    json!({
        "id": standing.id.0,
        "name": standing.name,
        "state": word(standing),
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
        "broken": standing.broken,
        "held": standing.held,
        "held_bytes": standing.held_bytes,
        "held_beyond_limit": standing.held_beyond_limit,
        "held_dropped": standing.held_dropped,
        "condition_failures": standing.condition_failures,
        "last_condition_failure": standing.last_condition_failure,
    })
}

/// How it is served; where it is, but its condition does not fit, that.
fn word(standing: &WebhookStanding) -> &'static str {
    match standing.state {
        WebhookState::Enabled if standing.broken.is_some() => "broken",
        WebhookState::Enabled => "enabled",
        WebhookState::Disabled => "disabled",
        WebhookState::Suspended => "suspended",
        WebhookState::Orphaned => "orphaned",
    }
}
