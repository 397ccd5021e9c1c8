//! The PostgreSQL of a play: its log, its slot, its connections, and what befalls them.
//!
//! What it does is what the real one does: it streams the transactions whose commit record does not lie before the
//! later of the asked and the confirmed position, whole and in commit order; a keepalive tells how far it has sent;
//! what was confirmed is remembered, and forgotten again by a crash before a checkpoint.

use crate::desk::{self, Desk, log, story};
use crate::forms::{Sent, Tables, oid, relation, row};
use crate::proof::history::Op;
use crate::proof::random::Random;
use crate::proof::registered::Registration;
use crate::proof::world::{TABLES, Val};
use crate::registrations::{self, Table, Written};
use crate::script::{Change, RowChange as Changed, Transaction};
use crate::world::Shared;
use bytes::Bytes;
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;
use walhook::capture::{Database, Server};
use walhook::catalog;
use walhook::change::{OldRow, Relation, RelationId, RowChange};
use walhook::form::{BindingRecord, Form};
use walhook::lsn::{Durable, Lsn};
use walhook::registry::{self, Row};
use walhook::source::{CreatedSlot, Error, Message, SlotState, Source, SystemIdentity, TimelineSwitch};

/// How long a connection that broke keeps the slot at most.
const LINGER_US: u64 = 3_000_000;

/// The server's state.
pub struct Cluster {
    pub script: Arc<Vec<Transaction>>,
    pub slot: Option<Slot>,
    /// Counts connections that stream.
    connection: u64,
    random: Random,
    seed: u64,
    /// How much of its work goes wrong, in a thousand.
    pub trouble: u64,
    /// Whether each start of walhook finds the tables with other keys.
    rekeys: bool,
    /// What else happens, from when the slot was made on.
    pub desk: Arc<Desk>,
    /// The registrations as they were when the slot was made, whatever walhook has read; none until it has.
    pub registered: Option<Vec<Registration>>,
}

/// The replication slot.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Transactions from here on are in the stream.
    pub consistent_point: u64,
    pub confirmed: u64,
    /// The same on the server's disk.
    checkpointed: u64,
    /// The greatest position that walhook promised to hold, on the last connection.
    pub promised: u64,
    /// Status updates on their way: when they arrive, and what they say.
    on_the_way: Vec<(u64, u64, u64)>,
    /// Who streams, and until when it is held at least.
    active: Option<u64>,
    held_until_us: u64,
}

impl Cluster {
    /// Rows of the desk as sessions see them now, or the connection's end.
    pub fn look_up(
        &mut self,
        now_us: u64,
        table: usize,
        by: &[usize],
        values: &[String],
        rows_max: usize,
    ) -> Option<Vec<walhook::change::Row>> {
        if self.strikes() {
            return None;
        }
        let done = self.script.partition_point(|one| one.at_us <= now_us);
        let state = self.desk.state_after(done);
        Some(state.map(|state| log::look_up(state, table, by, values, rows_max)).unwrap_or_default())
    }

    /// Whether sessions see what is committed; now and then they do a moment later.
    pub fn is_seen(&mut self) -> bool {
        !self.random.percent(10)
    }

    pub fn new(seed: u64, script: Arc<Vec<Transaction>>) -> Self {
        let rekeys = Random::new(seed, 21).percent(25);
        Self {
            script,
            slot: None,
            connection: 0,
            random: Random::new(seed, 20),
            trouble: 0,
            rekeys,
            desk: Arc::default(),
            seed,
            registered: None,
        }
    }

    /// Where the log ends.
    fn wal_end(&self, now_us: u64) -> u64 {
        let done = self.script.partition_point(|transaction| transaction.at_us <= now_us);
        let (end, since_us) = match done.checked_sub(1) {
            Some(last) => (self.script[last].end_lsn, now_us - self.script[last].at_us),
            None => (0x0100_0000, now_us),
        };
        // others write, too, as far as there is room before the next of ours
        let room = self
            .script
            .get(done)
            .map_or(u64::MAX, |next| next.committed.commit_lsn - 50 * next.changes.len() as u64 - end);
        end + (since_us / 2000).min(room)
    }

    /// The registration table as the first transactions leave it.
    fn registrations(&self, transactions: usize) -> Vec<Written> {
        let mut table = Table::default();
        let changes = self.script[..transactions].iter().flat_map(Transaction::registrations);
        changes.for_each(|change| table.apply(change));
        table.rows.into_values().collect()
    }

