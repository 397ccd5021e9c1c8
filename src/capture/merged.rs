//! Entries that others were merged into: their entry ids, where a column refers to them by something else.

use super::database::Bindings;
use super::parents::{End, texts};
use super::{Capture, Error};
use crate::event::FormEvent;
use crate::source::Source;
use std::sync::Arc;

impl<S: Source, B: Bindings> Capture<'_, S, B>
where
    Error: From<S::Error>,
{
    /// Puts the target's entry id in the place of what refers to it. Where the target is not found, the merge is told without.
    pub(super) async fn name_target(&mut self, event: &mut FormEvent) -> Result<(), Error> {
        let form = Arc::clone(&event.form);
        let (Some(by), Some(value)) = (form.happenings.references, &event.circumstances.merged_into) else {
            return Ok(());
        };
        let target = match self.find(&form, &[by], std::slice::from_ref(value)).await {
            Ok(row) => texts(&form, &row, &form.entry_id).map(|_| form.entry_id_of(&row)),
            Err(End::Nowhere | End::Lost(_)) => None,
            Err(End::Trouble(error)) => return Err(error),
        };
        Arc::make_mut(&mut event.circumstances).merged_into = target;
        Ok(())
    }
}
