//! `walhook.toml`: read, checked as a whole, shown and documented.
//!
//! Every key is listed once, in `declared`. A file is first read against that list (`reader`: types,
//! units, words, unknown keys), then its parts are checked against each other. Both passes go on after a
//! problem, so that all of them are told at once.

mod admin;
mod attachments;
mod authentication;
mod callback;
mod children;
mod condition;
mod declared;
mod dialect;
mod field;
mod form;
mod happening;
mod identity;
mod interpolate;
pub mod keys;
mod listening;
mod mail;
mod masking;
mod problem;
mod reader;
mod registration;
mod schema;
mod secrets;
mod show;
mod suggest;
mod supplements;
mod table;
mod units;
mod webhook;

use crate::report::mail::Settings as Mail;
pub use declared::FILE;
pub use interpolate::Environment;
pub(crate) use masking::may_hold_password;
pub use problem::{Problem, Problems};
pub use registration::Registrations;
pub use schema::schema;
pub use secrets::Secrets;
pub use show::show;
pub(in crate::app) use suggest::remedy as suggestion;
pub use units::{duration as read_duration, size as read_size, write_duration, write_size};

use crate::admin::accounts::Access;
use crate::admin::{ItrpSettings, Settings};
use crate::form::Form;
use crate::postgres::{self, Address};
use crate::proxy::Proxy;
use crate::qualification::Dialect;
use crate::retry::Schedule;
use crate::secret::Secret;
use crate::webhook::{Account, Origin, Webhooks};
use ipnet::IpNet;
use reader::{Reader, join};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use table::Table;
use toml::de::DeTable;

/// The documented example: every key with its default.
pub const EXAMPLE: &str = include_str!("../../../config.example.toml");

/// A larger file is not a configuration.
const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The longest pause between two attempts that makes sense.
const PAUSE_MAX: Duration = Duration::from_secs(30 * 24 * 3600);

/// The longest time an attempt may take.
const TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// What a configuration file says, completed by the defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The file.
    pub path: PathBuf,
    /// Where changes come from.
    pub source: Source,
    /// Where deliveries wait.
    pub queue: Queue,
    /// The forms, in the order of the file.
    pub forms: Vec<Arc<Form>>,
    /// The webhooks.
    pub webhooks: Webhooks,
    /// Limits of reading.
    pub capture: Capture,
    /// Limits of sending.
    pub dispatch: Dispatch,
    /// The HTTP surface.
    pub admin: Admin,
    /// The keys that seal secrets.
    pub secrets: Secrets,
    /// The mail relay.
    pub mail: Option<Mail>,
}

/// `[source]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// A `postgres://` URL or `key=value` pairs; none means that the PG* variables say it all.
    pub url: Option<Secret>,
    /// The replication slot.
    pub slot: String,
    /// The publication.
    pub publication: String,
    /// The output plugin.
    pub plugin: &'static str,
    /// How the texts of conditions are read; the forms have it.
    pub dialect: Arc<Dialect>,
}

impl Source {
    /// The address of the database, completed by the environment.
    pub fn address(&self) -> Result<Address, postgres::Error> {
        Address::parse(self.url.as_ref().map_or("", Secret::expose))
    }
}

/// `[queue]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The file, relative to the working directory or absolute.
    pub path: PathBuf,
    /// How large it may grow.
    pub bytes_max: u64,
    /// How long finished deliveries are kept.
    pub retention: Duration,
}

/// `[capture]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capture {
    /// How much disk a transaction that is too large for memory may take.
    pub staging_bytes_max: u64,
    /// Larger values are left out of payloads; the forms have it.
    pub value_bytes_max: u64,
    /// How much all attachments of one message may have together, in bytes.
    pub attachments_bytes_max: u64,
}

/// `[dispatch]`. Its `timeout`, `schedule` and `proxy` are in the webhooks already.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dispatch {
    /// How many attempts may be under way at once.
    pub in_flight_max: usize,
    /// How long an attempt may take, for webhooks that say nothing else.
    pub timeout: Duration,
    /// The pauses between attempts, for webhooks that say nothing else.
    pub schedule: Schedule,
    /// Private networks that webhooks registered outside the file may go to.
    pub allow: Vec<IpNet>,
    /// How long attempts may go on after the signal to stop.
    pub grace: Duration,
    /// What requests go out by, for webhooks that say nothing else.
    pub proxy: Option<Proxy>,
    /// Whether webhooks registered outside the file may say something else.
    pub own_proxies: bool,
}

/// `[admin]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// The address to listen on.
    pub listen: SocketAddr,
    /// Whether others may reach it without TLS or accounts.
    pub allow_insecure: bool,
    /// Who may ask, and the certificate.
    pub access: Arc<Access>,
    /// What is said of the interfaces.
    pub settings: Arc<Settings>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("the configuration {} cannot be read", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file can be read and is wrong.
    #[error("the configuration has {} problem{}", _0.len(), if _0.len() == 1 { "" } else { "s" })]
    Wrong(Problems),
}

