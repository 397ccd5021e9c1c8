//! `walhook condition --sample`: the events captured last, as far as the bodies in the queue tell of them.

use super::deciding::deciding;
use super::{Asked, bound, form, one_line, refuse, rows};
use crate::app::cli;
use crate::app::commands::{Context, times};
use crate::app::failure::{Exit, Failure};
use crate::app::output::Output;
use crate::change::{OldRow, Row};
use crate::event::Verb;
use crate::form::BoundForm;
use crate::format::{self, Told};
use crate::lsn::Position;
use crate::qualification::{BoundQualification, Facts, Truth};
use crate::queue::{DeliveryRef, DeliverySummary, Filter, Queue};
use serde_json::{Value, json};
use std::sync::Arc;

/// How many deliveries are looked at, whatever is asked for: an event has as many as webhooks wanted it.
const DELIVERIES_MAX: usize = 20_000;

/// An event, put together from its deliveries.
struct Sampled {
    summary: DeliverySummary,
    told: Told,
}

/// An event with what the condition came to.
struct Judged<'a> {
    summary: &'a DeliverySummary,
    verdict: Option<Truth>,
    why: String,
    /// Whether it could not be judged, and a body with more fields might have helped.
    lacks_values: bool,
}

/// Judges the last events of the queue.
pub(super) async fn perform(
    context: &Context,
    command: &cli::Condition,
    count: usize,
) -> Result<Exit, Failure> {
    let config = context.load()?;
    let queue = context.open_queue(&config).await?;
    let asked = form::asked(context, command).await?;
    let mut events = Vec::new();
    for form in &asked.forms {
        events.extend(last_events(&*queue, &form.form.name, &asked, command.event, count).await?);
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
    let of_form = |verb: &Verb| events.iter().any(|e| e.summary.form == form && e.summary.verb == *verb);
    Verb::ALL.into_iter().filter(of_form).collect()
}

/// The last events of a form, newest first, each once, with all that its bodies tell.
async fn last_events(
    queue: &dyn Queue,
    form: &str,
    asked: &Asked,
    verb: Option<Verb>,
    count: usize,
) -> Result<Vec<Sampled>, Failure> {
    let webhooks = queue.webhooks().await?.len().max(1);
    // an event of which none is wanted takes the place of one that is
    let limit = count.saturating_mul(webhooks).saturating_mul(Verb::ALL.len()).min(DELIVERIES_MAX);
    let filter = Filter { form: Some(form.to_owned()), ..Filter::default() };
    let identity = |summary: &DeliverySummary| -> (Position, Verb, String) {
        (summary.position, summary.verb, summary.entry_id.clone())
    };
    let wanted = |summary: &DeliverySummary| {
        verb.is_none_or(|verb| verb == summary.verb)
            && asked.verbs.as_ref().is_none_or(|verbs| verbs.contains(&summary.verb))
    };
    let mut events: Vec<Sampled> = Vec::new();
    for summary in queue.deliveries(filter, limit).await?.into_iter().filter(wanted) {
        let same = events.iter().rposition(|event| identity(&event.summary) == identity(&summary));
        if same.is_none() && events.len() == count {
            continue;
        }
        // purged in the meantime
        let Some(detail) = queue.delivery(DeliveryRef::Number(summary.number)).await? else { continue };
        let body = [&detail.body.head[..], &detail.body.tail[..]].concat();
        // which format it was is not kept with it: the one that says most is it
        let told = format::FORMATS.iter().filter_map(|format| format.told(summary.verb, &body));
        let told = told.max_by_key(told_fields).unwrap_or_default();
        match same {
            Some(at) => complete(&mut events[at].told, told),
            None => events.push(Sampled { summary, told }),
        }
    }
    Ok(events)
}

fn told_fields(told: &Told) -> usize {
    told.new.len() + told.old.as_ref().map_or(0, |old| 1 + old.len())
}

/// The bodies of one event tell of the same rows.
fn complete(told: &mut Told, other: Told) {
    for (field, value) in other.new {
        told.new.entry(field).or_insert(value);
    }
    match (&mut told.old, other.old) {
        (Some(old), Some(other)) => {
            for (field, value) in other {
                old.entry(field).or_insert(value);
            }
        }
        (old @ None, other) => *old = other,
        (Some(_), None) => {}
    }
}

fn judge<'a>(form: &BoundForm, bound: &BoundQualification, event: &'a Sampled) -> Judged<'a> {
    let summary = &event.summary;
    let new = (summary.verb != Verb::Delete).then(|| rows::known_part(form, &event.told.new));
    let old = match &event.told.old {
        Some(values) if summary.verb != Verb::Create => OldRow::Full(rows::known_part(form, values)),
        _ => OldRow::Absent,
    };
    let facts = Facts {
        form,
        verb: summary.verb,
        old: &old,
        new: new.as_ref(),
        committed_at_us: summary.committed_at_us,
        user: None,
    };
    let text = bound.qualification().text();
    match bound.judge(&facts) {
        Ok(Truth::True) => {
            Judged { summary, verdict: Some(Truth::True), why: String::new(), lacks_values: false }
        }
        Ok(truth) => {
            let place = deciding(bound.qualification().root(), &bound.explain(&facts));
            let why = place.map_or_else(String::new, |place| one_line(text, &place));
            Judged { summary, verdict: Some(truth), why, lacks_values: false }
        }
        Err(failure) => {
            let is_short = new.as_ref().is_some_and(Row::has_unchanged)
                || old.row().map_or(summary.verb != Verb::Create, Row::has_unchanged);
            let why = format!("{}: {failure}", one_line(text, &failure.place));
            Judged { summary, verdict: None, why, lacks_values: is_short }
        }
    }
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
    let matching = judged.iter().filter(|judged| judged.verdict == Some(Truth::True)).count();
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
