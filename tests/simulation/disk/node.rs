//! A file of a disk, with what its connections have, and the real file that shows its beginning.

use super::file::File;
use super::locks::Locks;
use std::path::PathBuf;

/// How much of a database's beginning is in the real file of its name.
pub const MIRRORED: usize = 16;

/// A file, whatever its names.
#[derive(Debug, Default)]
pub struct Node {
    pub file: File,
    pub locks: Locks,
    pub handles: usize,
    /// The real file that shows the beginning to those who look at it without SQLite.
    mirror: Option<PathBuf>,
    mirrored: Vec<u8>,
}

impl Node {
    /// From now on the beginning is shown in a real file.
    pub fn show_at(&mut self, real: PathBuf) {
        if self.mirror.is_none() {
            if !real.exists() {
                drop(std::fs::File::create(&real));
            }
            self.mirror = Some(real);
            self.show();
        }
    }

    /// Shows the beginning as it is now, in the real file if that is still there.
    pub fn show(&mut self) {
        let content = self.file.content();
        let beginning = &content[..content.len().min(MIRRORED)];
        let Some(mirror) = self.mirror.as_ref().filter(|_| self.mirrored != beginning) else { return };
        self.mirrored = beginning.to_vec();
        // one that was removed meanwhile is not made again
        if let Ok(mut file) = std::fs::File::options().write(true).truncate(true).open(mirror) {
            drop(std::io::Write::write_all(&mut file, beginning));
        }
    }
}
