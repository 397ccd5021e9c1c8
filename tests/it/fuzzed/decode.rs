//! The log's bytes: messages of pgoutput and the frames around them, recorded from a server and damaged.

#[path = "../../../fuzz/targets/decode.rs"]
mod decode_target;
#[path = "../../../fuzz/targets/frames.rs"]
mod frames_target;

use super::{attack, corpus, write_seed, writes_corpus};
use std::process::Command;
use walhook::demo::cluster::Cluster;
use walhook::postgres::{Address, connect};

#[test]
fn any_bytes_are_decoded_to_what_stands_there_or_refused() {
    attack("decode", 20_000, decode_target::decode);
}

#[test]
fn frames_do_not_depend_on_how_they_arrive() {
    attack("frames", 4_000, frames_target::frames);
}

/// A count that says more than the message can hold reserves nothing for it. Reserving is no writing, so only a
/// limit on addresses shows it: the test starts itself again under one.
#[test]
fn a_count_reserves_no_more_than_there_is() {
    const LIMITED: &str = "WALHOOK_TEST_IS_LIMITED";
    if std::env::var_os(LIMITED).is_some() {
        for prefix in
            [&b"T"[..], b"R\0\0\0\x01a\0b\0f", b"I\0\0\0\x01N", b"U\0\0\0\x01K", b"M\0\0\0\0\0\0\0\0\0a\0"]
        {
            for length in 0..20 {
                decode_target::decode(&[prefix, &[0xff; 20][..length]].concat());
            }
        }
        return;
    }
    let name = "fuzzed::decode::a_count_reserves_no_more_than_there_is";
    let limited = Command::new("sh")
        .args([
            "-c",
            "ulimit -v 4000000 && exec \"$0\" \"$@\"",
            std::env::current_exe().unwrap().to_str().unwrap(),
        ])
        .args(["--exact", name, "--test-threads", "1"])
        .env(LIMITED, "1")
        .output()
        .unwrap();
    let said = [limited.stdout, limited.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(limited.status.success() && said.contains("1 passed"), "{said}");
}

/// Everything that pgoutput says in version 1 of its protocol.
const HISTORY: &str = r#"
    create schema helpdesk;
    create type helpdesk.mood as enum ('sad', 'glad');
    create table helpdesk."Incident" (id int primary key, mood helpdesk.mood, title varchar(40), body text,
        price numeric(12,4), tags text[], born timestamptz);
    create table helpdesk.note (id int primary key, text text);
    alter table helpdesk.note replica identity full;
    create table helpdesk.indexed (a int not null, b text);
    create unique index by_a on helpdesk.indexed (a);
    alter table helpdesk.indexed replica identity using index by_a;
    alter table helpdesk."Incident" alter body set storage external;
    create publication p for table helpdesk."Incident", helpdesk.note, helpdesk.indexed;
"#;
const CHANGES: &str = r#"
    select pg_replication_origin_create('etl');
    insert into helpdesk."Incident" values (1, 'sad', 'é "q"', repeat('long ', 900), 12.5, '{a,"b c",NULL}',
        '2024-06-12 08:30+02'), (2, null, '', null, null, '{}', null);
    update helpdesk."Incident" set mood = 'glad' where id = 1;
    update helpdesk."Incident" set id = 3 where id = 2;
    delete from helpdesk."Incident" where id = 3;
    insert into helpdesk.note values (1, 'x'); update helpdesk.note set text = 'y'; delete from helpdesk.note;
    insert into helpdesk.indexed values (1, 'x'); update helpdesk.indexed set a = 2; delete from helpdesk.indexed;
    truncate helpdesk.note, helpdesk.indexed restart identity;
    select pg_logical_emit_message(true, 'walhook.mark', 'text'), pg_logical_emit_message(false, 'other', '');
    select pg_replication_origin_session_setup('etl');
    begin; select pg_replication_origin_xact_setup('0/7', now()); insert into helpdesk.note values (2, null); commit;
    select pg_replication_origin_session_reset();
"#;

/// What a real server sends is taken whole, and the seeds are of its making.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_sends_is_written_again_as_it_came() {
    let cluster = Cluster::start(&[]).unwrap();
    let session = connect(&Address::parse(&cluster.url("postgres")).unwrap(), "it").await.unwrap();
    session.batch_execute(HISTORY).await.unwrap();
    let slot = "select pg_create_logical_replication_slot('s', 'pgoutput')::text";
    session.query_one(slot, &[]).await.unwrap();
    for statement in CHANGES.split("; ").flat_map(|line| line.split(";\n")) {
        session.batch_execute(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    let changes = "select data from pg_logical_slot_get_binary_changes('s', null, null, 'proto_version', '1',
        'publication_names', 'p', 'messages', 'true')";
    let messages: Vec<Vec<u8>> =
        session.query(changes, &[]).await.unwrap().iter().map(|row| row.get(0)).collect();
    let mut kinds: Vec<u8> = messages.iter().map(|message| message[0]).collect();
    kinds.sort_unstable();
    kinds.dedup();
    assert_eq!(String::from_utf8_lossy(&kinds), "BCDIMORTUY");
    for message in &messages {
        decode_target::decode(message);
        let read = walhook::source::pgoutput::decode(message.clone().into()).unwrap();
        assert!(!matches!(read, Some(walhook::source::Message::Undecodable { .. })), "{read:?}");
    }
    if writes_corpus() {
        let mut stream = vec![37];
        for (number, message) in messages.iter().enumerate() {
            write_seed("decode", &format!("{number:02}-{}", char::from(message[0])), message);
            let mut body = [&b"w"[..], &[0; 24], message].concat();
            stream.push(b'd');
            stream.extend((body.len() as u32 + 4).to_be_bytes());
            stream.append(&mut body);
            if number % 8 == 7 {
                write_seed("frames", &format!("stream-{number:02}"), &stream);
                stream.truncate(1);
            }
        }
        let keepalive = [&[4][..], b"d\0\0\0\x16k", &[0; 16], b"\x01Z\0\0\0\x05I"].concat();
        write_seed("frames", "keepalive", &keepalive);
        write_seed("frames", "long", b"\x02d\x3f\xff\xff\xffwhat follows never comes");
    }
    assert!(corpus("decode").len() >= kinds.len());
}
