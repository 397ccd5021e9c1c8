//! The task that owns the socket of a stream: it reads ahead as far as there is room, and tells the server what
//! is durable, also while the reader stands still.

use super::Error;
use super::frames::{COPY_DONE, FromServer, Status, TERMINATE};
use super::handover::{Handover, Item};
use super::witness::{Standing, Witness};
use crate::failpoint;
use crate::lsn::Lsn;
use crate::postgres;
use crate::postgres::ServerError;
use crate::postgres::raw::{Frame, RawConnection};
use bytes::{Bytes, BytesMut};
use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

/// How often the server hears from us at the least.
pub(super) const STATUS_INTERVAL_MAX: Duration = Duration::from_secs(10);
/// How often while nothing is read: the server's question would wait unread behind the data.
const STALLED_STATUS_INTERVAL_MAX: Duration = Duration::from_secs(1);
/// How long the reader may take nothing. A server does not shut down before its stream has been read, and its
/// question whether we are there would wait unread, so this bounds how long we can hold it up.
const STALL_MAX: Duration = Duration::from_secs(120);
/// How soon a confirmation follows another one: the server may write its slot to disk for each.
const CONFIRMATION_PAUSE: Duration = Duration::from_millis(250);
/// How soon an answer follows another one: a server that shuts down asks without pause.
const ANSWER_PAUSE: Duration = Duration::from_millis(100);
/// A server that asks sooner than this after it has heard from us does not fear for the connection: it shuts
/// down, and waits until we have confirmed everything.
const UNTIMELY: Duration = Duration::from_secs(1);
/// How long a server that shuts down is kept waiting for confirmations that may not come for long.
const SHUTDOWN_PATIENCE: Duration = Duration::from_secs(10);
/// After such a silence the server is asked for a sign of life, with the next status. An idle server says nothing
/// by itself, and half a minute without a word counts as trouble.
const SILENCE_UNTIL_ASKED: Duration = Duration::from_secs(5);
/// After such a silence, and again and again, the server is asked by another connection whether this one has an
/// end there at all.
const SILENCE_UNTIL_DOUBTED: Duration = Duration::from_secs(10);
/// After such a silence the connection counts as dead, whatever the server says. Long, for a server that decodes a giant transaction of
/// other tables is silent, too, and would have to begin again.
const SILENCE_MAX: Duration = Duration::from_secs(300);
/// How long the server may take to read what we write.
const WRITE_MAX: Duration = Duration::from_secs(60);
/// How long the end of a stream may take.
const CLOSE_MAX: Duration = Duration::from_secs(10);

/// What the pump and the stream share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) slot: String,
    pub(super) handover: Handover,
    /// The LSN up to which everything is durable.
    durable: AtomicU64,
    confirmed: Notify,
    pub(super) closing: CancellationToken,
}

impl Shared {
    pub(super) fn new(slot: &str, from: Lsn, bytes_max: usize) -> Self {
        Self {
            slot: slot.to_owned(),
            handover: Handover::new(bytes_max),
            durable: AtomicU64::new(from.0),
            confirmed: Notify::new(),
            closing: CancellationToken::new(),
        }
    }

    /// Never goes back.
    pub(super) fn confirm(&self, lsn: Lsn) {
        if self.durable.fetch_max(lsn.0, Ordering::AcqRel) < lsn.0 {
            self.confirmed.notify_one();
        }
    }
}

/// The task's state.
#[derive(Debug)]
pub(super) struct Pump<'a> {
    connection: RawConnection,
    witness: Option<Witness>,
    /// What the witness is being asked.
    doubt: JoinSet<Standing>,
    doubted: Instant,
    shared: &'a Shared,
    received: Lsn,
    /// Arrived, but there is no room for it.
    held: Option<Item>,
    /// Since when the reader has taken nothing, while something is held.
    stalled: Instant,
    status_interval: Duration,
    status_sent: Instant,
    /// Something has to be said by then.
    status_wanted: Option<Instant>,
    heard: Instant,
    asked: bool,
    /// Since when the server asks without need.
    shutdown_suspected: Option<Instant>,
}

