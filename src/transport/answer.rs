//! What is read of an endpoint's answer.

use http::HeaderMap;
use http::header::RETRY_AFTER;
use hyper::body::{Body, Incoming};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use std::future::poll_fn;
use std::pin::Pin;
use std::time::Duration;

/// How much of an answer's body is kept in the attempt's record, in bytes.
pub(super) const EXCERPT_BYTES_MAX: usize = 1024;

/// What the endpoint asks for by `Retry-After` (RFC 9110, 10.2.3): seconds, or a date.
pub(super) fn retry_after(headers: &HeaderMap, now_us: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if text.bytes().all(|byte| byte.is_ascii_digit()) && !text.is_empty() {
        // more digits than fit are still a wish for a long pause
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date: Timestamp = DateTimeParser::new().relaxed_weekday(true).parse_timestamp(text).ok()?;
    let pause_us = date.as_microsecond().checked_sub(now_us)?;
    Some(Duration::from_micros(u64::try_from(pause_us).unwrap_or(0)))
}

/// How reading a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At its end: the connection can serve again.
    Reached,
    /// It broke off, or a new connection is cheaper than the rest.
    Left,
}

/// Reads an answer's body: its beginning goes to `excerpt`, up to `excerpt_bytes_max`, the rest is thrown away, up to
/// `bytes_max`. A body that breaks off is no trouble: the status came before it.
pub(super) async fn read(
    body: &mut Incoming,
    bytes_max: usize,
    excerpt_bytes_max: usize,
    excerpt: &mut Vec<u8>,
) -> End {
    let mut read = 0;
    loop {
        let frame = match poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await {
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return End::Left,
            None => return End::Reached,
        };
        let Ok(chunk) = frame.into_data() else { continue };
        let kept = chunk.len().min(excerpt_bytes_max - excerpt.len());
        excerpt.extend_from_slice(&chunk[..kept]);
        read += chunk.len();
        if read > bytes_max {
            return End::Left;
        }
    }
}

/// The excerpt as text that can be shown: a character that the limit cut in two is left out, broken ones and
/// those that would act on a terminal or hide text are replaced.
pub(super) fn text(excerpt: &[u8]) -> String {
    let whole = match std::str::from_utf8(excerpt) {
        Err(error) if error.error_len().is_none() => &excerpt[..error.valid_up_to()],
        _ => excerpt,
    };
    let text = String::from_utf8_lossy(whole).replace("\r\n", "\n");
    text.chars().map(|char| if matches!(char, '\n' | '\t') { char } else { shown(char) }).collect()
}

/// The beginning of a text, in one line that can be shown.
pub(super) fn one_line(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => text[..end].chars().map(shown).chain(['…']).collect(),
        None => text.chars().map(shown).collect(),
    }
}

/// A character, or its replacement if it is a control character or turns the direction of writing.
fn shown(char: char) -> char {
    match char {
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => char::REPLACEMENT_CHARACTER,
        _ if char.is_control() => char::REPLACEMENT_CHARACTER,
        _ => char,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        #[track_caller]
        fn check(value: &str, expected: Option<u64>) {
            let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
            // 1994-11-06 08:49:07 UTC
            let found = retry_after(&headers, 784_111_747_000_000);
            assert_eq!(found, expected.map(Duration::from_secs), "{value}");
        }
        check("120", Some(120));
        check(" 0 ", Some(0));
        check("99999999999999999999999", Some(u64::from(u32::MAX)));
        check("Sun, 06 Nov 1994 08:49:37 GMT", Some(30));
        check("Sun, 06 Nov 1994 08:49:07 GMT", Some(0));
        check("Sun, 06 Nov 1984 08:49:37 GMT", Some(0));
        check("", None);
        check("-5", None);
        check("1.5", None);
        check("soon", None);
        assert_eq!(retry_after(&HeaderMap::new(), 0), None);
    }

    #[test]
    fn an_excerpt_is_text() {
        assert_eq!(text(b"no"), "no");
        assert_eq!(text("na\u{ef}ve".as_bytes()), "naïve");
        assert_eq!(text(&"na\u{ef}".as_bytes()[..3]), "na");
        assert_eq!(text(b"\xff!"), "\u{fffd}!");
    }

    #[test]
    fn an_excerpt_does_nothing_to_a_terminal() {
        assert_eq!(text(b"line\r\nline\n\ttab"), "line\nline\n\ttab");
        assert_eq!(text(b"\x1b[2Jgone\0\x7f\r"), "\u{fffd}[2Jgone\u{fffd}\u{fffd}\u{fffd}");
        assert_eq!(text("\u{9b}31m\u{202e}txt".as_bytes()), "\u{fffd}31m\u{fffd}txt");
    }

    #[test]
    fn a_reason_is_a_short_line() {
        assert_eq!(one_line("short", 5), "short");
        assert_eq!(one_line("naïver", 5), "naïve…");
        assert_eq!(one_line("two\nlines\x1b", 99), "two\u{fffd}lines\u{fffd}");
    }
}
