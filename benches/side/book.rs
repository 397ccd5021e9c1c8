//! What a receiver keeps of a run: every arrival, and whether all that was expected came, once, in order.

use std::ops::RangeInclusive;

/// A request that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// The webhook, by the number in its path, from 0.
    pub webhook: u32,
    /// The row's id.
    pub entry: u32,
    /// Which of the row's changes: 1 its insert, 2 the first update.
    pub step: u8,
    /// Whether the answer was a refusal.
    pub is_refused: bool,
    /// When it had been read, in microseconds since 1970.
    pub at_us: u64,
    /// When the change was written, as the statement that wrote it says.
    pub written_us: u64,
}

/// What is to come: each step of each entry at each webhook.
#[derive(Clone, Debug)]
pub struct Expected {
    pub webhooks: u32,
    pub entries: RangeInclusive<u32>,
    pub step: u8,
    /// Every so many entries, one is refused for good.
    pub refused_each: Option<u32>,
}

impl Expected {
    /// One webhook, nothing refused.
    pub fn plain(entries: RangeInclusive<u32>, step: u8) -> Self {
        Self { webhooks: 1, entries, step, refused_each: None }
    }

    pub fn is_refused(&self, entry: u32) -> bool {
        self.refused_each.is_some_and(|each| entry.is_multiple_of(each))
    }

    fn width(&self) -> usize {
        self.entries.clone().count()
    }

    /// How many deliveries are to be accepted.
    pub fn accepted(&self) -> usize {
        let entries = self.entries.clone().filter(|entry| !self.is_refused(*entry)).count();
        entries * self.webhooks as usize
    }

    /// How many deliveries there are, with those that are refused.
    pub fn deliveries(&self) -> usize {
        self.width() * self.webhooks as usize
    }

    fn place(&self, arrival: &Arrival) -> Option<usize> {
        let is_ours = arrival.webhook < self.webhooks
            && arrival.step == self.step
            && self.entries.contains(&arrival.entry);
        is_ours.then(|| {
            arrival.webhook as usize * self.width() + (arrival.entry - self.entries.start()) as usize
        })
    }
}

/// How fast deliveries were accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// In a second, from the first to the last.
    pub whole: f64,
    /// The same of the middle 90 %.
    pub middle: f64,
    /// How long the first 5 % took.
    pub first_s: f64,
    /// And the last.
    pub last_s: f64,
}

/// The books of one run.
#[derive(Debug)]
pub struct Book {
    expected: Expected,
    arrivals: Vec<Arrival>,
    seen: Vec<bool>,
    /// The accepted deliveries when they came first: entry and moment.
    first: Vec<(u32, u64)>,
    repeats: usize,
    strange: usize,
}

impl Book {
    pub fn new(expected: Expected) -> Self {
        let (deliveries, accepted) = (expected.deliveries(), expected.accepted());
        Self {
            arrivals: Vec::with_capacity(deliveries + deliveries / 8),
            seen: vec![false; deliveries],
            first: Vec::with_capacity(accepted),
            repeats: 0,
            strange: 0,
            expected,
        }
    }

    /// Something came that is no change of ours.
    pub fn note_strange(&mut self) {
        self.strange += 1;
    }

    /// Attempts at refused entries come again by design: they are counted where they are first seen.
    pub fn note(&mut self, arrival: Arrival) {
        self.arrivals.push(arrival);
        let Some(place) = self.expected.place(&arrival) else { return self.note_strange() };
        let seen = std::mem::replace(&mut self.seen[place], true);
        match (seen, arrival.is_refused) {
            (false, false) => self.first.push((arrival.entry, arrival.at_us)),
            (true, false) => self.repeats += 1,
            (_, true) => {}
        }
    }

    pub fn expected(&self) -> &Expected {
        &self.expected
    }

    /// How many of the expected deliveries were accepted.
    pub fn accepted(&self) -> usize {
        self.first.len()
    }

    /// How many accepted deliveries had been accepted before.
    pub fn repeats(&self) -> usize {
        self.repeats
    }

    /// What makes a result worthless. Repeats do where nothing was killed.
    pub fn fault(&self, may_repeat: bool) -> Option<String> {
        let missing = self.seen.iter().filter(|seen| !**seen).count();
        let mut faults = Vec::new();
        if missing > 0 {
            faults.push(format!("{missing} of {} never came", self.seen.len()));
        }
        if self.repeats > 0 && !may_repeat {
            faults.push(format!("{} came again", self.repeats));
        }
        if self.strange > 0 {
            faults.push(format!("{} were not expected", self.strange));
        }
        (!faults.is_empty()).then(|| faults.join(", "))
    }

    /// The moments at which deliveries of such entries were first accepted, in their order.
    fn moments(&self, is_meant: impl Fn(u32) -> bool) -> Vec<u64> {
        let meant = self.first.iter().filter(|(entry, _)| is_meant(*entry));
        let mut moments: Vec<u64> = meant.map(|(_, at_us)| *at_us).collect();
        moments.sort_unstable();
        moments
    }

    /// How fast deliveries of such entries were accepted. None of too few.
    pub fn rates(&self, is_meant: impl Fn(u32) -> bool) -> Option<Rates> {
        let moments = self.moments(is_meant);
        let last = moments.len().checked_sub(1)?;
        let (begin, end) = (last / 20, last - last / 20);
        let seconds = |from: usize, to: usize| moments[to].saturating_sub(moments[from]) as f64 / 1e6;
        let rate = |from: usize, to: usize| {
            let took = seconds(from, to);
            (took > 0.0).then(|| (to - from) as f64 / took)
        };
        Some(Rates {
            whole: rate(0, last)?,
            middle: rate(begin, end)?,
            first_s: seconds(0, begin),
            last_s: seconds(end, last),
        })
    }

    /// When the first delivery was accepted, in microseconds since 1970.
    pub fn began_us(&self) -> Option<u64> {
        self.first.iter().map(|(_, at_us)| *at_us).min()
    }

    /// How long the changes of these entries took from being written to their first arrival, in milliseconds,
    /// shortest first.
    pub fn delays_ms(&self, entries: RangeInclusive<u32>) -> Vec<f64> {
        let mut delays: Vec<f64> = self
            .arrivals
            .iter()
            .filter(|arrival| entries.contains(&arrival.entry))
            .map(|arrival| arrival.at_us.saturating_sub(arrival.written_us) as f64 / 1000.0)
            .collect();
        delays.sort_unstable_by(f64::total_cmp);
        delays
    }
}

/// What a share of the values does not exceed; the values in order, the smallest first.
pub fn quantile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).copied()
}
