//! What goes wrong with a stream of the log, and what to do about it.

use crate::lsn::Lsn;
use crate::postgres::{self, ServerError};
use crate::remedy::{Remediable, Remedy};

/// What goes wrong with a stream of the log.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection could not be opened.
    #[error("the replication connection cannot be opened")]
    Connection(#[source] postgres::Error),
    /// The connection broke, or the server ended it.
    #[error("the replication connection to {host} was lost")]
    Disconnected {
        /// Where.
        host: String,
        /// Why.
        #[source]
        source: postgres::Error,
    },
    /// The server was silent for too long.
    #[error("PostgreSQL at {host} has said nothing for {seconds} s")]
    Silent {
        /// Where.
        host: String,
        /// How long.
        seconds: u64,
    },
    /// The reader has taken nothing for long. A server that wants to shut down would wait for it, so it is let
    /// go; nothing is lost by that.
    #[error("the stream from {host} was given up: nothing was taken from it for {seconds} s")]
    Stalled {
        /// Where.
        host: String,
        /// How long.
        seconds: u64,
    },
    /// The server shuts down and waits for everything to be confirmed, which may take long; we let it go.
    #[error("PostgreSQL at {host} is shutting down")]
    ShuttingDown {
        /// Where.
        host: String,
    },
    /// The stream was ended by `close`, or has ended with an error before.
    #[error("the stream of slot {slot:?} has ended")]
    Ended {
        /// Which.
        slot: String,
    },
    /// Somebody else reads the slot.
    #[error("replication slot {slot:?} is in use{}", by_process(*.active_pid))]
    SlotInUse {
        /// Which.
        slot: String,
        /// The process id of the server's process that holds it.
        active_pid: Option<i32>,
    },
    /// There is no such slot.
    #[error("replication slot {slot:?} does not exist")]
    SlotMissing {
        /// Which.
        slot: String,
    },
    /// There is such a slot already.
    #[error("replication slot {slot:?} exists already")]
    SlotExists {
        /// Which.
        slot: String,
    },
    /// The slot is a standby's copy of its primary's.
    #[error("replication slot {slot:?} is a standby's copy of its primary's slot")]
    SlotIsCopy {
        /// Which.
        slot: String,
    },
    /// The server has given the slot up.
    #[error("replication slot {slot:?} was invalidated by the server: {reason}")]
    SlotInvalidated {
        /// Which.
        slot: String,
        /// Why.
        reason: String,
    },
    /// The slot belongs to another database or output plugin.
    #[error("replication slot {slot:?} does not fit: {reason}")]
    SlotForeign {
        /// Which.
        slot: String,
        /// Why.
        reason: String,
    },
    /// The slot has moved beyond where the stream should begin: the server would skip the rest in silence.
    #[error(
        "replication slot {slot:?} has moved to {confirmed}, beyond {from}, where the stream should go on"
    )]
    SlotAhead {
        /// Which.
        slot: String,
        /// Where it stands.
        confirmed: Lsn,
        /// Where the stream should begin.
        from: Lsn,
    },
    /// The server's log ends before where the stream should begin: it is not the log that was read before.
    #[error("the server's log ends at {wal_end}, before {from}, where the stream should go on")]
    ServerBehind {
        /// Where the log ends.
        wal_end: Lsn,
        /// Where the stream should begin.
        from: Lsn,
    },
    /// A publication does not exist, or did not when the slot was made.
    #[error("a publication of the stream is missing: {0}")]
    PublicationMissing(Box<ServerError>),
    /// The server refuses the output plugin.
    #[error("the server does not allow the output plugin {plugin:?}: {error}")]
    PluginRefused {
        /// Which.
        plugin: String,
        /// The plugins that it allows now.
        allowed: Option<String>,
        /// What it said.
        error: Box<ServerError>,
    },
    /// The server refused a command.
    #[error("PostgreSQL refused to {action}: {error}")]
    Refused {
        /// What was tried: `create replication slot "walhook"`.
        action: String,
        /// What it said.
        error: Box<ServerError>,
    },
    /// The server sent a message of a type that this version does not know: its meaning is unknown, so
    /// reading on could lose something.
    #[error("the log has a message of the unknown type {:?}", char::from(*.0))]
    UnknownMessage(u8),
    /// A message other than a row change cannot be read.
    #[error("the log has a message that cannot be read: {what}")]
    Malformed {
        /// Which, and why.
        what: &'static str,
    },
}

fn by_process(pid: Option<i32>) -> String {
    pid.map_or_else(String::new, |pid| format!(" by the server's process {pid}"))
}

