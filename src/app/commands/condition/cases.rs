//! Files of cases: a form, conditions, rows, and what must come out.
//!
//! ```json
//! {"form": {"name": "Help Desk", "fields": [{"id": 7, "name": "Status", "type": "enum",
//!                                            "values": {"0": "New", "5": "Closed"}}]},
//!  "context": {"now": "2024-06-12T10:30:00Z", "user": "Demo"},
//!  "cases": [{"id": "closed", "qualification": "'Status' = \"Closed\"", "operation": "update",
//!             "new": {"Status": 5}, "old": {"Status": 0}, "expect": true}]}
//! ```

use super::file::{CaseOfFile, ContextOfFile, Expect, FieldOfFile, File, Operation};
use super::{draw_failure, made};
use crate::change::{OldRow, Row};
use crate::event::Verb;
use crate::form::BoundForm;
use crate::format::{Values, rows};
use crate::qualification::{Case as LetterCase, Dialect, Facts, Phase, Purpose, Qualification, Truth};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use std::fmt;
use std::sync::Arc;

/// The only language that there is.
const DIALECT: &str = "walhook-qualification-1";

/// A file of cases.
#[derive(Debug)]
pub struct Cases {
    form: BoundForm,
    /// The same form where letter case does not count.
    form_without_case: BoundForm,
    now_us: i64,
    user: Option<String>,
    /// The cases, in the order of the file.
    pub cases: Vec<Case>,
}

/// A condition, an event and what must come out.
#[derive(Debug)]
pub struct Case {
    /// Its name in the file.
    pub id: String,
    /// The condition.
    pub text: String,
    /// What must come out.
    pub wanted: Wanted,
    verb: Verb,
    old: OldRow,
    new: Option<Row>,
    /// Whether letter case does not count.
    folded: bool,
}

/// What must come out of a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// `expect`: whether the event would be delivered; none means an error.
    pub delivers: Option<bool>,
    /// `value`: exactly what.
    pub value: Option<Value>,
    /// `phase`: when the error shows.
    pub phase: Option<When>,
}

/// What a condition comes to, a failure included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Value {
    /// It holds.
    True,
    /// It does not.
    False,
    /// A value that decides is NULL.
    Unknown,
    /// It is refused or cannot be judged.
    Error,
}

/// When an error shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// The text is not in the grammar.
    Parse,
    /// The text does not fit the form.
    Bind,
    /// The event cannot be judged.
    Eval,
}

/// What came out of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Got {
    /// A verdict.
    Verdict(Truth),
    /// An error: when, what and where, drawn.
    Error {
        /// When it shows.
        when: When,
        /// The text with the place of the error.
        drawn: String,
    },
}

impl Wanted {
    /// Whether that is what must come out.
    pub fn is(&self, got: &Got) -> bool {
        let (delivers, value, when) = match got {
            Got::Verdict(truth) => (Some(*truth == Truth::True), value_of(*truth), None),
            Got::Error { when, .. } => (None, Value::Error, Some(*when)),
        };
        self.delivers == delivers
            && self.value.is_none_or(|wanted| wanted == value)
            && self.phase.is_none_or(|wanted| Some(wanted) == when)
    }
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match (self.value, self.delivers) {
            (Some(Value::Unknown), _) => "unknown",
            (_, Some(true)) => "true",
            (Some(Value::False), _) => "false",
            (None, Some(false)) => "false or unknown",
            _ => "an error",
        };
        f.write_str(word)?;
        self.phase.iter().try_for_each(|phase| write!(f, " ({})", phase.as_str()))
    }
}

impl fmt::Display for Got {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Verdict(truth) => truth.fmt(f),
            Self::Error { when, .. } => write!(f, "an error ({})", when.as_str()),
        }
    }
}

impl When {
    /// The word: `bind`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Parse => "parse",
            Self::Bind => "bind",
            Self::Eval => "eval",
        }
    }
}

fn value_of(truth: Truth) -> Value {
    match truth {
        Truth::True => Value::True,
        Truth::False => Value::False,
        Truth::Unknown => Value::Unknown,
    }
}

