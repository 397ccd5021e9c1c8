//! The way to the registration table: ordinary SQL on one session, opened when it is needed.

use super::Row;
use crate::postgres::{self, Address, Session};
use crate::remedy::{Remediable, Remedy};
use crate::webhook::WebhookId;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::{Json, ToSql};

const EXISTS: &str = include_str!("../../sql/registry/exists.sql");
const ALL: &str = include_str!("../../sql/registry/all.sql");
const SOME: &str = include_str!("../../sql/registry/some.sql");
const PAGE: &str = include_str!("../../sql/registry/page.sql");
const NEXT_ID: &str = include_str!("../../sql/registry/next_id.sql");
const DELETE: &str = include_str!("../../sql/registry/delete.sql");
const SEAL: &str = include_str!("../../sql/registry/seal.sql");
const TELL: &str = include_str!("../../sql/registry/tell.sql");

/// The channel that the table's trigger tells of changes on.
const CHANNEL: &str = "walhook_webhook";
/// How long the table may take to answer.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// What goes wrong with the registration table.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none.
    #[error("the database has no registration table walhook.webhook")]
    NoTable,
    /// The database cannot be reached.
    #[error("the registration table could not be reached")]
    Connection(#[source] postgres::Error),
    /// It cannot be written: the server is a standby, or its transactions are read-only.
    #[error("the database takes no writes now: the registration table could not {action}")]
    ReadOnly {
        /// What was tried.
        action: &'static str,
    },
    /// It does not answer.
    #[error("the registration table did not answer in {} seconds", ANSWER_TIME_MAX.as_secs())]
    Silent,
    /// What was to be written breaks a rule of the table.
    #[error("{message}")]
    Rule {
        /// Which one: `webhook_url_is_http`.
        constraint: String,
        /// What the server said.
        message: String,
        /// Whether another row stands in the way.
        is_duplicate: bool,
    },
    /// The statement failed.
    #[error("the registration table could not {action}")]
    Statement {
        /// What was tried: `list its rows`.
        action: &'static str,
        /// What the server said.
        #[source]
        source: tokio_postgres::Error,
    },
    /// A row of it was not understood.
    #[error(transparent)]
    Row(#[from] super::Unreadable),
}

impl Remediable for Error {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Connection(error) => error.remedy(),
            // a standby may be promoted
            Self::Silent | Self::ReadOnly { .. } => Remedy::Wait,
            Self::Statement { source, .. } if source.as_db_error().is_none() => Remedy::Wait,
            _ => Remedy::CallOperator,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Connection(error) => error.hint(),
            Self::ReadOnly { .. } => Some(
                "webhooks are registered and answered on the primary: name it in [source] url, as with \
                 target_session_attrs=primary"
                    .into(),
            ),
            Self::NoTable => Some("`walhook setup --registration` makes it".into()),
            Self::Statement { source, .. } if source.code() == Some(&SqlState::INSUFFICIENT_PRIVILEGE) => {
                Some("`walhook setup --registration` prints the grants that are missing".into())
            }
            _ => None,
        }
    }
}

/// What became of a change that expects a version.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// It was made; the row as it is (or was last, where it was deleted).
    Done(Row),
    /// The row has another version by now.
    Changed(Row),
    /// There is no such row.
    Gone,
}

/// What walhook says of a webhook, for those who look into the table.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Stored {
    /// Its number.
    pub webhook: u64,
    /// The version of the row that this is about.
    pub version: u64,
    /// `enabled`, `disabled`, `suspended`, `broken`, `refused`.
    pub state: &'static str,
    /// Why.
    pub last_error: Option<String>,
    /// How many deliveries wait.
    pub pending: u64,
    /// How many dead letters there are.
    pub dead: u64,
    /// How many events are held.
    pub held: u64,
    /// How many were delivered, ever.
    pub delivered: u64,
    /// How many were dropped, ever.
    pub dropped: u64,
}

/// The way to the table. Clones share one session.
#[derive(Clone)]
pub struct Door {
    address: Arc<Address>,
    application_name: &'static str,
    session: Arc<Mutex<Option<Session>>>,
}

impl Door {
    /// To the table of that database. Nothing is opened yet.
    pub fn new(address: Address, application_name: &'static str) -> Self {
        Self { address: Arc::new(address), application_name, session: Arc::new(Mutex::new(None)) }
    }

