//! Signatures as Standard Webhooks has them (specification 1.0): HMAC-SHA256 (`v1`) and Ed25519 (`v1a`).

use crate::delivery::{Body, DeliveryId};
use crate::secret::Secret;
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::alphabet::STANDARD as ALPHABET;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use http::HeaderValue;

/// Keys are copied by hand, and some tools leave out the padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &ALPHABET,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

const SYMMETRIC_PREFIX: &str = "whsec_";
const PRIVATE_PREFIX: &str = "whsk_";
const PUBLIC_PREFIX: &str = "whpk_";

/// How long a symmetric key may be, in bytes; the specification asks for it.
const SYMMETRIC_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What is wrong with a signing secret. The secret is never told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It has another form.
    #[error("a signing secret begins with whsec_ (symmetric) or whsk_ (Ed25519)")]
    Prefix,
    /// It is the key for receivers.
    #[error("a signing secret is the private key (whsk_), not the public one (whpk_)")]
    Public,
    /// It cannot be read.
    #[error("the signing secret is not base64 after its prefix")]
    Encoding,
    /// It is too short or too long.
    #[error("the signing secret has {found} bytes, not 24 to 64")]
    SymmetricLength {
        /// Its length.
        found: usize,
    },
    /// It is no Ed25519 key.
    #[error("the signing secret has {found} bytes, not the 32 or 64 of an Ed25519 key")]
    PrivateLength {
        /// Its length.
        found: usize,
    },
    /// Its two halves do not belong together.
    #[error("the signing secret's public half does not belong to its private half")]
    PrivateMismatch,
}

impl KeyError {
    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        "make one with: printf 'whsec_%s\\n' \"$(openssl rand -base64 32)\""
    }
}

/// Checks a signing secret.
pub fn check(secret: &Secret) -> Result<(), KeyError> {
    Key::read(secret).map(drop)
}

/// The public key of an Ed25519 signing secret, as receivers need it (`whpk_…`); none for a symmetric one.
pub fn public_key(secret: &Secret) -> Result<Option<String>, KeyError> {
    Ok(match Key::read(secret)? {
        Key::Symmetric(_) => None,
        Key::Private(pair) => Some(format!("{PUBLIC_PREFIX}{}", STANDARD.encode(pair.public_key()))),
    })
}

enum Key {
    Symmetric(Box<hmac::Key>),
    Private(Box<Ed25519KeyPair>),
}

impl Key {
    fn read(secret: &Secret) -> Result<Self, KeyError> {
        let text = secret.expose().trim();
        if let Some(encoded) = text.strip_prefix(SYMMETRIC_PREFIX) {
            let bytes = LENIENT.decode(encoded).map_err(|_| KeyError::Encoding)?;
            if !SYMMETRIC_BYTES.contains(&bytes.len()) {
                return Err(KeyError::SymmetricLength { found: bytes.len() });
            }
            return Ok(Self::Symmetric(Box::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes))));
        }
        if let Some(encoded) = text.strip_prefix(PRIVATE_PREFIX) {
            let bytes = LENIENT.decode(encoded).map_err(|_| KeyError::Encoding)?;
            let pair = match bytes.len() {
                32 => Ed25519KeyPair::from_seed_unchecked(&bytes),
                64 => Ed25519KeyPair::from_seed_and_public_key(&bytes[..32], &bytes[32..]),
                found => return Err(KeyError::PrivateLength { found }),
            };
            return Ok(Self::Private(Box::new(pair.map_err(|_| KeyError::PrivateMismatch)?)));
        }
        Err(if text.starts_with(PUBLIC_PREFIX) { KeyError::Public } else { KeyError::Prefix })
    }
}

/// Signs deliveries with every secret of a webhook, so that receivers can change theirs in between.
#[derive(Default)]
pub(super) struct Signer(Vec<Key>);

impl Signer {
    /// With these secrets; none means unsigned.
    pub(super) fn new(secrets: &[Secret]) -> Result<Self, KeyError> {
        secrets.iter().map(Key::read).collect::<Result<_, _>>().map(Self)
    }

    /// The `webhook-signature` header; none without secrets. The timestamp is in seconds since 1970 UTC.
    pub(super) fn sign(&self, id: DeliveryId, timestamp: i64, body: &Body) -> Option<HeaderValue> {
        self.sign_text(id, timestamp, [&body.head, &body.tail])
    }

    /// The `webhook-signature-entry` header of a message with files: the same for its JSON alone. The libraries that check
    /// signatures take the body for text, and with files it is none.
    pub(super) fn sign_entry(&self, id: DeliveryId, timestamp: i64, body: &Body) -> Option<HeaderValue> {
        if self.0.is_empty() {
            return None;
        }
        let [head, tail] = body.entry_part()?;
        self.sign_text(id, timestamp, [&head, &tail])
    }

