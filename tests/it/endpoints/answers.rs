//! Answers that are not HTTP, contradict themselves, ask for the absurd or carry what should not be shown.

use super::{Case, answers, ends_with, run, settings};

/// An endpoint that answers with this status line, headers and body.
fn says(name: &'static str, head: &str, body: &[u8]) -> Case {
    let length = body.len();
    answers(name, [format!("HTTP/1.1 {head}\r\ncontent-length: {length}\r\n\r\n").as_bytes(), body].concat())
}

/// An endpoint that answers with this status line and headers.
fn status(name: &'static str, head: &str) -> Case {
    says(name, head, b"")
}

fn not_http() -> Vec<Case> {
    const VERSION: &str = "connection broke: invalid HTTP version parsed";
    const STATUS: &str = "connection broke: invalid HTTP status-code parsed";
    const HEADER: &str = "connection broke: invalid HTTP header parsed";
    const LENGTH: &str = "connection broke: invalid content-length parsed";
    vec![
        answers("another protocol", "SSH-2.0-OpenSSH_9.2p1\r\n").retried(VERSION),
        answers("a mail server", "220 mail.example ESMTP ready\r\n").retried(VERSION),
        answers("TLS where none is expected", b"\x15\x03\x01\0\x02\x02\x0a".to_vec()).retried(VERSION),
        answers("binary garbage", (0..=255).collect::<Vec<u8>>()).retried(VERSION),
        answers("HTTP/0.9", "<html>It works!</html>\r\n").retried(VERSION),
        answers("HTTP/2 without being asked", b"\0\0\0\x04\0\0\0\0\0".to_vec()).retried(VERSION),
        answers("HTTP/1.2", "HTTP/1.2 200 OK\r\n\r\n").retried(VERSION),
        answers("HTTP/2.0 in text", "HTTP/2.0 200 OK\r\n\r\n").retried(VERSION),
        answers("http in small letters", "http/1.1 200 OK\r\n\r\n").retried(VERSION),
        ends_with("HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\nold").taken("200 OK, \"old\""),
        answers("no reason", "HTTP/1.1 204\r\n\r\n").taken("204 No Content"),
        answers("line feeds alone", "HTTP/1.1 200 OK\ncontent-length: 2\n\nok").taken("200 OK, \"ok\""),
        answers("status 000", "HTTP/1.1 000 Zero\r\ncontent-length: 0\r\n\r\n").retried(STATUS),
        answers("status 99", "HTTP/1.1 99 Short\r\ncontent-length: 0\r\n\r\n").retried(STATUS),
        answers("status 2000", "HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n").retried(STATUS),
        answers("status -20", "HTTP/1.1 -20 OK\r\ncontent-length: 0\r\n\r\n").retried(STATUS),
        answers("status abc", "HTTP/1.1 abc OK\r\ncontent-length: 0\r\n\r\n").retried(STATUS),
        status("status 600", "600 Beyond").dead("600"),
        status("status 999", "999 Denied").dead("999"),
        answers("a header without a colon", "HTTP/1.1 200 OK\r\nnonsense\r\n\r\n").retried(HEADER),
        answers("a header without a name", "HTTP/1.1 200 OK\r\n: nonsense\r\n\r\n").retried(HEADER),
        answers("a header in two lines", "HTTP/1.1 200 OK\r\nx: a\r\n b\r\n\r\n").retried(HEADER),
        answers("NUL in a header", "HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n").retried(HEADER),
        answers("NUL in the reason", "HTTP/1.1 200 O\0K\r\n\r\n").retried(STATUS),
        status("ESC in the reason", "503 \x1b[2J\x1b[31mall is well").retried(STATUS),
        ends_with("101 headers", format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(101)))
            .retried("connection broke: message head is too large"),
        status("a header of 100 kB", &format!("200 OK\r\nx: {}", "x".repeat(100_000))).taken("200 OK"),
        answers("a length that is no number", "HTTP/1.1 200 OK\r\ncontent-length: many\r\n\r\n")
            .retried(LENGTH),
        answers("a negative length", "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n").retried(LENGTH),
        answers("a length beyond 64 bits", "HTTP/1.1 200 OK\r\ncontent-length: 99999999999999999999\r\n\r\n")
            .retried(LENGTH),
        answers("two lengths", "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab")
            .retried(LENGTH),
        answers(
            "the same length twice",
            "HTTP/1.1 200 OK\r\ncontent-length: 2\r\ncontent-length: 2\r\n\r\nab",
        )
        .taken("200 OK, \"ab\""),
        ends_with("a body without a length", "HTTP/1.1 200 OK\r\n\r\nbody").taken("200 OK, \"body\""),
        answers("a body longer than said", "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nabcdef")
            .taken("200 OK, \"ab\""),
        answers(
            "length and chunks",
            "HTTP/1.1 200 OK\r\ncontent-length: 99\r\ntransfer-encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        )
        .taken("200 OK, \"a\""),
        answers(
            "a chunk size that is no number",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n",
        )
        .taken("200 OK"),
        answers(
            "a chunk size beyond 64 bits",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        )
        .taken("200 OK"),
        ends_with(
            "an unknown transfer encoding",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: nonsense\r\n\r\nabc",
        )
        .taken("200 OK, \"abc\""),
    ]
}

