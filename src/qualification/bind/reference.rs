//! What the name in a reference means: a field or a part of one, by name or number, of which row.

use crate::form::{BoundField, BoundForm};
use crate::nearby::nearest;
use crate::qualification::like::fold;
use crate::qualification::program::{Image, Member, Reading};
use crate::qualification::tree::quoted;
use crate::value::{Kind, Selection};

/// What a name means.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resolved<'a> {
    pub(crate) image: Image,
    pub(crate) target: Target<'a>,
}

/// What is referred to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target<'a> {
    /// A column, as a field or as a part with a column of its own.
    Column { column: usize, name: &'a str, kind: &'a Kind },
    /// A member of the JSON object that a field keeps its parts in.
    Member { column: usize, path: Vec<String>, meaning: Member },
}

/// Why a name means nothing, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unresolved {
    pub(crate) message: String,
    pub(crate) remedy: Option<String>,
}

impl Unresolved {
    fn new(message: String, remedy: impl Into<Option<String>>) -> Self {
        Self { message, remedy: remedy.into() }
    }
}

/// Finds what a name means: the whole of it as a number or a name, then without `TR.` or `DB.`, then as a part of
/// a status history, then as a part of an amount.
pub(crate) fn resolve<'a>(form: &'a BoundForm, name: &str) -> Result<Resolved<'a>, Unresolved> {
    let readings: Vec<(Image, &str)> =
        std::iter::once((Image::Current, name)).chain(without_prefix(name)).collect();
    let steps = [whole, status_entry, amount_part];
    for step in steps {
        for &(image, name) in &readings {
            if let Some(target) = step(form, name)? {
                return Ok(Resolved { image, target });
            }
        }
    }
    Err(unknown(form, &readings))
}

fn without_prefix(name: &str) -> Option<(Image, &str)> {
    let (prefix, rest) = name.split_once('.')?;
    if prefix.eq_ignore_ascii_case("TR") {
        Some((Image::Transaction, rest))
    } else if prefix.eq_ignore_ascii_case("DB") {
        Some((Image::Database, rest))
    } else {
        None
    }
}

/// The fields and mapped parts of a form, each by its name.
fn named(form: &BoundForm) -> impl Iterator<Item = (&str, usize, &Kind)> {
    let fields = form.fields.iter().map(|field| (field.name.as_str(), field.column, &field.kind));
    fields.chain(form.parts.iter().map(|part| (part.name.as_str(), part.column, &part.kind)))
}

fn whole<'a>(form: &'a BoundForm, name: &str) -> Result<Option<Target<'a>>, Unresolved> {
    if let Some(field) = number_of(name).and_then(|id| form.fields.iter().find(|field| field.id == Some(id)))
    {
        return Ok(Some(column(&field.name, field.column, &field.kind)));
    }
    Ok(by_name(named(form), name)?.map(|(name, number, kind)| column(name, number, kind)))
}

fn column<'a>(name: &'a str, column: usize, kind: &'a Kind) -> Target<'a> {
    Target::Column { column, name, kind }
}

fn number_of(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// The exact name, else the only one that differs in letter case alone.
fn by_name<'a>(
    names: impl Iterator<Item = (&'a str, usize, &'a Kind)>,
    wanted: &str,
) -> Result<Option<(&'a str, usize, &'a Kind)>, Unresolved> {
    let folded = fold(wanted);
    let mut alike = Vec::new();
    for found in names {
        if found.0 == wanted {
            return Ok(Some(found));
        }
        if fold(found.0) == folded {
            alike.push(found);
        }
    }
    match alike.as_slice() {
        [] => Ok(None),
        [only] => Ok(Some(*only)),
        [one, other, ..] => Err(Unresolved::new(
            format!("{} could be {} or {}", quoted(wanted), quoted(one.0), quoted(other.0)),
            "write the name in the letter case of the one that is meant".to_owned(),
        )),
    }
}

/// `Status History.Closed.TIME`.
fn status_entry<'a>(form: &'a BoundForm, name: &str) -> Result<Option<Target<'a>>, Unresolved> {
    let Some((rest, member)) = name.rsplit_once('.') else { return Ok(None) };
    let (member, meaning) = if member.eq_ignore_ascii_case("TIME") {
        ("time", Member::Instant)
    } else if member.eq_ignore_ascii_case("USER") {
        ("user", Member::Text)
    } else {
        return Ok(None);
    };
    for field in form.fields.iter().filter(|field| field.kind == Kind::StatusHistory) {
        let id = field.id.map(|id| id.to_string());
        let status = [Some(field.name.as_str()), id.as_deref()]
            .into_iter()
            .flatten()
            .find_map(|field| after(rest, field)?.strip_prefix('.'));
        let Some(status) = status else { continue };
        let (number, label) = status_number(form, &field.name, status)?;
        // a part that is mapped under the label is found by the number as well, and the other way round
        for status in [label, Some(number.to_string())].into_iter().flatten() {
            let part = format!("{}.{status}.{member}", field.name);
            if let Some(part) = form.parts.iter().find(|candidate| fold(&candidate.name) == fold(&part)) {
                return Ok(Some(column(&part.name, part.column, &part.kind)));
            }
        }
        let path = vec![number.to_string(), member.to_owned()];
        return Ok(Some(Target::Member { column: field.column, path, meaning }));
    }
    Ok(None)
}

