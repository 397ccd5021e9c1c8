//! A connection that breaks, or seems to hold and does not.

use super::proxy::Fate;
use super::{begin, wait_for_readyz, wait_for_server, walsender};
use crate::proof::stage::setting;
use std::time::{Duration, Instant};

/// The words of a broken stream.
const LOST: &str = "the replication connection to 127.0.0.1";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_between_two_changes() {
    let (mut trial, proxy) = begin("fault-reset").await;
    trial.work(200).await;
    trial.hear(50).await;
    trial.let_work(200);
    assert_eq!(proxy.befall("", Fate::Cut), 2, "the stream and the catalogue's session");
    let log = trial.wait_for_log(0, "a task failed and is tried again").await;
    trial.wait_for_log(log, "was lost").await;
    trial.wait_for_log(log, "the stream runs").await;
    trial.work(100).await;
    trial.hear(50).await;
    wait_for_readyz(&trial.stage, "200 OK").await;
    trial.judge().await;
}

/// The stream goes on; the session for questions is opened again when there is a question.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_catalogues_session_is_reset_alone() {
    let (mut trial, proxy) = begin("fault-session-reset").await;
    // the slot stands before that session does
    trial.wait_for_log(0, "the stream runs").await;
    assert_eq!(proxy.befall("walhook catalog", Fate::Cut), 1);
    // the first change of each table asks the catalogue
    trial.work(200).await;
    trial.hear(50).await;
    assert!(!trial.stage.walhook.log().contains("a task failed"), "{}", trial.stage.walhook.log_tail());
    trial.judge().await;
}

/// In the middle of one message or another of a transaction that is large enough to be staged on disk; what was
/// staged does not count, and comes again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_again_and_again_in_a_large_transaction() {
    let (mut trial, proxy) = begin("fault-reset-in-bulk").await;
    trial.work(50).await;
    // staging begins at some 13,000 changes, 1.3 MB
    proxy.weather(|weather| weather.cut_after = Some(1_500_000));
    proxy.befall("", Fate::Cut);
    let rows = 16_000 * (1 + 9 * setting("LONG", 0));
    trial.told.push(trial.workload.bulk(100, rows as i64).await);
    for times in 1..=2 {
        proxy.until_broken(times).await;
    }
    trial.wait_for_log(0, "a large transaction is being staged on disk").await;
    proxy.clear();
    trial.let_work(50);
    trial.hear(rows).await;
    trial.judge().await;
}

/// Nothing of the server's arrives for longer than it waits for us; our statuses do, and keep the connection. When
/// the stall ends, the stream goes on where it was.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_down_stalls_for_a_while() {
    let (mut trial, proxy) = begin("fault-stall-down").await;
    trial.work(100).await;
    trial.hear(20).await;
    let before = walsender(&trial.stage).await;
    proxy.weather(|weather| weather.down.stalled = true);
    trial.work(100).await;
    let now = trial.stage.client.query_one("select now()::text", &[]).await.unwrap().get::<_, String>(0);
    let later = format!(
        "select coalesce((select max(reply_time) from pg_stat_replication) > '{now}'::timestamptz + interval '6 s', false)"
    );
    wait_for_server(&trial.stage, &later).await;
    proxy.clear();
    trial.work(50).await;
    trial.hear(50).await;
    assert_eq!(walsender(&trial.stage).await, before);
    assert!(!trial.stage.walhook.log().contains("a task failed"), "{}", trial.stage.walhook.log_tail());
    trial.judge().await;
}

/// Our statuses do not arrive: the server ends the connection after `wal_sender_timeout`, and we begin again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_way_up_stalls_until_the_server_has_given_up() {
    let (mut trial, proxy) = begin("fault-stall-up").await;
    trial.work(100).await;
    trial.hear(20).await;
    let before = walsender(&trial.stage).await.unwrap();
    proxy.weather(|weather| weather.up.stalled = true);
    trial.work(100).await;
    wait_for_server(&trial.stage, &ended(before)).await;
    trial.wait_for_log(0, LOST).await;
    proxy.clear();
    trial.work(50).await;
    wait_for_readyz(&trial.stage, "200 OK").await;
    trial.judge().await;
}

/// The server's side is gone, ours seems to hold: what we say vanishes. The server is asked by another
/// connection whether it still streams to us.
///
/// Only in the long form (`LONG=1`): the short one has what is like it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_without_the_server() {
    if setting("LONG", 0) == 0 {
        return;
    }
    let (mut trial, proxy) = begin("fault-half-open").await;
    trial.work(100).await;
    trial.hear(20).await;
    let began = Instant::now();
    assert_eq!(proxy.befall("replication", Fate::LosesServer), 1);
    trial.let_work(100);
    let log = trial.wait_for_log(0, "has said nothing for").await;
    assert!(began.elapsed() < Duration::from_secs(40), "{:?}", began.elapsed());
    trial.wait_for_log(log, "the stream runs").await;
    trial.work(50).await;
    trial.judge().await;
}

/// Our side is gone, the server's seems to hold: it has the slot until its own patience ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn half_open_without_us() {
    let (mut trial, proxy) = begin("fault-half-open-server").await;
    trial.work(100).await;
    trial.hear(20).await;
    assert_eq!(proxy.befall("replication", Fate::LosesClient), 1);
    trial.let_work(100);
    trial.wait_for_log(0, "the slot is in use; waiting for it").await;
    let log = trial.wait_for_log(0, "a task failed and is tried again").await;
    trial.wait_for_log(log, "the stream runs").await;
    wait_for_readyz(&trial.stage, "200 OK").await;
    trial.work(50).await;
    trial.judge().await;
}

/// Neither side hears of the other, and neither end does: a cable was pulled.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_black_hole_takes_all() {
    let (mut trial, proxy) = begin("fault-black-hole").await;
    trial.work(100).await;
    trial.hear(20).await;
    // no question to the catalogue may be under way: it would be waited for longer than the server waits
    let end: String =
        trial.stage.client.query_one("select pg_current_wal_insert_lsn()::text", &[]).await.unwrap().get(0);
    let taken = format!(
        "select confirmed_flush_lsn >= '{end}' from pg_replication_slots where slot_name = 'walhook'"
    );
    wait_for_server(&trial.stage, &taken).await;
    let before = walsender(&trial.stage).await.unwrap();
    assert_eq!(proxy.befall("", Fate::BlackHole), 2);
    trial.work(100).await;
    wait_for_server(&trial.stage, &ended(before)).await;
    let log = trial.wait_for_log(0, "a task failed and is tried again").await;
    trial.wait_for_log(log, "the stream runs").await;
    trial.work(50).await;
    trial.judge().await;
}

/// A question of the server that its process is gone.
fn ended(pid: i32) -> String {
    format!("select not exists (select from pg_stat_activity where pid = {pid})")
}
