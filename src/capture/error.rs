//! What stops capture.

use crate::remedy::{Remediable, Remedy};
use crate::{catalog, postgres, queue, source};

/// What stops capture. Dispatch goes on meanwhile.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The stream.
    #[error("the stream stopped")]
    Source(#[from] source::Error),
    /// The queue.
    #[error("the queue refused")]
    Queue(#[from] queue::Error),
    /// The catalogue.
    #[error("the forms could not be bound to their tables")]
    Catalog(#[from] catalog::Error),
    /// A connection.
    #[error("no connection to the source database")]
    Postgres(#[from] postgres::Error),
    /// The registration table.
    #[error("the registrations could not be read")]
    Registry(#[from] crate::registry::Error),
    /// Forms that do not fit their tables.
    #[error("{}", reasons.join("; "))]
    Forms {
        /// What is wrong with each and what to do.
        reasons: Vec<String>,
    },
    /// Webhooks whose conditions do not fit their forms.
    #[error("{}", reasons.join("\n"))]
    Conditions {
        /// What is wrong with each, drawn.
        reasons: Vec<String>,
    },
    /// Changes are missing, or may be.
    #[error("changes may be missing: {reason}")]
    Gap {
        /// Why.
        reason: String,
    },
    /// The slot is not ours.
    #[error("replication slot {slot:?} exists, and this queue knows nothing of it")]
    ForeignSlot {
        /// Its name.
        slot: String,
    },
    /// The slot would fail while decoding.
    #[error("publication {publication:?} does not exist")]
    NoPublication {
        /// Its name.
        publication: String,
    },
    /// A transaction does not even fit on disk.
    #[error("transaction {xid} has more than {staging_bytes_max} bytes of changes of forms")]
    TransactionTooLarge {
        /// The transaction.
        xid: u32,
        /// The limit.
        staging_bytes_max: u64,
    },
}

impl Remediable for Error {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Source(error) => error.remedy(),
            Self::Queue(error) => error.remedy(),
            Self::Catalog(error) => error.remedy(),
            Self::Postgres(error) => error.remedy(),
            Self::Registry(error) => error.remedy(),
            Self::Forms { .. }
            | Self::Conditions { .. }
            | Self::Gap { .. }
            | Self::ForeignSlot { .. }
            | Self::NoPublication { .. }
            | Self::TransactionTooLarge { .. } => Remedy::CallOperator,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Source(error) => error.hint(),
            Self::Queue(error) => error.hint(),
            Self::Catalog(error) => error.hint(),
            Self::Postgres(error) => error.hint(),
            Self::Registry(error) => error.hint(),
            Self::Forms { .. } | Self::Conditions { .. } => Some("`walhook check` tells everything that is wrong".into()),
            Self::Gap { .. } => Some(
                "find out which changes are missing, then go on behind them with `walhook resume --accept-gap`"
                    .into(),
            ),
            Self::ForeignSlot { slot } => Some(format!(
                "if it is meant for this walhook, start once with `walhook run --adopt-slot`; if it is left over, \
                 `select pg_drop_replication_slot('{slot}')`"
            )),
            Self::NoPublication { .. } => {
                Some("`walhook setup` prints what the database needs, `walhook setup --apply` does it".into())
            }
            Self::TransactionTooLarge { .. } => {
                Some("raise `staging_bytes_max` in [capture] and restart, disk space permitting".into())
            }
        }
    }
}