impl Config {
    /// Reads a file; `${NAME}` stands for the process's environment.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let unreadable = |source| Error::Unreadable { path: path.to_owned(), source };
        let size = std::fs::metadata(path).map_err(unreadable)?.len();
        if size > FILE_BYTES_MAX {
            return Err(unreadable(std::io::Error::other(format!("it has {size} bytes"))));
        }
        let text = std::fs::read_to_string(path).map_err(unreadable)?;
        Self::parse(path, &text, &|name| std::env::var(name).ok()).map_err(Error::Wrong)
    }

    /// Reads the text of a file.
    pub fn parse(path: &Path, text: &str, environment: Environment<'_>) -> Result<Self, Problems> {
        let mut reader = Reader::new(text, environment);
        let (raw, errors) = DeTable::parse_recoverable(text);
        if !errors.is_empty() {
            for error in errors {
                let span = error.span().unwrap_or(0..0);
                // what the parser says may quote the file, but never more than a key
                reader.refuse(span, "", format!("this is not TOML: {}", error.message().trim_end()), None);
            }
            // half a file would only give problems that are none
            return Err(Problems::new(path, text, &masking::unread_places(text), reader.problems));
        }
        let file = reader.table(raw.get_ref(), 0..0, FILE, "");
        let config = Self::assemble(&mut reader, path, &file);
        if reader.problems.is_empty() {
            Ok(config)
        } else {
            Err(Problems::new(path, text, &reader.secret, reader.problems))
        }
    }

    /// The parts of a new version of the file that take effect at the next start only. Everything else (forms,
    /// webhooks, defaults of sending) can be taken over while walhook runs.
    pub fn restart_needed_for(&self, new: &Self) -> Vec<&'static str> {
        let parts = [
            ("[queue]", self.queue != new.queue),
            ("[dispatch] in_flight_max", self.dispatch.in_flight_max != new.dispatch.in_flight_max),
            ("[dispatch] allow", self.dispatch.allow != new.dispatch.allow),
            ("[dispatch] grace", self.dispatch.grace != new.dispatch.grace),
            // with another address nothing of it is taken over: what fits that one may not fit this one
            ("[admin]", self.admin.listen != new.admin.listen),
            ("[mail]", self.mail != new.mail),
        ];
        parts.into_iter().filter(|(_, changed)| *changed).map(|(part, _)| part).collect()
    }

    /// Makes words of what was read. Where something was wrong, the result is worthless, but goes on to be
    /// checked.
    fn assemble(reader: &mut Reader<'_>, path: &Path, file: &Table) -> Self {
        let part = |name: &str| file.table(name).cloned().unwrap_or_default();
        let queue = queue(reader, path, &part("queue"));
        let dispatch = dispatch(reader, &part("dispatch"));
        let source = source(reader, &part("source"));
        let forms = form::read(reader, file, &source.dialect);
        let time_zone = source.dialect.time_zone.clone();
        let folder = path.parent().unwrap_or(Path::new(""));
        let admin = admin::read(reader, &part("admin"), folder, time_zone);
        let defaults = webhook::Defaults {
            origin: Origin::File,
            schedule: dispatch.schedule.clone(),
            timeout: dispatch.timeout,
            proxy: dispatch.proxy.clone(),
            may_name_proxy: true,
            queue_bytes_max: queue.bytes_max,
            folder: folder.to_owned(),
            account: account(&admin.settings.itrp),
        };
        let webhooks = webhook::read(reader, file, &of_entries(&forms), &defaults).into_iter().collect();
        let capture = part("capture");
        let secrets = secrets::read(reader, &part("secrets"), folder, &queue.path);
        Self {
            path: path.to_owned(),
            source,
            queue,
            forms,
            webhooks,
            capture: Capture {
                staging_bytes_max: capture.size("staging_bytes_max").copied().unwrap_or_default(),
                value_bytes_max: capture.size("value_bytes_max").copied().unwrap_or_default(),
                attachments_bytes_max: capture.size("attachments_bytes_max").copied().unwrap_or_default(),
            },
            dispatch,
            admin,
            secrets,
            mail: file.table("mail").and_then(|table| mail::read(reader, table)),
        }
    }
}

/// The forms that webhooks can listen to.
fn of_entries(forms: &[Arc<Form>]) -> Vec<Arc<Form>> {
    forms.iter().filter(|form| form.belonging.is_none()).cloned().collect()
}

/// Whose site this is, as far as the operator says it.
pub(super) fn account(itrp: &ItrpSettings) -> Option<Arc<Account>> {
    let url = itrp.url.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned());
    Some(Arc::new(Account { id: itrp.account.clone()?, url }))
}

