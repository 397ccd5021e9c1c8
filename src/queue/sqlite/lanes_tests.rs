//! Lanes against a list of deliveries that is searched for everything, and the stories of what was found so.

use super::block::Home;
use super::lanes::{Arrival, Lanes, SlotNumber, Stand, Standing};
use crate::form::Lane;
use foldhash::HashMap;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// How many lanes there are.
const LANES: u64 = 4;
/// After so many fresh deliveries one that is retried has its turn; and the same once retries have failed often.
const FRESH_PER_RETRY: u32 = 4;
const FRESH_PER_FAILING_RETRY: u32 = 1024;
const NOTHING: [u64; 0] = [];

/// A delivery that is not finished, as the list knows it.
#[derive(Clone, Debug)]
struct One {
    lane: u64,
    /// As the event says it.
    behind: Vec<Lane>,
    /// The other lanes in which something was before it, until nothing is in any of them.
    gates: BTreeSet<u64>,
    doing: Doing,
    /// The end of its pause.
    due_us: Option<i64>,
    /// The same as its row says it, as long as nobody settled the claim that followed.
    row_due_us: Option<i64>,
    has_row: bool,
    overtakes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Doing {
    Pending,
    Claimed,
    GivenUp,
    Blocking,
}

/// The lanes beside the list.
#[derive(Default)]
struct Beside {
    lanes: Lanes,
    ones: BTreeMap<u64, One>,
    /// Of each lane, in the order in which they go.
    order: BTreeMap<u64, Vec<u64>>,
    /// Dead letters that hold nothing, with their lanes.
    dead: BTreeMap<u64, u64>,
    last: u64,
    now_us: i64,
    fresh_in_turn: u32,
    /// How many deliveries with rows failed since one was delivered.
    failed: u32,
    was_replayed: bool,
    /// The block from which on all are young, and whether one of those was claimed last.
    young_from: u64,
    was_young: bool,
}

impl Beside {
    fn insert(&mut self, lane: u64, behind: Vec<Lane>, overtakes: bool) {
        self.last += 1;
        let gates = gates_of(lane, &behind, self.ones.values());
        let one = One {
            lane,
            behind,
            gates,
            doing: Doing::Pending,
            due_us: None,
            row_due_us: None,
            has_row: false,
            overtakes,
        };
        self.lanes.insert(arrival(self.last, &one));
        self.ones.insert(self.last, one);
        self.order.entry(lane).or_default().push(self.last);
    }

    /// A dead letter comes again, out of order.
    fn replay(&mut self, choice: usize) {
        let Some((&sequence, &lane)) = self.dead.iter().nth(choice % self.dead.len().max(1)) else { return };
        self.dead.remove(&sequence);
        self.was_replayed = true;
        let one = One {
            lane,
            behind: Vec::new(),
            gates: BTreeSet::new(),
            doing: Doing::Pending,
            due_us: None,
            row_due_us: None,
            has_row: true,
            overtakes: false,
        };
        self.lanes.insert(arrival(sequence, &one));
        let order = self.order.get(&lane).cloned().unwrap_or_default();
        let is_held = order.first().is_some_and(|&head| self.stand(head) != Stand::Waiting);
        let place = order
            .iter()
            .enumerate()
            .position(|(place, &other)| other > sequence && !(place == 0 && is_held))
            .unwrap_or(order.len());
        self.ones.insert(sequence, one);
        self.order.entry(lane).or_default().insert(place, sequence);
    }

    fn stand(&self, sequence: u64) -> Stand {
        let one = &self.ones[&sequence];
        let has_turn = self.order[&one.lane][0] == sequence && one.gates.is_empty();
        match (one.doing, one.due_us) {
            (Doing::Claimed, _) => Stand::Claimed,
            (Doing::GivenUp, _) => Stand::GivenUp,
            (Doing::Blocking, _) => Stand::Blocking,
            (Doing::Pending, _) if !has_turn => Stand::Waiting,
            (Doing::Pending, None) => Stand::Ready,
            (Doing::Pending, Some(_)) => Stand::Retrying,
        }
    }

