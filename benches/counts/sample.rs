//! The table `incident` of benches/side/schema.sql: its rows as the log has them, its form, a webhook on it.

use bytes::{BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use walhook::change::{Column, OldRow, Relation, ReplicaIdentity, RowChange};
use walhook::event::{FormEvent, Transaction, Verb};
use walhook::form::{BoundField, BoundForm, Fold, Form, OldValues};
use walhook::lsn::{Lsn, Position};
use walhook::qualification::Qualification;
use walhook::retry::Schedule;
use walhook::source::{Message, pgoutput};
use walhook::value::{Kind, Type};
use walhook::webhook::{
    Authentication, Callback, Listening, OnExhausted, Origin, Sending, Webhook, WebhookId,
};

pub const FORM: &str = "incident";
const RELATION: u32 = 16_400;
/// The columns with their types, as oids of `pg_type`.
const COLUMNS: [(&str, u32); 12] = [
    ("id", 20),
    ("short_description", 25),
    ("description", 25),
    ("status", 23),
    ("impact", 23),
    ("urgency", 23),
    ("assignee", 25),
    ("assigned_group", 25),
    ("opened", 1184),
    ("changed", 1184),
    ("extra", 3802),
    ("mark", 25),
];
/// What an update of a row changes, by the columns' numbers.
const CHANGED: [usize; 5] = [3, 5, 6, 9, 11];
const COMMITTED_AT_US: i64 = 1_795_341_671_123_456;

/// What happens to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    Insert,
    /// An update with the whole old row.
    Update,
}

/// The row of an entry as it was inserted (step 1) or updated (step 2), about 680 bytes.
fn values(entry: u64, step: u64) -> [String; 12] {
    let after = step - 1;
    [
        entry.to_string(),
        format!("Ticket {entry}: the scanner at the front desk does not answer since this morning"),
        format!(
            "{}{:032x}{:032x}",
            "Tried it again after lunch, the same words on its display. ".repeat(5),
            entry.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            entry.wrapping_mul(0xC2B2_AE3D_27D4_EB4F)
        ),
        (entry % 3 + after).to_string(),
        (entry % 4).to_string(),
        ((entry + after) % 5).to_string(),
        format!("person{}", (entry + after) % 40),
        format!("team{}", entry % 8),
        "2026-11-22 09:58:31.117204+00".to_owned(),
        format!("2026-11-22 {:02}:58:31.117204+00", 9 + after),
        format!(
            r#"{{"seen": {}, "floor": {}, "words": ["scanner", "desk", {}]}}"#,
            entry.is_multiple_of(2),
            entry % 12,
            entry % 7
        ),
        format!("{entry}.{step}.{}", COMMITTED_AT_US + entry as i64),
    ]
}

fn put_row(out: &mut BytesMut, entry: u64, step: u64) {
    out.put_u16(COLUMNS.len() as u16);
    for value in values(entry, step) {
        out.put_u8(b't');
        out.put_u32(value.len() as u32);
        out.put_slice(value.as_bytes());
    }
}

/// A change as the server sends it.
pub fn change_bytes(what: What, entry: u64) -> Bytes {
    let mut out = BytesMut::new();
    out.put_u8(if what == What::Insert { b'I' } else { b'U' });
    out.put_u32(RELATION);
    if what == What::Update {
        out.put_u8(b'O');
        put_row(&mut out, entry, 1);
    }
    out.put_u8(b'N');
    put_row(&mut out, entry, if what == What::Insert { 1 } else { 2 });
    out.freeze()
}

/// A transaction of one change as the server sends it; entries count from 1.
pub fn transaction_bytes(what: What, entry: u64) -> [Bytes; 3] {
    let commit_lsn = 0x0100_0000 + 2000 * entry;
    let since_2000_us = COMMITTED_AT_US - 946_684_800_000_000;
    let (mut begin, mut commit) = (BytesMut::new(), BytesMut::new());
    begin.put_u8(b'B');
    begin.put_u64(commit_lsn);
    begin.put_i64(since_2000_us);
    begin.put_u32(700 + entry as u32);
    commit.put_slice(b"C\0");
    commit.put_u64(commit_lsn);
    commit.put_u64(commit_lsn + 48);
    commit.put_i64(since_2000_us);
    [begin.freeze(), change_bytes(what, entry), commit.freeze()]
}

/// The change as it is decoded.
fn change(what: What, entry: u64) -> RowChange {
    match pgoutput::decode(change_bytes(what, entry)) {
        Ok(Some(Message::Change { change, .. })) => change,
        other => panic!("the sample is not a change: {other:?}"),
    }
}

