//! What sessions see of what the log has told.
//!
//! A commit is in the log a moment before sessions see it, and where the server waits for standbys, longer. Who asks the
//! database in that moment is told what was there before.

use super::database::Bindings;
use super::{Capture, Error};
use crate::source::Source;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long a transaction that the log has told of may take to be seen by sessions. Meanwhile the stream stands still.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// The longest pause between two looks.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// Of how many transactions it is kept in mind that nobody may see them yet. Who asks seldom is told of the last ones only:
/// those before are seen long since.
const UNSEEN_MAX: usize = 1024;

/// Which transactions sessions see.
#[derive(Debug, Default)]
pub(super) struct Sight {
    /// Those that have changed what the database is asked for, the oldest first, each with the time from which on it is not
    /// waited for.
    unseen: VecDeque<(u32, Instant)>,
    /// One that is seen, the last that was asked for.
    seen: Option<u32>,
}

impl Sight {
    /// Takes note of a transaction that changes what the database may be asked for.
    pub(super) fn note(&mut self, xid: u32) {
        if self.seen == Some(xid) || self.unseen.back().is_some_and(|(last, _)| *last == xid) {
            return;
        }
        if self.unseen.len() == UNSEEN_MAX {
            self.unseen.pop_front();
        }
        self.unseen.push_back((xid, Instant::now() + SEEN_WITHIN));
    }
}

impl<S: Source, B: Bindings> Capture<'_, S, B>
where
    Error: From<S::Error>,
{
    /// Waits until sessions see what the log has told so far of rows that the database is asked for. Returns whether they do: it
    /// is not waited for longer than [`SEEN_WITHIN`] from when it was told.
    pub(super) async fn sees_all(&mut self) -> Result<bool, Error> {
        let Some(&(last, until)) = self.sight.unseen.back() else { return Ok(true) };
        let xids = self.sight.unseen.iter().map(|(xid, _)| *xid).collect();
        let is_seen = self.wait_until_seen(xids, until).await?;
        if is_seen {
            self.sight.unseen.clear();
            self.sight.seen = Some(last);
        }
        Ok(is_seen)
    }

    /// Waits until sessions see what a transaction has done. Returns whether they do.
    pub(super) async fn sees(&mut self, xid: u32) -> Result<bool, Error> {
        if self.sight.seen != Some(xid)
            && !self.wait_until_seen(vec![xid], Instant::now() + SEEN_WITHIN).await?
        {
            return Ok(false);
        }
        self.sight.seen = Some(xid);
        Ok(true)
    }

    async fn wait_until_seen(&mut self, xids: Vec<u32>, until: Instant) -> Result<bool, Error> {
        let mut pause = Duration::from_millis(1);
        loop {
            if self.forms.are_visible(&xids).await? {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            sleep(pause).await;
            pause = (2 * pause).min(PAUSE_MAX);
        }
    }
}
