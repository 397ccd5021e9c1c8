//! Copies of a queue.

use super::fault::Fault;
use super::open::{self, Purpose};
use crate::failpoint;
use crate::queue::Error;
use rusqlite::params;
use std::fs::File;
use std::path::Path;

/// Copies a queue to a file that does not exist yet. Writers go on meanwhile, and the copy is the queue as it
/// stood at the beginning; for as long as that takes, the write-ahead log grows by what they write.
pub(super) fn backup(from: &Path, to: &Path) -> Result<(), Error> {
    let unusable = |source| Error::Unusable { path: to.to_owned(), source };
    match open::private().create_new(true).open(to) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::Exists { path: to.to_owned() });
        }
        made => made.map_err(unusable)?,
    };
    failpoint::reach("queue.backup.before");
    let copied = copy(from, to);
    failpoint::reach("queue.backup.after");
    if copied.is_err() {
        // half a copy is worse than none; the error that is told is the one that matters
        drop(std::fs::remove_file(to));
    }
    copied
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let unusable = |source| Error::Unusable { path: to.to_owned(), source };
    let failed = |error: rusqlite::Error| Fault::from(error).at(to, "back up");
    let connection = open::open(from, Purpose::Share)?;
    open::is_sound(&connection).map_err(|fault| fault.at(from, "be opened"))?;
    let name = to.to_str().ok_or_else(|| unusable(std::io::Error::other("its name is not UTF-8")))?;
    connection.execute("vacuum into ?1", params![name]).map_err(failed)?;
    File::open(to).and_then(|file| file.sync_all()).map_err(unusable)?;
    // the file's name is on disk when its directory is
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(directory.unwrap_or(Path::new(".")))
        .and_then(|directory| directory.sync_all())
        .map_err(unusable)
}
