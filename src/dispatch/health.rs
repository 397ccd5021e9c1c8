//! Whether an endpoint lives: the books that turn a dead one from being hammered into being probed.

use crate::form::Lane;
use crate::retry::Meaning;
use std::time::Duration;
use tokio::time::Instant;

/// How many failures in a row make an endpoint a dead one,
const FAILURES: u32 = 10;
/// if they come from so many entries at least: fewer may be entries that the endpoint cannot digest.
const LANES: usize = 5;

/// The pause before the first probe; it doubles with every probe that fails.
const PROBE_PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause between two probes.
const PROBE_PAUSE_MAX: Duration = Duration::from_secs(30);

/// An endpoint's health, by the attempts that were made.
#[derive(Clone, Debug, Default)]
pub(super) struct Health {
    failures: u32,
    /// Distinct lanes of these failures, no more than are needed.
    lanes: Vec<Lane>,
    probing: Option<Probing>,
}

#[derive(Clone, Copy, Debug)]
struct Probing {
    pause: Duration,
    next: Instant,
}

/// How an attempt changed an endpoint's health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// From now on it is probed.
    Died,
    /// It answers again.
    Recovered,
}

impl Health {
    /// Whether only one attempt at a time may be made, and none before its time.
    pub(super) fn is_probed(&self) -> bool {
        self.probing.is_some()
    }

    /// How many failures there were in a row.
    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    /// When the next probe may start; none if it may now.
    pub(super) fn opens_at(&self, now: Instant) -> Option<Instant> {
        self.probing.map(|probing| probing.next).filter(|next| *next > now)
    }

    /// An attempt has ended. A final refusal says nothing of the endpoint's health: it lives, but whether it
    /// works is not known.
    pub(super) fn learn(
        &mut self,
        meaning: Meaning,
        lane: Lane,
        was_probe: bool,
        now: Instant,
    ) -> Option<Turn> {
        match meaning {
            Meaning::Success => {
                let was_probed = std::mem::take(self).is_probed();
                was_probed.then_some(Turn::Recovered)
            }
            Meaning::Final | Meaning::Gone => {
                if let Some(probing) = self.probing.as_mut().filter(|_| was_probe) {
                    probing.next = now + probing.pause;
                }
                None
            }
            Meaning::Passing => {
                self.failures = self.failures.saturating_add(1);
                if self.lanes.len() < LANES && !self.lanes.contains(&lane) {
                    self.lanes.push(lane);
                }
                match &mut self.probing {
                    Some(probing) if was_probe => {
                        probing.pause = (probing.pause * 2).min(PROBE_PAUSE_MAX);
                        probing.next = now + probing.pause;
                        None
                    }
                    // attempts that were under way when it died tell nothing new
                    Some(_) => None,
                    None if self.failures >= FAILURES && self.lanes.len() >= LANES => {
                        self.probing = Some(Probing { pause: PROBE_PAUSE_MIN, next: now + PROBE_PAUSE_MIN });
                        Some(Turn::Died)
                    }
                    None => None,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(begin: Instant, seconds: u64) -> Instant {
        begin + Duration::from_secs(seconds)
    }

    fn dead(begin: Instant) -> Health {
        let mut health = Health::default();
        for number in 0..10 {
            health.learn(Meaning::Passing, Lane(number), false, begin);
        }
        assert!(health.is_probed());
        health
    }

    /// Failures of these lanes: does the endpoint count as dead?
    #[track_caller]
    fn check(lanes: &[u64], expected: bool) {
        let mut health = Health::default();
        let turns = lanes
            .iter()
            .filter_map(|lane| health.learn(Meaning::Passing, Lane(*lane), false, Instant::now()));
        assert_eq!(turns.count(), usize::from(expected), "{lanes:?}");
        assert_eq!(health.is_probed(), expected, "{lanes:?}");
    }

    #[test]
    fn ten_failures_of_five_lanes_are_a_dead_endpoint() {
        check(&[1, 2, 3, 4, 5, 6, 7, 8, 9], false);
        check(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], true);
        check(&[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], false);
        check(&[1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4], false);
        check(&[1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 5], true);
        check(&[1, 2, 3, 4, 5, 1, 2, 3, 4, 5, 6, 7, 8], true);
    }

    #[test]
    fn a_success_or_a_final_refusal_is_no_failure() {
        let now = Instant::now();
        let mut health = Health::default();
        for lane in 0..9 {
            health.learn(Meaning::Passing, Lane(lane), false, now);
        }
        assert_eq!(health.learn(Meaning::Final, Lane(9), false, now), None);
        assert_eq!(health.learn(Meaning::Success, Lane(9), false, now), None);
        for lane in 0..9 {
            assert_eq!(health.learn(Meaning::Passing, Lane(lane), false, now), None);
        }
        assert_eq!(health.learn(Meaning::Passing, Lane(9), false, now), Some(Turn::Died));
    }

    #[test]
    fn the_pause_between_probes_grows_from_one_second_to_thirty() {
        let begin = Instant::now();
        let mut health = dead(begin);
        let mut second = 0;
        for pause in [1, 2, 4, 8, 16, 30, 30] {
            assert_eq!(health.opens_at(at(begin, second)), Some(at(begin, second + pause)));
            second += pause;
            assert_eq!(health.opens_at(at(begin, second)), None);
            // one that was under way before does not count
            health.learn(Meaning::Passing, Lane(1), false, at(begin, second));
            assert_eq!(health.opens_at(at(begin, second)), None);
            health.learn(Meaning::Passing, Lane(1), true, at(begin, second));
        }
        health.learn(Meaning::Final, Lane(1), true, at(begin, second));
        assert_eq!(health.opens_at(at(begin, second)), Some(at(begin, second + 30)));
    }

    #[test]
    fn the_first_success_is_the_recovery() {
        let begin = Instant::now();
        for was_probe in [true, false] {
            let mut health = dead(begin);
            assert_eq!(health.learn(Meaning::Success, Lane(1), was_probe, begin), Some(Turn::Recovered));
            assert!(!health.is_probed());
            assert_eq!(health.opens_at(begin), None);
            assert_eq!(health.failures(), 0);
        }
    }
}
