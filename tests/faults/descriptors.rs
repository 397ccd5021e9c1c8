//! Out of file descriptors.

use crate::proof::stage::{Stage, setting};
use crate::proof::trial::{Trial, is_unwanted};
use crate::proof::world::HOOKS;
use crate::readiness::wait_for_readiness;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use walhook::demo::receiver::{Answer, Judge};

/// Endpoints that do not answer hold more connections than there may be files. Capture goes on or waits, nobody
/// dies, and when there are descriptors again everything arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn out_of_file_descriptors_nothing_is_lost() {
    let slow = Arc::new(AtomicBool::new(true));
    let judge: Judge = {
        let slow = Arc::clone(&slow);
        Arc::new(move |request| match slow.load(Ordering::Relaxed) {
            _ if is_unwanted(request) => Answer::Status(422),
            true => Answer::Slow(Duration::from_millis(700), 204),
            false => Answer::Status(204),
        })
    };
    let mut stage = Stage::prepare("fault-descriptors", &HOOKS, judge).await;
    stage.walhook.through = ["prlimit", "--nofile=40:4096"].map(str::to_owned).to_vec();
    stage.start().await;
    let mut trial = Trial::on(stage, setting("SEED", 1));
    trial.work(400).await;
    trial.wait_for_log(0, "Too many open files").await;
    trial.work(200).await;
    assert!(trial.stage.walhook.is_running(), "{}", trial.stage.walhook.log_tail());
    let process = trial.stage.walhook.id().expect("it runs").to_string();
    let lifted = Command::new("prlimit").args(["--pid", &process, "--nofile=4096"]).status().unwrap();
    assert!(lifted.success());
    slow.store(false, Ordering::Relaxed);
    trial.work(100).await;
    wait_for_readiness(&trial.stage, 200, "").await;
    trial.judge().await;
}
