//! The events captured last, as far as the bodies in the queue tell of them, and what a condition comes to for them.

mod deciding;

use crate::change::{OldRow, Row};
use crate::event::Verb;
use crate::form::BoundForm;
use crate::format::{self, Told, rows};
use crate::lsn::Position;
use crate::qualification::{BoundQualification, Facts, Truth};
use crate::queue::{DeliveryRef, DeliverySummary, Error, Filter, Queue};
use deciding::deciding;
use std::ops::Range;

/// A form has no more verbs than these, near enough.
const VERBS_OF_FORM: usize = 8;
/// How many deliveries are looked at, whatever is asked for: an event has as many as webhooks wanted it.
const DELIVERIES_MAX: usize = 20_000;

/// An event, put together from its deliveries.
pub struct Sampled {
    /// One of the deliveries.
    pub summary: DeliverySummary,
    told: Told,
}

/// An event with what the condition came to.
pub struct Judged<'a> {
    /// One of the event's deliveries.
    pub summary: &'a DeliverySummary,
    /// What it came to; none if it cannot be judged.
    pub verdict: Option<Truth>,
    /// The part of the condition that decided, or why it cannot be judged.
    pub why: String,
    /// Whether it could not be judged, and a body with more fields might have helped.
    pub lacks_values: bool,
}

impl Judged<'_> {
    /// Whether it would be delivered.
    pub fn is_true(&self) -> bool {
        self.verdict == Some(Truth::True)
    }
}

/// The last events of a form, newest first, each once, with all that its bodies tell.
pub async fn last_events(
    queue: &dyn Queue,
    form: &str,
    wanted: &(dyn Fn(Verb) -> bool + Sync),
    count: usize,
) -> Result<Vec<Sampled>, Error> {
    let webhooks = queue.webhooks().await?.len().max(1);
    // an event of which none is wanted takes the place of one that is
    let limit = count.saturating_mul(webhooks).saturating_mul(VERBS_OF_FORM).min(DELIVERIES_MAX);
    let filter = Filter { form: Some(form.to_owned()), ..Filter::default() };
    let identity = |summary: &DeliverySummary| -> (Position, Verb, String) {
        (summary.position, summary.verb, summary.entry_id.clone())
    };
    let mut events: Vec<Sampled> = Vec::new();
    for summary in queue.deliveries(filter, limit).await?.into_iter().filter(|one| wanted(one.verb)) {
        let same = events.iter().rposition(|event| identity(&event.summary) == identity(&summary));
        if same.is_none() && events.len() == count {
            continue;
        }
        // purged in the meantime
        let Some(detail) = queue.delivery(DeliveryRef::Number(summary.number)).await? else { continue };
        let body = [&detail.body.head[..], &detail.body.tail[..]].concat();
        let told = format::told_of(summary.verb, &body);
        match same {
            Some(at) => complete(&mut events[at].told, told),
            None => events.push(Sampled { summary, told }),
        }
    }
    Ok(events)
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

/// What a condition comes to for an event, and why.
pub fn judge<'a>(form: &BoundForm, bound: &BoundQualification, event: &'a Sampled) -> Judged<'a> {
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

/// A part of a text in one line.
pub fn one_line(text: &str, place: &Range<usize>) -> String {
    let part = text.get(place.clone()).unwrap_or_default();
    part.split_whitespace().collect::<Vec<_>>().join(" ")
}
