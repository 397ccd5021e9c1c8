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

/// None while the slot is being made: the server says then what it has confirmed, and walhook has nothing yet.
fn read(queue: &Connection) -> Option<u64> {
    let query = "select end_lsn from position, stream where not creating";
    queue.query_row(query, [], |row| row.get::<_, i64>(0)).ok().map(|lsn| lsn as u64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use walhook::delivery::StreamRecord;
    use walhook::lsn::{Lsn, Progress};
    use walhook::queue::Queue;
    use walhook::queue::sqlite::{Options, SqliteQueue};

    /// While the slot is being made, what the server says is confirmed is its own doing, and nothing is stored.
    #[tokio::test]
    async fn a_queue_whose_slot_is_being_made_has_stored_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("walhook.db");
        let queue = SqliteQueue::open(&path, Options::default()).unwrap();
        let stream = |creating, end_lsn| StreamRecord {
            system_id: "7".into(),
            timeline: 1,
            database: "helpdesk".into(),
            slot: "walhook".into(),
            epoch: 0,
            creating,
            progress: Progress { commit_lsn: Lsn::ZERO, end_lsn: Lsn(end_lsn) },
        };
        for (record, stored) in [(stream(true, 0), None), (stream(false, 30), Some(30))] {
            queue.record_stream(record).await.unwrap();
            assert_eq!((stored_by_the_frozen(&path), stored_by_the_dead(&path)), (stored, stored));
        }
    }
}
