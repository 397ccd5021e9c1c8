//! walhook dies at every named place, one after another in one run.
//!
//! `FAILPOINT=queue.commit.before:3` kills at this place alone, again and again; `FAILPOINT_ROUNDS=5` plays every
//! place five times, each time another count; `SEED=7` chooses other ones.

use crate::proof::history::{Op, Outcome, Told};
use crate::proof::process::Walhook;
use crate::proof::random::Random;
use crate::proof::stage::{Stage, setting};
use crate::proof::trial::{Trial, content};
use crate::proof::workload::connect;
use crate::proof::world::{HOOKS, PERSON, Val};
use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use walhook::failpoint::NAMES;

/// How long it may take until a place is reached.
const REACHED_MAX: Duration = Duration::from_secs(60);
/// How many rows a large transaction has, and of how many bytes: several parts, more than is kept in memory.
const LARGE: (i64, usize) = (110, 48_000);
/// A condition that fails whatever the event.
const FAILING: &str = "1 / ('seen' - 'seen') = 1";

/// What has to go on for a place to be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scene {
    /// The first start of all.
    First,
    /// A start on a queue that has a stream.
    Start,
    Work,
    /// A transaction that does not fit into memory.
    Large,
    /// A webhook whose condition fails for every event.
    Held,
    /// The condition is mended.
    Mended,
    Reload,
    /// SIGTERM.
    End,
    /// `walhook queue backup`, while walhook runs.
    Backup,
    /// `walhook resume --accept-gap`.
    Gap,
}

/// In which scene a place is reached, and up to how often at the least.
const PLAN: &[(&str, Scene, u64)] = &[
    ("queue.migrate.before", Scene::First, 1),
    ("queue.migrate.after", Scene::First, 1),
    ("queue.stream.before", Scene::First, 1),
    ("queue.stream.after", Scene::First, 1),
    ("source.slot.before", Scene::First, 1),
    ("source.slot.after", Scene::First, 1),
    ("queue.registry.before", Scene::First, 1),
    ("queue.registry.after", Scene::First, 1),
    ("queue.binding.before", Scene::First, 3),
    ("queue.binding.after", Scene::First, 1),
    ("queue.register.before", Scene::First, 1),
    ("queue.register.after", Scene::First, 1),
    ("queue.discard.before", Scene::Start, 1),
    ("queue.discard.after", Scene::Start, 1),
    ("queue.purge.before", Scene::Start, 1),
    ("queue.purge.after", Scene::Start, 1),
    ("source.start.before", Scene::Start, 1),
    ("source.start.after", Scene::Start, 1),
    ("queue.commit.before", Scene::Work, 60),
    ("queue.commit.after", Scene::Work, 60),
    ("queue.enqueue.before", Scene::Work, 20),
    ("queue.enqueue.after", Scene::Work, 20),
    ("queue.publish.before", Scene::Work, 20),
    ("queue.publish.after", Scene::Work, 20),
    ("queue.claim.before", Scene::Work, 30),
    ("queue.claim.after", Scene::Work, 20),
    ("queue.settle.before", Scene::Work, 50),
    ("queue.settle.after", Scene::Work, 50),
    ("source.confirm.before", Scene::Work, 20),
    ("source.confirm.after", Scene::Work, 20),
    ("source.status.before", Scene::Work, 4),
    ("source.status.after", Scene::Work, 4),
    ("send.before", Scene::Work, 50),
    ("send.answered", Scene::Work, 50),
    ("send.after", Scene::Work, 50),
    ("dispatch.settled", Scene::Work, 20),
    ("queue.stage.before", Scene::Large, 2),
    ("queue.stage.after", Scene::Large, 2),
    ("queue.part.before", Scene::Large, 3),
    ("queue.part.after", Scene::Large, 3),
    ("capture.large.before", Scene::Large, 1),
    ("capture.large.after", Scene::Large, 1),
    ("queue.hold.before", Scene::Held, 20),
    ("queue.hold.after", Scene::Held, 20),
    ("queue.broken.before", Scene::Held, 1),
    ("queue.broken.after", Scene::Held, 1),
    ("queue.release.before", Scene::Mended, 30),
    ("queue.release.after", Scene::Mended, 30),
    ("reload.before", Scene::Reload, 1),
    ("reload.between", Scene::Reload, 1),
    ("reload.after", Scene::Reload, 1),
    ("source.close.before", Scene::End, 1),
    ("source.close.after", Scene::End, 1),
    ("queue.close.before", Scene::End, 1),
    ("queue.close.after", Scene::End, 1),
    ("queue.backup.before", Scene::Backup, 1),
    ("queue.backup.after", Scene::Backup, 1),
    ("queue.gap.before", Scene::Gap, 1),
    ("queue.gap.after", Scene::Gap, 1),
];

