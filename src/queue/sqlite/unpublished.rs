//! What is in the file, or in memory, and does not count before its transaction is complete.

use super::books::Book;
use super::held::HeldPart;
use super::ranges::append_range;
use crate::delivery::{NewDelivery, NewEvent, State};
use crate::lsn::Lsn;
use crate::queue::SequenceRange;
use crate::webhook::WebhookId;
use std::collections::BTreeMap;

/// What is in the file but does not count yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Unpublished {
    /// Epoch and commit LSN of the last transaction that was enqueued wholly since the start.
    pub(super) last_transaction: Option<(u32, Lsn)>,
    /// The last block that is written.
    pub(super) last_block: u64,
    pub(super) last_quarantine: i64,
    pub(super) last_held_event: i64,
    pub(super) parts: BTreeMap<WebhookId, Part>,
}

impl Unpublished {
    /// A webhook's share of it.
    pub(super) fn part(&mut self, webhook: WebhookId, book: &Book) -> &mut Part {
        self.parts.entry(webhook).or_insert_with(|| Part::new(book))
    }
}

/// A webhook's share of it.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) next_sequence: u64,
    pub(super) pending: u64,
    pub(super) pending_bytes: u64,
    pub(super) dead: u64,
    pub(super) dropped: u64,
    /// What was kept without body.
    pub(super) ranges: Vec<SequenceRange>,
    pub(super) overflowing: bool,
    /// Whether the backlog went over its limit here.
    pub(super) overflowed: bool,
    /// What is held.
    pub(super) held: HeldPart,
}

impl Part {
    fn new(book: &Book) -> Self {
        Self {
            next_sequence: book.next_sequence,
            pending: 0,
            pending_bytes: 0,
            dead: 0,
            dropped: 0,
            ranges: Vec::new(),
            overflowing: book.overflowing,
            overflowed: false,
            held: HeldPart::new(book),
        }
    }

    /// Whether a delivery or a held event has to go without its body, and as what.
    pub(super) fn turns_away(&mut self, book: &Book, bytes: u64) -> Option<State> {
        if book.deleted {
            return Some(State::Dropped);
        }
        let backlog_bytes = book.backlog_bytes() + self.pending_bytes + self.held.bytes;
        // once over, it stays over until an eighth is free, so that there are few ranges and not many
        let limit = if self.overflowing {
            book.backlog_bytes_max - book.backlog_bytes_max / 8
        } else {
            book.backlog_bytes_max
        };
        let over = backlog_bytes.saturating_add(bytes) > limit;
        self.overflowed |= over && !self.overflowing;
        self.overflowing = over;
        over.then_some(State::Dead)
    }

    /// Counts a delivery that is kept without its body.
    pub(super) fn turn_away(&mut self, event: &NewEvent, delivery: &NewDelivery, state: State) {
        match state {
            State::Dead => self.dead += 1,
            _ => self.dropped += 1,
        }
        append_range(
            &mut self.ranges,
            SequenceRange {
                webhook: delivery.webhook,
                first: delivery.sequence,
                last: delivery.sequence,
                state,
                from: Some(event.position),
                to: Some(event.position),
            },
        );
    }
}
