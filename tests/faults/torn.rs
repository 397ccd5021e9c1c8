//! A queue whose file or log was torn: by a disk that lied about its syncs, or by whatever writes into files.
//!
//! What was lost cannot be told by SQLite where whole commits are missing at the end of its log. Then the queue is
//! behind what the server was told, and that is seen.

use crate::failpoints::wait_until_confirmed;
use crate::proof::random::Random;
use crate::proof::stage::setting;
use crate::proof::stored::stored_by_the_dead;
use crate::proof::trial::Trial;
use crate::readiness::wait_for_readiness;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// The files of a queue, to be torn and put back.
struct Kept {
    file: Vec<u8>,
    log: Option<Vec<u8>>,
}

impl Kept {
    fn of(queue: &Path) -> Self {
        Self { file: fs::read(queue).unwrap(), log: fs::read(log_of(queue)).ok() }
    }

    fn put_back(&self, queue: &Path) {
        fs::write(queue, &self.file).unwrap();
        let _ = fs::remove_file(format!("{}-shm", queue.display()));
        let _ = fs::remove_file(log_of(queue));
        if let Some(log) = &self.log {
            fs::write(log_of(queue), log).unwrap();
        }
    }
}

fn log_of(queue: &Path) -> String {
    format!("{}-wal", queue.display())
}

/// A page of the log with its header.
const FRAME: usize = 4096 + 24;

/// How the log loses its end.
type Tear = (&'static str, fn(&mut Vec<u8>, &mut Random));

const TEARS: [Tear; 7] = [
    ("the last page is missing", |log, _| log.truncate(log.len() - FRAME)),
    ("cut in the middle of a page", |log, random| {
        let at = 32 + log.len() / 4 + random.below(log.len() as u64 / 2) as usize;
        log.truncate(at);
    }),
    ("zeros at the end", |log, _| {
        let length = log.len();
        log[length - FRAME - 100..].fill(0);
    }),
    ("noise at the end", |log, random| {
        let from = log.len() - 2 * FRAME - 77;
        log[from..].fill_with(|| random.next() as u8);
    }),
    ("a bit in the middle", |log, random| {
        let at = log.len() / 2 + random.below(1000) as usize;
        log[at] ^= 0x10;
    }),
    ("half of it", |log, _| log.truncate(log.len() / 2)),
    ("all of it", |log, _| log.clear()),
];

/// Comes to rest so that the last thing in the log is a position: nothing waits to be sent, and the server went on.
async fn end_with_a_position(trial: &mut Trial) {
    trial.workload.gate.send_replace(0);
    wait_until_confirmed(&trial.stage).await;
    let began = Instant::now();
    let pending = || {
        let listed = trial.stage.walhook.run(&["--json", "webhooks", "list"]);
        let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
        let webhooks = listed["webhooks"].as_array().or(listed.as_array()).expect("a list of webhooks");
        webhooks.iter().map(|webhook| webhook["pending"].as_u64().expect("a number")).sum::<u64>()
    };
    while pending() > 0 {
        assert!(began.elapsed() < Duration::from_secs(60), "{}", trial.stage.walhook.log_tail());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let elsewhere = "insert into desk.unmapped (payload) values ('elsewhere')";
    trial.stage.client.batch_execute(elsewhere).await.unwrap();
    wait_until_confirmed(&trial.stage).await;
}

/// Commits that were confirmed to the server and are not in the queue any more are a gap: capture stands still, red,
/// until the operator accepts it. They are never passed over in silence.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_that_a_lying_disk_forgot_are_a_gap_that_is_seen() {
    let mut random = Random::new(setting("SEED", 1), 13);
    let mut trial = Trial::begin("fault-torn-log").await;
    trial.work(300).await;
    trial.hear(50).await;
    end_with_a_position(&mut trial).await;
    trial.kill().await;
    let queue = trial.stage.folder.join("walhook.db");
    let kept = Kept::of(&queue);
    let confirmed = trial.stage.confirmed_lsn().await;
    // a queue that forgot attempts makes them again, out of turn: the disk's doing, and not what is judged here
    trial.stage.receiver.stop().await;
    let mut gaps = 0;
    for round in 0..setting("TORN_ROUNDS", 1) {
        for (what, tear) in TEARS {
            kept.put_back(&queue);
            let mut log = kept.log.clone().expect("a killed walhook leaves a log");
            tear(&mut log, &mut random);
            fs::write(log_of(&queue), &log).unwrap();
            let stored = stored_by_the_dead(&queue).filter(|&stored| stored > 0);
            if stored.is_some_and(|stored| stored >= confirmed) {
                // only attempts were forgotten: what was sent is sent again, and nothing is missing
                println!("{round}: {what}: no position was lost");
                continue;
            }
            gaps += 1;
            let said = trial.stage.walhook.log().len();
            trial.stage.walhook.start();
            let words = match stored {
                Some(_) => "ahead of our position",
                // nothing is left that knows of the slot
                None => "exists, and this queue knows nothing of it",
            };
            let reason = wait_for_readiness(&trial.stage, 503, words).await;
            println!("{round}: {what}: {reason}");
            trial.wait_for_log(said, words).await;
            assert_eq!(trial.stage.confirmed_lsn().await, confirmed);
            trial.stage.walhook.kill();
            trial.faults.killed(&trial.stage).await;
        }
    }
    assert!(gaps >= 3, "only {gaps} of the tears lost a position");
    // with the log that the disk had promised, nothing is lost
    kept.put_back(&queue);
    trial.stage.receiver.start_again().await.unwrap();
    trial.stage.walhook.start();
    trial.work(100).await;
    trial.judge().await;
}

/// After the operator has accepted such a gap, what is committed from then on arrives.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_accepted_gap_is_recorded_and_the_stream_goes_on() {
    let mut trial = Trial::begin("fault-torn-accepted").await;
    trial.work(300).await;
    trial.hear(50).await;
    end_with_a_position(&mut trial).await;
    trial.kill().await;
    let queue = trial.stage.folder.join("walhook.db");
    let log = fs::read(log_of(&queue)).unwrap();
    fs::write(log_of(&queue), &log[..log.len() / 2]).unwrap();
    let Some(stored) = stored_by_the_dead(&queue) else { panic!("half of the log holds a position") };
    let confirmed = trial.stage.confirmed_lsn().await;
    assert!(stored < confirmed);
    trial.stage.walhook.start();
    wait_for_readiness(&trial.stage, 503, "ahead of our position").await;
    let accepted = trial.stage.walhook.run(&["--json", "resume", "--accept-gap"]);
    let told: serde_json::Value = serde_json::from_slice(&accepted.stdout).unwrap();
    let lsn = |lsn: u64| format!("{:X}/{:X}", lsn >> 32, lsn & 0xFFFF_FFFF);
    assert_eq!((told["from"].as_str(), told["to"].as_str()), (Some(&*lsn(stored)), Some(&*lsn(confirmed))));
    wait_for_readiness(&trial.stage, 200, "").await;
    let heard = trial.stage.receiver.count();
    trial.work(100).await;
    trial.stage.receiver.wait_until(|arrivals| arrivals.len() as u64 > heard + 20).await;
    // the changes in between are lost by the disk, and told; the laws cannot hold for them
    assert_eq!(trial.stage.walhook.terminate(), Some(0));
    let _ = fs::remove_dir_all(&trial.stage.folder);
}