    /// Status updates that have arrived by now take effect.
    fn hear(&mut self, now_us: u64) {
        let Some(slot) = &mut self.slot else { return };
        let confirmed = &mut slot.confirmed;
        let active = slot.active;
        slot.on_the_way.retain(|&(at_us, connection, lsn)| {
            if at_us <= now_us && active == Some(connection) {
                *confirmed = (*confirmed).max(lsn);
            }
            at_us > now_us && active == Some(connection)
        });
    }

    /// The server is killed and recovers: what was confirmed since the last checkpoint is forgotten.
    pub fn crash(&mut self, now_us: u64) {
        self.hear(now_us);
        if let Some(slot) = &mut self.slot {
            slot.confirmed = slot.checkpointed;
            slot.active = None;
            slot.held_until_us = 0;
            slot.on_the_way.clear();
        }
    }

    pub fn checkpoint(&mut self, now_us: u64) {
        self.hear(now_us);
        if let Some(slot) = &mut self.slot {
            slot.checkpointed = slot.confirmed;
        }
    }

    /// The process that streamed is gone.
    pub fn disconnect(&mut self, now_us: u64) {
        self.hear(now_us);
        if let Some(slot) = &mut self.slot
            && slot.active.take().is_some()
        {
            slot.held_until_us = now_us + self.random.below(LINGER_US);
        }
    }

    fn strikes(&mut self) -> bool {
        self.random.below(1000) < self.trouble
    }
}

/// The way to the server.
pub struct Way {
    pub world: Shared,
}

impl Way {
    /// A round trip, which may fail.
    async fn round_trip(&self) -> Result<(), Error> {
        round_trip(&self.world).await
    }
}

async fn round_trip(world: &Shared) -> Result<(), Error> {
    let (pause_us, fails) = {
        let mut world = world.lock();
        let fails = world.cluster.strikes();
        (world.cluster.random.below(2000), fails)
    };
    sleep(Duration::from_micros(pause_us)).await;
    if fails {
        world.tell(format_args!("server: the connection breaks"));
        return Err(broken());
    }
    Ok(())
}

fn broken() -> Error {
    Error::Silent { host: "play".into(), seconds: 1 }
}

impl Database for Way {
    type Server = Asked;
    type Bindings = Tables;

    async fn connect(&self) -> Result<Asked, Error> {
        self.round_trip().await?;
        Ok(Asked { world: self.world.clone() })
    }

    async fn confirmed(&self, _: &str) -> Result<Option<Lsn>, Error> {
        self.round_trip().await?;
        let mut world = self.world.lock();
        let now_us = world.now_us();
        world.cluster.hear(now_us);
        Ok(world.cluster.slot.as_ref().map(|slot| Lsn(slot.confirmed)))
    }

    async fn registrations(&self, snapshot: Option<&str>) -> Result<Option<Vec<Row>>, registry::Error> {
        self.round_trip().await.map_err(|_| registry::Error::Silent)?;
        let mut world = self.world.lock();
        let now_us = world.now_us();
        let cluster = &world.cluster;
        let slot = cluster.slot.as_ref().expect("the slot is made before the table is read");
        // a snapshot is as of the slot, and else it is now
        let made = |one: &Transaction| one.committed.commit_lsn < slot.consistent_point;
        let then = cluster.registrations(cluster.script.partition_point(made));
        let rows = match snapshot {
            Some(_) => then.clone(),
            None => cluster.registrations(cluster.script.partition_point(|one| one.at_us <= now_us)),
        };
        world.tell(format_args!("server: {} registrations, snapshot {snapshot:?}", rows.len()));
        world.cluster.registered = Some(then.into_iter().map(|row| row.registration).collect());
        Ok(Some(rows.iter().map(Written::read).collect()))
    }

    async fn bind(
        &self,
        forms: Vec<Arc<Form>>,
        _: &[String],
        records: Vec<BindingRecord>,
    ) -> Result<Tables, catalog::Error> {
        let rekeys = self.world.lock().cluster.rekeys;
        Ok(Tables::new(self.world.clone(), forms, &records, rekeys))
    }
}

/// A connection before it streams.
pub struct Asked {
    world: Shared,
}

