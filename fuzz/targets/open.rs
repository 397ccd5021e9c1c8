//! The files of a queue.

// in the tests a module, for the fuzzer a file of its own
#![allow(unreachable_pub, dead_code)]

// for the tests it is a module of another file as well
#[allow(clippy::duplicate_mod)]
#[path = "../../tests/it/queue/make.rs"]
mod make;

use make::{Feed, claim, dead, register};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use walhook::delivery::StreamRecord;
use walhook::queue::sqlite::{Options, SqliteQueue};
use walhook::queue::{Error, Filter, Queue};
use walhook::webhook::WebhookId;

/// The database, its write-ahead log and the log's index.
const FILES: [&str; 3] = ["q.db", "q.db-wal", "q.db-shm"];
/// How long opening and looking around may take.
const TIME_MAX: Duration = Duration::from_secs(30);
/// How many bytes are one damage.
const DAMAGE_BYTES: usize = 8;

/// The files of a queue that was closed, and of one whose process was killed.
struct Sound {
    closed: [Vec<u8>; 3],
    killed: [Vec<u8>; 3],
}

/// Files of a queue with damages are opened or refused in words, within bounds, and left as they were when refused. The
/// first byte chooses the files and who opens them; eight bytes each are a damage.
pub fn open(bytes: &[u8]) {
    drop(refusal(bytes));
}

/// Why the files are refused, if they are.
pub fn refusal(bytes: &[u8]) -> Option<Error> {
    let (&choice, damages) = bytes.split_first()?;
    let sound = sound();
    let mut files = if choice & 1 == 0 { sound.closed.clone() } else { sound.killed.clone() };
    for damage in damages.chunks_exact(DAMAGE_BYTES).take(6) {
        inflict(&mut files, damage);
    }
    try_to_open(&files, choice & 2 == 0)
}

/// Any bytes in place of one of the files.
pub fn replaced(bytes: &[u8]) {
    let Some((&choice, bytes)) = bytes.split_first() else { return };
    let sound = sound();
    let mut files = if choice & 1 == 0 { sound.closed.clone() } else { sound.killed.clone() };
    files[usize::from(choice >> 2) % 3] = bytes.to_vec();
    drop(try_to_open(&files, choice & 2 == 0));
}

/// What, in which file, where (three bytes), how much (two), and with what.
fn inflict(files: &mut [Vec<u8>; 3], damage: &[u8]) {
    let number = |bytes: &[u8]| bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte));
    let (which, length, with) = (usize::from(damage[1]) % 8, number(&damage[5..7]) % 9_000, damage[7]);
    // mostly the database
    let file = &mut files[if which < 5 { 0 } else { which % 2 + 1 }];
    if file.is_empty() {
        return;
    }
    let at = number(&damage[2..5]) % file.len();
    let end = (at + length).min(file.len());
    match damage[0] % 10 {
        0 => file[at] = with,
        1 => file[at] ^= 1 << (with % 8),
        2 => file[at..end].fill(0),
        3 => file[at..end].fill(with),
        4 => file.truncate(at),
        5 => file.resize(file.len() + length, with),
        // a page written to a wrong place
        6 => {
            let pages = file.len() / 4096;
            let (from, to) = (at / 4096 % pages.max(1) * 4096, length % pages.max(1) * 4096);
            if pages > 0 {
                file.copy_within(from..from + 4096, to);
            }
        }
        // the header
        7 => {
            let place = at % file.len().min(100);
            file[place] = with;
        }
        // the beginning of a page
        8 => {
            let place = (at / 4096 * 4096 + length % 16).min(file.len() - 1);
            file[place] = with;
        }
        _ => file.clear(),
    }
}

fn try_to_open(files: &[Vec<u8>; 3], as_owner: bool) -> Option<Error> {
    let folder = in_memory();
    let path = folder.path().join(FILES[0]);
    for (name, bytes) in FILES.iter().zip(files) {
        if !bytes.is_empty() || *name == FILES[0] {
            fs::write(folder.path().join(name), bytes).unwrap();
        }
    }
    let began = Instant::now();
    let opened = if as_owner {
        SqliteQueue::open(&path, Options::default())
    } else {
        SqliteQueue::open_beside(&path, Options::default())
    };
    let refusal = match opened {
        Ok(queue) => {
            block_on(look_around(&*queue, as_owner));
            None
        }
        Err(error) => {
            says_what_it_is(&error);
            for (name, bytes) in FILES.iter().zip(files).take(2) {
                let now = fs::read(folder.path().join(name)).unwrap_or_default();
                assert!(
                    now == *bytes,
                    "{name} had {} bytes and was left with {}: {error}",
                    bytes.len(),
                    now.len()
                );
            }
            Some(error)
        }
    };
    assert!(began.elapsed() < TIME_MAX, "{:?}", began.elapsed());
    refusal
}

/// A refusal calls the operator: no waiting mends a file.
fn says_what_it_is(error: &Error) {
    let known = matches!(
        error,
        Error::Damaged { .. } | Error::Foreign { .. } | Error::Newer { .. } | Error::Missing { .. }
    );
    assert!(known, "{error:?}");
}

/// What a start and the commands ask. What is damaged may be refused, here as well; no answer at all means that the
/// writer fell over.
async fn look_around(queue: &dyn Queue, as_owner: bool) {
    answered(queue.stream().await);
    answered(queue.webhooks().await);
    answered(queue.deliveries(Filter::default(), 100).await);
    answered(queue.ranges(None).await);
    answered(queue.quarantined().await);
    answered(queue.size().await);
    answered(queue.held(WebhookId(7), None, 1 << 20).await);
    if as_owner {
        answered(queue.claim(16, &|_| 16).await);
        answered(queue.purge(0).await);
    }
}

fn answered<T>(answer: Result<T, Error>) {
    assert!(!matches!(answer, Err(Error::Closed | Error::Bug { .. })), "{:?}", answer.err());
}

fn sound() -> &'static Sound {
    static SOUND: OnceLock<Sound> = OnceLock::new();
    SOUND.get_or_init(|| {
        let folder = in_memory();
        let path = folder.path().join(FILES[0]);
        let queue = SqliteQueue::open(&path, Options::default()).unwrap();
        block_on(fill(&*queue));
        let killed = read(folder.path());
        assert!(!killed[1].is_empty(), "there is no log to damage");
        drop(queue);
        Sound { closed: read(folder.path()), killed }
    })
}

/// Something in every table that matters.
async fn fill(queue: &dyn Queue) {
    register(queue, &[7, 8]).await;
    let mut feed = Feed::new();
    let record = StreamRecord {
        system_id: "7000000000000000001".into(),
        timeline: 1,
        database: "helpdesk".into(),
        slot: "walhook".into(),
        epoch: 0,
        creating: false,
        progress: feed.progress(),
    };
    queue.record_stream(record).await.unwrap();
    for lane in 0..40 {
        queue.enqueue(feed.transaction(&[(lane % 7, &[7]), (lane, &[7, 8])])).await.unwrap();
    }
    queue.enqueue(feed.holding(&[(1, &[8])])).await.unwrap();
    let claims = claim(queue, 5).await;
    queue.settle(claims.into_iter().map(dead).collect()).await.unwrap();
}

fn read(folder: &Path) -> [Vec<u8>; 3] {
    FILES.map(|name| fs::read(folder.join(name)).unwrap_or_default())
}

/// A folder that needs no disk where there is one.
fn in_memory() -> tempfile::TempDir {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(future)
}
