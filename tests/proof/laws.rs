//! The laws that a receiver's record must keep, judged against the oracle.

use super::oracle::Expected;
use bytes::Bytes;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

/// An attempt as the receiver saw it; times in microseconds since the run began.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub hook: u64,
    /// The `webhook-id` header.
    pub id: String,
    /// The `walhook-sequence` header.
    pub sequence: u64,
    pub replay: bool,
    pub body: Bytes,
    pub start: u64,
    /// When the answer was decided, or the sender was gone or killed.
    pub end: u64,
    pub accepted: bool,
}

/// All that is known of a run from outside.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub attempts: Vec<Attempt>,
    /// The dead letters that walhook lists: webhook and sequence.
    pub dead: BTreeSet<(u64, u64)>,
    /// Looks at both sides of the one rule, each at a moment when nothing moved.
    pub looks: Vec<Look>,
}

/// What the server was told, and what the queue held then: LSNs.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub confirmed: u64,
    pub stored: u64,
}

/// What can be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Law {
    /// Every committed change that is wanted arrives, or is listed as a dead letter.
    Complete,
    /// Nothing arrives that was not committed, or not wanted.
    Nothing,
    /// Per webhook and entry in commit order, and not again once a later one was tried.
    Ordered,
    /// Never two attempts of one lane at once.
    Single,
    /// One event, one `webhook-id`, one sequence, one body, on every attempt.
    Same,
    /// The body says what the history says.
    True,
    /// Nothing is confirmed to the server that the queue does not hold durably.
    Durable,
}

impl Law {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Complete, Self::Nothing, Self::Ordered, Self::Single, Self::Same, Self::True, Self::Durable];
}

#[derive(Debug)]
pub struct Violation {
    pub law: Law,
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.law, self.text)
    }
}

/// Judges a record; empty means that every law was kept.
pub fn judge(expected: &[Expected], record: &Record) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut numbers_of_ids: HashMap<&str, (u64, u64)> = HashMap::new();
    for expected in expected {
        let mut attempts: BTreeMap<u64, Vec<&Attempt>> = BTreeMap::new();
        for attempt in record.attempts.iter().filter(|attempt| attempt.hook == expected.id) {
            let number = (attempt.hook, attempt.sequence);
            let known = *numbers_of_ids.entry(&attempt.id).or_insert(number);
            if known != number {
                let text = format!("{} is {number:?} and {known:?}", attempt.id);
                violations.push(Violation { law: Law::Same, text });
            }
            attempts.entry(attempt.sequence).or_default().push(attempt);
        }
        for attempts in attempts.values_mut() {
            attempts.sort_by_key(|attempt| attempt.start);
        }
        let book = Book { expected, attempts, dead: &record.dead };
        book.judge_each(&mut violations);
        book.judge_order(&mut violations);
        book.judge_overlaps(&mut violations);
    }
    for Look { confirmed, stored } in record.looks.iter().filter(|look| look.confirmed > look.stored) {
        let text = format!("confirmed up to {confirmed:X}, and stored only up to {stored:X}");
        violations.push(Violation { law: Law::Durable, text });
    }
    violations.sort_by_key(|violation| violation.law);
    violations
}

/// One webhook's part of the record.
struct Book<'a> {
    expected: &'a Expected,
    /// By sequence, in the order of their beginning.
    attempts: BTreeMap<u64, Vec<&'a Attempt>>,
    dead: &'a BTreeSet<(u64, u64)>,
}

