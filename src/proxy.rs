//! Proxies that requests go out by.

use crate::secret::{MASK, Secret};
use crate::userinfo;
use crate::webhook::Origin;
use std::fmt;
use url::{Host, Url};

/// What stands in place of an address where a webhook goes out directly although there is a default.
pub const NONE: &str = "none";

/// A proxy that tunnels by HTTP's CONNECT.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its address: scheme, host and port, without credentials.
    pub url: Url,
    /// User and password.
    pub credentials: Option<(String, Secret)>,
    /// Who named it. The address guard looks at it as it looks at an endpoint that they named: the operator's own may be
    /// on an inner address also where the webhook that uses it may not.
    pub named_by: Origin,
}

/// Why a text is no proxy. The text may hold a password and is never told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// It is no URL.
    #[error("the proxy's address cannot be read: {0}")]
    Unreadable(url::ParseError),
    /// We do not speak to such proxies.
    #[error("a proxy's address begins with http:// or https://")]
    Scheme,
    /// It has more than a proxy's address can have.
    #[error("a proxy's address has no path, query or fragment")]
    Further,
    /// User or password are not written as URLs write them.
    #[error("the proxy's user or password cannot be read: % stands before two hexadecimal digits there")]
    Credentials,
    /// The password could not be told from the user.
    #[error("a proxy's user has no colon, and neither user nor password have control characters")]
    Unsendable,
}

impl Error {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Credentials | Self::Unsendable => {
                "write the characters of user and password that are not letters or digits as % and their two \
                 hexadecimal digits: %40 for @"
            }
            _ => "write it as \"http://proxy.example:3128\", or with \"user:password@\" before the host",
        }
    }
}

impl Proxy {
    /// Reads an address such as `http://user:password@proxy.example:3128`.
    pub fn parse(text: &str, named_by: Origin) -> Result<Self, Error> {
        let mut url = Url::parse(text.trim()).map_err(Error::Unreadable)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(Error::Scheme);
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(Error::Further);
        }
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => {
                let user = userinfo::decoded(user).ok_or(Error::Credentials)?;
                let password = userinfo::decoded(password.unwrap_or_default()).ok_or(Error::Credentials)?;
                let has_controls = |text: &str| text.chars().any(char::is_control);
                if user.contains(':') || has_controls(&user) || has_controls(&password) {
                    return Err(Error::Unsendable);
                }
                Some((user, Secret::from(password)))
            }
        };
        // an http or https URL has a host and so may have credentials
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(Self { url, credentials, named_by })
    }

    /// Its address as one reads it, for errors: `proxy.example:3128`.
    pub fn place(&self) -> String {
        authority(&self.url)
    }
}

impl fmt::Display for Proxy {
    /// As it is shown: with the password masked.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.url.scheme())?;
        if let Some((user, _)) = &self.credentials {
            write!(f, "{}:{MASK}@", userinfo::encoded(user))?;
        }
        f.write_str(&self.place())
    }
}

/// Host and port of a URL, the port also where it is its scheme's own: `receiver.example:443`.
pub fn authority(url: &Url) -> String {
    let host = match url.host() {
        Some(Host::Ipv6(address)) => format!("[{address}]"),
        Some(host) => host.to_string(),
        None => String::new(),
    };
    format!("{host}:{}", url.port_or_known_default().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let found = match Proxy::parse(text, Origin::File) {
            Ok(proxy) => {
                let credentials = proxy.credentials.as_ref();
                let credentials =
                    credentials.map(|(user, password)| format!(" {user} {}", password.expose()));
                assert!(!format!("{proxy:?}").contains("geheim"), "{proxy:?}");
                format!("{proxy}{}", credentials.unwrap_or_default())
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected);
    }

    #[test]
    fn addresses_are_read_and_shown_without_the_password() {
        check("http://proxy.example:3128", "http://proxy.example:3128");
        check("https://proxy.example/", "https://proxy.example:443");
        check("http://[::1]", "http://[::1]:80");
        check("http://u:geheim@proxy.example", "http://u:********@proxy.example:80 u geheim");
        check("http://u@proxy.example", "http://u:********@proxy.example:80 u ");
        check(
            "http://a%40b:%40%3Ageheim%25@proxy.example:1",
            "http://a%40b:********@proxy.example:1 a@b @:geheim%",
        );
    }

    #[test]
    fn what_is_no_proxy_is_refused_without_being_told() {
        check("proxy.example:3128", "a proxy's address begins with http:// or https://");
        check("socks5://geheim@proxy.example", "a proxy's address begins with http:// or https://");
        check("geheim", "the proxy's address cannot be read: relative URL without a base");
        for further in ["/geheim", "/?geheim", "/#geheim"] {
            let said = "a proxy's address has no path, query or fragment";
            check(&format!("http://proxy.example{further}"), said);
        }
        let said =
            "the proxy's user or password cannot be read: % stands before two hexadecimal digits there";
        for wrong in ["%", "%4", "%zz", "%+1", "%ff"] {
            check(&format!("http://u:{wrong}@proxy.example"), said);
        }
        let said = "a proxy's user has no colon, and neither user nor password have control characters";
        check("http://a%3ab:geheim@proxy.example", said);
        check("http://a:geheim%0a@proxy.example", said);
    }
}
