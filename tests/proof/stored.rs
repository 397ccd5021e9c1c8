//! What the queue's file holds, read beside walhook's own code.

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

fn read(queue: &Connection) -> Option<u64> {
    queue.query_row("select end_lsn from position", [], |row| row.get::<_, i64>(0)).ok().map(|lsn| lsn as u64)
}
