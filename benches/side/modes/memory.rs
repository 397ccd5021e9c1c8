//! `memory`: what is resident when nothing happens, at a steady rate, with deliveries that wait, after a large
//! transaction.

use crate::Trouble;
use crate::book::Expected;
use crate::modes::backlog;
use crate::options::Options;
use crate::results::{Comparison, Results, Target, Values};
use crate::run::{Run, Subject};
use crate::stage::{Stage, Writing};
use crate::webhooks::Webhooks;
use std::time::Duration;

/// The scenes, and how many MB may be resident at most.
const SCENES: [(&str, f64); 4] =
    [("idle", 25.0), ("steady", 40.0), ("waiting deliveries", 100.0), ("one large transaction", 100.0)];

pub async fn measure(stage: &Stage, options: &Options, results: &mut Results) -> Result<(), Trouble> {
    for round in 1..=options.rounds {
        for (scene, _) in SCENES {
            let (values, fault) = match scene {
                "idle" => idle(stage, options, 0).await?,
                "steady" => idle(stage, options, options.seconds).await?,
                "waiting deliveries" => waiting(stage, options).await?,
                _ => large(stage, options).await?,
            };
            results.add(scene, round, values, fault)?;
        }
    }
    let comparisons = SCENES.map(|(scene, bound)| Comparison {
        value: "peak MB",
        of: scene.to_owned(),
        to: None,
        target: Target::AtMost(bound),
    });
    results.say(&comparisons);
    Ok(())
}

fn resident(run: &Run) -> Values {
    vec![("resident MB", run.program.resident_mb()), ("peak MB", run.program.peak_mb())]
}

/// Commits at the rate for so many seconds; none is nothing at all.
async fn idle(stage: &Stage, options: &Options, seconds: u32) -> Result<(Values, Option<String>), Trouble> {
    let subject = Subject::Walhook(Webhooks::default());
    stage.begin_anew(subject.slot()).await?;
    let rows = options.rate * seconds;
    let expected = Expected { webhooks: u32::from(rows > 0), ..Expected::plain(1..=rows.max(1), 1) };
    let mut run = Run::over(stage, options, &subject, expected, Duration::ZERO)?;
    run.program.start()?;
    run.program.reads(stage, run.slot).await?;
    if rows > 0 {
        stage.commit(1..=rows, options.rate).await?;
        run.accepted(rows as usize).await?;
    }
    run.program.quiet().await;
    let values = resident(&run);
    run.program.kill()?;
    stage.drop_slot(run.slot).await?;
    let fault = run.receiver.book().fault(false);
    Ok((values, fault))
}

async fn waiting(stage: &Stage, options: &Options) -> Result<(Values, Option<String>), Trouble> {
    let mut run = backlog::pile_up(stage, options, options.waiting, 0).await?;
    run.program.quiet().await;
    let mut values = resident(&run);
    values.push(("deliveries", f64::from(options.waiting)));
    run.program.kill()?;
    stage.drop_slot(run.slot).await?;
    Ok((values, None))
}

async fn large(stage: &Stage, options: &Options) -> Result<(Values, Option<String>), Trouble> {
    let subject = Subject::Walhook(Webhooks::default());
    let rows = options.rows(200_000);
    stage.write(Writing::Inserts, rows, rows).await?;
    let expected = Expected::plain(1..=rows, Writing::Inserts.step());
    let mut run = Run::prepare(stage, options, &subject, expected, Duration::ZERO).await?;
    run.program.start()?;
    run.accepted(rows as usize).await?;
    run.program.quiet().await;
    let mut values = resident(&run);
    values.push(("deliveries", f64::from(rows)));
    run.program.kill()?;
    stage.drop_slot(run.slot).await?;
    let fault = run.receiver.book().fault(false);
    Ok((values, fault))
}
