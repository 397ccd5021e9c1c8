//! Places in the write-ahead log.

use std::fmt;
use std::str::FromStr;

/// A byte position in PostgreSQL's write-ahead log, written `16/B374D848` as the server writes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before everything; PostgreSQL's `InvalidXLogRecPtr`.
    pub const ZERO: Self = Self(0);
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

/// The text was not an LSN.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an LSN such as 16/B374D848")]
pub struct NotAnLsn(String);

impl FromStr for Lsn {
    type Err = NotAnLsn;

    fn from_str(text: &str) -> Result<Self, NotAnLsn> {
        let parsed = text.split_once('/').and_then(|(high, low)| {
            let high = u32::from_str_radix(high, 16).ok()?;
            let low = u32::from_str_radix(low, 16).ok()?;
            Some(Self(u64::from(high) << 32 | u64::from(low)))
        });
        parsed.ok_or_else(|| NotAnLsn(text.to_owned()))
    }
}

/// The address of a row change, and with it the order of everything.
///
/// Within one epoch, commit LSNs order the transactions and ordinals the row changes inside one. An epoch
/// ends where an operator accepted a gap: LSNs of two epochs need not be comparable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Counts accepted gaps.
    pub epoch: u32,
    /// The LSN of the transaction's commit record.
    pub commit_lsn: Lsn,
    /// The row change's number in the transaction as decoded, counted before any filtering, from 0.
    pub ordinal: u64,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.epoch, self.commit_lsn, self.ordinal)
    }
}

/// How far capture has come: every transaction up to `commit_lsn` is dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Progress {
    /// The commit LSN of the last transaction dealt with that had row changes. On resuming, transactions at or below
    /// are dropped.
    pub commit_lsn: Lsn,
    /// What may be confirmed to the server: the end of that transaction or a later one without changes, or an
    /// idle position.
    pub end_lsn: Lsn,
}

/// Proof that the queue holds everything up to an LSN durably, and so the only thing that a source accepts
/// for confirmation.
///
/// Only a queue backend makes one, and only after its fsync has returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Durable(Lsn);

impl Durable {
    /// For queue backends, after the commit that stored `progress` has reached the disk.
    pub fn after_commit(progress: Progress) -> Self {
        Self(progress.end_lsn)
    }

    /// The LSN up to which nothing is needed from the server any more.
    pub fn end_lsn(self) -> Lsn {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_lsn_is_written_as_the_server_writes_it() {
        for (number, text) in [(0, "0/0"), (0x16_B374_D848, "16/B374D848"), (u64::MAX, "FFFFFFFF/FFFFFFFF")] {
            assert_eq!(Lsn(number).to_string(), text);
            assert_eq!(text.parse(), Ok(Lsn(number)));
        }
        for text in ["", "/", "1", "1/", "G/0", "1/123456789", "-1/0"] {
            assert_eq!(text.parse::<Lsn>(), Err(NotAnLsn(text.to_owned())));
        }
    }
}