impl Book<'_> {
    fn name(&self, number: usize) -> String {
        let (event, hook) = (&self.expected.events[number], self.expected.by[number]);
        format!(
            "{} {:?} {}: {} of {:?}",
            self.expected.id,
            hook.name,
            number + 1,
            event.verb,
            event.key.entry_id
        )
    }

    fn attempts_of(&self, number: usize) -> &[&Attempt] {
        self.attempts.get(&(number as u64 + 1)).map_or(&[], Vec::as_slice)
    }

    fn judge_each(&self, violations: &mut Vec<Violation>) {
        let mut violated = |law, text| violations.push(Violation { law, text });
        let id = self.expected.id;
        let count = self.expected.events.len() as u64;
        for sequence in self.attempts.keys().filter(|&&sequence| sequence == 0 || sequence > count) {
            let text = format!("{id} {sequence}: there are only {count} events");
            violated(Law::Nothing, text);
        }
        for (_, sequence) in self.dead.iter().filter(|(of, sequence)| *of == id && *sequence > count) {
            violated(Law::Nothing, format!("{id} {sequence} is dead, and is no event"));
        }
        for number in 0..self.expected.events.len() {
            let attempts = self.attempts_of(number);
            let listed_dead = self.dead.contains(&(id, number as u64 + 1));
            let accepted = attempts.iter().any(|attempt| attempt.accepted);
            if self.expected.is_dead(number) {
                if !listed_dead {
                    violated(Law::Complete, format!("{} is not listed as dead", self.name(number)));
                }
            } else if !accepted && !self.expected.spared[number] {
                let text = format!("{} has not arrived ({} attempts)", self.name(number), attempts.len());
                violated(Law::Complete, text);
            }
            let Some(first) = attempts.first() else { continue };
            if attempts.iter().any(|attempt| attempt.body != first.body || attempt.id != first.id) {
                violated(Law::Same, format!("{} differs between attempts", self.name(number)));
            }
            if let Err(text) = compare(&self.expected.body(number), first) {
                violated(Law::True, format!("{}: {text}", self.name(number)));
            }
        }
    }

    /// A delivery is first tried when those before it in its lane are finished, and then they stay finished.
    fn judge_order(&self, violations: &mut Vec<Violation>) {
        for (number, behind) in self.expected.behind.iter().enumerate() {
            let Some(first) = self.attempts_of(number).first() else { continue };
            for &earlier in behind {
                let attempts = self.attempts_of(earlier);
                let finished = if self.expected.is_dead(earlier) {
                    attempts.iter().map(|attempt| attempt.end).min()
                } else {
                    attempts.iter().filter(|attempt| attempt.accepted).map(|attempt| attempt.end).min()
                };
                let (name, other) = (self.name(number), self.name(earlier));
                // what was dropped is never finished, and so never tried again
                let is_dropped = self.expected.spared[earlier] && finished.is_none();
                if !is_dropped && finished.is_none_or(|finished| finished > first.start) {
                    let text = format!("{name} was tried before {other} was finished");
                    violations.push(Violation { law: Law::Ordered, text });
                }
                if attempts.iter().any(|attempt| attempt.start > first.start && !attempt.replay) {
                    let text = format!("{other} was tried again after {name}");
                    violations.push(Violation { law: Law::Ordered, text });
                }
            }
        }
    }

    fn judge_overlaps(&self, violations: &mut Vec<Violation>) {
        let mut lanes: HashMap<_, Vec<&Attempt>> = HashMap::new();
        for (number, event) in self.expected.events.iter().enumerate() {
            lanes.entry(&event.key).or_default().extend(self.attempts_of(number));
        }
        for (key, mut attempts) in lanes {
            attempts.sort_by_key(|attempt| attempt.start);
            for pair in attempts.windows(2).filter(|pair| pair[1].start < pair[0].end) {
                let text = format!(
                    "{:?} {:?}: attempts of {} ({}..{}) and {} ({}..{}) overlap",
                    self.expected.id,
                    key.entry_id,
                    pair[0].sequence,
                    pair[0].start,
                    pair[0].end,
                    pair[1].sequence,
                    pair[1].start,
                    pair[1].end
                );
                violations.push(Violation { law: Law::Single, text });
            }
        }
    }
}

/// Keys that no history can tell.
const FREE: [&str; 2] = ["id", "sequence"];

