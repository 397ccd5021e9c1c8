//! Asking the catalogue.

use crate::postgres::{self, Address, Session};
use crate::remedy::{Remediable, Remedy};
use std::time::Duration;
use tokio_postgres::types::ToSql;

/// How long the catalogue may take to answer one question. While it is waited for, the stream stands still: a
/// session whose other end is gone must not hold it up for long.
pub(super) const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// What goes wrong with reading the catalogue.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no session.
    #[error("the catalogue cannot be reached")]
    Session(#[source] postgres::Error),
    /// The server did not answer a question, or in another shape than PostgreSQL does.
    #[error("the catalogue's {what} could not be read")]
    Query {
        /// What was asked for.
        what: &'static str,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The server says nothing.
    #[error("the catalogue's {what} did not come within {} seconds", ANSWER_TIME_MAX.as_secs())]
    Silent {
        /// What was asked for.
        what: &'static str,
    },
}

impl Error {
    pub(super) fn shape(what: &'static str) -> impl FnOnce(tokio_postgres::Error) -> Self {
        move |source| Self::Query { what, source }
    }
}

impl Remediable for Error {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Session(error) => error.remedy(),
            Self::Query { .. } | Self::Silent { .. } => Remedy::Wait,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Session(error) => error.hint(),
            Self::Query { .. } | Self::Silent { .. } => None,
        }
    }
}

/// Opens a session for questions to the catalogue.
pub(super) async fn connect(address: &Address) -> Result<Session, Error> {
    let connected =
        tokio::time::timeout(ANSWER_TIME_MAX, postgres::connect(address, "walhook catalog")).await;
    connected.map_err(|_| Error::Silent { what: "session" })?.map_err(Error::Session)
}

/// Asks the catalogue.
pub(super) struct Reader<'a> {
    pub(super) session: &'a Session,
}

impl Reader<'_> {
    pub(super) async fn query(
        &self,
        what: &'static str,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, Error> {
        let answer = tokio::time::timeout(ANSWER_TIME_MAX, self.session.query(statement, parameters)).await;
        answer.map_err(|_| Error::Silent { what })?.map_err(|source| Error::Query { what, source })
    }
}
