//! `walhook run`: the tasks side by side, until the signal to stop.

use super::config::{Config, Problems, Registrations};
use super::failure::{Exit, Failure};
use super::keys::{self, Absent};
use super::signals::{Request, Requests};
use super::supervise::{supervise, with_causes};
use super::tester::tester;
use super::thread;
use crate::admin::accounts::Access;
use crate::admin::{Admin, Settings, Shown, Trials};
use crate::capture;
use crate::catalog::Latest;
use crate::clock::Clock;
use crate::dispatch::{Dispatch, HttpCourier, Limits};
use crate::doctor;
use crate::failpoint;
use crate::observe::{Observation, Observers};
use crate::postgres;
use crate::queue::Queue;
use crate::reference::References;
use crate::registry::{Door, Interpreter, Registered, Registrar};
use crate::report::health::Health;
use crate::report::mail::{self, Carrier, Post};
use crate::report::metrics::Metrics;
use crate::sealing::Keys;
use crate::transport::{self, Transport, Trust};
use crate::upkeep::{self, Upkeep};
use crate::webhook::Webhooks;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// How long a new configuration waits for the database's word on its forms.
const MISFITS_TIME_MAX: Duration = Duration::from_secs(5);

/// How long after each other registrations reach those who send at least.
const REGISTRATIONS_APART: Duration = Duration::from_millis(20);

/// What the tasks are made of.
pub(super) struct Parts {
    /// What the process is told by signals.
    pub(super) requests: Requests,
    /// The configuration at the start.
    pub(super) config: Arc<Config>,
    /// Whether a slot that the queue knows nothing of may be taken over.
    pub(super) adopt_slot: bool,
    /// The queue.
    pub(super) queue: Arc<dyn Queue>,
    /// What seals secrets.
    pub(super) keys: Arc<Keys>,
    /// Who listens.
    pub(super) observers: Observers,
    /// Whether walhook does its work; listens, too.
    pub(super) health: Arc<Health>,
    /// Counts and sizes; likewise.
    pub(super) metrics: Arc<Metrics>,
    /// What is worth a mail, where there is a relay.
    pub(super) post: Option<Post>,
}

/// Runs until SIGTERM or SIGINT. Trouble of one task does not end the others.
pub(super) async fn run(parts: Parts) -> Result<(), Failure> {
    let Parts { requests, config, adopt_slot, queue, keys, observers, health, metrics, post } = parts;
    let shutdown = CancellationToken::new();
    let (configs, _) = watch::channel(Arc::clone(&config));
    let (webhooks, _) = watch::channel(Arc::new(config.webhooks.clone()));
    let registered = Registered::default();
    let forms = Latest::default();
    let interpret = Registrations::by(&config, &keys).knowing(forms.clone());
    let (interpreter, _) = watch::channel::<Arc<dyn Interpreter>>(Arc::new(interpret));
    let (keys, _) = watch::channel(keys);
    let (access, _) = watch::channel(Arc::clone(&config.admin.access));
    let (settings, _) = watch::channel(Arc::clone(&config.admin.settings));
    let transport = transport(&config)?;
    let dispatch = Dispatch {
        queue: Arc::clone(&queue),
        webhooks: webhooks.subscribe(),
        courier: Arc::new(HttpCourier::new(transport, Trust::of)),
        observers: observers.clone(),
        clock: Clock::system(),
        limits: Limits {
            in_flight_max: config.dispatch.in_flight_max,
            grace: config.dispatch.grace,
            ..Limits::default()
        },
        jitter: rand::random,
    };
    let registrar = Registrar {
        door: Door::new(config.source.address().map_err(Failure::of)?, postgres::APPLICATION_NAME),
        interpreter: interpreter.subscribe(),
        keys: keys.subscribe(),
        registered: registered.clone(),
    };
    // connections of its own: those of dispatch are of its thread
    let courier = Arc::new(HttpCourier::new(self::transport(&config)?, Trust::of));
    let shown = Shown {
        registrar: registrar.clone(),
        tester: tester(courier, forms.clone(), Clock::system()),
        trials: Trials::default(),
        settings: settings.subscribe(),
        health,
        metrics,
        queue: Arc::clone(&queue),
        webhooks: webhooks.subscribe(),
        forms: forms.clone(),
    };
    let upkeep = Upkeep {
        queue: Arc::clone(&queue),
        clock: Clock::system(),
        retention: config.queue.retention,
        webhooks: webhooks.subscribe(),
        pause: upkeep::PAUSE,
    };

    let mut tasks = JoinSet::new();
    tasks.spawn({
        let (observers, shutdown) = (observers.clone(), shutdown.clone());
        let (queue, configs) = (Arc::clone(&queue), configs.subscribe());
        let shares = Shares {
            interpreter: interpreter.subscribe(),
            registered: registered.clone(),
            latest: shown.forms.clone(),
            keys: keys.subscribe(),
        };
        async move {
            let start =
                || capture_until_reload(&configs, adopt_slot, &shares, &*queue, &observers, &shutdown);
            let reload = || {
                let mut configs = configs.clone();
                configs.mark_unchanged();
                async move {
                    // without a sender there are no news, and the shutdown is near
                    if configs.changed().await.is_err() {
                        pending::<()>().await;
                    }
                }
            };
            supervise("capture", &observers, &shutdown, reload, start).await;
        }
    });
    let dispatching = {
        let (observers, shutdown) = (observers.clone(), shutdown.clone());
        async move {
            supervise("dispatch", &observers, &shutdown, pending, || dispatch.run(shutdown.clone())).await;
        }
    };
    thread::spawn(&mut tasks, "dispatch", dispatching)
        .map_err(|error| Failure::new(Exit::Unreachable, error))?;
    tasks.spawn({
        let (observers, shutdown) = (observers.clone(), shutdown.clone());
        async move {
            supervise("upkeep", &observers, &shutdown, pending, || upkeep.run(shutdown.clone())).await;
        }
    });
    tasks.spawn({
        let (observers, shutdown) = (observers.clone(), shutdown.clone());
        let (listen, access) = (config.admin.listen, access.subscribe());
        async move {
            let start = || async {
                let admin = Admin::bind(listen).await?;
                admin.serve(shown.clone(), access.clone(), observers.clone(), shutdown.clone()).await
            };
            // a certificate that was of no use may be now
            let reload = || {
                let mut access = access.clone();
                access.mark_unchanged();
                async move {
                    if access.changed().await.is_err() {
                        pending::<()>().await;
                    }
                }
            };
            supervise("admin", &observers, &shutdown, reload, start).await;
        }
    });
    if let (Some(settings), Some(post)) = (config.mail.clone(), post) {
        let carrier =
            Carrier::new(settings, subject_of(Arc::clone(&queue), webhooks.subscribe()), observers.clone());
        let carrier = carrier.map_err(|error| Failure::new(Exit::Unreachable, error))?;
        tasks.spawn(carrier.run(post, shutdown.clone()));
    }
    tasks.spawn({
        let (observers, shutdown) = (observers.clone(), shutdown.clone());
        let answers =
            upkeep::Registrations { registrar, queue: Arc::clone(&queue), observers: observers.clone() };
        async move {
            let start = || answers.run(shutdown.clone());
            supervise("registrations", &observers, &shutdown, pending, start).await;
        }
    });
    let webhooks = Arc::new(webhooks);
    tasks.spawn(follow_registrations(
        registered.clone(),
        configs.subscribe(),
        Arc::clone(&webhooks),
        shutdown.clone(),
    ));
    let handles = Handles { configs, webhooks, registered, interpreter, keys, access, settings, forms };
    tasks.spawn(follow_signals(requests, handles, queue, observers, shutdown));
    while let Some(ended) = tasks.join_next().await {
        if let Err(panicked) = ended {
            std::panic::resume_unwind(panicked.into_panic());
        }
    }
    Ok(())
}

