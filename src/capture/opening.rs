//! From a connection to a running stream: compares, creates, binds, starts.

use super::continuity::Continuity;
use super::database::{Database, Server as Asked};
use super::forms::{Forms, refuse_unfit};
use super::registry::{Registry, load, subscribe};
use super::start::{Server, Start, decide};
use super::subscriptions::Subscriptions;
use super::{Capture, Error, Tally};
use crate::catalog::{Catalog, Latest};
use crate::clock::Clock;
use crate::delivery::{Batch, StreamRecord};
use crate::form::{BoundForm, Form};
use crate::lsn::{Lsn, Progress};
use crate::observe::{Observation, Observers};
use crate::postgres::Address;
use crate::queue::Queue;
use crate::reference::References;
use crate::registration::Registration;
use crate::registry::Row;
use crate::source;
use crate::webhook::{WebhookId, Webhooks};
use futures_util::stream::FuturesOrdered;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// The output plugin that is read.
const PLUGIN: &str = "pgoutput";
/// The pause before a slot that somebody else reads is asked for again.
const SLOT_PAUSE: Duration = Duration::from_secs(1);

/// What capture is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The source database.
    pub address: Address,
    /// The replication slot.
    pub slot: String,
    /// The publication of whole tables, which must exist, and the one of tables that publish inserts only.
    pub publications: [String; 2],
    /// The forms.
    pub forms: Vec<Arc<Form>>,
    /// The webhooks of the file.
    pub webhooks: Arc<Webhooks>,
    /// What makes webhooks of those that are registered at run time.
    pub registry: Registry,
    /// How much of one transaction may be staged on disk, in bytes.
    pub staging_bytes_max: u64,
    /// Whether a slot that this queue knows nothing of may be taken over.
    pub adopt_slot: bool,
    /// What is kept in memory.
    pub bounds: Bounds,
    /// Where the forms are shown as they are bound.
    pub latest: Latest,
    /// What makes links to files; none means that messages with links have none.
    pub references: Option<References>,
    /// The time of day.
    pub clock: Clock,
}

/// How much capture keeps in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// How much of a transaction, in bytes; beyond it is staged on disk.
    pub in_memory_bytes_max: usize,
    /// How much of a staged transaction is rendered in one step, in bytes.
    pub page_bytes_max: usize,
    /// How many events go into a batch at most, but for a transaction that has more.
    pub batch_events_max: usize,
    /// How many bytes of bodies go into a batch, near enough.
    pub batch_bytes_max: usize,
}

/// The share of the queue's limit that a batch may take. A batch is refused wholly, so transactions that would fit one
/// by one must not come in one that never does.
const BATCH_SHARE: u64 = 8;

impl Bounds {
    /// The bounds for a queue of a size.
    fn within(self, queue_bytes_max: u64) -> Self {
        let share = usize::try_from(queue_bytes_max / BATCH_SHARE).unwrap_or(usize::MAX);
        Self { batch_bytes_max: self.batch_bytes_max.min(share), ..self }
    }
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            in_memory_bytes_max: 4 << 20,
            page_bytes_max: 2 << 20,
            batch_events_max: 1024,
            batch_bytes_max: 1 << 20,
        }
    }
}

/// Runs capture until the shutdown. Whatever stops it, it may be started again: it goes on from what the
/// queue holds.
pub async fn run(
    settings: &Settings,
    queue: &dyn Queue,
    observers: &Observers,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    run_on(&settings.address, settings, queue, observers, shutdown).await
}

