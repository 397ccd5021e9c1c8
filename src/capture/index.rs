//! The webhooks of a form, arranged so that an event meets those that may want it and not all that are registered.
//!
//! Conditions with the same text are judged once. A condition that can only be true for certain values of a column
//! (`'Assigned Group' = "Network"`) waits in a table under those values, one that can only be true when a field
//! changed waits under that field; what is left is judged for every event.

use crate::event::{FormEvent, Verb};
use crate::form::BoundForm;
use crate::qualification::{BoundQualification, Facts, Failure, Found, Probe, Purpose, Requirement, Truth, key_of};
use crate::webhook::Webhook;
use std::collections::{BTreeSet, HashMap};

/// What an event is to a webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The webhook wants it.
    Wanted,
    /// The condition could not be judged.
    Failed {
        /// Why.
        failure: Failure,
        /// How often in a row the condition could not be judged now.
        in_a_row: u32,
    },
    /// The condition does not fit the form.
    Broken,
}

/// The webhooks that listen to a form, for the form as it is bound.
#[derive(Debug)]
pub struct Index {
    /// Distinct conditions with those who have them.
    groups: Vec<Group>,
    by_verb: [Shelf; Verb::ALL.len()],
    /// Which webhooks' conditions do not fit, and why, drawn.
    faults: Vec<(usize, String)>,
}

/// Webhooks with the same condition.
#[derive(Debug)]
struct Group {
    /// None is always true.
    condition: Option<BoundQualification>,
    fits: bool,
    /// How often in a row it could not be judged.
    failures: u32,
    /// The webhooks by their numbers among those that the index was made of, in order.
    webhooks: Vec<usize>,
}

/// Where the groups that listen to one verb are found.
#[derive(Debug, Default)]
struct Shelf {
    /// Judged for every event.
    always: Vec<usize>,
    by_value: Vec<Values>,
    /// Judged where the column differs, or where that is not known.
    by_change: HashMap<usize, Vec<usize>>,
}

/// The groups that ask a column for certain values.
#[derive(Debug)]
struct Values {
    probe: Probe,
    groups: HashMap<Box<[u8]>, Vec<usize>>,
    /// All of them, each once, for values that cannot be looked up.
    all: Vec<usize>,
}

/// Memory that judging uses again and again.
#[derive(Debug, Default)]
pub struct Scratch {
    candidates: Vec<usize>,
    key: Vec<u8>,
}

impl Index {
    /// Compiles the conditions of those webhooks that listen to the form. They are known by their numbers.
    pub fn new<'w>(form: &BoundForm, webhooks: impl IntoIterator<Item = (usize, &'w Webhook)>) -> Self {
        let mut groups: Vec<Group> = Vec::new();
        let mut faults = Vec::new();
        let mut listening: Vec<&'w [Verb]> = Vec::new();
        let mut known: HashMap<(&'w str, &'w [Verb]), usize> = HashMap::new();
        for (number, webhook) in webhooks {
            let text = webhook.condition.as_ref().map_or("", |condition| condition.text());
            let group = *known.entry((text, &webhook.events)).or_insert_with(|| {
                let bound = webhook.condition.as_ref().map(|one| one.bind(form, Purpose::Webhook(&webhook.events)));
                let (condition, fault) = match bound {
                    None => (None, None),
                    Some(Ok(bound)) => (Some(bound), None),
                    Some(Err(faults)) => (None, Some(faults.draw(text))),
                };
                groups.push(Group { condition, fits: fault.is_none(), failures: 0, webhooks: Vec::new() });
                listening.push(&webhook.events);
                faults.extend(fault.map(|fault| (groups.len() - 1, fault)));
                groups.len() - 1
            });
            groups[group].webhooks.push(number);
        }
        let of_webhooks = |(group, fault): (usize, String)| {
            let webhooks: &Vec<usize> = &groups[group].webhooks;
            webhooks.iter().map(move |number| (*number, fault.clone())).collect::<Vec<_>>()
        };
        let faults = faults.into_iter().flat_map(of_webhooks).collect();
        let places = places(&groups);
        let by_verb = Verb::ALL.map(|verb| {
            let mut shelf = Shelf::default();
            for (group, place) in places.iter().enumerate() {
                if listening[group].contains(&verb) {
                    shelf.put(group, place);
                }
            }
            shelf
        });
        Self { groups, by_verb, faults }
    }

    /// The webhooks whose conditions do not fit the form, with the faults drawn.
    pub fn faults(&self) -> &[(usize, String)] {
        &self.faults
    }

    /// What an event is to the webhooks that listen to it: those that want it and those that cannot be judged, in
    /// the order of their numbers. `verdicts` is cleared before.
    pub fn judge(&mut self, event: &FormEvent, scratch: &mut Scratch, verdicts: &mut Vec<(usize, Verdict)>) {
        verdicts.clear();
        let facts = facts_of(event);
        self.by_verb[event.verb as usize].candidates(event, &facts, scratch);
        for &group in &scratch.candidates {
            let group = &mut self.groups[group];
            let Some(verdict) = group.judge(&facts) else { continue };
            verdicts.extend(group.webhooks.iter().map(|&number| (number, verdict.clone())));
        }
        verdicts.sort_unstable_by_key(|(number, _)| *number);
    }

    /// What an event is to one webhook that listens to it; none if it does not want it.
    pub fn judge_for(&mut self, webhook: usize, event: &FormEvent) -> Option<Verdict> {
        let group = self.groups.iter_mut().find(|group| group.webhooks.binary_search(&webhook).is_ok())?;
        group.judge(&facts_of(event))
    }
}

