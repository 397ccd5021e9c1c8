//! A webhook's lanes, in memory: which deliveries are not finished, in which order, and which of them may be claimed.
//!
//! In each lane (an entry) at most one delivery is active, its head: ready, claimed, retrying or a blocking dead
//! letter. The others wait behind it, and go by sequence. An entry whose lane was another before waits for what is
//! before it in those lanes, too: it stands before a gate.
//!
//! Nothing here is written anywhere: it follows from what the file says of the deliveries, taken in the order of
//! their sequence numbers.

use super::block::Home;
use crate::form::Lane;
use foldhash::HashMap;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// After so many fresh deliveries of a webhook, one that is retried has its turn, if the last one was delivered. Each
/// that fails doubles that, so many times: what fails for good must not hold up the rest.
const FRESH_PER_RETRY: u32 = 4;
const DOUBLINGS_MAX: u32 = 8;
/// Lanes that have nothing keep room for so many deliveries.
const ROOM_KEPT: usize = 4096;
/// What stands for no slot.
const NONE: u32 = u32::MAX;

/// A slot's number.
pub(super) type SlotNumber = u32;

/// What a delivery is when it comes into its lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// To be sent when its turn comes.
    Due,
    /// To be sent when its turn comes, and not before a time, in microseconds since 1970 UTC.
    Retrying { due_us: i64 },
    /// A dead letter that holds its lane when its turn comes.
    Blocking,
}

/// A delivery that comes into its lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival<'a> {
    pub(super) sequence: u64,
    pub(super) home: Home,
    pub(super) lane: Lane,
    /// Other lanes whose deliveries of before must have ended first.
    pub(super) behind: &'a [Lane],
    pub(super) standing: Standing,
    /// Whether it has a row of its own.
    pub(super) has_row: bool,
    /// Whether others with lower numbers stay in the file.
    pub(super) overtakes: bool,
}

/// Where a delivery of a lane stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stand {
    /// Behind another one of its lane, or the gate.
    Waiting,
    /// May be claimed.
    Ready,
    /// Somebody works on it.
    Claimed,
    /// Somebody works on it, and an operator gave it up meanwhile.
    GivenUp,
    /// Its pause lasts.
    Retrying,
    /// A dead letter that holds its lane, or will when its turn comes.
    Blocking,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    sequence: u64,
    lane: Lane,
    home: Home,
    next: SlotNumber,
    stand: Stand,
    has_row: bool,
    overtakes: bool,
    /// Whether it has a pause, of now or of when its turn comes. Most have none: they are not searched among those.
    pauses: bool,
}

/// The first and the last of a lane.
#[derive(Clone, Copy, Debug)]
struct Ends {
    head: SlotNumber,
    tail: SlotNumber,
}

/// The lanes of a webhook.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    slots: Vec<Slot>,
    free: Vec<SlotNumber>,
    by_lane: HashMap<Lane, Ends>,
    /// Ready ones in the order in which they came; those that are not ready any more are passed over.
    fresh: VecDeque<(u64, SlotNumber)>,
    /// Ready ones that became so out of order, by sequence; likewise.
    promoted: BTreeMap<u64, SlotNumber>,
    /// Ready ones that came lately, while the first of the others had come long before; likewise.
    young: BTreeMap<u64, SlotNumber>,
    /// Whether one of those was claimed last.
    was_young: bool,
    /// Retrying ones by the end of their pause.
    due: BTreeSet<(i64, u64, SlotNumber)>,
    /// The same for those that have yet to come to their turn, too.
    due_of: HashMap<SlotNumber, i64>,
    /// Those before a gate, with the lanes for which they wait; and who waits for a lane.
    gated: HashMap<SlotNumber, Vec<Lane>>,
    waiting_for: HashMap<Lane, Vec<SlotNumber>>,
    /// How many deliveries of each block are to be sent some time, and a number that none of them is below.
    by_block: BTreeMap<u64, (u32, u64)>,
    ready: usize,
    last_fresh: u64,
    /// Fresh deliveries since the last that was retried.
    fresh_in_turn: u32,
    /// How many retries have failed since one was delivered, as far as it matters.
    failed_retries: u32,
}

impl Lanes {
    /// How many deliveries there are.
    pub(super) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// For how many deliveries there is memory.
    #[cfg(test)]
    pub(super) fn room(&self) -> usize {
        self.slots.capacity()
    }

