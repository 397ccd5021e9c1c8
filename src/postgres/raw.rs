//! A connection that speaks the wire protocol itself: logging in, simple queries, and the frames that
//! replication is made of (source: PostgreSQL's documentation, "Frontend/Backend Protocol").

use super::address::{Address, ChannelBinding, Host};
pub(crate) use super::framing::Frame;
use super::framing::{BadLength, Frames};
use super::open::{self, Connected};
use super::wire::{self, Wire};
use super::{Error, ServerError, settings};
use crate::secret::Secret;
use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{self, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256};
use postgres_protocol::message::frontend;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The longest frame before the login is complete, in bytes: until then, anybody may be at the other end.
const LOGIN_FRAME_BYTES_MAX: usize = 64 * 1024;
/// The longest frame, in bytes: PostgreSQL itself builds none longer than 1 GiB.
const FRAME_BYTES_MAX: usize = 1 << 30;

/// Rows of a simple query: texts, or NULL.
pub(crate) type TextRows = Vec<Vec<Option<String>>>;

/// A connection in the replication mode of one database.
#[derive(Debug)]
pub(crate) struct RawConnection {
    wire: Wire,
    frames: Frames,
    host: String,
    server_version: String,
    /// The server's process behind it.
    process: Option<i32>,
}

/// Opens a connection with `replication=database`.
pub(crate) async fn connect(address: &Address, application_name: &str) -> Result<RawConnection, Error> {
    open::open(address, application_name).await
}

impl RawConnection {
    /// A connection past its login, for tests of what comes then.
    #[cfg(test)]
    pub(crate) fn over(stream: tokio::net::UnixStream) -> Self {
        Self {
            wire: Wire::over(stream),
            frames: Frames::new(FRAME_BYTES_MAX),
            host: "test".to_owned(),
            server_version: String::new(),
            process: None,
        }
    }

    /// Where the server is, for messages.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The number of the server's process behind it, if it has told.
    pub(crate) fn process(&self) -> Option<i32> {
        self.process
    }

    /// The server's version as it reports it: `15.20 (Debian 15.20-0+deb12u1)`.
    pub(crate) fn server_version(&self) -> &str {
        &self.server_version
    }

    /// The next frame. Dropping the future loses nothing.
    pub(crate) async fn next(&mut self) -> Result<Frame, Error> {
        loop {
            if let Some(frame) = self.buffered()? {
                return Ok(frame);
            }
            self.fill().await?;
        }
    }

    /// The next frame, if it has arrived.
    pub(crate) fn buffered(&mut self) -> Result<Option<Frame>, Error> {
        self.frames.cut().map_err(|length| self.overlong(length))
    }

    async fn fill(&mut self) -> Result<(), Error> {
        let room = match self.frames.room() {
            Ok(room) => room,
            Err(length) => return Err(self.overlong(length)),
        };
        match self.wire.read_buf(room).await {
            Ok(0) => Err(self.unreachable(io::ErrorKind::UnexpectedEof.into())),
            Ok(_) => Ok(()),
            Err(error) => Err(self.unreachable(error)),
        }
    }

