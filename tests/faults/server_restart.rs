//! The server restarts, crashes, ends our session, or is not ready for us.

use crate::network::{begin, wait_for_readyz, wait_for_server, walsender};
use crate::proof::stage::{Stage, setting};
use crate::proof::trial::Trial;
use crate::proof::workload::connect;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use walhook::postgres::Address;
use walhook::source::Control;

/// Stops the server, does something, and starts it again.
async fn restart(stage: &mut Stage, mode: &'static str, meanwhile: impl FnOnce() + Send + 'static) {
    let cluster = Arc::clone(&stage.cluster);
    let restarted = tokio::task::spawn_blocking(move || {
        cluster.down(mode)?;
        meanwhile();
        cluster.up()
    });
    restarted.await.unwrap().unwrap();
    stage.client = connect(&stage.cluster.url("postgres")).await;
}

fn signal(process: i32, signal: &str) {
    assert!(Command::new("kill").args([signal, &process.to_string()]).status().unwrap().success());
}

/// A server that shuts down waits for whoever streams from it; it is not kept waiting.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restarted_with_us_connected() {
    let mut trial = Trial::begin("fault-fast-restart").await;
    trial.work(200).await;
    trial.let_work(200);
    let began = Instant::now();
    restart(&mut trial.stage, "fast", || {}).await;
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
    let log = trial.wait_for_log(0, "a task failed and is tried again").await;
    trial.wait_for_log(log, "the stream runs").await;
    trial.work(100).await;
    wait_for_readyz(&trial.stage, "200 OK").await;
    trial.judge().await;
}

/// The bulk is never committed, and nobody hears of it; what was committed before the crash is heard of.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crashed_in_the_middle_of_a_bulk_transaction() {
    let mut trial = Trial::begin("fault-crash").await;
    trial.work(200).await;
    trial.told.push(trial.workload.bulk(100, 2_000).await);
    let writer = connect(&trial.stage.cluster.url("postgres")).await;
    let mut writing = JoinSet::new();
    writing.spawn(async move {
        let sql = "insert into desk.person (id) select generate_series(1500000000, 1510000000)";
        writer.batch_execute(sql).await
    });
    let query = "select pg_current_wal_lsn() - '0/0' > $1::text::numeric + 10000000";
    let written = "select (pg_current_wal_lsn() - '0/0')::text";
    let before: String = trial.stage.client.query_one(written, &[]).await.unwrap().get(0);
    while !trial.stage.client.query_one(query, &[&before]).await.unwrap().get::<_, bool>(0) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    trial.let_work(50);
    trial.stage.crash_server().await;
    assert!(writing.join_next().await.unwrap().unwrap().is_err(), "the bulk was committed");
    let log = trial.wait_for_log(0, "a task failed and is tried again").await;
    trial.wait_for_log(log, "the stream runs").await;
    trial.work(100).await;
    trial.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_process_is_ended_again_and_again() {
    let trial = Trial::begin("fault-walsender-ended").await;
    trial.work(100).await;
    let mut log = 0;
    for _ in 0..setting("TIMES", 2) {
        trial.let_work(60);
        let process = loop {
            if let Some(process) = walsender(&trial.stage).await {
                break process;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        };
        trial.stage.client.execute("select pg_terminate_backend($1)", &[&process]).await.unwrap();
        log = trial.wait_for_log(log, "terminating connection due to administrator command").await;
        log = trial.wait_for_log(log, "the stream runs").await;
    }
    trial.work(50).await;
    wait_for_readyz(&trial.stage, "200 OK").await;
    trial.judge().await;
}

/// Somebody debugs the server's process, or its machine swaps: it is at work, says the server, and is waited for. In
/// the long form (`LONG=1`) until our patience is at its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_process_stands_still() {
    let long = setting("LONG", 0) > 0;
    let (mut trial, proxy) = begin("fault-walsender-stopped").await;
    trial.work(100).await;
    trial.hear(20).await;
    let process = walsender(&trial.stage).await.unwrap();
    let connections = proxy.accepted();
    signal(process, "-STOP");
    trial.work(50).await;
    if long {
        let began = Instant::now();
        while !trial.stage.walhook.log().contains("has said nothing for") {
            assert!(began.elapsed() < Duration::from_secs(400), "{}", trial.stage.walhook.log_tail());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        wait_for_readyz(&trial.stage, "waiting for slot").await;
    } else {
        // by another connection
        proxy.until_accepted(connections + 1).await;
    }
    signal(process, "-CONT");
    trial.work(50).await;
    if !long {
        trial.hear(20).await;
        assert!(!trial.stage.walhook.log().contains("a task failed"), "{}", trial.stage.walhook.log_tail());
    }
    trial.judge().await;
}

/// Its machine was suspended: the server has given the connection up meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn walhook_stands_still_for_longer_than_the_server_waits() {
    let mut trial = Trial::begin("fault-walhook-stopped").await;
    trial.work(100).await;
    trial.hear(20).await;
    trial.let_work(100);
    trial.stage.walhook.freeze();
    let process = walsender(&trial.stage).await.unwrap();
    let ended = format!("select not exists (select from pg_stat_activity where pid = {process})");
    wait_for_server(&trial.stage, &ended).await;
    trial.work(50).await;
    trial.stage.walhook.thaw();
    let log = trial.wait_for_log(0, "was lost").await;
    trial.wait_for_log(log, "the stream runs").await;
    trial.work(50).await;
    trial.judge().await;
}

