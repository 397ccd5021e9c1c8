//! `IMS`: BMC's Identity Management System. An access key is exchanged for a token, whose JSON Web Token authenticates
//! requests; before it expires the token is exchanged for another one.
//!
//! Public clients of BMC Helix Operations Management show the exchange: `access_keys/login` takes `access_key`,
//! `access_secret_key` and `tenant_id` and gives `token` and `json_web_token`; `auth/tokens` takes `token` and gives
//! `json_web_token`.

use super::{Asks, Authenticator, Error, Granted, Question, Scheme, Setting, Shape, text};
use crate::secret::Secret;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use url::Url;

const LOGIN_PATH: &str = "/ims/api/v1/access_keys/login";
const REFRESH_PATH: &str = "/ims/api/v1/auth/tokens";
const TOKEN_NAME: &str = "IMS-JWT";

/// A token is exchanged so long before it expires.
const EARLIER_US: i64 = 60_000_000;

/// How long a token counts that does not say when it expires.
const LIFETIME: Duration = Duration::from_secs(600);

pub(super) struct Ims;

const fn setting(name: &'static str, about: &'static str, required: bool, secret: bool) -> Setting {
    Setting { name, about, shape: Shape::Text, required, secret }
}

const SETTINGS: &[Setting] = &[
    setting("accessKey", "the access key, best without expiry", true, false),
    setting("accessSecretKey", "the secret that belongs to it", true, true),
    setting("tenantId", "the tenant that the keys are of", true, false),
    setting("authBaseUrl", "where the paths begin: https and a host", true, false),
    setting("authAccessTokenPath", "where the key is exchanged", false, false),
    setting("authRefreshTokenPath", "where a token is exchanged", false, false),
    setting("authHeaderTokenName", "the word before the token, IMS-JWT where none is said", false, false),
    setting(
        "headerMode",
        "prefix: Authorization has the word and the token; name: a header of its own",
        false,
        false,
    ),
];

impl Scheme for Ims {
    fn name(&self) -> &'static str {
        "IMS"
    }

    fn settings(&self) -> &'static [Setting] {
        SETTINGS
    }

    fn prepare(&self, settings: &BTreeMap<String, Secret>) -> Result<Box<dyn Authenticator>, Vec<Error>> {
        let mut errors = Vec::new();
        let mut invalid = |key: &str, reason| {
            errors.push(Error::Invalid { scheme: self.name(), key: key.to_owned(), reason });
        };
        let or = |key: &str, default: &'static str| match text(settings, key) {
            "" => default.to_owned(),
            text => text.to_owned(),
        };
        let is_base = |url: &Url| matches!(url.scheme(), "http" | "https") && url.host().is_some();
        let base = Url::parse(text(settings, "authBaseUrl")).ok().filter(is_base);
        let base = base.filter(|url| url.username().is_empty() && url.password().is_none());
        if base.is_none() {
            invalid("authBaseUrl", "must be an absolute URL, http or https, without credentials");
        }
        for key in ["accessKey", "accessSecretKey", "tenantId"] {
            let text = text(settings, key);
            if text.is_empty() || text.contains(char::is_control) {
                invalid(key, "must have characters, and none that controls");
            }
        }
        let name = or("authHeaderTokenName", TOKEN_NAME);
        let own_header = HeaderName::try_from(&name).ok();
        if own_header.is_none() {
            invalid("authHeaderTokenName", "must be a word of letters, digits and -");
        }
        let header = match text(settings, "headerMode") {
            "" | "prefix" => Some(Header::Prefix(name)),
            "name" => own_header.map(Header::Named),
            _ => {
                invalid("headerMode", "must be prefix or name");
                None
            }
        };
        let url = |path: String| base.as_ref().map(|base| joined(base, &path));
        let urls =
            url(or("authAccessTokenPath", LOGIN_PATH)).zip(url(or("authRefreshTokenPath", REFRESH_PATH)));
        let (Some((login, refresh)), Some(header), true) = (urls, header, errors.is_empty()) else {
            return Err(errors);
        };
        let mut context = digest::Context::new(&digest::SHA256);
        for (key, value) in settings {
            for part in [key.as_str(), value.expose()] {
                context.update(&part.len().to_be_bytes());
                context.update(part.as_bytes());
            }
        }
        let mut credentials = [0; 32];
        credentials.copy_from_slice(context.finish().as_ref());
        let body = json!({
            "access_key": text(settings, "accessKey"),
            "access_secret_key": text(settings, "accessSecretKey"),
            "tenant_id": text(settings, "tenantId"),
        });
        let body = Secret::from(body.to_string());
        Ok(Box::new(Exchange { credentials, login: Question { url: login, body }, refresh, header }))
    }
}

