//! What ends in a transaction: written once for each block that it concerns.

use super::arrived::{self, Arrived};
use super::block::Home;
use super::fault::Fault;
use super::writer::Writer;
use crate::webhook::WebhookId;
use std::collections::{BTreeMap, HashSet};

/// What ended in this transaction.
#[derive(Debug, Default)]
pub(super) struct Ending {
    by_block: BTreeMap<u64, InBlock>,
    /// The claims that were settled: once each.
    settled: HashSet<(WebhookId, u64)>,
    /// What an operator gave up: the index has not heard of it yet.
    given_up: HashSet<(WebhookId, u64)>,
}

#[derive(Debug, Default)]
struct InBlock {
    arrived: Vec<Arrived>,
    /// How many ended otherwise, and have rows that say how.
    others: u32,
}

impl Ending {
    /// Notes that a claim is settled. Returns whether it was not before.
    pub(super) fn settle(&mut self, webhook: WebhookId, sequence: u64) -> bool {
        self.settled.insert((webhook, sequence))
    }

    /// Whether a claim was settled in this transaction.
    pub(super) fn is_settled(&self, webhook: WebhookId, sequence: u64) -> bool {
        self.settled.contains(&(webhook, sequence))
    }

    /// A delivery arrived at the first attempt.
    pub(super) fn arrived(&mut self, home: Home, arrived: Arrived) {
        self.by_block.entry(home.block()).or_default().arrived.push(arrived);
    }

    /// An operator gave a delivery up.
    pub(super) fn give_up(&mut self, block: u64, webhook: WebhookId, sequence: u64) {
        self.given_up.insert((webhook, sequence));
        self.other(block);
    }

    /// Whether an operator gave a delivery up in this transaction.
    pub(super) fn is_given_up(&self, webhook: WebhookId, sequence: u64) -> bool {
        self.given_up.contains(&(webhook, sequence))
    }

    /// A delivery ended, and has a row that says how.
    pub(super) fn other(&mut self, block: u64) {
        self.by_block.entry(block).or_default().others += 1;
    }
}

impl Writer {
    /// Writes what ended so far.
    pub(super) fn store_ending(&mut self) -> Result<(), Fault> {
        let by_block = std::mem::take(&mut self.ending.by_block);
        let now_us = self.now_us();
        for (block, InBlock { arrived, others }) in by_block {
            arrived::store(&self.connection, block, &arrived, others, now_us)?;
        }
        Ok(())
    }
}
