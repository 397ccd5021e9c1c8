//! Opening: the lock, the checks, the schema, the settings of each connection.

use super::fault::Fault;
use super::former;
use crate::failpoint;
use crate::queue::Error;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// `whoo` in ASCII: tells the file from other SQLite databases (header bytes 68 to 71).
const APPLICATION_ID: i32 = 0x7768_6F6F;
/// The schema's steps; a file's `user_version` says how many it has seen.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/001.sql"),
    include_str!("migrations/002.sql"),
    include_str!("migrations/003.sql"),
    include_str!("migrations/004.sql"),
    include_str!("migrations/005.sql"),
    include_str!("migrations/006.sql"),
    include_str!("migrations/007.sql"),
    include_str!("migrations/008.sql"),
];
/// The step after which deliveries stand in blocks: those of before are carried over.
const BLOCKS: usize = 4;
/// Older ones can lose committed pages when one connection writes while another checkpoints.
const SQLITE_VERSION_MIN: i32 = 3_051_003;
/// How every SQLite database begins.
const MAGIC: &[u8] = b"SQLite format 3\0";
/// Where the header says how the file is to be written and read: 1 with a rollback journal, 2 with a write-ahead log.
const FORMATS: std::ops::Range<usize> = 18..20;
/// How long looking for damage may take. What is not looked at by then is met when it is read.
const CHECK_MAX: Duration = Duration::from_secs(1);
/// How long a lock that another holds is waited for. A process that is being killed, or a child of the owner that
/// has not come to its exec yet, holds it a moment longer than the owner was there.
const LOCK_MAX: Duration = Duration::from_secs(1);
/// How often it is tried meanwhile.
const LOCK_EVERY: Duration = Duration::from_millis(20);
/// How long a connection waits for another process's transaction.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// To write to it; made where there is none.
    Own,
    /// To write to it while another process owns it.
    Share,
    /// To read.
    Read,
}

/// To make a file that only its owner may read: the queue holds rows of the application. What SQLite puts beside
/// a file has the file's permissions.
pub(super) fn private() -> OpenOptions {
    let mut options = File::options();
    options.write(true).mode(0o600);
    options
}

/// Takes the lock that says which process owns a queue. It ends with the file that is returned.
pub(super) fn lock(path: &Path) -> Result<File, Error> {
    let lock = beside(path, ".lock");
    let unusable = |source| Error::Unusable { path: path.to_owned(), source };
    let file = private().create(true).truncate(false).open(lock).map_err(unusable)?;
    let start = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_MAX => std::thread::sleep(LOCK_EVERY),
            Err(TryLockError::WouldBlock) => return Err(Error::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(source)) => return Err(unusable(source)),
        }
    }
}

/// The same, if nobody has it.
pub(super) fn lock_if_free(path: &Path) -> Result<Option<File>, Error> {
    let unusable = |source| Error::Unusable { path: path.to_owned(), source };
    let file = private().create(true).truncate(false).open(beside(path, ".lock")).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(source)) => Err(unusable(source)),
    }
}

/// A path with something appended to its last part.
pub(super) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(suffix);
    path.into()
}

