//! What is proposed, as data.

use super::children::{self, Wholes};
use super::names;
use super::polymorphic::{self, PolymorphicKey};
use super::tables::{Column, ForeignKey, Table};
use std::collections::BTreeSet;

/// What is proposed for a database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposal {
    /// The forms, by the names of their tables.
    pub forms: Vec<FormProposal>,
    /// What is no form, and why.
    pub left_out: Vec<LeftOut>,
}

/// What is no form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The table, as the configuration would name it.
    pub table: String,
    /// Why it is none.
    pub reason: String,
}

/// A form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormProposal {
    /// Its name.
    pub name: String,
    /// The noun for names of its events.
    pub noun: String,
    /// The table, as the configuration names it.
    pub table: String,
    /// About how many rows it has.
    pub rows: i64,
    /// What somebody has written about the table.
    pub comment: Option<String>,
    /// The columns of the entry id, where that is not the primary key.
    pub entry_id: Vec<String>,
    /// The column of the record id.
    pub record_id: Option<String>,
    /// A column that people may call its entries by, beside the primary key.
    pub number: Option<String>,
    /// The column that means deleted.
    pub deleted: Option<String>,
    /// The column of who changed it.
    pub actor: Option<String>,
    /// Bookkeeping.
    pub ignore: Vec<String>,
    /// What must not leave.
    pub hidden: Vec<String>,
    /// Fields with names or labels of their own.
    pub fields: Vec<FieldProposal>,
    /// Columns that are parts of fields, each with the part's name.
    pub parts: Vec<(String, String)>,
    /// Words for changes of one field.
    pub transitions: Vec<TransitionProposal>,
    /// Tables that belong to it.
    pub children: Vec<ChildProposal>,
    /// Whether old values are missing in the log.
    pub lacks_old_values: bool,
}

/// A field with a name or labels of its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldProposal {
    /// Its name.
    pub name: String,
    /// Its column.
    pub column: String,
    /// Its number, in products that number fields.
    pub id: Option<u32>,
    /// What its values mean, where the column's type does not say so.
    pub kind: Option<&'static str>,
    /// What stands in the column, each with its text.
    pub labels: Vec<(String, String)>,
    /// The table that the labels are of.
    pub labels_of: String,
}

/// A word for the change of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransitionProposal {
    /// The word.
    pub verb: String,
    /// The field.
    pub field: String,
    /// The values that it can have, where the catalogue knows them.
    pub values: Vec<String>,
}

/// A table that belongs to the form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChildProposal {
    /// The word for its inserts.
    pub verb: String,
    /// The table, as the configuration names it.
    pub table: String,
    /// The columns that refer to the next.
    pub parent: Vec<String>,
    /// What they mean of the form's table, where that is not its primary key.
    pub references: Vec<String>,
    /// The column that says to which table they refer, and what stands there for this one.
    pub kind: Option<(String, String)>,
    /// The tables between, the child's next one first.
    pub through: Vec<HopProposal>,
    /// The column of who wrote it.
    pub actor: Option<String>,
    /// What must not leave.
    pub hidden: Vec<String>,
}

/// A table between a child and its form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HopProposal {
    /// The table, as the configuration names it.
    pub table: String,
    /// What the table before refers to, where that is not its primary key.
    pub key: Vec<String>,
    /// The columns that refer to the next.
    pub parent: Vec<String>,
    /// The column that says to which table they refer, and what stands there for this one.
    pub kind: Option<(String, String)>,
}