/// What sends, as a configuration says.
pub(super) fn transport(config: &Config) -> Result<Transport, Failure> {
    let settings =
        transport::Settings { allow: config.dispatch.allow.clone(), ..transport::Settings::default() };
    Transport::new(&settings).map_err(Failure::of)
}

/// What mails have to know of a webhook.
fn subject_of(queue: Arc<dyn Queue>, webhooks: watch::Receiver<Arc<Webhooks>>) -> mail::Lookup {
    Box::new(move |name| {
        let (queue, webhooks) = (Arc::clone(&queue), webhooks.clone());
        Box::pin(async move {
            let standings = queue.webhooks().await.ok()?;
            let standing = standings.into_iter().find(|standing| standing.name == name)?;
            let webhook = webhooks.borrow().find(standing.id).cloned();
            let to = webhook.as_ref().map(|webhook| webhook.mail_exceptions_to.clone()).unwrap_or_default();
            // there every administrator hears of it where nobody is named
            let is_itrp = webhook.is_some_and(|webhook| webhook.format == "itrp");
            let tells_failures = is_itrp || !to.is_empty();
            Some(mail::Subject { number: standing.id.0, pending: standing.pending, to, tells_failures })
        })
    })
}

/// What a configuration says to capture.
pub(super) fn capture_settings(
    config: &Config,
    adopt_slot: bool,
) -> Result<capture::Settings, postgres::Error> {
    let publication = &config.source.publication;
    Ok(capture::Settings {
        address: config.source.address()?,
        slot: config.source.slot.clone(),
        publications: [publication.clone(), doctor::inserts_publication(publication)],
        forms: config.forms.clone(),
        webhooks: Arc::new(config.webhooks.clone()),
        registry: capture::Registry::default(),
        staging_bytes_max: config.capture.staging_bytes_max,
        adopt_slot,
        bounds: capture::Bounds::default(),
        latest: Latest::default(),
        references: None,
        clock: Clock::system(),
    })
}

/// What capture shares with others, whatever the configuration.
struct Shares {
    interpreter: watch::Receiver<Arc<dyn Interpreter>>,
    registered: Registered,
    latest: Latest,
    keys: watch::Receiver<Arc<Keys>>,
}