fn source(reader: &mut Reader<'_>, table: &Table) -> Source {
    let slot = table.text("slot").cloned().unwrap_or_default();
    let slot_fits = (1..=63).contains(&slot.len())
        && slot.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
    if table.text("slot").is_some() && !slot_fits {
        let message = "PostgreSQL allows lower case letters, digits and _ in the name of a slot, 63 at most";
        reader.refuse(table.place("slot"), &join(&table.path, "slot"), message, None);
    }
    let publication = table.text("publication").cloned().unwrap_or_default();
    // a second publication has this name and `_inserts`
    if table.text("publication").is_some() && !(1..=55).contains(&publication.len()) {
        let message = "the name of the publication has 1 to 55 bytes";
        reader.refuse(table.place("publication"), &join(&table.path, "publication"), message, None);
    }
    if let Some(url) = table.secret("url") {
        // the same on every machine: what the surroundings add is not the file's fault
        let nowhere = postgres::Environment { user: Some("walhook".to_owned()), ..Default::default() };
        if let Err(error) = Address::parse_with(url.expose(), &nowhere) {
            let example = "write it as for psql: \"postgres://walhook@db:5432/helpdesk?sslmode=verify-full\"";
            // what is wrong with an address may be its password, and is quoted by the error
            let (message, remedy) = if masking::may_hold_password(url.expose()) {
                let why = "what is wrong is not shown, for it may be a part of a password";
                ("the address of the database cannot be read".to_owned(), format!("{example}; {why}"))
            } else {
                (error.to_string(), example.to_owned())
            };
            reader.refuse(table.place("url"), &join(&table.path, "url"), message, remedy);
        }
    }
    let dialect = Arc::new(dialect::read(reader, table, &slot));
    Source {
        url: table.secret("url").cloned(),
        slot,
        publication,
        plugin: table.word("plugin").copied().unwrap_or_default(),
        dialect,
    }
}

fn queue(reader: &mut Reader<'_>, file: &Path, table: &Table) -> Queue {
    const BYTES_MIN: u64 = 1 << 20;
    let bytes_max = table.size("bytes_max").copied();
    if bytes_max.is_some_and(|bytes| bytes < BYTES_MIN) {
        let remedy = "the default is \"10GiB\"".to_owned();
        let message = "the queue needs at least 1MiB";
        reader.refuse(table.place("bytes_max"), &join(&table.path, "bytes_max"), message, remedy);
    }
    let path = table.text("path").cloned().unwrap_or_default();
    if table.says("path") && path.is_empty() {
        reader.refuse(table.place("path"), &join(&table.path, "path"), "the queue needs a file", None);
    }
    Queue {
        path: file.parent().unwrap_or(Path::new("")).join(path),
        // where it is wrong, nothing else shall be wrong for it
        bytes_max: bytes_max.unwrap_or(u64::MAX),
        retention: table.duration("retention").copied().unwrap_or_default(),
    }
}

fn dispatch(reader: &mut Reader<'_>, table: &Table) -> Dispatch {
    schedule_fits(reader, table, "schedule");
    timeout_fits(reader, table);
    let mut allow = Vec::new();
    for (span, text) in table.texts("allow") {
        let network =
            text.parse::<IpNet>().ok().or_else(|| text.parse::<std::net::IpAddr>().ok().map(IpNet::from));
        match network {
            Some(network) => allow.push(network),
            None => {
                let remedy = "write an address and a length: \"10.0.0.0/8\", \"fd00::/8\"".to_owned();
                reader.refuse(span, &join(&table.path, "allow"), "this is no network", remedy);
            }
        }
    }
    Dispatch {
        in_flight_max: table.whole("in_flight_max").map_or(1, |max| *max as usize),
        timeout: table.duration("timeout").copied().unwrap_or_default(),
        schedule: Schedule { pauses: table.durations("schedule").unwrap_or_default() },
        allow,
        grace: table.duration("grace").copied().unwrap_or_default(),
        proxy: callback::proxy(reader, table, Origin::File),
        own_proxies: table.flag("own_proxies") == Some(&true),
    }
}

/// Names are printed in lists, logs and headers.
fn name_fits(reader: &mut Reader<'_>, table: &Table, name: &str) {
    if name.is_empty() || name.len() > 255 || name.chars().any(char::is_control) {
        let message = "a name has 1 to 255 bytes and no control characters";
        reader.refuse(table.place("name"), &join(&table.path, "name"), message, None);
    }
}

fn schedule_fits(reader: &mut Reader<'_>, table: &Table, name: &str) {
    let Some(list) = table.list(name) else { return };
    for (span, value) in list {
        if let Some(table::Value::Duration(pause)) = value
            && (pause.is_zero() || *pause > PAUSE_MAX)
        {
            let message = "a pause between attempts is longer than nothing and 30 days at most";
            reader.refuse(span.clone(), &join(&table.path, name), message, None);
        }
    }
    if list.len() > 100 {
        reader.refuse(table.place(name), &join(&table.path, name), "a schedule has at most 100 pauses", None);
    }
}

fn timeout_fits(reader: &mut Reader<'_>, table: &Table) {
    if table.duration("timeout").is_some_and(|timeout| timeout.is_zero() || *timeout > TIMEOUT_MAX) {
        let message = "an attempt may take longer than nothing and an hour at most";
        reader.refuse(table.place("timeout"), &join(&table.path, "timeout"), message, None);
    }
}
