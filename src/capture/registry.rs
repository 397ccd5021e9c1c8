//! Registrations on their way from the log to those who match and send: they count for what is committed after them.

use super::subscriptions::Subscriptions;
use super::{Bindings, Capture, Error};
use crate::change::{OldRow, Relation, RelationId, RowChange};
use crate::observe::{Observation, Observers};
use crate::queue::Queue;
use crate::registration::{Registration, RegistrationChange, WebhookRecord};
use crate::registry::{self, Fault, Interpreter, Registered, Row, Standing, Unreadable, in_one_line};
use crate::source::Source;
use crate::webhook::{Webhook, WebhookId, Webhooks};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// What makes webhooks of registrations, and who is told.
#[derive(Clone, Debug)]
pub struct Registry {
    /// Knows the forms and the defaults.
    pub interpreter: Arc<dyn Interpreter>,
    /// Where everybody else finds them.
    pub registered: Registered,
}

impl Default for Registry {
    /// For those who have none: registrations mean nothing.
    fn default() -> Self {
        Self { interpreter: Arc::new(NoRegistry), registered: Registered::default() }
    }
}

#[derive(Debug)]
struct NoRegistry;

impl Interpreter for NoRegistry {
    fn sealed(&self, row: &Row) -> Row {
        row.clone()
    }

    fn interpret(&self, _: WebhookId, _: &Value) -> Result<Webhook, Vec<Fault>> {
        let message = "registrations are not read here".to_owned();
        Err(vec![Fault { field: String::new(), message, remedy: None, place: None }])
    }
}

/// What a transaction says of the registration table.
#[derive(Debug)]
pub(super) enum Said {
    Written(Row),
    Deleted(WebhookId),
    Emptied,
}

/// Registrations for everybody; none where one was deleted.
pub(super) type News = Vec<(WebhookId, Option<Standing>)>;

/// The registrations of a stream.
pub(super) struct Registrations {
    registry: Registry,
    /// The table, as the log described it last.
    table: Option<Relation>,
    known: BTreeMap<WebhookId, Registration>,
    /// The webhooks of the file: their numbers are taken.
    file: Arc<Webhooks>,
    /// The next sequence numbers of webhooks that are not known now, and were once.
    retired: HashMap<WebhookId, u64>,
}

impl Registrations {
    /// Those that the queue holds, told to everybody. `all_sequences` are of all webhooks that ever were.
    pub(super) fn open(
        registry: &Registry,
        file: &Arc<Webhooks>,
        all: Vec<Registration>,
        all_sequences: Vec<(WebhookId, u64)>,
    ) -> Self {
        let known: BTreeMap<_, _> = all.into_iter().map(|one| (one.id, one)).collect();
        let this = Self {
            registry: registry.clone(),
            table: None,
            known,
            file: Arc::clone(file),
            retired: all_sequences.into_iter().collect(),
        };
        let standings = this.known.values().filter_map(|one| {
            let row = Row::read(&one.row).ok()?;
            Some((one.id, this.standing(Arc::new(row), one.in_force.as_deref())))
        });
        registry.registered.replace(standings.collect());
        this
    }

    /// The registered webhooks that are in force, beside those of the file.
    pub(super) fn webhooks(&self) -> Webhooks {
        let own = self.registry.registered.all().into_iter().filter_map(|(_, standing)| standing.webhook);
        self.file.iter().cloned().chain(own.filter(|one| !self.is_of_file(one.id))).collect()
    }

    /// What the queue keeps books by, of all webhooks.
    pub(super) fn records(&self) -> Vec<WebhookRecord> {
        let mut records: Vec<WebhookRecord> = self.file.iter().map(|one| record(one)).collect();
        let own = self.registry.registered.all();
        let own = own.iter().filter(|(id, _)| !self.is_of_file(*id));
        records.extend(own.map(|(id, standing)| record_of(*id, standing)));
        records
    }

