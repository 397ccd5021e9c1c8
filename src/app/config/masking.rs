//! Hiding secrets in the text of a file without moving anything in it.

use super::declared::FILE;
use super::keys::{Key, Kind};
use std::ops::Range;

/// The text with the given places and the passwords of URLs replaced by `*`, byte for byte, so that every
/// place stays where it was. A comment behind such a place may be its rest, where a slip has cut it short; and so may one
/// behind anything else, where the slip has eaten the line's end.
pub(super) fn mask(text: &str, places: &[Range<usize>]) -> String {
    let mut masked = text.as_bytes().to_vec();
    let comments: Vec<_> = places.iter().filter_map(|place| comment_behind(text, place.end)).collect();
    let comments: Vec<_> = comments.into_iter().chain(comments_behind_something(text)).collect();
    for place in places.iter().chain(&comments).chain(&url_passwords(text)) {
        let end = place.end.min(masked.len());
        for byte in &mut masked[place.start.min(end)..end] {
            if !matches!(byte, b'\n' | b'\r') {
                *byte = b'*';
            }
        }
    }
    // places are those of whole values, so nothing is cut within a character
    String::from_utf8(masked).unwrap_or_else(|error| {
        error.as_bytes().iter().map(|&byte| if byte.is_ascii() { char::from(byte) } else { '*' }).collect()
    })
}

/// The comment that follows on the line.
fn comment_behind(text: &str, from: usize) -> Option<Range<usize>> {
    let line = text.get(from..)?.split('\n').next()?;
    Some(from + line.find('#')?..from + line.len())
}

/// The comments that do not stand alone on their line.
fn comments_behind_something(text: &str) -> Vec<Range<usize>> {
    let mut comments = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let mut quote = None;
        let mut comment = None;
        for (place, sign) in line.char_indices().skip_while(|(_, sign)| sign.is_whitespace()).skip(1) {
            match (quote, sign) {
                (None, '#') => {
                    comment = Some(place);
                    break;
                }
                (None, '"' | '\'') => quote = Some(sign),
                (Some(open), sign) if open == sign => quote = None,
                _ => {}
            }
        }
        // a string that does not end here may have begun anywhere
        let comment = comment.or_else(|| quote.and_then(|_| line.find('#')));
        comments.extend(comment.map(|comment| start + comment..start + line.len()));
        start += line.len();
    }
    comments
}

/// The places of a file that is no TOML that may hold a secret: whatever does not stand beside a key that is
/// known to hold none.
pub(super) fn unread_places(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim_start();
        let harmless = trimmed.is_empty() || trimmed.starts_with('#') || is_header(trimmed);
        if !harmless {
            let value_at = line.find('=').filter(|&at| is_key(&line[..at])).map_or(0, |at| at + 1);
            let key = line[..value_at.saturating_sub(1)].trim().trim_matches('"');
            let key = key.rsplit('.').next().unwrap_or(key).trim();
            // a second key on the line may be any, where a slip has cut the first one short
            let several = line[value_at..].contains('=');
            if value_at == 0 || several || !shows_its_value(FILE, key) {
                places.push(start + value_at..start + line.len());
            }
        }
        start += line.len();
    }
    places
}

/// Whether the text before a `=` is a key. Anything else can be the end of a list of secrets that began above.
fn is_key(text: &str) -> bool {
    let text = text.trim();
    let is_name = |text: &str| text.chars().all(|c| c.is_alphanumeric() || "_-. ".contains(c));
    let in_quotes = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    !text.is_empty() && (is_name(text) || in_quotes('"').or(in_quotes('\'')).is_some_and(is_name))
}

/// `[table]` or `[[table]]`, and no list that goes on.
fn is_header(line: &str) -> bool {
    let name = line.trim_end().trim_start_matches('[').trim_end_matches(']');
    line.starts_with('[') && name.chars().all(|c| c.is_alphanumeric() || "_-. ".contains(c))
}

/// Whether some key of that name exists and all of that name hold plain values that may be shown.
fn shows_its_value(keys: &[Key], name: &str) -> bool {
    let mut kinds = Vec::new();
    collect(keys, name, &mut kinds);
    !kinds.is_empty() && kinds.iter().all(is_plain)
}

