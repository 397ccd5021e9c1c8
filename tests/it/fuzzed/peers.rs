//! Bytes from the network, on real sockets: in place of an endpoint's answer, and of a server's greeting.

#[path = "../../../fuzz/targets/answer.rs"]
mod answer_target;
#[path = "../../../fuzz/targets/greeting.rs"]
mod greeting_target;

use super::{attack, write_seed, writes_corpus};

const ANSWERS: [(&str, &str); 12] = [
    ("ok", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nnoted"),
    (
        "chunks",
        "HTTP/1.1 503 No\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nnoted\r\n1\r\n!\r\n0\r\nx: y\r\n\r\n",
    ),
    ("chunk-size", "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nfffffffffffffff1\r\nnoted"),
    ("length", "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551615\r\n\r\nnoted"),
    ("lengths", "HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nnoted"),
    (
        "retry",
        "HTTP/1.1 429 Later\r\nretry-after: Sun, 06 Nov 2094 08:49:37 GMT\r\ncontent-length: 0\r\n\r\n",
    ),
    ("interim", "HTTP/1.1 103 Early\r\nlink: </a>\r\n\r\nHTTP/1.1 100 Go\r\n\r\nHTTP/1.1 204 No\r\n\r\n"),
    ("switch", "HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\nmore"),
    ("old", "HTTP/1.0 301 Moved\nlocation: /there\n\n\x1b[2J\u{202e}gone"),
    ("folded", "HTTP/1.1 200 OK\r\na: b\r\n c\r\n\tet: d\r\n\r\n"),
    ("http2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
    ("ssh", "SSH-2.0-OpenSSH_9.2\r\n"),
];

/// What a server that needs no password says.
const WELCOME: &[u8] =
    b"R\0\0\0\x08\0\0\0\0S\0\0\0\x18server_version\x0015.4\0S\0\0\0\x19client_encoding\0UTF8\0\
                         K\0\0\0\x0c\0\0\0\x01\0\0\0\x02Z\0\0\0\x05I";

fn write_seeds() {
    for (name, answer) in ANSWERS {
        write_seed("answer", name, &[&[0][..], answer.as_bytes()].concat());
    }
    // a fatal alert, and the beginning of a server's hello
    write_seed("answer", "tls-alert", b"\x01\x15\x03\x03\0\x02\x02\x28");
    let hello =
        [&b"\x01\x16\x03\x03\0\x2e\x02\0\0\x2a\x03\x03"[..], &[7; 32], b"\0\x13\x01\0\0\x02\0\0"].concat();
    write_seed("answer", "tls-hello", &hello);
    let row = |values: &[&str]| {
        let mut body = (values.len() as u16).to_be_bytes().to_vec();
        for value in values {
            body.extend((value.len() as u32).to_be_bytes());
            body.extend(value.as_bytes());
        }
        [&b"D"[..], &(body.len() as u32 + 4).to_be_bytes(), &body].concat()
    };
    let identity = row(&["7000000000000000001", "1", "0/16B3748", "helpdesk"]);
    let ready = b"Z\0\0\0\x05I";
    let both = b"W\0\0\0\x07\0\0\0d\0\0\0\x16k\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\0\x00d\0\0\0\x35w\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x09\
                 \0\0\0\0\0\0\0\0B\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x01\0\0\0\x07c\0\0\0\x04";
    let refusal = b"E\0\0\0\x25SFATAL\0VFATAL\0C28P01\0Mno entry\0\0\0";
    let scram = b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0R\0\0\0\x2a\0\0\0\x0br=abc,s=QSXCR+Q6sek8bf92,i=4096";
    for choice in [0, 1] {
        let seed = |name: &str, parts: &[&[u8]]| {
            write_seed("greeting", &format!("{name}-{choice}"), &[&[choice][..], &parts.concat()].concat());
        };
        seed("welcome", &[WELCOME]);
        seed("stream", &[WELCOME, &identity, b"C\0\0\0\x0dSELECT 1\0", ready, both]);
        seed("refusal", &[refusal]);
        seed("scram", &[scram]);
        seed("md5", &[b"R\0\0\0\x0c\0\0\0\x05salt", WELCOME]);
    }
    write_seed("greeting", "tls", b"\x02S\x16\x03\x03\0\x02\x02\x28");
    write_seed("greeting", "no-tls", b"\x03N");
}

#[test]
fn whatever_an_endpoint_sends_has_an_outcome_in_time() {
    if writes_corpus() {
        write_seeds();
    }
    attack("answer", 700, answer_target::answer);
}

#[test]
fn whatever_stands_in_place_of_a_server_is_refused_in_time() {
    if writes_corpus() {
        write_seeds();
    }
    attack("greeting", 700, greeting_target::greeting);
}
