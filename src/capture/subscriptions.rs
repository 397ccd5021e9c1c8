//! Who wants an event, what each of them gets, and for whom it has to be held.

use super::index::{Index, Scratch, Verdict};
use super::kept;
use crate::delivery::{
    DeliveryId, DeliveryNumber, HeldBecause, Holder, NewDelivery, NewEvent, NewHeld, Tail,
};
use crate::event::{FormEvent, Verb};
use crate::form::{BoundForm, Lane};
use crate::format::{self, Format, Identity, shares_tail};
use crate::observe::{Observation, Observers};
use crate::queue::WebhookStanding;
use crate::webhook::{Webhook, WebhookId, Webhooks};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

/// How many versions of a form have their webhooks compiled: a transaction that alters the table has changes of
/// both.
const VERSIONS_MAX: usize = 4;
/// So many events in a row that a condition could not be judged for make the webhook broken.
pub(super) const FAILURES_MAX: u32 = 100;
/// With held events of more entries than these, a webhook's further events all wait behind them.
pub(super) const LANES_MAX: usize = 1 << 16;

/// How much memory for drafts outlives an event: a large value does not keep what it took.
const DRAFT_BYTES_KEPT: usize = 64 * 1024;

/// The webhooks by the forms they listen to, with the sequence number that each gives next.
pub(super) struct Subscriptions {
    subscribers: Vec<Subscriber>,
    /// Their numbers. Those that are not served, and those that are gone, listen to nothing.
    numbers: HashMap<WebhookId, usize>,
    /// Numbers of webhooks that are gone.
    free: Vec<usize>,
    by_form: HashMap<String, Vec<usize>>,
    /// Per form, the version met last first.
    indexes: HashMap<String, Vec<(Arc<BoundForm>, Index)>>,
    observers: Observers,
    /// Whether a webhook may have become broken, or mended.
    standing_changed: bool,
    scratch: Scratch,
    verdicts: Vec<(usize, Verdict)>,
    /// Where the parts of bodies are written, before they are kept in as much memory as they need.
    draft: Vec<u8>,
}

struct Subscriber {
    webhook: Arc<Webhook>,
    format: &'static dyn Format,
    next_sequence: u64,
    holding: Holding,
    /// Why its condition does not fit, by form.
    faults: BTreeMap<String, String>,
    /// Why it is taken for broken although its condition fits: it failed too often in a row.
    failing: Option<String>,
    /// What the queue knows of that.
    marked_broken: Option<String>,
    /// How many held events were given up, as far as is known here.
    held_dropped: u64,
    is_gone: bool,
}

/// The entries of which a webhook has held events: later ones wait behind them.
#[derive(Clone, Debug, Default)]
pub(super) struct Holding {
    lanes: HashSet<Lane>,
    /// There are too many to tell them apart.
    everything: bool,
    /// There are events of which only the positions are known.
    ranges: bool,
}

/// What an event led to.
#[derive(Default)]
pub(super) struct Met {
    /// For those that want it.
    pub(super) event: Option<NewEvent>,
    /// For those that cannot be judged, or have to wait behind what is held.
    pub(super) held: Option<NewHeld>,
}

/// What became of a held event that was judged again.
pub(super) enum Again {
    /// It cannot be judged yet, or waits behind one that cannot.
    HeldOn,
    /// It is a delivery now, or does not match.
    Judged(Option<Box<NewEvent>>),
}

impl Holding {
    pub(super) fn add(&mut self, lane: Lane) {
        if self.lanes.len() < LANES_MAX {
            self.lanes.insert(lane);
        } else {
            self.everything = true;
        }
    }

    pub(super) fn add_range(&mut self) {
        self.ranges = true;
    }

    /// It is not known yet what is held.
    pub(super) fn of_anything() -> Self {
        Self { everything: true, ..Self::default() }
    }

    fn is_empty(&self) -> bool {
        self.lanes.is_empty() && !self.everything && !self.ranges
    }