impl Server for Asked {
    type Stream = Stream;

    async fn identify(&mut self) -> Result<SystemIdentity, Error> {
        round_trip(&self.world).await?;
        let world = self.world.lock();
        Ok(SystemIdentity {
            system_id: "7".into(),
            timeline: 1,
            wal_end: Lsn(world.cluster.wal_end(world.now_us())),
            database: "play".into(),
        })
    }

    async fn slot(&mut self, _: &str) -> Result<Option<SlotState>, Error> {
        round_trip(&self.world).await?;
        let mut world = self.world.lock();
        let now_us = world.now_us();
        world.cluster.hear(now_us);
        let slot = world.cluster.slot.as_ref();
        Ok(slot.map(|slot| SlotState {
            plugin: Some("pgoutput".into()),
            database: Some("play".into()),
            active_pid: slot.active.map(|_| 1),
            restart_lsn: Some(Lsn(slot.confirmed)),
            confirmed_flush_lsn: Some(Lsn(slot.confirmed)),
            wal_status: Some("reserved".into()),
            invalidation: None,
            is_temporary: false,
            is_copy: false,
        }))
    }

    async fn create_slot(&mut self, name: &str, _: &str) -> Result<CreatedSlot, Error> {
        round_trip(&self.world).await?;
        let at = {
            let mut world = self.world.lock();
            let now_us = world.now_us();
            if world.cluster.slot.is_some() {
                return Err(Error::SlotExists { slot: name.to_owned() });
            }
            let at = world.cluster.wal_end(now_us);
            world.cluster.slot = Some(Slot {
                consistent_point: at,
                confirmed: at,
                checkpointed: at,
                promised: at,
                on_the_way: vec![],
                active: None,
                held_until_us: 0,
            });
            let first = world.cluster.script.partition_point(|one| one.committed.commit_lsn < at);
            let count = world.cluster.script.len();
            world.cluster.desk = Arc::new(story::write(world.cluster.seed, first, count));
            world.cluster.registered = None;
            world.tell(format_args!("server: a slot is made at {}", Lsn(at)));
            at
        };
        // the answer may be lost
        round_trip(&self.world).await?;
        Ok(CreatedSlot { consistent_point: Lsn(at), snapshot: Some("play".into()) })
    }

    async fn drop_slot(&mut self, name: &str) -> Result<(), Error> {
        round_trip(&self.world).await?;
        {
            let mut world = self.world.lock();
            let Some(slot) = &world.cluster.slot else {
                return Err(Error::SlotMissing { slot: name.to_owned() });
            };
            if slot.active.is_some() {
                return Err(Error::SlotInUse { slot: name.to_owned(), active_pid: Some(1) });
            }
            world.cluster.slot = None;
            world.cluster.registered = None;
            world.tell(format_args!("server: the slot is dropped"));
        }
        // the answer may be lost
        round_trip(&self.world).await
    }

    async fn timeline_history(&mut self, _: u32) -> Result<Vec<TimelineSwitch>, Error> {
        Ok(vec![])
    }

    async fn missing_publications(&mut self, _: &[String]) -> Result<Vec<String>, Error> {
        round_trip(&self.world).await?;
        Ok(vec![])
    }

    async fn start(self, name: &str, from: Lsn, _: &[String]) -> Result<Stream, Error> {
        round_trip(&self.world).await?;
        let mut world = self.world.lock();
        let now_us = world.now_us();
        world.cluster.hear(now_us);
        world.cluster.connection += 1;
        let connection = world.cluster.connection;
        let backwards = world.cluster.random.percent(20);
        let seed = world.cluster.random.next();
        let Some(slot) = &mut world.cluster.slot else {
            return Err(Error::SlotMissing { slot: name.to_owned() });
        };
        if slot.active.is_some() || slot.held_until_us > now_us {
            return Err(Error::SlotInUse { slot: name.to_owned(), active_pid: Some(1) });
        }
        slot.active = Some(connection);
        // what was promised on another connection and has not arrived is void: walhook goes back to what the slot says
        slot.promised = slot.confirmed;
        // what was asked for may be ignored, as by a server that knows no such position: all of it comes again
        let start = if backwards { slot.confirmed } else { slot.confirmed.max(from.0) };
        let script = Arc::clone(&world.cluster.script);
        let next = script.partition_point(|transaction| transaction.committed.commit_lsn < start);
        world.tell(format_args!("server: streams from {} (asked for {from})", Lsn(start)));
        drop(world);
        Ok(Stream {
            world: self.world,
            script,
            connection,
            next,
            sent: VecDeque::new(),
            told: BTreeSet::new(),
            reached: start,
            random: Random::new(seed, 0),
            stall_us: 0,
            is_broken: false,
        })
    }
}

