//! Row types, as `record_out` prints them: `(1,,"a ""b""")`.

use super::{Attribute, write_json, write_string};
use std::borrow::Cow;

/// Appends a row as an object. None where the text is no row of so many attributes.
pub(super) fn write_composite(attributes: &[Attribute], text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut rest = text.strip_prefix('(')?;
    out.push(b'{');
    for (number, attribute) in attributes.iter().enumerate() {
        if number > 0 {
            rest = rest.strip_prefix(',')?;
            out.push(b',');
        }
        write_string(&attribute.name, out);
        out.push(b':');
        rest = write_attribute(attribute, rest, out)?;
    }
    out.push(b'}');
    (rest == ")").then_some(())
}

/// Appends the value at the beginning of `text`; returns what follows it, a comma or the end.
fn write_attribute<'a>(attribute: &Attribute, text: &'a str, out: &mut Vec<u8>) -> Option<&'a str> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, rest) = read_quoted(quoted)?;
        write_json(&attribute.type_, &value, out);
        return Some(rest);
    }
    let ends = |byte: u8| matches!(byte, b',' | b'(' | b')' | b'"' | b'\\');
    let (value, rest) = text.split_at(text.bytes().position(ends)?);
    if value.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        write_json(&attribute.type_, value, out);
    }
    Some(rest)
}

/// Reads a value up to its closing quote, in which quotes and backslashes are doubled; returns what follows
/// the quote.
fn read_quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut value = Cow::Borrowed("");
    let mut rest = text;
    loop {
        let at = rest.bytes().position(|byte| matches!(byte, b'"' | b'\\'))?;
        let (run, behind) = (&rest[..at], &rest[at + 1..]);
        let special = &rest[at..=at];
        if value.is_empty() {
            value = Cow::Borrowed(run);
        } else {
            value.to_mut().push_str(run);
        }
        if let Some(behind) = behind.strip_prefix(special) {
            value.to_mut().push_str(special);
            rest = behind;
        } else if special == "\"" {
            return Some((value, behind));
        } else {
            return None;
        }
    }
}
