//! Binding: the tree of a condition and a form, to a program. Everything that is wrong is found, not the first only.

mod doubt;
mod operation;
mod reference;
mod typing;

use super::keyword::Keyword;
use super::like::fold;
use super::program::{Field, Image, Leaf, Member, Node, Reading, Shape, Term, Test, Value};
use super::tree::{Arithmetic, Condition, Operand, Operator, Reference, quoted};
use super::{Fault, Faults, Purpose};
use crate::belonging::{On, Role};
use crate::change::ReplicaIdentity;
use crate::event::Verb;
use crate::form::{BoundForm, OldValues};
use crate::nearby::nearest;
use crate::value::Kind;
use operation::negate;
use reference::{Resolved, Target, resolve};
use std::borrow::Cow;
use std::ops::Range;
use typing::{Draft, STATUS_HISTORY, Sort, Typing, fault};

/// A program and what is odd about it.
pub(super) fn bind(
    root: Option<&Condition>,
    form: &BoundForm,
    purpose: Purpose<'_>,
) -> Result<(Node, Vec<Fault>), Faults> {
    let mut binder =
        Binder { form, purpose, typing: Typing { form }, faults: Vec::new(), warnings: Vec::new() };
    let node = root.map_or(Some(Node::All(Vec::new())), |root| binder.condition(root));
    binder.faults.sort_by_key(|fault| (fault.place.start, fault.place.end));
    binder.warnings.sort_by_key(|warning| (warning.place.start, warning.place.end));
    binder.warnings.dedup();
    match node {
        Some(node) if binder.faults.is_empty() => Ok((node, binder.warnings)),
        _ => Err(Faults(binder.faults)),
    }
}

/// What is known while binding. Methods return none where they have noted a fault.
struct Binder<'a> {
    form: &'a BoundForm,
    purpose: Purpose<'a>,
    typing: Typing<'a>,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
}

