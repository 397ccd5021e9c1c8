//! Where a scene is played: a server with the tables, a receiver, walhook between them, a folder for its files.

use super::laws::Attempt;
use super::port;
use super::process::Walhook;
use super::workload::connect;
use super::world::{HOOKS, Hook, SCHEMA, configuration};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::Client;
use walhook::demo::cluster::Cluster;
use walhook::demo::receiver::{Arrival, Judge, Receiver};

/// The soak's scenes measure time: one at a time. Faults are mostly waited for: two of them.
static STAGES: Semaphore = Semaphore::const_new(match env!("CARGO_CRATE_NAME").as_bytes() {
    b"faults" => 2,
    _ => 1,
});

pub struct Stage {
    pub cluster: Arc<Cluster>,
    pub client: Client,
    pub receiver: Receiver,
    pub walhook: Walhook,
    pub folder: PathBuf,
    pub began: Instant,
    admin: String,
    hooks: &'static [Hook],
    _permit: SemaphorePermit<'static>,
}

impl Stage {
    /// Prepares everything; walhook is not yet started.
    pub async fn prepare(name: &str, hooks: &'static [Hook], judge: Judge) -> Self {
        let permit = STAGES.acquire().await.unwrap();
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        let cluster = tokio::task::spawn_blocking(|| {
            Cluster::start(&["max_wal_size = '256MB'", "wal_sender_timeout = '4s'"])
        });
        let cluster = Arc::new(cluster.await.unwrap().unwrap());
        let client = connect(&cluster.url("postgres")).await;
        // the server's statements, one by one: a slot cannot be made in a transaction that has written
        for statement in SCHEMA.split(';').filter(|statement| !statement.trim().is_empty()) {
            client.batch_execute(statement).await.unwrap();
        }
        let receiver = Receiver::start(usize::MAX, judge).await.unwrap();
        let admin = format!("127.0.0.1:{}", port::unused());
        let toml = configuration(&cluster.url("postgres"), "walhook.db", &receiver.url(""), &admin, hooks);
        let walhook = Walhook::new(&folder, &toml);
        Self {
            cluster,
            client,
            receiver,
            walhook,
            folder,
            began: Instant::now(),
            admin,
            hooks,
            _permit: permit,
        }
    }

    /// Starts walhook for the first time and waits until its slot stands: changes count from there on.
    pub async fn start(&mut self) {
        self.walhook.start();
        // while it is being created it is active, but what is committed before its position stands is not in it
        let query = "select 1 from pg_replication_slots
                     where slot_name = 'walhook' and active and confirmed_flush_lsn is not null";
        let began = Instant::now();
        while self.client.query_opt(query, &[]).await.unwrap().is_none() {
            assert!(self.walhook.is_running(), "walhook ended by itself:\n{}", self.walhook.log_tail());
            assert!(began.elapsed() < Duration::from_secs(30), "no slot:\n{}", self.walhook.log_tail());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The configuration with another address of the source database: a proxy's, for instance. To be changed and
    /// given to [`Walhook::configure`].
    pub fn configuration(&self, source_url: &str) -> String {
        configuration(source_url, "walhook.db", &self.receiver.url(""), &self.admin, self.hooks)
    }

    /// What walhook's port for health and metrics is: `127.0.0.1:12345`.
    pub fn admin(&self) -> &str {
        &self.admin
    }

    /// Restarts PostgreSQL as after a crash.
    pub async fn crash_server(&mut self) {
        let cluster = Arc::clone(&self.cluster);
        let restarted = tokio::task::spawn_blocking(move || {
            cluster.down("immediate")?;
            cluster.up()
        });
        restarted.await.unwrap().unwrap();
        self.client = connect(&self.cluster.url("postgres")).await;
    }

    /// How much of the log the server keeps for the slot, in bytes; none while there is no slot.
    pub async fn retained_bytes(&self) -> Option<i64> {
        let query = "select pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::bigint
                     from pg_replication_slots where slot_name = 'walhook'";
        self.client.query_opt(query, &[]).await.unwrap()?.get(0)
    }

    /// How far the slot is confirmed.
    pub async fn confirmed_lsn(&self) -> u64 {
        let query = "select (confirmed_flush_lsn - '0/0')::text
                     from pg_replication_slots where slot_name = 'walhook'";
        let row = self.client.query_opt(query, &[]).await.unwrap();
        row.and_then(|row| row.get::<_, Option<String>>(0)).map_or(0, |lsn| lsn.parse().unwrap())
    }

    /// The receiver's record in the words of the laws.
    pub fn attempts(&self, arrivals: &[Arrival]) -> Vec<Attempt> {
        let micros = |instant: Instant| instant.duration_since(self.began).as_micros() as u64;
        let attempt = |arrival: &Arrival| {
            let request = &arrival.request;
            let header = |name: &str| request.header(name).unwrap_or_default();
            let hook = HOOKS.iter().find(|hook| hook.path == request.path);
            Attempt {
                hook: hook.map_or(0, |hook| hook.id),
                id: header("webhook-id").to_owned(),
                sequence: header("walhook-sequence").parse().unwrap_or(0),
                replay: header("walhook-replay") == "1",
                body: request.body.clone(),
                start: micros(request.started),
                end: arrival.ended.map_or(u64::MAX, micros),
                accepted: arrival.is_accepted(),
            }
        };
        arrivals.iter().map(attempt).collect()
    }
}

/// A number from the environment, such as `SEED=7`.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("the setting is a number"))
}
