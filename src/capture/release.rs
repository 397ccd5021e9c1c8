//! Held events are judged again when something has changed that they may have waited for: in commit order, each
//! webhook's by itself. Those that match become deliveries, those that do not vanish, the rest is held on.

use super::subscriptions::{Again, Holding};
use super::{Bindings, Capture, Error, kept};
use crate::delivery::{Held, HeldWhat};
use crate::observe::Observation;
use crate::source::Source;
use crate::webhook::WebhookId;
use futures_util::FutureExt as _;

/// How far one webhook's held events have been judged.
#[derive(Default)]
struct Judged {
    events: u64,
    matched: u64,
    /// Whether one of them is held on.
    any_held_on: bool,
}

impl<S: Source, B: Bindings> Capture<'_, S, B>
where
    Error: From<S::Error>,
{
    /// Judges the held events of all webhooks that have some. What is held on is known afterwards.
    pub(super) async fn judge_held(&mut self) -> Result<(), Error> {
        self.judged_by = self.forms.all_now().map(|form| (form.form.name.clone(), form)).collect();
        let holding: Vec<(usize, WebhookId, String)> = self
            .subscriptions
            .webhooks()
            .filter(|(number, _)| !self.subscriptions.is_free(*number))
            .map(|(number, webhook)| (number, webhook.id, webhook.name.clone()))
            .collect();
        for (number, id, webhook) in holding {
            self.flush().await?;
            if self.subscriptions.is_wholly_broken(number) {
                continue;
            }
            *self.subscriptions.holding(number) = Holding::default();
            self.subscriptions.trust_again(number);
            let mut judged = Judged::default();
            let mut after = None;
            loop {
                let page = self.queue.held(id, after, self.bounds.page_bytes_max).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.held.number);
                self.judge_page(number, page, &mut judged).await?;
                if self.shutdown.is_cancelled() {
                    // what was not reached is held still, and nobody knows of which entries
                    *self.subscriptions.holding(number) = Holding::of_anything();
                    return Ok(());
                }
            }
            if judged.events > 0 {
                let Judged { events, matched, .. } = judged;
                self.observers.tell(Observation::HeldJudged { webhook, events, matched });
            }
        }
        self.mark_broken().await
    }

    async fn judge_page(&mut self, number: usize, page: Vec<Held>, judged: &mut Judged) -> Result<(), Error> {
        for held in page {
            let form = match &held.what {
                HeldWhat::Event { form, verb, .. } => {
                    let names = self.forms.names_now(form);
                    let listens = |name: &&String| self.subscriptions.listens_to(number, name, *verb);
                    let Some(name) = names.iter().find(listens) else {
                        // its registration has changed meanwhile
                        judged.events += 1;
                        self.batch.released.push(held.held);
                        continue;
                    };
                    self.forms.now(name)
                }
                HeldWhat::Range { .. } if judged.any_held_on => {
                    self.subscriptions.holding(number).add_range();
                    continue;
                }
                HeldWhat::Range { count, .. } => {
                    self.flush().await?;
                    let first = self.subscriptions.number(number, *count);
                    self.queue.number_held_range(held.held, first).await?;
                    continue;
                }
            };
            let event = match &form {
                // a held event that cannot be read stays where people see it
                Some(form) => kept::read(&held, form).ok().flatten(),
                None => None,
            };
            let again = match event {
                Some(mut event) => {
                    if !event.form.attachments.is_empty() {
                        self.enclose(&mut event).boxed().await?;
                    }
                    Some(self.subscriptions.meet_again(number, &event))
                }
                None => None,
            };
            let Some(Again::Judged(delivery)) = again else {
                judged.any_held_on = true;
                if let HeldWhat::Event { lane, .. } = held.what {
                    self.subscriptions.holding(number).add(lane);
                }
                continue;
            };
            judged.events += 1;
            judged.matched += u64::from(delivery.is_some());
            self.batch.events.extend(delivery.map(|event| *event));
            self.batch.released.push(held.held);
        }
        self.flush().await
    }

    /// Hands over what is in the batch and waits until it is on disk.
    async fn flush(&mut self) -> Result<(), Error> {
        if !self.batch_is_empty() {
            self.enqueue_batch();
        }
        self.wait_until_durable().await
    }

    /// Tells the queue which webhooks became broken, or are not any more.
    pub(super) async fn mark_broken(&mut self) -> Result<(), Error> {
        for (webhook, reason) in self.subscriptions.take_marks() {
            self.queue.mark_broken(webhook, reason).await?;
        }
        Ok(())
    }
}
