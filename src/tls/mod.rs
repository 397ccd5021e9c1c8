//! TLS for PostgreSQL and HTTP: one provider, the modes of libpq.
//!
//! The provider is always named (aws-lc-rs), never the process default: a second one somewhere in the
//! dependencies would otherwise make the default ambiguous.

pub mod server;

use crate::secret::Secret;
use crate::webhook::{CallbackTls, Pem};
use aws_lc_rs::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

/// What goes wrong before a handshake: files and keys. What goes wrong in it comes as an `io::Error`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Certificates cannot be read.
    #[error("certificate {pem} cannot be read")]
    Certificates {
        /// Which.
        pem: Pem,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// There is no certificate where one should be.
    #[error("certificate {0} has no certificate in it")]
    NoCertificate(Pem),
    /// A private key cannot be read.
    #[error("key {pem} cannot be read")]
    Key {
        /// Which.
        pem: Pem,
        /// Why.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// Others may read the key.
    #[error("key file {path} can be read by others; make it private with: chmod 0600 {path}", path = .0.display())]
    KeyNotPrivate(PathBuf),
    /// A certificate among the authorities is none.
    #[error("certificate {pem} has a certificate in it that cannot be used")]
    Authority {
        /// Which.
        pem: Pem,
        /// Why.
        #[source]
        source: Box<rustls::Error>,
    },
    /// A certificate and a key cannot be used, or not together.
    #[error("certificate {certificate} and key {key} cannot be used together")]
    Pair {
        /// The certificate.
        certificate: Pem,
        /// The key.
        key: Pem,
        /// Why.
        #[source]
        source: Box<rustls::Error>,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
}

/// Where the trusted authorities come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Roots {
    /// A PEM file.
    File(PathBuf),
    /// The text of one.
    Text(Secret),
    /// The operating system's store.
    System,
}

/// What is checked of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// Nothing but that it owns the key of the certificate it shows (`sslmode=require`).
    Nothing,
    /// That an authority of this file has signed its certificate (`verify-ca`).
    Authority(PathBuf),
    /// That, and that the certificate names the host (`verify-full`).
    AuthorityAndName(Roots),
}

/// The one crypto provider.
pub fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

/// A client's configuration: what it checks of the server, and the files of its own certificate and key.
pub fn client_config(check: &Check, client: Option<(&Path, &Path)>) -> Result<Arc<ClientConfig>, Error> {
    let file = |path: &Path| Pem::File(path.to_owned());
    let client = client.map(|(certificate, key)| (file(certificate), file(key)));
    config(check, client.as_ref())
}

/// A client's configuration for an endpoint that has certificates of its own.
pub fn endpoint_config(own: &CallbackTls) -> Result<Arc<ClientConfig>, Error> {
    let roots = match &own.authorities {
        None => Roots::System,
        Some(Pem::File(path)) => Roots::File(path.clone()),
        Some(Pem::Text(text)) => Roots::Text(text.clone()),
    };
    config(&Check::AuthorityAndName(roots), own.client.as_ref())
}

fn config(check: &Check, client: Option<&(Pem, Pem)>) -> Result<Arc<ClientConfig>, Error> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(Error::Setup)?
        .dangerous()
        .with_custom_certificate_verifier(verifier(check)?);
    let config = match client {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let unusable = |source| Error::Pair {
                certificate: certificate.clone(),
                key: key.clone(),
                source: Box::new(source),
            };
            builder.with_client_auth_cert(certificates(certificate)?, private_key(key)?).map_err(unusable)?
        }
    };
    Ok(Arc::new(config))
}

fn verifier(check: &Check) -> Result<Arc<dyn ServerCertVerifier>, Error> {
    let (pem, name) = match check {
        Check::Nothing => return Ok(Arc::new(Lenient { roots: None, name: false })),
        Check::AuthorityAndName(Roots::System) => {
            let verifier = rustls_platform_verifier::Verifier::new(provider()).map_err(Error::Setup)?;
            return Ok(Arc::new(verifier));
        }
        Check::Authority(path) => (Pem::File(path.clone()), false),
        Check::AuthorityAndName(Roots::File(path)) => (Pem::File(path.clone()), true),
        Check::AuthorityAndName(Roots::Text(text)) => (Pem::Text(text.clone()), true),
    };
    let authorities = certificates(&pem)?;
    let mut store = RootCertStore::empty();
    for authority in &authorities {
        let unusable = |source| Error::Authority { pem: pem.clone(), source: Box::new(source) };
        store.add(authority.clone()).map_err(unusable)?;
    }
    Ok(Arc::new(Lenient { roots: Some((store, authorities)), name }))
}

