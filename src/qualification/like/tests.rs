use super::*;
use proptest::prelude::*;

fn matches(pattern: &str, folds_case: bool, text: &str) -> bool {
    Pattern::new(pattern, folds_case).expect("is short").matches(text)
}

fn check(pattern: &str, text: &str, expected: bool) {
    assert_eq!(matches(pattern, false, text), expected, "{text:?} LIKE {pattern:?}");
}

#[test]
fn the_pattern_covers_the_whole_text() {
    check("Compton", "Bob Compton", false);
    check("Bob Compton", "Bob Compton", true);
    check("Bob%ton", "Bob Compton", true);
    check("Bob%", "Bob Compton", true);
    check("%Compton", "Bob Compton", true);
    check("%b C%", "Bob Compton", true);
    check("%Compton%", "Bob Compton", true);
    check("%ab%ab%", "ab", false);
    check("ab%ab", "ab", false);
    check("ab%ab", "abab", true);
    check("a%b%c", "a1b2b3c", true);
    check("a%b%c", "acb", false);
    check("", "", true);
    check("", "a", false);
    check("%", "", true);
    check("%%", "l1\nl2", true);
    check("l1%l2", "l1\r\nl2", true);
}

#[test]
fn an_underscore_is_one_character_of_any_kind() {
    check("B_b", "Bob", true);
    check("_", "€", true);
    check("_", "", false);
    check("__", "€", false);
    check("%_", "", false);
    check("a_%_b", "a12b", true);
    check("a_%_b", "a1b", false);
    check("a_b", "a\nb", true);
}

#[test]
fn brackets_are_sets() {
    check("[A-C]ob", "Bob", true);
    check("[A-C]ob", "Dob", false);
    check("[^A-C]ob", "Dob", true);
    check("[^A-C]ob", "Bob", false);
    check("100[%]", "100%", true);
    check("100[%]", "1000", false);
    check("a[_]b", "axb", false);
    check("[[]x]", "[x]", true);
    check("[]x]", "]", true);
    check("[]x]", "x", true);
    check("[^]x]", "]", false);
    check("[^]x]", "y", true);
    check("[]]", "]", true);
    check("[a-]", "-", true);
    check("[-a]", "-", true);
    check("[-a]", "b", false);
    check("[a-c-e]", "d", false);
    check("[a-c-e]", "-", true);
    check("[z-a]", "m", false);
    check("[^z-a]", "m", true);
    check("[a^]", "^", true);
    check("[ä-ü]", "ö", true);
}

#[test]
fn what_is_no_set_is_literal() {
    check("[abc", "[abc", true);
    check("[a%", "[anything", true);
    check("[]", "[]", true);
    check("[^]", "[^]", true);
    check("[^", "[^", true);
    check("[", "[", true);
    check("a]b", "a]b", true);
    check("a-b^", "a-b^", true);
    check(r"a\b", r"a\b", true);
    check(r"a\%", r"a\x", true);
    check("[[a]", "[", true);
    check("[x[[_", "[x[[!", true);
}

#[test]
fn letter_case_is_folded_on_both_sides() {
    for (pattern, text) in [
        ("bob%", "BOB COMPTON"),
        ("%COMP[T-U]on", "Bob Compton"),
        ("[A-C]OB", "bob"),
        ("[a-c]ob", "BOB"),
        ("GRÜ_E", "grüße"),
        ("[^X]", "y"),
        ("%ÉTÉ%", "en été !"),
        ("ΣΊΣΥΦΟΣ", "σίσυφοσ"),
    ] {
        assert!(matches(pattern, true, text), "{text:?} LIKE {pattern:?}");
    }
    assert!(!matches("[^x]", true, "X") && !matches("[^X]", true, "x"));
    assert!(!matches("bob", false, "Bob"));
    assert_eq!(fold("Grüße ΑΒΓ İ K"), "grüße αβγ İ k");
    assert!(matches!(fold("plain ünd ß"), Cow::Borrowed(_)));
}

