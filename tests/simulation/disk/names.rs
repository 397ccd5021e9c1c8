//! The directory: which name is which file, durably and until the power is cut.
//!
//! As in ext4, changes of it are in one journal and become durable in the order in which they were made: all of
//! them when the directory is synced, when a file is synced whose name is new, or after a while.

use crate::proof::random::Random;
use std::collections::BTreeMap;

/// A file, whatever its name.
pub type FileId = u64;

/// After so many changes the journal is written without being asked.
const UNSYNCED_MAX: usize = 512;

/// Names of files.
#[derive(Debug, Default)]
pub struct Names {
    cached: BTreeMap<String, FileId>,
    durable: BTreeMap<String, FileId>,
    /// A name's file from then on, or none.
    unsynced: Vec<(String, Option<FileId>)>,
}

impl Names {
    pub fn file(&self, name: &str) -> Option<FileId> {
        self.cached.get(name).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, FileId)> {
        self.cached.iter().map(|(name, &file)| (name.as_str(), file))
    }

    pub fn set(&mut self, name: &str, file: Option<FileId>) {
        apply(&mut self.cached, name.to_owned(), file);
        self.unsynced.push((name.to_owned(), file));
        if self.unsynced.len() > UNSYNCED_MAX {
            self.sync();
        }
    }

    /// Makes everything durable.
    pub fn sync(&mut self) {
        for (name, file) in self.unsynced.drain(..) {
            apply(&mut self.durable, name, file);
        }
    }

    /// A file was synced: what made its name is durable, and what had been done before it.
    pub fn sync_of(&mut self, file: FileId) {
        if self.unsynced.iter().any(|&(_, made)| made == Some(file)) {
            self.sync();
        }
    }

    /// The power is cut. Returns the names that were there and are not any more.
    pub fn crash(&mut self, random: &mut Random) -> Vec<String> {
        let survivors = match random.below(3) {
            0 => 0,
            1 => self.unsynced.len(),
            _ => random.below(self.unsynced.len() as u64 + 1) as usize,
        };
        self.unsynced.truncate(survivors);
        self.sync();
        let before = std::mem::replace(&mut self.cached, self.durable.clone());
        before.into_keys().filter(|name| !self.cached.contains_key(name)).collect()
    }

    /// Whether a file can be reached by a name, now or after a power cut.
    pub fn knows(&self, file: FileId) -> bool {
        self.cached.values().chain(self.durable.values()).any(|&known| known == file)
            || self.unsynced.iter().any(|&(_, made)| made == Some(file))
    }
}

fn apply(names: &mut BTreeMap<String, FileId>, name: String, file: Option<FileId>) {
    match file {
        Some(file) => names.insert(name, file),
        None => names.remove(&name),
    };
}
