//! Credentials of endpoints, one file per scheme.

mod basic;
mod bearer;
mod headers;
mod ims;
mod no_auth;

use crate::secret::Secret;
use crate::webhook::Authentication;
use http::HeaderMap;
use std::collections::BTreeMap;
use url::Url;

/// Every scheme. A new one is a file and a line here.
pub const SCHEMES: &[&dyn Scheme] =
    &[&no_auth::NoAuth, &basic::Basic, &bearer::Bearer, &headers::Headers, &ims::Ims];

/// The scheme of a callback that names none.
pub const DEFAULT: &str = "NO_AUTH";

/// The scheme of that name, in any letter case.
pub fn find(name: &str) -> Option<&'static dyn Scheme> {
    SCHEMES.iter().copied().find(|scheme| scheme.name().eq_ignore_ascii_case(name))
}

/// Checks credentials as a configuration or a registration gives them: the scheme's name in any letter case,
/// the texts under their keys. The entries of a setting of shape [`Shape::Table`] stand among the settings
/// under their own names. All that is wrong is reported at once; no error tells a secret.
pub fn check(scheme: &str, settings: BTreeMap<String, Secret>) -> Result<Authentication, Vec<Error>> {
    let Some(scheme) = find(scheme) else {
        return Err(vec![Error::UnknownScheme { scheme: scheme.to_owned() }]);
    };
    let mut errors = Vec::new();
    let takes_any_key = scheme.settings().iter().any(|setting| setting.shape == Shape::Table);
    for setting in scheme.settings() {
        if setting.shape == Shape::Text && setting.required && !settings.contains_key(setting.name) {
            errors.push(Error::Missing { scheme: scheme.name(), key: setting.name });
        }
    }
    for key in settings.keys() {
        if !takes_any_key && !scheme.settings().iter().any(|setting| setting.name == key) {
            errors.push(Error::Unknown { scheme: scheme.name(), key: key.clone() });
        }
    }
    if errors.is_empty() {
        match scheme.prepare(&settings) {
            Ok(_) => return Ok(Authentication { scheme: scheme.name(), settings }),
            Err(invalid) => errors.extend(invalid),
        }
    }
    Err(errors)
}

/// Makes ready what [`check`] has accepted.
pub fn prepare(authentication: &Authentication) -> Result<Box<dyn Authenticator>, Vec<Error>> {
    match find(authentication.scheme) {
        Some(scheme) => scheme.prepare(&authentication.settings),
        None => Err(vec![Error::UnknownScheme { scheme: authentication.scheme.to_owned() }]),
    }
}

/// The headers that authenticate a request now; none where [`prepare`] would fail.
pub fn headers_of(authentication: &Authentication) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Ok(authenticator) = prepare(authentication) {
        authenticator.apply(&mut headers);
    }
    headers
}

/// A way to authenticate.
pub trait Scheme: Sync {
    /// Its name in the configuration: `BASIC`.
    fn name(&self) -> &'static str;

    /// The settings it reads.
    fn settings(&self) -> &'static [Setting];

    /// Reads the settings; what is wrong with them is reported all at once.
    fn prepare(&self, settings: &BTreeMap<String, Secret>) -> Result<Box<dyn Authenticator>, Vec<Error>>;
}

/// Credentials that are ready to be used.
pub trait Authenticator: Send + Sync {
    /// Adds them to the headers of a request, as far as they are known without asking.
    fn apply(&self, headers: &mut HeaderMap);

    /// What has to be asked for; none where everything is known.
    fn asks(&self) -> Option<&dyn Asks> {
        None
    }
}

/// Credentials that have to be asked for, and asked for again before they expire.
pub trait Asks: Sync {
    /// Stands for what they are asked with: the same means that what is granted can be shared.
    fn credentials(&self) -> [u8; 32];

    /// The question where nothing has been granted.
    fn first(&self) -> Question;

    /// The question for what comes after.
    fn again(&self, granted: &Granted) -> Question;

    /// Reads the answer to either, `before` being what was granted before it; an error says why it is none.
    fn read(&self, answer: &[u8], before: Option<&Granted>, now_us: i64) -> Result<Granted, &'static str>;

    /// Adds what was granted to the headers of a request.
    fn apply(&self, granted: &Granted, headers: &mut HeaderMap);
}

/// What is asked, by a POST of JSON.
#[derive(Clone, Debug)]
pub struct Question {
    /// Whom.
    pub url: Url,
    /// The body.
    pub body: Secret,
}

impl Question {
    /// Who is asked, without path and query.
    pub fn place(&self) -> String {
        self.url.origin().ascii_serialization()
    }
}

/// What was granted.
#[derive(Clone, Debug)]
pub struct Granted {
    /// What authenticates.
    pub credential: Secret,
    /// What it is exchanged by.
    pub renewed_by: Secret,
    /// From when on it is to be exchanged, in microseconds since 1970.
    pub renew_at_us: i64,
}

/// A setting of a scheme, beside `type` in `callback.authentication`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its key.
    pub name: &'static str,
    /// What it is for, as half a sentence.
    pub about: &'static str,
    /// What it looks like.
    pub shape: Shape,
    /// Whether it must be there.
    pub required: bool,
    /// Whether it is masked when shown.
    pub secret: bool,
}

/// What a setting looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// One text.
    Text,
    /// A table of texts, whose keys are the operator's own.
    Table,
}

