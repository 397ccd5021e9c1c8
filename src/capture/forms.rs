//! The forms as the stream meets them: bound by what the log says, remembered in the queue, told of.

use super::Error;
use super::database::Bindings;
use crate::attachment::BoundAttachment;
use crate::catalog::{BindingStatus, Description, FileFound, Found, Latest, Standing, Whose};
use crate::change::{Relation, RelationId};
use crate::form::{BindingRecord, BoundForm};
use crate::observe::{Observation, Observers};
use crate::queue::Queue;
use std::collections::BTreeMap;
use std::sync::Arc;

/// The forms of a stream.
pub(super) struct Forms<'q, B> {
    catalog: B,
    queue: &'q dyn Queue,
    observers: Observers,
    /// What the queue remembers of each form's table.
    remembered: BTreeMap<String, BindingRecord>,
    /// What was told of each form last.
    told: BTreeMap<String, BindingStatus>,
    /// Where they are shown to others.
    latest: Latest,
}

impl<'q, B: Bindings> Forms<'q, B> {
    /// Takes the forms into service. A form that is broken and never was otherwise is a mistake of the
    /// configuration, and refused; one that worked before is told of, and the others go on.
    pub(super) async fn open(
        catalog: B,
        records: Vec<BindingRecord>,
        queue: &'q dyn Queue,
        observers: Observers,
        latest: Latest,
    ) -> Result<Self, Error> {
        let remembered: BTreeMap<_, _> =
            records.into_iter().map(|record| (record.form.clone(), record)).collect();
        let statuses = catalog.statuses().to_vec();
        refuse_unfit(&statuses, |form| remembered.contains_key(form))?;
        let mut forms = Self { catalog, queue, observers, remembered, told: BTreeMap::new(), latest };
        forms.tell(statuses);
        forms.remember().await?;
        Ok(forms)
    }

    /// Takes note of a table as the log describes it.
    pub(super) async fn bind(&mut self, relation: Relation) -> Result<(), Error> {
        let statuses = self.catalog.relation(relation).await?.to_vec();
        self.tell(statuses);
        self.remember().await
    }

    /// Compares all forms with the catalogue: renames are followed, what no longer fits is told.
    pub(super) async fn compare(&mut self) -> Result<(), Error> {
        let statuses = self.catalog.compare().await?.to_vec();
        self.tell(statuses);
        self.remember().await
    }

    /// A form bound to its table as the catalogue described it last.
    pub(super) fn now(&self, form: &str) -> Option<Arc<BoundForm>> {
        self.catalog.described(form)?.ok()
    }

    /// All forms as they are now, those that can be bound.
    pub(super) fn all_now(&self) -> impl Iterator<Item = Arc<BoundForm>> {
        self.catalog.forms().filter_map(|form| self.now(&form.name))
    }

    /// The tables of all forms that are configured, as they are bound now or were last.
    pub(super) fn tables(&self) -> Vec<RelationId> {
        let last = self.catalog.forms().filter_map(|form| self.remembered.get(&form.name));
        let now = self.all_now().map(|form| form.relation.id);
        now.chain(last.map(|record| record.relation)).collect()
    }

    /// The names under which a form goes on: its own while it is configured, else those of the forms that took its
    /// table over.
    pub(super) fn names_now(&self, form: &str) -> Vec<String> {
        let is_configured = |name: &str| self.catalog.forms().any(|one| one.name == name);
        if is_configured(form) {
            return vec![form.to_owned()];
        }
        let heirs = self.remembered.values().filter(|record| {
            is_configured(&record.form) && record.rules.iter().any(|rule| rule.form == form)
        });
        heirs.map(|record| record.form.clone()).collect()
    }

    /// A form as the log described its table last, or as the catalogue does.
    pub(super) fn latest(&self, form: &str) -> Option<Arc<BoundForm>> {
        self.catalog.latest(form)
    }

    /// The rows of a form's table whose columns have these values, as they are now; no more than `rows_max`.
    pub(super) async fn look_up(
        &mut self,
        form: &Arc<BoundForm>,
        by: &[usize],
        values: &[String],
        rows_max: usize,
    ) -> Result<Found, Error> {
        Ok(self.catalog.look_up(Arc::clone(form), by.to_vec(), values.to_vec(), rows_max).await?)
    }

    /// Whether sessions see what transactions have done.
    pub(super) async fn are_visible(&mut self, xids: &[u32]) -> Result<bool, Error> {
        Ok(self.catalog.are_visible(xids.to_vec()).await?)
    }

    /// The bytes of a file as they are now.
    pub(super) async fn read_file(
        &mut self,
        form: &Arc<BoundForm>,
        file: &BoundAttachment,
        whose: Whose,
    ) -> Result<FileFound, Error> {
        Ok(self.catalog.read_file(Arc::clone(form), file.clone(), whose).await?)
    }

    /// The forms of a table.
    pub(super) fn of(&self, relation: RelationId) -> &[Arc<BoundForm>] {
        self.catalog.forms_of(relation)
    }

    /// The forms that mean a table but are broken, each with the reason why its changes cannot be told.
    pub(super) fn broken(&self, relation: RelationId) -> Vec<(String, String)> {
        self.catalog.broken_of(relation).map(|status| (status.form.clone(), status.reason())).collect()
    }

    /// The name of a form that means the table.
    pub(super) fn name_of(&self, relation: RelationId) -> Option<String> {
        let bound = self.of(relation).first().map(|bound| bound.form.name.clone());
        bound.or_else(|| self.catalog.broken_of(relation).next().map(|status| status.form.clone()))
    }

    fn tell(&mut self, statuses: Vec<BindingStatus>) {
        for status in statuses {
            if self.told.get(&status.form) == Some(&status) {
                continue;
            }
            let (form, table) = (status.form.clone(), status.table.clone());
            self.observers.tell(match status.standing {
                Standing::Broken => Observation::FormBroken { form, reason: status.reason() },
                Standing::Bound | Standing::Renamed { .. } | Standing::Replaced => {
                    Observation::FormBound { form, table }
                }
            });
            self.told.insert(status.form.clone(), status);
        }
        let statuses = self.told.values().cloned().collect();
        let forms = self.all_now().filter(|form| form.belonging.is_none()).collect();
        self.latest.replace(Description { forms, statuses });
    }

    async fn remember(&mut self) -> Result<(), Error> {
        let mut records = self.catalog.binding_records();
        // who takes rules over has them before the one before is without
        records.sort_by_key(|record| record.rules.is_empty());
        for record in records {
            if self.remembered.get(&record.form) != Some(&record) {
                self.queue.record_binding(record.clone()).await?;
                self.remembered.insert(record.form.clone(), record);
            }
        }
        Ok(())
    }
}

/// Refuses forms that are broken and never worked.
pub(super) fn refuse_unfit(
    statuses: &[BindingStatus],
    worked_before: impl Fn(&str) -> bool,
) -> Result<(), Error> {
    let unfit = statuses.iter().filter(|status| status.is_broken() && !worked_before(&status.form));
    let reasons: Vec<String> =
        unfit.map(|status| format!("form {:?}: {}", status.form, status.reason())).collect();
    if reasons.is_empty() { Ok(()) } else { Err(Error::Forms { reasons }) }
}
