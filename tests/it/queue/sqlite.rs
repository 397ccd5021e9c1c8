//! What is particular to the SQLite backend: files, locks, limits, a second process.

use super::conformance::conformance;
use super::make::{Feed, Turned, claim, dead, delivered, drain, end, numbers, record, register};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use walhook::delivery::{AcceptedGap, Outcome, Settlement, StreamRecord};
use walhook::lsn::{Lsn, Progress};
use walhook::observe::{Observation, Observer, Observers};
use walhook::queue::sqlite::{Options, SqliteQueue};
use walhook::queue::{Error, Filter, Queue, WebhookRecord};
use walhook::remedy::Remediable;
use walhook::webhook::WebhookId;

#[tokio::test]
async fn it_keeps_the_contract() {
    let folder = tempfile::tempdir().unwrap();
    let number = std::cell::Cell::new(0);
    conformance(|time: &Turned| {
        number.set(number.get() + 1);
        let options = Options { clock: time.clock(), ..Options::default() };
        let path = folder.path().join(format!("{}.db", number.get()));
        let queue: Arc<dyn Queue> = SqliteQueue::open(&path, options).unwrap();
        queue
    })
    .await;
}

/// Memory knows of some deliveries of each webhook here, and reads of the others when those are gone.
#[tokio::test]
async fn what_memory_has_no_room_for_comes_in_its_order() {
    const EACH: u64 = 5000;
    const LANES: u64 = 700;
    let folder = tempfile::tempdir().unwrap();
    let open = || {
        let options = Options { known_max: 0, ..Options::default() };
        SqliteQueue::open(&folder.path().join("queue.db"), options).unwrap()
    };
    let mut queue = open();
    register(&*queue, &[7, 8]).await;
    let mut feed = Feed::new();
    for first in (0..EACH).step_by(250) {
        let changes: Vec<(u64, &[u64])> =
            (first..first + 250).map(|number| (number % LANES, &[7, 8][..])).collect();
        queue.enqueue(feed.transaction(&changes)).await.unwrap();
    }
    let only =
        |sequence| Filter { webhook: Some(WebhookId(7)), sequence: Some(sequence), ..Filter::default() };
    assert_eq!(queue.drop_deliveries(only(4500)).await.unwrap(), 1);
    let mut last_of: std::collections::BTreeMap<(u64, u64), u64> = std::collections::BTreeMap::new();
    let mut delivered_of = [0, 0];
    let mut is_opened_anew = false;
    loop {
        let claims = claim(&*queue, 100).await;
        if claims.is_empty() {
            break;
        }
        for claim in &claims {
            let (webhook, sequence) = (claim.number.webhook.0, claim.number.sequence);
            let before = last_of.insert((webhook, claim.lane.0), sequence);
            let expected = before.map_or((sequence - 1) % LANES + 1, |before| before + LANES);
            assert!(sequence == expected || (webhook, expected) == (7, 4500), "{webhook}/{sequence}");
            delivered_of[(webhook - 7) as usize] += 1;
        }
        // one in a hundred is dead, and sent again when its time has come
        let settled = claims
            .into_iter()
            .map(|claim| if claim.number.sequence % 100 == 99 { dead(claim) } else { delivered(claim) });
        queue.settle(settled.collect()).await.unwrap();
        if delivered_of[0] > 2000 && !is_opened_anew {
            is_opened_anew = true;
            drop(queue);
            queue = open();
        }
    }
    assert_eq!(delivered_of, [EACH - 1, EACH]);
    assert_eq!(queue.replay(Filter::default()).await.unwrap(), 2 * EACH / 100);
    assert_eq!(drain(&*queue).await.len() as u64, 2 * EACH / 100);
    let books = queue.webhooks().await.unwrap();
    assert_eq!((books[0].pending, books[0].delivered, books[0].dropped), (0, EACH - 1, 1));
    assert_eq!((books[1].pending, books[1].delivered, books[1].dead), (0, EACH, 0));
}

