//! Relays that speak TLS and want to know who sends.

use super::relay::{Manner, Relay};
use super::{anywhere, suspend};
use crate::receiver::{Receiver, Reply};
use crate::running::Site;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// A server's side for `localhost`, and its certificate in PEM.
fn localhost() -> (TlsAcceptor, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(walhook::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), made.cert.pem())
}

async fn is_mailed_in_private(tls: &str, manner: fn(TlsAcceptor) -> Manner) {
    let endpoint = Receiver::start().await;
    endpoint.reply(Reply::status(410));
    let (acceptor, certificate) = localhost();
    let relay = Relay::start_like(anywhere(), manner(acceptor)).await;
    let mut site = Site::new("create table t (id int primary key)").await;
    site.configure(&format!(
        "[mail]\nrelay = \"localhost:{}\"\ntls = \"{tls}\"\nfrom = \"walhook@example.org\"\nto = \"ops@example.org\"\n\
         username = \"walhook\"\npassword = \"geheim-4711\"\n[[forms]]\ntable = \"t\"\n[[webhooks]]\nname = \"Pager\"\n\
         form = \"t\"\nevents = [\"create\"]\ncallback.url = \"{}\"\n",
        relay.address.port(),
        endpoint.url()
    ));
    // whom the system does not trust gets no password
    let (_, said) = site.run(&["check"]);
    assert!(said.contains("cannot be used"), "{said}");
    assert!(relay.told.lock().unwrap().logins.is_empty());

    let trusted = site.folder.path().join("relay.pem");
    std::fs::write(&trusted, certificate).unwrap();
    site.environment.push(("SSL_CERT_FILE".into(), trusted.into()));
    let (_, said) = site.run(&["check"]);
    assert!(said.contains("answers") && !said.contains("cannot be used"), "{said}");
    let running = site.start().await;
    suspend(&site, &running, 1).await;
    let mail = relay.wait_for(1).await.remove(0);
    assert!(mail.contains("webhook \"Pager\" was suspended"), "{mail}");
    let login = format!("PLAIN {}", STANDARD.encode("\0walhook\0geheim-4711"));
    let logins = std::mem::take(&mut relay.told.lock().unwrap().logins);
    assert!(logins.len() >= 2, "check and run log in: {logins:?}");
    assert!(logins.iter().all(|one| *one == (login.clone(), true)), "{logins:?}");
    assert!(!running.log().contains("geheim"), "{}", running.log());
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_goes_by_starttls_with_a_login() {
    is_mailed_in_private("starttls", Manner::StartTls).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_goes_by_tls_with_a_login() {
    is_mailed_in_private("tls", Manner::Tls).await;
}

/// The relay knows no STARTTLS: a password is not sent in the open, and neither is a mail.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_without_starttls_gets_nothing() {
    let relay = Relay::start(anywhere()).await;
    let site = Site::new("create table t (id int primary key)").await;
    site.configure(&format!(
        "[mail]\nrelay = \"localhost:{}\"\nfrom = \"walhook@example.org\"\nto = \"ops@example.org\"\n\
         username = \"walhook\"\npassword = \"geheim-4711\"\n",
        relay.address.port()
    ));
    let (_, said) = site.run(&["check"]);
    assert!(said.contains("cannot be used"), "{said}");
    assert!(relay.told.lock().unwrap().logins.is_empty() && relay.mails().is_empty());
}
