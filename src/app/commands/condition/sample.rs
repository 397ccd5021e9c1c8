//! `walhook condition --sample`: the events captured last, as far as the bodies in the queue tell of them.

use super::{Asked, bound, form, refuse};
use crate::admin::sample::{Judged, Sampled, judge, last_events};
use crate::app::cli;
use crate::app::commands::{Context, times};
use crate::app::failure::{Exit, Failure};
use crate::app::output::Output;
use crate::event::Verb;
use crate::form::BoundForm;
use crate::qualification::{BoundQualification, Truth};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;

/// Judges the last events of the queue.
pub(super) async fn perform(
    context: &Context,
    command: &cli::Condition,
    count: usize,
) -> Result<Exit, Failure> {
    let config = context.load()?;
    let queue = context.open_queue(&config).await?;
    let asked = form::asked(context, command).await?;
    let wanted = |verb: Verb| {
        command.event.is_none_or(|wanted| wanted == verb)
            && asked.verbs.as_ref().is_none_or(|verbs| verbs.contains(&verb))
    };
    let mut events = Vec::new();
    for form in &asked.forms {
        events.extend(last_events(&*queue, &form.form.name, &wanted, count).await?);
    }
    events.sort_by_key(|event| std::cmp::Reverse(event.summary.position));
    events.truncate(count);
    let mut judged = Vec::with_capacity(events.len());
    let mut bounds: Vec<(&Arc<BoundForm>, BoundQualification)> = Vec::new();
    for form in &asked.forms {
        let verbs = asked.verbs.clone().unwrap_or_else(|| verbs(&events, &form.form.name));
        match bound(form, &asked.text, &verbs) {
            Ok(bound) => bounds.push((form, bound)),
            Err(faults) => return refuse(context.output, &asked.text, &faults),
        }
    }
    for event in &events {
        if let Some((form, bound)) = bounds.iter().find(|(form, _)| form.form.name == event.summary.form) {
            judged.push(judge(form, bound, event));
        }
    }
    show(context.output, &asked, &judged)?;
    Ok(Exit::Well)
}

fn verbs(events: &[Sampled], form: &str) -> Vec<Verb> {
    let of_form = events.iter().filter(|event| event.summary.form == form).map(|event| event.summary.verb);
    of_form.collect::<BTreeSet<_>>().into_iter().collect()
}

fn show(output: Output, asked: &Asked, judged: &[Judged<'_>]) -> Result<(), Failure> {
    let word = |judged: &Judged<'_>| judged.verdict.map_or("error", Truth::as_str);
    let rows = judged.iter().map(|judged| {
        let summary = judged.summary;
        vec![
            summary.form.clone(),
            summary.verb.to_string(),
            summary.entry_id.clone(),
            times::write_short(summary.committed_at_us),
            word(judged).to_owned(),
            judged.why.clone(),
        ]
    });
    let json = |judged: &Judged<'_>| {
        json!({
            "form": judged.summary.form,
            "event": judged.summary.verb.as_str(),
            "entry_id": judged.summary.entry_id,
            "committed_at": times::write(judged.summary.committed_at_us),
            "position": judged.summary.position.to_string(),
            "verdict": judged.verdict.map(Truth::as_str),
            "why": judged.why,
            "lacks_values": judged.lacks_values,
        })
    };
    let matching = judged.iter().filter(|judged| judged.is_true()).count();
    output.list(
        || {
            json!({
                "condition": asked.text,
                "matching": matching,
                "events": judged.iter().map(json).collect::<Value>(),
            })
        },
        &["form", "event", "entry", "committed", "verdict", "because of"],
        rows.collect(),
        "the queue has no such event: only those that some webhook wanted are there, until the retention is over",
    )?;
    if !judged.is_empty() {
        output.note(&format!("{matching} of {} would be delivered", judged.len()));
    }
    if judged.iter().any(|judged| judged.lacks_values) {
        output.note(
            "an error may be none for the event itself: bodies have only the fields that their webhooks asked for, \
             and old values only in the native format",
        );
    }
    Ok(())
}
