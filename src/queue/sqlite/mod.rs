//! `sqlite`: the queue in one file beside the configuration, on the SQLite that walhook brings along.
//!
//! One thread writes (`writer`), a few connections read (`read`, `deliveries`). The file is in WAL mode with
//! `synchronous = full`: what was answered is on disk. Only the ends of many attempts at once are answered when they are
//! in the `journal`, a file beside it, and written with what comes next.
//!
//! What comes in one transaction is stored together, as a *block* (`block`): two values with all of its events,
//! deliveries and bodies. A delivery that arrives at the first attempt adds to a list (`arrived`); only one that did not
//! go as planned has a row of its own. A block goes when all that is in it has ended and is old enough (`purge`).
//!
//! Memory holds the webhooks' books (`books`) and, as the `front`, what may be claimed: the deliveries that are not
//! finished in their lanes (`index`, `lanes`; a bounded number, the others stay in the file until there is room), the
//! claims, and the blocks that were used last (`shelf`). It follows the file when a transaction is on disk (what a small
//! one brings, a moment `early`), and can be read anew from it. Who claims does so beside the writer, and waits for no disk.

mod ages;
mod arrived;
mod backup;
mod beyond;
mod block;
#[cfg(test)]
mod block_tests;
mod books;
mod deliveries;
mod early;
mod ending;
mod enqueue;
mod fault;
mod former;
mod front;
mod held;
mod index;
mod job;
mod journal;
mod keymap;
mod lanes;
#[cfg(test)]
mod lanes_tests;
mod noted;
mod open;
mod operate;
mod options;
mod pages;
#[cfg(test)]
mod plans;
mod privacy;
mod purge;
mod ranges;
mod read;
mod readers;
mod registrations;
mod release;
mod rows;
mod settle;
mod shelf;
mod size;
mod staging;
mod stream;
mod unpublished;
mod writer;

pub use options::{Options, Workplace};

use crate::change::RelationId;
use crate::clock::Clock;
use crate::delivery::{
    AcceptedGap, Batch, Claim, DeliveryNumber, Held, HeldRef, LastTransaction, Quarantined, Settled,
    StreamRecord,
};
use crate::failpoint;
use crate::keymap::{KeyRef, KeyRow};
use crate::lsn::Durable;
use crate::queue::{
    Answer, BindingRecord, DeliveryDetail, DeliveryRef, DeliverySummary, EndedBefore, EntryPurged, EntryRef,
    Error, Filter, Page, Place, Queue, SequenceRange, Size, StagedChange, StagedEntry, WebhookRecord,
    WebhookStanding,
};
use crate::registration::{Registration, Registrations};
use crate::webhook::WebhookId;
use backup::backup;
use block::Home;
use fault::Fault;
use front::SharedFront;
use futures_util::future::BoxFuture;
use job::{Brought, Job};
use journal::Journal;
use open::Purpose;
use operate::Sweep;
use readers::Readers;
use rusqlite::Connection;
use staging::Staging;
use std::fs::File;
use std::ops::RangeInclusive;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use writer::{Shown, Writer};

/// How many jobs may wait for the writer; beyond it, whoever brings another is held up until one is taken.
const JOBS_WAITING_MAX: usize = 4096;

/// A queue in an SQLite file.
pub struct SqliteQueue {
    path: Arc<Path>,
    bytes_max: u64,
    clock: Clock,
    jobs: Option<SyncSender<Brought>>,
    /// Told when something was brought, where the writer is a task.
    brought: Arc<Notify>,
    writer: Option<JoinHandle<()>>,
    /// The writer, where it is a task; it ends with the queue.
    _writing: JoinSet<()>,
    workplace: Workplace,
    shown: Arc<Shown>,
    front: SharedFront,
    journal: Arc<Journal>,
    readers: Arc<Readers>,
    staging: Arc<Mutex<Staging>>,
    /// Whether this process owns the file; a command works on it beside the owner.
    owned: bool,
    /// Held as long as the writer works.
    _lock: Option<File>,
}

