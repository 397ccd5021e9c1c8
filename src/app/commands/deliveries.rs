//! `walhook deliveries`.

use super::{Context, purge, selection, tail, times};
use crate::admin::api::Delivery;
use crate::app::cli;
use crate::app::failure::{Exit, Failure};
use crate::app::output::{Output, printable};
use crate::delivery::{Attempt, Body, Outcome, State};
use crate::queue::{DeliveryDetail, DeliverySummary, Filter, Queue, SequenceRange, WebhookStanding};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Lists, shows, follows, replays and drops deliveries.
pub async fn perform(context: &Context, command: &cli::Deliveries) -> Result<Exit, Failure> {
    let config = context.load()?;
    let queue = context.open_queue(&config).await?;
    match command {
        cli::Deliveries::List(arguments) => list(context.output, &*queue, arguments).await,
        cli::Deliveries::Show(arguments) => show(context.output, &*queue, arguments).await,
        cli::Deliveries::Tail(arguments) => tail::follow(context.output, &*queue, arguments).await,
        cli::Deliveries::Replay(choice) => replay(context.output, &*queue, choice).await,
        cli::Deliveries::Drop(choice) => drop_chosen(context.output, &*queue, choice).await,
        cli::Deliveries::Purge(arguments) => purge::purge(context.output, &*queue, arguments).await,
    }
}

