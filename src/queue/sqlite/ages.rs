//! When blocks came: which of what waits is young. A delivery that came within the last second need not wait for those
//! that are late already.

use std::collections::VecDeque;

/// For how long what came is young, in microseconds.
const YOUNG_US: i64 = 1_000_000;
/// Within so many microseconds one time stands for all.
const APART_US: i64 = 100_000;

/// When blocks came that came lately, near enough.
#[derive(Debug, Default)]
pub(super) struct Ages {
    /// Blocks, each with the time at which it came; those before the next one came a little later.
    came: VecDeque<(u64, i64)>,
}

impl Ages {
    /// A block came; those that came before it have lower numbers.
    pub(super) fn note(&mut self, block: u64, now_us: i64) {
        match self.came.back() {
            // the clock was set back: the times of before mean nothing
            Some(&(_, at_us)) if now_us < at_us => self.came.clear(),
            Some(&(_, at_us)) if now_us < at_us + APART_US => return,
            _ => {}
        }
        self.came.push_back((block, now_us));
        while self.came.front().is_some_and(|&(_, at_us)| !is_young(at_us, now_us)) {
            self.came.pop_front();
        }
    }

    /// The first block that is young: those with higher numbers are, too.
    pub(super) fn young_from(&self, now_us: i64) -> u64 {
        self.came.iter().find(|&&(_, at_us)| is_young(at_us, now_us)).map_or(u64::MAX, |&(block, _)| block)
    }
}

/// Whether what was at that time was within the last second.
pub(super) fn is_young(at_us: i64, now_us: i64) -> bool {
    now_us < at_us.saturating_add(YOUNG_US)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_within_the_last_second_is_young() {
        let mut ages = Ages::default();
        assert_eq!(ages.young_from(0), u64::MAX);
        for (block, at_us) in [(5, 0), (6, 50_000), (7, 100_000), (8, 900_000), (9, 950_000)] {
            ages.note(block, at_us);
        }
        assert_eq!(ages.young_from(999_999), 5);
        assert_eq!(ages.young_from(1_000_000), 7);
        assert_eq!(ages.young_from(1_100_000), 8);
        assert_eq!(ages.young_from(1_899_999), 8);
        assert_eq!(ages.young_from(1_900_000), u64::MAX);
        ages.note(10, 1_900_000);
        assert_eq!(ages.came.len(), 1);
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_young_for_long() {
        let mut ages = Ages::default();
        ages.note(5, 100_000_000);
        ages.note(6, 1_000_000);
        assert_eq!(ages.young_from(1_000_000), 6);
        assert_eq!(ages.young_from(2_000_000), u64::MAX);
    }
}
