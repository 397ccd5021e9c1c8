//! Connections that are refused, reset, closed or left hanging, and answers that come too slowly.

use super::peer::floods;
use super::{Case, ENDLESS, OK, answers, case, ends_with, run, settings};
use std::time::Duration;

const RESET: &str = "connection broke: Connection reset by peer (os error 104)";
const CLOSED: &str = "connection broke: connection closed before message completed";

fn cases() -> Vec<Case> {
    vec![
        case("refuses connections", |_| async { Ok(()) })
            .refuses()
            .retried("could not connect: Connection refused (os error 111)"),
        case("accepts and never reads", |peer| async move {
            std::future::pending::<()>().await;
            drop(peer);
            Ok(())
        })
        .body(30 << 20)
        .retried("timeout"),
        case("reads and never answers", |mut peer| async move { peer.linger().await }).retried("timeout"),
        case("closes at once", |_| async { Ok(()) }).retried("connection broke: *"),
        case("resets at once", |_| async { Ok(()) })
            .resets()
            .retried("*Connection reset by peer (os error 104)"),
        case("resets in the middle of the head", |mut peer| async move { peer.read(20).await.map(drop) })
            .resets()
            .retried(RESET),
        case("resets in the middle of the body", |mut peer| async move {
            peer.head().await?;
            peer.read(1000).await.map(drop)
        })
        .body(10 << 20)
        .resets()
        .retried("connection broke: *"),
        case("resets after the request", |mut peer| async move { peer.request().await.map(drop) })
            .resets()
            .retried(RESET),
        case("closes without an answer", |mut peer| async move { peer.request().await.map(drop) })
            .retried(CLOSED),
        ends_with("closes in the status line", "HTTP/1.1 20").retried(CLOSED),
        ends_with("closes in the headers", "HTTP/1.1 200 OK\r\ncontent-le").retried(CLOSED),
        ends_with("closes in the body", "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf")
            .taken("200 OK, \"half\""),
        ends_with("closes in a chunk", "HTTP/1.1 500 Oh\r\ntransfer-encoding: chunked\r\n\r\n9\r\nhalf")
            .retried("500 Internal Server Error, \"half\""),
        // an answer is an answer, whatever of the request was read
        case("answers before the body is sent", |mut peer| async move {
            peer.head().await?;
            peer.send("HTTP/1.1 413 Large\r\ncontent-length: 0\r\n\r\n").await?;
            std::future::pending().await
        })
        .body(10 << 20)
        .dead("413 Payload Too Large"),
        case("takes it before the body is sent", |mut peer| async move {
            peer.head().await?;
            peer.send(OK).await?;
            peer.linger().await
        })
        .body(10 << 20)
        .taken("200 OK"),
        case("trickles the headers", |mut peer| async move {
            peer.request().await?;
            peer.trickle(format!("HTTP/1.1 200 OK\r\nx: {}", "x".repeat(1000))).await
        })
        .retried("timeout"),
        case("trickles the body", |mut peer| async move {
            peer.request().await?;
            peer.send("HTTP/1.1 500 Slow\r\ncontent-length: 3\r\n\r\nab").await?;
            peer.linger().await
        })
        .retried("500 Internal Server Error, \"ab\""),
        case("trickles chunks", |mut peer| async move {
            peer.request().await?;
            peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await?;
            for _ in 0..30 {
                peer.trickle("1\r\nx\r\n").await?;
            }
            Ok(())
        })
        .taken("200 OK*"),
        case("answers after the timeout", |mut peer| async move {
            if peer.number > 0 {
                peer.request().await?;
                return peer.send(OK).await;
            }
            peer.request().await?;
            tokio::time::sleep(super::TIMEOUT + Duration::from_millis(100)).await;
            peer.send(OK).await
        })
        .retried("timeout")
        .taken("200 OK"),
        case("resets when a connection is used again", |mut peer| async move {
            peer.request().await?;
            peer.send(OK).await?;
            peer.request().await.map(drop)
        })
        .resets()
        .deliveries(2)
        .taken("200 OK")
        .retried(RESET)
        .taken("200 OK"),
        answers("keeps a connection", OK).deliveries(3).taken("200 OK").taken("200 OK").taken("200 OK"),
    ]
}

