//! Connections to PostgreSQL: addresses, TLS, authentication, sessions.
//!
//! Two kinds of connection stand on one way of opening them: [`Session`] for ordinary SQL and the raw
//! connection that `source` speaks replication over. Both have the same hosts, TLS modes, passwords and
//! settings.

mod address;
mod environment;
mod error;
#[doc(hidden)]
pub mod framing;
mod open;
mod parameters;
mod passfile;
pub(crate) mod raw;
mod session;
mod settings;
mod wire;

pub use address::{
    Address, CONNECT_TIMEOUT_DEFAULT, ChannelBinding, Host, PORT_DEFAULT, Place, SslMode, TargetSession,
    TlsSettings,
};
pub use environment::Environment;
pub use error::{Error, ServerError};
pub use session::{Session, connect};
pub use settings::SETTINGS;
pub(crate) use settings::major_version;

/// What the server shows of our sessions.
pub const APPLICATION_NAME: &str = "walhook";