    fn is_of_file(&self, id: WebhookId) -> bool {
        self.file.find(id).is_some()
    }

    /// Tells everybody. What is deleted is in the queue's hands before, so that what it had queued can be dropped.
    pub(super) fn tell(&self, news: News) {
        self.registry.registered.change(news);
    }

    /// Takes note of how the table looks. Returns whether it is the registration table.
    pub(super) fn describe(&mut self, relation: &Relation) -> bool {
        let is_it = registry::is_table(relation);
        if is_it {
            self.table = Some(relation.clone());
        }
        is_it
    }

    pub(super) fn is_of(&self, relation: RelationId) -> bool {
        self.table.as_ref().is_some_and(|table| table.id == relation)
    }

    /// What a row change of the table says.
    pub(super) fn said(&self, change: RowChange) -> Result<Vec<Said>, Unreadable> {
        let Some(table) = &self.table else { return Ok(Vec::new()) };
        let deleted = |old: &OldRow| {
            let row = old.row().map(|old| Row::of(table, old)).transpose()?;
            Ok(row.and_then(|row| row.id()))
        };
        Ok(match change {
            RowChange::Insert { new } => vec![Said::Written(Row::of(table, &new)?)],
            RowChange::Update { old, new } => {
                let new = match old.full() {
                    Some(old) => new.filled_from(old),
                    None => new,
                };
                let new = Row::of(table, &new)?;
                let renamed = deleted(&old)?.filter(|old| Some(*old) != new.id());
                renamed.map(Said::Deleted).into_iter().chain([Said::Written(new)]).collect()
            }
            RowChange::Delete { old } => deleted(&old)?.map(Said::Deleted).into_iter().collect(),
        })
    }

    /// What becomes of a row: itself, or what was in force before where it cannot work.
    fn standing(&self, row: Arc<Row>, in_force: Option<&str>) -> Standing {
        let Some(id) = row.id() else {
            return Standing { row, webhook: None, faults: Vec::new().into() };
        };
        match self.registry.interpreter.interpret(id, &row.native()) {
            Ok(webhook) => Standing { row, webhook: Some(Arc::new(webhook)), faults: Vec::new().into() },
            Err(faults) => {
                let before = in_force.and_then(|text| Row::read(text).ok());
                let webhook = before
                    .and_then(|before| self.registry.interpreter.interpret(id, &before.native()).ok())
                    // to stop it nothing has to be right
                    .map(|webhook| Webhook { enabled: webhook.enabled && row.is_enabled(), ..webhook });
                Standing { row, webhook: webhook.map(Arc::new), faults: faults.into() }
            }
        }
    }

    /// A row was written.
    fn write(&mut self, id: WebhookId, row: Row) -> (RegistrationChange, Standing) {
        let row = Arc::new(row);
        let before = self.known.get(&id);
        let earlier = before.map(|before| before.in_force.clone().unwrap_or_else(|| Arc::clone(&before.row)));
        let standing = self.standing(Arc::clone(&row), earlier.as_deref());
        let is_own_hand = before
            .and_then(|before| Row::read(&before.row).ok())
            .is_some_and(|before| row.is_resealed(&before));
        let in_force = if standing.faults.is_empty() { None } else { earlier };
        // what came as plain text stays in memory
        let stored = self.registry.interpreter.sealed(&row).text();
        let registration = Registration { id, row: stored, in_force };
        self.known.insert(id, registration.clone());
        let record = (!self.is_of_file(id)).then(|| record_of(id, &standing));
        (RegistrationChange::Written { registration, record, resumes: !is_own_hand }, standing)
    }
}

fn record_of(id: WebhookId, standing: &Standing) -> WebhookRecord {
    match &standing.webhook {
        Some(webhook) => record(webhook),
        // nothing is enqueued for it; what is queued waits
        None => WebhookRecord {
            id,
            name: standing.row.name(),
            enabled: false,
            backlog_bytes_max: i64::MAX.cast_unsigned(),
        },
    }
}

