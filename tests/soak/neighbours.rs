//! Scenes about those who live beside walhook: other endpoints, the server's disk, the machine's memory.

use crate::proof::stage::{Stage, setting};
use crate::proof::workload::connect;
use crate::proof::world::{ALIVE, ALIVE_AND_DEAD, Hook};
use crate::scenes::MEMORY_KB_MAX;
use std::sync::Arc;
use std::time::{Duration, Instant};
use walhook::demo::receiver::{Answer, Judge};

/// What the server may keep for the slot when all is done, in bytes.
const RETAINED_MAX: i64 = 32 * 1024 * 1024;
/// How long it may take to come down there after the last commit. The server moves a slot's restart point only
/// with its own records of running transactions, which it writes every 15 seconds.
const RELEASE_MAX: Duration = Duration::from_secs(20);

fn content() -> Judge {
    Arc::new(|_| Answer::Status(204))
}

/// Inserts people, so many in each transaction.
async fn insert_people(stage: &Stage, rows: u64, per_transaction: u64) {
    let client = connect(&stage.cluster.url("postgres")).await;
    for first in (1..=rows).step_by(per_transaction as usize) {
        let last = (first + per_transaction - 1).min(rows);
        let sql = format!(
            "insert into desk.person select id, 'person ' || id, true, array['x'], null
             from generate_series({first}, {last}) id"
        );
        client.batch_execute(&sql).await.unwrap();
    }
}

/// Writes about so many megabytes of log into a table that no form is over.
async fn write_elsewhere(stage: &Stage, megabytes: u64) {
    let client = connect(&stage.cluster.url("postgres")).await;
    for _ in 0..megabytes.div_ceil(10) {
        let sql = "insert into desk.unmapped (payload)
                   select md5(n::text) || md5((n + 1)::text) from generate_series(1, 72000) n";
        client.batch_execute(sql).await.unwrap();
    }
}

async fn current_lsn(stage: &Stage) -> u64 {
    let row = stage.client.query_one("select (pg_current_wal_lsn() - '0/0')::text", &[]).await.unwrap();
    row.get::<_, String>(0).parse().unwrap()
}

/// Waits until the slot is confirmed up to an LSN.
async fn confirmed(stage: &mut Stage, lsn: u64, within: Duration) {
    let began = Instant::now();
    loop {
        let confirmed = stage.confirmed_lsn().await;
        if confirmed >= lsn {
            return;
        }
        assert!(began.elapsed() < within, "confirmed {confirmed:X} and not {lsn:X} after {within:?}");
        assert!(stage.walhook.is_running(), "walhook ended by itself:\n{}", stage.walhook.log_tail());
        stage.walhook.note_memory();
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

async fn released(stage: &Stage) {
    let began = Instant::now();
    loop {
        let retained = stage.retained_bytes().await.unwrap();
        if retained < RETAINED_MAX {
            return;
        }
        assert!(began.elapsed() < RELEASE_MAX, "the server still keeps {} MB", retained / 1024 / 1024);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// How long a live endpoint waits for so many deliveries.
async fn drain(stage: &Stage, rows: u64) -> Duration {
    let began = Instant::now();
    insert_people(stage, rows, 20).await;
    let is_complete = |count: usize| count as u64 >= rows;
    let arrived = stage.receiver.wait_until(|arrivals| is_complete(arrivals.len()));
    tokio::time::timeout(Duration::from_secs(120), arrived).await.expect("everything arrives");
    began.elapsed()
}

async fn started(name: &str, hooks: &'static [Hook]) -> Stage {
    let mut stage = Stage::prepare(name, hooks, content()).await;
    stage.start().await;
    stage
}

/// A webhook whose endpoint is dead all the time: the other one does not feel it, the server keeps no log
/// because of it, and its backlog takes disk, not memory.
// R-NA-07
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_endpoint_harms_neither_others_nor_the_server_nor_memory() {
    let rows = setting("NEIGHBOUR_ROWS", 2000);
    let alone = {
        let stage = started("alone", &ALIVE).await;
        drain(&stage, rows).await
    };
    let mut stage = started("beside-a-dead-one", &ALIVE_AND_DEAD).await;
    let beside = drain(&stage, rows).await;
    println!("{rows} deliveries alone in {alone:?}, beside a dead endpoint in {beside:?}");
    assert!(beside < alone * 3 / 2 + Duration::from_secs(2), "alone {alone:?}, beside {beside:?}");
    write_elsewhere(&stage, 60).await;
    let end = current_lsn(&stage).await;
    confirmed(&mut stage, end, Duration::from_secs(60)).await;
    released(&stage).await;
    stage.walhook.note_memory();
    assert!(stage.walhook.peak_kb < MEMORY_KB_MAX, "{} kB resident", stage.walhook.peak_kb);
}

/// Nothing happens in the mapped tables while another one is written: the slot follows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_publication_holds_no_log_back() {
    let mut stage = started("idle", &ALIVE).await;
    let megabytes = setting("IDLE_MB", 100);
    let before = current_lsn(&stage).await;
    write_elsewhere(&stage, megabytes).await;
    let end = current_lsn(&stage).await;
    let written = (end - before) / 1024 / 1024;
    assert!(written >= megabytes, "only {written} MB were written");
    confirmed(&mut stage, end, Duration::from_secs(60)).await;
    released(&stage).await;
}

/// One large transaction: rows are staged on disk, not in memory.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_transaction_takes_disk_and_not_memory() {
    let rows = setting("BULK", 20_000);
    let mut stage = started("large", &ALIVE).await;
    insert_people(&stage, rows, rows).await;
    let end = current_lsn(&stage).await;
    confirmed(&mut stage, end, Duration::from_secs(300)).await;
    let complete = |count: usize| count as u64 >= rows;
    let arrived = stage.receiver.wait_until(|arrivals| complete(arrivals.len()));
    tokio::time::timeout(Duration::from_secs(600), arrived).await.expect("everything arrives");
    stage.walhook.note_memory();
    println!("{rows} rows in one transaction: peak {} MB", stage.walhook.peak_kb / 1000);
    assert!(stage.walhook.peak_kb < MEMORY_KB_MAX, "{} kB resident", stage.walhook.peak_kb);
}

/// A backlog of deliveries that nobody takes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_backlog_takes_disk_and_not_memory() {
    let deliveries = setting("BACKLOG", 20_000);
    let judge: Judge = Arc::new(|_| Answer::Status(503));
    let mut stage = Stage::prepare("backlog", &ALIVE_AND_DEAD, judge).await;
    stage.start().await;
    insert_people(&stage, deliveries / 2, 1000).await;
    let end = current_lsn(&stage).await;
    confirmed(&mut stage, end, Duration::from_secs(900)).await;
    stage.walhook.note_memory();
    println!("a backlog of {deliveries} deliveries: peak {} MB", stage.walhook.peak_kb / 1000);
    assert!(stage.walhook.peak_kb < MEMORY_KB_MAX, "{} kB resident", stage.walhook.peak_kb);
}
