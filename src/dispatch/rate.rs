//! How many attempts of a webhook may start in a second: a token bucket.

use std::time::Duration;
use tokio::time::Instant;

/// Lets attempts start evenly: a tenth of a second's worth may start together, no more.
#[derive(Clone, Debug)]
pub(super) struct Rate {
    per_second_max: u32,
    tokens: f64,
    filled_at: Instant,
}

impl Rate {
    /// Starts full.
    pub(super) fn new(per_second_max: u32, now: Instant) -> Self {
        let mut rate = Self { per_second_max: per_second_max.max(1), tokens: 0.0, filled_at: now };
        rate.tokens = rate.tokens_max();
        rate
    }

    /// The limit it keeps.
    pub(super) fn per_second_max(&self) -> u32 {
        self.per_second_max
    }

    /// How many attempts may start now.
    pub(super) fn allowance(&self, now: Instant) -> usize {
        self.tokens_at(now) as usize
    }

    /// An attempt starts.
    pub(super) fn start(&mut self, now: Instant) {
        self.tokens = self.tokens_at(now) - 1.0;
        self.filled_at = now;
    }

    /// When the next attempt may start; none if it may now.
    pub(super) fn opens_at(&self, now: Instant) -> Option<Instant> {
        let missing = 1.0 - self.tokens_at(now);
        // a little later rather than a little too early, which would wake the loop for nothing
        (missing > 0.0)
            .then(|| now + Duration::from_secs_f64(missing / self.per_second()) + Duration::from_micros(1))
    }

    fn tokens_at(&self, now: Instant) -> f64 {
        let filled = now.saturating_duration_since(self.filled_at).as_secs_f64() * self.per_second();
        (self.tokens + filled).min(self.tokens_max())
    }

    fn tokens_max(&self) -> f64 {
        (self.per_second() / 10.0).ceil()
    }

    fn per_second(&self) -> f64 {
        f64::from(self.per_second_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Starts as many attempts as may start, for ten seconds.
    #[track_caller]
    fn check(per_second_max: u32) {
        let begin = Instant::now();
        let mut rate = Rate::new(per_second_max, begin);
        let mut starts = Vec::new();
        let mut now = begin;
        while now < begin + Duration::from_secs(10) {
            for _ in 0..rate.allowance(now) {
                rate.start(now);
                starts.push(now);
            }
            assert_eq!(rate.allowance(now), 0);
            let next = rate.opens_at(now).unwrap();
            assert!(rate.allowance(next) >= 1, "{per_second_max} per second: woken too early");
            now = next;
        }
        let expected = per_second_max as usize * 10;
        assert!((expected..=expected + expected / 50 + 2).contains(&starts.len()), "{}", starts.len());
        let burst = per_second_max.div_ceil(10) as usize;
        for (number, start) in starts.iter().enumerate() {
            let within =
                starts[number..].iter().take_while(|other| **other < *start + Duration::from_secs(1));
            assert!(within.count() <= per_second_max as usize + burst, "{per_second_max} per second");
        }
    }

    #[test]
    fn a_rate_is_kept_in_every_second() {
        for per_second_max in [1, 2, 7, 10, 50, 1000] {
            check(per_second_max);
        }
    }

    #[test]
    fn a_pause_saves_no_more_than_a_burst() {
        let begin = Instant::now();
        let rate = Rate::new(50, begin);
        assert_eq!(rate.allowance(begin), 5);
        assert_eq!(rate.allowance(begin + Duration::from_secs(3600)), 5);
    }
}
