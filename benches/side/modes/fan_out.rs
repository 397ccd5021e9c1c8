//! `fan-out`: many webhooks on one form, all of which want every row.

use crate::Trouble;
use crate::book::Expected;
use crate::options::Options;
use crate::results::{Comparison, Results, Target};
use crate::run::{Run, Subject, turns};
use crate::stage::{Stage, Writing};
use crate::webhooks::Webhooks;
use std::time::Duration;

const WEBHOOKS: [u32; 2] = [1, 10];

fn series(webhooks: u32) -> String {
    format!("{webhooks} webhook{}", if webhooks == 1 { "" } else { "s" })
}

pub async fn measure(stage: &Stage, options: &Options, results: &mut Results) -> Result<(), Trouble> {
    // as many deliveries each time, so that what a start takes weighs the same
    let deliveries = options.rows(60_000);
    for round in 1..=options.rounds {
        for webhooks in turns(WEBHOOKS.to_vec(), round) {
            let rows = (deliveries / webhooks).max(1);
            stage.write(Writing::Inserts, rows, options.per_transaction).await?;
            let subject = Subject::Walhook(Webhooks { count: webhooks as usize, ..Webhooks::default() });
            let expected = Expected { webhooks, ..Expected::plain(1..=rows, Writing::Inserts.step()) };
            let mut run = Run::prepare(stage, options, &subject, expected, Duration::ZERO).await?;
            let drained = run.drain().await?;
            stage.drop_slot(run.slot).await?;
            results.add(&series(webhooks), round, drained.values, drained.fault)?;
        }
    }
    let against =
        |value, target| Comparison { value, of: series(WEBHOOKS[1]), to: Some(series(WEBHOOKS[0])), target };
    results.say(&[against("CPU µs/event", Target::AtMost(0.8)), against("events/s", Target::None)]);
    Ok(())
}