impl<'a> Pump<'a> {
    /// For a connection on which the stream has just begun.
    pub(super) fn new(
        connection: RawConnection,
        witness: Option<Witness>,
        shared: &'a Shared,
        from: Lsn,
        status_interval: Duration,
    ) -> Self {
        let now = Instant::now();
        Self {
            connection,
            witness,
            doubt: JoinSet::new(),
            doubted: now,
            shared,
            received: from,
            held: None,
            stalled: now,
            status_interval: status_interval.min(STATUS_INTERVAL_MAX),
            status_sent: now,
            status_wanted: None,
            heard: now,
            asked: false,
            shutdown_suspected: None,
        }
    }

    /// Runs until the stream is closed or breaks; the end is told through the hand-over.
    pub(super) async fn run(mut self) {
        let end = self.pump().await.err();
        self.shared.handover.end(end);
    }

    async fn pump(&mut self) -> Result<(), Error> {
        loop {
            self.hand_over_what_is_here()?;
            let is_stalled = self.held.is_some();
            let due = self.next_status_at();
            let arrival = async { if is_stalled { pending().await } else { self.connection.next().await } };
            let room = async { if is_stalled { self.shared.handover.room().await } else { pending().await } };
            tokio::select! {
                biased;
                () = self.shared.closing.cancelled() => return self.close().await,
                () = sleep_until(due) => self.say_something().await?,
                () = self.shared.confirmed.notified() => self.want_status(CONFIRMATION_PAUSE),
                Some(standing) = self.doubt.join_next() => {
                    if standing.is_ok_and(|standing| standing == Standing::Gone) && self.silence() >= SILENCE_UNTIL_DOUBTED {
                        return Err(self.silent(self.silence()));
                    }
                }
                () = room => {
                    // silence did not count while nothing was read
                    self.heard = Instant::now();
                    self.stalled = self.heard;
                    self.retry_held();
                }
                frame = arrival => {
                    let frame = frame.map_err(|error| self.lost(error))?;
                    self.take(frame)?;
                }
            }
        }
    }

    fn hand_over_what_is_here(&mut self) -> Result<(), Error> {
        while self.held.is_none() {
            let frame = self.connection.buffered().map_err(|error| self.lost(error))?;
            let Some(frame) = frame else { break };
            self.take(frame)?;
        }
        Ok(())
    }

    fn retry_held(&mut self) {
        if let Some(item) = self.held.take() {
            self.held = self.shared.handover.put(item).err();
        }
    }

    fn take(&mut self, frame: Frame) -> Result<(), Error> {
        self.heard = Instant::now();
        self.asked = false;
        match frame.tag {
            b'd' => {}
            b'E' => return Err(self.refusal(Box::new(ServerError::read(&frame.body)))),
            b'N' => return missing_publication(&frame.body),
            // changed parameters concern nobody
            b'S' => return Ok(()),
            // the server has ended the stream: it shuts down
            b'c' | b'C' => return Err(Error::ShuttingDown { host: self.connection.host().to_owned() }),
            tag => return Err(self.lost(self.connection.unexpected(tag))),
        }
        let frame = FromServer::read(frame.body)?;
        match &frame {
            FromServer::Data { start, .. } => {
                self.received = self.received.max(*start);
                self.shutdown_suspected = None;
            }
            FromServer::Keepalive { wal_end, reply_requested } => {
                self.received = self.received.max(*wal_end);
                if *reply_requested {
                    self.note_question()?;
                }
            }
        }
        self.held = self.shared.handover.put(Item::of(frame)).err();
        self.stalled = self.heard;
        Ok(())
    }

    fn note_question(&mut self) -> Result<(), Error> {
        if self.status_sent.elapsed() >= UNTIMELY {
            self.shutdown_suspected = None;
        } else {
            let since = *self.shutdown_suspected.get_or_insert_with(Instant::now);
            if since.elapsed() > SHUTDOWN_PATIENCE {
                return Err(Error::ShuttingDown { host: self.connection.host().to_owned() });
            }
        }
        self.want_status(ANSWER_PAUSE);
        Ok(())
    }

    /// Now, but not sooner than a pause after the last status.
    fn want_status(&mut self, pause: Duration) {
        let at = self.status_sent + pause;
        self.status_wanted = Some(self.status_wanted.map_or(at, |wanted| wanted.min(at)));
    }

