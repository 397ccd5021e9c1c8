//! What is going to fail, and what has been done so far.

use super::file::FailedSync;
use crate::proof::random::Random;
use rusqlite::ffi;
use std::collections::{BTreeSet, VecDeque};
use std::fmt;

/// How many lines of the trace are kept.
const TRACE_MAX: usize = 50_000;

/// A kind of operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Open,
    Read,
    Write,
    Truncate,
    Sync,
    Delete,
}

impl Kind {
    /// SQLite's code for one that failed.
    pub fn failed(self) -> i32 {
        match self {
            Self::Open => ffi::SQLITE_CANTOPEN,
            Self::Read => ffi::SQLITE_IOERR_READ,
            Self::Write => ffi::SQLITE_IOERR_WRITE,
            Self::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
            Self::Sync => ffi::SQLITE_IOERR_FSYNC,
            Self::Delete => ffi::SQLITE_IOERR_DELETE,
        }
    }
}

/// On which side of an operation the power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// It never reached the kernel.
    Before,
    /// The kernel had done it, and nobody was told.
    After,
}

/// How often what was done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub opens: u64,
    pub reads: u64,
    pub writes: u64,
    pub truncates: u64,
    pub syncs: u64,
    pub deletes: u64,
    /// How often something was changed or made durable: writes, truncates, syncs, deletes, and files made. It is
    /// what `crash_at` counts by.
    pub changes: u64,
}

impl Counts {
    /// How often operations of a kind were tried.
    pub fn of(&self, kind: Kind) -> u64 {
        match kind {
            Kind::Open => self.opens,
            Kind::Read => self.reads,
            Kind::Write => self.writes,
            Kind::Truncate => self.truncates,
            Kind::Sync => self.syncs,
            Kind::Delete => self.deletes,
        }
    }

    pub(super) fn count(&mut self, kind: Kind) {
        *match kind {
            Kind::Open => &mut self.opens,
            Kind::Read => &mut self.reads,
            Kind::Write => &mut self.writes,
            Kind::Truncate => &mut self.truncates,
            Kind::Sync => &mut self.syncs,
            Kind::Delete => &mut self.deletes,
        } += 1;
    }
}

/// What is going to fail.
#[derive(Debug, Default)]
pub struct Faults {
    /// The numbers of single operations that fail.
    pub single: BTreeSet<(Kind, u64)>,
    /// How many in a hundred fail.
    pub percent: Vec<(Kind, u64)>,
    /// Reads that come back with less than there is.
    pub short_read_percent: u64,
    /// How many bytes all files may have together.
    pub room: Option<usize>,
    pub read_only: bool,
    pub lies_about_sync: bool,
    pub failed_sync: FailedSync,
    /// Syncs take until this is over.
    pub holds_syncs: bool,
    pub crash_at: Option<(u64, Moment)>,
}

impl Faults {
    /// Whether the operation of a kind with that number fails.
    pub fn strikes(&mut self, kind: Kind, number: u64, random: &mut Random) -> bool {
        self.single.remove(&(kind, number))
            || self.percent.iter().any(|&(of, percent)| of == kind && random.percent(percent))
    }
}

/// What was done, as lines of text.
#[derive(Debug, Default)]
pub struct Trace(Option<VecDeque<String>>);

impl Trace {
    pub fn start(&mut self) {
        self.0.get_or_insert_default();
    }

    pub fn tell(&mut self, line: fmt::Arguments<'_>) {
        if let Some(lines) = &mut self.0 {
            if lines.len() == TRACE_MAX {
                lines.pop_front();
            }
            lines.push_back(line.to_string());
        }
    }

    pub fn lines(&self) -> Vec<String> {
        self.0.iter().flatten().cloned().collect()
    }
}
