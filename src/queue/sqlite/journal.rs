//! The journal: ends of attempts that the database has yet to be told of.
//!
//! In a crowd, attempts end faster than a disk syncs. So their ends are noted here, in a file beside the queue, and whoever
//! brought them goes on at once; the writer writes many of them with its next transaction, a few milliseconds later. What
//! is noted outlives the process: it is taken over when the queue is opened again. A power cut may take it, and then those
//! attempts are made once more, in their turn: a delivery holds its entry until the database knows of its end.
//!
//! The file is a row of notes: the length of the rest as four bytes, eight bytes of its SHA-256, and the ends of some
//! attempts. It is emptied now and then, when the database knows of all of them.

use super::block::Home;
use super::open::{beside, private};
use crate::delivery::{Attempt, DeliveryId, DeliveryNumber, Outcome, Settled, Settlement};
use crate::queue::Error;
use crate::webhook::WebhookId;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How many ends are a crowd. Fewer are written at once.
const CROWD: usize = 16;
/// How many may be noted that the database does not know of: a power cut repeats no more. Beyond it, they are waited for.
const UNWRITTEN_MAX: usize = 2048;
/// How large the file may grow until the writer has caught up; and from when on it is emptied then.
const BYTES_MAX: u64 = 4 << 20;
const BYTES_KEPT: u64 = 1 << 20;
/// Length and checksum.
const FRAME_BYTES: usize = 12;

/// The journal of a queue.
#[derive(Debug)]
pub(super) struct Journal(Mutex<Notes>);

#[derive(Debug)]
struct Notes {
    /// None where nothing is noted.
    file: Option<File>,
    bytes: u64,
    /// How many ends are in it that the database does not know of.
    unwritten: usize,
}

/// The end of an attempt.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub(super) struct Ended {
    webhook: u64,
    sequence: u64,
    id: [u8; 16],
    block: u64,
    place: u32,
    attempt: u32,
    started_at_us: i64,
    duration: Duration,
    outcome: EndedAs,
    settlement: Becomes,
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
enum EndedAs {
    Answered { status: u16, retry_after: Option<Duration>, excerpt: String },
    TimedOut,
    Unreachable { reason: String },
    Refused { reason: String },
}

#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
enum Becomes {
    Delivered,
    Retry { after: Duration },
    Dead,
    Blocking,
}

/// Whether ends of attempts may be noted. That an endpoint wants nothing more is written at once: it must not be asked
/// again, whatever happens.
pub(super) fn is_crowd(settled: &[Settled]) -> bool {
    settled.len() >= CROWD && settled.iter().all(|settled| settled.suspend.is_none())
}

impl Journal {
    /// Opens the journal beside a queue, or makes it. Returns what is in it: how a process before this one ended.
    pub(super) fn open(queue: &Path) -> Result<(Self, Vec<Ended>), Error> {
        let unusable = |source| Error::Unusable { path: queue.to_owned(), source };
        let mut file = private()
            .read(true)
            .create(true)
            .truncate(false)
            .open(beside(queue, ".journal"))
            .map_err(unusable)?;
        let mut noted = Vec::new();
        file.read_to_end(&mut noted).map_err(unusable)?;
        let notes = Notes { bytes: noted.len() as u64, file: Some(file), unwritten: 0 };
        Ok((Self(Mutex::new(notes)), read(&noted)))
    }

    /// For a command, which makes no attempts.
    pub(super) fn refused() -> Self {
        Self(Mutex::new(Notes { file: None, bytes: 0, unwritten: 0 }))
    }

    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the ends of attempts on deliveries that are at these places, if there is room; the database must be told of
    /// them soon. Returns whether all are noted; otherwise none is.
    pub(super) fn note(&self, settled: &[Settled], homes: &[Home]) -> bool {
        let ended: Vec<Ended> =
            settled.iter().zip(homes).map(|(settled, &home)| Ended::of(settled, home)).collect();
        let mut notes = self.notes();
        if notes.unwritten + ended.len() > UNWRITTEN_MAX || notes.bytes > BYTES_MAX {
            return false;
        }
        notes.append(&framed(&ended)) && {
            notes.unwritten += ended.len();
            true
        }
    }

    /// How many ends are noted that the database does not know of.
    pub(super) fn unwritten(&self) -> usize {
        self.notes().unwritten
    }

    /// The database knows of so many more.
    pub(super) fn written(&self, count: usize) {
        let mut notes = self.notes();
        notes.unwritten = notes.unwritten.saturating_sub(count);
        if notes.unwritten == 0 && notes.bytes > BYTES_KEPT {
            notes.empty();
        }
    }

    /// Nothing comes: what the database knows of is forgotten here, for it may be purged there.
    pub(super) fn rests(&self) {
        let mut notes = self.notes();
        if notes.unwritten == 0 {
            notes.empty();
        }
    }

