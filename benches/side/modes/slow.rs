//! `slow`: endpoints that take their time. Only what is in flight at once counts then.

use crate::Trouble;
use crate::book::Expected;
use crate::options::Options;
use crate::results::{Comparison, Results, Target};
use crate::run::{Run, Subject, turns};
use crate::stage::{Stage, Writing};
use crate::webhooks::Webhooks;
use std::time::Duration;

/// One endpoint: how long it takes, how many requests it has at once.
const ONE: (Duration, usize) = (Duration::from_millis(20), 64);
/// Many: how many, how long each takes, how many requests each has at once.
const MANY: (u32, Duration, usize) = (20, Duration::from_millis(50), 8);

fn many(name: &str) -> String {
    format!("{} of {} ms, {name}", MANY.0, MANY.1.as_millis())
}

fn one(name: &str) -> String {
    format!("1 of {} ms, {name}", ONE.0.as_millis())
}

pub async fn measure(stage: &Stage, options: &Options, results: &mut Results) -> Result<(), Trouble> {
    let rows = options.rows(20_000);
    for round in 1..=options.rounds {
        measure_one(stage, options, results, rows, round).await?;
        // twice as many deliveries at once as to the one: the first and the last are left out
        measure_many(stage, options, results, 2 * rows, round).await?;
    }
    let against = |value, of: String, to: Option<String>, target| Comparison { value, of, to, target };
    let (enough, middle) = (Target::AtLeast(0.95), "events/s middle 90 %");
    results.say(&[
        against(middle, one("walhook"), Some(one("bare client")), enough),
        against("of possible", many("walhook"), None, enough),
        against(middle, many("walhook"), Some(many("bare client")), Target::None),
    ]);
    Ok(())
}

async fn measure_one(
    stage: &Stage,
    options: &Options,
    results: &mut Results,
    rows: u32,
    round: usize,
) -> Result<(), Trouble> {
    stage.write(Writing::Inserts, rows, options.per_transaction).await?;
    let (pause, in_flight) = ONE;
    let webhook = Webhooks { in_flight_max: in_flight, ..Webhooks::default() };
    let subjects = vec![Subject::Walhook(webhook), Subject::Bare { connections: in_flight }];
    for subject in turns(subjects, round) {
        let expected = Expected::plain(1..=rows, Writing::Inserts.step());
        let run = Run::prepare(stage, options, &subject, expected, pause).await?;
        drain(stage, run, results, &one(subject.name()), round, in_flight).await?;
    }
    Ok(())
}

/// The bare client knows one endpoint only: it gets as many rows as there are deliveries, over as many connections.
async fn measure_many(
    stage: &Stage,
    options: &Options,
    results: &mut Results,
    deliveries: u32,
    round: usize,
) -> Result<(), Trouble> {
    let (count, pause, in_flight_max) = MANY;
    let in_flight = count as usize * in_flight_max;
    let webhooks = Webhooks { count: count as usize, in_flight_max, ..Webhooks::default() };
    let subjects = vec![(Subject::Walhook(webhooks), count), (Subject::Bare { connections: in_flight }, 1)];
    for (subject, webhooks) in turns(subjects, round) {
        let rows = (deliveries / webhooks).max(1);
        stage.write(Writing::Inserts, rows, options.per_transaction).await?;
        let expected = Expected { webhooks, ..Expected::plain(1..=rows, Writing::Inserts.step()) };
        let run = Run::prepare(stage, options, &subject, expected, pause).await?;
        drain(stage, run, results, &many(subject.name()), round, in_flight).await?;
    }
    Ok(())
}

/// Possible is what the requests in flight allow at the pause as it was asked for. How long it really was stands
/// beside it.
async fn drain(
    stage: &Stage,
    mut run: Run,
    results: &mut Results,
    series: &str,
    round: usize,
    in_flight: usize,
) -> Result<(), Trouble> {
    let asked = run.receiver.pause();
    let mut drained = run.drain().await?;
    stage.drop_slot(run.slot).await?;
    let kept = run.receiver.mean_pause();
    let middle = drained.values.iter().find(|(name, _)| *name == "events/s middle 90 %");
    let rate = middle.map_or(0.0, |(_, rate)| *rate);
    drained.values.push(("of possible", rate * asked.as_secs_f64() / in_flight as f64));
    drained.values.push(("pause ms", kept.as_secs_f64() * 1000.0));
    results.add(series, round, drained.values, drained.fault)
}