    /// The database it leads to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// All rows by number, with an exported snapshot as of it; none if there is no table.
    pub async fn all(&self, snapshot: Option<&str>) -> Result<Option<Vec<Row>>, Error> {
        // a session of its own, for a snapshot is set for a transaction
        let session = self.open().await?;
        let action = "list its rows";
        let listing = async {
            session.batch_execute("begin isolation level repeatable read, read only").await?;
            if let Some(snapshot) = snapshot {
                let literal = postgres_protocol::escape::escape_literal(snapshot);
                session.batch_execute(&format!("set transaction snapshot {literal}")).await?;
            }
            if !session.query_one(EXISTS, &[]).await?.get::<_, bool>(0) {
                return Ok(None);
            }
            session.query(ALL, &[]).await.map(Some)
        };
        let rows = in_time(listing).await?.map_err(|source| Error::Statement { action, source })?;
        rows.map(|rows| rows.iter().map(row_of).collect()).transpose()
    }

    /// The rows behind a number, at most so many, by number.
    pub async fn page(&self, after: WebhookId, limit: u32) -> Result<Vec<Row>, Error> {
        let (after, limit) = (after.0.cast_signed(), i64::from(limit));
        self.ask("list its rows", PAGE, &[&after, &limit]).await?.iter().map(row_of).collect()
    }

    /// Those rows that exist, by number.
    pub async fn some(&self, ids: &[WebhookId]) -> Result<Vec<Row>, Error> {
        let ids: Vec<i64> = ids.iter().map(|id| id.0.cast_signed()).collect();
        self.ask("find a row", SOME, &[&ids]).await?.iter().map(row_of).collect()
    }

    /// A number for a new row.
    pub async fn next_id(&self) -> Result<WebhookId, Error> {
        let rows = self.ask("give a number", NEXT_ID, &[]).await?;
        let id: i64 = rows.first().map_or(0, |row| row.get(0));
        Ok(WebhookId(id.cast_unsigned()))
    }

    /// Writes a new row; columns that are NULL have their defaults.
    pub async fn insert(&self, columns: &Map<String, Value>) -> Result<Row, Error> {
        let names: Vec<&str> =
            columns.iter().filter(|(_, value)| !value.is_null()).map(|(name, _)| &**name).collect();
        let names = quoted(&names);
        let statement = format!(
            "insert into walhook.webhook ({names}) select {names} \
             from pg_catalog.json_populate_record(null::walhook.webhook, $1) \
             returning pg_catalog.to_jsonb(webhook)"
        );
        let rows = self.ask("take a new row", &statement, &[&Json(columns)]).await?;
        rows.first().map_or(Err(Error::NoTable), row_of)
    }

    /// Writes these columns of a row, if it still has the version.
    pub async fn update(
        &self,
        id: WebhookId,
        version: Option<u64>,
        columns: &Map<String, Value>,
    ) -> Result<Answer, Error> {
        let names: Vec<&str> = columns.keys().map(String::as_str).collect();
        let set: Vec<String> = names.iter().map(|name| format!("{name} = {}", new_value(name))).collect();
        let statement = format!(
            "update walhook.webhook as w set {} \
             from pg_catalog.json_populate_record(null::walhook.webhook, $3) as r \
             where w.id = $1 and ($2::pg_catalog.int8 is null or w.version = $2) \
             returning pg_catalog.to_jsonb(w)",
            set.join(", ")
        );
        let (number, expected) = (id.0.cast_signed(), version.map(u64::cast_signed));
        let rows = self.ask("change a row", &statement, &[&number, &expected, &Json(columns)]).await?;
        self.answer(id, rows.first()).await
    }

    /// Deletes a row, if it still has the version.
    pub async fn delete(&self, id: WebhookId, version: Option<u64>) -> Result<Answer, Error> {
        let (number, expected) = (id.0.cast_signed(), version.map(u64::cast_signed));
        let rows = self.ask("delete a row", DELETE, &[&number, &expected]).await?;
        self.answer(id, rows.first()).await
    }

    /// Writes the secrets of a row as they were sealed, if it still has the version. Returns whether it had.
    pub async fn seal(
        &self,
        id: WebhookId,
        version: u64,
        columns: &Map<String, Value>,
    ) -> Result<bool, Error> {
        let (number, version) = (id.0.cast_signed(), version.cast_signed());
        let sealed = self.ask("seal a row", SEAL, &[&number, &version, &Json(columns)]).await?;
        Ok(!sealed.is_empty())
    }

