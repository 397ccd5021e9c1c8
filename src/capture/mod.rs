//! The loop from the log to the queue.
//!
//! ```text
//! source ──► Open transaction ──commit──► fold ──► subscriptions ──► Batch ──► queue.enqueue ──► confirm
//!              │ too large for memory                │ index, conditions ▲
//!              └──► queue.stage ──► queue.staged ────┘                   │
//!                                   queue.held, when something was mended┘
//! ```
//!
//! Capture keeps nothing that is not in the queue or on the server: it may be dropped at any await and
//! started again. It never waits for endpoints, for then the source database would pay.

mod continuity;
mod database;
mod emitted;
mod enclosing;
mod error;
mod fold;
mod forms;
mod gap;
mod index;
mod kept;
mod keys;
mod known;
mod marks;
mod merged;
mod opening;
mod parents;
mod registry;
mod release;
mod rules;
mod sight;
mod start;
mod subscriptions;
mod supplied;
mod told;
mod transaction;

pub use database::{Bindings, Database, Server};
pub use error::Error;
pub use gap::{Accepted, accept_gap};
pub use index::{Index, Scratch, Verdict};
pub use opening::{Bounds, Settings, refuse_unfit_settings, run, run_on};
pub use registry::Registry;

use crate::change::{Relation, RelationId, RowChange};
use crate::clock::Clock;
use crate::delivery::{Batch, LastTransaction, NewEvent, NewHeld, Quarantined};
use crate::event::FormEvent;
use crate::failpoint;
use crate::form::BoundForm;
use crate::lsn::{Durable, Lsn, Progress};
use crate::observe::{Observation, Observers};
use crate::queue::{Answer, Queue, StagedEntry};
use crate::reference::References;
use crate::registry as registration;
use crate::source::{Message, Source};
use bytes::Bytes;
use continuity::Continuity;
use forms::Forms;
use futures_util::stream::FuturesOrdered;
use futures_util::{FutureExt, StreamExt};
use keys::Keys;
use known::Known;
use registry::{Registrations, Said};
use sight::Sight;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use subscriptions::Subscriptions;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use transaction::Open;

/// Where there is nothing to enqueue, a position is stored once the stream was quiet for so long,
const QUIET: Duration = Duration::from_millis(20);
/// but not so soon after the one before,
const QUIET_POSITIONS_APART: Duration = Duration::from_millis(500);
/// and after so long although the stream is never quiet.
const POSITIONS_APART: Duration = Duration::from_secs(5);
/// How often the bindings are compared with the catalogue.
const COMPARE_INTERVAL: Duration = Duration::from_secs(60);
/// How many batches with registrations may: many share an fsync.
const REGISTRATIONS_UNDER_WAY_MAX: usize = 64;
/// How many batches may be on their way to the disk at once: one is written, the other one comes about.
const UNDER_WAY_MAX: usize = 2;

/// The loop with its books.
struct Capture<'q, S, B> {
    source: S,
    forms: Forms<'q, B>,
    queue: &'q dyn Queue,
    subscriptions: Subscriptions,
    registrations: Registrations,
    /// The forms as the catalogue described them when held events were judged last.
    judged_by: BTreeMap<String, Arc<BoundForm>>,
    /// Rows that others belong to.
    known: Known,
    /// What the log tells of keys, until it is on disk.
    keys: Keys,
    /// Memory for the events of an entry; empty between entries.
    told: Vec<FormEvent>,
    observers: Observers,
    /// Counts accepted gaps.
    epoch: u32,
    staging_bytes_max: u64,
    bounds: Bounds,
    /// Whether what is read again is what was read before.
    continuity: Continuity,
    /// The transaction that is being read; none between transactions and inside one that is dropped.
    open: Option<Open>,
    /// What is to be handed to the queue next.
    batch: Batch,
    batch_bytes: usize,
    tally: Tally,
    /// How far everything is dealt with, be it in the batch or already handed over.
    progress: Progress,
    /// The transaction that it ends with, if there was one since the start.
    last: Option<LastTransaction>,
    /// What of it has been handed to the queue, and when that was.
    handed_over: Progress,
    handed_over_at: Instant,
    under_way: FuturesOrdered<Answer<'q, Option<Durable>>>,
    /// Which transactions sessions see.
    sight: Sight,
    /// What makes links to files.
    references: Option<References>,
    clock: Clock,
    shutdown: CancellationToken,
}

