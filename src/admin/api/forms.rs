//! `/forms`: the forms as they are bound now, for those who register webhooks and write conditions.

use super::{Answer, ProblemBody};
use crate::admin::Shown;
use crate::admin::given::Named;
use crate::admin::problem::Problem;
use crate::catalog::Description;
use crate::form::BoundForm;
use crate::nearby::nearest;
use crate::value::{Kind, Type};
use axum::Json;
use axum::extract::State as On;
use axum::http::StatusCode;
use serde::Serialize;
use std::sync::Arc;
use utoipa::ToSchema;

/// All forms.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct FormList {
    forms: Vec<ShownForm>,
    /// Forms that cannot be bound to their tables.
    broken: Vec<BrokenForm>,
}

/// A form.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ShownForm {
    #[schema(example = "HPD:Help Desk")]
    name: String,
    /// For names of events: `request.create`.
    #[schema(example = "request")]
    noun: String,
    /// Its table, as in SQL.
    #[schema(example = "helpdesk.incident")]
    table: String,
    /// The columns of the entry id; several are joined by `|`.
    entry_id: Vec<String>,
    /// The column of the record id.
    record_id: Option<String>,
    /// What can happen to an entry.
    events: Vec<String>,
    /// Its fields, in the order of the columns.
    fields: Vec<ShownField>,
    /// Further names for columns, in conditions only.
    parts: Vec<ShownPart>,
}

/// A field.
#[derive(Debug, Serialize, ToSchema)]
struct ShownField {
    name: String,
    column: String,
    /// Its number, in products that number fields.
    id: Option<u64>,
    /// What its values are in bodies: `boolean`, `number`, `date`, `timestamp`, `timestamptz`, `json`, `bytea`, `text`,
    /// `hstore`, `array`, `composite`.
    r#type: &'static str,
    /// What its values mean in conditions: `text`, `number`, `selection`, `timestamp`, `date`, `time`, `diary`,
    /// `currency`, `status_history`, `attachment`, `opaque` (cannot be compared).
    kind: &'static str,
    /// The values of a selection, in order.
    labels: Vec<ShownLabel>,
}

/// A column under a name of its own.
#[derive(Debug, Serialize, ToSchema)]
struct ShownPart {
    #[schema(example = "Cost.TYPE")]
    name: String,
    column: String,
    /// As with fields.
    kind: &'static str,
}

/// A value of a selection.
#[derive(Debug, Serialize, ToSchema)]
struct ShownLabel {
    /// Its number in conditions.
    number: i64,
    /// What stands in the column.
    value: String,
    /// What people read.
    label: String,
}

/// A form that cannot be bound.
#[derive(Debug, Serialize, ToSchema)]
struct BrokenForm {
    name: String,
    /// Why not, and what to do.
    reason: String,
}

impl ShownForm {
    fn of(form: &BoundForm) -> Self {
        let column = |number: usize| form.relation.columns[number].name.clone();
        let fields = form.fields.iter().map(|field| ShownField {
            name: field.name.clone(),
            column: column(field.column),
            id: field.id,
            r#type: type_word(&field.type_),
            kind: kind_word(&field.kind),
            labels: labels(&field.kind),
        });
        let parts = form.parts.iter().map(|part| ShownPart {
            name: part.name.clone(),
            column: column(part.column),
            kind: kind_word(&part.kind),
        });
        Self {
            name: form.form.name.clone(),
            noun: form.form.noun.clone(),
            table: format!("{}.{}", form.relation.schema, form.relation.name),
            entry_id: form.entry_id.iter().copied().map(column).collect(),
            record_id: form.record_id.map(column),
            events: form.form.verbs().iter().map(ToString::to_string).collect(),
            fields: fields.collect(),
            parts: parts.collect(),
        }
    }
}

fn type_word(type_: &Type) -> &'static str {
    match type_ {
        Type::Boolean => "boolean",
        Type::Number => "number",
        Type::Date => "date",
        Type::Timestamp => "timestamp",
        Type::TimestampTz => "timestamptz",
        Type::Json => "json",
        Type::Bytea => "bytea",
        Type::Text => "text",
        Type::Hstore => "hstore",
        Type::Array { .. } | Type::Vector { .. } => "array",
        Type::Composite { .. } => "composite",
    }
}

fn kind_word(kind: &Kind) -> &'static str {
    match kind {
        Kind::Text { .. } => "text",
        Kind::Number { .. } => "number",
        Kind::Selection(_) => "selection",
        Kind::Instant(_) => "timestamp",
        Kind::Date => "date",
        Kind::Time { .. } => "time",
        Kind::Diary { .. } => "diary",
        Kind::Currency => "currency",
        Kind::StatusHistory => "status_history",
        Kind::Attachment => "attachment",
        Kind::Opaque => "opaque",
    }
}

fn labels(kind: &Kind) -> Vec<ShownLabel> {
    let Kind::Selection(selection) = kind else { return Vec::new() };
    let label = |choice: &crate::value::Choice| ShownLabel {
        number: choice.number,
        value: choice.stored.clone(),
        label: choice.label.clone(),
    };
    selection.choices.iter().map(label).collect()
}

/// Lists the forms with their fields, as they are bound now. Hidden columns are not among them.
#[utoipa::path(
    get,
    path = "/forms",
    operation_id = "list_forms",
    tag = "forms",
    responses(
        (status = 200, description = "The forms.", body = FormList),
        (status = 503, description = "The database has not been read yet.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(On(shown): On<Shown>) -> Answer<Json<FormList>> {
    let described = described(&shown)?;
    let broken = described.statuses.iter().filter(|status| status.is_broken());
    let broken = broken.map(|status| BrokenForm { name: status.form.clone(), reason: status.reason() });
    let forms = described.forms.iter().map(|form| ShownForm::of(form));
    Ok(Json(FormList { forms: forms.collect(), broken: broken.collect() }))
}

/// Shows one form.
#[utoipa::path(
    get,
    path = "/forms/{name}",
    operation_id = "show_form",
    tag = "forms",
    params(("name" = String, Path, description = "The form.")),
    responses(
        (status = 200, description = "The form.", body = ShownForm),
        (status = 404, description = "There is none.", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The database has not been read yet.", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn show(On(shown): On<Shown>, Named(name): Named<String>) -> Answer<Json<ShownForm>> {
    let described = described(&shown)?;
    match described.forms.iter().find(|form| form.form.name == name) {
        Some(form) => Ok(Json(ShownForm::of(form))),
        None => {
            Err(Problem::new(StatusCode::NOT_FOUND, "there is no such form")
                .detail(why_not(&described, &name)))
        }
    }
}

/// Why there is no bound form of that name.
pub(super) fn why_not(described: &Description, name: &str) -> String {
    let broken = described.statuses.iter().find(|status| status.form == name && status.is_broken());
    if let Some(status) = broken {
        return format!("form {name:?} is broken: {}", status.reason());
    }
    let known = described.forms.iter().map(|form| form.form.name.as_str());
    match nearest(name, known) {
        Some(near) => format!("there is no form {name:?}; did you mean {near:?}?"),
        None => format!("there is no form {name:?}; {}/forms lists them", super::BASE),
    }
}

/// The forms as they are described now.
pub(super) fn described(shown: &Shown) -> Answer<Arc<Description>> {
    shown.forms.now().ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the forms are not known yet")
            .detail("the database has not been read since the start; /readyz says why")
    })
}
