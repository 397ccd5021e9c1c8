//! What a small transaction brings is shown, and may be sent, while it is on its way to the disk.
//!
//! A delivery need not wait for an fsync: the server is told of a position only when the transaction is on disk, so what
//! never gets there comes again, with the same ids. Where that would be more than a rare repeat, nothing is shown early:
//! after a transaction that failed, for the next one may fail, too; and where something else is written beside, which
//! could come in another order the next time. Large transactions gain nothing by it.

use super::index::Effect;
use super::writer::Writer;

/// Up to how many bytes transactions are shown early.
const BYTES_MAX: usize = 64 << 10;

/// Whether and what was shown early.
#[derive(Debug, Default)]
pub(super) struct Early {
    /// The block before what this transaction has shown early.
    shown_after: Option<u64>,
    /// Whether there is a reason against it in this transaction.
    is_forbidden: bool,
    /// Whether the last transaction failed.
    has_failed: bool,
}

impl Early {
    /// A transaction begins.
    pub(super) fn begin(&mut self) {
        (self.shown_after, self.is_forbidden) = (None, false);
    }

    /// Nothing of this transaction is shown early.
    pub(super) fn forbid(&mut self) {
        self.is_forbidden = true;
    }

    /// The transaction is on disk. Returns whether some of it was shown early.
    pub(super) fn end(&mut self) -> bool {
        self.has_failed = false;
        self.shown_after.take().is_some()
    }

    /// The transaction is undone. Returns the block before what it has shown early, if it has.
    pub(super) fn fail(&mut self) -> Option<u64> {
        self.has_failed = true;
        self.shown_after.take()
    }
}

impl Writer {
    /// Shows the deliveries of a transaction that brings so many bytes, and is about to be committed.
    pub(super) fn show_early(&mut self, bytes: usize) {
        let Early { is_forbidden, has_failed, .. } = self.early;
        if !self.owned || is_forbidden || has_failed || self.is_behind || bytes > BYTES_MAX {
            return;
        }
        let first = self.effects.iter().find_map(|effect| match effect {
            Effect::Published(block) => Some(block.id),
            _ => None,
        });
        let is_plain = |effect: &Effect| matches!(effect, Effect::Published(_) | Effect::Settled { .. });
        let Some(first) = first.filter(|_| self.effects.iter().all(is_plain)) else { return };
        let now_us = self.now_us();
        let mut front = self.front.lock();
        // what is read from the file now is what may be undone
        if !front.index.is_whole() {
            return;
        }
        let effects = std::mem::take(&mut self.effects);
        let (published, others): (Vec<_>, Vec<_>) =
            effects.into_iter().partition(|effect| matches!(effect, Effect::Published(_)));
        self.effects = others;
        self.is_behind |= front.follow(published, &self.connection, now_us).is_err();
        drop(front);
        self.early.shown_after = Some(first - 1);
        self.show();
    }
}
