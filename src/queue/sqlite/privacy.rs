//! Removing all that is kept of an entry, so that nothing of it is left in the file: not in a free page, not in the
//! write-ahead log, not in the journal.

use super::block::Block;
use super::deliveries::{Fates, found_of};
use super::fault::Fault;
use super::open::{self, Purpose};
use super::operate::Sweep;
use super::release::Released;
use super::rows::{sql, unsigned_at};
use super::writer::Writer;
use super::{SqliteQueue, read};
use crate::delivery::{DeliveryNumber, HeldRef, State};
use crate::queue::{EntryPurged, EntryRef, Error, Filter};
use crate::webhook::WebhookId;
use rusqlite::{Connection, OptionalExtension, params};
use std::fs::File;
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// How many blocks are read at once.
const BLOCKS_READ: usize = 64;
/// How many are written anew at once.
const BLOCKS_WRITTEN: usize = 16;
/// How many deliveries or held events are given up at once.
const GIVEN_UP: usize = 500;
/// How long the process that owns the queue may take to notice what a command has given up.
const NOTICE_MAX: Duration = Duration::from_secs(10);
/// How long it is tried to empty the write-ahead log: whoever reads keeps it.
const EMPTYING_MAX: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(50);

/// Where an entry is found.
#[derive(Debug, Default)]
struct Traces {
    blocks: Vec<u64>,
    unfinished: Vec<DeliveryNumber>,
    held: Vec<HeldRef>,
    told: EntryPurged,
}

/// Removes what is kept of an entry.
pub(super) async fn purge(
    queue: &SqliteQueue,
    entry: EntryRef,
    drop_unfinished: bool,
) -> Result<EntryPurged, Error> {
    let Traces { blocks, unfinished, held, mut told } = find(queue, &entry).await?;
    let is_finished = unfinished.is_empty() && held.is_empty();
    if !drop_unfinished && !is_finished {
        return Ok(EntryPurged { is_refused: true, ..told });
    }
    for numbers in unfinished.chunks(GIVEN_UP) {
        let numbers = numbers.to_vec();
        queue.write("drop deliveries", 0, move |writer| writer.give_up_ones(&numbers)).await?;
    }
    // whoever owns the file looks up what was given up before it is gone
    let _lock = if queue.owned || unfinished.is_empty() { None } else { noticed(queue).await? };
    for held in held.chunks(GIVEN_UP) {
        let held = held.to_vec();
        queue.write("drop held events", 0, move |writer| writer.wipe_held(&held)).await?;
    }
    for blocks in blocks.chunks(BLOCKS_WRITTEN) {
        let (blocks, entry) = (blocks.to_vec(), entry.clone());
        let wiped = queue.write("purge an entry", 0, move |writer| writer.wipe(&blocks, &entry));
        told.purged += wiped.await?;
    }
    let wanted = entry.clone();
    queue
        .write("forget its keys", 0, move |writer| writer.overwriting(|writer| writer.wipe_keys(&wanted)))
        .await?;
    while queue.write("give space back", 0, |writer| writer.give_back_all()).await? {}
    let path = std::sync::Arc::clone(&queue.path);
    queue.workplace.blocking("empty the write-ahead log", move || empty_log(&path)).await?;
    queue.journal.rests();
    Ok(told)
}

