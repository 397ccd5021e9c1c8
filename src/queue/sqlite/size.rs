//! How full the file is, and making room in it.

use super::fault::Fault;
use super::rows::malformed;
use super::writer::Writer;
use crate::observe::Observation;
use crate::queue::Error;
use rusqlite::Connection;

/// How often finished deliveries are purged at once when the queue is full.
const ROOM_STEPS_MAX: usize = 100;
/// What a transaction takes beside what it brings, in bytes, at most.
const BESIDE_BYTES: u64 = 64 << 10;

/// What is known of the file's size without looking: to look costs as much as to write a delivery.
#[derive(Debug, Default)]
pub(super) struct Size {
    /// What it took when somebody looked; nothing before that.
    looked_bytes: Option<u64>,
    /// What it has grown by since, at most.
    since_bytes: u64,
    /// The share of the limit that was told last, in percent.
    told_percent: u8,
}

impl Size {
    /// A transaction brings so much.
    pub(super) fn grows(&mut self, bytes: usize) {
        self.since_bytes = self.since_bytes.saturating_add(2 * bytes as u64 + BESIDE_BYTES);
    }

    /// Whether it is less than three quarters of the limit for sure, also with so much more.
    fn is_far_from(&self, bytes_max: u64, more: u64) -> bool {
        let known = self.looked_bytes.map(|bytes| bytes.saturating_add(self.since_bytes));
        known.is_some_and(|bytes| bytes.saturating_add(2 * more + BESIDE_BYTES) < bytes_max / 4 * 3)
    }
}

impl Writer {
    /// What the file holds, in bytes, without space that can be used again.
    fn used_bytes(&mut self) -> Result<u64, Fault> {
        let bytes = used_bytes(&self.connection)?;
        (self.size.looked_bytes, self.size.since_bytes) = (Some(bytes), 0);
        Ok(bytes)
    }

    /// Tells when a further share of the limit is filled.
    pub(super) fn watch_size(&mut self) -> Result<(), Fault> {
        if self.size.told_percent == 0 && self.size.is_far_from(self.options.bytes_max, 0) {
            return Ok(());
        }
        let percent = self.used_bytes()?.saturating_mul(100) / self.options.bytes_max.max(1);
        let reached = [90, 80].into_iter().find(|&share| percent >= u64::from(share)).unwrap_or(0);
        if reached > self.size.told_percent {
            self.to_tell.push(Observation::QueueFilling { percent: reached });
            self.size.told_percent = reached;
        } else if percent + 5 < u64::from(self.size.told_percent) {
            self.size.told_percent = reached;
        }
        Ok(())
    }

    /// Purges finished deliveries until there is room, or refuses. It begins at three quarters of the limit, so
    /// that what is said of a filling queue is about what waits.
    pub(super) fn make_room(&mut self, bytes: u64) -> Result<(), Fault> {
        let bytes_max = self.options.bytes_max;
        // so does what is on its way already
        let bytes = bytes.saturating_add(self.forming.bytes as u64);
        if self.size.is_far_from(bytes_max, bytes) {
            return Ok(());
        }
        if self.used_bytes()?.saturating_add(bytes) > bytes_max / 4 * 3 {
            self.purge(i64::MAX)?;
        }
        for _ in 0..ROOM_STEPS_MAX {
            if self.used_bytes()?.saturating_add(bytes) <= bytes_max {
                return Ok(());
            }
            if self.purge(i64::MAX)? == 0 {
                break;
            }
        }
        let used_bytes = self.used_bytes()?;
        if used_bytes.saturating_add(bytes) <= bytes_max {
            return Ok(());
        }
        Err(Error::Full { bytes: used_bytes, bytes_max }.into())
    }
}

/// What a file holds, in bytes, without space that can be used again.
pub(super) fn used_bytes(connection: &Connection) -> Result<u64, Fault> {
    let number = |pragma| -> Result<i64, Fault> {
        Ok(connection.prepare_cached(pragma)?.query_row([], |row| row.get(0))?)
    };
    let pages = number("pragma page_count")? - number("pragma freelist_count")?;
    let pages = u64::try_from(pages)
        .map_err(|_| malformed(0, "it says that more of its pages are free than there are".into()))?;
    Ok(pages * number("pragma page_size")?.cast_unsigned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_looks_as_long_as_it_cannot_be_three_quarters() {
        const MIB: u64 = 1 << 20;
        let mut size = Size::default();
        assert!(!size.is_far_from(u64::MAX, 0), "nobody has looked");
        size.looked_bytes = Some(50 * MIB);
        assert!(size.is_far_from(100 * MIB, 12 * MIB));
        assert!(!size.is_far_from(100 * MIB, 13 * MIB));
        size.grows(10 << 20);
        assert!(size.is_far_from(100 * MIB, 2 * MIB) && !size.is_far_from(100 * MIB, 3 * MIB));
        // small transactions count, too
        (0..100).for_each(|_| size.grows(0));
        assert!(!size.is_far_from(100 * MIB, 0));
    }
}
