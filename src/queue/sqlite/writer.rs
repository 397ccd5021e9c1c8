//! The writer: one thread that makes every change, many of them in one transaction.
//!
//! It takes the first job that comes, and with it all that wait behind it; does them in one transaction in the
//! order in which they came; and answers all of them when the commit has reached the disk. So one job waits for
//! no timer, and a crowd shares an fsync. The ends of attempts that are in the journal, which nobody waits for, go
//! first, and alone when a few milliseconds have brought nothing else. A job that is refused has changed nothing and
//! the others go on; when anything else fails, the whole transaction is undone and all of its jobs are told.

use super::Options;
use super::block::Forming;
use super::books::Books;
use super::early::Early;
use super::ending::Ending;
use super::fault::Fault;
use super::front::SharedFront;
use super::index::Effect;
use super::job::{Answer, Brought, Job, Ran};
use super::journal::Journal;
use super::noted::Noted;
use super::purge::Round;
use super::rows::{sql, unsigned_at};
use super::settle;
use super::size::Size;
use super::unpublished::Unpublished;
use crate::delivery::LastTransaction;
use crate::failpoint;
use crate::lsn::{Lsn, Progress};
use crate::observe::Observation;
use crate::queue::Error;
use crate::webhook::WebhookId;
use rusqlite::{Connection, params};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, TryRecvError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// How many jobs share a transaction at most.
const JOBS_MAX: usize = 1024;
/// How many bytes the jobs of a transaction bring at most (the last one may go beyond): who comes next does not wait
/// long.
const JOBS_BYTES_MAX: usize = 512 << 10;
/// How often an idle writer looks whether another process has changed the file.
const LOOK_AROUND: Duration = Duration::from_secs(1);
/// How far the clock may go back without being noticed: small corrections are made all the time.
const CLOCK_SLACK_US: i64 = 1_000_000;
/// What SQLite's `data_version` never is: it counts from 1.
const DATA_VERSION_UNKNOWN: i64 = 0;

/// What the writer shows to those who ask for claims.
#[derive(Debug, Default)]
pub(super) struct Shown {
    /// The webhooks that may have something to claim, each with the time from which on.
    pub(super) hot: Mutex<BTreeMap<WebhookId, i64>>,
    /// Told when there may be something new to claim.
    pub(super) due: Notify,
}

/// How far what is published goes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Published {
    pub(super) progress: Progress,
    /// The last block.
    pub(super) block: u64,
    pub(super) quarantine: i64,
    pub(super) held_event: i64,
}

/// The thread's state.
pub(super) struct Writer {
    pub(super) connection: Connection,
    pub(super) path: Arc<Path>,
    pub(super) options: Options,
    pub(super) books: Books,
    pub(super) front: SharedFront,
    /// What the transaction means to the index, once it is on disk.
    pub(super) effects: Vec<Effect>,
    /// What came in this transaction and counts with it, as far as it is not in a block yet.
    pub(super) forming: Forming,
    /// What ended in this transaction.
    pub(super) ending: Ending,
    journal: Arc<Journal>,
    noted: Noted,
    /// The last transaction of the position that is to be stored with this transaction.
    pub(super) last_to_store: Option<(Lsn, Option<LastTransaction>)>,
    /// For each webhook the first delivery that this transaction makes count, or due again.
    pub(super) oldest_new: BTreeMap<WebhookId, u64>,
    pub(super) owned: bool,
    /// Whether the index has to be read anew: it could not follow.
    pub(super) is_behind: bool,
    pub(super) early: Early,
    pub(super) published: Published,
    pub(super) unpublished: Unpublished,
    /// Said when the transaction is on disk.
    pub(super) to_tell: Vec<Observation>,
    shown: Arc<Shown>,
    /// When the next pause ends that nobody was told of.
    wakes_at_us: Option<i64>,
    /// Changes when another connection has changed the file.
    data_version: i64,
    pub(super) size: Size,
    /// What the clock showed last.
    shown_us: i64,
    /// How far the purging of what ended has come.
    pub(super) round: Round,
}

