//! A play: many lives of one walhook over one script, from a seed, and the judgement.

use crate::desk;
use crate::disk::{Disk, FailedSync, Kind, Moment};
use crate::life::{Death, Fixtures, Legacy, live};
use crate::proof::history::Committed;
use crate::proof::laws::{Record, judge};
use crate::proof::oracle::{Expected, expect, foretell};
use crate::proof::random::Random;
use crate::proof::registered::{Said, expect_registered};
use crate::proof::world::{HOOKS, configuration};
use crate::registrations;
use crate::script::{self, Change};
use crate::server::Cluster;
use crate::world::Shared;
use std::collections::{BTreeSet, HashSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use walhook::app::config::Config;

/// What a play is like.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    /// How many transactions there are.
    pub transactions: usize,
    /// How many lives there are before the last one, which ends well.
    pub lives: u64,
    /// How the power goes in the first life, if that is to be so: at which change of the disk.
    pub power_cut: Option<(u64, Moment)>,
    /// Whether anything else fails.
    pub calm: bool,
    pub traced: bool,
}

impl Plan {
    /// The play of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed, 1);
        Self {
            seed,
            transactions: 30 + random.below(120) as usize,
            lives: random.below(8),
            power_cut: None,
            calm: random.percent(15),
            traced: false,
        }
    }
}

/// What became of it.
#[derive(Debug, Default)]
pub struct Verdict {
    /// The laws that were broken; empty if none.
    pub violations: Vec<String>,
    pub trace: Vec<String>,
    pub attempts: usize,
    pub deliveries: usize,
    /// How many changes the disk saw.
    pub disk_changes: u64,
    pub deaths: u64,
}

/// The configuration of every play.
pub fn config() -> Config {
    let text = configuration(
        "postgresql://play@127.0.0.1/play",
        "walhook.db",
        "http://127.0.0.1:9",
        "127.0.0.1:0",
        &HOOKS,
    );
    let text = text + &desk::configuration();
    let parsed = Config::parse(Path::new("walhook.toml"), &text, &|_| None);
    parsed.unwrap_or_else(|problems| panic!("{problems}"))
}

/// Plays it.
pub fn play(plan: &Plan, config: &Config) -> Verdict {
    play_on(&Disk::new(plan.seed), plan, config)
}

/// Plays it on a disk that is there.
pub fn play_on(disk: &Disk, plan: &Plan, config: &Config) -> Verdict {
    let script = Arc::new(script::write(plan.seed, plan.transactions));
    let history: Vec<Committed> = script.iter().map(|transaction| transaction.committed.clone()).collect();
    let (events, _) = foretell(&history);
    let world = Shared::new(plan.seed, Cluster::new(plan.seed, Arc::clone(&script)), plan.traced);
    world.lock().folder = disk.folder().display().to_string();
    if plan.traced {
        disk.trace_on();
    }
    for transaction in script.iter() {
        let told = |change: &Change| match change {
            Change::Row(change) => change.op.to_string(),
            Change::Registration(change) => format!("{:?}", change.said()),
        };
        let ops: Vec<String> = transaction.changes.iter().map(told).collect();
        let lsn = walhook::lsn::Lsn(transaction.committed.commit_lsn);
        world.tell(format_args!("script: at {} us, {lsn}: {}", transaction.at_us, ops.join("; ")));
    }
    let said: Vec<(u64, Vec<Said>)> = script
        .iter()
        .map(|transaction| {
            (
                transaction.committed.commit_lsn,
                transaction.registrations().map(registrations::Change::said).collect(),
            )
        })
        .collect();
    let expected = Mutex::new(Vec::new());
    let known = Mutex::new(None);
    // what must come is known once the slot stands and the registrations are read
    let know = |expected: &mut Vec<Expected>| {
        let world = world.lock();
        let (Some(slot), Some(rows)) = (&world.cluster.slot, &world.cluster.registered) else { return false };
        let (start, desk) = ((slot.consistent_point, rows.clone()), Arc::clone(&world.cluster.desk));
        let mut known = known.lock().unwrap();
        if known.as_ref() != Some(&start) {
            let from = events.partition_point(|event| event.commit_lsn < start.0);
            let said = &said[said.partition_point(|(commit_lsn, _)| *commit_lsn < start.0)..];
            *expected = expect(&events[from..], &HOOKS);
            expected.extend(expect_registered(&events[from..], &start.1, said));
            expected.extend(desk::oracle::expect(&desk, &history));
            *known = Some(start);
        }
        true
    };
    let is_done = || {
        let mut expected = expected.lock().unwrap();
        know(&mut expected) && is_done(&world, &expected)
    };
    let fixtures = Fixtures { world: &world, disk, config, is_done: &is_done };
    let mut random = Random::new(plan.seed, 2);
    for number in 0..plan.lives {
        let death = fate(plan, number, disk, &world, &mut random);
        world.tell(format_args!("=== life {number}, {death:?}"));
        let legacy = live(&fixtures, death, plan.seed + number);
        bury(&legacy, disk, &world, &mut random);
    }
    disk.heal();
    if !plan.calm {
        // once more, and whoever met it has to get over it without dying
        disk.fail_nth(*random.pick(&[Kind::Sync, Kind::Write]), 1 + random.below(400));
    }
    {
        let mut world = world.lock();
        world.healed = true;
        world.cluster.trouble = 0;
        world.tell(format_args!("=== the last life"));
    }
    let legacy = live(&fixtures, Death::Done, plan.seed + plan.lives);
    let mut expected = expected.into_inner().unwrap();
    know(&mut expected);
    conclude(plan, &world, disk, expected, &legacy)
}