/// The story of an endpoint that came back to a million deliveries: what was committed then was heard of after all of
/// them. Now it goes out beside them, unless something of its entry is among them.
#[tokio::test]
async fn what_comes_lately_overtakes_what_is_late_but_not_its_own_entry() {
    const LANES: u64 = 50;
    for known_max in [0, 1000] {
        let folder = tempfile::tempdir().unwrap();
        let time = Turned::new();
        let options = Options { known_max, clock: time.clock(), ..Options::default() };
        let queue = SqliteQueue::open(&folder.path().join("queue.db"), options).unwrap();
        register(&*queue, &[7]).await;
        let mut feed = Feed::new();
        let late: Vec<(u64, &[u64])> = (0..2 * LANES).map(|number| (number % LANES, &[7][..])).collect();
        queue.enqueue(feed.transaction(&late)).await.unwrap();
        time.advance(Duration::from_secs(10));
        let mut heard = Vec::new();
        for lately in [vec![], vec![(100, &[7][..]), (30, &[7]), (100, &[7])], vec![(101, &[7])]] {
            queue.enqueue(feed.transaction(&lately)).await.unwrap();
            for _ in 0..5 {
                let claims = claim(&*queue, 1).await;
                heard.extend(claims.iter().map(|claim| (claim.number.sequence, claim.lane.0)));
                queue.settle(claims.into_iter().map(delivered).collect()).await.unwrap();
            }
        }
        let places =
            |lane| -> Vec<usize> { (0..heard.len()).filter(|&place| heard[place].1 == lane).collect() };
        assert!(places(100).len() == 2 && places(101).len() == 1, "{known_max}: {heard:?}");
        let late = heard.iter().filter(|(sequence, _)| *sequence <= 2 * LANES).count();
        assert!(late >= heard.len() / 2, "{known_max}: {heard:?}");
        while heard.len() < 2 * LANES as usize + 4 {
            let claims = claim(&*queue, 1000).await;
            assert!(!claims.is_empty(), "{known_max}: {heard:?}");
            heard.extend(claims.iter().map(|claim| (claim.number.sequence, claim.lane.0)));
            queue.settle(claims.into_iter().map(delivered).collect()).await.unwrap();
            // the next of a lane goes when the end of the one before is written
            assert_eq!(queue.webhooks().await.unwrap()[0].delivered, heard.len() as u64);
        }
        assert_eq!(numbers(&claim(&*queue, 1).await), []);
        let mut sequences: Vec<u64> = heard.iter().map(|&(sequence, _)| sequence).collect();
        heard.sort_by_key(|&(_, lane)| lane);
        assert!(heard.is_sorted_by_key(|&(sequence, lane)| (lane, sequence)), "{known_max}: {heard:?}");
        sequences.sort_unstable();
        assert_eq!(sequences, (1..=2 * LANES + 4).collect::<Vec<_>>(), "each once");
    }
}

fn open(path: &Path) -> Result<Arc<SqliteQueue>, Error> {
    SqliteQueue::open(path, Options::default())
}

fn refused<T>(opened: Result<T, Error>) -> String {
    let Err(error) = opened else { panic!("it was opened") };
    assert!(error.hint().is_some(), "{error} has no hint");
    error.to_string()
}

/// Rows of the application stand in them, and an ordinary umask lets everybody on the machine read new files.
#[tokio::test]
async fn only_the_owner_may_read_the_files() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().unwrap();
    let queue = open(&folder.path().join("walhook.db")).unwrap();
    register(&*queue, &[7]).await;
    queue.stage(vec![]).await.unwrap();
    queue.backup(&folder.path().join("copy.db")).await.unwrap();
    let mut names = Vec::new();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode() & 0o777;
        names.push(file.file_name().into_string().unwrap());
        assert_eq!(mode, 0o600, "{names:?}");
    }
    assert!(names.len() >= 4, "{names:?}");
}

