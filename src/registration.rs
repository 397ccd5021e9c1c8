//! Registrations: webhooks that are written into the database while walhook runs, as rows of one table.
//!
//! They arrive in the log, so a row is the text that PostgreSQL makes of it with `to_jsonb`: an object with the
//! table's columns.

use crate::webhook::WebhookId;
use std::sync::Arc;

/// A row of the registration table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Registration {
    /// The webhook's number.
    pub id: WebhookId,
    /// The row, as a JSON object by column.
    pub row: Arc<str>,
    /// The last version that could work, where the row cannot: it stays in force, but for what stops it.
    pub in_force: Option<Arc<str>>,
}

/// What the queue needs to know of a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookRecord {
    /// Its number.
    pub id: WebhookId,
    /// Its name.
    pub name: String,
    /// Whether the registration enables it.
    pub enabled: bool,
    /// How much the bodies that wait for it may take.
    pub backlog_bytes_max: u64,
}

/// What became of a registration in a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationChange {
    /// It was written.
    Written {
        /// The row.
        registration: Registration,
        /// What the queue keeps books by; none where the number is that of a webhook of the file.
        record: Option<WebhookRecord>,
        /// Whether that ends a suspension: somebody wrote it, and means it to be served.
        resumes: bool,
    },
    /// It was deleted: what is queued for it is dropped.
    Deleted {
        /// The webhook's number.
        id: WebhookId,
        /// Whether the webhook goes with it, which is not so where the number is that of a webhook of the file.
        unregisters: bool,
    },
}

/// The registrations that a queue holds, as of its position.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registrations {
    /// The epoch in which they were read from the table; later changes came by the log. None means never.
    pub epoch: Option<u32>,
    /// All of them, by number.
    pub all: Vec<Registration>,
    /// The next sequence number of every webhook that the queue ever knew, of deleted ones too.
    pub next_sequences: Vec<(WebhookId, u64)>,
}
