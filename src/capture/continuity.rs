//! Whether a log that is read again is the one that was read before.
//!
//! A server that was put back from a copy of its files has the system identifier, the timeline and the slot of the
//! one that we knew, and once it has written as much as it had lost, its positions tell nothing either. But it does
//! not have our last transaction. So wherever the slot is behind us, as it is after a crash of either side, the log
//! is read from the slot on, and nothing is taken from it before that transaction has come again.

use crate::delivery::LastTransaction;
use crate::lsn::Lsn;
use crate::source::Message;

/// Whether the last transaction still has to come again.
#[derive(Debug, Default)]
pub(super) struct Continuity {
    awaited: Option<Awaited>,
}

#[derive(Debug)]
struct Awaited {
    commit_lsn: Lsn,
    /// None where only its place is known.
    last: Option<LastTransaction>,
}

impl Continuity {
    /// Awaits the transaction at `commit_lsn`, if a log that is read from `from` on has it.
    pub(super) fn from(from: Lsn, commit_lsn: Lsn, last: Option<LastTransaction>) -> Self {
        let is_read_again = commit_lsn > Lsn::ZERO && commit_lsn >= from;
        Self { awaited: is_read_again.then_some(Awaited { commit_lsn, last }) }
    }

    /// Whether the log is known to be the same.
    pub(super) fn is_settled(&self) -> bool {
        self.awaited.is_none()
    }

    /// Takes note of what the log says. The error says why it is another one.
    pub(super) fn meet(&mut self, message: &Message) -> Result<(), String> {
        let Some(Awaited { commit_lsn: awaited, last }) = self.awaited else { return Ok(()) };
        match *message {
            Message::Begin { commit_lsn, committed_at_us, xid } if commit_lsn == awaited => {
                if last.is_some_and(|last| last != LastTransaction { xid, committed_at_us }) {
                    return Err(another_log(awaited, last));
                }
                self.awaited = None;
            }
            Message::Begin { commit_lsn: reached, .. } | Message::Keepalive { wal_end: reached }
                if reached > awaited =>
            {
                return Err(another_log(awaited, last));
            }
            _ => {}
        }
        Ok(())
    }
}

fn another_log(commit_lsn: Lsn, last: Option<LastTransaction>) -> String {
    let which = last.map_or_else(String::new, |last| format!(" {}", last.xid));
    format!(
        "the server was put back to an older state: its log does not have transaction{which} any more, which was \
         committed at {commit_lsn}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const OURS: LastTransaction = LastTransaction { xid: 7, committed_at_us: 70 };

    fn begin(commit_lsn: u64, xid: u32, committed_at_us: i64) -> Message {
        Message::Begin { commit_lsn: Lsn(commit_lsn), xid, committed_at_us }
    }

    fn keepalive(wal_end: u64) -> Message {
        Message::Keepalive { wal_end: Lsn(wal_end) }
    }

    /// What is found in a log that is read from 100 on, when the last transaction was at 200.
    fn check(last: Option<LastTransaction>, log: &[Message], expected: Result<bool, &str>) {
        let mut continuity = Continuity::from(Lsn(100), Lsn(200), last);
        let met = log.iter().try_for_each(|message| continuity.meet(message));
        match expected {
            Ok(is_settled) => assert_eq!(met.map(|()| continuity.is_settled()), Ok(is_settled)),
            Err(expected) => assert!(met.clone().unwrap_err().contains(expected), "{met:?}"),
        }
    }

    #[test]
    fn the_last_transaction_comes_again_in_the_same_log_only() {
        check(Some(OURS), &[begin(150, 6, 60), keepalive(200)], Ok(false));
        check(Some(OURS), &[begin(150, 6, 60), begin(200, 7, 70), begin(250, 8, 80)], Ok(true));
        let words = "does not have transaction 7 any more, which was committed at 0/C8";
        check(Some(OURS), &[begin(150, 6, 60), begin(201, 7, 70)], Err(words));
        check(Some(OURS), &[begin(200, 7, 71)], Err(words));
        check(Some(OURS), &[begin(200, 8, 70)], Err(words));
        check(Some(OURS), &[keepalive(201)], Err(words));
    }

    #[test]
    fn a_queue_of_before_knows_its_place_only() {
        check(None, &[begin(200, 9, 90)], Ok(true));
        check(None, &[begin(208, 9, 90)], Err("does not have transaction any more"));
    }

    #[test]
    fn a_slot_that_is_not_behind_has_nothing_to_show() {
        assert!(Continuity::from(Lsn(201), Lsn(200), Some(OURS)).is_settled());
        assert!(!Continuity::from(Lsn(200), Lsn(200), Some(OURS)).is_settled());
        assert!(Continuity::from(Lsn(0), Lsn::ZERO, None).is_settled());
    }
}
