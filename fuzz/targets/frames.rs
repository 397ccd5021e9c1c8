//! Cutting a server's messages out of what arrives, and what travels inside while replication streams.

// in the tests a module, for the fuzzer a file of its own
#![allow(unreachable_pub, dead_code)]

use bytes::Bytes;
use walhook::postgres::framing::{Frame, Frames};
use walhook::source::frames::FromServer;

/// The longest frame that is taken.
const FRAME_BYTES_MAX: usize = 1 << 30;
/// How much may be reserved beyond what has arrived: a frame can say that it is long, and need not be.
const AHEAD_BYTES_MAX: usize = 17 << 20;

/// Wherever what arrives is cut in pieces, the same frames come out, and then the same refusal or the same wait for
/// more. The first byte says how the pieces fall, the others are what arrives.
pub fn frames(bytes: &[u8]) {
    let Some((&pattern, stream)) = bytes.split_first() else { return };
    let (whole, end) = cut(&[stream]);
    let (in_pieces, end_in_pieces) = cut(&pieces(stream, pattern));
    assert_eq!(written(&in_pieces), written(&whole), "cut another way");
    assert_eq!(end_in_pieces, end);
    let written = written(&whole);
    assert!(stream.starts_with(&written), "these frames did not arrive");
    match end {
        // what is left is the beginning of a frame
        None => {
            let rest = &stream[written.len()..];
            let length = rest.get(1..5).map(|length| u32::from_be_bytes(length.try_into().unwrap()) as usize);
            assert!(length.is_none_or(|length| rest.len() < length + 1), "a frame was left behind");
        }
        Some(length) => assert!(!(4..=FRAME_BYTES_MAX).contains(&length), "{length} is a length like any"),
    }
    for frame in whole {
        inside(frame.body);
    }
}

/// All frames, and the length that was refused.
fn cut(pieces: &[&[u8]]) -> (Vec<Frame>, Option<usize>) {
    let mut frames = Frames::new(FRAME_BYTES_MAX);
    let mut cut = Vec::new();
    let mut arrived = 0;
    for piece in pieces {
        let mut piece = *piece;
        loop {
            match frames.cut() {
                Ok(Some(frame)) => cut.push(frame),
                Ok(None) if piece.is_empty() => break,
                Ok(None) => {
                    let room = match frames.room() {
                        Ok(room) => room,
                        Err(refused) => return (cut, Some(refused.0)),
                    };
                    assert!(room.capacity() > room.len(), "there is no room for what comes");
                    let fits = piece.len().min(room.capacity() - room.len());
                    room.extend_from_slice(&piece[..fits]);
                    arrived += fits;
                    let reserved = room.capacity();
                    assert!(reserved <= 2 * arrived + AHEAD_BYTES_MAX, "{reserved} bytes for {arrived}");
                    piece = &piece[fits..];
                }
                Err(refused) => return (cut, Some(refused.0)),
            }
        }
    }
    (cut, None)
}

/// Pieces of one byte, of some, or of lengths that change.
fn pieces(stream: &[u8], pattern: u8) -> Vec<&[u8]> {
    let mut pieces = Vec::new();
    let mut rest = stream;
    let mut length = usize::from(pattern);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((length % 32 + 1).min(rest.len()));
        pieces.push(piece);
        rest = after;
        if pattern & 1 == 1 {
            length = (length % 32) * 7 + 3;
        }
    }
    pieces
}

fn written(frames: &[Frame]) -> Vec<u8> {
    let mut written = Vec::new();
    for frame in frames {
        written.push(frame.tag);
        written.extend(u32::try_from(frame.body.len() + 4).unwrap().to_be_bytes());
        written.extend(&frame.body);
    }
    written
}

/// What lies within a frame of the stream is data or a keepalive, as it stands there, or refused.
fn inside(body: Bytes) {
    match FromServer::read(body.clone()) {
        Ok(FromServer::Data { start, payload }) => {
            assert_eq!((body[0], &body[1..9], &body[25..]), (b'w', &start.0.to_be_bytes()[..], &payload[..]));
        }
        Ok(FromServer::Keepalive { wal_end, reply_requested }) => {
            assert_eq!((body[0], &body[1..9]), (b'k', &wal_end.0.to_be_bytes()[..]));
            assert_eq!(reply_requested, body[17] != 0);
        }
        Err(_) => {
            let bytes_min = match body.first() {
                Some(b'w') => 25,
                Some(b'k') => 18,
                _ => usize::MAX,
            };
            assert!(body.len() < bytes_min, "{body:?} is what a server sends");
        }
    }
}
