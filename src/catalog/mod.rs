//! Tables and types as PostgreSQL describes them, bound to forms.
//!
//! The log says how a table looked when a change was written, but only by column names and type oids. The
//! catalogue knows the rest (types, primary keys, column numbers, publications), but as of now. A [`Catalog`]
//! brings the two together: it binds forms when the log describes a table ([`Catalog::relation`]), and
//! compares forms with the catalogue at the start and from time to time ([`Catalog::compare`]).
//!
//! A form follows its table by the rules of [`Standing`]: the name decides, and where nothing has that name any
//! more, the oid. Its columns likewise: the name, else the column's number at the last binding. A followed
//! column keeps its field name; a new column appears as a field by itself; a dropped one vanishes, and the form
//! with it only if it was part of the entry id. The stream is never ended for any of this.

mod attachments;
mod bind;
mod check;
mod fault;
mod files;
mod kinds;
mod latest;
mod look_up;
mod reader;
mod rules;
mod sight;
mod status;
mod supplied;
mod table;
mod types;

pub use fault::{Fault, Key, NoFile, Unloggable};
pub use files::{FileFound, Whose, read_file};
pub use latest::{Description, Latest};
pub use look_up::Found;
pub use reader::Error;
pub use status::{BindingStatus, Standing};

use crate::attachment::BoundAttachment;
use crate::change::{Relation, RelationId};
use crate::form::{BindingRecord, BoundForm, Form, Supplied};
use crate::nearby::nearby;
use crate::postgres::{Address, Session};
use bind::{Facts, bind, lane_rule, record};
use check::check;
use reader::{Reader, connect};
use rules::{hand_over, note, rules_at, rules_in};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use table::{Named, Table, Tables};
use types::Types;

/// How many tables are remembered that no form maps, near enough: a database that makes and drops tables all
/// day must not fill the memory. A form that is added later is then bound when the log describes its table
/// again.
const RELATIONS_MAX: usize = 10_000;

/// Forms and their tables.
pub struct Catalog {
    address: Address,
    session: Session,
    forms: Vec<Arc<Form>>,
    publications: Vec<String>,
    records: BTreeMap<String, BindingRecord>,
    tables: Tables,
    /// How the forms stood when the tables were read.
    statuses: Vec<BindingStatus>,
    types: Types,
    /// The forms bound to their tables as the catalogue describes them, by name.
    described: BTreeMap<String, Result<Arc<BoundForm>, Fault>>,
    /// Every table that the log has described, mapped or not.
    seen: HashMap<RelationId, Seen>,
}

/// A table that the log has described.
struct Seen {
    relation: Arc<Relation>,
    bound: Vec<Arc<BoundForm>>,
    statuses: Vec<BindingStatus>,
}

/// The table that a form stands for now.
enum Aim {
    At { table: Arc<Table>, standing: Standing },
    Nowhere(Fault),
}

impl Catalog {
    /// Opens a session and reads what concerns the forms. `publications` are ours, the one that carries
    /// updates first; `records` is what the forms were bound to before, from the queue.
    ///
    /// What is wrong with forms is no error: [`Catalog::statuses`] tells.
    pub async fn open(
        address: &Address,
        forms: Vec<Arc<Form>>,
        publications: &[String],
        records: Vec<BindingRecord>,
    ) -> Result<Self, Error> {
        let session = connect(address).await?;
        let mut catalog = Self {
            address: address.clone(),
            session,
            forms,
            publications: publications.to_vec(),
            records: records.into_iter().map(|record| (record.form.clone(), record)).collect(),
            tables: Tables::default(),
            statuses: Vec::new(),
            types: Types::default(),
            described: BTreeMap::new(),
            seen: HashMap::new(),
        };
        catalog.read().await?;
        Ok(catalog)
    }

    /// How every form stands to its table as the catalogue was read last, in the order of the forms.
    pub fn statuses(&self) -> &[BindingStatus] {
        &self.statuses
    }

    /// All forms, bound or not.
    pub fn forms(&self) -> impl Iterator<Item = &Arc<Form>> {
        self.forms.iter()
    }

    /// A form bound to its table as the catalogue described it last, without a word of the log: for whoever has
    /// to know the fields before the first change. None if there is no such form, or no table for it.
    pub fn described(&self, form: &str) -> Option<Result<Arc<BoundForm>, Fault>> {
        self.described.get(form).cloned()
    }

