//! Files of entries, put beside the events that tell of them. What the log does not have is read from the database, as it
//! is then: it never stops the stream, and what is not what it was at the change is not sent.

use super::database::Bindings;
use super::{Capture, Error};
use crate::attachment::{
    BoundAttachment, Enclosed, Enclosure, File, Place, expanded, hash, hex, media_type, unhex,
    without_folders,
};
use crate::catalog::{FileFound, Whose};
use crate::change::{Datum, Row};
use crate::event::FormEvent;
use crate::form::BoundForm;
use crate::observe::Observation;
use crate::reference::Reference;
use crate::source::Source;
use bytes::Bytes;
use std::sync::Arc;

/// How much of a hash a boundary has, in bytes: with two digits each it is as long as AR System's.
const BOUNDARY_BYTES: usize = 17;

impl<S: Source, B: Bindings> Capture<'_, S, B>
where
    Error: From<S::Error>,
{
    /// Puts the files beside an event that somebody wants of it.
    pub(super) async fn enclose(&mut self, event: &mut FormEvent) -> Result<(), Error> {
        let wanted = self.subscriptions.files_wanted(event);
        let form = Arc::clone(&event.form);
        let mut enclosed = Enclosed::default();
        for file in form.attachments.iter().filter(|file| wanted.contains(&file.field)) {
            let Some(row) = &event.new else { continue };
            let enclosure = match self.file(&form, file, row, event.transaction.xid).await? {
                Ok(Some(bytes)) => Enclosure::File(self.described(event, file, row, bytes)),
                Ok(None) if is_left_alone(&form, file, row) => Enclosure::LeftAlone,
                Ok(None) => Enclosure::Nothing,
                Err(reason) => {
                    self.observers.tell(Observation::AttachmentMissing {
                        form: form.form.name.clone(),
                        entry_id: event.entry_id.clone(),
                        field: form.fields[file.field].name.clone(),
                        reason: reason.clone(),
                    });
                    Enclosure::Missing(reason)
                }
            };
            enclosed.files.push((file.field, enclosure));
        }
        if !enclosed.files.is_empty() {
            enclosed.boundary = boundary(event, &enclosed);
            Arc::make_mut(&mut event.circumstances).enclosed = enclosed;
        }
        Ok(())
    }

    /// The bytes of a file; none where the entry has none, or they are not known. Else why they cannot be sent.
    async fn file(
        &mut self,
        form: &Arc<BoundForm>,
        file: &BoundAttachment,
        row: &Row,
        xid: u32,
    ) -> Result<Result<Option<Vec<u8>>, String>, Error> {
        let Some(text) = text_of(form, row, form.fields[file.field].column) else { return Ok(Ok(None)) };
        let whose = match &file.place {
            Place::Column => return Ok(in_row(text, file.bytes_max).map(Some)),
            // the oid of no object
            Place::LargeObject if text == "0" => return Ok(Ok(None)),
            Place::LargeObject => Whose::LargeObject(text.to_owned()),
            Place::Elsewhere(_) => {
                let id = form.entry_id.iter().map(|&column| text_of(form, row, column).map(str::to_owned));
                let Some(id) = id.collect() else { return Ok(Ok(None)) };
                Whose::Entry(id)
            }
        };
        let said: Option<u64> =
            file.size.and_then(|column| text_of(form, row, column)).and_then(|size| size.parse().ok());
        if said.is_some_and(|size| size > file.bytes_max) {
            return Ok(Err(too_large(file.bytes_max)));
        }
        if !self.sees(xid).await? {
            return Ok(Err("its transaction is in the log, and no session sees it yet".to_owned()));
        }
        Ok(match self.forms.read_file(form, file, whose).await? {
            FileFound::Bytes(bytes) => as_it_was(bytes, said, file).map(Some),
            FileFound::TooLarge => Err(too_large(file.bytes_max)),
            FileFound::Nothing => Err("it is gone".to_owned()),
            FileFound::Refused(reason) => Err(format!("it cannot be read: {reason}")),
        })
    }

    fn described(&self, event: &FormEvent, file: &BoundAttachment, row: &Row, bytes: Vec<u8>) -> File {
        let form = &event.form;
        let field = &form.fields[file.field];
        let of_column = |column: Option<usize>| column.and_then(|column| text_of(form, row, column));
        let of_field = match file.place {
            Place::Elsewhere(_) => text_of(form, row, field.column),
            Place::Column | Place::LargeObject => None,
        };
        let name = of_column(file.name).or(of_field).map_or(&*field.name, without_folders);
        let hash = hash(&bytes);
        let (name, media_type) = (name.to_owned(), media_type(of_column(file.media_type)).to_owned());
        let href = self.references.as_ref().map(|references| {
            let reference = Reference {
                form: form.form.name.clone(),
                entry_id: event.entry_id.clone(),
                field: field.name.clone(),
                name: name.clone(),
                media_type: media_type.clone(),
                hash,
            };
            references.href(&reference, self.clock.now_us())
        });
        File { name, media_type, bytes: Bytes::from(bytes), hash, href }
    }
}