/// What is told of a batch.
#[derive(Default)]
struct Tally {
    transactions: u64,
    changes: u64,
    events: u64,
    deliveries: u64,
    committed_at_us: i64,
}

impl<S: Source, B: Bindings> Capture<'_, S, B>
where
    Error: From<S::Error>,
{
    /// Runs until the shutdown. What was read is in the queue and confirmed before it returns.
    async fn follow(mut self) -> Result<(), Error> {
        let shutdown = self.shutdown.clone();
        let mut compare = tokio::time::interval(COMPARE_INTERVAL);
        compare.reset(); // it was compared when the stream was opened
        self.judge_held().await?;
        loop {
            self.read_what_is_here().await?;
            self.hand_over();
            let quiet_at = self.idle_position_at(Instant::now());
            tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(durable) = self.under_way.next() => self.confirm(durable?),
                message = self.source.next(), if !self.batch_is_full() => self.take(message?).await?,
                () = sleep_until(quiet_at.unwrap_or_else(Instant::now)), if quiet_at.is_some() => self.enqueue_batch(),
                _ = compare.tick() => self.compare().await?,
            }
        }
        // what was read has met its webhooks: the next run, with others perhaps, goes on behind it
        if self.progress.end_lsn > self.handed_over.end_lsn {
            self.enqueue_batch();
        }
        self.wait_until_durable().await?;
        self.mark_broken().await?;
        Ok(self.source.close().await?)
    }

    /// Waits for what has been handed over.
    async fn wait_until_durable(&mut self) -> Result<(), Error> {
        while let Some(durable) = self.under_way.next().await {
            self.confirm(durable?);
        }
        Ok(())
    }

    /// Compares the forms with the catalogue, and what is held with what operators have left of it. Where something
    /// has changed, what was held may flow.
    async fn compare(&mut self) -> Result<(), Error> {
        self.forms.compare().await?;
        for form in self.forms.all_now() {
            self.subscriptions.adopt(&form);
        }
        if self.is_described_anew() || self.is_given_up().await? { self.judge_held().await } else { Ok(()) }
    }

    /// Binds the forms of a table as the log describes it. What was held and fits now goes before what comes.
    async fn take_relation(&mut self, relation: Relation) -> Result<(), Error> {
        let table = relation.id;
        let before = self.forms.of(table).to_vec();
        self.forms.bind(relation).await?;
        let mut is_new = false;
        for form in self.forms.of(table) {
            self.subscriptions.adopt(form);
            let known = before.iter().find(|known| known.form.name == form.form.name);
            is_new |= known.is_some_and(|known| known != form);
        }
        if is_new {
            self.known.clear();
        }
        if is_new || self.is_described_anew() { self.judge_held().await } else { Ok(()) }
    }

    /// Whether the catalogue describes a form otherwise than when held events were judged last.
    fn is_described_anew(&self) -> bool {
        let judged = &self.judged_by;
        let mut count = 0;
        let differs = self.forms.all_now().any(|form| {
            count += 1;
            judged.get(&form.form.name).is_none_or(|known| *known != form)
        });
        differs || count != judged.len()
    }

    /// Whether operators have given up held events.
    async fn is_given_up(&mut self) -> Result<bool, Error> {
        if !self.subscriptions.hold_anything() {
            return Ok(false);
        }
        let standings = self.queue.webhooks().await?;
        Ok(self.subscriptions.take_drops(&standings))
    }

    /// Batches come about by themselves: what arrives while the disk is busy goes together. So one commit
    /// waits for no timer, and many share an fsync.
    async fn read_what_is_here(&mut self) -> Result<(), Error> {
        while !self.batch_is_full() {
            match self.source.try_next()? {
                Some(message) => self.take(message).await?,
                None => break,
            }
        }
        Ok(())
    }

    fn batch_is_full(&self) -> bool {
        self.batch.events.len() + self.batch.held.len() >= self.bounds.batch_events_max
            || self.batch_bytes >= self.bounds.batch_bytes_max
    }

    async fn take(&mut self, message: Message) -> Result<(), Error> {
        self.continuity.meet(&message).map_err(|reason| Error::Gap { reason })?;
        match message {
            // dealt with before the last stop: the server starts again at what it was told, we at what we hold
            Message::Begin { commit_lsn, .. } if commit_lsn <= self.progress.commit_lsn => self.open = None,
            Message::Begin { commit_lsn, committed_at_us, xid } => {
                self.keys.begin();
                self.open = Some(Open::begin(self.epoch, commit_lsn, committed_at_us, xid));
            }
            Message::Origin { name } => {
                if let Some(open) = &mut self.open {
                    open.facts.origin = Some(name);
                }
            }
            Message::Relation(relation) if self.registrations.describe(&relation) => {}
            Message::Relation(relation) => self.take_relation(relation).await?,
            Message::Change { relation, change } => self.take_change(relation, change).await?,
            Message::Undecodable { relation, reason, bytes } => {
                let ordinal = self.open.as_mut().map_or(0, Open::count);
                let form = relation.and_then(|relation| self.forms.name_of(relation));
                // a table of no form concerns nobody
                if relation.is_none_or(|relation| self.registrations.is_of(relation)) || form.is_some() {
                    self.put_aside(ordinal, form, reason, bytes);
                }
            }
            Message::Truncate { relations } => {
                let is_emptied = relations.iter().any(|&relation| self.registrations.is_of(relation));
                if let Some(open) = self.open.as_mut().filter(|_| is_emptied) {
                    open.registrations.push(Said::Emptied);
                }
                self.note_emptied(&relations);
                self.tell_of_truncation(&relations);
            }
            Message::Logical { transactional, prefix, content } => {
                // one that is not transactional says nothing of any
                if transactional && prefix == emitted::PREFIX {
                    self.take_emitted(content).boxed().await?;
                } else if let Some(open) = self.open.as_mut().filter(|_| transactional) {
                    open.mark(&prefix, &content);
                }
            }
            Message::Commit { end_lsn, .. } => {
                if let Some(open) = self.open.take() {
                    self.complete(open, end_lsn).await?;
                }
            }
            Message::Keepalive { wal_end } => self.take_keepalive(wal_end),
        }
        Ok(())
    }

    async fn take_change(&mut self, relation: RelationId, change: RowChange) -> Result<(), Error> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let (ordinal, xid) = (open.count(), open.facts.xid);
        if self.registrations.is_of(relation) {
            match self.registrations.said(change) {
                Ok(said) => open.registrations.extend(said),
                // what stands in it may be secret
                Err(unreadable) => {
                    let table = format!("{}.{}", registration::SCHEMA, registration::TABLE);
                    self.put_aside(ordinal, Some(table), unreadable.to_string(), Bytes::new());
                }
            }
            return Ok(());
        }
        // forms that share the table with a broken one go on
        for (form, reason) in self.forms.broken(relation) {
            self.put_aside(ordinal, Some(form), reason, format!("{change:?}").into());
        }
        let is_asked = |form: &&Arc<BoundForm>| form.belonging.is_some() || form.form.has_others();
        let asked: Vec<_> = self.forms.of(relation).iter().filter(is_asked).cloned().collect();
        if !asked.is_empty() {
            self.sight.note(xid);
        }
        for form in &asked {
            // rare, and large: apart
            self.take_belonging(ordinal, form, &change).boxed().await?;
            self.note_entry(form, &change);
            self.relieve_keys().boxed().await?;
            if form.belonging.is_none() && !form.form.supplied.is_empty() {
                let change = self.change_with_supplied(form, &change).boxed().await?;
                if let Some(open) = &mut self.open {
                    open.push(ordinal, form, change);
                }
            }
        }
        let Some(open) = &mut self.open else { return Ok(()) };
        let forms = self.forms.of(relation);
        let is_plain = |form: &Arc<BoundForm>| form.belonging.is_none() && form.form.supplied.is_empty();
        let last = forms.iter().rposition(is_plain);
        for form in forms[..last.unwrap_or(0)].iter().filter(|form| is_plain(form)) {
            open.push(ordinal, form, change.clone());
        }
        if let Some(last) = last {
            open.push(ordinal, &forms[last], change);
        }
        if open.collected_bytes() <= self.bounds.in_memory_bytes_max {
            return Ok(());
        }
        let changes = open.take_for_staging();
        if open.staged_bytes() > self.staging_bytes_max {
            return Err(Error::TransactionTooLarge {
                xid: open.facts.xid,
                staging_bytes_max: self.staging_bytes_max,
            });
        }
        let staged = Observation::TransactionStaged { xid: open.facts.xid, changes: open.changes_counted() };
        self.queue.stage(changes).await?;
        self.observers.tell(staged);
        Ok(())
    }

    /// A row change that cannot become an event goes to the quarantine, and the stream goes on.
    fn put_aside(&mut self, ordinal: u64, form: Option<String>, reason: String, bytes: Bytes) {
        let Some(mut open) = self.open.take() else { return };
        let position = open.position(ordinal);
        self.quarantine(&mut open, Quarantined { position, form, reason, bytes });
        self.open = Some(open);
    }

    fn quarantine(&self, open: &mut Open, quarantined: Quarantined) {
        let Quarantined { position, form, reason, .. } = &quarantined;
        self.observers.tell(Observation::Quarantined {
            position: *position,
            form: form.clone(),
            reason: reason.clone(),
        });
        open.quarantined.push(quarantined);
    }

    fn tell_of_truncation(&self, relations: &[RelationId]) {
        for bound in relations.iter().flat_map(|&relation| self.forms.of(relation)) {
            self.observers.tell(Observation::Truncated { form: bound.form.name.clone() });
        }
    }

    /// The idle rule: when nothing is under way, keepalives advance the position too, so that an idle
    /// publication never holds WAL back.
    fn take_keepalive(&mut self, wal_end: Lsn) {
        self.observers.tell(Observation::ServerWalEnd { wal_end });
        if self.open.is_none() && self.continuity.is_settled() && wal_end > self.progress.end_lsn {
            self.progress.end_lsn = wal_end;
        }
    }

    async fn complete(&mut self, mut open: Open, end_lsn: Lsn) -> Result<(), Error> {
        self.tally.transactions += 1;
        self.tally.changes += open.changes_counted();
        self.tally.committed_at_us = open.facts.committed_at_us;
        if open.is_staged() {
            self.enqueue_in_parts(&mut open).await?;
        } else {
            let entries = open.take_entries();
            let (events, held) = self.deliveries_of(&mut open, entries).await?;
            self.batch_bytes += events.iter().map(body_bytes).sum::<usize>();
            self.batch_bytes += held.iter().map(|held| held.content.len()).sum::<usize>();
            self.batch.events.extend(events);
            self.batch.held.extend(held);
        }
        self.batch.quarantined.append(&mut open.quarantined);
        self.keys.complete(&mut self.batch);
        self.progress.end_lsn = end_lsn;
        // servers before 15 tell of transactions that have nothing for us, and those may be gone without harm when
        // the server was put back: they are nothing to recognise it by
        if open.changes_counted() > 0 {
            self.progress.commit_lsn = open.commit_lsn;
            let (xid, committed_at_us) = (open.facts.xid, open.facts.committed_at_us);
            self.last = Some(LastTransaction { xid, committed_at_us });
        }
        let said = std::mem::take(&mut open.registrations);
        if !said.is_empty() {
            let news = self.register(said).await?;
            // they count for what comes behind this batch
            self.enqueue_batch();
            self.registrations.tell(news);
            while self.under_way.len() > REGISTRATIONS_UNDER_WAY_MAX {
                let durable = self.under_way.next().await.transpose()?.flatten();
                self.confirm(durable);
            }
        }
        if open.in_parts {
            // published at once, and by itself: nothing else may come in between
            failpoint::reach("capture.large.before");
            self.enqueue_batch();
            self.queue.discard_unfinished().await?;
            failpoint::reach("capture.large.after");
        }
        self.mark_broken().await
    }

    /// Renders a transaction from disk, page by page. The parts do not count before the batch with the
    /// progress behind them is stored, so it is enqueued wholly or not at all.
    async fn enqueue_in_parts(&mut self, open: &mut Open) -> Result<(), Error> {
        self.begin_parts(open);
        self.queue.stage(open.take_for_staging()).await?;
        let mut after = None;
        loop {
            let entries = self.queue.staged(after, self.bounds.page_bytes_max).await?;
            let Some(last) = entries.last() else { return Ok(()) };
            after = Some(last.first);
            let (events, held) = self.deliveries_of(open, entries).await?;
            self.queue.enqueue(Batch { events, held, ..Batch::default() }).await?;
        }
    }

    /// What came before a transaction goes to the queue, so that parts of the transaction can.
    fn begin_parts(&mut self, open: &mut Open) {
        if std::mem::replace(&mut open.in_parts, true) {
            return;
        }
        let before = std::mem::take(&mut self.tally);
        if !self.batch_is_empty() {
            self.enqueue_batch();
        }
        self.tally = before;
    }

    async fn deliveries_of(
        &mut self,
        open: &mut Open,
        entries: Vec<StagedEntry>,
    ) -> Result<(Vec<NewEvent>, Vec<NewHeld>), Error> {
        let facts = Arc::new(open.facts.clone());
        let (mut events, mut held) = (Vec::with_capacity(entries.len()), Vec::new());
        // they are large: made where they lie, not carried about, in memory that is kept
        let mut told = std::mem::take(&mut self.told);
        let mut file_bytes = 0;
        for entry in entries {
            told.clear();
            let changes = entry.changes.into_iter().map(|change| open.entry_change(change));
            if let Err(undecided) = fold::fold(changes, &facts, |ordinal| open.position(ordinal), &mut told) {
                self.quarantine(open, quarantined(undecided));
                continue;
            }
            for undecided in rules::apply(&mut told) {
                self.quarantine(open, quarantined(undecided));
            }
            for event in &mut told {
                self.tally.events += 1;
                if !event.form.attachments.is_empty() {
                    // rare, and large: apart
                    self.enclose(event).boxed().await?;
                    file_bytes += event.circumstances.enclosed.bytes();
                }
                if event.circumstances.merged_into.is_some() {
                    self.name_target(event).boxed().await?;
                }
                let met = self.subscriptions.meet(event);
                if let Some(event) = met.event {
                    self.tally.deliveries += event.deliveries.len() as u64;
                    events.push(event);
                }
                held.extend(met.held);
            }
            // files of many entries are not kept in memory together
            if file_bytes >= self.bounds.batch_bytes_max {
                file_bytes = 0;
                self.begin_parts(open);
                let (events, held) = (std::mem::take(&mut events), std::mem::take(&mut held));
                self.queue.enqueue(Batch { events, held, ..Batch::default() }).await?;
            }
        }
        told.clear();
        self.told = told;
        Ok((events, held))
    }

    /// Hands the batch to the queue, if it has anything and the disk keeps up.
    fn hand_over(&mut self) {
        if !self.batch_is_empty() && self.under_way.len() < UNDER_WAY_MAX {
            self.enqueue_batch();
        }
    }

    fn batch_is_empty(&self) -> bool {
        let Batch { events, quarantined, held, released, registrations, keys, progress: _, last: _ } =
            &self.batch;
        events.is_empty()
            && quarantined.is_empty()
            && held.is_empty()
            && released.is_empty()
            && registrations.is_empty()
            && keys.is_empty()
    }

    /// When to hand a position over without events, if nothing comes before. That is rare, and when nobody is
    /// hurried by it: most transactions of a real application touch no form, and must cost next to nothing.
    fn idle_position_at(&self, now: Instant) -> Option<Instant> {
        let is_news = self.under_way.is_empty() && self.progress.end_lsn > self.handed_over.end_lsn;
        let quiet = (now + QUIET).max(self.handed_over_at + QUIET_POSITIONS_APART);
        is_news.then_some(quiet.min(self.handed_over_at + POSITIONS_APART))
    }

    fn enqueue_batch(&mut self) {
        let mut batch = std::mem::take(&mut self.batch);
        batch.progress = Some(self.progress);
        batch.last = self.last;
        self.batch_bytes = 0;
        self.handed_over = self.progress;
        self.keys.handed_over(self.progress.end_lsn);
        self.handed_over_at = Instant::now();
        self.under_way.push_back(self.queue.enqueue(batch));
        let tally = std::mem::take(&mut self.tally);
        if tally.transactions > 0 {
            self.observers.tell(Observation::TransactionsEnqueued {
                transactions: tally.transactions,
                changes: tally.changes,
                events: tally.events,
                deliveries: tally.deliveries,
                committed_at_us: tally.committed_at_us,
            });
        }
    }

    /// The one rule: the source is told of what the queue durably holds, and of nothing else. There is no
    /// other call of [`Source::confirm`].
    fn confirm(&mut self, durable: Option<Durable>) {
        if let Some(durable) = durable {
            self.source.confirm(durable);
            self.keys.durable(durable.end_lsn());
            self.observers.tell(Observation::Confirmed { end_lsn: durable.end_lsn() });
        }
    }
}

fn quarantined(undecided: fold::Undecided) -> Quarantined {
    Quarantined {
        position: undecided.position,
        form: Some(undecided.form),
        reason: undecided.reason,
        bytes: undecided.rows.into(),
    }
}

fn body_bytes(event: &NewEvent) -> usize {
    let tails = event.tails.iter().map(|tail| tail.bytes.len());
    let heads = event.deliveries.iter().map(|delivery| delivery.head.len() + 64);
    tails.chain(heads).sum()
}
