//! Where the show takes place: the database, the receiver, walhook as a process, and the way back out.

use super::cluster::Cluster;
use super::ledger::{Came, Ledger};
use super::receiver::{Answer, Judge, Receiver, Request};
use super::screen::Screen;
use super::{Error, Options};
use crate::postgres::{Address, Session, connect};
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::process::{Child, Command};

/// What the show is called on the server: schema, publications, slot.
const NAME: &str = "walhook_demo";
/// The application's role on the throwaway server. It owns its tables and knows nothing of walhook.
const APPLICATION: &str = "helpdesk";
/// How many requests are remembered; the story needs a few hundred.
const ARRIVALS_MAX: usize = 100_000;
/// How long anything may take, in seconds.
const PATIENCE_S: u64 = 15;

/// An endpoint of the show.
pub(super) struct Endpoint {
    /// Its name.
    pub(super) name: &'static str,
    /// Its path at the receiver.
    pub(super) path: &'static str,
    /// What it wants, in words.
    pub(super) wants: &'static str,
    /// Its webhook, without the callback.
    webhook: &'static str,
}

/// The endpoints.
pub(super) const ENDPOINTS: [Endpoint; 3] = [
    Endpoint {
        name: "pager",
        path: "/pager",
        wants: "incidents: create, update, delete",
        webhook: "id = 1\nforms = [\"Incident\"]\nevents = [\"create\", \"update\", \"delete\"]\n",
    },
    Endpoint {
        name: "archive",
        path: "/archive",
        wants: "incidents in the body of another product (arsys), three fields only",
        webhook: "id = 2\nforms = [\"Incident\"]\nevents = [\"create\", \"update\", \"delete\"]\nformat = \"arsys\"\n\
                  payload_fields = [\"Short Description\", \"Status\", \"Assignee\"]\n",
    },
    Endpoint {
        name: "directory",
        path: "/directory",
        wants: "notes and people",
        webhook: "id = 3\nforms = [\"Note\", \"Person\"]\nevents = [\"create\", \"update\", \"delete\"]\n",
    },
];

const SCHEMA: &str = "
    create table incident (
        number text primary key, short_description text not null, status int not null default 0,
        assignee text, body text, last_seen_at timestamptz default now());
    alter table incident replica identity full;
    create table incident_note (id int primary key, number text not null references incident, text text);
    create table person (login text primary key, name text not null, phone text);
    alter table person replica identity full;
    create table audit (id int primary key generated always as identity, what text);
";

/// What the endpoints feel like today.
#[derive(Debug, Default)]
pub(super) struct Moods {
    /// The pager answers 503.
    pub(super) pager_down: AtomicBool,
    /// The archive refuses with 422, for good.
    pub(super) archive_refuses: AtomicBool,
}

impl Moods {
    fn answer(&self, request: &Request) -> Answer {
        let is_bad = match request.path.as_str() {
            "/pager" if self.pager_down.load(Ordering::Relaxed) => 503,
            "/archive" if self.archive_refuses.load(Ordering::Relaxed) => 422,
            _ => return Answer::Status(204),
        };
        Answer::Status(is_bad)
    }
}

/// The stage.
pub(super) struct Desk {
    /// The endpoints' moods.
    pub(super) moods: Arc<Moods>,
    receiver: Receiver,
    executable: PathBuf,
    walhook: Option<Child>,
    folder: TempDir,
    source_url: String,
    application: Address,
    application_url: String,
    schema: &'static str,
    admin: Session,
    cluster: Option<Arc<Cluster>>,
}

impl Desk {
    /// Starts the server, unless it is yours, and the receiver, and prepares the tables.
    pub(super) async fn open(options: &Options) -> Result<Self, Error> {
        let (cluster, source_url, schema) = match &options.database_url {
            Some(url) => (None, url.clone(), NAME),
            None => {
                let cluster = Arc::new(blocking(|| Cluster::start(&[])).await?);
                let admin = connect(&Address::parse(&cluster.url("postgres"))?, "walhook demo").await?;
                admin.batch_execute(&format!("create role {APPLICATION} login")).await?;
                admin.batch_execute(&format!("create database {APPLICATION} owner {APPLICATION}")).await?;
                let url = cluster.url(APPLICATION);
                (Some(cluster), url, "public")
            }
        };
        let application_url = match &cluster {
            Some(cluster) => cluster.url(APPLICATION).replace("postgres@", &format!("{APPLICATION}@")),
            None => source_url.clone(),
        };
        let application = Address::parse(&application_url)?;
        let admin = connect(&Address::parse(&source_url)?, "walhook demo").await?;
        let moods = Arc::new(Moods::default());
        let judging = Arc::clone(&moods);
        let judge: Judge = Arc::new(move |request| judging.answer(request));
        let desk = Self {
            moods,
            receiver: Receiver::start(ARRIVALS_MAX, judge).await?,
            executable: options.executable.clone(),
            walhook: None,
            folder: tempfile::Builder::new().prefix("walhook-demo-").tempdir()?,
            source_url,
            application,
            application_url,
            schema,
            admin,
            cluster,
        };
        desk.prepare().await?;
        Ok(desk)
    }