/// Compares a body with the expected one: every expected key, and no other that says something.
fn compare(expected: &Value, attempt: &Attempt) -> Result<(), String> {
    let got: Value =
        serde_json::from_slice(&attempt.body).map_err(|error| format!("the body is no JSON: {error}"))?;
    let is_said = |value: &Value| !(value.is_null() || value.as_array().is_some_and(Vec::is_empty));
    let (Some(expected), Some(got)) = (expected.as_object(), got.as_object()) else {
        return Err(format!("the body is no object: {got}"));
    };
    for (key, value) in expected {
        let other = got.get(key).unwrap_or(&Value::Null);
        if !same(value, other) {
            return Err(format!("{key} is\n    {other}\n  and should be\n    {value}"));
        }
    }
    let is_free = |key: &str| FREE.contains(&key) && !expected.contains_key(key);
    if let Some((key, value)) =
        got.iter().find(|(key, value)| !is_free(key) && !expected.contains_key(*key) && is_said(value))
    {
        return Err(format!("{key} is {value}, and should not be there"));
    }
    if got.get("id").is_some_and(|id| id != attempt.id.as_str())
        || got.get("sequence").is_some_and(|sequence| sequence != attempt.sequence)
    {
        return Err(format!("id or sequence differ from the headers ({}, {})", attempt.id, attempt.sequence));
    }
    Ok(())
}

/// Equality; lists of field names in any order, and anything where the oracle says so (`$any`).
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(one), _) if one.contains_key("$any") => true,
        (Value::Array(one), Value::Array(other)) if one.iter().all(Value::is_string) => {
            let sorted = |list: &[Value]| {
                let mut list: Vec<String> = list.iter().map(Value::to_string).collect();
                list.sort_unstable();
                list
            };
            sorted(one) == sorted(other)
        }
        _ => one == other,
    }
}

/// A record that keeps every law: each delivery fails once, then is accepted (or refused for good).
#[cfg(test)]
pub fn perfect(expected: &[Expected]) -> Record {
    let mut record = Record::default();
    let mut now = 0;
    for expected in expected {
        for number in 0..expected.events.len() {
            let (hook, sequence) = (expected.id, number as u64 + 1);
            let id = format!("msg_{hook}_{sequence}");
            let mut body = expected.body(number);
            if expected.by[number].format == "native" {
                body["id"] = id.clone().into();
                body["sequence"] = sequence.into();
            }
            if expected.is_dead(number) {
                record.dead.insert((hook, sequence));
            }
            for accepted in [false, !expected.is_dead(number)] {
                let body = Bytes::from(body.to_string());
                let attempt = Attempt {
                    hook,
                    id: id.clone(),
                    sequence,
                    replay: false,
                    body,
                    start: now,
                    end: now + 5,
                    accepted,
                };
                record.attempts.push(attempt);
                now += 10;
            }
        }
    }
    record
}

#[cfg(test)]
mod tests {
    use super::super::history::{Committed, Key, Op};
    use super::super::oracle::{expect, foretell};
    use super::super::world::{ASSET, HOOKS, INCIDENT, Val, column};
    use super::*;
    use std::sync::Arc;

    fn scene() -> Vec<Expected> {
        let incident = |number: &str| {
            let mut row = vec![Val::Null; 9];
            row[0] = Val::text(number);
            row[1] = Val::text("guid");
            row[3] = Val::Int(1);
            Op::Insert { table: INCIDENT, row: Arc::new(row) }
        };
        let status = |number: &str, status: i64| Op::Update {
            key: Key { table: INCIDENT, entry_id: number.into() },
            set: vec![(column::INCIDENT_STATUS, Val::Int(status))],
        };
        let asset = vec![Val::text("north"), Val::Int(13), Val::Null, Val::Null, Val::Null];
        let transactions = vec![
            vec![incident("1"), incident("2")],
            vec![status("1", 2)],
            vec![status("1", 3), status("2", 4)],
            vec![Op::Insert { table: ASSET, row: Arc::new(asset) }],
        ];
        let history: Vec<Committed> =
            transactions.into_iter().map(|ops| Committed { ops, ..Committed::default() }).collect();
        expect(&foretell(&history).0, &HOOKS)
    }

    /// The laws that a doctored record breaks.
    fn check(doctor: impl Fn(&mut Record), broken: &[Law]) {
        let expected = scene();
        let mut record = perfect(&expected);
        doctor(&mut record);
        let mut found: Vec<Law> =
            judge(&expected, &record).into_iter().map(|violation| violation.law).collect();
        found.dedup();
        assert_eq!(found, broken);
    }

