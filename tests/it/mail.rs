//! Mail about suspended webhooks: the real program, a real endpoint that is gone, a small relay.

#[path = "mail/private.rs"]
mod private;
#[path = "mail/relay.rs"]
mod relay;

use crate::port;
use crate::receiver::{Receiver, Reply};
use crate::running::{PATIENCE, Running, Site};
use relay::Relay;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio_util::sync::CancellationToken;
use walhook::observe::{Observation, Observer, Observers};
use walhook::report::mail::{Carrier, Privacy, Settings, begin};

fn anywhere() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

async fn site(endpoint: &Receiver, relay: SocketAddr, every: &str) -> Site {
    site_with(endpoint, relay, every, "").await
}

/// The same with further keys of the webhook.
async fn site_with(endpoint: &Receiver, relay: SocketAddr, every: &str, keys: &str) -> Site {
    let site = Site::new("create table t (id int primary key)").await;
    let url = endpoint.url();
    site.configure(&format!(
        "[mail]\nrelay = \"{relay}\"\ntls = \"none\"\nfrom = \"walhook <walhook@example.org>\"\n\
         to = [\"ops@example.org\", \"night@example.org\"]\nevery = \"{every}\"\n[[forms]]\ntable = \"t\"\n[[webhooks]]\n\
         {keys}name = \"Pager\"\nid = 7\nform = \"t\"\nevents = [\"create\"]\ncallback.url = \"{url}\"\n\
         callback.authentication = {{ type = \"BEARER\", token = \"geheim-token\" }}\n\
         signature.secret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n"
    ));
    site
}

