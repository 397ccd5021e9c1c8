//! From PostgreSQL's text form to JSON.

use super::string::{is_plain, write_string};
use super::{Type, array, composite, hstore, number};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::IgnoredAny;

/// Appends what `to_jsonb` gives for a value.
///
/// A text that is not of its type (which a server would not send) becomes a JSON string, so that the output is
/// JSON whatever comes in.
pub fn write_json(type_: &Type, text: &str, out: &mut Vec<u8>) {
    let start = out.len();
    let written = match type_ {
        Type::Text | Type::Date => None,
        Type::Number => number::write_number(text, out),
        Type::Boolean => write_boolean(text, out),
        Type::Timestamp | Type::TimestampTz => write_timestamp(text, out),
        Type::Json => write_document(text, out),
        Type::Bytea => write_base64(text, out),
        Type::Hstore => hstore::write_hstore(text, out),
        Type::Array { element, delimiter } => array::write_array(element, *delimiter, text, out),
        Type::Vector { element } => {
            array::write_vector(element, text, out);
            Some(())
        }
        Type::Composite(attributes) => composite::write_composite(attributes, text, out),
    };
    if written.is_none() {
        out.truncate(start);
        write_string(text, out);
    }
}

/// `t` and `f` as PostgreSQL prints them.
fn write_boolean(text: &str, out: &mut Vec<u8>) -> Option<()> {
    out.extend_from_slice(match text {
        "t" | "true" => b"true",
        "f" | "false" => b"false",
        _ => return None,
    });
    Some(())
}

/// `2024-01-02 03:04:05.6+00 BC` becomes `2024-01-02T03:04:05.6+00:00 BC`, as `JsonEncodeDateTime` has it;
/// `infinity` stays. Years have four digits or more.
fn write_timestamp(text: &str, out: &mut Vec<u8>) -> Option<()> {
    if !is_plain(text) {
        return None;
    }
    let Some((date, rest)) = text.split_once(' ') else {
        return None; // infinity, as it is
    };
    let (time, era) = rest.split_at(rest.find(' ').unwrap_or(rest.len()));
    if !date.as_bytes().first()?.is_ascii_digit() || !time.as_bytes().first()?.is_ascii_digit() {
        return None;
    }
    out.push(b'"');
    for part in [date, "T", time] {
        out.extend_from_slice(part.as_bytes());
    }
    let zone_without_minutes = time.len().checked_sub(3).and_then(|sign| time.as_bytes().get(sign));
    if matches!(zone_without_minutes, Some(b'+' | b'-')) {
        out.extend_from_slice(b":00");
    }
    out.extend_from_slice(era.as_bytes());
    out.push(b'"');
    Some(())
}

/// JSON as it stands, if it is JSON. Checking needs no stack: documents may nest as deeply as PostgreSQL lets
/// them.
fn write_document(text: &str, out: &mut Vec<u8>) -> Option<()> {
    serde_json::from_str::<IgnoredAny>(text).ok()?;
    out.extend_from_slice(text.as_bytes());
    Some(())
}

