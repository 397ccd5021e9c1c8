//! Arrays, as `array_out` prints them: `{1,NULL,"a b"}`, `[0:1]={{1},{2}}`.

use super::{Type, write_json};
use std::borrow::Cow;

/// What may come next.
#[derive(Clone, Copy, PartialEq)]
enum Next {
    /// After `{`.
    ElementOrEnd,
    /// After a delimiter.
    Element,
    /// After an element.
    DelimiterOrEnd,
}

/// Appends an array. None where the text is none.
pub(super) fn write_array(element: &Type, delimiter: char, text: &str, out: &mut Vec<u8>) -> Option<()> {
    let delimiter = u8::try_from(delimiter).ok().filter(u8::is_ascii)?;
    let mut rest = without_bounds(text)?;
    if !rest.starts_with('{') {
        return None;
    }
    let mut depth = 0_usize;
    let mut next = Next::Element;
    loop {
        let first = *rest.as_bytes().first()?;
        match first {
            b'{' if next != Next::DelimiterOrEnd => {
                out.push(b'[');
                depth += 1;
                next = Next::ElementOrEnd;
                rest = &rest[1..];
            }
            b'}' if next != Next::Element => {
                out.push(b']');
                depth -= 1;
                next = Next::DelimiterOrEnd;
                rest = &rest[1..];
                if depth == 0 {
                    return rest.is_empty().then_some(());
                }
            }
            _ if first == delimiter && next == Next::DelimiterOrEnd => {
                out.push(b',');
                next = Next::Element;
                rest = &rest[1..];
            }
            _ if next == Next::DelimiterOrEnd => return None,
            _ => {
                rest = write_element(element, delimiter, rest, out)?;
                next = Next::DelimiterOrEnd;
            }
        }
    }
}

/// Appends `1 2 3` as an array.
pub(super) fn write_vector(element: &Type, text: &str, out: &mut Vec<u8>) {
    out.push(b'[');
    if !text.is_empty() {
        for (number, value) in text.split(' ').enumerate() {
            if number > 0 {
                out.push(b',');
            }
            write_json(element, value, out);
        }
    }
    out.push(b']');
}

/// The array behind its bounds, which are there where one does not start at 1. JSON knows none.
fn without_bounds(text: &str) -> Option<&str> {
    if !text.starts_with('[') {
        return Some(text);
    }
    let (bounds, array) = text.split_once('=')?;
    let inner = bounds.strip_prefix('[')?.strip_suffix(']')?;
    let is_number = |text: &str| {
        let digits = text.strip_prefix('-').unwrap_or(text);
        !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
    };
    let well_formed = inner.split("][").all(|dimension| {
        dimension.split_once(':').is_some_and(|(lower, upper)| is_number(lower) && is_number(upper))
    });
    well_formed.then_some(array)
}

/// Appends the element at the beginning of `text`; returns what follows it.
fn write_element<'a>(element: &Type, delimiter: u8, text: &'a str, out: &mut Vec<u8>) -> Option<&'a str> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (value, rest) = read_quoted(quoted)?;
        write_json(element, &value, out);
        return Some(rest);
    }
    let ends = |byte: u8| byte == delimiter || matches!(byte, b'{' | b'}' | b'"' | b'\\');
    let (value, rest) = text.split_at(text.bytes().position(ends)?);
    if value.is_empty() {
        return None;
    }
    if value.eq_ignore_ascii_case("null") {
        out.extend_from_slice(b"null");
    } else {
        write_json(element, value, out);
    }
    Some(rest)
}

/// Reads a value up to its closing quote, in which a backslash makes the next character mean itself; returns
/// what follows the quote.
pub(super) fn read_quoted(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let special = |text: &str| text.bytes().position(|byte| matches!(byte, b'"' | b'\\'));
    let end = special(text)?;
    if text.as_bytes()[end] == b'"' {
        return Some((Cow::Borrowed(&text[..end]), &text[end + 1..]));
    }
    let mut value = String::with_capacity(text.len().min(256));
    let mut rest = text;
    loop {
        let at = special(rest)?;
        value.push_str(&rest[..at]);
        let is_end = rest.as_bytes()[at] == b'"';
        rest = &rest[at + 1..];
        if is_end {
            return Some((Cow::Owned(value), rest));
        }
        let escaped = rest.chars().next()?;
        value.push(escaped);
        rest = &rest[escaped.len_utf8()..];
    }
}
