//! The programs that are measured: walhook, the bare client, and the server's own reader of the log.

use crate::Trouble;
use crate::receiver::Receiver;
use crate::stage::Stage;
use crate::webhooks::{SLOT, Webhooks, configuration};
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};
use walhook::lsn::Lsn;

/// In how many parts `/proc/PID/stat` counts a second; 100 on every Linux of today.
const TICKS: u64 = 100;
/// How long a program may take to begin, and to end.
const PATIENCE: Duration = Duration::from_secs(60);

/// A running program. Killed when dropped.
pub struct Program {
    name: &'static str,
    command: Command,
    log: PathBuf,
    child: Option<Child>,
    began: Instant,
    /// The greatest resident memory of its lives that have ended, in kB.
    peak_kb: u64,
}

impl Program {
    /// walhook with such webhooks, over a slot that is there; not yet started.
    pub fn walhook(
        stage: &Stage,
        binary: &Path,
        webhooks: &Webhooks,
        receiver: &Receiver,
    ) -> Result<Self, Trouble> {
        let folder = stage.fresh_folder()?;
        fs::write(folder.join("walhook.toml"), configuration(&stage.url(), webhooks, receiver))?;
        let mut command = Command::new(binary);
        command.args(["--config", "walhook.toml", "run", "--adopt-slot"]).current_dir(&folder);
        Ok(Self::new("walhook", command, &folder))
    }

    /// The bare client.
    pub fn bare(
        stage: &Stage,
        slot: &str,
        receiver: &Receiver,
        connections: usize,
        threads: usize,
    ) -> Result<Self, Trouble> {
        let folder = stage.fresh_folder()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bare-client", "--database", &stage.url(), "--slot", slot]);
        command.args(["--url", &receiver.url(0), "--connections", &connections.to_string()]);
        command.args(["--bare-threads", &threads.to_string()]);
        command.current_dir(&folder);
        Ok(Self::new("bare client", command, &folder))
    }

    /// The server's own client, which writes to /dev/null and ends at `end`.
    pub fn recvlogical(stage: &Stage, slot: &str, end: Lsn) -> Result<Self, Trouble> {
        let folder = stage.fresh_folder()?;
        let mut command = Command::new(stage.bin().join("pg_recvlogical"));
        command.args(["--dbname", &stage.url(), "--slot", slot, "--start", "--no-loop"]);
        command.args(["--option", "proto_version=1", "--option", "publication_names=walhook"]);
        command.args(["--endpos", &end.to_string(), "--file", "/dev/null"]);
        command.current_dir(&folder);
        Ok(Self::new("pg_recvlogical", command, &folder))
    }

    fn new(name: &'static str, mut command: Command, folder: &Path) -> Self {
        command.stdin(Stdio::null());
        let log = folder.join("log");
        Self { name, command, log, child: None, began: Instant::now(), peak_kb: 0 }
    }

    pub fn start(&mut self) -> Result<(), Trouble> {
        let log: File = OpenOptions::new().create(true).append(true).open(&self.log)?;
        self.command.stdout(log.try_clone()?).stderr(log);
        self.began = Instant::now();
        self.child = Some(self.command.spawn().map_err(|error| format!("{}: {error}", self.name))?);
        Ok(())
    }

    /// Waits until it reads its slot.
    pub async fn reads(&mut self, stage: &Stage, slot: &str) -> Result<(), Trouble> {
        if !self.reads_or_has_ended(stage, slot).await? {
            self.check()?;
        }
        Ok(())
    }

    /// Waits until it reads its slot, or has ended. Returns whether it reads.
    pub async fn reads_or_has_ended(&mut self, stage: &Stage, slot: &str) -> Result<bool, Trouble> {
        while !stage.is_read(slot).await? {
            if self.ended()?.is_some() {
                return Ok(false);
            }
            if self.began.elapsed() > PATIENCE {
                return Err(self.trouble("does not read its slot").into());
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(true)
    }

    /// An error, if it has ended by itself.
    pub fn check(&mut self) -> Result<(), Trouble> {
        match self.ended()? {
            Some(status) => Err(self.trouble(&format!("ended by itself: {status}")).into()),
            None => Ok(()),
        }
    }

    /// How it ended, if it has.
    pub fn ended(&mut self) -> std::io::Result<Option<ExitStatus>> {
        self.child.as_mut().map_or(Ok(None), Child::try_wait)
    }

    fn trouble(&self, what: &str) -> String {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        format!(
            "{} {what}; its last words:\n{}",
            self.name,
            lines[lines.len().saturating_sub(15)..].join("\n")
        )
    }

    fn file(&self, name: &str) -> String {
        let id = self.child.as_ref().map_or(0, Child::id);
        fs::read_to_string(format!("/proc/{id}/{name}")).unwrap_or_default()
    }

    /// The processor time of its present life: user and system.
    pub fn cpu(&self) -> Duration {
        let stat = self.file("stat");
        // its second field, the name, may have anything in it
        let fields = stat.rsplit(") ").next().unwrap_or_default().split(' ').skip(11).take(2);
        let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_millis(ticks * 1000 / TICKS)
    }

    fn memory_kb(&self, name: &str) -> u64 {
        let status = self.file("status");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.trim_matches([':', ' ', '\t', 'k', 'B']).parse().ok()).unwrap_or(0)
    }

    /// Its resident memory now, in MB.
    pub fn resident_mb(&self) -> f64 {
        self.memory_kb("VmRSS") as f64 / 1000.0
    }

    /// The most it ever was, over all its lives, in MB.
    pub fn peak_mb(&self) -> f64 {
        self.peak_kb.max(self.memory_kb("VmHWM")) as f64 / 1000.0
    }

    /// Waits until it has had nothing to do for a while, but not for ever.
    pub async fn quiet(&self) {
        let began = Instant::now();
        let mut before = self.cpu();
        while began.elapsed() < Duration::from_secs(10) {
            tokio::time::sleep(Duration::from_millis(300)).await;
            let now = self.cpu();
            // a tick may be the timers'
            if now.saturating_sub(before) <= Duration::from_millis(1000 / TICKS) {
                return;
            }
            before = now;
        }
    }

    /// SIGKILL. It is gone when this returns.
    pub fn kill(&mut self) -> std::io::Result<()> {
        self.peak_kb = self.peak_kb.max(self.memory_kb("VmHWM"));
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

/// The slot of a program.
pub fn slot_of(is_walhook: bool) -> &'static str {
    if is_walhook { SLOT } else { "other" }
}