/// A connection that streams.
pub struct Stream {
    world: Shared,
    script: Arc<Vec<Transaction>>,
    connection: u64,
    /// The next transaction.
    next: usize,
    /// What has arrived and was not taken.
    sent: VecDeque<Message>,
    /// The tables that were described.
    told: BTreeSet<RelationId>,
    reached: u64,
    random: Random,
    /// How long the rest of a transaction takes to arrive.
    stall_us: u64,
    is_broken: bool,
}

impl Stream {
    /// Whether the connection is still that of the slot: a crash of the server ends it.
    fn look(&mut self) -> Result<(), Error> {
        let mut world = self.world.lock();
        let is_ours = world.cluster.slot.as_ref().is_some_and(|slot| slot.active == Some(self.connection));
        if !is_ours || self.is_broken {
            return Err(broken());
        }
        if world.cluster.strikes() {
            world.tell(format_args!("server: the stream breaks"));
            let now_us = world.now_us();
            world.cluster.disconnect(now_us);
            self.is_broken = true;
            return Err(broken());
        }
        Ok(())
    }

    /// The next transaction that is committed by now arrives.
    fn arrive(&mut self) {
        let now_us = self.world.now_us();
        let script = Arc::clone(&self.script);
        while self.sent.len() < 200
            && let Some(transaction) = script.get(self.next).filter(|next| next.at_us <= now_us)
        {
            self.next += 1;
            self.send(self.next - 1, transaction);
            // the rest comes later
            if self.random.percent(10) {
                break;
            }
        }
    }

    fn send(&mut self, number: usize, transaction: &Transaction) {
        let committed = &transaction.committed;
        let commit_lsn = Lsn(committed.commit_lsn);
        self.sent.push_back(Message::Begin {
            commit_lsn,
            committed_at_us: committed.committed_at_us,
            xid: committed.xid,
        });
        for change in &transaction.changes {
            self.send_change(change);
            if self.random.percent(5) {
                // so far has been sent, the server says, in the middle of a transaction
                let within = self.random.below(transaction.end_lsn - committed.commit_lsn + 1);
                self.sent.push_back(Message::Keepalive { wal_end: Lsn(committed.commit_lsn + within) });
            }
        }
        let desk = Arc::clone(&self.world.lock().cluster.desk);
        for change in desk.changes(number) {
            self.world.tell(format_args!("desk: in transaction {}: {change:?}", committed.xid));
            if let desk::Change::Row { table, .. } = change {
                self.describe(desk::oid(*table), || log::relation(*table));
            }
            self.sent.push_back(log::message(change));
        }
        self.sent.push_back(Message::Commit { commit_lsn, end_lsn: Lsn(transaction.end_lsn) });
        self.reached = self.reached.max(transaction.end_lsn);
        if self.random.percent(5) {
            let (transactional, prefix, content) = (false, "noise".into(), Bytes::from_static(b"x"));
            self.sent.push_back(Message::Logical { transactional, prefix, content });
        }
    }

    fn send_change(&mut self, change: &Change) {
        match change {
            Change::Row(change) => self.send_row(change),
            Change::Registration(change) => {
                self.describe(registrations::OID, registrations::relation);
                self.sent.push_back(change.message());
            }
        }
    }

    fn describe(&mut self, table: RelationId, relation: impl Fn() -> Relation) {
        // also again, after an invalidation of the server's cache
        if self.told.insert(table) || self.random.percent(2) {
            self.sent.push_back(Message::Relation(relation()));
        }
    }

    fn send_row(&mut self, change: &Changed) {
        let table = match &change.op {
            Op::Insert { table, .. } => *table,
            Op::Update { key, .. } | Op::Rename { key, .. } | Op::Delete { key } => key.table,
        };
        self.describe(oid(table), || relation(table));
        self.sent.push_back(Message::Change { relation: oid(table), change: row_change(table, change) });
    }
}

