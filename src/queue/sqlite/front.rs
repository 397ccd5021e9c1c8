//! The front of the queue: what may be claimed, and recent blocks to claim it from. The writer moves it on after every
//! commit; who claims does so beside the writer, and waits for no disk.

use super::block::Block;
use super::fault::Fault;
use super::index::{ClaimStanding, Effect, Index};
use super::rows::sql;
use super::shelf::Shelf;
use crate::delivery::{Claim, DeliveryNumber};
use crate::webhook::WebhookId;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many bytes of bodies are claimed at once (the last body may go beyond).
const CLAIM_BYTES_MAX: usize = 32 << 20;
/// From how many retried deliveries of a block on it is read as a whole.
const WHOLE_FROM: usize = 4;

/// What is handed out.
#[derive(Debug, Default)]
pub(super) struct Front {
    /// What is not finished; nothing for a command beside the owner.
    pub(super) index: Index,
    pub(super) shelf: Shelf,
    /// Claims of deliveries that were shown early and then undone. Until they have ended nothing is claimed, so that none
    /// of these is on its way twice at once.
    undone: HashSet<(WebhookId, u64)>,
    /// The webhook that was claimed for last, for the round robin.
    claimed_last: Option<WebhookId>,
}

/// The front as the writer and those who claim share it. Nothing in it can be left half done by a panic that would
/// matter: the process ends then.
#[derive(Clone, Debug)]
pub(super) struct SharedFront(Arc<Mutex<Front>>);

