//! JSON strings.

/// Appends a text as a JSON string, escaped as PostgreSQL does it: quotes, backslashes and control characters,
/// nothing else.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut rest = bytes;
    while let Some(at) = first_to_escape(rest) {
        out.extend_from_slice(&rest[..at]);
        write_escaped(rest[at], out);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

/// Whether a text is short of everything that needs an escape.
pub(super) fn is_plain(text: &str) -> bool {
    first_to_escape(text.as_bytes()).is_none()
}

fn write_escaped(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0C => b'f',
        _ => {
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// Where the first byte lies that needs an escape.
fn first_to_escape(bytes: &[u8]) -> Option<usize> {
    let mut words = bytes.chunks_exact(8);
    let mut at = 0;
    for word in words.by_ref() {
        let word: [u8; 8] = word.try_into().ok()?; // always eight
        if has_to_escape(u64::from_ne_bytes(word)) {
            return word.iter().position(|&byte| needs_escape(byte)).map(|within| at + within);
        }
        at += 8;
    }
    let rest = words.remainder();
    // what is left is looked at as one word too, with bytes before it that are known to be plain
    let is_plain = if let Some(&last) = bytes.last_chunk() {
        rest.is_empty() || !has_to_escape(u64::from_ne_bytes(last))
    } else if let (Some(&first), Some(&last)) = (rest.first_chunk(), rest.last_chunk()) {
        let halves = [u32::from_ne_bytes(first), u32::from_ne_bytes(last)].map(u64::from);
        !has_to_escape(halves[0] << 32 | halves[1])
    } else {
        false
    };
    let within = || rest.iter().position(|&byte| needs_escape(byte));
    if is_plain { None } else { within().map(|within| at + within) }
}

fn needs_escape(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

/// Whether one of eight bytes needs an escape, without looking at each: the high bit of a byte of `below(x, n)`
/// is set where that byte is less than `n` (or, by a borrow, right above one that is).
fn has_to_escape(word: u64) -> bool {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let is = |wanted: u8| below(word ^ (ONES * u64::from(wanted)), 1);
    (below(word, 0x20) | is(b'"') | is(b'\\')) & (ONES << 7) != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn strings_are_escaped_like_the_servers() {
        let mut out = Vec::new();
        write_string("a\"b\\c\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}/ü\u{2028}😀", &mut out);
        let expected = "\"a\\\"b\\\\c\\n\\r\\t\\b\\f\\u0001\\u001f\u{7f}/ü\u{2028}😀\"";
        assert_eq!(String::from_utf8(out).unwrap(), expected);
    }

    proptest! {
        #[test]
        fn words_and_bytes_agree(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let slow = bytes.iter().position(|&byte| needs_escape(byte));
            prop_assert_eq!(first_to_escape(&bytes), slow);
        }

        #[test]
        fn every_string_comes_back(text in any::<String>()) {
            let mut out = Vec::new();
            write_string(&text, &mut out);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }
    }
}
