//! Secrets that wait in a database that is not ours: sealed with a key that only walhook has.
//!
//! A sealed text is `sealed:v1:<key id>:<base64url of nonce, ciphertext and tag>` (AES-256-GCM, random nonces).
//! What it belongs to, its [`context`], is authenticated with it: copied to another webhook or another field it
//! cannot be opened. Keys are changed by having two for a while: the newest seals, all of them open.

use crate::remedy::{Remediable, Remedy};
use crate::secret::Secret;
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{digest, hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::zeroize::Zeroize as _;
use secrecy::{ExposeSecret, ExposeSecretMut, SecretBox};
use std::fmt;
use std::sync::Arc;

/// How every sealed text begins, whatever its version. A damaged or newer one is never taken for plain text.
const SEALED: &str = "sealed:v";

/// How the sealed texts of this version begin.
const VERSION: &str = "sealed:v1:";

/// How the text of a key begins.
const KEY: &str = "whk_";

/// The bytes of a key.
const KEY_BYTES: usize = 32;

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It does not look like one.
    #[error("a sealing key is whk_ and 43 characters of base64url")]
    Malformed,
    /// There is none at all.
    #[error("there is no sealing key")]
    None,
}

impl Remediable for KeyError {
    fn remedy(&self) -> Remedy {
        Remedy::CallOperator
    }

    fn hint(&self) -> Option<String> {
        Some("`walhook key new` makes a key".to_owned())
    }
}

/// Why a sealed text cannot be opened. Neither the text nor what is in it is ever quoted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// It was sealed with a key that is not there.
    #[error("the secret was sealed with the key {key_id}, which is not among the keys of walhook")]
    UnknownKey {
        /// The key's id.
        key_id: String,
    },
    /// It is not as it was when it was sealed, or was sealed for another place.
    #[error("the sealed secret of {context} is damaged, or was copied from another webhook or field")]
    Damaged {
        /// Where it stands.
        context: String,
    },
    /// It is plain text, or was sealed by a newer walhook.
    #[error("the secret of {context} is not sealed in a way that this version of walhook knows")]
    NotSealed {
        /// Where it stands.
        context: String,
    },
}

impl Remediable for SealError {
    fn remedy(&self) -> Remedy {
        Remedy::CallOperator
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UnknownKey { .. } => {
                "put that key back into `[secrets] key` or the key file, behind the newest one".to_owned()
            }
            Self::Damaged { .. } | Self::NotSealed { .. } => {
                "write the secret anew: in plain text, or sealed for its place by `walhook seal`".to_owned()
            }
        })
    }
}

/// What a secret belongs to: the webhook and the field, as `webhook/7/authentication.password`.
pub fn context(webhook_id: u64, field: &str) -> String {
    format!("webhook/{webhook_id}/{field}")
}

/// Whether a text is a sealed one (even a damaged one, or one of a newer version) and not plain.
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(SEALED)
}

/// A key that seals and opens. Shows itself by its id, and is wiped from memory when dropped.
#[derive(Clone)]
pub struct SealingKey {
    id: String,
    /// Shared, so that no second copy lies about.
    bytes: Arc<SecretBox<[u8; KEY_BYTES]>>,
}

impl SealingKey {
    /// A new key of the operating system's randomness.
    pub fn generate() -> Self {
        Self::of(SecretBox::init_with_mut(|bytes: &mut [u8; KEY_BYTES]| {
            rand::fill(bytes).expect("the system has randomness, or nothing of TLS would work");
        }))
    }

    /// Reads the text of a key.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let encoded = text.trim().strip_prefix(KEY).ok_or(KeyError::Malformed)?;
        let mut decoded = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| KeyError::Malformed)?;
        let mut bytes = SecretBox::new(Box::new([0; KEY_BYTES]));
        let fits = decoded.len() == KEY_BYTES;
        if fits {
            bytes.expose_secret_mut().copy_from_slice(&decoded);
        }
        decoded.zeroize();
        if fits { Ok(Self::of(bytes)) } else { Err(KeyError::Malformed) }
    }

    fn of(bytes: SecretBox<[u8; KEY_BYTES]>) -> Self {
        let hash = digest::digest(&digest::SHA256, bytes.expose_secret());
        let id = hash.as_ref().iter().take(4).fold(String::new(), |id, byte| format!("{id}{byte:02x}"));
        Self { id, bytes: Arc::new(bytes) }
    }

    /// Which key it is: the first eight hexadecimal digits of its SHA-256. May be shown.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// As it is kept: `whk_` and base64url.
    pub fn text(&self) -> Secret {
        let mut encoded = URL_SAFE_NO_PAD.encode(self.bytes.expose_secret());
        let text = Secret::from(format!("{KEY}{encoded}"));
        encoded.zeroize();
        text
    }

    /// What signs for a purpose: a key of its own, made of this one.
    fn signing(&self, purpose: &str) -> hmac::Key {
        let root = hmac::Key::new(hmac::HMAC_SHA256, self.bytes.expose_secret());
        hmac::Key::new(hmac::HMAC_SHA256, hmac::sign(&root, purpose.as_bytes()).as_ref())
    }

    fn cipher(&self) -> RandomizedNonceKey {
        RandomizedNonceKey::new(&AES_256_GCM, self.bytes.expose_secret()).expect("a key has 32 bytes")
    }
}

