//! A replication connection before it streams: who the server is, slots, timelines, and the start of a stream.

use super::error::literal;
use super::pump::STATUS_INTERVAL_MAX;
use super::slot::SlotState;
use super::witness::{Standing, Witness};
use super::{Error, Stream};
use crate::failpoint;
use crate::lsn::Lsn;
use crate::postgres::raw::{self, RawConnection, TextRows};
use crate::postgres::{self, Address, ServerError, major_version};
use postgres_protocol::escape::escape_identifier;
use std::future::Future;
use std::time::Duration;
use tokio::time::timeout;

/// How long the server may take to answer what it knows without work.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);
/// How often it is asked, while it makes a slot, whether it still does: there is no limit to that.
const DOUBT_PAUSE: Duration = Duration::from_secs(15);

/// A replication connection before it streams.
#[derive(Debug)]
pub struct Control {
    connection: RawConnection,
    address: Address,
}

/// Who the server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SystemIdentity {
    /// The cluster's unique number, the same on its standbys and on copies of its files.
    pub system_id: String,
    /// The timeline; a new one begins at each promotion and point-in-time recovery.
    pub timeline: u32,
    /// Where its log ends on disk.
    pub wal_end: Lsn,
    /// The database of the connection.
    pub database: String,
}

/// Where the server's log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalPosition {
    /// In memory: the next change comes behind. On a standby: what has been received.
    pub insert: Lsn,
    /// On disk. On a standby: what has been replayed.
    pub flush: Lsn,
}

/// The end of a timeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimelineSwitch {
    /// The timeline that was left.
    pub timeline: u32,
    /// Where: the next timeline's log begins here.
    pub at: Lsn,
}

/// A slot that has just been made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedSlot {
    /// Every transaction that commits behind it is in the stream, every earlier one in the snapshot.
    pub consistent_point: Lsn,
    /// For `set transaction snapshot` in another session; gone with the connection's next command.
    pub snapshot: Option<String>,
}

impl Control {
    /// Opens a replication connection to the address's database.
    pub async fn connect(address: &Address, application_name: &str) -> Result<Self, Error> {
        let connection = raw::connect(address, application_name).await.map_err(Error::Connection)?;
        Ok(Self { connection, address: address.clone() })
    }

    /// The server's version as it reports it: `15.20 (Debian 15.20-0+deb12u1)`.
    pub fn server_version(&self) -> &str {
        self.connection.server_version()
    }

    /// Who the server is.
    pub async fn identify(&mut self) -> Result<SystemIdentity, Error> {
        let rows = self.run("IDENTIFY_SYSTEM", "identify the system").await?;
        let identity = || {
            let mut row = rows.into_iter().next()?.into_iter();
            Some(SystemIdentity {
                system_id: row.next()??,
                timeline: row.next()??.parse().ok()?,
                wal_end: row.next()??.parse().ok()?,
                database: row.next()??,
            })
        };
        identity().ok_or(Error::Malformed { what: "the answer to IDENTIFY_SYSTEM" })
    }

    /// Where the server's log ends now.
    pub async fn wal_position(&mut self) -> Result<WalPosition, Error> {
        const STATEMENT: &str = "select \
             case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_receive_lsn() \
                  else pg_catalog.pg_current_wal_insert_lsn() end, \
             case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn() \
                  else pg_catalog.pg_current_wal_flush_lsn() end";
        let rows = self.run(STATEMENT, "tell where its log ends").await?;
        let position = || {
            let mut row = rows.into_iter().next()?.into_iter();
            let insert: Option<Lsn> = row.next()?.and_then(|lsn| lsn.parse().ok());
            let flush: Lsn = row.next()??.parse().ok()?;
            Some(WalPosition { insert: insert.unwrap_or(flush), flush })
        };
        position().ok_or(Error::Malformed { what: "the position of the log" })
    }

    /// The slot of that name, if there is one.
    pub async fn slot(&mut self, name: &str) -> Result<Option<SlotState>, Error> {
        // as JSON, for the columns differ between versions
        let statement = format!(
            "select pg_catalog.to_jsonb(s) \
                 || pg_catalog.jsonb_build_object('in_recovery', pg_catalog.pg_is_in_recovery()) \
             from pg_catalog.pg_replication_slots s where s.slot_name = {}",
            literal(name)
        );
        let rows = self.run(&statement, &format!("describe replication slot {name:?}")).await?;
        let Some(json) = first_value(rows) else { return Ok(None) };
        SlotState::read(&json).map(Some).ok_or(Error::Malformed { what: "the description of a slot" })
    }