    /// Whether an event has to wait: one of its entry, or of the entry that it comes from, is held, be it under a
    /// former rule.
    fn holds(&self, event: &FormEvent) -> bool {
        self.everything
            || self.lanes.contains(&event.lane)
            || event.behind.iter().any(|behind| self.lanes.contains(behind))
    }
}

impl Subscriptions {
    /// The webhooks as they are registered, with their books from the queue.
    pub(super) fn new(webhooks: &Webhooks, standings: &[WebhookStanding], observers: Observers) -> Self {
        let standings: HashMap<WebhookId, &WebhookStanding> =
            standings.iter().map(|one| (one.id, one)).collect();
        let mut subscriptions = Self {
            subscribers: Vec::new(),
            numbers: HashMap::new(),
            free: Vec::new(),
            by_form: HashMap::new(),
            indexes: HashMap::new(),
            observers,
            standing_changed: true,
            scratch: Scratch::default(),
            verdicts: Vec::new(),
            draft: Vec::new(),
        };
        for webhook in webhooks.iter() {
            let standing = standings.get(&webhook.id);
            let subscriber = Subscriber {
                next_sequence: standing.map_or(1, |standing| standing.next_sequence),
                holding: match standing {
                    Some(standing) if standing.held > 0 => Holding::of_anything(),
                    _ => Holding::default(),
                },
                marked_broken: standing.and_then(|standing| standing.broken.clone()),
                held_dropped: standing.map_or(0, |standing| standing.held_dropped),
                ..Subscriber::new(webhook, 1)
            };
            subscriptions.enter(subscriber);
        }
        subscriptions
    }

    fn enter(&mut self, subscriber: Subscriber) {
        let webhook = Arc::clone(&subscriber.webhook);
        let number = match self.free.pop() {
            Some(number) => {
                self.subscribers[number] = subscriber;
                number
            }
            None => {
                self.subscribers.push(subscriber);
                self.subscribers.len() - 1
            }
        };
        self.numbers.insert(webhook.id, number);
        self.listen(number);
    }

    /// A webhook is registered, or registered otherwise than before. Returns whether events are held for it that may
    /// flow now. One that comes gives `next_sequence` to its first delivery.
    pub(super) fn put(&mut self, webhook: &Arc<Webhook>, next_sequence: u64) -> bool {
        self.standing_changed = true;
        let Some(&number) = self.numbers.get(&webhook.id) else {
            self.enter(Subscriber::new(webhook, next_sequence));
            return false;
        };
        let subscriber = &mut self.subscribers[number];
        if subscriber.webhook == *webhook {
            return false;
        }
        let listens_as_before = {
            let Webhook { listens, condition, enabled, .. } = &*subscriber.webhook;
            *listens == webhook.listens && *condition == webhook.condition && *enabled == webhook.enabled
        };
        if listens_as_before {
            subscriber.take(webhook);
            return false;
        }
        self.fall_silent(number);
        let subscriber = &mut self.subscribers[number];
        subscriber.take(webhook);
        subscriber.faults.clear();
        subscriber.failing = None;
        self.listen(number);
        webhook.enabled && !self.is_free(number)
    }

    /// A webhook is gone. Returns the sequence number that it would have given next.
    pub(super) fn remove(&mut self, webhook: WebhookId) -> Option<u64> {
        let number = self.numbers.remove(&webhook)?;
        self.fall_silent(number);
        self.free.push(number);
        let subscriber = &mut self.subscribers[number];
        subscriber.is_gone = true;
        subscriber.holding = Holding::default();
        subscriber.faults.clear();
        Some(subscriber.next_sequence)
    }

    /// A webhook meets events of its forms from here on.
    fn listen(&mut self, number: usize) {
        let webhook = Arc::clone(&self.subscribers[number].webhook);
        if !webhook.enabled {
            return;
        }
        for form in webhook.forms() {
            self.by_form.entry(form.to_owned()).or_default().push(number);
            let Some(versions) = self.indexes.get_mut(form) else { continue };
            // earlier versions come again seldom, and are compiled anew
            versions.truncate(1);
            let [(bound, index)] = versions.as_mut_slice() else { continue };
            if !index.add(bound, number, &webhook) {
                self.indexes.remove(form);
                continue;
            }
            if let Some(fault) = index.fault_of(number) {
                self.subscribers[number].faults.insert(form.to_owned(), fault.to_owned());
            }
        }
    }