/// Every place in the code is in the table and in the plan, and the other way round.
#[test]
fn every_failpoint_is_known_and_planned() {
    let mut in_code = BTreeSet::new();
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for (at, _) in text.match_indices("failpoint::reach(") {
                let call = text[at..].split(");").next().unwrap();
                let names = call.split('"').skip(1).step_by(2).map(str::to_owned);
                names.for_each(|name| assert!(in_code.insert(name.clone()), "{name} stands twice"));
            }
        }
    }
    let listed: BTreeSet<String> = NAMES.iter().map(|(name, _)| (*name).to_owned()).collect();
    let planned: BTreeSet<String> = PLAN.iter().map(|(name, ..)| (*name).to_owned()).collect();
    assert_eq!(in_code, listed);
    assert_eq!(planned, listed);
    assert_eq!((NAMES.len(), PLAN.len()), (listed.len(), listed.len()), "a name stands twice");
}

/// The whole story: killed at every place, and all laws kept.
// R-AR-50 R-NA-03
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_wherever_it_dies() {
    let (seed, rounds) = (setting("SEED", 1), setting("FAILPOINT_ROUNDS", 1));
    let mut random = Random::new(seed, 7);
    let only = std::env::var("FAILPOINT").ok();
    let mut stage = Stage::prepare("fault-failpoints", &HOOKS, content()).await;
    let toml = short_lived(&stage.configuration(&stage.cluster.url("postgres")));
    stage.walhook.configure(&toml);
    let mut deaths: BTreeMap<&str, u64> = BTreeMap::new();
    for &(name, scene, count_max) in PLAN.iter().filter(|_| only.is_none()) {
        if scene == Scene::First {
            start_armed(&mut stage.walhook, name, 1 + random.below(count_max));
            assert_died_there(&mut stage.walhook, name, async || {}).await;
            *deaths.entry(name).or_default() += 1;
        }
    }
    stage.walhook.environment.clear();
    stage.start().await;
    let mut killer = Killer { trial: Trial::on(stage, seed), toml, large: 0, deaths };
    killer.trial.work(100).await;
    killer.trial.hear(20).await;
    killer.trial.kill().await;
    if let Some(only) = only {
        let (name, count) = only.split_once(':').expect("FAILPOINT=name:count");
        let &(name, scene, _) = PLAN.iter().find(|(known, ..)| *known == name).expect("a failpoint");
        for _ in 0..rounds {
            killer.die(name, scene, count.parse().unwrap()).await;
        }
        return killer.finish().await;
    }
    for round in 0..rounds {
        for &(name, scene, count_max) in PLAN.iter().filter(|(_, scene, _)| *scene != Scene::First) {
            // the first time early, then anywhere
            let count_max = if round == 0 { count_max.div_ceil(5) } else { count_max };
            killer.die(name, scene, 1 + random.below(count_max)).await;
        }
    }
    let never: Vec<&str> =
        PLAN.iter().map(|(name, ..)| *name).filter(|name| !killer.deaths.contains_key(name)).collect();
    assert!(never.is_empty(), "never reached: {never:?}");
    killer.finish().await;
}

/// What is finished is purged at the next start.
fn short_lived(toml: &str) -> String {
    toml.replacen("[queue]\n", "[queue]\nretention = \"1s\"\n", 1)
}

fn start_armed(walhook: &mut Walhook, name: &str, count: u64) {
    walhook.environment = vec![("WALHOOK_FAILPOINT".into(), format!("{name}:{count}"))];
    walhook.start();
    walhook.environment.clear();
}

