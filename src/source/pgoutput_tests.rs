use super::*;
use crate::change::Datum;
use bytes::{BufMut, BytesMut};
use proptest::prelude::*;

/// Messages as a server sends them, one of each kind.
fn samples() -> Vec<Bytes> {
    let message = |parts: &[&[u8]]| Bytes::from(parts.concat());
    let row: &[u8] = b"\0\x04t\0\0\0\x0242nut\0\0\0\0";
    vec![
        message(&[b"B", &7u64.to_be_bytes(), &1u64.to_be_bytes(), &9u32.to_be_bytes()]),
        message(&[b"C\0", &7u64.to_be_bytes(), &8u64.to_be_bytes(), &1u64.to_be_bytes()]),
        message(&[b"O", &7u64.to_be_bytes(), b"etl\0"]),
        message(&[b"R\0\0\x40\0helpdesk\0Incident\0f\0\x02\x01id\0\0\0\0\x17\xff\xff\xff\xff\0a b\0\0\0\0\x19\0\0\0\x08"]),
        message(&[b"Y\0\0\x40\0public\0mood\0"]),
        message(&[b"I\0\0\x40\0N", row]),
        message(&[b"U\0\0\x40\0N", row]),
        message(&[b"U\0\0\x40\0K", row, b"N", row]),
        message(&[b"U\0\0\x40\0O", row, b"N", row]),
        message(&[b"D\0\0\x40\0K", row]),
        message(&[b"D\0\0\x40\0O", row]),
        message(&[b"T\0\0\0\x02\x01\0\0\x40\0\0\0\x40\x01"]),
        message(&[b"M\x01", &7u64.to_be_bytes(), b"walhook.mark\0\0\0\0\x03abc"]),
    ]
}

fn check(index: usize, expected: &Message) {
    assert_eq!(decode(samples()[index].clone()).unwrap().as_ref(), Some(expected));
}

fn row() -> Row {
    [Datum::Text("42"), Datum::Null, Datum::Unchanged, Datum::Text("")].into_iter().collect()
}

fn same_row(one: &Row, other: &Row) -> bool {
    one.data().eq(other.data())
}

#[test]
fn transactions_are_read() {
    let committed_at_us = 946_684_800_000_001;
    check(0, &Message::Begin { commit_lsn: Lsn(7), committed_at_us, xid: 9 });
    check(1, &Message::Commit { commit_lsn: Lsn(7), end_lsn: Lsn(8) });
    check(2, &Message::Origin { name: "etl".into() });
    check(11, &Message::Truncate { relations: vec![0x4000, 0x4001] });
    let content = Bytes::from_static(b"abc");
    check(12, &Message::Logical { transactional: true, prefix: "walhook.mark".into(), content });
    assert_eq!(decode(samples()[4].clone()).unwrap(), None);
}

#[test]
fn relations_are_read() {
    let column = |name: &str, type_oid, type_modifier, in_identity| Column {
        name: name.into(),
        type_oid,
        type_modifier,
        in_identity,
    };
    let relation = Relation {
        id: 0x4000,
        schema: "helpdesk".into(),
        name: "Incident".into(),
        identity: ReplicaIdentity::Full,
        columns: vec![column("id", 23, -1, true), column("a b", 25, 8, false)],
    };
    check(3, &Message::Relation(relation));
    let catalog = Bytes::from_static(b"R\0\0\0\x01\0pg_class\0n\0\0");
    let Ok(Some(Message::Relation(relation))) = decode(catalog) else { panic!("no relation") };
    assert_eq!(relation.schema, "pg_catalog");
}

