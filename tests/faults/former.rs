//! A queue's file as versions of before wrote it.

use rusqlite::Connection;
use std::collections::BTreeSet;
use std::path::Path;
use walhook::delivery::State;
use walhook::event::Verb;
use walhook::queue::sqlite::{Options, SqliteQueue};
use walhook::queue::{DeliveryRef, Filter, Queue};

/// Writes a queue as version 4 had it, with a row for each event and each delivery, in the place of the file. Returns how
/// many deliveries wait in it.
pub async fn as_version_4(path: &Path) -> usize {
    let queue = SqliteQueue::open_beside(path, Options::default()).unwrap();
    let mut summaries = queue.deliveries(Filter::default(), 10_000).await.unwrap();
    summaries.sort_by_key(|summary| (summary.position, summary.number));
    let old = path.with_extension("old");
    let file = Connection::open(&old).unwrap();
    for migration in [
        include_str!("../../src/queue/sqlite/migrations/001.sql"),
        include_str!("../../src/queue/sqlite/migrations/002.sql"),
        include_str!("../../src/queue/sqlite/migrations/003.sql"),
        include_str!("../../src/queue/sqlite/migrations/004.sql"),
    ] {
        file.execute_batch(migration).unwrap();
    }
    let carried = "pragma application_id = 0x77686F6F; pragma user_version = 4; delete from position;
        insert into position select one, commit_lsn, end_lsn, 1000000, published_quarantine, published_held, last_xid,
            last_committed_at_us from now.position;
        insert into stream select * from now.stream;
        insert into binding select * from now.binding;";
    file.execute("attach ?1 as now", [path.to_str().unwrap()]).unwrap();
    file.execute_batch(carried).unwrap();
    let columns: Vec<String> = file
        .prepare("select name from pragma_table_info('webhook')")
        .and_then(|mut names| names.query_map([], |row| row.get(0))?.collect())
        .unwrap();
    let columns = columns.join(", ");
    file.execute_batch(&format!("insert into webhook ({columns}) select {columns} from now.webhook"))
        .unwrap();
    for (id, summary) in summaries.iter().enumerate() {
        let detail = queue.delivery(DeliveryRef::Number(summary.number)).await.unwrap().unwrap();
        file.execute(
            "insert into event values (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?1, 7, ?9, ?10, 1, ?11)",
            rusqlite::params![
                id as i64 + 1,
                summary.position.epoch,
                summary.position.commit_lsn.0 as i64,
                summary.position.ordinal as i64,
                summary.form,
                summary.verb.as_str(),
                summary.entry_id,
                summary.lane.0 as i64,
                summary.committed_at_us,
                detail.body.content_type,
                &detail.body.tail[..],
            ],
        )
        .unwrap();
        let state = match summary.state {
            State::Waiting => 2,
            State::Ready => 3,
            State::Retrying => 4,
            State::Delivered => 7,
            other => panic!("{other:?}"),
        };
        // a summary does not say which lanes an entry had before: a new one waits for all that are before it
        let behind = (summary.verb == Verb::Create).then(|| {
            let before =
                summaries[..id].iter().filter(|before| before.number.webhook == summary.number.webhook);
            let lanes: BTreeSet<i64> = before.map(|before| before.lane.0 as i64).collect();
            serde_json::to_string(&lanes).unwrap()
        });
        file.execute(
            "insert into delivery (webhook, sequence, state, lane, event, due_at_us, since_us, failures, attempts, bytes,
                 id, head, behind)
             values (?1, ?2, ?3, ?4, ?5, ?6, 5, ?7, ?7, ?8, ?9, ?10, ?11)",
            rusqlite::params![
                summary.number.webhook.0 as i64,
                summary.number.sequence as i64,
                state,
                summary.lane.0 as i64,
                id as i64 + 1,
                summary.due_at_us,
                summary.attempts,
                (detail.body.head.len() + detail.body.tail.len()) as i64,
                &summary.id.0[..],
                &detail.body.head[..],
                behind,
            ],
        )
        .unwrap();
    }
    drop((queue, file));
    for suffix in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{suffix}", path.display()));
    }
    std::fs::rename(old, path).unwrap();
    summaries.iter().filter(|summary| summary.state != State::Delivered).count()
}