    /// Sends bytes that are whole messages.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let sent = async {
            self.wire.write_all(bytes).await?;
            self.wire.flush().await
        };
        sent.await.map_err(|error| self.unreachable(error))
    }

    /// Runs a statement, SQL or a replication command, and reads its rows. An error of the statement leaves
    /// the connection usable.
    pub(crate) async fn query(&mut self, statement: &str) -> Result<TextRows, Error> {
        self.send_query(statement).await?;
        let mut rows = TextRows::new();
        let mut refusal = None;
        loop {
            let frame = self.next().await?;
            match frame.tag {
                b'D' => {
                    let row = read_row(frame.body).ok_or_else(|| self.protocol("a row".to_owned()))?;
                    rows.push(row);
                }
                b'E' => {
                    let error = ServerError::read(&frame.body);
                    if error.is_fatal() {
                        return Err(Error::Statement(Box::new(error)));
                    }
                    refusal = Some(Box::new(error));
                }
                b'Z' => return refusal.map_or(Ok(rows), |error| Err(Error::Statement(error))),
                b'T' | b'C' | b'I' | b'N' | b'S' | b'A' => {}
                tag => return Err(self.unexpected(tag)),
            }
        }
    }

    /// Sends a statement without reading its answer.
    pub(crate) async fn send_query(&mut self, statement: &str) -> Result<(), Error> {
        let mut message = BytesMut::new();
        frontend::query(statement, &mut message).map_err(|error| self.protocol(error.to_string()))?;
        self.send(&message).await
    }

    /// Reads up to the point where the server takes the next statement.
    pub(crate) async fn until_ready(&mut self) -> Result<(), Error> {
        while self.next().await?.tag != b'Z' {}
        Ok(())
    }

    /// A message that has no place here.
    pub(crate) fn unexpected(&self, tag: u8) -> Error {
        self.protocol(format!("an unexpected message of type {:?}", char::from(tag)))
    }

    fn overlong(&self, BadLength(length): BadLength) -> Error {
        self.protocol(format!("a message of {length} bytes"))
    }

    fn protocol(&self, what: String) -> Error {
        Error::Protocol { host: self.host.clone(), what }
    }

    fn unreachable(&self, source: io::Error) -> Error {
        wire::broken(&self.host, source)
    }

    /// Reads a frame of the login; an error of the server ends it.
    async fn next_of_login(&mut self, address: &Address) -> Result<Frame, Error> {
        loop {
            let frame = self.next().await?;
            match frame.tag {
                b'E' => {
                    return Err(Error::Refused {
                        host: self.host.clone(),
                        user: address.user.clone(),
                        database: address.database.clone(),
                        error: Box::new(ServerError::read(&frame.body)),
                    });
                }
                b'N' => {}
                b'v' => return Err(self.protocol("it does not speak version 3.0".to_owned())),
                _ => return Ok(frame),
            }
        }
    }

    /// Answers the server's requests until it is content.
    async fn authenticate(&mut self, address: &Address, host: &Host) -> Result<(), Error> {
        let mut is_bound = false;
        loop {
            let frame = self.next_of_login(address).await?;
            let mut body = frame.body;
            if frame.tag != b'R' || body.len() < 4 {
                return Err(self.unexpected(frame.tag));
            }
            let request = body.get_u32();
            if request != 0 && request != 10 && address.channel_binding == ChannelBinding::Require {
                break;
            }
            match request {
                0 if !is_bound && address.channel_binding == ChannelBinding::Require => break,
                0 => return Ok(()),
                3 => {
                    let password = self.password(address, host)?;
                    self.send_password(password.expose().as_bytes()).await?;
                }
                5 => {
                    let password = self.password(address, host)?;
                    let salt = body.get(..4).and_then(|salt| salt.try_into().ok());
                    let salt = salt.ok_or_else(|| self.protocol("an md5 request without salt".to_owned()))?;
                    let hash = md5_hash(address.user.as_bytes(), password.expose().as_bytes(), salt);
                    self.send_password(hash.as_bytes()).await?;
                }
                10 => is_bound = self.authenticate_sasl(address, host, &body).await?,
                other => {
                    return Err(self.login(format!("the server asks for authentication method {other}")));
                }
            }
        }
        Err(self.login("channel_binding=require, but the server does not offer it".to_owned()))
    }

    fn login(&self, reason: String) -> Error {
        Error::Login { host: self.host.clone(), reason }
    }

    fn password(&self, address: &Address, host: &Host) -> Result<Secret, Error> {
        let missing = || Error::NoPassword { host: self.host.clone(), user: address.user.clone() };
        address.password_for(host)?.ok_or_else(missing)
    }

    async fn send_password(&mut self, password: &[u8]) -> Result<(), Error> {
        let mut message = BytesMut::new();
        frontend::password_message(password, &mut message).map_err(|error| self.login(error.to_string()))?;
        self.send(&message).await
    }

    /// SCRAM; the answer is whether it was bound to the TLS channel.
    async fn authenticate_sasl(
        &mut self,
        address: &Address,
        host: &Host,
        mechanisms: &Bytes,
    ) -> Result<bool, Error> {
        let offers = |name: &str| mechanisms.split(|byte| *byte == 0).any(|offer| offer == name.as_bytes());
        let end_point =
            self.wire.end_point.clone().filter(|_| address.channel_binding != ChannelBinding::Disable);
        let (mechanism, binding) = match end_point {
            Some(hash) if offers(SCRAM_SHA_256_PLUS) => {
                (SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(hash))
            }
            _ if address.channel_binding == ChannelBinding::Require => {
                let reason = if self.wire.is_encrypted() {
                    "channel_binding=require, but the server does not offer it"
                } else {
                    "channel_binding=require, but the connection is not encrypted"
                };
                return Err(self.login(reason.to_owned()));
            }
            // "we could, you do not seem to": the server notices if somebody took the offer out
            Some(_) => (SCRAM_SHA_256, sasl::ChannelBinding::unrequested()),
            None => (SCRAM_SHA_256, sasl::ChannelBinding::unsupported()),
        };
        if !offers(mechanism) {
            return Err(self.login("the server offers no SASL mechanism that is known here".to_owned()));
        }
        let password = self.password(address, host)?;
        let mut scram = ScramSha256::new(password.expose().as_bytes(), binding);
        let mut message = BytesMut::new();
        frontend::sasl_initial_response(mechanism, scram.message(), &mut message)
            .map_err(|error| self.login(error.to_string()))?;
        self.send(&message).await?;

        let challenge = self.sasl_body(address, 11).await?;
        scram.update(&challenge).map_err(|error| self.login(error.to_string()))?;
        message.clear();
        frontend::sasl_response(scram.message(), &mut message)
            .map_err(|error| self.login(error.to_string()))?;
        self.send(&message).await?;

        let proof = self.sasl_body(address, 12).await?;
        scram.finish(&proof).map_err(|error| self.login(error.to_string()))?;
        Ok(mechanism == SCRAM_SHA_256_PLUS)
    }

    async fn sasl_body(&mut self, address: &Address, expected: u32) -> Result<Bytes, Error> {
        let frame = self.next_of_login(address).await?;
        let mut body = frame.body;
        if frame.tag != b'R' || body.len() < 4 || body.get_u32() != expected {
            return Err(self.unexpected(frame.tag));
        }
        Ok(body)
    }
}

