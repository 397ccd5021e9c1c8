//! What travels inside CopyData while replication streams (source: PostgreSQL's documentation, "Streaming
//! Replication Protocol").

use super::Error;
use crate::lsn::Lsn;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What the server sends.
#[derive(Debug, PartialEq, Eq)]
pub enum FromServer {
    /// A piece of the log: one message of the output plugin.
    Data {
        /// Where it lies in the log; 0 for messages that lie nowhere.
        start: Lsn,
        /// The message.
        payload: Bytes,
    },
    /// A sign of life.
    Keepalive {
        /// Everything of ours up to here has been sent.
        wal_end: Lsn,
        /// Whether the server wants an answer at once.
        reply_requested: bool,
    },
}

impl FromServer {
    /// Reads what lies inside CopyData.
    pub fn read(mut bytes: Bytes) -> Result<Self, Error> {
        let malformed = Error::Malformed { what: "the frame around a message" };
        match bytes.first() {
            // XLogData: start, end of the log, the server's clock, the message
            Some(b'w') if bytes.len() >= 25 => {
                bytes.advance(1);
                let start = Lsn(bytes.get_u64());
                bytes.advance(16);
                Ok(Self::Data { start, payload: bytes })
            }
            // Primary keepalive: end of the log, the server's clock, reply requested
            Some(b'k') if bytes.len() >= 18 => {
                bytes.advance(1);
                let wal_end = Lsn(bytes.get_u64());
                bytes.advance(8);
                Ok(Self::Keepalive { wal_end, reply_requested: bytes.get_u8() != 0 })
            }
            Some(b'w' | b'k') | None => Err(malformed),
            Some(&unknown) => Err(Error::UnknownMessage(unknown)),
        }
    }
}

/// What we have, as the server is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Status {
    /// What has arrived.
    pub(super) received: Lsn,
    /// What is durable here, and so may be forgotten there.
    pub(super) durable: Lsn,
    /// Our clock, in microseconds since 2000: the server shows it to its operators.
    pub(super) now_us: i64,
    /// Whether we want an answer at once.
    pub(super) reply_requested: bool,
}

impl Status {
    /// A standby status update inside CopyData.
    pub(super) fn write(self, out: &mut BytesMut) {
        out.put_u8(b'd');
        out.put_u32(4 + 34);
        out.put_u8(b'r');
        out.put_u64(self.received.max(self.durable).0);
        out.put_u64(self.durable.0);
        out.put_u64(self.durable.0);
        out.put_i64(self.now_us);
        out.put_u8(u8::from(self.reply_requested));
    }
}

/// CopyDone.
pub(super) const COPY_DONE: &[u8] = b"c\0\0\0\x04";
/// Terminate.
pub(super) const TERMINATE: &[u8] = b"X\0\0\0\x04";

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn frames_are_read_and_written_as_the_protocol_says() {
        let mut data = vec![b'w'];
        data.extend([0, 0, 0, 0, 0, 0, 0, 7]);
        data.extend([0; 16]);
        data.extend(b"B...");
        let payload = Bytes::from_static(b"B...");
        let expected = FromServer::Data { start: Lsn(7), payload };
        assert_eq!(FromServer::read(data.into()).unwrap(), expected);
        let keepalive = b"k\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\0\x01";
        let expected = FromServer::Keepalive { wal_end: Lsn(9), reply_requested: true };
        assert_eq!(FromServer::read(Bytes::from_static(keepalive)).unwrap(), expected);
        let mut out = BytesMut::new();
        Status { received: Lsn(3), durable: Lsn(2), now_us: 0, reply_requested: false }.write(&mut out);
        assert_eq!(out.len(), 39);
        assert_eq!(&out[..14], b"d\0\0\0\x26r\0\0\0\0\0\0\0\x03");
    }

    proptest! {
        #[test]
        fn no_bytes_make_reading_panic(bytes: Vec<u8>) {
            let _ = FromServer::read(Bytes::from(bytes));
        }
    }
}
