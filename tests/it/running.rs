//! The real program on a real server: started with a configuration, waited for, stopped, killed.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use walhook::demo::cluster::Cluster;
use walhook::postgres::{Address, Session, connect};

/// How long anything may take before a test gives up.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A server with an application's database, and a folder for walhook.
pub(crate) struct Site {
    pub(crate) cluster: Cluster,
    pub(crate) folder: TempDir,
    /// What the program finds in its environment beside ours.
    pub(crate) environment: Vec<(OsString, OsString)>,
    admin_port: u16,
}

impl Site {
    /// A server whose database has been filled by `schema`.
    pub(crate) async fn new(schema: &str) -> Self {
        let cluster = Cluster::start(&["wal_sender_timeout = 10s"]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let admin_port = crate::port::unused();
        let site = Self { cluster, folder, environment: vec![], admin_port };
        site.session().await.batch_execute(schema).await.unwrap();
        site
    }

    /// A session of the application.
    pub(crate) async fn session(&self) -> Session {
        let address = Address::parse(&self.cluster.url("postgres")).unwrap();
        connect(&address, "application").await.unwrap()
    }

    /// From now on a commit is in the log and no session sees it: the server waits for a standby that never comes. The future
    /// waits until one commit does, leaves walhook half a second to read it in vain, and ends that.
    pub(crate) async fn hold_commits(&self) -> impl Future<Output = ()> {
        let (session, probe) = (self.session().await, self.session().await);
        let set = |setting: &str| [format!("alter system {setting}"), "select pg_reload_conf()".to_owned()];
        probe.batch_execute("create table if not exists held_commit ()").await.unwrap();
        for statement in set("set synchronous_standby_names = 'nobody'") {
            session.batch_execute(&statement).await.unwrap();
        }
        // the server takes that over when it comes to it
        let commit = || probe.batch_execute("insert into held_commit default values");
        while tokio::time::timeout(Duration::from_millis(300), commit()).await.is_ok() {}
        let waiting = "select count(*) from pg_stat_activity where wait_event = 'SyncRep'";
        let reset = set("reset synchronous_standby_names");
        async move {
            // the other one is ours
            while session.query_one(waiting, &[]).await.unwrap().get::<_, i64>(0) < 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
            for statement in reset {
                session.batch_execute(&statement).await.unwrap();
            }
            drop(probe);
        }
    }

    /// The configuration: source and admin, then what the test says.
    pub(crate) fn configure(&self, rest: &str) {
        self.configure_source(&self.cluster.url("postgres"), rest);
    }

    /// The same with the address of another server, or of several.
    pub(crate) fn configure_source(&self, url: &str, rest: &str) {
        let text =
            format!("[source]\nurl = \"{url}\"\n[admin]\nlisten = \"127.0.0.1:{}\"\n{rest}", self.admin_port);
        fs::write(self.config(), text).unwrap();
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder.path().join("walhook.toml")
    }

    /// The program with its configuration and these arguments; another build of it where `WALHOOK` names one.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let program = std::env::var_os("WALHOOK").map(|program| fs::canonicalize(program).unwrap());
        let mut command = Command::new(program.unwrap_or_else(|| env!("CARGO_BIN_EXE_walhook").into()));
        command.arg("--config").arg(self.config()).args(arguments).current_dir(self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command.stdin(Stdio::null());
        command
    }

    /// Runs a command to its end; returns its exit code and what it printed (both channels).
    pub(crate) fn run(&self, arguments: &[&str]) -> (i32, String) {
        let output = self.command(arguments).output().unwrap();
        let text =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code().unwrap_or(-1), text)
    }

    /// `walhook setup --apply`, then `walhook run`, until it is ready.
    pub(crate) async fn start(&self) -> Running {
        let (code, output) = self.run(&["setup", "--apply"]);
        assert_eq!(code, 0, "{output}");
        self.start_again(&[]).await
    }

    /// `walhook run` with further arguments, until it is ready.
    pub(crate) async fn start_again(&self, arguments: &[&str]) -> Running {
        let running = self.spawn(arguments);
        self.wait_until_ready(true).await;
        running
    }

    /// `walhook run`, not waited for.
    pub(crate) fn spawn(&self, arguments: &[&str]) -> Running {
        let log = self.folder.path().join("walhook.log");
        let file = fs::File::options().create(true).append(true).open(&log).unwrap();
        let mut command = self.command(&[&["run"], arguments].concat());
        command.stdout(file.try_clone().unwrap()).stderr(file);
        Running { child: command.spawn().unwrap(), log }
    }

    /// Where the HTTP surface is.
    pub(crate) fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.admin_port)
    }

    /// The answer of a path of the HTTP surface; none while it is not up.
    pub(crate) async fn ask(&self, path: &str) -> Option<(u16, String)> {
        let answer = reqwest::get(format!("http://127.0.0.1:{}{path}", self.admin_port)).await.ok()?;
        let status = answer.status().as_u16();
        Some((status, answer.text().await.ok()?))
    }

    /// Waits until `/readyz` says something; returns all it says.
    pub(crate) async fn wait_until_it_says(&self, something: &str) -> String {
        let started = Instant::now();
        loop {
            let said = self.ask("/readyz").await.map(|(_, text)| text).unwrap_or_default();
            if said.contains(something) {
                return said;
            }
            let log = fs::read_to_string(self.folder.path().join("walhook.log")).unwrap_or_default();
            assert!(started.elapsed() < PATIENCE, "it does not say {something:?}: {said}\n{log}");
            // polling another process: there is nothing to wait on
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until `/readyz` says ready, or says why it is not.
    pub(crate) async fn wait_until_ready(&self, ready: bool) -> String {
        let started = Instant::now();
        loop {
            let answer = self.ask("/readyz").await;
            match &answer {
                Some((200, text)) if ready => return text.clone(),
                Some((503, text)) if !ready => return text.clone(),
                _ => {}
            }
            let log = fs::read_to_string(self.folder.path().join("walhook.log")).unwrap_or_default();
            assert!(started.elapsed() < PATIENCE, "not there: {answer:?}\n{log}");
            // polling another process: there is nothing to wait on
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A running walhook; killed when dropped.
pub(crate) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.unwrap().success());
    }

    /// SIGTERM, and its exit code.
    pub(crate) fn stop(mut self) -> i32 {
        self.signal("TERM");
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(started.elapsed() < PATIENCE, "it does not end:\n{}", self.log());
            // another process: there is nothing to wait on
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until the log has something.
    pub(crate) async fn wait_until_logged(&self, something: &str) {
        let started = Instant::now();
        while !self.log().contains(something) {
            assert!(started.elapsed() < PATIENCE, "{something:?} is not in the log:\n{}", self.log());
            // another process writes it: there is nothing to wait on
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(Path::new(&self.log)).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
