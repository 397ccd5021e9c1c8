//! A file: what readers see, what is durable, and what was done in between.

use crate::proof::random::Random;

/// What a drive writes whole or not at all.
pub const SECTOR: usize = 512;
/// How much may wait for a sync before the kernel writes it by itself, as it does with every page after a while.
const UNSYNCED_BYTES_MAX: usize = 32 << 20;

/// Something that was done to a file and is not durable.
#[derive(Clone, Debug)]
enum Change {
    Write { offset: usize, bytes: Box<[u8]> },
    Truncate { length: usize },
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => write(content, *offset, bytes),
            Self::Truncate { length } => content.resize(*length, 0),
        }
    }
}

/// What becomes of pages whose fsync failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FailedSync {
    /// They wait for the next one, as people believe.
    Keeps,
    /// They count as written, and the next fsync says so, but only the page cache has them (ext4 on Linux).
    #[default]
    Forgets,
    /// They are gone at once, and readers see what the drive has (XFS and btrfs on Linux, or ext4 a little later).
    Drops,
}

/// A file's content.
#[derive(Debug, Default)]
pub struct File {
    cached: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
    unsynced_bytes: usize,
}

impl File {
    /// What readers see.
    pub fn content(&self) -> &[u8] {
        &self.cached
    }

    /// Whether a power cut could change it.
    pub fn is_durable(&self) -> bool {
        self.unsynced.is_empty() && self.cached.len() == self.durable.len()
    }

    /// Reads into a buffer, with zeros behind the end. Returns how many bytes there were.
    pub fn read(&self, offset: usize, into: &mut [u8]) -> usize {
        let from = self.cached.get(offset..).unwrap_or_default();
        let length = from.len().min(into.len());
        into[..length].copy_from_slice(&from[..length]);
        into[length..].fill(0);
        length
    }

    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        write(&mut self.cached, offset, bytes);
        self.put_off(Change::Write { offset, bytes: bytes.into() }, bytes.len());
    }

    pub fn truncate(&mut self, length: usize) {
        self.cached.resize(length, 0);
        self.put_off(Change::Truncate { length }, SECTOR);
    }

    fn put_off(&mut self, change: Change, bytes: usize) {
        self.unsynced.push(change);
        self.unsynced_bytes += bytes;
        if self.unsynced_bytes > UNSYNCED_BYTES_MAX {
            self.sync();
        }
    }

    /// Makes everything durable.
    pub fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
        self.unsynced_bytes = 0;
    }

    /// What a sync leaves that fails.
    pub fn fail_sync(&mut self, how: FailedSync) {
        if how == FailedSync::Keeps {
            return;
        }
        // a new length is in the file system's journal, which is not what failed
        for change in self.unsynced.drain(..) {
            if let Change::Truncate { .. } = change {
                change.apply(&mut self.durable);
            }
        }
        self.unsynced_bytes = 0;
        if how == FailedSync::Drops {
            self.cached.clone_from(&self.durable);
        }
    }

    /// The power is cut. What had been done since the last sync survives in part, and the seed says what.
    pub fn crash(&mut self, random: &mut Random) {
        let unsynced = std::mem::take(&mut self.unsynced);
        self.unsynced_bytes = 0;
        let count = unsynced.len();
        let cut = random.below(count as u64 + 1) as usize;
        let percent = random.below(101);
        let way = random.below(8);
        let survives = |number: usize, random: &mut Random| match way {
            0 => false,
            1 => true,
            2 => number < cut,
            3 => number >= cut,
            4 => number + 1 == count,
            _ => random.percent(percent),
        };
        // in one crash of two no write is torn, in the others some or each
        let torn_percent = *random.pick(&[0, 0, 20, 100]);
        for (number, change) in unsynced.into_iter().enumerate() {
            if !survives(number, random) {
                if random.percent(5) {
                    self.grow_for(&change);
                }
                continue;
            }
            match change {
                Change::Write { offset, bytes } if random.percent(torn_percent) => {
                    self.grow_for(&Change::Write { offset, bytes: bytes.clone() });
                    tear(&mut self.durable, offset, &bytes, random);
                }
                change => change.apply(&mut self.durable),
            }
        }
        self.cached.clone_from(&self.durable);
    }

    /// The length reached the drive and the data did not: zeros.
    fn grow_for(&mut self, change: &Change) {
        if let Change::Write { offset, bytes } = change {
            let length = (offset + bytes.len()).max(self.durable.len());
            self.durable.resize(length, 0);
        }
    }
}

fn write(content: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if offset == content.len() {
        content.extend_from_slice(bytes);
        return;
    }
    if content.len() < end {
        content.resize(end, 0);
    }
    content[offset..end].copy_from_slice(bytes);
}

/// Writes some of the sectors: the first ones, the last ones, or any.
fn tear(content: &mut [u8], offset: usize, bytes: &[u8], random: &mut Random) {
    let end = offset + bytes.len();
    let sectors = end.div_ceil(SECTOR) - offset / SECTOR;
    let cut = random.below(sectors as u64 + 1) as usize;
    let way = random.below(3);
    for number in 0..sectors {
        let survives = match way {
            0 => number < cut,
            1 => number >= cut,
            _ => random.percent(50),
        };
        if survives {
            let sector = (offset / SECTOR + number) * SECTOR;
            let (from, until) = (sector.max(offset), (sector + SECTOR).min(end));
            content[from..until].copy_from_slice(&bytes[from - offset..until - offset]);
        }
    }
}
