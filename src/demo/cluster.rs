//! A throwaway PostgreSQL server: for the demo, and for tests that want a real one.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// What goes wrong with a throwaway server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There are no server binaries.
    #[error("no PostgreSQL server binaries found (initdb, postgres); set PG_BIN to their folder")]
    NoBinaries,
    /// As root a server must run as somebody else, and there is nobody.
    #[error("as root, PostgreSQL runs as the user \"postgres\", and there is none")]
    NoUser,
    /// As root a server runs as somebody who cannot reach its programs.
    #[error("the user \"postgres\" may not run {}; a folder on the way is closed to it", program.display())]
    Closed {
        /// A program.
        program: PathBuf,
    },
    /// A program of the server failed.
    #[error("{program} failed: {output}")]
    Program {
        /// Which.
        program: &'static str,
        /// What it said.
        output: String,
    },
    /// A file or process could not be made.
    #[error("the throwaway PostgreSQL could not be prepared")]
    Io(#[from] io::Error),
}

/// How many ports are tried.
const STARTS_MAX: usize = 5;

/// A running server in a temporary folder, on a free port of the loopback; superuser `postgres`, trust
/// authentication, `wal_level = logical`. Stopped and removed when dropped.
#[derive(Debug)]
pub struct Cluster {
    bin: PathBuf,
    folder: TempDir,
    port: u16,
    owner: Option<(u32, u32)>,
}

