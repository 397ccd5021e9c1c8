//! The plays that are played.

use crate::disk::{Disk, Kind, Moment};
use crate::play::{Plan, Verdict, config, play, play_on};
use crate::proof::stage::setting;
use std::fmt::Write as _;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use walhook::queue::Error;
use walhook::queue::sqlite::{Options, SqliteQueue};

/// How many plays `cargo test` plays.
const SEEDS: u64 = 400;

/// Plays again with a trace, writes it down, and says how to see it.
fn explain(plan: &Plan) -> String {
    let verdict = play(&Plan { traced: true, ..*plan }, &config());
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("simulation-{}.trace", plan.seed));
    std::fs::write(&file, verdict.trace.join("\n")).unwrap();
    let mut text = format!("SEED={} breaks a law ({plan:?}):\n", plan.seed);
    verdict.violations.iter().for_each(|violation| writeln!(text, "- {violation}").unwrap());
    let _ = write!(
        text,
        "replay: SEED={} cargo test --test simulation every_seed -- --nocapture\ntrace: {}",
        plan.seed,
        file.display()
    );
    text
}

/// Plays plans on all processors until one breaks a law; gives the sums.
fn play_all(plans: &[Plan]) -> Verdict {
    let next = AtomicU64::new(0);
    let config = config();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let sums = std::thread::scope(|scope| {
        let player = || {
            let mut sum = Verdict::default();
            while let Some(plan) = plans.get(next.fetch_add(1, Ordering::Relaxed) as usize) {
                let verdict = play(plan, &config);
                assert!(verdict.violations.is_empty(), "{}", explain(plan));
                sum.attempts += verdict.attempts;
                sum.deliveries += verdict.deliveries;
                sum.deaths += verdict.deaths;
                sum.disk_changes += verdict.disk_changes;
            }
            sum
        };
        let players: Vec<_> = (0..threads).map(|_| scope.spawn(player)).collect();
        players.into_iter().map(|player| player.join().expect("a play failed, see above")).collect::<Vec<_>>()
    });
    sums.into_iter().fold(Verdict::default(), |mut all, one| {
        all.attempts += one.attempts;
        all.deliveries += one.deliveries;
        all.deaths += one.deaths;
        all.disk_changes += one.disk_changes;
        all
    })
}

#[test]
fn every_seed_keeps_every_law() {
    let began = Instant::now();
    let only = setting("SEED", 0);
    if only > 0 {
        let plan = Plan { traced: true, ..Plan::of(only) };
        let verdict = play(&plan, &config());
        println!("{}", verdict.trace.join("\n"));
        assert!(verdict.violations.is_empty(), "{}", explain(&plan));
        return;
    }
    let first = setting("FIRST", 1);
    let seeds = setting("SEEDS", SEEDS);
    let plans: Vec<Plan> = (first..first + seeds).map(Plan::of).collect();
    let sum = play_all(&plans);
    println!(
        "{seeds} seeds: {} deliveries in {} attempts, {} deaths, {} changes of the disk, {:?}",
        sum.deliveries,
        sum.attempts,
        sum.deaths,
        sum.disk_changes,
        began.elapsed()
    );
}

#[test]
fn a_seed_plays_the_same_each_time() {
    for seed in 1..6 {
        let plan = Plan { traced: true, ..Plan::of(seed) };
        let (one, other) = (play(&plan, &config()), play(&plan, &config()));
        let differs = one.trace.iter().zip(&other.trace).position(|(one, other)| one != other);
        if let Some(line) = differs {
            panic!("seed {seed}, line {line}:\n{}\n{}", one.trace[line], other.trace[line]);
        }
        assert_eq!(one.trace.len(), other.trace.len());
    }
}

/// The power goes at every change of the disk in a short play, before it and after it.
#[test]
fn the_power_may_go_at_every_write() {
    let whole = Plan { transactions: 12, lives: 1, calm: true, ..Plan::of(3) };
    let undisturbed = play(&Plan { lives: 0, ..whole }, &config());
    assert!(undisturbed.violations.is_empty(), "{:?}", undisturbed.violations);
    let step = setting("STEP", 9);
    let at = (1..=undisturbed.disk_changes).step_by(step as usize);
    let plans: Vec<Plan> = at
        .flat_map(|change| [Moment::Before, Moment::After].map(|moment| (change, moment)))
        .map(|cut| Plan { power_cut: Some(cut), ..whole })
        .collect();
    play_all(&plans);
    println!("{} power cuts", plans.len());
}

/// A disk that failed to read one page while the queue was looked through made walhook call the queue damaged and ask
/// for a backup, which would have lost what the file held. What cannot be read now is tried again.
#[test]
fn a_disk_that_stumbles_is_not_called_damage() {
    let (config, plan) = (config(), Plan { transactions: 60, lives: 0, calm: true, ..Plan::of(4) });
    let disk = Disk::new(4);
    assert!(play_on(&disk, &plan, &config).violations.is_empty());
    let open = || SqliteQueue::open(&disk.path("walhook.db"), Options::default());
    let (mut refused, mut reads) = (0, 0);
    loop {
        let before = disk.counts().reads;
        drop(open().unwrap());
        reads = reads.max(disk.counts().reads - before);
        refused += 1;
        if refused > reads {
            break;
        }
        disk.fail_nth(Kind::Read, refused);
        if let Err(error) = open() {
            assert!(
                !matches!(error, Error::Damaged { .. } | Error::Foreign { .. }),
                "read {refused}: {error}"
            );
        }
        disk.heal();
    }
    assert!(refused > 20, "only {refused} reads");
}
