//! Locks and shared memory of one file: what its connections have of each other while their process lives.

use super::device::{Code, HandleId};
use rusqlite::ffi;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

const SLOTS: usize = ffi::SQLITE_SHM_NLOCK as usize;

/// A piece of shared memory. Whoever has it mapped keeps it, whatever becomes of the file.
pub type Region = Arc<[AtomicU64]>;

/// Locks and shared memory of a file.
#[derive(Debug, Default)]
pub struct Locks {
    /// The level of each connection that has one.
    levels: BTreeMap<HandleId, i32>,
    regions: Vec<Region>,
    /// Which slots of shared memory each connection holds, by bits.
    attached: BTreeMap<HandleId, Slots>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slots {
    shared: u8,
    exclusive: u8,
}

impl Locks {
    /// Raises a connection's lock. The levels are SQLite's.
    pub fn lock(&mut self, handle: HandleId, wanted: i32) -> Result<(), Code> {
        let own = self.levels.get(&handle).copied().unwrap_or(ffi::SQLITE_LOCK_NONE);
        if own >= wanted {
            return Ok(());
        }
        let others = self.levels.iter().filter(|&(&other, _)| other != handle).map(|(_, &level)| level);
        let highest = others.max().unwrap_or(ffi::SQLITE_LOCK_NONE);
        match wanted {
            ffi::SQLITE_LOCK_SHARED if highest >= ffi::SQLITE_LOCK_PENDING => return Err(ffi::SQLITE_BUSY),
            ffi::SQLITE_LOCK_SHARED => {}
            _ if highest >= ffi::SQLITE_LOCK_RESERVED => return Err(ffi::SQLITE_BUSY),
            ffi::SQLITE_LOCK_EXCLUSIVE if highest >= ffi::SQLITE_LOCK_SHARED => {
                // nobody new comes in while it waits for those who are there
                self.levels.insert(handle, ffi::SQLITE_LOCK_PENDING);
                return Err(ffi::SQLITE_BUSY);
            }
            _ => {}
        }
        self.levels.insert(handle, wanted);
        Ok(())
    }

    pub fn unlock(&mut self, handle: HandleId, level: i32) {
        if level == ffi::SQLITE_LOCK_NONE {
            self.levels.remove(&handle);
        } else if let Some(own) = self.levels.get_mut(&handle) {
            *own = level.min(*own);
        }
    }

    /// Whether somebody is about to write.
    pub fn is_reserved(&self) -> bool {
        self.levels.values().any(|&level| level >= ffi::SQLITE_LOCK_RESERVED)
    }

    /// A region of shared memory; none where there is none and none shall be made.
    pub fn map(&mut self, handle: HandleId, number: usize, bytes: usize, extend: bool) -> Option<Region> {
        self.attached.entry(handle).or_default();
        while extend && self.regions.len() <= number {
            self.regions.push((0..bytes / 8).map(|_| AtomicU64::new(0)).collect());
        }
        self.regions.get(number).cloned()
    }

    pub fn has_shared_memory(&self) -> bool {
        !self.attached.is_empty()
    }

    /// Takes slots of shared memory: one shared, or several exclusively.
    pub fn lock_slots(
        &mut self,
        handle: HandleId,
        from: usize,
        count: usize,
        exclusive: bool,
    ) -> Result<(), Code> {
        let mask = mask(from, count);
        let others = self.attached.iter().filter(|&(&other, _)| other != handle);
        let is_taken = others
            .into_iter()
            .any(|(_, slots)| slots.exclusive & mask != 0 || exclusive && slots.shared & mask != 0);
        let own = self.attached.get_mut(&handle).ok_or(ffi::SQLITE_IOERR_SHMLOCK)?;
        if is_taken {
            return Err(ffi::SQLITE_BUSY);
        }
        if exclusive {
            own.exclusive |= mask;
        } else {
            own.shared |= mask;
        }
        Ok(())
    }

    pub fn unlock_slots(&mut self, handle: HandleId, from: usize, count: usize) {
        let mask = mask(from, count);
        if let Some(own) = self.attached.get_mut(&handle) {
            own.exclusive &= !mask;
            own.shared &= !mask;
        }
    }

    /// A connection does not use the shared memory any more; the last one leaves nothing of it.
    pub fn unmap(&mut self, handle: HandleId) {
        self.attached.remove(&handle);
        if self.attached.is_empty() {
            self.regions.clear();
        }
    }

    /// A connection is closed.
    pub fn forget(&mut self, handle: HandleId) {
        self.levels.remove(&handle);
        self.unmap(handle);
    }
}

fn mask(from: usize, count: usize) -> u8 {
    assert!(from + count <= SLOTS, "slots {from} to {} of {SLOTS}", from + count);
    (((1_u16 << count) - 1) << from) as u8
}
