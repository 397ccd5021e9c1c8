//! `walhook condition`: a condition judged for one event, for a file of cases, or for what was captured last.

pub mod cases;
pub(crate) mod columns;
mod file;
mod form;
pub mod made;
mod sample;
mod test;

use super::Context;
use crate::admin::sample::one_line;
use crate::app::cli;
use crate::app::failure::{Exit, Failure};
use crate::app::output::Output;
use crate::change::{OldRow, Row};
use crate::event::Verb;
use crate::form::BoundForm;
use crate::format::{self, rows};
use crate::qualification::{
    BoundQualification, Explained, Facts, Fault, Faults, Phase, Purpose, Qualification, Truth, position,
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Read as _;
use std::sync::Arc;

/// A longer condition is refused anyway.
const TEXT_BYTES_MAX: u64 = 1 << 20;

/// Judges.
pub async fn perform(context: &Context, command: &cli::Condition) -> Result<Exit, Failure> {
    if !command.test.is_empty() {
        return test::perform(context.output, &command.test, now(command)?);
    }
    if let Some(count) = command.sample {
        return sample::perform(context, command, count as usize).await;
    }
    let asked = form::asked(context, command).await?;
    let [form] = &asked.forms[..] else {
        let names: Vec<_> = asked.forms.iter().map(|form| form.form.name.as_str()).collect();
        return Err(Failure::usage("the webhook listens to several forms")
            .hint(format!("say which one with --form: {}", names.join(", "))));
    };
    let text = asked.text.as_str();
    let verb = command.event.unwrap_or(Verb::Update);
    match bound(form, text, &[verb]) {
        Ok(bound) => judge(context.output, command, verb, form, &bound),
        Err(faults) => refuse(context.output, text, &faults),
    }
}

/// The condition's text: as it stands on the command line, or from standard input.
fn text(argument: &str) -> Result<String, Failure> {
    if argument != "-" {
        return Ok(argument.to_owned());
    }
    let mut text = String::new();
    std::io::stdin().lock().take(TEXT_BYTES_MAX).read_to_string(&mut text)?;
    Ok(text)
}

fn now(command: &cli::Condition) -> Result<Timestamp, Failure> {
    let Some(text) = &command.now else { return Ok(Timestamp::now()) };
    let time = super::times::read("now", text, Timestamp::now())?;
    Timestamp::from_microsecond(time).map_err(|error| Failure::usage(error.to_string()))
}

pub(crate) fn bound(form: &BoundForm, text: &str, verbs: &[Verb]) -> Result<BoundQualification, Faults> {
    let qualification = Qualification::parse(text).map_err(|fault| Faults(vec![fault]))?;
    qualification.bind(form, Purpose::Webhook(verbs))
}

/// Shows what is wrong with a condition.
fn refuse(output: Output, text: &str, faults: &Faults) -> Result<Exit, Failure> {
    if output.json {
        output.json(&json!({
            "condition": text,
            "verdict": null,
            "faults": faults.0.iter().map(|fault| fault_json(fault, text)).collect::<Value>(),
        }))?;
        return Ok(Exit::Usage);
    }
    let drawn = faults.draw(text);
    // the word is put before it again where it is told
    Err(Failure::usage(drawn.strip_prefix("error: ").unwrap_or(&drawn)))
}

fn judge(
    output: Output,
    command: &cli::Condition,
    verb: Verb,
    form: &BoundForm,
    bound: &BoundQualification,
) -> Result<Exit, Failure> {
    let (old, new) = (row(form, "old", command.old.as_ref())?, row(form, "new", command.new.as_ref())?);
    let (old, new) = images(verb, old, new)?;
    let facts = Facts {
        form,
        verb,
        old: &old,
        new: new.as_ref(),
        committed_at_us: now(command)?.as_microsecond(),
        user: command.user.as_deref(),
    };
    let text = bound.qualification().text();
    let judged = bound.judge(&facts);
    let parts = if command.explain || output.json { bound.explain(&facts) } else { Vec::new() };
    if output.json {
        output.json(&json!({
            "condition": text,
            "normal": bound.qualification().to_string(),
            "form": form.form.name,
            "event": verb.as_str(),
            "verdict": judged.as_ref().ok().map(|truth| truth.as_str()),
            "failure": judged.as_ref().err().map(|failure| failure_json(failure, text)),
            "parts": parts.iter().map(|part| part_json(part, text)).collect::<Value>(),
            "warnings": bound.warnings().iter().map(|fault| fault_json(fault, text)).collect::<Value>(),
        }))?;
    } else {
        for warning in bound.warnings() {
            output.note(&format!("warning: {warning}"));
        }
        if command.explain && !parts.is_empty() {
            output.text(&explanation(&parts, text))?;
        }
        match &judged {
            Ok(truth) => output.text(truth.as_str())?,
            Err(failure) => output.note(&format!(
                "{}\nthe condition cannot be judged for this event: the event would be held",
                draw_failure(failure, text)
            )),
        }
    }
    Ok(if judged == Ok(Truth::True) { Exit::Well } else { Exit::No })
}

fn row(form: &BoundForm, option: &str, json: Option<&String>) -> Result<Option<Row>, Failure> {
    let Some(json) = json else { return Ok(None) };
    let values: format::Values = serde_json::from_str(json).map_err(|error| {
        Failure::usage(format!("--{option} is no JSON object: {error}"))
            .hint("write values by field: '{\"Status\": 1, \"Assigned To\": null}'")
    })?;
    let row = rows::row(form, &values);
    row.map(Some).map_err(|error| Failure::usage(format!("--{option}: {error}")))
}

/// The images of an event: what was not given of the new row is NULL, an old row that was not given is not known.
fn images(verb: Verb, old: Option<Row>, new: Option<Row>) -> Result<(OldRow, Option<Row>), Failure> {
    let old = match old {
        Some(_) if verb == Verb::Create => {
            return Err(Failure::usage("a create has no row before").hint("leave --old away"));
        }
        Some(old) => OldRow::Full(old),
        None => OldRow::Absent,
    };
    let new = match new {
        Some(_) if verb == Verb::Delete => {
            return Err(Failure::usage("a delete has no row after").hint("give its row with --old"));
        }
        None if verb == Verb::Delete => None,
        new => Some(new.unwrap_or_else(|| Row::from_iter([]))),
    };
    Ok((old, new))
}

/// A failure drawn like a fault.
fn draw_failure(failure: &crate::qualification::Failure, text: &str) -> String {
    let fault = Fault {
        phase: Phase::Bind,
        place: failure.place.clone(),
        message: failure.reason.clone(),
        remedy: None,
    };
    fault.draw(text)
}

/// The comparisons of a condition, each with its verdict.
fn explanation(parts: &[Explained], text: &str) -> String {
    let mut lines = String::new();
    for part in parts {
        let verdict = match &part.verdict {
            Ok(truth) => truth.as_str().to_owned(),
            Err(failure) => format!("error    {failure}"),
        };
        let _ = writeln!(lines, "  {verdict:<8} {}", one_line(text, &part.place));
    }
    lines
}

fn fault_json(fault: &Fault, text: &str) -> Value {
    let (line, column) = position(text, fault.place.start);
    let phase = match fault.phase {
        Phase::Parse => "parse",
        Phase::Bind => "bind",
    };
    json!({
        "phase": phase,
        "line": line,
        "column": column,
        "message": fault.message,
        "remedy": fault.remedy,
    })
}

fn failure_json(failure: &crate::qualification::Failure, text: &str) -> Value {
    let (line, column) = position(text, failure.place.start);
    json!({ "line": line, "column": column, "message": failure.reason })
}

fn part_json(part: &Explained, text: &str) -> Value {
    let (line, column) = position(text, part.place.start);
    json!({
        "text": text.get(part.place.clone()),
        "line": line,
        "column": column,
        "verdict": part.verdict.as_ref().ok().map(|truth| truth.as_str()),
        "failure": part.verdict.as_ref().err().map(|failure| failure_json(failure, text)),
    })
}

/// What is asked about: a condition and the forms that it is for.
struct Asked {
    text: String,
    /// The events that it is for; none where nobody says.
    verbs: Option<Vec<Verb>>,
    forms: Vec<Arc<BoundForm>>,
}