fn text_of<'a>(form: &'a BoundForm, row: &'a Row, column: usize) -> Option<&'a str> {
    match form.datum(row, column) {
        Datum::Text(text) => Some(text),
        Datum::Null | Datum::Unchanged => None,
    }
}

fn is_left_alone(form: &BoundForm, file: &BoundAttachment, row: &Row) -> bool {
    form.datum(row, form.fields[file.field].column) == Datum::Unchanged
}

fn too_large(bytes_max: u64) -> String {
    format!("it has more than {bytes_max} bytes (bytes_max)")
}

/// The bytes of a `bytea` as the log has it, two digits for each.
fn in_row(text: &str, bytes_max: u64) -> Result<Vec<u8>, String> {
    if (text.len() as u64).saturating_sub(2) / 2 > bytes_max {
        return Err(too_large(bytes_max));
    }
    unhex(text).ok_or_else(|| "its column has no bytes".to_owned())
}

/// What was read later than the change, if it has the size that it had then. What stands in a table of its own may be
/// compressed.
fn as_it_was(bytes: Vec<u8>, said: Option<u64>, file: &BoundAttachment) -> Result<Vec<u8>, String> {
    let Some(size) = said else { return Ok(bytes) };
    let found = bytes.len();
    let fits = |bytes: &[u8]| bytes.len() as u64 == size;
    let as_it_was = match file.place {
        Place::Elsewhere(_) => expanded(bytes, file.bytes_max, fits),
        Place::Column | Place::LargeObject => Some(bytes).filter(|bytes| fits(bytes)),
    };
    as_it_was.ok_or_else(|| format!("it has changed since: it had {size} bytes, and has {found} now"))
}

/// A boundary that is the same whenever the event is told, and in none of its files.
fn boundary(event: &FormEvent, enclosed: &Enclosed) -> String {
    let files: Vec<_> = enclosed.files.iter().filter_map(|(_, enclosure)| enclosure.file()).collect();
    let mut text = Vec::new();
    let position = event.position;
    for number in [position.epoch.into(), position.commit_lsn.0, position.ordinal] {
        text.extend_from_slice(&u64::to_be_bytes(number));
    }
    text.extend_from_slice(event.verb.as_str().as_bytes());
    for file in &files {
        text.extend_from_slice(&file.hash);
    }
    loop {
        let boundary = hex(&hash(&text)[..BOUNDARY_BYTES]);
        let is_in = |file: &&File| file.bytes.windows(boundary.len()).any(|part| part == boundary.as_bytes());
        if !files.iter().any(is_in) {
            return boundary;
        }
        text.push(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(place: Place) -> BoundAttachment {
        BoundAttachment { field: 0, name: None, media_type: None, size: None, place, bytes_max: 4 }
    }

    #[test]
    fn what_is_too_large_or_no_bytes_is_said() {
        assert_eq!(in_row("\\x01020304", 4), Ok(vec![1, 2, 3, 4]));
        assert_eq!(in_row("\\x0102030405", 4).unwrap_err(), "it has more than 4 bytes (bytes_max)");
        assert_eq!(in_row("abcd", 4).unwrap_err(), "its column has no bytes");
    }

    #[test]
    fn what_has_another_size_by_now_is_not_what_it_was() {
        let object = file(Place::LargeObject);
        assert_eq!(as_it_was(vec![1, 2], None, &object), Ok(vec![1, 2]));
        assert_eq!(as_it_was(vec![1, 2], Some(2), &object), Ok(vec![1, 2]));
        let changed = as_it_was(vec![1, 2], Some(3), &object).unwrap_err();
        assert_eq!(changed, "it has changed since: it had 3 bytes, and has 2 now");
    }
}
