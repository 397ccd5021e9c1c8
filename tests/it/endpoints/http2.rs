//! HTTP/2: servers that break its rules, keep them without end, or fall silent.

use super::peer::{Log, Peer, Request};
use super::tls::good;
use super::{Case, ENDLESS, TIMEOUT, case, run, settings};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use walhook::transport::Settings;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;

const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

const BROKEN_RULES: &str = "connection broke: the endpoint broke the rules of HTTP/2 (PROTOCOL_ERROR)";

/// `:status: 200` in HPACK.
const STATUS_200: &[u8] = b"\x88";
const EMPTY_SETTINGS: &[u8] = &[0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Says hello and reads until a request has come whole; returns its stream.
async fn greet(peer: &mut Peer, hello: &[u8]) -> io::Result<u32> {
    peer.read(24).await?;
    peer.send(hello).await?;
    next(peer).await
}

/// Reads until a request has come whole; returns its stream.
async fn next(peer: &mut Peer) -> io::Result<u32> {
    loop {
        let head = peer.read(9).await?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        peer.read(length as usize).await?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        match (head[3], head[4]) {
            (SETTINGS, flags) if flags & ACK == 0 => peer.send(frame(SETTINGS, ACK, 0, b"")).await?,
            (DATA | HEADERS, flags) if flags & END_STREAM != 0 => {
                peer.note(Request::default());
                return Ok(stream);
            }
            _ => {}
        }
    }
}

/// A server that answers the first request with these frames, and then says no more.
fn frames(name: &'static str, frames: impl Fn(u32) -> Vec<u8> + Send + Sync + Copy + 'static) -> Case {
    case(name, move |mut peer| async move {
        let stream = greet(&mut peer, EMPTY_SETTINGS).await?;
        peer.send(frames(stream)).await?;
        peer.linger().await
    })
    .tls(&good(&["h2"]))
}

/// A server that answers the first request with these frames, and then with others without end.
fn floods(
    name: &'static str,
    first: impl Fn(u32) -> Vec<u8> + Send + Sync + Copy + 'static,
    then: impl Fn(u32) -> Vec<u8> + Send + Sync + Copy + 'static,
) -> Case {
    case(name, move |mut peer| async move {
        let stream = greet(&mut peer, EMPTY_SETTINGS).await?;
        peer.send(first(stream)).await?;
        let then = then(stream);
        if peer.number > 0 { peer.linger().await } else { peer.flood(then).await }
    })
    .tls(&good(&["h2"]))
    .ends_soon()
}

fn ok(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS | END_STREAM, stream, STATUS_200)
}

fn ok_and_more(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_HEADERS, stream, STATUS_200)
}

fn goaway(last_stream: u32, reason: u32, debug: &[u8]) -> Vec<u8> {
    frame(GOAWAY, 0, 0, &[&last_stream.to_be_bytes(), &reason.to_be_bytes(), debug].concat())
}

fn nothing(_: u32) -> Vec<u8> {
    vec![]
}

