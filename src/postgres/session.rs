//! Ordinary SQL sessions, by tokio-postgres over our own wire.

use super::address::{self, Address, Host};
use super::open::{self, Connected};
use super::wire::{self, Wire};
use super::{Error, settings};
use std::convert::Infallible;
use std::error::Error as _;
use std::future::{Ready, poll_fn, ready};
use tokio::sync::mpsc;
use tokio_postgres::AsyncMessage;
use tokio_postgres::config::{ChannelBinding, SslMode, SslNegotiation};

/// How many notifications may wait to be asked for.
const NOTICES_MAX: usize = 4096;

/// An ordinary SQL session; ends when dropped.
pub struct Session {
    client: tokio_postgres::Client,
    notices: mpsc::Receiver<String>,
    _driver: tokio::task::JoinSet<()>,
}

impl Session {
    /// What the next notification says on a channel that this session listens to (`LISTEN`); none when the session has
    /// ended. Where nobody asks for long, some are lost.
    pub async fn notified(&mut self) -> Option<String> {
        self.notices.recv().await
    }

    /// The same of what has come already.
    pub fn notified_already(&mut self) -> Option<String> {
        self.notices.try_recv().ok()
    }
}

impl std::ops::Deref for Session {
    type Target = tokio_postgres::Client;

    fn deref(&self) -> &Self::Target {
        &self.client
    }
}

impl std::ops::DerefMut for Session {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.client
    }
}

/// Opens an ordinary SQL session under the given `application_name` (the address may name another one), with
/// the settings of [`settings::SETTINGS`].
pub async fn connect(address: &Address, application_name: &str) -> Result<Session, Error> {
    open::open(address, application_name).await
}

impl Connected for Session {
    async fn log_in(wire: Wire, address: &Address, host: &Host, name: &str) -> Result<Self, Error> {
        let mut config = tokio_postgres::Config::new();
        config
            .user(&address.user)
            .dbname(&address.database)
            .application_name(name)
            .options(settings::as_options(address.options.as_deref()))
            // TLS, if any, is done: the wire says what it is bound to
            .ssl_mode(SslMode::Require)
            .ssl_negotiation(SslNegotiation::Direct)
            .channel_binding(match address.channel_binding {
                address::ChannelBinding::Disable => ChannelBinding::Disable,
                address::ChannelBinding::Prefer => ChannelBinding::Prefer,
                address::ChannelBinding::Require => ChannelBinding::Require,
            });
        let password = address.password_for(host)?;
        if let Some(password) = &password {
            config.password(password.expose());
        }
        let opened = config.connect_raw(wire, Opened).await;
        let (client, mut connection) =
            opened.map_err(|error| login_error(error, address, host, password.is_some()))?;
        let has_transaction_timeout =
            connection.parameter("server_version").is_some_and(settings::has_transaction_timeout);
        let mut driver = tokio::task::JoinSet::new();
        let (told, notices) = mpsc::channel(NOTICES_MAX);
        driver.spawn(async move {
            // the client's calls tell of the connection's end
            while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
                if let AsyncMessage::Notification(notification) = message {
                    let _ = told.try_send(notification.payload().to_owned());
                }
            }
        });
        if has_transaction_timeout {
            client.batch_execute(settings::NO_TRANSACTION_TIMEOUT).await.map_err(Error::Server)?;
        }
        Ok(Self { client, notices, _driver: driver })
    }

    async fn ask(&mut self, statement: &'static str) -> Result<String, Error> {
        let row = self.client.query_one(statement, &[]).await.map_err(Error::Server)?;
        row.try_get(0).map_err(Error::Server)
    }
}

fn login_error(error: tokio_postgres::Error, address: &Address, host: &Host, has_password: bool) -> Error {
    if let Some(said) = error.as_db_error() {
        return Error::Refused {
            host: host.to_string(),
            user: address.user.clone(),
            database: address.database.clone(),
            error: Box::new(said.into()),
        };
    }
    let reason = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    if !has_password && reason == "password missing" {
        return Error::NoPassword { host: host.to_string(), user: address.user.clone() };
    }
    match error.into_source().map(<dyn std::error::Error + Send + Sync>::downcast::<std::io::Error>) {
        Some(Ok(source)) => wire::broken(&host.to_string(), *source),
        Some(Err(_)) => Error::Login { host: host.to_string(), reason },
        None => Error::Unreachable { host: host.to_string(), source: std::io::Error::other(reason) },
    }
}

/// Takes the wire as it is: its TLS handshake, if any, is behind it.
struct Opened;

impl tokio_postgres::tls::TlsConnect<Wire> for Opened {
    type Stream = Wire;
    type Error = Infallible;
    type Future = Ready<Result<Wire, Infallible>>;

    fn connect(self, wire: Wire) -> Self::Future {
        ready(Ok(wire))
    }
}
