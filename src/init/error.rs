//! Why nothing can be proposed.

use crate::remedy::{Remediable, Remedy};

/// Why nothing can be proposed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The server does not answer as it should.
    #[error("the catalogue cannot be read ({what})")]
    Catalogue {
        /// What was asked for.
        what: &'static str,
        /// What the server said.
        source: tokio_postgres::Error,
    },
    /// Its answer is not what was asked for.
    #[error("the catalogue's answer cannot be understood ({what})")]
    Answer {
        /// What was asked for.
        what: &'static str,
        /// What is wrong with it.
        source: serde_json::Error,
    },
}

impl Remediable for Error {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Catalogue { source, .. } if source.as_db_error().is_none() => Remedy::Wait,
            _ => Remedy::CallOperator,
        }
    }
}
