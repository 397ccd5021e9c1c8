//! TLS: certificates that vouch for nothing, handshakes that lead nowhere, and one that is right.

use super::{Case, OK, answers, case, ends_with, run, settings};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use std::sync::{Arc, OnceLock};

const UNTRUSTED: &str =
    "could not connect: invalid certificate: it is signed by nobody whom this system trusts";

/// Who issues certificates.
pub(super) struct Authority {
    pub(super) certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// The one that the tests trust.
pub(super) fn authority() -> &'static Authority {
    static AUTHORITY: OnceLock<Authority> = OnceLock::new();
    AUTHORITY.get_or_init(Authority::new)
}

impl Authority {
    fn new() -> Self {
        let mut parameters = CertificateParams::new(vec![]).unwrap();
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        parameters.distinguished_name.push(DnType::CommonName, "authority of a test");
        let key = KeyPair::generate().unwrap();
        let certificate = parameters.self_signed(&key).unwrap().der().clone();
        Self { certificate, issuer: Issuer::new(parameters, key) }
    }

    /// A server's side with a certificate for this name, changed like this.
    fn server(
        &self,
        name: &str,
        alpn: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let mut parameters = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut parameters);
        let certificate = parameters.signed_by(&key, &self.issuer).unwrap();
        server(vec![certificate.der().clone()], &key, alpn)
    }
}

fn server(chain: Vec<CertificateDer<'static>>, key: &KeyPair, alpn: &[&str]) -> Arc<ServerConfig> {
    let key = key.serialize_der().try_into().unwrap();
    let mut config = ServerConfig::builder_with_provider(walhook::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// A server with a good certificate for `*.walhook.test`.
pub(super) fn good(alpn: &[&str]) -> Arc<ServerConfig> {
    authority().server("*.walhook.test", alpn, |_| {})
}

/// A server that speaks TLS byte by byte, as it likes.
fn raw(name: &'static str, answer: &'static [u8]) -> Case {
    let mut case = case(name, move |mut peer| async move {
        peer.read(5).await?;
        peer.send(answer).await?;
        peer.linger().await
    });
    case.https = true;
    case
}

fn cases() -> Vec<Case> {
    let plain = good(&[]);
    let expired = authority().server("*.walhook.test", &[], |parameters| {
        parameters.not_before = date_time_ymd(2020, 1, 1);
        parameters.not_after = date_time_ymd(2021, 1, 1);
    });
    let early = authority()
        .server("*.walhook.test", &[], |parameters| parameters.not_before = date_time_ymd(3000, 1, 1));
    let client = authority().server("*.walhook.test", &[], |parameters| {
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    });
    let elsewhere = authority().server("elsewhere.example", &[], |_| {});
    let many = authority().server("elsewhere.example", &[], |parameters| {
        let names = (0..300).map(|number| format!("host-{number}.elsewhere.example").try_into().unwrap());
        parameters.subject_alt_names = names.map(rcgen::SanType::DnsName).collect();
    });
    let unknown = Authority::new().server("*.walhook.test", &[], |_| {});
    let own = KeyPair::generate().unwrap();
    let self_signed =
        CertificateParams::new(vec!["*.walhook.test".to_owned()]).unwrap().self_signed(&own).unwrap();
    let self_signed = server(vec![self_signed.der().clone()], &own, &[]);
    vec![
        answers("a good certificate", OK).tls(&plain).deliveries(2).taken("200 OK").taken("200 OK"),
        answers("an expired certificate", OK).tls(&expired).retried("could not connect: invalid certificate: it expired on 2021-01-01"),
        answers("a certificate of the future", OK).tls(&early).retried("could not connect: invalid certificate: it is not valid before 3000-01-01"),
        answers("a certificate for clients", OK).tls(&client).retried("could not connect: invalid certificate: it cannot be used for a server*"),
        answers("the certificate of another host", OK).tls(&elsewhere).retried("could not connect: invalid certificate: it is not for \"the-certificate-of-another-host.walhook.test\" but for elsewhere.example"),
        answers("a certificate of 300 other hosts", OK).tls(&many).retried("could not connect: invalid certificate: it is not for \"a-certificate-of-300-other-hosts.walhook.test\" but for host-0.elsewhere.example, host-1.*…"),
        answers("an unknown authority", OK).tls(&unknown).retried(UNTRUSTED),
        answers("a certificate of its own", OK).tls(&self_signed).retried(UNTRUSTED),
        answers("another protocol by ALPN", OK).tls(&good(&["nonsense"])).retried("could not connect: received fatal alert: NoApplicationProtocol"),
        case("HTTP/1.1 after choosing HTTP/2", |mut peer| async move {
            peer.read(24).await?;
            peer.send(OK).await?;
            peer.linger().await
        })
        .tls(&good(&["h2"]))
        .retried("connection broke: the endpoint broke the rules of HTTP/2 (FRAME_SIZE_ERROR)"),
        ends_with("closes without saying so", "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone")
            .tls(&plain)
            .taken("200 OK, \"done\""),
        ends_with("cuts a body of unknown length", "HTTP/1.1 200 OK\r\n\r\ndone")
            .tls(&plain)
            .taken("200 OK, \"done\""),
        ends_with("closes instead of answering", "").tls(&plain).retried("connection broke: connection closed before message completed"),
        raw("never ends the handshake", b"").retried("timeout"),
        raw("begins the handshake and stops", b"\x16\x03\x03\x00\x7a\x02\0\0").retried("timeout"),
        raw("HTTP where TLS is expected", b"HTTP/1.1 400 Bad Request\r\n\r\n").retried("could not connect: the endpoint does not speak TLS"),
        raw("an alert", b"\x15\x03\x03\0\x02\x02\x28").retried("could not connect: received fatal alert: HandshakeFailure"),
        raw("an alert of an old version", b"\x15\x03\x01\0\x02\x02\x46").retried("could not connect: received fatal alert: ProtocolVersion"),
        raw(
            "TLS 1.0 alone",
            b"\x16\x03\x01\0\x2a\x02\0\0\x26\x03\x01aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\0\0\x2f\0",
        )
        .retried("could not connect: the endpoint speaks neither TLS 1.2 nor TLS 1.3"),
        raw("a record of 64 kB", b"\x16\x03\x03\xff\xff").retried("could not connect: received corrupt message of type MessageTooLarge"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_shows_a_good_certificate_gets_deliveries() {
    let reports = run(cases(), settings()).await;
    assert_eq!(reports[0].connections, 1, "the connection was not kept");
    for request in &reports[0].requests {
        assert_eq!(request.line, "POST /hook HTTP/1.1");
        assert!(request.headers["host"].starts_with("a-good-certificate.walhook.test:"));
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.headers["content-length"], "11");
        assert_eq!(request.body, b"{xxxxxxxxxx");
    }
    let sequences: Vec<_> =
        reports[0].requests.iter().map(|request| &request.headers["walhook-sequence"]).collect();
    assert_eq!(sequences, ["1", "2"]);
    // whoever has a good certificate gets a request, nobody else does
    for (report, case) in reports.iter().zip(cases()).skip(1) {
        let vouched = case.name.starts_with("closes") || case.name.starts_with("cuts");
        assert_eq!(report.requests.len(), usize::from(vouched), "{}", case.name);
    }
}
