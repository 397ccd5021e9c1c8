//! Passwords as argon2id, tokens as SHA-256: what the configuration has instead of the secrets themselves.

use crate::secret::{MASK, Secret};
use argon2::password_hash::phc;
use argon2::{Argon2, Params, PasswordHasher as _, PasswordVerifier as _};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use std::fmt::{self, Write as _};

/// A hash may want this much memory, in KiB: each login takes it.
const MEMORY_MAX: u32 = 256 * 1024;

/// A hash may want so many rounds and lanes.
const ROUNDS_MAX: u32 = 64;

/// What tokens begin with, so that people and scanners for leaked secrets know them.
const TOKEN_PREFIX: &str = "wht_";

/// What the hash of a token begins with.
const TOKEN_HASH_PREFIX: &str = "sha256:";

/// An argon2id hash in its usual written form: `$argon2id$v=19$m=19456,t=2,p=1$salt$hash`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordHash(Secret);

impl PasswordHash {
    /// Reads a hash; otherwise says what is wrong with it, without showing it.
    pub fn parse(text: &Secret) -> Result<Self, &'static str> {
        let hash = phc::PasswordHash::new(text.expose()).map_err(|_| "this is no hash of a password")?;
        if hash.algorithm.as_str() != "argon2id" {
            return Err("this hash is not argon2id");
        }
        if hash.version.is_some_and(|version| version != 19) {
            return Err("this hash is of an old version of argon2");
        }
        if hash.salt.is_none() || hash.hash.is_none() {
            return Err("the end of this hash is missing");
        }
        let params = Params::try_from(&hash).map_err(|_| "the parameters of this hash cannot be read")?;
        if params.m_cost() > MEMORY_MAX || params.t_cost() > ROUNDS_MAX || params.p_cost() > ROUNDS_MAX {
            return Err("this hash takes more than 256 MiB, 64 rounds or 64 lanes for each login");
        }
        Ok(Self(text.clone()))
    }

    /// Makes the hash of a password, with the cost that OWASP recommends.
    pub fn of(password: &Secret) -> Result<Self, Unspecified> {
        let mut salt = [0; 16];
        rand::fill(&mut salt)?;
        let made = Argon2::default().hash_password_with_salt(password.expose().as_bytes(), &salt);
        Ok(Self(Secret::from(made.map_err(|_| Unspecified)?.to_string())))
    }

    /// As it stands in the configuration.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Whether it is this password's. Takes its time, by intent: not for a thread that others wait for.
    pub(super) fn verifies(&self, password: &Secret) -> bool {
        let Ok(hash) = phc::PasswordHash::new(self.expose()) else { return false };
        Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok()
    }
}

/// The SHA-256 of a token. A token has 256 random bits, so it needs no slower one.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// Reads `sha256:` and 64 hexadecimal digits.
    pub fn parse(text: &Secret) -> Option<Self> {
        let digits = text.expose().strip_prefix(TOKEN_HASH_PREFIX)?.as_bytes();
        let digit = |digit: u8| char::from(digit).to_digit(16);
        let mut hash = [0; 32];
        if digits.len() != 2 * hash.len() {
            return None;
        }
        for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
        }
        Some(Self(hash))
    }

    /// The hash of a token.
    pub fn of(token: &str) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, token.as_bytes()).as_ref());
        Self(hash)
    }

    /// Whether it is the hash of a token.
    pub(super) fn is_of(&self, token: &str) -> bool {
        self.equals(&Self::of(token))
    }

    pub(super) fn equals(&self, other: &Self) -> bool {
        verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

/// As it stands in the configuration.
impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(TOKEN_HASH_PREFIX)?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

/// Makes a token.
pub fn new_token() -> Result<Secret, Unspecified> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes)?;
    let mut token = String::from(TOKEN_PREFIX);
    let _ = token.write_str(&URL_SAFE_NO_PAD.encode(bytes));
    Ok(Secret::from(token))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_verifies_its_password_and_no_other() {
        let password = Secret::from("correct horse");
        let hash = PasswordHash::of(&password).unwrap();
        assert!(hash.expose().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.expose());
        assert!(hash.verifies(&password));
        assert!(!hash.verifies(&Secret::from("correct horsf")));
        assert_ne!(hash, PasswordHash::of(&password).unwrap(), "each has a salt of its own");
        assert_eq!(PasswordHash::parse(&Secret::from(hash.expose())), Ok(hash.clone()));
        assert!(!format!("{hash:?}").contains("argon2"));
    }

    /// Made by the reference implementation: `echo -n password | argon2 somesalt -id -t 2 -m 16 -p 4`.
    #[test]
    fn hashes_of_other_tools_are_understood() {
        let text = "$argon2id$v=19$m=65536,t=2,p=4$c29tZXNhbHQ$GpZ3sK/oH9p7VIiV56G/64Zo/8GaUw434IimaPqxwCo";
        let hash = PasswordHash::parse(&Secret::from(text)).unwrap();
        assert!(hash.verifies(&Secret::from("password")));
        assert!(!hash.verifies(&Secret::from("Password")));
    }

    #[test]
    fn what_is_no_good_hash_is_refused() {
        let refused = |text: &str| PasswordHash::parse(&Secret::from(text)).unwrap_err();
        let end = "c29tZXNhbHQ$GpZ3sK/oH9p7VIiV56G/64Zo/8GaUw434IimaPqxwCo";
        assert_eq!(refused("hunter22"), "this is no hash of a password");
        assert_eq!(refused(""), "this is no hash of a password");
        assert_eq!(
            refused("$2b$12$R9h/cIPz0gi.URNNX3kh2OPST9/PgBkqquzi.Ss7KIUgO2t0jWMUW"),
            "this is no hash of a password"
        );
        assert_eq!(refused(&format!("$argon2i$v=19$m=65536,t=2,p=4${end}")), "this hash is not argon2id");
        assert_eq!(
            refused(&format!("$argon2id$v=16$m=65536,t=2,p=4${end}")),
            "this hash is of an old version of argon2"
        );
        assert_eq!(refused("$argon2id$v=19$m=65536,t=2,p=4"), "the end of this hash is missing");
        assert!(refused(&format!("$argon2id$v=19$m=4194304,t=2,p=4${end}")).contains("256 MiB"));
    }

    #[test]
    fn a_token_is_long_and_known_by_its_hash() {
        let token = new_token().unwrap();
        assert!(token.expose().starts_with("wht_") && token.expose().len() == 47, "{}", token.expose());
        assert_ne!(token, new_token().unwrap());
        let hash = TokenHash::of(token.expose());
        let read = TokenHash::parse(&Secret::from(hash.to_string())).unwrap();
        assert!(read.equals(&hash));
        assert!(!read.equals(&TokenHash::of("wht_")));
        assert_eq!(
            TokenHash::of("abc").to_string(),
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        for wrong in
            ["", "sha256:", "sha256:abc", "ba7816bf", &format!("sha256:{}", "g".repeat(64)), "sha256:€"]
        {
            assert_eq!(TokenHash::parse(&Secret::from(wrong)), None, "{wrong}");
        }
    }
}
