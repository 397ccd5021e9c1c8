//! `--columns name:type,…`: a table as somebody writes it.

use super::made::MadeField;
use crate::app::config::suggestion;
use crate::app::failure::Failure;
use crate::value::{Kind, Moment, Selection};
use std::sync::Arc;

/// How a column is written.
const EXAMPLE: &str = "write name:type with PostgreSQL's types, as in \
                       --columns 'number:text,status:enum(New|Assigned|Closed),\"Due, at\":timestamptz'";

/// PostgreSQL's own types by their names, with their oids.
const BUILT_IN: [(&str, u32); 37] = [
    ("text", 25),
    ("varchar", 1043),
    ("character varying", 1043),
    ("name", 19),
    ("uuid", 2950),
    ("inet", 869),
    ("interval", 1186),
    ("char", 1042),
    ("character", 1042),
    ("bpchar", 1042),
    ("smallint", 21),
    ("integer", 23),
    ("int", 23),
    ("bigint", 20),
    ("int2", 21),
    ("int4", 23),
    ("int8", 20),
    ("real", 700),
    ("double precision", 701),
    ("float4", 700),
    ("float8", 701),
    ("numeric", 1700),
    ("decimal", 1700),
    ("money", 790),
    ("boolean", 16),
    ("bool", 16),
    ("date", 1082),
    ("time", 1083),
    ("timetz", 1266),
    ("timestamp", 1114),
    ("timestamp without time zone", 1114),
    ("timestamptz", 1184),
    ("timestamp with time zone", 1184),
    ("oid", 26),
    ("json", 114),
    ("jsonb", 3802),
    ("bytea", 17),
];

/// Further types, and what a configuration would say of a column.
const OTHERS: [(&str, Kind); 7] = [
    ("citext", Kind::Text { folds_case: true, padded: false }),
    ("diary", Kind::Diary { folds_case: false }),
    ("currency", Kind::Currency),
    ("status_history", Kind::StatusHistory),
    ("attachment", Kind::Attachment),
    ("epoch", Kind::Instant(Moment::Epoch)),
    ("seconds_of_day", Kind::Time { seconds: true }),
];

/// Reads the columns.
pub(crate) fn read(text: &str) -> Result<Vec<MadeField>, Failure> {
    let mut fields: Vec<MadeField> = Vec::new();
    for column in split(text, ',').map_err(wrong)? {
        let parts = split(column, ':').map_err(wrong)?;
        let [name, type_] = parts[..] else {
            return Err(wrong(format!("--columns does not understand {:?}", column.trim())));
        };
        let name = unquoted(name);
        if name.is_empty() {
            return Err(wrong(format!("--columns has a column without a name: {:?}", column.trim())));
        }
        if fields.iter().any(|field| field.name == name) {
            return Err(Failure::usage(format!("--columns has column {name:?} twice")));
        }
        let kind = kind(&name, type_.trim())?;
        fields.push(MadeField { name, id: None, kind });
    }
    Ok(fields)
}

fn wrong(message: impl Into<String>) -> Failure {
    Failure::usage(message).hint(EXAMPLE)
}

fn kind(column: &str, type_: &str) -> Result<Kind, Failure> {
    let (word, brackets) = match type_.split_once('(') {
        Some((word, rest)) => (word.trim_end(), rest.strip_suffix(')')),
        None => (type_, None),
    };
    if type_.ends_with("[]") {
        return Ok(Kind::Opaque);
    }
    let word = word.to_ascii_lowercase();
    if word == "enum" {
        let labels = choices(brackets.unwrap_or_default()).map_err(wrong)?;
        if labels.is_empty() {
            let message = format!("the selection of column {column:?} has no labels");
            return Err(Failure::usage(message).hint(
                "write enum(New|Assigned|Closed), or enum(0=New|5=Closed) for what stands in the column",
            ));
        }
        return Ok(Kind::Selection(Arc::new(Selection::of_labels(&labels))));
    }
    let built_in =
        BUILT_IN.iter().find(|(known, _)| *known == word).and_then(|(_, oid)| Kind::built_in(*oid));
    let other = || OTHERS.iter().find(|(known, _)| *known == word).map(|(_, kind)| kind.clone());
    if let Some(kind) = built_in.or_else(other) {
        return Ok(kind);
    }
    let known = BUILT_IN
        .iter()
        .map(|(known, _)| *known)
        .chain(OTHERS.iter().map(|(known, _)| *known))
        .chain(["enum"]);
    let hint = suggestion(&word, known).unwrap_or_else(|| EXAMPLE.to_owned());
    Err(Failure::usage(format!("column {column:?} has the unknown type {type_:?}")).hint(hint))
}

