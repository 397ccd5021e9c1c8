//! The disk's own rules.

use crate::disk::file::{File, SECTOR};
use crate::disk::{Disk, FailedSync, Kind, Moment};
use crate::proof::random::Random;
use rusqlite::{Connection, ErrorCode};
use std::collections::BTreeSet;

fn open(disk: &Disk) -> Connection {
    let connection = Connection::open(disk.path("t.db")).unwrap();
    connection
        .execute_batch(
            "pragma journal_mode = wal; pragma synchronous = full; create table if not exists t (n integer)",
        )
        .unwrap();
    connection
}

fn insert(connection: &Connection, number: i64) -> rusqlite::Result<usize> {
    connection.execute("insert into t values (?1)", [number])
}

fn numbers(connection: &Connection) -> Vec<i64> {
    let mut statement = connection.prepare("select n from t order by n").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

fn error_of(result: rusqlite::Result<usize>) -> Option<ErrorCode> {
    result.unwrap_err().sqlite_error_code()
}

/// Of three writes since the sync every subset survives in some seed, the order among them notwithstanding.
#[test]
fn any_of_the_writes_since_the_last_sync_survive_a_power_cut() {
    let (mut subsets, mut torn) = (BTreeSet::new(), 0);
    for seed in 0..2000 {
        let mut file = File::default();
        file.write(0, &[1; 4 * SECTOR]);
        file.sync();
        for number in 0..3_u8 {
            file.write(usize::from(number) * SECTOR, &[2 + number; SECTOR]);
        }
        file.crash(&mut Random::new(seed, 0));
        assert!(file.is_durable());
        let content = file.content();
        assert_eq!(content[3 * SECTOR..], [1; SECTOR], "what was synced stays");
        let survived = |number: u8| {
            let sector = &content[usize::from(number) * SECTOR..][..SECTOR];
            assert!(sector.iter().all(|&byte| byte == sector[0]), "a sector is whole");
            sector[0] == 2 + number
        };
        subsets.insert([survived(0), survived(1), survived(2)]);

        let mut file = File::default();
        file.write(100, &[7; 3 * SECTOR]);
        file.crash(&mut Random::new(seed, 1));
        let count: usize = file.content().iter().map(|&byte| usize::from(byte == 7)).sum();
        torn += usize::from(count > 0 && count < 3 * SECTOR);
    }
    assert_eq!(subsets.len(), 8, "{subsets:?}");
    assert!(torn > 100, "{torn} torn writes");
}

#[test]
fn a_failed_sync_keeps_forgets_or_drops_the_pages() {
    let after = |how| {
        let mut file = File::default();
        file.write(0, b"old");
        file.sync();
        file.write(0, b"new");
        file.fail_sync(how);
        let seen = file.content().to_vec();
        file.sync();
        file.crash(&mut Random::new(1, 0));
        (String::from_utf8(seen).unwrap(), String::from_utf8(file.content().to_vec()).unwrap())
    };
    assert_eq!(after(FailedSync::Keeps), ("new".into(), "new".into()));
    assert_eq!(after(FailedSync::Forgets), ("new".into(), "old".into()));
    assert_eq!(after(FailedSync::Drops), ("old".into(), "old".into()));
}

/// A process that dies takes nothing of the page cache with it; a power cut after it may.
#[test]
fn a_kill_keeps_what_a_power_cut_takes() {
    let after = |seed, cut: bool| {
        let disk = Disk::new(seed);
        let connection = open(&disk);
        connection.execute_batch("pragma wal_checkpoint; pragma synchronous = off").unwrap();
        insert(&connection, 1).unwrap();
        disk.kill();
        drop(connection);
        disk.restart();
        if cut {
            disk.crash();
            disk.restart();
        }
        numbers(&open(&disk))
    };
    for seed in 0..10 {
        assert_eq!(after(seed, false), [1]);
    }
    assert!((0..10).any(|seed| after(seed, true).is_empty()));
}

#[test]
fn who_was_connected_before_meets_errors_for_ever_and_harms_nothing() {
    let disk = Disk::new(1);
    let before = open(&disk);
    insert(&before, 1).unwrap();
    disk.crash();
    assert!(insert(&before, 2).is_err());
    assert!(Connection::open(disk.path("t.db")).is_err(), "it is down");
    disk.restart();
    let now = open(&disk);
    insert(&now, 3).unwrap();
    assert!(insert(&before, 4).is_err());
    drop(before);
    insert(&now, 5).unwrap();
    drop(now);
    assert_eq!(numbers(&open(&disk)), [1, 3, 5]);
}

#[test]
fn single_operations_fail() {
    let disk = Disk::new(1);
    let connection = open(&disk);
    for kind in [Kind::Write, Kind::Sync] {
        disk.fail_nth(kind, 1);
        assert_eq!(error_of(insert(&connection, 1)), Some(ErrorCode::SystemIoFailure), "{kind:?}");
        insert(&connection, 2).unwrap();
    }
    disk.fail_nth(Kind::Open, 1);
    assert!(Connection::open(disk.path("other.db")).is_err());
    disk.fail_percent(Kind::Write, 100);
    assert_eq!(error_of(insert(&connection, 1)), Some(ErrorCode::SystemIoFailure));
    disk.heal();
    insert(&connection, 3).unwrap();
    assert_eq!(numbers(&connection), [2, 2, 3]);
    drop(connection);
    let connection = open(&disk);
    disk.fail_percent(Kind::Read, 100);
    assert!(connection.query_row("select count(*) from t, sqlite_schema", [], |_| Ok(())).is_err());
}

#[test]
fn a_full_disk_is_full_until_there_is_room() {
    let disk = Disk::new(1);
    let connection = open(&disk);
    disk.room(Some(disk.used() + 5000));
    insert(&connection, 1).unwrap();
    assert_eq!(error_of(insert(&connection, 2)), Some(ErrorCode::DiskFull));
    disk.room(None);
    insert(&connection, 3).unwrap();
    assert_eq!(numbers(&connection), [1, 3]);
}

#[test]
fn a_read_only_disk_is_read() {
    let disk = Disk::new(1);
    let connection = open(&disk);
    insert(&connection, 1).unwrap();
    disk.read_only(true);
    assert!(insert(&connection, 2).is_err());
    assert_eq!(numbers(&connection), [1]);
    disk.read_only(false);
    insert(&connection, 3).unwrap();
    assert_eq!(numbers(&connection), [1, 3]);
}

/// One who writes keeps another from writing and nobody from reading; a checkpoint waits for readers.
#[test]
fn connections_of_one_process_respect_each_other() {
    let disk = Disk::new(1);
    let (first, second) = (open(&disk), open(&disk));
    second.busy_timeout(std::time::Duration::ZERO).unwrap();
    first.execute_batch("begin immediate; insert into t values (1)").unwrap();
    assert_eq!(error_of(insert(&second, 2)), Some(ErrorCode::DatabaseBusy));
    assert_eq!(numbers(&second), [0; 0]);
    first.execute_batch("commit").unwrap();
    second.execute_batch("begin").unwrap();
    assert_eq!(numbers(&second), [1]);
    insert(&first, 2).unwrap();
    assert_eq!(numbers(&second), [1], "a snapshot");
    let busy: i64 = first.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get(0)).unwrap();
    assert_eq!(busy, 1);
    second.execute_batch("commit").unwrap();
    let busy: i64 = first.query_row("pragma wal_checkpoint(truncate)", [], |row| row.get(0)).unwrap();
    assert_eq!(busy, 0);
    assert_eq!(disk.content("t.db-wal"), Some(Vec::new()));
    drop((first, second));
    assert_eq!(disk.content("t.db-wal"), None, "the last one removes it");
    // and without a log
    let (first, second) = (open(&disk), open(&disk));
    drop(second);
    first.execute_batch("pragma journal_mode = delete; begin exclusive").unwrap();
    let second = Connection::open(disk.path("t.db")).unwrap();
    second.busy_timeout(std::time::Duration::ZERO).unwrap();
    assert!(second.query_row("select n from t", [], |_| Ok(())).is_err());
    first.execute_batch("commit").unwrap();
    assert_eq!(numbers(&second), [1, 2]);
}