/// The same on whatever plays the database.
pub async fn run_on<D: Database>(
    database: &D,
    settings: &Settings,
    queue: &dyn Queue,
    observers: &Observers,
    shutdown: &CancellationToken,
) -> Result<(), Error> {
    queue.discard_unfinished().await?;
    // those who send know them before the database answers
    let registrations = load(&settings.registry, &settings.webhooks, queue).await?;
    let is_first_start = queue.webhooks().await?.is_empty();
    if !is_first_start {
        queue.register(registrations.records()).await?;
    }
    let opened = tokio::select! {
        opened = open(database, settings, queue, observers) => opened?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let Opened { source, forms, stream, continuity } = opened;
    if is_first_start {
        // somebody sits before it; later one bad condition must not stop the other webhooks
        refuse_unfit_conditions(&settings.webhooks, forms.all_now(), |_| false)?;
    }
    queue.keep_key_tables(forms.tables()).await?;
    let registrations = load(&settings.registry, &settings.webhooks, queue).await?;
    let mut subscriptions = subscribe(&registrations, queue, observers).await?;
    for form in forms.all_now() {
        subscriptions.adopt(&form);
    }
    let from = stream.progress.end_lsn;
    observers.tell(Observation::StreamStarted { slot: settings.slot.clone(), from });
    let capture = Capture {
        source,
        forms,
        queue,
        subscriptions,
        registrations,
        judged_by: BTreeMap::new(),
        known: super::known::Known::default(),
        keys: super::keys::Keys::default(),
        told: Vec::new(),
        observers: observers.clone(),
        epoch: stream.epoch,
        staging_bytes_max: settings.staging_bytes_max,
        bounds: settings.bounds.within(queue.size().await?.bytes_max),
        continuity,
        open: None,
        batch: Batch::default(),
        batch_bytes: 0,
        tally: Tally::default(),
        progress: stream.progress,
        last: None,
        handed_over: stream.progress,
        handed_over_at: Instant::now(),
        under_way: FuturesOrdered::new(),
        sight: super::sight::Sight::default(),
        references: settings.references.clone(),
        clock: settings.clock.clone(),
        shutdown: shutdown.clone(),
    };
    capture.follow().await
}

/// Refuses forms and conditions that [`run`] would refuse, without taking them into service. `before` are the
/// webhooks so far: their conditions, if they stay, may be broken.
pub async fn refuse_unfit_settings(
    settings: &Settings,
    before: Option<&Webhooks>,
    queue: &dyn Queue,
) -> Result<(), Error> {
    let records = queue.bindings().await?;
    let worked_before: Vec<String> = records.iter().map(|record| record.form.clone()).collect();
    let catalog =
        Catalog::open(&settings.address, settings.forms.clone(), &settings.publications, records).await?;
    refuse_unfit(catalog.statuses(), |form| worked_before.iter().any(|known| known == form))?;
    let forms: Vec<_> =
        settings.forms.iter().filter_map(|form| catalog.described(&form.name)?.ok()).collect();
    refuse_unfit_conditions(&settings.webhooks, forms, |id| {
        let before = before.and_then(|before| before.find(id));
        before.is_some_and(|before| {
            settings.webhooks.find(id).is_some_and(|now| now.condition == before.condition)
        })
    })
}

/// Refuses webhooks whose conditions do not fit their forms, but for those that worked before: they are broken, and
/// their events are held.
fn refuse_unfit_conditions(
    webhooks: &Webhooks,
    forms: impl IntoIterator<Item = Arc<BoundForm>>,
    worked_before: impl Fn(WebhookId) -> bool,
) -> Result<(), Error> {
    let new: Webhooks =
        webhooks.iter().filter(|webhook| !worked_before(webhook.id)).map(|one| (**one).clone()).collect();
    let mut subscriptions = Subscriptions::new(&new, &[], Observers::default());
    for form in forms {
        subscriptions.adopt(&form);
    }
    let reasons: Vec<String> = subscriptions
        .faults()
        .flat_map(|(webhook, faults)| {
            faults
                .iter()
                .map(move |(form, fault)| format!("webhook {:?} on form {form:?}:\n{fault}", webhook.name))
        })
        .collect();
    if reasons.is_empty() { Ok(()) } else { Err(Error::Conditions { reasons }) }
}

/// Reads the registrations from the table into the queue.
async fn load_registrations<D: Database>(
    database: &D,
    registry: &Registry,
    queue: &dyn Queue,
    epoch: u32,
    snapshot: Option<&str>,
) -> Result<(), Error> {
    let rows = database.registrations(snapshot).await?.unwrap_or_default();
    store_registrations(registry, queue, epoch, &rows).await
}

async fn is_anything_registered<D: Database>(database: &D) -> Result<bool, Error> {
    Ok(database.registrations(None).await?.is_some_and(|rows| !rows.is_empty()))
}

async fn store_registrations(
    registry: &Registry,
    queue: &dyn Queue,
    epoch: u32,
    rows: &[Row],
) -> Result<(), Error> {
    let read = rows.iter().filter_map(|row| {
        let id = row.id()?;
        Some(Registration { id, row: registry.interpreter.sealed(row).text(), in_force: None })
    });
    queue.load_registrations(epoch, read.collect()).await?;
    Ok(())
}

struct Opened<'q, S, B> {
    source: S,
    forms: Forms<'q, B>,
    stream: StreamRecord,
    continuity: Continuity,
}

