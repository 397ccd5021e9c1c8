//! Where the stream starts, or why it must not.
//!
//! The server does not protect us: it silently moves a start below the confirmed position forward, and
//! accepts one ahead of all its log. So what the queue remembers is compared with what the server says,
//! before anything is asked for.

use crate::delivery::StreamRecord;
use crate::lsn::Lsn;

/// What the server says of itself and of the slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) system_id: String,
    pub(super) timeline: u32,
    /// The end of its log.
    pub(super) wal_end: Lsn,
    pub(super) database: String,
    /// `confirmed_flush_lsn` of the slot, if there is one of ours.
    pub(super) slot_confirmed: Option<Lsn>,
    /// Where the server left each earlier timeline, by `TIMELINE_HISTORY`.
    pub(super) switches: Vec<(u32, Lsn)>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// There is no slot and nothing to go on from: create it, the intent stored before.
    Create,
    /// The slot was created for us, and the process ended before its position was stored: take its position.
    Adopt(Lsn),
    /// Go on behind what the queue holds. The log is read from here on: where the slot is behind the queue, from the
    /// slot on, for only what is read again can be recognised.
    Resume(Lsn),
    /// There is a slot that we know nothing of.
    Foreign(Lsn),
    /// Changes between what the queue holds and what the server still has are missing, or may be.
    Gap {
        reason: String,
        /// From where on, in the server's log as it is now: before our position, if that log was left before it.
        from: Lsn,
    },
}

/// Compares the queue's memory with the server.
pub(super) fn decide(remembered: Option<&StreamRecord>, server: &Server) -> Start {
    let Some(stream) = remembered else {
        return server.slot_confirmed.map_or(Start::Create, Start::Foreign);
    };
    if stream.creating {
        return server.slot_confirmed.map_or(Start::Create, Start::Adopt);
    }
    // a position that was taken back to the slot's may be before the last commit
    let ours = stream.progress.end_lsn.max(stream.progress.commit_lsn);
    if stream.system_id != server.system_id {
        let (was, is) = (&stream.system_id, &server.system_id);
        return gap(ours, format!("the server is another one: its system identifier is {is}, it was {was}"));
    }
    if stream.database != server.database {
        let (was, is) = (&stream.database, &server.database);
        return gap(ours, format!("the stream is of database {was:?}, the configuration names {is:?}"));
    }
    if stream.timeline != server.timeline {
        let left = server.switches.iter().find(|(timeline, _)| *timeline == stream.timeline);
        match left {
            Some((_, switch)) if *switch >= ours => {}
            Some((timeline, switch)) => {
                let reason =
                    format!("the server left timeline {timeline} at {switch}, before our position {ours}");
                return gap(*switch, reason);
            }
            None => {
                let (is, was) = (server.timeline, stream.timeline);
                let reason =
                    format!("the server is on timeline {is}, which does not come from timeline {was}");
                return gap(ours.min(server.wal_end), reason);
            }
        }
    }
    if server.wal_end < ours {
        let wal_end = server.wal_end;
        let reason = format!("the server was rewound: its log ends at {wal_end}, our position is {ours}");
        return gap(wal_end, reason);
    }
    match server.slot_confirmed {
        None => gap(ours, format!("replication slot {:?} is gone", stream.slot)),
        Some(confirmed) if confirmed > ours => {
            let slot = &stream.slot;
            let reason = format!(
                "replication slot {slot:?} is at {confirmed}, ahead of our position {ours}: it was recreated or advanced"
            );
            gap(ours, reason)
        }
        Some(confirmed) => Start::Resume(confirmed),
    }
}

fn gap(from: Lsn, reason: String) -> Start {
    Start::Gap { reason, from }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lsn::Progress;

    fn remembered() -> StreamRecord {
        let progress = Progress { commit_lsn: Lsn(90), end_lsn: Lsn(100) };
        let (system_id, database, slot) = ("1".into(), "helpdesk".into(), "walhook".into());
        StreamRecord { system_id, timeline: 1, database, slot, epoch: 0, creating: false, progress }
    }

    fn server() -> Server {
        Server {
            system_id: "1".into(),
            timeline: 1,
            wal_end: Lsn(200),
            database: "helpdesk".into(),
            slot_confirmed: Some(Lsn(100)),
            switches: vec![],
        }
    }

    #[track_caller]
    fn check(stream: Option<&StreamRecord>, server: &Server, expected: &str) {
        let start = decide(stream, server);
        let text = match start {
            Start::Gap { reason, .. } => format!("Gap: {reason}"),
            start => format!("{start:?}"),
        };
        assert!(text.starts_with(expected), "{text}");
    }

    #[test]
    fn a_first_start_creates_the_slot_and_takes_no_strangers() {
        check(None, &Server { slot_confirmed: None, ..server() }, "Create");
        check(None, &server(), "Foreign(Lsn(100))");
        let creating = StreamRecord { creating: true, ..remembered() };
        check(Some(&creating), &Server { slot_confirmed: None, ..server() }, "Create");
        check(Some(&creating), &server(), "Adopt(Lsn(100))");
    }

    #[test]
    fn a_server_behind_us_after_its_crash_is_resumed_from_its_position() {
        check(Some(&remembered()), &server(), "Resume(Lsn(100))");
        check(Some(&remembered()), &Server { slot_confirmed: Some(Lsn(60)), ..server() }, "Resume(Lsn(60))");
        // taken back to the slot, and not yet beyond the last commit again
        let progress = Progress { commit_lsn: Lsn(90), end_lsn: Lsn(60) };
        let (taken_back, behind) = (StreamRecord { progress, ..remembered() }, Some(Lsn(60)));
        check(Some(&taken_back), &Server { slot_confirmed: behind, ..server() }, "Resume(Lsn(60))");
        let rewound = Server { slot_confirmed: behind, wal_end: Lsn(80), ..server() };
        check(Some(&taken_back), &rewound, "Gap: the server was rewound");
    }

    #[test]
    fn every_gap_is_seen() {
        let stream = remembered();
        let gaps = [
            (Server { system_id: "2".into(), ..server() }, "Gap: the server is another one"),
            (Server { database: "crm".into(), ..server() }, "Gap: the stream is of database \"helpdesk\""),
            (Server { slot_confirmed: None, ..server() }, "Gap: replication slot \"walhook\" is gone"),
            (
                Server { slot_confirmed: Some(Lsn(101)), ..server() },
                "Gap: replication slot \"walhook\" is at 0/65",
            ),
            (Server { wal_end: Lsn(99), ..server() }, "Gap: the server was rewound"),
            (Server { timeline: 2, ..server() }, "Gap: the server is on timeline 2, which does not"),
            (
                Server { timeline: 2, switches: vec![(1, Lsn(99))], ..server() },
                "Gap: the server left timeline 1 at 0/63, before our position 0/64",
            ),
        ];
        for (server, expected) in gaps {
            check(Some(&stream), &server, expected);
        }
        let left = Server { timeline: 2, switches: vec![(1, Lsn(99))], ..server() };
        assert!(matches!(decide(Some(&stream), &left), Start::Gap { from: Lsn(99), .. }));
        let promoted = Server { timeline: 3, switches: vec![(1, Lsn(100)), (2, Lsn(150))], ..server() };
        check(Some(&stream), &promoted, "Resume(Lsn(100))");
    }
}