    /// A webhook meets no events from here on.
    fn fall_silent(&mut self, number: usize) {
        let webhook = Arc::clone(&self.subscribers[number].webhook);
        for form in webhook.forms() {
            if let Some(listening) = self.by_form.get_mut(form) {
                listening.retain(|one| *one != number);
                if listening.is_empty() {
                    self.by_form.remove(form);
                }
            }
            let Some(versions) = self.indexes.get_mut(form) else { continue };
            versions.truncate(1);
            let is_in_shape = versions.first_mut().is_some_and(|(_, index)| index.remove(number));
            if !is_in_shape {
                self.indexes.remove(form);
            }
        }
    }

    /// The webhooks that are served, by the numbers they have here.
    pub(super) fn webhooks(&self) -> impl Iterator<Item = (usize, &Arc<Webhook>)> {
        let all = self.subscribers.iter().enumerate().filter(|(_, subscriber)| subscriber.is_served());
        all.map(|(number, subscriber)| (number, &subscriber.webhook))
    }

    /// Whether the webhooks of a form have been compiled for some version of it.
    pub(super) fn is_compiled(&self, form: &str) -> bool {
        self.indexes.get(form).is_some_and(|versions| !versions.is_empty())
    }

    /// Whether a webhook listens to a form at all.
    pub(super) fn is_listened_to(&self, form: &str) -> bool {
        self.by_form.contains_key(form)
    }

    /// Whether a webhook listens to events of a verb on a form.
    pub(super) fn listens_to(&self, number: usize, form: &str, verb: Verb) -> bool {
        self.subscribers[number].webhook.listens_to(form, verb)
    }

    /// Whether nothing is held for a webhook.
    pub(super) fn is_free(&self, number: usize) -> bool {
        self.subscribers[number].holding.is_empty()
    }

    /// Whether a webhook's condition fits none of its forms: then there is nothing to judge.
    pub(super) fn is_wholly_broken(&self, number: usize) -> bool {
        let Subscriber { webhook, faults, .. } = &self.subscribers[number];
        webhook.forms().all(|form| faults.contains_key(form))
    }

    pub(super) fn holding(&mut self, number: usize) -> &mut Holding {
        &mut self.subscribers[number].holding
    }

    /// Whether something is held for anybody.
    pub(super) fn hold_anything(&self) -> bool {
        self.subscribers.iter().any(|subscriber| subscriber.is_served() && !subscriber.holding.is_empty())
    }

    /// Takes note of what operators have given up. Returns whether they have since the last time: events may wait
    /// behind what is not there any more.
    pub(super) fn take_drops(&mut self, standings: &[WebhookStanding]) -> bool {
        let dropped: HashMap<WebhookId, u64> =
            standings.iter().map(|standing| (standing.id, standing.held_dropped)).collect();
        let mut is_news = false;
        for subscriber in &mut self.subscribers {
            let Some(&dropped) = dropped.get(&subscriber.webhook.id) else { continue };
            is_news |= std::mem::replace(&mut subscriber.held_dropped, dropped) != dropped;
        }
        is_news
    }

    /// Forgets that a webhook's condition failed again and again: somebody may have mended what made it fail.
    pub(super) fn trust_again(&mut self, number: usize) {
        self.standing_changed = true;
        self.subscribers[number].failing = None;
    }

    /// Compiles the webhooks of a form for it as it is bound now.
    pub(super) fn adopt(&mut self, form: &Arc<BoundForm>) {
        let name = &form.form.name;
        let Some(listening) = self.by_form.get(name) else { return };
        let versions = self.indexes.entry(name.clone()).or_default();
        let place = versions.iter().position(|(known, _)| Arc::ptr_eq(known, form));
        if place == Some(0) {
            return;
        }
        match place {
            Some(place) => versions[..=place].rotate_right(1),
            None => {
                let webhooks = listening.iter().map(|&number| (number, &*self.subscribers[number].webhook));
                versions.insert(0, (Arc::clone(form), Index::new(form, webhooks)));
                versions.truncate(VERSIONS_MAX);
            }
        }
        let (_, index) = &versions[0];
        let mut faults: HashMap<usize, String> =
            index.faults().map(|(number, fault)| (number, fault.to_owned())).collect();
        for &number in listening {
            let subscriber = &mut self.subscribers[number];
            match faults.remove(&number) {
                Some(fault) => drop(subscriber.faults.insert(name.clone(), fault)),
                None => drop(subscriber.faults.remove(name)),
            }
        }
        self.standing_changed = true;
    }

