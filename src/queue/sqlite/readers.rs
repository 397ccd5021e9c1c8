//! The connections that read: a few, opened when they are needed, and kept.

use super::fault::Fault;
use super::open::{self, Purpose};
use crate::queue::Error;
use rusqlite::Connection;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{Semaphore, SemaphorePermit};

/// How many read at once.
const READERS_MAX: usize = 3;

/// Those that are not in use.
pub(super) struct Readers {
    path: Arc<Path>,
    permits: Semaphore,
    idle: Mutex<Vec<Connection>>,
}

impl Readers {
    pub(super) fn of(path: &Arc<Path>) -> Self {
        Self { path: Arc::clone(path), permits: Semaphore::new(READERS_MAX), idle: Mutex::new(Vec::new()) }
    }

    /// Waits until one may read; it may for as long as the permit is kept.
    pub(super) async fn permit(&self) -> Result<SemaphorePermit<'_>, Error> {
        self.permits.acquire().await.map_err(|_| Error::Closed)
    }

    /// Reads; whoever does has a permit. A connection that failed is not used again.
    pub(super) fn read<T>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault>,
    ) -> Result<T, Error> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open::open(&self.path, Purpose::Read)?,
        };
        let result = work(&connection).map_err(|fault| fault.at(&self.path, action));
        if result.is_ok() {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
        }
        result
    }
}
