//! One program, one receiver, one load: what every mode is made of.

use crate::Trouble;
use crate::book::{Book, Expected};
use crate::options::Options;
use crate::program::{Program, slot_of};
use crate::receiver::{Manner, Receiver};
use crate::results::Values;
use crate::stage::Stage;
use crate::webhooks::Webhooks;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use walhook::lsn::Lsn;

/// How long nothing may come before a run is given up.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Who is measured.
#[derive(Clone, Debug)]
pub enum Subject {
    Walhook(Webhooks),
    Bare { connections: usize },
}

impl Subject {
    pub fn name(&self) -> &'static str {
        match self {
            Self::Walhook(_) => "walhook",
            Self::Bare { .. } => "bare client",
        }
    }

    pub fn slot(&self) -> &'static str {
        slot_of(matches!(self, Self::Walhook(_)))
    }
}

/// Who takes turns: the other way round in every second round, for whoever is first finds colder caches.
pub fn turns<T>(mut subjects: Vec<T>, round: usize) -> Vec<T> {
    if round.is_multiple_of(2) {
        subjects.reverse();
    }
    subjects
}

/// What a drain gave.
#[derive(Clone, Debug)]
pub struct Drained {
    pub values: Values,
    pub fault: Option<String>,
}

/// A program over a slot of its own, and its receiver.
pub struct Run {
    pub receiver: Receiver,
    pub program: Program,
    pub slot: &'static str,
}

impl Run {
    /// Prepares a run over a copy of slot `base`. The receiver is up, the program not yet started.
    pub async fn prepare(
        stage: &Stage,
        options: &Options,
        subject: &Subject,
        expected: Expected,
        pause: Duration,
    ) -> Result<Self, Trouble> {
        stage.copy_slot(subject.slot()).await?;
        Self::over(stage, options, subject, expected, pause)
    }

    /// The same over a slot that is there.
    pub fn over(
        stage: &Stage,
        options: &Options,
        subject: &Subject,
        expected: Expected,
        pause: Duration,
    ) -> Result<Self, Trouble> {
        let manner = Manner { pause, refused_each: expected.refused_each };
        let mut receiver = Receiver::new(Book::new(expected), manner)?;
        receiver.up()?;
        let slot = subject.slot();
        let program = match subject {
            Subject::Walhook(webhooks) => Program::walhook(stage, &options.walhook, webhooks, &receiver)?,
            Subject::Bare { connections } => {
                Program::bare(stage, slot, &receiver, *connections, options.bare_threads)?
            }
        };
        Ok(Self { receiver, program, slot })
    }

    /// Waits until so many deliveries were accepted; gives up after a long silence, for the books tell what is
    /// missing then.
    pub async fn accepted(&mut self, count: usize) -> Result<(), Trouble> {
        let (mut heard, mut known) = (Instant::now(), self.receiver.accepted());
        while known < count {
            self.program.check()?;
            tokio::time::sleep(Duration::from_millis(2)).await;
            let now = self.receiver.accepted();
            if now > known {
                (heard, known) = (Instant::now(), now);
            } else if heard.elapsed() > SILENCE_MAX {
                break;
            }
        }
        Ok(())
    }

    /// Waits until so many requests have come, whatever they were.
    pub async fn requested(&mut self, count: usize) -> Result<(), Trouble> {
        let began = Instant::now();
        while self.receiver.requests() < count && began.elapsed() < SILENCE_MAX {
            self.program.check()?;
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }

    /// Waits until the slot is confirmed up to an LSN; whether it came to be.
    pub async fn confirmed(&mut self, stage: &Stage, end: Lsn) -> Result<bool, Trouble> {
        let (mut heard, mut known) = (Instant::now(), None);
        loop {
            let now = stage.confirmed(self.slot).await?;
            if now >= Some(end) {
                return Ok(true);
            }
            if now > known {
                (heard, known) = (Instant::now(), now);
            } else if heard.elapsed() > SILENCE_MAX {
                return Ok(false);
            }
            self.program.check()?;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Starts the program, waits until everything has come and it is quiet again.
    pub async fn drain(&mut self) -> Result<Drained, Trouble> {
        let expected = self.receiver.book().expected().clone();
        let started_us = now_us();
        self.program.start()?;
        self.accepted(expected.accepted()).await?;
        // what is settled, confirmed and cleaned behind the last arrival is work for these events, too
        self.program.quiet().await;
        let (cpu, peak_mb) = (self.program.cpu(), self.program.peak_mb());
        self.program.kill()?;
        let book = self.receiver.book();
        let rates = book.rates(|_| true).unwrap_or_default();
        let begun = book.began_us().map_or(0.0, |first| first.saturating_sub(started_us) as f64 / 1e6);
        let values = vec![
            ("events/s", rates.whole),
            ("events/s middle 90 %", rates.middle),
            ("CPU µs/event", cpu.as_micros() as f64 / expected.deliveries().max(1) as f64),
            ("peak MB", peak_mb),
            ("start s", begun),
            ("first 5 % s", rates.first_s),
            ("last 5 % s", rates.last_s),
            ("body B", self.receiver.mean_body_bytes()),
        ];
        Ok(Drained { values, fault: book.fault(false) })
    }
}

/// Microseconds since 1970.
pub fn now_us() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_micros() as u64)
}