    fn next_status_at(&self) -> Instant {
        let interval = match self.held {
            Some(_) => self.status_interval.min(STALLED_STATUS_INTERVAL_MAX),
            None => self.status_interval,
        };
        let regular = self.status_sent + interval;
        self.status_wanted.map_or(regular, |wanted| wanted.min(regular))
    }

    async fn say_something(&mut self) -> Result<(), Error> {
        if self.held.is_some() && self.stalled.elapsed() > STALL_MAX {
            let host = self.connection.host().to_owned();
            return Err(Error::Stalled { host, seconds: STALL_MAX.as_secs() });
        }
        let silence = self.silence();
        if silence > SILENCE_MAX {
            return Err(self.silent(silence));
        }
        if silence > SILENCE_UNTIL_DOUBTED && self.doubted.elapsed() > SILENCE_UNTIL_DOUBTED {
            self.doubted = Instant::now();
            if let Some(witness) = self.witness.clone().filter(|_| self.doubt.is_empty()) {
                self.doubt.spawn(witness.ask());
            }
        }
        let ask = silence > SILENCE_UNTIL_ASKED && !self.asked;
        self.asked |= ask;
        self.send_status(ask, &[]).await
    }

    async fn send_status(&mut self, reply_requested: bool, and: &[u8]) -> Result<(), Error> {
        let status = Status {
            received: self.received,
            durable: Lsn(self.shared.durable.load(Ordering::Acquire)),
            now_us: now_us(),
            reply_requested,
        };
        let mut message = BytesMut::with_capacity(64);
        status.write(&mut message);
        message.extend_from_slice(and);
        failpoint::reach("source.status.before");
        match timeout(WRITE_MAX, self.connection.send(&message)).await {
            Ok(sent) => sent.map_err(|error| self.lost(error))?,
            Err(_) => return Err(self.silent(WRITE_MAX)),
        }
        failpoint::reach("source.status.after");
        self.status_sent = Instant::now();
        self.status_wanted = None;
        Ok(())
    }

    /// Says what is durable, ends the stream, and waits until the server has ended it, too: it reads in order,
    /// so it has read the confirmation then.
    async fn close(&mut self) -> Result<(), Error> {
        let closing = async {
            failpoint::reach("source.close.before");
            self.send_status(false, COPY_DONE).await?;
            loop {
                let frame = self.connection.next().await.map_err(|error| self.lost(error))?;
                match frame.tag {
                    b'Z' => break,
                    b'E' => return Err(self.refusal(Box::new(ServerError::read(&frame.body)))),
                    _ => {}
                }
            }
            failpoint::reach("source.close.after");
            // the server has all it needs: if it does not hear the farewell, nothing is lost
            let _ = self.connection.send(TERMINATE).await;
            Ok(())
        };
        match timeout(CLOSE_MAX, closing).await {
            Ok(closed) => closed,
            Err(_) => Err(self.silent(CLOSE_MAX)),
        }
    }

    /// How long nothing has come, though it would have been read.
    fn silence(&self) -> Duration {
        if self.held.is_some() { Duration::ZERO } else { self.heard.elapsed() }
    }

    fn silent(&self, silence: Duration) -> Error {
        Error::Silent { host: self.connection.host().to_owned(), seconds: silence.as_secs() }
    }

    fn lost(&self, source: postgres::Error) -> Error {
        Error::Disconnected { host: self.connection.host().to_owned(), source }
    }

    fn refusal(&self, error: Box<ServerError>) -> Error {
        let slot = || self.shared.slot.clone();
        match error.code.as_str() {
            "42704" => Error::PublicationMissing(error),
            "55000" | "58P01" => Error::SlotInvalidated { slot: slot(), reason: error.to_string() },
            _ if error.remedy() == crate::remedy::Remedy::Wait => {
                self.lost(postgres::Error::Statement(error))
            }
            _ => Error::Refused { action: format!("stream from replication slot {:?}", slot()), error },
        }
    }
}

/// From 18 on the server only warns of a publication that did not exist at this point of the log, and leaves its
/// changes out. Other notices concern nobody.
fn missing_publication(notice: &Bytes) -> Result<(), Error> {
    let notice = ServerError::read(notice);
    if notice.severity == "WARNING" && notice.code == "55000" {
        return Err(Error::PublicationMissing(Box::new(notice)));
    }
    Ok(())
}

