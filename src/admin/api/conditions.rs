//! `/conditions/preview`: a condition judged for an event that somebody describes, or for those that came last.

use super::{Answer, ProblemBody, forms, out_of_order, time};
use crate::admin::Shown;
use crate::admin::given::Given;
use crate::admin::problem::Problem;
use crate::admin::sample::{self, Judged};
use crate::change::{OldRow, Row};
use crate::event::Verb;
use crate::form::BoundForm;
use crate::format::{Values, rows};
use crate::qualification::{
    BoundQualification, Explained, Facts, Failure, Fault, Faults, Phase, Purpose, Qualification, position,
};
use axum::Json;
use axum::extract::State as On;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use std::time::{SystemTime, UNIX_EPOCH};
use utoipa::ToSchema;

/// How many events are looked for at most.
const RECENT_MAX: u16 = 1000;

/// What is judged.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewRequest {
    /// The form that the condition is about.
    form: String,
    #[schema(example = "'Status' != \"Closed\"")]
    condition: String,
    /// `create`, `update`, `merge` or `delete`; update if nothing is said. With `recent`: only these.
    event: Option<String>,
    /// The row before, by field; fields that are not there are NULL. None where it is not known.
    #[schema(value_type = Option<Object>)]
    old: Option<Box<RawValue>>,
    /// The row after, likewise.
    #[schema(value_type = Option<Object>)]
    new: Option<Box<RawValue>>,
    /// Who changed it, for `$USER$`.
    user: Option<String>,
    /// When it was committed, for `$TIMESTAMP$` and relative times; now if nothing is said.
    #[schema(format = DateTime)]
    committed_at: Option<String>,
    /// Judges so many of the events that came last instead, as far as the bodies in the queue tell of them.
    #[schema(minimum = 1, maximum = 1000)]
    recent: Option<u16>,
}

/// What a condition came to.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Preview {
    /// As it was given.
    condition: String,
    /// As it is understood, with all brackets.
    normal: String,
    form: String,
    /// What is probably not meant.
    warnings: Vec<ConditionFault>,
    /// For the event that was described: what it came to.
    #[serde(flatten)]
    described: Option<Verdict>,
    /// For the events that came last, newest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    events: Option<Vec<SampledEvent>>,
    /// How many of those it is true for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    matching: Option<usize>,
}

/// What a condition came to for one event.
#[derive(Debug, Serialize, ToSchema)]
#[allow(clippy::struct_field_names, reason = "the keys of the answer")]
struct Verdict {
    event: String,
    /// `true`, `false` or `unknown`; none if it cannot be judged, and the event would be held.
    verdict: Option<&'static str>,
    /// Why it cannot be judged.
    failure: Option<ConditionFailure>,
    /// The comparisons, each with its own verdict.
    parts: Vec<ConditionPart>,
}

/// Something wrong with a condition.
#[derive(Debug, Serialize, ToSchema)]
struct ConditionFault {
    /// `parse` (the text) or `bind` (the form).
    phase: &'static str,
    /// Where it begins, in bytes from 0.
    offset: usize,
    /// From 1.
    line: usize,
    /// In characters, from 1.
    column: usize,
    message: String,
    remedy: Option<String>,
}

/// Why a condition cannot be judged for an event.
#[derive(Debug, Serialize, ToSchema)]
struct ConditionFailure {
    offset: usize,
    line: usize,
    column: usize,
    message: String,
}

/// A comparison of a condition.
#[derive(Debug, Serialize, ToSchema)]
struct ConditionPart {
    text: String,
    offset: usize,
    line: usize,
    column: usize,
    /// `true`, `false` or `unknown`; none if it cannot be judged.
    verdict: Option<&'static str>,
    failure: Option<ConditionFailure>,
}

