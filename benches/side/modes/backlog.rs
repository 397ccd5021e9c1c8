//! `backlog`: an endpoint that was away while deliveries piled up comes back. `restart`: walhook comes back, to a
//! file in which they wait.

use crate::Trouble;
use crate::book::Expected;
use crate::modes::latency::delays;
use crate::options::Options;
use crate::results::{Comparison, Results, Target, Values};
use crate::run::{Run, Subject};
use crate::stage::{Stage, Writing};
use crate::webhooks::Webhooks;
use std::time::{Duration, Instant};

/// Commits in a second of other entries, beside the backlog.
const BESIDE: u32 = 50;
/// How long, in seconds.
const BESIDE_S: u32 = 4;
/// Rows in a transaction where many are to wait: they are the load, not what is measured.
const BULK: u32 = 50;

const IDLE: &str = "commits without a backlog";
const DRAIN: &str = "drain without a backlog";
const BACK: &str = "endpoint back to a backlog";
const RESTARTED: &str = "walhook back to a backlog";

pub async fn measure(stage: &Stage, options: &Options, results: &mut Results) -> Result<(), Trouble> {
    for round in 1..=options.rounds {
        let (values, fault) = idle(stage, options).await?;
        results.add(IDLE, round, values, fault)?;
        let (values, fault) = drain(stage, options).await?;
        results.add(DRAIN, round, values, fault)?;
        let (values, fault) = back(stage, options).await?;
        results.add(BACK, round, values, fault)?;
    }
    let against =
        |value, to: &str, target| Comparison { value, of: BACK.to_owned(), to: Some(to.to_owned()), target };
    results.say(&[
        Comparison { to: None, ..against("first delivery s", "", Target::AtMost(1.0)) },
        against("events/s", DRAIN, Target::AtLeast(0.9)),
        against("p50 ms", IDLE, Target::AtMost(10.0)),
        against("p99 ms", IDLE, Target::AtMost(10.0)),
    ]);
    Ok(())
}

pub async fn measure_restart(stage: &Stage, options: &Options, results: &mut Results) -> Result<(), Trouble> {
    for round in 1..=options.rounds {
        let rows = options.rows(100_000);
        let mut run = pile_up(stage, options, rows, 0).await?;
        run.program.kill()?;
        run.receiver.up()?;
        run.program.start()?;
        let values = catch_up(&mut run, rows).await?;
        run.program.kill()?;
        stage.drop_slot(run.slot).await?;
        let fault = run.receiver.book().fault(false);
        results.add(RESTARTED, round, values, fault)?;
    }
    results.say(&[Comparison {
        value: "first delivery s",
        of: RESTARTED.to_owned(),
        to: None,
        target: Target::AtMost(1.0),
    }]);
    Ok(())
}

/// walhook whose endpoint is away: so many deliveries wait in the queue when this returns, and all of them are
/// confirmed. So many more entries are expected to come.
pub async fn pile_up(stage: &Stage, options: &Options, rows: u32, more: u32) -> Result<Run, Trouble> {
    let subject = Subject::Walhook(Webhooks::default());
    stage.begin_anew(subject.slot()).await?;
    let expected = Expected::plain(1..=rows + more, Writing::Inserts.step());
    let mut run = Run::over(stage, options, &subject, expected, Duration::ZERO)?;
    run.receiver.down();
    run.program.start()?;
    run.program.reads(stage, run.slot).await?;
    stage.fill(Writing::Inserts, 1, rows, BULK).await?;
    let end = stage.end().await?;
    if !run.confirmed(stage, end).await? {
        return Err("the backlog was never confirmed".into());
    }
    Ok(run)
}

/// Waits for the first delivery, then for so many.
async fn catch_up(run: &mut Run, rows: u32) -> Result<Values, Trouble> {
    let began = Instant::now();
    run.accepted(1).await?;
    let first = began.elapsed();
    run.accepted(rows as usize).await?;
    let peak_mb = run.program.peak_mb();
    let rate = run.receiver.book().rates(|entry| entry <= rows).map_or(0.0, |rates| rates.whole);
    Ok(vec![("first delivery s", first.as_secs_f64()), ("events/s", rate), ("peak MB", peak_mb)])
}

async fn idle(stage: &Stage, options: &Options) -> Result<(Values, Option<String>), Trouble> {
    let subject = Subject::Walhook(Webhooks::default());
    stage.begin_anew(subject.slot()).await?;
    let (warm, last) = (BESIDE, BESIDE * (BESIDE_S + 1));
    let expected = Expected::plain(1..=last, Writing::Inserts.step());
    let mut run = Run::over(stage, options, &subject, expected, Duration::ZERO)?;
    run.program.start()?;
    run.program.reads(stage, run.slot).await?;
    stage.commit(1..=last, BESIDE).await?;
    run.accepted(last as usize).await?;
    run.program.kill()?;
    stage.drop_slot(run.slot).await?;
    let fault = run.receiver.book().fault(false);
    Ok((delays(&run, warm + 1..=last), fault))
}

async fn drain(stage: &Stage, options: &Options) -> Result<(Values, Option<String>), Trouble> {
    let rows = options.rows(100_000);
    stage.write(Writing::Inserts, rows, BULK).await?;
    let subject = Subject::Walhook(Webhooks::default());
    let expected = Expected::plain(1..=rows, Writing::Inserts.step());
    let mut run = Run::prepare(stage, options, &subject, expected, Duration::ZERO).await?;
    let drained = run.drain().await?;
    stage.drop_slot(run.slot).await?;
    Ok((drained.values, drained.fault))
}

async fn back(stage: &Stage, options: &Options) -> Result<(Values, Option<String>), Trouble> {
    let (rows, more) = (options.rows(100_000), BESIDE * BESIDE_S);
    let mut run = pile_up(stage, options, rows, more).await?;
    run.receiver.up()?;
    let began = Instant::now();
    run.accepted(1).await?;
    let first = began.elapsed();
    // entries that nobody has heard of, from when the endpoint is known to be back
    stage.commit(rows + 1..=rows + more, BESIDE).await?;
    let mut values = catch_up(&mut run, rows + more).await?;
    values[0].1 = first.as_secs_f64();
    values.extend(delays(&run, rows + 1..=rows + more));
    run.program.kill()?;
    stage.drop_slot(run.slot).await?;
    let fault = run.receiver.book().fault(false);
    Ok((values, fault))
}