    /// The deliveries that stand so, each with the end of its pause.
    fn that_are(&self, stand: Stand) -> Vec<(i64, u64)> {
        let are = self.ones.iter().filter(|(sequence, _)| self.stand(**sequence) == stand);
        let mut are: Vec<_> =
            are.map(|(&sequence, one)| (one.due_us.unwrap_or(i64::MIN), sequence)).collect();
        are.sort_unstable();
        are
    }

    /// How many fresh ones go before one that is retried.
    fn fresh_per_retry(&self) -> u32 {
        (0..self.failed).fold(FRESH_PER_RETRY, |fresh, _| (fresh * 2).min(FRESH_PER_FAILING_RETRY))
    }

    /// Claims from the lanes what the list says is next.
    fn claim(&mut self) -> Option<u64> {
        let fresh = self.that_are(Stand::Ready).first().map(|&(_, sequence)| sequence);
        let due = self.that_are(Stand::Retrying).first().copied();
        let due = due.filter(|&(due_us, _)| due_us <= self.now_us).map(|(_, sequence)| sequence);
        let is_young = |sequence: u64| block_of(sequence) >= self.young_from;
        let retry_first = self.fresh_in_turn >= self.fresh_per_retry() || fresh.is_none();
        let expected = due.filter(|_| retry_first).or(fresh);
        let claimed = self.lanes.claim(self.now_us, self.young_from).map(|slot| self.lanes.sequence(slot));
        let is_late = fresh.is_some_and(|sequence| !is_young(sequence));
        let may_be_young = expected == fresh && claimed.is_some_and(is_young) && !(is_late && self.was_young);
        if !may_be_young {
            assert_eq!(claimed, expected, "{:?}", self.ones);
        }
        if let Some(claimed) = claimed.filter(|_| expected == fresh) {
            assert_eq!(self.stand(claimed), Stand::Ready, "{:?}", self.ones);
            self.was_young = claimed != expected.unwrap();
        }
        self.was_young &= claimed.is_some();
        let one = self.ones.get_mut(&claimed?).unwrap();
        self.fresh_in_turn = if one.due_us.is_some() { 0 } else { self.fresh_in_turn + 1 };
        (one.doing, one.due_us) = (Doing::Claimed, None);
        claimed
    }

    /// One of those that somebody works on.
    fn claimed(&self, choice: usize) -> Option<(u64, SlotNumber)> {
        self.one_of(choice, &[Doing::Claimed, Doing::GivenUp])
    }

    fn one_of(&self, choice: usize, doing: &[Doing]) -> Option<(u64, SlotNumber)> {
        let of: Vec<_> = self.ones.iter().filter(|(_, one)| doing.contains(&one.doing)).collect();
        let &(&sequence, one) = of.get(choice % of.len().max(1))?;
        Some((sequence, self.lanes.find(Lane(one.lane), sequence).expect("it is in its lane")))
    }

    fn forget(&mut self, sequence: u64) -> One {
        let one = self.ones.remove(&sequence).unwrap();
        let order = self.order.get_mut(&one.lane).unwrap();
        order.retain(|&other| other != sequence);
        if order.is_empty() {
            self.order.remove(&one.lane);
        }
        let before: Vec<(u64, u64)> = self.ones.iter().map(|(&sequence, one)| (sequence, one.lane)).collect();
        for (&sequence, other) in &mut self.ones {
            let is_before = |&(number, lane): &(u64, u64)| number < sequence && other.gates.contains(&lane);
            if !before.iter().any(is_before) {
                other.gates.clear();
            }
        }
        one
    }