fn statuses() -> Vec<Case> {
    let redirect = |name, status: &str, to: &str| self::status(name, &format!("{status}\r\nlocation: {to}"));
    let too_many = |name, pause: &str| self::status(name, &format!("429 Slow\r\nretry-after: {pause}"));
    const TOO_MANY: &str = "429 Too Many Requests";
    vec![
        answers(
            "101 switching protocols",
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n",
        )
        .dead("101 Switching Protocols"),
        answers(
            "many 1xx and an answer",
            "HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n".repeat(200) + super::OK,
        )
        .taken("200 OK"),
        status("205 with no body", "205 Reset").taken("205 Reset Content"),
        says("204 with a body", "204 No Content", b"body").taken("204 No Content"),
        says("304 with a body", "304 Not Modified", b"body").dead("304 Not Modified"),
        redirect("301 elsewhere", "301 Moved", "http://healthy.test/").dead("301 Moved Permanently"),
        redirect("302 inside", "302 Found", "http://127.0.0.3/").dead("302 Found"),
        redirect("303 to a file", "303 See Other", "file:///etc/passwd").dead("303 See Other"),
        redirect("307 to itself", "307 Temporary", "/hook").dead("307 Temporary Redirect"),
        redirect("308 to itself without end", "308 Permanent", "?again").dead("308 Permanent Redirect"),
        redirect("302 to nonsense", "302 Found", "http://[::1/").dead("302 Found"),
        status("300 without a choice", "300 Multiple").dead("300 Multiple Choices"),
        status("400", "400 Bad").dead("400 Bad Request"),
        status(
            "401 with a strange challenge",
            "401 No\r\nwww-authenticate: Negotiate, NTLM TlRMTVNTUAAC, , =,\"\\",
        )
        .retried("401 Unauthorized"),
        status(
            "401 with many challenges",
            &format!("401 No{}", "\r\nwww-authenticate: Basic realm=\"x\"".repeat(90)),
        )
        .retried("401 Unauthorized"),
        status("407", "407 Proxy\r\nproxy-authenticate: Basic").dead("407 Proxy Authentication Required"),
        status("408", "408 Timeout\r\nconnection: close").retried("408 Request Timeout"),
        status("410", "410 Gone").retried("410 Gone"),
        status("413", "413 Large\r\nretry-after: 1").dead("413 Payload Too Large, pause 1 s"),
        status("421", "421 Misdirected").dead("421 Misdirected Request"),
        status("425", "425 Early").retried("425 Too Early"),
        too_many("a pause below zero", "-1").retried(TOO_MANY),
        too_many("a pause of nothing", "").retried(TOO_MANY),
        too_many("a pause of a fraction", "1.5").retried(TOO_MANY),
        too_many("a pause in words", "a little while").retried(TOO_MANY),
        too_many("a pause in exponents", "1e9").retried(TOO_MANY),
        too_many("a pause of 136 years", "99999999999999999999999999")
            .retried("429 Too Many Requests, pause 4294967295 s"),
        too_many("a pause until long ago", "Sun, 06 Nov 1994 08:49:37 GMT")
            .retried("429 Too Many Requests, pause 0 s"),
        too_many("a pause until a day that never was", "Sun, 31 Feb 2026 08:49:37 GMT").retried(TOO_MANY),
        too_many("a pause in bytes", "\u{fffd}\u{1f4a3}").retried(TOO_MANY),
        too_many("two pauses", "7\r\nretry-after: 9").retried("429 Too Many Requests, pause 7 s"),
        status("503 until long ago", "503 Busy\r\nretry-after: Sun, 06 Nov 1994 08:49:37 GMT")
            .retried("503 Service Unavailable, pause 0 s"),
        status("599", "599 Own").retried("599"),
    ]
}

fn bodies() -> Vec<Case> {
    // a gigabyte of zeros begins like this
    let bomb = [b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xec\xc1\x01\x01".as_slice(), &[0; 2000]].concat();
    vec![
        says("a bomb in gzip", "200 OK\r\ncontent-encoding: gzip", &bomb).taken("200 OK, 3072 bytes"),
        says("a bomb in br", "500 Bomb\r\ncontent-encoding: br", b"\xcf\xff\xff\x7f\xf8")
            .retried("500 Internal Server Error, \"\u{fffd}\u{fffd}\u{fffd}\u{fffd}\u{fffd}\""),
        says("layers of encodings", "200 OK\r\ncontent-encoding: gzip, br, zstd, gzip", b"x")
            .taken("200 OK, \"x\""),
        says("invalid UTF-8", "200 OK", b"caf\xe9 \xf0\x9f ok").taken("200 OK, \"caf\u{fffd} \u{fffd} ok\""),
        says("invalid UTF-8 without end", "200 OK", &[0xff; 5000]).taken("200 OK, 3072 bytes"),
        says("NUL and controls", "422 No", b"a\0b\x07\x08\x7f")
            .dead("422 Unprocessable Entity, \"a\u{fffd}b\u{fffd}\u{fffd}\u{fffd}\""),
        says("escapes for a terminal", "422 No", b"\x1b[2J\x1b]0;owned\x07")
            .dead("422 Unprocessable Entity, \"\u{fffd}[2J\u{fffd}]0;owned\u{fffd}\""),
        says("text that runs backwards", "422 No", "\u{202e}txt.exe".as_bytes())
            .dead("422 Unprocessable Entity, \"\u{fffd}txt.exe\""),
        says("a script for a page", "422 No\r\ncontent-type: text/html", b"<script>1</script>")
            .dead("422 Unprocessable Entity, \"<script>1</script>\""),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_http_is_tried_again() {
    run(not_http(), settings()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_status_has_its_end_and_no_redirect_is_followed() {
    let reports = run(statuses(), settings()).await;
    assert!(reports.iter().all(|report| report.connections == 1), "somebody was followed or asked twice");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_endpoints_write_can_be_shown() {
    run(bodies(), settings()).await;
}
