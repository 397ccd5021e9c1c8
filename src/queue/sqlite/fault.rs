//! What goes wrong inside, before it is known which of the queue's files and actions it concerns.

use crate::queue::Error;
use rusqlite::ErrorCode;
use std::path::Path;
use std::sync::Arc;

/// Trouble of the engine, or something that is said as it is.
#[derive(Debug)]
pub(super) enum Fault {
    /// SQLite's.
    Engine(rusqlite::Error),
    /// Ours.
    Said(Error),
}

impl From<rusqlite::Error> for Fault {
    fn from(error: rusqlite::Error) -> Self {
        Self::Engine(error)
    }
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Said(error)
    }
}

impl Fault {
    /// A contradiction.
    pub(super) fn bug(reason: String) -> Self {
        Self::Said(Error::Bug { reason })
    }

    /// The queue's error for what was tried.
    pub(super) fn at(self, path: &Path, action: &'static str) -> Error {
        let error = match self {
            Self::Said(error) => return error,
            Self::Engine(error) => error,
        };
        let path = path.to_owned();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Error::DiskFull { path },
            Some(ErrorCode::DatabaseCorrupt) => Error::Damaged { path, reason: error.to_string() },
            Some(ErrorCode::NotADatabase) => Error::Foreign { path },
            _ if is_of_the_file(&error) => Error::Damaged { path, reason: error.to_string() },
            _ => Error::Storage { action, source: Box::new(error) },
        }
    }
}

/// Whether the engine is well and the file is not what the statements were written for: a table or a column is missing
/// or another one, a row is missing, a value is none that was ever written.
fn is_of_the_file(error: &rusqlite::Error) -> bool {
    match error {
        rusqlite::Error::SqlInputError { .. }
        | rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::IntegralValueOutOfRange(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::QueryReturnedNoRows => true,
        error => error.sqlite_error().is_some_and(|error| error.extended_code == rusqlite::ffi::SQLITE_ERROR),
    }
}

/// The error of a change that was undone because another one in its transaction, or the commit, failed.
pub(super) fn undone_with(cause: &Arc<Error>, action: &'static str) -> Error {
    match &**cause {
        Error::DiskFull { path } => Error::DiskFull { path: path.clone() },
        Error::Damaged { path, reason } => Error::Damaged { path: path.clone(), reason: reason.clone() },
        _ => Error::Storage { action, source: Box::new(Arc::clone(cause)) },
    }
}