impl<'a> Binder<'a> {
    fn note<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.faults.push(fault)).ok()
    }

    /// A chain of AND or of OR leans to the left as deep as it is long, so it is walked in a loop; what else is deep
    /// stands in brackets, and the parser bounds those.
    fn condition(&mut self, condition: &Condition) -> Option<Node> {
        match condition {
            Condition::And(..) => {
                let nodes = self.operands(condition, |condition| match condition {
                    Condition::And(left, right) => Some((&**left, &**right)),
                    _ => None,
                })?;
                // brackets within AND change nothing
                let flat = nodes.into_iter().flat_map(|node| match node {
                    Node::All(nodes) => nodes,
                    node => vec![node],
                });
                Some(Node::All(flat.collect()))
            }
            Condition::Or(..) => {
                let nodes = self.operands(condition, |condition| match condition {
                    Condition::Or(left, right) => Some((&**left, &**right)),
                    _ => None,
                })?;
                Some(Node::Any(nodes))
            }
            Condition::Not(operand) => Some(Node::Not(Box::new(self.condition(operand)?))),
            Condition::Relation { left, operator, right, place } => {
                let test = self.relation(left, *operator, right, place)?;
                Some(Node::Leaf(Leaf { place: place.clone(), test }))
            }
            Condition::In { value, list, place } => self.list(value, list, place),
            Condition::Changed { field, from, to, place } => {
                self.changed(field, from.as_ref(), to.as_ref(), place)
            }
            Condition::External { place, .. } => {
                self.faults.push(fault(
                    place,
                    "EXTERNAL takes a condition from the data, where it cannot be checked beforehand",
                    "write the condition itself".to_owned(),
                ));
                None
            }
        }
    }

    fn operands<'c>(
        &mut self,
        condition: &'c Condition,
        split: impl Fn(&'c Condition) -> Option<(&'c Condition, &'c Condition)>,
    ) -> Option<Vec<Node>> {
        let mut rights = Vec::new();
        let mut rest = condition;
        while let Some((left, right)) = split(rest) {
            rights.push(right);
            rest = left;
        }
        let mut nodes = Vec::with_capacity(rights.len() + 1);
        let mut is_whole = true;
        for operand in std::iter::once(rest).chain(rights.into_iter().rev()) {
            match self.condition(operand) {
                Some(node) => nodes.push(node),
                None => is_whole = false,
            }
        }
        is_whole.then_some(nodes)
    }

    fn relation(
        &mut self,
        left: &Operand,
        operator: Operator,
        right: &Operand,
        place: &Range<usize>,
    ) -> Option<Test> {
        self.doubt(left, operator, right);
        let (left, right) = (self.operand(left), self.operand(right));
        let test = self.typing.relation(left?, operator, right?, place);
        self.note(test)
    }

    fn list(&mut self, value: &Operand, list: &[Operand], place: &Range<usize>) -> Option<Node> {
        for operand in list {
            self.doubt(value, Operator::Equal, operand);
        }
        let value = self.operand(value);
        let mut tests = Vec::with_capacity(list.len());
        for operand in list {
            let Some(draft) = self.operand(operand) else { continue };
            let Some(value) = value.clone() else { continue };
            let place = draft.place.clone();
            let test = self.typing.relation(value, Operator::Equal, draft, &place);
            tests.extend(self.note(test));
        }
        (tests.len() == list.len()).then(|| Node::Leaf(Leaf { place: place.clone(), test: Test::Any(tests) }))
    }

    fn changed(
        &mut self,
        reference: &Reference,
        from: Option<&Operand>,
        to: Option<&Operand>,
        place: &Range<usize>,
    ) -> Option<Node> {
        if self.purpose == Purpose::Entries {
            self.faults.push(not_about_one_row("CHANGED", place));
            return None;
        }
        let resolved = self.resolved(reference)?;
        if resolved.image != Image::Current {
            self.faults.push(fault(
                &reference.place,
                "CHANGED looks at the old and the new value by itself",
                "write the name of the field alone, without TR. and DB.".to_owned(),
            ));
            return None;
        }
        let now = Self::field(resolved.clone(), reference);
        let before = Self::field(Resolved { image: Image::Database, ..resolved }, reference);
        let mut tests = Vec::new();
        if let Term::Field(field) = &now.term {
            self.check_known(Image::Transaction, field.column, &reference.name, &reference.place);
            tests.push(Test::Changed((**field).clone()));
        }
        let mut is_whole = true;
        for (draft, wanted) in [(before, from), (now, to)] {
            let Some(wanted) = wanted else { continue };
            let test = self.operand(wanted).and_then(|wanted| {
                let test = self.typing.relation(draft, Operator::Equal, wanted, place);
                self.note(test)
            });
            is_whole &= test.is_some();
            tests.extend(test);
        }
        let test = if tests.len() == 1 { tests.pop()? } else { Test::All(tests) };
        is_whole.then(|| Node::Leaf(Leaf { place: place.clone(), test }))
    }

    /// As with conditions: what leans to the left is walked in a loop.
    fn operand(&mut self, operand: &Operand) -> Option<Draft> {
        let mut steps: Vec<(Arithmetic, &Operand, &Range<usize>)> = Vec::new();
        let mut rest = operand;
        while let Operand::Arithmetic { left, operator, right, place } = rest {
            steps.push((*operator, right, place));
            rest = left;
        }
        let mut so_far = match rest {
            Operand::Number { text, place } => self.note(typing::written(text, place)),
            Operand::Text { text, place } => Some(typing::quoted(text, place)),
            Operand::Reference(reference) => self.reference(reference),
            Operand::Dollar { name, place } => self.dollar(name, place),
            Operand::Negate { operand, place } => {
                let draft = self.operand(operand)?;
                let draft = negate(draft, place);
                self.note(draft)
            }
            Operand::Arithmetic { .. } => None, // walked above
        };
        for (operator, right, place) in steps.into_iter().rev() {
            let right = self.operand(right);
            so_far = match (so_far, right) {
                (Some(left), Some(right)) => {
                    let draft = self.typing.arithmetic(left, operator, right, place);
                    self.note(draft)
                }
                _ => None,
            };
        }
        so_far
    }

    fn resolved(&mut self, reference: &Reference) -> Option<Resolved<'a>> {
        match resolve(self.form, &reference.name) {
            Ok(resolved) => Some(resolved),
            Err(unresolved) => {
                self.faults.push(fault(&reference.place, unresolved.message, unresolved.remedy));
                None
            }
        }
    }

    fn reference(&mut self, reference: &Reference) -> Option<Draft> {
        let resolved = self.resolved(reference)?;
        let column = match &resolved.target {
            Target::Column { column, .. } | Target::Member { column, .. } => *column,
        };
        self.doubt_image(resolved.image, &reference.name, &reference.place);
        self.check_known(resolved.image, column, &reference.name, &reference.place);
        Some(Self::field(resolved, reference))
    }

    /// A draft of a field.
    fn field(resolved: Resolved<'_>, reference: &Reference) -> Draft {
        let (column, reading, sort) = match resolved.target {
            Target::Column { column, name, kind } => (column, Reading::of(kind), sort_of(kind, name)),
            Target::Member { column, path, meaning } => {
                let sort = match meaning {
                    Member::Text => Sort::Text { folds_case: false, padded: false },
                    Member::Number => Sort::Number { whole: false },
                    Member::Instant => Sort::Temporal(Shape::Instant),
                };
                (column, Reading::Member { path, meaning }, sort)
            }
        };
        let field = Field {
            image: resolved.image,
            column,
            reading,
            name: reference.name.clone(),
            place: reference.place.clone(),
        };
        Draft { sort, term: Term::Field(Box::new(field)), place: reference.place.clone() }
    }

    /// Whether the value will be known when the condition is judged, as far as the configuration decides it.
    fn check_known(&mut self, image: Image, column: usize, name: &str, place: &Range<usize>) {
        let form = self.form;
        let Purpose::Webhook(verbs) = self.purpose else {
            self.check_of_one_row(image, column, name, place);
            return;
        };
        let name = quoted(name);
        if image != Image::Current
            && !form.uses_old_values
            && verbs.iter().any(|verb| !matches!(verb, Verb::Create | Verb::Delete))
        {
            let message = format!("{name} needs the row before the change, and the log does not have it");
            self.faults.push(fault(place, message, self.old_values_mended()));
        } else if image != Image::Transaction
            && !form.uses_old_values
            && verbs.contains(&Verb::Delete)
            && !form.identifies(column)
        {
            let message = format!("{name} is not known on delete: the log has only the key of the old row");
            self.faults.push(fault(place, message, self.old_values_mended()));
        }
    }

    fn check_of_one_row(&mut self, image: Image, column: usize, name: &str, place: &Range<usize>) {
        if image != Image::Current {
            let prefix = name.get(..3).unwrap_or(name).to_ascii_uppercase();
            self.faults.push(not_about_one_row(&prefix, place));
            return;
        }
        let relation = &self.form.relation;
        // a row that belongs to an entry is judged as it came: only where its end is the event, by its old row
        let role = self.form.form.belonging.as_ref().map(|belonging| &belonging.role);
        let is_judged_new = matches!(role, Some(Role::Child { on: On::Insert | On::Update, .. }));
        let is_known = is_judged_new
            || relation.identity == ReplicaIdentity::Full
            || relation.columns.get(column).is_some_and(|column| column.in_identity);
        if !is_known {
            let message = format!(
                "{} is not in the replica identity: nobody could tell whether the old row was an entry",
                quoted(name)
            );
            self.faults.push(fault(place, message, full_identity(self.form)));
        }
    }

    fn old_values_mended(&self) -> String {
        if self.form.form.old_values == OldValues::None {
            return format!(
                "the form {:?} has old_values = \"none\": set it to \"auto\", and the table to full: {}",
                self.form.form.name,
                full_identity(self.form)
            );
        }
        full_identity(self.form)
    }

    fn dollar(&mut self, name: &str, place: &Range<usize>) -> Option<Draft> {
        let Some(keyword) = Keyword::of(name) else { return self.alias(name, place) };
        let by_event =
            matches!(keyword, Keyword::Operation | Keyword::User | Keyword::Clock(_) | Keyword::Weekday);
        if by_event && self.purpose == Purpose::Entries {
            self.faults.push(not_about_one_row(&format!("${}$", name.to_ascii_uppercase()), place));
            return None;
        }
        let text = |term| (Sort::Text { folds_case: false, padded: false }, term);
        let fixed = |word: &str| text(Term::Constant(Value::Text(Cow::Owned(word.to_owned()))));
        let null = Term::Constant(Value::Null);
        let (sort, term) = match keyword {
            Keyword::Null => (Sort::Null, null),
            Keyword::Nothing => (Sort::Nothing, null),
            Keyword::ClientOnly => {
                self.warnings.push(fault(
                    place,
                    format!("${}$ is NULL: only a client of AR System has it", name.to_ascii_uppercase()),
                    "leave it out".to_owned(),
                ));
                (Sort::Nothing, null)
            }
            Keyword::Default => {
                self.faults.push(fault(
                    place,
                    "$DEFAULT$ cannot stand in a qualification (198)",
                    "write the value itself".to_owned(),
                ));
                return None;
            }
            Keyword::Operation => text(Term::Operation),
            Keyword::User => {
                self.warnings.push(fault(
                    place,
                    "$USER$ is NULL: the log does not say who made a change",
                    "compare the field that the application keeps it in".to_owned(),
                ));
                text(Term::User)
            }
            Keyword::Weekday => text(Term::Weekday),
            Keyword::Clock(which) => return Some(typing::moment(which, place)),
            Keyword::Form => fixed(&self.form.form.name),
            Keyword::Server => fixed(&self.form.form.dialect.server),
            Keyword::Database => fixed("PostgreSQL"),
            Keyword::Version => fixed(env!("CARGO_PKG_VERSION")),
        };
        Some(Draft { sort, term, place: place.clone() })
    }

    /// `$Field$`: a field, if it is no keyword.
    fn alias(&mut self, name: &str, place: &Range<usize>) -> Option<Draft> {
        if resolve(self.form, name).is_ok() {
            return self.reference(&Reference { name: name.to_owned(), place: place.clone() });
        }
        let fields = self.form.fields.iter().map(|field| field.name.as_str());
        let remedy = match nearest(name, Keyword::names().map(|name| -> &str { name }).chain(fields)) {
            Some(near) if fold(near) != fold(name) => format!("did you mean ${near}$?"),
            _ => "write a keyword ($NULL$, $USER$, $TIMESTAMP$ …) or the name of a field".to_owned(),
        };
        self.faults.push(fault(place, format!("${name}$ is neither a keyword nor a field"), remedy));
        None
    }
}