impl Proposal {
    /// Judges what the catalogue said.
    pub fn of(tables: &[Table]) -> Self {
        let (mut candidates, mut left_out) = (Vec::new(), Vec::new());
        for (number, table) in tables.iter().enumerate() {
            match why_not(table, tables) {
                None => candidates.push(number),
                Some(reason) if reason.is_empty() => {}
                Some(reason) => left_out.push(LeftOut { table: name_of(table), reason }),
            }
        }
        let wholes = children::wholes(tables, &candidates);
        let forms: Vec<usize> =
            candidates.iter().copied().filter(|number| !wholes.contains_key(number)).collect();
        // what belongs to several is not what others belong to in this way
        let of_none: Vec<&Table> = forms.iter().map(|&number| &tables[number]).collect();
        let of_none: Vec<&Table> = of_none.into_iter().filter(|table| table.polymorphic.is_none()).collect();
        let (of_many, forms): (Vec<usize>, Vec<usize>) =
            forms.into_iter().partition(|&number| polymorphic::is_part(&tables[number], &of_none));
        let forms = forms.iter().map(|&number| form(tables, number, &wholes, &of_many, &forms)).collect();
        Self { forms, left_out }
    }
}

impl FormProposal {
    /// All that can happen to its entries, as webhooks name it.
    pub fn events(&self) -> Vec<String> {
        let transitions = self.transitions.iter().map(|transition| transition.verb.as_str());
        let children = self.children.iter().map(|child| child.verb.as_str());
        let verbs = ["create", "update", "merge", "delete"].into_iter().chain(transitions).chain(children);
        let mut events: Vec<String> = Vec::new();
        for verb in verbs {
            let event = format!("{}.{verb}", self.noun);
            if !events.contains(&event) {
                events.push(event);
            }
        }
        events
    }
}

/// Why a table is no form, in words that end with what would be one; empty where nothing needs to be said; none where
/// nothing speaks against it.
fn why_not(table: &Table, all: &[Table]) -> Option<String> {
    let base = match table.kind {
        'v' => Some("is a view, which has no changes of its own: take the tables that it reads"),
        'm' => {
            Some("is a materialized view, which changes when it is refreshed: take the tables that it reads")
        }
        'f' => Some("is a foreign table: run walhook beside the database that has its rows"),
        _ => None,
    };
    if let Some(base) = base {
        return Some(base.to_owned());
    }
    if table.is_partition {
        // its root speaks for it
        return Some(String::new());
    }
    match table.persistence {
        'u' => return Some("is unlogged: the log has nothing of it (alter table … set logged)".to_owned()),
        't' => return Some(String::new()),
        _ => {}
    }
    if names::is_technical(&table.name) {
        return Some("is the framework's own".to_owned());
    }
    if !table.labels.is_empty() {
        return Some("is a list of names: fields that refer to it have them as labels".to_owned());
    }
    if let Some(joined) = joined(table, all) {
        return Some(format!("joins {joined} and says nothing else"));
    }
    if table.primary_key.is_empty() {
        return Some(
            "has no primary key: say in entry_id which columns tell its rows apart, and set its replica identity to \
             an index over them, or to full"
                .to_owned(),
        );
    }
    None
}

/// What a table joins that has nothing but references.
fn joined(table: &Table, all: &[Table]) -> Option<String> {
    let is_referring =
        |name: &str| table.foreign_keys.iter().any(|key| key.columns.iter().any(|one| one == name));
    let is_own_key = |name: &str| table.primary_key == [name];
    let is_plain = |column: &Column| {
        is_referring(&column.name) || is_own_key(&column.name) || names::is_bookkeeping(&column.name)
    };
    let referring: BTreeSet<i64> = table.foreign_keys.iter().map(|key| key.table).collect();
    if referring.len() < 2 || table.foreign_keys.len() != 2 || !table.columns.iter().all(is_plain) {
        return None;
    }
    let named = all.iter().filter(|one| referring.contains(&one.oid)).map(name_of);
    Some(named.collect::<Vec<_>>().join(" and "))
}

/// A table as the configuration names it.
pub(super) fn name_of(table: &Table) -> String {
    let part = |name: &str| {
        if name.contains(['.', '"']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.to_owned() }
    };
    if table.is_found_unqualified {
        part(&table.name)
    } else {
        format!("{}.{}", part(&table.schema), part(&table.name))
    }
}

