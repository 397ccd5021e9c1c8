//! JSON Web Signatures in compact form (RFC 7515) with the algorithms of RFC 7518, section 3.
//!
//! A key is kept as one text: base64 of the secret of an HMAC, or of the private key in PKCS #8.

use crate::policy::Algorithm;
use crate::secret::Secret;
use aws_lc_rs::encoding::AsDer as _;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, ECDSA_P521_SHA512_FIXED_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512,
    RsaEncoding, RsaKeyPair,
};
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// Why there is no key, or no signature.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is no key of that algorithm.
    #[error("this is no key for {0}")]
    Unreadable(Algorithm),
    /// The cryptographic library failed, as without randomness.
    #[error("the signature by {0} could not be made")]
    Failed(Algorithm),
}

/// A key that signs.
pub struct Key {
    algorithm: Algorithm,
    pair: Pair,
}

enum Pair {
    Shared(Box<hmac::Key>),
    Rsa(RsaKeyPair),
    Elliptic(EcdsaKeyPair),
}

/// Makes a key.
pub fn generate(algorithm: Algorithm) -> Result<Secret, Error> {
    let failed = |_| Error::Failed(algorithm);
    let encoded = match parts(algorithm) {
        Parts::Shared(hash) => {
            // as long as the hash, as RFC 7518 wants it at least
            let mut secret = vec![0; hash.digest_algorithm().output_len()];
            rand::fill(&mut secret).map_err(failed)?;
            STANDARD.encode(secret)
        }
        Parts::Rsa(_) => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(failed)?;
            STANDARD.encode(pair.as_der().map_err(failed)?.as_ref())
        }
        Parts::Elliptic(curve) => {
            let pair = EcdsaKeyPair::generate(curve).map_err(failed)?;
            STANDARD.encode(pair.to_pkcs8v1().map_err(failed)?)
        }
    };
    Ok(Secret::from(encoded))
}

/// What an algorithm is made of.
enum Parts {
    Shared(hmac::Algorithm),
    Rsa(&'static dyn RsaEncoding),
    Elliptic(&'static EcdsaSigningAlgorithm),
}

fn parts(algorithm: Algorithm) -> Parts {
    match algorithm {
        Algorithm::Hs256 => Parts::Shared(hmac::HMAC_SHA256),
        Algorithm::Hs384 => Parts::Shared(hmac::HMAC_SHA384),
        Algorithm::Hs512 => Parts::Shared(hmac::HMAC_SHA512),
        Algorithm::Rs256 => Parts::Rsa(&RSA_PKCS1_SHA256),
        Algorithm::Rs384 => Parts::Rsa(&RSA_PKCS1_SHA384),
        Algorithm::Rs512 => Parts::Rsa(&RSA_PKCS1_SHA512),
        Algorithm::Es256 => Parts::Elliptic(&ECDSA_P256_SHA256_FIXED_SIGNING),
        Algorithm::Es384 => Parts::Elliptic(&ECDSA_P384_SHA384_FIXED_SIGNING),
        Algorithm::Es512 => Parts::Elliptic(&ECDSA_P521_SHA512_FIXED_SIGNING),
    }
}

impl Key {
    /// Reads a key's text.
    pub fn read(algorithm: Algorithm, text: &Secret) -> Result<Self, Error> {
        let unreadable = Error::Unreadable(algorithm);
        let bytes = STANDARD.decode(text.expose()).map_err(|_| unreadable.clone())?;
        let pair = match parts(algorithm) {
            Parts::Shared(hash) if bytes.len() >= hash.digest_algorithm().output_len() => {
                Pair::Shared(Box::new(hmac::Key::new(hash, &bytes)))
            }
            Parts::Shared(_) => return Err(unreadable),
            Parts::Rsa(_) => Pair::Rsa(RsaKeyPair::from_pkcs8(&bytes).map_err(|_| unreadable)?),
            Parts::Elliptic(curve) => {
                Pair::Elliptic(EcdsaKeyPair::from_pkcs8(curve, &bytes).map_err(|_| unreadable)?)
            }
        };
        Ok(Self { algorithm, pair })
    }

    /// Appends a token for claims, which are JSON. `id` names the key where its public part can be found.
    pub fn sign(&self, id: Option<&str>, claims: &[u8], out: &mut String) -> Result<(), Error> {
        let mut header = json!({ "alg": self.algorithm.as_str(), "typ": "JWT" });
        if let Some(id) = id {
            header["kid"] = id.into();
        }
        let begin = out.len();
        URL_SAFE_NO_PAD.encode_string(header.to_string(), out);
        out.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, out);
        let signature = self.signature(&out.as_bytes()[begin..]).ok_or(Error::Failed(self.algorithm))?;
        out.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, out);
        Ok(())
    }