fn heads() -> Vec<Case> {
    const TOO_LARGE: &str = "connection broke: message head is too large";
    vec![
        floods("never ends the headers", "HTTP/1.1 200 OK\r\n", "x-more: and more\r\n").retried(TOO_LARGE),
        floods("never ends a header", "HTTP/1.1 200 OK\r\nx: ", "xxxxxxxxxxxxxxxx").retried(TOO_LARGE),
        floods("never ends the reason", "HTTP/1.1 200 ", "OKOKOKOKOKOKOKOK").retried(TOO_LARGE),
        floods("never ends informing", "", "HTTP/1.1 102 Processing\r\n\r\n").retried(ENDLESS),
        floods("never ends continuing", "", "HTTP/1.1 100 Continue\r\n\r\n").retried(ENDLESS),
    ]
}

fn bodies() -> Vec<Case> {
    vec![
        floods("never ends the body", "HTTP/1.1 200 OK\r\n\r\n", "xxxxxxxxxxxxxxxx")
            .taken("200 OK, 1024 bytes"),
        floods(
            "says a huge body and sends it",
            "HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
            "yyyyyyyy",
        )
        .taken("200 OK, 1024 bytes"),
        floods(
            "never ends the chunks",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "3\r\nxyz\r\n",
        )
        .taken("200 OK, 1024 bytes"),
        floods(
            "never ends a chunk extension",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;",
            "xxxxxxxx",
        )
        .taken("200 OK"),
        floods(
            "never ends a chunk size",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "0000000000000000",
        )
        .taken("200 OK"),
        floods(
            "never ends the blanks after a chunk size",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1",
            "                ",
        )
        .taken("200 OK"),
        floods(
            "never ends the trailers",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n",
            "x: yyyyyy\r\n",
        )
        .taken("200 OK"),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_fails_is_tried_again_and_harms_nobody() {
    run(cases(), settings()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_without_end_is_given_up() {
    run(heads(), settings()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_without_end_is_cut_off() {
    run(bodies(), settings()).await;
}

/// What broke: the client looks at the digits of a chunk's size one by one, as long as more of them have arrived and
/// the runtime lets it (some fifty megabytes), without a word to anybody. An endpoint that sent zeros held a
/// thread for many seconds and its own attempt far beyond the timeout; one for each thread held all webhooks. What
/// mended it: a connection has an allowance of bytes, and gives others their turn.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn chunk_sizes_without_end_hold_no_thread() {
    let names = ["zeros", "more zeros", "still more zeros", "zeros for ever"];
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let zeros = |name| floods(name, head, "0000000000000000").deliveries(3);
    let taken = |case: Case| case.taken("200 OK").taken("200 OK").taken("200 OK");
    run(names.map(|name| taken(zeros(name))).into(), settings()).await;
}

/// The allowance is for each answer: who says much again and again, and never too much, keeps his connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn long_answers_keep_a_connection() {
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n{}", "x".repeat(60_000));
    let mut talks = answers("says much again and again", answer).deliveries(20);
    for _ in 0..20 {
        talks = talks.taken("200 OK, 1024 bytes");
    }
    assert_eq!(run(vec![talks], settings()).await[0].connections, 1);
}

/// A connection that is gone when the next delivery wants it costs a second try at most, and no delivery is
/// taken twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_closed_between_requests_doubles_nothing() {
    let keeps = "HTTP/1.1 200 OK\r\nkeep-alive: timeout=60\r\ncontent-length: 0\r\n\r\n";
    let cases = vec![
        ends_with("closes between requests", OK).deliveries(20),
        ends_with("says that it keeps a connection", keeps).deliveries(20),
        ends_with("resets between requests", OK).resets().deliveries(20),
    ];
    let mut reports = run(cases, settings()).await;
    let resets = reports.pop().unwrap();
    for report in reports {
        let sequences =
            report.requests.iter().map(|request| request.headers["walhook-sequence"].parse::<u64>().unwrap());
        assert!(sequences.eq(1..=20u64), "taken twice or out of order");
    }
    // whoever resets takes the answer back: then a repeat is right, by the same id
    let ids = resets.requests.iter().map(|request| &request.headers["webhook-id"]);
    assert_eq!(ids.collect::<std::collections::BTreeSet<_>>().len(), 20);
}

/// Whoever answers twice gives the second answer to nobody: the next delivery goes out, and has its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_to_no_request_is_taken_for_no_delivery() {
    let twice = case("answers twice", |mut peer| async move {
        peer.request().await?;
        let refusal = "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n";
        peer.send(if peer.number == 0 { [OK, OK].concat() } else { refusal.to_owned() }).await?;
        peer.linger().await
    });
    let reports =
        run(vec![twice.deliveries(2).taken("200 OK").retried("503 Service Unavailable")], settings()).await;
    assert_eq!((reports[0].requests.len(), reports[0].connections), (2, 2));
}