fn sort_of(kind: &Kind, name: &str) -> Sort {
    match kind {
        Kind::Text { folds_case, padded } => Sort::Text { folds_case: *folds_case, padded: *padded },
        Kind::Diary { folds_case } => Sort::Text { folds_case: *folds_case, padded: false },
        Kind::Number { whole } => Sort::Number { whole: *whole },
        Kind::Selection(selection) => Sort::Selection(selection.clone()),
        Kind::Instant(_) => Sort::Temporal(Shape::Instant),
        Kind::Date => Sort::Temporal(Shape::Date),
        Kind::Time { .. } => Sort::Temporal(Shape::Time),
        Kind::Currency => Sort::Amount(name.to_owned()),
        Kind::StatusHistory => Sort::Opaque(STATUS_HISTORY),
        Kind::Attachment => Sort::Opaque("an attachment"),
        Kind::Opaque => Sort::Opaque("a value of this type (JSON, an array, bytes)"),
    }
}

fn not_about_one_row(what: &str, place: &Range<usize>) -> Fault {
    fault(
        place,
        format!("{what} cannot decide which rows are entries: that has to depend on the row alone"),
        "put this part into the conditions of the webhooks".to_owned(),
    )
}

/// The statement after which the log has whole old rows.
fn full_identity(form: &BoundForm) -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let relation = &form.relation;
    format!("alter table {}.{} replica identity full;", quoted(&relation.schema), quoted(&relation.name))
}
