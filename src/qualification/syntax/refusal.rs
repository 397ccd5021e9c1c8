//! What is said of texts that are no conditions: faults that a look at the characters shows.
//!
//! People come with habits from SQL, programming languages and word processors. Each habit has its answer in
//! `habit` or here, which tells what to write instead.

use super::parse::DEPTH_MAX;
use super::token::{CHARACTERS_MAX, TOKENS_MAX};
use crate::qualification::fault::{Fault, Phase};
use std::ops::{Range, RangeInclusive};

/// A fault of grammar.
pub(crate) fn fault(place: Range<usize>, message: impl Into<String>, remedy: impl Into<String>) -> Fault {
    let remedy = Some(remedy.into()).filter(|remedy| !remedy.is_empty());
    Fault { phase: Phase::Parse, place, message: message.into(), remedy }
}

/// A piece of the text for use in a message: in one line, and not too long.
pub(crate) fn piece(text: &str, place: &Range<usize>) -> String {
    const CHARACTERS_SHOWN: usize = 40;
    let text = text[place.clone()].trim();
    let mut piece: String =
        text.chars().take(CHARACTERS_SHOWN).map(|c| if unseen(c) { ' ' } else { c }).collect();
    if text.chars().nth(CHARACTERS_SHOWN).is_some() {
        piece.push('…');
    }
    piece
}

pub(crate) fn too_long(text: &str, end: usize) -> Fault {
    let message = format!("the condition has more than {CHARACTERS_MAX} characters");
    fault(end..text.len(), message, "shorten it, or split it over several webhooks")
}

pub(crate) fn too_many_tokens(place: Range<usize>) -> Fault {
    let message = format!("the condition has more than {TOKENS_MAX} names, values and operators");
    fault(place, message, "shorten it, or split it over several webhooks; long lists are shorter with IN (…)")
}

pub(crate) fn too_deep(place: Range<usize>) -> Fault {
    let message = format!("brackets, NOT and minus signs lie more than {DEPTH_MAX} deep in each other");
    fault(place, message, "leave out brackets that change nothing")
}

pub(crate) fn unclosed(open: Range<usize>) -> Fault {
    fault(open, "this bracket is not closed", "write ) where it ends")
}

pub(crate) fn empty_reference(text: &str, start: usize) -> Fault {
    let behind = &text[start + 2..];
    let name: String =
        behind.chars().take_while(|c| c.is_alphanumeric() || matches!(c, ' ' | '_' | '.' | ':')).collect();
    // quotation marks doubled for some other language: ''Status'' = 1
    let doubled = !name.trim().is_empty() && name.len() <= 64 && behind[name.len()..].starts_with("''");
    let remedy = if doubled {
        format!("a field's name stands between single ones: '{name}'")
    } else {
        "write a field's name or number between them: 'Status'; a text without characters is \"\"".to_owned()
    };
    fault(start..start + 2, "there is no field name between these quotation marks", remedy)
}

pub(crate) fn empty_dollar(start: usize) -> Fault {
    fault(
        start..start + 2,
        "there is no keyword between these dollar signs",
        "write one between them: $NULL$",
    )
}

/// A quotation mark or dollar sign that has no second one.
pub(crate) fn unterminated(text: &str, start: usize, quote: char) -> Fault {
    let place = start..start + 1;
    let word: String =
        text[start + 1..].chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | '-')).collect();
    match quote {
        '$' if !word.is_empty() && word.len() <= 64 => fault(
            place,
            "this keyword does not end",
            format!("keywords stand between two dollar signs: ${word}$"),
        ),
        '$' => fault(place, "this keyword does not end", "keywords stand between two dollar signs: $NULL$"),
        '"' => {
            let remedy =
                "write \" where it ends; a quotation mark that belongs to the text is written twice: \"\"";
            fault(place, "this text does not end", remedy)
        }
        _ => {
            let remedy =
                "write ' where it ends; a quotation mark that belongs to the name is written twice: ''";
            fault(place, "this field name does not end", remedy)
        }
    }
}

