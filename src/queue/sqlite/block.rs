//! Blocks: the events that came in one transaction of the queue, with their deliveries, stored together.
//!
//! A block is two values: its events with their deliveries, in [`postcard`]'s encoding, and the bytes of all bodies
//! one behind the other. A delivery keeps its place for as long as the block stands, also when others have been
//! removed from it.

use super::fault::Fault;
use super::rows::{malformed, sql, state_at, unsigned_at};
use crate::delivery::{Body, DeliveryId, NewEvent, State};
use crate::event::Verb;
use crate::form::Lane;
use crate::lsn::{Lsn, Position};
use crate::queue::Place;
use crate::webhook::WebhookId;
use bytes::Bytes;
use rusqlite::{Connection, MAIN_DB, OptionalExtension, params};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};

/// How many bytes of bodies a block has, near enough; one that is larger by itself is a block of its own.
pub(super) const BLOCK_BYTES: usize = 256 << 10;
/// How many deliveries a block has at most (the last event may go beyond).
pub(super) const BLOCK_DELIVERIES: usize = 4096;

/// Where a delivery is stored: its block and its place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Home(u64);

/// How many bits of a home say the place.
const PLACE_BITS: u32 = 24;

impl Home {
    /// A block's number has room for some decades of a thousand blocks in a second.
    pub(super) fn new(block: u64, place: u32) -> Self {
        Self(block << PLACE_BITS | u64::from(place))
    }

    pub(super) fn block(self) -> u64 {
        self.0 >> PLACE_BITS
    }

    pub(super) fn place(self) -> u32 {
        (self.0 & ((1 << PLACE_BITS) - 1)) as u32
    }
}

impl From<Home> for Place {
    fn from(home: Home) -> Self {
        Self(home.0)
    }
}

impl From<Place> for Home {
    fn from(place: Place) -> Self {
        Self(place.0)
    }
}

/// A block in memory.
#[derive(Debug)]
pub(super) struct Block {
    pub(super) id: u64,
    pub(super) events: Vec<Event>,
    /// In the order of their places.
    pub(super) deliveries: Vec<Delivery>,
}

/// An event of a block.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) position: Position,
    pub(super) form: String,
    pub(super) verb: Verb,
    pub(super) entry_id: String,
    pub(super) lane: Lane,
    pub(super) behind: Vec<Lane>,
    pub(super) xid: u32,
    pub(super) committed_at_us: i64,
    tails: Vec<Tail>,
}

#[derive(Debug)]
struct Tail {
    content_type: String,
    /// Empty where the bodies were not read.
    bytes: Bytes,
    length: u64,
}

impl Tail {
    fn new(content_type: String, bytes: Bytes) -> Self {
        Self { content_type, length: bytes.len() as u64, bytes }
    }
}

/// A delivery of a block.
#[derive(Debug)]
pub(super) struct Delivery {
    pub(super) place: u32,
    /// The number of its event in the block.
    pub(super) event: usize,
    pub(super) webhook: WebhookId,
    pub(super) sequence: u64,
    pub(super) id: DeliveryId,
    tail: usize,
    head: Bytes,
    head_length: u64,
}

/// Rows of their own, by delivery.
pub(super) type Rows = HashMap<(WebhookId, u64), Row>;

/// What a row of its own says of a delivery.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) state: State,
    pub(super) due_at_us: Option<i64>,
    pub(super) attempts: u32,
    pub(super) replay: bool,
}

impl Row {
    /// The row in four columns from `column` on.
    pub(super) fn at(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Self> {
        Ok(Self {
            state: state_at(row, column)?,
            due_at_us: row.get(column + 1)?,
            attempts: row.get(column + 2)?,
            replay: row.get(column + 3)?,
        })
    }
}

/// An event as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredEvent<'a> {
    epoch: u32,
    commit_lsn: u64,
    ordinal: u64,
    form: &'a str,
    verb: &'a str,
    entry_id: &'a str,
    lane: u64,
    behind: Vec<u64>,
    xid: u32,
    committed_at_us: i64,
    /// Content types and lengths.
    #[serde(borrow)]
    tails: Vec<(&'a str, u64)>,
    deliveries: Vec<StoredDelivery>,
}

/// A delivery as it is stored.
#[derive(Serialize, Deserialize)]
struct StoredDelivery {
    place: u32,
    webhook: u64,
    sequence: u64,
    id: [u8; 16],
    tail: u32,
    head_length: u64,
}

/// Events on their way into a block.
#[derive(Debug, Default)]
pub(super) struct Forming {
    events: Vec<Event>,
    deliveries: Vec<Delivery>,
    pub(super) bytes: usize,
}

impl Forming {
    pub(super) fn is_empty(&self) -> bool {
        self.deliveries.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BLOCK_BYTES || self.deliveries.len() >= BLOCK_DELIVERIES
    }

