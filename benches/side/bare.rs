//! The bare client: the yardstick. It decodes the log with walhook's own decoder, writes a body like walhook's and
//! posts it, and leaves out all that walhook is for: nothing is durable, nothing is tried twice, nothing is in
//! order, nothing is signed, no condition is judged.

use crate::Trouble;
use bytes::Bytes;
use http::Uri;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use hyper::body::{Body, Frame, SizeHint};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::convert::Infallible;
use std::future::poll_fn;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use walhook::change::{Datum, OldRow, Relation, Row, RowChange};
use walhook::lsn::{Durable, Lsn, Progress};
use walhook::postgres::Address;
use walhook::source::{Control, Message, Source};

/// How many bodies may wait for a connection.
const WAITING_MAX: usize = 64;
/// Every so many transactions the server is told that it may forget them.
const CONFIRMED_EACH: u64 = 1000;

/// Reads and posts until it is killed.
pub async fn run(database: &str, slot: &str, url: &str, connections: usize) -> Result<(), Trouble> {
    let url: Uri = url.parse()?;
    let mut posting = JoinSet::new();
    let mut lanes = Vec::new();
    for _ in 0..connections.max(1) {
        let (sender, bodies) = mpsc::channel(WAITING_MAX);
        lanes.push(sender);
        posting.spawn(post(url.clone(), bodies));
    }
    tokio::select! {
        read = read(database, slot, &lanes) => read,
        Some(ended) = posting.join_next() => ended?,
    }
}

async fn read(database: &str, slot: &str, lanes: &[mpsc::Sender<Bytes>]) -> Result<(), Trouble> {
    let address = Address::parse(database)?;
    let mut control = Control::connect(&address, "walhook-bench-bare").await?;
    let from =
        control.slot(slot).await?.and_then(|slot| slot.confirmed_flush_lsn).ok_or("there is no slot")?;
    let mut stream = control.start(slot, from, &["walhook".to_owned()]).await?;
    let mut relations: HashMap<u32, Relation> = HashMap::new();
    let (mut transaction, mut transactions, mut posted) = (Transaction::default(), 0, 0);
    loop {
        match stream.next().await? {
            Message::Begin { commit_lsn, committed_at_us, xid } => {
                transaction = Transaction { commit_lsn, committed_at_us, xid };
            }
            Message::Relation(relation) => {
                relations.insert(relation.id, relation);
            }
            Message::Change { relation, change } => {
                let relation = relations.get(&relation).ok_or("a change of an unknown table")?;
                posted += 1;
                let body = body(posted, relation, &change, &transaction);
                lanes[posted as usize % lanes.len()].send(body.into()).await?;
            }
            Message::Commit { commit_lsn, end_lsn } => {
                transactions += 1;
                if transactions % CONFIRMED_EACH == 0 {
                    // it is durable nowhere: that is what the yardstick leaves out
                    stream.confirm(Durable::after_commit(Progress { commit_lsn, end_lsn }));
                }
            }
            _ => {}
        }
    }
}

#[derive(Default)]
struct Transaction {
    commit_lsn: Lsn,
    committed_at_us: i64,
    xid: u32,
}

/// One connection, one request after the other.
async fn post(url: Uri, mut bodies: mpsc::Receiver<Bytes>) -> Result<(), Trouble> {
    let authority = url.authority().ok_or("the URL has no host")?.to_string();
    let stream = TcpStream::connect(&authority).await?;
    stream.set_nodelay(true)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let mut driving = JoinSet::new();
    driving.spawn(connection);
    while let Some(body) = bodies.recv().await {
        let request = http::Request::post(url.path())
            .header(HOST, &authority)
            .header(CONTENT_TYPE, "application/json")
            .header(CONTENT_LENGTH, body.len())
            .body(Whole(body))?;
        sender.ready().await?;
        let mut answer = sender.send_request(request).await?;
        if !answer.status().is_success() {
            return Err(format!("the receiver answered {}", answer.status()).into());
        }
        while poll_fn(|context| Pin::new(answer.body_mut()).poll_frame(context)).await.transpose()?.is_some()
        {
        }
    }
    Ok(())
}

/// A body in one piece.
struct Whole(Bytes);

impl Body for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let bytes = std::mem::take(&mut self.0);
        Poll::Ready((!bytes.is_empty()).then(|| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.len() as u64)
    }
}

/// A body like walhook's: what changed, the row as it is now, the transaction.
fn body(number: u64, relation: &Relation, change: &RowChange, transaction: &Transaction) -> Vec<u8> {
    let absent = OldRow::Absent;
    let (verb, old, row) = match change {
        RowChange::Insert { new } => ("create", &absent, Some(new)),
        RowChange::Update { old, new } => ("update", old, Some(new)),
        RowChange::Delete { old } => ("delete", old, None),
    };
    let old = match old {
        OldRow::Full(row) | OldRow::Key(row) => Some(row),
        OldRow::Absent | OldRow::NoRow => None,
    };
    let mut out = Vec::with_capacity(1536);
    let _ = write!(
        out,
        r#"{{"id":"bare_{number:032x}","sequence":{number},"form":"{}","event":"{verb}","#,
        relation.name
    );
    if let (Some(old), Some(new)) = (old, row) {
        write_changed(relation, old, new, &mut out);
    }
    if let Some(row) = row.or(old) {
        write_entry(relation, row, &mut out);
    }
    let Transaction { commit_lsn, committed_at_us, xid } = transaction;
    let _ = write!(out, r#""committed_at":{committed_at_us},"lsn":"{commit_lsn}","xid":{xid}}}"#);
    out
}

fn write_changed(relation: &Relation, old: &Row, new: &Row, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""changed":{"#);
    let mut comma = "";
    for (number, column) in relation.columns.iter().enumerate() {
        let (old, new) = (old.datum(number), new.datum(number));
        if old != new && new != Datum::Unchanged {
            let _ = write!(out, "{comma}\"{}\":{{\"old\":", column.name);
            write_value(column.type_oid, old, out);
            out.extend_from_slice(b",\"new\":");
            write_value(column.type_oid, new, out);
            out.push(b'}');
            comma = ",";
        }
    }
    out.extend_from_slice(b"},");
}

fn write_entry(relation: &Relation, row: &Row, out: &mut Vec<u8>) {
    out.extend_from_slice(br#""entry":{"#);
    let mut comma = "";
    for (number, column) in relation.columns.iter().enumerate() {
        let _ = write!(out, "{comma}\"{}\":", column.name);
        write_value(column.type_oid, row.datum(number), out);
        comma = ",";
    }
    out.extend_from_slice(b"},");
}

/// Whole numbers and JSON as they are, all else as a string.
fn write_value(type_oid: u32, datum: Datum<'_>, out: &mut Vec<u8>) {
    const AS_THEY_ARE: [u32; 4] = [20, 23, 114, 3802];
    match datum {
        Datum::Text(text) if AS_THEY_ARE.contains(&type_oid) => out.extend_from_slice(text.as_bytes()),
        Datum::Text(text) => {
            // writing to memory, a string cannot fail
            let _ = serde_json::to_writer(out, text);
        }
        Datum::Null | Datum::Unchanged => out.extend_from_slice(b"null"),
    }
}
