//! From what an operator writes to what the queue is asked for.

use super::times;
use crate::app::cli;
use crate::app::failure::{Exit, Failure};
use crate::delivery::{DeliveryId, DeliveryNumber};
use crate::queue::{DeliveryRef, Filter, Queue, WebhookStanding};
use crate::webhook::WebhookId;
use jiff::Timestamp;

/// The webhook of that number or name.
pub(super) fn webhook<'a>(
    standings: &'a [WebhookStanding],
    text: &str,
) -> Result<&'a WebhookStanding, Failure> {
    let number = text.parse().ok().map(WebhookId);
    if let Some(standing) = standings.iter().find(|standing| Some(standing.id) == number) {
        return Ok(standing);
    }
    let named: Vec<_> = standings.iter().filter(|standing| standing.name == text).collect();
    match named[..] {
        [standing] => Ok(standing),
        [] => {
            let known: Vec<_> = standings.iter().map(|standing| standing.name.as_str()).collect();
            let hint = if known.is_empty() {
                "the queue knows no webhook yet; `walhook run` registers those of the configuration"
                    .to_owned()
            } else {
                format!("the queue knows {}", known.join(", "))
            };
            Err(Failure::new(Exit::No, format!("there is no webhook {text:?}")).hint(hint))
        }
        _ => {
            let numbers: Vec<_> = named.iter().map(|standing| standing.id.to_string()).collect();
            Err(Failure::usage(format!("several webhooks are named {text:?}"))
                .hint(format!("say which by number: {}", numbers.join(", "))))
        }
    }
}

/// The delivery of that name: `7/1234`, `Escalations/1234` or `msg_…`.
pub(super) fn delivery(standings: &[WebhookStanding], text: &str) -> Result<DeliveryRef, Failure> {
    if let Ok(id) = text.parse::<DeliveryId>() {
        return Ok(DeliveryRef::Id(id));
    }
    let Some((name, sequence)) = text.rsplit_once('/') else {
        return Err(not_a_delivery(text));
    };
    let sequence = sequence.parse().map_err(|_| not_a_delivery(text))?;
    Ok(DeliveryRef::Number(DeliveryNumber { webhook: webhook(standings, name)?.id, sequence }))
}

fn not_a_delivery(text: &str) -> Failure {
    Failure::usage(format!("{text:?} names no delivery"))
        .hint("write WEBHOOK/SEQUENCE as in 7/1234, or msg_…")
}

/// The queue's filter for the options of the command line.
pub(super) fn filter(standings: &[WebhookStanding], options: &cli::Filter) -> Result<Filter, Failure> {
    let now = Timestamp::now();
    let time = |option: &str, text: &Option<String>| {
        text.as_deref().map(|text| times::read(option, text, now)).transpose()
    };
    Ok(Filter {
        webhook: match &options.webhook {
            Some(text) => Some(webhook(standings, text)?.id),
            None => None,
        },
        sequence: None,
        states: options.state.clone(),
        form: options.form.clone(),
        entry_id: options.entry.clone(),
        since_us: time("since", &options.since)?,
        until_us: time("until", &options.until)?,
    })
}

/// The filters of a choice: one for each delivery that is named, or one for all that fit.
pub(super) async fn choice(queue: &dyn Queue, choice: &cli::Choice) -> Result<Vec<Filter>, Failure> {
    let standings = queue.webhooks().await?;
    if choice.deliveries.is_empty() {
        let filter = filter(&standings, &choice.filter)?;
        if filter == Filter::default() && !choice.all {
            return Err(Failure::usage("no delivery is named")
                .hint("name deliveries as 7/1234, say which with --webhook and the like, or say --all"));
        }
        return Ok(vec![filter]);
    }
    let mut filters = Vec::new();
    for text in &choice.deliveries {
        let number = match delivery(&standings, text)? {
            DeliveryRef::Number(number) => number,
            which @ (DeliveryRef::Id(_) | DeliveryRef::Place(_)) => match queue.delivery(which).await? {
                Some(detail) => detail.summary.number,
                None => return Err(Failure::no(format!("there is no delivery {text}"))),
            },
        };
        filters.push(Filter {
            webhook: Some(number.webhook),
            sequence: Some(number.sequence),
            ..Filter::default()
        });
    }
    Ok(filters)
}
