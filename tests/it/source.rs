//! The replication connection against a real server.

#![allow(clippy::unwrap_used)] // tests, and the helpers that set their stage

use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::timeout;
use walhook::change::{Datum, OldRow, RelationId, Row, RowChange};
use walhook::demo::cluster::Cluster;
use walhook::lsn::{Durable, Lsn, Progress};
use walhook::postgres::{Address, Session, connect};
use walhook::remedy::{Remediable, Remedy};
use walhook::source::{Control, Error, Message, Source, Stream};

const PATIENCE: Duration = Duration::from_secs(30);

/// A server with a publication and a slot.
struct Stage {
    cluster: Cluster,
    address: Address,
    sql: Session,
    publications: Vec<String>,
    start: Lsn,
}

impl Stage {
    /// The statements run before the slot is made; they create publication `p`.
    async fn set(settings: &[&str], statements: &str) -> Self {
        let cluster = Cluster::start(settings).unwrap();
        let address = Address::parse(&cluster.url("postgres")).unwrap();
        let sql = connect(&address, "test").await.unwrap();
        sql.batch_execute(statements).await.unwrap();
        let mut control = Control::connect(&address, "test").await.unwrap();
        let start = control.create_slot("s", "pgoutput").await.unwrap().consistent_point;
        Self { cluster, address, sql, publications: vec!["p".into()], start }
    }

    async fn control(&self) -> Control {
        Control::connect(&self.address, "test").await.unwrap()
    }

    async fn stream(&self, from: Lsn) -> Stream {
        // the server may still be letting go of the slot
        loop {
            match self.control().await.start("s", from, &self.publications).await {
                Ok(stream) => return stream,
                Err(Error::SlotInUse { .. }) => tokio::task::yield_now().await,
                Err(error) => panic!("{error:?}"),
            }
        }
    }

    async fn run(&self, statements: &str) {
        self.sql.batch_execute(statements).await.unwrap();
    }

    async fn confirmed(&self) -> Lsn {
        self.control().await.slot("s").await.unwrap().unwrap().confirmed_flush_lsn.unwrap()
    }

