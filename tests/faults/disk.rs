//! The disk is full, or may only be read.

use crate::proof::stage::{Stage, setting};
use crate::proof::stored::stored_by_the_dead;
use crate::proof::trial::{Trial, content};
use crate::proof::world::HOOKS;
use crate::readiness::wait_for_readiness;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// A small file system of its own at a folder, gone when dropped.
struct SmallDisk(PathBuf);

impl SmallDisk {
    /// None where the machine refuses, with a word.
    fn mount(folder: &Path, mib: u64) -> Option<Self> {
        fs::create_dir_all(folder).unwrap();
        let options = format!("size={mib}m,mode=0755");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(folder).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(folder.to_owned())),
            refused => {
                println!("left out, for mounts are refused here: {refused:?}");
                None
            }
        }
    }

    /// Fills it to the last byte.
    fn fill(&self) {
        let mut ballast = File::create(self.0.join("ballast")).unwrap();
        for size in [64 * 1024, 512, 1] {
            while ballast.write_all(&vec![7; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A stage whose queue is at another place.
async fn stage_with_queue(name: &str, queue: &Path) -> Stage {
    let stage = Stage::prepare(name, &HOOKS, content()).await;
    stage.walhook.configure(&elsewhere(&stage, queue));
    stage
}

fn elsewhere(stage: &Stage, queue: &Path) -> String {
    let toml = stage.configuration(&stage.cluster.url("postgres"));
    toml.replacen("\"walhook.db\"", &format!("{:?}", queue.display().to_string()), 1)
}

/// The one rule for a queue at another place.
async fn look_at_the_dead(stage: &Stage, queue: &Path) {
    let stored = stored_by_the_dead(queue).unwrap();
    let confirmed = stage.confirmed_lsn().await;
    assert!(confirmed <= stored, "confirmed {confirmed:X}, and stored only {stored:X}");
}

/// A full disk stops capture, and nothing else: walhook stays, is red and says why, the server keeps its log, and
/// everything arrives when there is room. Killed and started on the full disk it does not make it worse.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_capture_until_there_is_room() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fault-full-disk-queue");
    let _ = Command::new("umount").arg("-lq").arg(&folder).output();
    let Some(disk) = SmallDisk::mount(&folder, 24) else { return };
    let queue = folder.join("walhook.db");
    let mut stage = stage_with_queue("fault-full-disk", &queue).await;
    stage.start().await;
    let mut trial = Trial::on(stage, setting("SEED", 1));
    trial.work(200).await;
    trial.hear(50).await;
    for round in 0..setting("FULL_DISK_ROUNDS", 2) {
        let said = trial.stage.walhook.log().len();
        disk.fill();
        trial.work(300).await;
        trial.wait_for_log(said, "the disk has no room for queue").await;
        wait_for_readiness(&trial.stage, 503, "the disk has no room for queue").await;
        let confirmed = trial.stage.confirmed_lsn().await;
        trial.work(100).await;
        assert!(trial.stage.walhook.is_running());
        let retained = trial.stage.retained_bytes().await.unwrap();
        assert!(retained > 0 && trial.stage.confirmed_lsn().await >= confirmed);
        if round % 2 == 1 {
            trial.stage.walhook.kill();
            trial.faults.killed(&trial.stage).await;
            look_at_the_dead(&trial.stage, &queue).await;
            trial.stage.walhook.start();
            // it cannot begin, or begins and stays red: both are told
            let began = Instant::now();
            while !trial.stage.walhook.log().get(said..).unwrap_or_default().contains("no room") {
                assert!(began.elapsed() < Duration::from_secs(60), "{}", trial.stage.walhook.log_tail());
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
        disk.make_room();
        if !trial.stage.walhook.is_running() {
            trial.stage.walhook.wait_until_ended(Duration::from_secs(1));
            println!("it ended on the full disk:\n{}", trial.stage.walhook.log_tail());
            trial.stage.walhook.start();
        }
        wait_for_readiness(&trial.stage, 200, "").await;
    }
    trial.work(200).await;
    trial.stage.walhook.kill();
    trial.faults.killed(&trial.stage).await;
    look_at_the_dead(&trial.stage, &queue).await;
    trial.stage.walhook.start();
    trial.judge().await;
}

/// The form that always runs: no file may grow beyond a limit.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_may_not_grow_stops_capture_until_it_may() {
    let mut stage = Stage::prepare("fault-file-size", &HOOKS, content()).await;
    let script = "ulimit -S -f 2500; exec \"$@\"";
    stage.walhook.through = ["bash", "-c", script, "limited"].map(str::to_owned).to_vec();
    stage.start().await;
    let mut trial = Trial::on(stage, setting("SEED", 1));
    let began = Instant::now();
    while !trial.stage.walhook.log().contains("the queue could not") {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", trial.stage.walhook.log_tail());
        assert!(trial.stage.walhook.is_running(), "{}", trial.stage.walhook.log_tail());
        trial.work(100).await;
    }
    wait_for_readiness(&trial.stage, 503, "the queue could not").await;
    assert!(trial.stage.walhook.is_running(), "{}", trial.stage.walhook.log_tail());
    let process = trial.stage.walhook.id().expect("it runs").to_string();
    let lifted = Command::new("prlimit").args(["--pid", &process, "--fsize=unlimited"]).status().unwrap();
    assert!(lifted.success());
    wait_for_readiness(&trial.stage, 200, "").await;
    trial.work(100).await;
    trial.kill().await;
    trial.stage.walhook.through.clear();
    trial.stage.walhook.start();
    trial.judge().await;
}

/// A queue on a disk that may only be read: `run` says so and ends, and the file stays as it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_may_only_be_read_is_refused_and_left_alone() {
    let stage = Stage::prepare("fault-read-only", &HOOKS, content()).await;
    let folder = stage.folder.join("queue");
    fs::create_dir_all(&folder).unwrap();
    let queue = folder.join("walhook.db");
    stage.walhook.configure(&elsewhere(&stage, &queue));
    let mut stage = stage;
    stage.start().await;
    let mut trial = Trial::on(stage, setting("SEED", 1));
    trial.work(100).await;
    trial.hear(20).await;
    trial.stage.walhook.kill();
    trial.faults.killed(&trial.stage).await;
    let before = (fs::read(&queue).unwrap(), fs::read(folder.join("walhook.db-wal")).unwrap());
    let script =
        format!("mount --bind {folder:?} {folder:?} && mount -o remount,ro,bind {folder:?} && exec \"$@\"");
    let allowed = Command::new("unshare").args(["-m", "sh", "-c", &script, "x", "true"]).output();
    if allowed.as_ref().is_ok_and(|output| output.status.success()) {
        let said = trial.stage.walhook.log().len();
        trial.stage.walhook.through = ["unshare", "-m", "sh", "-c", &script, "x"].map(str::to_owned).to_vec();
        trial.stage.walhook.start();
        let ended = trial.stage.walhook.wait_until_ended(Duration::from_secs(30)).expect("it ends");
        let log = trial.stage.walhook.log();
        println!("{ended}: {}", &log[said..]);
        assert_eq!(ended.code(), Some(69), "{log}");
        assert!(log[said..].contains("cannot be opened") && log[said..].contains("Read-only file system"));
        assert!(before == (fs::read(&queue).unwrap(), fs::read(folder.join("walhook.db-wal")).unwrap()));
        trial.stage.walhook.through.clear();
    } else {
        println!("left out, for mount namespaces are refused here: {allowed:?}");
    }
    trial.stage.walhook.start();
    trial.work(100).await;
    trial.judge().await;
}
