//! `walhook queue`.

use super::{Context, selection, times};
use crate::app::cli;
use crate::app::config::write_size;
use crate::app::failure::{Exit, Failure};
use crate::delivery::{Held, HeldBecause, HeldWhat, Quarantined};
use crate::queue::{Queue, WebhookStanding};
use serde_json::{Value, json};
use std::path::Path;

/// How much of what is held is read at once.
const PAGE_BYTES_MAX: usize = 1 << 20;

/// Looks after the queue's file.
pub async fn perform(context: &Context, command: &cli::Queue) -> Result<Exit, Failure> {
    let config = context.load()?;
    let queue = context.open_queue(&config).await?;
    match command {
        cli::Queue::Backup { path } => backup(context, &*queue, path).await?,
        cli::Queue::Quarantine => quarantine(context, &*queue).await?,
        cli::Queue::Held(arguments) => held(context, &*queue, arguments).await?,
        cli::Queue::DropHeld { webhook, yes } => drop_held(context, &*queue, webhook, *yes).await?,
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

async fn held(context: &Context, queue: &dyn Queue, arguments: &cli::Held) -> Result<(), Failure> {
    let standings = queue.webhooks().await?;
    let chosen: Vec<&WebhookStanding> = match &arguments.webhook {
        Some(text) => vec![selection::webhook(&standings, text)?],
        None => standings.iter().filter(|standing| standing.held > 0).collect(),
    };
    let (mut rows, mut shown, mut all) = (Vec::new(), 0, 0);
    for &standing in &chosen {
        all += standing.held;
        let mut after = None;
        while rows.len() < arguments.limit as usize {
            let page = queue.held(standing.id, after, PAGE_BYTES_MAX).await?;
            let Some(last) = page.last() else { break };
            after = Some(last.held.number);
            // the contents go as soon as they are read
            for held in page.into_iter().take(arguments.limit as usize - rows.len()) {
                shown += events_of(&held);
                rows.push(HeldRow::of(standing, &held));
            }
        }
    }
    // some may have come or gone while this was read
    let more = all.saturating_sub(shown);
    let json = || {
        let held: Value = rows.iter().map(HeldRow::json).collect();
        json!({ "held": held, "more": more })
    };
    let header = ["number", "webhook", "form", "event", "entry", "position", "committed", "why"];
    let cells = rows.iter().map(HeldRow::cells).collect();
    context.output.list(json, &header, cells, "nothing is held")?;
    if more > 0 {
        context.output.note(&format!("and {more} more; --limit shows more, --webhook those of one"));
    }
    Ok(())
}

/// How many events a row stands for.
fn events_of(held: &Held) -> u64 {
    match held.what {
        HeldWhat::Event { .. } => 1,
        HeldWhat::Range { count, .. } => count,
    }
}

/// A held event without its content.
struct HeldRow {
    number: u64,
    webhook: String,
    event: Option<HeldEvent>,
    count: u64,
    position: String,
    last_position: Option<String>,
    cause: &'static str,
    why: String,
}

/// What is known of an event that is not in a range.
struct HeldEvent {
    form: String,
    verb: String,
    entry_id: String,
    committed_at_us: i64,
}

impl HeldRow {
    fn of(standing: &WebhookStanding, held: &Held) -> Self {
        let (cause, why) = match &held.cause {
            HeldBecause::Failed { reason } => ("failed", reason.clone()),
            HeldBecause::Broken => {
                let reason =
                    standing.broken.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
                ("broken", format!("the webhook was broken{reason}"))
            }
            HeldBecause::Behind => ("behind", "behind an earlier event of its entry".to_owned()),
        };
        let (event, last_position, why) = match &held.what {
            HeldWhat::Event { form, verb, entry_id, committed_at_us, .. } => {
                let event = HeldEvent {
                    form: form.clone(),
                    verb: verb.to_string(),
                    entry_id: entry_id.clone(),
                    committed_at_us: *committed_at_us,
                };
                (Some(event), None, why)
            }
            HeldWhat::Range { count, last } => {
                (None, Some(last.to_string()), format!("{count} events beyond the backlog limit"))
            }
        };
        Self {
            number: held.held.number,
            webhook: standing.name.clone(),
            event,
            count: events_of(held),
            position: held.position.to_string(),
            last_position,
            cause,
            why,
        }
    }

    fn cells(&self) -> Vec<String> {
        let event = |text: fn(&HeldEvent) -> String| self.event.as_ref().map_or_else(String::new, text);
        let position = match &self.last_position {
            Some(last) => format!("{} to {last}", self.position),
            None => self.position.clone(),
        };
        vec![
            self.number.to_string(),
            self.webhook.clone(),
            event(|event| event.form.clone()),
            event(|event| event.verb.clone()),
            event(|event| event.entry_id.clone()),
            position,
            event(|event| times::write_short(event.committed_at_us)),
            self.why.clone(),
        ]
    }

    fn json(&self) -> Value {
        let event = self.event.as_ref();
        json!({
            "number": self.number,
            "webhook": self.webhook,
            "form": event.map(|event| &event.form),
            "event": event.map(|event| &event.verb),
            "entry_id": event.map(|event| &event.entry_id),
            "events": self.count,
            "position": self.position,
            "last_position": self.last_position,
            "committed_at": event.map(|event| times::write(event.committed_at_us)),
            "cause": self.cause,
            "why": self.why,
        })
    }
}

async fn drop_held(context: &Context, queue: &dyn Queue, webhook: &str, yes: bool) -> Result<(), Failure> {
    let standings = queue.webhooks().await?;
    let standing = selection::webhook(&standings, webhook)?;
    if standing.held == 0 {
        return Err(Failure::no(format!("nothing is held for webhook {:?}", standing.name)));
    }
    if !yes {
        let question = format!("give up {} held events of webhook {:?}?", standing.held, standing.name);
        context.output.confirm(&question)?;
    }
    let dropped = queue.drop_held(standing.id).await?;
    if context.output.json {
        context.output.json(&json!({ "webhook": standing.id.0, "dropped": dropped }))
    } else {
        context.output.text(&format!("{dropped} held events of webhook {:?} are given up", standing.name))
    }
}
