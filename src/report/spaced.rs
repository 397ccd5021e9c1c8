//! Lines that may come thousands of times a second: the first of each kind at once, then one now and then with how
//! many were left out.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a kind is silent after a line.
const SILENCE: Duration = Duration::from_secs(60);
/// How many kinds are remembered; beyond it all are forgotten, and some lines come early.
const KINDS_MAX: usize = 20_000;

/// When each kind was said last, and how often it was left out since.
#[derive(Debug, Default)]
pub(super) struct Spaced(Mutex<HashMap<String, (Instant, u64)>>);

impl Spaced {
    /// Whether a line of a kind is said now; if so, how many were left out before it.
    pub(super) fn says(&self, kind: &str, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match kinds.get_mut(kind) {
            Some((said_at, left_out)) if now.saturating_duration_since(*said_at) < SILENCE => {
                *left_out += 1;
                None
            }
            Some((said_at, left_out)) => {
                *said_at = now;
                Some(std::mem::take(left_out))
            }
            None => {
                if kinds.len() >= KINDS_MAX {
                    kinds.clear();
                }
                kinds.insert(kind.to_owned(), (now, 0));
                Some(0)
            }
        }
    }

    /// Says the next line of a kind at once.
    pub(super) fn forget(&self, kind: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(kind);
    }
}

/// How many lines of a kind are said in a second.
const A_SECOND: u32 = 20;

/// The first lines of each second, for what may come thousands of times but is told one by one where it is rare.
#[derive(Debug, Default)]
pub(super) struct Rationed(Mutex<HashMap<String, Ration>>);

#[derive(Debug)]
struct Ration {
    since: Instant,
    said: u32,
    left_out: u64,
}

impl Rationed {
    /// Whether a line of a kind is said now; if so, how many were left out before it.
    pub(super) fn says(&self, kind: &str, now: Instant) -> Option<u64> {
        let mut kinds = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(ration) = kinds.get_mut(kind) else {
            if kinds.len() >= KINDS_MAX {
                kinds.clear();
            }
            kinds.insert(kind.to_owned(), Ration { since: now, said: 1, left_out: 0 });
            return Some(0);
        };
        if now.saturating_duration_since(ration.since) >= Duration::from_secs(1) {
            (ration.since, ration.said) = (now, 0);
        }
        if ration.said == A_SECOND {
            ration.left_out += 1;
            return None;
        }
        ration.said += 1;
        Some(std::mem::take(&mut ration.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_are_said_in_each_second_and_then_what_was_left_out() {
        let (rationed, start) = (Rationed::default(), Instant::now());
        let after = |milliseconds| start + Duration::from_millis(milliseconds);
        for millisecond in 0..20 {
            assert_eq!(rationed.says("a", after(millisecond)), Some(0));
        }
        for millisecond in 20..1000 {
            assert_eq!(rationed.says("a", after(millisecond)), None);
        }
        assert_eq!(rationed.says("b", after(999)), Some(0), "kinds are apart");
        assert_eq!(rationed.says("a", after(1000)), Some(980));
        assert_eq!(rationed.says("a", after(1001)), Some(0));
    }

    #[test]
    fn the_first_is_said_and_then_one_a_minute_with_what_was_left_out() {
        let (spaced, start) = (Spaced::default(), Instant::now());
        let after = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(spaced.says("a", start), Some(0));
        for second in 1..60 {
            assert_eq!(spaced.says("a", after(second)), None);
        }
        assert_eq!(spaced.says("b", after(59)), Some(0), "kinds are apart");
        assert_eq!(spaced.says("a", after(60)), Some(59));
        assert_eq!(spaced.says("a", after(61)), None);
        spaced.forget("a");
        assert_eq!(spaced.says("a", after(62)), Some(0));
    }

    #[test]
    fn it_does_not_grow_without_end() {
        let (spaced, now) = (Spaced::default(), Instant::now());
        for kind in 0..2 * KINDS_MAX {
            assert_eq!(spaced.says(&kind.to_string(), now), Some(0));
        }
        assert!(spaced.0.lock().unwrap().len() <= KINDS_MAX);
    }
}
