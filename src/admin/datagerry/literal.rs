//! Lists of texts as Python writes them: `['CREATE', "UPDATE"]`. The product's page sends event types so.

/// The texts of a list; none where it is no such list. Escapes are not known: no event type needs one.
pub(super) fn texts(list: &str) -> Option<Vec<String>> {
    let mut rest = list.trim().strip_prefix('[')?.strip_suffix(']')?.trim_start();
    let mut texts = Vec::new();
    while let Some(quote) = rest.chars().next() {
        let (text, behind) = match quote {
            '\'' | '"' => rest[1..].split_once(quote)?,
            _ => return None,
        };
        if text.contains('\\') {
            return None;
        }
        texts.push(text.to_owned());
        rest = behind.trim_start();
        match rest.strip_prefix(',') {
            Some(behind) => rest = behind.trim_start(),
            None if rest.is_empty() => {}
            None => return None,
        }
    }
    Some(texts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_read_and_anything_else_is_none() {
        let check = |list: &str, expected: Option<&[&str]>| {
            let expected = expected.map(|texts| texts.iter().map(|&text| text.to_owned()).collect());
            assert_eq!(texts(list), expected, "{list}");
        };
        check("['CREATE', 'UPDATE']", Some(&["CREATE", "UPDATE"]));
        check(" [ \"create\",'it\"s', ] ", Some(&["create", "it\"s"]));
        check("[]", Some(&[]));
        check("['ä']", Some(&["ä"]));
        for wrong in [
            "",
            "[",
            "]",
            "CREATE",
            "[CREATE]",
            "['CREATE'",
            "['CREATE]",
            "['a' 'b']",
            "[,]",
            "['a',,'b']",
            "['\\x41']",
            "[1]",
            "[['a']]",
        ] {
            check(wrong, None);
        }
    }
}
