//! Staging: row changes of a transaction that is too large for memory, in a file of their own beside the queue.
//!
//! Nothing here outlives the process, so nothing waits for the disk, and the queue's own file neither grows nor
//! is written for it.

use super::fault::Fault;
use super::open::private;
use super::rows::{decode_change, encode_change, malformed, sql};
use crate::failpoint;
use crate::queue::{Error, StagedChange, StagedEntry};
use rusqlite::{Connection, OptionalExtension, params};
use std::path::{Path, PathBuf};

/// The staging file, open once something was staged.
#[derive(Debug)]
pub(super) struct Staging {
    /// None where nothing may be staged.
    path: Option<PathBuf>,
    connection: Option<Connection>,
}

impl Staging {
    /// Beside a queue; what another process left there is removed.
    pub(super) fn beside(queue: &Path) -> Self {
        let mut path = queue.as_os_str().to_owned();
        path.push(".staging");
        let mut staging = Self { path: Some(path.into()), connection: None };
        staging.clear();
        staging
    }

    /// For a command, which stages nothing: the file belongs to the owner of the queue.
    pub(super) fn refused() -> Self {
        Self { path: None, connection: None }
    }

    /// Throws everything away.
    pub(super) fn clear(&mut self) {
        self.connection = None;
        // usually there is none; one that cannot be removed is opened, emptied or reported by the next `stage`
        if let Some(path) = &self.path {
            drop(std::fs::remove_file(path));
        }
    }

    /// Puts changes there.
    pub(super) fn stage(&mut self, changes: &[StagedChange]) -> Result<(), Fault> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(open(self.path.as_deref())?),
        };
        let transaction = connection.transaction()?;
        {
            let mut find = transaction.prepare_cached(sql!("staged_entry"))?;
            let mut insert = transaction.prepare_cached(sql!("stage"))?;
            let mut bytes = Vec::new();
            for change in changes {
                let ordinal = change.ordinal.cast_signed();
                let entry: i64 =
                    find.query_row(params![change.form, change.key, ordinal], |row| row.get(0))?;
                bytes.clear();
                encode_change(&change.change, &mut bytes);
                insert.execute(params![entry, ordinal, change.reading, bytes])?;
            }
        }
        failpoint::reach("queue.stage.before");
        transaction.commit()?;
        failpoint::reach("queue.stage.after");
        Ok(())
    }

    /// Whole entries in the order of their first changes, those after an ordinal, about `bytes_max` of them.
    pub(super) fn staged(&self, after: Option<u64>, bytes_max: usize) -> Result<Vec<StagedEntry>, Fault> {
        let Some(connection) = &self.connection else { return Ok(Vec::new()) };
        let mut entries: Vec<StagedEntry> = Vec::new();
        let mut bytes = 0;
        let (mut first, mut entry) = (after.map_or(-1, u64::cast_signed), i64::MAX);
        loop {
            let next: Option<(i64, i64, u32, Vec<u8>)> = connection
                .prepare_cached(sql!("staged_next"))?
                .query_row(params![first, entry], |row| {
                    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
                })
                .optional()?;
            let Some((next_first, next_entry, form, key)) = next else { break };
            // entries of several forms may begin with one change: they come together, for `after` cannot tell
            // them apart
            if bytes >= bytes_max && next_first != first {
                break;
            }
            (first, entry) = (next_first, next_entry);
            let changes = read_entry(connection, entry, form, &key)?;
            bytes += changes.iter().map(|change| change.change.footprint_bytes()).sum::<usize>().max(1);
            entries.push(StagedEntry { first: first.cast_unsigned(), changes });
        }
        Ok(entries)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.connection.is_some() {
            self.clear();
        }
    }
}

fn open(path: Option<&Path>) -> Result<Connection, Fault> {
    let Some(path) = path else {
        let source = "it was opened for a command beside its owner".into();
        return Err(Error::Storage { action: "stage", source }.into());
    };
    private()
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(|error| Error::Storage { action: "stage", source: error.into() })?;
    let connection = Connection::open(path)?;
    connection.execute_batch(sql!("staging"))?;
    Ok(connection)
}

fn read_entry(
    connection: &Connection,
    entry: i64,
    form: u32,
    key: &[u8],
) -> Result<Vec<StagedChange>, Fault> {
    let mut statement = connection.prepare_cached(sql!("staged"))?;
    let changes = statement.query_map(params![entry], |row| {
        let bytes: Vec<u8> = row.get(2)?;
        Ok(StagedChange {
            ordinal: row.get::<_, i64>(0)?.cast_unsigned(),
            form,
            key: key.to_vec(),
            reading: row.get(1)?,
            change: decode_change(&bytes)
                .ok_or_else(|| malformed(2, "a staged row change is damaged".into()))?,
        })
    })?;
    Ok(changes.collect::<Result<_, _>>()?)
}
