//! `drain`: everything that was written before the start, through one webhook, as fast as it goes.

use crate::Trouble;
use crate::book::Expected;
use crate::options::Options;
use crate::program::Program;
use crate::results::{Comparison, Results, Target, Values};
use crate::run::{Run, Subject, turns};
use crate::stage::{Stage, Writing};
use crate::webhooks::Webhooks;
use std::time::{Duration, Instant};
use walhook::lsn::Lsn;

/// The connections of the bare client, and the attempts of walhook that may be under way.
pub const CONNECTIONS: usize = 16;
/// The slot of `pg_recvlogical`.
const LIMIT_SLOT: &str = "limited";

pub async fn measure(stage: &Stage, options: &Options, results: &mut Results) -> Result<(), Trouble> {
    let rows = options.rows(60_000);
    for writing in [Writing::Inserts, Writing::Updates] {
        let end = stage.write(writing, rows, options.per_transaction).await?;
        for round in 1..=options.rounds {
            let (values, fault) = limit(stage, rows, end).await?;
            results.add(&series(writing, "pg_recvlogical"), round, values, fault)?;
            for subject in turns(subjects(), round) {
                let expected = Expected::plain(1..=rows, writing.step());
                let mut run = Run::prepare(stage, options, &subject, expected, Duration::ZERO).await?;
                let drained = run.drain().await?;
                stage.drop_slot(run.slot).await?;
                results.add(&series(writing, subject.name()), round, drained.values, drained.fault)?;
            }
        }
    }
    results.say(&comparisons());
    Ok(())
}

pub fn series(writing: Writing, name: &str) -> String {
    format!("{}, {name}", writing.name())
}

fn subjects() -> Vec<Subject> {
    vec![Subject::Walhook(Webhooks::default()), Subject::Bare { connections: CONNECTIONS }]
}

fn comparisons() -> Vec<Comparison> {
    let mut comparisons = Vec::new();
    for writing in [Writing::Inserts, Writing::Updates] {
        let against = |value, to: &str, target| Comparison {
            value,
            of: series(writing, "walhook"),
            to: Some(series(writing, to)),
            target,
        };
        comparisons.push(against("events/s", "bare client", Target::AtLeast(0.9)));
        comparisons.push(against("CPU µs/event", "bare client", Target::AtMost(1.3)));
        comparisons.push(against("events/s", "pg_recvlogical", Target::None));
    }
    comparisons
}

/// The server's own client on the same log: nobody who reads a slot is faster. From when it reads until it ends.
pub async fn limit(stage: &Stage, rows: u32, end: Lsn) -> Result<(Values, Option<String>), Trouble> {
    stage.copy_slot(LIMIT_SLOT).await?;
    let mut program = Program::recvlogical(stage, LIMIT_SLOT, end)?;
    let mut began = Instant::now();
    program.start()?;
    // a few rows it has read before anybody looks
    if program.reads_or_has_ended(stage, LIMIT_SLOT).await? {
        began = Instant::now();
    }
    let status = loop {
        match program.ended()? {
            Some(status) => break status,
            None if began.elapsed() > Duration::from_secs(600) => {
                return Err("pg_recvlogical does not end".into());
            }
            None => tokio::time::sleep(Duration::from_millis(2)).await,
        }
    };
    let took = began.elapsed();
    stage.drop_slot(LIMIT_SLOT).await?;
    let fault = (!status.success()).then(|| format!("pg_recvlogical ended with {status}"));
    let rate = f64::from(rows) / took.as_secs_f64();
    Ok((vec![("events/s", rate), ("seconds", took.as_secs_f64())], fault))
}
