//! The source database as capture meets it. PostgreSQL is the real one; the simulation plays another, with the
//! same code of ours on top.

use crate::attachment::BoundAttachment;
use crate::catalog::{self, BindingStatus, Catalog, Fault, FileFound, Found, Whose};
use crate::change::{Relation, RelationId};
use crate::form::{BindingRecord, BoundForm, Form};
use crate::lsn::Lsn;
use crate::postgres::{APPLICATION_NAME, Address};
use crate::registry::{self, Door, Row};
use crate::source::{self, Control, CreatedSlot, SlotState, Source, Stream, SystemIdentity, TimelineSwitch};
use std::future::Future;
use std::sync::Arc;

/// A source database.
pub trait Database: Sync {
    /// A connection that asks for a stream.
    type Server: Server;
    /// The forms, bound by its catalogue.
    type Bindings: Bindings;

    /// Opens a connection that can become a stream.
    fn connect(&self) -> impl Future<Output = Result<Self::Server, source::Error>> + Send;

    /// How far a slot is confirmed, asked beside whoever streams from it.
    fn confirmed(&self, slot: &str) -> impl Future<Output = Result<Option<Lsn>, source::Error>> + Send;

    /// The rows of the registration table as of a snapshot, or as of now; none if there is no such table.
    fn registrations(
        &self,
        snapshot: Option<&str>,
    ) -> impl Future<Output = Result<Option<Vec<Row>>, registry::Error>> + Send;

    /// Binds forms as its catalogue is now, see [`Catalog::open`].
    fn bind(
        &self,
        forms: Vec<Arc<Form>>,
        publications: &[String],
        records: Vec<BindingRecord>,
    ) -> impl Future<Output = Result<Self::Bindings, catalog::Error>> + Send;
}

/// A connection before it streams, see [`Control`].
pub trait Server: Send {
    /// What it becomes.
    type Stream: Source<Error = source::Error>;

    /// Who the server is.
    fn identify(&mut self) -> impl Future<Output = Result<SystemIdentity, source::Error>> + Send;

    /// The slot of that name, if there is one.
    fn slot(&mut self, name: &str) -> impl Future<Output = Result<Option<SlotState>, source::Error>> + Send;

    /// Makes a slot.
    fn create_slot(
        &mut self,
        name: &str,
        plugin: &str,
    ) -> impl Future<Output = Result<CreatedSlot, source::Error>> + Send;

    /// Drops a slot that nobody reads.
    fn drop_slot(&mut self, name: &str) -> impl Future<Output = Result<(), source::Error>> + Send;

    /// Where the timelines before the given one were left, the oldest first.
    fn timeline_history(
        &mut self,
        timeline: u32,
    ) -> impl Future<Output = Result<Vec<TimelineSwitch>, source::Error>> + Send;

    /// Those of the publications that do not exist.
    fn missing_publications(
        &mut self,
        names: &[String],
    ) -> impl Future<Output = Result<Vec<String>, source::Error>> + Send;

    /// Starts the stream of a slot at a position.
    fn start(
        self,
        slot: &str,
        from: Lsn,
        publications: &[String],
    ) -> impl Future<Output = Result<Self::Stream, source::Error>> + Send;
}

/// Forms and their tables, see [`Catalog`].
pub trait Bindings: Send {
    /// How every form stands to its table as the catalogue was read last.
    fn statuses(&self) -> &[BindingStatus];

    /// All forms, bound or not.
    fn forms(&self) -> impl Iterator<Item = &Arc<Form>>;

    /// A form bound to its table as the catalogue described it last.
    fn described(&self, form: &str) -> Option<Result<Arc<BoundForm>, Fault>>;

    /// Reads the catalogue anew.
    fn compare(&mut self) -> impl Future<Output = Result<&[BindingStatus], catalog::Error>> + Send;

    /// Takes note of a table as the log describes it, before its changes.
    fn relation(
        &mut self,
        relation: Relation,
    ) -> impl Future<Output = Result<&[BindingStatus], catalog::Error>> + Send;

    /// A form as the log described its table last, or as the catalogue does, see [`Catalog::latest`].
    fn latest(&self, form: &str) -> Option<Arc<BoundForm>>;

    /// The rows of a form's table whose columns have these values, see [`Catalog::look_up`].
    fn look_up(
        &mut self,
        form: Arc<BoundForm>,
        by: Vec<usize>,
        values: Vec<String>,
        rows_max: usize,
    ) -> impl Future<Output = Result<Found, catalog::Error>> + Send;