#[tokio::test]
async fn files_that_cannot_be_a_queue_are_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let folder = folder.path().display();

    std::fs::write(at("text.db"), "this is a text, and a longer one than a header\n".repeat(9)).unwrap();
    assert_eq!(refused(open(&at("text.db"))), format!("{folder}/text.db is not a walhook queue"));

    let other = rusqlite::Connection::open(at("other.db")).unwrap();
    other.execute_batch("create table invoice (id); insert into invoice values (1)").unwrap();
    drop(other);
    assert_eq!(refused(open(&at("other.db"))), format!("{folder}/other.db is not a walhook queue"));
    let untouched = rusqlite::Connection::open(at("other.db")).unwrap();
    assert_eq!(untouched.query_row("select count(*) from sqlite_schema", [], |row| row.get(0)), Ok(1));

    drop(open(&at("newer.db")).unwrap());
    let newer = rusqlite::Connection::open(at("newer.db")).unwrap();
    newer.pragma_update(None, "user_version", 99).unwrap();
    drop(newer);
    let said = format!("queue {folder}/newer.db has schema version 99; this walhook knows versions up to 8");
    assert_eq!(refused(open(&at("newer.db"))), said);

    assert_eq!(refused(open(&at("no/such.db"))), format!("queue {folder}/no/such.db cannot be opened"));
    let beside = SqliteQueue::open_beside(&at("none.db"), Options::default());
    assert_eq!(refused(beside), format!("there is no queue at {folder}/none.db"));
    assert!(!at("none.db").exists());

    let first = open(&at("queue.db")).unwrap();
    assert_eq!(
        refused(open(&at("queue.db"))),
        format!("queue {folder}/queue.db is in use by another walhook")
    );
    drop(first);
    open(&at("queue.db")).unwrap();
}

/// A child of the owner that has not come to its exec yet has the lock as well, for a moment longer.
#[test]
fn a_lock_that_is_about_to_go_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    drop(open(&path).unwrap());
    let held = std::fs::File::open(folder.path().join("queue.db.lock")).unwrap();
    held.try_lock().unwrap();
    let letting_go = std::thread::spawn(move || {
        std::thread::sleep(std::time::Duration::from_millis(200));
        drop(held);
    });
    open(&path).unwrap();
    letting_go.join().unwrap();
}

#[tokio::test]
async fn a_damaged_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let queue = open(&path).unwrap();
    register(&*queue, &[7]).await;
    let mut feed = Feed::new();
    for lane in 0..200 {
        queue.enqueue(feed.transaction(&[(lane, &[7])])).await.unwrap();
    }
    drop(queue);
    let sound = std::fs::read(&path).unwrap();
    assert!(!folder.path().join("queue.db-wal").exists(), "closing leaves no log behind");
    // every page but the first: its tables' roots and leaves
    let mut bytes = sound.clone();
    bytes[4096..].iter_mut().step_by(7).for_each(|byte| *byte ^= 0x5A);
    std::fs::write(&path, &bytes).unwrap();
    let said = refused(open(&path));
    assert!(said.starts_with(&format!("queue {} is damaged: ", path.display())), "{said}");
    // the header beyond the magic
    let mut bytes = sound.clone();
    bytes[16..30].fill(0xFF);
    std::fs::write(&path, &bytes).unwrap();
    assert!(refused(open(&path)).contains("is damaged: "));
    std::fs::write(&path, vec![0; sound.len()]).unwrap();
    assert!(refused(open(&path)).contains("is damaged: it begins with zeros"));
    // what was cut off
    std::fs::write(&path, &sound[..sound.len() / 2]).unwrap();
    assert!(refused(open(&path)).contains("is damaged: "));
}

#[tokio::test]
async fn everything_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let queue = open(&path).unwrap();
    register(&*queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7]), (2, &[7]), (3, &[7])])).await.unwrap();
    let claims = claim(&*queue, 2).await;
    queue.settle(claims.into_iter().map(dead).collect()).await.unwrap();
    // what is claimed and what is unfinished when the process ends
    assert_eq!(numbers(&claim(&*queue, 1).await), [(7, 3)]);
    queue.enqueue(feed.part(&[(4, &[7])], 0, false)).await.unwrap();
    let books = queue.webhooks().await.unwrap();
    drop(queue);
    let queue = open(&path).unwrap();
    assert_eq!(queue.webhooks().await.unwrap(), books);
    queue.due().await;
    assert_eq!(drain(&*queue).await, [(7, 3)]);
    let again = Feed::after(100, &[(7, 4)]).transaction(&[(4, &[7])]);
    queue.enqueue(again).await.unwrap();
    assert_eq!(drain(&*queue).await, [(7, 4)]);
}

