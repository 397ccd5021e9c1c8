//! The slot is dropped, made anew, moved, read by somebody else, or another one has its name. Every one of these is
//! seen before anything is skipped.

use super::{
    accept, gaps, number, patience, resume, sql, start_refused, start_running, stop, wait_until_confirmed,
    wait_until_read, wal_end,
};
use crate::proof::history::testimony;
use crate::proof::process::Walhook;
use crate::proof::trial::Trial;
use crate::proof::workload::connect;
use std::process::{Command, Stdio};
use std::time::Instant;

const DROP: &str = "select pg_drop_replication_slot('walhook')";
const CREATE_WITNESS: &str = "select pg_create_logical_replication_slot('witness', 'pgoutput')";
const GAP: &str = "changes may be missing: ";

/// A trial with something delivered, and walhook stopped.
async fn stopped(name: &str) -> Trial {
    let mut trial = Trial::begin(name).await;
    trial.work(60).await;
    trial.hear(20).await;
    stop(&mut trial);
    trial
}

/// The end of the gap was where the log ended when it was accepted, and what was committed from then until `run`
/// had made the slot was in no record. Now the gap ends where the slot begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_while_walhook_is_down() {
    let mut trial = stopped("slot-dropped").await;
    trial.work(60).await;
    sql(&trial, DROP).await;
    trial.work(60).await;
    start_refused(&mut trial, &format!("{GAP}replication slot \\\"walhook\\\" is gone")).await;
    stop(&mut trial);
    let said = resume(&trial).unwrap();
    assert!(said.contains("up to where `walhook run` makes the slot anew"), "{said}");
    let open = gaps(&trial);
    // changes between the operator's word and the slot, and while it is being made
    trial.work(60).await;
    trial.let_work(60);
    start_running(&mut trial).await;
    trial.work(60).await;
    let closed = gaps(&trial);
    assert!(closed.len() == 1 && closed[0].to > open[0].to, "{open:?} {closed:?}");
    trial.judge_beside(&closed).await;
}