fn cases() -> Vec<Case> {
    let h2 = good(&["h2"]);
    vec![
        frames("answers in HTTP/2", ok).taken("200 OK"),
        frames("goes away after the answer", |stream| [ok(stream), goaway(stream, 0, b"")].concat())
            .deliveries(3)
            .taken("200 OK")
            .taken("200 OK")
            .taken("200 OK"),
        frames("goes away before the answer", |_| goaway(0, 0, b""))
            .retried("connection broke: the endpoint closed the connection (HTTP/2 GOAWAY, NO_ERROR)"),
        // the request may still be answered, says the frame
        frames("goes away with an error after the request", |stream| goaway(stream, 2, b""))
            .retried("timeout"),
        frames("goes away with much to say", |_| goaway(0, 11, &b"\x1b[2Jcalm down "[..].repeat(900)))
            .retried(
                "connection broke: the endpoint closed the connection (HTTP/2 GOAWAY, ENHANCE_YOUR_CALM)",
            ),
        floods("never ends going away", nothing, |_| goaway(0, 0, b""))
            .retried("connection broke: the endpoint closed the connection (HTTP/2 GOAWAY, NO_ERROR)"),
        frames("resets the stream", |stream| frame(RST_STREAM, 0, stream, &2u32.to_be_bytes()))
            .retried("connection broke: the endpoint reset the request (HTTP/2 INTERNAL_ERROR)"),
        frames("refuses the stream", |stream| frame(RST_STREAM, 0, stream, &7u32.to_be_bytes()))
            .retried("connection broke: the endpoint reset the request (HTTP/2 REFUSED_STREAM)"),
        frames("asks for HTTP/1.1", |stream| frame(RST_STREAM, 0, stream, &13u32.to_be_bytes()))
            .retried("connection broke: the endpoint reset the request (HTTP/2 HTTP_1_1_REQUIRED)"),
        frames("resets in the body", |stream| {
            [
                ok_and_more(stream),
                frame(DATA, 0, stream, b"half"),
                frame(RST_STREAM, 0, stream, &2u32.to_be_bytes()),
            ]
            .concat()
        })
        .taken("200 OK, \"half\""),
        floods("never ends resetting", nothing, |stream| frame(RST_STREAM, 0, stream, &8u32.to_be_bytes()))
            .retried("connection broke: the endpoint reset the request (HTTP/2 CANCEL)"),
        floods("never ends its settings", nothing, |_| EMPTY_SETTINGS.to_vec()).retried(ENDLESS),
        floods("never ends pinging", nothing, |_| frame(PING, 0, 0, b"pingpong")).retried(ENDLESS),
        floods("never ends opening windows", nothing, |_| frame(WINDOW_UPDATE, 0, 0, &1u32.to_be_bytes()))
            .retried(ENDLESS),
        floods("never ends with empty frames", ok_and_more, |stream| frame(DATA, 0, stream, b""))
            .taken("200 OK"),
        floods("never ends a body in HTTP/2", ok_and_more, |stream| frame(DATA, 0, stream, &[b'x'; 1000]))
            .taken("200 OK, 1024 bytes"),
        floods(
            "never ends its headers",
            |stream| frame(HEADERS, 0, stream, STATUS_200),
            |stream| frame(CONTINUATION, 0, stream, b"\0\x01x\x01y"),
        )
        .retried("connection broke: the endpoint broke the rules of HTTP/2 (ENHANCE_YOUR_CALM)"),
        floods(
            "never ends informing in HTTP/2",
            nothing,
            // :status: 103
            |stream| frame(HEADERS, END_HEADERS, stream, b"\x08\x03103"),
        )
        .retried(ENDLESS),
        frames("a bomb of headers", |stream| {
            // one header of 4000 bytes, put into the table and then named 4000 times
            let header = [b"\x40\x01x\x7f\xa1\x1e".as_slice(), &[b'y'; 4000]].concat();
            frame(HEADERS, END_HEADERS | END_STREAM, stream, &[STATUS_200, &header, &[0xbe; 4000]].concat())
        })
        .retried("connection broke: the endpoint broke the rules of HTTP/2 (ENHANCE_YOUR_CALM)"),
        frames("headers that cannot be read", |stream| {
            frame(HEADERS, END_HEADERS, stream, b"\xff\xff\xff\xff\xff\xff")
        })
        .retried(BROKEN_RULES),
        frames("an answer without a status", |stream| frame(HEADERS, END_HEADERS, stream, b"\0\x01x\x01y"))
            .retried(BROKEN_RULES),
        frames("status 0 in HTTP/2", |stream| frame(HEADERS, END_HEADERS, stream, b"\x08\x03000"))
            .retried(BROKEN_RULES),
        frames("a body without headers", |stream| frame(DATA, END_STREAM, stream, b"body"))
            .retried(BROKEN_RULES),
        frames("an answer to no request", |_| ok(99)).retried(BROKEN_RULES),
        frames("a frame of 16 MB", |stream| {
            [&[0xff, 0xff, 0xff, DATA, 0][..], &stream.to_be_bytes(), &[0; 100]].concat()
        })
        .retried("connection broke: the endpoint broke the rules of HTTP/2 (FRAME_SIZE_ERROR)"),
        frames("a push that nobody wants", |stream| {
            frame(PUSH_PROMISE, END_HEADERS, stream, &[&2u32.to_be_bytes()[..], b"\x82"].concat())
        })
        .retried(BROKEN_RULES),
        frames("a frame of unknown kind", |stream| [frame(0xee, 0xff, stream, b"??"), ok(stream)].concat())
            .taken("200 OK"),
        case("never opens the window", |mut peer| async move {
            let closed = frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]);
            greet(&mut peer, &closed).await?;
            peer.linger().await
        })
        .tls(&h2)
        .body(1 << 20)
        .retried("timeout"),
        case("allows no streams", |mut peer| async move {
            let closed = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 0]);
            greet(&mut peer, &closed).await?;
            peer.linger().await
        })
        .tls(&h2)
        .retried("timeout"),
        case("wrong settings", |mut peer| async move {
            greet(&mut peer, &frame(SETTINGS, 0, 0, b"odd")).await.map(drop)
        })
        .tls(&h2)
        .retried("connection broke: the endpoint broke the rules of HTTP/2*"),
        case("closes an HTTP/2 connection", |mut peer| async move {
            greet(&mut peer, EMPTY_SETTINGS).await.map(drop)
        })
        .tls(&h2)
        .retried("connection broke: connection closed before message completed"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_breaks_http2_is_tried_again_and_harms_nobody() {
    run(cases(), settings()).await;
}

/// What broke: an endpoint that went on with a stream which had been left was thrown away unread, but as long as it
/// kept its connection from being idle, it was read: a thread's time and the line's, for one delivery. What mended
/// it: the connection's allowance is used up by it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_was_left_is_not_read_for_ever() {
    let cut = Arc::new(Mutex::new(None));
    let seen = Arc::clone(&cut);
    let goes_on = case("goes on when it was left", move |mut peer| {
        let seen = Arc::clone(&seen);
        async move {
            let stream = greet(&mut peer, EMPTY_SETTINGS).await?;
            peer.send(ok_and_more(stream)).await?;
            let began = Instant::now();
            for _ in 0..5 {
                peer.send(frame(DATA, 0, stream, &[b'x'; 16_000])).await?;
            }
            // frames that no window of HTTP/2 bounds
            let more =
                [frame(WINDOW_UPDATE, 0, stream, &1u32.to_be_bytes()), frame(0xee, 0, stream, b"more")];
            let flood = peer.flood(more.concat()).await;
            *seen.lock().unwrap() = Some((flood.unwrap_err().kind(), began.elapsed()));
            Ok(())
        }
    });
    // takes two seconds: that long all connections would stand
    let silent = case("is silent meanwhile", |mut peer| async move {
        greet(&mut peer, EMPTY_SETTINGS).await?;
        peer.linger().await
    });
    let h2 = good(&["h2"]);
    let goes_on = goes_on.tls(&h2).ends_soon().taken("200 OK, 1024 bytes");
    run(vec![goes_on, silent.tls(&h2).retried("timeout")], settings()).await;
    let (cut, after) = cut.lock().unwrap().expect("the connection was cut");
    assert!(matches!(cut, io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe), "{cut}");
    assert!(after < TIMEOUT / 2, "it was cut after {after:?}");
}