/// A file of version 1, as a queue that has worked leaves it: a delivery waits, half a transaction is thrown away.
fn write_version_1(path: &Path) {
    let old = rusqlite::Connection::open(path).unwrap();
    old.execute_batch(include_str!("../../../src/queue/sqlite/migrations/001.sql")).unwrap();
    old.execute_batch(
        "pragma application_id = 0x77686F6F; pragma user_version = 1; pragma journal_mode = wal;
         update position set commit_lsn = 100, end_lsn = 150, published_event = 1;
         insert into webhook (id, name, enabled, backlog_bytes_max, next_sequence, pending, pending_bytes, delivered)
         values (7, 'webhook 7', 1, 1000000, 3, 1, 5, 1);
         insert into binding values ('Incident', 16384, 'public', 'incident', json_array(json_array('id', 1)));
         insert into event values (1, 0, 100, 0, 'Incident', 'update', 'INC1', 1, 0, 700, 5, 'application/json', 1, x'7461696C');
         insert into event values (2, 0, 200, 0, 'Incident', 'update', 'INC2', 2, 0, 701, 6, 'application/json', 1, x'7461696C');
         insert into delivery (webhook, sequence, state, lane, event, since_us, bytes, id, head)
         values (7, 2, 3, 1, 1, 5, 5, zeroblob(16), x'68'), (7, 3, 3, 2, 2, 6, 5, zeroblob(16), x'68');",
    )
    .unwrap();
}

/// A gap was recorded up to where the log ended when it was accepted. What was committed until the slot stood again
/// was in no record.
#[tokio::test]
async fn a_gap_for_which_the_slot_is_made_anew_ends_where_that_begins() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let queue = open(&path).unwrap();
    let ends = || {
        let file = rusqlite::Connection::open(&path).unwrap();
        let mut statement = file.prepare("select to_lsn from gap order by epoch").unwrap();
        let ends = statement.query_map([], |row| row.get::<_, i64>(0)).unwrap().map(Result::unwrap);
        ends.collect::<Vec<i64>>()
    };
    let stream = |epoch, creating, end_lsn| StreamRecord {
        system_id: "7".into(),
        timeline: 1,
        database: "helpdesk".into(),
        slot: "walhook".into(),
        epoch,
        creating,
        progress: Progress { commit_lsn: Lsn::ZERO, end_lsn: Lsn(end_lsn) },
    };
    let gap = |epoch, to| AcceptedGap {
        epoch,
        from: Lsn(5),
        to: Lsn(to),
        reason: "gone".into(),
        accepted_at_us: 5,
    };
    queue.accept_gap(gap(0, 10), stream(1, true, 0)).await.unwrap();
    // run begins to make the slot, and is interrupted
    queue.record_stream(stream(1, true, 0)).await.unwrap();
    assert_eq!(ends(), [10]);
    queue.record_stream(stream(1, false, 30)).await.unwrap();
    queue.record_stream(stream(1, false, 40)).await.unwrap();
    assert_eq!(ends(), [30]);
    queue.accept_gap(gap(1, 50), stream(2, false, 50)).await.unwrap();
    queue.record_stream(stream(2, false, 60)).await.unwrap();
    assert_eq!(ends(), [30, 50]);
}

#[tokio::test]
async fn a_queue_of_the_first_version_is_brought_up_to_date() {
    let folder = tempfile::tempdir().unwrap();
    // by the process that owns it, or by a command where there is none
    for beside in [false, true] {
        let path = folder.path().join(format!("{beside}.db"));
        write_version_1(&path);
        if beside {
            let queue = SqliteQueue::open_beside(&path, Options::default()).unwrap();
            assert_eq!(queue.webhooks().await.unwrap()[0].pending, 1);
        }
        let queue = open(&path).unwrap();
        let books = queue.webhooks().await.unwrap().remove(0);
        assert_eq!((books.next_sequence, books.pending, books.delivered, books.held), (3, 1, 1, 0));
        assert_eq!((books.broken, books.condition_failures), (None, 0));
        let binding = queue.bindings().await.unwrap().remove(0);
        assert_eq!((binding.columns, binding.rules), (vec![("id".into(), 1)], vec![]));
        let mut feed = Feed::after(100, &[(7, 3)]);
        let mut batch = feed.holding(&[(1, &[7])]);
        batch.events.push(feed.event(2, &[7], 1));
        queue.enqueue(batch).await.unwrap();
        assert_eq!(queue.held(WebhookId(7), None, 1).await.unwrap()[0].held.number, 1);
        assert_eq!(drain(&*queue).await, [(7, 2), (7, 3)]);
    }
    // not under the hands of an older walhook
    let path = folder.path().join("used.db");
    write_version_1(&path);
    let lock = std::fs::File::create(folder.path().join("used.db.lock")).unwrap();
    lock.try_lock().unwrap();
    let said = refused(SqliteQueue::open_beside(&path, Options::default()));
    assert!(said.ends_with("used.db has schema version 1, and an earlier walhook works on it"), "{said}");
}

