//! The registrations as walhook knows them now, for everybody who asks: live, and without a question to the database.

use super::{Fault, Row, in_one_line};
use crate::webhook::{Webhook, WebhookId, Webhooks};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// A registration and what became of it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// The row, as the log had it last.
    pub row: Arc<Row>,
    /// The webhook that is in force; none if no version of the row could ever work.
    pub webhook: Option<Arc<Webhook>>,
    /// What is wrong with the row, if it cannot work.
    pub faults: Arc<[Fault]>,
}

impl Standing {
    /// In one word how it stands, and why: the most serious first.
    pub fn verdict(
        &self,
        is_suspended: bool,
        broken: Option<String>,
        last_error: Option<String>,
    ) -> (&'static str, Option<String>) {
        if !self.faults.is_empty() {
            return ("refused", Some(in_one_line(&self.faults)));
        }
        if !self.row.is_enabled() {
            return ("disabled", last_error);
        }
        match broken {
            _ if is_suspended => ("suspended", last_error),
            Some(_) => ("broken", broken),
            None => ("enabled", last_error),
        }
    }
}

/// What reaches those who send before the log tells of it.
#[derive(Clone, Debug)]
struct Ahead {
    /// The version of the row that it is from.
    version: u64,
    /// None means that the row is gone.
    webhook: Option<Arc<Webhook>>,
}

/// All of them, shared.
#[derive(Clone, Debug)]
pub struct Registered {
    known: watch::Sender<Known>,
}

#[derive(Clone, Debug, Default)]
struct Known {
    standings: BTreeMap<WebhookId, Standing>,
    ahead: BTreeMap<WebhookId, Ahead>,
    /// Webhooks whose registrations were deleted, and whose deliveries are to be dropped.
    deleted: Vec<WebhookId>,
}

impl Default for Registered {
    fn default() -> Self {
        Self { known: watch::channel(Known::default()).0 }
    }
}

impl Registered {
    /// Puts these in the place of all.
    pub fn replace(&self, standings: BTreeMap<WebhookId, Standing>) {
        self.known.send_modify(|known| {
            let gone = known.standings.keys().filter(|id| !standings.contains_key(id));
            known.deleted.extend(gone.copied().collect::<Vec<_>>());
            known.standings = standings;
        });
    }

    /// The log tells of new versions; none means that a row was deleted.
    pub fn change(&self, changes: Vec<(WebhookId, Option<Standing>)>) {
        self.known.send_modify(|known| {
            for (id, standing) in changes {
                match standing {
                    Some(standing) => {
                        let version = standing.row.version();
                        if known.ahead.get(&id).is_some_and(|ahead| ahead.version <= version) {
                            known.ahead.remove(&id);
                        }
                        known.deleted.retain(|deleted| *deleted != id);
                        known.standings.insert(id, standing);
                    }
                    None => {
                        known.ahead.remove(&id);
                        known.standings.remove(&id);
                        known.deleted.push(id);
                    }
                }
            }
        });
    }

    /// What stands in the table already and the log has not told yet: what stops a webhook, or leads it elsewhere, does
    /// not wait. None means that the row is gone.
    pub fn go_ahead(&self, id: WebhookId, version: u64, webhook: Option<Webhook>) {
        self.known.send_if_modified(|known| {
            let Some(standing) = known.standings.get(&id) else { return false };
            let is_known = webhook.is_some() && version <= standing.row.version();
            let is_older = known.ahead.get(&id).is_some_and(|ahead| {
                webhook.is_some() && (ahead.webhook.is_none() || version <= ahead.version)
            });
            if is_known || is_older {
                return false;
            }
            known.ahead.insert(id, Ahead { version, webhook: webhook.map(Arc::new) });
            true
        });
    }

    /// The webhooks whose deliveries are to be dropped, each told once.
    pub fn take_deleted(&self) -> Vec<WebhookId> {
        let mut deleted = Vec::new();
        self.known.send_if_modified(|known| {
            deleted = std::mem::take(&mut known.deleted);
            false
        });
        deleted
    }

