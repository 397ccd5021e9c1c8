//! Whether an endpoint lives: the books that turn a dead one from being hammered into being probed.
//!
//! Probes cost a delivery's attempt each and become ever rarer. An endpoint that does not even let us in is knocked at
//! in between, and the first knock that is answered lets the next probe begin. Each probe that fails so must find the
//! endpoint shut again before there are other knocks, and they begin later each time: what lets connections in and has
//! nothing behind it, or lets in only some, is not hammered.

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

/// The pause before the first knock, and between two of them.
pub(super) const KNOCK_PAUSE: Duration = Duration::from_millis(500);

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
    /// When it may be knocked at; never, if it let in who came last.
    knocks_from: Option<Instant>,
    /// How long after a failed probe that is; it doubles with each that a knock had promised better.
    knock_pause: Duration,
    /// Whether a knock let the next probe begin, or the one under way.
    is_promised: bool,
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

    /// When it may be knocked at; never, if there is no reason to, or if a probe may start anyway.
    pub(super) fn knocks_from(&self, now: Instant) -> Option<Instant> {
        self.probing.filter(|probing| probing.next > now)?.knocks_from
    }

    /// A knock was answered: the next probe may start now.
    pub(super) fn open(&mut self, now: Instant) {
        if self.knocks_from(now).is_some_and(|from| from <= now)
            && let Some(probing) = &mut self.probing
        {
            (probing.next, probing.is_promised) = (now, true);
        }
    }

    /// An attempt has ended, and found the endpoint shut or did not. A final refusal says nothing of the endpoint's health: it lives, but whether it
    /// works is not known.
    pub(super) fn learn(
        &mut self,
        meaning: Meaning,
        lane: Lane,
        was_probe: bool,
        shut: bool,
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
                    (probing.knocks_from, probing.is_promised) = (None, false);
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
                        if std::mem::take(&mut probing.is_promised) {
                            probing.knock_pause = (probing.knock_pause * 2).min(PROBE_PAUSE_MAX);
                        }
                        probing.knocks_from = shut.then_some(now + probing.knock_pause);
                        None
                    }
                    // attempts that were under way when it died tell nothing new
                    Some(_) => None,
                    None if self.failures >= FAILURES && self.lanes.len() >= LANES => {
                        self.probing = Some(Probing {
                            pause: PROBE_PAUSE_MIN,
                            next: now + PROBE_PAUSE_MIN,
                            knocks_from: shut.then_some(now + KNOCK_PAUSE),
                            knock_pause: KNOCK_PAUSE,
                            is_promised: false,
                        });
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
            health.learn(Meaning::Passing, Lane(number), false, false, begin);
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
            .filter_map(|lane| health.learn(Meaning::Passing, Lane(*lane), false, false, Instant::now()));
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
            health.learn(Meaning::Passing, Lane(lane), false, false, now);
        }
        assert_eq!(health.learn(Meaning::Final, Lane(9), false, false, now), None);
        assert_eq!(health.learn(Meaning::Success, Lane(9), false, false, now), None);
        for lane in 0..9 {
            assert_eq!(health.learn(Meaning::Passing, Lane(lane), false, false, now), None);
        }
        assert_eq!(health.learn(Meaning::Passing, Lane(9), false, false, now), Some(Turn::Died));
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
            health.learn(Meaning::Passing, Lane(1), false, false, at(begin, second));
            assert_eq!(health.opens_at(at(begin, second)), None);
            health.learn(Meaning::Passing, Lane(1), true, false, at(begin, second));
        }
        health.learn(Meaning::Final, Lane(1), true, false, at(begin, second));
        assert_eq!(health.opens_at(at(begin, second)), Some(at(begin, second + 30)));
    }

    #[test]
    fn the_first_success_is_the_recovery() {
        let begin = Instant::now();
        for was_probe in [true, false] {
            let mut health = dead(begin);
            assert_eq!(
                health.learn(Meaning::Success, Lane(1), was_probe, false, begin),
                Some(Turn::Recovered)
            );
            assert!(!health.is_probed());
            assert_eq!(health.opens_at(begin), None);
            assert_eq!(health.failures(), 0);
        }
    }

    /// Dead, and nobody let in the attempt that showed it.
    fn shut(begin: Instant) -> Health {
        let mut health = Health::default();
        for number in 0..10 {
            health.learn(Meaning::Passing, Lane(number), false, true, begin);
        }
        health
    }

    #[test]
    fn what_lets_nobody_in_is_knocked_at_until_a_probe_may_start_anyway() {
        let begin = Instant::now();
        let mut health = shut(begin);
        assert_eq!(health.knocks_from(begin), Some(begin + KNOCK_PAUSE));
        assert_eq!(health.knocks_from(at(begin, 1)), None);
        health.learn(Meaning::Passing, Lane(1), true, true, at(begin, 1));
        assert_eq!(health.knocks_from(at(begin, 2)), Some(at(begin, 1) + KNOCK_PAUSE));
        // an answer, be it a bad one, or silence after somebody had let us in
        health.learn(Meaning::Passing, Lane(1), true, false, at(begin, 3));
        assert_eq!(health.knocks_from(at(begin, 4)), None);
        assert_eq!(dead(begin).knocks_from(begin), None);
        let mut health = shut(begin);
        health.learn(Meaning::Final, Lane(1), true, false, at(begin, 1));
        assert_eq!(health.knocks_from(at(begin, 1)), None);
        health.learn(Meaning::Success, Lane(1), true, false, at(begin, 2));
        assert_eq!(health.knocks_from(at(begin, 2)), None);
    }

    #[test]
    fn an_answered_knock_opens_the_way_once_until_it_is_shut_again() {
        let begin = Instant::now();
        let mut health = shut(begin);
        let mut now = begin;
        for pause in [1, 2, 4, 8] {
            now += Duration::from_secs(pause);
            health.learn(Meaning::Passing, Lane(1), true, true, now);
        }
        // the next probe was 16 seconds away
        assert_eq!(health.opens_at(now), Some(at(now, 16)));
        let answered = at(now, 3);
        health.open(answered);
        assert_eq!(health.opens_at(answered), None);
        assert_eq!(health.knocks_from(answered), None);
        // it was let in, and got no good answer: the probes go on as ever, and no knock changes that
        health.learn(Meaning::Passing, Lane(1), true, false, answered);
        assert_eq!(health.opens_at(answered), Some(at(answered, 30)));
        health.open(at(answered, 1));
        assert_eq!(health.opens_at(at(answered, 1)), Some(at(answered, 30)));
    }

    #[test]
    fn knocks_that_promise_too_much_come_later_each_time() {
        let mut now = Instant::now();
        let mut health = shut(now);
        for pause_ms in [500, 1000, 2000, 4000, 8000, 16_000] {
            // beyond the first probes' short pauses
            health.learn(Meaning::Passing, Lane(1), true, true, now);
            health.learn(Meaning::Passing, Lane(1), true, true, now);
            let from = now + Duration::from_millis(pause_ms);
            assert_eq!(health.knocks_from(now), Some(from));
            // somebody else's knock at the same door counts no earlier
            health.open(from - Duration::from_millis(1));
            assert!(health.opens_at(from).is_some());
            now = from;
            health.open(now);
            assert_eq!(health.opens_at(now), None);
            health.learn(Meaning::Passing, Lane(1), true, true, now);
        }
        // it recovers, and when it dies again that is forgotten
        health.learn(Meaning::Success, Lane(1), true, false, now);
        for number in 0..10 {
            health.learn(Meaning::Passing, Lane(number), false, true, now);
        }
        assert_eq!(health.knocks_from(now), Some(now + KNOCK_PAUSE));
    }
}
