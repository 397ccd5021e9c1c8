//! The tables as the log describes them, and the forms bound to them.

use crate::desk::log;
use crate::proof::world::{TABLES, Val};
use crate::world::Shared;
use std::sync::Arc;
use walhook::capture::Bindings;
use walhook::catalog::{self, BindingStatus, Fault, Standing};
use walhook::change::{Column, Datum, Relation, RelationId, ReplicaIdentity, Row};
use walhook::form::{BindingRecord, BoundField, BoundForm, BoundRule, Form, LaneRule};
use walhook::value::{Kind, Type};

/// The types of the columns, as oids of `pg_type`.
const TYPES: [&[u32]; 3] =
    [&[25, 2950, 25, 23, 25, 25, 23, 25, 1184], &[25, 23, 25, 1700, 25], &[23, 25, 16, 1009, 3802]];

/// The oid of a table.
pub fn oid(table: usize) -> RelationId {
    16_400 + table as u32
}

/// A table as the log describes it.
pub fn relation(table: usize) -> Relation {
    let of = &TABLES[table];
    let (schema, name) = of.name.split_once('.').unwrap();
    let column = |(number, (name, _)): (usize, &(&str, &str))| Column {
        name: (*name).to_owned(),
        type_oid: TYPES[table][number],
        type_modifier: -1,
        in_identity: of.full || of.key.contains(&number),
    };
    Relation {
        id: oid(table),
        schema: schema.to_owned(),
        name: name.trim_matches('"').to_owned(),
        identity: if of.full { ReplicaIdentity::Full } else { ReplicaIdentity::Default },
        columns: of.columns.iter().enumerate().map(column).collect(),
    }
}

/// The form at a table whose key has its columns so many times over: another key by which the same rows are told apart.
fn bound(table: usize, form: &Arc<Form>, times: usize, rules: &[LaneRule]) -> BoundForm {
    let of = &TABLES[table];
    let fields = of.columns.iter().enumerate().filter(|(number, _)| !of.hidden.contains(number));
    let field = |(column, (_, name)): (usize, &(&str, &str))| BoundField {
        name: (*name).to_owned(),
        id: None,
        column,
        type_: type_of(TYPES[table][column]),
        kind: Kind::built_in(TYPES[table][column]).unwrap_or(Kind::Opaque),
    };
    BoundForm {
        form: Arc::clone(form),
        relation: Arc::new(relation(table)),
        fields: fields.map(field).collect(),
        key: of.key.repeat(times),
        former: rules
            .iter()
            .map(bound_rule(table))
            .filter(|rule| rule.key.len() != of.key.len() * times)
            .collect(),
        entry_id: of.key.to_vec(),
        record_id: of.record_id,
        ignored: (0..of.columns.len()).map(|n| of.ignored.contains(&n) || of.hidden.contains(&n)).collect(),
        uses_old_values: of.full,
        delete_insert_is_merge: true,
        happenings: walhook::happening::BoundHappenings::default(),
        belonging: None,
        parts: vec![],
        entries: None,
        deleted: None,
        attachments: vec![],
    }
}

fn bound_rule(table: usize) -> impl Fn(&LaneRule) -> BoundRule {
    let column = move |(name, _): &(String, i16)| {
        TABLES[table].columns.iter().position(|(column, _)| column == name).unwrap()
    };
    move |rule| BoundRule { form: rule.form.clone(), key: rule.key.iter().map(column).collect() }
}

/// By which key the entries of a table have their lanes.
fn rule(table: usize, times: usize) -> LaneRule {
    let of = &TABLES[table];
    let column = |&column: &usize| (of.columns[column].0.to_owned(), column as i16 + 1);
    LaneRule { form: of.form.to_owned(), key: of.key.repeat(times).iter().map(column).collect() }
}

/// A value as PostgreSQL writes it.
pub fn text(val: &Val) -> Option<String> {
    Some(match val {
        Val::Null => return None,
        Val::Int(number) => number.to_string(),
        Val::Bool(yes) => if *yes { "t" } else { "f" }.to_owned(),
        Val::Text(text) => text.to_string(),
        Val::Cents(cents) => format!("{}.{:02}", cents / 100, cents % 100),
        Val::Time(seconds) => {
            jiff::Timestamp::from_second(*seconds).unwrap().strftime("%Y-%m-%d %H:%M:%S+00").to_string()
        }
        Val::Tags(tags) => {
            let quote = |tag: &String| format!("\"{}\"", tag.replace('\\', "\\\\").replace('"', "\\\""));
            format!("{{{}}}", tags.iter().map(quote).collect::<Vec<_>>().join(","))
        }
        Val::Props(number) => format!("{{\"n\": {number}, \"deep\": [true, null]}}"),
    })
}

/// A row of the log: the values of those columns that are sent.
pub fn row(vals: &[Val], is_sent: impl Fn(usize) -> Sent) -> Row {
    let texts: Vec<Option<String>> = vals.iter().map(text).collect();
    let datum = |(column, text): (usize, &'_ Option<String>)| match is_sent(column) {
        Sent::Null => None,
        Sent::Unchanged => Some(None),
        Sent::Value => text.clone().map(Some),
    };
    let data: Vec<Option<Option<String>>> = texts.iter().enumerate().map(datum).collect();
    data.iter()
        .map(|datum| match datum {
            None => Datum::Null,
            Some(None) => Datum::Unchanged,
            Some(Some(text)) => Datum::Text(text),
        })
        .collect()
}

