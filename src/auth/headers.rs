//! `HEADERS`: whatever headers the endpoint asks for.

use super::{Authenticator, Error, Scheme, Setting, Shape};
use crate::header;
use crate::secret::Secret;
use http::{HeaderMap, HeaderName, HeaderValue};
use std::collections::BTreeMap;

pub(super) struct Headers;

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
            match header::read(key, text.expose()) {
                Err(header::Error::Name { .. }) => invalid(key, "is not a header name"),
                Err(header::Error::Value { .. }) => invalid(key, "has a value that no header can have"),
                Err(_) => invalid(key, "is set by walhook itself"),
                Ok((name, _)) if fixed.iter().any(|(other, _)| *other == name) => {
                    invalid(key, "is there twice, in different letter cases");
                }
                Ok(header) => fixed.push(header),
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