    /// The webhooks whose conditions do not fit their forms, with the reasons.
    pub(super) fn faults(&self) -> impl Iterator<Item = (&Webhook, &BTreeMap<String, String>)> {
        let broken = self.subscribers.iter().filter(|subscriber| !subscriber.faults.is_empty());
        broken.map(|subscriber| (&*subscriber.webhook, &subscriber.faults))
    }

    /// What the queue has to know of webhooks that became broken, or are not any more.
    pub(super) fn take_marks(&mut self) -> Vec<(WebhookId, Option<String>)> {
        let mut marks = Vec::new();
        if !std::mem::take(&mut self.standing_changed) {
            return marks;
        }
        for subscriber in self.subscribers.iter_mut().filter(|subscriber| subscriber.is_served()) {
            let broken = subscriber.broken();
            if broken == subscriber.marked_broken {
                continue;
            }
            let webhook = subscriber.webhook.name.clone();
            self.observers.tell(match &broken {
                Some(reason) => Observation::WebhookBroken { webhook, reason: reason.clone() },
                None => Observation::WebhookMended { webhook },
            });
            subscriber.marked_broken.clone_from(&broken);
            marks.push((subscriber.webhook.id, broken));
        }
        marks
    }

    /// The numbers of the fields that are files and go with an event to somebody who listens to it.
    pub(super) fn files_wanted(&self, event: &FormEvent) -> Vec<usize> {
        let listening = self.by_form.get(&event.form.form.name).into_iter().flatten();
        let subscribers = listening.map(|&number| &self.subscribers[number]);
        let subscribers = subscribers.filter(|one| one.webhook.listens_to(&event.form.form.name, event.verb));
        subscribers.flat_map(|one| one.format.files(&one.webhook, event)).collect()
    }

    /// The event with a delivery for each webhook that wants it, and for whom it has to be held.
    pub(super) fn meet(&mut self, event: &FormEvent) -> Met {
        if !self.is_listened_to(&event.form.form.name) {
            return Met::default();
        }
        self.adopt(&event.form);
        let Some((_, index)) = self.indexes.get_mut(&event.form.form.name).and_then(|all| all.first_mut())
        else {
            return Met::default();
        };
        let mut verdicts = std::mem::take(&mut self.verdicts);
        index.judge(event, &mut self.scratch, &mut verdicts);
        let mut new = New::of(verdicts.len());
        let mut holders = Vec::new();
        for (number, verdict) in verdicts.drain(..) {
            if self.subscribers[number].is_spared(event) {
                continue;
            }
            let cause = self.cause_to_hold(number, verdict, event);
            match cause {
                Some(cause) => {
                    let subscriber = &mut self.subscribers[number];
                    subscriber.holding.add(event.lane);
                    holders.push(Holder { webhook: subscriber.webhook.id, cause });
                }
                None => new.add(&mut self.subscribers, number, event, &mut self.draft),
            }
        }
        self.verdicts = verdicts;
        let held = (!holders.is_empty()).then(|| NewHeld {
            position: event.position,
            form: event.form.form.name.clone(),
            verb: event.name(),
            entry_id: event.entry_id.clone(),
            lane: event.lane,
            committed_at_us: event.transaction.committed_at_us,
            content: kept::write(event),
            holders,
        });
        Met { event: new.event_of(event, false), held }
    }