/// A row change as the log has it.
fn row_change(table: usize, change: &Changed) -> RowChange {
    let of = &TABLES[table];
    let whole = |vals: &[Val]| row(vals, |_| Sent::Value);
    let key =
        |vals: &[Val]| row(vals, |column| if of.key.contains(&column) { Sent::Value } else { Sent::Null });
    let old = |vals: &[Val], key_is_logged: bool| match (of.full, key_is_logged) {
        (true, _) => OldRow::Full(whole(vals)),
        (false, true) => OldRow::Key(key(vals)),
        (false, false) => OldRow::Absent,
    };
    match (&change.op, &change.before, &change.after) {
        (Op::Update { set, .. } | Op::Rename { set, .. }, Some(before), Some(after)) => {
            let is_written = |column: usize| set.iter().any(|(written, _)| *written == column);
            let sent = |column: usize| {
                if after[column].is_toasted() && !is_written(column) { Sent::Unchanged } else { Sent::Value }
            };
            let renamed = matches!(change.op, Op::Rename { .. });
            RowChange::Update { old: old(before, renamed), new: row(after, sent) }
        }
        (_, Some(before), None) => RowChange::Delete { old: old(before, true) },
        (_, None, Some(after)) => RowChange::Insert { new: whole(after) },
        other => panic!("no change: {:?}", other.0),
    }
}

impl Source for Stream {
    type Error = Error;

    async fn next(&mut self) -> Result<Message, Error> {
        loop {
            if let Some(message) = self.try_next()? {
                return Ok(message);
            }
            if self.sent.is_empty() {
                let pause_us_max = if self.random.percent(10) { 3_000_000 } else { 20_000 };
                let pause_us = 100 + self.random.below(pause_us_max);
                sleep(Duration::from_micros(pause_us)).await;
                self.look()?;
                self.arrive();
                if self.sent.is_empty() && self.random.percent(30) {
                    let caught_up = {
                        let world = self.world.lock();
                        let now_us = world.now_us();
                        let is_last = self.script.get(self.next).is_none_or(|next| next.at_us > now_us);
                        is_last.then(|| world.cluster.wal_end(now_us))
                    };
                    self.reached = self.reached.max(caught_up.unwrap_or(0));
                    self.sent.push_back(Message::Keepalive { wal_end: Lsn(self.reached) });
                }
            } else {
                let pause_us = self.stall_us.max(self.random.below(300));
                sleep(Duration::from_micros(pause_us)).await;
                self.stall_us = 0;
                self.look()?;
            }
        }
    }

    fn try_next(&mut self) -> Result<Option<Message>, Error> {
        if self.stall_us > 0 {
            return Ok(None);
        }
        // what is here comes in pieces
        if self.random.percent(10) {
            self.look()?;
            return Ok(None);
        }
        let message = self.sent.pop_front();
        // a server that stops to tell how far it is may be slow with the rest of the transaction
        let may_stall = matches!(message, Some(Message::Keepalive { .. })) && !self.sent.is_empty();
        if may_stall && self.random.percent(30) {
            self.stall_us = self.random.below(3_000_000);
        }
        Ok(message)
    }

    fn confirm(&self, durable: Durable) {
        let mut world = self.world.lock();
        let now_us = world.now_us();
        let lsn = durable.end_lsn().0;
        let way_us_max = if world.cluster.random.percent(20) { 300_000 } else { 5_000 };
        let way_us = world.cluster.random.below(way_us_max);
        world.tell(format_args!("walhook confirms {}", durable.end_lsn()));
        if let Some(slot) = &mut world.cluster.slot {
            slot.promised = slot.promised.max(lsn);
            slot.on_the_way.push((now_us + way_us, self.connection, lsn));
        }
    }

    async fn close(self) -> Result<(), Error> {
        sleep(Duration::from_millis(5)).await;
        let mut world = self.world.lock();
        let now_us = world.now_us();
        world.cluster.hear(now_us + 1_000_000);
        world.cluster.disconnect(now_us);
        Ok(())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut world = self.world.lock();
        let now_us = world.now_us();
        let is_ours = world.cluster.slot.as_ref().is_some_and(|slot| slot.active == Some(self.connection));
        if is_ours {
            world.cluster.disconnect(now_us);
        }
    }
}
