//! What the queue's file holds, read beside walhook's own code.

use rusqlite::Connection;
use std::path::Path;

/// Up to which LSN the queue has everything, from a copy of the file as a killed process left it; none before
/// the first start has stored anything.
pub fn stored_progress(queue: &Path) -> Option<u64> {
    let copies = tempfile::tempdir().unwrap();
    for suffix in ["", "-wal"] {
        let from = format!("{}{suffix}", queue.display());
        // the log is not there after a clean end
        let _ = std::fs::copy(from, copies.path().join(format!("queue{suffix}")));
    }
    let copy = Connection::open(copies.path().join("queue")).unwrap();
    copy.query_row("select end_lsn from position", [], |row| row.get::<_, i64>(0)).ok().map(|lsn| lsn as u64)
}
