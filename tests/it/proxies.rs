//! Requests that go out by a proxy: a small one that tunnels, refuses or says nothing, before real endpoints.

use crate::dispatch::http::{body, claim};
use crate::dispatch::webhook;
use crate::receiver::Receiver;
use crate::running::Site;
use futures_util::future::BoxFuture;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use walhook::delivery::Outcome;
use walhook::dispatch::{Courier, HttpCourier};
use walhook::doctor::endpoints;
use walhook::doctor::finding::Severity;
use walhook::proxy::Proxy;
use walhook::transport::{Endpoint, Resolver, Settings, Transport, Trust};
use walhook::webhook::{CallbackTls, Origin, Pem, Webhook};

/// What a proxy does when it is asked for a tunnel.
#[derive(Clone, Copy)]
enum Answer {
    /// Opens it, for whoever shows these credentials if there are any.
    Tunnel(Option<&'static str>),
    Status(&'static str),
    Nothing,
}

/// A proxy of HTTP. Every name leads to this machine.
struct Tunneller {
    address: SocketAddr,
    /// The first line and the credentials of each request.
    asked: Arc<Mutex<Vec<String>>>,
    _serving: JoinSet<()>,
}

trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Wire for S {}

impl Tunneller {
    async fn start(answer: Answer, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let mut serving = JoinSet::new();
        let log = Arc::clone(&asked);
        serving.spawn(async move {
            let mut tunnels = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (log, tls) = (Arc::clone(&log), tls.clone());
                tunnels.spawn(async move {
                    let stream: Box<dyn Wire> = match tls {
                        None => Box::new(stream),
                        Some(tls) => Box::new(tls.accept(stream).await?),
                    };
                    tunnel(stream, answer, &log).await
                });
            }
        });
        Self { address, asked, _serving: serving }
    }

    fn proxy(&self, credentials: &str) -> Proxy {
        Proxy::parse(&format!("http://{credentials}{}", self.address), Origin::File).unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn tunnel(mut stream: Box<dyn Wire>, answer: Answer, log: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    let head = String::from_utf8(head).unwrap();
    let credentials = head.lines().find_map(|line| line.strip_prefix("proxy-authorization: "));
    let first = head.lines().next().unwrap();
    log.lock().unwrap().push(format!("{first} {}", credentials.unwrap_or("-")));
    match answer {
        Answer::Nothing => std::future::pending().await,
        Answer::Status(status) => stream.write_all(format!("HTTP/1.1 {status}\r\n\r\n").as_bytes()).await,
        Answer::Tunnel(wanted) if wanted.is_some() && wanted != credentials => {
            stream.write_all(b"HTTP/1.1 407 Who are you\r\ncontent-length: 0\r\n\r\n").await
        }
        Answer::Tunnel(_) => {
            let port = first.split([' ', ':']).find_map(|part| part.parse::<u16>().ok()).unwrap();
            let Ok(mut endpoint) = TcpStream::connect(("127.0.0.1", port)).await else {
                return stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
            };
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
            tokio::io::copy_bidirectional(&mut stream, &mut endpoint).await.map(drop)
        }
    }
}

/// A certificate for `localhost`, which vouches for itself, and a server's side with it.
fn certified() -> (Pem, TlsAcceptor) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = made.signing_key.serialize_der().try_into().unwrap();
    let config = rustls::ServerConfig::builder_with_provider(walhook::tls::provider())
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    (Pem::Text(made.cert.pem().into()), TlsAcceptor::from(Arc::new(config)))
}

/// An https endpoint that says yes to whatever it reads. Returns its URL, and how many connections it had.
async fn secure(acceptor: TlsAcceptor) -> (String, Arc<Mutex<usize>>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}/hook", listener.local_addr().unwrap().port());
    let connections = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&connections);
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut open = JoinSet::new();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, counted) = (acceptor.clone(), Arc::clone(&counted));
            open.spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                *counted.lock().unwrap() += 1;
                let mut request = vec![0; 64 * 1024];
                // small enough to come at once
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
                }
            });
        }
    });
    (url, connections, serving)
}

fn hook(url: &str, proxy: Option<Proxy>) -> Webhook {
    let mut hook = webhook(1, url);
    hook.callback.proxy = proxy;
    hook
}

async fn send(transport: &Transport, endpoint: &Endpoint) -> Outcome {
    let claim = claim(body("{", "}"));
    transport.send(endpoint, &claim, &claim.body, http::HeaderMap::new(), 0).await
}