/// Reads the queue through for an entry, in steps.
async fn find(queue: &SqliteQueue, entry: &EntryRef) -> Result<Traces, Error> {
    let (mut traces, mut after) = (Traces::default(), 0);
    loop {
        let wanted = entry.clone();
        let step = queue.read("look for an entry", move |connection| look(connection, &wanted, after));
        let (found, next) = step.await?;
        traces.blocks.extend(found.blocks);
        traces.unfinished.extend(found.unfinished);
        traces.told.waiting += found.told.waiting;
        traces.told.dead += found.told.dead;
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    let wanted = entry.clone();
    let beside = queue.read("look for an entry", move |connection| {
        let quarantined = read::quarantined(connection)?;
        let is_meant =
            |form: &Option<String>| wanted.form.is_none() || form.is_none() || *form == wanted.form;
        let count = quarantined.iter().filter(|one| is_meant(&one.form)).count();
        Ok((held_of(connection, &wanted)?, count as u64))
    });
    (traces.held, traces.told.quarantined) = beside.await?;
    traces.told.held = traces.held.len() as u64;
    Ok(traces)
}

/// Looks through some blocks after one. Returns also behind which to go on, if there are more.
fn look(connection: &Connection, entry: &EntryRef, after: u64) -> Result<(Traces, Option<u64>), Fault> {
    let ids: Vec<u64> = connection
        .prepare_cached(sql!("blocks_upwards"))?
        .query_map(params![after.cast_signed(), BLOCKS_READ as i64], |row| unsigned_at(row, 0))?
        .collect::<Result<_, _>>()?;
    let mut traces = Traces::default();
    for &id in &ids {
        let Some(block) = Block::read_events(connection, id)? else { continue };
        if !block.events.iter().any(|event| is_of(entry, &event.form, &event.entry_id)) {
            continue;
        }
        traces.blocks.push(id);
        let fates = Fates::of(connection, &block)?;
        for (delivery, event) in block.iter().filter(|(_, event)| is_of(entry, &event.form, &event.entry_id))
        {
            let summary = found_of(&block, delivery, event, &fates).summary;
            match summary.state {
                State::Delivered | State::Dropped => continue,
                State::Dead | State::Blocking => traces.told.dead += 1,
                State::Waiting | State::Ready | State::Retrying => traces.told.waiting += 1,
            }
            traces.unfinished.push(summary.number);
        }
    }
    let next = ids.get(BLOCKS_READ - 1).copied();
    Ok((traces, next))
}

fn is_of(entry: &EntryRef, form: &str, entry_id: &str) -> bool {
    entry.entry_id == entry_id && entry.form.as_ref().is_none_or(|wanted| wanted == form)
}

/// Who holds events of an entry.
fn held_of(connection: &Connection, entry: &EntryRef) -> Result<Vec<HeldRef>, Fault> {
    let held = connection
        .prepare_cached(sql!("held_of_entry"))?
        .query_map(params![entry.entry_id, entry.form], |row| {
            Ok(HeldRef { webhook: WebhookId(unsigned_at(row, 0)?), number: unsigned_at(row, 1)? })
        })?
        .collect::<Result<_, _>>()?;
    Ok(held)
}

/// Waits until the owner of the file has noticed what was given up beside it. Where there is none, returns the lock:
/// nobody becomes it meanwhile.
async fn noticed(queue: &SqliteQueue) -> Result<Option<File>, Error> {
    let end = Instant::now() + NOTICE_MAX;
    loop {
        let left = queue.read("wait for the owner", |connection| {
            Ok(connection.query_row(sql!("touched_left"), [], |row| row.get::<_, bool>(0))?)
        });
        if !left.await? {
            return Ok(None);
        }
        let path = std::sync::Arc::clone(&queue.path);
        let free = queue.workplace.blocking("wait for the owner", move || open::lock_if_free(&path));
        if let Some(lock) = free.await? {
            return Ok(Some(lock));
        }
        if Instant::now() > end {
            let source = "the process that has the queue takes no notice of what was dropped".into();
            return Err(Error::Storage { action: "purge an entry", source });
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Writes the write-ahead log into the file, and empties it.
fn empty_log(path: &Path) -> Result<(), Error> {
    let failed = |fault: Fault| fault.at(path, "empty the write-ahead log");
    let connection = open::open(path, Purpose::Share)?;
    open::is_sound(&connection).map_err(failed)?;
    let end = std::time::Instant::now() + EMPTYING_MAX;
    loop {
        let is_busy: bool = connection
            .query_row("pragma wal_checkpoint(truncate)", [], |row| row.get(0))
            .map_err(|error| failed(error.into()))?;
        if !is_busy {
            return Ok(());
        }
        if std::time::Instant::now() > end {
            let source = "somebody reads the queue all the time; ask for it again".into();
            return Err(Error::Storage { action: "empty the write-ahead log", source });
        }
        std::thread::sleep(PAUSE);
    }
}

impl Writer {
    /// Overwrites what `work` deletes.
    pub(super) fn overwriting<T>(
        &mut self,
        work: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let was: i64 = self.connection.query_row("pragma secure_delete", [], |row| row.get(0))?;
        self.connection.execute_batch("pragma secure_delete = on")?;
        let done = work(self);
        self.connection.execute_batch(&format!("pragma secure_delete = {was}"))?;
        done
    }

    fn give_up_ones(&mut self, numbers: &[DeliveryNumber]) -> Result<(), Fault> {
        for &DeliveryNumber { webhook, sequence } in numbers {
            let one = Filter { webhook: Some(webhook), sequence: Some(sequence), ..Filter::default() };
            self.sweep(Sweep::Drop, webhook, &one, None)?;
        }
        Ok(())
    }

    /// Removes an entry's deliveries from blocks; all have ended, but for those that came since. Returns how many went.
    fn wipe(&mut self, blocks: &[u64], entry: &EntryRef) -> Result<u64, Fault> {
        self.store_ending()?;
        self.overwriting(|writer| {
            let (mut wiped, mut ranges) = (0, Vec::new());
            for &block in blocks {
                if Block::read_events(&writer.connection, block)?.is_none() {
                    // purged since it was found
                    continue;
                }
                wiped += writer.purge_block(
                    block,
                    &|_, event| is_of(entry, &event.form, &event.entry_id),
                    &mut ranges,
                )?;
            }
            writer.merge_ranges(ranges)?;
            Ok(wiped)
        })
    }

    /// Gives up held events, as far as they are still held.
    fn wipe_held(&mut self, held: &[HeldRef]) -> Result<(), Fault> {
        self.overwriting(|writer| {
            for &held in held {
                let found: Option<(Option<i64>, u64)> = writer
                    .connection
                    .prepare_cached(sql!("held_one"))?
                    .query_row(params![held.webhook.0.cast_signed(), held.number.cast_signed()], |row| {
                        Ok((row.get(0)?, unsigned_at(row, 1)?))
                    })
                    .optional()?;
                let Some((Some(event), bytes)) = found else { continue };
                writer.let_go(&Released { held, event, bytes })?;
                let book = writer.books.change(held.webhook);
                book.held_dropped += 1;
                book.held_dropped_to = book.held_dropped_to.max(held.number);
            }
            Ok(())
        })
    }
}
