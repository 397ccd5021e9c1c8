//! Ranges of the log that an operator gave up: what was committed in them is not delivered, all else is.

use super::oracle::Event;
use std::sync::Arc;

/// A range that was recorded when it was accepted: from the end of what was dealt with up to where the stream went
/// on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    pub from: u64,
    pub to: u64,
}

impl Gap {
    /// Whether a transaction lies in it, by the LSN of its commit record. PostgreSQL streams what is committed at
    /// or behind the position that was asked for.
    pub fn holds(&self, commit_lsn: u64) -> bool {
        (self.from..self.to).contains(&commit_lsn)
    }
}

/// The events outside of the gaps: these must arrive, and no other. That those inside must not is stronger than
/// the promise, and proves that the ranges are recorded exactly.
pub fn outside(events: Vec<Arc<Event>>, gaps: &[Gap]) -> Vec<Arc<Event>> {
    let is_outside = |event: &Arc<Event>| !gaps.iter().any(|gap| gap.holds(event.commit_lsn));
    events.into_iter().filter(is_outside).collect()
}

#[cfg(test)]
mod tests {
    use super::super::history::{Committed, Op};
    use super::super::laws::{Law, Record, judge, perfect};
    use super::super::oracle::{Expected, expect, foretell};
    use super::super::world::{HOOKS, PERSON, Val};
    use super::*;

    /// Five people, committed at 10, 20, 30, 40 and 50.
    fn events() -> Vec<Arc<Event>> {
        let person = |id: i64| {
            let row = vec![Val::Int(id), Val::Null, Val::Null, Val::Null, Val::Null];
            let ops = vec![Op::Insert { table: PERSON, row: Arc::new(row) }];
            Committed { commit_lsn: 10 * id as u64, ops, ..Committed::default() }
        };
        foretell(&(1..=5).map(person).collect::<Vec<_>>()).0
    }

    fn expected(gap: Gap) -> Vec<Expected> {
        expect(&outside(events(), &[gap]), &HOOKS)
    }

    /// Judges what arrived by what was recorded.
    fn check(arrived_outside: Gap, recorded: Gap, broken: &[Law]) {
        let record: Record = perfect(&expected(arrived_outside));
        let mut found: Vec<Law> =
            judge(&expected(recorded), &record).into_iter().map(|violation| violation.law).collect();
        found.dedup();
        assert_eq!(found, broken);
    }

    #[test]
    fn what_lies_in_the_gap_is_not_missed() {
        let gap = Gap { from: 20, to: 40 };
        check(gap, gap, &[]);
        assert_eq!(expected(gap)[0].events.len(), 3);
    }

    #[test]
    fn what_is_lost_beside_the_gap_is_seen() {
        check(Gap { from: 20, to: 50 }, Gap { from: 20, to: 40 }, &[Law::Complete, Law::True]);
        check(Gap { from: 10, to: 40 }, Gap { from: 20, to: 40 }, &[Law::Complete, Law::True]);
        check(Gap { from: 20, to: 60 }, Gap { from: 20, to: 40 }, &[Law::Complete]);
    }

    #[test]
    fn a_gap_that_is_recorded_too_wide_is_seen() {
        check(Gap { from: 20, to: 40 }, Gap { from: 20, to: 50 }, &[Law::Nothing, Law::True]);
        check(Gap { from: 20, to: 40 }, Gap { from: 10, to: 40 }, &[Law::Nothing, Law::True]);
    }
}
