//! Whether a form and its table fit, as the catalogue stands now.

use super::fault::{Fault, Key, Unloggable};
use super::table::{Table, TableColumn};
use crate::belonging::Role;
use crate::form::{BindingRecord, Form, OldValues};
use crate::nearby::nearby;
use std::collections::HashMap;

/// Everything that a form says of a table, and everything that is wrong with it. `record` is what the form was
/// bound to before, if that was this table; `publication` the one to add tables to, and whether it exists.
pub(super) fn check(
    form: &Form,
    table: &Table,
    record: Option<&BindingRecord>,
    publication: (&str, bool),
) -> Vec<Fault> {
    if let Some(fault) = unloggable(table) {
        return vec![fault];
    }
    let mut faults = Vec::new();
    let columns = Columns { table, record };
    for (key, name) in configured_columns(form) {
        faults.extend(columns.fault(key, name));
    }
    faults.extend(fields_twice(form, &columns));
    faults.extend(hidden_ids(form, &columns));
    faults.extend(identity(form, &columns));
    if form.old_values == OldValues::Log && !table.is_full() {
        let partitions = table.leaves_not_full.clone();
        faults.push(Fault::NoOldValues { table: table.sql_name.clone(), partitions });
    }
    faults.extend(old_unknown(form, &columns));
    faults.extend(unpublished(table, publication));
    faults.extend(published_in_part(table, publication.0));
    faults
}

/// Columns that decide what a change means, and are not in old rows.
fn old_unknown(form: &Form, columns: &Columns<'_>) -> Option<Fault> {
    let table = columns.table;
    if table.is_full() || table.published.as_itself && !table.published.has_old_rows() {
        return None;
    }
    let field_column = |name: &str| {
        let field = form.fields.iter().find(|field| field.name == name);
        field.map_or_else(|| name.to_owned(), |field| field.column.clone())
    };
    let deleted = form.deleted.as_ref().map(|deleted| (Key::Deleted, vec![field_column(&deleted.column)]));
    let supplement = form.belonging.as_ref().and_then(|belonging| match &belonging.role {
        Role::Supplement(supplement) => {
            let place = belonging.parent.iter().chain(&supplement.attribute);
            Some((Key::Parent, place.cloned().collect()))
        }
        Role::Child { .. } | Role::Hop { .. } => None,
    });
    let (key, names) = deleted.or(supplement)?;
    let known = table.identity_numbers();
    // what no column of the table is, is told elsewhere, or is a field from another table
    let is_unknown = |name: &String| columns.find(name).is_some_and(|column| !known.contains(&column.number));
    let unknown: Vec<String> = names.into_iter().filter(is_unknown).collect();
    (!unknown.is_empty()).then(|| Fault::OldUnknown {
        table: table.sql_name.clone(),
        key,
        columns: unknown,
        partitions: table.leaves_not_full.clone(),
    })
}

/// The columns that a form names, in the order of its keys.
pub(super) fn configured_columns(form: &Form) -> impl Iterator<Item = (Key, &str)> {
    let entry_id = form.entry_id.iter().map(|name| (Key::EntryId, name.as_str()));
    let record_id = form.record_id.iter().map(|name| (Key::RecordId, name.as_str()));
    let fields = form.fields.iter().map(|field| (Key::Fields, field.column.as_str()));
    let ignore = form.ignore.iter().map(|name| (Key::Ignore, name.as_str()));
    let hidden = form.hidden.iter().map(|name| (Key::Hidden, name.as_str()));
    let parts = form.parts.iter().map(|part| (Key::Parts, part.column.as_str()));
    let named = entry_id.chain(record_id).chain(fields).chain(ignore).chain(hidden).chain(parts);
    named.chain(columns_of_happenings(form))
}

