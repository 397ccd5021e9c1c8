//! One life of walhook: its own capture, queue, dispatch and upkeep on a runtime with a paused clock, and its end.

use crate::disk::Disk;
use crate::endpoints::Network;
use crate::proof::laws::Look;
use crate::proof::random::Random;
use crate::server::Way;
use crate::world::{Ears, Shared};
use std::future::Future;
use std::path::Path;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use walhook::app::config::{Config, Registrations};
use walhook::capture::{self, Bounds};
use walhook::clock::Clock;
use walhook::dispatch::{Dispatch, Limits};
use walhook::observe::Observers;
use walhook::queue::sqlite::{Options, SqliteQueue, Workplace};
use walhook::queue::{self, Filter, Queue};
use walhook::registry::Registered;
use walhook::remedy::Remediable;
use walhook::sealing::{Keys, SealingKey};
use walhook::upkeep::{self, Upkeep};
use walhook::webhook::Webhooks;

/// How often the queue is tried to be opened, a second apart.
const OPENINGS_MAX: usize = 20;

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// It is told to end, and may take its time.
    Asked { after_us: u64 },
    /// At a moment.
    At { us: u64 },
    /// Between two steps of its tasks: at any await.
    Step { number: u64 },
    /// With the disk, at one of its changes.
    Disk,
    /// When everything is done, or nothing gets on any more.
    Done,
}

/// What a life is lived with.
pub struct Fixtures<'a> {
    pub world: &'a Shared,
    pub disk: &'a Disk,
    pub config: &'a Config,
    /// Tells, from what has happened, whether everything is done.
    pub is_done: &'a (dyn Fn() -> bool + Sync),
}

/// What the queue says at the end of the last life.
#[derive(Debug, Default)]
pub struct Legacy {
    /// Dead letters: webhook and sequence.
    pub dead: Vec<(u64, u64)>,
    /// Whether the life ended by itself.
    pub ended_well: bool,
}

/// Lives one life. The process is gone when this returns; what becomes of the disk is the caller's.
pub fn live(fixtures: &Fixtures<'_>, death: Death, seed: u64) -> Legacy {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let legacy = runtime.block_on(async {
        fixtures.world.lock().begin();
        let legacy = Mutex::new(Legacy::default());
        let steps_left = if let Death::Step { number } = death { number } else { u64::MAX };
        let life = Mortal {
            life: Box::pin(walhook(fixtures, death, seed, &legacy)),
            steps_left,
            disk: fixtures.disk,
        };
        if let Death::At { us } = death {
            let _ = tokio::time::timeout(Duration::from_micros(us), life).await;
        } else {
            life.await;
        }
        // time stands still while everything is dropped
        fixtures.world.lock().end();
        legacy.into_inner().unwrap()
    });
    drop(runtime);
    let mut world = fixtures.world.lock();
    let now_us = world.now_us();
    world.cluster.disconnect(now_us);
    legacy
}

/// A future that ends after so many polls, or with the disk.
struct Mortal<'a, F> {
    life: Pin<Box<F>>,
    steps_left: u64,
    disk: &'a Disk,
}

impl<F: Future<Output = ()>> Future for Mortal<'_, F> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.steps_left == 0 || self.disk.is_down() {
            return Poll::Ready(());
        }
        self.steps_left -= 1;
        let polled = self.life.as_mut().poll(context);
        if self.disk.is_down() { Poll::Ready(()) } else { polled }
    }
}

