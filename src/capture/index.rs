//! The webhooks of a form, arranged so that an event meets those that may want it and not all that are registered.
//!
//! Conditions with the same text are judged once. A condition that can only be true for certain values of a column
//! (`'Assigned Group' = "Network"`) waits in a table under those values, one that can only be true when a field
//! changed waits under that field; what is left is judged for every event.

use crate::event::{FormEvent, Verb};
use crate::form::BoundForm;
use crate::format;
use crate::qualification::{
    BoundQualification, Facts, Failure, Found, Probe, Purpose, Requirement, Truth, key_of,
};
use crate::webhook::Webhook;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// So many changes an index takes at least before it is made anew.
const CHANGES_MIN: usize = 64;

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
    /// A form has few verbs.
    by_verb: Vec<(Verb, Shelf)>,
    /// Those whose format knows no merge, and that hear of one as of a create or an update.
    merges_as: [Shelf; 2],
    /// The group of each webhook.
    group_of: HashMap<usize, usize>,
    /// The groups by their conditions' texts and events.
    known: HashMap<(Box<str>, Events), usize>,
    /// Why the conditions of groups do not fit, drawn.
    faults: BTreeMap<usize, String>,
    /// How many groups it was made with; those that came later stand where they could be put.
    made_with: usize,
    /// How many groups have no webhook any more.
    deserted: usize,
}

/// What a webhook listens to on the form.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Events {
    verbs: Box<[Verb]>,
    /// Whether its format has a word for merges.
    knows_merge: bool,
}

impl Events {
    fn of(webhook: &Webhook, form: &BoundForm) -> Self {
        let knows_merge = format::find(webhook.format).is_none_or(format::Format::knows_merge);
        Self { verbs: webhook.verbs_on(&form.form.name).into(), knows_merge }
    }
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
        let mut index = Self {
            groups: Vec::new(),
            by_verb: Vec::new(),
            merges_as: Default::default(),
            group_of: HashMap::new(),
            known: HashMap::new(),
            faults: BTreeMap::new(),
            made_with: 0,
            deserted: 0,
        };
        for (number, webhook) in webhooks {
            index.join(form, number, webhook);
        }
        index.made_with = index.groups.len();
        let places = places(&index.groups);
        let mut listening: Vec<(usize, Events)> =
            index.known.iter().map(|((_, events), group)| (*group, events.clone())).collect();
        listening.sort_unstable_by_key(|(group, _)| *group);
        for (group, events) in listening {
            index.put(group, &events, &places[group]);
        }
        index
    }

    /// Lets another webhook in. Returns false where the whole is better made anew: too much has changed.
    pub fn add(&mut self, form: &BoundForm, number: usize, webhook: &Webhook) -> bool {
        if let Some(group) = self.join(form, number, webhook) {
            let place = places(&self.groups[group..]).pop().unwrap_or(Place::Always);
            self.put(group, &Events::of(webhook, form), &place);
        }
        self.is_in_shape()
    }

    /// Lets a webhook go. Returns false where the whole is better made anew.
    pub fn remove(&mut self, number: usize) -> bool {
        if let Some(group) = self.group_of.remove(&number) {
            let webhooks = &mut self.groups[group].webhooks;
            webhooks.retain(|one| *one != number);
            self.deserted += usize::from(webhooks.is_empty());
        }
        self.is_in_shape()
    }

    /// What came later was put where it could be, not where all conditions together would have it: with as many of them
    /// as there were, it is time to begin anew. So the work for each stays small, however many there are.
    fn is_in_shape(&self) -> bool {
        let changed = self.groups.len() - self.made_with + self.deserted;
        changed <= self.made_with.max(CHANGES_MIN)
    }

    /// Puts a group where its events are looked for.
    fn put(&mut self, group: usize, events: &Events, place: &Place) {
        for &verb in &events.verbs {
            self.shelf_of(verb).put(group, place);
        }
        if events.knows_merge || events.verbs.contains(&Verb::Merge) {
            return;
        }
        for (shelf, verb) in self.merges_as.iter_mut().zip([Verb::Create, Verb::Update]) {
            if events.verbs.contains(&verb) {
                shelf.put(group, place);
            }
        }
    }

    fn shelf_of(&mut self, verb: Verb) -> &mut Shelf {
        let place = self.by_verb.iter().position(|(known, _)| *known == verb).unwrap_or_else(|| {
            self.by_verb.push((verb, Shelf::default()));
            self.by_verb.len() - 1
        });
        &mut self.by_verb[place].1
    }

    /// Puts a webhook into the group of its condition. Returns the group if it is new.
    fn join(&mut self, form: &BoundForm, number: usize, webhook: &Webhook) -> Option<usize> {
        let text = webhook.condition.as_ref().map_or("", |condition| condition.text());
        let key = (text.into(), Events::of(webhook, form));
        if let Some(&group) = self.known.get(&key) {
            let webhooks = &mut self.groups[group].webhooks;
            self.deserted -= usize::from(webhooks.is_empty());
            let place = webhooks.partition_point(|one| *one < number);
            webhooks.insert(place, number);
            self.group_of.insert(number, group);
            return None;
        }
        let bound = webhook.condition.as_ref().map(|one| one.bind(form, Purpose::Webhook(&key.1.verbs)));
        let group = self.groups.len();
        let (condition, fault) = match bound {
            None => (None, None),
            Some(Ok(bound)) => (Some(bound), None),
            Some(Err(faults)) => (None, Some(faults.draw(text))),
        };
        let fits = fault.is_none();
        self.faults.extend(fault.map(|fault| (group, fault)));
        self.groups.push(Group { condition, fits, failures: 0, webhooks: vec![number] });
        self.known.insert(key, group);
        self.group_of.insert(number, group);
        Some(group)
    }

    /// The webhooks whose conditions do not fit the form, with the faults drawn.
    pub fn faults(&self) -> impl Iterator<Item = (usize, &str)> {
        self.faults.iter().flat_map(|(&group, fault)| {
            self.groups[group].webhooks.iter().map(move |&one| (one, fault.as_str()))
        })
    }

    /// Why a webhook's condition does not fit the form, drawn.
    pub fn fault_of(&self, number: usize) -> Option<&str> {
        self.faults.get(self.group_of.get(&number)?).map(String::as_str)
    }

    /// What an event is to the webhooks that listen to it: those that want it and those that cannot be judged, in
    /// the order of their numbers. `verdicts` is cleared before.
    pub fn judge(&mut self, event: &FormEvent, scratch: &mut Scratch, verdicts: &mut Vec<(usize, Verdict)>) {
        verdicts.clear();
        let facts = facts_of(event);
        scratch.candidates.clear();
        if let Some((_, shelf)) = self.by_verb.iter().find(|(verb, _)| *verb == event.verb) {
            shelf.candidates(event, &facts, scratch);
        }
        if event.verb == Verb::Merge {
            self.merges_as[usize::from(event.existed())].candidates(event, &facts, scratch);
        }
        for &group in &scratch.candidates {
            let group = &mut self.groups[group];
            if group.webhooks.is_empty() {
                continue;
            }
            let Some(verdict) = group.judge(&facts) else { continue };
            verdicts.extend(group.webhooks.iter().map(|&number| (number, verdict.clone())));
        }
        verdicts.sort_unstable_by_key(|(number, _)| *number);
    }

    /// What an event is to one webhook that listens to it; none if it does not want it. It counts for no row of
    /// failures: those who judge what was held meet failures only.
    pub fn judge_again(&self, webhook: usize, event: &FormEvent) -> Option<Verdict> {
        self.groups[*self.group_of.get(&webhook)?].verdict(&facts_of(event))
    }
}