fn certificates(pem: &Pem) -> Result<Vec<CertificateDer<'static>>, Error> {
    let read: Result<Vec<_>, _> = match pem {
        Pem::File(path) => CertificateDer::pem_file_iter(path).and_then(Iterator::collect),
        Pem::Text(text) => CertificateDer::pem_slice_iter(text.expose().as_bytes()).collect(),
    };
    let certificates = read.map_err(|source| Error::Certificates { pem: pem.clone(), source })?;
    if certificates.is_empty() {
        return Err(Error::NoCertificate(pem.clone()));
    }
    Ok(certificates)
}

/// Reads a key. A file's must be one that only its owner may read; root's may be read by its group, as libpq allows.
fn private_key(pem: &Pem) -> Result<PrivateKeyDer<'static>, Error> {
    let read = match pem {
        Pem::File(path) => {
            if let Ok(metadata) = std::fs::metadata(path) {
                let forbidden = if metadata.uid() == 0 { 0o027 } else { 0o077 };
                if metadata.permissions().mode() & forbidden != 0 {
                    return Err(Error::KeyNotPrivate(path.clone()));
                }
            }
            PrivateKeyDer::from_pem_file(path)
        }
        Pem::Text(text) => PrivateKeyDer::from_pem_slice(text.expose().as_bytes()),
    };
    read.map_err(|source| Error::Key { pem: pem.clone(), source })
}

/// A verifier for the modes that check less than a browser does.
#[derive(Debug)]
struct Lenient {
    /// The authorities: parsed, and as they stand in the file.
    roots: Option<(RootCertStore, Vec<CertificateDer<'static>>)>,
    name: bool,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some((store, authorities)) = &self.roots else { return Ok(ServerCertVerified::assertion()) };
        let certificate = ParsedCertificate::try_from(end_entity)?;
        // a self-signed server certificate is its own authority: many servers have one, and whoever put it
        // into the file meant exactly it
        if !authorities.iter().any(|authority| authority.as_ref() == end_entity.as_ref()) {
            let algorithms = provider().signature_verification_algorithms.all;
            verify_server_cert_signed_by_trust_anchor(&certificate, store, intermediates, now, algorithms)?;
        }
        if self.name {
            verify_server_name(&certificate, server_name)?;
        }
        Ok(ServerCertVerified::assertion())
    }

    // the signature is checked in every mode: channel binding rests on the server owning the key
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, &algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = provider().signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, &algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

/// What SCRAM-SHA-256-PLUS binds itself to: the hash of the server's certificate, by the hash function of the
/// certificate's own signature, but SHA-256 instead of MD5 and SHA-1 (`tls-server-end-point`, RFC 5929 §4.1).
/// `None` where the certificate cannot be read or its signature names no hash function (Ed25519).
pub fn server_end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = match signature_hash(certificate)? {
        Hash::Sha256 => &digest::SHA256,
        Hash::Sha384 => &digest::SHA384,
        Hash::Sha512 => &digest::SHA512,
    };
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Sha256,
    Sha384,
    Sha512,
}

