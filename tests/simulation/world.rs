//! What outlives walhook: time, the server, what endpoints have received, and the record of it all.

use crate::proof::laws::{Attempt, Look};
use crate::proof::random::Random;
use crate::server::Cluster;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::time::Instant;
use walhook::observe::{Observation, Observer};

/// 2023-11-14, in microseconds since 1970: when every play begins.
pub const BEGINNING_US: i64 = 1_700_000_000_000_000;

/// Shared by everything in a play.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<World>>);

pub struct World {
    /// The time at which the runtime of now was made, in microseconds since the play began.
    base_us: u64,
    /// The same moment in that runtime.
    began: Option<Instant>,
    /// How far the clock on the wall is from the truth.
    pub clock_error_us: i64,
    pub cluster: Cluster,
    pub attempts: Vec<Attempt>,
    /// What was ever promised to the server, and what the queue held after a crash.
    pub looks: Vec<Look>,
    /// Whether nothing fails any more: the play is to come to its end.
    pub healed: bool,
    /// Endpoints that are away, by path, each until a moment.
    pub outages: Vec<(&'static str, u64)>,
    /// For the fate of requests.
    pub fate: Random,
    /// What broke a law that only a witness inside can see.
    pub broken: Vec<String>,
    /// What a trace does not show, for it differs each time.
    pub folder: String,
    trace: Option<Vec<String>>,
}

impl Shared {
    pub fn new(seed: u64, cluster: Cluster, traced: bool) -> Self {
        Self(Arc::new(Mutex::new(World {
            base_us: 0,
            began: None,
            clock_error_us: 0,
            cluster,
            attempts: Vec::new(),
            looks: Vec::new(),
            healed: false,
            outages: Vec::new(),
            fate: Random::new(seed, 30),
            broken: Vec::new(),
            folder: String::new(),
            trace: traced.then(Vec::new),
        })))
    }

    pub fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    pub fn now_us(&self) -> u64 {
        self.lock().now_us()
    }

    pub fn tell(&self, line: fmt::Arguments<'_>) {
        self.lock().tell(line);
    }
}

impl World {
    /// Microseconds since the play began.
    pub fn now_us(&self) -> u64 {
        self.base_us + self.began.map_or(0, |began| began.elapsed().as_micros() as u64)
    }

    /// The time of day as walhook is told.
    pub fn time_of_day_us(&self) -> i64 {
        BEGINNING_US + self.now_us() as i64 + self.clock_error_us
    }

    /// A runtime begins: its clock goes on where the last one ended.
    pub fn begin(&mut self) {
        self.began = Some(Instant::now());
    }

    /// A runtime ends.
    pub fn end(&mut self) {
        self.base_us = self.now_us();
        self.began = None;
    }

    /// Time goes by without anybody.
    pub fn pass(&mut self, us: u64) {
        assert!(self.began.is_none());
        self.base_us += us;
    }

    pub fn tell(&mut self, line: fmt::Arguments<'_>) {
        let now_us = self.now_us();
        if let Some(trace) = &mut self.trace {
            let line = line.to_string().replace(&self.folder, "");
            trace.push(format!("{:>12.6} {line}", now_us as f64 / 1e6));
        }
    }

    pub fn take_trace(&mut self) -> Vec<String> {
        self.trace.take().unwrap_or_default()
    }

    pub fn is_traced(&self) -> bool {
        self.trace.is_some()
    }
}

/// Writes what walhook says into the trace.
pub struct Ears(pub Shared);

impl Observer for Ears {
    fn observe(&self, observation: &Observation) {
        let mut world = self.0.lock();
        if world.is_traced() {
            world.tell(format_args!("walhook: {observation:?}"));
        }
    }
}