#[tokio::test]
async fn what_is_held_is_there_after_opening_again_and_in_a_backup() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let queue = open(&path).unwrap();
    queue.register(vec![WebhookRecord { backlog_bytes_max: 250, ..record(7) }]).await.unwrap();
    let mut feed = Feed::new();
    queue.enqueue(feed.holding(&[(1, &[7][..]); 4])).await.unwrap();
    queue.mark_broken(WebhookId(7), Some("no such field".into())).await.unwrap();
    queue.enqueue(feed.holding_part(&[(1, &[7][..]); 4], 0, false)).await.unwrap();
    let copy = folder.path().join("copy.db");
    queue.backup(&copy).await.unwrap();
    let written = format!("{:?}", queue.held(WebhookId(7), None, 1 << 20).await.unwrap());
    let books = queue.webhooks().await.unwrap();
    assert_eq!((books[0].held, books[0].broken.as_deref()), (4, Some("no such field")));
    drop(queue);
    for path in [path, copy] {
        let queue = open(&path).unwrap();
        assert_eq!(queue.webhooks().await.unwrap(), books);
        assert_eq!(format!("{:?}", queue.held(WebhookId(7), None, 1 << 20).await.unwrap()), written);
        let rows = rusqlite::Connection::open(&path).unwrap();
        let count = |table| rows.query_row(&format!("select count(*) from {table}"), [], |row| row.get(0));
        assert_eq!((count("held"), count("held_event")), (Ok(3), Ok(2)), "nothing unfinished is left");
    }
}

/// A queue full of held events could not even release them: what they became needed room first.
#[tokio::test]
async fn a_queue_full_of_held_events_refuses_more_and_can_be_emptied() {
    let folder = tempfile::tempdir().unwrap();
    let options = Options { bytes_max: 4 << 20, ..Options::default() };
    let queue = SqliteQueue::open(&folder.path().join("queue.db"), options).unwrap();
    let queue = &*queue;
    register(queue, &[7, 8]).await;
    let mut feed = Feed::new();
    feed.body_bytes = 10_000;
    let error = loop {
        if let Err(error) = queue.enqueue(feed.holding(&[(1, &[7, 8])])).await {
            break error;
        }
    };
    assert!(matches!(error, Error::Full { .. }), "{error}");
    let size = queue.size().await.unwrap();
    assert!(size.bytes > size.bytes_max / 10 * 9, "{size:?}");
    let found = queue.held(WebhookId(7), None, usize::MAX).await.unwrap();
    assert!((300..420).contains(&found.len()), "stored once for both: {}", found.len());
    // those of 7 do not match; then those of 8 do, and take the room of what they were
    let progress = Some(feed.progress());
    let released = found.iter().map(|one| one.held).collect();
    queue.enqueue(walhook::delivery::Batch { released, progress, ..Default::default() }).await.unwrap();
    feed.body_bytes = 9_000;
    for held in queue.held(WebhookId(8), None, usize::MAX).await.unwrap() {
        let (events, released) = (vec![feed.judged(&held)], vec![held.held]);
        let batch = walhook::delivery::Batch { events, released, progress, ..Default::default() };
        queue.enqueue(batch).await.unwrap();
    }
    assert_eq!(drain(queue).await.len(), found.len());
}