/// Our clock as PostgreSQL counts, in microseconds since 2000.
fn now_us() -> i64 {
    const EPOCH: Duration = Duration::from_secs(946_684_800);
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    since_1970.saturating_sub(EPOCH).as_micros() as i64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::VecDeque;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    /// A server that sends data without end, and counts what it hears.
    async fn flood(mut server: UnixStream) -> usize {
        let mut frame = vec![b'd', 0, 0, 0, 0, b'w'];
        frame.resize(6 + 24 + 100_000, b'x');
        let length = (frame.len() - 1) as u32;
        frame[1..5].copy_from_slice(&length.to_be_bytes());
        let (mut input, mut output) = server.split();
        let sending = async { while output.write_all(&frame).await.is_ok() {} };
        let mut heard = 0;
        let hearing = async {
            let mut bytes = [0; 39];
            while input.read_exact(&mut bytes).await.is_ok() {
                heard += 1;
            }
        };
        tokio::join!(sending, hearing);
        heard
    }

    /// Readiness of a walhook on an idle server with the default settings was red for some seconds in every
    /// forty: the server was asked for a sign of life only after half a minute.
    #[tokio::test(start_paused = true)]
    async fn an_idle_server_is_asked_for_a_sign_of_life_in_time() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let shared = Shared::new("s", Lsn(1), 1_000_000);
        let began = Instant::now();
        let question = async {
            let mut status = [0; 39];
            while status[38] == 0 {
                theirs.read_exact(&mut status).await.unwrap();
            }
            began.elapsed()
        };
        let asked_after = tokio::select! {
            asked_after = question => asked_after,
            () = Pump::new(RawConnection::over(ours), None, &shared, Lsn(1), STATUS_INTERVAL_MAX).run() => unreachable!(),
        };
        assert!(asked_after <= Duration::from_secs(20), "{asked_after:?}");
    }

    /// An idle server says nothing but what it is asked for.
    async fn idle(mut server: UnixStream) -> (usize, usize) {
        let (mut heard, mut asked) = (0, 0);
        let mut status = [0; 39];
        while server.read_exact(&mut status).await.is_ok() {
            heard += 1;
            if status[38] == 1 {
                asked += 1;
                let mut keepalive = b"d\0\0\0\x16k".to_vec();
                keepalive.extend(7_u64.to_be_bytes());
                keepalive.extend([0; 9]);
                if server.write_all(&keepalive).await.is_err() {
                    break;
                }
            }
        }
        (heard, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn an_idle_hour_is_a_few_hundred_words_and_nothing_piles_up() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let shared = Shared::new("s", Lsn(1), 1_000_000);
        let hour = Duration::from_secs(3600);
        let pump = async {
            Pump::new(RawConnection::over(ours), None, &shared, Lsn(1), STATUS_INTERVAL_MAX).run().await;
        };
        let ended = async {
            let ended = timeout(hour, pump).await;
            assert!(ended.is_err(), "the stream ended within an idle hour");
        };
        let ((), (heard, asked)) = tokio::join!(ended, idle(theirs));
        assert!((360..=380).contains(&heard), "{heard}");
        assert!((170..=370).contains(&asked), "{asked}");
        let mut items = VecDeque::new();
        shared.handover.take(&mut items).unwrap();
        assert!(matches!(items.make_contiguous(), [Item::WalEnd(Lsn(7))]), "{items:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_takes_nothing_is_covered_for_a_while_and_then_given_up() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let shared = Shared::new("s", Lsn(1), 1_000_000);
        let began = Instant::now();
        let pump = async {
            Pump::new(RawConnection::over(ours), None, &shared, Lsn(1), STATUS_INTERVAL_MAX).run().await;
            began.elapsed()
        };
        let (lasted, heard) = tokio::join!(pump, flood(theirs));
        assert!(lasted >= STALL_MAX && lasted < STALL_MAX * 2, "{lasted:?}");
        // about one a second, though the server's questions would stay unread
        assert!(heard > 100, "{heard}");
        let mut items = VecDeque::new();
        shared.handover.take(&mut items).unwrap();
        assert_eq!(items.len(), 9);
        let end = shared.handover.take(&mut items);
        assert!(matches!(end, Err(Some(Error::Stalled { .. }))), "{end:?}");
    }
}
