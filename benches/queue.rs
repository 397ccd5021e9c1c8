//! How fast the queue is, beside what the disk and SQLite give on the same machine in the same minute.
//!
//! `cargo bench --bench queue`; `-- memory` adds a million pending deliveries and the process's memory.

#[path = "../tests/it/queue/make.rs"]
#[allow(dead_code, clippy::unwrap_used)]
mod make;

use futures_util::future::join_all;
use make::{Feed, claim, delivered, register};
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};
use walhook::queue::Queue;
use walhook::queue::sqlite::{Options, SqliteQueue};

/// What a body takes.
const BODY_BYTES: usize = 1000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir_in(std::env::current_dir()?)?;
    let at = |name: &str| folder.path().join(name);
    let fsyncs = say("append 1 kB and fsync, one after the other", 2000, appends(&at("appended"), 2000, 1)?);
    let rows =
        say("plain SQLite, rows of 1 kB, 256 in a transaction", 51_200, inserts(&at("plain.db"), 200)?);

    let queue = SqliteQueue::open(&at("queue.db"), Options::default())?;
    register(&*queue, &[7]).await;
    let mut feed = Feed::new();
    feed.body_bytes = BODY_BYTES;

    let began = Instant::now();
    for lane in 0..1000 {
        queue.enqueue(feed.transaction(&[(lane, &[7])])).await?;
    }
    ratio(say("enqueue, one after the other", 1000, began.elapsed()), fsyncs, "appends");

    let began = Instant::now();
    for _ in 0..40 {
        let calls: Vec<_> = (0..500).map(|lane| queue.enqueue(feed.transaction(&[(lane, &[7])]))).collect();
        for answer in join_all(calls).await {
            answer?;
        }
    }
    ratio(say("enqueue, 500 under way, one event each", 20_000, began.elapsed()), rows, "plain rows");

    let began = Instant::now();
    for round in 0..200 {
        let lanes: Vec<(u64, &[u64])> =
            (0..256).map(|lane| (1_000_000 + round * 256 + lane, &[7][..])).collect();
        queue.enqueue(feed.transaction(&lanes)).await?;
    }
    ratio(say("enqueue, 256 events in a batch", 51_200, began.elapsed()), rows, "plain rows");

    let began = Instant::now();
    let mut count = 0;
    loop {
        let claims = claim(&*queue, 512).await;
        if claims.is_empty() {
            break;
        }
        count += claims.len();
        queue.settle(claims.into_iter().map(delivered).collect()).await?;
    }
    ratio(say("claim and settle, 512 at once", count, began.elapsed()), rows, "plain rows");

    let began = Instant::now();
    let mut purged = 0;
    loop {
        match queue.purge(i64::MAX).await? {
            0 => break,
            some => purged += some as usize,
        }
    }
    ratio(say("purge", purged, began.elapsed()), rows, "plain rows");

    ratio(say("the whole life", 60_000, lives(&*queue, &mut feed, 60_000).await?), rows, "plain rows");
    if std::env::args().any(|argument| argument == "memory") {
        memory(&*queue, &mut feed).await?;
    }
    Ok(())
}

/// Enqueues, claims, settles and purges, all at once.
async fn lives(queue: &dyn Queue, feed: &mut Feed, count: u64) -> Result<Duration, walhook::queue::Error> {
    let began = Instant::now();
    let mut lane = 0;
    while lane < count {
        let lanes: Vec<(u64, &[u64])> = (lane..lane + 256).map(|lane| (lane, &[7][..])).collect();
        lane += 256;
        let (enqueued, claims) = tokio::join!(queue.enqueue(feed.transaction(&lanes)), claim(queue, 256));
        enqueued?;
        let settled = queue.settle(claims.into_iter().map(delivered).collect());
        let (settled, purged) = tokio::join!(settled, queue.purge(i64::MAX));
        settled?;
        purged?;
    }
    Ok(began.elapsed())
}

/// A million deliveries that wait, then some life among them.
async fn memory(queue: &dyn Queue, feed: &mut Feed) -> Result<(), walhook::queue::Error> {
    let began = Instant::now();
    for round in 0..4000_u64 {
        // entries come in no order of their lanes
        let lane = |number: u64| (round * 250 + number).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let lanes: Vec<(u64, &[u64])> = (0..250).map(|number| (lane(number), &[7][..])).collect();
        queue.enqueue(feed.transaction(&lanes)).await?;
    }
    say("enqueue with up to a million pending", 1_000_000, began.elapsed());
    println!("  resident: {} MB", resident_mb());
    say("the whole life behind a million pending", 30_000, lives(queue, feed, 30_000).await?);
    println!("  resident: {} MB; queue: {} MB", resident_mb(), queue.size().await?.bytes >> 20);
    let began = Instant::now();
    queue.webhooks().await?;
    println!("  the books of a webhook with a million pending: {:?}", began.elapsed());
    Ok(())
}

/// The process's resident memory, where `/proc` tells it.
fn resident_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) / 1024
}

fn appends(path: &Path, count: usize, rows: usize) -> std::io::Result<Duration> {
    let mut file = std::fs::File::create(path)?;
    let began = Instant::now();
    for _ in 0..count {
        file.write_all(&vec![b'x'; BODY_BYTES * rows])?;
        file.sync_data()?;
    }
    Ok(began.elapsed())
}

fn inserts(path: &Path, transactions: usize) -> rusqlite::Result<Duration> {
    let connection = rusqlite::Connection::open(path)?;
    connection.execute_batch(
        "pragma journal_mode = wal; pragma synchronous = full; create table t (id integer primary key, b blob)",
    )?;
    let body = vec![b'x'; BODY_BYTES];
    let began = Instant::now();
    for _ in 0..transactions {
        connection.execute_batch("begin")?;
        for _ in 0..256 {
            connection.prepare_cached("insert into t (b) values (?1)")?.execute([&body])?;
        }
        connection.execute_batch("commit")?;
    }
    Ok(began.elapsed())
}

/// Prints and returns how many there are in a second.
fn say(what: &str, count: usize, took: Duration) -> f64 {
    let rate = count as f64 / took.as_secs_f64();
    println!("{what:<52}{rate:>10.0}/s");
    rate
}

fn ratio(rate: f64, of: f64, what: &str) {
    println!("{:>52}{:>10.2} of {what}", "", rate / of);
}
