//! What the surroundings of the process say about databases: variables, the home folder, the user's name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The surroundings, as an argument, so that reading an address is a pure thing.
#[derive(Clone, Debug, Default)]
pub struct Environment {
    /// The variables.
    pub variables: BTreeMap<String, String>,
    /// The home folder, with `.pgpass` and `.postgresql/`.
    pub home: Option<PathBuf>,
    /// The operating system's name for the user.
    pub user: Option<String>,
    /// The folder of Unix sockets that is tried where no host is named.
    pub socket_folder: Option<PathBuf>,
}

impl Environment {
    /// Of this process.
    pub fn of_process() -> Self {
        let variables: BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("PG"))
            .collect();
        let socket_folder = ["/var/run/postgresql", "/run/postgresql"]
            .iter()
            .map(PathBuf::from)
            .find(|folder| folder.is_dir());
        Self { variables, home: std::env::home_dir(), user: user_name(), socket_folder }
    }

    /// A variable; an empty one counts as absent, as in libpq.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A file below the home folder.
    pub(super) fn in_home(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        self.home.as_ref().map(|home| home.join(path))
    }
}

/// The name that belongs to the process's user id, as libpq takes it; `$USER` where there is no `/etc/passwd`.
fn user_name() -> Option<String> {
    use std::os::unix::fs::MetadataExt;
    let from_passwd = || {
        let uid = std::fs::metadata("/proc/self").ok()?.uid().to_string();
        let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
        passwd.lines().find_map(|line| {
            let mut parts = line.split(':');
            let name = parts.next()?;
            (parts.nth(1)? == uid).then(|| name.to_owned())
        })
    };
    from_passwd().or_else(|| std::env::var("USER").ok())
}
