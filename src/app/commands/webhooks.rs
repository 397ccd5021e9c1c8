//! `walhook webhooks`.

use super::{Context, listed, registering, selection};
use crate::app::cli;
use crate::app::failure::{Exit, Failure};
use crate::app::output::{Output, printable};
use crate::queue::{Queue, WebhookStanding, WebhookState};
use crate::webhook::WebhookId;
use serde_json::{Value, json};

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
        cli::Webhooks::List => listed::list(context.output, &listed::all(&config, standings, registrations))?,
        cli::Webhooks::Show { webhook } => {
            let id = id_of(webhook)?;
            let mut all = listed::all(&config, standings, registrations);
            all.retain(|one| one.id == id);
            let missing = || Failure::no(format!("there is no webhook {webhook:?}"));
            listed::show(context.output, all.first().ok_or_else(missing)?)?;
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