/// What it means.
pub fn event(what: What, entry: u64) -> FormEvent {
    let form = bound();
    let (verb, old, new) = match change(what, entry) {
        RowChange::Insert { new } => (Verb::Create, OldRow::Absent, new),
        RowChange::Update { old, new } => (Verb::Update, old, new),
        RowChange::Delete { .. } => unreachable!("the samples delete nothing"),
    };
    FormEvent {
        verb,
        position: Position { epoch: 0, commit_lsn: Lsn(0x0100_0000 + 2000 * entry), ordinal: 0 },
        transaction: Arc::new(Transaction { xid: 741, committed_at_us: COMMITTED_AT_US, origin: None }),
        entry_id: form.entry_id_of(&new),
        lane: form.lane_of(&form.key_of(&new)),
        behind: vec![],
        old,
        new: Some(new),
        changed: (what == What::Update).then(|| CHANGED.to_vec()),
        renamed_to: None,
        renamed_from: None,
        circumstances: walhook::event::Circumstances::none(),
        form,
    }
}

/// The table as the log describes it.
pub fn relation() -> Relation {
    let column = |(name, type_oid): (&str, u32)| Column {
        name: name.to_owned(),
        type_oid,
        type_modifier: -1,
        in_identity: true,
    };
    Relation {
        id: RELATION,
        schema: "public".into(),
        name: FORM.into(),
        identity: ReplicaIdentity::Full,
        columns: COLUMNS.map(column).to_vec(),
    }
}

pub fn form() -> Form {
    Form {
        name: FORM.into(),
        noun: "record".into(),
        schema: None,
        table: FORM.into(),
        entry_id: vec![],
        record_id: None,
        old_values: OldValues::Auto,
        fold: Fold::Transaction,
        ignore: vec![],
        unset: vec![],
        hidden: vec![],
        fields: vec![],
        happenings: walhook::happening::Happenings::default(),
        itrp: walhook::form::ItrpFields::default(),
        belonging: None,
        referred_by: vec![],
        unchanged_updates: false,
        value_bytes_max: 1 << 20,
        entries: None,
        supplied: vec![],
        deleted: None,
        attachments: walhook::attachment::Attachments::default(),
        parts: vec![],
        dialect: Arc::default(),
    }
}

/// The form bound to its table.
pub fn bound() -> Arc<BoundForm> {
    let field = |(column, (name, oid)): (usize, (&str, u32))| BoundField {
        name: name.to_owned(),
        id: None,
        column,
        type_: Type::built_in(oid).expect("it is a type of PostgreSQL's own"),
        kind: Kind::built_in(oid).expect("it is a type of PostgreSQL's own"),
    };
    Arc::new(BoundForm {
        form: Arc::new(form()),
        relation: Arc::new(relation()),
        fields: COLUMNS.into_iter().enumerate().map(field).collect(),
        key: vec![0],
        former: vec![],
        entry_id: vec![0],
        record_id: None,
        ignored: vec![false; COLUMNS.len()],
        uses_old_values: true,
        delete_insert_is_merge: true,
        happenings: walhook::happening::BoundHappenings::default(),
        belonging: None,
        parts: vec![],
        entries: None,
        deleted: None,
        attachments: vec![],
    })
}

/// A webhook on the form.
pub fn webhook(number: u64, condition: Option<&str>, format: &'static str) -> Webhook {
    let condition = condition.map(|text| Qualification::parse(text).expect("it is in the grammar"));
    Webhook {
        id: WebhookId(number),
        origin: Origin::File,
        name: format!("webhook {number}"),
        description: None,
        listens: vec![Listening::to(FORM, "request", &[Verb::Create, Verb::Update])],
        condition: condition.map(Arc::new),
        payload_fields: vec![],
        send_unchanged_fields: true,
        custom_json: None,
        mail_exceptions_to: vec![],
        exclude: walhook::webhook::Exclude::default(),
        body: walhook::webhook::BodyChoices::default(),
        account: None,
        enabled: true,
        format,
        callback: Callback {
            tls: None,
            proxy: None,
            headers: BTreeMap::new(),
            url: "https://receiver.example/hook".parse().expect("it is a URL"),
            authentication: Authentication { scheme: "NO_AUTH", settings: BTreeMap::default() },
        },
        signing_secrets: vec![],
        policy: None,
        retention: None,
        sending: Sending {
            schedule: Schedule { pauses: vec![] },
            on_exhausted: OnExhausted::Skip,
            in_flight_max: 64,
            per_second_max: None,
            timeout: Duration::from_secs(1),
            backlog_bytes_max: 8 << 30,
        },
    }
}