    /// A claim ends: delivered, dead, to be tried again, or as a dead letter that holds its lane.
    fn settle(&mut self, choice: usize, end: u8) {
        let Some((sequence, slot)) = self.claimed(choice) else { return };
        let end = if self.ones[&sequence].doing == Doing::GivenUp { 0 } else { end % 4 };
        let due_us = self.now_us + i64::from(end) * 3;
        if self.ones[&sequence].has_row && self.ones[&sequence].doing != Doing::GivenUp {
            self.failed = if end == 0 { 0 } else { self.failed + 1 };
        }
        match end {
            0 => {
                match self.ones[&sequence].doing {
                    Doing::GivenUp => self.lanes.end(slot),
                    _ => self.lanes.deliver(slot),
                }
                self.forget(sequence);
            }
            1 => {
                self.lanes.die(slot);
                let one = self.forget(sequence);
                self.dead.insert(sequence, one.lane);
            }
            2 => {
                self.lanes.retry(slot, due_us);
                let one = self.ones.get_mut(&sequence).unwrap();
                (one.doing, one.due_us, one.row_due_us) = (Doing::Pending, Some(due_us), Some(due_us));
                one.has_row = true;
            }
            _ => {
                self.lanes.block(slot);
                let one = self.ones.get_mut(&sequence).unwrap();
                (one.doing, one.has_row) = (Doing::Blocking, true);
            }
        }
    }

    fn release(&mut self, choice: usize) {
        let Some((sequence, slot)) = self.claimed(choice) else { return };
        self.lanes.release(slot);
        if self.ones[&sequence].doing == Doing::GivenUp {
            self.forget(sequence);
        } else {
            self.ones.get_mut(&sequence).unwrap().doing = Doing::Pending;
        }
    }

    fn unblock(&mut self, choice: usize) {
        let Some((sequence, slot)) = self.one_of(choice, &[Doing::Blocking]) else { return };
        self.lanes.unblock(slot);
        let one = self.ones.get_mut(&sequence).unwrap();
        (one.doing, one.due_us, one.row_due_us) = (Doing::Pending, None, None);
    }

    fn give_up(&mut self, choice: usize) {
        let any = [Doing::Pending, Doing::Claimed, Doing::GivenUp, Doing::Blocking];
        let Some((sequence, slot)) = self.one_of(choice, &any) else { return };
        self.lanes.give_up(slot);
        match self.ones[&sequence].doing {
            Doing::Claimed | Doing::GivenUp => {
                self.ones.get_mut(&sequence).unwrap().doing = Doing::GivenUp;
            }
            Doing::Pending | Doing::Blocking => drop(self.forget(sequence)),
        }
    }

    /// The lanes as a process finds them that reads the file.
    fn read(&self) -> Lanes {
        let mut lanes = Lanes::default();
        for (&sequence, one) in self.ones.iter().filter(|(_, one)| one.doing != Doing::GivenUp) {
            lanes.insert(arrival(sequence, one));
        }
        lanes
    }

    /// The process that has claims reads the file again.
    fn read_again(&mut self) {
        let mut lanes = self.read();
        for (&sequence, one) in &self.ones {
            if matches!(one.doing, Doing::Claimed | Doing::GivenUp) {
                let slot = self.lanes.find(Lane(one.lane), sequence).unwrap();
                lanes.claim_again(&self.lanes, slot);
            }
        }
        self.lanes = lanes;
        (self.fresh_in_turn, self.failed, self.was_young) = (0, 0, false);
        let ones = self.ones.clone();
        for (&sequence, one) in &mut self.ones {
            let is_claimed = matches!(one.doing, Doing::Claimed | Doing::GivenUp);
            // what was given up is not read
            let before = ones.range(..sequence).map(|(_, other)| other);
            let before = before.filter(|other| other.doing != Doing::GivenUp && !is_claimed);
            one.gates = gates_of(one.lane, &one.behind, before);
            one.due_us = one.row_due_us.filter(|_| !is_claimed);
        }
        for order in self.order.values_mut() {
            order.sort_unstable_by_key(|sequence| {
                (!matches!(ones[sequence].doing, Doing::Claimed | Doing::GivenUp), *sequence)
            });
        }
    }