    fn sign_text(&self, id: DeliveryId, timestamp: i64, [head, tail]: [&[u8]; 2]) -> Option<HeaderValue> {
        if self.0.is_empty() {
            return None;
        }
        let intro = format!("{id}.{timestamp}.");
        let mut header = String::new();
        for key in &self.0 {
            if !header.is_empty() {
                header.push(' ');
            }
            match key {
                Key::Symmetric(key) => {
                    let mut context = hmac::Context::with_key(key);
                    for part in [intro.as_bytes(), head, tail] {
                        context.update(part);
                    }
                    header.push_str("v1,");
                    STANDARD.encode_string(context.sign(), &mut header);
                }
                // Ed25519 reads its text twice, so it needs it in one piece
                Key::Private(pair) => {
                    let signed = [intro.as_bytes(), head, tail].concat();
                    header.push_str("v1a,");
                    STANDARD.encode_string(pair.sign(&signed), &mut header);
                }
            }
        }
        Some(header.try_into().expect("base64, commas and spaces are visible ASCII"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::signature::{ED25519, UnparsedPublicKey};
    use bytes::Bytes;

    const OLD: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
    const NEW: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";

    fn body() -> Body {
        Body {
            head: Bytes::from_static(b"{\"test\":"),
            tail: Bytes::from_static(b"2432232314}"),
            content_type: "application/json".into(),
        }
    }

    fn signature(secrets: &[&str], timestamp: i64) -> Option<HeaderValue> {
        let secrets: Vec<Secret> = secrets.iter().map(|secret| Secret::from(*secret)).collect();
        Signer::new(&secrets).unwrap().sign(DeliveryId([7; 16]), timestamp, &body())
    }

    fn now() -> i64 {
        jiff::Timestamp::now().as_second()
    }

    #[test]
    fn the_official_library_accepts_our_signatures() {
        let timestamp = now();
        let mut headers = http::HeaderMap::new();
        headers.insert("webhook-id", DeliveryId([7; 16]).to_string().try_into().unwrap());
        headers.insert("webhook-timestamp", timestamp.into());
        headers.insert("webhook-signature", signature(&[NEW, OLD], timestamp).unwrap());
        for secret in [OLD, NEW] {
            let library = standardwebhooks::Webhook::new(secret).unwrap();
            library.verify(b"{\"test\":2432232314}", &headers).unwrap();
            library.verify(b"{\"test\":2432232315}", &headers).unwrap_err();
        }
        let other = format!("whsec_{}", STANDARD.encode([1; 24]));
        standardwebhooks::Webhook::new(&other)
            .unwrap()
            .verify(b"{\"test\":2432232314}", &headers)
            .unwrap_err();
    }

    #[test]
    fn ed25519_signatures_verify_with_the_public_key() {
        let private = format!("whsk_{}", STANDARD.encode([9; 32]));
        let public = public_key(&Secret::from(private.as_str())).unwrap().unwrap();
        let public = STANDARD.decode(public.strip_prefix("whpk_").unwrap()).unwrap();
        let both = format!("whsk_{}", STANDARD.encode([&[9; 32], &public[..]].concat()));
        for secret in [private, both] {
            let header = signature(&[OLD, &secret], 1_674_087_231).unwrap();
            let (_, ours) = header.to_str().unwrap().split_once(' ').unwrap();
            let ours = STANDARD.decode(ours.strip_prefix("v1a,").unwrap()).unwrap();
            let signed = format!("{}.1674087231.{{\"test\":2432232314}}", DeliveryId([7; 16]));
            UnparsedPublicKey::new(&ED25519, &public).verify(signed.as_bytes(), &ours).unwrap();
        }
    }

    #[test]
    fn without_secrets_there_is_no_signature() {
        assert_eq!(signature(&[], 0), None);
    }

    #[test]
    fn bad_secrets_are_refused_without_telling_them() {
        #[track_caller]
        fn check(secret: &str, expected: KeyError) {
            assert_eq!(super::check(&Secret::from(secret)), Err(expected));
        }
        check("hunter2", KeyError::Prefix);
        check("", KeyError::Prefix);
        check("whsec_hunter2!", KeyError::Encoding);
        check("whsec_", KeyError::SymmetricLength { found: 0 });
        check("whsec_aHVudGVyMg==", KeyError::SymmetricLength { found: 7 });
        check("whsk_aHVudGVyMg==", KeyError::PrivateLength { found: 7 });
        check("whpk_aHVudGVyMg==", KeyError::Public);
        check(&format!("whsk_{}", STANDARD.encode([9; 64])), KeyError::PrivateMismatch);
        assert_eq!(super::check(&Secret::from(OLD)), Ok(()));
        let unpadded = STANDARD.encode([1; 32]);
        assert_eq!(super::check(&format!("whsec_{}", unpadded.trim_end_matches('=')).into()), Ok(()));
    }
}