    fn signature(&self, signed: &[u8]) -> Option<Vec<u8>> {
        match (&self.pair, parts(self.algorithm)) {
            (Pair::Shared(key), _) => Some(hmac::sign(key, signed).as_ref().to_vec()),
            (Pair::Rsa(pair), Parts::Rsa(encoding)) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(encoding, &SystemRandom::new(), signed, &mut signature).ok()?;
                Some(signature)
            }
            (Pair::Elliptic(pair), _) => {
                Some(pair.sign(&SystemRandom::new(), signed).ok()?.as_ref().to_vec())
            }
            (Pair::Rsa(_), _) => None,
        }
    }

    /// The public key in PEM; none where who verifies needs the key itself.
    pub fn public_pem(&self) -> Option<String> {
        let der = match &self.pair {
            Pair::Shared(_) => return None,
            Pair::Rsa(pair) => pair.public_key().as_der().ok()?.as_ref().to_vec(),
            Pair::Elliptic(pair) => pair.public_key().as_der().ok()?.as_ref().to_vec(),
        };
        let mut pem = String::from("-----BEGIN PUBLIC KEY-----\n");
        let encoded = STANDARD.encode(der);
        // RFC 7468: lines of 64 characters
        for at in (0..encoded.len()).step_by(64) {
            pem += &encoded[at..encoded.len().min(at + 64)];
            pem.push('\n');
        }
        Some(pem + "-----END PUBLIC KEY-----\n")
    }

    /// The public key as a JSON Web Key (RFC 7517); none where who verifies needs the key itself.
    pub fn public_jwk(&self, id: &str) -> Option<Value> {
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let mut jwk = match &self.pair {
            Pair::Shared(_) => return None,
            Pair::Rsa(pair) => {
                let public = pair.public_key();
                let [n, e] = [public.modulus(), public.exponent()]
                    .map(|number| encode(number.big_endian_without_leading_zero()));
                json!({ "kty": "RSA", "n": n, "e": e })
            }
            Pair::Elliptic(pair) => {
                // uncompressed: a byte 4, then both coordinates at their full length
                let point = pair.public_key().as_ref().get(1..)?;
                let (x, y) = point.split_at(point.len() / 2);
                let curve = match self.algorithm {
                    Algorithm::Es384 => "P-384",
                    Algorithm::Es512 => "P-521",
                    _ => "P-256",
                };
                json!({ "kty": "EC", "crv": curve, "x": encode(x), "y": encode(y) })
            }
        };
        jwk["use"] = "sig".into();
        jwk["alg"] = self.algorithm.as_str().into();
        jwk["kid"] = id.into();
        Some(jwk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{DecodingKey, Validation, decode};
    use std::process::Command;

    const CLAIMS: &str = r#"{"aud":"desk","data":{"event":"request.create","object_id":7},"iss":"us"}"#;

    fn signed(algorithm: Algorithm) -> (Secret, Key, String) {
        let text = generate(algorithm).unwrap();
        let key = Key::read(algorithm, &text).unwrap();
        let mut token = String::from("before:");
        key.sign(Some("a-policy"), CLAIMS.as_bytes(), &mut token).unwrap();
        let token = token.strip_prefix("before:").unwrap().to_owned();
        (text, key, token)
    }

    fn claims_of(token: &str, key: &DecodingKey, algorithm: Algorithm) -> Option<Value> {
        let mut validation = Validation::new(algorithm.as_str().parse().unwrap());
        validation.set_audience(&["desk"]);
        validation.set_issuer(&["us"]);
        validation.required_spec_claims.clear();
        let token = decode::<Value>(token, key, &validation).ok()?;
        assert_eq!(token.header.kid.as_deref(), Some("a-policy"));
        Some(token.claims)
    }

    /// The same token with another character in its claims.
    fn falsified(token: &str) -> String {
        let at = token.find('.').unwrap() + 5;
        let other = if &token[at..=at] == "A" { "B" } else { "A" };
        format!("{}{other}{}", &token[..at], &token[at + 1..])
    }

    #[test]
    fn another_library_verifies_what_is_signed_and_nothing_else() {
        for algorithm in Algorithm::ALL.into_iter().filter(|one| *one != Algorithm::Es512) {
            let (text, key, token) = signed(algorithm);
            let verifying = match key.public_pem() {
                None => DecodingKey::from_base64_secret(text.expose()).unwrap(),
                Some(pem) if algorithm.as_str().starts_with('R') => {
                    DecodingKey::from_rsa_pem(pem.as_bytes()).unwrap()
                }
                Some(pem) => DecodingKey::from_ec_pem(pem.as_bytes()).unwrap(),
            };
            let expected: Value = serde_json::from_str(CLAIMS).unwrap();
            assert_eq!(claims_of(&token, &verifying, algorithm), Some(expected.clone()), "{algorithm}");
            assert_eq!(claims_of(&falsified(&token), &verifying, algorithm), None, "{algorithm}");
            assert_eq!(key.public_jwk("a-policy").is_none(), algorithm.is_shared());
            if let Some(jwk) = key.public_jwk("a-policy") {
                let jwk: Jwk = serde_json::from_value(jwk).unwrap();
                let verifying = DecodingKey::from_jwk(&jwk).unwrap();
                assert_eq!(claims_of(&token, &verifying, algorithm), Some(expected), "{algorithm}");
            }
        }
    }

    /// A signature of two numbers of full length as DER has it, which openssl wants.
    fn der_of(signature: &[u8]) -> Vec<u8> {
        let number = |bytes: &[u8]| {
            let from = bytes.iter().position(|byte| *byte != 0).unwrap();
            let sign: &[u8] = if bytes[from] >= 0x80 { &[0] } else { &[] };
            let bytes = [sign, &bytes[from..]].concat();
            [&[2, u8::try_from(bytes.len()).unwrap()], &bytes[..]].concat()
        };
        let (r, s) = signature.split_at(signature.len() / 2);
        let numbers = [number(r), number(s)].concat();
        let length = u8::try_from(numbers.len()).unwrap();
        // beyond 127 the length has a byte of its own
        let head: &[u8] = if length < 128 { &[0x30, length] } else { &[0x30, 0x81, length] };
        [head, &numbers].concat()
    }

    #[test]
    fn openssl_verifies_the_one_that_the_library_does_not_know() {
        let folder = tempfile::tempdir().unwrap();
        let (_, key, token) = signed(Algorithm::Es512);
        let verifies = |token: &str| {
            let (signed, signature) = token.rsplit_once('.').unwrap();
            let signature = der_of(&URL_SAFE_NO_PAD.decode(signature).unwrap());
            let files = [
                ("key", key.public_pem().unwrap().into_bytes()),
                ("signature", signature),
                ("signed", signed.as_bytes().to_vec()),
            ];
            for (name, content) in files {
                std::fs::write(folder.path().join(name), content).unwrap();
            }
            let arguments = ["dgst", "-sha512", "-verify", "key", "-signature", "signature", "signed"];
            Command::new("openssl").args(arguments).current_dir(&folder).output().unwrap().status.success()
        };
        assert!(verifies(&token));
        assert!(!verifies(&falsified(&token)));
        let jwk = key.public_jwk("a").unwrap();
        let length = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap().len();
        assert_eq!((&jwk["crv"], length("x"), length("y")), (&json!("P-521"), 66, 66));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for algorithm in Algorithm::ALL {
            for text in ["", "AAAA", "no base64"] {
                let error = Key::read(algorithm, &Secret::from(text)).err();
                assert_eq!(error, Some(Error::Unreadable(algorithm)), "{algorithm} {text}");
            }
        }
        let other = generate(Algorithm::Es256).unwrap();
        assert!(Key::read(Algorithm::Es384, &other).is_err() && Key::read(Algorithm::Rs256, &other).is_err());
        assert_eq!("none".parse::<Algorithm>(), Err(()));
    }
}