impl Group {
    fn verdict(&self, facts: &Facts<'_>) -> Option<Verdict> {
        if !self.fits {
            return Some(Verdict::Broken);
        }
        match self.condition.as_ref().map(|condition| condition.judge(facts)) {
            None | Some(Ok(Truth::True)) => Some(Verdict::Wanted),
            Some(Ok(Truth::False | Truth::Unknown)) => None,
            Some(Err(failure)) => Some(Verdict::Failed { failure, in_a_row: self.failures }),
        }
    }

    fn judge(&mut self, facts: &Facts<'_>) -> Option<Verdict> {
        let mut verdict = self.verdict(facts);
        match &mut verdict {
            Some(Verdict::Failed { in_a_row, .. }) => {
                self.failures = self.failures.saturating_add(1);
                *in_a_row = self.failures;
            }
            Some(Verdict::Broken) => {}
            Some(Verdict::Wanted) | None => self.failures = 0,
        }
        verdict
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

    /// Adds the groups that the event may concern, each once.
    fn candidates(&self, event: &FormEvent, facts: &Facts<'_>, scratch: &mut Scratch) {
        let Scratch { candidates, key } = scratch;
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
        user: event.circumstances.actor.as_deref(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::change::OldRow;
    use crate::event::Transaction;
    use crate::form::{Lane, sample};
    use crate::lsn::Position;
    use crate::qualification::Qualification;
    use crate::value::{Kind, Type};
    use crate::webhook::Listening;
    use std::sync::Arc;

    const VALUES: [&str; 6] = ["1", "2", "2.0", "a", "A", "NULL"];

    /// `id`, a text without letter case, a number and a plain text.
    fn form() -> Arc<BoundForm> {
        let columns = ["id", "group", "count", "note"].map(|name| (name, Type::Text));
        let mut form = sample::form("Incident", &columns);
        form.fields[1].kind = Kind::Text { folds_case: true, padded: false };
        form.fields[2].kind = Kind::Number { whole: false };
        Arc::new(form)
    }

    fn webhook(condition: &str, events: &[Verb]) -> Webhook {
        let mut webhook = crate::webhook::sample::webhook(1);
        webhook.condition = Some(Arc::new(Qualification::parse(condition).unwrap()));
        webhook.listens = vec![Listening::to("Incident", "incident", events)];
        webhook
    }

    fn event(form: &Arc<BoundForm>, verb: Verb, old: Option<[&str; 4]>, new: Option<[&str; 4]>) -> FormEvent {
        let (old, new) = (old.map(|old| sample::row(&old)), new.map(|new| sample::row(&new)));
        let changed = match (&old, &new) {
            (Some(old), Some(new)) => Some((0..4).filter(|&at| old.datum(at) != new.datum(at)).collect()),
            _ => None,
        };
        FormEvent {
            form: Arc::clone(form),
            verb,
            position: Position::default(),
            transaction: Arc::new(Transaction { xid: 1, committed_at_us: 0, origin: None }),
            entry_id: "1".into(),
            lane: Lane(1),
            behind: vec![],
            old: old.map_or(OldRow::Absent, OldRow::Full),
            new,
            changed,
            renamed_to: None,
            renamed_from: None,
            circumstances: crate::event::Circumstances::none(),
        }
    }

    fn conditions() -> Vec<String> {
        let mut conditions = vec![String::new()];
        for value in ["\"1\"", "2", "\"a\"", "$NULL$"] {
            for field in ["group", "note"] {
                conditions.extend([
                    format!("'{field}' = {value}"),
                    format!("{value} = '{field}' AND 'count' > 1"),
                    format!("'TR.{field}' = {value}"),
                    format!("'DB.{field}' = {value}"),
                    format!("'{field}' CHANGED FROM {value}"),
                    format!("'{field}' CHANGED TO {value}"),
                    format!("'{field}' IN ({value}, \"A\")"),
                    format!("NOT '{field}' = {value}"),
                    format!("'{field}' = {value} OR 'count' = 2"),
                    format!("'{field}' = {value} OR '{field}' = \"2\""),
                    format!("'{field}' = {value} AND CHANGED('count')"),
                ]);
            }
        }
        for count in ["1", "\"2\"", "2.00", "(1 + 1)"] {
            conditions
                .extend([format!("'count' = {count}"), format!("'TR.count' = {count} AND 'note' = \"a\"")]);
        }
        conditions
            .extend(["'TR.count' != $NULL$", "'TR.note' = $NULL$", "1 / 'count' = 1"].map(str::to_owned));
        conditions
    }

    /// Webhooks that come and go one by one are found as those that were there from the beginning.
    #[test]
    fn webhooks_that_come_and_go_are_found_as_in_an_index_made_anew() {
        let form = form();
        let verbs = [Verb::Create, Verb::Update, Verb::Delete];
        let webhooks: Vec<Webhook> = conditions().iter().map(|text| webhook(text, &verbs)).collect();
        let mut changed = Index::new(&form, webhooks.iter().enumerate().step_by(3));
        for (number, webhook) in webhooks.iter().enumerate().filter(|(number, _)| number % 3 == 1) {
            changed.add(&form, number, webhook);
        }
        for number in (0..webhooks.len()).filter(|number| number % 4 == 0) {
            changed.remove(number);
        }
        // one comes back with another condition
        changed.remove(1);
        changed.add(&form, 1, &webhooks[5]);
        let stays = |number: &usize| number % 3 != 2 && !number.is_multiple_of(4) && *number != 1;
        let others = webhooks.iter().enumerate().filter(|(number, _)| stays(number));
        let mut anew = Index::new(&form, others.chain([(1, &webhooks[5])]));
        let (mut scratch, mut found, mut expected) = (Scratch::default(), Vec::new(), Vec::new());
        for group in VALUES {
            for note in ["1", "a", "NULL"] {
                for count in ["1", "2.0", "0", "NULL"] {
                    let event = event(
                        &form,
                        Verb::Update,
                        Some(["1", group, "1", "a"]),
                        Some(["1", "a", count, note]),
                    );
                    changed.judge(&event, &mut scratch, &mut found);
                    anew.judge(&event, &mut scratch, &mut expected);
                    let known = |verdicts: &[(usize, Verdict)]| {
                        verdicts
                            .iter()
                            .map(|(number, verdict)| (*number, *verdict == Verdict::Wanted))
                            .collect::<Vec<_>>()
                    };
                    assert_eq!(known(&found), known(&expected));
                }
            }
        }
        assert!(!expected.is_empty());
    }

    /// Whatever the index leaves out would not have matched: every event against every condition, with the index
    /// and one by one.
    #[test]
    fn the_index_finds_what_judging_all_would_find() {
        let form = form();
        let verbs = [Verb::Create, Verb::Update, Verb::Delete];
        let webhooks: Vec<Webhook> = conditions().iter().map(|text| webhook(text, &verbs)).collect();
        let mut index = Index::new(&form, webhooks.iter().enumerate());
        assert_eq!(index.faults().next(), None);
        let (mut scratch, mut verdicts, mut wanted) = (Scratch::default(), Vec::new(), 0);
        let mut rows = Vec::new();
        for group in VALUES {
            for note in ["1", "a", "A", "NULL", "?"] {
                rows.extend(["1", "2.0", "0", "NULL"].map(|count| ["1", group, count, note]));
            }
        }
        let mut check = |event: &FormEvent| {
            index.judge(event, &mut scratch, &mut verdicts);
            let facts = facts_of(event);
            let mut alone = Vec::new();
            for (number, webhook) in webhooks.iter().enumerate() {
                let bound =
                    webhook.condition.as_ref().unwrap().bind(&form, Purpose::Webhook(&verbs)).unwrap();
                match bound.judge(&facts) {
                    Ok(Truth::True) => alone.push((number, true)),
                    Ok(_) => {}
                    Err(_) => alone.push((number, false)),
                }
            }
            let found: Vec<_> =
                verdicts.iter().map(|(number, verdict)| (*number, *verdict == Verdict::Wanted)).collect();
            // an index may leave out a failure where another part of the condition is false anyway, but nothing that matches
            let matching = |all: &[(usize, bool)]| -> Vec<usize> {
                all.iter().filter(|(_, wanted)| *wanted).map(|(number, _)| *number).collect()
            };
            assert_eq!(matching(&found), matching(&alone), "{event:?}");
            assert!(found.iter().all(|one| alone.contains(one)), "{event:?}");
            wanted += matching(&found).len();
        };
        for (number, row) in rows.iter().enumerate() {
            check(&event(&form, Verb::Create, None, Some(*row)));
            check(&event(&form, Verb::Delete, Some(*row), None));
            for old in rows.iter().skip(number % 7).step_by(7) {
                check(&event(&form, Verb::Update, Some(*old), Some(*row)));
            }
        }
        assert!(wanted > 10_000, "{wanted}");
    }

    #[test]
    fn an_event_meets_only_those_that_may_want_it() {
        let form = form();
        let texts = (0..10_000).map(|number| format!("'note' = \"G{number}\" AND 'count' != {number}"));
        let webhooks: Vec<Webhook> = texts.map(|text| webhook(&text, &[Verb::Update])).collect();
        let mut index = Index::new(&form, webhooks.iter().enumerate());
        let (mut scratch, mut verdicts) = (Scratch::default(), Vec::new());
        let row = ["1", "x", "5", "G7"];
        index.judge(&event(&form, Verb::Update, Some(row), Some(row)), &mut scratch, &mut verdicts);
        assert_eq!(verdicts, [(7, Verdict::Wanted)]);
        assert_eq!(scratch.candidates, [7]);
        index.judge(&event(&form, Verb::Create, None, Some(row)), &mut scratch, &mut verdicts);
        assert_eq!((verdicts.len(), scratch.candidates.len()), (0, 0), "nobody listens to creates");
    }

    #[test]
    fn conditions_of_the_same_text_are_judged_once() {
        let form = form();
        let webhooks = vec![webhook("'count' * 2 = 4", &[Verb::Update]); 50];
        let mut index = Index::new(&form, webhooks.iter().enumerate());
        let (mut scratch, mut verdicts) = (Scratch::default(), Vec::new());
        let row = ["1", "x", "2", "n"];
        index.judge(&event(&form, Verb::Update, Some(row), Some(row)), &mut scratch, &mut verdicts);
        assert_eq!((verdicts.len(), scratch.candidates.len()), (50, 1));
    }

    #[test]
    fn what_does_not_fit_is_told_and_met_as_broken() {
        let form = form();
        let webhooks = [webhook("'nobody' = 1", &[Verb::Update]), webhook("'count' = 2", &[Verb::Update])];
        let mut index = Index::new(&form, webhooks.iter().enumerate());
        let faults: Vec<_> = index.faults().collect();
        assert_eq!(faults.len(), 1);
        assert!(faults[0].1.contains("'nobody'"), "{}", faults[0].1);
        let (mut scratch, mut verdicts) = (Scratch::default(), Vec::new());
        let row = ["1", "x", "2", "n"];
        let event = event(&form, Verb::Update, Some(row), Some(row));
        index.judge(&event, &mut scratch, &mut verdicts);
        assert_eq!(verdicts, [(0, Verdict::Broken), (1, Verdict::Wanted)]);
        assert_eq!(index.judge_again(0, &event), Some(Verdict::Broken));
    }
}