/// Signature algorithms by their object identifier (RFC 3279, 4055, 5758).
const SIGNATURES: &[(&[u8], Hash)] = &[
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x04", Hash::Sha256), // md5WithRSAEncryption
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x05", Hash::Sha256), // sha1WithRSAEncryption
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b", Hash::Sha256), // sha256WithRSAEncryption
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0c", Hash::Sha384), // sha384WithRSAEncryption
    (b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0d", Hash::Sha512), // sha512WithRSAEncryption
    (b"\x2a\x86\x48\xce\x3d\x04\x01", Hash::Sha256),         // ecdsa-with-SHA1
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x02", Hash::Sha256),     // ecdsa-with-SHA256
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x03", Hash::Sha384),     // ecdsa-with-SHA384
    (b"\x2a\x86\x48\xce\x3d\x04\x03\x04", Hash::Sha512),     // ecdsa-with-SHA512
];

const RSASSA_PSS: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0a";

/// The hash functions inside RSASSA-PSS' parameters (RFC 4055).
const HASHES: &[(&[u8], Hash)] = &[
    (b"\x2b\x0e\x03\x02\x1a", Hash::Sha256),                 // SHA-1
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x01", Hash::Sha256), // SHA-256
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x02", Hash::Sha384), // SHA-384
    (b"\x60\x86\x48\x01\x65\x03\x04\x02\x03", Hash::Sha512), // SHA-512
];

const SEQUENCE: u8 = 0x30;
const OBJECT_IDENTIFIER: u8 = 0x06;
const CONTEXT_0: u8 = 0xa0;

/// `Certificate ::= SEQUENCE { tbsCertificate, signatureAlgorithm, signatureValue }`: the second one decides,
/// not the first algorithm that some byte search finds inside the first.
fn signature_hash(certificate: &[u8]) -> Option<Hash> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (_, rest) = element(certificate, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    let (identifier, parameters) = element(algorithm, OBJECT_IDENTIFIER)?;
    let known = |list: &[(&[u8], Hash)], identifier: &[u8]| {
        list.iter().find(|(known, _)| *known == identifier).map(|(_, hash)| *hash)
    };
    if identifier != RSASSA_PSS {
        return known(SIGNATURES, identifier);
    }
    let (parameters, _) = element(parameters, SEQUENCE)?;
    // without a hash function, SHA-1 is meant
    let Some((explicit, _)) = element(parameters, CONTEXT_0) else { return Some(Hash::Sha256) };
    let (hash, _) = element(explicit, SEQUENCE)?;
    known(HASHES, element(hash, OBJECT_IDENTIFIER)?.0)
}

/// The content of the DER element at the beginning, if it has this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (first, rest) = bytes.split_first()?;
    if *first != tag {
        return None;
    }
    let (length, rest) = rest.split_first()?;
    let (length, rest) = match *length {
        short @ 0..=0x7f => (usize::from(short), rest),
        long @ 0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(long & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_ED25519};

    fn self_signed(algorithm: &'static rcgen::SignatureAlgorithm) -> Vec<u8> {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let parameters = CertificateParams::new(vec!["db.example".to_owned()]).unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_hash_is_that_of_the_signature_on_the_certificate() {
        assert_eq!(signature_hash(&self_signed(&PKCS_ECDSA_P256_SHA256)), Some(Hash::Sha256));
        assert_eq!(signature_hash(&self_signed(&PKCS_ECDSA_P384_SHA384)), Some(Hash::Sha384));
        assert_eq!(signature_hash(&self_signed(&PKCS_ED25519)), None);
        // a P-256 key under a P-384 authority: the key's own algorithm stands in the certificate, too
        let authority_key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut authority = CertificateParams::new(vec![]).unwrap();
        authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let issuer = rcgen::Issuer::new(authority, authority_key);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let signed = CertificateParams::new(vec!["db".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        assert_eq!(signature_hash(signed.der()), Some(Hash::Sha384));
        assert_eq!(server_end_point(signed.der()).unwrap().len(), 48);
    }

    #[test]
    fn a_certificate_signed_by_rsa_pss_names_its_hash_inside() {
        let identifier = |bytes: &[u8]| [&[0x06, bytes.len() as u8][..], bytes].concat();
        let sequence = |tag: u8, bytes: &[u8]| [&[tag, bytes.len() as u8][..], bytes].concat();
        let hash = sequence(0xa0, &sequence(0x30, &identifier(b"\x60\x86\x48\x01\x65\x03\x04\x02\x03")));
        let algorithm = |parameters: &[u8]| {
            let inner = [identifier(RSASSA_PSS), sequence(0x30, parameters)].concat();
            sequence(0x30, &[sequence(0x30, &[]), sequence(0x30, &inner)].concat())
        };
        assert_eq!(signature_hash(&algorithm(&hash)), Some(Hash::Sha512));
        assert_eq!(signature_hash(&algorithm(&[])), Some(Hash::Sha256));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_walk_panic(bytes: Vec<u8>, at: prop::sample::Index, with: u8) {
            signature_hash(&bytes);
            let mut certificate = self_signed(&PKCS_ECDSA_P256_SHA256);
            let at = at.index(certificate.len());
            certificate[at] = with;
            signature_hash(&certificate);
            signature_hash(&certificate[..at]);
        }
    }
}
