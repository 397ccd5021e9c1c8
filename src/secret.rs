//! Text that must not be seen: passwords, tokens, signing keys.

use secrecy::{ExposeSecret, SecretString};
use std::fmt;

/// What is shown instead of a secret, everywhere.
pub const MASK: &str = "********";

/// A text that is wiped from memory when dropped and shows itself as a mask.
#[derive(Clone)]
pub struct Secret(SecretString);

impl Secret {
    /// The text itself, for the place that needs it: a header, a signature, a login.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self(text.to_owned().into())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.expose() == other.expose()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_itself_as_a_mask() {
        assert_eq!(format!("{:?}", Secret::from("Demo123")), MASK);
        assert_eq!(Secret::from("Demo123").expose(), "Demo123");
    }
}