#[tokio::test]
async fn the_owner_notices_what_a_command_does_beside_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let queue = open(&path).unwrap();
    register(&*queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7]), (2, &[7]), (2, &[7])])).await.unwrap();
    queue.settle(vec![dead(claim(&*queue, 1).await.remove(0))]).await.unwrap();
    let second = claim(&*queue, 1).await.remove(0);
    // whatever was to be told so far
    while futures_util::FutureExt::now_or_never(queue.due()).is_some() {}

    let beside = SqliteQueue::open_beside(&path, Options::default()).unwrap();
    let refused = beside.enqueue(feed.transaction(&[(1, &[7])])).await;
    assert!(matches!(refused, Err(Error::Storage { action: "enqueue", .. })));
    assert_eq!(beside.replay(Filter::default()).await.unwrap(), 1);
    let began = std::time::Instant::now();
    queue.due().await;
    assert!(began.elapsed() < std::time::Duration::from_secs(2), "{:?}", began.elapsed());
    assert_eq!(numbers(&claim(&*queue, 10).await), [(7, 1)]);
    let filter = Filter { sequence: Some(2), ..Filter::default() };
    assert_eq!(beside.drop_deliveries(filter).await.unwrap(), 1);
    queue.settle(vec![delivered(second)]).await.unwrap();
    assert_eq!(drain(&*queue).await, [(7, 3)]);
    let books = queue.webhooks().await.unwrap();
    assert_eq!((books[0].pending, books[0].dropped, books[0].delivered), (1, 1, 1));
    let mut feed = Feed::after(200, &[(7, 4)]);
    queue.enqueue(feed.holding(&[(1, &[7]), (2, &[7])])).await.unwrap();
    assert_eq!(beside.held(WebhookId(7), None, 1 << 20).await.unwrap().len(), 2);
    assert!(beside.mark_broken(WebhookId(7), None).await.is_err());
    assert_eq!(beside.drop_held(WebhookId(7)).await.unwrap(), 2);
    queue.enqueue(feed.holding(&[(1, &[7])])).await.unwrap();
    let books = queue.webhooks().await.unwrap();
    assert_eq!((books[0].held, books[0].held_dropped), (1, 2));
    assert_eq!(beside.delete_webhook(WebhookId(7)).await.unwrap(), 2);
    queue.due().await;
    assert!(claim(&*queue, 10).await.is_empty());
}

/// The story of a command that enabled a webhook beside the owner: it knew of no delivery that waits, and wrote down that
/// there is none, so the lag of a webhook with a backlog was told as nothing.
#[tokio::test]
async fn a_command_beside_the_owner_leaves_the_oldest_delivery_known() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let queue = open(&path).unwrap();
    register(&*queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7]), (2, &[7])])).await.unwrap();
    let oldest = queue.webhooks().await.unwrap()[0].oldest_committed_at_us;
    assert!(oldest.is_some());
    let beside = SqliteQueue::open_beside(&path, Options::default()).unwrap();
    beside.enable_webhook(WebhookId(7)).await.unwrap();
    assert_eq!(beside.webhooks().await.unwrap()[0].oldest_committed_at_us, oldest);
}

/// What was observed.
#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl Observer for Heard {
    fn observe(&self, observation: &Observation) {
        self.0.lock().unwrap().push(format!("{observation:?}"));
    }
}

/// Nothing had told it: no line in the log, no metric, and the webhook stood still for good.
#[tokio::test]
async fn a_suspension_is_told_once() {
    let folder = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let observers = Observers::new(vec![Arc::clone(&heard) as Arc<dyn Observer>]);
    let options = Options { observers, ..Options::default() };
    let queue = SqliteQueue::open(&folder.path().join("queue.db"), options).unwrap();
    register(&*queue, &[7]).await;
    let told = |times| {
        // it is told right after the answer
        let said = "WebhookSuspended { webhook: \"webhook 7\", reason: \"gone\" }".to_owned();
        while heard.0.lock().unwrap().len() < times {
            std::thread::yield_now();
        }
        assert_eq!(*heard.0.lock().unwrap(), vec![said; times]);
    };
    let mut feed = Feed::new();
    for times in 1..=2 {
        queue.enqueue(feed.transaction(&[(1, &[7]), (2, &[7])])).await.unwrap();
        let gone = |claim| walhook::delivery::Settled { suspend: Some("gone".into()), ..dead(claim) };
        queue.settle(claim(&*queue, 10).await.into_iter().map(gone).collect()).await.unwrap();
        told(times);
        queue.enable_webhook(WebhookId(7)).await.unwrap();
    }
}

