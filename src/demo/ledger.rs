//! What is owed to the endpoints, and what came.

use super::receiver::Arrival;
use serde_json::{Map, Value};
use std::collections::HashSet;
use std::time::{Duration, Instant};

/// An event that an endpoint must hear of: its path, what happened, the entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owed {
    /// The endpoint's path.
    pub(super) path: &'static str,
    /// What happened.
    pub(super) verb: &'static str,
    /// The entry id.
    pub(super) entry_id: String,
}

/// What a body says.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Told {
    /// What happened.
    pub(super) verb: String,
    /// The entry id.
    pub(super) entry_id: String,
    /// Fields with their old value, where it is told, and the new one.
    pub(super) fields: Vec<(String, Option<Value>, Value)>,
}

/// Something that came.
#[derive(Clone, Debug)]
pub(super) struct Came {
    /// The endpoint's path.
    pub(super) path: String,
    /// What it says.
    pub(super) told: Told,
    /// The status it was answered with; none when the connection was cut.
    pub(super) status: Option<u16>,
    /// From the moment before COMMIT was sent to the arrival; none if it was refused, or had come before.
    pub(super) after: Option<Duration>,
    /// Whether it is a replay.
    pub(super) replay: bool,
}

/// The books of a show.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    commits: usize,
    owed: Vec<(Owed, Instant, bool)>,
    seen: HashSet<String>,
    read: usize,
    repeats: usize,
    refused: usize,
    surplus: usize,
    latencies: Vec<Duration>,
}

/// The sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    /// Transactions committed.
    pub(super) commits: usize,
    /// Deliveries that were owed.
    pub(super) owed: usize,
    /// Those that arrived and were accepted.
    pub(super) delivered: usize,
    /// Requests that the endpoints refused.
    pub(super) refused: usize,
    /// Requests that came again under a `webhook-id` that had been accepted.
    pub(super) repeats: usize,
    /// Accepted requests that nothing was owed for.
    pub(super) surplus: usize,
    /// Deliveries that are owed still.
    pub(super) lost: usize,
    /// The median time from commit to arrival.
    pub(super) median: Duration,
    /// Nine of ten arrived within this time.
    pub(super) ninth: Duration,
}

impl Ledger {
    /// A transaction committed (the moment before COMMIT was sent), and what it owes.
    pub(super) fn commit(&mut self, at: Instant, owes: impl IntoIterator<Item = Owed>) {
        self.commits += 1;
        self.owed.extend(owes.into_iter().map(|owed| (owed, at, false)));
    }

    /// How many of the receiver's requests have been read.
    pub(super) fn read(&self) -> usize {
        self.read
    }

    /// How many deliveries are owed still.
    pub(super) fn open(&self) -> usize {
        self.owed.iter().filter(|(_, _, arrived)| !arrived).count()
    }

    /// Whether nothing is owed any more.
    pub(super) fn is_even(&self) -> bool {
        self.open() == 0
    }

    /// Whether nothing is owed any more to the endpoint of that path.
    pub(super) fn is_even_with(&self, path: &str) -> bool {
        self.owed.iter().all(|(owed, _, arrived)| *arrived || owed.path != path)
    }

    /// How many requests were refused.
    pub(super) fn refused(&self) -> usize {
        self.refused
    }

    /// Books the next requests, up to the first that has not ended.
    pub(super) fn book(&mut self, arrivals: &[Arrival]) -> Vec<Came> {
        let ended = arrivals.iter().take_while(|arrival| arrival.ended.is_some());
        ended.map(|arrival| self.book_one(arrival)).collect()
    }

    fn book_one(&mut self, arrival: &Arrival) -> Came {
        self.read += 1;
        let request = &arrival.request;
        let told = read_body(&request.body);
        let replay = request.header("walhook-replay") == Some("1");
        let mut after = None;
        if !arrival.is_accepted() {
            self.refused += 1;
        } else if !self.seen.insert(request.header("webhook-id").unwrap_or_default().to_owned()) {
            self.repeats += 1;
        } else if let Some((_, since, arrived)) = self.owed.iter_mut().find(|(owed, _, arrived)| {
            let fits = (owed.path, owed.verb, owed.entry_id.as_str());
            !arrived && fits == (&request.path, &told.verb, &told.entry_id)
        }) {
            *arrived = true;
            let waited = request.started.saturating_duration_since(*since);
            self.latencies.push(waited);
            after = Some(waited);
        } else {
            self.surplus += 1;
        }
        Came { path: request.path.clone(), told, status: arrival.status, after, replay }
    }

    /// The sums so far.
    pub(super) fn summary(&self) -> Summary {
        let mut latencies = self.latencies.clone();
        latencies.sort_unstable();
        let at = |tenths: usize| latencies.get(latencies.len() * tenths / 10).copied().unwrap_or_default();
        Summary {
            commits: self.commits,
            owed: self.owed.len(),
            delivered: self.owed.len() - self.open(),
            refused: self.refused,
            repeats: self.repeats,
            surplus: self.surplus,
            lost: self.open(),
            median: at(5),
            ninth: at(9),
        }
    }
}

/// Reads a body of format `native` or `arsys`.
fn read_body(body: &[u8]) -> Told {
    let body: Map<String, Value> = serde_json::from_slice(body).unwrap_or_default();
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
    let mut fields = Vec::new();
    for (field, change) in body.get("changed").and_then(Value::as_object).into_iter().flatten() {
        let new = change.get("new").cloned().unwrap_or_default();
        fields.push((field.clone(), change.get("old").cloned(), new));
    }
    for (field, value) in body.get("entry_details").and_then(Value::as_object).into_iter().flatten() {
        fields.push((field.clone(), None, value.clone()));
    }
    Told {
        verb: text("event").or_else(|| text("entry_event")).unwrap_or_default(),
        entry_id: text("entry_id").unwrap_or_default(),
        fields,
    }
}

#[cfg(test)]
mod tests {
    use super::super::receiver::Request;
    use super::*;
    use std::time::SystemTime;

    fn arrival(id: &str, body: &'static str, status: u16) -> Arrival {
        let headers = vec![("webhook-id".to_owned(), id.to_owned())];
        let (started, arrived_at) = (Instant::now(), SystemTime::now());
        let request = Request { path: "/pager".into(), headers, body: body.into(), started, arrived_at };
        Arrival { request, ended: Some(started), status: Some(status) }
    }

    #[test]
    fn what_is_owed_and_does_not_come_is_lost_and_repeats_do_not_count_twice() {
        let mut ledger = Ledger::default();
        let owed = |entry_id: &str| Owed { path: "/pager", verb: "update", entry_id: entry_id.into() };
        ledger.commit(Instant::now(), [owed("1"), owed("1"), owed("2")]);
        let body = r#"{"event": "update", "entry_id": "1", "changed": {"Status": {"old": 0, "new": 1}}}"#;
        let came = ledger.book(&[arrival("a", body, 503), arrival("a", body, 204), arrival("a", body, 204)]);
        assert_eq!(came[1].told.fields, [("Status".to_owned(), Some(0.into()), 1.into())]);
        assert!(came[0].after.is_none() && came[1].after.is_some() && came[2].after.is_none());
        let classic = r#"{"entry_event": "update", "entry_id": "3", "entry_details": {"Status": 1}}"#;
        ledger.book(&[arrival("b", classic, 204)]);
        let summary = ledger.summary();
        assert_eq!((summary.owed, summary.delivered, summary.lost), (3, 1, 2));
        assert_eq!((summary.refused, summary.repeats, summary.surplus), (1, 1, 1));
    }
}
