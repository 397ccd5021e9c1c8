//! The registration table's other direction: what walhook says of each row, and what does not wait for the log.

use super::STEP_PAUSE;
use crate::observe::{Observation, Observers};
use crate::queue::{self, Queue, WebhookStanding, WebhookState};
use crate::registry::{self, Notices, Registered, Registrar, Row, Standing, Stored};
use crate::remedy::{Remediable, Remedy};
use crate::sealing::Keys;
use crate::webhook::WebhookId;
use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long after news the states are looked at: more may come at once, and the queue follows the log.
const NEWS_PAUSE: Duration = Duration::from_millis(100);
/// They are looked at once more after this: a condition is found not to fit a moment after it was registered.
const SECOND_LOOK: Duration = Duration::from_millis(400);
/// Looks take this part of the time at most.
const LOOKS_SHARE: u32 = 5;
/// How often they are looked at when nothing is known to have changed: counts do.
const LOOK_PAUSE: Duration = Duration::from_secs(3);
/// How often a table that took no writes is tried again.
const READ_ONLY_PAUSE: Duration = Duration::from_secs(15);
/// How many states are written at once.
const STATES_MAX: usize = 1000;

/// What stops the task; it is to be started anew.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue.
    #[error("the queue refused")]
    Queue(#[from] queue::Error),
    /// The registration table.
    #[error("the states of webhooks could not be told")]
    Table(#[from] registry::Error),
}

impl Remediable for Error {
    fn remedy(&self) -> Remedy {
        match self {
            Self::Queue(error) => error.remedy(),
            Self::Table(error) => error.remedy(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Queue(error) => error.hint(),
            Self::Table(error) => error.hint(),
        }
    }
}

/// The task that answers registrations.
pub struct Registrations {
    /// What registers: the way to the table, what makes webhooks of its rows, what seals, what capture knows.
    pub registrar: Registrar,
    /// The queue.
    pub queue: Arc<dyn Queue>,
    /// Who listens.
    pub observers: Observers,
}

impl Registrations {
    /// Answers until the shutdown. Ends with an error if the database or the queue fails; then it is to be started anew.
    pub async fn run(&self, shutdown: CancellationToken) -> Result<(), Error> {
        let mut news = self.registrar.registered.news();
        let mut listening = None;
        let (mut told, mut sealed) = (BTreeMap::new(), BTreeMap::new());
        let mut looks_at = Instant::now();
        let (mut second_look, mut took, mut is_read_only) = (false, Duration::ZERO, false);
        loop {
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                noticed = noticed(&mut listening) => match noticed {
                    Some(first) => {
                        let went = self.go_ahead(first, listening.as_mut()).await;
                        self.writes_or_says(went, &mut is_read_only)?;
                    }
                    None => listening = None,
                },
                () = news.changed() => {
                    // who registers thousands one after the other does not pay for looks at all of them
                    looks_at = looks_at.min(Instant::now() + NEWS_PAUSE.max(LOOKS_SHARE * took));
                    second_look = true;
                }
                () = sleep_until(looks_at) => {
                    drop_deleted(&self.registrar.registered, &*self.queue, &self.observers).await?;
                    let began = Instant::now();
                    let looked = self.look(&mut sealed, &mut listening, &mut told).await;
                    took = began.elapsed();
                    let writes = self.writes_or_says(looked, &mut is_read_only)?;
                    let pause = match std::mem::take(&mut second_look) {
                        _ if !writes => READ_ONLY_PAUSE,
                        true => SECOND_LOOK,
                        false => LOOK_PAUSE,
                    };
                    looks_at = Instant::now() + pause;
                }
            }
        }
    }

    async fn look(
        &self,
        sealed: &mut BTreeMap<WebhookId, (u64, Arc<Keys>)>,
        listening: &mut Option<Notices>,
        told: &mut BTreeMap<WebhookId, Stored>,
    ) -> Result<(), Error> {
        self.keep_listening(listening).await?;
        self.seal(sealed).await?;
        self.tell(told).await
    }

    /// Whether the table takes writes. That it does not is no trouble of this task: nothing is registered there either,
    /// and deliveries go on. It is said once.
    fn writes_or_says(&self, done: Result<(), Error>, is_read_only: &mut bool) -> Result<bool, Error> {
        match done {
            Err(Error::Table(error @ registry::Error::ReadOnly { .. })) => {
                if !std::mem::replace(is_read_only, true) {
                    let hint = error.hint();
                    self.observers
                        .tell(Observation::RegistrationsUnanswered { reason: error.to_string(), hint });
                }
                Ok(false)
            }
            done => {
                done?;
                *is_read_only = false;
                Ok(true)
            }
        }
    }

    /// Listens while something is registered, and catches up with what was told before. Where nothing is, the database
    /// has no session of ours for it: the log tells of the first registration.
    async fn keep_listening(&self, listening: &mut Option<Notices>) -> Result<(), Error> {
        if self.registrar.registered.is_empty() {
            if listening.take().is_some() {
                self.registrar.door.close().await;
            }
            return Ok(());
        }
        if listening.is_some() {
            return Ok(());
        }
        let notices = self.registrar.door.listen().await?;
        let known: Vec<WebhookId> = self.registrar.registered.all().into_iter().map(|(id, _)| id).collect();
        self.compare(&known).await?;
        *listening = Some(notices);
        Ok(())
    }

    /// What stops a webhook, or leads it elsewhere, reaches those who send at once.
    async fn go_ahead(&self, first: WebhookId, notices: Option<&mut Notices>) -> Result<(), Error> {
        let mut ids = BTreeSet::from([first]);
        if let Some(notices) = notices {
            ids.extend(notices.take_waiting());
        }
        // new ones come by the log
        let known: Vec<WebhookId> =
            ids.into_iter().filter(|id| self.registrar.registered.find(*id).is_some()).collect();
        self.compare(&known).await
    }

    async fn compare(&self, known: &[WebhookId]) -> Result<(), Error> {
        if known.is_empty() {
            return Ok(());
        }
        let rows = self.registrar.door.some(known).await?;
        let mut gone: BTreeSet<WebhookId> = known.iter().copied().collect();
        for row in rows {
            let Some(id) = row.id() else { continue };
            gone.remove(&id);
            self.seal_row(&row).await?;
            let webhook = match self.registrar.read(&row) {
                Ok(webhook) => webhook,
                // what cannot work changes nothing, unless it says stop
                Err(_) if row.is_enabled() => continue,
                Err(_) => match self.registrar.registered.find(id).and_then(|standing| standing.webhook) {
                    Some(in_force) => crate::webhook::Webhook { enabled: false, ..(*in_force).clone() },
                    None => continue,
                },
            };
            self.registrar.registered.go_ahead(id, row.version(), Some(webhook));
        }
        for id in gone {
            self.registrar.registered.go_ahead(id, 0, None);
        }
        Ok(())
    }

    /// Seals secrets that came as plain text, and those that a former key sealed.
    /// `sealed` are the rows that have been looked at, with their versions and the keys that were newest then.
    async fn seal(&self, sealed: &mut BTreeMap<WebhookId, (u64, Arc<Keys>)>) -> Result<(), Error> {
        let keys = Arc::clone(&self.registrar.keys.borrow());
        let all = self.registrar.registered.all();
        let is_known = sealed.values().all(|(_, by)| Arc::ptr_eq(by, &keys)) && !sealed.is_empty();
        if !all.is_empty() && !is_known {
            self.registrar.door.reseal_policies(&keys).await?;
        }
        sealed.retain(|id, _| all.binary_search_by_key(id, |(id, _)| *id).is_ok());
        for (id, standing) in all {
            let version = standing.row.version();
            let looked_at = |(known, by): &(u64, Arc<Keys>)| *known == version && Arc::ptr_eq(by, &keys);
            if sealed.get(&id).is_some_and(looked_at) {
                continue;
            }
            sealed.insert(id, (version, Arc::clone(&keys)));
            if !standing.row.wants_sealing(&keys) {
                continue;
            }
            // the row as it is now: the log may be behind
            if let Some(row) = self.registrar.door.some(&[id]).await?.pop() {
                self.seal_row(&row).await?;
            }
        }
        Ok(())
    }

    async fn seal_row(&self, row: &Row) -> Result<(), Error> {
        let keys = Arc::clone(&self.registrar.keys.borrow());
        if let (Some(id), Some(columns)) = (row.id(), row.sealed(&keys)) {
            self.registrar.door.seal(id, row.version(), &columns).await?;
        }
        Ok(())
    }

    /// Writes what has changed since it was told last.
    async fn tell(&self, told: &mut BTreeMap<WebhookId, Stored>) -> Result<(), Error> {
        let all = self.registrar.registered.all();
        told.retain(|id, _| all.binary_search_by_key(id, |(id, _)| *id).is_ok());
        if all.is_empty() {
            return Ok(());
        }
        let books: BTreeMap<WebhookId, WebhookStanding> =
            self.queue.webhooks().await?.into_iter().map(|book| (book.id, book)).collect();
        let states = all.iter().map(|(id, standing)| (*id, stored(*id, standing, books.get(id))));
        let news: Vec<(WebhookId, Stored)> =
            states.filter(|(id, state)| told.get(id) != Some(state)).collect();
        for some in news.chunks(STATES_MAX) {
            let states: Vec<Stored> = some.iter().map(|(_, state)| state.clone()).collect();
            self.registrar.door.tell(&states).await?;
            told.extend(some.iter().cloned());
        }
        Ok(())
    }
}

/// Drops what is queued for webhooks that were deleted.
pub async fn drop_deleted(
    registered: &Registered,
    queue: &dyn Queue,
    observers: &Observers,
) -> Result<(), queue::Error> {
    for id in registered.take_deleted() {
        // by now it may be registered again, and what is told may be of a row with the number of a webhook of the file
        if let Some(dropped) = queue.drop_deleted(id).await? {
            observers.tell(Observation::DeletedDropped { id, dropped });
        }
        tokio::time::sleep(STEP_PAUSE).await;
    }
    Ok(())
}

async fn noticed(listening: &mut Option<Notices>) -> Option<WebhookId> {
    match listening {
        Some(notices) => notices.next().await,
        None => pending().await,
    }
}

/// What is said of a webhook.
fn stored(id: WebhookId, standing: &Standing, book: Option<&WebhookStanding>) -> Stored {
    let (state, last_error) = standing.verdict(
        book.is_some_and(|book| book.state == WebhookState::Suspended),
        book.and_then(|book| book.broken.clone()),
        book.and_then(|book| book.last_error.clone()),
    );
    Stored {
        webhook: id.0,
        version: standing.row.version(),
        state,
        last_error,
        pending: book.map_or(0, |book| book.pending),
        dead: book.map_or(0, |book| book.dead),
        held: book.map_or(0, |book| book.held),
        delivered: book.map_or(0, |book| book.delivered),
        dropped: book.map_or(0, |book| book.dropped),
    }
}
