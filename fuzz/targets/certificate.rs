//! Certificates and keys: in files that a configuration names, and from a server.

// in the tests a module, for the fuzzer a file of its own
#![allow(unreachable_pub, dead_code)]

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, ServerConfig, ServerConnection};
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use walhook::tls::{Check, Error, Roots, client_config, provider, server_end_point};

/// Any bytes in a file of certificates or keys are taken or refused by an error that names the file. The first byte says
/// which file it is, and whether the bytes stand between the lines of PEM.
pub fn certificate(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    if let Some(hash) = server_end_point(bytes) {
        assert!([32, 48, 64].contains(&hash.len()));
    }
    let own = own();
    let path = own.folder.path().join("fuzzed.pem");
    let label = if choice & 3 == 3 { "PRIVATE KEY" } else { "CERTIFICATE" };
    let content = if choice & 4 == 0 { bytes.to_vec() } else { pem(label, bytes).into_bytes() };
    write_private(&path, &content);
    let taken = match choice & 3 {
        0 => client_config(&Check::Authority(path.clone()), None),
        1 => client_config(&Check::AuthorityAndName(Roots::File(path.clone())), None),
        2 => client_config(&Check::Nothing, Some((&path, &own.key_path))),
        _ => client_config(&Check::Nothing, Some((&own.certificate_path, &path))),
    };
    match taken {
        // files that are taken do not break what comes then
        Ok(config) => drop(shake_hands(config, own.certificate.clone())),
        Err(error) => {
            let said = said(&error);
            assert!(said.contains(path.to_str().unwrap()), "{said} names no file");
        }
    }
}

/// A server's certificate with any damage is accepted by nobody who knows the sound one; the sound one is. Three bytes
/// are a damage: where, and what is there then. What the certificate says of itself does not matter.
pub fn shown(bytes: &[u8]) {
    let own = own();
    let mut certificate = own.certificate.to_vec();
    for damage in bytes.chunks_exact(3).take(4) {
        let at = usize::from(u16::from_be_bytes([damage[0], damage[1]]));
        if at >= certificate.len() * 60 {
            certificate.truncate(at % certificate.len());
            break;
        }
        let at = at % certificate.len();
        certificate[at] = damage[2];
        if certificate.is_empty() {
            break;
        }
    }
    if let Some(hash) = server_end_point(&certificate) {
        assert!([32, 48, 64].contains(&hash.len()));
    }
    let is_sound = certificate == own.certificate.as_ref();
    let shown = CertificateDer::from(certificate);
    for check in [
        Check::Authority(own.certificate_path.clone()),
        Check::AuthorityAndName(Roots::File(own.certificate_path.clone())),
    ] {
        let config = client_config(&check, None).unwrap();
        let end = shake_hands(config, shown.clone());
        assert_eq!(end.is_ok(), is_sound, "{check:?}: {end:?}");
    }
    // nothing is checked but that the server has the key of what it shows
    let _ = shake_hands(client_config(&Check::Nothing, None).unwrap(), shown);
}

/// A handshake in memory with a server that shows this certificate.
fn shake_hands(config: Arc<ClientConfig>, shown: CertificateDer<'static>) -> Result<(), rustls::Error> {
    let own = own();
    let key = provider().key_provider.load_private_key(own.key.clone_key()).unwrap();
    let server = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(Shows(Arc::new(CertifiedKey::new(vec![shown], key)))));
    let mut server = ServerConnection::new(Arc::new(server)).unwrap();
    let name = ServerName::try_from("db.example").unwrap();
    let mut client = ClientConnection::new(config, name)?;
    for _ in 0..10 {
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut sent = wire.as_slice();
        while !sent.is_empty() {
            server.read_tls(&mut sent).unwrap();
            // its trouble is not ours
            let _ = server.process_new_packets();
        }
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut sent = wire.as_slice();
        while !sent.is_empty() {
            client.read_tls(&mut sent).unwrap();
            client.process_new_packets()?;
        }
        if !client.is_handshaking() {
            return Ok(());
        }
    }
    Err(rustls::Error::HandshakeNotComplete)
}

/// Shows one certificate, whatever it is.
#[derive(Debug)]
struct Shows(Arc<CertifiedKey>);

impl ResolvesServerCert for Shows {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }
}

/// A certificate that names db.example, and its key, made anew.
struct Own {
    folder: tempfile::TempDir,
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    certificate_path: PathBuf,
    key_path: PathBuf,
}

fn own() -> &'static Own {
    static OWN: OnceLock<Own> = OnceLock::new();
    OWN.get_or_init(|| {
        let memory = Path::new("/dev/shm");
        let folder =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap();
        let made = rcgen::generate_simple_self_signed(vec!["db.example".to_owned()]).unwrap();
        let (certificate_path, key_path) = (folder.path().join("own.pem"), folder.path().join("own.key"));
        fs::write(&certificate_path, made.cert.pem()).unwrap();
        write_private(&key_path, made.signing_key.serialize_pem().as_bytes());
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        Own { certificate: made.cert.der().clone(), key, folder, certificate_path, key_path }
    })
}

fn write_private(path: &Path, content: &[u8]) {
    use std::io::Write;
    let mut options = File::options();
    let opened = options.write(true).create(true).truncate(true).mode(0o600).open(path);
    opened.and_then(|mut file| file.write_all(content)).unwrap();
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

fn said(error: &Error) -> String {
    let error: &dyn std::error::Error = error;
    let causes = std::iter::successors(Some(error), |&cause| cause.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
