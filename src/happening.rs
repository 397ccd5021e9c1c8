//! What the changes of a form's rows mean beside create, update and delete, as the operator describes it.

use crate::event::{Verb, Word};
use crate::qualification::BoundQualification;
use crate::rule::Rule;
use std::sync::Arc;

/// What can happen to the entries of a form, and how it is told from plain changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Happenings {
    /// Words for changes of one field.
    pub transitions: Vec<Transition>,
    /// Words for changes of rows that belong to an entry.
    pub children: Vec<Word>,
    /// Words for what the application says itself, by a message in the log.
    pub emitted: Vec<Word>,
    /// What webhooks are told by the operator's own rules.
    pub rules: Vec<Arc<Rule>>,
    /// Which changes are a merge.
    pub merges: Merges,
    /// The column that says who changed the row.
    pub actor: Option<String>,
    /// The column with that person's name, where the other one has a number.
    pub actor_name: Option<String>,
}

/// A word for the change of a field: `status-changed`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The word.
    pub verb: Word,
    /// The field, by its name or its column's.
    pub field: String,
    /// The values that it changes from, as they stand in the column or as their labels; none means any.
    pub from: Vec<String>,
    /// The values that it changes to; none means any.
    pub to: Vec<String>,
}

/// Which changes are a merge: the first rule that fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Merges {
    /// Replication origins all of whose changes are merges.
    pub origins: Vec<String>,
    /// Whether a delete and an insert of one key in one transaction are a merge; none means yes, but for
    /// partitioned tables, where a row that moves to another partition looks the same.
    pub delete_insert: Option<bool>,
    /// Fields, by their names or their columns', whose change marks a merge: to anything but NULL and false.
    pub markers: Vec<String>,
    /// The column that says into which entry this one was merged.
    pub target: Option<String>,
    /// The column of the form's table that the target's values stand in; none means that they are entry ids.
    pub references: Option<String>,
}

impl Happenings {
    /// The words for what can happen, beside those that every form has; each once.
    pub fn verbs(&self) -> Vec<Verb> {
        let transitions = self.transitions.iter().map(|transition| transition.verb);
        let others = self.children.iter().chain(&self.emitted).copied();
        let mut verbs: Vec<Verb> = transitions.chain(others).map(Verb::Named).collect();
        if !self.rules.is_empty() {
            verbs.push(Verb::AUTOMATION_RULE);
        }
        verbs.sort_unstable();
        verbs.dedup();
        verbs
    }
}

/// The happenings of a form bound to its table: names have become column numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BoundHappenings {
    /// The words for changes of one field, those whose field is there.
    pub transitions: Vec<BoundTransition>,
    /// The operator's rules.
    pub rules: Vec<BoundRule>,
    /// The columns whose change marks a merge.
    pub markers: Vec<usize>,
    /// The column of the entry that this one was merged into.
    pub target: Option<usize>,
    /// The column that the target's values stand in, if they are no entry ids.
    pub references: Option<usize>,
    /// The column of who changed the row.
    pub actor: Option<usize>,
    /// The column of that person's name.
    pub actor_name: Option<usize>,
}

/// A transition bound to its field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BoundTransition {
    /// The word.
    pub verb: Word,
    /// The field's number among the form's.
    pub field: usize,
    /// The values that it changes from, as they stand in the column; none means any.
    pub from: Vec<String>,
    /// The values that it changes to; none means any.
    pub to: Vec<String>,
}

/// A rule bound to the form.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundRule {
    /// The rule.
    pub rule: Arc<Rule>,
    /// Its condition; or why it does not fit the form.
    pub condition: Option<Result<Arc<BoundQualification>, String>>,
}
