//! The worst endpoints beside good ones: the real program, its real queue, and a dozen of them at once.

use crate::proof::process::Walhook;
use crate::proof::stage::Stage;
use crate::proof::trial::{Trial, content};
use crate::proof::world::HOOKS;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use serde_json::Value;
use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio_rustls::TlsAcceptor;

/// How long something may take to be seen.
const SEEN_MAX: Duration = Duration::from_secs(60);
/// How long the good ones' deliveries may take to be through, beside a dozen bad ones on two processors.
const CALM_MAX: Duration = Duration::from_secs(15);
/// What the process may hold, with a debug build's fat.
const MEMORY_KB_MAX: u64 = 300_000;
/// Where the bad ones' numbers begin.
const FIRST: u64 = 101;
/// Words of an attempt that used up its connection's allowance.
const ENDLESS: &str = "connection broke: the endpoint sends without end";
const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

#[derive(Clone, Copy)]
enum Then {
    /// Says it again and again, as fast as it is read.
    Flood(&'static [u8]),
    /// Says it again and again, and slowly.
    Trickle(&'static [u8]),
    Silence,
    Close,
    Reset,
}

/// An endpoint, and what becomes of every delivery to it.
struct Bad {
    name: &'static str,
    first: &'static str,
    then: Then,
    https: bool,
    state: &'static str,
    outcome: &'static str,
}

const fn bad(
    name: &'static str,
    first: &'static str,
    then: Then,
    state: &'static str,
    outcome: &'static str,
) -> Bad {
    Bad { name, first, then, https: false, state, outcome }
}

const BAD: [Bad; 13] = [
    bad("zeros", CHUNKED, Then::Flood(b"0000000000000000"), "delivered", "200 OK"),
    bad("body", "HTTP/1.1 200 OK\r\n\r\n", Then::Flood(b"xxxxxxxxxxxxxxxx"), "delivered", "200 OK"),
    bad("informs", "", Then::Flood(b"HTTP/1.1 103 Early Hints\r\n\r\n"), "dead", ENDLESS),
    bad(
        "headers",
        "HTTP/1.1 200 OK\r\n",
        Then::Flood(b"x-more: and more\r\n"),
        "dead",
        "connection broke: message head is too large",
    ),
    bad("trickles", "HTTP/1.1 200 OK\r\n", Then::Trickle(b"x"), "dead", "timeout"),
    bad("silent", "", Then::Silence, "dead", "timeout"),
    bad("closes", "", Then::Close, "dead", "connection broke: connection closed before message completed"),
    bad(
        "resets",
        "HTTP/1.1 2",
        Then::Reset,
        "dead",
        "connection broke: Connection reset by peer (os error 104)",
    ),
    bad(
        "no HTTP",
        "SSH-2.0-OpenSSH_9.2p1\r\n",
        Then::Close,
        "dead",
        "connection broke: invalid HTTP version parsed",
    ),
    bad(
        "to itself",
        "HTTP/1.1 308 To\r\nlocation: /\r\ncontent-length: 0\r\n\r\n",
        Then::Close,
        "dead",
        "308 Permanent Redirect",
    ),
    bad(
        "later",
        "HTTP/1.1 429 No\r\nretry-after: 99999999999999999\r\ncontent-length: 0\r\n\r\n",
        Then::Close,
        "retrying",
        "429 Too Many Requests",
    ),
    bad(
        "busy",
        "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n",
        Then::Close,
        "dead",
        "503 Service Unavailable",
    ),
    Bad {
        https: true,
        // its settings, and then pings
        ..bad(
            "pings",
            "\0\0\0\x04\0\0\0\0\0",
            Then::Flood(b"\0\0\x08\x06\0\0\0\0\0pingpong"),
            "dead",
            ENDLESS,
        )
    },
];

/// The endpoints, on threads of their own.
struct Crowd {
    runtime: Option<Runtime>,
    ports: Vec<u16>,
    connections: Arc<AtomicUsize>,
    authority: String,
}

impl Crowd {
    async fn gather() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
        let mut config = ServerConfig::builder_with_provider(walhook::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key.serialize_der().try_into().unwrap())
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tls = TlsAcceptor::from(Arc::new(config));
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let mut ports = Vec::new();
        for bad in &BAD {
            let listener = runtime.spawn(TcpListener::bind("127.0.0.1:0")).await.unwrap().unwrap();
            ports.push(listener.local_addr().unwrap().port());
            runtime.spawn(serve(bad, listener, tls.clone(), Arc::clone(&connections)));
        }
        Self { runtime: Some(runtime), ports, connections, authority: certificate.pem() }
    }

    /// Their webhooks. They want the first few people alone, so that every delivery meets its end soon.
    fn configuration(&self) -> String {
        let mut toml = String::new();
        for ((bad, port), id) in BAD.iter().zip(&self.ports).zip(FIRST..) {
            let scheme = if bad.https { "https" } else { "http" };
            write!(
                toml,
                "\n[[webhooks]]\nid = {id}\nname = {:?}\nform = \"person\"\nevents = [\"create\"]\n\
                 condition = \"'id' <= 4\"\ntimeout = \"1s\"\nschedule = [{}]\n\
                 callback.url = \"{scheme}://127.0.0.1:{port}/\"\n",
                bad.name,
                ["\"400ms\""; 2].join(", ")
            )
            .unwrap();
        }
        toml
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn serve(bad: &'static Bad, listener: TcpListener, tls: TlsAcceptor, connections: Arc<AtomicUsize>) {
    while let Ok((stream, _)) = listener.accept().await {
        connections.fetch_add(1, Ordering::Relaxed);
        let tls = tls.clone();
        tokio::spawn(async move {
            if matches!(bad.then, Then::Reset) {
                stream.set_zero_linger().unwrap();
            }
            // its end is what the endpoint is about
            let _ =
                if bad.https { converse_in_tls(bad, stream, tls).await } else { converse(bad, stream).await };
        });
    }
}

async fn converse_in_tls(bad: &Bad, stream: TcpStream, tls: TlsAcceptor) -> std::io::Result<()> {
    converse(bad, tls.accept(stream).await?).await
}

async fn converse(bad: &Bad, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> std::io::Result<()> {
    // whoever closes with something unread resets
    read_request(&mut stream, bad.https).await?;
    stream.write_all(bad.first.as_bytes()).await?;
    stream.flush().await?;
    match bad.then {
        Then::Close | Then::Reset => {}
        Then::Silence => {
            tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
        }
        Then::Trickle(bytes) => loop {
            stream.write_all(bytes).await?;
            tokio::time::sleep(Duration::from_millis(50)).await;
        },
        Then::Flood(bytes) => {
            let many = bytes.repeat(16 * 1024 / bytes.len());
            loop {
                stream.write_all(&many).await?;
                tokio::task::yield_now().await;
            }
        }
    }
    Ok(())
}

/// Reads a request of HTTP/1.1 whole, or the beginning of HTTP/2.
async fn read_request(stream: &mut (impl AsyncRead + Unpin), is_http2: bool) -> std::io::Result<()> {
    let mut request = Vec::new();
    loop {
        if stream.read_buf(&mut request).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if is_http2 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&request);
        let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        if body.len() >= length.unwrap_or("0").parse().unwrap() {
            return Ok(());
        }
    }
}

/// A delivery as `walhook deliveries list` has it.
struct Listed {
    webhook: u64,
    state: String,
    outcome: String,
}

impl Listed {
    fn is_under_way(&self) -> bool {
        matches!(&*self.state, "waiting" | "ready" | "retrying")
    }
}

fn list(walhook: &Walhook) -> Vec<Listed> {
    let output = walhook.run(&["--json", "deliveries", "list", "--limit", "1000000"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let list: Value = serde_json::from_slice(&output.stdout).unwrap();
    let listed = |delivery: &Value| Listed {
        webhook: delivery["webhook_id"].as_u64().unwrap(),
        state: delivery["state"].as_str().unwrap().to_owned(),
        outcome: delivery["last_outcome"].as_str().unwrap_or_default().to_owned(),
    };
    list["deliveries"].as_array().unwrap().iter().map(listed).collect()
}

/// Waits until no such delivery is under way; gives how long it took.
async fn until_through(trial: &mut Trial, within: Duration, wanted: impl Fn(&Listed) -> bool) -> Duration {
    let began = Instant::now();
    loop {
        trial.stage.walhook.note_memory();
        let left = list(&trial.stage.walhook);
        let left = left.iter().filter(|delivery| wanted(delivery) && delivery.is_under_way()).count();
        if left == 0 {
            return began.elapsed();
        }
        assert!(began.elapsed() < within, "{left} deliveries are under way");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What broke: one endpoint that sent digits of a chunk's size without end held a thread of the program for many
/// seconds, and with it the deliveries of others. What mended it: each connection has an allowance of bytes.
///
/// The good webhooks keep every law, their deliveries are through soon while the bad ones rage, memory stays bounded,
/// and every bad one's deliveries end as they should, and say why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dozen_hostile_endpoints_harm_only_themselves() {
    let crowd = Crowd::gather().await;
    let mut stage = Stage::prepare("fault-hostile-endpoints", &HOOKS, content()).await;
    let toml = stage.configuration(&stage.cluster.url("postgres")) + &crowd.configuration();
    stage.walhook.configure(&toml);
    let authority = stage.folder.join("authority.pem");
    std::fs::write(&authority, &crowd.authority).unwrap();
    stage.walhook.environment.push(("SSL_CERT_FILE".into(), authority.display().to_string()));
    // one thread for everything: whoever holds it holds all
    stage.walhook.environment.push(("TOKIO_WORKER_THREADS".into(), "1".into()));
    stage.start().await;
    let mut trial = Trial::on(stage, 1);
    let mut longest = Duration::ZERO;
    for _ in 0..3 {
        trial.work(100).await;
        longest = longest.max(until_through(&mut trial, CALM_MAX, |delivery| delivery.webhook < FIRST).await);
    }
    let later = FIRST + BAD.iter().position(|bad| bad.state == "retrying").unwrap() as u64;
    until_through(&mut trial, SEEN_MAX, |delivery| delivery.webhook != later).await;
    let ended = list(&trial.stage.walhook);
    for (bad, id) in BAD.iter().zip(FIRST..) {
        let of_it: Vec<_> = ended.iter().filter(|delivery| delivery.webhook == id).collect();
        assert!(!of_it.is_empty(), "{} had nothing", bad.name);
        for delivery in of_it {
            // on a busy machine its time may be over before it has sent as much as it may
            let is_slow = bad.outcome.ends_with("sends without end") && delivery.outcome == "timeout";
            let outcome = if is_slow { bad.outcome } else { &*delivery.outcome };
            assert_eq!((&*delivery.state, outcome), (bad.state, bad.outcome), "{}", bad.name);
        }
    }
    println!(
        "{} connections to {} hostile endpoints; the good ones' deliveries were through after {longest:.1?} at most",
        crowd.connections.load(Ordering::Relaxed),
        BAD.len(),
    );
    assert!(trial.stage.walhook.peak_kb < MEMORY_KB_MAX, "{} kB resident", trial.stage.walhook.peak_kb);
    trial.judge().await;
}
