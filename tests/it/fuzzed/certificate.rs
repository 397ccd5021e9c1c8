//! Bytes of certificates and keys.

#[path = "../../../fuzz/targets/certificate.rs"]
mod target;

use super::{attack, write_seed, writes_corpus};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};
use walhook::tls::{Check, client_config};

/// Certificates of two kinds, and what a key looks like; the first byte is the target's choice.
fn write_seeds() {
    for (name, algorithm) in [("p256", &PKCS_ECDSA_P256_SHA256), ("ed25519", &PKCS_ED25519)] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let certificate =
            CertificateParams::new(vec!["db.example".to_owned()]).unwrap().self_signed(&key).unwrap();
        let seed = |choice: u8, bytes: &[u8]| [&[choice][..], bytes].concat();
        write_seed("certificate", &format!("{name}-file"), &seed(0, certificate.pem().as_bytes()));
        write_seed("certificate", &format!("{name}-authority"), &seed(5, certificate.der()));
        write_seed("certificate", &format!("{name}-client"), &seed(6, certificate.der()));
    }
    write_seed("certificate", "no-key", &[7, 0x30, 0x05, 0x02, 0x01, 0x00, 0x30, 0x00]);
    write_seed("shown", "sound", b"");
    write_seed("shown", "version", &[0, 12, 1]);
    write_seed("shown", "cut", &[0xff, 0xff, 0]);
}

#[test]
fn any_bytes_in_a_file_are_taken_or_refused_by_its_name() {
    if writes_corpus() {
        write_seeds();
    }
    attack("certificate", 1_000, target::certificate);
}

#[test]
fn a_damaged_certificate_of_a_server_is_not_accepted() {
    attack("shown", 300, target::shown);
}

/// An operator had put the key of another certificate beside this one, and read only `TLS cannot be set up`, of a
/// configuration with three files. Now every error about files names them.
#[test]
fn files_that_do_not_fit_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let made = || rcgen::generate_simple_self_signed(vec!["db.example".to_owned()]).unwrap();
    std::fs::write(at("one.pem"), made().cert.pem()).unwrap();
    std::fs::write(at("other.key"), made().signing_key.serialize_pem()).unwrap();
    std::fs::set_permissions(at("other.key"), std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let refused = |check: &Check, client| client_config(check, client).unwrap_err().to_string();
    let (one, other) = (at("one.pem"), at("other.key"));
    let said = refused(&Check::Nothing, Some((one.as_path(), other.as_path())));
    let (one, other) = (one.display(), other.display());
    assert_eq!(said, format!("certificate file {one} and key file {other} cannot be used together"));
    std::fs::write(at("none.pem"), "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n").unwrap();
    let said = refused(&Check::Authority(at("none.pem")), None);
    let none = at("none.pem");
    assert_eq!(
        said,
        format!("certificate file {} has a certificate in it that cannot be used", none.display())
    );
}
