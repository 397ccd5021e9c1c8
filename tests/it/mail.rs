//! Mail about suspended webhooks: the real program, a real endpoint that is gone, a small relay.

use crate::receiver::{Receiver, Reply};
use crate::running::{PATIENCE, Running, Site};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// A relay that takes every mail.
struct Relay {
    address: SocketAddr,
    mails: Arc<Mutex<Vec<String>>>,
    _tasks: JoinSet<()>,
}

impl Relay {
    async fn start(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mails = Arc::new(Mutex::new(Vec::new()));
        let mut tasks = JoinSet::new();
        let taken = Arc::clone(&mails);
        tasks.spawn(async move {
            let mut talks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let taken = Arc::clone(&taken);
                talks.spawn(async move { _ = talk(stream, &taken).await });
            }
        });
        Self { address, mails, _tasks: tasks }
    }

    fn mails(&self) -> Vec<String> {
        self.mails.lock().unwrap().clone()
    }

    async fn wait_for(&self, count: usize) -> Vec<String> {
        let begun = Instant::now();
        while self.mails().len() < count {
            assert!(begun.elapsed() < PATIENCE, "{} mails of {count}", self.mails().len());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.mails()
    }
}

async fn talk(stream: TcpStream, mails: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(b"220 relay\r\n").await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let answer: &[u8] = match line.trim_end() {
            "DATA" => {
                stream.write_all(b"354 go on\r\n").await?;
                let mut mail = String::new();
                while !mail.ends_with("\r\n.\r\n") && stream.read_line(&mut mail).await? > 0 {}
                mails.lock().unwrap().push(mail);
                b"250 taken\r\n"
            }
            "QUIT" => return stream.write_all(b"221 bye\r\n").await,
            _ => b"250 well\r\n",
        };
        stream.write_all(answer).await?;
        line.clear();
    }
    Ok(())
}

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
    let mail = relay.wait_for(1).await.remove(0);
    assert!(mail.contains("To: desk@example.org, Boss <boss@example.org>"), "{mail}");
    assert!(!mail.contains("ops@example.org"), "{mail}");
    assert_eq!(running.stop(), 0);
}

// the commands hold the test's own thread, and the relay has to answer them
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
    let away = std::net::TcpListener::bind(anywhere()).unwrap().local_addr().unwrap();
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