impl Writer {
    /// A writer on an open file.
    pub(super) fn new(
        connection: Connection,
        path: Arc<Path>,
        options: Options,
        shown: &Arc<Shown>,
        front: &SharedFront,
        journal: &Arc<Journal>,
        owned: bool,
    ) -> Result<Self, Fault> {
        let mut writer = Self {
            connection,
            path,
            options,
            books: Books::default(),
            front: front.clone(),
            effects: Vec::new(),
            forming: Forming::default(),
            ending: Ending::default(),
            journal: Arc::clone(journal),
            noted: Noted::default(),
            last_to_store: None,
            oldest_new: BTreeMap::new(),
            owned,
            is_behind: false,
            early: Early::default(),
            published: Published::default(),
            unpublished: Unpublished::default(),
            to_tell: Vec::new(),
            shown: Arc::clone(shown),
            wakes_at_us: None,
            data_version: DATA_VERSION_UNKNOWN,
            size: Size::default(),
            shown_us: i64::MIN,
            round: Round::BEGINNING,
        };
        writer.execute("begin immediate")?;
        writer.data_version = writer.read_data_version()?;
        writer.load()?;
        let unpublished = &mut writer.unpublished;
        (unpublished.last_block, unpublished.last_quarantine, unpublished.last_held_event) =
            writer.connection.query_row(sql!("last_numbers"), [], |row| {
                Ok((unsigned_at(row, 0)?, row.get(1)?, row.get(2)?))
            })?;
        writer.execute("commit")?;
        Ok(writer)
    }

