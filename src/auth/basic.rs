//! `BASIC`: user name and password (RFC 7617, in UTF-8).

use super::{Authenticator, Error, Scheme, Setting, Shape, headers::Fixed, text};
use crate::secret::Secret;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::AUTHORIZATION;
use std::collections::BTreeMap;

pub(super) struct Basic;

impl Scheme for Basic {
    fn name(&self) -> &'static str {
        "BASIC"
    }

    fn settings(&self) -> &'static [Setting] {
        &[
            Setting {
                name: "username",
                about: "the user's name",
                shape: Shape::Text,
                required: true,
                secret: false,
            },
            Setting {
                name: "password",
                about: "the user's password",
                shape: Shape::Text,
                required: true,
                secret: true,
            },
        ]
    }

    fn prepare(&self, settings: &BTreeMap<String, Secret>) -> Result<Box<dyn Authenticator>, Vec<Error>> {
        let (username, password) = (text(settings, "username"), text(settings, "password"));
        let mut errors = Vec::new();
        let mut invalid = |key: &str, reason| {
            errors.push(Error::Invalid { scheme: self.name(), key: key.to_owned(), reason });
        };
        if username.contains(':') {
            invalid("username", "must not have a colon");
        }
        for (key, text) in [("username", username), ("password", password)] {
            if text.contains(char::is_control) {
                invalid(key, "must not have control characters");
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        // whose endpoint asks for nobody
        if username.is_empty() && password.is_empty() {
            return Ok(Box::new(Fixed::new([])));
        }
        let credentials = format!("Basic {}", STANDARD.encode(format!("{username}:{password}")));
        let credentials = credentials.try_into().expect("base64 is visible ASCII");
        Ok(Box::new(Fixed::new([(AUTHORIZATION, credentials)])))
    }
}
