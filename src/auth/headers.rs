//! `HEADERS`: whatever headers the endpoint asks for.

use super::{Authenticator, Error, Scheme, Setting, Shape};
use crate::secret::Secret;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;

pub(super) struct Headers;

/// Headers that carry the request itself: whoever could set them could break it.
const RESERVED: [&str; 12] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Headers that tell what is delivered.
const RESERVED_PREFIXES: [&str; 2] = ["webhook-", "walhook-"];

impl Scheme for Headers {
    fn name(&self) -> &'static str {
        "HEADERS"
    }

    fn settings(&self) -> &'static [Setting] {
        &[Setting {
            name: "headers",
            about: "the headers of every request, by name",
            shape: Shape::Table,
            required: true,
            secret: true,
        }]
    }

    fn prepare(&self, settings: &BTreeMap<String, Secret>) -> Result<Box<dyn Authenticator>, Vec<Error>> {
        let mut errors = Vec::new();
        let mut invalid = |key: &str, reason| {
            errors.push(Error::Invalid { scheme: self.name(), key: key.to_owned(), reason });
        };
        if settings.is_empty() {
            invalid("headers", "must not be empty");
        }
        let mut fixed: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (key, text) in settings {
            let Ok(name) = HeaderName::try_from(key) else {
                invalid(key, "is not a header name");
                continue;
            };
            // beyond ASCII, every server reads something else
            let text = Some(text.expose()).filter(|text| text.is_ascii());
            let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) else {
                invalid(key, "has a value that no header can have");
                continue;
            };
            let lower = name.as_str();
            if RESERVED.contains(&lower) || RESERVED_PREFIXES.iter().any(|prefix| lower.starts_with(prefix)) {
                invalid(key, "is set by walhook itself");
            } else if fixed.iter().any(|(other, _)| *other == name) {
                invalid(key, "is there twice, in different letter cases");
            } else {
                fixed.push((name, value));
            }
        }
        if errors.is_empty() { Ok(Box::new(Fixed::new(fixed))) } else { Err(errors) }
    }
}

/// The same headers for every request.
pub(super) struct Fixed(Vec<(HeaderName, HeaderValue)>);

impl Fixed {
    /// These; their values never appear in logs.
    pub(super) fn new(headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>) -> Self {
        let masked = |(name, mut value): (HeaderName, HeaderValue)| {
            value.set_sensitive(true);
            (name, value)
        };
        Self(headers.into_iter().map(masked).collect())
    }
}

impl Authenticator for Fixed {
    fn apply(&self, headers: &mut HeaderMap) {
        for (name, value) in &self.0 {
            headers.insert(name.clone(), value.clone());
        }
    }
}