    /// Reads the catalogue anew and tells how every form stands. For the start and once a minute: tables that
    /// were created or published meanwhile are bound from their next change on, and row types and enums that
    /// changed are read again. A binding that came out as it was is the same [`Arc`] as before.
    ///
    /// A form that is broken here may still be bound: the log can have changes from before.
    pub async fn compare(&mut self) -> Result<&[BindingStatus], Error> {
        self.renew_session().await?;
        self.types.learn_again(&Reader { session: &self.session }).await?;
        self.read().await?;
        self.bind_all().await?;
        Ok(&self.statuses)
    }

    /// Takes over other forms. Tables that the log has described already, and will not describe again, are
    /// bound at once.
    pub async fn take_over(&mut self, forms: Vec<Arc<Form>>) -> Result<&[BindingStatus], Error> {
        self.forms = forms;
        self.compare().await
    }

    /// Takes note of a table as the log describes it, before its changes. Returns how the forms that are bound
    /// to it stand; nothing where no form maps it. Dropping the future leaves the table as it was known before.
    pub async fn relation(&mut self, relation: Relation) -> Result<&[BindingStatus], Error> {
        let id = relation.id;
        let is_known = self.seen.get(&id).is_some_and(|seen| *seen.relation == relation);
        if !is_known {
            let relation = Arc::new(relation);
            if self.forms.iter().any(|form| self.may_mean(form, &relation)) {
                self.read().await?;
            }
            self.bind_relation(relation).await?;
        }
        Ok(self.seen.get(&id).map_or(&[], |seen| &seen.statuses))
    }

    /// A form as the log described its table last, or as the catalogue does.
    pub fn latest(&self, form: &str) -> Option<Arc<BoundForm>> {
        let seen = self.seen.values().flat_map(|seen| &seen.bound).find(|bound| bound.form.name == form);
        seen.cloned().or_else(|| self.described(form)?.ok())
    }

    /// The rows of a form's table whose columns have these values, as they are now; no more than `rows_max`.
    pub async fn look_up(
        &mut self,
        form: &BoundForm,
        by: &[usize],
        values: &[String],
        rows_max: usize,
    ) -> Result<Found, Error> {
        self.renew_session().await?;
        look_up::look_up(&self.session, form, by, values, rows_max).await
    }

    /// Whether sessions see what all of these transactions have done.
    pub async fn are_visible(&mut self, xids: &[u32]) -> Result<bool, Error> {
        self.renew_session().await?;
        sight::are_visible(&self.session, xids).await
    }

    /// The bytes of a file as they are now.
    pub async fn read_file(
        &mut self,
        form: &BoundForm,
        file: &BoundAttachment,
        whose: &Whose,
    ) -> Result<FileFound, Error> {
        self.renew_session().await?;
        files::read(&self.session, form, file, whose).await
    }

    /// The forms that are bound to a table: none where it is not mapped, several where they share it.
    pub fn forms_of(&self, relation: RelationId) -> &[Arc<BoundForm>] {
        self.seen.get(&relation).map_or(&[], |seen| &seen.bound)
    }

    /// The forms that mean a table but could not be bound to it. Its changes concern them, and cannot be told.
    pub fn broken_of(&self, relation: RelationId) -> impl Iterator<Item = &BindingStatus> {
        let statuses = self.seen.get(&relation).map_or(&[][..], |seen| &seen.statuses);
        statuses.iter().filter(|status| status.is_broken())
    }

    /// What the forms are bound to, to be remembered with the position.
    pub fn binding_records(&self) -> Vec<BindingRecord> {
        self.records.values().cloned().collect()
    }

    async fn renew_session(&mut self) -> Result<(), Error> {
        if self.session.is_closed() {
            self.session = connect(&self.address).await?;
        }
        Ok(())
    }

    async fn read(&mut self) -> Result<(), Error> {
        self.renew_session().await?;
        let bound_before: Vec<RelationId> = self.records.values().map(|record| record.relation).collect();
        let reader = Reader { session: &self.session };
        let tables = Tables::read(&reader, &self.forms, &bound_before, &self.publications).await?;
        self.types.learn(&reader, &tables.type_oids()).await?;
        self.tables = tables;
        let judged: Vec<_> = self.forms.iter().map(|form| self.judge(form)).collect();
        self.statuses.clear();
        self.described.clear();
        for Judged { status, record, described } in judged {
            if let Some(described) = described {
                self.described.insert(status.form.clone(), described);
            }
            if let Some(record) = record {
                self.records.insert(status.form.clone(), record);
            }
            self.statuses.push(status);
        }
        hand_over(&mut self.records, &self.forms);
        Ok(())
    }