impl Group {
    fn judge(&mut self, facts: &Facts<'_>) -> Option<Verdict> {
        if !self.fits {
            return Some(Verdict::Broken);
        }
        let truth = match self.condition.as_ref().map(|condition| condition.judge(facts)) {
            None => Truth::True,
            Some(Ok(truth)) => truth,
            Some(Err(failure)) => {
                self.failures = self.failures.saturating_add(1);
                return Some(Verdict::Failed { failure, in_a_row: self.failures });
            }
        };
        self.failures = 0;
        (truth == Truth::True).then_some(Verdict::Wanted)
    }
}

impl Shelf {
    fn put(&mut self, group: usize, place: &Place) {
        match place {
            Place::Always => self.always.push(group),
            Place::Changed(column) => self.by_change.entry(*column).or_default().push(group),
            Place::Values(probe, keys) => {
                let number = self.by_value.iter().position(|values| values.probe == *probe);
                let number = number.unwrap_or_else(|| {
                    let (groups, all) = (HashMap::new(), Vec::new());
                    self.by_value.push(Values { probe: probe.clone(), groups, all });
                    self.by_value.len() - 1
                });
                let values = &mut self.by_value[number];
                for key in keys.iter().collect::<BTreeSet<_>>() {
                    values.groups.entry(key.as_slice().into()).or_default().push(group);
                }
                values.all.push(group);
            }
        }
    }

    /// The groups that the event may concern, each once.
    fn candidates(&self, event: &FormEvent, facts: &Facts<'_>, scratch: &mut Scratch) {
        let Scratch { candidates, key } = scratch;
        candidates.clear();
        candidates.extend_from_slice(&self.always);
        for values in &self.by_value {
            match key_of(&values.probe, facts, key) {
                Found::Key => candidates.extend(values.groups.get(key.as_slice()).into_iter().flatten()),
                Found::Null => {}
                Found::Unknown => candidates.extend_from_slice(&values.all),
            }
        }
        if self.by_change.is_empty() {
            return;
        }
        match &event.changed {
            Some(changed) => {
                let columns: BTreeSet<usize> =
                    changed.iter().map(|&field| event.form.fields[field].column).collect();
                let of_column = |column: &usize| self.by_change.get(column).into_iter().flatten();
                candidates.extend(columns.iter().flat_map(of_column));
            }
            None => candidates.extend(self.by_change.values().flatten()),
        }
    }
}

/// Where a group is put.
enum Place {
    Always,
    Values(Probe, Vec<Vec<u8>>),
    Changed(usize),
}

/// Chooses for each condition the requirement that tells most: of the columns that it asks for values, the one that
/// all conditions together ask for the most different ones.
fn places(groups: &[Group]) -> Vec<Place> {
    let requirements: Vec<Vec<Requirement>> = groups
        .iter()
        .map(|group| group.condition.as_ref().map(BoundQualification::requirements).unwrap_or_default())
        .collect();
    let mut asked: HashMap<&Probe, BTreeSet<&[u8]>> = HashMap::new();
    for requirement in requirements.iter().flatten() {
        if let Requirement::OneOf { probe, keys } = requirement {
            asked.entry(probe).or_default().extend(keys.iter().map(Vec::as_slice));
        }
    }
    let differing: HashMap<Probe, usize> =
        asked.into_iter().map(|(probe, keys)| (probe.clone(), keys.len())).collect();
    let place = |requirements: Vec<Requirement>| {
        let mut best: Option<(usize, Place)> = None;
        for requirement in requirements {
            let (weight, place) = match requirement {
                Requirement::OneOf { probe, keys } => (1 + differing[&probe], Place::Values(probe, keys)),
                Requirement::Changed { column } => (1, Place::Changed(column)),
            };
            if best.as_ref().is_none_or(|(known, _)| weight > *known) {
                best = Some((weight, place));
            }
        }
        best.map_or(Place::Always, |(_, place)| place)
    };
    requirements.into_iter().map(place).collect()
}

/// What the conditions are judged by.
pub(super) fn facts_of(event: &FormEvent) -> Facts<'_> {
    Facts {
        form: &event.form,
        verb: event.verb,
        old: &event.old,
        new: event.new.as_ref(),
        committed_at_us: event.transaction.committed_at_us,
        user: None,
    }
}