    /// Adds an event with those of its deliveries that are kept.
    pub(super) fn push(&mut self, event: &NewEvent, is_kept: impl Fn(usize) -> bool) {
        let number = self.events.len();
        let before = self.deliveries.len();
        for (_, delivery) in event.deliveries.iter().enumerate().filter(|(index, _)| is_kept(*index)) {
            self.bytes += delivery.head.len() + 64;
            self.deliveries.push(Delivery {
                place: self.deliveries.len() as u32,
                event: number,
                webhook: delivery.webhook,
                sequence: delivery.sequence,
                id: delivery.id,
                tail: delivery.tail,
                head: delivery.head.clone(),
                head_length: delivery.head.len() as u64,
            });
        }
        if self.deliveries.len() == before {
            return;
        }
        let tail = |tail: &crate::delivery::Tail| {
            Tail::new(tail.content_type.clone().into_owned(), tail.bytes.clone())
        };
        self.bytes +=
            event.tails.iter().map(|tail| tail.bytes.len()).sum::<usize>() + event.entry_id.len() + 100;
        self.events.push(Event {
            position: event.position,
            form: event.form.clone(),
            verb: event.verb,
            entry_id: event.entry_id.clone(),
            lane: event.lane,
            behind: event.behind.clone(),
            xid: event.xid,
            committed_at_us: event.committed_at_us,
            tails: event.tails.iter().map(tail).collect(),
        });
    }

    /// The block of what was added.
    pub(super) fn finish(&mut self, id: u64) -> Block {
        let Self { events, deliveries, .. } = std::mem::take(self);
        Block { id, events, deliveries }
    }
}

impl Block {
    /// The delivery at a place.
    pub(super) fn at(&self, place: u32) -> Option<(&Delivery, &Event)> {
        let index = self.deliveries.binary_search_by_key(&place, |delivery| delivery.place).ok()?;
        Some((&self.deliveries[index], &self.events[self.deliveries[index].event]))
    }

    /// A webhook's delivery.
    pub(super) fn find(&self, webhook: WebhookId, sequence: u64) -> Option<(&Delivery, &Event)> {
        let delivery =
            self.deliveries.iter().find(|one| one.webhook == webhook && one.sequence == sequence)?;
        Some((delivery, &self.events[delivery.event]))
    }

    /// Each delivery with its event, in the order of their places.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (&Delivery, &Event)> {
        self.deliveries.iter().map(|delivery| (delivery, &self.events[delivery.event]))
    }

    /// The body of a delivery.
    pub(super) fn body(&self, delivery: &Delivery) -> Body {
        let tail = &self.events[delivery.event].tails[delivery.tail];
        Body {
            head: delivery.head.clone(),
            tail: tail.bytes.clone(),
            content_type: tail.content_type.clone(),
        }
    }

    /// What the body of a delivery takes.
    pub(super) fn body_bytes(&self, delivery: &Delivery) -> u64 {
        delivery.head_length + self.events[delivery.event].tails[delivery.tail].length
    }

    /// The same for the delivery at a place.
    pub(super) fn body_bytes_at(&self, place: u32) -> Option<usize> {
        self.at(place).map(|(delivery, _)| self.body_bytes(delivery) as usize)
    }

    /// What it takes in memory, near enough.
    pub(super) fn footprint_bytes(&self) -> usize {
        let tails = |event: &Event| event.tails.iter().map(|tail| tail.bytes.len()).sum::<usize>();
        let events: usize = self.events.iter().map(|event| tails(event) + event.entry_id.len() + 200).sum();
        events + self.deliveries.iter().map(|delivery| delivery.head.len() + 100).sum::<usize>()
    }

    /// The webhooks that have deliveries here, with the first and the last of their numbers.
    pub(super) fn shares(&self) -> BTreeMap<WebhookId, (u64, u64)> {
        let mut shares: BTreeMap<WebhookId, (u64, u64)> = BTreeMap::new();
        for Delivery { webhook, sequence, .. } in &self.deliveries {
            let (first, last) = shares.entry(*webhook).or_insert((*sequence, *sequence));
            (*first, *last) = ((*first).min(*sequence), (*last).max(*sequence));
        }
        shares
    }

