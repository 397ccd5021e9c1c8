//! LIKE: patterns over whole values, and the folding of letter case.
//!
//! A pattern is cut at its `%` into pieces of fixed length. The first and the last stand at the ends of the text;
//! the others are looked for one after the other, each as far left as it goes, which is right because a piece
//! found earlier only leaves more room. Nothing is ever tried again, so the time grows with the text, whatever
//! the pattern.

use std::borrow::Cow;
use std::ops::RangeInclusive;

/// Pieces with `_` or sets that are not longer than this are looked for place by place; longer ones bit by bit.
const PLACE_BY_PLACE_MAX: usize = 8;

/// Patterns with more characters are refused: their tables would take too much memory.
const PATTERN_CHARS_MAX: usize = 16_384;

/// How many words of 64 places the longest piece needs.
const WORDS_MAX: usize = PATTERN_CHARS_MAX / 64;

/// One spelling for all letter cases, character by character: the lower case, where that is one character.
pub(super) fn fold(text: &str) -> Cow<'_, str> {
    match text.find(|character| fold_char(character) != character) {
        None => Cow::Borrowed(text),
        Some(at) => {
            let mut folded = String::with_capacity(text.len() + 4);
            folded.push_str(&text[..at]);
            folded.extend(text[at..].chars().map(fold_char));
            Cow::Owned(folded)
        }
    }
}

fn fold_char(character: char) -> char {
    if character.is_ascii() {
        return character.to_ascii_lowercase();
    }
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(one), None) => one,
        _ => character,
    }
}

/// A pattern, ready to be matched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    folds_case: bool,
    /// What stands before the first `%`: all of it, if there is none.
    first: Piece,
    /// What stands behind the last `%`; none if there is no `%`.
    last: Option<Piece>,
    /// What stands between.
    between: Vec<Piece>,
}

impl Pattern {
    /// Reads a pattern. None if it is longer than any sane one: more than 16,384 characters that are not all
    /// to be taken literally.
    pub(super) fn new(pattern: &str, folds_case: bool) -> Option<Self> {
        if pattern.contains(['%', '_', '[']) && pattern.chars().count() > PATTERN_CHARS_MAX {
            return None;
        }
        let mut pieces = split(pattern, folds_case).into_iter();
        let first = pieces.next().map(Piece::new).unwrap_or_default();
        let mut between: Vec<Piece> = pieces.map(Piece::new).collect();
        let last = between.pop();
        between.retain(|piece| !piece.is_empty());
        Some(Self { folds_case, first, last, between })
    }

    /// Whether the whole text is as the pattern says. Does not allocate, unless letter case is folded.
    pub(super) fn matches(&self, text: &str) -> bool {
        if self.folds_case { self.matches_folded(&fold(text)) } else { self.matches_folded(text) }
    }

    /// Whether a text that [`fold`] has been applied to (where letter case is folded) is as the pattern says.
    pub(super) fn matches_folded(&self, text: &str) -> bool {
        let Some(mut rest) = self.first.strip_from_start(text) else { return false };
        let Some(last) = &self.last else { return rest.is_empty() };
        let Some(end) = last.strip_from_end(rest) else { return false };
        rest = end;
        let Some((final_piece, between)) = self.between.split_last() else { return true };
        for piece in between {
            match piece.skip_past(rest) {
                Some(behind) => rest = behind,
                None => return false,
            }
        }
        final_piece.is_in(rest)
    }
}

/// What one place of a pattern wants.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// This character.
    Literal(char),
    /// `_`
    Any,
    /// `[…]`
    Set(Set),
}

impl Place {
    fn accepts(&self, character: char) -> bool {
        match self {
            Self::Literal(literal) => *literal == character,
            Self::Any => true,
            Self::Set(set) => set.accepts(character),
        }
    }
}

/// `[a-c]`, `[^a-c]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Set {
    is_negated: bool,
    folds_case: bool,
    members: Vec<RangeInclusive<char>>,
    /// One bit for each ASCII character that it accepts.
    ascii: u128,
}

impl Set {
    fn new(is_negated: bool, folds_case: bool, members: Vec<RangeInclusive<char>>) -> Self {
        let mut set = Self { is_negated, folds_case, members, ascii: 0 };
        let accepted = (0..128_u8).filter(|character| set.looks_up(char::from(*character)));
        set.ascii = accepted.fold(0, |accepted, character| accepted | 1 << character);
        set
    }

    fn accepts(&self, character: char) -> bool {
        if character.is_ascii() { self.ascii >> character as u32 & 1 == 1 } else { self.looks_up(character) }
    }

    fn looks_up(&self, character: char) -> bool {
        let has = |character: char| self.members.iter().any(|members| members.contains(&character));
        let is_member = has(character) || self.folds_case && unfolded(character).is_some_and(has);
        is_member != self.is_negated
    }
}