fn transport() -> Transport {
    let connect_timeout = Duration::from_secs(2);
    Transport::new(&Settings { connect_timeout, ..Settings::default() }).unwrap()
}

/// What becomes of an attempt, and whether it makes sense to knock then, and what a knock finds.
async fn attempt(hook: &Webhook) -> (String, bool, bool) {
    let transport = transport();
    let trust = Trust::of(hook);
    let endpoint = transport.prepare(hook, trust).unwrap();
    let outcome = send(&transport, &endpoint).await;
    let retried = matches!(outcome, Outcome::Answered { .. } | Outcome::Unreachable { .. });
    assert!(retried, "{outcome:?}");
    (outcome.to_string(), endpoint.is_shut(), transport.knock(&hook.callback, trust).await)
}

#[tokio::test]
async fn requests_go_through_the_tunnel_for_http_and_https() {
    let open = Tunneller::start(Answer::Tunnel(Some("Basic dTpnZWhlaW0=")), None).await;
    let receiver = Receiver::start().await;
    let port = receiver.address().port();
    let transport = transport();
    // a name that only the proxy knows
    let plain = hook(&format!("http://inside.invalid:{port}/a?b"), Some(open.proxy("u:geheim@")));
    let endpoint = transport.prepare(&plain, Trust::Operator).unwrap();
    for _ in 0..2 {
        assert!(send(&transport, &endpoint).await.is_success());
    }
    // the second one uses the first one's tunnel
    assert_eq!(open.asked(), [format!("CONNECT inside.invalid:{port} HTTP/1.1 Basic dTpnZWhlaW0=")]);
    for request in receiver.requests() {
        assert_eq!(
            (&*request.path, request.header("host")),
            ("/a?b", Some(&*format!("inside.invalid:{port}")))
        );
        assert_eq!(request.header("proxy-authorization"), None);
    }

    let (authority, acceptor) = certified();
    let (url, connections, _serving) = secure(acceptor).await;
    let mut secure = hook(&url, Some(open.proxy("u:geheim@")));
    secure.callback.tls = Some(CallbackTls { authorities: Some(authority), client: None });
    let endpoint = transport.prepare(&secure, Trust::Operator).unwrap();
    for _ in 0..2 {
        let outcome = send(&transport, &endpoint).await;
        assert!(outcome.is_success(), "{outcome:?}");
    }
    // another way to the same place has a connection of its own
    secure.callback.proxy = None;
    let direct = transport.prepare(&secure, Trust::Operator).unwrap();
    let outcome = send(&transport, &direct).await;
    assert!(outcome.is_success(), "{outcome:?}");
    assert_eq!((*connections.lock().unwrap(), open.asked().len()), (2, 2));
    // and nobody uses a tunnel that another one's password has opened
    secure.callback.proxy = Some(open.proxy("u:wrong@"));
    let stranger = transport.prepare(&secure, Trust::Operator).unwrap();
    let refused = send(&transport, &stranger).await.to_string();
    let expected = "refused the tunnel: 407 Proxy Authentication Required";
    assert_eq!(refused, format!("could not connect: proxy {} {expected}", open.address));
    // a certificate that nobody vouches for is none behind a proxy either
    secure.callback.tls = None;
    secure.callback.proxy = Some(open.proxy("u:geheim@"));
    let (told, shut, _) = attempt(&secure).await;
    assert!(told.ends_with("it is signed by nobody whom this system trusts") && !shut, "{told}");
}

#[tokio::test]
async fn what_a_proxy_does_instead_is_told_with_its_name() {
    let gone = SocketAddr::from(([127, 0, 0, 1], crate::port::unused()));
    let nobody = Proxy::parse(&format!("http://{gone}"), Origin::File).unwrap();
    let by = |proxy| hook("http://receiver.example/hook", Some(proxy));
    let told = attempt(&by(nobody)).await;
    let refused = "cannot be reached: Connection refused (os error 111)";
    assert_eq!(told, (format!("could not connect: proxy {gone} {refused}"), true, false));
    // (what it says, whether somebody knocks, whether he is let in)
    for (answer, expected, shut) in [
        (Answer::Status("403 Forbidden"), "refused the tunnel: 403 Forbidden", false),
        (Answer::Tunnel(Some("Basic x")), "refused the tunnel: 407 Proxy Authentication Required", false),
        (Answer::Status("502 x"), "refused the tunnel: 502 Bad Gateway", true),
        (Answer::Status("503"), "refused the tunnel: 503 Service Unavailable", true),
        (Answer::Status("nonsense"), "does not speak HTTP", false),
        (Answer::Nothing, "opened no tunnel within 2000 ms", true),
    ] {
        let proxy = Tunneller::start(answer, None).await;
        let told = attempt(&by(proxy.proxy(""))).await;
        assert_eq!(told, (format!("could not connect: proxy {} {expected}", proxy.address), shut, !shut));
    }
}