    fn step(&mut self, (what, choice, more): (u8, u8, u8)) {
        let choice_of = usize::from(choice);
        match what % 17 {
            0..=3 => {
                let behind = [more, more / 16].into_iter().filter(|number| number % 8 < 3);
                let behind = behind.map(|number| Lane(u64::from(number) % LANES)).collect();
                self.insert(u64::from(choice) % LANES, behind, choice.is_multiple_of(7));
            }
            4..=6 => drop(self.claim()),
            7..=9 => self.settle(choice_of, more),
            10 => self.replay(choice_of),
            11 => self.unblock(choice_of),
            12 => self.give_up(choice_of),
            13 => self.release(choice_of),
            14 => self.now_us += i64::from(more) % 8,
            15 => self.read_again(),
            _ => self.young_from = if more.is_multiple_of(2) { u64::MAX } else { u64::from(more) % 32 },
        }
        self.compare();
    }

    fn compare(&self) {
        let stands: HashMap<u64, Stand> =
            self.ones.keys().map(|&sequence| (sequence, self.stand(sequence))).collect();
        assert_eq!(self.lanes.stands(), stands, "{:?}", self.ones);
        for order in self.order.values() {
            let active =
                order.iter().filter(|sequence| !matches!(stands[sequence], Stand::Waiting | Stand::Blocking));
            assert!(active.count() <= 1, "{:?}", self.ones);
        }
        let first_due = self.that_are(Stand::Retrying).first().map(|&(due_us, _)| due_us);
        let hot = if self.that_are(Stand::Ready).is_empty() { first_due } else { Some(i64::MIN) };
        assert_eq!(self.lanes.hot_from_us(), hot, "{:?}", self.ones);
        let mut to_send = self.ones.iter().filter(|(_, one)| one.doing != Doing::Blocking);
        let oldest = to_send.next().map(|(&sequence, _)| sequence);
        assert_eq!(self.lanes.oldest().is_some(), oldest.is_some(), "{:?}", self.ones);
        assert!(self.lanes.oldest() <= oldest, "{:?}", self.ones);
    }

    /// Gives all claims back and delivers everything. Returns the numbers in the order of claiming.
    fn drain(&mut self) -> Vec<u64> {
        while self.claimed(0).is_some() {
            self.release(0);
        }
        self.now_us = i64::MAX;
        self.compare();
        let mut drained = Vec::new();
        while !self.ones.is_empty() {
            match self.claim() {
                Some(sequence) => {
                    drained.push(sequence);
                    self.settle(0, 0);
                }
                None => {
                    assert!(self.one_of(0, &[Doing::Blocking]).is_some(), "stuck: {:?}", self.ones);
                    self.unblock(0);
                }
            }
            self.compare();
        }
        drained
    }
}

/// The other lanes in which something is, of those that an event says.
fn gates_of<'a>(lane: u64, behind: &[Lane], before: impl Iterator<Item = &'a One>) -> BTreeSet<u64> {
    before.map(|other| other.lane).filter(|&other| other != lane && behind.contains(&Lane(other))).collect()
}

fn block_of(sequence: u64) -> u64 {
    sequence / 3
}

fn arrival(sequence: u64, one: &One) -> Arrival<'_> {
    Arrival {
        sequence,
        home: Home::new(block_of(sequence), sequence as u32),
        lane: Lane(one.lane),
        behind: &one.behind,
        standing: match (one.doing, one.row_due_us) {
            (Doing::Blocking, _) => Standing::Blocking,
            (_, Some(due_us)) => Standing::Retrying { due_us },
            (_, None) => Standing::Due,
        },
        has_row: one.has_row,
        overtakes: one.overtakes,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// Whatever happens: each stands where the list says it stands, what is claimed is what is next, at most one of a
    /// lane is active, and everything comes out in the end, also of lanes that were read from the file.
    #[test]
    fn lanes_are_what_a_list_of_deliveries_says(
        steps in prop::collection::vec(any::<(u8, u8, u8)>(), 0..150)
    ) {
        let mut beside = Beside { young_from: u64::MAX, ..Beside::default() };
        for step in steps {
            beside.step(step);
        }
        while beside.claimed(0).is_some() {
            beside.release(0);
        }
        let rest: BTreeSet<u64> = beside.ones.keys().copied().collect();
        let live = beside.lanes.stands();
        let read = beside.read();
        if !beside.was_replayed {
            // what was replayed may go by another order after a start; everything else stands the same
            let is_paused = |stand: &Stand| matches!(stand, Stand::Ready | Stand::Retrying);
            for (sequence, stand) in read.stands() {
                let same = stand == live[&sequence] || is_paused(&stand) && is_paused(&live[&sequence]);
                prop_assert!(same, "{sequence}: {stand:?}, {:?}: {:?}", live[&sequence], beside.ones);
            }
        }
        prop_assert_eq!(read.stands().len(), live.len());
        let drained: Vec<u64> = beside.drain();
        prop_assert_eq!(drained.len(), rest.len());
        prop_assert_eq!(drained.into_iter().collect::<BTreeSet<u64>>(), rest);
    }
}

