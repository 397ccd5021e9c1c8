//! The steps of a change's path, each played so and so often.
//!
//! A play prepares the same however often the step is then done, so two plays differ by the step alone. What it
//! prepares and does not use it must not give back. It says with an assertion that the step did what it is for.

mod capture;
mod decode;
mod matching;
mod queue;
mod render;

/// A step.
pub struct Step {
    /// Its name in the file of expected counts.
    pub name: &'static str,
    /// What is counted: instructions per one of these.
    pub per: &'static str,
    /// How often it is done in the longer play; the shorter has half of it.
    pub times: u64,
    /// Prepares for `times` (the first) and does the step that often (the second), which is at most as often.
    pub play: fn(u64, u64),
}

/// All of them, in the order of the path.
pub const STEPS: &[Step] = &[
    Step { name: "decode insert", per: "change", times: 20_000, play: decode::insert },
    Step { name: "decode update", per: "change", times: 20_000, play: decode::update },
    Step { name: "map insert", per: "change", times: 8000, play: capture::map_insert },
    Step { name: "map update", per: "change", times: 8000, play: capture::map_update },
    Step { name: "match 1", per: "change", times: 20_000, play: matching::one },
    Step { name: "match 100", per: "change", times: 20_000, play: matching::hundred },
    Step { name: "match 10000", per: "change", times: 2000, play: matching::ten_thousand },
    Step { name: "render native", per: "body", times: 8000, play: render::native },
    Step { name: "render arsys", per: "body", times: 8000, play: render::arsys },
    Step { name: "enqueue", per: "event", times: 16_000, play: queue::enqueue },
    Step { name: "deliver", per: "delivery", times: 12_800, play: queue::deliver },
    Step { name: "capture insert", per: "change", times: 16_384, play: capture::insert },
    Step { name: "capture update", per: "change", times: 16_384, play: capture::update },
];
