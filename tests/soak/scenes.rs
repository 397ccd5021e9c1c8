//! The scenes: the soak itself, and one for each promise about others and about the server.

use crate::history::{Told, in_commit_order};
use crate::laws::{Attempt, Law, Record, judge};
use crate::oracle::{Expected, expect, foretell};
use crate::random::Random;
use crate::stage::{Stage, setting};
use crate::stored::{stored_by_the_dead, stored_by_the_frozen};
use crate::workload::{Workload, connect};
use crate::world::{HOOKS, is_refused};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use walhook::demo::receiver::{Answer, Judge};

/// The number of SQL sessions at once.
const SESSIONS: i32 = 6;
/// The resident memory that walhook may take, in kB.
pub const MEMORY_KB_MAX: u64 = 100_000;
/// How long nothing may arrive before the rest counts as lost: longer than any pause between attempts.
const SILENCE_MAX: Duration = Duration::from_secs(45);

/// A receiver that fails one request in ten: refuses, cuts, dawdles, says nothing; and for good where the
/// third webhook's endpoint does not want an entry.
fn moody(seed: u64) -> Judge {
    let random = Mutex::new(Random::new(seed, 1000));
    Arc::new(move |request| {
        if request.path == HOOKS[2].path {
            let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
            if body["entry_id"].as_str().is_some_and(is_refused) {
                return Answer::Status(422);
            }
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
            stage.walhook.freeze();
            rule.look(&stage, stored_by_the_frozen).await;
            stage.walhook.thaw();
        }
        stage.walhook.kill();
        faults.killed(&stage).await;
        rule.look(&stage, stored_by_the_dead).await;
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
    let client = connect(&stage.cluster.url("postgres")).await;
    let history = in_commit_order(&client, told).await;
    let (events, state) = foretell(&history);
    state.assert_equals_server(&client).await;
    let expected = expect(&events, &HOOKS);
    wait_for_all(&mut stage, &expected).await;
    let dead = dead_letters(&mut stage, &expected).await;
    stage.walhook.note_memory();
    let exit = stage.walhook.terminate();
    let attempts = faults.clamp(stage.attempts(&stage.receiver.take_arrivals()));
    let deliveries: usize = expected.iter().map(|expected| expected.events.len()).sum();
    println!(
        "{} transactions, {} events, {deliveries} deliveries in {} attempts, {} dead letters, {kills} kills, \
         peak {} MB, {:?}",
        history.len(),
        events.len(),
        attempts.len(),
        dead.len(),
        stage.walhook.peak_kb / 1000,
        stage.began.elapsed()
    );
    let violations = judge(&expected, &Record { attempts, dead });
    let mut report = rule.report();
    for law in [Law::Complete, Law::Nothing, Law::Ordered, Law::Single, Law::Same, Law::True] {
        let of_law: Vec<_> = violations.iter().filter(|violation| violation.law == law).collect();
        if !of_law.is_empty() {
            writeln!(report, "{} violations of {law:?}, the first:", of_law.len()).unwrap();
        }
        of_law.iter().take(5).for_each(|violation| writeln!(report, "- {violation}").unwrap());
    }
    std::fs::write(stage.folder.join("violations.txt"), &report).unwrap();
    assert!(report.is_empty(), "SEED={seed} (files in {})\n{report}", stage.folder.display());
    assert_eq!(exit, Some(0), "SIGTERM ends it well");
    assert!(stage.walhook.peak_kb < MEMORY_KB_MAX, "{} kB resident", stage.walhook.peak_kb);
    let _ = std::fs::remove_dir_all(&stage.folder);
}

/// When walhook was killed, in microseconds since the run began.
#[derive(Default)]
struct Faults {
    kills: Vec<u64>,
}

impl Faults {
    /// Takes note of a kill once the receiver has read all that the dead process had sent.
    async fn killed(&mut self, stage: &Stage) {
        stage.receiver.wait_until_alone().await;
        self.kills.push(stage.began.elapsed().as_micros() as u64);
    }

    /// No attempt outlives its process.
    fn clamp(&self, mut attempts: Vec<Attempt>) -> Vec<Attempt> {
        for attempt in &mut attempts {
            let kill = self.kills.iter().find(|&&kill| kill >= attempt.start);
            attempt.end = attempt.end.min(kill.copied().unwrap_or(u64::MAX));
        }
        attempts
    }
}

/// The one rule: nothing is confirmed to PostgreSQL that the queue does not hold. Looked at while walhook stands
/// still or is dead, so that nothing moves between the two looks.
#[derive(Default)]
struct OneRule {
    looks: usize,
    broken: Vec<String>,
}

impl OneRule {
    async fn look(&mut self, stage: &Stage, stored: fn(&Path) -> Option<u64>) {
        let confirmed = stage.confirmed_lsn().await;
        let Some(stored) = stored(&stage.folder.join("walhook.db")) else { return };
        self.looks += 1;
        if confirmed > stored {
            self.broken.push(format!("confirmed {confirmed:X}, and stored only {stored:X}"));
        }
    }

    fn report(&self) -> String {
        assert!(self.looks > 10, "only {} looks at what was confirmed", self.looks);
        let Some(first) = self.broken.first() else { return String::new() };
        format!(
            "more confirmed than stored in {} of {} looks, first: {first}\n",
            self.broken.len(),
            self.looks
        )
    }
}

/// Waits until everything expected has arrived, or nothing has for long.
async fn wait_for_all(stage: &mut Stage, expected: &[Expected]) {
    let mut missing: BTreeSet<(u64, u64)> = BTreeSet::new();
    for expected in expected {
        let numbers = (0..expected.events.len()).filter(|&number| !expected.is_dead(number));
        missing.extend(numbers.map(|number| (expected.hook.id, number as u64 + 1)));
    }
    let mut settled = 0;
    let mut counted = 0;
    let mut heard = Instant::now();
    while !missing.is_empty() && heard.elapsed() < SILENCE_MAX {
        let arrivals = stage.receiver.arrivals_from(settled);
        for attempt in stage.attempts(&arrivals).iter().filter(|attempt| attempt.accepted) {
            missing.remove(&(attempt.hook, attempt.sequence));
        }
        // from the first that has not ended on, they are looked at again
        settled += arrivals.iter().position(|arrival| arrival.ended.is_none()).unwrap_or(arrivals.len());
        if stage.receiver.count() > counted {
            counted = stage.receiver.count();
            heard = Instant::now();
        }
        assert!(stage.walhook.is_running(), "walhook ended by itself:\n{}", stage.walhook.log_tail());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// The dead letters that walhook lists, once as many as expected are listed (they need their last attempts).
async fn dead_letters(stage: &mut Stage, expected: &[Expected]) -> BTreeSet<(u64, u64)> {
    let wanted: usize = expected
        .iter()
        .map(|expected| (0..expected.events.len()).filter(|&number| expected.is_dead(number)).count())
        .sum();
    let began = Instant::now();
    loop {
        let output =
            stage.walhook.run(&["--json", "deliveries", "list", "--state", "dead", "--limit", "1000000"]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "deliveries list: {error}");
        let dead = listed(&String::from_utf8_lossy(&output.stdout));
        if dead.len() >= wanted || began.elapsed() > SILENCE_MAX {
            return dead;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The webhooks and sequences in `{"deliveries": […]}`.
fn listed(text: &str) -> BTreeSet<(u64, u64)> {
    let list: Value = serde_json::from_str(text).expect("the list is JSON");
    let number = |delivery: &Value| Some((delivery["webhook_id"].as_u64()?, delivery["sequence"].as_u64()?));
    list["deliveries"].as_array().into_iter().flatten().filter_map(number).collect()
}
