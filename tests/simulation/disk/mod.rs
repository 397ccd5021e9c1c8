//! A disk in memory that loses what was not synced, under the SQLite that walhook uses.
//!
//! [`Disk::new`] makes one from a seed. Whatever SQLite does with files in its [`folder`](Disk::folder) happens on
//! that disk; files elsewhere, and temporary ones without a name, are real ones. Many disks live beside each other.
//!
//! What is modelled:
//!
//! - Readers see the page cache. A sync makes a file's writes and its length durable, and its name if that is new.
//! - When the power is cut ([`Disk::crash`]), of the writes since the last sync none, all, the first ones, the last
//!   ones, only the last one or any survive, each whole or torn into sectors of 512 bytes; a length may survive
//!   without the data, which is then zeros. Names made or deleted since survive up to some point of the file
//!   system's journal, as with ext4.
//! - When only the process dies ([`Disk::kill`]), the page cache stays, with what a later power cut takes.
//! - After either the disk is down: whoever was connected meets I/O errors for ever, and nothing can be opened until
//!   [`Disk::restart`]. Let go of the old connections first.
//! - The first 16 bytes of each database stand in a real file of its name, for those who look at it without SQLite;
//!   a real file that was removed or emptied is one that this disk forgets when it is opened again.
//!
//! What is not: bytes that rot, sectors torn within, blocks of one file in another, a directory's journal out of
//! order, `mmap`. Bytes of SQLite's random numbers (salts of the log) follow the seed of the disk made last in the
//! process; their number and order follow nothing else than the calls.

mod device;
mod faults;
mod file;
mod locks;
mod names;
mod node;
mod sharing;
#[cfg(test)]
mod tests;
mod vfs;

use device::Device;
#[allow(unused_imports, reason = "for whoever sets faults")]
pub use faults::{Counts, Kind, Moment};
#[allow(unused_imports, reason = "for whoever sets faults")]
pub use file::FailedSync;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A disk, shared with the connections on it.
type Shared = Arc<Mutex<Device>>;

fn locked(shared: &Shared) -> MutexGuard<'_, Device> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A disk. It goes, with its folder, when it is dropped; what is still open on it then works on without it.
#[derive(Debug)]
pub struct Disk {
    /// As SQLite spells it: without symbolic links.
    folder: PathBuf,
    device: Shared,
    _real: tempfile::TempDir,
}

#[allow(dead_code, reason = "each simulation uses some")]
impl Disk {
    /// An empty disk whose fate follows a seed.
    pub fn new(seed: u64) -> Self {
        let real = tempfile::tempdir().unwrap();
        let folder = real.path().canonicalize().unwrap();
        let device = Arc::new(Mutex::new(Device::new(&folder, seed)));
        vfs::attach(&folder, &device, seed);
        Self { folder, device, _real: real }
    }

    fn device(&self) -> MutexGuard<'_, Device> {
        locked(&self.device)
    }

    /// A real directory, for files on this disk and for real ones beside them.
    pub fn folder(&self) -> PathBuf {
        self.folder.clone()
    }

    /// A path on this disk.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Cuts the power. The disk is down until [`restart`](Self::restart).
    pub fn crash(&self) {
        self.device().crash();
    }

    /// Kills the process. The disk is down until [`restart`](Self::restart).
    pub fn kill(&self) {
        self.device().kill();
    }

    /// Power and process are there again. Forgets `crash_at`, and no other fault.
    pub fn restart(&self) {
        self.device().restart();
    }

    /// Whether the power was cut or the process killed.
    pub fn is_down(&self) -> bool {
        self.device().is_down()
    }

    /// Cuts the power at a change: the one that [`Counts::changes`] counts as this number, from the disk's beginning.
    pub fn crash_at(&self, change: u64, moment: Moment) {
        self.device().faults.crash_at = Some((change, moment));
    }

    /// Lets one operation fail: the n-th of its kind from now on, from 1.
    pub fn fail_nth(&self, kind: Kind, number: u64) {
        let mut device = self.device();
        let at = device.counts.of(kind) + number;
        device.faults.single.insert((kind, at));
    }

    /// Lets so many operations of a kind in a hundred fail, by the seed. With 100 the disk has it for good.
    pub fn fail_percent(&self, kind: Kind, percent: u64) {
        let mut device = self.device();
        device.faults.percent.retain(|&(of, _)| of != kind);
        if percent > 0 {
            device.faults.percent.push((kind, percent));
        }
    }

    /// Lets so many reads in a hundred return less than there is. SQLite takes what is missing for zeros.
    pub fn shorten_reads(&self, percent: u64) {
        self.device().faults.short_read_percent = percent;
    }

    /// What becomes of pages whose sync fails.
    pub fn failed_sync(&self, how: FailedSync) {
        self.device().faults.failed_sync = how;
    }

    /// Limits all files together to so many bytes; a write that does not fit leaves its beginning.
    pub fn room(&self, bytes: Option<usize>) {
        self.device().faults.room = bytes;
    }

    /// How many bytes all files have, in the page cache.
    pub fn used(&self) -> usize {
        self.device().used()
    }

    /// Makes the disk read-only, as the kernel does when it meets errors, or writable again.
    pub fn read_only(&self, is: bool) {
        self.device().faults.read_only = is;
    }

    /// Says of each sync that it was done, and does none.
    pub fn lies_about_sync(&self, does: bool) {
        self.device().faults.lies_about_sync = does;
    }

    /// Lets syncs take until this is taken back.
    pub fn holds_syncs(&self, does: bool) {
        self.device().faults.holds_syncs = does;
    }

    /// Takes all faults away, `crash_at` too.
    pub fn heal(&self) {
        self.device().faults = faults::Faults::default();
    }

    /// How often what was done since the disk's beginning.
    pub fn counts(&self) -> Counts {
        self.device().counts
    }

    /// Starts to write down what is done.
    pub fn trace_on(&self) {
        self.device().trace.start();
    }

    /// What was written down, the last lines of it if there were many, and the files there are.
    pub fn trace(&self) -> Vec<String> {
        let device = self.device();
        let mut lines = device.trace.lines();
        lines.push(device.listing());
        lines
    }

    /// What readers see of a file.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        self.device().content(name).map(<[u8]>::to_vec)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        vfs::detach(&self.folder);
    }
}
