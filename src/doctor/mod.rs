//! What a database needs for walhook: found, printed, applied, removed.
//!
//! [`facts`] reads the catalogue once, as data. Everything else judges that data without touching the server:
//! [`check()`](check::check) says what is wrong and what mends it, [`setup::plan`] and [`teardown::plan`] say
//! which statements are wanted. Only [`plan::apply`] changes anything.
//!
//! Publishing a table makes PostgreSQL refuse its updates and deletes when it has no usable replica identity.
//! So a table without one goes into a second publication that publishes inserts alone, and no table is altered
//! unless the operator said so.

pub mod certificate;
pub mod check;
pub mod conditions;
pub mod endpoints;
pub mod facts;
pub mod finding;
mod forms;
pub mod handover;
mod happenings;
mod names;
pub mod plan;
mod publications;
pub mod registration;
pub mod setup;
mod standbys;
pub mod standing;
pub mod teardown;
pub mod wanted;

use crate::form::Form;
use crate::remedy::{Remediable, Remedy};
use std::sync::Arc;

pub use finding::{Finding, Mend, Report, Severity};
pub use plan::{Plan, Step};

/// What walhook wants of a source database, as plain data.
#[derive(Clone, Debug)]
pub struct Needs {
    /// The forms.
    pub forms: Vec<Arc<Form>>,
    /// The replication slot's name.
    pub slot: String,
    /// The publication's name; the second one has this name and `_inserts`.
    pub publication: String,
    /// The output plugin: `pgoutput`.
    pub plugin: String,
    /// The role that `run` logs in as; none means the one that asks now.
    pub role: Option<String>,
    /// A role that may register webhooks.
    pub registrar: Option<String>,
}

impl Needs {
    /// The name of the publication for tables whose updates and deletes must not be published.
    pub fn inserts_publication(&self) -> String {
        inserts_publication(&self.publication)
    }

    /// Both publications' names, as `START_REPLICATION` wants them too.
    pub fn publications(&self) -> [String; 2] {
        [self.publication.clone(), self.inserts_publication()]
    }
}

/// The name of the publication that stands beside `publication` and publishes inserts alone.
pub fn inserts_publication(publication: &str) -> String {
    format!("{publication}_inserts")
}

/// What goes wrong with looking at a database or preparing it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The catalogue could not be read.
    #[error("the {what} could not be read from the catalogue")]
    Catalogue {
        /// What was asked for: `slot`.
        what: &'static str,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The catalogue's answer was not understood.
    #[error("the catalogue's answer about the {what} was not understood")]
    Answer {
        /// What was asked for.
        what: &'static str,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// A statement of a plan failed.
    #[error("the statement to {purpose} failed")]
    Statement {
        /// What it is for.
        purpose: String,
        /// The statement.
        sql: String,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// The slot is being read.
    #[error("replication slot {slot:?} is in use by the server's process {active_pid}")]
    SlotActive {
        /// Its name.
        slot: String,
        /// The process.
        active_pid: i32,
    },
    /// The server is a standby: nothing can be created there.
    #[error("the server is a standby; publications are made on its primary")]
    Standby,
    /// A form was named that the configuration does not have.
    #[error("there is no form {0:?}")]
    NoSuchForm(String),
}

impl Remediable for Error {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Catalogue { source, .. } if source.as_db_error().is_none() => Remedy::Wait,
            _ => Remedy::CallOperator,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Catalogue { source, .. }
                if source.code() == Some(&tokio_postgres::error::SqlState::CHARACTER_NOT_IN_REPERTOIRE) =>
            {
                Some(
                    "the name of a table or column is not valid UTF-8 (in a database in SQL_ASCII nobody looks): rename it"
                        .into(),
                )
            }
            Self::SlotActive { .. } => Some("stop the walhook that reads it, then try again".into()),
            Self::Statement { source, .. }
                if source.code() == Some(&tokio_postgres::error::SqlState::LOCK_NOT_AVAILABLE) =>
            {
                Some("the table was locked for too long; try again at a quieter time".into())
            }
            Self::Standby => Some("give --database-url of the primary".into()),
            _ => None,
        }
    }
}
