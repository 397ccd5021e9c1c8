//! Dispatch, transport and upkeep: against a queue in memory and virtual time where many hours must pass,
//! against a real receiver where bytes matter.

mod double;
pub(crate) mod http;
mod knock;
mod paused;
mod stored;

pub(crate) use double::MemoryQueue;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use walhook::clock::Clock;
use walhook::delivery::Settlement;
use walhook::dispatch::{Courier, Dispatch, Limits};
use walhook::observe::{Observation, Observer, Observers};
use walhook::queue::{self, Queue, WebhookStanding};
use walhook::retry::Schedule;
use walhook::webhook::{
    Authentication, Callback, OnExhausted, Origin, Sending, Webhook, WebhookId, Webhooks,
};

/// A webhook that wants everything.
pub(crate) fn webhook(id: u64, url: &str) -> Webhook {
    Webhook {
        id: WebhookId(id),
        origin: Origin::File,
        name: format!("hook {id}"),
        description: None,
        listens: vec![],
        condition: None,
        payload_fields: vec![],
        send_unchanged_fields: false,
        custom_json: None,
        mail_exceptions_to: vec![],
        exclude: walhook::webhook::Exclude::default(),
        body: walhook::webhook::BodyChoices::default(),
        account: None,
        enabled: true,
        format: "native",
        callback: Callback {
            tls: None,
            proxy: None,
            headers: BTreeMap::new(),
            url: url.parse().unwrap(),
            authentication: Authentication { scheme: "NO_AUTH", settings: BTreeMap::new() },
        },
        signing_secrets: vec![],
        policy: None,
        retention: None,
        sending: Sending {
            schedule: Schedule::default(),
            on_exhausted: OnExhausted::Skip,
            in_flight_max: 16,
            per_second_max: None,
            timeout: Duration::from_secs(15),
            backlog_bytes_max: 1 << 30,
        },
    }
}

/// Everything that was told.
#[derive(Default)]
pub(crate) struct Ears {
    heard: Mutex<Vec<Observation>>,
    news: Notify,
}

impl Observer for Ears {
    fn observe(&self, observation: &Observation) {
        self.heard.lock().unwrap().push(observation.clone());
        self.news.notify_waiters();
    }
}

impl Ears {
    /// What was told of attempts: delivery, attempt, settlement.
    pub(crate) fn settlements(&self) -> Vec<(String, u32, Settlement)> {
        let heard = self.heard.lock().unwrap();
        let attempts = heard.iter().filter_map(|observation| match observation {
            Observation::Attempted { number, attempt, settlement, .. } => {
                Some((number.to_string(), *attempt, *settlement))
            }
            _ => None,
        });
        attempts.collect()
    }

    /// Everything, as text.
    pub(crate) fn text(&self) -> String {
        format!("{:?}", self.heard.lock().unwrap())
    }

    /// Waits until no delivery of these webhooks waits any more.
    pub(crate) async fn wait_until_drained(&self, queue: &dyn Queue, webhooks: &[u64]) {
        loop {
            let news = self.news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            let standings = queue.webhooks().await.unwrap();
            let drained =
                |standing: &WebhookStanding| standing.pending == 0 || !webhooks.contains(&standing.id.0);
            if standings.iter().all(drained) {
                return;
            }
            news.await;
        }
    }

    /// The endpoints' deaths and recoveries.
    fn turns(&self) -> Vec<String> {
        let heard = self.heard.lock().unwrap();
        let turns = heard.iter().filter_map(|observation| match observation {
            Observation::EndpointProbed { webhook, outcome, .. } => {
                Some(format!("{webhook} died: {outcome}"))
            }
            Observation::EndpointRecovered { webhook } => Some(format!("{webhook} recovered")),
            _ => None,
        });
        turns.collect()
    }
}

/// A dispatch that runs until it is stopped.
pub(crate) struct Running {
    pub(crate) ears: Arc<Ears>,
    webhooks: watch::Sender<Arc<Webhooks>>,
    shutdown: CancellationToken,
    task: JoinSet<Result<(), queue::Error>>,
}

impl Running {
    pub(crate) fn start(
        queue: Arc<impl Queue + 'static>,
        webhooks: Vec<Webhook>,
        courier: Arc<dyn Courier>,
        clock: Clock,
    ) -> Self {
        Self::start_with(queue, webhooks, courier, clock, Limits::default())
    }

    fn start_with(
        queue: Arc<impl Queue + 'static>,
        webhooks: Vec<Webhook>,
        courier: Arc<dyn Courier>,
        clock: Clock,
        limits: Limits,
    ) -> Self {
        let ears = Arc::new(Ears::default());
        let webhooks = watch::Sender::new(Arc::new(webhooks.into_iter().collect::<Webhooks>()));
        let dispatch = Dispatch {
            queue,
            webhooks: webhooks.subscribe(),
            courier,
            observers: Observers::new(vec![Arc::clone(&ears) as Arc<dyn Observer>]),
            clock,
            limits,
            jitter: rand::random,
        };
        let shutdown = CancellationToken::new();
        let mut task = JoinSet::new();
        let token = shutdown.clone();
        task.spawn(async move { dispatch.run(token).await });
        Self { ears, webhooks, shutdown, task }
    }

    /// Registers other webhooks.
    fn register(&self, webhooks: Vec<Webhook>) {
        self.webhooks.send_replace(Arc::new(webhooks.into_iter().collect()));
    }

    /// Begins the shutdown and waits for its end.
    pub(crate) async fn stop(mut self) -> Result<(), queue::Error> {
        self.shutdown.cancel();
        self.task.join_next().await.unwrap().unwrap()
    }

    /// Waits for an end that nobody asked for.
    async fn end(mut self) -> Result<(), queue::Error> {
        self.task.join_next().await.unwrap().unwrap()
    }
}