/// What stands behind a name at the beginning, in any letter case.
fn after<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    let end = text.char_indices().nth(start.chars().count()).map_or(text.len(), |(at, _)| at);
    (fold(&text[..end]) == fold(start)).then_some(&text[end..])
}

/// A status by label or number, and its label.
fn status_number(form: &BoundForm, field: &str, status: &str) -> Result<(i64, Option<String>), Unresolved> {
    let number = number_of(status).and_then(|number| i64::try_from(number).ok());
    let Some(selection) = statuses(form) else {
        return number.map(|number| (number, None)).ok_or_else(|| {
            Unresolved::new(
                format!("{} has no status {status:?}", quoted(field)),
                format!("write the number of the status: '{field}.5.TIME'"),
            )
        });
    };
    match choice_number(selection, status) {
        Ok(number) => Ok((number, label_of(selection, number))),
        Err(unresolved) => match number {
            Some(number) => Ok((number, label_of(selection, number))),
            None => Err(Unresolved {
                message: format!("{}: {}", quoted(field), unresolved.message),
                ..unresolved
            }),
        },
    }
}

fn label_of(selection: &Selection, number: i64) -> Option<String> {
    selection.choices.iter().find(|choice| choice.number == number).map(|choice| choice.label.clone())
}

/// The selection that a status history is about.
fn statuses(form: &BoundForm) -> Option<&Selection> {
    let is_status = |field: &&BoundField| field.id == Some(7) || field.name == "Status";
    if let Some(found) = form.fields.iter().filter(is_status).find_map(selection_of) {
        return Some(found);
    }
    let mut all = form.fields.iter().filter_map(selection_of);
    all.next().filter(|_| all.next().is_none())
}

fn selection_of(field: &BoundField) -> Option<&Selection> {
    match &field.kind {
        Kind::Selection(selection) => Some(selection),
        _ => None,
    }
}

/// The number of a label: exactly it, else the only one that differs in letter case alone.
pub(crate) fn choice_number(selection: &Selection, label: &str) -> Result<i64, Unresolved> {
    let choices = &selection.choices;
    if let Some(choice) = choices.iter().find(|choice| choice.label == label) {
        return Ok(choice.number);
    }
    let folded = fold(label);
    let alike: Vec<_> = choices.iter().filter(|choice| fold(&choice.label) == folded).collect();
    match alike.as_slice() {
        [only] => Ok(only.number),
        [one, other, ..] => Err(Unresolved::new(
            format!("{label:?} could be {:?} or {:?}", one.label, other.label),
            "write the label in the letter case of the one that is meant".to_owned(),
        )),
        [] => {
            let labels = choices.iter().map(|choice| choice.label.as_str());
            let remedy = match nearest(label, labels.clone()) {
                Some(near) => format!("did you mean {near:?}?"),
                None => format!("write one of {}", listed(labels.map(|label| format!("{label:?}")))),
            };
            Err(Unresolved::new(format!("there is no choice {label:?}"), remedy))
        }
    }
}

/// `Cost.VALUE`, `Cost.USD`.
fn amount_part<'a>(form: &'a BoundForm, name: &str) -> Result<Option<Target<'a>>, Unresolved> {
    let Some((owner, part)) = name.rsplit_once('.') else { return Ok(None) };
    let Some(Target::Column { column: number, name: owner, kind }) = whole(form, owner)? else {
        return Ok(None);
    };
    let upper = part.to_ascii_uppercase();
    let known = ["VALUE", "TYPE", "DATE"].contains(&upper.as_str());
    if *kind != Kind::Currency {
        let about_amounts = known && !matches!(*kind, Kind::StatusHistory);
        let fault = || {
            Unresolved::new(
                format!("{} is no amount and has no part {part:?}", quoted(owner)),
                format!(
                    "a part with a column of its own stands in [forms.parts]: \"{owner}.{upper}\" = \"…\""
                ),
            )
        };
        return if about_amounts { Err(fault()) } else { Ok(None) };
    }
    // a part that is mapped, asked for by the number of its field
    let mapped = format!("{owner}.{upper}");
    if let Some(part) = form.parts.iter().find(|candidate| fold(&candidate.name) == fold(&mapped)) {
        return Ok(Some(column(&part.name, part.column, &part.kind)));
    }
    let (path, meaning) = match upper.as_str() {
        "VALUE" => (vec!["value".to_owned()], Member::Number),
        "TYPE" => (vec!["type".to_owned()], Member::Text),
        "DATE" => (vec!["date".to_owned()], Member::Instant),
        _ if upper.len() == 3 && upper.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            (vec!["functional".to_owned(), upper], Member::Number)
        }
        _ => {
            return Err(Unresolved::new(
                format!("{} has no part {part:?}", quoted(owner)),
                "the parts of an amount are VALUE, TYPE, DATE and currencies of three letters".to_owned(),
            ));
        }
    };
    Ok(Some(Target::Member { column: number, path, meaning }))
}