/// How the next life goes, and what fails in it.
fn fate(plan: &Plan, number: u64, disk: &Disk, world: &Shared, random: &mut Random) -> Death {
    disk.heal();
    let mut world = world.lock();
    world.cluster.trouble = 0;
    if let Some((change, moment)) = plan.power_cut.filter(|_| number == 0) {
        disk.crash_at(change, moment);
        return Death::Disk;
    }
    if !plan.calm {
        world.cluster.trouble = [0, 1, 5, 30][random.below(4) as usize];
        let now_us = world.now_us();
        if random.percent(30) {
            let path = HOOKS[random.below(4) as usize].path;
            let until_us = now_us + random.below(8_000_000);
            world.outages.push((path, until_us));
        }
        if random.percent(10) {
            world.clock_error_us = (random.below(7_200_000_000) as i64) - 3_600_000_000;
        }
        if random.percent(20) {
            disk.failed_sync(*random.pick(&[FailedSync::Keeps, FailedSync::Forgets, FailedSync::Drops]));
            let kind = *random.pick(&[Kind::Sync, Kind::Write, Kind::Read, Kind::Truncate, Kind::Open]);
            if random.percent(50) {
                disk.fail_percent(kind, 3);
            } else {
                disk.fail_nth(kind, random.below(60));
            }
        }
        if random.percent(8) {
            disk.room(Some(disk.used() + random.below(60_000) as usize));
        }
    }
    match random.below(10) {
        0 => Death::Asked { after_us: random.below(4_000_000) },
        1 | 2 => Death::At { us: random.below(5_000_000) },
        3..6 => Death::Step { number: random.below(3_000) },
        _ => {
            let moment = *random.pick(&[Moment::Before, Moment::After]);
            disk.crash_at(disk.counts().changes + 1 + random.below(600), moment);
            // it may never come to that
            Death::At { us: 20_000_000 }
        }
    }
}

/// What becomes of disk, server and time between two lives.
fn bury(legacy: &Legacy, disk: &Disk, world: &Shared, random: &mut Random) {
    if !disk.is_down() {
        if legacy.ended_well {
            disk.kill();
        } else if random.percent(50) {
            world.tell(format_args!("the process is killed"));
            disk.kill();
        } else {
            world.tell(format_args!("the power is cut"));
            disk.crash();
        }
    }
    disk.restart();
    let mut world = world.lock();
    world.pass(random.below(3_000_000));
    let now_us = world.now_us();
    match random.below(6) {
        0 => {
            world.tell(format_args!("the server crashes"));
            world.cluster.crash(now_us);
        }
        1 | 2 => world.cluster.checkpoint(now_us),
        _ => {}
    }
}

fn is_done(world: &Shared, expected: &[Expected]) -> bool {
    let world = world.lock();
    let last = world.cluster.script.last().map_or(0, |last| last.at_us);
    if world.now_us() < last + 1_000_000 {
        return false;
    }
    let accepted: HashSet<(u64, u64)> = world
        .attempts
        .iter()
        .filter(|attempt| attempt.accepted || attempt.end != u64::MAX)
        .map(|attempt| (attempt.hook, attempt.sequence))
        .collect();
    let taken: HashSet<(u64, u64)> = world
        .attempts
        .iter()
        .filter(|attempt| attempt.accepted)
        .map(|attempt| (attempt.hook, attempt.sequence))
        .collect();
    let end_lsn = world.cluster.script.last().map_or(0, |last| last.end_lsn);
    let is_released = world.cluster.slot.as_ref().is_some_and(|slot| slot.confirmed >= end_lsn);
    is_released
        && expected.iter().all(|expected| {
            (0..expected.events.len()).all(|number| {
                if expected.spared[number] {
                    return true;
                }
                let name = (expected.id, number as u64 + 1);
                if expected.is_dead(number) { accepted.contains(&name) } else { taken.contains(&name) }
            })
        })
}

fn conclude(plan: &Plan, world: &Shared, disk: &Disk, expected: Vec<Expected>, legacy: &Legacy) -> Verdict {
    let mut world = world.lock();
    let dead: BTreeSet<(u64, u64)> = legacy.dead.iter().copied().collect();
    let record = Record {
        attempts: std::mem::take(&mut world.attempts),
        dead,
        looks: std::mem::take(&mut world.looks),
    };
    let mut violations: Vec<String> = world.broken.clone();
    if !legacy.ended_well {
        violations.push("the last life has not ended well".into());
    }
    violations.extend(judge(&expected, &record).iter().take(20).map(ToString::to_string));
    let end_lsn = world.cluster.script.last().map_or(0, |last| last.end_lsn);
    if let Some(slot) = &world.cluster.slot
        && slot.confirmed < end_lsn
    {
        violations.push(format!("the server still keeps its log from {:X}, not {end_lsn:X}", slot.confirmed));
    }
    let mut trace = world.take_trace();
    if plan.traced {
        trace.push("--- the disk, last operations".into());
        trace.extend(disk.trace());
    }
    Verdict {
        violations,
        trace,
        attempts: record.attempts.len(),
        deliveries: expected.iter().map(|expected| expected.events.len()).sum(),
        disk_changes: disk.counts().changes,
        deaths: plan.lives,
    }
}