/// An event that came.
#[derive(Debug, Serialize, ToSchema)]
struct SampledEvent {
    form: String,
    event: String,
    entry_id: String,
    #[schema(format = DateTime)]
    committed_at: String,
    position: String,
    /// `true`, `false` or `unknown`; none if it cannot be judged.
    verdict: Option<&'static str>,
    /// The part of the condition that decided, or why it cannot be judged.
    why: String,
    /// Whether it could not be judged, and a body with more fields might have helped.
    lacks_values: bool,
}

/// Judges a condition. Nothing is registered or sent.
#[utoipa::path(
    post,
    path = "/conditions/preview",
    operation_id = "preview_condition",
    tag = "conditions",
    request_body = PreviewRequest,
    responses(
        (status = 200, description = "What it came to.", body = Preview),
        (status = 400, description = "The body is not JSON.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 413, description = "The body is too large.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 415, description = "The body is not said to be JSON.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The condition does not fit the form, or the rows do not; `detail` has it drawn with a caret.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database has not been read yet, or the queue does not answer.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn preview(
    On(shown): On<Shown>,
    Given(request): Given<PreviewRequest>,
) -> Answer<Json<Preview>> {
    let described = forms::described(&shown)?;
    let form = described.forms.iter().find(|form| form.form.name == request.form);
    let form = form.ok_or_else(|| wrong("/form", forms::why_not(&described, &request.form), None))?;
    let verb = match request.event.as_deref().map(str::parse::<Verb>) {
        None => None,
        Some(Ok(verb)) if form.form.verbs().contains(&verb) => Some(verb),
        Some(_) => {
            let known: Vec<String> = form.form.verbs().iter().map(ToString::to_string).collect();
            let remedy = format!("say one of {}", known.join(", "));
            return Err(wrong("/event", "there is no such event", Some(&remedy)));
        }
    };
    let verbs = match (verb, request.recent) {
        (Some(verb), _) => vec![verb],
        (None, None) => vec![Verb::Update],
        (None, Some(_)) => Verb::OF_ROWS.to_vec(),
    };
    let text = request.condition.as_str();
    let bound = Qualification::parse(text)
        .map_err(|fault| Faults(vec![fault]))
        .and_then(|qualification| qualification.bind(form, Purpose::Webhook(&verbs)))
        .map_err(|faults| faulty(&faults, text))?;
    let mut preview = Preview {
        condition: text.to_owned(),
        normal: bound.qualification().to_string(),
        form: form.form.name.clone(),
        warnings: bound.warnings().iter().map(|fault| ConditionFault::of(fault, text)).collect(),
        described: None,
        events: None,
        matching: None,
    };
    match request.recent {
        None => preview.described = Some(judge(form, &bound, verbs[0], &request)?),
        Some(count) => {
            if !(1..=RECENT_MAX).contains(&count) {
                return Err(wrong("/recent", "1 to 1000 events are judged at once", None));
            }
            if request.old.is_some() || request.new.is_some() {
                let remedy = "leave \"recent\" away, or the rows";
                return Err(wrong("/recent", "events that came have rows of their own", Some(remedy)));
            }
            let wanted = |event: Verb| verb.is_none_or(|verb| verb == event);
            let name = &form.form.name;
            let found = sample::last_events(&*shown.queue, name, &wanted, usize::from(count)).await;
            let found = found.map_err(out_of_order)?;
            let judged: Vec<_> = found.iter().map(|event| sample::judge(form, &bound, event)).collect();
            preview.matching = Some(judged.iter().filter(|judged| judged.is_true()).count());
            preview.events = Some(judged.iter().map(SampledEvent::of).collect());
        }
    }
    Ok(Json(preview))
}

fn wrong(pointer: &str, message: impl Into<String>, remedy: Option<&str>) -> Problem {
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "this cannot be judged");
    problem.at(pointer, message, remedy.map(str::to_owned))
}

/// What is wrong with a condition, drawn and by place.
fn faulty(faults: &Faults, text: &str) -> Problem {
    let problem = Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "the condition is wrong");
    let problem = problem.detail(faults.draw(text));
    faults.0.iter().fold(problem, |problem, fault| {
        let (line, column) = position(text, fault.place.start);
        let at = format!("line {line}, column {column} (offset {})", fault.place.start);
        problem.at("/condition", format!("{}: {at}", fault.message), fault.remedy.clone())
    })
}