impl SqliteQueue {
    /// Opens the queue of this process, and makes it where there is none. Takes the lock `<path>.lock`, so that
    /// no other process does the same; what an unfinished transaction left behind is thrown away. Reads for up
    /// to a second to find damage, more only for what has to be thrown away.
    pub fn open(path: &Path, options: Options) -> Result<Arc<Self>, Error> {
        let lock = open::lock(path)?;
        let connection = open::open(path, Purpose::Own)?;
        let queue = Self::start(path, options, connection, Some(lock))?;
        Ok(Arc::new(queue))
    }

    /// Opens a queue for a command, beside the process that owns it, or without one. The owner notices what is
    /// changed here within two seconds. What belongs to capture and dispatch (enqueuing, claiming, settling,
    /// staging) is refused.
    pub fn open_beside(path: &Path, options: Options) -> Result<Arc<Self>, Error> {
        let connection = open::open(path, Purpose::Share)?;
        Ok(Arc::new(Self::start(path, options, connection, None)?))
    }

    fn start(
        path: &Path,
        options: Options,
        connection: Connection,
        lock: Option<File>,
    ) -> Result<Self, Error> {
        let shown = Arc::new(Shown::default());
        let front = SharedFront::new(options.known_max);
        let path: Arc<Path> = path.into();
        let owned = lock.is_some();
        let (journal, noted) = if owned { Journal::open(&path)? } else { (Journal::refused(), Vec::new()) };
        let journal = Arc::new(journal);
        let (bytes_max, clock, workplace) =
            (options.bytes_max, options.clock.clone(), options.workplace.clone());
        let failed = |fault: Fault| fault.at(&path, "be opened");
        let mut writer = Writer::new(connection, Arc::clone(&path), options, &shown, &front, &journal, owned)
            .map_err(failed)?;
        if owned {
            writer.discard_all().map_err(failed)?;
            writer.take_over(noted).map_err(failed)?;
            journal.taken_over();
            writer.restart_pauses_of_before().map_err(failed)?;
            writer.catch_up().map_err(failed)?;
        }
        writer.show();
        open::is_sound(&writer.connection).map_err(failed)?;
        let (jobs, waiting) = sync_channel(JOBS_WAITING_MAX);
        let (brought, mut writing) = (Arc::new(Notify::new()), JoinSet::new());
        let thread = match &workplace {
            Workplace::Threads => {
                let thread =
                    std::thread::Builder::new().name("queue".into()).spawn(move || writer.run(&waiting));
                Some(thread.map_err(|source| Error::Unusable { path: path.to_path_buf(), source })?)
            }
            Workplace::Runtime(pace) => {
                writing.spawn(writer.run_as_task(waiting, Arc::clone(&brought), Arc::clone(pace)));
                None
            }
        };
        let staging = if owned { Staging::beside(&path) } else { Staging::refused() };
        Ok(Self {
            readers: Arc::new(Readers::of(&path)),
            path,
            bytes_max,
            clock,
            jobs: Some(jobs),
            brought,
            writer: thread,
            _writing: writing,
            workplace,
            shown,
            front,
            journal,
            staging: Arc::new(Mutex::new(staging)),
            owned,
            _lock: lock,
        })
    }

