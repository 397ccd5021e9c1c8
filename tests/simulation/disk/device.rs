//! The machine's view of a disk: files by name, connections with their locks, operations that fail, power cuts.

use super::faults::{Counts, Faults, Kind, Moment, Trace};
use super::locks::Locks;
use super::names::{FileId, Names};
use super::node::{MIRRORED, Node};
use crate::proof::random::Random;
use rusqlite::ffi;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A result code of SQLite's other than OK.
pub type Code = i32;
/// An open file. Numbers are not used again, so one from before a power cut is known to nobody.
pub type HandleId = u64;

#[derive(Debug)]
struct Handle {
    name: String,
    file: FileId,
    read_only: bool,
}

/// How a file is opened.
#[derive(Clone, Copy, Debug)]
pub struct Mode {
    pub create: bool,
    pub exclusive: bool,
    pub write: bool,
    /// A database, not what belongs to one.
    pub database: bool,
}

/// A disk and the machine it is in.
#[derive(Debug)]
pub struct Device {
    folder: PathBuf,
    pub faults: Faults,
    pub counts: Counts,
    pub trace: Trace,
    is_down: bool,
    names: Names,
    nodes: BTreeMap<FileId, Node>,
    handles: BTreeMap<HandleId, Handle>,
    last_id: u64,
    /// What survives a power cut.
    luck: Random,
    /// Which operations fail.
    misfortune: Random,
}

impl Device {
    pub fn new(folder: &Path, seed: u64) -> Self {
        Self {
            folder: folder.to_owned(),
            faults: Faults::default(),
            counts: Counts::default(),
            trace: Trace::default(),
            is_down: false,
            names: Names::default(),
            nodes: BTreeMap::new(),
            handles: BTreeMap::new(),
            last_id: 0,
            luck: Random::new(seed, 1),
            misfortune: Random::new(seed, 2),
        }
    }

    pub fn is_down(&self) -> bool {
        self.is_down
    }

    /// What readers see of a file.
    pub fn content(&self, name: &str) -> Option<&[u8]> {
        Some(self.nodes[&self.names.file(name)?].file.content())
    }

    /// How many bytes the files have.
    pub fn used(&self) -> usize {
        self.nodes.values().map(|node| node.file.content().len()).sum()
    }

    fn new_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    pub(super) fn node(&mut self, handle: HandleId, kind: Kind) -> Result<&mut Node, Code> {
        if self.is_down {
            return Err(kind.failed());
        }
        let file = self.handles.get(&handle).ok_or(kind.failed())?.file;
        self.nodes.get_mut(&file).ok_or(kind.failed())
    }

    fn name(&self, handle: HandleId) -> &str {
        self.handles.get(&handle).map_or("a handle of before", |handle| &handle.name)
    }

    /// Does an operation that changes something, unless it fails or the power is cut at it. A failure may leave
    /// its beginning done; that is the effect of one that is given `Err` with the code to return.
    fn change(
        &mut self,
        kind: Kind,
        what: fmt::Arguments<'_>,
        effect: impl FnOnce(&mut Self, Result<(), Code>) -> Result<(), Code>,
    ) -> Result<(), Code> {
        if self.is_down {
            return Err(kind.failed());
        }
        self.counts.changes += 1;
        // a file that is made was counted when it was opened
        if kind != Kind::Open {
            self.counts.count(kind);
        }
        let number = self.counts.changes;
        if let Some((_, moment)) = self.faults.crash_at.filter(|&(at, _)| at == number) {
            if moment == Moment::After {
                // whether it failed is told to nobody
                let _ = effect(self, Ok(()));
            }
            self.trace.tell(format_args!("{number} {what}: the power is cut {moment:?}"));
            self.crash();
            return Err(kind.failed());
        }
        let strikes = kind != Kind::Open && {
            let of_kind = self.counts.of(kind);
            self.faults.strikes(kind, of_kind, &mut self.misfortune)
        };
        let allowed = if strikes || self.faults.read_only { Err(kind.failed()) } else { Ok(()) };
        let result = effect(self, allowed);
        match result {
            Ok(()) => self.trace.tell(format_args!("{number} {what}")),
            Err(code) => self.trace.tell(format_args!("{number} {what}: fails with {code}")),
        }
        result
    }

