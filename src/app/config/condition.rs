//! The texts of conditions: parsed when the file is read, faults drawn where they stand in the file.

use super::reader::{Reader, join};
use super::table::Table;
use crate::qualification::{Fault, Qualification};
use std::ops::Range;
use std::sync::Arc;

/// Reads the condition at a key; none where there is none, or a blank one, which is always true.
pub(super) fn read(reader: &mut Reader<'_>, table: &Table, key: &str) -> Option<Arc<Qualification>> {
    let text = table.text(key)?;
    match Qualification::parse(text) {
        Ok(qualification) => qualification.root().is_some().then(|| Arc::new(qualification)),
        Err(fault) => {
            refuse(reader, table.place(key), &join(&table.path, key), text, fault);
            None
        }
    }
}

fn refuse(reader: &mut Reader<'_>, value: Range<usize>, key: &str, text: &str, fault: Fault) {
    let places = reader.text.get(value.clone()).and_then(|written| places(written, text));
    match places {
        Some(places) => {
            let at = |place: usize| value.start + places[place.min(text.len())];
            reader.refuse(at(fault.place.start)..at(fault.place.end), key, fault.message, fault.remedy);
        }
        None => {
            reader.refuse(value, key, fault.message, fault.remedy);
            reader.look_inside(text, fault.place);
        }
    }
}

/// Where each byte of a text stands in the TOML string that it was written as, and where its end is; nothing where
/// the string is written in a way that is not looked into (variables, escaped line ends).
fn places(written: &str, text: &str) -> Option<Vec<usize>> {
    let escapes = written.starts_with('"');
    let triple = if escapes { r#"""""# } else { "'''" };
    let is_triple = written.len() >= 6 && written.starts_with(triple);
    let quotes = if is_triple { 3 } else { 1 };
    let mut rest = written.get(quotes..written.len().checked_sub(quotes)?)?;
    let mut at = quotes;
    if is_triple {
        // a line end right after the quotes does not belong to the text
        let behind = rest.strip_prefix("\r\n").or_else(|| rest.strip_prefix('\n')).unwrap_or(rest);
        at += rest.len() - behind.len();
        rest = behind;
    }
    let mut places = Vec::with_capacity(text.len() + 1);
    for wanted in text.chars() {
        let (meant, length) = match rest.chars().next()? {
            '\\' if escapes => unescaped(rest)?,
            '\r' if wanted == '\n' && rest.starts_with("\r\n") => ('\n', 2),
            plain => (plain, plain.len_utf8()),
        };
        if meant != wanted {
            return None;
        }
        places.extend(std::iter::repeat_n(at, meant.len_utf8()));
        at += length;
        rest = &rest[length..];
    }
    places.push(at);
    rest.is_empty().then_some(places)
}

/// The character that an escape at the beginning means, and how long the escape is.
fn unescaped(rest: &str) -> Option<(char, usize)> {
    let digits = match rest[1..].chars().next()? {
        kind @ ('"' | '\\') => return Some((kind, 2)),
        'n' => return Some(('\n', 2)),
        't' => return Some(('\t', 2)),
        'x' => 2,
        'u' => 4,
        'U' => 8,
        _ => return None,
    };
    let number = u32::from_str_radix(rest.get(2..2 + digits)?, 16).ok()?;
    Some((char::from_u32(number)?, 2 + digits))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(written: &str, text: &str, wanted: Option<&[usize]>) {
        assert_eq!(places(written, text).as_deref(), wanted, "{written}");
    }

    #[test]
    fn places_are_those_of_the_file() {
        check("'ab'", "ab", Some(&[1, 2, 3]));
        check(r#""a\"b""#, "a\"b", Some(&[1, 2, 4, 5]));
        check(r#""\u00e4b""#, "äb", Some(&[1, 1, 7, 8]));
        check("'''\na'b'''", "a'b", Some(&[4, 5, 6, 7]));
        check("\"\"\"\r\na\"b\"\"\"\"", "a\"b\"", Some(&[5, 6, 7, 8, 9]));
        check("'''a\r\nb'''", "a\nb", Some(&[3, 4, 6, 7]));
        check("''", "", Some(&[1]));
        check("\"${A}\"", "x", None);
        check("\"a\\\n  b\"", "ab", None);
        check("'ab'", "a", None);
        check("'", "a", None);
    }
}