    /// Gives back the memory of a long backlog, once nothing of it is left.
    pub(super) fn shrink(&mut self) {
        if self.len() == 0 && self.slots.capacity() > ROOM_KEPT {
            let Self { last_fresh, fresh_in_turn, failed_retries, .. } = *self;
            *self = Self { last_fresh, fresh_in_turn, failed_retries, ..Self::default() };
        }
    }

    /// A delivery comes into its lane: behind all others, but before those that wait there with higher numbers.
    pub(super) fn insert(&mut self, arrival: Arrival<'_>) {
        let Arrival { sequence, home, lane, behind, standing, has_row, overtakes } = arrival;
        let stand = if standing == Standing::Blocking { Stand::Blocking } else { Stand::Waiting };
        let number =
            self.occupy(Slot { sequence, lane, home, next: NONE, stand, has_row, overtakes, pauses: false });
        let is_gate = |other: &&Lane| **other != lane && self.has_before(**other, sequence);
        let mut gates: Vec<Lane> = behind.iter().filter(is_gate).copied().collect();
        gates.sort_unstable();
        gates.dedup();
        if !gates.is_empty() {
            for &gate in &gates {
                self.waiting_for.entry(gate).or_default().push(number);
            }
            self.gated.insert(number, gates);
        }
        if stand != Stand::Blocking {
            self.join_block(home, sequence);
        }
        if let Standing::Retrying { due_us } = standing {
            self.keep_pause(number, due_us);
        }
        let Some(&Ends { head, tail }) = self.by_lane.get(&lane) else {
            self.by_lane.insert(lane, Ends { head: number, tail: number });
            self.activate(number);
            return;
        };
        if self.slots[tail as usize].sequence < sequence {
            self.slots[tail as usize].next = number;
            self.by_lane.insert(lane, Ends { head, tail: number });
        } else if self.slots[head as usize].sequence > sequence && self.is_waiting(head) {
            // it stands before a gate: who came earlier need not wait for that
            self.slots[number as usize].next = head;
            self.by_lane.insert(lane, Ends { head: number, tail });
            self.activate(number);
        } else {
            let mut before = head;
            loop {
                let next = self.slots[before as usize].next;
                if next == NONE || self.slots[next as usize].sequence > sequence {
                    break;
                }
                before = next;
            }
            let next = std::mem::replace(&mut self.slots[before as usize].next, number);
            self.slots[number as usize].next = next;
            if next == NONE {
                self.by_lane.insert(lane, Ends { head, tail: number });
            }
        }
    }

    fn occupy(&mut self, slot: Slot) -> SlotNumber {
        match self.free.pop() {
            Some(number) => {
                self.slots[number as usize] = slot;
                number
            }
            None => {
                self.slots.push(slot);
                (self.slots.len() - 1) as SlotNumber
            }
        }
    }

    fn is_waiting(&self, number: SlotNumber) -> bool {
        self.slots[number as usize].stand == Stand::Waiting
    }

    /// The head of a lane becomes ready, or its pause goes on, if nothing is against it.
    fn activate(&mut self, number: SlotNumber) {
        if self.slots[number as usize].stand == Stand::Blocking || self.gated.contains_key(&number) {
            return;
        }
        match self.pause_of(number) {
            Some(due_us) => self.pause(number, due_us),
            None => self.make_ready(number),
        }
    }

    fn make_ready(&mut self, number: SlotNumber) {
        let slot = &mut self.slots[number as usize];
        slot.stand = Stand::Ready;
        self.ready += 1;
        if slot.overtakes {
            self.young.insert(slot.sequence, number);
        } else if slot.sequence > self.last_fresh {
            self.last_fresh = slot.sequence;
            self.fresh.push_back((slot.sequence, number));
        } else {
            self.promoted.insert(slot.sequence, number);
        }
    }

    fn pause(&mut self, number: SlotNumber, due_us: i64) {
        let slot = &mut self.slots[number as usize];
        slot.stand = Stand::Retrying;
        self.due.insert((due_us, slot.sequence, number));
        self.keep_pause(number, due_us);
    }

    fn keep_pause(&mut self, number: SlotNumber, due_us: i64) {
        self.slots[number as usize].pauses = true;
        self.due_of.insert(number, due_us);
    }

    /// When its pause ends, if it has one.
    fn pause_of(&self, number: SlotNumber) -> Option<i64> {
        self.slots[number as usize].pauses.then(|| self.due_of[&number])
    }

