use super::*;
use crate::delivery::{Body, Outcome};
use crate::transport::answer;
use crate::transport::guard::{SystemResolver, Trust};
use crate::transport::trouble::outcome_of;
use bytes::Bytes;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

/// What an endpoint sees of a connection.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Request(usize),
    Closed(usize),
}

/// An endpoint that answers whatever it reads and tells what it sees, as long as its task is kept. Returns where it is.
async fn endpoint() -> (url::Url, mpsc::UnboundedReceiver<Seen>, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap()).parse().unwrap();
    let (sender, seen) = mpsc::unbounded_channel();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let sender = sender.clone();
            connections.spawn(async move {
                let mut buffer = [0; 4096];
                while stream.read(&mut buffer).await.is_ok_and(|read| read > 0) {
                    sender.send(Seen::Request(number)).unwrap();
                    stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                }
                sender.send(Seen::Closed(number)).unwrap();
            });
        }
    });
    (url, seen, serving)
}

/// What the endpoint sees next, within a time that is long for a busy machine and far below the usual idle time.
async fn next(seen: &mut mpsc::UnboundedReceiver<Seen>) -> Option<Seen> {
    tokio::time::timeout(Duration::from_secs(15), seen.recv()).await.expect("the endpoint sees something")
}

fn pool(settings: &Settings) -> Pool {
    let guard = Guard::new(Trust::Operator, Arc::from([]), Arc::new(SystemResolver));
    Pool::new(settings, guard).unwrap()
}

async fn send(pool: &Pool, target: &Target) -> Answer {
    let body = Body { content_type: String::new(), head: Bytes::from_static(b"{}"), tail: Bytes::new() };
    let mut request = Request::new(Parts::of(&body));
    *request.method_mut() = Method::POST;
    let mut answer = pool.send(target, request, 100_000).await.unwrap();
    answer::read(answer.response.body_mut(), 1000, 1000, &mut Vec::new()).await;
    answer
}

#[tokio::test]
async fn a_connection_serves_again_until_it_was_idle_for_long() {
    let pool = pool(&Settings { idle_timeout: Duration::from_millis(400), ..Settings::default() });
    let (url, mut seen, _serving) = endpoint().await;
    let target = target(url.as_str(), None, None);
    for _ in 0..3 {
        let answer = send(&pool, &target).await;
        pool.keep(&target, answer);
        assert_eq!(next(&mut seen).await, Some(Seen::Request(0)));
    }
    let last_used = Instant::now();
    assert_eq!(next(&mut seen).await, Some(Seen::Closed(0)));
    assert!(last_used.elapsed() > Duration::from_millis(300), "closed after {:?}", last_used.elapsed());
    // and the next one is looked after as well
    let answer = send(&pool, &target).await;
    pool.keep(&target, answer);
    assert_eq!(next(&mut seen).await, Some(Seen::Request(1)));
    assert_eq!(next(&mut seen).await, Some(Seen::Closed(1)));
}

#[tokio::test]
async fn no_more_connections_are_kept_than_allowed() {
    let pool = pool(&Settings { idle_per_host_max: 2, ..Settings::default() });
    let (url, mut seen, _serving) = endpoint().await;
    let target = target(url.as_str(), None, None);
    let answers = [send(&pool, &target).await, send(&pool, &target).await, send(&pool, &target).await];
    for number in 0..3 {
        assert_eq!(next(&mut seen).await, Some(Seen::Request(number)));
    }
    for answer in answers {
        pool.keep(&target, answer);
    }
    assert_eq!(next(&mut seen).await, Some(Seen::Closed(2)));
    // an answer that is not given back closes its connection
    drop(send(&pool, &target).await);
    assert_eq!(next(&mut seen).await, Some(Seen::Request(1)));
    assert_eq!(next(&mut seen).await, Some(Seen::Closed(1)));
}