    /// The database knows of all that was found here.
    pub(super) fn taken_over(&self) {
        self.notes().empty();
    }
}

impl Notes {
    /// Returns whether it is written wholly.
    fn append(&mut self, note: &[u8]) -> bool {
        let Some(file) = &mut self.file else { return false };
        if file.write_all(note).is_ok() {
            self.bytes += note.len() as u64;
            return true;
        }
        // nothing that is noted later could be read behind half a note
        let is_cut = file.set_len(self.bytes).and_then(|()| file.seek(std::io::SeekFrom::Start(self.bytes)));
        if is_cut.is_err() {
            self.file = None;
        }
        false
    }

    fn empty(&mut self) {
        // one that cannot be emptied grows to its limit, and is used no more
        if let Some(file) = &mut self.file
            && self.bytes > 0
            && file.set_len(0).is_ok()
            && file.rewind().is_ok()
        {
            self.bytes = 0;
        }
    }
}

impl Ended {
    fn of(settled: &Settled, home: Home) -> Self {
        let Settled { claim, attempt, settlement, suspend: _ } = settled;
        Self {
            webhook: claim.number.webhook.0,
            sequence: claim.number.sequence,
            id: claim.id.0,
            block: home.block(),
            place: home.place(),
            attempt: attempt.number,
            started_at_us: attempt.started_at_us,
            duration: attempt.duration,
            outcome: match attempt.outcome.clone() {
                Outcome::Answered { status, retry_after, excerpt } => {
                    EndedAs::Answered { status, retry_after, excerpt }
                }
                Outcome::TimedOut => EndedAs::TimedOut,
                Outcome::Unreachable { reason } => EndedAs::Unreachable { reason },
                Outcome::Refused { reason } => EndedAs::Refused { reason },
            },
            settlement: match *settlement {
                Settlement::Delivered => Becomes::Delivered,
                Settlement::Retry { after } => Becomes::Retry { after },
                Settlement::Dead => Becomes::Dead,
                Settlement::Blocking => Becomes::Blocking,
            },
        }
    }

    /// Whose attempt it was.
    pub(super) fn number(&self) -> DeliveryNumber {
        DeliveryNumber { webhook: WebhookId(self.webhook), sequence: self.sequence }
    }

    /// The same as an identity, for a number may have been given anew.
    pub(super) fn id(&self) -> DeliveryId {
        DeliveryId(self.id)
    }

    /// Where the delivery is.
    pub(super) fn home(&self) -> Home {
        Home::new(self.block, self.place)
    }

    /// Which attempt it was, from 1.
    pub(super) fn attempt_number(&self) -> u32 {
        self.attempt
    }

    /// The attempt, and what becomes of the delivery.
    pub(super) fn into_end(self) -> (Attempt, Settlement) {
        let outcome = match self.outcome {
            EndedAs::Answered { status, retry_after, excerpt } => {
                Outcome::Answered { status, retry_after, excerpt }
            }
            EndedAs::TimedOut => Outcome::TimedOut,
            EndedAs::Unreachable { reason } => Outcome::Unreachable { reason },
            EndedAs::Refused { reason } => Outcome::Refused { reason },
        };
        let settlement = match self.settlement {
            Becomes::Delivered => Settlement::Delivered,
            Becomes::Retry { after } => Settlement::Retry { after },
            Becomes::Dead => Settlement::Dead,
            Becomes::Blocking => Settlement::Blocking,
        };
        let (number, started_at_us, duration) = (self.attempt, self.started_at_us, self.duration);
        (Attempt { number, started_at_us, duration, outcome }, settlement)
    }
}

fn checksum(bytes: &[u8]) -> [u8; 8] {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    digest.as_ref()[..8].try_into().expect("it is longer")
}

fn framed(ended: &[Ended]) -> Vec<u8> {
    let mut note =
        postcard::to_extend(ended, vec![0; FRAME_BYTES]).expect("memory takes what is written to it");
    let (frame, rest) = note.split_at_mut(FRAME_BYTES);
    frame[..4].copy_from_slice(&(rest.len() as u32).to_le_bytes());
    frame[4..].copy_from_slice(&checksum(rest));
    note
}

/// What is noted, up to the first note that is not whole: power went.
fn read(mut noted: &[u8]) -> Vec<Ended> {
    let mut all = Vec::new();
    while let Some((frame, rest)) = noted.split_at_checked(FRAME_BYTES) {
        let (length, expected) = frame.split_at(4);
        let length = u32::from_le_bytes(length.try_into().expect("four bytes")) as usize;
        let Some((note, rest)) = rest.split_at_checked(length) else { break };
        if length == 0 || checksum(note) != expected {
            break;
        }
        let Ok(ended) = postcard::from_bytes::<Vec<Ended>>(note) else { break };
        all.extend(ended);
        noted = rest;
    }
    all
}
