//! `kill`: kill -9 again and again during a drain. What comes twice, and how soon it goes on.

use crate::Trouble;
use crate::book::Expected;
use crate::modes::drain::CONNECTIONS;
use crate::options::Options;
use crate::results::{Comparison, Results, Target};
use crate::run::{Run, Subject};
use crate::stage::{Stage, Writing};
use crate::webhooks::Webhooks;
use std::time::{Duration, Instant};

/// What is in flight and one group commit.
const REPEATS_MAX: f64 = 100.0;
/// More requests than the killed one can have had under way.
const CERTAIN: usize = 2 * CONNECTIONS;

pub async fn measure(stage: &Stage, options: &Options, results: &mut Results) -> Result<(), Trouble> {
    let kills = options.kills.max(1);
    // behind every kill there must be more than is waited for
    let rows = options.rows(60_000).max(2 * CERTAIN as u32 * (kills + 1));
    stage.write(Writing::Inserts, rows, options.per_transaction).await?;
    for round in 1..=options.rounds {
        let subject = Subject::Walhook(Webhooks::default());
        let expected = Expected::plain(1..=rows, Writing::Inserts.step());
        let mut run = Run::prepare(stage, options, &subject, expected, Duration::ZERO).await?;
        run.program.start()?;
        let (mut absent, mut most) = (Duration::ZERO, 0);
        for kill in 1..=kills {
            run.accepted((u64::from(rows) * u64::from(kill) / u64::from(kills + 1)) as usize).await?;
            let repeats = run.receiver.book().repeats();
            run.program.kill()?;
            let (killed, requests) = (Instant::now(), run.receiver.requests());
            run.program.start()?;
            // what the killed one had sent may still be read: a delivery more is not enough
            run.requested(requests + CERTAIN).await?;
            absent = absent.max(killed.elapsed());
            most = most.max(run.receiver.book().repeats() - repeats);
        }
        run.accepted(rows as usize).await?;
        run.program.quiet().await;
        let peak_mb = run.program.peak_mb();
        run.program.kill()?;
        stage.drop_slot(run.slot).await?;
        let book = run.receiver.book();
        let values = vec![
            ("kills", f64::from(kills)),
            ("repeats/kill", book.repeats() as f64 / f64::from(kills)),
            ("most soon after one", most as f64),
            ("longest absence s", absent.as_secs_f64()),
            ("peak MB", peak_mb),
        ];
        results.add("walhook", round, values, book.fault(true))?;
    }
    let repeats = Comparison {
        value: "repeats/kill",
        of: "walhook".to_owned(),
        to: None,
        target: Target::AtMost(REPEATS_MAX),
    };
    results.say(&[repeats]);
    Ok(())
}