/// As many bytes in long answers as an allowance has, several times over, on one connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_answers_keep_a_connection() {
    let talks = case("says much again and again in HTTP/2", |mut peer| async move {
        loop {
            let stream = greet_or_next(&mut peer).await?;
            peer.send(ok_and_more(stream)).await?;
            for flags in [0, 0, 0, END_STREAM] {
                peer.send(frame(DATA, flags, stream, &[b'x'; 15_000])).await?;
            }
        }
    });
    let mut talks = talks.tls(&good(&["h2"])).deliveries(20);
    for _ in 0..20 {
        talks = talks.taken("200 OK, 1024 bytes");
    }
    assert_eq!(run(vec![talks], settings()).await[0].connections, 1);
}

async fn answer(
    request: http::Request<h2::RecvStream>,
    mut respond: h2::server::SendResponse<bytes::Bytes>,
    log: Arc<Log>,
) -> Result<(), h2::Error> {
    let (parts, mut incoming) = request.into_parts();
    let mut body = Vec::new();
    while let Some(data) = incoming.data().await {
        let data = data?;
        incoming.flow_control().release_capacity(data.len())?;
        body.extend(data);
    }
    let headers = parts.headers.iter();
    let headers = headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()));
    let line = format!("{} {} {:?}", parts.method, parts.uri.path(), parts.version);
    log.requests.lock().unwrap().push(Request { line, headers: headers.collect(), body });
    let mut answer = http::Response::new(());
    *answer.status_mut() = http::StatusCode::ACCEPTED;
    respond.send_response(answer, false)?.send_data("noted".into(), true)
}