impl Remediable for Error {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Connection(error) => error.remedy(),
            Self::Disconnected { .. }
            | Self::Silent { .. }
            | Self::Stalled { .. }
            | Self::ShuttingDown { .. }
            | Self::Ended { .. }
            | Self::SlotInUse { .. }
            // a promotion may be under way
            | Self::SlotIsCopy { .. } => Remedy::Wait,
            Self::Refused { error, .. } => error.remedy(),
            Self::SlotMissing { .. }
            | Self::SlotExists { .. }
            | Self::SlotInvalidated { .. }
            | Self::SlotForeign { .. }
            | Self::SlotAhead { .. }
            | Self::ServerBehind { .. }
            | Self::PublicationMissing(_)
            | Self::PluginRefused { .. }
            | Self::UnknownMessage(_)
            | Self::Malformed { .. } => Remedy::CallOperator,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Connection(error) => return error.hint(),
            Self::SlotInUse { .. } => {
                "another process reads it: if that is no walhook that should, end it by \
                 pg_terminate_backend, or name another slot"
                    .to_owned()
            }
            Self::SlotIsCopy { .. } => {
                "it can be read once the standby is promoted; to read from the primary, name it in \
                 [source] url, or all hosts with target_session_attrs=primary"
                    .to_owned()
            }
            Self::SlotInvalidated { slot, .. } => {
                format!(
                    "changes are missing for good; to go on from what the server still has: \
                     select pg_drop_replication_slot({}); then: walhook resume --accept-gap",
                    literal(slot)
                )
            }
            Self::SlotForeign { slot, .. } => {
                format!(
                    "it is not walhook's: name another in [source] slot; or, if nobody needs it, select \
                     pg_drop_replication_slot({}); and, where walhook had its slot under that name before: \
                     walhook resume --accept-gap",
                    literal(slot)
                )
            }
            Self::SlotMissing { .. } | Self::SlotAhead { .. } | Self::ServerBehind { .. } => {
                "changes may be missing for good; to go on from what the server still has: \
                 walhook resume --accept-gap"
                    .to_owned()
            }
            Self::SlotExists { slot } => {
                format!(
                    "take it over by: walhook run --adopt-slot, or drop it: select pg_drop_replication_slot({});",
                    literal(slot)
                )
            }
            Self::PublicationMissing(_) => {
                "a slot must be younger than its publications: create them (walhook setup), then go on behind \
                 the changes from before by: walhook resume --accept-gap"
                    .to_owned()
            }
            Self::PluginRefused { plugin, allowed, .. } => {
                return Some(plugin_hint(plugin, allowed.as_deref()));
            }
            Self::Refused { error, .. } => return refusal_hint(error),
            Self::UnknownMessage(_) | Self::Malformed { .. } => {
                "the position stays where it is: update walhook, or report this with the server's version"
                    .to_owned()
            }
            _ => return None,
        };
        Some(hint)
    }
}

/// A string literal of SQL (with standard_conforming_strings, which every connection sets) and of the
/// replication commands, which know no other kind.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// A list of names, not one quoted string: that would be one unknown name, and pgoutput itself would be
/// refused.
fn plugin_hint(plugin: &str, allowed: Option<&str>) -> String {
    let mut names: Vec<&str> = allowed
        .unwrap_or("pgoutput, test_decoding")
        .split(',')
        .map(|name| name.trim().trim_matches('"'))
        .filter(|name| !name.is_empty())
        .collect();
    if !names.contains(&plugin) {
        names.push(plugin);
    }
    let is_plain = |name: &str| {
        name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
    };
    let names: Vec<String> =
        names.into_iter().map(|name| if is_plain(name) { name.to_owned() } else { literal(name) }).collect();
    format!("alter system set output_plugin_libraries = {}; select pg_reload_conf();", names.join(", "))
}

fn refusal_hint(error: &ServerError) -> Option<String> {
    let hint = match error.code.as_str() {
        "55000" => {
            "logical decoding needs on the server: alter system set wal_level = logical; and a restart"
        }
        "53400" => {
            "all slots are taken: alter system set max_replication_slots = …; and a restart, or drop one \
             that nobody reads (select * from pg_replication_slots)"
        }
        "42501" => "the role needs: alter role … replication;",
        _ => return error.hint.clone(),
    };
    Some(hint.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_plugin_is_added_to_a_list_and_never_quoted_with_it() {
        let check = |allowed, expected: &str| {
            let expected =
                format!("alter system set output_plugin_libraries = {expected}; select pg_reload_conf();");
            assert_eq!(plugin_hint("wal2json", allowed), expected);
        };
        check(Some("pgoutput, test_decoding"), "pgoutput, test_decoding, wal2json");
        check(Some("pgoutput,wal2json"), "pgoutput, wal2json");
        check(Some("\"Odd-Name\""), "'Odd-Name', wal2json");
        check(Some(""), "wal2json");
        check(None, "pgoutput, test_decoding, wal2json");
    }
}