/// Runs capture with the configuration of now, until there is another one.
async fn capture_until_reload(
    configs: &watch::Receiver<Arc<Config>>,
    adopt_slot: bool,
    shares: &Shares,
    queue: &dyn Queue,
    observers: &Observers,
    shutdown: &CancellationToken,
) -> Result<(), capture::Error> {
    let mut configs = configs.clone();
    let config = Arc::clone(&configs.borrow_and_update());
    let mut settings = capture_settings(&config, adopt_slot)?;
    settings.latest = shares.latest.clone();
    settings.references = Some(References {
        site: config.admin.settings.site.clone(),
        keys: Arc::clone(&shares.keys.borrow()),
    });
    settings.registry = capture::Registry {
        interpreter: Arc::clone(&shares.interpreter.borrow()),
        registered: shares.registered.clone(),
    };
    let stop = shutdown.child_token();
    let capture = capture::run(&settings, queue, observers, &stop);
    tokio::pin!(capture);
    tokio::select! {
        ended = &mut capture => return ended,
        Ok(()) = configs.changed() => stop.cancel(),
    }
    capture.await
}

/// What keeps capture from taking the forms of a configuration into service; nothing where the database does not
/// say so at once.
async fn misfits(config: &Config, before: Option<&Webhooks>, queue: &dyn Queue) -> Option<String> {
    let settings = capture_settings(config, false).ok()?;
    let judged =
        tokio::time::timeout(MISFITS_TIME_MAX, capture::refuse_unfit_settings(&settings, before, queue))
            .await
            .ok()?;
    match judged {
        Err(error @ (capture::Error::Forms { .. } | capture::Error::Conditions { .. })) => {
            Some(with_causes(&error))
        }
        _ => None,
    }
}

/// What the tasks follow, each its part of the configuration.
struct Handles {
    configs: watch::Sender<Arc<Config>>,
    /// Those that are sent to.
    webhooks: Arc<watch::Sender<Arc<Webhooks>>>,
    registered: Registered,
    interpreter: watch::Sender<Arc<dyn Interpreter>>,
    keys: watch::Sender<Arc<Keys>>,
    access: watch::Sender<Arc<Access>>,
    settings: watch::Sender<Arc<Settings>>,
    forms: Latest,
}

/// Whoever sends has the webhooks of the file and those that are registered, as they are now.
async fn follow_registrations(
    registered: Registered,
    mut configs: watch::Receiver<Arc<Config>>,
    webhooks: Arc<watch::Sender<Arc<Webhooks>>>,
    shutdown: CancellationToken,
) {
    let mut news = registered.news();
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = news.changed() => {}
            Ok(()) = configs.changed() => {}
        }
        let merged = registered.merged(&configs.borrow_and_update().webhooks);
        webhooks.send_replace(Arc::new(merged));
        // many come one after the other
        tokio::time::sleep(REGISTRATIONS_APART).await;
    }
}

/// SIGHUP takes the configuration file over, SIGTERM and SIGINT end the process.
async fn follow_signals(
    mut requests: Requests,
    handles: Handles,
    queue: Arc<dyn Queue>,
    observers: Observers,
    shutdown: CancellationToken,
) {
    let Handles { configs, webhooks, registered, interpreter, keys, access, settings, forms } = handles;
    let started = Arc::clone(&configs.borrow());
    while requests.next().await == Request::Reload {
        let path = configs.borrow().path.clone();
        match Config::load(&path) {
            Ok(config) => {
                let before = configs.borrow().webhooks.clone();
                if let Some(problems) = misfits(&config, Some(&before), &*queue).await {
                    observers.tell(Observation::ConfigurationRefused { problems });
                    continue;
                }
                // where the queue moves at the next start, the key file beside it does, too
                if config.queue.path == started.queue.path {
                    match keys::load(&config.secrets, Absent::Refuse, &observers) {
                        Ok(new) => keys.send_replace(new),
                        Err(error) => {
                            let problems = with_causes(&error);
                            observers.tell(Observation::ConfigurationRefused { problems });
                            continue;
                        }
                    };
                }
                observers.tell(Observation::ConfigurationTakenOver {
                    webhooks: config.webhooks.len(),
                    restart_needed_for: started.restart_needed_for(&config),
                });
                failpoint::reach("reload.before");
                // dispatch first: whatever capture enqueues for a new webhook finds it there
                webhooks.send_replace(Arc::new(registered.merged(&config.webhooks)));
                let new: Arc<dyn Interpreter> =
                    Arc::new(Registrations::by(&config, &keys.borrow()).knowing(forms.clone()));
                interpreter.send_replace(new);
                settings.send_replace(Arc::clone(&config.admin.settings));
                if config.admin.listen == started.admin.listen {
                    access.send_replace(Arc::clone(&config.admin.access));
                }
                failpoint::reach("reload.between");
                configs.send_replace(Arc::new(config));
                failpoint::reach("reload.after");
            }
            Err(error) => {
                let problems = match &error {
                    super::config::Error::Wrong(problems) => Problems::to_string(problems),
                    error @ super::config::Error::Unreadable { .. } => with_causes(error),
                };
                observers.tell(Observation::ConfigurationRefused { problems });
            }
        }
    }
    shutdown.cancel();
}