    /// Writes what walhook says of webhooks. Of rows that are gone nothing is said.
    pub async fn tell(&self, states: &[Stored]) -> Result<(), Error> {
        self.ask("take the webhooks' states", TELL, &[&Json(states)]).await.map(drop)
    }

    /// Ends the session, until the next question.
    pub async fn close(&self) {
        *self.session.lock().await = None;
    }

    /// Listens to what the table's trigger tells.
    pub async fn listen(&self) -> Result<Notices, Error> {
        let session = self.open().await?;
        let action = "be listened to";
        in_time(session.batch_execute(&format!("listen {CHANNEL}")))
            .await?
            .map_err(|source| refusal(action, source))?;
        Ok(Notices { session })
    }

    async fn answer(&self, id: WebhookId, done: Option<&tokio_postgres::Row>) -> Result<Answer, Error> {
        match done {
            Some(row) => row_of(row).map(Answer::Done),
            None => Ok(self.some(&[id]).await?.pop().map_or(Answer::Gone, Answer::Changed)),
        }
    }

    async fn open(&self) -> Result<Session, Error> {
        in_time(postgres::connect(&self.address, self.application_name)).await?.map_err(Error::Connection)
    }

    pub(super) async fn ask(
        &self,
        action: &'static str,
        statement: &str,
        parameters: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<tokio_postgres::Row>, Error> {
        let mut session = self.session.lock().await;
        if session.as_ref().is_none_or(|session| session.is_closed()) {
            *session = Some(self.open().await?);
        }
        let open = session.as_ref().expect("it was opened");
        let asked = in_time(open.query(statement, parameters)).await;
        if asked.is_err() {
            // what it says later would answer another question
            *session = None;
        }
        let answered = asked?.map_err(|source| refusal(action, source));
        if matches!(answered, Err(Error::NoTable)) {
            *session = None;
        }
        answered
    }
}

/// What the trigger tells.
pub struct Notices {
    session: Session,
}

impl Notices {
    /// The next webhook that was written or deleted; none when the session has ended.
    pub async fn next(&mut self) -> Option<WebhookId> {
        loop {
            let payload = self.session.notified().await?;
            if let Ok(id) = payload.parse() {
                return Some(WebhookId(id));
            }
        }
    }

    /// Those that have been told already.
    pub fn take_waiting(&mut self) -> Vec<WebhookId> {
        let payloads = std::iter::from_fn(|| self.session.notified_already());
        payloads.filter_map(|payload| payload.parse().ok().map(WebhookId)).collect()
    }
}

async fn in_time<T>(answer: impl Future<Output = T>) -> Result<T, Error> {
    tokio::time::timeout(ANSWER_TIME_MAX, answer).await.map_err(|_| Error::Silent)
}

fn row_of(row: &tokio_postgres::Row) -> Result<Row, Error> {
    let Json(value) = row.get::<_, Json<Value>>(0);
    Ok(Row::read(&value.to_string())?)
}

/// Columns come from the list of the native model, never from outside.
fn quoted(names: &[&str]) -> String {
    names.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
}

/// Columns that may not be NULL have their defaults again.
fn new_value(name: &str) -> String {
    match name {
        "enabled" => "coalesce(r.enabled, true)".into(),
        "format" => "coalesce(r.format, 'native')".into(),
        "on_exhausted" => "coalesce(r.on_exhausted, 'skip')".into(),
        "authentication" => "coalesce(r.authentication, '{\"type\": \"NO_AUTH\"}')".into(),
        _ => format!("r.\"{name}\""),
    }
}

fn refusal(action: &'static str, source: tokio_postgres::Error) -> Error {
    let Some(said) = source.as_db_error() else { return Error::Statement { action, source } };
    if *said.code() == SqlState::UNDEFINED_TABLE || *said.code() == SqlState::INVALID_SCHEMA_NAME {
        return Error::NoTable;
    }
    if *said.code() == SqlState::READ_ONLY_SQL_TRANSACTION {
        return Error::ReadOnly { action };
    }
    // class 22: what no column can hold, as a character that its encoding lacks; class 23: integrity constraints
    if ["22", "23"].iter().any(|class| said.code().code().starts_with(class)) {
        return Error::Rule {
            constraint: said.constraint().or(said.column()).unwrap_or_default().to_owned(),
            message: said.message().to_owned(),
            is_duplicate: *said.code() == SqlState::UNIQUE_VIOLATION,
        };
    }
    Error::Statement { action, source }
}