/// `New|Assigned` or `0=New|5=Closed`, as (what stands in the column, what people read).
fn choices(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut labels = Vec::new();
    for choice in split(text, '|')?.into_iter().filter(|choice| !choice.trim().is_empty()) {
        labels.push(match split(choice, '=')?[..] {
            [stored, label] => (unquoted(stored), unquoted(label)),
            _ => (unquoted(choice), unquoted(choice)),
        });
    }
    Ok(labels)
}

/// The parts between separators that stand neither in double quotes nor in brackets.
fn split(text: &str, separator: char) -> Result<Vec<&str>, String> {
    let mut parts = Vec::new();
    let (mut start, mut depth, mut is_quoted) = (0, 0_usize, false);
    for (at, character) in text.char_indices() {
        match character {
            '"' => is_quoted = !is_quoted,
            _ if is_quoted => {}
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ if character == separator && depth == 0 => {
                parts.push(&text[start..at]);
                start = at + character.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    if is_quoted {
        return Err(format!("a double quote is not closed in {:?}", text.trim()));
    }
    if depth > 0 {
        return Err(format!("a bracket is not closed in {:?}", text.trim()));
    }
    Ok(parts)
}

/// A name without its double quotes, doubled ones made single.
fn unquoted(text: &str) -> String {
    let text = text.trim();
    match text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inside) => inside.replace("\"\"", "\""),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(columns: &str, wanted: &str) {
        let got = match read(columns) {
            Ok(fields) => fields.iter().map(said).collect::<Vec<_>>().join("; "),
            Err(failure) => failure.describe(false),
        };
        assert!(got.contains(wanted), "wanted: {wanted}\n got: {got}");
    }

    fn said(field: &MadeField) -> String {
        match &field.kind {
            Kind::Selection(selection) => {
                let choices = selection.choices.iter();
                let choices =
                    choices.map(|choice| format!("{}:{}:{}", choice.number, choice.stored, choice.label));
                format!("{} {}", field.name, choices.collect::<Vec<_>>().join("|"))
            }
            kind => format!("{} {kind:?}", field.name),
        }
    }

    #[test]
    fn columns_are_written_as_in_a_table() {
        check("id:integer, at : timestamptz", "id Number { whole: true }; at Instant(Zoned)");
        check("p:numeric(10,2),c:CITEXT", "p Number { whole: false }; c Text { folds_case: true");
        check("s:enum(New|Assigned)", "s 0:New:New|1:Assigned:Assigned");
        check("s:enum(0=New|5=Closed|x=Odd)", "s 0:0:New|5:5:Closed|2:x:Odd");
        check("\"Due, at\":date,\"a:\"\"b\":text", "Due, at Date; a:\"b Text");
        check("s:enum(\"a|b, c\"|\"(\")", "s 0:a|b, c:a|b, c|1:(:(");
        check("a:text[],b:double precision", "a Opaque; b Number { whole: false }");
        check("a:bool", "a 0:f:false|1:t:true");
    }

    #[test]
    fn what_is_no_column_is_said() {
        check("a:txt", "column \"a\" has the unknown type \"txt\"\nhint: did you mean \"text\"?");
        check("a", "--columns does not understand \"a\"\nhint: write name:type");
        check("a:text,a:date", "has column \"a\" twice");
        check(":text", "has a column without a name");
        check("\"a:text", "a double quote is not closed");
        check("s:enum(a", "a bracket is not closed");
        check("s:enum()", "the selection of column \"s\" has no labels");
    }
}