async fn list(output: Output, queue: &dyn Queue, arguments: &cli::List) -> Result<Exit, Failure> {
    let standings = queue.webhooks().await?;
    let filter = selection::filter(&standings, &arguments.filter)?;
    let webhook = filter.webhook;
    let deliveries = queue.deliveries(filter, arguments.limit as usize).await?;
    let ranges = queue.ranges(webhook).await?;
    let rows = deliveries
        .iter()
        .map(|summary| {
            vec![
                summary.number.to_string(),
                name_of(&standings, summary).to_owned(),
                summary.state.as_str().to_owned(),
                summary.form.clone(),
                summary.verb.to_string(),
                summary.entry_id.clone(),
                times::write_short(summary.committed_at_us),
                summary.attempts.to_string(),
                summary.last_outcome.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let header =
        ["delivery", "webhook", "state", "form", "event", "entry", "committed", "attempts", "last outcome"];
    let json = || {
        json!({
            "deliveries": deliveries.iter().map(|summary| summary_json(summary, name_of(&standings, summary))).collect::<Value>(),
            "ranges": ranges.iter().map(range_json).collect::<Value>(),
        })
    };
    output.list(json, &header, rows, "no delivery fits")?;
    for range in ranges.iter().filter(|range| range.state == State::Dead) {
        output.note(&format!(
            "{}/{} to {} were given up without bodies: the webhook's backlog was at its limit",
            range.webhook, range.first, range.last
        ));
    }
    if deliveries.len() == arguments.limit as usize {
        output.note(&format!("the first {}; --limit shows more", arguments.limit));
    }
    Ok(Exit::Well)
}

async fn show(output: Output, queue: &dyn Queue, arguments: &cli::Show) -> Result<Exit, Failure> {
    let standings = queue.webhooks().await?;
    let which = selection::delivery(&standings, &arguments.delivery)?;
    let Some(detail) = queue.delivery(which).await? else {
        return Err(Failure::no(format!("there is no delivery {}", arguments.delivery))
            .hint("finished ones go after the retention; `walhook deliveries list` shows what is there"));
    };
    let name = name_of(&standings, &detail.summary);
    if output.json {
        let mut json = summary_json(&detail.summary, name);
        json["content_type"] = detail.body.media_type().into();
        // the text and not the value: signatures are over every byte, and numbers keep all their digits
        json["body"] = String::from_utf8_lossy(&body_bytes(&detail.body)).into();
        json["history"] = detail.attempts.iter().map(attempt_json).collect();
        output.json(&json)?;
    } else {
        output.text(&describe(&detail, name))?;
    }
    Ok(Exit::Well)
}

fn describe(detail: &DeliveryDetail, webhook: &str) -> String {
    let summary = &detail.summary;
    let due = summary.due_at_us.map_or_else(String::new, |us| format!(", due {}", times::write_short(us)));
    let lines = [
        ("delivery", summary.number.to_string()),
        ("webhook-id", summary.id.to_string()),
        ("webhook", webhook.to_owned()),
        ("state", format!("{}{due}", summary.state.as_str())),
        ("form", summary.form.clone()),
        ("event", summary.verb.to_string()),
        ("entry", summary.entry_id.clone()),
        ("committed", times::write(summary.committed_at_us)),
        ("position", summary.position.to_string()),
    ];
    let mut text = String::new();
    for (word, value) in lines {
        let _ = writeln!(text, "{word:<11} {}", printable(&value));
    }
    let _ = writeln!(text, "\nattempts");
    if detail.attempts.is_empty() {
        text.push_str("  none yet\n");
    }
    for attempt in &detail.attempts {
        let started = times::write_short(attempt.started_at_us);
        let outcome = printable(&attempt.outcome.to_string());
        let _ = writeln!(
            text,
            "  {:>3}  {started}  {:>6} ms  {outcome}",
            attempt.number,
            attempt.duration.as_millis()
        );
        if let Outcome::Answered { excerpt, .. } = &attempt.outcome
            && !excerpt.trim().is_empty()
        {
            let _ = writeln!(text, "       {}", printable(excerpt.trim()));
        }
    }
    let _ = write!(text, "\nbody ({})\n{}", printable(detail.body.media_type()), body_text(&detail.body));
    text
}

fn body_bytes(body: &Body) -> Vec<u8> {
    [&body.head[..], &body.tail[..]].concat()
}

fn body_text(body: &Body) -> String {
    let text = String::from_utf8_lossy(&body_bytes(body)).into_owned();
    text.lines().map(printable).collect::<Vec<_>>().join("\n")
}

async fn replay(output: Output, queue: &dyn Queue, choice: &cli::Choice) -> Result<Exit, Failure> {
    let mut filters = selection::choice(queue, choice).await?;
    for filter in &mut filters {
        if filter.states.iter().any(|state| !matches!(state, State::Dead | State::Blocking)) {
            return Err(Failure::usage("only dead letters can be replayed")
                .hint("leave --state away, or say dead or blocking"));
        }
        if filter.states.is_empty() {
            filter.states = vec![State::Blocking, State::Dead];
        }
    }
    ask(output, queue, choice, &filters, "replay").await?;
    let mut count = 0;
    for filter in filters {
        count += queue.replay(filter).await?;
    }
    finish(output, count, "replayed", "no dead letter fits")
}

async fn drop_chosen(output: Output, queue: &dyn Queue, choice: &cli::Choice) -> Result<Exit, Failure> {
    let filters = selection::choice(queue, choice).await?;
    if filters.iter().flat_map(|filter| &filter.states).any(|state| is_finished(*state)) {
        return Err(Failure::usage("what is finished cannot be dropped")
            .hint("say some of waiting, ready, retrying, blocking, dead"));
    }
    ask(output, queue, choice, &filters, "drop").await?;
    let mut count = 0;
    for filter in filters {
        count += queue.drop_deliveries(filter).await?;
    }
    finish(output, count, "dropped", "no delivery fits that could be dropped")
}

fn is_finished(state: State) -> bool {
    matches!(state, State::Delivered | State::Dropped)
}

/// Deliveries that are named one by one are meant; a filter may fit more than somebody thinks.
async fn ask(
    output: Output,
    queue: &dyn Queue,
    choice: &cli::Choice,
    filters: &[Filter],
    verb: &str,
) -> Result<(), Failure> {
    const LISTED_MAX: usize = 1_000;
    let [filter] = filters else { return Ok(()) };
    if choice.yes || filter.sequence.is_some() {
        return Ok(());
    }
    let mut filter = filter.clone();
    if filter.states.is_empty() {
        filter.states = State::ALL.into_iter().filter(|state| !is_finished(*state)).collect();
    }
    let count = match queue.deliveries(filter, LISTED_MAX).await?.len() {
        0 => return Ok(()),
        LISTED_MAX => format!("{LISTED_MAX} or more"),
        count => count.to_string(),
    };
    output.confirm(&format!("{verb} {count} deliveries?"))
}

fn finish(output: Output, count: u64, done: &str, none: &str) -> Result<Exit, Failure> {
    if output.json {
        output.json(&json!({ done: count }))?;
    } else if count == 0 {
        output.text(none)?;
    } else {
        output.text(&format!("{count} {done}"))?;
    }
    Ok(if count == 0 { Exit::No } else { Exit::Well })
}

/// The name of a delivery's webhook; empty if the queue does not know it any more.
pub(super) fn name_of<'a>(standings: &'a [WebhookStanding], summary: &DeliverySummary) -> &'a str {
    let standing = standings.iter().find(|standing| standing.id == summary.number.webhook);
    standing.map_or("", |standing| &standing.name)
}

pub(super) fn summary_json(summary: &DeliverySummary, webhook: &str) -> Value {
    serde_json::to_value(Delivery::of(summary, webhook)).expect("it is texts and numbers")
}

fn range_json(range: &SequenceRange) -> Value {
    json!({
        "webhook_id": range.webhook.0,
        "first": range.first,
        "last": range.last,
        "state": range.state.as_str(),
        "from": range.from.map(|position| position.to_string()),
        "to": range.to.map(|position| position.to_string()),
    })
}

fn attempt_json(attempt: &Attempt) -> Value {
    let mut json = json!({
        "number": attempt.number,
        "started_at": times::write(attempt.started_at_us),
        "duration_ms": u64::try_from(attempt.duration.as_millis()).unwrap_or(u64::MAX),
        "outcome": attempt.outcome.to_string(),
    });
    if let Outcome::Answered { status, excerpt, .. } = &attempt.outcome {
        json["status"] = (*status).into();
        json["excerpt"] = excerpt.as_str().into();
    }
    json
}