impl Cases {
    /// Reads the text of a file. `now` holds where the file says no other time. The error names the place.
    pub fn read(text: &str, now: Timestamp) -> Result<Self, String> {
        let file: File = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if let Some(other) = file.dialect.filter(|dialect| dialect != DIALECT) {
            return Err(format!("dialect: {other:?} is not known here; write {DIALECT:?}, or nothing"));
        }
        if file.version.is_some_and(|version| version != 1) {
            return Err("version: only version 1 is known here".to_owned());
        }
        let now = file.context.now.as_deref().map_or(Ok(now), |text| {
            text.parse().map_err(|error| format!("context.now: {error}; write 2024-06-12T10:30:00Z"))
        })?;
        let dialect = dialect(&file.context)?;
        let without_case = Dialect { case: LetterCase::Insensitive, ..dialect.clone() };
        let fields = file.form.fields.iter().map(FieldOfFile::made).collect::<Result<Vec<_>, _>>()?;
        if fields.is_empty() {
            return Err("form.fields: a form has at least one field".to_owned());
        }
        if let Some((at, field)) = fields
            .iter()
            .enumerate()
            .find(|(at, field)| fields[..*at].iter().any(|other| other.name == field.name))
        {
            return Err(format!("form.fields[{}]: field {:?} stands there twice", at + 1, field.name));
        }
        let form = made::form(&file.form.name, fields.clone(), Arc::new(dialect));
        let form_without_case = made::form(&file.form.name, fields, Arc::new(without_case));
        let cases = file.cases.into_iter().enumerate();
        let cases = cases.map(|(number, case)| {
            let name = case.id.clone().unwrap_or_else(|| format!("number {}", number + 1));
            case.check(&form, name.clone()).map_err(|error| format!("case {name}: {error}"))
        });
        Ok(Self {
            cases: cases.collect::<Result<_, _>>()?,
            form,
            form_without_case,
            now_us: now.as_microsecond(),
            user: file.context.user,
        })
    }

    /// What comes out of a case.
    pub fn judge(&self, case: &Case) -> Got {
        let form = if case.folded { &self.form_without_case } else { &self.form };
        let error = |when, drawn| Got::Error { when, drawn };
        let qualification = match Qualification::parse(&case.text) {
            Ok(qualification) => qualification,
            Err(fault) => return error(When::Parse, fault.draw(&case.text)),
        };
        let bound = match qualification.bind(form, Purpose::Webhook(&[case.verb])) {
            Ok(bound) => bound,
            Err(faults) => {
                let is_parse = faults.0.iter().any(|fault| fault.phase == Phase::Parse);
                let when = if is_parse { When::Parse } else { When::Bind };
                return error(when, faults.draw(&case.text));
            }
        };
        let facts = Facts {
            form,
            verb: case.verb,
            old: &case.old,
            new: case.new.as_ref(),
            committed_at_us: self.now_us,
            user: self.user.as_deref(),
        };
        match bound.judge(&facts) {
            Ok(truth) => Got::Verdict(truth),
            Err(failure) => error(When::Eval, draw_failure(&failure, &case.text)),
        }
    }
}

fn dialect(context: &ContextOfFile) -> Result<Dialect, String> {
    let time_zone = match &context.time_zone {
        Some(name) => TimeZone::get(name).map_err(|error| format!("context.time_zone: {error}"))?,
        None => TimeZone::UTC,
    };
    Ok(Dialect {
        case: LetterCase::Database,
        time_zone,
        date_formats: context.date_formats.clone(),
        server: context.server.clone().unwrap_or_else(|| Dialect::default().server),
    })
}

impl CaseOfFile {
    fn check(self, form: &BoundForm, id: String) -> Result<Case, String> {
        let verb = match self.operation {
            Operation::Create => Verb::Create,
            Operation::Update => Verb::Update,
            Operation::Merge => Verb::Merge,
            Operation::Delete => Verb::Delete,
        };
        let row = |key: &str, values: &Option<Values>| -> Result<Option<Row>, String> {
            let row = values.as_ref().map(|values| rows::row(form, values)).transpose();
            row.map_err(|error| format!("{key}: {error}"))
        };
        let (old, new) = (row("old", &self.old)?, row("new", &self.new)?);
        let nowhere = Row::from_iter([]);
        let new = match verb {
            Verb::Delete if new.is_some() => return Err("new: a delete has none; write null".to_owned()),
            Verb::Delete => None,
            Verb::Create | Verb::Update | Verb::Merge | Verb::Named(_) => Some(new.unwrap_or(nowhere)),
        };
        let old = match old {
            Some(_) if verb == Verb::Create => return Err("old: a create has none; write null".to_owned()),
            Some(old) => OldRow::Full(old),
            None => OldRow::Absent,
        };
        let delivers = match self.expect {
            Expect::Delivers(delivers) => Some(delivers),
            Expect::Error => None,
        };
        let value = self.value;
        let fits = match value {
            None => true,
            Some(Value::True) => delivers == Some(true),
            Some(Value::False | Value::Unknown) => delivers == Some(false),
            Some(Value::Error) => delivers.is_none(),
        };
        if !fits || (self.phase.is_some() && delivers.is_some()) {
            return Err("expect, value and phase contradict each other".to_owned());
        }
        Ok(Case {
            id,
            text: self.qualification,
            wanted: Wanted { delivers, value, phase: self.phase },
            verb,
            old,
            new,
            folded: self.options.is_some_and(|options| options.case_insensitive),
        })
    }
}