/// The other letter case of a folded character.
fn unfolded(character: char) -> Option<char> {
    let mut upper = character.to_uppercase();
    match (upper.next(), upper.next()) {
        (Some(one), None) if one != character => Some(one),
        _ => None,
    }
}

/// The pieces between the `%`; one more than there are `%`.
fn split(pattern: &str, folds_case: bool) -> Vec<Vec<Place>> {
    let mut pieces = vec![Vec::new()];
    let mut rest = pattern;
    let mut may_close = true;
    while let Some(character) = rest.chars().next() {
        rest = &rest[character.len_utf8()..];
        let place = match character {
            '%' => {
                pieces.push(Vec::new());
                continue;
            }
            '_' => Place::Any,
            '[' if may_close => match read_set(rest, folds_case) {
                Some((place, behind)) => {
                    rest = behind;
                    place
                }
                None => {
                    may_close = false; // nor does any later one: all of them would close where this one does
                    Place::Literal('[')
                }
            },
            literal if folds_case => Place::Literal(fold_char(literal)),
            literal => Place::Literal(literal),
        };
        if let Some(piece) = pieces.last_mut() {
            piece.push(place);
        }
    }
    pieces
}

/// Reads a set behind its `[`; returns what follows its `]`. None if it is not closed.
fn read_set(text: &str, folds_case: bool) -> Option<(Place, &str)> {
    let (is_negated, inside) = text.strip_prefix('^').map_or((false, text), |inside| (true, inside));
    let first = inside.chars().next()?;
    let end = first.len_utf8() + inside[first.len_utf8()..].find(']')?;
    let (inside, behind) = (&inside[..end], &inside[end + 1..]);
    let mut members = Vec::new();
    let mut characters = inside.chars();
    while let Some(from) = characters.next() {
        let mut ahead = characters.clone();
        let to = match (ahead.next(), ahead.next()) {
            (Some('-'), Some(to)) => {
                characters = ahead;
                to
            }
            _ => from,
        };
        members.push(from..=to);
    }
    if let ([only], false) = (members.as_slice(), is_negated)
        && only.start() == only.end()
    {
        let literal = if folds_case { fold_char(*only.start()) } else { *only.start() };
        return Some((Place::Literal(literal), behind));
    }
    Some((Place::Set(Set::new(is_negated, folds_case, members)), behind))
}

/// What stands between two `%`.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// Only literals: the standard library finds them.
    Literal(Box<str>),
    /// Few places.
    Short(Box<[Place]>),
    /// Many places.
    Long(Box<Long>),
}

impl Default for Piece {
    fn default() -> Self {
        Self::Literal(Box::default())
    }
}

impl Piece {
    fn new(places: Vec<Place>) -> Self {
        let literal = |place: &Place| match place {
            Place::Literal(literal) => Some(*literal),
            Place::Any | Place::Set(_) => None,
        };
        if let Some(text) = places.iter().map(literal).collect::<Option<String>>() {
            return Self::Literal(text.into());
        }
        if places.len() <= PLACE_BY_PLACE_MAX {
            return Self::Short(places.into());
        }
        Self::Long(Box::new(Long::new(places)))
    }

    fn is_empty(&self) -> bool {
        matches!(self, Self::Literal(text) if text.is_empty())
    }

    fn places(&self) -> &[Place] {
        match self {
            Self::Literal(_) => &[],
            Self::Short(places) => places,
            Self::Long(long) => &long.places,
        }
    }

    fn strip_from_start<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self {
            Self::Literal(literal) if literal.is_empty() => return Some(text), // the usual case, and quicker so
            Self::Literal(literal) => return text.strip_prefix(&**literal),
            Self::Short(_) | Self::Long(_) => {}
        }
        let mut characters = text.chars();
        let fits = |place: &Place| characters.next().is_some_and(|character| place.accepts(character));
        self.places().iter().all(fits).then_some(characters.as_str())
    }

    fn strip_from_end<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self {
            Self::Literal(literal) if literal.is_empty() => return Some(text),
            Self::Literal(literal) => return text.strip_suffix(&**literal),
            Self::Short(_) | Self::Long(_) => {}
        }
        let mut characters = text.chars();
        let fits = |place: &Place| characters.next_back().is_some_and(|character| place.accepts(character));
        self.places().iter().rev().all(fits).then_some(characters.as_str())
    }

    /// Whether the piece fits anywhere, which the standard library finds out sooner than where.
    fn is_in(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => text.contains(&**literal),
            Self::Short(_) | Self::Long(_) => self.skip_past(text).is_some(),
        }
    }

    /// What follows the leftmost place where the piece fits.
    fn skip_past<'a>(&self, text: &'a str) -> Option<&'a str> {
        match self {
            Self::Literal(literal) => text.find(&**literal).map(|at| &text[at + literal.len()..]),
            Self::Short(_) => {
                let mut rest = text.chars();
                loop {
                    if let Some(behind) = self.strip_from_start(rest.as_str()) {
                        return Some(behind);
                    }
                    rest.next()?;
                }
            }
            Self::Long(long) => long.skip_past(text),
        }
    }
}

