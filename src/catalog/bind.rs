//! A form and a table as the log describes it become a [`BoundForm`].
//!
//! The log decides which columns there are and in which order; the catalogue adds what the log does not say:
//! types, the primary key, column numbers. The catalogue shows the present, the log may still be in the past:
//! a column may have been renamed or dropped since. So columns are matched by name first; what is left over is
//! matched by its place among the others, for both lists are in the order of the column numbers.

use super::attachments::attach;
use super::check::{configured_columns, recorded};
use super::fault::{Fault, Key};
use super::kinds::kind_of;
use super::supplied::supply;
use super::table::{Table, TableColumn};
use super::types::Types;
use crate::belonging::{Belonging, BoundBelonging, BoundSupplement, Role, SuppliedField};
use crate::change::{Relation, ReplicaIdentity};
use crate::form::{
    BindingRecord, BoundField, BoundForm, BoundPart, BoundRule, Field, Form, LaneRule, OldValues, Part,
};
use crate::happening::{self, BoundHappenings, BoundTransition, Happenings, Transition};
use crate::qualification::{Faults, Purpose, Qualification};
use crate::rule::Rule;
use crate::value::Kind;
use std::collections::HashSet;
use std::sync::Arc;

/// What is known when a form is bound.
pub(super) struct Facts<'a> {
    pub(super) relation: &'a Arc<Relation>,
    /// The same table in the catalogue; none if it is gone.
    pub(super) table: Option<&'a Table>,
    /// What the form was bound to before, if that was the same table.
    pub(super) record: Option<&'a BindingRecord>,
    /// The rules by which the form's entries had their lanes so far.
    pub(super) rules: &'a [LaneRule],
    pub(super) types: &'a Types,
    /// The types of the form's fields that stand in rows of other tables.
    pub(super) supplied: &'a [u32],
}

impl Facts<'_> {
    /// The log calls a partitioned table FULL if the whole is, but has what the identities of the partitions
    /// say.
    fn all_partitions_are_full(&self) -> bool {
        self.table.is_none_or(|table| table.leaves_not_full.is_empty())
    }
}

/// Binds a form. Fails where the rows would not tell which entry they are.
pub(super) fn bind(form: &Arc<Form>, facts: &Facts<'_>) -> Result<BoundForm, Fault> {
    let places = Places::new(facts);
    let entry_id = entry_id(form, &places)?;
    let hidden = places.hidden(form);
    let mut ignored = hidden.clone();
    for column in form.ignore.iter().filter_map(|name| places.find(name)) {
        ignored[column] = true;
    }
    let relation = facts.relation;
    let is_full = relation.identity == ReplicaIdentity::Full && facts.all_partitions_are_full();
    let key = key(&places, &entry_id);
    let mut bound = BoundForm {
        form: Arc::clone(form),
        relation: Arc::clone(relation),
        fields: fields(form, &places, &hidden),
        former: former(form, &places, &key),
        key,
        entry_id,
        record_id: form.record_id.as_ref().and_then(|name| places.find(name)),
        ignored,
        uses_old_values: is_full && form.old_values != OldValues::None,
        delete_insert_is_merge: delete_insert_is_merge(form, facts),
        happenings: BoundHappenings::default(),
        belonging: form
            .belonging
            .as_ref()
            .map(|belonging| bound_belonging(belonging, &places))
            .transpose()?,
        parts: parts(form, &places, &hidden),
        entries: None,
        deleted: None,
        attachments: Vec::new(),
    };
    supply(&mut bound, facts.supplied, facts.types);
    attach(&mut bound, facts.types, |bound, name| column_of(bound, &places, name))?;
    bound.happenings = happenings(&bound, &places);
    bound.deleted = form.deleted.as_ref().and_then(|deleted| column_of(&bound, &places, &deleted.column));
    bound.happenings.rules = form.happenings.rules.iter().map(|rule| bound_rule(rule, &bound)).collect();
    if let Some(entries) = &form.entries {
        let fault = |faults: Faults| Fault::Entries { drawn: draw(&faults, entries.text()) };
        bound.entries = Some(Arc::new(entries.bind(&bound, Purpose::Entries).map_err(fault)?));
    }
    Ok(bound)
}

/// A row that moves to another partition is deleted and inserted, and nothing more.
fn delete_insert_is_merge(form: &Form, facts: &Facts<'_>) -> bool {
    let is_partitioned = facts.table.is_some_and(Table::is_partitioned);
    form.happenings.merges.delete_insert.unwrap_or(!is_partitioned)
}