/// What is wrong with credentials. The key says where; the value is never told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No scheme has this name.
    #[error("unknown authentication type {scheme:?}")]
    UnknownScheme {
        /// As it was given.
        scheme: String,
    },
    /// A setting is not there.
    #[error("authentication type {scheme} needs \"{key}\"")]
    Missing {
        /// The scheme.
        scheme: &'static str,
        /// The setting.
        key: &'static str,
    },
    /// The scheme has no such setting.
    #[error("authentication type {scheme} has no setting {key:?}")]
    Unknown {
        /// The scheme.
        scheme: &'static str,
        /// As it was given.
        key: String,
    },
    /// A setting cannot be used.
    #[error("authentication type {scheme}: {key:?} {reason}")]
    Invalid {
        /// The scheme.
        scheme: &'static str,
        /// The setting.
        key: String,
        /// What is wrong with it: `must not be empty`.
        reason: &'static str,
    },
}

impl Error {
    /// The key in `callback.authentication` that the error is about; in `headers`, the header's name.
    pub fn key(&self) -> &str {
        match self {
            Self::UnknownScheme { .. } => "type",
            Self::Missing { key, .. } => key,
            Self::Unknown { key, .. } | Self::Invalid { key, .. } => key,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> String {
        match self {
            Self::UnknownScheme { .. } => {
                let names: Vec<_> = SCHEMES.iter().map(|scheme| scheme.name()).collect();
                format!("use one of {}", names.join(", "))
            }
            Self::Missing { key, .. } => format!("add \"{key}\" beside \"type\""),
            Self::Unknown { scheme, .. } => {
                let known = find(scheme).map_or(&[][..], Scheme::settings);
                let names: Vec<_> = known.iter().map(|setting| setting.name).collect();
                if names.is_empty() {
                    format!("{scheme} has no settings")
                } else {
                    format!("its settings are {}", names.join(", "))
                }
            }
            Self::Invalid { key, .. } => format!("correct \"{key}\""),
        }
    }
}

/// A setting's text; the empty text where it is missing, for [`check`] has said so before.
fn text<'a>(settings: &'a BTreeMap<String, Secret>, key: &str) -> &'a str {
    settings.get(key).map_or("", Secret::expose)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(pairs: &[(&str, &str)]) -> BTreeMap<String, Secret> {
        pairs.iter().map(|(key, text)| ((*key).to_owned(), Secret::from(*text))).collect()
    }

    /// The headers of a request, one per line; or the errors.
    #[track_caller]
    fn check(scheme: &str, pairs: &[(&str, &str)], expected: &str) {
        let found = match super::check(scheme, settings(pairs)) {
            Err(errors) => errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"),
            Ok(authentication) => {
                let mut headers = HeaderMap::new();
                prepare(&authentication).ok().unwrap().apply(&mut headers);
                assert!(headers.values().all(http::HeaderValue::is_sensitive));
                let lines =
                    headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()));
                lines.collect::<Vec<_>>().join("\n")
            }
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn schemes_are_found_in_any_letter_case() {
        for scheme in SCHEMES {
            assert_eq!(find(&scheme.name().to_lowercase()).unwrap().name(), scheme.name());
        }
        check("no_auth", &[], "");
        check("KERBEROS", &[], "unknown authentication type \"KERBEROS\"");
        let errors = super::check("KERBEROS", settings(&[])).unwrap_err();
        assert_eq!(errors[0].hint(), "use one of NO_AUTH, BASIC, BEARER, HEADERS, IMS");
    }

    // R-CG-14
    #[test]
    fn basic() {
        check("BASIC", &[("username", ""), ("password", "")], "");
        check(
            "Basic",
            &[("username", "Aladdin"), ("password", "open sesame")],
            "authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        );
        check("BASIC", &[("username", "a"), ("password", "")], "authorization: Basic YTo=");
        check(
            "BASIC",
            &[("user", "a")],
            "authentication type BASIC needs \"username\"\n\
             authentication type BASIC needs \"password\"\n\
             authentication type BASIC has no setting \"user\"",
        );
        check(
            "BASIC",
            &[("username", "a:b"), ("password", "x\ny")],
            "authentication type BASIC: \"username\" must not have a colon\n\
             authentication type BASIC: \"password\" must not have control characters",
        );
    }

    #[test]
    fn bearer() {
        check("BEARER", &[("token", "abc.DEF-_~+/=")], "authorization: Bearer abc.DEF-_~+/=");
        let refused =
            "authentication type BEARER: \"token\" must be letters, digits and -._~+/= without spaces";
        for token in ["", "a b", "a\n", "ä", "Bearer x"] {
            check("BEARER", &[("token", token)], refused);
        }
    }

    #[test]
    fn headers() {
        check(
            "HEADERS",
            &[("X-Api-Key", "k 1"), ("Authorization", "Token t")],
            "authorization: Token t\nx-api-key: k 1",
        );
        check(
            "HEADERS",
            &[("Host", "a"), ("webhook-id", "b"), ("X-A\nB", "c"), ("X-C", "d\r\nX-D: e")],
            "authentication type HEADERS: \"Host\" is set by walhook itself\n\
             authentication type HEADERS: \"X-A\\nB\" is not a header name\n\
             authentication type HEADERS: \"X-C\" has a value that no header can have\n\
             authentication type HEADERS: \"webhook-id\" is set by walhook itself",
        );
        check(
            "HEADERS",
            &[("X-A", "1"), ("x-a", "2")],
            "authentication type HEADERS: \"x-a\" is there twice, in different letter cases",
        );
        check("HEADERS", &[], "authentication type HEADERS: \"headers\" must not be empty");
    }

    #[test]
    fn errors_and_debug_tell_no_secret() {
        for scheme in ["BASIC", "BEARER", "HEADERS"] {
            let given =
                settings(&[("username", "hunter2:"), ("password", "hunter2\n"), ("token", "hunter2 ")]);
            if let Err(errors) = super::check(scheme, given.clone()) {
                assert!(!format!("{errors:?}").contains("hunter2"));
            }
            assert!(!format!("{given:?}").contains("hunter2"));
        }
    }
}