/// The columns that a form names where it says what can happen. A field that has a name of its own stands among the fields.
fn columns_of_happenings(form: &Form) -> impl Iterator<Item = (Key, &str)> {
    let happenings = &form.happenings;
    let transitions = happenings.transitions.iter().map(|one| (Key::Transitions, one.field.as_str()));
    let markers = happenings.merges.markers.iter().map(|name| (Key::MergeMarker, name.as_str()));
    let deleted = form.deleted.iter().map(|deleted| (Key::Deleted, deleted.column.as_str()));
    let attachments = form.attachments.each.iter().flat_map(|one| {
        let columns = [&one.name, &one.media_type, &one.size].into_iter().flatten().chain([&one.field]);
        columns.map(|name| (Key::Attachments, name.as_str()))
    });
    let is_column = |(_, name): &(Key, &str)| {
        !form.fields.iter().any(|field| field.name == *name)
            && !form.supplied.iter().any(|field| field.name == *name)
    };
    let merges = &happenings.merges;
    let target = merges.target.iter().map(|name| (Key::MergeTarget, name.as_str()));
    let references = merges.references.iter().map(|name| (Key::MergeReferences, name.as_str()));
    let actor = happenings.actor.iter().chain(&happenings.actor_name).map(|name| (Key::Actor, name.as_str()));
    let belonging = form.belonging.iter().flat_map(|belonging| {
        let (by, supplement) = match &belonging.role {
            Role::Hop { by } => (&by[..], None),
            Role::Child { .. } => (&[][..], None),
            Role::Supplement(supplement) => (&[][..], Some(supplement)),
        };
        let values = supplement.into_iter().flat_map(|supplement| {
            supplement.attribute.iter().chain(supplement.fields.iter().flat_map(|field| &field.columns))
        });
        let kind = belonging.kind.iter().map(|(column, _)| column);
        belonging.parent.iter().chain(by).chain(kind).chain(values)
    });
    let parent = belonging.chain(form.referred_by.iter().flatten()).map(|name| (Key::Parent, name.as_str()));
    let of_fields = transitions.chain(markers).chain(deleted).chain(attachments).filter(is_column);
    of_fields.chain(target).chain(references).chain(actor).chain(parent)
}

/// A table's columns as a form may name them: by their name, or by the one that they had when it was bound.
struct Columns<'a> {
    table: &'a Table,
    record: Option<&'a BindingRecord>,
}

impl<'a> Columns<'a> {
    fn find(&self, name: &str) -> Option<&'a TableColumn> {
        let followed = || recorded(self.record, name).find_map(|number| self.table.column_number(number));
        self.table.column(name).or_else(followed)
    }

    fn fault(&self, key: Key, name: &str) -> Option<Fault> {
        let table = self.table.sql_name.clone();
        let column = name.to_owned();
        let Some(found) = self.find(name) else {
            if recorded(self.record, name).next().is_some() {
                return Some(Fault::DroppedColumn { table, key, column });
            }
            let nearby = nearby(name, self.table.columns.iter().map(|column| column.name.as_str()));
            let nearby = nearby.into_iter().map(str::to_owned).collect();
            return Some(Fault::UnknownColumn { table, key, column, nearby });
        };
        if matches!(key, Key::Hidden | Key::Ignore) || self.table.logs(found) {
            return None; // what never comes need not be hidden
        }
        Some(if found.is_generated {
            Fault::Generated { table, key, column }
        } else {
            Fault::LeftOut { table, key, column }
        })
    }
}

/// The numbers that a column of this name had when the form was bound, the latest first.
pub(super) fn recorded<'a>(
    record: Option<&'a BindingRecord>,
    name: &str,
) -> impl Iterator<Item = i16> + use<'a> {
    let name = name.to_owned();
    let columns = record.map_or(&[][..], |record| &record.columns);
    columns.iter().filter(move |(recorded, _)| *recorded == name).map(|(_, number)| *number)
}

fn unloggable(table: &Table) -> Option<Fault> {
    if let Some(root) = &table.root
        && !table.published.as_itself
    {
        return Some(Fault::Partition { table: table.sql_name.clone(), root: root.clone() });
    }
    let what = match (table.kind.as_str(), table.persistence.as_str()) {
        ("v", _) => Unloggable::View,
        ("m", _) => Unloggable::MaterializedView,
        ("f", _) => Unloggable::ForeignTable,
        (_, "t") => Unloggable::TemporaryTable,
        (_, "u") => Unloggable::UnloggedTable,
        _ if table.is_system => Unloggable::SystemTable,
        _ => return None,
    };
    Some(Fault::Unloggable { table: table.sql_name.clone(), what })
}

/// Fields and parts of one name, configured ones and columns that appear under their own. A column that was added later
/// gives way to a configured field and is no fault.
fn fields_twice(form: &Form, columns: &Columns<'_>) -> Vec<Fault> {
    let numbers = |names: Vec<&str>| -> Vec<i16> {
        names.into_iter().filter_map(|name| columns.find(name)).map(|column| column.number).collect()
    };
    let named = numbers(form.fields.iter().map(|field| field.column.as_str()).collect());
    let hidden = numbers(form.hidden.iter().map(String::as_str).collect());
    let configured = form.fields.iter().map(|field| (field.name.as_str(), field.column.as_str()));
    let parts = form.parts.iter().map(|part| (part.name.as_str(), part.column.as_str()));
    let by_themselves = columns
        .table
        .columns
        .iter()
        .filter(|column| columns.record.is_none() && columns.table.logs(column))
        .filter(|column| !named.contains(&column.number) && !hidden.contains(&column.number))
        .map(|column| (column.name.as_str(), column.name.as_str()));
    let mut seen: HashMap<&str, &str> = HashMap::new();
    let mut faults = Vec::new();
    for (name, column) in configured.chain(parts).chain(by_themselves) {
        if let Some(one) = seen.insert(name, column) {
            let [name, one, other] = [name, one, column].map(str::to_owned);
            faults.push(Fault::FieldTwice { name, one, other });
        }
    }
    faults
}