/// A real server: what arrives by HTTP/2 is what was sent.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_arrives_by_http2() {
    let server = case("a real server", |peer| async move {
        let (stream, log) = peer.into_stream();
        let mut connection = h2::server::handshake(stream).await.map_err(io::Error::other)?;
        // the connection moves on only while it is asked for requests
        let mut answering = JoinSet::new();
        while let Some(accepted) = connection.accept().await {
            let (request, respond) = accepted.map_err(io::Error::other)?;
            answering.spawn(answer(request, respond, Arc::clone(&log)));
        }
        Ok(())
    });
    let server = server.tls(&good(&["h2", "http/1.1"])).body(300_000).deliveries(2);
    let reports =
        run(vec![server.taken("202 Accepted, \"noted\"").taken("202 Accepted, \"noted\"")], settings()).await;
    assert_eq!(reports[0].connections, 1);
    for (request, sequence) in reports[0].requests.iter().zip(["1", "2"]) {
        assert_eq!(request.line, "POST /hook HTTP/2.0");
        assert_eq!(request.body, format!("{{{}", "x".repeat(300_000)).into_bytes());
        assert_eq!(request.headers["content-type"], "application/json");
        assert_eq!(request.headers["content-length"], "300001");
        assert_eq!(request.headers["walhook-sequence"], sequence);
        assert_eq!(request.headers["webhook-id"].len(), 36);
    }
}

/// A request that has no answer in time leaves its HTTP/2 connection open, and the next one would take it: an
/// endpoint whose connection died in silence (a router that forgot it) got nothing more while there was enough
/// to deliver to keep it from being idle. The question whether it lives mends that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_died_in_silence_is_left() {
    let dies = case("dies in silence", |mut peer| async move {
        loop {
            let stream = greet_or_next(&mut peer).await?;
            if peer.number == 0 {
                std::future::pending::<()>().await;
            }
            peer.send(ok(stream)).await?;
        }
    });
    let settings = Settings { ping_interval: Duration::from_millis(400), ..settings() };
    let dies = dies.tls(&good(&["h2"]));
    let reports = run(vec![dies.retried("timeout").taken("200 OK")], settings).await;
    assert_eq!(reports[0].connections, 2);
}

/// What may arrive unread is what the windows say at the beginning: an answer's limit for each stream, a megabyte
/// for all. The usual ones would let a thousand streams have gigabytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_windows_are_made_for_answers() {
    let windows = Arc::new(Mutex::new(vec![]));
    let seen = Arc::clone(&windows);
    let measures = case("measures the windows", move |mut peer| {
        let seen = Arc::clone(&seen);
        async move {
            peer.read(24).await?;
            for _ in 0..2 {
                let head = peer.read(9).await?;
                let payload = peer.read(usize::from(head[2])).await?;
                seen.lock().unwrap().push((head[3], payload));
            }
            Ok(())
        }
    });
    run(vec![measures.tls(&good(&["h2"])).retried("connection broke: *")], settings()).await;
    let windows = windows.lock().unwrap();
    let [(SETTINGS, settings), (WINDOW_UPDATE, connection)] = &windows[..] else { panic!("{windows:?}") };
    let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
    // SETTINGS_INITIAL_WINDOW_SIZE
    let stream = settings.chunks(6).find(|setting| setting[..2] == [0, 4]).unwrap();
    assert_eq!(number(&stream[2..]), 64 * 1024);
    assert_eq!(number(connection) + 65_535, 1 << 20);
}

async fn greet_or_next(peer: &mut Peer) -> io::Result<u32> {
    if peer.greeted {
        return next(peer).await;
    }
    peer.greeted = true;
    greet(peer, EMPTY_SETTINGS).await
}