    /// Hands a job to the writer now, whether or not its answer is waited for.
    fn write<T: Send + 'static>(
        &self,
        action: &'static str,
        bytes: usize,
        work: impl FnOnce(&mut Writer) -> Result<T, Fault> + Send + 'static,
    ) -> Answer<'static, T> {
        let (job, answer) = Job::new(Arc::clone(&self.path), action, bytes, work);
        let sent = self.bring(Brought::Job(job));
        Box::pin(async move {
            if !sent {
                return Err(Error::Closed);
            }
            answer.await.map_err(|_| Error::Closed)?
        })
    }

    /// Returns whether there is a writer that takes it.
    fn bring(&self, brought: Brought) -> bool {
        let is_taken = self.jobs.as_ref().is_some_and(|jobs| jobs.send(brought).is_ok());
        self.brought.notify_one();
        is_taken
    }

    /// Like [`write`](Self::write), for what only the owner does.
    fn write_owned<T: Send + 'static>(
        &self,
        action: &'static str,
        bytes: usize,
        work: impl FnOnce(&mut Writer) -> Result<T, Fault> + Send + 'static,
    ) -> Answer<'static, T> {
        if self.owned {
            return self.write(action, bytes, work);
        }
        let source = "it was opened for a command beside its owner".into();
        Box::pin(async move { Err(Error::Storage { action, source }) })
    }

    /// Reads on a connection of its own, once what was answered is written.
    fn read<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Answer<'static, T> {
        let written =
            (self.journal.unwritten() > 0).then(|| self.write("write what is noted", 0, |_| Ok(())));
        let read = self.read_at_once(action, work);
        Box::pin(async move {
            if let Some(written) = written {
                written.await?;
            }
            read.await
        })
    }

    /// The same, without what is only noted.
    fn read_at_once<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&Connection) -> Result<T, Fault> + Send + 'static,
    ) -> Answer<'static, T> {
        let (readers, workplace) = (Arc::clone(&self.readers), self.workplace.clone());
        Box::pin(async move {
            let _permit = readers.permit().await?;
            let readers = Arc::clone(&readers);
            workplace.blocking(action, move || readers.read(action, work)).await
        })
    }

    /// Works on the staging file.
    fn staging<T: Send + 'static>(
        &self,
        action: &'static str,
        work: impl FnOnce(&mut Staging) -> Result<T, Fault> + Send + 'static,
    ) -> Answer<'static, T> {
        let (staging, path) = (Arc::clone(&self.staging), Arc::clone(&self.path));
        let workplace = self.workplace.clone();
        Box::pin(async move {
            let work = move || {
                let mut staging = staging.lock().unwrap_or_else(PoisonError::into_inner);
                work(&mut staging).map_err(|fault| fault.at(&path, action))
            };
            workplace.blocking(action, work).await
        })
    }

    /// Notes the ends of a crowd of attempts in the journal. Returns whether that was enough for now.
    fn is_noted(&self, settled: &[Settled]) -> bool {
        if !journal::is_crowd(settled) {
            return false;
        }
        let front = self.front.lock();
        let home = |settled: &Settled| {
            let DeliveryNumber { webhook, sequence } = settled.claim.number;
            front.index.standing(webhook, sequence).map(|(standing, _)| standing.home)
        };
        // those of claims that were voided have none
        let homes: Option<Vec<Home>> = settled.iter().map(home).collect();
        drop(front);
        homes.is_some_and(|homes| self.journal.note(settled, &homes))
    }

    /// Does something to all deliveries that fit, in steps between which others have their turn.
    fn sweep(&self, sweep: Sweep, filter: Filter) -> Answer<'_, u64> {
        let only = filter.webhook;
        let webhooks = self.read(sweep.as_str(), move |connection| read::known(connection, only));
        Box::pin(async move {
            let mut count = 0;
            for webhook in webhooks.await? {
                count += self.sweep_one(sweep, webhook, &filter, None).await?;
            }
            Ok(count)
        })
    }

    /// The same for one webhook, as far as said or as there is something now.
    async fn sweep_one(
        &self,
        sweep: Sweep,
        webhook: WebhookId,
        filter: &Filter,
        mut rest: Option<RangeInclusive<u64>>,
    ) -> Result<u64, Error> {
        let mut count = 0;
        loop {
            let filter = filter.clone();
            let step = move |writer: &mut Writer| writer.sweep(sweep, webhook, &filter, rest);
            let (swept, left) = self.write(sweep.as_str(), 0, step).await?;
            count += swept;
            if left.is_none() {
                return Ok(count);
            }
            rest = left;
        }
    }

    /// Drops what is queued for a webhook and what it holds, up to the last numbers of both.
    async fn drop_up_to(&self, webhook: WebhookId, (last, last_held): (u64, u64)) -> Result<u64, Error> {
        let filter = Filter { webhook: Some(webhook), ..Filter::default() };
        let dropped = self.sweep_one(Sweep::Drop, webhook, &filter, Some(1..=last)).await?;
        Ok(dropped + self.drop_held_up_to(webhook, Some(last_held)).await?)
    }

    /// Drops what a webhook holds, up to a number or all that it holds now.
    async fn drop_held_up_to(&self, webhook: WebhookId, mut up_to: Option<u64>) -> Result<u64, Error> {
        let mut count = 0;
        loop {
            let step = move |writer: &mut Writer| writer.drop_held(webhook, up_to);
            let (dropped, next) = self.write("drop held events", 0, step).await?;
            count += dropped;
            if next.is_none() {
                return Ok(count);
            }
            up_to = next;
        }
    }
}