/// The server ends the session, and somebody drops the slot before walhook is back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_while_walhook_runs() {
    let mut trial = Trial::begin("slot-dropped-running").await;
    trial.work(60).await;
    trial.hear(20).await;
    trial.let_work(1_000);
    let from = trial.stage.walhook.log().len();
    sql(
        &trial,
        "do $$ begin
             perform pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'walhook';
             loop
                 begin perform pg_drop_replication_slot('walhook'); exit;
                 exception when object_in_use then perform pg_sleep(0.001); end;
             end loop;
         end $$",
    )
    .await;
    trial.wait_for_log(from, &format!("{GAP}replication slot \\\"walhook\\\" is gone")).await;
    accept(&mut trial).await;
    trial.work(60).await;
    let gaps = gaps(&trial);
    trial.judge_beside(&gaps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_and_made_anew_at_a_later_place() {
    let mut trial = stopped("slot-anew").await;
    trial.work(60).await;
    sql(&trial, DROP).await;
    sql(&trial, "select pg_create_logical_replication_slot('walhook', 'pgoutput')").await;
    trial.work(60).await;
    start_refused(&mut trial, "ahead of our position").await;
    let said = accept(&mut trial).await;
    assert!(said.contains("are not delivered"), "{said}");
    trial.work(60).await;
    let gaps = gaps(&trial);
    trial.judge_beside(&gaps).await;
}

/// A slot of another kind has no position that means anything to us. It was taken for ours, moved on: for a physical
/// one the operator was to accept a gap up to FFFFFFFF/FFFFFFFF, and behind every such gap stood the next refusal.
/// Now it is said what is wrong with the slot, and no gap is accepted for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_of_other_kinds_in_its_place() {
    let mut trial = stopped("slot-of-another-kind").await;
    sql(&trial, DROP).await;
    sql(&trial, "create database other").await;
    let elsewhere = connect(&trial.stage.cluster.url("other")).await;
    let make = "select pg_create_logical_replication_slot('walhook', 'pgoutput'";
    let kinds = [
        ("select pg_create_physical_replication_slot('walhook')", "it is a physical slot", false),
        (
            "select pg_create_logical_replication_slot('walhook', 'test_decoding')",
            "its output plugin is test_decoding, not pgoutput",
            false,
        ),
        (&format!("{make})"), "it belongs to database", true),
        (&format!("{make}, true)"), "it is temporary, and ends with the session that made it", false),
    ];
    for (made, words, is_elsewhere) in kinds {
        let client = if is_elsewhere { &elsewhere } else { &trial.stage.client };
        client.batch_execute(made).await.unwrap();
        start_refused(&mut trial, words).await;
        stop(&mut trial);
        let refused = resume(&trial).unwrap_err();
        assert!(refused.contains(words) && refused.contains("pg_drop_replication_slot"), "{refused}");
        assert!(gaps(&trial).is_empty(), "{words}: a gap was accepted for it");
        let client = if is_elsewhere { &elsewhere } else { &trial.stage.client };
        client.batch_execute(DROP).await.unwrap();
    }
    trial.work(60).await;
    start_refused(&mut trial, &format!("{GAP}replication slot \\\"walhook\\\" is gone")).await;
    accept(&mut trial).await;
    trial.work(60).await;
    let gaps = gaps(&trial);
    trial.judge_beside(&gaps).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moved_by_somebody() {
    let mut trial = stopped("slot-moved").await;
    trial.work(60).await;
    sql(&trial, "select pg_replication_slot_advance('walhook', pg_current_wal_lsn())").await;
    trial.work(60).await;
    start_refused(&mut trial, "it was recreated or advanced").await;
    accept(&mut trial).await;
    trial.work(60).await;
    let gaps = gaps(&trial);
    assert_eq!(gaps.len(), 1);
    trial.judge_beside(&gaps).await;
}

/// Walhook is away for the moment that somebody needs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn moved_while_the_connection_was_away_for_a_moment() {
    let mut trial = Trial::begin("slot-moved-at-once").await;
    trial.work(60).await;
    trial.hear(20).await;
    // what was committed last has not been read when the session ends: it stands still
    trial.stage.walhook.freeze();
    trial.work(60).await;
    let from = trial.stage.walhook.log().len();
    sql(
        &trial,
        "do $$ begin
             perform pg_terminate_backend(active_pid) from pg_replication_slots where slot_name = 'walhook';
             loop
                 begin perform pg_replication_slot_advance('walhook', pg_current_wal_lsn()); exit;
                 exception when object_in_use then perform pg_sleep(0.001); end;
             end loop;
         end $$",
    )
    .await;
    trial.stage.walhook.thaw();
    trial.wait_for_log(from, "ahead of our position").await;
    accept(&mut trial).await;
    trial.work(60).await;
    let gaps = gaps(&trial);
    assert_eq!(gaps.len(), 1);
    trial.judge_beside(&gaps).await;
}

/// A copy is a slot of its own: reading it moves nothing of ours. And put in place of ours it is as good as ours,
/// so long as it is not ahead.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn copied_and_the_copy_put_in_its_place() {
    let mut trial = stopped("slot-copied").await;
    trial.work(60).await;
    sql(
        &trial,
        "select pg_copy_logical_replication_slot('walhook', 'spare');
         select pg_drop_replication_slot('walhook');",
    )
    .await;
    sql(&trial, "select pg_copy_logical_replication_slot('spare', 'walhook')").await;
    sql(&trial, "select pg_replication_slot_advance('spare', pg_current_wal_lsn())").await;
    trial.stage.walhook.start();
    trial.work(60).await;
    assert_eq!(gaps(&trial), []);
    trial.judge().await;
}

