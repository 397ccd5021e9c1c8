//! walhook dies, by whatever.

use crate::proof::stage::Stage;
use crate::proof::trial::{Trial, content};
use crate::proof::world::HOOKS;
use crate::readiness::wait_for_readiness;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use walhook::demo::receiver::{Answer, Judge};

/// The pattern of every fault: changes before it, while it lasts and after it, then all laws.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_between_two_changes() {
    let mut trial = Trial::begin("fault-kill-9").await;
    trial.work(200).await;
    trial.hear(50).await;
    trial.let_work(100);
    trial.kill().await;
    trial.work(200).await;
    trial.stage.walhook.start();
    trial.hear(50).await;
    trial.judge().await;
}

/// Endpoints have read requests and have not answered: what they may have done is done again, and recognisable.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_while_answers_are_waited_for() {
    let mute = Arc::new(AtomicBool::new(false));
    let judge: Judge = {
        let (mute, content) = (Arc::clone(&mute), content());
        Arc::new(move |request| if mute.load(Ordering::Relaxed) { Answer::Silence } else { content(request) })
    };
    let mut stage = Stage::prepare("fault-unanswered", &HOOKS, judge).await;
    stage.start().await;
    let mut trial = Trial::on(stage, 1);
    trial.work(100).await;
    trial.hear(20).await;
    mute.store(true, Ordering::Relaxed);
    trial.let_work(100);
    trial.hear(10).await;
    trial.kill().await;
    mute.store(false, Ordering::Relaxed);
    trial.stage.walhook.start();
    trial.work(100).await;
    trial.judge().await;
}

/// Stopped for longer than the server waits for a word (`wal_sender_timeout`; the stage has 4 s): the server ends the
/// stream, and walhook comes back to it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_stood_still_goes_on() {
    let mut trial = Trial::begin("fault-stopped").await;
    trial.work(200).await;
    trial.hear(20).await;
    let said = trial.stage.walhook.log().len();
    trial.stage.walhook.freeze();
    trial.work(200).await;
    let server_gave_up = "select 1 from pg_replication_slots where slot_name = 'walhook' and not active";
    let began = Instant::now();
    while trial.stage.client.query(server_gave_up, &[]).await.unwrap().is_empty() {
        assert!(began.elapsed() < Duration::from_secs(60), "the server does not give up");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    trial.stage.walhook.thaw();
    trial.wait_for_log(said, "capture").await;
    trial.work(100).await;
    wait_for_readiness(&trial.stage, 200, "").await;
    trial.judge().await;
}