fn collect(keys: &[Key], name: &str, kinds: &mut Vec<Kind>) {
    for key in keys {
        if key.name == name {
            kinds.push(key.kind);
        }
        collect_in(key.kind, name, kinds);
    }
}

fn collect_in(kind: Kind, name: &str, kinds: &mut Vec<Kind>) {
    match kind {
        Kind::Table(keys) | Kind::Tables(keys) | Kind::TextOrTable(keys) => collect(keys, name, kinds),
        Kind::List(inner) | Kind::OneOrList(inner) | Kind::Map(inner) | Kind::MapOrList(inner) => {
            collect_in(*inner, name, kinds);
        }
        _ => {}
    }
}

fn is_plain(kind: &Kind) -> bool {
    match kind {
        Kind::Text | Kind::Flag | Kind::Whole(..) | Kind::Duration | Kind::Size | Kind::Word(_) => true,
        Kind::List(inner) | Kind::OneOrList(inner) => is_plain(inner),
        _ => false,
    }
}

/// Whether an address of a database may hold a password, also where it is not well-formed: every address does but
/// those of which nothing looks like one.
pub(crate) fn may_hold_password(address: &str) -> bool {
    let Some((_, rest)) = address.split_once("://") else { return address.contains("pass") };
    // what follows a colon is a password unless it is a port
    let port = |text: &str| {
        let digits = text.trim_start_matches(|c: char| c.is_ascii_digit());
        digits.len() < text.len() && (digits.is_empty() || digits.starts_with(['/', ',', '?']))
    };
    rest.contains("pass") || rest.match_indices(':').any(|(at, _)| !port(&rest[at + 1..]))
}

/// Between `//user:` and the last `@` of the authority.
fn url_passwords(text: &str) -> Vec<Range<usize>> {
    let mut places = Vec::new();
    let mut from = 0;
    while let Some(at) = text[from..].find("://") {
        let authority = from + at + 3;
        let rest = &text[authority..];
        // a password may hold anything but what ends the line or the string
        let end = rest.find(['"', '\'', '\n', ' ']).unwrap_or(rest.len());
        if let Some(last_at) = rest[..end].rfind('@')
            && let Some(colon) = rest[..last_at].find(':')
        {
            places.push(authority + colon + 1..authority + last_at);
        }
        from = authority;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_behind_something_may_be_a_secret_that_a_slip_has_made_one() {
        for (text, shown) in [
            ("[a]#ret = [\"s\"]\nb = 1", "[a]************\nb = 1"),
            ("# alone\n  # too", "# alone\n  # too"),
            ("a = \"#7\"", "a = \"#7\""),
            ("a = \"b # c", "a = \"b ***"),
        ] {
            assert_eq!(mask(text, &[]), shown);
        }
    }

    #[test]
    fn passwords_in_urls_are_masked_in_place() {
        assert_eq!(mask("url = \"https://u:p@ß@h/x\"", &[]), "url = \"https://u:****@h/x\"");
        assert_eq!(mask("url = \"https://h:80/x\"", &[]), "url = \"https://h:80/x\"");
    }

    #[test]
    fn only_addresses_without_anything_like_a_password_are_quoted() {
        for (address, wanted) in [
            ("postgres://walhook@db:5432/helpdesk", false),
            ("postgres://walhook@db:5432,other:5433/helpdesk?sslmode=x", false),
            ("host=db user=walhook", false),
            ("postgres://walhook:secret@db/helpdesk", true),
            ("postgres://walhook:secret", true),
            ("postgres://walhook:12x@db/helpdesk", true),
            ("postgres://walhook@db/helpdesk?password=x", true),
            ("host=db password=x", true),
        ] {
            assert_eq!(may_hold_password(address), wanted, "{address}");
        }
    }

    #[test]
    fn a_file_that_is_no_toml_shows_only_values_of_keys_that_hold_no_secret() {
        let text = "[source]\nslot = \"a\nurl = \"postgres://x\nauthentication = { password = 'geheim\n  \
                    \"whsec_abc\",\n\"X-Key\" = \"geheim\"\nsecret = [\n";
        let masked = mask(text, &unread_places(text));
        assert!(masked.starts_with("[source]\nslot = \"a\n"), "{masked}");
        for secret in ["geheim", "whsec", "postgres"] {
            assert!(!masked.contains(secret), "{secret} in {masked}");
        }
        assert_eq!(masked.len(), text.len());
    }
}
