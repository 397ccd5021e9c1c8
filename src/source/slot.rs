//! A replication slot as the server describes it.

use super::{Error, PLUGIN};
use crate::lsn::Lsn;
use crate::postgres::{self, Address};

/// A slot as the server describes it (`pg_replication_slots`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotState {
    /// The output plugin; none for physical slots.
    pub plugin: Option<String>,
    /// The database; none for physical slots.
    pub database: Option<String>,
    /// The server's process that reads it.
    pub active_pid: Option<i32>,
    /// From here on the server keeps its log for it.
    pub restart_lsn: Option<Lsn>,
    /// What its reader has confirmed.
    pub confirmed_flush_lsn: Option<Lsn>,
    /// `reserved`, `extended`, `unreserved`, `lost`.
    pub wal_status: Option<String>,
    /// Why it cannot be read any more, if so.
    pub invalidation: Option<String>,
    /// Whether it belongs to one session of the server, and ends with it.
    pub is_temporary: bool,
    /// Whether it is a standby's copy of its primary's slot: nobody can read it before the promotion.
    pub is_copy: bool,
}

/// What a slot's reader has confirmed, asked beside the stream that reads it. None if there is no such slot.
pub async fn confirmed(address: &Address, application_name: &str, slot: &str) -> Result<Option<Lsn>, Error> {
    const STATEMENT: &str = "select confirmed_flush_lsn::text from pg_catalog.pg_replication_slots \
         where slot_name = $1";
    let session = postgres::connect(address, application_name).await.map_err(Error::Connection)?;
    let asked = session.query_opt(STATEMENT, &[&slot]).await;
    let row = asked.map_err(|error| Error::Connection(postgres::Error::Server(error)))?;
    let lsn = row.and_then(|row| row.get::<_, Option<String>>(0));
    Ok(lsn.and_then(|lsn| lsn.parse().ok()))
}

impl SlotState {
    /// Why it cannot be the slot of a stream of the database, whatever its position.
    pub fn misfit(&self, database: &str) -> Option<String> {
        let Some(plugin) = &self.plugin else { return Some("it is a physical slot".to_owned()) };
        if plugin != PLUGIN {
            return Some(format!("its output plugin is {plugin}, not {PLUGIN}"));
        }
        if self.database.as_deref() != Some(database) {
            let theirs = self.database.as_deref().unwrap_or_default();
            return Some(format!("it belongs to database {theirs:?}, not {database:?}"));
        }
        self.is_temporary.then(|| "it is temporary, and ends with the session that made it".to_owned())
    }

    /// Whether it is being made: it has no position yet, and whoever makes it waits for open transactions, the
    /// server's process also when its client is gone.
    pub fn is_in_the_making(&self) -> bool {
        self.plugin.is_some() && self.active_pid.is_some() && self.confirmed_flush_lsn.is_none()
    }

    /// Reads a row of `pg_replication_slots` as JSON. 14 and 15 call a slot lost by `wal_status` alone, 16 adds
    /// `conflicting`, 17 `invalidation_reason`.
    pub(super) fn read(json: &str) -> Option<Self> {
        let json: serde_json::Value = serde_json::from_str(json).ok()?;
        let text = |name: &str| json.get(name).and_then(|value| value.as_str()).map(str::to_owned);
        let lsn = |name: &str| text(name).and_then(|text| text.parse().ok());
        let wal_status = text("wal_status");
        let is = |name: &str| json.get(name).and_then(serde_json::Value::as_bool).unwrap_or(false);
        let invalidation = text("invalidation_reason").or_else(|| {
            if is("conflicting") {
                Some("it conflicts with recovery".to_owned())
            } else if wal_status.as_deref() == Some("lost") {
                Some("the log that it needs was removed (max_slot_wal_keep_size)".to_owned())
            } else {
                None
            }
        });
        Some(Self {
            // after the promotion the server still calls it synced
            is_copy: is("synced") && is("in_recovery"),
            is_temporary: is("temporary"),
            plugin: text("plugin"),
            database: text("database"),
            active_pid: json.get("active_pid").and_then(serde_json::Value::as_i64).map(|pid| pid as i32),
            restart_lsn: lsn("restart_lsn"),
            confirmed_flush_lsn: lsn("confirmed_flush_lsn"),
            wal_status,
            invalidation,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_slot_is_told_apart_in_every_version() {
        let check = |json: &str, lost: bool| {
            assert_eq!(SlotState::read(json).unwrap().invalidation.is_some(), lost, "{json}");
        };
        check(r#"{"wal_status": "reserved", "restart_lsn": "0/1"}"#, false);
        check(r#"{"wal_status": "unreserved"}"#, false);
        check(r#"{"wal_status": "lost"}"#, true);
        check(r#"{"wal_status": "reserved", "conflicting": false}"#, false);
        check(r#"{"wal_status": "reserved", "conflicting": true}"#, true);
        check(r#"{"wal_status": "lost", "invalidation_reason": "idle_timeout"}"#, true);
    }

    #[test]
    fn a_slot_without_a_position_is_in_the_making_while_somebody_is_at_it() {
        let check = |json: &str, expected: bool| {
            assert_eq!(SlotState::read(json).unwrap().is_in_the_making(), expected, "{json}");
        };
        check(r#"{"plugin": "pgoutput", "active_pid": 7, "restart_lsn": "0/1"}"#, true);
        check(r#"{"plugin": "pgoutput", "active_pid": 7, "confirmed_flush_lsn": "0/1"}"#, false);
        check(r#"{"plugin": "pgoutput"}"#, false);
        check(r#"{"active_pid": 7, "restart_lsn": "0/1"}"#, false);
    }

    #[test]
    fn a_standbys_copy_of_a_slot_is_one_until_the_promotion() {
        let check = |json: &str, is_copy: bool| {
            assert_eq!(SlotState::read(json).unwrap().is_copy, is_copy, "{json}");
        };
        check(r#"{"in_recovery": true}"#, false);
        check(r#"{"synced": false, "in_recovery": true}"#, false);
        check(r#"{"synced": true, "in_recovery": true}"#, true);
        check(r#"{"synced": true, "in_recovery": false}"#, false);
    }

    #[test]
    fn a_slot_of_others_does_not_fit() {
        let check = |json: &str, expected: Option<&str>| {
            assert_eq!(SlotState::read(json).unwrap().misfit("helpdesk").as_deref(), expected, "{json}");
        };
        check(r#"{"plugin": "pgoutput", "database": "helpdesk", "temporary": false}"#, None);
        check("{}", Some("it is a physical slot"));
        let decoding = r#"{"plugin": "test_decoding", "database": "helpdesk"}"#;
        check(decoding, Some("its output plugin is test_decoding, not pgoutput"));
        let elsewhere = r#"{"plugin": "pgoutput", "database": "crm"}"#;
        check(elsewhere, Some("it belongs to database \"crm\", not \"helpdesk\""));
        let temporary = r#"{"plugin": "pgoutput", "database": "helpdesk", "temporary": true}"#;
        check(temporary, Some("it is temporary, and ends with the session that made it"));
    }
}