/// What the rules say, word by word, in exponential time.
fn naive(pattern: &[Place2], text: &[char]) -> bool {
    match (pattern.first(), text.first()) {
        (None, first) => first.is_none(),
        (Some(Place2::Run), None) => naive(&pattern[1..], text),
        (Some(Place2::Run), Some(_)) => naive(&pattern[1..], text) || naive(pattern, &text[1..]),
        (Some(_), None) => false,
        (Some(Place2::One(accepts)), Some(first)) => {
            accepts.contains(*first) && naive(&pattern[1..], &text[1..])
        }
        (Some(Place2::Not(refuses)), Some(first)) => {
            !refuses.contains(*first) && naive(&pattern[1..], &text[1..])
        }
    }
}

#[derive(Clone, Debug)]
enum Place2 {
    Run,
    One(String),
    Not(String),
}

/// A part of a pattern, and what it means over the characters of the texts below.
fn part() -> impl Strategy<Value = (String, Place2)> {
    let one = |text: &str| Place2::One(text.to_owned());
    prop_oneof![
        4 => Just(("%".to_owned(), Place2::Run)),
        2 => Just(("_".to_owned(), Place2::Not(String::new()))),
        1 => Just(("[a-b]".to_owned(), one("ab"))),
        1 => Just(("[^aé]".to_owned(), Place2::Not("aé".to_owned()))),
        1 => Just(("[é-ß]".to_owned(), one(""))), // ß comes before é
        1 => Just(("[^b-bß]".to_owned(), Place2::Not("bß".to_owned()))),
        1 => Just(("[%]".to_owned(), one("%"))),
        8 => prop::sample::select(vec!['a', 'b', 'é', 'ß', '\n', '%']).prop_map(|character| match character {
            '%' => ("]".to_owned(), Place2::One("]".to_owned())),
            character => (character.to_string(), Place2::One(character.to_string())),
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn patterns_mean_what_the_rules_say(parts in prop::collection::vec(part(), 0..9), text in "[abéß\n%]{0,10}") {
        let pattern: String = parts.iter().map(|(text, _)| text.as_str()).collect();
        let places: Vec<Place2> = parts.into_iter().map(|(_, place)| place).collect();
        let characters: Vec<char> = text.chars().collect();
        prop_assert_eq!(matches(&pattern, false, &text), naive(&places, &characters), "{}", pattern);
    }

    #[test]
    fn long_pieces_mean_the_same(parts in prop::collection::vec(part(), 20..200), before in "[abéß]{0,70}", behind in "[abéß]{0,70}", pick in prop::collection::vec(any::<prop::sample::Index>(), 200), flip in prop::option::of(any::<prop::sample::Index>())) {
        // without %, so that the pattern is one long piece, looked for in a text that has it (or nearly) inside;
        // without what nothing fits, or no text would ever have it
        let can_fit = |place: &Place2| match place {
            Place2::Run => false,
            Place2::One(accepts) => !accepts.is_empty(),
            Place2::Not(_) => true,
        };
        let parts: Vec<_> = parts.into_iter().filter(|(_, place)| can_fit(place)).collect();
        let pattern: String = parts.iter().map(|(text, _)| text.as_str()).collect();
        let mut inside: Vec<char> = parts.iter().zip(&pick).map(|((_, place), pick)| {
            let fitting: Vec<char> = "abéß\n%]".chars().filter(|character| match place {
                Place2::One(accepts) => accepts.contains(*character),
                Place2::Not(refuses) => !refuses.contains(*character),
                Place2::Run => true,
            }).collect();
            if fitting.is_empty() { 'x' } else { *pick.get(&fitting) }
        }).collect();
        if let Some(flip) = flip && !inside.is_empty() {
            let at = flip.index(inside.len());
            inside[at] = 'x';
        }
        let text: Vec<char> = before.chars().chain(inside).chain(behind.chars()).collect();
        let places: Vec<Place2> = parts.into_iter().map(|(_, place)| place).collect();
        let fits = |at: usize| at + places.len() <= text.len() && naive(&places, &text[at..at + places.len()]);
        let expected = (0..=text.len()).any(fits);
        let text: String = text.iter().collect();
        prop_assert_eq!(matches(&format!("%{pattern}%"), false, &text), expected, "{}", pattern);
    }

    #[test]
    fn no_pattern_is_too_strange(pattern in "[%_\\[\\]^aé-]{0,30}|\\PC{0,20}", text in "\\PC{0,20}", folds in any::<bool>()) {
        let _ = matches(&pattern, folds, &text);
    }
}
