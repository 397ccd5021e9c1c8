//! The scenes: the soak itself, and one for each promise about others and about the server.

use crate::proof::faults::{Faults, OneRule};
use crate::proof::history::Told;
use crate::proof::random::Random;
use crate::proof::stage::{Stage, setting};
use crate::proof::trial::{conclude, is_unwanted};
use crate::proof::workload::Workload;
use crate::proof::world::HOOKS;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use walhook::demo::receiver::{Answer, Judge};

/// The number of SQL sessions at once.
const SESSIONS: i32 = 6;
/// The resident memory that walhook may take, in kB.
pub const MEMORY_KB_MAX: u64 = 100_000;
/// A receiver that fails one request in ten: refuses, cuts, dawdles, says nothing; and for good where the
/// third webhook's endpoint does not want an entry.
fn moody(seed: u64) -> Judge {
    let random = Mutex::new(Random::new(seed, 1000));
    Arc::new(move |request| {
        if is_unwanted(request) {
            return Answer::Status(422);
        }
        let mut random = random.lock().unwrap();
        match random.below(1000) {
            0..50 => Answer::Status(503),
            50..80 => Answer::Cut,
            80..98 => Answer::Slow(Duration::from_millis(random.below(300)), 200),
            98..100 => Answer::Silence,
            _ => Answer::Status(204),
        }
    })
}

/// The whole story: mixed changes by several sessions, a bulk transaction, a receiver in a mood, and walhook,
/// PostgreSQL and the receiver killed in between; then every law, delivery by delivery.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_and_everything_is_in_order_whatever_is_killed() {
    let seed = setting("SEED", 1);
    let (kills, changes) = (setting("KILLS", 6), setting("CHANGES", 3000));
    let bulk = setting("BULK", 4000) as i64;
    println!("SEED={seed} KILLS={kills} CHANGES={changes} BULK={bulk}");
    let mut stage = Stage::prepare(&format!("soak-{seed}"), &HOOKS, moody(seed)).await;
    stage.start().await;
    let workload = Workload::new(&stage.cluster.url("postgres"), seed);
    let mut sessions: JoinSet<Vec<Told>> = JoinSet::new();
    for session in 1..=SESSIONS {
        sessions.spawn(Arc::clone(&workload).session(session, changes));
    }
    let mut random = Random::new(seed, 2000);
    let mut faults = Faults::default();
    let mut rule = OneRule::default();
    for number in 0..kills {
        // the last fifth of the kills falls into what is left to be sent
        workload.gate.send_replace(changes * (number + 1) * 5 / (kills * 4) + 1);
        if number == kills / 2 {
            let workload = Arc::clone(&workload);
            sessions.spawn(async move { vec![workload.bulk(0, bulk).await] });
        }
        let kill_at = Instant::now() + Duration::from_millis(40 + random.below(1200));
        while Instant::now() < kill_at {
            tokio::time::sleep(Duration::from_millis(10 + random.below(60))).await;
            rule.look_at_the_frozen(&stage).await;
        }
        stage.walhook.kill();
        faults.killed(&stage).await;
        rule.look_at_the_dead(&stage).await;
        if number == kills / 3 {
            stage.walhook.start();
            tokio::time::sleep(Duration::from_millis(300)).await;
            stage.receiver.stop().await;
            tokio::time::sleep(Duration::from_millis(500)).await;
            stage.receiver.start_again().await.unwrap();
        } else {
            stage.walhook.start();
        }
        // not while the bulk runs: it is one statement, and would have to be begun anew
        if number == kills / 4 {
            stage.crash_server().await;
        }
    }
    workload.gate.send_replace(u64::MAX);
    let told: Vec<Told> = sessions.join_all().await.into_iter().flatten().collect();
    let made = workload.changes.load(Ordering::Relaxed);
    assert!(made >= changes, "only {made} changes were made");
    let looks = rule.looks.len();
    assert!(looks > 10, "only {looks} looks at what was confirmed");
    let stage = conclude(stage, told, &faults, &rule).await;
    assert!(stage.walhook.peak_kb < MEMORY_KB_MAX, "{} kB resident", stage.walhook.peak_kb);
}
