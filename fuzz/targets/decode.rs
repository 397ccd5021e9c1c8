//! The decoder of pgoutput's messages: what it reads is what stands there, and costs no more than that.

// in the tests a module, for the fuzzer a file of its own
#![allow(unreachable_pub, dead_code)]

use bytes::Bytes;
use walhook::change::{Datum, OldRow, Relation, ReplicaIdentity, Row, RowChange};
use walhook::source::{Message, pgoutput};

/// What a byte of a message can cost in memory: a column that was not sent takes one byte there and a cell here.
const BYTES_PER_BYTE_MAX: usize = 64;

/// Any bytes are a message, one that means nothing, a row that cannot be read or an error. What was read, written
/// down again, is the message as it came, but for the parts that nobody keeps.
pub fn decode(bytes: &[u8]) {
    let Ok(Some(message)) = pgoutput::decode(Bytes::copy_from_slice(bytes)) else { return };
    let bytes_max = BYTES_PER_BYTE_MAX * (bytes.len() + 8);
    assert!(taken_bytes(&message) <= bytes_max, "{} bytes take {}", bytes.len(), taken_bytes(&message));
    if let Message::Undecodable { bytes: kept, reason, relation } = &message {
        assert_eq!(kept, bytes);
        assert!(!reason.is_empty());
        assert_eq!(relation.is_some(), bytes.len() >= 5);
        return;
    }
    let mut original = Original { rest: bytes };
    original.is(&message);
    assert!(original.rest.is_empty(), "{message:?} leaves {:?} unread", original.rest);
}

/// Near enough what a message holds on to.
fn taken_bytes(message: &Message) -> usize {
    match message {
        Message::Relation(relation) => {
            let names = relation.columns.iter().map(|column| column.name.capacity()).sum::<usize>();
            relation.columns.capacity() * size_of::<walhook::change::Column>() + names
        }
        Message::Truncate { relations } => relations.capacity() * 4,
        // two rows share the bytes
        Message::Change { change, .. } => change.footprint_bytes(),
        _ => 0,
    }
}

/// A writer of pgoutput that compares instead of writing.
struct Original<'a> {
    rest: &'a [u8],
}

impl Original<'_> {
    fn is(&mut self, message: &Message) {
        match message {
            Message::Begin { commit_lsn, committed_at_us, xid } => {
                self.bytes(b"B");
                self.bytes(&commit_lsn.0.to_be_bytes());
                let since_2000_us = i64::from_be_bytes(self.array());
                assert_eq!(*committed_at_us, since_2000_us.saturating_add(946_684_800_000_000));
                self.bytes(&xid.to_be_bytes());
            }
            Message::Commit { commit_lsn, end_lsn } => {
                self.bytes(b"C");
                let _flags: [u8; 1] = self.array();
                self.bytes(&commit_lsn.0.to_be_bytes());
                self.bytes(&end_lsn.0.to_be_bytes());
                let _committed_at: [u8; 8] = self.array();
            }
            Message::Origin { name } => {
                self.bytes(b"O");
                let _commit_lsn_there: [u8; 8] = self.array();
                self.name(name);
            }
            Message::Relation(relation) => self.relation(relation),
            Message::Change { relation, change } => self.change(*relation, change),
            Message::Truncate { relations } => {
                self.bytes(b"T");
                self.bytes(&u32::try_from(relations.len()).unwrap().to_be_bytes());
                let _options: [u8; 1] = self.array();
                for relation in relations {
                    self.bytes(&relation.to_be_bytes());
                }
            }
            Message::Logical { transactional, prefix, content } => {
                self.bytes(b"M");
                let [flags] = self.array();
                assert_eq!(*transactional, flags & 1 == 1);
                let _lsn: [u8; 8] = self.array();
                self.name(prefix);
                self.bytes(&u32::try_from(content.len()).unwrap().to_be_bytes());
                self.bytes(content);
            }
            Message::Undecodable { .. } | Message::Keepalive { .. } => panic!("not a message of pgoutput's"),
        }
    }

    fn relation(&mut self, relation: &Relation) {
        self.bytes(b"R");
        self.bytes(&relation.id.to_be_bytes());
        if self.rest.starts_with(b"\0") {
            assert_eq!(relation.schema, "pg_catalog");
            self.bytes(b"\0");
        } else {
            self.name(&relation.schema);
        }
        self.name(&relation.name);
        self.bytes(match relation.identity {
            ReplicaIdentity::Default => b"d",
            ReplicaIdentity::Nothing => b"n",
            ReplicaIdentity::Full => b"f",
            ReplicaIdentity::Index => b"i",
        });
        self.bytes(&u16::try_from(relation.columns.len()).unwrap().to_be_bytes());
        for column in &relation.columns {
            let [flags] = self.array();
            assert_eq!(column.in_identity, flags & 1 == 1);
            self.name(&column.name);
            self.bytes(&column.type_oid.to_be_bytes());
            self.bytes(&column.type_modifier.to_be_bytes());
        }
    }

    fn change(&mut self, relation: u32, change: &RowChange) {
        let (kind, old, new) = match change {
            RowChange::Insert { new } => (b"I", &OldRow::Absent, Some(new)),
            RowChange::Update { old, new } => (b"U", old, Some(new)),
            RowChange::Delete { old } => (b"D", old, None),
        };
        self.bytes(kind);
        self.bytes(&relation.to_be_bytes());
        match old {
            OldRow::Absent | OldRow::NoRow => {}
            OldRow::Key(row) => self.row(b'K', row),
            OldRow::Full(row) => self.row(b'O', row),
        }
        if let Some(new) = new {
            self.row(b'N', new);
        }
    }

    fn row(&mut self, part: u8, row: &Row) {
        self.bytes(&[part]);
        self.bytes(&u16::try_from(row.len()).unwrap().to_be_bytes());
        for datum in row.data() {
            match datum {
                Datum::Null => self.bytes(b"n"),
                Datum::Unchanged => self.bytes(b"u"),
                Datum::Text(text) => {
                    self.bytes(b"t");
                    self.bytes(&u32::try_from(text.len()).unwrap().to_be_bytes());
                    self.bytes(text.as_bytes());
                }
            }
        }
    }

    #[track_caller]
    fn bytes(&mut self, expected: &[u8]) {
        match self.rest.strip_prefix(expected) {
            Some(rest) => self.rest = rest,
            None => panic!("{expected:?} was read, but the message goes on with {:?}", self.rest),
        }
    }

    fn array<const N: usize>(&mut self) -> [u8; N] {
        let (array, rest) = self.rest.split_first_chunk().expect("more was read than there is");
        self.rest = rest;
        *array
    }

    /// Names in another encoding are made readable.
    fn name(&mut self, expected: &str) {
        let end = self.rest.iter().position(|byte| *byte == 0).expect("a name without end was read");
        assert_eq!(String::from_utf8_lossy(&self.rest[..end]), expected);
        self.rest = &self.rest[end + 1..];
    }
}
