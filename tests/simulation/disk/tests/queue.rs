//! walhook's queue on this disk: what was answered is there after a power cut, nothing is half, and it opens.

use super::make::{Feed, Turned, dead, delivered, drain, end, record};
use crate::disk::{Disk, Kind, Moment};
use crate::proof::random::Random;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use walhook::change::{Datum, OldRow, Row, RowChange};
use walhook::delivery::{Settlement, State, StreamRecord};
use walhook::lsn::Progress;
use walhook::queue::sqlite::{Options, SqliteQueue};
use walhook::queue::{Error, Filter, Queue, StagedChange};

/// Lanes of a transaction, and so deliveries of it for each webhook.
pub(super) const LANES: u64 = 3;

/// What the queue has answered, and what it was asked for.
#[derive(Debug, Default)]
pub(super) struct Promised {
    pub(super) is_registered: bool,
    pub(super) has_stream: bool,
    pub(super) enqueued: u64,
    pub(super) asked: u64,
    pub(super) progress: Progress,
    pub(super) delivered: BTreeSet<(u64, u64)>,
    pub(super) asked_delivered: BTreeSet<(u64, u64)>,
    pub(super) dead: BTreeSet<(u64, u64)>,
    /// From then on there are deliveries that may be gone, or dead letters that may wait again.
    pub(super) asked_purge: bool,
    pub(super) asked_replay: bool,
}

pub(super) fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(work)
}

pub(super) fn open(path: &Path, clock: &Turned) -> Result<Arc<SqliteQueue>, Error> {
    SqliteQueue::open(path, Options { clock: clock.clock(), ..Options::default() })
}

/// A short story with something of everything, until the disk is down.
async fn story(disk: &Disk, clock: &Turned, promised: &mut Promised) -> Result<(), Error> {
    let queue = open(&disk.path("queue.db"), clock)?;
    queue.register([7, 8].map(record).into()).await?;
    promised.is_registered = true;
    queue.record_stream(stream()).await?;
    promised.has_stream = true;
    let mut feed = Feed::new();
    for round in 1..=4_u64 {
        promised.asked += LANES;
        let lanes: Vec<(u64, &[u64])> = (0..LANES).map(|lane| (lane, &[7, 8][..])).collect();
        // one in two comes in two parts
        let batch = if round % 2 == 0 {
            queue.enqueue(feed.part(&lanes[..1], 0, false)).await?;
            feed.part(&lanes[1..], 1, true)
        } else {
            feed.transaction(&lanes)
        };
        queue.enqueue(batch).await?.expect("it has progress");
        (promised.enqueued, promised.progress) = (promised.asked, feed.progress());
        for (number, claim) in queue.claim(4, &|_| usize::MAX).await?.into_iter().enumerate() {
            let which = (claim.number.webhook.0, claim.number.sequence);
            if number == 0 {
                queue.settle(vec![dead(claim)]).await?;
                promised.dead.insert(which);
            } else if number == 1 {
                let after = Duration::from_secs(1);
                queue.settle(vec![end(claim, 500, Settlement::Retry { after })]).await?;
            } else {
                promised.asked_delivered.insert(which);
                queue.settle(vec![delivered(claim)]).await?;
                promised.delivered.insert(which);
            }
        }
        clock.advance(Duration::from_secs(2));
    }
    queue.stage((0..40).map(staged).collect()).await?;
    assert_eq!(queue.staged(None, 1 << 20).await?.len(), 40);
    queue.discard_unfinished().await?;
    promised.asked_replay = true;
    queue.replay(Filter::default()).await?;
    promised.asked_purge = true;
    while queue.purge(i64::MAX).await? > 0 {}
    Ok(())
}

pub(super) fn stream() -> StreamRecord {
    StreamRecord {
        system_id: "1".into(),
        timeline: 1,
        database: "d".into(),
        slot: "s".into(),
        epoch: 0,
        creating: false,
        progress: Progress::default(),
    }
}

fn staged(ordinal: u64) -> StagedChange {
    let new = [Datum::Text(&"x".repeat(500))].into_iter().collect::<Row>();
    let change = RowChange::Update { old: OldRow::Absent, new };
    StagedChange { ordinal, form: 1, key: ordinal.to_le_bytes().into(), reading: 3, change }
}