    pub fn open(&mut self, name: &str, mode: Mode) -> Result<(HandleId, bool), Code> {
        if self.is_down {
            return Err(ffi::SQLITE_CANTOPEN);
        }
        self.counts.count(Kind::Open);
        let number = self.counts.opens;
        if self.faults.strikes(Kind::Open, number, &mut self.misfortune) {
            self.trace.tell(format_args!("open {name}: fails"));
            return Err(ffi::SQLITE_CANTOPEN);
        }
        let real = mode.database.then(|| self.folder.join(name));
        let is_to_be_made = self.take_over(name, real.as_deref());
        let create = mode.create || is_to_be_made;
        let found = self.names.file(name);
        let file = match found {
            Some(_) if mode.create && mode.exclusive => return Err(ffi::SQLITE_CANTOPEN),
            Some(file) => file,
            None if create => self.make(name)?,
            None => return Err(ffi::SQLITE_CANTOPEN),
        };
        let node = self.nodes.get_mut(&file).ok_or(ffi::SQLITE_CANTOPEN)?;
        node.handles += 1;
        if let Some(real) = real {
            node.show_at(real);
        }
        let read_only = !mode.write || self.faults.read_only;
        let handle = self.new_id();
        self.handles.insert(handle, Handle { name: name.to_owned(), file, read_only });
        Ok((handle, read_only))
    }

    /// Sees what was done to a database's real file without SQLite: removed or made anew. Returns whether there is
    /// a file that this disk does not know, to be made.
    fn take_over(&mut self, name: &str, real: Option<&Path>) -> bool {
        let Some(real) = real else { return false };
        let length = fs::metadata(real).map(|metadata| metadata.len()).ok();
        let is_known = self.names.file(name).is_some();
        if is_known && length.unwrap_or(0) == 0 && self.content(name).is_some_and(|known| !known.is_empty()) {
            self.trace.tell(format_args!("{name} was removed without SQLite"));
            self.set_name(name, None);
            return length.is_some();
        }
        !is_known && length.is_some()
    }

    fn make(&mut self, name: &str) -> Result<FileId, Code> {
        let file = self.new_id();
        self.change(Kind::Open, format_args!("make {name}"), |device, allowed| {
            allowed.map_err(|_| ffi::SQLITE_CANTOPEN)?;
            device.nodes.insert(file, Node::default());
            device.set_name(name, Some(file));
            Ok(())
        })?;
        Ok(file)
    }

    fn set_name(&mut self, name: &str, file: Option<FileId>) {
        let before = self.names.file(name);
        self.names.set(name, file);
        if let Some(before) = before {
            self.forget_unreachable(before);
        }
    }

    fn forget_unreachable(&mut self, file: FileId) {
        if self.nodes.get(&file).is_some_and(|node| node.handles == 0) && !self.names.knows(file) {
            self.nodes.remove(&file);
        }
    }

    pub fn close(&mut self, handle: HandleId) {
        let Some(Handle { file, .. }) = self.handles.remove(&handle) else { return };
        if let Some(node) = self.nodes.get_mut(&file) {
            node.handles -= 1;
            node.locks.forget(handle);
            self.forget_unreachable(file);
        }
    }

    /// Reads into a buffer, with zeros behind the end. Returns whether there was enough.
    pub fn read(&mut self, handle: HandleId, offset: usize, into: &mut [u8]) -> Result<bool, Code> {
        self.counts.reads += 1;
        let number = self.counts.reads;
        let strikes = self.faults.strikes(Kind::Read, number, &mut self.misfortune);
        let shortened =
            self.faults.short_read_percent > 0 && self.misfortune.percent(self.faults.short_read_percent);
        let kept = if shortened { self.misfortune.below(into.len() as u64 + 1) as usize } else { into.len() };
        let node = self.node(handle, Kind::Read)?;
        let length = node.file.read(offset, into).min(kept);
        into[length..].fill(0);
        if strikes {
            let name = self.name(handle).to_owned();
            self.trace.tell(format_args!("read {name} {offset}+{}: fails", into.len()));
            return Err(Kind::Read.failed());
        }
        Ok(length == into.len())
    }

    pub fn write(&mut self, handle: HandleId, offset: usize, bytes: &[u8]) -> Result<(), Code> {
        self.writable(handle, Kind::Write)?;
        let name = self.name(handle).to_owned();
        let what = format_args!("write {name} {offset}+{}", bytes.len());
        self.change(Kind::Write, what, |device, allowed| {
            let (bytes, result) = match allowed {
                Ok(()) => device.fit(handle, offset, bytes)?,
                Err(code) if device.faults.read_only => return Err(code),
                // the kernel had taken some of it
                Err(code) => {
                    let taken = device.misfortune.below(bytes.len() as u64 + 1) as usize;
                    (&bytes[..taken], Err(code))
                }
            };
            let node = device.node(handle, Kind::Write)?;
            if !bytes.is_empty() {
                node.file.write(offset, bytes);
            }
            if offset < MIRRORED {
                node.show();
            }
            result
        })
    }