/// A long piece with the tables that Shift-And (Baeza-Yates and Gonnet) needs: one bit for each place, set while
/// the characters read last fit the places up to it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Long {
    places: Box<[Place]>,
    words: usize,
    /// For each ASCII character the places that accept it.
    ascii: Box<[u64]>,
    /// The places that accept any character.
    any: Box<[u64]>,
    /// The places of literals beyond ASCII, by character.
    literals: Box<[(char, u32)]>,
    /// The places of sets that can accept characters beyond ASCII.
    sets: Box<[u32]>,
}

impl Long {
    fn new(places: Vec<Place>) -> Self {
        let words = places.len().div_ceil(64);
        let mut ascii = vec![0; 128 * words];
        let mut any = vec![0; words];
        let (mut literals, mut sets) = (Vec::new(), Vec::new());
        for (number, place) in places.iter().enumerate() {
            let (word, bit) = (number / 64, 1 << (number % 64));
            match place {
                Place::Literal(literal) if !literal.is_ascii() => literals.push((*literal, number as u32)),
                Place::Literal(literal) => ascii[*literal as usize * words + word] |= bit,
                Place::Any => {
                    any[word] |= bit;
                    (0..128).for_each(|character| ascii[character * words + word] |= bit);
                }
                Place::Set(set) => {
                    let accepted = (0..128_u8).filter(|character| set.accepts(char::from(*character)));
                    accepted.for_each(|character| ascii[usize::from(character) * words + word] |= bit);
                    let is_beyond = |members: &RangeInclusive<char>| !members.end().is_ascii();
                    // folding leads from ASCII to beyond it and back: K is also the sign of Kelvin
                    if set.is_negated || set.folds_case || set.members.iter().any(is_beyond) {
                        sets.push(number as u32);
                    }
                }
            }
        }
        literals.sort_unstable();
        Self {
            places: places.into(),
            words,
            ascii: ascii.into(),
            any: any.into(),
            literals: literals.into(),
            sets: sets.into(),
        }
    }

    fn skip_past<'a>(&self, text: &'a str) -> Option<&'a str> {
        let mut states = [0_u64; WORDS_MAX];
        let mut accepting = [0_u64; WORDS_MAX];
        let (states, accepting) = (&mut states[..self.words], &mut accepting[..self.words]);
        let (last_word, last_bit) = ((self.places.len() - 1) / 64, 1 << ((self.places.len() - 1) % 64));
        for (at, character) in text.char_indices() {
            let accepting: &[u64] = if character.is_ascii() {
                &self.ascii[character as usize * self.words..][..self.words]
            } else {
                self.write_accepting(character, accepting);
                accepting
            };
            let mut carry = 1;
            for (state, accepting) in states.iter_mut().zip(accepting) {
                let next_carry = *state >> 63;
                *state = (*state << 1 | carry) & accepting;
                carry = next_carry;
            }
            if states[last_word] & last_bit != 0 {
                return Some(&text[at + character.len_utf8()..]);
            }
        }
        None
    }

    /// The places that accept a character beyond ASCII.
    fn write_accepting(&self, character: char, accepting: &mut [u64]) {
        accepting.copy_from_slice(&self.any);
        let mut accept = |place: u32| accepting[place as usize / 64] |= 1 << (place % 64);
        let start = self.literals.partition_point(|(literal, _)| *literal < character);
        let equal = self.literals[start..].iter().take_while(|(literal, _)| *literal == character);
        equal.for_each(|(_, place)| accept(*place));
        let accepts = |place: &&u32| self.places[**place as usize].accepts(character);
        self.sets.iter().filter(accepts).for_each(|place| accept(*place));
    }
}

#[cfg(test)]
mod hostile_tests {
    use super::Pattern;
    use std::time::{Duration, Instant};

    #[test]
    fn hostile_patterns_take_time_by_the_length_of_the_text() {
        let text = "a".repeat(1 << 16);
        let accented = "é".repeat(1 << 16);
        let start = Instant::now();
        for pattern in [
            "%a".repeat(4000) + "b",
            "%a_".repeat(4000) + "b",
            format!("%{}b%", "a".repeat(8000)),
            format!("%{}b%", "a_".repeat(4000)),
            format!("%{}b%", "[a-b]_".repeat(1000)),
            "[".repeat(16_000),
            "[^".repeat(8_000),
        ] {
            assert!(!Pattern::new(&pattern, false).expect("is short").matches(&text));
            assert!(!Pattern::new(&pattern, false).expect("is short").matches(&accented));
        }
        // place by place and with trials of every place, one of these alone would take hours
        assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
        assert_eq!(Pattern::new(&"%a".repeat(10_000), false), None);
        assert!(Pattern::new(&"a".repeat(1_000_000), false).is_some());
    }
}

#[cfg(test)]
mod tests;