async fn open<'q, D: Database>(
    database: &D,
    settings: &Settings,
    queue: &'q dyn Queue,
    observers: &Observers,
) -> Result<Opened<'q, <D::Server as Asked>::Stream, D::Bindings>, Error> {
    let mut control = database.connect().await?;
    let publications = publications(settings, &mut control).await?;
    let mut placed = place(database, settings, queue, observers, &mut control).await?;
    let records = queue.bindings().await?;
    let catalog = database.bind(settings.forms.clone(), &publications, records.clone()).await?;
    let latest = settings.latest.clone();
    let forms = Forms::open(catalog, records, queue, observers.clone(), latest).await?;
    let mut in_use = InUse::new(settings, observers);
    let source = loop {
        match control.start(&settings.slot, placed.from, &publications).await {
            // often it is our own last session, which the server has not given up yet
            Err(source::Error::SlotInUse { active_pid, .. }) => in_use.wait(active_pid).await,
            // it has just passed on what we had told it
            Err(source::Error::SlotAhead { confirmed, .. }) if confirmed <= placed.position() => {}
            started => break started?,
        }
        control = database.connect().await?;
        placed = place(database, settings, queue, observers, &mut control).await?;
    };
    let last = queue.last_transaction().await?;
    let continuity = Continuity::from(placed.from, placed.stream.progress.commit_lsn, last);
    let stream = take_back(database, settings, queue, placed).await?;
    Ok(Opened { source, forms, stream, continuity })
}

/// Where the stream starts.
struct Placed {
    stream: StreamRecord,
    /// From here on the log is read: where the slot is, never ahead of the stream's position.
    from: Lsn,
}

impl Placed {
    fn position(&self) -> Lsn {
        self.stream.progress.end_lsn.max(self.stream.progress.commit_lsn)
    }
}

/// Takes an idle position back to where the log is read from, now that nobody else can move the slot: what lies
/// between is dealt with as it comes. Transactions up to the last commit are known, and dropped.
async fn take_back<D: Database>(
    database: &D,
    settings: &Settings,
    queue: &dyn Queue,
    placed: Placed,
) -> Result<StreamRecord, Error> {
    let Placed { mut stream, from } = placed;
    let confirmed = database.confirmed(&settings.slot).await?;
    if let Some(confirmed) = confirmed.filter(|confirmed| *confirmed > from) {
        // somebody moved it between our look and the start: the server has skipped the rest in silence
        return Err(source::Error::SlotAhead { slot: settings.slot.clone(), confirmed, from }.into());
    }
    if from < stream.progress.end_lsn {
        stream.progress.end_lsn = from;
        queue.record_stream(stream.clone()).await?;
    }
    Ok(stream)
}

/// Waits for whoever has the slot, and tells of each once.
struct InUse<'a> {
    slot: &'a str,
    observers: &'a Observers,
    /// Of which process; 0 is nobody that is known.
    told: Option<i32>,
}

impl<'a> InUse<'a> {
    fn new(settings: &'a Settings, observers: &'a Observers) -> Self {
        Self { slot: &settings.slot, observers, told: None }
    }

    async fn wait(&mut self, active_pid: Option<i32>) {
        let process = active_pid.unwrap_or(0);
        if self.told.replace(process) != Some(process) {
            self.observers.tell(Observation::SlotInUse { slot: self.slot.to_owned(), active_pid });
        }
        tokio::time::sleep(SLOT_PAUSE).await;
    }
}

/// The publications to read: the first must be there, for a slot that reads a missing one fails while
/// decoding; the second only if the database was set up with it.
pub(super) async fn publications(
    settings: &Settings,
    control: &mut impl Asked,
) -> Result<Vec<String>, Error> {
    let missing = control.missing_publications(&settings.publications).await?;
    if missing.contains(&settings.publications[0]) {
        return Err(Error::NoPublication { publication: settings.publications[0].clone() });
    }
    Ok(settings.publications.iter().filter(|name| !missing.contains(name)).cloned().collect())
}