/// Base and path with one slash between.
fn joined(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
    url.set_path(&format!("{}/{}", base.path().trim_end_matches('/'), path.trim_start_matches('/')));
    url.set_query(query);
    url.set_fragment(None);
    url
}

enum Header {
    /// `Authorization`, with this word before the token.
    Prefix(String),
    /// A header of its own.
    Named(HeaderName),
}

struct Exchange {
    /// Stands for the settings.
    credentials: [u8; 32],
    login: Question,
    refresh: Url,
    header: Header,
}

impl Authenticator for Exchange {
    fn apply(&self, _: &mut HeaderMap) {}

    fn asks(&self) -> Option<&dyn Asks> {
        Some(self)
    }
}

impl Asks for Exchange {
    fn credentials(&self) -> [u8; 32] {
        self.credentials
    }

    fn first(&self) -> Question {
        self.login.clone()
    }

    fn again(&self, granted: &Granted) -> Question {
        let body = json!({ "token": granted.renewed_by.expose() }).to_string().into();
        Question { url: self.refresh.clone(), body }
    }

    fn read(&self, answer: &[u8], before: Option<&Granted>, now_us: i64) -> Result<Granted, &'static str> {
        let answer: Value = serde_json::from_slice(answer).map_err(|_| "the answer is no JSON")?;
        let text = |name: &str| answer[name].as_str().filter(|text| !text.is_empty());
        let token = text("json_web_token").ok_or("the answer has no json_web_token")?;
        if HeaderValue::try_from(token).is_err() {
            return Err("its json_web_token fits no header");
        }
        let renewed_by = text("token").map(Secret::from);
        let renewed_by = renewed_by.or_else(|| before.map(|before| before.renewed_by.clone()));
        let lifetime_us = i64::try_from(LIFETIME.as_micros()).unwrap_or(i64::MAX);
        Ok(Granted {
            credential: Secret::from(token),
            renewed_by: renewed_by.ok_or("the answer has no token")?,
            renew_at_us: expiry_us(token).map_or(now_us + lifetime_us, |expiry_us| expiry_us - EARLIER_US),
        })
    }

    fn apply(&self, granted: &Granted, headers: &mut HeaderMap) {
        let token = granted.credential.expose();
        let (name, value) = match &self.header {
            Header::Prefix(word) => (AUTHORIZATION, format!("{word} {token}")),
            Header::Named(name) => (name.clone(), token.to_owned()),
        };
        if let Ok(mut value) = HeaderValue::try_from(value) {
            value.set_sensitive(true);
            headers.insert(name, value);
        }
    }
}

