//! `failing`: every tenth entry is refused for good. What that means for the others.

use crate::Trouble;
use crate::book::Expected;
use crate::options::Options;
use crate::results::{Comparison, Results, Target};
use crate::run::{Run, Subject, turns};
use crate::stage::{Stage, Writing};
use crate::webhooks::Webhooks;
use std::time::Duration;

const EACH: u32 = 10;
const NONE_FAIL: &str = "none refused";
const SOME_FAIL: &str = "every tenth entry refused";

pub async fn measure(stage: &Stage, options: &Options, results: &mut Results) -> Result<(), Trouble> {
    let rows = options.rows(100_000);
    stage.write(Writing::Inserts, rows, options.per_transaction).await?;
    for round in 1..=options.rounds {
        for (series, refused_each) in turns(vec![(NONE_FAIL, None), (SOME_FAIL, Some(EACH))], round) {
            let subject = Subject::Walhook(Webhooks::default());
            let expected = Expected { refused_each, ..Expected::plain(1..=rows, Writing::Inserts.step()) };
            let mut run = Run::prepare(stage, options, &subject, expected, Duration::ZERO).await?;
            let mut drained = run.drain().await?;
            stage.drop_slot(run.slot).await?;
            // the same entries in both: those that are never refused
            let rest = run.receiver.book().rates(|entry| !entry.is_multiple_of(EACH));
            drained.values.push(("rest/s", rest.map_or(0.0, |rates| rates.whole)));
            drained.values.push(("requests", run.receiver.requests() as f64));
            results.add(series, round, drained.values, drained.fault)?;
        }
    }
    results.say(&[Comparison {
        value: "rest/s",
        of: SOME_FAIL.to_owned(),
        to: Some(NONE_FAIL.to_owned()),
        target: Target::AtLeast(0.95),
    }]);
    Ok(())
}
