//! The machine's clock jumps while walhook runs: by `libfaketime`, where that is installed.

use crate::proof::stage::{Stage, setting};
use crate::proof::trial::{Trial, closed_until};
use crate::proof::world::HOOKS;
use crate::readiness::wait_for_readiness;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

const LIBRARIES: [&str; 4] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib64/faketime/libfaketimeMT.so.1",
    "/usr/lib/faketime/libfaketimeMT.so.1",
];

/// Where the clock jumps to, one after another; the last is the time again that it is.
const JUMPS: [&str; 6] = ["+5h", "-5h", "+74y", "+0", "-55y", "+0"];

/// What is retried is tried again after its pause, not after as many years as the clock went back; order, identity
/// and dead letters stay what they are.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_clock_that_jumps_delays_nothing_and_loses_nothing() {
    let Some(library) = LIBRARIES.iter().find(|library| Path::new(library).exists()) else {
        println!("left out, for libfaketime is not there: apt-get install libfaketime");
        return;
    };
    let is_open = Arc::new(AtomicBool::new(true));
    let mut stage = Stage::prepare("fault-clock", &HOOKS, closed_until(&is_open)).await;
    let toml = stage.configuration(&stage.cluster.url("postgres"));
    stage.walhook.configure(&toml.replacen("[queue]\n", "[queue]\nretention = \"1h\"\n", 1));
    let clock = stage.folder.join("clock");
    let turn = |to: &str| {
        // renamed into place, so that nobody reads half of it
        let written = clock.with_extension("new");
        std::fs::write(&written, format!("{to}\n")).unwrap();
        std::fs::rename(&written, &clock).unwrap();
    };
    turn("+0");
    stage.walhook.environment = vec![
        ("LD_PRELOAD".into(), (*library).to_owned()),
        ("FAKETIME_TIMESTAMP_FILE".into(), clock.display().to_string()),
        ("FAKETIME_NO_CACHE".into(), "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC".into(), "1".into()),
    ];
    stage.start().await;
    let mut trial = Trial::on(stage, setting("SEED", 1));
    trial.work(100).await;
    for (number, to) in JUMPS.into_iter().enumerate() {
        // some pause between attempts while the clock jumps
        is_open.store(false, Ordering::Relaxed);
        trial.let_work(50);
        trial.hear(10).await;
        turn(to);
        trial.hear(5).await;
        is_open.store(true, Ordering::Relaxed);
        trial.work(30).await;
        trial.hear(20).await;
        wait_for_readiness(&trial.stage, 200, "").await;
        if number % 2 == 1 {
            trial.kill().await;
            trial.stage.walhook.start();
        }
    }
    trial.judge().await;
}

/// The clock was wrong when walhook started and is set right later: pauses that began in the year 2100 are not
/// waited for until then, whether it runs on or is started anew.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pauses_that_began_in_the_future_end_in_time() {
    let Some(library) = LIBRARIES.iter().find(|library| Path::new(library).exists()) else {
        println!("left out, for libfaketime is not there: apt-get install libfaketime");
        return;
    };
    let is_open = Arc::new(AtomicBool::new(false));
    let mut stage = Stage::prepare("fault-clock-future", &HOOKS, closed_until(&is_open)).await;
    stage.walhook.environment = vec![
        ("LD_PRELOAD".into(), (*library).to_owned()),
        ("FAKETIME".into(), "+74y".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC".into(), "1".into()),
    ];
    stage.start().await;
    let mut trial = Trial::on(stage, setting("SEED", 1));
    trial.work(60).await;
    trial.hear(30).await;
    trial.kill().await;
    is_open.store(true, Ordering::Relaxed);
    trial.stage.walhook.environment.clear();
    trial.stage.walhook.start();
    trial.judge().await;
}
