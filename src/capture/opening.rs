//! From a connection to a running stream: compares, creates, binds, starts.

use super::continuity::Continuity;
use super::database::{APPLICATION_NAME, Database, Server as Asked};
use super::forms::{Forms, refuse_unfit};
use super::start::{Server, Start, decide};
use super::subscriptions::Subscriptions;
use super::{Capture, Error, Tally};
use crate::catalog::Catalog;
use crate::delivery::{AcceptedGap, Batch, StreamRecord};
use crate::form::{BoundForm, Form};
use crate::lsn::{Lsn, Progress};
use crate::observe::{Observation, Observers};
use crate::postgres::Address;
use crate::queue::{Queue, WebhookRecord};
use crate::source::{self, Control, Message, Source as _};
use crate::webhook::{WebhookId, Webhooks};
use futures_util::stream::FuturesOrdered;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// The output plugin that is read.
const PLUGIN: &str = "pgoutput";
/// The pause before a slot that somebody else reads is asked for again.
const SLOT_PAUSE: Duration = Duration::from_secs(1);

/// How long a look at the log may take that shows whether it can be decoded.
const PROBE_MAX: Duration = Duration::from_secs(5);
/// The same where it has to be read up to the last transaction, to see whether it is there.
const RECOGNITION_MAX: Duration = Duration::from_secs(120);
/// The pause before it is tried again while somebody else has the slot.
const PROBE_PAUSE: Duration = Duration::from_millis(100);

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
    /// The webhooks.
    pub webhooks: Arc<Webhooks>,
    /// How much of one transaction may be staged on disk, in bytes.
    pub staging_bytes_max: u64,
    /// Whether a slot that this queue knows nothing of may be taken over.
    pub adopt_slot: bool,
    /// What is kept in memory.
    pub bounds: Bounds,
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
            batch_bytes_max: 2 << 20,
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
    let records: Vec<WebhookRecord> = settings.webhooks.iter().map(|one| record_of(one)).collect();
    let is_first_start = queue.webhooks().await?.is_empty();
    if !is_first_start {
        queue.register(records.clone()).await?;
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
    let standings = queue.register(records).await?;
    let mut subscriptions = Subscriptions::new(&settings.webhooks, &standings, observers.clone());
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
        judged_by: BTreeMap::new(),
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
        under_way: FuturesOrdered::new(),
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

/// A gap that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    /// What was recorded.
    pub gap: AcceptedGap,
    /// Whether [`run`] has to make the slot: then the gap ends where it begins.
    pub slot_is_to_be_made: bool,
}

/// Goes on behind a gap: records the range that is skipped and raises the epoch. None if there is no gap. A slot
/// that the server invalidated stands in the way, and is an error.
///
/// The stream itself is started by [`run`]; where the slot is gone, it also creates the new one.
pub async fn accept_gap(
    settings: &Settings,
    queue: &dyn Queue,
    now_us: i64,
) -> Result<Option<Accepted>, Error> {
    let mut control = Control::connect(&settings.address, APPLICATION_NAME).await?;
    let Some(remembered) = queue.stream().await? else { return Ok(None) };
    let mut server = look(settings, Some(&remembered), &mut control).await?;
    let ours = remembered.progress.end_lsn.max(remembered.progress.commit_lsn);
    let (reason, from) = match decide(Some(&remembered), &server) {
        Start::Gap { reason, from } => (reason, from),
        Start::Resume(from) => {
            let lost = control.slot(&settings.slot).await?.and_then(|slot| slot.invalidation);
            let invalidated = |reason| source::Error::SlotInvalidated { slot: settings.slot.clone(), reason };
            if let Some(reason) = lost {
                return Err(invalidated(reason).into());
            }
            let last = queue.last_transaction().await?;
            match probe(settings, from, Continuity::from(from, remembered.progress.commit_lsn, last)).await? {
                Probe::Fit => return Ok(None),
                Probe::Another(reason) => (reason, ours),
                Probe::Undecodable(reason) => {
                    server.slot_confirmed = Some(pass_over(settings, &mut control).await?);
                    (reason, ours)
                }
            }
        }
        Start::Create | Start::Adopt(_) | Start::Foreign(_) => return Ok(None),
    };
    let to = server.slot_confirmed.unwrap_or(server.wal_end);
    let gap = AcceptedGap { epoch: remembered.epoch, from, to, reason, accepted_at_us: now_us };
    let stream = StreamRecord {
        system_id: server.system_id,
        timeline: server.timeline,
        database: server.database,
        slot: settings.slot.clone(),
        epoch: remembered.epoch + 1,
        creating: server.slot_confirmed.is_none(),
        progress: Progress { commit_lsn: Lsn::ZERO, end_lsn: server.slot_confirmed.unwrap_or(Lsn::ZERO) },
    };
    let slot_is_to_be_made = stream.creating;
    queue.accept_gap(gap.clone(), stream).await?;
    Ok(Some(Accepted { gap, slot_is_to_be_made }))
}

