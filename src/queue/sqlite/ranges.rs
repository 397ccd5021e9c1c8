//! Ranges: sequence numbers that stand for deliveries without bodies, as few rows as possible.

use super::fault::Fault;
use super::rows::{range_of, sql, state_code};
use super::writer::Writer;
use crate::queue::SequenceRange;
use rusqlite::{OptionalExtension, params};

/// Appends a range to others in order, as part of the last one where it goes on.
pub(super) fn append_range(ranges: &mut Vec<SequenceRange>, range: SequenceRange) {
    match ranges.last_mut() {
        Some(last) if joins(last, &range) => {
            last.last = range.last;
            last.to = range.to;
        }
        _ => ranges.push(range),
    }
}

/// Whether the second goes on where the first ends.
fn joins(one: &SequenceRange, next: &SequenceRange) -> bool {
    one.webhook == next.webhook && one.state == next.state && one.last + 1 == next.first
}

impl Writer {
    /// Stores a range, as part of its neighbours where it joins them.
    pub(super) fn merge_range(&mut self, range: &SequenceRange) -> Result<(), Fault> {
        let webhook = range.webhook.0.cast_signed();
        let mut merged = range.clone();
        let before = self
            .connection
            .prepare_cached(sql!("range_before"))?
            .query_row(params![webhook, range.first.cast_signed()], range_of)
            .optional()?;
        if let Some(before) = before.filter(|before| joins(before, range)) {
            (merged.first, merged.from) = (before.first, before.from);
        }
        let after = self
            .connection
            .prepare_cached(sql!("range_at"))?
            .query_row(params![webhook, (range.last + 1).cast_signed()], range_of)
            .optional()?;
        if let Some(after) = after.filter(|after| joins(range, after)) {
            (merged.last, merged.to) = (after.last, after.to);
            self.connection
                .prepare_cached(sql!("delete_range"))?
                .execute(params![webhook, after.first.cast_signed()])?;
        }
        self.store_range(&merged)
    }

    /// Stores a range in the place of the one that begins there.
    pub(super) fn store_range(&self, range: &SequenceRange) -> Result<(), Fault> {
        let epoch = |position: Option<crate::lsn::Position>| position.map(|position| position.epoch);
        let lsn = |position: Option<crate::lsn::Position>| {
            position.map(|position| position.commit_lsn.0.cast_signed())
        };
        let ordinal =
            |position: Option<crate::lsn::Position>| position.map(|position| position.ordinal.cast_signed());
        self.connection.prepare_cached(sql!("insert_range"))?.execute(params![
            range.webhook.0.cast_signed(),
            range.first.cast_signed(),
            range.last.cast_signed(),
            state_code(range.state),
            epoch(range.from),
            lsn(range.from),
            ordinal(range.from),
            epoch(range.to),
            lsn(range.to),
            ordinal(range.to),
        ])?;
        Ok(())
    }
}
