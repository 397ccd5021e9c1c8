//! The program under test, as a process.

use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// `walhook run` in a folder of its own, with its output in `walhook.log` there. Killed when dropped.
pub struct Walhook {
    folder: PathBuf,
    child: Option<Child>,
    /// Set for every process that is started from now on.
    pub environment: Vec<(String, String)>,
    /// What it is started through, such as `strace` with its arguments; empty for nothing.
    pub through: Vec<String>,
    /// The greatest resident memory of any of its lives so far, in kB.
    pub peak_kb: u64,
}

impl Walhook {
    /// Writes the configuration; the process is started by [`Walhook::start`].
    pub fn new(folder: &Path, configuration: &str) -> Self {
        fs::write(folder.join("walhook.toml"), configuration).unwrap();
        Self { folder: folder.to_owned(), child: None, environment: vec![], through: vec![], peak_kb: 0 }
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_walhook"));
        command.arg("--config").arg(self.folder.join("walhook.toml")).current_dir(&self.folder);
        command.stdin(Stdio::null());
        command
    }

    /// The command that runs it, with what the test has set.
    fn running(&self) -> Command {
        let plain = self.command();
        let mut command = match self.through.split_first() {
            None => plain,
            Some((program, arguments)) => {
                let mut command = Command::new(program);
                command.args(arguments).arg(plain.get_program()).args(plain.get_args());
                command.current_dir(&self.folder).stdin(Stdio::null());
                command
            }
        };
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Writes another configuration, for the next start or a SIGHUP.
    pub fn configure(&self, configuration: &str) {
        fs::write(self.folder.join("walhook.toml"), configuration).unwrap();
    }

    pub fn start(&mut self) {
        self.start_with(&["run"]);
    }

    /// The same with further arguments: `run --adopt-slot`.
    pub fn start_with(&mut self, arguments: &[&str]) {
        assert!(self.child.is_none(), "walhook runs already");
        let log: File =
            OpenOptions::new().create(true).append(true).open(self.folder.join("walhook.log")).unwrap();
        let mut command = self.running();
        command.args(arguments).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// SIGKILL; it is gone when this returns.
    pub fn kill(&mut self) {
        self.note_memory();
        if let Some(mut child) = self.child.take() {
            // a process that has ended by itself would make every kill after it a lie
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "walhook ended by itself: {ended:?}\n{}", self.log_tail());
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Stops it in the middle of whatever it does (SIGSTOP); it stands still when this returns.
    pub fn freeze(&self) {
        let Some(child) = &self.child else { return };
        self.signal("-STOP");
        let stat = format!("/proc/{}/stat", child.id());
        let stands = || fs::read_to_string(&stat).is_ok_and(|stat| stat.contains(") T "));
        while !stands() {
            std::thread::yield_now();
        }
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal("-CONT");
    }

    /// Sends it a signal, such as `-HUP`.
    pub fn signal(&self, signal: &str) {
        if let Some(child) = &self.child {
            Command::new("kill").args([signal, &child.id().to_string()]).status().unwrap();
        }
    }

    /// SIGTERM, and its exit code.
    pub fn terminate(&mut self) -> Option<i32> {
        self.note_memory();
        self.signal("-TERM");
        let mut child = self.child.take()?;
        child.wait().unwrap().code()
    }

    /// Waits until it ends by itself, and gives its status; none if it still runs after that time.
    pub fn wait_until_ended(&mut self, within: Duration) -> Option<ExitStatus> {
        self.note_memory();
        let began = Instant::now();
        while began.elapsed() < within {
            if let Some(status) = self.child.as_mut()?.try_wait().unwrap() {
                self.child = None;
                return Some(status);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        None
    }

    /// All that it has said.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("walhook.log")).unwrap_or_default()
    }

    /// The number of the process that was started.
    pub fn id(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// Reads the peak of its memory (`VmHWM`) and gives the current value in kB.
    pub fn note_memory(&mut self) -> u64 {
        let Some(child) = &self.child else { return 0 };
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().trim_end_matches(" kB").parse::<u64>().ok()
        };
        self.peak_kb = self.peak_kb.max(field("VmHWM:").unwrap_or(0));
        field("VmRSS:").unwrap_or(0)
    }

    /// Runs another of its commands beside it.
    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    pub fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(30)..].join("\n")
    }
}

impl Drop for Walhook {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