    async fn bind_all(&mut self) -> Result<(), Error> {
        if self.seen.len() > RELATIONS_MAX {
            self.seen.retain(|_, seen| !seen.statuses.is_empty());
        }
        let relations: Vec<_> = self.seen.values().map(|seen| Arc::clone(&seen.relation)).collect();
        for relation in relations {
            self.bind_relation(relation).await?;
        }
        Ok(())
    }

    async fn bind_relation(&mut self, relation: Arc<Relation>) -> Result<(), Error> {
        let forms: Vec<_> = self.forms.iter().filter(|form| self.means(form, &relation)).cloned().collect();
        if !forms.is_empty() {
            let oids: Vec<u32> = relation.columns.iter().map(|column| column.type_oid).collect();
            self.types.learn(&Reader { session: &self.session }, &oids).await?;
        }
        let mut seen = Seen { relation, bound: Vec::new(), statuses: Vec::new() };
        for form in forms {
            self.bind_form(&form, &mut seen);
        }
        self.seen.insert(seen.relation.id, seen);
        Ok(())
    }

    fn bind_form(&mut self, form: &Arc<Form>, seen: &mut Seen) {
        let relation = &seen.relation;
        let rules = rules_in(self.records.get(&form.name), relation.id);
        let supplied = self.types_of_supplied(form);
        let facts = Facts {
            relation,
            table: self.tables.by_oid(relation.id).map(Arc::as_ref),
            record: self.record_of(form, relation.id),
            rules: &rules,
            types: &self.types,
            supplied: &supplied,
        };
        let Some(mut status) = self.statuses.iter().find(|status| status.form == form.name).cloned() else {
            return;
        };
        match bind(form, &facts) {
            Ok(bound) => {
                if status.is_broken() {
                    // The log has the table, whatever the catalogue says by now; `statuses` tells of that.
                    status.standing = Standing::Bound;
                }
                let before = self.forms_of(relation.id).iter().find(|known| known.form.name == form.name);
                let rule = lane_rule(&bound, &facts);
                let goes_on = before.is_some_and(|before| before.key == bound.key);
                seen.bound.push(same_or_new(before, bound));
                if let Some(record) = self.records.get_mut(&form.name) {
                    note(record, relation.id, rule, goes_on);
                }
            }
            Err(fault) => {
                status.standing = Standing::Broken;
                status.faults = vec![fault];
            }
        }
        seen.statuses.push(status);
    }

    /// Whether a form may mean a table of the log, judged without asking the server.
    fn may_mean(&self, form: &Form, relation: &Relation) -> bool {
        let is_called_so = relation.name == form.table
            && form.schema.as_ref().is_none_or(|schema| *schema == relation.schema);
        let was_bound = self.records.get(&form.name).is_some_and(|record| record.relation == relation.id);
        is_called_so || was_bound || self.means(form, relation)
    }

    /// Whether a form means a table of the log: it has the form's name there, or is what the form stands for
    /// now.
    fn means(&self, form: &Form, relation: &Relation) -> bool {
        let schema = form.schema.as_deref();
        let (oid, schema) = match self.aim(form) {
            Aim::At { table, standing: Standing::Renamed { .. } } => {
                (Some(table.oid), schema.map(str::to_owned).or_else(|| self.schema_before(form)))
            }
            Aim::At { table, .. } => (Some(table.oid), Some(table.schema.clone())),
            Aim::Nowhere(_) => (None, schema.map(str::to_owned).or_else(|| self.schema_before(form))),
        };
        let schema = schema.as_deref().unwrap_or("public");
        oid == Some(relation.id) || relation.name == form.table && relation.schema == schema
    }

    fn schema_before(&self, form: &Form) -> Option<String> {
        self.records.get(&form.name).map(|record| record.schema.clone())
    }

    fn record_of(&self, form: &Form, table: RelationId) -> Option<&BindingRecord> {
        self.records.get(&form.name).filter(|record| record.relation == table)
    }

    /// The table that a form stands for: the one of its name; where there is none, the one that it was bound
    /// to, whatever it is called now.
    fn aim(&self, form: &Form) -> Aim {
        let record = self.records.get(&form.name);
        match self.tables.named_by(form, record.map(|record| record.schema.as_str())) {
            Named::Table(table) => {
                let is_another = record.is_some_and(|record| {
                    record.relation != table.oid
                        && record.table == table.name
                        && record.schema == table.schema
                });
                let standing = if is_another { Standing::Replaced } else { Standing::Bound };
                Aim::At { table, standing }
            }
            Named::Several(schemas) => Aim::Nowhere(Fault::Ambiguous { table: called(form), schemas }),
            Named::Nothing => match record.filter(|record| is_of(record, form)) {
                Some(record) => match self.tables.by_oid(record.relation) {
                    Some(table) => {
                        let table = Arc::clone(table);
                        Aim::At { table, standing: Standing::Renamed { was: called(form) } }
                    }
                    None => Aim::Nowhere(Fault::Dropped { table: called(form) }),
                },
                None => Aim::Nowhere(self.missing(form, called(form))),
            },
        }
    }