/// A part of an amount as a field to read: value, currency.
pub(crate) fn part_of(form: &BoundForm, owner: &str, part: &str) -> Option<(usize, Reading)> {
    match amount_part(form, &format!("{owner}.{part}")).ok()?? {
        Target::Column { column, kind, .. } => Some((column, Reading::of(kind))),
        Target::Member { column, path, meaning } => Some((column, Reading::Member { path, meaning })),
    }
}

fn unknown(form: &BoundForm, readings: &[(Image, &str)]) -> Unresolved {
    let hidden = |name: &str| form.form.hidden.iter().find(|hidden| fold(hidden) == fold(name));
    if let Some(column) = readings.iter().find_map(|(_, name)| hidden(name)) {
        return Unresolved::new(
            format!("the column {column:?} is hidden, and a hidden column is no field"),
            format!(
                "take it out of \"hidden\" of the form {:?}, or leave it out of the condition",
                form.form.name
            ),
        );
    }
    let (_, whole) = readings[0];
    let message = format!("the form {:?} has no field {}", form.form.name, quoted(whole));
    if let Some(remedy) = readings.iter().find_map(|(_, name)| column_of_field(form, whole, name)) {
        return Unresolved::new(message, remedy);
    }
    if let Some(remedy) = trigger_row(form, whole) {
        return Unresolved::new(message, remedy);
    }
    let remedy = readings.iter().rev().find_map(|(_, name)| {
        let near = nearest(name, named(form).map(|(name, ..)| name))?;
        let prefix = &whole[..whole.len() - name.len()];
        Some(format!("did you mean {}?", quoted(&format!("{prefix}{near}"))))
    });
    let remedy = remedy.unwrap_or_else(|| {
        let key = if is_part(whole) { "[forms.parts]" } else { "[forms.fields]" };
        format!(
            "single quotation marks hold the name of a field; write \"{}\" for a text, or give the name its column \
             in {key}",
            whole.replace('"', "\"\"")
        )
    });
    Unresolved::new(message, remedy)
}

/// A column by its own name, where the form calls it otherwise.
fn column_of_field(form: &BoundForm, whole: &str, name: &str) -> Option<String> {
    let folded = fold(name);
    let column = form.relation.columns.iter().position(|column| fold(&column.name) == folded)?;
    let field = form.fields.iter().find(|field| field.column == column)?;
    let prefix = &whole[..whole.len() - name.len()];
    let field = quoted(&format!("{prefix}{}", field.name));
    Some(format!("the form has another name for this column: write {field}"))
}

/// `OLD.F` and `NEW.F`, as triggers write it.
fn trigger_row(form: &BoundForm, name: &str) -> Option<String> {
    let (row, rest) = name.split_once('.')?;
    let prefix = match row.to_ascii_uppercase().as_str() {
        "OLD" => "DB.",
        "NEW" => "",
        _ => return None,
    };
    resolve(form, rest).ok()?;
    Some(format!("write {}", quoted(&format!("{prefix}{rest}"))))
}

/// Whether a name looks like one of a part: of an amount, of a status history.
fn is_part(name: &str) -> bool {
    let part = name.rsplit_once('.').map(|(_, part)| part.to_ascii_uppercase());
    part.is_some_and(|part| ["VALUE", "TYPE", "DATE", "TIME", "USER"].contains(&part.as_str()))
}

/// `a, b or c`, the first ten of them.
fn listed(words: impl Iterator<Item = String>) -> String {
    let mut words: Vec<String> = words.take(11).collect();
    if words.len() > 10 {
        words.truncate(10);
        return format!("{} …", words.join(", "));
    }
    match words.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => "none: it has no choices".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_found_exactly_else_in_another_letter_case_if_only_one_is_meant() {
        let selection = Selection::of_enum(&["New", "new", "Assigned", "ÄRGER"].map(str::to_owned));
        let number = |label| choice_number(&selection, label).ok();
        assert_eq!((number("New"), number("new"), number("NEW")), (Some(0), Some(1), None));
        assert_eq!((number("assigned"), number("ärger"), number("closed")), (Some(2), Some(3), None));
    }
}