    /// What rows of their own say of its deliveries.
    pub(super) fn rows(&self, connection: &Connection) -> Result<Rows, Fault> {
        let mut statement = connection.prepare_cached(sql!("rows_of_share"))?;
        let mut rows = Rows::new();
        for (webhook, (first, last)) in self.shares() {
            let mut found =
                statement.query(params![webhook.0.cast_signed(), first.cast_signed(), last.cast_signed()])?;
            while let Some(row) = found.next()? {
                rows.insert((webhook, unsigned_at(row, 0)?), Row::at(row, 1)?);
            }
        }
        Ok(rows)
    }

    /// Removes deliveries, and the events that have none left.
    pub(super) fn retain(&mut self, is_kept: impl Fn(&Delivery) -> bool) {
        self.deliveries.retain(is_kept);
        let mut numbers = vec![usize::MAX; self.events.len()];
        let mut kept = Vec::new();
        let mut events: Vec<Option<Event>> = std::mem::take(&mut self.events).into_iter().map(Some).collect();
        for delivery in &mut self.deliveries {
            let number = &mut numbers[delivery.event];
            if *number == usize::MAX {
                *number = kept.len();
                kept.extend(events[delivery.event].take());
            }
            delivery.event = *number;
        }
        self.events = kept;
    }

    /// As it is stored: events, bodies.
    pub(super) fn encode(&self) -> (Vec<u8>, Vec<u8>) {
        let mut bodies = Vec::with_capacity(self.footprint_bytes());
        let mut deliveries = self.deliveries.iter().peekable();
        let mut encoded = Vec::with_capacity(200 * self.events.len());
        for (number, event) in self.events.iter().enumerate() {
            for tail in &event.tails {
                bodies.extend_from_slice(&tail.bytes);
            }
            let mut stored = Vec::new();
            while let Some(delivery) = deliveries.next_if(|delivery| delivery.event == number) {
                bodies.extend_from_slice(&delivery.head);
                stored.push(StoredDelivery {
                    place: delivery.place,
                    webhook: delivery.webhook.0,
                    sequence: delivery.sequence,
                    id: delivery.id.0,
                    tail: delivery.tail as u32,
                    head_length: delivery.head_length,
                });
            }
            let event = StoredEvent {
                epoch: event.position.epoch,
                commit_lsn: event.position.commit_lsn.0,
                ordinal: event.position.ordinal,
                form: &event.form,
                verb: event.verb.as_str(),
                entry_id: &event.entry_id,
                lane: event.lane.0,
                behind: event.behind.iter().map(|lane| lane.0).collect(),
                xid: event.xid,
                committed_at_us: event.committed_at_us,
                tails: event.tails.iter().map(|tail| (&*tail.content_type, tail.length)).collect(),
                deliveries: stored,
            };
            encoded = postcard::to_extend(&event, encoded).expect("memory takes what is written to it");
        }
        (encoded, bodies)
    }

    /// What [`encode`](Self::encode) made; without the bodies, they are empty.
    pub(super) fn decode(id: u64, mut encoded: &[u8], bodies: Option<Bytes>) -> Result<Self, Fault> {
        let damaged = |what: &str| Fault::from(malformed(0, format!("block {id} {what}")));
        let mut block = Self { id, events: Vec::new(), deliveries: Vec::new() };
        let (mut rest, mut total) = (bodies, 0_u64);
        let mut take = |length: u64| {
            total = total.checked_add(length).ok_or_else(|| damaged("has bodies without end"))?;
            match &mut rest {
                None => Ok(Bytes::new()),
                Some(bytes) if length <= bytes.len() as u64 => Ok(bytes.split_to(length as usize)),
                Some(_) => Err(damaged("has not all of its bodies")),
            }
        };
        let mut free = 0..1 << PLACE_BITS;
        while !encoded.is_empty() {
            let (stored, after) = postcard::take_from_bytes::<StoredEvent<'_>>(encoded)
                .map_err(|error| damaged(&format!("cannot be read: {error}")))?;
            encoded = after;
            let mut tails = Vec::with_capacity(stored.tails.len());
            for (content_type, length) in stored.tails {
                tails.push(Tail { content_type: content_type.to_owned(), bytes: take(length)?, length });
            }
            for delivery in &stored.deliveries {
                if delivery.tail as usize >= tails.len() {
                    return Err(damaged("has a delivery without tail"));
                }
                if !free.contains(&delivery.place) {
                    return Err(damaged("has its places in disorder"));
                }
                free.start = delivery.place + 1;
                block.deliveries.push(Delivery {
                    place: delivery.place,
                    event: block.events.len(),
                    webhook: WebhookId(delivery.webhook),
                    sequence: delivery.sequence,
                    id: DeliveryId(delivery.id),
                    tail: delivery.tail as usize,
                    head: take(delivery.head_length)?,
                    head_length: delivery.head_length,
                });
            }
            block.events.push(Event {
                position: Position {
                    epoch: stored.epoch,
                    commit_lsn: Lsn(stored.commit_lsn),
                    ordinal: stored.ordinal,
                },
                form: stored.form.to_owned(),
                verb: stored.verb.parse().map_err(|_| damaged("has an event without name"))?,
                entry_id: stored.entry_id.to_owned(),
                lane: Lane(stored.lane),
                behind: stored.behind.into_iter().map(Lane).collect(),
                xid: stored.xid,
                committed_at_us: stored.committed_at_us,
                tails,
            });
        }
        Ok(block)
    }

