//! A database that says what it is told to, as fast as it is asked: capture's own loop runs on it.

use crate::sample;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use tokio_util::sync::CancellationToken;
use walhook::capture::{Bindings, Database, Server};
use walhook::catalog::{self, BindingStatus, Fault, Standing};
use walhook::change::{Relation, RelationId};
use walhook::form::{BindingRecord, BoundForm, Form};
use walhook::lsn::{Durable, Lsn};
use walhook::registry::{self, Row};
use walhook::source::{
    CreatedSlot, Error, Message, SlotState, Source, SystemIdentity, TimelineSwitch, pgoutput,
};

const FROM: Lsn = Lsn(0x0100_0000);

/// What the log says: as bytes, which the stream decodes, or decoded already.
pub enum Said {
    Bytes(Bytes),
    Message(Message),
}

/// The database, whose stream says so many of these and then asks for the end.
pub struct Played {
    log: Mutex<VecDeque<Said>>,
    count: usize,
    end: CancellationToken,
}

impl Played {
    pub fn new(log: VecDeque<Said>, count: usize, end: CancellationToken) -> Self {
        Self { log: Mutex::new(log), count, end }
    }
}

impl Database for Played {
    type Server = Connection;
    type Bindings = Table;

    async fn connect(&self) -> Result<Connection, Error> {
        let log = std::mem::take(&mut *self.log.lock().expect("nobody panics with the log"));
        Ok(Connection(Log { ahead: log, left: self.count, end: self.end.clone() }))
    }

    async fn confirmed(&self, _: &str) -> Result<Option<Lsn>, Error> {
        Ok(Some(FROM))
    }

    async fn registrations(&self, _: Option<&str>) -> Result<Option<Vec<Row>>, registry::Error> {
        Ok(None)
    }

    async fn bind(
        &self,
        forms: Vec<Arc<Form>>,
        _: &[String],
        _: Vec<BindingRecord>,
    ) -> Result<Table, catalog::Error> {
        let status = BindingStatus {
            form: sample::FORM.into(),
            table: sample::FORM.into(),
            standing: Standing::Bound,
            faults: vec![],
        };
        Ok(Table { forms, bound: [sample::bound()], statuses: [status] })
    }
}

/// A connection before it streams.
pub struct Connection(Log);

impl Server for Connection {
    type Stream = Log;

    async fn identify(&mut self) -> Result<SystemIdentity, Error> {
        Ok(SystemIdentity {
            system_id: "7".into(),
            timeline: 1,
            wal_end: Lsn(u64::MAX),
            database: "play".into(),
        })
    }

    async fn slot(&mut self, _: &str) -> Result<Option<SlotState>, Error> {
        Ok(None)
    }

    async fn create_slot(&mut self, _: &str, _: &str) -> Result<CreatedSlot, Error> {
        Ok(CreatedSlot { consistent_point: FROM, snapshot: None })
    }

    async fn drop_slot(&mut self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    async fn timeline_history(&mut self, _: u32) -> Result<Vec<TimelineSwitch>, Error> {
        Ok(vec![])
    }

    async fn missing_publications(&mut self, _: &[String]) -> Result<Vec<String>, Error> {
        Ok(vec![])
    }

    async fn start(self, _: &str, _: Lsn, _: &[String]) -> Result<Log, Error> {
        Ok(self.0)
    }
}

/// The stream.
pub struct Log {
    ahead: VecDeque<Said>,
    left: usize,
    end: CancellationToken,
}

impl Source for Log {
    type Error = Error;

    async fn next(&mut self) -> Result<Message, Error> {
        match self.try_next()? {
            Some(message) => Ok(message),
            None => std::future::pending().await,
        }
    }

    fn try_next(&mut self) -> Result<Option<Message>, Error> {
        if self.left == 0 {
            self.end.cancel();
            return Ok(None);
        }
        self.left -= 1;
        match self.ahead.pop_front() {
            Some(Said::Message(message)) => Ok(Some(message)),
            Some(Said::Bytes(bytes)) => pgoutput::decode(bytes),
            None => Ok(None),
        }
    }

    fn confirm(&self, _: Durable) {}

    async fn close(self) -> Result<(), Error> {
        // to give back what was not said would count for the run that says less
        std::mem::forget(self.ahead);
        Ok(())
    }
}

/// The form at its table.
pub struct Table {
    forms: Vec<Arc<Form>>,
    bound: [Arc<BoundForm>; 1],
    statuses: [BindingStatus; 1],
}

impl Bindings for Table {
    fn statuses(&self) -> &[BindingStatus] {
        &self.statuses
    }

    fn forms(&self) -> impl Iterator<Item = &Arc<Form>> {
        self.forms.iter()
    }

    fn described(&self, _: &str) -> Option<Result<Arc<BoundForm>, Fault>> {
        Some(Ok(Arc::clone(&self.bound[0])))
    }

    async fn compare(&mut self) -> Result<&[BindingStatus], catalog::Error> {
        Ok(&self.statuses)
    }

    async fn relation(&mut self, _: Relation) -> Result<&[BindingStatus], catalog::Error> {
        Ok(&self.statuses)
    }

    fn latest(&self, form: &str) -> Option<Arc<BoundForm>> {
        self.described(form)?.ok()
    }

    async fn look_up(
        &mut self,
        _: Arc<BoundForm>,
        _: Vec<usize>,
        _: Vec<String>,
        _: usize,
    ) -> Result<catalog::Found, catalog::Error> {
        Ok(catalog::Found::Rows(Vec::new()))
    }

    async fn are_visible(&mut self, _: Vec<u32>) -> Result<bool, catalog::Error> {
        Ok(true)
    }

    async fn read_file(
        &mut self,
        _: Arc<BoundForm>,
        _: walhook::attachment::BoundAttachment,
        _: catalog::Whose,
    ) -> Result<catalog::FileFound, catalog::Error> {
        Ok(catalog::FileFound::Nothing)
    }

    fn forms_of(&self, _: RelationId) -> &[Arc<BoundForm>] {
        &self.bound
    }

    fn broken_of(&self, _: RelationId) -> impl Iterator<Item = &BindingStatus> {
        std::iter::empty()
    }

    fn binding_records(&self) -> Vec<BindingRecord> {
        vec![]
    }
}
