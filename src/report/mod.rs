//! Listeners: what observations become for people and machines.
//!
//! [`log`] writes lines, [`metrics`] counts, [`health`] knows whether the stream progresses. None of them knows
//! the queue: whoever asks brings a [`QueueReading`] along.

pub mod health;
pub mod log;
pub mod mail;
pub mod metrics;
mod spaced;
mod writer;

use std::time::Duration;

/// How full the queue is, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueReading {
    /// What it holds, in bytes.
    pub bytes: u64,
    /// Its limit, in bytes.
    pub bytes_max: u64,
    /// The webhooks.
    pub webhooks: Vec<WebhookReading>,
}

/// What the queue holds for a webhook, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WebhookReading {
    /// Its name.
    pub name: String,
    /// Whether it is served.
    pub served: bool,
    /// How many deliveries are not finished.
    pub pending: u64,
    /// How much their bodies take, in bytes.
    pub pending_bytes: u64,
    /// How long ago the oldest of them was committed.
    pub oldest_age: Option<Duration>,
    /// How many dead letters there are.
    pub dead: u64,
    /// How many events are held because a condition could not be judged for them.
    pub held: u64,
    /// Whether its condition does not fit its forms any more.
    pub broken: bool,
}