async fn walhook(fixtures: &Fixtures<'_>, death: Death, seed: u64, legacy: &Mutex<Legacy>) {
    let Fixtures { world, disk, config, .. } = *fixtures;
    let path = disk.path("walhook.db");
    let Some(queue) = open(&path, world, disk, seed).await else { return };
    judge_position(world, &*queue).await;
    let observers = Observers::new(vec![Arc::new(Ears(world.clone()))]);
    let shutdown = CancellationToken::new();
    let (sent_to, webhooks) = watch::channel(Arc::new(config.webhooks.clone()));
    let registered = Registered::default();
    let clock = clock(world);
    let dispatch = Dispatch {
        queue: Arc::clone(&queue) as Arc<dyn Queue>,
        webhooks: webhooks.clone(),
        courier: Arc::new(Network { world: world.clone() }),
        observers: observers.clone(),
        clock: clock.clone(),
        limits: Limits { in_flight_max: 16, grace: Duration::from_secs(3), ..Limits::default() },
        jitter: || 0.5,
    };
    let upkeep = Upkeep {
        queue: Arc::clone(&queue) as Arc<dyn Queue>,
        clock,
        retention: Duration::from_secs(60),
        webhooks,
        pause: Duration::from_secs(20),
    };
    let settings = settings(config, &registered);
    let way = Way { world: world.clone() };
    let tasks = async {
        let capture = || capture::run_on(&way, &settings, &*queue, &observers, &shutdown);
        tokio::join!(
            again("capture", world, &shutdown, capture),
            again("dispatch", world, &shutdown, || dispatch.run(shutdown.clone())),
            again("upkeep", world, &shutdown, || upkeep.run(shutdown.clone())),
            again("registrations", world, &shutdown, || drop_deleted(
                &registered,
                &*queue,
                &observers,
                &shutdown
            )),
            follow_registrations(&registered, config, &sent_to, &shutdown),
        );
    };
    let end = async {
        match death {
            Death::Asked { after_us } => sleep(Duration::from_micros(after_us)).await,
            Death::Done => until_done(fixtures).await,
            Death::At { .. } | Death::Step { .. } | Death::Disk => std::future::pending().await,
        }
        world.tell(format_args!("walhook is asked to end"));
        shutdown.cancel();
    };
    let mut tasks = pin!(tasks);
    tokio::select! {
        biased;
        () = &mut tasks => {}
        () = end => tasks.await,
    }
    if death == Death::Done {
        let filter = Filter { states: vec![walhook::delivery::State::Dead], ..Filter::default() };
        let dead = queue.deliveries(filter, 1_000_000).await.unwrap();
        for left in queue.deliveries(Filter::default(), 1_000_000).await.unwrap() {
            if !matches!(left.state, walhook::delivery::State::Delivered | walhook::delivery::State::Dead) {
                world.tell(format_args!(
                    "left: {} {:?} {:?} {}",
                    left.number, left.state, left.verb, left.entry_id
                ));
            }
        }
        legacy.lock().unwrap().dead =
            dead.iter().map(|dead| (dead.number.webhook.0, dead.number.sequence)).collect();
    }
    legacy.lock().unwrap().ended_well = true;
    world.tell(format_args!("walhook has ended"));
}

/// Whoever sends has the webhooks of the file and those that are registered, as in the program.
async fn follow_registrations(
    registered: &Registered,
    config: &Config,
    sent_to: &watch::Sender<Arc<Webhooks>>,
    shutdown: &CancellationToken,
) {
    let mut news = registered.news();
    loop {
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return,
            () = news.changed() => {}
        }
        sent_to.send_replace(Arc::new(registered.merged(&config.webhooks)));
        sleep(Duration::from_millis(20)).await;
    }
}

