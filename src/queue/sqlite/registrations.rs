//! Registrations as of the position: stored with it, read when capture starts.

use super::books::book_of;
use super::fault::Fault;
use super::operate::Sweep;
use super::rows::{sql, unsigned_at};
use super::writer::Writer;
use crate::failpoint;
use crate::queue::Filter;
use crate::registration::{Registration, RegistrationChange, Registrations};
use crate::webhook::WebhookId;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// All of them, with the epoch in which they were read and where the sequence numbers of all webhooks go on.
pub(super) fn read(connection: &Connection) -> Result<Registrations, Fault> {
    let epoch = connection.prepare_cached(sql!("registry"))?.query_row([], |row| row.get(0)).optional()?;
    let all = connection
        .prepare_cached(sql!("registrations"))?
        .query_map([], registration_of)?
        .collect::<Result<_, _>>()?;
    let next_sequences = connection
        .prepare_cached(sql!("load_books"))?
        .query_map([], |row| book_of(row).map(|(webhook, book)| (webhook, book.next_sequence)))?
        .collect::<Result<_, _>>()?;
    Ok(Registrations { epoch, all, next_sequences })
}

fn registration_of(row: &Row<'_>) -> rusqlite::Result<Registration> {
    let in_force: Option<String> = row.get(2)?;
    Ok(Registration {
        id: WebhookId(unsigned_at(row, 0)?),
        row: row.get::<_, String>(1)?.into(),
        in_force: in_force.map(Into::into),
    })
}

impl Writer {
    /// Puts registrations in the place of all that there are.
    pub(super) fn load_registrations(&mut self, epoch: u32, all: &[Registration]) -> Result<(), Fault> {
        failpoint::reach("queue.registry.before");
        self.connection.prepare_cached(sql!("forget_registrations"))?.execute([])?;
        for registration in all {
            self.store_registration(registration)?;
        }
        self.connection.prepare_cached(sql!("record_registry"))?.execute([epoch])?;
        failpoint::reach("queue.registry.after");
        Ok(())
    }

    /// What became of a registration counts with the position.
    pub(super) fn apply(&mut self, change: &RegistrationChange) -> Result<(), Fault> {
        match change {
            RegistrationChange::Written { registration, record, resumes } => {
                self.store_registration(registration)?;
                if let Some(record) = record {
                    self.drop_left_over(record.id)?;
                    self.keep_book(record);
                    if *resumes && record.enabled {
                        self.enable(record.id);
                    }
                }
                self.front.lock().index.rouse();
            }
            RegistrationChange::Deleted { id, unregisters } => {
                self.connection.prepare_cached(sql!("delete_registration"))?.execute([id.0.cast_signed()])?;
                // what is queued is dropped in steps, by whoever told of it or by the next purge
                if *unregisters {
                    self.mark_deleted(*id);
                }
            }
        }
        Ok(())
    }

    /// Whoever registers the number of a deleted webhook anew gets nothing of what was queued for that one.
    fn drop_left_over(&mut self, webhook: WebhookId) -> Result<(), Fault> {
        let Some(book) = self.books.find(webhook) else { return Ok(()) };
        if !book.deleted || book.pending + book.dead + book.held == 0 {
            return Ok(());
        }
        let filter = Filter { webhook: Some(webhook), ..Filter::default() };
        let mut rest = None;
        loop {
            (_, rest) = self.sweep(Sweep::Drop, webhook, &filter, rest)?;
            if rest.is_none() {
                break;
            }
        }
        let mut up_to = None;
        loop {
            (_, up_to) = self.drop_held(webhook, up_to)?;
            if up_to.is_none() {
                return Ok(());
            }
        }
    }

    fn store_registration(&mut self, registration: &Registration) -> Result<(), Fault> {
        self.connection.prepare_cached(sql!("store_registration"))?.execute(params![
            registration.id.0.cast_signed(),
            &*registration.row,
            registration.in_force.as_deref(),
        ])?;
        Ok(())
    }
}
