//! The decoder of pgoutput's messages, protocol version 1, values as text (source: PostgreSQL's
//! documentation, "Logical Replication Message Formats").
//!
//! Pure: bytes in, a [`Message`] out. No bytes make it panic.

use super::{Error, Message};
use crate::change::{Column, OldRow, Relation, RelationId, ReplicaIdentity, Row, RowChange, RowSlicer};
use crate::lsn::Lsn;
use bytes::Bytes;

/// From 1970, where our time begins, to 2000, where PostgreSQL's does, in microseconds.
const EPOCH_US: i64 = 946_684_800_000_000;

/// PostgreSQL's time as ours.
pub(super) fn since_1970_us(since_2000_us: i64) -> i64 {
    since_2000_us.saturating_add(EPOCH_US)
}

/// Reads one message. `None` for one that means nothing to us: the name of a type.
///
/// A row change that cannot be read is a message, too ([`Message::Undecodable`]), for it harms only itself;
/// anything else that cannot be read is an error, for nothing after it can be trusted.
pub fn decode(bytes: Bytes) -> Result<Option<Message>, Error> {
    let Some(&kind) = bytes.first() else { return Err(Error::Malformed { what: "an empty message" }) };
    let mut reader = Reader { bytes: &bytes, at: 1 };
    let what = match kind {
        b'I' | b'U' | b'D' => return Ok(Some(change(kind, bytes))),
        b'Y' => return Ok(None),
        b'B' => "Begin",
        b'C' => "Commit",
        b'O' => "Origin",
        b'R' => "Relation",
        b'T' => "Truncate",
        b'M' => "Message",
        unknown => return Err(Error::UnknownMessage(unknown)),
    };
    let message = match kind {
        b'B' => begin(&mut reader),
        b'C' => commit(&mut reader),
        b'O' => origin(&mut reader),
        b'R' => relation(&mut reader),
        b'T' => truncate(&mut reader),
        _ => logical(&mut reader),
    };
    match message {
        Ok(message) if reader.at == bytes.len() => Ok(Some(message)),
        _ => Err(Error::Malformed { what }),
    }
}

fn begin(reader: &mut Reader<'_>) -> Result<Message, Unreadable> {
    Ok(Message::Begin {
        commit_lsn: reader.lsn()?,
        committed_at_us: since_1970_us(reader.u64()? as i64),
        xid: reader.u32()?,
    })
}

fn commit(reader: &mut Reader<'_>) -> Result<Message, Unreadable> {
    let _flags = reader.u8()?;
    let message = Message::Commit { commit_lsn: reader.lsn()?, end_lsn: reader.lsn()? };
    let _committed_at = reader.u64()?;
    Ok(message)
}

fn origin(reader: &mut Reader<'_>) -> Result<Message, Unreadable> {
    let _commit_lsn_there = reader.lsn()?;
    Ok(Message::Origin { name: reader.name()? })
}

fn relation(reader: &mut Reader<'_>) -> Result<Message, Unreadable> {
    let id = reader.u32()?;
    let schema = match reader.name()? {
        // the documentation: empty for pg_catalog
        empty if empty.is_empty() => "pg_catalog".to_owned(),
        schema => schema,
    };
    let name = reader.name()?;
    let identity = match reader.u8()? {
        b'd' => ReplicaIdentity::Default,
        b'n' => ReplicaIdentity::Nothing,
        b'f' => ReplicaIdentity::Full,
        b'i' => ReplicaIdentity::Index,
        _ => return Err(Unreadable("an unknown replica identity")),
    };
    let count = reader.u16()?;
    let mut columns = Vec::with_capacity(usize::from(count).min(reader.rest()));
    for _ in 0..count {
        let flags = reader.u8()?;
        columns.push(Column {
            in_identity: flags & 1 != 0,
            name: reader.name()?,
            type_oid: reader.u32()?,
            type_modifier: reader.u32()? as i32,
        });
    }
    Ok(Message::Relation(Relation { id, schema, name, identity, columns }))
}

fn truncate(reader: &mut Reader<'_>) -> Result<Message, Unreadable> {
    let count = reader.u32()? as usize;
    let _options = reader.u8()?;
    let mut relations = Vec::with_capacity(count.min(reader.rest()));
    for _ in 0..count {
        relations.push(reader.u32()?);
    }
    Ok(Message::Truncate { relations })
}