    /// Reads a block; none if it is gone.
    pub(super) fn read(connection: &Connection, id: u64) -> Result<Option<Self>, Fault> {
        let content: Option<(Vec<u8>, Vec<u8>)> = connection
            .prepare_cached(sql!("content"))?
            .query_row(params![id.cast_signed()], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        content.map(|(events, bodies)| Self::decode(id, &events, Some(bodies.into()))).transpose()
    }

    /// Reads the event of the delivery at a place, as a block with nothing else; none if it is gone. That takes a small
    /// part of what a whole block takes.
    pub(super) fn read_one(connection: &Connection, id: u64, place: u32) -> Result<Option<Self>, Fault> {
        let damaged = |error| Fault::from(malformed(0, format!("block {id} cannot be read: {error}")));
        // both parts as they were at the same time
        let _snapshot = connection.unchecked_transaction()?;
        let events: Option<Vec<u8>> = connection
            .prepare_cached(sql!("content_events"))?
            .query_row(params![id.cast_signed()], |row| row.get(0))
            .optional()?;
        let events = events.unwrap_or_default();
        let (mut encoded, mut from) = (&events[..], 0_u64);
        while !encoded.is_empty() {
            let (stored, after) = postcard::take_from_bytes::<StoredEvent<'_>>(encoded)
                .map_err(|error| damaged(error.to_string()))?;
            let tails = stored.tails.iter().map(|&(_, length)| length);
            let heads = stored.deliveries.iter().map(|delivery| delivery.head_length);
            let length = tails.chain(heads).fold(0, u64::saturating_add);
            if stored.deliveries.iter().any(|delivery| delivery.place == place) {
                let event = &encoded[..encoded.len() - after.len()];
                let bodies = connection.blob_open(MAIN_DB, "content", "bodies", id.cast_signed(), true)?;
                if from.saturating_add(length) > bodies.len() as u64 {
                    return Err(damaged("it has not all of its bodies".into()));
                }
                let mut bytes = vec![0; length as usize];
                bodies.read_at_exact(&mut bytes, from as usize)?;
                return Self::decode(id, event, Some(bytes.into())).map(Some);
            }
            (encoded, from) = (after, from.saturating_add(length));
        }
        Ok(None)
    }

    /// Reads a block without its bodies; none if it is gone.
    pub(super) fn read_events(connection: &Connection, id: u64) -> Result<Option<Self>, Fault> {
        let events: Option<Vec<u8>> = connection
            .prepare_cached(sql!("content_events"))?
            .query_row(params![id.cast_signed()], |row| row.get(0))
            .optional()?;
        events.map(|events| Self::decode(id, &events, None)).transpose()
    }

    /// Writes a new block.
    pub(super) fn store(&self, connection: &Connection, now_us: i64) -> Result<(), Fault> {
        let id = self.id.cast_signed();
        connection.prepare_cached(sql!("insert_block"))?.execute(params![
            id,
            self.deliveries.len() as i64,
            now_us
        ])?;
        self.store_content(connection)?;
        self.store_shares(connection)
    }

    /// Writes which webhooks have deliveries in it.
    pub(super) fn store_shares(&self, connection: &Connection) -> Result<(), Fault> {
        for (webhook, (first, last)) in self.shares() {
            connection.prepare_cached(sql!("insert_share"))?.execute(params![
                webhook.0.cast_signed(),
                first.cast_signed(),
                last.cast_signed(),
                self.id.cast_signed()
            ])?;
        }
        Ok(())
    }

    /// Writes what is in it.
    pub(super) fn store_content(&self, connection: &Connection) -> Result<(), Fault> {
        let (events, bodies) = self.encode();
        connection.prepare_cached(sql!("store_content"))?.execute(params![
            self.id.cast_signed(),
            events,
            bodies
        ])?;
        Ok(())
    }
}