    fn forget_pause(&mut self, number: SlotNumber) {
        if std::mem::take(&mut self.slots[number as usize].pauses) {
            self.due_of.remove(&number);
        }
    }

    /// Claims the next that may be: in the order of the numbers, and now and then one that is retried. Where that order
    /// is about what came before the block from which on all are young, every second one is a young one.
    pub(super) fn claim(&mut self, now_us: i64, young_from: u64) -> Option<SlotNumber> {
        let retry_first = self.fresh_in_turn >= FRESH_PER_RETRY << self.failed_retries || self.ready == 0;
        if retry_first
            && let Some(&(due_us, sequence, number)) = self.due.first()
            && due_us <= now_us
        {
            self.due.remove(&(due_us, sequence, number));
            self.forget_pause(number);
            self.fresh_in_turn = 0;
            self.slots[number as usize].stand = Stand::Claimed;
            return Some(number);
        }
        let number = self.next_ready(young_from)?;
        self.fresh_in_turn = self.fresh_in_turn.saturating_add(1);
        self.ready -= 1;
        self.slots[number as usize].stand = Stand::Claimed;
        Some(number)
    }

    fn next_ready(&mut self, young_from: u64) -> Option<SlotNumber> {
        self.pass_over();
        let others_are_late = self.part_by_age(young_from);
        self.was_young = !(self.young.is_empty() || others_are_late && self.was_young);
        if self.was_young {
            return self.young.pop_first().map(|(_, number)| number);
        }
        match (self.fresh.front(), self.promoted.first_key_value()) {
            (Some((fresh, _)), Some((promoted, _))) if promoted < fresh => self.promoted.pop_first(),
            (None, _) => self.promoted.pop_first(),
            (Some(_), _) => self.fresh.pop_front(),
        }
        .map(|(_, number)| number)
    }

    /// Lets those that are ready stand first.
    fn pass_over(&mut self) {
        while let Some(&(sequence, number)) = self.fresh.front()
            && !self.is_ready(sequence, number)
        {
            self.fresh.pop_front();
        }
        while let Some((&sequence, &number)) = self.promoted.first_key_value()
            && !self.is_ready(sequence, number)
        {
            self.promoted.pop_first();
        }
    }

    /// Parts those that are young from what came long before, and lets those that are it no more go by their numbers.
    /// Returns whether there is anything that came long before.
    fn part_by_age(&mut self, young_from: u64) -> bool {
        let is_young = |slots: &[Slot], number: SlotNumber| slots[number as usize].home.block() >= young_from;
        while let Some((&sequence, &number)) = self.young.first_key_value()
            && !(is_young(&self.slots, number) && self.is_ready(sequence, number))
        {
            self.young.pop_first();
            if self.is_ready(sequence, number) {
                self.promoted.insert(sequence, number);
            }
        }
        let first = self.fresh.front().map(|&(_, number)| number);
        let first = first.into_iter().chain(self.promoted.first_key_value().map(|(_, &number)| number));
        if first.into_iter().all(|number| is_young(&self.slots, number)) {
            return false;
        }
        while let Some(&(sequence, number)) = self.fresh.back()
            && is_young(&self.slots, number)
        {
            self.fresh.pop_back();
            if self.is_ready(sequence, number) {
                self.young.insert(sequence, number);
            }
        }
        true
    }

    /// Whether a slot is still that of this delivery, which may be claimed.
    fn is_ready(&self, sequence: u64, number: SlotNumber) -> bool {
        let slot = &self.slots[number as usize];
        slot.stand == Stand::Ready && slot.sequence == sequence
    }

    /// A claimed delivery was delivered.
    pub(super) fn deliver(&mut self, number: SlotNumber) {
        if self.slots[number as usize].has_row {
            self.failed_retries = 0;
        }
        self.end(number);
    }

    /// A claimed delivery is to be tried again.
    pub(super) fn retry(&mut self, number: SlotNumber, due_us: i64) {
        self.fail(number);
        self.slots[number as usize].has_row = true;
        self.pause(number, due_us);
    }

    /// An attempt failed.
    fn fail(&mut self, number: SlotNumber) {
        if self.slots[number as usize].has_row {
            self.failed_retries = (self.failed_retries + 1).min(DOUBLINGS_MAX);
        }
    }

