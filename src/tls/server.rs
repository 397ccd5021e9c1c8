//! Our own certificate and key, for those who connect to us.

use super::{Error, SEQUENCE, certificates, element, private_key, provider};
use crate::webhook::Pem;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use rustls::ServerConfig;
use std::path::PathBuf;
use std::sync::Arc;

/// The PEM files: the certificate with those between it and the authority, and its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The certificate, with its chain.
    pub certificate: PathBuf,
    /// Its key, which only its owner may read.
    pub key: PathBuf,
}

/// What was read from them.
#[derive(Clone, Debug)]
pub struct Identity {
    /// For HTTP/1.1.
    pub config: Arc<ServerConfig>,
    /// When the certificate is good; none where that cannot be read.
    pub validity: Option<Validity>,
}

/// From when until when, in seconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// Not before.
    pub from: i64,
    /// Not after.
    pub until: i64,
}

impl Files {
    /// Reads them. The key must be the certificate's.
    pub fn load(&self) -> Result<Identity, Error> {
        let (certificate, key) = (Pem::File(self.certificate.clone()), Pem::File(self.key.clone()));
        let chain = certificates(&certificate)?;
        let validity = chain.first().and_then(|certificate| validity(certificate));
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(Error::Setup)?
            .with_no_client_auth()
            .with_single_cert(chain, private_key(&key)?)
            .map_err(|source| Error::Pair {
                certificate: certificate.clone(),
                key: key.clone(),
                source: Box::new(source),
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Identity { config: Arc::new(config), validity })
    }
}

const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const CONTEXT_0: u8 = 0xa0;

/// `TBSCertificate ::= SEQUENCE { [0] version OPTIONAL, serialNumber, signature, issuer, validity, … }` (RFC 5280).
fn validity(certificate: &[u8]) -> Option<Validity> {
    let (certificate, _) = element(certificate, SEQUENCE)?;
    let (signed, _) = element(certificate, SEQUENCE)?;
    let rest = element(signed, CONTEXT_0).map_or(signed, |(_, rest)| rest);
    let (_, rest) = element(rest, INTEGER)?;
    let (_, rest) = element(rest, SEQUENCE)?;
    let (_, rest) = element(rest, SEQUENCE)?;
    let (validity, _) = element(rest, SEQUENCE)?;
    let (from, rest) = time(validity)?;
    let (until, _) = time(rest)?;
    Some(Validity { from, until })
}

/// `YYMMDDhhmmssZ` up to 2049, `YYYYMMDDhhmmssZ` from 2050 on.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let short = element(bytes, UTC_TIME);
    let year_digits = if short.is_some() { 2 } else { 4 };
    let (text, rest) = short.or_else(|| element(bytes, GENERALIZED_TIME))?;
    let digits = text.strip_suffix(b"Z")?;
    let number = |from: usize, count: usize| -> Option<i16> {
        digits.get(from..from + count)?.iter().try_fold(0, |number: i16, digit| {
            digit.is_ascii_digit().then(|| number * 10 + i16::from(digit - b'0'))
        })
    };
    let part = |index: usize| i8::try_from(number(year_digits + 2 * index, 2)?).ok();
    let year = number(0, year_digits)?;
    let year = match year_digits {
        2 if year < 50 => 2000 + year,
        2 => 1900 + year,
        _ => year,
    };
    let time = DateTime::new(year, part(0)?, part(1)?, part(2)?, part(3)?, part(4)?, 0).ok()?;
    Some((Offset::UTC.to_timestamp(time).ok()?.as_second(), rest))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    fn certificate(from: i32, until: i32) -> Vec<u8> {
        let mut parameters = CertificateParams::new(vec!["walhook.example".to_owned()]).unwrap();
        parameters.not_before = date_time_ymd(from, 2, 3);
        parameters.not_after = date_time_ymd(until, 2, 3);
        parameters.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_says_from_when_until_when_it_is_good() {
        for (from, until) in [(1975, 2026), (2026, 2050), (2049, 4096)] {
            let second = |year: i32| date_time_ymd(year, 2, 3).unix_timestamp();
            let wanted = Validity { from: second(from), until: second(until) };
            assert_eq!(validity(&certificate(from, until)), Some(wanted));
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_walk_panic(bytes: Vec<u8>, at: prop::sample::Index, with: u8) {
            validity(&bytes);
            let mut certificate = certificate(2020, 2030);
            let at = at.index(certificate.len());
            certificate[at] = with;
            validity(&certificate);
            validity(&certificate[..at]);
        }
    }
}
