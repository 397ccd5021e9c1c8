//! Ends of attempts that are in the journal, and go into the database with what comes next.

use crate::delivery::Settled;

/// How long they wait for company, in microseconds, and how many are enough.
const WAIT_US: i64 = 3_000;
const ENOUGH: usize = 512;
/// How long they wait when they could not be written, in microseconds.
const AGAIN_US: i64 = 1_000_000;

/// What waits. It stays here until it is on disk.
#[derive(Debug, Default)]
pub(super) struct Noted {
    pub(super) settled: Vec<Settled>,
    /// By when it is to be written, in microseconds since 1970 UTC.
    due_us: Option<i64>,
}

impl Noted {
    /// Whether nothing of it has to be written yet, with so much more.
    pub(super) fn may_wait(&self, more: usize, now_us: i64) -> bool {
        // the clock may have been set back
        let is_early = |due_us: i64| (1..=AGAIN_US).contains(&due_us.saturating_sub(now_us));
        self.settled.len() + more < ENOUGH && self.due_us.is_none_or(is_early)
    }

    /// By when something has to be written; never, if there is nothing.
    pub(super) fn due_us(&self) -> i64 {
        self.due_us.unwrap_or(i64::MAX)
    }

    /// Lets more of it wait.
    pub(super) fn put_off(&mut self, settled: Vec<Settled>, now_us: i64) {
        self.due_us.get_or_insert(now_us.saturating_add(WAIT_US));
        self.settled.extend(settled);
    }

    /// What could not be written waits longer.
    pub(super) fn try_again(&mut self, now_us: i64) {
        self.due_us = (!self.settled.is_empty()).then(|| now_us.saturating_add(AGAIN_US));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_waits_three_milliseconds_and_a_second_when_the_disk_is_in_trouble() {
        let mut noted = Noted::default();
        assert!(noted.may_wait(511, 0) && !noted.may_wait(512, 0));
        assert_eq!(noted.due_us(), i64::MAX);
        noted.put_off(Vec::new(), 1_000);
        noted.put_off(Vec::new(), 2_000);
        assert_eq!(noted.due_us(), 4_000);
        assert!(noted.may_wait(0, 3_999) && !noted.may_wait(0, 4_000));
        // the clock was set back by an hour
        assert!(!noted.may_wait(0, 4_000 - 3_600_000_000));
        noted.try_again(4_000);
        assert_eq!(noted.due_us(), i64::MAX, "there is nothing");
    }
}