/// What a look at the log shows that fits by its positions.
enum Probe {
    /// Nothing is wrong with it, as far as can be seen.
    Fit,
    /// It is another log.
    Another(String),
    /// A publication that was made later does not exist in it.
    Undecodable(String),
}

async fn probe(settings: &Settings, from: Lsn, mut continuity: Continuity) -> Result<Probe, Error> {
    let limit = if continuity.is_settled() { PROBE_MAX } else { RECOGNITION_MAX };
    let publications =
        publications(settings, &mut Control::connect(&settings.address, APPLICATION_NAME).await?).await?;
    let reading = async {
        let mut stream = while_in_use(async || {
            let control = Control::connect(&settings.address, APPLICATION_NAME).await?;
            control.start(&settings.slot, from, &publications).await
        })
        .await?;
        loop {
            let message = stream.next().await?;
            if let Err(reason) = continuity.meet(&message) {
                return Ok(Probe::Another(reason));
            }
            // only with a table's first change does the server look for the publications: before 15 it begins to
            // tell of the transaction first
            let tells_of_tables = !matches!(
                message,
                Message::Keepalive { .. }
                    | Message::Begin { .. }
                    | Message::Commit { .. }
                    | Message::Origin { .. }
                    | Message::Logical { .. }
            );
            if tells_of_tables && continuity.is_settled() {
                return Ok(Probe::Fit);
            }
        }
    };
    match tokio::time::timeout(limit, reading).await {
        Ok(Err(error @ source::Error::PublicationMissing(_))) => Ok(Probe::Undecodable(error.to_string())),
        // whoever reads the slot all the time can decode it
        Ok(Err(source::Error::SlotInUse { .. })) | Err(_) => Ok(Probe::Fit),
        Ok(Ok(probe)) => Ok(probe),
        Ok(Err(error)) => Err(error.into()),
    }
}

/// Moves the slot to the end of the server's log, without a look at what lies between.
async fn pass_over(settings: &Settings, control: &mut Control) -> Result<Lsn, Error> {
    let wal_end = control.wal_position().await?.flush;
    let advanced = while_in_use(async || {
        let mut control = Control::connect(&settings.address, APPLICATION_NAME).await?;
        control.advance_slot(&settings.slot, wal_end).await
    });
    Ok(advanced.await?)
}

/// Tries again while somebody else has the slot: a walhook that runs into the gap has it for a moment, again and
/// again.
async fn while_in_use<T>(attempt: impl AsyncFn() -> Result<T, source::Error>) -> Result<T, source::Error> {
    let start = tokio::time::Instant::now();
    loop {
        match attempt().await {
            Err(source::Error::SlotInUse { .. }) if start.elapsed() < PROBE_MAX => {
                tokio::time::sleep(PROBE_PAUSE).await;
            }
            answer => return answer,
        }
    }
}

fn record_of(webhook: &crate::webhook::Webhook) -> WebhookRecord {
    WebhookRecord {
        id: webhook.id,
        name: webhook.name.clone(),
        enabled: webhook.enabled,
        backlog_bytes_max: webhook.sending.backlog_bytes_max,
    }
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
    let mut placed = place(settings, queue, observers, &mut control).await?;
    let records = queue.bindings().await?;
    let catalog = database.bind(settings.forms.clone(), &publications, records.clone()).await?;
    let forms = Forms::open(catalog, records, queue, observers.clone()).await?;
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
        placed = place(settings, queue, observers, &mut control).await?;
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
async fn publications(settings: &Settings, control: &mut impl Asked) -> Result<Vec<String>, Error> {
    let missing = control.missing_publications(&settings.publications).await?;
    if missing.contains(&settings.publications[0]) {
        return Err(Error::NoPublication { publication: settings.publications[0].clone() });
    }
    Ok(settings.publications.iter().filter(|name| !missing.contains(name)).cloned().collect())
}

/// Where the stream starts. What is decided is in the queue before it is used.
async fn place(
    settings: &Settings,
    queue: &dyn Queue,
    observers: &Observers,
    control: &mut impl Asked,
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
    let (stream, from) = match decide(remembered.as_ref(), &server) {
        Start::Resume(from) => {
            let known = remembered.clone().expect("there is a position to resume from");
            (StreamRecord { timeline: server.timeline, slot: settings.slot.clone(), ..known }, from)
        }
        Start::Create => {
            queue.record_stream(at(true, Lsn::ZERO)).await?;
            observers.tell(Observation::SlotBeingCreated { slot: settings.slot.clone() });
            let created = control.create_slot(&settings.slot, PLUGIN).await?;
            (at(false, created.consistent_point), created.consistent_point)
        }
        Start::Adopt(confirmed) => (at(false, confirmed), confirmed),
        Start::Foreign(confirmed) if settings.adopt_slot => (at(false, confirmed), confirmed),
        Start::Foreign(_) => return Err(Error::ForeignSlot { slot: settings.slot.clone() }),
        Start::Gap { reason, .. } => return Err(Error::Gap { reason }),
    };
    if remembered.as_ref() != Some(&stream) {
        queue.record_stream(stream.clone()).await?;
    }
    Ok(Placed { stream, from })
}

async fn look(
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