fn hidden_ids(form: &Form, columns: &Columns<'_>) -> Vec<Fault> {
    let is_hidden = |name: &str| {
        let number = columns.find(name).map(|column| column.number);
        form.hidden.iter().any(|hidden| {
            hidden == name || (number.is_some() && columns.find(hidden).map(|column| column.number) == number)
        })
    };
    let shown = [Key::EntryId, Key::RecordId, Key::Parts, Key::Attachments];
    let ids = configured_columns(form).filter(|(key, _)| shown.contains(key));
    let mut faults: Vec<Fault> = ids
        .filter(|(_, name)| is_hidden(name))
        .map(|(key, name)| Fault::HiddenId { key, column: name.to_owned() })
        .collect();
    if form.entry_id.is_empty() {
        let key = columns.table.primary_key.iter().filter_map(|number| columns.table.column_number(*number));
        faults.extend(
            key.filter(|column| is_hidden(&column.name))
                .map(|column| Fault::HiddenId { key: Key::EntryId, column: column.name.clone() }),
        );
    }
    faults
}

/// The entry id has to be there, and in what the log tells of old rows.
fn identity(form: &Form, columns: &Columns<'_>) -> Option<Fault> {
    let table = columns.table;
    let entry_id: Vec<&TableColumn> = if form.entry_id.is_empty() {
        table.primary_key.iter().filter_map(|number| table.column_number(*number)).collect()
    } else {
        form.entry_id.iter().filter_map(|name| columns.find(name)).collect()
    };
    if form.entry_id.is_empty() && entry_id.is_empty() {
        return Some(Fault::NoEntryId { table: table.sql_name.clone() });
    }
    if table.published.as_itself && !table.published.has_old_rows() {
        return None; // only inserts come
    }
    let identity = table.identity_numbers();
    let missing: Vec<String> = entry_id
        .iter()
        .filter(|column| !identity.contains(&column.number))
        .map(|column| column.name.clone())
        .collect();
    let is_primary_key = entry_id.iter().all(|column| table.primary_key.contains(&column.number));
    let partitions = table.leaves_not_full.clone();
    let partitions = if is_primary_key { Vec::new() } else { partitions };
    let fault = Fault::EntryIdNotInIdentity {
        table: table.sql_name.clone(),
        columns: missing.clone(),
        is_primary_key,
        partitions,
    };
    (!missing.is_empty()).then_some(fault)
}

fn unpublished(table: &Table, (publication, exists): (&str, bool)) -> Option<Fault> {
    if table.published.as_itself {
        return None;
    }
    let name = table.sql_name.clone();
    if let Some(publication) = &table.published.partitions_in {
        return Some(Fault::PartitionsPublished { table: name, publication: publication.clone() });
    }
    Some(Fault::Unpublished {
        table: name,
        publication: publication.to_owned(),
        publication_exists: exists,
        would_break_writes: !table.has_usable_identity(),
    })
}

/// What the server leaves out comes never again. A table that is published with its inserts only, in the publication
/// for such tables, is as the operator wants it.
fn published_in_part(table: &Table, publication: &str) -> Vec<Fault> {
    let published = &table.published;
    let name = &table.sql_name;
    let filtered =
        published.filtered_in.clone().map(|publication| Fault::Filtered { table: name.clone(), publication });
    let kinds = [
        ("inserts", published.kinds.inserts),
        ("updates", published.kinds.updates),
        ("deletes", published.kinds.deletes),
    ];
    let missing: Vec<&str> = kinds.iter().filter(|(_, comes)| !comes).map(|(kind, _)| *kind).collect();
    let left_out = (published.as_a_whole && !missing.is_empty()).then(|| Fault::KindsLeftOut {
        table: name.clone(),
        publication: publication.to_owned(),
        kinds: missing.join(", "),
    });
    filtered.into_iter().chain(left_out).collect()
}