/// What the log has of a column.
pub enum Sent {
    Value,
    Null,
    Unchanged,
}

/// The forms of the play, whose tables never change but for their keys.
pub struct Tables {
    forms: Vec<Arc<Form>>,
    bound: Vec<[Arc<BoundForm>; 1]>,
    statuses: Vec<BindingStatus>,
    records: Vec<BindingRecord>,
    world: Shared,
}

impl Tables {
    /// The forms behind those that are remembered. With `rekeys` the tables have other keys than those had.
    pub fn new(world: Shared, forms: Vec<Arc<Form>>, remembered: &[BindingRecord], rekeys: bool) -> Self {
        let rules = |table: usize| -> Vec<LaneRule> {
            let record = remembered.iter().find(|record| record.form == TABLES[table].form);
            record.map_or_else(Vec::new, |record| record.rules.clone())
        };
        // three keys in turn
        let times = |table: usize| match rules(table).first() {
            Some(last) if rekeys => last.key.len() / TABLES[table].key.len() % 3 + 1,
            _ => 1,
        };
        let form_of = |table: usize| forms.iter().find(|form| form.name == TABLES[table].form).unwrap();
        let at_desk = |form: &Arc<Form>| log::table_of(form).map(|table| (Arc::clone(form), table));
        let desk: Vec<_> = forms.iter().filter_map(at_desk).collect();
        let bound: Vec<_> = (0..TABLES.len())
            .map(|table| [Arc::new(bound(table, form_of(table), times(table), &rules(table)))])
            .chain(desk.iter().map(|(form, table)| [Arc::new(log::bound(form, *table))]))
            .collect();
        let status = |bound: &[Arc<BoundForm>; 1]| BindingStatus {
            form: bound[0].form.name.clone(),
            table: format!("{}.{}", bound[0].relation.schema, bound[0].relation.name),
            standing: Standing::Bound,
            faults: vec![],
        };
        let record = |table: usize| {
            let mut rules = rules(table);
            rule(table, times(table)).put_first(&mut rules);
            BindingRecord {
                form: TABLES[table].form.to_owned(),
                relation: oid(table),
                schema: "desk".to_owned(),
                table: relation(table).name,
                columns: vec![],
                rules,
            }
        };
        Self {
            statuses: bound.iter().map(status).collect(),
            records: (0..TABLES.len())
                .map(record)
                .chain(desk.iter().map(|(form, table)| log::record(form, *table)))
                .collect(),
            bound,
            forms,
            world,
        }
    }
}

impl Bindings for Tables {
    fn statuses(&self) -> &[BindingStatus] {
        &self.statuses
    }

    fn forms(&self) -> impl Iterator<Item = &Arc<Form>> {
        self.forms.iter()
    }

    fn described(&self, form: &str) -> Option<Result<Arc<BoundForm>, Fault>> {
        let bound = self.bound.iter().flatten().find(|bound| bound.form.name == form)?;
        Some(Ok(Arc::clone(bound)))
    }

    async fn compare(&mut self) -> Result<&[BindingStatus], catalog::Error> {
        Ok(&self.statuses)
    }

    async fn relation(&mut self, relation: Relation) -> Result<&[BindingStatus], catalog::Error> {
        let table = self.bound.iter().position(|bound| bound[0].relation.id == relation.id);
        Ok(table.map_or(&[], |table| &self.statuses[table..=table]))
    }

    fn latest(&self, form: &str) -> Option<Arc<BoundForm>> {
        self.described(form)?.ok()
    }

    async fn look_up(
        &mut self,
        form: Arc<BoundForm>,
        by: Vec<usize>,
        values: Vec<String>,
        rows_max: usize,
    ) -> Result<catalog::Found, catalog::Error> {
        let mut world = self.world.lock();
        let now_us = world.now_us();
        let found = log::table_of(&form.form)
            .map(|table| world.cluster.look_up(now_us, table, &by, &values, rows_max))
            .unwrap_or_default();
        world.tell(format_args!("server: asked for {} {values:?}: {found:?}", form.form.name));
        found.map(catalog::Found::Rows).ok_or(catalog::Error::Silent { what: "rows" })
    }

    async fn are_visible(&mut self, _: Vec<u32>) -> Result<bool, catalog::Error> {
        Ok(self.world.lock().cluster.is_seen())
    }

    async fn read_file(
        &mut self,
        _: Arc<BoundForm>,
        _: walhook::attachment::BoundAttachment,
        _: catalog::Whose,
    ) -> Result<catalog::FileFound, catalog::Error> {
        Ok(catalog::FileFound::Nothing)
    }

    fn forms_of(&self, relation: RelationId) -> &[Arc<BoundForm>] {
        self.bound.iter().find(|bound| bound[0].relation.id == relation).map_or(&[], |bound| &bound[..])
    }

    fn broken_of(&self, _: RelationId) -> impl Iterator<Item = &BindingStatus> {
        std::iter::empty()
    }

    fn binding_records(&self) -> Vec<BindingRecord> {
        self.records.clone()
    }
}

fn type_of(oid: u32) -> Type {
    let texts = || Type::Array { element: Arc::new(Type::Text), delimiter: ',' };
    Type::built_in(oid).unwrap_or_else(texts)
}
