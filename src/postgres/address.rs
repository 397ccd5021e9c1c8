//! Where a database is and how to log in: URLs, `keyword=value` strings, `PG*` variables, `.pgpass`, as
//! libpq reads them.

use super::Error;
use super::environment::Environment;
use super::{parameters, passfile};
use crate::secret::Secret;
use crate::tls::Roots;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The server's port where none is named.
pub const PORT_DEFAULT: u16 = 5432;
/// How long one attempt to connect to one host may take, where nothing else is said. libpq waits for ever;
/// a service must not.
pub const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(10);

/// Where a database is and how to log in.
///
/// `Display` describes it without the password: `postgres://walhook@db:5432/helpdesk`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    pub(super) hosts: Vec<Host>,
    pub(super) user: String,
    pub(super) password: Option<Secret>,
    pub(super) passfile: Option<PathBuf>,
    pub(super) database: String,
    pub(super) application_name: Option<String>,
    pub(super) options: Option<String>,
    /// `None`: no limit.
    pub(super) connect_timeout: Option<Duration>,
    pub(super) keepalives: bool,
    pub(super) tls: TlsSettings,
    pub(super) channel_binding: ChannelBinding,
    pub(super) target: TargetSession,
    pub(super) shuffle_hosts: bool,
}

/// One of the hosts of an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// Where it is.
    pub place: Place,
    /// Its port; part of the socket's file name for Unix sockets.
    pub port: u16,
    /// An IP address to connect to instead of resolving the name (`hostaddr`).
    pub hostaddr: Option<std::net::IpAddr>,
}

/// What a host is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// A name or an IP address.
    Tcp(String),
    /// The folder of a Unix socket.
    Unix(PathBuf),
}

impl fmt::Display for Host {
    /// As messages name it: `db:5432`, `[::1]:5432`, `/run/postgresql/.s.PGSQL.5432`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            Place::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Place::Tcp(name) => write!(f, "{name}:{}", self.port),
            Place::Unix(folder) => write!(f, "{}", self.socket_path(folder).display()),
        }
    }
}

impl Host {
    pub(super) fn socket_path(&self, folder: &Path) -> PathBuf {
        folder.join(format!(".s.PGSQL.{}", self.port))
    }
}

/// libpq's `sslmode`, from the weakest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    /// Never TLS.
    Disable,
    /// TLS if the server refuses the connection without.
    Allow,
    /// TLS if the server has it.
    #[default]
    Prefer,
    /// TLS, whoever the server is (with a root certificate file at hand: like `VerifyCa`, as libpq does).
    Require,
    /// TLS, and the server's certificate is signed by a trusted authority.
    VerifyCa,
    /// TLS, the certificate is trusted and names the host.
    VerifyFull,
}

/// The TLS part of an address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsSettings {
    /// How much TLS.
    pub mode: SslMode,
    /// The trusted authorities.
    pub roots: Option<Roots>,
    /// Our certificate and its key, as PEM files.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// libpq's `channel_binding`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ChannelBinding {
    /// Never.
    Disable,
    /// Where the server offers it.
    #[default]
    Prefer,
    /// Or no connection.
    Require,
}

/// libpq's `target_session_attrs`: which of several hosts will do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetSession {
    /// The first that answers.
    #[default]
    Any,
    /// One that takes writes.
    ReadWrite,
    /// One that does not.
    ReadOnly,
    /// One that is not in recovery.
    Primary,
    /// One that is in recovery.
    Standby,
    /// One in recovery, or else any.
    PreferStandby,
}

impl TargetSession {
    /// The word in an address.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::ReadWrite => "read-write",
            Self::ReadOnly => "read-only",
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::PreferStandby => "prefer-standby",
        }
    }
}

impl Address {
    /// Reads a `postgres://` or `postgresql://` URL or a `keyword=value` string. What it leaves open comes
    /// from the `PG*` variables of the environment, then from libpq's defaults; the empty text leaves all
    /// open. An unknown parameter is an error that names it.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::parse_with(text, &Environment::of_process())
    }

    /// As [`Address::parse`], with the environment as an argument.
    pub fn parse_with(text: &str, environment: &Environment) -> Result<Self, Error> {
        let mut given = parameters::read(text)?;
        given.complete(environment)?;
        given.build(environment)
    }

    /// The role that logs in.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database.
    pub fn database(&self) -> &str {
        &self.database
    }

    /// Forgets all hosts but one, as it displays itself.
    pub(crate) fn keep_host(&mut self, name: &str) {
        self.hosts.retain(|host| host.to_string() == name);
    }

    /// The hosts, in the order of the address.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// The same servers and settings, another database.
    pub fn with_database(mut self, database: &str) -> Self {
        database.clone_into(&mut self.database);
        self
    }

    /// The password for a host: the address's own, else the password file's.
    pub(super) fn password_for(&self, host: &Host) -> Result<Option<Secret>, Error> {
        if self.password.is_some() {
            return Ok(self.password.clone());
        }
        let Some(path) = &self.passfile else { return Ok(None) };
        passfile::find(path, host, &self.database, &self.user)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "postgres://{}@", self.user)?;
        for (index, host) in self.hosts.iter().enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match &host.place {
                Place::Tcp(_) => write!(f, "{comma}{host}")?,
                Place::Unix(folder) => write!(f, "{comma}{}:{}", folder.display(), host.port)?,
            }
        }
        write!(f, "/{}", self.database)
    }
}
