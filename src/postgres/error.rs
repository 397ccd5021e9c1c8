//! What goes wrong with a connection, and what to do about it.

use crate::remedy::{Remediable, Remedy};
use bytes::Bytes;
use std::fmt;
use std::io;

/// What goes wrong with a connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be understood.
    #[error("the address of the database is wrong: {0}")]
    Address(String),
    /// There is no way to the host, or it broke.
    #[error("no connection to PostgreSQL at {host}")]
    Unreachable {
        /// Where.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The host does not answer.
    #[error("PostgreSQL at {host} did not answer within {seconds} s")]
    TimedOut {
        /// Where.
        host: String,
        /// The limit.
        seconds: u64,
    },
    /// TLS is wanted and the server has none.
    #[error("PostgreSQL at {host} does not offer TLS")]
    NoTls {
        /// Where.
        host: String,
    },
    /// TLS cannot be set up on our side.
    #[error("TLS for PostgreSQL at {host} cannot be set up")]
    TlsSetup {
        /// Where.
        host: String,
        /// Why.
        #[source]
        source: crate::tls::Error,
    },
    /// The TLS handshake failed.
    #[error("the TLS handshake with PostgreSQL at {host} failed")]
    Tls {
        /// Where.
        host: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The server refused the login.
    #[error("PostgreSQL at {host} refused the login as {user:?}: {error}")]
    Refused {
        /// Where.
        host: String,
        /// The role.
        user: String,
        /// The database.
        database: String,
        /// What it said.
        error: Box<ServerError>,
    },
    /// The server wants a password, and there is none.
    #[error("PostgreSQL at {host} asks for the password of {user:?}, and none is known")]
    NoPassword {
        /// Where.
        host: String,
        /// The role.
        user: String,
    },
    /// Logging in failed on our side, or the server asks for what we do not do.
    #[error("the login at PostgreSQL at {host} failed: {reason}")]
    Login {
        /// Where.
        host: String,
        /// Why.
        reason: String,
    },
    /// No host of several is of the wanted kind.
    #[error("no host of {hosts} is {wanted}")]
    NoFittingHost {
        /// Which were tried.
        hosts: String,
        /// `target_session_attrs`.
        wanted: &'static str,
    },
    /// The server answered a statement with an error.
    #[error("PostgreSQL: {0}")]
    Statement(Box<ServerError>),
    /// The server sent what the protocol does not allow.
    #[error("PostgreSQL at {host} does not keep to the protocol: {what}")]
    Protocol {
        /// Where.
        host: String,
        /// What was wrong.
        what: String,
    },
    /// An ordinary SQL session said no, or broke off.
    #[error("PostgreSQL")]
    Server(#[source] tokio_postgres::Error),
}

impl Remediable for Error {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Unreachable { .. } | Self::TimedOut { .. } | Self::NoFittingHost { .. } => Remedy::Wait,
            // the connection broke in the middle of the handshake
            Self::Tls { source, .. } if is_of_the_network(source) => Remedy::Wait,
            Self::Refused { error, .. } | Self::Statement(error) => error.remedy(),
            Self::Server(error) => match error.as_db_error() {
                Some(error) => ServerError::from(error).remedy(),
                None => Remedy::Wait,
            },
            Self::Address(_)
            | Self::NoTls { .. }
            | Self::TlsSetup { .. }
            | Self::Tls { .. }
            | Self::NoPassword { .. }
            | Self::Login { .. }
            | Self::Protocol { .. } => Remedy::CallOperator,
        }
    }

    fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Refused { user, database, error, .. } => return error.login_hint(user, database),
            Self::Statement(error) => return error.hint.clone(),
            Self::Server(error) => return error.as_db_error()?.hint().map(str::to_owned),
            Self::NoTls { .. } => {
                "set \"ssl = on\" with a certificate on the server, or sslmode=prefer in the address"
            }
            Self::Tls { source, .. } if is_of_the_network(source) => return None,
            Self::Tls { .. } => {
                "check that sslrootcert holds the authority that signed the server's certificate, and that \
                 the certificate's subjectAltName names the host of the address"
            }
            Self::NoPassword { .. } => {
                "give a password by PGPASSWORD, by a line in ~/.pgpass, or in the address"
            }
            Self::Login { .. } => "use sslmode=require, or let pg_hba.conf ask for scram-sha-256",
            _ => return None,
        };
        Some(hint.to_owned())
    }
}

/// Whether the connection is to blame, and neither side's settings.
fn is_of_the_network(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, TimedOut, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | TimedOut | UnexpectedEof)
}