impl Connected for RawConnection {
    async fn log_in(wire: Wire, address: &Address, host: &Host, name: &str) -> Result<Self, Error> {
        let mut connection = Self {
            wire,
            frames: Frames::new(LOGIN_FRAME_BYTES_MAX),
            host: host.to_string(),
            server_version: String::new(),
            process: None,
        };
        let mut parameters = vec![
            ("user", address.user.as_str()),
            ("database", address.database.as_str()),
            ("replication", "database"),
            ("client_encoding", "UTF8"),
            ("application_name", name),
        ];
        let options = settings::as_options(address.options.as_deref());
        parameters.push(("options", &options));
        let mut message = BytesMut::new();
        frontend::startup_message(parameters, &mut message)
            .map_err(|error| connection.login(error.to_string()))?;
        connection.send(&message).await?;
        connection.authenticate(address, host).await?;
        let mut is_ascii = false;
        loop {
            let mut frame = connection.next_of_login(address).await?;
            match frame.tag {
                b'Z' => break,
                b'S' => {
                    let mut parts = frame.body.split(|byte| *byte == 0);
                    let (name, value) = (parts.next(), parts.next().unwrap_or_default());
                    if name == Some(b"server_version") {
                        connection.server_version = String::from_utf8_lossy(value).into_owned();
                    }
                    is_ascii |= name == Some(b"server_encoding") && value == b"SQL_ASCII";
                }
                b'K' => connection.process = frame.body.try_get_i32().ok(),
                tag => return Err(connection.unexpected(tag)),
            }
        }
        connection.frames.allow(FRAME_BYTES_MAX);
        if settings::has_transaction_timeout(&connection.server_version) {
            connection.query(settings::NO_TRANSACTION_TIMEOUT).await?;
        }
        if is_ascii {
            // such a database holds any bytes; asked for UTF8, the server would check them and break the stream
            // off at the first row that is none, again and again
            connection.query("set client_encoding = 'SQL_ASCII'").await?;
        }
        Ok(connection)
    }

    async fn ask(&mut self, statement: &'static str) -> Result<String, Error> {
        let rows = self.query(statement).await?;
        let value = rows.into_iter().next().and_then(|row| row.into_iter().next()).flatten();
        value.ok_or_else(|| self.protocol("an answer without a value".to_owned()))
    }
}

/// A `DataRow` in text format.
fn read_row(mut body: Bytes) -> Option<Vec<Option<String>>> {
    let columns = body.try_get_u16().ok()?;
    let mut row = Vec::with_capacity(usize::from(columns).min(body.len()));
    for _ in 0..columns {
        let length = body.try_get_i32().ok()?;
        if length < 0 {
            row.push(None);
            continue;
        }
        let length = length as usize;
        if body.len() < length {
            return None;
        }
        row.push(Some(String::from_utf8_lossy(&body.split_to(length)).into_owned()));
    }
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_bytes_make_reading_a_row_panic(bytes: Vec<u8>) {
            read_row(Bytes::from(bytes));
        }
    }
}
