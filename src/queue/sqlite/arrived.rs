//! Deliveries that arrived at the first attempt: written by the list, for they are nearly all.

use super::fault::Fault;
use super::rows::{malformed, sql};
use crate::delivery::{Attempt, Outcome};
use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A delivery that arrived at the first attempt.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Arrived {
    /// Its place in its block.
    pub(super) place: u32,
    started_at_us: i64,
    duration_us: u64,
    status: u16,
    retry_after_s: Option<u64>,
    excerpt: String,
}

impl Arrived {
    /// None if the attempt is not a first one that was answered.
    pub(super) fn new(place: u32, attempt: &Attempt) -> Option<Self> {
        let Outcome::Answered { status, retry_after, excerpt } = &attempt.outcome else { return None };
        (attempt.number == 1).then(|| Self {
            place,
            started_at_us: attempt.started_at_us,
            duration_us: u64::try_from(attempt.duration.as_micros()).unwrap_or(u64::MAX),
            status: *status,
            retry_after_s: retry_after.map(|pause| pause.as_secs()),
            excerpt: excerpt.clone(),
        })
    }

    /// The attempt.
    pub(super) fn attempt(&self) -> Attempt {
        Attempt {
            number: 1,
            started_at_us: self.started_at_us,
            duration: Duration::from_micros(self.duration_us),
            outcome: Outcome::Answered {
                status: self.status,
                retry_after: self.retry_after_s.map(Duration::from_secs),
                excerpt: self.excerpt.clone(),
            },
        }
    }
}

/// Writes that deliveries of a block have ended: those that arrived, and `others`.
pub(super) fn store(
    connection: &Connection,
    block: u64,
    arrived: &[Arrived],
    others: u32,
    now_us: i64,
) -> Result<(), Fault> {
    let ended = arrived.len() as i64 + i64::from(others);
    let part: i64 = connection
        .prepare_cached(sql!("end_in_block"))?
        .query_row(params![block.cast_signed(), ended, now_us], |row| row.get(0))?;
    store_rest(connection, block, arrived, part)
}

/// Writes a list of a block; so many of it have ended with that.
pub(super) fn store_rest(
    connection: &Connection,
    block: u64,
    arrived: &[Arrived],
    part: i64,
) -> Result<(), Fault> {
    if arrived.is_empty() {
        return Ok(());
    }
    let list = postcard::to_stdvec(arrived).expect("memory takes what is written to it");
    connection.prepare_cached(sql!("insert_arrived"))?.execute(params![block.cast_signed(), part, list])?;
    Ok(())
}

/// All of a block.
pub(super) fn lists(connection: &Connection, block: u64) -> Result<Vec<Arrived>, Fault> {
    let mut statement = connection.prepare_cached(sql!("arrived"))?;
    let mut rows = statement.query(params![block.cast_signed()])?;
    let mut all = Vec::new();
    while let Some(row) = rows.next()? {
        let list = row.get_ref(0)?.as_blob().map_err(|error| malformed(0, error.to_string()))?;
        all.extend(read_list(block, list)?);
    }
    Ok(all)
}

/// A list as it is stored.
pub(super) fn read_list(block: u64, list: &[u8]) -> Result<Vec<Arrived>, Fault> {
    let list = postcard::from_bytes(list)
        .map_err(|error| malformed(0, format!("a list of block {block} cannot be read: {error}")))?;
    Ok(list)
}