impl SharedFront {
    /// A front that has nothing yet, and knows of so many deliveries at most.
    pub(super) fn new(known_max: usize) -> Self {
        let front = Front { index: Index::new(known_max), ..Front::default() };
        Self(Arc::new(Mutex::new(front)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Front> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A delivery that was taken, and has yet to become a claim.
pub(super) struct Taken {
    number: DeliveryNumber,
    standing: ClaimStanding,
    /// Its block, if it was on the shelf.
    block: Option<Arc<Block>>,
}

impl Front {
    /// Follows what is on disk now.
    pub(super) fn follow(
        &mut self,
        effects: Vec<Effect>,
        connection: &Connection,
        now_us: i64,
    ) -> Result<(), Fault> {
        self.index.follow(effects, connection, &mut self.shelf, now_us)
    }

    /// What came after a block is undone: it is forgotten when the index is read anew.
    pub(super) fn recall(&mut self, block: u64) {
        self.undone.extend(self.index.recall(block));
    }

    /// A claim that does not stand has ended.
    pub(super) fn forget(&mut self, webhook: WebhookId, sequence: u64) {
        if self.undone.remove(&(webhook, sequence)) && self.undone.is_empty() {
            self.index.rouse();
        }
    }

    /// All claims that do not stand have ended.
    pub(super) fn forget_all(&mut self) {
        self.undone.clear();
        self.index.rouse();
    }

    /// Takes what is due, round robin over the webhooks with their allowances.
    pub(super) fn take(
        &mut self,
        claims_max: usize,
        mut allowances: Vec<(WebhookId, usize)>,
        now_us: i64,
    ) -> Vec<Taken> {
        if !self.undone.is_empty() {
            return Vec::new();
        }
        allowances.sort_unstable();
        let after_last = allowances.partition_point(|&(webhook, _)| Some(webhook) <= self.claimed_last);
        allowances.rotate_left(after_last);
        let mut turns = VecDeque::from(allowances);
        let mut taken = Vec::new();
        let mut bytes = 0;
        while taken.len() < claims_max && bytes < CLAIM_BYTES_MAX {
            let Some((webhook, left)) = turns.pop_front() else { break };
            if left == 0 {
                continue;
            }
            let Some((sequence, standing)) = self.index.claim(webhook, now_us) else { continue };
            let block = self.shelf.find(standing.home.block());
            bytes += block.as_ref().and_then(|block| block.body_bytes_at(standing.home.place())).unwrap_or(0);
            taken.push(Taken { number: DeliveryNumber { webhook, sequence }, standing, block });
            self.claimed_last = Some(webhook);
            turns.push_back((webhook, left - 1));
        }
        taken
    }
}

/// Makes claims of what was taken, if nothing has to be read for it.
pub(super) fn claims_at_once(taken: &[Taken]) -> Option<Vec<Claim>> {
    let claim = |taken: &Taken| match &taken.block {
        Some(block) if !taken.standing.has_row => claim_of(taken, block, UNTRIED),
        _ => None,
    };
    taken.iter().map(claim).collect()
}

/// The same, and reads what is needed. What goes beyond the limit of bytes, or is not there any more, is given back.
pub(super) fn read_claims(
    connection: &Connection,
    front: &SharedFront,
    taken: Vec<Taken>,
) -> Result<Vec<Claim>, Fault> {
    let numbers: Vec<_> = taken.iter().map(|taken| (taken.number.webhook, taken.number.sequence)).collect();
    let read = read_each(connection, front, taken);
    let given_back = match &read {
        Ok(claims) => {
            let has_claim = |(webhook, sequence): &(WebhookId, u64)| {
                let number = DeliveryNumber { webhook: *webhook, sequence: *sequence };
                claims.iter().any(|claim| claim.number == number)
            };
            if claims.len() == numbers.len() {
                Vec::new()
            } else {
                numbers.into_iter().filter(|number| !has_claim(number)).collect()
            }
        }
        Err(_) => numbers,
    };
    if !given_back.is_empty() {
        front.lock().index.release(given_back);
    }
    read
}

fn read_each(connection: &Connection, front: &SharedFront, taken: Vec<Taken>) -> Result<Vec<Claim>, Fault> {
    let mut claims: Vec<Claim> = Vec::with_capacity(taken.len());
    let mut bytes = 0;
    let mut of_block: HashMap<u64, usize> = HashMap::new();
    for taken in &taken {
        *of_block.entry(taken.standing.home.block()).or_default() += 1;
    }
    for taken in taken {
        if bytes >= CLAIM_BYTES_MAX {
            break;
        }
        let id = taken.standing.home.block();
        // those that are retried are spread: the next one is hardly of the same block
        let is_alone = taken.standing.has_row && of_block[&id] < WHOLE_FROM;
        let shelved = taken.block.clone().or_else(|| front.lock().shelf.find(id));
        let block = match shelved {
            Some(block) => block,
            None if is_alone => {
                let place = taken.standing.home.place();
                let Some(block) = Block::read_one(connection, id, place)? else { continue };
                Arc::new(block)
            }
            None => {
                let Some(block) = Block::read(connection, id)? else { continue };
                let block = Arc::new(block);
                front.lock().shelf.put(Arc::clone(&block));
                block
            }
        };
        let tried = if taken.standing.has_row { tried(connection, taken.number)? } else { None };
        let Some(claim) = claim_of(&taken, &block, tried.unwrap_or(UNTRIED)) else { continue };
        bytes += claim.body.head.len() + claim.body.tail.len();
        claims.push(claim);
    }
    Ok(claims)
}

/// What a delivery's row says of its attempts: failures, attempts, and whether it is replayed.
pub(super) type Tried = (u32, u32, bool);

/// Of a delivery without a row.
pub(super) const UNTRIED: Tried = (0, 0, false);

pub(super) fn tried(connection: &Connection, number: DeliveryNumber) -> Result<Option<Tried>, Fault> {
    let key = params![number.webhook.0.cast_signed(), number.sequence.cast_signed()];
    let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
    Ok(connection.prepare_cached(sql!("tried"))?.query_row(key, row).optional()?)
}

/// The claim, if the delivery is in the block.
fn claim_of(taken: &Taken, block: &Block, tried: Tried) -> Option<Claim> {
    let (delivery, event) = block.at(taken.standing.home.place())?;
    let (failures, attempts, replay) = tried;
    Some(Claim {
        number: taken.number,
        id: delivery.id,
        attempt: attempts.saturating_add(1),
        failures,
        replay,
        body: block.body(delivery),
        form: event.form.clone(),
        verb: event.verb,
        entry_id: event.entry_id.clone(),
        lane: event.lane,
        committed_at_us: event.committed_at_us,
    })
}
