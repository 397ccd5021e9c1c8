//! SQLite's promise on this disk: what was committed is there after a power cut, and nothing half.

use crate::disk::{Disk, Moment};
use crate::proof::random::Random;
use rusqlite::Connection;
use std::time::Instant;

/// How a database is kept.
#[derive(Clone, Copy)]
struct Way {
    journal: &'static str,
    synchronous: &'static str,
    /// Pages in the log at which it is copied into the database.
    checkpoint: u32,
}

const WAL: Way = Way { journal: "wal", synchronous: "full", checkpoint: 20 };

fn open(disk: &Disk, way: Way) -> rusqlite::Result<Connection> {
    let connection = Connection::open(disk.path("t.db"))?;
    connection.execute_batch(&format!(
        "pragma journal_mode = {}; pragma synchronous = {}; pragma wal_autocheckpoint = {};
         create table if not exists line (number integer primary key, of integer, noise text);",
        way.journal, way.synchronous, way.checkpoint
    ))?;
    Ok(connection)
}

/// Transactions from a seed until the disk is down. Each makes 1 to 5 lines that bear its number, and removes or
/// changes some of before. Returns how many were committed and how many were begun.
fn work(disk: &Disk, way: Way, seed: u64, transactions: i64) -> (i64, i64) {
    let mut random = Random::new(seed, 7);
    let Ok(mut connection) = open(disk, way) else { return (0, 0) };
    let readers: Vec<_> = (0..2).filter_map(|_| open(disk, way).ok()).collect();
    for number in 1..=transactions {
        if transact(&mut connection, &mut random, number).is_err() {
            return (number - 1, number);
        }
        for reader in &readers {
            if let Ok(seen) = reader.query_row("select max(of) from line", [], |row| row.get::<_, i64>(0)) {
                assert_eq!(seen, number, "a reader sees what was committed");
            }
        }
    }
    (transactions, transactions)
}

fn transact(connection: &mut Connection, random: &mut Random, number: i64) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute(
        "delete from line where number % 7 = ?1 and of < ?2 - 3",
        (random.below(7) as i64, number),
    )?;
    for _ in 0..=random.below(5) {
        let length = random.below(3000) as usize;
        transaction.execute("insert into line (of, noise) values (?1, ?2)", (number, random.text(length)))?;
    }
    transaction
        .execute("update line set noise = noise || 'x' where number % 5 = ?1", [random.below(5) as i64])?;
    transaction.execute("insert into line (number, of, noise) values (-?1, ?1, 'end')", [number])?;
    transaction.commit()
}

/// What is wrong with a disk after a restart, if anything is.
fn wrong(disk: &Disk, way: Way, committed: i64, begun: i64) -> Option<String> {
    let connection = match open(disk, way) {
        Ok(connection) => connection,
        Err(error) => return Some(format!("it does not open: {error}")),
    };
    let sound: rusqlite::Result<String> =
        connection.query_row("pragma integrity_check", [], |row| row.get(0));
    if sound.as_deref() != Ok("ok") {
        return Some(format!("integrity: {sound:?}"));
    }
    let count = |sql| connection.query_row(sql, [], |row| row.get::<_, i64>(0));
    let last = match count("select coalesce(max(of), 0) from line") {
        Ok(last) => last,
        Err(error) => return Some(error.to_string()),
    };
    if !(committed..=begun).contains(&last) {
        return Some(format!("committed {committed}, begun {begun}, found {last}"));
    }
    // a transaction's last line is there, or nothing of it
    let ended = count("select coalesce(-min(number), 0) from line");
    (ended != Ok(last)).then(|| format!("the last is {last}, and the last that ended {ended:?}"))
}

/// Cuts the power at every third change of a story, at all of them with `DISK_SEEDS`, and tells the first thing that
/// is wrong.
fn cut_everywhere(way: Way, seed: u64, transactions: i64, lies: bool) -> Option<String> {
    let whole = Disk::new(seed);
    assert_eq!(work(&whole, way, seed, transactions), (transactions, transactions));
    let changes = whole.counts().changes;
    let every = if std::env::var_os("DISK_SEEDS").is_some() { 1 } else { 3 };
    for at in (1 + seed % every..=changes).step_by(every as usize) {
        for moment in [Moment::Before, Moment::After] {
            let disk = Disk::new(seed.wrapping_mul(1_000_003).wrapping_add(at));
            disk.lies_about_sync(lies);
            disk.crash_at(at, moment);
            let (committed, begun) = work(&disk, way, seed, transactions);
            // the story goes on after its last transaction: the connections are closed
            if !disk.is_down() {
                disk.crash();
            }
            disk.restart();
            if let Some(wrong) = wrong(&disk, way, committed, begun) {
                return Some(format!("seed {seed}, cut {moment:?} change {at} of {changes}: {wrong}"));
            }
        }
    }
    None
}

#[test]
fn what_was_committed_to_a_log_survives_every_power_cut() {
    for seed in 1..=3 {
        assert_eq!(cut_everywhere(WAL, seed, 12, false), None);
    }
}

#[test]
fn what_was_committed_with_a_rollback_journal_survives_every_power_cut() {
    // with `full` a journal whose removal is not durable may undo the last commit
    let way = Way { journal: "delete", synchronous: "extra", ..WAL };
    assert_eq!(cut_everywhere(way, 3, 8, false), None);
}

/// The disk does lose what was not synced.
#[test]
fn without_syncs_commits_are_lost() {
    let way = Way { synchronous: "off", ..WAL };
    for (way, lies) in [(way, false), (WAL, true)] {
        let lost = cut_everywhere(way, 4, 12, lies).expect("it loses nothing");
        assert!(lost.contains("committed") || lost.contains("integrity"), "{lost}");
    }
}

#[test]
fn speed() {
    let disk = Disk::new(5);
    let connection = open(&disk, Way { checkpoint: 4000, ..WAL }).unwrap();
    let (start, count) = (Instant::now(), 5000_i64);
    for number in 1..=count {
        connection
            .prepare_cached("insert into line (of, noise) values (?1, 'some noise')")
            .unwrap()
            .execute([number])
            .unwrap();
    }
    println!("{:.0} commits/s", count as f64 / start.elapsed().as_secs_f64());
}
