//! Endpoints are tried by a connection alone.

use std::sync::Arc;
use std::time::Duration;
use walhook::doctor::endpoints;
use walhook::doctor::finding::Severity;

#[tokio::test]
async fn endpoints_are_tried_without_a_request() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let open = listener.local_addr().unwrap();
    let closed = format!("127.0.0.1:{}", crate::port::unused());
    let endpoint = |webhook: &str, url: String| endpoints::Endpoint {
        webhook: webhook.into(),
        url: url.parse().unwrap(),
        proxy: None,
        tls: None,
    };
    let wanted = vec![
        endpoint("open", format!("http://{open}/hook?token=secret")),
        endpoint("closed", format!("http://{closed}/")),
        endpoint("no tls", format!("https://{open}/")),
    ];
    let mut peers = tokio::task::JoinSet::new();
    peers.spawn(async move {
        let mut heard = Vec::new();
        for _ in 0..2 {
            use tokio::io::AsyncReadExt;
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut bytes = Vec::new();
            let mut buffer = [0; 4096];
            // the one with TLS says hello and gets nonsense back
            match stream.read(&mut buffer).await.unwrap() {
                0 => {}
                length => {
                    bytes.extend_from_slice(&buffer[..length]);
                    let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, b"no TLS here\n").await;
                }
            }
            heard.push(bytes);
        }
        heard
    });
    let tls = endpoints::platform_tls().unwrap();
    let findings = endpoints::probe(wanted, tls, Duration::from_secs(20)).await;
    let severities: Vec<_> = findings.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Severity::Ok, Severity::Error, Severity::Error], "{findings:?}");
    assert!(findings[1].what.contains("cannot be reached: Connection refused"), "{findings:?}");
    assert!(!format!("{findings:?}").contains("secret"));
    let heard = peers.join_next().await.unwrap().unwrap();
    assert!(heard.iter().any(Vec::is_empty), "nothing is sent over plain connections");
}

#[tokio::test]
async fn endpoints_with_tls_must_show_a_certificate_that_is_trusted() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let trusting = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();

    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url: url::Url =
        format!("https://localhost:{}/", listener.local_addr().unwrap().port()).parse().unwrap();
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(async move {
        let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(server));
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let _ = acceptor.accept(stream).await;
        }
    });
    let wanted =
        || vec![endpoints::Endpoint { webhook: "w".into(), url: url.clone(), proxy: None, tls: None }];
    let patience = Duration::from_secs(20);
    let findings = endpoints::probe(wanted(), Arc::new(trusting), patience).await;
    assert_eq!(findings[0].severity, Severity::Ok, "{findings:?}");
    let findings = endpoints::probe(wanted(), endpoints::platform_tls().unwrap(), patience).await;
    assert_eq!(findings[0].severity, Severity::Error, "{findings:?}");
    assert!(findings[0].what.contains("certificate"), "{findings:?}");
}
