//! Keys: they come with the position, stay over a restart, and go when nobody can want them any more.

use super::make::{Feed, Turned};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use walhook::delivery::{AcceptedGap, Batch, StreamRecord};
use walhook::keymap::{KeyChange, KeyRef, KeyRow};
use walhook::lsn::Lsn;
use walhook::queue::sqlite::{Options, SqliteQueue};
use walhook::queue::{EndedBefore, EntryRef, Queue};

fn open(path: &Path, time: &Turned) -> Arc<SqliteQueue> {
    SqliteQueue::open(path, Options { clock: time.clock(), ..Options::default() }).unwrap()
}

fn key(table: u32, value: &str) -> KeyRef {
    KeyRef { table, by: vec!["id".into(), "of \"it\"".into()], values: vec![value.into(), "x".into()] }
}

fn row(parent: Option<&str>) -> KeyRow {
    KeyRow { columns: vec![("parent".into(), parent.map(Into::into))], entry: None }
}

fn told(table: u32, value: &str, parent: &str) -> KeyChange {
    KeyChange::Told { key: key(table, value), row: row(Some(parent)) }
}

async fn enqueue(queue: &SqliteQueue, feed: &mut Feed, keys: Vec<KeyChange>) {
    queue.enqueue(Batch { keys, ..feed.transaction(&[]) }).await.unwrap();
}

async fn parent(queue: &SqliteQueue, table: u32, value: &str) -> Option<String> {
    let row = queue.key_row(key(table, value)).await.unwrap()?;
    row.columns[0].1.clone()
}

#[tokio::test]
async fn what_is_told_last_holds_and_stays() {
    let folder = tempfile::tempdir().unwrap();
    let (path, time) = (folder.path().join("queue.db"), Turned::new());
    let (queue, mut feed) = (open(&path, &time), Feed::new());
    enqueue(&queue, &mut feed, vec![told(1, "a", "one"), told(1, "b", "one"), told(2, "a", "two")]).await;
    enqueue(&queue, &mut feed, vec![told(1, "a", "three"), KeyChange::Gone { key: key(1, "b") }]).await;
    drop(queue);
    let queue = open(&path, &time);
    assert_eq!(parent(&queue, 1, "a").await.as_deref(), Some("three"));
    // what is gone leads on
    assert_eq!(parent(&queue, 1, "b").await.as_deref(), Some("one"));
    assert_eq!(parent(&queue, 2, "a").await.as_deref(), Some("two"));
    assert_eq!(queue.key_row(key(1, "c")).await.unwrap(), None);
    let null = KeyChange::Told { key: key(1, "a"), row: row(None) };
    enqueue(&queue, &mut feed, vec![null]).await;
    assert_eq!(queue.key_row(key(1, "a")).await.unwrap(), Some(row(None)));
}

#[tokio::test]
async fn what_is_gone_for_long_is_purged_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let (path, time) = (folder.path().join("queue.db"), Turned::new());
    let (queue, mut feed) = (open(&path, &time), Feed::new());
    let keys = ["a", "b", "c", "d"].map(|value| told(1, value, "one"));
    enqueue(&queue, &mut feed, keys.into()).await;
    enqueue(
        &queue,
        &mut feed,
        vec![KeyChange::Gone { key: key(1, "a") }, KeyChange::Gone { key: key(1, "b") }],
    )
    .await;
    // another row has it
    enqueue(&queue, &mut feed, vec![told(1, "b", "two")]).await;
    time.advance(Duration::from_secs(100));
    enqueue(
        &queue,
        &mut feed,
        vec![KeyChange::Gone { key: key(1, "a") }, KeyChange::Gone { key: key(1, "c") }],
    )
    .await;
    let before = EndedBefore { us: time.now_us() - 50_000_000, of: BTreeMap::new() };
    while queue.purge_each(before.clone()).await.unwrap() > 0 {}
    assert_eq!(parent(&queue, 1, "a").await, None, "it is gone since it went first");
    for (value, expected) in [("b", "two"), ("c", "one"), ("d", "one")] {
        assert_eq!(parent(&queue, 1, value).await.as_deref(), Some(expected), "{value}");
    }
    enqueue(&queue, &mut feed, vec![KeyChange::Emptied { table: 1 }, told(1, "d", "three")]).await;
    let before = EndedBefore { us: time.now_us() + 1, of: BTreeMap::new() };
    while queue.purge_each(before.clone()).await.unwrap() > 0 {}
    assert_eq!(parent(&queue, 1, "b").await, None);
    assert_eq!(parent(&queue, 1, "d").await.as_deref(), Some("three"));
}

#[tokio::test]
async fn keys_go_with_their_table_their_entry_and_a_gap() {
    let folder = tempfile::tempdir().unwrap();
    let (path, time) = (folder.path().join("queue.db"), Turned::new());
    let (queue, mut feed) = (open(&path, &time), Feed::new());
    let of_entry = |form: &str, id: &str| KeyRow { entry: Some((form.into(), id.into())), ..row(Some(id)) };
    let entry = |value: &str, form: &str| KeyChange::Told { key: key(3, value), row: of_entry(form, "INC1") };
    let keys = vec![told(1, "a", "one"), told(2, "a", "two"), entry("a", "Incident"), entry("b", "Problem")];
    enqueue(&queue, &mut feed, keys).await;
    queue.keep_key_tables(vec![1, 3]).await.unwrap();
    assert_eq!((parent(&queue, 1, "a").await.is_some(), parent(&queue, 2, "a").await), (true, None));
    assert_eq!(queue.key_row(key(3, "a")).await.unwrap(), Some(of_entry("Incident", "INC1")));
    let incident = EntryRef { form: Some("Incident".into()), entry_id: "INC1".into() };
    queue.purge_entry(incident, false).await.unwrap();
    assert_eq!((parent(&queue, 3, "a").await, parent(&queue, 3, "b").await.is_some()), (None, true));
    queue.purge_entry(EntryRef { form: None, entry_id: "INC1".into() }, false).await.unwrap();
    assert_eq!(parent(&queue, 3, "b").await, None);
    // behind a gap nobody knows what the log would have told
    let record = StreamRecord {
        system_id: "7".into(),
        timeline: 1,
        database: "helpdesk".into(),
        slot: "walhook".into(),
        epoch: 0,
        creating: false,
        progress: feed.progress(),
    };
    queue.record_stream(record.clone()).await.unwrap();
    let gap = AcceptedGap { epoch: 0, from: Lsn(1), to: Lsn(2), reason: "lost".into(), accepted_at_us: 1 };
    queue.accept_gap(gap, StreamRecord { epoch: 1, ..record }).await.unwrap();
    assert_eq!(parent(&queue, 1, "a").await, None);
}

/// What a transaction that is too large for memory tells goes to disk before its end.
#[tokio::test]
async fn without_progress_they_count_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (path, time) = (folder.path().join("queue.db"), Turned::new());
    let queue = open(&path, &time);
    queue.enqueue(Batch { keys: vec![told(1, "a", "one")], ..Batch::default() }).await.unwrap();
    assert_eq!(parent(&queue, 1, "a").await.as_deref(), Some("one"));
}
