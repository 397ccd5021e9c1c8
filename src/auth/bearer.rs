//! `BEARER`: a token (RFC 6750).

use super::{Authenticator, Error, Scheme, Setting, Shape, headers::Fixed, text};
use crate::secret::Secret;
use http::HeaderValue;
use http::header::AUTHORIZATION;
use std::collections::BTreeMap;

pub(super) struct Bearer;

impl Scheme for Bearer {
    fn name(&self) -> &'static str {
        "BEARER"
    }

    fn settings(&self) -> &'static [Setting] {
        &[Setting {
            name: "token",
            about: "the token, without the word Bearer",
            shape: Shape::Text,
            required: true,
            secret: true,
        }]
    }

    fn prepare(&self, settings: &BTreeMap<String, Secret>) -> Result<Box<dyn Authenticator>, Vec<Error>> {
        let token = text(settings, "token");
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
        let credentials = (!token.is_empty() && token.bytes().all(is_token))
            .then(|| HeaderValue::try_from(format!("Bearer {token}")).ok())
            .flatten();
        match credentials {
            Some(credentials) => Ok(Box::new(Fixed::new([(AUTHORIZATION, credentials)]))),
            None => Err(vec![Error::Invalid {
                scheme: self.name(),
                key: "token".to_owned(),
                reason: "must be letters, digits and -._~+/= without spaces",
            }]),
        }
    }
}