    /// Waits until the log has told of a version of a registration, or too long.
    pub async fn wait_for(&self, id: WebhookId, version: u64, patience: Duration) {
        let mut known = self.known.subscribe();
        let is_there = |known: &Known| {
            known.standings.get(&id).is_some_and(|standing| standing.row.version() >= version)
        };
        let _ = tokio::time::timeout(patience, known.wait_for(is_there)).await;
    }

    /// One registration.
    pub fn find(&self, id: WebhookId) -> Option<Standing> {
        self.known.borrow().standings.get(&id).cloned()
    }

    /// Whether nothing is registered.
    pub fn is_empty(&self) -> bool {
        self.known.borrow().standings.is_empty()
    }

    /// All of them, by number.
    pub fn all(&self) -> Vec<(WebhookId, Standing)> {
        self.known.borrow().standings.iter().map(|(id, standing)| (*id, standing.clone())).collect()
    }

    /// The webhooks that may be sent to: those of the file, and the registered ones as they are to be sent to now.
    pub fn merged(&self, file: &Webhooks) -> Webhooks {
        let known = self.known.borrow();
        let registered = known.standings.iter().filter_map(|(id, standing)| {
            let in_force = standing.webhook.as_ref()?;
            match known.ahead.get(id) {
                None => Some(Arc::clone(in_force)),
                Some(Ahead { webhook: None, .. }) => None,
                Some(Ahead { webhook: Some(ahead), .. }) => Some(Arc::new(Webhook {
                    // what it wants is a matter of the log
                    enabled: in_force.enabled && ahead.enabled,
                    callback: ahead.callback.clone(),
                    signing_secrets: ahead.signing_secrets.clone(),
                    sending: ahead.sending.clone(),
                    ..(**in_force).clone()
                })),
            }
        });
        file.iter().cloned().chain(registered.filter(|one| file.find(one.id).is_none())).collect()
    }

    /// Told of every change.
    pub fn news(&self) -> News {
        News(self.known.subscribe())
    }
}

/// Waits for changes.
#[derive(Clone, Debug)]
pub struct News(watch::Receiver<Known>);

impl News {
    /// Returns when something has changed since the last time; never, if nothing ever will.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::webhook::sample;
    use serde_json::json;

    fn standing(id: u64, version: u64) -> Standing {
        let row = Row::read(&json!({ "id": id, "version": version }).to_string()).unwrap();
        Standing {
            row: Arc::new(row),
            webhook: Some(Arc::new(sample::webhook(id))),
            faults: Vec::new().into(),
        }
    }

    #[test]
    fn what_stops_a_webhook_goes_ahead_of_the_log_until_the_log_has_it() {
        let (registered, file, id) = (Registered::default(), Webhooks::default(), WebhookId(7));
        registered.change(vec![(id, Some(standing(7, 1)))]);
        registered.go_ahead(id, 2, Some(Webhook { enabled: false, ..sample::webhook(7) }));
        assert!(!registered.merged(&file).find(id).unwrap().enabled);
        // older news mean nothing
        registered.go_ahead(id, 1, Some(sample::webhook(7)));
        assert!(!registered.merged(&file).find(id).unwrap().enabled);
        registered.change(vec![(id, Some(standing(7, 3)))]);
        assert!(registered.merged(&file).find(id).unwrap().enabled);
        registered.go_ahead(id, 0, None);
        assert!(registered.merged(&file).find(id).is_none());
        registered.change(vec![(id, None)]);
        assert_eq!(registered.take_deleted(), [id]);
        assert_eq!(registered.take_deleted(), []);
    }

    #[test]
    fn a_webhook_of_the_file_keeps_its_number() {
        let registered = Registered::default();
        registered.change(vec![(WebhookId(7), Some(standing(7, 1)))]);
        let own = Webhook { name: "of the file".into(), ..sample::webhook(7) };
        let merged = registered.merged(&std::iter::once(own).collect());
        assert_eq!(merged.find(WebhookId(7)).unwrap().name, "of the file");
    }
}
