//! walhook dies at a system call, or a system call fails: by `strace`, where that is allowed.
//!
//! `SYSCALL_ROUNDS=20` plays each call that often, at other counts each time; `SEED=7` chooses others.

use crate::proof::random::Random;
use crate::proof::stage::setting;
use crate::proof::trial::Trial;
use std::os::unix::process::ExitStatusExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

/// Calls, and within how many of a thread's first of them it dies.
const DEADLY: [(&str, u64); 7] = [
    ("fdatasync", 15),
    ("pwrite64", 60),
    ("ftruncate", 1),
    ("unlink", 1),
    ("sendto", 15),
    ("write", 5),
    ("writev", 15),
];

/// Calls that fail, from which on, until the limit: once, or from then on.
const FAILING: [(&str, &str, &str); 6] = [
    ("fdatasync", "EIO", "8"),
    ("fdatasync", "EIO", "12+"),
    // SQLite says nothing of one that fails while it moves pages from its log into the file, and does it again later: the
    // next ones are a commit's
    ("pwrite64", "EIO", "60..80"),
    ("pwrite64", "EIO", "90+"),
    ("pwrite64", "ENOSPC", "70..140"),
    ("pwrite64", "EROFS", "80+"),
];

/// `strace` as a grandchild, so that the process is walhook's own.
fn strace(inject: &str) -> Option<Vec<String>> {
    let call = inject.split(':').next().unwrap();
    let command: Vec<String> =
        ["strace", "-D", "-f", "-qqq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e"]
            .map(str::to_owned)
            .into_iter()
            .chain([format!("inject={inject}")])
            .collect();
    let tried = Command::new(&command[0]).args(&command[1..]).arg("true").output();
    match tried {
        Ok(output) if output.status.success() => Some(command),
        Ok(_) if call == "write" => Some(command),
        refused => {
            println!("left out, for strace is not there or refused: {refused:?}");
            None
        }
    }
}

/// Killed at the n-th of a call, in the middle of whatever it does; then started again, and all laws kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_whichever_system_call_it_dies_at() {
    let rounds = setting("SYSCALL_ROUNDS", 1);
    let mut random = Random::new(setting("SEED", 1), 11);
    if strace("fdatasync:signal=KILL:when=60000").is_none() {
        return;
    }
    let mut trial = Trial::begin("fault-syscalls").await;
    trial.work(100).await;
    trial.hear(20).await;
    trial.kill().await;
    let mut missed = Vec::new();
    for _ in 0..rounds {
        for (call, count_max) in DEADLY {
            let count = 1 + random.below(count_max);
            let inject = format!("{call}:signal=KILL:when={count}");
            trial.stage.walhook.through = strace(&inject).expect("it was allowed before");
            trial.stage.walhook.start();
            trial.stage.walhook.through.clear();
            let began = Instant::now();
            // some calls come only at the start or the end
            while trial.stage.walhook.is_running() && began.elapsed() < Duration::from_secs(5) {
                trial.let_work(20);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            if trial.stage.walhook.is_running() {
                trial.stage.walhook.signal("-TERM");
            }
            let ended = trial.stage.walhook.wait_until_ended(Duration::from_secs(60)).expect("it ends");
            match (ended.signal(), ended.code()) {
                (Some(9), _) => {}
                (_, Some(0)) => missed.push(inject),
                _ => panic!("{inject}: {ended}\n{}", trial.stage.walhook.log_tail()),
            }
            trial.died().await;
        }
    }
    println!("{} deaths; not met: {missed:?}", trial.faults.deaths());
    assert!(missed.len() as u64 <= 4 * rounds, "{missed:?}");
    trial.stage.walhook.start();
    trial.work(50).await;
    trial.judge().await;
}

/// A write or an fsync that fails is said, nothing is confirmed for it, and nothing is lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_when_the_disk_fails() {
    if strace("fdatasync:signal=KILL:when=60000").is_none() {
        return;
    }
    let mut trial = Trial::begin("fault-disk-errors").await;
    trial.work(100).await;
    trial.hear(20).await;
    trial.kill().await;
    for (call, error, when) in FAILING {
        let said = trial.stage.walhook.log().len();
        let inject = format!("{call}:error={error}:when={when}");
        trial.stage.walhook.through = strace(&inject).expect("it was allowed before");
        trial.stage.walhook.start();
        trial.stage.walhook.through.clear();
        let began = Instant::now();
        let is_said = |log: &str| {
            log.get(said..).unwrap_or_default().contains("is failing")
                || log.get(said..).unwrap_or_default().contains("the queue could not")
                || log.get(said..).unwrap_or_default().contains("no room")
        };
        while !is_said(&trial.stage.walhook.log()) {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "{inject}: {}",
                trial.stage.walhook.log_tail()
            );
            trial.let_work(20);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let log = trial.stage.walhook.log();
        let first = log[said..].lines().find(|line| is_said_line(line)).unwrap_or_default();
        println!("{inject}: {first}");
        trial.work(50).await;
        if trial.stage.walhook.is_running() {
            trial.kill().await;
        } else {
            let ended = trial.stage.walhook.wait_until_ended(Duration::from_secs(1)).unwrap();
            println!("{inject}: it ended: {ended}");
            assert!(ended.signal().is_none(), "{ended}");
            trial.died().await;
        }
    }
    trial.stage.walhook.start();
    trial.work(50).await;
    trial.judge().await;
}

fn is_said_line(line: &str) -> bool {
    ["is failing", "the queue could not", "no room"].iter().any(|words| line.contains(words))
}