/// What a queue that was opened again has to hold.
pub(super) async fn check(queue: &SqliteQueue, promised: &Promised) {
    let webhooks = queue.webhooks().await.unwrap();
    assert!(webhooks.len() == 2 || webhooks.is_empty() && !promised.is_registered, "{webhooks:?}");
    let stream = queue.stream().await.unwrap();
    assert!(stream.is_some() || !promised.has_stream);
    let progress = stream.map(|stream| stream.progress).unwrap_or_default();
    assert!(progress.commit_lsn >= promised.progress.commit_lsn, "{progress:?}");
    for webhook in webhooks {
        let last = webhook.next_sequence - 1;
        assert!((promised.enqueued..=promised.asked).contains(&last), "{last} of {promised:?}");
        assert_eq!(last % LANES, 0, "half a transaction");
        assert_eq!(progress.commit_lsn.0, last / LANES * 100, "position and deliveries differ");
        let filter = Filter { webhook: Some(webhook.id), ..Filter::default() };
        let found = queue.deliveries(filter, 1 << 20).await.unwrap();
        assert!(found.len() as u64 == last || promised.asked_purge, "{} of {last}", found.len());
        let mut there = BTreeSet::new();
        for found in found {
            let which = (webhook.id.0, found.number.sequence);
            there.insert(which);
            if found.state == State::Delivered {
                assert!(promised.asked_delivered.contains(&which), "{which:?} was never delivered");
            } else {
                assert!(!promised.delivered.contains(&which), "{which:?} is back");
            }
            if promised.dead.contains(&which) && !promised.asked_replay {
                assert_eq!(found.state, State::Dead, "{which:?}");
            }
        }
        for sequence in 1..=last {
            let which = (webhook.id.0, sequence);
            let may_be_gone = promised.asked_purge && promised.asked_delivered.contains(&which);
            assert!(there.contains(&which) || may_be_gone, "{which:?} is lost");
        }
    }
}

/// Opens what a power cut has left, checks it, and plays on to its end.
pub(super) fn check_after_restart(disk: &Disk, clock: &Turned, promised: &Promised) {
    let path = disk.path("queue.db");
    let queue = open(&path, clock).unwrap_or_else(|error| panic!("it does not open: {error:?}"));
    run(async {
        check(&queue, promised).await;
        clock.advance(Duration::from_secs(10));
        queue.replay(Filter::default()).await.unwrap();
        for (webhook, sequence) in drain(&*queue).await {
            assert!(!promised.delivered.contains(&(webhook, sequence)), "{webhook}/{sequence} again");
        }
        for webhook in queue.webhooks().await.unwrap() {
            assert_eq!((webhook.pending, webhook.dead), (0, 0), "{webhook:?}");
            assert_eq!(webhook.delivered, webhook.next_sequence - 1, "{webhook:?}");
        }
        queue.stage((0..3).map(staged).collect()).await.unwrap();
        assert_eq!(queue.staged(None, 1 << 20).await.unwrap().len(), 3, "staged before is gone");
    });
    drop(queue);
    let connection = rusqlite::Connection::open(path).unwrap();
    assert_eq!(connection.query_row("pragma integrity_check", [], |row| row.get(0)), Ok("ok".to_owned()));
}

/// A story whose power is cut at a change, and a second time while it is opened again.
fn cut_at(seed: u64, at: u64, moment: Moment, lies: bool) {
    let disk = Disk::new(seed);
    disk.trace_on();
    disk.lies_about_sync(lies);
    disk.crash_at(at, moment);
    let (clock, mut promised) = (Turned::new(), Promised::default());
    let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let ended = run(story(&disk, &clock, &mut promised));
        assert!(disk.is_down() || ended.is_ok(), "{ended:?} with the power on");
        if !disk.is_down() {
            disk.crash();
        }
        disk.restart();
        let mut random = Random::new(seed, 9);
        if random.percent(50) {
            disk.crash_at(
                disk.counts().changes + 1 + random.below(30),
                *random.pick(&[Moment::Before, Moment::After]),
            );
            let again = open(&disk.path("queue.db"), &clock);
            assert!(disk.is_down() || again.is_ok(), "{:?} with the power on", again.err());
            drop(again);
            disk.crash();
            disk.restart();
        }
        check_after_restart(&disk, &clock, &promised);
    }));
    if let Err(panic) = played {
        if !lies {
            eprintln!("{}\nseed {seed}, cut {moment:?} change {at}: {promised:?}", disk.trace().join("\n"));
        }
        std::panic::resume_unwind(panic);
    }
}