/// Inserts a row, and waits until the webhook is suspended for the nth time.
async fn suspend(site: &Site, running: &Running, number: usize) {
    let insert = format!("insert into t values ({number})");
    site.session().await.batch_execute(&insert).await.unwrap();
    let begun = Instant::now();
    while running.log().matches("the webhook was suspended").count() < number {
        assert!(begun.elapsed() < PATIENCE, "{}", running.log());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_webhook_may_name_those_who_get_its_mails() {
    let endpoint = Receiver::start().await;
    endpoint.reply(Reply::status(410));
    let relay = Relay::start(anywhere()).await;
    let keys = "mail_exceptions_to = [\"desk@example.org\", \"Boss <boss@example.org>\"]\n";
    let site = site_with(&endpoint, relay.address, "1h", keys).await;
    let running = site.start().await;
    suspend(&site, &running, 1).await;
    let mails = relay.wait_for(2).await;
    for mail in &mails {
        assert!(mail.contains("To: desk@example.org, Boss <boss@example.org>"), "{mail}");
        assert!(!mail.contains("ops@example.org"), "{mail}");
    }
    // what stops the webhook is told apart from what its endpoint answered
    let subjects = ["could not deliver", "was suspended"].map(|what| format!("webhook \"Pager\" {what}"));
    assert!(subjects.iter().all(|subject| mails.iter().any(|mail| mail.contains(subject))), "{mails:?}");
    assert_eq!(running.stop(), 0);
}

// R-IT-23 R-XU-16
#[tokio::test]
async fn deliveries_that_fail_are_told_to_those_whom_the_webhook_names() {
    let endpoint = Receiver::start().await;
    endpoint.reply(Reply::status(503));
    let relay = Relay::start(anywhere()).await;
    let keys = "mail_exceptions_to = [\"desk@example.org\"]\nschedule = [\"10ms\"]\n";
    let site = site_with(&endpoint, relay.address, "1h", keys).await;
    let running = site.start().await;
    site.session().await.batch_execute("insert into t select generate_series(1, 3)").await.unwrap();
    let mail = relay.wait_for(1).await.remove(0);
    for part in [
        "could not deliver",
        "To: desk@example.org",
        "503 Service Unavailable (delivery 7/",
        "walhook webhooks show 7",
    ] {
        assert!(mail.contains(part), "{part} in {mail}");
    }
    // both attempts of each of them failed, and there is one mail
    endpoint.wait_for(6).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(relay.mails().len(), 1);
    assert_eq!(running.stop(), 0);
}

// R-XU-16
#[tokio::test]
async fn deliveries_as_of_xurrent_that_fail_are_told_to_all_where_the_webhook_names_nobody() {
    let endpoint = Receiver::start().await;
    endpoint.reply(Reply::status(503));
    let relay = Relay::start(anywhere()).await;
    let site = site_with(&endpoint, relay.address, "1h", "format = \"itrp\"\n").await;
    let running = site.start().await;
    site.session().await.batch_execute("insert into t values (1)").await.unwrap();
    let mail = relay.wait_for(1).await.remove(0);
    assert!(
        mail.contains("could not deliver") && mail.contains("To: ops@example.org, night@example.org"),
        "{mail}"
    );
    assert_eq!(running.stop(), 0);
}

#[tokio::test]
async fn deliveries_that_fail_are_no_mail_where_the_webhook_names_nobody() {
    let endpoint = Receiver::start().await;
    endpoint.reply(Reply::status(503));
    let relay = Relay::start(anywhere()).await;
    let site = site_with(&endpoint, relay.address, "1h", "schedule = [\"10ms\"]\n").await;
    let running = site.start().await;
    site.session().await.batch_execute("insert into t values (1)").await.unwrap();
    endpoint.wait_for(2).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(relay.mails(), [""; 0]);
    assert_eq!(running.stop(), 0);
}

// the commands hold the test's own thread, and the relay has to answer them
// R-NA-06
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_suspension_is_told_by_one_mail_and_not_again_within_the_period() {
    let endpoint = Receiver::start().await;
    endpoint.reply(Reply::status(410));
    let relay = Relay::start(anywhere()).await;
    let site = site(&endpoint, relay.address, "1h").await;
    let running = site.start().await;
    let (_, said) = site.run(&["check"]);
    assert!(said.contains("mail relay") && relay.mails().is_empty(), "{said}");
    suspend(&site, &running, 1).await;
    let mail = relay.wait_for(1).await.remove(0);
    for part in [
        "Subject: walhook: webhook \"Pager\" was suspended",
        "To: ops@example.org, night@example.org",
        "410 Gone",
        "Number: 7",
        "walhook webhooks enable 7",
    ] {
        assert!(mail.contains(part), "{part} in {mail}");
    }
    for secret in ["geheim", "MfKQ9r8G"] {
        assert!(!mail.contains(secret) && !running.log().contains(secret), "{secret} in {mail}");
    }
    for number in 2..=4 {
        let (code, said) = site.run(&["webhooks", "enable", "7"]);
        assert_eq!(code, 0, "{said}");
        suspend(&site, &running, number).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(relay.mails().len(), 1);
    assert_eq!(running.stop(), 0);
}

// the commands hold the test's own thread, and the relay has to answer them
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_waits_for_its_relay_and_disturbs_nothing() {
    let endpoint = Receiver::start().await;
    endpoint.reply(Reply::status(410));
    let away = SocketAddr::from(([127, 0, 0, 1], port::unused()));
    let site = site(&endpoint, away, "1s").await;
    let running = site.start().await;
    let (_, said) = site.run(&["check"]);
    assert!(said.contains("cannot be used"), "{said}");
    suspend(&site, &running, 1).await;
    running.wait_until_logged("a mail was not taken and is tried again").await;
    let (code, _) = site.run(&["webhooks", "enable", "7"]);
    assert_eq!(code, 0);
    suspend(&site, &running, 2).await;
    let relay = Relay::start(away).await;
    let mails = relay.wait_for(1).await;
    assert!(mails[0].contains("This happened 1 more times"), "{}", mails[0]);
    assert_eq!(running.stop(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_says_nothing_holds_nobody_up_for_long() {
    let silent = std::net::TcpListener::bind(anywhere()).unwrap();
    let endpoint = Receiver::start().await;
    let site = site(&endpoint, silent.local_addr().unwrap(), "1s").await;
    let begun = Instant::now();
    let (_, said) = site.run(&["check"]);
    assert!(said.contains("did not answer within 5 s"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
}

struct Heard(Mutex<Vec<Option<Duration>>>);

impl Observer for Heard {
    fn observe(&self, observation: &Observation) {
        if let Observation::MailFailed { retry_in, .. } = observation {
            self.0.lock().unwrap().push(*retry_in);
        }
    }
}

/// The clock runs ahead: nobody waits for a day.
#[tokio::test(start_paused = true)]
async fn a_mail_that_no_relay_takes_for_a_day_is_given_up() {
    let settings = Settings {
        host: "127.0.0.1".into(),
        port: port::unused(),
        privacy: Privacy::None,
        login: None,
        from: "walhook@example.org".parse().unwrap(),
        to: vec!["ops@example.org".parse().unwrap()],
        every: Duration::from_secs(1200),
    };
    let heard = Arc::new(Heard(Mutex::default()));
    let (mail, post) = begin();
    mail.observe(&Observation::WebhookSuspended { webhook: "Pager".into(), reason: "410 Gone".into() });
    let observers = Observers::new(vec![Arc::clone(&heard) as _]);
    let carrier = Carrier::new(settings, Box::new(|_| Box::pin(async { None })), observers).unwrap();
    let shutdown = CancellationToken::new();
    let mut running = tokio::task::JoinSet::new();
    running.spawn(carrier.run(post, shutdown.clone()));
    let begun = tokio::time::Instant::now();
    while heard.0.lock().unwrap().last() != Some(&None) {
        assert!(begun.elapsed() < Duration::from_secs(30 * 3600), "it is never given up");
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    assert!(begun.elapsed() > Duration::from_secs(24 * 3600));
    // with pauses of a quarter of an hour at most
    let tries = heard.0.lock().unwrap().len();
    assert!((80..=140).contains(&tries), "{tries}");
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(heard.0.lock().unwrap().len(), tries, "nothing is tried any more");
    shutdown.cancel();
    running.join_next().await.unwrap().unwrap();
}
