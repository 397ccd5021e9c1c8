//! The server: a table of wide rows, two publications, and slots in front of what was written.

use crate::Trouble;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use walhook::demo::cluster::Cluster;
use walhook::lsn::Lsn;
use walhook::postgres::{Address, Session, connect};

/// A row is about 680 bytes in text. The mark stands last, where a receiver that looks from behind finds it at once.
const SCHEMA: &str = include_str!("schema.sql");
/// What is said of sessions of ours.
const NAME: &str = "walhook-bench";
/// The slot from which those of the runs are copied.
const BASE: &str = "base";
/// Sessions that commit at a rate.
const SESSIONS: usize = 4;
/// How long anything may take that takes no time.
const PATIENCE: Duration = Duration::from_secs(60);

/// What is written in front of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writing {
    Inserts,
    Updates,
}

impl Writing {
    pub fn name(self) -> &'static str {
        match self {
            Self::Inserts => "inserts",
            Self::Updates => "updates",
        }
    }

    /// The step that its marks name.
    pub fn step(self) -> u8 {
        match self {
            Self::Inserts => 1,
            Self::Updates => 2,
        }
    }
}

/// The server and a folder for the runs.
pub struct Stage {
    // dropped in this order: sessions before their server
    pub sql: Session,
    cluster: Cluster,
    folder: PathBuf,
    runs: std::cell::Cell<usize>,
}

