//! A run of the real program: changes, something that is done to it meanwhile, more changes, and then every law.

use super::faults::{Faults, OneRule};
use super::gap::{Gap, outside};
use super::history::{self, Committed, Told, in_commit_order, put_in_order};
use super::laws::{Law, Record, judge};
use super::oracle::{Expected, expect, foretell};
use super::stage::Stage;
use super::workload::{Workload, connect};
use super::world::{HOOKS, is_refused};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use walhook::demo::receiver::{Answer, Judge};

/// How long nothing may arrive before the rest counts as lost: longer than any pause between attempts.
const SILENCE_MAX: Duration = Duration::from_secs(45);
/// How long so many changes may take to be made.
const WORK_MAX: Duration = Duration::from_secs(60);
/// The number of SQL sessions at once.
const SESSIONS: i32 = 4;

/// A receiver that accepts at once, but refuses for good what the third webhook's endpoint does not want.
pub fn content() -> Judge {
    Arc::new(|request| if is_unwanted(request) { Answer::Status(422) } else { Answer::Status(204) })
}

/// A receiver that fails, so that everything is tried again, and from some moment on is [`content`].
pub fn closed_until(is_open: &Arc<AtomicBool>) -> Judge {
    let (is_open, content) = (Arc::clone(is_open), content());
    Arc::new(
        move |request| if is_open.load(Ordering::Relaxed) { content(request) } else { Answer::Status(503) },
    )
}

/// Whether a request is about an entry that the third webhook's endpoint refuses for good.
pub fn is_unwanted(request: &walhook::demo::receiver::Request) -> bool {
    if request.path != HOOKS[2].path {
        return false;
    }
    let body: Value = serde_json::from_slice(&request.body).unwrap_or_default();
    body["entry_id"].as_str().is_some_and(is_refused)
}

/// One run.
///
/// ```ignore
/// let mut trial = Trial::begin("walsender-killed").await;
/// trial.work(300).await;
/// kill_the_walsender(&trial.stage).await;
/// trial.work(300).await;
/// trial.judge().await;
/// ```
pub struct Trial {
    pub stage: Stage,
    pub workload: Arc<Workload>,
    pub faults: Faults,
    pub rule: OneRule,
    /// What is told beside the sessions: a bulk transaction, a statement of the test's own.
    pub told: Vec<Told>,
    /// What the witness has said so far.
    pub testimony: Vec<Vec<u8>>,
    sessions: JoinSet<Vec<Told>>,
    /// What the receiver had heard when the last work began, until somebody waits for what that work causes.
    heard_before_work: Mutex<Option<u64>>,
}

impl Trial {
    /// Starts everything with an endpoint that accepts.
    pub async fn begin(name: &str) -> Self {
        let mut stage = Stage::prepare(name, &HOOKS, content()).await;
        stage.start().await;
        let trial = Self::on(stage, 1);
        // a fault that comes while it still opens its forms is another one
        trial.wait_for_log(0, "the stream runs").await;
        trial
    }

    /// Changes on a stage that was prepared otherwise; its walhook has been started once.
    pub fn on(stage: Stage, seed: u64) -> Self {
        let workload = Workload::new(&stage.cluster.url("postgres"), seed);
        let mut sessions = JoinSet::new();
        for session in 1..=SESSIONS {
            sessions.spawn(Arc::clone(&workload).session(session, u64::MAX));
        }
        Self {
            stage,
            workload,
            faults: Faults::default(),
            rule: OneRule::default(),
            told: Vec::new(),
            testimony: Vec::new(),
            sessions,
            heard_before_work: Mutex::new(None),
        }
    }

    /// How many row changes have been committed.
    pub fn made(&self) -> u64 {
        self.workload.changes.load(Ordering::Relaxed)
    }

    /// Lets the sessions make so many further changes, near enough, and goes on at once.
    pub fn let_work(&self, changes: u64) {
        *self.heard_before_work.lock().unwrap() = Some(self.stage.receiver.count());
        self.workload.gate.send_replace(self.made() + changes);
    }