    /// The attempts of a delivery of the first webhook.
    fn of(record: &mut Record, sequence: u64) -> impl Iterator<Item = &mut Attempt> {
        record.attempts.iter_mut().filter(move |attempt| attempt.hook == 1 && attempt.sequence == sequence)
    }

    #[test]
    fn a_record_that_keeps_every_law_is_accepted() {
        check(|_| {}, &[]);
    }

    #[test]
    fn a_lost_delivery_is_seen() {
        check(|record| record.attempts.retain(|a| (a.hook, a.sequence) != (1, 4)), &[Law::Complete]);
        check(|record| of(record, 5).for_each(|attempt| attempt.accepted = false), &[Law::Complete]);
        check(|record| record.dead.clear(), &[Law::Complete]);
    }

    #[test]
    fn a_delivery_that_nothing_stands_behind_is_seen() {
        let surplus = |record: &mut Record| {
            let mut surplus = record.attempts[0].clone();
            (surplus.sequence, surplus.id) = (99, "msg_99".into());
            record.attempts.push(surplus);
        };
        check(surplus, &[Law::Nothing]);
    }

    #[test]
    fn deliveries_of_one_entry_out_of_order_are_seen() {
        let later_first = |record: &mut Record| of(record, 3).for_each(|attempt| attempt.start += 100_000);
        check(
            |record| {
                later_first(record);
                of(record, 3).for_each(|attempt| attempt.end += 100_000);
            },
            &[Law::Ordered],
        );
        let again = |record: &mut Record| {
            let mut again = of(record, 1).last().unwrap().clone();
            (again.start, again.end) = (200_000, 200_005);
            record.attempts.push(again);
        };
        check(again, &[Law::Ordered]);
        let replayed = |record: &mut Record| {
            again(record);
            record.attempts.last_mut().unwrap().replay = true;
        };
        check(replayed, &[]);
    }

    #[test]
    fn two_attempts_at_once_are_seen() {
        check(|record| of(record, 1).next().unwrap().end += 7, &[Law::Single]);
    }

    #[test]
    fn one_event_under_two_ids_or_bodies_is_seen() {
        check(|record| of(record, 2).last().unwrap().id = "msg_other".into(), &[Law::Same]);
        let spaced = |record: &mut Record| {
            let attempt = of(record, 2).last().unwrap();
            attempt.body = Bytes::from(format!(" {}", String::from_utf8_lossy(&attempt.body)));
        };
        check(spaced, &[Law::Same]);
        let shared = |record: &mut Record| {
            record.attempts.iter_mut().filter(|a| (a.hook, a.sequence) == (2, 2)).for_each(|attempt| {
                attempt.id = "msg_2_1".into();
            });
        };
        check(shared, &[Law::Same]);
    }

    #[test]
    fn a_confirmation_ahead_of_the_queue_is_seen() {
        let look =
            |confirmed, stored| move |record: &mut Record| record.looks.push(Look { confirmed, stored });
        check(look(7, 7), &[]);
        check(look(6, 7), &[]);
        check(look(8, 7), &[Law::Durable]);
    }

    #[test]
    fn a_body_that_says_something_else_is_seen() {
        let with = |from: &'static str, to: &'static str| {
            move |record: &mut Record| {
                of(record, 3).for_each(|attempt| {
                    let text = String::from_utf8_lossy(&attempt.body).replace(from, to);
                    assert_ne!(text.as_bytes(), &attempt.body[..], "the doctor changed nothing");
                    attempt.body = text.into();
                });
            }
        };
        check(with("\"Status\":2", "\"Status\":7"), &[Law::True]);
        check(with("\"new\":2", "\"new\":3"), &[Law::True]);
        check(with("\"event\":\"update\"", "\"event\":\"create\""), &[Law::True]);
        check(with("{\"changed\"", "{\"surplus\":1,\"changed\""), &[Law::True]);
        check(with("\"sequence\":3", "\"sequence\":4"), &[Law::True]);
    }
}