/// What the queue keeps books by.
pub(super) fn record(webhook: &Webhook) -> WebhookRecord {
    WebhookRecord {
        id: webhook.id,
        name: webhook.name.clone(),
        enabled: webhook.enabled,
        backlog_bytes_max: webhook.sending.backlog_bytes_max,
    }
}

impl<S: Source, B: Bindings> Capture<'_, S, B>
where
    Error: From<S::Error>,
{
    /// Takes what a transaction has said of registrations into service, behind everything that it changed. Returns what
    /// is to be told once it is on its way to the queue.
    pub(super) async fn register(&mut self, said: Vec<Said>) -> Result<News, Error> {
        let mut changes = Vec::new();
        let mut frees_held = false;
        for said in said {
            match said {
                Said::Written(row) => {
                    let Some(id) = row.id() else { continue };
                    // one that was there before goes on where it was
                    let next_sequence = self.registrations.retired.get(&id).copied().unwrap_or(1);
                    let (change, standing) = self.registrations.write(id, row);
                    tell_of(&self.observers, id, &standing);
                    match &standing.webhook {
                        _ if self.registrations.is_of_file(id) => {}
                        Some(webhook) => {
                            frees_held |= self.subscriptions.put(webhook, next_sequence);
                            self.compile_for(webhook);
                        }
                        None => self.retire(id),
                    }
                    self.batch.registrations.push(change);
                    changes.push((id, Some(standing)));
                }
                Said::Deleted(id) => self.unregister(id, &mut changes),
                Said::Emptied => {
                    let all: Vec<WebhookId> = self.registrations.known.keys().copied().collect();
                    for id in all {
                        self.unregister(id, &mut changes);
                    }
                }
            }
        }
        if frees_held {
            self.judge_held().await?;
        }
        Ok(changes)
    }

    fn unregister(&mut self, id: WebhookId, changes: &mut News) {
        if self.registrations.known.remove(&id).is_none() {
            return;
        }
        self.observers.tell(Observation::Unregistered { id });
        let unregisters = !self.registrations.is_of_file(id);
        if unregisters {
            self.retire(id);
        }
        self.batch.registrations.push(RegistrationChange::Deleted { id, unregisters });
        changes.push((id, None));
    }

    fn retire(&mut self, id: WebhookId) {
        if let Some(next_sequence) = self.subscriptions.remove(id) {
            self.registrations.retired.insert(id, next_sequence);
        }
    }

    /// A form that nobody listened to has no index yet; whether a condition fits it is to be known at once.
    fn compile_for(&mut self, webhook: &Webhook) {
        for form in webhook.forms() {
            if webhook.enabled
                && !self.subscriptions.is_compiled(form)
                && let Some(bound) = self.forms.now(form)
            {
                self.subscriptions.adopt(&bound);
            }
        }
    }
}

fn tell_of(observers: &Observers, id: WebhookId, standing: &Standing) {
    let webhook = standing.row.name();
    observers.tell(if standing.faults.is_empty() {
        Observation::Registered { id, webhook }
    } else {
        Observation::RegistrationRefused { id, webhook, reason: in_one_line(&standing.faults) }
    });
}

/// Reads the registrations as of a position, and says what they are numbered by.
pub(super) async fn load(
    registry: &Registry,
    file: &Arc<Webhooks>,
    queue: &dyn Queue,
) -> Result<Registrations, Error> {
    let stored = queue.registrations().await?;
    Ok(Registrations::open(registry, file, stored.all, stored.next_sequences))
}

/// Makes the webhooks known to the queue, and meets events with them from here on.
pub(super) async fn subscribe(
    registrations: &Registrations,
    queue: &dyn Queue,
    observers: &Observers,
) -> Result<Subscriptions, Error> {
    let standings = queue.register(registrations.records()).await?;
    Ok(Subscriptions::new(&registrations.webhooks(), &standings, observers.clone()))
}