/// A damaged file is refused with clear words, and kept as it is; the one that was put back goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_file_is_refused_and_kept() {
    let mut trial = Trial::begin("fault-damaged").await;
    trial.work(300).await;
    trial.hear(50).await;
    assert_eq!(trial.stage.walhook.terminate(), Some(0));
    trial.died().await;
    let queue = trial.stage.folder.join("walhook.db");
    let kept = Kept::of(&queue);
    let pages = kept.file.len() / 4096;
    assert!(pages > 10 && kept.log.as_ref().is_none_or(Vec::is_empty), "{pages} pages");
    let tables = (1..pages).filter(|page| matches!(kept.file[page * 4096], 2 | 5 | 10 | 13));
    let mut damages: Vec<(String, Vec<u8>)> = tables
        .step_by(setting("DAMAGE_STEP", (pages / 5) as u64) as usize)
        .map(|page| {
            let mut file = kept.file.clone();
            file[page * 4096..page * 4096 + 100].fill(0xA5);
            (format!("page {page}"), file)
        })
        .collect();
    damages.push(("the first page".into(), [vec![0; 4096], kept.file[4096..].to_vec()].concat()));
    damages.push(("the end is missing".into(), kept.file[..kept.file.len() / 8192 * 4096].to_vec()));
    for (what, file) in damages {
        kept.put_back(&queue);
        fs::write(&queue, &file).unwrap();
        let said = trial.stage.walhook.log().len();
        trial.stage.walhook.start();
        let ended = trial.stage.walhook.wait_until_ended(Duration::from_secs(30));
        let log = trial.stage.walhook.log();
        let ended = ended.unwrap_or_else(|| panic!("{what} was not noticed:\n{}", &log[said..]));
        println!("{what}: {}", log[said..].trim());
        assert_eq!(ended.code(), Some(69), "{what}:\n{}", &log[said..]);
        assert!(log[said..].contains("is damaged"), "{what}:\n{}", &log[said..]);
        assert!(fs::read(&queue).unwrap() == file, "{what}: the file was changed");
    }
    kept.put_back(&queue);
    trial.stage.walhook.start();
    trial.work(100).await;
    trial.judge().await;
}