/// The columns by which rows belong to the entries of another form.
fn bound_belonging(belonging: &Belonging, places: &Places<'_>) -> Result<BoundBelonging, Fault> {
    let find = |name: &String| {
        let missing = || Fault::UnknownColumn {
            table: places.table_name(),
            key: Key::Parent,
            column: name.clone(),
            nearby: Vec::new(),
        };
        places.find(name).ok_or_else(missing)
    };
    let columns = |names: &[String]| names.iter().map(find).collect::<Result<Vec<_>, _>>();
    let by = match &belonging.role {
        Role::Hop { by } if !by.is_empty() => columns(by)?,
        Role::Hop { .. } => primary_key_of_log(places).unwrap_or_default(),
        Role::Child { .. } | Role::Supplement(_) => Vec::new(),
    };
    let supplement = match &belonging.role {
        Role::Supplement(supplement) => {
            let field = |field: &SuppliedField| Ok((field.attribute.clone(), columns(&field.columns)?));
            Some(BoundSupplement {
                attribute: supplement.attribute.as_ref().map(find).transpose()?,
                fields: supplement.fields.iter().map(field).collect::<Result<_, _>>()?,
                first: supplement.first,
            })
        }
        Role::Hop { .. } | Role::Child { .. } => None,
    };
    let kind = belonging.kind.as_ref();
    let kind = kind.map(|(column, value)| Ok((find(column)?, value.clone()))).transpose()?;
    Ok(BoundBelonging { parent: columns(&belonging.parent)?, kind, by, supplement })
}

/// What can happen to the entries, as far as its columns are there.
fn happenings(bound: &BoundForm, places: &Places<'_>) -> BoundHappenings {
    let Happenings { transitions, merges, actor, actor_name, .. } = &bound.form.happenings;
    let field_of = |name: &str| field_of(bound, places, name);
    let transition = |transition: &Transition| {
        let field = field_of(&transition.field)?;
        let stored =
            |values: &[String]| values.iter().map(|value| stored(&bound.fields[field], value)).collect();
        let (from, to) = (stored(&transition.from), stored(&transition.to));
        Some(BoundTransition { verb: transition.verb, field, from, to })
    };
    let marker = |name: &String| column_of(bound, places, name);
    let column = |name: &Option<String>| name.as_ref().and_then(|name| places.find(name));
    BoundHappenings {
        transitions: transitions.iter().filter_map(transition).collect(),
        rules: Vec::new(),
        markers: merges.markers.iter().filter_map(marker).collect(),
        target: column(&merges.target),
        references: column(&merges.references),
        actor: column(actor),
        actor_name: column(actor_name),
    }
}

/// The field of that name, or of the column of that name.
fn field_of(bound: &BoundForm, places: &Places<'_>, name: &str) -> Option<usize> {
    let called = bound.fields.iter().position(|field| field.name == name);
    called.or_else(|| {
        let column = places.find(name)?;
        bound.fields.iter().position(|field| field.column == column)
    })
}

/// The column of the field of that name, or of that name itself.
fn column_of(bound: &BoundForm, places: &Places<'_>, name: &str) -> Option<usize> {
    match field_of(bound, places, name) {
        Some(field) => Some(bound.fields[field].column),
        None => places.find(name),
    }
}

/// What stands in the column for a value that may be written as its label.
fn stored(field: &BoundField, value: &str) -> String {
    let Kind::Selection(selection) = &field.kind else { return value.to_owned() };
    if selection.by_stored(value).is_some() {
        return value.to_owned();
    }
    let labelled = selection.choices.iter().find(|choice| choice.label == value);
    labelled.map_or_else(|| value.to_owned(), |choice| choice.stored.clone())
}

/// A rule with its condition, where that and the fields of its template fit the form.
fn bound_rule(rule: &Arc<Rule>, bound: &BoundForm) -> happening::BoundRule {
    let is_known = |name: &str| name == "entry_id" || bound.fields.iter().any(|field| field.name == name);
    if let Some(unknown) = rule.payload.fields().into_iter().find(|name| !is_known(name)) {
        let fault =
            format!("its payload names {unknown:?}, and form {:?} has no such field", bound.form.name);
        return happening::BoundRule { rule: Arc::clone(rule), condition: Some(Err(fault)) };
    }
    let bind = |condition: &Arc<Qualification>| {
        let drawn = |faults: Faults| draw(&faults, condition.text());
        condition.bind(bound, Purpose::Webhook(&rule.verbs)).map(Arc::new).map_err(drawn)
    };
    happening::BoundRule { rule: Arc::clone(rule), condition: rule.condition.as_ref().map(bind) }
}

