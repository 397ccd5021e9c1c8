//! The index: what is not finished, of all webhooks, in memory; the claims that stand; and how the file's changes reach
//! it.
//!
//! It follows the file: what a transaction changes is noted as effects, which take effect here when it is on disk. A
//! transaction that is undone leaves the index as it was; what was shown of it `early` is taken back.

use super::ages::Ages;
use super::beyond::{Beyond, InFile};
use super::block::{Block, Home, Row};
use super::fault::Fault;
use super::lanes::{Arrival, Lanes, SlotNumber, Stand, Standing};
use super::rows::{sql, state_at, unsigned_at};
use super::shelf::Shelf;
use crate::delivery::{DeliveryNumber, State};
use crate::webhook::WebhookId;
use foldhash::{HashMap, HashSet};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The part of what memory has room for that must be ready to be sent before others of the webhook may overtake it.
const BACKLOG_PART: usize = 4000;

/// What a transaction means to the index.
#[derive(Debug)]
pub(super) enum Effect {
    /// A block counts from now on.
    Published(Arc<Block>),
    /// So do the blocks that were stored part by part: up to this one, from the one after the first.
    PublishedParts { after: u64, up_to: u64 },
    /// A claim has ended.
    Settled { webhook: WebhookId, sequence: u64, end: End },
    /// Pauses begin anew: the index has to be read again.
    PausesRestarted,
    /// Somebody replayed a delivery or gave it up.
    Touched { webhook: WebhookId, sequence: u64 },
}

/// How a claim ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The delivery is delivered: its lane goes on.
    Delivered,
    /// It is a dead letter, and its lane goes on.
    Dead,
    /// An operator gave it up meanwhile.
    GivenUp,
    /// It is tried again.
    Retrying { due_us: i64 },
    /// It is a dead letter and holds its lane.
    Blocking,
}

/// The index.
#[derive(Debug, Default)]
pub(super) struct Index {
    webhooks: BTreeMap<WebhookId, Lanes>,
    /// What stays in the file.
    beyond: InFile,
    /// When the last blocks came.
    ages: Ages,
    /// The time at which the last effects came, in microseconds since 1970 UTC.
    now_us: i64,
    /// How many deliveries are in the lanes, and how many may be; those beyond stay in the file until there is room.
    deliveries: usize,
    deliveries_max: usize,
    /// The last block that counts.
    published: u64,
    claims: HashMap<(WebhookId, u64), ClaimStanding>,
    /// Whether something may have become claimable since this was last asked.
    roused: bool,
    /// Whether something could not be followed, or was undone: what is missing must not be overtaken, so nothing is claimed.
    has_hole: bool,
}

/// Whose deliveries are read.
#[derive(Clone, Copy, Debug)]
enum Whose {
    Everybodys,
    /// Those of one webhook, from a number on.
    Ones(WebhookId, u64),
}

impl Whose {
    fn means(self, webhook: WebhookId, sequence: u64) -> bool {
        match self {
            Self::Everybodys => true,
            Self::Ones(one, from) => one == webhook && sequence >= from,
        }
    }
}

/// A claim that stands.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClaimStanding {
    slot: SlotNumber,
    /// Whether the delivery had a row of its own when it was claimed.
    pub(super) has_row: bool,
    pub(super) home: Home,
}

impl Index {
    /// An index of nothing yet, which has room for so many deliveries.
    pub(super) fn new(deliveries_max: usize) -> Self {
        Self { deliveries_max, ..Self::default() }
    }

    /// Reads everything that is not finished, into an index with as much room. Claims that stand are not in it.
    pub(super) fn load_anew(&self, connection: &Connection, published_block: u64) -> Result<Self, Fault> {
        let mut index = Self { roused: true, published: published_block, ..Self::new(self.deliveries_max) };
        index.load_blocks(connection, 0, published_block, Whose::Everybodys)?;
        Ok(index)
    }

    /// The same for one webhook, to look at.
    pub(super) fn lanes_of(connection: &Connection, webhook: WebhookId) -> Result<Lanes, Fault> {
        let published =
            connection.prepare_cached(sql!("published_block"))?.query_row([], |row| unsigned_at(row, 0))?;
        let mut index = Self::new(usize::MAX);
        index.load_blocks(connection, 0, published, Whose::Ones(webhook, 0))?;
        Ok(index.webhooks.remove(&webhook).unwrap_or_default())
    }