/// Symbols of other languages, longer ones first, with what they are here; none where it says enough that there
/// is none.
const FOREIGN: [(&str, &str); 44] = [
    ("<=>", "write ="),
    ("===", "write ="),
    ("!==", "write !="),
    ("==", "write ="),
    ("<>", "write !="),
    ("=<", "write <="),
    ("=>", "write >="),
    ("=!", "write !="),
    ("!>", "write <="),
    ("!<", "write >="),
    ("!~", "write NOT 'F' LIKE \"…\"; % stands for any characters"),
    ("^=", "write !="),
    ("~=", "write !="),
    (":=", "write ="),
    ("/*", "a condition has no comments: leave it out"),
    ("//", "a condition has no comments: leave it out"),
    ("|", "write OR or ||"),
    ("&", "write AND or &&"),
    ("~", "write LIKE; % stands for any characters"),
    (";", "a condition ends with its text: leave it out"),
    ("≠", "write !="),
    ("≤", "write <="),
    ("≥", "write >="),
    ("¬", "write NOT"),
    ("∧", "write AND"),
    ("∨", "write OR"),
    ("−", "write the minus sign of the keyboard: -"),
    ("–", "write the minus sign of the keyboard: -"),
    ("—", "write the minus sign of the keyboard: -"),
    ("×", "write *"),
    ("÷", "write /"),
    ("“", "write straight quotation marks: \""),
    ("”", "write straight quotation marks: \""),
    ("„", "write straight quotation marks: \""),
    ("«", "write straight quotation marks: \""),
    ("»", "write straight quotation marks: \""),
    ("‘", "write straight quotation marks: '"),
    ("’", "write straight quotation marks: '"),
    ("‚", "write straight quotation marks: '"),
    ("´", "write straight quotation marks: '"),
    ("`", "names of fields stand between straight quotation marks: 'Status'"),
    ("[", "names of fields stand between quotation marks: 'Status'; a list is written IN (…)"),
    ("#", "a condition has no comments; the number of a field stands between quotation marks: '7'"),
    (":", "a name with a colon stands between quotation marks: 'HPD:Status'"),
];

/// A symbol of another language, at `at`.
pub(crate) fn symbol(text: &str, at: usize) -> Option<Fault> {
    let rest = &text[at..];
    let (symbol, remedy) = FOREIGN.iter().find(|(symbol, _)| rest.starts_with(symbol))?;
    let doubled = matches!(*symbol, "|" | "&") && rest[1..].starts_with(symbol);
    if doubled {
        return None;
    }
    let time = *symbol == ":" && text[..at].ends_with(|c: char| c.is_ascii_digit());
    let remedy = if time { "dates and times stand between quotation marks: \"09:30:00\"" } else { remedy };
    Some(fault(at..at + symbol.len(), format!("there is no {symbol} in a condition"), remedy))
}

/// A character that begins nothing.
pub(crate) fn character(text: &str, at: usize) -> Fault {
    let Some(character) = text[at..].chars().next() else {
        return fault(at..at, "something is missing here", "");
    };
    let place = at..at + character.len_utf8();
    if unseen(character) {
        let message = format!("here is a character that cannot be seen, U+{:04X}", u32::from(character));
        return fault(place, message, "delete it, or type this place anew");
    }
    let remedy =
        "texts stand between quotation marks: \"New\"; names of fields between single ones: 'Status'";
    fault(place, format!("there is no {character} in a condition"), remedy)
}

/// Control characters, and the zero-width and direction marks that come with pasted text.
fn unseen(character: char) -> bool {
    const MARKS: [RangeInclusive<char>; 5] = [
        '\u{ad}'..='\u{ad}',
        '\u{200b}'..='\u{200f}',
        '\u{2028}'..='\u{202e}',
        '\u{2060}'..='\u{206f}',
        '\u{feff}'..='\u{feff}',
    ];
    character.is_control() || MARKS.iter().any(|marks| marks.contains(&character))
}
