//! Places at which tests kill the program: before and after everything that outlives it.
//!
//! In a build with debug assertions, `WALHOOK_FAILPOINT=queue.commit.before:3` aborts the process when it comes to
//! that place for the third time: nothing is flushed, no destructor runs. Builds for use have no trace of it.

/// Every place, with what has and has not happened there. `tests/faults` kills at each of them.
pub const NAMES: &[(&str, &str)] = &[
    ("queue.migrate.before", "a new queue has a file and a lock, and no tables"),
    ("queue.migrate.after", "its tables are made, and nobody was told"),
    ("queue.commit.before", "a transaction of the queue is complete but for its commit"),
    ("queue.commit.after", "it is on disk, and nobody was told"),
    ("queue.enqueue.before", "a batch has come to the writer"),
    ("queue.enqueue.after", "its rows are written in the open transaction"),
    ("queue.part.before", "a part of a large transaction has come to the writer"),
    ("queue.part.after", "its rows are written, and count for nothing yet"),
    ("queue.publish.before", "rows are written, and counters and position stand where they stood"),
    ("queue.publish.after", "counters and position are written in the open transaction"),
    ("queue.stage.before", "changes of a large transaction are about to go to the staging file"),
    ("queue.stage.after", "they are there"),
    ("queue.discard.before", "what is unfinished is about to be thrown away"),
    ("queue.discard.after", "the staging file is gone, and what is unpublished may still be there"),
    ("queue.registry.before", "registrations that were read from the table are about to be stored"),
    ("queue.registry.after", "they are in the open transaction"),
    ("queue.register.before", "webhooks are about to be registered with the queue"),
    ("queue.register.after", "they are registered in the open transaction"),
    ("queue.stream.before", "the stream or the intent to create its slot is about to be written"),
    ("queue.stream.after", "it is written in the open transaction"),
    ("queue.binding.before", "the table that a form is bound to is about to be written"),
    ("queue.binding.after", "it is written in the open transaction"),
    ("queue.claim.before", "claims were asked for"),
    ("queue.claim.after", "claims are made, in memory"),
    ("queue.settle.before", "an attempt is about to be settled"),
    ("queue.settle.after", "it is settled in the open transaction"),
    ("queue.hold.before", "an event that cannot be judged is about to be held"),
    ("queue.hold.after", "it is held in the open transaction"),
    ("queue.release.before", "a held event that was judged is about to go"),
    ("queue.release.after", "it is gone in the open transaction, and its delivery is not there yet"),
    ("queue.broken.before", "a webhook is about to be marked broken, or mended"),
    ("queue.broken.after", "it is marked in the open transaction"),
    ("queue.purge.before", "finished deliveries are about to be purged"),
    ("queue.purge.after", "they are gone in the open transaction"),
    ("queue.gap.before", "an accepted gap is about to be recorded"),
    ("queue.gap.after", "it is recorded in the open transaction"),
    ("queue.backup.before", "the file of a backup is made, and empty"),
    ("queue.backup.after", "the copy is complete and on disk"),
    ("queue.close.before", "a clean end: the writer is about to close its connection"),
    ("queue.close.after", "it has closed it, and the log may be folded into the file"),
    ("source.slot.before", "the intent is on disk, and the slot is about to be created"),
    ("source.slot.after", "the slot is there, and its position is not written"),
    ("source.start.before", "START_REPLICATION is about to be sent"),
    ("source.start.after", "the server streams"),
    ("source.confirm.before", "a position is durable, and the stream was not told"),
    ("source.confirm.after", "the stream was told, and the server was not"),
    ("source.status.before", "a status update is about to be sent"),
    ("source.status.after", "it was handed to the socket"),
    ("source.close.before", "a clean end: the last confirmation is about to be sent"),
    ("source.close.after", "the server has read it and ended the stream"),
    ("capture.large.before", "every part of a large transaction is in the queue, and not published"),
    ("capture.large.after", "its publication is on its way, and the staging file is gone"),
    ("send.before", "a request is about to be made; the connection may not be there"),
    ("send.answered", "the head of the answer was read"),
    ("send.after", "the whole answer was read, and nobody was told"),
    ("dispatch.settled", "attempts are settled on disk, and dispatch was told"),
    ("reload.before", "a new configuration was read and found good, and nobody was told"),
    ("reload.between", "dispatch was told of the new configuration, and capture was not"),
    ("reload.after", "both were told"),
];

/// The place of that name is reached. A name stands at one place, and in [`NAMES`].
#[inline]
pub fn reach(name: &'static str) {
    #[cfg(debug_assertions)]
    armed::reach(name);
    #[cfg(not(debug_assertions))]
    let _ = name;
}

#[cfg(debug_assertions)]
mod armed {
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Where to die, and how often the place may be reached before.
    static ARMED: LazyLock<Option<(String, AtomicU64)>> = LazyLock::new(|| {
        let setting = std::env::var("WALHOOK_FAILPOINT").ok()?;
        let (name, count) = setting.split_once(':').unwrap_or((&setting, "1"));
        let count: u64 = count.parse().expect("WALHOOK_FAILPOINT=name:count");
        assert!(super::NAMES.iter().any(|(known, _)| *known == name), "there is no failpoint {name:?}");
        Some((name.to_owned(), AtomicU64::new(count)))
    });

    pub(super) fn reach(name: &str) {
        let Some((armed, left)) = &*ARMED else { return };
        if armed == name && left.fetch_sub(1, Ordering::AcqRel) == 1 {
            eprintln!("failpoint {name} reached");
            std::process::abort();
        }
    }
}