    /// Takes in what is not finished of the blocks after one, up to another.
    fn load_blocks(
        &mut self,
        connection: &Connection,
        after: u64,
        up_to: u64,
        whose: Whose,
    ) -> Result<(), Fault> {
        let bounds = params![after.cast_signed(), up_to.cast_signed()];
        let open: Vec<u64> = connection
            .prepare_cached(sql!("open_blocks"))?
            .query_map(bounds, |row| unsigned_at(row, 0))?
            .collect::<Result<_, _>>()?;
        for id in open {
            if matches!(whose, Whose::Ones(webhook, _) if self.beyond.first(webhook).is_some()) {
                break;
            }
            let Some(block) = Block::read_events(connection, id)? else { continue };
            let arrived = arrived(connection, id)?;
            let rows = block.rows(connection)?;
            for (delivery, event) in block.iter() {
                let (webhook, sequence) = (delivery.webhook, delivery.sequence);
                let is_known = arrived.contains(&delivery.place) || self.beyond.is_ahead(webhook, sequence);
                if is_known || !whose.means(webhook, sequence) {
                    continue;
                }
                let row = rows.get(&(webhook, sequence));
                let Some(standing) = standing_of(row) else { continue };
                self.admit(
                    webhook,
                    Arrival {
                        sequence,
                        home: Home::new(id, delivery.place),
                        lane: event.lane,
                        behind: &event.behind,
                        standing,
                        has_row: row.is_some(),
                        overtakes: false,
                    },
                );
            }
        }
        Ok(())
    }

    /// Follows what is on disk now; all of it that can be followed, for who has ended a claim does not end it again.
    /// Whoever gets a fault has to read the index anew; until then nothing is claimed.
    pub(super) fn follow(
        &mut self,
        effects: Vec<Effect>,
        connection: &Connection,
        shelf: &mut Shelf,
        now_us: i64,
    ) -> Result<(), Fault> {
        self.now_us = now_us;
        let mut result = Ok(());
        for effect in effects {
            let followed = match effect {
                Effect::Published(block) => {
                    self.take_in(&block);
                    shelf.put(block);
                    Ok(())
                }
                Effect::PublishedParts { after, up_to } => {
                    self.published = up_to;
                    self.roused = true;
                    self.ages.note(after + 1, now_us);
                    self.load_blocks(connection, after, up_to, Whose::Everybodys)
                }
                Effect::Settled { webhook, sequence, end } => {
                    self.settle(webhook, sequence, end);
                    Ok(())
                }
                Effect::PausesRestarted => Ok(()),
                Effect::Touched { webhook, sequence } => self.touch(connection, shelf, webhook, sequence),
            };
            result = result.and(followed);
        }
        let result = result.and_then(|()| self.refill(connection));
        self.has_hole |= result.is_err();
        result
    }

    /// How many of a webhook are in the index at least, if it has so many: those of others must not stop it.
    fn share_min(&self) -> usize {
        (self.deliveries_max / 2000).max(4)
    }

    /// Reads some of what stays in the file, where there is room by now.
    fn refill(&mut self, connection: &Connection) -> Result<(), Fault> {
        // some at a time, for whoever claims waits meanwhile
        let has_room = self.deliveries + self.deliveries_max / 100 < self.deliveries_max;
        let wants = |lanes: Option<&Lanes>| lanes.is_none_or(|lanes| lanes.len() < self.share_min() / 2);
        let wanting: Vec<(WebhookId, Beyond)> =
            self.beyond.iter().filter(|(webhook, _)| has_room || wants(self.webhooks.get(webhook))).collect();
        for &(webhook, Beyond { block, sequence }) in &wanting {
            self.beyond.take(webhook);
            self.load_blocks(connection, block - 1, self.published, Whose::Ones(webhook, sequence))?;
            self.roused = true;
        }
        if !wanting.is_empty() {
            self.beyond.forget_what_was_read();
        }
        Ok(())
    }

    /// Changes the lanes of a webhook, and keeps count.
    fn change(&mut self, webhook: WebhookId, change: impl FnOnce(&mut Lanes)) {
        if let Some(lanes) = self.webhooks.get_mut(&webhook) {
            let before = lanes.len();
            change(lanes);
            lanes.shrink();
            self.deliveries = (self.deliveries + lanes.len()).saturating_sub(before);
        }
    }

    /// Takes a delivery in, if there is room, and none before it had to stay in the file or those may be overtaken.
    fn admit(&mut self, webhook: WebhookId, arrival: Arrival<'_>) {
        let (share_min, ahead_max) = (self.share_min(), (self.deliveries_max / 64).max(4));
        let lanes = self.webhooks.entry(webhook).or_default();
        let overtakes = self.beyond.first(webhook).is_some();
        let is_taken_in = if overtakes {
            self.beyond.may_be_overtaken(webhook, &arrival, ahead_max, self.now_us)
        } else {
            self.deliveries < self.deliveries_max || lanes.len() < share_min
        };
        if !is_taken_in {
            self.beyond.add(webhook, &arrival);
            return;
        }
        if overtakes {
            self.beyond.overtake(webhook, arrival.sequence);
        }
        lanes.insert(Arrival { overtakes, ..arrival });
        self.deliveries += 1;
    }