#[test]
fn row_changes_are_read_without_copying() {
    let change = |index: usize| match decode(samples()[index].clone()).unwrap() {
        Some(Message::Change { relation: 0x4000, change }) => change,
        other => panic!("{other:?}"),
    };
    assert!(matches!(change(5), RowChange::Insert { new } if same_row(&new, &row())));
    assert!(matches!(change(6), RowChange::Update { old: OldRow::Absent, new } if same_row(&new, &row())));
    assert!(matches!(change(7), RowChange::Update { old: OldRow::Key(old), .. } if same_row(&old, &row())));
    assert!(matches!(change(8), RowChange::Update { old: OldRow::Full(old), .. } if same_row(&old, &row())));
    assert!(matches!(change(9), RowChange::Delete { old: OldRow::Key(_) }));
    assert!(matches!(change(10), RowChange::Delete { old: OldRow::Full(_) }));
}

#[test]
fn a_row_that_cannot_be_read_harms_only_itself() {
    let check = |bytes: &'static [u8], table: Option<RelationId>, why: &str| {
        let bytes = Bytes::from_static(bytes);
        match decode(bytes.clone()) {
            Ok(Some(Message::Undecodable { relation, reason, bytes: kept })) => {
                assert_eq!((relation, reason.as_str(), kept), (table, why, bytes));
            }
            other => panic!("{other:?}"),
        }
    };
    check(b"I\0\0", None, "it ends before the table's number");
    check(b"I\0\0\0\x01N\0\x01t\0\0\0\x01\xff", Some(1), "a value is not valid UTF-8");
    check(b"I\0\0\0\x01N\0\x01t\0\0\0\x09a", Some(1), "it ends too early");
    check(b"I\0\0\0\x01N\0\x01t\xff\xff\xff\xffa", Some(1), "it ends too early");
    check(b"I\0\0\0\x01N\0\x01b\0\0\0\x01a", Some(1), "a value is in binary form");
    check(b"I\0\0\0\x01N\0\x01?", Some(1), "a value is of an unknown kind");
    check(b"I\0\0\0\x01N\0\0more", Some(1), "it goes on behind its end");
    check(b"I\0\0\0\x01K\0\0", Some(1), "the new row is not where it should be");
    check(b"D\0\0\0\x01N\0\0", Some(1), "a delete without its old row");
}

#[test]
fn what_is_unknown_or_broken_otherwise_is_an_error() {
    assert!(matches!(decode(Bytes::from_static(b"S\0\0\0\x01")), Err(Error::UnknownMessage(b'S'))));
    assert!(matches!(decode(Bytes::new()), Err(Error::Malformed { .. })));
    assert!(matches!(decode(Bytes::from_static(b"B\0")), Err(Error::Malformed { what: "Begin" })));
    assert!(matches!(
        decode(Bytes::from_static(b"R\0\0\0\x01a\0b\0f\xff\xff")),
        Err(Error::Malformed { what: "Relation" })
    ));
    assert!(matches!(
        decode(Bytes::from_static(b"T\xff\xff\xff\xff\0")),
        Err(Error::Malformed { what: "Truncate" })
    ));
}

/// Reads every value, for a row's reader may panic as well.
fn read_all(message: Message) {
    if let Message::Change { change, .. } = message {
        let (old, new) = match change {
            RowChange::Insert { new } => (OldRow::Absent, Some(new)),
            RowChange::Update { old, new } => (old, Some(new)),
            RowChange::Delete { old } => (old, None),
        };
        for row in old.row().into_iter().chain(&new) {
            assert!(row.data().count() == row.len());
        }
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_decoder_panic(kind in prop::sample::select(&b"BCORYIUDTMSE"[..]), rest: Vec<u8>) {
        let mut bytes = BytesMut::new();
        bytes.put_u8(kind);
        bytes.extend_from_slice(&rest);
        if let Ok(Some(message)) = decode(bytes.freeze()) {
            read_all(message);
        }
    }

    #[test]
    fn no_damage_to_a_real_message_makes_it_panic(
        sample in prop::sample::select(samples()),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
        cut: prop::sample::Index,
    ) {
        let mut bytes = sample.to_vec();
        for (at, with) in damage {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        let whole = Bytes::from(bytes);
        for bytes in [whole.clone(), whole.slice(..cut.index(whole.len()))] {
            if let Ok(Some(message)) = decode(bytes) {
                read_all(message);
            }
        }
    }
}