    fn cause_to_hold(&mut self, number: usize, verdict: Verdict, event: &FormEvent) -> Option<HeldBecause> {
        let subscriber = &mut self.subscribers[number];
        match verdict {
            Verdict::Broken => Some(HeldBecause::Broken),
            Verdict::Failed { failure, in_a_row } => {
                let reason = subscriber.place_of(&failure);
                self.observers.tell(Observation::ConditionFailed {
                    webhook: subscriber.webhook.name.clone(),
                    form: event.form.form.name.clone(),
                    entry_id: event.entry_id.clone(),
                    reason: reason.clone(),
                });
                self.standing_changed |= subscriber.fails(in_a_row, &reason);
                Some(HeldBecause::Failed { reason })
            }
            Verdict::Wanted if subscriber.failing.is_some() => Some(HeldBecause::Broken),
            Verdict::Wanted => subscriber.holding.holds(event).then_some(HeldBecause::Behind),
        }
    }

    /// Judges an event that was held for a webhook.
    pub(super) fn meet_again(&mut self, number: usize, event: &FormEvent) -> Again {
        self.adopt(&event.form);
        let versions = self.indexes.get_mut(&event.form.form.name);
        let Some((_, index)) = versions.and_then(|versions| versions.first_mut()) else {
            return Again::Judged(None);
        };
        let verdict = index.judge_again(number, event);
        let subscriber = &mut self.subscribers[number];
        let is_wanted = verdict == Some(Verdict::Wanted);
        let is_held_on = match verdict {
            Some(Verdict::Broken | Verdict::Failed { .. }) => true,
            Some(Verdict::Wanted) => subscriber.holding.holds(event),
            None => false,
        };
        if is_held_on {
            subscriber.holding.add(event.lane);
            return Again::HeldOn;
        }
        let mut new = New::of(1);
        if is_wanted {
            new.add(&mut self.subscribers, number, event, &mut self.draft);
        }
        Again::Judged(new.event_of(event, true).map(Box::new))
    }

    /// Takes sequence numbers for deliveries that exist without bodies. Returns the first.
    pub(super) fn number(&mut self, number: usize, count: u64) -> u64 {
        let next = &mut self.subscribers[number].next_sequence;
        *next += count;
        *next - count
    }
}

fn format_of(webhook: &Webhook) -> &'static dyn Format {
    format::find(webhook.format).expect("formats are checked when a webhook is read")
}

/// An event for the queue on its way.
struct New {
    tails: Vec<Tail>,
    /// Who made each tail.
    authors: Vec<usize>,
    deliveries: Vec<NewDelivery>,
}

impl New {
    /// With room for so many deliveries: most events have one, and there are many events at once.
    fn of(deliveries: usize) -> Self {
        Self {
            tails: Vec::with_capacity(deliveries.min(1)),
            authors: Vec::with_capacity(deliveries.min(1)),
            deliveries: Vec::with_capacity(deliveries),
        }
    }

    fn add(&mut self, subscribers: &mut [Subscriber], number: usize, event: &FormEvent, draft: &mut Vec<u8>) {
        let shared = self
            .authors
            .iter()
            .position(|&author| shares_tail(&subscribers[author].webhook, &subscribers[number].webhook));
        let subscriber = &mut subscribers[number];
        let tail = shared.unwrap_or_else(|| {
            self.authors.push(number);
            self.tails.push(subscriber.tail(event, draft));
            self.tails.len() - 1
        });
        self.deliveries.push(subscriber.delivery(event, tail, draft));
        draft.clear();
        draft.shrink_to(DRAFT_BYTES_KEPT);
    }

    fn event_of(self, event: &FormEvent, was_held: bool) -> Option<NewEvent> {
        if self.deliveries.is_empty() {
            return None;
        }
        Some(NewEvent {
            position: event.position,
            form: event.form.form.name.clone(),
            verb: event.name(),
            entry_id: event.entry_id.clone(),
            lane: event.lane,
            behind: event.behind.clone(),
            xid: event.transaction.xid,
            committed_at_us: event.transaction.committed_at_us,
            tails: self.tails,
            deliveries: self.deliveries,
            was_held,
        })
    }
}