fn due(sequence: u64, lane: u64) -> Arrival<'static> {
    Arrival {
        sequence,
        home: Home::new(1, sequence as u32),
        lane: Lane(lane),
        behind: &[],
        standing: Standing::Due,
        has_row: false,
        overtakes: false,
    }
}

/// Lanes with deliveries that came one after the other: in lane 1, 2 and so on.
fn lanes(arrivals: impl IntoIterator<Item = Arrival<'static>>) -> Lanes {
    let mut lanes = Lanes::default();
    arrivals.into_iter().for_each(|arrival| lanes.insert(arrival));
    lanes
}

/// Claims all that may be, and says which.
fn claim_all(lanes: &mut Lanes, now_us: i64) -> Vec<u64> {
    std::iter::from_fn(|| lanes.claim(now_us, u64::MAX).map(|slot| lanes.sequence(slot))).collect()
}

/// The story of an operator's drop that was taken notice of twice, for the transaction that was to forget it had failed:
/// the lane of an attempt that was still under way was free, and its slot became that of another delivery, which the
/// end of the attempt then ended. Now who works on it ends it, however often it is given up.
#[test]
fn who_works_on_what_is_given_up_twice_still_ends_it() {
    let mut lanes = lanes([due(1, 1), due(2, 1)]);
    let slot = lanes.claim(0, u64::MAX).unwrap();
    lanes.give_up(slot);
    lanes.give_up(slot);
    assert_eq!(lanes.stand(slot), Stand::GivenUp);
    assert_eq!(claim_all(&mut lanes, 0), NOTHING);
    lanes.end(slot);
    assert_eq!(claim_all(&mut lanes, 0), [2]);
}

/// The story of an entry that was renamed, and of an operator who dropped the last delivery of its old name while others
/// before that were still to be sent: the new name went out before them. Now it waits for those as well.
#[test]
fn a_gate_that_is_dropped_leaves_what_stood_before_it() {
    let renamed = Arrival { behind: &[Lane(1)], ..due(3, 2) };
    let mut lanes = lanes([due(1, 1), due(2, 1), renamed]);
    let first = lanes.claim(0, u64::MAX).unwrap();
    lanes.give_up(lanes.find(Lane(1), 2).unwrap());
    assert_eq!(claim_all(&mut lanes, 0), NOTHING);
    lanes.end(first);
    assert_eq!(claim_all(&mut lanes, 0), [3]);
}

/// The story of a dead letter that was replayed while a later one of its entry was between two attempts: after a start
/// the pause of that one was forgotten.
#[test]
fn a_pause_lasts_behind_others_too() {
    let paused = Arrival { standing: Standing::Retrying { due_us: 50 }, ..due(2, 1) };
    let mut lanes = lanes([due(1, 1), paused]);
    let first = lanes.claim(10, u64::MAX).unwrap();
    lanes.end(first);
    assert_eq!((claim_all(&mut lanes, 49), lanes.hot_from_us()), (NOTHING.to_vec(), Some(50)));
    assert_eq!(claim_all(&mut lanes, 50), [2]);
}

/// The story of a clock that was set back while a replayed dead letter waited behind an attempt of the same entry: the
/// lanes were read anew, the replayed one came first, and went out beside the attempt.
#[test]
fn a_claim_that_stands_goes_before_what_was_replayed() {
    let mut before = lanes([due(2, 1)]);
    let slot = before.claim(0, u64::MAX).unwrap();
    before.insert(due(1, 1));
    let mut after = lanes([due(1, 1), due(2, 1)]);
    let slot = after.claim_again(&before, slot);
    assert_eq!(claim_all(&mut after, 0), NOTHING);
    after.end(slot);
    assert_eq!(claim_all(&mut after, 0), [1]);
}