impl PartialEq for SealingKey {
    fn eq(&self, other: &Self) -> bool {
        self.bytes.expose_secret() == other.bytes.expose_secret()
    }
}

impl Eq for SealingKey {}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SealingKey").field(&self.id).finish()
    }
}

/// The keys: one that seals, and older ones that still open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    newest: SealingKey,
    older: Vec<SealingKey>,
}

impl Keys {
    /// The first key seals, all of them open.
    pub fn new(keys: Vec<SealingKey>) -> Result<Self, KeyError> {
        let mut keys = keys.into_iter();
        Ok(Self { newest: keys.next().ok_or(KeyError::None)?, older: keys.collect() })
    }

    /// The ids, the newest first. May be shown.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.all().map(SealingKey::id)
    }

    fn all(&self) -> impl Iterator<Item = &SealingKey> {
        std::iter::once(&self.newest).chain(&self.older)
    }

    /// Seals a text for its place. Sealed twice, a text looks different each time.
    pub fn seal(&self, plain: &str, context: &str) -> String {
        let mut text = plain.as_bytes().to_vec();
        // enough for the tag: growing would leave a copy of the plain text behind
        text.reserve_exact(AES_256_GCM.tag_len());
        let nonce = self
            .newest
            .cipher()
            .seal_in_place_append_tag(Aad::from(context.as_bytes()), &mut text)
            .expect("a secret is shorter than 64 GiB");
        let sealed = [nonce.as_ref().as_slice(), &text].concat();
        format!("{VERSION}{}:{}", self.newest.id, URL_SAFE_NO_PAD.encode(sealed))
    }

    /// Opens a text that was sealed for this place.
    pub fn open(&self, text: &str, context: &str) -> Result<Secret, SealError> {
        let (key_id, encoded) =
            parts(text).ok_or_else(|| SealError::NotSealed { context: context.to_owned() })?;
        let mut keys = self.all().filter(|key| key.id == key_id).peekable();
        if keys.peek().is_none() {
            return Err(SealError::UnknownKey { key_id: key_id.to_owned() });
        }
        let damaged = || SealError::Damaged { context: context.to_owned() };
        let bytes = URL_SAFE_NO_PAD.decode(encoded).map_err(|_| damaged())?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_LEN).ok_or_else(damaged)?;
        // two keys may share an id, though hardly ever
        keys.find_map(|key| opened(key, nonce, sealed, context)).ok_or_else(damaged)
    }

    /// Signs a text for a purpose with the newest key (HMAC-SHA-256).
    pub fn sign(&self, purpose: &str, text: &[u8]) -> Vec<u8> {
        hmac::sign(&self.newest.signing(purpose), text).as_ref().to_vec()
    }

    /// Whether one of the keys has signed a text for this purpose. How long it takes tells nothing of the signature.
    pub fn has_signed(&self, purpose: &str, text: &[u8], signature: &[u8]) -> bool {
        self.all().any(|key| hmac::verify(&key.signing(purpose), text, signature).is_ok())
    }

    /// Whether a text was sealed with the newest key.
    pub fn is_current(&self, text: &str) -> bool {
        parts(text).is_some_and(|(key_id, _)| key_id == self.newest.id)
    }

    /// Seals a sealed text with the newest key, for the same place; one that is current stays as it is.
    pub fn reseal(&self, text: &str, context: &str) -> Result<String, SealError> {
        if self.is_current(text) {
            return Ok(text.to_owned());
        }
        Ok(self.seal(self.open(text, context)?.expose(), context))
    }
}

/// The key's id and the rest.
fn parts(text: &str) -> Option<(&str, &str)> {
    text.strip_prefix(VERSION)?.split_once(':')
}