/// What is queued for webhooks that were deleted is dropped, as upkeep does.
async fn drop_deleted(
    registered: &Registered,
    queue: &dyn Queue,
    observers: &Observers,
    shutdown: &CancellationToken,
) -> Result<(), queue::Error> {
    let mut news = registered.news();
    loop {
        upkeep::drop_deleted(registered, queue, observers).await?;
        tokio::select! {
            biased;
            () = shutdown.cancelled() => return Ok(()),
            () = news.changed() => {}
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// Starts a task again and again, as the program does.
async fn again<E: Remediable, T: Future<Output = Result<(), E>>>(
    task: &str,
    world: &Shared,
    shutdown: &CancellationToken,
    mut start: impl FnMut() -> T,
) {
    let mut pause = Duration::from_secs(1);
    while !shutdown.is_cancelled() {
        let Err(error) = start().await else { continue };
        world.tell(format_args!(
            "{task} failed: {error}: {:?}",
            std::error::Error::source(&error).map(ToString::to_string)
        ));
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = sleep(pause) => {}
        }
        pause = (pause * 2).min(Duration::from_secs(15));
    }
}

async fn open(path: &Path, world: &Shared, disk: &Disk, seed: u64) -> Option<Arc<SqliteQueue>> {
    let random = Mutex::new(Random::new(seed, 40));
    let pace = move || Duration::from_micros(random.lock().unwrap().below(900));
    let options = Options {
        bytes_max: 1 << 30,
        observers: Observers::new(vec![Arc::new(Ears(world.clone()))]),
        // in a third of the plays nearly everything stays in the file until its turn comes
        known_max: if seed.is_multiple_of(3) { 24 } else { Options::default().known_max },
        clock: clock(world),
        workplace: Workplace::Runtime(Arc::new(pace)),
    };
    // a disk that stays full is one for another life
    for _ in 0..OPENINGS_MAX {
        match SqliteQueue::open(path, options.clone()) {
            Ok(queue) => return Some(queue),
            Err(_) if disk.is_down() => return None,
            // what a disk says that goes on failing is not the last word
            Err(error @ queue::Error::Damaged { .. }) if world.lock().healed => {
                world.lock().broken.push(format!("the queue is damaged: {error}"));
                return None;
            }
            Err(error) => {
                world.tell(format_args!("the queue cannot be opened: {error}"));
                sleep(Duration::from_secs(1)).await;
            }
        }
    }
    None
}

/// The one rule, after a crash: nothing was ever promised to the server that the queue does not hold.
async fn judge_position(world: &Shared, queue: &dyn Queue) {
    let Ok(stream) = queue.stream().await else { return };
    let stored = stream.map_or(0, |stream| stream.progress.end_lsn.0);
    let mut world = world.lock();
    let promised = world.cluster.slot.as_ref().filter(|slot| slot.promised > slot.consistent_point);
    if let Some(confirmed) = promised.map(|slot| slot.promised) {
        world.tell(format_args!("promised {confirmed:X}, stored {stored:X}"));
        world.looks.push(Look { confirmed, stored });
    }
}

fn clock(world: &Shared) -> Clock {
    let world = world.clone();
    Clock::new(move || world.lock().time_of_day_us())
}

/// Nothing is sealed in a play.
fn keys() -> Arc<Keys> {
    Arc::new(Keys::new(vec![SealingKey::generate()]).unwrap())
}

fn settings(config: &Config, registered: &Registered) -> capture::Settings {
    capture::Settings {
        registry: capture::Registry {
            interpreter: Arc::new(Registrations::by(config, &keys())),
            registered: registered.clone(),
        },
        address: config.source.address().unwrap(),
        slot: "walhook".into(),
        publications: ["walhook".into(), "walhook_inserts".into()],
        forms: config.forms.clone(),
        webhooks: Arc::new(config.webhooks.clone()),
        staging_bytes_max: 1 << 30,
        adopt_slot: false,
        // so small that a play of some hundred changes crosses all of them
        bounds: Bounds {
            in_memory_bytes_max: 12_000,
            page_bytes_max: 6_000,
            batch_events_max: 6,
            batch_bytes_max: 20_000,
        },
        latest: walhook::catalog::Latest::default(),
        references: None,
        clock: walhook::clock::Clock::system(),
    }
}

/// Waits until everything has come about, or nothing has for long.
async fn until_done(fixtures: &Fixtures<'_>) {
    let mut known = 0;
    let mut silent_s = 0;
    while !(fixtures.is_done)() && silent_s < 300 {
        sleep(Duration::from_secs(1)).await;
        let attempts = fixtures.world.lock().attempts.len();
        silent_s = if attempts == known { silent_s + 1 } else { 0 };
        known = attempts;
    }
    // the last answers are yet to be stored, by a dispatch that may have to start anew for it
    sleep(Duration::from_secs(30)).await;
}