/// When a JSON Web Token expires (RFC 7519, `exp`), in microseconds since 1970; none where it does not say.
fn expiry_us(token: &str) -> Option<i64> {
    let claims = URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?.trim_end_matches('=')).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    claims["exp"].as_i64()?.checked_mul(1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prepared(change: &[(&str, &str)]) -> Result<Box<dyn Authenticator>, Vec<Error>> {
        let mut settings = BTreeMap::from(
            [
                ("accessKey", "SCLTZ1UG33"),
                ("accessSecretKey", "tfMaboPDU9"),
                ("tenantId", "1697761359"),
                ("authBaseUrl", "https://ims.example/base/"),
            ]
            .map(|(key, value)| (key.to_owned(), Secret::from(value))),
        );
        settings.extend(change.iter().map(|(key, value)| ((*key).to_owned(), Secret::from(*value))));
        Ims.prepare(&settings)
    }

    // R-AR-43 R-AR-44 R-AR-45 R-AR-46 R-AR-47 R-AR-48 R-AR-49
    #[test]
    fn a_key_is_exchanged_and_the_token_after_it() {
        let scheme = prepared(&[]).unwrap();
        let ims = scheme.asks().unwrap();
        let login = ims.first();
        assert_eq!(login.url.as_str(), "https://ims.example/base/ims/api/v1/access_keys/login");
        let body: Value = serde_json::from_str(login.body.expose()).unwrap();
        let expected = json!({ "access_key": "SCLTZ1UG33", "access_secret_key": "tfMaboPDU9", "tenant_id": "1697761359" });
        assert_eq!(body, expected);

        let expires = URL_SAFE_NO_PAD.encode(r#"{"exp": 1000}"#);
        let answer = json!({ "token": "t1", "json_web_token": format!("h.{expires}.s"), "more": [] });
        let granted = ims.read(answer.to_string().as_bytes(), None, 0).unwrap();
        assert_eq!(granted.renew_at_us, 940_000_000);
        let mut headers = HeaderMap::new();
        ims.apply(&granted, &mut headers);
        assert_eq!(headers[AUTHORIZATION], format!("IMS-JWT h.{expires}.s"));
        let again = ims.again(&granted);
        assert_eq!(
            (again.url.as_str(), again.body.expose()),
            ("https://ims.example/base/ims/api/v1/auth/tokens", "{\"token\":\"t1\"}")
        );
        let renewed = ims.read(b"{\"json_web_token\": \"j2\"}", Some(&granted), 7).unwrap();
        assert_eq!((renewed.renewed_by.expose(), renewed.renew_at_us), ("t1", 600_000_007));
    }

    #[test]
    fn the_name_can_be_a_header_and_paths_can_be_others() {
        let scheme = prepared(&[
            ("headerMode", "name"),
            ("authHeaderTokenName", "X-Ims"),
            ("authAccessTokenPath", "login?a=b"),
        ]);
        let scheme = scheme.unwrap();
        let ims = scheme.asks().unwrap();
        assert_eq!(ims.first().url.as_str(), "https://ims.example/base/login?a=b");
        let granted = ims.read(b"{\"token\": \"t\", \"json_web_token\": \"j\"}", None, 0).unwrap();
        let mut headers = HeaderMap::new();
        ims.apply(&granted, &mut headers);
        assert_eq!(headers["x-ims"], "j");
        assert_ne!(ims.credentials(), prepared(&[]).unwrap().asks().unwrap().credentials());
    }

    #[test]
    fn what_cannot_be_used_is_told_by_its_key() {
        for (key, value) in [
            ("authBaseUrl", "ims.example"),
            ("authBaseUrl", "https://u:p@ims.example"),
            ("accessSecretKey", ""),
            ("tenantId", "a\nb"),
            ("authHeaderTokenName", "two words"),
            ("headerMode", "both"),
        ] {
            let Err(errors) = prepared(&[(key, value)]) else { panic!("{key} = {value:?} is taken") };
            assert_eq!(errors[0].key(), key, "{errors:?}");
        }
        let scheme = prepared(&[]).unwrap();
        let ims = scheme.asks().unwrap();
        for answer in [
            "",
            "[]",
            "{\"token\": \"t\"}",
            "{\"json_web_token\": \"j\"}",
            "{\"token\": \"t\", \"json_web_token\": \"a\\nb\"}",
        ] {
            assert!(ims.read(answer.as_bytes(), None, 0).is_err(), "{answer}");
        }
    }
}