    fn missing(&self, form: &Form, table: String) -> Fault {
        let full_names: Vec<String> =
            self.tables.names.iter().map(|(schema, name)| format!("{schema}.{name}")).collect();
        let nearby = match &form.schema {
            Some(_) => nearby(&table, full_names.iter().map(String::as_str)),
            None => nearby(&table, self.tables.names.iter().map(|(_, name)| name.as_str())),
        };
        Fault::Missing { table, nearby: nearby.into_iter().map(str::to_owned).collect() }
    }

    /// How a form stands now.
    fn judge(&self, form: &Arc<Form>) -> Judged {
        let (table, mut standing) = match self.aim(form) {
            Aim::At { table, standing } => (table, standing),
            Aim::Nowhere(fault) => {
                let (standing, faults) = (Standing::Broken, vec![fault]);
                let status = BindingStatus { form: form.name.clone(), table: called(form), standing, faults };
                return Judged { status, record: None, described: None };
            }
        };
        let publication = self.publications.first().map_or("walhook", String::as_str);
        let exists = self.tables.publications.iter().any(|name| name == publication);
        let before = self.record_of(form, table.oid);
        let mut faults = check(form, &table, before, (publication, exists));
        if standing == Standing::Replaced && !table.published.as_itself {
            faults.insert(0, Fault::Replaced { table: table.sql_name.clone() });
        }
        let described = self.describe(form, &table, before);
        if let Err(fault @ Fault::Entries { .. }) = &described {
            faults.push(fault.clone());
        }
        let is_broken = faults.iter().any(Fault::breaks);
        if is_broken {
            standing = Standing::Broken;
        }
        let record = (!is_broken).then(|| {
            let rules = rules_at(&table, form, &self.forms, &self.records);
            BindingRecord { rules, ..record(form, &table, before) }
        });
        let status =
            BindingStatus { form: form.name.clone(), table: table.sql_name.clone(), standing, faults };
        Judged { status, record, described: Some(described) }
    }

    /// The types of a form's fields that stand in rows of other tables, as those are now.
    fn types_of_supplied(&self, form: &Form) -> Vec<u32> {
        let type_of = |field: &Supplied| {
            let other = self.forms.iter().find(|other| other.name == field.from)?;
            let Aim::At { table, .. } = self.aim(other) else { return None };
            // several columns have a text in common
            let [column] = &field.columns[..] else { return None };
            table.column(column).map(|column| column.type_oid)
        };
        form.supplied.iter().map(|field| type_of(field).unwrap_or(supplied::TEXT)).collect()
    }

    /// Binds a form to a table as the log would describe it now.
    fn describe(
        &self,
        form: &Arc<Form>,
        table: &Table,
        record: Option<&BindingRecord>,
    ) -> Result<Arc<BoundForm>, Fault> {
        let relation = Arc::new(table.as_logged());
        // no row is put into a lane by this binding
        let supplied = self.types_of_supplied(form);
        let facts = Facts {
            relation: &relation,
            table: Some(table),
            record,
            rules: &[],
            types: &self.types,
            supplied: &supplied,
        };
        let bound = bind(form, &facts)?;
        let before = self.described.get(&form.name).and_then(|described| described.as_ref().ok());
        Ok(same_or_new(before, bound))
    }
}

/// How a form stands, what to remember of its table if it is not broken, and its binding by the catalogue alone,
/// if there is a table.
struct Judged {
    status: BindingStatus,
    record: Option<BindingRecord>,
    described: Option<Result<Arc<BoundForm>, Fault>>,
}

/// A binding, or the one of before if that was the same: so nobody has to look whether something changed.
fn same_or_new(before: Option<&Arc<BoundForm>>, bound: BoundForm) -> Arc<BoundForm> {
    match before {
        Some(before) if **before == bound => Arc::clone(before),
        _ => Arc::new(bound),
    }
}

/// A form's table as the form names it.
fn called(form: &Form) -> String {
    form.schema.as_ref().map_or_else(|| form.table.clone(), |schema| format!("{schema}.{}", form.table))
}

/// Whether a record is of what the form names, and not of what it named before it was edited.
fn is_of(record: &BindingRecord, form: &Form) -> bool {
    record.table == form.table && form.schema.as_ref().is_none_or(|schema| *schema == record.schema)
}