/// The size is looked at only when it may matter: what endpoints answer counts, too.
#[tokio::test]
async fn a_queue_that_fills_with_answers_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let observers = Observers::new(vec![Arc::clone(&heard) as Arc<dyn Observer>]);
    let options = Options { bytes_max: 4 << 20, observers, ..Options::default() };
    let queue = SqliteQueue::open(&folder.path().join("queue.db"), options).unwrap();
    register(&*queue, &[7]).await;
    let changes: Vec<(u64, &[u64])> = (0..1200).map(|lane| (lane, &[7][..])).collect();
    queue.enqueue(Feed::new().transaction(&changes)).await.unwrap();
    let answered = |claim| {
        let mut settled = delivered(claim);
        let Outcome::Answered { excerpt, .. } = &mut settled.attempt.outcome else { unreachable!() };
        *excerpt = "x".repeat(3000);
        settled
    };
    let claims = claim(&*queue, 1200).await;
    assert_eq!(claims.len(), 1200);
    queue.settle(claims.into_iter().map(answered).collect()).await.unwrap();
    // whoever reads waits until what was answered is written
    assert_eq!(queue.webhooks().await.unwrap()[0].delivered, 1200);
    let heard = heard.0.lock().unwrap().join(", ");
    assert!(heard.contains("QueueFilling"), "{heard}");
}

#[tokio::test]
async fn a_full_queue_purges_what_is_finished_then_refuses_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let heard = Arc::new(Heard::default());
    let observers = Observers::new(vec![Arc::clone(&heard) as Arc<dyn Observer>]);
    let options = Options { bytes_max: 4 << 20, observers, ..Options::default() };
    let queue = SqliteQueue::open(&folder.path().join("queue.db"), options).unwrap();
    let queue = &*queue;
    queue.register(vec![record(7), WebhookRecord { backlog_bytes_max: 50_000, ..record(8) }]).await.unwrap();
    let mut feed = Feed::new();
    feed.body_bytes = 10_000;
    // three times what it may hold passes through, because what is delivered makes room
    for lane in 0..1200 {
        queue.enqueue(feed.transaction(&[(lane, &[7])])).await.unwrap();
        queue.settle(claim(queue, 10).await.into_iter().map(delivered).collect()).await.unwrap();
    }
    let size = queue.size().await.unwrap();
    // it used to keep what was delivered up to the limit: a queue that was well counted as full
    assert!(size.bytes <= size.bytes_max / 5 * 4, "{size:?}");
    assert!(heard.0.lock().unwrap().is_empty(), "{:?}", heard.0.lock().unwrap());
    // nobody takes anything: it fills up
    let refused = loop {
        let batch = feed.transaction(&[(1, &[7])]);
        match queue.enqueue(batch.clone()).await {
            Ok(_) => {}
            Err(error) => break (error, batch),
        }
    };
    let (error, batch) = refused;
    assert!(matches!(error, Error::Full { bytes_max: 4_194_304, .. }), "{error}");
    let pending = queue.webhooks().await.unwrap()[0].pending;
    assert!((250..420).contains(&pending), "{pending}");
    // a position without events still gets through
    let idle = walhook::delivery::Batch { progress: Some(feed.progress()), ..Default::default() };
    queue.enqueue(idle).await.unwrap();
    assert_eq!(drain(queue).await.len() as u64, pending);
    queue.enqueue(batch).await.unwrap();
    for lane in 0..9 {
        queue.enqueue(feed.transaction(&[(lane, &[8])])).await.unwrap();
    }
    let heard = heard.0.lock().unwrap().join(", ");
    assert!(heard.contains("QueueFilling { percent: 80 }, QueueFilling { percent: 90 }"), "{heard}");
    assert_eq!(heard.matches("BacklogOverflowed { webhook: \"webhook 8\" }").count(), 1, "{heard}");
}

