//! Going on behind a gap: what an operator accepts, recorded exactly.

use super::continuity::Continuity;
use super::opening::{look, publications};
use super::start::{Start, decide};
use super::{Error, Settings};
use crate::delivery::{AcceptedGap, StreamRecord};
use crate::lsn::{Lsn, Progress};
use crate::postgres::APPLICATION_NAME;
use crate::queue::Queue;
use crate::source::{self, Control, Message, Source as _};
use std::time::Duration;

/// How long a look at the log may take that shows whether it can be decoded.
const PROBE_MAX: Duration = Duration::from_secs(5);
/// The same where it has to be read up to the last transaction, to see whether it is there.
const RECOGNITION_MAX: Duration = Duration::from_secs(120);
/// The pause before it is tried again while somebody else has the slot.
const PROBE_PAUSE: Duration = Duration::from_millis(100);

/// A gap that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What was recorded.
    pub gap: AcceptedGap,
    /// Whether [`run`](super::run) has to make the slot: then the gap ends where it begins.
    pub slot_is_to_be_made: bool,
}

/// Goes on behind a gap: records the range that is skipped and raises the epoch. None if there is no gap. A slot
/// that the server invalidated stands in the way, and is an error.
///
/// The stream itself is started by [`run`](super::run); where the slot is gone, it also creates the new one.
pub async fn accept_gap(
    settings: &Settings,
    queue: &dyn Queue,
    now_us: i64,
) -> Result<Option<Accepted>, Error> {
    let mut control = Control::connect(&settings.address, APPLICATION_NAME).await?;
    let Some(remembered) = queue.stream().await? else { return Ok(None) };
    let mut server = look(settings, Some(&remembered), &mut control).await?;
    let ours = remembered.progress.end_lsn.max(remembered.progress.commit_lsn);
    let (reason, from) = match decide(Some(&remembered), &server) {
        Start::Gap { reason, from } => (reason, from),
        Start::Resume(from) => {
            let lost = control.slot(&settings.slot).await?.and_then(|slot| slot.invalidation);
            let invalidated = |reason| source::Error::SlotInvalidated { slot: settings.slot.clone(), reason };
            if let Some(reason) = lost {
                return Err(invalidated(reason).into());
            }
            let last = queue.last_transaction().await?;
            match probe(settings, from, Continuity::from(from, remembered.progress.commit_lsn, last)).await? {
                Probe::Fit => return Ok(None),
                Probe::Another(reason) => (reason, ours),
                Probe::Undecodable(reason) => {
                    server.slot_confirmed = Some(pass_over(settings, &mut control).await?);
                    (reason, ours)
                }
            }
        }
        Start::Create | Start::Adopt(_) | Start::Foreign(_) => return Ok(None),
    };
    let to = server.slot_confirmed.unwrap_or(server.wal_end);
    let gap = AcceptedGap { epoch: remembered.epoch, from, to, reason, accepted_at_us: now_us };
    let stream = StreamRecord {
        system_id: server.system_id,
        timeline: server.timeline,
        database: server.database,
        slot: settings.slot.clone(),
        epoch: remembered.epoch + 1,
        creating: server.slot_confirmed.is_none(),
        progress: Progress { commit_lsn: Lsn::ZERO, end_lsn: server.slot_confirmed.unwrap_or(Lsn::ZERO) },
    };
    let slot_is_to_be_made = stream.creating;
    queue.accept_gap(gap.clone(), stream).await?;
    Ok(Some(Accepted { gap, slot_is_to_be_made }))
}

/// What a look at the log shows that fits by its positions.
enum Probe {
    /// Nothing is wrong with it, as far as can be seen.
    Fit,
    /// It is another log.
    Another(String),
    /// A publication that was made later does not exist in it.
    Undecodable(String),
}

async fn probe(settings: &Settings, from: Lsn, mut continuity: Continuity) -> Result<Probe, Error> {
    let limit = if continuity.is_settled() { PROBE_MAX } else { RECOGNITION_MAX };
    let publications =
        publications(settings, &mut Control::connect(&settings.address, APPLICATION_NAME).await?).await?;
    let reading = async {
        let mut stream = while_in_use(async || {
            let control = Control::connect(&settings.address, APPLICATION_NAME).await?;
            control.start(&settings.slot, from, &publications).await
        })
        .await?;
        loop {
            let message = stream.next().await?;
            if let Err(reason) = continuity.meet(&message) {
                return Ok(Probe::Another(reason));
            }
            // only with a table's first change does the server look for the publications: before 15 it begins to
            // tell of the transaction first
            let tells_of_tables = !matches!(
                message,
                Message::Keepalive { .. }
                    | Message::Begin { .. }
                    | Message::Commit { .. }
                    | Message::Origin { .. }
                    | Message::Logical { .. }
            );
            if tells_of_tables && continuity.is_settled() {
                return Ok(Probe::Fit);
            }
        }
    };
    match tokio::time::timeout(limit, reading).await {
        Ok(Err(error @ source::Error::PublicationMissing(_))) => Ok(Probe::Undecodable(error.to_string())),
        // whoever reads the slot all the time can decode it
        Ok(Err(source::Error::SlotInUse { .. })) | Err(_) => Ok(Probe::Fit),
        Ok(Ok(probe)) => Ok(probe),
        Ok(Err(error)) => Err(error.into()),
    }
}

/// Moves the slot to the end of the server's log, without a look at what lies between.
async fn pass_over(settings: &Settings, control: &mut Control) -> Result<Lsn, Error> {
    let wal_end = control.wal_position().await?.flush;
    let advanced = while_in_use(async || {
        let mut control = Control::connect(&settings.address, APPLICATION_NAME).await?;
        control.advance_slot(&settings.slot, wal_end).await
    });
    Ok(advanced.await?)
}

/// Tries again while somebody else has the slot: a walhook that runs into the gap has it for a moment, again and
/// again.
async fn while_in_use<T>(attempt: impl AsyncFn() -> Result<T, source::Error>) -> Result<T, source::Error> {
    let start = tokio::time::Instant::now();
    loop {
        match attempt().await {
            Err(source::Error::SlotInUse { .. }) if start.elapsed() < PROBE_MAX => {
                tokio::time::sleep(PROBE_PAUSE).await;
            }
            answer => return answer,
        }
    }
}