impl Stage {
    pub async fn set() -> Result<Self, Trouble> {
        let cluster = Cluster::start(&[
            "fsync = on",
            "max_wal_size = '16GB'",
            "checkpoint_timeout = '1h'",
            "shared_buffers = '256MB'",
            "autovacuum = off",
            "max_replication_slots = 20",
        ])?;
        let sql = connect(&Address::parse(&cluster.url("postgres"))?, NAME).await?;
        sql.batch_execute(SCHEMA).await?;
        // beside the program, so that the queue is on a disk and not in a file system of memory
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("side-{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        Ok(Self { sql, cluster, folder, runs: std::cell::Cell::new(0) })
    }

    pub fn url(&self) -> String {
        self.cluster.url("postgres")
    }

    pub fn bin(&self) -> &Path {
        self.cluster.bin()
    }

    /// Another session.
    pub async fn session(&self) -> Result<Session, Trouble> {
        Ok(connect(&Address::parse(&self.url())?, NAME).await?)
    }

    /// An empty folder for a run; the last run's is removed.
    pub fn fresh_folder(&self) -> std::io::Result<PathBuf> {
        let at = |run: usize| self.folder.join(run.to_string());
        let run = self.runs.get() + 1;
        self.runs.set(run);
        let _ = std::fs::remove_dir_all(at(run - 1));
        std::fs::create_dir_all(at(run))?;
        Ok(at(run))
    }

    /// Empties the table and writes into it behind slot `base`, so many rows in each transaction; gives the end.
    pub async fn write(&self, writing: Writing, rows: u32, per_transaction: u32) -> Result<Lsn, Trouble> {
        self.drop_slot(BASE).await?;
        self.sql.batch_execute("truncate incident").await?;
        if writing == Writing::Updates {
            self.fill(Writing::Inserts, 1, rows, 1000).await?;
        }
        self.make_slot(BASE).await?;
        self.fill(writing, 1, rows, per_transaction).await?;
        // what is written back during the runs would be part of them
        self.sql.batch_execute("checkpoint").await?;
        self.end().await
    }

    /// Empties the table, and makes a slot that begins there.
    pub async fn begin_anew(&self, slot: &str) -> Result<(), Trouble> {
        self.drop_slot(slot).await?;
        self.drop_slot(BASE).await?;
        self.sql.batch_execute("truncate incident").await?;
        self.make_slot(slot).await
    }

    /// Inserts such rows, each in a transaction of its own, so many in a second. From several sessions, so that
    /// one commit that takes long does not put off the next.
    pub async fn commit(&self, rows: RangeInclusive<u32>, per_second: u32) -> Result<(), Trouble> {
        let (first, last) = (*rows.start(), *rows.end());
        let mut committing = JoinSet::new();
        let mut sessions = Vec::new();
        for _ in 0..SESSIONS {
            let session = self.session().await?;
            let insert = session.prepare("insert into incident select * from incident_of($1)").await?;
            sessions.push((session, insert));
        }
        let began = tokio::time::Instant::now();
        for (number, (session, insert)) in sessions.into_iter().enumerate() {
            committing.spawn(async move {
                for row in (first + number as u32..=last).step_by(SESSIONS) {
                    let due = f64::from(row - first) / f64::from(per_second.max(1));
                    tokio::time::sleep_until(began + Duration::from_secs_f64(due)).await;
                    session.execute(&insert, &[&i64::from(row)]).await?;
                }
                Ok::<(), Trouble>(())
            });
        }
        while let Some(committed) = committing.join_next().await {
            committed??;
        }
        Ok(())
    }

    /// Writes rows `first` to `last`.
    pub async fn fill(
        &self,
        writing: Writing,
        first: u32,
        last: u32,
        per_transaction: u32,
    ) -> Result<(), Trouble> {
        let call = format!("call fill_{}({first}, {last}, {})", writing.name(), per_transaction.max(1));
        // commits need not wait for the disk here, but all of them must be there at the end
        self.sql.batch_execute("set synchronous_commit = off").await?;
        self.sql.batch_execute(&call).await?;
        self.sql.batch_execute("reset synchronous_commit").await?;
        self.sql.batch_execute("select pg_logical_emit_message(true, 'bench', 'end')").await?;
        Ok(())
    }

    /// Where the log ends.
    pub async fn end(&self) -> Result<Lsn, Trouble> {
        let row = self.sql.query_one("select pg_current_wal_flush_lsn()::text", &[]).await?;
        Ok(row.get::<_, String>(0).parse()?)
    }

    /// A slot that begins here.
    pub async fn make_slot(&self, slot: &str) -> Result<(), Trouble> {
        let query = "select pg_create_logical_replication_slot($1, 'pgoutput')::text";
        self.sql.query(query, &[&slot]).await?;
        Ok(())
    }

    /// A slot that begins in front of what was written.
    pub async fn copy_slot(&self, slot: &str) -> Result<(), Trouble> {
        self.drop_slot(slot).await?;
        let query = "select pg_copy_logical_replication_slot($1, $2)::text";
        self.sql.query(query, &[&BASE, &slot]).await?;
        Ok(())
    }

    /// Drops a slot, if it is there, once its reader is gone.
    pub async fn drop_slot(&self, slot: &str) -> Result<(), Trouble> {
        let began = Instant::now();
        let query =
            "select pg_drop_replication_slot(slot_name)::text from pg_replication_slots where slot_name = $1";
        while let Err(error) = self.sql.query(query, &[&slot]).await {
            if began.elapsed() > PATIENCE {
                return Err(error.into());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    }

    /// Whether somebody reads a slot.
    pub async fn is_read(&self, slot: &str) -> Result<bool, Trouble> {
        let query = "select 1 from pg_replication_slots where slot_name = $1 and active";
        Ok(self.sql.query_opt(query, &[&slot]).await?.is_some())
    }

    /// How far a slot is confirmed.
    pub async fn confirmed(&self, slot: &str) -> Result<Option<Lsn>, Trouble> {
        let query = "select confirmed_flush_lsn::text from pg_replication_slots where slot_name = $1";
        let row = self.sql.query_opt(query, &[&slot]).await?;
        Ok(row.and_then(|row| row.get::<_, Option<String>>(0)).and_then(|lsn| lsn.parse().ok()))
    }

    /// The server's version.
    pub async fn version(&self) -> Result<String, Trouble> {
        Ok(self.sql.query_one("show server_version", &[]).await?.get(0))
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