    /// Makes a slot, and exports the snapshot of the database at its beginning. Waits for every transaction
    /// that is open on the server. Where the server can, it is a failover slot: standbys that synchronise slots
    /// keep a copy of it.
    pub async fn create_slot(&mut self, name: &str, plugin: &str) -> Result<CreatedSlot, Error> {
        let statement = format!(
            "CREATE_REPLICATION_SLOT {} LOGICAL {} {}",
            escape_identifier(name),
            escape_identifier(plugin),
            self.slot_options().await?
        );
        failpoint::reach("source.slot.before");
        let witness = self.witness();
        let created = while_at_work(self.connection.query(&statement), witness).await;
        // its answer does not come: whether there is a slot is seen by whoever looks
        let Some(created) = created else { return Err(self.silent(DOUBT_PAUSE)) };
        let rows = match created {
            Ok(rows) => rows,
            Err(postgres::Error::Statement(error)) => return Err(self.no_slot(name, plugin, error).await),
            Err(error) => return Err(self.lost(error)),
        };
        failpoint::reach("source.slot.after");
        let created = || {
            let mut row = rows.into_iter().next()?.into_iter().skip(1);
            Some(CreatedSlot { consistent_point: row.next()??.parse().ok()?, snapshot: row.next()? })
        };
        created().ok_or(Error::Malformed { what: "the answer to CREATE_REPLICATION_SLOT" })
    }