impl Drop for SqliteQueue {
    /// Ends when the writer has done what it was given.
    fn drop(&mut self) {
        failpoint::reach("queue.close.before");
        self.jobs = None;
        if let Some(writer) = self.writer.take() {
            // its panic was shown when it came; there is nobody to tell here
            drop(writer.join());
        }
        failpoint::reach("queue.close.after");
    }
}

impl Queue for SqliteQueue {
    fn held(&self, webhook: WebhookId, after: Option<u64>, bytes_max: usize) -> Answer<'_, Vec<Held>> {
        self.read("list held events", move |connection| read::held(connection, webhook, after, bytes_max))
    }

    fn number_held_range(&self, held: HeldRef, first_sequence: u64) -> Answer<'_, ()> {
        self.write_owned("number a held range", 0, move |writer| {
            writer.number_held_range(held, first_sequence)
        })
    }

    fn mark_broken(&self, webhook: WebhookId, reason: Option<String>) -> Answer<'_, ()> {
        self.write_owned("mark a webhook", 0, move |writer| writer.mark_broken(webhook, reason))
    }

    fn drop_held(&self, webhook: WebhookId) -> Answer<'_, u64> {
        Box::pin(self.drop_held_up_to(webhook, None))
    }

    fn stream(&self) -> Answer<'_, Option<StreamRecord>> {
        self.read("read the stream", read::stream)
    }

    fn last_transaction(&self) -> Answer<'_, Option<LastTransaction>> {
        self.read("read the last transaction", read::last_transaction)
    }

    fn record_stream(&self, record: StreamRecord) -> Answer<'_, ()> {
        self.write("record the stream", 0, move |writer| writer.record_stream(&record))
    }

    fn accept_gap(&self, gap: AcceptedGap, record: StreamRecord) -> Answer<'_, ()> {
        self.write("accept the gap", 0, move |writer| writer.accept_gap(&gap, &record))
    }

    fn discard_unfinished(&self) -> Answer<'_, ()> {
        let cleared = self.staging("discard what is unfinished", |staging| {
            failpoint::reach("queue.discard.before");
            staging.clear();
            failpoint::reach("queue.discard.after");
            Ok(())
        });
        let mut step = self.write_owned("discard what is unfinished", 0, Writer::discard_step);
        Box::pin(async move {
            cleared.await?;
            while step.await? {
                step = self.write_owned("discard what is unfinished", 0, Writer::discard_step);
            }
            Ok(())
        })
    }

    fn enqueue(&self, batch: Batch) -> Answer<'_, Option<Durable>> {
        let bytes = enqueue::footprint_bytes(&batch);
        self.write_owned("enqueue", bytes, move |writer| writer.enqueue(&batch))
    }

    fn stage(&self, changes: Vec<StagedChange>) -> Answer<'_, ()> {
        self.staging("stage", move |staging| staging.stage(&changes))
    }

    fn staged(&self, after: Option<u64>, bytes_max: usize) -> Answer<'_, Vec<StagedEntry>> {
        self.staging("read what is staged", move |staging| staging.staged(after, bytes_max))
    }

    fn bindings(&self) -> Answer<'_, Vec<BindingRecord>> {
        self.read("read the bindings", read::bindings)
    }

    fn record_binding(&self, binding: BindingRecord) -> Answer<'_, ()> {
        self.write("record a binding", 0, move |writer| writer.record_binding(&binding))
    }

    fn key_row(&self, key: KeyRef) -> Answer<'_, Option<KeyRow>> {
        self.read("read a key", move |connection| keymap::row(connection, &key))
    }

    fn keep_key_tables(&self, tables: Vec<RelationId>) -> Answer<'_, ()> {
        self.write("forget keys", 0, move |writer| writer.keep_key_tables(&tables))
    }

    fn registrations(&self) -> Answer<'_, Registrations> {
        self.read("read the registrations", registrations::read)
    }

    fn load_registrations(&self, epoch: u32, all: Vec<Registration>) -> Answer<'_, ()> {
        self.write_owned("load registrations", 0, move |writer| writer.load_registrations(epoch, &all))
    }

    fn register(&self, webhooks: Vec<WebhookRecord>) -> Answer<'_, Vec<WebhookStanding>> {
        let registered = self.write_owned("register webhooks", 0, move |writer| {
            failpoint::reach("queue.register.before");
            writer.register(&webhooks);
            failpoint::reach("queue.register.after");
            Ok(())
        });
        Box::pin(async move {
            registered.await?;
            self.webhooks().await
        })
    }

    fn claim<'a>(
        &'a self,
        claims_max: usize,
        allowance: &'a (dyn Fn(WebhookId) -> usize + Send + Sync),
    ) -> Answer<'a, Vec<Claim>> {
        if !self.owned {
            return self.write_owned("claim", 0, |_| Ok(Vec::new()));
        }
        let now_us = self.clock.now_us();
        let hot = self.shown.hot.lock().unwrap_or_else(PoisonError::into_inner);
        let due = hot.iter().filter(|&(_, &from_us)| from_us <= now_us);
        let allowed =
            due.map(|(&webhook, _)| (webhook, allowance(webhook))).filter(|&(_, allowed)| allowed > 0);
        let allowances: Vec<_> = allowed.collect();
        drop(hot);
        if claims_max == 0 || allowances.is_empty() {
            return Box::pin(async { Ok(Vec::new()) });
        }
        failpoint::reach("queue.claim.before");
        let taken = self.front.lock().take(claims_max, allowances, now_us);
        if !taken.is_empty() {
            failpoint::reach("queue.claim.after");
        }
        if let Some(claims) = front::claims_at_once(&taken) {
            return Box::pin(async { Ok(claims) });
        }
        let front = self.front.clone();
        self.read_at_once("claim", move |connection| front::read_claims(connection, &front, taken))
    }

    fn settle(&self, settled: Vec<Settled>) -> Answer<'_, ()> {
        if self.is_noted(&settled) {
            let is_taken = self.bring(Brought::Noted(settled));
            return Box::pin(async move { if is_taken { Ok(()) } else { Err(Error::Closed) } });
        }
        self.write_owned("settle", settle::footprint_bytes(&settled), move |writer| {
            settled.iter().try_for_each(|settled| writer.settle(settled))
        })
    }

    fn due(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.shown.due.notified())
    }

    fn void_claims(&self) -> Answer<'_, ()> {
        self.write_owned("void claims", 0, |writer| {
            writer.void_claims();
            Ok(())
        })
    }

    fn webhooks(&self) -> Answer<'_, Vec<WebhookStanding>> {
        self.read("list webhooks", read::webhooks)
    }

    fn webhook(&self, webhook: WebhookId) -> Answer<'_, Option<WebhookStanding>> {
        self.read("find a webhook", move |connection| read::webhook(connection, webhook))
    }

    fn enable_webhook(&self, webhook: WebhookId) -> Answer<'_, ()> {
        self.write("enable a webhook", 0, move |writer| {
            writer.enable(webhook);
            Ok(())
        })
    }

    fn delete_webhook(&self, webhook: WebhookId) -> Answer<'_, u64> {
        let marked = self.write("delete a webhook", 0, move |writer| Ok(writer.mark_deleted(webhook)));
        Box::pin(async move {
            let Some(last) = marked.await? else { return Ok(0) };
            self.drop_up_to(webhook, last).await
        })
    }

    fn drop_deleted(&self, webhook: WebhookId) -> Answer<'_, Option<u64>> {
        let found =
            self.write("find a deleted webhook", 0, move |writer| Ok(writer.last_of_deleted(webhook)));
        Box::pin(async move {
            let Some(last) = found.await? else { return Ok(None) };
            self.drop_up_to(webhook, last).await.map(Some)
        })
    }

    fn deliveries(&self, filter: Filter, limit: usize) -> Answer<'_, Vec<DeliverySummary>> {
        self.read("list deliveries", move |connection| deliveries::deliveries(connection, &filter, limit))
    }

    fn page(&self, filter: Filter, after: Option<Place>, limit: usize) -> Answer<'_, Page> {
        self.read("list deliveries", move |connection| pages::page(connection, &filter, after, limit))
    }

    fn delivery(&self, which: DeliveryRef) -> Answer<'_, Option<DeliveryDetail>> {
        self.read("show a delivery", move |connection| deliveries::delivery(connection, which))
    }

    fn replay(&self, filter: Filter) -> Answer<'_, u64> {
        self.sweep(Sweep::Replay, filter)
    }

    fn drop_deliveries(&self, filter: Filter) -> Answer<'_, u64> {
        self.sweep(Sweep::Drop, filter)
    }

    fn ranges(&self, webhook: Option<WebhookId>) -> Answer<'_, Vec<SequenceRange>> {
        self.read("list ranges", move |connection| read::ranges(connection, webhook))
    }

    fn quarantined(&self) -> Answer<'_, Vec<Quarantined>> {
        self.read("list what is quarantined", read::quarantined)
    }

    fn size(&self) -> Answer<'_, Size> {
        let bytes_max = self.bytes_max;
        self.read("measure its size", move |connection| {
            Ok(Size { bytes: size::used_bytes(connection)?, bytes_max })
        })
    }

    fn backup<'a>(&'a self, path: &'a Path) -> Answer<'a, ()> {
        let (from, to) = (Arc::clone(&self.path), path.to_owned());
        let workplace = self.workplace.clone();
        Box::pin(async move { workplace.blocking("back up", move || backup(&from, &to)).await })
    }

    fn purge_each(&self, before: EndedBefore) -> Answer<'_, u64> {
        let before = Arc::new(before);
        let step = move |queue: &Self| {
            let before = Arc::clone(&before);
            queue.write("purge", 0, move |writer| writer.purge_each(&before))
        };
        let mut next = step(self);
        Box::pin(async move {
            loop {
                match next.await? {
                    (0, true) => break,
                    (0, false) => next = step(self),
                    (purged, _) => return Ok(purged),
                }
            }
            while self.write("give space back", 0, |writer| writer.give_back()).await? {}
            Ok(0)
        })
    }

    fn purge_one(&self, place: Place) -> Answer<'_, bool> {
        self.write("purge a delivery", 0, move |writer| writer.purge_one(place.into()))
    }

    fn purge_entry(&self, entry: EntryRef, drop_unfinished: bool) -> Answer<'_, EntryPurged> {
        Box::pin(privacy::purge(self, entry, drop_unfinished))
    }
}