/// `pg_recvlogical` reads our slot while walhook is down, and confirms what it has taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn read_by_another_program() {
    let mut trial = stopped("slot-read-by-another").await;
    trial.work(60).await;
    // some packages have the server alone; any version's client will do
    let beside_server = trial.stage.cluster.bin().join("pg_recvlogical");
    let client = if beside_server.exists() { beside_server } else { "pg_recvlogical".into() };
    if Command::new(&client).arg("--version").output().is_err() {
        eprintln!("skipped: there is no pg_recvlogical");
        return;
    }
    let mut other = Command::new(client)
        .args(["-d", &trial.stage.cluster.url("postgres"), "-S", "walhook", "--start", "-f", "/dev/null"])
        .args(["-o", "proto_version=1", "-o", "publication_names=walhook", "-s", "1", "-F", "1"])
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_until_read(&trial, true).await;
    start_refused(&mut trial, "the slot is in use; waiting for it").await;
    let taken = wal_end(&trial).await;
    wait_until_confirmed(&trial, taken).await;
    other.kill().unwrap();
    other.wait().unwrap();
    trial.wait_for_log(0, "ahead of our position").await;
    accept(&mut trial).await;
    trial.work(60).await;
    let gaps = gaps(&trial);
    assert_eq!(gaps.len(), 1);
    trial.judge_beside(&gaps).await;
}

/// Two walhooks with a queue each on one slot: the second is refused, and where the operator insists it waits; the
/// first sees what the second has taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shared_by_two_walhooks() {
    let mut trial = Trial::begin("slot-shared").await;
    trial.work(60).await;
    trial.hear(20).await;
    let folder = trial.stage.folder.join("second");
    std::fs::create_dir_all(&folder).unwrap();
    let toml = trial.stage.configuration(&trial.stage.cluster.url("postgres"));
    let toml =
        toml.replace(trial.stage.admin(), "127.0.0.1:0").replace("http://127.0.0.1", "http://127.9.9.9");
    let mut second = Walhook::new(&folder, &toml);
    let says = async |second: &Walhook, words: &str| {
        let began = Instant::now();
        while !second.log().contains(words) {
            assert!(began.elapsed() < patience(), "no {words:?}:\n{}", second.log_tail());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    second.start();
    says(&second, "exists, and this queue knows nothing of it").await;
    assert_eq!(second.terminate(), Some(0));
    stop(&mut trial);
    second.start_with(&["run", "--adopt-slot"]);
    says(&second, "the stream runs").await;
    trial.work(60).await;
    let made = wal_end(&trial).await;
    wait_until_confirmed(&trial, made).await;
    start_refused(&mut trial, "ahead of our position").await;
    assert_eq!(second.terminate(), Some(0));
    accept(&mut trial).await;
    trial.work(60).await;
    let gaps = gaps(&trial);
    assert_eq!(gaps.len(), 1);
    trial.judge_beside(&gaps).await;
}

/// The server gives the slot up when it would have to keep too much of its log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn given_up_by_the_server() {
    let mut trial = stopped("slot-given-up").await;
    trial.work(60).await;
    // the witness would be given up as well: nothing is committed while it is away
    trial.workload.rests().await;
    trial.testimony.extend(testimony(&trial.stage.client).await);
    sql(&trial, "select pg_drop_replication_slot('witness')").await;
    sql(&trial, "alter system set max_slot_wal_keep_size = '1MB'").await;
    sql(&trial, "select pg_reload_conf()").await;
    let lost =
        "select count(*) from pg_replication_slots where slot_name = 'walhook' and wal_status = 'lost'";
    let began = Instant::now();
    while number(&trial, lost).await == 0 {
        assert!(began.elapsed() < patience(), "the slot lives on");
        sql(&trial, "select pg_logical_emit_message(false, 'filler', repeat('x', 1000))").await;
        sql(&trial, "select pg_switch_wal()").await;
        sql(&trial, "checkpoint").await;
    }
    sql(&trial, "alter system reset max_slot_wal_keep_size").await;
    sql(&trial, "select pg_reload_conf()").await;
    sql(&trial, CREATE_WITNESS).await;
    start_refused(&mut trial, "was invalidated by the server").await;
    stop(&mut trial);
    let refused = resume(&trial).unwrap_err();
    assert!(refused.contains(DROP), "{refused}");
    sql(&trial, DROP).await;
    let said = resume(&trial).unwrap();
    assert!(said.contains("is gone"), "{said}");
    start_running(&mut trial).await;
    trial.work(60).await;
    let gaps = gaps(&trial);
    trial.judge_beside(&gaps).await;
}