    /// Primaries know failover slots from 17 on; on a standby the option is an error.
    async fn slot_options(&mut self) -> Result<&'static str, Error> {
        if major_version(self.server_version()) < Some(17) {
            return Ok("EXPORT_SNAPSHOT");
        }
        let rows = self.run("select pg_catalog.pg_is_in_recovery()", "tell whether it is a standby").await?;
        let is_primary = first_value(rows).as_deref() == Some("f");
        Ok(if is_primary { "(SNAPSHOT 'export', FAILOVER)" } else { "(SNAPSHOT 'export')" })
    }

    async fn no_slot(&mut self, name: &str, plugin: &str, error: Box<ServerError>) -> Error {
        let slot = name.to_owned();
        match error.code.as_str() {
            "42710" => Error::SlotExists { slot },
            "42501" => {
                const STATEMENT: &str = "select pg_catalog.current_setting('output_plugin_libraries', true)";
                let allowed = match self.connection.query(STATEMENT).await {
                    Ok(rows) => first_value(rows),
                    Err(_) => None,
                };
                // without the setting, the role's privileges are meant
                match allowed {
                    Some(allowed)
                        if !allowed.split(',').any(|name| name.trim().trim_matches('"') == plugin) =>
                    {
                        Error::PluginRefused { plugin: plugin.to_owned(), allowed: Some(allowed), error }
                    }
                    _ => Error::Refused { action: format!("create replication slot {name:?}"), error },
                }
            }
            _ => Error::Refused { action: format!("create replication slot {name:?}"), error },
        }
    }

    /// Drops a slot that nobody reads.
    pub async fn drop_slot(&mut self, name: &str) -> Result<(), Error> {
        let statement = format!("DROP_REPLICATION_SLOT {}", escape_identifier(name));
        match self.connection.query(&statement).await {
            Ok(_) => Ok(()),
            Err(postgres::Error::Statement(error)) => {
                Err(self.slot_refusal(name, format!("drop replication slot {name:?}"), error).await)
            }
            Err(error) => Err(self.lost(error)),
        }
    }

    /// Moves a slot that nobody reads forward, without decoding what lies between; returns where it is then.
    pub async fn advance_slot(&mut self, name: &str, to: Lsn) -> Result<Lsn, Error> {
        let statement = format!(
            "select end_lsn from pg_catalog.pg_replication_slot_advance({}, {})",
            literal(name),
            literal(&to.to_string())
        );
        let action = format!("advance replication slot {name:?}");
        let rows = match self.run_at_leisure(&statement, &action).await {
            Err(Error::Refused { action, error }) => {
                return Err(self.slot_refusal(name, action, error).await);
            }
            rows => rows?,
        };
        let end = first_value(rows).and_then(|lsn: String| lsn.parse().ok());
        end.ok_or(Error::Malformed { what: "the new position of a slot" })
    }

    /// Where the timelines before the given one were left, the oldest first.
    pub async fn timeline_history(&mut self, timeline: u32) -> Result<Vec<TimelineSwitch>, Error> {
        if timeline <= 1 {
            // the first one has no history, and the server no file of it
            return Ok(Vec::new());
        }
        let statement = format!("TIMELINE_HISTORY {timeline}");
        let rows = self.run(&statement, &format!("tell the history of timeline {timeline}")).await?;
        let content = rows.into_iter().next().and_then(|row| row.into_iter().nth(1)).flatten();
        read_history(&content.unwrap_or_default())
            .ok_or(Error::Malformed { what: "the history of a timeline" })
    }

    /// Those of the publications that do not exist in the database.
    pub async fn missing_publications(&mut self, names: &[String]) -> Result<Vec<String>, Error> {
        let rows = self.run("select pubname from pg_catalog.pg_publication", "list its publications").await?;
        let existing: Vec<String> = rows.into_iter().flatten().flatten().collect();
        Ok(names.iter().filter(|name| !existing.contains(name)).cloned().collect())
    }

    /// Starts the stream of a slot at a position.
    ///
    /// The server would move a position below the slot's forward, and take one beyond its log as it is, both
    /// in silence; so both are errors here.
    pub async fn start(mut self, slot: &str, from: Lsn, publications: &[String]) -> Result<Stream, Error> {
        self.check_start(slot, from).await?;
        let status_interval = self.status_interval().await?;
        let statement = start_statement(slot, from, publications);
        failpoint::reach("source.start.before");
        self.connection.send_query(&statement).await.map_err(|error| self.lost(error))?;
        loop {
            let answer = timeout(ANSWER_TIME_MAX, self.connection.next()).await;
            let answer = answer.map_err(|_| self.silent(ANSWER_TIME_MAX))?;
            let frame = answer.map_err(|error| self.lost(error))?;
            if frame.tag == b'W' {
                failpoint::reach("source.start.after");
            }
            match frame.tag {
                b'W' => {
                    let witness = self.witness();
                    return Ok(Stream::begin(self.connection, witness, slot, from, status_interval));
                }
                b'E' => {
                    let error = Box::new(ServerError::read(&frame.body));
                    if error.is_fatal() {
                        return Err(self.lost(postgres::Error::Statement(error)));
                    }
                    self.connection.until_ready().await.map_err(|error| self.lost(error))?;
                    let action = format!("stream from replication slot {slot:?}");
                    return Err(self.slot_refusal(slot, action, error).await);
                }
                b'N' | b'S' => {}
                tag => return Err(self.lost(self.connection.unexpected(tag))),
            }
        }
    }

    async fn check_start(&mut self, slot: &str, from: Lsn) -> Result<(), Error> {
        let name = || slot.to_owned();
        let Some(state) = self.slot(slot).await? else { return Err(Error::SlotMissing { slot: name() }) };
        if let Some(reason) = state.misfit(self.address.database()) {
            return Err(Error::SlotForeign { slot: name(), reason });
        }
        if state.is_copy {
            return Err(Error::SlotIsCopy { slot: name() });
        }
        if let Some(reason) = state.invalidation {
            return Err(Error::SlotInvalidated { slot: name(), reason });
        }
        if let Some(confirmed) = state.confirmed_flush_lsn.filter(|confirmed| *confirmed > from) {
            return Err(Error::SlotAhead { slot: name(), confirmed, from });
        }
        let wal_end = self.wal_position().await?.flush;
        if wal_end < from {
            return Err(Error::ServerBehind { wal_end, from });
        }
        Ok(())
    }

    /// A third of the silence after which the server ends the connection.
    async fn status_interval(&mut self) -> Result<Duration, Error> {
        const STATEMENT: &str =
            "select setting from pg_catalog.pg_settings where name = 'wal_sender_timeout'";
        let rows = self.run(STATEMENT, "tell its wal_sender_timeout").await?;
        let timeout_ms: u64 = first_value(rows).and_then(|text| text.parse().ok()).unwrap_or(0);
        Ok(match timeout_ms {
            0 => STATUS_INTERVAL_MAX,
            timeout_ms => Duration::from_millis((timeout_ms / 3).max(50)).min(STATUS_INTERVAL_MAX),
        })
    }

    async fn slot_refusal(&mut self, name: &str, action: String, error: Box<ServerError>) -> Error {
        let slot = name.to_owned();
        match error.code.as_str() {
            "55006" => {
                let active_pid = self.slot(name).await.ok().flatten().and_then(|state| state.active_pid);
                Error::SlotInUse { slot, active_pid }
            }
            "42704" => Error::SlotMissing { slot },
            "55000" | "58P01" => Error::SlotInvalidated { slot, reason: error.to_string() },
            _ => Error::Refused { action, error },
        }
    }

    /// A network that has swallowed the question says nothing for ever.
    async fn run(&mut self, statement: &str, action: &str) -> Result<TextRows, Error> {
        match timeout(ANSWER_TIME_MAX, self.run_at_leisure(statement, action)).await {
            Ok(rows) => rows,
            Err(_) => Err(self.silent(ANSWER_TIME_MAX)),
        }
    }

    async fn run_at_leisure(&mut self, statement: &str, action: &str) -> Result<TextRows, Error> {
        self.connection.query(statement).await.map_err(|error| match error {
            postgres::Error::Statement(error) if !error.is_fatal() => {
                Error::Refused { action: action.to_owned(), error }
            }
            error => self.lost(error),
        })
    }

    fn lost(&self, source: postgres::Error) -> Error {
        Error::Disconnected { host: self.connection.host().to_owned(), source }
    }

    fn silent(&self, silence: Duration) -> Error {
        Error::Silent { host: self.connection.host().to_owned(), seconds: silence.as_secs() }
    }

    fn witness(&self) -> Option<Witness> {
        Witness::new(&self.address, self.connection.host(), self.connection.process())
    }
}

