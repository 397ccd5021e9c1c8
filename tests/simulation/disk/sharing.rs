//! What the connections of a process share: locks and memory, for as long as they and their machine are up.

use super::device::{Code, Device, HandleId};
use super::faults::Kind;
use super::locks::Region;
use rusqlite::ffi;

impl Device {
    pub fn lock(&mut self, handle: HandleId, level: i32) -> Result<(), Code> {
        self.node(handle, Kind::Read).map_err(|_| ffi::SQLITE_IOERR_LOCK)?.locks.lock(handle, level)
    }

    pub fn unlock(&mut self, handle: HandleId, level: i32) {
        // what is not there any more holds nothing
        if let Ok(node) = self.node(handle, Kind::Read) {
            node.locks.unlock(handle, level);
        }
    }

    pub fn is_reserved(&mut self, handle: HandleId) -> Result<bool, Code> {
        let node = self.node(handle, Kind::Read).map_err(|_| ffi::SQLITE_IOERR_CHECKRESERVEDLOCK)?;
        Ok(node.locks.is_reserved())
    }

    pub fn map(
        &mut self,
        handle: HandleId,
        number: usize,
        bytes: usize,
        extend: bool,
    ) -> Result<Option<Region>, Code> {
        let read_only = self.faults.read_only;
        let node = self.node(handle, Kind::Read).map_err(|_| ffi::SQLITE_IOERR_SHMMAP)?;
        if read_only && !node.locks.has_shared_memory() {
            return Err(ffi::SQLITE_READONLY_CANTINIT);
        }
        Ok(node.locks.map(handle, number, bytes, extend))
    }

    pub fn lock_slots(
        &mut self,
        handle: HandleId,
        from: usize,
        count: usize,
        exclusive: bool,
    ) -> Result<(), Code> {
        let node = self.node(handle, Kind::Read).map_err(|_| ffi::SQLITE_IOERR_SHMLOCK)?;
        node.locks.lock_slots(handle, from, count, exclusive)
    }

    pub fn unlock_slots(&mut self, handle: HandleId, from: usize, count: usize) {
        if let Ok(node) = self.node(handle, Kind::Read) {
            node.locks.unlock_slots(handle, from, count);
        }
    }

    pub fn unmap(&mut self, handle: HandleId) {
        if let Ok(node) = self.node(handle, Kind::Read) {
            node.locks.unmap(handle);
        }
    }
}