/// A request may come to a connection of which the endpoint has just been rid: whoever sends hears why.
#[tokio::test]
async fn who_comes_too_late_hears_why_the_connection_broke() {
    let pool = pool(&Settings::default());
    let (ours, mut theirs) = tokio::io::duplex(1024);
    let connection = pool.0.greet(ours, Allowance::new().into()).await.unwrap();
    theirs.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
    while !connection.sender.is_closed() {
        tokio::task::yield_now().await;
    }
    let target = target("https://receiver.example/hook", None, None);
    for mut connection in [connection.clone(), connection].map(Connection::Http2) {
        let body = Body { content_type: String::new(), head: Bytes::new(), tail: Bytes::new() };
        let refused = connection.send(&target, Request::new(Parts::of(&body))).await.unwrap_err();
        let broken = Broken::Sending(connection.cause(refused.into_error()).await);
        let reason = "connection broke: the endpoint broke the rules of HTTP/2 (FRAME_SIZE_ERROR)";
        assert_eq!(outcome_of(&broken), Outcome::Unreachable { reason: reason.into() });
    }
}

#[test]
fn a_target_says_where_to_and_nothing_more() {
    #[track_caller]
    fn check(url: &str, whole: &str, path: &str, host: &str) {
        let target = target(url, None, None);
        let found =
            (target.route.to.to_string(), target.path.to_string(), target.host.to_str().unwrap().to_owned());
        assert_eq!(found, (whole.to_owned(), path.to_owned(), host.to_owned()));
    }
    check("http://host.example", "http://host.example/", "/", "host.example");
    check("HTTPS://Host.Example:443/a?b=c#d", "https://host.example/a?b=c", "/a?b=c", "host.example");
    check("http://[::1]:8080/x", "http://[::1]:8080/x", "/x", "[::1]:8080");
    check("https://user:secret@host.example:8443/", "https://host.example:8443/", "/", "host.example:8443");
}

#[test]
fn who_shows_or_trusts_other_certificates_has_connections_of_its_own() {
    let file = |path: &str| Pem::File(path.into());
    let text = |text: &str| Pem::Text(text.into());
    let authorities = |pem| CallbackTls { authorities: Some(pem), client: None };
    let client = |one, other| CallbackTls { authorities: None, client: Some((one, other)) };
    let all = [
        None,
        Some(CallbackTls::default()),
        Some(authorities(file("a"))),
        Some(authorities(text("a"))),
        Some(authorities(text("b"))),
        Some(client(text("a"), text("b"))),
        Some(client(text("a"), text("c"))),
        Some(client(text("ab"), text(""))),
    ];
    let of = |tls: &Option<CallbackTls>| target("https://receiver.example/hook", tls.clone(), None).origin;
    all_differ(&all, of);
}

fn target(url: &str, tls: Option<CallbackTls>, proxy: Option<Proxy>) -> Target {
    let mut callback = crate::webhook::sample::webhook(1).callback;
    (callback.url, callback.tls, callback.proxy) = (url.parse().unwrap(), tls, proxy);
    Target::of(&callback).unwrap()
}

fn all_differ<T: std::fmt::Debug>(all: &[T], of: impl Fn(&T) -> Arc<str>) {
    for (number, one) in all.iter().enumerate() {
        for (other_number, other) in all.iter().enumerate() {
            assert_eq!(of(one) == of(other), number == other_number, "{one:?} and {other:?}");
        }
    }
}

#[test]
fn who_goes_another_way_has_connections_of_its_own() {
    let proxy = |text: &str, named_by| Some(Proxy::parse(text, named_by).unwrap());
    let all = [
        None,
        proxy("http://proxy.example:1", Origin::File),
        proxy("http://proxy.example:1", Origin::Table),
        proxy("http://proxy.example:2", Origin::File),
        proxy("http://u@proxy.example:1", Origin::File),
        proxy("http://u:a@proxy.example:1", Origin::File),
        proxy("http://u:b@proxy.example:1", Origin::File),
        proxy("http://ua:@proxy.example:1", Origin::File),
    ];
    all_differ(&all, |proxy| target("https://receiver.example/hook", None, proxy.clone()).origin);
}
