//! The server's history is another one than it was: put back from a copy, promoted from a standby that lacked the
//! last; or the queue is.

use super::{
    accept, gaps, rest, resume, sql, start_refused, start_running, stop, wait_until_confirmed, wal_end,
};
use crate::proof::gap::outside;
use crate::proof::oracle::foretell;
use crate::proof::trial::Trial;
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;
use std::sync::Arc;
use walhook::demo::cluster::Cluster;

/// A published table of no form: what is done to it is in the log and makes no events, so it may vanish with the
/// history that it was part of.
const EXTRA: &str = "create table desk.extra (a int); alter publication walhook add table desk.extra";

/// Does something with the server's files while it is down.
async fn while_down(trial: &mut Trial, mode: &str, act: impl FnOnce(&str)) {
    let cluster = Arc::clone(&trial.stage.cluster);
    let mode = mode.to_owned();
    tokio::task::spawn_blocking(move || cluster.down(&mode)).await.unwrap().unwrap();
    act(&trial.stage.cluster.folder().join("data").display().to_string());
    up(trial).await;
}

async fn up(trial: &mut Trial) {
    let cluster = Arc::clone(&trial.stage.cluster);
    tokio::task::spawn_blocking(move || cluster.up()).await.unwrap().unwrap();
    trial.stage.client = crate::proof::workload::connect(&trial.stage.cluster.url("postgres")).await;
}

fn copy(from: &str, to: &str) {
    assert!(Command::new("cp").args(["-a", from, to]).status().unwrap().success());
}

fn put_back(copy: &str, data: &str) {
    std::fs::remove_dir_all(data).unwrap();
    std::fs::rename(copy, data).unwrap();
}

/// Waits until walhook has confirmed all that the log holds.
async fn wait_until_all_is_confirmed(trial: &Trial) {
    rest(trial).await;
    wait_until_confirmed(trial, wal_end(trial).await).await;
}

/// The server is put back from a copy of its files, made while it was down, and has then written as much as it had
/// lost. System identifier, timeline and slot are the same and the log is longer than our position: walhook went on
/// from there, and everything that was committed since the server was put back was lost in silence. Now the log is
/// read from where the slot is, and the last transaction that we know must be in it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn put_back_from_a_copy_of_its_files() {
    let mut trial = Trial::begin("history-put-back").await;
    sql(&trial, EXTRA).await;
    trial.work(60).await;
    wait_until_all_is_confirmed(&trial).await;
    stop(&mut trial);
    let kept = trial.stage.cluster.folder().join("kept").display().to_string();
    while_down(&mut trial, "fast", |data| copy(data, &kept)).await;
    // what is lost when the server is put back: walhook has read and confirmed it
    start_running(&mut trial).await;
    sql(&trial, "insert into desk.extra select generate_series(1, 5000)").await;
    wait_until_all_is_confirmed(&trial).await;
    stop(&mut trial);
    let ours = wal_end(&trial).await;
    while_down(&mut trial, "fast", |data| put_back(&kept, data)).await;
    // before 17 a server that is stopped does not store how far a slot is confirmed: what it has of before would come
    // again with new ids, for which the laws have no word
    sql(&trial, "select pg_replication_slot_advance('walhook', pg_current_wal_lsn())").await;

    trial.work(20).await;
    assert!(wal_end(&trial).await < ours);
    start_refused(&mut trial, "changes may be missing: the server was rewound: its log ends at").await;
    stop(&mut trial);
    // it goes on, and has overtaken our position when walhook looks again
    while wal_end(&trial).await <= ours {
        trial.work(60).await;
    }
    trial.work(60).await;
    start_stream_refused(&mut trial, "the server was put back to an older state").await;
    let confirmed = trial.stage.confirmed_lsn().await;
    let said = accept(&mut trial).await;
    assert!(said.contains("does not have transaction"), "{said}");
    let gaps = gaps(&trial);
    assert!(gaps.len() == 1 && gaps[0].to == confirmed && gaps[0].from > gaps[0].to, "{gaps:?}");
    trial.work(60).await;
    // the gap has nothing in it: all that the server has now arrives
    trial.judge_beside(&gaps).await;
}

/// As [`start_refused`], where the stream has to run for it.
async fn start_stream_refused(trial: &mut Trial, words: &str) {
    let from = trial.stage.walhook.log().len();
    trial.stage.walhook.start();
    trial.wait_for_log(from, words).await;
}

/// The same where nothing of ours was lost with the old history, only idle positions: nobody can tell, and nobody
/// needs to, for the log is read again from where the slot is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn put_back_where_we_had_only_moved_on() {
    let mut trial = Trial::begin("history-idle").await;
    trial.work(60).await;
    wait_until_all_is_confirmed(&trial).await;
    stop(&mut trial);
    let kept = trial.stage.cluster.folder().join("kept").display().to_string();
    while_down(&mut trial, "fast", |data| copy(data, &kept)).await;
    start_running(&mut trial).await;
    sql(&trial, "insert into desk.unmapped (payload) select repeat('x', 100) from generate_series(1, 200)")
        .await;
    wait_until_all_is_confirmed(&trial).await;
    stop(&mut trial);
    let ours = wal_end(&trial).await;
    while_down(&mut trial, "fast", |data| put_back(&kept, data)).await;
    while wal_end(&trial).await <= ours {
        trial.work(60).await;
    }
    start_running(&mut trial).await;
    trial.work(60).await;
    assert_eq!(gaps(&trial), []);
    trial.judge().await;
}

