//! An endpoint behind an authority of its own, which asks who we are: `[webhooks.callback.tls]` on the real program, and
//! the same certificates as texts, as those give them who register webhooks while it runs.

use crate::dispatch::http::{body, claim};
use crate::running::{PATIENCE, Site};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use walhook::delivery::Outcome;
use walhook::transport::{Settings, Transport, Trust};
use walhook::webhook::{CallbackTls, Pem};

/// An authority whom no system trusts.
struct Authority {
    pem: String,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(vec![]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "an authority of the house");
        let key = KeyPair::generate().unwrap();
        let own = parameters.self_signed(&key).unwrap();
        Self { pem: own.pem(), certificate: own.der().clone(), issuer: Issuer::new(parameters, key) }
    }

    fn sign(&self, name: &str) -> (rcgen::Certificate, KeyPair) {
        let key = KeyPair::generate().unwrap();
        let parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        (parameters.signed_by(&key, &self.issuer).unwrap(), key)
    }

    /// Writes a certificate for a name of ours, and its key, which only we may read.
    fn issue(&self, folder: &Path, name: &str) -> Vec<u8> {
        let (certificate, key) = self.sign(name);
        fs::write(folder.join("us.pem"), certificate.pem()).unwrap();
        fs::write(folder.join("us.key"), key.serialize_pem()).unwrap();
        fs::set_permissions(folder.join("us.key"), fs::Permissions::from_mode(0o600)).unwrap();
        certificate.der().to_vec()
    }
}

/// An endpoint that lets in only whom the authority vouches for, and closes each connection after a request. Tells whose
/// certificates it saw.
async fn endpoint(authority: &Authority) -> (String, UnboundedReceiver<Vec<u8>>, JoinSet<()>) {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate.clone()).unwrap();
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), walhook::tls::provider());
    let (certificate, key) = authority.sign("localhost");
    let config = ServerConfig::builder_with_provider(walhook::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(clients.build().unwrap())
        .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/hook", listener.local_addr().unwrap().port());
    let (tell, told) = unbounded_channel();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let shown = stream.get_ref().1.peer_certificates().map(|chain| chain[0].to_vec());
            let mut request = vec![0; 64 * 1024];
            // small enough to come at once; what it says is not looked at here
            let _ = stream.read(&mut request).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = stream.write_all(answer).await;
            let _ = stream.shutdown().await;
            let _ = tell.send(shown.unwrap_or_default());
        }
    });
    (url, told, serving)
}

fn webhook(name: &str, url: &str, tls: &str) -> String {
    format!(
        "[[webhooks]]\nname = {name:?}\nform = \"ticket\"\nevents = [\"create\"]\nschedule = [\"200ms\"]\n\
         callback.url = {url:?}\n{tls}\n"
    )
}

