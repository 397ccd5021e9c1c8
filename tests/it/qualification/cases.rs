//! Files of cases: a form, conditions, rows, and what must come out. `walhook condition --test` reads the same shape.

use serde::Deserialize;
use serde_json::value::RawValue;
use std::collections::BTreeMap;
use std::sync::Arc;
use walhook::change::{Column, Datum, OldRow, Relation, ReplicaIdentity, Row};
use walhook::event::Verb;
use walhook::form::{BoundField, BoundForm, Fold, Form, OldValues};
use walhook::qualification::{
    Case, Dialect, Facts, Found, Phase, Purpose, Qualification, Requirement, Truth, key_of,
};
use walhook::value::{Choice, Kind, Moment, Selection, Type};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(rename = "version")]
    _version: u32,
    #[serde(rename = "dialect")]
    _dialect: String,
    #[serde(rename = "note")]
    _note: String,
    form: FormOfFile,
    context: Context,
    cases: Vec<CaseOfFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FormOfFile {
    name: String,
    fields: Vec<FieldOfFile>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldOfFile {
    id: Option<u64>,
    name: String,
    #[serde(rename = "type")]
    type_: String,
    values: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Context {
    now: String,
    user: Option<String>,
    server: Option<String>,
    time_zone: Option<String>,
    #[serde(default)]
    date_formats: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseOfFile {
    id: String,
    #[serde(rename = "group")]
    _group: String,
    qualification: String,
    operation: String,
    new: Option<BTreeMap<String, Box<RawValue>>>,
    old: Option<BTreeMap<String, Box<RawValue>>>,
    #[serde(default)]
    options: Options,
    expect: String,
    value: String,
    phase: Option<String>,
    #[serde(rename = "note")]
    _note: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    #[serde(default)]
    case_insensitive: bool,
}

fn kind(field: &FieldOfFile) -> Kind {
    let text = |folds_case| Kind::Text { folds_case, padded: false };
    match field.type_.as_str() {
        "char" => text(false),
        "citext" => text(true),
        "enum" => {
            let values = field.values.as_ref().unwrap();
            let mut choices: Vec<Choice> = values
                .iter()
                .map(|(stored, label)| Choice {
                    number: stored.parse().unwrap(),
                    stored: stored.clone(),
                    label: label.clone(),
                })
                .collect();
            choices.sort_by_key(|choice| choice.number);
            Kind::Selection(Arc::new(Selection { choices }))
        }
        "boolean" => {
            let choice = |number, stored: &str, label: &str| Choice {
                number,
                stored: stored.into(),
                label: label.into(),
            };
            let choices = vec![choice(0, "f", "false"), choice(1, "t", "true")];
            Kind::Selection(Arc::new(Selection { choices }))
        }
        "integer" => Kind::Number { whole: true },
        "real" | "decimal" => Kind::Number { whole: false },
        "datetime" => Kind::Instant(Moment::Zoned),
        "timestamp" => Kind::Instant(Moment::Local),
        "epoch" => Kind::Instant(Moment::Epoch),
        "date" => Kind::Date,
        "time" => Kind::Time { seconds: false },
        "seconds_of_day" => Kind::Time { seconds: true },
        "diary" => Kind::Diary { folds_case: false },
        "currency" => Kind::Currency,
        "status_history" => Kind::StatusHistory,
        "attachment" => Kind::Attachment,
        "json" => Kind::Opaque,
        other => panic!("unknown type {other}"),
    }
}

/// A form of these fields, each a column of its own, with whole old rows.
pub(super) fn form(name: &str, fields: Vec<(String, Option<u64>, Kind)>, dialect: Dialect) -> BoundForm {
    let column =
        |name: &String| Column { name: name.clone(), type_oid: 25, type_modifier: -1, in_identity: true };
    let columns = fields.iter().map(|(name, ..)| column(name)).collect();
    let count = fields.len();
    let bound = fields.into_iter().enumerate().map(|(column, (name, id, kind))| BoundField {
        name,
        id,
        column,
        type_: Type::Text,
        kind,
    });
    BoundForm {
        fields: bound.collect(),
        form: Arc::new(Form {
            name: name.into(),
            noun: "request".into(),
            schema: None,
            table: "help_desk".into(),
            entry_id: vec![],
            record_id: None,
            old_values: OldValues::Auto,
            fold: Fold::Transaction,
            ignore: vec![],
            unset: vec![],
            hidden: vec![],
            fields: vec![],
            happenings: walhook::happening::Happenings::default(),
            itrp: walhook::form::ItrpFields::default(),
            belonging: None,
            referred_by: vec![],
            unchanged_updates: false,
            value_bytes_max: 1 << 20,
            entries: None,
            supplied: vec![],
            deleted: None,
            attachments: walhook::attachment::Attachments::default(),
            parts: vec![],
            dialect: Arc::new(dialect),
        }),
        relation: Arc::new(Relation {
            id: 1,
            schema: "public".into(),
            name: "help_desk".into(),
            identity: ReplicaIdentity::Full,
            columns,
        }),
        key: vec![0],
        former: vec![],
        entry_id: vec![0],
        record_id: None,
        ignored: vec![false; count],
        uses_old_values: true,
        delete_insert_is_merge: true,
        happenings: walhook::happening::BoundHappenings::default(),
        belonging: None,
        parts: vec![],
        entries: None,
        deleted: None,
        attachments: vec![],
    }
}

fn row(form: &BoundForm, values: &BTreeMap<String, Box<RawValue>>) -> Row {
    let known = |name: &String| form.fields.iter().any(|field| field.name == *name);
    assert!(values.keys().all(known), "{values:?} has an unknown field");
    let texts: Vec<Option<String>> = form
        .fields
        .iter()
        .map(|field| {
            let json = values.get(&field.name)?.get();
            match json {
                "null" => None,
                "true" => Some("t".to_owned()),
                "false" => Some("f".to_owned()),
                json if json.starts_with('"') => Some(serde_json::from_str(json).unwrap()),
                json => Some(json.to_owned()),
            }
        })
        .collect();
    texts.iter().map(|text| text.as_deref().map_or(Datum::Null, Datum::Text)).collect()
}

/// What a case comes to: its value, and the phase and text of an error.
fn outcome(form: &BoundForm, context: &Context, case: &CaseOfFile) -> (String, Option<&'static str>, String) {
    let error = |phase, message: String| ("error".to_owned(), Some(phase), message);
    let verb: Verb = case.operation.parse().unwrap();
    let qualification = match Qualification::parse(&case.qualification) {
        Ok(qualification) => qualification,
        Err(fault) => return error("parse", fault.draw(&case.qualification)),
    };
    let bound = match qualification.bind(form, Purpose::Webhook(&[verb])) {
        Ok(bound) => bound,
        Err(faults) => {
            assert!(faults.0.iter().all(|fault| fault.phase == Phase::Bind));
            return error("bind", faults.draw(&case.qualification));
        }
    };
    let new = case.new.as_ref().map(|new| row(form, new));
    let old = match &case.old {
        Some(old) => OldRow::Full(row(form, old)),
        None => OldRow::Absent,
    };
    let facts = Facts {
        form,
        verb,
        old: &old,
        new: new.as_ref(),
        committed_at_us: context.now.parse::<jiff::Timestamp>().unwrap().as_microsecond(),
        user: context.user.as_deref(),
    };
    let verdict = bound.judge(&facts);
    if verdict == Ok(Truth::True) {
        check_requirements(&bound.requirements(), &facts, &case.id);
    }
    let leaves = bound.explain(&facts);
    assert!(leaves.is_sorted_by_key(|leaf| leaf.place.start), "{}", case.id);
    match verdict {
        Ok(truth) => (truth.to_string(), None, String::new()),
        Err(failure) => error("eval", format!("{failure} at {:?}", failure.place)),
    }
}

/// An event that meets the condition meets everything that an index would look up first.
pub(super) fn check_requirements(requirements: &[Requirement], facts: &Facts<'_>, what: &str) {
    let mut key = Vec::new();
    for requirement in requirements {
        let holds = match requirement {
            Requirement::OneOf { probe, keys } => match key_of(probe, facts, &mut key) {
                Found::Key => keys.contains(&key),
                Found::Null => false,
                Found::Unknown => true,
            },
            Requirement::Changed { column } => match (facts.verb, facts.old, facts.new) {
                (Verb::Create, ..) => true,
                (Verb::Delete, ..) | (_, _, None) => false,
                (_, OldRow::Full(old), Some(new)) => old.datum(*column) != new.datum(*column),
                (_, OldRow::NoRow, Some(new)) => new.datum(*column) != Datum::Null,
                (_, OldRow::Key(_) | OldRow::Absent, Some(_)) => true,
            },
        };
        assert!(holds, "{what}: the event meets the condition, but not {requirement:?}");
    }
}

fn check_file(text: &str, at_least: usize) {
    let file: File = serde_json::from_str(text).unwrap();
    let context = &file.context;
    let dialect = |case| Dialect {
        case,
        time_zone: context
            .time_zone
            .as_deref()
            .map_or(jiff::tz::TimeZone::UTC, |name| jiff::tz::TimeZone::get(name).unwrap()),
        date_formats: context.date_formats.clone(),
        server: context.server.clone().unwrap_or_default(),
    };
    let fields =
        || file.form.fields.iter().map(|field| (field.name.clone(), field.id, kind(field))).collect();
    let with_case = form(&file.form.name, fields(), dialect(Case::Database));
    let without_case = form(&file.form.name, fields(), dialect(Case::Insensitive));
    let mut wrong = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    for case in &file.cases {
        assert!(ids.insert(&case.id), "{} stands there twice", case.id);
        let form = if case.options.case_insensitive { &without_case } else { &with_case };
        let (value, phase, message) = outcome(form, context, case);
        let expect = match value.as_str() {
            "true" | "error" => value.as_str(),
            _ => "false",
        };
        if (value.as_str(), phase, expect)
            != (case.value.as_str(), case.phase.as_deref(), case.expect.as_str())
        {
            wrong.push(format!(
                "{}: {} is {value} ({phase:?}) instead of {} ({:?})\n{message}",
                case.id, case.qualification, case.value, case.phase
            ));
        }
    }
    assert!(wrong.is_empty(), "{} of {} wrong:\n{}", wrong.len(), file.cases.len(), wrong.join("\n"));
    assert!(file.cases.len() >= at_least, "only {} cases", file.cases.len());
}

#[test]
fn the_language_means_what_it_means_in_ar_system() {
    check_file(include_str!("cases/language.json"), 120);
}

#[test]
fn every_rule_holds_alone_and_beside_the_others() {
    check_file(include_str!("cases/rules.json"), 400);
}

#[test]
fn clocks_other_than_utc_are_read_as_they_hang() {
    check_file(include_str!("cases/berlin.json"), 20);
}