    /// Whether sessions see what transactions have done, see [`Catalog::are_visible`].
    fn are_visible(&mut self, xids: Vec<u32>) -> impl Future<Output = Result<bool, catalog::Error>> + Send;

    /// The bytes of a file as they are now, see [`Catalog::read_file`].
    fn read_file(
        &mut self,
        form: Arc<BoundForm>,
        file: BoundAttachment,
        whose: Whose,
    ) -> impl Future<Output = Result<FileFound, catalog::Error>> + Send;

    /// The forms that are bound to a table.
    fn forms_of(&self, relation: RelationId) -> &[Arc<BoundForm>];

    /// The forms that mean a table but could not be bound to it.
    fn broken_of(&self, relation: RelationId) -> impl Iterator<Item = &BindingStatus>;

    /// What the forms are bound to, to be remembered with the position.
    fn binding_records(&self) -> Vec<BindingRecord>;
}

impl Database for Address {
    type Server = Control;
    type Bindings = Catalog;

    async fn connect(&self) -> Result<Control, source::Error> {
        Control::connect(self, APPLICATION_NAME).await
    }

    async fn confirmed(&self, slot: &str) -> Result<Option<Lsn>, source::Error> {
        source::confirmed(self, APPLICATION_NAME, slot).await
    }

    async fn registrations(&self, snapshot: Option<&str>) -> Result<Option<Vec<Row>>, registry::Error> {
        Door::new(self.clone(), APPLICATION_NAME).all(snapshot).await
    }

    async fn bind(
        &self,
        forms: Vec<Arc<Form>>,
        publications: &[String],
        records: Vec<BindingRecord>,
    ) -> Result<Catalog, catalog::Error> {
        Catalog::open(self, forms, publications, records).await
    }
}

impl Server for Control {
    type Stream = Stream;

    async fn identify(&mut self) -> Result<SystemIdentity, source::Error> {
        self.identify().await
    }

    async fn slot(&mut self, name: &str) -> Result<Option<SlotState>, source::Error> {
        self.slot(name).await
    }

    async fn create_slot(&mut self, name: &str, plugin: &str) -> Result<CreatedSlot, source::Error> {
        self.create_slot(name, plugin).await
    }

    async fn drop_slot(&mut self, name: &str) -> Result<(), source::Error> {
        self.drop_slot(name).await
    }

    async fn timeline_history(&mut self, timeline: u32) -> Result<Vec<TimelineSwitch>, source::Error> {
        self.timeline_history(timeline).await
    }

    async fn missing_publications(&mut self, names: &[String]) -> Result<Vec<String>, source::Error> {
        self.missing_publications(names).await
    }

    async fn start(self, slot: &str, from: Lsn, publications: &[String]) -> Result<Stream, source::Error> {
        self.start(slot, from, publications).await
    }
}

impl Bindings for Catalog {
    fn statuses(&self) -> &[BindingStatus] {
        self.statuses()
    }

    fn forms(&self) -> impl Iterator<Item = &Arc<Form>> {
        self.forms()
    }

    fn described(&self, form: &str) -> Option<Result<Arc<BoundForm>, Fault>> {
        self.described(form)
    }

    async fn compare(&mut self) -> Result<&[BindingStatus], catalog::Error> {
        self.compare().await
    }

    async fn relation(&mut self, relation: Relation) -> Result<&[BindingStatus], catalog::Error> {
        self.relation(relation).await
    }

    fn latest(&self, form: &str) -> Option<Arc<BoundForm>> {
        self.latest(form)
    }

    async fn look_up(
        &mut self,
        form: Arc<BoundForm>,
        by: Vec<usize>,
        values: Vec<String>,
        rows_max: usize,
    ) -> Result<Found, catalog::Error> {
        self.look_up(&form, &by, &values, rows_max).await
    }

    async fn are_visible(&mut self, xids: Vec<u32>) -> Result<bool, catalog::Error> {
        self.are_visible(&xids).await
    }

    async fn read_file(
        &mut self,
        form: Arc<BoundForm>,
        file: BoundAttachment,
        whose: Whose,
    ) -> Result<FileFound, catalog::Error> {
        self.read_file(&form, &file, &whose).await
    }

    fn forms_of(&self, relation: RelationId) -> &[Arc<BoundForm>] {
        self.forms_of(relation)
    }

    fn broken_of(&self, relation: RelationId) -> impl Iterator<Item = &BindingStatus> {
        self.broken_of(relation)
    }

    fn binding_records(&self) -> Vec<BindingRecord> {
        self.binding_records()
    }
}