    /// How much of a write the disk has room for.
    fn fit<'a>(
        &mut self,
        handle: HandleId,
        offset: usize,
        bytes: &'a [u8],
    ) -> Result<(&'a [u8], Result<(), Code>), Code> {
        let Some(room) = self.faults.room else { return Ok((bytes, Ok(()))) };
        let free = room.saturating_sub(self.used());
        let length = self.node(handle, Kind::Write)?.file.content().len();
        let fits = (length.saturating_sub(offset) + free).min(bytes.len());
        Ok(if fits == bytes.len() { (bytes, Ok(())) } else { (&bytes[..fits], Err(ffi::SQLITE_FULL)) })
    }

    fn writable(&mut self, handle: HandleId, kind: Kind) -> Result<(), Code> {
        self.node(handle, kind)?;
        let is_read_only = self.handles.get(&handle).is_some_and(|handle| handle.read_only);
        if is_read_only { Err(kind.failed()) } else { Ok(()) }
    }

    pub fn truncate(&mut self, handle: HandleId, length: usize) -> Result<(), Code> {
        self.writable(handle, Kind::Truncate)?;
        let name = self.name(handle).to_owned();
        self.change(Kind::Truncate, format_args!("truncate {name} to {length}"), |device, allowed| {
            allowed?;
            let node = device.node(handle, Kind::Truncate)?;
            node.file.truncate(length);
            node.show();
            Ok(())
        })
    }

    pub fn sync(&mut self, handle: HandleId) -> Result<(), Code> {
        self.node(handle, Kind::Sync)?;
        let name = self.name(handle).to_owned();
        self.change(Kind::Sync, format_args!("sync {name}"), |device, allowed| {
            let (lies, how) = (device.faults.lies_about_sync, device.faults.failed_sync);
            // there is nothing to write on what became read-only
            if device.faults.read_only || lies {
                return Ok(());
            }
            let node = device.node(handle, Kind::Sync)?;
            if let Err(code) = allowed {
                node.file.fail_sync(how);
                node.show();
                return Err(code);
            }
            node.file.sync();
            let file = device.handles.get(&handle).map(|handle| handle.file);
            if let Some(file) = file {
                device.names.sync_of(file);
            }
            Ok(())
        })
    }

    pub fn size(&mut self, handle: HandleId) -> Result<usize, Code> {
        self.node(handle, Kind::Read)
            .map(|node| node.file.content().len())
            .map_err(|_| ffi::SQLITE_IOERR_FSTAT)
    }

    pub fn delete(&mut self, name: &str, sync_directory: bool) -> Result<(), Code> {
        if !self.is_down && self.names.file(name).is_none() {
            return Err(ffi::SQLITE_IOERR_DELETE_NOENT);
        }
        self.change(Kind::Delete, format_args!("delete {name}"), |device, allowed| {
            allowed?;
            device.set_name(name, None);
            if sync_directory && !device.faults.lies_about_sync {
                device.names.sync();
            }
            Ok(())
        })
    }

    /// Whether there is a file of that name with something in it: SQLite asks the same of a real directory.
    pub fn exists(&self, name: &str) -> Result<bool, Code> {
        if self.is_down {
            return Err(ffi::SQLITE_IOERR_ACCESS);
        }
        Ok(self.content(name).is_some_and(|content| !content.is_empty()))
    }

    pub fn is_writable(&self, name: &str) -> bool {
        !self.faults.read_only && self.names.file(name).is_some()
    }

    /// The process is gone: its handles, locks and shared memory. The page cache stays.
    pub fn kill(&mut self) {
        self.is_down = true;
        self.handles.clear();
        for node in self.nodes.values_mut() {
            node.handles = 0;
            node.locks = Locks::default();
        }
        let names = &self.names;
        self.nodes.retain(|&file, _| names.knows(file));
        self.trace.tell(format_args!("the process is gone"));
    }

    /// The power is cut.
    pub fn crash(&mut self) {
        self.kill();
        for name in self.names.crash(&mut self.luck) {
            // SQLite's own files have none
            drop(fs::remove_file(self.folder.join(name)));
        }
        let names = &self.names;
        self.nodes.retain(|&file, _| names.knows(file));
        for node in self.nodes.values_mut() {
            node.file.crash(&mut self.luck);
            node.show();
        }
        self.trace.tell(format_args!("the power is gone; {}", self.listing()));
    }

    /// The files there are, with their lengths.
    pub fn listing(&self) -> String {
        let files = self.names.iter();
        let lines: Vec<_> = files
            .map(|(name, file)| {
                let file = &self.nodes[&file].file;
                let pending = if file.is_durable() { "" } else { " (not all durable)" };
                format!("{name} {}{pending}", file.content().len())
            })
            .collect();
        format!("files: {}", lines.join(", "))
    }

    /// The machine, or the process, is there again.
    pub fn restart(&mut self) {
        self.is_down = false;
        self.faults.crash_at = None;
        self.trace.tell(format_args!("restart"));
    }
}
