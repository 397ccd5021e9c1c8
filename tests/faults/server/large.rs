//! Transactions out of the ordinary: large, long, of many parts, prepared, of wide rows.

use super::things::{self, things};
use super::{sql, start_running, stop, wait_until_confirmed, wal_end};
use crate::proof::history::{Key, Op, Outcome, Told};
use crate::proof::stage::{Stage, setting};
use crate::proof::trial::{Trial, content};
use crate::proof::workload::connect;
use crate::proof::world::{HOOKS, PERSON, Val, column};
use futures_util::SinkExt;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// SQL that inserts people, and what it does.
fn insert_people(ids: RangeInclusive<i64>) -> (String, Vec<Op>) {
    let (first, last) = (*ids.start(), *ids.end());
    let sql = format!(
        "insert into desk.person select id, 'bulk ' || id, true, array['bulk'], null
         from generate_series({first}, {last}) id;"
    );
    (sql, ids.map(person).collect())
}

fn person(id: i64) -> Op {
    let name = Val::text(format!("bulk {id}"));
    let row = vec![Val::Int(id), name, Val::Bool(true), Val::Tags(vec!["bulk".into()]), Val::Null];
    Op::Insert { table: PERSON, row: Arc::new(row) }
}

/// Runs a transaction that signs the book as one of the test's own.
async fn transaction(trial: &mut Trial, session: i32, statements: &str, ops: Vec<Op>) {
    let client = connect(&trial.stage.cluster.url("postgres")).await;
    let signed = format!("begin; insert into desk.book values ({session}, 0); {statements} commit;");
    client.batch_execute(&signed).await.unwrap();
    trial.told.push(told(session, ops));
}

fn told(session: i32, ops: Vec<Op>) -> Told {
    Told { session, number: 0, ops, outcome: Outcome::Committed }
}

/// Thousands of subtransactions, half of them undone; a savepoint that takes everything back; COPY.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subtransactions_and_copy() {
    let mut trial = Trial::begin("large-subtransactions").await;
    trial.let_work(300);
    let count = setting("SUBTRANSACTIONS", 5_000) as i64;
    let (first, last) = (1_000_001, 1_000_000 + count);
    // every 50th survives, so that the webhooks have little to do
    let block = format!(
        "do $$ begin for i in {first}..{last} loop begin
             insert into desk.person select i, 'bulk ' || i, true, array['bulk'], null;
             if i % 50 > 0 then raise exception 'undone'; end if;
         exception when raise_exception then null; end; end loop; end $$;"
    );
    let ops = (first..=last).filter(|id| id % 50 == 0).map(person).collect();
    transaction(&mut trial, 10, &block, ops).await;

    let rows = setting("UNDONE_ROWS", 20_000) as i64;
    let (undone, _) = insert_people(2_000_001..=2_000_000 + rows);
    let (kept, ops) = insert_people(2_000_001..=2_000_003);
    let statements = format!("savepoint s; {undone} rollback to savepoint s; {kept}");
    transaction(&mut trial, 11, &statements, ops).await;

    let client = connect(&trial.stage.cluster.url("postgres")).await;
    client.batch_execute("begin; insert into desk.book values (12, 0)").await.unwrap();
    let copy = client.copy_in("copy desk.person (id, name, active, tags) from stdin").await.unwrap();
    let mut copy = Box::pin(copy);
    let lines: Vec<String> =
        (3_000_001..=3_000_300).map(|id| format!("{id}\tbulk {id}\tt\t{{bulk}}\n")).collect();
    copy.send(bytes::Bytes::from(lines.concat())).await.unwrap();
    copy.as_mut().finish().await.unwrap();
    client.batch_execute("commit").await.unwrap();
    trial.told.push(told(12, (3_000_001..=3_000_300).map(person).collect()));
    trial.judge().await;
}

/// A transaction that touches many tables: each is described in the log before its first change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_tables_in_one_transaction() {
    let mut trial = Trial::begin("large-tables").await;
    let tables = setting("TABLES", 200);
    sql(
        &trial,
        &format!(
            "create schema many;
             do $$ begin for i in 1..{tables} loop
                 execute format('create table many.t%s (a int); alter publication walhook add table many.t%s', i, i);
             end loop; end $$"
        ),
    )
    .await;
    let touched = format!(
        "do $$ begin for i in 1..{tables} loop execute format('insert into many.t%s values (1)', i); end loop; end $$;"
    );
    trial.let_work(200);
    let (people, mut ops) = insert_people(1_000_001..=1_000_010);
    let key = Key { table: PERSON, entry_id: "1000001".into() };
    ops.push(Op::Update { key, set: vec![(column::PERSON_ACTIVE, Val::Bool(false))] });
    let update = "update desk.person set active = false where id = 1000001;";
    transaction(&mut trial, 10, &format!("{people} {touched} {update}"), ops).await;
    trial.judge().await;
}