/// All faults of a condition, one below the other.
fn draw(faults: &Faults, text: &str) -> String {
    let drawn: Vec<String> = faults.0.iter().map(|fault| fault.draw(text)).collect();
    drawn.join("\n")
}

/// What is to be remembered of a form at a table: where the name was found, and the configured columns and those of
/// the primary key with their numbers. A column that is not there keeps the number that it had, to be followed; a hidden one keeps
/// it beside the number of the column that is called so now.
pub(super) fn record(form: &Form, table: &Table, before: Option<&BindingRecord>) -> BindingRecord {
    let mut columns: Vec<(String, i16)> = Vec::new();
    for (key, name) in configured_columns(form) {
        let current = table.column(name).map(|column| column.number);
        let earlier = recorded(before, name);
        let kept = if key == Key::Hidden { earlier.collect() } else { Vec::new() };
        let numbers = match current {
            Some(number) => [vec![number], kept].concat(),
            None => recorded(before, name).collect(),
        };
        for number in numbers {
            let column = (name.to_owned(), number);
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
    }
    // the primary key under all its names: the log may still be in the past when the catalogue has a new one
    for number in &table.primary_key {
        let now = table.column_number(*number).map(|column| (column.name.clone(), *number));
        let earlier = before.into_iter().flat_map(|before| &before.columns);
        for column in now.into_iter().chain(earlier.filter(|(_, known)| known == number).cloned()) {
            if !columns.contains(&column) {
                columns.push(column);
            }
        }
    }
    let (schema, name) = match before {
        Some(before) if table.name != form.table => (&before.schema, &before.table),
        _ => (&table.schema, &table.name),
    };
    BindingRecord {
        form: form.name.clone(),
        relation: table.oid,
        schema: schema.clone(),
        table: name.clone(),
        columns,
        rules: Vec::new(),
    }
}

/// The rule by which a bound form gives lanes to its entries.
pub(super) fn lane_rule(bound: &BoundForm, facts: &Facts<'_>) -> LaneRule {
    let places = Places::new(facts);
    let column = |&column: &usize| {
        let name = facts.relation.columns[column].name.clone();
        (name, places.numbers[column].unwrap_or(0))
    };
    LaneRule { form: bound.form.name.clone(), key: bound.key.iter().map(column).collect() }
}

/// The rules of before whose columns are there, without the present one.
fn former(form: &Form, places: &Places<'_>, key: &[usize]) -> Vec<BoundRule> {
    let mut former: Vec<BoundRule> = Vec::new();
    for rule in places.facts.rules {
        let columns: Option<Vec<usize>> =
            rule.key.iter().map(|(name, number)| places.recorded(name, *number)).collect();
        let Some(columns) = columns else { continue };
        let bound = BoundRule { form: rule.form.clone(), key: columns };
        let is_present = bound.form == form.name && bound.key == key;
        if !is_present && !former.contains(&bound) {
            former.push(bound);
        }
    }
    former
}

/// Where the columns are that a form names.
struct Places<'a> {
    facts: &'a Facts<'a>,
    /// The column numbers of the relation's columns, as far as they can be known.
    numbers: Vec<Option<i16>>,
}

impl<'a> Places<'a> {
    fn new(facts: &'a Facts<'a>) -> Self {
        Self { facts, numbers: numbers(facts) }
    }

    /// The table, as in SQL.
    fn table_name(&self) -> String {
        match self.facts.table {
            Some(table) => table.sql_name.clone(),
            None => format!("{}.{}", self.facts.relation.schema, self.facts.relation.name),
        }
    }

    /// The column of a name: the one called so, else the one that was when the form was bound.
    fn find(&self, name: &str) -> Option<usize> {
        self.called(name).or_else(|| self.numbered_like(name).next())
    }

    fn called(&self, name: &str) -> Option<usize> {
        self.facts.relation.columns.iter().position(|column| column.name == name)
    }

    fn numbered(&self, number: i16) -> Option<usize> {
        self.numbers.iter().position(|known| *known == Some(number))
    }

    /// A column as it is remembered: by its number, where that is not known by its name.
    fn recorded(&self, name: &str, number: i16) -> Option<usize> {
        let called = || {
            let called = self.called(name)?;
            (number == 0 || self.numbers[called].is_none()).then_some(called)
        };
        self.numbered(number).or_else(called)
    }

    /// The columns that have a number which the name had when the form was bound, or has now.
    fn numbered_like(&self, name: &str) -> impl Iterator<Item = usize> {
        let current = self.facts.table.and_then(|table| table.column(name)).map(|column| column.number);
        recorded(self.facts.record, name).chain(current).filter_map(|number| self.numbered(number))
    }

