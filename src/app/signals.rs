//! The signals that end walhook or make it read its configuration anew.

use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// SIGINT and SIGTERM: the first one asks everything to end, a second one ends the process at once.
#[derive(Debug)]
pub struct Shutdown {
    interrupt: Signal,
    terminate: Signal,
    token: CancellationToken,
}

impl Shutdown {
    /// Listens from now on.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            token: CancellationToken::new(),
        })
    }

    /// What is cancelled by the first signal.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Waits for the next signal and acts on it. Dropping the future loses no signal.
    pub async fn arrived(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        if self.token.is_cancelled() {
            // somebody is tired of waiting; what is on disk is safe, as after every crash
            std::process::exit(130);
        }
        self.token.cancel();
    }
}

/// What `walhook run` is told by signals.
#[derive(Debug)]
pub struct Requests {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
    /// Never waited for: a file that reaches the limit of its size (`ulimit -f`) is an error of the disk like others,
    /// and not the end of the process.
    _file_too_large: Signal,
}

/// Linux, macOS and the BSDs agree on it.
const SIGXFSZ: i32 = 25;

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request {
    /// SIGHUP: to read the configuration anew.
    Reload,
    /// SIGTERM, SIGINT: to end.
    End,
}

impl Requests {
    /// Listens from now on: what arrives before it is asked for is kept. To be called first of all, for a process
    /// that does not listen yet is ended by SIGHUP.
    pub fn listen() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            _file_too_large: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// Waits for the next one.
    pub async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.interrupt.recv() => Request::End,
            _ = self.terminate.recv() => Request::End,
            _ = self.hangup.recv() => Request::Reload,
        }
    }
}
