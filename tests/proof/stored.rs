//! What the queue's file holds, read beside walhook's own code.

use super::gap::Gap;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// Up to which LSN the queue has everything, read from a copy of the file as a killed process left it. None before
/// the first start has stored anything.
pub fn stored_by_the_dead(queue: &Path) -> Option<u64> {
    let copies = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let from = format!("{}{suffix}", queue.display());
        // the log is not there after a clean end
        let _ = std::fs::copy(from, copies.path().join(format!("queue{suffix}")));
    }
    read(&Connection::open(copies.path().join("queue")).unwrap())
}

/// The same, read beside a process that has the file open and stands still.
pub fn stored_by_the_frozen(queue: &Path) -> Option<u64> {
    read(&Connection::open_with_flags(queue, OpenFlags::SQLITE_OPEN_READ_ONLY).ok()?)
}

/// The gaps that were accepted, in their order, read from a copy of the file.
pub fn stored_gaps(queue: &Path) -> Vec<Gap> {
    let copies = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let from = format!("{}{suffix}", queue.display());
        let _ = std::fs::copy(from, copies.path().join(format!("queue{suffix}")));
    }
    let queue = Connection::open(copies.path().join("queue")).unwrap();
    let mut statement = queue.prepare("select from_lsn, to_lsn from gap order by epoch").unwrap();
    let gaps = statement.query_map([], |row| {
        Ok(Gap { from: row.get::<_, i64>(0)? as u64, to: row.get::<_, i64>(1)? as u64 })
    });
    gaps.unwrap().map(Result::unwrap).collect()
}

fn read(queue: &Connection) -> Option<u64> {
    queue.query_row("select end_lsn from position", [], |row| row.get::<_, i64>(0)).ok().map(|lsn| lsn as u64)
}