    /// A claimed delivery becomes a dead letter.
    pub(super) fn die(&mut self, number: SlotNumber) {
        self.fail(number);
        self.end(number);
    }

    /// A claimed delivery becomes a dead letter that holds its lane.
    pub(super) fn block(&mut self, number: SlotNumber) {
        self.fail(number);
        let slot = &mut self.slots[number as usize];
        slot.stand = Stand::Blocking;
        slot.has_row = true;
        let home = slot.home;
        self.leave_block(home);
    }

    /// A claim was given back.
    pub(super) fn release(&mut self, number: SlotNumber) {
        match self.slots[number as usize].stand {
            Stand::GivenUp => self.end(number),
            Stand::Claimed => self.make_ready(number),
            Stand::Waiting | Stand::Ready | Stand::Retrying | Stand::Blocking => {}
        }
    }

    /// A blocking dead letter is to be sent again.
    pub(super) fn unblock(&mut self, number: SlotNumber) {
        let slot = &mut self.slots[number as usize];
        if slot.stand != Stand::Blocking {
            return;
        }
        slot.stand = Stand::Waiting;
        let (home, sequence) = (slot.home, slot.sequence);
        self.join_block(home, sequence);
        if self.by_lane[&self.slots[number as usize].lane].head == number {
            self.activate(number);
        }
    }

    /// An operator gave a delivery up. Who works on it ends it; until then its lane is held.
    pub(super) fn give_up(&mut self, number: SlotNumber) {
        match self.slots[number as usize].stand {
            Stand::Claimed => self.slots[number as usize].stand = Stand::GivenUp,
            // it may be told twice
            Stand::GivenUp => {}
            Stand::Waiting | Stand::Ready | Stand::Retrying | Stand::Blocking => self.end(number),
        }
    }

    /// A delivery has ended: the next of its lane goes on, and so do those whose gate it was.
    pub(super) fn end(&mut self, number: SlotNumber) {
        let Slot { lane, home, next, stand, .. } = self.slots[number as usize];
        self.stand_back(number);
        self.forget_pause(number);
        self.pass_gate(number);
        if stand != Stand::Blocking {
            self.leave_block(home);
        }
        // whoever still points here finds that it is nobody's turn
        self.free.push(number);
        let Ends { head, tail } = self.by_lane[&lane];
        if head != number {
            self.unlink(number);
        } else if next == NONE {
            self.by_lane.remove(&lane);
        } else {
            self.by_lane.insert(lane, Ends { head: next, tail });
            self.activate(next);
        }
        self.open_gates(lane);
    }

    /// It is nobody's turn in a slot, unless it blocks its lane.
    fn stand_back(&mut self, number: SlotNumber) {
        let Slot { sequence, stand, .. } = self.slots[number as usize];
        match stand {
            Stand::Ready => self.ready -= 1,
            Stand::Retrying => {
                if let Some(due_us) = self.pause_of(number) {
                    self.due.remove(&(due_us, sequence, number));
                }
            }
            Stand::Blocking => return,
            Stand::Waiting | Stand::Claimed | Stand::GivenUp => {}
        }
        self.slots[number as usize].stand = Stand::Waiting;
    }

    /// A delivery waits for no other lane any more.
    fn pass_gate(&mut self, number: SlotNumber) {
        if self.gated.is_empty() {
            return;
        }
        for gate in self.gated.remove(&number).unwrap_or_default() {
            if let Some(waiting) = self.waiting_for.get_mut(&gate) {
                waiting.retain(|&waiting| waiting != number);
                if waiting.is_empty() {
                    self.waiting_for.remove(&gate);
                }
            }
        }
    }

    /// Lets those go on that waited for what was before them in a lane, and for nothing else.
    fn open_gates(&mut self, lane: Lane) {
        for waiting in self.waiting_for.get(&lane).cloned().unwrap_or_default() {
            let sequence = self.slots[waiting as usize].sequence;
            if self.gated[&waiting].iter().any(|&gate| self.has_before(gate, sequence)) {
                continue;
            }
            self.pass_gate(waiting);
            if self.by_lane[&self.slots[waiting as usize].lane].head == waiting && self.is_waiting(waiting) {
                self.activate(waiting);
            }
        }
    }