fn opened(key: &SealingKey, nonce: &[u8], sealed: &[u8], context: &str) -> Option<Secret> {
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut buffer = sealed.to_vec();
    let plain = key.cipher().open_in_place(nonce, Aad::from(context.as_bytes()), &mut buffer).ok();
    let plain = plain.and_then(|plain| std::str::from_utf8(plain).ok()).map(Secret::from);
    buffer.zeroize();
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keys(count: usize) -> Vec<SealingKey> {
        (0..count).map(|_| SealingKey::generate()).collect()
    }

    fn one() -> Keys {
        Keys::new(keys(1)).unwrap()
    }

    const HERE: &str = "webhook/7/authentication.password";

    #[test]
    fn what_is_sealed_can_be_opened_where_it_belongs_and_nowhere_else() {
        let keys = one();
        let sealed = keys.seal("Demo123", HERE);
        assert!(is_sealed(&sealed) && keys.is_current(&sealed) && !sealed.contains("Demo123"), "{sealed}");
        assert_eq!(keys.open(&sealed, HERE).unwrap().expose(), "Demo123");
        assert_eq!(HERE, context(7, "authentication.password"));
        for elsewhere in [context(8, "authentication.password"), context(7, "authentication.token")] {
            let error = SealError::Damaged { context: elsewhere.clone() };
            assert_eq!(keys.open(&sealed, &elsewhere), Err(error));
        }
        assert_ne!(keys.seal("Demo123", HERE), sealed, "nonces are random");
    }

    #[test]
    fn a_key_is_read_as_it_is_written_and_shows_only_its_id() {
        let key = SealingKey::generate();
        let text = key.text();
        assert_eq!(text.expose().len(), 4 + 43);
        assert_eq!(SealingKey::parse(text.expose()), Ok(key.clone()));
        assert_eq!(SealingKey::parse(&format!(" {}\n", text.expose())).unwrap().id(), key.id());
        assert_eq!(format!("{key:?}"), format!("SealingKey({:?})", key.id()));
        assert_eq!(key.id().len(), 8);
        let zeros = SealingKey::parse("whk_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA").unwrap();
        assert_eq!(zeros.id(), "66687aad", "SHA-256 of 32 zero bytes");
    }

    #[test]
    fn what_is_no_key_is_refused_without_being_quoted() {
        let long = format!("whk_{}", "A".repeat(44));
        for text in ["", "whk_", "Demo123", "whk_AAAA", "whsec_AAAA", long.as_str(), "whk_?"] {
            let error = SealingKey::parse(text).unwrap_err();
            assert_eq!(error, KeyError::Malformed);
            assert!(text.len() < 5 || !error.to_string().contains(text));
        }
        assert_eq!(Keys::new(Vec::new()), Err(KeyError::None));
    }

    #[test]
    fn keys_are_changed_with_two_at_once() {
        let mut two = keys(2);
        let old = Keys::new(vec![two[1].clone()]).unwrap();
        let sealed = old.seal("Demo123", HERE);
        let both = Keys::new(two.clone()).unwrap();
        assert!(!both.is_current(&sealed));
        assert_eq!(both.open(&sealed, HERE).unwrap().expose(), "Demo123");
        let again = both.reseal(&sealed, HERE).unwrap();
        assert!(both.is_current(&again));
        assert_eq!(both.reseal(&again, HERE).as_ref(), Ok(&again), "current ones stay as they are");
        two.truncate(1);
        let new = Keys::new(two).unwrap();
        assert_eq!(new.open(&again, HERE).unwrap().expose(), "Demo123");
        let error = new.open(&sealed, HERE).unwrap_err();
        assert_eq!(error, SealError::UnknownKey { key_id: old.newest.id().to_owned() });
        assert!(error.hint().unwrap().contains("[secrets] key"));
        assert!(both.reseal(&sealed, "webhook/8/secret").is_err(), "nothing is moved by sealing it anew");
    }

    #[test]
    fn plain_text_and_other_versions_are_told_from_sealed_text() {
        let keys = one();
        for plain in ["", "Demo123", "sealed", "${PASSWORD}", "whsec_c2VhbGVk"] {
            assert!(!is_sealed(plain));
            assert!(matches!(keys.open(plain, HERE), Err(SealError::NotSealed { .. })));
        }
        assert!(is_sealed("sealed:v2:whatever"));
        assert!(matches!(keys.open("sealed:v2:whatever", HERE), Err(SealError::NotSealed { .. })));
        assert!(matches!(keys.open("sealed:v1:", HERE), Err(SealError::NotSealed { .. })));
    }

    proptest! {
        #[test]
        fn every_text_comes_back_and_no_changed_character_is_taken(
            plain in "\\PC{0,80}", at in any::<prop::sample::Index>(), other in "[a-zA-Z0-9:_-]"
        ) {
            let keys = one();
            let sealed = keys.seal(&plain, HERE);
            let opened = keys.open(&sealed, HERE).unwrap();
            prop_assert_eq!(opened.expose(), plain.as_str());
            let at = at.index(sealed.len());
            let mut changed = sealed.clone();
            changed.replace_range(at..=at, &other);
            prop_assert!(changed == sealed || keys.open(&changed, HERE).is_err());
            prop_assert!(keys.open(&sealed[..at], HERE).is_err());
        }
    }
}