#[tokio::test]
async fn a_proxy_may_have_tls_of_its_own() {
    let (authority, acceptor) = certified();
    let proxy = Tunneller::start(Answer::Tunnel(None), Some(acceptor.clone())).await;
    let address = format!("https://localhost:{}", proxy.address.port());
    let secure = Proxy::parse(&address, Origin::File).unwrap();
    let (told, ..) = attempt(&hook("http://receiver.example/", Some(secure.clone()))).await;
    let expected = "cannot be reached: invalid certificate: it is signed by nobody whom this system trusts";
    assert_eq!(told, format!("could not connect: proxy localhost:{} {expected}", proxy.address.port()));

    // TLS inside of TLS
    let Pem::Text(text) = &authority else { unreachable!() };
    let trusted = CertificateDer::from_pem_slice(text.expose().as_bytes()).unwrap();
    let transport = Transport::new(&Settings { authorities: vec![trusted], ..Settings::default() }).unwrap();
    let (url, connections, _serving) = self::secure(acceptor).await;
    let endpoint = transport.prepare(&hook(&url, Some(secure)), Trust::Operator).unwrap();
    for _ in 0..2 {
        let outcome = send(&transport, &endpoint).await;
        assert!(outcome.is_success(), "{outcome:?}");
    }
    assert_eq!((*connections.lock().unwrap(), proxy.asked().len()), (1, 1));
}

/// Every name is on the internet, once at an address that is not.
struct Names(Vec<IpAddr>);

impl Resolver for Names {
    fn addresses<'a>(&'a self, _name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        Box::pin(async { Ok(self.0.clone()) })
    }
}

#[tokio::test]
async fn the_guard_looks_through_proxies() {
    let receiver = Receiver::start().await;
    let port = receiver.address().port();
    let open = Tunneller::start(Answer::Tunnel(None), None).await;
    let attempt = async |url: &str, addresses: &[&str], named_by| {
        let names = addresses.iter().map(|address| address.parse().unwrap()).collect();
        let transport = Transport::resolving_by(&Settings::default(), Arc::new(Names(names))).unwrap();
        let mut hook = hook(url, Some(Proxy { named_by, ..open.proxy("") }));
        hook.origin = Origin::Table;
        let endpoint = transport.prepare(&hook, Trust::of(&hook)).unwrap();
        let outcome = send(&transport, &endpoint).await;
        assert_eq!(transport.knock(&hook.callback, Trust::of(&hook)).await, outcome.is_success());
        outcome.to_string()
    };
    // the operator's proxy may be inside; the tunnel leads to what was judged, and the request says the name
    let url = format!("http://receiver.example:{port}/");
    assert_eq!(attempt(&url, &["10.0.0.1", "93.184.216.34"], Origin::File).await, "200 OK");
    assert_eq!(open.asked()[0], format!("CONNECT 93.184.216.34:{port} HTTP/1.1 -"));
    assert_eq!(receiver.requests()[0].header("host"), Some(&*format!("receiver.example:{port}")));
    let asked = open.asked().len();
    let inside = "is not public, and [dispatch] allow does not contain it";
    let told = attempt(&url, &["10.0.0.1"], Origin::File).await;
    assert_eq!(told, format!("address 10.0.0.1 of \"receiver.example\" {inside}"));
    let told = attempt(&format!("http://127.0.0.1:{port}/"), &[], Origin::File).await;
    assert_eq!(told, format!("address 127.0.0.1 {inside}"));
    // whoever names a proxy of his own gets no further inside by it
    let told = attempt(&url, &["93.184.216.34"], Origin::Table).await;
    assert_eq!(told, format!("proxy {}: address 127.0.0.1 {inside}", open.address));
    assert_eq!((open.asked().len(), receiver.count()), (asked, 1));
}