fn changes_of_the_story() -> u64 {
    let disk = Disk::new(1);
    run(story(&disk, &Turned::new(), &mut Promised::default())).unwrap();
    disk.counts().changes
}

/// In CI every seventh change from somewhere; `DISK_SEEDS=3` cuts at all of them, so many times.
#[test]
fn what_was_answered_survives_every_power_cut() {
    let changes = changes_of_the_story();
    assert!(changes > 100, "{changes} changes only");
    let seeds: Option<u64> = std::env::var("DISK_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
    let every = if seeds.is_some() { 1 } else { 7 };
    for seed in 0..seeds.unwrap_or(1) {
        for (from, moment) in [(1, Moment::Before), (4, Moment::After)] {
            for at in (from.min(every)..=changes).step_by(every as usize) {
                cut_at(seed * 1_000_000 + at, at, moment, false);
            }
        }
    }
}

/// A machine whose power went in the first moments of a new queue could leave a first page of zeros, whose length
/// alone had reached the disk, beside the journal that undoes it. walhook called the file damaged before SQLite saw
/// it, and did not start again until somebody removed it. SQLite now looks first.
#[test]
fn a_queue_that_is_new_survives_every_power_cut() {
    let disk = Disk::new(1);
    drop(open(&disk.path("queue.db"), &Turned::new()).unwrap());
    let changes = disk.counts().changes;
    let mut zeros = 0;
    // the first page is written between the sixth and the eighth
    for (seeds, from, until) in [(40, 6, 8), (2, 9, changes)] {
        for (seed, at) in (0..seeds).flat_map(|seed| (from..=until).map(move |at| (seed, at))) {
            let disk = Disk::new(seed * 1_000_000 + at);
            disk.trace_on();
            disk.crash_at(at, Moment::After);
            drop(open(&disk.path("queue.db"), &Turned::new()));
            disk.restart();
            let beginning = std::fs::read(disk.path("queue.db")).unwrap_or_default();
            zeros += usize::from(beginning.first() == Some(&0));
            let opened = open(&disk.path("queue.db"), &Turned::new());
            assert!(
                opened.is_ok(),
                "{}\nseed {seed}, change {at}: {:?}",
                disk.trace().join("\n"),
                opened.err()
            );
        }
    }
    assert!(zeros > 0, "no seed leaves a first page of zeros");
}

/// A sync that failed while a new queue was opened could leave SQLite with the journal that it begins with, and nobody
/// heard of it. There a commit counts when the journal's name is gone, which no sync makes durable: a power cut brought
/// the journal back, and took away what was answered last.
#[test]
fn a_queue_whose_opening_meets_a_failing_sync_keeps_what_it_answers() {
    let disk = Disk::new(1);
    drop(open(&disk.path("queue.db"), &Turned::new()).unwrap());
    let syncs = disk.counts().of(Kind::Sync);
    let mut refused = 0;
    for (seed, failing) in (0..8).flat_map(|seed| (1..=syncs).map(move |failing| (seed, failing))) {
        let disk = Disk::new(seed * 1_000 + failing);
        let again = || open(&disk.path("queue.db"), &Turned::new());
        disk.fail_nth(Kind::Sync, failing);
        let queue = again().or_else(|_| {
            refused += 1;
            again()
        });
        let queue = queue.unwrap();
        run(queue.record_stream(stream())).unwrap();
        disk.crash();
        drop(queue);
        disk.restart();
        assert_eq!(run(again().unwrap().stream()).unwrap(), Some(stream()), "seed {seed}, sync {failing}");
    }
    assert!(refused > 0, "no failing sync was met");
}

/// The check finds what a disk loses that only says it syncs.
#[test]
fn a_disk_that_lies_is_found_out() {
    let changes = changes_of_the_story();
    let is_found = (1..=changes)
        .rev()
        .any(|at| std::panic::catch_unwind(|| cut_at(at, at, Moment::After, true)).is_err());
    assert!(is_found);
}