/// Does something again and again until walhook is dead, and sees that it died at the place.
async fn assert_died_there(walhook: &mut Walhook, name: &str, mut meanwhile: impl AsyncFnMut()) {
    let began = Instant::now();
    while walhook.is_running() {
        assert!(began.elapsed() < REACHED_MAX, "{name} was not reached:\n{}", walhook.log_tail());
        meanwhile().await;
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let status = walhook.wait_until_ended(Duration::from_secs(1)).expect("it has ended");
    assert_says_so(status.signal(), &walhook.log_tail(), name);
}

fn assert_says_so(signal: Option<i32>, said: &str, name: &str) {
    const SIGABRT: i32 = 6;
    let last = said.lines().rev().find(|line| line.starts_with("failpoint ")).unwrap_or_default();
    assert_eq!((signal, last), (Some(SIGABRT), &*format!("failpoint {name} reached")), "{said}");
}

struct Killer {
    trial: Trial,
    toml: String,
    /// How many large transactions there were.
    large: i64,
    deaths: BTreeMap<&'static str, u64>,
}

impl Killer {
    /// Starts walhook so that it dies there, lets happen what leads to the place, and looks at what is left.
    async fn die(&mut self, name: &'static str, scene: Scene, count: u64) {
        let toml = match scene {
            Scene::Held => self.failing(),
            _ => self.toml.clone(),
        };
        self.trial.stage.walhook.configure(&toml);
        match scene {
            Scene::Backup => self.die_in_backup(name).await,
            Scene::Gap => self.die_in_resume(name).await,
            _ => {
                // one large transaction does for several deaths: it has to be read anew after each
                if scene == Scene::Large && matches!(name, "queue.stage.before" | "capture.large.after") {
                    self.make_large().await;
                }
                if scene == Scene::Mended {
                    self.hold_some().await;
                }
                let said = self.trial.stage.walhook.log().len();
                start_armed(&mut self.trial.stage.walhook, name, count);
                if matches!(scene, Scene::Reload | Scene::End) {
                    self.trial.wait_for_log(said, "the stream runs").await;
                }
                self.lead_to(name, scene).await;
                self.trial.died().await;
            }
        }
        *self.deaths.entry(name).or_default() += 1;
    }

    async fn lead_to(&mut self, name: &str, scene: Scene) {
        if matches!(scene, Scene::Reload | Scene::End) {
            self.trial.let_work(50);
            self.trial.hear(5).await;
            self.trial.stage.walhook.signal(if scene == Scene::Reload { "-HUP" } else { "-TERM" });
        }
        let Trial { workload, stage, .. } = &mut self.trial;
        assert_died_there(&mut stage.walhook, name, async || {
            if !matches!(scene, Scene::Start | Scene::Large | Scene::End) {
                let made = workload.changes.load(std::sync::atomic::Ordering::Relaxed);
                workload.gate.send_replace(made + 6);
            }
        })
        .await;
    }

    fn failing(&self) -> String {
        let condition = HOOKS[3].condition.as_ref().unwrap().text;
        assert!(self.toml.contains(condition));
        self.toml.replacen(condition, FAILING, 1)
    }

    /// Lets the last webhook hold events, enough for any count of the plan.
    async fn hold_some(&mut self) {
        self.trial.stage.walhook.configure(&self.failing());
        self.trial.stage.walhook.start();
        let began = Instant::now();
        loop {
            let listed = self.trial.stage.walhook.run(&["--json", "queue", "held", "--limit", "1000"]);
            let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap_or_default();
            if listed["held"].as_array().is_some_and(|held| held.len() > 30) {
                break;
            }
            assert!(began.elapsed() < REACHED_MAX, "nothing is held: {listed}");
            self.trial.work(50).await;
        }
        self.trial.kill().await;
        self.trial.stage.walhook.configure(&self.toml);
    }

    async fn make_large(&mut self) {
        let (rows, length) = LARGE;
        self.large += 1;
        let (first, session) = (1_500_000_000 + self.large * 1000, -self.large as i32);
        let last = first + rows - 1;
        let sql = format!(
            "begin; insert into desk.book values ({session}, 0);
             insert into desk.person select id, repeat(chr(97 + id % 26), {length}), true, '{{}}', null
                 from generate_series({first}, {last}) id; commit;"
        );
        let client = connect(&self.trial.stage.cluster.url("postgres")).await;
        client.batch_execute(&sql).await.unwrap();
        let row = |id: i64| {
            let letter = char::from(b'a' + (id % 26) as u8).to_string();
            vec![
                Val::Int(id),
                Val::text(letter.repeat(length)),
                Val::Bool(true),
                Val::Tags(vec![]),
                Val::Null,
            ]
        };
        let ops = (first..=last).map(|id| Op::Insert { table: PERSON, row: Arc::new(row(id)) }).collect();
        self.trial.told.push(Told { session, number: 0, ops, outcome: Outcome::Committed });
    }

    /// A backup that dies leaves a file that is whole or empty, and nothing of what runs beside it.
    async fn die_in_backup(&mut self, name: &'static str) {
        self.trial.stage.walhook.start();
        self.trial.work(50).await;
        let copy = self.trial.stage.folder.join(format!("{name}.{}", self.deaths.len()));
        let _ = std::fs::remove_file(&copy);
        let mut command = self.trial.stage.walhook.command();
        command.args(["queue", "backup"]).arg(&copy).env("WALHOOK_FAILPOINT", format!("{name}:1"));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_says_so(output.status.signal(), &String::from_utf8_lossy(&output.stderr), name);
        if name == "queue.backup.after" {
            let whole: String = rusqlite::Connection::open(&copy)
                .unwrap()
                .query_row("pragma integrity_check", [], |row| row.get(0))
                .unwrap();
            assert_eq!(whole, "ok");
        } else {
            assert_eq!(std::fs::metadata(&copy).unwrap().len(), 0);
        }
        self.trial.kill().await;
    }

    /// The slot is dropped while nothing is under way. Whoever dies while accepting the gap has accepted it wholly
    /// or not at all, and it can be accepted again.
    async fn die_in_resume(&mut self, name: &'static str) {
        let Trial { stage, workload, .. } = &mut self.trial;
        stage.walhook.start();
        workload.gate.send_replace(0);
        wait_until_confirmed(stage).await;
        assert_eq!(stage.walhook.terminate(), Some(0), "{}", stage.walhook.log_tail());
        stage.client.execute("select pg_drop_replication_slot('walhook')", &[]).await.unwrap();
        let mut command = stage.walhook.command();
        command.args(["resume", "--accept-gap"]).env("WALHOOK_FAILPOINT", format!("{name}:1"));
        let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
        assert_says_so(output.status.signal(), &String::from_utf8_lossy(&output.stderr), name);
        let accepted = stage.walhook.run(&["resume", "--accept-gap"]);
        assert!(accepted.status.success(), "{}", String::from_utf8_lossy(&accepted.stderr));
        // killed before, it would find the slot and its own intent, and no position yet
        let said = stage.walhook.log().len();
        stage.walhook.start();
        self.trial.wait_for_log(said, "the stream runs").await;
        self.trial.kill().await;
    }

    async fn finish(self) {
        let Self { mut trial, deaths, .. } = self;
        trial.stage.walhook.start();
        trial.work(50).await;
        println!("{} deaths at {} places", deaths.values().sum::<u64>(), deaths.len());
        trial.judge().await;
    }
}

/// With the gate closed: waits until no session is in a transaction, and the slot is confirmed up to what was written by then.
pub async fn wait_until_confirmed(stage: &Stage) {
    let busy =
        "select 1 from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()
                and state <> 'idle'";
    let (began, mut idle) = (Instant::now(), 0);
    // a session that is about to begin does not look busy
    while idle < 3 {
        idle = if stage.client.query(busy, &[]).await.unwrap().is_empty() { idle + 1 } else { 0 };
        assert!(began.elapsed() < REACHED_MAX, "the sessions do not come to rest");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let end = "select (pg_current_wal_lsn() - '0/0')::text";
    let end: u64 = stage.client.query_one(end, &[]).await.unwrap().get::<_, String>(0).parse().unwrap();
    while stage.confirmed_lsn().await < end {
        assert!(began.elapsed() < REACHED_MAX, "not confirmed:\n{}", stage.walhook.log_tail());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