/// A transaction that is prepared, outlives a crash of the server, and is committed by another session; others that
/// are prepared before walhook's slot is made. Making a slot waits for those, and says so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prepared_transactions() {
    let mut stage = Stage::prepare("large-prepared", &HOOKS, content()).await;
    stage.client.batch_execute("alter system set max_prepared_transactions = 10").await.unwrap();
    stage.crash_server().await;
    let early = "begin; insert into desk.unmapped (payload) values ('early'); prepare transaction 'early'";
    stage.client.batch_execute(early).await.unwrap();
    let mut open = connect(&stage.cluster.url("postgres")).await;
    let transaction = open.transaction().await.unwrap();
    transaction.batch_execute("insert into desk.unmapped (payload) values ('open')").await.unwrap();
    stage.walhook.start();
    let began = std::time::Instant::now();
    while !stage.walhook.log().contains("creating the slot; that waits for every open transaction") {
        assert!(began.elapsed() < super::patience(), "{}", stage.walhook.log_tail());
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    stage.client.batch_execute("commit prepared 'early'").await.unwrap();
    transaction.commit().await.unwrap();
    let mut trial = Trial::on(stage, 1);
    trial.wait_for_log(0, "the stream runs").await;
    trial.work(60).await;

    let (people, ops) = insert_people(1_000_001..=1_000_010);
    let prepared =
        format!("begin; insert into desk.book values (10, 0); {people} prepare transaction 'late'");
    sql(&trial, &prepared).await;
    trial.told.push(told(10, ops));
    let (undone, _) = insert_people(2_000_001..=2_000_010);
    sql(&trial, &format!("begin; {undone} prepare transaction 'undone'")).await;
    trial.work(60).await;
    trial.stage.crash_server().await;
    trial.work(60).await;
    sql(&trial, "commit prepared 'late'").await;
    sql(&trial, "rollback prepared 'undone'").await;
    trial.work(60).await;
    trial.judge().await;
}

/// A session that stays idle in its transaction, through commits of others, a kill of walhook and a crash of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_in_a_transaction_while_others_commit() {
    let mut trial = Trial::begin("large-idle").await;
    trial.work(60).await;
    let client = connect(&trial.stage.cluster.url("postgres")).await;
    let (people, ops) = insert_people(1_000_001..=1_000_050);
    let signed = format!("begin; insert into desk.book values (10, 0); {people}");
    client.batch_execute(&signed).await.unwrap();
    trial.work(60).await;
    let end = wal_end(&trial).await;
    // the position passes over what is open, and the slot keeps it
    wait_until_confirmed(&trial, end).await;
    trial.kill().await;
    trial.work(60).await;
    start_running(&mut trial).await;
    trial.work(60).await;
    client.batch_execute("commit").await.unwrap();
    trial.told.push(told(10, ops));
    trial.kill().await;
    trial.stage.walhook.start();
    trial.judge().await;
}

/// A transaction with more of a form than fits into memory: it is staged on disk, and memory stays bounded.
/// `LARGE_MB=2000` is the long form.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_larger_than_memory() {
    let mut trial = things::begin("large-transaction", "'id' = 7").await;
    trial.let_work(100);
    let rows = setting("LARGE_MB", 20) * 10;
    sql(&trial, "alter table desk.thing alter column a set storage external").await;
    let fill = format!(
        "insert into desk.thing select id, repeat(md5(id::text), 3125), 1 from generate_series(1, {rows}) id"
    );
    sql(&trial, &fill).await;
    let end = wal_end(&trial).await;
    let told = things(&trial, &["7".to_owned()]).await;
    assert_eq!(told.len(), 1);
    wait_until_confirmed(&trial, end).await;
    trial.stage.walhook.note_memory();
    let staged: u64 = std::fs::read_dir(&trial.stage.folder)
        .unwrap()
        .map(|entry| entry.unwrap().metadata().unwrap().len())
        .sum();
    println!(
        "{rows} rows of 100 kB; peak {} MB, then {} MB on disk",
        trial.stage.walhook.peak_kb / 1000,
        staged >> 20
    );
    assert!(trial.stage.walhook.peak_kb < 150_000, "{} kB of memory", trial.stage.walhook.peak_kb);
    assert!(trial.stage.walhook.log().contains("staged"), "it was staged");
    trial.judge().await;
}

/// A row of 1,600 columns, and values far above what a body may have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wide_rows_and_huge_values() {
    let mut trial = things::begin("large-wide", "'id' > 0").await;
    let megabytes = setting("VALUE_MB", 18);
    sql(&trial, &format!("insert into desk.thing values (1, repeat('x', {megabytes} * 1000000), 1)")).await;
    sql(&trial, "insert into desk.thing values (2, 'small', 1)").await;
    let body = things(&trial, &["1".into(), "2".into()]).await.remove("1").unwrap();
    assert_eq!(body["unavailable_fields"], serde_json::json!(["a"]), "{}", body["entry"]["b"]);
    let columns: Vec<String> =
        (4..=1600).map(|number| format!("add column c{number} int default 7")).collect();
    sql(&trial, &format!("alter table desk.thing {}", columns.join(", "))).await;
    sql(&trial, "insert into desk.thing (id, a, b) values (3, 'wide', 1)").await;
    let body = things(&trial, &["3".into()]).await.remove("3").unwrap();
    assert_eq!(body["entry"].as_object().unwrap().len(), 1600);
    assert_eq!(body["entry"]["c1600"], 7);
    stop(&mut trial);
    trial.stage.walhook.start();
    trial.work(30).await;
    trial.judge().await;
}
