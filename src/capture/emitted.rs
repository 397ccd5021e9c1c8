//! Events that the application emits itself, by a message in the log: the outbox pattern without a table.
//!
//! ```sql
//! select walhook.emit('HPD:Help Desk', 'INC0001', 'escalated', '{"level": 2}');
//! ```
//!
//! is `pg_logical_emit_message(true, 'walhook.emit', …)` with `{"form", "entry_id", "event", "payload"}`. It is an event of
//! that entry, in order with the transaction's other changes.

use super::database::Bindings;
use super::fold::ChangeOf;
use super::parents::{End, row_of};
use super::{Capture, Error};
use crate::change::{Datum, Row};
use crate::event::Word;
use crate::form::BoundForm;
use crate::nearby::remedy;
use crate::source::Source;
use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use std::sync::Arc;

/// The prefix of these messages.
pub(super) const PREFIX: &str = "walhook.emit";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Emitted<'a> {
    form: String,
    entry_id: String,
    event: String,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

impl<S: Source, B: Bindings> Capture<'_, S, B>
where
    Error: From<S::Error>,
{
    /// Takes what the application emitted. What cannot be an event is put aside.
    pub(super) async fn take_emitted(&mut self, content: Bytes) -> Result<(), Error> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let ordinal = open.count();
        let reason = match self.read_emitted(&content).await? {
            Ok((form, entry, told)) => {
                if let Some(open) = &mut self.open {
                    open.tell(ordinal, &form, ChangeOf::Emitted, entry, told);
                }
                return Ok(());
            }
            Err(reason) => reason,
        };
        self.put_aside(ordinal, None, format!("an emitted event: {reason}"), content);
        Ok(())
    }

    /// The form and the entry that an event is of, and what is told, or why it is none.
    async fn read_emitted(
        &mut self,
        content: &[u8],
    ) -> Result<Result<(Arc<BoundForm>, Row, Row), String>, Error> {
        let (form, values, told) = match read(content, |form| self.forms.latest(form)) {
            Ok(read) => read,
            Err(reason) => return Ok(Err(reason)),
        };
        let by = form.entry_id.clone();
        let entry = match self.find(&form, &by, &values).await {
            Ok(entry) => entry,
            Err(End::Trouble(error)) => return Err(error),
            // it may be gone, or of no row at all: what is emitted is told all the same
            Err(End::Nowhere | End::Lost(_)) => row_of(&form, &by, &values),
        };
        let entry = self.with_supplied(&form, entry).await?;
        Ok(Ok((form, entry, told)))
    }
}

/// The form that an event is of, the values of its entry id, and what is told.
fn read(
    content: &[u8],
    latest: impl Fn(&str) -> Option<Arc<BoundForm>>,
) -> Result<(Arc<BoundForm>, Vec<String>, Row), String> {
    let emitted: Emitted<'_> = serde_json::from_slice(content)
        .map_err(|error| format!("its text is not what walhook.emit writes: {error}"))?;
    let form = latest(&emitted.form).filter(|form| form.belonging.is_none());
    let form = form.ok_or_else(|| format!("there is no form {:?}", emitted.form))?;
    let words = &form.form.happenings.emitted;
    let Some(verb) = words.iter().find(|word| word.as_str() == emitted.event) else {
        let known = words.iter().map(Word::as_str);
        let hint = remedy(&emitted.event, known).unwrap_or_else(|| "add it to `emitted`".to_owned());
        return Err(format!("form {:?} emits no {:?} ({hint})", emitted.form, emitted.event));
    };
    let payload = match emitted.payload.map(RawValue::get) {
        None | Some("null") => "{}",
        Some(json) if json.starts_with('{') => json,
        Some(_) => return Err("its payload is no JSON object".to_owned()),
    };
    let told = [Datum::Text(verb.as_str()), Datum::Text(payload)].into_iter().collect();
    let values = values_of(&form, &emitted.entry_id)
        .ok_or_else(|| format!("entry id {:?} has not {} values", emitted.entry_id, form.entry_id.len()))?;
    Ok((form, values, told))
}

/// The values of the columns of an entry id; none where it has not as many.
fn values_of(form: &BoundForm, entry_id: &str) -> Option<Vec<String>> {
    if form.entry_id.len() == 1 {
        return Some(vec![entry_id.to_owned()]);
    }
    let mut values = vec![String::new()];
    let mut signs = entry_id.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '|' => values.push(String::new()),
            '\\' => values.last_mut()?.push(signs.next()?),
            sign => values.last_mut()?.push(sign),
        }
    }
    (values.len() == form.entry_id.len()).then_some(values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::form::sample;
    use crate::value::Type;

    #[test]
    fn an_entry_id_is_taken_apart_as_it_was_put_together() {
        let mut form = sample::form("Line", &[("order", Type::Text), ("line", Type::Text)]);
        form.entry_id = vec![0, 1];
        let row = sample::row(&["a|b\\c", "2"]);
        assert_eq!(
            values_of(&form, &form.entry_id_of(&row)),
            Some(vec!["a|b\\c".to_owned(), "2".to_owned()])
        );
        for wrong in ["1", "1|2|3", "1|2\\"] {
            assert_eq!(values_of(&form, wrong), None, "{wrong}");
        }
        form.entry_id = vec![0];
        assert_eq!(values_of(&form, "a|b"), Some(vec!["a|b".to_owned()]));
    }
}