/// Opens a file after looking at it, and brings its schema up to date if it is ours to change.
pub(super) fn open(path: &Path, purpose: Purpose) -> Result<Connection, Error> {
    assert!(
        rusqlite::version_number() >= SQLITE_VERSION_MIN,
        "linked with SQLite {}, which can lose data",
        rusqlite::version()
    );
    let beginning = look_at_beginning(path, purpose)?;
    let damaged = |fault| damaged_or(fault, path, beginning);
    let connection = connect(path, purpose).map_err(damaged)?;
    let tables: i64 = connection
        .query_row("select count(*) from sqlite_schema", [], |row| row.get(0))
        .map_err(|error| damaged(error.into()))?;
    let number = |pragma| -> Result<i32, Error> {
        connection.query_row(pragma, [], |row| row.get(0)).map_err(|error| damaged(error.into()))
    };
    if tables == 0 && purpose != Purpose::Own {
        return Err(Error::Missing { path: path.to_owned() });
    }
    if tables > 0 && number("pragma application_id")? != APPLICATION_ID {
        return Err(Error::Foreign { path: path.to_owned() });
    }
    let version = number("pragma user_version")?;
    let known = MIGRATIONS.len() as i32;
    if version > known {
        return Err(Error::Newer {
            path: path.to_owned(),
            found: version.cast_unsigned(),
            known: known.cast_unsigned(),
        });
    }
    if purpose == Purpose::Own {
        if tables > 0 {
            look_for_damage(&connection, path)?;
        }
        migrate(&connection, version, tables == 0).map_err(|fault| fault.at(path, "make its tables"))?;
    } else if version < known {
        // only its owner may change the schema: whoever has the lock is the owner for that long
        let _lock = lock(path).map_err(|error| match error {
            Error::InUse { path } => Error::Older { path, found: version.cast_unsigned() },
            error => error,
        })?;
        migrate(&connection, number("pragma user_version")?, false)
            .map_err(|fault| fault.at(path, "make its tables"))?;
    }
    let settled = if purpose == Purpose::Read { is_sound(&connection) } else { settle_in(&connection, path) };
    settled.map_err(|fault| fault.at(path, "be opened"))?;
    Ok(connection)
}

/// How a file begins that may be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beginning {
    /// With nothing, or as every SQLite database does.
    Usual,
    /// With what a file system leaves of a page that never reached the disk. Where SQLite was about to write that
    /// page when the power went, its journal is beside the file and undoes it.
    Zeros,
}

/// The file is what it should be: whoever closes it last may write the log into it and remove the log. Until this is
/// said, a connection leaves both as they are, for a file that is refused is somebody's evidence.
pub(super) fn is_sound(connection: &Connection) -> Result<(), Fault> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)?;
    Ok(())
}

/// Looks at the file as a file, for clear words about what SQLite only calls "unable to open".
fn look_at_beginning(path: &Path, purpose: Purpose) -> Result<Beginning, Error> {
    let unusable = |source| Error::Unusable { path: path.to_owned(), source };
    let opened = match purpose {
        Purpose::Own => private().read(true).create(true).truncate(false).open(path),
        Purpose::Share => File::options().read(true).write(true).open(path),
        Purpose::Read => File::open(path),
    };
    let file = match opened {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && purpose != Purpose::Own => {
            return Err(Error::Missing { path: path.to_owned() });
        }
        opened => opened.map_err(unusable)?,
    };
    let mut beginning = Vec::new();
    file.take(FORMATS.end as u64).read_to_end(&mut beginning).map_err(unusable)?;
    let log_bytes = || std::fs::metadata(beside(path, "-wal")).map_or(0, |log| log.len());
    if beginning.is_empty() && log_bytes() > 0 {
        // SQLite would throw the log away
        let reason = "it is empty, and its write-ahead log is not".to_owned();
        return Err(Error::Damaged { path: path.to_owned(), reason });
    }
    if beginning.is_empty() {
        return Ok(Beginning::Usual);
    }
    if beginning.starts_with(MAGIC) {
        // of any other format SQLite believes that it may read it and must not write it
        return match beginning.get(FORMATS) {
            Some(formats) if formats.iter().any(|format| !(1..=2).contains(format)) => {
                let reason = "its header names a file format that there is not".to_owned();
                Err(Error::Damaged { path: path.to_owned(), reason })
            }
            _ => Ok(Beginning::Usual),
        };
    }
    if beginning.iter().all(|&byte| byte == 0) {
        return Ok(Beginning::Zeros);
    }
    Err(Error::Foreign { path: path.to_owned() })
}

