//! What stays in the file: deliveries for which memory has no room. What comes later may overtake them, if nothing of
//! its entry is among them.

use super::ages::is_young;
use super::lanes::Arrival;
use crate::form::Lane;
use crate::webhook::WebhookId;
use std::collections::{BTreeMap, HashMap, HashSet};

/// The first delivery of a webhook that is not in the index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Beyond {
    pub(super) block: u64,
    pub(super) sequence: u64,
}

/// All webhooks with deliveries that stay in the file.
#[derive(Debug, Default)]
pub(super) struct InFile {
    first: BTreeMap<WebhookId, Beyond>,
    lanes: LaneFilter,
    /// The deliveries that have overtaken those, and are not finished.
    ahead: HashSet<(WebhookId, u64)>,
    /// When something of a webhook arrived last.
    arrived_at_us: HashMap<WebhookId, i64>,
}

impl InFile {
    /// From which delivery on a webhook's stay in the file; none if all are in the index.
    pub(super) fn first(&self, webhook: WebhookId) -> Option<Beyond> {
        self.first.get(&webhook).copied()
    }

    /// Whether all deliveries are in the index.
    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// The webhooks that have some.
    pub(super) fn iter(&self) -> impl Iterator<Item = (WebhookId, Beyond)> {
        self.first.iter().map(|(&webhook, &beyond)| (webhook, beyond))
    }

    /// A delivery stays in the file, and with it those that come after it unless they may overtake it.
    pub(super) fn add(&mut self, webhook: WebhookId, arrival: &Arrival<'_>) {
        let Arrival { home, sequence, lane, .. } = *arrival;
        self.first.entry(webhook).or_insert(Beyond { block: home.block(), sequence });
        self.lanes.add(webhook, lane);
    }

    /// The deliveries of a webhook are about to be read.
    pub(super) fn take(&mut self, webhook: WebhookId) {
        self.first.remove(&webhook);
    }

    /// What was taken is read, as far as there was room.
    pub(super) fn forget_what_was_read(&mut self) {
        if self.first.is_empty() {
            (self.lanes, self.arrived_at_us) = (LaneFilter::default(), HashMap::new());
        }
        self.ahead.retain(|(webhook, _)| self.first.contains_key(webhook));
    }

    /// Whether a delivery that comes now may overtake what stays in the file: something of its webhook arrived within
    /// the last second, not too many have overtaken, and nothing that it has to wait for is there.
    pub(super) fn may_be_overtaken(
        &self,
        webhook: WebhookId,
        arrival: &Arrival<'_>,
        ahead_max: usize,
        now_us: i64,
    ) -> bool {
        let is_served = self.arrived_at_us.get(&webhook).is_some_and(|&at_us| is_young(at_us, now_us));
        let mut lanes = std::iter::once(arrival.lane).chain(arrival.behind.iter().copied());
        is_served && self.ahead.len() < ahead_max && !lanes.any(|lane| self.lanes.may_have(webhook, lane))
    }

    /// A delivery is in the index although it stays in the file, too.
    pub(super) fn overtake(&mut self, webhook: WebhookId, sequence: u64) {
        self.ahead.insert((webhook, sequence));
    }

    /// Whether it is.
    pub(super) fn is_ahead(&self, webhook: WebhookId, sequence: u64) -> bool {
        self.ahead.contains(&(webhook, sequence))
    }

    /// Whether a delivery is in the file only.
    pub(super) fn has(&self, webhook: WebhookId, sequence: u64) -> bool {
        self.first(webhook).is_some_and(|beyond| sequence >= beyond.sequence)
            && !self.is_ahead(webhook, sequence)
    }

    /// A delivery left the index.
    pub(super) fn ended(&mut self, webhook: WebhookId, sequence: u64) {
        self.ahead.remove(&(webhook, sequence));
    }

    /// Something of a webhook arrived.
    pub(super) fn arrived(&mut self, webhook: WebhookId, now_us: i64) {
        if !self.first.is_empty() {
            self.arrived_at_us.insert(webhook, now_us);
        }
    }
}

/// Which lanes have something in the file: a Bloom filter, which may say yes of one that has not, and keeps its size.
#[derive(Debug, Default)]
struct LaneFilter {
    /// Nothing as long as nothing was added.
    words: Vec<u64>,
}

impl LaneFilter {
    /// 2 MiB: of a million lanes, one in 400 others is taken for one of them.
    const WORDS: usize = 1 << 18;
    /// How many bits stand for a lane.
    const BITS_EACH: u64 = 4;

    fn add(&mut self, webhook: WebhookId, lane: Lane) {
        self.words.resize(Self::WORDS, 0);
        for (word, bit) in Self::bits(webhook, lane) {
            self.words[word] |= bit;
        }
    }

    fn may_have(&self, webhook: WebhookId, lane: Lane) -> bool {
        !self.words.is_empty() && Self::bits(webhook, lane).all(|(word, bit)| self.words[word] & bit != 0)
    }

    /// The bits of a lane: by double hashing (Kirsch and Mitzenmacher, 2006) of a hash that is mixed once more.
    fn bits(webhook: WebhookId, lane: Lane) -> impl Iterator<Item = (usize, u64)> {
        let mixed = (lane.0 ^ webhook.0.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let mixed = (mixed ^ mixed >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let (first, step) = (mixed & 0xffff_ffff, mixed >> 32 | 1);
        (0..Self::BITS_EACH).map(move |number| {
            let bit = first.wrapping_add(number.wrapping_mul(step));
            ((bit >> 6) as usize % Self::WORDS, 1 << (bit & 63))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_knows_its_lanes_and_few_others() {
        let mut filter = LaneFilter::default();
        let lane = |number: u64| Lane(number.wrapping_mul(0x0000_0100_0000_01b3));
        assert!(!filter.may_have(WebhookId(1), lane(1)));
        (0..1_000_000).for_each(|number| filter.add(WebhookId(1), lane(number)));
        assert!((0..1_000_000).all(|number| filter.may_have(WebhookId(1), lane(number))));
        let others = (1_000_000..1_100_000).filter(|&number| filter.may_have(WebhookId(1), lane(number)));
        assert!(others.count() < 500);
        let others = (0..100_000).filter(|&number| filter.may_have(WebhookId(2), lane(number)));
        assert!(others.count() < 500);
    }
}