fn logical(reader: &mut Reader<'_>) -> Result<Message, Unreadable> {
    let transactional = reader.u8()? & 1 != 0;
    let _lsn = reader.lsn()?;
    let prefix = reader.name()?;
    let length = reader.u32()? as usize;
    let (start, end) = reader.skip(length)?;
    Ok(Message::Logical { transactional, prefix, content: reader.bytes.slice(start..end) })
}

/// Reads a row change, or says why not.
fn change(kind: u8, bytes: Bytes) -> Message {
    let mut reader = Reader { bytes: &bytes, at: 1 };
    let Ok(relation) = reader.u32() else {
        let reason = "it ends before the table's number".to_owned();
        return Message::Undecodable { relation: None, reason, bytes };
    };
    match row_change(kind, &mut reader) {
        Ok(change) => Message::Change { relation, change },
        Err(Unreadable(reason)) => undecodable(relation, reason.to_owned(), bytes),
    }
}

fn undecodable(relation: RelationId, reason: String, bytes: Bytes) -> Message {
    Message::Undecodable { relation: Some(relation), reason, bytes }
}

fn row_change(kind: u8, reader: &mut Reader<'_>) -> Result<RowChange, Unreadable> {
    let mut part = reader.u8()?;
    let mut old = OldRow::Absent;
    if kind != b'I' && matches!(part, b'K' | b'O') {
        let row = reader.row()?;
        old = if part == b'K' { OldRow::Key(row) } else { OldRow::Full(row) };
        if kind == b'U' {
            part = reader.u8()?;
        }
    } else if kind == b'D' {
        return Err(Unreadable("a delete without its old row"));
    }
    let change = match kind {
        b'D' => RowChange::Delete { old },
        _ if part != b'N' => return Err(Unreadable("the new row is not where it should be")),
        b'I' => RowChange::Insert { new: reader.row()? },
        _ => RowChange::Update { old, new: reader.row()? },
    };
    if reader.rest() > 0 {
        return Err(Unreadable("it goes on behind its end"));
    }
    Ok(change)
}

/// Why a message cannot be read.
struct Unreadable(&'static str);

/// Reads big-endian numbers, names and rows from a message.
struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn rest(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn skip(&mut self, length: usize) -> Result<(usize, usize), Unreadable> {
        if length > self.rest() {
            return Err(Unreadable("it ends too early"));
        }
        let start = self.at;
        self.at += length;
        Ok((start, self.at))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (start, end) = self.skip(N)?;
        self.bytes[start..end].try_into().map_err(|_| Unreadable("it ends too early"))
    }

    fn u8(&mut self) -> Result<u8, Unreadable> {
        self.array().map(u8::from_be_bytes)
    }

    fn u16(&mut self) -> Result<u16, Unreadable> {
        self.array().map(u16::from_be_bytes)
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        self.array().map(u32::from_be_bytes)
    }

    fn u64(&mut self) -> Result<u64, Unreadable> {
        self.array().map(u64::from_be_bytes)
    }

    fn lsn(&mut self) -> Result<Lsn, Unreadable> {
        self.u64().map(Lsn)
    }

    /// A text up to a zero byte. In a database in `SQL_ASCII` it can be anything; then it is made readable.
    fn name(&mut self) -> Result<String, Unreadable> {
        let rest = &self.bytes[self.at..];
        let length = rest.iter().position(|byte| *byte == 0).ok_or(Unreadable("a name without end"))?;
        let name = String::from_utf8_lossy(&rest[..length]).into_owned();
        self.at += length + 1;
        Ok(name)
    }

    /// A `TupleData`, cut out of the message without copying.
    fn row(&mut self) -> Result<Row, Unreadable> {
        let count = usize::from(self.u16()?);
        let mut slicer = RowSlicer::new(self.bytes.clone(), count.min(self.rest()));
        for _ in 0..count {
            match self.u8()? {
                b'n' => slicer.push_null(),
                b'u' => slicer.push_unchanged(),
                b't' => {
                    let length = self.u32()? as usize;
                    let (start, end) = self.skip(length)?;
                    slicer.push_text(start, end).map_err(|_| Unreadable("a value is not valid UTF-8"))?;
                }
                b'b' => return Err(Unreadable("a value is in binary form")),
                _ => return Err(Unreadable("a value is of an unknown kind")),
            }
        }
        Ok(slicer.build())
    }
}

#[cfg(test)]
#[path = "pgoutput_tests.rs"]
mod tests;