    fn take_in(&mut self, block: &Block) {
        self.published = block.id;
        self.ages.note(block.id, self.now_us);
        for (delivery, event) in block.iter() {
            self.admit(
                delivery.webhook,
                Arrival {
                    sequence: delivery.sequence,
                    home: Home::new(block.id, delivery.place),
                    lane: event.lane,
                    behind: &event.behind,
                    standing: Standing::Due,
                    has_row: false,
                    overtakes: false,
                },
            );
        }
        self.roused = true;
    }

    fn settle(&mut self, webhook: WebhookId, sequence: u64, end: End) {
        let Some(standing) = self.claims.remove(&(webhook, sequence)) else { return };
        let Some(lanes) = self.webhooks.get(&webhook) else { return };
        // perhaps while it was under way
        let end = if lanes.stand(standing.slot) == Stand::GivenUp { End::GivenUp } else { end };
        self.change(webhook, |lanes| match end {
            End::GivenUp => lanes.end(standing.slot),
            End::Delivered => lanes.deliver(standing.slot),
            End::Dead => lanes.die(standing.slot),
            End::Retrying { due_us } => lanes.retry(standing.slot, due_us),
            End::Blocking => lanes.block(standing.slot),
        });
        match end {
            End::Retrying { .. } | End::Blocking => {}
            End::Delivered | End::Dead | End::GivenUp => self.beyond.ended(webhook, sequence),
        }
        if end == End::Delivered {
            self.beyond.arrived(webhook, self.now_us);
        }
        self.roused = true;
    }

    /// Looks at a delivery that somebody has replayed or given up.
    fn touch(
        &mut self,
        connection: &Connection,
        shelf: &mut Shelf,
        webhook: WebhookId,
        sequence: u64,
    ) -> Result<(), Fault> {
        let row: Option<(u64, Row)> = connection
            .prepare_cached(sql!("delivery_row"))?
            .query_row(params![webhook.0.cast_signed(), sequence.cast_signed()], |row| {
                Ok((unsigned_at(row, 0)?, Row::at(row, 1)?))
            })
            .optional()?;
        let Some((block, row)) = row else { return Ok(()) };
        let Some(block) = shelf.block(connection, block)? else { return Ok(()) };
        let Some((delivery, event)) = block.find(webhook, sequence) else { return Ok(()) };
        if self.beyond.has(webhook, sequence) {
            // read when there is room, as the file has it then
            return Ok(());
        }
        let standing = standing_of(Some(&row));
        self.webhooks.entry(webhook).or_default();
        self.change(webhook, |lanes| match (lanes.find(event.lane, sequence), standing) {
            (Some(slot), None) => lanes.give_up(slot),
            (Some(slot), Some(Standing::Due)) => {
                lanes.note_row(slot);
                lanes.unblock(slot);
            }
            (Some(_), Some(_)) | (None, None) => {}
            (None, Some(standing)) => lanes.insert(Arrival {
                sequence,
                home: Home::new(block.id, delivery.place),
                lane: event.lane,
                behind: &[],
                standing,
                has_row: true,
                overtakes: false,
            }),
        });
        if self.webhooks[&webhook].find(event.lane, sequence).is_none() {
            self.beyond.ended(webhook, sequence);
        }
        self.roused = true;
        Ok(())
    }

    /// Claims the next delivery of a webhook that may be claimed. Returns its number, and where it is.
    pub(super) fn claim(&mut self, webhook: WebhookId, now_us: i64) -> Option<(u64, ClaimStanding)> {
        if self.has_hole {
            return None;
        }
        let lanes = self.webhooks.get_mut(&webhook)?;
        // few go in the order of their numbers, however late they are
        let is_backlog = lanes.ready() > self.deliveries_max / BACKLOG_PART;
        let young_from = if is_backlog { self.ages.young_from(now_us) } else { u64::MAX };
        let slot = lanes.claim(now_us, young_from)?;
        let standing = ClaimStanding { slot, has_row: lanes.has_row(slot), home: lanes.home(slot) };
        let sequence = lanes.sequence(slot);
        self.claims.insert((webhook, sequence), standing);
        Some((sequence, standing))
    }