/// An error or a notice as the server reports it (source: PostgreSQL's documentation, "Error and Notice Message Fields").
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL`, `PANIC`; of a notice `WARNING`, `NOTICE` and less.
    pub severity: String,
    /// The SQLSTATE, five characters.
    pub code: String,
    /// What happened, in the server's language.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What the server advises.
    pub hint: Option<String>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {}", self.message, self.code)?;
        match &self.detail {
            Some(detail) => write!(f, "; {detail})"),
            None => f.write_str(")"),
        }
    }
}

impl From<&tokio_postgres::error::DbError> for ServerError {
    fn from(error: &tokio_postgres::error::DbError) -> Self {
        Self {
            severity: error.severity().to_owned(),
            code: error.code().code().to_owned(),
            message: error.message().to_owned(),
            detail: error.detail().map(str::to_owned),
            hint: error.hint().map(str::to_owned),
        }
    }
}

impl ServerError {
    /// Reads the body of an `ErrorResponse` or `NoticeResponse`: fields of a type byte and a text that ends with a zero, up to a
    /// zero byte. What cannot be read is left out.
    pub(crate) fn read(body: &Bytes) -> Self {
        let mut error = Self::default();
        let mut rest: &[u8] = body;
        while let Some((kind, tail)) = rest.split_first() {
            let Some(end) = tail.iter().position(|byte| *byte == 0) else { break };
            let text = String::from_utf8_lossy(&tail[..end]).into_owned();
            match kind {
                b'S' if error.severity.is_empty() => error.severity = text,
                // the severity that is never translated
                b'V' => error.severity = text,
                b'C' => error.code = text,
                b'M' => error.message = text,
                b'D' => error.detail = Some(text),
                b'H' => error.hint = Some(text),
                _ => {}
            }
            rest = &tail[end + 1..];
        }
        error
    }

    /// Whether the connection ends with it.
    pub fn is_fatal(&self) -> bool {
        matches!(self.severity.as_str(), "FATAL" | "PANIC")
    }

    /// By the class of the SQLSTATE: connections, resources, shutdowns, conflicts and the system pass; the
    /// rest does not.
    pub fn remedy(&self) -> Remedy {
        let class = self.code.get(..2).unwrap_or_default();
        match (class, self.code.as_str()) {
            // a setting such as max_replication_slots is used up
            (_, "53400") => Remedy::CallOperator,
            // the database was dropped
            (_, "57P04") => Remedy::CallOperator,
            ("08" | "40" | "53" | "57" | "58", _) | (_, "55006" | "55P03") => Remedy::Wait,
            _ => Remedy::CallOperator,
        }
    }

    fn speaks_of(&self, word: &str) -> bool {
        self.message.contains(word) || self.detail.as_ref().is_some_and(|detail| detail.contains(word))
    }

    /// What to do about a refused login.
    fn login_hint(&self, user: &str, database: &str) -> Option<String> {
        let user = postgres_protocol::escape::escape_identifier(user);
        let user = user.trim();
        match self.code.as_str() {
            "28P01" => Some(
                "check the password: in the address, in PGPASSWORD, or in ~/.pgpass (in this order)"
                    .to_owned(),
            ),
            "28000" => Some(format!(
                "the role must exist (`walhook setup --create-role` with an administrator's --database-url \
                 makes it) and may log in, and pg_hba.conf needs a line for it, such as: \
                 host {database} {user} ADDRESS/MASK scram-sha-256"
            )),
            "3D000" => Some("name an existing database in the address".to_owned()),
            // the privilege's name is not translated
            "42501" if self.speaks_of("CONNECT") => {
                let database = postgres_protocol::escape::escape_identifier(database);
                Some(format!("grant connect on database {} to {user};", database.trim()))
            }
            // a walsender needs it (a superuser has it)
            "42501" => Some(format!("alter role {user} replication;")),
            "53300" => {
                Some("raise max_connections or max_wal_senders, or the role's connection limit".to_owned())
            }
            _ => self.hint.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_error_is_read_whatever_it_sends() {
        let body = Bytes::from_static(b"SFATAL\0VFATAL\0C28P01\0Mno\xff\0Fauth.c\0\0");
        let error = ServerError::read(&body);
        assert_eq!(error.to_string(), "no\u{fffd} (SQLSTATE 28P01)");
        assert!(error.is_fatal());
        assert_eq!(error.remedy(), Remedy::CallOperator);
        for cut in 0..body.len() {
            ServerError::read(&body.slice(..cut));
        }
    }

    /// Who lost CONNECT on the database was told to give the role REPLICATION, which it had.
    #[test]
    fn a_missing_privilege_is_told_apart() {
        let hint = |message: &str, detail: Option<&str>| {
            let (code, detail) = ("42501".to_owned(), detail.map(str::to_owned));
            let error = ServerError { code, message: message.to_owned(), detail, ..ServerError::default() };
            error.login_hint("walhook", "help desk").unwrap()
        };
        let detail = Some("User does not have CONNECT privilege.");
        assert_eq!(
            hint("permission denied for database \"help desk\"", detail),
            "grant connect on database \"help desk\" to \"walhook\";"
        );
        assert_eq!(
            hint("must be superuser or replication role to start walsender", None),
            "alter role \"walhook\" replication;"
        );
    }

    /// A handshake that the network broke off called for the operator, and for another certificate.
    #[test]
    fn a_handshake_that_breaks_off_is_the_networks() {
        let broken = |kind: io::ErrorKind| Error::Tls { host: "db".into(), source: kind.into() };
        assert_eq!(broken(io::ErrorKind::UnexpectedEof).remedy(), Remedy::Wait);
        assert_eq!(broken(io::ErrorKind::UnexpectedEof).hint(), None);
        // a certificate that does not fit
        assert_eq!(broken(io::ErrorKind::InvalidData).remedy(), Remedy::CallOperator);
        assert!(broken(io::ErrorKind::InvalidData).hint().is_some());
    }

    #[test]
    fn shutdowns_and_lack_of_room_pass_and_the_rest_does_not() {
        for (code, remedy) in [
            ("57P01", Remedy::Wait),
            ("57P03", Remedy::Wait),
            ("53300", Remedy::Wait),
            ("40001", Remedy::Wait),
            ("53400", Remedy::CallOperator),
            ("42P01", Remedy::CallOperator),
            ("", Remedy::CallOperator),
        ] {
            let error = ServerError { code: code.to_owned(), ..ServerError::default() };
            assert_eq!(error.remedy(), remedy, "{code}");
        }
    }
}
