//! walhook's queue on a disk that fails now and then while the queue stays open, as the running program leaves it.

use super::make::{Feed, Turned, dead, delivered, record};
use super::queue::{LANES, Promised, check, check_after_restart, open, run, stream};
use crate::disk::{Disk, FailedSync, Kind, Moment};
use crate::proof::random::Random;
use walhook::queue::sqlite::SqliteQueue;
use walhook::queue::{Error, Queue};

/// How often something is tried again that fails by chance.
const TRIES_MAX: usize = 200;
const ROUNDS: u64 = 40;

/// Tries until it works, as a task does that is started again, or until the power is cut.
async fn persist<T>(disk: &Disk, mut once: impl AsyncFnMut() -> Result<T, Error>) -> Result<T, Error> {
    let mut tries = 1;
    loop {
        match once().await {
            Err(error) if !disk.is_down() => {
                assert!(tries < TRIES_MAX, "it fails {tries} times, lately with {error:?}");
                tries += 1;
            }
            result => return result,
        }
    }
}

/// Capture begins anew: what was unfinished goes, and it goes on where the queue stands.
async fn resume(disk: &Disk, queue: &SqliteQueue) -> Result<Feed, Error> {
    persist(disk, async || queue.discard_unfinished().await).await?;
    let webhooks = persist(disk, async || queue.webhooks().await).await?;
    let next: Vec<_> = webhooks.iter().map(|webhook| (webhook.id.0, webhook.next_sequence)).collect();
    Ok(Feed::after((next[0].1 - 1) / LANES * 100, &next))
}

async fn enqueue(queue: &SqliteQueue, feed: &mut Feed, in_parts: bool) -> Result<(), Error> {
    let lanes: Vec<(u64, &[u64])> = (0..LANES).map(|lane| (lane, &[7, 8][..])).collect();
    if in_parts {
        queue.enqueue(feed.part(&lanes[..2], 0, false)).await?;
        queue.enqueue(feed.part(&lanes[2..], 2, true)).await?;
    } else {
        queue.enqueue(feed.transaction(&lanes)).await?;
    }
    Ok(())
}

/// Dispatch for a moment; an error makes it begin anew.
async fn dispatch(queue: &SqliteQueue, random: &mut Random, promised: &mut Promised) -> Result<(), Error> {
    for claim in queue.claim(5, &|_| usize::MAX).await? {
        let which = (claim.number.webhook.0, claim.number.sequence);
        assert!(!promised.delivered.contains(&which), "{which:?} is claimed though it was delivered");
        if random.percent(10) {
            queue.settle(vec![dead(claim)]).await?;
            promised.dead.insert(which);
        } else {
            promised.asked_delivered.insert(which);
            queue.settle(vec![delivered(claim)]).await?;
            promised.delivered.insert(which);
        }
    }
    Ok(())
}

/// Faults by chance, as many as the seed likes.
fn trouble(disk: &Disk, random: &mut Random) {
    for kind in [Kind::Write, Kind::Sync, Kind::Read, Kind::Truncate, Kind::Delete, Kind::Open] {
        disk.fail_percent(kind, *random.pick(&[0, 0, 1, 4]));
    }
    let ways = [FailedSync::Keeps, FailedSync::Forgets, FailedSync::Drops];
    disk.failed_sync(*random.pick(&ways));
}

/// Capture and dispatch on a disk with faults. One in two ends when the power is cut somewhere, the others when
/// the disk is healed.
async fn chaos(
    disk: &Disk,
    clock: &Turned,
    random: &mut Random,
    promised: &mut Promised,
    errors: &mut usize,
) -> Result<(), Error> {
    let queue = open(&disk.path("queue.db"), clock)?;
    queue.register([7, 8].map(record).into()).await?;
    queue.record_stream(stream()).await?;
    (promised.is_registered, promised.has_stream) = (true, true);
    trouble(disk, random);
    if random.percent(50) {
        disk.crash_at(
            disk.counts().changes + 1 + random.below(2500),
            *random.pick(&[Moment::Before, Moment::After]),
        );
    }
    let mut feed = Feed::new();
    for _ in 0..ROUNDS {
        let full = random.percent(10).then(|| disk.used() + random.below(20_000) as usize);
        disk.room(full);
        promised.asked = promised.asked.max(feed.sequence(7) + LANES);
        if enqueue(&queue, &mut feed, random.percent(30)).await.is_ok() {
            (promised.enqueued, promised.progress) = (feed.sequence(7), feed.progress());
        } else {
            *errors += 1;
            disk.room(None);
            feed = resume(disk, &queue).await?;
        }
        if dispatch(&queue, random, promised).await.is_err() {
            *errors += 1;
            disk.room(None);
            persist(disk, async || queue.void_claims().await).await?;
        }
    }
    disk.heal();
    queue.discard_unfinished().await?;
    check(&queue, promised).await;
    Ok(())
}

/// `TROUBLE_SEEDS=500` plays so many; `SEED=7` the one.
#[test]
fn what_was_answered_survives_a_disk_that_fails_now_and_then() {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TROUBLE_SEEDS").unwrap_or(12),
    };
    let (mut errors, mut cuts) = (0, 0);
    for seed in seeds {
        let disk = Disk::new(seed);
        disk.trace_on();
        let (clock, mut promised) = (Turned::new(), Promised::default());
        let mut random = Random::new(seed, 11);
        let played = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let ended = run(chaos(&disk, &clock, &mut random, &mut promised, &mut errors));
            assert!(ended.is_ok() || disk.is_down(), "{ended:?} with the power on");
            cuts += usize::from(ended.is_err());
            match random.below(3) {
                0 => disk.crash(),
                1 => disk.kill(),
                _ => {}
            }
            disk.restart();
            disk.heal();
            check_after_restart(&disk, &clock, &promised);
        }));
        if let Err(panic) = played {
            eprintln!("{}\nSEED={seed}: {promised:?}", disk.trace().join("\n"));
            std::panic::resume_unwind(panic);
        }
    }
    println!("{errors} errors, {cuts} power cuts");
    assert!(
        errors > 10 && cuts > 0 || number("SEED").is_some(),
        "{errors} errors and {cuts} power cuts only"
    );
}