    /// A claim that stands, and whether the delivery was given up meanwhile.
    pub(super) fn standing(&self, webhook: WebhookId, sequence: u64) -> Option<(ClaimStanding, bool)> {
        let standing = *self.claims.get(&(webhook, sequence))?;
        let is_given_up = self.webhooks.get(&webhook)?.stand(standing.slot) == Stand::GivenUp;
        Some((standing, is_given_up))
    }

    /// Gives some claims back, or all.
    pub(super) fn release(&mut self, claims: impl IntoIterator<Item = (WebhookId, u64)>) {
        for (webhook, sequence) in claims {
            let Some(standing) = self.claims.remove(&(webhook, sequence)) else { continue };
            let Some(lanes) = self.webhooks.get(&webhook) else { continue };
            if lanes.stand(standing.slot) == Stand::GivenUp {
                self.beyond.ended(webhook, sequence);
            }
            self.change(webhook, |lanes| lanes.release(standing.slot));
        }
        self.roused = true;
    }

    /// Lets the claims that stand in the index of before stand in this one, which was read since.
    pub(super) fn claim_again(&mut self, before: &Self) {
        for (&(webhook, sequence), claim) in &before.claims {
            let Some(lanes_before) = before.webhooks.get(&webhook) else { continue };
            let lanes = self.webhooks.entry(webhook).or_default();
            let known = lanes.len();
            let slot = lanes.claim_again(lanes_before, claim.slot);
            self.deliveries += lanes.len() - known;
            let standing = ClaimStanding { slot, has_row: lanes.has_row(slot), home: lanes.home(slot) };
            self.claims.insert((webhook, sequence), standing);
            if self.beyond.has(webhook, sequence) {
                self.beyond.overtake(webhook, sequence);
            }
        }
    }

    /// Whether nothing stays in the file, or is missing.
    pub(super) fn is_whole(&self) -> bool {
        self.beyond.is_empty() && !self.has_hole
    }

    /// What came after a block is undone: lets nothing be claimed until the index is read anew. Returns the claims of it,
    /// which stand no more.
    pub(super) fn recall(&mut self, block: u64) -> Vec<(WebhookId, u64)> {
        self.has_hole = true;
        self.claims
            .extract_if(|_, standing| standing.home.block() > block)
            .map(|(number, _)| number)
            .collect()
    }

    /// The claims that stand.
    pub(super) fn claimed(&self) -> Vec<(WebhookId, u64)> {
        self.claims.keys().copied().collect()
    }

    /// Notes that there may be something to claim.
    pub(super) fn rouse(&mut self) {
        self.roused = true;
    }

    /// Whether something may have become claimable since this was last asked.
    pub(super) fn take_roused(&mut self) -> bool {
        std::mem::take(&mut self.roused)
    }

    /// From when on there may be something to claim for a webhook.
    pub(super) fn hot_from_us(&self, webhook: WebhookId) -> Option<i64> {
        self.webhooks.get(&webhook)?.hot_from_us()
    }

    /// A number that no delivery of a webhook that is to be sent some time is below.
    pub(super) fn oldest(&self, webhook: WebhookId) -> Option<u64> {
        let in_file = self.beyond.first(webhook).map(|beyond| beyond.sequence);
        self.webhooks.get(&webhook).and_then(Lanes::oldest).into_iter().chain(in_file).min()
    }
}

/// Whether a delivery with a row of its own is not to be sent any more.
pub(super) fn has_ended(connection: &Connection, delivery: DeliveryNumber) -> Result<bool, Fault> {
    let state = connection
        .prepare_cached(sql!("delivery_row"))?
        .query_row(params![delivery.webhook.0.cast_signed(), delivery.sequence.cast_signed()], |row| {
            state_at(row, 1)
        })?;
    Ok(!matches!(state, State::Waiting | State::Ready | State::Retrying))
}

/// How a delivery comes into its lane; none if it has no business there.
fn standing_of(row: Option<&Row>) -> Option<Standing> {
    match row {
        None => Some(Standing::Due),
        Some(Row { state: State::Retrying, due_at_us, .. }) => {
            Some(Standing::Retrying { due_us: due_at_us.unwrap_or(i64::MIN) })
        }
        Some(Row { state: State::Ready | State::Waiting, .. }) => Some(Standing::Due),
        Some(Row { state: State::Blocking, .. }) => Some(Standing::Blocking),
        Some(Row { state: State::Dead | State::Delivered | State::Dropped, .. }) => None,
    }
}

/// The places of a block's deliveries that arrived at the first attempt.
fn arrived(connection: &Connection, block: u64) -> Result<HashSet<u32>, Fault> {
    let lists = super::arrived::lists(connection, block)?;
    Ok(lists.into_iter().map(|arrived| arrived.place).collect())
}