    async fn prepare(&self) -> Result<(), Error> {
        let taken = "select exists (select from pg_namespace where nspname = $1)
                     or exists (select from pg_publication where pubname = $1)
                     or exists (select from pg_replication_slots where slot_name = $1)";
        if self.admin.query_one(taken, &[&NAME]).await?.get::<_, bool>(0) {
            return Err(Error::InTheWay);
        }
        if self.cluster.is_none() {
            self.admin.batch_execute(&format!("create schema {NAME}")).await?;
        }
        let made = self.make_tables().await;
        if made.is_err() {
            self.remove_from_server().await?;
        }
        made?;
        std::fs::write(self.config_path(), self.configuration())?;
        Ok(())
    }

    async fn make_tables(&self) -> Result<(), Error> {
        let schema = self.schema;
        self.user().await?.batch_execute(SCHEMA).await?;
        let publications = format!(
            "create publication {NAME} for table {schema}.incident, {schema}.incident_note, {schema}.person;
             create publication {NAME}_inserts with (publish = 'insert')"
        );
        self.admin.batch_execute(&publications).await?;
        Ok(())
    }

    /// A session of the application.
    pub(super) async fn user(&self) -> Result<Session, Error> {
        let session = connect(&self.application, "help desk").await?;
        session.batch_execute(&format!("set search_path = {}", self.schema)).await?;
        Ok(session)
    }

    fn config_path(&self) -> PathBuf {
        self.folder.path().join("walhook.toml")
    }