#[tokio::test]
async fn a_proxy_that_cannot_reach_one_address_is_asked_for_the_next() {
    let away = Tunneller::start(Answer::Status("502 Bad Gateway"), None).await;
    let addresses = ["93.184.216.34", "2606:2800:220:1::1"].map(|address| address.parse().unwrap());
    let names = Arc::new(Names(addresses.to_vec()));
    let transport = Transport::resolving_by(&Settings::default(), names).unwrap();
    let mut hook = hook("https://receiver.example/", Some(away.proxy("")));
    hook.origin = Origin::Table;
    let endpoint = transport.prepare(&hook, Trust::of(&hook)).unwrap();
    let told = send(&transport, &endpoint).await.to_string();
    assert_eq!(
        told,
        format!("could not connect: proxy {} refused the tunnel: 502 Bad Gateway", away.address)
    );
    let places = ["93.184.216.34:443", "[2606:2800:220:1::1]:443"];
    assert_eq!(away.asked(), places.map(|place| format!("CONNECT {place} HTTP/1.1 -")));
}

#[tokio::test]
async fn who_goes_by_another_proxy_knocks_at_another_door() {
    let courier = HttpCourier::new(transport(), Trust::of);
    let proxy = |text: &str| Some(Proxy::parse(text, Origin::File).unwrap());
    let door = |proxy| courier.door(&hook("https://receiver.example/", proxy));
    let doors =
        [door(None), door(proxy("http://a:1")), door(proxy("http://b:1")), door(proxy("http://u@b:1"))];
    for (number, one) in doors.iter().enumerate() {
        assert_eq!(doors.iter().position(|other| other == one), Some(number), "{one:?}");
    }
}

#[tokio::test]
async fn check_tries_endpoints_by_their_proxies() {
    let receiver = Receiver::start().await;
    let open = Tunneller::start(Answer::Tunnel(Some("Basic dTpnZWhlaW0=")), None).await;
    let endpoint = |credentials: &str| endpoints::Endpoint {
        webhook: credentials.to_owned(),
        url: format!("http://inside.invalid:{}/", receiver.address().port()).parse().unwrap(),
        proxy: Some(open.proxy(credentials)),
        tls: None,
    };
    let wanted = vec![endpoint("u:geheim@"), endpoint("u:wrong@")];
    let tls = endpoints::platform_tls().unwrap();
    let findings = endpoints::probe(wanted, tls, Duration::from_secs(20)).await;
    assert_eq!((findings[0].severity, findings[1].severity), (Severity::Ok, Severity::Error), "{findings:?}");
    let place = format!("proxy {}", open.address);
    assert!(findings[0].what.ends_with(&format!("accepts connections by {place}")), "{findings:?}");
    let refused = format!("cannot be reached: {place} refused the tunnel: 407 Proxy Authentication Required");
    assert!(findings[1].what.ends_with(&refused), "{findings:?}");
    assert!(format!("{findings:?}").contains("[dispatch] proxy"), "{findings:?}");
    assert_eq!(receiver.count(), 0, "a request was made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_default_proxy_is_for_all_but_those_that_say_otherwise() {
    let receiver = Receiver::start().await;
    let open = Tunneller::start(Answer::Tunnel(None), None).await;
    let site = Site::new("create table ticket (id integer primary key)").await;
    let webhook = |name: &str, host: &str, more: &str| {
        let url = format!("http://{host}:{}/{name}", receiver.address().port());
        format!(
            "[[webhooks]]\nname = {name:?}\nform = \"ticket\"\nevents = [\"create\"]\ncallback.url = {url:?}\n{more}\n"
        )
    };
    let webhooks =
        [webhook("far", "inside.invalid", ""), webhook("near", "127.0.0.1", "callback.proxy = \"none\"")];
    let proxy = format!("[dispatch]\nproxy = \"http://u:geheim@{}\"\n", open.address);
    site.configure(&format!("{proxy}[[forms]]\ntable = \"ticket\"\n{}", webhooks.concat()));
    let running = site.start().await;
    let session = site.session().await;
    session.batch_execute("insert into ticket values (1)").await.unwrap();
    let requests = receiver.wait_for(2).await;
    let mut paths: Vec<_> = requests.iter().map(|request| request.path.clone()).collect();
    paths.sort();
    assert_eq!(paths, ["/far", "/near"]);
    assert_eq!(open.asked().len(), 1);
    let log = running.log();
    assert!(!log.contains("geheim"), "{log}");
    assert_eq!(running.stop(), 0);
    let (_, shown) = site.run(&["config", "show"]);
    assert!(shown.contains(&format!("proxy = \"http://u:********@{}\"", open.address)), "{shown}");
    assert!(shown.contains("proxy = \"none\"") && !shown.contains("geheim"), "{shown}");
}
