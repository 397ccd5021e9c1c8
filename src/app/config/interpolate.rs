//! `${NAME}` in texts: the environment's values.

/// Where the values of `${NAME}` come from.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why a text could not be completed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Error {
    /// The variable is not set.
    #[error("environment variable {0} is not set")]
    Unset(String),
    /// `${` without `}`.
    #[error("${{ is not closed by }}")]
    Unclosed,
    /// What stands between is not a name.
    #[error("there is no variable name between ${{ and }}")]
    NotAName,
}

/// A text with its variables replaced; `$${` stands for `${` itself.
pub(super) fn complete(text: &str, environment: Environment<'_>) -> Result<String, Error> {
    let mut completed = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            completed.push_str(&rest[..at]);
            completed.push('{');
            rest = &rest[at + 2..];
            continue;
        }
        completed.push_str(&rest[..at]);
        let (name, behind) = rest[at + 2..].split_once('}').ok_or(Error::Unclosed)?;
        let is_name = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && name.starts_with(|c: char| !c.is_ascii_digit());
        if !is_name {
            return Err(Error::NotAName);
        }
        completed.push_str(&environment(name).ok_or_else(|| Error::Unset(name.to_owned()))?);
        rest = behind;
    }
    completed.push_str(rest);
    Ok(completed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_once_and_dollars_kept() {
        let environment = |name: &str| match name {
            "A" => Some("1".to_owned()),
            "NESTED" => Some("${A}".to_owned()),
            _ => None,
        };
        for (text, wanted) in [
            ("plain $ text", Ok("plain $ text")),
            ("${A}", Ok("1")),
            ("x${A}y${A}z", Ok("x1y1z")),
            ("$${A}", Ok("${A}")),
            ("a$${A} ${A}", Ok("a${A} 1")),
            ("${NESTED}", Ok("${A}")),
            ("${B}", Err(Error::Unset("B".into()))),
            ("${A", Err(Error::Unclosed)),
            ("${}", Err(Error::NotAName)),
            ("${A B}", Err(Error::NotAName)),
            ("${1}", Err(Error::NotAName)),
            ("ä${A}ö", Ok("ä1ö")),
        ] {
            assert_eq!(complete(text, &environment), wanted.map(str::to_owned), "{text:?}");
        }
    }
}