    /// Lets the sessions make so many further changes, and waits until they are made. The sessions reconnect
    /// by themselves when the server was away.
    pub async fn work(&self, changes: u64) {
        let (began, until) = (Instant::now(), self.made() + changes);
        self.let_work(changes);
        while self.made() < until {
            assert!(began.elapsed() < WORK_MAX, "only {} of {until} changes were made", self.made());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until the receiver has heard so many further requests, however long that takes while it hears some:
    /// those since the last work began count too, for they may all have come before the work was over.
    pub async fn hear(&mut self, requests: u64) {
        let before = self.heard_before_work.lock().unwrap().take();
        self.hear_since(before.unwrap_or_else(|| self.stage.receiver.count()), requests).await;
    }

    /// The same for those behind a number of requests.
    pub async fn hear_since(&mut self, before: u64, requests: u64) {
        let mut heard = self.stage.receiver.count();
        let (mut heard_at, until) = (Instant::now(), before + requests);
        while heard < until {
            if self.stage.receiver.count() > heard {
                (heard, heard_at) = (self.stage.receiver.count(), Instant::now());
            }
            assert!(heard_at.elapsed() < WORK_MAX, "nothing arrives:\n{}", self.stage.walhook.log_tail());
            assert!(self.stage.walhook.is_running(), "walhook ended:\n{}", self.stage.walhook.log_tail());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits until walhook's log has said something (again, from an offset in bytes on); gives the offset behind.
    pub async fn wait_for_log(&self, from: usize, words: &str) -> usize {
        let began = Instant::now();
        loop {
            let log = self.stage.walhook.log();
            if let Some(found) = log.get(from..).and_then(|rest| rest.find(words)) {
                return from + found + words.len();
            }
            assert!(
                began.elapsed() < WORK_MAX,
                "no {words:?} in the log:\n{}",
                self.stage.walhook.log_tail()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Kills walhook (SIGKILL), and looks whether more was confirmed than stored.
    pub async fn kill(&mut self) {
        self.stage.walhook.kill();
        self.died().await;
    }

    /// Takes note that walhook has died, by whatever.
    pub async fn died(&mut self) {
        self.faults.killed(&self.stage).await;
        self.rule.look_at_the_dead(&self.stage).await;
    }

    /// Lets the sessions end, waits until everything has arrived, ends walhook and judges by every law. Panics
    /// with the first violations; the files of the run are kept then.
    pub async fn judge(self) {
        self.judge_beside(&[]).await;
    }

    /// The same beside gaps that were accepted.
    pub async fn judge_beside(mut self, gaps: &[Gap]) {
        let (faults, rule) = (std::mem::take(&mut self.faults), std::mem::take(&mut self.rule));
        let (stage, history) = self.history().await;
        conclude_history(stage, &history, &faults, &rule, gaps).await;
    }

    /// Lets the sessions end, and gives what was committed: for a run that is judged otherwise.
    pub async fn history(self) -> (Stage, Vec<Committed>) {
        let Self { stage, workload, mut told, mut testimony, sessions, .. } = self;
        workload.over.store(true, Ordering::Relaxed);
        told.extend(sessions.join_all().await.into_iter().flatten());
        let client = connect(&stage.cluster.url("postgres")).await;
        testimony.extend(history::testimony(&client).await);
        (stage, put_in_order(&testimony, told))
    }
}

/// Judges a run that is over but for what walhook has yet to send. Tells what there was; panics with the first
/// violations.
pub async fn conclude(stage: Stage, told: Vec<Told>, faults: &Faults, rule: &OneRule) -> Stage {
    let client = connect(&stage.cluster.url("postgres")).await;
    let history = in_commit_order(&client, told).await;
    conclude_history(stage, &history, faults, rule, &[]).await
}

/// The same with a history, beside gaps that were accepted: what lies in them must not arrive.
async fn conclude_history(
    mut stage: Stage,
    history: &[Committed],
    faults: &Faults,
    rule: &OneRule,
    gaps: &[Gap],
) -> Stage {
    let client = connect(&stage.cluster.url("postgres")).await;
    let (events, state) = foretell(history);
    state.assert_equals_server(&client).await;
    let expected = expect(&outside(events.clone(), gaps), &HOOKS);
    wait_for_all(&mut stage, &expected).await;
    let dead = dead_letters(&mut stage, &expected).await;
    stage.walhook.note_memory();
    let exit = stage.walhook.terminate();
    let attempts = faults.clamp(stage.attempts(&stage.receiver.take_arrivals()));
    let deliveries: usize = expected.iter().map(|expected| expected.events.len()).sum();
    println!(
        "{} transactions, {} events, {deliveries} deliveries in {} attempts, {} dead letters, {} deaths, \
         peak {} MB, {:?}",
        history.len(),
        events.len(),
        attempts.len(),
        dead.len(),
        faults.deaths(),
        stage.walhook.peak_kb / 1000,
        stage.began.elapsed()
    );
    let violations = judge(&expected, &Record { attempts, dead, looks: rule.looks.clone() });
    let mut report = String::new();
    for law in Law::ALL {
        let of_law: Vec<_> = violations.iter().filter(|violation| violation.law == law).collect();
        if !of_law.is_empty() {
            writeln!(report, "{} violations of {law:?}, the first:", of_law.len()).unwrap();
        }
        of_law.iter().take(5).for_each(|violation| writeln!(report, "- {violation}").unwrap());
    }
    std::fs::write(stage.folder.join("violations.txt"), &report).unwrap();
    assert!(report.is_empty(), "files in {}\n{report}", stage.folder.display());
    assert_eq!(exit, Some(0), "SIGTERM ends it well");
    let _ = std::fs::remove_dir_all(&stage.folder);
    stage
}

/// Waits until everything expected has arrived, or nothing has for long.
async fn wait_for_all(stage: &mut Stage, expected: &[Expected]) {
    let mut missing: BTreeSet<(u64, u64)> = BTreeSet::new();
    for expected in expected {
        let numbers = (0..expected.events.len()).filter(|&number| !expected.is_dead(number));
        missing.extend(numbers.map(|number| (expected.id, number as u64 + 1)));
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
        let mut dead = listed(&String::from_utf8_lossy(&output.stdout));
        // a test's own webhooks have dead letters of their own
        dead.retain(|(hook, _)| expected.iter().any(|expected| expected.id == *hook));
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
