//! Numbers as `jsonb` prints them: what `numeric` makes of the text, so without exponents.

/// Exponents of `double precision` go from -324 to 308; `numeric` prints none.
const EXPONENT_MAX: u32 = 400;

/// Appends a number. None where it is none, which `NaN` and the infinities are for JSON.
pub(super) fn write_number(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    if is_integer(digits) {
        let text = if digits == "0" { digits } else { text };
        out.extend_from_slice(text.as_bytes());
        return Some(());
    }
    let (mantissa, exponent) = match digits.split_once('e') {
        Some((mantissa, exponent)) => (mantissa, read_exponent(exponent)?),
        None => (digits, 0),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((_, "")) => return None,
        Some((whole, fraction)) => (whole, fraction),
        None => (mantissa, ""),
    };
    if !is_integer(whole) || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    if negative && [whole, fraction].iter().any(|part| part.bytes().any(|digit| digit != b'0')) {
        out.push(b'-'); // zero has no sign
    }
    write_shifted(whole.as_bytes(), fraction.as_bytes(), exponent, out);
    Some(())
}

/// Digits without a leading zero, or 0 itself.
fn is_integer(digits: &str) -> bool {
    match digits.as_bytes() {
        [] => false,
        [b'0', _, ..] => false,
        digits => digits.iter().all(u8::is_ascii_digit),
    }
}

fn read_exponent(text: &str) -> Option<i32> {
    let (sign, digits) = match text.as_bytes().first()? {
        b'-' => (-1, &text[1..]),
        b'+' => (1, &text[1..]),
        _ => (1, text),
    };
    if !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let exponent: u32 = digits.parse().ok()?;
    (exponent <= EXPONENT_MAX).then_some(sign * exponent as i32)
}

/// Writes `whole.fraction` with the point moved by `shift` digits to the right.
fn write_shifted(whole: &[u8], fraction: &[u8], shift: i32, out: &mut Vec<u8>) {
    let moved = shift.unsigned_abs() as usize;
    let zeros = |count: usize| std::iter::repeat_n(b'0', count);
    if shift >= 0 {
        let (into_whole, fraction) = fraction.split_at(moved.min(fraction.len()));
        if whole == b"0" {
            let significant = into_whole.iter().position(|&digit| digit != b'0');
            out.extend_from_slice(significant.map_or(b"0", |start| &into_whole[start..]));
            out.extend(zeros(if significant.is_some() { moved - into_whole.len() } else { 0 }));
        } else {
            out.extend_from_slice(whole);
            out.extend_from_slice(into_whole);
            out.extend(zeros(moved - into_whole.len()));
        }
        if !fraction.is_empty() {
            out.push(b'.');
            out.extend_from_slice(fraction);
        }
    } else {
        let (whole, into_fraction) = whole.split_at(whole.len().saturating_sub(moved));
        out.extend_from_slice(if whole.is_empty() { b"0" } else { whole });
        out.push(b'.');
        out.extend(zeros(moved - into_fraction.len()));
        out.extend_from_slice(into_fraction);
        out.extend_from_slice(fraction);
    }
}