    /// Waits for the server to know of a confirmation.
    async fn until_confirmed(&self, lsn: Lsn) {
        let waiting = async {
            while self.confirmed().await < lsn {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("the server never learned of the confirmation");
    }
}

fn durable(end_lsn: Lsn) -> Durable {
    Durable::after_commit(Progress { commit_lsn: end_lsn, end_lsn })
}

async fn next(stream: &mut Stream) -> Message {
    timeout(PATIENCE, stream.next()).await.expect("nothing came").unwrap()
}

/// The next transaction, from Begin to Commit; keepalives are skipped.
async fn transaction(stream: &mut Stream) -> Vec<Message> {
    let mut messages = Vec::new();
    loop {
        match next(stream).await {
            Message::Keepalive { .. } => {}
            message => {
                let ends = matches!(message, Message::Commit { .. });
                messages.push(message);
                if ends {
                    return messages;
                }
            }
        }
    }
}

fn end_of(transaction: &[Message]) -> Lsn {
    match (transaction.first(), transaction.last()) {
        (Some(Message::Begin { commit_lsn: begun, .. }), Some(Message::Commit { commit_lsn, end_lsn })) => {
            assert_eq!(begun, commit_lsn);
            assert!(end_lsn > commit_lsn);
            *end_lsn
        }
        other => panic!("{other:?}"),
    }
}

fn show_row(row: &Row) -> String {
    let data: Vec<String> = row
        .data()
        .map(|datum| match datum {
            Datum::Null => "null".to_owned(),
            Datum::Unchanged => "unchanged".to_owned(),
            Datum::Text(text) if text.len() > 40 => format!("{} bytes", text.len()),
            Datum::Text(text) => text.to_owned(),
        })
        .collect();
    format!("({})", data.join(", "))
}

/// A transaction's content, one line for each message.
fn show(messages: &[Message]) -> Vec<String> {
    let mut tables: BTreeMap<RelationId, String> = BTreeMap::new();
    let mut lines = Vec::new();
    for message in messages {
        lines.push(match message {
            Message::Begin { .. } | Message::Commit { .. } | Message::Keepalive { .. } => continue,
            Message::Relation(relation) => {
                tables.insert(relation.id, relation.name.clone());
                continue;
            }
            Message::Change { change, .. } => match change {
                RowChange::Insert { new } => format!("insert {}", show_row(new)),
                RowChange::Update { old, new } => format!("update {} {}", show_old(old), show_row(new)),
                RowChange::Delete { old } => format!("delete {}", show_old(old)),
            },
            Message::Truncate { relations } => format!("truncate {}", relations.len()),
            Message::Origin { name } => format!("origin {name}"),
            Message::Logical { prefix, content, transactional } => {
                format!("message {prefix} {} {transactional}", String::from_utf8_lossy(content))
            }
            Message::Undecodable { reason, .. } => format!("undecodable {reason}"),
        });
    }
    lines
}

fn show_old(old: &OldRow) -> String {
    match old {
        OldRow::Absent | OldRow::NoRow => "-".to_owned(),
        OldRow::Key(row) => format!("key{}", show_row(row)),
        OldRow::Full(row) => format!("full{}", show_row(row)),
    }
}

#[tokio::test]
async fn every_kind_of_change_arrives_as_it_was_made() {
    let stage = Stage::set(
        &[],
        "create table t (id int primary key, a text, big text);
         create table full_t (id int primary key, a text, big text);
         alter table full_t replica identity full;
         alter table t alter big set storage external;
         alter table full_t alter big set storage external;
         create publication p for table t, full_t;
         select pg_replication_origin_create('etl')",
    )
    .await;
    let mut stream = stage.stream(stage.start).await;

    stage.run("insert into t values (1, 'one', repeat('x', 9000)), (2, null, '')").await;
    let first = transaction(&mut stream).await;
    let [Message::Begin { committed_at_us, xid, .. }, Message::Relation(relation), ..] = &first[..] else {
        panic!("{first:?}")
    };
    let now_us: i64 =
        stage.sql.query_one("select (extract(epoch from now()) * 1000000)::int8", &[]).await.unwrap().get(0);
    assert!((now_us - committed_at_us).abs() < 60_000_000, "{committed_at_us}");
    assert!(*xid > 0);
    assert_eq!((relation.schema.as_str(), relation.name.as_str()), ("public", "t"));
    let columns: Vec<_> = relation.columns.iter().map(|c| (c.name.as_str(), c.in_identity)).collect();
    assert_eq!(columns, [("id", true), ("a", false), ("big", false)]);
    assert_eq!(show(&first), ["insert (1, one, 9000 bytes)", "insert (2, null, )"]);

    stage.run("update t set a = 'uno' where id = 1; ").await;
    assert_eq!(show(&transaction(&mut stream).await), ["update - (1, uno, unchanged)"]);
    stage.run("update t set id = 3 where id = 2").await;
    assert_eq!(show(&transaction(&mut stream).await), ["update key(2, null, null) (3, null, )"]);
    stage.run("delete from t where id = 3").await;
    assert_eq!(show(&transaction(&mut stream).await), ["delete key(3, null, null)"]);

    stage.run("insert into full_t values (1, 'one', repeat('x', 9000))").await;
    transaction(&mut stream).await;
    stage.run("update full_t set a = 'uno'").await;
    let lines = show(&transaction(&mut stream).await);
    assert_eq!(lines, ["update full(1, one, 9000 bytes) (1, uno, unchanged)"]);

    stage.run("truncate t, full_t").await;
    assert_eq!(show(&transaction(&mut stream).await), ["truncate 2"]);

    stage
        .run(
            "begin; insert into t values (10); savepoint a; insert into t values (11); \
             rollback to a; insert into t values (12); commit; \
             begin; insert into t values (13); rollback;
             begin; insert into t values (14); select pg_logical_emit_message(true, 'walhook.actor', 'me'); commit",
        )
        .await;
    let lines = show(&transaction(&mut stream).await);
    assert_eq!(lines, ["insert (10, null, null)", "insert (12, null, null)"]);
    let lines = show(&transaction(&mut stream).await);
    assert_eq!(lines, ["insert (14, null, null)", "message walhook.actor me true"]);

    stage.run("select pg_replication_origin_session_setup('etl')").await;
    stage.run("insert into t values (20)").await;
    stage.run("select pg_replication_origin_session_reset()").await;
    let lines = show(&transaction(&mut stream).await);
    assert_eq!(lines, ["origin etl", "insert (20, null, null)"]);

    stage.run("insert into t values (30, repeat('ä', 5000000), null)").await;
    assert_eq!(show(&transaction(&mut stream).await), ["insert (30, 10000000 bytes, null)"]);
    stage.run("alter table t add c int; insert into t values (31, 'x', null, 7)").await;
    let messages = transaction(&mut stream).await;
    assert_eq!(show(&messages), ["insert (31, x, null, 7)"]);
    assert!(messages.iter().any(|m| matches!(m, Message::Relation(r) if r.columns.len() == 4)));
    stream.close().await.unwrap();
}

#[tokio::test]
async fn a_confirmation_reaches_the_slot_and_the_stream_resumes_behind_it() {
    let stage =
        Stage::set(&[], "create table t (id int primary key); create publication p for table t").await;
    let mut stream = stage.stream(stage.start).await;
    stage.run("insert into t values (1)").await;
    let first = end_of(&transaction(&mut stream).await);
    stage.run("insert into t values (2)").await;
    let second = end_of(&transaction(&mut stream).await);
    stream.confirm(durable(first));
    stage.until_confirmed(first).await;
    assert!(stage.confirmed().await < second);
    // an older one changes nothing
    stream.confirm(durable(stage.start));
    drop(stream);

    let mut stream = stage.stream(first).await;
    let again = transaction(&mut stream).await;
    assert_eq!(show(&again), ["insert (2)"]);
    stream.confirm(durable(second));
    stream.close().await.unwrap();
    // without waiting: close has waited
    assert_eq!(stage.confirmed().await, second);
}

#[tokio::test]
async fn keepalives_move_the_position_while_another_table_writes() {
    let stage = Stage::set(
        &[],
        "create table t (id int primary key); create table other (a text); create publication p for table t",
    )
    .await;
    let mut stream = stage.stream(stage.start).await;
    stage.run("insert into other select repeat('x', 1000) from generate_series(1, 5000)").await;
    let target = stage.control().await.wal_position().await.unwrap().flush;
    assert!(target.0 > stage.start.0 + 5_000_000);
    loop {
        match next(&mut stream).await {
            Message::Keepalive { wal_end } => {
                stream.confirm(durable(wal_end));
                if wal_end >= target {
                    break;
                }
            }
            Message::Begin { .. } | Message::Commit { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    stage.until_confirmed(target).await;
    stream.close().await.unwrap();
}

#[tokio::test]
async fn a_stalled_reader_keeps_its_connection() {
    let stage = Stage::set(
        &["wal_sender_timeout = 2s"],
        "create table t (id int primary key, a text); create publication p for table t",
    )
    .await;
    let mut stream = stage.stream(stage.start).await;
    // more than fits into all buffers on the way
    stage.run("insert into t select n, repeat('x', 10000) from generate_series(1, 5000) n").await;
    let pid = |state: walhook::source::SlotState| state.active_pid;
    let before = pid(stage.control().await.slot("s").await.unwrap().unwrap()).unwrap();
    // real time must pass here: the server's own time limit is what is tested
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert_eq!(pid(stage.control().await.slot("s").await.unwrap().unwrap()), Some(before));
    let messages = transaction(&mut stream).await;
    assert_eq!(messages.len(), 5000 + 3);
    stream.confirm(durable(end_of(&messages)));
    stream.close().await.unwrap();
}

#[tokio::test]
async fn a_restart_of_the_server_disconnects_and_the_stream_goes_on_after_it() {
    let stage =
        Stage::set(&[], "create table t (id int primary key); create publication p for table t").await;
    let mut stream = stage.stream(stage.start).await;
    stage.run("insert into t values (1)").await;
    let end = end_of(&transaction(&mut stream).await);
    stage.cluster.down("immediate").unwrap();
    let error = loop {
        match timeout(PATIENCE, stream.next()).await.unwrap() {
            Ok(Message::Keepalive { .. }) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert_eq!(error.remedy(), Remedy::Wait, "{error:?}");
    assert!(matches!(stream.next().await, Err(Error::Ended { .. })));
    let error = Control::connect(&stage.address, "test").await.unwrap_err();
    assert_eq!(error.remedy(), Remedy::Wait, "{error:?}");
    stage.cluster.up().unwrap();
    let mut stream = stage.stream(end).await;
    let sql = connect(&stage.address, "test").await.unwrap();
    sql.batch_execute("insert into t values (2)").await.unwrap();
    assert_eq!(show(&transaction(&mut stream).await), ["insert (2)"]);
    stream.close().await.unwrap();
}

#[tokio::test]
async fn a_fast_shutdown_of_the_server_is_not_held_up_by_a_reader_that_confirms_nothing() {
    let stage =
        Stage::set(&[], "create table t (id int primary key); create publication p for table t").await;
    let mut stream = stage.stream(stage.start).await;
    stage.run("insert into t values (1)").await;
    transaction(&mut stream).await;
    let Stage { cluster, .. } = stage;
    let began = std::time::Instant::now();
    let down = tokio::task::spawn_blocking(move || cluster.down("fast"));
    let error = loop {
        match timeout(PATIENCE, stream.next()).await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::ShuttingDown { .. }), "{error:?}");
    down.await.unwrap().unwrap();
    assert!(began.elapsed() < Duration::from_secs(25));
}

#[tokio::test]
async fn a_slot_in_use_is_told_apart_and_names_its_process() {
    let stage =
        Stage::set(&[], "create table t (id int primary key); create publication p for table t").await;
    let stream = stage.stream(stage.start).await;
    let error = stage.control().await.start("s", stage.start, &stage.publications).await.unwrap_err();
    let Error::SlotInUse { slot, active_pid: Some(pid) } = &error else { panic!("{error:?}") };
    assert_eq!(slot, "s");
    assert_eq!(error.remedy(), Remedy::Wait);
    assert!(error.to_string().contains(&format!("process {pid}")));
    let error = stage.control().await.drop_slot("s").await.unwrap_err();
    assert!(matches!(error, Error::SlotInUse { .. }), "{error:?}");
    stream.close().await.unwrap();
}

#[tokio::test]
async fn what_would_skip_or_mix_up_changes_is_refused_before_the_stream() {
    let stage = Stage::set(
        &["max_slot_wal_keep_size = 1MB", "min_wal_size = 32MB", "max_wal_size = 32MB"],
        "create table t (id int primary key, a text); create publication p for table t;",
    )
    .await;
    stage.run("create database other").await;
    stage.run("select pg_create_logical_replication_slot('foreign', 'test_decoding')").await;
    let start = |slot: &'static str, from: Lsn| {
        let publications = stage.publications.clone();
        let address = stage.address.clone();
        async move {
            let control = Control::connect(&address, "test").await.unwrap();
            let error = control.start(slot, from, &publications).await.unwrap_err();
            assert_eq!(error.remedy(), Remedy::CallOperator, "{error:?}");
            error
        }
    };
    assert!(matches!(start("none", stage.start).await, Error::SlotMissing { .. }));
    assert!(matches!(start("foreign", stage.start).await, Error::SlotForeign { .. }));
    assert!(matches!(start("s", Lsn(1)).await, Error::SlotAhead { from: Lsn(1), .. }));
    assert!(matches!(start("s", Lsn(u64::MAX)).await, Error::ServerBehind { .. }));
    let other = stage.address.clone().with_database("other");
    let control = Control::connect(&other, "test").await.unwrap();
    let error = control.start("s", stage.start, &stage.publications).await.unwrap_err();
    assert!(matches!(error, Error::SlotForeign { .. }), "{error:?}");
    let error = stage.control().await.create_slot("s", "pgoutput").await.unwrap_err();
    assert!(matches!(error, Error::SlotExists { .. }), "{error:?}");
    assert!(matches!(stage.control().await.drop_slot("none").await, Err(Error::SlotMissing { .. })));

    for _ in 0..4 {
        stage.run("insert into t select 1, 'x' where false; select pg_switch_wal(); checkpoint").await;
        stage.run("create table filler as select repeat('x', 1000) from generate_series(1, 20000); drop table filler").await;
    }
    stage.run("checkpoint").await;
    let error = start("s", stage.start).await;
    assert!(matches!(error, Error::SlotInvalidated { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("resume --accept-gap"));
}

#[tokio::test]
async fn a_publication_with_a_difficult_name_works_and_a_missing_one_calls_the_operator() {
    let mut stage = Stage::set(
        &[],
        r#"create table t (id int primary key); create publication "My, ""Pub"" it's" for table t"#,
    )
    .await;
    stage.publications = vec!["My, \"Pub\" it's".into()];
    let mut wanted = stage.publications.clone();
    wanted.push("my, \"pub\" it's".into());
    let missing = stage.control().await.missing_publications(&wanted).await.unwrap();
    assert_eq!(missing, wanted[1..]);
    let mut stream = stage.stream(stage.start).await;
    stage.run("insert into t values (1)").await;
    assert_eq!(show(&transaction(&mut stream).await), ["insert (1)"]);
    stream.close().await.unwrap();

    stage.publications = vec!["none".into()];
    let mut stream = stage.stream(stage.start).await;
    let error = loop {
        match timeout(PATIENCE, stream.next()).await.unwrap() {
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::PublicationMissing(_)), "{error:?}");
    assert_eq!(error.remedy(), Remedy::CallOperator);
}

/// From 18 on the server goes on without a publication that did not exist then, and only warns: the changes of that
/// time would be missing, and nobody would know.
#[tokio::test]
async fn changes_from_before_their_publication_are_not_passed_over() {
    let stage = Stage::set(
        &[],
        "create table t (id int primary key); create publication p for table t;
         alter role postgres set client_min_messages = 'error'",
    )
    .await;
    stage.run("insert into t values (1)").await;
    stage.run("drop publication p").await;
    stage.run("insert into t values (2)").await;
    stage.run("create publication p for table t").await;
    stage.run("insert into t values (3)").await;
    let mut stream = stage.stream(stage.start).await;
    assert_eq!(show(&transaction(&mut stream).await), ["insert (1)"]);
    let error = loop {
        match timeout(PATIENCE, stream.next()).await.expect("nothing came") {
            // before 15 transactions without changes of ours are told of, too
            Ok(Message::Keepalive { .. } | Message::Begin { .. } | Message::Commit { .. }) => {}
            Ok(other) => panic!("{other:?}"),
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::PublicationMissing(_)), "{error:?}");
    assert_eq!(error.remedy(), Remedy::CallOperator);
}

#[tokio::test]
async fn unfriendly_settings_of_role_and_database_change_nothing() {
    const VALUES: &str = "timestamptz '2026-02-03 04:05:06.789+02', date '2026-02-03', interval '1 day 2 hours', \
         '\\x00ff'::bytea, 0.1::float8 + 0.2::float8, 12.5::float8::numeric::money, 't'::regclass";
    let stage = Stage::set(
        &[],
        &format!(
            "create table t (a timestamptz, b date, c interval, d bytea, e float8, f money, g regclass);
             create publication p for table t with (publish = 'insert');
             create role rude superuser login replication;
             alter role rude set datestyle = 'German';
             alter role rude set intervalstyle = 'iso_8601';
             alter role rude set timezone = 'Asia/Kathmandu';
             alter role rude set bytea_output = 'escape';
             alter role rude set extra_float_digits = -10;
             alter role rude set search_path = 'pg_catalog';
             alter role rude set statement_timeout = '300ms';
             alter role rude set standard_conforming_strings = 'off';
             alter role rude set client_encoding = 'latin1';
             alter database postgres set quote_all_identifiers = on;
             insert into t select {VALUES} where false"
        ),
    )
    .await;
    let address = Address::parse(&stage.cluster.url("postgres").replace("postgres@", "rude@")).unwrap();
    let control = Control::connect(&address, "test").await.unwrap();
    let mut stream = control.start("s", stage.start, &stage.publications).await.unwrap();
    stage.run(&format!("insert into t select {VALUES}")).await;
    let expected = "insert (2026-02-03 02:05:06.789+00, 2026-02-03, 1 day 02:00:00, \\x00ff, \
         0.30000000000000004, $12.50, t)";
    assert_eq!(show(&transaction(&mut stream).await), [expected]);
    // the ordinary session has the same settings
    let rude = connect(&address, "test").await.unwrap();
    let row = rude.query_one("select t::text from t", &[]).await.unwrap();
    let text: String = row.get(0);
    assert_eq!(
        text,
        "(\"2026-02-03 02:05:06.789+00\",2026-02-03,\"1 day 02:00:00\",\"\\\\x00ff\",\
         0.30000000000000004,$12.50,t)"
    );
    rude.query("select pg_sleep(0.5)", &[]).await.unwrap();
    stream.close().await.unwrap();
}

#[tokio::test]
async fn a_slot_is_made_with_a_snapshot_of_what_came_before() {
    let stage =
        Stage::set(&[], "create table t (id int primary key); create publication p for table t").await;
    stage.run("insert into t values (1)").await;
    let mut control = stage.control().await;
    let identity = control.identify().await.unwrap();
    assert_eq!((identity.timeline, identity.database.as_str()), (1, "postgres"));
    assert!(identity.system_id.parse::<u64>().unwrap() > 0);
    assert_eq!(control.timeline_history(1).await.unwrap(), []);
    assert!(control.server_version().starts_with(char::is_numeric));
    let created = control.create_slot("other", "pgoutput").await.unwrap();
    stage.run("insert into t values (2)").await;
    let session = connect(&stage.address, "test").await.unwrap();
    let snapshot = created.snapshot.unwrap();
    session
        .batch_execute(&format!(
            "begin isolation level repeatable read; set transaction snapshot '{snapshot}'"
        ))
        .await
        .unwrap();
    let count: i64 = session.query_one("select count(*) from t", &[]).await.unwrap().get(0);
    assert_eq!(count, 1);
    let mut stream = control.start("other", created.consistent_point, &stage.publications).await.unwrap();
    assert_eq!(show(&transaction(&mut stream).await), ["insert (2)"]);
    stream.close().await.unwrap();
    let mut control = stage.control().await;
    let state = control.slot("other").await.unwrap().unwrap();
    assert_eq!((state.plugin.as_deref(), state.active_pid), (Some("pgoutput"), None));
    control.drop_slot("other").await.unwrap();
    assert_eq!(control.slot("other").await.unwrap(), None);
}

#[tokio::test]
async fn a_refused_plugin_and_a_lack_of_slots_say_what_to_do() {
    let stage = Stage::set(&["max_replication_slots = 1"], "create publication p").await;
    let error = stage.control().await.create_slot("second", "pgoutput").await.unwrap_err();
    assert!(error.hint().unwrap().contains("max_replication_slots"), "{error:?}");
    stage.control().await.drop_slot("s").await.unwrap();
    let has_setting = stage
        .sql
        .query_one("select current_setting('output_plugin_libraries', true) is not null", &[])
        .await
        .unwrap();
    if !has_setting.get::<_, bool>(0) {
        eprintln!("skipped: this server has no output_plugin_libraries");
        return;
    }
    stage.run("alter system set output_plugin_libraries = test_decoding; select pg_reload_conf()").await;
    let error = loop {
        match stage.control().await.create_slot("s", "pgoutput").await {
            Err(error) => break error,
            // the setting is not taken over yet
            Ok(_) => stage.control().await.drop_slot("s").await.unwrap(),
        }
    };
    assert!(matches!(error, Error::PluginRefused { .. }), "{error:?}");
    let hint = error.hint().unwrap();
    assert_eq!(
        hint,
        "alter system set output_plugin_libraries = test_decoding, pgoutput; select pg_reload_conf();"
    );
    for statement in hint.split_inclusive(';') {
        stage.run(statement).await;
    }
    while stage.control().await.create_slot("s", "pgoutput").await.is_err() {}
}

#[tokio::test]
async fn a_promotion_shows_in_the_history_of_timelines() {
    let stage = Stage::set(&["hot_standby = on"], "create publication p").await;
    stage.control().await.drop_slot("s").await.unwrap();
    let Stage { cluster, address, sql, .. } = stage;
    drop(sql);
    cluster.down("fast").unwrap();
    std::fs::write(cluster.folder().join("data/standby.signal"), "").unwrap();
    let owner = std::fs::metadata(cluster.folder().join("data")).unwrap();
    let owner = (std::os::unix::fs::MetadataExt::uid(&owner), std::os::unix::fs::MetadataExt::gid(&owner));
    let signal = cluster.folder().join("data/standby.signal");
    std::os::unix::fs::chown(signal, Some(owner.0), Some(owner.1)).unwrap();
    cluster.up().unwrap();

    let url = cluster.url("postgres");
    let with =
        |attributes: &str| Address::parse(&format!("{url}?target_session_attrs={attributes}")).unwrap();
    for attributes in ["standby", "read-only", "prefer-standby"] {
        Control::connect(&with(attributes), "test").await.unwrap();
    }
    for attributes in ["primary", "read-write"] {
        assert!(Control::connect(&with(attributes), "test").await.is_err());
    }
    let mut control = Control::connect(&address, "test").await.unwrap();
    let position = control.wal_position().await.unwrap();
    assert!(position.flush > Lsn::ZERO);
    let sql = connect(&address, "test").await.unwrap();
    assert!(sql.query_one("select pg_promote()", &[]).await.unwrap().get::<_, bool>(0));
    let mut control = Control::connect(&with("primary"), "test").await.unwrap();
    assert_eq!(control.identify().await.unwrap().timeline, 2);
    let history = control.timeline_history(2).await.unwrap();
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].timeline, 1);
    assert!(history[0].at >= position.flush, "{history:?}");
}

#[tokio::test]
async fn bytes_that_are_no_text_harm_only_their_row() {
    let stage = Stage::set(&[], "create publication p").await;
    stage.run("create database ascii encoding 'SQL_ASCII' template template0 locale 'C'").await;
    let address = stage.address.clone().with_database("ascii");
    let sql = connect(&address, "test").await.unwrap();
    sql.batch_execute("create table t (id int primary key, a text)").await.unwrap();
    sql.batch_execute("create publication p for table t").await.unwrap();
    let mut control = Control::connect(&address, "test").await.unwrap();
    let start = control.create_slot("ascii", "pgoutput").await.unwrap().consistent_point;
    let mut stream = control.start("ascii", start, &stage.publications).await.unwrap();
    sql.batch_execute(r"insert into t values (1, 'ok'), (2, e'\xff'), (3, 'ok')").await.unwrap();
    let messages = transaction(&mut stream).await;
    let expected = ["insert (1, ok)", "undecodable a value is not valid UTF-8", "insert (3, ok)"];
    assert_eq!(show(&messages), expected);
    let table = messages.iter().find_map(|message| match message {
        Message::Relation(relation) => Some(relation.id),
        _ => None,
    });
    assert!(
        messages
            .iter()
            .any(|message| matches!(message, Message::Undecodable { relation, .. } if *relation == table))
    );
    stream.close().await.unwrap();
}
