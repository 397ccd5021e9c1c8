//! The sealing keys of a configuration: said there, or read from a file of their own.

use super::config::Secrets;
use crate::observe::{Observation, Observers};
use crate::remedy::{Remediable, Remedy};
use crate::sealing::{KeyError, Keys, SealingKey};
use crate::secret::Secret;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A larger file is not one of keys.
const FILE_BYTES_MAX: u64 = 64 * 1024;

/// What is done where there is no key file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Absent {
    /// One is made, with a new key.
    Make,
    /// It is an error.
    Refuse,
}

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The file is not there.
    #[error("there is no key file {}", _0.display())]
    Absent(PathBuf),
    /// The file cannot be read.
    #[error("the key file {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The file cannot be made.
    #[error("the key file {} cannot be made", path.display())]
    NotMade {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A line of the file is no key.
    #[error("line {line} of the key file {} is no key", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line.
        line: usize,
        /// Why.
        #[source]
        source: KeyError,
    },
    /// The file has no key in it.
    #[error("the key file {} has no key in it", _0.display())]
    Empty(PathBuf),
}

impl Remediable for Error {
    fn remedy(&self) -> Remedy {
        Remedy::CallOperator
    }

    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Absent(path) => {
                let path = path.display();
                format!(
                    "`walhook run` makes it, or do it yourself: (umask 077; walhook key new > {path}); where there \
                     was one before, put it back: without it nothing that was sealed can be opened"
                )
            }
            Self::Unreadable { path, .. } => {
                format!("the file must belong to the user that walhook runs as: chown it, and chmod 0600 {}", path.display())
            }
            Self::NotMade { .. } => {
                "make the folder writable, name another file in `[secrets] key_file`, or give the key itself in \
                 `[secrets] key`"
                    .to_owned()
            }
            Self::Line { .. } | Self::Empty(_) => {
                "a key file has one key a line, the newest first, as `walhook key new` prints them; put back the \
                 key that was there, or nothing that was sealed with it can be opened"
                    .to_owned()
            }
        })
    }
}

/// The keys of a configuration.
pub(super) fn load(secrets: &Secrets, absent: Absent, observers: &Observers) -> Result<Arc<Keys>, Error> {
    let path = match secrets {
        Secrets::Keys(keys) => return Ok(Arc::clone(keys)),
        Secrets::File(path) => path,
    };
    match read(path) {
        Err(Error::Absent(_)) if absent == Absent::Make => {}
        Ok(text) => {
            if readable_by_others(path) {
                observers.tell(Observation::KeyFileReadable { path: path.display().to_string() });
            }
            return keys(path, &text);
        }
        Err(error) => return Err(error),
    }
    match make(path) {
        Ok(()) => observers.tell(Observation::KeyFileMade { path: path.display().to_string() }),
        // somebody was quicker: that one holds
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(Error::NotMade { path: path.clone(), source }),
    }
    keys(path, &read(path)?)
}

/// Whether somebody else than the file's owner may read it.
pub(super) fn readable_by_others(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0)
}

fn read(path: &Path) -> Result<Secret, Error> {
    let unreadable = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => Error::Absent(path.to_owned()),
        _ => Error::Unreadable { path: path.to_owned(), source },
    };
    let mut text = String::new();
    let file = std::fs::File::open(path).map_err(unreadable)?;
    let size = file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(unreadable)?;
    let text = Secret::from(text);
    if size as u64 > FILE_BYTES_MAX {
        return Err(unreadable(io::Error::other("it is too large for a file of keys")));
    }
    Ok(text)
}

/// Empty lines and lines that begin with # are none of the keys.
fn keys(path: &Path, text: &Secret) -> Result<Arc<Keys>, Error> {
    let lines = text.expose().lines().map(str::trim).enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let wrong = |line, source| Error::Line { path: path.to_owned(), line: line + 1, source };
    let keys = lines.map(|(number, line)| SealingKey::parse(line).map_err(|error| wrong(number, error)));
    let keys = Keys::new(keys.collect::<Result<_, _>>()?).map_err(|_| Error::Empty(path.to_owned()))?;
    Ok(Arc::new(keys))
}

/// Makes a file that only its owner may read. It appears complete and durable, or not at all, and never takes the
/// place of another one.
fn make(path: &Path) -> io::Result<()> {
    let folder = match path.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    // mode 0600 from its first moment on
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    writeln!(file, "{}", SealingKey::generate().text().expose())?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path)?;
    std::fs::File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load_file(path: &Path, absent: Absent) -> Result<Arc<Keys>, Error> {
        load(&Secrets::File(path.to_owned()), absent, &Observers::default())
    }

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_key_file_is_made_once_and_only_where_it_may() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("walhook.key");
        let error = load_file(&path, Absent::Refuse).unwrap_err();
        assert!(matches!(error, Error::Absent(_)), "{error}");
        assert!(error.hint().unwrap().contains("walhook key new"));
        let made = load_file(&path, Absent::Make).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!readable_by_others(&path));
        assert_eq!(load_file(&path, Absent::Make).unwrap(), made);
        assert_eq!(load_file(&path, Absent::Refuse).unwrap(), made);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is left behind");
        let nowhere = folder.path().join("no/folder/walhook.key");
        assert!(matches!(load_file(&nowhere, Absent::Make), Err(Error::NotMade { .. })));
    }

    #[test]
    fn a_key_file_has_several_keys_and_what_is_wrong_is_told_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("walhook.key");
        let (new, old) = (SealingKey::generate(), SealingKey::generate());
        let text = format!("# since May\n{}\n\n{}\n", new.text().expose(), old.text().expose());
        std::fs::write(&path, text).unwrap();
        assert!(load_file(&path, Absent::Refuse).unwrap().ids().eq([new.id(), old.id()]));
        set_mode(&path, 0o644);
        assert!(readable_by_others(&path));

        std::fs::write(&path, "# nothing\n").unwrap();
        assert!(matches!(load_file(&path, Absent::Make), Err(Error::Empty(_))), "never replaced");
        std::fs::write(&path, format!("{}\nDemo123\n", new.text().expose())).unwrap();
        let error = load_file(&path, Absent::Make).unwrap_err();
        assert!(error.to_string().starts_with("line 2 of the key file"), "{error}");
        assert!(!format!("{error:?} {error} {:?}", error.hint()).contains("Demo123"));
        std::fs::write(&path, [0xff; 10]).unwrap();
        assert!(matches!(load_file(&path, Absent::Make), Err(Error::Unreadable { .. })));
    }
}