/// What is known of a webhook's only dead letter.
async fn dead_letter(site: &Site, webhook: &str) -> String {
    let began = Instant::now();
    loop {
        let (_, listed) =
            site.run(&["--json", "deliveries", "list", "--state", "dead", "--webhook", webhook]);
        let listed: Value = serde_json::from_str(&listed).unwrap_or_else(|_| panic!("{listed}"));
        if let Some(number) = listed["deliveries"][0]["delivery"].as_str() {
            return site.run(&["deliveries", "show", number]).1;
        }
        assert!(began.elapsed() < PATIENCE, "no dead letter of {webhook}");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_of_the_house_trusts_us_and_we_trust_it() {
    let authority = Authority::new();
    let (url, mut shown, _serving) = endpoint(&authority).await;
    let site = Site::new("create table ticket (id integer primary key)").await;
    let folder = site.folder.path();
    fs::write(folder.join("ca.pem"), &authority.pem).unwrap();
    let first = authority.issue(folder, "walhook");
    let both = "callback.tls = { authorities = \"ca.pem\", certificate = \"us.pem\", key = \"us.key\" }";
    let webhooks = [
        webhook("known", &url, both),
        webhook("nameless", &url, "callback.tls = { authorities = \"ca.pem\" }"),
        webhook("distrustful", &url, ""),
    ];
    site.configure(&format!("[[forms]]\ntable = \"ticket\"\n{}", webhooks.concat()));
    let running = site.start().await;
    let session = site.session().await;
    session.batch_execute("insert into ticket values (1)").await.unwrap();
    assert_eq!(tokio::time::timeout(PATIENCE, shown.recv()).await.unwrap().unwrap(), first);
    let nameless = dead_letter(&site, "nameless").await;
    assert!(nameless.contains("CertificateRequired"), "{nameless}");
    let distrustful = dead_letter(&site, "distrustful").await;
    assert!(distrustful.contains("signed by nobody whom this system trusts"), "{distrustful}");

    // a renewed certificate is used for the next connection, without a word
    let second = authority.issue(folder, "walhook, next year");
    session.batch_execute("insert into ticket values (2)").await.unwrap();
    assert_eq!(tokio::time::timeout(PATIENCE, shown.recv()).await.unwrap().unwrap(), second);
    // one that cannot be read is tried again: nothing is lost while somebody mends it
    fs::rename(folder.join("us.key"), folder.join("lost.key")).unwrap();
    session.batch_execute("insert into ticket values (3)").await.unwrap();
    let lost = dead_letter(&site, "known").await;
    assert!(lost.contains("us.key cannot be read"), "{lost}");
    let (code, said) = site.run(&["check"]);
    assert!(
        code != 0 && said.contains("us.key cannot be read") && said.contains("[webhooks.callback.tls]"),
        "{said}"
    );
    fs::rename(folder.join("lost.key"), folder.join("us.key")).unwrap();
    let (code, said) = site.run(&["deliveries", "replay", "--webhook", "known", "--yes"]);
    assert_eq!(code, 0, "{said}");
    assert_eq!(tokio::time::timeout(PATIENCE, shown.recv()).await.unwrap().unwrap(), second);
    assert_eq!(running.stop(), 0);
}

#[tokio::test]
async fn certificates_may_be_texts_and_a_key_is_told_nowhere() {
    let authority = Authority::new();
    let (url, mut shown, _serving) = endpoint(&authority).await;
    let (certificate, key) = authority.sign("walhook");
    let transport = Transport::new(&Settings::default()).unwrap();
    let attempt = async |tls: CallbackTls| {
        let mut hook = crate::dispatch::webhook(1, &url);
        hook.callback.tls = Some(tls);
        let endpoint = transport.prepare(&hook, Trust::Operator).unwrap();
        let claim = claim(body("{", "}"));
        let outcome = transport.send(&endpoint, &claim, &claim.body, http::HeaderMap::new(), 0).await;
        assert!(!format!("{hook:?}{outcome:?}").contains("PRIVATE"), "{outcome:?}");
        outcome
    };
    let text = |text: String| Pem::Text(text.into());
    let ours = (text(certificate.pem()), text(key.serialize_pem()));
    let tls = CallbackTls { authorities: Some(text(authority.pem.clone())), client: Some(ours.clone()) };
    let outcome = attempt(tls.clone()).await;
    assert!(outcome.is_success(), "{outcome:?}");
    assert_eq!(shown.recv().await.unwrap(), certificate.der().to_vec());

    let unreachable = async |tls| match attempt(tls).await {
        Outcome::Unreachable { reason } => reason,
        outcome => panic!("{outcome:?}"),
    };
    // a certificate beside the key of another one
    let (_, other) = authority.sign("somebody else");
    let mixed = Some((ours.0.clone(), text(other.serialize_pem())));
    let said = unreachable(CallbackTls { client: mixed, ..tls.clone() }).await;
    assert!(said.contains("certificate text and key text cannot be used together"), "{said}");
    let said = unreachable(CallbackTls { authorities: Some(text("nothing".into())), client: None }).await;
    assert!(said.contains("certificate text has no certificate in it"), "{said}");
    let torn = key.serialize_pem().replace("-----END", "-----");
    let said = unreachable(CallbackTls { client: Some((ours.0, text(torn))), ..tls }).await;
    assert!(said.contains("key text cannot be read"), "{said}");
}