    fn configuration(&self) -> String {
        let schema = self.schema;
        let mut toml = format!(
            "# the demo's walhook.toml\n[source]\nurl = {:?}\nslot = {NAME:?}\npublication = {NAME:?}\n\n\
             [queue]\npath = {:?}\n\n[admin]\nlisten = \"127.0.0.1:0\"\n\n\
             [[forms]]\nname = \"Incident\"\ntable = \"{schema}.incident\"\nignore = [\"last_seen_at\"]\n\
             [forms.fields]\n\"Short Description\" = \"short_description\"\n\"Status\" = \"status\"\n\
             \"Assignee\" = \"assignee\"\n\n\
             [[forms]]\nname = \"Note\"\ntable = \"{schema}.incident_note\"\n\n\
             [[forms]]\nname = \"Person\"\ntable = \"{schema}.person\"\n",
            self.source_url,
            self.folder.path().join("walhook.db").display().to_string(),
        );
        for Endpoint { name, path, webhook, .. } in &ENDPOINTS {
            let (url, pauses) = (self.receiver.url(path), ["\"400ms\""; 40].join(", "));
            toml.extend([
                format!("\n[[webhooks]]\nname = {name:?}\n{webhook}schedule = [{pauses}]\n"),
                format!("[webhooks.callback]\nurl = {url:?}\n"),
            ]);
        }
        toml
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.executable);
        command.arg("--config").arg(self.config_path()).stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Starts `walhook run` and waits until it reads the log.
    pub(super) async fn start(&mut self) -> Result<(), Error> {
        let log = OpenOptions::new().create(true).append(true).open(self.log_path())?;
        let mut command = self.command();
        // a group of its own: Ctrl-C on the terminal is for us, and we end it in order
        command.arg("run").stdout(log.try_clone()?).stderr(log).process_group(0);
        self.walhook = Some(command.spawn()?);
        let began = Instant::now();
        let query = "select 1 from pg_replication_slots where slot_name = $1 and active";
        while self.admin.query_opt(query, &[&NAME]).await?.is_none() {
            if let Some(child) = &mut self.walhook
                && child.try_wait()?.is_some()
            {
                return Err(Error::Ended { log: self.last_words() });
            }
            if began.elapsed() > Duration::from_secs(PATIENCE_S) {
                return Err(self.silence("the start of the stream"));
            }
            // the server tells nobody when a slot becomes active
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Kills walhook as the machine's failure would: SIGKILL.
    pub(super) async fn kill(&mut self) -> Result<(), Error> {
        if let Some(mut child) = self.walhook.take() {
            child.kill().await?;
        }
        Ok(())
    }

    /// Runs another of walhook's commands.
    pub(super) async fn ask(&self, arguments: &[&str]) -> Result<Output, Error> {
        Ok(self.command().args(arguments).output().await?)
    }

    /// Books what arrives and shows it, until the books say that it is enough.
    pub(super) async fn settle(
        &self,
        ledger: &mut Ledger,
        is_enough: impl Fn(&Ledger) -> bool,
        mut show: impl FnMut(&Came) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let began = Instant::now();
        let mut watch = self.receiver.watch();
        loop {
            for came in self.book(ledger) {
                show(&came)?;
            }
            if is_enough(ledger) {
                return Ok(());
            }
            let patience = Duration::from_secs(PATIENCE_S).saturating_sub(began.elapsed());
            if tokio::time::timeout(patience, watch.changed()).await.is_err() {
                return Err(self.silence("the arrival of a delivery"));
            }
        }
    }

    /// Books what has arrived.
    pub(super) fn book(&self, ledger: &mut Ledger) -> Vec<Came> {
        ledger.book(&self.receiver.arrivals_from(ledger.read()))
    }

    /// Shows what arrives until somebody ends it.
    pub(super) async fn watch_for_ever(&self, ledger: &mut Ledger, screen: &mut Screen) -> Result<(), Error> {
        let mut watch = self.receiver.watch();
        while watch.changed().await.is_ok() {
            for came in self.book(ledger) {
                screen.came(&came)?;
            }
        }
        Ok(())
    }

    /// Ends everything and removes what was made.
    pub(super) async fn close(mut self) -> Result<(), Error> {
        if let Some(mut child) = self.walhook.take() {
            if let Some(id) = child.id() {
                Command::new("kill").args(["-TERM", &id.to_string()]).status().await?;
            }
            // what does not end in time is killed when it is dropped
            let _ = tokio::time::timeout(Duration::from_secs(5), child.wait()).await;
        }
        let removed = if self.cluster.is_none() { self.remove_from_server().await } else { Ok(()) };
        drop(self.admin);
        if let Some(cluster) = self.cluster.take() {
            let _ = tokio::task::spawn_blocking(move || drop(cluster)).await;
        }
        removed
    }

    async fn remove_from_server(&self) -> Result<(), Error> {
        let slot = "select pg_drop_replication_slot(slot_name) from pg_replication_slots
                    where slot_name = $1 and not active";
        self.admin.execute(slot, &[&NAME]).await?;
        let rest = format!(
            "set client_min_messages = warning; drop publication if exists {NAME};
             drop publication if exists {NAME}_inserts; drop schema if exists {NAME} cascade"
        );
        self.admin.batch_execute(&rest).await?;
        Ok(())
    }

    /// The database, in words.
    pub(super) fn place(&self) -> String {
        match &self.cluster {
            Some(cluster) => {
                format!("{APPLICATION}, on 127.0.0.1:{} ({})", cluster.port(), version(cluster.bin()))
            }
            None => format!("schema {NAME}, on your server"),
        }
    }

    /// The number of walhook's process.
    pub(super) fn process(&self) -> u32 {
        self.walhook.as_ref().and_then(Child::id).unwrap_or_default()
    }

    /// Labels and texts for somebody who wants to play on.
    pub(super) fn to_play_with(&self) -> Vec<(&'static str, String)> {
        let program = self.executable.display();
        let config = self.config_path();
        let config = config.display();
        vec![
            ("as a user", format!("psql '{}'", self.application_url)),
            ("for example", format!("update {}.incident set status = status + 1;", self.schema)),
            ("configuration", config.to_string()),
            ("log", self.log_path().display().to_string()),
            ("deliveries", format!("{program} --config {config} deliveries list")),
        ]
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("walhook.log")
    }

    fn last_words(&self) -> String {
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }

    /// That something did not happen in time.
    pub(super) fn silence(&self, what: &str) -> Error {
        Error::Silence { what: what.to_owned(), seconds: PATIENCE_S, log: self.last_words() }
    }
}

fn version(bin: &Path) -> String {
    let said = std::process::Command::new(bin.join("postgres")).arg("--version").output();
    let said = said.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let number = said.split_whitespace().find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
    format!("PostgreSQL {}", number.unwrap_or("of your PG_BIN"))
}

/// Runs what blocks beside the runtime's threads.
async fn blocking<T: Send + 'static, E: Send + 'static>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, Error>
where
    Error: From<E>,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}