fn judge(
    form: &BoundForm,
    bound: &BoundQualification,
    verb: Verb,
    request: &PreviewRequest,
) -> Answer<Verdict> {
    let row = |pointer: &str, json: &Option<Box<RawValue>>| -> Answer<Option<Row>> {
        let Some(json) = json else { return Ok(None) };
        let values: Values = serde_json::from_str(json.get())
            .map_err(|_| wrong(pointer, "a row is an object of values by field", None))?;
        rows::row(form, &values).map(Some).map_err(|message| wrong(pointer, message, None))
    };
    let old = match (row("/old", &request.old)?, verb) {
        (Some(_), Verb::Create) => {
            return Err(wrong("/old", "a create has no row before", Some("leave it away")));
        }
        (Some(old), _) => OldRow::Full(old),
        (None, _) => OldRow::Absent,
    };
    let new = match (row("/new", &request.new)?, verb) {
        (Some(_), Verb::Delete) => {
            return Err(wrong("/new", "a delete has no row after", Some("give its row as \"old\"")));
        }
        (None, Verb::Delete) => None,
        (new, _) => Some(new.unwrap_or_else(|| Row::from_iter([]))),
    };
    let committed_at_us = match &request.committed_at {
        Some(text) => {
            let remedy = Some("write it as 2026-11-22T05:00:00Z");
            let read = time::read(text);
            read.ok_or_else(|| wrong("/committed_at", "this is no time with its offset from UTC", remedy))?
        }
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            i64::try_from(now.as_micros()).unwrap_or(i64::MAX)
        }
    };
    let facts =
        Facts { form, verb, old: &old, new: new.as_ref(), committed_at_us, user: request.user.as_deref() };
    let (text, judged) = (bound.qualification().text(), bound.judge(&facts));
    Ok(Verdict {
        event: verb.to_string(),
        verdict: judged.as_ref().ok().map(|truth| truth.as_str()),
        failure: judged.as_ref().err().map(|failure| ConditionFailure::of(failure, text)),
        parts: bound.explain(&facts).iter().map(|part| ConditionPart::of(part, text)).collect(),
    })
}

impl ConditionFault {
    fn of(fault: &Fault, text: &str) -> Self {
        let (line, column) = position(text, fault.place.start);
        let phase = match fault.phase {
            Phase::Parse => "parse",
            Phase::Bind => "bind",
        };
        Self {
            phase,
            offset: fault.place.start,
            line,
            column,
            message: fault.message.clone(),
            remedy: fault.remedy.clone(),
        }
    }
}

impl ConditionFailure {
    fn of(failure: &Failure, text: &str) -> Self {
        let (line, column) = position(text, failure.place.start);
        Self { offset: failure.place.start, line, column, message: failure.reason.clone() }
    }
}

impl ConditionPart {
    fn of(part: &Explained, text: &str) -> Self {
        let (line, column) = position(text, part.place.start);
        Self {
            text: text.get(part.place.clone()).unwrap_or_default().to_owned(),
            offset: part.place.start,
            line,
            column,
            verdict: part.verdict.as_ref().ok().map(|truth| truth.as_str()),
            failure: part.verdict.as_ref().err().map(|failure| ConditionFailure::of(failure, text)),
        }
    }
}

impl SampledEvent {
    fn of(judged: &Judged<'_>) -> Self {
        let summary = judged.summary;
        Self {
            form: summary.form.clone(),
            event: summary.verb.to_string(),
            entry_id: summary.entry_id.clone(),
            committed_at: time::write(summary.committed_at_us),
            position: summary.position.to_string(),
            verdict: judged.verdict.map(crate::qualification::Truth::as_str),
            why: judged.why.clone(),
            lacks_values: judged.lacks_values,
        }
    }
}
