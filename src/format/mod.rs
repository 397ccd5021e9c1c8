//! The bodies of deliveries, one file per format.

mod arsys;
mod changegear;
#[cfg(test)]
mod choices;
mod cloudevents;
pub mod datagerry;
mod facts;
mod fields;
#[cfg(test)]
mod golden;
mod itrp;
mod multipart;
mod native;
pub mod rows;
mod told;
pub mod trial;

pub use itrp::{node_id, verification};
pub use told::{Told, Values};

use crate::delivery::DeliveryId;
use crate::delivery::DeliveryNumber;
use crate::event::{FormEvent, Verb};
use crate::webhook::Webhook;
use http::{HeaderName, HeaderValue};
use std::borrow::Cow;

/// Every format. A new one is a file and a line here.
pub const FORMATS: &[&dyn Format] = &[
    &native::Native,
    &arsys::Arsys,
    &itrp::Itrp,
    &datagerry::DataGerry,
    &changegear::ChangeGear,
    &cloudevents::CloudEvents,
];

/// The format of a webhook that names none.
pub const DEFAULT: &str = "native";

/// The format of that name.
pub fn find(name: &str) -> Option<&'static dyn Format> {
    FORMATS.iter().copied().find(|format| format.name() == name)
}

/// What a body tells of its event's rows. Which format it has is not kept with it: the one that says most is it.
pub fn told_of(verb: Verb, body: &[u8]) -> Told {
    let told = FORMATS.iter().filter_map(|format| format.told(verb, body));
    let fields = |told: &Told| told.new.len() + told.old.as_ref().map_or(0, |old| 1 + old.len());
    told.max_by_key(fields).unwrap_or_default()
}

/// How an event becomes a body.
///
/// A body is a head of its own and a tail. The tail must depend on nothing but the event and the parts of the
/// webhook that [`shares_tail`] compares, so that deliveries of one event can share it.
pub trait Format: Sync {
    /// Its name in the configuration.
    fn name(&self) -> &'static str;

    /// For the `content-type` header; further lines are headers of the message's own.
    fn content_type(&self, webhook: &Webhook, event: &FormEvent) -> Cow<'static, str> {
        let _ = (webhook, event);
        Cow::Borrowed("application/json")
    }

    /// A header of its own that names the delivery.
    fn header(&self, id: DeliveryId) -> Option<(HeaderName, HeaderValue)> {
        let _ = id;
        None
    }

    /// Appends the beginning of the body.
    fn head(&self, webhook: &Webhook, delivery: &Identity, event: &FormEvent, out: &mut Vec<u8>);

    /// Appends the rest of the body.
    fn tail(&self, webhook: &Webhook, event: &FormEvent, out: &mut Vec<u8>);

    /// Whether the body of a test is marked as one with `"test": true`.
    fn marks_tests(&self) -> bool {
        true
    }

    /// Whether it has a word for merges. One that has none tells of them as of creates and updates, to whoever listens to
    /// those.
    fn knows_merge(&self) -> bool {
        true
    }

    /// Whether it tells of bulk imports.
    fn tells_of_bulk(&self) -> bool {
        true
    }

    /// Whether the body of an update would tell of no field.
    fn is_empty_update(&self, webhook: &Webhook, event: &FormEvent) -> bool {
        let _ = (webhook, event);
        false
    }

    /// The numbers of the form's fields that are files and go with such an event.
    fn files(&self, webhook: &Webhook, event: &FormEvent) -> Vec<usize> {
        let _ = (webhook, event);
        Vec::new()
    }

    /// Whether it has files at all, and sends them in different ways to webhooks with and without signature.
    fn has_files(&self) -> bool {
        false
    }

    /// What a body of such an event tells of its rows; none where it cannot be read back.
    fn told(&self, verb: Verb, body: &[u8]) -> Option<Told> {
        let _ = (verb, body);
        None
    }
}

/// What identifies a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The `webhook-id`.
    pub id: DeliveryId,
    /// The webhook and the sequence number.
    pub number: DeliveryNumber,
}

/// Whether two webhooks of one event have the same tail.
pub fn shares_tail(one: &Webhook, other: &Webhook) -> bool {
    one.format == other.format
        && one.send_unchanged_fields == other.send_unchanged_fields
        && one.payload_fields == other.payload_fields
        && one.custom_json == other.custom_json
        && one.body == other.body
        && sends_files_alike(one, other)
}

/// Whether two webhooks of one format get files in the same way, if they get any.
fn sends_files_alike(one: &Webhook, other: &Webhook) -> bool {
    let is_alike = one.policy.is_some() == other.policy.is_some()
        && one.signing_secrets.is_empty() == other.signing_secrets.is_empty();
    is_alike || !find(one.format).is_some_and(Format::has_files)
}
