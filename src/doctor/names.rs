//! Names in SQL text.

/// Puts values into a statement's `{placeholders}`; the values are SQL already.
pub(super) fn fill(template: &str, values: &[(&str, &str)]) -> String {
    let mut sql = String::with_capacity(template.len() + 64);
    let mut rest = template.trim_end();
    while let Some(start) = rest.find('{') {
        let Some(end) = rest[start..].find('}').map(|length| start + length) else { break };
        let name = &rest[start + 1..end];
        let (_, value) =
            values.iter().find(|(known, _)| *known == name).expect("the statement's file names its values");
        sql.push_str(&rest[..start]);
        sql.push_str(value);
        rest = &rest[end + 1..];
    }
    sql.push_str(rest);
    sql
}

/// A text as an SQL literal.
pub(super) fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", doubled.replace('\\', "\\\\")) } else { format!("'{doubled}'") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_put_in_once_even_if_they_look_like_placeholders() {
        let sql = fill("drop {a} of {b}\n", &[("a", "\"{b}\""), ("b", "x")]);
        assert_eq!(sql, "drop \"{b}\" of x");
    }

    #[test]
    fn literals_end_where_they_should() {
        assert_eq!(literal("o'clock"), "'o''clock'");
        assert_eq!(literal("\\'"), "E'\\\\'''");
    }
}