    /// Which columns are hidden. A renamed one stays hidden, beside a new one of the old name. If one cannot be
    /// found although it may still be there, every column that could be it is hidden.
    fn hidden(&self, form: &Form) -> Vec<bool> {
        let mut hidden = vec![false; self.numbers.len()];
        for name in &form.hidden {
            let mut is_found = false;
            for column in self.called(name).into_iter().chain(self.numbered_like(name)) {
                hidden[column] = true;
                is_found = true;
            }
            if !is_found {
                for (column, number) in self.numbers.iter().enumerate() {
                    hidden[column] |= number.is_none();
                }
            }
        }
        hidden
    }

    /// What a column's values mean in conditions; `field` is the one that stands for it, if one is configured.
    fn kind(&self, column: usize, field: Option<&Field>) -> Kind {
        let number = self.numbers[column];
        let known = self.facts.table.zip(number).and_then(|(table, number)| table.column_number(number));
        let folds_case = known.is_some_and(|known| known.folds_case);
        let of_type = self.facts.types.kind_of(self.facts.relation.columns[column].type_oid);
        kind_of(of_type, folds_case, field)
    }

    fn in_identity(&self) -> Vec<usize> {
        let columns = self.facts.relation.columns.iter().enumerate();
        columns.filter(|(_, column)| column.in_identity).map(|(number, _)| number).collect()
    }

    /// The columns of the primary key, in its order, if all of them are in the log.
    fn primary_key(&self) -> Option<Vec<usize>> {
        let table = self.facts.table?;
        let key: Option<Vec<usize>> = table.primary_key.iter().map(|number| self.numbered(*number)).collect();
        key.filter(|key| !key.is_empty())
    }

    /// The columns that every old row of an update or delete has.
    fn known_of_old_rows(&self) -> Vec<usize> {
        let is_called_full = self.facts.relation.identity == ReplicaIdentity::Full;
        if is_called_full && !self.facts.all_partitions_are_full() {
            return self.primary_key().unwrap_or_default();
        }
        self.in_identity()
    }
}

/// The numbers of the relation's columns: by name, now or when the form was bound, and where neighbours that match
/// so leave as many columns unmatched in the log as in the catalogue, and of the same types, by their order.
fn numbers(facts: &Facts<'_>) -> Vec<Option<i16>> {
    let relation = facts.relation;
    let mut numbers = vec![None; relation.columns.len()];
    let Some(table) = facts.table else { return numbers };
    let is_logged = |name: &str| relation.columns.iter().any(|column| column.name == name);
    let called = |name: &str| table.columns.iter().position(|known| known.name == name);
    let called_before = |name: &str| {
        recorded(facts.record, name).find_map(|number| {
            let is_it = |known: &TableColumn| known.number == number && !is_logged(&known.name);
            table.columns.iter().position(is_it)
        })
    };
    let matched: Vec<Option<usize>> = relation
        .columns
        .iter()
        .map(|column| called(&column.name).or_else(|| called_before(&column.name)))
        .collect();
    let taken: HashSet<usize> = matched.iter().flatten().copied().collect();
    let (mut start, mut known_start) = (0, 0);
    for end in 0..=matched.len() {
        let known_end = match matched.get(end) {
            Some(None) => continue,
            Some(Some(known)) => *known,
            None => table.columns.len(),
        };
        let gap: Vec<usize> = (known_start..known_end)
            .filter(|known| !taken.contains(known) && table.logs(&table.columns[*known]))
            .collect();
        let unmatched = start..end;
        let alike = |(column, known): (usize, &usize)| {
            relation.columns[column].type_oid == table.columns[*known].type_oid
        };
        if gap.len() == unmatched.len() && unmatched.clone().zip(&gap).all(alike) {
            for (column, known) in unmatched.zip(gap) {
                numbers[column] = Some(table.columns[known].number);
            }
        }
        if let Some(number) = numbers.get_mut(end) {
            *number = Some(table.columns[known_end].number);
        }
        (start, known_start) = (end + 1, known_end + 1);
    }
    numbers
}

