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
    /// The database has no data dictionary of an AR System.
    #[error("{}", no_dictionary(table, column.as_deref()))]
    NoDictionary {
        /// The table that is missing, or lacks something.
        table: &'static str,
        /// The column that it lacks.
        column: Option<String>,
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

    fn hint(&self) -> Option<String> {
        let is_missing = matches!(self, Self::NoDictionary { .. });
        is_missing.then(|| {
            "is it the right database? --schema may leave out the schema that it stands in".to_owned()
        })
    }
}

fn no_dictionary(table: &str, column: Option<&str>) -> String {
    let lack = column.map_or_else(String::new, |column| format!(" with a column {column}"));
    format!("this is no database of an AR System: there is no table {table}{lack}")
}
