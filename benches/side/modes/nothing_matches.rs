//! `nothing-matches`: most of what an application writes concerns no webhook. How long until it has been looked at,
//! and until the server may forget it.

use crate::Trouble;
use crate::book::Expected;
use crate::modes::drain;
use crate::options::Options;
use crate::results::{Comparison, Results, Target, Values};
use crate::run::{Run, Subject, turns};
use crate::stage::{Stage, Writing};
use crate::webhooks::{NARROW, Webhooks, only};
use std::time::{Duration, Instant};
use walhook::lsn::Lsn;

pub async fn measure(stage: &Stage, options: &Options, results: &mut Results) -> Result<(), Trouble> {
    let rows = options.rows(150_000);
    for writing in [Writing::Inserts, Writing::Updates] {
        let end = stage.write(writing, rows, options.per_transaction).await?;
        for round in 1..=options.rounds {
            let (values, fault) = drain::limit(stage, rows, end).await?;
            results.add(&drain::series(writing, "pg_recvlogical"), round, values, fault)?;
            for matching in turns(vec![None, Some(rows)], round) {
                let (values, fault) = pass(stage, options, writing, rows, matching, end).await?;
                results.add(&series(writing, matching), round, values, fault)?;
            }
        }
    }
    let against = |writing, matching, target| Comparison {
        value: "events/s",
        of: series(writing, matching),
        to: Some(drain::series(writing, "pg_recvlogical")),
        target,
    };
    results.say(&[
        against(Writing::Inserts, Some(rows), Target::AtLeast(0.9)),
        against(Writing::Updates, Some(rows), Target::AtLeast(0.9)),
        against(Writing::Inserts, None, Target::None),
        against(Writing::Updates, None, Target::None),
    ]);
    Ok(())
}

fn series(writing: Writing, matching: Option<u32>) -> String {
    match matching {
        Some(_) => drain::series(writing, "until the last row, which matches"),
        None => drain::series(writing, "until all is confirmed"),
    }
}

/// From when walhook reads its slot until the last row has come, the only one that matches; or, where none does,
/// until the slot is confirmed to the end. walhook stores positions without deliveries at an interval only, which is
/// in the second figure and not in the first.
async fn pass(
    stage: &Stage,
    options: &Options,
    writing: Writing,
    rows: u32,
    matching: Option<u32>,
    end: Lsn,
) -> Result<(Values, Option<String>), Trouble> {
    let condition = matching.map_or_else(|| NARROW.to_owned(), only);
    let subject = Subject::Walhook(Webhooks { condition, ..Webhooks::default() });
    let expected = match matching {
        Some(row) => Expected::plain(row..=row, writing.step()),
        None => Expected { webhooks: 0, ..Expected::plain(1..=1, writing.step()) },
    };
    let mut run = Run::prepare(stage, options, &subject, expected, Duration::ZERO).await?;
    run.program.start()?;
    run.program.reads(stage, run.slot).await?;
    let began = Instant::now();
    let is_through = if matching.is_some() {
        run.accepted(1).await?;
        true
    } else {
        run.confirmed(stage, end).await?
    };
    let took = began.elapsed();
    run.program.quiet().await;
    let (cpu, peak_mb) = (run.program.cpu(), run.program.peak_mb());
    run.program.kill()?;
    stage.drop_slot(run.slot).await?;
    let values = vec![
        ("events/s", f64::from(rows) / took.as_secs_f64()),
        ("seconds", took.as_secs_f64()),
        ("CPU µs/event", cpu.as_micros() as f64 / f64::from(rows)),
        ("peak MB", peak_mb),
    ];
    let fault = run.receiver.book().fault(false);
    Ok((values, fault.or_else(|| (!is_through).then(|| "never confirmed".to_owned()))))
}
