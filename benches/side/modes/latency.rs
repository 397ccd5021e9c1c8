//! `latency`: from the statement that writes a row to the arrival of its webhook, at a steady rate of commits.

use crate::Trouble;
use crate::book::{Expected, quantile};
use crate::modes::drain::CONNECTIONS;
use crate::options::Options;
use crate::results::{Comparison, Results, Target, Values};
use crate::run::{Run, Subject, turns};
use crate::stage::{Stage, Writing};
use crate::webhooks::Webhooks;
use std::ops::RangeInclusive;
use std::time::Duration;

pub async fn measure(stage: &Stage, options: &Options, results: &mut Results) -> Result<(), Trouble> {
    for round in 1..=options.rounds {
        let subjects =
            vec![Subject::Walhook(Webhooks::default()), Subject::Bare { connections: CONNECTIONS }];
        for subject in turns(subjects, round) {
            let (values, fault) = live(stage, options, &subject).await?;
            results.add(subject.name(), round, values, fault)?;
        }
    }
    let against = |value, target| Comparison {
        value,
        of: "walhook".to_owned(),
        to: Some("bare client".to_owned()),
        target,
    };
    results.say(&[
        against("p50 ms", Target::AtMost(1.5)),
        against("p99 ms", Target::AtMost(2.0)),
        against("CPU µs/event", Target::None),
    ]);
    Ok(())
}

/// A second to warm up, then commits at the rate.
async fn live(
    stage: &Stage,
    options: &Options,
    subject: &Subject,
) -> Result<(Values, Option<String>), Trouble> {
    let warm = options.rate;
    let last = warm + options.rate * options.seconds;
    stage.begin_anew(subject.slot()).await?;
    let expected = Expected::plain(1..=last, Writing::Inserts.step());
    let mut run = Run::over(stage, options, subject, expected, Duration::ZERO)?;
    run.program.start()?;
    run.program.reads(stage, run.slot).await?;
    stage.commit(1..=warm, options.rate).await?;
    run.accepted(warm as usize).await?;
    let before = run.program.cpu();
    stage.commit(warm + 1..=last, options.rate).await?;
    run.accepted(last as usize).await?;
    let cpu_us = run.program.cpu().saturating_sub(before).as_micros() as f64;
    run.program.quiet().await;
    run.program.kill()?;
    stage.drop_slot(run.slot).await?;
    let mut values = delays(&run, warm + 1..=last);
    values.push(("CPU µs/event", cpu_us / f64::from(last - warm)));
    let fault = run.receiver.book().fault(false);
    Ok((values, fault))
}

/// The usual quantiles of the delays of such entries.
pub fn delays(run: &Run, entries: RangeInclusive<u32>) -> Values {
    let delays = run.receiver.book().delays_ms(entries);
    let at = |share| quantile(&delays, share).unwrap_or(f64::NAN);
    vec![("p50 ms", at(0.5)), ("p99 ms", at(0.99)), ("worst ms", at(1.0))]
}
