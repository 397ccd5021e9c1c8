//! A second opinion on a connection that is silent: what the server's process behind it does, asked on another one.
//!
//! The network may have lost one end of a connection without a word to the other. A server may as well be silent
//! because it decodes a giant transaction, and would have to begin again if it were left: so it is asked.

use crate::postgres::{self, Address};
use std::time::Duration;
use tokio::time::timeout;

/// How long the answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// Whom to ask about which process.
#[derive(Clone, Debug)]
pub(super) struct Witness {
    address: Address,
    process: i32,
}

/// What a process of the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// The server does not answer, or not so that one knows.
    Unknown,
    /// There is no such process any more.
    Gone,
    /// It waits for a command.
    Idle,
    /// It is at work.
    Busy,
}

impl Witness {
    /// For a connection to one of the address's hosts, the others of which know nothing of it.
    pub(super) fn new(address: &Address, host: &str, process: Option<i32>) -> Option<Self> {
        let mut address = address.clone();
        address.keep_host(host);
        Some(Self { address, process: process? })
    }

    pub(super) async fn ask(self) -> Standing {
        const STATEMENT: &str = "select coalesce((select coalesce(state, '') \
             from pg_catalog.pg_stat_activity where pid = $1), 'gone')";
        let asking = async {
            let session = postgres::connect(&self.address, "walhook").await.ok()?;
            let row = session.query_one(STATEMENT, &[&self.process]).await.ok()?;
            row.try_get::<_, String>(0).ok()
        };
        match timeout(ANSWER_TIME_MAX, asking).await.ok().flatten().as_deref() {
            None => Standing::Unknown,
            Some("gone") => Standing::Gone,
            Some("idle") => Standing::Idle,
            Some(_) => Standing::Busy,
        }
    }
}