fn form(
    tables: &[Table],
    number: usize,
    wholes: &Wholes<'_>,
    of_many: &[usize],
    forms: &[usize],
) -> FormProposal {
    let table = &tables[number];
    // the search path has found one of them
    let is_shared = !table.is_found_unqualified
        && forms.iter().any(|&other| other != number && tables[other].name == table.name);
    let name = if is_shared { format!("{}.{}", table.schema, table.name) } else { table.name.clone() };
    let noun: String = name.chars().map(|sign| if sign.is_alphanumeric() { sign } else { '_' }).collect();
    let fields = fields(table, tables);
    let has = |is: fn(&str) -> bool| table.columns.iter().filter(move |column| is(&column.name));
    let first = |is: fn(&str) -> bool| has(is).next().map(|column| column.name.clone());
    let named = |column: &str| {
        let field = fields.iter().find(|field| field.column == column);
        field.map_or(column, |field| field.name.as_str()).to_owned()
    };
    let mut transitions: Vec<TransitionProposal> = Vec::new();
    for column in table.columns.iter().filter(|column| !table.primary_key.contains(&column.name)) {
        let Some(word) = names::transition(&column.name) else { continue };
        let verb = format!("{word}-changed");
        if transitions.iter().all(|known| known.verb != verb) {
            let labels = fields.iter().find(|field| field.column == column.name);
            let labels = labels.map(|field| field.labels.iter().map(|(_, text)| text.clone()).collect());
            let values = labels.unwrap_or_else(|| column.values.clone());
            transitions.push(TransitionProposal { verb, field: named(&column.name), values });
        }
    }
    let is_flag = |column: &&Column| matches!(column.category, 'B' | 'D' | 'N');
    FormProposal {
        noun: noun.to_lowercase(),
        table: name_of(table),
        rows: table.rows,
        comment: table.comment.clone(),
        number: table
            .unique_columns
            .iter()
            .find(|name| names::is_number(name) && !table.primary_key.contains(name))
            .cloned(),
        deleted: has(names::is_deletion).find(is_flag).map(|column| column.name.clone()),
        actor: first(names::is_actor),
        ignore: has(names::is_timestamp_of_change).map(|column| column.name.clone()).collect(),
        hidden: has(names::is_secret).map(|column| column.name.clone()).collect(),
        children: parts(tables, number, wholes, of_many),
        lacks_old_values: !table.has_full_identity,
        transitions,
        fields,
        name,
        ..FormProposal::default()
    }
}

/// The fields that refer to lists of names.
fn fields(table: &Table, all: &[Table]) -> Vec<FieldProposal> {
    let mut fields: Vec<FieldProposal> = Vec::new();
    for key in &table.foreign_keys {
        let ([column], [refers_to]) = (&key.columns[..], &key.refers_to[..]) else { continue };
        let Some(list) = all.iter().find(|one| one.oid == key.table) else { continue };
        let is_known = fields.iter().any(|field| field.column == *column);
        if list.labels.is_empty() || list.primary_key != [refers_to.clone()] || is_known {
            continue;
        }
        let base = names::base(column);
        let is_taken =
            base != *column && table.column(&base).is_some() || fields.iter().any(|field| field.name == base);
        let name = if is_taken { column.clone() } else { base };
        let (column, labels) = (column.clone(), list.labels.clone());
        fields.push(FieldProposal { name, column, id: None, kind: None, labels, labels_of: name_of(list) });
    }
    fields
}

