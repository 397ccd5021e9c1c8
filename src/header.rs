//! Request headers that an operator, or whoever registers a webhook, may choose.

use http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;

/// How many a webhook may have.
pub const COUNT_MAX: usize = 32;

/// How long their names and values may be together.
pub const BYTES_MAX: usize = 8 * 1024;

/// Headers that carry the request itself: whoever could set them could break it.
const RESERVED: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that tell what is delivered.
const RESERVED_PREFIXES: [&str; 2] = ["webhook-", "walhook-"];

/// Headers whose value is a secret by its nature.
const SECRET: [&str; 3] = ["authorization", "cookie", "proxy-authorization"];

/// What is wrong with a header. Its value is never told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No header has such a name.
    #[error("{name:?} is not a header name")]
    Name {
        /// As it was given.
        name: String,
    },
    /// No header has such a value.
    #[error("{name:?} has a value that no header can have")]
    Value {
        /// The header.
        name: String,
    },
    /// It is not theirs to choose.
    #[error("{name:?} is set by walhook itself")]
    Reserved {
        /// The header.
        name: String,
    },
    /// It is there in two spellings.
    #[error("{name:?} is there twice, in different letter cases")]
    Twice {
        /// The second one.
        name: String,
    },
    /// Its value would be shown.
    #[error("{name:?} holds a secret, and the values of `headers` are shown")]
    Secret {
        /// The header.
        name: String,
    },
    /// The authentication sets it.
    #[error("{name:?} is set by `authentication` as well")]
    Taken {
        /// The header.
        name: String,
    },
    /// There are too many.
    #[error("there are {count} headers, more than {COUNT_MAX}")]
    Many {
        /// How many.
        count: usize,
    },
    /// They are too long.
    #[error("the headers have {bytes} bytes, more than {BYTES_MAX}")]
    Long {
        /// How long.
        bytes: usize,
    },
}

impl Error {
    /// The header that is wrong, if it is one alone.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Name { name }
            | Self::Value { name }
            | Self::Reserved { name }
            | Self::Twice { name }
            | Self::Secret { name }
            | Self::Taken { name } => Some(name),
            Self::Many { .. } | Self::Long { .. } => None,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Name { .. } => "a name has letters, digits and -",
            Self::Value { .. } => "a value is one line of ASCII",
            Self::Reserved { .. } => "remove it",
            Self::Twice { .. } | Self::Taken { .. } => "keep one of the two",
            Self::Secret { .. } => "write it in `authentication = { type = \"HEADERS\", headers = { … } }`",
            Self::Many { .. } | Self::Long { .. } => "leave out what the receiver can know by itself",
        }
    }
}

/// Reads one header.
pub fn read(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), Error> {
    let given = || name.to_owned();
    let Ok(header) = HeaderName::try_from(name) else { return Err(Error::Name { name: given() }) };
    // beyond ASCII, every server reads something else
    let value = Some(value).filter(|value| value.is_ascii()).and_then(|value| value.parse().ok());
    let Some(value) = value else { return Err(Error::Value { name: given() }) };
    let lower = header.as_str();
    if RESERVED.contains(&lower) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
        return Err(Error::Reserved { name: given() });
    }
    Ok((header, value))
}

/// Reads the further headers of a webhook, which are shown to everybody who may see the webhook. `taken` are those that
/// its authentication sets. All that is wrong is told at once.
pub fn read_all(headers: &BTreeMap<String, String>, taken: &HeaderMap) -> Result<HeaderMap, Vec<Error>> {
    let mut errors = Vec::new();
    let mut all = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        match read(name, value) {
            Err(error) => errors.push(error),
            Ok((header, _)) if SECRET.contains(&header.as_str()) => {
                errors.push(Error::Secret { name: name.clone() });
            }
            Ok((header, _)) if taken.contains_key(&header) => {
                errors.push(Error::Taken { name: name.clone() });
            }
            Ok((header, _)) if all.contains_key(&header) => errors.push(Error::Twice { name: name.clone() }),
            Ok((header, value)) => {
                all.insert(header, value);
            }
        }
    }
    if headers.len() > COUNT_MAX {
        errors.push(Error::Many { count: headers.len() });
    }
    let bytes = headers.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > BYTES_MAX {
        errors.push(Error::Long { bytes });
    }
    if errors.is_empty() { Ok(all) } else { Err(errors) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read, one header per line; or the errors.
    #[track_caller]
    fn check(headers: &[(&str, &str)], expected: &str) {
        let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut taken = HeaderMap::new();
        taken.insert("x-api-key", HeaderValue::from_static("k"));
        let found: Vec<_> = match read_all(&headers.collect(), &taken) {
            Ok(headers) => headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect(),
            Err(errors) => errors.iter().map(ToString::to_string).collect(),
        };
        assert_eq!(found.join("\n"), expected);
    }

    #[test]
    fn headers_are_read_and_refused_by_name() {
        check(&[], "");
        check(&[("X-Team", "desk"), ("User-Agent", "us")], "user-agent: \"us\"\nx-team: \"desk\"");
        check(&[("X Team", "desk")], "\"X Team\" is not a header name");
        check(&[("", "desk")], "\"\" is not a header name");
        check(&[("X-A", "a\r\nX-B: b")], "\"X-A\" has a value that no header can have");
        check(&[("X-A", "ä")], "\"X-A\" has a value that no header can have");
        for name in ["Host", "content-type", "Content-Length", "TE", "Webhook-Id", "walhook-attempt"] {
            check(&[(name, "a")], &format!("{name:?} is set by walhook itself"));
        }
        check(
            &[("Authorization", "geheim")],
            "\"Authorization\" holds a secret, and the values of `headers` are shown",
        );
        check(&[("X-API-Key", "a")], "\"X-API-Key\" is set by `authentication` as well");
        check(&[("X-A", "1"), ("x-a", "2")], "\"x-a\" is there twice, in different letter cases");
    }

    #[test]
    fn they_are_few_and_short() {
        let names: Vec<_> = (0..=COUNT_MAX).map(|number| format!("x-{number}")).collect();
        let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "")).collect();
        check(&headers, "there are 33 headers, more than 32");
        check(&[("x", &"a".repeat(BYTES_MAX))], "the headers have 8193 bytes, more than 8192");
        check(&[("x", &"a".repeat(BYTES_MAX - 1))], &format!("x: {:?}", "a".repeat(BYTES_MAX - 1)));
    }
}
