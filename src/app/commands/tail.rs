//! `walhook deliveries tail`: what comes, and what becomes of it, until somebody ends it.

use super::deliveries::{name_of, summary_json};
use super::{selection, times};
use crate::app::cli;
use crate::app::failure::{Exit, Failure};
use crate::app::output::{Output, printable};
use crate::delivery::{DeliveryNumber, State};
use crate::queue::{DeliverySummary, Queue, WebhookStanding};
use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

/// How often the queue is asked;
const PAUSE: Duration = Duration::from_millis(500);
/// more rarely where that takes long, so many times as long as it took: a filter may lead through a long history, on a
/// machine that has deliveries to make.
const REST: u32 = 10;
/// How many of the newest deliveries are looked at each time.
const WINDOW: usize = 1_000;

/// Prints a line for each delivery that comes, and whenever something has become of one, until it is interrupted.
pub(super) async fn follow(
    output: Output,
    queue: &dyn Queue,
    arguments: &cli::Tail,
) -> Result<Exit, Failure> {
    let mut standings = queue.webhooks().await?;
    let filter = selection::filter(&standings, &arguments.filter)?;
    let mut followed = Followed::default();
    let mut is_first = true;
    loop {
        let began = Instant::now();
        let found = queue.deliveries(filter.clone(), WINDOW).await?;
        let took = began.elapsed();
        let News { lines, is_missing } = followed.take(found);
        if is_missing && !is_first {
            output.note(&format!("more than {WINDOW} came at once: older ones of them are not shown"));
        }
        let skipped = if is_first { lines.len().saturating_sub(arguments.last as usize) } else { 0 };
        let is_unknown = |line: &DeliverySummary| !standings.iter().any(|one| one.id == line.number.webhook);
        if lines.iter().any(is_unknown) {
            standings = queue.webhooks().await?;
        }
        for line in &lines[skipped..] {
            print(output, line, &standings)?;
        }
        is_first = false;
        tokio::time::sleep(PAUSE.max(took * REST)).await;
    }
}

fn print(output: Output, summary: &DeliverySummary, standings: &[WebhookStanding]) -> Result<(), Failure> {
    let webhook = name_of(standings, summary);
    if output.json {
        // a line each, for programs that read along
        return output.text(&summary_json(summary, webhook).to_string());
    }
    output.text(&line(summary, webhook))
}

fn line(summary: &DeliverySummary, webhook: &str) -> String {
    let DeliverySummary { number, state, form, verb, entry_id, attempts, last_outcome, .. } = summary;
    let committed = times::write_short(summary.committed_at_us);
    let mut line =
        format!("{committed}  {:<9}  {number}  {webhook}  {verb} {form} {entry_id}", state.as_str());
    if *attempts > 0 {
        let _ = write!(line, "  attempt {attempts}");
    }
    if let Some(outcome) = last_outcome {
        let _ = write!(line, "  {outcome}");
    }
    if let Some(due_at_us) = summary.due_at_us {
        let _ = write!(line, "  again at {}", times::write_short(due_at_us));
    }
    printable(&line)
}

/// What was seen of the newest deliveries.
#[derive(Default)]
struct Followed(HashMap<DeliveryNumber, (State, u32)>);

/// What is new.
struct News {
    /// The deliveries that are new, or of which something has become, those committed first first.
    lines: Vec<DeliverySummary>,
    /// Whether others may have come that were not among the newest.
    is_missing: bool,
}

impl Followed {
    /// Compares the newest deliveries (newest first) with those of the last time.
    fn take(&mut self, found: Vec<DeliverySummary>) -> News {
        let now: HashMap<DeliveryNumber, (State, u32)> =
            found.iter().map(|summary| (summary.number, (summary.state, summary.attempts))).collect();
        let is_missing = found.len() >= WINDOW && !now.keys().any(|number| self.0.contains_key(number));
        let is_news = |summary: &DeliverySummary| self.0.get(&summary.number) != Some(&now[&summary.number]);
        let lines = found.into_iter().rev().filter(is_news).collect();
        self.0 = now;
        News { lines, is_missing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::DeliveryId;
    use crate::event::Verb;
    use crate::form::Lane;
    use crate::lsn::{Lsn, Position};
    use crate::queue::Place;
    use crate::webhook::WebhookId;

    fn delivery(sequence: u64, state: State, attempts: u32) -> DeliverySummary {
        DeliverySummary {
            number: DeliveryNumber { webhook: WebhookId(7), sequence },
            id: DeliveryId([1; 16]),
            place: Place(sequence),
            state,
            form: "incident".into(),
            verb: Verb::Create,
            entry_id: "INC1\x1b".into(),
            lane: Lane(1),
            position: Position { epoch: 0, commit_lsn: Lsn(sequence), ordinal: 0 },
            committed_at_us: 0,
            attempts,
            replayed: false,
            due_at_us: None,
            last_outcome: None,
        }
    }

    fn numbers(news: &News) -> Vec<(u64, State)> {
        news.lines.iter().map(|line| (line.number.sequence, line.state)).collect()
    }

    #[test]
    fn each_delivery_is_told_once_for_everything_that_becomes_of_it() {
        use State::{Delivered, Ready, Retrying};
        let mut followed = Followed::default();
        let first = followed.take(vec![delivery(2, Ready, 0), delivery(1, Delivered, 1)]);
        assert_eq!(numbers(&first), [(1, Delivered), (2, Ready)]);
        let same = followed.take(vec![delivery(2, Ready, 0), delivery(1, Delivered, 1)]);
        assert_eq!(numbers(&same), []);
        let failed = followed.take(vec![delivery(3, Ready, 0), delivery(2, Retrying, 1)]);
        assert_eq!(numbers(&failed), [(2, Retrying), (3, Ready)]);
        let again = followed.take(vec![delivery(3, Ready, 0), delivery(2, Retrying, 2)]);
        assert_eq!(numbers(&again), [(2, Retrying)]);
        assert!([&first, &same, &failed, &again].iter().all(|news| !news.is_missing));
    }

    #[test]
    fn what_came_and_went_between_two_looks_is_said_to_be_missing() {
        let window = |from: u64| {
            (from..from + WINDOW as u64).rev().map(|sequence| delivery(sequence, State::Ready, 0)).collect()
        };
        let mut followed = Followed::default();
        followed.take(window(1));
        assert!(!followed.take(window(WINDOW as u64)).is_missing, "one is in both");
        assert!(followed.take(window(3 * WINDOW as u64)).is_missing);
    }

    #[test]
    fn a_line_cannot_steer_the_terminal() {
        assert!(!line(&delivery(1, State::Ready, 0), "pager").contains('\x1b'));
    }
}