/// The tables that belong to a form, over however many hops, those that are next to it first.
fn parts(tables: &[Table], form: usize, wholes: &Wholes<'_>, of_many: &[usize]) -> Vec<ChildProposal> {
    let mut found = Vec::new();
    for &part in wholes.keys() {
        let mut way: Vec<(usize, &ForeignKey)> = Vec::new();
        let mut at = part;
        while let Some(&(whole, key)) = wholes.get(&at) {
            way.push((at, key));
            at = whole;
        }
        let belongs = child(tables, at, &way);
        if at == form {
            found.push((way.len(), belongs));
        } else if let Some(key) = leads(tables, at, form, of_many) {
            let (parent, kind) = way_of(tables, form, key);
            let hop = HopProposal { table: name_of(&tables[at]), key: belongs.references, parent, kind };
            let through = belongs.through.into_iter().chain([hop]).collect();
            found.push((way.len() + 1, ChildProposal { through, references: Vec::new(), ..belongs }));
        }
    }
    for (number, table) in tables.iter().enumerate() {
        let Some(key) = leads(tables, number, form, of_many) else { continue };
        let (parent, kind) = way_of(tables, form, key);
        let verb = format!("{}-added", names::part_word(&table.name, &tables[form].name));
        found.push((1, ChildProposal { verb, table: name_of(table), parent, kind, ..described(table) }));
    }
    found.sort_by_key(|(hops, child)| (*hops, child.table.clone()));
    let mut children: Vec<ChildProposal> = found.into_iter().map(|(_, child)| child).collect();
    // each word once: the same one of two tables cannot be told apart
    for number in 1..children.len() {
        if children[..number].iter().any(|known| known.verb == children[number].verb) {
            children[number].verb = format!("{}-added", names::part_word(&children[number].table, ""));
        }
    }
    children
}

/// What belongs to the form by a way: the child's table first, the one next to the form last.
fn child(tables: &[Table], form: usize, way: &[(usize, &ForeignKey)]) -> ChildProposal {
    let table = &tables[way[0].0];
    // what a key refers to, where it is not the primary key
    let other_than_key = |key: &ForeignKey, of: &Table| {
        if key.refers_to == of.primary_key { Vec::new() } else { key.refers_to.clone() }
    };
    let hops = way.windows(2).map(|pair| {
        let ((_, to_it), (hop, on)) = (pair[0], pair[1]);
        HopProposal {
            table: name_of(&tables[hop]),
            key: other_than_key(to_it, &tables[hop]),
            parent: on.columns.clone(),
            kind: None,
        }
    });
    let next = way.get(1).map_or(form, |(hop, _)| *hop);
    let last = way.last().map_or_else(Vec::new, |(_, key)| other_than_key(key, &tables[form]));
    ChildProposal {
        verb: format!("{}-added", names::part_word(&table.name, &tables[next].name)),
        table: name_of(table),
        parent: way[0].1.columns.clone(),
        references: last,
        through: hops.collect(),
        ..described(table)
    }
}

/// What is the same of a child whatever it belongs to.
fn described(table: &Table) -> ChildProposal {
    let wrote = |column: &&Column| names::is_actor(&column.name) || names::is_creator(&column.name);
    let secret = table.columns.iter().map(|column| &column.name).filter(|name| names::is_secret(name));
    ChildProposal {
        actor: table.columns.iter().find(wrote).map(|column| column.name.clone()),
        hidden: secret.cloned().collect(),
        ..ChildProposal::default()
    }
}

/// By what rows of a table that belongs to several belong to a form's entries.
fn leads<'a>(tables: &'a [Table], from: usize, form: usize, of_many: &[usize]) -> Option<&'a PolymorphicKey> {
    let key = tables[from].polymorphic.as_ref().filter(|_| of_many.contains(&from))?;
    polymorphic::value_for(key, &tables[form]).map(|_| key)
}

/// The columns by which it does, and what stands there.
fn way_of(tables: &[Table], form: usize, key: &PolymorphicKey) -> (Vec<String>, Option<(String, String)>) {
    let value = polymorphic::value_for(key, &tables[form]);
    (vec![key.column.clone()], value.map(|value| (key.kind.clone(), value.to_owned())))
}