    /// Works until the queue is dropped.
    pub(super) fn run(mut self, brought: &Receiver<Brought>) {
        loop {
            match brought.recv_timeout(self.pause()) {
                Ok(Brought::Noted(settled)) if self.noted.may_wait(settled.len(), self.now_us()) => {
                    self.noted.put_off(settled, self.now_us());
                }
                Ok(first) => self.work(Some(first), brought),
                Err(RecvTimeoutError::Timeout) => self.rest(brought),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if !self.noted.settled.is_empty() {
            self.work(None, brought);
        }
    }

    /// The same between the tasks of a runtime: each transaction after the time that `pace` says.
    pub(super) async fn run_as_task(
        mut self,
        brought: Receiver<Brought>,
        comes: Arc<Notify>,
        pace: Arc<dyn Fn() -> Duration + Send + Sync>,
    ) {
        loop {
            match brought.try_recv() {
                Ok(Brought::Noted(settled)) if self.noted.may_wait(settled.len(), self.now_us()) => {
                    self.noted.put_off(settled, self.now_us());
                }
                Ok(first) => {
                    tokio::time::sleep(pace()).await;
                    self.work(Some(first), &brought);
                }
                Err(TryRecvError::Disconnected) => break,
                Err(TryRecvError::Empty) => {
                    if tokio::time::timeout(self.pause(), comes.notified()).await.is_err() {
                        self.rest(&brought);
                    }
                }
            }
        }
    }

    /// Nobody has brought anything for a while.
    fn rest(&mut self, brought: &Receiver<Brought>) {
        if self.noted.may_wait(0, self.now_us()) {
            self.look_around();
            self.show();
            self.journal.rests();
        } else {
            self.work(None, brought);
        }
    }

    /// Now, in microseconds since 1970 UTC.
    pub(super) fn now_us(&self) -> i64 {
        self.options.clock.now_us()
    }

    /// How long there is nothing to do unless somebody asks.
    fn pause(&self) -> Duration {
        let due_us = self.wakes_at_us.unwrap_or(i64::MAX).min(self.noted.due_us());
        // rounded up, so that the time has come when the pause is over
        let pause_us = due_us.saturating_sub(self.now_us()).max(0).cast_unsigned() + 1;
        Duration::from_micros(pause_us).min(LOOK_AROUND)
    }

    /// Does what is first, and what waits behind it; and before that writes what is in the journal.
    fn work(&mut self, first: Option<Brought>, brought: &Receiver<Brought>) {
        if let Err(fault) = self.begin() {
            let cause = Arc::new(fault.at(&self.path, "begin a transaction"));
            self.undo();
            match first {
                Some(Brought::Job(job)) => (job.run)(Err(&cause)).tell(None),
                Some(Brought::Noted(settled)) => self.noted.settled.extend(settled),
                None => {}
            }
            self.noted.try_again(self.now_us());
            return;
        }
        let unpublished = self.unpublished.clone();
        let mut answers = Vec::new();
        match self.transact(first, brought, &mut answers) {
            Ok(()) => {
                self.journal.written(self.noted.settled.len());
                self.noted = Noted::default();
                let is_followed = self.early.end() && self.effects.is_empty() && !self.is_behind;
                if !is_followed {
                    self.follow();
                    // before the answers: whoever has one may claim what it brought
                    self.show();
                }
                // likewise: whoever has one may look for what was told of it
                for observation in std::mem::take(&mut self.to_tell) {
                    self.options.observers.tell(observation);
                }
                for answer in answers {
                    answer(None);
                }
            }
            Err(fault) => {
                let cause = Arc::new(fault.at(&self.path, "write"));
                self.unpublished = unpublished;
                self.undo();
                self.noted.try_again(self.now_us());
                for answer in answers {
                    answer(Some(&cause));
                }
            }
        }
    }

    fn transact(
        &mut self,
        first: Option<Brought>,
        brought: &Receiver<Brought>,
        answers: &mut Vec<Answer>,
    ) -> Result<(), Fault> {
        self.early.begin();
        self.settle_noted(0)?;
        let mut bytes = settle::footprint_bytes(&self.noted.settled);
        let mut next = first;
        while let Some(one) = next.take() {
            match one {
                Brought::Job(Job { bytes: brings, run }) => {
                    bytes += brings;
                    let before = (self.connection.total_changes(), self.books.changes);
                    let Ran { failed, answer } = run(Ok(self));
                    answers.push(answer);
                    if failed && before != (self.connection.total_changes(), self.books.changes) {
                        let source = "another change of the same transaction failed".into();
                        return Err(Fault::Said(Error::Storage { action: "write", source }));
                    }
                }
                Brought::Noted(settled) => {
                    bytes += settle::footprint_bytes(&settled);
                    let from = self.noted.settled.len();
                    self.noted.settled.extend(settled);
                    self.settle_noted(from)?;
                }
            }
            if answers.len() < JOBS_MAX && bytes < JOBS_BYTES_MAX {
                next = brought.try_recv().ok();
            }
        }
        self.store_position()?;
        self.store_ending()?;
        self.ending = Ending::default();
        self.size.grows(bytes);
        self.watch_size()?;
        self.store_books()?;
        self.show_early(bytes);
        failpoint::reach("queue.commit.before");
        self.execute("commit")?;
        failpoint::reach("queue.commit.after");
        Ok(())
    }

    /// Writes what is in the journal, from one on.
    fn settle_noted(&mut self, from: usize) -> Result<(), Fault> {
        // they stay noted until they are on disk
        let noted = std::mem::take(&mut self.noted.settled);
        let result = noted[from..].iter().try_for_each(|settled| self.settle(settled));
        self.noted.settled = noted;
        result
    }

    /// Lets the index follow what is on disk now.
    fn follow(&mut self) {
        let effects = std::mem::take(&mut self.effects);
        self.is_behind |= effects.iter().any(|effect| matches!(effect, Effect::PausesRestarted));
        if !self.owned {
            return;
        }
        let followed = self.front.lock().follow(effects, &self.connection, self.now_us());
        if followed.is_err() || self.is_behind {
            // what cannot be read now is read with the next transaction, which cannot begin without
            self.is_behind = self.catch_up().is_err();
        }
    }

    /// Reads the index anew: the claims that stand go on standing.
    pub(super) fn catch_up(&mut self) -> Result<(), Fault> {
        if self.owned {
            let mut front = self.front.lock();
            let mut index = front.index.load_anew(&self.connection, self.published.block)?;
            index.claim_again(&front.index);
            front.index = index;
        }
        self.is_behind = false;
        Ok(())
    }

    /// Undoes the transaction, and reads anew what stands in memory.
    fn undo(&mut self) {
        self.effects.clear();
        let mut front = self.front.lock();
        // what was read meanwhile may have been what is undone
        front.shelf.clear();
        if let Some(block) = self.early.fail() {
            front.recall(block);
            self.is_behind = true;
        }
        drop(front);
        self.forming = Forming::default();
        self.ending = Ending::default();
        self.last_to_store = None;
        self.oldest_new.clear();
        self.to_tell.clear();
        self.round = Round::BEGINNING;
        // what the clock had moved is undone, too
        self.shown_us = i64::MAX;
        if !self.connection.is_autocommit() {
            // if even this fails, the next transaction cannot begin and says why
            drop(self.execute("rollback"));
        }
        if self.load().is_err() {
            // read with the next transaction, which cannot begin without
            self.data_version = DATA_VERSION_UNKNOWN;
        }
    }

    /// Stores the books that changed, each with where to begin to look for the oldest delivery that is not finished.
    fn store_books(&mut self) -> Result<(), Fault> {
        let new = std::mem::take(&mut self.oldest_new);
        let front = self.front.lock();
        let owned = self.owned;
        self.books.store(&self.connection, |webhook, book| {
            // beside the owner there is no index: what the owner has written stays true
            let known = if owned { front.index.oldest(webhook) } else { Some(book.oldest) };
            known.into_iter().chain(new.get(&webhook).copied()).min()
        })
    }

    fn begin(&mut self) -> Result<(), Fault> {
        self.execute("begin immediate")?;
        self.notice_others()?;
        if self.is_behind {
            self.catch_up()?;
        }
        self.notice_clock()
    }

    /// A clock that was set back would make pauses last until it shows their end: years, if it had been far ahead.
    fn notice_clock(&mut self) -> Result<(), Fault> {
        let now_us = self.now_us();
        if now_us.saturating_add(CLOCK_SLACK_US) < self.shown_us {
            self.restart_pauses(now_us)?;
        }
        self.shown_us = now_us;
        Ok(())
    }

    /// Lets the pauses that began in what is the future begin anew.
    fn restart_pauses(&mut self, now_us: i64) -> Result<(), Fault> {
        let restarted = self.connection.prepare_cached(sql!("restart_pauses"))?.execute(params![now_us])?;
        if restarted > 0 {
            self.effects.push(Effect::PausesRestarted);
        }
        Ok(())
    }

    /// The same for a file that was written when the clock showed something else.
    pub(super) fn restart_pauses_of_before(&mut self) -> Result<(), Fault> {
        self.execute("begin immediate")?;
        self.restart_pauses(self.now_us())?;
        self.execute("commit")?;
        self.effects.clear();
        Ok(())
    }

    /// Looks, while nobody asks for anything, whether another process has changed the file.
    fn look_around(&mut self) {
        // what fails here fails again, and is said, in the next transaction
        if self.begin().is_ok() && self.execute("commit").is_ok() {
            self.follow();
        } else {
            self.undo();
        }
    }

    /// Takes over what another process (a command) has changed.
    fn notice_others(&mut self) -> Result<(), Fault> {
        let data_version = self.read_data_version()?;
        if data_version != self.data_version {
            self.load()?;
            self.notice_touched()?;
            self.data_version = data_version;
        }
        Ok(())
    }

    /// Takes notice of what another process has replayed or given up.
    fn notice_touched(&mut self) -> Result<(), Fault> {
        if !self.owned {
            return Ok(());
        }
        let touched: Vec<(WebhookId, u64)> = self
            .connection
            .prepare_cached(sql!("touched"))?
            .query_map([], |row| Ok((WebhookId(unsigned_at(row, 0)?), unsigned_at(row, 1)?)))?
            .collect::<Result<_, _>>()?;
        if touched.is_empty() {
            return Ok(());
        }
        let effects =
            touched.into_iter().map(|(webhook, sequence)| Effect::Touched { webhook, sequence }).collect();
        // at once: what the file says already must hold for the jobs of this transaction
        self.front.lock().follow(effects, &self.connection, self.now_us())?;
        self.connection.prepare_cached(sql!("forget_touched"))?.execute([])?;
        Ok(())
    }

    fn read_data_version(&self) -> Result<i64, Fault> {
        Ok(self.connection.prepare_cached("pragma data_version")?.query_row([], |row| row.get(0))?)
    }

    /// Reads the books and how far what is published goes.
    fn load(&mut self) -> Result<(), Fault> {
        self.books = Books::load(&self.connection)?;
        self.published = self.connection.prepare_cached(sql!("load_position"))?.query_row([], |row| {
            Ok(Published {
                progress: Progress {
                    commit_lsn: Lsn(unsigned_at(row, 0)?),
                    end_lsn: Lsn(unsigned_at(row, 1)?),
                },
                block: unsigned_at(row, 2)?,
                quarantine: row.get(3)?,
                held_event: row.get(4)?,
            })
        })?;
        self.front.lock().index.rouse();
        Ok(())
    }

    /// Shows which webhooks may have something to claim, and tells who waits when there is news.
    pub(super) fn show(&mut self) {
        let now_us = self.now_us();
        let mut front = self.front.lock();
        let served = self.books.iter().filter(|(_, book)| book.is_served());
        let hot: BTreeMap<_, _> =
            served.filter_map(|(webhook, _)| Some((webhook, front.index.hot_from_us(webhook)?))).collect();
        let is_hot = |from_us: &i64| *from_us <= now_us;
        // a pause that is over is told once
        let is_over = self.wakes_at_us.is_some_and(|due_us| due_us <= now_us);
        self.wakes_at_us = hot.values().copied().filter(|from_us| !is_hot(from_us)).min();
        let mut shown = self.shown.hot.lock().unwrap_or_else(PoisonError::into_inner);
        // and one that was over before it was ever shown
        let is_new = |(webhook, from_us): (&WebhookId, &i64)| {
            *from_us > i64::MIN && is_hot(from_us) && shown.get(webhook) != Some(from_us)
        };
        let roused = front.index.take_roused();
        drop(front);
        let news = (roused || is_over) && hot.values().any(is_hot) || hot.iter().any(is_new);
        *shown = hot;
        drop(shown);
        if news {
            self.shown.due.notify_one();
        }
    }

    /// Runs a statement without parameters and rows.
    pub(super) fn execute(&self, statement: &str) -> Result<(), Fault> {
        self.connection.prepare_cached(statement)?.execute(params![])?;
        Ok(())
    }
}