fn played(seed: u64) -> (Vec<String>, Vec<u8>) {
    let disk = Disk::new(seed);
    disk.trace_on();
    let connection = open(&disk);
    disk.fail_percent(Kind::Write, 5);
    disk.crash_at(90, Moment::After);
    for number in 0..100 {
        drop(insert(&connection, number));
    }
    disk.restart();
    (disk.trace(), disk.content("t.db-wal").unwrap())
}

/// The trace is the same whatever other disks do meanwhile, and so is what survives.
#[test]
fn a_seed_plays_the_same() {
    for seed in 11..20 {
        let alone = played(seed);
        let others = std::thread::spawn(move || played(seed + 100_000));
        let beside = played(seed);
        drop(others.join());
        assert_eq!(alone.0, beside.0);
        assert_eq!(alone.1.len(), beside.1.len());
    }
    assert_ne!(played(11).0, played(12).0);
}

/// A file that is removed without SQLite is gone, and what is no disk's goes where it did before.
#[test]
fn real_files_are_respected() {
    let disk = Disk::new(1);
    let connection = open(&disk);
    insert(&connection, 1).unwrap();
    drop(connection);
    assert!(std::fs::read(disk.path("t.db")).unwrap().starts_with(b"SQLite format 3\0"));
    assert_eq!(numbers(&open(&disk)), [1]);
    std::fs::remove_file(disk.path("t.db")).unwrap();
    assert_eq!(numbers(&open(&disk)), [0; 0]);
    let folder = tempfile::tempdir().unwrap();
    let real = folder.path().join("real.db");
    Connection::open(&real).unwrap().execute_batch("create table t (n integer)").unwrap();
    assert_eq!(std::fs::metadata(&real).unwrap().len(), 8192);
}