impl Subscriber {
    fn new(webhook: &Arc<Webhook>, next_sequence: u64) -> Self {
        Self {
            webhook: Arc::clone(webhook),
            format: format_of(webhook),
            next_sequence,
            holding: Holding::default(),
            faults: BTreeMap::new(),
            failing: None,
            marked_broken: None,
            held_dropped: 0,
            is_gone: false,
        }
    }

    fn take(&mut self, webhook: &Arc<Webhook>) {
        self.format = format_of(webhook);
        self.webhook = Arc::clone(webhook);
    }

    /// Whether it takes new changes.
    fn is_served(&self) -> bool {
        self.webhook.enabled && !self.is_gone
    }

    /// Whether an event is none for it, whatever its condition says.
    fn is_spared(&self, event: &FormEvent) -> bool {
        let skips_empty = self.webhook.body.skip_empty_updates;
        let told = &event.circumstances.told_webhooks;
        !told.is_empty() && !told.contains(&self.webhook.name)
            || self.webhook.exclude.excludes(event)
            || event.circumstances.is_bulk && !self.format.tells_of_bulk()
            || skips_empty && self.format.is_empty_update(&self.webhook, event)
    }

    /// Why it is broken, if it is.
    fn broken(&self) -> Option<String> {
        let fault = |(form, fault): (&String, &String)| format!("form {form:?}: {fault}");
        self.faults.first_key_value().map(fault).or_else(|| self.failing.clone())
    }

    /// Notes that its condition could not be judged. Returns whether that makes it broken.
    fn fails(&mut self, in_a_row: u32, reason: &str) -> bool {
        if in_a_row < FAILURES_MAX || self.failing.is_some() {
            return false;
        }
        self.failing =
            Some(format!("its condition failed {in_a_row} times in a row, the last time: {reason}"));
        true
    }

    /// What failed, with the part of the condition where it did.
    fn place_of(&self, failure: &crate::qualification::Failure) -> String {
        let text = self.webhook.condition.as_ref().map_or("", |condition| condition.text());
        match text.get(failure.place.clone()) {
            Some(part) if !part.is_empty() => format!("{} in {part}", failure.reason),
            _ => failure.reason.clone(),
        }
    }

    fn tail(&self, event: &FormEvent, draft: &mut Vec<u8>) -> Tail {
        draft.clear();
        self.format.tail(&self.webhook, event, draft);
        let content_type = self.format.content_type(&self.webhook, event);
        Tail { content_type, bytes: Bytes::copy_from_slice(draft) }
    }

    fn delivery(&mut self, event: &FormEvent, tail: usize, draft: &mut Vec<u8>) -> NewDelivery {
        let webhook = self.webhook.id;
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        let id = DeliveryId::of(event, webhook);
        let identity = Identity { id, number: DeliveryNumber { webhook, sequence } };
        draft.clear();
        self.format.head(&self.webhook, &identity, event, draft);
        let head = Bytes::copy_from_slice(draft);
        NewDelivery { webhook, sequence, id, head, tail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::WebhookState;
    use crate::webhook::sample;

    fn standing(held_dropped: u64) -> WebhookStanding {
        WebhookStanding {
            id: WebhookId(1),
            name: "hook 1".into(),
            state: WebhookState::Enabled,
            next_sequence: 1,
            pending: 0,
            pending_bytes: 0,
            dead: 0,
            delivered: 0,
            dropped: 0,
            failures: 0,
            failing_since_us: None,
            last_error: None,
            oldest_committed_at_us: None,
            broken: None,
            held: 2,
            held_bytes: 100,
            held_beyond_limit: 0,
            held_dropped,
            condition_failures: 2,
            last_condition_failure: None,
        }
    }

    #[test]
    fn what_operators_give_up_is_noticed_once() {
        let webhooks: Webhooks = std::iter::once(sample::webhook(1)).collect();
        let mut subscriptions = Subscriptions::new(&webhooks, &[standing(5)], Observers::new(vec![]));
        assert!(subscriptions.hold_anything());
        let told = [5, 7, 7].map(|dropped| subscriptions.take_drops(&[standing(dropped)]));
        assert_eq!(told, [false, true, false]);
    }
}