#[tokio::test]
async fn space_of_what_was_purged_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("queue.db");
    let queue = open(&path).unwrap();
    register(&*queue, &[7]).await;
    let mut feed = Feed::new();
    feed.body_bytes = 100_000;
    for lane in 0..300 {
        queue.enqueue(feed.transaction(&[(lane, &[7])])).await.unwrap();
    }
    drain(&*queue).await;
    let held = queue.size().await.unwrap().bytes;
    assert!(held > 30_000_000, "{held}");
    while queue.purge(i64::MAX).await.unwrap() > 0 {}
    assert!(queue.size().await.unwrap().bytes < 1_000_000);
    drop(queue);
    let file = std::fs::metadata(&path).unwrap().len();
    assert!(file < 12_000_000, "{file}");
}

#[tokio::test]
async fn a_backup_is_a_queue_and_writes_over_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.db");
    let queue = open(&folder.path().join("queue.db")).unwrap();
    register(&*queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7]), (2, &[7])])).await.unwrap();
    let held = claim(&*queue, 1).await;
    queue.backup(&copy).await.unwrap();
    queue.settle(held.into_iter().map(delivered).collect()).await.unwrap();
    assert!(matches!(queue.backup(&copy).await, Err(Error::Exists { .. })));
    assert!(queue.backup(&folder.path().join("no/such.db")).await.is_err());
    let copy = open(&copy).unwrap();
    assert_eq!(drain(&*copy).await, [(7, 1), (7, 2)]);
    assert_eq!(drain(&*queue).await, [(7, 2)]);
}

#[tokio::test]
async fn calls_take_effect_in_the_order_in_which_they_are_made() {
    let folder = tempfile::tempdir().unwrap();
    let queue = open(&folder.path().join("queue.db")).unwrap();
    register(&*queue, &[7]).await;
    let mut feed = Feed::new();
    // polled in the other order, and the sequence numbers would be refused
    let mut calls: Vec<_> = (0..500).map(|lane| queue.enqueue(feed.transaction(&[(lane, &[7])]))).collect();
    while let Some(call) = calls.pop() {
        call.await.unwrap();
    }
    assert_eq!(queue.webhooks().await.unwrap()[0].pending, 500);
}

/// A machine came up in the year 2100 and had its clock set right later. What had failed meanwhile was to be tried
/// again in 2100: neither delivered nor dead, and nobody was told. Now a pause that began in what is the future starts
/// anew when the clock goes back, in a queue that is open and in one that is opened.
#[tokio::test]
async fn pauses_last_no_longer_when_the_clock_is_set_back() {
    const YEARS: Duration = Duration::from_secs(74 * 365 * 86_400);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("walhook.db");
    let time = Turned::new();
    let open = || SqliteQueue::open(&path, Options { clock: time.clock(), ..Options::default() }).unwrap();
    let mut queue = open();
    register(&*queue, &[7]).await;
    let mut feed = Feed::new();
    queue.enqueue(feed.transaction(&[(1, &[7]), (2, &[7])])).await.unwrap();
    for is_opened_anew in [false, true] {
        time.advance(YEARS);
        let claims = tokio::time::timeout(Duration::from_secs(30), async {
            loop {
                let claims = claim(&*queue, 10).await;
                if !claims.is_empty() {
                    break claims;
                }
                queue.due().await;
            }
        });
        let claims = claims.await.unwrap();
        assert_eq!(claims.len(), 2);
        let retry = |claim| end(claim, 503, Settlement::Retry { after: Duration::from_secs(30) });
        queue.settle(claims.into_iter().map(retry).collect()).await.unwrap();
        time.set_back(YEARS);
        if is_opened_anew {
            drop(queue);
            queue = open();
        } else {
            // with nothing to do the writer looks at the clock once in a second, with something to do at once
            register(&*queue, &[7]).await;
        }
        time.advance(Duration::from_secs(29));
        assert_eq!(numbers(&claim(&*queue, 10).await), []);
        time.advance(Duration::from_secs(2));
        let claims = claim(&*queue, 10).await;
        assert_eq!(numbers(&claims), [(7, 1), (7, 2)]);
        queue.settle(claims.into_iter().map(retry).collect()).await.unwrap();
    }
}