    /// Whether a lane has a delivery before a number.
    fn has_before(&self, lane: Lane, sequence: u64) -> bool {
        let Some(Ends { head, .. }) = self.by_lane.get(&lane) else { return false };
        let head = &self.slots[*head as usize];
        // all but the head are in order
        head.sequence < sequence || head.next != NONE && self.slots[head.next as usize].sequence < sequence
    }

    /// Takes a delivery out of its lane that is not its head.
    fn unlink(&mut self, number: SlotNumber) {
        let Slot { lane, next, .. } = self.slots[number as usize];
        let Ends { head, tail } = self.by_lane[&lane];
        let mut before = head;
        while self.slots[before as usize].next != number {
            before = self.slots[before as usize].next;
        }
        self.slots[before as usize].next = next;
        if tail == number {
            self.by_lane.insert(lane, Ends { head, tail: before });
        }
    }

    fn join_block(&mut self, home: Home, sequence: u64) {
        let (count, first) = self.by_block.entry(home.block()).or_insert((0, sequence));
        *count += 1;
        *first = sequence.min(*first);
    }

    fn leave_block(&mut self, home: Home) {
        if let Some((left, _)) = self.by_block.get_mut(&home.block()) {
            *left -= 1;
            if *left == 0 {
                self.by_block.remove(&home.block());
            }
        }
    }

    /// The slot of a delivery, if it is in its lane.
    pub(super) fn find(&self, lane: Lane, sequence: u64) -> Option<SlotNumber> {
        let mut number = self.by_lane.get(&lane)?.head;
        while number != NONE {
            if self.slots[number as usize].sequence == sequence {
                return Some(number);
            }
            number = self.slots[number as usize].next;
        }
        None
    }

    pub(super) fn sequence(&self, number: SlotNumber) -> u64 {
        self.slots[number as usize].sequence
    }

    pub(super) fn home(&self, number: SlotNumber) -> Home {
        self.slots[number as usize].home
    }

    pub(super) fn stand(&self, number: SlotNumber) -> Stand {
        self.slots[number as usize].stand
    }

    pub(super) fn has_row(&self, number: SlotNumber) -> bool {
        self.slots[number as usize].has_row
    }

    /// The delivery has a row of its own from now on.
    pub(super) fn note_row(&mut self, number: SlotNumber) {
        self.slots[number as usize].has_row = true;
    }

    /// How many may be claimed, without those that are retried.
    pub(super) fn ready(&self) -> usize {
        self.ready
    }

    /// From when on there may be something to claim.
    pub(super) fn hot_from_us(&self) -> Option<i64> {
        if self.ready > 0 { Some(i64::MIN) } else { self.due.first().map(|&(due_us, ..)| due_us) }
    }

    /// A number that no delivery that is to be sent some time is below.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.by_block.first_key_value().map(|(_, &(_, first))| first)
    }

    /// Every delivery, and where it stands.
    pub(super) fn stands(&self) -> HashMap<u64, Stand> {
        let mut stands = HashMap::default();
        for ends in self.by_lane.values() {
            let mut number = ends.head;
            while number != NONE {
                let slot = &self.slots[number as usize];
                stands.insert(slot.sequence, slot.stand);
                number = slot.next;
            }
        }
        stands
    }

    /// A claim that stands in the lanes of before stands in these, which were read since: at the head of its lane. What
    /// was given up is not among what was read. Returns its slot.
    pub(super) fn claim_again(&mut self, before: &Self, slot: SlotNumber) -> SlotNumber {
        let mut claimed = before.slots[slot as usize];
        let number = match self.find(claimed.lane, claimed.sequence) {
            Some(number) => number,
            None => {
                (claimed.next, claimed.pauses) = (NONE, false);
                self.join_block(claimed.home, claimed.sequence);
                self.occupy(claimed)
            }
        };
        self.pass_gate(number);
        self.stand_back(number);
        self.forget_pause(number);
        let lane = claimed.lane;
        match self.by_lane.get(&lane).copied() {
            None => drop(self.by_lane.insert(lane, Ends { head: number, tail: number })),
            Some(Ends { head, .. }) if head == number => {}
            Some(Ends { head, .. }) => {
                if self.find(lane, claimed.sequence).is_some() {
                    self.unlink(number);
                }
                self.stand_back(head);
                self.slots[number as usize].next = head;
                let tail = self.by_lane[&lane].tail;
                self.by_lane.insert(lane, Ends { head: number, tail });
            }
        }
        self.slots[number as usize].stand = claimed.stand;
        number
    }
}
