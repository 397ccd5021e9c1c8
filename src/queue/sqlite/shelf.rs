//! The shelf: blocks that were written or read last, as far as there is room, so that what was just enqueued is claimed
//! without reading it.

use super::block::Block;
use super::fault::Fault;
use foldhash::HashMap;
use rusqlite::Connection;
use std::collections::BTreeMap;
use std::sync::Arc;

/// How much stands on the shelf (the last block may go beyond).
pub(super) const SHELF_BYTES: usize = 8 << 20;

#[derive(Debug, Default)]
pub(super) struct Shelf {
    blocks: HashMap<u64, Place>,
    /// The blocks by the turn in which each was asked for last.
    by_turn: BTreeMap<u64, u64>,
    turn: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Place {
    block: Arc<Block>,
    bytes: usize,
    turn: u64,
}

impl Shelf {
    /// Puts a block on the shelf; those that nobody asked for longest make room.
    pub(super) fn put(&mut self, block: Arc<Block>) {
        self.remove(block.id);
        self.turn += 1;
        let (id, turn, bytes) = (block.id, self.turn, block.footprint_bytes());
        self.bytes += bytes;
        self.by_turn.insert(turn, id);
        self.blocks.insert(id, Place { block, bytes, turn });
        while self.bytes > SHELF_BYTES && self.blocks.len() > 1 {
            let (_, &oldest) = self.by_turn.first_key_value().expect("as many as there are blocks");
            self.remove(oldest);
        }
    }

    /// Takes a block off the shelf.
    pub(super) fn remove(&mut self, id: u64) {
        if let Some(place) = self.blocks.remove(&id) {
            self.by_turn.remove(&place.turn);
            self.bytes -= place.bytes;
        }
    }

    /// Takes everything off.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// A block that stands on the shelf.
    pub(super) fn find(&mut self, id: u64) -> Option<Arc<Block>> {
        let place = self.blocks.get_mut(&id)?;
        if place.turn != self.turn {
            self.by_turn.remove(&place.turn);
            self.turn += 1;
            place.turn = self.turn;
            self.by_turn.insert(self.turn, id);
        }
        Some(Arc::clone(&place.block))
    }

    /// A block, from the shelf or the file; none if it is gone.
    pub(super) fn block(&mut self, connection: &Connection, id: u64) -> Result<Option<Arc<Block>>, Fault> {
        if let Some(block) = self.find(id) {
            return Ok(Some(block));
        }
        let Some(block) = Block::read(connection, id)? else { return Ok(None) };
        let block = Arc::new(block);
        self.put(Arc::clone(&block));
        Ok(Some(block))
    }
}
