//! A walhook whose database is away, and its HTTP surface.

use super::client::{self, Answer};
use crate::running::PATIENCE;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A folder with a configuration, and a port.
pub(super) struct House {
    folder: TempDir,
    port: u16,
}

impl House {
    pub(super) fn new() -> Self {
        let port = crate::port::unused();
        let house = Self { folder: tempfile::tempdir().unwrap(), port };
        house.configure("", "");
        house
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Writes the configuration: keys of `[admin]`, then what comes after it.
    pub(super) fn configure(&self, admin: &str, rest: &str) {
        self.configure_on("127.0.0.1", admin, rest);
    }

    pub(super) fn configure_on(&self, address: &str, admin: &str, rest: &str) {
        let text = format!(
            "[source]\nurl = \"postgres://nobody@127.0.0.1:1/nothing\"\n[admin]\nlisten = \"{address}:{}\"\n{admin}\n{rest}",
            self.port
        );
        fs::write(self.folder().join("walhook.toml"), text).unwrap();
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_walhook"));
        command.args(arguments).current_dir(self.folder());
        command
    }

    /// Runs a command to its end with this on standard input; returns its exit code and what it printed.
    pub(super) fn run_with(&self, arguments: &[&str], input: String) -> (i32, String) {
        let mut command = self.command(arguments);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // it may refuse its arguments without reading
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code().unwrap_or(-1), text + &String::from_utf8_lossy(&output.stderr))
    }

    /// `walhook run`, not waited for.
    pub(super) fn spawn(&self) -> Running {
        let log = self.folder().join("walhook.log");
        let file = fs::File::create(&log).unwrap();
        let mut command = self.command(&["run"]);
        command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
        Running { child: command.spawn().unwrap(), log }
    }

    /// `walhook run`, until it answers.
    pub(super) async fn start(&self) -> Running {
        let running = self.spawn();
        let started = Instant::now();
        while self.try_to_ask("/healthz", "").await.is_none() {
            assert!(started.elapsed() < PATIENCE, "it does not answer:\n{}", running.log());
            // polling another process: there is nothing to wait on
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        running
    }

    /// The same over TLS.
    pub(super) async fn start_with(&self, trusted: &CertificateDer<'static>) -> Running {
        let running = self.spawn();
        self.wait_until_served(trusted).await;
        running
    }

    /// Waits until there is an answer under this certificate.
    pub(super) async fn wait_until_served(&self, trusted: &CertificateDer<'static>) {
        let started = Instant::now();
        while self.ask_tls(trusted, "/healthz", "").await.is_none() {
            let log = fs::read_to_string(self.folder().join("walhook.log")).unwrap_or_default();
            assert!(started.elapsed() < PATIENCE, "it does not answer:\n{log}");
            // polling another process: there is nothing to wait on
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until a request is answered with this status.
    pub(super) async fn wait_for_status(&self, path: &str, headers: &str, status: u16) {
        let started = Instant::now();
        while self.ask(path, headers).await.status != status {
            assert!(started.elapsed() < PATIENCE, "{path} is not answered with {status}");
            // polling another process: there is nothing to wait on
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    pub(super) async fn ask(&self, path: &str, headers: &str) -> Answer {
        self.try_to_ask(path, headers).await.expect("no answer")
    }

    pub(super) async fn try_to_ask(&self, path: &str, headers: &str) -> Option<Answer> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        client::ask(stream, path, headers).await
    }

    /// Asks a server that shows this certificate and no other.
    pub(super) async fn ask_tls(
        &self,
        trusted: &CertificateDer<'static>,
        path: &str,
        headers: &str,
    ) -> Option<Answer> {
        let mut roots = RootCertStore::empty();
        roots.add(trusted.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(walhook::tls::provider())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.ok()?;
        let name = ServerName::try_from("localhost").unwrap();
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await.ok()?;
        client::ask(stream, path, headers).await
    }
}

/// A running walhook; killed when dropped.
pub(super) struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    pub(super) fn signal(&self, name: &str) {
        let status = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status();
        assert!(status.unwrap().success());
    }

    pub(super) async fn wait_until_logged(&self, something: &str) {
        let started = Instant::now();
        while !self.log().contains(something) {
            assert!(started.elapsed() < PATIENCE, "{something:?} is not in the log:\n{}", self.log());
            // another process writes it: there is nothing to wait on
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