/// The server replays its log and takes no connections, as in a long recovery.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_recovery_while_we_come_back() {
    let mut trial = Trial::begin("fault-recovery").await;
    let version: i32 = trial
        .stage
        .client
        .query_one("select current_setting('server_version_num')::int", &[])
        .await
        .unwrap()
        .get(0);
    if version >= 160_000 {
        // a slot can be read on a standby there, and a standby with slots is not started without hot_standby
        println!("left out: PostgreSQL 16 and later cannot be held in recovery with a logical slot");
        trial.judge().await;
        return;
    }
    trial.work(200).await;
    trial.stage.client.batch_execute("alter system set hot_standby = off").await.unwrap();
    let sign = trial.stage.cluster.folder().join("data/standby.signal");
    let cluster = Arc::clone(&trial.stage.cluster);
    let (laid, lifted) = (sign.clone(), sign);
    let down = tokio::task::spawn_blocking(move || {
        cluster.down("fast")?;
        std::fs::write(laid, "")?;
        cluster.up()
    });
    down.await.unwrap().unwrap();
    // "starting up" as long as it does, then "not accepting connections": it is the same to who waits
    trial.wait_for_log(0, "SQLSTATE 57P03").await;
    wait_for_readyz(&trial.stage, "capture is failing").await;
    restart(&mut trial.stage, "fast", move || std::fs::remove_file(lifted).unwrap()).await;
    trial.work(100).await;
    wait_for_readyz(&trial.stage, "200 OK").await;
    trial.judge().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_walsenders_are_taken() {
    let mut trial = Trial::begin("fault-walsenders").await;
    trial.work(100).await;
    trial.kill().await;
    let address = Address::parse(&trial.stage.cluster.url("postgres")).unwrap();
    let mut others = Vec::new();
    while let Ok(other) = Control::connect(&address, "other").await {
        others.push(other);
    }
    assert!(!others.is_empty());
    trial.let_work(100);
    trial.stage.walhook.start();
    // the name of the setting stands in quotes from 17 on
    trial.wait_for_log(0, "standby connections exceeds").await;
    wait_for_readyz(&trial.stage, "raise max_connections or max_wal_senders").await;
    drop(others);
    trial.hear(20).await;
    trial.judge().await;
}

/// Only in the long form (`LONG=1`): what the short one has elsewhere, another way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_connections_are_taken() {
    if setting("LONG", 0) == 0 {
        return;
    }
    let mut trial = Trial::begin("fault-connections").await;
    trial.work(100).await;
    trial.kill().await;
    let address = Address::parse(&trial.stage.cluster.url("postgres")).unwrap();
    let mut others = Vec::new();
    while let Ok(other) = walhook::postgres::connect(&address, "other").await {
        others.push(other);
    }
    assert!(!others.is_empty());
    trial.let_work(100);
    trial.stage.walhook.start();
    trial.wait_for_log(0, "SQLSTATE 53300").await;
    wait_for_readyz(&trial.stage, "raise max_connections or max_wal_senders").await;
    drop(others);
    trial.hear(20).await;
    trial.judge().await;
}