/// Where the stream starts. What is decided is in the queue before it is used.
async fn place<D: Database>(
    database: &D,
    settings: &Settings,
    queue: &dyn Queue,
    observers: &Observers,
    control: &mut D::Server,
) -> Result<Placed, Error> {
    let remembered = queue.stream().await?;
    let mut in_use = InUse::new(settings, observers);
    let server = loop {
        match look(settings, remembered.as_ref(), control).await {
            // often it is our own last session that makes it
            Err(Error::Source(source::Error::SlotInUse { active_pid, .. })) => in_use.wait(active_pid).await,
            looked => break looked?,
        }
    };
    let epoch = remembered.as_ref().map_or(0, |stream| stream.epoch);
    let at = |creating, lsn: Lsn| StreamRecord {
        system_id: server.system_id.clone(),
        timeline: server.timeline,
        database: server.database.clone(),
        slot: settings.slot.clone(),
        epoch,
        creating,
        progress: Progress { commit_lsn: Lsn::ZERO, end_lsn: lsn },
    };
    let mut start = decide(remembered.as_ref(), &server);
    if matches!(start, Start::Adopt(_)) && is_anything_registered(database).await? {
        // what was registered when the slot was made was to be read in a snapshot that is gone; nothing has been read
        // from the slot
        drop_unused(settings, control, &mut in_use).await?;
        start = Start::Create;
    }
    let (stream, from) = match start {
        Start::Resume(from) => {
            let known = remembered.clone().expect("there is a position to resume from");
            (StreamRecord { timeline: server.timeline, slot: settings.slot.clone(), ..known }, from)
        }
        Start::Create => {
            queue.record_stream(at(true, Lsn::ZERO)).await?;
            observers.tell(Observation::SlotBeingCreated { slot: settings.slot.clone() });
            let created = control.create_slot(&settings.slot, PLUGIN).await?;
            // the snapshot is gone with the connection's next command
            load_registrations(database, &settings.registry, queue, epoch, created.snapshot.as_deref())
                .await?;
            (at(false, created.consistent_point), created.consistent_point)
        }
        Start::Adopt(confirmed) => {
            // nothing is registered: whatever is from now on, or was and is deleted, stands in the log
            store_registrations(&settings.registry, queue, epoch, &[]).await?;
            (at(false, confirmed), confirmed)
        }
        Start::Foreign(confirmed) if settings.adopt_slot => (at(false, confirmed), confirmed),
        Start::Foreign(_) => return Err(Error::ForeignSlot { slot: settings.slot.clone() }),
        Start::Gap { reason, .. } => return Err(Error::Gap { reason }),
    };
    if queue.registrations().await?.epoch != Some(stream.epoch) {
        // behind a gap, or where the slot is another's: what is there now is the best that can be known
        load_registrations(database, &settings.registry, queue, stream.epoch, None).await?;
    }
    if remembered.as_ref() != Some(&stream) {
        queue.record_stream(stream.clone()).await?;
    }
    Ok(Placed { stream, from })
}

/// Drops the slot that was made for us and never read.
async fn drop_unused(
    settings: &Settings,
    control: &mut impl Asked,
    in_use: &mut InUse<'_>,
) -> Result<(), Error> {
    loop {
        match control.drop_slot(&settings.slot).await {
            // the session that made it may live on for a while
            Err(source::Error::SlotInUse { active_pid, .. }) => in_use.wait(active_pid).await,
            Err(source::Error::SlotMissing { .. }) => return Ok(()),
            dropped => return Ok(dropped?),
        }
    }
}

pub(super) async fn look(
    settings: &Settings,
    remembered: Option<&StreamRecord>,
    control: &mut impl Asked,
) -> Result<Server, Error> {
    let identity = control.identify().await?;
    let slot = control.slot(&settings.slot).await?;
    if slot.as_ref().is_some_and(|slot| slot.is_copy) {
        // what a standby says of its log would look like a gap
        return Err(source::Error::SlotIsCopy { slot: settings.slot.clone() }.into());
    }
    if let Some(slot) = slot.as_ref().filter(|slot| slot.is_in_the_making()) {
        // it has no position yet, and none is not the highest
        let (slot, active_pid) = (settings.slot.clone(), slot.active_pid);
        return Err(source::Error::SlotInUse { slot, active_pid }.into());
    }
    if let Some(reason) = slot.as_ref().and_then(|slot| slot.misfit(&identity.database)) {
        // its position says nothing of ours: to accept a gap up to there would lead nowhere
        return Err(source::Error::SlotForeign { slot: settings.slot.clone(), reason }.into());
    }
    let switches = match remembered {
        Some(stream) if stream.timeline != identity.timeline && identity.timeline > 1 => {
            let history = control.timeline_history(identity.timeline).await?;
            history.into_iter().map(|switch| (switch.timeline, switch.at)).collect()
        }
        _ => Vec::new(),
    };
    Ok(Server {
        system_id: identity.system_id,
        timeline: identity.timeline,
        wal_end: identity.wal_end,
        database: identity.database,
        slot_confirmed: slot.map(|slot| slot.confirmed_flush_lsn.unwrap_or(Lsn(u64::MAX))),
        switches,
    })
}
