//! `arsys`.

use super::{Format, Identity};
use crate::event::FormEvent;
use crate::webhook::Webhook;

/// The format.
pub(super) struct Arsys;

impl Format for Arsys {
    fn name(&self) -> &'static str {
        "arsys"
    }

    fn head(&self, _webhook: &Webhook, _delivery: &Identity, _event: &FormEvent, _out: &mut Vec<u8>) {}

    fn tail(&self, _webhook: &Webhook, _event: &FormEvent, _out: &mut Vec<u8>) {}
}