/// The queue is put back from a backup: its position is behind the slot's. What was confirmed since the backup was in
/// the queue that is gone, delivered or not: that is the gap. What comes after has sequence numbers that were used
/// before, and other ids.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_queue_put_back_from_a_backup() {
    let mut trial = Trial::begin("history-queue").await;
    trial.work(60).await;
    trial.hear(20).await;
    let backed = trial.stage.walhook.run(&["queue", "backup", "kept.db"]);
    assert!(backed.status.success(), "{}", String::from_utf8_lossy(&backed.stderr));
    trial.work(60).await;
    wait_until_all_is_confirmed(&trial).await;
    stop(&mut trial);
    let folder = trial.stage.folder.clone();
    for name in ["walhook.db", "walhook.db-wal", "walhook.db-shm"] {
        let _ = std::fs::remove_file(folder.join(name));
    }
    std::fs::rename(folder.join("kept.db"), folder.join("walhook.db")).unwrap();
    trial.work(60).await;
    start_refused(&mut trial, "ahead of our position").await;
    accept(&mut trial).await;
    trial.work(60).await;
    let gaps = gaps(&trial);
    assert_eq!(gaps.len(), 1);
    let (mut stage, history) = trial.history().await;
    let wanted: BTreeSet<(String, String, String)> = outside(foretell(&history).0, &gaps)
        .iter()
        .map(|event| {
            let lsn = format!("{:X}/{:X}", event.commit_lsn >> 32, event.commit_lsn as u32);
            (lsn, event.key.entry_id.to_string(), event.verb.to_owned())
        })
        .collect();
    let arrived = stage.receiver.wait_until(|arrivals| {
        let told = arrivals.iter().filter(|arrival| arrival.is_accepted()).filter_map(|arrival| {
            let body: Value = serde_json::from_slice(&arrival.request.body).ok()?;
            let text = |name: &str| body[name].as_str().map(str::to_owned);
            Some((text("lsn")?, text("entry_id")?, text("event")?))
        });
        told.collect::<BTreeSet<_>>().is_superset(&wanted)
    });
    tokio::time::timeout(super::patience(), arrived).await.expect("everything outside of the gap");
    assert_eq!(stage.walhook.terminate(), Some(0));
}

/// A standby is promoted that lacked the last commits, which walhook has delivered and confirmed. The range of the
/// gap was told from our position in the old timeline: what the new one had committed between its beginning and that
/// number was in no record. Now the range begins where the timeline was left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_promoted_that_lacked_the_last() {
    let mut trial = Trial::begin("history-promoted").await;
    sql(&trial, EXTRA).await;
    stop(&mut trial);
    let primary = Arc::clone(&trial.stage.cluster);
    let standby =
        tokio::task::spawn_blocking(move || Cluster::start_standby(&primary, &["hot_standby_feedback = on"]));
    let standby = Arc::new(standby.await.unwrap().unwrap());
    trial.stage.client = crate::proof::workload::connect(&trial.stage.cluster.url("postgres")).await;
    start_running(&mut trial).await;
    trial.work(60).await;
    trial.hear(20).await;
    let written = wal_end(&trial).await;
    let on_standby = crate::proof::workload::connect(&standby.url("postgres")).await;
    let replayed = format!(
        "select count(*) from (select pg_last_wal_replay_lsn() - '0/0' as lsn) as at where at.lsn >= {written}"
    );
    while on_standby.query_one(&replayed, &[]).await.unwrap().get::<_, i64>(0) == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    blocking(&standby, |standby| standby.down("fast")).await;
    sql(&trial, "insert into desk.extra select generate_series(1, 500)").await;
    wait_until_all_is_confirmed(&trial).await;
    stop(&mut trial);

    // the primary is lost; the standby is promoted, and takes the primary's address
    blocking(&trial.stage.cluster, |primary| primary.down("immediate")).await;
    blocking(&standby, Cluster::up).await;
    let on_standby = crate::proof::workload::connect(&standby.url("postgres")).await;
    on_standby.batch_execute("select pg_promote()").await.unwrap();
    let drop =
        "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = 'walhook'";
    on_standby.batch_execute(drop).await.unwrap();
    blocking(&standby, |standby| standby.down("fast")).await;
    let (theirs, ours) = (standby.folder().join("data"), trial.stage.cluster.folder().join("data"));
    std::fs::remove_dir_all(&ours).unwrap();
    std::fs::rename(theirs, &ours).unwrap();
    up(&mut trial).await;
    trial.work(60).await;
    start_refused(&mut trial, "the server left timeline 1 at").await;
    stop(&mut trial);
    resume(&trial).unwrap();
    trial.work(60).await;
    start_running(&mut trial).await;
    trial.work(60).await;
    let gaps = gaps(&trial);
    assert_eq!(gaps.len(), 1);
    trial.judge_beside(&gaps).await;
}

async fn blocking(
    cluster: &Arc<Cluster>,
    act: impl FnOnce(&Cluster) -> Result<(), walhook::demo::cluster::Error> + Send + 'static,
) {
    let cluster = Arc::clone(cluster);
    tokio::task::spawn_blocking(move || act(&cluster)).await.unwrap().unwrap();
}