fn connect(path: &Path, purpose: Purpose) -> Result<Connection, Fault> {
    // a reader needs to write as well: the index of the write-ahead log is in shared memory
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    connection.busy_timeout(BUSY_MAX)?;
    connection.set_prepared_statement_cache_capacity(128);
    connection.execute_batch(match purpose {
        // until there is a write-ahead log, a commit is the end of a journal's name: that is synced, too
        Purpose::Own | Purpose::Share => {
            "pragma cache_size = -16000; pragma temp_store = memory; pragma synchronous = extra;"
        }
        Purpose::Read => "pragma cache_size = -1000; pragma query_only = on;",
    })?;
    Ok(connection)
}

/// Journal and fsync of a connection that writes: a commit is on disk when it returns.
fn settle_in(connection: &Connection, path: &Path) -> Result<(), Fault> {
    // the switch is written behind the answer: whoever stops at the row does not hear that it failed, and goes on with a
    // journal that a power cut can bring back
    let mut statement = connection.prepare("pragma journal_mode = wal")?;
    let modes: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if modes != ["wal"] {
        let said = format!("SQLite cannot keep a write-ahead log beside it, its journal mode is {modes:?}");
        return Err(Error::Unusable { path: path.to_owned(), source: std::io::Error::other(said) }.into());
    }
    connection.execute_batch(
        "pragma synchronous = full; pragma wal_autocheckpoint = 4000;
         pragma journal_size_limit = 67108864;",
    )?;
    Ok(())
}

fn migrate(connection: &Connection, version: i32, is_new: bool) -> Result<(), Fault> {
    if is_new {
        // has to be said before the first table is made
        connection.execute_batch("pragma auto_vacuum = incremental")?;
    }
    for (number, migration) in MIGRATIONS.iter().enumerate().skip(version.max(0) as usize) {
        failpoint::reach("queue.migrate.before");
        connection.execute_batch(&format!("begin exclusive;\n{migration}"))?;
        if number == BLOCKS {
            former::carry_over(connection)?;
        }
        connection.execute_batch(&format!(
            "pragma application_id = {APPLICATION_ID}; pragma user_version = {}; commit;",
            number + 1
        ))?;
        failpoint::reach("queue.migrate.after");
    }
    Ok(())
}

/// Looks for damage as long as that may take. What is found is looked at once more: a page that a disk could not read
/// just now looks like a damaged one, and is no reason to ask for a backup.
fn look_for_damage(connection: &Connection, path: &Path) -> Result<(), Error> {
    look_once(connection, path).or_else(|_| look_once(connection, path))
}

fn look_once(connection: &Connection, path: &Path) -> Result<(), Error> {
    let interrupt = connection.get_interrupt_handle();
    let (done, is_done) = mpsc::channel::<()>();
    let timer = std::thread::spawn(move || {
        if is_done.recv_timeout(CHECK_MAX) == Err(mpsc::RecvTimeoutError::Timeout) {
            interrupt.interrupt();
        }
    });
    let found = connection.query_row("pragma quick_check(1)", [], |row| row.get::<_, String>(0));
    drop(done);
    timer.join().expect("the timer does not panic");
    match found {
        Ok(found) if found == "ok" => Ok(()),
        Ok(reason) => Err(Error::Damaged { path: path.to_owned(), reason }),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::OperationInterrupted) => Ok(()),
        Err(error) => Err(damaged_or(error.into(), path, Beginning::Usual)),
    }
}

/// The error for what fails before the file is known to be sound.
fn damaged_or(fault: Fault, path: &Path, beginning: Beginning) -> Error {
    match fault {
        Fault::Engine(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            let reason = match beginning {
                // so the rest of its header is broken
                Beginning::Usual => error.to_string(),
                Beginning::Zeros => "it begins with zeros".to_owned(),
            };
            Error::Damaged { path: path.to_owned(), reason }
        }
        fault => fault.at(path, "be opened"),
    }
}