/// What the server's answer is; none if its process has nothing more to do for us, and the answer has not come.
async fn while_at_work<T>(answer: impl Future<Output = T>, witness: Option<Witness>) -> Option<T> {
    tokio::pin!(answer);
    loop {
        if let Ok(answer) = timeout(DOUBT_PAUSE, &mut answer).await {
            return Some(answer);
        }
        if let Some(witness) = witness.clone()
            && matches!(witness.ask().await, Standing::Gone | Standing::Idle)
        {
            return None;
        }
    }
}

/// The first value of the first row, unless it is NULL.
fn first_value(rows: TextRows) -> Option<String> {
    rows.into_iter().next()?.into_iter().next()?
}

/// Publications are identifiers, quoted each, in a list that is a literal.
fn start_statement(slot: &str, from: Lsn, publications: &[String]) -> String {
    let names: Vec<String> =
        publications.iter().map(|name| format!("\"{}\"", name.replace('"', "\"\""))).collect();
    format!(
        "START_REPLICATION SLOT {} LOGICAL {from} (proto_version '1', publication_names {}, messages 'true')",
        escape_identifier(slot),
        literal(&names.join(","))
    )
}

/// Lines of a timeline, a position and a reason, separated by tabs; `#` begins a comment.
fn read_history(content: &str) -> Option<Vec<TimelineSwitch>> {
    let lines = content.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let read = |line: &str| {
        let mut parts = line.split_whitespace();
        Some(TimelineSwitch { timeline: parts.next()?.parse().ok()?, at: parts.next()?.parse().ok()? })
    };
    lines.map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection that fell silent after the login, before the stream ran, was waited for as long as the kernel
    /// held it: for hours or for ever, with nothing said but that the stream had not started.
    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_not_waited_for_for_ever() {
        let control = || {
            let (ours, theirs) = tokio::net::UnixStream::pair().unwrap();
            let address = Address::parse("host=db user=u").unwrap();
            (Control { connection: RawConnection::over(ours), address }, theirs)
        };
        let (mut one, _server) = control();
        let error = one.identify().await.unwrap_err();
        assert_eq!(error.to_string(), "PostgreSQL at test has said nothing for 30 s");
        let (another, _server) = control();
        assert!(matches!(another.start("walhook", Lsn(1), &[]).await, Err(Error::Silent { .. })));
    }

    #[test]
    fn publications_are_quoted_as_identifiers_inside_a_literal() {
        let names = ["plain".to_owned(), "My\"Pub".to_owned(), "it's".to_owned()];
        assert_eq!(
            start_statement("walhook", Lsn(0x16_B374_D848), &names),
            "START_REPLICATION SLOT \"walhook\" LOGICAL 16/B374D848 (proto_version '1', \
             publication_names '\"plain\",\"My\"\"Pub\",\"it''s\"', messages 'true')"
        );
    }

    #[test]
    fn a_timelines_history_is_read() {
        let content =
            "1\t0/3000000\tno recovery target specified\n\n# comment\n2\t0/5000A28\tat restore point\n";
        let expected = vec![
            TimelineSwitch { timeline: 1, at: Lsn(0x0300_0000) },
            TimelineSwitch { timeline: 2, at: Lsn(0x0500_0A28) },
        ];
        assert_eq!(read_history(content), Some(expected));
        assert_eq!(read_history("nonsense"), None);
    }
}