/// The columns of the entry id: as configured, else the primary key. They have to be in what the log tells of
/// old rows, or a delete would not say of which entry; but not if only inserts come.
fn entry_id(form: &Form, places: &Places<'_>) -> Result<Vec<usize>, Fault> {
    let relation = places.facts.relation;
    let table_name = || places.table_name();
    let entry_id = if form.entry_id.is_empty() {
        primary_key_of_log(places).ok_or_else(|| Fault::NoEntryId { table: table_name() })?
    } else {
        let gone = |name: &String| {
            let (table, key, column) = (table_name(), Key::EntryId, name.clone());
            match recorded(places.facts.record, name).next() {
                Some(_) => Fault::DroppedColumn { table, key, column },
                None => Fault::UnknownColumn { table, key, column, nearby: Vec::new() },
            }
        };
        let find = |name: &String| places.find(name).ok_or_else(|| gone(name));
        form.entry_id.iter().map(find).collect::<Result<_, _>>()?
    };
    let only_inserts =
        places.facts.table.is_some_and(|t| t.published.as_itself && !t.published.has_old_rows());
    let known = places.known_of_old_rows();
    let unknown: Vec<String> = entry_id
        .iter()
        .filter(|column| !known.contains(column))
        .map(|&column| relation.columns[column].name.clone())
        .collect();
    if unknown.is_empty() || only_inserts {
        return Ok(entry_id);
    }
    let primary_key = places.primary_key().unwrap_or_default();
    let is_primary_key = entry_id.iter().all(|column| primary_key.contains(column));
    let partitions =
        if is_primary_key { None } else { places.facts.table.map(|t| t.leaves_not_full.clone()) };
    Err(Fault::EntryIdNotInIdentity {
        table: table_name(),
        columns: unknown,
        is_primary_key,
        partitions: partitions.unwrap_or_default(),
    })
}

/// The primary key as it was when the log was written. With the default identity the log says it itself; the
/// catalogue only knows the order of its columns.
fn primary_key_of_log(places: &Places<'_>) -> Option<Vec<usize>> {
    let current = places.primary_key();
    if places.facts.relation.identity != ReplicaIdentity::Default {
        return current;
    }
    let logged = places.in_identity();
    if logged.is_empty() {
        return current; // a deferrable primary key, which no identity uses
    }
    let is_same =
        |key: &Vec<usize>| key.len() == logged.len() && logged.iter().all(|column| key.contains(column));
    Some(current.filter(is_same).unwrap_or(logged))
}

/// The columns that identify a row for ordering and folding.
///
/// They must be known of every old row, or a delete would fall into another lane than the updates before it.
/// So: the primary key, if old rows have it (they do with the default identity and with FULL); else the columns
/// of the identity's index, which are unique and never NULL; with FULL and no primary key, and where only
/// inserts come, the entry id. A primary key that the identity does not cover is not used.
fn key(places: &Places<'_>, entry_id: &[usize]) -> Vec<usize> {
    let known = places.known_of_old_rows();
    if let Some(key) = primary_key_of_log(places)
        && (known.is_empty() || key.iter().all(|column| known.contains(column)))
    {
        return key;
    }
    if places.facts.relation.identity == ReplicaIdentity::Index && !known.is_empty() {
        return known;
    }
    entry_id.to_vec()
}

/// The fields in column order. A configured name wins over a column that happens to be called the same.
fn fields(form: &Form, places: &Places<'_>, hidden: &[bool]) -> Vec<BoundField> {
    let configured: Vec<(Option<usize>, &Field)> =
        form.fields.iter().map(|field| (places.find(&field.column), field)).collect();
    let mut fields = Vec::with_capacity(hidden.len());
    for (number, column) in places.facts.relation.columns.iter().enumerate() {
        if hidden[number] {
            continue;
        }
        let field = |name: &str, configured: Option<&Field>| BoundField {
            name: name.to_owned(),
            id: configured.and_then(|configured| configured.id),
            column: number,
            type_: places.facts.types.type_of(column.type_oid),
            kind: places.kind(number, configured),
        };
        let before = fields.len();
        let of_this = configured.iter().filter(|(place, _)| *place == Some(number));
        fields.extend(of_this.map(|(_, configured)| field(&configured.name, Some(configured))));
        let is_configured = fields.len() > before;
        if !is_configured && !configured.iter().any(|(_, configured)| configured.name == column.name) {
            fields.push(field(&column.name, None));
        }
    }
    fields
}

/// The parts whose columns are there. One that is gone is told by the comparison with the catalogue, and by every
/// condition that asks for it.
fn parts(form: &Form, places: &Places<'_>, hidden: &[bool]) -> Vec<BoundPart> {
    let bind = |part: &Part| {
        let column = places.find(&part.column).filter(|column| !hidden[*column])?;
        let field = form.fields.iter().find(|field| places.find(&field.column) == Some(column));
        let kind = places.kind(column, field);
        Some(BoundPart { name: part.name.clone(), column, kind })
    };
    form.parts.iter().filter_map(bind).collect()
}