/// The story of dropped deliveries whose slots were used again: what had just come was sent before what waited longer.
#[test]
fn what_comes_after_a_drop_goes_behind_what_waits() {
    let mut lanes = lanes((1..=3).map(|sequence| due(sequence, sequence)));
    lanes.give_up(lanes.find(Lane(1), 1).unwrap());
    lanes.insert(due(4, 4));
    assert_eq!(claim_all(&mut lanes, 0), [2, 3, 4]);
}

/// The story of a million deliveries of which every tenth was refused for good: a quarter of the attempts were retries, and
/// the rest took three times as long.
#[test]
fn retries_that_fail_stand_back_behind_what_is_fresh() {
    let mut lanes = lanes((1..=6000).map(|sequence| due(sequence, sequence)));
    let mut retries = Vec::new();
    for place in 0..5000 {
        let slot = lanes.claim(0, u64::MAX).unwrap();
        if lanes.has_row(slot) {
            retries.push(place);
        }
        lanes.retry(slot, 0);
    }
    assert_eq!(retries[..7], [4, 13, 30, 63, 128, 257, 514]);
    assert_eq!(retries[7..], [1027, 2052, 3077, 4102]);
    let mut slot = lanes.claim(0, u64::MAX).unwrap();
    while !lanes.has_row(slot) {
        slot = lanes.claim(0, u64::MAX).unwrap();
    }
    lanes.deliver(slot);
    let next: Vec<bool> =
        (0..5).map(|_| lanes.claim(0, u64::MAX).map(|slot| lanes.has_row(slot)).unwrap()).collect();
    assert_eq!(next, [false, false, false, false, true]);
}

/// The story of an endpoint that came back to a million deliveries: what was committed then waited behind them all. Now
/// every second one is one that came lately, until that has waited for long itself.
#[test]
fn what_came_lately_does_not_wait_for_what_is_late() {
    let mut lanes = lanes((1..=6).map(|sequence| due(sequence, sequence)));
    let lately = |sequence| Arrival { home: Home::new(2, 0), ..due(sequence, sequence) };
    let next = |lanes: &mut Lanes, young_from| lanes.claim(0, young_from).map(|slot| lanes.sequence(slot));
    lanes.insert(lately(7));
    lanes.insert(lately(8));
    assert_eq!([(); 3].map(|()| next(&mut lanes, 2)), [Some(7), Some(1), Some(8)]);
    lanes.insert(lately(9));
    assert_eq!([(); 2].map(|()| next(&mut lanes, 2)), [Some(2), Some(9)]);
    // others of its entry stay behind it
    lanes.insert(lately(10));
    lanes.insert(Arrival { lane: Lane(10), ..lately(11) });
    assert_eq!([(); 4].map(|()| next(&mut lanes, 2)), [Some(3), Some(10), Some(4), Some(5)]);
    lanes.insert(lately(12));
    assert_eq!(next(&mut lanes, 2), Some(12));
    lanes.insert(lately(13));
    assert_eq!([(); 3].map(|()| next(&mut lanes, u64::MAX)), [Some(6), Some(13), None]);
    // where nothing is late, all go in order
    (14..=16).for_each(|sequence| lanes.insert(lately(sequence)));
    assert_eq!([(); 4].map(|()| next(&mut lanes, 2)), [Some(14), Some(15), Some(16), None]);
}

#[test]
fn the_memory_of_a_long_backlog_is_given_back() {
    let mut lanes = lanes((1..=10_000).map(|sequence| due(sequence, sequence)));
    while let Some(slot) = lanes.claim(0, u64::MAX) {
        lanes.end(slot);
        lanes.shrink();
    }
    assert!(lanes.room() < 10_000, "{}", lanes.room());
    lanes.insert(due(10_001, 1));
    assert_eq!(claim_all(&mut lanes, 0), [10_001]);
}