/// `\x6869` becomes `"aGk="`.
fn write_base64(text: &str, out: &mut Vec<u8>) -> Option<()> {
    const PIECE_BYTES: usize = 768; // a multiple of 3, so that only the last piece is padded
    let digits = text.strip_prefix("\\x")?.as_bytes();
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    let mut bytes = [0; PIECE_BYTES];
    let mut encoded = [0; PIECE_BYTES / 3 * 4];
    out.reserve(digits.len() / 3 * 2 + 8);
    out.push(b'"');
    for piece in digits.chunks(2 * PIECE_BYTES) {
        let bytes = &mut bytes[..piece.len() / 2];
        for (byte, pair) in bytes.iter_mut().zip(piece.chunks_exact(2)) {
            *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        let length = STANDARD.encode_slice(bytes, &mut encoded).ok()?;
        out.extend_from_slice(&encoded[..length]);
    }
    out.push(b'"');
    Some(())
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::Attribute;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn check(type_: &Type, text: &str, json: &str) {
        let mut out = b"before".to_vec();
        write_json(type_, text, &mut out);
        assert_eq!(String::from_utf8(out).unwrap(), format!("before{json}"), "{text:?} as {type_:?}");
    }

    fn array(element: Type) -> Type {
        Type::Array { element: Arc::new(element), delimiter: ',' }
    }

    fn composite(attributes: &[(&str, Type)]) -> Type {
        let attribute =
            |(name, type_): &(&str, Type)| Attribute { name: (*name).to_owned(), type_: type_.clone() };
        Type::Composite(attributes.iter().map(attribute).collect())
    }

    #[test]
    fn numbers_have_no_exponent_and_keep_every_digit() {
        for (text, json) in [
            ("0", "0"),
            ("-0", "0"),
            ("-0.00", "0.00"),
            ("-17", "-17"),
            ("12.5000", "12.5000"),
            ("1e+20", "100000000000000000000"),
            ("1e-07", "0.0000001"),
            ("-1.5e-07", "-0.00000015"),
            ("1.2345e+2", "123.45"),
            ("1.2345e+06", "1234500"),
            ("-1.7976931348623157e+16", "-17976931348623157"),
            ("NaN", "\"NaN\""),
            ("-Infinity", "\"-Infinity\""),
        ] {
            check(&Type::Number, text, json);
        }
        for malformed in [
            "",
            "-",
            ".",
            "1.",
            ".5",
            "01",
            "-01",
            "00.5",
            "1e",
            "1e+",
            "1e99999999999",
            "1e999",
            "0x1",
            "1 ",
            "1e5.5",
            "--1",
        ] {
            check(&Type::Number, malformed, &format!("\"{malformed}\""));
        }
    }

    #[test]
    fn times_are_written_with_t_and_minutes_of_zone() {
        for (text, json) in [
            ("2024-01-02 03:04:05", "2024-01-02T03:04:05"),
            ("2024-01-02 03:04:05.000001+00", "2024-01-02T03:04:05.000001+00:00"),
            ("0044-03-15 12:00:00+00 BC", "0044-03-15T12:00:00+00:00 BC"),
            ("0044-03-15 12:00:00 BC", "0044-03-15T12:00:00 BC"),
            ("294276-12-31 23:59:59.999999-05:30", "294276-12-31T23:59:59.999999-05:30"),
            ("infinity", "infinity"),
            ("-infinity", "-infinity"),
            ("", ""),
            (" ", " "),
            ("22.11.2026 10:01:11 IST", "22.11.2026T10:01:11 IST"),
        ] {
            check(&Type::TimestampTz, text, &format!("\"{json}\""));
        }
        check(&Type::Timestamp, "1 1\"", r#""1 1\"""#);
    }

    #[test]
    fn bytes_are_base64() {
        check(&Type::Bytea, "\\x", "\"\"");
        check(&Type::Bytea, "\\x6869", "\"aGk=\"");
        check(&Type::Bytea, "\\x686", "\"\\\\x686\"");
        check(&Type::Bytea, "\\x6g", "\"\\\\x6g\"");
        let many: Vec<u8> = (0..5000u32).map(|number| number as u8).collect();
        let hex = many.iter().fold("\\x".to_owned(), |hex, byte| hex + &format!("{byte:02x}"));
        check(&Type::Bytea, &hex, &format!("\"{}\"", STANDARD.encode(&many)));
    }

    #[test]
    fn a_broken_document_is_a_string() {
        check(&Type::Json, "{\"a\":\n 1e5}", "{\"a\":\n 1e5}");
        check(&Type::Json, "{\"a\":", r#""{\"a\":""#);
        check(&Type::Json, "1 2", "\"1 2\"");
        let deep = "[".repeat(5000) + &"]".repeat(5000);
        check(&Type::Json, &deep, &deep);
    }

    #[test]
    fn arrays_of_every_shape() {
        let numbers = array(Type::Number);
        for (text, json) in [
            ("{}", "[]"),
            ("{1,NULL,-3}", "[1,null,-3]"),
            ("{{1,2},{3,4}}", "[[1,2],[3,4]]"),
            ("[0:2]={1,2,3}", "[1,2,3]"),
            ("[-1:0][2:3]={{1,2},{3,4}}", "[[1,2],[3,4]]"),
        ] {
            check(&numbers, text, json);
        }
        for malformed in
            ["", "{", "}", "{1", "{1,}", "{,1}", "{1}}", "{{1}", "1", "{1}2", "[0:1={1}", "[0:1]{1}"]
        {
            check(&numbers, malformed, &format!("\"{malformed}\""));
        }
        check(&numbers, &"{".repeat(100_000), &format!("\"{}\"", "{".repeat(100_000)));
        let texts = array(Type::Text);
        check(&texts, r#"{"a b","NULL","","q\"q","b\\s","{}"}"#, r#"["a b","NULL","","q\"q","b\\s","{}"]"#);
        check(&texts, "{\"a}", r#""{\"a}""#);
        check(&texts, "{\"a\\", r#""{\"a\\""#);
        let boxes = Type::Array { element: Arc::new(Type::Text), delimiter: ';' };
        check(&boxes, "{(1,1),(0,0);(3,3),(2,2)}", r#"["(1,1),(0,0)","(3,3),(2,2)"]"#);
        check(&array(array(Type::Number)), r#"{"{1,2}","[2:2]={3}"}"#, "[[1,2],[3]]");
        let vector = Type::Vector { element: Arc::new(Type::Number) };
        check(&vector, "", "[]");
        check(&vector, "1 2 -3", "[1,2,-3]");
    }

    #[test]
    fn rows_inside_arrays_inside_rows() {
        let inner = composite(&[("n", Type::Number), ("t", Type::Text)]);
        check(&inner, "(,)", r#"{"n":null,"t":null}"#);
        check(&inner, "(1,\"\")", r#"{"n":1,"t":""}"#);
        check(&inner, r#"(1,"a ""quoted"" \\ , (x)")"#, r#"{"n":1,"t":"a \"quoted\" \\ , (x)"}"#);
        check(&composite(&[("only", Type::Text)]), "()", r#"{"only":null}"#);
        check(&composite(&[]), "()", "{}");
        let outer = composite(&[("list", array(inner.clone())), ("end", Type::Boolean)]);
        let text = r#"("{""(1,\\""a b\\"")"",NULL}",t)"#;
        check(&outer, text, r#"{"list":[{"n":1,"t":"a b"},null],"end":true}"#);
        for malformed in ["", "(", "()", "(1)", "(1,2,3)", "(1,2", "(1,2)x", "1,2)", "(1,(2)"] {
            check(&inner, malformed, &format!("\"{malformed}\""));
        }
        check(&inner, "(1,\"2)", r#""(1,\"2)""#);
    }

    #[test]
    fn hstore_is_an_object_of_strings() {
        check(&Type::Hstore, "", "{}");
        check(&Type::Hstore, r#""a"=>"1", "b c"=>NULL, "\"\\"=>"""#, r#"{"a":"1","b c":null,"\"\\":""}"#);
        check(&Type::Hstore, r#""a"=>"#, r#""\"a\"=>""#);
        check(&Type::Hstore, r#""a"=>"1","#, r#""\"a\"=>\"1\",""#);
    }

    fn any_type() -> impl Strategy<Value = Type> {
        let simple = prop::sample::select(vec![
            Type::Boolean,
            Type::Number,
            Type::Date,
            Type::Timestamp,
            Type::TimestampTz,
            Type::Json,
            Type::Bytea,
            Type::Text,
            Type::Hstore,
        ]);
        simple.prop_recursive(3, 12, 3, |inner| {
            prop_oneof![
                inner.clone().prop_map(array),
                inner.clone().prop_map(|element| Type::Vector { element: Arc::new(element) }),
                (inner.clone(), inner).prop_map(|(a, b)| composite(&[("a", a), ("b", b)])),
            ]
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn whatever_comes_in_json_comes_out(
            type_ in any_type(),
            text in r#"[{}()\[\],;:="\\ 0-9a-zNUL+\-.\x00-\x1f\u{2028}😀]{0,40}"#,
        ) {
            let mut out = Vec::new();
            write_json(&type_, &text, &mut out);
            prop_assert!(serde_json::from_slice::<IgnoredAny>(&out).is_ok(), "{}", String::from_utf8_lossy(&out));
        }
    }
}