impl Cluster {
    /// Starts a server with further settings, each as `name=value`.
    pub fn start(settings: &[&str]) -> Result<Self, Error> {
        let bin = find_binaries().ok_or(Error::NoBinaries)?;
        let mut cluster = Self::beside(bin)?;
        cluster.run(
            "initdb",
            &[
                "-D",
                &cluster.data(),
                "-U",
                "postgres",
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ],
        )?;
        let mut conf = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = '{}'\n\
             wal_level = logical\nfsync = off\nmax_connections = 100\n",
            cluster.folder.path().display()
        );
        for setting in settings {
            conf.push_str(setting);
            conf.push('\n');
        }
        cluster.configure(&conf)?;
        cluster.up_somewhere().map(|()| cluster)
    }

    /// Starts a standby of a server, with further settings. It begins with a copy of the server's files, for
    /// which the server is stopped and started again.
    pub fn start_standby(primary: &Self, settings: &[&str]) -> Result<Self, Error> {
        let mut cluster = Self::beside(primary.bin.clone())?;
        primary.down("fast")?;
        let copied = cluster.copy_files(primary);
        primary.up()?;
        copied?;
        let mut conf = format!(
            "unix_socket_directories = '{}'\nprimary_conninfo = 'host=127.0.0.1 port={} user=postgres dbname=postgres'\n",
            cluster.folder.path().display(),
            primary.port
        );
        for setting in settings {
            conf.push_str(setting);
            conf.push('\n');
        }
        cluster.configure(&conf)?;
        cluster.up_somewhere().map(|()| cluster)
    }

    /// A folder for a server; the server's files are not there yet.
    fn beside(bin: PathBuf) -> Result<Self, Error> {
        let owner = if is_root()? { Some(postgres_user().ok_or(Error::NoUser)?) } else { None };
        let folder = tempfile::Builder::new().prefix("walhook-pg-").tempdir()?;
        if let Some((uid, gid)) = owner {
            chown(folder.path(), Some(uid), Some(gid))?;
        }
        Ok(Self { bin, folder, port: free_port()?, owner })
    }

    /// The files of a server that is down, and the sign that makes a standby of them.
    fn copy_files(&self, primary: &Self) -> Result<(), Error> {
        // by the server's user, to whom the copies then belong
        self.run_program(Path::new("/bin/cp"), "cp", &["-a", &primary.data(), &self.data()])?;
        self.run_program(Path::new("/usr/bin/touch"), "touch", &[&format!("{}/standby.signal", self.data())])
    }

    fn configure(&self, lines: &str) -> io::Result<()> {
        let path = self.folder.path().join("data/postgresql.conf");
        let written = fs::read_to_string(&path)? + lines;
        fs::write(&path, written)
    }

    fn up_somewhere(&mut self) -> Result<(), Error> {
        for _ in 1..STARTS_MAX {
            match self.up() {
                // somebody else took the port between our choice and the start
                Err(Error::Program { .. }) if self.log_says("Address already in use") => {
                    self.port = free_port()?;
                }
                started => return started,
            }
        }
        self.up()
    }

    /// Starts the server again after [`Cluster::down`].
    pub fn up(&self) -> Result<(), Error> {
        let (log, port) = (self.log().display().to_string(), format!("-p {}", self.port));
        self.run("pg_ctl", &["-D", &self.data(), "-l", &log, "-o", &port, "-w", "start"])
    }

    /// Stops the server: `fast`, or `immediate` for a crash.
    pub fn down(&self, mode: &str) -> Result<(), Error> {
        self.run("pg_ctl", &["-D", &self.data(), "-m", mode, "-w", "stop"])
    }

    /// The port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the server's binaries.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The major version of the server; 0 if its files do not say.
    pub fn major_version(&self) -> u32 {
        let version = fs::read_to_string(self.folder.path().join("data/PG_VERSION")).unwrap_or_default();
        version.trim().parse().unwrap_or(0)
    }

    /// The folder with the Unix socket, the log and `data`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The address of a database, as the superuser.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn log_says(&self, words: &str) -> bool {
        fs::read_to_string(self.log()).is_ok_and(|log| log.contains(words))
    }

    fn data(&self) -> String {
        self.folder.path().join("data").display().to_string()
    }

    fn run(&self, program: &'static str, arguments: &[&str]) -> Result<(), Error> {
        self.run_program(&self.bin.join(program), program, arguments)
    }

    fn run_program(&self, path: &Path, program: &'static str, arguments: &[&str]) -> Result<(), Error> {
        let output = self.folder.path().join(format!("{program}.out"));
        let file = fs::File::create(&output)?;
        let mut command = Command::new(path);
        command.args(arguments).current_dir(self.folder.path()).stdin(Stdio::null());
        command.env_clear().env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8");
        command.stdout(file.try_clone()?).stderr(file).process_group(0);
        if let Some((uid, gid)) = self.owner {
            command.uid(uid).gid(gid);
        }
        let status = command.status().map_err(|error| match error.kind() {
            io::ErrorKind::PermissionDenied if self.owner.is_some() => {
                Error::Closed { program: path.to_owned() }
            }
            _ => Error::Io(error),
        })?;
        if status.success() {
            return Ok(());
        }
        Err(Error::Program { program, output: fs::read_to_string(&output).unwrap_or_default() })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.down("immediate");
    }
}

fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn find_binaries() -> Option<PathBuf> {
    let has_server = |folder: &Path| folder.join("initdb").exists() && folder.join("postgres").exists();
    if let Some(folder) = std::env::var_os("PG_BIN") {
        // programs are started from another folder
        return std::path::absolute(folder).ok().filter(|folder| has_server(folder));
    }
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin"))))
        .collect();
    versions.sort_unstable();
    let installed = versions.into_iter().rev().map(|(_, folder)| folder);
    let on_path = std::env::var_os("PATH")
        .into_iter()
        .flat_map(|path| std::env::split_paths(&path).collect::<Vec<_>>());
    installed.chain(on_path).find(|folder| has_server(folder))
}

fn is_root() -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    Ok(fs::metadata("/proc/self")?.uid() == 0)
}

fn postgres_user() -> Option<(u32, u32)> {
    let passwd = fs::read_to_string("/etc/passwd").ok()?;
    let line = passwd.lines().find(|line| line.starts_with("postgres:"))?;
    let mut parts = line.split(':').skip(2).map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}
